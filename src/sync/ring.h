/* ring.h - the containers of this room: who waits, what a queue holds.
 *
 * A ring of references in C that is a collections.deque to Python.  From the
 * moment that Python looks at it, the object that it was given (or that it
 * assigned) is the storage, for good, and every operation is the method call
 * that asyncio would make on it: what a program does to a queue's _queue
 * happens to the queue.
 */
#ifndef OURO_RING_H
#define OURO_RING_H

#include "base/ouro.h"

enum { OURO_RING_KEPT = 1024 }; /* more places are given back when empty */

typedef struct ouro_ring {
    PyObject **slots;    /* from head, round the end, `count` references */
    Py_ssize_t capacity; /* a power of two, or 0 */
    Py_ssize_t head;
    Py_ssize_t count;
    PyObject *shared; /* the storage instead, once Python knows it */
} ouro_ring;

/* The i-th of a ring that is not shared; borrowed. */
static inline PyObject *
ouro_ring_at(const ouro_ring *ring, Py_ssize_t i)
{
    return ring->slots[(ring->head + i) & (ring->capacity - 1)];
}

/* len(ring), or -1. */
Py_ssize_t ouro_ring_length(ouro_ring *ring);

/* bool(ring), or -1. */
static inline int
ouro_ring_truth(ouro_ring *ring)
{
    return ring->shared == NULL ? ring->count != 0
                                : PyObject_IsTrue(ring->shared);
}

/* append() and popleft() in all other cases than the two below. */
int ouro_ring_append_slow(ouro_state *st, ouro_ring *ring, PyObject *object);
PyObject *ouro_ring_popleft_slow(ouro_state *st, ouro_ring *ring);

static inline int
ouro_ring_append(ouro_state *st, ouro_ring *ring, PyObject *object)
{
    /* (A shared ring has no capacity.) */
    if (ring->count == ring->capacity) {
        return ouro_ring_append_slow(st, ring, object);
    }
    Py_ssize_t tail = (ring->head + ring->count) & (ring->capacity - 1);
    ring->slots[tail] = Py_NewRef(object);
    ring->count++;
    return 0;
}

static inline PyObject *
ouro_ring_popleft(ouro_state *st, ouro_ring *ring)
{
    if (ring->count == 0 || ring->capacity > OURO_RING_KEPT) {
        return ouro_ring_popleft_slow(st, ring);
    }
    PyObject *object = ring->slots[ring->head];
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
    return object;
}

/* Take out the first that is `object`.  -1: ValueError, it is not there. */
int ouro_ring_remove(ouro_state *st, ouro_ring *ring, PyObject *object);

/* One pass over a ring.  The ring may change meanwhile: a shared one raises
 * what its iterator raises. */
typedef struct ouro_ring_pass {
    ouro_ring *ring;
    Py_ssize_t index;
    PyObject *iterator;
} ouro_ring_pass;

static inline ouro_ring_pass
ouro_ring_begin(ouro_ring *ring)
{
    return (ouro_ring_pass){.ring = ring};
}

/* 1: *ret is the next one (owned); 0: there is none; -1: an exception. */
int ouro_ring_next(ouro_ring_pass *pass, PyObject **ret);
void ouro_ring_end(ouro_ring_pass *pass);

/* What Python gets to see: a new reference. */
PyObject *ouro_ring_share(ouro_state *st, ouro_ring *ring);

/* Python assigns a container of its own (NULL: an empty ring again). */
void ouro_ring_assign(ouro_ring *ring, PyObject *container);

int ouro_ring_traverse(ouro_ring *ring, visitproc visit, void *arg);
void ouro_ring_clear(ouro_ring *ring);

#endif
