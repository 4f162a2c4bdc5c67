/* trsock.c - asyncio.trsock.TransportSocket: what of a transport's socket
 * its user may touch.  Every method goes on to the socket's own.
 */
#include "base/args.h"
#include "base/ouro.h"
#include "base/rooms.h"

typedef struct TransportSocketObject {
    PyObject_HEAD
    PyObject *sock; /* NULL before __init__() */
} TransportSocketObject;

/* The socket (borrowed), or NULL and AttributeError. */
static PyObject *
sock_of(PyObject *self)
{
    PyObject *sock = ((TransportSocketObject *)self)->sock;
    if (sock == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_sock");
    }
    return sock;
}

static int
trsock_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("TransportSocket.__init__", "sock");
    PyObject *sock;
    if (ouro_parse_init(&signature, args, kwargs, &sock) < 0) {
        return -1;
    }
    Py_XSETREF(((TransportSocketObject *)self)->sock, Py_NewRef(sock));
    return 0;
}

/* ---- what goes on to the socket ---------------------------------------- */

static PyObject *
attribute(PyObject *self, void *name)
{
    PyObject *sock = sock_of(self);
    return sock == NULL ? NULL : PyObject_GetAttrString(sock, name);
}

/* sock.name(*args, **kwargs) */
static PyObject *
pass_on(PyObject *self, const char *name, PyObject *const *args,
        Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *method = attribute(self, (void *)name);
    if (method == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(method, args, nargs, kwnames);
    Py_DECREF(method);
    return result;
}

/* A method without parameters of that name. */
#define PLAIN_METHOD(name)                                                    \
    static PyObject *trsock_##name(PyObject *self,                            \
                                   PyObject *Py_UNUSED(ignored))              \
    {                                                                         \
        return pass_on(self, #name, NULL, 0, NULL);                           \
    }

PLAIN_METHOD(fileno)
PLAIN_METHOD(dup)
PLAIN_METHOD(get_inheritable)
PLAIN_METHOD(getpeername)
PLAIN_METHOD(getsockname)
PLAIN_METHOD(getsockbyname)

static PyObject *
trsock_shutdown(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("TransportSocket.shutdown", "how");
    PyObject *how;
    return ouro_parse(&signature, args, nargs, kwnames, &how) < 0
               ? NULL
               : ouro_none_or_error(
                   ouro_drop_result(pass_on(self, "shutdown", &how, 1, NULL)));
}

/* name(*args, **kwargs), where only a keyword `self` is wrong. */
static PyObject *
pass_all_on(PyObject *self, const char *name, const char *qualname,
            PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ouro_signature signature = {
        .qualname = qualname,
        .skip_self = 1,
        .varargs = true,
        .varkeywords = true,
    };
    PyObject *none[1];
    return ouro_parse(&signature, args, nargs, kwnames, none) < 0
               ? NULL
               : pass_on(self, name, args, nargs, kwnames);
}

static PyObject *
trsock_getsockopt(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    return pass_all_on(self, "getsockopt", "TransportSocket.getsockopt", args,
                       nargs, kwnames);
}

static PyObject *
trsock_setsockopt(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    return ouro_none_or_error(ouro_drop_result(
        pass_all_on(self, "setsockopt", "TransportSocket.setsockopt", args,
                    nargs, kwnames)));
}

/* ---- what transports rely on ------------------------------------------- */

static PyObject *
trsock_settimeout(PyObject *Py_UNUSED(self), PyObject *const *args,
                  Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("TransportSocket.settimeout", "value");
    PyObject *value;
    PyObject *zero = PyLong_FromLong(0);
    int none =
        zero == NULL
                || ouro_parse(&signature, args, nargs, kwnames, &value) < 0
            ? -1
            : PyObject_RichCompareBool(value, zero, Py_EQ);
    Py_XDECREF(zero);
    if (none == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "settimeout(): only 0 timeout is allowed on "
                        "transport sockets");
    }
    return none > 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
trsock_gettimeout(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(0);
}

static PyObject *
trsock_setblocking(PyObject *Py_UNUSED(self), PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("TransportSocket.setblocking", "flag");
    PyObject *flag;
    int set = ouro_parse(&signature, args, nargs, kwnames, &flag) < 0
                  ? -1
                  : PyObject_IsTrue(flag);
    if (set > 0) {
        PyErr_SetString(PyExc_ValueError,
                        "setblocking(): transport sockets cannot be blocking");
    }
    return set == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
trsock_getstate(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(PyExc_TypeError,
                    "Cannot serialize asyncio.TransportSocket object");
    return NULL;
}

/* ---- repr() ------------------------------------------------------------ */

/* text + ", name=self.method()" where there is such an address; consumes
 * text. */
static PyObject *
add_address(PyObject *text, PyObject *self, const char *name,
            const char *method)
{
    PyObject *address = PyObject_CallMethod(self, method, NULL);
    if (address == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_OSError)) {
            Py_CLEAR(text);
        }
        else {
            PyErr_Clear();
        }
        return text;
    }
    int some = PyObject_IsTrue(address);
    if (some != 0) {
        Py_SETREF(text, some < 0 ? NULL
                                 : PyUnicode_FromFormat("%U, %s=%S", text,
                                                        name, address));
    }
    Py_DECREF(address);
    return text;
}

