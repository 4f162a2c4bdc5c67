/* sched.c - call_soon() and its like: a handle onto the ready queue or into
 * the heap of timers.
 *
 * On the fast path one allocation (the handle) and two links.  From other
 * threads a handle goes through the engine's inbox.
 */
#include "loop/loop.h"

#include "base/args.h"
#include "sys/clock.h"
#include "loop/handle.h"
#include "loop/selfpipe.h"

/* What the calls of this file have in common:
 * f(callback, *args, context=None), with or without a time in front. */
typedef struct call {
    PyObject *when; /* delay or time; of call_at() and call_later() */
    PyObject *callback;
    PyObject *context; /* NULL: none given */
    PyObject *const *args;
    Py_ssize_t nargs;
} call;

static const ouro_signature call_soon_signature = {
    .qualname = "BaseEventLoop.call_soon",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"callback", "context", NULL},
    .varargs = true,
};

static const ouro_signature call_soon_threadsafe_signature = {
    .qualname = "BaseEventLoop.call_soon_threadsafe",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"callback", "context", NULL},
    .varargs = true,
};

static const ouro_signature call_later_signature = {
    .qualname = "BaseEventLoop.call_later",
    .skip_self = 1,
    .positional = 2,
    .required = 2,
    .names = {"delay", "callback", "context", NULL},
    .varargs = true,
};

static const ouro_signature call_at_signature = {
    .qualname = "BaseEventLoop.call_at",
    .skip_self = 1,
    .positional = 2,
    .required = 2,
    .names = {"when", "callback", "context", NULL},
    .varargs = true,
};

static int
parse_by_signature(const ouro_signature *signature, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames, call *ret)
{
    PyObject *values[3] = {NULL, NULL, NULL};
    if (ouro_parse(signature, args, nargs, kwnames, values) < 0) {
        return -1;
    }
    int first = signature->positional - 1; /* 1 with a time in front */
    ret->when = values[0];
    ret->callback = values[first];
    ret->context = values[first + 1];
    return 0;
}

static inline int
parse_call(ouro_state *st, const ouro_signature *signature,
           PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
           call *ret)
{
    Py_ssize_t positional = signature->positional;
    ret->args = args + positional;
    ret->nargs = nargs > positional ? nargs - positional : 0;
    if (nargs >= positional
        && (kwnames == NULL
            || (PyTuple_GET_SIZE(kwnames) == 1
                && PyTuple_GET_ITEM(kwnames, 0) == st->str.context))) {
        ret->when = args[0];
        ret->callback = args[positional - 1];
        ret->context = kwnames == NULL ? NULL : args[nargs];
        return 0;
    }
    return parse_by_signature(signature, args, nargs, kwnames, ret);
}

/* ---- at once ----------------------------------------------------------- */

/* Puts a new handle, or NULL, on the ready queue; returns it. */
static PyObject *
queue_handle(LoopObject *self, PyObject *handle)
{
    if (handle == NULL) {
        return NULL;
    }
    if (self->core.fast) {
        Py_INCREF(handle);
        ou_loop_push(&self->core.engine, &((HandleObject *)handle)->job);
    }
    else if (ouro_loop_append(self, handle) < 0) {
        Py_CLEAR(handle);
    }
    return handle;
}

/* What _call_soon() does. */
static PyObject *
queue_call(LoopObject *self, const call *call)
{
    return queue_handle(self, ouro_handle_new(self->core.st, (PyObject *)self,
                                              call->callback, call->args,
                                              call->nargs, call->context));
}

/* As asyncio: by self._call_soon(), where that may be somebody's. */
static PyObject *
queue_call_by_method(LoopObject *self, const call *call)
{
    ouro_state *st = self->core.st;
    int intact = ouro_loop_method_intact(self, st->str._call_soon);
    if (intact != 0) {
        return intact < 0 ? NULL : queue_call(self, call);
    }
    PyObject *args = PyTuple_New(call->nargs);
    if (args == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < call->nargs; i++) {
        PyTuple_SET_ITEM(args, i, Py_NewRef(call->args[i]));
    }
    PyObject *all[] = {(PyObject *)self, call->callback, args,
                       call->context != NULL ? call->context : Py_None};
    PyObject *handle =
        PyObject_VectorcallMethod(st->str._call_soon, all, 4, NULL);
    Py_DECREF(args);
    return handle;
}

