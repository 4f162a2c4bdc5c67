/* tls_shutdown.c - how a TLS connection ends (see tls.h).
 *
 * close() or the peer's close_notify -> FLUSHING: what was received is still
 * delivered -> SHUTDOWN: close_notify is exchanged, not for longer than the
 * shutdown timeout -> the transport below is closed -> connection_lost().
 * Errors and abort() close it at once.
 */
#include "net/tls.h"

#include "loop/loop.h"
#include "net/transport.h"

/* ---- the state --------------------------------------------------------- */

static bool
may_follow(tls_state state, tls_state next)
{
    switch (next) {
    case TLS_UNWRAPPED:
        return true;
    case TLS_DO_HANDSHAKE:
        return state == TLS_UNWRAPPED;
    case TLS_WRAPPED:
        return state == TLS_DO_HANDSHAKE;
    case TLS_FLUSHING:
        return state == TLS_WRAPPED;
    case TLS_SHUTDOWN:
        return state == TLS_FLUSHING;
    }
    return false;
}

int
ouro_tls_set_state(ouro_state *st, TlsObject *self, tls_state state)
{
    if (may_follow(self->state, state)) {
        self->state = state;
        return 0;
    }
    PyObject *from = ouro_tls_state_object(st, self->state);
    PyObject *to = from == NULL ? NULL : ouro_tls_state_object(st, state);
    if (to != NULL) {
        PyErr_Format(PyExc_RuntimeError, "cannot switch state from %S to %S",
                     from, to);
    }
    Py_XDECREF(from);
    Py_XDECREF(to);
    return -1;
}

/* ---- what goes wrong --------------------------------------------------- */

/* transport._force_close(exc) */
static int
force_close_below(ouro_state *st, PyObject *transport, PyObject *exc)
{
    return ouro_drop_result(
        PyObject_CallMethodOneArg(transport, st->str._force_close, exc));
}

int
ouro_tls_force_close(ouro_state *st, TlsObject *self, PyObject *exc)
{
    if (self->transport == NULL) {
        return 0;
    }
    PyObject *transport = Py_NewRef(self->transport);
    int result = force_close_below(st, transport, exc);
    Py_DECREF(transport);
    return result;
}

int
ouro_tls_fatal(ouro_state *st, TlsObject *self, PyObject *exc,
               const char *message)
{
    if (ouro_tls_force_close(st, self, exc) < 0) {
        return -1;
    }
    if (PyObject_TypeCheck(exc, (PyTypeObject *)PyExc_OSError)) {
        return ouro_log_fatal(st, self->loop, (PyObject *)self, message, exc);
    }
    if (PyErr_GivenExceptionMatches(exc, st->stock.CancelledError)
        && PyExceptionInstance_Check(exc)) {
        return 0;
    }
    return ouro_loop_call_exception_handler(
        st, self->loop,
        Py_BuildValue("{s:s,s:O,s:O,s:O}", "message", message, "exception",
                      exc, "transport", ouro_or_none(self->transport),
                      "protocol", self));
}

int
ouro_tls_failed(ouro_state *st, TlsObject *self, const char *message)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result = ouro_tls_fatal(st, self, exception, message);
    Py_DECREF(exception);
    return result;
}

int
ouro_tls_abort(ouro_state *st, TlsObject *self, PyObject *exc)
{
    self->state = TLS_UNWRAPPED;
    PyObject *transport = self->transport;
    if (transport == NULL) {
        return 0;
    }
    Py_INCREF(transport);
    int result;
    if (st->has.tls.abort_passes_on) {
        result = force_close_below(st, transport, ouro_or_none(exc));
    }
    else {
        result = ouro_drop_result(
            PyObject_CallMethodNoArgs(transport, st->str.abort));
    }
    Py_DECREF(transport);
    return result;
}

/* ---- close_notify ------------------------------------------------------ */

static int
start_shutdown_timer(ouro_state *st, TlsObject *self)
{
    return ouro_tls_start_timer(st, self, self->shutdown_timeout,
                                "_check_shutdown_timeout",
                                &self->shutdown_timer);
}

int
ouro_tls_start_shutdown(ouro_state *st, TlsObject *self)
{
    if (self->state != TLS_DO_HANDSHAKE && self->state != TLS_WRAPPED) {
        return 0;
    }
    if (self->app_transport != NULL) {
        ((TlsTransportObject *)self->app_transport)->closed = true;
    }
    if (self->state == TLS_DO_HANDSHAKE) {
        return ouro_tls_abort(st, self, NULL);
    }
    self->state = TLS_FLUSHING;
    return start_shutdown_timer(st, self) < 0 ? -1
                                              : ouro_tls_do_flush(st, self);
}

