/* subprocess_protocol.c - SubprocessStreamProtocol: from a child's pipes to
 * its three streams.
 *
 * pipe_data_received() -> the reader of that pipe; a StreamWriter writes to
 * the transport of stdin, and drains by this protocol's flow control.
 */
#include "streams/subprocess_protocol.h"

#include "base/rooms.h"
#include "streams/reader.h"
#include "streams/writer.h"
#include "task/future.h"

static SubprocessProtocolObject *
as_protocol(PyObject *self)
{
    return (SubprocessProtocolObject *)self;
}

/* ---- life --------------------------------------------------------------- */

static int
start(ouro_state *st, SubprocessProtocolObject *self, PyObject *limit,
      PyObject *loop)
{
    if (ouro_flow_init(st, &self->flow, loop) < 0) {
        return -1;
    }
    Py_XSETREF(self->limit, Py_NewRef(limit));
    for (int fd = 0; fd < 3; fd++) {
        Py_CLEAR(self->streams[fd]);
    }
    Py_CLEAR(self->transport);
    self->process_exited = false;
    Py_XSETREF(self->pipe_fds, PyList_New(0));
    if (self->pipe_fds == NULL) {
        return -1;
    }
    Py_XSETREF(self->stdin_closed, ouro_create_future(st, self->flow.loop));
    return self->stdin_closed == NULL ? -1 : 0;
}

static int
protocol_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "SubprocessStreamProtocol.__init__",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"limit", "loop"},
    };
    PyObject *a[2];
    if (ouro_parse_init(&signature, args, kwargs, a) < 0) {
        return -1;
    }
    return start(ouro_state_of(self), as_protocol(self), a[0], a[1]);
}

