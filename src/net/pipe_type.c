/* pipe_type.c - the Python types of the transports of pipes (see pipe.h): how
 * they are made, their methods and attributes.
 */
#include "net/pipe.h"

#include "base/rooms.h"
#include "net/methods.h"

/* ---- making ------------------------------------------------------------ */

static PyObject *
pipe_new(PyTypeObject *type, const transport_kind *kind,
         const ou_job_kind *in_kind)
{
    PyObject *object = type->tp_alloc(type, 0);
    if (object != NULL) {
        PipeObject *self = ouro_pipe(object);
        ou_io_init(&self->base.io, in_kind, &ouro_pipe_out_kind);
        ou_job_init(&self->flush, &ouro_pipe_flush_kind);
        self->base.kind = kind;
        self->base.fd = -1;
    }
    return object;
}

static PyObject *
read_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
         PyObject *Py_UNUSED(kwargs))
{
    return pipe_new(type, &ouro_pipe_read_kind, &ouro_pipe_in_kind);
}

static PyObject *
write_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
          PyObject *Py_UNUSED(kwargs))
{
    return pipe_new(type, &ouro_pipe_write_kind, &ouro_pipe_hangup_kind);
}

/* pipe.fileno() */
static int
pipe_fileno(ouro_state *st, PyObject *pipe)
{
    PyObject *number = PyObject_CallMethodNoArgs(pipe, st->str.fileno);
    if (number == NULL) {
        return -1;
    }
    int fd = PyObject_AsFileDescriptor(number);
    Py_DECREF(number);
    return fd;
}

/* Is this a descriptor to be watched?  It does not block from now on. */
static int
pipe_prepare(PipeObject *self, int fd, bool writes)
{
    int error = ou_pipe_classify(fd, &self->file);
    if (error < 0) {
        return ouro_raise_errno_int(error);
    }
    if (self->file == OU_PIPE_UNFIT) {
        PyErr_SetString(PyExc_ValueError,
                        writes ? "Pipe transport is only for "
                                 "pipes, sockets and character devices"
                               : "Pipe transport is for pipes/sockets only.");
        return -1;
    }
    self->gathers = writes && ou_pipe_is_stream(fd, self->file);
    error = ou_sock_set_nonblocking(fd);
    return error < 0 ? ouro_raise_errno_int(error) : 0;
}

static int
pipe_set_extra(PipeObject *self, PyObject *pipe, PyObject *extra)
{
    extra = extra == NULL ? PyDict_New() : Py_NewRef(extra);
    if (extra == NULL) {
        return -1;
    }
    Py_XSETREF(self->base.extra, extra);
    PyObject *key = PyUnicode_FromString("pipe");
    int result = key == NULL ? -1 : PyObject_SetItem(extra, key, pipe);
    Py_XDECREF(key);
    return result;
}

int
ouro_pipe_start(ouro_state *st, PipeObject *self, const transport_kind *kind,
                PyObject *loop, PyObject *pipe, PyObject *protocol,
                PyObject *waiter, PyObject *extra)
{
    TransportObject *base = &self->base;
    int fd;
    if (ouro_transport_check_init(st, loop, base->loop != NULL || base->open)
            < 0
        || (fd = pipe_fileno(st, pipe)) < 0
        || pipe_set_extra(self, pipe, extra) < 0
        || pipe_prepare(self, fd, kind == &ouro_pipe_write_kind) < 0
        || ouro_transport_begin(st, base, kind, loop, pipe, fd) < 0) {
        return -1;
    }
    ou_outbuf_init(&self->out, &ouro_loop_engine(loop)->outpool);
    self->out.pipe = true;
    if (ouro_transport_set_protocol(st, base, protocol) < 0
        || ouro_transport_schedule_made(st, base, waiter) < 0) {
        return -1;
    }
    return 0;
}

static int
pipe_init(PyObject *object, const ouro_signature *signature,
          const transport_kind *kind, PyObject *args, PyObject *kwargs)
{
    PyObject *a[5];
    if (ouro_parse_init(signature, args, kwargs, a) < 0) {
        return -1;
    }
    return ouro_pipe_start(ouro_state_of(object), ouro_pipe(object), kind,
                           a[0], a[1], a[2], a[3],
                           a[4] == Py_None ? NULL : a[4]);
}

static int
read_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "_UnixReadPipeTransport.__init__",
        .skip_self = 1,
        .positional = 5,
        .required = 3,
        .names = {"loop", "pipe", "protocol", "waiter", "extra"},
    };
    return pipe_init(object, &signature, &ouro_pipe_read_kind, args, kwargs);
}

