/* flow.c - flow control of writing: the marks between which a protocol is
 * paused (see transport.h).
 */
#include "net/transport_impl.h"

/* protocol.pause_writing() or resume_writing(); what they raise is reported.
 */
static int
call_flow(ouro_state *st, TransportObject *self, bool pause)
{
    PyObject *protocol = Py_NewRef(self->protocol);
    const protocol_ops *ops = ouro_transport_usable_ops(self);
    int result;
    if (ops != NULL) {
        result = pause ? ops->pause_writing(protocol)
                       : ops->resume_writing(protocol);
    }
    else {
        PyObject *name =
            pause ? st->str.pause_writing : st->str.resume_writing;
        result = ouro_drop_result(PyObject_CallMethodNoArgs(protocol, name));
    }
    Py_DECREF(protocol);
    if (result < 0 && !ouro_error_leaves_loop() && self->loop != NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        result =
            ouro_transport_report(st, self,
                                  pause ? "protocol.pause_writing() failed"
                                        : "protocol.resume_writing() failed",
                                  exception);
        Py_DECREF(exception);
    }
    return result;
}

int
ouro_transport_maybe_pause(ouro_state *st, TransportObject *self)
{
    if (self->protocol_paused || self->protocol == NULL
        || self->kind->output_size(self) <= self->high) {
        return 0;
    }
    self->protocol_paused = true;
    return call_flow(st, self, true);
}

int
ouro_transport_maybe_resume(ouro_state *st, TransportObject *self)
{
    if (!self->protocol_paused || self->protocol == NULL
        || self->kind->output_size(self) > self->low) {
        return 0;
    }
    self->protocol_paused = false;
    return call_flow(st, self, false);
}

/* A mark as a number of bytes; numbers beyond all sizes are cut. */
static int
mark_size(PyObject *mark, size_t *ret)
{
    PyObject *whole = PyNumber_Long(mark);
    if (whole == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear(); /* infinity */
        *ret = PY_SSIZE_T_MAX;
        return 0;
    }
    size_t size = PyLong_AsSize_t(whole);
    Py_DECREF(whole);
    if (size == (size_t)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        size = PY_SSIZE_T_MAX;
    }
    *ret = size;
    return 0;
}

/* high >= low >= 0, by Python's comparisons. 1, 0 or -1. */
static int
marks_in_order(PyObject *high, PyObject *low)
{
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL) {
        return -1;
    }
    int result = PyObject_RichCompareBool(high, low, Py_GE);
    if (result > 0) {
        result = PyObject_RichCompareBool(low, zero, Py_GE);
    }
    Py_DECREF(zero);
    return result;
}

/* number <operation> 4 */
static PyObject *
by_four(PyObject *number, PyObject *(*operation)(PyObject *, PyObject *))
{
    PyObject *four = PyLong_FromLong(4);
    if (four == NULL) {
        return NULL;
    }
    PyObject *result = operation(number, four);
    Py_DECREF(four);
    return result;
}

int
ouro_water_marks(PyObject *high, PyObject *low, long kib, size_t *ret_high,
                 size_t *ret_low)
{
    int result = -1;
    if (high == NULL || high == Py_None) {
        high = low == NULL || low == Py_None ? PyLong_FromLong(kib * 1024)
                                             : by_four(low, PyNumber_Multiply);
    }
    else {
        Py_INCREF(high);
    }
    if (high == NULL) {
        return -1;
    }
    low = low == NULL || low == Py_None ? by_four(high, PyNumber_FloorDivide)
                                        : Py_NewRef(low);
    if (low == NULL) {
        goto done;
    }
    int ordered = marks_in_order(high, low);
    if (ordered < 0) {
        goto done;
    }
    if (!ordered) {
        PyErr_Format(PyExc_ValueError,
                     "high (%R) must be >= low (%R) must be >= 0", high, low);
        goto done;
    }
    size_t high_size, low_size;
    if (mark_size(high, &high_size) < 0 || mark_size(low, &low_size) < 0) {
        goto done;
    }
    *ret_high = high_size;
    *ret_low = low_size;
    result = 0;
done:
    Py_DECREF(high);
    Py_XDECREF(low);
    return result;
}

int
ouro_transport_set_limits(TransportObject *self, PyObject *high, PyObject *low)
{
    return ouro_water_marks(high, low, 64, &self->high, &self->low);
}
