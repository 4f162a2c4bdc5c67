/* tls_read.c - deciphering what has been received (see tls.h).
 *
 * feed -> do_read -> one of four ways up:
 *   a protocol of ours     from the loop's scratch buffer, by its table
 *   any Protocol           the same, as a bytes object of the exact size
 *   a BufferedProtocol     straight into its buffer
 *   with anybody's sslobj  the chunks that its read() returns, joined
 *
 * What has not been deciphered stays in the incoming BIO; when there is too
 * much of it the transport below is paused.
 */
#include "net/tls.h"

#include "loop/loop.h"

static const char failed[] = "Fatal error on SSL protocol";

/* What one way up has come to. */
typedef enum read_result {
    READ_ERROR = -1,
    READ_ALL,  /* nothing is left for now */
    READ_FULL, /* there may be more */
    READ_EOF,  /* the peer has said that this was all */
} read_result;

static read_result
result_of(tls_result result, bool eof)
{
    return result == TLS_AGAIN  ? READ_ALL
           : result != TLS_DONE ? READ_ERROR
           : eof                ? READ_EOF
                                : READ_FULL;
}

/* ---- a protocol of ours, or any Protocol ------------------------------- */

static int
deliver_bytes(ouro_state *st, TlsObject *self, PyObject *data)
{
    if (data == NULL) {
        return -1;
    }
    PyObject *args[] = {Py_NewRef(ouro_or_none(self->app_protocol)), data};
    int result = ouro_drop_result(
        PyObject_VectorcallMethod(st->str.data_received, args, 2, NULL));
    Py_DECREF(args[0]);
    Py_DECREF(data);
    return result;
}

static int
deliver(ouro_state *st, TlsObject *self, const char *data, Py_ssize_t size)
{
    const protocol_ops *ops = ouro_tls_app_ops(self);
    if (ops == NULL) {
        return deliver_bytes(st, self, PyBytes_FromStringAndSize(data, size));
    }
    PyObject *protocol = Py_NewRef(self->app_protocol);
    int result = ops->data_received(protocol, data, size);
    Py_DECREF(protocol);
    return result;
}

/* By way of the loop's scratch buffer: the ciphertext that may have come
 * through it has been copied into the BIO. */
static read_result
read_scratch(ouro_state *st, TlsObject *self)
{
    char *scratch = ou_loop_scratch(ouro_loop_engine(self->loop));
    if (scratch == NULL) {
        PyErr_NoMemory();
        return READ_ERROR;
    }
    Py_ssize_t got;
    bool eof;
    tls_result got_some =
        ouro_tls_read_into(st, self, scratch, OU_SCRATCH_SIZE, &got, &eof);
    read_result result = result_of(got_some, eof);
    if (result != READ_ERROR && got > 0
        && deliver(st, self, scratch, got) < 0) {
        return READ_ERROR;
    }
    return result;
}

/* ---- anybody's sslobj -------------------------------------------------- */

/* Append what read() returns until it returns nothing. */
static read_result
read_chunks(ouro_state *st, TlsObject *self, PyObject *chunks)
{
    for (;;) {
        PyObject *chunk;
        tls_result result =
            ouro_tls_read_object(st, self, TLS_MAX_SIZE, NULL, &chunk);
        if (result != TLS_DONE) {
            return result_of(result, false);
        }
        int some = PyObject_IsTrue(chunk);
        if (some > 0 && PyList_Append(chunks, chunk) < 0) {
            some = -1;
        }
        Py_DECREF(chunk);
        if (some <= 0) {
            return some < 0 ? READ_ERROR : READ_EOF;
        }
    }
}

static PyObject *
join_chunks(ouro_state *st, PyObject *chunks)
{
    if (PyList_GET_SIZE(chunks) == 1) {
        return Py_NewRef(PyList_GET_ITEM(chunks, 0));
    }
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    PyObject *joined =
        empty == NULL ? NULL
                      : PyObject_CallMethodOneArg(empty, st->str.join, chunks);
    Py_XDECREF(empty);
    return joined;
}

static read_result
read_copied(ouro_state *st, TlsObject *self)
{
    PyObject *chunks = PyList_New(0);
    if (chunks == NULL) {
        return READ_ERROR;
    }
    read_result result = read_chunks(st, self, chunks);
    if (result != READ_ERROR && PyList_GET_SIZE(chunks) > 0
        && deliver_bytes(st, self, join_chunks(st, chunks)) < 0) {
        result = READ_ERROR;
    }
    Py_DECREF(chunks);
    return result;
}

