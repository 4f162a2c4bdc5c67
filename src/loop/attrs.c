/* attrs.c - what of a loop can be read and set from Python.
 *
 * Scalars are properties over the C state.  The containers of what is to be
 * run belong to Python from the first look on (queues.c).
 */
#include "loop/attrs.h"

#include "loop/selector.h"
#include "loop/selfpipe.h"

#define MEMBER(name, type, field, flags)                                      \
    {                                                                         \
        name, type, offsetof(LoopObject, field), flags, NULL                  \
    }

PyMemberDef ouro_loop_members[] = {
    MEMBER("_stopping", T_BOOL, core.stopping, 0),
    MEMBER("_executor_shutdown_called", T_BOOL, executor_shutdown, 0),
    MEMBER("_asyncgens_shutdown_called", T_BOOL, asyncgens_shutdown, 0),
    MEMBER("_coroutine_origin_tracking_enabled", T_BOOL, tracks_origins, 0),
    MEMBER("_coroutine_origin_tracking_saved_depth", T_OBJECT, origin_depth,
           0),
    MEMBER("_current_handle", T_OBJECT, current_handle, 0),
    MEMBER("_exception_handler", T_OBJECT, exception_handler, 0),
    MEMBER("_old_agen_hooks", T_OBJECT, old_agen_hooks, 0),
    MEMBER("_timer_cancelled_count", T_PYSSIZET, timers_cancelled, 0),
    MEMBER("slow_callback_duration", T_OBJECT, slow_callback_duration, 0),
    MEMBER("__dictoffset__", T_PYSSIZET, core.dict, READONLY),
    MEMBER("__weaklistoffset__", T_PYSSIZET, core.weakrefs, READONLY),
    {NULL},
};

/* ---- properties -------------------------------------------------------- */

