/* runner_run.c - Runner.run(), and what Control-C does to it.
 *
 * While the main task runs in the main thread, the first SIGINT cancels it
 * and the second raises KeyboardInterrupt.
 */
#include "base/args.h"
#include "base/await.h"
#include "loop/runner.h"
#include "task/coroutines.h"

/* ---- SIGINT ------------------------------------------------------------ */

/* signal.getsignal(SIGINT) */
static PyObject *
get_handler(ouro_state *st)
{
    PyObject *number = ouro_runners_global(st, "signal", "SIGINT");
    PyObject *function =
        number == NULL ? NULL : ouro_runners_global(st, "signal", "getsignal");
    PyObject *handler =
        function == NULL ? NULL : PyObject_CallOneArg(function, number);
    Py_XDECREF(function);
    Py_XDECREF(number);
    return handler;
}

/* signal.signal(SIGINT, handler) */
static int
set_handler(ouro_state *st, PyObject *handler)
{
    PyObject *number = ouro_runners_global(st, "signal", "SIGINT");
    PyObject *function =
        number == NULL ? NULL : ouro_runners_global(st, "signal", "signal");
    PyObject *old =
        function == NULL
            ? NULL
            : PyObject_CallFunctionObjArgs(function, number, handler, NULL);
    Py_XDECREF(function);
    Py_XDECREF(number);
    Py_XDECREF(old);
    return old == NULL ? -1 : 0;
}

/* threading.<name>(), as asyncio.runners finds it. */
static PyObject *
call_threading(ouro_state *st, const char *name)
{
    PyObject *function = ouro_runners_global(st, "threading", name);
    if (function == NULL) {
        return NULL;
    }
    PyObject *thread = PyObject_CallNoArgs(function);
    Py_DECREF(function);
    return thread;
}

/* Whether this is the main thread: 1, 0, -1. */
static int
in_main_thread(ouro_state *st)
{
    PyObject *current = call_threading(st, "current_thread");
    if (current == NULL) {
        return -1;
    }
    PyObject *main = call_threading(st, "main_thread");
    int result = main == NULL ? -1 : current == main;
    Py_XDECREF(main);
    Py_DECREF(current);
    return result;
}

/* Whether SIGINT raises KeyboardInterrupt, as it does by default: 1, 0, -1. */
static int
is_default(ouro_state *st)
{
    int here = in_main_thread(st);
    if (here <= 0) {
        return here;
    }
    PyObject *handler = get_handler(st);
    PyObject *usual =
        handler == NULL
            ? NULL
            : ouro_runners_global(st, "signal", "default_int_handler");
    int result = usual == NULL ? -1 : handler == usual;
    Py_XDECREF(usual);
    Py_XDECREF(handler);
    return result;
}

/* functools.partial(self._on_sigint, main_task=task) */
static PyObject *
make_handler(ouro_state *st, PyObject *self, PyObject *task)
{
    PyObject *method = PyObject_GetAttrString(self, "_on_sigint");
    PyObject *kwnames =
        method == NULL ? NULL : Py_BuildValue("(s)", "main_task");
    PyObject *handler = NULL;
    if (kwnames != NULL) {
        PyObject *args[] = {method, task};
        handler = PyObject_Vectorcall(st->stock.partial, args, 1, kwnames);
    }
    Py_XDECREF(kwnames);
    Py_XDECREF(method);
    return handler;
}

/* *ret: the handler that is in force for this run, or NULL. 0/-1. */
static int
take_sigint(ouro_state *st, PyObject *self, PyObject *task, PyObject **ret)
{
    *ret = NULL;
    int usual = is_default(st);
    if (usual <= 0) {
        return usual;
    }
    PyObject *handler = make_handler(st, self, task);
    if (handler == NULL) {
        return -1;
    }
    if (set_handler(st, handler) < 0) {
        Py_DECREF(handler);
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return -1;
        }
        PyErr_Clear(); /* the main thread cannot take signals here */
        return 0;
    }
    *ret = handler;
    return 0;
}

