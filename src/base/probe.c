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

/* The code of a function: a new reference, or NULL with an exception. */
static PyObject *
find_code(const char *module, const char *path)
{
    PyObject *function = find(module, path);
    PyObject *code =
        function == NULL ? NULL : PyObject_GetAttrString(function, "__code__");
    Py_XDECREF(function);
    return code;
}

bool
ouro_probe(const char *module, const char *path, const char *word)
{
    PyObject *code = find_code(module, path);
    PyObject *text = code == NULL ? NULL : PyUnicode_FromString(word);
    bool found = text != NULL && mentions(code, text);
    Py_XDECREF(code);
    Py_XDECREF(text);
    PyErr_Clear();
    return found;
}

/* The number of an instruction; -1 and an exception. */
static int
find_opcode(const char *name)
{
    PyObject *table = PyImport_ImportModule("opcode");
    PyObject *map =
        table == NULL ? NULL : PyObject_GetAttrString(table, "opmap");
    PyObject *number = map == NULL ? NULL : PyMapping_GetItemString(map, name);
    int opcode = number == NULL ? -1 : (int)PyLong_AsLong(number);
    Py_XDECREF(table);
    Py_XDECREF(map);
    Py_XDECREF(number);
    return opcode;
}

/* Instructions are two bytes; the second of STORE_ATTR is a place in
 * co_names.  (What follows some of them only looks like instructions.) */
static bool
stores(PyObject *code, int opcode, Py_ssize_t place)
{
    PyObject *bytes = PyObject_GetAttrString(code, "co_code");
    bool found = false;
    Py_ssize_t size = bytes == NULL ? 0 : PyBytes_GET_SIZE(bytes);
    for (Py_ssize_t i = 0; i + 1 < size; i += 2) {
        const unsigned char *at =
            (const unsigned char *)PyBytes_AS_STRING(bytes) + i;
        found = found || (at[0] == opcode && at[1] == place);
    }
    Py_XDECREF(bytes);
    return found;
}

bool
ouro_probe_sets(const char *module, const char *path, const char *name)
{
    bool found = false;
    PyObject *names = NULL, *text = NULL;
    PyObject *code = find_code(module, path);
    if (code == NULL) {
        goto done;
    }
    names = PyObject_GetAttrString(code, "co_names");
    if (names == NULL) {
        goto done;
    }
    text = PyUnicode_FromString(name);
    if (text == NULL) {
        goto done;
    }
    Py_ssize_t place = PySequence_Index(names, text);
    if (place >= 0) {
        int opcode = find_opcode("STORE_ATTR");
        found = opcode >= 0 && stores(code, opcode, place);
    }
done:
    Py_XDECREF(text);
    Py_XDECREF(names);
    Py_XDECREF(code);
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