/* ---- a BufferedProtocol ------------------------------------------------ */

/* *ret_got bytes of the buffer, which has room for `wants`. */
static read_result
fill_directly(ouro_state *st, TlsObject *self, PyObject *buffer,
              Py_ssize_t wants, Py_ssize_t *ret_got)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        /* In the words of SSLObject.read(). */
        PyErr_Clear();
        PyObject *none;
        tls_result result =
            ouro_tls_read_object(st, self, wants, buffer, &none);
        Py_XDECREF(none);
        return result_of(result, false);
    }
    bool eof;
    Py_ssize_t size = wants < view.len ? wants : view.len;
    tls_result result = size == 0 ? TLS_DONE
                                  : ouro_tls_read_into(st, self, view.buf,
                                                       size, ret_got, &eof);
    PyBuffer_Release(&view);
    /* (Without room nothing is read, which asyncio takes for the end.) */
    return result_of(result, size == 0 || eof);
}

/* sslobj.read(wants, buffer), again and again with what is left of it. */
static read_result
fill_by_methods(ouro_state *st, TlsObject *self, PyObject *buffer,
                Py_ssize_t wants, Py_ssize_t *ret_got)
{
    do {
        PyObject *rest = *ret_got == 0 ? Py_NewRef(buffer)
                                       : PySequence_GetSlice(buffer, *ret_got,
                                                             PY_SSIZE_T_MAX);
        if (rest == NULL) {
            return READ_ERROR;
        }
        PyObject *number;
        tls_result result =
            ouro_tls_read_object(st, self, wants - *ret_got, rest, &number);
        Py_DECREF(rest);
        if (result != TLS_DONE) {
            return result_of(result, false);
        }
        Py_ssize_t count = PyNumber_AsSsize_t(number, PyExc_OverflowError);
        Py_DECREF(number);
        if (count == -1 && PyErr_Occurred()) {
            return READ_ERROR;
        }
        if (count <= 0) {
            return count == 0 ? READ_EOF : READ_ALL;
        }
        *ret_got += count;
    } while (*ret_got < wants);
    return READ_FULL;
}

/* protocol.get_buffer(hint), and its length. */
static PyObject *
app_get_buffer(ouro_state *st, TlsObject *self, PyObject *protocol,
               Py_ssize_t *ret_wants)
{
    Py_ssize_t pending = ouro_tls_pending(st, self->incoming);
    PyObject *hint = pending < 0 ? NULL : PyLong_FromSsize_t(pending);
    if (hint == NULL) {
        return NULL;
    }
    PyObject *buffer =
        PyObject_CallMethodOneArg(protocol, st->str.get_buffer, hint);
    Py_DECREF(hint);
    if (buffer != NULL) {
        *ret_wants = PyObject_Size(buffer);
        if (*ret_wants < 0) {
            Py_CLEAR(buffer);
        }
    }
    return buffer;
}

/* protocol.buffer_updated(size).  If get_buffer() has set another protocol
 * that has buffers, that one is told; as asyncio keeps both methods. */
static int
app_buffer_updated(ouro_state *st, TlsObject *self, PyObject *protocol,
                   Py_ssize_t size)
{
    PyObject *number = PyLong_FromSsize_t(size);
    if (number == NULL) {
        return -1;
    }
    if (self->app_buffered && self->app_protocol != NULL) {
        protocol = self->app_protocol;
    }
    Py_INCREF(protocol);
    int result = ouro_drop_result(
        PyObject_CallMethodOneArg(protocol, st->str.buffer_updated, number));
    Py_DECREF(protocol);
    Py_DECREF(number);
    return result;
}

/* loop.call_soon(self.<method>) */
static int
call_soon(ouro_state *st, TlsObject *self, const char *method)
{
    PyObject *callback = PyObject_GetAttrString((PyObject *)self, method);
    if (callback == NULL) {
        return -1;
    }
    int result = ouro_loop_call_soon(st, self->loop, callback, NULL, NULL);
    Py_DECREF(callback);
    return result;
}

