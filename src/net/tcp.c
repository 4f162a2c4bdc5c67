/* tcp.c - stream sockets: receiving, and the ways in which they end.
 *
 * readable -> recv into the loop's scratch buffer -> the protocol's table of
 * C functions, or bytes of the exact size for its data_received().  A
 * connection that has shown large reads is received straight into bytes.
 */
#include "net/tcp.h"

#include <errno.h>

#include "base/bytes.h"
#include "net/methods.h"

enum {
    LARGE_READ = 16 * 1024, /* bytes from which a read is large */
    /* What is asked for then: a whole 64 KiB message comes short, so that it
     * is known to be all, and an object of either size stays below malloc's
     * mapping threshold. */
    LARGE_SIZE = 64 * 1024 + 1,
    LARGER_SIZE = 128 * 1024 - 64,
};

/* ---- watching ---------------------------------------------------------- */

/* Only internet sockets say by a short read that they are drained. */
static ou_trigger
tcp_trigger(TcpObject *self)
{
    return self->family == AF_INET || self->family == AF_INET6 ? OU_EDGE
                                                               : OU_LEVEL;
}

static int
tcp_watch_read(ouro_state *st, TcpObject *self, bool on)
{
    return ouro_transport_watch(st, &self->base, OU_IN, on, tcp_trigger(self));
}

int
ouro_tcp_watch_write(ouro_state *st, TcpObject *self, bool on)
{
    return ouro_transport_watch(st, &self->base, OU_OUT, on,
                                tcp_trigger(self));
}

static int
tcp_begin_reading(TransportObject *base)
{
    PyObject *self = (PyObject *)base;
    return tcp_watch_read(ouro_state_of(self), ouro_tcp(self), true);
}

/* ---- receiving --------------------------------------------------------- */

/* Bytes have been received, as many as `got` of `wanted`: is there more? */
static void
tcp_used(TcpObject *self, size_t got, size_t wanted)
{
    ou_io *io = &self->base.io;
    if (!self->base.native || io->trigger != OU_EDGE) {
        return;
    }
    if (got < wanted && (io->ready & OU_HUP) == 0) {
        ou_io_drained(io, OU_IN);
    }
    else if (ou_io_started(io)) {
        ou_io_again(ouro_transport_engine(&self->base), io, OU_IN);
    }
}

static OURO_COLD int
tcp_on_eof(ouro_state *st, TcpObject *self)
{
    if (ouro_transport_debug(st, &self->base, "%r received EOF") < 0) {
        return -1;
    }
    const protocol_ops *ops = self->base.ops;
    PyObject *protocol = Py_NewRef(self->base.protocol);
    int keep_open;
    if (ops != NULL && ouro_protocol_usable(ops, protocol)) {
        keep_open = ops->eof_received(protocol);
    }
    else {
        keep_open = ouro_truth_of(
            PyObject_CallMethodNoArgs(protocol, st->str.eof_received));
    }
    Py_DECREF(protocol);
    if (keep_open < 0) {
        return ouro_transport_fatal(
            st, &self->base,
            "Fatal error: protocol.eof_received() call failed.");
    }
    return keep_open ? tcp_watch_read(st, self, false)
                     : ouro_tcp_close((PyObject *)self);
}

/* What recv() returned that is no bytes: the end, an error, or nothing. */
static OURO_COLD int
tcp_no_bytes(ouro_state *st, TcpObject *self, ssize_t result)
{
    if (result == 0) {
        return tcp_on_eof(st, self);
    }
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
        ou_io_drained(&self->base.io, OU_IN);
        return 0;
    }
    ouro_raise_errno((int)result);
    return ouro_transport_fatal(st, &self->base,
                                "Fatal read error on socket transport");
}

/* How much may be received into the scratch buffer. */
static size_t
tcp_read_size(TcpObject *self)
{
    return self->read_limit != 0 ? self->read_limit : OU_SCRATCH_SIZE;
}

