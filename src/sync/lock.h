/* lock.h - asyncio.Lock, and how a body of another class takes one.
 *
 * Taking a lock has up to three parts: try; if that fails, park a future and
 * wait for it; then either take the lock that was left to us, or, if an
 * exception came instead, see that the next in line gets it.
 */
#ifndef OURO_LOCK_H
#define OURO_LOCK_H

#include "sync/mixin.h"

typedef struct LockObject {
    LoopBoundObject base;
    ouro_ring waiters;
    bool has_waiters; /* _waiters is not None */
    PyObject *locked; /* _locked: a bool, if nobody changed that */
} LockObject;

static inline bool
ouro_lock_plain(ouro_state *st, PyObject *lock)
{
    return Py_TYPE(lock) == st->types.Lock
           && ouro_plain((LoopBoundObject *)lock, &st->sync.Lock);
}

/* Lock() */
PyObject *ouro_lock_new(ouro_state *st);

/* lock.locked() of our class: 1, 0, -1. */
int ouro_lock_locked(LockObject *lock);

/* 1: taken; 0: one has to wait; -1. */
int ouro_lock_try(LockObject *lock);
/* A future to wait for; a new reference. */
PyObject *ouro_lock_park(LockObject *lock);
/* fut has its result: take the lock. 0 or -1. */
int ouro_lock_take(LockObject *lock, PyObject *fut);
/* An exception, which is set, came instead.  It stays set, or what went
 * wrong here takes its place. */
void ouro_lock_abandon(LockObject *lock, PyObject *fut);

/* lock.release(): 0 or -1. */
int ouro_lock_release(LockObject *lock);

#endif