static read_result
read_buffered(ouro_state *st, TlsObject *self)
{
    PyObject *protocol = Py_NewRef(ouro_or_none(self->app_protocol));
    Py_ssize_t wants = 0, got = 0;
    read_result result = READ_ERROR;
    PyObject *buffer = app_get_buffer(st, self, protocol, &wants);
    if (buffer == NULL) {
        goto done;
    }
    result = ouro_tls_direct(st, self) != NULL
                 ? fill_directly(st, self, buffer, wants, &got)
                 : fill_by_methods(st, self, buffer, wants, &got);
    Py_DECREF(buffer);
    if (result == READ_FULL) {
        result = call_soon(st, self, "_do_read") < 0 ? READ_ERROR : READ_ALL;
    }
    if (result != READ_ERROR && got > 0
        && app_buffer_updated(st, self, protocol, got) < 0) {
        result = READ_ERROR;
    }
done:
    Py_DECREF(protocol);
    return result;
}

/* ---- all of them ------------------------------------------------------- */

static bool
may_deliver(TlsObject *self)
{
    return (self->state == TLS_WRAPPED || self->state == TLS_FLUSHING)
           && !self->app_reading_paused;
}

static read_result
read_some(ouro_state *st, TlsObject *self)
{
    bool direct = self->our_loop && ouro_tls_direct(st, self) != NULL;
    if (direct && ouro_tls_app_ops(self) != NULL) {
        return read_scratch(st, self);
    }
    if (self->app_buffered) {
        return read_buffered(st, self);
    }
    return direct ? read_scratch(st, self) : read_copied(st, self);
}

static int
read_and_answer(ouro_state *st, TlsObject *self)
{
    read_result result;
    do {
        result = read_some(st, self);
    } while (result == READ_FULL && may_deliver(self));
    if (result == READ_ERROR) {
        return -1;
    }
    if (result == READ_EOF
        && (ouro_tls_call_eof_received(st, self) < 0
            || ouro_tls_start_shutdown(st, self) < 0)) {
        return -1;
    }
    return ouro_tls_has_backlog(self) ? ouro_tls_do_write(st, self)
                                      : ouro_tls_process_outgoing(st, self);
}

int
ouro_tls_do_read(ouro_state *st, TlsObject *self)
{
    if (self->state != TLS_WRAPPED && self->state != TLS_FLUSHING) {
        return 0;
    }
    if ((self->app_reading_paused || read_and_answer(st, self) == 0)
        && ouro_tls_control_reading(st, self) == 0) {
        return 0;
    }
    return ouro_tls_failed(st, self, failed);
}

int
ouro_tls_go_on(ouro_state *st, TlsObject *self)
{
    switch ((tls_state)self->state) {
    case TLS_DO_HANDSHAKE:
        return ouro_tls_do_handshake(st, self);
    case TLS_WRAPPED:
        return ouro_tls_do_read(st, self);
    case TLS_FLUSHING:
        return ouro_tls_do_flush(st, self);
    case TLS_SHUTDOWN:
        return ouro_tls_do_shutdown(st, self);
    case TLS_UNWRAPPED:
        break;
    }
    return 0;
}

/* ---- flow control ------------------------------------------------------ */

int
ouro_tls_resume(ouro_state *st, TlsObject *self)
{
    return self->state == TLS_DO_HANDSHAKE ? 0 : ouro_tls_go_on(st, self);
}

int
ouro_tls_resume_reading(ouro_state *st, TlsObject *self)
{
    if (!self->app_reading_paused) {
        return 0;
    }
    self->app_reading_paused = false;
    return call_soon(st, self, "_resume");
}

/* Pause or resume the transport below. */
static int
pause_below(ouro_state *st, TlsObject *self, bool pause)
{
    self->ssl_reading_paused = pause;
    PyObject *transport = Py_NewRef(ouro_or_none(self->transport));
    const transport_ops *ops = ouro_transport_ops(st, transport);
    int result;
    if (ops != NULL) {
        result = pause ? ops->pause_reading(transport)
                       : ops->resume_reading(transport);
    }
    else {
        result = ouro_drop_result(PyObject_CallMethodNoArgs(
            transport,
            pause ? st->str.pause_reading : st->str.resume_reading));
    }
    Py_DECREF(transport);
    return result;
}

int
ouro_tls_control_reading(ouro_state *st, TlsObject *self)
{
    Py_ssize_t pending = ouro_tls_pending(st, self->incoming);
    if (pending < 0) {
        return -1;
    }
    if (!self->ssl_reading_paused) {
        return (size_t)pending >= self->in_high ? pause_below(st, self, true)
                                                : 0;
    }
    return (size_t)pending <= self->in_low ? pause_below(st, self, false) : 0;
}
