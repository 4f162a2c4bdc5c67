/* sockwatch.c - waiting for sockets of the user's own (see sockwatch.h). */
#include "loop/sockwatch.h"

#include <errno.h>

#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/fdwatch.h"
#include "sys/sock.h"
#include "task/future.h"
#include "task/registry.h"

typedef enum sock_step {
    SOCK_START,
    SOCK_PARKED, /* in the watch */
    SOCK_HANDLE, /* waits by a handle of _add_reader() or _add_writer() */
} sock_step;

typedef struct SockWatchObject {
    PyObject_HEAD
    ou_io io;
    PyObject *loop;
    PyObject *socket;    /* a weak reference */
    AwaitObject *reader; /* the operation that waits, or NULL */
    AwaitObject *writer;
    bool internet; /* a short read says that it was all */
} SockWatchObject;

static const sock_kind *
kind_of(AwaitObject *op)
{
    return (const sock_kind *)ouro_await_kind(op);
}

static AwaitObject **
slot_of(SockWatchObject *self, unsigned direction)
{
    return direction == OU_IN ? &self->reader : &self->writer;
}

/* ---- the watch --------------------------------------------------------- */

/* Whether the operation waits for its future, which is not done. */
static bool
waits(ouro_state *st, AwaitObject *op)
{
    return op->waiting != NULL && ouro_future_exact(st, op->waiting)
           && ((FutureObject *)op->waiting)->state == FUTURE_PENDING;
}

/* The operation that is parked goes on: with what is in op->b, or
 * with the exception that is set (outcome < 0). */
static int
wake_operation(ouro_state *st, AwaitObject *op, int outcome)
{
    if (!waits(st, op)) {
        PyErr_Clear(); /* closed or cancelled meanwhile */
        return 0;
    }
    PyObject *future = Py_NewRef(op->waiting);
    int result;
    if (outcome < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        result = ouro_anyfuture_set_exception(st, future, exception);
        Py_DECREF(exception);
    }
    else {
        result = ouro_future_set_result_now((FutureObject *)future, Py_None);
    }
    Py_DECREF(future);
    return result;
}

/* Another attempt, by the descriptor that the socket has now: it may have been
 * closed since the event, and its number be somebody else's. */
static int
attempt_again(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    int fd = ouro_sock_fileno(st, op->a);
    return fd == -1 && PyErr_Occurred()
               ? -1
               : kind_of(op)->attempt(st, op, fd, ret);
}

static int
watch_ready(SockWatchObject *self, unsigned direction)
{
    AwaitObject **slot = slot_of(self, direction);
    AwaitObject *op = *slot;
    if (!ou_io_take(&self->io, direction) || op == NULL) {
        return 0;
    }
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (ouro_leave_task_fast((LoopCore *)self->loop) < 0) {
        return -1;
    }
    Py_INCREF(op);
    PyObject *value = NULL;
    /* (A cancelled one is about to leave: it must not take anything.) */
    int outcome = waits(st, op) ? attempt_again(st, op, &value) : 1;
    int result = 0;
    if (outcome == 0) {
        ou_io_drained(&self->io, direction);
    }
    else if (outcome < 0 && ouro_error_leaves_loop()) {
        result = -1;
    }
    else {
        Py_XSETREF(op->b, value);
        if (*slot == op) { /* (the attempt may have run Python) */
            *slot = NULL;
            Py_DECREF(op);
            (void)ou_io_want(ouro_loop_engine(self->loop), &self->io,
                             self->io.interest & ~direction);
        }
        result = wake_operation(st, op, outcome);
    }
    Py_DECREF(op);
    return result;
}

static int
in_run(ou_job *job)
{
    SockWatchObject *self = OURO_CONTAINER_OF(job, SockWatchObject, io.in);
    int result = watch_ready(self, OU_IN);
    Py_DECREF(self);
    return result;
}

