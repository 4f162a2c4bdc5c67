/* accept.c - accepting connections as asyncio does: by socket objects, with a
 * task for each (see listener.c for the native way).
 */
#include "loop/listener.h"

#include <errno.h>

#include "base/rooms.h"
#include "loop/frame.h"
#include "task/future.h"
#include "task/task.h"

/* ---- arguments --------------------------------------------------------- */

/* That of 3.15; before, there is no `context`. */
static const ouro_signature serving_signature = {
    .qualname = "BaseSelectorEventLoop._start_serving",
    .skip_self = 1,
    .positional = SERVING_ARGS,
    .required = 2,
    .names = {"protocol_factory", "sock", "sslcontext", "server", "backlog",
              "ssl_handshake_timeout", "ssl_shutdown_timeout", "context"},
};

int
ouro_serving_count(ouro_state *st)
{
    return st->has.loop.transport_context ? SERVING_ARGS : SERVING_CONTEXT;
}

/* The default of the parameter at this place. */
static PyObject *
serving_default(int place)
{
    switch (place) {
    case SERVING_BACKLOG:
        return PyLong_FromLong(100);
    case SERVING_HANDSHAKE_TIMEOUT:
        return PyFloat_FromDouble(60.0);
    case SERVING_SHUTDOWN_TIMEOUT:
        return PyFloat_FromDouble(30.0);
    default:
        return Py_NewRef(Py_None);
    }
}

PyObject *
ouro_serving_args(ouro_state *st, PyObject *const *given, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    int count = ouro_serving_count(st);
    PyObject *a[SERVING_ARGS];
    if (ouro_parse_versions(&serving_signature, count == SERVING_ARGS, given,
                            nargs, kwnames, a)
        < 0) {
        return NULL;
    }
    PyObject *args = PyTuple_New(count);
    if (args == NULL) {
        return NULL;
    }
    for (int i = 0; i < count; i++) {
        PyObject *value = a[i] != NULL ? Py_NewRef(a[i]) : serving_default(i);
        if (value == NULL) {
            Py_DECREF(args);
            return NULL;
        }
        PyTuple_SET_ITEM(args, i, value);
    }
    return args;
}

/* ---- what both ways share ---------------------------------------------- */

bool
ouro_out_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS
           || error == ENOMEM;
}

/* What call_later() is given to listen again: (delay, loop._start_serving,
 * *args). */
static PyObject *
retry_args(ouro_state *st, PyObject *loop, PyObject *args)
{
    PyObject *delay =
        PyObject_GetAttrString(st->stock.constants, "ACCEPT_RETRY_DELAY");
    PyObject *start =
        delay == NULL ? NULL : PyObject_GetAttr(loop, st->str._start_serving);
    PyObject *head = start == NULL ? NULL : PyTuple_Pack(2, delay, start);
    PyObject *all = head == NULL ? NULL : PySequence_Concat(head, args);
    Py_XDECREF(delay);
    Py_XDECREF(start);
    Py_XDECREF(head);
    return all;
}

/* accept() found no descriptor or no memory: report it, and try again after a
 * while; the kernel would go on reporting the socket as ready.  The exception
 * is set. 0 or -1. */
int
ouro_accept_later(ouro_state *st, PyObject *loop, PyObject *args)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *sock = PyTuple_GET_ITEM(args, SERVING_SOCK);
    PyObject *shown = PyObject_CallMethodOneArg(st->stock.trsock,
                                                st->str.TransportSocket, sock);
    int result = -1;
    if (shown != NULL) {
        result = ouro_loop_call_exception_handler(
            st, loop,
            Py_BuildValue("{s:s,s:O,s:O}", "message",
                          "socket.accept() out of system resource",
                          "exception", exception, "socket", shown));
        Py_DECREF(shown);
    }
    Py_DECREF(exception);
    if (result < 0) {
        return -1;
    }
    PyObject *all = retry_args(st, loop, args);
    PyObject *call_later =
        all == NULL ? NULL : PyObject_GetAttr(loop, st->str.call_later);
    result = call_later == NULL
                 ? -1
                 : ouro_drop_result(PyObject_CallObject(call_later, all));
    Py_XDECREF(all);
    Py_XDECREF(call_later);
    return result;
}

