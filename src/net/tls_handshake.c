/* tls_handshake.c - from the connection below to the application's (see
 * tls.h).
 *
 * connection_made() -> do_handshake() on each answer of the peer's -> extra
 * information, the application's connection_made(), who waits is woken, and
 * what came behind the handshake is read.
 */
#include "net/tls.h"

#include "loop/loop.h"
#include "task/future.h"

/* ---- timers ------------------------------------------------------------ */

int
ouro_tls_start_timer(ouro_state *st, TlsObject *self, PyObject *delay,
                     const char *method, PyObject **timer)
{
    PyObject *callback = PyObject_GetAttrString((PyObject *)self, method);
    if (callback == NULL) {
        return -1;
    }
    PyObject *handle = PyObject_CallMethodObjArgs(
        self->loop, st->str.call_later, delay, callback, NULL);
    Py_DECREF(callback);
    if (handle == NULL) {
        return -1;
    }
    Py_XSETREF(*timer, handle);
    return 0;
}

int
ouro_tls_stop_timer(ouro_state *st, PyObject **timer)
{
    PyObject *handle = *timer;
    if (handle == NULL) {
        return 0;
    }
    *timer = NULL;
    int result =
        ouro_drop_result(PyObject_CallMethodNoArgs(handle, st->str.cancel));
    Py_DECREF(handle);
    return result;
}

/* ---- the beginning ----------------------------------------------------- */

static int
note_start(ouro_state *st, TlsObject *self)
{
    Py_CLEAR(self->handshake_start);
    int debug = ouro_loop_debug(st, self->loop);
    if (debug <= 0) {
        return debug;
    }
    if (ouro_loop_log(st, "debug", "(sO)", "%r starts SSL handshake", self)
        < 0) {
        return -1;
    }
    self->handshake_start =
        PyObject_CallMethodNoArgs(self->loop, st->str.time);
    return self->handshake_start == NULL ? -1 : 0;
}

static int
begin_handshake(ouro_state *st, TlsObject *self)
{
    if (note_start(st, self) < 0
        || ouro_tls_set_state(st, self, TLS_DO_HANDSHAKE) < 0
        || ouro_tls_start_timer(st, self, self->handshake_timeout,
                                "_check_handshake_timeout",
                                &self->handshake_timer)
               < 0) {
        return -1;
    }
    return ouro_tls_do_handshake(st, self);
}

int
ouro_tls_connection_made(ouro_state *st, TlsObject *self, PyObject *transport)
{
    Py_XSETREF(self->transport, Py_NewRef(transport));
    int result = begin_handshake(st, self);
    if (result < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        /* Without a first message there is no answer, and perhaps there is
         * no timer: nobody shall wait for them. */
        PyObject *exception = PyErr_GetRaisedException();
        if (ouro_tls_force_close(st, self, exception) < 0) {
            PyErr_Clear();
        }
        PyErr_SetRaisedException(exception);
    }
    return result;
}

int
ouro_tls_check_handshake_timeout(ouro_state *st, TlsObject *self)
{
    if (self->state != TLS_DO_HANDSHAKE) {
        return 0;
    }
    PyObject *message =
        PyUnicode_FromFormat("SSL handshake is taking longer than %S seconds: "
                             "aborting the connection",
                             self->handshake_timeout);
    PyObject *exception =
        message == NULL
            ? NULL
            : PyObject_CallOneArg(PyExc_ConnectionAbortedError, message);
    Py_XDECREF(message);
    if (exception == NULL) {
        return -1;
    }
    int result =
        ouro_tls_fatal(st, self, exception, "Fatal error on transport");
    Py_DECREF(exception);
    return result;
}

int
ouro_tls_do_handshake(ouro_state *st, TlsObject *self)
{
    tls_result result = ouro_tls_call_handshake(st, self);
    if (result == TLS_AGAIN) {
        return ouro_tls_process_outgoing(st, self);
    }
    if (result == TLS_DONE) {
        return ouro_tls_handshake_complete(st, self, NULL);
    }
    if (st->stock.SSLError == NULL
        || !PyErr_ExceptionMatches(st->stock.SSLError)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int completed = ouro_tls_handshake_complete(st, self, exception);
    Py_DECREF(exception);
    return completed;
}

/* ---- the end of the handshake ------------------------------------------ */

int
ouro_tls_wakeup_waiter(ouro_state *st, TlsObject *self, PyObject *exc)
{
    PyObject *waiter = self->waiter;
    if (waiter == NULL) {
        return 0;
    }
    Py_INCREF(waiter);
    int result = ouro_anyfuture_cancelled(st, waiter);
    if (result == 0) {
        result = exc == NULL || exc == Py_None
                     ? ouro_anyfuture_set_result(st, waiter, Py_None)
                     : ouro_anyfuture_set_exception(st, waiter, exc);
    }
    Py_DECREF(waiter);
    if (result >= 0) {
        Py_CLEAR(self->waiter);
    }
    return result < 0 ? -1 : 0;
}

/* The exception is set. */
static int
handshake_failed(ouro_state *st, TlsObject *self)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    bool certificate = st->stock.CertificateError != NULL
                       && PyErr_ExceptionMatches(st->stock.CertificateError);
    PyObject *exception = PyErr_GetRaisedException();
    int result = ouro_tls_set_state(st, self, TLS_UNWRAPPED);
    if (result == 0) {
        result = ouro_tls_fatal(
            st, self, exception,
            certificate ? "SSL handshake failed on verifying the certificate"
                        : "SSL handshake failed");
    }
    if (result == 0) {
        result = ouro_tls_wakeup_waiter(st, self, exception);
    }
    Py_DECREF(exception);
    return result;
}

