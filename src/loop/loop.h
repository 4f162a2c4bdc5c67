/* loop.h - the Loop type, as the files of this room (and the rooms above)
 * see it.
 *
 * LoopCore carries everything; Loop is LoopCore plus BaseSelectorEventLoop,
 * the base of asyncio's own, among its bases.  Methods stand in tables, one or
 * two a file, which the files put onto the type by ouro_loop_add_methods(): so
 * every file owns one idea, its state in LoopObject and its part of the loop's
 * interface.
 *
 * Three ways to run:
 * fast      (core.fast) nothing is overridden, and nothing of what happens
 *           inside can be observed: jobs go straight to the engine.
 * plain     nothing is overridden, but it is observed: by debug mode, or
 *           because `_ready` or `_scheduled` has been read.  C functions call
 *           each other directly, but what is queued are handles.
 * otherwise a subclass, or a patched method: internal steps go through the
 *           methods that BaseEventLoop would call.
 */
#ifndef OURO_LOOP_H
#define OURO_LOOP_H

#include "base/await.h"
#include "base/objectjob.h"
#include "sys/signal.h"
#include "task/host.h"

typedef struct LoopObject {
    LoopCore core;
    unsigned long thread_id; /* of the thread that runs it; 0: none does */
    unsigned fast_turns;     /* how many; it wraps around */
    bool closed;             /* also before __init__() */
    bool patched; /* an attribute of the instance hides one of the class */
    bool exposed; /* its __dict__ was handed out: anything may be patched */
    bool executor_shutdown;
    bool asyncgens_shutdown;
    bool self_pipe;         /* it has asyncio's (selfpipe.h) */
    bool tracks_origins;    /* coroutine origins, for debug mode */
    PyObject *origin_depth; /* sys's, from before that */
    PyObject *debug; /* what set_debug() was given; core.debug is its truth */
    PyObject *slow_callback_duration; /* seconds */
    long internal_fds;                /* that _make_self_pipe() has counted */
    PyObject *self_pipe_in;  /* _ssock; both NULL until they are asked for */
    PyObject *self_pipe_out; /* _csock */
    PyObject *current_handle;
    PyObject *exception_handler;
    PyObject *task_factory;
    PyObject *default_executor; /* that somebody has set or seen */
    PyObject *workers;          /* our own, or NULL (workers.h) */
    PyObject *asyncgens;        /* the WeakSet, or NULL: nobody asked yet */
    PyObject *old_agen_hooks;   /* while it runs */
    PyObject *signal_handlers;  /* {number: Handle}, or NULL */
    PyObject *transports; /* the WeakValueDictionary of stock ones, or NULL */
    PyObject *watcher;    /* of child processes; NULL until it is asked for */
    PyObject *selector;   /* what is waited by, if not by our own poller */
    PyObject *selected;   /* what it has found and nobody has seen yet */
    /* Queues that Python has read belong to it for good; else NULL. */
    PyObject *ready;             /* a deque */
    PyObject *scheduled;         /* a heap in a list */
    Py_ssize_t timers_cancelled; /* how many of `scheduled` are */
    Py_ssize_t turn_left; /* what of `ready` belongs to the turn under way */
    /* _set_clock(): what tests put in the place of time.monotonic(), or NULL;
     * and what they wait by. */
    PyObject *clock;
    PyObject *clock_wait;
    PyObject *clock_error; /* what `clock` raised when the engine called it */
    double clock_last;
    ou_signal signals; /* set_wakeup_fd's pair; fds -1 until needed */
    ou_io signal_io;
} LoopObject;

/* ---- one mechanism for the interface ----------------------------------- */

/* Add methods to the type; tables are of static storage. 0 or -1. */
int ouro_loop_add_methods(ouro_state *st, PyMethodDef *methods);
int ouro_loop_add_async_methods(ouro_state *st, const ouro_async_def *methods);

/* Remember an attribute that was put onto the type as its own (fast.c). */
int ouro_loop_note_attribute(ouro_state *st, PyObject *name);

/* ---- fast.c: which way to run ------------------------------------------ */

/* Nothing is overridden: our functions may call each other directly. */
bool ouro_loop_plain(LoopObject *self);

/* Something that core.fast depends on has changed. */
void ouro_loop_refresh(LoopObject *self);

/* Whether one method is what it was, for an instance of any subclass. -1:
 * exception. */
int ouro_loop_method_intact(LoopObject *self, PyObject *name);

/* ---- small services ---------------------------------------------------- */

/* self._check_closed(): RuntimeError 'Event loop is closed' (-1), or 0.  An
 * overridden one may let a closed loop pass; refuse_closed(), which calls no
 * method, does not. */
int ouro_loop_check_closed(LoopObject *self);
int ouro_loop_refuse_closed(LoopObject *self);
/* self.is_closed(): 1, 0, -1. */
int ouro_loop_is_closed(LoopObject *self);

/* factory: NULL or None for none. */
void ouro_loop_set_task_factory(LoopObject *self, PyObject *factory);

/* Whether another thread runs the loop at this moment. */
bool ouro_loop_elsewhere(LoopObject *self);

/* loop_ops.post */
void ouro_loop_post(PyObject *loop, ou_job *job);

/* self.time(). -1.0 with an exception set on failure. */
double ouro_loop_seconds(LoopObject *self);

/* In debug mode, self._check_thread(): RuntimeError (-1) if it is called in
 * another thread than the loop's; else 0. */
int ouro_loop_check_thread(LoopObject *self);

/* In debug mode, self._check_callback(): TypeError (-1) for coroutines and for
 * what cannot be called; else 0. */
int ouro_loop_check_callback(LoopObject *self, PyObject *callback,
                             const char *method);

