/* tls.c - TLS over a stream transport: _make_ssl_transport(), start_tls().
 *
 * An SSLProtocol stands between our transport and the application's protocol
 * (net/tls.h).  It is looked up in asyncio.sslproto; where that has its own,
 * ours is used.
 */
#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/netops.h"
#include "loop/socketcalls.h"
#include "loop/fdwatch.h"
#include "task/future.h"

/* sslproto.SSLProtocol(loop, protocol, sslcontext, waiter, server_side,
 * server_hostname, ...) */
static PyObject *
make_protocol(ouro_state *st, PyObject *args, PyObject *handshake_timeout,
              PyObject *shutdown_timeout, PyObject *call_connection_made)
{
    PyObject *found = args == NULL ? NULL
                                   : PyObject_GetAttr(st->stock.sslproto,
                                                      st->str.SSLProtocol);
    if (found == NULL) {
        Py_XDECREF(args);
        return NULL;
    }
    Py_DECREF(found);
    PyObject *module =
        found == st->stock.stock_SSLProtocol ? st->module : st->stock.sslproto;
    return ouro_call_keywords(
        module, st->str.SSLProtocol, args, "ssl_handshake_timeout",
        handshake_timeout, "ssl_shutdown_timeout", shutdown_timeout,
        "call_connection_made", call_connection_made, NULL);
}

/* ---- _make_ssl_transport() --------------------------------------------- */

enum {
    MAKE_SOCK,
    MAKE_PROTOCOL,
    MAKE_CONTEXT,
    MAKE_WAITER,
    MAKE_SERVER_SIDE,
    MAKE_HOSTNAME,
    MAKE_EXTRA,
    MAKE_SERVER,
    MAKE_HANDSHAKE_TIMEOUT,
    MAKE_SHUTDOWN_TIMEOUT,
    MAKE_CALLS_CONTEXT,
    MAKE_ARGS,
};

static PyObject *
make_ssl_transport(ouro_state *st, PyObject *loop, PyObject *const *a)
{
    if (st->has.minor >= 12
        && ouro_fd_ensure_free((LoopObject *)loop, a[MAKE_SOCK]) < 0) {
        return NULL;
    }
    PyObject *protocol = make_protocol(
        st,
        PyTuple_Pack(6, loop, a[MAKE_PROTOCOL], a[MAKE_CONTEXT],
                     a[MAKE_WAITER], a[MAKE_SERVER_SIDE], a[MAKE_HOSTNAME]),
        a[MAKE_HANDSHAKE_TIMEOUT], a[MAKE_SHUTDOWN_TIMEOUT], Py_True);
    if (protocol == NULL) {
        return NULL;
    }
    /* Once there is a transport nothing may fail: who waits would not hear of
     * its end. */
    PyObject *name = PyUnicode_FromString("_app_transport");
    PyObject *result = NULL;
    PyObject *extra = a[MAKE_EXTRA] == Py_None ? NULL : a[MAKE_EXTRA];
    PyObject *transport =
        name == NULL
            ? NULL
            : ouro_make_stream(st, loop, a[MAKE_SOCK], protocol, NULL, extra,
                               a[MAKE_SERVER], a[MAKE_CALLS_CONTEXT]);
    if (transport != NULL) {
        result = PyObject_GetAttr(protocol, name);
        Py_DECREF(transport);
    }
    Py_XDECREF(name);
    Py_DECREF(protocol);
    return result;
}

static PyObject *
loop_make_ssl_transport(PyObject *loop, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop._make_ssl_transport",
        .skip_self = 1,
        .positional = 4,
        .required = 3,
        .names = {"rawsock", "protocol", "sslcontext", "waiter", "server_side",
                  "server_hostname", "extra", "server",
                  "ssl_handshake_timeout", "ssl_shutdown_timeout", "context"},
    };
    PyObject *a[MAKE_ARGS] = {NULL};
    ouro_state *st = ouro_state_of(loop);
    if (ouro_parse_versions(&signature, st->has.loop.transport_context, args,
                            nargs, kwnames, a)
        < 0) {
        return NULL;
    }
    if (a[MAKE_SERVER_SIDE] == NULL) {
        a[MAKE_SERVER_SIDE] = Py_False;
    }
    for (int i = 0; i < MAKE_ARGS; i++) {
        a[i] = a[i] == NULL ? Py_None : a[i];
    }
    return make_ssl_transport(st, loop, a);
}

