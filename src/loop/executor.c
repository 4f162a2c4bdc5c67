/* executor.c - calls in other threads: run_in_executor() and the default
 * executor.
 *
 * While nobody sets, looks at or patches a default executor, it is our own
 * (workers.c).  All others are called as they are, and their futures wrapped.
 */
#include "loop/loop.h"

#include "base/args.h"
#include "loop/executor.h"
#include "loop/steps.h"
#include "loop/workers.h"

/* ---- the default executor ---------------------------------------------- */

static int
refuse_shut_down(LoopObject *self)
{
    if (self->executor_shutdown) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Executor shutdown has been called");
        return -1;
    }
    return 0;
}

/* self._check_default_executor() */
static int
check_default_executor(LoopObject *self)
{
    int done = ouro_loop_by_method(
        self, self->core.st->str._check_default_executor, NULL);
    return done < 0 ? -1 : done > 0 ? 0 : refuse_shut_down(self);
}

static PyObject *
loop_check_default_executor(PyObject *op, PyObject *ignored)
{
    if (refuse_shut_down((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
thread_pool_type(ouro_state *st)
{
    return PyObject_GetAttr(st->stock.concurrent_futures,
                            st->str.ThreadPoolExecutor);
}

/* ThreadPoolExecutor(thread_name_prefix='asyncio') */
static PyObject *
make_executor(ouro_state *st)
{
    PyObject *type = thread_pool_type(st);
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
    if (!ouro_has_executor(self)) {
        PyObject *executor = make_executor(self->core.st);
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
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseEventLoop.set_default_executor", "executor");
    PyObject *executor;
    if (ouro_parse(&signature, args, nargs, kwnames, &executor) < 0) {
        return NULL;
    }
    LoopObject *self = (LoopObject *)op;
    PyObject *type = thread_pool_type(self->core.st);
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
    Py_XSETREF(self->default_executor, Py_NewRef(executor));
    ouro_executor_drop_workers(self);
    Py_RETURN_NONE;
}

/* From now on it is seen: a ThreadPoolExecutor. */
PyObject *
ouro_executor_get(PyObject *op, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    if (!ouro_has_executor(self) && self->workers != NULL) {
        PyObject *executor = make_executor(self->core.st);
        if (executor == NULL) {
            return NULL;
        }
        Py_XSETREF(self->default_executor, executor);
        if (self->executor_shutdown
            && ouro_executor_shut_down(self->core.st, executor, Py_False)
                   < 0) {
            return NULL;
        }
    }
    return Py_NewRef(self->default_executor != NULL ? self->default_executor
                                                    : Py_None);
}

int
ouro_executor_set(PyObject *op, PyObject *value, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    Py_XSETREF(self->default_executor, Py_XNewRef(value));
    ouro_executor_drop_workers(self);
    return 0;
}

/* ---- our own ----------------------------------------------------------- */

void
ouro_executor_drop_workers(LoopObject *self)
{
    if (self->workers != NULL) {
        ouro_workers_end(self->workers);
        Py_CLEAR(self->workers);
    }
}

/* The file of the code that runs when owner.name() is called, or NULL. */
static PyObject *
file_of(PyObject *owner, const char *name)
{
    PyObject *function = PyObject_GetAttrString(owner, name);
    PyObject *code =
        function == NULL ? NULL : PyObject_GetAttrString(function, "__code__");
    PyObject *file =
        code == NULL ? NULL : PyObject_GetAttrString(code, "co_filename");
    Py_XDECREF(code);
    Py_XDECREF(function);
    PyErr_Clear();
    return file;
}

/* Whether what ThreadPoolExecutor does is in one file with its module. */
static bool
thread_pool_original(PyObject *type)
{
    static const char *const names[] = {"__init__", "submit", "shutdown",
                                        "_adjust_thread_count"};
    PyObject *module = PyImport_ImportModule("concurrent.futures.thread");
    PyObject *home = module == NULL ? NULL : file_of(module, "_worker");
    bool same = home != NULL;
    for (size_t i = 0; same && i < Py_ARRAY_LENGTH(names); i++) {
        PyObject *file = file_of(type, names[i]);
        same = file != NULL && PyUnicode_Compare(file, home) == 0;
        Py_XDECREF(file);
    }
    Py_XDECREF(home);
    Py_XDECREF(module);
    PyErr_Clear();
    return same;
}

/* Whether threads are started by the interpreter, not by a library that has
 * them replaced. */
static bool
threads_original(ouro_state *st)
{
    static const char *const names[] = {"_start_joinable_thread",
                                        "_start_new_thread"};
    bool builtin = false;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        PyObject *start =
            PyObject_GetAttrString(st->stock.threading, names[i]);
        PyErr_Clear();
        if (start != NULL) {
            builtin = PyCFunction_Check(start);
            Py_DECREF(start);
            break;
        }
    }
    return builtin;
}

/* ThreadPoolExecutor as it was made: what ours is to behave like. 1, 0, -1 */
static int
thread_pool_intact(ouro_state *st)
{
    PyObject *type = thread_pool_type(st);
    if (type == NULL) {
        return -1;
    }
    int result = 0;
    if (st->stock.ThreadPoolExecutor != NULL) {
        result = type == st->stock.ThreadPoolExecutor
                 && ouro_intact_check(&st->thread_pool);
    }
    else if (PyType_Check(type) && threads_original(st)
             && thread_pool_original(type)) {
        result = ouro_intact_init(&st->thread_pool, (PyTypeObject *)type);
        if (result == 0) {
            st->stock.ThreadPoolExecutor = Py_NewRef(type);
            result = 1;
        }
    }
    Py_DECREF(type);
    return result;
}

/* Whether our threads are the default executor: 1, 0, -1. */
static int
use_workers(LoopObject *self)
{
    ouro_state *st = self->core.st;
    if (ouro_has_executor(self) || !ouro_loop_fast(st, (PyObject *)self)
        || (self->workers != NULL && !ouro_workers_usable(self->workers))) {
        return 0;
    }
    return thread_pool_intact(st);
}

/* What has been written leaves before a call begins that may count on it. */
static int
send_what_is_written(LoopObject *self)
{
    ou_loop *engine = &self->core.engine;
    return engine->deferred.head == NULL || ouro_loop_elsewhere(self)
               ? 0
               : ou_loop_run_deferred(engine);
}

int
ouro_executor_call(PyObject *loop, PyObject *func, PyObject *args,
                   PyObject *kwargs, PyObject *context, PyObject **ret)
{
    LoopObject *self = (LoopObject *)loop;
    int ours = use_workers(self);
    if (ours <= 0) {
        return ours;
    }
    if (check_default_executor(self) < 0 || send_what_is_written(self) < 0) {
        return -1;
    }
    if (self->workers == NULL) {
        self->workers = ouro_workers_new(self->core.st);
    }
    if (self->workers == NULL) {
        return -1;
    }
    PyObject *workers = Py_NewRef(self->workers);
    *ret = ouro_workers_submit(workers, loop, func, args, kwargs, context);
    Py_DECREF(workers);
    return *ret == NULL ? -1 : 1;
}

/* run_in_executor(None, func, *args): 1, 0: not by our threads, -1. */
static int
call_directly(LoopObject *self, PyObject *func, PyObject *const *args,
              Py_ssize_t nargs, PyObject **ret)
{
    int ours = use_workers(self);
    if (ours <= 0) {
        return ours;
    }
    PyObject *tuple = PyTuple_New(nargs);
    if (tuple == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    int done =
        ouro_executor_call((PyObject *)self, func, tuple, NULL, NULL, ret);
    Py_DECREF(tuple);
    return done;
}

/* ---- run_in_executor --------------------------------------------------- */

/* futures.wrap_future(executor.submit(func, *args), loop=self) */
static PyObject *
submit(LoopObject *self, PyObject *executor, PyObject *func,
       PyObject *const *args, Py_ssize_t nargs)
{
    ouro_state *st = self->core.st;
    if (send_what_is_written(self) < 0) {
        return NULL;
    }
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
    Py_ssize_t surplus = nargs > 2 ? nargs - 2 : 0;
    PyObject *future = NULL, *executor = NULL;
    int done = values[0] == Py_None
                   ? call_directly(self, values[1], args + 2, surplus, &future)
                   : 0;
    if (done == 0) {
        executor = values[0] == Py_None ? get_default_executor(self)
                                        : Py_NewRef(values[0]);
    }
    if (executor != NULL) {
        future = submit(self, executor, values[1], args + 2, surplus);
        Py_DECREF(executor);
    }
    return future;
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

static PyMethodDef methods[] = {
    OURO_METHOD("run_in_executor", loop_run_in_executor, run_in_executor_doc),
    OURO_METHOD("set_default_executor", loop_set_default_executor,
                set_default_executor_doc),
    {"_check_default_executor", loop_check_default_executor, METH_NOARGS,
     check_default_executor_doc},
    {NULL},
};

int
ouro_executor_setup(PyObject *module, ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0
        || ouro_workers_setup(module, st) < 0) {
        return -1;
    }
    return ouro_executor_shutdown_setup(module, st);
}
