/* sendfile.c - a native way first, block by block where there is none (see
 * sendfile.h).
 */
#include "loop/sendfile.h"

enum { STEP_START, STEP_NATIVE, STEP_BLOCKS };

Py_ssize_t
ouro_sendfile_count(AwaitObject *self)
{
    PyObject *count = ouro_frame_get(self, SEND_COUNT);
    return count == Py_None ? 0
                            : PyNumber_AsSsize_t(count, PyExc_OverflowError);
}

PyObject *
ouro_sendfile_position(PyObject *offset, Py_ssize_t sent)
{
    PyObject *number = PyLong_FromSsize_t(sent);
    PyObject *position = number == NULL ? NULL : PyNumber_Add(offset, number);
    Py_XDECREF(number);
    return position;
}

/* ---- SendfileNotAvailableError ----------------------------------------- */

static PyObject *
unavailable_error(ouro_state *st)
{
    return PyObject_GetAttrString(st->stock.asyncio,
                                  "SendfileNotAvailableError");
}

void
ouro_sendfile_raise_unavailable(ouro_state *st, const char *message)
{
    PyObject *type = unavailable_error(st);
    if (type != NULL) {
        PyErr_SetString(type, message);
        Py_DECREF(type);
    }
}

/* Whether the current exception is one. */
static bool
is_unavailable(ouro_state *st)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *type = unavailable_error(st);
    PyErr_SetRaisedException(exception);
    bool matches = type != NULL && PyErr_ExceptionMatches(type);
    Py_XDECREF(type);
    return matches;
}

/* ---- one way, then the other ------------------------------------------- */

static const sendfile_kind *
kind_of(AwaitObject *self)
{
    return (const sendfile_kind *)ouro_await_kind(self);
}

/* self.<method>(target, file, offset, count) */
static await_status
delegate(AwaitObject *self, const char *method, int step, PyObject **ret)
{
    self->step = step;
    *ret = PyObject_CallMethod(
        self->owner, method, "OOOO", ouro_frame_get(self, SEND_TARGET),
        ouro_frame_get(self, SEND_FILE), ouro_frame_get(self, SEND_OFFSET),
        ouro_frame_get(self, SEND_COUNT));
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

await_status
ouro_sendfile_natively(AwaitObject *self, PyObject **ret)
{
    return delegate(self, kind_of(self)->native, STEP_NATIVE, ret);
}

await_status
ouro_sendfile_by_blocks(AwaitObject *self, PyObject **ret)
{
    return delegate(self, kind_of(self)->fallback, STEP_BLOCKS, ret);
}

await_status
ouro_sendfile_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step == STEP_START) {
        return kind_of(self)->begin(ouro_state_of(self->owner), self, ret);
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

await_status
ouro_sendfile_abort(AwaitObject *self, PyObject **ret)
{
    if (self->step != STEP_NATIVE
        || !is_unavailable(ouro_state_of(self->owner))) {
        return AWAIT_ERROR;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int fallback = PyObject_IsTrue(ouro_frame_get(self, SEND_FALLBACK));
    if (fallback == 0) {
        PyErr_SetRaisedException(exception);
        return AWAIT_ERROR;
    }
    Py_DECREF(exception);
    return fallback < 0 ? AWAIT_ERROR : ouro_sendfile_by_blocks(self, ret);
}

/* ---- coroutines -------------------------------------------------------- */

PyObject *
ouro_sendfile_new(const ouro_signature *signature, const sendfile_kind *kind,
                  PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    PyObject *a[SEND_ALL_ARGS];
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL || ouro_parse(signature, args, nargs, kwnames, a) < 0) {
        Py_XDECREF(zero);
        return NULL;
    }
    a[SEND_OFFSET] = a[SEND_OFFSET] == NULL ? zero : a[SEND_OFFSET];
    a[SEND_FALLBACK] = a[SEND_FALLBACK] == NULL ? Py_True : a[SEND_FALLBACK];
    PyObject *coroutine =
        ouro_frame_new(ouro_state_of(loop), &kind->await, loop, a,
                       SEND_ALL_ARGS, SEND_ALL_ARGS);
    Py_DECREF(zero);
    return coroutine;
}

PyObject *
ouro_sendfile_helper(const ouro_signature *signature, const await_kind *kind,
                     int total, PyObject *loop, PyObject *const *args,
                     Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *a[SEND_ARGS];
    if (ouro_parse(signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), kind, loop, a, SEND_ARGS,
                          total);
}
