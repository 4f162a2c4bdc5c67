/* reader.h - StreamReader: bytes from a transport, for a coroutine to read.
 *
 * Data comes in through feed_data() or, without a Python call, through
 * ouro_reader_receive(); it goes out through the coroutines of readops.c.  At
 * most one of them waits at a time: its future is in `waiter`, and if it is
 * one of ours it is in `parked` too, so that it can be completed straight
 * from what has just been received.
 */
#ifndef OURO_STREAMS_READER_H
#define OURO_STREAMS_READER_H

#include "base/await.h"
#include "streams/buffer.h"
#include "streams/common.h"

#define STREAM_DEFAULT_LIMIT (1 << 16) /* bytes */

typedef struct StreamProtocolObject StreamProtocolObject;

/* What each wake-up looks at comes first, close together. */
typedef struct StreamReaderObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *waiter;    /* a future, NULL: None */
    AwaitObject *parked; /* the coroutine of ours that waits for `waiter` */
    /* The protocol that feeds this reader keeps it alive while somebody
     * waits.  Not owned: the protocol takes itself out. */
    StreamProtocolObject *feeder;
    char eof;
    char paused;       /* we have paused the transport */
    PyObject *storage; /* the bytearray in place of `buffer`, once _buffer has
                          been looked at */
    stream_buffer buffer;
    PyObject *loop;
    PyObject *exception;    /* NULL: None */
    PyObject *transport;    /* NULL: None */
    Py_ssize_t limit;       /* bytes; see `_limit` */
    Py_ssize_t high;        /* pause the transport when more is buffered */
    PyObject *limit_object; /* _limit if it is no int, else NULL */
    PyObject *source_traceback;
    PyObject *weakrefs;
} StreamReaderObject;

/* An instance of our StreamReader or of a subclass. */
static inline bool
ouro_reader_check(ouro_state *st, PyObject *object)
{
    return PyObject_TypeCheck(object, st->types.StreamReader);
}

/* Nothing is overridden or patched: its methods need not be called as
 * methods. */
static inline bool
ouro_reader_plain(ouro_state *st, StreamReaderObject *reader)
{
    return ouro_streams_untouched((PyObject *)reader,
                                  &st->streams.StreamReader, reader->dict);
}

/* StreamReader(limit, loop), with any objects. */
PyObject *ouro_reader_new(ouro_state *st, PyObject *limit, PyObject *loop);

/* What _limit shows. */
PyObject *ouro_reader_limit(StreamReaderObject *reader);

/* What is buffered. */
static inline size_t
ouro_reader_size(StreamReaderObject *reader)
{
    return reader->storage == NULL
               ? stream_buffer_size(&reader->buffer)
               : (size_t)PyByteArray_GET_SIZE(reader->storage);
}

static inline const char *
ouro_reader_start(StreamReaderObject *reader)
{
    return reader->storage == NULL ? stream_buffer_start(&reader->buffer)
                                   : PyByteArray_AS_STRING(reader->storage);
}

/* Remove the first `size` bytes. 0, or -1: somebody has a view of _buffer. */
int ouro_reader_skip(StreamReaderObject *reader, size_t size);
/* Remove and return the first `size` bytes. */
PyObject *ouro_reader_take(StreamReaderObject *reader, size_t size);

/* Put bytes that were taken back before the first one. 0 or -1. */
int ouro_reader_put_back(StreamReaderObject *reader, PyObject *data);

/* Make fut the waiter (NULL: none), and parked the coroutine of ours that
 * waits for it (or NULL). */
void ouro_reader_set_waiter(StreamReaderObject *reader, PyObject *fut,
                            AwaitObject *parked);

/* feed_data() with bytes that a transport of ours has received, from a job of
 * the loop: may step the task that waits at once. */
int ouro_reader_receive(ouro_state *st, StreamReaderObject *reader,
                        const char *data, size_t size);

/* The methods of these names. 0 or -1. */
int ouro_reader_feed_data(ouro_state *st, StreamReaderObject *reader,
                          PyObject *data);
int ouro_reader_feed_eof(ouro_state *st, StreamReaderObject *reader);
int ouro_reader_set_exception(ouro_state *st, StreamReaderObject *reader,
                              PyObject *exception);
int ouro_reader_set_transport(ouro_state *st, StreamReaderObject *reader,
                              PyObject *transport);
/* _wakeup_waiter(). */
int ouro_reader_wakeup_waiter(ouro_state *st, StreamReaderObject *reader);
/* _maybe_resume_transport(). */
int ouro_reader_maybe_resume(ouro_state *st, StreamReaderObject *reader);
/* transport.resume_reading(), and it is no longer paused. */
int ouro_reader_resume(ouro_state *st, StreamReaderObject *reader);

#endif
