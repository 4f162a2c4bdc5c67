/* tcp_type.c - the Python type of stream transports. */
#include "net/tcp.h"

#include "base/rooms.h"
#include "loop/netops.h"
#include "net/methods.h"
#include "net/pipe.h"
#include "net/tls.h"

static int
tcp_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "_SelectorSocketTransport.__init__",
        .skip_self = 1,
        .positional = 6,
        .required = 3,
        .names = {"loop", "sock", "protocol", "waiter", "extra", "server"},
    };
    PyObject *a[6];
    if (ouro_parse_init(&signature, args, kwargs, a) < 0) {
        return -1;
    }
    PyObject *extra = a[4] == Py_None ? NULL : a[4];
    return ouro_tcp_start(ouro_state_of(object), ouro_tcp(object), a[0], a[1],
                          a[2], a[3], extra, a[5]);
}

/* ---- extra information ------------------------------------------------- */

static PyObject *
tcp_get_extra(PyObject *object, void *Py_UNUSED(closure))
{
    return Py_XNewRef(ouro_tcp_extra(ouro_transport(object)));
}

static int
tcp_set_extra(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(ouro_transport(object)->extra, Py_XNewRef(value));
    return 0;
}

/* ---- methods ----------------------------------------------------------- */

PyDoc_STRVAR(write_doc,
"write($self, data)\n--\n\n"
"Send bytes. Does not block: what cannot be sent now is sent later.");

static PyObject *
tcp_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("_SelectorSocketTransport.write", "data");
    PyObject *data;
    return ouro_parse_one(&signature, args, nargs, kwnames, &data) < 0
               ? NULL
               : ouro_none_or_error(ouro_tcp_write(self, data));
}

PyDoc_STRVAR(writelines_doc,
"writelines($self, list_of_data)\n--\n\n"
"Send an iterable of bytes, by as few system calls as possible.");

static PyObject *
tcp_writelines(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature = OURO_ONE_PARAMETER(
        "_SelectorSocketTransport.writelines", "list_of_data");
    PyObject *list;
    return ouro_parse_one(&signature, args, nargs, kwnames, &list) < 0
               ? NULL
               : ouro_none_or_error(ouro_tcp_writelines(self, list));
}

static PyObject *
tcp_write_eof(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(ouro_tcp_write_eof(self));
}

static PyObject *
tcp_can_write_eof(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyObject *
tcp_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(ouro_tcp_close(self));
}

/* ---- what asyncio's own parts call ------------------------------------- */

static PyObject *
tcp_read_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_tcp_receive(ouro_state_of(self), ouro_tcp(self)));
}

static PyObject *
tcp_write_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_tcp_send_more(ouro_state_of(self), ouro_tcp(self)));
}

static PyObject *
tcp_make_empty_waiter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_tcp_make_empty_waiter(ouro_tcp(self));
}

static PyObject *
tcp_reset_empty_waiter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(ouro_tcp(self)->empty_waiter);
    Py_RETURN_NONE;
}

static PyMethodDef tcp_methods[] = {
    OURO_METHOD("write", tcp_write, write_doc),
    OURO_METHOD("writelines", tcp_writelines, writelines_doc),
    {"write_eof", tcp_write_eof, METH_NOARGS,
     PyDoc_STR("write_eof($self)\n--\n\n"
               "Close the write end when all has been sent; go on reading.")},
    {"can_write_eof", tcp_can_write_eof, METH_NOARGS,
     PyDoc_STR("can_write_eof($self)\n--\n\nReturn True.")},
    {"close", tcp_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\n"
               "Close when all has been sent; nothing more is received.")},
    OURO_SOCKET_METHODS,
    {"_read_ready", tcp_read_ready, METH_NOARGS, NULL},
    {"_write_ready", tcp_write_ready, METH_NOARGS, NULL},
    {"_make_empty_waiter", tcp_make_empty_waiter, METH_NOARGS, NULL},
    {"_reset_empty_waiter", tcp_reset_empty_waiter, METH_NOARGS, NULL},
    {NULL},
};

/* ---- attributes -------------------------------------------------------- */

static PyObject *
tcp_get_sock(PyObject *self, void *Py_UNUSED(closure))
{
    if (!ouro_transport(self)->open) {
        Py_RETURN_NONE;
    }
    return ouro_tcp_flush(self) < 0
               ? NULL
               : ouro_tcp_socket(ouro_state_of(self), ouro_tcp(self));
}

/* What is closed in the end; sending goes by the descriptor. */
static int
tcp_set_sock(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    TransportObject *base = ouro_transport(self);
    PyObject *old = tcp_get_sock(self, NULL);
    if (old == NULL) {
        return -1;
    }
    Py_DECREF(old);
    if (value != NULL && base->open) {
        Py_XSETREF(base->sock, Py_NewRef(value));
    }
    return 0;
}

/* None is how asyncio says that close() was called. */
static PyObject *
tcp_get_read_ready_cb(PyObject *self, void *Py_UNUSED(closure))
{
    if (ouro_transport(self)->closing) {
        Py_RETURN_NONE;
    }
    return PyObject_GetAttr(self, ouro_state_of(self)->str._read_ready);
}

static PyObject *
tcp_get_start_tls_compatible(PyObject *Py_UNUSED(self),
                             void *Py_UNUSED(closure))
{
    Py_RETURN_TRUE;
}

static PyObject *
tcp_get_sendfile_compatible(PyObject *self, void *Py_UNUSED(closure))
{
    ouro_state *st = ouro_state_of(self);
    PyObject *modes =
        PyObject_GetAttrString(st->stock.constants, "_SendfileMode");
    if (modes == NULL) {
        return NULL;
    }
    PyObject *mode = PyObject_GetAttrString(modes, "TRY_NATIVE");
    Py_DECREF(modes);
    return mode;
}

