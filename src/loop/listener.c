/* listener.c - accepting connections.
 *
 * Native, a listener watches its socket level triggered and hands each
 * accepted descriptor to the transports' room.  Otherwise, and for TLS,
 * _accept_connection() is the callback of a reader and makes a task for each
 * connection, as asyncio does.
 */
#include "loop/listener.h"

#include "base/rooms.h"
#include <errno.h>

#include "loop/frame.h"
#include "loop/netops.h"
#include "loop/unix.h"
#include "sys/sock.h"
#include "task/future.h"
#include "task/registry.h"
#include "task/task.h"

typedef struct ListenerObject {
    PyObject_HEAD
    ou_io io;
    PyObject *loop;
    PyObject *args; /* of _start_serving(), a tuple */
    PyObject *context;
    int family;
    int proto;
} ListenerObject;

static PyObject *
listener_arg(ListenerObject *self, int place)
{
    return PyTuple_GET_ITEM(self->args, place);
}

/* ---- what both ways share ---------------------------------------------- */

static bool
out_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS
           || error == ENOMEM;
}

/* accept() found no descriptor or no memory: report it, and try again after a
 * while; the kernel would go on reporting the socket as ready.  The exception
 * is set. 0 or -1. */
static int
accept_later(ouro_state *st, PyObject *loop, PyObject *args)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *sock = PyTuple_GET_ITEM(args, SERVING_SOCK);
    PyObject *shown = PyObject_CallMethodOneArg(
        st->stock.trsock, st->str.TransportSocket, sock);
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
    PyObject *delay =
        PyObject_GetAttrString(st->stock.constants, "ACCEPT_RETRY_DELAY");
    PyObject *start = PyObject_GetAttr(loop, st->str._start_serving);
    PyObject *head =
        delay == NULL || start == NULL ? NULL : PyTuple_Pack(2, delay, start);
    PyObject *all = head == NULL ? NULL : PySequence_Concat(head, args);
    PyObject *call_later = PyObject_GetAttr(loop, st->str.call_later);
    PyObject *handle = all == NULL || call_later == NULL
                           ? NULL
                           : PyObject_CallObject(call_later, all);
    Py_XDECREF(delay);
    Py_XDECREF(start);
    Py_XDECREF(head);
    Py_XDECREF(all);
    Py_XDECREF(call_later);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* ---- natively ---------------------------------------------------------- */

/* loop._accept_connection(*args): the loop has ceased to be fast. */
static int
listener_accept_by_method(ListenerObject *self)
{
    PyObject *method =
        PyObject_GetAttrString(self->loop, "_accept_connection");
    PyObject *result =
        method == NULL ? NULL : PyObject_CallObject(method, self->args);
    Py_XDECREF(method);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* How many connections one event may bring. */
static Py_ssize_t
listener_backlog(ListenerObject *self)
{
    Py_ssize_t backlog = PyNumber_AsSsize_t(
        listener_arg(self, SERVING_BACKLOG), PyExc_OverflowError);
    return backlog;
}

static int
listener_accept(ouro_state *st, ListenerObject *self)
{
    Py_ssize_t backlog = listener_backlog(self);
    if (backlog == -1 && PyErr_Occurred()) {
        return -1;
    }
    while (backlog-- > 0 && ou_io_started(&self->io)) {
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);
        int fd = ou_sock_accept(self->io.fd, (struct sockaddr *)&address,
                                &length);
        if (fd == -EAGAIN || fd == -EWOULDBLOCK || fd == -ECONNABORTED) {
            return 0;
        }
        if (fd < 0) {
            ouro_raise_errno(fd);
            if (!out_of_resources(-fd)) {
                return -1;
            }
            ou_io_stop(ouro_loop_engine(self->loop), &self->io);
            return accept_later(st, self->loop, self->args);
        }
        accepted connection = {
            .fd = fd, .family = self->family, .proto = self->proto};
        ou_address_set(&connection.peer, (struct sockaddr *)&address, length);
        if (st->net->accept(st, self->loop,
                            listener_arg(self, SERVING_FACTORY),
                            listener_arg(self, SERVING_SERVER), &connection)
            < 0) {
            return -1;
        }
    }
    return 0;
}

