/* shield.c - asyncio.shield(): an outer future that follows the inner one,
 * but whose cancellation does not reach it. */
#include "base/args.h"
#include "base/rooms.h"
#include "task/registry.h"
#include "task/task.h"

/* Watches both futures; each of the two jobs holds a reference. */
typedef struct ShieldObject {
    PyObject_HEAD
    ou_job inner_done;
    ou_job outer_done;
    PyObject *inner;
    PyObject *outer;
    PyObject *task; /* whose call it was (3.14+), or NULL */
} ShieldObject;

/* ---- the inner future is done ------------------------------------------ */

static int
retrieve_exception(ouro_state *st, PyObject *fut)
{
    return ouro_drop_result(ouro_anyfuture_exception(st, fut));
}

static int
copy_outcome(ouro_state *st, PyObject *inner, PyObject *outer)
{
    PyObject *exception = ouro_anyfuture_exception(st, inner);
    if (exception == NULL) {
        return -1;
    }
    int result = -1;
    if (exception != Py_None) {
        result = ouro_anyfuture_set_exception(st, outer, exception);
    }
    else {
        PyObject *value = ouro_anyfuture_result(st, inner);
        if (value != NULL) {
            result = ouro_anyfuture_set_result(st, outer, value);
            Py_DECREF(value);
        }
    }
    Py_DECREF(exception);
    return result;
}

static int
settle_outer(ouro_state *st, PyObject *inner, PyObject *outer)
{
    int outer_cancelled = ouro_anyfuture_cancelled(st, outer);
    int inner_cancelled =
        outer_cancelled < 0 ? -1 : ouro_anyfuture_cancelled(st, inner);
    if (inner_cancelled < 0) {
        return -1;
    }
    if (outer_cancelled) {
        return inner_cancelled || st->has.task.shield_forgets
                   ? 0
                   : retrieve_exception(st, inner);
    }
    if (inner_cancelled) {
        return ouro_anyfuture_cancel(st, outer, NULL) < 0 ? -1 : 0;
    }
    return copy_outcome(st, inner, outer);
}

static ShieldObject *
shield_of_inner(ou_job *job)
{
    return OURO_CONTAINER_OF(job, ShieldObject, inner_done);
}

static int
inner_run(ou_job *job)
{
    ShieldObject *self = shield_of_inner(job);
    ouro_state *st = ouro_state_of((PyObject *)self);
    int result = settle_outer(st, self->inner, self->outer);
    if (result < 0) {
        result = ouro_waiter_failed(st, self->inner, job);
    }
    Py_DECREF(self);
    return result;
}

static PyObject *
inner_awaiter(ou_job *job)
{
    return shield_of_inner(job)->task;
}

static const waiter_kind inner_waiter = {
    .job =
        {
            OURO_OBJECT_JOB(ShieldObject, inner_done),
            .run = inner_run,
        },
    .qualname = "shield.<locals>._inner_done_callback",
    .awaiter = inner_awaiter,
};

/* ---- the outer future is done ------------------------------------------ */

/* Nobody needs to hear of the inner one any more. */
static int
outer_run(ou_job *job)
{
    ShieldObject *self = OURO_CONTAINER_OF(job, ShieldObject, outer_done);
    ouro_state *st = ouro_state_of((PyObject *)self);
    int done = ouro_anyfuture_done(st, self->inner);
    int result = done < 0 ? -1 : 0;
    if (done == 0) {
        result = ouro_unwatch(st, self->inner, &self->inner_done);
    }
    if (result < 0) {
        result = ouro_waiter_failed(st, self->outer, job);
    }
    Py_DECREF(self);
    return result;
}

static const waiter_kind outer_waiter = {
    .job =
        {
            OURO_OBJECT_JOB(ShieldObject, outer_done),
            .run = outer_run,
        },
    .qualname = "shield.<locals>._outer_done_callback",
};

/* ---- the object -------------------------------------------------------- */

