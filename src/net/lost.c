/* lost.c - how a transport ends (see transport.h).
 *
 * An error, abort() or close() -> one scheduled step -> connection_lost(),
 * and then everything is let go.
 */
#include "net/transport_impl.h"

/* ---- what went wrong --------------------------------------------------- */

/* call_exception_handler({message, exception, transport, protocol}) */
int
ouro_transport_report(ouro_state *st, TransportObject *self,
                      const char *message, PyObject *exception)
{
    PyObject *protocol = self->protocol != NULL ? self->protocol : Py_None;
    return ouro_loop_call_exception_handler(
        st, self->loop,
        Py_BuildValue("{s:s,s:O,s:O,s:O}", "message", message, "exception",
                      exception, "transport", self, "protocol", protocol));
}

int
ouro_log_fatal(ouro_state *st, PyObject *loop, PyObject *object,
               const char *message, PyObject *exception)
{
    int debug = ouro_loop_debug(st, loop);
    if (debug <= 0) {
        return debug;
    }
    PyObject *method = PyObject_GetAttr(st->stock.logger, st->str.debug);
    PyObject *args = Py_BuildValue("(sOs)", "%r: %s", object, message);
    PyObject *kwargs = Py_BuildValue("{s:O}", "exc_info", exception);
    PyObject *none = NULL;
    if (method != NULL && args != NULL && kwargs != NULL) {
        none = PyObject_Call(method, args, kwargs);
    }
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return ouro_drop_result(none);
}

int
ouro_transport_tell_fatal(ouro_state *st, TransportObject *self,
                          const char *message, bool quiet,
                          PyObject **ret_exception)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result = 0;
    if (self->loop == NULL) {
        /* Lost meanwhile: there is nobody to tell. */
    }
    else if (!quiet) {
        result = ouro_transport_report(st, self, message, exception);
    }
    else {
        result = ouro_log_fatal(st, self->loop, (PyObject *)self, message,
                                exception);
    }
    if (result < 0) {
        Py_DECREF(exception);
        return -1;
    }
    *ret_exception = exception;
    return 0;
}

int
ouro_transport_fatal(ouro_state *st, TransportObject *self,
                     const char *message)
{
    PyObject *exception;
    if (ouro_transport_tell_fatal(st, self, message,
                                  PyErr_ExceptionMatches(PyExc_OSError),
                                  &exception)
        < 0) {
        return -1;
    }
    int result = ouro_transport_force_close(st, self, exception);
    Py_DECREF(exception);
    return result;
}

/* Report `exception` as that of a handle for callback(*args). */
int
ouro_transport_callback_failed(PyObject *loop, PyObject *callback,
                               PyObject *args, PyObject *context,
                               PyObject *exception)
{
    PyErr_SetRaisedException(Py_NewRef(exception));
    if (loop == NULL) {
        PyErr_WriteUnraisable(callback);
        return 0;
    }
    Py_INCREF(loop);
    int result = ((LoopCore *)loop)
                     ->ops->callback_failed(loop, callback, args, context);
    Py_DECREF(loop);
    return result;
}

int
ouro_transport_step_failed(TransportObject *self, PyObject *loop,
                           const char *method, PyObject *arg)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *callback = PyObject_GetAttrString((PyObject *)self, method);
    PyObject *args = arg == NULL ? PyTuple_New(0) : PyTuple_Pack(1, arg);
    int result = -1;
    if (callback != NULL && args != NULL) {
        result = ouro_transport_callback_failed(loop, callback, args,
                                                self->context, exception);
    }
    Py_DECREF(exception);
    Py_XDECREF(callback);
    Py_XDECREF(args);
    return result;
}

int
ouro_transport_flush_failed(TransportObject *self, int error,
                            int (*tell)(ouro_state *st, TransportObject *self,
                                        int error))
{
    /* The job may have failed, too; that is the loop's to tell. */
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *loop = Py_NewRef(self->loop), *entered;
    int result = ouro_transport_enter(self, self->context, &entered);
    if (result == 0) {
        result = tell(ouro_state_of((PyObject *)self), self, error);
        ouro_transport_leave(entered);
    }
    if (result < 0) {
        result = ouro_transport_step_failed(self, loop, "_write_ready", NULL);
    }
    Py_DECREF(loop);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return result;
}

/* ---- writing when it is too late --------------------------------------- */

/* asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES. */
enum { LOG_LOST_WRITES = 5 };

int
ouro_transport_write_lost(ouro_state *st, TransportObject *self,
                          const char *message)
{
    if (self->conn_lost >= LOG_LOST_WRITES
        && ouro_loop_log(st, "warning", "(s)", message) < 0) {
        return -1;
    }
    self->conn_lost++;
    return 0;
}

/* ---- the end ----------------------------------------------------------- */

