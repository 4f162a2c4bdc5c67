/* timeout.c - the Timeout context manager, timeout() and timeout_at().
 *
 * On a fast loop the deadline is a timer of the engine embedded in the
 * Timeout: one that does not fire costs a heap insertion and a removal.
 * `async with` is in timeout_with.c.
 */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/registry.h"
#include "task/timeout.h"

enum { FREE_TIMEOUTS_MAX = 64 };

static const char *const state_values[] = {
    "created", "active", "expiring", "expired", "finished",
};
static const char *const state_names[] = {
    "CREATED", "ENTERED", "EXPIRING", "EXPIRED", "EXITED",
};

/* ---- the deadline ------------------------------------------------------ */

static int
timeout_fire(ouro_state *st, TimeoutObject *self)
{
    if (self->state != TIMEOUT_ENTERED || self->task == NULL) {
        PyErr_SetNone(PyExc_AssertionError);
        return -1;
    }
    if (ouro_anyfuture_cancel(st, self->task, NULL) < 0) {
        return -1;
    }
    self->state = TIMEOUT_EXPIRING;
    Py_CLEAR(self->handler);
    return 0;
}

/* Report the current exception as that of the callback self._on_timeout. */
static int
timeout_report(LoopCore *loop, TimeoutObject *self)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *callback =
        PyObject_GetAttr((PyObject *)self, loop->st->str._on_timeout);
    if (callback == NULL) {
        Py_XDECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    int result =
        loop->ops->callback_failed((PyObject *)loop, callback, NULL, NULL);
    Py_DECREF(callback);
    return result;
}

static int
timeout_run(ou_job *job)
{
    TimeoutObject *self = OURO_CONTAINER_OF(job, TimeoutObject, job);
    LoopCore *loop = (LoopCore *)self->loop;
    self->loop = NULL;
    int result = 0;
    /* No loop: it was left between the deadline and this slot. */
    if (loop != NULL) {
        if (ouro_leave_task_fast(loop) < 0
            || timeout_fire(loop->st, self) < 0) {
            result = timeout_report(loop, self);
        }
        Py_DECREF(loop);
    }
    Py_DECREF(self);
    return result;
}

static const ou_job_kind timeout_job = {
    OURO_OBJECT_JOB(TimeoutObject, job),
    .run = timeout_run,
};

int
ouro_timeout_disarm(ouro_state *st, TimeoutObject *self)
{
    if (self->loop != NULL) {
        ou_loop *engine = ouro_loop_engine(self->loop);
        if (ou_timer_stop(&engine->timers, &self->timer)) {
            Py_DECREF(self); /* the engine's reference; ours remains */
        }
        Py_CLEAR(self->loop);
    }
    PyObject *handler = self->handler;
    if (handler == NULL) {
        return 0;
    }
    self->handler = NULL;
    int result =
        ouro_drop_result(PyObject_CallMethodNoArgs(handler, st->str.cancel));
    Py_DECREF(handler);
    return result;
}

/* The engine's timer, or its ready queue if the time is over already. */
static int
timeout_arm(TimeoutObject *self, PyObject *loop, double when)
{
    ou_loop *engine = ouro_loop_engine(loop);
    ou_job_init(&self->job, &timeout_job);
    ou_timer_init(&self->timer, &self->job);
    Py_INCREF(self); /* the engine's reference */
    if (when <= ou_loop_now(engine)) {
        ou_loop_push(engine, &self->job);
    }
    else if (ou_timer_start(&engine->timers, &self->timer, when) < 0) {
        Py_DECREF(self);
        PyErr_NoMemory();
        return -1;
    }
    self->loop = Py_NewRef(loop);
    return 0;
}

