/* tls_transport.c - the transport that an application gets of an SSLProtocol.
 *
 * It has no state but whether it is closed: everything is the protocol's,
 * which it refers to until it has been closed twice, as asyncio's does.
 */
#include "net/tls_impl.h"

/* ---- what it stands for ------------------------------------------------ */

static TlsTransportObject *
as_transport(PyObject *object)
{
    return (TlsTransportObject *)object;
}

/* Its protocol: a new reference, for closing twice lets it go at any moment;
 * or NULL: asyncio looks the method up in None. */
static TlsObject *
protocol_of(PyObject *object, const char *method)
{
    PyObject *protocol = as_transport(object)->protocol;
    if (protocol == NULL) {
        PyErr_Format(PyExc_AttributeError,
                     as_transport(object)->started
                         ? "'NoneType' object has no attribute '%s'"
                         : "the transport has no protocol for '%s'",
                     method);
        return NULL;
    }
    if (ouro_tls(protocol)->sslobj == NULL) {
        PyErr_SetString(PyExc_AttributeError,
                        "'SSLProtocol' object has no attribute '_sslobj'");
        return NULL;
    }
    return ouro_tls(Py_NewRef(protocol));
}

/* protocol.step(), where asyncio calls `method`. */
static int
call_step(PyObject *object, const char *method,
          int (*step)(ouro_state *, TlsObject *))
{
    TlsObject *protocol = protocol_of(object, method);
    if (protocol == NULL) {
        return -1;
    }
    int result = step(ouro_state_of(object), protocol);
    Py_DECREF(protocol);
    return result;
}

/* The same with an argument. */
static int
call_step_with(PyObject *object, const char *method, PyObject *argument,
               int (*step)(ouro_state *, TlsObject *, PyObject *))
{
    TlsObject *protocol = protocol_of(object, method);
    if (protocol == NULL) {
        return -1;
    }
    int result = step(ouro_state_of(object), protocol, argument);
    Py_DECREF(protocol);
    return result;
}

/* The transport below our protocol: a new reference, or NULL. */
static PyObject *
below(PyObject *object)
{
    PyObject *protocol = as_transport(object)->protocol;
    return protocol == NULL ? NULL : Py_XNewRef(ouro_tls(protocol)->transport);
}

/* The same, and what may be called of it past its methods, or NULL. */
static const transport_ops *
below_ops(PyObject *object, PyObject **ret_transport)
{
    *ret_transport = below(object);
    return *ret_transport == NULL
               ? NULL
               : ouro_transport_ops(ouro_state_of(object), *ret_transport);
}

/* ---- the table for streams --------------------------------------------- */

static int
transport_write(PyObject *object, PyObject *data)
{
    if (!PyBytes_Check(data) && !PyByteArray_Check(data)
        && !PyMemoryView_Check(data)) {
        PyObject *name = PyType_GetName(Py_TYPE(data));
        if (name != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "data: expecting a bytes-like instance, got %U",
                         name);
            Py_DECREF(name);
        }
        return -1;
    }
    int some = PyObject_IsTrue(data);
    if (some <= 0) {
        return some;
    }
    return call_step_with(object, "_write_appdata", data, ouro_tls_write);
}

static int
transport_writelines(PyObject *object, PyObject *list)
{
    return call_step_with(object, "_write_appdata", list, ouro_tls_writelines);
}

static int
transport_write_eof(PyObject *Py_UNUSED(object))
{
    PyErr_SetNone(PyExc_NotImplementedError);
    return -1;
}

static int
transport_close(PyObject *object)
{
    TlsTransportObject *self = as_transport(object);
    if (self->closed) {
        Py_CLEAR(self->protocol);
        return 0;
    }
    self->closed = true;
    return call_step(object, "_start_shutdown", ouro_tls_start_shutdown);
}

/* 3.14+: closed also if the transport below is. */
static int
transport_is_closing(PyObject *object)
{
    ouro_state *st = ouro_state_of(object);
    if (as_transport(object)->closed || !st->has.tls.asks_transport) {
        return as_transport(object)->closed;
    }
    TlsObject *protocol = protocol_of(object, "_is_transport_closing");
    if (protocol == NULL) {
        return -1;
    }
    Py_DECREF(protocol);
    PyObject *transport;
    const transport_ops *ops = below_ops(object, &transport);
    int closing = transport == NULL ? 0
                  : ops != NULL     ? ops->is_closing(transport)
                                    : ouro_truth_of(PyObject_CallMethodNoArgs(
                                        transport, st->str.is_closing));
    Py_XDECREF(transport);
    return closing;
}

