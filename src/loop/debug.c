/* debug.c - debug mode: checks of what is scheduled and from where, slow
 * callbacks, the origins of coroutines.
 */
#include "loop/loop.h"

#include <stdarg.h>

#include "base/args.h"
#include "loop/handle.h"
#include "loop/steps.h"
#include "task/task.h"

/* ---- the log ----------------------------------------------------------- */

int
ouro_loop_log(ouro_state *st, const char *level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *args = Py_VaBuildValue(format, arguments);
    va_end(arguments);
    PyObject *method = PyObject_GetAttrString(st->stock.logger, level);
    PyObject *result = NULL;
    if (args != NULL && method != NULL) {
        result = PyObject_Call(method, args, NULL);
    }
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- slow callbacks ---------------------------------------------------- */

/* A task's step is shown as the task. */
static PyObject *
format_handle(ouro_state *st, PyObject *handle)
{
    PyObject *callback = PyObject_GetAttr(handle, st->str._callback);
    if (callback == NULL) {
        return NULL;
    }
    PyObject *self, *text = NULL;
    int found = PyObject_GetOptionalAttr(callback, st->str.__self__, &self);
    Py_DECREF(callback);
    if (found < 0) {
        return NULL;
    }
    if (self != NULL) {
        int is_task = ouro_task_check(st, self)
                          ? 1
                          : PyObject_IsInstance(self, st->stock.stock_Task);
        if (is_task != 0) {
            text = is_task < 0 ? NULL : PyObject_Repr(self);
            Py_DECREF(self);
            return text;
        }
        Py_DECREF(self);
    }
    return PyObject_Str(handle);
}

int
ouro_debug_log_slow(LoopObject *self, PyObject *handle, double start)
{
    double took = ouro_loop_seconds(self) - start;
    if (PyErr_Occurred()) {
        return -1;
    }
    if (self->slow_callback_duration == NULL) {
        return 0;
    }
    PyObject *duration = PyFloat_FromDouble(took);
    if (duration == NULL) {
        return -1;
    }
    PyObject *limit = Py_NewRef(self->slow_callback_duration);
    int slow = PyObject_RichCompareBool(duration, limit, Py_GE);
    Py_DECREF(limit);
    if (slow > 0) {
        PyObject *text = format_handle(self->core.st, handle);
        slow = text == NULL ? -1
                            : ouro_loop_log(self->core.st, "warning", "(sNO)",
                                            "Executing %s took %.3f seconds",
                                            text, duration);
    }
    Py_DECREF(duration);
    return slow;
}

/* ---- checks ------------------------------------------------------------ */

static int
refuse_thread(LoopObject *self)
{
    if (ouro_loop_elsewhere(self)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Non-thread-safe operation invoked on an event loop "
                        "other than the current one");
        return -1;
    }
    return 0;
}

int
ouro_loop_check_thread(LoopObject *self)
{
    int done =
        ouro_loop_by_method(self, self->core.st->str._check_thread, NULL);
    return done < 0 ? -1 : done > 0 ? 0 : refuse_thread(self);
}

int
ouro_is_coroutine_or_function(ouro_state *st, PyObject *callback)
{
    const char *names[] = {"iscoroutine", st->has.loop.private_coroutine_check
                                              ? "_iscoroutinefunction"
                                              : "iscoroutinefunction"};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        PyObject *found =
            PyObject_CallMethod(st->stock.coroutines, names[i], "O", callback);
        if (found == NULL) {
            return -1;
        }
        int truth = PyObject_IsTrue(found);
        Py_DECREF(found);
        if (truth != 0) {
            return truth;
        }
    }
    return 0;
}

static int
refuse_callback(LoopObject *self, PyObject *callback, const char *method)
{
    int coroutine = ouro_is_coroutine_or_function(self->core.st, callback);
    if (coroutine < 0) {
        return -1;
    }
    if (coroutine) {
        PyErr_Format(PyExc_TypeError, "coroutines cannot be used with %s()",
                     method);
        return -1;
    }
    if (!PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError,
                     "a callable object was expected by %s(), got %R", method,
                     callback);
        return -1;
    }
    return 0;
}

int
ouro_loop_check_callback(LoopObject *self, PyObject *callback,
                         const char *method)
{
    if (!ouro_loop_plain(self)) {
        PyObject *name = PyUnicode_FromString(method);
        if (name == NULL) {
            return -1;
        }
        int called = ouro_loop_by_method(
            self, self->core.st->str._check_callback, callback, name, NULL);
        Py_DECREF(name);
        if (called != 0) {
            return called < 0 ? -1 : 0;
        }
    }
    return refuse_callback(self, callback, method);
}

