/* handle.c - Handle: what call_soon() returns and the ready queue holds.
 *
 * A loop of ours queues the embedded job; its reference is the queue's.
 * Other loops keep the object and call _run().
 */
#include "loop/handle.h"

#include "base/args.h"
#include "task/host.h"
#include "task/registry.h"

#include "loop/loop.h"

enum { FREE_HANDLES = 1024 };

/* ---- the job ----------------------------------------------------------- */

static HandleObject *
handle_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, HandleObject, job);
}

static int
handle_job_run(ou_job *job)
{
    HandleObject *self = handle_of(job);
    int result = 0;
    if (!self->cancelled) {
        LoopObject *loop = (LoopObject *)self->loop;
        if (loop->core.fast) {
            result = ouro_leave_task_fast(&loop->core);
            if (result == 0) {
                result = ouro_handle_run(self);
            }
        }
        else {
            result = ouro_loop_run_handle(loop, (PyObject *)self);
        }
    }
    Py_DECREF(self);
    return result;
}

static void
handle_job_drop(ou_job *job)
{
    Py_DECREF(handle_of(job));
}

static void
handle_job_hold(ou_job *job)
{
    Py_INCREF(handle_of(job));
}

static int
handle_job_visit(ou_job *job, void *visitor)
{
    visitproc visit = ((ouro_visitor *)visitor)->visit;
    void *arg = ((ouro_visitor *)visitor)->arg;
    Py_VISIT(handle_of(job));
    return 0;
}

const ou_job_kind ouro_handle_job = {
    .run = handle_job_run,
    .drop = handle_job_drop,
    .hold = handle_job_hold,
    .visit = handle_job_visit,
};

/* ---- making ------------------------------------------------------------ */

void
ouro_handle_fill(HandleObject *self, PyObject *loop, PyObject *callback,
                 PyObject *const *args, Py_ssize_t nargs, PyObject *context)
{
    ou_job_init(&self->job, &ouro_handle_job);
    self->loop = Py_NewRef(loop);
    self->callback = Py_NewRef(callback);
    self->context = context; /* owned */
    if (nargs == 1) {
        self->args = Py_NewRef(args[0]);
        self->single = true;
    }
}

static PyObject *
tuple_of(PyObject *const *items, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(items[i]));
    }
    return tuple;
}

/* In debug mode: note where the handle is being made. */
static int
handle_note_source(ouro_state *st, HandleObject *self)
{
    int debug = ouro_loop_debug(st, self->loop);
    if (debug <= 0) {
        return debug;
    }
    PyObject *stack = PyObject_CallMethodNoArgs(st->stock.format_helpers,
                                                st->str.extract_stack);
    Py_XSETREF(self->source_traceback, stack);
    return stack == NULL ? -1 : 0;
}

/* The parts that may fail or need the object: more than one argument, debug
 * mode. */
static int
handle_finish(ouro_state *st, HandleObject *self, PyObject *const *args,
              Py_ssize_t nargs)
{
    if (nargs > 1) {
        self->args = tuple_of(args, nargs);
        if (self->args == NULL) {
            return -1;
        }
    }
    if (ouro_loop_fast(st, self->loop)) {
        return 0;
    }
    return handle_note_source(st, self);
}

static PyObject *
context_or_copy(PyObject *context)
{
    return context == NULL || context == Py_None ? PyContext_CopyCurrent()
                                                 : Py_NewRef(context);
}

static PyObject *
object_new(PyTypeObject *type, ouro_freelist *freelist)
{
    PyObject *object = ouro_freelist_pop(freelist, type);
    return object != NULL ? object : type->tp_alloc(type, 0);
}

