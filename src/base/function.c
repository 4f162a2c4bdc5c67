/* function.c - the base of C objects that Python takes for functions.
 *
 * Libraries, inspect and mock look at a function's names, code and defaults,
 * bind it, copy it and pickle it.  Whatever asyncio writes as a function and
 * ouro as an object derives from this type, and adds what calling it does.
 */
#include "base/function.h"

static FunctionObject *
as_function(PyObject *object)
{
    return (FunctionObject *)object;
}

PyObject *
ouro_function_bind(PyObject *object, PyObject *instance,
                   PyObject *Py_UNUSED(type))
{
    return instance == NULL || instance == Py_None
               ? Py_NewRef(object)
               : PyMethod_New(object, instance);
}

/* --- attributes ---------------------------------------------------------- */

int
ouro_check_name(const char *attribute, PyObject *value)
{
    if (value == NULL || !PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be set to a string object",
                     attribute);
        return -1;
    }
    return 0;
}

static PyObject *
function_get_name(PyObject *object, void *Py_UNUSED(closure))
{
    return Py_NewRef(as_function(object)->name);
}

static int
function_set_name(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    if (ouro_check_name("__name__", value) < 0) {
        return -1;
    }
    Py_SETREF(as_function(object)->name, Py_NewRef(value));
    return 0;
}

static PyObject *
function_get_qualname(PyObject *object, void *Py_UNUSED(closure))
{
    return Py_NewRef(as_function(object)->qualname);
}

static int
function_set_qualname(PyObject *object, PyObject *value,
                      void *Py_UNUSED(closure))
{
    if (ouro_check_name("__qualname__", value) < 0) {
        return -1;
    }
    Py_SETREF(as_function(object)->qualname, Py_NewRef(value));
    return 0;
}

PyObject *
ouro_function_get_lent(PyObject *object, void *name)
{
    FunctionObject *self = as_function(object);
    if (self->model == NULL) {
        if (self->make_model == NULL) {
            return PyErr_Format(PyExc_AttributeError, "%s", (char *)name);
        }
        PyObject *model = self->make_model(self);
        if (model == NULL) {
            return NULL;
        }
        Py_XSETREF(self->model, model);
    }
    return PyObject_GetAttrString(self->model, name);
}

static PyObject *
function_repr(PyObject *object)
{
    return PyUnicode_FromFormat("<function %U at %p>",
                                as_function(object)->qualname, object);
}

/* Copied and pickled as functions are: by name. */
static PyObject *
function_reduce(PyObject *object, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(as_function(object)->qualname);
}

static PyMethodDef function_methods[] = {
    {"__reduce__", function_reduce, METH_NOARGS, NULL},
    {NULL},
};

static PyGetSetDef function_getset[] = {
    {"__name__", function_get_name, function_set_name},
    {"__qualname__", function_get_qualname, function_set_qualname},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    OURO_FUNCTION_LENT("__code__"),
    OURO_FUNCTION_LENT("__defaults__"),
    OURO_FUNCTION_LENT("__kwdefaults__"),
    OURO_FUNCTION_LENT("__annotations__"),
    {NULL},
};

#define OFFSET(member) offsetof(FunctionObject, member)

PyMemberDef ouro_function_members[] = {
    {"__doc__", T_OBJECT, OFFSET(doc), 0},
    {"__module__", T_OBJECT, OFFSET(module), 0},
    {"__vectorcalloffset__", T_PYSSIZET, OFFSET(vectorcall), READONLY},
    {"__dictoffset__", T_PYSSIZET, OFFSET(dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, OFFSET(weakrefs), READONLY},
    {NULL},
};

/* --- life ---------------------------------------------------------------- */

int
ouro_function_traverse(PyObject *object, visitproc visit, void *arg)
{
    FunctionObject *self = as_function(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->name);
    Py_VISIT(self->qualname);
    Py_VISIT(self->module);
    Py_VISIT(self->doc);
    Py_VISIT(self->model);
    Py_VISIT(self->dict);
    return 0;
}

int
ouro_function_clear(PyObject *object)
{
    FunctionObject *self = as_function(object);
    Py_CLEAR(self->module);
    Py_CLEAR(self->doc);
    Py_CLEAR(self->model);
    Py_CLEAR(self->dict);
    return 0;
}

void
ouro_function_dealloc(PyObject *object)
{
    FunctionObject *self = as_function(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    ouro_function_clear(object);
    Py_CLEAR(self->name);
    Py_CLEAR(self->qualname);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyType_Slot function_slots[] = {
    {Py_tp_traverse, ouro_function_traverse},
    {Py_tp_clear, ouro_function_clear},
    {Py_tp_dealloc, ouro_function_dealloc},
    {Py_tp_repr, function_repr},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, ouro_function_bind},
    {Py_tp_methods, function_methods},
    {Py_tp_getset, function_getset},
    {Py_tp_members, ouro_function_members},
    {0, NULL},
};

static PyType_Spec function_spec = {
    .name = "ouro.Function",
    .basicsize = sizeof(FunctionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = function_slots,
};

int
ouro_function_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &function_spec, NULL, false,
                         &st->types.Function);
}
