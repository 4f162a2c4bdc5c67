/* ring.c - a ring of references that turns into a deque when it is seen.
 *
 * References go in at the tail and out at the head; a waiter that gives up
 * is taken out of the middle.  Each operation does its work on the slots, or
 * calls the method of the same name of the container that Python knows.
 */
#include "sync/ring.h"

#include <string.h>

enum { FIRST_CAPACITY = 8 };

Py_ssize_t
ouro_ring_length(ouro_ring *ring)
{
    return ring->shared == NULL ? ring->count : PyObject_Size(ring->shared);
}

static int
ring_grow(ouro_ring *ring)
{
    Py_ssize_t capacity =
        ring->capacity == 0 ? FIRST_CAPACITY : ring->capacity * 2;
    PyObject **slots = PyMem_New(PyObject *, capacity);
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < ring->count; i++) {
        slots[i] = ouro_ring_at(ring, i);
    }
    PyMem_Free(ring->slots);
    ring->slots = slots;
    ring->capacity = capacity;
    ring->head = 0;
    return 0;
}

static void
ring_give_back(ouro_ring *ring)
{
    PyMem_Free(ring->slots);
    ring->slots = NULL;
    ring->capacity = ring->head = 0;
}

/* Run a method of the shared container for its effect. */
static int
shared_call(ouro_ring *ring, PyObject *method, PyObject *argument)
{
    /* (The method may put another container in its place.) */
    PyObject *container = Py_NewRef(ring->shared);
    PyObject *result = PyObject_CallMethodOneArg(container, method, argument);
    Py_DECREF(container);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
ouro_ring_append_slow(ouro_state *st, ouro_ring *ring, PyObject *object)
{
    if (ring->shared != NULL) {
        return shared_call(ring, st->str.append, object);
    }
    return ring_grow(ring) < 0 ? -1 : ouro_ring_append(st, ring, object);
}

PyObject *
ouro_ring_popleft_slow(ouro_state *st, ouro_ring *ring)
{
    if (ring->shared != NULL) {
        PyObject *container = Py_NewRef(ring->shared);
        PyObject *result =
            PyObject_CallMethodNoArgs(container, st->str.popleft);
        Py_DECREF(container);
        return result;
    }
    if (ring->count == 0) {
        PyErr_SetString(PyExc_IndexError, "pop from an empty deque");
        return NULL;
    }
    PyObject *object = ring->slots[ring->head];
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
    if (ring->count == 0 && ring->capacity > OURO_RING_KEPT) {
        ring_give_back(ring);
    }
    return object;
}

/* Close the gap at index from the side where less has to move. */
static void
ring_close_gap(ouro_ring *ring, Py_ssize_t index)
{
    Py_ssize_t mask = ring->capacity - 1;
    if (index < ring->count / 2) {
        for (Py_ssize_t i = index; i > 0; i--) {
            ring->slots[(ring->head + i) & mask] = ouro_ring_at(ring, i - 1);
        }
        ring->head = (ring->head + 1) & mask;
    }
    else {
        for (Py_ssize_t i = index; i < ring->count - 1; i++) {
            ring->slots[(ring->head + i) & mask] = ouro_ring_at(ring, i + 1);
        }
    }
    ring->count--;
}

int
ouro_ring_remove(ouro_state *st, ouro_ring *ring, PyObject *object)
{
    if (ring->shared != NULL) {
        return shared_call(ring, st->str.remove, object);
    }
    for (Py_ssize_t i = 0; i < ring->count; i++) {
        if (ouro_ring_at(ring, i) == object) {
            ring_close_gap(ring, i);
            Py_DECREF(object);
            return 0;
        }
    }
    PyErr_SetString(PyExc_ValueError, "deque.remove(x): x not in deque");
    return -1;
}

/* Go on with the shared container where the pass over the slots stands. */
static int
pass_over_shared(ouro_ring_pass *pass)
{
    pass->iterator = PyObject_GetIter(pass->ring->shared);
    if (pass->iterator == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < pass->index; i++) {
        PyObject *seen = PyIter_Next(pass->iterator);
        if (seen == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        Py_DECREF(seen);
    }
    return 0;
}

int
ouro_ring_next(ouro_ring_pass *pass, PyObject **ret)
{
    ouro_ring *ring = pass->ring;
    if (pass->iterator == NULL) {
        if (ring->shared == NULL) {
            if (pass->index >= ring->count) {
                return 0;
            }
            *ret = Py_NewRef(ouro_ring_at(ring, pass->index++));
            return 1;
        }
        if (pass_over_shared(pass) < 0) {
            return -1;
        }
    }
    *ret = PyIter_Next(pass->iterator);
    if (*ret != NULL) {
        return 1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

void
ouro_ring_end(ouro_ring_pass *pass)
{
    Py_CLEAR(pass->iterator);
}

PyObject *
ouro_ring_share(ouro_state *st, ouro_ring *ring)
{
    if (ring->shared != NULL) {
        return Py_NewRef(ring->shared);
    }
    PyObject *deque = PyObject_CallNoArgs(st->stock.deque);
    if (deque == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < ring->count; i++) {
        PyObject *result = PyObject_CallMethodOneArg(deque, st->str.append,
                                                     ouro_ring_at(ring, i));
        if (result == NULL) {
            Py_DECREF(deque);
            return NULL;
        }
        Py_DECREF(result);
    }
    ouro_ring_assign(ring, deque);
    return deque;
}

void
ouro_ring_assign(ouro_ring *ring, PyObject *container)
{
    ouro_ring old = *ring;
    *ring = (ouro_ring){.shared = Py_XNewRef(container)};
    ouro_ring_clear(&old);
}

int
ouro_ring_traverse(ouro_ring *ring, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < ring->count; i++) {
        Py_VISIT(ouro_ring_at(ring, i));
    }
    Py_VISIT(ring->shared);
    return 0;
}

void
ouro_ring_clear(ouro_ring *ring)
{
    /* Emptied first: what is let go may run Python that looks here. */
    ouro_ring old = *ring;
    memset(ring, 0, sizeof(*ring));
    for (Py_ssize_t i = 0; i < old.count; i++) {
        Py_DECREF(ouro_ring_at(&old, i));
    }
    PyMem_Free(old.slots);
    Py_XDECREF(old.shared);
}
