/* server.c - asyncio.Server: listening sockets, and the connections that
 * were made through them.
 *
 * The server counts its transports; when it is closed and the last of them
 * has gone, who waits in wait_closed() is woken.  Transports of ours are kept
 * in an intrusive list: no weak reference for each.
 */
#include "loop/server.h"

#include "base/args.h"
#include "base/rooms.h"
#include "loop/listener.h"
#include "task/future.h"

/* ---- the transports of a server ---------------------------------------- */

/* Done and closed: wake who waits for it. */
static PyObject *
server_wakeup(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    ServerObject *self = ouro_server(op);
    ouro_state *st = ouro_state_of(op);
    PyObject *waiters = self->waiters;
    self->waiters = NULL;
    if (waiters == NULL) {
        PyErr_SetString(PyExc_TypeError, "'NoneType' object is not iterable");
        return NULL;
    }
    Py_SETREF(waiters, PySequence_List(waiters));
    int result = waiters == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(waiters); i++) {
        PyObject *waiter = PyList_GET_ITEM(waiters, i);
        int done = ouro_anyfuture_done(st, waiter);
        if (done == 0) {
            result = ouro_anyfuture_set_result(
                st, waiter, st->has.minor >= 12 ? Py_None : waiter);
        }
        else if (done < 0) {
            result = -1;
        }
    }
    Py_XDECREF(waiters);
    return ouro_none_or_error(result);
}

/* self._wakeup(): programs replace it to hear of the end. */
static int
call_wakeup(ouro_state *st, ServerObject *self)
{
    return ouro_drop_result(
        PyObject_CallMethodNoArgs((PyObject *)self, st->str._wakeup));
}

static int
server_check_open(ServerObject *self)
{
    if (self->sockets == NULL) {
        PyErr_SetNone(PyExc_AssertionError);
        return -1;
    }
    return 0;
}

static int
server_gone(ouro_state *st, ServerObject *self)
{
    self->active--;
    return self->active == 0 && self->sockets == NULL && self->waiters != NULL
               ? call_wakeup(st, self)
               : 0;
}

int
ouro_server_attach(ouro_state *st, PyObject *server, PyObject *transport,
                   server_client *client)
{
    if (!ouro_server_exact(st, server)) {
        return ouro_drop_result(PyObject_CallMethodObjArgs(
            server, st->str._attach, st->has.minor >= 13 ? transport : NULL,
            NULL));
    }
    ServerObject *self = ouro_server(server);
    if (server_check_open(self) < 0) {
        return -1;
    }
    client->transport = transport;
    client->next = self->clients;
    client->link = &self->clients;
    if (self->clients != NULL) {
        self->clients->link = &client->next;
    }
    self->clients = client;
    self->active++;
    return 0;
}

static void
client_unlink(server_client *client)
{
    client->transport = NULL;
    *client->link = client->next;
    if (client->next != NULL) {
        client->next->link = client->link;
    }
}

int
ouro_server_detach(ouro_state *st, PyObject *server, PyObject *transport,
                   server_client *client)
{
    if (client->transport == NULL) {
        return ouro_drop_result(PyObject_CallMethodObjArgs(
            server, st->str._detach, st->has.minor >= 13 ? transport : NULL,
            NULL));
    }
    client_unlink(client);
    return server_gone(st, ouro_server(server));
}

void
ouro_server_forget(PyObject *server, server_client *client)
{
    if (client->transport != NULL) {
        client_unlink(client);
        ouro_server(server)->active--;
    }
}

/* _attach() and _detach() as Python calls them, for transports that are not
 * ours. */
static PyObject *
server_attach(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ServerObject *self = ouro_server(op);
    if (server_check_open(self) < 0) {
        return NULL;
    }
    if (nargs > 0) {
        if (self->foreign == NULL) {
            self->foreign = PySet_New(NULL);
        }
        if (self->foreign == NULL) {
            return NULL;
        }
        PyObject *reference = PyWeakref_NewRef(args[0], NULL);
        if (reference == NULL || PySet_Add(self->foreign, reference) < 0) {
            Py_XDECREF(reference);
            return NULL;
        }
        Py_DECREF(reference);
    }
    self->active++;
    Py_RETURN_NONE;
}

