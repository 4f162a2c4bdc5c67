/* timer.c - a heap of deadlines (see timer.h).
 *
 * A 4-ary heap: half as deep as a binary one, and the four children that a
 * sift compares lie side by side.  Every timer knows its place, so stopping
 * one takes it out at once; nothing cancelled is ever left behind.
 */
#include "sys/timer.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum {
    ARITY = 4,
    MIN_CAPACITY = 256,
};

static inline bool
slot_before(const ou_timer_slot *a, const ou_timer_slot *b)
{
    return a->deadline < b->deadline
           || (a->deadline == b->deadline && a->order < b->order);
}

/* Put slot at place, and tell its timer. */
static inline void
heap_set(ou_timers *timers, size_t place, ou_timer_slot slot)
{
    timers->slots[place] = slot;
    slot.timer->index = place + 1;
}

/* There is a hole at place: move it towards the root until slot fits. */
static void
heap_sift_up(ou_timers *timers, size_t place, ou_timer_slot slot)
{
    while (place > 0) {
        size_t parent = (place - 1) / ARITY;
        if (!slot_before(&slot, &timers->slots[parent])) {
            break;
        }
        heap_set(timers, place, timers->slots[parent]);
        place = parent;
    }
    heap_set(timers, place, slot);
}

/* There is a hole at place: move it towards the leaves until slot fits. */
static void
heap_sift_down(ou_timers *timers, size_t place, ou_timer_slot slot)
{
    for (;;) {
        size_t child = place * ARITY + 1;
        if (child >= timers->count) {
            break;
        }
        size_t end = child + ARITY;
        if (end > timers->count) {
            end = timers->count;
        }
        size_t first = child;
        while (++child < end) {
            if (slot_before(&timers->slots[child], &timers->slots[first])) {
                first = child;
            }
        }
        if (!slot_before(&timers->slots[first], &slot)) {
            break;
        }
        heap_set(timers, place, timers->slots[first]);
        place = first;
    }
    heap_set(timers, place, slot);
}

static int
heap_resize(ou_timers *timers, size_t capacity)
{
    if (capacity > SIZE_MAX / sizeof(ou_timer_slot)) {
        return -ENOMEM;
    }
    ou_timer_slot *slots =
        realloc(timers->slots, capacity * sizeof(ou_timer_slot));
    if (slots == NULL) {
        return -ENOMEM;
    }
    timers->slots = slots;
    timers->capacity = capacity;
    return 0;
}

/* Take the slot at place out of the heap. */
static void
heap_remove(ou_timers *timers, size_t place)
{
    timers->slots[place].timer->index = 0;
    timers->count--;
    if (place < timers->count) {
        /* The last slot fills the hole.  It comes from another branch, so it
         * may have to go either way. */
        ou_timer_slot last = timers->slots[timers->count];
        if (place > 0
            && slot_before(&last, &timers->slots[(place - 1) / ARITY])) {
            heap_sift_up(timers, place, last);
        }
        else {
            heap_sift_down(timers, place, last);
        }
    }
    if (timers->count < timers->capacity / 8
        && timers->capacity > MIN_CAPACITY) {
        /* After a burst.  Failure leaves the larger block, which will do. */
        (void)heap_resize(timers, timers->capacity / 2);
    }
}

int
ou_timer_start(ou_timers *timers, ou_timer *timer, double deadline)
{
    assert(!ou_timer_started(timer));
    if (timers->count == timers->capacity) {
        size_t capacity =
            timers->capacity > 0 ? timers->capacity * 2 : MIN_CAPACITY;
        int result = heap_resize(timers, capacity);
        if (result < 0) {
            return result;
        }
    }
    if (isnan(deadline)) {
        /* It would compare false with everything: make it due, as asyncio
         * does, and keep the heap in order. */
        deadline = -INFINITY;
    }
    ou_timer_slot slot = {deadline, timers->next_order++, timer};
    heap_sift_up(timers, timers->count++, slot);
    return 0;
}

bool
ou_timer_stop(ou_timers *timers, ou_timer *timer)
{
    if (!ou_timer_started(timer)) {
        return false;
    }
    heap_remove(timers, timer->index - 1);
    return true;
}

bool
ou_timers_crowded(const ou_timers *timers, double span)
{
    double until = ou_timers_first(timers) + span;
    /* The second one is a child of the first. */
    for (size_t i = 1; i < timers->count && i <= ARITY; i++) {
        if (timers->slots[i].deadline <= until) {
            return true;
        }
    }
    return false;
}

void
ou_timers_expire(ou_timers *timers, double until, ou_queue *ready)
{
    while (timers->count > 0 && timers->slots[0].deadline < until) {
        ou_job *job = timers->slots[0].timer->job;
        heap_remove(timers, 0);
        assert(!ou_job_queued(job));
        ou_queue_push(ready, job);
    }
}

void
ou_timers_drop_all(ou_timers *timers)
{
    /* First out of the heap, then drop: drop() may free the timer's memory,
     * stop another timer, or start one. */
    ou_queue dropped = {NULL, NULL};
    for (size_t i = 0; i < timers->count; i++) {
        ou_timer *timer = timers->slots[i].timer;
        timer->index = 0;
        ou_queue_push(&dropped, timer->job);
    }
    timers->count = 0;
    ou_queue_drop_all(&dropped);
}

int
ou_timers_visit(const ou_timers *timers, void *visitor)
{
    for (size_t i = 0; i < timers->count; i++) {
        ou_job *job = timers->slots[i].timer->job;
        if (job->kind->visit != NULL) {
            int result = job->kind->visit(job, visitor);
            if (result != 0) {
                return result;
            }
        }
    }
    return 0;
}

void
ou_timers_free(ou_timers *timers)
{
    assert(timers->count == 0);
    free(timers->slots);
    timers->slots = NULL;
    timers->capacity = 0;
}
