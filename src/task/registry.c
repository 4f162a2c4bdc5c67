/* registry.c - which tasks there are.
 *
 * Our live tasks are linked in a list of the module's state: 5 ns a task,
 * where a WeakSet entry costs 400.  asyncio's WeakSet of all tasks is what
 * stock code iterates (asyncio.run() cancels what it finds there), so its
 * class is replaced by a subclass whose iteration, length and membership
 * include the list.
 */
#include "task/registry.h"

#include "base/args.h"
#include "base/rooms.h"

void
ouro_registry_add(ouro_state *st, TaskObject *task)
{
    if (task->link != NULL) {
        return;
    }
    task->next = st->tasks;
    task->link = &st->tasks;
    if (task->next != NULL) {
        task->next->link = &task->next;
    }
    st->tasks = task;
}

void
ouro_registry_remove(TaskObject *task)
{
    if (task->link == NULL) {
        return;
    }
    *task->link = task->next;
    if (task->next != NULL) {
        task->next->link = task->link;
    }
    task->next = NULL;
    task->link = NULL;
}

/* Append to list the live tasks of ours that belong to loop (NULL: all). */
static int
append_ours(ouro_state *st, PyObject *list, PyObject *loop)
{
    for (TaskObject *task = st->tasks; task != NULL; task = task->next) {
        /* A task whose deallocation has begun is not given out again. */
        if (Py_REFCNT(task) == 0 || task->fut.state != FUTURE_PENDING
            || (loop != NULL && task->fut.loop != loop)) {
            continue;
        }
        if (PyList_Append(list, (PyObject *)task) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- asyncio's WeakSet, extended --------------------------------------- */

/* A module that is imported anew extends the set's class once more: so each
 * method goes by the class that it was defined in, not by that of the set. */

static ouro_state *
state_of_class(PyTypeObject *defining)
{
    PyObject *module =
        PyObject_GetAttrString((PyObject *)defining, "_ouro_module");
    if (module == NULL) {
        return NULL;
    }
    ouro_state *st = NULL;
    if (PyModule_Check(module)
        && PyModule_GetDef(module) == &ouro_module_def) {
        st = ouro_module_state(module);
    }
    else {
        PyErr_SetString(PyExc_TypeError, "_ouro_module was overwritten");
    }
    Py_DECREF(module); /* the class holds it */
    return st;
}

/* What the WeakSet itself holds and what the list does, as a list. */
static PyObject *
all_members(PyObject *self, PyTypeObject *defining)
{
    ouro_state *st = state_of_class(defining);
    if (st == NULL) {
        return NULL;
    }
    PyObject *own = PyObject_CallMethod((PyObject *)defining->tp_base,
                                        "__iter__", "O", self);
    if (own == NULL) {
        return NULL;
    }
    PyObject *list = PySequence_List(own);
    Py_DECREF(own);
    if (list != NULL && append_ours(st, list, NULL) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *
set_iter(PyObject *self, PyTypeObject *defining, PyObject *const *args,
         Py_ssize_t nargs, PyObject *kwnames)
{
    if (ouro_parse_none("WeakSet.__iter__", args, nargs, kwnames) < 0) {
        return NULL;
    }
    PyObject *list = all_members(self, defining);
    if (list == NULL) {
        return NULL;
    }
    PyObject *iter = PyObject_GetIter(list);
    Py_DECREF(list);
    return iter;
}

static PyObject *
set_len(PyObject *self, PyTypeObject *defining, PyObject *const *args,
        Py_ssize_t nargs, PyObject *kwnames)
{
    if (ouro_parse_none("WeakSet.__len__", args, nargs, kwnames) < 0) {
        return NULL;
    }
    PyObject *list = all_members(self, defining);
    if (list == NULL) {
        return NULL;
    }
    Py_ssize_t length = PyList_GET_SIZE(list);
    Py_DECREF(list);
    return PyLong_FromSsize_t(length);
}

static PyObject *
set_contains(PyObject *self, PyTypeObject *defining, PyObject *const *args,
             Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("WeakSet.__contains__", "item");
    PyObject *item;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &item) < 0) {
        return NULL;
    }
    PyObject *list = all_members(self, defining);
    if (list == NULL) {
        return NULL;
    }
    int found = PySequence_Contains(list, item);
    Py_DECREF(list);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

#define SET_METHOD(name, function)                                            \
    {                                                                         \
        name, _PyCFunction_CAST(function),                                    \
            METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL                 \
    }

static PyMethodDef set_methods[] = {
    SET_METHOD("__iter__", set_iter),
    SET_METHOD("__len__", set_len),
    SET_METHOD("__contains__", set_contains),
    {NULL},
};

static int
add_set_methods(PyObject *type)
{
    for (PyMethodDef *def = set_methods; def->ml_name != NULL; def++) {
        PyObject *method = PyDescr_NewMethod((PyTypeObject *)type, def);
        if (method == NULL) {
            return -1;
        }
        int result = PyObject_SetAttrString(type, def->ml_name, method);
        Py_DECREF(method);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

static int
extend_task_set(PyObject *module, ouro_state *st)
{
    PyObject *set = st->stock.scheduled_tasks;
    PyObject *type = PyObject_CallFunction(
        (PyObject *)&PyType_Type, "s(O){sssOs()}", "WeakSet", Py_TYPE(set),
        "__module__", "ouro", "_ouro_module", module, "__slots__");
    if (type == NULL) {
        return -1;
    }
    int result = add_set_methods(type);
    if (result == 0) {
        result = PyObject_SetAttrString(set, "__class__", type);
    }
    Py_DECREF(type);
    return result;
}

/* ---- all_tasks() ------------------------------------------------------- */

/* Add to the set result every task of `tasks` (a copy of one of asyncio's
 * sets) that lives on loop and is not done. */
static int
add_live(ouro_state *st, PyObject *result, PyObject *tasks, PyObject *loop)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(tasks); i++) {
        PyObject *task = PyList_GET_ITEM(tasks, i);
        PyObject *owner = ouro_anyfuture_loop(st, task);
        if (owner == NULL) {
            return -1;
        }
        Py_DECREF(owner);
        if (owner != loop) {
            continue;
        }
        int done = ouro_anyfuture_done(st, task);
        if (done < 0 || (!done && PySet_Add(result, task) < 0)) {
            return -1;
        }
    }
    return 0;
}

static int
add_live_of(ouro_state *st, PyObject *result, PyObject *tasks, PyObject *loop)
{
    PyObject *copy = PySequence_List(tasks);
    if (copy == NULL) {
        return -1;
    }
    int error = add_live(st, result, copy, loop);
    Py_DECREF(copy);
    return error;
}

PyDoc_STRVAR(all_tasks_doc, "all_tasks(loop=None)\n--\n\n\
Return a set of all tasks for the loop (default: the running one).");

static const ouro_signature all_tasks_signature = {
    .qualname = "all_tasks",
    .positional = 1,
    .names = {"loop", NULL},
};

static PyObject *
registry_all_tasks(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *loop;
    if (ouro_parse(&all_tasks_signature, args, nargs, kwnames, &loop) < 0) {
        return NULL;
    }
    loop = loop == NULL || loop == Py_None ? ouro_running_loop(st)
                                           : Py_NewRef(loop);
    if (loop == NULL) {
        return NULL;
    }
    if (st->stock.all_tasks != NULL) {
        /* It knows asyncio's own, and asks the extended set for ours. */
        PyObject *all = PyObject_CallOneArg(st->stock.all_tasks, loop);
        Py_DECREF(loop);
        return all;
    }
    PyObject *result = PySet_New(NULL);
    if (result == NULL
        || add_live_of(st, result, st->stock.scheduled_tasks, loop) < 0
        || (st->stock.eager_tasks != NULL
            && add_live_of(st, result, st->stock.eager_tasks, loop) < 0)) {
        Py_CLEAR(result);
    }
    Py_DECREF(loop);
    return result;
}

static PyMethodDef registry_functions[] = {
    OURO_METHOD("all_tasks", registry_all_tasks, all_tasks_doc),
    {NULL},
};

int
ouro_registry_setup(PyObject *module, ouro_state *st)
{
    if (extend_task_set(module, st) < 0) {
        return -1;
    }
    if (PyModule_AddFunctions(module, registry_functions) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, ouro_current_functions);
}