static int
out_run(ou_job *job)
{
    SockWatchObject *self = OURO_CONTAINER_OF(job, SockWatchObject, io.out);
    int result = watch_ready(self, OU_OUT);
    Py_DECREF(self);
    return result;
}

static const ou_job_kind in_kind = {
    OURO_OBJECT_JOB(SockWatchObject, io.in),
    .run = in_run,
};
static const ou_job_kind out_kind = {
    OURO_OBJECT_JOB(SockWatchObject, io.out),
    .run = out_run,
};

static SockWatchObject *
watch_of(ou_io *io)
{
    return io != NULL && io->in.kind == &in_kind
               ? OURO_CONTAINER_OF(io, SockWatchObject, io)
               : NULL;
}

/* Whether the watch is this socket's. */
static bool
watch_is_for(SockWatchObject *self, PyObject *sock)
{
    PyObject *object;
    if (PyWeakref_GetRef(self->socket, &object) <= 0) {
        return false;
    }
    Py_DECREF(object);
    return object == sock;
}

static void
watch_stop(SockWatchObject *self)
{
    Py_INCREF(self);
    Py_CLEAR(self->reader);
    Py_CLEAR(self->writer);
    ou_io_stop(ouro_loop_engine(self->loop), &self->io);
    Py_DECREF(self);
}

bool
ouro_sockwatch_release(PyObject *loop, int fd)
{
    SockWatchObject *self = watch_of(ou_io_find(ouro_loop_engine(loop), fd));
    if (self == NULL) {
        return false;
    }
    watch_stop(self);
    return true;
}

/* The watch of this socket, borrowed; NULL: there is none. */
static SockWatchObject *
watch_find(PyObject *loop, int fd, PyObject *sock)
{
    SockWatchObject *self = watch_of(ou_io_find(ouro_loop_engine(loop), fd));
    if (self != NULL && !watch_is_for(self, sock)) {
        watch_stop(self); /* of a socket that was closed */
        return NULL;
    }
    return self;
}

static SockWatchObject *
watch_new(ouro_state *st, PyObject *loop, PyObject *sock, int fd)
{
    PyTypeObject *type = st->types.SockWatch;
    PyObject *reference = PyWeakref_NewRef(sock, NULL);
    SockWatchObject *self =
        reference == NULL ? NULL : (SockWatchObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(reference);
        return NULL;
    }
    ou_io_init(&self->io, &in_kind, &out_kind);
    self->loop = Py_NewRef(loop);
    self->socket = reference;
    int family = ou_sock_family(fd);
    self->internet = (family == AF_INET || family == AF_INET6)
                     && ou_sock_type(fd) == SOCK_STREAM;
    return self;
}

/* Watch: 1; 0: somebody else does; -1: exception. */
static int
watch_start(ouro_state *st, PyObject *loop, PyObject *sock, int fd,
            SockWatchObject **ret)
{
    SockWatchObject *self = watch_new(st, loop, sock, fd);
    if (self == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear(); /* it cannot be referred to weakly */
            return 0;
        }
        return -1;
    }
    int error = ou_io_start(ouro_loop_engine(loop), &self->io, fd, 0, OU_EDGE);
    *ret = self; /* borrowed from the engine */
    Py_DECREF(self);
    if (error < 0) {
        return error == -EEXIST ? 0 : ouro_raise_errno_int(error);
    }
    return 1;
}

void
ouro_sock_read(PyObject *loop, int fd, size_t got, size_t wanted)
{
    SockWatchObject *self = watch_of(ou_io_find(ouro_loop_engine(loop), fd));
    if (self != NULL && self->internet && got < wanted
        && (self->io.ready & OU_HUP) == 0) {
        ou_io_drained(&self->io, OU_IN);
    }
}

/* ---- waiting ----------------------------------------------------------- */

