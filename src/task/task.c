/* task.c - the Task type: its life and its methods.
 *
 * Stepping is in step.c, what Python sees of its insides in task_attrs.c.
 */
#include "base/await.h"
#include "base/rooms.h"
#include "task/coroutines.h"
#include "task/registry.h"
#include "task/task_impl.h"

enum { FREE_TASKS_MAX = 4096 };

/* ---- life -------------------------------------------------------------- */

static int
check_coroutine(ouro_state *st, TaskObject *task, PyObject *coro)
{
    int truth = ouro_iscoroutine(st, coro);
    if (truth == 0) {
        task->fut.log_destroy_pending = false;
        PyErr_Format(PyExc_TypeError, "a coroutine was expected, got %R",
                     coro);
    }
    return truth > 0 ? 0 : -1;
}

/* The name as an object, or NULL while it is a number. */
static PyObject *
name_object(TaskObject *task)
{
    return (task->name & 1) != 0 ? NULL : (PyObject *)task->name;
}

/* Takes over the reference if the name is an object. */
static void
set_name(TaskObject *task, uintptr_t name)
{
    PyObject *old = name_object(task);
    task->name = name;
    Py_XDECREF(old);
}

/* name: NULL or None for "Task-N". */
static int
take_name(ouro_state *st, TaskObject *task, PyObject *name)
{
    if (name == NULL || name == Py_None) {
        set_name(task, (uintptr_t)++st->task_names << 1 | 1);
        return 0;
    }
    PyObject *text =
        PyUnicode_CheckExact(name) ? Py_NewRef(name) : PyObject_Str(name);
    if (text == NULL) {
        return -1;
    }
    set_name(task, (uintptr_t)text);
    return 0;
}

/* loop.is_running() */
static int
is_running(ouro_state *st, PyObject *loop)
{
    if (ouro_loop_fast(st, loop)) {
        return ((LoopCore *)loop)->running;
    }
    return ouro_truth_of(PyObject_CallMethodNoArgs(loop, st->str.is_running));
}

/* 1 if the task was started eagerly, 0 if it must be scheduled, -1. */
static int
maybe_start_eagerly(ouro_state *st, TaskObject *task)
{
    int running = is_running(st, task->fut.loop);
    if (running <= 0) {
        return running;
    }
    if (ouro_task_start_eagerly(st, task) < 0) {
        if (st->has.task.quiet_after_failed_start) {
            task->fut.log_destroy_pending = false;
        }
        return -1;
    }
    return 1;
}

/* The context to run in: a new reference. */
static PyObject *
take_context(ouro_state *st, TaskObject *task, PyObject *context)
{
    if (context == NULL || context == Py_None) {
        return PyContext_CopyCurrent();
    }
    if (st->has.task.checks_context && !PyContext_CheckExact(context)) {
        task->fut.log_destroy_pending = false;
        PyErr_Format(PyExc_TypeError,
                     "a contextvars.Context was expected, got %T", context);
        return NULL;
    }
    return Py_NewRef(context);
}

/* Everything of __init__ behind the future's part. */
static int
task_begin(ouro_state *st, TaskObject *task, PyObject *coro, PyObject *name,
           PyObject *context, bool eager)
{
    if (check_coroutine(st, task, coro) < 0) {
        return -1;
    }
    context = take_context(st, task, context);
    if (context == NULL) {
        return -1;
    }
    Py_XSETREF(task->context, context);
    Py_CLEAR(task->waiter);
    task->fut.must_cancel = false;
    task->fut.log_destroy_pending = true;
    task->fut.cancels = 0;
    Py_XSETREF(task->coro, Py_NewRef(coro));
    if (take_name(st, task, name) < 0) {
        return -1;
    }
    if (eager) {
        int started = maybe_start_eagerly(st, task);
        if (started != 0) {
            return started < 0 ? -1 : 0;
        }
    }
    if (ouro_task_schedule(st, task, NULL) < 0) {
        return -1;
    }
    ouro_registry_add(st, task);
    return 0;
}

