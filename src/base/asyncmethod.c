/* asyncmethod.c - async methods and functions written in C.
 *
 * One descriptor type serves them all, a function to Python (function.c).  As
 * an unbound method it costs what a method descriptor costs.
 *
 * asyncio and inspect know a coroutine function by its code object, and so do
 * mock and frameworks.  A model, an empty `async def` with the same
 * signature, is compiled from the text signature when somebody asks, and
 * lends its __code__ and defaults.  The marks that decorated functions carry
 * are there too; not in __dict__, which functools.wraps() copies to functions
 * that are no coroutine functions.
 */
#include "base/asyncbound.h"
#include "base/await.h"
#include "base/function.h"

#include <string.h>

typedef struct AsyncMethodObject {
    FunctionObject function;
    PyCFunctionFastWithKeywords call;
    const char *signature; /* "(...)", up to SIGNATURE_END; or NULL */
    PyObject *self;        /* of functions: the module; of methods NULL */
    PyTypeObject *owner;   /* of methods: the type */
    bool once;             /* bound to be called once: __aenter__, __aexit__ */
} AsyncMethodObject;

static const char SIGNATURE_END[] = "\n--\n\n";

static AsyncMethodObject *
as_method(PyObject *object)
{
    return (AsyncMethodObject *)object;
}

/* --- calling ------------------------------------------------------------- */

static PyObject *
refuse_self(AsyncMethodObject *method, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1) {
        return PyErr_Format(
            PyExc_TypeError,
            "%U() missing 1 required positional argument: 'self'",
            method->function.qualname);
    }
    return PyErr_Format(PyExc_TypeError,
                        "descriptor '%U' for '%.100s' objects doesn't apply "
                        "to a '%.100s' object",
                        method->function.name, method->owner->tp_name,
                        Py_TYPE(args[0])->tp_name);
}

static PyObject *
method_vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf,
                  PyObject *kwnames)
{
    AsyncMethodObject *method = as_method(callable);
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs < 1 || !PyObject_TypeCheck(args[0], method->owner)) {
        return refuse_self(method, args, nargs);
    }
    return method->call(args[0], args + 1, nargs - 1, kwnames);
}

static PyObject *
function_vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf,
                    PyObject *kwnames)
{
    AsyncMethodObject *function = as_method(callable);
    return function->call(function->self, args, PyVectorcall_NARGS(nargsf),
                          kwnames);
}

static PyObject *
asyncmethod_descr_get(PyObject *object, PyObject *instance, PyObject *type)
{
    AsyncMethodObject *method = as_method(object);
    if (method->once && instance != NULL
        && PyObject_TypeCheck(instance, method->owner)) {
        return ouro_asyncbound_new(method->function.st, object, method->call,
                                   instance);
    }
    return ouro_function_bind(object, instance, type);
}

/* --- the model ----------------------------------------------------------- */

/* Past `text` at the start of p, or p. */
static const char *
skip(const char *p, const char *text)
{
    size_t length = strlen(text);
    return strncmp(p, text, length) == 0 ? p + length : p;
}

/* The source of the model.  Text signatures say "$self, /" where Python
 * functions say "self", and functions have a "$module" to leave out.
 * Defaults and annotations may name the modules. */
static PyObject *
model_source(AsyncMethodObject *self)
{
    const char *self_parameter = "";
    const char *start = self->signature + 1;
    const char *rest = skip(start, "$self");
    if (rest != start) {
        self_parameter = "self";
        rest = skip(rest, ", /");
    }
    else if ((rest = skip(start, "$module")) != start) {
        rest = skip(skip(skip(rest, ", /"), ","), " ");
    }
    const char *end = strstr(rest, SIGNATURE_END);
    PyObject *parameters = PyUnicode_FromStringAndSize(rest, end - rest);
    if (parameters == NULL) {
        return NULL;
    }
    PyObject *source =
        PyUnicode_FromFormat("import asyncio.events, socket, types, typing\n"
                             "async def %U(%s%U: pass\n",
                             self->function.name, self_parameter, parameters);
    Py_DECREF(parameters);
    return source;
}

static PyObject *
make_model(FunctionObject *self)
{
    PyObject *model = NULL, *code = NULL, *result = NULL;
    PyObject *source = model_source((AsyncMethodObject *)self);
    PyObject *globals = PyDict_New();
    const char *text = source == NULL ? NULL : PyUnicode_AsUTF8(source);
    if (text == NULL || globals == NULL) {
        goto done;
    }
    code = Py_CompileString(text, "<ouro>", Py_file_input);
    result = code == NULL ? NULL : PyEval_EvalCode(code, globals, globals);
    if (result != NULL) {
        model = Py_XNewRef(PyDict_GetItemWithError(globals, self->name));
    }

done:
    Py_XDECREF(source);
    Py_XDECREF(globals);
    Py_XDECREF(code);
    Py_XDECREF(result);
    return model;
}

/* --- attributes ---------------------------------------------------------- */

/* Where the object is that iscoroutinefunction() of asyncio, and that of
 * inspect, compares with. */
typedef struct mark_place {
    const char *module;
    const char *name;
    const char *old_name; /* before 3.12.2 */
} mark_place;

static const mark_place asyncio_mark = {"asyncio.coroutines", "_is_coroutine"};
static const mark_place inspect_mark = {"inspect", "_is_coroutine_mark",
                                        "_is_coroutine_marker"};