static PyObject *
server_detach(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ServerObject *self = ouro_server(op);
    if (nargs > 0) {
        PyObject *reference = PyWeakref_NewRef(args[0], NULL);
        int found = reference == NULL || self->foreign == NULL
                        ? (reference == NULL ? -1 : 0)
                        : PySet_Discard(self->foreign, reference);
        Py_XDECREF(reference);
        if (found < 0) {
            return NULL;
        }
        if (found == 0) {
            Py_RETURN_NONE;
        }
    }
    else if (self->active == 0) {
        PyErr_SetNone(PyExc_AssertionError);
        return NULL;
    }
    return server_gone(ouro_state_of(op), self) < 0 ? NULL
                                                    : Py_NewRef(Py_None);
}

/* Append those of the weak references' objects that live. */
static int
append_living(PyObject *list, PyObject *references)
{
    PyObject *all = PySequence_List(references);
    int result = all == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(all); i++) {
        PyObject *object;
        result = PyWeakref_GetRef(PyList_GET_ITEM(all, i), &object);
        if (result > 0) {
            result = PyList_Append(list, object);
            Py_DECREF(object);
        }
    }
    Py_XDECREF(all);
    return result;
}

/* The transports that live, as a list. */
static PyObject *
server_transports(ServerObject *self)
{
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return NULL;
    }
    for (server_client *each = self->clients; each != NULL;
         each = each->next) {
        if (PyList_Append(list, each->transport) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    if (self->foreign != NULL && append_living(list, self->foreign) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *
server_call_clients(PyObject *op, const char *method)
{
    PyObject *transports = server_transports(ouro_server(op));
    if (transports == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(transports); i++) {
        PyObject *result =
            PyObject_CallMethod(PyList_GET_ITEM(transports, i), method, NULL);
        if (result == NULL) {
            Py_DECREF(transports);
            return NULL;
        }
        Py_DECREF(result);
    }
    Py_DECREF(transports);
    Py_RETURN_NONE;
}

static PyObject *
server_close_clients(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return server_call_clients(op, "close");
}

static PyObject *
server_abort_clients(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return server_call_clients(op, "abort");
}

/* ---- serving ----------------------------------------------------------- */

PyObject *
ouro_server_loop(ServerObject *self)
{
    if (self->loop == NULL) {
        PyErr_SetString(PyExc_AttributeError,
                        "'Server' object has no attribute '_loop'");
    }
    return Py_XNewRef(self->loop);
}

/* Listen on one socket. */
static int
server_start_socket(ouro_state *st, ServerObject *self, PyObject *sock)
{
    PyObject *loop = ouro_server_loop(self);
    if (loop == NULL) {
        return -1;
    }
    PyObject *listening = PyObject_CallMethodOneArg(
        sock, st->str.listen, ouro_or_none(self->backlog));
    int result = -1;
    if (listening != NULL) {
        Py_DECREF(listening);
        PyObject *args[] = {ouro_or_none(self->protocol_factory),
                            sock,
                            ouro_or_none(self->ssl_context),
                            (PyObject *)self,
                            ouro_or_none(self->backlog),
                            ouro_or_none(self->ssl_handshake_timeout),
                            ouro_or_none(self->ssl_shutdown_timeout),
                            ouro_or_none(self->context)};
        result = ouro_start_serving(st, loop, args);
    }
    Py_DECREF(loop);
    return result;
}

int
ouro_server_start(ouro_state *st, ServerObject *self)
{
    if (self->serving) {
        return 0;
    }
    self->serving = true;
    /* (Not as a list: when there is no memory for one, CPython 3.11 leaks the
     * sockets.) */
    PyObject *sockets =
        PySequence_Tuple(self->sockets == NULL ? Py_None : self->sockets);
    if (sockets == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(sockets); i++) {
        result = server_start_socket(st, self, PyTuple_GET_ITEM(sockets, i));
    }
    Py_DECREF(sockets);
    return result;
}

static PyObject *
server_start(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ouro_server_start(ouro_state_of(op), ouro_server(op)) < 0
               ? NULL
               : Py_NewRef(Py_None);
}

static int
server_stop_sockets(ouro_state *st, ServerObject *self, PyObject *sockets)
{
    PyObject *all = PySequence_Tuple(sockets);
    if (all == NULL) {
        return -1;
    }
    PyObject *loop = ouro_server_loop(self);
    int result = loop == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(all); i++) {
        PyObject *value = PyObject_CallMethodOneArg(
            loop, st->str._stop_serving, PyTuple_GET_ITEM(all, i));
        result = value == NULL ? -1 : 0;
        Py_XDECREF(value);
    }
    Py_XDECREF(loop);
    Py_DECREF(all);
    return result;
}

static int
end_serving_forever(ouro_state *st, ServerObject *self)
{
    PyObject *future = Py_NewRef(self->serving_forever);
    int done = ouro_anyfuture_done(st, future);
    if (done == 0) {
        Py_CLEAR(self->serving_forever);
        done = ouro_anyfuture_cancel(st, future, NULL);
    }
    Py_DECREF(future);
    return done < 0 ? -1 : 0;
}

/* close() */
static int
server_do_close(ouro_state *st, ServerObject *self)
{
    PyObject *sockets = self->sockets;
    if (sockets == NULL) {
        return 0;
    }
    self->sockets = NULL;
    int result = server_stop_sockets(st, self, sockets);
    Py_DECREF(sockets);
    if (result < 0) {
        return -1;
    }
    self->serving = false;
    if (self->serving_forever != NULL && end_serving_forever(st, self) < 0) {
        return -1;
    }
    return self->active == 0 ? call_wakeup(st, self) : 0;
}

static PyObject *
server_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return server_do_close(ouro_state_of(op), ouro_server(op)) < 0
               ? NULL
               : Py_NewRef(Py_None);
}

/* ---- the type ---------------------------------------------------------- */

static PyObject *
server_get_loop(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *loop = ouro_server(op)->loop;
    return Py_NewRef(loop == NULL ? Py_None : loop);
}

static PyObject *
server_is_serving(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(ouro_server(op)->serving);
}

static PyObject *
server_get_sockets(PyObject *op, void *Py_UNUSED(closure))
{
    ouro_state *st = ouro_state_of(op);
    PyObject *sockets = ouro_server(op)->sockets;
    if (sockets == NULL) {
        return PyTuple_New(0);
    }
    PyObject *shown = PySequence_List(sockets);
    for (Py_ssize_t i = 0; shown != NULL && i < PyList_GET_SIZE(shown); i++) {
        PyObject *each = PyObject_CallMethodOneArg(st->stock.trsock,
                                                   st->str.TransportSocket,
                                                   PyList_GET_ITEM(shown, i));
        if (each == NULL || PyList_SetItem(shown, i, each) < 0) {
            Py_CLEAR(shown);
        }
    }
    PyObject *tuple = shown == NULL ? NULL : PyList_AsTuple(shown);
    Py_XDECREF(shown);
    return tuple;
}

static PyObject *
server_repr(PyObject *op)
{
    PyObject *name = PyType_GetName(Py_TYPE(op));
    PyObject *sockets = PyObject_GetAttrString(op, "sockets");
    PyObject *repr = NULL;
    if (name != NULL && sockets != NULL) {
        repr = PyUnicode_FromFormat("<%U sockets=%R>", name, sockets);
    }
    Py_XDECREF(name);
    Py_XDECREF(sockets);
    return repr;
}

static void
server_fill(ServerObject *self, PyObject *const *a, PyObject *waiters,
            PyObject *context)
{
    Py_XSETREF(self->loop, Py_NewRef(a[0]));
    Py_XSETREF(self->sockets, a[1] == Py_None ? NULL : Py_NewRef(a[1]));
    Py_XSETREF(self->protocol_factory, Py_NewRef(a[2]));
    Py_XSETREF(self->ssl_context, Py_NewRef(a[3]));
    Py_XSETREF(self->backlog, Py_NewRef(a[4]));
    Py_XSETREF(self->ssl_handshake_timeout, Py_NewRef(a[5]));
    Py_XSETREF(self->ssl_shutdown_timeout,
               Py_NewRef(a[6] == NULL ? Py_None : a[6]));
    Py_XSETREF(self->waiters, waiters);
    Py_XSETREF(self->context, context);
    self->serving = false;
}

static int
server_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "Server.__init__",
        .skip_self = 1,
        .positional = 7,
        .required = 6,
        .names = {"loop", "sockets", "protocol_factory", "ssl_context",
                  "backlog", "ssl_handshake_timeout", "ssl_shutdown_timeout"},
    };
    PyObject *a[7];
    if (ouro_parse_init(&signature, args, kwargs, a) < 0) {
        return -1;
    }
    bool keeps = ouro_state_of(op)->has.loop.transport_context;
    PyObject *waiters = PyList_New(0), *context = NULL;
    if (waiters == NULL
        || (keeps && (context = PyContext_CopyCurrent()) == NULL)) {
        Py_XDECREF(waiters);
        return -1;
    }
    server_fill(ouro_server(op), a, waiters, context);
    return 0;
}

