/* createserver.h - what the ways of making a server share. */
#ifndef OURO_CREATESERVER_H
#define OURO_CREATESERVER_H

#include "base/ouro.h"

/* A coroutine (owned) that makes a Server over sockets (a list of bound ones)
 * and starts it if told so: args are sockets, protocol_factory, ssl, backlog,
 * ssl_handshake_timeout, ssl_shutdown_timeout, start_serving. */
PyObject *ouro_serve(ouro_state *st, PyObject *loop, PyObject *const *args);

/* base_events._set_reuseport(). 0 or -1. */
int ouro_set_reuseport(ouro_state *st, PyObject *sock);

#endif
