/* pipe_connect.c - loop.connect_read_pipe() and connect_write_pipe(). */
#include "net/pipe.h"

#include "base/rooms.h"
#include "loop/frame.h"
#include "task/future.h"

/* ---- making transports ------------------------------------------------- */

static PyObject *
make_pipe(ouro_state *st, bool writes, PyObject *loop, PyObject *pipe,
          PyObject *protocol, PyObject *waiter, PyObject *extra)
{
    PyTypeObject *type = writes ? st->types.WritePipe : st->types.ReadPipe;
    PyObject *object = type->tp_new(type, NULL, NULL);
    if (object == NULL) {
        return NULL;
    }
    const transport_kind *kind =
        writes ? &ouro_pipe_write_kind : &ouro_pipe_read_kind;
    if (ouro_pipe_start(st, ouro_pipe(object), kind, loop, pipe, protocol,
                        waiter, extra)
        < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(object);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    return object;
}

static PyObject *
make_by_arguments(bool writes, const ouro_signature *signature, PyObject *loop,
                  PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *a[4];
    if (ouro_parse(signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return make_pipe(ouro_state_of(loop), writes, loop, a[0], a[1], a[2],
                     a[3] == Py_None ? NULL : a[3]);
}

static PyObject *
loop_make_read_pipe_transport(PyObject *loop, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_UnixSelectorEventLoop._make_read_pipe_transport",
        .skip_self = 1,
        .positional = 4,
        .required = 2,
        .names = {"pipe", "protocol", "waiter", "extra"},
    };
    return make_by_arguments(false, &signature, loop, args, nargs, kwnames);
}

static PyObject *
loop_make_write_pipe_transport(PyObject *loop, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_UnixSelectorEventLoop._make_write_pipe_transport",
        .skip_self = 1,
        .positional = 4,
        .required = 2,
        .names = {"pipe", "protocol", "waiter", "extra"},
    };
    return make_by_arguments(true, &signature, loop, args, nargs, kwnames);
}

/* ---- the coroutines ---------------------------------------------------- */

/* The body's fields: owner the loop; a the protocol, first its factory; b the
 * pipe; c the transport. */

static bool
connect_writes(AwaitObject *self)
{
    return strcmp(ouro_await_kind(self)->name, "connect_write_pipe") == 0;
}

/* self._make_..._pipe_transport(pipe, protocol, waiter) */
static PyObject *
connect_make(ouro_state *st, AwaitObject *self, PyObject *waiter)
{
    bool writes = connect_writes(self);
    if (ouro_loop_fast(st, self->owner)) {
        return make_pipe(st, writes, self->owner, self->b, self->a, waiter,
                         NULL);
    }
    return PyObject_CallMethod(self->owner,
                               writes ? "_make_write_pipe_transport"
                                      : "_make_read_pipe_transport",
                               "OOO", self->b, self->a, waiter);
}

static await_status
connect_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *protocol = PyObject_CallNoArgs(self->a);
    if (protocol == NULL) {
        return AWAIT_ERROR;
    }
    Py_SETREF(self->a, protocol);
    PyObject *waiter = ouro_create_future(st, self->owner);
    if (waiter == NULL) {
        return AWAIT_ERROR;
    }
    self->c = connect_make(st, self, waiter);
    if (self->c == NULL) {
        Py_DECREF(waiter);
        return AWAIT_ERROR;
    }
    self->step = 1;
    *ret = waiter;
    return AWAIT_FUTURE;
}

/* In debug mode: "Read pipe %r connected: (%r, %r)" */
static int
connect_log(ouro_state *st, AwaitObject *self)
{
    int debug = ouro_loop_debug(st, self->owner);
    if (debug <= 0) {
        return debug;
    }
    PyObject *fd = PyObject_CallMethodNoArgs(self->b, st->str.fileno);
    if (fd == NULL) {
        return -1;
    }
    int result = ouro_loop_log(st, "debug", "(sOOO)",
                               connect_writes(self)
                                   ? "Write pipe %r connected: (%r, %r)"
                                   : "Read pipe %r connected: (%r, %r)",
                               fd, self->c, self->a);
    Py_DECREF(fd);
    return result;
}

static await_status
connect_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step == 0) {
        return connect_start(st, self, ret);
    }
    if (connect_log(st, self) < 0) {
        return AWAIT_ERROR;
    }
    *ret = PyTuple_Pack(2, self->c, self->a);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
connect_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *closed = PyObject_CallMethodNoArgs(
        self->c, ouro_state_of(self->owner)->str.close);
    if (closed == NULL) {
        ouro_raised_handling(exception);
        return AWAIT_ERROR;
    }
    Py_DECREF(closed);
    PyErr_SetRaisedException(exception);
    return AWAIT_ERROR;
}

static const await_kind read_kind = {
    .name = "connect_read_pipe",
    .qualname = "BaseEventLoop.connect_read_pipe",
    .poll = connect_poll,
    .abort = connect_abort,
};

static const await_kind write_kind = {
    .name = "connect_write_pipe",
    .qualname = "BaseEventLoop.connect_write_pipe",
    .poll = connect_poll,
    .abort = connect_abort,
};

static PyObject *
connect_new(const await_kind *kind, const ouro_signature *signature,
            PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    PyObject *a[2];
    if (ouro_parse(signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    AwaitObject *self = ouro_await_new(ouro_state_of(loop), kind, loop);
    if (self != NULL) {
        self->a = Py_NewRef(a[0]);
        self->b = Py_NewRef(a[1]);
    }
    return (PyObject *)self;
}

static PyObject *
loop_connect_read_pipe(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.connect_read_pipe",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"protocol_factory", "pipe"},
    };
    return connect_new(&read_kind, &signature, loop, args, nargs, kwnames);
}

static PyObject *
loop_connect_write_pipe(PyObject *loop, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.connect_write_pipe",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"protocol_factory", "pipe"},
    };
    return connect_new(&write_kind, &signature, loop, args, nargs, kwnames);
}

static PyMethodDef make_methods[] = {
    OURO_METHOD("_make_read_pipe_transport", loop_make_read_pipe_transport,
                PyDoc_STR("_make_read_pipe_transport($self, /, pipe, "
                          "protocol, waiter=None, extra=None)\n--\n\n")),
    OURO_METHOD("_make_write_pipe_transport", loop_make_write_pipe_transport,
                PyDoc_STR("_make_write_pipe_transport($self, /, pipe, "
                          "protocol, waiter=None, extra=None)\n--\n\n")),
    {NULL},
};

static const ouro_async_def connect_methods[] = {
    {"connect_read_pipe", loop_connect_read_pipe,
     "connect_read_pipe($self, /, protocol_factory, pipe)\n--\n\n"
     "Read from the file object `pipe` without blocking; return (transport,\n"
     "protocol). protocol_factory makes a protocol with the interface of\n"
     "Protocol."},
    {"connect_write_pipe", loop_connect_write_pipe,
     "connect_write_pipe($self, /, protocol_factory, pipe)\n--\n\n"
     "Write to the file object `pipe` without blocking; return (transport,\n"
     "protocol). protocol_factory makes a protocol with the interface of\n"
     "BaseProtocol."},
    {NULL},
};

int
ouro_pipe_connect_setup(PyObject *module, ouro_state *st)
{
    (void)module;
    return ouro_loop_add_methods(st, make_methods) < 0
                   || ouro_loop_add_async_methods(st, connect_methods) < 0
               ? -1
               : 0;
}