static PyObject *
asyncmethod_get_mark(PyObject *object, void *closure)
{
    const mark_place *place = closure;
    PyObject *module = PyImport_ImportModule(place->module);
    if (module == NULL) {
        return NULL;
    }
    PyObject *mark = PyObject_GetAttrString(module, place->name);
    if (mark == NULL && place->old_name != NULL
        && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        mark = PyObject_GetAttrString(module, place->old_name);
    }
    Py_DECREF(module);
    return mark;
}

static PyGetSetDef asyncmethod_getset[] = {
    {"_is_coroutine", asyncmethod_get_mark, NULL, NULL, (void *)&asyncio_mark},
    {"_is_coroutine_marker", asyncmethod_get_mark, NULL, NULL,
     (void *)&inspect_mark},
    {NULL},
};

/* --- life ---------------------------------------------------------------- */

static int
asyncmethod_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(as_method(object)->self);
    Py_VISIT(as_method(object)->owner);
    return ouro_function_traverse(object, visit, arg);
}

/* (tp_clear is the base's: what a call uses stays while somebody can call.) */
static void
asyncmethod_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    Py_CLEAR(as_method(object)->self);
    Py_CLEAR(as_method(object)->owner);
    ouro_function_dealloc(object);
}

static PyType_Slot asyncmethod_slots[] = {
    {Py_tp_traverse, asyncmethod_traverse},
    {Py_tp_clear, ouro_function_clear},
    {Py_tp_dealloc, asyncmethod_dealloc},
    {Py_tp_descr_get, asyncmethod_descr_get},
    {Py_tp_getset, asyncmethod_getset},
    {Py_tp_members, ouro_function_members},
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

/* Split a doc string "name(signature)\n--\n\ntext", as in method tables. */
static int
set_doc(AsyncMethodObject *self, const char *doc)
{
    const char *end = doc == NULL ? NULL : strstr(doc, SIGNATURE_END);
    if (end != NULL) {
        self->signature = strchr(doc, '(');
        self->function.make_model = make_model;
        doc = end + strlen(SIGNATURE_END);
    }
    if (doc == NULL || *doc == '\0') {
        return 0;
    }
    self->function.doc = PyUnicode_FromString(doc);
    return self->function.doc == NULL ? -1 : 0;
}

/* Without what is different for methods and functions. */
static AsyncMethodObject *
asyncmethod_new(ouro_state *st, const ouro_async_def *def)
{
    PyTypeObject *type = st->types.AsyncMethod;
    AsyncMethodObject *self = as_method(type->tp_alloc(type, 0));
    if (self == NULL) {
        return NULL;
    }
    self->call = def->call;
    self->function.st = st;
    self->function.name = PyUnicode_InternFromString(def->name);
    if (self->function.name == NULL || set_doc(self, def->doc) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

static int
add_method(ouro_state *st, PyTypeObject *type, const ouro_async_def *def)
{
    AsyncMethodObject *method = asyncmethod_new(st, def);
    if (method == NULL) {
        return -1;
    }
    int error = -1;
    PyObject *qualname = PyType_GetQualName(type);
    method->function.vectorcall = method_vectorcall;
    method->once = strncmp(def->name, "__a", 3) == 0;
    method->owner = (PyTypeObject *)Py_NewRef((PyObject *)type);
    method->function.module =
        PyObject_GetAttrString((PyObject *)type, "__module__");
    if (qualname != NULL && method->function.module != NULL) {
        method->function.qualname =
            PyUnicode_FromFormat("%U.%U", qualname, method->function.name);
    }
    if (method->function.qualname != NULL) {
        error = PyDict_SetItem(type->tp_dict, method->function.name,
                               (PyObject *)method);
    }
    Py_XDECREF(qualname);
    Py_DECREF(method);
    return error;
}

int
ouro_add_async_methods(ouro_state *st, PyTypeObject *type,
                       const ouro_async_def *methods)
{
    int error = 0;
    for (; error == 0 && methods->name != NULL; methods++) {
        error = add_method(st, type, methods);
    }
    PyType_Modified(type);
    return error;
}

static int
add_function(ouro_state *st, PyObject *module, const ouro_async_def *def)
{
    AsyncMethodObject *function = asyncmethod_new(st, def);
    if (function == NULL) {
        return -1;
    }
    int error = -1;
    function->function.vectorcall = function_vectorcall;
    function->self = Py_NewRef(module);
    function->function.qualname = Py_NewRef(function->function.name);
    function->function.module = PyModule_GetNameObject(module);
    if (function->function.module != NULL) {
        error = PyModule_AddObjectRef(module, def->name, (PyObject *)function);
    }
    Py_DECREF(function);
    return error;
}

int
ouro_add_async_functions(ouro_state *st, PyObject *module,
                         const ouro_async_def *functions)
{
    int error = 0;
    for (; error == 0 && functions->name != NULL; functions++) {
        error = add_function(st, module, functions);
    }
    return error;
}

int
ouro_asyncmethod_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &asyncmethod_spec,
                      (PyObject *)st->types.Function, false,
                      &st->types.AsyncMethod)
        < 0) {
        return -1;
    }
    return ouro_asyncbound_setup(module, st);
}
