/* timer.h - timers: a deadline, and the job to queue when it has passed.
 *
 * The heap orders by deadline and, between equal deadlines, by the order of
 * starting.  A started timer owns the reference to its job's owner that the
 * caller handed to ou_timer_start(); when it is due the reference goes on to
 * the ready queue with the job, when it is stopped it goes back to the caller.
 * The job of a started timer must be in no queue.
 */
#ifndef OU_TIMER_H
#define OU_TIMER_H

#include <stdint.h>

#include "sys/job.h"

typedef struct ou_timer {
    size_t index; /* 1 + place in the heap; 0: not started */
    ou_job *job;
} ou_timer;

/* The heap keeps what it compares beside the pointer: sifting touches no
 * timer but to store its new index. */
typedef struct ou_timer_slot {
    double deadline; /* seconds, as the loop's clock counts them */
    uint64_t order;
    ou_timer *timer;
} ou_timer_slot;

typedef struct ou_timers {
    ou_timer_slot *slots;
    size_t count;
    size_t capacity;
    uint64_t next_order;
} ou_timers;

static inline void
ou_timer_init(ou_timer *timer, ou_job *job)
{
    timer->index = 0;
    timer->job = job;
}

static inline bool
ou_timer_started(const ou_timer *timer)
{
    return timer->index != 0;
}

/* 0, or -ENOMEM (then nothing has changed). timer must not be started. */
int ou_timer_start(ou_timers *timers, ou_timer *timer, double deadline);

/* Takes a started timer out of the heap; true if it was started. */
bool ou_timer_stop(ou_timers *timers, ou_timer *timer);

/* The earliest deadline; only with count > 0. */
static inline double
ou_timers_first(const ou_timers *timers)
{
    return timers->slots[0].deadline;
}

/* Whether another timer follows the first within `span` seconds (or has the
 * same deadline); only with count > 0. */
bool ou_timers_crowded(const ou_timers *timers, double span);

/* Move the jobs of all timers with deadline < until behind `ready`, in
 * order. */
void ou_timers_expire(ou_timers *timers, double until, ou_queue *ready);

/* Empty the heap, dropping every job. */
void ou_timers_drop_all(ou_timers *timers);

int ou_timers_visit(const ou_timers *timers, void *visitor);

/* Free the heap's memory (which must be empty). */
void ou_timers_free(ou_timers *timers);

#endif
