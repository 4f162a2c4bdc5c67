/* task_callables.c - a task's step and wake-up as Python callables.
 *
 * This is what loop.call_soon() gets on loops that are not fast, and what
 * futures of other kinds get as done callback.  Names and attributes are
 * asyncio's: they appear in the reprs of handles.
 */
#include "task/task_impl.h"

typedef struct TaskCallable {
    PyObject_HEAD
    TaskObject *task;
    PyObject *exception; /* TaskStep: what to throw, or NULL */
} TaskCallable;

static PyObject *
callable_new(PyTypeObject *type, TaskObject *task, PyObject *exception)
{
    TaskCallable *self = PyObject_GC_New(TaskCallable, type);
    if (self == NULL) {
        return NULL;
    }
    self->task = (TaskObject *)Py_NewRef((PyObject *)task);
    self->exception = Py_XNewRef(exception);
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

PyObject *
ouro_task_step_callable(ouro_state *st, TaskObject *task, PyObject *exception)
{
    return callable_new(st->types.TaskStep, task, exception);
}

PyObject *
ouro_task_wakeup_callable(ouro_state *st, TaskObject *task)
{
    return callable_new(st->types.TaskWakeup, task, NULL);
}

PyObject *
ouro_task_of_wakeup(ouro_state *st, PyObject *callable)
{
    return Py_TYPE(callable) == st->types.TaskWakeup
               ? (PyObject *)((TaskCallable *)callable)->task
               : NULL;
}

static int
callable_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((TaskCallable *)self)->task);
    Py_VISIT(((TaskCallable *)self)->exception);
    return 0;
}

static int
callable_clear(PyObject *self)
{
    Py_CLEAR(((TaskCallable *)self)->task);
    Py_CLEAR(((TaskCallable *)self)->exception);
    return 0;
}

static void
callable_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    callable_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
step_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) != 0
        || (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0)) {
        PyErr_SetString(PyExc_TypeError,
                        "function takes no positional arguments");
        return NULL;
    }
    TaskCallable *callable = (TaskCallable *)self;
    if (callable->task == NULL) {
        Py_RETURN_NONE;
    }
    return ouro_none_or_error(ouro_task_step_entered(
        ouro_state_of(self), callable->task, callable->exception));
}

/* asyncio's is a built-in method of the task, and is named like one. */
static PyObject *
get_wakeup_qualname(PyObject *self, void *unused)
{
    TaskObject *task = ((TaskCallable *)self)->task;
    if (task == NULL) {
        return PyUnicode_FromString("Task.task_wakeup");
    }
    PyObject *type = PyType_GetQualName(Py_TYPE((PyObject *)task));
    if (type == NULL) {
        return NULL;
    }
    PyObject *qualname = PyUnicode_FromFormat("%U.task_wakeup", type);
    Py_DECREF(type);
    return qualname;
}

static PyObject *
wakeup_refuse(PyObject *self, const char *what)
{
    PyObject *qualname = get_wakeup_qualname(self, NULL);
    if (qualname != NULL) {
        PyErr_Format(PyExc_TypeError, "%U() %s", qualname, what);
        Py_DECREF(qualname);
    }
    return NULL;
}

static PyObject *
wakeup_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        return wakeup_refuse(self, "takes no keyword arguments");
    }
    if (count != 1) {
        char what[64];
        PyOS_snprintf(what, sizeof(what),
                      "takes exactly one argument (%zd given)", count);
        return wakeup_refuse(self, what);
    }
    TaskCallable *callable = (TaskCallable *)self;
    if (callable->task == NULL) {
        Py_RETURN_NONE;
    }
    return ouro_none_or_error(ouro_task_wakeup(
        ouro_state_of(self), callable->task, PyTuple_GET_ITEM(args, 0)));
}

static PyObject *
get_wakeup_name(PyObject *self, void *unused)
{
    return PyUnicode_FromString("task_wakeup");
}

/* Each request makes a new view; views of one task are the same callback, and
 * look the same. */
static PyObject *
wakeup_repr(PyObject *self)
{
    PyObject *task = (PyObject *)((TaskCallable *)self)->task;
    return PyUnicode_FromFormat(
        "<built-in method task_wakeup of %s object at %p>",
        task != NULL ? Py_TYPE(task)->tp_name : "Task", task);
}

static PyObject *
wakeup_compare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(self) != Py_TYPE(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool same = ((TaskCallable *)self)->task == ((TaskCallable *)other)->task;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t
wakeup_hash(PyObject *self)
{
    return Py_HashPointer(((TaskCallable *)self)->task);
}

static PyObject *
get_self(PyObject *self, void *unused)
{
    PyObject *task = (PyObject *)((TaskCallable *)self)->task;
    return Py_NewRef(task != NULL ? task : Py_None);
}

static PyGetSetDef step_getset[] = {
    {"__self__", get_self, NULL, NULL, NULL},
    {NULL},
};

static PyGetSetDef wakeup_getset[] = {
    {"__self__", get_self, NULL, NULL, NULL},
    {"__name__", get_wakeup_name, NULL, NULL, NULL},
    {"__qualname__", get_wakeup_qualname, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot step_slots[] = {
    {Py_tp_doc, "One step of a task, for call_soon()."},
    {Py_tp_call, step_call},
    {Py_tp_getset, step_getset},
    {Py_tp_traverse, callable_traverse},
    {Py_tp_clear, callable_clear},
    {Py_tp_dealloc, callable_dealloc},
    {0, NULL},
};

static PyType_Slot wakeup_slots[] = {
    {Py_tp_doc, "The wake-up of a task, for add_done_callback()."},
    {Py_tp_call, wakeup_call},
    {Py_tp_repr, wakeup_repr},
    {Py_tp_richcompare, wakeup_compare},
    {Py_tp_hash, wakeup_hash},
    {Py_tp_getset, wakeup_getset},
    {Py_tp_traverse, callable_traverse},
    {Py_tp_clear, callable_clear},
    {Py_tp_dealloc, callable_dealloc},
    {0, NULL},
};

static const unsigned long callable_flags =
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION
    | Py_TPFLAGS_IMMUTABLETYPE;

int
ouro_task_callables_setup(PyObject *module, ouro_state *st)
{
    PyType_Spec step = {
        .name = "ouro._ouro.TaskStepMethWrapper",
        .basicsize = sizeof(TaskCallable),
        .flags = callable_flags,
        .slots = step_slots,
    };
    PyType_Spec wakeup = {
        .name = "ouro._ouro.TaskWakeupMethWrapper",
        .basicsize = sizeof(TaskCallable),
        .flags = callable_flags,
        .slots = wakeup_slots,
    };
    if (ouro_add_type(module, &step, NULL, false, &st->types.TaskStep) < 0) {
        return -1;
    }
    return ouro_add_type(module, &wakeup, NULL, false, &st->types.TaskWakeup);
}
