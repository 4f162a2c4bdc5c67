/* host.c - reaching the loop by its documented methods.
 *
 * The direct ways are inline in host.h; here is what works on every loop.
 */
#include "task/host.h"

int
ouro_loop_check_there(PyObject *loop)
{
    if (loop == NULL) {
        PyErr_SetString(PyExc_AttributeError, "no attribute '_loop'");
        return -1;
    }
    return 0;
}

int
ouro_loop_debug(ouro_state *st, PyObject *loop)
{
    if (ouro_loop_fast(st, loop)) {
        return 0;
    }
    if (ouro_loop_check_there(loop) < 0) {
        return -1;
    }
    return ouro_truth_of(PyObject_CallMethodNoArgs(loop, st->str.get_debug));
}

double
ouro_loop_time(ouro_state *st, PyObject *loop)
{
    if (ouro_loop_fast(st, loop)) {
        return ou_loop_now(ouro_loop_engine(loop));
    }
    if (ouro_loop_check_there(loop) < 0) {
        return -1.0;
    }
    PyObject *now = PyObject_CallMethodNoArgs(loop, st->str.time);
    if (now == NULL) {
        return -1.0;
    }
    double seconds = PyFloat_AsDouble(now);
    Py_DECREF(now);
    return seconds;
}

int
ouro_loop_call_soon(ouro_state *st, PyObject *loop, PyObject *callback,
                    PyObject *arg, PyObject *context)
{
    if (ouro_loop_check_there(loop) < 0) {
        return -1;
    }
    PyObject *args[4] = {loop, callback, NULL, NULL};
    size_t nargs = 2;
    if (arg != NULL) {
        args[nargs++] = arg;
    }
    PyObject *keywords = NULL;
    if (context != NULL) {
        args[nargs] = context;
        keywords = PyTuple_Pack(1, st->str.context);
        if (keywords == NULL) {
            return -1;
        }
    }
    int result = ouro_drop_result(
        PyObject_VectorcallMethod(st->str.call_soon, args, nargs, keywords));
    Py_XDECREF(keywords);
    return result;
}

bool
ouro_loop_without_memory(ouro_state *st, PyObject *loop, PyObject *callable)
{
    if (!PyErr_ExceptionMatches(PyExc_MemoryError) || loop == NULL
        || !ouro_loop_check(st, loop) || !((LoopCore *)loop)->opened
        || (callable != NULL && Py_REFCNT(callable) != 1)) {
        return false;
    }
    PyErr_Clear();
    return true;
}

int
ouro_loop_call_exception_handler(ouro_state *st, PyObject *loop,
                                 PyObject *context)
{
    if (context == NULL || ouro_loop_check_there(loop) < 0) {
        Py_XDECREF(context);
        return -1;
    }
    int result = ouro_drop_result(PyObject_CallMethodOneArg(
        loop, st->str.call_exception_handler, context));
    Py_DECREF(context);
    return result;
}
