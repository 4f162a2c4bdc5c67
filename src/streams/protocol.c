/* protocol.c - StreamReaderProtocol: from a transport to a StreamReader.
 *
 * The reader is held weakly, so that a stream that nobody uses any more is
 * noticed; while somebody waits for data it is held strongly, so that what a
 * socket can still wake is never collected.  A transport of ours calls by the
 * table at the end, others by the methods in protocol_type.c.
 */
#include "streams/protocol.h"

#include "net/protocol_ops.h"
#include "task/future.h"

/* ---- the reader --------------------------------------------------------- */

/* A new reference, or NULL: there is none (any more). */
PyObject *
ouro_stream_protocol_reader(StreamProtocolObject *self)
{
    PyObject *reader = NULL;
    if (self->rooted != NULL) {
        return Py_NewRef(self->rooted);
    }
    if (self->reader_ref != NULL
        && PyWeakref_GetRef(self->reader_ref, &reader) < 0) {
        PyErr_Clear(); /* cannot happen: it is a weak reference */
    }
    return reader;
}

/* The reader as one of ours whose methods need not be called, or NULL. */
static StreamReaderObject *
plain_reader(ouro_state *st, PyObject *reader)
{
    StreamReaderObject *ours = (StreamReaderObject *)reader;
    return ouro_reader_check(st, reader) && ouro_reader_plain(st, ours) ? ours
                                                                        : NULL;
}

void
ouro_stream_protocol_root(StreamProtocolObject *self,
                          StreamReaderObject *reader)
{
    Py_XSETREF(self->rooted, Py_XNewRef((PyObject *)reader));
}

void
ouro_stream_unlink(StreamReaderObject *reader)
{
    if (reader->feeder != NULL) {
        reader->feeder->fed = NULL;
        reader->feeder = NULL;
    }
}

static void
link_reader(StreamProtocolObject *self, StreamReaderObject *reader)
{
    StreamProtocolObject *before = reader->feeder;
    ouro_stream_unlink(reader);
    reader->feeder = self;
    self->fed = reader;
    if (reader->waiter != NULL) {
        ouro_stream_protocol_root(self, reader);
    }
    if (before != NULL) {
        ouro_stream_protocol_root(before, NULL);
    }
}

void
ouro_stream_protocol_detach(StreamProtocolObject *self)
{
    if (self->fed != NULL) {
        ouro_stream_unlink(self->fed);
    }
    Py_CLEAR(self->reader_ref);
    Py_CLEAR(self->rooted);
}

int
ouro_stream_protocol_attach(ouro_state *st, StreamProtocolObject *self,
                            PyObject *reader)
{
    ouro_stream_protocol_detach(self);
    if (reader == Py_None) {
        return 0;
    }
    self->reader_ref = PyWeakref_NewRef(reader, NULL);
    if (self->reader_ref == NULL) {
        return -1;
    }
    if (ouro_reader_check(st, reader)) {
        link_reader(self, (StreamReaderObject *)reader);
    }
    return 0;
}

/* ---- the end ------------------------------------------------------------ */

static int
settle_closed(ouro_state *st, PyObject *closed, PyObject *exc)
{
    return exc == NULL ? ouro_anyfuture_set_result(st, closed, Py_None)
                       : ouro_anyfuture_set_exception(st, closed, exc);
}

PyObject *
ouro_stream_protocol_closed(ouro_state *st, StreamProtocolObject *self)
{
    if (self->closed != NULL || !self->started) {
        return Py_XNewRef(self->closed);
    }
    PyObject *closed = ouro_create_future(st, self->flow.loop);
    if (closed == NULL) {
        return NULL;
    }
    Py_XSETREF(self->closed, Py_NewRef(closed));
    if (self->lost) {
        PyObject *exc = self->closed_exc;
        self->closed_exc = NULL;
        if (settle_closed(st, closed, exc) < 0) {
            Py_CLEAR(closed);
        }
        Py_XDECREF(exc);
    }
    return closed;
}

/* exc: NULL for None. */
static int
note_closed(ouro_state *st, StreamProtocolObject *self, PyObject *exc)
{
    if (self->closed == NULL) {
        if (!self->lost) {
            self->lost = true;
            self->closed_exc = Py_XNewRef(exc);
        }
        return 0;
    }
    PyObject *closed = Py_NewRef(self->closed);
    int result = ouro_anyfuture_done(st, closed);
    if (result == 0) {
        result = settle_closed(st, closed, exc);
    }
    Py_DECREF(closed);
    return result < 0 ? -1 : 0;
}

