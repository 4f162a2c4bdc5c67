/* err.c - errno to OSError: the only place that makes one. */
#include "base/ouro.h"

#include <errno.h>

PyObject *
ouro_raise_errno(int error)
{
    errno = error < 0 ? -error : error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

int
ouro_raise_errno_int(int error)
{
    ouro_raise_errno(error);
    return -1;
}

PyObject *
ouro_errno_exception(int error)
{
    ouro_raise_errno(error);
    return PyErr_GetRaisedException();
}

bool
ouro_leaves_loop(PyObject *exception)
{
    return PyErr_GivenExceptionMatches(exception, PyExc_SystemExit)
           || PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt);
}

bool
ouro_error_leaves_loop(void)
{
    return PyErr_ExceptionMatches(PyExc_SystemExit)
           || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
}

PyObject *
ouro_no_attribute(void *object, const char *name)
{
    PyObject *type = PyType_GetName(Py_TYPE(object));
    if (type != NULL) {
        PyErr_Format(PyExc_AttributeError, "'%U' object has no attribute '%s'",
                     type, name);
        Py_DECREF(type);
    }
    return NULL;
}

void
ouro_raise(PyObject *exception)
{
    if (PyExceptionInstance_Check(exception)) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    else if (PyExceptionClass_Check(exception)) {
        PyErr_SetNone(exception);
    }
    else {
        PyErr_SetString(PyExc_TypeError,
                        "exceptions must derive from BaseException");
    }
}

bool
ouro_catch_stop_iteration(PyObject **ret)
{
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return false;
    }
    /* Making it an instance may have failed with something else. */
    PyObject *exception = PyErr_GetRaisedException();
    if (exception == NULL
        || !PyErr_GivenExceptionMatches(exception, PyExc_StopIteration)) {
        PyErr_SetRaisedException(exception);
        return false;
    }
    PyObject *value = ((PyStopIterationObject *)exception)->value;
    *ret = Py_NewRef(value != NULL ? value : Py_None);
    Py_DECREF(exception);
    return true;
}

void
ouro_raised_handling(PyObject *exception)
{
    if (exception != NULL) {
        PyObject *current = PyErr_GetRaisedException();
        PyException_SetContext(current, exception);
        PyErr_SetRaisedException(current);
    }
}

void
ouro_raise_stop_iteration(PyObject *value)
{
    if (value == Py_None) {
        PyErr_SetNone(PyExc_StopIteration);
        return;
    }
    /* An instance: a tuple would be unpacked into arguments, an exception
     * taken for the StopIteration itself. */
    PyObject *exception = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (exception != NULL) {
        PyErr_SetObject(PyExc_StopIteration, exception);
        Py_DECREF(exception);
    }
}
