/* methods.c - methods that transports have in common, and what is behind
 * pausing to read.
 */
#include "net/methods.h"

#include "base/args.h"

int
ouro_transport_debug(ouro_state *st, TransportObject *self, const char *format)
{
    int debug = self->loop == NULL ? 0 : ouro_loop_debug(st, self->loop);
    return debug <= 0 ? debug
                      : ouro_loop_log(st, "debug", "(sO)", format, self);
}

int
ouro_reading_pause(PyObject *object)
{
    TransportObject *self = ouro_transport(object);
    if (self->closing || self->paused) {
        return 0;
    }
    ouro_state *st = ouro_state_of(object);
    self->paused = true;
    if (ouro_transport_watch(st, self, OU_IN, false, OU_LEVEL) < 0) {
        return -1;
    }
    return ouro_transport_debug(st, self, "%r pauses reading");
}

int
ouro_reading_resume(PyObject *object)
{
    TransportObject *self = ouro_transport(object);
    if (self->closing || !self->paused) {
        return 0;
    }
    ouro_state *st = ouro_state_of(object);
    self->paused = false;
    if (self->loop == NULL) {
        return 0;
    }
    if (self->native && ouro_transport_wants_context(self)) {
        /* asyncio's new handle takes a copy of the context. */
        PyObject *context = PyContext_CopyCurrent();
        if (context == NULL) {
            return -1;
        }
        Py_XSETREF(self->context, context);
    }
    if (self->kind->begin_reading(self) < 0) {
        return -1;
    }
    return ouro_transport_debug(st, self, "%r resumes reading");
}

/* ---- public methods ---------------------------------------------------- */

PyObject *
ouro_method_is_closing(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(ouro_transport(self)->closing);
}

PyObject *
ouro_method_is_reading(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TransportObject *base = ouro_transport(self);
    return PyBool_FromLong(!base->closing && !base->paused);
}

PyObject *
ouro_method_pause_reading(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(ouro_reading_pause(self));
}

PyObject *
ouro_method_resume_reading(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_none_or_error(ouro_reading_resume(self));
}

PyObject *
ouro_method_get_protocol(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *protocol = ouro_transport(self)->protocol;
    return Py_NewRef(protocol == NULL ? Py_None : protocol);
}

PyObject *
ouro_method_set_protocol(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("_SelectorTransport.set_protocol", "protocol");
    PyObject *protocol;
    return ouro_parse_one(&signature, args, nargs, kwnames, &protocol) < 0
               ? NULL
               : ouro_none_or_error(ouro_transport_set_protocol(
                   ouro_state_of(self), ouro_transport(self), protocol));
}

/* asyncio's transports inherit get_extra_info(): what somebody has put onto
 * the class instead is called. */
static PyObject *
call_patched(PyObject *self, PyObject *patched, PyObject *const *args,
             Py_ssize_t nargs, PyObject *kwnames)
{
    Py_INCREF(patched);
    descrgetfunc get = Py_TYPE(patched)->tp_descr_get;
    if (get != NULL) {
        PyObject *bound = get(patched, self, (PyObject *)Py_TYPE(self));
        Py_SETREF(patched, bound);
    }
    PyObject *result =
        patched == NULL
            ? NULL
            : PyObject_Vectorcall(patched, args, (size_t)nargs, kwnames);
    Py_XDECREF(patched);
    return result;
}

PyObject *
ouro_method_get_extra_info(PyObject *self, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseTransport.get_extra_info",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"name", "default"},
    };
    ouro_state *st = ouro_state_of(self);
    PyObject *method = _PyType_Lookup((PyTypeObject *)st->stock.Transport,
                                      st->str.get_extra_info);
    if (method != NULL && method != st->stock.get_extra_info) {
        return call_patched(self, method, args, nargs, kwnames);
    }
    TransportObject *base = ouro_transport(self);
    PyObject *a[2];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0
        /* Who asks for the socket may be about to use it. */
        || base->kind->flush(self) < 0) {
        return NULL;
    }
    PyObject *extra =
        base->kind->extra == NULL ? base->extra : base->kind->extra(base);
    if (extra == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_AttributeError, "_extra");
        }
        return NULL;
    }
    PyObject *fallback = ouro_or_none(a[1]);
    if (!PyDict_CheckExact(extra)) {
        return PyObject_CallMethod(extra, "get", "OO", a[0], fallback);
    }
    PyObject *value;
    int found = PyDict_GetItemRef(extra, a[0], &value);
    return found == 0 ? Py_NewRef(fallback) : value;
}

