/* subprocess.c - a child process: what its protocol is told, and when (see
 * subprocess.h).
 *
 * Whatever happens comes to the protocol by loop.call_soon(), in order; what
 * happens before the pipes are connected waits until they are.
 */
#include "net/subprocess.h"

#include <errno.h>

#include "net/transport.h"
#include "task/future.h"
#include "task/registry.h"
#include "task/task.h"

/* ---- starting ---------------------------------------------------------- */

/* subprocess.Popen(args, shell=..., stdin=..., ...) */
static PyObject *
call_popen(ouro_state *st, const subprocess_options *options)
{
    PyObject *names = st->stock.popen_names;
    PyObject *stack[] = {
        options->args,
        /* in the order of `names` */
        options->shell,
        options->stdio[0],
        options->stdio[1],
        options->stdio[2],
        Py_False,
        options->bufsize,
    };
    PyObject *function = PyObject_GetAttr(st->stock.subprocess, st->str.Popen);
    PyObject *proc = NULL;
    if (function == NULL) {
        return NULL;
    }
    if (options->kwargs == NULL || PyDict_GET_SIZE(options->kwargs) == 0) {
        proc = PyObject_Vectorcall(function, stack, 1, names);
        Py_DECREF(function);
        return proc;
    }
    PyObject *keywords = PyDict_Copy(options->kwargs);
    int result = keywords == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(names); i++) {
        result =
            PyDict_SetItem(keywords, PyTuple_GET_ITEM(names, i), stack[1 + i]);
    }
    if (result == 0) {
        proc = PyObject_VectorcallDict(function, stack, 1, keywords);
    }
    Py_XDECREF(keywords);
    Py_DECREF(function);
    return proc;
}

/* {0: None, ...} for each of the three that is subprocess.PIPE. */
static PyObject *
pipes_wanted(ouro_state *st, const subprocess_options *options)
{
    PyObject *wanted = PyObject_GetAttr(st->stock.subprocess, st->str.PIPE);
    PyObject *pipes = wanted == NULL ? NULL : PyDict_New();
    int result = pipes == NULL ? -1 : 0;
    for (int fd = 0; result == 0 && fd < 3; fd++) {
        result = PyObject_RichCompareBool(options->stdio[fd], wanted, Py_EQ);
        if (result > 0) {
            PyObject *key = PyLong_FromLong(fd);
            result = key == NULL ? -1 : PyDict_SetItem(pipes, key, Py_None);
            Py_XDECREF(key);
        }
    }
    Py_XDECREF(wanted);
    if (result < 0) {
        Py_CLEAR(pipes);
    }
    return pipes;
}

/* In debug mode: 'process %r created: pid %s' */
static int
log_created(ouro_state *st, SubprocessObject *self, PyObject *args)
{
    int debug = ouro_loop_debug(st, self->loop);
    if (debug <= 0) {
        return debug;
    }
    PyObject *program = PyBytes_Check(args) || PyUnicode_Check(args)
                            ? Py_NewRef(args)
                            : PySequence_GetItem(args, 0);
    if (program == NULL) {
        return -1;
    }
    int result =
        ouro_loop_log(st, "debug", "(sOO)", "process %r created: pid %s",
                      program, self->pid);
    Py_DECREF(program);
    return result;
}

/* The current exception ends the start: what there is of it is closed. */
static int
start_failed(ouro_state *st, SubprocessObject *self)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (ouro_subprocess_close(st, self) == 0) {
        PyErr_SetRaisedException(exception);
    }
    else {
        Py_DECREF(exception);
    }
    return -1;
}

static int
start(ouro_state *st, SubprocessObject *self,
      const subprocess_options *options)
{
    self->proc = call_popen(st, options);
    if (self->proc == NULL) {
        return start_failed(st, self);
    }
    self->pid = PyObject_GetAttr(self->proc, st->str.pid);
    int result =
        self->pid == NULL
            ? -1
            : PyObject_SetItem(self->extra, st->str.subprocess, self->proc);
    if (result == 0) {
        result = log_created(st, self, options->args);
    }
    return result < 0 ? start_failed(st, self) : 0;
}

