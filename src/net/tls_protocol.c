/* tls_protocol.c - making an SSLProtocol, and the table by which a transport
 * of ours calls it (see tls.h and protocol_ops.h).
 */
#include "net/tls.h"

#include "base/probe.h"
#include "base/rooms.h"
#include "net/tls_impl.h"
#include "net/transport.h"

/* ---- small parts ------------------------------------------------------- */

PyObject *
ouro_tls_state_object(ouro_state *st, tls_state state)
{
    static const char *const names[] = {
        [TLS_UNWRAPPED] = "UNWRAPPED", [TLS_DO_HANDSHAKE] = "DO_HANDSHAKE",
        [TLS_WRAPPED] = "WRAPPED",     [TLS_FLUSHING] = "FLUSHING",
        [TLS_SHUTDOWN] = "SHUTDOWN",
    };
    PyObject *states =
        PyObject_GetAttrString(st->stock.sslproto, "SSLProtocolState");
    PyObject *member =
        states == NULL ? NULL : PyObject_GetAttrString(states, names[state]);
    Py_XDECREF(states);
    return member;
}

int
ouro_tls_set_app_protocol(ouro_state *st, TlsObject *self, PyObject *protocol)
{
    PyObject *method;
    int buffered =
        PyObject_GetOptionalAttr(protocol, st->str.get_buffer, &method);
    if (buffered > 0) {
        Py_DECREF(method);
        buffered = PyObject_IsInstance(protocol, st->stock.BufferedProtocol);
    }
    if (buffered < 0) {
        return -1;
    }
    self->ops = ouro_protocol_ops(st, protocol);
    self->app_buffered = buffered;
    Py_XSETREF(self->app_protocol, Py_NewRef(protocol));
    return 0;
}

PyObject *
ouro_tls_extra_info(ouro_state *st, TlsObject *self, PyObject *name,
                    PyObject *fallback)
{
    PyObject *value;
    int found = PyDict_GetItemRef(self->extra, name, &value);
    if (found != 0) {
        return value;
    }
    if (self->transport == NULL) {
        return Py_NewRef(fallback);
    }
    PyObject *transport = Py_NewRef(self->transport);
    value = PyObject_CallMethodObjArgs(transport, st->str.get_extra_info, name,
                                       fallback, NULL);
    Py_DECREF(transport);
    return value;
}

/* Of exactly our type, and nothing patched. */
static bool
tls_plain(ouro_state *st, PyObject *object)
{
    return Py_TYPE(object) == st->types.SSLProtocol
           && ouro_tls(object)->dict == NULL
           && ouro_tls(object)->sslobj != NULL
           && ouro_intact_check(&st->transports.SSLProtocol);
}

/* ---- making ------------------------------------------------------------ */

enum {
    TLS_LOOP,
    TLS_PROTOCOL,
    TLS_CONTEXT,
    TLS_WAITER,
    TLS_SERVER_SIDE,
    TLS_HOSTNAME,
    TLS_CALL_MADE,
    TLS_HANDSHAKE_TIMEOUT,
    TLS_SHUTDOWN_TIMEOUT,
    TLS_ARGS,
};

/* A timeout that was given, or asyncio's constant. */
static PyObject *
tls_timeout(ouro_state *st, PyObject *given, const char *name,
            const char *constant)
{
    if (given == NULL || given == Py_None) {
        return PyObject_GetAttrString(st->stock.constants, constant);
    }
    PyObject *zero = PyLong_FromLong(0);
    int bad = zero == NULL ? -1 : PyObject_RichCompareBool(given, zero, Py_LE);
    Py_XDECREF(zero);
    if (bad > 0) {
        PyErr_Format(PyExc_ValueError,
                     "%s should be a positive number, got %S", name, given);
    }
    return bad == 0 ? Py_NewRef(given) : NULL;
}

/* A client may give none: _create_transport_context(). */
static PyObject *
tls_default_context(ouro_state *st, int server_side, PyObject *hostname)
{
    if (server_side) {
        PyErr_SetString(PyExc_ValueError,
                        "Server side SSL needs a valid SSLContext");
        return NULL;
    }
    PyObject *context =
        PyObject_CallMethod(st->stock.ssl, "create_default_context", NULL);
    if (context == NULL) {
        return NULL;
    }
    int named = PyObject_IsTrue(hostname);
    if (named < 0
        || (named == 0
            && PyObject_SetAttrString(context, "check_hostname", Py_False)
                   < 0)) {
        Py_CLEAR(context);
    }
    return context;
}