/* In the watch: 1; 0: that is not possible; -1: exception. */
static int
park(ouro_state *st, AwaitObject *op, int fd)
{
    PyObject *loop = op->owner;
    unsigned direction = kind_of(op)->direction;
    SockWatchObject *watch = watch_find(loop, fd, op->a);
    if (watch == NULL) {
        int started = watch_start(st, loop, op->a, fd, &watch);
        if (started <= 0) {
            return started;
        }
    }
    /* It would have blocked just now. */
    ou_io_drained(&watch->io, direction);
    int error = ou_io_want(ouro_loop_engine(loop), &watch->io,
                           watch->io.interest | direction);
    if (error < 0) {
        return ouro_raise_errno_int(error);
    }
    AwaitObject **slot = slot_of(watch, direction);
    Py_XSETREF(*slot, (AwaitObject *)Py_NewRef((PyObject *)op));
    op->step = SOCK_PARKED;
    return 1;
}

static void
unpark(AwaitObject *op)
{
    ouro_state *st = ouro_state_of(op->owner);
    int fd = ouro_sock_fileno(st, op->a);
    if (fd < 0) {
        PyErr_Clear();
        return;
    }
    PyObject *loop = op->owner;
    SockWatchObject *watch = watch_of(ou_io_find(ouro_loop_engine(loop), fd));
    AwaitObject **slot =
        watch == NULL ? NULL : slot_of(watch, kind_of(op)->direction);
    if (slot != NULL && *slot == op) {
        (void)ou_io_want(ouro_loop_engine(loop), &watch->io,
                         watch->io.interest & ~kind_of(op)->direction);
        *slot = NULL;
        Py_DECREF(op);
    }
}

/* The callback of a handle: try again. pair: the operation and the future
 * that it waits for. */
static PyObject *
retry(PyObject *pair, PyObject *Py_UNUSED(ignored))
{
    AwaitObject *op = (AwaitObject *)PyTuple_GET_ITEM(pair, 0);
    PyObject *future = PyTuple_GET_ITEM(pair, 1);
    ouro_state *st = ouro_state_of((PyObject *)op);
    int done = op->owner == NULL ? 1 : ouro_anyfuture_done(st, future);
    if (done != 0) {
        return ouro_none_or_error(done);
    }
    PyObject *value = NULL;
    int outcome = attempt_again(st, op, &value);
    int result = 0;
    if (outcome > 0) {
        result = ouro_anyfuture_set_result(st, future, value);
        Py_DECREF(value);
    }
    else if (outcome < 0) {
        if (ouro_error_leaves_loop()) {
            return NULL;
        }
        PyObject *exception = PyErr_GetRaisedException();
        result = ouro_anyfuture_set_exception(st, future, exception);
        Py_DECREF(exception);
    }
    return ouro_none_or_error(result);
}

static PyMethodDef retry_def = {"_sock_retry", retry, METH_NOARGS, NULL};

/* By a handle, as asyncio waits; op->b is that and the descriptor, a tuple.
 * 0 or -1. */
static int
wait_by_handle(ouro_state *st, AwaitObject *op, int fd, PyObject *future)
{
    PyObject *number = PyLong_FromLong(fd);
    PyObject *pair = PyTuple_Pack(2, op, future);
    PyObject *callback =
        pair == NULL ? NULL : PyCFunction_New(&retry_def, pair);
    PyObject *handle = NULL;
    if (number != NULL && callback != NULL
        && ouro_fd_ensure_free((LoopObject *)op->owner, number) == 0) {
        handle = PyObject_CallMethodObjArgs(op->owner,
                                            kind_of(op)->direction == OU_IN
                                                ? st->str._add_reader
                                                : st->str._add_writer,
                                            number, callback, NULL);
    }
    PyObject *wait = handle == NULL ? NULL : PyTuple_Pack(2, handle, number);
    Py_XDECREF(number);
    Py_XDECREF(pair);
    Py_XDECREF(callback);
    Py_XDECREF(handle);
    if (wait == NULL) {
        return -1;
    }
    op->step = SOCK_HANDLE;
    Py_XSETREF(op->b, wait);
    return 0;
}

