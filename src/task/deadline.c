/* deadline.c - complete a future when a time has come.
 *
 * While its timer is armed (or due, and queued) the engine owns the Deadline,
 * and this holds the future and through it whoever waits; afterwards it holds
 * nothing.  So it need not be known to the collector: what it holds is shown
 * by the engine, as if it were the engine's own.
 */
#include "task/deadline.h"

#include "base/rooms.h"

typedef struct DeadlineObject {
    PyObject_HEAD
    ou_job job;
    ou_timer timer;
    ou_loop *engine; /* NULL: it is not armed */
    FutureObject *fut;
    PyObject *value;
} DeadlineObject;

static DeadlineObject *
deadline_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, DeadlineObject, job);
}

/* It is the engine's no more. */
static void
deadline_release(DeadlineObject *self)
{
    self->engine = NULL;
    Py_CLEAR(self->fut);
    Py_CLEAR(self->value);
    Py_DECREF(self);
}

static int
deadline_run(ou_job *job)
{
    DeadlineObject *self = deadline_of(job);
    int result = 0;
    if (self->fut->state == FUTURE_PENDING) {
        result = ouro_future_set_result(self->fut, self->value);
    }
    deadline_release(self);
    return result;
}

static void
deadline_drop(ou_job *job)
{
    deadline_release(deadline_of(job));
}

static void
deadline_hold(ou_job *job)
{
    Py_INCREF(deadline_of(job));
}

static int
deadline_visit(ou_job *job, void *visitor)
{
    visitproc visit = ((ouro_visitor *)visitor)->visit;
    void *arg = ((ouro_visitor *)visitor)->arg;
    Py_VISIT(deadline_of(job)->fut);
    Py_VISIT(deadline_of(job)->value);
    return 0;
}

static void
deadline_approach(const ou_job *job)
{
    const FutureObject *fut =
        OURO_CONTAINER_OF(job, const DeadlineObject, job)->fut;
    __builtin_prefetch(fut);
    __builtin_prefetch(&fut->state);
}

static const ou_job_kind deadline_job = {
    .approach = deadline_approach,
    .run = deadline_run,
    .drop = deadline_drop,
    .hold = deadline_hold,
    .visit = deadline_visit,
};

/* ---- the object -------------------------------------------------------- */

static void
deadline_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot deadline_slots[] = {
    {Py_tp_doc, "A timer of the engine that completes a future."},
    {Py_tp_dealloc, deadline_dealloc},
    {0, NULL},
};

static PyType_Spec deadline_spec = {
    .name = "ouro._ouro.Deadline",
    .basicsize = sizeof(DeadlineObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = deadline_slots,
};

/* ---- starting and cancelling ------------------------------------------- */

static PyObject *
start_timer(ouro_state *st, PyObject *loop, double delay, PyObject *fut,
            PyObject *value)
{
    DeadlineObject *self = PyObject_New(DeadlineObject, st->types.Deadline);
    if (self == NULL) {
        return NULL;
    }
    ou_loop *engine = ouro_loop_engine(loop);
    ou_job_init(&self->job, &deadline_job);
    ou_timer_init(&self->timer, &self->job);
    if (ou_timer_start(&engine->timers, &self->timer,
                       ou_loop_now(engine) + delay)
        < 0) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->engine = engine;
    self->fut = (FutureObject *)Py_NewRef(fut);
    self->value = Py_NewRef(value != NULL ? value : Py_None);
    return Py_NewRef((PyObject *)self); /* one reference is the engine's */
}

static PyObject *
call_later(ouro_state *st, PyObject *loop, PyObject *delay, PyObject *fut,
           PyObject *value, PyObject *module, PyObject *name)
{
    PyObject *callback = PyObject_GetAttr(module, name);
    if (callback == NULL) {
        return NULL;
    }
    PyObject *args[] = {loop, delay, callback, fut, value};
    PyObject *handle = PyObject_VectorcallMethod(st->str.call_later, args,
                                                 value != NULL ? 5 : 4, NULL);
    Py_DECREF(callback);
    return handle;
}

PyObject *
ouro_deadline_start(ouro_state *st, PyObject *loop, PyObject *delay,
                    PyObject *fut, PyObject *value, PyObject *module,
                    PyObject *callback)
{
    bool number = PyFloat_CheckExact(delay) || PyLong_CheckExact(delay);
    if (!number || !ouro_loop_fast(st, loop)
        || Py_TYPE(fut) != st->types.Future) {
        return call_later(st, loop, delay, fut, value, module, callback);
    }
    double seconds = PyFloat_AsDouble(delay);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    return start_timer(st, loop, seconds, fut, value);
}

int
ouro_deadline_cancel(ouro_state *st, PyObject *deadline)
{
    if (deadline == NULL) {
        return 0;
    }
    if (Py_TYPE(deadline) == st->types.Deadline) {
        DeadlineObject *self = (DeadlineObject *)deadline;
        if (self->engine != NULL
            && ou_timer_stop(&self->engine->timers, &self->timer)) {
            deadline_release(self);
        }
        return 0;
    }
    return ouro_drop_result(
        PyObject_CallMethodNoArgs(deadline, st->str.cancel));
}

int
ouro_deadline_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &deadline_spec, NULL, false,
                         &st->types.Deadline);
}
