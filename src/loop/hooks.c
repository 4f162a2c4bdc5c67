/* hooks.c - what happens to exceptions that nobody catches.
 *
 * A dict that describes the case goes to call_exception_handler(), from there
 * to the user's handler or to default_exception_handler(), which logs it.
 */
#include "loop/loop.h"

#include "base/args.h"

/* ---- the user's handler ------------------------------------------------ */

static PyObject *
loop_get_exception_handler(PyObject *op, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *handler = ((LoopObject *)op)->exception_handler;
    if (ouro_parse_none("BaseEventLoop.get_exception_handler", args, nargs,
                        kwnames)
        < 0) {
        return NULL;
    }
    return Py_NewRef(handler != NULL ? handler : Py_None);
}

static PyObject *
loop_set_exception_handler(PyObject *op, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseEventLoop.set_exception_handler", "handler");
    LoopObject *self = (LoopObject *)op;
    PyObject *handler;
    if (ouro_parse(&signature, args, nargs, kwnames, &handler) < 0) {
        return NULL;
    }
    if (handler != Py_None && !PyCallable_Check(handler)) {
        PyErr_Format(PyExc_TypeError,
                     "A callable object or None is expected, got %R", handler);
        return NULL;
    }
    Py_XSETREF(self->exception_handler,
               handler == Py_None ? NULL : Py_NewRef(handler));
    Py_RETURN_NONE;
}

/* ---- the default handler ----------------------------------------------- */

/* context.get(name): a new reference, None where there is nothing. */
static PyObject *
context_get(PyObject *context, PyObject *name)
{
    if (PyDict_CheckExact(context)) {
        PyObject *value = PyDict_GetItemWithError(context, name);
        if (value == NULL && PyErr_Occurred()) {
            return NULL;
        }
        return Py_NewRef(value != NULL ? value : Py_None);
    }
    return PyObject_CallMethod(context, "get", "O", name);
}

/* "<head> created at (most recent call last):" and the formatted frames. */
static PyObject *
format_traceback(ouro_state *st, const char *head, PyObject *frames)
{
    PyObject *text = NULL, *joined = NULL, *stripped = NULL;
    PyObject *lines =
        PyObject_CallMethod(st->stock.traceback, "format_list", "O", frames);
    PyObject *empty = PyUnicode_FromString("");
    if (lines != NULL && empty != NULL) {
        joined = PyUnicode_Join(empty, lines);
    }
    if (joined != NULL) {
        stripped = PyObject_CallMethod(joined, "rstrip", NULL);
    }
    if (stripped != NULL) {
        text = PyUnicode_FromFormat(
            "%s created at (most recent call last):\n%U", head, stripped);
    }
    Py_XDECREF(stripped);
    Py_XDECREF(joined);
    Py_XDECREF(empty);
    Py_XDECREF(lines);
    return text;
}

static PyObject *
format_value(ouro_state *st, PyObject *key, PyObject *value)
{
    if (PyUnicode_Check(key)) {
        if (PyUnicode_CompareWithASCIIString(key, "source_traceback") == 0) {
            return format_traceback(st, "Object", value);
        }
        if (PyUnicode_CompareWithASCIIString(key, "handle_traceback") == 0) {
            return format_traceback(st, "Handle", value);
        }
    }
    return PyObject_Repr(value);
}

static bool
shown_elsewhere(PyObject *key)
{
    return PyUnicode_Check(key)
           && (PyUnicode_CompareWithASCIIString(key, "message") == 0
               || PyUnicode_CompareWithASCIIString(key, "exception") == 0);
}

static int
append_line(ouro_state *st, PyObject *lines, PyObject *context, PyObject *key)
{
    PyObject *value = PyObject_GetItem(context, key);
    if (value == NULL) {
        return -1;
    }
    PyObject *shown = format_value(st, key, value);
    Py_DECREF(value);
    if (shown == NULL) {
        return -1;
    }
    PyObject *line = PyUnicode_FromFormat("%S: %U", key, shown);
    Py_DECREF(shown);
    int result = line == NULL ? -1 : PyList_Append(lines, line);
    Py_XDECREF(line);
    return result;
}

