/* tcp_send.c - stream sockets: sending.
 *
 * write() gathers; the end of the job that wrote sends it all by one system
 * call.  What the socket does not take waits for the loop to say that it is
 * writable again, and above the high-water mark the protocol is paused.
 */
#include "net/tcp.h"
#include "net/output.h"

#include <errno.h>

/* ---- out of the buffer ------------------------------------------------- */

/* send() has said so much, which is not that everything is gone. */
static int
tcp_not_sent(ouro_state *st, TcpObject *self, int result)
{
    TransportObject *base = &self->base;
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
        self->blocked = true;
        ou_io_drained(&base->io, OU_OUT);
        if (ouro_tcp_watch_write(st, self, true) < 0) {
            return -1;
        }
        return ouro_transport_maybe_pause(st, base);
    }
    base->kind->drop_output(base);
    ouro_raise_errno(result);
    return ouro_transport_fatal(st, base,
                                "Fatal write error on socket transport");
}

static int
tcp_send_buffer(TcpObject *self)
{
    int result = ou_outbuf_flush(&self->out, self->base.fd);
    ou_loop_note_io(ouro_transport_engine(&self->base));
    return result;
}

bool
ouro_tcp_gathered(PyObject *object)
{
    TcpObject *self = ouro_tcp(object);
    return !self->blocked && !ou_outbuf_empty(&self->out);
}

int
ouro_tcp_flush(PyObject *object)
{
    TcpObject *self = ouro_tcp(object);
    if (!ouro_tcp_gathered(object) || self->base.loop == NULL) {
        return 0;
    }
    int result = tcp_send_buffer(self);
    return result == 0 ? 0 : tcp_not_sent(ouro_state_of(object), self, result);
}

static OURO_COLD int
tcp_flush_tell(ouro_state *st, TransportObject *base, int error)
{
    return tcp_not_sent(st, (TcpObject *)base, error);
}