static int
transport_pause_reading(PyObject *object)
{
    TlsObject *protocol = protocol_of(object, "_pause_reading");
    if (protocol == NULL) {
        return -1;
    }
    protocol->app_reading_paused = true;
    Py_DECREF(protocol);
    return 0;
}

static int
transport_resume_reading(PyObject *object)
{
    return call_step(object, "_resume_reading", ouro_tls_resume_reading);
}

/* These three are about what the transport below has gathered: what is
 * written here goes there at once. */

static int
flush_below(PyObject *object, bool old)
{
    PyObject *transport;
    const transport_ops *ops = below_ops(object, &transport);
    int result = ops == NULL ? 0
                 : old       ? ops->flush_old(transport)
                             : ops->flush(transport);
    Py_XDECREF(transport);
    return result;
}

static int
transport_flush(PyObject *object)
{
    return flush_below(object, false);
}

static int
transport_flush_old(PyObject *object)
{
    return flush_below(object, true);
}

static bool
transport_gathered(PyObject *object)
{
    PyObject *transport;
    const transport_ops *ops = below_ops(object, &transport);
    bool result = ops != NULL && ops->gathered(transport);
    Py_XDECREF(transport);
    return result;
}

const transport_ops ouro_tls_transport_ops = {
    .write = transport_write,
    .writelines = transport_writelines,
    .write_eof = transport_write_eof,
    .close = transport_close,
    .is_closing = transport_is_closing,
    .pause_reading = transport_pause_reading,
    .resume_reading = transport_resume_reading,
    .flush = transport_flush,
    .gathered = transport_gathered,
    .flush_old = transport_flush_old,
};

bool
ouro_tls_transport_plain(ouro_state *st, PyObject *transport)
{
    return as_transport(transport)->dict == NULL
           && ouro_intact_check(&st->transports.SSLProtocolTransport);
}

/* ---- making ------------------------------------------------------------ */

static int
transport_start(TlsTransportObject *self, PyObject *loop, PyObject *protocol)
{
    self->started = true;
    self->closed = false;
    Py_XSETREF(self->loop, Py_NewRef(loop));
    Py_XSETREF(self->protocol,
               protocol == Py_None ? NULL : Py_NewRef(protocol));
    return 0;
}

PyObject *
ouro_tls_transport_new(ouro_state *st, PyObject *loop, PyObject *protocol)
{
    PyTypeObject *type = st->types.SSLProtocolTransport;
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        (void)transport_start(as_transport(self), loop, protocol);
    }
    return self;
}

static int
transport_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "_SSLProtocolTransport.__init__",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"loop", "ssl_protocol"},
    };
    PyObject *a[2];
    if (ouro_parse_init(&signature, args, kwargs, a) < 0) {
        return -1;
    }
    PyTypeObject *wanted = ouro_state_of(object)->types.SSLProtocol;
    if (a[1] != Py_None && !PyObject_TypeCheck(a[1], wanted)) {
        PyErr_Format(PyExc_TypeError, "an SSLProtocol was expected, got %R",
                     a[1]);
        return -1;
    }
    return transport_start(as_transport(object), a[0], a[1]);
}

/* ---- methods ----------------------------------------------------------- */

#define NO_ARGUMENTS(name, function)                                          \
    static PyObject *name(PyObject *self, PyObject *Py_UNUSED(ignored))       \
    {                                                                         \
        return ouro_none_or_error(function(self));                            \
    }

NO_ARGUMENTS(method_close, transport_close)
NO_ARGUMENTS(method_write_eof, transport_write_eof)
NO_ARGUMENTS(method_pause_reading, transport_pause_reading)
NO_ARGUMENTS(method_resume_reading, transport_resume_reading)

static PyObject *
method_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("_SSLProtocolTransport.write", "data");
    PyObject *data;
    return ouro_parse_one(&signature, args, nargs, kwnames, &data) < 0
               ? NULL
               : ouro_none_or_error(transport_write(self, data));
}

static PyObject *
method_writelines(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("_SSLProtocolTransport.writelines", "list_of_data");
    PyObject *list;
    return ouro_parse_one(&signature, args, nargs, kwnames, &list) < 0
               ? NULL
               : ouro_none_or_error(transport_writelines(self, list));
}

static PyObject *
method_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int closing = transport_is_closing(self);
    return closing < 0 ? NULL : PyBool_FromLong(closing);
}

