/* reader_type.c - StreamReader as Python sees it: its type, its methods that
 * are no coroutines, and the private attributes that people look at.
 */
#include <math.h>

#include "base/rooms.h"
#include "streams/common.h"
#include "streams/protocol.h"
#include "streams/readops.h"
#include "task/host.h"

static StreamReaderObject *
as_reader(PyObject *self)
{
    return (StreamReaderObject *)self;
}

/* ---- limits ------------------------------------------------------------- */

static Py_ssize_t
clamped(double value)
{
    if (value >= (double)PY_SSIZE_T_MAX) {
        return PY_SSIZE_T_MAX;
    }
    return value <= (double)PY_SSIZE_T_MIN ? PY_SSIZE_T_MIN
                                           : (Py_ssize_t)value;
}

/* Sizes are ints: "more than 1.5 bytes" is "more than 1". */
static int
set_limit_number(StreamReaderObject *reader, PyObject *limit)
{
    double number = PyFloat_AsDouble(limit);
    if (number == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear();
        number = HUGE_VAL;
    }
    reader->limit = isnan(number) ? PY_SSIZE_T_MAX : clamped(floor(number));
    reader->high = isnan(number) ? PY_SSIZE_T_MAX : clamped(floor(2 * number));
    Py_XSETREF(reader->limit_object, Py_NewRef(limit));
    return 0;
}

static int
set_limit(StreamReaderObject *reader, PyObject *limit)
{
    int overflow = 1;
    long long number = 0;
    if (PyLong_CheckExact(limit)) {
        number = PyLong_AsLongLongAndOverflow(limit, &overflow);
    }
    if (overflow != 0 || number > PY_SSIZE_T_MAX / 2
        || number < PY_SSIZE_T_MIN / 2) {
        return set_limit_number(reader, limit);
    }
    reader->limit = (Py_ssize_t)number;
    reader->high = 2 * (Py_ssize_t)number;
    Py_CLEAR(reader->limit_object);
    return 0;
}

PyObject *
ouro_reader_limit(StreamReaderObject *reader)
{
    return reader->limit_object != NULL ? Py_NewRef(reader->limit_object)
                                        : PyLong_FromSsize_t(reader->limit);
}

/* As __init__ checks its argument. */
static int
check_limit(PyObject *limit)
{
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL) {
        return -1;
    }
    int refused = PyObject_RichCompareBool(limit, zero, Py_LE);
    Py_DECREF(zero);
    if (refused > 0) {
        PyErr_SetString(PyExc_ValueError, "Limit cannot be <= 0");
    }
    return refused == 0 ? 0 : -1;
}

/* ---- life --------------------------------------------------------------- */

static void
reset(StreamReaderObject *reader)
{
    ouro_reader_set_waiter(reader, NULL, NULL);
    stream_buffer_free(&reader->buffer);
    Py_CLEAR(reader->storage);
    Py_CLEAR(reader->transport);
    Py_CLEAR(reader->exception);
    Py_CLEAR(reader->source_traceback);
    reader->eof = reader->paused = false;
}

/* In debug mode: where it was made. */
static int
note_origin(ouro_state *st, StreamReaderObject *reader)
{
    int debug = ouro_loop_debug(st, reader->loop);
    if (debug <= 0) {
        return debug;
    }
    reader->source_traceback = PyObject_CallMethodNoArgs(
        st->stock.format_helpers, st->str.extract_stack);
    return reader->source_traceback == NULL ? -1 : 0;
}

static int
start(ouro_state *st, StreamReaderObject *reader, PyObject *loop)
{
    reset(reader);
    if (reader->dict == NULL && ouro_dict_at_birth(&reader->dict) < 0) {
        return -1;
    }
    PyObject *mine = loop == NULL || loop == Py_None ? ouro_event_loop(st)
                                                     : Py_NewRef(loop);
    if (mine == NULL) {
        return -1;
    }
    Py_XSETREF(reader->loop, mine);
    return note_origin(st, reader);
}

static const ouro_signature init_signature = {
    .qualname = "StreamReader.__init__",
    .skip_self = 1,
    .positional = 2,
    .names = {"limit", "loop", NULL},
};

