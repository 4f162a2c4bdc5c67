/* executor.c - calls in other threads: run_in_executor() and the default
 * executor's life.
 *
 * The executors are concurrent.futures' own; their futures are wrapped.
 */
#include "loop/loop.h"

#include "base/args.h"

/* ---- the default executor ---------------------------------------------- */

static bool
has_executor(LoopObject *self)
{
    return self->default_executor != NULL && self->default_executor != Py_None;
}

static int
check_default_executor(LoopObject *self)
{
    if (self->executor_shutdown) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Executor shutdown has been called");
        return -1;
    }
    return 0;
}

static PyObject *
loop_check_default_executor(PyObject *op, PyObject *ignored)
{
    if (check_default_executor((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
thread_pool_type(void)
{
    PyObject *module = PyImport_ImportModule("concurrent.futures");
    if (module == NULL) {
        return NULL;
    }
    PyObject *type = PyObject_GetAttrString(module, "ThreadPoolExecutor");
    Py_DECREF(module);
    return type;
}

/* ThreadPoolExecutor(thread_name_prefix='asyncio') */
static PyObject *
make_executor(void)
{
    PyObject *type = thread_pool_type();
    if (type == NULL) {
        return NULL;
    }
    PyObject *executor = NULL;
    PyObject *args = PyTuple_New(0);
    PyObject *kwargs = Py_BuildValue("{ss}", "thread_name_prefix", "asyncio");
    if (args != NULL && kwargs != NULL) {
        executor = PyObject_Call(type, args, kwargs);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_DECREF(type);
    return executor;
}

/* New reference. */
static PyObject *
get_default_executor(LoopObject *self)
{
    if (check_default_executor(self) < 0) {
        return NULL;
    }
    if (!has_executor(self)) {
        PyObject *executor = make_executor();
        if (executor == NULL) {
            return NULL;
        }
        Py_XSETREF(self->default_executor, executor);
    }
    return Py_NewRef(self->default_executor);
}

static PyObject *
loop_set_default_executor(PyObject *op, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.set_default_executor",
        .skip_self = 1,
        .positional = 1,
        .required = 1,
        .names = {"executor", NULL},
    };
    PyObject *executor;
    if (ouro_parse(&signature, args, nargs, kwnames, &executor) < 0) {
        return NULL;
    }
    PyObject *type = thread_pool_type();
    if (type == NULL) {
        return NULL;
    }
    int fits = PyObject_IsInstance(executor, type);
    Py_DECREF(type);
    if (fits <= 0) {
        if (fits == 0) {
            PyErr_SetString(PyExc_TypeError,
                            "executor must be ThreadPoolExecutor instance");
        }
        return NULL;
    }
    Py_XSETREF(((LoopObject *)op)->default_executor, Py_NewRef(executor));
    Py_RETURN_NONE;
}

/* ---- run_in_executor --------------------------------------------------- */

/* futures.wrap_future(executor.submit(func, *args), loop=self) */
static PyObject *
submit(LoopObject *self, PyObject *executor, PyObject *func,
       PyObject *const *args, Py_ssize_t nargs)
{
    ouro_state *st = self->core.st;
    PyObject **all = PyMem_New(PyObject *, nargs + 2);
    if (all == NULL) {
        return PyErr_NoMemory();
    }
    all[0] = executor;
    all[1] = func;
    for (Py_ssize_t i = 0; i < nargs; i++) {
        all[i + 2] = args[i];
    }
    PyObject *future = PyObject_VectorcallMethod(st->str.submit, all,
                                                 (size_t)nargs + 2, NULL);
    PyMem_Free(all);
    if (future == NULL) {
        return NULL;
    }
    PyObject *wrapped = NULL;
    PyObject *kwnames = PyTuple_Pack(1, st->str.loop);
    if (kwnames != NULL) {
        PyObject *call[] = {st->stock.futures, future, (PyObject *)self};
        wrapped =
            PyObject_VectorcallMethod(st->str.wrap_future, call, 2, kwnames);
        Py_DECREF(kwnames);
    }
    Py_DECREF(future);
    return wrapped;
}

static PyObject *
loop_run_in_executor(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.run_in_executor",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"executor", "func", NULL},
        .varargs = true,
    };
    LoopObject *self = (LoopObject *)op;
    PyObject *values[2];
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0
        || ouro_loop_check_closed(self) < 0
        || (self->core.debug
            && ouro_loop_check_callback(self, values[1], "run_in_executor")
                   < 0)) {
        return NULL;
    }
    PyObject *executor = values[0] == Py_None ? get_default_executor(self)
                                              : Py_NewRef(values[0]);
    if (executor == NULL) {
        return NULL;
    }
    PyObject *future =
        submit(self, executor, values[1], args + 2, nargs > 2 ? nargs - 2 : 0);
    Py_DECREF(executor);
    return future;
}

/* ---- shutdown ---------------------------------------------------------- */

/* executor.shutdown(wait=wait) */
static int
shut_down(ouro_state *st, PyObject *executor, PyObject *wait)
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
    if (!has_executor(self)) {
        return 0;
    }
    PyObject *executor = self->default_executor;
    self->default_executor = NULL;
    int result = shut_down(self->core.st, executor, Py_False);
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
    if (self->closed) {
        return 0;
    }
    PyObject *args[] = {(PyObject *)self, callback, future, value};
    PyObject *handle = PyObject_VectorcallMethod(
        self->core.st->str.call_soon_threadsafe, args, 4, NULL);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
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

/* Runs in a thread of its own. */
static PyObject *
loop_do_shutdown(PyObject *op, PyObject *future)
{
    LoopObject *self = (LoopObject *)op;
    PyObject *executor =
        Py_NewRef(has_executor(self) ? self->default_executor : Py_None);
    int result = shut_down(self->core.st, executor, Py_True);
    Py_DECREF(executor);
    if (result == 0) {
        result = report_shutdown(self, future);
    }
    if (result < 0) {
        result = report_shutdown_error(self, future);
    }
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* threading.Thread(target=self._do_shutdown, args=(future,)), started. */
static PyObject *
start_shutdown_thread(LoopObject *self, PyObject *future)
{
    ouro_state *st = self->core.st;
    PyObject *thread = NULL, *kwargs = NULL, *type = NULL;
    PyObject *empty = PyTuple_New(0);
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *target =
        PyObject_GetAttr((PyObject *)self, st->str._do_shutdown);
    if (threading != NULL && target != NULL) {
        type = PyObject_GetAttrString(threading, "Thread");
        kwargs = Py_BuildValue("{sOs(O)}", "target", target, "args", future);
    }
    if (empty != NULL && type != NULL && kwargs != NULL) {
        thread = PyObject_Call(type, empty, kwargs);
    }
    if (thread != NULL) {
        PyObject *started = PyObject_CallMethodNoArgs(thread, st->str.start);
        if (started == NULL) {
            Py_CLEAR(thread);
        }
        Py_XDECREF(started);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(type);
    Py_XDECREF(target);
    Py_XDECREF(threading);
    Py_XDECREF(empty);
    return thread;
}

/* thread.join(), or join(timeout) */
static int
join_thread(ouro_state *st, PyObject *thread, PyObject *timeout)
{
    PyObject *args[] = {thread, timeout};
    PyObject *result = PyObject_VectorcallMethod(st->str.join, args, 2, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
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
    return has_executor(self)
               ? shut_down(self->core.st, self->default_executor, Py_False)
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

/* What the shutdown waits for: the future, from 3.13 on for a time. */
static await_status
wait_for_shutdown(ouro_state *st, PyObject *future, PyObject *timeout,
                  PyObject **ret)
{
    if (timeout == Py_None || !st->has.loop.shutdown_waits_briefly) {
        *ret = Py_NewRef(future);
        return AWAIT_DELEGATE;
    }
    PyObject *args[] = {st->stock.tasks, future, timeout};
    *ret = PyObject_VectorcallMethod(st->str.wait_for, args, 3, NULL);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

enum { SHUTDOWN_START, SHUTDOWN_WAITING };

/* self->a: the timeout; b: the thread. */
static await_status
shutdown_poll(AwaitObject *self, PyObject **ret)
{
    LoopObject *loop = (LoopObject *)self->owner;
    ouro_state *st = loop->core.st;
    if (self->step == SHUTDOWN_WAITING) {
        PyObject *timeout =
            st->has.loop.shutdown_waits_briefly ? Py_None : self->a;
        *ret = Py_NewRef(Py_None);
        return join_and_check(loop, self->b, timeout) < 0 ? AWAIT_ERROR
                                                          : AWAIT_RETURN;
    }
    loop->executor_shutdown = true;
    if (!has_executor(loop)) {
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    PyObject *future =
        PyObject_CallMethodNoArgs((PyObject *)loop, st->str.create_future);
    if (future == NULL) {
        return AWAIT_ERROR;
    }
    await_status status = AWAIT_ERROR;
    self->b = start_shutdown_thread(loop, future);
    if (self->b != NULL) {
        self->step = SHUTDOWN_WAITING;
        status = wait_for_shutdown(st, future, self->a, ret);
    }
    Py_DECREF(future);
    return status;
}

static await_status
shutdown_abort(AwaitObject *self, PyObject **ret)
{
    LoopObject *loop = (LoopObject *)self->owner;
    ouro_state *st = loop->core.st;
    if (self->step != SHUTDOWN_WAITING) {
        return AWAIT_ERROR;
    }
    if (st->has.loop.shutdown_waits_briefly) {
        if (!PyErr_ExceptionMatches(PyExc_TimeoutError)) {
            return AWAIT_ERROR;
        }
        PyErr_Clear();
        *ret = Py_NewRef(Py_None);
        return give_up(loop, self->a) < 0 ? AWAIT_ERROR : AWAIT_RETURN;
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
    static const ouro_signature signature_3_11 = {
        .qualname = "BaseEventLoop.shutdown_default_executor",
        .skip_self = 1,
        .names = {NULL},
    };
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.shutdown_default_executor",
        .skip_self = 1,
        .positional = 1,
        .names = {"timeout", NULL},
    };
    ouro_state *st = ((LoopObject *)op)->core.st;
    PyObject *timeout = NULL;
    if (ouro_parse(st->has.loop.shutdown_timeout ? &signature
                                                 : &signature_3_11,
                   args, nargs, kwnames, &timeout)
        < 0) {
        return NULL;
    }
    AwaitObject *coro = ouro_await_new(st, &shutdown_kind, op);
    if (coro != NULL) {
        coro->a = Py_NewRef(timeout != NULL ? timeout : Py_None);
    }
    return (PyObject *)coro;
}

PyDoc_STRVAR(run_in_executor_doc,
             "run_in_executor($self, executor, func, *args)\n--\n\n\
Call func(*args) in an executor of concurrent.futures and return a Future\n\
of its result.  None is the default executor, a ThreadPoolExecutor that is\n\
made when it is first needed.");
PyDoc_STRVAR(set_default_executor_doc,
             "set_default_executor($self, executor)\n--\n\n\
Use a ThreadPoolExecutor of the caller's as the default executor.");
PyDoc_STRVAR(check_default_executor_doc,
             "_check_default_executor($self, /)\n--\n\n");
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
    OURO_METHOD("run_in_executor", loop_run_in_executor, run_in_executor_doc),
    OURO_METHOD("set_default_executor", loop_set_default_executor,
                set_default_executor_doc),
    {"_check_default_executor", loop_check_default_executor, METH_NOARGS,
     check_default_executor_doc},
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
ouro_executor_setup(PyObject *module, ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(
        st, st->has.loop.shutdown_timeout ? shutdown : shutdown_3_11);
}
