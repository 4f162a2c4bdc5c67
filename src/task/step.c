/* step.c - run one step of a task.
 *
 * Two ways lead here.  A job of the engine (task_run) belongs to a fast loop:
 * no handle, no bound method, no Python frame between the wake-up and the
 * coroutine.  The callables of task_callables.c come from anybody's
 * loop.call_soon().  Both end in ouro_task_step(), which sends into the
 * coroutine and then looks at what came out: a result, an exception, or a
 * future to wait for.
 */
#include "task/callbacks.h"
#include "task/registry.h"
#include "task/task_impl.h"

/* ---- what a step leaves behind ----------------------------------------- */

/* The coroutine has returned. */
static inline int
finish_with_result(TaskObject *task, PyObject *result)
{
    FutureObject *fut = &task->fut;
    if (task->fut.must_cancel) {
        /* Cancelled right before the coroutine stopped. */
        task->fut.must_cancel = false;
        PyObject *message =
            fut->extras != NULL ? fut->extras->cancel_message : NULL;
        return ouro_future_cancel(fut, message) < 0 ? -1 : 0;
    }
    return ouro_future_set_result(fut, result);
}

/* The coroutine let a CancelledError out. */
static OURO_COLD int
finish_cancelled(TaskObject *task, PyObject *exception)
{
    future_extras *extras = ouro_future_extras(&task->fut);
    if (extras == NULL) {
        return -1;
    }
    Py_XSETREF(extras->cancelled_exc, Py_NewRef(exception));
    return ouro_future_cancel(&task->fut, NULL) < 0 ? -1 : 0;
}

/* The coroutine has raised the current exception.  (From 3.12 on there may be
 * none: a frame of Python code had no memory to raise it.) */
static OURO_COLD int
finish_with_exception(ouro_state *st, TaskObject *task)
{
    if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result;
    if (PyErr_GivenExceptionMatches(exception, st->stock.CancelledError)) {
        result = finish_cancelled(task, exception);
        Py_DECREF(exception);
        return result;
    }
    result = ouro_future_set_exception(&task->fut, exception);
    if (result == 0 && ouro_leaves_loop(exception)) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    Py_DECREF(exception);
    return result;
}

/* Schedule a step that throws a RuntimeError into the coroutine. */
static OURO_COLD int
fail_soon(ouro_state *st, TaskObject *task, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PyObject *message = PyUnicode_FromFormatV(format, args);
    va_end(args);
    if (message == NULL) {
        return -1;
    }
    PyObject *error = PyObject_CallOneArg(PyExc_RuntimeError, message);
    Py_DECREF(message);
    if (error == NULL) {
        return -1;
    }
    int result = ouro_task_schedule(st, task, error);
    Py_DECREF(error);
    return result;
}

static OURO_COLD int
bad_loop(ouro_state *st, TaskObject *task, PyObject *fut)
{
    return fail_soon(st, task,
                     "Task %R got Future %R attached to a different loop",
                     task, fut);
}

static OURO_COLD int
bad_yield_from(ouro_state *st, TaskObject *task, PyObject *fut)
{
    return fail_soon(st, task,
                     "yield was used instead of yield from in task %R with "
                     "%R",
                     task, fut);
}

/* A cancellation came meanwhile: it goes on to the future. */
static OURO_COLD int
pass_cancellation_on(ouro_state *st, TaskObject *task, PyObject *fut)
{
    future_extras *extras = task->fut.extras;
    PyObject *message = Py_NewRef(
        ouro_or_none(extras != NULL ? extras->cancel_message : NULL));
    int cancelled = ouro_anyfuture_cancel(st, fut, message);
    Py_DECREF(message);
    if (cancelled > 0) {
        task->fut.must_cancel = false;
    }
    return cancelled < 0 ? -1 : 0;
}

static inline int
now_waiting(ouro_state *st, TaskObject *task, PyObject *fut)
{
    Py_XSETREF(task->waiter, Py_NewRef(fut));
    return task->fut.must_cancel ? pass_cancellation_on(st, task, fut) : 0;
}

