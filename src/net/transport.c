/* transport.c - what all transports share (see transport.h): their making,
 * the watch on the descriptor, and how connection_made() reaches the protocol,
 * through its table of C functions or by method.  lost.c has the end, flow.c
 * the marks between which writing is paused.
 */
#include "net/transport_impl.h"

#include <errno.h>

#include "loop/sockwatch.h"
#include "task/future.h"
#include "task/registry.h"

/* ---- tables of C functions --------------------------------------------- */

void
ouro_register_protocol(ouro_state *st, PyTypeObject *type,
                       const protocol_ops *ops)
{
    assert(st->protocol_count < OURO_PROTOCOLS_MAX);
    st->protocols[st->protocol_count++] = (ouro_protocol_entry){type, ops};
}

const protocol_ops *
ouro_protocol_ops(ouro_state *st, PyObject *protocol)
{
    for (int i = 0; i < st->protocol_count; i++) {
        if (st->protocols[i].type == Py_TYPE(protocol)) {
            return st->protocols[i].ops;
        }
    }
    return NULL;
}

/* ---- making ------------------------------------------------------------ */

int
ouro_transport_check_init(ouro_state *st, PyObject *loop, bool initialized)
{
    if (!ouro_loop_check(st, loop)) {
        PyErr_Format(PyExc_TypeError, "an ouro.Loop was expected, got %R",
                     loop);
        return -1;
    }
    if (initialized) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the transport is initialized already");
        return -1;
    }
    return 0;
}

int
ouro_transport_begin(ouro_state *st, TransportObject *self,
                     const transport_kind *kind, PyObject *loop,
                     PyObject *sock, int fd)
{
    self->kind = kind;
    Py_XSETREF(self->loop, Py_NewRef(loop));
    Py_XSETREF(self->sock, Py_XNewRef(sock));
    self->fd = fd;
    self->open = true;
    self->high = 64 * 1024;
    self->low = self->high / 4;
    self->native = ouro_loop_fast(st, loop);
    ou_job_init(&self->made, &ouro_transport_made_kind);
    ou_job_init(&self->lost, &ouro_transport_lost_kind);
    if (self->native || kind->shared) {
        return 0;
    }
    /* add_reader() and sock_recv() refuse a transport's descriptor; of the
     * native ones the engine knows. */
    PyObject *transports = PyObject_GetAttr(loop, st->str._transports);
    if (transports == NULL) {
        return -1;
    }
    int result = -1;
    PyObject *key = PyLong_FromLong(fd);
    if (key != NULL) {
        result = PyObject_SetItem(transports, key, (PyObject *)self);
        Py_DECREF(key);
    }
    Py_DECREF(transports);
    return result;
}

/* extra[name] = sock.method(), or None if that is an OSError. */
static int
extra_address(PyObject *extra, PyObject *name, PyObject *sock,
              PyObject *method)
{
    PyObject *address = PyObject_CallMethodNoArgs(sock, method);
    if (address == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_OSError)) {
            return -1;
        }
        PyErr_Clear();
        address = Py_NewRef(Py_None);
    }
    int result = PyDict_SetItem(extra, name, address);
    Py_DECREF(address);
    return result;
}

int
ouro_transport_socket_extra(ouro_state *st, TransportObject *self,
                            PyObject *extra)
{
    extra = extra == NULL ? PyDict_New() : Py_NewRef(extra);
    if (extra == NULL) {
        return -1;
    }
    Py_XSETREF(self->extra, extra);
    PyObject *shown = PyObject_CallMethodOneArg(
        st->stock.trsock, st->str.TransportSocket, self->sock);
    if (shown == NULL) {
        return -1;
    }
    int result = PyDict_SetItem(extra, st->str.socket, shown);
    Py_DECREF(shown);
    if (result < 0
        || extra_address(extra, st->str.sockname, self->sock,
                         st->str.getsockname)
               < 0) {
        return -1;
    }
    int present = PyDict_Contains(extra, st->str.peername);
    if (present != 0) {
        return present < 0 ? -1 : 0;
    }
    return extra_address(extra, st->str.peername, self->sock,
                         st->str.getpeername);
}

PyObject *
ouro_transport_give_up(PyObject *object)
{
    PyObject *exception = PyErr_GetRaisedException();
    ouro_transport(object)->open = false;
    Py_DECREF(object);
    PyErr_SetRaisedException(exception);
    return NULL;
}

int
ouro_transport_attach(ouro_state *st, TransportObject *self, PyObject *server)
{
    if (server == NULL || server == Py_None) {
        return 0;
    }
    if (ouro_server_attach(st, server, (PyObject *)self, &self->client) < 0) {
        return -1;
    }
    self->server = Py_NewRef(server);
    return 0;
}