static int
task_tp_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"coro",    "loop",        "name",
                               "context", "eager_start", NULL};
    ouro_state *st = ouro_state_of(self);
    PyObject *coro, *loop = NULL, *name = NULL, *context = NULL;
    int eager = false;
    if (!st->has.eager_tasks) {
        static char *older[] = {"coro", "loop", "name", "context", NULL};
        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOO:Task", older,
                                         &coro, &loop, &name, &context)) {
            return -1;
        }
    }
    else if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOOp:Task",
                                          keywords, &coro, &loop, &name,
                                          &context, &eager)) {
        return -1;
    }
    TaskObject *task = (TaskObject *)self;
    if (ouro_future_init(st, &task->fut, loop) < 0) {
        return -1;
    }
    return task_begin(st, task, coro, name, context, eager);
}

static PyObject *
task_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        ou_job_init(&((TaskObject *)self)->job, &ouro_task_waiter.job);
    }
    return self;
}

static PyObject *
task_alloc(ouro_state *st)
{
    PyObject *self =
        ouro_freelist_pop(&st->free_tasks, st->types.Task, sizeof(TaskObject));
    if (self == NULL) {
        return task_tp_new(st->types.Task, NULL, NULL);
    }
    ou_job_init(&((TaskObject *)self)->job, &ouro_task_waiter.job);
    PyObject_GC_Track(self);
    return self;
}