/* Receive as bytes.  1 and the bytes, or 0 or -1: nothing to deliver. */
static int
tcp_receive_bytes(ouro_state *st, TcpObject *self, PyObject **ret)
{
    PyObject *data = NULL;
    size_t wanted;
    char *buffer;
    if (self->large && self->read_limit == 0) {
        wanted = self->large > 1 ? LARGER_SIZE : LARGE_SIZE;
        data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)wanted);
        buffer = data == NULL ? NULL : PyBytes_AS_STRING(data);
    }
    else {
        wanted = tcp_read_size(self);
        buffer = ou_loop_scratch(ouro_transport_engine(&self->base));
        if (buffer == NULL) {
            PyErr_NoMemory();
        }
    }
    if (buffer == NULL) {
        return ouro_transport_fatal(st, &self->base,
                                    "Fatal read error on socket transport");
    }
    ssize_t got = ou_sock_recv(self->base.fd, buffer, wanted);
    if (got <= 0) {
        Py_XDECREF(data);
        return tcp_no_bytes(st, self, got);
    }
    tcp_used(self, (size_t)got, wanted);
    if (data == NULL) {
        data = ouro_bytes_new(st, buffer, got);
    }
    else if ((size_t)got < wanted) {
        (void)_PyBytes_Resize(&data, got);
    }
    if (data == NULL) {
        return ouro_transport_fatal(st, &self->base,
                                    "Fatal read error on socket transport");
    }
    self->large = got < LARGE_READ ? 0 : got < LARGE_SIZE ? 1 : 2;
    *ret = data;
    return 1;
}

static int
tcp_receive_data(ouro_state *st, TcpObject *self)
{
    PyObject *data = NULL;
    int result = tcp_receive_bytes(st, self, &data);
    if (result <= 0) {
        return result;
    }
    PyObject *args[2] = {Py_NewRef(self->base.protocol), data};
    PyObject *value =
        PyObject_VectorcallMethod(st->str.data_received, args, 2, NULL);
    Py_DECREF(args[0]);
    Py_DECREF(data);
    if (value == NULL) {
        return ouro_transport_fatal(
            st, &self->base,
            "Fatal error: protocol.data_received() call failed.");
    }
    Py_DECREF(value);
    return 0;
}

/* protocol.get_buffer(-1): an object of some length, or NULL with the
 * exception. */
static PyObject *
tcp_get_buffer(ouro_state *st, PyObject *protocol)
{
    PyObject *hint = PyLong_FromLong(-1);
    if (hint == NULL) {
        return NULL;
    }
    PyObject *buffer =
        PyObject_CallMethodOneArg(protocol, st->str.get_buffer, hint);
    Py_DECREF(hint);
    if (buffer == NULL) {
        return NULL;
    }
    Py_ssize_t length = PyByteArray_CheckExact(buffer)
                            ? PyByteArray_GET_SIZE(buffer)
                            : PyObject_Size(buffer);
    if (length == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "get_buffer() returned an empty buffer");
    }
    if (length <= 0) {
        Py_CLEAR(buffer);
    }
    return buffer;
}

/* Say in recv_into()'s words why it cannot write into that. */
static OURO_COLD void
explain_bad_buffer(PyObject *buffer)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *args = PyTuple_Pack(1, buffer);
    Py_buffer view;
    if (args != NULL && PyArg_ParseTuple(args, "w*:recv_into", &view)) {
        PyBuffer_Release(&view);
        PyErr_SetRaisedException(error);
    }
    else {
        Py_XDECREF(error);
    }
    Py_XDECREF(args);
}

/* recv() as much as there is room for in buffer; *ret_got is what it said.
 * 0, or -1: it is none that can be written into. */
static int
tcp_receive_into(TcpObject *self, PyObject *buffer, size_t *ret_wanted,
                 ssize_t *ret_got)
{
    int fd = self->base.fd;
    if (PyByteArray_CheckExact(buffer)) {
        /* Nobody can resize it meanwhile. */
        *ret_wanted = (size_t)PyByteArray_GET_SIZE(buffer);
        *ret_got =
            ou_sock_recv(fd, PyByteArray_AS_STRING(buffer), *ret_wanted);
        return 0;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        explain_bad_buffer(buffer);
        return -1;
    }
    *ret_wanted = (size_t)view.len;
    *ret_got = ou_sock_recv(fd, view.buf, *ret_wanted);
    PyBuffer_Release(&view);
    return 0;
}