static int
reader_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    StreamReaderObject *reader = as_reader(self);
    PyObject *given[2];
    if (ouro_parse_init(&init_signature, args, kwargs, given) < 0) {
        return -1;
    }
    reader->limit = STREAM_DEFAULT_LIMIT;
    reader->high = 2 * STREAM_DEFAULT_LIMIT;
    if (given[0] != NULL
        && (check_limit(given[0]) < 0 || set_limit(reader, given[0]) < 0)) {
        return -1;
    }
    return start(ouro_state_of(self), reader, given[1]);
}

PyObject *
ouro_reader_new(ouro_state *st, PyObject *limit, PyObject *loop)
{
    PyTypeObject *type = st->types.StreamReader;
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    if (check_limit(limit) < 0 || set_limit(as_reader(self), limit) < 0
        || start(st, as_reader(self), loop) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static int
reader_traverse(PyObject *self, visitproc visit, void *arg)
{
    StreamReaderObject *reader = as_reader(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(reader->dict);
    Py_VISIT(reader->loop);
    Py_VISIT(reader->transport);
    Py_VISIT(reader->exception);
    Py_VISIT(reader->source_traceback);
    Py_VISIT(reader->waiter);
    Py_VISIT(reader->parked);
    Py_VISIT(reader->limit_object);
    Py_VISIT(reader->storage);
    return 0;
}

static int
reader_clear(PyObject *self)
{
    StreamReaderObject *reader = as_reader(self);
    ouro_stream_unlink(reader);
    reset(reader);
    Py_CLEAR(reader->loop);
    Py_CLEAR(reader->limit_object);
    Py_CLEAR(reader->dict);
    return 0;
}

static void
reader_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (as_reader(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    reader_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- repr --------------------------------------------------------------- */

/* "name=repr" if the value is true. */
static int
append_if_true(PyObject *parts, const char *name, PyObject *value)
{
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth <= 0) {
        return truth;
    }
    return ouro_streams_add_part(parts,
                                 PyUnicode_FromFormat("%s=%R", name, value));
}

static int
append_limit(PyObject *parts, StreamReaderObject *reader)
{
    if (reader->limit_object != NULL) {
        return ouro_streams_add_part(
            parts, PyUnicode_FromFormat("limit=%S", reader->limit_object));
    }
    return ouro_streams_add_part(
        parts, PyUnicode_FromFormat("limit=%zd", reader->limit));
}

static int
append_state(PyObject *parts, StreamReaderObject *reader)
{
    Py_ssize_t size = (Py_ssize_t)ouro_reader_size(reader);
    if ((size > 0
         && ouro_streams_add_part(parts,
                                  PyUnicode_FromFormat("%zd bytes", size))
                < 0)
        || (reader->eof
            && ouro_streams_add_part(parts, PyUnicode_FromString("eof")) < 0)
        || (reader->limit != STREAM_DEFAULT_LIMIT
            && append_limit(parts, reader) < 0)
        || append_if_true(parts, "waiter", reader->waiter) < 0
        || append_if_true(parts, "exception", reader->exception) < 0
        || append_if_true(parts, "transport", reader->transport) < 0
        || (reader->paused
            && ouro_streams_add_part(parts, PyUnicode_FromString("paused"))
                   < 0)) {
        return -1;
    }
    return 0;
}

static PyObject *
reader_repr(PyObject *self)
{
    PyObject *parts = Py_BuildValue("[s]", "StreamReader");
    PyObject *repr = NULL;
    if (parts != NULL && append_state(parts, as_reader(self)) == 0) {
        repr = ouro_streams_repr(parts);
    }
    Py_XDECREF(parts);
    return repr;
}

/* ---- methods ------------------------------------------------------------ */

PyDoc_STRVAR(exception_doc, "exception($self, /)\n--\n\n\
Return the exception that was set on this stream, or None.");

static PyObject *
reader_exception(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    if (ouro_parse_none("StreamReader.exception", args, nargs, kwnames) < 0) {
        return NULL;
    }
    PyObject *exception = as_reader(self)->exception;
    return Py_NewRef(exception != NULL ? exception : Py_None);
}

PyDoc_STRVAR(set_exception_doc, "set_exception($self, /, exc)\n--\n\n\
Make reading raise an exception, for who waits and from now on.");

static const ouro_signature set_exception_signature =
    OURO_ONE_PARAMETER("StreamReader.set_exception", "exc");

static PyObject *
reader_set_exception(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    PyObject *exception;
    if (ouro_parse_one(&set_exception_signature, args, nargs, kwnames,
                       &exception)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_reader_set_exception(
        ouro_state_of(self), as_reader(self), exception));
}

static PyObject *
reader_wakeup_waiter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    if (ouro_parse_none("StreamReader._wakeup_waiter", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_reader_wakeup_waiter(ouro_state_of(self), as_reader(self)));
}

PyDoc_STRVAR(set_transport_doc, "set_transport($self, /, transport)\n--\n\n\
Tell where the data comes from, so that it can be paused.");

static const ouro_signature set_transport_signature =
    OURO_ONE_PARAMETER("StreamReader.set_transport", "transport");

static PyObject *
reader_set_transport(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    PyObject *transport;
    if (ouro_parse_one(&set_transport_signature, args, nargs, kwnames,
                       &transport)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_reader_set_transport(
        ouro_state_of(self), as_reader(self), transport));
}

static const ouro_signature replace_transport_signature =
    OURO_ONE_PARAMETER("StreamReader._replace_transport", "transport");

static PyObject *
reader_replace_transport(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    StreamReaderObject *reader = as_reader(self);
    PyObject *transport;
    if (ouro_parse_one(&replace_transport_signature, args, nargs, kwnames,
                       &transport)
            < 0
        || ouro_streams_assert(ouro_state_of(self), reader->transport != NULL,
                               "Transport not set")
               < 0) {
        return NULL;
    }
    Py_XSETREF(reader->transport,
               transport == Py_None ? NULL : Py_NewRef(transport));
    Py_RETURN_NONE;
}

static PyObject *
reader_maybe_resume(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    if (ouro_parse_none("StreamReader._maybe_resume_transport", args, nargs,
                        kwnames)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_reader_maybe_resume(ouro_state_of(self), as_reader(self)));
}

PyDoc_STRVAR(feed_eof_doc, "feed_eof($self, /)\n--\n\n\
Say that no more data will come.");

static PyObject *
reader_feed_eof(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse_none("StreamReader.feed_eof", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_reader_feed_eof(ouro_state_of(self), as_reader(self)));
}

PyDoc_STRVAR(at_eof_doc, "at_eof($self, /)\n--\n\n\
Return True if the buffer is empty and 'feed_eof' was called.");

static PyObject *
reader_at_eof(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    if (ouro_parse_none("StreamReader.at_eof", args, nargs, kwnames) < 0) {
        return NULL;
    }
    StreamReaderObject *reader = as_reader(self);
    return PyBool_FromLong(reader->eof && ouro_reader_size(reader) == 0);
}

PyDoc_STRVAR(feed_data_doc, "feed_data($self, /, data)\n--\n\n\
Add bytes to the buffer and wake who waits for them.");

static const ouro_signature feed_data_signature =
    OURO_ONE_PARAMETER("StreamReader.feed_data", "data");

static PyObject *
reader_feed_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *data;
    if (ouro_parse_one(&feed_data_signature, args, nargs, kwnames, &data)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_reader_feed_data(ouro_state_of(self), as_reader(self), data));
}

static PyMethodDef reader_methods[] = {
    OURO_METHOD("exception", reader_exception, exception_doc),
    OURO_METHOD("set_exception", reader_set_exception, set_exception_doc),
    OURO_METHOD("_wakeup_waiter", reader_wakeup_waiter,
                "_wakeup_waiter($self, /)\n--\n\n"
                "Wakeup read*() functions waiting for data or EOF."),
    OURO_METHOD("set_transport", reader_set_transport, set_transport_doc),
    OURO_METHOD("_maybe_resume_transport", reader_maybe_resume,
                "_maybe_resume_transport($self, /)\n--\n\n"),
    OURO_METHOD("feed_eof", reader_feed_eof, feed_eof_doc),
    OURO_METHOD("at_eof", reader_at_eof, at_eof_doc),
    OURO_METHOD("feed_data", reader_feed_data, feed_data_doc),
    {NULL},
};

static PyMethodDef replace_transport_method =
    OURO_METHOD("_replace_transport", reader_replace_transport,
                "_replace_transport($self, /, transport)\n--\n\n");

/* ---- attributes --------------------------------------------------------- */

/* Who looks at the buffer may change it: from now on it is a bytearray. */
static PyObject *
reader_get_buffer(PyObject *self, void *Py_UNUSED(closure))
{
    StreamReaderObject *reader = as_reader(self);
    if (reader->storage == NULL) {
        reader->storage = PyByteArray_FromStringAndSize(
            stream_buffer_start(&reader->buffer),
            (Py_ssize_t)stream_buffer_size(&reader->buffer));
        if (reader->storage == NULL) {
            return NULL;
        }
        stream_buffer_free(&reader->buffer);
    }
    return Py_NewRef(reader->storage);
}

static int
reader_set_buffer(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    StreamReaderObject *reader = as_reader(self);
    if (value == NULL || !PyByteArray_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "_buffer must be a bytearray");
        return -1;
    }
    stream_buffer_free(&reader->buffer);
    Py_XSETREF(reader->storage, Py_NewRef(value));
    return 0;
}

static PyObject *
reader_get_limit(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_reader_limit(as_reader(self));
}

static int
reader_set_limit(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "_limit cannot be deleted");
        return -1;
    }
    return set_limit(as_reader(self), value);
}

