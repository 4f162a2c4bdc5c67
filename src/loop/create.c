/* create.c - create_future(), create_task() and task factories. */
#include "loop/loop.h"

#include "base/args.h"
#include "task/future.h"
#include "task/task.h"

static PyObject *
loop_create_future(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    if (ouro_parse_none("BaseEventLoop.create_future", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return ouro_future_new(((LoopObject *)op)->core.st, op);
}

/* ---- tasks ------------------------------------------------------------- */

static const ouro_signature create_task_signature = {
    .qualname = "BaseEventLoop.create_task",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"coro", "name", "context", NULL},
};

static const ouro_signature create_task_signature_kwargs = {
    .qualname = "BaseEventLoop.create_task",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"coro", "name", "context", NULL},
    .varkeywords = true,
};

/* 3.14: everything but coro goes on as it came. */
static const ouro_signature create_task_signature_3_14 = {
    .qualname = "BaseEventLoop.create_task",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"coro", NULL},
    .varkeywords = true,
};

/* Task(coro, loop=loop, **kwargs), of whatever type. */
static PyObject *
call_task_type(ouro_state *st, PyObject *type, PyObject *coro, PyObject *loop,
               PyObject *kwargs)
{
    PyObject *task = NULL;
    PyObject *args = PyTuple_Pack(1, coro);
    PyObject *all = PyDict_New();
    if (args != NULL && all != NULL
        && PyDict_SetItem(all, st->str.loop, loop) == 0
        && (kwargs == NULL || PyDict_Update(all, kwargs) == 0)) {
        task = PyObject_Call(type, args, all);
    }
    Py_XDECREF(all);
    Py_XDECREF(args);
    return task;
}

/* A task without a factory: name and context as Task takes them, NULL where
 * asyncio passes none; kwargs what else was given, or NULL. */
static PyObject *
make_task(LoopObject *self, PyObject *coro, PyObject *name, PyObject *context,
          PyObject *kwargs)
{
    ouro_state *st = self->core.st;
    PyObject *patched;
    if (ouro_patched_task_type(st, &patched) < 0) {
        return NULL;
    }
    if (patched == NULL && (kwargs == NULL || PyDict_GET_SIZE(kwargs) == 0)) {
        return ouro_task_new(st, coro, (PyObject *)self,
                             name == Py_None ? NULL : name,
                             context == Py_None ? NULL : context, false);
    }
    PyObject *all = PyDict_New();
    if (all == NULL
        || (name != NULL && PyDict_SetItem(all, st->str.name, name) < 0)
        || (context != NULL
            && PyDict_SetItem(all, st->str.context, context) < 0)
        || (kwargs != NULL && PyDict_Update(all, kwargs) < 0)) {
        Py_XDECREF(all);
        return NULL;
    }
    PyObject *type = patched != NULL ? patched : (PyObject *)st->types.Task;
    Py_INCREF(type);
    PyObject *task = call_task_type(st, type, coro, (PyObject *)self, all);
    Py_DECREF(type);
    Py_DECREF(all);
    return task;
}

/* factory(loop, coro, **kwargs) */
static PyObject *
call_factory(LoopObject *self, PyObject *coro, PyObject *kwargs)
{
    PyObject *factory = Py_NewRef(self->task_factory);
    PyObject *args = PyTuple_Pack(2, (PyObject *)self, coro);
    PyObject *task =
        args == NULL ? NULL : PyObject_Call(factory, args, kwargs);
    Py_XDECREF(args);
    Py_DECREF(factory);
    return task;
}

/* Up to 3.13, the factory gets a context only if there is one, and the name
 * is set afterwards. */
static PyObject *
make_task_by_factory(LoopObject *self, PyObject *coro, PyObject *name,
                     PyObject *context, PyObject *kwargs)
{
    ouro_state *st = self->core.st;
    PyObject *all = kwargs != NULL ? PyDict_Copy(kwargs) : PyDict_New();
    if (all == NULL
        || (context != NULL && context != Py_None
            && PyDict_SetItem(all, st->str.context, context) < 0)) {
        Py_XDECREF(all);
        return NULL;
    }
    PyObject *task = call_factory(self, coro, all);
    Py_DECREF(all);
    if (task != NULL
        && ouro_name_task(st, task, name != NULL ? name : Py_None) < 0) {
        Py_CLEAR(task);
    }
    return task;
}

