/* flow.c - FlowControlMixin: writers wait while the transport's buffer is
 * full.
 *
 * The transport says so through pause_writing() and resume_writing(); who
 * drains waits in a deque of futures in between.
 */
#include "streams/flow.h"

#include "base/rooms.h"
#include "loop/loop.h"
#include "task/future.h"

/* ---- the waiters -------------------------------------------------------- */

static PyObject *
drain_waiters(ouro_state *st, FlowObject *flow)
{
    if (flow->drain_waiters == NULL) {
        flow->drain_waiters = PyObject_CallNoArgs(st->stock.deque);
    }
    return flow->drain_waiters;
}

/* exc: NULL for a result. */
static int
wake_one(ouro_state *st, PyObject *waiter, PyObject *exc)
{
    int done = ouro_anyfuture_done(st, waiter);
    if (done != 0) {
        return done < 0 ? -1 : 0;
    }
    return exc == NULL ? ouro_anyfuture_set_result(st, waiter, Py_None)
                       : ouro_anyfuture_set_exception(st, waiter, exc);
}

static int
wake_all(ouro_state *st, FlowObject *flow, PyObject *exc)
{
    if (flow->drain_waiters == NULL) {
        return 0;
    }
    PyObject *iterator = PyObject_GetIter(flow->drain_waiters);
    PyObject *waiter;
    int result = iterator == NULL ? -1 : 0;
    while (result == 0 && (waiter = PyIter_Next(iterator)) != NULL) {
        result = wake_one(st, waiter, exc);
        Py_DECREF(waiter);
    }
    Py_XDECREF(iterator);
    return PyErr_Occurred() ? -1 : result;
}

/* ---- what the transport says -------------------------------------------- */

static int
check_started(FlowObject *flow)
{
    if (flow->loop == NULL) {
        ouro_no_attribute((PyObject *)flow, "_loop");
        return -1;
    }
    return 0;
}

/* In debug mode: logger.debug(format, self) */
static int
log_debug(ouro_state *st, FlowObject *flow, const char *format)
{
    int debug = ouro_loop_debug(st, flow->loop);
    return debug <= 0 ? debug
                      : ouro_loop_log(st, "debug", "(sO)", format, flow);
}

int
ouro_flow_pause_writing(ouro_state *st, FlowObject *flow)
{
    if (check_started(flow) < 0
        || ouro_streams_assert(st, !flow->paused, NULL) < 0) {
        return -1;
    }
    flow->paused = true;
    return log_debug(st, flow, "%r pauses writing");
}

int
ouro_flow_resume_writing(ouro_state *st, FlowObject *flow)
{
    if (check_started(flow) < 0
        || ouro_streams_assert(st, flow->paused, NULL) < 0) {
        return -1;
    }
    flow->paused = false;
    return log_debug(st, flow, "%r resumes writing") < 0
               ? -1
               : wake_all(st, flow, NULL);
}

int
ouro_flow_connection_lost(ouro_state *st, FlowObject *flow, PyObject *exc)
{
    flow->connection_lost = true;
    return flow->paused ? wake_all(st, flow, exc == Py_None ? NULL : exc) : 0;
}

int
ouro_flow_may_write(FlowObject *flow)
{
    if (flow->connection_lost) {
        PyErr_SetString(PyExc_ConnectionResetError, "Connection lost");
        return -1;
    }
    return !flow->paused;
}

/* ---- _drain_helper() ---------------------------------------------------- */

/* op->a: the future it waits for. */
static int
leave_waiters(AwaitObject *op)
{
    ouro_state *st = ouro_state_of(op->owner);
    PyObject *waiters = drain_waiters(st, ouro_flow(op->owner));
    return waiters == NULL ? -1
                           : ouro_streams_call(waiters, st->str.remove, op->a);
}

