/* slot.h - one of several futures that gather(), wait() or as_completed()
 * watches.
 *
 * The slots of an object are one array, as many as there are futures.  A
 * slot's job is in its future's list of callbacks; that place holds a
 * reference to the object, so the array outlives what is queued.
 */
#ifndef OURO_SLOT_H
#define OURO_SLOT_H

#include "task/future.h"

typedef struct ouro_slot {
    ou_job job;
    PyObject *owner; /* borrowed, but for the queue's reference */
    PyObject *fut;
    bool pending; /* watched, and not yet known to be done */
} ouro_slot;

typedef struct ouro_slots {
    ouro_slot *array;
    Py_ssize_t count; /* how many have been added */
} ouro_slots;

/* Room for `count` slots. 0, or -1 with MemoryError. */
int ouro_slots_allocate(ouro_slots *slots, Py_ssize_t count);

/* Add a future, which is not watched yet.  There is room. */
ouro_slot *ouro_slots_add(ouro_slots *slots, const waiter_kind *kind,
                          PyObject *owner, PyObject *fut);

/* From now on the kind's run() is called when the future is done. 0 or -1. */
int ouro_slot_watch(ouro_state *st, ouro_slot *slot);

/* Add and watch all futures of a list. 0 or -1. */
int ouro_slots_watch_all(ouro_state *st, ouro_slots *slots,
                         const waiter_kind *kind, PyObject *owner,
                         PyObject *list);

/* For the owner's traverse and dealloc.  There is nothing to clear: jobs may
 * still be queued, and a cycle is broken at the futures. */
int ouro_slots_traverse(ouro_slots *slots, visitproc visit, void *arg);
void ouro_slots_free(ouro_slots *slots);

/* The kind's run() is one that calls this with what is to be done; what fails
 * there is reported as a callback's exception. */
int ouro_slot_run(ou_job *job, int (*done)(ouro_state *st, ouro_slot *slot));

/* All else of the kind's job. */
#define OURO_SLOT_JOB                                                         \
    .drop = ouro_slot_drop, .hold = ouro_slot_hold, .visit = ouro_slot_visit

void ouro_slot_drop(ou_job *job);
void ouro_slot_hold(ou_job *job);
int ouro_slot_visit(ou_job *job, void *visitor);

static inline ouro_slot *
ouro_slot_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, ouro_slot, job);
}

#endif