/* ---- _accept_connection() ---------------------------------------------- */

/* What a connection keeps for all its calls (owned): a copy of the server's
 * context, None: none.  Up to 3.14 there is none: *ret is NULL.  0 or -1. */
static int
connection_context(ouro_state *st, PyObject *const *a, PyObject **ret)
{
    *ret = NULL;
    if (!st->has.loop.transport_context) {
        return 0;
    }
    PyObject *context = a[SERVING_CONTEXT];
    *ret = context == Py_None ? Py_NewRef(context)
                              : PyObject_CallMethod(context, "copy", NULL);
    return *ret == NULL ? -1 : 0;
}

/* One connection: a task that makes its protocol and transport. */
static int
accept_in_task(ouro_state *st, PyObject *loop, PyObject *const *a,
               PyObject *conn, PyObject *address)
{
    PyObject *extra = Py_BuildValue("{O:O}", st->str.peername, address);
    PyObject *method = PyObject_GetAttrString(loop, "_accept_connection2");
    PyObject *coro = NULL, *task = NULL, *context = NULL;
    if (extra != NULL && method != NULL
        && connection_context(st, a, &context) == 0) {
        coro = PyObject_CallFunctionObjArgs(
            method, a[SERVING_FACTORY], conn, extra, a[SERVING_SSL],
            a[SERVING_SERVER], a[SERVING_HANDSHAKE_TIMEOUT],
            a[SERVING_SHUTDOWN_TIMEOUT], context, NULL);
    }
    if (coro != NULL) {
        task = ouro_create_task(st, loop, coro, NULL,
                                context == Py_None ? NULL : context);
    }
    Py_XDECREF(context);
    Py_XDECREF(extra);
    Py_XDECREF(method);
    Py_XDECREF(coro);
    Py_XDECREF(task);
    return task == NULL ? -1 : 0;
}

/* sock.accept(): 1 and the pair; 0: no connection waits; -1: error. */
static int
accept_socket(ouro_state *st, PyObject *loop, PyObject *sock, PyObject *server,
              PyObject **ret_conn, PyObject **ret_address)
{
    PyObject *pair = PyObject_CallMethod(sock, "accept", NULL);
    if (pair == NULL) {
        if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
            || PyErr_ExceptionMatches(PyExc_InterruptedError)
            || PyErr_ExceptionMatches(PyExc_ConnectionAbortedError)) {
            PyErr_Clear();
            return 0;
        }
        return -1;
    }
    PyObject *conn, *address;
    if (!PyTuple_Check(pair)) {
        Py_SETREF(pair, PySequence_Tuple(pair));
    }
    if (pair == NULL || !PyArg_ParseTuple(pair, "OO", &conn, &address)) {
        Py_XDECREF(pair);
        return -1;
    }
    Py_INCREF(conn);
    Py_INCREF(address);
    Py_DECREF(pair);
    PyObject *result = NULL;
    if (!((LoopCore *)loop)->debug
        || ouro_loop_log(st, "debug", "(sOOO)",
                         "%r got a new connection from %r: %r", server,
                         address, conn)
               == 0) {
        result =
            PyObject_CallMethodOneArg(conn, st->str.setblocking, Py_False);
    }
    if (result == NULL) {
        Py_DECREF(conn);
        Py_DECREF(address);
        return -1;
    }
    Py_DECREF(result);
    *ret_conn = conn;
    *ret_address = address;
    return 1;
}