static int
tls_take_context(ouro_state *st, TlsObject *self, PyObject *context,
                 PyObject *hostname)
{
    int given = PyObject_IsTrue(context);
    if (given < 0) {
        return -1;
    }
    PyObject *used =
        given ? Py_NewRef(context)
              : tls_default_context(st, self->server_side, hostname);
    if (used == NULL) {
        return -1;
    }
    Py_XSETREF(self->sslcontext, used);
    int named = PyObject_IsTrue(hostname);
    if (named < 0) {
        return -1;
    }
    Py_XSETREF(self->server_hostname,
               Py_NewRef(named && !self->server_side ? hostname : Py_None));
    Py_XSETREF(self->extra, PyDict_New());
    return self->extra == NULL
               ? -1
               : PyDict_SetItem(self->extra, st->str.sslcontext, used);
}

/* The BIOs, and sslcontext.wrap_bio(). */
static int
tls_wrap(ouro_state *st, TlsObject *self)
{
    self->incoming = PyObject_CallMethod(st->stock.ssl, "MemoryBIO", NULL);
    if (self->incoming == NULL) {
        return -1;
    }
    self->outgoing = PyObject_CallMethod(st->stock.ssl, "MemoryBIO", NULL);
    if (self->outgoing == NULL) {
        return -1;
    }
    PyObject *keywords =
        Py_BuildValue("(ss)", "server_side", "server_hostname");
    if (keywords == NULL) {
        return -1;
    }
    PyObject *object = NULL;
    PyObject *wrap = PyObject_GetAttrString(self->sslcontext, "wrap_bio");
    if (wrap != NULL) {
        PyObject *args[] = {
            self->incoming,
            self->outgoing,
            self->server_side ? Py_True : Py_False,
            self->server_hostname,
        };
        object = PyObject_Vectorcall(wrap, args, 2, keywords);
        Py_DECREF(wrap);
    }
    Py_DECREF(keywords);
    if (object == NULL) {
        return -1;
    }
    int result = ouro_tls_use_object(st, self, object);
    Py_DECREF(object);
    return result;
}

int
ouro_tls_set_limits(ouro_state *st, const char *constant, PyObject *high,
                    PyObject *low, size_t *ret_high, size_t *ret_low)
{
    PyObject *number = PyObject_GetAttrString(st->stock.constants, constant);
    long kib = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(number);
    if (kib == -1 && PyErr_Occurred()) {
        return -1;
    }
    return ouro_water_marks(high, low, kib, ret_high, ret_low);
}

/* asyncio.sslproto.ssl, which is None without the ssl module. */
static int
check_ssl(ouro_state *st)
{
    PyObject *ssl = PyObject_GetAttrString(st->stock.sslproto, "ssl");
    if (ssl == NULL) {
        return -1;
    }
    Py_DECREF(ssl);
    if (ssl == Py_None || st->stock.ssl == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "stdlib ssl module not available");
        return -1;
    }
    return 0;
}

static int
tls_start(ouro_state *st, TlsObject *self, PyObject *const *a)
{
    self->handshake_timeout =
        tls_timeout(st, a[TLS_HANDSHAKE_TIMEOUT], "ssl_handshake_timeout",
                    "SSL_HANDSHAKE_TIMEOUT");
    if (self->handshake_timeout == NULL) {
        return -1;
    }
    self->shutdown_timeout =
        tls_timeout(st, a[TLS_SHUTDOWN_TIMEOUT], "ssl_shutdown_timeout",
                    "SSL_SHUTDOWN_TIMEOUT");
    PyObject *hostname = ouro_or_none(a[TLS_HOSTNAME]);
    int server_side =
        a[TLS_SERVER_SIDE] == NULL ? 0 : PyObject_IsTrue(a[TLS_SERVER_SIDE]);
    int call_made =
        a[TLS_CALL_MADE] == NULL ? 1 : PyObject_IsTrue(a[TLS_CALL_MADE]);
    if (self->shutdown_timeout == NULL || server_side < 0 || call_made < 0) {
        return -1;
    }
    self->server_side = server_side;
    self->app_state = call_made ? TLS_APP_INIT : TLS_APP_CON_MADE;
    if (tls_take_context(st, self, a[TLS_CONTEXT], hostname) < 0
        || ouro_tls_set_app_protocol(st, self, a[TLS_PROTOCOL]) < 0) {
        return -1;
    }
    self->loop = Py_NewRef(a[TLS_LOOP]);
    self->our_loop = ouro_loop_check(st, self->loop);
    self->waiter = a[TLS_WAITER] == Py_None ? NULL : Py_NewRef(a[TLS_WAITER]);
    if (ouro_tls_set_limits(st, "FLOW_CONTROL_HIGH_WATER_SSL_READ", NULL, NULL,
                            &self->in_high, &self->in_low)
            < 0
        || ouro_tls_set_limits(st, "FLOW_CONTROL_HIGH_WATER_SSL_WRITE", NULL,
                               NULL, &self->out_high, &self->out_low)
               < 0
        || tls_wrap(st, self) < 0) {
        return -1;
    }
    self->app_transport =
        ouro_tls_transport_new(st, self->loop, (PyObject *)self);
    return self->app_transport == NULL ? -1 : 0;
}

