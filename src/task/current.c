/* current.c - which task runs: written into asyncio's own registry.
 *
 * Up to 3.13 that is a dict {loop: task} which we may write directly; from
 * 3.14 it is a field of the thread state, reached through _asyncio.
 */
#include "task/registry.h"

#include "base/args.h"

int
ouro_enter_task(ouro_state *st, PyObject *loop, PyObject *task)
{
    PyObject *args[] = {loop, task};
    return ouro_drop_result(
        PyObject_Vectorcall(st->stock._enter_task, args, 2, NULL));
}

int
ouro_leave_task(ouro_state *st, PyObject *loop, PyObject *task)
{
    PyObject *args[] = {loop, task};
    return ouro_drop_result(
        PyObject_Vectorcall(st->stock._leave_task, args, 2, NULL));
}

static int
check_nothing_entered(ouro_state *st, PyObject *loop, PyObject *task)
{
    PyObject *other;
    if (PyDict_GetItemRef(st->stock._current_tasks, loop, &other) < 0) {
        return -1;
    }
    if (other == NULL) {
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "Cannot enter into task %R while another task %R is being "
                 "executed.",
                 task, other);
    Py_DECREF(other);
    return -1;
}

int
ouro_enter_task_fast(LoopCore *loop, TaskObject *task)
{
    ouro_state *st = loop->st;
    if (st->stock._current_tasks == NULL) {
        return ouro_enter_task(st, (PyObject *)loop, (PyObject *)task);
    }
    if (loop->entered == NULL
        && check_nothing_entered(st, (PyObject *)loop, (PyObject *)task) < 0) {
        return -1;
    }
    if (PyDict_SetItem(st->stock._current_tasks, (PyObject *)loop,
                       (PyObject *)task)
        < 0) {
        return -1;
    }
    Py_XSETREF(loop->entered, Py_NewRef((PyObject *)task));
    return 0;
}

int
ouro_leave_entered(LoopCore *loop)
{
    PyObject *entered = loop->entered;
    loop->entered = NULL;
    int result = 0;
    if (PyDict_DelItem(loop->st->stock._current_tasks, (PyObject *)loop) < 0) {
        /* Somebody has called _leave_task() for us. */
        if (PyErr_ExceptionMatches(PyExc_KeyError)) {
            PyErr_Clear();
        }
        else {
            result = -1;
        }
    }
    Py_DECREF(entered);
    return result;
}

int
ouro_after_step_fast(LoopCore *loop, TaskObject *task)
{
    if (loop->st->stock._current_tasks == NULL) {
        return ouro_leave_task(loop->st, (PyObject *)loop, (PyObject *)task);
    }
    if (task->fut.state == FUTURE_PENDING || loop->entered == NULL) {
        return 0;
    }
    return ouro_leave_entered(loop);
}

PyObject *
ouro_current_task(ouro_state *st, PyObject *loop)
{
    if (st->stock._current_tasks == NULL) {
        return PyObject_CallFunctionObjArgs(st->stock.current_task, loop,
                                            NULL);
    }
    loop = loop == NULL ? ouro_running_loop(st) : Py_NewRef(loop);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *task;
    int found = PyDict_GetItemRef(st->stock._current_tasks, loop, &task);
    Py_DECREF(loop);
    if (found < 0) {
        return NULL;
    }
    return task != NULL ? task : Py_NewRef(Py_None);
}

int
ouro_awaiting_task(ouro_state *st, PyObject **ret)
{
    *ret = NULL;
    if (!st->has.call_graph) {
        return 0;
    }
    PyObject *loop;
    if (ouro_running_loop_or_null(st, &loop) < 0) {
        return -1;
    }
    PyObject *task =
        loop == NULL ? Py_NewRef(Py_None) : ouro_current_task(st, loop);
    Py_XDECREF(loop);
    if (task == NULL) {
        return -1;
    }
    if (task == Py_None) {
        Py_DECREF(task);
        return 0;
    }
    *ret = task;
    return 0;
}

PyDoc_STRVAR(current_task_doc, "current_task(loop=None)\n--\n\n\
Return the currently running task of the loop (default: the running one),\n\
or None.");

static const ouro_signature current_task_signature = {
    .qualname = "current_task",
    .positional = 1,
    .names = {"loop", NULL},
};

static PyObject *
current_task(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    PyObject *loop;
    if (ouro_parse(&current_task_signature, args, nargs, kwnames, &loop) < 0) {
        return NULL;
    }
    return ouro_current_task(ouro_module_state(module),
                             loop == Py_None ? NULL : loop);
}

PyMethodDef ouro_current_functions[] = {
    OURO_METHOD("current_task", current_task, current_task_doc),
    {NULL},
};