/* Tell the protocol that there is now (get_buffer() may have set another). */
static int
tcp_buffer_updated(ouro_state *st, TcpObject *self, ssize_t got)
{
    PyObject *size = PyLong_FromSsize_t(got);
    if (size != NULL) {
        PyObject *protocol = Py_NewRef(ouro_or_none(self->base.protocol));
        PyObject *value =
            PyObject_CallMethodOneArg(protocol, st->str.buffer_updated, size);
        Py_DECREF(protocol);
        Py_DECREF(size);
        if (value != NULL) {
            Py_DECREF(value);
            return 0;
        }
    }
    return ouro_transport_fatal(
        st, &self->base,
        "Fatal error: protocol.buffer_updated() call failed.");
}

static int
tcp_receive_buffered(ouro_state *st, TcpObject *self)
{
    PyObject *protocol = Py_NewRef(self->base.protocol);
    PyObject *buffer = tcp_get_buffer(st, protocol);
    Py_DECREF(protocol);
    if (buffer == NULL) {
        return ouro_transport_fatal(
            st, &self->base,
            "Fatal error: protocol.get_buffer() call failed.");
    }
    size_t wanted;
    ssize_t got;
    int received = tcp_receive_into(self, buffer, &wanted, &got);
    Py_DECREF(buffer);
    if (received < 0) {
        return ouro_transport_fatal(st, &self->base,
                                    "Fatal read error on socket transport");
    }
    if (got <= 0) {
        return tcp_no_bytes(st, self, got);
    }
    tcp_used(self, (size_t)got, wanted);
    return tcp_buffer_updated(st, self, got);
}

/* No bytes have come for a protocol of ours, or it has failed (an exception
 * is set): what follows may reach Python, and so is done in the context. */
static OURO_COLD int
tcp_native_ended(ouro_state *st, TcpObject *self, const protocol_ops *ops,
                 ssize_t got)
{
    TransportObject *base = &self->base;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *entered;
    if (ouro_transport_enter(base, base->context, &entered) < 0) {
        Py_XDECREF(exception);
        return ouro_transport_step_failed(base, base->loop, "_read_ready",
                                          NULL);
    }
    int result;
    if (exception == NULL) {
        result = tcp_no_bytes(st, self, got);
    }
    else {
        PyErr_SetRaisedException(exception);
        result = ouro_transport_fatal(
            st, base,
            ops->receive_failed != NULL
                ? ops->receive_failed
                : "Fatal error: protocol.data_received() call failed.");
    }
    ouro_transport_leave(entered);
    return result;
}

/* A large transfer to a protocol of ours: into its own memory.  1: it has
 * been tried, and *ret_result is receive()'s. */
static int
tcp_receive_own(ouro_state *st, TcpObject *self, const protocol_ops *ops,
                int *ret_result)
{
    if (!self->large || self->read_limit != 0 || ops->receive_into == NULL) {
        return 0;
    }
    PyObject *protocol = self->base.protocol;
    Py_ssize_t wanted = 0;
    char *memory = ops->receive_into(protocol, &wanted);
    if (memory == NULL) {
        return 0;
    }
    Py_INCREF(protocol);
    ssize_t got = ou_sock_recv(self->base.fd, memory, (size_t)wanted);
    if (got > 0) {
        tcp_used(self, (size_t)got, (size_t)wanted);
        self->large = got >= LARGE_READ;
    }
    bool failed = ops->receive_done(protocol, got > 0 ? got : 0) < 0;
    *ret_result =
        failed || got <= 0 ? tcp_native_ended(st, self, ops, got) : 0;
    Py_DECREF(protocol);
    return 1;
}

