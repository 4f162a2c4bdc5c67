/* protocol.h - StreamReaderProtocol: from a transport to a StreamReader. */
#ifndef OURO_STREAMS_PROTOCOL_H
#define OURO_STREAMS_PROTOCOL_H

#include "streams/flow.h"
#include "streams/reader.h"

struct StreamProtocolObject {
    FlowObject flow;
    PyObject *rooted;        /* the reader, while somebody waits for it */
    PyObject *reader_ref;    /* a weak reference, NULL: None */
    StreamReaderObject *fed; /* it, if it is ours and we are its feeder; not
                                owned: who goes first unlinks the two */
    PyObject *strong_reader; /* until a server's connection is made; NULL: no
                                such attribute */
    PyObject *source_traceback;
    PyObject *writer; /* _stream_writer; NULL: no such attribute */
    PyObject *task;
    PyObject *transport;
    PyObject *client_connected_cb;
    PyObject *closed;     /* a future; NULL: nobody has asked for it yet */
    PyObject *closed_exc; /* what it will fail with once somebody asks */
    char started;         /* __init__ has been called */
    char reject_connection;
    char over_ssl;
    char lost; /* `closed` is to be made done */
};

static inline StreamProtocolObject *
ouro_stream_protocol(PyObject *self)
{
    return (StreamProtocolObject *)self;
}

/* Nothing is overridden or patched. */
static inline bool
ouro_stream_protocol_plain(ouro_state *st, PyObject *protocol)
{
    return ouro_streams_untouched(protocol, &st->streams.StreamReaderProtocol,
                                  ouro_flow(protocol)->dict);
}

/* StreamReaderProtocol(reader, callback, loop); callback may be NULL. */
PyObject *ouro_stream_protocol_new(ouro_state *st, PyObject *reader,
                                   PyObject *callback, PyObject *loop);

/* Keep the reader alive (NULL: no longer). */
void ouro_stream_protocol_root(StreamProtocolObject *protocol,
                               StreamReaderObject *reader);

/* The reader's feeder is nobody's any more. */
void ouro_stream_unlink(StreamReaderObject *reader);

/* stream_reader, any object or None, is what the protocol feeds. 0 or -1. */
int ouro_stream_protocol_attach(ouro_state *st, StreamProtocolObject *self,
                                PyObject *reader);
void ouro_stream_protocol_detach(StreamProtocolObject *self);

/* _stream_reader: a new reference, or NULL for None. */
PyObject *ouro_stream_protocol_reader(StreamProtocolObject *self);

/* The methods of these names; exc: NULL for None.  0 or -1; eof_received():
 * truth. */
int ouro_stream_protocol_connection_made(PyObject *self, PyObject *transport);
int ouro_stream_protocol_connection_lost(PyObject *self, PyObject *exc);
int ouro_stream_protocol_feed(ouro_state *st, StreamProtocolObject *self,
                              PyObject *data);
int ouro_stream_protocol_eof_received(PyObject *self);
int ouro_stream_protocol_replace_transport(ouro_state *st,
                                           StreamProtocolObject *self,
                                           PyObject *transport);

/* The future that is done when the connection is lost: a new reference. */
PyObject *ouro_stream_protocol_closed(ouro_state *st,
                                      StreamProtocolObject *protocol);

/* handler.c: client_connected_cb(reader, writer), and the task that runs what
 * it returns. 0 or -1. */
int ouro_stream_protocol_serve(ouro_state *st, StreamProtocolObject *protocol,
                               PyObject *transport, PyObject *reader);

#endif
