/* protocol_type.c - StreamReaderProtocol as Python sees it: its life, its
 * methods, its private attributes.
 */
#include "base/rooms.h"
#include "net/protocol_ops.h"
#include "streams/protocol.h"
#include "streams/protocol_impl.h"
#include "task/future.h"

static StreamProtocolObject *
as_protocol(PyObject *self)
{
    return (StreamProtocolObject *)self;
}

/* ---- life --------------------------------------------------------------- */

/* stream_reader._source_traceback, whatever kind of reader it is. */
static int
take_origin(ouro_state *st, StreamProtocolObject *self, PyObject *reader)
{
    PyObject *origin;
    if (Py_TYPE(reader) == st->types.StreamReader) {
        origin = Py_XNewRef(((StreamReaderObject *)reader)->source_traceback);
        Py_XSETREF(self->source_traceback, origin);
        return 0;
    }
    origin = PyObject_GetAttr(reader, st->str._source_traceback);
    if (origin == NULL) {
        return -1;
    }
    Py_XSETREF(self->source_traceback, origin);
    return 0;
}

static void
reset(ouro_state *st, StreamProtocolObject *self)
{
    self->reject_connection = self->over_ssl = self->lost = false;
    Py_XSETREF(self->writer,
               st->has.streams.keeps_writer ? Py_NewRef(Py_None) : NULL);
    Py_CLEAR(self->task);
    Py_CLEAR(self->transport);
    Py_CLEAR(self->closed);
    Py_CLEAR(self->closed_exc);
}

/* On a loop that is fast nobody sees when the future is made: it is made for
 * whom asks. */
static int
make_closed(ouro_state *st, StreamProtocolObject *self)
{
    self->started = true;
    if (ouro_loop_fast(st, self->flow.loop)) {
        return 0;
    }
    return ouro_drop_result(ouro_stream_protocol_closed(st, self));
}

/* callback, loop: NULL for None. */
static int
start(ouro_state *st, StreamProtocolObject *self, PyObject *reader,
      PyObject *callback, PyObject *loop)
{
    if (ouro_flow_init(st, &self->flow, loop) < 0
        || ouro_stream_protocol_attach(st, self, reader) < 0
        || (reader != Py_None && take_origin(st, self, reader) < 0)) {
        return -1;
    }
    if (callback != NULL) {
        Py_XSETREF(self->strong_reader, Py_NewRef(reader));
    }
    Py_XSETREF(self->client_connected_cb, Py_XNewRef(callback));
    reset(st, self);
    return make_closed(st, self);
}

static const ouro_signature init_signature = {
    .qualname = "StreamReaderProtocol.__init__",
    .skip_self = 1,
    .positional = 3,
    .required = 1,
    .names = {"stream_reader", "client_connected_cb", "loop", NULL},
};

static int
protocol_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *given[3];
    if (ouro_parse_init(&init_signature, args, kwargs, given) < 0) {
        return -1;
    }
    return start(ouro_state_of(self), as_protocol(self), given[0],
                 given[1] == Py_None ? NULL : given[1], given[2]);
}

PyObject *
ouro_stream_protocol_new(ouro_state *st, PyObject *reader, PyObject *callback,
                         PyObject *loop)
{
    PyTypeObject *type = st->types.StreamReaderProtocol;
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL
        && start(st, as_protocol(self), reader, callback, loop) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
protocol_traverse(PyObject *object, visitproc visit, void *arg)
{
    StreamProtocolObject *self = as_protocol(object);
    Py_VISIT(self->reader_ref);
    Py_VISIT(self->strong_reader);
    Py_VISIT(self->rooted);
    Py_VISIT(self->source_traceback);
    Py_VISIT(self->writer);
    Py_VISIT(self->task);
    Py_VISIT(self->transport);
    Py_VISIT(self->client_connected_cb);
    Py_VISIT(self->closed);
    Py_VISIT(self->closed_exc);
    return ouro_flow_traverse(object, visit, arg);
}

static int
protocol_clear(PyObject *object)
{
    StreamProtocolObject *self = as_protocol(object);
    self->started = false;
    ouro_stream_protocol_detach(self);
    Py_CLEAR(self->strong_reader);
    Py_CLEAR(self->source_traceback);
    Py_CLEAR(self->writer);
    Py_CLEAR(self->task);
    Py_CLEAR(self->transport);
    Py_CLEAR(self->client_connected_cb);
    Py_CLEAR(self->closed);
    Py_CLEAR(self->closed_exc);
    return ouro_flow_clear(object);
}

/* Nobody need have asked how the connection ended. */
static void
protocol_finalize(PyObject *object)
{
    ouro_state *st = ouro_state_of(object);
    PyObject *closed = as_protocol(object)->closed;
    if (closed == NULL) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    Py_INCREF(closed);
    int done = ouro_anyfuture_done(st, closed);
    int cancelled = done > 0 ? ouro_anyfuture_cancelled(st, closed) : done;
    if (done > 0 && cancelled == 0) {
        Py_XDECREF(ouro_anyfuture_exception(st, closed));
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(object);
    }
    Py_DECREF(closed);
    PyErr_SetRaisedException(error);
}

static void
protocol_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (PyObject_CallFinalizerFromDealloc(object) < 0) {
        return;
    }
    PyObject_GC_UnTrack(object);
    if (ouro_flow(object)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    protocol_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- methods ------------------------------------------------------------ */

static PyObject *
protocol_connection_made(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = OURO_ONE_PARAMETER(
        "StreamReaderProtocol.connection_made", "transport");
    PyObject *transport;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &transport) < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_stream_protocol_connection_made(self, transport));
}

