/* handle_type.c - Handle as Python sees it: its methods, attributes and type.
 */
#include "base/args.h"
#include "loop/handle.h"
#include "loop/loop.h"
#include "task/host.h"

/* ---- methods ----------------------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "Handle.__init__",
    .skip_self = 1,
    .positional = 4,
    .required = 3,
    .names = {"callback", "args", "loop", "context", NULL},
};

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
int
ouro_handle_check_init(HandleObject *self)
{
    if (self->loop == NULL) {
        PyErr_Format(PyExc_AttributeError,
                     "'%.100s' object has no attribute '_loop'",
                     Py_TYPE(self)->tp_name);
        return -1;
    }
    return 0;
}

static PyObject *
handle_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    if (ouro_parse_none("Handle.cancel", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (ouro_handle_check_init((HandleObject *)self) < 0
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
    if (ouro_handle_check_init((HandleObject *)self) < 0
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
            && append_steal(info, ouro_handle_source(st, self)) < 0)) {
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
    if (ouro_handle_check_init((HandleObject *)self) < 0) {
        return NULL;
    }
    return ouro_handle_repr_info((HandleObject *)self);
}

static PyObject *
handle_repr(PyObject *self)
{
    HandleObject *handle = (HandleObject *)self;
    if (ouro_handle_check_init(handle) < 0) {
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
    return ouro_handle_args((HandleObject *)self);
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
        if (type == st->types.ThreadSafeHandle) {
            return Py_NewRef(st->stock.ThreadSafeHandle);
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
    OURO_METHOD("cancel", handle_cancel, cancel_doc),
    OURO_METHOD("cancelled", handle_cancelled, cancelled_doc),
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
    Py_VISIT(self->repr);
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
    ouro_state *st = ouro_state_of(self);
    ouro_handle_dealloc(self, handle_tp_clear, st->types.Handle,
                        &st->free_handles);
}

static PyMethodDef get_context =
    OURO_METHOD("get_context", handle_get_context, get_context_doc);

/* A method of newer versions. */
static int
add_get_context(ouro_state *st)
{
    PyObject *type = (PyObject *)st->types.Handle;
    PyObject *stock;
    int found = PyObject_GetOptionalAttr(st->stock.Handle, st->str.get_context,
                                         &stock);
    if (found <= 0) {
        return found;
    }
    Py_DECREF(stock);
    PyObject *method = PyDescr_NewMethod(st->types.Handle, &get_context);
    if (method == NULL) {
        return -1;
    }
    int result = PyObject_SetAttr(type, st->str.get_context, method);
    Py_DECREF(method);
    return result;
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
    if (ouro_add_type(module, &handle_spec, NULL, true, &st->types.Handle) < 0
        || add_get_context(st) < 0 || ouro_safe_handle_setup(module, st) < 0) {
        return -1;
    }
    return ouro_timer_handle_setup(module, st);
}
