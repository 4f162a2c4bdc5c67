/* loop.c - the Loop type: birth, death and the assembling of its parts.
 *
 * What a loop does stands in the other files of this room; here is how one
 * comes to be, what of it the collector sees, and how it is closed.
 */
#include "loop/loop.h"

#include "base/args.h"
#include "base/rooms.h"
#include "task/registry.h"

#include "loop/attrs.h"
#include "loop/selector.h"
#include "loop/selfpipe.h"
#include "loop/steps.h"

static const loop_ops ops = {
    .callback_failed = ouro_loop_callback_failed,
    .post = ouro_loop_post,
    .call_in_thread = ouro_executor_call,
};

/* ---- birth ------------------------------------------------------------- */

static PyObject *
loop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    LoopObject *self = (LoopObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->core.st = ouro_state_of_type(type);
    self->core.module = Py_XNewRef(self->core.st->module);
    self->core.ops = &ops;
    self->closed = true; /* until __init__() has opened it */
    self->signals = (ou_signal){-1, -1};
    self->signal_io.fd = -1;
    if (ouro_dict_at_birth(&self->core.dict) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* asyncio says at this point which selector it uses. */
static int
log_selector(LoopObject *self)
{
    PyObject *name =
        self->selector == NULL
            ? PyUnicode_FromString("EpollSelector")
            : PyObject_GetAttr((PyObject *)Py_TYPE(self->selector),
                               self->core.st->str.__name__);
    if (name == NULL) {
        return -1;
    }
    return ouro_loop_log(self->core.st, "debug", "(sN)", "Using selector: %s",
                         name);
}

/* selector: NULL or None for our own poller. */
static int
loop_open(LoopObject *self, PyObject *selector)
{
    if (self->core.opened) {
        return 0;
    }
    bool foreign = selector != NULL && selector != Py_None;
    Py_XSETREF(self->selector, foreign ? Py_NewRef(selector) : NULL);
    int error = ou_loop_open(&self->core.engine,
                             foreign ? &ouro_selector_backend : NULL,
                             foreign ? self : NULL);
    if (error < 0) {
        return ouro_raise_errno_int(error);
    }
    self->core.opened = true;
    self->closed = false;
    return log_selector(self);
}

static int
loop_default_debug(LoopObject *self)
{
    ouro_state *st = self->core.st;
    PyObject *debug = PyObject_CallMethodNoArgs(st->stock.coroutines,
                                                st->str._is_debug_mode);
    if (debug == NULL) {
        return -1;
    }
    PyObject *result = NULL;
    if (Py_IsFalse(debug) && ouro_loop_plain(self)) {
        self->debug = Py_NewRef(debug);
        result = Py_NewRef(Py_None);
    }
    else {
        result = PyObject_CallMethodOneArg((PyObject *)self, st->str.set_debug,
                                           debug);
    }
    Py_DECREF(debug);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static const ouro_signature init_signature = {
    .qualname = "_UnixSelectorEventLoop.__init__",
    .skip_self = 1,
    .positional = 1,
    .names = {"selector", NULL},
};

static int
loop_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    LoopObject *self = (LoopObject *)op;
    PyObject *selector;
    if (ouro_parse_init(&init_signature, args, kwargs, &selector) < 0) {
        return -1;
    }
    Py_XSETREF(self->slow_callback_duration, PyFloat_FromDouble(0.1));
    if (self->slow_callback_duration == NULL
        || loop_open(self, selector) < 0) {
        return -1;
    }
    ouro_loop_refresh(self);
    if (loop_default_debug(self) < 0) {
        return -1;
    }
    return ouro_loop_plain(self) ? 0 : ouro_selfpipe_open(self);
}

/* ---- death ------------------------------------------------------------- */

/* Give up everything that the engine holds. */
static void
engine_close(LoopObject *self)
{
    if (!self->core.opened) {
        return;
    }
    self->core.opened = false;
    ouro_loop_refresh(self);
    ou_io_stop(&self->core.engine, &self->signal_io);
    ou_loop_close(&self->core.engine);
}

/* Whether the loop runs, by is_running() where that is overridden. */
static int
loop_running(LoopObject *self)
{
    if (ouro_loop_plain(self)) {
        return self->thread_id != 0;
    }
    return ouro_truth_of(PyObject_CallMethodNoArgs(
        (PyObject *)self, self->core.st->str.is_running));
}

int
ouro_loop_is_closed(LoopObject *self)
{
    if (ouro_loop_plain(self)) {
        return self->closed;
    }
    return ouro_truth_of(PyObject_CallMethodNoArgs(
        (PyObject *)self, self->core.st->str.is_closed));
}

int
ouro_loop_do_all(LoopObject *self, const loop_step *steps, size_t count)
{
    PyObject *first = PyErr_GetRaisedException();
    for (size_t i = 0; i < count; i++) {
        int result = steps[i](self);
        if (result < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
            PyErr_Clear();
            result = steps[i](self);
        }
        if (result < 0) {
            PyObject *error = PyErr_GetRaisedException();
            if (first == NULL) {
                first = error;
            }
            else {
                Py_XDECREF(error);
            }
        }
    }
    PyErr_SetRaisedException(first);
    return first == NULL ? 0 : -1;
}

static int
step_leave_task(LoopObject *self)
{
    return ouro_leave_task_fast(&self->core);
}

static int
step_close_engine(LoopObject *self)
{
    engine_close(self);
    return 0;
}

static PyObject *
loop_close(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    int running = loop_running(self);
    if (ouro_parse_none("_UnixSelectorEventLoop.close", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    if (running != 0) {
        if (running > 0) {
            PyErr_SetString(PyExc_RuntimeError,
                            "Cannot close a running event loop");
        }
        return NULL;
    }
    int closed = ouro_loop_is_closed(self);
    if (closed != 0 || self->closed) {
        return closed < 0 ? NULL : Py_NewRef(Py_None);
    }
    if (ouro_selfpipe_close(self) < 0) {
        return NULL;
    }
    if (self->core.debug
        && ouro_loop_log(self->core.st, "debug", "(sO)", "Close %r", self)
               < 0) {
        return NULL;
    }
    self->closed = true;
    ouro_loop_refresh(self);
    static const loop_step steps[] = {
        step_leave_task,   ouro_queues_drop,    ouro_executor_close,
        step_close_engine, ouro_selector_close, ouro_signals_close,
    };
    if (ouro_loop_do_all(self, steps, Py_ARRAY_LENGTH(steps)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
finalize_loop(PyObject *op)
{
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    int closed = ouro_loop_is_closed(self);
    if (closed != 0) {
        return closed < 0 ? -1 : 0;
    }
    if (PyErr_ResourceWarning(op, 1, "unclosed event loop %R", op) < 0) {
        PyErr_WriteUnraisable(op);
    }
    int running = loop_running(self);
    if (running != 0) {
        return running < 0 ? -1 : 0;
    }
    return ouro_drop_result(PyObject_CallMethodNoArgs(op, st->str.close));
}

static void
loop_finalize(PyObject *op)
{
    PyObject *error = PyErr_GetRaisedException();
    if (finalize_loop(op) < 0) {
        PyErr_WriteUnraisable(op);
    }
    PyErr_SetRaisedException(error);
}

static int
loop_traverse(PyObject *op, visitproc visit, void *arg)
{
    LoopObject *self = (LoopObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->core.module);
    Py_VISIT(self->core.dict);
    Py_VISIT(self->core.entered);
    Py_VISIT(self->origin_depth);
    Py_VISIT(self->debug);
    Py_VISIT(self->slow_callback_duration);
    Py_VISIT(self->self_pipe_in);
    Py_VISIT(self->self_pipe_out);
    Py_VISIT(self->current_handle);
    Py_VISIT(self->exception_handler);
    Py_VISIT(self->task_factory);
    Py_VISIT(self->default_executor);
    Py_VISIT(self->workers);
    Py_VISIT(self->asyncgens);
    Py_VISIT(self->old_agen_hooks);
    Py_VISIT(self->signal_handlers);
    Py_VISIT(self->transports);
    Py_VISIT(self->watcher);
    Py_VISIT(self->selector);
    Py_VISIT(self->selected);
    Py_VISIT(self->ready);
    Py_VISIT(self->scheduled);
    Py_VISIT(self->clock);
    Py_VISIT(self->clock_wait);
    Py_VISIT(self->clock_error);
    if (self->core.opened) {
        ouro_visitor visitor = {visit, arg};
        return ou_loop_visit(&self->core.engine, &visitor);
    }
    return 0;
}

static int
loop_clear(PyObject *op)
{
    LoopObject *self = (LoopObject *)op;
    engine_close(self);
    ou_signal_close(&self->signals);
    self->closed = true;
    Py_CLEAR(self->core.dict);
    Py_CLEAR(self->core.entered);
    Py_CLEAR(self->origin_depth);
    Py_CLEAR(self->debug);
    Py_CLEAR(self->slow_callback_duration);
    Py_CLEAR(self->self_pipe_in);
    Py_CLEAR(self->self_pipe_out);
    Py_CLEAR(self->current_handle);
    Py_CLEAR(self->exception_handler);
    Py_CLEAR(self->task_factory);
    Py_CLEAR(self->default_executor);
    ouro_executor_drop_workers(self);
    Py_CLEAR(self->asyncgens);
    Py_CLEAR(self->old_agen_hooks);
    Py_CLEAR(self->signal_handlers);
    Py_CLEAR(self->transports);
    Py_CLEAR(self->watcher);
    Py_CLEAR(self->selector);
    Py_CLEAR(self->selected);
    Py_CLEAR(self->ready);
    Py_CLEAR(self->scheduled);
    Py_CLEAR(self->clock);
    Py_CLEAR(self->clock_wait);
    Py_CLEAR(self->clock_error);
    return 0;
}

static void
loop_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return; /* resurrected */
    }
    PyObject_GC_UnTrack(op);
    if (((LoopObject *)op)->core.weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    loop_clear(op);
    PyObject *module = ((LoopObject *)op)->core.module;
    type->tp_free(op);
    Py_DECREF(type);
    Py_XDECREF(module);
}

/* ---- small methods ----------------------------------------------------- */

int
ouro_loop_refuse_closed(LoopObject *self)
{
    if (self->closed || !self->core.opened) {
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        return -1;
    }
    return 0;
}

int
ouro_loop_check_closed(LoopObject *self)
{
    ouro_state *st = self->core.st;
    if (ouro_loop_fast(st, (PyObject *)self)) {
        return 0;
    }
    int done = ouro_loop_by_method(self, st->str._check_closed, NULL);
    return done < 0 ? -1 : done > 0 ? 0 : ouro_loop_refuse_closed(self);
}

static PyObject *
loop_check_closed(PyObject *op, PyObject *ignored)
{
    if (ouro_loop_refuse_closed((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_is_closed(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    if (ouro_parse_none("BaseEventLoop.is_closed", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return PyBool_FromLong(((LoopObject *)op)->closed);
}

static PyObject *
loop_repr(PyObject *op)
{
    ouro_state *st = ((LoopObject *)op)->core.st;
    PyObject *running = NULL, *closed = NULL, *debug = NULL, *text = NULL;
    PyObject *name =
        PyObject_GetAttr((PyObject *)Py_TYPE(op), st->str.__name__);
    if (name == NULL) {
        return NULL;
    }
    running = PyObject_CallMethodNoArgs(op, st->str.is_running);
    if (running == NULL) {
        goto done;
    }
    closed = PyObject_CallMethodNoArgs(op, st->str.is_closed);
    if (closed == NULL) {
        goto done;
    }
    debug = PyObject_CallMethodNoArgs(op, st->str.get_debug);
    if (debug != NULL) {
        text = PyUnicode_FromFormat("<%S running=%S closed=%S debug=%S>", name,
                                    running, closed, debug);
    }
done:
    Py_XDECREF(debug);
    Py_XDECREF(closed);
    Py_XDECREF(running);
    Py_DECREF(name);
    return text;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n\
Close the loop: forget what is scheduled, and shut the default executor\n\
down without waiting for it.  Closing it again does nothing.\n\n\
Raises RuntimeError if the loop is running.");
PyDoc_STRVAR(is_closed_doc, "is_closed($self, /)\n--\n\n\
Return True if the loop was closed.");
PyDoc_STRVAR(check_closed_doc, "_check_closed($self, /)\n--\n\n");

static PyMethodDef methods[] = {
    OURO_METHOD("close", loop_close, close_doc),
    OURO_METHOD("is_closed", loop_is_closed, is_closed_doc),
    {"_check_closed", loop_check_closed, METH_NOARGS, check_closed_doc},
    {NULL},
};

/* ---- the types --------------------------------------------------------- */

static PyType_Slot core_slots[] = {
    {Py_tp_doc, "All that an event loop of ouro's is made of."},
    {Py_tp_new, loop_new},
    {Py_tp_init, loop_init},
    {Py_tp_repr, loop_repr},
    {Py_tp_setattro, ouro_loop_setattro},
    {Py_tp_traverse, loop_traverse},
    {Py_tp_clear, loop_clear},
    {Py_tp_finalize, loop_finalize},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_getset, ouro_loop_getset},
    {Py_tp_members, ouro_loop_members},
    {0, NULL},
};

static PyType_Spec core_spec = {
    .name = "ouro._ouro.LoopCore",
    .basicsize = sizeof(LoopObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = core_slots,
};

PyDoc_STRVAR(loop_doc, "Loop(selector=None)\n--\n\n\
An event loop, with the interface of asyncio.SelectorEventLoop.");

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, (void *)loop_doc},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "ouro.Loop",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = loop_slots,
};

/* Loop has the base of asyncio's own loops among its bases, because programs
 * ask for it, but its layout, its life and its methods come from LoopCore. */
static int
add_loop_type(PyObject *module, ouro_state *st)
{
    PyObject *bases =
        PyTuple_Pack(2, st->types.LoopCore, st->stock.BaseSelectorEventLoop);
    if (bases == NULL) {
        return -1;
    }
    int result =
        ouro_add_type(module, &loop_spec, bases, true, &st->types.Loop);
    Py_DECREF(bases);
    if (result == 0) {
        /* (As an attribute, __hash__ stays object's, which says the same.) */
        st->types.Loop->tp_hash = ouro_loop_hash;
    }
    return result;
}

int
ouro_loop_note_attribute(ouro_state *st, PyObject *name)
{
    PyObject *value = _PyType_Lookup(st->types.Loop, name); /* borrowed */
    if (value == NULL) {
        PyErr_SetObject(PyExc_AttributeError, name);
        return -1;
    }
    return PyDict_SetItem(st->stock.loop_attributes, name, value);
}

static int
note_name(ouro_state *st, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
    if (key == NULL) {
        return -1;
    }
    int result = ouro_loop_note_attribute(st, key);
    Py_DECREF(key);
    return result;
}

/* What the types are born with. */
static int
note_own_attributes(ouro_state *st)
{
    st->stock.loop_attributes = PyDict_New();
    PyObject *names = PyDict_Keys(st->types.LoopCore->tp_dict);
    int result = st->stock.loop_attributes == NULL || names == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(names); i++) {
        result = ouro_loop_note_attribute(st, PyList_GET_ITEM(names, i));
    }
    Py_XDECREF(names);
    st->loop_intact.type = st->types.Loop;
    st->loop_intact.made = st->stock.loop_attributes;
    return result;
}

int
ouro_loop_add_methods(ouro_state *st, PyMethodDef *table)
{
    PyTypeObject *type = st->types.LoopCore;
    for (PyMethodDef *method = table; method->ml_name != NULL; method++) {
        PyObject *descriptor = PyDescr_NewMethod(type, method);
        if (descriptor == NULL) {
            return -1;
        }
        int result = PyObject_SetAttrString((PyObject *)type, method->ml_name,
                                            descriptor);
        Py_DECREF(descriptor);
        if (result < 0 || note_name(st, method->ml_name) < 0) {
            return -1;
        }
    }
    return 0;
}

int
ouro_loop_add_async_methods(ouro_state *st, const ouro_async_def *table)
{
    if (ouro_add_async_methods(st, st->types.LoopCore, table) < 0) {
        return -1;
    }
    for (const ouro_async_def *method = table; method->name != NULL;
         method++) {
        if (note_name(st, method->name) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
new_event_loop(PyObject *module, PyObject *ignored)
{
    return PyObject_CallNoArgs(
        (PyObject *)ouro_module_state(module)->types.Loop);
}

PyDoc_STRVAR(new_event_loop_doc, "new_event_loop($module, /)\n--\n\n\
Return a new event loop of ouro's, whatever policy is set.");

static PyMethodDef functions[] = {
    {"_new_loop", new_event_loop, METH_NOARGS, new_event_loop_doc},
    {NULL},
};

int
ouro_loop_setup(PyObject *module, ouro_state *st)
{
    ouro_loop_find_features(st);
    if (ouro_add_type(module, &core_spec, NULL, false, &st->types.LoopCore) < 0
        || add_loop_type(module, st) < 0 || note_own_attributes(st) < 0
        || ouro_loop_add_methods(st, methods) < 0
        || ouro_loop_attrs_setup(st) < 0 || ouro_handle_setup(module, st) < 0
        || ouro_sched_setup(module, st) < 0 || ouro_jobs_setup(module, st) < 0
        || ouro_queues_setup(module, st) < 0 || ouro_run_setup(module, st) < 0
        || ouro_complete_setup(module, st) < 0
        || ouro_hooks_setup(module, st) < 0 || ouro_debug_setup(module, st) < 0
        || ouro_create_setup(module, st) < 0
        || ouro_fdwatch_setup(module, st) < 0
        || ouro_sigwatch_setup(module, st) < 0
        || ouro_selfpipe_setup(module, st) < 0
        || ouro_executor_setup(module, st) < 0
        || ouro_asyncgens_setup(module, st) < 0
        || ouro_fork_setup(module, st) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
