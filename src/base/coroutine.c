/* coroutine.c - the Python type of coroutines written in C: their slots,
 * methods, and the end of their life.  What they do when driven is in
 * await.c, their attributes are in coroutine_attrs.c.
 */
#include "base/awaitdrive.h"
#include "base/function.h"

enum { FREE_AWAITS_MAX = 256 };

/* ---- life --------------------------------------------------------------- */

static int
await_clear(PyObject *object)
{
    AwaitObject *self = ouro_as_await(object);
    self->state = AWAIT_CLOSED;
    ouro_await_clear_body(self);
    return 0;
}

static ouro_freelist *
freelist_of(ouro_state *st, bool small)
{
    return small ? &st->free_small_awaits : &st->free_awaits;
}

AwaitObject *
ouro_await_new(ouro_state *st, const await_kind *kind, PyObject *owner)
{
    PyTypeObject *type = kind->small ? st->types.SmallAwait : st->types.Await;
    PyObject *object = ouro_freelist_take(freelist_of(st, kind->small), type);
    if (object != NULL) {
        PyObject_GC_Track(object);
    }
    else {
        object = type->tp_alloc(type, 0);
        if (object == NULL) {
            return NULL;
        }
    }
    AwaitObject *self = ouro_as_await(object);
    ouro_await_set_kind(self, kind);
    self->owner = Py_XNewRef(owner);
    self->step = 0;
    self->state = AWAIT_CREATED;
    self->small = kind->small;
    self->on_future = false;
    if (!kind->small) {
        self->deadline = 0;
        self->n = 0;
    }
    int depth = PyThreadState_Get()->coroutine_origin_tracking_depth;
    if (depth > 0 && ouro_coroutine_record_origin(self, depth) < 0) {
        await_clear(object);
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

await_status
ouro_await_owner(AwaitObject *self, PyObject **ret)
{
    if (self->step == 0) {
        self->step = 1;
        *ret = Py_NewRef(self->owner);
        return AWAIT_DELEGATE;
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

PyObject *
ouro_await_exit(const await_kind *kind, PyObject *self,
                const ouro_signature *signature, PyObject *const *args,
                Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *given[3];
    if (ouro_parse(signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    AwaitObject *body = ouro_await_new(ouro_state_of(self), kind, self);
    if (body != NULL) {
        body->a = Py_NewRef(given[0]);
        body->b = Py_NewRef(given[1]);
    }
    return (PyObject *)body;
}

static int
await_traverse(PyObject *object, visitproc visit, void *arg)
{
    AwaitObject *self = ouro_as_await(object);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    Py_VISIT(self->waiting);
    if (!self->small) {
        Py_VISIT(self->a);
        Py_VISIT(self->b);
        Py_VISIT(self->c);
        Py_VISIT(self->value);
    }
    return 0;
}

/* warnings._warn_unawaited_coroutine(), which adds where it was created;
 * NULL without an exception where the module is not (or no longer) there. */
static PyObject *
call_warn_unawaited(PyObject *coroutine)
{
    PyObject *name = PyUnicode_FromString("warnings");
    PyObject *warnings = name == NULL ? NULL : PyImport_GetModule(name);
    Py_XDECREF(name);
    if (warnings == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_CallMethod(
        warnings, "_warn_unawaited_coroutine", "O", coroutine);
    Py_DECREF(warnings);
    return result;
}

/* As the interpreter does for its own coroutines: a warning that the filters
 * made an error is printed; if warnings is broken, that is, and then the
 * warning is given directly. */
static void
warn_never_awaited(AwaitObject *self)
{
    PyObject *coroutine = (PyObject *)self;
    PyObject *result = call_warn_unawaited(coroutine);
    bool warned = result != NULL;
    Py_XDECREF(result);
    if (PyErr_Occurred()) {
        warned = PyErr_ExceptionMatches(PyExc_RuntimeWarning);
        PyErr_WriteUnraisable(coroutine);
    }
    if (!warned
        && PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                            "coroutine '%s' was never awaited",
                            ouro_await_kind(self)->qualname)
               < 0) {
        PyErr_WriteUnraisable(coroutine);
    }
}

static void
await_finalize(PyObject *object)
{
    AwaitObject *self = ouro_as_await(object);
    PyObject *error;
    if (self->state == AWAIT_CLOSED || self->state == AWAIT_SHOWN) {
        return;
    }
    error = PyErr_GetRaisedException();
    if (self->state == AWAIT_CREATED) {
        warn_never_awaited(self);
    }
    else {
        PyObject *result = ouro_await_close(self);
        if (result == NULL) {
            PyErr_WriteUnraisable(object);
        }
        Py_XDECREF(result);
    }
    PyErr_SetRaisedException(error);
}

static void
await_free(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    ouro_state *st = ouro_state_of_type(type);
    if (ouro_as_await(object)->has_extras) {
        ouro_coroutine_drop_extras(ouro_as_await(object));
    }
    if (!ouro_freelist_push(freelist_of(st, ouro_as_await(object)->small),
                            object, FREE_AWAITS_MAX)) {
        type->tp_free(object);
    }
    Py_DECREF(type);
}

static void await_dealloc(PyObject *object);

/* One that was not run to its end may hold another such, and so on. */
static OURO_COLD void
await_dealloc_deep(PyObject *object)
{
    Py_TRASHCAN_BEGIN(object, await_dealloc) await_clear(object);
    await_free(object);
    Py_TRASHCAN_END
}

static void
await_dealloc(PyObject *object)
{
    AwaitObject *self = ouro_as_await(object);
    if (self->state != AWAIT_CLOSED
        && PyObject_CallFinalizerFromDealloc(object) < 0) {
        return;
    }
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    if (self->state != AWAIT_CLOSED) {
        await_dealloc_deep(object);
        return;
    }
    await_free(object);
}

/* ---- slots and methods -------------------------------------------------- */

static PyObject *
await_await(PyObject *object)
{
    AwaitObject *self = ouro_as_await(object);
    if (self->state == AWAIT_SUSPENDED) {
        PyErr_SetString(PyExc_RuntimeError,
                        "coroutine is being awaited already");
        return NULL;
    }
    return Py_NewRef(object);
}

static PySendResult
await_am_send(PyObject *object, PyObject *arg, PyObject **ret)
{
    return ouro_await_send(ouro_as_await(object), arg, ret);
}

/* From 3.12 the interpreter awaits through this. */
PyObject *
ouro_coroutine_iternext(PyObject *object)
{
    PyObject *result;
    switch (ouro_await_send(ouro_as_await(object), Py_None, &result)) {
    case PYGEN_NEXT:
        return result;
    case PYGEN_RETURN:
        return ouro_await_end(ouro_state_of(object), result);
    case PYGEN_ERROR:
        break;
    }
    return NULL;
}

/* What send() and throw() answer in Python. */
static PyObject *
method_result(PySendResult sent, PyObject *result)
{
    if (sent == PYGEN_RETURN) {
        ouro_raise_stop_iteration(result);
        Py_CLEAR(result);
    }
    return sent == PYGEN_ERROR ? NULL : result;
}

const char ouro_coroutine_send_doc[] =
    "send(arg) -> send 'arg' into coroutine,\n"
    "return next iterated value or raise StopIteration.";

PyObject *
ouro_coroutine_send(PyObject *object, PyObject *arg)
{
    PyObject *result;
    PySendResult sent = ouro_await_send(ouro_as_await(object), arg, &result);
    return method_result(sent, result);
}

/* The exception that throw(type, value, traceback) means: a new reference. */
static PyObject *
thrown_exception(PyObject *type, PyObject *value, PyObject *traceback)
{
    if (traceback == Py_None) {
        traceback = NULL;
    }
    else if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError,
                        "throw() third argument must be a traceback object");
        return NULL;
    }
    PyObject *exception = NULL;
    if (PyExceptionClass_Check(type)) {
        PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), NULL);
        exception = PyErr_GetRaisedException();
    }
    else if (!PyExceptionInstance_Check(type)) {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must be classes or instances deriving from "
                     "BaseException, not %s",
                     Py_TYPE(type)->tp_name);
    }
    else if (value != NULL && value != Py_None) {
        PyErr_SetString(PyExc_TypeError,
                        "instance exception may not have a separate value");
    }
    else {
        exception = Py_NewRef(type);
    }
    if (exception != NULL && traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    return exception;
}

const char ouro_coroutine_throw_doc[] =
    "throw(value)\nthrow(type[,value[,traceback]])\n\n"
    "Raise exception in coroutine, return next iterated value or raise\n"
    "StopIteration.\n"
    "the (type, val, tb) signature is deprecated, \n"
    "and may be removed in a future version of Python.";

PyObject *
ouro_coroutine_throw(PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *result;
    if (nargs < 1 || nargs > 3) {
        return PyErr_Format(
            PyExc_TypeError, "throw expected at %s, got %zd",
            nargs < 1 ? "least 1 argument" : "most 3 arguments", nargs);
    }
    if (nargs > 1 && ouro_state_of(object)->has.throw_of_three_warns
        && PyErr_WarnEx(PyExc_DeprecationWarning,
                        "the (type, exc, tb) signature of throw() is "
                        "deprecated, use the single-arg signature instead.",
                        1)
               < 0) {
        return NULL;
    }
    PyObject *exception = thrown_exception(args[0], nargs > 1 ? args[1] : NULL,
                                           nargs > 2 ? args[2] : NULL);
    if (exception == NULL) {
        return NULL;
    }
    PySendResult sent =
        ouro_await_throw(ouro_as_await(object), exception, &result);
    Py_DECREF(exception);
    return method_result(sent, result);
}

const char ouro_coroutine_close_doc[] =
    "close() -> raise GeneratorExit inside coroutine.";

static PyObject *
await_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    return ouro_await_close(ouro_as_await(object));
}

/* Of the slot alone: what Python code gets from __await__() is a wrapper. */
static PyObject *
await_method_await(PyObject *object, PyObject *Py_UNUSED(none))
{
    return ouro_await_wrapper(ouro_state_of(object), object);
}

static PyMethodDef await_methods[] = {
    {"send", ouro_coroutine_send, METH_O, ouro_coroutine_send_doc},
    {"throw", _PyCFunction_CAST(ouro_coroutine_throw), METH_FASTCALL,
     ouro_coroutine_throw_doc},
    {"close", await_close, METH_NOARGS, ouro_coroutine_close_doc},
    {"__await__", await_method_await, METH_NOARGS | METH_COEXIST,
     "Return an iterator to be used in await expression."},
    {NULL},
};

static PyMemberDef await_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(AwaitObject, weakrefs),
     READONLY},
    {NULL},
};