/* loop.<method>(a, b, c), up to the first NULL; with context= from 3.15 on,
 * where the transport keeps one. */
static PyObject *
call_loop(TransportObject *self, PyObject *method, PyObject *a, PyObject *b,
          PyObject *c)
{
    PyObject *stack[5] = {self->loop, a, b, c};
    size_t count = b == NULL ? 2 : c == NULL ? 3 : 4;
    if (!self->keeps_context || self->context == NULL) {
        return PyObject_VectorcallMethod(method, stack, count, NULL);
    }
    PyObject *keyword = Py_BuildValue("(s)", "context");
    if (keyword == NULL) {
        return NULL;
    }
    stack[count] = self->context;
    PyObject *result =
        PyObject_VectorcallMethod(method, stack, count, keyword);
    Py_DECREF(keyword);
    return result;
}

/* loop.call_soon(object.<method>, a, b) */
int
ouro_transport_call_soon(ouro_state *st, TransportObject *self,
                         PyObject *object, PyObject *method, PyObject *a,
                         PyObject *b)
{
    PyObject *callback = PyObject_GetAttr(object, method);
    if (callback == NULL) {
        return -1;
    }
    int result =
        ouro_drop_result(call_loop(self, st->str.call_soon, callback, a, b));
    Py_DECREF(callback);
    return result;
}

static int
schedule_made_by_methods(ouro_state *st, TransportObject *self,
                         PyObject *waiter)
{
    PyObject *object = (PyObject *)self;
    if (ouro_transport_call_soon(st, self, self->protocol,
                                 st->str.connection_made, object, NULL)
        < 0) {
        return -1;
    }
    PyObject *fd = PyLong_FromLong(self->fd);
    PyObject *ready = PyObject_GetAttr(object, st->str._read_ready);
    int result = -1;
    if (fd != NULL && ready != NULL) {
        result = ouro_transport_call_soon(st, self, object,
                                          st->str._add_reader, fd, ready);
    }
    Py_XDECREF(fd);
    Py_XDECREF(ready);
    if (result == 0 && waiter != NULL) {
        result = ouro_transport_call_soon(st, self, st->stock.futures,
                                          st->str._set_result_unless_cancelled,
                                          waiter, Py_None);
    }
    return result;
}

/* asyncio looks for protocol.connection_made when the transport is made: who
 * has none fails there. 0 or -1. */
static int
check_made(ouro_state *st, TransportObject *self)
{
    PyObject *name = st->str.connection_made;
    return self->ops != NULL
                   || _PyType_Lookup(Py_TYPE(self->protocol), name) != NULL
               ? 0
               : ouro_drop_result(PyObject_GetAttr(self->protocol, name));
}

int
ouro_transport_schedule_made(ouro_state *st, TransportObject *self,
                             PyObject *waiter)
{
    if (waiter == Py_None) {
        waiter = NULL;
    }
    if (!ouro_transport_fast(st, self)) {
        return schedule_made_by_methods(st, self, waiter);
    }
    if (check_made(st, self) < 0) {
        return -1;
    }
    /* asyncio copies the context for each of the three steps. */
    if (ouro_transport_wants_context(self) && self->context == NULL) {
        self->context = PyContext_CopyCurrent();
        if (self->context == NULL) {
            return -1;
        }
    }
    Py_XSETREF(self->step_context, self->keeps_context
                                       ? Py_NewRef(self->context)
                                       : PyContext_CopyCurrent());
    if (self->step_context == NULL) {
        return -1;
    }
    Py_XSETREF(self->waiter, Py_XNewRef(waiter));
    Py_INCREF(self);
    ou_loop_push(ouro_transport_engine(self), &self->made);
    return 0;
}

/* ---- watching ---------------------------------------------------------- */

/* loop._add_reader(fd, self._read_ready) and the like. */
static int
watch_by_methods(ouro_state *st, TransportObject *self, unsigned direction,
                 bool on)
{
    bool in = direction == OU_IN;
    PyObject *fd = PyLong_FromLong(self->fd);
    PyObject *callback = NULL, *result = NULL;
    if (fd != NULL && on) {
        PyObject *out = self->kind->datagrams ? st->str._sendto_ready
                                              : st->str._write_ready;
        callback =
            PyObject_GetAttr((PyObject *)self, in ? st->str._read_ready : out);
        if (callback != NULL) {
            result =
                call_loop(self, in ? st->str._add_reader : st->str._add_writer,
                          fd, callback, NULL);
        }
    }
    else if (fd != NULL) {
        result = PyObject_CallMethodOneArg(
            self->loop, in ? st->str._remove_reader : st->str._remove_writer,
            fd);
    }
    Py_XDECREF(fd);
    Py_XDECREF(callback);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    self->watched =
        (uint8_t)(on ? self->watched | direction : self->watched & ~direction);
    return 0;
}