/* Whether callback is a coroutine or a coroutine function: 1, 0, -1. */
int ouro_is_coroutine_or_function(ouro_state *st, PyObject *callback);

/* In debug mode: "Executing %s took %.3f seconds", if it did. 0/-1. */
int ouro_debug_log_slow(LoopObject *self, PyObject *handle, double start);

/* logger.<level>(...) of the `asyncio` logger; format and arguments build
 * the tuple of its arguments as Py_BuildValue() does. 0/-1. */
int ouro_loop_log(ouro_state *st, const char *level, const char *format, ...);

/* ---- queues.c: what is to be run --------------------------------------- */

/* Run handle, anybody's, in the next turn: as _ready.append(handle). 0/-1. */
int ouro_loop_append(LoopObject *self, PyObject *handle);

/* Start a timer handle of ours, as heappush(_scheduled, timer). 0/-1. */
int ouro_loop_schedule(LoopObject *self, PyObject *timer);

/* Give a handle that is no job of ours one, and queue it (jobs.c). 0/-1. */
int ouro_append_guest(LoopObject *self, PyObject *handle);

/* The handle that stands for a job which was taken out of the ring; consumes
 * the job's reference, also on failure. */
PyObject *ouro_job_handle(LoopObject *self, ou_job *job);

/* Run a handle of anybody's at its place in the turn: with the current task
 * left, timed in debug mode. 0, or -1: an exception leaves the loop. */
int ouro_loop_run_handle(LoopObject *self, PyObject *handle);

/* The attributes _ready and _scheduled. */
PyObject *ouro_queues_get_ready(PyObject *self, void *closure);
int ouro_queues_set_ready(PyObject *self, PyObject *value, void *closure);
PyObject *ouro_queues_get_scheduled(PyObject *self, void *closure);
int ouro_queues_set_scheduled(PyObject *self, PyObject *value, void *closure);

/* The turn's part for queues that belong to Python. */
double ouro_queues_timeout(LoopObject *self, double timeout);
int ouro_queues_collect(LoopObject *self);
int ouro_queues_run(LoopObject *self);
int ouro_queues_drop(LoopObject *self);

/* ---- run.c ------------------------------------------------------------- */

/* self._check_running(): RuntimeError if this or another loop runs in the
 * thread (-1), or 0. */
int ouro_loop_check_running(LoopObject *self);
/* In the child of a fork: make a loop that was the parent's, and does not
 * run, the child's own. 0/-1. */
int ouro_loop_adopt(LoopObject *self);

/* run_forever(). 0/-1. */
int ouro_loop_run_forever(LoopObject *self);

/* The engine's clock for what is not fast: self.time(), or a test's. */
double ouro_loop_clock(void *self);

/* Take all steps of a clean-up, one after the other, even if some of them
 * fail.  No step is entered with an exception set; the first exception is set
 * again at the end.  A step that fails for want of memory is tried again. */
typedef int (*loop_step)(LoopObject *self);
int ouro_loop_do_all(LoopObject *self, const loop_step *steps, size_t count);

/* ---- what run_forever() and close() switch on and off ------------------- */

/* Coroutine origins are tracked while a loop runs in debug mode. 0/-1. */
int ouro_loop_track_origins(LoopObject *self, bool enabled);

/* Set, and restore, the interpreter's hooks for async generators: the running
 * loop finalizes them. 0/-1. */
int ouro_asyncgens_enter(LoopObject *self);
int ouro_asyncgens_leave(LoopObject *self);

/* Parts of close(): shut the default executor down without waiting; restore
 * the handlers of signals. 0/-1. */
int ouro_executor_close(LoopObject *self);
int ouro_signals_close(LoopObject *self);

/* ---- executor.c -------------------------------------------------------- */

/* loop_ops.call_in_thread */
int ouro_executor_call(PyObject *loop, PyObject *func, PyObject *args,
                       PyObject *kwargs, PyObject *context, PyObject **ret);

/* Let go of our own pool of threads, which then end by themselves. */
void ouro_executor_drop_workers(LoopObject *self);

/* The attribute _default_executor. */
PyObject *ouro_executor_get(PyObject *self, void *closure);
int ouro_executor_set(PyObject *self, PyObject *value, void *closure);

/* ---- hooks.c ----------------------------------------------------------- */

/* loop_ops.callback_failed */
int ouro_loop_callback_failed(PyObject *loop, PyObject *callback,
                              PyObject *args, PyObject *context);

/* ---- set-up of the files, called by ouro_loop_setup() ------------------ */

void ouro_loop_find_features(ouro_state *st);
int ouro_handle_setup(PyObject *module, ouro_state *st);
int ouro_sched_setup(PyObject *module, ouro_state *st);
int ouro_jobs_setup(PyObject *module, ouro_state *st);
int ouro_queues_setup(PyObject *module, ouro_state *st);
int ouro_run_setup(PyObject *module, ouro_state *st);
int ouro_complete_setup(PyObject *module, ouro_state *st);
int ouro_hooks_setup(PyObject *module, ouro_state *st);
int ouro_debug_setup(PyObject *module, ouro_state *st);
int ouro_create_setup(PyObject *module, ouro_state *st);
int ouro_fdwatch_setup(PyObject *module, ouro_state *st);
int ouro_sigwatch_setup(PyObject *module, ouro_state *st);
int ouro_selfpipe_setup(PyObject *module, ouro_state *st);
int ouro_executor_setup(PyObject *module, ouro_state *st);
int ouro_asyncgens_setup(PyObject *module, ouro_state *st);
int ouro_fork_setup(PyObject *module, ouro_state *st);

#endif
