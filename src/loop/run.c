/* run.c - running: turns, run_forever() and run_until_complete().
 *
 * A turn is the engine's prepare, wait, collect, dispatch.  The interpreter's
 * lock is given up around a wait that can block, and nowhere else.
 */
#include "loop/loop.h"

#include <errno.h>

#include "base/args.h"
#include "loop/fdwatch.h"
#include "loop/steps.h"
#include "task/registry.h"

/* ---- the clock --------------------------------------------------------- */

/* The engine asks for the time where it cannot handle an exception: that is
 * kept until the turn looks. */
double
ouro_loop_clock(void *arg)
{
    LoopObject *self = arg;
    if (self->clock_error != NULL) {
        return self->clock_last;
    }
    PyObject *outer = PyErr_GetRaisedException();
    PyObject *now = self->clock != NULL && ouro_loop_plain(self)
                        ? PyObject_CallNoArgs(self->clock)
                        : PyObject_CallMethodNoArgs((PyObject *)self,
                                                    self->core.st->str.time);
    if (now != NULL) {
        self->clock_last = PyFloat_AsDouble(now);
        Py_DECREF(now);
    }
    self->clock_error = PyErr_GetRaisedException();
    PyErr_SetRaisedException(outer);
    return self->clock_last;
}

static int
clock_check(LoopObject *self)
{
    if (self->clock_error == NULL) {
        return 0;
    }
    PyErr_SetRaisedException(self->clock_error);
    self->clock_error = NULL;
    return -1;
}

/* ---- the turn ---------------------------------------------------------- */

/* In the place of a wait with a test's clock: it moves on by as much. */
static int
wait_on_clock(LoopObject *self, double timeout)
{
    int n = ou_loop_wait(&self->core.engine, 0.0);
    if (n != 0 || timeout == 0) {
        return n;
    }
    PyObject *seconds =
        timeout < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(timeout);
    PyObject *result = seconds != NULL
                           ? PyObject_CallOneArg(self->clock_wait, seconds)
                           : NULL;
    Py_XDECREF(seconds);
    Py_XDECREF(result);
    return 0;
}

/* The number of events or -errno; an exception may be set besides. */
static int
wait_for_events(LoopObject *self, double timeout)
{
    ou_loop *engine = &self->core.engine;
    if (timeout == OU_NO_WAIT) {
        return 0;
    }
    if (self->clock_wait != NULL) {
        return wait_on_clock(self, timeout);
    }
    if (timeout == 0 || engine->poller.backend->foreign) {
        return ou_loop_wait(engine, timeout);
    }
    int n;
    Py_BEGIN_ALLOW_THREADS
    n = ou_loop_wait(engine, timeout);
    Py_END_ALLOW_THREADS
    return n;
}

/* There is work to do and nothing to wait for: nor is anything lost here to
 * an exception. */
static inline int
collect_without_wait(LoopObject *self)
{
    if (self->core.entered == NULL && PyErr_CheckSignals() < 0) {
        return -1;
    }
    ou_loop_collect(&self->core.engine, 0);
    return clock_check(self);
}

static int
wait_and_collect(LoopObject *self, double timeout)
{
    ou_loop *engine = &self->core.engine;
    int n = wait_for_events(self, timeout);
    /* What has come must not be lost to an exception. */
    if (!PyErr_Occurred()) {
        if (n < 0 && n != -EINTR) {
            ouro_raise_errno(n);
        }
        else if (self->core.entered == NULL) {
            (void)PyErr_CheckSignals();
        }
    }
    if (!self->core.fast && !PyErr_Occurred()) {
        (void)ouro_fdwatch_process(self, &n);
    }
    PyObject *error = PyErr_GetRaisedException();
    ou_loop_collect(engine, n);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
        return -1;
    }
    return clock_check(self);
}

/* While a task's entry stands no signal is handled: the handler would see a
 * task that does not run.  Where steps run Python the interpreter handles
 * signals there; with steps in C alone, they wait for so many turns. */
#define TURNS_WITHOUT_SIGNALS 16

/* Can others run now, while we wait or as signal handlers, and ask for the
 * current task? */
static bool
turn_is_seen(LoopObject *self, double timeout)
{
    if (timeout != OU_NO_WAIT
        && (timeout != 0 || self->core.engine.poller.backend->foreign)) {
        return true;
    }
    return self->fast_turns++ % TURNS_WITHOUT_SIGNALS == 0;
}

static int
turn_fast(LoopObject *self)
{
    ou_loop *engine = &self->core.engine;
    double timeout = ou_loop_prepare(engine);
    if (self->core.stopping && timeout != OU_NO_WAIT) {
        timeout = 0;
    }
    if (turn_is_seen(self, timeout) && ouro_leave_task_fast(&self->core) < 0) {
        return -1;
    }
    if (clock_check(self) < 0) {
        return -1;
    }
    int result = timeout == OU_NO_WAIT ? collect_without_wait(self)
                                       : wait_and_collect(self, timeout);
    return result < 0 ? -1 : ou_loop_dispatch(engine);
}

