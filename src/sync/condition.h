/* condition.h - asyncio.Condition: what its two files share.
 *
 * locked(), acquire() and release() are attributes of the instance: the bound
 * methods of the lock.  With a plain Lock of ours they are not looked up, and
 * a "direct" condition uses the lock's own functions.
 */
#ifndef OURO_CONDITION_H
#define OURO_CONDITION_H

#include "sync/lock.h"
#include "sync/number.h"

typedef struct ConditionObject {
    LoopBoundObject base;
    ouro_ring waiters;
    PyObject *lock;  /* what it uses */
    PyObject *shown; /* _lock: what Python sees */
    /* The attributes of these names; NULL: the methods of the lock. */
    PyObject *locked;
    PyObject *acquire;
    PyObject *release;
} ConditionObject;

static inline ConditionObject *
ouro_as_condition(PyObject *self)
{
    return (ConditionObject *)self;
}

static inline bool
ouro_condition_plain(ConditionObject *self)
{
    return ouro_plain(&self->base, &self->base.st->sync.Condition);
}

/* The lock to use directly, or NULL: by the attributes. */
static inline LockObject *
ouro_condition_direct(ConditionObject *self)
{
    bool direct = ouro_condition_plain(self) && self->lock != NULL
                  && Py_TYPE(self->lock) == self->base.st->types.Lock
                  && self->locked == NULL && self->acquire == NULL
                  && self->release == NULL;
    return direct ? (LockObject *)self->lock : NULL;
}

/* self.locked(): 1, 0, -1; self.release(): 0, -1. */
int ouro_condition_locked(ConditionObject *self);
int ouro_condition_release(ConditionObject *self);

/* self._notify(1), which there is from 3.13. */
int ouro_condition_notify_one(ConditionObject *self);

/* wait(), wait_for(), __aenter__(), __aexit__() (condition_wait.c). */
extern const ouro_async_def ouro_condition_async_methods[];

#endif
