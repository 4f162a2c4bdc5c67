/* sleep.c - asyncio.sleep().
 *
 * On a fast loop a sleeper is one engine timer that completes the future
 * which the task waits for; elsewhere it is loop.call_later(), as in asyncio.
 */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/future.h"

#include <math.h>

/* The timer of one sleep().  While it is armed the engine owns a reference
 * to the coroutine, which holds this object and the future. */
typedef struct SleepTimer {
    PyObject_HEAD
    ou_job job;
    ou_timer timer;
    AwaitObject *sleeper; /* borrowed: it owns this object */
} SleepTimer;

/* The body's fields: a the result to return, b the SleepTimer or the handle,
 * c the future, owner the delay, then the loop. */
enum { SLEEP_START, SLEEP_YIELDED, SLEEP_WAITING };

static AwaitObject *
sleeper_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, SleepTimer, job)->sleeper;
}

/* The deadline has passed. */
static int
sleep_job_run(ou_job *job)
{
    AwaitObject *self = sleeper_of(job);
    FutureObject *fut = (FutureObject *)self->c;
    int result = 0;
    if (fut != NULL && fut->state == FUTURE_PENDING) {
        result = ouro_future_set_result(fut, self->a);
    }
    Py_DECREF(self);
    return result;
}

static void
sleep_job_drop(ou_job *job)
{
    Py_DECREF(sleeper_of(job));
}

static void
sleep_job_hold(ou_job *job)
{
    Py_INCREF(sleeper_of(job));
}

static int
sleep_job_visit(ou_job *job, void *visitor)
{
    visitproc visit = ((ouro_visitor *)visitor)->visit;
    void *arg = ((ouro_visitor *)visitor)->arg;
    Py_VISIT(sleeper_of(job));
    return 0;
}

static const ou_job_kind sleep_job = {
    .run = sleep_job_run,
    .drop = sleep_job_drop,
    .hold = sleep_job_hold,
    .visit = sleep_job_visit,
};

static void
sleep_timer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot sleep_timer_slots[] = {
    {Py_tp_doc, "The engine's timer of one sleep()."},
    {Py_tp_dealloc, sleep_timer_dealloc},
    {0, NULL},
};

/* Holds no reference but its type's, so the collector need not know it. */
static PyType_Spec sleep_timer_spec = {
    .name = "ouro._ouro.SleepTimer",
    .basicsize = sizeof(SleepTimer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = sleep_timer_slots,
};

static int
arm_timer(ouro_state *st, AwaitObject *self, PyObject *loop, double delay)
{
    SleepTimer *timer = PyObject_New(SleepTimer, st->types.SleepTimer);
    if (timer == NULL) {
        return -1;
    }
    timer->sleeper = self;
    ou_job_init(&timer->job, &sleep_job);
    ou_timer_init(&timer->timer, &timer->job);
    self->b = (PyObject *)timer;
    ou_loop *engine = ouro_loop_engine(loop);
    int error = ou_timer_start(&engine->timers, &timer->timer,
                               ou_loop_now(engine) + delay);
    if (error < 0) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(self); /* the engine's reference */
    return 0;
}

/* loop.call_later(delay, futures._set_result_unless_cancelled, fut, result) */
static int
call_later(ouro_state *st, AwaitObject *self, PyObject *loop,
           PyObject *delay)
{
    PyObject *set_result = PyObject_GetAttr(
        st->stock.futures, st->str._set_result_unless_cancelled);
    if (set_result == NULL) {
        return -1;
    }
    PyObject *args[] = {loop, delay, set_result, self->c, self->a};
    self->b =
        PyObject_VectorcallMethod(st->str.call_later, args, 5, NULL);
    Py_DECREF(set_result);
    return self->b == NULL ? -1 : 0;
}

static bool
plain_number(PyObject *delay)
{
    return PyFloat_CheckExact(delay) || PyLong_CheckExact(delay);
}

static await_status
sleep_begin(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *delay = self->owner;
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return AWAIT_ERROR;
    }
    self->step = SLEEP_WAITING;
    self->c = ouro_create_future(st, loop);
    int result = -1;
    if (self->c != NULL && ouro_loop_fast(st, loop) && plain_number(delay)) {
        double seconds = PyFloat_AsDouble(delay);
        if (seconds != -1.0 || !PyErr_Occurred()) {
            result = arm_timer(st, self, loop, seconds);
        }
    }
    else if (self->c != NULL) {
        result = call_later(st, self, loop, delay);
    }
    Py_SETREF(self->owner, loop);
    if (result < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(self->c);
    return AWAIT_FUTURE;
}

/* delay <= 0, as Python compares. */
static int
not_positive(ouro_state *st, PyObject *delay)
{
    if (PyFloat_CheckExact(delay)) {
        return PyFloat_AS_DOUBLE(delay) <= 0.0;
    }
    PyObject *zero = PyLong_FromLong(0);
    int truth = zero == NULL ? -1 : PyObject_RichCompareBool(delay, zero,
                                                             Py_LE);
    Py_XDECREF(zero);
    return truth;
}

static int
check_nan(ouro_state *st, PyObject *delay)
{
    if (!st->has.sleep_refuses_nan) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(delay);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError,
                        "Invalid delay: NaN (not a number)");
        return -1;
    }
    return 0;
}

