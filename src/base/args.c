/* args.c - binds the arguments of a call to the names of a signature.
 *
 * A correct call is bound here, by comparing names.  A wrong one is put to
 * Python itself: a function of the same signature is made and called with
 * the same arguments, so that the TypeError is word for word the one of the
 * Python that runs (they differ by version, down to "Did you mean").  Nothing
 * of that function runs: it fails while its arguments are bound.
 */
#include "base/args.h"

#include <stdbool.h>
#include <string.h>

/* --- what Python says to a wrong call -------------------------------- */

enum { SOURCE_MAX = 1024 }; /* more than the longest signature needs */

static void
append(char *source, const char *text)
{
    strncat(source, text, SOURCE_MAX - strlen(source) - 1);
}

static void
append_parameter(char *source, const char *name)
{
    append(source, name);
    append(source, ",");
}

static int
names_count(const ouro_signature *signature)
{
    int count = 0;
    while (signature->names[count] != NULL) {
        count++;
    }
    return count;
}

/* A function with these parameters.  ("async" would make no difference.) */
static void
write_source(const ouro_signature *signature, char *source)
{
    int count = names_count(signature);
    append(source, "def f(");
    if (signature->skip_self) {
        append_parameter(source, "self");
    }
    for (int i = 0; i <= count; i++) {
        if (i > 0 && i == signature->positional_only) {
            append_parameter(source, "/");
        }
        if (i == signature->positional && signature->varargs) {
            append_parameter(source, "*args");
        }
        else if (i == signature->positional && i < count) {
            append_parameter(source, "*");
        }
        if (i < count) {
            append_parameter(source, signature->names[i]);
        }
    }
    append(source, signature->varkeywords ? "**kwds): pass" : "): pass");
}

/* The code of the one function that source defines. */
static PyObject *
compile_function(const char *source)
{
    PyObject *found = NULL;
    PyObject *module = Py_CompileString(source, "<ouro>", Py_file_input);
    if (module == NULL) {
        return NULL;
    }
    PyObject *consts = PyObject_GetAttrString(module, "co_consts");
    Py_DECREF(module);
    if (consts == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(consts); i++) {
        if (PyCode_Check(PyTuple_GET_ITEM(consts, i))) {
            found = Py_NewRef(PyTuple_GET_ITEM(consts, i));
        }
    }
    Py_DECREF(consts);
    if (found == NULL) {
        PyErr_SetString(PyExc_SystemError, "ouro: no code in a function");
    }
    return found;
}

/* What optional parameters default to is never seen. */
static int
set_defaults(const ouro_signature *signature, PyObject *function)
{
    int optional = signature->positional - signature->required;
    int first = signature->positional + signature->required_keywords;
    int error = -1;
    PyObject *defaults = PyTuple_New(optional);
    PyObject *kwdefaults = PyDict_New();
    if (defaults == NULL || kwdefaults == NULL) {
        goto done;
    }
    for (int i = 0; i < optional; i++) {
        PyTuple_SET_ITEM(defaults, i, Py_NewRef(Py_None));
    }
    for (int i = first; i < names_count(signature); i++) {
        if (PyDict_SetItemString(kwdefaults, signature->names[i], Py_None)
            < 0) {
            goto done;
        }
    }
    if (PyFunction_SetDefaults(function, defaults) == 0
        && PyFunction_SetKwDefaults(function, kwdefaults) == 0) {
        error = 0;
    }

done:
    Py_XDECREF(defaults);
    Py_XDECREF(kwdefaults);
    return error;
}

static PyObject *
python_function(const ouro_signature *signature)
{
    char source[SOURCE_MAX] = "";
    PyObject *function = NULL;
    write_source(signature, source);
    PyObject *code = compile_function(source);
    PyObject *globals = PyDict_New();
    PyObject *qualname = PyUnicode_FromString(signature->qualname);
    if (code == NULL || globals == NULL || qualname == NULL) {
        goto done;
    }
    function = PyFunction_NewWithQualName(code, globals, qualname);
    if (function != NULL && set_defaults(signature, function) < 0) {
        Py_CLEAR(function);
    }

done:
    Py_XDECREF(code);
    Py_XDECREF(globals);
    Py_XDECREF(qualname);
    return function;
}

/* The positional arguments, after a self that does not matter. */
static PyObject *
call_arguments(const ouro_signature *signature, PyObject *const *args,
               Py_ssize_t given)
{
    Py_ssize_t self = signature->skip_self ? 1 : 0;
    PyObject *tuple = PyTuple_New(self + given);
    if (tuple == NULL) {
        return NULL;
    }
    if (self) {
        PyTuple_SET_ITEM(tuple, 0, Py_NewRef(Py_None));
    }
    for (Py_ssize_t i = 0; i < given; i++) {
        PyTuple_SET_ITEM(tuple, self + i, Py_NewRef(args[i]));
    }
    return tuple;
}

/* Raise what Python raises for this call; always -1. */
static int
raise_wrong_call(const ouro_signature *signature, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *kwargs)
{
    PyObject *function = python_function(signature);
    PyObject *tuple = call_arguments(signature, args, nargs);
    if (function != NULL && tuple != NULL) {
        PyObject *result = PyObject_Call(function, tuple, kwargs);
        if (result != NULL) {
            Py_DECREF(result);
            PyErr_Format(PyExc_TypeError, "%s() got wrong arguments",
                         signature->qualname);
        }
    }
    Py_XDECREF(function);
    Py_XDECREF(tuple);
    return -1;
}

