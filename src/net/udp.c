/* udp.c - datagram sockets: how a transport is made, receives and ends.
 *
 * readable -> one datagram, or a batch of them (sys/dgram.h) -> bytes and
 * addresses -> datagram_received() for each.
 *
 * asyncio receives one datagram a turn.  Those of a batch are delivered one
 * after the other only while nobody could tell: as soon as something has been
 * scheduled, it comes first, and the rest waits for the next turn.
 */
#include "net/udp.h"

#include <errno.h>
#include <string.h>

/* ---- making ------------------------------------------------------------ */

PyObject *
ouro_udp_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
             PyObject *Py_UNUSED(kwargs))
{
    PyObject *object = type->tp_alloc(type, 0);
    if (object == NULL) {
        return NULL;
    }
    UdpObject *self = ouro_udp(object);
    ou_io_init(&self->base.io, &ouro_udp_in_kind, &ouro_udp_out_kind);
    self->out.release = ouro_release_object;
    self->base.kind = &ouro_udp_kind;
    self->base.fd = -1;
    return object;
}

/* sock.fileno(), and whether the engine can do its calls. */
static int
udp_read_socket(ouro_state *st, UdpObject *self, PyObject *sock, int *ret_fd)
{
    PyObject *number = PyObject_CallMethodNoArgs(sock, st->str.fileno);
    if (number == NULL) {
        return -1;
    }
    long fd = PyLong_AsLong(number);
    Py_DECREF(number);
    if (fd == -1 && PyErr_Occurred()) {
        return -1;
    }
    *ret_fd = (int)fd;
    self->family = AF_UNSPEC;
    if (Py_TYPE(sock) == (PyTypeObject *)st->stock.socket_type
        && ou_sock_type(*ret_fd) == SOCK_DGRAM) {
        int family = ou_sock_family(*ret_fd);
        if (family == AF_INET || family == AF_INET6 || family == AF_UNIX) {
            self->family = family;
        }
    }
    return 0;
}

static int
udp_set_peer(ouro_state *st, UdpObject *self, PyObject *address)
{
    int connected =
        ouro_truth_of(PyObject_GetItem(self->base.extra, st->str.peername));
    int addressed = connected < 0     ? -1
                    : address == NULL ? 0
                                      : PyObject_IsTrue(address);
    if (addressed < 0) {
        return -1;
    }
    self->connected = connected;
    self->addressed = addressed;
    Py_XSETREF(self->address, Py_XNewRef(address));
    return 0;
}

int
ouro_udp_start(ouro_state *st, UdpObject *self, PyObject *loop, PyObject *sock,
               PyObject *protocol, PyObject *address, PyObject *waiter,
               PyObject *extra)
{
    TransportObject *base = &self->base;
    int fd;
    if (ouro_transport_check_init(st, loop, base->loop != NULL || base->open)
            < 0
        || udp_read_socket(st, self, sock, &fd) < 0
        || ouro_transport_begin(st, base, &ouro_udp_kind, loop, sock, fd) < 0
        || ouro_transport_socket_extra(st, base, extra) < 0
        || udp_set_peer(st, self, address) < 0
        || ouro_transport_set_protocol(st, base, protocol) < 0) {
        return -1;
    }
    return ouro_transport_schedule_made(st, base, waiter);
}

PyObject *
ouro_udp_make(ouro_state *st, PyObject *loop, PyObject *sock,
              PyObject *protocol, PyObject *address, PyObject *waiter,
              PyObject *extra)
{
    PyObject *object = ouro_udp_new(st->types.DatagramTransport, NULL, NULL);
    if (object != NULL
        && ouro_udp_start(st, ouro_udp(object), loop, sock, protocol, address,
                          waiter, extra)
               < 0) {
        return ouro_transport_give_up(object);
    }
    return object;
}

/* ---- what has gone wrong ----------------------------------------------- */

int
ouro_udp_error_raised(ouro_state *st, UdpObject *self)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *protocol = self->base.protocol;
    if (protocol == NULL) {
        Py_DECREF(exception);
        return 0;
    }
    Py_INCREF(protocol);
    int result = ouro_drop_result(PyObject_CallMethodOneArg(
        protocol, st->str.error_received, exception));
    Py_DECREF(protocol);
    Py_DECREF(exception);
    return result;
}

static int
udp_error(ouro_state *st, UdpObject *self, int error)
{
    ouro_raise_errno(error);
    return PyErr_ExceptionMatches(PyExc_OSError)
               ? ouro_udp_error_raised(st, self)
               : ouro_transport_fatal(st, &self->base,
                                      "Fatal read error on datagram "
                                      "transport");
}

static int
udp_read_failed(ouro_state *st, UdpObject *self)
{
    return ouro_transport_fatal(st, &self->base,
                                "Fatal read error on datagram transport");
}

