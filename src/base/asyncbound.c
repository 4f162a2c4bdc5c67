/* asyncbound.c - what `async with` looks up: __aenter__ and __aexit__, bound.
 *
 * Up to 3.13 the interpreter makes a bound method of either, calls it once
 * and drops it, which costs more than many an __aenter__ itself.  These are
 * bound methods from a freelist.  To Python they are methods in all but the
 * exact type.
 */
#include "base/asyncbound.h"

enum { FREE_ASYNCBOUNDS_MAX = 16 };

typedef struct AsyncBoundObject {
    PyObject_HEAD
    PyObject *method;
    PyObject *self;
    PyCFunctionFastWithKeywords call;
    vectorcallfunc vectorcall;
    PyObject *weakrefs;
    ouro_state *st;
} AsyncBoundObject;

static AsyncBoundObject *
as_bound(PyObject *object)
{
    return (AsyncBoundObject *)object;
}

static PyObject *
asyncbound_vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf,
                      PyObject *kwnames)
{
    AsyncBoundObject *bound = as_bound(callable);
    return bound->call(bound->self, args, PyVectorcall_NARGS(nargsf), kwnames);
}

PyObject *
ouro_asyncbound_new(ouro_state *st, PyObject *method,
                    PyCFunctionFastWithKeywords call, PyObject *self)
{
    PyTypeObject *type = st->types.AsyncBound;
    PyObject *object = ouro_freelist_take(&st->free_asyncbounds, type);
    if (object != NULL) {
        PyObject_GC_Track(object);
    }
    else {
        object = type->tp_alloc(type, 0);
        if (object == NULL) {
            return NULL;
        }
        /* (These two it keeps from life to life.) */
        as_bound(object)->vectorcall = asyncbound_vectorcall;
        as_bound(object)->st = st;
    }
    AsyncBoundObject *bound = as_bound(object);
    bound->method = Py_NewRef(method);
    bound->self = Py_NewRef(self);
    bound->call = call;
    return object;
}

static int
asyncbound_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(as_bound(object)->method);
    Py_VISIT(as_bound(object)->self);
    return 0;
}

/* (As bound methods, it does not break cycles itself.) */
static int
asyncbound_clear(PyObject *Py_UNUSED(object))
{
    return 0;
}

static void
asyncbound_dealloc(PyObject *object)
{
    AsyncBoundObject *bound = as_bound(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (bound->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    Py_DECREF(bound->method);
    Py_DECREF(bound->self);
    if (!ouro_type_alive(type)
        || !ouro_freelist_push(&bound->st->free_asyncbounds, object,
                               FREE_ASYNCBOUNDS_MAX)) {
        type->tp_free(object);
    }
    Py_DECREF(type);
}

/* What is no attribute of methods is one of the function. */
static PyObject *
asyncbound_getattro(PyObject *object, PyObject *name)
{
    PyObject *own = _PyType_Lookup(Py_TYPE(object), name);
    if (own != NULL && Py_TYPE(own)->tp_descr_get != NULL) {
        return PyObject_GenericGetAttr(object, name);
    }
    return PyObject_GetAttr(as_bound(object)->method, name);
}

static PyObject *
asyncbound_repr(PyObject *object)
{
    AsyncBoundObject *bound = as_bound(object);
    PyObject *name = PyObject_GetAttrString(bound->method, "__qualname__");
    if (name == NULL) {
        return NULL;
    }
    PyObject *repr =
        PyUnicode_FromFormat("<bound method %S of %R>", name, bound->self);
    Py_DECREF(name);
    return repr;
}

static PyObject *
asyncbound_richcompare(PyObject *a, PyObject *b, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool equal = as_bound(a)->method == as_bound(b)->method
                 && as_bound(a)->self == as_bound(b)->self;
    return PyBool_FromLong(equal == (op == Py_EQ));
}

static Py_hash_t
asyncbound_hash(PyObject *object)
{
    AsyncBoundObject *bound = as_bound(object);
    Py_hash_t hash =
        Py_HashPointer(bound->self) ^ Py_HashPointer(bound->method);
    return hash == -1 ? -2 : hash;
}

/* getattr(self, name) */
static PyObject *
asyncbound_reduce(PyObject *object, PyObject *Py_UNUSED(none))
{
    AsyncBoundObject *bound = as_bound(object);
    PyObject *name = PyObject_GetAttrString(bound->method, "__name__");
    PyObject *getattr = PyDict_GetItemString(PyEval_GetBuiltins(), "getattr");
    if (name == NULL || getattr == NULL) {
        Py_XDECREF(name);
        return NULL;
    }
    return Py_BuildValue("O(ON)", getattr, bound->self, name);
}

static PyObject *
asyncbound_get_class(PyObject *Py_UNUSED(object), void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)&PyMethod_Type);
}

static PyMethodDef asyncbound_methods[] = {
    {"__reduce__", asyncbound_reduce, METH_NOARGS, NULL},
    {NULL},
};

static PyGetSetDef asyncbound_getset[] = {
    {"__class__", asyncbound_get_class, NULL, NULL, NULL},
    {NULL},
};

#define OFFSET(member) offsetof(AsyncBoundObject, member)

static PyMemberDef asyncbound_members[] = {
    {"__func__", T_OBJECT, OFFSET(method), READONLY, NULL},
    {"__self__", T_OBJECT, OFFSET(self), READONLY, NULL},
    {"__vectorcalloffset__", T_PYSSIZET, OFFSET(vectorcall), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, OFFSET(weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot asyncbound_slots[] = {
    {Py_tp_traverse, asyncbound_traverse},
    {Py_tp_clear, asyncbound_clear},
    {Py_tp_dealloc, asyncbound_dealloc},
    {Py_tp_getattro, asyncbound_getattro},
    {Py_tp_repr, asyncbound_repr},
    {Py_tp_richcompare, asyncbound_richcompare},
    {Py_tp_hash, asyncbound_hash},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, asyncbound_methods},
    {Py_tp_getset, asyncbound_getset},
    {Py_tp_members, asyncbound_members},
    {0, NULL},
};

static PyType_Spec asyncbound_spec = {
    .name = "ouro.method",
    .basicsize = sizeof(AsyncBoundObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = asyncbound_slots,
};

int
ouro_asyncbound_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &asyncbound_spec, NULL, false,
                         &st->types.AsyncBound);
}
