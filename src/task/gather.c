/* gather.c - asyncio.gather() and the future that it returns.
 *
 * The outer future has one slot for each distinct child: a waiter queued in
 * the child, and no closure.
 */
#include "base/args.h"
#include "base/rooms.h"
#include "task/future_impl.h"
#include "task/registry.h"
#include "task/slot.h"
#include "task/task.h"

typedef struct GatherObject {
    FutureObject fut;
    PyObject *children; /* list of futures, in the order of the arguments */
    ouro_slots slots;
    Py_ssize_t finished;
    PyObject *task; /* whose call it was (3.14+), or NULL */
    bool complete;  /* gather() itself has succeeded */
    bool return_exceptions;
    bool cancel_requested;
} GatherObject;

/* ---- a child is done --------------------------------------------------- */

static PyObject *
make_cancelled_error(ouro_state *st, PyObject *child)
{
    if (ouro_future_exact(st, child)) {
        return ouro_future_cancelled_error(st, (FutureObject *)child);
    }
    return PyObject_CallMethodNoArgs(child, st->str._make_cancelled_error);
}

static int
set_exception_of(ouro_state *st, GatherObject *outer, PyObject *exception)
{
    if (exception == NULL) {
        return -1;
    }
    int result = ouro_future_set_exception(&outer->fut, exception);
    Py_DECREF(exception);
    return result;
}

/* CancelledError(message) of a cancelled child, as a result. */
static PyObject *
cancellation_as_result(ouro_state *st, PyObject *child)
{
    PyObject *message = PyObject_GetAttr(child, st->str._cancel_message);
    if (message == Py_None) {
        Py_SETREF(message, PyUnicode_FromString(""));
    }
    if (message == NULL) {
        return NULL;
    }
    PyObject *error = PyObject_CallOneArg(st->stock.CancelledError, message);
    Py_DECREF(message);
    return error;
}

static PyObject *
child_outcome(ouro_state *st, PyObject *child)
{
    int cancelled = ouro_anyfuture_cancelled(st, child);
    if (cancelled != 0) {
        return cancelled < 0 ? NULL : cancellation_as_result(st, child);
    }
    FutureObject *ours = (FutureObject *)child;
    if (ouro_future_exact(st, child) && ours->state == FUTURE_FINISHED
        && !ours->failed) {
        return Py_NewRef(ours->result);
    }
    PyObject *outcome = ouro_anyfuture_exception(st, child);
    if (outcome == Py_None) {
        Py_SETREF(outcome, ouro_anyfuture_result(st, child));
    }
    return outcome;
}

/* What the children, a tuple, have come to: a new list. */
static PyObject *
outcomes_of(ouro_state *st, PyObject *children)
{
    Py_ssize_t count = PyTuple_GET_SIZE(children);
    PyObject *results = PyList_New(count);
    for (Py_ssize_t i = 0; results != NULL && i < count; i++) {
        PyObject *outcome = child_outcome(st, PyTuple_GET_ITEM(children, i));
        if (outcome == NULL) {
            Py_CLEAR(results);
            break;
        }
        PyList_SET_ITEM(results, i, outcome);
    }
    return results;
}

/* All children are done: hand out the results, or the cancellation, which is
 * that of the last in the order of the arguments. */
static int
gather_finish(ouro_state *st, GatherObject *outer)
{
    /* Asking them may run Python, which can reach the list. */
    PyObject *children = PyList_AsTuple(outer->children);
    if (children == NULL) {
        return -1;
    }
    int result = -1;
    Py_ssize_t count = PyTuple_GET_SIZE(children);
    PyObject *results = outcomes_of(st, children);
    if (results != NULL && outer->cancel_requested && count > 0) {
        PyObject *last = PyTuple_GET_ITEM(children, count - 1);
        result = set_exception_of(st, outer, make_cancelled_error(st, last));
    }
    else if (results != NULL) {
        result = ouro_future_set_result(&outer->fut, results);
    }
    Py_XDECREF(results);
    Py_DECREF(children);
    return result;
}