static int
write_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static const ouro_signature signature = {
        .qualname = "_UnixWritePipeTransport.__init__",
        .skip_self = 1,
        .positional = 5,
        .required = 3,
        .names = {"loop", "pipe", "protocol", "waiter", "extra"},
    };
    return pipe_init(object, &signature, &ouro_pipe_write_kind, args, kwargs);
}

/* ---- methods of both --------------------------------------------------- */

static PyObject *
pipe_private_close(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *exc = nargs > 0 && args[0] != Py_None ? args[0] : NULL;
    return ouro_none_or_error(
        ouro_pipe_close(ouro_state_of(self), ouro_pipe(self), exc));
}

static PyObject *
read_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (ouro_transport(self)->closing) {
        Py_RETURN_NONE;
    }
    return ouro_none_or_error(
        ouro_pipe_close(ouro_state_of(self), ouro_pipe(self), NULL));
}

static PyObject *
read_pause_reading(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (ouro_reading_pause(self) < 0) {
        return NULL;
    }
    TransportObject *base = ouro_transport(self);
    if (base->native && base->paused) {
        ouro_transport_unwatch(base); /* nothing can wake it now */
    }
    Py_RETURN_NONE;
}

static PyObject *
read_read_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_pipe_receive(ouro_state_of(self), ouro_pipe(self)));
}

/* ---- methods of the end that writes ------------------------------------ */

PyDoc_STRVAR(write_doc,
"write($self, data)\n--\n\n"
"Write bytes. Does not block: what cannot be written now is written later.");

static PyObject *
write_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("_UnixWritePipeTransport.write", "data");
    PyObject *data;
    return ouro_parse_one(&signature, args, nargs, kwnames, &data) < 0
               ? NULL
               : ouro_none_or_error(ouro_pipe_write(self, data));
}

PyDoc_STRVAR(writelines_doc,
"writelines($self, list_of_data)\n--\n\n"
"Write an iterable of bytes, joined.");

static PyObject *
write_writelines(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("WriteTransport.writelines", "list_of_data");
    PyObject *list;
    return ouro_parse_one(&signature, args, nargs, kwnames, &list) < 0
               ? NULL
               : ouro_none_or_error(ouro_pipe_writelines(self, list));
}

static PyObject *
write_write_eof(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(ouro_pipe_write_eof(self));
}

static PyObject *
write_can_write_eof(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyObject *
write_abort(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_pipe_close(ouro_state_of(self), ouro_pipe(self), NULL));
}

static PyObject *
write_read_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_pipe_hung_up(ouro_state_of(self), ouro_pipe(self)));
}

static PyObject *
write_write_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(
        ouro_pipe_send_more(ouro_state_of(self), ouro_pipe(self)));
}

/* ---- tables ------------------------------------------------------------ */

