/* subprocess_type.c - the Python type of the transport of a child process
 * (see subprocess.h).
 */
#include "net/subprocess.h"

#include "base/args.h"
#include "base/rooms.h"
#include "net/methods.h"
#include "task/future.h"

/* ---- making ------------------------------------------------------------ */

static PyObject *
subprocess_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
               PyObject *Py_UNUSED(kwargs))
{
    PyObject *object = type->tp_alloc(type, 0);
    if (object != NULL) {
        ou_process_init(&ouro_subprocess(object)->process,
                        &ouro_subprocess_ended_kind);
        ouro_subprocess(object)->closed = true;
    }
    return object;
}

enum {
    INIT_LOOP,
    INIT_PROTOCOL,
    INIT_ARGS,
    INIT_SHELL,
    INIT_STDIN,
    INIT_STDOUT,
    INIT_STDERR,
    INIT_BUFSIZE,
    INIT_WAITER,
    INIT_EXTRA,
    INIT_COUNT,
};

/* What of kwargs no name of the signature takes, for **kwargs; *ret_known: the
 * rest.  Both owned. */
static int
split_keywords(const ouro_signature *signature, PyObject *kwargs,
               PyObject **ret_known, PyObject **ret_rest)
{
    *ret_known = PyDict_New();
    *ret_rest = kwargs == NULL ? PyDict_New() : PyDict_Copy(kwargs);
    int result = *ret_known == NULL || *ret_rest == NULL ? -1 : 0;
    for (int i = 0; result == 0 && i < signature->positional; i++) {
        PyObject *key = PyUnicode_FromString(signature->names[i]);
        PyObject *value =
            key == NULL ? NULL : PyDict_GetItemWithError(*ret_rest, key);
        if (value != NULL) {
            result = PyDict_SetItem(*ret_known, key, value);
            if (result == 0) {
                result = PyDict_DelItem(*ret_rest, key);
            }
        }
        else if (PyErr_Occurred()) {
            result = -1;
        }
        Py_XDECREF(key);
    }
    return result;
}

static int
subprocess_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "BaseSubprocessTransport.__init__",
        .skip_self = 1,
        .positional = INIT_COUNT,
        .required = INIT_WAITER,
        .names = {"loop", "protocol", "args", "shell", "stdin", "stdout",
                  "stderr", "bufsize", "waiter", "extra"},
    };
    PyObject *a[INIT_COUNT], *known, *rest;
    int result = split_keywords(&signature, kwargs, &known, &rest);
    if (result == 0) {
        result = ouro_parse_init(&signature, args, known, a);
    }
    if (result == 0) {
        subprocess_options options = {
            .args = a[INIT_ARGS],
            .shell = a[INIT_SHELL],
            .stdio = {a[INIT_STDIN], a[INIT_STDOUT], a[INIT_STDERR]},
            .bufsize = a[INIT_BUFSIZE],
            .kwargs = rest,
        };
        result = ouro_subprocess_init(
            ouro_state_of(object), ouro_subprocess(object), a[INIT_LOOP],
            a[INIT_PROTOCOL], &options, a[INIT_WAITER],
            a[INIT_EXTRA] == Py_None ? NULL : a[INIT_EXTRA]);
    }
    Py_XDECREF(known);
    Py_XDECREF(rest);
    return result;
}

/* ---- _wait() ----------------------------------------------------------- */

/* op->a: the future it waits for. */
static int
wait_leave(AwaitObject *op)
{
    PyObject *waiters = ouro_subprocess(op->owner)->exit_waiters;
    if (waiters == NULL) {
        return 0;
    }
    Py_ssize_t place = PySequence_Index(waiters, op->a);
    if (place >= 0) {
        return PySequence_DelItem(waiters, place);
    }
    PyErr_Clear();
    return 0;
}

