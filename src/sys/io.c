/* io.c - the table of watched descriptors (see io.h).
 *
 * This file tells the poller what to watch; loop.c turns its events into
 * ready bits and jobs.
 */
#include "sys/io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys/loop.h"

enum { MIN_TABLE = 64 };

void
ou_io_init(ou_io *io, const ou_job_kind *in_kind, const ou_job_kind *out_kind)
{
    *io = (ou_io){.fd = -1};
    ou_job_init(&io->in, in_kind);
    ou_job_init(&io->out, out_kind);
}

/* Make room for fd in the table. */
static int
table_reserve(ou_loop *loop, int fd)
{
    size_t needed = (size_t)fd + 1;
    if (needed <= loop->io_capacity) {
        return 0;
    }
    size_t capacity = loop->io_capacity > 0 ? loop->io_capacity : MIN_TABLE;
    while (capacity < needed) {
        capacity *= 2;
    }
    ou_io_entry *ios = realloc(loop->ios, capacity * sizeof(ou_io_entry));
    if (ios == NULL) {
        return -ENOMEM;
    }
    memset(ios + loop->io_capacity, 0,
           (capacity - loop->io_capacity) * sizeof(ou_io_entry));
    loop->ios = ios;
    loop->io_capacity = capacity;
    return 0;
}

/* Tell the poller what to watch io->fd for. */
static int
io_arm(ou_loop *loop, ou_io *io, unsigned armed)
{
    if (armed == io->armed) {
        return 0;
    }
    if (!ou_loop_forked(loop)) {
        /* (The child of a fork shares the parent's epoll set.) */
        const ou_poller_backend *backend = loop->poller.backend;
        uint32_t generation = loop->ios[io->fd].generation;
        int result = 0;
        if (armed == 0) {
            /* Fails if the fd was closed already.  Should a duplicate keep
             * the registration alive, ou_loop_collect() notices. */
            (void)backend->remove(&loop->poller, io->fd);
        }
        else if (io->armed == 0) {
            result = backend->add(&loop->poller, io->fd, generation, armed,
                                  (ou_trigger)io->trigger);
        }
        else {
            result = backend->modify(&loop->poller, io->fd, generation, armed,
                                     (ou_trigger)io->trigger);
        }
        if (result < 0) {
            return result;
        }
    }
    if (io != &loop->wake_io) {
        loop->io_count += (size_t)(armed != 0) - (size_t)(io->armed != 0);
    }
    io->armed = (uint8_t)armed;
    /* What is watched anew may be ready already. */
    ou_loop_note_io(loop);
    return 0;
}

/* Whether the file that is watched was closed and nobody told us, and its
 * number has been given out again. */
static bool
is_stale(ou_loop *loop, const ou_io *io)
{
    const ou_poller_backend *backend = loop->poller.backend;
    return io->armed != 0 && backend->knows != NULL
           && !backend->knows(&loop->poller, io->fd);
}

int
ou_io_start(ou_loop *loop, ou_io *io, int fd, unsigned interest,
            ou_trigger trigger)
{
    assert(!ou_io_started(io));
    if (fd < 0 || ou_loop_forked(loop)) {
        return -EBADF;
    }
    ou_io *former;
    while ((former = ou_io_find(loop, fd)) != NULL) {
        if (!is_stale(loop, former)) {
            return -EEXIST;
        }
        ou_io_stop(loop, former);
    }
    int result = table_reserve(loop, fd);
    if (result < 0) {
        return result;
    }
    if (loop->poller.backend->foreign) {
        trigger = OU_LEVEL;
    }
    io->fd = fd;
    io->interest = (uint8_t)interest;
    io->trigger = (uint8_t)trigger;
    io->armed = 0;
    loop->ios[fd].generation++;
    bool both = trigger == OU_EDGE && io != &loop->wake_io;
    result = io_arm(loop, io, both ? OU_IN | OU_OUT : interest);
    if (result < 0) {
        io->fd = -1;
        io->interest = 0;
        return result;
    }
    loop->ios[fd].io = io;
    if (io->in.kind != NULL) {
        io->in.kind->hold(&io->in);
    }
    return 0;
}

int
ou_io_want(ou_loop *loop, ou_io *io, unsigned interest)
{
    assert(ou_io_started(io));
    if (io->trigger == OU_LEVEL) {
        int result = io_arm(loop, io, interest);
        if (result < 0) {
            return result;
        }
        /* An event of a direction that is given up is given up with it. */
        io->interest = (uint8_t)interest;
        io->ready &= (uint8_t)(interest | OU_HUP);
        return 0;
    }
    unsigned wanted_anew = interest & ~(unsigned)io->interest;
    io->interest = (uint8_t)interest;
    if (wanted_anew & io->ready & OU_IN) {
        ou_io_again(loop, io, OU_IN);
    }
    if (wanted_anew & io->ready & OU_OUT) {
        ou_io_again(loop, io, OU_OUT);
    }
    return 0;
}

void
ou_io_again(ou_loop *loop, ou_io *io, unsigned direction)
{
    ou_job *job = direction == OU_IN ? &io->in : &io->out;
    io->ready |= (uint8_t)direction;
    if (!ou_job_queued(job)) {
        job->kind->hold(job);
        ou_queue_push(&loop->io_again, job);
    }
}

void
ou_io_stop(ou_loop *loop, ou_io *io)
{
    if (!ou_io_started(io)) {
        return;
    }
    (void)io_arm(loop, io, 0);
    loop->ios[io->fd].io = NULL;
    io->fd = -1;
    io->interest = 0;
    io->ready = 0;
    if (io->in.kind != NULL) {
        io->in.kind->drop(&io->in); /* may free io */
    }
}

ou_io *
ou_io_find(ou_loop *loop, int fd)
{
    if (fd < 0 || (size_t)fd >= loop->io_capacity) {
        return NULL;
    }
    return loop->ios[fd].io;
}
