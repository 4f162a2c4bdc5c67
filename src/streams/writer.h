/* writer.h - StreamWriter: a transport, with drain() to wait for it. */
#ifndef OURO_STREAMS_WRITER_H
#define OURO_STREAMS_WRITER_H

#include "base/await.h"
#include "streams/common.h"

typedef struct StreamWriterObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *transport;
    PyObject *protocol;
    PyObject *reader; /* or None */
    PyObject *loop;
    PyObject *complete_fut; /* NULL: nobody has asked for it yet */
} StreamWriterObject;

/* StreamWriter(transport, protocol, reader, loop); reader may be None. */
PyObject *ouro_writer_new(ouro_state *st, PyObject *transport,
                          PyObject *protocol, PyObject *reader,
                          PyObject *loop);

/* Something that a method uses has not been set: AttributeError. */
bool ouro_writer_complete(StreamWriterObject *writer);

/* writeops.c: drain(), wait_closed(), start_tls(). */
extern const ouro_async_def ouro_writer_async_methods[];
int ouro_writer_add_start_tls(ouro_state *st, PyTypeObject *type);

#endif
