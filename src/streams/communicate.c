/* communicate.c - Process.communicate(): feed stdin and read both outputs to
 * their ends, all at once, then wait for the process.
 */
#include "streams/process.h"

#include "loop/loop.h"

static ProcessObject *
process_of(AwaitObject *op)
{
    return (ProcessObject *)op->owner;
}

/* In debug mode: logger.debug(format, process[, value]); 0 or -1. */
static int
log_step(ouro_state *st, AwaitObject *op, const char *format, PyObject *value)
{
    PyObject *loop = process_of(op)->loop;
    int debug = loop == NULL ? 0 : ouro_loop_debug(st, loop);
    if (debug <= 0) {
        return debug;
    }
    return value == NULL
               ? ouro_loop_log(st, "debug", "(sO)", format, op->owner)
               : ouro_loop_log(st, "debug", "(sOO)", format, op->owner, value);
}

/* One of the streams (owned): None if it is no pipe. */
static PyObject *
stream_of(AwaitObject *op, int fd)
{
    PyObject *stream = process_of(op)->streams[fd];
    return Py_NewRef(stream == NULL ? Py_None : stream);
}

static await_status
return_none(PyObject **ret)
{
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

/* ---- _feed_stdin(input) ------------------------------------------------- */

/* The body's fields: a the input. */

/* Everything is written, or nobody reads any more. */
static await_status
feed_close(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of(op->owner);
    PyObject *stdin = stream_of(op, 0);
    int result = log_step(st, op, "%r communicate: close stdin", NULL);
    if (result == 0) {
        result = ouro_streams_call(stdin, st->str.close, NULL);
    }
    Py_DECREF(stdin);
    return result < 0 ? AWAIT_ERROR : return_none(ret);
}

/* The current exception, if it says that the process reads no more. */
static await_status
feed_failed(AwaitObject *op, PyObject **ret)
{
    if (!PyErr_ExceptionMatches(PyExc_BrokenPipeError)
        && !PyErr_ExceptionMatches(PyExc_ConnectionResetError)) {
        return AWAIT_ERROR;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result = log_step(ouro_state_of(op->owner), op,
                          "%r communicate: stdin got %r", exception);
    Py_DECREF(exception);
    return result < 0 ? AWAIT_ERROR : feed_close(op, ret);
}

static int
feed_write(ouro_state *st, AwaitObject *op, PyObject *stdin)
{
    if (op->a == Py_None && st->has.process.drains_always) {
        return 0;
    }
    if (ouro_streams_call(stdin, st->str.write, op->a) < 0) {
        return -1;
    }
    PyObject *loop = process_of(op)->loop;
    int debug = loop == NULL ? 0 : ouro_loop_debug(st, loop);
    if (debug <= 0) {
        return debug;
    }
    PyObject *size = PyLong_FromSsize_t(PyObject_Size(op->a));
    int result =
        size == NULL || PyErr_Occurred()
            ? -1
            : log_step(st, op, "%r communicate: feed stdin (%s bytes)", size);
    Py_XDECREF(size);
    return result;
}

static await_status
feed_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == 1) {
        return feed_close(op, ret);
    }
    PyObject *stdin = stream_of(op, 0);
    *ret = feed_write(ouro_state_of(op->owner), op, stdin) < 0
               ? NULL
               : PyObject_CallMethod(stdin, "drain", NULL);
    Py_DECREF(stdin);
    op->step = 1;
    return *ret == NULL ? feed_failed(op, ret) : AWAIT_DELEGATE;
}

static const await_kind feed_kind = {
    .name = "_feed_stdin",
    .qualname = "Process._feed_stdin",
    .poll = feed_poll,
    .abort = feed_failed,
};

static PyObject *
process_feed_stdin(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("Process._feed_stdin", "input");
    PyObject *input;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &input) < 0) {
        return NULL;
    }
    AwaitObject *op = ouro_await_new(ouro_state_of(self), &feed_kind, self);
    if (op != NULL) {
        op->a = Py_NewRef(input);
    }
    return (PyObject *)op;
}

/* ---- _noop() ------------------------------------------------------------ */

static await_status
noop_poll(AwaitObject *Py_UNUSED(op), PyObject **ret)
{
    return return_none(ret);
}

static const await_kind noop_kind = {
    .name = "_noop",
    .qualname = "Process._noop",
    .poll = noop_poll,
};

static PyObject *
process_noop(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(self), &noop_kind, self, args, nargs,
                           kwnames);
}

/* ---- _read_stream(fd) --------------------------------------------------- */

/* The body's fields: a the transport of the pipe; n its number, first in b. */

