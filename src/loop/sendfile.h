/* sendfile.h - what sending files over sockets and transports share. */
#ifndef OURO_SENDFILE_H
#define OURO_SENDFILE_H

#include "loop/frame.h"

/* A buffer to read into, of at most `limit` bytes, as a memoryview. */
PyObject *ouro_sendfile_buffer(Py_ssize_t count, Py_ssize_t limit);

/* The part of the buffer that the next block goes into (owned); None: all of
 * `count` has been sent. */
PyObject *ouro_sendfile_block(PyObject *buffer, Py_ssize_t count,
                              Py_ssize_t total);

/* loop.run_in_executor(None, file.readinto, block): a future (owned). */
PyObject *ouro_sendfile_read(ouro_state *st, PyObject *loop, PyObject *file,
                             PyObject *block);

/* file.seek(position), if it can; also while an exception is set. 0 or -1. */
int ouro_sendfile_seek(PyObject *file, Py_ssize_t position);

/* A count or offset argument: None is 0. -1 and an exception on failure. */
Py_ssize_t ouro_sendfile_number(PyObject *number);

/* Whether the current exception is a SendfileNotAvailableError. */
bool ouro_sendfile_unavailable(ouro_state *st);

/* Raise SendfileNotAvailableError(message). */
void ouro_sendfile_raise_unavailable(ouro_state *st, const char *message);

#endif
