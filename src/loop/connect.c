/* connect.c - create_connection() and connect_accepted_socket().
 *
 * addresses -> a connected socket (connectsock.c) -> protocol and transport
 * (here) -> the pair of both.
 */
#include "loop/connect.h"

#include "base/rooms.h"
#include "loop/connectsock.h"
#include "loop/dns.h"
#include "loop/fdwatch.h"
#include "loop/netops.h"
#include "loop/socketcalls.h"
#include "loop/steps.h"
#include "task/future.h"

/* ---- checks that several functions make -------------------------------- */

int
ouro_check_ssl_timeouts(bool ssl, PyObject *handshake, PyObject *shutdown)
{
    if (ssl) {
        return 0;
    }
    if (handshake != NULL && handshake != Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "ssl_handshake_timeout is only meaningful with ssl");
        return -1;
    }
    if (shutdown != NULL && shutdown != Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "ssl_shutdown_timeout is only meaningful with ssl");
        return -1;
    }
    return 0;
}

int
ouro_check_ssl_socket(ouro_state *st, PyObject *sock)
{
    if (st->stock.ssl == NULL) {
        return 0;
    }
    PyObject *type = PyObject_GetAttr(st->stock.ssl, st->str.SSLSocket);
    if (type == NULL) {
        PyErr_Clear();
        return 0;
    }
    int found = PyObject_IsInstance(sock, type);
    Py_DECREF(type);
    if (found > 0) {
        PyErr_SetString(PyExc_TypeError, "Socket cannot be of type SSLSocket");
    }
    return found == 0 ? 0 : -1;
}

int
ouro_check_stream_socket(ouro_state *st, PyObject *sock)
{
    PyObject *type = PyObject_GetAttr(sock, st->str.type);
    PyObject *stream =
        type == NULL ? NULL : ouro_socket_attr(st, "SOCK_STREAM");
    int equal =
        stream == NULL ? -1 : PyObject_RichCompareBool(type, stream, Py_EQ);
    Py_XDECREF(type);
    Py_XDECREF(stream);
    if (equal == 0) {
        PyErr_Format(PyExc_ValueError, "A Stream Socket was expected, got %R",
                     sock);
    }
    return equal > 0 ? 0 : -1;
}

int
ouro_set_nonblocking(ouro_state *st, PyObject *sock)
{
    return ouro_drop_result(
        PyObject_CallMethodOneArg(sock, st->str.setblocking, Py_False));
}

void
ouro_close_socket(ouro_state *st, PyObject *sock)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *result = PyObject_CallMethodNoArgs(sock, st->str.close);
    if (result == NULL) {
        /* As in an except block: the new error has the old for context. */
        PyObject *error = PyErr_GetRaisedException();
        PyException_SetContext(error, exception);
        PyErr_SetRaisedException(error);
        return;
    }
    Py_DECREF(result);
    PyErr_SetRaisedException(exception);
}

/* ---- protocol and transport -------------------------------------------- */

enum {
    TRANSPORT_PROTOCOL = TRANSPORT_ARGS,
    TRANSPORT_MADE,
    TRANSPORT_TOTAL,
};

/* self._make_ssl_transport() */
static PyObject *
make_tls(ouro_state *st, AwaitObject *self, PyObject *waiter,
         PyObject *calls_context)
{
    PyObject *ssl = ouro_frame_get(self, TRANSPORT_SSL);
    PyObject *context = PyBool_Check(ssl) ? Py_None : ssl;
    return ouro_call_keywords(
        self->owner, st->str._make_ssl_transport,
        PyTuple_Pack(4, ouro_frame_get(self, TRANSPORT_SOCK),
                     ouro_frame_get(self, TRANSPORT_PROTOCOL), context,
                     waiter),
        "server_side", ouro_frame_get(self, TRANSPORT_SERVER_SIDE),
        "server_hostname", ouro_frame_get(self, TRANSPORT_HOSTNAME),
        "ssl_handshake_timeout",
        ouro_frame_get(self, TRANSPORT_HANDSHAKE_TIMEOUT),
        "ssl_shutdown_timeout",
        ouro_frame_get(self, TRANSPORT_SHUTDOWN_TIMEOUT),
        calls_context == NULL ? NULL : "context", calls_context, NULL);
}

