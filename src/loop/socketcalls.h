/* socketcalls.h - whose calls a socket object is read and written by.
 *
 * A stream transport of ours sends and receives by the descriptor.  Where the
 * socket's class does it in its own way (a subclass that counts or encrypts,
 * a patched socket.socket), its methods are called, as asyncio calls them:
 * asyncio's own transport and our socket-object way of accepting do that.
 */
#ifndef OURO_SOCKETCALLS_H
#define OURO_SOCKETCALLS_H

#include "base/ouro.h"

#include <stdbool.h>

/* Whether recv(), recv_into(), send() or sendmsg() is the socket's own. */
bool ouro_socket_transfers(ouro_state *st, PyObject *sock);

/* Whether accept() is. */
bool ouro_socket_accepts(ouro_state *st, PyObject *sock);

/* A transport (owned) for the socket, ours or asyncio's; NULL: exception.
 * The arguments as in net_ops.make_stream. */
PyObject *ouro_make_stream(ouro_state *st, PyObject *loop, PyObject *sock,
                           PyObject *protocol, PyObject *waiter,
                           PyObject *extra, PyObject *server,
                           PyObject *context);

#endif
