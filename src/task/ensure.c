/* ensure.c - from "something awaitable" to a task: ensure_future(),
 * create_task(). */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/task.h"

PyObject *
ouro_create_task(ouro_state *st, PyObject *loop, PyObject *coro,
                 PyObject *name, PyObject *context)
{
    if (ouro_loop_fast(st, loop) && !((LoopCore *)loop)->has_task_factory) {
        return ouro_task_new(st, coro, loop, name, context, false);
    }
    PyObject *args[4] = {loop, coro, NULL, NULL};
    PyObject *keys[2];
    Py_ssize_t given = 0;
    if (name != NULL && st->has.create_task_takes_name) {
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
    PyObject *task = PyObject_VectorcallMethod(st->str.create_task, args, 2,
                                               keywords);
    Py_DECREF(keywords);
    if (task == NULL || name == NULL || name == Py_None
        || st->has.create_task_takes_name) {
        return task;
    }
    /* Up to 3.12 the name is set on the task that the loop made. */
    PyObject *result =
        PyObject_CallMethodOneArg(task, st->str.set_name, name);
    if (result == NULL) {
        Py_DECREF(task);
        return NULL;
    }
    Py_DECREF(result);
    return task;
}

/* ---- any awaitable as a coroutine -------------------------------------- */

static await_status
wrap_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step == 0) {
        self->step = 1;
        *ret = Py_NewRef(self->owner);
        return AWAIT_DELEGATE;
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static const await_kind wrap_kind = {
    .name = "_wrap_awaitable",
    .qualname = "_wrap_awaitable",
    .poll = wrap_poll,
};

static int
truth_of_call(PyObject *function, PyObject *argument)
{
    PyObject *answer = PyObject_CallOneArg(function, argument);
    if (answer == NULL) {
        return -1;
    }
    int truth = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return truth;
}

static int
is_coroutine(ouro_state *st, PyObject *object)
{
    if (PyCoro_CheckExact(object) || Py_TYPE(object) == st->types.Await) {
        return 1;
    }
    return truth_of_call(st->stock.iscoroutine, object);
}

/* The coroutine to run for object (a new reference). *ret_close: whether it
 * was passed in, so that a failure must close it. */
static PyObject *
as_coroutine(ouro_state *st, PyObject *object, bool *ret_close)
{
    *ret_close = true;
    int answer = is_coroutine(st, object);
    if (answer != 0) {
        return answer < 0 ? NULL : Py_NewRef(object);
    }
    *ret_close = false;
    answer = truth_of_call(st->stock.isawaitable, object);
    if (answer == 0) {
        PyErr_SetString(PyExc_TypeError,
                        "An asyncio.Future, a coroutine or an awaitable is "
                        "required");
    }
    return answer <= 0
               ? NULL
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
    int isfuture =
        PyCoro_CheckExact(object) ? 0 : ouro_isfuture(st, object);
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
        if (task == NULL && close
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

PyDoc_STRVAR(create_task_doc,
"create_task(coro, *, name=None, context=None)\n--\n\n\
Schedule the execution of a coroutine object in a spawn task.\n\n\
Return a Task object.");

static const ouro_signature create_task_signature = {
    .qualname = "create_task",
    .positional = 1,
    .required = 1,
    .names = {"coro", "name", "context", NULL},
};

static PyObject *
create_task(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *given[3];
    if (ouro_parse(&create_task_signature, args, nargs, kwnames, given)
        < 0) {
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

static PyMethodDef ensure_functions[] = {
    {"ensure_future", _PyCFunction_CAST(ensure_future),
     METH_FASTCALL | METH_KEYWORDS, ensure_future_doc},
    {"create_task", _PyCFunction_CAST(create_task),
     METH_FASTCALL | METH_KEYWORDS, create_task_doc},
    {NULL},
};

int
ouro_ensure_setup(PyObject *module, ouro_state *st)
{
    return PyModule_AddFunctions(module, ensure_functions);
}