static await_status
wait_poll(AwaitObject *op, PyObject **ret)
{
    SubprocessObject *self = ouro_subprocess(op->owner);
    if (op->step == 1) {
        *ret = Py_NewRef(op->value);
        return AWAIT_RETURN;
    }
    if (self->returncode != NULL) {
        *ret = Py_NewRef(self->returncode);
        return AWAIT_RETURN;
    }
    if (self->loop == NULL || self->exit_waiters == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the transport is closed");
        return AWAIT_ERROR;
    }
    op->a = ouro_create_future(ouro_state_of(op->owner), self->loop);
    if (op->a == NULL || PyList_Append(self->exit_waiters, op->a) < 0) {
        return AWAIT_ERROR;
    }
    op->step = 1;
    *ret = Py_NewRef(op->a);
    return AWAIT_FUTURE;
}

static await_status
wait_abort(AwaitObject *op, PyObject **Py_UNUSED(ret))
{
    PyObject *exception = PyErr_GetRaisedException();
    if (wait_leave(op) < 0) {
        PyErr_WriteUnraisable(op->owner);
    }
    PyErr_SetRaisedException(exception);
    return AWAIT_ERROR;
}

static const await_kind wait_kind = {
    .name = "_wait",
    .qualname = "BaseSubprocessTransport._wait",
    .poll = wait_poll,
    .abort = wait_abort,
};

PyObject *
ouro_subprocess_wait(SubprocessObject *self)
{
    return (PyObject *)ouro_await_new(ouro_state_of((PyObject *)self),
                                      &wait_kind, (PyObject *)self);
}

static PyObject *
subprocess_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    return ouro_parse_none("BaseSubprocessTransport._wait", args, nargs,
                           kwnames)
                   < 0
               ? NULL
               : ouro_subprocess_wait(ouro_subprocess(self));
}

static PyObject *
subprocess_connect_pipes(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseSubprocessTransport._connect_pipes", "waiter");
    PyObject *waiter;
    return ouro_parse_one(&signature, args, nargs, kwnames, &waiter) < 0
               ? NULL
               : ouro_subprocess_connect(ouro_state_of(self),
                                         ouro_subprocess(self), waiter);
}

static const ouro_async_def subprocess_async_methods[] = {
    {"_wait", subprocess_wait,
     "_wait($self, /)\n--\n\n"
     "Wait until the process exits and return its return code."},
    {"_connect_pipes", subprocess_connect_pipes,
     "_connect_pipes($self, /, waiter)\n--\n\n"},
    {NULL},
};

/* ---- methods ----------------------------------------------------------- */

static PyObject *
subprocess_get_pid(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(ouro_or_none(ouro_subprocess(self)->pid));
}

static PyObject *
subprocess_get_returncode(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(ouro_or_none(ouro_subprocess(self)->returncode));
}

static PyObject *
subprocess_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(ouro_or_none(ouro_subprocess(self)->protocol));
}

static PyObject *
subprocess_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(ouro_subprocess(self)->closed);
}

static PyObject *
subprocess_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_subprocess_close(ouro_state_of(self), ouro_subprocess(self)));
}

static PyObject *
subprocess_set_protocol(PyObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseSubprocessTransport.set_protocol", "protocol");
    PyObject *value;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    Py_XSETREF(ouro_subprocess(self)->protocol, Py_NewRef(value));
    Py_RETURN_NONE;
}

static PyObject *
subprocess_get_pipe_transport(PyObject *self, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseSubprocessTransport.get_pipe_transport", "fd");
    PyObject *value;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    PyObject *pipes = ouro_subprocess(self)->pipes;
    PyObject *entry =
        pipes == NULL ? NULL : PyDict_GetItemWithError(pipes, value);
    if (entry == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    /* (None before it is connected: AttributeError.) */
    Py_INCREF(entry);
    PyObject *pipe = PyObject_GetAttr(entry, ouro_state_of(self)->str.pipe);
    Py_DECREF(entry);
    return pipe;
}

/* _check_proc(): 0, or ProcessLookupError and -1. */
static int
check_proc(PyObject *self)
{
    if (ouro_subprocess(self)->proc == NULL) {
        PyErr_SetNone(PyExc_ProcessLookupError);
        return -1;
    }
    return 0;
}

/* os.kill(self._proc.pid, signal) */
static PyObject *
kill_by_os(ouro_state *st, PyObject *self, PyObject *signal)
{
    if (st->has.process.spares_the_ended
        && ouro_subprocess(self)->returncode != NULL) {
        Py_RETURN_NONE;
    }
    PyObject *pid = PyObject_GetAttrString(ouro_subprocess(self)->proc, "pid");
    PyObject *result = NULL;
    if (pid != NULL) {
        result = PyObject_CallMethod(st->stock.os, "kill", "OO", pid, signal);
    }
    Py_XDECREF(pid);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_ProcessLookupError)) {
        PyErr_Clear();
        result = Py_NewRef(Py_None);
    }
    return result;
}

