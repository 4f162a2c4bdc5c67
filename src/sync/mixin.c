/* mixin.c - the classes that locks and queues derive from, and waiting.
 *
 * _LoopBoundMixin holds the loop of a primitive, _ContextManagerMixin makes
 * `async with` out of acquire() and release().  Both can be derived from in
 * Python, as asyncio's own.
 */
#include "sync/mixin.h"

#include "base/rooms.h"
#include "task/future.h"

/* ---- small parts ------------------------------------------------------- */

int
ouro_attribute_truth(void *owner, PyObject *value, const char *name)
{
    if (value == Py_False || value == Py_True) {
        return value == Py_True;
    }
    if (value == NULL) {
        ouro_no_attribute(owner, name);
        return -1;
    }
    Py_INCREF(value);
    int truth = PyObject_IsTrue(value);
    Py_DECREF(value);
    return truth;
}

await_status
ouro_handled(PyObject *handled, int result)
{
    if (result >= 0) {
        PyErr_SetRaisedException(handled);
        return AWAIT_ERROR;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *context = PyException_GetContext(error);
    if (error == handled || context != NULL) {
        Py_XDECREF(context);
        Py_DECREF(handled);
    }
    else {
        PyException_SetContext(error, handled);
    }
    PyErr_SetRaisedException(error);
    return AWAIT_ERROR;
}

void
ouro_set_context(PyObject *exception, PyObject *context)
{
    if (exception != context) {
        PyException_SetContext(exception, Py_XNewRef(context));
    }
}

int
ouro_call_method(void *object, PyObject *name)
{
    return ouro_drop_result(PyObject_CallMethodNoArgs(object, name));
}

int
ouro_call_truth(void *object, PyObject *name)
{
    return ouro_truth_of(PyObject_CallMethodNoArgs(object, name));
}

/* super(class, self).__repr__() */
static PyObject *
super_repr(PyObject *self, PyTypeObject *class)
{
    PyObject *super = PyObject_CallFunctionObjArgs((PyObject *)&PySuper_Type,
                                                   class, self, NULL);
    if (super == NULL) {
        return NULL;
    }
    PyObject *repr = PyObject_CallMethod(super, "__repr__", NULL);
    Py_DECREF(super);
    return repr;
}

/* f', waiters:{len}' behind the text, which is consumed. */
static PyObject *
add_length(PyObject *text, ouro_ring *waiters)
{
    PyObject *result = NULL;
    Py_ssize_t length = ouro_ring_length(waiters);
    if (length >= 0) {
        result = PyUnicode_FromFormat("%U, waiters:%zd", text, length);
    }
    Py_DECREF(text);
    return result;
}

PyObject *
ouro_waiters_repr(void *self, PyTypeObject *class, PyObject *extra,
                  ouro_ring *waiters)
{
    PyObject *repr = NULL, *inner = NULL, *result = NULL;
    int waiting = extra == NULL ? -1 : ouro_ring_truth(waiters);
    if (waiting > 0) {
        extra = add_length(extra, waiters);
    }
    if (waiting >= 0 && extra != NULL) {
        repr = super_repr(self, class);
    }
    if (repr != NULL) {
        /* res[1:-1] */
        inner = PySequence_GetSlice(repr, 1, PyObject_Size(repr) - 1);
    }
    if (inner != NULL) {
        result = PyUnicode_FromFormat("<%S [%U]>", inner, extra);
    }
    Py_XDECREF(extra);
    Py_XDECREF(repr);
    Py_XDECREF(inner);
    return result;
}

/* ---- the loop ----------------------------------------------------------- */

/* self._get_loop(): a new reference, which may be None. */
static PyObject *
loop_of(LoopBoundObject *self)
{
    PyObject *loop;
    if (ouro_events_running_loop(self->st, &loop) < 0) {
        return NULL;
    }
    if (loop == NULL) {
        loop = Py_NewRef(Py_None);
    }
    if (self->loop == NULL && loop != Py_None) {
        self->loop = Py_NewRef(loop);
    }
    if (loop != (self->loop == NULL ? Py_None : self->loop)) {
        Py_DECREF(loop);
        PyErr_Format(PyExc_RuntimeError,
                     "%R is bound to a different event loop", self);
        return NULL;
    }
    return loop;
}

PyObject *
ouro_new_waiter(LoopBoundObject *self, bool plain)
{
    ouro_state *st = self->st;
    PyObject *loop =
        plain ? loop_of(self)
              : PyObject_CallMethodNoArgs((PyObject *)self, st->str._get_loop);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *fut = ouro_create_future(st, loop);
    Py_DECREF(loop);
    return fut;
}

PyObject *
ouro_park(LoopBoundObject *self, bool plain, ouro_ring *ring)
{
    PyObject *fut = ouro_new_waiter(self, plain);
    if (fut != NULL && ouro_ring_append(self->st, ring, fut) < 0) {
        Py_CLEAR(fut);
    }
    return fut;
}

await_status
ouro_park_await(AwaitObject *self, bool plain, ouro_ring *ring, PyObject **ret)
{
    PyObject *fut = ouro_park((LoopBoundObject *)self->owner, plain, ring);
    if (fut == NULL) {
        return AWAIT_ERROR;
    }
    self->step = STEP_WAITING;
    *ret = fut;
    if (!self->small) {
        Py_XSETREF(self->a, Py_NewRef(fut));
    }
    return AWAIT_FUTURE;
}

/* ---- waiters ------------------------------------------------------------ */

int
ouro_waiter_done(ouro_state *st, PyObject *fut)
{
    return Py_TYPE(fut) == st->types.Future
               ? ((FutureObject *)fut)->state != FUTURE_PENDING
               : ouro_anyfuture_done(st, fut);
}

int
ouro_waiter_cancelled(ouro_state *st, PyObject *fut)
{
    return Py_TYPE(fut) == st->types.Future
               ? ((FutureObject *)fut)->state == FUTURE_CANCELLED
               : ouro_anyfuture_cancelled(st, fut);
}

int
ouro_waiter_wake(ouro_state *st, PyObject *fut, PyObject *result)
{
    int done = ouro_waiter_done(st, fut);
    if (done != 0) {
        return done < 0 ? -1 : 0;
    }
    int error = Py_TYPE(fut) == st->types.Future
                    ? ouro_future_set_result((FutureObject *)fut, result)
                    : ouro_anyfuture_set_result(st, fut, result);
    return error < 0 ? -1 : 1;
}

int
ouro_first_pending(ouro_state *st, ouro_ring *ring, PyObject **ret)
{
    ouro_ring_pass pass = ouro_ring_begin(ring);
    PyObject *fut;
    int found;
    while ((found = ouro_ring_next(&pass, &fut)) > 0) {
        int done = ouro_waiter_done(st, fut);
        if (done == 0) {
            *ret = fut;
            break;
        }
        Py_DECREF(fut);
        if (done < 0) {
            found = -1;
            break;
        }
    }
    ouro_ring_end(&pass);
    return found;
}

int
ouro_all_cancelled(ouro_state *st, ouro_ring *ring)
{
    if (ring->shared == NULL && ring->count == 0) {
        return 1;
    }
    ouro_ring_pass pass = ouro_ring_begin(ring);
    PyObject *fut;
    int found, cancelled = 1;
    while (cancelled > 0 && (found = ouro_ring_next(&pass, &fut)) != 0) {
        cancelled = found < 0 ? -1 : ouro_waiter_cancelled(st, fut);
        if (found > 0) {
            Py_DECREF(fut);
        }
    }
    ouro_ring_end(&pass);
    return cancelled;
}

/* ---- async with --------------------------------------------------------- */

static const ouro_signature exit_signature = {
    .qualname = "_ContextManagerMixin.__aexit__",
    .skip_self = 1,
    .positional = 3,
    .required = 3,
    .names = {"exc_type", "exc", "tb", NULL},
};

PyObject *
ouro_enter_new(ouro_state *st, PyObject *self, const await_kind *kind,
               PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (ouro_parse_none("_ContextManagerMixin.__aenter__", args, nargs,
                        kwnames)
        < 0) {
        return NULL;
    }
    return (PyObject *)ouro_await_new(st, kind, self);
}

PyObject *
ouro_exit_new(ouro_state *st, PyObject *self, const await_kind *kind,
              PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *unused[3];
    if ((nargs != 3 || kwnames != NULL)
        && ouro_parse(&exit_signature, args, nargs, kwnames, unused) < 0) {
        return NULL;
    }
    return (PyObject *)ouro_await_new(st, kind, self);
}

await_status
ouro_delegate(AwaitObject *self, PyObject *name, PyObject **ret)
{
    self->step = STEP_DELEGATED;
    *ret = PyObject_CallMethodNoArgs(self->owner, name);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

await_status
ouro_enter_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step == STEP_START) {
        ouro_state *st = ouro_state_of((PyObject *)self);
        return ouro_delegate(self, st->str.acquire, ret);
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

await_status
ouro_exit_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (ouro_call_method(self->owner, st->str.release) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind enter_kind = {OURO_ENTER_NAME, ouro_enter_poll, NULL};
static const await_kind exit_kind = {OURO_EXIT_NAME, ouro_exit_poll, NULL};

/* self need not be laid out as ours: the mixin may be derived from alone. */
static ouro_state *
context_state(PyObject *self)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(self), &ouro_module_def);
    return module == NULL ? NULL : ouro_module_state(module);
}

static PyObject *
context_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    ouro_state *st = context_state(self);
    return st == NULL
               ? NULL
               : ouro_enter_new(st, self, &enter_kind, args, nargs, kwnames);
}

