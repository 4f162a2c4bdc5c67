/* future.h - futures, and how to wait for one from C.
 *
 * A pending future has one ordered list of jobs: Python callbacks and native
 * waiters (a task, a slot of gather(), a condition) alike.  When it is done,
 * the whole list moves to the ready queue of its loop, one slot each, as
 * asyncio calls call_soon() for each callback.  On a loop that is not fast
 * each entry is passed to loop.call_soon() as a callable instead.
 */
#ifndef OURO_FUTURE_H
#define OURO_FUTURE_H

#include "base/objectjob.h"
#include "sys/job.h"
#include "task/host.h"

enum {
    FUTURE_PENDING,
    FUTURE_CANCELLED,
    FUTURE_FINISHED,
};

/* What most futures never have. */
typedef struct future_extras {
    PyObject *exception_traceback;
    PyObject *source_traceback; /* debug mode: where it was created */
    PyObject *cancel_message;
    PyObject *cancelled_exc;
    PyObject *awaited_by; /* 3.14+: a set, of edges added by hand */
} future_extras;

typedef struct FutureObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *loop; /* NULL: __init__ has not been called */
    /* Who waits, and once the future is done, for what.  All zero bytes:
     * nobody, and no result. */
    union {
        ou_line callbacks; /* PENDING */
        PyObject *result;  /* FINISHED: or the exception if `failed` */
    };
    future_extras *extras;
    uint8_t state;
    uint8_t failed;
    uint8_t blocking;          /* _asyncio_future_blocking */
    uint8_t log_traceback : 1; /* nobody has looked at the exception yet */
    uint8_t moved : 1; /* __init__ was called again, for another loop */
    /* Of tasks alone; here they cost nothing. */
    uint8_t must_cancel : 1;
    uint8_t log_destroy_pending : 1;
    int cancels; /* cancelling() */
} FutureObject;

/* A waiter of a future: what asyncio has as a done callback, in C.  Its job
 * is queued in the future with a reference to its owner (see sys/job.h);
 * run() is called in the turn after the future is done. hold, drop and visit
 * are all required. */
typedef struct waiter_kind {
    ou_job_kind job;
    /* For Python's eyes (_callbacks, reprs) and for loops that are not fast:
     * a new callable that, called with the future, does what run() does.
     * NULL: ouro_waiter_callable() is used. */
    PyObject *(*callable)(ouro_state *st, ou_job *job);
    /* The context that asyncio would pass to call_soon(), borrowed; the
     * function or its result may be NULL: the context current at the time. */
    PyObject *(*context)(ou_job *job);
    /* What reprs show for it, e.g. "gather.<locals>._done_callback". */
    const char *qualname;
    /* The task for which it waits, borrowed, or NULL: an edge of 3.14's call
     * graph.  The function may be NULL. */
    PyObject *(*awaiter)(ou_job *job);
} waiter_kind;

/* One of our exact types, which differ from Future in cancel() alone: other
 * methods may be replaced by direct calls. */
static inline bool
ouro_future_exact(ouro_state *st, PyObject *object)
{
    return Py_TYPE(object) == st->types.Future
           || Py_TYPE(object) == st->types.Task
           || Py_TYPE(object) == st->types.GatheringFuture;
}

/* Ours, or a subclass of ours. */
static inline bool
ouro_future_check(ouro_state *st, PyObject *object)
{
    return ouro_future_exact(st, object)
           || PyObject_TypeCheck(object, st->types.Future);
}

/* ---- our futures ------------------------------------------------------- */

/* A new pending future of our exact type on `loop` (which is any loop).  It
 * is what loop.create_future() of our Loop returns. */
PyObject *ouro_future_new(ouro_state *st, PyObject *loop);

/* set_result() and set_exception() of an instance of ours: 0, or -1 with
 * InvalidStateError (or TypeError for a bad exception). */
int ouro_future_set_result(FutureObject *fut, PyObject *result);
int ouro_future_set_exception(FutureObject *fut, PyObject *exception);

/* cancel(msg=message) of a plain Future (not a Task); message NULL: none.
 * 1: cancelled; 0: it was done; -1: error. */
int ouro_future_cancel(FutureObject *fut, PyObject *message);

/* result(), as the method: NULL with the future's exception. */
PyObject *ouro_future_result(FutureObject *fut);

/* The exception to throw into who awaits this done future: 1 and a new
 * reference, 0 if it has a result, -1 on error.  Marks it as retrieved. */
int ouro_future_exception(FutureObject *fut, PyObject **ret_exception);

/* Take a waiter out again: true if it was there; its reference is then the
 * caller's. */
bool ouro_future_remove_waiter(FutureObject *fut, ou_job *waiter);

/* Complete a future from our own I/O job: like set_result(), but where that is
 * a legal order (docs/architecture.md, "Waking in place") the one task that
 * waits is stepped at once.  0, or -1 if an exception leaves the loop. */
int ouro_future_set_result_now(FutureObject *fut, PyObject *result);

/* ---- anybody's futures: asyncio's, ours, subclasses, look-alikes -------- */

/* loop.create_future(): direct where the loop is fast. */
PyObject *ouro_create_future(ouro_state *st, PyObject *loop);

/* isfuture(): 1, 0, -1. */
int ouro_isfuture(ouro_state *st, PyObject *object);
/* fut.done(), fut.cancelled(): 1, 0, -1. */
int ouro_anyfuture_done(ouro_state *st, PyObject *fut);
int ouro_anyfuture_cancelled(ouro_state *st, PyObject *fut);
PyObject *ouro_anyfuture_result(ouro_state *st, PyObject *fut);
/* fut.exception(): new reference (None: has a result), NULL: raised. */
PyObject *ouro_anyfuture_exception(ouro_state *st, PyObject *fut);
int ouro_anyfuture_set_result(ouro_state *st, PyObject *fut, PyObject *value);
int ouro_anyfuture_set_exception(ouro_state *st, PyObject *fut,
                                 PyObject *exception);
/* fut.cancel(msg=message) (message NULL: fut.cancel()): truth, or -1. */
int ouro_anyfuture_cancel(ouro_state *st, PyObject *fut, PyObject *message);
/* futures._get_loop(fut). */
PyObject *ouro_anyfuture_loop(ouro_state *st, PyObject *fut);

/* Wait for any future from C, done or not: the waiter's run() is called in a
 * turn of the future's loop, as a done callback would be.  Takes the queue's
 * reference over in every case (on error it is dropped). 0 or -1. */
int ouro_watch(ouro_state *st, PyObject *fut, ou_job *waiter);

/* Take such a waiter out again, if the future has not been done since;
 * remove_done_callback() of anybody's future. 0 or -1. */
int ouro_unwatch(ouro_state *st, PyObject *fut, ou_job *waiter);

/* The task that this callable wakes up, borrowed, or NULL if it is none. */
PyObject *ouro_task_of_wakeup(ouro_state *st, PyObject *callable);

/* The default callable of a waiter: calling it runs the job, once. */
PyObject *ouro_waiter_callable(ouro_state *st, ou_job *waiter);

/* The current exception has left a waiter's run(): the loop's exception
 * handler gets it, as for any callback of fut.  0, or -1 with the exception
 * set if it leaves the loop (or if the loop is not ours, which then reports
 * it). */
int ouro_waiter_failed(ouro_state *st, PyObject *fut, ou_job *waiter);

#endif