int
ouro_transport_watch(ouro_state *st, TransportObject *self, unsigned direction,
                     bool on, ou_trigger trigger)
{
    if (self->loop == NULL) {
        return 0;
    }
    if (!self->native) {
        return watch_by_methods(st, self, direction, on);
    }
    ou_loop *engine = ouro_transport_engine(self);
    unsigned interest =
        on ? self->io.interest | direction : self->io.interest & ~direction;
    int result = 0;
    if (ou_io_started(&self->io)) {
        if (interest != self->io.interest) {
            result = ou_io_want(engine, &self->io, interest);
        }
    }
    else if (on && ((LoopObject *)self->loop)->closed) {
        return watch_by_methods(st, self, direction, on); /* says so */
    }
    else if (on) {
        result = ou_io_start(engine, &self->io, self->fd, interest, trigger);
        if (result == -EEXIST
            && ouro_sockwatch_release(self->loop, self->fd)) {
            result =
                ou_io_start(engine, &self->io, self->fd, interest, trigger);
        }
        if (result == -EEXIST) {
            /* Somebody else's watch: the methods know how to replace it. */
            self->native = false;
            return watch_by_methods(st, self, direction, on);
        }
    }
    return result < 0 ? ouro_raise_errno_int(result) : 0;
}

int
ouro_transport_remove_writer(ouro_state *st, TransportObject *self)
{
    return self->native || self->loop == NULL
               ? 0
               : watch_by_methods(st, self, OU_OUT, false);
}

void
ouro_transport_unwatch(TransportObject *self)
{
    if (self->loop == NULL) {
        return;
    }
    if (self->native) {
        ou_io_stop(ouro_transport_engine(self), &self->io);
        return;
    }
    ouro_state *st = ouro_state_of((PyObject *)self);
    for (unsigned direction = OU_OUT; direction >= OU_IN; direction >>= 1) {
        if ((self->watched & direction)
            && watch_by_methods(st, self, direction, false) < 0) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
    }
}

void
ouro_release_object(void *owner)
{
    Py_DECREF((PyObject *)owner);
}

/* ---- the protocol ------------------------------------------------------ */

int
ouro_transport_set_protocol(ouro_state *st, TransportObject *self,
                            PyObject *protocol)
{
    int buffered = PyObject_IsInstance(protocol, st->stock.BufferedProtocol);
    if (buffered < 0) {
        return -1;
    }
    self->ops = ouro_protocol_ops(st, protocol);
    if (ouro_transport_wants_context(self) && self->context == NULL
        && self->loop != NULL && self->native) {
        self->context = PyContext_CopyCurrent();
        if (self->context == NULL) {
            return -1;
        }
    }
    self->buffered = buffered;
    self->connected = true;
    Py_XSETREF(self->protocol, Py_NewRef(protocol));
    return 0;
}

int
ouro_transport_enter(TransportObject *self, PyObject *context,
                     PyObject **ret_entered)
{
    *ret_entered = NULL;
    if (self->loop != NULL
        && ouro_leave_task_fast((LoopCore *)self->loop) < 0) {
        return -1;
    }
    /* A kept context is also that of what the loop calls by handles. */
    if (context != NULL && context != PyThreadState_Get()->context) {
        if (PyContext_Enter(context) < 0) {
            return -1;
        }
        *ret_entered = Py_NewRef(context);
    }
    return 0;
}

void
ouro_transport_leave(PyObject *entered)
{
    if (entered != NULL) {
        PyObject *exception =
            PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
        if (PyContext_Exit(entered) < 0) {
            PyErr_WriteUnraisable(entered);
        }
        if (exception != NULL) {
            PyErr_SetRaisedException(exception);
        }
        Py_DECREF(entered);
    }
}

int
ouro_transport_flush_old(PyObject *object)
{
    TransportObject *self = ouro_transport(object);
    if (self->loop == NULL || !ou_loop_overdue(ouro_transport_engine(self))) {
        return 0;
    }
    return ou_loop_run_deferred(ouro_transport_engine(self));
}

/* ---- connection_made() ------------------------------------------------- */

/* connection_made() has raised: report it as its handle would. */
static int
made_failed(ouro_state *st, TransportObject *self, PyObject *protocol)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *callback = PyObject_GetAttr(protocol, st->str.connection_made);
    if (callback == NULL) {
        PyErr_Clear(); /* (It has gone since the transport was made.) */
        callback = Py_NewRef(protocol);
    }
    PyObject *args = PyTuple_Pack(1, self);
    int reported = -1;
    if (args != NULL) {
        reported = ouro_transport_callback_failed(
            self->loop, callback, args, self->step_context, exception);
    }
    Py_DECREF(exception);
    Py_DECREF(callback);
    Py_XDECREF(args);
    return reported;
}

