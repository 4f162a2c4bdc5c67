/* chain.c - one future follows another, across threads and loops.
 *
 * A Chain watches both: source, to hand its outcome over in the thread of
 * destination's loop, and destination, to cancel source.  For a future of
 * concurrent.futures there is no loop: its callbacks come in any thread, and
 * it is set from any thread.
 */
#include "task/chain.h"

#include "base/args.h"
#include "base/rooms.h"
#include "task/copystate.h"
#include "task/registry.h"

typedef struct ChainObject {
    PyObject_HEAD
    ou_job source_done;
    ou_job destination_done;
    ou_job deliver; /* posted to destination's loop */
    PyObject *source;
    PyObject *destination;
    PyObject *source_loop; /* NULL: a concurrent future */
    PyObject *destination_loop;
} ChainObject;

/* May a future of `loop` be changed right here?  Up to 3.13 if both are of
 * one loop, later if that loop runs in this thread. 1, 0, -1. */
static int
is_here(ouro_state *st, PyObject *loop, PyObject *other)
{
    if (loop == NULL) {
        return 1;
    }
    if (!st->has.task.chain_asks_running_loop) {
        return loop == other;
    }
    PyObject *running;
    if (ouro_running_loop_or_null(st, &running) < 0) {
        return -1;
    }
    Py_XDECREF(running);
    return running == loop;
}

static int
is_closed(ouro_state *st, PyObject *loop)
{
    if (ouro_loop_fast(st, loop)) {
        return 0;
    }
    return ouro_truth_of(PyObject_CallMethodNoArgs(loop, st->str.is_closed));
}

/* Futures of other kinds call their callbacks at once: before that, no task
 * is the current one. */
static int
leave_task(ouro_state *st, PyObject *loop)
{
    return loop != NULL && ouro_loop_check(st, loop)
               ? ouro_leave_task_fast((LoopCore *)loop)
               : 0;
}

static int
call_soon_threadsafe(ouro_state *st, PyObject *const *args, size_t nargs)
{
    return ouro_drop_result(PyObject_VectorcallMethod(
        st->str.call_soon_threadsafe, args, nargs, NULL));
}

/* ---- destination is done: was it cancelled? ---------------------------- */

static int
cancel_source(ouro_state *st, ChainObject *self)
{
    int cancelled = ouro_anyfuture_cancelled(st, self->destination);
    if (cancelled <= 0) {
        return cancelled;
    }
    int here = is_here(st, self->source_loop, self->destination_loop);
    if (here != 0) {
        return here < 0 || ouro_anyfuture_cancel(st, self->source, NULL) < 0
                   ? -1
                   : 0;
    }
    PyObject *cancel = PyObject_GetAttr(self->source, st->str.cancel);
    if (cancel == NULL) {
        return -1;
    }
    PyObject *args[] = {self->source_loop, cancel};
    int result = call_soon_threadsafe(st, args, 2);
    Py_DECREF(cancel);
    return result;
}

static int
destination_run(ou_job *job)
{
    ChainObject *self = OURO_CONTAINER_OF(job, ChainObject, destination_done);
    ouro_state *st = ouro_state_of((PyObject *)self);
    int result = leave_task(st, self->destination_loop);
    if (result == 0) {
        result = cancel_source(st, self);
    }
    if (result < 0) {
        result = ouro_waiter_failed(st, self->destination, job);
    }
    Py_DECREF(self);
    return result;
}

static const waiter_kind destination_waiter = {
    .job =
        {
            OURO_OBJECT_JOB(ChainObject, destination_done),
            .run = destination_run,
        },
    .qualname = "_chain_future.<locals>._call_check_cancel",
};

/* ---- in destination's thread: hand the outcome over -------------------- */

static int
set_state(ouro_state *st, ChainObject *self)
{
    return self->destination_loop != NULL
               ? ouro_copy_future_state(st, self->source, self->destination)
               : ouro_set_concurrent_state(st, self->destination,
                                           self->source);
}