static PyObject *
method_is_reading(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TlsObject *protocol = protocol_of(self, "_app_reading_paused");
    if (protocol == NULL) {
        return NULL;
    }
    bool paused = protocol->app_reading_paused;
    Py_DECREF(protocol);
    return PyBool_FromLong(!paused);
}

static PyObject *
method_can_write_eof(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_FALSE;
}

static PyObject *
force_close(PyObject *object, PyObject *exc)
{
    TlsTransportObject *self = as_transport(object);
    self->closed = true;
    if (self->protocol == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *protocol = Py_NewRef(self->protocol);
    int result =
        ouro_tls_abort(ouro_state_of(object), ouro_tls(protocol), exc);
    Py_DECREF(protocol);
    return ouro_none_or_error(result);
}

static PyObject *
method_abort(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return force_close(self, Py_None);
}

static PyObject *
method_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TlsObject *protocol = protocol_of(self, "_app_protocol");
    if (protocol == NULL) {
        return NULL;
    }
    PyObject *app_protocol = Py_NewRef(ouro_or_none(protocol->app_protocol));
    Py_DECREF(protocol);
    return app_protocol;
}

static PyObject *
method_set_protocol(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("_SSLProtocolTransport.set_protocol", "protocol");
    PyObject *wanted;
    return ouro_parse_one(&signature, args, nargs, kwnames, &wanted) < 0
               ? NULL
               : ouro_none_or_error(call_step_with(self, "_set_app_protocol",
                                                   wanted,
                                                   ouro_tls_set_app_protocol));
}

PyDoc_STRVAR(get_extra_info_doc,
"get_extra_info($self, name, default=None)\n--\n\n"
"Get optional transport information: 'sslcontext', 'peercert', 'cipher',\n"
"'compression', 'ssl_object', and what the transport below has.");

static PyObject *
method_get_extra_info(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_SSLProtocolTransport.get_extra_info",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"name", "default"},
    };
    PyObject *a[2];
    TlsObject *protocol;
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0
        || (protocol = protocol_of(self, "_get_extra_info")) == NULL) {
        return NULL;
    }
    PyObject *value = ouro_tls_extra_info(ouro_state_of(self), protocol, a[0],
                                          ouro_or_none(a[1]));
    Py_DECREF(protocol);
    return value;
}

static PyObject *
method_append_backlog(PyObject *self, PyObject *data)
{
    return ouro_none_or_error(
        call_step_with(self, "_write_backlog", data, ouro_tls_append));
}

/* ---- flow control ------------------------------------------------------ */

/* Marks of what waits to be sent, or to be deciphered; and what follows. */
static int
set_limits(PyObject *self, bool sending, PyObject *high, PyObject *low)
{
    ouro_state *st = ouro_state_of(self);
    TlsObject *protocol =
        protocol_of(self, sending ? "_set_write_buffer_limits"
                                  : "_set_read_buffer_limits");
    if (protocol == NULL) {
        return -1;
    }
    int result =
        sending
            ? ouro_tls_set_limits(st, "FLOW_CONTROL_HIGH_WATER_SSL_WRITE",
                                  high, low, &protocol->out_high,
                                  &protocol->out_low)
            : ouro_tls_set_limits(st, "FLOW_CONTROL_HIGH_WATER_SSL_READ", high,
                                  low, &protocol->in_high, &protocol->in_low);
    if (result == 0) {
        result = sending ? ouro_tls_control_writing(st, protocol)
                         : ouro_tls_control_reading(st, protocol);
    }
    Py_DECREF(protocol);
    return result;
}

static PyObject *
method_set_write_limits(PyObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_SSLProtocolTransport.set_write_buffer_limits",
        .skip_self = 1,
        .positional = 2,
        .names = {"high", "low"},
    };
    PyObject *a[2];
    return ouro_parse(&signature, args, nargs, kwnames, a) < 0
               ? NULL
               : ouro_none_or_error(set_limits(self, true, a[0], a[1]));
}

static PyObject *
method_set_read_limits(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_SSLProtocolTransport.set_read_buffer_limits",
        .skip_self = 1,
        .positional = 2,
        .names = {"high", "low"},
    };
    PyObject *a[2];
    return ouro_parse(&signature, args, nargs, kwnames, a) < 0
               ? NULL
               : ouro_none_or_error(set_limits(self, false, a[0], a[1]));
}

static PyObject *
method_get_write_limits(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TlsObject *protocol = protocol_of(self, "_outgoing_low_water");
    if (protocol == NULL) {
        return NULL;
    }
    PyObject *marks = Py_BuildValue("nn", (Py_ssize_t)protocol->out_low,
                                    (Py_ssize_t)protocol->out_high);
    Py_DECREF(protocol);
    return marks;
}