/* self._proc.name([argument]), a signal: Popen reaps a child that has ended,
 * lest it signals another. */
static PyObject *
ask_popen(PyObject *self, const char *name, PyObject *argument)
{
    ou_process_note(&ouro_subprocess(self)->process);
    PyObject *proc = Py_NewRef(ouro_subprocess(self)->proc);
    PyObject *result = argument == NULL
                           ? PyObject_CallMethod(proc, name, NULL)
                           : PyObject_CallMethod(proc, name, "O", argument);
    Py_DECREF(proc);
    if (result != NULL) {
        Py_SETREF(result, Py_NewRef(Py_None));
    }
    return result;
}

static PyObject *
subprocess_send_signal(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseSubprocessTransport.send_signal", "signal");
    PyObject *value;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    if (check_proc(self) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(self);
    return st->has.process.kills_by_os ? kill_by_os(st, self, value)
                                       : ask_popen(self, "send_signal", value);
}

/* terminate() and kill() */
static PyObject *
send_named(PyObject *self, const char *name, const char *signal)
{
    ouro_state *st = ouro_state_of(self);
    if (check_proc(self) < 0) {
        return NULL;
    }
    if (!st->has.process.kills_by_os) {
        return ask_popen(self, name, NULL);
    }
    PyObject *number = PyObject_GetAttrString(st->stock.signal, signal);
    PyObject *result =
        number == NULL ? NULL
                       : PyObject_CallMethod(self, "send_signal", "O", number);
    Py_XDECREF(number);
    return result;
}

static PyObject *
subprocess_terminate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return send_named(self, "terminate", "SIGTERM");
}

static PyObject *
subprocess_kill(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return send_named(self, "kill", "SIGKILL");
}

static PyObject *
subprocess_check_proc(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(check_proc(self));
}

static PyObject *
subprocess_process_exited(PyObject *self, PyObject *returncode)
{
    return ouro_none_or_error(ouro_subprocess_exited(
        ouro_state_of(self), ouro_subprocess(self), returncode));
}

static PyObject *
subprocess_call_connection_lost(PyObject *self, PyObject *exc)
{
    return ouro_none_or_error(
        ouro_subprocess_lost(ouro_state_of(self), ouro_subprocess(self),
                             exc == Py_None ? NULL : exc));
}

static PyMethodDef subprocess_methods[] = {
    {"get_pid", subprocess_get_pid, METH_NOARGS,
     PyDoc_STR("get_pid($self)\n--\n\nReturn the number of the process.")},
    {"get_returncode", subprocess_get_returncode, METH_NOARGS,
     PyDoc_STR("get_returncode($self)\n--\n\n"
               "Return the exit status, -N if signal N has killed the "
               "process;\nNone while it runs.")},
    OURO_METHOD(
        "get_pipe_transport", subprocess_get_pipe_transport,
        PyDoc_STR("get_pipe_transport($self, fd)\n--\n\n"
                  "Return the transport of a pipe: 0, 1 or 2; or None.")),
    OURO_METHOD(
        "send_signal", subprocess_send_signal,
        PyDoc_STR("send_signal($self, signal)\n--\n\n"
                  "Send a signal. ProcessLookupError: it is too late.")),
    {"terminate", subprocess_terminate, METH_NOARGS,
     PyDoc_STR("terminate($self)\n--\n\nSend SIGTERM.")},
    {"kill", subprocess_kill, METH_NOARGS,
     PyDoc_STR("kill($self)\n--\n\nSend SIGKILL.")},
    {"close", subprocess_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\n"
               "Close the pipes and kill the process if it runs.")},
    {"is_closing", subprocess_is_closing, METH_NOARGS,
     PyDoc_STR("is_closing($self)\n--\n\n"
               "Return True if the transport is closed.")},
    {"get_protocol", subprocess_get_protocol, METH_NOARGS,
     PyDoc_STR("get_protocol($self)\n--\n\nReturn the protocol.")},
    OURO_METHOD("set_protocol", subprocess_set_protocol,
                PyDoc_STR("set_protocol($self, protocol)\n--\n\n"
                          "From now on, report to another protocol.")),
    {"_check_proc", subprocess_check_proc, METH_NOARGS, NULL},
    {"_process_exited", subprocess_process_exited, METH_O, NULL},
    {"_call_connection_lost", subprocess_call_connection_lost, METH_O, NULL},
    {NULL},
};