/* fileno(), which a subclass may have. */
static long
trsock_number(PyObject *self, PyObject **ret)
{
    *ret = PyObject_CallMethod(self, "fileno", NULL);
    return *ret == NULL ? -1 : PyLong_AsLong(*ret);
}

static PyObject *
trsock_repr(PyObject *self)
{
    PyObject *fd, *text = NULL;
    long number = trsock_number(self, &fd);
    PyObject *family = fd == NULL || PyErr_Occurred()
                           ? NULL
                           : PyObject_GetAttrString(self, "family");
    PyObject *type =
        family == NULL ? NULL : PyObject_GetAttrString(self, "type");
    PyObject *proto =
        type == NULL ? NULL : PyObject_GetAttrString(self, "proto");
    if (proto != NULL) {
        text = PyUnicode_FromFormat(
            "<asyncio.TransportSocket fd=%S, family=%S, type=%S, proto=%S", fd,
            family, type, proto);
    }
    Py_XDECREF(fd);
    Py_XDECREF(family);
    Py_XDECREF(type);
    Py_XDECREF(proto);
    if (text != NULL && number != -1) {
        text = add_address(text, self, "laddr", "getsockname");
        if (text != NULL) {
            text = add_address(text, self, "raddr", "getpeername");
        }
    }
    if (text != NULL) {
        Py_SETREF(text, PyUnicode_FromFormat("%U>", text));
    }
    return text;
}

/* ---- the type ---------------------------------------------------------- */

#define PLAIN(name)                                                           \
    {                                                                         \
#        name, trsock_##name, METH_NOARGS,                                    \
            PyDoc_STR(#        name "($self)\n--\n\nAs the socket's method.") \
    }

static PyMethodDef trsock_methods[] = {
    PLAIN(fileno),
    PLAIN(dup),
    PLAIN(get_inheritable),
    PLAIN(getpeername),
    PLAIN(getsockname),
    PLAIN(getsockbyname),
    OURO_METHOD(
        "shutdown", trsock_shutdown,
        PyDoc_STR("shutdown($self, how)\n--\n\nAs the socket's method.")),
    OURO_METHOD("getsockopt", trsock_getsockopt,
                PyDoc_STR("getsockopt($self, *args, **kwargs)\n--\n\n"
                          "As the socket's method.")),
    OURO_METHOD("setsockopt", trsock_setsockopt,
                PyDoc_STR("setsockopt($self, *args, **kwargs)\n--\n\n"
                          "As the socket's method.")),
    OURO_METHOD(
        "settimeout", trsock_settimeout,
        PyDoc_STR("settimeout($self, value)\n--\n\n"
                  "Do nothing; ValueError for any other timeout than 0.")),
    {"gettimeout", trsock_gettimeout, METH_NOARGS,
     PyDoc_STR("gettimeout($self)\n--\n\nReturn 0.")},
    OURO_METHOD("setblocking", trsock_setblocking,
                PyDoc_STR("setblocking($self, flag)\n--\n\n"
                          "Do nothing; ValueError for a true flag.")),
    {"__getstate__", trsock_getstate, METH_NOARGS, NULL},
    {NULL},
};

static PyGetSetDef trsock_getset[] = {
    {"family", attribute, NULL, PyDoc_STR("The socket's address family."),
     "family"},
    {"type", attribute, NULL, PyDoc_STR("The socket's type."), "type"},
    {"proto", attribute, NULL, PyDoc_STR("The socket's protocol."), "proto"},
    {NULL},
};

static PyMemberDef trsock_members[] = {
    {"_sock", T_OBJECT_EX, offsetof(TransportSocketObject, sock), 0, NULL},
    {NULL},
};

static int
trsock_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((TransportSocketObject *)self)->sock);
    return 0;
}

static int
trsock_clear(PyObject *self)
{
    Py_CLEAR(((TransportSocketObject *)self)->sock);
    return 0;
}

static void
trsock_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)trsock_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(trsock_doc,
"TransportSocket(sock)\n--\n\n"
"What of a transport's socket may be used by others: nothing that would\n"
"disrupt the transport.");

static PyType_Slot trsock_slots[] = {
    {Py_tp_doc, (void *)trsock_doc}, {Py_tp_init, trsock_init},
    {Py_tp_dealloc, trsock_dealloc}, {Py_tp_traverse, trsock_traverse},
    {Py_tp_clear, trsock_clear},     {Py_tp_repr, trsock_repr},
    {Py_tp_methods, trsock_methods}, {Py_tp_getset, trsock_getset},
    {Py_tp_members, trsock_members}, {0, NULL},
};

static PyType_Spec trsock_spec = {
    .name = "asyncio.trsock.TransportSocket",
    .basicsize = sizeof(TransportSocketObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = trsock_slots,
};

int
ouro_trsock_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &trsock_spec, NULL, true,
                         &st->types.TransportSocket);
}
