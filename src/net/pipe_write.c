/* pipe_write.c - pipes: sending (see pipe.h).
 *
 * write() gathers where no reader can tell; the end of the job that wrote
 * writes it all by one system call.  No more is gathered than a pipe takes in
 * one piece: what several processes write into one pipe is not mixed within
 * a write() of up to that size.  What the pipe does not take waits for the
 * loop to say that it does again.
 */
#include "net/pipe.h"
#include "net/output.h"

#include <errno.h>

static const char write_error[] = "Fatal write error on pipe transport";

static int
pipe_watch_out(ouro_state *st, PipeObject *self, bool on)
{
    return ouro_transport_watch(st, &self->base, OU_OUT, on, OU_LEVEL);
}

/* ---- out of the buffer ------------------------------------------------- */

/* write() has failed with this error while nothing was waiting for room. */
static int
pipe_not_written(ouro_state *st, PipeObject *self, int error)
{
    TransportObject *base = &self->base;
    if (error == -EAGAIN || error == -EWOULDBLOCK) {
        self->blocked = true;
        if (pipe_watch_out(st, self, true) < 0) {
            return -1;
        }
        return ouro_transport_maybe_pause(st, base);
    }
    base->kind->drop_output(base);
    base->conn_lost++;
    ouro_raise_errno(error);
    return ouro_pipe_fatal(st, self, write_error, true);
}

static int
pipe_write_buffer(PipeObject *self)
{
    int result = ou_outbuf_flush(&self->out, self->base.fd);
    ou_loop_note_io(ouro_transport_engine(&self->base));
    return result;
}

bool
ouro_pipe_gathered(PyObject *object)
{
    PipeObject *self = ouro_pipe(object);
    return !self->blocked && !ou_outbuf_empty(&self->out);
}

int
ouro_pipe_flush(PyObject *object)
{
    PipeObject *self = ouro_pipe(object);
    if (!ouro_pipe_gathered(object) || self->base.loop == NULL) {
        return 0;
    }
    int result = pipe_write_buffer(self);
    return result == 0 ? 0
                       : pipe_not_written(ouro_state_of(object), self, result);
}

static int
pipe_flush_tell(ouro_state *st, TransportObject *base, int error)
{
    return pipe_not_written(st, (PipeObject *)base, error);
}