static int
listener_ready(ouro_state *st, ListenerObject *self)
{
    LoopCore *core = (LoopCore *)self->loop;
    PyObject *context = self->context;
    int result = -1;
    if (ouro_leave_task_fast(core) == 0 && PyContext_Enter(context) == 0) {
        result = ouro_loop_fast(st, self->loop)
                     ? listener_accept(st, self)
                     : listener_accept_by_method(self);
        PyObject *exception = PyErr_GetRaisedException();
        (void)PyContext_Exit(context);
        PyErr_SetRaisedException(exception);
    }
    if (result == 0 || ouro_error_leaves_loop()) {
        return result;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *callback =
        PyObject_GetAttrString(self->loop, "_accept_connection");
    if (callback == NULL) {
        Py_DECREF(exception);
        return -1;
    }
    PyErr_SetRaisedException(exception);
    result =
        core->ops->callback_failed(self->loop, callback, self->args, context);
    Py_DECREF(callback);
    return result;
}

static ListenerObject *
listener_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, ListenerObject, io.in);
}

static int
listener_run(ou_job *job)
{
    ListenerObject *self = listener_of(job);
    int result = 0;
    if (ou_io_take(&self->io, OU_IN)) {
        result = listener_ready(ouro_state_of((PyObject *)self), self);
    }
    Py_DECREF(self);
    return result;
}

static void
listener_drop(ou_job *job)
{
    Py_DECREF(listener_of(job));
}

static void
listener_hold(ou_job *job)
{
    Py_INCREF(listener_of(job));
}

static int
listener_visit(ou_job *job, void *visitor)
{
    ouro_visitor *v = visitor;
    return v->visit((PyObject *)listener_of(job), v->arg);
}

static const ou_job_kind listener_kind = {
    .run = listener_run,
    .drop = listener_drop,
    .hold = listener_hold,
    .visit = listener_visit,
};

/* sock.<name> as a number. */
static int
socket_number(PyObject *sock, PyObject *name, int *ret)
{
    PyObject *value = PyObject_GetAttr(sock, name);
    if (value == NULL) {
        return -1;
    }
    *ret = (int)PyLong_AsLong(value);
    Py_DECREF(value);
    return *ret == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Watch natively: 1; 0: the descriptor has a watch already; -1: error. */
static int
listener_start(ouro_state *st, PyObject *loop, PyObject *const *args)
{
    ListenerObject *self =
        (ListenerObject *)st->types.Listener->tp_alloc(st->types.Listener, 0);
    if (self == NULL) {
        return -1;
    }
    ou_io_init(&self->io, &listener_kind, &listener_kind);
    self->loop = Py_NewRef(loop);
    self->args = PyTuple_New(SERVING_ARGS);
    self->context = PyContext_CopyCurrent();
    int fd = PyObject_AsFileDescriptor(args[SERVING_SOCK]);
    int result = -1;
    if (self->args == NULL || self->context == NULL || fd < 0
        || socket_number(args[SERVING_SOCK], st->str.family, &self->family)
               < 0
        || socket_number(args[SERVING_SOCK], st->str.proto, &self->proto)
               < 0) {
        goto done;
    }
    for (int i = 0; i < SERVING_ARGS; i++) {
        PyTuple_SET_ITEM(self->args, i, Py_NewRef(args[i]));
    }
    int error =
        ou_io_start(ouro_loop_engine(loop), &self->io, fd, OU_IN, OU_LEVEL);
    if (error == -EEXIST) {
        result = 0;
    }
    else {
        result = error < 0 ? ouro_raise_errno_int(error) : 1;
    }
done:
    Py_DECREF(self);
    return result;
}

static int
listener_traverse(PyObject *op, visitproc visit, void *arg)
{
    ListenerObject *self = (ListenerObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->args);
    Py_VISIT(self->context);
    return 0;
}

static int
listener_clear(PyObject *op)
{
    ListenerObject *self = (ListenerObject *)op;
    Py_CLEAR(self->args);
    Py_CLEAR(self->context);
    if (!ou_io_started(&self->io)) {
        Py_CLEAR(self->loop); /* it is what stops the watch */
    }
    return 0;
}

static void
listener_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)listener_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot listener_slots[] = {
    {Py_tp_dealloc, listener_dealloc},
    {Py_tp_traverse, listener_traverse},
    {Py_tp_clear, listener_clear},
    {0, NULL},
};