/* The errno of the current exception if it is an OSError, else 0. */
static int
current_errno(void)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return 0;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *number = PyObject_GetAttrString(exception, "errno");
    int error = number != NULL && PyLong_Check(number)
                    ? (int)PyLong_AsLong(number)
                    : 0;
    Py_XDECREF(number);
    PyErr_Clear();
    PyErr_SetRaisedException(exception);
    return error;
}

static PyObject *
loop_accept_connection(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    ouro_state *st = ouro_state_of(loop);
    PyObject *all = ouro_serving_args(st, args, nargs, kwnames);
    if (all == NULL) {
        return NULL;
    }
    PyObject *const *a = &PyTuple_GET_ITEM(all, 0);
    Py_ssize_t backlog =
        PyNumber_AsSsize_t(a[SERVING_BACKLOG], PyExc_OverflowError);
    int result = backlog == -1 && PyErr_Occurred() ? -1 : 0;
    while (result == 0 && backlog-- > 0) {
        PyObject *conn, *address;
        int got = accept_socket(st, loop, a[SERVING_SOCK], a[SERVING_SERVER],
                                &conn, &address);
        if (got == 0) {
            break;
        }
        if (got > 0) {
            result = accept_in_task(st, loop, a, conn, address);
            Py_DECREF(conn);
            Py_DECREF(address);
            continue;
        }
        result = -1;
        if (ouro_out_of_resources(current_errno())) {
            PyObject *exception = PyErr_GetRaisedException();
            PyObject *fd =
                PyObject_CallMethodNoArgs(a[SERVING_SOCK], st->str.fileno);
            PyObject *removed = fd == NULL
                                    ? NULL
                                    : PyObject_CallMethodOneArg(
                                        loop, st->str._remove_reader, fd);
            Py_XDECREF(fd);
            if (removed != NULL) {
                Py_DECREF(removed);
                PyErr_SetRaisedException(exception);
                result = ouro_accept_later(st, loop, all);
            }
            else {
                Py_DECREF(exception);
            }
            break;
        }
    }
    Py_DECREF(all);
    return ouro_none_or_error(result);
}

/* ---- _accept_connection2() --------------------------------------------- */

enum {
    ACCEPT_FACTORY,
    ACCEPT_CONN,
    ACCEPT_EXTRA,
    ACCEPT_SSL,
    ACCEPT_SERVER,
    ACCEPT_HANDSHAKE_TIMEOUT,
    ACCEPT_SHUTDOWN_TIMEOUT,
    ACCEPT_CONTEXT, /* 3.15+ */
    ACCEPT_ARGS,
    ACCEPT_PROTOCOL = ACCEPT_ARGS,
    ACCEPT_TRANSPORT,
    ACCEPT_TOTAL,
};

/* The exception is set.  In debug mode the handler is told; otherwise it is
 * the peer's loss. */
