/* udp.h - the transport of datagram sockets (UDP, and Unix ones).
 *
 * It is split in three: udp.c makes one and receives, udp_send.c sends,
 * udp_type.c is the Python type over them.
 *
 * The system calls are made by the engine for exact socket.socket objects of
 * the families that it knows; any other object's own methods are called.
 */
#ifndef OURO_UDP_H
#define OURO_UDP_H

#include "net/peers.h"
#include "net/transport.h"
#include "sys/dgram.h"

/* A datagram that has been received and not been delivered. */
typedef struct udp_received {
    PyObject *data;
    PyObject *from;
} udp_received;

typedef struct UdpObject {
    TransportObject base;
    ou_dgram_queue out;
    ou_dgram_pace pace;
    peer_cache peers;
    PyObject *address; /* the remote one, or NULL */
    udp_received *received;
    int received_next; /* the first that has not been delivered */
    int received_count;
    int family;     /* AF_UNSPEC: go by the socket object's methods */
    bool addressed; /* `address` is one: asyncio asks for its truth */
    bool connected; /* the socket has a peer */
    bool blocked;   /* the socket takes no more: wait until it does */
    bool gathering; /* a batch is being delivered: answers wait for its end */
} UdpObject;

static inline UdpObject *
ouro_udp(PyObject *object)
{
    return (UdpObject *)object;
}

/* ---- udp.c ------------------------------------------------------------- */

PyObject *ouro_udp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
/* __init__(); address, waiter and extra may be NULL. 0 or -1. */
int ouro_udp_start(ouro_state *st, UdpObject *self, PyObject *loop,
                   PyObject *sock, PyObject *protocol, PyObject *address,
                   PyObject *waiter, PyObject *extra);
/* _make_datagram_transport() */
PyObject *ouro_udp_make(ouro_state *st, PyObject *loop, PyObject *sock,
                        PyObject *protocol, PyObject *address,
                        PyObject *waiter, PyObject *extra);

extern const transport_kind ouro_udp_kind;
extern const ou_job_kind ouro_udp_in_kind;

/* _read_ready(). 0, or -1 with what the protocol raised. */
int ouro_udp_receive(ouro_state *st, UdpObject *self);

int ouro_udp_close(PyObject *self);

/* protocol.error_received() of the current exception, an OSError. 0, or -1
 * with what it raised. */
int ouro_udp_error_raised(ouro_state *st, UdpObject *self);

/* ---- udp_send.c -------------------------------------------------------- */

extern const ou_job_kind ouro_udp_out_kind;

/* sendto(); addr may be None. */
int ouro_udp_sendto(PyObject *self, PyObject *data, PyObject *addr);
/* Send what has been gathered. 0 or -1. */
int ouro_udp_flush(PyObject *self);
/* _sendto_ready() */
int ouro_udp_send_more(ouro_state *st, UdpObject *self);
/* get_write_buffer_size() */
size_t ouro_udp_waiting(TransportObject *base);

#endif