static int
deliver_run(ou_job *job)
{
    ChainObject *self = OURO_CONTAINER_OF(job, ChainObject, deliver);
    ouro_state *st = ouro_state_of((PyObject *)self);
    int result = leave_task(st, self->destination_loop);
    if (result == 0) {
        result = set_state(st, self);
    }
    if (result < 0) {
        result = ouro_waiter_failed(st, self->destination, job);
    }
    Py_DECREF(self);
    return result;
}

static const waiter_kind deliver_waiter = {
    .job =
        {
            OURO_OBJECT_JOB(ChainObject, deliver),
            .run = deliver_run,
        },
    .qualname = "_chain_future.<locals>._set_state",
};

/* ---- source is done ---------------------------------------------------- */

static int
deliver_by_method(ouro_state *st, ChainObject *self)
{
    PyObject *callable = ouro_waiter_callable(st, &self->deliver);
    if (callable == NULL) {
        return -1;
    }
    PyObject *args[] = {self->destination_loop, callable, self->destination,
                        self->source};
    int result = call_soon_threadsafe(st, args, 4);
    Py_DECREF(callable);
    return result;
}

static int
deliver_elsewhere(ouro_state *st, ChainObject *self)
{
    PyObject *loop = self->destination_loop;
    int closed = is_closed(st, loop);
    if (closed != 0) {
        return closed < 0 ? -1 : 0;
    }
    if (!ouro_loop_fast(st, loop) || ou_job_queued(&self->deliver)) {
        return deliver_by_method(st, self);
    }
    Py_INCREF(self); /* the queue's reference */
    ((LoopCore *)loop)->ops->post(loop, &self->deliver);
    return 0;
}

static int
pass_on(ouro_state *st, ChainObject *self)
{
    if (self->destination_loop != NULL) {
        int gone = ouro_anyfuture_cancelled(st, self->destination);
        if (gone > 0) {
            gone = is_closed(st, self->destination_loop);
        }
        if (gone != 0) {
            return gone < 0 ? -1 : 0;
        }
    }
    int here = is_here(st, self->destination_loop, self->source_loop);
    if (here < 0) {
        return -1;
    }
    return here ? set_state(st, self) : deliver_elsewhere(st, self);
}

static int
source_run(ou_job *job)
{
    ChainObject *self = OURO_CONTAINER_OF(job, ChainObject, source_done);
    ouro_state *st = ouro_state_of((PyObject *)self);
    int result = leave_task(st, self->source_loop);
    if (result == 0) {
        result = pass_on(st, self);
    }
    if (result < 0) {
        result = ouro_waiter_failed(st, self->source, job);
    }
    Py_DECREF(self);
    return result;
}

static const waiter_kind source_waiter = {
    .job =
        {
            OURO_OBJECT_JOB(ChainObject, source_done),
            .run = source_run,
        },
    .qualname = "_chain_future.<locals>._call_set_state",
};

/* ---- the object -------------------------------------------------------- */