int
ouro_tls_check_shutdown_timeout(ouro_state *st, TlsObject *self)
{
    if (self->state != TLS_FLUSHING && self->state != TLS_SHUTDOWN) {
        return 0;
    }
    PyObject *exception = PyObject_CallFunction(st->stock.TimeoutError, "s",
                                                "SSL shutdown timed out");
    if (exception == NULL) {
        return -1;
    }
    PyObject *transport = Py_NewRef(ouro_or_none(self->transport));
    int result = force_close_below(st, transport, exception);
    Py_DECREF(transport);
    Py_DECREF(exception);
    return result;
}

int
ouro_tls_do_flush(ouro_state *st, TlsObject *self)
{
    if (ouro_tls_do_read(st, self) < 0
        || ouro_tls_set_state(st, self, TLS_SHUTDOWN) < 0) {
        return -1;
    }
    return ouro_tls_do_shutdown(st, self);
}

/* loop.call_soon(self.transport.close) */
static int
close_below(ouro_state *st, TlsObject *self)
{
    PyObject *close =
        PyObject_GetAttr(ouro_or_none(self->transport), st->str.close);
    if (close == NULL) {
        return -1;
    }
    int result = ouro_loop_call_soon(st, self->loop, close, NULL, NULL);
    Py_DECREF(close);
    return result;
}

/* exc: NULL for None. */
static int
shutdown_complete(ouro_state *st, TlsObject *self, PyObject *exc)
{
    if ((exc != NULL || !st->has.tls.keeps_shutdown_timer)
        && ouro_tls_stop_timer(st, &self->shutdown_timer) < 0) {
        return -1;
    }
    if (exc != NULL) {
        return ouro_tls_fatal(st, self, exc, "Fatal error on transport");
    }
    /* The transport may take long to close: a peer need not read. */
    if (st->has.tls.keeps_shutdown_timer && self->shutdown_timer == NULL
        && start_shutdown_timer(st, self) < 0) {
        return -1;
    }
    return close_below(st, self);
}

int
ouro_tls_do_shutdown(ouro_state *st, TlsObject *self)
{
    if (!self->eof_received) {
        tls_result result = ouro_tls_call_unwrap(st, self);
        if (result == TLS_AGAIN) {
            return ouro_tls_process_outgoing(st, self);
        }
        if (result == TLS_ERROR) {
            if (st->stock.SSLError == NULL
                || !PyErr_ExceptionMatches(st->stock.SSLError)) {
                return -1;
            }
            PyObject *exception = PyErr_GetRaisedException();
            int completed = shutdown_complete(st, self, exception);
            Py_DECREF(exception);
            return completed;
        }
    }
    if (ouro_tls_process_outgoing(st, self) < 0
        || ouro_tls_call_eof_received(st, self) < 0) {
        return -1;
    }
    return shutdown_complete(st, self, NULL);
}

/* ---- the peer's end ---------------------------------------------------- */

/* protocol.eof_received(): its truth, or -1. */
static int
app_eof_received(ouro_state *st, TlsObject *self)
{
    PyObject *protocol = Py_NewRef(ouro_or_none(self->app_protocol));
    const protocol_ops *ops = ouro_tls_app_ops(self);
    int keep_open;
    if (ops != NULL) {
        keep_open = ops->eof_received(protocol);
    }
    else {
        keep_open = ouro_truth_of(
            PyObject_CallMethodNoArgs(protocol, st->str.eof_received));
    }
    Py_DECREF(protocol);
    return keep_open;
}

int
ouro_tls_call_eof_received(ouro_state *st, TlsObject *self)
{
    if (self->app_state != TLS_APP_CON_MADE) {
        return 0;
    }
    self->app_state = TLS_APP_EOF;
    int keep_open = app_eof_received(st, self);
    if (keep_open > 0) {
        keep_open = ouro_loop_log(st, "warning", "(s)",
                                  "returning true from eof_received() has no "
                                  "effect when using ssl");
    }
    if (keep_open == 0) {
        return 0;
    }
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result =
        ouro_tls_fatal(st, self, exception, "Error calling eof_received()");
    Py_DECREF(exception);
    return result;
}

static int
log_eof(ouro_state *st, TlsObject *self)
{
    int debug = ouro_loop_debug(st, self->loop);
    return debug <= 0
               ? debug
               : ouro_loop_log(st, "debug", "(sO)", "%r received EOF", self);
}

