/* io.h - file descriptors that the loop watches.
 *
 * An ou_io is embedded in its owner (a transport, a listener, a pair of
 * add_reader/add_writer handles) and holds one job for each direction.  An
 * event of the poller becomes a ready bit, and the direction's job is queued
 * if the owner is interested in it.
 *
 * Level triggered: the interest is what the kernel is told; an event that is
 * not used up comes again, and the ready bit lasts until the job takes it.
 * Edge triggered (only stream sockets that we read to the end): registered
 * once for both directions; the ready bit stays until the owner clears it by
 * ou_io_drained(), and becoming interested in a direction whose bit is set
 * queues its job for the next turn.  No bit is set at the start: the poller
 * reports by itself what is ready by then.
 *
 * The loop's table maps fd -> (ou_io, generation).  Events carry fd and
 * generation, never a pointer, so that nothing is woken through a closed and
 * reused number, and an owner may go away between an event and its turn.
 *
 * References: a started watch owns one to its owner ("armed means rooted"):
 * ou_io_start() takes it by hold() of the in job, ou_io_stop() gives it back
 * by drop().  The owner needs no other on the watch's behalf.  A queued job
 * owns one of its own, as every job does.
 */
#ifndef OU_IO_H
#define OU_IO_H

#include <stdint.h>

#include "sys/job.h"

enum {
    OU_IN = 1,  /* readable, or there is an error or an end to be read */
    OU_OUT = 2, /* writable, or there is an error to be had */
    OU_HUP = 4, /* the peer has closed its side, an error is pending, or
                   there is urgent data: a short read does not mean drained */
};

typedef enum ou_trigger { OU_LEVEL, OU_EDGE } ou_trigger;

typedef struct ou_loop ou_loop;

typedef struct ou_io {
    ou_job in;  /* queued when the fd is readable */
    ou_job out; /* queued when the fd is writable */
    int fd;     /* -1: not started */
    uint8_t interest;
    uint8_t ready;
    uint8_t trigger; /* OU_LEVEL also where the poller knows no edges */
    uint8_t armed;   /* what the kernel has been told */
} ou_io;

/* in_kind and out_kind need hold(): a direction's job is queued by the
 * engine. */
void ou_io_init(ou_io *io, const ou_job_kind *in_kind,
                const ou_job_kind *out_kind);

static inline bool
ou_io_started(const ou_io *io)
{
    return io->fd >= 0;
}

/* Watch fd for `interest` (OU_IN | OU_OUT, may be 0); takes a reference to
 * the owner.  0, or -errno and nothing has changed: -EPERM for regular files
 * (level triggered: when there is an interest), -EEXIST when another ou_io
 * of this loop watches fd, -EBADF also in the child of a fork.  A watch of a
 * file that was closed, whose number fd now is, is stopped. */
int ou_io_start(ou_loop *loop, ou_io *io, int fd, unsigned interest,
                ou_trigger trigger);

/* Replace the interest.  0, or -errno and nothing has changed. */
int ou_io_want(ou_loop *loop, ou_io *io, unsigned interest);

/* The first thing that a direction's job does: is this direction (OU_IN or
 * OU_OUT) still wanted and ready?  If not, the watch was stopped, changed or
 * used up since the job was queued, and there is nothing to do:
 *
 *     if (ou_io_take(&self->io, OU_IN)) {
 *         ... read ...
 *     }
 *     Py_DECREF(self);
 *
 * Level triggered, the event is thereby used up. */
static inline bool
ou_io_take(ou_io *io, unsigned direction)
{
    if ((io->ready & io->interest & direction) == 0) {
        return false;
    }
    if (io->trigger == OU_LEVEL) {
        io->ready &= (uint8_t)~direction;
    }
    return true;
}

/* Edge triggered: what had come in has been used up (recv said EAGAIN, or
 * came back short); direction is OU_IN or OU_OUT.  Level triggered: forget
 * an event that no job has taken yet (a new handler took the old one's
 * place). */
static inline void
ou_io_drained(ou_io *io, unsigned direction)
{
    io->ready &= (uint8_t)~direction;
}

/* Queue the direction's job for the next turn, among that turn's events, as
 * if there had been an event: for an owner that stops before it has used up
 * everything (edge triggered, it does not call ou_io_drained() then). */
void ou_io_again(ou_loop *loop, ou_io *io, unsigned direction);

/* Stop watching, before the fd is closed; gives the watch's reference back,
 * which may free the owner.  A job that is still queued runs and must find
 * nothing to do (ou_io_take() is false). */
void ou_io_stop(ou_loop *loop, ou_io *io);

/* The ou_io that watches fd, or NULL. */
ou_io *ou_io_find(ou_loop *loop, int fd);

#endif
