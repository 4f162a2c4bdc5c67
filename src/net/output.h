/* output.h - what sockets and pipes do alike with what is written to them. */
#ifndef OURO_OUTPUT_H
#define OURO_OUTPUT_H

#include "net/transport.h"
#include "sys/outbuf.h"

/* Whether what is written now may wait for the end of the job, unless the
 * kernel has taken no more the last time. */
static inline bool
ouro_output_may_gather(ouro_state *st, TransportObject *self)
{
    return self->native && ouro_transport_fast(st, self)
           && ((LoopCore *)self->loop)->running
           && !ouro_loop_elsewhere((LoopObject *)self->loop);
}

/* Keep bytes that belong to `owner` for later, by reference.  0 or -1. */
static inline int
ouro_output_refer(ou_outbuf *out, PyObject *owner, const char *bytes,
                  size_t size)
{
    if (ou_outbuf_refer(out, bytes, size, owner, ouro_release_object) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(owner);
    return 0;
}

/* Keep bytes that are data's: by reference if they are many and cannot
 * change, else a copy.  0 or -1. */
static inline int
ouro_output_keep(ou_outbuf *out, PyObject *data, const char *bytes,
                 size_t size)
{
    if (size >= OU_OUT_REFER_SIZE && PyBytes_CheckExact(data)) {
        return ouro_output_refer(out, data, bytes, size);
    }
    if (ou_outbuf_copy(out, bytes, size) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

#endif
