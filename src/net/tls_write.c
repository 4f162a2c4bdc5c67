/* tls_write.c - enciphering what the application writes (see tls.h).
 *
 * write -> SSLObject.write -> [outgoing] -> transport.write, at once.  What
 * the SSL object does not take (the handshake is under way) waits in a deque;
 * what the transport below cannot take stays in the outgoing BIO, and when
 * both together are too much the application is paused.
 */
#include "net/tls.h"

#include "loop/loop.h"

static const char failed[] = "Fatal error on SSL protocol";

/* ---- down to the transport --------------------------------------------- */

Py_ssize_t
ouro_tls_write_size(ouro_state *st, TlsObject *self)
{
    Py_ssize_t pending = ouro_tls_pending(st, self->outgoing);
    if (pending < 0) {
        return -1;
    }
    /* (Python may have put into the deque what nobody has counted.) */
    Py_ssize_t size = pending + self->backlog_size;
    return size < 0 ? 0 : size;
}

static int
transport_write(ouro_state *st, TlsObject *self, PyObject *data)
{
    PyObject *transport = Py_NewRef(ouro_or_none(self->transport));
    const transport_ops *ops = ouro_transport_ops(st, transport);
    int result;
    if (ops != NULL) {
        result = ops->write(transport, data);
    }
    else {
        result = ouro_drop_result(
            PyObject_CallMethodOneArg(transport, st->str.write, data));
    }
    Py_DECREF(transport);
    return result;
}

int
ouro_tls_process_outgoing(ouro_state *st, TlsObject *self)
{
    if (!self->ssl_writing_paused) {
        Py_ssize_t pending = ouro_tls_pending(st, self->outgoing);
        PyObject *data =
            pending <= 0
                ? NULL
                : PyObject_CallMethodNoArgs(self->outgoing, st->str.read);
        int result = 0;
        if (data != NULL) {
            result = transport_write(st, self, data);
            Py_DECREF(data);
        }
        if (result < 0 || (data == NULL && pending != 0)) {
            return -1;
        }
    }
    return ouro_tls_control_writing(st, self);
}

/* ---- flow control ------------------------------------------------------ */

static int
report_flow(ouro_state *st, TlsObject *self, const char *message)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result = ouro_loop_call_exception_handler(
        st, self->loop,
        Py_BuildValue("{s:s,s:O,s:O,s:O}", "message", message, "exception",
                      exception, "transport",
                      ouro_or_none(self->app_transport), "protocol", self));
    Py_DECREF(exception);
    return result;
}

static int
pause_app(ouro_state *st, TlsObject *self, bool pause)
{
    self->app_writing_paused = pause;
    PyObject *protocol = Py_NewRef(ouro_or_none(self->app_protocol));
    const protocol_ops *ops = ouro_tls_app_ops(self);
    int result;
    if (ops != NULL) {
        result = pause ? ops->pause_writing(protocol)
                       : ops->resume_writing(protocol);
    }
    else {
        PyObject *method =
            pause ? st->str.pause_writing : st->str.resume_writing;
        result = ouro_drop_result(PyObject_CallMethodNoArgs(protocol, method));
    }
    Py_DECREF(protocol);
    if (result == 0) {
        return 0;
    }
    const char *message = pause ? "protocol.pause_writing() failed"
                                : "protocol.resume_writing() failed";
    return report_flow(st, self, message);
}

int
ouro_tls_control_writing(ouro_state *st, TlsObject *self)
{
    Py_ssize_t size = ouro_tls_write_size(st, self);
    if (size < 0) {
        return -1;
    }
    if (!self->app_writing_paused) {
        return (size_t)size >= self->out_high ? pause_app(st, self, true) : 0;
    }
    return (size_t)size <= self->out_low ? pause_app(st, self, false) : 0;
}

/* What the transport below calls. */
static int
set_writing_paused(ouro_state *st, TlsObject *self, bool paused)
{
    if (st->has.streams.asserts && self->ssl_writing_paused == paused) {
        PyErr_SetNone(PyExc_AssertionError);
        return -1;
    }
    self->ssl_writing_paused = paused;
    return 0;
}

int
ouro_tls_pause_writing(ouro_state *st, TlsObject *self)
{
    return set_writing_paused(st, self, true);
}

int
ouro_tls_resume_writing(ouro_state *st, TlsObject *self)
{
    return set_writing_paused(st, self, false) < 0
               ? -1
               : ouro_tls_process_outgoing(st, self);
}

/* ---- the backlog ------------------------------------------------------- */

bool
ouro_tls_has_backlog(TlsObject *self)
{
    return self->backlog != NULL && PyObject_Size(self->backlog) > 0;
}

PyObject *
ouro_tls_backlog(ouro_state *st, TlsObject *self)
{
    if (self->backlog == NULL) {
        self->backlog = PyObject_CallNoArgs(st->stock.deque);
    }
    return self->backlog;
}

int
ouro_tls_append(ouro_state *st, TlsObject *self, PyObject *data)
{
    if (ouro_tls_backlog(st, self) == NULL) {
        return -1;
    }
    if (ouro_drop_result(
            PyObject_CallMethodOneArg(self->backlog, st->str.append, data))
        < 0) {
        return -1;
    }
    Py_ssize_t size = PyObject_Size(data);
    if (size < 0) {
        return -1;
    }
    self->backlog_size += size;
    return 0;
}