static PyObject *
get_thread_id(PyObject *op, void *ignored)
{
    unsigned long thread_id = ((LoopObject *)op)->thread_id;
    if (thread_id == 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLong(thread_id);
}

static int
set_thread_id(PyObject *op, PyObject *value, void *ignored)
{
    unsigned long thread_id = 0;
    if (value != NULL && value != Py_None) {
        thread_id = PyLong_AsUnsignedLong(value);
        if (thread_id == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
    }
    ((LoopObject *)op)->thread_id = thread_id;
    return 0;
}

static PyObject *
get_closed(PyObject *op, void *ignored)
{
    return PyBool_FromLong(((LoopObject *)op)->closed);
}

static int
set_closed(PyObject *op, PyObject *value, void *ignored)
{
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    ((LoopObject *)op)->closed = truth;
    ouro_loop_refresh((LoopObject *)op);
    return 0;
}

static PyObject *
get_debug(PyObject *op, void *ignored)
{
    PyObject *debug = ((LoopObject *)op)->debug;
    return Py_NewRef(debug != NULL ? debug : Py_False);
}

static int
set_debug(PyObject *op, PyObject *value, void *ignored)
{
    LoopObject *self = (LoopObject *)op;
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    Py_XSETREF(self->debug, Py_XNewRef(value));
    self->core.debug = truth;
    ouro_loop_refresh(self);
    return 0;
}

static PyObject *
get_resolution(PyObject *op, void *ignored)
{
    return PyFloat_FromDouble(((LoopObject *)op)->core.engine.resolution);
}

static int
set_resolution(PyObject *op, PyObject *value, void *ignored)
{
    double seconds = value == NULL ? 0.0 : PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    ((LoopObject *)op)->core.engine.resolution = seconds;
    return 0;
}

/* asyncio counts its self-pipe, and so do its methods. */
static PyObject *
get_internal_fds(PyObject *op, void *ignored)
{
    LoopObject *self = (LoopObject *)op;
    return PyLong_FromLong(self->internal_fds
                           + (!self->closed && !self->self_pipe));
}

static int
set_internal_fds(PyObject *op, PyObject *value, void *ignored)
{
    LoopObject *self = (LoopObject *)op;
    long number = value == NULL ? 0 : PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    self->internal_fds = number - (!self->closed && !self->self_pipe);
    return 0;
}

static PyObject *
get_task_factory(PyObject *op, void *ignored)
{
    PyObject *factory = ((LoopObject *)op)->task_factory;
    return Py_NewRef(factory != NULL ? factory : Py_None);
}

static int
set_task_factory(PyObject *op, PyObject *value, void *ignored)
{
    ouro_loop_set_task_factory((LoopObject *)op, value);
    return 0;
}

/* A container that is made when it is first asked for; closure: how. */
typedef struct lazy_container {
    PyObject *(*make)(LoopObject *self);
    size_t offset;
} lazy_container;

static PyObject *
make_dict(LoopObject *self)
{
    return PyDict_New();
}

static PyObject *
make_weak_set(LoopObject *self)
{
    return PyObject_CallNoArgs(self->core.st->stock.WeakSet);
}

static PyObject *
make_weak_values(LoopObject *self)
{
    return PyObject_CallNoArgs(self->core.st->stock.WeakValueDictionary);
}

/* From 3.14 on: what asyncio's loop is made with. */
static PyObject *
make_watcher(LoopObject *self)
{
    PyObject *events = self->core.st->stock.unix_events;
    int pidfd =
        ouro_truth_of(PyObject_CallMethod(events, "can_use_pidfd", NULL));
    if (pidfd < 0) {
        return NULL;
    }
    return PyObject_CallMethod(
        events, pidfd ? "_PidfdChildWatcher" : "_ThreadedChildWatcher", NULL);
}

#define LAZY(function, field)                                                 \
    (&(lazy_container){function, offsetof(LoopObject, field)})

static PyObject *
get_lazy(PyObject *op, void *closure)
{
    const lazy_container *lazy = closure;
    PyObject **slot = (PyObject **)((char *)op + lazy->offset);
    if (*slot == NULL) {
        *slot = lazy->make((LoopObject *)op);
    }
    return Py_XNewRef(*slot);
}

static int
set_lazy(PyObject *op, PyObject *value, void *closure)
{
    const lazy_container *lazy = closure;
    PyObject **slot = (PyObject **)((char *)op + lazy->offset);
    Py_XSETREF(*slot, Py_XNewRef(value));
    return 0;
}

/* Whoever has the dict can patch the loop without our noticing. */
static PyObject *
get_dict(PyObject *op, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    self->exposed = true;
    ouro_loop_refresh(self);
    return PyObject_GenericGetDict(op, closure);
}

static int
set_dict(PyObject *op, PyObject *value, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    self->exposed = true;
    ouro_loop_refresh(self);
    return PyObject_GenericSetDict(op, value, closure);
}

PyGetSetDef ouro_loop_getset[] = {
    {"_thread_id", get_thread_id, set_thread_id, NULL, NULL},
    {"_closed", get_closed, set_closed, NULL, NULL},
    {"_debug", get_debug, set_debug, NULL, NULL},
    {"_task_factory", get_task_factory, set_task_factory, NULL, NULL},
    {"_clock_resolution", get_resolution, set_resolution, NULL, NULL},
    {"_default_executor", ouro_executor_get, ouro_executor_set, NULL, NULL},
    {"_internal_fds", get_internal_fds, set_internal_fds, NULL, NULL},
    {"_ssock", ouro_selfpipe_get, ouro_selfpipe_set, NULL,
     (void *)offsetof(LoopObject, self_pipe_in)},
    {"_csock", ouro_selfpipe_get, ouro_selfpipe_set, NULL,
     (void *)offsetof(LoopObject, self_pipe_out)},
    {"_asyncgens", get_lazy, set_lazy, NULL, LAZY(make_weak_set, asyncgens)},
    {"_signal_handlers", get_lazy, set_lazy, NULL,
     LAZY(make_dict, signal_handlers)},
    {"_transports", get_lazy, set_lazy, NULL,
     LAZY(make_weak_values, transports)},
    {"_ready", ouro_queues_get_ready, ouro_queues_set_ready, NULL, NULL},
    {"_scheduled", ouro_queues_get_scheduled, ouro_queues_set_scheduled, NULL,
     NULL},
    {"_selector", ouro_selector_get, ouro_selector_set, NULL, NULL},
    {"__dict__", get_dict, set_dict, NULL, NULL},
    {NULL},
};

static PyGetSetDef watcher_getset = {"_watcher", get_lazy, set_lazy, NULL,
                                     LAZY(make_watcher, watcher)};

int
ouro_loop_attrs_setup(ouro_state *st)
{
    if (!st->has.loop.watcher) {
        return 0;
    }
    PyObject *descriptor =
        PyDescr_NewGetSet(st->types.LoopCore, &watcher_getset);
    if (descriptor == NULL) {
        return -1;
    }
    int result = PyObject_SetAttrString((PyObject *)st->types.LoopCore,
                                        watcher_getset.name, descriptor);
    Py_DECREF(descriptor);
    return result;
}

/* ---- patches ----------------------------------------------------------- */

/* Whether an attribute of the instance hides one of the class. */
static int
hides_attribute(LoopObject *self)
{
    PyObject *name, *value;
    Py_ssize_t position = 0;
    if (self->core.dict == NULL) {
        return 0;
    }
    while (PyDict_Next(self->core.dict, &position, &name, &value)) {
        int found =
            PyDict_Contains(self->core.st->stock.loop_attributes, name);
        if (found != 0) {
            return found;
        }
    }
    return 0;
}

int
ouro_loop_setattro(PyObject *op, PyObject *name, PyObject *value)
{
    if (PyObject_GenericSetAttr(op, name, value) < 0) {
        return -1;
    }
    LoopObject *self = (LoopObject *)op;
    int patched = hides_attribute(self);
    if (patched < 0) {
        return -1;
    }
    if (patched != self->patched) {
        self->patched = patched;
        ouro_loop_refresh(self);
    }
    return 0;
}
