/* runner.c - asyncio.Runner: its life, and the loop that it makes; run().
 *
 * Runner.run() is in runner_run.c, close() in runner_close.c.  What may be
 * patched in asyncio (events.new_event_loop, threading.current_thread, ...)
 * is looked up there each time: a run happens once.
 */
#include "loop/runner.h"

#include "base/args.h"
#include "base/rooms.h"
#include "task/host.h"

/* ---- what asyncio.runners sees ----------------------------------------- */

PyObject *
ouro_runners_global(ouro_state *st, const char *module, const char *name)
{
    PyObject *owner = PyObject_GetAttrString(st->stock.runners, module);
    PyObject *value =
        owner == NULL ? NULL : PyObject_GetAttrString(owner, name);
    Py_XDECREF(owner);
    return value;
}

PyObject *
ouro_prefer_ours(ouro_state *st, PyObject *value, PyObject *stock,
                 const char *name)
{
    if (value == NULL || value != stock) {
        return value;
    }
    Py_DECREF(value);
    return PyObject_GetAttrString(st->module, name);
}

int
ouro_runner_check_running(ouro_state *st, const char *text)
{
    PyObject *loop;
    if (ouro_events_running_loop(st, &loop) < 0) {
        return -1;
    }
    if (loop == NULL) {
        return 0;
    }
    Py_DECREF(loop);
    PyErr_SetString(PyExc_RuntimeError, text);
    return -1;
}

/* ---- the loop ---------------------------------------------------------- */

/* events.new_event_loop(), and set_event_loop() once. */
static PyObject *
make_default_loop(ouro_state *st, RunnerObject *self)
{
    PyObject *function = ouro_prefer_ours(
        st, ouro_runners_global(st, "events", "new_event_loop"),
        st->stock.new_event_loop, "new_event_loop");
    PyObject *loop = function == NULL ? NULL : PyObject_CallNoArgs(function);
    Py_XDECREF(function);
    if (loop == NULL) {
        return NULL;
    }
    Py_XSETREF(self->loop, Py_NewRef(loop));
    if (!self->set_event_loop) {
        PyObject *set = ouro_prefer_ours(
            st, ouro_runners_global(st, "events", "set_event_loop"),
            st->stock.set_event_loop, "set_event_loop");
        PyObject *result = set == NULL ? NULL : PyObject_CallOneArg(set, loop);
        Py_XDECREF(set);
        if (result == NULL) {
            Py_DECREF(loop);
            return NULL;
        }
        Py_DECREF(result);
        self->set_event_loop = true;
    }
    return loop;
}

static PyObject *
make_loop(ouro_state *st, RunnerObject *self)
{
    if (self->loop_factory == NULL || self->loop_factory == Py_None) {
        return make_default_loop(st, self);
    }
    PyObject *loop = PyObject_CallNoArgs(self->loop_factory);
    Py_XSETREF(self->loop, Py_XNewRef(loop));
    return loop;
}

static int
set_loop_debug(ouro_state *st, RunnerObject *self, PyObject *loop)
{
    if (self->debug == NULL || self->debug == Py_None) {
        return 0;
    }
    return ouro_drop_result(
        PyObject_CallMethodOneArg(loop, st->str.set_debug, self->debug));
}

static PyObject *
runner_lazy_init(PyObject *op, PyObject *ignored)
{
    RunnerObject *self = (RunnerObject *)op;
    ouro_state *st = ouro_state_of(op);
    if (self->state == st->stock.runner_closed) {
        PyErr_SetString(PyExc_RuntimeError, "Runner is closed");
        return NULL;
    }
    if (self->state == st->stock.runner_initialized) {
        Py_RETURN_NONE;
    }
    PyObject *loop = make_loop(st, self);
    if (loop == NULL) {
        return NULL;
    }
    int result = set_loop_debug(st, self, loop);
    Py_DECREF(loop);
    PyObject *context = result < 0 ? NULL : PyContext_CopyCurrent();
    if (context == NULL) {
        return NULL;
    }
    Py_XSETREF(self->context, context);
    Py_XSETREF(self->state, Py_NewRef(st->stock.runner_initialized));
    Py_RETURN_NONE;
}