static PyType_Spec listener_spec = {
    .name = "ouro._ouro.Listener",
    .basicsize = sizeof(ListenerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = listener_slots,
};

/* ---- by methods -------------------------------------------------------- */

static const ouro_signature serving_signature = {
    .qualname = "BaseSelectorEventLoop._start_serving",
    .skip_self = 1,
    .positional = SERVING_ARGS,
    .required = 2,
    .names = {"protocol_factory", "sock", "sslcontext", "server", "backlog",
              "ssl_handshake_timeout", "ssl_shutdown_timeout"},
};

/* The arguments with their defaults, as a tuple. */
static PyObject *
serving_args(PyObject *const *a)
{
    PyObject *args = PyTuple_New(SERVING_ARGS);
    for (int i = 0; args != NULL && i < SERVING_ARGS; i++) {
        PyObject *value = a[i] != NULL ? Py_NewRef(a[i])
                          : i == SERVING_BACKLOG
                              ? PyLong_FromLong(100)
                          : i == SERVING_HANDSHAKE_TIMEOUT
                              ? PyFloat_FromDouble(60.0)
                          : i == SERVING_SHUTDOWN_TIMEOUT
                              ? PyFloat_FromDouble(30.0)
                              : Py_NewRef(Py_None);
        if (value == NULL) {
            Py_CLEAR(args);
            break;
        }
        PyTuple_SET_ITEM(args, i, value);
    }
    return args;
}

/* loop._add_reader(sock.fileno(), loop._accept_connection, *args) */
static int
serve_by_reader(ouro_state *st, PyObject *loop, PyObject *args)
{
    PyObject *fd = PyObject_CallMethodNoArgs(
        PyTuple_GET_ITEM(args, SERVING_SOCK), st->str.fileno);
    PyObject *accept = PyObject_GetAttrString(loop, "_accept_connection");
    PyObject *head =
        fd == NULL || accept == NULL ? NULL : PyTuple_Pack(2, fd, accept);
    PyObject *all = head == NULL ? NULL : PySequence_Concat(head, args);
    PyObject *add = PyObject_GetAttr(loop, st->str._add_reader);
    PyObject *result =
        all == NULL || add == NULL ? NULL : PyObject_CallObject(add, all);
    Py_XDECREF(fd);
    Py_XDECREF(accept);
    Py_XDECREF(head);
    Py_XDECREF(all);
    Py_XDECREF(add);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
start_serving(ouro_state *st, PyObject *loop, PyObject *args)
{
    PyObject *const *a = &PyTuple_GET_ITEM(args, 0);
    int tls = PyObject_IsTrue(a[SERVING_SSL]);
    if (tls < 0) {
        return -1;
    }
    if (!tls && ouro_loop_fast(st, loop)) {
        int started = listener_start(st, loop, a);
        if (started != 0) {
            return started < 0 ? -1 : 0;
        }
    }
    return serve_by_reader(st, loop, args);
}

static PyObject *
loop_start_serving(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *a[SERVING_ARGS];
    if (ouro_parse(&serving_signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    PyObject *all = serving_args(a);
    if (all == NULL) {
        return NULL;
    }
    int result = start_serving(ouro_state_of(loop), loop, all);
    Py_DECREF(all);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

int
ouro_start_serving(ouro_state *st, PyObject *loop, PyObject *const *args)
{
    PyObject *result;
    if (ouro_loop_fast(st, loop)) {
        result = loop_start_serving(loop, args, SERVING_ARGS, NULL);
    }
    else {
        PyObject *full[SERVING_ARGS + 1] = {loop};
        for (int i = 0; i < SERVING_ARGS; i++) {
            full[i + 1] = args[i];
        }
        result = PyObject_VectorcallMethod(st->str._start_serving, full,
                                           SERVING_ARGS + 1, NULL);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Watch sock no longer. 0 or -1. */
static int
stop_watching(ouro_state *st, LoopObject *self, PyObject *sock)
{
    PyObject *fd = PyObject_CallMethodNoArgs(sock, st->str.fileno);
    if (fd == NULL) {
        return -1;
    }
    int number = PyLong_Check(fd) ? (int)PyLong_AsLong(fd) : -1;
    ou_io *io = self->core.opened && number >= 0
                    ? ou_io_find(&self->core.engine, number)
                    : NULL;
    PyObject *result;
    if (io != NULL && io->in.kind == &listener_kind) {
        ou_io_stop(&self->core.engine, io);
        result = Py_NewRef(Py_None);
    }
    else {
        result = PyObject_CallMethodOneArg((PyObject *)self,
                                           st->str._remove_reader, fd);
    }
    Py_DECREF(fd);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* _stop_serving(sock): stop listening, close the socket, remove its file. */
static PyObject *
loop_stop_serving(PyObject *loop, PyObject *sock)
{
    ouro_state *st = ouro_state_of(loop);
    PyObject *path, *inode;
    if (ouro_unix_forget(loop, sock, &path, &inode) < 0) {
        return NULL;
    }
    PyObject *closed = NULL;
    if (stop_watching(st, (LoopObject *)loop, sock) == 0) {
        closed = PyObject_CallMethodNoArgs(sock, st->str.close);
    }
    if (closed == NULL) {
        Py_XDECREF(path);
        Py_XDECREF(inode);
        return NULL;
    }
    Py_DECREF(closed);
    return ouro_unix_remove(st, path, inode) < 0 ? NULL : Py_NewRef(Py_None);
}

/* One connection: a task that makes its protocol and transport. */
static int
accept_in_task(ouro_state *st, PyObject *loop, PyObject *const *a,
               PyObject *conn, PyObject *address)
{
    PyObject *extra =
        Py_BuildValue("{O:O}", st->str.peername, address);
    PyObject *method = PyObject_GetAttrString(loop, "_accept_connection2");
    PyObject *coro = NULL, *task = NULL;
    if (extra != NULL && method != NULL) {
        coro = PyObject_CallFunctionObjArgs(
            method, a[SERVING_FACTORY], conn, extra, a[SERVING_SSL],
            a[SERVING_SERVER], a[SERVING_HANDSHAKE_TIMEOUT],
            a[SERVING_SHUTDOWN_TIMEOUT], NULL);
    }
    if (coro != NULL) {
        task = ouro_create_task(st, loop, coro, NULL, NULL);
    }
    Py_XDECREF(extra);
    Py_XDECREF(method);
    Py_XDECREF(coro);
    Py_XDECREF(task);
    return task == NULL ? -1 : 0;
}

/* sock.accept(): 1 and the pair; 0: no connection waits; -1: error. */
static int
accept_socket(ouro_state *st, PyObject *loop, PyObject *sock,
              PyObject *server, PyObject **ret_conn, PyObject **ret_address)
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
    if (!PyArg_ParseTuple(pair, "OO", &conn, &address)) {
        Py_DECREF(pair);
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
        result = PyObject_CallMethodOneArg(conn, st->str.setblocking,
                                           Py_False);
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
    int error =
        number != NULL && PyLong_Check(number) ? (int)PyLong_AsLong(number)
                                               : 0;
    Py_XDECREF(number);
    PyErr_Clear();
    PyErr_SetRaisedException(exception);
    return error;
}

static PyObject *
loop_accept_connection(PyObject *loop, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    ouro_state *st = ouro_state_of(loop);
    PyObject *given[SERVING_ARGS];
    if (ouro_parse(&serving_signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    PyObject *all = serving_args(given);
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
        if (out_of_resources(current_errno())) {
            PyObject *exception = PyErr_GetRaisedException();
            PyObject *fd = PyObject_CallMethodNoArgs(a[SERVING_SOCK],
                                                     st->str.fileno);
            PyObject *removed =
                fd == NULL ? NULL
                           : PyObject_CallMethodOneArg(
                                 loop, st->str._remove_reader, fd);
            Py_XDECREF(fd);
            if (removed != NULL) {
                Py_DECREF(removed);
                PyErr_SetRaisedException(exception);
                result = accept_later(st, loop, all);
            }
            else {
                Py_DECREF(exception);
            }
            break;
        }
    }
    Py_DECREF(all);
    return result < 0 ? NULL : Py_NewRef(Py_None);
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
            "Error on transport creation for incoming connection",
            "exception", exception);
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
    if (!tls) {
        return ouro_call_keywords(
            self->owner, st->str._make_socket_transport,
            PyTuple_Pack(2, conn, protocol), "waiter", waiter, "extra",
            ouro_frame_get(self, ACCEPT_EXTRA), "server",
            ouro_frame_get(self, ACCEPT_SERVER), NULL);
    }
    return ouro_call_keywords(
        self->owner, st->str._make_ssl_transport,
        PyTuple_Pack(3, conn, protocol, ssl), "waiter", waiter,
        "server_side", Py_True, "extra", ouro_frame_get(self, ACCEPT_EXTRA),
        "server", ouro_frame_get(self, ACCEPT_SERVER),
        "ssl_handshake_timeout",
        ouro_frame_get(self, ACCEPT_HANDSHAKE_TIMEOUT),
        "ssl_shutdown_timeout",
        ouro_frame_get(self, ACCEPT_SHUTDOWN_TIMEOUT), NULL);
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
        .names = {"protocol_factory", "conn", "extra", "sslcontext",
                  "server", "ssl_handshake_timeout",
                  "ssl_shutdown_timeout"},
    };
    PyObject *a[ACCEPT_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &accept2_kind, loop, a,
                          ACCEPT_ARGS, ACCEPT_TOTAL);
}

/* ---- set-up ------------------------------------------------------------ */

#define FAST(function) (PyCFunction)(void (*)(void))function
#define KEYWORDS (METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef methods[] = {
    {"_start_serving", FAST(loop_start_serving), KEYWORDS, NULL},
    {"_stop_serving", loop_stop_serving, METH_O, NULL},
    {"_accept_connection", FAST(loop_accept_connection), KEYWORDS, NULL},
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"_accept_connection2", loop_accept_connection2, NULL},
    {NULL, NULL, NULL},
};

int
ouro_listener_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &listener_spec, NULL, false,
                      &st->types.Listener)
            < 0
        || ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