/* The text of the log record: the message, then a line for each key. */
static PyObject *
format_context(ouro_state *st, PyObject *message, PyObject *context)
{
    PyObject *text = NULL;
    PyObject *lines = PyList_New(0);
    PyObject *keys = PySequence_List(context);
    if (lines == NULL || keys == NULL || PyList_Append(lines, message) < 0
        || PyList_Sort(keys) < 0) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i);
        if (!shown_elsewhere(key)
            && append_line(st, lines, context, key) < 0) {
            goto done;
        }
    }
    PyObject *newline = PyUnicode_FromString("\n");
    if (newline != NULL) {
        text = PyUnicode_Join(newline, lines);
        Py_DECREF(newline);
    }
done:
    Py_XDECREF(keys);
    Py_XDECREF(lines);
    return text;
}

/* In debug mode: where the handle came from in whose run this happened. */
static int
add_handle_traceback(LoopObject *self, PyObject *context)
{
    ouro_state *st = self->core.st;
    PyObject *handle = self->current_handle;
    if (handle == NULL || handle == Py_None) {
        return 0;
    }
    int known = PySequence_Contains(context, st->str.source_traceback);
    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    Py_INCREF(handle);
    PyObject *frames = PyObject_GetAttr(handle, st->str._source_traceback);
    Py_DECREF(handle);
    if (frames == NULL) {
        return -1;
    }
    int result = PyObject_IsTrue(frames);
    if (result > 0) {
        PyObject *key = PyUnicode_FromString("handle_traceback");
        result = key == NULL ? -1 : PyObject_SetItem(context, key, frames);
        Py_XDECREF(key);
    }
    Py_DECREF(frames);
    return result;
}

/* What logging takes as exc_info. */
static PyObject *
exc_info(PyObject *error)
{
    if (error == Py_None) {
        return Py_NewRef(Py_False);
    }
    PyObject *traceback = PyObject_GetAttrString(error, "__traceback__");
    if (traceback == NULL) {
        return NULL;
    }
    PyObject *info =
        PyTuple_Pack(3, (PyObject *)Py_TYPE(error), error, traceback);
    Py_DECREF(traceback);
    return info;
}

/* The same with exc_info=exc_info, which is consumed (NULL: error). */
static int
log_error(ouro_state *st, PyObject *message, PyObject *info)
{
    PyObject *result = NULL;
    PyObject *kwnames = PyTuple_Pack(1, st->str.exc_info);
    if (info != NULL && kwnames != NULL) {
        PyObject *args[] = {st->stock.logger, message, info};
        result = PyObject_VectorcallMethod(st->str.error, args, 2, kwnames);
    }
    Py_XDECREF(kwnames);
    Py_XDECREF(info);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *
message_of(ouro_state *st, PyObject *context)
{
    PyObject *message = context_get(context, st->str.message);
    if (message == NULL) {
        return NULL;
    }
    int some = PyObject_IsTrue(message);
    if (some > 0) {
        return message;
    }
    Py_DECREF(message);
    return some < 0
               ? NULL
               : PyUnicode_FromString("Unhandled exception in event loop");
}

static PyObject *
loop_default_exception_handler(PyObject *op, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = OURO_ONE_PARAMETER(
        "BaseEventLoop.default_exception_handler", "context");
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    PyObject *context;
    if (ouro_parse(&signature, args, nargs, kwnames, &context) < 0) {
        return NULL;
    }
    int result = -1;
    PyObject *text = NULL, *error = NULL;
    PyObject *message = message_of(st, context);
    if (message != NULL) {
        error = context_get(context, st->str.exception);
    }
    if (error != NULL && add_handle_traceback(self, context) == 0) {
        text = format_context(st, message, context);
    }
    if (text != NULL) {
        result = log_error(st, text, exc_info(error));
    }
    Py_XDECREF(text);
    Py_XDECREF(error);
    Py_XDECREF(message);
    return ouro_none_or_error(result);
}

/* ---- calling them ------------------------------------------------------ */

/* logger.error(message, exc_info=True) in an except block. */
static int
log_broken_handler(ouro_state *st, const char *text)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    PyObject *message = PyUnicode_FromString(text);
    int result =
        message == NULL ? -1 : log_error(st, message, Py_NewRef(Py_True));
    Py_XDECREF(message);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    Py_DECREF(error);
    return result;
}

/* self.default_exception_handler(context), with a second line of defence. */
static int
call_default_handler(LoopObject *self, PyObject *context, const char *broken)
{
    ouro_state *st = self->core.st;
    PyObject *result = PyObject_CallMethodOneArg(
        (PyObject *)self, st->str.default_exception_handler, context);
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    return ouro_error_leaves_loop() ? -1 : log_broken_handler(st, broken);
}