/* The job that wrote has ended. */
static int
tcp_flush_run(ou_job *job)
{
    TcpObject *self = OURO_CONTAINER_OF(job, TcpObject, flush);
    PyObject *object = (PyObject *)self;
    TransportObject *base = &self->base;
    int result = 0;
    if (ouro_tcp_gathered(object) && base->loop != NULL) {
        result = tcp_send_buffer(self);
    }
    if (result < 0) {
        result = ouro_transport_flush_failed(base, result, tcp_flush_tell);
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_tcp_flush_kind = {
    OURO_OBJECT_JOB(TcpObject, flush),
    .run = tcp_flush_run,
};

int
ouro_tcp_end_empty_waiter(ouro_state *st, TcpObject *self, PyObject *exception)
{
    PyObject *waiter = self->empty_waiter;
    if (waiter == NULL) {
        return 0;
    }
    Py_INCREF(waiter); /* (It may be anybody's future.) */
    int result = ouro_anyfuture_done(st, waiter);
    if (result == 0) {
        result = exception == NULL
                     ? ouro_anyfuture_set_result(st, waiter, Py_None)
                     : ouro_anyfuture_set_exception(st, waiter, exception);
    }
    Py_DECREF(waiter);
    return result < 0 ? -1 : 0;
}

/* All has been sent: whoever waits for that is next. */
static int
tcp_all_sent(ouro_state *st, TcpObject *self)
{
    TransportObject *base = &self->base;
    if (ouro_tcp_end_empty_waiter(st, self, NULL) < 0) {
        return -1;
    }
    if (base->closing) {
        if (st->has.loop.last_sent_is_lost) {
            if (base->conn_lost) {
                return 0; /* aborted by who was waiting: it is on its way */
            }
            base->conn_lost++;
        }
        return ouro_transport_call_lost(st, base, NULL);
    }
    if (self->eof) {
        int result = ou_sock_shutdown_write(base->fd);
        return result < 0 ? ouro_raise_errno_int(result) : 0;
    }
    return 0;
}

/* The connection has failed while bytes were waiting. */
static OURO_COLD int
tcp_send_failed(ouro_state *st, TcpObject *self, int error)
{
    TransportObject *base = &self->base;
    PyObject *exception = ouro_errno_exception(error);
    if (exception == NULL || ouro_tcp_watch_write(st, self, false) < 0) {
        Py_XDECREF(exception);
        return -1;
    }
    base->kind->drop_output(base);
    ouro_raise(exception);
    int result = ouro_transport_fatal(st, base,
                                      "Fatal write error on socket transport");
    if (result == 0) {
        result = ouro_tcp_end_empty_waiter(st, self, exception);
    }
    Py_DECREF(exception);
    return result;
}

int
ouro_tcp_send_more(ouro_state *st, TcpObject *self)
{
    TransportObject *base = &self->base;
    if (base->conn_lost || base->loop == NULL || ou_outbuf_empty(&self->out)) {
        return 0;
    }
    int result = tcp_send_buffer(self);
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
        ou_io_drained(&base->io, OU_OUT);
        return ouro_transport_maybe_resume(st, base);
    }
    if (result < 0) {
        return tcp_send_failed(st, self, result);
    }
    self->blocked = false;
    if (ouro_transport_maybe_resume(st, base) < 0) {
        return -1;
    }
    /* The protocol may have written in answer. */
    if (base->closing && ouro_tcp_flush((PyObject *)self) < 0) {
        return -1;
    }
    if (self->blocked || base->loop == NULL || base->conn_lost) {
        return 0;
    }
    if (ouro_tcp_watch_write(st, self, false) < 0) {
        return -1;
    }
    return ou_outbuf_empty(&self->out) ? tcp_all_sent(st, self) : 0;
}

static int
tcp_out_run(ou_job *job)
{
    TcpObject *self =
        (TcpObject *)OURO_CONTAINER_OF(job, TransportObject, io.out);
    TransportObject *base = &self->base;
    int result = 0;
    if (ou_io_take(&base->io, OU_OUT)) {
        PyObject *loop = Py_NewRef(base->loop), *entered;
        result = ouro_transport_enter(base, base->context, &entered);
        if (result == 0) {
            result = ouro_tcp_send_more(ouro_state_of((PyObject *)self), self);
            ouro_transport_leave(entered);
        }
        if (result < 0) {
            result =
                ouro_transport_step_failed(base, loop, "_write_ready", NULL);
        }
        Py_DECREF(loop);
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_tcp_out_kind = {
    OURO_OBJECT_JOB(TransportObject, io.out),
    .run = tcp_out_run,
};

/* ---- into the buffer --------------------------------------------------- */

/* Keep what the socket did not take of data.  From 3.12 asyncio keeps a view
 * of it: resizing a bytearray meanwhile is a BufferError. */
static int
tcp_keep_leftover(ouro_state *st, TcpObject *self, PyObject *data,
                  const char *bytes, size_t size)
{
    if (st->has.minor < 12 || PyBytes_Check(data)) {
        return ouro_output_keep(&self->out, data, bytes, size);
    }
    PyObject *view = PyMemoryView_FromObject(data);
    if (view == NULL) {
        return -1;
    }
    /* Giving up a view of anybody's object may run anybody's code. */
    PyObject *exporter = PyMemoryView_GET_BUFFER(view)->obj;
    int result = exporter != NULL
                         && (PyByteArray_CheckExact(exporter)
                             || PyBytes_CheckExact(exporter))
                     ? ouro_output_refer(&self->out, view, bytes, size)
                     : ouro_output_keep(&self->out, data, bytes, size);
    Py_DECREF(view);
    return result;
}

/* Send at once, behind what has been gathered; as asyncio does. */
static int
tcp_write_now(ouro_state *st, TcpObject *self, PyObject *data,
              const char *bytes, size_t size)
{
    TransportObject *base = &self->base;
    if (ouro_tcp_flush((PyObject *)self) < 0) {
        return -1;
    }
    if (base->conn_lost || base->loop == NULL) {
        return 0;
    }
    if (self->blocked) {
        if (ouro_output_keep(&self->out, data, bytes, size) < 0) {
            return -1;
        }
        return ouro_transport_maybe_pause(st, base);
    }
    ssize_t sent = ou_sock_send(base->fd, bytes, size);
    ou_loop_note_io(ouro_transport_engine(base));
    if (sent == (ssize_t)size) {
        return 0;
    }
    if (sent < 0 && sent != -EAGAIN && sent != -EWOULDBLOCK) {
        return tcp_not_sent(st, self, (int)sent);
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (tcp_keep_leftover(st, self, data, bytes + done, size - done) < 0) {
        return -1;
    }
    return tcp_not_sent(st, self, -EAGAIN);
}

/* Whether what is written now may wait for the end of the job. */
static bool
tcp_may_gather(ouro_state *st, TcpObject *self)
{
    return !self->blocked && ouro_output_may_gather(st, &self->base);
}

/* Bytes have been put into the buffer: see that they get out. */
static int
tcp_gather(TcpObject *self)
{
    TransportObject *base = &self->base;
    if (self->out.size > base->high) {
        return ouro_tcp_flush((PyObject *)self);
    }
    if (ou_job_queued(&self->flush)) {
        return ouro_transport_flush_old((PyObject *)self);
    }
    Py_INCREF(self);
    ou_loop_defer(ouro_transport_engine(base), &self->flush);
    return 0;
}

/* ---- the methods ------------------------------------------------------- */

/* write() after the connection was lost. */
static OURO_COLD int
tcp_write_lost(ouro_state *st, TcpObject *self)
{
    return ouro_transport_write_lost(st, &self->base,
                                     "socket.send() raised exception.");
}

/* write() of what has no contiguous bytes (an exception is set). */
static OURO_COLD int
tcp_write_unfit(ouro_state *st, TcpObject *self)
{
    if (self->base.conn_lost || self->base.loop == NULL) {
        PyErr_Clear();
        return tcp_write_lost(st, self);
    }
    return ouro_transport_fatal(st, &self->base,
                                "Fatal write error on socket transport");
}

static int
tcp_check_write(TcpObject *self, const char *after_eof,
                const char *while_sendfile)
{
    if (self->eof) {
        PyErr_SetString(PyExc_RuntimeError, after_eof);
        return -1;
    }
    if (self->empty_waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, while_sendfile);
        return -1;
    }
    return 0;
}

static int
tcp_write_bytes(ouro_state *st, TcpObject *self, PyObject *data,
                const char *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (self->base.conn_lost || self->base.loop == NULL) {
        return tcp_write_lost(st, self);
    }
    /* Large data that is first in line goes at once, and so does what cannot
     * be held by reference. */
    if (!tcp_may_gather(st, self)
        || (size >= OU_OUT_REFER_SIZE
            && (ou_outbuf_empty(&self->out) || !PyBytes_CheckExact(data)))) {
        return tcp_write_now(st, self, data, bytes, size);
    }
    /* Most often it is all that this job writes. */
    bool alone = ou_outbuf_empty(&self->out) && PyBytes_CheckExact(data);
    if ((alone ? ouro_output_refer(&self->out, data, bytes, size)
               : ouro_output_keep(&self->out, data, bytes, size))
        < 0) {
        return -1;
    }
    return tcp_gather(self);
}

int
ouro_tcp_write(PyObject *object, PyObject *data)
{
    TcpObject *self = ouro_tcp(object);
    ouro_state *st = ouro_state_of(object);
    bool is_bytes = PyBytes_Check(data);
    if (!is_bytes && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        PyObject *name = PyType_GetName(Py_TYPE(data));
        if (name != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "data argument must be a %s object, not %R",
                         st->has.loop.write_names_types
                             ? "bytes, bytearray, or memoryview"
                             : "bytes-like",
                         name);
            Py_DECREF(name);
        }
        return -1;
    }
    if (tcp_check_write(self, "Cannot call write() after write_eof()",
                        "unable to write; sendfile is in progress")
        < 0) {
        return -1;
    }
    if (is_bytes) {
        return tcp_write_bytes(st, self, data, PyBytes_AS_STRING(data),
                               (size_t)PyBytes_GET_SIZE(data));
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return tcp_write_unfit(st, self);
    }
    int result = tcp_write_bytes(st, self, data, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return result;
}

/* [b"".join(pieces)] */
static PyObject *
join_pieces(ouro_state *st, PyObject *pieces)
{
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    PyObject *joined =
        empty == NULL ? NULL
                      : PyObject_CallMethodOneArg(empty, st->str.join, pieces);
    Py_XDECREF(empty);
    PyObject *list = joined == NULL ? NULL : PyList_New(1);
    if (list == NULL) {
        Py_XDECREF(joined);
        return NULL;
    }
    PyList_SET_ITEM(list, 0, joined);
    return list;
}

/* The pieces of writelines() as a list of exact bytes objects: as they are,
 * or joined. */
static PyObject *
pieces_as_bytes(ouro_state *st, PyObject *given)
{
    bool views = st->has.minor >= 12; /* 3.11 joins what it is given */
    if (!views && !PyList_CheckExact(given) && !PyTuple_CheckExact(given)) {
        return join_pieces(st, given);
    }
    PyObject *pieces = PySequence_List(given);
    if (pieces == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(pieces);
    Py_ssize_t i = 0;
    while (i < count && PyBytes_CheckExact(PyList_GET_ITEM(pieces, i))) {
        i++;
    }
    if (i == count) {
        return pieces;
    }
    for (i = 0; views && i < count; i++) {
        PyObject *view = PyMemoryView_FromObject(PyList_GET_ITEM(pieces, i));
        if (view == NULL || PyList_SetItem(pieces, i, view) < 0) {
            Py_DECREF(pieces);
            return NULL;
        }
    }
    PyObject *joined = join_pieces(st, pieces);
    Py_DECREF(pieces);
    return joined;
}

/* Pieces that go out together. */
static int
tcp_write_pieces(ouro_state *st, TcpObject *self, PyObject *pieces)
{
    TransportObject *base = &self->base;
    if (base->conn_lost || base->loop == NULL) {
        return tcp_write_lost(st, self);
    }
    size_t before = self->out.size;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(pieces); i++) {
        PyObject *piece = PyList_GET_ITEM(pieces, i);
        if (PyBytes_GET_SIZE(piece) > 0
            && ouro_output_keep(&self->out, piece, PyBytes_AS_STRING(piece),
                                (size_t)PyBytes_GET_SIZE(piece))
                   < 0) {
            return -1;
        }
    }
    if (self->out.size == before) {
        return 0;
    }
    if (self->blocked) {
        return ouro_transport_maybe_pause(st, base);
    }
    return tcp_may_gather(st, self) ? tcp_gather(self)
                                    : ouro_tcp_flush((PyObject *)self);
}

int
ouro_tcp_writelines(PyObject *object, PyObject *list)
{
    TcpObject *self = ouro_tcp(object);
    ouro_state *st = ouro_state_of(object);
    if (st->has.minor >= 12) {
        if (tcp_check_write(self, "Cannot call writelines() after write_eof()",
                            "unable to writelines; sendfile is in progress")
            < 0) {
            return -1;
        }
        int any = PyObject_IsTrue(list);
        if (any <= 0) {
            return any;
        }
    }
    PyObject *pieces = pieces_as_bytes(st, list);
    if (pieces == NULL) {
        return -1;
    }
    int result = -1;
    /* (3.11 joins the pieces first, then calls write().) */
    if (st->has.minor >= 12
        || tcp_check_write(self, "Cannot call write() after write_eof()",
                           "unable to write; sendfile is in progress")
               == 0) {
        result = tcp_write_pieces(st, self, pieces);
    }
    Py_DECREF(pieces);
    return result;
}

int
ouro_tcp_write_eof(PyObject *object)
{
    TcpObject *self = ouro_tcp(object);
    if (self->base.closing || self->eof) {
        return 0;
    }
    if (ouro_tcp_flush(object) < 0) {
        return -1;
    }
    if (self->base.closing) {
        return 0;
    }
    self->eof = true;
    if (!ou_outbuf_empty(&self->out)) {
        return 0;
    }
    int result = ou_sock_shutdown_write(self->base.fd);
    return result < 0 ? ouro_raise_errno_int(result) : 0;
}

PyObject *
ouro_tcp_make_empty_waiter(TcpObject *self)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (self->empty_waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Empty waiter is already set");
        return NULL;
    }
    if (ouro_tcp_flush((PyObject *)self) < 0) {
        return NULL;
    }
    PyObject *loop = self->base.loop;
    PyObject *waiter = loop == NULL ? PyErr_Format(PyExc_RuntimeError,
                                                   "the transport is closed")
                                    : ouro_create_future(st, loop);
    if (waiter == NULL) {
        return NULL;
    }
    self->empty_waiter = Py_NewRef(waiter);
    if (ou_outbuf_empty(&self->out)
        && ouro_anyfuture_set_result(st, waiter, Py_None) < 0) {
        Py_CLEAR(self->empty_waiter);
        Py_DECREF(waiter);
        return NULL;
    }
    return waiter;
}
