/* coroutine_attrs.c - what Python sees of a coroutine written in C: its names,
 * which can be set, its repr and the cr_ attributes.
 *
 * Hardly any coroutine is asked for them, so what they need is kept outside
 * of it (see below), and code objects and frames are made when asked for
 * (awaitframe.c).
 */
#include "base/awaitdrive.h"
#include "base/function.h"

/* ---- extras ------------------------------------------------------------- */

/* What hardly any coroutine has is in a dict of the module's state: its
 * address -> dict of names.  Nothing there refers to the coroutine. */

static PyObject *
extras_of(AwaitObject *self, PyObject *key)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (!self->has_extras || key == NULL || st->await_extras == NULL) {
        return NULL;
    }
    return PyDict_GetItemWithError(st->await_extras, key);
}

/* Borrowed; NULL without an exception: there is none, or no memory to look. */
static PyObject *
get_extra(AwaitObject *self, const char *name)
{
    if (!self->has_extras) {
        return NULL;
    }
    PyObject *key = PyLong_FromVoidPtr(self);
    PyObject *extras = extras_of(self, key);
    if (key == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(key);
    return extras == NULL ? NULL : PyDict_GetItemString(extras, name);
}

/* A dict of its own, borrowed. */
static PyObject *
add_extras(AwaitObject *self, PyObject *key)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (st->await_extras == NULL) {
        st->await_extras = PyDict_New();
    }
    PyObject *extras = st->await_extras == NULL ? NULL : PyDict_New();
    if (extras == NULL) {
        return NULL;
    }
    int result = PyDict_SetItem(st->await_extras, key, extras);
    Py_DECREF(extras);
    if (result < 0) {
        return NULL;
    }
    self->has_extras = true;
    return extras;
}

static int
set_extra(AwaitObject *self, const char *name, PyObject *value)
{
    PyObject *key = PyLong_FromVoidPtr(self);
    if (key == NULL) {
        return -1;
    }
    PyObject *extras = extras_of(self, key);
    if (extras == NULL && !PyErr_Occurred()) {
        extras = add_extras(self, key);
    }
    Py_DECREF(key);
    return extras == NULL ? -1 : PyDict_SetItemString(extras, name, value);
}

/* What cannot be deleted is overwritten by the next coroutine at this
 * address. */
OURO_COLD void
ouro_coroutine_drop_extras(AwaitObject *self)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *key = PyLong_FromVoidPtr(self);
    if (extras_of(self, key) != NULL) {
        PyDict_DelItem(ouro_state_of((PyObject *)self)->await_extras, key);
    }
    Py_XDECREF(key);
    PyErr_Clear();
    self->has_extras = false;
    PyErr_SetRaisedException(error);
}

OURO_COLD int
ouro_coroutine_record_origin(AwaitObject *self, int depth)
{
    PyObject *origin = ouro_await_origin(depth);
    if (origin == NULL) {
        return -1;
    }
    int error = set_extra(self, "cr_origin", origin);
    Py_DECREF(origin);
    return error;
}

/* ---- attributes --------------------------------------------------------- */

static PyObject *
get_name(PyObject *object, const char *attribute, const char *name)
{
    PyObject *value = get_extra(ouro_as_await(object), attribute);
    return value != NULL ? Py_NewRef(value) : PyUnicode_FromString(name);
}

static int
set_name(PyObject *object, const char *attribute, PyObject *value)
{
    return ouro_check_name(attribute, value) < 0
               ? -1
               : set_extra(ouro_as_await(object), attribute, value);
}

static PyObject *
await_get_name(PyObject *object, void *Py_UNUSED(closure))
{
    return get_name(object, "__name__",
                    ouro_await_kind(ouro_as_await(object))->name);
}

static int
await_set_name(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    return set_name(object, "__name__", value);
}

static PyObject *
await_get_qualname(PyObject *object, void *Py_UNUSED(closure))
{
    return get_name(object, "__qualname__",
                    ouro_await_kind(ouro_as_await(object))->qualname);
}

static int
await_set_qualname(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    return set_name(object, "__qualname__", value);
}

PyObject *
ouro_coroutine_repr(PyObject *object)
{
    PyObject *qualname = get_extra(ouro_as_await(object), "__qualname__");
    if (qualname != NULL) {
        return PyUnicode_FromFormat("<coroutine object %S at %p>", qualname,
                                    object);
    }
    return PyUnicode_FromFormat(
        "<coroutine object %s at %p>",
        ouro_await_kind(ouro_as_await(object))->qualname, object);
}

/* What a body waits for, borrowed, or NULL. */
static PyObject *
get_awaited(AwaitObject *self)
{
    /* A small body keeps what it has waited for. */
    return self->waiting == NULL
                   || (self->small && self->state != AWAIT_SUSPENDED)
               ? NULL
               : ouro_await_iterator(self);
}

/* ---- helpers of asyncio's that a body of ours does without -------------- */

/* They are shown as coroutines of their own that cannot be driven.  One has
 * the name of its kind, and in owner a weak reference to the body: what it
 * awaits is what that does, or the next helper. */
static PyObject *
new_helper(ouro_state *st, AwaitObject *body, const await_kind *kind)
{
    PyObject *owner = PyWeakref_NewRef((PyObject *)body, NULL);
    AwaitObject *helper =
        owner == NULL ? NULL : ouro_await_new(st, kind, owner);
    Py_XDECREF(owner);
    if (helper != NULL) {
        helper->state = AWAIT_SHOWN;
    }
    return (PyObject *)helper;
}

/* What `self` (the body, or a helper of it) shows as awaited while the body
 * waits: the helper that follows, or what is waited for. */
