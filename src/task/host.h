/* host.h - the loop, as tasks and futures see it.
 *
 * A task lives on a loop that is ours or anybody's.  On a loop of ours that
 * behaves as it was written (exact type, nothing overridden or patched, no
 * debug mode) its jobs go straight onto the engine's ready queue.  On every
 * other loop the documented methods are called, as asyncio calls them.
 *
 * LoopCore is the part of our loop that this room may touch; src/loop fills
 * it in.  Nothing here includes src/loop.
 */
#ifndef OURO_HOST_H
#define OURO_HOST_H

#include "base/ouro.h"
#include "sys/loop.h"

/* What the loop's room does for this one. */
typedef struct loop_ops {
    /* The current exception left a callback: report it as Handle._run()
     * does ("Exception in callback ..."), with a Handle made on demand.
     * args: a tuple or NULL.  0, or -1 if the exception leaves the loop
     * (SystemExit, KeyboardInterrupt); it is then still set. */
    int (*callback_failed)(PyObject *loop, PyObject *callback, PyObject *args,
                           PyObject *context);
    /* Queue a job from any thread, on a loop that is fast. */
    void (*post)(PyObject *loop, ou_job *job);
    /* Call func(*args, **kwargs) in a thread of the default executor's,
     * within context. 1: *ret is a future of the result; 0: not on this loop,
     * run_in_executor() has to be called; -1. */
    int (*call_in_thread)(PyObject *loop, PyObject *func, PyObject *args,
                          PyObject *kwargs, PyObject *context, PyObject **ret);
} loop_ops;

typedef struct LoopCore {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    ouro_state *st;
    /* Keeps `st` alive until the loop is freed: the type would, but the
     * collector may take that apart before. Owned; NULL: it had done so when
     * the loop was made. */
    PyObject *module;
    const loop_ops *ops;
    ou_loop engine;
    /* Nothing is overridden or patched and debug mode is off.  Read it
     * through ouro_loop_fast(). */
    bool fast;
    bool debug;
    bool has_task_factory;
    bool eager_factory; /* and it is one of ours: ouro_is_eager_factory() */
    bool opened;        /* the engine is usable */
    bool running;       /* run_forever() is on the stack */
    bool stopping;      /* it returns when this turn is over */
    /* Our task that is entered as the current one in asyncio's registry
     * though no step runs: the next step overwrites it, anything else leaves
     * it first (registry.h). Owned. */
    PyObject *entered;
    bool shown; /* it is in the registry; else in `entered` alone */
} LoopCore;

/* Whether loop is an instance of our Loop or of a subclass. */
static inline bool
ouro_loop_check(ouro_state *st, PyObject *loop)
{
    return Py_TYPE(loop) == st->types.Loop
           || (st->types.LoopCore != NULL
               && PyObject_TypeCheck(loop, st->types.LoopCore));
}

/* The engine may be used directly in place of the loop's methods.  loop may
 * be NULL here and below: somebody has deleted an object's _loop, or has not
 * called its __init__; that is an AttributeError where it is used. */
static inline bool
ouro_loop_fast(ouro_state *st, PyObject *loop)
{
    return loop != NULL && Py_TYPE(loop) == st->types.Loop
           && ((LoopCore *)loop)->fast && ouro_intact_check(&st->loop_intact);
}

static inline ou_loop *
ouro_loop_engine(PyObject *loop)
{
    return &((LoopCore *)loop)->engine;
}

/* The running loop (owned), or NULL: RuntimeError "no running event loop". */
PyObject *ouro_running_loop(ouro_state *st);
/* The same, but NULL without an exception where no loop runs; -1 is an
 * error. */
int ouro_running_loop_or_null(ouro_state *st, PyObject **ret_loop);

/* The same by events._get_running_loop(), as asyncio's locks, loops and
 * runners ask: a program may have put another function in its place. */
int ouro_events_running_loop(ouro_state *st, PyObject **ret_loop);
/* asyncio.get_event_loop() as futures' constructors use it. */
PyObject *ouro_event_loop(ouro_state *st);

/* The running loop is about to change, or to go: drop what is remembered. */
void ouro_forget_running_loop(ouro_state *st);

/* 0, or -1 with the AttributeError where loop is NULL. */
int ouro_loop_check_there(PyObject *loop);

/* loop.get_debug() as a truth value; -1: an exception. */
int ouro_loop_debug(ouro_state *st, PyObject *loop);

/* loop.time() in seconds, on our loops without a Python call; -1.0 with an
 * exception set on failure. */
double ouro_loop_time(ouro_state *st, PyObject *loop);

/* loop.call_soon(callback, arg, context=context) by the documented method.
 * arg may be NULL (no argument), context may be NULL (not passed). 0 or -1.
 */
int ouro_loop_call_soon(ouro_state *st, PyObject *loop, PyObject *callback,
                        PyObject *arg, PyObject *context);

/* That has failed (or callable could not be made and is NULL).  True if it was
 * for want of memory, on a loop of ours, and nobody keeps the callable: then
 * the job that it stands for can go onto the engine's queue instead, which
 * takes no memory, and the exception is cleared. */
bool ouro_loop_without_memory(ouro_state *st, PyObject *loop,
                              PyObject *callable);

/* loop.call_exception_handler(context): context is a dict, consumed. 0/-1. */
int ouro_loop_call_exception_handler(ouro_state *st, PyObject *loop,
                                     PyObject *context);

#endif
