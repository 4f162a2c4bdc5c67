/* subprocess_start.c - loop.subprocess_exec() and subprocess_shell(), and who
 * watches for the end of what they start.
 *
 * A child watcher (up to 3.13) that the program has set is obeyed.  While
 * nobody has set or asked for one, the transport watches for itself.
 */
#include "net/subprocess.h"

#include "base/args.h"
#include "base/rooms.h"
#include "loop/frame.h"
#include "loop/steps.h"
#include "net/methods.h"
#include "task/future.h"

/* ---- child watchers ---------------------------------------------------- */

/* events.get_child_watcher(), without its DeprecationWarning. */
static PyObject *
ask_for_watcher(ouro_state *st)
{
    PyObject *warnings = PyImport_ImportModule("warnings");
    PyObject *caught =
        warnings == NULL
            ? NULL
            : PyObject_CallMethod(warnings, "catch_warnings", NULL);
    PyObject *entered =
        caught == NULL ? NULL : PyObject_CallMethod(caught, "__enter__", NULL);
    PyObject *watcher = NULL;
    if (entered != NULL) {
        PyObject *ignored =
            PyObject_CallMethod(warnings, "simplefilter", "sO", "ignore",
                                PyExc_DeprecationWarning);
        if (ignored != NULL) {
            watcher = PyObject_CallMethod(st->stock.events,
                                          "get_child_watcher", NULL);
            Py_DECREF(ignored);
        }
        PyObject *exception = PyErr_GetRaisedException();
        PyObject *left = PyObject_CallMethod(caught, "__exit__", "OOO",
                                             Py_None, Py_None, Py_None);
        if (exception != NULL) {
            Py_XDECREF(left);
            PyErr_SetRaisedException(exception);
        }
        else if (left == NULL) {
            Py_CLEAR(watcher);
        }
        else {
            Py_DECREF(left);
        }
    }
    Py_XDECREF(warnings);
    Py_XDECREF(caught);
    Py_XDECREF(entered);
    return watcher;
}

/* Whether asking for the watcher would be asyncio's own doing: 1, 0, -1. */
static int
watcher_is_stock(ouro_state *st, PyObject *policy)
{
    PyObject *function =
        PyObject_GetAttr(st->stock.events, st->str.get_child_watcher);
    PyObject *method =
        function == NULL ? NULL
                         : PyObject_GetAttr(policy, st->str.get_child_watcher);
    int result = -1;
    if (method != NULL) {
        result = function == st->stock.get_child_watcher
                 && PyMethod_Check(method)
                 && PyMethod_GET_FUNCTION(method)
                        == st->stock.policy_get_child_watcher;
    }
    Py_XDECREF(function);
    Py_XDECREF(method);
    return result;
}

/* The child watcher to be obeyed (owned); None: nobody has set one. */
static PyObject *
find_watcher(ouro_state *st)
{
    if (st->stock.get_child_watcher == NULL) {
        return Py_NewRef(Py_None);
    }
    PyObject *policy = PyObject_CallMethodNoArgs(
        st->stock.events, st->str.get_event_loop_policy);
    if (policy == NULL) {
        return NULL;
    }
    int stock = watcher_is_stock(st, policy);
    PyObject *watcher = stock < 0 ? NULL
                        : stock > 0
                            ? PyObject_GetAttr(policy, st->str._watcher)
                            : ask_for_watcher(st);
    Py_DECREF(policy);
    return watcher;
}

/* `with watcher`: the one that is used then (owned), on 3.11 what __enter__()
 * has returned. */
static PyObject *
enter_watcher(ouro_state *st, PyObject *watcher)
{
    PyObject *entered = PyObject_CallMethod(watcher, "__enter__", NULL);
    if (entered != NULL && !st->has.process.enters_watcher) {
        Py_SETREF(entered, Py_NewRef(watcher));
    }
    return entered;
}

static int
check_active(PyObject *watcher)
{
    int truth = ouro_truth_of(PyObject_CallMethod(watcher, "is_active", NULL));
    if (truth == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "asyncio.get_child_watcher() is not activated, "
                        "subprocess support is not installed.");
    }
    return truth > 0 ? 0 : -1;
}

/* watcher.__exit__(), with the current exception if there is one: 0, 1 if it
 * was swallowed, -1 with what is raised from there. */