static int
go_on_at_eof(ouro_state *st, TlsObject *self)
{
    if (log_eof(st, self) < 0) {
        return -1;
    }
    switch ((tls_state)self->state) {
    case TLS_DO_HANDSHAKE:
        return ouro_tls_handshake_complete(st, self,
                                           PyExc_ConnectionResetError);
    case TLS_WRAPPED:
        self->state = TLS_FLUSHING;
        return self->app_reading_paused ? 1 : ouro_tls_do_flush(st, self);
    case TLS_FLUSHING:
        if (ouro_tls_do_write(st, self) < 0
            || ouro_tls_set_state(st, self, TLS_SHUTDOWN) < 0) {
            return -1;
        }
        return ouro_tls_do_shutdown(st, self);
    case TLS_SHUTDOWN:
        return ouro_tls_do_shutdown(st, self);
    case TLS_UNWRAPPED:
        break;
    }
    return 0;
}

int
ouro_tls_eof_received(ouro_state *st, TlsObject *self)
{
    self->eof_received = true;
    int result = go_on_at_eof(st, self);
    if (result < 0 && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyObject *exception = PyErr_GetRaisedException();
        PyObject *none = PyObject_CallMethodNoArgs(
            ouro_or_none(self->transport), st->str.close);
        if (none == NULL) {
            Py_DECREF(exception);
            return -1;
        }
        Py_DECREF(none);
        PyErr_SetRaisedException(exception);
    }
    return result;
}

/* ---- the end ----------------------------------------------------------- */

/* The application's connection_lost(), in the next turn; if there is no
 * memory for that, now: nobody shall wait for it in vain. */
static int
app_connection_lost(ouro_state *st, TlsObject *self, PyObject *exc)
{
    self->app_state = TLS_APP_CON_LOST;
    PyObject *protocol = Py_NewRef(ouro_or_none(self->app_protocol));
    PyObject *callback = PyObject_GetAttr(protocol, st->str.connection_lost);
    int result = callback == NULL ? -1
                                  : ouro_loop_call_soon(st, self->loop,
                                                        callback, exc, NULL);
    Py_XDECREF(callback);
    const protocol_ops *ops = ouro_tls_app_ops(self);
    if (result < 0 && ops != NULL
        && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        result = ops->connection_lost(protocol, exc == Py_None ? NULL : exc);
    }
    Py_DECREF(protocol);
    return result;
}

/* Forget what has not been sent, in both buffers. */
static int
drop_output(ouro_state *st, TlsObject *self, PyObject *Py_UNUSED(exc))
{
    PyObject *none = NULL;
    if (self->backlog != NULL) {
        none = PyObject_CallMethodNoArgs(self->backlog, st->str.clear);
        Py_XDECREF(none);
        if (none == NULL) {
            return -1;
        }
    }
    return ouro_drop_result(
        PyObject_CallMethodNoArgs(self->outgoing, st->str.read));
}

/* The application's transport is closed; the application is told. */
static int
leave_app(ouro_state *st, TlsObject *self, PyObject *exc)
{
    self->conn_lost++;
    if (self->app_transport != NULL) {
        ((TlsTransportObject *)self->app_transport)->closed = true;
    }
    return self->state != TLS_DO_HANDSHAKE
                   && (self->app_state == TLS_APP_CON_MADE
                       || self->app_state == TLS_APP_EOF)
               ? app_connection_lost(st, self, exc)
               : 0;
}

static int
let_go(ouro_state *st, TlsObject *self, PyObject *exc)
{
    self->state = TLS_UNWRAPPED;
    self->ops = NULL;
    Py_CLEAR(self->transport);
    Py_CLEAR(self->app_transport);
    Py_CLEAR(self->app_protocol);
    return ouro_tls_wakeup_waiter(st, self, exc);
}

static int
stop_timers(ouro_state *st, TlsObject *self, PyObject *Py_UNUSED(exc))
{
    if (ouro_tls_stop_timer(st, &self->shutdown_timer) < 0) {
        return -1;
    }
    return ouro_tls_stop_timer(st, &self->handshake_timer);
}

/* All of it is done, whatever fails; the first exception is what is left. */
int
ouro_tls_connection_lost(ouro_state *st, TlsObject *self, PyObject *exc)
{
    int (*const steps[])(ouro_state *, TlsObject *, PyObject *) = {
        drop_output,
        leave_app,
        let_go,
        stop_timers,
    };
    PyObject *error = NULL;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(steps); i++) {
        if (steps[i](st, self, exc) == 0) {
            continue;
        }
        PyObject *raised = PyErr_GetRaisedException();
        if (error == NULL) {
            error = raised;
        }
        else {
            Py_XDECREF(raised);
        }
    }
    PyErr_SetRaisedException(error);
    return error == NULL ? 0 : -1;
}