static PyObject *
reader_get_waiter(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *waiter = as_reader(self)->waiter;
    return Py_NewRef(waiter != NULL ? waiter : Py_None);
}

static int
reader_set_waiter(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    ouro_reader_set_waiter(as_reader(self), value == Py_None ? NULL : value,
                           NULL);
    return 0;
}

#define OFFSET(member) offsetof(StreamReaderObject, member)

static PyGetSetDef reader_getset[] = {
    {"_buffer", reader_get_buffer, reader_set_buffer},
    {"_limit", reader_get_limit, reader_set_limit},
    {"_waiter", reader_get_waiter, reader_set_waiter},
    STREAMS_OPTIONAL("_transport", StreamReaderObject, transport),
    STREAMS_OPTIONAL("_exception", StreamReaderObject, exception),
    STREAMS_OPTIONAL("_source_traceback", StreamReaderObject,
                     source_traceback),
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    {NULL},
};

static PyMemberDef reader_members[] = {
    {"_loop", T_OBJECT_EX, OFFSET(loop), 0},
    {"_eof", T_BOOL, OFFSET(eof), 0},
    {"_paused", T_BOOL, OFFSET(paused), 0},
    {"__dictoffset__", T_PYSSIZET, OFFSET(dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, OFFSET(weakrefs), READONLY},
    {NULL},
};

PyDoc_STRVAR(reader_doc, "StreamReader(limit=65536, loop=None)\n--\n\n\
Bytes that arrive over time, for coroutines to read.\n\n\
limit, in bytes, bounds what readuntil() and readline() may return; when\n\
more than twice as much is waiting to be read, the transport is paused.\n\
Raises ValueError if limit is not positive.");

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, (void *)reader_doc},   {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, reader_init},         {Py_tp_dealloc, reader_dealloc},
    {Py_tp_traverse, reader_traverse}, {Py_tp_clear, reader_clear},
    {Py_tp_repr, reader_repr},         {Py_am_aiter, PyObject_SelfIter},
    {Py_tp_methods, reader_methods},   {Py_tp_getset, reader_getset},
    {Py_tp_members, reader_members},   {0, NULL},
};

static PyType_Spec reader_spec = {
    .name = "ouro.StreamReader",
    .basicsize = sizeof(StreamReaderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = reader_slots,
};

int
ouro_reader_setup(PyObject *module, ouro_state *st)
{
    PyTypeObject **slot = &st->types.StreamReader;
    if (ouro_add_type(module, &reader_spec, NULL, true, slot) < 0
        || ouro_readops_setup(st, *slot) < 0
        || (st->has.streams.reader_replaces_transport
            && ouro_streams_add_method(*slot, &replace_transport_method)
                   < 0)) {
        return -1;
    }
    /* The method is a coroutine function to who looks it up; `async for`
     * need not look. */
    (*slot)->tp_as_async->am_anext = ouro_reader_anext;
    return ouro_intact_init(&st->streams.StreamReader, *slot);
}
