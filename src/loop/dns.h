/* dns.h - names to addresses. */
#ifndef OURO_DNS_H
#define OURO_DNS_H

#include "base/await.h"

/* loop._ensure_resolved((host, port, ...), family=..., type=..., proto=...,
 * flags=..., loop=loop), on plain loops without going by the method: an
 * awaitable (owned).  address: any sequence. */
PyObject *ouro_ensure_resolved(ouro_state *st, PyObject *loop,
                               PyObject *address, PyObject *family,
                               PyObject *type, PyObject *proto,
                               PyObject *flags);

/* socket.<name> (owned). */
PyObject *ouro_socket_attr(ouro_state *st, const char *name);

#endif
