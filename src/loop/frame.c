/* frame.c - calls with keywords (see frame.h). */
#include "loop/frame.h"

PyObject *
ouro_call_keywords(PyObject *object, PyObject *name, PyObject *args, ...)
{
    PyObject *result = NULL;
    PyObject *keywords = args == NULL ? NULL : PyDict_New();
    PyObject *method = NULL;
    if (keywords == NULL) {
        goto done;
    }
    va_list pairs;
    va_start(pairs, args);
    const char *keyword;
    int failed = 0;
    while (!failed && (keyword = va_arg(pairs, const char *)) != NULL) {
        PyObject *value = va_arg(pairs, PyObject *);
        failed = PyDict_SetItemString(keywords, keyword, value) < 0;
    }
    va_end(pairs);
    if (!failed) {
        method = PyObject_GetAttr(object, name);
    }
    if (method != NULL) {
        result = PyObject_Call(method, args, keywords);
    }
done:
    Py_XDECREF(method);
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    return result;
}