static PyObject *
loop_check_thread(PyObject *op, PyObject *ignored)
{
    if (refuse_thread((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_check_callback(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._check_callback",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"callback", "method", NULL},
    };
    PyObject *values[2];
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    PyObject *method = PyObject_Str(values[1]);
    const char *name = method != NULL ? PyUnicode_AsUTF8(method) : NULL;
    int result =
        name == NULL ? -1 : refuse_callback((LoopObject *)op, values[0], name);
    Py_XDECREF(method);
    return ouro_none_or_error(result);
}

/* ---- origins of coroutines --------------------------------------------- */

static int
set_origin_depth(ouro_state *st, PyObject *depth)
{
    return ouro_drop_result(
        PyObject_CallOneArg(st->stock.set_origin_depth, depth));
}

/* asyncio.constants.DEBUG_STACK_DEPTH */
enum { DEBUG_STACK_DEPTH = 10 };

static int
track_origins(LoopObject *self, bool enabled)
{
    if (enabled == self->tracks_origins) {
        return 0;
    }
    int result = -1;
    if (enabled) {
        PyObject *saved =
            PyObject_CallNoArgs(self->core.st->stock.get_origin_depth);
        PyObject *depth = PyLong_FromLong(DEBUG_STACK_DEPTH);
        if (saved != NULL && depth != NULL) {
            Py_XSETREF(self->origin_depth, Py_NewRef(saved));
            result = set_origin_depth(self->core.st, depth);
        }
        Py_XDECREF(saved);
        Py_XDECREF(depth);
    }
    else {
        /* (NULL: somebody has deleted it.) */
        PyObject *saved = Py_NewRef(
            self->origin_depth != NULL ? self->origin_depth : Py_None);
        result = set_origin_depth(self->core.st, saved);
        Py_DECREF(saved);
    }
    if (result == 0) {
        self->tracks_origins = enabled;
    }
    return result;
}

int
ouro_loop_track_origins(LoopObject *self, bool enabled)
{
    PyObject *flag = enabled ? Py_True : Py_False;
    int done = ouro_loop_by_method(
        self, self->core.st->str._set_coroutine_origin_tracking, flag, NULL);
    return done < 0 ? -1 : done > 0 ? 0 : track_origins(self, enabled);
}

static PyObject *
loop_set_origin_tracking(PyObject *op, PyObject *enabled)
{
    int truth = PyObject_IsTrue(enabled);
    if (truth < 0 || track_origins((LoopObject *)op, truth) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the switch -------------------------------------------------------- */

static PyObject *
loop_get_debug(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    PyObject *debug = ((LoopObject *)op)->debug;
    if (ouro_parse_none("BaseEventLoop.get_debug", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return Py_NewRef(debug != NULL ? debug : Py_False);
}

/* self.call_soon_threadsafe(self._set_coroutine_origin_tracking, enabled) */
static int
track_origins_soon(PyObject *op, PyObject *enabled)
{
    ouro_state *st = ((LoopObject *)op)->core.st;
    PyObject *method =
        PyObject_GetAttr(op, st->str._set_coroutine_origin_tracking);
    if (method == NULL) {
        return -1;
    }
    PyObject *args[] = {op, method, enabled};
    PyObject *handle =
        PyObject_VectorcallMethod(st->str.call_soon_threadsafe, args, 3, NULL);
    Py_DECREF(method);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

static PyObject *
loop_set_debug(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseEventLoop.set_debug", "enabled");
    ouro_state *st = ((LoopObject *)op)->core.st;
    PyObject *enabled;
    if (ouro_parse(&signature, args, nargs, kwnames, &enabled) < 0
        || PyObject_SetAttr(op, st->str._debug, enabled) < 0) {
        return NULL;
    }
    PyObject *running = PyObject_CallMethodNoArgs(op, st->str.is_running);
    if (running == NULL) {
        return NULL;
    }
    int truth = PyObject_IsTrue(running);
    Py_DECREF(running);
    if (truth < 0 || (truth && track_origins_soon(op, enabled) < 0)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_debug_doc, "get_debug($self, /)\n--\n\n\
Return True if the loop is in debug mode.");
PyDoc_STRVAR(set_debug_doc, "set_debug($self, enabled)\n--\n\n\
Switch the loop's debug mode on or off; may be called while it runs, from\n\
any thread.");
PyDoc_STRVAR(check_thread_doc, "_check_thread($self, /)\n--\n\n\
Check that the current thread is the one that runs the loop.");
PyDoc_STRVAR(check_callback_doc,
             "_check_callback($self, callback, method)\n--\n\n");
PyDoc_STRVAR(set_origin_tracking_doc,
             "_set_coroutine_origin_tracking($self, enabled)\n--\n\n");

static PyMethodDef methods[] = {
    OURO_METHOD("get_debug", loop_get_debug, get_debug_doc),
    OURO_METHOD("set_debug", loop_set_debug, set_debug_doc),
    {"_check_thread", loop_check_thread, METH_NOARGS, check_thread_doc},
    OURO_METHOD("_check_callback", loop_check_callback, check_callback_doc),
    {"_set_coroutine_origin_tracking", loop_set_origin_tracking, METH_O,
     set_origin_tracking_doc},
    {NULL},
};

int
ouro_debug_setup(PyObject *module, ouro_state *st)
{
    return ouro_loop_add_methods(st, methods);
}
