/* loop.c - the turn of an event loop (see loop.h).
 *
 * poller events, inbox and due timers flow into the ready queue, the ready
 * queue into the turn's snapshot, the snapshot into run().
 */
#include "sys/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/dgram.h"
#include "sys/process.h"

/* asyncio's MAXIMUM_SELECT_TIMEOUT: no kernel's counter overflows. */
#define MAX_WAIT (24.0 * 3600.0)

/* Timers that follow each other within this time are waited for at once. */
#define CROWDED_SPAN 1e-3

/* A poll that found nothing need not be repeated within this time, while
 * there is work to do. */
#define IDLE_POLL_INTERVAL 50e-6

int
ou_loop_open(ou_loop *loop, const ou_poller_backend *backend, void *extension)
{
    *loop = (ou_loop){
        .resolution = ou_clock_resolution(),
        .now = -1.0,
        .poll_start = -1.0,
        .last_idle = -1.0,
    };
    loop->poller.backend = backend != NULL ? backend : &ou_poller_epoll;
    loop->poller.fd = -1;
    loop->poller.extension = extension;
    ou_ticker_start(&loop->ticker);
    ou_fork_mark_set(&loop->mark);
    int result = ou_inbox_open(&loop->inbox);
    if (result < 0) {
        goto free_mark;
    }
    if (loop->poller.backend->open != NULL) {
        result = loop->poller.backend->open(&loop->poller);
        if (result < 0) {
            goto close_inbox;
        }
    }
    /* Nobody reads the eventfd: every write is an edge. */
    ou_io_init(&loop->wake_io, NULL, NULL);
    result = ou_io_start(loop, &loop->wake_io, loop->inbox.event_fd, OU_IN,
                         OU_EDGE);
    if (result < 0) {
        goto close_poller;
    }
    return 0;

close_poller:
    free(loop->ios);
    if (loop->poller.backend->close != NULL) {
        loop->poller.backend->close(&loop->poller);
    }
close_inbox:
    ou_inbox_close(&loop->inbox);
free_mark:
    ou_fork_mark_free(&loop->mark);
    return result;
}

void
ou_loop_close(ou_loop *loop)
{
    if (ou_loop_forked(loop)) {
        /* Its lock may be held by a thread that is not here. */
        ou_inbox_after_fork(&loop->inbox);
    }
    ou_inbox_settle(&loop->inbox);
    for (size_t fd = 0; fd < loop->io_capacity; fd++) {
        if (loop->ios[fd].io != NULL) {
            ou_io_stop(loop, loop->ios[fd].io);
        }
    }
    while (loop->processes != NULL) {
        ou_process_stop(loop, loop->processes);
    }
    /* Last: what goes away with a watch may still queue something. */
    ou_loop_drop_jobs(loop);
    ou_timers_free(&loop->timers);
    if (loop->poller.backend->close != NULL) {
        loop->poller.backend->close(&loop->poller);
    }
    ou_inbox_close(&loop->inbox);
    ou_outpool_close(&loop->outpool);
    ou_fork_mark_free(&loop->mark);
    free(loop->ios);
    loop->ios = NULL;
    loop->io_capacity = 0;
    free(loop->scratch);
    loop->scratch = NULL;
    ou_dgram_inlet_free(loop->datagrams);
    loop->datagrams = NULL;
}

double
ou_loop_now(ou_loop *loop)
{
    return loop->clock != NULL ? loop->clock(loop->clock_arg) : ou_clock_now();
}

bool
ou_loop_forked(const ou_loop *loop)
{
    return ou_forked(&loop->mark);
}

char *
ou_loop_scratch(ou_loop *loop)
{
    if (loop->scratch == NULL) {
        loop->scratch = malloc(OU_SCRATCH_SIZE);
    }
    return loop->scratch;
}

/* Jobs */

int
ou_loop_run_deferred(ou_loop *loop)
{
    int result = 0;
    ou_job *job;
    while ((job = ou_queue_pop(&loop->deferred)) != NULL) {
        int each = job->kind->run(job);
        if (result == 0) {
            result = each;
        }
    }
    return result;
}

/* Run a job and what it has deferred to its end. */
static int
job_run(ou_loop *loop, ou_job *job)
{
    int result = job->kind->run(job);
    if (loop->deferred.head != NULL) {
        int after = ou_loop_run_deferred(loop);
        if (result == 0) {
            result = after;
        }
    }
    return result;
}

/* Events */

/* Whom an event is for, or NULL if he has gone. */
static ou_io *
event_target(ou_loop *loop, const ou_event *event)
{
    ou_io *io = ou_io_find(loop, event->fd);
    if (io == NULL || loop->ios[event->fd].generation != event->generation) {
        return NULL;
    }
    return io;
}

