/* bytes.c - bytes objects for what has been received.
 *
 * A server that gets messages of one size makes and drops an object of that
 * size for each: what malloc does for both, from a KiB on, takes longer than
 * all else here.  So the last one is kept, and if by then nobody else has it
 * any more, it is filled anew.
 */
#include "base/bytes.h"

#include <string.h>

/* Larger ones are not kept when they are idle. */
enum { SPARE_MAX = 16 * 1024 };

/* Whether nobody can see that the spare object changes.  (Those of no byte or
 * one are shared by the whole interpreter.) */
static bool
spare_fits(PyObject *spare, Py_ssize_t size)
{
    return spare != NULL && Py_REFCNT(spare) == 1
           && PyBytes_GET_SIZE(spare) == size;
}

PyObject *
ouro_bytes_new(ouro_state *st, const char *data, Py_ssize_t size)
{
    PyObject *spare = st->spare_bytes;
    if (spare_fits(spare, size)) {
        memcpy(PyBytes_AS_STRING(spare), data, (size_t)size);
        ouro_bytes_forget_hash(spare);
        return Py_NewRef(spare);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(data, size);
    if (bytes != NULL && size > 1 && size <= SPARE_MAX) {
        Py_XSETREF(st->spare_bytes, Py_NewRef(bytes));
    }
    return bytes;
}