static PyMethodDef read_methods[] = {
    OURO_TRANSPORT_METHODS,
    {"_close", _PyCFunction_CAST(pipe_private_close), METH_FASTCALL, NULL},
    {"close", read_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\nClose; nothing more is received.")},
    {"is_reading", ouro_method_is_reading, METH_NOARGS,
     PyDoc_STR("is_reading($self)\n--\n\n"
               "Return True if the transport is receiving.")},
    {"pause_reading", read_pause_reading, METH_NOARGS,
     PyDoc_STR("pause_reading($self)\n--\n\n"
               "Receive nothing until resume_reading() is called.")},
    {"resume_reading", ouro_method_resume_reading, METH_NOARGS,
     PyDoc_STR("resume_reading($self)\n--\n\nReceive again.")},
    {"_read_ready", read_read_ready, METH_NOARGS, NULL},
    {NULL},
};

static PyMethodDef write_methods[] = {
    OURO_TRANSPORT_METHODS,
    OURO_SENDING_METHODS,
    {"_close", _PyCFunction_CAST(pipe_private_close), METH_FASTCALL, NULL},
    OURO_METHOD("write", write_write, write_doc),
    OURO_METHOD("writelines", write_writelines, writelines_doc),
    {"write_eof", write_write_eof, METH_NOARGS,
     PyDoc_STR("write_eof($self)\n--\n\nClose when all has been written.")},
    {"can_write_eof", write_can_write_eof, METH_NOARGS,
     PyDoc_STR("can_write_eof($self)\n--\n\nReturn True.")},
    {"close", write_write_eof, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\nClose when all has been written.")},
    {"abort", write_abort, METH_NOARGS,
     PyDoc_STR("abort($self)\n--\n\n"
               "Close at once; what has not been written is lost.")},
    {"_read_ready", write_read_ready, METH_NOARGS, NULL},
    {"_write_ready", write_write_ready, METH_NOARGS, NULL},
    {NULL},
};

#define PIPE_MEMBERS                                                          \
    OURO_TRANSPORT_MEMBER("_loop", T_OBJECT, loop),                           \
        OURO_TRANSPORT_MEMBER("_protocol", T_OBJECT, protocol),               \
        OURO_TRANSPORT_MEMBER("_fileno", T_INT, fd),                          \
        OURO_TRANSPORT_MEMBER("_closing", T_BOOL, closing),                   \
        OURO_TRANSPORT_MEMBER("__dictoffset__", T_PYSSIZET, dict),            \
        OURO_TRANSPORT_MEMBER("__weaklistoffset__", T_PYSSIZET, weakrefs)

static PyMemberDef read_members[] = {
    PIPE_MEMBERS,
    OURO_TRANSPORT_MEMBER("_paused", T_BOOL, paused),
    {NULL},
};

static PyMemberDef write_members[] = {
    PIPE_MEMBERS,
    OURO_TRANSPORT_MEMBER("_conn_lost", T_UINT, conn_lost),
    OURO_TRANSPORT_MEMBER("_protocol_paused", T_BOOL, protocol_paused),
    OURO_TRANSPORT_MEMBER("_high_water", T_PYSSIZET, high),
    OURO_TRANSPORT_MEMBER("_low_water", T_PYSSIZET, low),
    {NULL},
};

static PyObject *
pipe_get_extra(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *extra = ouro_transport(object)->extra;
    return Py_NewRef(extra == NULL ? Py_None : extra);
}

static int
pipe_replace_extra(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(ouro_transport(object)->extra, Py_XNewRef(value));
    return 0;
}

static PyObject *
pipe_get_pipe(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *pipe = ouro_transport(object)->sock;
    return Py_NewRef(pipe == NULL ? Py_None : pipe);
}

/* (None: whoever sets it closes the pipe, or has done so.) */
static int
pipe_set_pipe(PyObject *object, PyObject *value, void *Py_UNUSED(closure))
{
    TransportObject *base = ouro_transport(object);
    if (value == Py_None) {
        value = NULL;
    }
    base->open = value != NULL;
    Py_XSETREF(base->sock, Py_XNewRef(value));
    return 0;
}

static PyGetSetDef pipe_getset[] = {
    {"_pipe", pipe_get_pipe, pipe_set_pipe, NULL, NULL},
    {"_extra", pipe_get_extra, pipe_replace_extra, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

/* ---- repr() ------------------------------------------------------------ */

static bool
pipe_polling(TransportObject *base, unsigned direction)
{
    ou_io *io = base->native
                    ? &base->io
                    : ou_io_find(ouro_transport_engine(base), base->fd);
    return io != NULL && ou_io_started(io) && (io->interest & direction);
}

static PyObject *
pipe_repr(PyObject *object, unsigned direction)
{
    TransportObject *base = ouro_transport(object);
    PyObject *name = PyType_GetName(Py_TYPE(object));
    if (name == NULL) {
        return NULL;
    }
    const char *state = base->sock == NULL ? " closed"
                        : base->closing    ? " closing"
                                           : "";
    bool has_selector =
        base->loop != NULL && !((LoopObject *)base->loop)->closed;
    const char *watch = base->sock == NULL              ? "closed"
                        : !has_selector                 ? "open"
                        : pipe_polling(base, direction) ? "polling"
                                                        : "idle";
    PyObject *repr;
    if (direction == OU_OUT && base->sock != NULL && has_selector) {
        repr =
            PyUnicode_FromFormat("<%U%s fd=%d %s bufsize=%zu>", name, state,
                                 base->fd, watch, ouro_pipe(object)->out.size);
    }
    else {
        repr = PyUnicode_FromFormat("<%U%s fd=%d %s>", name, state, base->fd,
                                    watch);
    }
    Py_DECREF(name);
    return repr;
}

static PyObject *
read_repr(PyObject *object)
{
    return pipe_repr(object, OU_IN);
}

static PyObject *
write_repr(PyObject *object)
{
    return pipe_repr(object, OU_OUT);
}

/* ---- the types --------------------------------------------------------- */

static int
pipe_clear(PyObject *object)
{
    ou_outbuf_clear(&ouro_pipe(object)->out); /* its chunks are the loop's */
    return ouro_transport_clear(object);
}

static void
pipe_dealloc(PyObject *object)
{
    ouro_transport_dealloc(object, pipe_clear);
}

PyDoc_STRVAR(read_type_doc,
"_UnixReadPipeTransport(loop, pipe, protocol, waiter=None, extra=None)\n"
"--\n\n"
"The transport of the end of a pipe that is read from.");

static PyType_Slot read_slots[] = {
    {Py_tp_doc, (void *)read_type_doc},
    {Py_tp_new, read_new},
    {Py_tp_init, read_init},
    {Py_tp_dealloc, pipe_dealloc},
    {Py_tp_finalize, ouro_transport_finalize},
    {Py_tp_traverse, ouro_transport_traverse},
    {Py_tp_clear, pipe_clear},
    {Py_tp_repr, read_repr},
    {Py_tp_methods, read_methods},
    {Py_tp_members, read_members},
    {Py_tp_getset, pipe_getset},
    {0, NULL},
};

PyDoc_STRVAR(write_type_doc,
"_UnixWritePipeTransport(loop, pipe, protocol, waiter=None, extra=None)\n"
"--\n\n"
"The transport of the end of a pipe that is written to.");

static PyType_Slot write_slots[] = {
    {Py_tp_doc, (void *)write_type_doc},
    {Py_tp_new, write_new},
    {Py_tp_init, write_init},
    {Py_tp_dealloc, pipe_dealloc},
    {Py_tp_finalize, ouro_transport_finalize},
    {Py_tp_traverse, ouro_transport_traverse},
    {Py_tp_clear, pipe_clear},
    {Py_tp_repr, write_repr},
    {Py_tp_methods, write_methods},
    {Py_tp_members, write_members},
    {Py_tp_getset, pipe_getset},
    {0, NULL},
};

static PyType_Spec read_spec = {
    .name = "ouro._ouro._UnixReadPipeTransport",
    .basicsize = sizeof(PipeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = read_slots,
};

static PyType_Spec write_spec = {
    .name = "ouro._ouro._UnixWritePipeTransport",
    .basicsize = sizeof(PipeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = write_slots,
};

/* ---- what a StreamWriter calls ----------------------------------------- */

static int
ops_is_closing(PyObject *self)
{
    return ouro_transport(self)->closing;
}

/* There is nothing to be read: AttributeError. */
static int
ops_pause_reading(PyObject *self)
{
    return ouro_drop_result(PyObject_CallMethodNoArgs(
        self, ouro_state_of(self)->str.pause_reading));
}

static int
ops_resume_reading(PyObject *self)
{
    return ouro_drop_result(PyObject_CallMethodNoArgs(
        self, ouro_state_of(self)->str.resume_reading));
}

static const transport_ops write_ops = {
    .write = ouro_pipe_write,
    .writelines = ouro_pipe_writelines,
    .write_eof = ouro_pipe_write_eof,
    .close = ouro_pipe_write_eof,
    .is_closing = ops_is_closing,
    .pause_reading = ops_pause_reading,
    .resume_reading = ops_resume_reading,
    .flush = ouro_pipe_flush,
    .gathered = ouro_pipe_gathered,
    .flush_old = ouro_transport_flush_old,
};

const transport_ops *
ouro_pipe_ops(ouro_state *st, PyObject *transport)
{
    return Py_TYPE(transport) == st->types.WritePipe
                   && ouro_transport(transport)->dict == NULL
                   && ouro_intact_check(&st->transports.WritePipe)
               ? &write_ops
               : NULL;
}

static int
add_pipe_type(PyObject *module, ouro_state *st, PyType_Spec *spec,
              const char *base_name, PyTypeObject **slot)
{
    PyObject *base = PyObject_GetAttrString(st->stock.asyncio, base_name);
    PyObject *bases = base == NULL ? NULL : PyTuple_Pack(1, base);
    Py_XDECREF(base);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, spec, bases, true, slot);
    Py_DECREF(bases);
    return result;
}

int
ouro_pipe_setup(PyObject *module, ouro_state *st)
{
    if (add_pipe_type(module, st, &read_spec, "ReadTransport",
                      &st->types.ReadPipe)
            < 0
        /* asyncio's is a Transport, too, by way of _FlowControlMixin. */
        || add_pipe_type(module, st, &write_spec, "Transport",
                         &st->types.WritePipe)
               < 0) {
        return -1;
    }
    PyObject *max_size = PyLong_FromLong(OU_SCRATCH_SIZE);
    int result = max_size == NULL
                     ? -1
                     : PyObject_SetAttrString((PyObject *)st->types.ReadPipe,
                                              "max_size", max_size);
    Py_XDECREF(max_size);
    return result < 0 ? -1
                      : ouro_intact_init(&st->transports.WritePipe,
                                         st->types.WritePipe);
}
