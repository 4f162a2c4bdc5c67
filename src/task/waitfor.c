/* waitfor.c - asyncio.wait_for().
 *
 * From 3.12 it is `async with timeout(...)` around the await: no helper task
 * for a coroutine.  On 3.11 the coroutine becomes a task and a future is
 * released by whichever comes first, the task or the deadline.
 */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/deadline.h"
#include "task/registry.h"
#include "task/timeout.h"

/* The body's fields: owner the awaitable, then its future; a the timeout;
 * b the Timeout (3.12+), or the deadline, then the error to raise; c the
 * Release. */
enum {
    WAITFOR_START,
    WAITFOR_INNER,      /* awaiting the awaitable itself */
    WAITFOR_WAITING,    /* 3.11: for the task or the deadline */
    WAITFOR_CANCELLING, /* timed out; for the task to end */
    WAITFOR_CANCELLED,  /* cancelled; for the task to end, to raise b */
};

/* ---- a future that another one releases -------------------------------- */

typedef struct ReleaseObject {
    PyObject_HEAD
    ou_job job;
    PyObject *waiter;
    PyObject *task; /* that waits (3.14+), or NULL */
} ReleaseObject;

static ReleaseObject *
release_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, ReleaseObject, job);
}

static int
release(ouro_state *st, ReleaseObject *self)
{
    int done = ouro_anyfuture_done(st, self->waiter);
    if (done != 0) {
        return done < 0 ? -1 : 0;
    }
    return ouro_anyfuture_set_result(st, self->waiter, Py_None);
}

static int
release_run(ou_job *job)
{
    ReleaseObject *self = release_of(job);
    ouro_state *st = ouro_state_of((PyObject *)self);
    int result = release(st, self);
    if (result < 0) {
        result = ouro_waiter_failed(st, self->waiter, job);
    }
    Py_DECREF(self);
    return result;
}

static PyObject *
release_awaiter(ou_job *job)
{
    return release_of(job)->task;
}

static const waiter_kind release_waiter = {
    .job =
        {
            OURO_OBJECT_JOB(ReleaseObject, job),
            .run = release_run,
        },
    .qualname = "_release_waiter",
    .awaiter = release_awaiter,
};

static int
release_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((ReleaseObject *)self)->waiter);
    Py_VISIT(((ReleaseObject *)self)->task);
    return 0;
}

/* The waiter stays while the job may be run; cycles through it are broken at
 * the futures. */
static void
release_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((ReleaseObject *)self)->waiter);
    Py_CLEAR(((ReleaseObject *)self)->task);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot release_slots[] = {
    {Py_tp_doc, "Releases a future when another is done."},
    {Py_tp_traverse, release_traverse},
    {Py_tp_dealloc, release_dealloc},
    {0, NULL},
};

static PyType_Spec release_spec = {
    .name = "ouro._ouro.Release",
    .basicsize = sizeof(ReleaseObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = release_slots,
};

/* A new waiter on loop, stored in coro->c with its Release. Borrowed. */
static ReleaseObject *
new_release(ouro_state *st, AwaitObject *coro, PyObject *loop)
{
    ReleaseObject *self = PyObject_GC_New(ReleaseObject, st->types.Release);
    if (self == NULL) {
        return NULL;
    }
    ou_job_init(&self->job, &release_waiter.job);
    self->task = NULL;
    self->waiter = ouro_create_future(st, loop);
    if (self->waiter == NULL || ouro_awaiting_task(st, &self->task) < 0) {
        PyObject_GC_Track((PyObject *)self);
        Py_DECREF(self);
        return NULL;
    }
    PyObject_GC_Track((PyObject *)self);
    Py_XSETREF(coro->c, (PyObject *)self);
    return self;
}

static int
watch(ouro_state *st, ReleaseObject *self, PyObject *fut)
{
    Py_INCREF(self); /* the queue's reference */
    return ouro_watch(st, fut, &self->job);
}

static int
unwatch(ouro_state *st, AwaitObject *coro)
{
    return ouro_unwatch(st, coro->owner, &((ReleaseObject *)coro->c)->job);
}

static await_status
wait_for_release(ReleaseObject *self, PyObject **ret)
{
    *ret = Py_NewRef(self->waiter);
    return AWAIT_FUTURE;
}

/* ---- cancel it, and wait until it has ended ---------------------------- */

static const await_kind cancelling_kind; /* from then on */

static await_status
cancel_and_wait(ouro_state *st, AwaitObject *coro, int step, PyObject **ret)
{
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return AWAIT_ERROR;
    }
    ReleaseObject *self = new_release(st, coro, loop);
    Py_DECREF(loop);
    if (self == NULL || watch(st, self, coro->owner) < 0) {
        return AWAIT_ERROR;
    }
    if (ouro_anyfuture_cancel(st, coro->owner, NULL) < 0) {
        PyObject *error = PyErr_GetRaisedException();
        if (unwatch(st, coro) < 0) {
            Py_XDECREF(error);
            return AWAIT_ERROR;
        }
        PyErr_SetRaisedException(error);
        return AWAIT_ERROR;
    }
    ouro_await_set_kind(coro, &cancelling_kind);
    coro->step = step;
    return wait_for_release(self, ret);
}

