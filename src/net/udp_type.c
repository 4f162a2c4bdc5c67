/* udp_type.c - the Python type of datagram transports. */
#include "base/rooms.h"
#include "net/methods.h"
#include "net/udp.h"

static int
udp_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "_SelectorDatagramTransport.__init__",
        .skip_self = 1,
        .positional = 6,
        .required = 3,
        .names = {"loop", "sock", "protocol", "address", "waiter", "extra"},
    };
    PyObject *a[6];
    if (ouro_parse_init(&signature, args, kwargs, a) < 0) {
        return -1;
    }
    return ouro_udp_start(ouro_state_of(object), ouro_udp(object), a[0], a[1],
                          a[2], a[3] == Py_None ? NULL : a[3], a[4],
                          a[5] == Py_None ? NULL : a[5]);
}

/* ---- methods ----------------------------------------------------------- */

PyDoc_STRVAR(sendto_doc,
"sendto($self, data, addr=None)\n--\n\n"
"Send a datagram to addr, or to the remote address of the endpoint. Does not\n"
"block: what cannot be sent now is sent later.");

static PyObject *
udp_sendto(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_SelectorDatagramTransport.sendto",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"data", "addr"},
    };
    PyObject *a[2] = {NULL};
    if (kwnames == NULL && (nargs == 1 || nargs == 2)) {
        a[0] = args[0];
        a[1] = nargs == 2 ? args[1] : NULL;
    }
    else if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_udp_sendto(self, a[0], a[1] == NULL ? Py_None : a[1]));
}

static PyObject *
udp_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(ouro_udp_close(self));
}

static PyObject *
udp_read_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_udp_receive(ouro_state_of(self), ouro_udp(self)));
}

static PyObject *
udp_sendto_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_udp_send_more(ouro_state_of(self), ouro_udp(self)));
}

static PyMethodDef udp_methods[] = {
    OURO_METHOD("sendto", udp_sendto, sendto_doc),
    {"close", udp_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\n"
               "Close when all has been sent; nothing more is received.")},
    OURO_SOCKET_METHODS,
    {"_read_ready", udp_read_ready, METH_NOARGS, NULL},
    {"_sendto_ready", udp_sendto_ready, METH_NOARGS, NULL},
    {NULL},
};

/* ---- attributes -------------------------------------------------------- */

static PyObject *
udp_get_sock(PyObject *self, void *Py_UNUSED(closure))
{
    TransportObject *base = ouro_transport(self);
    if (!base->open || base->sock == NULL) {
        Py_RETURN_NONE;
    }
    return ouro_udp_flush(self) < 0 ? NULL : Py_NewRef(base->sock);
}

/* For tests with a socket of their own making, whose methods are called. */
static int
udp_set_sock(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_sock cannot be deleted");
        return -1;
    }
    ouro_udp(self)->family = AF_UNSPEC;
    Py_XSETREF(ouro_transport(self)->sock, Py_NewRef(value));
    return 0;
}

static PyObject *
udp_get_buffer_size(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(ouro_udp_waiting(ouro_transport(self)));
}

static PyMemberDef udp_members[] = {
    OURO_SOCKET_MEMBERS,
    {"_address", T_OBJECT, offsetof(UdpObject, address), READONLY, NULL},
    {NULL},
};

static PyGetSetDef udp_getset[] = {
    {"_sock", udp_get_sock, udp_set_sock, NULL, NULL},
    {"_buffer_size", udp_get_buffer_size, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

/* ---- the type ---------------------------------------------------------- */

static int
udp_traverse(PyObject *object, visitproc visit, void *arg)
{
    UdpObject *self = ouro_udp(object);
    Py_VISIT(self->address);
    for (int i = self->received_next; i < self->received_count; i++) {
        Py_VISIT(self->received[i].data);
        Py_VISIT(self->received[i].from);
    }
    for (ou_dgram_out *out = self->out.head; out != NULL; out = out->next) {
        Py_VISIT((PyObject *)out->owner);
    }
    int stop = ouro_peers_visit(&self->peers, visit, arg);
    return stop != 0 ? stop : ouro_transport_traverse(object, visit, arg);
}

static int
udp_clear(PyObject *object)
{
    Py_CLEAR(ouro_udp(object)->address);
    ouro_udp(object)->addressed = false;
    (void)ouro_udp_kind.lost(ouro_transport(object));
    return ouro_transport_clear(object);
}

static void
udp_dealloc(PyObject *object)
{
    ouro_transport_dealloc(object, udp_clear);
}

PyDoc_STRVAR(udp_doc,
"_SelectorDatagramTransport(loop, sock, protocol, address=None, waiter=None,\n"
"                           extra=None)\n--\n\n"
"The transport of a datagram socket.");

static PyType_Slot udp_slots[] = {
    {Py_tp_doc, (void *)udp_doc},
    {Py_tp_new, ouro_udp_new},
    {Py_tp_init, udp_init},
    {Py_tp_dealloc, udp_dealloc},
    {Py_tp_finalize, ouro_transport_finalize},
    {Py_tp_traverse, udp_traverse},
    {Py_tp_clear, udp_clear},
    {Py_tp_repr, ouro_transport_repr},
    {Py_tp_methods, udp_methods},
    {Py_tp_members, udp_members},
    {Py_tp_getset, udp_getset},
    {0, NULL},
};

static PyType_Spec udp_spec = {
    .name = "ouro._ouro._SelectorDatagramTransport",
    .basicsize = sizeof(UdpObject),
    /* (Not immutable: asyncio.Transport, its base, is not.) */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = udp_slots,
};

/* asyncio's is a DatagramTransport from some version on. */
static PyObject *
udp_bases(ouro_state *st)
{
    PyObject *datagram =
        PyObject_GetAttrString(st->stock.transports, "DatagramTransport");
    if (datagram == NULL) {
        return NULL;
    }
    int is_one =
        PyObject_IsSubclass(st->stock.stock_DatagramTransport, datagram);
    PyObject *bases = is_one < 0 ? NULL
                      : is_one > 0
                          ? PyTuple_Pack(2, st->stock.Transport, datagram)
                          : PyTuple_Pack(1, st->stock.Transport);
    Py_DECREF(datagram);
    return bases;
}

int
ouro_udp_setup(PyObject *module, ouro_state *st)
{
    PyObject *bases = udp_bases(st);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &udp_spec, bases, true,
                               &st->types.DatagramTransport);
    Py_DECREF(bases);
    return result;
}