static OURO_COLD int
add_wakeup(ouro_state *st, TaskObject *task, PyObject *fut)
{
    PyObject *wakeup = ouro_task_wakeup_callable(st, task);
    PyObject *keywords = PyTuple_Pack(1, st->str.context);
    PyObject *result = NULL;
    if (wakeup != NULL && keywords != NULL) {
        PyObject *args[] = {fut, wakeup, task->context};
        result = PyObject_VectorcallMethod(st->str.add_done_callback, args, 2,
                                           keywords);
    }
    Py_XDECREF(wakeup);
    Py_XDECREF(keywords);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* A future of our exact types was yielded. */
static inline int
wait_for_ours(ouro_state *st, TaskObject *task, FutureObject *fut)
{
    if ((PyObject *)fut == (PyObject *)task) {
        return fail_soon(st, task, "Task cannot await on itself: %R", task);
    }
    if (fut->loop != task->fut.loop) {
        return bad_loop(st, task, (PyObject *)fut);
    }
    if (!fut->blocking) {
        return bad_yield_from(st, task, (PyObject *)fut);
    }
    fut->blocking = false;
    if (ou_job_queued(&task->job)) {
        /* __init__ was called again: the job stands for the step before. */
        if (add_wakeup(st, task, (PyObject *)fut) < 0) {
            return -1;
        }
        return now_waiting(st, task, (PyObject *)fut);
    }
    Py_INCREF(task); /* the queue's reference */
    if (fut->state == FUTURE_PENDING) {
        ou_line_push(&fut->callbacks, &task->job);
    }
    else if (ouro_future_add_job(st, fut, &task->job) < 0) {
        return -1;
    }
    return now_waiting(st, task, (PyObject *)fut);
}

/* Something with a true or false _asyncio_future_blocking was yielded. */
static int
wait_for_theirs(ouro_state *st, TaskObject *task, PyObject *fut, int blocking)
{
    PyObject *loop = ouro_anyfuture_loop(st, fut);
    if (loop == NULL) {
        return -1;
    }
    Py_DECREF(loop);
    if (loop != task->fut.loop) {
        return bad_loop(st, task, fut);
    }
    if (!blocking) {
        return bad_yield_from(st, task, fut);
    }
    if (fut == (PyObject *)task) {
        return fail_soon(st, task, "Task cannot await on itself: %R", task);
    }
    if (PyObject_SetAttr(fut, st->str._asyncio_future_blocking, Py_False) < 0
        || add_wakeup(st, task, fut) < 0) {
        return -1;
    }
    return now_waiting(st, task, fut);
}

/* The coroutine has yielded: a future to wait for, None to give way for one
 * turn, or a mistake. */
static int
handle_yielded(ouro_state *st, TaskObject *task, PyObject *yielded)
{
    if (ouro_future_exact(st, yielded)) {
        return wait_for_ours(st, task, (FutureObject *)yielded);
    }
    if (yielded == Py_None) {
        return ouro_task_schedule(st, task, NULL);
    }
    PyObject *blocking;
    if (PyObject_GetOptionalAttr(yielded, st->str._asyncio_future_blocking,
                                 &blocking)
        < 0) {
        return -1;
    }
    if (blocking != NULL && blocking != Py_None) {
        int truth = PyObject_IsTrue(blocking);
        Py_DECREF(blocking);
        return truth < 0 ? -1 : wait_for_theirs(st, task, yielded, truth);
    }
    Py_XDECREF(blocking);
    if (PyGen_CheckExact(yielded)) {
        return fail_soon(st, task,
                         "yield was used instead of yield from for "
                         "generator in task %R with %R",
                         task, yielded);
    }
    return fail_soon(st, task, "Task got bad yield: %R", yielded);
}

/* ---- the step ---------------------------------------------------------- */

static PySendResult
send_none(PyObject *coro, PyObject **ret)
{
    if (PyCoro_CheckExact(coro)) {
        return PyCoro_Type.tp_as_async->am_send(coro, Py_None, ret);
    }
    return PyIter_Send(coro, Py_None, ret);
}

static PySendResult
throw_into(ouro_state *st, PyObject *coro, PyObject *exception, PyObject **ret)
{
    *ret = PyObject_CallMethodOneArg(coro, st->str.throw, exception);
    if (*ret != NULL) {
        return PYGEN_NEXT;
    }
    return ouro_catch_stop_iteration(ret) ? PYGEN_RETURN : PYGEN_ERROR;
}

static OURO_COLD int
refuse_step(ouro_state *st, TaskObject *task, PyObject *exception)
{
    if (task->fut.state != FUTURE_PENDING) {
        PyErr_Format(st->stock.InvalidStateError,
                     "__step(): already done: %R %R", task,
                     exception != NULL ? exception : Py_None);
    }
    else {
        PyErr_SetString(PyExc_RuntimeError, "uninitialized Task object");
    }
    return -1;
}

/* must_cancel: what is thrown is a CancelledError, whatever was to be. */
static OURO_COLD PyObject *
cancellation_to_throw(ouro_state *st, TaskObject *task, PyObject *exception)
{
    task->fut.must_cancel = false;
    if (exception != NULL
        && PyErr_GivenExceptionMatches(exception, st->stock.CancelledError)) {
        return Py_NewRef(exception);
    }
    return ouro_future_cancelled_error(st, &task->fut);
}

/* What the coroutine has done; out is consumed. */
static inline int
take_outcome(ouro_state *st, TaskObject *task, PySendResult status,
             PyObject *out)
{
    int result;
    switch (status) {
    case PYGEN_NEXT:
        result = handle_yielded(st, task, out);
        break;
    case PYGEN_RETURN:
        result = finish_with_result(task, out);
        break;
    default:
        result = finish_with_exception(st, task);
    }
    Py_XDECREF(out);
    return result;
}

static bool
out_of_memory(TaskObject *task)
{
    return task->fut.state == FUTURE_PENDING
           && PyErr_ExceptionMatches(PyExc_MemoryError);
}

/* There was no memory to wait for what the coroutine has yielded, or to note
 * how it has ended; nobody would step the task again.  A coroutine that still
 * runs gets the MemoryError; one that does not ends with it. */
static OURO_COLD int
recover(ouro_state *st, TaskObject *task, PyObject *coro, PySendResult status)
{
    PyObject *error = PyErr_GetRaisedException();
    int result = -1;
    if (status == PYGEN_NEXT) {
        PyObject *out;
        status = throw_into(st, coro, error, &out);
        Py_DECREF(error);
        result = take_outcome(st, task, status, out);
        if (result == 0 || !out_of_memory(task)) {
            return result;
        }
        error = PyErr_GetRaisedException();
    }
    result = ouro_future_fail(&task->fut, error);
    Py_DECREF(error);
    return result;
}

int
ouro_task_step(ouro_state *st, TaskObject *task, PyObject *exception)
{
    if (task->fut.state != FUTURE_PENDING || task->coro == NULL) {
        return refuse_step(st, task, exception);
    }
    Py_XINCREF(exception);
    if (task->fut.must_cancel) {
        Py_XSETREF(exception, cancellation_to_throw(st, task, exception));
        if (exception == NULL) {
            exception = PyErr_GetRaisedException();
        }
    }
    Py_CLEAR(task->waiter);
    PyObject *coro = Py_NewRef(task->coro);
    PyObject *out = NULL;
    PySendResult status;
    if (exception == NULL) {
        status = send_none(coro, &out);
    }
    else {
        status = throw_into(st, coro, exception, &out);
        Py_DECREF(exception);
    }
    int result = take_outcome(st, task, status, out);
    if (result < 0 && out_of_memory(task)) {
        result = recover(st, task, coro, status);
    }
    Py_DECREF(coro);
    if (task->fut.state != FUTURE_PENDING) {
        ouro_registry_remove(task);
    }
    return result;
}

/* There was no memory to enter the task: its step is for later. */
static OURO_COLD int
step_later(ouro_state *st, TaskObject *task, PyObject *exception)
{
    PyObject *error = PyErr_GetRaisedException();
    int result = ouro_task_schedule(st, task, exception);
    if (result < 0) {
        PyErr_SetRaisedException(error);
    }
    else {
        Py_DECREF(error);
    }
    return result;
}

int
ouro_task_step_entered(ouro_state *st, TaskObject *task, PyObject *exception)
{
    PyObject *loop = Py_NewRef(task->fut.loop);
    int result = ouro_enter_task(st, loop, (PyObject *)task);
    if (result == 0) {
        result = ouro_task_step(st, task, exception);
        PyObject *error = PyErr_GetRaisedException();
        if (ouro_leave_task(st, loop, (PyObject *)task) < 0) {
            Py_XDECREF(error);
            result = -1;
        }
        else {
            PyErr_SetRaisedException(error);
        }
    }
    else if (out_of_memory(task)) {
        result = step_later(st, task, exception);
    }
    Py_DECREF(loop);
    return result;
}

/* The exception to throw for what a done future holds: 1 and a reference, 0
 * for a result, -1. */
static int
outcome_to_throw(ouro_state *st, PyObject *fut, PyObject **ret)
{
    *ret = NULL;
    if (ouro_future_exact(st, fut)) {
        return ouro_future_exception((FutureObject *)fut, ret);
    }
    Py_INCREF(fut);
    PyObject *result = PyObject_CallMethodNoArgs(fut, st->str.result);
    Py_DECREF(fut);
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    *ret = PyErr_GetRaisedException();
    return 1;
}

/* A future of ours with a result: there is nothing to throw. */
static inline bool
has_result(ouro_state *st, PyObject *object)
{
    FutureObject *fut = (FutureObject *)object;
    return ouro_future_exact(st, object) && fut->state == FUTURE_FINISHED
           && !fut->failed;
}

int
ouro_task_wakeup(ouro_state *st, TaskObject *task, PyObject *fut)
{
    PyObject *exception;
    if (outcome_to_throw(st, fut, &exception) < 0) {
        exception = PyErr_GetRaisedException();
    }
    int result = ouro_task_step_entered(st, task, exception);
    Py_XDECREF(exception);
    return result;
}

/* ---- the job ----------------------------------------------------------- */

static TaskObject *
task_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, TaskObject, job);
}