/* loop.call_soon() or loop.call_at(), as asyncio. */
static int
timeout_arm_by_method(ouro_state *st, TimeoutObject *self, PyObject *loop)
{
    PyObject *now = PyObject_CallMethodNoArgs(loop, st->str.time);
    if (now == NULL) {
        return -1;
    }
    int over = PyObject_RichCompareBool(self->when, now, Py_LE);
    Py_DECREF(now);
    if (over < 0) {
        return -1;
    }
    PyObject *callback =
        PyObject_GetAttr((PyObject *)self, st->str._on_timeout);
    if (callback == NULL) {
        return -1;
    }
    PyObject *args[] = {loop, over ? callback : self->when, callback};
    PyObject *handler = PyObject_VectorcallMethod(
        over ? st->str.call_soon : st->str.call_at, args, over ? 2 : 3, NULL);
    Py_DECREF(callback);
    if (handler == NULL) {
        return -1;
    }
    Py_XSETREF(self->handler, handler);
    return 0;
}

static bool
plain_number(PyObject *when)
{
    return PyFloat_CheckExact(when) || PyLong_CheckExact(when);
}

/* Of a plain number, as if a float were added to it. 0 or -1. */
static int
number_as_double(PyObject *number, double *ret)
{
    if (PyFloat_CheckExact(number)) {
        *ret = PyFloat_AS_DOUBLE(number);
        return 0;
    }
    *ret = PyLong_AsDouble(number);
    return *ret == -1.0 && PyErr_Occurred() ? -1 : 0;
}

int
ouro_timeout_reschedule(ouro_state *st, TimeoutObject *self, PyObject *when)
{
    if (self->state != TIMEOUT_ENTERED) {
        if (self->state == TIMEOUT_CREATED) {
            PyErr_SetString(PyExc_RuntimeError,
                            "Timeout has not been entered");
            return -1;
        }
        PyErr_Format(PyExc_RuntimeError, "Cannot change state of %s Timeout",
                     state_values[self->state]);
        return -1;
    }
    Py_SETREF(self->when, Py_NewRef(when));
    if (ouro_timeout_disarm(st, self) < 0) {
        return -1;
    }
    if (when == Py_None) {
        return 0;
    }
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return -1;
    }
    int result;
    /* A deadline that was due but not yet run still has its job queued. */
    if (ouro_loop_fast(st, loop) && plain_number(when)
        && !ou_job_queued(&self->job)) {
        double deadline;
        result = number_as_double(when, &deadline) < 0
                     ? -1
                     : timeout_arm(self, loop, deadline);
    }
    else {
        result = timeout_arm_by_method(st, self, loop);
    }
    Py_DECREF(loop);
    return result;
}

/* ---- the object -------------------------------------------------------- */

PyDoc_STRVAR(when_doc, "when($self, /)\n--\n\n\
Return the current deadline: a time of the loop's clock in seconds, or\n\
None.");

static PyObject *
timeout_when(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    if (ouro_parse_none("Timeout.when", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return Py_NewRef(((TimeoutObject *)self)->when);
}

PyDoc_STRVAR(reschedule_doc, "reschedule($self, /, when)\n--\n\n\
Reschedule the timeout.\n\n\
Raises RuntimeError unless it is active.");

static const ouro_signature reschedule_signature =
    OURO_ONE_PARAMETER("Timeout.reschedule", "when");

static PyObject *
timeout_reschedule_method(PyObject *self, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *when;
    if (ouro_parse(&reschedule_signature, args, nargs, kwnames, &when) < 0
        || ouro_timeout_reschedule(ouro_state_of(self), (TimeoutObject *)self,
                                   when)
               < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(expired_doc, "expired($self, /)\n--\n\n\
Is timeout expired during execution?");

static PyObject *
timeout_expired(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse_none("Timeout.expired", args, nargs, kwnames) < 0) {
        return NULL;
    }
    timeout_state state = ((TimeoutObject *)self)->state;
    return PyBool_FromLong(state == TIMEOUT_EXPIRING
                           || state == TIMEOUT_EXPIRED);
}

static PyObject *
timeout_on_timeout(PyObject *self, PyObject *unused)
{
    if (timeout_fire(ouro_state_of(self), (TimeoutObject *)self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
timeout_repr(PyObject *self)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    const char *value = state_values[timeout->state];
    if (timeout->state != TIMEOUT_ENTERED) {
        return PyUnicode_FromFormat("<Timeout [%s]>", value);
    }
    PyObject *when =
        timeout->when == Py_None
            ? Py_NewRef(Py_None)
            : PyObject_CallMethod(timeout->when, "__round__", "i", 3);
    if (when == NULL) {
        return NULL;
    }
    PyObject *text =
        PyUnicode_FromFormat("<Timeout [%s] when=%S>", value, when);
    Py_DECREF(when);
    return text;
}

static const ouro_signature timeout_signature =
    OURO_ONE_PARAMETER("Timeout.__init__", "when");

static int
timeout_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *when;
    if (ouro_parse_init(&timeout_signature, args, kwargs, &when) < 0) {
        return -1;
    }
    Py_XSETREF(((TimeoutObject *)self)->when, Py_NewRef(when));
    return 0;
}

static PyObject *
timeout_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        ((TimeoutObject *)self)->when = Py_NewRef(Py_None);
    }
    return self;
}

static int
timeout_traverse(PyObject *self, visitproc visit, void *arg)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(timeout->dict);
    Py_VISIT(timeout->when);
    Py_VISIT(timeout->task);
    Py_VISIT(timeout->loop);
    Py_VISIT(timeout->handler);
    return 0;
}

/* While the timer is armed, the loop stays: stopping it needs its engine. */
static int
timeout_clear(PyObject *self)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    Py_CLEAR(timeout->dict);
    Py_CLEAR(timeout->task);
    Py_CLEAR(timeout->handler);
    return 0;
}

