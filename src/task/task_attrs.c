/* task_attrs.c - what Python sees of a task's insides. */
#include "task/task_impl.h"

static PyObject *
get_coro(PyObject *self, void *unused)
{
    return Py_NewRef(ouro_or_none(((TaskObject *)self)->coro));
}

static PyObject *
get_fut_waiter(PyObject *self, void *unused)
{
    return Py_NewRef(ouro_or_none(((TaskObject *)self)->waiter));
}

static PyObject *
get_must_cancel(PyObject *self, void *unused)
{
    return PyBool_FromLong(((TaskObject *)self)->fut.must_cancel);
}

static PyObject *
get_log_destroy_pending(PyObject *self, void *unused)
{
    return PyBool_FromLong(((TaskObject *)self)->fut.log_destroy_pending);
}

static int
set_log_destroy_pending(PyObject *self, PyObject *value, void *unused)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    int truth = PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    ((TaskObject *)self)->fut.log_destroy_pending = truth != 0;
    return 0;
}

PyGetSetDef ouro_task_getset[] = {
    {"_coro", get_coro, NULL, NULL, NULL},
    {"_fut_waiter", get_fut_waiter, NULL, NULL, NULL},
    {"_must_cancel", get_must_cancel, NULL, NULL, NULL},
    {"_log_destroy_pending", get_log_destroy_pending, set_log_destroy_pending,
     NULL, NULL},
    {NULL},
};

/* The text is asyncio's own, made by its function. */
PyObject *
ouro_task_repr(PyObject *self)
{
    ouro_state *st = ouro_state_of(self);
    return PyObject_CallMethodOneArg(st->stock.base_tasks, st->str._task_repr,
                                     self);
}