int
ouro_subprocess_init(ouro_state *st, SubprocessObject *self, PyObject *loop,
                     PyObject *protocol, const subprocess_options *options,
                     PyObject *waiter, PyObject *extra)
{
    if (ouro_transport_check_init(st, loop,
                                  self->loop != NULL || self->proc != NULL)
        < 0) {
        return -1;
    }
    self->extra = extra == NULL ? PyDict_New() : Py_NewRef(extra);
    self->exit_waiters = PyList_New(0);
    self->pending = PyList_New(0);
    self->pipes = pipes_wanted(st, options);
    if (self->extra == NULL || self->exit_waiters == NULL
        || self->pending == NULL || self->pipes == NULL) {
        return -1;
    }
    self->closed = false; /* from here on there is something to be closed */
    self->loop = Py_NewRef(loop);
    self->protocol = Py_NewRef(protocol);
    if (start(st, self, options) < 0) {
        return -1;
    }
    PyObject *coro = ouro_subprocess_connect(st, self, waiter);
    PyObject *task =
        coro == NULL ? NULL : ouro_create_task(st, loop, coro, NULL, NULL);
    Py_XDECREF(coro);
    Py_XDECREF(task);
    return task == NULL ? -1 : 0;
}

/* ---- who waits for the end ---------------------------------------------- */

/* Wake all that wait() for the child's end. */
static int
wake_waiters(ouro_state *st, SubprocessObject *self)
{
    PyObject *waiters = self->exit_waiters;
    self->exit_waiters = NULL;
    PyObject *returncode = Py_NewRef(ouro_or_none(self->returncode));
    int result = 0;
    for (Py_ssize_t i = 0;
         result == 0 && waiters != NULL && i < PyList_GET_SIZE(waiters); i++) {
        PyObject *waiter = Py_NewRef(PyList_GET_ITEM(waiters, i));
        result = ouro_anyfuture_done(st, waiter);
        if (result == 0) {
            result = ouro_anyfuture_set_result(st, waiter, returncode);
        }
        result = result < 0 ? -1 : 0;
        Py_DECREF(waiter);
    }
    Py_DECREF(returncode);
    Py_XDECREF(waiters);
    return result;
}

/* The current exception broke off what tells of the child's end: who waits
 * for that is woken even so, for nothing else will. Always -1. */
static int
wake_after_error(ouro_state *st, SubprocessObject *self)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (wake_waiters(st, self) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    PyErr_SetRaisedException(exception);
    return -1;
}

/* ---- telling the protocol ---------------------------------------------- */

/* self._call(callback, *args); both are consumed, NULL is an error. */
static int
tell(ouro_state *st, SubprocessObject *self, PyObject *callback,
     PyObject *args)
{
    int result = -1;
    if (callback == NULL || args == NULL) {
        goto done;
    }
    if (self->pending != NULL) {
        PyObject *call = PyTuple_Pack(2, callback, args);
        result = call == NULL ? -1 : PyList_Append(self->pending, call);
        Py_XDECREF(call);
        goto done;
    }
    if (self->loop == NULL) {
        result = 0; /* it is over */
        goto done;
    }
    PyObject *stack[5] = {self->loop, callback};
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    for (Py_ssize_t i = 0; i < count && i < 3; i++) {
        stack[2 + i] = PyTuple_GET_ITEM(args, i);
    }
    PyObject *handle = PyObject_VectorcallMethod(st->str.call_soon, stack,
                                                 (size_t)(2 + count), NULL);
    Py_XDECREF(handle);
    result = handle == NULL ? -1 : 0;
done:
    Py_XDECREF(callback);
    Py_XDECREF(args);
    return result;
}

static PyObject *
protocol_method(SubprocessObject *self, PyObject *name)
{
    return PyObject_GetAttr(self->protocol == NULL ? Py_None : self->protocol,
                            name);
}

PyObject *
ouro_subprocess_pipe(ouro_state *st, PyObject *entry)
{
    return entry == Py_None ? Py_NewRef(Py_None)
                            : PyObject_GetAttr(entry, st->str.pipe);
}

/* entry.disconnected: 1, 0, -1. */
static int
pipe_disconnected(ouro_state *st, PyObject *entry)
{
    if (entry == Py_None) {
        return 0;
    }
    Py_INCREF(entry);
    int truth = ouro_truth_of(PyObject_GetAttr(entry, st->str.disconnected));
    Py_DECREF(entry);
    return truth;
}

