/* tls_impl.h - shared by tls_protocol.c, tls_type.c and tls_transport.c
 * alone.
 */
#ifndef OURO_TLS_IMPL_H
#define OURO_TLS_IMPL_H

#include "net/methods.h"
#include "net/tls.h"

/* tls_type.c: what Python sees of an SSLProtocol. */
extern PyMethodDef ouro_tls_methods[];
extern PyMemberDef ouro_tls_members[];
extern PyGetSetDef ouro_tls_getset[];

/* Marks as the method of the transport sets them; the constant of asyncio's
 * says how many KiB if none are given. 0 or -1. */
int ouro_tls_set_limits(ouro_state *st, const char *constant, PyObject *high,
                        PyObject *low, size_t *ret_high, size_t *ret_low);

#endif
