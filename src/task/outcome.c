/* outcome.c - completing a future, and looking at what came of it.
 *
 * The outcome goes down from set_result(), set_exception() or cancel() into
 * the future and on to callbacks.c, which wakes who waits.
 */
#include "task/callbacks.h"
#include "task/future_impl.h"

/* ---- completing -------------------------------------------------------- */

int
ouro_future_check_alive(FutureObject *fut)
{
    if (fut->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Future object is not initialized.");
        return -1;
    }
    return 0;
}

static int
check_pending(FutureObject *fut)
{
    if (ouro_future_check_alive(fut) < 0) {
        return -1;
    }
    if (fut->state != FUTURE_PENDING) {
        ouro_state *st = ouro_state_of((PyObject *)fut);
        PyErr_SetString(st->stock.InvalidStateError, "invalid state");
        return -1;
    }
    return 0;
}

int
ouro_future_set_result(FutureObject *fut, PyObject *result)
{
    if (check_pending(fut) < 0) {
        return -1;
    }
    return ouro_future_finish(fut, FUTURE_FINISHED, Py_NewRef(result));
}

/* From 3.13 a StopIteration is set as the cause of a RuntimeError. */
static PyObject *
wrap_stopiteration(PyObject *exception)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "StopIteration interacts badly with generators and "
                    "cannot be raised into a Future");
    PyObject *wrapper = PyErr_GetRaisedException();
    if (wrapper != NULL) {
        PyException_SetCause(wrapper, Py_NewRef(exception));
        PyException_SetContext(wrapper, exception);
    }
    else {
        Py_DECREF(exception);
    }
    return wrapper;
}

/* What set_exception() stores for its argument: a new reference. */
static PyObject *
checked_exception(ouro_state *st, PyObject *exception)
{
    PyObject *value = PyExceptionClass_Check(exception)
                          ? PyObject_CallNoArgs(exception)
                          : Py_NewRef(exception);
    if (value == NULL) {
        return NULL;
    }
    if (!PyExceptionInstance_Check(value)) {
        Py_DECREF(value);
        PyErr_SetString(PyExc_TypeError, "invalid exception object");
        return NULL;
    }
    if (st->has.wraps_stopiteration
        && PyErr_GivenExceptionMatches(value, PyExc_StopIteration)) {
        return wrap_stopiteration(value);
    }
    if (Py_IS_TYPE(value, (PyTypeObject *)PyExc_StopIteration)) {
        Py_DECREF(value);
        PyErr_SetString(PyExc_TypeError,
                        "StopIteration interacts badly with generators and "
                        "cannot be raised into a Future");
        return NULL;
    }
    return value;
}

int
ouro_future_set_exception(FutureObject *fut, PyObject *exception)
{
    if (check_pending(fut) < 0) {
        return -1;
    }
    ouro_state *st = ouro_state_of((PyObject *)fut);
    PyObject *value = checked_exception(st, exception);
    if (value == NULL) {
        return -1;
    }
    /* Making the instance ran Python. */
    if (check_pending(fut) < 0) {
        Py_DECREF(value);
        return -1;
    }
    PyObject *traceback = PyException_GetTraceback(value);
    if (traceback != NULL) {
        if (ouro_future_extras(fut) == NULL) {
            Py_DECREF(traceback);
            Py_DECREF(value);
            return -1;
        }
        Py_XSETREF(fut->extras->exception_traceback, traceback);
    }
    fut->failed = true;
    if (ouro_future_finish(fut, FUTURE_FINISHED, value) < 0) {
        return -1;
    }
    fut->log_traceback = true;
    return 0;
}

int
ouro_future_fail(FutureObject *fut, PyObject *exception)
{
    fut->failed = true;
    fut->log_traceback = true;
    return ouro_future_finish(fut, FUTURE_FINISHED, Py_NewRef(exception));
}

