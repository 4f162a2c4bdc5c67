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
#include "loop/socketcalls.h"
#include "loop/sockwatch.h"
#include "loop/unix.h"
#include "sys/sock.h"
#include "task/future.h"
#include "task/registry.h"
#include "task/task.h"

/* Connections that are accepted in one turn, if more are waiting: those that
 * wait are in the next one.  CPython lets the instances of a class share the
 * keys of their attributes only if the first one has its attributes before
 * about thirty have been made; protocols get theirs in connection_made(), a
 * turn after they were made.  With a whole burst of clients accepted at once
 * each protocol, and each later one, would need a dict of its own. */
enum { ACCEPT_BATCH = 16 };

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

/* What connections get copies of (borrowed), or NULL. */
static PyObject *
listener_context(ouro_state *st, ListenerObject *self)
{
    PyObject *context = st->has.loop.transport_context
                            ? listener_arg(self, SERVING_CONTEXT)
                            : Py_None;
    return context == Py_None ? NULL : context;
}

/* How many connections one event may bring; -1 with an exception set: an
 * error. */
static Py_ssize_t
listener_backlog(ListenerObject *self)
{
    Py_ssize_t backlog = PyNumber_AsSsize_t(
        listener_arg(self, SERVING_BACKLOG), PyExc_OverflowError);
    return backlog < ACCEPT_BATCH ? backlog : ACCEPT_BATCH;
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
        int fd =
            ou_sock_accept(self->io.fd, (struct sockaddr *)&address, &length);
        if (fd == -EAGAIN || fd == -EWOULDBLOCK || fd == -ECONNABORTED) {
            return 0;
        }
        if (fd < 0) {
            ouro_raise_errno(fd);
            if (!ouro_out_of_resources(-fd)) {
                return -1;
            }
            ou_io_stop(ouro_loop_engine(self->loop), &self->io);
            return ouro_accept_later(st, self->loop, self->args);
        }
        accepted connection = {
            .fd = fd, .family = self->family, .proto = self->proto};
        ou_address_set(&connection.peer, (struct sockaddr *)&address, length);
        if (st->net->accept(st, self->loop,
                            listener_arg(self, SERVING_FACTORY),
                            listener_arg(self, SERVING_SERVER),
                            listener_context(st, self), &connection)
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

static int
listener_run(ou_job *job)
{
    ListenerObject *self = OURO_CONTAINER_OF(job, ListenerObject, io.in);
    int result = 0;
    if (ou_io_take(&self->io, OU_IN)) {
        result = listener_ready(ouro_state_of((PyObject *)self), self);
    }
    Py_DECREF(self);
    return result;
}

static const ou_job_kind listener_kind = {
    OURO_OBJECT_JOB(ListenerObject, io.in),
    .run = listener_run,
};

/* sock.<name> as a number. */
static int
socket_number(PyObject *sock, PyObject *name, int *ret)
{
    PyObject *value = PyObject_GetAttr(sock, name);
    if (value == NULL) {
        return -1;
    }
    *ret = PyLong_AsInt(value);
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
    self->args = PyTuple_New(ouro_serving_count(st));
    self->context = PyContext_CopyCurrent();
    int fd = self->args == NULL || self->context == NULL
                 ? -1
                 : PyObject_AsFileDescriptor(args[SERVING_SOCK]);
    int result = -1;
    if (fd < 0
        || socket_number(args[SERVING_SOCK], st->str.family, &self->family) < 0
        || socket_number(args[SERVING_SOCK], st->str.proto, &self->proto)
               < 0) {
        goto done;
    }
    for (int i = 0; i < PyTuple_GET_SIZE(self->args); i++) {
        PyTuple_SET_ITEM(self->args, i, Py_NewRef(args[i]));
    }
    int error =
        ou_io_start(ouro_loop_engine(loop), &self->io, fd, OU_IN, OU_LEVEL);
    if (error == -EEXIST && ouro_sockwatch_release(loop, fd)) {
        error = ou_io_start(ouro_loop_engine(loop), &self->io, fd, OU_IN,
                            OU_LEVEL);
    }
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

/* loop._add_reader(sock.fileno(), loop._accept_connection, *args) */
static int
serve_by_reader(ouro_state *st, PyObject *loop, PyObject *args)
{
    int result = -1;
    PyObject *accept = NULL, *head = NULL, *all = NULL, *add = NULL;
    PyObject *fd = PyObject_CallMethodNoArgs(
        PyTuple_GET_ITEM(args, SERVING_SOCK), st->str.fileno);
    if (fd == NULL) {
        return -1;
    }
    accept = PyObject_GetAttrString(loop, "_accept_connection");
    if (accept == NULL) {
        goto done;
    }
    head = PyTuple_Pack(2, fd, accept);
    if (head == NULL) {
        goto done;
    }
    all = PySequence_Concat(head, args);
    if (all == NULL) {
        goto done;
    }
    add = PyObject_GetAttr(loop, st->str._add_reader);
    if (add != NULL) {
        result = ouro_drop_result(PyObject_CallObject(add, all));
    }
done:
    Py_XDECREF(add);
    Py_XDECREF(all);
    Py_XDECREF(head);
    Py_XDECREF(accept);
    Py_DECREF(fd);
    return result;
}

/* asyncio takes whatever has a copy(). */
static bool
has_odd_context(ouro_state *st, PyObject *const *a)
{
    return st->has.loop.transport_context && a[SERVING_CONTEXT] != Py_None
           && !PyContext_CheckExact(a[SERVING_CONTEXT]);
}

static int
start_serving(ouro_state *st, PyObject *loop, PyObject *args)
{
    PyObject *const *a = &PyTuple_GET_ITEM(args, 0);
    int tls = PyObject_IsTrue(a[SERVING_SSL]);
    if (tls < 0) {
        return -1;
    }
    if (!tls && !has_odd_context(st, a)
        && !ouro_socket_accepts(st, a[SERVING_SOCK])
        && ouro_loop_fast(st, loop)) {
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
    ouro_state *st = ouro_state_of(loop);
    PyObject *all = ouro_serving_args(st, args, nargs, kwnames);
    if (all == NULL) {
        return NULL;
    }
    int result = start_serving(st, loop, all);
    Py_DECREF(all);
    return ouro_none_or_error(result);
}

int
ouro_start_serving(ouro_state *st, PyObject *loop, PyObject *const *args)
{
    if (ouro_loop_fast(st, loop)) {
        PyObject *done =
            loop_start_serving(loop, args, ouro_serving_count(st), NULL);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    PyObject *keyword = NULL;
    if (st->has.loop.transport_context) {
        keyword = Py_BuildValue("(s)", "context");
        if (keyword == NULL) {
            return -1;
        }
    }
    PyObject *full[SERVING_ARGS + 1] = {loop};
    for (int i = 0; i < SERVING_ARGS; i++) {
        full[i + 1] = args[i];
    }
    PyObject *result = PyObject_VectorcallMethod(st->str._start_serving, full,
                                                 SERVING_CONTEXT + 1, keyword);
    Py_XDECREF(keyword);
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
    int number = PyLong_AsInt(fd);
    if (number == -1) {
        PyErr_Clear(); /* no descriptor: _remove_reader() says so */
    }
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

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    OURO_METHOD("_start_serving", loop_start_serving, NULL),
    {"_stop_serving", loop_stop_serving, METH_O, NULL},
    {NULL},
};

int
ouro_listener_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &listener_spec, NULL, false, &st->types.Listener)
        < 0) {
        return -1;
    }
    return ouro_loop_add_methods(st, methods);
}
