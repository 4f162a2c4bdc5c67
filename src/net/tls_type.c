/* tls_type.c - what Python sees of an SSLProtocol: its methods and
 * attributes, by asyncio's names.
 */
#include "net/tls_impl.h"

/* ---- methods without arguments ----------------------------------------- */

/* The object with its state, or NULL: __init__() has not been called. */
static TlsObject *
tls_of(PyObject *object)
{
    TlsObject *self = ouro_tls(object);
    if (self->sslobj == NULL) {
        (void)ouro_no_attribute(object, "_sslobj");
        return NULL;
    }
    return self;
}

static PyObject *
call_step(PyObject *object, int (*step)(ouro_state *, TlsObject *))
{
    TlsObject *self = tls_of(object);
    return self == NULL
               ? NULL
               : ouro_none_or_error(step(ouro_state_of(object), self));
}

#define STEP(name, function)                                                  \
    static PyObject *name(PyObject *self, PyObject *Py_UNUSED(ignored))       \
    {                                                                         \
        return call_step(self, function);                                     \
    }

STEP(tls_do_handshake, ouro_tls_do_handshake)
STEP(tls_check_handshake_timeout, ouro_tls_check_handshake_timeout)
STEP(tls_start_shutdown, ouro_tls_start_shutdown)
STEP(tls_check_shutdown_timeout, ouro_tls_check_shutdown_timeout)
STEP(tls_do_flush, ouro_tls_do_flush)
STEP(tls_do_shutdown, ouro_tls_do_shutdown)
STEP(tls_do_write, ouro_tls_do_write)
STEP(tls_process_outgoing, ouro_tls_process_outgoing)
STEP(tls_do_read, ouro_tls_do_read)
STEP(tls_call_eof_received, ouro_tls_call_eof_received)
STEP(tls_control_app_writing, ouro_tls_control_writing)
STEP(tls_control_ssl_reading, ouro_tls_control_reading)
STEP(tls_pause_writing, ouro_tls_pause_writing)
STEP(tls_resume_writing, ouro_tls_resume_writing)
STEP(tls_resume_reading, ouro_tls_resume_reading)
STEP(tls_resume, ouro_tls_resume)

static PyObject *
tls_pause_reading(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ouro_tls(self)->app_reading_paused = true;
    Py_RETURN_NONE;
}

static PyObject *
tls_eof_received(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    TlsObject *self = tls_of(object);
    int result =
        self == NULL ? -1 : ouro_tls_eof_received(ouro_state_of(object), self);
    return result > 0 ? Py_NewRef(Py_True) : ouro_none_or_error(result);
}

static PyObject *
tls_get_write_buffer_size(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    TlsObject *self = tls_of(object);
    Py_ssize_t size =
        self == NULL ? -1 : ouro_tls_write_size(ouro_state_of(object), self);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *
tls_get_read_buffer_size(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    TlsObject *self = tls_of(object);
    return self == NULL ? NULL
                        : PyObject_GetAttr(self->incoming,
                                           ouro_state_of(object)->str.pending);
}

static PyObject *
tls_get_app_transport_method(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    TlsObject *self = tls_of(object);
    if (self != NULL && self->app_transport == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Creating _SSLProtocolTransport twice");
        return NULL;
    }
    return self == NULL ? NULL : Py_NewRef(self->app_transport);
}

/* ---- methods with one argument ----------------------------------------- */

static PyObject *
tls_connection_made(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("SSLProtocol.connection_made", "transport");
    PyObject *transport;
    TlsObject *self;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &transport) < 0
        || (self = tls_of(object)) == NULL) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_tls_connection_made(ouro_state_of(object), self, transport));
}

static PyObject *
tls_connection_lost(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("SSLProtocol.connection_lost", "exc");
    PyObject *exc;
    TlsObject *self;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &exc) < 0
        || (self = tls_of(object)) == NULL) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_tls_connection_lost(ouro_state_of(object), self, exc));
}

/* The buffer, of TLS_MAX_SIZE bytes, once somebody needs it. */
static PyObject *
tls_view(TlsObject *self)
{
    if (self->view != NULL) {
        return self->view;
    }
    if (self->buffer == NULL) {
        self->buffer = PyByteArray_FromStringAndSize(NULL, TLS_MAX_SIZE);
    }
    if (self->buffer != NULL) {
        memset(PyByteArray_AS_STRING(self->buffer), 0, TLS_MAX_SIZE);
        self->view = PyMemoryView_FromObject(self->buffer);
    }
    return self->view;
}