/* ---- the interface ----------------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "Runner.__init__",
    .skip_self = 1,
    .names = {"debug", "loop_factory", NULL},
};

static int
runner_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    RunnerObject *self = (RunnerObject *)op;
    PyObject *values[2] = {NULL, NULL};
    if (ouro_parse_init(&init_signature, args, kwargs, values) < 0) {
        return -1;
    }
    ouro_state *st = ouro_state_of(op);
    PyObject *debug = values[0] != NULL ? values[0] : Py_None;
    PyObject *factory = values[1] != NULL ? values[1] : Py_None;
    Py_XSETREF(self->state, Py_NewRef(st->stock.runner_created));
    Py_XSETREF(self->debug, Py_NewRef(debug));
    Py_XSETREF(self->loop_factory, Py_NewRef(factory));
    Py_XSETREF(self->loop, Py_NewRef(Py_None));
    Py_XSETREF(self->context, Py_NewRef(Py_None));
    self->interrupt_count = 0;
    self->set_event_loop = false;
    return 0;
}

/* ouro.Runner: the loop is ours, if not told otherwise. */
static int
loop_runner_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    if (runner_init(op, args, kwargs) < 0) {
        return -1;
    }
    RunnerObject *self = (RunnerObject *)op;
    int given = PyObject_IsTrue(self->loop_factory);
    if (given == 0) {
        PyObject *type = (PyObject *)ouro_state_of(op)->types.Loop;
        Py_SETREF(self->loop_factory, Py_NewRef(type));
    }
    return given < 0 ? -1 : 0;
}