/* The job that an event makes runnable in a direction that it is of, or
 * NULL. */
static ou_job *
event_job(ou_loop *loop, const ou_event *event, unsigned direction)
{
    ou_io *io = event_target(loop, event);
    if (io == NULL || (io->ready & io->interest & direction) == 0) {
        return NULL;
    }
    ou_job *job = direction == OU_IN ? &io->in : &io->out;
    return ou_job_queued(job) ? NULL : job;
}

static void
event_queue(ou_loop *loop, const ou_event *event, unsigned direction,
            ou_queue *queue)
{
    ou_job *job = (event->ready & direction) == 0
                      ? NULL
                      : event_job(loop, event, direction);
    if (job != NULL) {
        job->kind->hold(job);
        ou_queue_push(queue, job);
    }
}

/* Queue the jobs of the events that have not been run from the array. */
static void
events_queue(ou_loop *loop, ou_queue *queue)
{
    while (loop->event_next < loop->event_count) {
        ou_event *event = &loop->poller.events[loop->event_next++];
        /* asyncio's order: the reader, then the writer. */
        event_queue(loop, event, OU_IN, queue);
        event_queue(loop, event, OU_OUT, queue);
    }
}

/* The next direction of an event that has not been run: asyncio's order is
 * the reader, then the writer.  0: none. */
static unsigned
event_direction(const ou_event *event)
{
    return event->ready & OU_IN ? OU_IN : event->ready & OU_OUT;
}

/* Run the jobs of the events straight from the array.  Any job may stop and
 * free any ou_io: each is looked up when its turn has come. */
static int
events_run(ou_loop *loop)
{
    int result = 0;
    while (result == 0 && loop->event_next < loop->event_count) {
        ou_event *event = &loop->poller.events[loop->event_next];
        unsigned direction = event_direction(event);
        ou_job *job =
            direction != 0 ? event_job(loop, event, direction) : NULL;
        if (job == NULL) {
            loop->event_next += direction == 0;
            event->ready &= ~direction;
            continue;
        }
        bool batched = job->kind->batched;
        if (!batched && !ou_queue_empty(&loop->deferred)) {
            result = ou_loop_run_deferred(loop);
            continue; /* that may have changed what there is to do */
        }
        event->ready &= ~direction;
        job->kind->hold(job);
        result = job->kind->run(job);
        if (result == 0 && (!batched || ou_loop_overdue(loop))) {
            result = ou_loop_run_deferred(loop);
        }
    }
    int after = ou_loop_run_deferred(loop);
    return result < 0 ? result : after;
}

/* Begin a new set of what is watched. 0 or -errno. */
static int
poller_rebuild(ou_loop *loop)
{
    const ou_poller_backend *backend = loop->poller.backend;
    ou_poller fresh = {
        .backend = backend,
        .fd = -1,
        .coarse_wait = loop->poller.coarse_wait,
        .extension = loop->poller.extension,
    };
    int result = backend->foreign ? -EBADF : backend->open(&fresh);
    if (result < 0) {
        return result;
    }
    for (size_t fd = 0; fd < loop->io_capacity; fd++) {
        const ou_io *io = loop->ios[fd].io;
        if (io != NULL && io->armed != 0) {
            /* Fails for an fd closed behind our back: as it was before. */
            (void)backend->add(&fresh, (int)fd, loop->ios[fd].generation,
                               io->armed, (ou_trigger)io->trigger);
        }
    }
    backend->close(&loop->poller);
    loop->poller.fd = fresh.fd;
    return 0;
}

int
ou_loop_adopt(ou_loop *loop)
{
    assert(ou_loop_forked(loop));
    if (loop->poller.backend->foreign) {
        return -EBADF;
    }
    while (loop->processes != NULL) {
        ou_process_stop(loop, loop->processes);
    }
    int result = ou_inbox_renew(&loop->inbox);
    if (result == 0) {
        result = poller_rebuild(loop);
    }
    if (result == 0) {
        ou_fork_mark_free(&loop->mark);
        ou_fork_mark_set(&loop->mark);
    }
    return result;
}

void
ou_loop_go_foreign(ou_loop *loop, const ou_poller_backend *backend,
                   void *extension)
{
    assert(backend->foreign);
    const ou_poller_backend *old = loop->poller.backend;
    if (old->close != NULL) {
        old->close(&loop->poller);
    }
    loop->poller.backend = backend;
    loop->poller.extension = extension;
    loop->poller.fd = -1;
    for (size_t fd = 0; fd < loop->io_capacity; fd++) {
        ou_io *io = loop->ios[fd].io;
        if (io == NULL || io->armed == 0) {
            continue;
        }
        unsigned wanted = io->interest;
        if (io->trigger == OU_EDGE) {
            io->trigger = OU_LEVEL;
            io->ready &= (uint8_t)(wanted | OU_HUP);
        }
        if (wanted != 0) {
            /* Fails for an fd closed behind our back: as it was before. */
            (void)backend->add(&loop->poller, (int)fd,
                               loop->ios[fd].generation, wanted, OU_LEVEL);
        }
        loop->io_count -= (size_t)(wanted == 0 && io != &loop->wake_io);
        io->armed = (uint8_t)wanted;
    }
}

