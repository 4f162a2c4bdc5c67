/* reader.c - StreamReader: what comes in, and the waiter that it wakes.
 *
 * The coroutines that read begin in readops.c; what Python sees is in
 * reader_type.c.
 */
#include "streams/reader.h"

#include "streams/protocol.h"
#include "streams/readops.h"
#include "task/future.h"

/* ---- the buffer --------------------------------------------------------- */

/* A bytearray's change may be refused while somebody has a view of it. */
static int
storage_resize(StreamReaderObject *reader, size_t size)
{
    return PyByteArray_Resize(reader->storage, (Py_ssize_t)size);
}

/* Add bytes, no more. 0 or -1. */
static int
reader_append(StreamReaderObject *reader, const char *data, size_t size)
{
    if (reader->storage == NULL) {
        if (stream_buffer_append(&reader->buffer, data, size) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        return 0;
    }
    size_t held = ouro_reader_size(reader);
    if (storage_resize(reader, held + size) < 0) {
        return -1;
    }
    memcpy(PyByteArray_AS_STRING(reader->storage) + held, data, size);
    return 0;
}

int
ouro_reader_skip(StreamReaderObject *reader, size_t size)
{
    if (reader->storage == NULL) {
        stream_buffer_skip(&reader->buffer, size);
        return 0;
    }
    if (size == ouro_reader_size(reader)) {
        return storage_resize(reader, 0);
    }
    return PySequence_DelSlice(reader->storage, 0, (Py_ssize_t)size);
}

PyObject *
ouro_reader_take(StreamReaderObject *reader, size_t size)
{
    PyObject *data =
        PyBytes_FromStringAndSize(ouro_reader_start(reader), (Py_ssize_t)size);
    if (data != NULL && ouro_reader_skip(reader, size) < 0) {
        Py_CLEAR(data);
    }
    return data;
}

int
ouro_reader_put_back(StreamReaderObject *reader, PyObject *data)
{
    if (reader->storage != NULL) {
        return PySequence_SetSlice(reader->storage, 0, 0, data);
    }
    if (stream_buffer_put_back(&reader->buffer, PyBytes_AS_STRING(data),
                               (size_t)PyBytes_GET_SIZE(data))
        < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* bytearray.extend() is what asyncio calls: it takes iterables of ints, too,
 * and says what it does not take. */
static PyObject *
extended(PyObject *storage, PyObject *data)
{
    return PyObject_CallMethod(storage, "extend", "O", data);
}

static OURO_COLD int
append_any(StreamReaderObject *reader, PyObject *data)
{
    PyObject *copy = PyByteArray_FromStringAndSize(NULL, 0);
    PyObject *none = copy == NULL ? NULL : extended(copy, data);
    int result = -1;
    if (none != NULL) {
        result = reader_append(reader, PyByteArray_AS_STRING(copy),
                               (size_t)PyByteArray_GET_SIZE(copy));
        Py_DECREF(none);
    }
    Py_XDECREF(copy);
    return result;
}

static int
append_object(StreamReaderObject *reader, PyObject *data)
{
    if (reader->storage != NULL) {
        return ouro_drop_result(extended(reader->storage, data));
    }
    if (PyBytes_CheckExact(data)) {
        return reader_append(reader, PyBytes_AS_STRING(data),
                             (size_t)PyBytes_GET_SIZE(data));
    }
    Py_buffer view;
    if (!PyObject_CheckBuffer(data)
        || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return append_any(reader, data);
    }
    int result = reader_append(reader, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return result;
}

/* ---- the waiter --------------------------------------------------------- */

void
ouro_reader_set_waiter(StreamReaderObject *reader, PyObject *fut,
                       AwaitObject *parked)
{
    PyObject *old_waiter = reader->waiter;
    AwaitObject *old_parked = reader->parked;
    reader->waiter = Py_XNewRef(fut);
    reader->parked = (AwaitObject *)Py_XNewRef((PyObject *)parked);
    if (reader->feeder != NULL) {
        ouro_stream_protocol_root(reader->feeder, fut != NULL ? reader : NULL);
    }
    Py_XDECREF(old_waiter);
    Py_XDECREF((PyObject *)old_parked);
}

/* Take the waiter out, and say who is to be told: a new reference, or NULL
 * (nobody waits, or the waiter has been cancelled); *ret_error: -1. */
static PyObject *
take_waiter(ouro_state *st, StreamReaderObject *reader, int *ret_error)
{
    PyObject *waiter = reader->waiter;
    *ret_error = 0;
    if (waiter == NULL) {
        return NULL;
    }
    Py_INCREF(waiter);
    ouro_reader_set_waiter(reader, NULL, NULL);
    int cancelled = ouro_anyfuture_cancelled(st, waiter);
    if (cancelled != 0) {
        *ret_error = cancelled < 0 ? -1 : 0;
        Py_CLEAR(waiter);
    }
    return waiter;
}

int
ouro_reader_wakeup_waiter(ouro_state *st, StreamReaderObject *reader)
{
    int result;
    PyObject *waiter = take_waiter(st, reader, &result);
    if (waiter != NULL) {
        result = ouro_anyfuture_set_result(st, waiter, Py_None);
        Py_DECREF(waiter);
    }
    return result;
}

/* As a method, where it may be overridden. */
static int
wake(ouro_state *st, StreamReaderObject *reader)
{
    return ouro_reader_plain(st, reader)
               ? ouro_reader_wakeup_waiter(st, reader)
               : ouro_streams_call((PyObject *)reader, st->str._wakeup_waiter,
                                   NULL);
}

int
ouro_reader_set_exception(ouro_state *st, StreamReaderObject *reader,
                          PyObject *exception)
{
    Py_XSETREF(reader->exception,
               exception == Py_None ? NULL : Py_NewRef(exception));
    int result;
    PyObject *waiter = take_waiter(st, reader, &result);
    if (waiter != NULL) {
        result = ouro_anyfuture_set_exception(st, waiter, exception);
        Py_DECREF(waiter);
    }
    return result;
}

/* ---- pausing the transport ---------------------------------------------- */

static bool
over_limit(size_t size, Py_ssize_t limit)
{
    return limit < 0 || size > (size_t)limit;
}

/* The buffer has grown to `size` bytes. */
static int
maybe_pause(ouro_state *st, StreamReaderObject *reader, size_t size)
{
    if (reader->transport == NULL || reader->paused
        || !over_limit(size, reader->high)) {
        return 0;
    }
    PyObject *transport = Py_NewRef(reader->transport);
    int result = ouro_transport_pause_reading(st, transport);
    Py_DECREF(transport);
    if (result == 0) {
        reader->paused = true;
    }
    else if (PyErr_ExceptionMatches(PyExc_NotImplementedError)) {
        /* It cannot be paused: all has to be buffered. */
        PyErr_Clear();
        Py_CLEAR(reader->transport);
        result = 0;
    }
    return result;
}

int
ouro_reader_resume(ouro_state *st, StreamReaderObject *reader)
{
    reader->paused = false;
    PyObject *transport =
        Py_NewRef(reader->transport != NULL ? reader->transport : Py_None);
    int result = ouro_transport_resume_reading(st, transport);
    Py_DECREF(transport);
    return result;
}

int
ouro_reader_maybe_resume(ouro_state *st, StreamReaderObject *reader)
{
    if (!reader->paused
        || over_limit(ouro_reader_size(reader), reader->limit)) {
        return 0;
    }
    return ouro_reader_resume(st, reader);
}

int
ouro_reader_set_transport(ouro_state *st, StreamReaderObject *reader,
                          PyObject *transport)
{
    if (ouro_streams_assert(st, reader->transport == NULL,
                            "Transport already set")
        < 0) {
        return -1;
    }
    Py_XSETREF(reader->transport,
               transport == Py_None ? NULL : Py_NewRef(transport));
    return 0;
}

/* ---- feeding ------------------------------------------------------------ */

int
ouro_reader_feed_data(ouro_state *st, StreamReaderObject *reader,
                      PyObject *data)
{
    if (ouro_streams_assert(st, !reader->eof, "feed_data after feed_eof")
        < 0) {
        return -1;
    }
    int truth = PyObject_IsTrue(data);
    if (truth <= 0) {
        return truth;
    }
    if (append_object(reader, data) < 0 || wake(st, reader) < 0) {
        return -1;
    }
    return maybe_pause(st, reader, ouro_reader_size(reader));
}

int
ouro_reader_feed_eof(ouro_state *st, StreamReaderObject *reader)
{
    reader->eof = true;
    return wake(st, reader);
}

/* Who waits is a coroutine of ours, on a future that is ours and pending. */
static bool
waits_natively(ouro_state *st, StreamReaderObject *reader)
{
    PyObject *waiter = reader->waiter;
    return reader->parked != NULL && Py_TYPE(waiter) == st->types.Future
           && ((FutureObject *)waiter)->state == FUTURE_PENDING;
}

/* Keep the bytes, if they are not in the buffer already, and wake who waits.
 */
static int
receive_and_wake(ouro_state *st, StreamReaderObject *reader, const char *data,
                 size_t size)
{
    if (data != NULL && reader_append(reader, data, size) < 0) {
        return -1;
    }
    if (ouro_reader_wakeup_waiter(st, reader) < 0) {
        return -1;
    }
    return maybe_pause(st, reader, ouro_reader_size(reader));
}

/* The parked coroutine has what it wants: wake its task, at once where that
 * is allowed.  If it was queued instead, what it has taken goes back into the
 * buffer until it runs, for everybody to see. */
static int
wake_satisfied(StreamReaderObject *reader)
{
    FutureObject *waiter = (FutureObject *)Py_NewRef(reader->waiter);
    AwaitObject *op = (AwaitObject *)Py_NewRef((PyObject *)reader->parked);
    ouro_reader_set_waiter(reader, NULL, NULL);
    int result = ouro_future_set_result_now(waiter, Py_None);
    ouro_readop_recall(op);
    Py_DECREF(waiter);
    Py_DECREF((PyObject *)op);
    return result;
}

/* `total` bytes were there, and what was wanted of them has been taken.  The
 * transport is paused as if all had been buffered first, but not under
 * somebody who waits for more. */
static int
pause_behind(ouro_state *st, StreamReaderObject *reader, size_t total)
{
    if (reader->waiter != NULL
        || !over_limit(ouro_reader_size(reader), reader->limit)) {
        return 0;
    }
    return maybe_pause(st, reader, total);
}

/* The first `used` bytes have been taken: the rest is kept. */
static int
receive_satisfied(ouro_state *st, StreamReaderObject *reader, const char *data,
                  size_t size, size_t used)
{
    if (size > used && reader_append(reader, data + used, size - used) < 0) {
        return -1;
    }
    return wake_satisfied(reader) < 0 ? -1 : pause_behind(st, reader, size);
}

/* The same with bytes that have joined others in the buffer. */
static int
received(ouro_state *st, StreamReaderObject *reader)
{
    size_t total = stream_buffer_size(&reader->buffer), used;
    switch (ouro_readop_offer(reader->parked, ouro_reader_start(reader), total,
                              &used)) {
    case READOP_FAIL:
        return -1;
    case READOP_WAIT:
        return 0;
    case READOP_WAKE:
        return receive_and_wake(st, reader, NULL, 0);
    case READOP_SATISFIED:
        break;
    }
    stream_buffer_skip(&reader->buffer, used);
    return wake_satisfied(reader) < 0 ? -1 : pause_behind(st, reader, total);
}

int
ouro_reader_receive(ouro_state *st, StreamReaderObject *reader,
                    const char *data, size_t size)
{
    if (ouro_streams_assert(st, !reader->eof, "feed_data after feed_eof")
        < 0) {
        return -1;
    }
    if (!waits_natively(st, reader) || reader->storage != NULL) {
        return receive_and_wake(st, reader, data, size);
    }
    if (stream_buffer_size(&reader->buffer) > 0) {
        return reader_append(reader, data, size) < 0 ? -1
                                                     : received(st, reader);
    }
    size_t used;
    switch (ouro_readop_offer(reader->parked, data, size, &used)) {
    case READOP_FAIL:
        return -1;
    case READOP_WAIT:
        return reader_append(reader, data, size);
    case READOP_WAKE:
        return receive_and_wake(st, reader, data, size);
    case READOP_SATISFIED:
        break;
    }
    return receive_satisfied(st, reader, data, size, used);
}