/* Without return_exceptions the first failure is the outcome: 1 if child has
 * failed, 0, -1. */
static int
pass_failure_on(ouro_state *st, GatherObject *outer, PyObject *child)
{
    FutureObject *ours = (FutureObject *)child;
    if (ouro_future_exact(st, child) && ours->state == FUTURE_FINISHED
        && !ours->failed) {
        return 0;
    }
    int cancelled = ouro_anyfuture_cancelled(st, child);
    if (cancelled < 0) {
        return -1;
    }
    PyObject *exception = cancelled ? make_cancelled_error(st, child)
                                    : ouro_anyfuture_exception(st, child);
    if (exception == Py_None) {
        Py_DECREF(exception);
        return 0;
    }
    return set_exception_of(st, outer, exception) < 0 ? -1 : 1;
}

static int
child_done(ouro_state *st, ouro_slot *slot)
{
    GatherObject *outer = (GatherObject *)slot->owner;
    PyObject *child = slot->fut;
    outer->finished++;
    if (!outer->complete || outer->fut.state != FUTURE_PENDING) {
        /* Nobody waits any more: mark the exception as retrieved. */
        int cancelled = ouro_anyfuture_cancelled(st, child);
        if (cancelled != 0) {
            return cancelled < 0 ? -1 : 0;
        }
        PyObject *exception = ouro_anyfuture_exception(st, child);
        Py_XDECREF(exception);
        return exception == NULL ? -1 : 0;
    }
    if (!outer->return_exceptions) {
        int failed = pass_failure_on(st, outer, child);
        if (failed != 0) {
            return failed < 0 ? -1 : 0;
        }
    }
    return outer->finished == outer->slots.count ? gather_finish(st, outer)
                                                 : 0;
}

/* ---- the slots --------------------------------------------------------- */

/* For want of memory the whole of it ends. */
static int
slot_done(ouro_state *st, ouro_slot *slot)
{
    GatherObject *outer = (GatherObject *)slot->owner;
    int result = child_done(st, slot);
    return result < 0 && outer->complete
                   && ouro_future_end_for_want(st, (PyObject *)outer)
               ? 0
               : result;
}

static int
slot_run(ou_job *job)
{
    return ouro_slot_run(job, slot_done);
}

static PyObject *
slot_awaiter(ou_job *job)
{
    GatherObject *outer = (GatherObject *)ouro_slot_of(job)->owner;
    return outer->fut.state == FUTURE_PENDING ? outer->task : NULL;
}

static const waiter_kind gather_waiter = {
    .job = {OURO_SLOT_JOB, .run = slot_run},
    .qualname = "gather.<locals>._done_callback",
    .awaiter = slot_awaiter,
};

/* ---- the outer future -------------------------------------------------- */

static int
gather_traverse(PyObject *self, visitproc visit, void *arg)
{
    GatherObject *outer = (GatherObject *)self;
    Py_VISIT(outer->children);
    Py_VISIT(outer->task);
    int result = ouro_slots_traverse(&outer->slots, visit, arg);
    return result != 0 ? result : ouro_future_traverse(self, visit, arg);
}

static int
gather_clear(PyObject *self)
{
    Py_CLEAR(((GatherObject *)self)->children);
    Py_CLEAR(((GatherObject *)self)->task);
    return ouro_future_clear(self);
}

static void
gather_dealloc(PyObject *self)
{
    GatherObject *outer = (GatherObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, gather_dealloc);
    if (outer->fut.weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    gather_clear(self);
    ouro_slots_free(&outer->slots);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END;
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /, msg=None)\n--\n\n\
Cancel all children.  Returns whether any of them could be cancelled.");

static PyObject *
gather_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    GatherObject *outer = (GatherObject *)self;
    ouro_state *st = ouro_state_of(self);
    PyObject *message;
    if (ouro_parse_cancel(args, nargs, kwnames, &message) < 0) {
        return NULL;
    }
    if (outer->fut.state != FUTURE_PENDING || outer->children == NULL) {
        Py_RETURN_FALSE;
    }
    bool any = false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(outer->children); i++) {
        PyObject *child = Py_NewRef(PyList_GET_ITEM(outer->children, i));
        int cancelled = ouro_anyfuture_cancel(
            st, child, message != NULL ? message : Py_None);
        Py_DECREF(child);
        if (cancelled < 0) {
            return NULL;
        }
        any |= cancelled;
    }
    if (any) {
        outer->cancel_requested = true;
    }
    return PyBool_FromLong(any);
}