/* In newer versions the handler runs in the context of who failed, the first
 * of task, future and handle: *ret_run is that context's run() (owned), or
 * NULL if there is none.  -1: exception. */
static int
failing_context(ouro_state *st, PyObject *context, PyObject **ret_run)
{
    PyObject *names[] = {st->str.task, st->str.future, st->str.handle};
    PyObject *thing = NULL;
    *ret_run = NULL;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        Py_XSETREF(thing, context_get(context, names[i]));
        if (thing == NULL) {
            return -1;
        }
        if (thing != Py_None) {
            break;
        }
    }
    PyObject *get_context;
    int found =
        PyObject_GetOptionalAttr(thing, st->str.get_context, &get_context);
    Py_DECREF(thing);
    if (found <= 0) {
        return found;
    }
    PyObject *variables = PyObject_CallNoArgs(get_context);
    Py_DECREF(get_context);
    if (variables == NULL) {
        return -1;
    }
    found = PyObject_GetOptionalAttr(variables, st->str.run, ret_run);
    Py_DECREF(variables);
    return found;
}

static PyObject *
call_user_handler(LoopObject *self, PyObject *handler, PyObject *context)
{
    ouro_state *st = self->core.st;
    PyObject *args[] = {handler, (PyObject *)self, context};
    PyObject *run = NULL;
    if (st->has.loop.handler_context
        && failing_context(st, context, &run) < 0) {
        return NULL;
    }
    PyObject *result = run == NULL
                           ? PyObject_Vectorcall(handler, args + 1, 2, NULL)
                           : PyObject_Vectorcall(run, args, 3, NULL);
    Py_XDECREF(run);
    return result;
}

/* The user's handler has raised: tell the default one. */
static int
report_handler_error(LoopObject *self, PyObject *context)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    PyObject *report = Py_BuildValue("{sssOsO}", "message",
                                     "Unhandled error in exception handler",
                                     "exception", error, "context", context);
    int result = -1;
    if (report != NULL) {
        result = call_default_handler(
            self, report,
            "Exception in default exception handler while handling an "
            "unexpected error in custom exception handler");
        Py_DECREF(report);
    }
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    Py_DECREF(error);
    return result;
}

static PyObject *
loop_call_exception_handler(PyObject *op, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseEventLoop.call_exception_handler", "context");
    LoopObject *self = (LoopObject *)op;
    PyObject *context;
    if (ouro_parse(&signature, args, nargs, kwnames, &context) < 0) {
        return NULL;
    }
    int result = 0;
    PyObject *handler = self->exception_handler;
    if (handler == NULL || handler == Py_None) {
        result = call_default_handler(self, context,
                                      "Exception in default exception "
                                      "handler");
    }
    else {
        Py_INCREF(handler);
        PyObject *value = call_user_handler(self, handler, context);
        Py_DECREF(handler);
        if (value == NULL) {
            result = report_handler_error(self, context);
        }
        Py_XDECREF(value);
    }
    return ouro_none_or_error(result);
}

PyDoc_STRVAR(get_exception_handler_doc,
             "get_exception_handler($self, /)\n--\n\n\
Return the exception handler, or None if the default one is in use.");
PyDoc_STRVAR(set_exception_handler_doc,
             "set_exception_handler($self, handler)\n--\n\n\
Have handler(loop, context) called for exceptions that nobody catches;\n\
None brings the default handler back.  context is a dict, see\n\
call_exception_handler().");
PyDoc_STRVAR(default_exception_handler_doc,
             "default_exception_handler($self, context)\n--\n\n\
Log the exception and what is known about it.");
PyDoc_STRVAR(call_exception_handler_doc,
             "call_exception_handler($self, context)\n--\n\n\
Call the loop's exception handler with a dict that has the key 'message'\n\
and may have 'exception', 'future', 'task', 'handle', 'protocol',\n\
'transport', 'socket', 'asyncgen' and more.");

static PyMethodDef methods[] = {
    OURO_METHOD("get_exception_handler", loop_get_exception_handler,
                get_exception_handler_doc),
    OURO_METHOD("set_exception_handler", loop_set_exception_handler,
                set_exception_handler_doc),
    OURO_METHOD("default_exception_handler", loop_default_exception_handler,
                default_exception_handler_doc),
    OURO_METHOD("call_exception_handler", loop_call_exception_handler,
                call_exception_handler_doc),
    {NULL},
};

int
ouro_hooks_setup(PyObject *module, ouro_state *st)
{
    return ouro_loop_add_methods(st, methods);
}
