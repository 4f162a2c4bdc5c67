/* probe.c - looks at the code of asyncio's functions. */
#include "base/probe.h"

/* object.a.b for the path "a.b": a new reference, or NULL with an exception.
 */
static PyObject *
find(const char *module, const char *path)
{
    PyObject *names = PyUnicode_FromString(path);
    PyObject *parts =
        names == NULL ? NULL : PyObject_CallMethod(names, "split", "s", ".");
    Py_XDECREF(names);
    PyObject *object = parts == NULL ? NULL : PyImport_ImportModule(module);
    for (Py_ssize_t i = 0; object != NULL && i < PyList_GET_SIZE(parts); i++) {
        Py_SETREF(object, PyObject_GetAttr(object, PyList_GET_ITEM(parts, i)));
    }
    Py_XDECREF(parts);
    return object;
}

static bool
table_contains(PyObject *code, const char *table, PyObject *word)
{
    PyObject *names = PyObject_GetAttrString(code, table);
    bool found = names != NULL && PySequence_Contains(names, word) > 0;
    Py_XDECREF(names);
    return found;
}

static bool mentions(PyObject *code, PyObject *word);

/* In functions that it defines. */
static bool
inner_mentions(PyObject *code, PyObject *word)
{
    PyObject *consts = PyObject_GetAttrString(code, "co_consts");
    bool found = false;
    Py_ssize_t count = consts == NULL ? 0 : PyTuple_GET_SIZE(consts);
    for (Py_ssize_t i = 0; !found && i < count; i++) {
        PyObject *constant = PyTuple_GET_ITEM(consts, i);
        found = PyCode_Check(constant) && mentions(constant, word);
    }
    Py_XDECREF(consts);
    return found;
}

static bool
mentions(PyObject *code, PyObject *word)
{
    return table_contains(code, "co_names", word)
           || table_contains(code, "co_varnames", word)
           || table_contains(code, "co_cellvars", word)
           || inner_mentions(code, word);
}

bool
ouro_probe(const char *module, const char *path, const char *word)
{
    PyObject *function = find(module, path);
    PyObject *code =
        function == NULL ? NULL : PyObject_GetAttrString(function, "__code__");
    PyObject *text = code == NULL ? NULL : PyUnicode_FromString(word);
    bool found = text != NULL && mentions(code, text);
    Py_XDECREF(function);
    Py_XDECREF(code);
    Py_XDECREF(text);
    PyErr_Clear();
    return found;
}

bool
ouro_probe_exists(const char *module, const char *path)
{
    PyObject *object = find(module, path);
    Py_XDECREF(object);
    PyErr_Clear();
    return object != NULL;
}