static int
give_sigint_back(ouro_state *st, PyObject *handler)
{
    PyObject *current = get_handler(st);
    if (current == NULL) {
        return -1;
    }
    Py_DECREF(current);
    if (current != handler) {
        return 0;
    }
    PyObject *usual = ouro_runners_global(st, "signal", "default_int_handler");
    int result = usual == NULL ? -1 : set_handler(st, usual);
    Py_XDECREF(usual);
    return result;
}

/* Cancel the task, and have a loop that waits notice. */
static int
interrupt(ouro_state *st, RunnerObject *self, PyObject *task)
{
    PyObject *result = PyObject_CallMethodNoArgs(task, st->str.cancel);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    PyObject *loop = Py_NewRef(self->loop != NULL ? self->loop : Py_None);
    PyObject *nothing = PyObject_GetAttrString(st->module, "_interrupted");
    result = nothing == NULL ? NULL
                             : PyObject_CallMethodOneArg(
                                 loop, st->str.call_soon_threadsafe, nothing);
    Py_XDECREF(nothing);
    Py_DECREF(loop);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *
runner_on_sigint(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "Runner._on_sigint",
        .skip_self = 1,
        .positional = 3,
        .required = 3,
        .names = {"signum", "frame", "main_task", NULL},
    };
    RunnerObject *self = (RunnerObject *)op;
    ouro_state *st = ouro_state_of(op);
    PyObject *values[3];
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    self->interrupt_count++;
    if (self->interrupt_count == 1) {
        int done =
            ouro_truth_of(PyObject_CallMethodNoArgs(values[2], st->str.done));
        if (done < 0 || (!done && interrupt(st, self, values[2]) < 0)) {
            return NULL;
        }
        if (!done) {
            Py_RETURN_NONE;
        }
    }
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    return NULL;
}

/* ---- run() ------------------------------------------------------------- */

static const await_kind wrap_kind = {
    .name = "_wrap_awaitable",
    .qualname = "Runner.run.<locals>._wrap_awaitable",
    .poll = ouro_await_owner,
};

/* Up to 3.13 a coroutine; later any awaitable, as a coroutine. */
static PyObject *
as_coroutine(ouro_state *st, PyObject *object)
{
    int answer = ouro_iscoroutine(st, object);
    if (answer != 0) {
        return answer < 0 ? NULL : Py_NewRef(object);
    }
    if (!st->has.loop.runner_takes_awaitables) {
        PyErr_Format(PyExc_ValueError, "a coroutine was expected, got %R",
                     object);
        return NULL;
    }
    int truth =
        ouro_truth_of(PyObject_CallOneArg(st->stock.isawaitable, object));
    if (truth > 0) {
        return (PyObject *)ouro_await_new(st, &wrap_kind, object);
    }
    if (truth == 0) {
        PyErr_SetString(PyExc_TypeError,
                        "An asyncio.Future, a coroutine or an awaitable is "
                        "required");
    }
    return NULL;
}

/* What may be run, and that it may be: the checks, in asyncio's order. */
static PyObject *
checked_coroutine(ouro_state *st, PyObject *object)
{
    static const char text[] =
        "Runner.run() cannot be called from a running event loop";
    if (st->has.loop.runner_takes_awaitables) {
        return ouro_runner_check_running(st, text) < 0
                   ? NULL
                   : as_coroutine(st, object);
    }
    PyObject *coro = as_coroutine(st, object);
    if (coro != NULL && ouro_runner_check_running(st, text) < 0) {
        Py_CLEAR(coro);
    }
    return coro;
}

/* loop.create_task(coro, context=context) */
static PyObject *
create_main_task(ouro_state *st, RunnerObject *self, PyObject *coro,
                 PyObject *context)
{
    if (ouro_drop_result(
            PyObject_CallMethodNoArgs((PyObject *)self, st->str._lazy_init))
        < 0) {
        return NULL;
    }
    if (context == NULL || context == Py_None) {
        context = self->context != NULL ? self->context : Py_None;
    }
    PyObject *kwnames = PyTuple_Pack(1, st->str.context);
    if (kwnames == NULL) {
        return NULL;
    }
    PyObject *loop = Py_NewRef(self->loop != NULL ? self->loop : Py_None);
    PyObject *args[] = {loop, coro, Py_NewRef(context)};
    PyObject *task =
        PyObject_VectorcallMethod(st->str.create_task, args, 2, kwnames);
    Py_DECREF(args[2]);
    Py_DECREF(loop);
    Py_DECREF(kwnames);
    return task;
}

