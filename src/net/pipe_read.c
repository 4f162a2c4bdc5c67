/* pipe_read.c - pipes: receiving, and what both ends share (see pipe.h).
 *
 * readable -> read into the loop's scratch buffer -> the protocol's table of
 * C functions, or bytes of the exact size for its data_received().
 */
#include "net/pipe.h"

#include <errno.h>

/* ---- both ends --------------------------------------------------------- */

int
ouro_pipe_begin_reading(TransportObject *base)
{
    PipeObject *self = (PipeObject *)base;
    /* (A device that is written to does not tell of an end.) */
    if (base->kind == &ouro_pipe_write_kind
        && self->file == OU_PIPE_CHARACTER) {
        return 0;
    }
    return ouro_transport_watch(ouro_state_of((PyObject *)self), base, OU_IN,
                                true, OU_LEVEL);
}

int
ouro_pipe_log_closed(ouro_state *st, PipeObject *self)
{
    int debug = ouro_loop_debug(st, self->base.loop);
    return debug <= 0 ? debug
                      : ouro_loop_log(st, "info", "(sO)",
                                      "%r was closed by peer", self);
}

int
ouro_pipe_close(ouro_state *st, PipeObject *self, PyObject *exc)
{
    TransportObject *base = &self->base;
    /* asyncio has written by now what the pipe took. */
    if (ouro_pipe_flush((PyObject *)self) < 0) {
        return -1;
    }
    if (base->loop == NULL) {
        return 0;
    }
    base->closing = true;
    base->kind->drop_output(base);
    if (!base->native) {
        /* As asyncio: the writer if there is one, the reader in any case. */
        if (((base->watched & OU_OUT)
             && ouro_transport_watch(st, base, OU_OUT, false, OU_LEVEL) < 0)
            || ouro_transport_watch(st, base, OU_IN, false, OU_LEVEL) < 0) {
            return -1;
        }
    }
    return ouro_transport_schedule_lost(st, base, exc);
}

int
ouro_pipe_fatal(ouro_state *st, PipeObject *self, const char *message,
                bool quiet)
{
    PyObject *exception;
    if (ouro_transport_tell_fatal(st, &self->base, message, quiet, &exception)
        < 0) {
        return -1;
    }
    int result = ouro_pipe_close(st, self, exception);
    Py_DECREF(exception);
    return result;
}

int
ouro_pipe_share(ouro_state *st, ou_io *io)
{
    if (io == NULL
        || (io->in.kind != &ouro_pipe_in_kind
            && io->in.kind != &ouro_pipe_hangup_kind)) {
        return 0;
    }
    TransportObject *base = OURO_CONTAINER_OF(io, TransportObject, io);
    unsigned interest = io->interest;
    Py_INCREF(base); /* the watch's may be the last reference */
    ouro_transport_unwatch(base);
    base->native = false;
    int result = 0;
    for (unsigned each = OU_IN; result == 0 && each <= OU_OUT; each <<= 1) {
        if (interest & each) {
            result = ouro_transport_watch(st, base, each, true, OU_LEVEL);
        }
    }
    Py_DECREF(base);
    return result;
}

/* ---- receiving --------------------------------------------------------- */

/* The peer has closed its end. */
static int
pipe_on_eof(ouro_state *st, PipeObject *self)
{
    TransportObject *base = &self->base;
    if (ouro_pipe_log_closed(st, self) < 0) {
        return -1;
    }
    base->closing = true;
    if (ouro_transport_watch(st, base, OU_IN, false, OU_LEVEL) < 0) {
        return -1;
    }
    PyObject *method = PyObject_GetAttr(base->protocol, st->str.eof_received);
    PyObject *handle =
        method == NULL
            ? NULL
            : PyObject_CallMethodOneArg(base->loop, st->str.call_soon, method);
    Py_XDECREF(method);
    if (handle == NULL) {
        return -1;
    }
    Py_DECREF(handle);
    return ouro_transport_schedule_lost(st, base, NULL);
}

#define DATA_LOST "Fatal error: protocol.data_received() call failed."

/* The current exception broke off the telling of an end, or of data that we
 * alone know of: want of memory closes the pipe, or whoever waits would do so
 * for ever. */
static int
pipe_lost_something(ouro_state *st, PipeObject *self, const char *message)
{
    return self->base.loop != NULL && PyErr_ExceptionMatches(PyExc_MemoryError)
               ? ouro_pipe_fatal(st, self, message, false)
               : -1;
}