static int
leave_watcher(PyObject *watcher)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *left;
    if (exception == NULL) {
        left = PyObject_CallMethod(watcher, "__exit__", "OOO", Py_None,
                                   Py_None, Py_None);
        Py_XDECREF(left);
        return left == NULL ? -1 : 0;
    }
    PyObject *traceback = PyException_GetTraceback(exception);
    left = PyObject_CallMethod(watcher, "__exit__", "OOO", Py_TYPE(exception),
                               exception,
                               traceback == NULL ? Py_None : traceback);
    Py_XDECREF(traceback);
    int swallowed = left == NULL ? -1 : PyObject_IsTrue(left);
    Py_XDECREF(left);
    if (swallowed == 0) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    Py_DECREF(exception);
    return swallowed;
}

/* ---- _make_subprocess_transport() -------------------------------------- */

enum {
    MAKE_PROTOCOL,
    MAKE_ARGS,
    MAKE_SHELL,
    MAKE_STDIN,
    MAKE_STDOUT,
    MAKE_STDERR,
    MAKE_BUFSIZE,
    MAKE_EXTRA,
    MAKE_GIVEN,
    MAKE_KWARGS = MAKE_GIVEN,
    MAKE_WATCHER, /* the one that is used, */
    MAKE_LEFT,    /* and the one to be left */
    MAKE_TRANSPORT,
    MAKE_ERROR,
    MAKE_COUNT,
};

enum { MAKE_START, MAKE_WAITING, MAKE_CLEANING };

/* The watcher is left, whatever the outcome. */
static await_status
make_finish(AwaitObject *self, PyObject **ret)
{
    PyObject *watcher = ouro_frame_get(self, MAKE_LEFT);
    int result = PyErr_Occurred() ? -1 : 0;
    if (watcher != Py_None) {
        result = leave_watcher(watcher);
    }
    if (result < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(ouro_frame_get(self, MAKE_TRANSPORT));
    return AWAIT_RETURN;
}

static PyObject *
make_transport(ouro_state *st, AwaitObject *self, PyObject *waiter)
{
    PyTypeObject *type = st->types.SubprocessTransport;
    PyObject *object = type->tp_new(type, NULL, NULL);
    if (object == NULL) {
        return NULL;
    }
    subprocess_options options = {
        .args = ouro_frame_get(self, MAKE_ARGS),
        .shell = ouro_frame_get(self, MAKE_SHELL),
        .stdio = {ouro_frame_get(self, MAKE_STDIN),
                  ouro_frame_get(self, MAKE_STDOUT),
                  ouro_frame_get(self, MAKE_STDERR)},
        .bufsize = ouro_frame_get(self, MAKE_BUFSIZE),
        .kwargs = ouro_frame_get(self, MAKE_KWARGS),
    };
    PyObject *extra = ouro_frame_get(self, MAKE_EXTRA);
    if (ouro_subprocess_init(st, ouro_subprocess(object), self->owner,
                             ouro_frame_get(self, MAKE_PROTOCOL), &options,
                             waiter, extra == Py_None ? NULL : extra)
        < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        Py_DECREF(object);
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    return object;
}

static int
make_watch(AwaitObject *self, PyObject *transport)
{
    PyObject *watcher = ouro_frame_get(self, MAKE_WATCHER);
    if (watcher == Py_None) {
        return ouro_subprocess_watch(ouro_subprocess(transport));
    }
    PyObject *callback =
        PyObject_GetAttrString(self->owner, "_child_watcher_callback");
    PyObject *added = NULL;
    if (callback != NULL) {
        added = PyObject_CallMethod(watcher, "add_child_handler", "OOO",
                                    ouro_subprocess(transport)->pid, callback,
                                    transport);
    }
    Py_XDECREF(callback);
    Py_XDECREF(added);
    return added == NULL ? -1 : 0;
}

static await_status
make_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *watcher = find_watcher(st);
    if (watcher == NULL) {
        return AWAIT_ERROR;
    }
    if (watcher != Py_None) {
        PyObject *entered = enter_watcher(st, watcher);
        if (entered == NULL) {
            Py_DECREF(watcher);
            return AWAIT_ERROR;
        }
        ouro_frame_set(self, MAKE_WATCHER, entered);
        ouro_frame_set(self, MAKE_LEFT, watcher);
        if (check_active(entered) < 0) {
            return make_finish(self, ret);
        }
    }
    else {
        Py_DECREF(watcher);
    }
    PyObject *waiter = ouro_create_future(st, self->owner);
    PyObject *transport =
        waiter == NULL ? NULL : make_transport(st, self, waiter);
    if (transport == NULL) {
        Py_XDECREF(waiter);
        return make_finish(self, ret);
    }
    ouro_frame_set(self, MAKE_TRANSPORT, transport);
    if (make_watch(self, transport) < 0) {
        Py_DECREF(waiter);
        return make_finish(self, ret);
    }
    self->step = MAKE_WAITING;
    *ret = waiter;
    return AWAIT_FUTURE;
}

static await_status
make_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step == MAKE_START) {
        return make_start(st, self, ret);
    }
    if (self->step == MAKE_CLEANING) {
        /* The child has ended: on with what has gone wrong. */
        ouro_raise(ouro_frame_get(self, MAKE_ERROR));
    }
    return make_finish(self, ret);
}