static void
tls_forget(TlsObject *self)
{
    self->ops = NULL;
    Py_CLEAR(self->loop);
    Py_CLEAR(self->transport);
    Py_CLEAR(self->app_protocol);
    Py_CLEAR(self->app_transport);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->sslcontext);
    Py_CLEAR(self->server_hostname);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->incoming);
    Py_CLEAR(self->outgoing);
    Py_CLEAR(self->sslobj);
    Py_CLEAR(self->direct);
    Py_CLEAR(self->span);
    Py_CLEAR(self->backlog);
    Py_CLEAR(self->view);
    Py_CLEAR(self->buffer);
    Py_CLEAR(self->handshake_timeout);
    Py_CLEAR(self->shutdown_timeout);
    Py_CLEAR(self->handshake_timer);
    Py_CLEAR(self->shutdown_timer);
    Py_CLEAR(self->handshake_start);
}

/* (object.__new__() would make a __dict__, which means: patched.) */
static PyObject *
tls_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
        PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

static int
tls_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "SSLProtocol.__init__",
        .skip_self = 1,
        .positional = TLS_ARGS,
        .required = 4,
        .names = {"loop", "app_protocol", "sslcontext", "waiter",
                  "server_side", "server_hostname", "call_connection_made",
                  "ssl_handshake_timeout", "ssl_shutdown_timeout"},
    };
    PyObject *a[TLS_ARGS];
    TlsObject *self = ouro_tls(object);
    ouro_state *st = ouro_state_of(object);
    if (ouro_parse_init(&signature, args, kwargs, a) < 0
        || check_ssl(st) < 0) {
        return -1;
    }
    if (self->handshake_timeout != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the protocol is initialized already");
        return -1;
    }
    if (tls_start(st, self, a) < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        tls_forget(self);
        PyErr_SetRaisedException(exception);
        return -1;
    }
    return 0;
}

/* ---- the table for transports of ours ---------------------------------- */

static bool
tls_usable(PyObject *object)
{
    return tls_plain(ouro_state_of(object), object);
}

/* Before Python of other people's may be called from a job of the transport
 * below; followed by ouro_transport_leave(). */
static int
tls_enter(ouro_state *st, TlsObject *self, PyObject **ret_entered)
{
    PyObject *transport = self->transport;
    *ret_entered = NULL;
    /* (Over TLS itself, the outer one has entered it.) */
    if (transport == NULL
        || (Py_TYPE(transport) != st->types.SocketTransport
            && Py_TYPE(transport) != st->types.ReadPipe)) {
        return 0;
    }
    TransportObject *below = ouro_transport(transport);
    return ouro_transport_enter(below, below->context, ret_entered);
}

/* Deciphering for a protocol that is C all the way calls nobody's Python. */
static bool
tls_needs_no_context(ouro_state *st, TlsObject *self)
{
    if (self->state != TLS_WRAPPED || !self->our_loop
        || ouro_tls_direct(st, self) == NULL) {
        return false;
    }
    const protocol_ops *ops = ouro_tls_app_ops(self);
    return ops != NULL && !ops->calls_python;
}

static int
tls_op_connection_made(PyObject *object, PyObject *transport)
{
    return ouro_tls_connection_made(ouro_state_of(object), ouro_tls(object),
                                    transport);
}

static int
tls_op_data_received(PyObject *object, const char *data, Py_ssize_t size)
{
    ouro_state *st = ouro_state_of(object);
    TlsObject *self = ouro_tls(object);
    PyObject *entered = NULL;
    if (!tls_needs_no_context(st, self) && tls_enter(st, self, &entered) < 0) {
        return -1;
    }
    int result = ouro_tls_feed(st, self, data, size);
    if (result == 0) {
        result = ouro_tls_go_on(st, self);
    }
    ouro_transport_leave(entered);
    return result;
}

static int
tls_op_eof_received(PyObject *object)
{
    ouro_state *st = ouro_state_of(object);
    TlsObject *self = ouro_tls(object);
    PyObject *entered;
    if (tls_enter(st, self, &entered) < 0) {
        return -1;
    }
    int result = ouro_tls_eof_received(st, self);
    ouro_transport_leave(entered);
    return result;
}

