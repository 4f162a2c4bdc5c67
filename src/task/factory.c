/* factory.c - task factories whose tasks start at once: eager_task_factory
 * and create_eager_task_factory() (3.12+).
 *
 * A factory looks like the Python function that asyncio's is: libraries know
 * an eager factory by its __code__ and take the constructor of the tasks out
 * of its __closure__.  asyncio's own eager_task_factory lends the code and
 * what else is the same for all of them.
 */
#include "base/args.h"
#include "base/function.h"
#include "base/rooms.h"
#include "task/task.h"

typedef struct FactoryObject {
    FunctionObject function;
    PyObject *constructor;
    PyObject *closure; /* a tuple with the constructor's cell; or NULL */
} FactoryObject;

#define FACTORY_QUALNAME "create_eager_task_factory.<locals>.factory"

static FactoryObject *
as_factory(PyObject *object)
{
    return (FactoryObject *)object;
}

/* --- calling ------------------------------------------------------------- */

/* factory(loop, coro, *, ...) by version. */
static const ouro_signature factory_3_12 = {
    .qualname = FACTORY_QUALNAME,
    .positional = 2,
    .required = 2,
    .names = {"loop", "coro", "name", "context", NULL},
};

static const ouro_signature factory_kwargs = {
    .qualname = FACTORY_QUALNAME,
    .positional = 2,
    .required = 2,
    .names = {"loop", "coro", "name", "context", NULL},
    .varkeywords = true,
};

static const ouro_signature factory_3_14 = {
    .qualname = FACTORY_QUALNAME,
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
factory_vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf,
                   PyObject *kwnames)
{
    ouro_state *st = as_factory(callable)->function.st;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    PyObject *given[4];
    if (ouro_parse(factory_signature(st), args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    PyObject *constructor = as_factory(callable)->constructor;
    if (is_plain(st, constructor, kwnames)) {
        return ouro_task_new(st, given[1], given[0], NULL, NULL, true);
    }
    PyObject *kwargs = constructor_keywords(st, args + nargs, kwnames, given);
    if (kwargs == NULL) {
        return NULL;
    }
    Py_INCREF(constructor);
    PyObject *task = construct(constructor, given[1], kwargs);
    Py_DECREF(constructor);
    Py_DECREF(kwargs);
    return task;
}

/* --- attributes ---------------------------------------------------------- */

static PyObject *
factory_get_closure(PyObject *object, void *Py_UNUSED(closure))
{
    FactoryObject *self = as_factory(object);
    if (self->closure == NULL) {
        PyObject *cell = PyCell_New(self->constructor);
        if (cell == NULL) {
            return NULL;
        }
        self->closure = PyTuple_Pack(1, cell);
        Py_DECREF(cell);
    }
    return Py_XNewRef(self->closure);
}

static PyGetSetDef factory_getset[] = {
    OURO_FUNCTION_LENT("__globals__"),
    OURO_FUNCTION_LENT("__builtins__"),
    OURO_FUNCTION_LENT("__type_params__"),
    {"__closure__", factory_get_closure, NULL, NULL, NULL},
    {NULL},
};

/* --- life ---------------------------------------------------------------- */

static PyObject *
factory_new(ouro_state *st, PyObject *constructor)
{
    PyTypeObject *type = st->types.EagerFactory;
    FactoryObject *self = as_factory(type->tp_alloc(type, 0));
    if (self == NULL) {
        return NULL;
    }
    FunctionObject *function = &self->function;
    function->st = st;
    function->vectorcall = factory_vectorcall;
    function->model = Py_XNewRef(st->stock.eager_task_factory);
    function->name = PyUnicode_FromString("factory");
    function->qualname = PyUnicode_FromString(FACTORY_QUALNAME);
    function->module = PyUnicode_FromString("asyncio.tasks");
    self->constructor = Py_NewRef(constructor);
    if (function->name == NULL || function->qualname == NULL
        || function->module == NULL) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int
factory_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(as_factory(object)->constructor);
    Py_VISIT(as_factory(object)->closure);
    return ouro_function_traverse(object, visit, arg);
}

static int
factory_clear(PyObject *object)
{
    Py_XSETREF(as_factory(object)->constructor, Py_NewRef(Py_None));
    Py_CLEAR(as_factory(object)->closure);
    return ouro_function_clear(object);
}

static void
factory_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    Py_CLEAR(as_factory(object)->constructor);
    Py_CLEAR(as_factory(object)->closure);
    ouro_function_dealloc(object);
}

static PyType_Slot factory_slots[] = {
    {Py_tp_traverse, factory_traverse},     {Py_tp_clear, factory_clear},
    {Py_tp_dealloc, factory_dealloc},       {Py_tp_getset, factory_getset},
    {Py_tp_members, ouro_function_members}, {0, NULL},
};

static PyType_Spec factory_spec = {
    .name = "ouro.EagerFactory",
    .basicsize = sizeof(FactoryObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = factory_slots,
};

bool
ouro_is_eager_factory(ouro_state *st, PyObject *factory)
{
    return Py_IS_TYPE(factory, st->types.EagerFactory)
           && as_factory(factory)->constructor == (PyObject *)st->types.Task;
}

/* --- the module ---------------------------------------------------------- */

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
    if (ouro_add_type(module, &factory_spec, (PyObject *)st->types.Function,
                      false, &st->types.EagerFactory)
        < 0) {
        return -1;
    }
    PyObject *factory = factory_new(st, (PyObject *)st->types.Task);
    if (factory == NULL) {
        return -1;
    }
    int result = PyModule_AddObjectRef(module, "eager_task_factory", factory);
    Py_DECREF(factory);
    return result < 0 ? -1 : PyModule_AddFunctions(module, factory_functions);
}