PyObject *
ouro_server_new(ouro_state *st, PyObject *loop, PyObject *sockets,
                PyObject *protocol_factory, PyObject *ssl_context,
                PyObject *backlog, PyObject *ssl_handshake_timeout,
                PyObject *ssl_shutdown_timeout)
{
    PyObject *args[] = {loop,
                        sockets,
                        protocol_factory,
                        ssl_context,
                        backlog,
                        ssl_handshake_timeout,
                        ssl_shutdown_timeout};
    return PyObject_Vectorcall((PyObject *)st->types.Server, args, 7, NULL);
}

static int
server_traverse(PyObject *op, visitproc visit, void *arg)
{
    ServerObject *self = ouro_server(op);
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->sockets);
    Py_VISIT(self->waiters);
    Py_VISIT(self->protocol_factory);
    Py_VISIT(self->backlog);
    Py_VISIT(self->ssl_context);
    Py_VISIT(self->ssl_handshake_timeout);
    Py_VISIT(self->ssl_shutdown_timeout);
    Py_VISIT(self->context);
    Py_VISIT(self->serving_forever);
    Py_VISIT(self->foreign);
    return 0;
}

static int
server_clear(PyObject *op)
{
    ServerObject *self = ouro_server(op);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->sockets);
    Py_CLEAR(self->waiters);
    Py_CLEAR(self->protocol_factory);
    Py_CLEAR(self->backlog);
    Py_CLEAR(self->ssl_context);
    Py_CLEAR(self->ssl_handshake_timeout);
    Py_CLEAR(self->ssl_shutdown_timeout);
    Py_CLEAR(self->context);
    Py_CLEAR(self->serving_forever);
    Py_CLEAR(self->foreign);
    return 0;
}

