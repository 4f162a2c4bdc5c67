/* tcp_make.c - how a stream transport is made: from a socket object, or from
 * a connection that a listener has accepted; and what it tells of its socket.
 *
 * An accepted connection is a bare descriptor: the socket object, the
 * addresses and the dictionary of extra information are made when somebody
 * asks for them.  The descriptor is the transport's; once there is a socket
 * object, it is that object's, which the transport closes.
 */
#include "net/tcp.h"

#include "loop/netops.h"
#include "net/pipe.h"
#include "net/udp.h"

/* ---- making ------------------------------------------------------------ */

static void
tcp_prepare(TcpObject *self)
{
    ou_io_init(&self->base.io, &ouro_tcp_in_kind, &ouro_tcp_out_kind);
    ou_job_init(&self->flush, &ouro_tcp_flush_kind);
    self->base.kind = &ouro_tcp_kind;
    self->base.fd = -1;
}

PyObject *
ouro_tcp_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
             PyObject *Py_UNUSED(kwargs))
{
    PyObject *object = type->tp_alloc(type, 0);
    if (object == NULL) {
        return NULL;
    }
    tcp_prepare(ouro_tcp(object));
    if (ouro_dict_at_birth(&ouro_transport(object)->dict) < 0) {
        Py_CLEAR(object);
    }
    return object;
}

/* base_events._set_nodelay() */
static int
tcp_set_nodelay(TcpObject *self)
{
    if ((self->family == AF_INET || self->family == AF_INET6)
        && self->proto == OU_PROTO_TCP) {
        int result = ou_sock_set_nodelay(self->base.fd);
        return result < 0 ? ouro_raise_errno_int(result) : 0;
    }
    return 0;
}

/* sock.fileno(), family and proto. */
static int
tcp_read_socket(ouro_state *st, PyObject *sock, int *ret_fd, TcpObject *self)
{
    PyObject *number = PyObject_CallMethodNoArgs(sock, st->str.fileno);
    if (number == NULL) {
        return -1;
    }
    *ret_fd = PyLong_AsInt(number);
    Py_DECREF(number);
    if (*ret_fd == -1 && PyErr_Occurred()) {
        return -1;
    }
    int family = ou_sock_family(*ret_fd);
    int type = ou_sock_type(*ret_fd);
    self->family = type == SOCK_STREAM && family >= 0 ? family : AF_UNSPEC;
    PyObject *proto = PyObject_GetAttr(sock, st->str.proto);
    if (proto == NULL) {
        return -1;
    }
    self->proto = PyLong_Check(proto) ? PyLong_AsInt(proto) : 0;
    Py_DECREF(proto);
    return PyErr_Occurred() ? -1 : 0;
}

int
ouro_tcp_start(ouro_state *st, TcpObject *self, PyObject *loop, PyObject *sock,
               PyObject *protocol, PyObject *waiter, PyObject *extra,
               PyObject *server)
{
    TransportObject *base = &self->base;
    int fd;
    if (ouro_transport_check_init(st, loop, base->loop != NULL || base->open)
            < 0
        || tcp_read_socket(st, sock, &fd, self) < 0
        || ouro_transport_begin(st, base, &ouro_tcp_kind, loop, sock, fd)
               < 0) {
        return -1;
    }
    ou_outbuf_init(&self->out, &ouro_loop_engine(loop)->outpool);
    if (ouro_transport_socket_extra(st, base, extra) < 0
        || ouro_transport_set_protocol(st, base, protocol) < 0
        || ouro_transport_attach(st, base, server) < 0
        || tcp_set_nodelay(self) < 0) {
        return -1;
    }
    return ouro_transport_schedule_made(st, base, waiter);
}

static PyObject *
tcp_make_stream(ouro_state *st, PyObject *loop, PyObject *sock,
                PyObject *protocol, PyObject *waiter, PyObject *extra,
                PyObject *server, PyObject *context)
{
    PyObject *object = ouro_tcp_new(st->types.SocketTransport, NULL, NULL);
    if (object != NULL && context != NULL && PyContext_CheckExact(context)) {
        ouro_transport(object)->context = Py_NewRef(context);
        ouro_transport(object)->keeps_context = true;
    }
    if (object != NULL
        && ouro_tcp_start(st, ouro_tcp(object), loop, sock, protocol, waiter,
                          extra, server)
               < 0) {
        return ouro_transport_give_up(object);
    }
    return object;
}

