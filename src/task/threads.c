/* threads.c - between threads and tasks: run_coroutine_threadsafe() from
 * another thread into the loop, to_thread() from a task into another thread.
 */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/chain.h"
#include "task/copystate.h"
#include "task/coroutines.h"
#include "task/registry.h"
#include "task/task.h"

/* ---- run_coroutine_threadsafe() ---------------------------------------- */

/* A coroutine on its way to the thread of its loop. */
typedef struct SubmitObject {
    PyObject_HEAD
    ou_job job;
    PyObject *coro;
    PyObject *loop;
    PyObject *future;  /* of concurrent.futures */
    PyObject *context; /* of the caller; where call_soon_threadsafe() is
                        called, that takes care of it, and this is NULL */
} SubmitObject;

/* Tell the caller of the current exception, which goes on. */
static void
submit_failed(ouro_state *st, SubmitObject *self)
{
    PyObject *error = PyErr_GetRaisedException();
    if (!ouro_leaves_loop(error)) {
        int starts = ouro_concurrent_starts(st, self->future);
        if (starts < 0
            || (starts
                && ouro_anyfuture_set_exception(st, self->future, error)
                       < 0)) {
            Py_DECREF(error);
            return;
        }
    }
    PyErr_SetRaisedException(error);
}

static int
submit_in_loop(ouro_state *st, SubmitObject *self)
{
    PyObject *task = ouro_ensure_future(st, self->coro, self->loop);
    if (task != NULL && ouro_chain_future(st, task, self->future) < 0) {
        Py_CLEAR(task);
    }
    if (task == NULL) {
        submit_failed(st, self);
        return -1;
    }
    Py_DECREF(task);
    return 0;
}