/* transp._wait(), from 3.14 on shielded. */
static PyObject *
make_wait(ouro_state *st, PyObject *transport)
{
    PyObject *coro = ouro_subprocess_wait(ouro_subprocess(transport));
    if (coro == NULL || !st->has.process.wait_shielded) {
        return coro;
    }
    PyObject *shielded = PyObject_CallMethod(st->module, "shield", "O", coro);
    Py_DECREF(coro);
    return shielded;
}

/* It was cancelled, or the pipes could not be connected: kill the child, and
 * wait until it has ended. */
static await_status
make_abort(AwaitObject *self, PyObject **ret)
{
    if (self->step == MAKE_CLEANING || ouro_error_leaves_loop()) {
        return make_finish(self, ret);
    }
    ouro_state *st = ouro_state_of(self->owner);
    PyObject *exception = PyErr_GetRaisedException();
    ouro_frame_set(self, MAKE_ERROR, Py_NewRef(exception));
    PyObject *transport = ouro_frame_get(self, MAKE_TRANSPORT);
    *ret = ouro_subprocess_close(st, ouro_subprocess(transport)) < 0
               ? NULL
               : make_wait(st, transport);
    if (*ret == NULL) {
        ouro_raised_handling(exception);
        return make_finish(self, ret);
    }
    Py_DECREF(exception);
    self->step = MAKE_CLEANING;
    return AWAIT_DELEGATE;
}

static const await_kind make_kind = {
    .name = "_make_subprocess_transport",
    .qualname = "_UnixSelectorEventLoop._make_subprocess_transport",
    .poll = make_poll,
    .abort = make_abort,
};

static PyObject *
loop_make_subprocess_transport(PyObject *loop, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_UnixSelectorEventLoop._make_subprocess_transport",
        .skip_self = 1,
        .positional = MAKE_GIVEN,
        .required = MAKE_EXTRA,
        .names = {"protocol", "args", "shell", "stdin", "stdout", "stderr",
                  "bufsize", "extra"},
        .varkeywords = true,
    };
    PyObject *stock;
    if (ouro_loop_detour(loop, "_make_subprocess_transport", args, nargs,
                         kwnames, &stock)) {
        return stock;
    }
    PyObject *a[MAKE_COUNT] = {NULL};
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    a[MAKE_KWARGS] = ouro_keywords(&signature, args + nargs, kwnames);
    if (a[MAKE_KWARGS] == NULL) {
        return NULL;
    }
    PyObject *coro = ouro_frame_new(ouro_state_of(loop), &make_kind, loop, a,
                                    MAKE_COUNT, MAKE_COUNT);
    Py_DECREF(a[MAKE_KWARGS]);
    return coro;
}

/* ---- subprocess_exec() and subprocess_shell() -------------------------- */

enum {
    START_FACTORY,
    START_PROGRAM, /* or the command; then Popen()'s args */
    START_STDIN,
    START_STDOUT,
    START_STDERR,
    START_NEWLINES,
    START_SHELL,
    START_BUFSIZE,
    START_ENCODING,
    START_ERRORS,
    START_TEXT,
    START_GIVEN,
    START_KWARGS = START_GIVEN,
    START_MESSAGE, /* debug mode: what is logged */
    START_PROTOCOL,
    START_COUNT,
};

#define START_NAMES                                                           \
    "stdin", "stdout", "stderr", "universal_newlines", "shell", "bufsize",    \
        "encoding", "errors", "text"

static bool
start_is_shell(AwaitObject *self)
{
    return strcmp(ouro_await_kind(self)->name, "subprocess_shell") == 0;
}