/* ---- attributes and repr() --------------------------------------------- */

#define MEMBER(name, type, field)                                             \
    {                                                                         \
        name, type, offsetof(SubprocessObject, field), READONLY, NULL         \
    }

static PyMemberDef subprocess_members[] = {
    MEMBER("_loop", T_OBJECT, loop),
    MEMBER("_protocol", T_OBJECT, protocol),
    MEMBER("_proc", T_OBJECT, proc),
    MEMBER("_pid", T_OBJECT, pid),
    MEMBER("_returncode", T_OBJECT, returncode),
    MEMBER("_exit_waiters", T_OBJECT, exit_waiters),
    MEMBER("_pending_calls", T_OBJECT, pending),
    MEMBER("_pipes", T_OBJECT, pipes),
    MEMBER("_closed", T_BOOL, closed),
    MEMBER("_finished", T_BOOL, finished),
    {"_extra", T_OBJECT, offsetof(SubprocessObject, extra), 0, NULL},
    MEMBER("__dictoffset__", T_PYSSIZET, dict),
    MEMBER("__weaklistoffset__", T_PYSSIZET, weakrefs),
    {NULL},
};

static PyGetSetDef subprocess_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

/* text += format(...); NULL stays NULL, an error makes it NULL. */
static void
add_text(PyObject **text, const char *format, ...)
{
    if (*text == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    PyObject *more = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    PyUnicode_AppendAndDel(text, more);
}

/* What stands for a pipe in self._pipes (owned): NULL for none or None. */
static PyObject *
pipe_entry(SubprocessObject *self, long fd)
{
    PyObject *key = PyLong_FromLong(fd);
    PyObject *entry = key == NULL || self->pipes == NULL
                          ? NULL
                          : PyDict_GetItemWithError(self->pipes, key);
    Py_XDECREF(key);
    return entry == Py_None ? NULL : Py_XNewRef(entry);
}

static void
add_pipe(ouro_state *st, PyObject **text, const char *name, PyObject *entry)
{
    if (entry == NULL || *text == NULL) {
        return;
    }
    PyObject *pipe = ouro_subprocess_pipe(st, entry);
    if (pipe == NULL) {
        Py_CLEAR(*text);
        return;
    }
    /* (A format of %S, as in the f-string.) */
    add_text(text, " %s=%S", name, pipe);
    Py_DECREF(pipe);
}

static PyObject *
subprocess_repr(PyObject *object)
{
    ouro_state *st = ouro_state_of(object);
    SubprocessObject *self = ouro_subprocess(object);
    PyObject *name = PyType_GetName(Py_TYPE(object));
    if (name == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<%U", name);
    Py_DECREF(name);
    if (self->closed) {
        add_text(&text, " closed");
    }
    if (self->pid != NULL) {
        add_text(&text, " pid=%S", self->pid);
    }
    if (self->returncode != NULL) {
        add_text(&text, " returncode=%S", self->returncode);
    }
    else {
        add_text(&text, self->pid != NULL ? " running" : " not started");
    }
    PyObject *in = pipe_entry(self, 0);
    PyObject *out = pipe_entry(self, 1);
    PyObject *err = pipe_entry(self, 2);
    add_pipe(st, &text, "stdin", in);
    if (out != NULL && out == err) {
        add_pipe(st, &text, "stdout=stderr", out);
    }
    else {
        add_pipe(st, &text, "stdout", out);
        add_pipe(st, &text, "stderr", err);
    }
    Py_XDECREF(in);
    Py_XDECREF(out);
    Py_XDECREF(err);
    add_text(&text, ">");
    return text;
}

/* ---- the type ---------------------------------------------------------- */

static int
subprocess_traverse(PyObject *object, visitproc visit, void *arg)
{
    SubprocessObject *self = ouro_subprocess(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->extra);
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    Py_VISIT(self->proc);
    Py_VISIT(self->exit_waiters);
    Py_VISIT(self->pending);
    Py_VISIT(self->pipes);
    Py_VISIT(self->context);
    Py_VISIT(self->pid);
    Py_VISIT(self->returncode);
    return 0;
}

static int
subprocess_clear(PyObject *object)
{
    SubprocessObject *self = ouro_subprocess(object);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->proc);
    Py_CLEAR(self->exit_waiters);
    Py_CLEAR(self->pending);
    Py_CLEAR(self->pipes);
    Py_CLEAR(self->context);
    /* The loop stays while it watches the child for us. */
    if (!ou_process_started(&self->process)) {
        Py_CLEAR(self->loop);
    }
    return 0;
}

static void
subprocess_finalize(PyObject *object)
{
    SubprocessObject *self = ouro_subprocess(object);
    if (self->closed) {
        return;
    }
    PyObject *exception = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(object, 1, "unclosed transport %R", object)
        < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(object);
        }
        PyErr_Clear();
    }
    if (ouro_subprocess_discard(ouro_state_of(object), self) < 0) {
        PyErr_WriteUnraisable(object);
    }
    PyErr_SetRaisedException(exception);
}