/* `count` bytes of the first in line, data, have been taken. */
static int
backlog_advance(ouro_state *st, TlsObject *self, PyObject *data,
                Py_ssize_t count)
{
    Py_ssize_t size = PyObject_Size(data);
    if (size < 0) {
        return -1;
    }
    if (count >= size) {
        self->backlog_size -= size;
        return ouro_drop_result(
            PyObject_CallMethodNoArgs(self->backlog, st->str.popleft));
    }
    PyObject *rest = PySequence_GetSlice(data, count, PY_SSIZE_T_MAX);
    int result =
        rest == NULL ? -1 : PySequence_SetItem(self->backlog, 0, rest);
    Py_XDECREF(rest);
    self->backlog_size -= count;
    return result;
}

int
ouro_tls_do_write(ouro_state *st, TlsObject *self)
{
    while (ouro_tls_has_backlog(self)) {
        PyObject *data = PySequence_GetItem(self->backlog, 0);
        if (data == NULL) {
            return -1;
        }
        Py_ssize_t count;
        tls_result result = ouro_tls_write_object(st, self, data, &count);
        if (result == TLS_DONE && backlog_advance(st, self, data, count) < 0) {
            result = TLS_ERROR;
        }
        Py_DECREF(data);
        if (result == TLS_ERROR) {
            return -1;
        }
        if (result == TLS_AGAIN) {
            break;
        }
    }
    return ouro_tls_process_outgoing(st, self);
}

/* ---- write() ----------------------------------------------------------- */

/* Whether write() is of no use any more: 1 (and it is counted, perhaps
 * logged), 0, -1. */
static int
write_refused(ouro_state *st, TlsObject *self)
{
    if (self->state == TLS_WRAPPED || self->state == TLS_DO_HANDSHAKE) {
        return 0;
    }
    PyObject *limit = PyObject_GetAttrString(
        st->stock.constants, "LOG_THRESHOLD_FOR_CONNLOST_WRITES");
    long threshold = limit == NULL ? -1 : PyLong_AsLong(limit);
    Py_XDECREF(limit);
    if (threshold == -1 && PyErr_Occurred()) {
        return -1;
    }
    if ((long)self->conn_lost >= threshold
        && ouro_loop_log(st, "warning", "(s)", "SSL connection is closed")
               < 0) {
        return -1;
    }
    self->conn_lost++;
    return 1;
}

/* What the SSL object has refused waits and counts until the transport ends,
 * as asyncio's does; the exception stays set. */
static int
keep_refused(ouro_state *st, TlsObject *self, PyObject *data)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (ouro_tls_append(st, self, data) < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(exception);
    return -1;
}

/* One piece, with nothing before it: straight to the SSL object. */
static int
write_now(ouro_state *st, TlsObject *self, PyObject *data)
{
    Py_ssize_t count = 0;
    tls_result result = ouro_tls_write_object(st, self, data, &count);
    if (result == TLS_ERROR) {
        return keep_refused(st, self, data);
    }
    Py_ssize_t size = PyObject_Size(data);
    if (size < 0) {
        return -1;
    }
    if (count < size) {
        PyObject *rest =
            count == 0 ? Py_NewRef(data)
                       : PySequence_GetSlice(data, count, PY_SSIZE_T_MAX);
        int kept = rest == NULL ? -1 : ouro_tls_append(st, self, rest);
        Py_XDECREF(rest);
        if (kept < 0) {
            return -1;
        }
        if (result == TLS_DONE) {
            return ouro_tls_do_write(st, self);
        }
    }
    return ouro_tls_process_outgoing(st, self);
}

int
ouro_tls_write(ouro_state *st, TlsObject *self, PyObject *data)
{
    int refused = write_refused(st, self);
    if (refused != 0) {
        return refused < 0 ? -1 : 0;
    }
    int result;
    if (self->state == TLS_WRAPPED && !ouro_tls_has_backlog(self)) {
        result = write_now(st, self, data);
    }
    else if (ouro_tls_append(st, self, data) < 0) {
        return -1;
    }
    else {
        result = self->state == TLS_WRAPPED ? ouro_tls_do_write(st, self) : 0;
    }
    return result == 0 ? 0 : ouro_tls_failed(st, self, failed);
}

int
ouro_tls_writelines(ouro_state *st, TlsObject *self, PyObject *list)
{
    int refused = write_refused(st, self);
    if (refused != 0) {
        return refused < 0 ? -1 : 0;
    }
    PyObject *iterator = PyObject_GetIter(list), *data;
    if (iterator == NULL) {
        return -1;
    }
    int result = 0;
    while (result == 0 && (data = PyIter_Next(iterator)) != NULL) {
        result = ouro_tls_append(st, self, data);
        Py_DECREF(data);
    }
    Py_DECREF(iterator);
    if (result < 0 || PyErr_Occurred()) {
        return -1;
    }
    return self->state != TLS_WRAPPED || ouro_tls_do_write(st, self) == 0
               ? 0
               : ouro_tls_failed(st, self, failed);
}