int
ouro_transport_force_close(ouro_state *st, TransportObject *self,
                           PyObject *exc)
{
    if (self->conn_lost || self->loop == NULL) {
        return 0;
    }
    /* asyncio has sent by now what the socket took. */
    if (self->kind->flush((PyObject *)self) < 0) {
        return -1;
    }
    if (self->conn_lost || self->loop == NULL) {
        return 0; /* the flush has failed */
    }
    self->kind->drop_output(self);
    self->closing = true;
    self->conn_lost++;
    return ouro_transport_schedule_lost(st, self, exc);
}

int
ouro_transport_schedule_lost(ouro_state *st, TransportObject *self,
                             PyObject *exc)
{
    if (self->loop == NULL || ou_job_queued(&self->lost)) {
        return 0;
    }
    int result = 0;
    Py_INCREF(self); /* stop() may give the last reference back */
    self->kind->stop(self);
    if (ouro_transport_fast(st, self)) {
        PyObject *context = NULL;
        if (ouro_transport_wants_context(self)) {
            context = PyContext_CopyCurrent();
            if (context == NULL) {
                /* No memory: who waits for the end must not wait for ever. */
                PyErr_Clear();
                context = Py_XNewRef(self->context);
            }
        }
        /* (connection_made() may still be waiting for its own.) */
        if (ou_job_queued(&self->made)) {
            if (!self->keeps_context) {
                Py_XSETREF(self->context, context);
            }
        }
        else {
            Py_XSETREF(self->step_context, context);
        }
        Py_XSETREF(self->lost_with, Py_XNewRef(exc));
        ou_loop_push(ouro_transport_engine(self), &self->lost);
        Py_INCREF(self);
    }
    else {
        result = ouro_transport_call_soon(st, self, (PyObject *)self,
                                          st->str._call_connection_lost,
                                          exc == NULL ? Py_None : exc, NULL);
    }
    Py_DECREF(self);
    return result;
}

int
ouro_transport_close_file(ouro_state *st, TransportObject *self)
{
    if (!self->open) {
        return 0;
    }
    self->open = false;
    if (self->loop != NULL) {
        ou_loop_note_io(ouro_transport_engine(self));
    }
    if (self->sock == NULL) {
        (void)ou_close(self->fd);
        return 0;
    }
    return ouro_drop_result(
        PyObject_CallMethodNoArgs(self->sock, st->str.close));
}

static int
call_protocol_lost(ouro_state *st, TransportObject *self, PyObject *exc)
{
    if (!self->connected || self->protocol == NULL) {
        return 0;
    }
    const protocol_ops *ops = ouro_transport_usable_ops(self);
    PyObject *protocol = Py_NewRef(self->protocol);
    int result;
    if (ops != NULL) {
        result = ops->connection_lost(protocol, exc);
    }
    else {
        result = ouro_drop_result(PyObject_CallMethodOneArg(
            protocol, st->str.connection_lost, ouro_or_none(exc)));
    }
    Py_DECREF(protocol);
    return result;
}

/* Let everything go, with the file closed; an exception that is set stays
 * the current one. */
static int
transport_release(ouro_state *st, TransportObject *self)
{
    PyObject *exception = PyErr_GetRaisedException();
    /* What connection_lost() has written, if it still could. */
    int result = self->kind->flush((PyObject *)self);
    self->kind->stop(self);
    if (ouro_transport_close_file(st, self) < 0) {
        result = -1;
    }
    Py_CLEAR(self->sock);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->context);
    self->ops = NULL;
    PyObject *server = self->server;
    self->server = NULL;
    if (server != NULL) {
        if (ouro_server_detach(st, server, (PyObject *)self, &self->client)
            < 0) {
            result = -1;
        }
        Py_DECREF(server);
    }
    if (self->kind->lost(self) < 0) {
        result = -1;
    }
    Py_CLEAR(self->loop);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    return result;
}

int
ouro_transport_call_lost(ouro_state *st, TransportObject *self, PyObject *exc)
{
    if (self->loop == NULL) {
        return 0;
    }
    /* What goes wrong leaves by the exception. */
    (void)call_protocol_lost(st, self, exc);
    return transport_release(st, self);
}

static int
lost_run(ou_job *job)
{
    TransportObject *self = OURO_CONTAINER_OF(job, TransportObject, lost);
    ouro_state *st = ouro_state_of((PyObject *)self);
    PyObject *loop = Py_XNewRef(self->loop);
    PyObject *context = self->step_context, *exc = self->lost_with, *entered;
    self->step_context = NULL;
    self->lost_with = NULL;
    if (context == NULL) {
        context = Py_XNewRef(self->context);
    }
    int result = ouro_transport_enter(self, context, &entered);
    if (result == 0) {
        result = ouro_transport_call_lost(st, self, exc);
        ouro_transport_leave(entered);
    }
    if (result < 0) {
        result = ouro_transport_step_failed(
            self, loop, "_call_connection_lost", exc == NULL ? Py_None : exc);
    }
    Py_XDECREF(loop);
    Py_XDECREF(context);
    Py_XDECREF(exc);
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_transport_lost_kind = {
    OURO_OBJECT_JOB(TransportObject, lost),
    .run = lost_run,
};