/* ---- receiving --------------------------------------------------------- */

static void
udp_drop_received(UdpObject *self)
{
    while (self->received_next < self->received_count) {
        udp_received *received = &self->received[self->received_next++];
        Py_DECREF(received->data);
        Py_DECREF(received->from);
    }
    self->received_next = self->received_count = 0;
}

/* As Python has it: 0 or -1. */
static int
udp_show(UdpObject *self, const ou_dgram *datagram, udp_received *ret)
{
    ret->data =
        PyBytes_FromStringAndSize(datagram->data, (Py_ssize_t)datagram->size);
    if (ret->data == NULL) {
        return -1;
    }
    ret->from =
        ouro_peers_show(&self->peers, datagram->from, datagram->from_length);
    if (ret->from == NULL) {
        Py_DECREF(ret->data);
        return -1;
    }
    return 0;
}

/* Keep a batch for delivery. 0 or -1. */
static int
udp_keep_batch(UdpObject *self, const ou_dgram *datagrams, int count)
{
    if (self->received == NULL) {
        self->received = PyMem_New(udp_received, OU_DGRAM_BATCH);
        if (self->received == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    self->received_next = self->received_count = 0;
    for (int i = 0; i < count; i++) {
        if (udp_show(self, &datagrams[i], &self->received[i]) < 0) {
            udp_drop_received(self);
            return -1;
        }
        self->received_count++;
    }
    return 0;
}

/* Consumes what has been received. 0, or -1 with what was raised. */
static int
udp_deliver(ouro_state *st, UdpObject *self, udp_received received)
{
    PyObject *args[3] = {Py_NewRef(self->base.protocol), received.data,
                         received.from};
    int result = ouro_drop_result(
        PyObject_VectorcallMethod(st->str.datagram_received, args, 3, NULL));
    for (int i = 0; i < 3; i++) {
        Py_DECREF(args[i]);
    }
    return result;
}

/* Whether the next one of a batch may follow in this turn. */
static bool
udp_may_go_on(UdpObject *self)
{
    TransportObject *base = &self->base;
    if (base->loop == NULL || base->closing || base->conn_lost
        || base->paused) {
        return false;
    }
    ou_loop *engine = ouro_transport_engine(base);
    return ou_queue_empty(&engine->ready) && !ou_inbox_pending(&engine->inbox)
           && !((LoopCore *)base->loop)->stopping;
}

/* What is left of a batch is for the next turn, or for nobody. */
static void
udp_postpone(UdpObject *self)
{
    TransportObject *base = &self->base;
    if (self->received_next == self->received_count) {
        return;
    }
    if (base->loop == NULL || base->closing || base->conn_lost) {
        udp_drop_received(self);
    }
    else if (!base->paused && ou_io_started(&base->io)) {
        ou_io_again(ouro_transport_engine(base), &base->io, OU_IN);
    }
}

/* Send the answers to a batch; an exception that is set stays. */
static int
udp_flush_answers(ouro_state *st, UdpObject *self, int result)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (ouro_udp_flush((PyObject *)self) < 0) {
        if (exception == NULL) {
            return -1;
        }
        PyErr_WriteUnraisable((PyObject *)self);
    }
    PyErr_SetRaisedException(exception);
    return result;
}

static int
udp_deliver_batch(ouro_state *st, UdpObject *self)
{
    int result = 0;
    self->gathering = true;
    while (self->received_next < self->received_count) {
        result = udp_deliver(st, self, self->received[self->received_next++]);
        if (result < 0 || !udp_may_go_on(self)) {
            break;
        }
    }
    self->gathering = false;
    if (!ou_dgram_queue_empty(&self->out)) {
        result = udp_flush_answers(st, self, result);
    }
    udp_postpone(self);
    return result;
}

static int
udp_receive_by_engine(ouro_state *st, UdpObject *self)
{
    TransportObject *base = &self->base;
    const ou_dgram *datagrams;
    /* (Unix datagrams may be larger than a batch allows.) */
    bool batches = base->native && self->family != AF_UNIX;
    int count = ou_dgram_receive(ouro_transport_engine(base), base->fd,
                                 batches ? &self->pace : NULL, &datagrams);
    if (count == -EAGAIN || count == -EWOULDBLOCK) {
        return 0;
    }
    if (count < 0) {
        return udp_error(st, self, count);
    }
    if (count == 1) {
        udp_received received;
        return udp_show(self, datagrams, &received) < 0
                   ? udp_read_failed(st, self)
                   : udp_deliver(st, self, received);
    }
    return udp_keep_batch(self, datagrams, count) < 0
               ? udp_read_failed(st, self)
               : udp_deliver_batch(st, self);
}

/* data, addr = sock.recvfrom(max_size). 1, 0: it would block; -1. */
static int
udp_call_recvfrom(ouro_state *st, UdpObject *self, udp_received *ret)
{
    PyObject *size = PyLong_FromLong(OU_SCRATCH_SIZE);
    PyObject *pair = size == NULL ? NULL
                                  : PyObject_CallMethodOneArg(
                                      self->base.sock, st->str.recvfrom, size);
    Py_XDECREF(size);
    if (pair == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_BlockingIOError)
            && !PyErr_ExceptionMatches(PyExc_InterruptedError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    PyObject *tuple = PySequence_Tuple(pair);
    Py_DECREF(pair);
    int result = -1;
    if (tuple != NULL
        && PyArg_ParseTuple(tuple, "OO", &ret->data, &ret->from)) {
        Py_INCREF(ret->data);
        Py_INCREF(ret->from);
        result = 1;
    }
    Py_XDECREF(tuple);
    return result;
}

static int
udp_receive_by_methods(ouro_state *st, UdpObject *self)
{
    udp_received received;
    int got = udp_call_recvfrom(st, self, &received);
    if (got > 0) {
        return udp_deliver(st, self, received);
    }
    if (got == 0) {
        return 0;
    }
    return PyErr_ExceptionMatches(PyExc_OSError)
               ? ouro_udp_error_raised(st, self)
               : udp_read_failed(st, self);
}

int
ouro_udp_receive(ouro_state *st, UdpObject *self)
{
    if (self->base.conn_lost || self->base.loop == NULL) {
        return 0;
    }
    if (self->received_next < self->received_count) {
        return udp_deliver_batch(st, self);
    }
    return self->family != AF_UNSPEC ? udp_receive_by_engine(st, self)
                                     : udp_receive_by_methods(st, self);
}

static int
udp_in_run(ou_job *job)
{
    UdpObject *self =
        (UdpObject *)OURO_CONTAINER_OF(job, TransportObject, io.in);
    TransportObject *base = &self->base;
    int result = 0;
    if (ou_io_take(&base->io, OU_IN)) {
        PyObject *loop = Py_NewRef(base->loop), *entered;
        PyObject *context = Py_XNewRef(base->context);
        result = ouro_transport_enter(base, context, &entered);
        if (result == 0) {
            result = ouro_udp_receive(ouro_state_of((PyObject *)self), self);
            ouro_transport_leave(entered);
        }
        if (result < 0) {
            result =
                ouro_transport_step_failed(base, loop, "_read_ready", NULL);
        }
        Py_XDECREF(context);
        Py_DECREF(loop);
    }
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_udp_in_kind = {
    OURO_OBJECT_JOB(TransportObject, io.in),
    .run = udp_in_run,
};

/* ---- the end ----------------------------------------------------------- */

int
ouro_udp_close(PyObject *object)
{
    UdpObject *self = ouro_udp(object);
    TransportObject *base = &self->base;
    if (base->closing || base->loop == NULL) {
        return 0;
    }
    if (ouro_udp_flush(object) < 0) {
        return -1;
    }
    if (base->closing || base->loop == NULL) {
        return 0; /* error_received() has closed it */
    }
    base->closing = true;
    ouro_state *st = ouro_state_of(object);
    if (ouro_transport_watch(st, base, OU_IN, false, OU_LEVEL) < 0) {
        return -1;
    }
    if (!ou_dgram_queue_empty(&self->out)) {
        return 0; /* connection_lost() when all is sent */
    }
    base->conn_lost++;
    if (ouro_transport_remove_writer(st, base) < 0) {
        return -1;
    }
    return ouro_transport_schedule_lost(st, base, NULL);
}

static int
udp_begin_reading(TransportObject *base)
{
    PyObject *object = (PyObject *)base;
    if (ouro_transport_watch(ouro_state_of(object), base, OU_IN, true,
                             OU_LEVEL)
        < 0) {
        return -1;
    }
    udp_postpone(ouro_udp(object)); /* what a pause has left */
    return 0;
}

static void
udp_drop_output(TransportObject *base)
{
    UdpObject *self = (UdpObject *)base;
    ou_dgram_queue_clear(&self->out);
    self->blocked = false;
}

static int
udp_lost(TransportObject *base)
{
    UdpObject *self = (UdpObject *)base;
    udp_drop_output(base);
    udp_drop_received(self);
    PyMem_Free(self->received);
    self->received = NULL;
    ouro_peers_clear(&self->peers);
    return 0;
}

const transport_kind ouro_udp_kind = {
    .begin_reading = udp_begin_reading,
    .stop = ouro_transport_unwatch,
    .flush = ouro_udp_flush,
    .drop_output = udp_drop_output,
    .output_size = ouro_udp_waiting,
    .datagrams = true,
    .lost = udp_lost,
};