/* ---- socket objects ---------------------------------------------------- */

/* The socket object, made when asked for first (owned). */
PyObject *
ouro_tcp_socket(ouro_state *st, TcpObject *self)
{
    TransportObject *base = &self->base;
    if (base->sock != NULL) {
        return Py_NewRef(base->sock);
    }
    if (!base->open) {
        /* Closed without ever having been one: a closed one will do. */
        PyObject *closed =
            PyObject_CallMethod(st->stock.socket_module, "socket", "ii",
                                self->family, SOCK_STREAM);
        PyObject *result =
            closed == NULL ? NULL
                           : PyObject_CallMethodNoArgs(closed, st->str.close);
        if (result == NULL) {
            Py_CLEAR(closed);
        }
        Py_XDECREF(result);
        return closed;
    }
    PyObject *sock =
        PyObject_CallMethod(st->stock.socket_module, "socket", "iiii",
                            self->family, SOCK_STREAM, self->proto, base->fd);
    if (sock == NULL) {
        return NULL;
    }
    base->sock = Py_NewRef(sock); /* from here on the fd is its */
    PyObject *result =
        PyObject_CallMethodOneArg(sock, st->str.setblocking, Py_False);
    if (result == NULL) {
        Py_DECREF(sock);
        return NULL;
    }
    Py_DECREF(result);
    return sock;
}

/* ---- accepted connections ---------------------------------------------- */

/* Of internet sockets the addresses are enough for now. */
static int
tcp_accepted_extra(ouro_state *st, TcpObject *self)
{
    TransportObject *base = &self->base;
    if (self->peer.length > 0) {
        int result = ou_address_of_socket(&self->local, base->fd);
        return result < 0 ? ouro_raise_errno_int(result) : 0;
    }
    if (ouro_drop_result(ouro_tcp_socket(st, self)) < 0) {
        return -1;
    }
    return ouro_transport_socket_extra(st, base, NULL);
}

/* What asyncio's _accept_connection2() does up to the first await. Until
 * then the factory is in the protocol's place. */
static int
tcp_accepted(ouro_state *st, TcpObject *self)
{
    TransportObject *base = &self->base;
    PyObject *factory = base->protocol;
    base->protocol = NULL;
    PyObject *protocol = PyObject_CallNoArgs(factory);
    Py_DECREF(factory);
    PyObject *server = base->server;
    base->server = NULL;
    int result = -1;
    if (protocol != NULL) {
        if (tcp_accepted_extra(st, self) == 0
            && ouro_transport_set_protocol(st, base, protocol) == 0
            && ouro_transport_attach(st, base, server) == 0
            && tcp_set_nodelay(self) == 0) {
            result = ouro_transport_schedule_made(st, base, NULL);
        }
        Py_DECREF(protocol);
    }
    Py_XDECREF(server);
    return result;
}

static int
accept_run(ou_job *job)
{
    TransportObject *base = OURO_CONTAINER_OF(job, TransportObject, made);
    ouro_state *st = ouro_state_of((PyObject *)base);
    PyObject *context = base->step_context, *entered;
    base->step_context = NULL;
    job->kind = &ouro_transport_made_kind;
    int result = ouro_transport_enter(base, context, &entered);
    if (result == 0) {
        result = tcp_accepted(st, (TcpObject *)base);
        ouro_transport_leave(entered);
    }
    if (result < 0) {
        PyObject *exception = PyErr_GetRaisedException();
        (void)ouro_transport_close_file(st, base);
        PyErr_SetRaisedException(exception);
        if (!ouro_error_leaves_loop()) {
            /* asyncio tells of it in debug mode alone. */
            PyErr_Clear();
            result = 0;
        }
    }
    Py_XDECREF(context);
    Py_DECREF(base);
    return result;
}

static void
accept_drop(ou_job *job)
{
    TransportObject *base = OURO_CONTAINER_OF(job, TransportObject, made);
    (void)ouro_transport_close_file(ouro_state_of((PyObject *)base), base);
    Py_DECREF(base);
}

