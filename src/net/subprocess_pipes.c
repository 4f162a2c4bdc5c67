/* subprocess_pipes.c - the pipes of a child: their protocols, and how they
 * are connected one after the other (see subprocess.h).
 */
#include "net/subprocess.h"

#include "base/rooms.h"
#include "net/methods.h"
#include "task/future.h"

/* ---- the protocols ----------------------------------------------------- */

static SubprocessPipe *
as_pipe(PyObject *object)
{
    return (SubprocessPipe *)object;
}

static PyObject *
pipe_connection_made(PyObject *self, PyObject *transport)
{
    Py_XSETREF(as_pipe(self)->pipe, Py_NewRef(transport));
    Py_RETURN_NONE;
}

static PyObject *
pipe_connection_lost(PyObject *object, PyObject *exc)
{
    SubprocessPipe *self = as_pipe(object);
    self->disconnected = true;
    SubprocessObject *proc = self->proc;
    if (proc == NULL) {
        Py_RETURN_NONE;
    }
    Py_INCREF(proc);
    int result =
        ouro_subprocess_pipe_lost(ouro_state_of(object), proc, self->fd, exc);
    if (result == 0) {
        Py_CLEAR(self->proc);
    }
    Py_DECREF(proc);
    return ouro_none_or_error(result);
}

static PyObject *
pipe_data_received(PyObject *object, PyObject *data)
{
    SubprocessPipe *self = as_pipe(object);
    SubprocessObject *proc = self->proc;
    if (proc == NULL) {
        Py_RETURN_NONE;
    }
    Py_INCREF(proc);
    int result =
        ouro_subprocess_pipe_data(ouro_state_of(object), proc, self->fd, data);
    Py_DECREF(proc);
    return ouro_none_or_error(result);
}