/* The wait by a handle is over: it goes, unless it was replaced. */
static int
handle_done(ouro_state *st, AwaitObject *op)
{
    PyObject *handle = PyTuple_GET_ITEM(op->b, 0);
    int gone = ouro_truth_of(PyObject_CallMethod(handle, "cancelled", NULL));
    if (gone != 0) {
        return gone < 0 ? -1 : 0;
    }
    return ouro_drop_result(PyObject_CallMethodOneArg(
        op->owner,
        kind_of(op)->direction == OU_IN ? st->str.remove_reader
                                        : st->str.remove_writer,
        PyTuple_GET_ITEM(op->b, 1)));
}

/* ---- the body of all operations ---------------------------------------- */

AwaitObject *
ouro_sockop_new(PyObject *loop, const sock_kind *kind, PyObject *sock,
                PyObject *c)
{
    AwaitObject *op = ouro_await_new(ouro_state_of(loop), &kind->await, loop);
    if (op != NULL) {
        op->a = Py_NewRef(sock);
        op->c = Py_XNewRef(c);
    }
    return op;
}

/* Whether a standing watch says that it would block. */
static bool
known_to_block(AwaitObject *op, int fd)
{
    SockWatchObject *watch = watch_find(op->owner, fd, op->a);
    return watch != NULL && (watch->io.ready & kind_of(op)->direction) == 0;
}

/* Try; if it would block, wait. */
static await_status
sockop_start(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    const sock_kind *kind = kind_of(op);
    if (ouro_sock_check(st, op->owner, op->a) < 0) {
        return AWAIT_ERROR;
    }
    /* Of what is no plain socket the methods are called first. */
    int fd = ouro_sock_exact(st, op->a) ? ouro_sock_fileno(st, op->a) : -1;
    bool fast = ouro_loop_fast(st, op->owner);
    int outcome = 0;
    if (kind->first != NULL) {
        outcome = kind->first(st, op, fd, ret);
    }
    else if (!fast || fd < 0 || kind->blocks == NULL || !kind->blocks(op)
             || !known_to_block(op, fd)) {
        outcome = kind->attempt(st, op, fd, ret);
    }
    if (outcome != 0) {
        return outcome < 0 ? AWAIT_ERROR : AWAIT_RETURN;
    }
    fd = ouro_sock_fileno(st, op->a);
    if (fd == -1 && PyErr_Occurred()) {
        return AWAIT_ERROR;
    }
    PyObject *future = ouro_create_future(st, op->owner);
    if (future == NULL) {
        return AWAIT_ERROR;
    }
    int parked = fast ? park(st, op, fd) : 0;
    if (parked < 0
        || (parked == 0 && wait_by_handle(st, op, fd, future) < 0)) {
        Py_DECREF(future);
        return AWAIT_ERROR;
    }
    *ret = future;
    return AWAIT_FUTURE;
}

await_status
ouro_sockop_poll(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of(op->owner);
    switch (op->step) {
    case SOCK_START:
        return sockop_start(st, op, ret);
    case SOCK_PARKED:
        *ret = op->b != NULL ? Py_NewRef(op->b) : Py_NewRef(Py_None);
        return AWAIT_RETURN;
    default:
        *ret = Py_NewRef(op->value);
        if (handle_done(st, op) < 0) {
            Py_DECREF(*ret);
            return AWAIT_ERROR;
        }
        return AWAIT_RETURN;
    }
}

