/* handle.h - handles: a callback, its arguments and its context.
 *
 * A Handle embeds the job by which the engine runs it, a TimerHandle a timer
 * as well: scheduling allocates the handle and nothing else.  Both also work
 * on loops of others, which call their _run().
 */
#ifndef OURO_HANDLE_H
#define OURO_HANDLE_H

#include "base/ouro.h"
#include "sys/timer.h"

typedef struct HandleObject {
    PyObject_HEAD
    PyObject *weakrefs;
    ou_job job;
    PyObject *callback; /* NULL: None, after cancel() */
    /* A tuple (or what Handle() was given); `single`: the one argument
     * itself; NULL: none. */
    PyObject *args;
    PyObject *context;
    PyObject *loop;
    PyObject *source_traceback; /* debug mode: where it was created */
    PyObject *repr;             /* debug mode: from before cancel() */
    bool single;
    bool cancelled;
    bool safe; /* a _ThreadSafeHandle */
} HandleObject;

typedef struct TimerHandleObject {
    HandleObject handle;
    ou_timer timer;
    PyObject *when; /* NULL: the float of `deadline` */
    double deadline;
    bool scheduled; /* in some heap that is not our engine's */
} TimerHandleObject;

/* How many freed ones of each type are kept. */
enum { OURO_FREE_HANDLES = 1024 };

extern const ou_job_kind ouro_handle_job;

/* One of the exact types: only a subclass can have a _run() of its own. */
static inline bool
ouro_handle_exact(ouro_state *st, PyObject *object)
{
    return Py_TYPE(object) == st->types.Handle
           || Py_TYPE(object) == st->types.TimerHandle
           || Py_TYPE(object) == st->types.ThreadSafeHandle;
}

static inline bool
ouro_timer_handle_check(ouro_state *st, PyObject *object)
{
    return Py_TYPE(object) == st->types.TimerHandle
           || PyObject_TypeCheck(object, st->types.TimerHandle);
}

/* A handle of our exact type; context NULL or None: a copy of the current
 * one.  In debug mode it notes where it was created. */
PyObject *ouro_handle_new(ouro_state *st, PyObject *loop, PyObject *callback,
                          PyObject *const *args, Py_ssize_t nargs,
                          PyObject *context);

/* The same for call_soon_threadsafe(): from 3.14 on a _ThreadSafeHandle. */
PyObject *ouro_safe_handle_new(ouro_state *st, PyObject *loop,
                               PyObject *callback, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *context);

/* when NULL: the float of deadline. */
PyObject *ouro_timer_handle_new(ouro_state *st, PyObject *loop,
                                double deadline, PyObject *when,
                                PyObject *callback, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *context);

/* What _run() does, in C for our exact types: 0, or -1 with an exception
 * that leaves the loop. */
int ouro_handle_run(HandleObject *self);

/* The same as a job of a turn: leaves the current task first, and calls the
 * loop's methods if the loop is not fast. */
int ouro_handle_run_in_turn(HandleObject *self);

/* cancel(), without the method call. 0/-1. */
int ouro_handle_cancel(HandleObject *self);

/* _args: a tuple, or None after cancel(). New reference. */
PyObject *ouro_handle_args(HandleObject *self);

/* "callback(args) at file:line", as asyncio formats it. */
PyObject *ouro_handle_source(ouro_state *st, HandleObject *self);

/* For timer_handle.c and safe_handle.c. */
int ouro_handle_check_init(HandleObject *self);
int ouro_handle_run_callback(HandleObject *self);
int ouro_safe_handle_run(HandleObject *self);
int ouro_handle_init(HandleObject *self, PyObject *callback, PyObject *args,
                     PyObject *loop, PyObject *context);
PyObject *ouro_handle_repr_info(HandleObject *self);
int ouro_handle_traverse(HandleObject *self, visitproc visit, void *arg);
void ouro_handle_clear(HandleObject *self);

/* The destructor of handles; clear: the type's tp_clear.  The memory of one of
 * exactly this type may go into the freelist. */
static inline void
ouro_handle_dealloc(PyObject *self, inquiry clear, PyTypeObject *exact,
                    ouro_freelist *list)
{
    HandleObject *handle = (HandleObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (handle->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)clear(self);
    Py_CLEAR(handle->loop);
    if (type != exact || !ouro_freelist_push(list, self, OURO_FREE_HANDLES)) {
        type->tp_free(self);
    }
    Py_DECREF(type);
}
int ouro_timer_handle_setup(PyObject *module, ouro_state *st);
int ouro_safe_handle_setup(PyObject *module, ouro_state *st);

#endif
