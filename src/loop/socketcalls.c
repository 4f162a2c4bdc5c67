/* socketcalls.c - see socketcalls.h. */
#include "loop/socketcalls.h"

#include "base/rooms.h"
#include "loop/netops.h"

bool
ouro_socket_transfers(ouro_state *st, PyObject *sock)
{
    PyTypeObject *type = Py_TYPE(sock);
    PyTypeObject *builtin = (PyTypeObject *)st->stock.builtin_socket;
    if (!PyType_IsSubtype(type, builtin)) {
        return false;
    }
    PyObject *names[] = {st->str.recv, st->str.recv_into, st->str.send,
                         st->str.sendmsg};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        if (_PyType_Lookup(type, names[i])
            != _PyType_Lookup(builtin, names[i])) {
            return true;
        }
    }
    return false;
}

bool
ouro_socket_accepts(ouro_state *st, PyObject *sock)
{
    return PyType_IsSubtype(Py_TYPE(sock),
                            (PyTypeObject *)st->stock.builtin_socket)
           && _PyType_Lookup(Py_TYPE(sock), st->str.accept)
                  != st->stock.socket_accept;
}

static PyObject *
make_stock_stream(ouro_state *st, PyObject *loop, PyObject *sock,
                  PyObject *protocol, PyObject *waiter, PyObject *extra,
                  PyObject *server, PyObject *context)
{
    PyObject *make = PyObject_GetAttr(st->stock.BaseSelectorEventLoop,
                                      st->str._make_socket_transport);
    if (make == NULL) {
        return NULL;
    }
    bool in_context = st->has.loop.transport_context;
    PyObject *args[] = {
        loop,
        sock,
        protocol,
        waiter == NULL ? Py_None : waiter,
        extra == NULL ? Py_None : extra,
        server == NULL ? Py_None : server,
        context == NULL ? Py_None : context,
    };
    PyObject *keywords = Py_BuildValue(in_context ? "(sss)" : "(ss)", "extra",
                                       "server", "context");
    PyObject *transport =
        keywords == NULL ? NULL : PyObject_Vectorcall(make, args, 4, keywords);
    Py_XDECREF(keywords);
    Py_DECREF(make);
    return transport;
}

PyObject *
ouro_make_stream(ouro_state *st, PyObject *loop, PyObject *sock,
                 PyObject *protocol, PyObject *waiter, PyObject *extra,
                 PyObject *server, PyObject *context)
{
    if (ouro_socket_transfers(st, sock)) {
        return make_stock_stream(st, loop, sock, protocol, waiter, extra,
                                 server, context);
    }
    return st->net->make_stream(st, loop, sock, protocol, waiter, extra,
                                server, context);
}

int
ouro_socketcalls_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    st->stock.socket_accept =
        PyObject_GetAttr(st->stock.socket_type, st->str.accept);
    return st->stock.socket_accept == NULL ? -1 : 0;
}