static const ou_job_kind accept_kind = {
    .run = accept_run,
    .drop = accept_drop,
    .owner_offset = offsetof(TransportObject, made),
    .visit = ouro_job_visit,
};

static int
tcp_accept(ouro_state *st, PyObject *loop, PyObject *factory, PyObject *server,
           PyObject *context, const accepted *connection)
{
    PyObject *object = ouro_tcp_new(st->types.SocketTransport, NULL, NULL);
    if (object == NULL) {
        (void)ou_close(connection->fd);
        return -1;
    }
    TcpObject *self = ouro_tcp(object);
    TransportObject *base = &self->base;
    base->step_context =
        context == NULL ? PyContext_CopyCurrent() : PyContext_Copy(context);
    if (base->step_context == NULL
        || ouro_transport_begin(st, base, &ouro_tcp_kind, loop, NULL,
                                connection->fd)
               < 0) {
        base->open = false;
        (void)ou_close(connection->fd);
        Py_DECREF(object);
        return -1;
    }
    if (context != NULL) {
        base->context = Py_NewRef(base->step_context);
        base->keeps_context = true;
    }
    ou_outbuf_init(&self->out, &ouro_loop_engine(loop)->outpool);
    self->family = connection->family;
    self->proto = connection->proto;
    self->peer = connection->peer;
    base->protocol = Py_NewRef(factory);
    base->server = Py_NewRef(server);
    ou_job_init(&base->made, &accept_kind);
    ou_loop_push(ouro_loop_engine(loop), &base->made); /* takes object over */
    return 0;
}

static PyObject *
tcp_transport_of(ou_io *io)
{
    if (io->in.kind != &ouro_tcp_in_kind && io->in.kind != &ouro_udp_in_kind) {
        return NULL;
    }
    TransportObject *base = OURO_CONTAINER_OF(io, TransportObject, io);
    return base->closing ? NULL : (PyObject *)base;
}

static int
tcp_take_unread(ouro_state *st, PyObject *protocol, PyObject **ret)
{
    const protocol_ops *ops = ouro_protocol_ops(st, protocol);
    *ret = NULL;
    if (ops == NULL || ops->take_unread == NULL
        || !ouro_protocol_usable(ops, protocol)) {
        return 0;
    }
    return ops->take_unread(protocol, ret);
}

const net_ops ouro_net_ops = {
    .make_stream = tcp_make_stream,
    .make_datagram = ouro_udp_make,
    .accept = tcp_accept,
    .transport_of = tcp_transport_of,
    .take_unread = tcp_take_unread,
    .share = ouro_pipe_share,
};

/* ---- extra information ------------------------------------------------- */

static int
set_address(PyObject *extra, PyObject *name, const ou_address *address)
{
    PyObject *value = ouro_address_object(address);
    if (value == NULL) {
        return -1;
    }
    int result = PyDict_SetItem(extra, name, value);
    Py_DECREF(value);
    return result;
}

/* The dictionary of extra information (borrowed), or NULL. */
PyObject *
ouro_tcp_extra(TransportObject *base)
{
    if (base->extra != NULL) {
        return base->extra;
    }
    TcpObject *self = (TcpObject *)base;
    ouro_state *st = ouro_state_of((PyObject *)base);
    PyObject *extra = PyDict_New();
    PyObject *sock = NULL, *shown = NULL;
    if (extra == NULL) {
        return NULL;
    }
    if (set_address(extra, st->str.peername, &self->peer) < 0) {
        goto fail;
    }
    sock = ouro_tcp_socket(st, self);
    if (sock == NULL) {
        goto fail;
    }
    shown = PyObject_CallMethodOneArg(st->stock.trsock,
                                      st->str.TransportSocket, sock);
    if (shown == NULL || PyDict_SetItem(extra, st->str.socket, shown) < 0
        || set_address(extra, st->str.sockname, &self->local) < 0) {
        goto fail;
    }
    Py_DECREF(shown);
    Py_DECREF(sock);
    base->extra = extra;
    return extra;
fail:
    Py_DECREF(extra);
    Py_XDECREF(sock);
    Py_XDECREF(shown);
    return NULL;
}