static PyObject *
loop_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    const ouro_signature *signature = st->has.loop.task_kwargs
                                          ? &create_task_signature_kwargs
                                          : &create_task_signature;
    PyObject *values[3];
    if (ouro_parse(signature, args, nargs, kwnames, values) < 0
        || ouro_loop_check_closed(self) < 0) {
        return NULL;
    }
    PyObject *kwargs = NULL;
    if (st->has.loop.task_kwargs && kwnames != NULL) {
        kwargs = ouro_keywords(signature, args + nargs, kwnames);
        if (kwargs == NULL) {
            return NULL;
        }
    }
    PyObject *task = self->core.has_task_factory
                         ? make_task_by_factory(self, values[0], values[1],
                                                values[2], kwargs)
                         : make_task(self, values[0], ouro_or_none(values[1]),
                                     ouro_or_none(values[2]), kwargs);
    Py_XDECREF(kwargs);
    return task;
}

static PyObject *
loop_create_task_3_14(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    PyObject *coro;
    if (ouro_parse(&create_task_signature_3_14, args, nargs, kwnames, &coro)
            < 0
        || ouro_loop_check_closed(self) < 0) {
        return NULL;
    }
    if (kwnames == NULL && !self->core.has_task_factory) {
        return make_task(self, coro, NULL, NULL, NULL);
    }
    PyObject *kwargs =
        ouro_keywords(&create_task_signature_3_14, args + nargs, kwnames);
    if (kwargs == NULL) {
        return NULL;
    }
    PyObject *task = self->core.has_task_factory
                         ? call_factory(self, coro, kwargs)
                         : make_task(self, coro, NULL, NULL, kwargs);
    Py_DECREF(kwargs);
    return task;
}

/* ---- factories --------------------------------------------------------- */

void
ouro_loop_set_task_factory(LoopObject *self, PyObject *factory)
{
    PyObject *old = self->task_factory;
    self->task_factory = factory == Py_None ? NULL : Py_XNewRef(factory);
    self->core.has_task_factory = self->task_factory != NULL;
    self->core.eager_factory =
        self->task_factory != NULL
        && ouro_is_eager_factory(self->core.st, self->task_factory);
    Py_XDECREF(old);
}

static PyObject *
loop_set_task_factory(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseEventLoop.set_task_factory", "factory");
    PyObject *factory;
    if (ouro_parse(&signature, args, nargs, kwnames, &factory) < 0) {
        return NULL;
    }
    if (factory != Py_None && !PyCallable_Check(factory)) {
        PyErr_SetString(PyExc_TypeError,
                        "task factory must be a callable or None");
        return NULL;
    }
    ouro_loop_set_task_factory((LoopObject *)op, factory);
    Py_RETURN_NONE;
}

static PyObject *
loop_get_task_factory(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    PyObject *factory = ((LoopObject *)op)->task_factory;
    if (ouro_parse_none("BaseEventLoop.get_task_factory", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return Py_NewRef(factory != NULL ? factory : Py_None);
}

PyDoc_STRVAR(create_future_doc, "create_future($self, /)\n--\n\n\
Return a new Future attached to the loop.");
#define CREATE_TASK_DOC                                                       \
    "--\n\n\
Make a task of the coroutine, schedule it on this loop and return it."
PyDoc_STRVAR(create_task_doc,
             "create_task($self, coro, *, name=None, context=None)\n"
             CREATE_TASK_DOC);
PyDoc_STRVAR(create_task_kwargs_doc,
             "create_task($self, coro, *, name=None, context=None, "
             "**kwargs)\n" CREATE_TASK_DOC);
PyDoc_STRVAR(create_task_3_14_doc,
             "create_task($self, coro, **kwargs)\n" CREATE_TASK_DOC);
PyDoc_STRVAR(set_task_factory_doc,
             "set_task_factory($self, factory)\n--\n\n\
Have create_task() call factory(loop, coro, **kwargs), which must return a\n\
task; None brings the default back.");
PyDoc_STRVAR(get_task_factory_doc, "get_task_factory($self, /)\n--\n\n\
Return the task factory, or None if the default one is in use.");

static PyMethodDef methods[] = {
    OURO_METHOD("create_future", loop_create_future, create_future_doc),
    OURO_METHOD("set_task_factory", loop_set_task_factory,
                set_task_factory_doc),
    OURO_METHOD("get_task_factory", loop_get_task_factory,
                get_task_factory_doc),
    {NULL},
};

static PyMethodDef create_task[] = {
    OURO_METHOD("create_task", loop_create_task, create_task_doc),
    {NULL},
};

static PyMethodDef create_task_kwargs[] = {
    OURO_METHOD("create_task", loop_create_task, create_task_kwargs_doc),
    {NULL},
};

static PyMethodDef create_task_3_14[] = {
    OURO_METHOD("create_task", loop_create_task_3_14, create_task_3_14_doc),
    {NULL},
};

int
ouro_create_setup(PyObject *module, ouro_state *st)
{
    PyMethodDef *of_version = create_task;
    if (st->has.loop.task_kwargs && !st->has.loop.task_name) {
        of_version = create_task_3_14;
    }
    else if (st->has.loop.task_kwargs) {
        of_version = create_task_kwargs;
    }
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_methods(st, of_version);
}