/* --- binding ----------------------------------------------------------- */

static bool
same_name(PyObject *keyword, const char *name)
{
    if (!PyUnicode_IS_COMPACT_ASCII(keyword)) {
        /* An instance of a subclass of str. */
        return PyUnicode_CompareWithASCIIString(keyword, name) == 0;
    }
    size_t length = strlen(name);
    return (size_t)PyUnicode_GET_LENGTH(keyword) == length
           && memcmp(PyUnicode_1BYTE_DATA(keyword), name, length) == 0;
}

/* The place of a keyword among the names, or -1. */
static int
find_name(const ouro_signature *signature, PyObject *keyword)
{
    for (int i = signature->positional_only; signature->names[i]; i++) {
        if (same_name(keyword, signature->names[i])) {
            return i;
        }
    }
    return -1;
}

/* Whether the positional arguments fit; fills all of ret. */
static inline bool
bind_positional(const ouro_signature *signature, PyObject *const *args,
                Py_ssize_t nargs, PyObject **ret)
{
    Py_ssize_t taken = Py_MIN(nargs, signature->positional);
    for (Py_ssize_t i = 0; signature->names[i] != NULL; i++) {
        ret[i] = i < taken ? args[i] : NULL;
    }
    return nargs <= signature->positional || signature->varargs;
}

/* Whether one keyword fits.  With **kwds, what no name takes is for the
 * caller, except a second self. */
static bool
bind_keyword(const ouro_signature *signature, PyObject *keyword,
             PyObject *value, PyObject **ret)
{
    if (!PyUnicode_Check(keyword)) {
        return false;
    }
    int place = find_name(signature, keyword);
    if (place < 0) {
        return signature->varkeywords
               && !(signature->skip_self && signature->positional_only == 0
                    && same_name(keyword, "self"));
    }
    if (ret[place] != NULL) {
        return false;
    }
    ret[place] = value;
    return true;
}

static bool
is_complete(const ouro_signature *signature, PyObject *const *ret)
{
    for (int i = 0; i < signature->required; i++) {
        if (ret[i] == NULL) {
            return false;
        }
    }
    for (int i = 0; i < signature->required_keywords; i++) {
        if (ret[signature->positional + i] == NULL) {
            return false;
        }
    }
    return true;
}

int
ouro_parse(const ouro_signature *signature, PyObject *const *args,
           Py_ssize_t nargs, PyObject *kwnames, PyObject **ret)
{
    bool fits = bind_positional(signature, args, nargs, ret);
    Py_ssize_t keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; fits && i < keywords; i++) {
        fits = bind_keyword(signature, PyTuple_GET_ITEM(kwnames, i),
                            args[nargs + i], ret);
    }
    if (fits && keywords == 0 && nargs >= signature->required
        && signature->required_keywords == 0) {
        return 0;
    }
    if (fits && is_complete(signature, ret)) {
        return 0;
    }
    PyObject *kwargs = ouro_keywords(NULL, args + nargs, kwnames);
    if (kwargs != NULL) {
        raise_wrong_call(signature, args, nargs, kwargs);
        Py_DECREF(kwargs);
    }
    return -1;
}

int
ouro_parse_versions(const ouro_signature *signature, bool has_last,
                    PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                    PyObject **ret)
{
    if (has_last) {
        return ouro_parse(signature, args, nargs, kwnames, ret);
    }
    ouro_signature older = *signature;
    int last = 0;
    while (older.names[last + 1] != NULL) {
        last++;
    }
    older.names[last] = NULL;
    older.positional = Py_MIN(older.positional, last);
    ret[last] = NULL;
    return ouro_parse(&older, args, nargs, kwnames, ret);
}

int
ouro_refuse_arguments(const char *qualname, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *kwnames)
{
    ouro_signature signature = {.qualname = qualname, .skip_self = 1};
    return ouro_parse(&signature, args, nargs, kwnames, NULL);
}

int
ouro_parse_init(const ouro_signature *signature, PyObject *args,
                PyObject *kwargs, PyObject **ret)
{
    PyObject *const *items = ((PyTupleObject *)args)->ob_item;
    Py_ssize_t nargs = PyTuple_GET_SIZE(args);
    bool fits = bind_positional(signature, items, nargs, ret);
    PyObject *keyword, *value;
    Py_ssize_t position = 0;
    while (fits && kwargs != NULL
           && PyDict_Next(kwargs, &position, &keyword, &value)) {
        fits = bind_keyword(signature, keyword, value, ret);
    }
    if (fits && is_complete(signature, ret)) {
        return 0;
    }
    return raise_wrong_call(signature, items, nargs, kwargs);
}

PyObject *
ouro_keywords(const ouro_signature *signature, PyObject *const *values,
              PyObject *kwnames)
{
    PyObject *dict = PyDict_New();
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; dict != NULL && i < count; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(kwnames, i);
        if (signature != NULL && find_name(signature, keyword) >= 0) {
            continue;
        }
        if (PyDict_SetItem(dict, keyword, values[i]) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}
