/* runner_close.c - the end of a run: Runner.close() and _cancel_all_tasks();
 * asyncio.run(), which is a run from beginning to end.
 */
#include "base/args.h"
#include "loop/runner.h"
#include "task/future.h"

/* ---- _cancel_all_tasks() ----------------------------------------------- */

/* tasks.<name>: ours, unless it is somebody's. */
static PyObject *
tasks_function(ouro_state *st, const char *name, PyObject *stock)
{
    return ouro_prefer_ours(st, ouro_runners_global(st, "tasks", name), stock,
                            name);
}

static int
cancel_each(ouro_state *st, PyObject *tasks)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tasks); i++) {
        if (ouro_drop_result(PyObject_CallMethodNoArgs(
                PyTuple_GET_ITEM(tasks, i), st->str.cancel))
            < 0) {
            return -1;
        }
    }
    return 0;
}

/* loop.run_until_complete(awaitable); consumes it, NULL is an error. */
static int
complete(ouro_state *st, PyObject *loop, PyObject *awaitable)
{
    if (awaitable == NULL) {
        return -1;
    }
    PyObject *result =
        PyObject_CallMethodOneArg(loop, st->str.run_until_complete, awaitable);
    Py_DECREF(awaitable);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* tasks.gather(*tasks, return_exceptions=True) */
static PyObject *
gather_all(ouro_state *st, PyObject *tasks)
{
    PyObject *gather = tasks_function(st, "gather", st->stock.tasks_gather);
    PyObject *keywords =
        gather == NULL ? NULL
                       : Py_BuildValue("{sO}", "return_exceptions", Py_True);
    PyObject *future =
        keywords == NULL ? NULL : PyObject_Call(gather, tasks, keywords);
    Py_XDECREF(keywords);
    Py_XDECREF(gather);
    return future;
}

static int
report_failure(ouro_state *st, PyObject *loop, PyObject *task)
{
    int cancelled = ouro_anyfuture_cancelled(st, task);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    PyObject *error = ouro_anyfuture_exception(st, task);
    if (error == NULL) {
        return -1;
    }
    if (error == Py_None) {
        Py_DECREF(error);
        return 0;
    }
    PyObject *context =
        Py_BuildValue("{sssNsO}", "message",
                      "unhandled exception during asyncio.run() shutdown",
                      "exception", error, "task", task);
    PyObject *result = context == NULL
                           ? NULL
                           : PyObject_CallMethodOneArg(
                               loop, st->str.call_exception_handler, context);
    Py_XDECREF(context);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
cancel_and_report(ouro_state *st, PyObject *loop, PyObject *tasks)
{
    if (cancel_each(st, tasks) < 0
        || complete(st, loop, gather_all(st, tasks)) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tasks); i++) {
        if (report_failure(st, loop, PyTuple_GET_ITEM(tasks, i)) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
cancel_all_tasks(ouro_state *st, PyObject *loop)
{
    PyObject *function =
        tasks_function(st, "all_tasks", st->stock.tasks_all_tasks);
    PyObject *found =
        function == NULL ? NULL : PyObject_CallOneArg(function, loop);
    Py_XDECREF(function);
    PyObject *tasks = found == NULL ? NULL : PySequence_Tuple(found);
    Py_XDECREF(found);
    if (tasks == NULL) {
        return -1;
    }
    int result =
        PyTuple_GET_SIZE(tasks) == 0 ? 0 : cancel_and_report(st, loop, tasks);
    Py_DECREF(tasks);
    return result;
}

static PyObject *
runners_cancel_all_tasks(PyObject *module, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_cancel_all_tasks",
        .positional = 1,
        .required = 1,
        .names = {"loop", NULL},
    };
    PyObject *loop;
    if (ouro_parse(&signature, args, nargs, kwnames, &loop) < 0
        || cancel_all_tasks(ouro_module_state(module), loop) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- close() ----------------------------------------------------------- */

/* asyncio.runners._cancel_all_tasks(loop), which may have been patched. */
static int
cancel_by_name(ouro_state *st, PyObject *loop)
{
    PyObject *function = ouro_prefer_ours(
        st, PyObject_GetAttrString(st->stock.runners, "_cancel_all_tasks"),
        st->stock.cancel_all_tasks, "_cancel_all_tasks");
    PyObject *result =
        function == NULL ? NULL : PyObject_CallOneArg(function, loop);
    Py_XDECREF(function);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* loop.shutdown_default_executor(constants.THREAD_JOIN_TIMEOUT) */
static PyObject *
executor_shutdown(ouro_state *st, PyObject *loop)
{
    if (!st->has.loop.runner_bounds_shutdown) {
        return PyObject_CallMethodNoArgs(loop,
                                         st->str.shutdown_default_executor);
    }
    PyObject *timeout =
        ouro_runners_global(st, "constants", "THREAD_JOIN_TIMEOUT");
    if (timeout == NULL) {
        return NULL;
    }
    PyObject *coro = PyObject_CallMethodOneArg(
        loop, st->str.shutdown_default_executor, timeout);
    Py_DECREF(timeout);
    return coro;
}

static int
shut_down(ouro_state *st, PyObject *loop)
{
    if (cancel_by_name(st, loop) < 0
        || complete(
               st, loop,
               PyObject_CallMethodNoArgs(loop, st->str.shutdown_asyncgens))
               < 0) {
        return -1;
    }
    return complete(st, loop, executor_shutdown(st, loop));
}

static int
forget_loop(ouro_state *st, RunnerObject *self, PyObject *loop)
{
    if (self->set_event_loop) {
        PyObject *set = ouro_prefer_ours(
            st, ouro_runners_global(st, "events", "set_event_loop"),
            st->stock.set_event_loop, "set_event_loop");
        PyObject *result =
            set == NULL ? NULL : PyObject_CallOneArg(set, Py_None);
        Py_XDECREF(set);
        Py_XDECREF(result);
        if (result == NULL) {
            return -1;
        }
    }
    if (ouro_drop_result(PyObject_CallMethodNoArgs(loop, st->str.close)) < 0) {
        return -1;
    }
    Py_XSETREF(self->loop, Py_NewRef(Py_None));
    Py_XSETREF(self->state, Py_NewRef(st->stock.runner_closed));
    return 0;
}

static int
close_runner(ouro_state *st, RunnerObject *self, PyObject *loop)
{
    PyObject *error = NULL, *outer = NULL;
    if (shut_down(st, loop) < 0) {
        error = PyErr_GetRaisedException();
        outer = PyErr_GetHandledException();
        PyErr_SetHandledException(error);
    }
    int result = forget_loop(st, self, loop);
    if (error == NULL) {
        return result;
    }
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    if (result < 0) {
        Py_DECREF(error);
    }
    else {
        PyErr_SetRaisedException(error);
    }
    return -1;
}

static PyObject *
runner_close(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    RunnerObject *self = (RunnerObject *)op;
    ouro_state *st = ouro_state_of(op);
    if (ouro_parse_none("Runner.close", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (self->state != st->stock.runner_initialized) {
        Py_RETURN_NONE;
    }
    PyObject *loop = Py_NewRef(self->loop != NULL ? self->loop : Py_None);
    int result = close_runner(st, self, loop);
    Py_DECREF(loop);
    return ouro_none_or_error(result);
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n\
Shutdown and close event loop.");

PyMethodDef ouro_runner_close_methods[] = {
    OURO_METHOD("close", runner_close, close_doc),
    {NULL},
};

/* ---- run() ------------------------------------------------------------- */

/* type(debug=debug[, loop_factory=loop_factory]) */
static PyObject *
make_runner(PyObject *type, PyObject *debug, PyObject *loop_factory)
{
    PyObject *empty = PyTuple_New(0);
    PyObject *keywords = PyDict_New();
    PyObject *runner = NULL;
    if (empty != NULL && keywords != NULL
        && PyDict_SetItemString(keywords, "debug",
                                debug != NULL ? debug : Py_None)
               == 0
        && (loop_factory == NULL
            || PyDict_SetItemString(keywords, "loop_factory", loop_factory)
                   == 0)) {
        runner = PyObject_Call(type, empty, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(empty);
    return runner;
}

/* runner.__exit__() without an exception, or with the current one, which it
 * may swallow: then the result is None. */
static PyObject *
leave_runner(PyObject *runner, PyObject *result)
{
    if (result != NULL) {
        PyObject *left = PyObject_CallMethod(runner, "__exit__", "OOO",
                                             Py_None, Py_None, Py_None);
        if (left == NULL) {
            Py_CLEAR(result);
        }
        Py_XDECREF(left);
        return result;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *traceback = PyException_GetTraceback(error);
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    PyObject *left = PyObject_CallMethod(
        runner, "__exit__", "OOO", (PyObject *)Py_TYPE(error), error,
        traceback != NULL ? traceback : Py_None);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    Py_XDECREF(traceback);
    int swallowed = left == NULL ? -1 : PyObject_IsTrue(left);
    Py_XDECREF(left);
    if (swallowed == 0) {
        PyErr_SetRaisedException(error);
        return NULL;
    }
    Py_DECREF(error);
    return ouro_none_or_error(swallowed);
}

/* with type(...) as runner: return runner.run(main) */
static PyObject *
run_with(ouro_state *st, PyObject *type, PyObject *main, PyObject *debug,
         PyObject *loop_factory)
{
    static const char text[] =
        "asyncio.run() cannot be called from a running event loop";
    if (ouro_runner_check_running(st, text) < 0) {
        return NULL;
    }
    PyObject *runner = make_runner(type, debug, loop_factory);
    if (runner == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    PyObject *entered = PyObject_CallMethod(runner, "__enter__", NULL);
    if (entered != NULL) {
        result = PyObject_CallMethodOneArg(entered, st->str.run, main);
        Py_DECREF(entered);
        result = leave_runner(runner, result);
    }
    Py_DECREF(runner);
    return result;
}

static const ouro_signature run_signature = {
    .qualname = "run",
    .positional = 1,
    .required = 1,
    .names = {"main", "debug", "loop_factory", NULL},
};

static PyObject *
runners_run(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *values[3] = {NULL, NULL, NULL};
    if (ouro_parse_versions(&run_signature, st->has.loop.run_loop_factory,
                            args, nargs, kwnames, values)
        < 0) {
        return NULL;
    }
    PyObject *type = ouro_prefer_ours(
        st, PyObject_GetAttrString(st->stock.runners, "Runner"),
        st->stock.Runner, "Runner");
    if (type == NULL) {
        return NULL;
    }
    PyObject *factory = st->has.loop.run_loop_factory && values[2] == NULL
                            ? Py_None
                            : values[2];
    PyObject *result = run_with(st, type, values[0], values[1], factory);
    Py_DECREF(type);
    return result;
}

static PyObject *
loop_run(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
         PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *values[3] = {NULL, NULL, NULL};
    if (ouro_parse(&run_signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return run_with(st, (PyObject *)st->types.LoopRunner, values[0], values[1],
                    values[2]);
}

/* What a loop that waits is woken with after Control-C. */
static PyObject *
interrupted(PyObject *module, PyObject *ignored)
{
    Py_RETURN_NONE;
}

#define RUN_DOC                                                               \
    "Execute the coroutine and return the result.\n\n"                        \
    "This function runs the passed coroutine, taking care of managing the\n"  \
    "asyncio event loop, finalizing asynchronous generators and closing\n"    \
    "the default executor.\n\n"                                               \
    "This function cannot be called when another asyncio event loop is\n"     \
    "running in the same thread.\n\n"                                         \
    "If debug is True, the event loop will be run in debug mode.\n\n"         \
    "This function always creates a new event loop and closes it at the\n"    \
    "end.  It should be used as a main entry point for asyncio programs,\n"   \
    "and should ideally only be called once."

PyDoc_STRVAR(run_doc, "run(main, *, debug=None, loop_factory=None)\n--\n\n"
                      RUN_DOC);
PyDoc_STRVAR(run_doc_3_11, "run(main, *, debug=None)\n--\n\n" RUN_DOC);
PyDoc_STRVAR(loop_run_doc, "run(main, *, debug=None, loop_factory=None)\n--\n\n\
Run the coroutine on a loop of ouro's and return its result.\n\n\
As asyncio.run(), which see; loop_factory makes another loop.");
PyDoc_STRVAR(cancel_all_doc, "_cancel_all_tasks(loop)\n--\n\n");

static PyMethodDef functions[] = {
    OURO_METHOD("_cancel_all_tasks", runners_cancel_all_tasks, cancel_all_doc),
    {"_interrupted", interrupted, METH_NOARGS, NULL},
    {NULL},
};

static PyMethodDef run_function[] = {
    OURO_METHOD("run", runners_run, run_doc),
    {NULL},
};

static PyMethodDef run_function_3_11[] = {
    OURO_METHOD("run", runners_run, run_doc_3_11),
    {NULL},
};

/* ouro.run(): called run, too. */
static PyMethodDef loop_run_function =
    OURO_METHOD("run", loop_run, loop_run_doc);

static int
add_loop_run(PyObject *module)
{
    PyObject *function = PyCFunction_NewEx(&loop_run_function, module, NULL);
    int result = PyModule_AddObjectRef(module, "_loop_run", function);
    Py_XDECREF(function);
    return result;
}

int
ouro_runner_close_setup(PyObject *module, ouro_state *st)
{
    if (PyModule_AddFunctions(module, functions) < 0
        || add_loop_run(module) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, st->has.loop.run_loop_factory
                                             ? run_function
                                             : run_function_3_11);
}