static await_status
drain_helper_start(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of(op->owner);
    FlowObject *flow = ouro_flow(op->owner);
    int may_write = ouro_flow_may_write(flow);
    if (may_write != 0) {
        *ret = may_write < 0 ? NULL : Py_NewRef(Py_None);
        return may_write < 0 ? AWAIT_ERROR : AWAIT_RETURN;
    }
    if (check_started(flow) < 0 || drain_waiters(st, flow) == NULL
        || (op->a = ouro_create_future(st, flow->loop)) == NULL
        || ouro_streams_call(flow->drain_waiters, st->str.append, op->a) < 0) {
        return AWAIT_ERROR;
    }
    op->step = 1;
    *ret = Py_NewRef(op->a);
    return AWAIT_FUTURE;
}

static await_status
drain_helper_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == 0) {
        return drain_helper_start(op, ret);
    }
    *ret = Py_NewRef(Py_None);
    if (leave_waiters(op) < 0) {
        Py_CLEAR(*ret);
        return AWAIT_ERROR;
    }
    return AWAIT_RETURN;
}

static await_status
drain_helper_abort(AwaitObject *op, PyObject **Py_UNUSED(ret))
{
    PyObject *error = PyErr_GetRaisedException();
    if (leave_waiters(op) < 0) {
        PyObject *second = PyErr_GetRaisedException();
        PyException_SetContext(second, error);
        error = second;
    }
    PyErr_SetRaisedException(error);
    return AWAIT_ERROR;
}

static const await_kind drain_helper_kind = {
    .name = "_drain_helper",
    .qualname = "FlowControlMixin._drain_helper",
    .poll = drain_helper_poll,
    .abort = drain_helper_abort,
};

static PyObject *
flow_drain_helper(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(self), &drain_helper_kind, self, args,
                           nargs, kwnames);
}

static const ouro_async_def flow_async_methods[] = {
    {"_drain_helper", flow_drain_helper, "_drain_helper($self, /)\n--\n\n"},
    {NULL},
};

/* ---- the type ----------------------------------------------------------- */

int
ouro_flow_init(ouro_state *st, FlowObject *flow, PyObject *loop)
{
    PyObject *mine = loop == NULL || loop == Py_None ? ouro_event_loop(st)
                                                     : Py_NewRef(loop);
    if (mine == NULL) {
        return -1;
    }
    Py_XSETREF(flow->loop, mine);
    Py_CLEAR(flow->drain_waiters);
    flow->paused = flow->connection_lost = false;
    return 0;
}

static const ouro_signature init_signature = {
    .qualname = "FlowControlMixin.__init__",
    .skip_self = 1,
    .positional = 1,
    .names = {"loop", NULL},
};

static int
flow_tp_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *loop;
    if (ouro_parse_init(&init_signature, args, kwargs, &loop) < 0) {
        return -1;
    }
    return ouro_flow_init(ouro_state_of(self), ouro_flow(self), loop);
}

