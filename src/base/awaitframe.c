/* awaitframe.c - what tracebacks, task reprs and debuggers see of a coroutine
 * in C, which has neither a code object nor a frame.
 *
 * They are made when asked for: asyncio shows "Queue.get() running at FILE:
 * LINE" from them, Task.print_stack() a line, and tools that walk from
 * cr_await to cr_await take both for granted.  The file is "<ouro>", which
 * has no source to look up.
 */
#include "base/awaitdrive.h"

#include <frameobject.h>

static const char NO_FILE[] = "<ouro>";

/* code.replace(co_qualname=qualname); takes code over. */
static PyObject *
rename_code(PyObject *code, const char *qualname)
{
    PyObject *renamed = NULL;
    PyObject *replace = PyObject_GetAttrString(code, "replace");
    PyObject *keywords = Py_BuildValue("{ss}", "co_qualname", qualname);
    PyObject *none = PyTuple_New(0);
    if (replace != NULL && keywords != NULL && none != NULL) {
        renamed = PyObject_Call(replace, none, keywords);
    }
    Py_DECREF(code);
    Py_XDECREF(replace);
    Py_XDECREF(keywords);
    Py_XDECREF(none);
    return renamed;
}

PyObject *
ouro_await_code(const await_kind *kind)
{
    PyCodeObject *code = PyCode_NewEmpty(NO_FILE, kind->name, 1);
    return code == NULL ? NULL : rename_code((PyObject *)code, kind->qualname);
}

PyObject *
ouro_await_frame(ouro_state *st, PyObject *code)
{
    PyObject *globals = PyModule_GetDict(st->module);
    return (PyObject *)PyFrame_New(PyThreadState_Get(), (PyCodeObject *)code,
                                   globals, NULL);
}

/* (filename, line, function) of a frame. */
static PyObject *
describe_frame(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *entry = Py_BuildValue(
        "OiO", code->co_filename, PyFrame_GetLineNumber(frame), code->co_name);
    Py_DECREF(code);
    return entry;
}

static int
append_frame(PyObject *list, PyFrameObject *frame)
{
    PyObject *entry = describe_frame(frame);
    int error = entry == NULL ? -1 : PyList_Append(list, entry);
    Py_XDECREF(entry);
    return error;
}

PyObject *
ouro_await_origin(int depth)
{
    PyObject *origin = NULL, *list = PyList_New(0);
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    int error = list == NULL ? -1 : 0;
    while (error == 0 && frame != NULL && depth-- > 0) {
        error = append_frame(list, frame);
        Py_SETREF(frame, PyFrame_GetBack(frame));
    }
    if (error == 0) {
        origin = PyList_AsTuple(list);
    }
    Py_XDECREF(frame);
    Py_XDECREF(list);
    return origin;
}