static void timeout_dealloc(PyObject *self);

/* Keep the memory of a Timeout (of no subclass) for the next. */
static bool
timeout_keep(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    return type->tp_dealloc == timeout_dealloc && ouro_type_alive(type)
           && ouro_freelist_push(&ouro_state_of_type(type)->free_timeouts,
                                 self, FREE_TIMEOUTS_MAX);
}

static void
timeout_dealloc(PyObject *self)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (timeout->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    timeout_clear(self);
    Py_CLEAR(timeout->loop);
    Py_CLEAR(timeout->when);
    if (!timeout_keep(self)) {
        type->tp_free(self);
    }
    Py_DECREF(type);
}

/* asyncio's private enum, for those who look. */
static PyObject *
get_state(PyObject *self, void *unused)
{
    ouro_state *st = ouro_state_of(self);
    return PyObject_GetAttrString(st->stock.timeout_State,
                                  state_names[((TimeoutObject *)self)->state]);
}

static PyObject *
get_handler(PyObject *self, void *unused)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    return Py_NewRef(
        ouro_or_none(timeout->loop != NULL ? self : timeout->handler));
}

static PyMethodDef timeout_methods[] = {
    OURO_METHOD("when", timeout_when, when_doc),
    OURO_METHOD("reschedule", timeout_reschedule_method, reschedule_doc),
    OURO_METHOD("expired", timeout_expired, expired_doc),
    {"_on_timeout", timeout_on_timeout, METH_NOARGS, NULL},
    {NULL},
};