bool
ouro_future_end_for_want(ouro_state *st, PyObject *fut)
{
    if (!PyErr_ExceptionMatches(PyExc_MemoryError)
        || !ouro_future_check(st, fut)
        || ((FutureObject *)fut)->state != FUTURE_PENDING) {
        return false;
    }
    PyObject *error = PyErr_GetRaisedException();
    int result = ouro_future_fail((FutureObject *)fut, error);
    Py_DECREF(error);
    return result == 0;
}

int
ouro_future_cancel(FutureObject *fut, PyObject *message)
{
    if (ouro_future_check_alive(fut) < 0) {
        return -1;
    }
    fut->log_traceback = false;
    if (fut->state != FUTURE_PENDING) {
        return 0;
    }
    if (ouro_future_set_cancel_message(fut, message) < 0) {
        return -1;
    }
    return ouro_future_finish(fut, FUTURE_CANCELLED, NULL) < 0 ? -1 : 1;
}

/* ---- looking at the outcome -------------------------------------------- */

/* The CancelledError of a cancelled future, once the one that was raised in
 * the task itself: a new reference. */
PyObject *
ouro_future_cancelled_error(ouro_state *st, FutureObject *fut)
{
    future_extras *extras = fut->extras;
    if (extras != NULL && extras->cancelled_exc != NULL) {
        PyObject *exception = extras->cancelled_exc;
        extras->cancelled_exc = NULL;
        return exception;
    }
    if (extras == NULL || extras->cancel_message == NULL
        || extras->cancel_message == Py_None) {
        return PyObject_CallNoArgs(st->stock.CancelledError);
    }
    PyObject *message = Py_NewRef(extras->cancel_message);
    PyObject *error = PyObject_CallOneArg(st->stock.CancelledError, message);
    Py_DECREF(message);
    return error;
}

/* asyncio reports a missing __init__ here as another error than elsewhere. */
int
ouro_future_check_readable(FutureObject *fut)
{
    if (fut->loop == NULL) {
        ouro_state *st = ouro_state_of((PyObject *)fut);
        PyErr_SetString(st->stock.InvalidStateError,
                        "Future object is not initialized.");
        return -1;
    }
    return 0;
}

void
ouro_future_raise_cancelled(ouro_state *st, FutureObject *fut)
{
    PyObject *exception = ouro_future_cancelled_error(st, fut);
    if (exception != NULL) {
        ouro_raise(exception);
        Py_DECREF(exception);
    }
}

/* The exception of a failed future with the traceback that it came with; as
 * in asyncio only the first who asks gets the traceback. */
static PyObject *
take_exception(FutureObject *fut)
{
    PyObject *traceback = NULL;
    if (fut->extras != NULL) {
        traceback = fut->extras->exception_traceback;
        fut->extras->exception_traceback = NULL;
    }
    int result = PyException_SetTraceback(
        fut->result, traceback != NULL ? traceback : Py_None);
    Py_XDECREF(traceback);
    return result < 0 ? NULL : Py_NewRef(fut->result);
}

int
ouro_future_exception(FutureObject *fut, PyObject **ret_exception)
{
    if (fut->state == FUTURE_CANCELLED) {
        ouro_state *st = ouro_state_of((PyObject *)fut);
        *ret_exception = ouro_future_cancelled_error(st, fut);
        return *ret_exception == NULL ? -1 : 1;
    }
    fut->log_traceback = false;
    if (!fut->failed) {
        *ret_exception = NULL;
        return 0;
    }
    *ret_exception = take_exception(fut);
    return *ret_exception == NULL ? -1 : 1;
}

PyObject *
ouro_future_result(FutureObject *fut)
{
    if (ouro_future_check_readable(fut) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of((PyObject *)fut);
    if (fut->state == FUTURE_CANCELLED) {
        ouro_future_raise_cancelled(st, fut);
        return NULL;
    }
    if (fut->state == FUTURE_PENDING) {
        PyErr_SetString(st->stock.InvalidStateError, "Result is not set.");
        return NULL;
    }
    fut->log_traceback = false;
    if (!fut->failed) {
        return Py_NewRef(fut->result);
    }
    PyObject *exception = take_exception(fut);
    if (exception != NULL) {
        ouro_raise(exception);
        Py_DECREF(exception);
    }
    return NULL;
}
