/* executor_shutdown.c - the end of the default executor: waited for, or at
 * close() left to itself.
 */
#include "base/args.h"
#include "loop/executor.h"
#include "loop/workers.h"
#include "task/timeout.h"

int
ouro_executor_shut_down(ouro_state *st, PyObject *executor, PyObject *wait)
{
    PyObject *kwnames = PyTuple_Pack(1, st->str.wait);
    PyObject *result = NULL;
    if (kwnames != NULL) {
        PyObject *args[] = {executor, wait};
        result = PyObject_VectorcallMethod(st->str.shutdown, args, 1, kwnames);
        Py_DECREF(kwnames);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* At close(): the executor's threads end by themselves. */
int
ouro_executor_close(LoopObject *self)
{
    self->executor_shutdown = true;
    ouro_executor_drop_workers(self);
    if (!ouro_has_executor(self)) {
        return 0;
    }
    PyObject *executor = self->default_executor;
    self->default_executor = NULL;
    int result = ouro_executor_shut_down(self->core.st, executor, Py_False);
    if (result < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)
        && self->default_executor == NULL) {
        self->default_executor = Py_NewRef(executor); /* for another try */
    }
    Py_DECREF(executor);
    return result;
}

/* self.call_soon_threadsafe(callback, future, value) */
static int
call_back(LoopObject *self, PyObject *callback, PyObject *future,
          PyObject *value)
{
    int closed = ouro_loop_is_closed(self);
    if (closed != 0) {
        return closed < 0 ? -1 : 0;
    }
    PyObject *args[] = {(PyObject *)self, callback, future, value};
    return ouro_drop_result(PyObject_VectorcallMethod(
        self->core.st->str.call_soon_threadsafe, args, 4, NULL));
}

static int
report_shutdown(LoopObject *self, PyObject *future)
{
    ouro_state *st = self->core.st;
    PyObject *set_result = PyObject_GetAttr(
        st->stock.futures, st->str._set_result_unless_cancelled);
    if (set_result == NULL) {
        return -1;
    }
    int result = call_back(self, set_result, future, Py_None);
    Py_DECREF(set_result);
    return result;
}

/* future.set_exception(error), unless the future was cancelled. */
static int
report_shutdown_error(LoopObject *self, PyObject *future)
{
    ouro_state *st = self->core.st;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *cancelled = PyObject_CallMethodNoArgs(future, st->str.cancelled);
    int result = -1;
    if (cancelled == Py_True) {
        result = 0;
    }
    else if (cancelled != NULL) {
        PyObject *set_exception = PyObject_GetAttr((PyObject *)Py_TYPE(future),
                                                   st->str.set_exception);
        if (set_exception != NULL) {
            result = call_back(self, set_exception, future, error);
            Py_DECREF(set_exception);
        }
    }
    Py_XDECREF(cancelled);
    Py_DECREF(error);
    return result;
}

/* Our threads, and the executor; asyncio's way to say that there is none. */
static int
wait_for_threads(LoopObject *self)
{
    if (self->workers != NULL) {
        PyObject *workers = Py_NewRef(self->workers);
        int result = ouro_workers_join(workers);
        Py_DECREF(workers);
        if (result < 0 || !ouro_has_executor(self)) {
            return result;
        }
    }
    PyObject *executor =
        Py_NewRef(ouro_has_executor(self) ? self->default_executor : Py_None);
    int result = ouro_executor_shut_down(self->core.st, executor, Py_True);
    Py_DECREF(executor);
    return result;
}

/* Runs in a thread of its own. */
static PyObject *
loop_do_shutdown(PyObject *op, PyObject *future)
{
    LoopObject *self = (LoopObject *)op;
    int result = wait_for_threads(self);
    if (result == 0) {
        result = report_shutdown(self, future);
    }
    if (result < 0) {
        result = report_shutdown_error(self, future);
    }
    return ouro_none_or_error(result);
}

/* threading.Thread(target=self._do_shutdown, args=(future,)), started. */
static PyObject *
start_shutdown_thread(LoopObject *self, PyObject *future)
{
    ouro_state *st = self->core.st;
    PyObject *target =
        PyObject_GetAttr((PyObject *)self, st->str._do_shutdown);
    return target == NULL
               ? NULL
               : ouro_thread_start(st, Py_BuildValue("{sNs(O)}", "target",
                                                     target, "args", future));
}

/* thread.join(timeout), or join() */
static int
join_thread(ouro_state *st, PyObject *thread, PyObject *timeout)
{
    PyObject *args[] = {thread, timeout};
    return ouro_drop_result(PyObject_VectorcallMethod(
        st->str.join, args, timeout == NULL ? 1 : 2, NULL));
}

/* Its time is over: warn, and leave the threads to themselves. */
static int
give_up(LoopObject *self, PyObject *timeout)
{
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                         "The executor did not finishing joining its threads "
                         "within %S seconds.",
                         timeout)
        < 0) {
        return -1;
    }
    return ouro_has_executor(self) ? ouro_executor_shut_down(
               self->core.st, self->default_executor, Py_False)
                                   : 0;
}