static void
server_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (ouro_server(op)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    (void)server_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef server_methods[] = {
    {"close", server_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\n"
               "Stop listening; connections that are made stay open.")},
    {"get_loop", server_get_loop, METH_NOARGS,
     PyDoc_STR("get_loop($self)\n--\n\nReturn the loop.")},
    {"is_serving", server_is_serving, METH_NOARGS,
     PyDoc_STR("is_serving($self)\n--\n\n"
               "Return True if the server accepts connections.")},
    {"_start_serving", server_start, METH_NOARGS, NULL},
    {"_wakeup", server_wakeup, METH_NOARGS, NULL},
    {"_attach", _PyCFunction_CAST(server_attach), METH_FASTCALL, NULL},
    {"_detach", _PyCFunction_CAST(server_detach), METH_FASTCALL, NULL},
    {NULL},
};

static PyMethodDef methods_3_13[] = {
    {"close_clients", server_close_clients, METH_NOARGS,
     PyDoc_STR("close_clients($self)\n--\n\n"
               "Close the transports of all connections.")},
    {"abort_clients", server_abort_clients, METH_NOARGS,
     PyDoc_STR("abort_clients($self)\n--\n\n"
               "Close the transports of all connections at once.")},
    {NULL},
};

#define MEMBER(name, field)                                                   \
    {                                                                         \
        name, T_OBJECT, offsetof(ServerObject, field), 0, NULL                \
    }