static int
tell_reader_lost(ouro_state *st, PyObject *reader, PyObject *exc)
{
    StreamReaderObject *ours = plain_reader(st, reader);
    if (exc == NULL) {
        return ours != NULL
                   ? ouro_reader_feed_eof(st, ours)
                   : ouro_streams_call(reader, st->str.feed_eof, NULL);
    }
    return ours != NULL
               ? ouro_reader_set_exception(st, ours, exc)
               : ouro_streams_call(reader, st->str.set_exception, exc);
}

int
ouro_stream_protocol_connection_lost(PyObject *object, PyObject *exc)
{
    ouro_state *st = ouro_state_of(object);
    StreamProtocolObject *self = ouro_stream_protocol(object);
    PyObject *reader = ouro_stream_protocol_reader(self);
    int result = 0;
    if (reader != NULL) {
        result = tell_reader_lost(st, reader, exc);
        Py_DECREF(reader);
    }
    if (result < 0 || note_closed(st, self, exc) < 0
        || ouro_flow_connection_lost(st, &self->flow,
                                     exc != NULL ? exc : Py_None)
               < 0) {
        return -1;
    }
    ouro_stream_protocol_detach(self);
    if (st->has.streams.forgets_writer) {
        Py_XSETREF(self->writer, Py_NewRef(Py_None));
    }
    Py_CLEAR(self->task);
    Py_CLEAR(self->transport);
    return 0;
}

/* ---- the beginning ------------------------------------------------------ */

/* transport.get_extra_info('sslcontext') is not None: 1, 0, -1. */
static int
is_over_ssl(ouro_state *st, PyObject *transport)
{
    PyObject *context = PyObject_CallMethodOneArg(
        transport, st->str.get_extra_info, st->str.sslcontext);
    if (context == NULL) {
        return -1;
    }
    Py_DECREF(context);
    return context != Py_None;
}

static int
note_over_ssl(ouro_state *st, StreamProtocolObject *self, PyObject *transport)
{
    int over_ssl = is_over_ssl(st, transport);
    if (over_ssl < 0) {
        return -1;
    }
    self->over_ssl = (char)over_ssl;
    return 0;
}

static int
reject(ouro_state *st, StreamProtocolObject *self, PyObject *transport)
{
    PyObject *context = Py_BuildValue(
        "{ss}", "message",
        "An open stream was garbage collected prior to establishing network "
        "connection; call \"stream.close()\" explicitly.");
    PyObject *origin = self->source_traceback;
    int truth = origin == NULL ? 0 : PyObject_IsTrue(origin);
    if (context == NULL || truth < 0
        || (truth > 0
            && PyDict_SetItem(context, st->str.source_traceback, origin)
                   < 0)) {
        Py_XDECREF(context);
        return -1;
    }
    if (ouro_loop_call_exception_handler(st, self->flow.loop, context) < 0) {
        return -1;
    }
    return ouro_streams_call(transport, st->str.abort, NULL);
}

static int
give_reader(ouro_state *st, PyObject *reader, PyObject *transport)
{
    StreamReaderObject *ours = plain_reader(st, reader);
    return ours != NULL
               ? ouro_reader_set_transport(st, ours, transport)
               : ouro_streams_call(reader, st->str.set_transport, transport);
}

static int
make_connection(ouro_state *st, StreamProtocolObject *self,
                PyObject *transport, PyObject *reader)
{
    Py_XSETREF(self->transport, Py_NewRef(transport));
    if ((reader != NULL && give_reader(st, reader, transport) < 0)
        || note_over_ssl(st, self, transport) < 0) {
        return -1;
    }
    if (self->client_connected_cb == NULL) {
        return 0;
    }
    int result = ouro_stream_protocol_serve(st, self, transport,
                                            reader != NULL ? reader : Py_None);
    if (result == 0) {
        Py_XSETREF(self->strong_reader, Py_NewRef(Py_None));
    }
    return result;
}

int
ouro_stream_protocol_connection_made(PyObject *object, PyObject *transport)
{
    ouro_state *st = ouro_state_of(object);
    StreamProtocolObject *self = ouro_stream_protocol(object);
    if (self->reject_connection) {
        return reject(st, self, transport);
    }
    PyObject *reader = ouro_stream_protocol_reader(self);
    int result = make_connection(st, self, transport, reader);
    Py_XDECREF(reader);
    return result;
}

