/* copystate.c - copy the outcome of a future into another, across asyncio's
 * and concurrent.futures' kinds.
 */
#include "task/copystate.h"

#include "base/args.h"
#include "base/rooms.h"

/* ---- exceptions -------------------------------------------------------- */

/* The counterpart of a class of concurrent.futures' errors, borrowed, or
 * NULL. */
static PyObject *
counterpart(ouro_state *st, PyObject *type)
{
    if (type == st->stock.concurrent_CancelledError) {
        return st->stock.CancelledError;
    }
    if (type == st->stock.concurrent_InvalidStateError) {
        return st->stock.InvalidStateError;
    }
    return st->has.task.convert_timeout && type == PyExc_TimeoutError
               ? PyExc_TimeoutError
               : NULL;
}

static int
copy_traceback(PyObject *from, PyObject *to)
{
    PyObject *traceback = PyException_GetTraceback(from);
    int result =
        PyException_SetTraceback(to, traceback != NULL ? traceback : Py_None);
    Py_XDECREF(traceback);
    return result;
}

PyObject *
ouro_convert_exception(ouro_state *st, PyObject *exception)
{
    PyObject *type = counterpart(st, (PyObject *)Py_TYPE(exception));
    if (type == NULL) {
        return Py_NewRef(exception);
    }
    PyObject *args = PyObject_GetAttrString(exception, "args");
    PyObject *converted =
        args == NULL ? NULL : PyObject_CallObject(type, args);
    Py_XDECREF(args);
    if (converted != NULL && st->has.task.convert_keeps_traceback
        && copy_traceback(exception, converted) < 0) {
        Py_CLEAR(converted);
    }
    return converted;
}

/* ---- copying ----------------------------------------------------------- */

static int
assert_that(int truth)
{
    if (truth == 0) {
        PyErr_SetNone(PyExc_AssertionError);
    }
    return truth > 0 ? 0 : -1;
}

int
ouro_concurrent_starts(ouro_state *st, PyObject *concurrent)
{
    return ouro_truth_of(PyObject_CallMethodNoArgs(
        concurrent, st->str.set_running_or_notify_cancel));
}

static int
set_converted(ouro_state *st, PyObject *dest, PyObject *exception)
{
    PyObject *converted = ouro_convert_exception(st, exception);
    if (converted == NULL) {
        return -1;
    }
    int result = ouro_anyfuture_set_exception(st, dest, converted);
    Py_DECREF(converted);
    return result;
}

/* The exception, if there is one, else the result. */
static int
set_outcome(ouro_state *st, PyObject *source, PyObject *dest)
{
    PyObject *exception = ouro_anyfuture_exception(st, source);
    if (exception == NULL) {
        return -1;
    }
    int result = -1;
    if (exception != Py_None) {
        result = set_converted(st, dest, exception);
    }
    else {
        PyObject *value = ouro_anyfuture_result(st, source);
        if (value != NULL) {
            result = ouro_anyfuture_set_result(st, dest, value);
            Py_DECREF(value);
        }
    }
    Py_DECREF(exception);
    return result;
}

/* 3.15: (done, cancelled, result, exception), of a concurrent future. */
static int
copy_snapshot(ouro_state *st, PyObject *snapshot, PyObject *dest)
{
    PyObject *done, *cancelled, *result, *exception;
    if (!PyArg_ParseTuple(snapshot, "OOOO", &done, &cancelled, &result,
                          &exception)) {
        return -1;
    }
    int truth = PyObject_IsTrue(done);
    if (assert_that(truth) < 0) {
        return -1;
    }
    truth = PyObject_IsTrue(cancelled);
    if (truth != 0) {
        return truth < 0 || ouro_anyfuture_cancel(st, dest, NULL) < 0 ? -1 : 0;
    }
    return exception != Py_None ? set_converted(st, dest, exception)
                                : ouro_anyfuture_set_result(st, dest, result);
}

/* The state of dest, before: 1 to go on, 0 if it was cancelled, -1. */
static int
wants_state(ouro_state *st, PyObject *dest)
{
    int cancelled = ouro_anyfuture_cancelled(st, dest);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    int done = ouro_anyfuture_done(st, dest);
    return done < 0 || assert_that(!done) < 0 ? -1 : 1;
}

static int
copy_by_snapshot(ouro_state *st, PyObject *source, PyObject *dest)
{
    int wanted = wants_state(st, dest);
    if (wanted <= 0) {
        return wanted;
    }
    PyObject *snapshot =
        PyObject_CallMethodNoArgs(source, st->str._get_snapshot);
    if (snapshot == NULL) {
        return -1;
    }
    int result = copy_snapshot(st, snapshot, dest);
    Py_DECREF(snapshot);
    return result;
}

