/* loop.h - one event loop: a ready queue, timers, watched descriptors.
 *
 * A turn has four steps, which the binding calls one by one, so that it can
 * give up its lock around the second alone:
 *
 *     timeout = ou_loop_prepare(loop);      how long may the wait block?
 *     n = ou_loop_wait(loop, timeout);      the system call; no other state
 *     ou_loop_collect(loop, n);             inbox, events, due timers -> ready
 *     ou_loop_dispatch(loop);               run what was ready at this moment
 *
 * Order of a turn: what the last one left behind, the ready queue, this
 * wait's events in event order, due timers by deadline; then that snapshot
 * runs, and what it queues is for the next turn.
 *
 * If nothing else is to be run, the events' jobs are not queued at all:
 * dispatch runs them straight from the poller's array, and ou_loop_idle() is
 * true while nothing has been queued meanwhile.
 */
#ifndef OU_LOOP_H
#define OU_LOOP_H

#include <stdint.h>

#include "sys/fork.h"
#include "sys/clock.h"
#include "sys/inbox.h"
#include "sys/io.h"
#include "sys/job.h"
#include "sys/outbuf.h"
#include "sys/poller.h"
#include "sys/timer.h"

enum { OU_SCRATCH_SIZE = 256 * 1024 };

/* What has been deferred for so many seconds is not kept back. */
#define OU_DEFER_LIMIT 100e-6

typedef struct ou_io_entry {
    ou_io *io;           /* NULL: nobody watches this fd */
    uint32_t generation; /* how many have watched it */
} ou_io_entry;

struct ou_loop {
    ou_queue ready;       /* runs next turn */
    ou_queue turn;        /* what is left of this turn's snapshot */
    ou_queue io_again;    /* I/O jobs of the next turn that need no event */
    ou_queue deferred;    /* see ou_loop_defer() */
    uint64_t deferred_at; /* ticks when the first of them was */
    ou_timers timers;
    ou_ticker ticker;  /* began with the loop */
    double resolution; /* timers due within this many seconds are due now */
    ou_inbox inbox;
    ou_io wake_io; /* watches the inbox's eventfd */
    ou_poller poller;
    int event_count;  /* events of the poller's array to be run from there */
    int event_next;   /* the first of them that has not been run */
    int stray_polls;  /* polls in succession with events of nobody's */
    ou_io_entry *ios; /* indexed by fd */
    size_t io_capacity;
    size_t io_count; /* fds armed in the kernel, the wake-up's not counted */
    struct ou_process *processes; /* children that a thread waits for */
    double now;    /* this turn's time, if no wait has come since, or < 0 */
    double expect; /* see ou_loop_expect(); of the next turn */
    double look;   /* the wait of this turn is to look first, so long */
    double poll_start; /* when the poll began that is under way, or < 0 */
    double last_idle;  /* when a poll last began and found nothing, or < 0 */
    double (*clock)(void *); /* NULL: ou_clock_now */
    void *clock_arg;
    char *scratch;                    /* see ou_loop_scratch() */
    struct ou_dgram_inlet *datagrams; /* see ou_dgram_receive(), or NULL */
    ou_outpool outpool;               /* chunks for the sockets' ou_outbuf */
    ou_fork_mark mark;                /* the process that opened the loop */
};

/* 0 or -errno; on failure nothing is left open. backend: NULL for the best
 * that the platform has. */
int ou_loop_open(ou_loop *loop, const ou_poller_backend *backend,
                 void *extension);

/* Go over to a backend of the binding's with all that is watched, from then
 * on level triggered.  Descriptors that it refuses stay without events. */
void ou_loop_go_foreign(ou_loop *loop, const ou_poller_backend *backend,
                        void *extension);

/* Drop every job, timer and watch; close the descriptors.  Watches that are
 * still started are stopped.  Safe to call in the child of a fork: there it
 * only closes and frees. */
void ou_loop_close(ou_loop *loop);

/* Seconds on the loop's clock. */
double ou_loop_now(ou_loop *loop);

