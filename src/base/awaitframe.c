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

/* ---- from 3.14 on: a frame knows its coroutine -------------------------- */

static const char BODY[] = "async def body(): await pause()\n"
                           "import types\n"
                           "@types.coroutine\n"
                           "def pause(): yield\n";

/* {"body": ...}: what the source defines. */
static PyObject *
run_source(void)
{
    PyObject *code = Py_CompileString(BODY, NO_FILE, Py_file_input);
    PyObject *names = code == NULL ? NULL : PyDict_New();
    PyObject *none =
        names == NULL ? NULL : PyEval_EvalCode(code, names, names);
    if (none == NULL) {
        Py_CLEAR(names);
    }
    Py_XDECREF(none);
    Py_XDECREF(code);
    return names;
}

/* body.__code__ under the names of a body of ours. */
static PyObject *
body_code(PyObject *names, const await_kind *kind)
{
    PyObject *body = PyDict_GetItemString(names, "body");
    PyObject *code =
        body == NULL ? NULL : PyObject_GetAttrString(body, "__code__");
    PyObject *replace =
        code == NULL ? NULL : PyObject_GetAttrString(code, "replace");
    PyObject *keywords =
        Py_BuildValue("{ssssss}", "co_name", kind->name, "co_qualname",
                      kind->qualname, "co_filename", NO_FILE);
    PyObject *none = PyTuple_New(0), *renamed = NULL;
    if (replace != NULL && keywords != NULL && none != NULL) {
        renamed = PyObject_Call(replace, none, keywords);
    }
    Py_XDECREF(none);
    Py_XDECREF(keywords);
    Py_XDECREF(replace);
    Py_XDECREF(code);
    return renamed;
}

PyObject *
ouro_await_standin(const await_kind *kind)
{
    PyObject *names = run_source();
    PyObject *code = names == NULL ? NULL : body_code(names, kind);
    PyObject *function = code == NULL ? NULL : PyFunction_New(code, names);
    PyObject *coroutine =
        function == NULL ? NULL : PyObject_CallNoArgs(function);
    if (coroutine != NULL) {
        PyObject *paused =
            PyObject_CallMethod(coroutine, "send", "O", Py_None);
        if (paused == NULL) {
            Py_CLEAR(coroutine);
        }
        Py_XDECREF(paused);
    }
    Py_XDECREF(function);
    Py_XDECREF(code);
    Py_XDECREF(names);
    return coroutine;
}

/* ---- where it comes from ------------------------------------------------ */

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