int
ouro_copy_future_state(ouro_state *st, PyObject *source, PyObject *dest)
{
    if (st->has.task.chain_snapshots) {
        return copy_by_snapshot(st, source, dest);
    }
    int done = ouro_anyfuture_done(st, source);
    if (done < 0 || assert_that(done) < 0) {
        return -1;
    }
    int wanted = wants_state(st, dest);
    if (wanted <= 0) {
        return wanted;
    }
    int cancelled = ouro_anyfuture_cancelled(st, source);
    if (cancelled != 0) {
        return cancelled < 0 || ouro_anyfuture_cancel(st, dest, NULL) < 0 ? -1
                                                                          : 0;
    }
    return set_outcome(st, source, dest);
}

int
ouro_set_concurrent_state(ouro_state *st, PyObject *concurrent,
                          PyObject *source)
{
    int done = ouro_anyfuture_done(st, source);
    if (done < 0 || assert_that(done) < 0) {
        return -1;
    }
    int cancelled = ouro_anyfuture_cancelled(st, source);
    if (cancelled < 0
        || (cancelled
            && ouro_drop_result(
                   PyObject_CallMethodNoArgs(concurrent, st->str.cancel))
                   < 0)) {
        return -1;
    }
    int starts = ouro_concurrent_starts(st, concurrent);
    return starts <= 0 ? starts : set_outcome(st, source, concurrent);
}

/* ---- module functions -------------------------------------------------- */

PyDoc_STRVAR(set_result_unless_cancelled_doc,
"_set_result_unless_cancelled(fut, result)\n--\n\n\
Helper setting the result only if the future was not cancelled.");

static PyObject *
set_result_unless_cancelled(PyObject *module, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_set_result_unless_cancelled",
        .positional = 2,
        .required = 2,
        .names = {"fut", "result", NULL},
    };
    ouro_state *st = ouro_module_state(module);
    PyObject *given[2];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    int cancelled = ouro_anyfuture_cancelled(st, given[0]);
    if (cancelled != 0) {
        return ouro_none_or_error(cancelled);
    }
    return ouro_none_or_error(
        ouro_anyfuture_set_result(st, given[0], given[1]));
}

PyDoc_STRVAR(convert_future_exc_doc, "_convert_future_exc(exc)\n--\n\n\
The exception that asyncio has in the place of one of concurrent.futures'.");

static PyObject *
convert_future_exc(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_convert_future_exc",
        .positional = 1,
        .required = 1,
        .names = {"exc", NULL},
    };
    PyObject *exception;
    if (ouro_parse(&signature, args, nargs, kwnames, &exception) < 0) {
        return NULL;
    }
    return ouro_convert_exception(ouro_module_state(module), exception);
}

PyDoc_STRVAR(copy_future_state_doc,
"_copy_future_state(source, dest)\n--\n\n\
Internal helper to copy state from another Future.\n\n\
The other Future may be a concurrent.futures.Future.");

static PyObject *
copy_future_state(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_copy_future_state",
        .positional = 2,
        .required = 2,
        .names = {"source", "dest", NULL},
    };
    PyObject *given[2];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_copy_future_state(ouro_module_state(module), given[0], given[1]));
}

PyDoc_STRVAR(set_concurrent_future_state_doc,
"_set_concurrent_future_state(concurrent, source)\n--\n\n\
Copy state from a future to a concurrent.futures.Future.");

static PyObject *
set_concurrent_future_state(PyObject *module, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_set_concurrent_future_state",
        .positional = 2,
        .required = 2,
        .names = {"concurrent", "source", NULL},
    };
    PyObject *given[2];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_set_concurrent_state(
        ouro_module_state(module), given[0], given[1]));
}

static PyMethodDef copystate_functions[] = {
    OURO_METHOD("_set_result_unless_cancelled", set_result_unless_cancelled,
                set_result_unless_cancelled_doc),
    OURO_METHOD("_convert_future_exc", convert_future_exc,
                convert_future_exc_doc),
    OURO_METHOD("_copy_future_state", copy_future_state,
                copy_future_state_doc),
    OURO_METHOD("_set_concurrent_future_state", set_concurrent_future_state,
                set_concurrent_future_state_doc),
    {NULL},
};

int
ouro_copystate_setup(PyObject *module, ouro_state *st)
{
    return PyModule_AddFunctions(module, copystate_functions);
}