static PyGetSetDef timeout_getset[] = {
    {"_state", get_state, NULL, NULL, NULL},
    {"_timeout_handler", get_handler, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef timeout_members[] = {
    {"_when", T_OBJECT, offsetof(TimeoutObject, when), READONLY, NULL},
    {"_task", T_OBJECT, offsetof(TimeoutObject, task), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(TimeoutObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TimeoutObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(timeout_doc, "Timeout(when)\n--\n\n\
Asynchronous context manager for cancelling overdue coroutines.\n\n\
Use `timeout()` or `timeout_at()` rather than instantiating this class\n\
directly.");

static PyType_Slot timeout_slots[] = {
    {Py_tp_doc, (void *)timeout_doc},
    {Py_tp_new, timeout_new},
    {Py_tp_init, timeout_init},
    {Py_tp_dealloc, timeout_dealloc},
    {Py_tp_traverse, timeout_traverse},
    {Py_tp_clear, timeout_clear},
    {Py_tp_repr, timeout_repr},
    {Py_tp_methods, timeout_methods},
    {Py_tp_getset, timeout_getset},
    {Py_tp_members, timeout_members},
    {0, NULL},
};

static PyType_Spec timeout_spec = {
    .name = "ouro.Timeout",
    .basicsize = sizeof(TimeoutObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = timeout_slots,
};

/* ---- timeout(), timeout_at() ------------------------------------------- */

static PyObject *
timeout_until(ouro_state *st, PyObject *when)
{
    PyTypeObject *type = st->types.Timeout;
    PyObject *self =
        ouro_freelist_pop(&st->free_timeouts, type, sizeof(TimeoutObject));
    if (self != NULL) {
        PyObject_GC_Track(self);
    }
    else {
        self = type->tp_alloc(type, 0);
    }
    if (self != NULL) {
        ((TimeoutObject *)self)->when = Py_NewRef(when);
    }
    return self;
}

/* loop.time() + delay */
static PyObject *
deadline_after(ouro_state *st, PyObject *loop, PyObject *delay)
{
    if (ouro_loop_fast(st, loop) && plain_number(delay)) {
        double now = ou_loop_now(ouro_loop_engine(loop)), seconds;
        return number_as_double(delay, &seconds) < 0
                   ? NULL
                   : PyFloat_FromDouble(now + seconds);
    }
    PyObject *now = PyObject_CallMethodNoArgs(loop, st->str.time);
    if (now == NULL) {
        return NULL;
    }
    PyObject *when = PyNumber_Add(now, delay);
    Py_DECREF(now);
    return when;
}

PyObject *
ouro_timeout_after(ouro_state *st, PyObject *delay)
{
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *when = delay == Py_None ? Py_NewRef(Py_None)
                                      : deadline_after(st, loop, delay);
    Py_DECREF(loop);
    PyObject *self = when == NULL ? NULL : timeout_until(st, when);
    Py_XDECREF(when);
    return self;
}

PyDoc_STRVAR(timeout_function_doc, "timeout(delay)\n--\n\n\
Timeout async context manager.\n\n\
Useful in cases when you want to apply timeout logic around block\n\
of code or in cases when asyncio.wait_for is not suitable. For example:\n\n\
>>> async with asyncio.timeout(10):  # 10 seconds timeout\n\
...     await long_running_task()\n\n\
delay - value in seconds or None to disable timeout logic\n\n\
long_running_task() is interrupted by raising asyncio.CancelledError,\n\
the top-most affected timeout() context manager converts CancelledError\n\
into TimeoutError.");

static const ouro_signature delay_signature = {
    .qualname = "timeout",
    .positional = 1,
    .required = 1,
    .names = {"delay", NULL},
};

static PyObject *
timeout_function(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *delay;
    if (ouro_parse(&delay_signature, args, nargs, kwnames, &delay) < 0) {
        return NULL;
    }
    return ouro_timeout_after(st, delay);
}

PyDoc_STRVAR(timeout_at_doc, "timeout_at(when)\n--\n\n\
Schedule the timeout at absolute time.\n\n\
Like timeout() but argument gives absolute time in the same clock system\n\
as loop.time().\n\n\
when - a deadline when timeout occurs or None to disable timeout logic");

static const ouro_signature when_signature = {
    .qualname = "timeout_at",
    .positional = 1,
    .required = 1,
    .names = {"when", NULL},
};

static PyObject *
timeout_at(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *when;
    if (ouro_parse(&when_signature, args, nargs, kwnames, &when) < 0) {
        return NULL;
    }
    return timeout_until(ouro_module_state(module), when);
}

static PyMethodDef timeout_functions[] = {
    OURO_METHOD("timeout", timeout_function, timeout_function_doc),
    OURO_METHOD("timeout_at", timeout_at, timeout_at_doc),
    {NULL},
};

int
ouro_timeout_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &timeout_spec, NULL, true, &st->types.Timeout)
            < 0
        || ouro_add_async_methods(st, st->types.Timeout,
                                  st->has.minor >= 14
                                      ? ouro_timeout_async_methods
                                      : ouro_timeout_async_methods_3_13)
               < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, timeout_functions);
}