static int
tls_op_connection_lost(PyObject *object, PyObject *exc)
{
    return ouro_tls_connection_lost(ouro_state_of(object), ouro_tls(object),
                                    ouro_or_none(exc));
}

static int
tls_op_pause_writing(PyObject *object)
{
    return ouro_tls_pause_writing(ouro_state_of(object), ouro_tls(object));
}

static int
tls_op_resume_writing(PyObject *object)
{
    return ouro_tls_resume_writing(ouro_state_of(object), ouro_tls(object));
}

static const protocol_ops tls_ops = {
    .usable = tls_usable,
    .calls_python = true,
    .receive_failed = "Fatal error: protocol.buffer_updated() call failed.",
    .connection_made = tls_op_connection_made,
    .data_received = tls_op_data_received,
    .eof_received = tls_op_eof_received,
    .connection_lost = tls_op_connection_lost,
    .pause_writing = tls_op_pause_writing,
    .resume_writing = tls_op_resume_writing,
};

/* ---- the type ---------------------------------------------------------- */

static int
tls_traverse(PyObject *object, visitproc visit, void *arg)
{
    TlsObject *self = ouro_tls(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->transport);
    Py_VISIT(self->app_protocol);
    Py_VISIT(self->app_transport);
    Py_VISIT(self->waiter);
    Py_VISIT(self->sslcontext);
    Py_VISIT(self->server_hostname);
    Py_VISIT(self->extra);
    Py_VISIT(self->incoming);
    Py_VISIT(self->outgoing);
    Py_VISIT(self->sslobj);
    Py_VISIT(self->direct);
    Py_VISIT(self->backlog);
    Py_VISIT(self->view);
    Py_VISIT(self->handshake_timeout);
    Py_VISIT(self->shutdown_timeout);
    Py_VISIT(self->handshake_timer);
    Py_VISIT(self->shutdown_timer);
    Py_VISIT(self->handshake_start);
    return 0;
}

static int
tls_clear(PyObject *object)
{
    tls_forget(ouro_tls(object));
    Py_CLEAR(ouro_tls(object)->dict);
    return 0;
}

static void
tls_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (ouro_tls(object)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    (void)tls_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(tls_doc,
"SSLProtocol(loop, app_protocol, sslcontext, waiter, server_side=False,\n"
"            server_hostname=None, call_connection_made=True,\n"
"            ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n--\n\n"
"TLS between a transport, whose protocol this is, and an application's\n"
"protocol. Timeouts are in seconds.");

static PyType_Slot tls_slots[] = {
    {Py_tp_doc, (void *)tls_doc},
    {Py_tp_new, tls_new},
    {Py_tp_init, tls_init},
    {Py_tp_dealloc, tls_dealloc},
    {Py_tp_traverse, tls_traverse},
    {Py_tp_clear, tls_clear},
    {Py_tp_methods, ouro_tls_methods},
    {Py_tp_members, ouro_tls_members},
    {Py_tp_getset, ouro_tls_getset},
    {0, NULL},
};

static PyType_Spec tls_spec = {
    .name = "ouro.SSLProtocol",
    .basicsize = sizeof(TlsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = tls_slots,
};

static void
find_features(ouro_tls_features *has)
{
    static const char module[] = "asyncio.sslproto";
    has->abort_passes_on = ouro_probe(module, "SSLProtocol._abort", "exc");
    has->asks_transport =
        ouro_probe_exists(module, "SSLProtocol._is_transport_closing");
    has->keeps_shutdown_timer =
        ouro_probe(module, "SSLProtocol._on_shutdown_complete", "call_later");
}

static int
tls_add_type(PyObject *module, ouro_state *st)
{
    PyTypeObject **slot = &st->types.SSLProtocol;
    PyObject *bases = PyTuple_Pack(1, st->stock.BufferedProtocol);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &tls_spec, bases, true, slot);
    Py_DECREF(bases);
    PyObject *size = result < 0 ? NULL : PyLong_FromLong(TLS_MAX_SIZE);
    if (size == NULL) {
        return -1;
    }
    result = PyObject_SetAttrString((PyObject *)*slot, "max_size", size);
    Py_DECREF(size);
    return result < 0 ? -1
                      : ouro_intact_init(&st->transports.SSLProtocol, *slot);
}

int
ouro_tls_protocol_setup(PyObject *module, ouro_state *st)
{
    find_features(&st->has.tls);
    if (ouro_tls_object_setup(module, st) < 0 || tls_add_type(module, st) < 0
        || ouro_tls_transport_setup(module, st) < 0) {
        return -1;
    }
    ouro_register_protocol(st, st->types.SSLProtocol, &tls_ops);
    return 0;
}