PyObject *
ouro_task_new(ouro_state *st, PyObject *coro, PyObject *loop, PyObject *name,
              PyObject *context, bool eager)
{
    PyObject *self = task_alloc(st);
    if (self == NULL) {
        return NULL;
    }
    TaskObject *task = (TaskObject *)self;
    int result = 0;
    if (ouro_loop_fast(st, loop)) {
        task->fut.loop = Py_NewRef(loop);
    }
    else {
        result = ouro_future_init(st, &task->fut, loop);
    }
    if (result < 0 || task_begin(st, task, coro, name, context, eager) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

static int
task_traverse(PyObject *self, visitproc visit, void *arg)
{
    TaskObject *task = (TaskObject *)self;
    Py_VISIT(task->coro);
    Py_VISIT(name_object(task));
    Py_VISIT(task->context);
    Py_VISIT(task->waiter);
    return ouro_future_traverse(self, visit, arg);
}

static int
task_clear(PyObject *self)
{
    TaskObject *task = (TaskObject *)self;
    Py_CLEAR(task->coro);
    set_name(task, 0);
    Py_CLEAR(task->context);
    Py_CLEAR(task->waiter);
    return ouro_future_clear(self);
}

static bool
destroyed_while_pending(TaskObject *task)
{
    return task->fut.state == FUTURE_PENDING && task->fut.log_destroy_pending
           && task->fut.loop != NULL;
}

static void
task_finalize(PyObject *self)
{
    TaskObject *task = (TaskObject *)self;
    /* As asyncio's weak references, the registry forgets it before the
     * exception handler sees it. */
    ouro_registry_remove(task);
    if (destroyed_while_pending(task)) {
        ouro_state *st = ouro_state_of(self);
        PyObject *pending = PyErr_GetRaisedException();
        PyObject *message =
            PyUnicode_FromString("Task was destroyed but it is pending!");
        PyObject *context = ouro_future_error_context(st, &task->fut, message,
                                                      NULL, st->str.task);
        if (ouro_loop_call_exception_handler(st, task->fut.loop, context)
            < 0) {
            PyErr_WriteUnraisable(self);
        }
        PyErr_SetRaisedException(pending);
    }
    ouro_future_finalize(self);
}

static void
task_dealloc(PyObject *self)
{
    TaskObject *task = (TaskObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    ouro_state *st = ouro_state_of_type(type);
    bool exact = type == st->types.Task;
    if ((!exact || task->fut.log_traceback || destroyed_while_pending(task))
        && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, task_dealloc);
    ouro_registry_remove(task);
    if (task->fut.weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    task_clear(self);
    if (!exact || !ouro_freelist_push(&st->free_tasks, self, FREE_TASKS_MAX)) {
        type->tp_free(self);
    }
    Py_DECREF(type);
    Py_TRASHCAN_END;
}

/* ---- cancelling -------------------------------------------------------- */

/* Whether a task waits for a pending task of ours: then the request goes on
 * to that one. */
static bool
waits_for_task(ouro_state *st, TaskObject *task)
{
    return task->waiter != NULL && ouro_task_exact(st, task->waiter)
           && ((FutureObject *)task->waiter)->state == FUTURE_PENDING;
}

/* task.cancel() of one that does not wait for a task. */
static int
cancel_last(ouro_state *st, TaskObject *task, PyObject *message)
{
    PyObject *waiter = Py_XNewRef(task->waiter);
    if (waiter != NULL) {
        int cancelled = ouro_anyfuture_cancel(
            st, waiter, message != NULL ? message : Py_None);
        Py_DECREF(waiter);
        if (cancelled != 0) {
            return cancelled;
        }
    }
    task->fut.must_cancel = true;
    return ouro_future_set_cancel_message(&task->fut, message) < 0 ? -1 : 1;
}

int
ouro_task_cancel(TaskObject *task, PyObject *message)
{
    task->fut.log_traceback = false;
    if (task->fut.state != FUTURE_PENDING) {
        return 0;
    }
    ouro_state *st = ouro_state_of((PyObject *)task);
    task->fut.cancels++;
    /* Down a chain of tasks, which may be longer than the stack is deep.
     * Tasks that wait for each other in a ring meet the mark again. */
    TaskObject *mark = task;
    for (size_t steps = 1; waits_for_task(st, task); steps++) {
        task = (TaskObject *)task->waiter;
        if (task == mark) {
            PyErr_SetString(PyExc_RecursionError,
                            "maximum recursion depth exceeded");
            return -1;
        }
        if ((steps & (steps - 1)) == 0) {
            mark = task;
        }
        task->fut.log_traceback = false;
        task->fut.cancels++;
        message = message != NULL ? message : Py_None;
    }
    Py_INCREF(task);
    int result = cancel_last(st, task, message);
    Py_DECREF(task);
    return result;
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /, msg=None)\n--\n\n\
Request that this task cancel itself.\n\n\
This arranges for a CancelledError to be thrown into the\n\
wrapped coroutine on the next cycle through the event loop.\n\
The coroutine then has a chance to clean up or even deny\n\
the request using try/except/finally.\n\n\
Unlike Future.cancel, this does not guarantee that the\n\
task will be cancelled: the exception might be caught and\n\
acted upon, delaying cancellation of the task or preventing\n\
cancellation completely.  The task may also return a value or\n\
raise a different exception.\n\n\
Immediately after this method is called, Task.cancelled() will\n\
not return True (unless the task was already cancelled).  A\n\
task will be marked as cancelled when the wrapped coroutine\n\
terminates with a CancelledError exception (even if cancel()\n\
was not called).\n\n\
This also increases the task's count of cancellation requests.");

static PyObject *
task_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    PyObject *message;
    if (ouro_parse_cancel(args, nargs, kwnames, &message) < 0) {
        return NULL;
    }
    int result = ouro_task_cancel((TaskObject *)self, message);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

PyDoc_STRVAR(cancelling_doc, "cancelling($self, /)\n--\n\n\
Return the count of the task's cancellation requests.\n\n\
This count is incremented when .cancel() is called\n\
and may be decremented using .uncancel().");

static PyObject *
task_cancelling(PyObject *self, PyObject *unused)
{
    return PyLong_FromLong(((TaskObject *)self)->fut.cancels);
}

static int
uncancel(ouro_state *st, TaskObject *task)
{
    if (task->fut.cancels > 0) {
        task->fut.cancels--;
        if (task->fut.cancels == 0 && st->has.uncancel_clears) {
            task->fut.must_cancel = false;
        }
    }
    return task->fut.cancels;
}

PyDoc_STRVAR(uncancel_doc, "uncancel($self, /)\n--\n\n\
Decrement the task's count of cancellation requests.\n\n\
This should be used by tasks that catch CancelledError\n\
and wish to continue indefinitely until they are cancelled again.\n\n\
Returns the remaining number of cancellation requests.");

static PyObject *
task_uncancel(PyObject *self, PyObject *unused)
{
    return PyLong_FromLong(uncancel(ouro_state_of(self), (TaskObject *)self));
}

static int
call_for_count(PyObject *task, PyObject *method)
{
    PyObject *count = PyObject_CallMethodNoArgs(task, method);
    if (count == NULL) {
        return -1;
    }
    long value = PyLong_AsLong(count);
    Py_DECREF(count);
    return value == -1 && PyErr_Occurred() ? -1 : (int)value;
}

int
ouro_anytask_uncancel(ouro_state *st, PyObject *task)
{
    if (task != NULL && ouro_task_exact(st, task)) {
        return uncancel(st, (TaskObject *)task);
    }
    return call_for_count(task != NULL ? task : Py_None, st->str.uncancel);
}

int
ouro_anytask_cancelling(ouro_state *st, PyObject *task)
{
    if (task != NULL && ouro_task_exact(st, task)) {
        return ((TaskObject *)task)->fut.cancels;
    }
    return call_for_count(task != NULL ? task : Py_None, st->str.cancelling);
}

/* ---- methods ----------------------------------------------------------- */

PyDoc_STRVAR(get_name_doc, "get_name($self, /)\n--\n\n"
                           "Return the task's name.");

static PyObject *
task_get_name(PyObject *self, PyObject *unused)
{
    TaskObject *task = (TaskObject *)self;
    if ((task->name & 1) != 0) {
        PyObject *name = PyUnicode_FromFormat(
            "Task-%llu", (unsigned long long)task->name >> 1);
        if (name == NULL) {
            return NULL;
        }
        task->name = (uintptr_t)name;
    }
    return Py_NewRef(ouro_or_none(name_object(task)));
}

PyDoc_STRVAR(set_name_doc, "set_name($self, value, /)\n--\n\n"
                           "Set the task's name, as str(value).");

static PyObject *
task_set_name(PyObject *self, PyObject *value)
{
    PyObject *name =
        PyUnicode_CheckExact(value) ? Py_NewRef(value) : PyObject_Str(value);
    if (name == NULL) {
        return NULL;
    }
    set_name((TaskObject *)self, (uintptr_t)name);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_coro_doc, "get_coro($self, /)\n--\n\n"
                           "Return the coroutine that the task runs.");

static PyObject *
task_get_coro(PyObject *self, PyObject *unused)
{
    PyObject *coro = ((TaskObject *)self)->coro;
    return Py_NewRef(coro != NULL ? coro : Py_None);
}

PyDoc_STRVAR(get_context_doc, "get_context($self, /)\n--\n\n"
                              "Return the context that the task runs in.");

static PyObject *
task_get_context(PyObject *self, PyObject *unused)
{
    PyObject *context = ((TaskObject *)self)->context;
    return Py_NewRef(context != NULL ? context : Py_None);
}

PyDoc_STRVAR(get_stack_doc, "get_stack($self, /, *, limit=None)\n--\n\n\
Return the list of stack frames for this task's coroutine.\n\n\
If the coroutine is not done, this returns the stack where it is\n\
suspended.  If the coroutine has completed successfully or was\n\
cancelled, this returns an empty list.  If the coroutine was\n\
terminated by an exception, this returns the list of traceback\n\
frames.\n\n\
The frames are always ordered from oldest to newest.");

static PyObject *
task_get_stack(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"limit", NULL};
    PyObject *limit = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:get_stack", keywords,
                                     &limit)) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(self);
    return PyObject_CallMethodObjArgs(
        st->stock.base_tasks, st->str._task_get_stack, self, limit, NULL);
}

PyDoc_STRVAR(print_stack_doc,
"print_stack($self, /, *, limit=None, file=None)\n--\n\n\
Print the stack or traceback for this task's coroutine.\n\n\
This produces output similar to that of the traceback module,\n\
for the frames retrieved by get_stack().");

static PyObject *
task_print_stack(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"limit", "file", NULL};
    PyObject *limit = Py_None, *file = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OO:print_stack",
                                     keywords, &limit, &file)) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(self);
    return PyObject_CallMethodObjArgs(st->stock.base_tasks,
                                      st->str._task_print_stack, self, limit,
                                      file, NULL);
}

