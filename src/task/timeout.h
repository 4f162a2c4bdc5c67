/* timeout.h - the Timeout object, and its use by C callers. */
#ifndef OURO_TIMEOUT_H
#define OURO_TIMEOUT_H

#include "base/await.h"
#include "sys/timer.h"
#include "task/task.h"

typedef enum timeout_state {
    TIMEOUT_CREATED,
    TIMEOUT_ENTERED,
    TIMEOUT_EXPIRING,
    TIMEOUT_EXPIRED,
    TIMEOUT_EXITED,
} timeout_state;

typedef struct TimeoutObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *when;    /* a number, or None */
    PyObject *task;    /* NULL before it is entered */
    PyObject *loop;    /* whose engine the timer is armed on, or NULL */
    PyObject *handler; /* a handle, where the engine is not used, or NULL */
    ou_job job;
    ou_timer timer;
    int cancelling; /* the task's count when it was entered */
    timeout_state state;
} TimeoutObject;

/* ---- for C callers ----------------------------------------------------- */

/* timeout(delay), entered for the current task: a new reference. */
PyObject *ouro_timeout_begin(ouro_state *st, PyObject *delay);

/* Leave it; the exception of the block, if any, is the current one. 0: there
 * is none; -1: the one that goes on is set. */
int ouro_timeout_end(ouro_state *st, PyObject *timeout);

/* ---- between timeout.c and timeout_with.c ------------------------------ */

/* timeout(delay). */
PyObject *ouro_timeout_after(ouro_state *st, PyObject *delay);

/* reschedule(when). 0/-1. */
int ouro_timeout_reschedule(ouro_state *st, TimeoutObject *self,
                            PyObject *when);

/* Take its timer or handle back. 0/-1. */
int ouro_timeout_disarm(ouro_state *st, TimeoutObject *self);

extern const ouro_async_def ouro_timeout_async_methods[];
extern const ouro_async_def ouro_timeout_async_methods_3_13[];

#endif
