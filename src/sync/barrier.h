/* barrier.h - asyncio.Barrier: what its two files share. */
#ifndef OURO_BARRIER_H
#define OURO_BARRIER_H

#include "sync/mixin.h"
#include "sync/number.h"

typedef struct BarrierObject {
    LoopBoundObject base;
    PyObject *cond;  /* _cond */
    PyObject *state; /* _state: a member of asyncio.locks._BarrierState */
    ouro_number parties;
    ouro_number count;
} BarrierObject;

static inline BarrierObject *
ouro_as_barrier(PyObject *self)
{
    return (BarrierObject *)self;
}

/* _state is the given member of _BarrierState. */
static inline bool
ouro_barrier_is(BarrierObject *self, PyObject *member)
{
    return self->state == member;
}

/* _exit(): 0 or -1. */
int ouro_barrier_exit(BarrierObject *self);

/* wait(), reset(), abort(), ... (barrier_wait.c). */
extern const ouro_async_def ouro_barrier_async_methods[];

#endif
