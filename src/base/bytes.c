/* bytes.c - bytes objects for what has been received.
 *
 * A server that gets messages of one size makes and drops an object of that
 * size for each: what malloc does for both, from a KiB on, takes longer than
 * all else here.  So a few that were given out are kept in a ring, and one
 * that nobody else has any more is filled anew: the last one, which is hot,
 * where it is dropped before the next comes; or the oldest, where each
 * connection has one until its next.
 */
#include "base/bytes.h"

#include <string.h>

/* Larger ones would be too much to keep. */
enum { SPARE_MAX = 4 * 1024 };

/* Whether nobody can see that the spare object changes.  (Those of no byte or
 * one, which the whole interpreter shares, are none.) */
static inline bool
spare_fits(PyObject *spare, Py_ssize_t size)
{
    return spare != NULL && Py_REFCNT(spare) == 1
           && PyBytes_GET_SIZE(spare) == size;
}

static PyObject *
spare_fill(PyObject *spare, const char *data, Py_ssize_t size)
{
    memcpy(PyBytes_AS_STRING(spare), data, (size_t)size);
    ouro_bytes_forget_hash(spare);
    return Py_NewRef(spare);
}

PyObject *
ouro_bytes_new(ouro_state *st, const char *data, Py_ssize_t size)
{
    if (size <= 1 || size > SPARE_MAX) {
        return PyBytes_FromStringAndSize(data, size);
    }
    ouro_spares *spares = &st->spares;
    PyObject *last = spares->objects[spares->last];
    if (spare_fits(last, size)) {
        return spare_fill(last, data, size);
    }
    unsigned next = (spares->last + 1) % OURO_SPARES;
    PyObject *oldest = spares->objects[next];
    if (spare_fits(oldest, size)) {
        spares->last = next;
        return spare_fill(oldest, data, size);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(data, size);
    if (bytes != NULL) {
        Py_XSETREF(spares->objects[next], Py_NewRef(bytes));
        spares->last = next;
    }
    return bytes;
}