static PyObject *
loop_call_soon(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call call;
    if (parse_call(self->core.st, &call_soon_signature, args, nargs, kwnames,
                   &call)
        < 0) {
        return NULL;
    }
    if (ouro_loop_fast(self->core.st, op)) {
        return queue_call(self, &call);
    }
    if (ouro_loop_check_closed(self) < 0
        || (self->core.debug
            && (ouro_loop_check_thread(self) < 0
                || ouro_loop_check_callback(self, call.callback, "call_soon")
                       < 0))) {
        return NULL;
    }
    return queue_call_by_method(self, &call);
}

static PyObject *
loop__call_soon(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._call_soon",
        .skip_self = 1,
        .positional = 3,
        .required = 3,
        .names = {"callback", "args", "context", NULL},
    };
    PyObject *values[3];
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(values[1]);
    if (tuple == NULL) {
        return NULL;
    }
    call call = {
        .callback = values[0],
        .context = values[2],
        .args = ((PyTupleObject *)tuple)->ob_item,
        .nargs = PyTuple_GET_SIZE(tuple),
    };
    PyObject *handle = queue_call((LoopObject *)op, &call);
    Py_DECREF(tuple);
    return handle;
}

/* ---- from any thread --------------------------------------------------- */

bool
ouro_loop_elsewhere(LoopObject *self)
{
    return self->thread_id != 0
           && self->thread_id != PyThread_get_thread_ident();
}

void
ouro_loop_post(PyObject *loop, ou_job *job)
{
    LoopObject *self = (LoopObject *)loop;
    if (ouro_loop_elsewhere(self)) {
        ou_inbox_post(&self->core.engine.inbox, job);
    }
    else {
        ou_loop_push(&self->core.engine, job);
    }
}

static PyObject *
safe_handle(LoopObject *self, const call *call)
{
    return ouro_safe_handle_new(self->core.st, (PyObject *)self,
                                call->callback, call->args, call->nargs,
                                call->context);
}

static PyObject *
post_call(LoopObject *self, const call *call)
{
    PyObject *handle = safe_handle(self, call);
    if (handle != NULL) {
        Py_INCREF(handle);
        ou_inbox_post(&self->core.engine.inbox,
                      &((HandleObject *)handle)->job);
    }
    return handle;
}

static int
wake(LoopObject *self)
{
    if (self->self_pipe) {
        return ouro_selfpipe_wake(self);
    }
    if (self->core.opened && !ou_loop_forked(&self->core.engine)) {
        ou_inbox_wake(&self->core.engine.inbox);
    }
    return 0;
}

/* self._write_to_self() */
static int
wake_by_method(LoopObject *self)
{
    ouro_state *st = self->core.st;
    int intact = ouro_loop_method_intact(self, st->str._write_to_self);
    if (intact != 0) {
        return intact < 0 ? -1 : wake(self);
    }
    return ouro_drop_result(
        PyObject_CallMethodNoArgs((PyObject *)self, st->str._write_to_self));
}

static PyObject *
loop_call_soon_threadsafe(PyObject *op, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call call;
    if (parse_call(self->core.st, &call_soon_threadsafe_signature, args, nargs,
                   kwnames, &call)
        < 0) {
        return NULL;
    }
    if (ouro_loop_fast(self->core.st, op)) {
        return ouro_loop_elsewhere(self)
                   ? post_call(self, &call)
                   : queue_handle(self, safe_handle(self, &call));
    }
    if (ouro_loop_check_closed(self) < 0
        || (self->core.debug
            && ouro_loop_check_callback(self, call.callback,
                                        "call_soon_threadsafe")
                   < 0)) {
        return NULL;
    }
    PyObject *handle = self->core.st->types.ThreadSafeHandle != NULL
                           ? queue_handle(self, safe_handle(self, &call))
                           : queue_call_by_method(self, &call);
    if (handle != NULL && wake_by_method(self) < 0) {
        Py_CLEAR(handle);
    }
    return handle;
}

/* Wakes the loop if it waits; harmless at any time and from any thread. */
static PyObject *
loop_write_to_self(PyObject *op, PyObject *ignored)
{
    return ouro_none_or_error(wake((LoopObject *)op));
}