PyObject *
ouro_subprocess_protocol_new(ouro_state *st, PyObject *limit, PyObject *loop)
{
    PyTypeObject *type = st->types.SubprocessProtocol;
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL && start(st, as_protocol(self), limit, loop) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
protocol_traverse(PyObject *self, visitproc visit, void *arg)
{
    SubprocessProtocolObject *protocol = as_protocol(self);
    Py_VISIT(protocol->limit);
    for (int fd = 0; fd < 3; fd++) {
        Py_VISIT(protocol->streams[fd]);
    }
    Py_VISIT(protocol->transport);
    Py_VISIT(protocol->pipe_fds);
    Py_VISIT(protocol->stdin_closed);
    return ouro_flow_traverse(self, visit, arg);
}

static int
protocol_clear(PyObject *self)
{
    SubprocessProtocolObject *protocol = as_protocol(self);
    Py_CLEAR(protocol->limit);
    for (int fd = 0; fd < 3; fd++) {
        Py_CLEAR(protocol->streams[fd]);
    }
    Py_CLEAR(protocol->transport);
    Py_CLEAR(protocol->pipe_fds);
    Py_CLEAR(protocol->stdin_closed);
    return ouro_flow_clear(self);
}

static void
protocol_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (ouro_flow(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)protocol_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
protocol_repr(PyObject *self)
{
    static const char *const names[] = {"stdin=%R", "stdout=%R", "stderr=%R"};
    PyObject *parts = PyList_New(0);
    if (parts == NULL
        || ouro_streams_add_part(parts, PyType_GetName(Py_TYPE(self))) < 0) {
        Py_XDECREF(parts);
        return NULL;
    }
    for (int fd = 0; fd < 3; fd++) {
        PyObject *stream = as_protocol(self)->streams[fd];
        if (stream != NULL && stream != Py_None
            && ouro_streams_add_part(parts,
                                     PyUnicode_FromFormat(names[fd], stream))
                   < 0) {
            Py_DECREF(parts);
            return NULL;
        }
    }
    PyObject *repr = ouro_streams_repr(parts);
    Py_DECREF(parts);
    return repr;
}

/* ---- the pipes are connected -------------------------------------------- */

/* transport.get_pipe_transport(fd) (owned) */
static PyObject *
pipe_transport(ouro_state *st, PyObject *transport, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    PyObject *pipe = number == NULL
                         ? NULL
                         : PyObject_CallMethodOneArg(
                             transport, st->str.get_pipe_transport, number);
    Py_XDECREF(number);
    return pipe;
}

/* self._pipe_fds.append(number) (whatever somebody has put there) */
static int
add_pipe(ouro_state *st, SubprocessProtocolObject *self, PyObject *number)
{
    PyObject *fds =
        Py_NewRef(self->pipe_fds == NULL ? Py_None : self->pipe_fds);
    int result = PyList_CheckExact(fds)
                     ? PyList_Append(fds, number)
                     : ouro_streams_call(fds, st->str.append, number);
    Py_DECREF(fds);
    return result;
}

/* A reader for one of the outputs, if it is a pipe. */
static int
make_reader(ouro_state *st, SubprocessProtocolObject *self,
            PyObject *transport, int fd)
{
    PyObject *pipe = pipe_transport(st, transport, fd);
    if (pipe == NULL || pipe == Py_None) {
        Py_XDECREF(pipe);
        return pipe == NULL ? -1 : 0;
    }
    int result = -1;
    PyObject *number = PyLong_FromLong(fd);
    PyObject *limit = Py_NewRef(self->limit == NULL ? Py_None : self->limit);
    PyObject *reader = ouro_reader_new(st, limit, self->flow.loop);
    Py_DECREF(limit);
    if (number != NULL && reader != NULL) {
        Py_XSETREF(self->streams[fd], Py_NewRef(reader));
        result =
            ouro_reader_set_transport(st, (StreamReaderObject *)reader, pipe);
        if (result == 0) {
            result = add_pipe(st, self, number);
        }
    }
    Py_XDECREF(number);
    Py_XDECREF(reader);
    Py_DECREF(pipe);
    return result;
}

static int
make_writer(ouro_state *st, SubprocessProtocolObject *self,
            PyObject *transport)
{
    PyObject *pipe = pipe_transport(st, transport, 0);
    if (pipe == NULL || pipe == Py_None) {
        Py_XDECREF(pipe);
        return pipe == NULL ? -1 : 0;
    }
    PyObject *writer =
        ouro_writer_new(st, pipe, (PyObject *)self, Py_None, self->flow.loop);
    Py_DECREF(pipe);
    Py_XSETREF(self->streams[0], writer);
    return writer == NULL ? -1 : 0;
}

/* __init__() has been called? */
static int
check_started(PyObject *self)
{
    if (as_protocol(self)->pipe_fds == NULL || ouro_flow(self)->loop == NULL) {
        ouro_no_attribute(self, "_pipe_fds");
        return -1;
    }
    return 0;
}

static PyObject *
protocol_connection_made(PyObject *object, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = OURO_ONE_PARAMETER(
        "SubprocessStreamProtocol.connection_made", "transport");
    PyObject *value;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(object);
    SubprocessProtocolObject *self = as_protocol(object);
    if (check_started(object) < 0) {
        return NULL;
    }
    Py_XSETREF(self->transport, Py_NewRef(value));
    self->half_made = make_reader(st, self, value, 1) < 0
                      || make_reader(st, self, value, 2) < 0
                      || make_writer(st, self, value) < 0;
    return ouro_none_or_error(self->half_made ? -1 : 0);
}

/* ---- what the pipes bring ----------------------------------------------- */

/* A pipe's number: 0, 1, 2, or 3 for what is none; -1: an exception. */
static int
number_of(PyObject *fd)
{
    for (int i = 0; i < 3; i++) {
        PyObject *number = PyLong_FromLong(i);
        int equal =
            number == NULL ? -1 : PyObject_RichCompareBool(fd, number, Py_EQ);
        Py_XDECREF(number);
        if (equal != 0) {
            return equal < 0 ? -1 : i;
        }
    }
    return 3;
}

/* The reader of an output (owned), or NULL: none. */
static PyObject *
reader_of(SubprocessProtocolObject *self, int fd)
{
    PyObject *reader = fd == 1 || fd == 2 ? self->streams[fd] : NULL;
    return reader == Py_None ? NULL : Py_XNewRef(reader);
}

static PyObject *
protocol_pipe_data_received(PyObject *object, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "SubprocessStreamProtocol.pipe_data_received",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"fd", "data"},
    };
    PyObject *a[2];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    int fd = number_of(a[0]);
    if (fd < 0) {
        return NULL;
    }
    PyObject *reader = reader_of(as_protocol(object), fd);
    int result = 0;
    if (reader != NULL) {
        ouro_state *st = ouro_state_of(object);
        result =
            ouro_reader_check(st, reader)
                    && ouro_reader_plain(st, (StreamReaderObject *)reader)
                ? ouro_reader_feed_data(st, (StreamReaderObject *)reader, a[1])
                : ouro_streams_call(reader, st->str.feed_data, a[1]);
        Py_DECREF(reader);
    }
    return ouro_none_or_error(result);
}