static PyType_Slot await_slots[] = {
    {Py_tp_traverse, await_traverse},
    {Py_tp_clear, await_clear},
    {Py_tp_finalize, await_finalize},
    {Py_tp_dealloc, await_dealloc},
    {Py_tp_repr, ouro_coroutine_repr},
    {Py_tp_iternext, ouro_coroutine_iternext},
    {Py_am_await, await_await},
    {Py_am_send, await_am_send},
    {Py_tp_methods, await_methods},
    {Py_tp_getset, ouro_coroutine_getset},
    {Py_tp_members, await_members},
    {0, NULL},
};

/* The two types differ in their size alone. */
static int
add_await_type(PyObject *module, size_t size, PyTypeObject **slot)
{
    PyType_Spec spec = {
        .name = "ouro.coroutine",
        .basicsize = (int)size,
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
                 | Py_TPFLAGS_DISALLOW_INSTANTIATION
                 | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = await_slots,
    };
    return ouro_add_type(module, &spec, NULL, false, slot);
}

static int
hide(PyTypeObject *type, const char *name)
{
    int error = PyDict_DelItemString(type->tp_dict, name);
    PyType_Modified(type);
    return error;
}

/* What coroutines of the Python that runs do not have.  The slot behind
 * __next__ is for the interpreter. */
static int
hide_attributes(ouro_state *st, PyTypeObject *type)
{
    if (hide(type, "__next__") < 0) {
        return -1;
    }
    return st->has.coroutine_state ? 0 : hide(type, "cr_state");
}

int
ouro_await_setup(PyObject *module, ouro_state *st)
{
    if (add_await_type(module, sizeof(AwaitObject), &st->types.Await) < 0
        || add_await_type(module, offsetof(AwaitObject, a),
                          &st->types.SmallAwait)
               < 0
        || hide_attributes(st, st->types.Await) < 0
        || hide_attributes(st, st->types.SmallAwait) < 0
        || ouro_await_wrapper_setup(module, st) < 0
        || ouro_await_end_setup(module, st) < 0
        || ouro_function_setup(module, st) < 0) {
        return -1;
    }
    return ouro_asyncmethod_setup(module, st);
}