PyObject *
ouro_handle_new(ouro_state *st, PyObject *loop, PyObject *callback,
                PyObject *const *args, Py_ssize_t nargs, PyObject *context)
{
    context = context_or_copy(context);
    if (context == NULL) {
        return NULL;
    }
    PyObject *self = object_new(st->types.Handle, &st->free_handles);
    if (self == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    HandleObject *handle = (HandleObject *)self;
    ouro_handle_fill(handle, loop, callback, args, nargs, context);
    if (!PyObject_GC_IsTracked(self)) {
        PyObject_GC_Track(self);
    }
    if (handle_finish(st, handle, args, nargs) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

PyObject *
ouro_timer_handle_new(ouro_state *st, PyObject *loop, double deadline,
                      PyObject *when, PyObject *callback,
                      PyObject *const *args, Py_ssize_t nargs,
                      PyObject *context)
{
    context = context_or_copy(context);
    if (context == NULL) {
        return NULL;
    }
    PyObject *self =
        object_new(st->types.TimerHandle, &st->free_timer_handles);
    if (self == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    TimerHandleObject *timer = (TimerHandleObject *)self;
    ouro_handle_fill(&timer->handle, loop, callback, args, nargs, context);
    ou_timer_init(&timer->timer, &timer->handle.job);
    timer->deadline = deadline;
    timer->when = Py_XNewRef(when);
    if (!PyObject_GC_IsTracked(self)) {
        PyObject_GC_Track(self);
    }
    if (handle_finish(st, &timer->handle, args, nargs) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* ---- running ----------------------------------------------------------- */

/* callback(*args); the handle may be cancelled meanwhile. */
static PyObject *
call_with(PyObject *callback, PyObject *args, bool single)
{
    if (args == NULL) {
        return PyObject_CallNoArgs(callback);
    }
    if (single) {
        return PyObject_CallOneArg(callback, args);
    }
    if (PyTuple_CheckExact(args)) {
        return PyObject_Vectorcall(callback, ((PyTupleObject *)args)->ob_item,
                                   (size_t)PyTuple_GET_SIZE(args), NULL);
    }
    PyObject *tuple = PySequence_Tuple(args);
    if (tuple == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Call(callback, tuple, NULL);
    Py_DECREF(tuple);
    return result;
}

/* A context that is none of the interpreter's has a run() at least. */
static PyObject *
call_by_run(ouro_state *st, PyObject *context, PyObject *callback,
            PyObject *args, bool single)
{
    PyObject *run = PyObject_GetAttr(context, st->str.run);
    if (run == NULL) {
        return NULL;
    }
    PyObject *all = NULL;
    if (args == NULL || single) {
        PyObject *items[2] = {callback, args};
        all = tuple_of(items, args == NULL ? 1 : 2);
    }
    else {
        PyObject *list = PySequence_List(args);
        if (list != NULL && PyList_Insert(list, 0, callback) == 0) {
            all = PyList_AsTuple(list);
        }
        Py_XDECREF(list);
    }
    PyObject *result = NULL;
    if (all != NULL) {
        result = PyObject_Call(run, all, NULL);
        Py_DECREF(all);
    }
    Py_DECREF(run);
    return result;
}

static PyObject *
handle_call(HandleObject *self)
{
    bool single = self->single;
    PyObject *callback =
        Py_NewRef(self->callback != NULL ? self->callback : Py_None);
    PyObject *args = Py_XNewRef(self->args);
    PyObject *context = Py_NewRef(self->context);
    PyObject *result = NULL;
    if (!PyContext_CheckExact(context)) {
        result = call_by_run(ouro_state_of((PyObject *)self), context,
                             callback, args, single);
    }
    else if (PyContext_Enter(context) == 0) {
        result = call_with(callback, args, single);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
        }
    }
    Py_DECREF(context);
    Py_XDECREF(args);
    Py_DECREF(callback);
    return result;
}

int
ouro_handle_run(HandleObject *self)
{
    Py_INCREF(self);
    PyObject *value = handle_call(self);
    int result = value != NULL ? 0 : ouro_handle_report(self);
    Py_XDECREF(value);
    Py_DECREF(self);
    return result;
}

/* ---- what went wrong --------------------------------------------------- */

static PyObject *
handle_args(HandleObject *self)
{
    if (self->args == NULL) {
        return self->callback == NULL ? Py_NewRef(Py_None) : PyTuple_New(0);
    }
    if (self->single) {
        PyObject *tuple = PyTuple_Pack(1, self->args);
        if (tuple == NULL) {
            return NULL;
        }
        Py_SETREF(self->args, tuple);
        self->single = false;
    }
    return Py_NewRef(self->args);
}

/* "callback(args) at file:line", as asyncio formats it. */
static PyObject *
handle_source(ouro_state *st, HandleObject *self)
{
    PyObject *callback =
        Py_NewRef(self->callback != NULL ? self->callback : Py_None);
    PyObject *args = handle_args(self);
    PyObject *debug = NULL, *kwnames = NULL, *source = NULL;
    if (args == NULL) {
        goto done;
    }
    if (st->has.loop.debug_formats) {
        debug = PyObject_CallMethodNoArgs(self->loop, st->str.get_debug);
        kwnames = PyTuple_Pack(1, st->str.debug);
        if (debug == NULL || kwnames == NULL) {
            goto done;
        }
    }
    PyObject *all[4] = {st->stock.format_helpers, callback, args, debug};
    source = PyObject_VectorcallMethod(st->str._format_callback_source, all, 3,
                                       kwnames);
done:
    Py_XDECREF(kwnames);
    Py_XDECREF(debug);
    Py_XDECREF(args);
    Py_DECREF(callback);
    return source;
}

static PyObject *
report_context(ouro_state *st, HandleObject *self, PyObject *error)
{
    PyObject *source = handle_source(st, self);
    if (source == NULL) {
        return NULL;
    }
    PyObject *message =
        PyUnicode_FromFormat("Exception in callback %S", source);
    Py_DECREF(source);
    PyObject *context = PyDict_New();
    if (message == NULL || context == NULL
        || PyDict_SetItem(context, st->str.message, message) < 0
        || PyDict_SetItem(context, st->str.exception, error) < 0
        || PyDict_SetItem(context, st->str.handle, (PyObject *)self) < 0
        || (self->source_traceback != NULL && self->source_traceback != Py_None
            && PyDict_SetItem(context, st->str.source_traceback,
                              self->source_traceback)
                   < 0)) {
        Py_CLEAR(context);
    }
    Py_XDECREF(message);
    return context;
}

int
ouro_handle_report(HandleObject *self)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    ouro_state *st = ouro_state_of((PyObject *)self);
    PyObject *error = PyErr_GetRaisedException();
    /* Handlers are called in an except block: sys.exc_info() tells. */
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    PyObject *context = report_context(st, self, error);
    int result = ouro_loop_call_exception_handler(st, self->loop, context);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    Py_DECREF(error);
    return result;
}

int
ouro_loop_callback_failed(PyObject *loop, PyObject *callback, PyObject *args,
                          PyObject *context)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    ouro_state *st = ouro_state_of(loop);
    PyObject *error = PyErr_GetRaisedException();
    PyObject *const *items = NULL;
    Py_ssize_t count = 0;
    if (args != NULL) {
        items = ((PyTupleObject *)args)->ob_item;
        count = PyTuple_GET_SIZE(args);
    }
    PyObject *handle =
        ouro_handle_new(st, loop, callback, items, count, context);
    if (handle == NULL) {
        Py_DECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    int result = ouro_handle_report((HandleObject *)handle);
    Py_DECREF(handle);
    return result;
}

/* ---- methods ----------------------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "Handle.__init__",
    .skip_self = 1,
    .positional = 4,
    .required = 3,
    .names = {"callback", "args", "loop", "context", NULL},
};

int
ouro_handle_init(HandleObject *self, PyObject *callback, PyObject *args,
                 PyObject *loop, PyObject *context)
{
    context = context_or_copy(context);
    if (context == NULL) {
        return -1;
    }
    if (!ou_job_queued(&self->job)) {
        ou_job_init(&self->job, &ouro_handle_job);
    }
    Py_XSETREF(self->context, context);
    Py_XSETREF(self->loop, Py_NewRef(loop));
    Py_XSETREF(self->callback, Py_NewRef(callback));
    Py_XSETREF(self->args, Py_NewRef(args));
    self->single = false;
    self->cancelled = false;
    Py_CLEAR(self->repr);
    Py_CLEAR(self->source_traceback);
    return handle_note_source(ouro_state_of((PyObject *)self), self);
}

static int
handle_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *given[4];
    if (ouro_parse_init(&init_signature, args, kwargs, given) < 0) {
        return -1;
    }
    return ouro_handle_init((HandleObject *)self, given[0], given[1], given[2],
                            given[3]);
}

/* Before __init__() there is nothing to work on. */
static int
handle_check_init(HandleObject *self)
{
    if (self->loop == NULL) {
        PyErr_Format(PyExc_AttributeError,
                     "'%.100s' object has no attribute '_loop'",
                     Py_TYPE(self)->tp_name);
        return -1;
    }
    return 0;
}

int
ouro_handle_cancel(HandleObject *self)
{
    if (self->cancelled) {
        return 0;
    }
    self->cancelled = true;
    ouro_state *st = ouro_state_of((PyObject *)self);
    int debug = ouro_loop_debug(st, self->loop);
    if (debug < 0) {
        return -1;
    }
    if (debug) {
        /* "Executing <Handle ...> took 2.5 seconds" wants it later. */
        PyObject *repr = PyObject_Repr((PyObject *)self);
        if (repr == NULL) {
            return -1;
        }
        Py_XSETREF(self->repr, repr);
    }
    PyObject *callback = self->callback, *args = self->args;
    self->callback = NULL;
    self->args = NULL;
    self->single = false;
    Py_XDECREF(args);
    Py_XDECREF(callback);
    return 0;
}

static PyObject *
handle_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    if (ouro_parse_none("Handle.cancel", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (handle_check_init((HandleObject *)self) < 0
        || ouro_handle_cancel((HandleObject *)self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
handle_cancelled(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    if (ouro_parse_none("Handle.cancelled", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return PyBool_FromLong(((HandleObject *)self)->cancelled);
}

static PyObject *
handle_get_context(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *context = ((HandleObject *)self)->context;
    if (ouro_parse_none("Handle.get_context", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return Py_NewRef(context != NULL ? context : Py_None);
}

static PyObject *
handle_run_method(PyObject *self, PyObject *ignored)
{
    if (handle_check_init((HandleObject *)self) < 0
        || ouro_handle_run((HandleObject *)self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
append_steal(PyObject *list, PyObject *item)
{
    if (item == NULL) {
        return -1;
    }
    int result = PyList_Append(list, item);
    Py_DECREF(item);
    return result;
}

static PyObject *
created_at(PyObject *source_traceback)
{
    PyObject *frame = PySequence_GetItem(source_traceback, -1);
    if (frame == NULL) {
        return NULL;
    }
    PyObject *text = NULL;
    PyObject *file = PySequence_GetItem(frame, 0);
    PyObject *line = PySequence_GetItem(frame, 1);
    if (file != NULL && line != NULL) {
        text = PyUnicode_FromFormat("created at %S:%S", file, line);
    }
    Py_XDECREF(file);
    Py_XDECREF(line);
    Py_DECREF(frame);
    return text;
}

PyObject *
ouro_handle_repr_info(HandleObject *self)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    PyObject *info = PyList_New(0);
    if (info == NULL) {
        return NULL;
    }
    if (append_steal(info, PyObject_GetAttr((PyObject *)Py_TYPE(self),
                                            st->str.__name__))
            < 0
        || (self->cancelled
            && append_steal(info, PyUnicode_FromString("cancelled")) < 0)
        || (self->callback != NULL && self->callback != Py_None
            && append_steal(info, handle_source(st, self)) < 0)) {
        goto error;
    }
    if (self->source_traceback != NULL) {
        int some = PyObject_IsTrue(self->source_traceback);
        if (some < 0
            || (some
                && append_steal(info, created_at(self->source_traceback))
                       < 0)) {
            goto error;
        }
    }
    return info;
error:
    Py_DECREF(info);
    return NULL;
}

static PyObject *
handle_repr_info(PyObject *self, PyObject *ignored)
{
    if (handle_check_init((HandleObject *)self) < 0) {
        return NULL;
    }
    return ouro_handle_repr_info((HandleObject *)self);
}

static PyObject *
handle_repr(PyObject *self)
{
    HandleObject *handle = (HandleObject *)self;
    if (handle_check_init(handle) < 0) {
        return NULL;
    }
    if (handle->repr != NULL && handle->repr != Py_None) {
        return PyObject_Str(handle->repr);
    }
    ouro_state *st = ouro_state_of(self);
    PyObject *info = PyObject_CallMethodNoArgs(self, st->str._repr_info);
    if (info == NULL) {
        return NULL;
    }
    PyObject *text = NULL;
    PyObject *space = PyUnicode_FromString(" ");
    if (space != NULL) {
        PyObject *joined = PyUnicode_Join(space, info);
        if (joined != NULL) {
            text = PyUnicode_FromFormat("<%U>", joined);
            Py_DECREF(joined);
        }
        Py_DECREF(space);
    }
    Py_DECREF(info);
    return text;
}

/* ---- attributes -------------------------------------------------------- */

static PyObject *
handle_get_args(PyObject *self, void *ignored)
{
    return handle_args((HandleObject *)self);
}

static int
handle_set_args(PyObject *self, PyObject *value, void *ignored)
{
    HandleObject *handle = (HandleObject *)self;
    PyObject *old = handle->args;
    handle->args = value == Py_None ? NULL : Py_XNewRef(value);
    handle->single = false;
    Py_XDECREF(old);
    return 0;
}

static PyObject *
handle_get_callback(PyObject *self, void *ignored)
{
    PyObject *callback = ((HandleObject *)self)->callback;
    return Py_NewRef(callback != NULL ? callback : Py_None);
}

static int
handle_set_callback(PyObject *self, PyObject *value, void *ignored)
{
    HandleObject *handle = (HandleObject *)self;
    PyObject *old = handle->callback;
    handle->callback = value == Py_None ? NULL : Py_XNewRef(value);
    Py_XDECREF(old);
    return 0;
}

/* Handles of a loop that is used without install() are asyncio's to
 * isinstance(). */
static PyObject *
handle_get_class(PyObject *self, void *ignored)
{
    ouro_state *st = ouro_state_of(self);
    PyTypeObject *type = Py_TYPE(self);
    if (!st->installed) {
        if (type == st->types.Handle) {
            return Py_NewRef(st->stock.Handle);
        }
        if (type == st->types.TimerHandle) {
            return Py_NewRef(st->stock.TimerHandle);
        }
    }
    return Py_NewRef((PyObject *)type);
}

static PyGetSetDef handle_getset[] = {
    {"_callback", handle_get_callback, handle_set_callback, NULL, NULL},
    {"_args", handle_get_args, handle_set_args, NULL, NULL},
    {"__class__", handle_get_class, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef handle_members[] = {
    {"_context", T_OBJECT, offsetof(HandleObject, context), 0, NULL},
    {"_loop", T_OBJECT, offsetof(HandleObject, loop), READONLY, NULL},
    {"_cancelled", T_BOOL, offsetof(HandleObject, cancelled), 0, NULL},
    {"_source_traceback", T_OBJECT, offsetof(HandleObject, source_traceback),
     0, NULL},
    {"_repr", T_OBJECT, offsetof(HandleObject, repr), 0, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(cancel_doc, "cancel($self, /)\n--\n\n\
Cancel the callback: it will not be called, if it has not been yet.");
PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\n\
Return True if the callback was cancelled.");
PyDoc_STRVAR(get_context_doc, "get_context($self, /)\n--\n\n\
Return the contextvars.Context in which the callback runs.");
PyDoc_STRVAR(run_doc, "_run($self, /)\n--\n\n\
Call the callback; what it raises goes to the loop's exception handler.");
PyDoc_STRVAR(repr_info_doc, "_repr_info($self, /)\n--\n\n");

static PyMethodDef handle_methods[] = {
    {"cancel", (PyCFunction)(void (*)(void))handle_cancel,
     METH_FASTCALL | METH_KEYWORDS, cancel_doc},
    {"cancelled", (PyCFunction)(void (*)(void))handle_cancelled,
     METH_FASTCALL | METH_KEYWORDS, cancelled_doc},
    {"get_context", (PyCFunction)(void (*)(void))handle_get_context,
     METH_FASTCALL | METH_KEYWORDS, get_context_doc},
    {"_run", handle_run_method, METH_NOARGS, run_doc},
    {"_repr_info", handle_repr_info, METH_NOARGS, repr_info_doc},
    {NULL},
};

/* ---- the type ---------------------------------------------------------- */

int
ouro_handle_traverse(HandleObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->callback);
    Py_VISIT(self->args);
    Py_VISIT(self->context);
    Py_VISIT(self->loop);
    Py_VISIT(self->source_traceback);
    return 0;
}

void
ouro_handle_clear(HandleObject *self)
{
    Py_CLEAR(self->callback);
    Py_CLEAR(self->args);
    Py_CLEAR(self->context);
    Py_CLEAR(self->source_traceback);
    Py_CLEAR(self->repr);
}

static int
handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    return ouro_handle_traverse((HandleObject *)self, visit, arg);
}

/* The loop stays until the end: a queued handle finds its loop by it. */
static int
handle_tp_clear(PyObject *self)
{
    ouro_handle_clear((HandleObject *)self);
    return 0;
}

static void
handle_dealloc(PyObject *self)
{
    HandleObject *handle = (HandleObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (handle->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    ouro_handle_clear(handle);
    Py_CLEAR(handle->loop);
    ouro_state *st = ouro_state_of_type(type);
    if (type != st->types.Handle
        || !ouro_freelist_push(&st->free_handles, self, FREE_HANDLES)) {
        type->tp_free(self);
    }
    Py_DECREF(type);
}

PyDoc_STRVAR(handle_doc, "Handle(callback, args, loop, context=None)\n--\n\n\
A callback that a loop will call: what call_soon() returns.");

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, (void *)handle_doc}, {Py_tp_init, handle_init},
    {Py_tp_repr, handle_repr},       {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_tp_clear},  {Py_tp_dealloc, handle_dealloc},
    {Py_tp_methods, handle_methods}, {Py_tp_getset, handle_getset},
    {Py_tp_members, handle_members}, {0, NULL},
};

static PyType_Spec handle_spec = {
    .name = "ouro.Handle",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = handle_slots,
};

int
ouro_handle_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &handle_spec, NULL, true, &st->types.Handle)
        < 0) {
        return -1;
    }
    return ouro_timer_handle_setup(module, st);
}
