/* standin.c - the protocol of a transport over which a file is sent (see
 * standin.h).  It keeps track of the pauses in writing, and receives nothing.
 */
#include "net/standin.h"

#include "task/future.h"

SendfileProtocol *
ouro_standin_new(ouro_state *st, PyObject *loop, PyObject *transport)
{
    PyTypeObject *type = st->types.SendfileProtocol;
    SendfileProtocol *self = (SendfileProtocol *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->loop = Py_NewRef(loop);
    self->transport = Py_NewRef(transport);
    self->protocol = PyObject_CallMethod(transport, "get_protocol", NULL);
    int reading = self->protocol == NULL ? -1
                                         : ouro_truth_of(PyObject_CallMethod(
                                             transport, "is_reading", NULL));
    int writing_paused = ouro_truth_of(
        reading < 0 ? NULL
                    : PyObject_GetAttrString(transport, "_protocol_paused"));
    PyObject *set = NULL;
    if (writing_paused >= 0
        && ouro_drop_result(
               PyObject_CallMethod(transport, "pause_reading", NULL))
               == 0) {
        self->resume_reading = reading;
        self->resume_writing = writing_paused;
        set = PyObject_CallMethod(transport, "set_protocol", "O", self);
    }
    if (set != NULL && writing_paused) {
        self->ready = ouro_create_future(st, loop);
    }
    if (set == NULL || (writing_paused && self->ready == NULL)) {
        Py_CLEAR(self);
    }
    Py_XDECREF(set);
    return self;
}

int
ouro_standin_restore(ouro_state *st, SendfileProtocol *self)
{
    PyObject *set = PyObject_CallMethod(self->transport, "set_protocol", "O",
                                        self->protocol);
    Py_XDECREF(set);
    if (set == NULL
        || (self->resume_reading
            && ouro_drop_result(PyObject_CallMethod(self->transport,
                                                    "resume_reading", NULL))
                   < 0)
        || (self->ready != NULL
            && ouro_anyfuture_cancel(st, self->ready, NULL) < 0)) {
        return -1;
    }
    return self->resume_writing ? ouro_drop_result(
               PyObject_CallMethod(self->protocol, "resume_writing", NULL))
                                : 0;
}

static PyObject *
standin_connection_made(PyObject *Py_UNUSED(self),
                        PyObject *Py_UNUSED(transport))
{
    PyErr_SetString(PyExc_RuntimeError,
                    "Invalid state: connection should have been established "
                    "already.");
    return NULL;
}

static PyObject *
standin_connection_lost(PyObject *object, PyObject *exc)
{
    SendfileProtocol *self = (SendfileProtocol *)object;
    ouro_state *st = ouro_state_of(object);
    PyObject *ready = Py_XNewRef(self->ready);
    if (ready != NULL) {
        PyObject *error =
            exc != Py_None
                ? Py_NewRef(exc)
                : PyObject_CallFunction(PyExc_ConnectionError, "s",
                                        "Connection is closed by peer");
        int result = error == NULL
                         ? -1
                         : ouro_anyfuture_set_exception(st, ready, error);
        Py_XDECREF(error);
        Py_DECREF(ready);
        if (result < 0) {
            return NULL;
        }
    }
    return PyObject_CallMethodOneArg(self->protocol, st->str.connection_lost,
                                     exc);
}

static PyObject *
standin_pause_writing(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    SendfileProtocol *self = (SendfileProtocol *)object;
    if (self->ready == NULL) {
        self->ready = ouro_create_future(ouro_state_of(object), self->loop);
        if (self->ready == NULL) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
standin_resume_writing(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    SendfileProtocol *self = (SendfileProtocol *)object;
    PyObject *ready = self->ready;
    if (ready == NULL) {
        Py_RETURN_NONE;
    }
    self->ready = NULL;
    int result =
        ouro_anyfuture_set_result(ouro_state_of(object), ready, Py_False);
    Py_DECREF(ready);
    return ouro_none_or_error(result);
}

static PyObject *
standin_received(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(data))
{
    PyErr_SetString(PyExc_RuntimeError,
                    "Invalid state: reading should be paused");
    return NULL;
}

static int
standin_traverse(PyObject *object, visitproc visit, void *arg)
{
    SendfileProtocol *self = (SendfileProtocol *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->loop);
    Py_VISIT(self->transport);
    Py_VISIT(self->protocol);
    Py_VISIT(self->ready);
    return 0;
}

static int
standin_clear(PyObject *object)
{
    SendfileProtocol *self = (SendfileProtocol *)object;
    Py_CLEAR(self->loop);
    Py_CLEAR(self->transport);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->ready);
    return 0;
}

static void
standin_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)standin_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef standin_methods[] = {
    {"connection_made", standin_connection_made, METH_O, NULL},
    {"connection_lost", standin_connection_lost, METH_O, NULL},
    {"pause_writing", standin_pause_writing, METH_NOARGS, NULL},
    {"resume_writing", standin_resume_writing, METH_NOARGS, NULL},
    {"data_received", standin_received, METH_O, NULL},
    {"eof_received", standin_received, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot standin_slots[] = {
    {Py_tp_dealloc, standin_dealloc},
    {Py_tp_traverse, standin_traverse},
    {Py_tp_clear, standin_clear},
    {Py_tp_methods, standin_methods},
    {0, NULL},
};

static PyType_Spec standin_spec = {
    .name = "ouro._ouro._SendfileFallbackProtocol",
    .basicsize = sizeof(SendfileProtocol),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = standin_slots,
};

int
ouro_standin_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &standin_spec, st->stock.Protocol, false,
                         &st->types.SendfileProtocol);
}
