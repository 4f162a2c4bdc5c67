/* sockwatch.h - waiting for sockets of the user's own (sock_recv() and so
 * on).
 *
 * An operation is tried first; only if it would block is its descriptor
 * watched, edge triggered and from then on for as long as the socket lives,
 * so that the next operation finds the watch standing, and knows without a
 * system call when it need not try.  A watch is found by its descriptor and
 * belongs to one socket object: both numbers and objects are used again.
 *
 * On a loop that is not fast the operation waits as asyncio's does, by
 * loop._add_reader() or _add_writer().
 */
#ifndef OURO_SOCKWATCH_H
#define OURO_SOCKWATCH_H

#include "base/await.h"
#include "loop/loop.h"

/* The body of an operation.  Fields of its AwaitObject: owner is the loop, a
 * the socket, b belongs to this file; c and n are the kind's. */
typedef struct sock_kind {
    await_kind await;   /* with ouro_sockop_poll() and _abort() */
    unsigned direction; /* OU_IN or OU_OUT */
    /* Try once.  1: done, with *ret (owned); 0: it would block; -1:
     * exception.  fd may be -1, which then need not be asked for. */
    int (*attempt)(ouro_state *st, AwaitObject *op, int fd, PyObject **ret);
    /* The first try, if it differs, else NULL. */
    int (*first)(ouro_state *st, AwaitObject *op, int fd, PyObject **ret);
    /* Whether the arguments are such that a socket which is not ready makes
     * it block, and is not worth a try.  NULL: only a try can tell. */
    bool (*blocks)(AwaitObject *op);
} sock_kind;

await_status ouro_sockop_poll(AwaitObject *self, PyObject **ret);
await_status ouro_sockop_abort(AwaitObject *self, PyObject **ret);

/* A new operation on a socket; c may be NULL. */
AwaitObject *ouro_sockop_new(PyObject *loop, const sock_kind *kind,
                             PyObject *sock, PyObject *c);

/* What all sock_*() check: TypeError for an SSLSocket, in debug mode
 * ValueError for a blocking socket (-1), or 0. */
int ouro_sock_check(ouro_state *st, PyObject *loop, PyObject *sock);

/* The current exception says that a call would block: then it is cleared. */
bool ouro_would_block(void);

/* A socket.socket whose descriptor can be read without a call. */
static inline bool
ouro_sock_exact(ouro_state *st, PyObject *sock)
{
    return Py_TYPE(sock) == (PyTypeObject *)st->stock.socket_type
           && st->reads_socket_fd;
}

/* The descriptor (-1 of a closed socket), or -1 with an exception. */
int ouro_sock_fileno(ouro_state *st, PyObject *sock);

/* A read of `wanted` bytes has brought `got`: see whether that was all. */
void ouro_sock_read(PyObject *loop, int fd, size_t got, size_t wanted);

/* Somebody else wants to watch fd (ou_io_start() said -EEXIST): true if it
 * was a watch of this file's, which is given up. */
bool ouro_sockwatch_release(PyObject *loop, int fd);

#endif