/* ---- flow control ------------------------------------------------------ */

PyObject *
ouro_method_get_write_buffer_size(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TransportObject *base = ouro_transport(self);
    return base->kind->flush(self) < 0
               ? NULL
               : PyLong_FromSize_t(base->kind->output_size(base));
}

PyObject *
ouro_method_get_write_buffer_limits(PyObject *self,
                                    PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("nn", (Py_ssize_t)ouro_transport(self)->low,
                         (Py_ssize_t)ouro_transport(self)->high);
}

PyObject *
ouro_method_set_write_buffer_limits(PyObject *self, PyObject *const *args,
                                    Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_FlowControlMixin.set_write_buffer_limits",
        .skip_self = 1,
        .positional = 2,
        .names = {"high", "low"},
    };
    TransportObject *base = ouro_transport(self);
    PyObject *a[2];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0
        || base->kind->flush(self) < 0
        || ouro_transport_set_limits(base, a[0], a[1]) < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_transport_maybe_pause(ouro_state_of(self), base));
}

/* ---- what asyncio's own parts call ------------------------------------- */

/* _add_reader(fd, callback): what the constructor schedules on a loop that
 * is not fast. */
PyObject *
ouro_method_add_reader(PyObject *self, PyObject *const *Py_UNUSED(args),
                       Py_ssize_t Py_UNUSED(nargs))
{
    TransportObject *base = ouro_transport(self);
    if (base->closing || base->paused || base->loop == NULL) {
        Py_RETURN_NONE;
    }
    return ouro_none_or_error(base->kind->begin_reading(base));
}

PyObject *
ouro_method_call_connection_lost(PyObject *self, PyObject *exc)
{
    return ouro_none_or_error(
        ouro_transport_call_lost(ouro_state_of(self), ouro_transport(self),
                                 exc == Py_None ? NULL : exc));
}

PyObject *
ouro_method_force_close(PyObject *self, PyObject *exc)
{
    return ouro_none_or_error(
        ouro_transport_force_close(ouro_state_of(self), ouro_transport(self),
                                   exc == Py_None ? NULL : exc));
}

PyObject *
ouro_method_abort(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return ouro_method_force_close(self, Py_None);
}

/* ---- repr() ------------------------------------------------------------ */

PyObject *
ouro_transport_repr(PyObject *object)
{
    TransportObject *self = ouro_transport(object);
    PyObject *name = PyType_GetName(Py_TYPE(self));
    if (name == NULL) {
        return NULL;
    }
    const char *state = !self->open     ? " closed"
                        : self->closing ? " closing"
                                        : "";
    PyObject *repr;
    if (self->loop == NULL || ((LoopObject *)self->loop)->closed) {
        repr = PyUnicode_FromFormat("<%U%s fd=%d>", name, state, self->fd);
    }
    else {
        ou_io *io = self->native
                        ? &self->io
                        : ou_io_find(ouro_transport_engine(self), self->fd);
        unsigned interest = io != NULL && ou_io_started(io) ? io->interest : 0;
        repr = PyUnicode_FromFormat(
            "<%U%s fd=%d read=%s write=<%s, bufsize=%zu>>", name, state,
            self->fd, interest & OU_IN ? "polling" : "idle",
            interest & OU_OUT ? "polling" : "idle",
            self->kind->output_size(self));
    }
    Py_DECREF(name);
    return repr;
}
