/* search.c - finding the end of a message: separators in a buffer. */
#include "streams/search.h"

#include <string.h>

/* Where the separator starts at or behind offset, or -1. */
static Py_ssize_t
find(const char *data, Py_ssize_t size, Py_ssize_t offset, PyObject *separator)
{
    const char *found;
    size_t rest = (size_t)(size - offset);
    const char *wanted = PyBytes_AS_STRING(separator);
    if (PyBytes_GET_SIZE(separator) == 1) {
        found = memchr(data + offset, wanted[0], rest);
    }
    else {
        found = memmem(data + offset, rest, wanted,
                       (size_t)PyBytes_GET_SIZE(separator));
    }
    return found == NULL ? -1 : found - data;
}

/* There is no separator, but the last one may have begun. */
static search_result
not_found(search_match *match, Py_ssize_t size, Py_ssize_t longest,
          Py_ssize_t limit)
{
    match->offset = Py_MAX(0, size + 1 - longest);
    return match->offset > limit ? SEARCH_OVERRUN : SEARCH_MORE;
}

static search_result
search_newline(const char *data, Py_ssize_t size, Py_ssize_t limit,
               search_match *match)
{
    if (size <= match->offset) {
        return SEARCH_MORE;
    }
    const char *found =
        memchr(data + match->offset, '\n', (size_t)(size - match->offset));
    if (found == NULL) {
        return not_found(match, size, 1, limit);
    }
    match->start = found - data;
    match->end = match->start + 1;
    return SEARCH_FOUND;
}

static search_result
search_one(PyObject *separator, const char *data, Py_ssize_t size,
           Py_ssize_t limit, search_match *match)
{
    Py_ssize_t length = PyBytes_GET_SIZE(separator);
    if (size - match->offset < length) {
        return SEARCH_MORE;
    }
    match->start = find(data, size, match->offset, separator);
    if (match->start < 0) {
        return not_found(match, size, length, limit);
    }
    match->end = match->start + length;
    return SEARCH_FOUND;
}

static search_result
search_first(PyObject *separators, const char *data, Py_ssize_t size,
             Py_ssize_t limit, search_match *match)
{
    Py_ssize_t count = PyTuple_GET_SIZE(separators);
    PyObject *shortest = PyTuple_GET_ITEM(separators, 0);
    PyObject *longest = PyTuple_GET_ITEM(separators, count - 1);
    if (size - match->offset < PyBytes_GET_SIZE(shortest)) {
        return SEARCH_MORE;
    }
    match->end = -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *separator = PyTuple_GET_ITEM(separators, i);
        Py_ssize_t start = find(data, size, match->offset, separator);
        Py_ssize_t end = start + PyBytes_GET_SIZE(separator);
        if (start >= 0 && (match->end < 0 || end < match->end)) {
            match->start = start;
            match->end = end;
        }
    }
    return match->end >= 0
               ? SEARCH_FOUND
               : not_found(match, size, PyBytes_GET_SIZE(longest), limit);
}

search_result
ouro_search(PyObject *separators, const char *data, Py_ssize_t size,
            Py_ssize_t limit, search_match *match)
{
    if (separators == NULL) {
        return search_newline(data, size, limit, match);
    }
    return PyBytes_Check(separators)
               ? search_one(separators, data, size, limit, match)
               : search_first(separators, data, size, limit, match);
}

/* ---- the argument of readuntil() ---------------------------------------- */

/* list.sort(key=len) */
static int
sort_by_length(PyObject *list)
{
    PyObject *key = PyDict_GetItemString(PyEval_GetBuiltins(), "len");
    PyObject *sort = PyObject_GetAttrString(list, "sort");
    PyObject *args = PyTuple_New(0);
    PyObject *kwargs = key == NULL ? NULL : Py_BuildValue("{sO}", "key", key);
    PyObject *none = NULL;
    if (sort != NULL && args != NULL && kwargs != NULL) {
        none = PyObject_Call(sort, args, kwargs);
    }
    Py_XDECREF(sort);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

static int
check_separators(PyObject *sorted)
{
    if (PyList_GET_SIZE(sorted) == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "Separator should contain at least one element");
        return -1;
    }
    Py_ssize_t shortest = PyObject_Size(PyList_GET_ITEM(sorted, 0));
    if (shortest == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "Separator should be at least one-byte string");
    }
    return shortest > 0 ? 0 : -1;
}

PyObject *
ouro_separators_sorted(ouro_state *st, PyObject *separator)
{
    PyObject *list = st->has.streams.separators && PyTuple_Check(separator)
                         ? PySequence_List(separator)
                         : Py_BuildValue("[O]", separator);
    if (list == NULL || sort_by_length(list) < 0
        || check_separators(list) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *
as_bytes(PyObject *separator)
{
    if (PyBytes_CheckExact(separator)) {
        return Py_NewRef(separator);
    }
    if (!PyObject_CheckBuffer(separator)) {
        PyErr_Format(PyExc_TypeError,
                     "argument should be integer or bytes-like object, not "
                     "'%.200s'",
                     Py_TYPE(separator)->tp_name);
        return NULL;
    }
    return PyBytes_FromObject(separator);
}

PyObject *
ouro_separators_bytes(PyObject *sorted)
{
    Py_ssize_t count = PyList_GET_SIZE(sorted);
    if (count == 1) {
        return as_bytes(PyList_GET_ITEM(sorted, 0));
    }
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *bytes = as_bytes(PyList_GET_ITEM(sorted, i));
        if (bytes == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, bytes);
    }
    return tuple;
}