static PyObject *
protocol_connection_lost(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("StreamReaderProtocol.connection_lost", "exc");
    PyObject *exc;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &exc) < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_stream_protocol_connection_lost(
        self, exc == Py_None ? NULL : exc));
}

static PyObject *
protocol_data_received(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("StreamReaderProtocol.data_received", "data");
    PyObject *data;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &data) < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_stream_protocol_feed(
        ouro_state_of(self), as_protocol(self), data));
}

static PyObject *
protocol_eof_received(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    if (ouro_parse_none("StreamReaderProtocol.eof_received", args, nargs,
                        kwnames)
        < 0) {
        return NULL;
    }
    int stay_open = ouro_stream_protocol_eof_received(self);
    return stay_open < 0 ? NULL : PyBool_FromLong(stay_open);
}

/* The attribute _closed. */
static PyObject *
protocol_get_closed(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *closed =
        ouro_stream_protocol_closed(ouro_state_of(self), as_protocol(self));
    if (closed == NULL && !PyErr_Occurred()) {
        ouro_no_attribute(self, "_closed");
    }
    return closed;
}

static PyObject *
protocol_get_close_waiter(PyObject *self, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("StreamReaderProtocol._get_close_waiter", "stream");
    PyObject *stream;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &stream) < 0) {
        return NULL;
    }
    return protocol_get_closed(self, NULL);
}

/* <= 3.12 */
static PyObject *
protocol_replace_writer(PyObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("StreamReaderProtocol._replace_writer", "writer");
    PyObject *writer;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &writer) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(self);
    PyObject *transport = PyObject_GetAttr(writer, st->str.transport);
    if (transport == NULL) {
        return NULL;
    }
    Py_XSETREF(as_protocol(self)->writer, Py_NewRef(writer));
    int result = ouro_stream_protocol_replace_transport(st, as_protocol(self),
                                                        transport);
    Py_DECREF(transport);
    return ouro_none_or_error(result);
}

/* 3.13+ */
static PyObject *
protocol_replace_transport(PyObject *self, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = OURO_ONE_PARAMETER(
        "StreamReaderProtocol._replace_transport", "transport");
    PyObject *transport;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &transport) < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_stream_protocol_replace_transport(
        ouro_state_of(self), as_protocol(self), transport));
}

static PyMethodDef protocol_methods[] = {
    OURO_METHOD(
        "connection_made", protocol_connection_made,
        "connection_made($self, /, transport)\n--\n\n"
        "The connection is there: call client_connected_cb, if there is one."),
    OURO_METHOD(
        "connection_lost", protocol_connection_lost,
        "connection_lost($self, /, exc)\n--\n\n"
        "The connection has ended: the reader ends too, or fails with exc."),
    OURO_METHOD(
        "data_received", protocol_data_received,
        "data_received($self, /, data)\n--\n\nFeed bytes to the reader."),
    OURO_METHOD("eof_received", protocol_eof_received,
                "eof_received($self, /)\n--\n\n"
                "The other side sends no more.  Returns whether ours may."),
    OURO_METHOD("_get_close_waiter", protocol_get_close_waiter,
                "_get_close_waiter($self, /, stream)\n--\n\n"),
    {NULL},
};

static PyMethodDef replace_writer_method =
    OURO_METHOD("_replace_writer", protocol_replace_writer,
                "_replace_writer($self, /, writer)\n--\n\n");