PyDoc_STRVAR(set_result_doc, "set_result($self, result, /)\n--\n\n"
                             "Not supported: raises RuntimeError.");

static PyObject *
task_set_result(PyObject *self, PyObject *unused)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "Task does not support set_result operation");
    return NULL;
}

PyDoc_STRVAR(set_exception_doc, "set_exception($self, exception, /)\n--\n\n"
                                "Not supported: raises RuntimeError.");

static PyObject *
task_set_exception(PyObject *self, PyObject *unused)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "Task does not support set_exception operation");
    return NULL;
}

static PyMethodDef task_methods[] = {
    OURO_METHOD("cancel", task_cancel, cancel_doc),
    {"cancelling", task_cancelling, METH_NOARGS, cancelling_doc},
    {"uncancel", task_uncancel, METH_NOARGS, uncancel_doc},
    {"get_name", task_get_name, METH_NOARGS, get_name_doc},
    {"set_name", task_set_name, METH_O, set_name_doc},
    {"get_coro", task_get_coro, METH_NOARGS, get_coro_doc},
    {"get_stack", _PyCFunction_CAST(task_get_stack),
     METH_VARARGS | METH_KEYWORDS, get_stack_doc},
    {"print_stack", _PyCFunction_CAST(task_print_stack),
     METH_VARARGS | METH_KEYWORDS, print_stack_doc},
    {"set_result", task_set_result, METH_O, set_result_doc},
    {"set_exception", task_set_exception, METH_O, set_exception_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL},
};

