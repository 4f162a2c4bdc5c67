/* transport_impl.h - shared by transport.c, lost.c and flow.c alone. */
#ifndef OURO_TRANSPORT_IMPL_H
#define OURO_TRANSPORT_IMPL_H

#include "net/transport.h"

extern const ou_job_kind ouro_transport_lost_kind;

/* The protocol's table, if its methods may be gone past now. */
static inline const protocol_ops *
ouro_transport_usable_ops(TransportObject *self)
{
    const protocol_ops *ops = self->ops;
    return ops != NULL && ouro_protocol_usable(ops, self->protocol) ? ops
                                                                    : NULL;
}

/* loop.call_soon(object.<method>, a, b); a and b may be NULL. */
int ouro_transport_call_soon(ouro_state *st, TransportObject *self,
                             PyObject *object, PyObject *method, PyObject *a,
                             PyObject *b);

/* call_exception_handler({message, exception, transport, protocol}). 0/-1. */
int ouro_transport_report(ouro_state *st, TransportObject *self,
                          const char *message, PyObject *exception);

/* Report `exception` as that of a handle for callback(*args). 0, or -1 if it
 * leaves the loop. */
int ouro_transport_callback_failed(PyObject *loop, PyObject *callback,
                                   PyObject *args, PyObject *context,
                                   PyObject *exception);

#endif