/* Not enough memory to begin: the job is queued once more. */
enum { STEP_LATER = 1 };

static int
step_in_context(LoopCore *loop, TaskObject *task)
{
    ouro_state *st = loop->st;
    PyObject *exception = NULL;
    if (task->waiter != NULL && !has_result(st, task->waiter)
        && outcome_to_throw(st, task->waiter, &exception) < 0) {
        exception = PyErr_GetRaisedException();
    }
    int result = ouro_enter_task_fast(loop, task);
    if (result < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        result = STEP_LATER;
    }
    if (result == 0) {
        result = ouro_task_step(st, task, exception);
        if (result < 0) {
            PyObject *error = PyErr_GetRaisedException();
            if (ouro_after_step_fast(loop, task) < 0) {
                PyErr_WriteUnraisable((PyObject *)task);
            }
            PyErr_SetRaisedException(error);
        }
        else {
            result = ouro_after_step_fast(loop, task);
        }
    }
    Py_XDECREF(exception);
    return result;
}

/* An exception left the step: what Handle._run() would report. */
static OURO_COLD int
report_failed_step(LoopCore *loop, TaskObject *task)
{
    if (loop == NULL) {
        PyErr_WriteUnraisable((PyObject *)task);
        return 0;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *callable = NULL, *args = NULL;
    if (task->waiter == NULL) {
        callable = ouro_task_step_callable(loop->st, task, NULL);
    }
    else if ((args = PyTuple_Pack(1, task->waiter)) != NULL) {
        callable = ouro_task_wakeup_callable(loop->st, task);
    }
    int result = -1;
    if (callable != NULL) {
        PyErr_SetRaisedException(error);
        result = loop->ops->callback_failed((PyObject *)loop, callable, args,
                                            task->context);
        Py_DECREF(callable);
    }
    else {
        Py_XDECREF(error);
    }
    Py_XDECREF(args);
    return result;
}

/* The task has got another loop since its job was queued on `here`. */
static OURO_COLD int
step_moved(LoopCore *here, TaskObject *task)
{
    ouro_state *st = ouro_state_of((PyObject *)task);
    if (here != NULL && ouro_leave_task_fast(here) < 0) {
        return -1;
    }
    PyObject *waiter = Py_XNewRef(task->waiter);
    int result = waiter == NULL ? ouro_task_step_entered(st, task, NULL)
                                : ouro_task_wakeup(st, task, waiter);
    Py_XDECREF(waiter);
    return result;
}

/* What is a context by its method run() alone. */
static OURO_COLD int
step_by_run(LoopCore *here, TaskObject *task, PyObject *context)
{
    ouro_state *st = ouro_state_of((PyObject *)task);
    if (here != NULL && ouro_leave_task_fast(here) < 0) {
        return -1;
    }
    PyObject *step = ouro_task_step_callable(st, task, NULL);
    PyObject *value =
        step == NULL ? NULL
                     : PyObject_CallMethodOneArg(context, st->str.run, step);
    Py_XDECREF(step);
    Py_XDECREF(value);
    return value == NULL ? -1 : 0;
}

static int
task_run(ou_job *job)
{
    TaskObject *task = task_of(job);
    LoopCore *loop = (LoopCore *)task->fut.loop;
    bool moved = task->fut.moved;
    if (moved) {
        loop = ouro_future_host(ouro_state_of((PyObject *)task), &task->fut);
    }
    else {
        loop->st->fast_steps++;
    }
    int result = -1;
    /* (The step may call __init__ again.) */
    PyObject *context = Py_NewRef(task->context);
    if (!PyContext_CheckExact(context)) {
        result = step_by_run(loop, task, context);
    }
    else if (PyContext_Enter(context) == 0) {
        result = moved ? step_moved(loop, task) : step_in_context(loop, task);
        if (PyContext_Exit(context) < 0) {
            result = -1;
        }
    }
    Py_DECREF(context);
    if (result == STEP_LATER && !ou_job_queued(job)) {
        ou_loop_push(&loop->engine, job);
        return 0;
    }
    if (result < 0) {
        result = report_failed_step(loop, task);
    }
    Py_DECREF(task);
    return result < 0 ? -1 : 0;
}

static PyObject *
task_job_callable(ouro_state *st, ou_job *job)
{
    return ouro_task_wakeup_callable(st, task_of(job));
}

static PyObject *
task_job_context(ou_job *job)
{
    return task_of(job)->context;
}

static void
task_job_approach(const ou_job *job)
{
    const TaskObject *task = OURO_CONTAINER_OF(job, const TaskObject, job);
    __builtin_prefetch(task->coro);
    __builtin_prefetch(task->context);
    __builtin_prefetch(task->waiter);
}

static PyObject *
task_job_awaiter(ou_job *job)
{
    return (PyObject *)task_of(job);
}

const waiter_kind ouro_task_waiter = {
    .job =
        {
            OURO_OBJECT_JOB(TaskObject, job),
            .approach = task_job_approach,
            .run = task_run,
        },
    .callable = task_job_callable,
    .context = task_job_context,
    .awaiter = task_job_awaiter,
};

int
ouro_task_schedule(ouro_state *st, TaskObject *task, PyObject *exception)
{
    PyObject *loop = task->fut.loop;
    if (exception == NULL && ouro_loop_fast(st, loop)
        && !ou_job_queued(&task->job)) {
        Py_INCREF(task);
        ou_loop_push(ouro_loop_engine(loop), &task->job);
        return 0;
    }
    PyObject *callable = ouro_task_step_callable(st, task, exception);
    int result = -1;
    if (callable != NULL) {
        result = ouro_loop_call_soon(st, loop, callable, NULL, task->context);
    }
    if (result < 0 && exception == NULL && !ou_job_queued(&task->job)
        && ouro_loop_without_memory(st, loop, callable)) {
        Py_INCREF(task);
        ou_loop_push(ouro_loop_engine(loop), &task->job);
        result = 0;
    }
    Py_XDECREF(callable);
    return result;
}

/* ---- waking in place --------------------------------------------------- */

/* The one task that waits for fut, if stepping it now is a legal order: see
 * docs/architecture.md.  (On a loop that stops after this turn it is not:
 * the step is for the next run.) */
static TaskObject *
sole_waiting_task(ouro_state *st, FutureObject *fut)
{
    ou_job *job = ou_line_first(&fut->callbacks);
    if (job == NULL || job != fut->callbacks.last
        || job->kind != &ouro_task_waiter.job || !ouro_loop_fast(st, fut->loop)
        || !ou_loop_idle(ouro_loop_engine(fut->loop))
        || ((LoopCore *)fut->loop)->stopping) {
        return NULL;
    }
    return task_of(job);
}

int
ouro_future_set_result_now(FutureObject *fut, PyObject *result)
{
    ouro_state *st = ouro_state_of((PyObject *)fut);
    TaskObject *task =
        fut->state == FUTURE_PENDING ? sole_waiting_task(st, fut) : NULL;
    if (task == NULL) {
        return ouro_future_set_result(fut, result);
    }
    ou_queue jobs = ou_line_take(&fut->callbacks);
    fut->result = Py_NewRef(result);
    fut->state = FUTURE_FINISHED;
    return task_run(ou_queue_pop(&jobs));
}