static int
chain_traverse(PyObject *self, visitproc visit, void *arg)
{
    ChainObject *chain = (ChainObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(chain->source);
    Py_VISIT(chain->destination);
    Py_VISIT(chain->source_loop);
    Py_VISIT(chain->destination_loop);
    return 0;
}

/* The futures stay while a job may be run; cycles are broken at them. */
static void
chain_dealloc(PyObject *self)
{
    ChainObject *chain = (ChainObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(chain->source);
    Py_CLEAR(chain->destination);
    Py_CLEAR(chain->source_loop);
    Py_CLEAR(chain->destination_loop);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot chain_slots[] = {
    {Py_tp_doc, "What connects two chained futures."},
    {Py_tp_traverse, chain_traverse},
    {Py_tp_dealloc, chain_dealloc},
    {0, NULL},
};

static PyType_Spec chain_spec = {
    .name = "ouro._ouro.Chain",
    .basicsize = sizeof(ChainObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = chain_slots,
};

/* futures._get_loop() of asyncio's futures, NULL of concurrent ones; else
 * the TypeError. */
static int
loop_of(ouro_state *st, PyObject *future, const char *what, PyObject **ret)
{
    int asyncios = ouro_isfuture(st, future);
    if (asyncios > 0) {
        *ret = ouro_anyfuture_loop(st, future);
        return *ret == NULL ? -1 : 0;
    }
    int concurrent =
        asyncios < 0
            ? -1
            : PyObject_IsInstance(future, st->stock.concurrent_Future);
    if (concurrent == 0) {
        PyErr_Format(PyExc_TypeError, "A future is required for %s argument",
                     what);
    }
    return concurrent > 0 ? 0 : -1;
}

static ChainObject *
chain_new(ouro_state *st, PyObject *source, PyObject *destination)
{
    PyTypeObject *type = st->types.Chain;
    ChainObject *self = (ChainObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    ou_job_init(&self->source_done, &source_waiter.job);
    ou_job_init(&self->destination_done, &destination_waiter.job);
    ou_job_init(&self->deliver, &deliver_waiter.job);
    self->source = Py_NewRef(source);
    self->destination = Py_NewRef(destination);
    if (loop_of(st, source, "source", &self->source_loop) < 0
        || loop_of(st, destination, "destination", &self->destination_loop)
               < 0) {
        Py_CLEAR(self);
    }
    return self;
}

int
ouro_chain_future(ouro_state *st, PyObject *source, PyObject *destination)
{
    ChainObject *self = chain_new(st, source, destination);
    if (self == NULL) {
        return -1;
    }
    Py_INCREF(self); /* the queue's reference */
    int result = ouro_watch(st, destination, &self->destination_done);
    if (result == 0) {
        Py_INCREF(self);
        result = ouro_watch(st, source, &self->source_done);
    }
    Py_DECREF(self);
    return result;
}

static int
check_concurrent(ouro_state *st, PyObject *future)
{
    int truth = PyObject_IsInstance(future, st->stock.concurrent_Future);
    if (truth == 0) {
        PyErr_Format(PyExc_AssertionError,
                     "concurrent.futures.Future is expected, got %R", future);
    }
    return truth > 0 ? 0 : -1;
}

/* asyncio.wrap_future(future, loop=loop): a new reference.  loop may be
 * NULL. */
static PyObject *
wrap(ouro_state *st, PyObject *future, PyObject *loop)
{
    int asyncios = ouro_isfuture(st, future);
    if (asyncios != 0) {
        return asyncios < 0 ? NULL : Py_NewRef(future);
    }
    if (check_concurrent(st, future) < 0) {
        return NULL;
    }
    loop = loop == NULL ? ouro_event_loop(st) : Py_NewRef(loop);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *wrapper = ouro_create_future(st, loop);
    Py_DECREF(loop);
    if (wrapper != NULL && ouro_chain_future(st, future, wrapper) < 0) {
        Py_CLEAR(wrapper);
    }
    return wrapper;
}

/* ---- module functions -------------------------------------------------- */

PyDoc_STRVAR(chain_future_doc,
"_chain_future(source, destination)\n--\n\n\
Chain two futures so that when one completes, so does the other.\n\n\
The result (or exception) of source will be copied to destination.\n\
If destination is cancelled, source gets cancelled too.\n\
Compatible with both asyncio.Future and concurrent.futures.Future.");

static PyObject *
chain_future(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_chain_future",
        .positional = 2,
        .required = 2,
        .names = {"source", "destination", NULL},
    };
    PyObject *given[2];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0
        || ouro_chain_future(ouro_module_state(module), given[0], given[1])
               < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wrap_future_doc, "wrap_future(future, *, loop=None)\n--\n\n\
Wrap concurrent.futures.Future object.\n\n\
Returns a future of asyncio's with the same outcome; a future of asyncio's\n\
is returned as it is.");

static PyObject *
wrap_future(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "wrap_future",
        .positional = 1,
        .required = 1,
        .names = {"future", "loop", NULL},
    };
    PyObject *given[2];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    return wrap(ouro_module_state(module), given[0],
                given[1] == Py_None ? NULL : given[1]);
}

static PyMethodDef chain_functions[] = {
    OURO_METHOD("_chain_future", chain_future, chain_future_doc),
    OURO_METHOD("wrap_future", wrap_future, wrap_future_doc),
    {NULL},
};

int
ouro_chain_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &chain_spec, NULL, false, &st->types.Chain)
        < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, chain_functions);
}