/* calls_context NULL: as up to 3.14, each call has its own. */
static PyObject *
make_transport_in(ouro_state *st, AwaitObject *self, PyObject *waiter,
                  PyObject *calls_context)
{
    int tls = PyObject_IsTrue(ouro_frame_get(self, TRANSPORT_SSL));
    if (tls != 0) {
        return tls < 0 ? NULL : make_tls(st, self, waiter, calls_context);
    }
    return ouro_call_keywords(
        self->owner, st->str._make_socket_transport,
        PyTuple_Pack(3, ouro_frame_get(self, TRANSPORT_SOCK),
                     ouro_frame_get(self, TRANSPORT_PROTOCOL), waiter),
        calls_context == NULL ? NULL : "context", calls_context, NULL);
}

static PyObject *
make_transport(ouro_state *st, AwaitObject *self, PyObject *waiter)
{
    if (!st->has.loop.transport_context) {
        return make_transport_in(st, self, waiter, NULL);
    }
    PyObject *context = PyContext_CopyCurrent();
    if (context == NULL) {
        return NULL;
    }
    PyObject *transport = make_transport_in(st, self, waiter, context);
    Py_DECREF(context);
    return transport;
}

static await_status
transport_begin(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    if (ouro_set_nonblocking(st, ouro_frame_get(self, TRANSPORT_SOCK)) < 0) {
        return AWAIT_ERROR;
    }
    PyObject *protocol =
        PyObject_CallNoArgs(ouro_frame_get(self, TRANSPORT_FACTORY));
    if (protocol == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, TRANSPORT_PROTOCOL, protocol);
    PyObject *waiter = ouro_create_future(st, self->owner);
    PyObject *transport =
        waiter == NULL ? NULL : make_transport(st, self, waiter);
    if (transport == NULL) {
        Py_XDECREF(waiter);
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, TRANSPORT_MADE, transport);
    *ret = waiter;
    return AWAIT_DELEGATE;
}

static await_status
transport_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    ouro_close_socket(ouro_state_of(self->owner),
                      ouro_frame_get(self, TRANSPORT_MADE));
    return AWAIT_ERROR;
}

static await_status
transport_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step++ > 0) {
        *ret = PyTuple_Pack(2, ouro_frame_get(self, TRANSPORT_MADE),
                            ouro_frame_get(self, TRANSPORT_PROTOCOL));
        return *ret == NULL ? transport_abort(self, ret) : AWAIT_RETURN;
    }
    await_status status = transport_begin(st, self, ret);
    if (status == AWAIT_ERROR && st->has.loop.closes_refused_sock) {
        ouro_close_socket(st, ouro_frame_get(self, TRANSPORT_SOCK));
    }
    return status;
}

static const await_kind transport_kind = {
    .name = "_create_connection_transport",
    .qualname = "BaseEventLoop._create_connection_transport",
    .poll = transport_poll,
    .abort = transport_abort,
};

PyObject *
ouro_connection_transport(ouro_state *st, PyObject *loop,
                          PyObject *const *args)
{
    PyObject *coroutine = ouro_frame_new(st, &transport_kind, loop, args,
                                         TRANSPORT_ARGS, TRANSPORT_TOTAL);
    if (coroutine != NULL && args[TRANSPORT_SERVER_SIDE] == NULL) {
        ouro_frame_set((AwaitObject *)coroutine, TRANSPORT_SERVER_SIDE,
                       Py_NewRef(Py_False));
    }
    return coroutine;
}

/* ---- create_connection() ----------------------------------------------- */