static PyMethodDef gather_methods[] = {
    OURO_METHOD("cancel", gather_cancel, cancel_doc),
    {NULL},
};

static PyMemberDef gather_members[] = {
    {"_children", T_OBJECT, offsetof(GatherObject, children), READONLY, NULL},
    {"_cancel_requested", T_BOOL, offsetof(GatherObject, cancel_requested), 0,
     NULL},
    {NULL},
};

PyDoc_STRVAR(gather_type_doc, "Helper for gather().\n\n\
This overrides cancel() to cancel all the children and act more like\n\
Task.cancel(), which doesn't immediately mark itself as cancelled.");

static PyType_Slot gather_slots[] = {
    {Py_tp_doc, (void *)gather_type_doc},
    {Py_tp_dealloc, gather_dealloc},
    {Py_tp_traverse, gather_traverse},
    {Py_tp_clear, gather_clear},
    {Py_tp_methods, gather_methods},
    {Py_tp_members, gather_members},
    {0, NULL},
};

static PyType_Spec gather_spec = {
    .name = "ouro._GatheringFuture",
    .basicsize = sizeof(GatherObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = gather_slots,
};

/* ---- gather() ---------------------------------------------------------- */

/* gather() of nothing: a future that is done. */
static PyObject *
gather_nothing(ouro_state *st)
{
    PyObject *loop = ouro_event_loop(st);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *outer = ouro_create_future(st, loop);
    Py_DECREF(loop);
    PyObject *empty = PyList_New(0);
    if (outer == NULL || empty == NULL
        || ouro_anyfuture_set_result(st, outer, empty) < 0) {
        Py_CLEAR(outer);
    }
    Py_XDECREF(empty);
    return outer;
}

static GatherObject *
gather_alloc(ouro_state *st, Py_ssize_t count, bool return_exceptions)
{
    PyTypeObject *type = st->types.GatheringFuture;
    GatherObject *outer = (GatherObject *)type->tp_alloc(type, 0);
    if (outer == NULL) {
        return NULL;
    }
    outer->return_exceptions = return_exceptions;
    outer->children = PyList_New(0);
    if (outer->children == NULL
        || ouro_slots_allocate(&outer->slots, count) < 0) {
        Py_DECREF(outer);
        return NULL;
    }
    return outer;
}

/* The caller cannot control a task that was made for it here. */
static int
disable_destroy_warning(ouro_state *st, PyObject *fut)
{
    if (ouro_task_exact(st, fut)) {
        ((TaskObject *)fut)->fut.log_destroy_pending = false;
        return 0;
    }
    return PyObject_SetAttr(fut, st->str._log_destroy_pending, Py_False);
}

/* The future for one argument, and a slot in it. A new reference. */
static PyObject *
add_child(ouro_state *st, GatherObject *outer, PyObject *arg, PyObject **loop)
{
    PyObject *fut = ouro_ensure_future(st, arg, *loop);
    if (fut == NULL) {
        return NULL;
    }
    if (*loop == NULL && (*loop = ouro_anyfuture_loop(st, fut)) == NULL) {
        goto error;
    }
    if (fut != arg && disable_destroy_warning(st, fut) < 0) {
        goto error;
    }
    ouro_slot *slot =
        ouro_slots_add(&outer->slots, &gather_waiter, (PyObject *)outer, fut);
    int done =
        st->has.gather_finishes_at_once ? ouro_anyfuture_done(st, fut) : 0;
    if (done < 0 || (!done && ouro_slot_watch(st, slot) < 0)) {
        goto error;
    }
    return fut;
error:
    Py_DECREF(fut);
    return NULL;
}

/* Every argument's future into outer->children; equal arguments share one. */
static int
add_children(ouro_state *st, GatherObject *outer, PyObject *const *args,
             Py_ssize_t nargs, PyObject **loop)
{
    PyObject *seen = PyDict_New();
    if (seen == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < nargs; i++) {
        PyObject *fut;
        result = PyDict_GetItemRef(seen, args[i], &fut);
        if (result == 0) {
            fut = add_child(st, outer, args[i], loop);
            result = fut == NULL ? -1 : PyDict_SetItem(seen, args[i], fut);
        }
        if (result >= 0) {
            result = PyList_Append(outer->children, fut);
        }
        Py_XDECREF(fut);
    }
    Py_DECREF(seen);
    return result;
}

/* Children that were done at the start are not watched: settle them now. */
static int
settle_done_children(ouro_state *st, GatherObject *outer)
{
    for (Py_ssize_t i = 0; i < outer->slots.count; i++) {
        ouro_slot *slot = &outer->slots.array[i];
        if (!slot->pending && child_done(st, slot) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
gather_all(ouro_state *st, PyObject *const *args, Py_ssize_t nargs,
           bool return_exceptions)
{
    GatherObject *outer = gather_alloc(st, nargs, return_exceptions);
    if (outer == NULL) {
        return NULL;
    }
    PyObject *loop = NULL;
    int result = ouro_awaiting_task(st, &outer->task);
    if (result == 0 && st->has.task.gather_on_running_loop) {
        result = ouro_running_loop_or_null(st, &loop);
    }
    if (result == 0) {
        result = add_children(st, outer, args, nargs, &loop);
    }
    if (result == 0) {
        if (ouro_loop_fast(st, loop)) {
            outer->fut.loop = Py_NewRef(loop);
        }
        else {
            result = ouro_future_init(st, &outer->fut, loop);
        }
    }
    Py_XDECREF(loop);
    if (result == 0) {
        outer->complete = true;
        if (st->has.gather_finishes_at_once) {
            result = settle_done_children(st, outer);
        }
    }
    if (result < 0) {
        Py_CLEAR(outer);
    }
    return (PyObject *)outer;
}

PyDoc_STRVAR(gather_doc,
"gather(*coros_or_futures, return_exceptions=False)\n--\n\n\
Return a future aggregating results from the given coroutines/futures.\n\n\
Coroutines will be wrapped in a future and scheduled in the event\n\
loop. They will not necessarily be scheduled in the same order as\n\
passed in.\n\n\
All futures must share the same event loop.  If all the tasks are\n\
done successfully, the returned future's result is the list of\n\
results (in the order of the original sequence, not necessarily\n\
the order of results arrival).  If *return_exceptions* is True,\n\
exceptions in the tasks are treated the same as successful\n\
results, and gathered in the result list; otherwise, the first\n\
raised exception will be immediately propagated to the returned\n\
future.\n\n\
Cancellation: if the outer Future is cancelled, all children (that\n\
have not completed yet) are also cancelled.  If any child is\n\
cancelled, this is treated as if it raised CancelledError --\n\
the outer Future is *not* cancelled in this case.  (This is to\n\
prevent the cancellation of one child to cause other children to\n\
be cancelled.)");

/* *args take any number, so only the keyword is parsed. */
static const ouro_signature gather_signature = {
    .qualname = "gather",
    .names = {"return_exceptions", NULL},
};

static PyObject *
gather(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
       PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *given;
    if (ouro_parse(&gather_signature, args + nargs, 0, kwnames, &given) < 0) {
        return NULL;
    }
    if (nargs == 0) {
        return gather_nothing(st);
    }
    int return_exceptions = given == NULL ? 0 : PyObject_IsTrue(given);
    if (return_exceptions < 0) {
        return NULL;
    }
    return gather_all(st, args, nargs, return_exceptions);
}

static PyMethodDef gather_functions[] = {
    OURO_METHOD("gather", gather, gather_doc),
    {NULL},
};

int
ouro_gather_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &gather_spec, (PyObject *)st->types.Future, true,
                      &st->types.GatheringFuture)
        < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, gather_functions);
}
