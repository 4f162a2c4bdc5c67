/* ensure.c - from "something awaitable" to a task: create_task(),
 * ensure_future(). */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/coroutines.h"
#include "task/task.h"

/* ---- create_task() as a C caller does it ------------------------------- */

int
ouro_patched_task_type(ouro_state *st, PyObject **ret)
{
    PyObject *type = PyDict_GetItemWithError(PyModule_GetDict(st->stock.tasks),
                                             st->str.Task);
    if (type == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_AttributeError, "Task");
        }
        return -1;
    }
    *ret = type == (PyObject *)st->types.Task || type == st->stock.stock_Task
               ? NULL
               : type;
    return 0;
}

/* May the task be made without loop.create_task()? 1, 0, -1. */
static int
is_direct(ouro_state *st, PyObject *loop)
{
    LoopCore *core = (LoopCore *)loop;
    if (!ouro_loop_fast(st, loop)
        || (core->has_task_factory && !core->eager_factory)) {
        return 0;
    }
    PyObject *patched;
    return ouro_patched_task_type(st, &patched) < 0 ? -1 : patched == NULL;
}

int
ouro_name_task(ouro_state *st, PyObject *task, PyObject *name)
{
    PyObject *result;
    if (st->has.task.names_by_function) {
        PyObject *args[] = {st->stock.tasks, task, name};
        result =
            PyObject_VectorcallMethod(st->str._set_task_name, args, 3, NULL);
    }
    else {
        result = PyObject_CallMethodOneArg(task, st->str.set_name, name);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Steals the task; NULL stays NULL. */
static PyObject *
named(ouro_state *st, PyObject *task, PyObject *name)
{
    if (task != NULL && ouro_name_task(st, task, name) < 0) {
        Py_CLEAR(task);
    }
    return task;
}

/* What loop.create_task() comes to with our own factory: up to 3.13 the name
 * is set afterwards, in 3.13 even if there is none. */
static PyObject *
create_eagerly(ouro_state *st, PyObject *loop, PyObject *coro, PyObject *name,
               PyObject *context)
{
    if (st->has.task.factory_eager_start) {
        return ouro_task_new(st, coro, loop, name, context, true);
    }
    PyObject *task = ouro_task_new(st, coro, loop, NULL, context, true);
    return named(st, task, name != NULL ? name : Py_None);
}

static PyObject *
create_directly(ouro_state *st, PyObject *loop, PyObject *coro, PyObject *name,
                PyObject *context)
{
    return ((LoopCore *)loop)->eager_factory
               ? create_eagerly(st, loop, coro, name, context)
               : ouro_task_new(st, coro, loop, name, context, false);
}

/* loop.create_task(coro[, name=name][, context=context]) */
static PyObject *
create_by_method(ouro_state *st, PyObject *loop, PyObject *coro,
                 PyObject *name, PyObject *context)
{
    PyObject *args[4] = {loop, coro, NULL, NULL};
    PyObject *keys[2];
    Py_ssize_t given = 0;
    if (name != NULL) {
        keys[given] = st->str.name;
        args[2 + given++] = name;
    }
    if (context != NULL) {
        keys[given] = st->str.context;
        args[2 + given++] = context;
    }
    PyObject *keywords = PyTuple_New(given);
    if (keywords == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < given; i++) {
        PyTuple_SET_ITEM(keywords, i, Py_NewRef(keys[i]));
    }
    PyObject *task =
        PyObject_VectorcallMethod(st->str.create_task, args, 2, keywords);
    Py_DECREF(keywords);
    return task;
}

PyObject *
ouro_create_task(ouro_state *st, PyObject *loop, PyObject *coro,
                 PyObject *name, PyObject *context)
{
    int direct = is_direct(st, loop);
    if (direct != 0) {
        return direct < 0 ? NULL
                          : create_directly(st, loop, coro, name, context);
    }
    if (name == NULL || st->has.create_task_takes_name) {
        return create_by_method(st, loop, coro, name, context);
    }
    return named(st, create_by_method(st, loop, coro, NULL, context), name);
}

/* Sort out what a call of Task() takes; ret_* borrowed or untouched. Whether
 * there is nothing else. */
static bool
known_keywords(ouro_state *st, PyObject *kwargs, PyObject **ret_name,
               PyObject **ret_context)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(kwargs, &position, &key, &value)) {
        if (key == st->str.name) {
            *ret_name = value;
        }
        else if (key == st->str.context) {
            *ret_context = value;
        }
        else {
            return false;
        }
    }
    return true;
}

PyObject *
ouro_create_task_kwargs(ouro_state *st, PyObject *loop, PyObject *coro,
                        PyObject *kwargs)
{
    PyObject *name = NULL, *context = NULL;
    if (known_keywords(st, kwargs, &name, &context)) {
        int direct = is_direct(st, loop);
        if (direct < 0) {
            return NULL;
        }
        if (direct) {
            return create_directly(st, loop, coro, name, context);
        }
    }
    PyObject *method = PyObject_GetAttr(loop, st->str.create_task);
    if (method == NULL) {
        return NULL;
    }
    PyObject *task = NULL;
    PyObject *args = PyTuple_Pack(1, coro);
    if (args != NULL) {
        task = PyObject_Call(method, args, kwargs);
        Py_DECREF(args);
    }
    Py_DECREF(method);
    return task;
}

/* ---- any awaitable as a coroutine -------------------------------------- */

static const await_kind wrap_kind = {
    .name = "_wrap_awaitable",
    .qualname = "_wrap_awaitable",
    .poll = ouro_await_owner,
};

/* The coroutine to run for object (a new reference). *ret_close: whether it
 * was passed in, so that a failure must close it. */