enum {
    CONNECT_FACTORY,
    CONNECT_HOST,
    CONNECT_PORT,
    CONNECT_SSL,
    CONNECT_FAMILY,
    CONNECT_PROTO,
    CONNECT_FLAGS,
    CONNECT_SOCK,
    CONNECT_LOCAL_ADDR,
    CONNECT_HOSTNAME,
    CONNECT_HANDSHAKE_TIMEOUT,
    CONNECT_SHUTDOWN_TIMEOUT,
    CONNECT_EYEBALLS_DELAY,
    CONNECT_INTERLEAVE,
    CONNECT_ALL_ERRORS, /* 3.12+ */
    CONNECT_ARGS,
    CONNECT_INFOS = CONNECT_ARGS,
    CONNECT_LOCAL_INFOS,
    CONNECT_TOTAL,
};

enum {
    STEP_START,
    STEP_RESOLVED,
    STEP_LOCAL_RESOLVED,
    STEP_CONNECTED,
    STEP_MADE,
};

static PyObject *
value_error(const char *message)
{
    PyErr_SetString(PyExc_ValueError, message);
    return NULL;
}

/* The host name that TLS checks. 0 or -1. */
static int
connect_hostname(AwaitObject *self, bool ssl)
{
    PyObject *host = ouro_frame_get(self, CONNECT_HOST);
    bool given = ouro_frame_get(self, CONNECT_HOSTNAME) != Py_None;
    if (given && !ssl) {
        value_error("server_hostname is only meaningful with ssl");
        return -1;
    }
    if (given || !ssl) {
        return 0;
    }
    int some = PyObject_IsTrue(host);
    if (some == 0) {
        value_error("You must set server_hostname when using ssl without a "
                    "host");
    }
    if (some <= 0) {
        return -1;
    }
    ouro_frame_set(self, CONNECT_HOSTNAME, Py_NewRef(host));
    return 0;
}

static int
connect_check(ouro_state *st, AwaitObject *self)
{
    int ssl = PyObject_IsTrue(ouro_frame_get(self, CONNECT_SSL));
    PyObject *sock = ouro_frame_get(self, CONNECT_SOCK);
    if (ssl < 0 || connect_hostname(self, ssl) < 0
        || ouro_check_ssl_timeouts(
               ssl, ouro_frame_get(self, CONNECT_HANDSHAKE_TIMEOUT),
               ouro_frame_get(self, CONNECT_SHUTDOWN_TIMEOUT))
               < 0
        || (sock != Py_None && ouro_check_ssl_socket(st, sock) < 0)) {
        return -1;
    }
    if (ouro_frame_get(self, CONNECT_EYEBALLS_DELAY) != Py_None
        && ouro_frame_get(self, CONNECT_INTERLEAVE) == Py_None) {
        PyObject *one = PyLong_FromLong(1);
        if (one == NULL) {
            return -1;
        }
        ouro_frame_set(self, CONNECT_INTERLEAVE, one);
    }
    return 0;
}

/* Delegate to the resolution of an address (consumed). */
static await_status
connect_resolve(ouro_state *st, AwaitObject *self, PyObject *address, int next,
                PyObject **ret)
{
    if (address == NULL) {
        return AWAIT_ERROR;
    }
    self->step = next;
    PyObject *stream = ouro_socket_attr(st, "SOCK_STREAM");
    *ret =
        stream == NULL
            ? NULL
            : ouro_ensure_resolved(st, self->owner, address,
                                   ouro_frame_get(self, CONNECT_FAMILY),
                                   stream, ouro_frame_get(self, CONNECT_PROTO),
                                   ouro_frame_get(self, CONNECT_FLAGS));
    Py_XDECREF(stream);
    Py_DECREF(address);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* What the resolution has brought goes into the frame. 0 or -1. */
static int
connect_take_infos(AwaitObject *self, int place)
{
    int some = PyObject_IsTrue(self->value);
    if (some == 0) {
        PyErr_SetString(PyExc_OSError, "getaddrinfo() returned empty list");
    }
    if (some <= 0) {
        return -1;
    }
    ouro_frame_set(self, place, Py_NewRef(self->value));
    return 0;
}

static await_status
connect_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    if (connect_check(st, self) < 0) {
        return AWAIT_ERROR;
    }
    PyObject *host = ouro_frame_get(self, CONNECT_HOST);
    PyObject *port = ouro_frame_get(self, CONNECT_PORT);
    PyObject *sock = ouro_frame_get(self, CONNECT_SOCK);
    if (host != Py_None || port != Py_None) {
        if (sock != Py_None) {
            value_error(
                "host/port and sock can not be specified at the same time");
            return AWAIT_ERROR;
        }
        return connect_resolve(st, self, PyTuple_Pack(2, host, port),
                               STEP_RESOLVED, ret);
    }
    if (sock == Py_None) {
        value_error("host and port was not specified and no sock specified");
        return AWAIT_ERROR;
    }
    if (ouro_check_stream_socket(st, sock) < 0) {
        return AWAIT_ERROR;
    }
    self->step = STEP_CONNECTED;
    self->value = Py_NewRef(sock);
    return AWAIT_RETURN;
}

