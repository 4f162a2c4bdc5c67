/* writer.c - StreamWriter: a transport, with drain() to wait for it.
 *
 * Everything is passed on to the transport: on one of ours without a Python
 * call.  The coroutines are in writeops.c.
 */
#include "streams/writer.h"

#include "base/rooms.h"
#include "net/protocol_ops.h"
#include "streams/reader.h"
#include "task/future.h"

static StreamWriterObject *
as_writer(PyObject *self)
{
    return (StreamWriterObject *)self;
}

bool
ouro_writer_complete(StreamWriterObject *writer)
{
    const char *missing = writer->transport == NULL  ? "_transport"
                          : writer->protocol == NULL ? "_protocol"
                          : writer->reader == NULL   ? "_reader"
                          : writer->loop == NULL     ? "_loop"
                                                     : NULL;
    if (missing != NULL) {
        ouro_no_attribute((PyObject *)writer, missing);
    }
    return missing == NULL;
}

/* ---- life --------------------------------------------------------------- */

/* The future that is done from the beginning, which drain() once returned: a
 * new reference. */
static PyObject *
complete_future(ouro_state *st, StreamWriterObject *self)
{
    if (self->complete_fut != NULL) {
        return Py_NewRef(self->complete_fut);
    }
    PyObject *fut = ouro_create_future(st, self->loop);
    if (fut == NULL || ouro_anyfuture_set_result(st, fut, Py_None) < 0) {
        Py_XDECREF(fut);
        return NULL;
    }
    self->complete_fut = Py_NewRef(fut);
    return fut;
}

/* drain() relies on the reader's exception(). */
static int
check_reader(ouro_state *st, PyObject *reader)
{
    if (reader == Py_None || ouro_reader_check(st, reader)) {
        return 0;
    }
    int stock = PyObject_IsInstance(reader, st->stock.stock_StreamReader);
    return stock < 0 ? -1 : ouro_streams_assert(st, stock, NULL);
}

static int
start(ouro_state *st, StreamWriterObject *self, PyObject *transport,
      PyObject *protocol, PyObject *reader, PyObject *loop)
{
    if (self->dict == NULL && ouro_dict_at_birth(&self->dict) < 0) {
        return -1;
    }
    Py_XSETREF(self->transport, Py_NewRef(transport));
    Py_XSETREF(self->protocol, Py_NewRef(protocol));
    if (check_reader(st, reader) < 0) {
        return -1;
    }
    Py_XSETREF(self->reader, Py_NewRef(reader));
    Py_XSETREF(self->loop, Py_NewRef(loop));
    Py_CLEAR(self->complete_fut);
    if (ouro_loop_fast(st, loop)) {
        return 0; /* nobody sees when it is made */
    }
    return ouro_drop_result(complete_future(st, self));
}

static const ouro_signature init_signature = {
    .qualname = "StreamWriter.__init__",
    .skip_self = 1,
    .positional = 4,
    .required = 4,
    .names = {"transport", "protocol", "reader", "loop", NULL},
};

static int
writer_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *given[4];
    if (ouro_parse_init(&init_signature, args, kwargs, given) < 0) {
        return -1;
    }
    return start(ouro_state_of(self), as_writer(self), given[0], given[1],
                 given[2], given[3]);
}