static int
call_made(ouro_state *st, TransportObject *self)
{
    const protocol_ops *ops = ouro_transport_usable_ops(self);
    PyObject *protocol = Py_NewRef(self->protocol);
    int result;
    if (ops != NULL) {
        result = ops->connection_made(protocol, (PyObject *)self);
    }
    else {
        result = ouro_drop_result(PyObject_CallMethodOneArg(
            protocol, st->str.connection_made, (PyObject *)self));
    }
    if (result < 0) {
        result = made_failed(st, self, protocol);
    }
    Py_DECREF(protocol);
    return result;
}

static int
wake_waiter(ouro_state *st, TransportObject *self)
{
    PyObject *waiter = self->waiter;
    if (waiter == NULL) {
        return 0;
    }
    self->waiter = NULL;
    int result = ouro_anyfuture_cancelled(st, waiter);
    if (result == 0) {
        result = ouro_anyfuture_set_result(st, waiter, Py_None);
    }
    Py_DECREF(waiter);
    return result < 0 ? -1 : 0;
}

/* The three steps that asyncio schedules one after the other. */
static int
transport_made(ouro_state *st, TransportObject *self)
{
    PyObject *context = self->step_context, *entered;
    self->step_context = NULL;
    int result = 0;
    if (self->protocol != NULL) {
        result = ouro_transport_enter(self, context, &entered);
        if (result == 0) {
            result = call_made(st, self);
            ouro_transport_leave(entered);
        }
        else {
            result = ouro_transport_step_failed(self, self->loop,
                                                "_add_reader", NULL);
        }
    }
    Py_XDECREF(context);
    /* What leaves the loop does not keep the other steps from being done. */
    PyObject *exception = PyErr_GetRaisedException();
    if (!self->closing && !self->paused && self->kind->begin_reading(self) < 0
        && ouro_transport_step_failed(self, self->loop, "_add_reader", NULL)
               < 0) {
        result = -1;
    }
    if (wake_waiter(st, self) < 0
        && ouro_transport_step_failed(self, self->loop, "_add_reader", NULL)
               < 0) {
        result = -1;
    }
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return result;
}

static int
made_run(ou_job *job)
{
    TransportObject *self = OURO_CONTAINER_OF(job, TransportObject, made);
    int result = transport_made(ouro_state_of((PyObject *)self), self);
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_transport_made_kind = {
    OURO_OBJECT_JOB(TransportObject, made),
    .run = made_run,
};

/* ---- for the types ----------------------------------------------------- */

int
ouro_transport_traverse(PyObject *object, visitproc visit, void *arg)
{
    TransportObject *self = ouro_transport(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->extra);
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    Py_VISIT(self->sock);
    Py_VISIT(self->server);
    Py_VISIT(self->context);
    Py_VISIT(self->step_context);
    Py_VISIT(self->waiter);
    Py_VISIT(self->lost_with);
    return 0;
}

int
ouro_transport_clear(PyObject *object)
{
    TransportObject *self = ouro_transport(object);
    self->ops = NULL;
    Py_CLEAR(self->extra);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->sock);
    Py_CLEAR(self->context);
    Py_CLEAR(self->step_context);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->lost_with);
    /* The loop stays while it watches us: it is what stops the watch. */
    if (!ou_io_started(&self->io)) {
        Py_CLEAR(self->loop);
    }
    return 0;
}

void
ouro_transport_finalize(PyObject *object)
{
    TransportObject *self = ouro_transport(object);
    if (!self->open) {
        return;
    }
    PyObject *exception = PyErr_GetRaisedException();
    ouro_state *st = ouro_state_of(object);
    if (PyErr_ResourceWarning(object, 1, "unclosed transport %R", object)
        < 0) {
        /* Warnings may be errors; they cannot leave a finalizer. */
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(object);
        }
        PyErr_Clear();
    }
    self->kind->stop(self);
    if (ouro_transport_close_file(st, self) < 0) {
        PyErr_WriteUnraisable(object);
    }
    PyObject *server = self->server;
    self->server = NULL;
    if (server != NULL) {
        if (ouro_server_detach(st, server, object, &self->client) < 0) {
            PyErr_WriteUnraisable(object);
        }
        Py_DECREF(server);
    }
    PyErr_SetRaisedException(exception);
}

void
ouro_transport_dealloc(PyObject *object, inquiry clear)
{
    if (PyObject_CallFinalizerFromDealloc(object) < 0) {
        return;
    }
    TransportObject *self = ouro_transport(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    (void)clear(object);
    Py_CLEAR(self->loop);
    if (self->server != NULL) {
        ouro_server_forget(self->server, &self->client);
        Py_CLEAR(self->server);
    }
    type->tp_free(object);
    Py_DECREF(type);
}