static int
refuse_value(const char *message)
{
    PyErr_SetString(PyExc_ValueError, message);
    return -1;
}

/* bool(frame[place]): 1, 0, -1. */
static int
start_truth(AwaitObject *self, int place)
{
    return PyObject_IsTrue(ouro_frame_get(self, place));
}

static int
start_check(AwaitObject *self)
{
    bool is_shell = start_is_shell(self);
    PyObject *program = ouro_frame_get(self, START_PROGRAM);
    if (is_shell && !PyBytes_Check(program) && !PyUnicode_Check(program)) {
        return refuse_value("cmd must be a string");
    }
    int newlines = start_truth(self, START_NEWLINES);
    if (newlines != 0) {
        return newlines < 0 ? -1
                            : refuse_value("universal_newlines must be False");
    }
    int shell = start_truth(self, START_SHELL);
    if (shell < 0) {
        return -1;
    }
    if (shell != is_shell) {
        return refuse_value(is_shell ? "shell must be True"
                                     : "shell must be False");
    }
    PyObject *zero = PyLong_FromLong(0);
    int buffered = zero == NULL
                       ? -1
                       : PyObject_RichCompareBool(
                           ouro_frame_get(self, START_BUFSIZE), zero, Py_NE);
    Py_XDECREF(zero);
    if (buffered != 0) {
        return buffered < 0 ? -1 : refuse_value("bufsize must be 0");
    }
    int text = start_truth(self, START_TEXT);
    if (text != 0) {
        return text < 0 ? -1 : refuse_value("text must be False");
    }
    if (ouro_frame_get(self, START_ENCODING) != Py_None) {
        return refuse_value("encoding must be None");
    }
    if (ouro_frame_get(self, START_ERRORS) != Py_None) {
        return refuse_value("errors must be None");
    }
    return 0;
}

/* In debug mode: say what is about to be started. 0 or -1. */
static int
start_log(ouro_state *st, AwaitObject *self)
{
    int debug = ouro_loop_debug(st, self->owner);
    if (debug <= 0) {
        return debug;
    }
    PyObject *program = ouro_frame_get(self, START_PROGRAM);
    PyObject *message = PyUnicode_FromFormat(
        start_is_shell(self) ? "run shell command %R" : "execute program %R",
        start_is_shell(self) ? program : PyTuple_GET_ITEM(program, 0));
    if (message == NULL) {
        return -1;
    }
    ouro_frame_set(self, START_MESSAGE, message);
    return ouro_drop_result(PyObject_CallMethod(
        self->owner, "_log_subprocess", "OOOO", message,
        ouro_frame_get(self, START_STDIN), ouro_frame_get(self, START_STDOUT),
        ouro_frame_get(self, START_STDERR)));
}

/* self._make_subprocess_transport(protocol, args, shell, ...) */
static PyObject *
start_make(ouro_state *st, AwaitObject *self)
{
    PyObject *args = PyTuple_Pack(7, ouro_frame_get(self, START_PROTOCOL),
                                  ouro_frame_get(self, START_PROGRAM),
                                  start_is_shell(self) ? Py_True : Py_False,
                                  ouro_frame_get(self, START_STDIN),
                                  ouro_frame_get(self, START_STDOUT),
                                  ouro_frame_get(self, START_STDERR),
                                  ouro_frame_get(self, START_BUFSIZE));
    PyObject *method =
        PyObject_GetAttr(self->owner, st->str._make_subprocess_transport);
    PyObject *coro = NULL;
    if (args != NULL && method != NULL) {
        coro = PyObject_Call(method, args, ouro_frame_get(self, START_KWARGS));
    }
    Py_XDECREF(args);
    Py_XDECREF(method);
    return coro;
}

static await_status
start_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step == 0) {
        if (start_check(self) < 0) {
            return AWAIT_ERROR;
        }
        PyObject *protocol =
            PyObject_CallNoArgs(ouro_frame_get(self, START_FACTORY));
        if (protocol == NULL) {
            return AWAIT_ERROR;
        }
        ouro_frame_set(self, START_PROTOCOL, protocol);
        if (start_log(st, self) < 0) {
            return AWAIT_ERROR;
        }
        self->step = 1;
        *ret = start_make(st, self);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
    }
    PyObject *message = ouro_frame_get(self, START_MESSAGE);
    int debug = ouro_loop_debug(st, self->owner);
    if (debug < 0
        || (debug > 0 && message != Py_None
            && ouro_loop_log(st, "info", "(sOO)", "%s: %r", message,
                             self->value)
                   < 0)) {
        return AWAIT_ERROR;
    }
    *ret = PyTuple_Pack(2, self->value, ouro_frame_get(self, START_PROTOCOL));
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static const await_kind exec_kind = {
    .name = "subprocess_exec",
    .qualname = "BaseEventLoop.subprocess_exec",
    .poll = start_poll,
};