static PyObject *
method_get_read_limits(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TlsObject *protocol = protocol_of(self, "_incoming_low_water");
    if (protocol == NULL) {
        return NULL;
    }
    PyObject *marks = Py_BuildValue("nn", (Py_ssize_t)protocol->in_low,
                                    (Py_ssize_t)protocol->in_high);
    Py_DECREF(protocol);
    return marks;
}

static PyObject *
method_get_write_size(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TlsObject *protocol = protocol_of(self, "_get_write_buffer_size");
    if (protocol == NULL) {
        return NULL;
    }
    Py_ssize_t size = ouro_tls_write_size(ouro_state_of(self), protocol);
    Py_DECREF(protocol);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *
method_get_read_size(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TlsObject *protocol = protocol_of(self, "_get_read_buffer_size");
    if (protocol == NULL) {
        return NULL;
    }
    PyObject *size =
        PyObject_GetAttr(protocol->incoming, ouro_state_of(self)->str.pending);
    Py_DECREF(protocol);
    return size;
}

static PyMethodDef transport_methods[] = {
    OURO_METHOD("get_extra_info", method_get_extra_info, get_extra_info_doc),
    OURO_METHOD("write", method_write,
                PyDoc_STR("write($self, data)\n--\n\n"
                          "Send bytes, enciphered. Does not block.")),
    OURO_METHOD("writelines", method_writelines,
                PyDoc_STR("writelines($self, list_of_data)\n--\n\n"
                          "Send an iterable of bytes.")),
    {"write_eof", method_write_eof, METH_NOARGS,
     PyDoc_STR("write_eof($self)\n--\n\n"
               "TLS has no half-closed connections: NotImplementedError.")},
    {"can_write_eof", method_can_write_eof, METH_NOARGS,
     PyDoc_STR("can_write_eof($self)\n--\n\nReturn False.")},
    {"close", method_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\n"
               "Close when all has been sent and the peer has agreed.")},
    {"abort", method_abort, METH_NOARGS,
     PyDoc_STR("abort($self)\n--\n\n"
               "Close at once; what has not been sent is lost.")},
    {"is_closing", method_is_closing, METH_NOARGS,
     PyDoc_STR("is_closing($self)\n--\n\n"
               "Return True if the transport is closing or closed.")},
    {"is_reading", method_is_reading, METH_NOARGS,
     PyDoc_STR("is_reading($self)\n--\n\n"
               "Return True if the transport is receiving.")},
    {"pause_reading", method_pause_reading, METH_NOARGS,
     PyDoc_STR("pause_reading($self)\n--\n\n"
               "Deliver nothing until resume_reading() is called.")},
    {"resume_reading", method_resume_reading, METH_NOARGS,
     PyDoc_STR("resume_reading($self)\n--\n\nDeliver again.")},
    {"get_protocol", method_get_protocol, METH_NOARGS,
     PyDoc_STR("get_protocol($self)\n--\n\n"
               "Return the application's protocol.")},
    OURO_METHOD("set_protocol", method_set_protocol,
                PyDoc_STR("set_protocol($self, protocol)\n--\n\n"
                          "From now on, report to another protocol.")),
    OURO_METHOD("set_write_buffer_limits", method_set_write_limits,
                PyDoc_STR("set_write_buffer_limits($self, high=None, low=None)"
                          "\n--\n\n"
                          "Set how many bytes may wait to be sent before the "
                          "protocol is paused, and\nhow few there must be "
                          "before it goes on.")),
    OURO_METHOD(
        "set_read_buffer_limits", method_set_read_limits,
        PyDoc_STR("set_read_buffer_limits($self, high=None, low=None)"
                  "\n--\n\n"
                  "Set how many bytes may wait to be deciphered before "
                  "receiving is paused,\nand how few there must be "
                  "before it goes on.")),
    {"get_write_buffer_limits", method_get_write_limits, METH_NOARGS,
     PyDoc_STR("get_write_buffer_limits($self)\n--\n\n"
               "Return the low and high marks, in bytes.")},
    {"get_read_buffer_limits", method_get_read_limits, METH_NOARGS,
     PyDoc_STR("get_read_buffer_limits($self)\n--\n\n"
               "Return the low and high marks, in bytes.")},
    {"get_write_buffer_size", method_get_write_size, METH_NOARGS,
     PyDoc_STR("get_write_buffer_size($self)\n--\n\n"
               "Return how many bytes wait to be sent.")},
    {"get_read_buffer_size", method_get_read_size, METH_NOARGS,
     PyDoc_STR("get_read_buffer_size($self)\n--\n\n"
               "Return how many bytes wait to be deciphered.")},
    {"_force_close", force_close, METH_O, NULL},
    {"_test__append_write_backlog", method_append_backlog, METH_O, NULL},
    {NULL},
};