int
ouro_flow_traverse(PyObject *self, visitproc visit, void *arg)
{
    FlowObject *flow = ouro_flow(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(flow->dict);
    Py_VISIT(flow->loop);
    Py_VISIT(flow->drain_waiters);
    return 0;
}

int
ouro_flow_clear(PyObject *self)
{
    FlowObject *flow = ouro_flow(self);
    Py_CLEAR(flow->dict);
    Py_CLEAR(flow->loop);
    Py_CLEAR(flow->drain_waiters);
    return 0;
}

static void
flow_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (ouro_flow(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    ouro_flow_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
flow_pause_writing(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    if (ouro_parse_none("FlowControlMixin.pause_writing", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_flow_pause_writing(ouro_state_of(self), ouro_flow(self)));
}

static PyObject *
flow_resume_writing(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    if (ouro_parse_none("FlowControlMixin.resume_writing", args, nargs,
                        kwnames)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_flow_resume_writing(ouro_state_of(self), ouro_flow(self)));
}

static const ouro_signature connection_lost_signature =
    OURO_ONE_PARAMETER("FlowControlMixin.connection_lost", "exc");

static PyObject *
flow_connection_lost(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    PyObject *exc;
    if (ouro_parse_one(&connection_lost_signature, args, nargs, kwnames, &exc)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_flow_connection_lost(ouro_state_of(self), ouro_flow(self), exc));
}

static const ouro_signature close_waiter_signature =
    OURO_ONE_PARAMETER("FlowControlMixin._get_close_waiter", "stream");

static PyObject *
flow_get_close_waiter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    PyObject *stream;
    if (ouro_parse_one(&close_waiter_signature, args, nargs, kwnames, &stream)
        == 0) {
        PyErr_SetNone(PyExc_NotImplementedError);
    }
    return NULL;
}

static PyMethodDef flow_methods[] = {
    OURO_METHOD(
        "pause_writing", flow_pause_writing,
        "pause_writing($self, /)\n--\n\n"
        "The transport's buffer is over its high-water mark: drain() waits."),
    OURO_METHOD("resume_writing", flow_resume_writing,
                "resume_writing($self, /)\n--\n\n"
                "The transport's buffer has drained: wake who waits."),
    OURO_METHOD(
        "connection_lost", flow_connection_lost,
        "connection_lost($self, /, exc)\n--\n\n"
        "The connection is lost: wake who waits, with exc if it is not None."),
    OURO_METHOD("_get_close_waiter", flow_get_close_waiter,
                "_get_close_waiter($self, /, stream)\n--\n\n"),
    {NULL},
};

static PyObject *
flow_get_drain_waiters(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_XNewRef(drain_waiters(ouro_state_of(self), ouro_flow(self)));
}

static int
flow_set_drain_waiters(PyObject *self, PyObject *value,
                       void *Py_UNUSED(closure))
{
    Py_XSETREF(ouro_flow(self)->drain_waiters, Py_XNewRef(value));
    return 0;
}

static PyGetSetDef flow_getset[] = {
    {"_drain_waiters", flow_get_drain_waiters, flow_set_drain_waiters},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    {NULL},
};

static PyMemberDef flow_members[] = {
    {"_loop", T_OBJECT_EX, offsetof(FlowObject, loop), 0},
    {"_paused", T_BOOL, offsetof(FlowObject, paused), 0},
    {"_connection_lost", T_BOOL, offsetof(FlowObject, connection_lost), 0},
    {"__dictoffset__", T_PYSSIZET, offsetof(FlowObject, dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(FlowObject, weakrefs),
     READONLY},
    {NULL},
};

PyDoc_STRVAR(flow_doc, "FlowControlMixin(loop=None)\n--\n\n\
Flow control for StreamWriter.drain(), for protocols to derive from.\n\n\
Implements the protocol methods pause_writing(), resume_writing() and\n\
connection_lost(); who overrides these must call them.");

static PyType_Slot flow_slots[] = {
    {Py_tp_doc, (void *)flow_doc},        {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, flow_tp_init},           {Py_tp_dealloc, flow_dealloc},
    {Py_tp_traverse, ouro_flow_traverse}, {Py_tp_clear, ouro_flow_clear},
    {Py_tp_methods, flow_methods},        {Py_tp_getset, flow_getset},
    {Py_tp_members, flow_members},        {0, NULL},
};

static PyType_Spec flow_spec = {
    .name = "ouro.FlowControlMixin",
    .basicsize = sizeof(FlowObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = flow_slots,
};

int
ouro_flow_setup(PyObject *module, ouro_state *st)
{
    PyObject *bases = PyTuple_Pack(1, st->stock.Protocol);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &flow_spec, bases, true,
                               &st->types.FlowControlMixin);
    Py_DECREF(bases);
    return result < 0 ? -1
                      : ouro_add_async_methods(st, st->types.FlowControlMixin,
                                               flow_async_methods);
}