static PyMemberDef server_members[] = {
    MEMBER("_loop", loop),
    MEMBER("_protocol_factory", protocol_factory),
    MEMBER("_backlog", backlog),
    MEMBER("_ssl_context", ssl_context),
    MEMBER("_ssl_handshake_timeout", ssl_handshake_timeout),
    MEMBER("_ssl_shutdown_timeout", ssl_shutdown_timeout),
    {"_serving", T_BOOL, offsetof(ServerObject, serving), 0, NULL},
    {"_active_count", T_PYSSIZET, offsetof(ServerObject, active), READONLY,
     NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(ServerObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ServerObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyMemberDef member_3_15 = MEMBER("_context", context);

static PyObject **
optional_field(PyObject *op, void *offset)
{
    return (PyObject **)((char *)op + (uintptr_t)offset);
}

/* For None there is nothing in the field. */
static PyObject *
get_optional(PyObject *op, void *field)
{
    return Py_NewRef(ouro_or_none(*optional_field(op, field)));
}

static int
set_optional(PyObject *op, PyObject *value, void *field)
{
    Py_XSETREF(*optional_field(op, field),
               value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

#define OPTIONAL(name, field)                                                 \
    {                                                                         \
        name, get_optional, set_optional, NULL,                               \
            (void *)offsetof(ServerObject, field)                             \
    }

static PyGetSetDef server_getset[] = {
    OPTIONAL("_sockets", sockets),
    OPTIONAL("_waiters", waiters),
    OPTIONAL("_serving_forever_fut", serving_forever),
    {"sockets", server_get_sockets, NULL,
     "The sockets that the server listens on, as a tuple.", NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

static PyType_Slot core_slots[] = {
    {Py_tp_new, PyType_GenericNew},  {Py_tp_init, server_init},
    {Py_tp_dealloc, server_dealloc}, {Py_tp_traverse, server_traverse},
    {Py_tp_clear, server_clear},     {Py_tp_repr, server_repr},
    {Py_tp_methods, server_methods}, {Py_tp_members, server_members},
    {Py_tp_getset, server_getset},   {0, NULL},
};

static PyType_Spec core_spec = {
    .name = "ouro._ouro.ServerCore",
    .basicsize = sizeof(ServerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = core_slots,
};

PyDoc_STRVAR(server_doc,
"Server(loop, sockets, protocol_factory, ssl_context, backlog,\n"
"       ssl_handshake_timeout, ssl_shutdown_timeout=None)\n--\n\n"
"What create_server() returns: listening sockets and their connections.");

static PyType_Slot server_slots[] = {
    {Py_tp_doc, (void *)server_doc},
    {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "ouro._ouro.Server",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = server_slots,
};

/* type.<name> = descriptor; takes the descriptor over. */
static int
add_descriptor(PyTypeObject *type, const char *name, PyObject *descriptor)
{
    int result = descriptor == NULL ? -1
                                    : PyObject_SetAttrString((PyObject *)type,
                                                             name, descriptor);
    Py_XDECREF(descriptor);
    return result;
}

static int
add_methods(PyTypeObject *type, PyMethodDef *table)
{
    for (PyMethodDef *method = table; method->ml_name != NULL; method++) {
        if (add_descriptor(type, method->ml_name,
                           PyDescr_NewMethod(type, method))
            < 0) {
            return -1;
        }
    }
    return 0;
}

/* What Server has in some versions alone. */
static int
add_newer(ouro_state *st, PyTypeObject *type)
{
    if (st->has.minor >= 13 && add_methods(type, methods_3_13) < 0) {
        return -1;
    }
    return st->has.loop.transport_context ? add_descriptor(
               type, member_3_15.name, PyDescr_NewMember(type, &member_3_15))
                                          : 0;
}

/* As the loop: asyncio's abstract class is a base, the layout is ours. */
int
ouro_server_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &core_spec, NULL, false, &st->types.ServerCore)
            < 0
        || ouro_add_async_methods(st, st->types.ServerCore,
                                  ouro_server_async_methods)
               < 0
        || add_newer(st, st->types.ServerCore) < 0) {
        return -1;
    }
    PyObject *base =
        PyObject_GetAttrString(st->stock.events, "AbstractServer");
    PyObject *bases =
        base == NULL ? NULL : PyTuple_Pack(2, st->types.ServerCore, base);
    int result = -1;
    if (bases != NULL) {
        result = ouro_add_type(module, &server_spec, bases, true,
                               &st->types.Server);
    }
    Py_XDECREF(base);
    Py_XDECREF(bases);
    return result;
}