static PyObject *
runner_enter(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    if (ouro_parse_none("Runner.__enter__", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (ouro_drop_result(
            PyObject_CallMethodNoArgs(op, ouro_state_of(op)->str._lazy_init))
        < 0) {
        return NULL;
    }
    return Py_NewRef(op);
}

static PyObject *
runner_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "Runner.__exit__",
        .skip_self = 1,
        .positional = 3,
        .required = 3,
        .names = {"exc_type", "exc_val", "exc_tb", NULL},
    };
    PyObject *values[3];
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    if (ouro_drop_result(
            PyObject_CallMethodNoArgs(op, ouro_state_of(op)->str.close))
        < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
runner_get_loop(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse_none("Runner.get_loop", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (ouro_drop_result(
            PyObject_CallMethodNoArgs(op, ouro_state_of(op)->str._lazy_init))
        < 0) {
        return NULL;
    }
    PyObject *loop = ((RunnerObject *)op)->loop;
    return Py_NewRef(loop != NULL ? loop : Py_None);
}

PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\n");
PyDoc_STRVAR(exit_doc, "__exit__($self, exc_type, exc_val, exc_tb)\n--\n\n");
PyDoc_STRVAR(lazy_init_doc, "_lazy_init($self, /)\n--\n\n");
PyDoc_STRVAR(get_loop_doc, "get_loop($self, /)\n--\n\n\
Return embedded event loop.");

static PyMethodDef methods[] = {
    OURO_METHOD("__enter__", runner_enter, enter_doc),
    OURO_METHOD("__exit__", runner_exit, exit_doc),
    {"_lazy_init", runner_lazy_init, METH_NOARGS, lazy_init_doc},
    OURO_METHOD("get_loop", runner_get_loop, get_loop_doc),
    {NULL},
};

/* ---- the types --------------------------------------------------------- */

static int
runner_traverse(PyObject *op, visitproc visit, void *arg)
{
    RunnerObject *self = (RunnerObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->dict);
    Py_VISIT(self->state);
    Py_VISIT(self->debug);
    Py_VISIT(self->loop_factory);
    Py_VISIT(self->loop);
    Py_VISIT(self->context);
    return 0;
}

static int
runner_clear(PyObject *op)
{
    RunnerObject *self = (RunnerObject *)op;
    Py_CLEAR(self->dict);
    Py_CLEAR(self->state);
    Py_CLEAR(self->debug);
    Py_CLEAR(self->loop_factory);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->context);
    return 0;
}

static void
runner_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (((RunnerObject *)op)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    runner_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

#define MEMBER(name, type, field, flags)                                      \
    {                                                                         \
        name, type, offsetof(RunnerObject, field), flags, NULL                \
    }

static PyMemberDef members[] = {
    MEMBER("_state", T_OBJECT, state, 0),
    MEMBER("_debug", T_OBJECT, debug, 0),
    MEMBER("_loop_factory", T_OBJECT, loop_factory, 0),
    MEMBER("_loop", T_OBJECT, loop, 0),
    MEMBER("_context", T_OBJECT, context, 0),
    MEMBER("_interrupt_count", T_PYSSIZET, interrupt_count, 0),
    MEMBER("_set_event_loop", T_BOOL, set_event_loop, 0),
    MEMBER("__dictoffset__", T_PYSSIZET, dict, READONLY),
    MEMBER("__weaklistoffset__", T_PYSSIZET, weakrefs, READONLY),
    {NULL},
};

static PyGetSetDef getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

PyDoc_STRVAR(runner_doc, "Runner(*, debug=None, loop_factory=None)\n--\n\n\
A context manager that controls event loop life cycle.\n\n\
The context manager always creates a new event loop, allows to run async\n\
functions inside it, and properly finalizes the loop at the context\n\
manager exit.\n\n\
If debug is True, the event loop will be run in debug mode.\n\
If loop_factory is passed, it is used for new event loop creation.\n\n\
asyncio.run(main(), debug=True)\n\n\
is a shortcut for\n\n\
with asyncio.Runner(debug=True) as runner:\n\
    runner.run(main())\n\n\
The run() method can be called multiple times within the runner's context.");

static PyType_Slot runner_slots[] = {
    {Py_tp_doc, (void *)runner_doc},   {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, runner_init},         {Py_tp_methods, methods},
    {Py_tp_members, members},          {Py_tp_getset, getset},
    {Py_tp_traverse, runner_traverse}, {Py_tp_clear, runner_clear},
    {Py_tp_dealloc, runner_dealloc},   {0, NULL},
};

static PyType_Spec runner_spec = {
    .name = "ouro.Runner",
    .basicsize = sizeof(RunnerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = runner_slots,
};

PyDoc_STRVAR(loop_runner_doc, "Runner(*, debug=None, loop_factory=None)\n--\n\n\
asyncio.Runner on a loop of ouro's, if not told otherwise.");

static PyType_Slot loop_runner_slots[] = {
    {Py_tp_doc, (void *)loop_runner_doc},
    {Py_tp_init, loop_runner_init},
    {0, NULL},
};

static PyType_Spec loop_runner_spec = {
    .name = "ouro.Runner",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = loop_runner_slots,
};

static int
add_methods(PyTypeObject *type, PyMethodDef *table)
{
    for (PyMethodDef *def = table; def->ml_name != NULL; def++) {
        PyObject *method = PyDescr_NewMethod(type, def);
        int result = method == NULL
                         ? -1
                         : PyObject_SetAttrString((PyObject *)type,
                                                  def->ml_name, method);
        Py_XDECREF(method);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

static int
add_types(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &runner_spec, NULL, true, &st->types.Runner) < 0
        || add_methods(st->types.Runner, ouro_runner_run_methods) < 0
        || add_methods(st->types.Runner, ouro_runner_close_methods) < 0) {
        return -1;
    }
    PyObject *bases = PyTuple_Pack(1, st->types.Runner);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &loop_runner_spec, bases, false,
                               &st->types.LoopRunner);
    Py_DECREF(bases);
    return result < 0
               ? -1
               : PyModule_AddObjectRef(module, "LoopRunner",
                                       (PyObject *)st->types.LoopRunner);
}

/* The members of _State, and what of asyncio's we do ourselves. */
static int
import_stock(ouro_state *st)
{
    PyObject *state = PyObject_GetAttrString(st->stock.runners, "_State");
    if (state == NULL) {
        return -1;
    }
    st->stock.runner_created = PyObject_GetAttrString(state, "CREATED");
    st->stock.runner_initialized =
        PyObject_GetAttrString(state, "INITIALIZED");
    st->stock.runner_closed = PyObject_GetAttrString(state, "CLOSED");
    Py_DECREF(state);
    return st->stock.runner_created == NULL
                   || st->stock.runner_initialized == NULL
                   || st->stock.runner_closed == NULL
               ? -1
               : 0;
}

int
ouro_runner_setup(PyObject *module, ouro_state *st)
{
    if (import_stock(st) < 0 || add_types(module, st) < 0) {
        return -1;
    }
    return ouro_runner_close_setup(module, st);
}