static PyObject *
tls_get_buffer(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("SSLProtocol.get_buffer", "n");
    PyObject *size;
    TlsObject *self;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &size) < 0
        || (self = tls_of(object)) == NULL) {
        return NULL;
    }
    return Py_XNewRef(tls_view(self));
}

static PyObject *
tls_buffer_updated(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("SSLProtocol.buffer_updated", "nbytes");
    PyObject *number;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &number) < 0) {
        return NULL;
    }
    TlsObject *self = tls_of(object);
    if (self == NULL) {
        return NULL;
    }
    Py_ssize_t size = PyNumber_AsSsize_t(number, NULL);
    if ((size == -1 && PyErr_Occurred()) || tls_view(self) == NULL) {
        return NULL;
    }
    /* asyncio writes buffer[:nbytes], with the rules of a slice. */
    if (size < 0) {
        size += TLS_MAX_SIZE;
    }
    if (size < 0) {
        size = 0;
    }
    if (size > TLS_MAX_SIZE) {
        size = TLS_MAX_SIZE;
    }
    ouro_state *st = ouro_state_of(object);
    PyObject *buffer = Py_NewRef(self->buffer);
    int result = ouro_tls_feed(st, self, PyByteArray_AS_STRING(buffer), size);
    Py_DECREF(buffer);
    if (result >= 0) {
        result = ouro_tls_go_on(st, self);
    }
    return ouro_none_or_error(result);
}

static PyObject *
tls_set_app_protocol(PyObject *object, PyObject *protocol)
{
    TlsObject *self = tls_of(object);
    return self == NULL ? NULL
                        : ouro_none_or_error(ouro_tls_set_app_protocol(
                            ouro_state_of(object), self, protocol));
}

static PyObject *
tls_on_handshake_complete(PyObject *object, PyObject *exc)
{
    TlsObject *self = tls_of(object);
    return self == NULL
               ? NULL
               : ouro_none_or_error(ouro_tls_handshake_complete(
                   ouro_state_of(object), self, exc == Py_None ? NULL : exc));
}

static PyObject *
tls_write_appdata(PyObject *object, PyObject *list)
{
    TlsObject *self = tls_of(object);
    return self == NULL ? NULL
                        : ouro_none_or_error(ouro_tls_writelines(
                            ouro_state_of(object), self, list));
}

/* ---- methods with optional ones ---------------------------------------- */

/* self.step(exc=None) */
static PyObject *
call_with_exc(const ouro_signature *signature, PyObject *object,
              PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
              int (*step)(ouro_state *, TlsObject *, PyObject *))
{
    PyObject *exc;
    TlsObject *self = tls_of(object);
    if (self == NULL
        || ouro_parse(signature, args, nargs, kwnames, &exc) < 0) {
        return NULL;
    }
    return ouro_none_or_error(step(ouro_state_of(object), self, exc));
}

static PyObject *
tls_abort(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "SSLProtocol._abort",
        .skip_self = 1,
        .positional = 1,
        .names = {"exc"},
    };
    return call_with_exc(&signature, object, args, nargs, kwnames,
                         ouro_tls_abort);
}

static PyObject *
tls_wakeup_waiter(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "SSLProtocol._wakeup_waiter",
        .skip_self = 1,
        .positional = 1,
        .names = {"exc"},
    };
    return call_with_exc(&signature, object, args, nargs, kwnames,
                         ouro_tls_wakeup_waiter);
}

static PyObject *
tls_fatal_error(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "SSLProtocol._fatal_error",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"exc", "message"},
    };
    PyObject *a[2];
    TlsObject *self = tls_of(object);
    if (self == NULL || ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    const char *message =
        a[1] == NULL ? "Fatal error on transport" : PyUnicode_AsUTF8(a[1]);
    return message == NULL ? NULL
                           : ouro_none_or_error(ouro_tls_fatal(
                               ouro_state_of(object), self, a[0], message));
}

static PyObject *
tls_get_extra_info(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "SSLProtocol._get_extra_info",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"name", "default"},
    };
    PyObject *a[2];
    TlsObject *self = tls_of(object);
    if (self == NULL || ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_tls_extra_info(ouro_state_of(object), self, a[0],
                               ouro_or_none(a[1]));
}

