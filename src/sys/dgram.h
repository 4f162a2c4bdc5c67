/* dgram.h - datagrams: received several at a time where they come several at
 * a time, and a queue of those that are still to be sent.
 *
 * Receiving: a socket whose datagrams come one by one is read by recvfrom(),
 * one for each event.  Every few of those several are asked for by one
 * recvmmsg(), and as long as that finds more than one, it is what is used.
 *
 * Sending: what a socket does not take at once, or what its owner wants to
 * go by one call, waits in a queue, which ou_dgram_queue_send() empties by
 * sendmmsg().
 *
 * Belongs to the loop's thread.
 */
#ifndef OU_DGRAM_H
#define OU_DGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "sys/address.h"

typedef struct ou_loop ou_loop;

enum {
    OU_DGRAM_BATCH = 16, /* datagrams asked for by one call */
    OU_DGRAM_PROBE = 8,  /* single ones in a row until several are asked for */
    OU_DGRAM_DOUBT = 4,  /* at most */
    OU_DGRAM_LARGEST = 64 * 1024, /* bytes of the largest in a batch */
};

/* ---- receiving --------------------------------------------------------- */

/* What has been received; valid until somebody reads on the loop again. */
typedef struct ou_dgram {
    const char *data;
    size_t size;
    const struct sockaddr *from;
    socklen_t from_length; /* 0: nobody's */
} ou_dgram;

/* How the datagrams of a socket have come so far; all zero bytes at first. */
typedef struct ou_dgram_pace {
    uint8_t singles; /* received one by one since a batch was tried */
    uint8_t doubt;   /* batches in vain lately: 2^doubt times as many singles
                        come before the next one */
    bool batches;    /* the last batch had several */
} ou_dgram_pace;

/* Where the datagrams of all sockets of a loop are put. */
typedef struct ou_dgram_inlet ou_dgram_inlet;

void ou_dgram_inlet_free(ou_dgram_inlet *inlet);

/* Receive what fd has: the number of datagrams in *ret, at least 1, or
 * -errno.  pace NULL: one, which may be as large as OU_SCRATCH_SIZE; in
 * batches what is larger than OU_DGRAM_LARGEST is cut. */
int ou_dgram_receive(ou_loop *loop, int fd, ou_dgram_pace *pace,
                     const ou_dgram **ret);

/* ---- sending ----------------------------------------------------------- */

/* Send one datagram, `to` NULL: to whom fd is connected.  0 or -errno. */
int ou_dgram_send(int fd, const void *data, size_t size, const ou_address *to);

typedef struct ou_dgram_out {
    struct ou_dgram_out *next;
    const void *data;
    size_t size;
    void *owner;   /* of data; given back when it has been sent or dropped */
    ou_address to; /* length 0: whom the socket is connected to */
    bool foreign;  /* not the engine's to send */
} ou_dgram_out;

/* All zero bytes but for release() is an empty queue. */
typedef struct ou_dgram_queue {
    ou_dgram_out *head;
    ou_dgram_out *tail;
    size_t count;
    size_t size; /* bytes of all of them */
    /* Gives the reference to an owner back; must not touch the queue unless
     * that was foreign. */
    void (*release)(void *owner);
} ou_dgram_queue;

static inline bool
ou_dgram_queue_empty(const ou_dgram_queue *queue)
{
    return queue->head == NULL;
}

/* Append a datagram, whose data the owner keeps alive and unchanged; the
 * reference to the owner passes to the queue.  to NULL: to whom the socket is
 * connected.  foreign: ou_dgram_queue_send() stops in front of it.  0, or
 * -ENOMEM (then nothing has changed, and the reference stays with the
 * caller). */
int ou_dgram_queue_push(ou_dgram_queue *queue, const void *data, size_t size,
                        void *owner, const ou_address *to, bool foreign);

/* Send in order.  0: the queue is empty, or its head is foreign; -EAGAIN:
 * the socket takes no more now; another -errno: so the head, which stays, was
 * refused. */
int ou_dgram_queue_send(ou_dgram_queue *queue, int fd);

/* Take the head out. */
void ou_dgram_queue_drop(ou_dgram_queue *queue);
void ou_dgram_queue_clear(ou_dgram_queue *queue);

#endif