/* The job that wrote has ended. */
static int
pipe_flush_run(ou_job *job)
{
    PipeObject *self = OURO_CONTAINER_OF(job, PipeObject, flush);
    TransportObject *base = &self->base;
    int result = 0;
    if (ouro_pipe_gathered((PyObject *)self) && base->loop != NULL) {
        result = pipe_write_buffer(self);
    }
    if (result < 0) {
        result = ouro_transport_flush_failed(base, result, pipe_flush_tell);
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_pipe_flush_kind = {
    OURO_OBJECT_JOB(PipeObject, flush),
    .run = pipe_flush_run,
};

int
ouro_pipe_send_more(ouro_state *st, PipeObject *self)
{
    TransportObject *base = &self->base;
    if (base->loop == NULL || ou_outbuf_empty(&self->out)) {
        return 0;
    }
    int result = pipe_write_buffer(self);
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
        return 0;
    }
    self->blocked = false;
    if (result < 0) {
        base->kind->drop_output(base);
        base->conn_lost++;
        if (pipe_watch_out(st, self, false) < 0) {
            return -1;
        }
        ouro_raise_errno(result);
        return ouro_pipe_fatal(st, self, write_error, true);
    }
    if (pipe_watch_out(st, self, false) < 0
        || ouro_transport_maybe_resume(st, base) < 0) {
        return -1;
    }
    /* The protocol may have written in answer, or closed. */
    if (!base->closing || base->loop == NULL || !ou_outbuf_empty(&self->out)
        || ou_job_queued(&base->lost)) {
        return 0;
    }
    return ouro_transport_call_lost(st, base, NULL);
}

/* The end that reads was closed, or has sent something. */
int
ouro_pipe_hung_up(ouro_state *st, PipeObject *self)
{
    if (self->base.loop == NULL || ouro_pipe_log_closed(st, self) < 0
        || ouro_pipe_flush((PyObject *)self) < 0) {
        return self->base.loop == NULL ? 0 : -1;
    }
    PyObject *exception = NULL;
    if (!ou_outbuf_empty(&self->out)) {
        exception = PyObject_CallNoArgs(PyExc_BrokenPipeError);
        if (exception == NULL) {
            return -1;
        }
    }
    int result = ouro_pipe_close(st, self, exception);
    Py_XDECREF(exception);
    return result;
}

/* ---- jobs of the watch ------------------------------------------------- */

static int
pipe_step(PipeObject *self, int (*step)(ouro_state *st, PipeObject *self),
          const char *method)
{
    TransportObject *base = &self->base;
    PyObject *loop = Py_NewRef(base->loop), *entered;
    int result = ouro_transport_enter(base, base->context, &entered);
    if (result == 0) {
        result = step(ouro_state_of((PyObject *)self), self);
        ouro_transport_leave(entered);
    }
    if (result < 0) {
        result = ouro_transport_step_failed(base, loop, method, NULL);
    }
    Py_DECREF(loop);
    return result;
}

static int
pipe_hangup_run(ou_job *job)
{
    PipeObject *self =
        (PipeObject *)OURO_CONTAINER_OF(job, TransportObject, io.in);
    int result = 0;
    if (ou_io_take(&self->base.io, OU_IN) && self->base.loop != NULL) {
        result = pipe_step(self, ouro_pipe_hung_up, "_read_ready");
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_pipe_hangup_kind = {
    OURO_OBJECT_JOB(TransportObject, io.in),
    .run = pipe_hangup_run,
};

static int
pipe_out_run(ou_job *job)
{
    PipeObject *self =
        (PipeObject *)OURO_CONTAINER_OF(job, TransportObject, io.out);
    int result = 0;
    if (ou_io_take(&self->base.io, OU_OUT) && self->base.loop != NULL) {
        result = pipe_step(self, ouro_pipe_send_more, "_write_ready");
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_pipe_out_kind = {
    OURO_OBJECT_JOB(TransportObject, io.out),
    .run = pipe_out_run,
};

/* ---- into the buffer --------------------------------------------------- */

/* Write at once, behind what has been gathered; as asyncio does. */
static int
pipe_write_now(ouro_state *st, PipeObject *self, PyObject *data,
               const char *bytes, size_t size)
{
    TransportObject *base = &self->base;
    if (ouro_pipe_flush((PyObject *)self) < 0) {
        return -1;
    }
    if (base->closing || base->loop == NULL) {
        return 0; /* the flush has failed */
    }
    if (self->blocked) {
        if (ouro_output_keep(&self->out, data, bytes, size) < 0) {
            return -1;
        }
        return ouro_transport_maybe_pause(st, base);
    }
    ssize_t written = ou_pipe_write(base->fd, bytes, size);
    ou_loop_note_io(ouro_transport_engine(base));
    if (written == (ssize_t)size) {
        return 0;
    }
    if (written < 0 && written != -EAGAIN && written != -EWOULDBLOCK) {
        return pipe_not_written(st, self, (int)written);
    }
    size_t done = written > 0 ? (size_t)written : 0;
    if (ouro_output_keep(&self->out, data, bytes + done, size - done) < 0) {
        return -1;
    }
    return pipe_not_written(st, self, -EAGAIN);
}

/* Whether `size` bytes may wait for the end of the job. */
static bool
pipe_may_gather(ouro_state *st, PipeObject *self, size_t size)
{
    return self->gathers && !self->blocked && size <= OU_PIPE_ATOMIC
           && ouro_output_may_gather(st, &self->base);
}

static int
pipe_gather(PipeObject *self, PyObject *data, const char *bytes, size_t size)
{
    TransportObject *base = &self->base;
    size_t total = self->out.size + size;
    if (total > OU_PIPE_ATOMIC && ouro_pipe_flush((PyObject *)self) < 0) {
        return -1;
    }
    if (base->closing || base->loop == NULL) {
        return 0; /* the flush has failed */
    }
    if (ouro_output_keep(&self->out, data, bytes, size) < 0) {
        return -1;
    }
    if (self->blocked) {
        return ouro_transport_maybe_pause(ouro_state_of((PyObject *)self),
                                          base);
    }
    if (self->out.size > base->high) {
        return ouro_pipe_flush((PyObject *)self);
    }
    if (ou_job_queued(&self->flush)) {
        return ouro_transport_flush_old((PyObject *)self);
    }
    Py_INCREF(self);
    ou_loop_defer(ouro_transport_engine(base), &self->flush);
    return 0;
}

/* write() to a pipe that is closed, or about to be. */
static int
pipe_write_lost(ouro_state *st, PipeObject *self)
{
    return ouro_transport_write_lost(
        st, &self->base,
        "pipe closed by peer or os.write(pipe, data) raised exception.");
}

static bool
pipe_is_lost(PipeObject *self)
{
    return self->base.conn_lost || self->base.closing
           || self->base.loop == NULL;
}

static int
pipe_write_bytes(ouro_state *st, PipeObject *self, PyObject *data,
                 const char *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (pipe_is_lost(self)) {
        return pipe_write_lost(st, self);
    }
    return pipe_may_gather(st, self, size)
               ? pipe_gather(self, data, bytes, size)
               : pipe_write_now(st, self, data, bytes, size);
}

/* ---- the methods ------------------------------------------------------- */

/* `assert isinstance(data, (bytes, bytearray, memoryview)), repr(data)` */
static int
refuse_data(ouro_state *st, PyObject *data)
{
    if (st->has.streams.asserts) {
        PyObject *shown = PyObject_Repr(data);
        if (shown != NULL) {
            PyErr_SetObject(PyExc_AssertionError, shown);
            Py_DECREF(shown);
        }
    }
    else {
        PyErr_Format(PyExc_TypeError,
                     "a bytes-like object is required, not '%.100s'",
                     Py_TYPE(data)->tp_name);
    }
    return -1;
}

int
ouro_pipe_write(PyObject *object, PyObject *data)
{
    PipeObject *self = ouro_pipe(object);
    ouro_state *st = ouro_state_of(object);
    if (PyBytes_Check(data)) {
        return pipe_write_bytes(st, self, data, PyBytes_AS_STRING(data),
                                (size_t)PyBytes_GET_SIZE(data));
    }
    if (!PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return refuse_data(st, data);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        if (pipe_is_lost(self)) {
            PyErr_Clear();
            return pipe_write_lost(st, self);
        }
        self->base.conn_lost++;
        return ouro_pipe_fatal(st, self, write_error, false);
    }
    int result = pipe_write_bytes(st, self, data, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return result;
}

/* WriteTransport.writelines(): self.write(b"".join(list)) */
int
ouro_pipe_writelines(PyObject *object, PyObject *list)
{
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    PyObject *data = empty == NULL
                         ? NULL
                         : PyObject_CallMethodOneArg(
                             empty, ouro_state_of(object)->str.join, list);
    Py_XDECREF(empty);
    if (data == NULL) {
        return -1;
    }
    int result = ouro_pipe_write(object, data);
    Py_DECREF(data);
    return result;
}

int
ouro_pipe_write_eof(PyObject *object)
{
    PipeObject *self = ouro_pipe(object);
    TransportObject *base = &self->base;
    if (base->closing || base->loop == NULL) {
        return 0;
    }
    if (ouro_pipe_flush(object) < 0) {
        return -1;
    }
    if (base->closing) {
        return 0; /* the flush has failed */
    }
    base->closing = true;
    return ou_outbuf_empty(&self->out) ? ouro_transport_schedule_lost(
               ouro_state_of(object), base, NULL)
                                       : 0; /* when all is written */
}

/* ---- the kind ---------------------------------------------------------- */

static void
write_drop_output(TransportObject *base)
{
    PipeObject *self = (PipeObject *)base;
    ou_outbuf_clear(&self->out);
    self->blocked = false;
}

static size_t
write_output_size(TransportObject *base)
{
    return ((PipeObject *)base)->out.size;
}

static int
write_lost(TransportObject *base)
{
    write_drop_output(base);
    return 0;
}

const transport_kind ouro_pipe_write_kind = {
    .begin_reading = ouro_pipe_begin_reading,
    .stop = ouro_transport_unwatch,
    .flush = ouro_pipe_flush,
    .drop_output = write_drop_output,
    .output_size = write_output_size,
    .lost = write_lost,
    .shared = true,
};
