/* udp_send.c - datagram sockets: sending.
 *
 * sendto() sends at once.  Two things make a datagram wait: the socket takes
 * no more (until the loop says that it does), or it answers one of a batch
 * that is being delivered: then all answers leave by one call at its end.
 */
#include "net/udp.h"

#include <errno.h>

static int
udp_write_failed(ouro_state *st, UdpObject *self)
{
    return ouro_transport_fatal(st, &self->base,
                                "Fatal write error on datagram transport");
}

size_t
ouro_udp_waiting(TransportObject *base)
{
    UdpObject *self = (UdpObject *)base;
    ouro_state *st = ouro_state_of((PyObject *)self);
    return self->out.size
           + self->out.count * (size_t)st->has.loop.datagram_header;
}

/* ---- one datagram ------------------------------------------------------ */

/* What has become of it. */
typedef enum send_result {
    SEND_FATAL = -1, /* an exception that is no OSError is set */
    SEND_DONE = 0,
    SEND_BLOCKED,
    SEND_REFUSED, /* an OSError is set */
} send_result;

static send_result
send_errno(int error)
{
    if (error == -EAGAIN || error == -EWOULDBLOCK) {
        return SEND_BLOCKED;
    }
    ouro_raise_errno(error);
    return PyErr_ExceptionMatches(PyExc_OSError) ? SEND_REFUSED : SEND_FATAL;
}

/* sock.send(data) or sock.sendto(data, addr), whatever they are. */
static send_result
send_by_methods(ouro_state *st, UdpObject *self, PyObject *data,
                PyObject *addr)
{
    PyObject *sock = self->base.sock;
    if (sock == NULL) {
        PyErr_SetString(PyExc_AttributeError,
                        "'NoneType' object has no attribute 'sendto'");
        return SEND_FATAL;
    }
    Py_INCREF(sock);
    PyObject *args[3] = {sock, data, addr};
    PyObject *result =
        self->connected
            ? PyObject_VectorcallMethod(st->str.send, args, 2, NULL)
            : PyObject_VectorcallMethod(st->str.sendto, args, 3, NULL);
    Py_DECREF(sock);
    if (self->base.loop != NULL) {
        ou_loop_note_io(ouro_transport_engine(&self->base));
    }
    if (result != NULL) {
        Py_DECREF(result);
        return SEND_DONE;
    }
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
        || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
        return SEND_BLOCKED;
    }
    return PyErr_ExceptionMatches(PyExc_OSError) ? SEND_REFUSED : SEND_FATAL;
}

/* Whether the engine can send to addr, and where that is; -1: exception. */
static int
udp_target(UdpObject *self, PyObject *addr, ou_address *ret)
{
    ret->length = 0;
    if (self->family == AF_UNSPEC || self->base.loop == NULL) {
        return 0;
    }
    if (self->connected) {
        return 1;
    }
    if (self->family == AF_UNIX) {
        return 0;
    }
    int known = ouro_peers_read(&self->peers, self->family, addr, ret);
    if (known > 0
        && PySys_Audit("socket.sendto", "OO", self->base.sock, addr) < 0) {
        return -1;
    }
    return known;
}

/* Now, in front of nothing else. */
static send_result
udp_send(ouro_state *st, UdpObject *self, PyObject *data, PyObject *addr)
{
    ou_address to;
    int known = udp_target(self, addr, &to);
    if (known <= 0) {
        return known < 0 ? SEND_FATAL : send_by_methods(st, self, data, addr);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return SEND_FATAL;
    }
    int result = ou_dgram_send(self->base.fd, view.buf, (size_t)view.len,
                               to.length > 0 ? &to : NULL);
    PyBuffer_Release(&view);
    ou_loop_note_io(ouro_transport_engine(&self->base));
    return result == 0 ? SEND_DONE : send_errno(result);
}

/* ---- what waits -------------------------------------------------------- */