/* Whether uncancel() undoes the only request: 1, 0, -1. */
static int
uncancels(ouro_state *st, PyObject *task)
{
    PyObject *uncancel;
    if (PyObject_GetOptionalAttr(task, st->str.uncancel, &uncancel) < 0) {
        return -1;
    }
    if (uncancel == NULL || uncancel == Py_None) {
        Py_XDECREF(uncancel);
        return 0;
    }
    PyObject *left = PyObject_CallNoArgs(uncancel);
    Py_DECREF(uncancel);
    if (left == NULL) {
        return -1;
    }
    PyObject *zero = PyLong_FromLong(0);
    int result =
        zero == NULL ? -1 : PyObject_RichCompareBool(left, zero, Py_EQ);
    Py_XDECREF(zero);
    Py_DECREF(left);
    return result;
}

/* The run was cancelled: by Control-C? */
static void
convert_cancellation(ouro_state *st, RunnerObject *self, PyObject *task)
{
    if (self->interrupt_count <= 0
        || !PyErr_ExceptionMatches(st->stock.CancelledError)) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    int ours = uncancels(st, task);
    if (ours > 0) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    if (ours == 0) {
        PyErr_SetRaisedException(error);
    }
    else {
        Py_DECREF(error);
    }
}

/* The step of a finally clause that follows whatever has happened; a new
 * exception replaces the old one, which is its context. */
static PyObject *
finish_run(ouro_state *st, PyObject *handler, PyObject *result)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *outer = PyErr_GetHandledException();
    if (error != NULL) {
        PyErr_SetHandledException(error);
    }
    int clean = give_sigint_back(st, handler);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    if (clean < 0) {
        Py_XDECREF(error);
        Py_XDECREF(result);
        return NULL;
    }
    PyErr_SetRaisedException(error);
    return result;
}

static PyObject *
run_task(ouro_state *st, RunnerObject *self, PyObject *task)
{
    PyObject *handler;
    if (take_sigint(st, (PyObject *)self, task, &handler) < 0) {
        return NULL;
    }
    self->interrupt_count = 0;
    PyObject *loop = Py_NewRef(self->loop != NULL ? self->loop : Py_None);
    PyObject *result =
        PyObject_CallMethodOneArg(loop, st->str.run_until_complete, task);
    Py_DECREF(loop);
    if (result == NULL) {
        convert_cancellation(st, self, task);
    }
    if (handler != NULL) {
        result = finish_run(st, handler, result);
        Py_DECREF(handler);
    }
    return result;
}

static PyObject *
runner_run(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "Runner.run",
        .skip_self = 1,
        .positional = 1,
        .required = 1,
        .names = {"coro", "context", NULL},
    };
    ouro_state *st = ouro_state_of(op);
    PyObject *values[2] = {NULL, NULL};
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    PyObject *coro = checked_coroutine(st, values[0]);
    if (coro == NULL) {
        return NULL;
    }
    PyObject *task = create_main_task(st, (RunnerObject *)op, coro, values[1]);
    Py_DECREF(coro);
    PyObject *result =
        task == NULL ? NULL : run_task(st, (RunnerObject *)op, task);
    Py_XDECREF(task);
    return result;
}

PyDoc_STRVAR(run_doc, "run($self, coro, *, context=None)\n--\n\n\
Run a coroutine inside the embedded event loop; return its result.\n\n\
Raises RuntimeError if a loop runs in this thread or the runner is closed.");
PyDoc_STRVAR(on_sigint_doc,
             "_on_sigint($self, signum, frame, main_task)\n--\n\n");

PyMethodDef ouro_runner_run_methods[] = {
    OURO_METHOD("run", runner_run, run_doc),
    OURO_METHOD("_on_sigint", runner_on_sigint, on_sigint_doc),
    {NULL},
};