/* The handle or timer is not needed any more. */
static int
cancel_timer(ouro_state *st, AwaitObject *self)
{
    PyObject *timer = self->b;
    if (timer == NULL) {
        return 0;
    }
    if (Py_TYPE(timer) == st->types.SleepTimer) {
        ou_loop *engine = ouro_loop_engine(self->owner);
        if (ou_timer_stop(&engine->timers, &((SleepTimer *)timer)->timer)) {
            Py_DECREF(self);
        }
        return 0;
    }
    PyObject *result = PyObject_CallMethodNoArgs(timer, st->str.cancel);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static await_status
sleep_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    switch (self->step) {
    case SLEEP_START: {
        int at_once = not_positive(st, self->owner);
        if (at_once < 0 || (!at_once && check_nan(st, self->owner) < 0)) {
            return AWAIT_ERROR;
        }
        if (!at_once) {
            return sleep_begin(st, self, ret);
        }
        self->step = SLEEP_YIELDED;
        return AWAIT_YIELD;
    }
    case SLEEP_YIELDED:
        *ret = Py_NewRef(self->a);
        return AWAIT_RETURN;
    default:
        if (cancel_timer(st, self) < 0) {
            return AWAIT_ERROR;
        }
        *ret = ouro_anyfuture_result(st, self->c);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
}

static await_status
sleep_abort(AwaitObject *self, PyObject **ret)
{
    PyObject *error = PyErr_GetRaisedException();
    if (cancel_timer(ouro_state_of((PyObject *)self), self) < 0) {
        Py_XDECREF(error);
        return AWAIT_ERROR;
    }
    PyErr_SetRaisedException(error);
    return AWAIT_ERROR;
}

static const await_kind sleep_kind = {
    .name = "sleep",
    .qualname = "sleep",
    .poll = sleep_poll,
    .abort = sleep_abort,
};

PyDoc_STRVAR(sleep_doc, "sleep(delay, result=None)\n--\n\n\
Coroutine that completes after a given time (in seconds).\n\n\
With a delay of 0 or less it gives way for one turn of the loop.  Returns\n\
result.  Raises ValueError for NaN (Python 3.13 and later).");

static const ouro_signature sleep_signature = {
    .qualname = "sleep",
    .positional = 2,
    .required = 1,
    .names = {"delay", "result", NULL},
};

static PyObject *
task_sleep(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *given[2];
    if (ouro_parse(&sleep_signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    AwaitObject *self =
        ouro_await_new(ouro_module_state(module), &sleep_kind, given[0]);
    if (self != NULL) {
        self->a = Py_NewRef(given[1] != NULL ? given[1] : Py_None);
    }
    return (PyObject *)self;
}

static const ouro_async_def sleep_functions[] = {
    {"sleep", task_sleep, sleep_doc},
    {NULL},
};

int
ouro_sleep_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &sleep_timer_spec, NULL, false,
                      &st->types.SleepTimer)
        < 0) {
        return -1;
    }
    return ouro_add_async_functions(st, module, sleep_functions);
}