/* ---- start_tls() ------------------------------------------------------- */

enum {
    TLS_TRANSPORT,
    TLS_PROTOCOL,
    TLS_CONTEXT,
    TLS_SERVER_SIDE,
    TLS_HOSTNAME,
    TLS_HANDSHAKE_TIMEOUT,
    TLS_SHUTDOWN_TIMEOUT,
    TLS_ARGS,
    TLS_SSL_PROTOCOL = TLS_ARGS,
    TLS_MADE,   /* the handle of connection_made() */
    TLS_RESUME, /* the handle of resume_reading() */
    TLS_TOTAL,
};

static int
tls_check(AwaitObject *self)
{
    PyObject *ssl = ouro_state_of(self->owner)->stock.ssl;
    if (ssl == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Python ssl module is not available");
        return -1;
    }
    PyObject *context = ouro_frame_get(self, TLS_CONTEXT);
    PyObject *type = PyObject_GetAttrString(ssl, "SSLContext");
    int valid = type == NULL ? -1 : PyObject_IsInstance(context, type);
    Py_XDECREF(type);
    if (valid == 0) {
        PyErr_Format(PyExc_TypeError,
                     "sslcontext is expected to be an instance of "
                     "ssl.SSLContext, got %R",
                     context);
    }
    if (valid <= 0) {
        return -1;
    }
    PyObject *transport = ouro_frame_get(self, TLS_TRANSPORT);
    PyObject *compatible =
        PyObject_GetAttrString(transport, "_start_tls_compatible");
    int able = 0;
    if (compatible != NULL) {
        able = PyObject_IsTrue(compatible);
        Py_DECREF(compatible);
    }
    else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    else {
        able = -1;
    }
    if (able == 0) {
        PyErr_Format(PyExc_TypeError,
                     "transport %R is not supported by start_tls()",
                     transport);
    }
    return able > 0 ? 0 : -1;
}

/* loop.call_soon(object.<method>, arg), the handle into the frame. */
static int
tls_call_soon(ouro_state *st, AwaitObject *self, PyObject *object,
              const char *method, PyObject *arg, int place)
{
    PyObject *callback = PyObject_GetAttrString(object, method);
    PyObject *handle =
        callback == NULL
            ? NULL
            : PyObject_CallMethodObjArgs(self->owner, st->str.call_soon,
                                         callback, arg, NULL);
    Py_XDECREF(callback);
    if (handle == NULL) {
        return -1;
    }
    ouro_frame_set(self, place, handle);
    return 0;
}

static int
call_method(PyObject *object, const char *method, PyObject *arg)
{
    return ouro_drop_result(
        arg == NULL ? PyObject_CallMethod(object, method, NULL)
                    : PyObject_CallMethod(object, method, "O", arg));
}

/* What net->take_unread() does for our stream protocol, for any other. */
static int
take_unread_by_attributes(ouro_state *st, PyObject *protocol, PyObject **ret)
{
    PyObject *reader = NULL, *buffer = NULL, *cleared = NULL;
    PyObject *type =
        PyObject_GetAttrString(st->stock.streams, "StreamReaderProtocol");
    int found = type == NULL ? -1 : PyObject_IsInstance(protocol, type);
    Py_XDECREF(type);
    *ret = NULL;
    if (found <= 0) {
        return found;
    }
    found = -1;
    reader = PyObject_GetAttrString(protocol, "_stream_reader");
    if (reader == NULL || reader == Py_None) {
        found = reader == NULL ? -1 : 0;
        goto done;
    }
    buffer = PyObject_GetAttrString(reader, "_buffer");
    int some = buffer == NULL ? -1 : PyObject_IsTrue(buffer);
    if (some <= 0) {
        found = some;
        goto done;
    }
    *ret = PyBytes_FromObject(buffer);
    cleared = *ret == NULL ? NULL : PyObject_CallMethod(buffer, "clear", NULL);
    if (cleared == NULL) {
        Py_CLEAR(*ret);
        goto done;
    }
    found = 1;
done:
    Py_XDECREF(cleared);
    Py_XDECREF(buffer);
    Py_XDECREF(reader);
    return found;
}