/* 3.12 bounds the join, not the wait before it. */
static int
join_and_check(LoopObject *self, PyObject *thread, PyObject *timeout)
{
    ouro_state *st = self->core.st;
    if (join_thread(st, thread, timeout) < 0) {
        return -1;
    }
    PyObject *alive = PyObject_CallMethodNoArgs(thread, st->str.is_alive);
    if (alive == NULL) {
        return -1;
    }
    int result = alive == Py_True ? give_up(self, timeout) : 0;
    Py_DECREF(alive);
    return result;
}

enum { SHUTDOWN_START, SHUTDOWN_WAITING };

/* Wait for the threads. self->a: the timeout; b: the thread that joins them;
 * c: from 3.13 on, the timeout() around the wait. */
static await_status
shutdown_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    LoopObject *loop = (LoopObject *)self->owner;
    loop->executor_shutdown = true;
    if (!ouro_has_executor(loop) && loop->workers == NULL) {
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    PyObject *future =
        PyObject_CallMethodNoArgs((PyObject *)loop, st->str.create_future);
    if (future == NULL) {
        return AWAIT_ERROR;
    }
    self->b = start_shutdown_thread(loop, future);
    if (self->b != NULL && st->has.loop.shutdown_waits_briefly) {
        self->c = ouro_timeout_begin(st, self->a);
    }
    if (PyErr_Occurred()) {
        Py_DECREF(future);
        return AWAIT_ERROR;
    }
    self->step = SHUTDOWN_WAITING;
    *ret = future;
    return AWAIT_DELEGATE;
}

/* The wait is over, with the current exception or without one: join the
 * thread, unless the time is over, too. */
static await_status
shutdown_end(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    LoopObject *loop = (LoopObject *)self->owner;
    int result;
    if (ouro_timeout_end(st, self->c) == 0) {
        result = join_thread(st, self->b, NULL);
    }
    else if (PyErr_ExceptionMatches(PyExc_TimeoutError)) {
        PyErr_Clear();
        result = give_up(loop, self->a);
    }
    else {
        result = -1;
    }
    *ret = Py_NewRef(Py_None);
    if (result < 0) {
        Py_CLEAR(*ret);
    }
    return result < 0 ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
shutdown_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step == SHUTDOWN_START) {
        return shutdown_start(st, self, ret);
    }
    if (self->c != NULL) {
        return shutdown_end(st, self, ret);
    }
    *ret = Py_NewRef(Py_None);
    return join_and_check((LoopObject *)self->owner, self->b, self->a) < 0
               ? AWAIT_ERROR
               : AWAIT_RETURN;
}

static await_status
shutdown_abort(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step != SHUTDOWN_WAITING) {
        return AWAIT_ERROR;
    }
    if (self->c != NULL) {
        return shutdown_end(st, self, ret);
    }
    /* finally: thread.join(timeout) */
    PyObject *error = PyErr_GetRaisedException();
    if (join_thread(st, self->b, self->a) < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(error);
    return AWAIT_ERROR;
}

static const await_kind shutdown_kind = {
    .name = "shutdown_default_executor",
    .qualname = "BaseEventLoop.shutdown_default_executor",
    .poll = shutdown_poll,
    .abort = shutdown_abort,
};

static PyObject *
loop_shutdown_default_executor(PyObject *op, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.shutdown_default_executor",
        .skip_self = 1,
        .positional = 1,
        .names = {"timeout", NULL},
    };
    ouro_state *st = ((LoopObject *)op)->core.st;
    PyObject *timeout = NULL;
    if (ouro_parse_versions(&signature, st->has.loop.shutdown_timeout, args,
                            nargs, kwnames, &timeout)
        < 0) {
        return NULL;
    }
    AwaitObject *coro = ouro_await_new(st, &shutdown_kind, op);
    if (coro != NULL) {
        coro->a = Py_NewRef(timeout != NULL ? timeout : Py_None);
    }
    return (PyObject *)coro;
}

PyDoc_STRVAR(do_shutdown_doc, "_do_shutdown($self, future)\n--\n\n");
#define SHUTDOWN_DOC                                                          \
    "--\n\n\
Shut the default executor down and wait until its threads have ended"
PyDoc_STRVAR(shutdown_3_11_doc,
             "shutdown_default_executor($self, /)\n" SHUTDOWN_DOC ".");
PyDoc_STRVAR(shutdown_doc,
             "shutdown_default_executor($self, timeout=None)\n" SHUTDOWN_DOC
             ",\nfor up to `timeout` seconds.");

static PyMethodDef methods[] = {
    {"_do_shutdown", loop_do_shutdown, METH_O, do_shutdown_doc},
    {NULL},
};

static const ouro_async_def shutdown_3_11[] = {
    {"shutdown_default_executor", loop_shutdown_default_executor,
     shutdown_3_11_doc},
    {NULL},
};

static const ouro_async_def shutdown[] = {
    {"shutdown_default_executor", loop_shutdown_default_executor,
     shutdown_doc},
    {NULL},
};

int
ouro_executor_shutdown_setup(PyObject *module, ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(
        st, st->has.loop.shutdown_timeout ? shutdown : shutdown_3_11);
}