static await_status
read_start(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    long fd = PyLong_AsLong(op->b);
    if (fd == -1 && PyErr_Occurred()) {
        return AWAIT_ERROR;
    }
    PyObject *transport = process_of(op)->transport;
    op->a = PyObject_CallMethodOneArg(transport == NULL ? Py_None : transport,
                                      st->str.get_pipe_transport, op->b);
    if (op->a == NULL
        || (fd != 2 && ouro_streams_assert(st, fd == 1, NULL) < 0)) {
        return AWAIT_ERROR;
    }
    op->n = fd == 2 ? 2 : 1;
    if (log_step(st, op,
                 fd == 1 ? "%r communicate: read stdout"
                         : "%r communicate: read stderr",
                 NULL)
        < 0) {
        return AWAIT_ERROR;
    }
    PyObject *stream = stream_of(op, (int)op->n);
    *ret = PyObject_CallMethodNoArgs(stream, st->str.read);
    Py_DECREF(stream);
    op->step = 1;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
read_poll(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of(op->owner);
    if (op->step == 0) {
        return read_start(st, op, ret);
    }
    if (log_step(st, op,
                 op->n == 1 ? "%r communicate: close stdout"
                            : "%r communicate: close stderr",
                 NULL)
            < 0
        || ouro_streams_call(op->a, st->str.close, NULL) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(op->value);
    return AWAIT_RETURN;
}

static const await_kind read_kind = {
    .name = "_read_stream",
    .qualname = "Process._read_stream",
    .poll = read_poll,
};

static PyObject *
process_read_stream(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("Process._read_stream", "fd");
    PyObject *fd;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &fd) < 0) {
        return NULL;
    }
    AwaitObject *op = ouro_await_new(ouro_state_of(self), &read_kind, self);
    if (op != NULL) {
        op->b = Py_NewRef(fd);
    }
    return (PyObject *)op;
}

/* ---- communicate(input) ------------------------------------------------- */

/* The body's fields: a the input, then what was read: (stdout, stderr). */

/* The coroutine of one of the three streams (owned). */
static PyObject *
stream_coroutine(ouro_state *st, AwaitObject *op, int fd)
{
    PyObject *stream = stream_of(op, fd);
    bool there = stream != Py_None;
    Py_DECREF(stream);
    if (fd == 0 && !st->has.process.drains_always) {
        there = op->a != Py_None;
    }
    if (!there) {
        return PyObject_CallMethodNoArgs(op->owner, st->str._noop);
    }
    if (fd == 0) {
        return PyObject_CallMethodOneArg(op->owner, st->str._feed_stdin,
                                         op->a);
    }
    PyObject *number = PyLong_FromLong(fd);
    if (number == NULL) {
        return NULL;
    }
    PyObject *coro =
        PyObject_CallMethodOneArg(op->owner, st->str._read_stream, number);
    Py_DECREF(number);
    return coro;
}

static await_status
communicate_start(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    PyObject *all[3] = {NULL};
    PyObject *gather = PyObject_GetAttr(st->module, st->str.gather);
    bool complete = gather != NULL;
    for (int fd = 0; complete && fd < 3; fd++) {
        all[fd] = stream_coroutine(st, op, fd);
        complete = all[fd] != NULL;
    }
    *ret = complete ? PyObject_Vectorcall(gather, all, 3, NULL) : NULL;
    Py_XDECREF(gather);
    for (int fd = 0; fd < 3; fd++) {
        Py_XDECREF(all[fd]);
    }
    op->step = 1;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
communicate_poll(AwaitObject *op, PyObject **ret)
{
    switch (op->step) {
    case 0:
        return communicate_start(ouro_state_of(op->owner), op, ret);
    case 1:
        Py_SETREF(op->a, PySequence_GetSlice(op->value, 1, 3));
        if (op->a == NULL) {
            return AWAIT_ERROR;
        }
        op->step = 2;
        *ret = PyObject_CallMethodNoArgs(op->owner,
                                         ouro_state_of(op->owner)->str.wait);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
    default:
        *ret = PySequence_Tuple(op->a);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
}

static const await_kind communicate_kind = {
    .name = "communicate",
    .qualname = "Process.communicate",
    .poll = communicate_poll,
};

static PyObject *
process_communicate(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "Process.communicate",
        .skip_self = 1,
        .positional = 1,
        .names = {"input"},
    };
    PyObject *input;
    if (ouro_parse(&signature, args, nargs, kwnames, &input) < 0) {
        return NULL;
    }
    AwaitObject *op =
        ouro_await_new(ouro_state_of(self), &communicate_kind, self);
    if (op != NULL) {
        op->a = Py_NewRef(input == NULL ? Py_None : input);
    }
    return (PyObject *)op;
}

const ouro_async_def ouro_process_communicate[] = {
    {"communicate", process_communicate,
     "communicate($self, /, input=None)\n--\n\n"
     "Send input to the process, read its output until it ends, and wait for\n"
     "that; return (stdout, stderr): bytes, or None for what is no pipe."},
    {"_feed_stdin", process_feed_stdin,
     "_feed_stdin($self, /, input)\n--\n\n"},
    {"_noop", process_noop, "_noop($self, /)\n--\n\n"},
    {"_read_stream", process_read_stream,
     "_read_stream($self, /, fd)\n--\n\n"},
    {NULL},
};