static PyMethodDef replace_transport_method =
    OURO_METHOD("_replace_transport", protocol_replace_transport,
                "_replace_transport($self, /, transport)\n--\n\n");

/* ---- attributes --------------------------------------------------------- */

static int
protocol_set_closed(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(as_protocol(self)->closed, Py_XNewRef(value));
    return 0;
}

static PyObject *
protocol_get_stream_reader(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *reader = ouro_stream_protocol_reader(as_protocol(self));
    return reader != NULL ? reader : Py_NewRef(Py_None);
}

static PyObject *
protocol_get_reader_ref(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *reference = as_protocol(self)->reader_ref;
    return Py_NewRef(reference != NULL ? reference : Py_None);
}

static int
protocol_set_reader_ref(PyObject *self, PyObject *value,
                        void *Py_UNUSED(closure))
{
    PyObject *reader = NULL;
    if (value == NULL || value == Py_None) {
        ouro_stream_protocol_detach(as_protocol(self));
        return 0;
    }
    if (!PyWeakref_Check(value)) {
        PyErr_SetString(PyExc_TypeError,
                        "_stream_reader_wr must be a weak reference");
        return -1;
    }
    if (PyWeakref_GetRef(value, &reader) < 0) {
        return -1;
    }
    int result =
        ouro_stream_protocol_attach(ouro_state_of(self), as_protocol(self),
                                    reader != NULL ? reader : Py_None);
    Py_XDECREF(reader);
    return result;
}

static PyGetSetDef protocol_getset[] = {
    {"_closed", protocol_get_closed, protocol_set_closed},
    {"_stream_reader", protocol_get_stream_reader, NULL},
    {"_stream_reader_wr", protocol_get_reader_ref, protocol_set_reader_ref},
    STREAMS_OPTIONAL("_source_traceback", StreamProtocolObject,
                     source_traceback),
    STREAMS_OPTIONAL("_task", StreamProtocolObject, task),
    STREAMS_OPTIONAL("_transport", StreamProtocolObject, transport),
    STREAMS_OPTIONAL("_client_connected_cb", StreamProtocolObject,
                     client_connected_cb),
    {NULL},
};

#define OFFSET(member) offsetof(StreamProtocolObject, member)

static PyMemberDef protocol_members[] = {
    {"_strong_reader", T_OBJECT_EX, OFFSET(strong_reader), 0},
    {"_stream_writer", T_OBJECT_EX, OFFSET(writer), 0},
    {"_over_ssl", T_BOOL, OFFSET(over_ssl), 0},
    {"_reject_connection", T_BOOL, OFFSET(reject_connection), 0},
    {NULL},
};

PyDoc_STRVAR(protocol_doc, "\
StreamReaderProtocol(stream_reader, client_connected_cb=None, loop=None)\n\
--\n\n\
Feeds a StreamReader from a transport.\n\n\
With a client_connected_cb it is a server's: the callback gets the reader\n\
and a writer when the connection is made; if it returns a coroutine, that\n\
becomes a task.");

static PyType_Slot protocol_slots[] = {
    {Py_tp_doc, (void *)protocol_doc},   {Py_tp_init, protocol_init},
    {Py_tp_dealloc, protocol_dealloc},   {Py_tp_finalize, protocol_finalize},
    {Py_tp_traverse, protocol_traverse}, {Py_tp_clear, protocol_clear},
    {Py_tp_methods, protocol_methods},   {Py_tp_getset, protocol_getset},
    {Py_tp_members, protocol_members},   {0, NULL},
};

static PyType_Spec protocol_spec = {
    .name = "ouro.StreamReaderProtocol",
    .basicsize = sizeof(StreamProtocolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = protocol_slots,
};

int
ouro_stream_protocol_setup(PyObject *module, ouro_state *st)
{
    PyTypeObject **slot = &st->types.StreamReaderProtocol;
    PyObject *bases =
        PyTuple_Pack(2, st->types.FlowControlMixin, st->stock.Protocol);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &protocol_spec, bases, true, slot);
    Py_DECREF(bases);
    PyMethodDef *replace = st->has.streams.replaces_transport
                               ? &replace_transport_method
                               : &replace_writer_method;
    if (result < 0 || ouro_streams_add_method(*slot, replace) < 0
        || ouro_stream_handler_setup(module, st) < 0
        || ouro_intact_init(&st->streams.StreamReaderProtocol, *slot) < 0) {
        return -1;
    }
    ouro_register_protocol(st, *slot, &ouro_stream_protocol_ops);
    return 0;
}
