/* process.h - Process: a child process with its streams. */
#ifndef OURO_STREAMS_PROCESS_H
#define OURO_STREAMS_PROCESS_H

#include "base/await.h"
#include "streams/common.h"

typedef struct ProcessObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *transport;
    PyObject *protocol;
    PyObject *loop;
    PyObject *streams[3]; /* stdin, stdout, stderr: or None */
    PyObject *pid;
} ProcessObject;

/* Process(transport, protocol, loop) */
PyObject *ouro_process_new(ouro_state *st, PyObject *transport,
                           PyObject *protocol, PyObject *loop);

/* communicate.c: communicate() and what it is made of. */
extern const ouro_async_def ouro_process_communicate[];

#endif