/* To a protocol of ours, without Python. */
static int
tcp_receive_native(ouro_state *st, TcpObject *self, const protocol_ops *ops)
{
    int result = 0;
    if (tcp_receive_own(st, self, ops, &result)) {
        return result;
    }
    char *scratch = ou_loop_scratch(ouro_transport_engine(&self->base));
    if (scratch == NULL) {
        PyErr_NoMemory();
        return ouro_transport_fatal(st, &self->base,
                                    "Fatal read error on socket transport");
    }
    size_t wanted = tcp_read_size(self);
    ssize_t got = ou_sock_recv(self->base.fd, scratch, wanted);
    if (got <= 0) {
        return tcp_native_ended(st, self, ops, got);
    }
    tcp_used(self, (size_t)got, wanted);
    self->large = got >= LARGE_READ;
    PyObject *protocol = Py_NewRef(self->base.protocol);
    result = ops->data_received(protocol, scratch, got);
    Py_DECREF(protocol);
    return result < 0 ? tcp_native_ended(st, self, ops, got) : 0;
}

int
ouro_tcp_receive(ouro_state *st, TcpObject *self)
{
    TransportObject *base = &self->base;
    if (base->conn_lost || base->loop == NULL) {
        return 0;
    }
    const protocol_ops *ops = base->ops;
    if (ops != NULL && ouro_protocol_usable(ops, base->protocol)) {
        return tcp_receive_native(st, self, ops);
    }
    PyObject *entered;
    if (ouro_transport_enter(base, base->context, &entered) < 0) {
        return ouro_transport_step_failed(base, base->loop, "_read_ready",
                                          NULL);
    }
    int result = base->buffered ? tcp_receive_buffered(st, self)
                                : tcp_receive_data(st, self);
    ouro_transport_leave(entered);
    return result;
}

static int
tcp_in_run(ou_job *job)
{
    TcpObject *self =
        (TcpObject *)OURO_CONTAINER_OF(job, TransportObject, io.in);
    int result = 0;
    if (ou_io_take(&self->base.io, OU_IN)) {
        result = ouro_tcp_receive(ouro_state_of((PyObject *)self), self);
        if (result < 0) {
            result = ouro_transport_step_failed(&self->base, self->base.loop,
                                                "_read_ready", NULL);
        }
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_tcp_in_kind = {
    OURO_OBJECT_JOB(TransportObject, io.in),
    .run = tcp_in_run,
    .batched = true,
};

/* ---- the end ----------------------------------------------------------- */

int
ouro_tcp_close(PyObject *object)
{
    TcpObject *self = ouro_tcp(object);
    TransportObject *base = &self->base;
    if (base->closing || base->loop == NULL) {
        return 0;
    }
    ouro_state *st = ouro_state_of(object);
    if (ouro_tcp_flush(object) < 0) {
        return -1;
    }
    if (base->closing) {
        return 0; /* the flush has failed */
    }
    base->closing = true;
    if (tcp_watch_read(st, self, false) < 0) {
        return -1;
    }
    if (!ou_outbuf_empty(&self->out)) {
        return 0; /* connection_lost() when all is sent */
    }
    base->conn_lost++;
    if (ouro_transport_remove_writer(st, base) < 0) {
        return -1;
    }
    return ouro_transport_schedule_lost(st, base, NULL);
}

static void
tcp_drop_output(TransportObject *base)
{
    TcpObject *self = (TcpObject *)base;
    ou_outbuf_clear(&self->out);
    self->blocked = false;
}

static size_t
tcp_output_size(TransportObject *base)
{
    return ((TcpObject *)base)->out.size;
}

static int
tcp_lost(TransportObject *base)
{
    TcpObject *self = (TcpObject *)base;
    tcp_drop_output(base);
    if (self->empty_waiter == NULL) {
        return 0;
    }
    PyObject *exception = PyObject_CallFunction(
        PyExc_ConnectionError, "s", "Connection is closed by peer");
    if (exception == NULL) {
        return -1;
    }
    int result = ouro_tcp_end_empty_waiter(ouro_state_of((PyObject *)self),
                                           self, exception);
    Py_DECREF(exception);
    return result;
}

const transport_kind ouro_tcp_kind = {
    .begin_reading = tcp_begin_reading,
    .stop = ouro_transport_unwatch,
    .flush = ouro_tcp_flush,
    .drop_output = tcp_drop_output,
    .output_size = tcp_output_size,
    .extra = ouro_tcp_extra,
    .lost = tcp_lost,
};