static PyObject *
show_awaited(AwaitObject *self, AwaitObject *body)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    const await_kind *inside = ouro_await_kind(self)->inside;
    PyObject *awaited = get_awaited(body);
    if (awaited == NULL) {
        Py_RETURN_NONE;
    }
    if (inside == NULL || !st->has.call_graph || PyCoro_CheckExact(awaited)
        || ouro_await_check(st, awaited)) {
        return Py_NewRef(awaited);
    }
    PyObject *helper = Py_XNewRef(get_extra(self, "inside"));
    if (helper == NULL || ouro_await_kind(ouro_as_await(helper)) != inside) {
        Py_XSETREF(helper, new_helper(st, body, inside));
        if (helper != NULL && set_extra(self, "inside", helper) < 0) {
            Py_CLEAR(helper);
        }
    }
    return helper;
}

/* The body of a helper: 1 and owned; 0: it has gone; or -1. */
static int
body_of(AwaitObject *helper, AwaitObject **ret)
{
    PyObject *body = NULL;
    int alive =
        helper->owner == NULL ? 0 : PyWeakref_GetRef(helper->owner, &body);
    *ret = ouro_as_await(body);
    return alive;
}

static PyObject *
await_get_await(PyObject *object, void *Py_UNUSED(closure))
{
    AwaitObject *self = ouro_as_await(object), *body;
    if (self->state != AWAIT_SHOWN) {
        return show_awaited(self, self);
    }
    int alive = body_of(self, &body);
    if (alive <= 0) {
        return alive < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *awaited = show_awaited(self, body);
    Py_DECREF(body);
    return awaited;
}

static PyObject *
await_get_origin(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *origin = get_extra(ouro_as_await(object), "cr_origin");
    return Py_NewRef(origin != NULL ? origin : Py_None);
}

/* From 3.14 on: the stand-in's attribute; it lives as long as we do. */
static PyObject *
of_standin(AwaitObject *self, const char *name)
{
    PyObject *standin = Py_XNewRef(get_extra(self, "standin"));
    if (standin == NULL) {
        standin = ouro_await_standin(ouro_await_kind(self));
        if (standin != NULL && set_extra(self, "standin", standin) < 0) {
            Py_CLEAR(standin);
        }
    }
    PyObject *value =
        standin == NULL ? NULL : PyObject_GetAttrString(standin, name);
    Py_XDECREF(standin);
    return value;
}

static PyObject *
make_code(AwaitObject *self)
{
    return ouro_state_of((PyObject *)self)->has.call_graph
               ? of_standin(self, "cr_code")
               : ouro_await_code(ouro_await_kind(self));
}

static PyObject *
await_get_code(PyObject *object, void *Py_UNUSED(closure))
{
    AwaitObject *self = ouro_as_await(object);
    PyObject *code = get_extra(self, "cr_code");
    if (code != NULL) {
        return Py_NewRef(code);
    }
    code = make_code(self);
    if (code != NULL && set_extra(self, "cr_code", code) < 0) {
        Py_CLEAR(code);
    }
    return code;
}

static PyObject *
make_frame(AwaitObject *self)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (st->has.call_graph) {
        return of_standin(self, "cr_frame");
    }
    PyObject *code = await_get_code((PyObject *)self, NULL);
    if (code == NULL) {
        return NULL;
    }
    PyObject *frame = ouro_await_frame(st, code);
    Py_DECREF(code);
    return frame;
}

static PyObject *
await_get_frame(PyObject *object, void *Py_UNUSED(closure))
{
    AwaitObject *self = ouro_as_await(object);
    if (self->state == AWAIT_CLOSED) {
        Py_RETURN_NONE;
    }
    PyObject *frame = get_extra(self, "cr_frame");
    if (frame != NULL) {
        return Py_NewRef(frame);
    }
    frame = make_frame(self);
    if (frame != NULL && set_extra(self, "cr_frame", frame) < 0) {
        Py_CLEAR(frame);
    }
    return frame;
}

static PyObject *
await_get_running(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(ouro_as_await(object)->state == AWAIT_RUNNING);
}

static PyObject *
await_get_suspended(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(ouro_as_await(object)->state == AWAIT_SUSPENDED
                           || ouro_as_await(object)->state == AWAIT_SHOWN);
}

static PyObject *
await_get_state(PyObject *object, void *Py_UNUSED(closure))
{
    static const char *const names[] = {
        [AWAIT_CREATED] = "CORO_CREATED",     [AWAIT_RUNNING] = "CORO_RUNNING",
        [AWAIT_SUSPENDED] = "CORO_SUSPENDED", [AWAIT_CLOSED] = "CORO_CLOSED",
        [AWAIT_SHOWN] = "CORO_SUSPENDED",
    };
    return PyUnicode_FromString(names[ouro_as_await(object)->state]);
}

/* isinstance(x, types.CoroutineType) and inspect.iscoroutine(x) hold, as
 * they do for the coroutines of asyncio's own functions. */
static PyObject *
await_get_class(PyObject *object, void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)&PyCoro_Type);
}

PyGetSetDef ouro_coroutine_getset[] = {
    {"__class__", await_get_class, NULL, NULL},
    {"__name__", await_get_name, await_set_name, "name of the coroutine"},
    {"__qualname__", await_get_qualname, await_set_qualname,
     "qualified name of the coroutine"},
    {"cr_await", await_get_await, NULL, "object being awaited on, or None"},
    {"cr_origin", await_get_origin, NULL, NULL},
    {"cr_frame", await_get_frame, NULL, NULL},
    {"cr_code", await_get_code, NULL, NULL},
    {"cr_running", await_get_running, NULL, NULL},
    {"cr_suspended", await_get_suspended, NULL, NULL},
    {"cr_state", await_get_state, NULL, NULL},
    {NULL},
};