/* All pipes are closed, and the child has ended? */
static int
try_finish(ouro_state *st, SubprocessObject *self)
{
    if (self->finished && st->has.streams.asserts) {
        PyErr_SetNone(PyExc_AssertionError);
        return -1;
    }
    if (self->returncode == NULL) {
        return 0;
    }
    Py_ssize_t place = 0;
    PyObject *pipe;
    while (PyDict_Next(self->pipes, &place, NULL, &pipe)) {
        int gone = pipe_disconnected(st, pipe);
        if (gone <= 0) {
            return gone;
        }
    }
    self->finished = true;
    return tell(
        st, self,
        PyObject_GetAttr((PyObject *)self, st->str._call_connection_lost),
        PyTuple_Pack(1, Py_None));
}

/* A pipe's end could not be told (the current exception).  For want of memory
 * the protocol is told at once, with that error: nothing else will wake who
 * reads.  Always -1. */
static int
pipe_lost_now(SubprocessObject *self, int fd)
{
    if (self->protocol == NULL || self->pending != NULL
        || !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *protocol = Py_NewRef(self->protocol);
    PyObject *told = PyObject_CallMethod(protocol, "pipe_connection_lost",
                                         "iO", fd, exception);
    if (told == NULL) {
        PyErr_WriteUnraisable(protocol);
    }
    Py_XDECREF(told);
    Py_DECREF(protocol);
    PyErr_SetRaisedException(exception);
    return -1;
}

int
ouro_subprocess_pipe_lost(ouro_state *st, SubprocessObject *self, int fd,
                          PyObject *exc)
{
    int result =
        tell(st, self, protocol_method(self, st->str.pipe_connection_lost),
             Py_BuildValue("iO", fd, exc == NULL ? Py_None : exc));
    result = result < 0 ? pipe_lost_now(self, fd) : try_finish(st, self);
    return result == 0 || self->returncode == NULL
               ? result
               : wake_after_error(st, self);
}

int
ouro_subprocess_pipe_data(ouro_state *st, SubprocessObject *self, int fd,
                          PyObject *data)
{
    return tell(st, self, protocol_method(self, st->str.pipe_data_received),
                Py_BuildValue("iO", fd, data));
}

/* ---- the child's end --------------------------------------------------- */

/* The Popen object learns of it, lest it waits for the child itself. */
static int
note_returncode(ouro_state *st, SubprocessObject *self, PyObject *returncode)
{
    PyObject *known = PyObject_GetAttr(self->proc, st->str.returncode);
    if (known == NULL) {
        return -1;
    }
    int result =
        known == Py_None
            ? PyObject_SetAttr(self->proc, st->str.returncode, returncode)
            : 0;
    Py_DECREF(known);
    return result;
}

int
ouro_subprocess_exited(ouro_state *st, SubprocessObject *self,
                       PyObject *returncode)
{
    if ((returncode == Py_None || self->returncode != NULL)
        && st->has.streams.asserts) {
        PyErr_SetObject(PyExc_AssertionError, self->returncode != NULL
                                                  ? self->returncode
                                                  : returncode);
        return -1;
    }
    if (self->loop == NULL || self->proc == NULL) {
        return 0;
    }
    int debug = ouro_loop_debug(st, self->loop);
    if (debug < 0
        || (debug > 0
            && ouro_loop_log(st, "info", "(sOO)",
                             "%r exited with return code %r", self, returncode)
                   < 0)) {
        return -1;
    }
    Py_XSETREF(self->returncode, Py_NewRef(returncode));
    if (note_returncode(st, self, returncode) < 0
        || tell(st, self, protocol_method(self, st->str.process_exited),
                PyTuple_New(0))
               < 0
        || try_finish(st, self) < 0) {
        return wake_after_error(st, self);
    }
    return st->has.process.exit_wakes || self->unconnected
               ? wake_waiters(st, self)
               : 0;
}

int
ouro_subprocess_lost(ouro_state *st, SubprocessObject *self, PyObject *exc)
{
    PyObject *result = NULL;
    if (self->protocol != NULL) {
        PyObject *protocol = Py_NewRef(self->protocol);
        result = PyObject_CallMethodOneArg(protocol, st->str.connection_lost,
                                           exc == NULL ? Py_None : exc);
        Py_DECREF(protocol);
    }
    PyObject *exception = PyErr_GetRaisedException();
    int woken = st->has.process.exit_wakes ? 0 : wake_waiters(st, self);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->proc);
    Py_CLEAR(self->protocol);
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    Py_XDECREF(result);
    return woken;
}