PyObject *
ouro_writer_new(ouro_state *st, PyObject *transport, PyObject *protocol,
                PyObject *reader, PyObject *loop)
{
    PyTypeObject *type = st->types.StreamWriter;
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL
        && start(st, as_writer(self), transport, protocol, reader, loop) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
writer_traverse(PyObject *self, visitproc visit, void *arg)
{
    StreamWriterObject *writer = as_writer(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(writer->dict);
    Py_VISIT(writer->transport);
    Py_VISIT(writer->protocol);
    Py_VISIT(writer->reader);
    Py_VISIT(writer->loop);
    Py_VISIT(writer->complete_fut);
    return 0;
}

static int
writer_clear(PyObject *self)
{
    StreamWriterObject *writer = as_writer(self);
    Py_CLEAR(writer->dict);
    Py_CLEAR(writer->transport);
    Py_CLEAR(writer->protocol);
    Py_CLEAR(writer->reader);
    Py_CLEAR(writer->loop);
    Py_CLEAR(writer->complete_fut);
    return 0;
}

/* Nobody has closed the stream. 0 or -1. */
static int
close_unclosed(ouro_state *st, PyObject *self)
{
    StreamWriterObject *writer = as_writer(self);
    int closing = ouro_transport_is_closing(st, writer->transport);
    if (closing != 0) {
        return closing < 0 ? -1 : 0;
    }
    if (st->has.streams.writer_del == STREAMS_DEL_ASKS_LOOP) {
        int closed = ouro_truth_of(
            PyObject_CallMethodNoArgs(writer->loop, st->str.is_closed));
        if (closed != 0) {
            return closed < 0 ? -1
                              : PyErr_WarnEx(PyExc_ResourceWarning,
                                             "loop is closed", 1);
        }
    }
    if (ouro_streams_call(self, st->str.close, NULL) < 0) {
        return -1;
    }
    return PyErr_WarnFormat(PyExc_ResourceWarning, 1, "unclosed %R", self);
}

static void
writer_finalize(PyObject *self)
{
    ouro_state *st = ouro_state_of(self);
    StreamWriterObject *writer = as_writer(self);
    if (st->has.streams.writer_del == STREAMS_DEL_NONE
        || writer->transport == NULL || writer->loop == NULL) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    if (close_unclosed(st, self) < 0) {
        PyErr_WriteUnraisable(self);
    }
    PyErr_SetRaisedException(error);
}

static void
writer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    if (as_writer(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    writer_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
add_state(PyObject *parts, StreamWriterObject *writer)
{
    if (ouro_streams_add_part(
            parts, PyUnicode_FromFormat("transport=%R", writer->transport))
        < 0) {
        return -1;
    }
    return writer->reader == Py_None
               ? 0
               : ouro_streams_add_part(
                   parts, PyUnicode_FromFormat("reader=%R", writer->reader));
}

static PyObject *
writer_repr(PyObject *self)
{
    StreamWriterObject *writer = as_writer(self);
    if (!ouro_writer_complete(writer)) {
        return NULL;
    }
    PyObject *repr = NULL;
    PyObject *parts = PyList_New(0);
    if (parts != NULL
        && ouro_streams_add_part(parts, PyType_GetName(Py_TYPE(self))) == 0
        && add_state(parts, writer) == 0) {
        repr = ouro_streams_repr(parts);
    }
    Py_XDECREF(parts);
    return repr;
}

/* ---- methods ------------------------------------------------------------ */

/* The transport, or NULL with an exception: __init__() was not called. */
static PyObject *
transport_of(PyObject *self)
{
    PyObject *transport = as_writer(self)->transport;
    if (transport == NULL) {
        ouro_no_attribute(self, "_transport");
    }
    return transport;
}

#define METHOD_SIGNATURE(variable, method, argument)                          \
    static const ouro_signature variable = {                                  \
        .qualname = "StreamWriter." method,                                   \
        .skip_self = 1,                                                       \
        .positional = 1,                                                      \
        .required = 1,                                                        \
        .names = {argument, NULL},                                            \
    }

METHOD_SIGNATURE(write_signature, "write", "data");
METHOD_SIGNATURE(writelines_signature, "writelines", "data");

/* self._transport.write(data), or writelines(data) */
static inline PyObject *
send_data(PyObject *self, PyObject *data, bool lines)
{
    PyObject *transport = transport_of(self);
    if (transport == NULL) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(self);
    const transport_ops *ops = ouro_transport_ops(st, transport);
    Py_INCREF(transport);
    int result;
    if (ops != NULL) {
        result = lines ? ops->writelines(transport, data)
                       : ops->write(transport, data);
    }
    else {
        result = ouro_streams_call(
            transport, lines ? st->str.writelines : st->str.write, data);
    }
    Py_DECREF(transport);
    return ouro_none_or_error(result);
}

PyDoc_STRVAR(write_doc, "write($self, /, data)\n--\n\n\
Send bytes, as soon as the kernel takes them; drain() waits for that.");

static PyObject *
writer_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    PyObject *data;
    return ouro_parse_one(&write_signature, args, nargs, kwnames, &data) < 0
               ? NULL
               : send_data(self, data, false);
}

PyDoc_STRVAR(writelines_doc, "writelines($self, /, data)\n--\n\n\
Send a list (or any iterable) of bytes objects.");

static PyObject *
writer_writelines(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    PyObject *data;
    return ouro_parse_one(&writelines_signature, args, nargs, kwnames, &data)
                   < 0
               ? NULL
               : send_data(self, data, true);
}

/* return self._transport.name() */
static PyObject *
pass_on(PyObject *self, PyObject *name)
{
    PyObject *transport = transport_of(self);
    if (transport == NULL) {
        return NULL;
    }
    Py_INCREF(transport);
    PyObject *result = PyObject_CallMethodNoArgs(transport, name);
    Py_DECREF(transport);
    return result;
}

PyDoc_STRVAR(write_eof_doc, "write_eof($self, /)\n--\n\n\
Close the sending side, when all that was written has been sent.");

static PyObject *
writer_write_eof(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    if (ouro_parse_none("StreamWriter.write_eof", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return pass_on(self, ouro_state_of(self)->str.write_eof);
}

PyDoc_STRVAR(can_write_eof_doc, "can_write_eof($self, /)\n--\n\n\
Return whether the transport supports write_eof().");

static PyObject *
writer_can_write_eof(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    if (ouro_parse_none("StreamWriter.can_write_eof", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return pass_on(self, ouro_state_of(self)->str.can_write_eof);
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n\
Close the stream, when all that was written has been sent; wait_closed()\n\
waits for that.");

static PyObject *
writer_close(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    if (ouro_parse_none("StreamWriter.close", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return pass_on(self, ouro_state_of(self)->str.close);
}

PyDoc_STRVAR(is_closing_doc, "is_closing($self, /)\n--\n\n\
Return whether the stream is closed or being closed.");

static PyObject *
writer_is_closing(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    if (ouro_parse_none("StreamWriter.is_closing", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return pass_on(self, ouro_state_of(self)->str.is_closing);
}

PyDoc_STRVAR(get_extra_info_doc,
"get_extra_info($self, /, name, default=None)\n--\n\n\
Return what the transport knows by that name: 'peername', 'socket', ...");

static const ouro_signature get_extra_info_signature = {
    .qualname = "StreamWriter.get_extra_info",
    .skip_self = 1,
    .positional = 2,
    .required = 1,
    .names = {"name", "default", NULL},
};

static PyObject *
writer_get_extra_info(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    PyObject *given[2], *transport;
    if (ouro_parse(&get_extra_info_signature, args, nargs, kwnames, given) < 0
        || (transport = transport_of(self)) == NULL) {
        return NULL;
    }
    PyObject *call[] = {Py_NewRef(transport), given[0],
                        given[1] != NULL ? given[1] : Py_None};
    PyObject *result = PyObject_VectorcallMethod(
        ouro_state_of(self)->str.get_extra_info, call, 3, NULL);
    Py_DECREF(transport);
    return result;
}

static PyMethodDef writer_methods[] = {
    OURO_METHOD("write", writer_write, write_doc),
    OURO_METHOD("writelines", writer_writelines, writelines_doc),
    OURO_METHOD("write_eof", writer_write_eof, write_eof_doc),
    OURO_METHOD("can_write_eof", writer_can_write_eof, can_write_eof_doc),
    OURO_METHOD("close", writer_close, close_doc),
    OURO_METHOD("is_closing", writer_is_closing, is_closing_doc),
    OURO_METHOD("get_extra_info", writer_get_extra_info, get_extra_info_doc),
    {NULL},
};

/* ---- attributes and type ------------------------------------------------ */

static PyObject *
writer_get_transport(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_XNewRef(transport_of(self));
}

static PyObject *
writer_get_complete_fut(PyObject *self, void *Py_UNUSED(closure))
{
    if (!ouro_writer_complete(as_writer(self))) {
        return NULL;
    }
    return complete_future(ouro_state_of(self), as_writer(self));
}

static int
writer_set_complete_fut(PyObject *self, PyObject *value,
                        void *Py_UNUSED(closure))
{
    Py_XSETREF(as_writer(self)->complete_fut, Py_XNewRef(value));
    return 0;
}

static PyGetSetDef writer_getset[] = {
    {"transport", writer_get_transport, NULL, "The transport underneath."},
    {"_complete_fut", writer_get_complete_fut, writer_set_complete_fut},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    {NULL},
};

#define OFFSET(member) offsetof(StreamWriterObject, member)

static PyMemberDef writer_members[] = {
    {"_transport", T_OBJECT_EX, OFFSET(transport), 0},
    {"_protocol", T_OBJECT_EX, OFFSET(protocol), 0},
    {"_reader", T_OBJECT_EX, OFFSET(reader), 0},
    {"_loop", T_OBJECT_EX, OFFSET(loop), 0},
    {"__dictoffset__", T_PYSSIZET, OFFSET(dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, OFFSET(weakrefs), READONLY},
    {NULL},
};

PyDoc_STRVAR(writer_doc,
"StreamWriter(transport, protocol, reader, loop)\n--\n\n\
Wraps a transport: write(), writelines(), write_eof(), close() and so on,\n\
and drain(), to wait while too much is waiting to be sent.");

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, (void *)writer_doc},   {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, writer_init},         {Py_tp_dealloc, writer_dealloc},
    {Py_tp_finalize, writer_finalize}, {Py_tp_traverse, writer_traverse},
    {Py_tp_clear, writer_clear},       {Py_tp_repr, writer_repr},
    {Py_tp_methods, writer_methods},   {Py_tp_getset, writer_getset},
    {Py_tp_members, writer_members},   {0, NULL},
};

static PyType_Spec writer_spec = {
    .name = "ouro.StreamWriter",
    .basicsize = sizeof(StreamWriterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = writer_slots,
};

int
ouro_writer_setup(PyObject *module, ouro_state *st)
{
    PyTypeObject **slot = &st->types.StreamWriter;
    if (ouro_add_type(module, &writer_spec, NULL, true, slot) < 0
        || ouro_add_async_methods(st, *slot, ouro_writer_async_methods) < 0
        || ouro_writer_add_start_tls(st, *slot) < 0) {
        return -1;
    }
    return 0;
}