/* Keep a datagram behind those that wait already. 0 or -1. */
static int
udp_keep(UdpObject *self, PyObject *data, PyObject *addr)
{
    ou_address to;
    int known = udp_target(self, addr, &to);
    PyObject *owner = known < 0 ? NULL : PyObject_Bytes(data);
    if (owner == NULL) {
        return -1;
    }
    const char *bytes = PyBytes_AS_STRING(owner);
    size_t size = (size_t)PyBytes_GET_SIZE(owner);
    if (known == 0) {
        Py_SETREF(owner, PyTuple_Pack(2, owner, addr));
        if (owner == NULL) {
            return -1;
        }
    }
    if (ou_dgram_queue_push(&self->out, bytes, size, owner,
                            to.length > 0 ? &to : NULL, known == 0)
        < 0) {
        Py_DECREF(owner);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* The socket takes no more now. */
static int
udp_block(ouro_state *st, UdpObject *self)
{
    self->blocked = true;
    return ouro_transport_watch(st, &self->base, OU_OUT, true, OU_LEVEL);
}

/* Send the first of those that wait, and more where that is one call; what
 * is refused is no longer there. */
static send_result
udp_send_first(ouro_state *st, UdpObject *self)
{
    ou_dgram_out *head = self->out.head;
    if (!head->foreign) {
        int result = ou_dgram_queue_send(&self->out, self->base.fd);
        ou_loop_note_io(ouro_transport_engine(&self->base));
        if (result == 0) {
            return SEND_DONE;
        }
        send_result sent = send_errno(result);
        if (sent != SEND_BLOCKED) {
            ou_dgram_queue_drop(&self->out);
        }
        return sent;
    }
    PyObject *pair = Py_NewRef((PyObject *)head->owner);
    send_result sent = send_by_methods(st, self, PyTuple_GET_ITEM(pair, 0),
                                       PyTuple_GET_ITEM(pair, 1));
    if (sent != SEND_BLOCKED && self->out.head == head) {
        PyObject *exception = PyErr_GetRaisedException();
        ou_dgram_queue_drop(&self->out);
        PyErr_SetRaisedException(exception);
    }
    Py_DECREF(pair);
    return sent;
}

static bool
udp_can_send(UdpObject *self)
{
    return self->base.loop != NULL && !ou_dgram_queue_empty(&self->out);
}

int
ouro_udp_flush(PyObject *object)
{
    UdpObject *self = ouro_udp(object);
    ouro_state *st = ouro_state_of(object);
    int result = 0;
    while (result == 0 && !self->blocked && udp_can_send(self)) {
        switch (udp_send_first(st, self)) {
        case SEND_DONE:
            break;
        case SEND_BLOCKED:
            result = udp_block(st, self);
            if (result == 0) {
                result = ouro_transport_maybe_pause(st, &self->base);
            }
            break;
        case SEND_REFUSED:
            result = ouro_udp_error_raised(st, self);
            break;
        default:
            result = udp_write_failed(st, self);
        }
    }
    return result;
}

int
ouro_udp_send_more(ouro_state *st, UdpObject *self)
{
    TransportObject *base = &self->base;
    while (udp_can_send(self)) {
        send_result sent = udp_send_first(st, self);
        if (sent == SEND_BLOCKED) {
            break;
        }
        if (sent == SEND_REFUSED) {
            return ouro_udp_error_raised(st, self);
        }
        if (sent == SEND_FATAL) {
            return udp_write_failed(st, self);
        }
    }
    if (base->loop == NULL) {
        return 0;
    }
    self->blocked = !ou_dgram_queue_empty(&self->out);
    if (ouro_transport_maybe_resume(st, base) < 0) {
        return -1;
    }
    /* The protocol may have sent in answer. */
    if (base->loop == NULL || !ou_dgram_queue_empty(&self->out)) {
        return 0;
    }
    self->blocked = false;
    if (ouro_transport_watch(st, base, OU_OUT, false, OU_LEVEL) < 0) {
        return -1;
    }
    return base->closing ? ouro_transport_call_lost(st, base, NULL) : 0;
}

static int
udp_out_run(ou_job *job)
{
    UdpObject *self =
        (UdpObject *)OURO_CONTAINER_OF(job, TransportObject, io.out);
    TransportObject *base = &self->base;
    int result = 0;
    if (ou_io_take(&base->io, OU_OUT)) {
        PyObject *loop = Py_NewRef(base->loop), *entered;
        PyObject *context = Py_XNewRef(base->context);
        result = ouro_transport_enter(base, context, &entered);
        if (result == 0) {
            result = ouro_udp_send_more(ouro_state_of((PyObject *)self), self);
            ouro_transport_leave(entered);
        }
        if (result < 0) {
            result =
                ouro_transport_step_failed(base, loop, "_sendto_ready", NULL);
        }
        Py_XDECREF(context);
        Py_DECREF(loop);
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_udp_out_kind = {
    OURO_OBJECT_JOB(TransportObject, io.out),
    .run = udp_out_run,
};

/* ---- sendto() ---------------------------------------------------------- */

/* Whether there is anything to send: 1, 0 or -1. */
static int
check_data(ouro_state *st, PyObject *data)
{
    if (!PyBytes_Check(data) && !PyByteArray_Check(data)
        && !PyMemoryView_Check(data)) {
        PyObject *name = PyType_GetName(Py_TYPE(data));
        if (name != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "data argument must be a bytes-like object, not %R",
                         name);
            Py_DECREF(name);
        }
        return -1;
    }
    return st->has.loop.empty_datagrams ? 1 : PyObject_IsTrue(data);
}

/* Of a transport with a remote address there is no other. 0 or -1. */
static int
check_address(UdpObject *self, PyObject *addr)
{
    if (addr == Py_None) {
        return 0;
    }
    int same = PyObject_RichCompareBool(addr, self->address, Py_EQ);
    if (same == 0) {
        PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %S",
                     self->address);
    }
    return same > 0 ? 0 : -1;
}

/* What asyncio comes to after connection_lost(). */
static int
udp_sent_when_lost(void)
{
    PyErr_SetString(PyExc_AttributeError, "'NoneType' object has no attribute "
                                          "'call_exception_handler'");
    return -1;
}

int
ouro_udp_sendto(PyObject *object, PyObject *data, PyObject *addr)
{
    UdpObject *self = ouro_udp(object);
    TransportObject *base = &self->base;
    ouro_state *st = ouro_state_of(object);
    int some = check_data(st, data);
    if (some <= 0) {
        return some;
    }
    if (self->addressed) {
        if (check_address(self, addr) < 0) {
            return -1;
        }
        addr = self->address;
        if (base->conn_lost) {
            return ouro_transport_write_lost(
                st, base, "socket.send() raised exception.");
        }
    }
    if (base->loop == NULL) {
        return udp_sent_when_lost();
    }
    bool wait = self->gathering || !ou_dgram_queue_empty(&self->out);
    if (!wait) {
        switch (udp_send(st, self, data, addr)) {
        case SEND_DONE:
            return 0;
        case SEND_REFUSED:
            return ouro_udp_error_raised(st, self);
        case SEND_FATAL:
            return udp_write_failed(st, self);
        default:
            if (udp_block(st, self) < 0) {
                return -1;
            }
        }
    }
    if (udp_keep(self, data, addr) < 0) {
        return -1;
    }
    if (self->blocked) {
        return ouro_transport_maybe_pause(st, base);
    }
    return self->out.count >= OU_DGRAM_BATCH ? ouro_udp_flush(object) : 0;
}