/* ---- watching for it --------------------------------------------------- */

/* What the Popen object knows of a child that it has reaped (owned), or None.
 * Its 0 may be a guess: it says so of a child that is gone. */
static PyObject *
popen_returncode(ouro_state *st, SubprocessObject *self)
{
    PyObject *known = PyObject_GetAttr(self->proc, st->str.returncode);
    if (known != NULL
        && (!PyLong_CheckExact(known) || !PyObject_IsTrue(known))) {
        Py_SETREF(known, Py_NewRef(Py_None));
    }
    return known;
}

/* The exit status as asyncio's watchers tell it; somebody may have reaped the
 * child before us. NULL: an exception. */
static PyObject *
returncode_of(ouro_state *st, SubprocessObject *self, int error, int code)
{
    if (error == 0) {
        return PyLong_FromLong(code);
    }
    PyObject *known = popen_returncode(st, self);
    if (known == NULL || known != Py_None) {
        return known;
    }
    Py_DECREF(known);
    const char *message = st->has.process.threads
                              ? "Unknown child process pid %d, will report "
                                "returncode 255"
                              : "child process pid %d exit status already "
                                "read:  will report returncode 255";
    return ouro_loop_log(st, "warning", "(sO)", message, self->pid) < 0
               ? NULL
               : PyLong_FromLong(255);
}

/* The child has ended: _process_exited(returncode), in as many turns as
 * asyncio takes. */
static int
exited_later(ouro_state *st, SubprocessObject *self, PyObject *returncode)
{
    if (st->has.process.exit_turns == 0) {
        return ouro_subprocess_exited(st, self, returncode);
    }
    PyObject *exited =
        PyObject_GetAttr((PyObject *)self, st->str._process_exited);
    PyObject *soon = exited == NULL
                         ? NULL
                         : PyObject_GetAttr(self->loop, st->str.call_soon);
    PyObject *handle = NULL;
    if (soon != NULL) {
        handle =
            st->has.process.exit_turns == 1
                ? PyObject_CallFunctionObjArgs(soon, exited, returncode, NULL)
                : PyObject_CallFunctionObjArgs(soon, soon, exited, returncode,
                                               NULL);
    }
    Py_XDECREF(exited);
    Py_XDECREF(soon);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* The current exception has left that; the child has ended with `code` all
 * the same. 0, or -1 if it leaves the loop. */
static int
ended_failed(SubprocessObject *self, PyObject *loop, PyObject *context,
             int code)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (self->returncode == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        self->returncode = PyLong_FromLong(code);
        PyErr_SetRaisedException(exception);
        (void)wake_after_error(st, self);
    }
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *callback =
        PyObject_GetAttr((PyObject *)self, st->str._process_exited);
    PyObject *args = PyTuple_New(0);
    int result = -1;
    if (callback != NULL && args != NULL) {
        PyErr_SetRaisedException(Py_NewRef(exception));
        result = ((LoopCore *)loop)
                     ->ops->callback_failed(loop, callback, args, context);
    }
    Py_DECREF(exception);
    Py_XDECREF(callback);
    Py_XDECREF(args);
    return result;
}

static int
child_ended(SubprocessObject *self)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    ou_loop *engine = ouro_loop_engine(self->loop);
    int code = 0;
    int error = ou_process_reap(&self->process, &code);
    if (error == -EAGAIN) {
        return 0; /* a false alarm */
    }
    ou_process_stop(engine, &self->process);
    PyObject *loop = Py_NewRef(self->loop);
    PyObject *context = self->context;
    self->context = NULL;
    int result = ouro_leave_task_fast((LoopCore *)loop);
    if (result == 0) {
        result = PyContext_Enter(context);
    }
    if (result == 0) {
        PyObject *returncode = returncode_of(st, self, error, code);
        result = returncode == NULL ? -1 : exited_later(st, self, returncode);
        Py_XDECREF(returncode);
        PyObject *exception = PyErr_GetRaisedException();
        if (PyContext_Exit(context) < 0) {
            PyErr_WriteUnraisable(context);
        }
        PyErr_SetRaisedException(exception);
    }
    if (result < 0) {
        result = ended_failed(self, loop, context, error == 0 ? code : 255);
    }
    Py_DECREF(loop);
    Py_DECREF(context);
    return result;
}