static int
submit_in_context(ouro_state *st, SubmitObject *self)
{
    if (self->context == NULL) {
        return submit_in_loop(st, self);
    }
    if (PyContext_Enter(self->context) < 0) {
        return -1;
    }
    int result = submit_in_loop(st, self);
    PyObject *error = PyErr_GetRaisedException();
    if (PyContext_Exit(self->context) < 0) {
        Py_XDECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    return result;
}

/* Report the current exception, as Handle._run() does. */
static int
submit_report(ouro_state *st, SubmitObject *self)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *callable = ouro_waiter_callable(st, &self->job);
    if (callable == NULL) {
        Py_XDECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    int result =
        ((LoopCore *)self->loop)
            ->ops->callback_failed(self->loop, callable, NULL, self->context);
    Py_DECREF(callable);
    return result;
}

/* From the engine's queue, or as the callable that any loop calls. */
static int
submit_run(ou_job *job)
{
    SubmitObject *self = OURO_CONTAINER_OF(job, SubmitObject, job);
    ouro_state *st = ouro_state_of((PyObject *)self);
    bool direct = self->context != NULL;
    int result = direct ? ouro_leave_task_fast((LoopCore *)self->loop) : 0;
    if (result == 0) {
        result = submit_in_context(st, self);
    }
    if (result < 0 && direct) {
        result = submit_report(st, self);
    }
    Py_DECREF(self);
    return result;
}

static const waiter_kind submit_job = {
    .job =
        {
            OURO_OBJECT_JOB(SubmitObject, job),
            .run = submit_run,
        },
    .qualname = "run_coroutine_threadsafe.<locals>.callback",
};

static int
submit_traverse(PyObject *self, visitproc visit, void *arg)
{
    SubmitObject *submit = (SubmitObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(submit->coro);
    Py_VISIT(submit->loop);
    Py_VISIT(submit->future);
    Py_VISIT(submit->context);
    return 0;
}

/* While it is queued, all is needed; a cycle is broken at the loop. */
static void
submit_dealloc(PyObject *self)
{
    SubmitObject *submit = (SubmitObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(submit->coro);
    Py_CLEAR(submit->loop);
    Py_CLEAR(submit->future);
    Py_CLEAR(submit->context);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot submit_slots[] = {
    {Py_tp_doc, "A coroutine on its way to another thread."},
    {Py_tp_traverse, submit_traverse},
    {Py_tp_dealloc, submit_dealloc},
    {0, NULL},
};

static PyType_Spec submit_spec = {
    .name = "ouro._ouro.Submit",
    .basicsize = sizeof(SubmitObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = submit_slots,
};

static int
submit_directly(SubmitObject *self)
{
    self->context = PyContext_CopyCurrent();
    if (self->context == NULL) {
        return -1;
    }
    Py_INCREF(self); /* the queue's reference */
    ((LoopCore *)self->loop)->ops->post(self->loop, &self->job);
    return 0;
}

static int
submit_by_method(ouro_state *st, SubmitObject *self)
{
    PyObject *callable = ouro_waiter_callable(st, &self->job);
    if (callable == NULL) {
        return -1;
    }
    int result = ouro_drop_result(PyObject_CallMethodOneArg(
        self->loop, st->str.call_soon_threadsafe, callable));
    Py_DECREF(callable);
    return result;
}

/* The concurrent future of coro, which is sent to loop's thread. */
static PyObject *
submit(ouro_state *st, PyObject *coro, PyObject *loop)
{
    PyTypeObject *type = st->types.Submit;
    SubmitObject *self = (SubmitObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    ou_job_init(&self->job, &submit_job.job);
    self->coro = Py_NewRef(coro);
    self->loop = Py_NewRef(loop);
    self->future = PyObject_CallNoArgs(st->stock.concurrent_Future);
    PyObject *future = NULL;
    if (self->future != NULL) {
        int sent = ouro_loop_fast(st, loop) ? submit_directly(self)
                                            : submit_by_method(st, self);
        future = sent < 0 ? NULL : Py_NewRef(self->future);
    }
    Py_DECREF(self);
    return future;
}

PyDoc_STRVAR(run_coroutine_threadsafe_doc,
"run_coroutine_threadsafe(coro, loop)\n--\n\n\
Submit a coroutine object to a given event loop.\n\n\
Return a concurrent.futures.Future to access the result.");

static PyObject *
run_coroutine_threadsafe(PyObject *module, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "run_coroutine_threadsafe",
        .positional = 2,
        .required = 2,
        .names = {"coro", "loop", NULL},
    };
    ouro_state *st = ouro_module_state(module);
    PyObject *given[2];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    int coroutine = ouro_iscoroutine(st, given[0]);
    if (coroutine == 0) {
        PyErr_SetString(PyExc_TypeError, "A coroutine object is required");
    }
    return coroutine <= 0 ? NULL : submit(st, given[0], given[1]);
}

/* ---- to_thread() ------------------------------------------------------- */

/* The body's fields: owner the function, a its arguments, b the keywords. */
enum { TO_THREAD_START, TO_THREAD_RUNNING };

/* functools.partial(context.run, func, *args, **kwargs) */
static PyObject *
call_in_context(ouro_state *st, AwaitObject *self)
{
    PyObject *context = PyContext_CopyCurrent();
    PyObject *run =
        context == NULL ? NULL : PyObject_GetAttr(context, st->str.run);
    Py_XDECREF(context);
    if (run == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(self->a);
    PyObject *call = NULL, *args = PyTuple_New(count + 2);
    if (args != NULL) {
        PyTuple_SET_ITEM(args, 0, Py_NewRef(run));
        PyTuple_SET_ITEM(args, 1, Py_NewRef(self->owner));
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SET_ITEM(args, i + 2,
                             Py_NewRef(PyTuple_GET_ITEM(self->a, i)));
        }
        call = PyObject_Call(st->stock.partial, args, self->b);
        Py_DECREF(args);
    }
    Py_DECREF(run);
    return call;
}

/* loop.run_in_executor(None, call) */
static PyObject *
run_in_executor(ouro_state *st, AwaitObject *self)
{
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *future = NULL, *call = call_in_context(st, self);
    if (call != NULL) {
        PyObject *args[] = {loop, Py_None, call};
        future =
            PyObject_VectorcallMethod(st->str.run_in_executor, args, 3, NULL);
        Py_DECREF(call);
    }
    Py_DECREF(loop);
    return future;
}

/* The same without the calls, on a loop of ours. 1, 0: not here, -1. */
static int
call_in_thread(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return -1;
    }
    int done = 0;
    if (ouro_loop_fast(st, loop)) {
        PyObject *context = PyContext_CopyCurrent();
        done = context == NULL
                   ? -1
                   : ((LoopCore *)loop)
                         ->ops->call_in_thread(loop, self->owner, self->a,
                                               self->b, context, ret);
        Py_XDECREF(context);
    }
    Py_DECREF(loop);
    return done;
}

static await_status
to_thread_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    int done = call_in_thread(st, self, ret);
    if (done != 0) {
        return done < 0 ? AWAIT_ERROR : AWAIT_FUTURE;
    }
    *ret = run_in_executor(st, self);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
to_thread_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step == TO_THREAD_START) {
        self->step = TO_THREAD_RUNNING;
        return to_thread_start(ouro_state_of((PyObject *)self), self, ret);
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static const await_kind to_thread_kind = {
    .name = "to_thread",
    .qualname = "to_thread",
    .poll = to_thread_poll,
};

/* kwargs is consumed; may be NULL, with an exception. */
static AwaitObject *
to_thread_new(ouro_state *st, PyObject *func, PyObject *const *args,
              Py_ssize_t nargs, PyObject *kwargs)
{
    PyObject *tuple = PyTuple_New(nargs);
    AwaitObject *self = NULL;
    for (Py_ssize_t i = 0; tuple != NULL && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    if (tuple != NULL && kwargs != NULL) {
        self = ouro_await_new(st, &to_thread_kind, func);
    }
    if (self == NULL) {
        Py_XDECREF(tuple);
        Py_XDECREF(kwargs);
        return NULL;
    }
    self->a = tuple;
    self->b = kwargs;
    return self;
}

PyDoc_STRVAR(to_thread_doc, "to_thread(func, /, *args, **kwargs)\n--\n\n\
Asynchronously run function *func* in a separate thread.\n\n\
Any *args and **kwargs supplied for this function are directly passed\n\
to *func*. Also, the current :class:`contextvars.Context` is propagated,\n\
allowing context variables from the main thread to be accessed in the\n\
separate thread.\n\n\
Return a coroutine that can be awaited to get the eventual result of\n\
*func*.");

static PyObject *
to_thread(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "to_thread",
        .positional = 1,
        .required = 1,
        .names = {"func", NULL},
        .positional_only = 1,
        .varargs = true,
        .varkeywords = true,
    };
    PyObject *func;
    if (ouro_parse(&signature, args, nargs, kwnames, &func) < 0) {
        return NULL;
    }
    return (PyObject *)to_thread_new(
        ouro_module_state(module), func, args + 1, nargs - 1,
        ouro_keywords(&signature, args + nargs, kwnames));
}

/* ---- module functions -------------------------------------------------- */

static PyMethodDef threads_functions[] = {
    OURO_METHOD("run_coroutine_threadsafe", run_coroutine_threadsafe,
                run_coroutine_threadsafe_doc),
    {NULL},
};

static const ouro_async_def threads_coroutines[] = {
    {"to_thread", to_thread, to_thread_doc},
    {NULL},
};

int
ouro_threads_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &submit_spec, NULL, false, &st->types.Submit) < 0
        || PyModule_AddFunctions(module, threads_functions) < 0) {
        return -1;
    }
    return ouro_add_async_functions(st, module, threads_coroutines);
}
