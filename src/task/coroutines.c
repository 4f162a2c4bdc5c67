/* coroutines.c - asyncio.iscoroutine(), asyncio.iscoroutinefunction(). */
#include "task/coroutines.h"

#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/future.h"

int
ouro_iscoroutine(ouro_state *st, PyObject *object)
{
    if (PyCoro_CheckExact(object) || ouro_await_check(st, object)) {
        return 1;
    }
    if (ouro_future_exact(st, object)) {
        return 0;
    }
    if (st->has.task.iscoroutine_generators) {
        int generator = PyObject_IsInstance(object, (PyObject *)&PyGen_Type);
        if (generator != 0) {
            return generator;
        }
    }
    return PyObject_IsInstance(object, st->stock.CoroutineABC);
}

PyDoc_STRVAR(iscoroutine_doc, "iscoroutine(obj)\n--\n\n\
Return True if obj is a coroutine object.");

static PyObject *
iscoroutine(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "iscoroutine",
        .positional = 1,
        .required = 1,
        .names = {"obj", NULL},
    };
    PyObject *object;
    if (ouro_parse(&signature, args, nargs, kwnames, &object) < 0) {
        return NULL;
    }
    int truth = ouro_iscoroutine(ouro_module_state(module), object);
    return truth < 0 ? NULL : PyBool_FromLong(truth);
}

/* The mark that asyncio.coroutine() once set, and functions like ours have. */
static int
has_mark(ouro_state *st, PyObject *function)
{
    PyObject *mark, *expected;
    int found =
        PyObject_GetOptionalAttr(function, st->str._is_coroutine, &mark);
    if (found <= 0) {
        return found;
    }
    Py_DECREF(mark); /* only compared */
    expected = PyObject_GetAttr(st->stock.coroutines, st->str._is_coroutine);
    Py_XDECREF(expected);
    return expected == NULL ? -1 : expected == mark;
}

static int
warn_deprecated(void)
{
    return PyErr_WarnEx(
        PyExc_DeprecationWarning,
        "'asyncio.iscoroutinefunction' is deprecated and slated for removal "
        "in Python 3.16; use inspect.iscoroutinefunction() instead",
        1);
}

PyDoc_STRVAR(iscoroutinefunction_doc, "iscoroutinefunction(func)\n--\n\n\
Return True if func is a decorated coroutine function.");

static PyObject *
iscoroutinefunction(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "iscoroutinefunction",
        .positional = 1,
        .required = 1,
        .names = {"func", NULL},
    };
    ouro_state *st = ouro_module_state(module);
    PyObject *function;
    if (ouro_parse(&signature, args, nargs, kwnames, &function) < 0
        || (st->has.task.deprecates_iscoroutinefunction
            && warn_deprecated() < 0)) {
        return NULL;
    }
    int truth = ouro_truth_of(
        PyObject_CallOneArg(st->stock.inspect_iscoroutinefunction, function));
    if (truth == 0) {
        truth = has_mark(st, function);
    }
    return truth < 0 ? NULL : PyBool_FromLong(truth);
}

static PyMethodDef coroutines_functions[] = {
    OURO_METHOD("iscoroutine", iscoroutine, iscoroutine_doc),
    OURO_METHOD("iscoroutinefunction", iscoroutinefunction,
                iscoroutinefunction_doc),
    {NULL},
};

int
ouro_coroutines_setup(PyObject *module, ouro_state *st)
{
    return PyModule_AddFunctions(module, coroutines_functions);
}