PyMethodDef ouro_tls_methods[] = {
    OURO_METHOD("connection_made", tls_connection_made,
                PyDoc_STR("connection_made($self, transport)\n--\n\n"
                          "The connection is there: begin the handshake.")),
    OURO_METHOD("connection_lost", tls_connection_lost,
                PyDoc_STR("connection_lost($self, exc)\n--\n\n"
                          "The connection below is lost or closed.")),
    OURO_METHOD("get_buffer", tls_get_buffer,
                PyDoc_STR("get_buffer($self, n)\n--\n\n"
                          "Where ciphertext is to be put.")),
    OURO_METHOD("buffer_updated", tls_buffer_updated,
                PyDoc_STR("buffer_updated($self, nbytes)\n--\n\n"
                          "So many bytes have been put there.")),
    {"eof_received", tls_eof_received, METH_NOARGS,
     PyDoc_STR("eof_received($self)\n--\n\n"
               "The peer sends no more.")},
    {"pause_writing", tls_pause_writing, METH_NOARGS,
     PyDoc_STR("pause_writing($self)\n--\n\n"
               "The transport below has too much to send.")},
    {"resume_writing", tls_resume_writing, METH_NOARGS,
     PyDoc_STR("resume_writing($self)\n--\n\n"
               "The transport below has sent enough.")},
    OURO_METHOD("_get_extra_info", tls_get_extra_info, NULL),
    OURO_METHOD("_fatal_error", tls_fatal_error, NULL),
    OURO_METHOD("_wakeup_waiter", tls_wakeup_waiter, NULL),
    OURO_METHOD("_abort", tls_abort, NULL),
    {"_set_app_protocol", tls_set_app_protocol, METH_O, NULL},
    {"_get_app_transport", tls_get_app_transport_method, METH_NOARGS, NULL},
    {"_do_handshake", tls_do_handshake, METH_NOARGS, NULL},
    {"_check_handshake_timeout", tls_check_handshake_timeout, METH_NOARGS,
     NULL},
    {"_on_handshake_complete", tls_on_handshake_complete, METH_O, NULL},
    {"_start_shutdown", tls_start_shutdown, METH_NOARGS, NULL},
    {"_check_shutdown_timeout", tls_check_shutdown_timeout, METH_NOARGS, NULL},
    {"_do_flush", tls_do_flush, METH_NOARGS, NULL},
    {"_do_shutdown", tls_do_shutdown, METH_NOARGS, NULL},
    {"_write_appdata", tls_write_appdata, METH_O, NULL},
    {"_do_write", tls_do_write, METH_NOARGS, NULL},
    {"_process_outgoing", tls_process_outgoing, METH_NOARGS, NULL},
    {"_do_read", tls_do_read, METH_NOARGS, NULL},
    {"_call_eof_received", tls_call_eof_received, METH_NOARGS, NULL},
    {"_control_app_writing", tls_control_app_writing, METH_NOARGS, NULL},
    {"_control_ssl_reading", tls_control_ssl_reading, METH_NOARGS, NULL},
    {"_get_write_buffer_size", tls_get_write_buffer_size, METH_NOARGS, NULL},
    {"_get_read_buffer_size", tls_get_read_buffer_size, METH_NOARGS, NULL},
    {"_pause_reading", tls_pause_reading, METH_NOARGS, NULL},
    {"_resume_reading", tls_resume_reading, METH_NOARGS, NULL},
    {"_resume", tls_resume, METH_NOARGS, NULL},
    {NULL},
};

/* ---- attributes -------------------------------------------------------- */

static PyObject *
tls_get_state(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_tls_state_object(ouro_state_of(self), ouro_tls(self)->state);
}

static PyObject *
tls_get_app_state(PyObject *self, void *Py_UNUSED(closure))
{
    static const char *const names[] = {
        [TLS_APP_INIT] = "STATE_INIT",
        [TLS_APP_CON_MADE] = "STATE_CON_MADE",
        [TLS_APP_EOF] = "STATE_EOF",
        [TLS_APP_CON_LOST] = "STATE_CON_LOST",
    };
    PyObject *states = PyObject_GetAttrString(
        ouro_state_of(self)->stock.sslproto, "AppProtocolState");
    PyObject *member =
        states == NULL
            ? NULL
            : PyObject_GetAttrString(states, names[ouro_tls(self)->app_state]);
    Py_XDECREF(states);
    return member;
}

static PyObject *
tls_get_sslobj(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(ouro_or_none(ouro_tls(self)->sslobj));
}

static int
tls_set_sslobj(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    TlsObject *self = tls_of(object);
    if (self != NULL && value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_sslobj cannot be deleted");
        return -1;
    }
    return self == NULL
               ? -1
               : ouro_tls_use_object(ouro_state_of(object), self, value);
}