/* self._maybe_close_transport() */
static int
maybe_close(PyObject *object)
{
    SubprocessProtocolObject *self = as_protocol(object);
    if (check_started(object) < 0) {
        return -1;
    }
    PyObject *fds = Py_NewRef(self->pipe_fds);
    Py_ssize_t open = PyObject_Size(fds);
    Py_DECREF(fds);
    if (open != 0 || !self->process_exited) {
        return open < 0 ? -1 : 0;
    }
    if (self->transport == NULL && self->half_made) {
        return 0; /* closed, before the end of a pipe that is not noted */
    }
    PyObject *transport =
        Py_NewRef(self->transport == NULL ? Py_None : self->transport);
    int result =
        ouro_streams_call(transport, ouro_state_of(object)->str.close, NULL);
    Py_DECREF(transport);
    if (result == 0) {
        Py_CLEAR(self->transport);
    }
    return result;
}

/* stdin is closed: who drains or waits for it is woken. */
static int
input_lost(ouro_state *st, PyObject *object, PyObject *exc)
{
    SubprocessProtocolObject *self = as_protocol(object);
    PyObject *pipe = Py_XNewRef(self->streams[0]);
    if (pipe != NULL && pipe != Py_None
        && ouro_streams_call(pipe, st->str.close, NULL) < 0) {
        Py_DECREF(pipe);
        return -1;
    }
    Py_XDECREF(pipe);
    if (ouro_streams_call(object, st->str.connection_lost, exc) < 0) {
        return -1;
    }
    if (self->stdin_closed == NULL) {
        ouro_no_attribute(object, "_stdin_closed");
        return -1;
    }
    PyObject *closed = Py_NewRef(self->stdin_closed);
    int result = exc == Py_None
                     ? ouro_anyfuture_set_result(st, closed, Py_None)
                     : ouro_anyfuture_set_exception(st, closed, exc);
    if (result == 0 && exc != Py_None) {
        /* Nobody need wait for it. */
        result = PyObject_SetAttrString(closed, "_log_traceback", Py_False);
    }
    Py_DECREF(closed);
    return result;
}

static int
output_lost(ouro_state *st, PyObject *object, int number, PyObject *fd,
            PyObject *exc)
{
    SubprocessProtocolObject *self = as_protocol(object);
    PyObject *reader = reader_of(self, number);
    if (reader != NULL) {
        int told = exc == Py_None
                       ? ouro_streams_call(reader, st->str.feed_eof, NULL)
                       : ouro_streams_call(reader, st->str.set_exception, exc);
        Py_DECREF(reader);
        if (told < 0) {
            return -1;
        }
    }
    if (check_started(object) < 0) {
        return -1;
    }
    PyObject *fds = Py_NewRef(self->pipe_fds);
    int open = PySequence_Contains(fds, fd);
    int result = open > 0 ? ouro_streams_call(fds, st->str.remove, fd) : open;
    Py_DECREF(fds);
    return result < 0 ? -1 : maybe_close(object);
}

static PyObject *
protocol_pipe_connection_lost(PyObject *object, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "SubprocessStreamProtocol.pipe_connection_lost",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"fd", "exc"},
    };
    PyObject *a[2];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(object);
    int number = number_of(a[0]);
    return ouro_none_or_error(
        number < 0    ? -1
        : number == 0 ? input_lost(st, object, a[1])
                      : output_lost(st, object, number, a[0], a[1]));
}

