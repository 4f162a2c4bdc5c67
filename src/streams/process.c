/* process.c - Process: a child process with its streams.
 *
 * Everything is passed on to the transport; communicate() is in
 * communicate.c.
 */
#include "streams/process.h"

#include "base/rooms.h"

static ProcessObject *
as_process(PyObject *self)
{
    return (ProcessObject *)self;
}

/* ---- life --------------------------------------------------------------- */

static int
start(ouro_state *st, ProcessObject *self, PyObject *transport,
      PyObject *protocol, PyObject *loop)
{
    Py_XSETREF(self->transport, Py_NewRef(transport));
    Py_XSETREF(self->protocol, Py_NewRef(protocol));
    Py_XSETREF(self->loop, Py_NewRef(loop));
    for (int fd = 0; fd < 3; fd++) {
        Py_XSETREF(self->streams[fd],
                   PyObject_GetAttr(
                       protocol, PyTuple_GET_ITEM(st->stock.stdio_names, fd)));
        if (self->streams[fd] == NULL) {
            return -1;
        }
    }
    Py_XSETREF(self->pid,
               PyObject_CallMethodNoArgs(transport, st->str.get_pid));
    return self->pid == NULL ? -1 : 0;
}

static int
process_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "Process.__init__",
        .skip_self = 1,
        .positional = 3,
        .required = 3,
        .names = {"transport", "protocol", "loop"},
    };
    PyObject *a[3];
    if (ouro_parse_init(&signature, args, kwargs, a) < 0) {
        return -1;
    }
    return start(ouro_state_of(self), as_process(self), a[0], a[1], a[2]);
}

PyObject *
ouro_process_new(ouro_state *st, PyObject *transport, PyObject *protocol,
                 PyObject *loop)
{
    PyTypeObject *type = st->types.Process;
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL
        && start(st, as_process(self), transport, protocol, loop) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
process_traverse(PyObject *object, visitproc visit, void *arg)
{
    ProcessObject *self = as_process(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->transport);
    Py_VISIT(self->protocol);
    Py_VISIT(self->loop);
    for (int fd = 0; fd < 3; fd++) {
        Py_VISIT(self->streams[fd]);
    }
    Py_VISIT(self->pid);
    return 0;
}

static int
process_clear(PyObject *object)
{
    ProcessObject *self = as_process(object);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->transport);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->loop);
    for (int fd = 0; fd < 3; fd++) {
        Py_CLEAR(self->streams[fd]);
    }
    Py_CLEAR(self->pid);
    return 0;
}

static void
process_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (as_process(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)process_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
process_repr(PyObject *self)
{
    PyObject *name = PyType_GetName(Py_TYPE(self));
    PyObject *pid = as_process(self)->pid;
    PyObject *repr = NULL;
    if (pid == NULL) {
        ouro_no_attribute(self, "pid");
    }
    else if (name != NULL) {
        repr = PyUnicode_FromFormat("<%U %S>", name, pid);
    }
    Py_XDECREF(name);
    return repr;
}

/* ---- passed on to the transport ----------------------------------------- */

/* The transport, or NULL with an exception: __init__() was not called. */
static PyObject *
transport_of(PyObject *self)
{
    PyObject *transport = as_process(self)->transport;
    if (transport == NULL) {
        ouro_no_attribute(self, "_transport");
    }
    return transport;
}

/* self._transport.name([argument]) */
static PyObject *
ask_transport(PyObject *self, PyObject *name, PyObject *argument)
{
    PyObject *transport = transport_of(self);
    if (transport == NULL) {
        return NULL;
    }
    Py_INCREF(transport);
    PyObject *result =
        argument == NULL
            ? PyObject_CallMethodNoArgs(transport, name)
            : PyObject_CallMethodOneArg(transport, name, argument);
    Py_DECREF(transport);
    return result;
}

/* The same without its result. */
static PyObject *
tell_transport(PyObject *self, const char *name, PyObject *argument)
{
    PyObject *method = PyUnicode_InternFromString(name);
    PyObject *result =
        method == NULL ? NULL : ask_transport(self, method, argument);
    Py_XDECREF(method);
    return ouro_none_or_error(ouro_drop_result(result));
}

static PyObject *
process_get_returncode(PyObject *self, void *Py_UNUSED(closure))
{
    return ask_transport(self, ouro_state_of(self)->str.get_returncode, NULL);
}

static PyObject *
process_send_signal(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("Process.send_signal", "signal");
    PyObject *signal;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &signal) < 0) {
        return NULL;
    }
    return tell_transport(self, "send_signal", signal);
}