/* From 3.12. */
static PyMethodDef get_context_method = {"get_context", task_get_context,
                                         METH_NOARGS, get_context_doc};

PyDoc_STRVAR(task_doc, "A coroutine wrapped in a Future.");

static PyType_Slot task_slots[] = {
    {Py_tp_doc, (void *)task_doc},
    {Py_tp_new, task_tp_new},
    {Py_tp_init, task_tp_init},
    {Py_tp_dealloc, task_dealloc},
    {Py_tp_finalize, task_finalize},
    {Py_tp_traverse, task_traverse},
    {Py_tp_clear, task_clear},
    {Py_tp_repr, ouro_task_repr},
    {Py_tp_iter, ouro_future_await},
    {Py_am_await, ouro_future_await},
    {Py_tp_methods, task_methods},
    {Py_tp_getset, ouro_task_getset},
    {0, NULL},
};

/* get_context() must be in place before the type becomes immutable: it is
 * added to the type's dict by hand. */
static int
add_versioned_methods(ouro_state *st)
{
    if (!st->has.eager_tasks) {
        return 0;
    }
    PyObject *method = PyDescr_NewMethod(st->types.Task, &get_context_method);
    if (method == NULL) {
        return -1;
    }
    int result =
        PyDict_SetItemString(st->types.Task->tp_dict, "get_context", method);
    Py_DECREF(method);
    PyType_Modified(st->types.Task);
    return result;
}

int
ouro_task_setup(PyObject *module, ouro_state *st)
{
    PyType_Spec spec = {
        .name = "ouro.Task",
        .basicsize = sizeof(TaskObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
                 | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = task_slots,
    };
    if (ouro_task_callables_setup(module, st) < 0) {
        return -1;
    }
    if (ouro_add_type(module, &spec, (PyObject *)st->types.Future, true,
                      &st->types.Task)
        < 0) {
        return -1;
    }
    return add_versioned_methods(st);
}