static PyObject *
protocol_process_exited(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    as_protocol(object)->process_exited = true;
    return ouro_none_or_error(maybe_close(object));
}

static PyObject *
protocol_maybe_close_transport(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(maybe_close(object));
}

static PyObject *
protocol_get_close_waiter(PyObject *object, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = OURO_ONE_PARAMETER(
        "SubprocessStreamProtocol._get_close_waiter", "stream");
    PyObject *value;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    SubprocessProtocolObject *self = as_protocol(object);
    PyObject *mine = self->streams[0] == NULL ? Py_None : self->streams[0];
    if (value != mine || self->stdin_closed == NULL) {
        Py_RETURN_NONE;
    }
    return Py_NewRef(self->stdin_closed);
}

/* ---- the type ----------------------------------------------------------- */

static PyMethodDef protocol_methods[] = {
    OURO_METHOD("connection_made", protocol_connection_made,
                "connection_made($self, /, transport)\n--\n\n"
                "The pipes are connected: make their streams."),
    OURO_METHOD("pipe_data_received", protocol_pipe_data_received,
                "pipe_data_received($self, /, fd, data)\n--\n\n"
                "The child has written bytes to stdout (1) or stderr (2)."),
    OURO_METHOD("pipe_connection_lost", protocol_pipe_connection_lost,
                "pipe_connection_lost($self, /, fd, exc)\n--\n\n"
                "One of the pipes is closed."),
    {"process_exited", protocol_process_exited, METH_NOARGS,
     "process_exited($self, /)\n--\n\nThe child has ended."},
    {"_maybe_close_transport", protocol_maybe_close_transport, METH_NOARGS,
     NULL},
    OURO_METHOD("_get_close_waiter", protocol_get_close_waiter,
                "_get_close_waiter($self, /, stream)\n--\n\n"),
    {NULL},
};

#define OPTIONAL(name, member)                                                \
    STREAMS_OPTIONAL(name, SubprocessProtocolObject, member)

static PyGetSetDef protocol_getset[] = {
    OPTIONAL("stdin", streams[0]),
    OPTIONAL("stdout", streams[1]),
    OPTIONAL("stderr", streams[2]),
    OPTIONAL("_transport", transport),
    OPTIONAL("_limit", limit),
    OPTIONAL("_pipe_fds", pipe_fds),
    OPTIONAL("_stdin_closed", stdin_closed),
    {NULL},
};

static PyMemberDef protocol_members[] = {
    {"_process_exited", T_BOOL,
     offsetof(SubprocessProtocolObject, process_exited), 0},
    {"__dictoffset__", T_PYSSIZET, offsetof(FlowObject, dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(FlowObject, weakrefs),
     READONLY},
    {NULL},
};

PyDoc_STRVAR(protocol_doc, "SubprocessStreamProtocol(limit, loop)\n--\n\n\
Like StreamReaderProtocol, but for a child process.");

static PyType_Slot protocol_slots[] = {
    {Py_tp_doc, (void *)protocol_doc}, {Py_tp_init, protocol_init},
    {Py_tp_dealloc, protocol_dealloc}, {Py_tp_traverse, protocol_traverse},
    {Py_tp_clear, protocol_clear},     {Py_tp_repr, protocol_repr},
    {Py_tp_methods, protocol_methods}, {Py_tp_getset, protocol_getset},
    {Py_tp_members, protocol_members}, {0, NULL},
};

static PyType_Spec protocol_spec = {
    .name = "ouro.SubprocessStreamProtocol",
    .basicsize = sizeof(SubprocessProtocolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = protocol_slots,
};

int
ouro_subprocess_protocol_setup(PyObject *module, ouro_state *st)
{
    PyObject *base =
        PyObject_GetAttrString(st->stock.asyncio, "SubprocessProtocol");
    PyObject *bases = base == NULL
                          ? NULL
                          : PyTuple_Pack(2, st->types.FlowControlMixin, base);
    Py_XDECREF(base);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &protocol_spec, bases, true,
                               &st->types.SubprocessProtocol);
    Py_DECREF(bases);
    return result;
}