static await_status
accept2_failed(AwaitObject *self, PyObject **ret)
{
    if (ouro_error_leaves_loop()) {
        return AWAIT_ERROR;
    }
    PyObject *exception = PyErr_GetRaisedException();
    ouro_state *st = ouro_state_of(self->owner);
    int result = 0;
    if (((LoopCore *)self->owner)->debug) {
        PyObject *context = Py_BuildValue(
            "{s:s,s:O}", "message",
            "Error on transport creation for incoming connection", "exception",
            exception);
        PyObject *protocol = ouro_frame_get(self, ACCEPT_PROTOCOL);
        PyObject *transport = ouro_frame_get(self, ACCEPT_TRANSPORT);
        if (context == NULL
            || (protocol != Py_None
                && PyDict_SetItemString(context, "protocol", protocol) < 0)
            || (transport != Py_None
                && PyDict_SetItemString(context, "transport", transport)
                       < 0)) {
            Py_XDECREF(context);
            result = -1;
        }
        else {
            result =
                ouro_loop_call_exception_handler(st, self->owner, context);
        }
    }
    Py_DECREF(exception);
    if (result < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static PyObject *
accept2_transport(ouro_state *st, AwaitObject *self, PyObject *waiter)
{
    PyObject *conn = ouro_frame_get(self, ACCEPT_CONN);
    PyObject *protocol = ouro_frame_get(self, ACCEPT_PROTOCOL);
    PyObject *ssl = ouro_frame_get(self, ACCEPT_SSL);
    int tls = PyObject_IsTrue(ssl);
    if (tls < 0) {
        return NULL;
    }
    const char *keyword = st->has.loop.transport_context ? "context" : NULL;
    PyObject *context = ouro_frame_get(self, ACCEPT_CONTEXT);
    if (!tls) {
        return ouro_call_keywords(
            self->owner, st->str._make_socket_transport,
            PyTuple_Pack(2, conn, protocol), "waiter", waiter, "extra",
            ouro_frame_get(self, ACCEPT_EXTRA), "server",
            ouro_frame_get(self, ACCEPT_SERVER), keyword, context, NULL);
    }
    return ouro_call_keywords(
        self->owner, st->str._make_ssl_transport,
        PyTuple_Pack(3, conn, protocol, ssl), "waiter", waiter, "server_side",
        Py_True, "extra", ouro_frame_get(self, ACCEPT_EXTRA), "server",
        ouro_frame_get(self, ACCEPT_SERVER), "ssl_handshake_timeout",
        ouro_frame_get(self, ACCEPT_HANDSHAKE_TIMEOUT), "ssl_shutdown_timeout",
        ouro_frame_get(self, ACCEPT_SHUTDOWN_TIMEOUT), keyword, context, NULL);
}

static await_status
accept2_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step++ > 0) {
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    PyObject *protocol =
        PyObject_CallNoArgs(ouro_frame_get(self, ACCEPT_FACTORY));
    if (protocol == NULL) {
        return accept2_failed(self, ret);
    }
    ouro_frame_set(self, ACCEPT_PROTOCOL, protocol);
    PyObject *waiter = ouro_create_future(st, self->owner);
    PyObject *transport =
        waiter == NULL ? NULL : accept2_transport(st, self, waiter);
    if (transport == NULL) {
        Py_XDECREF(waiter);
        return accept2_failed(self, ret);
    }
    ouro_frame_set(self, ACCEPT_TRANSPORT, transport);
    *ret = waiter;
    return AWAIT_FUTURE;
}

static await_status
accept2_abort(AwaitObject *self, PyObject **ret)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *closed = PyObject_CallMethod(
        ouro_frame_get(self, ACCEPT_TRANSPORT), "close", NULL);
    if (closed == NULL) {
        Py_DECREF(exception);
    }
    else {
        Py_DECREF(closed);
        PyErr_SetRaisedException(exception);
    }
    return accept2_failed(self, ret);
}

static const await_kind accept2_kind = {
    .name = "_accept_connection2",
    .qualname = "BaseSelectorEventLoop._accept_connection2",
    .poll = accept2_poll,
    .abort = accept2_abort,
};

static PyObject *
loop_accept_connection2(PyObject *loop, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop._accept_connection2",
        .skip_self = 1,
        .positional = ACCEPT_ARGS,
        .required = 3,
        .names = {"protocol_factory", "conn", "extra", "sslcontext", "server",
                  "ssl_handshake_timeout", "ssl_shutdown_timeout", "context"},
    };
    ouro_state *st = ouro_state_of(loop);
    PyObject *a[ACCEPT_ARGS] = {NULL};
    if (ouro_parse_versions(&signature, st->has.loop.transport_context, args,
                            nargs, kwnames, a)
        < 0) {
        return NULL;
    }
    return ouro_frame_new(st, &accept2_kind, loop, a, ACCEPT_ARGS,
                          ACCEPT_TOTAL);
}

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    OURO_METHOD("_accept_connection", loop_accept_connection, NULL),
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"_accept_connection2", loop_accept_connection2, NULL},
    {NULL, NULL, NULL},
};

int
ouro_accept_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
