/* fork.c - what must not be shared between a parent and its fork's child.
 *
 * Before the fork: what transports have gathered is sent, or both processes
 * would send it.
 *
 * In the child: the interpreter's wake-up descriptor is taken back, or the
 * child's signals would arrive in the parent.  From 3.12 on asyncio does so
 * itself.  (The loop's own descriptors need nothing here: the engine notices
 * that they are the parent's.)
 */
#include "loop/loop.h"

static PyObject *
after_fork_in_child(PyObject *module, PyObject *ignored)
{
    ouro_state *st = ouro_module_state(module);
    if (st->stock.signal == NULL) {
        Py_RETURN_NONE; /* the module has been cleared */
    }
    PyObject *result =
        PyObject_CallMethod(st->stock.signal, "set_wakeup_fd", "i", -1);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear(); /* forked by another thread than the main one */
        Py_RETURN_NONE;
    }
    return result;
}

static PyObject *
before_fork(PyObject *module, PyObject *ignored)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *loop;
    if (st->stock.signal == NULL) {
        Py_RETURN_NONE; /* the module has been cleared */
    }
    if (ouro_running_loop_or_null(st, &loop) < 0) {
        return NULL;
    }
    int result = 0;
    if (loop != NULL && ouro_loop_check(st, loop)) {
        result = ou_loop_run_deferred(ouro_loop_engine(loop));
    }
    Py_XDECREF(loop);
    return ouro_none_or_error(result);
}

static PyMethodDef before = {"_before_fork", before_fork, METH_NOARGS, NULL};
static PyMethodDef after = {"_after_fork_in_child", after_fork_in_child,
                            METH_NOARGS, NULL};

/* os.register_at_fork(**{when: function}) */
static int
register_hook(PyObject *module, ouro_state *st, const char *when,
              PyMethodDef *function)
{
    PyObject *hook = PyCFunction_NewEx(function, module, NULL);
    PyObject *empty = PyTuple_New(0);
    PyObject *kwargs = hook != NULL ? Py_BuildValue("{sO}", when, hook) : NULL;
    PyObject *add = PyObject_GetAttrString(st->stock.os, "register_at_fork");
    PyObject *result = NULL;
    if (empty != NULL && kwargs != NULL && add != NULL) {
        result = PyObject_Call(add, empty, kwargs);
    }
    Py_XDECREF(add);
    Py_XDECREF(kwargs);
    Py_XDECREF(empty);
    Py_XDECREF(hook);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
ouro_fork_setup(PyObject *module, ouro_state *st)
{
    if (register_hook(module, st, "before", &before) < 0) {
        return -1;
    }
    return st->has.minor >= 12
               ? 0
               : register_hook(module, st, "after_in_child", &after);
}