static PyObject *
tcp_get_max_size(PyObject *self, void *Py_UNUSED(closure))
{
    uint32_t limit = ouro_tcp(self)->read_limit;
    return PyLong_FromLong(limit != 0 ? (long)limit : OU_SCRATCH_SIZE);
}

/* As much as the scratch buffer takes, whatever is asked for. */
static int
tcp_set_max_size(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    long size = OU_SCRATCH_SIZE; /* `del` restores it */
    if (value != NULL) {
        int overflow;
        size = PyLong_AsLongAndOverflow(value, &overflow);
        if (size == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (overflow > 0 || size > OU_SCRATCH_SIZE) {
            size = OU_SCRATCH_SIZE;
        }
    }
    if (size <= 0) {
        PyErr_SetString(PyExc_ValueError, "max_size must be positive");
        return -1;
    }
    ouro_tcp(self)->read_limit = size == OU_SCRATCH_SIZE ? 0 : (uint32_t)size;
    return 0;
}

static PyMemberDef tcp_members[] = {
    OURO_SOCKET_MEMBERS,
    {"_eof", T_BOOL, offsetof(TcpObject, eof), READONLY, NULL},
    {"_empty_waiter", T_OBJECT, offsetof(TcpObject, empty_waiter), READONLY,
     NULL},
    {NULL},
};

static PyGetSetDef tcp_getset[] = {
    {"_extra", tcp_get_extra, tcp_set_extra, NULL, NULL},
    {"_sock", tcp_get_sock, tcp_set_sock, NULL, NULL},
    {"max_size", tcp_get_max_size, tcp_set_max_size, NULL, NULL},
    {"_read_ready_cb", tcp_get_read_ready_cb, NULL, NULL, NULL},
    {"_start_tls_compatible", tcp_get_start_tls_compatible, NULL, NULL, NULL},
    {"_sendfile_compatible", tcp_get_sendfile_compatible, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

/* ---- the type ---------------------------------------------------------- */

static int
tcp_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(ouro_tcp(object)->empty_waiter);
    return ouro_transport_traverse(object, visit, arg);
}

static int
tcp_clear(PyObject *object)
{
    Py_CLEAR(ouro_tcp(object)->empty_waiter);
    ou_outbuf_clear(&ouro_tcp(object)->out); /* its chunks are the loop's */
    return ouro_transport_clear(object);
}

static void
tcp_dealloc(PyObject *object)
{
    ouro_transport_dealloc(object, tcp_clear);
}

PyDoc_STRVAR(tcp_doc,
"_SelectorSocketTransport(loop, sock, protocol, waiter=None, extra=None,\n"
"                         server=None)\n--\n\n"
"The transport of a connected stream socket.");

static PyType_Slot tcp_slots[] = {
    {Py_tp_doc, (void *)tcp_doc},
    {Py_tp_new, ouro_tcp_new},
    {Py_tp_init, tcp_init},
    {Py_tp_dealloc, tcp_dealloc},
    {Py_tp_finalize, ouro_transport_finalize},
    {Py_tp_traverse, tcp_traverse},
    {Py_tp_clear, tcp_clear},
    {Py_tp_repr, ouro_transport_repr},
    {Py_tp_methods, tcp_methods},
    {Py_tp_members, tcp_members},
    {Py_tp_getset, tcp_getset},
    {0, NULL},
};

static PyType_Spec tcp_spec = {
    .name = "ouro._ouro._SelectorSocketTransport",
    .basicsize = sizeof(TcpObject),
    /* (Not immutable: asyncio.Transport, its base, is not.) */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = tcp_slots,
};

static int
tcp_is_closing_op(PyObject *self)
{
    return ouro_transport(self)->closing;
}

static const transport_ops tcp_ops = {
    .write = ouro_tcp_write,
    .writelines = ouro_tcp_writelines,
    .write_eof = ouro_tcp_write_eof,
    .close = ouro_tcp_close,
    .is_closing = tcp_is_closing_op,
    .pause_reading = ouro_reading_pause,
    .resume_reading = ouro_reading_resume,
    .flush = ouro_tcp_flush,
    .gathered = ouro_tcp_gathered,
    .flush_old = ouro_transport_flush_old,
};

const transport_ops *
ouro_transport_ops(ouro_state *st, PyObject *transport)
{
    if (Py_TYPE(transport) == st->types.SocketTransport) {
        return ouro_no_attributes(ouro_transport(transport)->dict)
                       && ouro_intact_check(&st->transports.SocketTransport)
                   ? &tcp_ops
                   : NULL;
    }
    if (Py_TYPE(transport) == st->types.SSLProtocolTransport) {
        return ouro_tls_transport_plain(st, transport)
                   ? &ouro_tls_transport_ops
                   : NULL;
    }
    return ouro_pipe_ops(st, transport);
}

int
ouro_tcp_setup(PyObject *module, ouro_state *st)
{
    PyObject *bases = PyTuple_Pack(1, st->stock.Transport);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &tcp_spec, bases, true,
                               &st->types.SocketTransport);
    Py_DECREF(bases);
    st->net = &ouro_net_ops;
    if (result < 0) {
        return -1;
    }
    st->stock.get_extra_info =
        PyObject_GetAttr(st->stock.Transport, st->str.get_extra_info);
    if (st->stock.get_extra_info == NULL) {
        return -1;
    }
    return ouro_intact_init(&st->transports.SocketTransport,
                            st->types.SocketTransport);
}
