/* connect.h - what the several ways of making a connection share. */
#ifndef OURO_CONNECT_H
#define OURO_CONNECT_H

#include "loop/frame.h"
#include "loop/loop.h"

/* The arguments of _create_connection_transport(). */
enum {
    TRANSPORT_SOCK,
    TRANSPORT_FACTORY,
    TRANSPORT_SSL,
    TRANSPORT_HOSTNAME,
    TRANSPORT_SERVER_SIDE,
    TRANSPORT_HANDSHAKE_TIMEOUT,
    TRANSPORT_SHUTDOWN_TIMEOUT,
    TRANSPORT_ARGS,
};

/* A coroutine (owned) that makes protocol and transport for a connected
 * socket object and returns both when connection_made() has been called. */
PyObject *ouro_connection_transport(ouro_state *st, PyObject *loop,
                                    PyObject *const *args);

/* loop.sock_connect(sock, address): an awaitable (owned). */
PyObject *ouro_sock_connect(ouro_state *st, PyObject *loop, PyObject *sock,
                            PyObject *address);

/* Are these timeouts given without `ssl`?  ValueError "... is only
 * meaningful with ssl" (-1), or 0. */
int ouro_check_ssl_timeouts(bool ssl, PyObject *handshake, PyObject *shutdown);

/* TypeError for an SSLSocket (-1), or 0. */
int ouro_check_ssl_socket(ouro_state *st, PyObject *sock);

/* ValueError "A Stream Socket was expected" (-1), or 0. */
int ouro_check_stream_socket(ouro_state *st, PyObject *sock);

/* sock.setblocking(False). 0 or -1. */
int ouro_set_nonblocking(ouro_state *st, PyObject *sock);

/* sock.close() while an exception is set, which stays. */
void ouro_close_socket(ouro_state *st, PyObject *sock);

#endif