int
ouro_stream_protocol_replace_transport(ouro_state *st,
                                       StreamProtocolObject *self,
                                       PyObject *transport)
{
    Py_XSETREF(self->transport, Py_NewRef(transport));
    if (note_over_ssl(st, self, transport) < 0) {
        return -1;
    }
    if (!st->has.streams.reader_replaces_transport) {
        return 0;
    }
    PyObject *reader = ouro_stream_protocol_reader(self);
    if (reader == NULL) {
        return 0;
    }
    int result =
        ouro_streams_call(reader, st->str._replace_transport, transport);
    Py_DECREF(reader);
    return result;
}

/* ---- data --------------------------------------------------------------- */

int
ouro_stream_protocol_feed(ouro_state *st, StreamProtocolObject *self,
                          PyObject *data)
{
    PyObject *reader = ouro_stream_protocol_reader(self);
    if (reader == NULL) {
        return 0;
    }
    StreamReaderObject *ours = plain_reader(st, reader);
    int result = ours != NULL
                     ? ouro_reader_feed_data(st, ours, data)
                     : ouro_streams_call(reader, st->str.feed_data, data);
    Py_DECREF(reader);
    return result;
}

int
ouro_stream_protocol_eof_received(PyObject *object)
{
    ouro_state *st = ouro_state_of(object);
    StreamProtocolObject *self = ouro_stream_protocol(object);
    PyObject *reader = ouro_stream_protocol_reader(self);
    int result = 0;
    if (reader != NULL) {
        result = tell_reader_lost(st, reader, NULL);
        Py_DECREF(reader);
    }
    /* An SSLProtocol warns if it is told to stay open. */
    return result < 0 ? -1 : !self->over_ssl;
}

/* ---- the table for transports of ours ----------------------------------- */

/* A reader with methods of its own is fed by methods, from a context. */
static bool
stream_usable(PyObject *object)
{
    ouro_state *st = ouro_state_of(object);
    if (!ouro_stream_protocol_plain(st, object)) {
        return false;
    }
    StreamProtocolObject *self = ouro_stream_protocol(object);
    if (self->rooted != NULL) {
        return ouro_reader_plain(st, (StreamReaderObject *)self->rooted);
    }
    PyObject *reader = ouro_stream_protocol_reader(self);
    if (reader == NULL) {
        return true;
    }
    bool plain = plain_reader(st, reader) != NULL;
    Py_DECREF(reader);
    return plain;
}

static int
stream_data_received(PyObject *object, const char *data, Py_ssize_t size)
{
    ouro_state *st = ouro_state_of(object);
    PyObject *reader =
        ouro_stream_protocol_reader(ouro_stream_protocol(object));
    if (reader == NULL) {
        return 0;
    }
    int result = ouro_reader_receive(st, (StreamReaderObject *)reader, data,
                                     (size_t)size);
    Py_DECREF(reader);
    return result;
}

static int
stream_pause_writing(PyObject *object)
{
    return ouro_flow_pause_writing(ouro_state_of(object), ouro_flow(object));
}

static int
stream_resume_writing(PyObject *object)
{
    return ouro_flow_resume_writing(ouro_state_of(object), ouro_flow(object));
}

static int
stream_take_unread(PyObject *object, PyObject **ret)
{
    StreamReaderObject *reader = ouro_stream_protocol(object)->fed;
    *ret = NULL;
    if (reader == NULL || !ouro_reader_plain(ouro_state_of(object), reader)) {
        return 0;
    }
    size_t size = ouro_reader_size(reader);
    if (size > 0) {
        *ret = ouro_reader_take(reader, size);
    }
    return size > 0 && *ret == NULL ? -1 : 1;
}

const protocol_ops ouro_stream_protocol_ops = {
    .usable = stream_usable,
    .connection_made = ouro_stream_protocol_connection_made,
    .data_received = stream_data_received,
    .eof_received = ouro_stream_protocol_eof_received,
    .connection_lost = ouro_stream_protocol_connection_lost,
    .take_unread = stream_take_unread,
    .pause_writing = stream_pause_writing,
    .resume_writing = stream_resume_writing,
};