/* A server may have received the start of the handshake already. */
static int
tls_move_unread(ouro_state *st, AwaitObject *self, PyObject *ssl_protocol)
{
    int wanted = PyObject_IsTrue(ouro_frame_get(self, TLS_SERVER_SIDE));
    if (wanted <= 0 || !st->has.loop.tls_takes_unread) {
        return wanted < 0 ? -1 : 0;
    }
    PyObject *unread, *protocol = ouro_frame_get(self, TLS_PROTOCOL);
    int found = st->net->take_unread(st, protocol, &unread);
    if (found == 0) {
        found = take_unread_by_attributes(st, protocol, &unread);
    }
    if (found <= 0 || unread == NULL) {
        return found < 0 ? -1 : 0;
    }
    PyObject *incoming = PyObject_GetAttrString(ssl_protocol, "_incoming");
    int result =
        incoming == NULL ? -1 : call_method(incoming, "write", unread);
    Py_XDECREF(incoming);
    Py_DECREF(unread);
    return result;
}

static await_status
tls_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    if (tls_check(self) < 0) {
        return AWAIT_ERROR;
    }
    PyObject *transport = ouro_frame_get(self, TLS_TRANSPORT);
    PyObject *waiter = ouro_create_future(st, self->owner);
    if (waiter == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *protocol = make_protocol(
        st,
        PyTuple_Pack(6, self->owner, ouro_frame_get(self, TLS_PROTOCOL),
                     ouro_frame_get(self, TLS_CONTEXT), waiter,
                     ouro_frame_get(self, TLS_SERVER_SIDE),
                     ouro_frame_get(self, TLS_HOSTNAME)),
        ouro_frame_get(self, TLS_HANDSHAKE_TIMEOUT),
        ouro_frame_get(self, TLS_SHUTDOWN_TIMEOUT), Py_False);
    if (protocol == NULL) {
        Py_DECREF(waiter);
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, TLS_SSL_PROTOCOL, protocol);
    /* Paused, so that data_received() is not called before
     * connection_made(). */
    if (call_method(transport, "pause_reading", NULL) < 0
        || tls_move_unread(st, self, protocol) < 0
        || call_method(transport, "set_protocol", protocol) < 0
        || tls_call_soon(st, self, protocol, "connection_made", transport,
                         TLS_MADE)
               < 0
        || tls_call_soon(st, self, transport, "resume_reading", NULL,
                         TLS_RESUME)
               < 0) {
        Py_DECREF(waiter);
        return AWAIT_ERROR;
    }
    *ret = waiter;
    return AWAIT_DELEGATE;
}

static await_status
tls_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ == 0) {
        return tls_start(ouro_state_of(self->owner), self, ret);
    }
    *ret = PyObject_GetAttrString(ouro_frame_get(self, TLS_SSL_PROTOCOL),
                                  "_app_transport");
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
tls_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    PyObject *exception = PyErr_GetRaisedException();
    if (call_method(ouro_frame_get(self, TLS_TRANSPORT), "close", NULL) < 0
        || call_method(ouro_frame_get(self, TLS_MADE), "cancel", NULL) < 0
        || call_method(ouro_frame_get(self, TLS_RESUME), "cancel", NULL) < 0) {
        Py_DECREF(exception);
        return AWAIT_ERROR;
    }
    PyErr_SetRaisedException(exception);
    return AWAIT_ERROR;
}

static const await_kind tls_kind = {
    .name = "start_tls",
    .qualname = "BaseEventLoop.start_tls",
    .poll = tls_poll,
    .abort = tls_abort,
};

static PyObject *
loop_start_tls(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.start_tls",
        .skip_self = 1,
        .positional = 3,
        .required = 3,
        .names = {"transport", "protocol", "sslcontext", "server_side",
                  "server_hostname", "ssl_handshake_timeout",
                  "ssl_shutdown_timeout"},
    };
    PyObject *a[TLS_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    if (a[TLS_SERVER_SIDE] == NULL) {
        a[TLS_SERVER_SIDE] = Py_False;
    }
    return ouro_frame_new(ouro_state_of(loop), &tls_kind, loop, a, TLS_ARGS,
                          TLS_TOTAL);
}

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    OURO_METHOD("_make_ssl_transport", loop_make_ssl_transport, NULL),
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"start_tls", loop_start_tls,
     "start_tls($self, transport, protocol, sslcontext, *, "
     "server_side=False, server_hostname=None, ssl_handshake_timeout=None, "
     "ssl_shutdown_timeout=None)\n--\n\n"
     "Go on in TLS; return the transport that the protocol is to use."},
    {NULL, NULL, NULL},
};

int
ouro_tls_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
