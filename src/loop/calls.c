/* calls.c - a function call on its way into a thread and back.
 *
 * One object and one job serve both ways: first in the queue of the pool, then
 * in the inbox of the loop.  Whether the call may still be cancelled is decided
 * by the thread that is about to make it, with the interpreter's lock held: so
 * the object needs no lock of its own.
 */
#include "loop/loop.h"
#include "loop/workers.h"

#include "task/copystate.h"
#include "task/future.h"
#include "task/registry.h"

typedef struct CallObject {
    PyObject_HEAD
    ou_job job;
    PyObject *loop; /* the future's */
    PyObject *future;
    PyObject *func;
    PyObject *args;
    PyObject *kwargs;  /* or NULL */
    PyObject *context; /* or NULL */
    PyObject *result;  /* or NULL, and then: */
    PyObject *error;
} CallObject;

static CallObject *
call_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, CallObject, job);
}

/* ---- in the loop: hand the result over --------------------------------- */

static int
set_outcome(ouro_state *st, CallObject *self)
{
    FutureObject *future = (FutureObject *)self->future;
    if (future->state == FUTURE_CANCELLED) {
        return 0;
    }
    if (future->state != FUTURE_PENDING) {
        PyErr_SetNone(PyExc_AssertionError);
        return -1;
    }
    if (self->result != NULL) {
        return ouro_future_set_result_now(future, self->result);
    }
    PyObject *error = ouro_convert_exception(st, self->error);
    if (error == NULL) {
        return -1;
    }
    int result = ouro_future_set_exception(future, error);
    Py_DECREF(error);
    return result;
}

static int
call_deliver(ou_job *job)
{
    CallObject *self = call_of(job);
    ouro_state *st = ouro_state_of((PyObject *)self);
    PyObject *loop = ((FutureObject *)self->future)->loop;
    if (((LoopObject *)self->loop)->workers != NULL) {
        ouro_workers_delivered(((LoopObject *)self->loop)->workers);
    }
    int result =
        ouro_loop_check(st, loop) ? ouro_leave_task_fast((LoopCore *)loop) : 0;
    if (result == 0) {
        result = set_outcome(st, self);
    }
    if (result < 0) {
        result = ouro_waiter_failed(st, self->future, job);
    }
    Py_DECREF(self);
    return result;
}

static const waiter_kind call_job = {
    .job =
        {
            OURO_OBJECT_JOB(CallObject, job),
            .run = call_deliver,
        },
    .qualname = "_chain_future.<locals>._set_state",
};

/* ---- in the thread ----------------------------------------------------- */

/* What was needed for the call alone is freed here. */
static void
forget_call(CallObject *self)
{
    Py_CLEAR(self->func);
    Py_CLEAR(self->args);
    Py_CLEAR(self->kwargs);
    Py_CLEAR(self->context);
}

static PyObject *
call_in_context(CallObject *self)
{
    if (self->context == NULL) {
        return PyObject_Call(self->func, self->args, self->kwargs);
    }
    if (PyContext_Enter(self->context) < 0) {
        return NULL;
    }
    PyObject *result = PyObject_Call(self->func, self->args, self->kwargs);
    PyObject *error = PyErr_GetRaisedException();
    if (PyContext_Exit(self->context) < 0) {
        Py_XDECREF(error);
        Py_CLEAR(result);
        return NULL;
    }
    PyErr_SetRaisedException(error);
    return result;
}

/* loop.call_soon_threadsafe(_set_state, future) */
static int
deliver_by_method(ouro_state *st, CallObject *self, PyObject *loop)
{
    PyObject *callable = ouro_waiter_callable(st, &self->job);
    if (callable == NULL) {
        return -1;
    }
    PyObject *args[] = {loop, callable, self->future};
    PyObject *handle =
        PyObject_VectorcallMethod(st->str.call_soon_threadsafe, args, 3, NULL);
    Py_DECREF(callable);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* Hand the result over by the loop's methods, if the loop is not fast.  False:
 * it has still to be posted as a job, also where there was no memory to do it
 * by methods: a job needs none. */
static bool
delivered_by_method(ouro_state *st, CallObject *self, PyObject *loop)
{
    if (ouro_loop_fast(st, loop)) {
        return false;
    }
    if (deliver_by_method(st, self, loop) == 0) {
        return true;
    }
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        return false;
    }
    PyErr_WriteUnraisable(self->future);
    return true;
}

ou_inbox *
ouro_call_inbox(ou_job *job)
{
    return &ouro_loop_engine(call_of(job)->loop)->inbox;
}

PyObject *
ouro_call_run(ouro_state *st, ou_job *job)
{
    CallObject *self = call_of(job);
    FutureObject *future = (FutureObject *)self->future;
    if (future->state != FUTURE_CANCELLED) {
        self->result = call_in_context(self);
        self->error = self->result == NULL ? PyErr_GetRaisedException() : NULL;
    }
    forget_call(self);
    PyObject *loop = Py_XNewRef(future->loop);
    if (loop != NULL && future->state != FUTURE_CANCELLED
        && !((LoopObject *)loop)->closed) {
        bool delivered = delivered_by_method(st, self, loop);
        /* (That may have run Python code, which has closed the loop.) */
        if (!delivered && !((LoopObject *)loop)->closed) {
            ou_inbox_enter(&ouro_loop_engine(loop)->inbox);
            return loop;
        }
    }
    Py_DECREF(self);
    Py_XDECREF(loop);
    return NULL;
}

/* ---- the type ---------------------------------------------------------- */

ou_job *
ouro_call_new(ouro_state *st, PyObject *loop, PyObject *future, PyObject *func,
              PyObject *args, PyObject *kwargs, PyObject *context)
{
    PyTypeObject *type = st->types.Call;
    CallObject *self = (CallObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    ou_job_init(&self->job, &call_job.job);
    self->loop = Py_NewRef(loop);
    self->future = Py_NewRef(future);
    self->func = Py_NewRef(func);
    self->args = Py_NewRef(args);
    self->kwargs = Py_XNewRef(kwargs);
    self->context = Py_XNewRef(context);
    return &self->job;
}

static int
call_traverse(PyObject *op, visitproc visit, void *arg)
{
    CallObject *self = (CallObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->future);
    Py_VISIT(self->func);
    Py_VISIT(self->args);
    Py_VISIT(self->kwargs);
    Py_VISIT(self->context);
    Py_VISIT(self->result);
    Py_VISIT(self->error);
    return 0;
}

static void
call_dealloc(PyObject *op)
{
    CallObject *self = (CallObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    forget_call(self);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->future);
    Py_CLEAR(self->result);
    Py_CLEAR(self->error);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "A function call in another thread, and its result."},
    {Py_tp_traverse, call_traverse},
    {Py_tp_dealloc, call_dealloc},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "ouro._ouro.Call",
    .basicsize = sizeof(CallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};

int
ouro_calls_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &call_spec, NULL, false, &st->types.Call);
}
