/* tcp.h - the transport of stream sockets (TCP and Unix).
 *
 * It is split in four: tcp_make.c begins one, tcp.c receives, tcp_send.c
 * sends, tcp_type.c is the Python type over them.
 */
#ifndef OURO_TCP_H
#define OURO_TCP_H

#include "net/address.h"
#include "net/transport.h"
#include "sys/outbuf.h"
#include "task/future.h"

typedef struct TcpObject {
    TransportObject base;
    bool eof;            /* write_eof() has been called */
    bool blocked;        /* the socket takes no more: wait until it does */
    uint8_t large;       /* how large its reads have been of late: 0, 1, 2 */
    uint32_t read_limit; /* max_size: bytes a read at most; 0: as it comes */
    ou_outbuf out;
    ou_job flush;           /* queued to the end of the job that writes */
    PyObject *empty_waiter; /* sendfile() waits for it, or NULL */
    ou_address local;       /* what extra information is made of; length 0: */
    ou_address peer;        /* ... it has been made when the transport was */
    int family;
    int proto; /* the socket object's, which may be 0 */
} TcpObject;

static inline TcpObject *
ouro_tcp(PyObject *object)
{
    return (TcpObject *)object;
}

/* ---- tcp_make.c -------------------------------------------------------- */

PyObject *ouro_tcp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
/* __init__(). 0 or -1. */
int ouro_tcp_start(ouro_state *st, TcpObject *self, PyObject *loop,
                   PyObject *sock, PyObject *protocol, PyObject *waiter,
                   PyObject *extra, PyObject *server);
/* The socket object, made when asked for first (owned); a closed one of a
 * closed transport. */
PyObject *ouro_tcp_socket(ouro_state *st, TcpObject *self);
/* The dictionary of extra information (borrowed), or NULL. */
PyObject *ouro_tcp_extra(TransportObject *base);

extern const struct net_ops ouro_net_ops;

/* ---- tcp.c: receiving -------------------------------------------------- */

extern const transport_kind ouro_tcp_kind;
extern const ou_job_kind ouro_tcp_in_kind;

/* What asyncio's _read_ready() does, and for a native transport what follows
 * from it for the watch. 0, or -1: an exception leaves the loop. */
int ouro_tcp_receive(ouro_state *st, TcpObject *self);

/* Begin or cease to watch for room to write. 0/-1. */
int ouro_tcp_watch_write(ouro_state *st, TcpObject *self, bool on);

int ouro_tcp_close(PyObject *self);

/* ---- tcp_send.c -------------------------------------------------------- */

extern const ou_job_kind ouro_tcp_out_kind;
extern const ou_job_kind ouro_tcp_flush_kind;

int ouro_tcp_write(PyObject *self, PyObject *data);
int ouro_tcp_writelines(PyObject *self, PyObject *list);
int ouro_tcp_write_eof(PyObject *self);

/* Send what has been gathered. 0, or -1: an exception leaves the loop. */
int ouro_tcp_flush(PyObject *self);
bool ouro_tcp_gathered(PyObject *self);

/* The socket takes bytes again. */
int ouro_tcp_send_more(ouro_state *st, TcpObject *self);

/* _make_empty_waiter(): a future (owned) that is done when all is sent. */
PyObject *ouro_tcp_make_empty_waiter(TcpObject *self);
/* Its end, if there is one: all is sent (exception NULL), or never will be.
 * 0 or -1. */
int ouro_tcp_end_empty_waiter(ouro_state *st, TcpObject *self,
                              PyObject *exception);

#endif
