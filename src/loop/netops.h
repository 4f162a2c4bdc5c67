/* netops.h - what the loop needs of the transports, which stand above it.
 *
 * The net room fills one table, found in the module's state.
 */
#ifndef OURO_NETOPS_H
#define OURO_NETOPS_H

#include "base/ouro.h"
#include "sys/address.h"
#include "sys/io.h"

/* A connection that a listener of ours has accepted. */
typedef struct accepted {
    int fd; /* the callee closes it, also when it fails */
    ou_address peer;
    int family;
    int proto; /* the listening socket object's: may be 0 */
} accepted;

typedef struct net_ops {
    /* A transport for a socket object: what _make_socket_transport() makes.
     * waiter, extra, server may be NULL; context (from 3.15 on), too: then
     * each call gets a copy of the one that schedules it. */
    PyObject *(*make_stream)(ouro_state *st, PyObject *loop, PyObject *sock,
                             PyObject *protocol, PyObject *waiter,
                             PyObject *extra, PyObject *server,
                             PyObject *context);
    /* The same for datagrams: what _make_datagram_transport() makes.
     * address: the remote one, or NULL. */
    PyObject *(*make_datagram)(ouro_state *st, PyObject *loop, PyObject *sock,
                               PyObject *protocol, PyObject *address,
                               PyObject *waiter, PyObject *extra);
    /* On a fast loop: make protocol and transport of an accepted connection
     * in the next turn, in a copy of the current context. 0 or -1.  With a
     * context (from 3.15 on) that and all calls of the transport run in a
     * copy of it. */
    int (*accept)(ouro_state *st, PyObject *loop, PyObject *factory,
                  PyObject *server, PyObject *context,
                  const accepted *connection);
    /* The transport (borrowed) whose watch this is and which is not closing,
     * or NULL: what _ensure_fd_no_transport() asks. */
    PyObject *(*transport_of)(ou_io *io);
    /* What the reader behind this protocol has buffered is taken from it:
     * *ret are bytes (owned), or NULL: none.  1, 0: the protocol is not ours
     * or patched, or -1. */
    int (*take_unread)(ouro_state *st, PyObject *protocol, PyObject **ret);
    /* If this is the watch of a transport that shares its descriptor: from
     * now on by the loop's methods (add_reader(), add_writer()).  0 or -1. */
    int (*share)(ouro_state *st, ou_io *io);
} net_ops;

#endif