static int
ended_run(ou_job *job)
{
    SubprocessObject *self =
        OURO_CONTAINER_OF(job, SubprocessObject, process.io.in);
    int result = 0;
    if (ou_process_take(&self->process) && self->loop != NULL) {
        result = child_ended(self);
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_subprocess_ended_kind = {
    OURO_OBJECT_JOB(SubprocessObject, process.io.in),
    .run = ended_run,
};

int
ouro_subprocess_watch(SubprocessObject *self)
{
    long pid = PyLong_AsLong(self->pid);
    if (pid == -1 && PyErr_Occurred()) {
        return -1;
    }
    Py_XSETREF(self->context, PyContext_CopyCurrent());
    if (self->context == NULL) {
        return -1;
    }
    int result = ou_process_start(ouro_loop_engine(self->loop), &self->process,
                                  (pid_t)pid);
    return result < 0 ? ouro_raise_errno_int(result) : 0;
}

/* ---- close() ----------------------------------------------------------- */

/* The pipes of a loop that is closed are left alone. 1, 0, -1. */
static int
may_close_pipes(ouro_state *st, SubprocessObject *self)
{
    if (self->loop == NULL) {
        return 0;
    }
    int truth = ouro_truth_of(
        PyObject_CallMethodNoArgs(self->loop, st->str.is_closed));
    return truth < 0 ? -1 : !truth;
}

/* Close the transport of one of the child's pipes, if it is connected. */
static int
close_pipe(ouro_state *st, SubprocessObject *self, PyObject *item,
           bool ask_loop)
{
    PyObject *pipe = ouro_subprocess_pipe(st, item);
    if (pipe == NULL) {
        return -1;
    }
    int result = pipe != Py_None;
    if (result > 0 && ask_loop) {
        result = may_close_pipes(st, self);
    }
    if (result > 0) {
        result =
            ouro_drop_result(PyObject_CallMethodNoArgs(pipe, st->str.close));
    }
    Py_DECREF(pipe);
    return result;
}

int
ouro_subprocess_close_pipes(ouro_state *st, SubprocessObject *self,
                            bool ask_loop)
{
    if (self->pipes == NULL) {
        return 0;
    }
    PyObject *pipes = PyDict_Values(self->pipes);
    if (pipes == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(pipes); i++) {
        result = close_pipe(st, self, PyList_GET_ITEM(pipes, i), ask_loop);
    }
    Py_DECREF(pipes);
    return result;
}

/* A child that lives on is killed. */
static int
kill_child(ouro_state *st, SubprocessObject *self)
{
    ou_process_note(&self->process);
    PyObject *ended = PyObject_CallMethod(self->proc, "poll", NULL);
    if (ended == NULL) {
        return -1;
    }
    bool lives = ended == Py_None;
    Py_DECREF(ended);
    if (!lives) {
        return 0;
    }
    int debug = self->loop == NULL ? 0 : ouro_loop_debug(st, self->loop);
    if (debug < 0
        || (debug > 0
            && ouro_loop_log(st, "warning", "(sO)",
                             "Close running child process: kill %r", self)
                   < 0)) {
        return -1;
    }
    PyObject *killed = PyObject_CallMethod(self->proc, "kill", NULL);
    if (killed == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ProcessLookupError)
            && !(st->has.process.kills_by_os
                 && PyErr_ExceptionMatches(PyExc_PermissionError))) {
            return -1;
        }
        PyErr_Clear();
    }
    Py_XDECREF(killed);
    return 0;
}

static int
close_all(ouro_state *st, SubprocessObject *self, bool ask_loop)
{
    if (self->closed) {
        return 0;
    }
    self->closed = true;
    if (ouro_subprocess_close_pipes(st, self, ask_loop) < 0) {
        return -1;
    }
    return self->proc != NULL && self->returncode == NULL
               ? kill_child(st, self)
               : 0;
}

int
ouro_subprocess_close(ouro_state *st, SubprocessObject *self)
{
    return close_all(st, self, st->has.process.close_asks_loop);
}

int
ouro_subprocess_discard(ouro_state *st, SubprocessObject *self)
{
    return close_all(st, self, true);
}