/* self.proc._protocol.name() */
static PyObject *
pass_on(PyObject *object, PyObject *name)
{
    SubprocessObject *proc = as_pipe(object)->proc;
    if (proc == NULL || proc->protocol == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *protocol = Py_NewRef(proc->protocol);
    PyObject *result = PyObject_CallMethodNoArgs(protocol, name);
    Py_DECREF(protocol);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

static PyObject *
pipe_pause_writing(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pass_on(self, ouro_state_of(self)->str.pause_writing);
}

static PyObject *
pipe_resume_writing(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pass_on(self, ouro_state_of(self)->str.resume_writing);
}

static PyObject *
pipe_repr(PyObject *object)
{
    SubprocessPipe *self = as_pipe(object);
    return PyUnicode_FromFormat(
        "<%s fd=%d pipe=%R>",
        Py_TYPE(object) == ouro_state_of(object)->types.SubprocessReader
            ? "ReadSubprocessPipeProto"
            : "WriteSubprocessPipeProto",
        self->fd, self->pipe == NULL ? Py_None : self->pipe);
}

static int
pipe_traverse(PyObject *object, visitproc visit, void *arg)
{
    SubprocessPipe *self = as_pipe(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->proc);
    Py_VISIT(self->pipe);
    return 0;
}

static int
pipe_clear(PyObject *object)
{
    SubprocessPipe *self = as_pipe(object);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->proc);
    Py_CLEAR(self->pipe);
    return 0;
}

static void
pipe_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (as_pipe(object)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    (void)pipe_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef pipe_methods[] = {
    {"connection_made", pipe_connection_made, METH_O, NULL},
    {"connection_lost", pipe_connection_lost, METH_O, NULL},
    {"pause_writing", pipe_pause_writing, METH_NOARGS, NULL},
    {"resume_writing", pipe_resume_writing, METH_NOARGS, NULL},
    {NULL},
};

static PyMethodDef reader_methods[] = {
    {"data_received", pipe_data_received, METH_O, NULL},
    {NULL},
};

static PyMemberDef pipe_members[] = {
    {"proc", T_OBJECT, offsetof(SubprocessPipe, proc), READONLY, NULL},
    {"pipe", T_OBJECT, offsetof(SubprocessPipe, pipe), READONLY, NULL},
    {"fd", T_INT, offsetof(SubprocessPipe, fd), READONLY, NULL},
    {"disconnected", T_BOOL, offsetof(SubprocessPipe, disconnected), READONLY,
     NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(SubprocessPipe, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(SubprocessPipe, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, (void *)"The protocol of a child's standard input."},
    {Py_tp_dealloc, pipe_dealloc},
    {Py_tp_traverse, pipe_traverse},
    {Py_tp_clear, pipe_clear},
    {Py_tp_repr, pipe_repr},
    {Py_tp_methods, pipe_methods},
    {Py_tp_members, pipe_members},
    {0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, (void *)"The protocol of a child's output."},
    {Py_tp_dealloc, pipe_dealloc},
    {Py_tp_traverse, pipe_traverse},
    {Py_tp_clear, pipe_clear},
    {Py_tp_methods, reader_methods},
    {0, NULL},
};

static PyType_Spec writer_spec = {
    .name = "ouro._ouro.WriteSubprocessPipeProto",
    .basicsize = sizeof(SubprocessPipe),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = writer_slots,
};

static PyType_Spec reader_spec = {
    .name = "ouro._ouro.ReadSubprocessPipeProto",
    .basicsize = sizeof(SubprocessPipe),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = reader_slots,
};

/* ---- connecting them --------------------------------------------------- */

/* `lambda: ReadSubprocessPipeProto(self, fd)`; its self: (transport, fd). */
static PyObject *
make_protocol(PyObject *closure, PyObject *Py_UNUSED(ignored))
{
    PyObject *proc = PyTuple_GET_ITEM(closure, 0);
    ouro_state *st = ouro_state_of(proc);
    int fd = (int)PyLong_AsLong(PyTuple_GET_ITEM(closure, 1));
    PyTypeObject *type =
        fd == 0 ? st->types.SubprocessWriter : st->types.SubprocessReader;
    PyObject *object = type->tp_alloc(type, 0);
    if (object != NULL) {
        as_pipe(object)->proc = (SubprocessObject *)Py_NewRef(proc);
        as_pipe(object)->fd = fd;
    }
    return object;
}

static PyMethodDef factory_def = {"<lambda>", make_protocol, METH_NOARGS,
                                  NULL};

/* loop.connect_..._pipe(factory, file): an awaitable. */
static PyObject *
connect_one(ouro_state *st, AwaitObject *op, int fd, PyObject *file)
{
    PyObject *closure = Py_BuildValue("(Oi)", op->owner, fd);
    PyObject *factory =
        closure == NULL ? NULL : PyCFunction_New(&factory_def, closure);
    Py_XDECREF(closure);
    if (factory == NULL) {
        return NULL;
    }
    PyObject *coro = PyObject_CallMethodObjArgs(
        op->b,
        fd == 0 ? st->str.connect_write_pipe : st->str.connect_read_pipe,
        factory, file, NULL);
    Py_DECREF(factory);
    return coro;
}

/* `_, self._pipes[fd] = result` */
static int
connected_one(SubprocessObject *self, int fd, PyObject *result)
{
    PyObject *both = PySequence_Tuple(result);
    PyObject *key = PyLong_FromLong(fd);
    int stored = -1;
    if (both != NULL && key != NULL) {
        if (PyTuple_GET_SIZE(both) != 2) {
            PyErr_SetString(PyExc_ValueError,
                            "(transport, protocol) expected");
        }
        else {
            stored =
                PyDict_SetItem(self->pipes, key, PyTuple_GET_ITEM(both, 1));
        }
    }
    Py_XDECREF(both);
    Py_XDECREF(key);
    return stored;
}

static int
call_soon(ouro_state *st, PyObject *loop, PyObject *callback, PyObject *args)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    PyObject *all = PyTuple_New(1 + count);
    PyObject *method = PyObject_GetAttr(loop, st->str.call_soon);
    PyObject *handle = NULL;
    if (all != NULL && method != NULL) {
        PyTuple_SET_ITEM(all, 0, Py_NewRef(callback));
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SET_ITEM(all, 1 + i, Py_NewRef(PyTuple_GET_ITEM(args, i)));
        }
        handle = PyObject_CallObject(method, all);
    }
    Py_XDECREF(all);
    Py_XDECREF(method);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* connection_made(), and then what has happened meanwhile. */
static int
tell_made(ouro_state *st, SubprocessObject *self, PyObject *loop)
{
    PyObject *protocol = self->protocol == NULL ? Py_None : self->protocol;
    PyObject *made = PyObject_GetAttr(protocol, st->str.connection_made);
    PyObject *args = PyTuple_Pack(1, self);
    int result =
        made == NULL || args == NULL ? -1 : call_soon(st, loop, made, args);
    Py_XDECREF(made);
    Py_XDECREF(args);
    PyObject *pending = self->pending;
    for (Py_ssize_t i = 0;
         result == 0 && pending != NULL && i < PyList_GET_SIZE(pending); i++) {
        PyObject *call = PyList_GET_ITEM(pending, i);
        result = call_soon(st, loop, PyTuple_GET_ITEM(call, 0),
                           PyTuple_GET_ITEM(call, 1));
    }
    if (result == 0) {
        Py_CLEAR(self->pending);
    }
    return result;
}

/* From 3.14 a failure leaves no pipe open. */
static int
close_all(ouro_state *st, AwaitObject *op)
{
    int result =
        ouro_subprocess_close_pipes(st, ouro_subprocess(op->owner), false);
    for (int fd = 0; result == 0 && fd < 3; fd++) {
        PyObject *file = PyObject_GetAttr(
            op->c, PyTuple_GET_ITEM(st->stock.stdio_names, fd));
        PyObject *closed =
            file == NULL || file == Py_None
                ? Py_XNewRef(file)
                : PyObject_CallMethodNoArgs(file, st->str.close);
        result = closed == NULL ? -1 : 0;
        Py_XDECREF(file);
        Py_XDECREF(closed);
    }
    return result;
}

/* The current exception is for who waits for the start. */
static await_status
connect_failed(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of(op->owner);
    if (ouro_error_leaves_loop()) {
        return AWAIT_ERROR;
    }
    ouro_subprocess(op->owner)->unconnected = true;
    PyObject *exception = PyErr_GetRaisedException();
    int result = st->has.process.connect_cleans ? close_all(st, op) : 0;
    if (result == 0 && op->a != NULL) {
        result = ouro_anyfuture_cancelled(st, op->a);
        if (result == 0) {
            result = ouro_anyfuture_set_exception(st, op->a, exception);
        }
    }
    Py_DECREF(exception);
    if (result < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

/* All pipes are connected. */
static await_status
connect_done(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    if (tell_made(st, ouro_subprocess(op->owner), op->b) < 0) {
        return connect_failed(op, ret);
    }
    int result = op->a == NULL ? 1 : ouro_anyfuture_cancelled(st, op->a);
    if (result == 0) {
        result = ouro_anyfuture_set_result(st, op->a, Py_None);
    }
    if (result < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

/* The body's fields: owner the transport; a the waiter or NULL; b the loop;
 * c the Popen object; n the pipe that comes next; step 1: one is being
 * connected. */
static await_status
connect_poll(AwaitObject *op, PyObject **ret)
{
    SubprocessObject *self = ouro_subprocess(op->owner);
    ouro_state *st = ouro_state_of(op->owner);
    if (op->step == 0) {
        op->b = Py_NewRef(self->loop == NULL ? Py_None : self->loop);
        op->c = Py_NewRef(self->proc == NULL ? Py_None : self->proc);
        op->step = 1;
    }
    else if (connected_one(self, (int)op->n - 1, op->value) < 0) {
        return connect_failed(op, ret);
    }
    while (op->n < 3) {
        int fd = (int)op->n++;
        PyObject *file = PyObject_GetAttr(
            op->c, PyTuple_GET_ITEM(st->stock.stdio_names, fd));
        if (file == NULL) {
            return connect_failed(op, ret);
        }
        if (file != Py_None) {
            *ret = connect_one(st, op, fd, file);
            Py_DECREF(file);
            return *ret == NULL ? connect_failed(op, ret) : AWAIT_DELEGATE;
        }
        Py_DECREF(file);
    }
    return connect_done(st, op, ret);
}

static await_status
connect_abort(AwaitObject *op, PyObject **ret)
{
    return connect_failed(op, ret);
}

static const await_kind connect_kind = {
    .name = "_connect_pipes",
    .qualname = "BaseSubprocessTransport._connect_pipes",
    .poll = connect_poll,
    .abort = connect_abort,
};

PyObject *
ouro_subprocess_connect(ouro_state *st, SubprocessObject *self,
                        PyObject *waiter)
{
    AwaitObject *op = ouro_await_new(st, &connect_kind, (PyObject *)self);
    if (op != NULL && waiter != NULL && waiter != Py_None) {
        op->a = Py_NewRef(waiter);
    }
    return (PyObject *)op;
}

/* ---- set-up ------------------------------------------------------------ */

int
ouro_subprocess_pipes_setup(PyObject *module, ouro_state *st)
{
    PyObject *base = PyObject_GetAttrString(st->stock.asyncio, "BaseProtocol");
    PyObject *bases = base == NULL ? NULL : PyTuple_Pack(1, base);
    Py_XDECREF(base);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &writer_spec, bases, false,
                               &st->types.SubprocessWriter);
    Py_DECREF(bases);
    if (result < 0) {
        return -1;
    }
    PyObject *protocol = PyObject_GetAttrString(st->stock.asyncio, "Protocol");
    bases = protocol == NULL
                ? NULL
                : PyTuple_Pack(2, st->types.SubprocessWriter, protocol);
    Py_XDECREF(protocol);
    if (bases == NULL) {
        return -1;
    }
    result = ouro_add_type(module, &reader_spec, bases, false,
                           &st->types.SubprocessReader);
    Py_DECREF(bases);
    return result;
}