/* Turn all events into ready bits before any job runs, so that none is lost
 * if a job raises.  Returns how many are of the watches (not the wake-up's or
 * nobody's). */
static int
events_latch(ou_loop *loop, int n)
{
    int found = 0;
    int strays = 0;
    for (int i = 0; i < n; i++) {
        ou_event *event = &loop->poller.events[i];
        ou_io *io = event_target(loop, event);
        if (io == NULL
            || (io->trigger == OU_LEVEL
                && (event->ready & io->interest) == 0)) {
            strays++;
        }
        else if (io == &loop->wake_io) {
            if (io->trigger == OU_LEVEL) {
                ou_inbox_drain(&loop->inbox);
            }
        }
        else {
            found++;
            unsigned wanted = event->ready & (io->interest | (unsigned)OU_HUP);
            io->ready |=
                (uint8_t)(io->trigger == OU_LEVEL ? wanted : event->ready);
            /* (For what becomes wanted later, ou_io_want() queues a job.) */
            event->ready = wanted;
        }
    }
    /* An edge of nobody's comes once, a level in every poll: a registration
     * that has outlived its watch, because a duplicate of the closed fd keeps
     * it alive, and no fd is left to name it by.  (If there can be no new set
     * we shall be here again.) */
    if (strays > 0 && ++loop->stray_polls > 1) {
        (void)poller_rebuild(loop);
        loop->stray_polls = 0;
    }
    else if (strays == 0 && n > 0) {
        loop->stray_polls = 0;
    }
    loop->event_next = 0;
    loop->event_count = found > 0 ? n : 0;
    return found;
}

/* The turn */

/* Whether a poll that is not to block may be left out: nothing is watched, or
 * a poll a moment ago found nothing and we have done nothing since that would
 * make an answer likely. */
static bool
poll_needless(ou_loop *loop)
{
    if (loop->poller.backend->foreign) {
        return false;
    }
    if (loop->io_count == 0) {
        return true;
    }
    /* Not the loop's clock: that may be a test's, and stand still. */
    double now = ou_clock_now();
    if (loop->last_idle >= 0 && now - loop->last_idle <= IDLE_POLL_INTERVAL) {
        if (loop->clock == NULL) {
            loop->now = now;
        }
        return true;
    }
    loop->poll_start = now;
    return false;
}

/* How long the wait for the first timer may take.  A lone timer is waited for
 * as exactly as the kernel can.  Where they crowd, the wait is rounded up to
 * milliseconds, as asyncio's always are: to wake up for each one costs several
 * times what it takes to run its job.  (A test's clock, or a selector of the
 * user's, is told the exact time.) */
static double
timers_timeout(ou_loop *loop, double now)
{
    double timeout = ou_timers_first(&loop->timers) - now;
    if (timeout >= MAX_WAIT) {
        return MAX_WAIT;
    }
    if (timeout >= loop->resolution && loop->clock == NULL
        && !loop->poller.backend->foreign
        && ou_timers_crowded(&loop->timers, CROWDED_SPAN)) {
        double whole = (double)(int64_t)(timeout * 1e3);
        timeout = (whole < timeout * 1e3 ? whole + 1 : whole) * 1e-3;
    }
    return timeout;
}

double
ou_loop_prepare(ou_loop *loop)
{
    if (loop->event_next < loop->event_count) {
        /* What a failed job has left in the array, or a turn that was given up
         * between collect and dispatch. */
        events_queue(loop, &loop->turn);
    }
    /* What was deferred outside of any job (by a signal handler). */
    ou_queue_append(&loop->ready, &loop->deferred);
    loop->poll_start = -1.0;
    loop->now = -1.0;
    loop->look = 0;
    double look = loop->expect;
    loop->expect = 0;
    bool work = !ou_loop_idle(loop) || !ou_queue_empty(&loop->io_again)
                || ou_inbox_pending(&loop->inbox);
    if (!work) {
        if (loop->timers.count == 0) {
            loop->look = look;
            return -1.0;
        }
        double now = ou_loop_now(loop);
        double timeout = timers_timeout(loop, now);
        if (timeout >= loop->resolution) {
            loop->look = look < timeout ? look : timeout;
            return timeout;
        }
        loop->now = now;
    }
    if (poll_needless(loop)) {
        return OU_NO_WAIT;
    }
    loop->now = -1.0;
    return 0.0;
}