/* The deque itself, which is in use from now on. */
static PyObject *
tls_get_backlog(PyObject *object, void *Py_UNUSED(closure))
{
    TlsObject *self = tls_of(object);
    return self == NULL
               ? NULL
               : Py_XNewRef(ouro_tls_backlog(ouro_state_of(object), self));
}

static PyObject *
tls_get_ssl_buffer(PyObject *object, void *view)
{
    TlsObject *self = tls_of(object);
    if (self == NULL || tls_view(self) == NULL) {
        return NULL;
    }
    return Py_NewRef(view != NULL ? self->view : self->buffer);
}

static PyObject *
tls_get_outgoing(PyObject *object, void *Py_UNUSED(closure))
{
    TlsObject *self = tls_of(object);
    if (self == NULL) {
        return NULL;
    }
    return Py_NewRef(self->outgoing != NULL ? self->outgoing : Py_None);
}

static int
tls_set_outgoing(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    TlsObject *self = tls_of(object);
    if (self == NULL || value == NULL) {
        if (value == NULL) {
            PyErr_SetString(PyExc_AttributeError, "cannot delete _outgoing");
        }
        return -1;
    }
    Py_XSETREF(self->outgoing, Py_NewRef(value));
    return 0;
}

PyGetSetDef ouro_tls_getset[] = {
    {"_state", tls_get_state, NULL, NULL, NULL},
    {"_app_state", tls_get_app_state, NULL, NULL, NULL},
    {"_sslobj", tls_get_sslobj, tls_set_sslobj, NULL, NULL},
    {"_outgoing", tls_get_outgoing, tls_set_outgoing, NULL, NULL},
    {"_write_backlog", tls_get_backlog, NULL, NULL, NULL},
    {"_ssl_buffer", tls_get_ssl_buffer, NULL, NULL, NULL},
    {"_ssl_buffer_view", tls_get_ssl_buffer, NULL, NULL, "view"},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

#define MEMBER(name, type, field, flags)                                      \
    {                                                                         \
        name, type, offsetof(TlsObject, field), flags, NULL                   \
    }

PyMemberDef ouro_tls_members[] = {
    MEMBER("_loop", T_OBJECT, loop, READONLY),
    MEMBER("_transport", T_OBJECT, transport, READONLY),
    MEMBER("_app_protocol", T_OBJECT, app_protocol, READONLY),
    MEMBER("_app_transport", T_OBJECT, app_transport, READONLY),
    MEMBER("_waiter", T_OBJECT, waiter, READONLY),
    MEMBER("_sslcontext", T_OBJECT, sslcontext, READONLY),
    MEMBER("_server_hostname", T_OBJECT, server_hostname, READONLY),
    MEMBER("_server_side", T_BOOL, server_side, READONLY),
    MEMBER("_extra", T_OBJECT, extra, READONLY),
    MEMBER("_incoming", T_OBJECT, incoming, READONLY),
    MEMBER("_write_buffer_size", T_PYSSIZET, backlog_size, READONLY),
    MEMBER("_ssl_handshake_timeout", T_OBJECT, handshake_timeout, READONLY),
    MEMBER("_ssl_shutdown_timeout", T_OBJECT, shutdown_timeout, READONLY),
    MEMBER("_handshake_timeout_handle", T_OBJECT, handshake_timer, READONLY),
    MEMBER("_shutdown_timeout_handle", T_OBJECT, shutdown_timer, READONLY),
    MEMBER("_handshake_start_time", T_OBJECT, handshake_start, READONLY),
    MEMBER("_conn_lost", T_UINT, conn_lost, 0),
    MEMBER("_outgoing_high_water", T_PYSSIZET, out_high, READONLY),
    MEMBER("_outgoing_low_water", T_PYSSIZET, out_low, READONLY),
    MEMBER("_incoming_high_water", T_PYSSIZET, in_high, READONLY),
    MEMBER("_incoming_low_water", T_PYSSIZET, in_low, READONLY),
    MEMBER("_app_protocol_is_buffer", T_BOOL, app_buffered, READONLY),
    MEMBER("_eof_received", T_BOOL, eof_received, 0),
    MEMBER("_ssl_reading_paused", T_BOOL, ssl_reading_paused, 0),
    MEMBER("_ssl_writing_paused", T_BOOL, ssl_writing_paused, 0),
    MEMBER("_app_reading_paused", T_BOOL, app_reading_paused, 0),
    MEMBER("_app_writing_paused", T_BOOL, app_writing_paused, 0),
    {"__dictoffset__", T_PYSSIZET, offsetof(TlsObject, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TlsObject, weakrefs), READONLY,
     NULL},
    {NULL},
};