static int
turn_faithful(LoopObject *self)
{
    ou_loop *engine = &self->core.engine;
    if (ouro_leave_task_fast(&self->core) < 0) {
        return -1;
    }
    double timeout = ou_loop_prepare(engine);
    if (clock_check(self) < 0) {
        return -1;
    }
    timeout = ouro_queues_timeout(self, timeout);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (self->core.stopping && timeout != OU_NO_WAIT) {
        timeout = 0;
    }
    if (wait_and_collect(self, timeout) < 0 || ouro_queues_collect(self) < 0) {
        return -1;
    }
    int result = ou_loop_dispatch(engine);
    return result < 0 ? -1 : ouro_queues_run(self);
}

/* One turn of the engine: what _run_once() does. 0/-1. */
static int
loop_turn(LoopObject *self)
{
    if (ouro_loop_refuse_closed(self) < 0) {
        return -1;
    }
    if (ouro_loop_fast(self->core.st, (PyObject *)self)) {
        return turn_fast(self);
    }
    ouro_loop_refresh(self);
    return self->core.fast ? turn_fast(self) : turn_faithful(self);
}

static PyObject *
loop_run_once(PyObject *op, PyObject *ignored)
{
    if (loop_turn((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- run_forever ------------------------------------------------------- */

static int
refuse_running(LoopObject *self)
{
    ouro_state *st = self->core.st;
    PyObject *running =
        PyObject_CallMethodNoArgs((PyObject *)self, st->str.is_running);
    if (running == NULL) {
        return -1;
    }
    int truth = PyObject_IsTrue(running);
    Py_DECREF(running);
    if (truth != 0) {
        if (truth > 0) {
            PyErr_SetString(PyExc_RuntimeError,
                            "This event loop is already running");
        }
        return -1;
    }
    PyObject *other;
    if (ouro_events_running_loop(st, &other) < 0) {
        return -1;
    }
    if (other != NULL) {
        Py_DECREF(other);
        PyErr_SetString(
            PyExc_RuntimeError,
            "Cannot run the event loop while another loop is running");
        return -1;
    }
    return 0;
}

int
ouro_loop_check_running(LoopObject *self)
{
    int done =
        ouro_loop_by_method(self, self->core.st->str._check_running, NULL);
    return done < 0 ? -1 : done > 0 ? 0 : refuse_running(self);
}

static PyObject *
loop_check_running(PyObject *op, PyObject *ignored)
{
    if (refuse_running((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
set_running_loop(ouro_state *st, PyObject *loop)
{
    ouro_forget_running_loop(st);
    return ouro_drop_result(
        PyObject_CallOneArg(st->stock._set_running_loop, loop));
}

int
ouro_loop_adopt(LoopObject *self)
{
    ou_loop *engine = &self->core.engine;
    if (self->core.running || !self->core.opened || !ou_loop_forked(engine)
        || ou_loop_adopt(engine) == 0) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "The event loop belongs to the parent process");
    return -1;
}

static int
check_can_run(LoopObject *self)
{
    if (ouro_loop_check_closed(self) < 0 || ouro_loop_check_running(self) < 0
        || ouro_loop_refuse_closed(self) < 0) {
        return -1;
    }
    return ouro_loop_adopt(self);
}

static int
step_leave_task(LoopObject *self)
{
    return ouro_leave_task_fast(&self->core);
}

static int
step_unset_running(LoopObject *self)
{
    return set_running_loop(self->core.st, Py_None);
}

static int
step_untrack_origins(LoopObject *self)
{
    return ouro_loop_track_origins(self, false);
}

/* Runs whether or not an exception is set, and keeps it. */
static int
run_cleanup(LoopObject *self)
{
    static const loop_step steps[] = {step_leave_task, step_unset_running,
                                      step_untrack_origins,
                                      ouro_asyncgens_leave};
    self->core.stopping = false;
    self->thread_id = 0;
    self->core.running = false;
    return ouro_loop_do_all(self, steps, Py_ARRAY_LENGTH(steps));
}

static int
run_setup(LoopObject *self)
{
    if (check_can_run(self) < 0) {
        return -1;
    }
    /* Whatever has happened since the last run, its first turn polls. */
    ou_loop_note_io(&self->core.engine);
    self->thread_id = PyThread_get_thread_ident();
    self->core.running = true;
    if (ouro_loop_track_origins(self, self->core.debug) < 0
        || ouro_asyncgens_enter(self) < 0
        || set_running_loop(self->core.st, (PyObject *)self) < 0) {
        return run_cleanup(self);
    }
    return 0;
}

static PyObject *
loop_run_forever_setup(PyObject *op, PyObject *ignored)
{
    if (run_setup((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_run_forever_cleanup(PyObject *op, PyObject *ignored)
{
    if (run_cleanup((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
call_no_result(LoopObject *self, PyObject *name)
{
    return ouro_drop_result(PyObject_CallMethodNoArgs((PyObject *)self, name));
}

/* From 3.13 on, the two ends of run_forever() are methods. */
static int
setup_by_method(LoopObject *self)
{
    ouro_state *st = self->core.st;
    if (st->has.loop.run_setup && !ouro_loop_plain(self)) {
        return call_no_result(self, st->str._run_forever_setup);
    }
    return run_setup(self);
}

static int
cleanup_by_method(LoopObject *self)
{
    ouro_state *st = self->core.st;
    if (!st->has.loop.run_setup || ouro_loop_plain(self)) {
        return run_cleanup(self);
    }
    PyObject *error = PyErr_GetRaisedException();
    int result = call_no_result(self, st->str._run_forever_cleanup);
    if (error != NULL) {
        PyErr_Clear();
        PyErr_SetRaisedException(error);
        return -1;
    }
    return result;
}

static inline int
turn_by_method(LoopObject *self)
{
    if (ouro_loop_fast(self->core.st, (PyObject *)self)) {
        return turn_fast(self); /* (It is not closed.) */
    }
    if (ouro_loop_plain(self)) {
        return loop_turn(self);
    }
    return call_no_result(self, self->core.st->str._run_once);
}

int
ouro_loop_run_forever(LoopObject *self)
{
    if (setup_by_method(self) < 0) {
        return -1;
    }
    int result;
    do {
        result = turn_by_method(self);
    } while (result == 0 && !self->core.stopping);
    int clean = cleanup_by_method(self);
    return result < 0 ? -1 : clean;
}

static PyObject *
loop_run_forever(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    if (ouro_parse_none("BaseEventLoop.run_forever", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    if (ouro_loop_run_forever((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the rest ---------------------------------------------------------- */

static PyObject *
loop_stop(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    if (ouro_parse_none("BaseEventLoop.stop", args, nargs, kwnames) < 0) {
        return NULL;
    }
    ((LoopCore *)op)->stopping = true;
    Py_RETURN_NONE;
}

static PyObject *
loop_is_running(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse_none("BaseEventLoop.is_running", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return PyBool_FromLong(((LoopObject *)op)->thread_id != 0);
}

/* For tests: time that moves only when the loop would wait. */
static PyObject *
loop_set_clock(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "Loop._set_clock",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"time", "wait", NULL},
    };
    LoopObject *self = (LoopObject *)op;
    PyObject *values[2];
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    PyObject *clock = values[0] == Py_None ? NULL : values[0];
    PyObject *wait = values[1] == Py_None ? NULL : values[1];
    Py_XSETREF(self->clock, Py_XNewRef(clock));
    Py_XSETREF(self->clock_wait, Py_XNewRef(wait));
    ouro_loop_refresh(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(run_forever_doc, "run_forever($self, /)\n--\n\n\
Run until stop() is called.");
PyDoc_STRVAR(stop_doc, "stop($self, /)\n--\n\n\
Have run_forever() return at the end of this turn of the loop, or of its\n\
first, if it does not run yet.");
PyDoc_STRVAR(is_running_doc, "is_running($self, /)\n--\n\n\
Return True if the loop is running.");
PyDoc_STRVAR(run_once_doc, "_run_once($self, /)\n--\n\n\
Run one turn: wait for events, then call what is ready.");
PyDoc_STRVAR(check_running_doc, "_check_running($self, /)\n--\n\n");
PyDoc_STRVAR(set_clock_doc, "_set_clock($self, time, wait=None)\n--\n\n\
Tell the time by time(), in seconds, and instead of waiting for n seconds\n\
call wait(n); wait(None) where it would wait without a limit.");
PyDoc_STRVAR(run_forever_setup_doc, "_run_forever_setup($self, /)\n--\n\n\
Prepare the run loop to process events.");
PyDoc_STRVAR(run_forever_cleanup_doc,
             "_run_forever_cleanup($self, /)\n--\n\n\
Clean up after the run loop has processed events.");

static PyMethodDef methods[] = {
    OURO_METHOD("run_forever", loop_run_forever, run_forever_doc),
    OURO_METHOD("stop", loop_stop, stop_doc),
    OURO_METHOD("is_running", loop_is_running, is_running_doc),
    {"_run_once", loop_run_once, METH_NOARGS, run_once_doc},
    {"_check_running", loop_check_running, METH_NOARGS, check_running_doc},
    OURO_METHOD("_set_clock", loop_set_clock, set_clock_doc),
    {NULL},
};

static PyMethodDef run_setup_methods[] = {
    {"_run_forever_setup", loop_run_forever_setup, METH_NOARGS,
     run_forever_setup_doc},
    {"_run_forever_cleanup", loop_run_forever_cleanup, METH_NOARGS,
     run_forever_cleanup_doc},
    {NULL},
};

int
ouro_run_setup(PyObject *module, ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return st->has.loop.run_setup
               ? ouro_loop_add_methods(st, run_setup_methods)
               : 0;
}