static const await_kind shell_kind = {
    .name = "subprocess_shell",
    .qualname = "BaseEventLoop.subprocess_shell",
    .poll = start_poll,
};

/* A coroutine for arguments as parsed; kwargs is consumed, NULL an error. */
static PyObject *
start_new(PyObject *loop, const await_kind *kind, PyObject **a,
          PyObject *kwargs)
{
    ouro_state *st = ouro_state_of(loop);
    PyObject *pipe = PyObject_GetAttr(st->stock.subprocess, st->str.PIPE);
    PyObject *zero = PyLong_FromLong(0);
    PyObject *coro = NULL;
    if (kwargs != NULL && pipe != NULL && zero != NULL) {
        for (int i = START_STDIN; i <= START_STDERR; i++) {
            a[i] = a[i] == NULL ? pipe : a[i];
        }
        if (a[START_SHELL] == NULL) {
            a[START_SHELL] = kind == &shell_kind ? Py_True : Py_False;
        }
        if (a[START_BUFSIZE] == NULL) {
            a[START_BUFSIZE] = zero;
        }
        a[START_KWARGS] = kwargs;
        coro = ouro_frame_new(st, kind, loop, a, START_COUNT, START_COUNT);
    }
    Py_XDECREF(pipe);
    Py_XDECREF(zero);
    Py_XDECREF(kwargs);
    return coro;
}

static PyObject *
loop_subprocess_shell(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.subprocess_shell",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"protocol_factory", "cmd", START_NAMES},
        .varkeywords = true,
    };
    PyObject *a[START_COUNT] = {NULL};
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return start_new(loop, &shell_kind, a,
                     ouro_keywords(&signature, args + nargs, kwnames));
}

static PyObject *
loop_subprocess_exec(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.subprocess_exec",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"protocol_factory", "program", START_NAMES},
        .varargs = true,
        .varkeywords = true,
    };
    PyObject *a[START_COUNT] = {NULL};
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    Py_ssize_t more = nargs > 2 ? nargs - 2 : 0;
    PyObject *command = PyTuple_New(1 + more);
    if (command == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(command, 0, Py_NewRef(a[START_PROGRAM]));
    for (Py_ssize_t i = 0; i < more; i++) {
        PyTuple_SET_ITEM(command, 1 + i, Py_NewRef(args[2 + i]));
    }
    a[START_PROGRAM] = command;
    PyObject *coro = start_new(
        loop, &exec_kind, a, ouro_keywords(&signature, args + nargs, kwnames));
    Py_DECREF(command);
    return coro;
}

static const ouro_async_def start_methods[] = {
    {"subprocess_exec", loop_subprocess_exec,
     "subprocess_exec($self, /, protocol_factory, program, *args,\n"
     "                stdin=-1, stdout=-1, stderr=-1,\n"
     "                universal_newlines=False, shell=False, bufsize=0,\n"
     "                encoding=None, errors=None, text=None, **kwargs)\n"
     "--\n\n"
     "Start a program; return (transport, protocol). protocol_factory makes a\n"
     "protocol with the interface of SubprocessProtocol; what is not named\n"
     "here is for subprocess.Popen()."},
    {"subprocess_shell", loop_subprocess_shell,
     "subprocess_shell($self, /, protocol_factory, cmd, *,\n"
     "                 stdin=-1, stdout=-1, stderr=-1,\n"
     "                 universal_newlines=False, shell=True, bufsize=0,\n"
     "                 encoding=None, errors=None, text=None, **kwargs)\n"
     "--\n\n"
     "The same for a command of the shell."},
    {"_make_subprocess_transport", loop_make_subprocess_transport,
     "_make_subprocess_transport($self, /, protocol, args, shell, stdin,\n"
     "                           stdout, stderr, bufsize, extra=None,\n"
     "                           **kwargs)\n--\n\n"},
    {NULL},
};

int
ouro_subprocess_start_setup(PyObject *module, ouro_state *st)
{
    (void)module;
    return ouro_loop_add_async_methods(st, start_methods);
}