static PyObject *
as_coroutine(ouro_state *st, PyObject *object, bool *ret_close)
{
    *ret_close = true;
    int answer = ouro_iscoroutine(st, object);
    if (answer != 0) {
        return answer < 0 ? NULL : Py_NewRef(object);
    }
    *ret_close = false;
    answer = ouro_truth_of(PyObject_CallOneArg(st->stock.isawaitable, object));
    if (answer == 0) {
        PyErr_SetString(PyExc_TypeError,
                        "An asyncio.Future, a coroutine or an awaitable is "
                        "required");
    }
    return answer <= 0 ? NULL
                       : (PyObject *)ouro_await_new(st, &wrap_kind, object);
}

static void
close_keeping_error(ouro_state *st, PyObject *coro)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *result = PyObject_CallMethodNoArgs(coro, st->str.close);
    if (result == NULL) {
        Py_XDECREF(error);
        return;
    }
    Py_DECREF(result);
    PyErr_SetRaisedException(error);
}

static int
check_same_loop(ouro_state *st, PyObject *fut, PyObject *loop)
{
    if (loop == NULL) {
        return 0;
    }
    PyObject *own = ouro_anyfuture_loop(st, fut);
    if (own == NULL) {
        return -1;
    }
    Py_DECREF(own);
    if (own == loop) {
        return 0;
    }
    PyErr_SetString(PyExc_ValueError,
                    "The future belongs to a different loop than the one "
                    "specified as the loop argument");
    return -1;
}

PyObject *
ouro_ensure_future(ouro_state *st, PyObject *object, PyObject *loop)
{
    int isfuture = PyCoro_CheckExact(object) ? 0 : ouro_isfuture(st, object);
    if (isfuture != 0) {
        return isfuture < 0 || check_same_loop(st, object, loop) < 0
                   ? NULL
                   : Py_NewRef(object);
    }
    bool close;
    PyObject *coro = as_coroutine(st, object, &close);
    if (coro == NULL) {
        return NULL;
    }
    PyObject *task = NULL;
    loop = loop == NULL ? ouro_event_loop(st) : Py_NewRef(loop);
    if (loop != NULL) {
        task = ouro_create_task(st, loop, coro, NULL, NULL);
        Py_DECREF(loop);
        if (task == NULL && (close || st->has.task.wrapper_is_generator)
            && PyErr_ExceptionMatches(PyExc_RuntimeError)) {
            close_keeping_error(st, coro);
        }
    }
    Py_DECREF(coro);
    return task;
}

/* ---- module functions -------------------------------------------------- */

PyDoc_STRVAR(ensure_future_doc,
"ensure_future(coro_or_future, *, loop=None)\n--\n\n\
Wrap a coroutine or an awaitable in a future.\n\n\
If the argument is a Future, it is returned directly.");

static const ouro_signature ensure_future_signature = {
    .qualname = "ensure_future",
    .positional = 1,
    .required = 1,
    .names = {"coro_or_future", "loop", NULL},
};

static PyObject *
ensure_future(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    PyObject *given[2];
    if (ouro_parse(&ensure_future_signature, args, nargs, kwnames, given)
        < 0) {
        return NULL;
    }
    return ouro_ensure_future(ouro_module_state(module), given[0],
                              given[1] == Py_None ? NULL : given[1]);
}

#define CREATE_TASK_DOC(parameters)                                           \
    "create_task(coro, " parameters ")\n--\n\n\
Schedule the execution of a coroutine object in a spawn task.\n\n\
Return a Task object."

static PyObject *
create_task(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "create_task",
        .positional = 1,
        .required = 1,
        .names = {"coro", "name", "context", NULL},
    };
    ouro_state *st = ouro_module_state(module);
    PyObject *given[3];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *name = given[1] != NULL ? given[1] : Py_None;
    PyObject *context = given[2] == Py_None ? NULL : given[2];
    PyObject *task = ouro_create_task(st, loop, given[0], name, context);
    Py_DECREF(loop);
    return task;
}

/* 3.14: the keywords go on as they came. */
static PyObject *
create_task_kwargs(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "create_task",
        .positional = 1,
        .required = 1,
        .names = {"coro", NULL},
        .varkeywords = true,
    };
    ouro_state *st = ouro_module_state(module);
    PyObject *coro, *task = NULL;
    if (ouro_parse(&signature, args, nargs, kwnames, &coro) < 0) {
        return NULL;
    }
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return NULL;
    }
    if (kwnames == NULL) {
        task = ouro_create_task(st, loop, coro, NULL, NULL);
    }
    else {
        PyObject *kwargs = ouro_keywords(&signature, args + nargs, kwnames);
        if (kwargs != NULL) {
            task = ouro_create_task_kwargs(st, loop, coro, kwargs);
            Py_DECREF(kwargs);
        }
    }
    Py_DECREF(loop);
    return task;
}

static PyMethodDef ensure_functions[] = {
    OURO_METHOD("ensure_future", ensure_future, ensure_future_doc),
    {NULL},
};

static PyMethodDef create_functions[] = {
    OURO_METHOD("create_task", create_task,
                CREATE_TASK_DOC("*, name=None, context=None")),
    {NULL},
};

static PyMethodDef create_functions_kwargs[] = {
    OURO_METHOD("create_task", create_task_kwargs,
                CREATE_TASK_DOC("**kwargs")),
    {NULL},
};

int
ouro_ensure_setup(PyObject *module, ouro_state *st)
{
    if (PyModule_AddFunctions(module, ensure_functions) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, st->has.task.create_kwargs
                                             ? create_functions_kwargs
                                             : create_functions);
}
