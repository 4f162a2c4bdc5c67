/* dgram.c - datagrams (see dgram.h). */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE /* recvmmsg, sendmmsg */
#endif
#include "sys/dgram.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/loop.h"

/* ---- receiving --------------------------------------------------------- */

struct ou_dgram_inlet {
    ou_dgram received[OU_DGRAM_BATCH];
    struct sockaddr_storage names[OU_DGRAM_BATCH];
    struct mmsghdr headers[OU_DGRAM_BATCH];
    struct iovec pieces[OU_DGRAM_BATCH];
    /* Small datagrams touch, and so cost, no more than a page of theirs. */
    char memory[OU_DGRAM_BATCH][OU_DGRAM_LARGEST];
};

/* Tell where a batch is to go. */
static void
inlet_lay_out(ou_dgram_inlet *inlet)
{
    for (size_t i = 0; i < OU_DGRAM_BATCH; i++) {
        inlet->pieces[i] = (struct iovec){
            .iov_base = inlet->memory[i],
            .iov_len = sizeof(inlet->memory[i]),
        };
        inlet->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &inlet->names[i],
            .msg_namelen = sizeof(inlet->names[i]),
            .msg_iov = &inlet->pieces[i],
            .msg_iovlen = 1,
        };
    }
}

static ou_dgram_inlet *
inlet_of(ou_loop *loop)
{
    if (loop->datagrams == NULL) {
        loop->datagrams = malloc(sizeof(ou_dgram_inlet));
        if (loop->datagrams != NULL) {
            inlet_lay_out(loop->datagrams);
        }
    }
    return loop->datagrams;
}

void
ou_dgram_inlet_free(ou_dgram_inlet *inlet)
{
    free(inlet);
}

static int
receive_one(ou_loop *loop, ou_dgram_inlet *inlet, int fd)
{
    char *scratch = ou_loop_scratch(loop);
    if (scratch == NULL) {
        return -ENOMEM;
    }
    socklen_t length;
    ssize_t n;
    do {
        length = sizeof(inlet->names[0]);
        n = recvfrom(fd, scratch, OU_SCRATCH_SIZE, 0,
                     (struct sockaddr *)&inlet->names[0], &length);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    inlet->received[0] = (ou_dgram){
        .data = scratch,
        .size = (size_t)n,
        .from = (const struct sockaddr *)&inlet->names[0],
        .from_length = length,
    };
    return 1;
}

static int
receive_batch(ou_dgram_inlet *inlet, int fd)
{
    int n;
    do {
        n = recvmmsg(fd, inlet->headers, OU_DGRAM_BATCH, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    for (int i = 0; i < n; i++) {
        struct mmsghdr *header = &inlet->headers[i];
        inlet->received[i] = (ou_dgram){
            .data = inlet->pieces[i].iov_base,
            .size = header->msg_len,
            .from = (const struct sockaddr *)&inlet->names[i],
            .from_length = header->msg_hdr.msg_namelen,
        };
        header->msg_hdr.msg_namelen = sizeof(inlet->names[i]);
    }
    return n;
}

int
ou_dgram_receive(ou_loop *loop, int fd, ou_dgram_pace *pace,
                 const ou_dgram **ret)
{
    ou_dgram_inlet *inlet = inlet_of(loop);
    if (inlet == NULL) {
        return -ENOMEM;
    }
    *ret = inlet->received;
    if (pace == NULL) {
        return receive_one(loop, inlet, fd);
    }
    if (!pace->batches && pace->singles < OU_DGRAM_PROBE << pace->doubt) {
        pace->singles++;
        return receive_one(loop, inlet, fd);
    }
    int n = receive_batch(inlet, fd);
    if (n > 1) {
        pace->doubt = 0;
    }
    else if (!pace->batches && pace->doubt < OU_DGRAM_DOUBT) {
        pace->doubt++;
    }
    pace->batches = n > 1;
    pace->singles = 0;
    return n;
}

/* ---- sending ----------------------------------------------------------- */

int
ou_dgram_send(int fd, const void *data, size_t size, const ou_address *to)
{
    const struct sockaddr *name = NULL;
    socklen_t length = 0;
    if (to != NULL) {
        name = (const struct sockaddr *)to->words;
        length = to->length;
    }
    ssize_t n;
    do {
        n = sendto(fd, data, size, MSG_NOSIGNAL, name, length);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int
ou_dgram_queue_push(ou_dgram_queue *queue, const void *data, size_t size,
                    void *owner, const ou_address *to, bool foreign)
{
    ou_dgram_out *out = malloc(sizeof(ou_dgram_out));
    if (out == NULL) {
        return -ENOMEM;
    }
    *out = (ou_dgram_out){
        .data = data,
        .size = size,
        .owner = owner,
        .foreign = foreign,
    };
    if (to != NULL) {
        out->to = *to;
    }
    if (queue->head == NULL) {
        queue->head = out;
    }
    else {
        queue->tail->next = out;
    }
    queue->tail = out;
    queue->count++;
    queue->size += size;
    return 0;
}

void
ou_dgram_queue_drop(ou_dgram_queue *queue)
{
    ou_dgram_out *out = queue->head;
    queue->head = out->next;
    queue->count--;
    queue->size -= out->size;
    void *owner = out->owner;
    free(out);
    queue->release(owner);
}

void
ou_dgram_queue_clear(ou_dgram_queue *queue)
{
    while (queue->head != NULL) {
        ou_dgram_queue_drop(queue);
    }
}

/* Send the first of the queue, up to a batch of them: how many have gone, or
 * -errno. 0: the head is foreign. */
static int
send_batch(const ou_dgram_queue *queue, int fd)
{
    struct mmsghdr headers[OU_DGRAM_BATCH];
    struct iovec pieces[OU_DGRAM_BATCH];
    unsigned count = 0;
    for (ou_dgram_out *out = queue->head;
         out != NULL && !out->foreign && count < OU_DGRAM_BATCH;
         out = out->next) {
        pieces[count] = (struct iovec){(void *)out->data, out->size};
        headers[count].msg_hdr = (struct msghdr){
            .msg_name = out->to.length > 0 ? out->to.words : NULL,
            .msg_namelen = out->to.length,
            .msg_iov = &pieces[count],
            .msg_iovlen = 1,
        };
        count++;
    }
    if (count == 0) {
        return 0;
    }
    int n;
    do {
        n = sendmmsg(fd, headers, count, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int
ou_dgram_queue_send(ou_dgram_queue *queue, int fd)
{
    while (queue->head != NULL) {
        int n = send_batch(queue, fd);
        if (n <= 0) {
            return n;
        }
        for (; n > 0 && queue->head != NULL; n--) {
            ou_dgram_queue_drop(queue);
        }
    }
    return 0;
}