static PyObject *
context_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    ouro_state *st = context_state(self);
    return st == NULL
               ? NULL
               : ouro_exit_new(st, self, &exit_kind, args, nargs, kwnames);
}

static const ouro_async_def context_methods[] = {
    {"__aenter__", context_enter, "__aenter__($self)\n--\n\n"},
    {"__aexit__", context_exit, "__aexit__($self, exc_type, exc, tb)\n--\n\n"},
    {NULL},
};

static PyType_Slot context_slots[] = {
    {Py_tp_doc, "async with self: acquire() on entry, release() on exit."},
    {0, NULL},
};

static PyType_Spec context_spec = {
    .name = "asyncio.locks._ContextManagerMixin",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = context_slots,
};

/* ---- _LoopBoundMixin ---------------------------------------------------- */

PyObject *
ouro_loop_bound_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    LoopBoundObject *self = (LoopBoundObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->st = ouro_state_of_type(type);
    if (ouro_dict_at_birth(&self->dict) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

int
ouro_loop_bound_traverse(LoopBoundObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    return 0;
}

void
ouro_loop_bound_clear(LoopBoundObject *self)
{
    Py_CLEAR(self->dict);
    Py_CLEAR(self->loop);
}

static int
loop_bound_traverse(PyObject *self, visitproc visit, void *arg)
{
    return ouro_loop_bound_traverse((LoopBoundObject *)self, visit, arg);
}

static int
loop_bound_clear(PyObject *self)
{
    ouro_loop_bound_clear((LoopBoundObject *)self);
    return 0;
}

/* The tp_clear of the class of ours that self derives from (that of a Python
 * class would call it again). */
static inquiry
native_clear(PyTypeObject *type)
{
    while (type->tp_dealloc != ouro_loop_bound_dealloc) {
        type = type->tp_base;
    }
    return type->tp_clear;
}

void
ouro_loop_bound_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, ouro_loop_bound_dealloc);
    if (((LoopBoundObject *)self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    native_clear(type)(self);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END;
}

static PyObject *
loop_bound_get_loop(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    if (ouro_parse_none("_LoopBoundMixin._get_loop", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return loop_of((LoopBoundObject *)self);
}

static PyObject *
loop_bound_get__loop(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *loop = ((LoopBoundObject *)self)->loop;
    return Py_NewRef(loop != NULL ? loop : Py_None);
}

static int
loop_bound_set__loop(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    LoopBoundObject *object = (LoopBoundObject *)self;
    Py_XSETREF(object->loop, value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

static PyMethodDef loop_bound_methods[] = {
    {"__getstate__", ouro_loop_bound_getstate, METH_NOARGS, NULL},
    {"__setstate__", ouro_loop_bound_setstate, METH_O, NULL},
    OURO_METHOD("_get_loop", loop_bound_get_loop, NULL),
    {NULL},
};

static PyGetSetDef loop_bound_getset[] = {
    {"_loop", loop_bound_get__loop, loop_bound_set__loop, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

static PyMemberDef loop_bound_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(LoopBoundObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LoopBoundObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyType_Slot loop_bound_slots[] = {
    {Py_tp_doc, "Belongs to the loop that runs when it first has to wait."},
    {Py_tp_new, ouro_loop_bound_new},
    {Py_tp_traverse, loop_bound_traverse},
    {Py_tp_clear, loop_bound_clear},
    {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_methods, loop_bound_methods},
    {Py_tp_getset, loop_bound_getset},
    {Py_tp_members, loop_bound_members},
    {0, NULL},
};

static PyType_Spec loop_bound_spec = {
    .name = "asyncio.mixins._LoopBoundMixin",
    .basicsize = sizeof(LoopBoundObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = loop_bound_slots,
};

/* ---- set-up ------------------------------------------------------------- */

int
ouro_add_primitive(PyObject *module, PyType_Spec *spec, bool with,
                   PyTypeObject *base, const ouro_async_def *methods,
                   PyTypeObject **slot)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *bases;
    if (base != NULL) {
        bases = PyTuple_Pack(1, base);
    }
    else if (with) {
        bases = PyTuple_Pack(2, st->types.ContextManagerMixin,
                             st->types.LoopBoundMixin);
    }
    else {
        bases = PyTuple_Pack(1, st->types.LoopBoundMixin);
    }
    if (bases == NULL) {
        return -1;
    }
    int error = ouro_add_type(module, spec, bases, true, slot);
    Py_DECREF(bases);
    if (error < 0 || methods == NULL) {
        return error;
    }
    return ouro_add_async_methods(st, *slot, methods);
}

int
ouro_remove_attribute(PyTypeObject *type, const char *name)
{
    return PyObject_SetAttrString((PyObject *)type, name, NULL);
}

int
ouro_mixin_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &context_spec, NULL, true,
                      &st->types.ContextManagerMixin)
            < 0
        || ouro_add_type(module, &loop_bound_spec, NULL, true,
                         &st->types.LoopBoundMixin)
               < 0) {
        return -1;
    }
    return ouro_add_async_methods(st, st->types.ContextManagerMixin,
                                  context_methods);
}