static int
pipe_no_bytes(ouro_state *st, PipeObject *self, ssize_t result)
{
    if (result == 0) {
        return pipe_on_eof(st, self) == 0
                   ? 0
                   : pipe_lost_something(st, self,
                                         "Fatal read error on pipe transport");
    }
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
        return 0;
    }
    ouro_raise_errno((int)result);
    /* (A tty whose other side is closed says EIO.) */
    return ouro_pipe_fatal(st, self, "Fatal read error on pipe transport",
                           result == -EIO);
}

/* protocol.data_received(bytes) */
static int
pipe_deliver(ouro_state *st, PipeObject *self, const char *bytes, ssize_t size)
{
    PyObject *protocol = Py_NewRef(self->base.protocol);
    bool ours = Py_TYPE(protocol) == st->types.SubprocessReader;
    PyObject *data = PyBytes_FromStringAndSize(bytes, size);
    PyObject *value = NULL;
    if (data == NULL) {
        ours = true;
    }
    else {
        PyObject *args[2] = {protocol, data};
        value =
            PyObject_VectorcallMethod(st->str.data_received, args, 2, NULL);
    }
    int result = value != NULL ? 0
                 : ours        ? pipe_lost_something(st, self, DATA_LOST)
                               : -1;
    Py_DECREF(protocol);
    Py_XDECREF(data);
    Py_XDECREF(value);
    return result;
}

static const protocol_ops *
pipe_usable_ops(PipeObject *self)
{
    const protocol_ops *ops = self->base.ops;
    return ops != NULL && ouro_protocol_usable(ops, self->base.protocol)
               ? ops
               : NULL;
}

int
ouro_pipe_receive(ouro_state *st, PipeObject *self)
{
    TransportObject *base = &self->base;
    if (base->closing || base->loop == NULL) {
        return 0;
    }
    char *scratch = ou_loop_scratch(ouro_transport_engine(base));
    if (scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ssize_t got = ou_pipe_read(base->fd, scratch, OU_SCRATCH_SIZE);
    if (got <= 0) {
        return pipe_no_bytes(st, self, got);
    }
    const protocol_ops *ops = pipe_usable_ops(self);
    if (ops == NULL) {
        return pipe_deliver(st, self, scratch, got);
    }
    PyObject *protocol = Py_NewRef(base->protocol);
    int result = ops->data_received(protocol, scratch, got);
    Py_DECREF(protocol);
    return result == 0 ? 0 : pipe_lost_something(st, self, DATA_LOST);
}

/* receive() as a step of the loop: in the context of the transport's maker,
 * unless the protocol is one of ours, which sees to that itself. */
static int
pipe_in_step(ouro_state *st, PipeObject *self)
{
    TransportObject *base = &self->base;
    PyObject *context = pipe_usable_ops(self) == NULL ? base->context : NULL;
    PyObject *loop = Py_NewRef(base->loop), *entered = NULL;
    int result =
        context == NULL ? 0 : ouro_transport_enter(base, context, &entered);
    if (result == 0) {
        result = ouro_pipe_receive(st, self);
        ouro_transport_leave(entered);
    }
    if (result < 0) {
        result = ouro_transport_step_failed(base, loop, "_read_ready", NULL);
    }
    Py_DECREF(loop);
    return result;
}

static int
pipe_in_run(ou_job *job)
{
    PipeObject *self =
        (PipeObject *)OURO_CONTAINER_OF(job, TransportObject, io.in);
    int result = 0;
    if (ou_io_take(&self->base.io, OU_IN) && self->base.loop != NULL) {
        result = pipe_in_step(ouro_state_of((PyObject *)self), self);
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_pipe_in_kind = {
    OURO_OBJECT_JOB(TransportObject, io.in),
    .run = pipe_in_run,
};

/* ---- the kind ---------------------------------------------------------- */

static void
read_drop_output(TransportObject *Py_UNUSED(base))
{
}

static size_t
read_output_size(TransportObject *Py_UNUSED(base))
{
    return 0;
}

static int
read_lost(TransportObject *Py_UNUSED(base))
{
    return 0;
}

const transport_kind ouro_pipe_read_kind = {
    .begin_reading = ouro_pipe_begin_reading,
    .stop = ouro_transport_unwatch,
    .flush = ouro_pipe_flush,
    .drop_output = read_drop_output,
    .output_size = read_output_size,
    .lost = read_lost,
    .shared = true,
};
