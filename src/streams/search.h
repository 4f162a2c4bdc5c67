/* search.h - finding the end of a message: separators in a buffer. */
#ifndef OURO_STREAMS_SEARCH_H
#define OURO_STREAMS_SEARCH_H

#include "base/ouro.h"

typedef enum search_result {
    SEARCH_FOUND,   /* it starts and ends at these offsets */
    SEARCH_MORE,    /* it is not there: more bytes are needed */
    SEARCH_OVERRUN, /* it is not there, in more bytes than the limit allows */
} search_result;

typedef struct search_match {
    /* In: up to where there is no separator; when there is none in more
     * bytes, moved on for the next search (SEARCH_MORE), or how many bytes
     * could be consumed without missing one (SEARCH_OVERRUN). */
    Py_ssize_t offset;
    Py_ssize_t start;
    Py_ssize_t end;
} search_match;

/* Look for the separator that ends first.  separators: bytes, a tuple of
 * bytes in the order of their lengths, or NULL for a newline. */
search_result ouro_search(PyObject *separators, const char *data,
                          Py_ssize_t size, Py_ssize_t limit,
                          search_match *match);

/* The argument of readuntil() as a list in the order of the lengths, or NULL
 * with asyncio's exception if there are none or one is empty. */
PyObject *ouro_separators_sorted(ouro_state *st, PyObject *separator);

/* What ouro_search() takes, made of that list. */
PyObject *ouro_separators_bytes(PyObject *sorted);

#endif
