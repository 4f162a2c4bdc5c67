/* eager.c - tasks that start inside of their creator (3.12+). */
#include "task/registry.h"
#include "task/task_impl.h"

static int
step_in_own_context(ouro_state *st, TaskObject *task)
{
    if (PyContext_Enter(task->context) < 0) {
        return -1;
    }
    int result = ouro_task_step(st, task, NULL);
    PyObject *error = PyErr_GetRaisedException();
    if (PyContext_Exit(task->context) < 0) {
        Py_XDECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    return result;
}

static int
step_as_current(ouro_state *st, TaskObject *task, PyObject *loop)
{
    PyObject *previous = ouro_swap_task(st, loop, (PyObject *)task);
    if (previous == NULL) {
        return -1;
    }
    ouro_registry_add(st, task);
    int result = step_in_own_context(st, task);
    PyObject *error = PyErr_GetRaisedException();
    PyObject *swapped = ouro_swap_task(st, loop, previous);
    Py_DECREF(previous);
    if (swapped == NULL) {
        Py_XDECREF(error);
        return -1;
    }
    Py_DECREF(swapped);
    PyErr_SetRaisedException(error);
    return result;
}

int
ouro_task_start_eagerly(ouro_state *st, TaskObject *task)
{
    PyObject *loop = Py_NewRef(task->fut.loop);
    int result = step_as_current(st, task, loop);
    Py_DECREF(loop);
    if (task->fut.state != FUTURE_PENDING) {
        ouro_registry_remove(task);
        Py_CLEAR(task->coro);
    }
    return result;
}
