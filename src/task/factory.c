/* factory.c - task factories whose tasks start at once: eager_task_factory
 * and create_eager_task_factory() (3.12+).
 *
 * A factory is a builtin function whose self is the pair of this module and
 * the constructor of the tasks.
 */
#include "base/args.h"
#include "base/rooms.h"
#include "task/task.h"

/* factory(loop, coro, *, ...) by version. */
static const ouro_signature factory_3_12 = {
    .qualname = "create_eager_task_factory.<locals>.factory",
    .positional = 2,
    .required = 2,
    .names = {"loop", "coro", "name", "context", NULL},
};

static const ouro_signature factory_kwargs = {
    .qualname = "create_eager_task_factory.<locals>.factory",
    .positional = 2,
    .required = 2,
    .names = {"loop", "coro", "name", "context", NULL},
    .varkeywords = true,
};

static const ouro_signature factory_3_14 = {
    .qualname = "create_eager_task_factory.<locals>.factory",
    .positional = 2,
    .required = 2,
    .names = {"loop", "coro", "eager_start", NULL},
    .varkeywords = true,
};

static const ouro_signature *
factory_signature(ouro_state *st)
{
    if (st->has.task.factory_eager_start) {
        return &factory_3_14;
    }
    return st->has.task.factory_kwargs ? &factory_kwargs : &factory_3_12;
}

static int
set_default(PyObject *dict, PyObject *key, PyObject *value)
{
    return PyDict_SetItem(dict, key, value != NULL ? value : Py_None);
}

/* All that the constructor gets by keyword: a new dict. */
static PyObject *
constructor_keywords(ouro_state *st, PyObject *const *values,
                     PyObject *kwnames, PyObject *const *given)
{
    const ouro_signature *signature = factory_signature(st);
    PyObject *kwargs = ouro_keywords(signature, values, kwnames);
    if (kwargs == NULL) {
        return NULL;
    }
    bool eager_start = st->has.task.factory_eager_start;
    PyObject *start = eager_start && given[2] != NULL ? given[2] : Py_True;
    if (PyDict_SetItem(kwargs, st->str.loop, given[0]) < 0
        || (!eager_start
            && (set_default(kwargs, st->str.name, given[2]) < 0
                || set_default(kwargs, st->str.context, given[3]) < 0))
        || PyDict_SetItem(kwargs, st->str.eager_start, start) < 0) {
        Py_CLEAR(kwargs);
    }
    return kwargs;
}

/* constructor(coro, loop=loop, ..., eager_start=True) */
static PyObject *
construct(PyObject *constructor, PyObject *coro, PyObject *kwargs)
{
    PyObject *args = PyTuple_Pack(1, coro);
    if (args == NULL) {
        return NULL;
    }
    PyObject *task = PyObject_Call(constructor, args, kwargs);
    Py_DECREF(args);
    return task;
}

/* Without keywords, for our own tasks: nothing to collect. */
static bool
is_plain(ouro_state *st, PyObject *constructor, PyObject *kwnames)
{
    return constructor == (PyObject *)st->types.Task && kwnames == NULL;
}

static PyObject *
factory_call(PyObject *pair, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(PyTuple_GET_ITEM(pair, 0));
    PyObject *constructor = PyTuple_GET_ITEM(pair, 1);
    PyObject *given[4];
    if (ouro_parse(factory_signature(st), args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    if (is_plain(st, constructor, kwnames)) {
        return ouro_task_new(st, given[1], given[0], NULL, NULL, true);
    }
    PyObject *kwargs = constructor_keywords(st, args + nargs, kwnames, given);
    if (kwargs == NULL) {
        return NULL;
    }
    PyObject *task = construct(constructor, given[1], kwargs);
    Py_DECREF(kwargs);
    return task;
}

#define FACTORY_DOC                                                           \
    "--\n\n\
Make a task that starts at once, inside of its creator."

#define FACTORY(parameters)                                                   \
    OURO_METHOD("factory", factory_call,                                      \
                "factory(loop, coro, *, " parameters ")\n" FACTORY_DOC)

static PyMethodDef *
factory_def(ouro_state *st)
{
    static PyMethodDef v_3_12 = FACTORY("name=None, context=None");
    static PyMethodDef kwargs = FACTORY("name=None, context=None, **kwargs");
    static PyMethodDef v_3_14 = FACTORY("eager_start=True, **kwargs");
    if (st->has.task.factory_eager_start) {
        return &v_3_14;
    }
    return st->has.task.factory_kwargs ? &kwargs : &v_3_12;
}

static PyObject *
factory_new(ouro_state *st, PyObject *constructor)
{
    PyObject *pair = PyTuple_Pack(2, st->module, constructor);
    if (pair == NULL) {
        return NULL;
    }
    PyObject *factory = PyCFunction_New(factory_def(st), pair);
    Py_DECREF(pair);
    return factory;
}

bool
ouro_is_eager_factory(ouro_state *st, PyObject *factory)
{
    return PyCFunction_CheckExact(factory)
           && PyCFunction_GET_FUNCTION(factory)
                  == _PyCFunction_CAST(factory_call)
           && PyTuple_GET_ITEM(PyCFunction_GET_SELF(factory), 1)
                  == (PyObject *)st->types.Task;
}

PyDoc_STRVAR(create_eager_task_factory_doc,
"create_eager_task_factory(custom_task_constructor)\n--\n\n\
Create a function suitable for use as a task factory on an event-loop.\n\n\
    loop.set_task_factory(\n\
        asyncio.create_eager_task_factory(my_task_constructor))\n\n\
Now, tasks created will be started immediately (rather than being first\n\
scheduled to an event loop). The constructor argument can be any callable\n\
that returns a Task-compatible object and has a signature compatible\n\
with `Task.__init__`; it must have the `eager_start` keyword argument.\n\n\
Most applications will use `Task` for `custom_task_constructor` and in\n\
this case there's no need to call `create_eager_task_factory()`\n\
directly. Instead the  global `eager_task_factory` instance can be\n\
used. E.g. `loop.set_task_factory(asyncio.eager_task_factory)`.");

static PyObject *
create_eager_task_factory(PyObject *module, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "create_eager_task_factory",
        .positional = 1,
        .required = 1,
        .names = {"custom_task_constructor", NULL},
    };
    PyObject *constructor;
    if (ouro_parse(&signature, args, nargs, kwnames, &constructor) < 0) {
        return NULL;
    }
    return factory_new(ouro_module_state(module), constructor);
}

static PyMethodDef factory_functions[] = {
    OURO_METHOD("create_eager_task_factory", create_eager_task_factory,
                create_eager_task_factory_doc),
    {NULL},
};

int
ouro_factory_setup(PyObject *module, ouro_state *st)
{
    if (!st->has.eager_tasks) {
        return 0;
    }
    PyObject *factory = factory_new(st, (PyObject *)st->types.Task);
    if (factory == NULL) {
        return -1;
    }
    int result = PyModule_AddObjectRef(module, "eager_task_factory", factory);
    Py_DECREF(factory);
    return result < 0 ? -1 : PyModule_AddFunctions(module, factory_functions);
}