static void
subprocess_dealloc(PyObject *object)
{
    if (PyObject_CallFinalizerFromDealloc(object) < 0) {
        return;
    }
    SubprocessObject *self = ouro_subprocess(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    ou_process_free(&self->process);
    (void)subprocess_clear(object);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->pid);
    Py_CLEAR(self->returncode);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(subprocess_doc,
"_UnixSubprocessTransport(loop, protocol, args, shell, stdin, stdout,\n"
"                         stderr, bufsize, waiter=None, extra=None,\n"
"                         **kwargs)\n--\n\n"
"The transport of a child process.");

static PyType_Slot subprocess_slots[] = {
    {Py_tp_doc, (void *)subprocess_doc},
    {Py_tp_new, subprocess_new},
    {Py_tp_init, subprocess_init},
    {Py_tp_dealloc, subprocess_dealloc},
    {Py_tp_finalize, subprocess_finalize},
    {Py_tp_traverse, subprocess_traverse},
    {Py_tp_clear, subprocess_clear},
    {Py_tp_repr, subprocess_repr},
    {Py_tp_methods, subprocess_methods},
    {Py_tp_members, subprocess_members},
    {Py_tp_getset, subprocess_getset},
    {0, NULL},
};

static PyType_Spec subprocess_spec = {
    .name = "ouro._ouro._UnixSubprocessTransport",
    .basicsize = sizeof(SubprocessObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = subprocess_slots,
};

int
ouro_subprocess_setup(PyObject *module, ouro_state *st)
{
    PyObject *base =
        PyObject_GetAttrString(st->stock.asyncio, "SubprocessTransport");
    PyObject *bases = base == NULL ? NULL : PyTuple_Pack(1, base);
    Py_XDECREF(base);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &subprocess_spec, bases, true,
                               &st->types.SubprocessTransport);
    Py_DECREF(bases);
    return result < 0
               ? -1
               : ouro_add_async_methods(st, st->types.SubprocessTransport,
                                        subprocess_async_methods);
}