/* All addresses are known: connect to the first that answers. */
static await_status
connect_race(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *all_errors = ouro_frame_get(self, CONNECT_ALL_ERRORS);
    self->step = STEP_CONNECTED;
    *ret =
        ouro_connect_any(st, self->owner, ouro_frame_get(self, CONNECT_INFOS),
                         ouro_frame_get(self, CONNECT_LOCAL_INFOS),
                         ouro_frame_get(self, CONNECT_EYEBALLS_DELAY),
                         ouro_frame_get(self, CONNECT_INTERLEAVE), all_errors);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
connect_transport(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *args[TRANSPORT_ARGS] = {
        [TRANSPORT_SOCK] = self->value,
        [TRANSPORT_FACTORY] = ouro_frame_get(self, CONNECT_FACTORY),
        [TRANSPORT_SSL] = ouro_frame_get(self, CONNECT_SSL),
        [TRANSPORT_HOSTNAME] = ouro_frame_get(self, CONNECT_HOSTNAME),
        [TRANSPORT_HANDSHAKE_TIMEOUT] =
            ouro_frame_get(self, CONNECT_HANDSHAKE_TIMEOUT),
        [TRANSPORT_SHUTDOWN_TIMEOUT] =
            ouro_frame_get(self, CONNECT_SHUTDOWN_TIMEOUT),
    };
    self->step = STEP_MADE;
    *ret = ouro_connection_transport(st, self->owner, args);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static int
connect_log(ouro_state *st, AwaitObject *self)
{
    PyObject *transport = PyTuple_GetItem(self->value, 0);
    PyObject *protocol = PyTuple_GetItem(self->value, 1);
    if (transport == NULL || protocol == NULL) {
        return -1;
    }
    PyObject *sock =
        PyObject_CallMethod(transport, "get_extra_info", "s", "socket");
    if (sock == NULL) {
        return -1;
    }
    int result = ouro_loop_log(
        st, "debug", "(sOOOOO)", "%r connected to %s:%r: (%r, %r)", sock,
        ouro_frame_get(self, CONNECT_HOST), ouro_frame_get(self, CONNECT_PORT),
        transport, protocol);
    Py_DECREF(sock);
    return result;
}

static await_status
connect_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    await_status status;
    PyObject *local;
    switch (self->step) {
    case STEP_START:
        status = connect_start(st, self, ret);
        return status == AWAIT_RETURN ? connect_transport(st, self, ret)
                                      : status;
    case STEP_RESOLVED:
        if (connect_take_infos(self, CONNECT_INFOS) < 0) {
            return AWAIT_ERROR;
        }
        local = ouro_frame_get(self, CONNECT_LOCAL_ADDR);
        return local == Py_None ? connect_race(st, self, ret)
                                : connect_resolve(st, self, Py_NewRef(local),
                                                  STEP_LOCAL_RESOLVED, ret);
    case STEP_LOCAL_RESOLVED:
        return connect_take_infos(self, CONNECT_LOCAL_INFOS) < 0
                   ? AWAIT_ERROR
                   : connect_race(st, self, ret);
    case STEP_CONNECTED:
        return connect_transport(st, self, ret);
    default:
        if (((LoopCore *)self->owner)->debug && connect_log(st, self) < 0) {
            return AWAIT_ERROR;
        }
        *ret = Py_NewRef(self->value);
        return AWAIT_RETURN;
    }
}

static const await_kind connect_kind = {
    .name = "create_connection",
    .qualname = "BaseEventLoop.create_connection",
    .poll = connect_poll,
};

/* What is not given and is no None: family, proto and flags are 0. */
static PyObject *
connect_coroutine(ouro_state *st, PyObject *loop, PyObject **a)
{
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL) {
        return NULL;
    }
    for (int i = CONNECT_FAMILY; i <= CONNECT_FLAGS; i++) {
        a[i] = a[i] == NULL ? zero : a[i];
    }
    PyObject *coroutine = ouro_frame_new(st, &connect_kind, loop, a,
                                         CONNECT_ARGS, CONNECT_TOTAL);
    Py_DECREF(zero);
    return coroutine;
}

