/* sigwatch.c - signal handlers that run as callbacks of the loop.
 *
 * Python's C-level handler writes the signal's number into a socket pair
 * (signal.set_wakeup_fd); the loop reads it and schedules the handle.
 */
#include "loop/loop.h"

#include <errno.h>
#include <signal.h>

#include "base/args.h"
#include "loop/handle.h"
#include "loop/selfpipe.h"
#include "loop/steps.h"

/* ---- the pair ---------------------------------------------------------- */

static int
handle_signal(LoopObject *self, int number)
{
    PyObject *signum = PyLong_FromLong(number);
    if (signum == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        (PyObject *)self, self->core.st->str._handle_signal, signum);
    Py_DECREF(signum);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
read_signals(LoopObject *self)
{
    unsigned char numbers[256];
    ssize_t count;
    while ((count = ou_signal_read(&self->signals, numbers, sizeof(numbers)))
           > 0) {
        for (ssize_t i = 0; i < count; i++) {
            if (numbers[i] != 0 && handle_signal(self, numbers[i]) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* The watch is the loop's own: its jobs hold no reference. */
static int
signal_job_run(ou_job *job)
{
    LoopObject *self = OURO_CONTAINER_OF(job, LoopObject, signal_io.in);
    if (!ou_io_take(&self->signal_io, OU_IN)) {
        return 0;
    }
    return read_signals(self);
}

static void
signal_job_nothing(ou_job *job)
{
}

static const ou_job_kind signal_job = {
    .run = signal_job_run,
    .drop = signal_job_nothing,
    .hold = signal_job_nothing,
};

/* Where signals are written to. */
static int
open_signals(LoopObject *self)
{
    if (ouro_loop_refuse_closed(self) < 0) {
        return -1;
    }
    if (self->self_pipe) {
        return ouro_selfpipe_fileno(self);
    }
    if (self->signals.read_fd >= 0) {
        return self->signals.write_fd;
    }
    int error = ou_signal_open(&self->signals);
    if (error == 0) {
        ou_io_init(&self->signal_io, &signal_job, &signal_job);
        error = ou_io_start(&self->core.engine, &self->signal_io,
                            self->signals.read_fd, OU_IN, OU_LEVEL);
        if (error < 0) {
            ou_signal_close(&self->signals);
        }
    }
    return error < 0 ? ouro_raise_errno_int(error) : self->signals.write_fd;
}

/* ---- calls of the signal module ---------------------------------------- */

static int
call_signal(ouro_state *st, const char *function, PyObject *a, PyObject *b)
{
    return ouro_drop_result(PyObject_CallMethod(st->stock.signal, function,
                                                b != NULL ? "OO" : "O", a, b));
}

static int
set_wakeup_fd(ouro_state *st, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    if (number == NULL) {
        return -1;
    }
    int result = call_signal(st, "set_wakeup_fd", number, NULL);
    Py_DECREF(number);
    return result;
}

static bool
refused(void)
{
    return PyErr_ExceptionMatches(PyExc_ValueError)
           || PyErr_ExceptionMatches(PyExc_OSError);
}

/* No signal is watched any more; a failure is logged. Keeps the current
 * exception. */
static int
unset_wakeup_fd(ouro_state *st)
{
    PyObject *outer = PyErr_GetRaisedException();
    int result = set_wakeup_fd(st, -1);
    if (result < 0 && refused()) {
        PyObject *error = PyErr_GetRaisedException();
        result = ouro_loop_log(st, "info", "(sO)",
                               "set_wakeup_fd(-1) failed: %s", error);
        Py_DECREF(error);
    }
    if (outer != NULL) {
        PyErr_Clear();
        PyErr_SetRaisedException(outer);
        return -1;
    }
    return result;
}

/* The current exception becomes the context of a RuntimeError. */
static void
raise_in_context(PyObject *text)
{
    PyObject *cause = PyErr_GetRaisedException();
    PyErr_SetObject(PyExc_RuntimeError, text);
    PyObject *error = PyErr_GetRaisedException();
    PyException_SetContext(error, cause);
    PyErr_SetRaisedException(error);
}

static void
raise_as_runtime_error(void)
{
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *text = PyObject_Str(cause);
    if (text == NULL) {
        Py_DECREF(cause);
        return;
    }
    PyErr_SetRaisedException(cause);
    raise_in_context(text);
    Py_DECREF(text);
}

/* OSError(EINVAL) of signal.signal(): such as SIGKILL. */
static void
raise_if_uncatchable(PyObject *sig)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *number = PyObject_GetAttrString(error, "errno");
    bool invalid = number != NULL && PyLong_Check(number)
                   && PyLong_AsLong(number) == EINVAL;
    Py_XDECREF(number);
    PyErr_Clear();
    PyObject *text = NULL;
    if (invalid) {
        PyObject *shown = PyObject_Format(sig, NULL);
        if (shown != NULL) {
            text = PyUnicode_FromFormat("sig %U cannot be caught", shown);
            Py_DECREF(shown);
        }
    }
    PyErr_SetRaisedException(error);
    if (text != NULL) {
        raise_in_context(text);
        Py_DECREF(text);
    }
}

static int
refuse_signal(ouro_state *st, PyObject *sig)
{
    if (!PyLong_Check(sig)) {
        PyErr_Format(PyExc_TypeError, "sig must be an int, not %R", sig);
        return -1;
    }
    PyObject *valid =
        PyObject_CallMethod(st->stock.signal, "valid_signals", NULL);
    if (valid == NULL) {
        return -1;
    }
    int found = PySequence_Contains(valid, sig);
    Py_DECREF(valid);
    if (found == 0) {
        PyObject *shown = PyObject_Format(sig, NULL);
        if (shown != NULL) {
            PyErr_Format(PyExc_ValueError, "invalid signal number %U", shown);
            Py_DECREF(shown);
        }
    }
    return found > 0 ? 0 : -1;
}

/* self._check_signal(sig) */
static int
check_signal(LoopObject *self, PyObject *sig)
{
    ouro_state *st = self->core.st;
    int done = ouro_loop_by_method(self, st->str._check_signal, sig, NULL);
    return done < 0 ? -1 : done > 0 ? 0 : refuse_signal(st, sig);
}

/* ---- handlers ---------------------------------------------------------- */

/* The table, a new reference: it belongs to Python. */
static PyObject *
get_handlers(LoopObject *self)
{
    return PyObject_GetAttr((PyObject *)self,
                            self->core.st->str._signal_handlers);
}

/* signal.signal(sig, noop), with system calls going on after it. */
static int
install_handler(ouro_state *st, PyObject *sig)
{
    if (call_signal(st, "signal", sig, st->stock.signal_noop) < 0) {
        return -1;
    }
    return call_signal(st, "siginterrupt", sig, Py_False);
}

static int
withdraw_handler(LoopObject *self, PyObject *handlers, PyObject *sig)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    if (PyObject_DelItem(handlers, sig) == 0 && PyObject_Size(handlers) == 0) {
        unset_wakeup_fd(self->core.st);
    }
    PyErr_Clear();
    PyErr_SetRaisedException(error);
    raise_if_uncatchable(sig);
    return -1;
}

static int
add_handler(LoopObject *self, PyObject *sig, PyObject *handle)
{
    PyObject *handlers = get_handlers(self);
    if (handlers == NULL) {
        return -1;
    }
    int result = PyObject_SetItem(handlers, sig, handle);
    if (result == 0) {
        result = install_handler(self->core.st, sig);
        if (result < 0) {
            result = withdraw_handler(self, handlers, sig);
        }
    }
    Py_DECREF(handlers);
    return result;
}

static int
check_handler(LoopObject *self, PyObject *sig, PyObject *callback)
{
    int coroutine = ouro_is_coroutine_or_function(self->core.st, callback);
    if (coroutine != 0) {
        if (coroutine > 0) {
            PyErr_SetString(PyExc_TypeError, "coroutines cannot be used with "
                                             "add_signal_handler()");
        }
        return -1;
    }
    if (check_signal(self, sig) < 0) {
        return -1;
    }
    return ouro_loop_check_closed(self);
}

static PyObject *
loop_add_signal_handler(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_UnixSelectorEventLoop.add_signal_handler",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"sig", "callback", NULL},
        .varargs = true,
    };
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    PyObject *values[2];
    int fd;
    if (ouro_parse(&signature, args, nargs, kwnames, values) < 0
        || check_handler(self, values[0], values[1]) < 0
        || (fd = open_signals(self)) < 0) {
        return NULL;
    }
    /* Fails in any thread but the main one, and before anything changes. */
    if (set_wakeup_fd(st, fd) < 0) {
        if (refused()) {
            raise_as_runtime_error();
        }
        return NULL;
    }
    PyObject *handle = ouro_handle_new(st, op, values[1], args + 2,
                                       nargs > 2 ? nargs - 2 : 0, NULL);
    if (handle == NULL) {
        return NULL;
    }
    int result = add_handler(self, values[0], handle);
    Py_DECREF(handle);
    return ouro_none_or_error(result);
}

/* 1: removed; 0: there was none; -1. */
static int
forget_handler(LoopObject *self, PyObject *sig)
{
    PyObject *handlers = get_handlers(self);
    if (handlers == NULL) {
        return -1;
    }
    int result = 1;
    if (PyObject_DelItem(handlers, sig) < 0) {
        result = -1;
        if (PyErr_ExceptionMatches(PyExc_KeyError)) {
            PyErr_Clear();
            result = 0;
        }
    }
    Py_DECREF(handlers);
    return result;
}

/* SIGINT raises KeyboardInterrupt again, others do what they do. */
static int
restore_default(ouro_state *st, PyObject *sig)
{
    int is_sigint = PyLong_AsLong(sig) == SIGINT;
    PyObject *handler = PyObject_GetAttrString(
        st->stock.signal, is_sigint ? "default_int_handler" : "SIG_DFL");
    if (handler == NULL) {
        return -1;
    }
    int result = call_signal(st, "signal", sig, handler);
    Py_DECREF(handler);
    if (result < 0) {
        raise_if_uncatchable(sig);
    }
    return result;
}

static PyObject *
loop_remove_signal_handler(PyObject *op, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = OURO_ONE_PARAMETER(
        "_UnixSelectorEventLoop.remove_signal_handler", "sig");
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    PyObject *sig;
    if (ouro_parse(&signature, args, nargs, kwnames, &sig) < 0
        || check_signal(self, sig) < 0) {
        return NULL;
    }
    int found = forget_handler(self, sig);
    if (found <= 0) {
        return found < 0 ? NULL : Py_NewRef(Py_False);
    }
    if (restore_default(st, sig) < 0) {
        return NULL;
    }
    PyObject *handlers = get_handlers(self);
    Py_ssize_t left = handlers != NULL ? PyObject_Size(handlers) : -1;
    Py_XDECREF(handlers);
    if (left < 0 || (left == 0 && unset_wakeup_fd(st) < 0)) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

static PyObject *
loop_handle_signal(PyObject *op, PyObject *sig)
{
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    PyObject *handlers = get_handlers(self);
    if (handlers == NULL) {
        return NULL;
    }
    PyObject *handle = PyObject_GetItem(handlers, sig);
    Py_DECREF(handlers);
    if (handle == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return NULL;
        }
        PyErr_Clear(); /* removed in the meantime */
        Py_RETURN_NONE;
    }
    PyObject *cancelled = PyObject_GetAttr(handle, st->str._cancelled);
    PyObject *result = NULL;
    if (cancelled != NULL) {
        int truth = PyObject_IsTrue(cancelled);
        Py_DECREF(cancelled);
        if (truth >= 0) {
            result = PyObject_CallMethodOneArg(
                op,
                truth ? st->str.remove_signal_handler
                      : st->str._add_callback_signalsafe,
                truth ? sig : handle);
        }
    }
    Py_DECREF(handle);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

static PyObject *
loop_check_signal(PyObject *op, PyObject *sig)
{
    if (refuse_signal(((LoopObject *)op)->core.st, sig) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- close ------------------------------------------------------------- */

/* for sig in list(self._signal_handlers): self.remove_signal_handler(sig) */
static int
remove_all(LoopObject *self)
{
    PyObject *numbers = PySequence_List(self->signal_handlers);
    int result = numbers == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(numbers); i++) {
        PyObject *removed = PyObject_CallMethodOneArg(
            (PyObject *)self, self->core.st->str.remove_signal_handler,
            PyList_GET_ITEM(numbers, i));
        Py_XDECREF(removed);
        result = removed == NULL ? -1 : 0;
    }
    Py_XDECREF(numbers);
    return result;
}

static int
skip_removal(LoopObject *self)
{
    if (PyErr_ResourceWarning((PyObject *)self, 1,
                              "Closing the loop %R on interpreter shutdown "
                              "stage, skipping signal handlers removal",
                              self)
        < 0) {
        return -1;
    }
    return ouro_drop_result(PyObject_CallMethodNoArgs(
        self->signal_handlers, self->core.st->str.clear));
}

int
ouro_signals_close(LoopObject *self)
{
    int result = 0;
    Py_ssize_t count = self->signal_handlers == NULL
                           ? 0
                           : PyObject_Size(self->signal_handlers);
    if (count > 0) {
        PyObject *finalizing =
            PyObject_CallNoArgs(self->core.st->stock.is_finalizing);
        if (finalizing == NULL) {
            return -1;
        }
        result = finalizing == Py_True ? skip_removal(self) : remove_all(self);
        Py_DECREF(finalizing);
    }
    ou_signal_close(&self->signals);
    return count < 0 ? -1 : result;
}

/* What Python calls for a signal of ours: the number is on its way. */
static PyObject *
sighandler_noop(PyObject *module, PyObject *args)
{
    Py_RETURN_NONE;
}

PyDoc_STRVAR(add_signal_handler_doc,
             "add_signal_handler($self, sig, callback, *args)\n--\n\n\
Call the callback with args in a turn of the loop when the signal arrives.\n\
\n\
Raises ValueError for a number that is no signal or cannot be caught, and\n\
RuntimeError if the handler cannot be set up.");
PyDoc_STRVAR(remove_signal_handler_doc,
             "remove_signal_handler($self, sig)\n--\n\n\
Remove the handler of a signal; return False if there was none.");
PyDoc_STRVAR(handle_signal_doc, "_handle_signal($self, sig)\n--\n\n");
PyDoc_STRVAR(check_signal_doc, "_check_signal($self, sig)\n--\n\n");

static PyMethodDef methods[] = {
    OURO_METHOD("add_signal_handler", loop_add_signal_handler,
                add_signal_handler_doc),
    OURO_METHOD("remove_signal_handler", loop_remove_signal_handler,
                remove_signal_handler_doc),
    {"_handle_signal", loop_handle_signal, METH_O, handle_signal_doc},
    {"_check_signal", loop_check_signal, METH_O, check_signal_doc},
    {NULL},
};

static PyMethodDef noop = {"_sighandler_noop", sighandler_noop, METH_VARARGS,
                           NULL};

int
ouro_sigwatch_setup(PyObject *module, ouro_state *st)
{
    st->stock.signal_noop = PyCFunction_NewEx(&noop, module, NULL);
    if (st->stock.signal_noop == NULL) {
        return -1;
    }
    return ouro_loop_add_methods(st, methods);
}
