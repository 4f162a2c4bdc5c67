/* handler.c - a server's handler: client_connected_cb, and what becomes of
 * the task that runs the coroutine it returns.
 */
#include "base/await.h"
#include "streams/protocol_impl.h"
#include "streams/writer.h"
#include "task/task.h"

static const char failed_message[] =
    "Unhandled exception in client_connected_cb";

/* loop.call_exception_handler({...}) and transport.close(). exc is borrowed.
 */
static int
report_failed(ouro_state *st, PyObject *loop, PyObject *exc,
              PyObject *transport)
{
    PyObject *context =
        Py_BuildValue("{sssOsO}", "message", failed_message, "exception", exc,
                      "transport", transport);
    if (context == NULL
        || ouro_loop_call_exception_handler(st, loop, context) < 0) {
        return -1;
    }
    return ouro_transport_close(st, transport);
}

/* ---- the end of the task ------------------------------------------------ */

/* The done callback of the handler's task. */
typedef struct HandlerCallback {
    PyObject_HEAD
    PyObject *protocol;
    PyObject *transport;
} HandlerCallback;

static HandlerCallback *
as_callback(PyObject *self)
{
    return (HandlerCallback *)self;
}

/* The task is done. 0, or -1 with an exception. */
static int
handler_done(ouro_state *st, HandlerCallback *self, PyObject *task)
{
    if (st->has.streams.handles_cancelled) {
        int cancelled = ouro_anyfuture_cancelled(st, task);
        if (cancelled != 0) {
            return cancelled < 0 ? -1
                                 : ouro_transport_close(st, self->transport);
        }
    }
    PyObject *exc = ouro_anyfuture_exception(st, task);
    if (exc == NULL) {
        return -1;
    }
    PyObject *loop = ouro_flow(self->protocol)->loop;
    int result = exc == Py_None || loop == NULL
                     ? 0
                     : report_failed(st, loop, exc, self->transport);
    Py_DECREF(exc);
    return result;
}

#define CALLBACK_QUALNAME                                                     \
    "StreamReaderProtocol.connection_made.<locals>.callback"

static PyObject *
callback_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *task;
    if (!PyArg_ParseTuple(args, "O:callback", &task)) {
        return NULL;
    }
    return ouro_none_or_error(
        handler_done(ouro_state_of(self), as_callback(self), task));
}

static PyObject *
callback_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<function " CALLBACK_QUALNAME " at %p>",
                                self);
}

static PyObject *
callback_get_qualname(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(CALLBACK_QUALNAME);
}

static PyGetSetDef callback_getset[] = {
    {"__qualname__", callback_get_qualname},
    {NULL},
};

static int
callback_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_callback(self)->protocol);
    Py_VISIT(as_callback(self)->transport);
    return 0;
}

static int
callback_clear(PyObject *self)
{
    Py_CLEAR(as_callback(self)->protocol);
    Py_CLEAR(as_callback(self)->transport);
    return 0;
}

static void
callback_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    callback_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot callback_slots[] = {
    {Py_tp_doc, "The done callback of a connection handler's task."},
    {Py_tp_call, callback_call},
    {Py_tp_repr, callback_repr},
    {Py_tp_getset, callback_getset},
    {Py_tp_traverse, callback_traverse},
    {Py_tp_clear, callback_clear},
    {Py_tp_dealloc, callback_dealloc},
    {0, NULL},
};

static PyType_Spec callback_spec = {
    .name = "ouro._ouro.HandlerCallback",
    .basicsize = sizeof(HandlerCallback),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = callback_slots,
};

static int
add_callback(ouro_state *st, StreamProtocolObject *protocol,
             PyObject *transport, PyObject *task)
{
    PyTypeObject *type = st->types.HandlerCallback;
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) {
        return -1;
    }
    as_callback(self)->protocol = Py_NewRef((PyObject *)protocol);
    as_callback(self)->transport = Py_NewRef(transport);
    int result = ouro_streams_call(task, st->str.add_done_callback, self);
    Py_DECREF(self);
    return result;
}

/* ---- the call ----------------------------------------------------------- */

/* coroutines.iscoroutine(): 1, 0, -1. */
static int
is_coroutine(ouro_state *st, PyObject *object)
{
    if (PyCoro_CheckExact(object) || ouro_await_check(st, object)) {
        return 1;
    }
    return ouro_truth_of(PyObject_CallOneArg(st->stock.iscoroutine, object));
}

static int
run_handler(ouro_state *st, StreamProtocolObject *self, PyObject *transport,
            PyObject *result)
{
    int coroutine = is_coroutine(st, result);
    if (coroutine <= 0) {
        return coroutine;
    }
    PyObject *task = ouro_create_task(st, self->flow.loop, result, NULL, NULL);
    if (task == NULL) {
        return -1;
    }
    Py_XSETREF(self->task, Py_NewRef(task));
    int error = st->has.streams.reports_handler
                    ? add_callback(st, self, transport, task)
                    : 0;
    Py_DECREF(task);
    return error;
}

/* client_connected_cb has raised. */
static int
call_failed(ouro_state *st, StreamProtocolObject *self, PyObject *transport)
{
    if (!st->has.streams.reports_call
        || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    int result = report_failed(st, self->flow.loop, error, transport);
    Py_DECREF(error);
    return result;
}

int
ouro_stream_protocol_serve(ouro_state *st, StreamProtocolObject *self,
                           PyObject *transport, PyObject *reader)
{
    if (self->flow.loop == NULL) {
        ouro_no_attribute((PyObject *)self, "_loop");
        return -1;
    }
    PyObject *callback = Py_NewRef(self->client_connected_cb);
    PyObject *writer = ouro_writer_new(st, transport, (PyObject *)self, reader,
                                       self->flow.loop);
    if (writer == NULL) {
        Py_DECREF(callback);
        return -1;
    }
    if (st->has.streams.keeps_writer) {
        Py_XSETREF(self->writer, Py_NewRef(writer));
    }
    PyObject *args[] = {reader, writer};
    PyObject *result = PyObject_Vectorcall(callback, args, 2, NULL);
    Py_DECREF(callback);
    Py_DECREF(writer);
    if (result == NULL) {
        return call_failed(st, self, transport);
    }
    int error = run_handler(st, self, transport, result);
    Py_DECREF(result);
    return error;
}

int
ouro_stream_handler_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &callback_spec, NULL, false,
                         &st->types.HandlerCallback);
}