/* (all_errors: from 3.12 on.) */
static const ouro_signature connect_signature = {
    .qualname = "BaseEventLoop.create_connection",
    .skip_self = 1,
    .positional = 3,
    .required = 1,
    .names = {"protocol_factory", "host", "port", "ssl", "family", "proto",
              "flags", "sock", "local_addr", "server_hostname",
              "ssl_handshake_timeout", "ssl_shutdown_timeout",
              "happy_eyeballs_delay", "interleave", "all_errors"},
};

static PyObject *
loop_create_connection(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    ouro_state *st = ouro_state_of(loop);
    PyObject *stock;
    if (ouro_loop_detour(loop, "create_connection", args, nargs, kwnames,
                         &stock)) {
        return stock;
    }
    PyObject *a[CONNECT_ARGS] = {NULL};
    if (ouro_parse_versions(&connect_signature, st->has.minor >= 12, args,
                            nargs, kwnames, a)
        < 0) {
        return NULL;
    }
    return connect_coroutine(st, loop, a);
}

/* ---- connect_accepted_socket() ----------------------------------------- */

enum {
    ACCEPTED_FACTORY,
    ACCEPTED_SOCK,
    ACCEPTED_SSL,
    ACCEPTED_HANDSHAKE_TIMEOUT,
    ACCEPTED_SHUTDOWN_TIMEOUT,
    ACCEPTED_ARGS,
};

static int
accepted_check(ouro_state *st, AwaitObject *self)
{
    PyObject *sock = ouro_frame_get(self, ACCEPTED_SOCK);
    if (ouro_check_stream_socket(st, sock) < 0) {
        return -1;
    }
    int ssl = PyObject_IsTrue(ouro_frame_get(self, ACCEPTED_SSL));
    if (ssl < 0
        || ouro_check_ssl_timeouts(
               ssl, ouro_frame_get(self, ACCEPTED_HANDSHAKE_TIMEOUT),
               ouro_frame_get(self, ACCEPTED_SHUTDOWN_TIMEOUT))
               < 0) {
        return -1;
    }
    return ouro_check_ssl_socket(st, sock);
}