static await_status
result_of(ouro_state *st, PyObject *fut, PyObject **ret)
{
    *ret = ouro_anyfuture_result(st, fut);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

/* A cancellation that the deadline has caused is a TimeoutError. */
static await_status
result_or_timeout(ouro_state *st, PyObject *fut, PyObject **ret)
{
    await_status status = result_of(st, fut, ret);
    if (status == AWAIT_RETURN
        || !PyErr_ExceptionMatches(st->stock.CancelledError)) {
        return status;
    }
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *error = PyObject_CallNoArgs(PyExc_TimeoutError);
    if (error != NULL) {
        PyException_SetContext(error, Py_NewRef(cause));
        PyException_SetCause(error, cause);
        PyErr_SetRaisedException(error);
    }
    else {
        Py_DECREF(cause);
    }
    return AWAIT_ERROR;
}

/* ---- beginning --------------------------------------------------------- */

/* timeout <= 0: the awaitable may only be done already. */
static await_status
begin_expired(ouro_state *st, AwaitObject *coro, PyObject *loop,
              PyObject **ret)
{
    PyObject *fut = ouro_ensure_future(st, coro->owner, loop);
    if (fut == NULL) {
        return AWAIT_ERROR;
    }
    Py_SETREF(coro->owner, fut);
    int done = ouro_anyfuture_done(st, fut);
    if (done != 0) {
        return done < 0 ? AWAIT_ERROR : result_of(st, fut, ret);
    }
    return cancel_and_wait(st, coro, WAITFOR_CANCELLING, ret);
}

static await_status
delegate(AwaitObject *coro, PyObject **ret)
{
    coro->step = WAITFOR_INNER;
    *ret = Py_NewRef(coro->owner);
    return AWAIT_DELEGATE;
}

/* 3.11: a task, a future and a deadline. */
static await_status
begin_with_task(ouro_state *st, AwaitObject *coro, PyObject *loop,
                PyObject **ret)
{
    ReleaseObject *self = new_release(st, coro, loop);
    if (self == NULL) {
        return AWAIT_ERROR;
    }
    coro->b = ouro_deadline_start(st, loop, coro->a, self->waiter, NULL,
                                  st->stock.tasks, st->str._release_waiter);
    if (coro->b == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *fut = ouro_ensure_future(st, coro->owner, loop);
    if (fut == NULL) {
        return AWAIT_ERROR;
    }
    Py_SETREF(coro->owner, fut);
    if (watch(st, self, fut) < 0) {
        return AWAIT_ERROR;
    }
    coro->step = WAITFOR_WAITING;
    return wait_for_release(self, ret);
}

static int
expired_at_once(PyObject *timeout)
{
    if (timeout == Py_None) {
        return 0;
    }
    if (PyFloat_CheckExact(timeout)) {
        return PyFloat_AS_DOUBLE(timeout) <= 0;
    }
    if (PyLong_CheckExact(timeout)) {
        int overflow;
        long seconds = PyLong_AsLongAndOverflow(timeout, &overflow);
        return overflow < 0 || (overflow == 0 && seconds <= 0);
    }
    PyObject *zero = PyLong_FromLong(0);
    int truth =
        zero == NULL ? -1 : PyObject_RichCompareBool(timeout, zero, Py_LE);
    Py_XDECREF(zero);
    return truth;
}

static await_status
begin_older(ouro_state *st, AwaitObject *coro, PyObject **ret)
{
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return AWAIT_ERROR;
    }
    await_status status = AWAIT_ERROR;
    int expired = expired_at_once(coro->a);
    if (coro->a == Py_None) {
        status = delegate(coro, ret);
    }
    else if (expired > 0) {
        status = begin_expired(st, coro, loop, ret);
    }
    else if (expired == 0) {
        status = begin_with_task(st, coro, loop, ret);
    }
    Py_DECREF(loop);
    return status;
}

static await_status
begin(ouro_state *st, AwaitObject *coro, PyObject **ret)
{
    int expired = expired_at_once(coro->a);
    if (expired < 0) {
        return AWAIT_ERROR;
    }
    if (expired) {
        return begin_expired(st, coro, NULL, ret);
    }
    coro->b = ouro_timeout_begin(st, coro->a);
    return coro->b == NULL ? AWAIT_ERROR : delegate(coro, ret);
}

/* ---- going on ---------------------------------------------------------- */

/* 3.11: the task is done, or the time is over. */
static await_status
released(ouro_state *st, AwaitObject *coro, PyObject **ret)
{
    int done = ouro_anyfuture_done(st, coro->owner);
    if (done < 0) {
        return AWAIT_ERROR;
    }
    if (done) {
        return ouro_deadline_cancel(st, coro->b) < 0
                   ? AWAIT_ERROR
                   : result_of(st, coro->owner, ret);
    }
    if (unwatch(st, coro) < 0) {
        return AWAIT_ERROR;
    }
    return cancel_and_wait(st, coro, WAITFOR_CANCELLING, ret);
}

static await_status
waitfor_poll(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    switch (coro->step) {
    case WAITFOR_START:
        return st->has.waitfor_is_timeout ? begin(st, coro, ret)
                                          : begin_older(st, coro, ret);
    case WAITFOR_INNER:
        if (coro->b != NULL && ouro_timeout_end(st, coro->b) < 0) {
            return AWAIT_ERROR;
        }
        *ret = Py_NewRef(coro->value);
        return AWAIT_RETURN;
    case WAITFOR_WAITING:
        return released(st, coro, ret);
    case WAITFOR_CANCELLING:
        if (unwatch(st, coro) < 0) {
            return AWAIT_ERROR;
        }
        return result_or_timeout(st, coro->owner, ret);
    default:
        if (unwatch(st, coro) < 0) {
            return AWAIT_ERROR;
        }
        ouro_raise(coro->b);
        return AWAIT_ERROR;
    }
}

/* 3.11: cancelled while the task runs. The task's result is not lost if it
 * is there already; else it is cancelled as well. */
static await_status
cancelled_while_waiting(ouro_state *st, AwaitObject *coro, PyObject **ret)
{
    PyObject *error = PyErr_GetRaisedException();
    if (ouro_deadline_cancel(st, coro->b) < 0) {
        Py_XDECREF(error);
        return AWAIT_ERROR;
    }
    if (!PyErr_GivenExceptionMatches(error, st->stock.CancelledError)) {
        PyErr_SetRaisedException(error);
        return AWAIT_ERROR;
    }
    int done = ouro_anyfuture_done(st, coro->owner);
    if (done != 0 || unwatch(st, coro) < 0) {
        Py_DECREF(error);
        return done > 0 ? result_of(st, coro->owner, ret) : AWAIT_ERROR;
    }
    Py_XSETREF(coro->b, error);
    return cancel_and_wait(st, coro, WAITFOR_CANCELLED, ret);
}

static await_status
waitfor_abort(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    switch (coro->step) {
    case WAITFOR_INNER:
        if (coro->b != NULL && ouro_timeout_end(st, coro->b) == 0) {
            /* Nothing in a Timeout swallows an exception. */
            PyErr_SetString(PyExc_SystemError, "lost an exception");
        }
        return AWAIT_ERROR;
    case WAITFOR_WAITING:
        return cancelled_while_waiting(st, coro, ret);
    default: {
        PyObject *error = PyErr_GetRaisedException();
        if (unwatch(st, coro) < 0) {
            Py_XDECREF(error);
            return AWAIT_ERROR;
        }
        PyErr_SetRaisedException(error);
        return AWAIT_ERROR;
    }
    }
}

static const await_kind waitfor_kind = {
    .name = "wait_for",
    .qualname = "wait_for",
    .poll = waitfor_poll,
    .abort = waitfor_abort,
};

static const await_kind inner_kind = {
    .name = "_cancel_and_wait",
    .qualname = "_cancel_and_wait",
};
static const await_kind cancelling_kind = {
    .name = "wait_for",
    .qualname = "wait_for",
    .poll = waitfor_poll,
    .abort = waitfor_abort,
    .inside = &inner_kind,
};

PyDoc_STRVAR(waitfor_doc, "wait_for(fut, timeout)\n--\n\n\
Wait for the single Future or coroutine to complete, with timeout.\n\n\
Coroutine will be wrapped in Task.\n\n\
Returns result of the Future or coroutine.  When a timeout (in seconds)\n\
occurs, it cancels the task and raises TimeoutError.  To avoid the task\n\
cancellation, wrap it in shield().\n\n\
If the wait is cancelled, the task is also cancelled.\n\n\
If the task suppresses the cancellation and returns a value instead,\n\
that value is returned.\n\n\
This function is a coroutine.");

static const ouro_signature waitfor_signature = {
    .qualname = "wait_for",
    .positional = 2,
    .required = 2,
    .names = {"fut", "timeout", NULL},
};

static PyObject *
task_wait_for(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    PyObject *given[2];
    if (ouro_parse(&waitfor_signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    AwaitObject *coro =
        ouro_await_new(ouro_module_state(module), &waitfor_kind, given[0]);
    if (coro != NULL) {
        coro->a = Py_NewRef(given[1]);
    }
    return (PyObject *)coro;
}

static const ouro_async_def waitfor_functions[] = {
    {"wait_for", task_wait_for, waitfor_doc},
    {NULL},
};

int
ouro_waitfor_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &release_spec, NULL, false, &st->types.Release)
        < 0) {
        return -1;
    }
    return ouro_add_async_functions(st, module, waitfor_functions);
}