static int
shield_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((ShieldObject *)self)->inner);
    Py_VISIT(((ShieldObject *)self)->outer);
    Py_VISIT(((ShieldObject *)self)->task);
    return 0;
}

/* Both futures stay while a job may be run; cycles are broken at them. */
static void
shield_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((ShieldObject *)self)->inner);
    Py_CLEAR(((ShieldObject *)self)->outer);
    Py_CLEAR(((ShieldObject *)self)->task);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot shield_slots[] = {
    {Py_tp_doc, "What connects the two futures of a shield()."},
    {Py_tp_traverse, shield_traverse},
    {Py_tp_dealloc, shield_dealloc},
    {0, NULL},
};

static PyType_Spec shield_spec = {
    .name = "ouro._ouro.Shield",
    .basicsize = sizeof(ShieldObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = shield_slots,
};

static ShieldObject *
shield_new(ouro_state *st, PyObject *inner, PyObject *outer)
{
    ShieldObject *self = PyObject_GC_New(ShieldObject, st->types.Shield);
    if (self == NULL) {
        return NULL;
    }
    ou_job_init(&self->inner_done, &inner_waiter.job);
    ou_job_init(&self->outer_done, &outer_waiter.job);
    self->inner = Py_NewRef(inner);
    self->outer = Py_NewRef(outer);
    self->task = NULL;
    PyObject_GC_Track((PyObject *)self);
    if (ouro_awaiting_task(st, &self->task) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

/* A new outer future for a pending inner one. */
static PyObject *
shield_pending(ouro_state *st, PyObject *inner)
{
    PyObject *loop = ouro_anyfuture_loop(st, inner);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *outer = ouro_create_future(st, loop);
    Py_DECREF(loop);
    ShieldObject *self = outer == NULL ? NULL : shield_new(st, inner, outer);
    if (self == NULL) {
        Py_XDECREF(outer);
        return NULL;
    }
    Py_INCREF(self); /* the queues' references, one each */
    Py_INCREF(self);
    if (ouro_watch(st, inner, &self->inner_done) < 0) {
        Py_DECREF(self);
        Py_CLEAR(outer);
    }
    else if (ouro_watch(st, outer, &self->outer_done) < 0) {
        Py_CLEAR(outer);
    }
    Py_DECREF(self);
    return outer;
}

PyDoc_STRVAR(shield_doc, "shield(arg)\n--\n\n\
Wait for a future, shielding it from cancellation.\n\n\
The statement\n\n\
    task = asyncio.create_task(something())\n\
    res = await shield(task)\n\n\
is exactly equivalent to the statement\n\n\
    res = await something()\n\n\
*except* that if the coroutine containing it is cancelled, the\n\
task running in something() is not cancelled.  From the POV of\n\
something(), the cancellation did not happen.  But its caller is\n\
still cancelled, so the yield-from expression still raises\n\
CancelledError.  Note: If something() is cancelled by other means\n\
this will still cancel shield().");

static const ouro_signature shield_signature = {
    .qualname = "shield",
    .positional = 1,
    .required = 1,
    .names = {"arg", NULL},
};

static PyObject *
task_shield(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *arg;
    if (ouro_parse(&shield_signature, args, nargs, kwnames, &arg) < 0) {
        return NULL;
    }
    PyObject *inner = ouro_ensure_future(st, arg, NULL);
    if (inner == NULL) {
        return NULL;
    }
    int done = ouro_anyfuture_done(st, inner);
    if (done > 0) {
        return inner;
    }
    PyObject *outer = done < 0 ? NULL : shield_pending(st, inner);
    Py_DECREF(inner);
    return outer;
}

static PyMethodDef shield_functions[] = {
    OURO_METHOD("shield", task_shield, shield_doc),
    {NULL},
};

int
ouro_shield_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &shield_spec, NULL, false, &st->types.Shield)
        < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, shield_functions);
}