/* ---- attributes -------------------------------------------------------- */

/* sendfile() over TLS asks for it. */
static PyObject *
get_protocol_paused(PyObject *self, void *Py_UNUSED(closure))
{
    TlsObject *protocol = protocol_of(self, "_app_writing_paused");
    if (protocol == NULL) {
        return NULL;
    }
    bool paused = protocol->app_writing_paused;
    Py_DECREF(protocol);
    return PyBool_FromLong(paused);
}

static PyGetSetDef transport_getset[] = {
    {"_protocol_paused", get_protocol_paused, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

#define MEMBER(name, type, field, flags)                                      \
    {                                                                         \
        name, type, offsetof(TlsTransportObject, field), flags, NULL          \
    }

static PyMemberDef transport_members[] = {
    MEMBER("_loop", T_OBJECT, loop, READONLY),
    MEMBER("_ssl_protocol", T_OBJECT, protocol, READONLY),
    MEMBER("_closed", T_BOOL, closed, 0),
    MEMBER("__dictoffset__", T_PYSSIZET, dict, READONLY),
    MEMBER("__weaklistoffset__", T_PYSSIZET, weakrefs, READONLY),
    {NULL},
};

/* ---- the type ---------------------------------------------------------- */

static void
transport_finalize(PyObject *object)
{
    TlsTransportObject *self = as_transport(object);
    if (self->closed || !self->started) {
        return;
    }
    self->closed = true;
    PyObject *exception = PyErr_GetRaisedException();
    if (PyErr_WarnEx(PyExc_ResourceWarning,
                     "unclosed transport <asyncio._SSLProtocolTransport "
                     "object>",
                     1)
        < 0) {
        PyErr_WriteUnraisable(object);
    }
    PyErr_SetRaisedException(exception);
}

static int
transport_traverse(PyObject *object, visitproc visit, void *arg)
{
    TlsTransportObject *self = as_transport(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->extra);
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    return 0;
}

static int
transport_clear(PyObject *object)
{
    TlsTransportObject *self = as_transport(object);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->protocol);
    return 0;
}

static void
transport_dealloc(PyObject *object)
{
    if (PyObject_CallFinalizerFromDealloc(object) < 0) {
        return;
    }
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (as_transport(object)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    (void)transport_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(transport_doc,
"_SSLProtocolTransport(loop, ssl_protocol)\n--\n\n"
"The transport of an application's protocol over TLS.");

static PyType_Slot transport_slots[] = {
    {Py_tp_doc, (void *)transport_doc},   {Py_tp_init, transport_init},
    {Py_tp_dealloc, transport_dealloc},   {Py_tp_finalize, transport_finalize},
    {Py_tp_traverse, transport_traverse}, {Py_tp_clear, transport_clear},
    {Py_tp_methods, transport_methods},   {Py_tp_members, transport_members},
    {Py_tp_getset, transport_getset},     {0, NULL},
};

static PyType_Spec transport_spec = {
    .name = "ouro._ouro._SSLProtocolTransport",
    .basicsize = sizeof(TlsTransportObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = transport_slots,
};

/* What start_tls() and sendfile() look at. */
static int
add_class_attributes(ouro_state *st, PyObject *type)
{
    PyObject *modes =
        PyObject_GetAttrString(st->stock.constants, "_SendfileMode");
    PyObject *mode =
        modes == NULL ? NULL : PyObject_GetAttrString(modes, "FALLBACK");
    Py_XDECREF(modes);
    int result =
        mode == NULL
            ? -1
            : PyObject_SetAttrString(type, "_sendfile_compatible", mode);
    Py_XDECREF(mode);
    return result < 0 ? -1
                      : PyObject_SetAttrString(type, "_start_tls_compatible",
                                               Py_True);
}

int
ouro_tls_transport_setup(PyObject *module, ouro_state *st)
{
    PyTypeObject **slot = &st->types.SSLProtocolTransport;
    PyObject *bases = PyTuple_Pack(1, st->stock.Transport);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &transport_spec, bases, true, slot);
    Py_DECREF(bases);
    if (result < 0 || add_class_attributes(st, (PyObject *)*slot) < 0) {
        return -1;
    }
    return ouro_intact_init(&st->transports.SSLProtocolTransport, *slot);
}