/* extra[name] = value, which is consumed; NULL is an error passed on. */
static int
add_extra(TlsObject *self, PyObject *name, PyObject *value)
{
    if (value == NULL) {
        return -1;
    }
    int result = PyObject_SetItem(self->extra, name, value);
    Py_DECREF(value);
    return result;
}

static PyObject *
ask_object(ouro_state *st, TlsObject *self, PyObject *method)
{
    PyObject *direct = ouro_tls_direct(st, self);
    return PyObject_CallMethodNoArgs(direct != NULL ? direct : self->sslobj,
                                     method);
}

static int
fill_extra(ouro_state *st, TlsObject *self, PyObject *peercert)
{
    if (add_extra(self, st->str.peercert, Py_NewRef(peercert)) < 0
        || add_extra(self, st->str.cipher,
                     ask_object(st, self, st->str.cipher))
               < 0
        || add_extra(self, st->str.compression,
                     ask_object(st, self, st->str.compression))
               < 0) {
        return -1;
    }
    return add_extra(self, st->str.ssl_object, Py_NewRef(self->sslobj));
}

/* logger.debug("%r: SSL handshake took %.1f ms") in debug mode. */
static int
log_duration(ouro_state *st, TlsObject *self)
{
    int debug = ouro_loop_debug(st, self->loop);
    if (debug <= 0) {
        return debug;
    }
    PyObject *now = PyObject_CallMethodNoArgs(self->loop, st->str.time);
    PyObject *took =
        now == NULL
            ? NULL
            : PyNumber_Subtract(now, ouro_or_none(self->handshake_start));
    double seconds = took == NULL ? -1.0 : PyFloat_AsDouble(took);
    Py_XDECREF(now);
    Py_XDECREF(took);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    return ouro_loop_log(st, "debug", "(sOd)",
                         "%r: SSL handshake took %.1f ms", self,
                         seconds * 1e3);
}

static int
app_connection_made(ouro_state *st, TlsObject *self)
{
    self->app_state = TLS_APP_CON_MADE;
    PyObject *protocol = Py_NewRef(ouro_or_none(self->app_protocol));
    PyObject *transport = Py_NewRef(ouro_or_none(self->app_transport));
    const protocol_ops *ops = ouro_tls_app_ops(self);
    int result;
    if (ops != NULL) {
        result = ops->connection_made(protocol, transport);
    }
    else {
        result = ouro_drop_result(PyObject_CallMethodOneArg(
            protocol, st->str.connection_made, transport));
    }
    Py_DECREF(protocol);
    Py_DECREF(transport);
    return result;
}

/* The peer's certificate, or NULL: the handshake has failed after all. */
static PyObject *
handshake_outcome(ouro_state *st, TlsObject *self, PyObject *exc)
{
    if (exc == NULL) {
        return ouro_tls_set_state(st, self, TLS_WRAPPED) < 0
                   ? NULL
                   : ask_object(st, self, st->str.getpeercert);
    }
    if (PyExceptionInstance_Check(exc)) {
        ouro_raise(exc);
    }
    else {
        PyErr_SetNone(exc);
    }
    return NULL;
}

int
ouro_tls_handshake_complete(ouro_state *st, TlsObject *self, PyObject *exc)
{
    if (ouro_tls_stop_timer(st, &self->handshake_timer) < 0) {
        return -1;
    }
    PyObject *peercert = handshake_outcome(st, self, exc);
    if (peercert == NULL) {
        return handshake_failed(st, self);
    }
    int result = log_duration(st, self);
    if (result == 0) {
        result = fill_extra(st, self, peercert);
    }
    Py_DECREF(peercert);
    if (result == 0 && self->app_state == TLS_APP_INIT) {
        result = app_connection_made(st, self);
    }
    if (result < 0 || ouro_tls_wakeup_waiter(st, self, NULL) < 0) {
        return -1;
    }
    return ouro_tls_do_read(st, self);
}
