/* asyncmethod.c - async methods and functions written in C.
 *
 * One descriptor type serves them all: it is called with a vectorcall, binds
 * like a function, takes attributes like one, and carries the mark by which
 * asyncio and inspect know a coroutine function.
 */
#include "base/await.h"

#include <string.h>

typedef struct AsyncMethodObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyCFunctionFastWithKeywords call;
    const char *doc;      /* with the text signature */
    PyObject *self;       /* of functions: the module */
    PyTypeObject *owner;  /* of methods: the type */
    PyObject *name;
    PyObject *qualname;
    PyObject *dict;
    PyObject *weakrefs;
} AsyncMethodObject;

static AsyncMethodObject *
as_method(PyObject *object)
{
    return (AsyncMethodObject *)object;
}

static PyObject *
asyncmethod_vectorcall(PyObject *callable, PyObject *const *args,
                       size_t nargsf, PyObject *kwnames)
{
    AsyncMethodObject *self = as_method(callable);
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (self->self != NULL) {
        return self->call(self->self, args, nargs, kwnames);
    }
    if (nargs < 1) {
        PyErr_Format(PyExc_TypeError,
                     "%U() missing 1 required positional argument: 'self'",
                     self->qualname);
        return NULL;
    }
    if (!PyObject_TypeCheck(args[0], self->owner)) {
        PyErr_Format(PyExc_TypeError,
                     "descriptor '%U' for '%.100s' objects doesn't apply to "
                     "a '%.100s' object",
                     self->name, self->owner->tp_name,
                     Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    return self->call(args[0], args + 1, nargs - 1, kwnames);
}

static PyObject *
asyncmethod_descr_get(PyObject *object, PyObject *instance, PyObject *type)
{
    if (instance == NULL || instance == Py_None) {
        return Py_NewRef(object);
    }
    return PyMethod_New(object, instance);
}

static PyObject *
asyncmethod_repr(PyObject *object)
{
    return PyUnicode_FromFormat("<function %U at %p>",
                                as_method(object)->qualname, object);
}

static int
asyncmethod_traverse(PyObject *object, visitproc visit, void *arg)
{
    AsyncMethodObject *self = as_method(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->self);
    Py_VISIT(self->owner);
    Py_VISIT(self->name);
    Py_VISIT(self->qualname);
    Py_VISIT(self->dict);
    return 0;
}

static int
asyncmethod_clear(PyObject *object)
{
    AsyncMethodObject *self = as_method(object);
    Py_CLEAR(self->self);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->name);
    Py_CLEAR(self->qualname);
    Py_CLEAR(self->dict);
    return 0;
}

static void
asyncmethod_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (as_method(object)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    asyncmethod_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

/* Where the text signature in a doc string ends, or NULL. */
static const char *
signature_end(const char *doc)
{
    return doc == NULL ? NULL : strstr(doc, ")\n--\n\n");
}

static PyObject *
asyncmethod_get_doc(PyObject *object, void *Py_UNUSED(closure))
{
    const char *doc = as_method(object)->doc;
    const char *end = signature_end(doc);
    if (end != NULL) {
        doc = end + strlen(")\n--\n\n");
    }
    if (doc == NULL || *doc == '\0') {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(doc);
}

static PyObject *
asyncmethod_get_text_signature(PyObject *object, void *Py_UNUSED(closure))
{
    const char *doc = as_method(object)->doc;
    const char *end = signature_end(doc);
    const char *start = end == NULL ? NULL : strchr(doc, '(');
    if (start == NULL) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromStringAndSize(start, end + 1 - start);
}

static PyGetSetDef asyncmethod_getset[] = {
    {"__doc__", asyncmethod_get_doc, NULL, NULL},
    {"__text_signature__", asyncmethod_get_text_signature, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL},
    {NULL},
};

#define OFFSET(member) offsetof(AsyncMethodObject, member)

static PyMemberDef asyncmethod_members[] = {
    {"__name__", T_OBJECT, OFFSET(name), 0},
    {"__qualname__", T_OBJECT, OFFSET(qualname), 0},
    {"__vectorcalloffset__", T_PYSSIZET, OFFSET(vectorcall), READONLY},
    {"__dictoffset__", T_PYSSIZET, OFFSET(dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, OFFSET(weakrefs), READONLY},
    {NULL},
};

static PyType_Slot asyncmethod_slots[] = {
    {Py_tp_traverse, asyncmethod_traverse},
    {Py_tp_clear, asyncmethod_clear},
    {Py_tp_dealloc, asyncmethod_dealloc},
    {Py_tp_repr, asyncmethod_repr},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, asyncmethod_descr_get},
    {Py_tp_getset, asyncmethod_getset},
    {Py_tp_members, asyncmethod_members},
    {0, NULL},
};

static PyType_Spec asyncmethod_spec = {
    .name = "ouro.function",
    .basicsize = sizeof(AsyncMethodObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = asyncmethod_slots,
};

static AsyncMethodObject *
asyncmethod_new(ouro_state *st, const ouro_async_def *def)
{
    PyTypeObject *type = st->types.AsyncMethod;
    AsyncMethodObject *self = as_method(type->tp_alloc(type, 0));
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = asyncmethod_vectorcall;
    self->call = def->call;
    self->doc = def->doc;
    self->name = PyUnicode_InternFromString(def->name);
    self->dict = PyDict_New();
    if (self->name == NULL || self->dict == NULL
        || PyDict_SetItem(self->dict, st->str._is_coroutine,
                          st->stock.coroutine_mark)
               < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

int
ouro_add_async_methods(ouro_state *st, PyTypeObject *type,
                       const ouro_async_def *methods)
{
    PyObject *qualname = PyType_GetQualName(type);
    int error = qualname == NULL ? -1 : 0;
    for (; error == 0 && methods->name != NULL; methods++) {
        AsyncMethodObject *method = asyncmethod_new(st, methods);
        if (method == NULL) {
            error = -1;
            break;
        }
        method->owner = (PyTypeObject *)Py_NewRef(type);
        method->qualname =
            PyUnicode_FromFormat("%U.%U", qualname, method->name);
        error = method->qualname == NULL
                    ? -1
                    : PyDict_SetItem(type->tp_dict, method->name,
                                     (PyObject *)method);
        Py_DECREF(method);
    }
    Py_XDECREF(qualname);
    PyType_Modified(type);
    return error;
}

int
ouro_add_async_functions(ouro_state *st, PyObject *module,
                         const ouro_async_def *functions)
{
    for (; functions->name != NULL; functions++) {
        AsyncMethodObject *function = asyncmethod_new(st, functions);
        if (function == NULL) {
            return -1;
        }
        function->self = Py_NewRef(module);
        function->qualname = Py_NewRef(function->name);
        int error = PyModule_AddObjectRef(module, functions->name,
                                          (PyObject *)function);
        Py_DECREF(function);
        if (error < 0) {
            return -1;
        }
    }
    return 0;
}

int
ouro_asyncmethod_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &asyncmethod_spec, NULL, false,
                         &st->types.AsyncMethod);
}