await_status
ouro_sockop_abort(AwaitObject *op, PyObject **Py_UNUSED(ret))
{
    PyObject *exception = PyErr_GetRaisedException();
    if (op->step == SOCK_PARKED) {
        unpark(op);
    }
    else if (op->step == SOCK_HANDLE
             && handle_done(ouro_state_of(op->owner), op) < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(exception);
    return AWAIT_ERROR;
}

/* ---- small services ---------------------------------------------------- */

/* The head of CPython's socket object; ouro_sockwatch_setup() makes sure. */
typedef struct SocketHead {
    PyObject_HEAD
    int fd;
} SocketHead;

int
ouro_sock_fileno(ouro_state *st, PyObject *sock)
{
    if (ouro_sock_exact(st, sock)) {
        return ((SocketHead *)sock)->fd;
    }
    PyObject *number = PyObject_CallMethodNoArgs(sock, st->str.fileno);
    if (number == NULL) {
        return -1;
    }
    int fd = PyLong_AsInt(number);
    Py_DECREF(number);
    return fd;
}

int
ouro_sock_check(ouro_state *st, PyObject *loop, PyObject *sock)
{
    if (Py_TYPE(sock) != (PyTypeObject *)st->stock.socket_type
        && ouro_check_ssl_socket(st, sock) < 0) {
        return -1;
    }
    if (!((LoopCore *)loop)->debug) {
        return 0;
    }
    PyObject *timeout = PyObject_CallMethod(sock, "gettimeout", NULL);
    PyObject *zero = PyLong_FromLong(0);
    int equal = timeout == NULL || zero == NULL
                    ? -1
                    : PyObject_RichCompareBool(timeout, zero, Py_EQ);
    Py_XDECREF(timeout);
    Py_XDECREF(zero);
    if (equal == 0) {
        PyErr_SetString(PyExc_ValueError, "the socket must be non-blocking");
    }
    return equal > 0 ? 0 : -1;
}

bool
ouro_would_block(void)
{
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
        || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
        return true;
    }
    return false;
}

/* ---- the type ---------------------------------------------------------- */

static int
watch_traverse(PyObject *object, visitproc visit, void *arg)
{
    SockWatchObject *self = (SockWatchObject *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->loop);
    Py_VISIT(self->socket);
    Py_VISIT((PyObject *)self->reader);
    Py_VISIT((PyObject *)self->writer);
    return 0;
}

static int
watch_clear(PyObject *object)
{
    SockWatchObject *self = (SockWatchObject *)object;
    Py_CLEAR(self->socket);
    Py_CLEAR(self->reader);
    Py_CLEAR(self->writer);
    if (!ou_io_started(&self->io)) {
        Py_CLEAR(self->loop); /* it is what stops the watch */
    }
    return 0;
}

static void
watch_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)watch_clear(object);
    Py_CLEAR(((SockWatchObject *)object)->loop);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyType_Slot watch_slots[] = {
    {Py_tp_dealloc, watch_dealloc},
    {Py_tp_traverse, watch_traverse},
    {Py_tp_clear, watch_clear},
    {0, NULL},
};

static PyType_Spec watch_spec = {
    .name = "ouro._ouro.SockWatch",
    .basicsize = sizeof(SockWatchObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = watch_slots,
};

/* Is the descriptor where we take it to be?  Asked of a real socket. */
static int
probe_socket(ouro_state *st)
{
    PyObject *sock =
        PyObject_CallMethod(st->stock.socket_module, "socket", NULL);
    PyObject *fd = NULL, *closed = NULL;
    if (sock != NULL) {
        fd = PyObject_CallMethodNoArgs(sock, st->str.fileno);
    }
    if (fd != NULL) {
        st->reads_socket_fd =
            Py_TYPE(sock) == (PyTypeObject *)st->stock.socket_type
            && Py_TYPE(sock)->tp_basicsize >= (Py_ssize_t)sizeof(SocketHead)
            && ((SocketHead *)sock)->fd == PyLong_AsLong(fd);
        closed = PyObject_CallMethodNoArgs(sock, st->str.close);
    }
    Py_XDECREF(sock);
    Py_XDECREF(fd);
    Py_XDECREF(closed);
    return closed == NULL ? -1 : 0;
}

int
ouro_sockwatch_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &watch_spec, NULL, false, &st->types.SockWatch)
        < 0) {
        return -1;
    }
    if (probe_socket(st) < 0) {
        /* No sockets here: then none need be read. */
        if (!PyErr_ExceptionMatches(PyExc_OSError)) {
            return -1;
        }
        PyErr_Clear();
    }
    return 0;
}