/* Queue a job (with the queue's reference) for the next turn. */
static inline void
ou_loop_push(ou_loop *loop, ou_job *job)
{
    if (ou_inbox_pending(&loop->inbox)) {
        ou_inbox_collect(&loop->inbox, &loop->ready);
    }
    ou_queue_push(&loop->ready, job);
}

/* Queue all of `jobs`, in constant time. */
static inline void
ou_loop_push_all(ou_loop *loop, ou_queue *jobs)
{
    if (ou_inbox_pending(&loop->inbox)) {
        ou_inbox_collect(&loop->inbox, &loop->ready);
    }
    ou_queue_append(&loop->ready, jobs);
}

/* Queue a job (with the queue's reference) for the end of the job that runs
 * now: what many small steps of one job add up to, such as its writes, is
 * done there at once.  If no job runs, for the next turn.
 *
 * Where events bring several jobs of a `batched` kind in succession, it may
 * be done behind the last of them, or when OU_DEFER_LIMIT has passed: to
 * receive from some connections and then to send to them costs less than the
 * two by turns, each of which finds the processor's caches full of the
 * other's code. */
static inline void
ou_loop_defer(ou_loop *loop, ou_job *job)
{
    if (ou_queue_empty(&loop->deferred)) {
        loop->deferred_at = ou_clock_ticks();
    }
    ou_queue_push(&loop->deferred, job);
}

/* Run what has been deferred now: before something that may block, or that
 * must not be overtaken.  0, or the first negative result. */
int ou_loop_run_deferred(ou_loop *loop);

/* Whether something has been deferred for so long that it must not be kept
 * back any more. */
static inline bool
ou_loop_overdue(ou_loop *loop)
{
    return !ou_queue_empty(&loop->deferred)
           && ou_ticker_older(&loop->ticker, loop->deferred_at,
                              OU_DEFER_LIMIT);
}

/* Whether nothing waits to be run. */
static inline bool
ou_loop_idle(const ou_loop *loop)
{
    return loop->ready.head == NULL && loop->turn.head == NULL;
}

/* Something was sent, connected or closed: the next poll may find what its
 * predecessor did not, and must not be left out. */
static inline void
ou_loop_note_io(ou_loop *loop)
{
    loop->last_idle = -1.0;
}

/* How long the wait may block, in seconds: 0 with work ready, < 0 for ever.
 * OU_NO_WAIT: the wait may be left out altogether (docs/architecture.md says
 * when); go on with ou_loop_collect(loop, 0). */
#define OU_NO_WAIT (-2.0)
double ou_loop_prepare(ou_loop *loop);

/* An answer from another thread is expected within so many seconds: if the
 * loop has nothing else to do in its next turn, it looks for it as long
 * before it sleeps. */
static inline void
ou_loop_expect(ou_loop *loop, double seconds)
{
    loop->expect = seconds;
}

/* The number of events, or -errno (-EINTR included).  A long timeout may be
 * cut short. */
int ou_loop_wait(ou_loop *loop, double timeout);

/* n: what ou_loop_wait() returned; negative counts as 0. */
void ou_loop_collect(ou_loop *loop, int n);

/* Runs the snapshot.  0, or the first negative result of a job: the rest
 * stays pending for the next dispatch. */
int ou_loop_dispatch(ou_loop *loop);

/* Show every reference that queues, timers, watches and the inbox own. */
int ou_loop_visit(ou_loop *loop, void *visitor);

/* Drop every queued job and timer (not the watches). */
void ou_loop_drop_jobs(ou_loop *loop);

/* Whether this process is a fork's child of the one that opened the loop. */
bool ou_loop_forked(const ou_loop *loop);

/* In such a child: go on with all that is watched, queued and timed, apart
 * from the parent.  Threads have stayed there: children that they wait for
 * are forgotten.  0, or -errno and the loop is still the parent's: -EBADF for
 * a poller of the binding's. */
int ou_loop_adopt(ou_loop *loop);

/* The loop-wide read buffer of OU_SCRATCH_SIZE bytes, allocated when first
 * asked for; its content lasts until somebody else reads.  NULL: no memory. */
char *ou_loop_scratch(ou_loop *loop);

#endif