/* Look for what other threads bring before sleeping.  In vain, the turn is an
 * empty one and the next one sleeps: it sees signals and the time before. */
static int
look_first(ou_loop *loop)
{
    ou_inbox_look(&loop->inbox, loop->look);
    return loop->io_count > 0 ? loop->poller.backend->wait(&loop->poller, 0.0)
                              : 0;
}

int
ou_loop_wait(ou_loop *loop, double timeout)
{
    if (timeout == OU_NO_WAIT) {
        return 0;
    }
    const ou_poller_backend *backend = loop->poller.backend;
    if (loop->look > 0 && timeout != 0 && !backend->foreign) {
        return look_first(loop);
    }
    if (timeout == 0 || !ou_inbox_prepare_wait(&loop->inbox)) {
        return backend->wait(&loop->poller, 0.0);
    }
    int n = backend->wait(&loop->poller, timeout);
    ou_inbox_finish_wait(&loop->inbox);
    return n;
}

void
ou_loop_collect(ou_loop *loop, int n)
{
    if (ou_inbox_pending(&loop->inbox)) {
        ou_inbox_collect(&loop->inbox, &loop->ready);
    }
    ou_queue_append(&loop->ready, &loop->io_again);
    int found = n > 0 ? events_latch(loop, n) : 0;
    if (found > 0) {
        loop->last_idle = -1.0;
    }
    else if (n >= 0 && loop->poll_start >= 0) {
        loop->last_idle = loop->poll_start;
    }
    loop->poll_start = -1.0;

    bool due = false;
    double until = 0;
    if (loop->timers.count > 0) {
        double now = loop->now >= 0 ? loop->now : ou_loop_now(loop);
        until = now + loop->resolution;
        due = ou_timers_first(&loop->timers) < until;
    }
    if (found > 0 && (due || !ou_loop_idle(loop))) {
        events_queue(loop, &loop->ready);
    }
    if (due) {
        ou_timers_expire(&loop->timers, until, &loop->ready);
    }
}

/* With many thousands of tasks each step finds its memory cold.  While one
 * job runs, what the next one needs is on its way, and the one behind it. */
static inline void
look_ahead(const ou_job *next)
{
    if (next != NULL) {
        __builtin_prefetch(next->next);
        if (next->kind->approach != NULL) {
            next->kind->approach(next);
        }
    }
}

int
ou_loop_dispatch(ou_loop *loop)
{
    if (loop->event_next < loop->event_count) {
        /* Nothing else was ready at collect; what is now is for the next
         * turn. */
        return events_run(loop);
    }
    ou_queue_append(&loop->turn, &loop->ready);
    ou_job *job;
    while ((job = ou_queue_pop(&loop->turn)) != NULL) {
        look_ahead(loop->turn.head);
        int result = job_run(loop, job);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

/* What the loop owns */

int
ou_loop_visit(ou_loop *loop, void *visitor)
{
    int result = ou_queue_visit(&loop->ready, visitor);
    if (result == 0) {
        result = ou_queue_visit(&loop->turn, visitor);
    }
    if (result == 0) {
        result = ou_queue_visit(&loop->io_again, visitor);
    }
    if (result == 0) {
        result = ou_queue_visit(&loop->deferred, visitor);
    }
    if (result == 0) {
        result = ou_timers_visit(&loop->timers, visitor);
    }
    if (result == 0) {
        result = ou_inbox_visit(&loop->inbox, visitor);
    }
    for (size_t fd = 0; result == 0 && fd < loop->io_capacity; fd++) {
        ou_io *io = loop->ios[fd].io;
        if (io != NULL && io->in.kind != NULL && io->in.kind->visit != NULL) {
            result = io->in.kind->visit(&io->in, visitor);
        }
    }
    return result;
}

void
ou_loop_drop_jobs(ou_loop *loop)
{
    do {
        if (ou_inbox_pending(&loop->inbox)) {
            ou_inbox_collect(&loop->inbox, &loop->ready);
        }
        ou_queue_drop_all(&loop->turn);
        ou_queue_drop_all(&loop->ready);
        ou_queue_drop_all(&loop->io_again);
        ou_queue_drop_all(&loop->deferred);
        ou_timers_drop_all(&loop->timers);
        loop->event_count = 0;
    } while (!ou_loop_idle(loop) || !ou_queue_empty(&loop->io_again)
             || !ou_queue_empty(&loop->deferred) || loop->timers.count > 0
             || ou_inbox_pending(&loop->inbox));
}