/* ---- at a time --------------------------------------------------------- */

double
ouro_loop_seconds(LoopObject *self)
{
    if (ouro_loop_plain(self)) {
        double now = self->core.opened ? ou_loop_now(&self->core.engine)
                                       : ou_clock_now();
        if (self->clock_error == NULL) {
            return now;
        }
        PyErr_SetRaisedException(self->clock_error);
        self->clock_error = NULL;
        return -1.0;
    }
    return ouro_loop_time(self->core.st, (PyObject *)self);
}

static PyObject *
loop_time(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    if (ouro_parse_none("BaseEventLoop.time", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (self->clock != NULL) {
        return PyObject_CallNoArgs(self->clock);
    }
    return PyFloat_FromDouble(ou_clock_now());
}

/* A timer of the call. when NULL: the float of deadline. */
static PyObject *
start_timer(LoopObject *self, double deadline, PyObject *when,
            const call *call)
{
    PyObject *timer = ouro_timer_handle_new(
        self->core.st, (PyObject *)self, deadline, when, call->callback,
        call->args, call->nargs, call->context);
    if (timer != NULL && ouro_loop_schedule(self, timer) < 0) {
        Py_CLEAR(timer);
    }
    return timer;
}

static int
check_timed_call(LoopObject *self, const call *call)
{
    if (ouro_loop_check_closed(self) < 0) {
        return -1;
    }
    if (!self->core.debug) {
        return 0;
    }
    if (ouro_loop_check_thread(self) < 0) {
        return -1;
    }
    return ouro_loop_check_callback(self, call->callback, "call_at");
}

static PyObject *
call_at(LoopObject *self, const call *call)
{
    if (check_timed_call(self, call) < 0) {
        return NULL;
    }
    double deadline = PyFloat_AsDouble(call->when);
    if (deadline == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *when = PyFloat_CheckExact(call->when) ? NULL : call->when;
    return start_timer(self, deadline, when, call);
}

static PyObject *
loop_call_at(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call call;
    if (parse_call(self->core.st, &call_at_signature, args, nargs, kwnames,
                   &call)
        < 0) {
        return NULL;
    }
    if (call.when == Py_None) {
        PyErr_SetString(PyExc_TypeError, "when cannot be None");
        return NULL;
    }
    return call_at(self, &call);
}

/* self.call_at(when, callback, *args, context=context) */
static PyObject *
call_at_by_method(LoopObject *self, const call *call)
{
    ouro_state *st = self->core.st;
    PyObject **all = PyMem_New(PyObject *, call->nargs + 4);
    PyObject *kwnames = PyTuple_Pack(1, st->str.context);
    PyObject *timer = NULL;
    if (all == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (kwnames == NULL) {
        goto done;
    }
    size_t count = 0;
    all[count++] = (PyObject *)self;
    all[count++] = call->when;
    all[count++] = call->callback;
    for (Py_ssize_t i = 0; i < call->nargs; i++) {
        all[count++] = call->args[i];
    }
    all[count] = call->context != NULL ? call->context : Py_None;
    timer = PyObject_VectorcallMethod(st->str.call_at, all, count, kwnames);
done:
    Py_XDECREF(kwnames);
    PyMem_Free(all);
    return timer;
}

/* self.time() + delay, as Python adds them. */
static PyObject *
call_later_by_objects(LoopObject *self, call *call)
{
    PyObject *now;
    if (ouro_loop_plain(self)) {
        double seconds = ouro_loop_seconds(self);
        now = seconds == -1.0 && PyErr_Occurred()
                  ? NULL
                  : PyFloat_FromDouble(seconds);
    }
    else {
        now = PyObject_CallMethodNoArgs((PyObject *)self,
                                        self->core.st->str.time);
    }
    if (now == NULL) {
        return NULL;
    }
    PyObject *when = PyNumber_Add(now, call->when);
    Py_DECREF(now);
    if (when == NULL) {
        return NULL;
    }
    call->when = when;
    PyObject *timer = ouro_loop_plain(self) ? call_at(self, call)
                                            : call_at_by_method(self, call);
    Py_DECREF(when);
    return timer;
}

static PyObject *
loop_call_later(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call call;
    if (parse_call(self->core.st, &call_later_signature, args, nargs, kwnames,
                   &call)
        < 0) {
        return NULL;
    }
    if (call.when == Py_None) {
        PyErr_SetString(PyExc_TypeError, "delay must not be None");
        return NULL;
    }
    double delay;
    if (!ouro_loop_fast(self->core.st, op)) {
        return call_later_by_objects(self, &call);
    }
    if (PyFloat_CheckExact(call.when)) {
        delay = PyFloat_AS_DOUBLE(call.when);
    }
    else if (PyLong_CheckExact(call.when)) {
        delay = PyLong_AsDouble(call.when);
    }
    else {
        return call_later_by_objects(self, &call);
    }
    double now = ouro_loop_seconds(self);
    if ((now == -1.0 || delay == -1.0) && PyErr_Occurred()) {
        return NULL;
    }
    return start_timer(self, now + delay, NULL, &call);
}

/* A timer handle has been cancelled: forget it. */
static PyObject *
loop_timer_handle_cancelled(PyObject *op, PyObject *handle)
{
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    if (ouro_timer_handle_check(st, handle)) {
        TimerHandleObject *timer = (TimerHandleObject *)handle;
        if (ou_timer_started(&timer->timer)) {
            if (timer->handle.loop == op
                && ou_timer_stop(&self->core.engine.timers, &timer->timer)) {
                Py_DECREF(handle);
            }
            Py_RETURN_NONE;
        }
    }
    PyObject *scheduled = PyObject_GetAttr(handle, st->str._scheduled);
    if (scheduled == NULL) {
        return NULL;
    }
    int truth = PyObject_IsTrue(scheduled);
    Py_DECREF(scheduled);
    if (truth < 0) {
        return NULL;
    }
    self->timers_cancelled += truth;
    Py_RETURN_NONE;
}

/* ---- docstrings -------------------------------------------------------- */

PyDoc_STRVAR(call_soon_doc,
             "call_soon($self, callback, *args, context=None)\n--\n\n\
Call the callback with args in the next turn of the loop; return a Handle.\n\
\n\
Callbacks are called in the order in which they were registered, each one\n\
once, in `context` (by default a copy of the current one).");
PyDoc_STRVAR(call_soon_threadsafe_doc,
             "call_soon_threadsafe($self, callback, *args, context=None)\n"
             "--\n\n\
Like call_soon(), from any thread: wakes the loop up.");
PyDoc_STRVAR(call_later_doc,
             "call_later($self, delay, callback, *args, context=None)\n"
             "--\n\n\
Call the callback with args after `delay` seconds; return a TimerHandle.");
PyDoc_STRVAR(call_at_doc,
             "call_at($self, when, callback, *args, context=None)\n--\n\n\
Call the callback with args at the time `when`, in seconds on the clock of\n\
loop.time(); return a TimerHandle.");
PyDoc_STRVAR(time_doc, "time($self, /)\n--\n\n\
Return the time on the loop's clock, a float in seconds (the monotonic\n\
clock's).");
PyDoc_STRVAR(_call_soon_doc,
             "_call_soon($self, callback, args, context)\n--\n\n");
PyDoc_STRVAR(write_to_self_doc, "_write_to_self($self, /)\n--\n\n\
Wake the loop up, from any thread.");
PyDoc_STRVAR(timer_handle_cancelled_doc,
             "_timer_handle_cancelled($self, handle)\n--\n\n");

static PyMethodDef methods[] = {
    OURO_METHOD("call_soon", loop_call_soon, call_soon_doc),
    OURO_METHOD("call_soon_threadsafe", loop_call_soon_threadsafe,
                call_soon_threadsafe_doc),
    OURO_METHOD("call_later", loop_call_later, call_later_doc),
    OURO_METHOD("call_at", loop_call_at, call_at_doc),
    OURO_METHOD("time", loop_time, time_doc),
    OURO_METHOD("_call_soon", loop__call_soon, _call_soon_doc),
    {"_write_to_self", loop_write_to_self, METH_NOARGS, write_to_self_doc},
    {"_timer_handle_cancelled", loop_timer_handle_cancelled, METH_O,
     timer_handle_cancelled_doc},
    {NULL},
};

int
ouro_sched_setup(PyObject *module, ouro_state *st)
{
    return ouro_loop_add_methods(st, methods);
}