static await_status
accepted_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    if (accepted_check(st, self) < 0) {
        return AWAIT_ERROR;
    }
    PyObject *hostname = PyUnicode_FromString("");
    if (hostname == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *args[TRANSPORT_ARGS] = {
        [TRANSPORT_SOCK] = ouro_frame_get(self, ACCEPTED_SOCK),
        [TRANSPORT_FACTORY] = ouro_frame_get(self, ACCEPTED_FACTORY),
        [TRANSPORT_SSL] = ouro_frame_get(self, ACCEPTED_SSL),
        [TRANSPORT_HOSTNAME] = hostname,
        [TRANSPORT_SERVER_SIDE] = Py_True,
        [TRANSPORT_HANDSHAKE_TIMEOUT] =
            ouro_frame_get(self, ACCEPTED_HANDSHAKE_TIMEOUT),
        [TRANSPORT_SHUTDOWN_TIMEOUT] =
            ouro_frame_get(self, ACCEPTED_SHUTDOWN_TIMEOUT),
    };
    *ret = ouro_connection_transport(st, self->owner, args);
    Py_DECREF(hostname);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
accepted_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step++ == 0) {
        return accepted_start(st, self, ret);
    }
    PyObject *transport = PyTuple_GetItem(self->value, 0);
    if (transport == NULL) {
        return AWAIT_ERROR;
    }
    if (((LoopCore *)self->owner)->debug) {
        PyObject *sock =
            PyObject_CallMethod(transport, "get_extra_info", "s", "socket");
        int result =
            sock == NULL
                ? -1
                : ouro_loop_log(st, "debug", "(sOOO)", "%r handled: (%r, %r)",
                                sock, transport,
                                PyTuple_GET_ITEM(self->value, 1));
        Py_XDECREF(sock);
        if (result < 0) {
            return AWAIT_ERROR;
        }
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static const await_kind accepted_kind = {
    .name = "connect_accepted_socket",
    .qualname = "BaseEventLoop.connect_accepted_socket",
    .poll = accepted_poll,
};

static PyObject *
loop_connect_accepted_socket(PyObject *loop, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.connect_accepted_socket",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"protocol_factory", "sock", "ssl", "ssl_handshake_timeout",
                  "ssl_shutdown_timeout"},
    };
    PyObject *a[ACCEPTED_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &accepted_kind, loop, a,
                          ACCEPTED_ARGS, ACCEPTED_ARGS);
}

/* ---- _make_socket_transport() ------------------------------------------ */

static PyObject *
loop_make_socket_transport(PyObject *loop, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop._make_socket_transport",
        .skip_self = 1,
        .positional = 3,
        .required = 2,
        .names = {"sock", "protocol", "waiter", "extra", "server", "context"},
    };
    PyObject *a[6] = {NULL};
    ouro_state *st = ouro_state_of(loop);
    if (ouro_parse_versions(&signature, st->has.loop.transport_context, args,
                            nargs, kwnames, a)
        < 0) {
        return NULL;
    }
    if (st->has.minor >= 12
        && ouro_fd_ensure_free((LoopObject *)loop, a[0]) < 0) {
        return NULL;
    }
    PyObject *extra = a[3] == Py_None ? NULL : a[3];
    return ouro_make_stream(st, loop, a[0], a[1], a[2], extra, a[4], a[5]);
}

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    OURO_METHOD("_make_socket_transport", loop_make_socket_transport, NULL),
    {NULL},
};

#define CONNECT_DOC(more)                                                     \
    "create_connection($self, protocol_factory, host=None, port=None, *, "    \
    "ssl=None, family=0, proto=0, flags=0, sock=None, local_addr=None, "      \
    "server_hostname=None, ssl_handshake_timeout=None, "                      \
    "ssl_shutdown_timeout=None, happy_eyeballs_delay=None, "                  \
    "interleave=None" more ")\n--\n\n"                                        \
    "Connect to a TCP server; return (transport, protocol)."

#define ACCEPTED_DOC                                                          \
    "connect_accepted_socket($self, protocol_factory, sock, *, ssl=None, "    \
    "ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n--\n\n"          \
    "Make a transport for a socket that was accepted elsewhere; return\n"     \
    "(transport, protocol)."

static const ouro_async_def async_methods_3_11[] = {
    {"create_connection", loop_create_connection, CONNECT_DOC("")},
    {"connect_accepted_socket", loop_connect_accepted_socket, ACCEPTED_DOC},
    {NULL, NULL, NULL},
};

static const ouro_async_def async_methods[] = {
    {"create_connection", loop_create_connection,
     CONNECT_DOC(", all_errors=False")},
    {"connect_accepted_socket", loop_connect_accepted_socket, ACCEPTED_DOC},
    {NULL, NULL, NULL},
};

int
ouro_connect_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(
        st, st->has.minor >= 12 ? async_methods : async_methods_3_11);
}
