/* bytes.h - bytes objects for what has been received. */
#ifndef OURO_BYTES_H
#define OURO_BYTES_H

#include "base/state.h"

/* New bytes with a copy of data; NULL: MemoryError. */
PyObject *ouro_bytes_new(ouro_state *st, const char *data, Py_ssize_t size);

#endif