static PyObject *
process_terminate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return tell_transport(self, "terminate", NULL);
}

static PyObject *
process_kill(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return tell_transport(self, "kill", NULL);
}

/* ---- wait() ------------------------------------------------------------- */

static await_status
wait_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == 0) {
        op->step = 1;
        *ret = ask_transport(op->owner, ouro_state_of(op->owner)->str._wait,
                             NULL);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
    }
    *ret = Py_NewRef(op->value);
    return AWAIT_RETURN;
}

static const await_kind wait_kind = {
    .name = "wait",
    .qualname = "Process.wait",
    .poll = wait_poll,
};

static PyObject *
process_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(self), &wait_kind, self, args, nargs,
                           kwnames);
}

static const ouro_async_def process_async_methods[] = {
    {"wait", process_wait,
     "wait($self, /)\n--\n\n"
     "Wait until the process exits and return its return code."},
    {NULL},
};

/* ---- the type ----------------------------------------------------------- */

static PyMethodDef process_methods[] = {
    OURO_METHOD(
        "send_signal", process_send_signal,
        "send_signal($self, /, signal)\n--\n\nSend a signal to the process."),
    {"terminate", process_terminate, METH_NOARGS,
     "terminate($self, /)\n--\n\nSend SIGTERM to the process."},
    {"kill", process_kill, METH_NOARGS,
     "kill($self, /)\n--\n\nSend SIGKILL to the process."},
    {NULL},
};

static PyGetSetDef process_getset[] = {
    {"returncode", process_get_returncode, NULL,
     "The exit status; -N: killed by signal N; None: it runs."},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    {NULL},
};

#define MEMBER(name, field)                                                   \
    {                                                                         \
        name, T_OBJECT_EX, offsetof(ProcessObject, field), 0                  \
    }

static PyMemberDef process_members[] = {
    MEMBER("_transport", transport),
    MEMBER("_protocol", protocol),
    MEMBER("_loop", loop),
    MEMBER("stdin", streams[0]),
    MEMBER("stdout", streams[1]),
    MEMBER("stderr", streams[2]),
    MEMBER("pid", pid),
    {"__dictoffset__", T_PYSSIZET, offsetof(ProcessObject, dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ProcessObject, weakrefs),
     READONLY},
    {NULL},
};

PyDoc_STRVAR(process_doc, "Process(transport, protocol, loop)\n--\n\n\
A child process, as create_subprocess_exec() and create_subprocess_shell()\n\
return it.");

static PyType_Slot process_slots[] = {
    {Py_tp_doc, (void *)process_doc},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, process_init},
    {Py_tp_dealloc, process_dealloc},
    {Py_tp_traverse, process_traverse},
    {Py_tp_clear, process_clear},
    {Py_tp_repr, process_repr},
    {Py_tp_methods, process_methods},
    {Py_tp_getset, process_getset},
    {Py_tp_members, process_members},
    {0, NULL},
};

static PyType_Spec process_spec = {
    .name = "ouro.Process",
    .basicsize = sizeof(ProcessObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = process_slots,
};

int
ouro_process_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &process_spec, NULL, true, &st->types.Process)
            < 0
        || ouro_add_async_methods(st, st->types.Process, process_async_methods)
               < 0) {
        return -1;
    }
    return ouro_add_async_methods(st, st->types.Process,
                                  ouro_process_communicate);
}
