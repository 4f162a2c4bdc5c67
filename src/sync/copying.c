/* copying.c - primitives as copy and pickle see them.
 *
 * asyncio's are Python objects: their attributes are copied.  What those
 * attributes are follows from the class: a name of the list below belongs to
 * it if the class has a descriptor of data under it.
 */
#include "sync/mixin.h"

static const char *const names[] = {
    "_loop",    "_waiters",          "_locked",
    "_value",   "_bound_value",      "_lock",
    "locked",   "acquire",           "release",
    "_cond",    "_parties",          "_state",
    "_count",   "_maxsize",          "_getters",
    "_putters", "_unfinished_tasks", "_finished",
    "_queue",   "_is_shutdown",
};

static bool
is_attribute(PyTypeObject *type, PyObject *name)
{
    PyObject *found = _PyType_Lookup(type, name);
    return found != NULL
           && (Py_IS_TYPE(found, &PyGetSetDescr_Type)
               || Py_IS_TYPE(found, &PyMemberDescr_Type));
}

/* state[name] = self.name, if it is set.  (No loop is the class's _loop.) */
static int
add_attribute(PyObject *state, PyObject *self, PyObject *name)
{
    ouro_state *st = ((LoopBoundObject *)self)->st;
    PyObject *value;
    if (!is_attribute(Py_TYPE(self), name)) {
        return 0;
    }
    if (PyObject_GetOptionalAttr(self, name, &value) < 0) {
        return -1;
    }
    int error = 0;
    if (value != NULL && !(name == st->str._loop && value == Py_None)) {
        error = PyDict_SetItem(state, name, value);
    }
    Py_XDECREF(value);
    return error;
}

PyObject *
ouro_loop_bound_getstate(PyObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *dict = ((LoopBoundObject *)self)->dict;
    PyObject *state = dict == NULL ? PyDict_New() : PyDict_Copy(dict);
    for (size_t i = 0; state != NULL && i < Py_ARRAY_LENGTH(names); i++) {
        PyObject *name = PyUnicode_InternFromString(names[i]);
        if (name == NULL || add_attribute(state, self, name) < 0) {
            Py_CLEAR(state);
        }
        Py_XDECREF(name);
    }
    return state;
}

PyObject *
ouro_loop_bound_setstate(PyObject *self, PyObject *state)
{
    if (!PyDict_Check(state)) {
        return PyErr_Format(PyExc_TypeError, "the state must be a dict");
    }
    PyObject *items = PyDict_Items(state);
    if (items == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        if (PyObject_SetAttr(self, PyTuple_GET_ITEM(item, 0),
                             PyTuple_GET_ITEM(item, 1))
            < 0) {
            Py_DECREF(items);
            return NULL;
        }
    }
    Py_DECREF(items);
    Py_RETURN_NONE;
}
