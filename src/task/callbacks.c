/* callbacks.c - the ordered list of who waits for a future.
 *
 * Python callbacks are small nodes with a job; native waiters bring a job of
 * their own.  While the future is pending they queue in fut->callbacks; when
 * it is done they all move to the loop.
 */
#include "task/callbacks.h"

#include "task/future_impl.h"
#include "task/registry.h"

/* A Python callback of a future. */
typedef struct callback {
    ou_job job;
    PyObject *function;
    PyObject *context;
    PyObject *future; /* once scheduled; before, it would be a cycle */
} callback;

static const waiter_kind callback_kind;

static callback *
callback_new(PyObject *function, PyObject *context)
{
    callback *node = PyMem_Malloc(sizeof(callback));
    if (node == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    ou_job_init(&node->job, &callback_kind.job);
    node->function = Py_NewRef(function);
    node->context = Py_NewRef(context);
    node->future = NULL;
    return node;
}

static callback *
callback_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, callback, job);
}

static bool
is_callback(ou_job *job)
{
    return job->kind == &callback_kind.job;
}

static void
callback_drop(ou_job *job)
{
    callback *node = callback_of(job);
    Py_DECREF(node->function);
    Py_DECREF(node->context);
    Py_XDECREF(node->future);
    PyMem_Free(node);
}

static int
callback_visit(ou_job *job, void *visitor)
{
    callback *node = callback_of(job);
    visitproc visit = ((ouro_visitor *)visitor)->visit;
    void *arg = ((ouro_visitor *)visitor)->arg;
    Py_VISIT(node->function);
    Py_VISIT(node->context);
    Py_VISIT(node->future);
    return 0;
}

static int
callback_report(callback *node, LoopCore *loop)
{
    if (loop == NULL) {
        PyErr_WriteUnraisable(node->function);
        return 0;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *args = PyTuple_Pack(1, node->future);
    if (args == NULL) {
        Py_XDECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    int result = loop->ops->callback_failed((PyObject *)loop, node->function,
                                            args, node->context);
    Py_DECREF(args);
    return result;
}

static int
callback_run(ou_job *job)
{
    callback *node = callback_of(job);
    LoopCore *loop = ouro_future_host(ouro_state_of(node->future),
                                      (FutureObject *)node->future);
    int result = loop == NULL ? 0 : ouro_leave_task_fast(loop);
    PyObject *value = NULL;
    if (result == 0 && PyContext_Enter(node->context) == 0) {
        value = PyObject_CallOneArg(node->function, node->future);
        if (PyContext_Exit(node->context) < 0) {
            Py_CLEAR(value);
        }
    }
    if (value == NULL) {
        result = callback_report(node, loop);
    }
    Py_XDECREF(value);
    callback_drop(job);
    return result;
}

static PyObject *
callback_callable(ouro_state *st, ou_job *job)
{
    return Py_NewRef(callback_of(job)->function);
}

static PyObject *
callback_context(ou_job *job)
{
    return callback_of(job)->context;
}

static const waiter_kind callback_kind = {
    .job =
        {
            .run = callback_run,
            .drop = callback_drop,
            .visit = callback_visit,
        },
    .callable = callback_callable,
    .context = callback_context,
};

static const waiter_kind *
waiter_kind_of(ou_job *job)
{
    return (const waiter_kind *)job->kind;
}

static PyObject *
waiter_callable(ouro_state *st, ou_job *job)
{
    const waiter_kind *kind = waiter_kind_of(job);
    return kind->callable != NULL ? kind->callable(st, job)
                                  : ouro_waiter_callable(st, job);
}

static PyObject *
waiter_context(ou_job *job)
{
    const waiter_kind *kind = waiter_kind_of(job);
    return kind->context != NULL ? kind->context(job) : NULL;
}

/* ---- scheduling -------------------------------------------------------- */

/* A handle knows what to do with None, or with an object that is a context by
 * its method run() alone. */
static bool
needs_handle(ou_job *job)
{
    return is_callback(job)
           && !PyContext_CheckExact(callback_of(job)->context);
}

static bool
any_needs_handle(const ou_queue *jobs)
{
    for (ou_job *job = jobs->head; job != NULL; job = ou_queue_next(job)) {
        if (needs_handle(job)) {
            return true;
        }
    }
    return false;
}

/* As mostly: one native waiter, and nothing to tell it. */
static bool
is_lone_waiter(const ou_line *line)
{
    return line->last->next == line->last && !is_callback(line->last);
}

static void
schedule_fast(FutureObject *fut, ou_queue *jobs)
{
    for (ou_job *job = jobs->head; job != NULL; job = ou_queue_next(job)) {
        if (is_callback(job)) {
            callback_of(job)->future = Py_NewRef((PyObject *)fut);
        }
    }
    ou_loop_push_all(ouro_loop_engine(fut->loop), jobs);
}

/* As asyncio does it: loop.call_soon(callback, fut, context=context). */
static int
schedule_by_method(ouro_state *st, FutureObject *fut, ou_job *job)
{
    PyObject *callable = waiter_callable(st, job);
    int result = -1;
    if (callable != NULL) {
        result = ouro_loop_call_soon(st, fut->loop, callable, (PyObject *)fut,
                                     waiter_context(job));
    }
    bool spared = result < 0 && !is_callback(job)
                  && ouro_loop_without_memory(st, fut->loop, callable);
    Py_XDECREF(callable);
    if (spared) {
        ou_loop_push(ouro_loop_engine(fut->loop), job);
        return 0;
    }
    job->kind->drop(job);
    return result;
}

int
ouro_future_finish(FutureObject *fut, uint8_t state, PyObject *result)
{
    ou_line line = fut->callbacks;
    fut->result = result;
    fut->state = state;
    if (ou_line_empty(&line)) {
        return 0;
    }
    ouro_state *st = ouro_state_of((PyObject *)fut);
    bool fast = ouro_loop_fast(st, fut->loop);
    if (fast && is_lone_waiter(&line)) {
        ou_loop_push(ouro_loop_engine(fut->loop), line.last);
        return 0;
    }
    ou_queue jobs = ou_line_take(&line);
    if (fast && !any_needs_handle(&jobs)) {
        schedule_fast(fut, &jobs);
        return 0;
    }
    int error = 0;
    ou_job *job;
    while (error == 0 && (job = ou_queue_pop(&jobs)) != NULL) {
        error = schedule_by_method(st, fut, job);
    }
    ou_queue_drop_all(&jobs);
    return error;
}

/* A job for a future that is done already: one turn later. */
static int
schedule_one(ouro_state *st, FutureObject *fut, ou_job *job)
{
    if (ouro_loop_fast(st, fut->loop) && !needs_handle(job)) {
        if (is_callback(job)) {
            callback_of(job)->future = Py_NewRef((PyObject *)fut);
        }
        ou_loop_push(ouro_loop_engine(fut->loop), job);
        return 0;
    }
    return schedule_by_method(st, fut, job);
}

int
ouro_future_add_job(ouro_state *st, FutureObject *fut, ou_job *job)
{
    if (fut->state != FUTURE_PENDING) {
        return schedule_one(st, fut, job);
    }
    ou_line_push(&fut->callbacks, job);
    return 0;
}

int
ouro_future_add_callback(ouro_state *st, FutureObject *fut, PyObject *function,
                         PyObject *context)
{
    callback *node = callback_new(function, context);
    return node == NULL ? -1 : ouro_future_add_job(st, fut, &node->job);
}

bool
ouro_future_remove_waiter(FutureObject *fut, ou_job *waiter)
{
    return fut->state == FUTURE_PENDING
           && ou_line_remove(&fut->callbacks, waiter);
}

/* NULL: nobody waits (any more). */
static ou_job *
first_waiter(FutureObject *fut)
{
    return fut->state == FUTURE_PENDING ? ou_line_first(&fut->callbacks)
                                        : NULL;
}

/* ---- walking ----------------------------------------------------------- */

static int
append_callable(ouro_state *st, PyObject *list, ou_job *job)
{
    PyObject *callable = waiter_callable(st, job);
    int result = callable == NULL ? -1 : PyList_Append(list, callable);
    Py_XDECREF(callable);
    return result;
}

static int
append_pair(ouro_state *st, PyObject *list, ou_job *job)
{
    PyObject *callable = waiter_callable(st, job);
    if (callable == NULL) {
        return -1;
    }
    PyObject *context = waiter_context(job);
    PyObject *pair =
        PyTuple_Pack(2, callable, context != NULL ? context : Py_None);
    Py_DECREF(callable);
    if (pair == NULL) {
        return -1;
    }
    int result = PyList_Append(list, pair);
    Py_DECREF(pair);
    return result;
}

/* A new list of what append() makes of each job.  Making objects may start a
 * garbage collection, and that runs Python, which may change the list of
 * jobs: the collector has to wait. */
static PyObject *
walk(ouro_state *st, FutureObject *fut,
     int (*append)(ouro_state *st, PyObject *list, ou_job *job))
{
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return NULL;
    }
    int collecting = PyGC_Disable();
    ou_job *job = first_waiter(fut);
    while (job != NULL && append(st, list, job) == 0) {
        job = ou_line_next(&fut->callbacks, job);
    }
    if (collecting) {
        PyGC_Enable();
    }
    if (job != NULL) {
        Py_CLEAR(list);
    }
    return list;
}

/* ---- removing ---------------------------------------------------------- */

/* The callables of the list that are equal to `function`, each owned.
 * Comparing runs Python, which may change the list: so this looks at a copy.
 */
static PyObject *
equal_callables(ouro_state *st, FutureObject *fut, PyObject *function)
{
    PyObject *all = walk(st, fut, append_callable);
    PyObject *equal = PyList_New(0);
    if (all == NULL || equal == NULL) {
        goto error;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(all); i++) {
        PyObject *callable = PyList_GET_ITEM(all, i);
        int same = PyObject_RichCompareBool(callable, function, Py_EQ);
        if (same < 0 || (same && PyList_Append(equal, callable) < 0)) {
            goto error;
        }
    }
    Py_DECREF(all);
    return equal;
error:
    Py_XDECREF(all);
    Py_XDECREF(equal);
    return NULL;
}

static bool
waits_with(ou_job *job, PyObject *callables)
{
    if (!is_callback(job)) {
        return false; /* native waiters are taken out by their owners */
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(callables); i++) {
        if (callback_of(job)->function == PyList_GET_ITEM(callables, i)) {
            return true;
        }
    }
    return false;
}

/* Drop the callbacks whose function is one of these: how many. */
static Py_ssize_t
take_out(FutureObject *fut, PyObject *callables)
{
    Py_ssize_t removed = 0;
    ou_queue all = ou_line_take(&fut->callbacks), gone = {0};
    ou_job *job;
    while ((job = ou_queue_pop(&all)) != NULL) {
        bool out = waits_with(job, callables);
        removed += out;
        if (out) {
            ou_queue_push(&gone, job);
        }
        else {
            ou_line_push(&fut->callbacks, job);
        }
    }
    ou_queue_drop_all(&gone);
    return removed;
}

Py_ssize_t
ouro_future_remove_callback(ouro_state *st, FutureObject *fut,
                            PyObject *function)
{
    if (first_waiter(fut) == NULL) {
        return 0;
    }
    PyObject *callables = equal_callables(st, fut, function);
    if (callables == NULL) {
        return -1;
    }
    Py_ssize_t removed = 0;
    if (fut->state == FUTURE_PENDING) {
        removed = take_out(fut, callables);
    }
    Py_DECREF(callables);
    return removed;
}

/* ---- showing ----------------------------------------------------------- */

PyObject *
ouro_future_callbacks(FutureObject *fut)
{
    if (first_waiter(fut) == NULL) {
        Py_RETURN_NONE;
    }
    return walk(ouro_state_of((PyObject *)fut), fut, append_pair);
}

/* Holds one reference to the owner of a native waiter. */
typedef struct WaiterCallable {
    PyObject_HEAD
    ou_job *job; /* NULL: has been called */
    PyObject *qualname;
} WaiterCallable;

/* ---- for whom ---------------------------------------------------------- */

/* The native waiter that a job is, or stands for: as the callable that a
 * future of another class got. */
static ou_job *
waiter_behind(ouro_state *st, ou_job *job)
{
    if (!is_callback(job)) {
        return job;
    }
    PyObject *function = callback_of(job)->function;
    return Py_TYPE(function) == st->types.WaiterCallable
               ? ((WaiterCallable *)function)->job
               : NULL;
}

static PyObject *
awaiter_of(ouro_state *st, ou_job *job)
{
    if (is_callback(job)) {
        PyObject *task = ouro_task_of_wakeup(st, callback_of(job)->function);
        if (task != NULL) {
            return task;
        }
    }
    ou_job *waiter = waiter_behind(st, job);
    if (waiter == NULL || waiter_kind_of(waiter)->awaiter == NULL) {
        return NULL;
    }
    return waiter_kind_of(waiter)->awaiter(waiter);
}

static int
append_awaiter(ouro_state *st, PyObject *list, ou_job *job)
{
    PyObject *task = awaiter_of(st, job);
    return task == NULL ? 0 : PyList_Append(list, task);
}

PyObject *
ouro_future_awaiters(ouro_state *st, FutureObject *fut)
{
    return walk(st, fut, append_awaiter);
}

/* ---- native waiters as callables --------------------------------------- */

static PyObject *
waiter_callable_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    WaiterCallable *callable = (WaiterCallable *)self;
    ou_job *job = callable->job;
    if (job == NULL) {
        Py_RETURN_NONE;
    }
    callable->job = NULL;
    if (job->kind->run(job) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
waiter_callable_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<function %U at %p>",
                                ((WaiterCallable *)self)->qualname,
                                ((WaiterCallable *)self)->job);
}

/* Two views of one waiter are equal: remove_done_callback() compares. */
static PyObject *
waiter_callable_compare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(self) != Py_TYPE(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool same =
        ((WaiterCallable *)self)->job == ((WaiterCallable *)other)->job;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t
waiter_callable_hash(PyObject *self)
{
    return Py_HashPointer(((WaiterCallable *)self)->job);
}

static int
waiter_callable_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    ou_job *job = ((WaiterCallable *)self)->job;
    if (job != NULL && job->kind->visit != NULL) {
        ouro_visitor visitor = {visit, arg};
        return job->kind->visit(job, &visitor);
    }
    return 0;
}

static int
waiter_callable_clear(PyObject *self)
{
    WaiterCallable *callable = (WaiterCallable *)self;
    ou_job *job = callable->job;
    callable->job = NULL;
    if (job != NULL) {
        job->kind->drop(job);
    }
    return 0;
}

static void
waiter_callable_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    waiter_callable_clear(self);
    Py_CLEAR(((WaiterCallable *)self)->qualname);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef waiter_callable_members[] = {
    {"__qualname__", T_OBJECT, offsetof(WaiterCallable, qualname), READONLY,
     NULL},
    {"__name__", T_OBJECT, offsetof(WaiterCallable, qualname), READONLY, NULL},
    {NULL},
};

static PyType_Slot waiter_callable_slots[] = {
    {Py_tp_doc, "A native waiter of a future, as a done callback."},
    {Py_tp_call, waiter_callable_call},
    {Py_tp_repr, waiter_callable_repr},
    {Py_tp_richcompare, waiter_callable_compare},
    {Py_tp_hash, waiter_callable_hash},
    {Py_tp_traverse, waiter_callable_traverse},
    {Py_tp_clear, waiter_callable_clear},
    {Py_tp_dealloc, waiter_callable_dealloc},
    {Py_tp_members, waiter_callable_members},
    {0, NULL},
};

static PyType_Spec waiter_callable_spec = {
    .name = "ouro._ouro.WaiterCallable",
    .basicsize = sizeof(WaiterCallable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = waiter_callable_slots,
};

PyObject *
ouro_waiter_callable(ouro_state *st, ou_job *waiter)
{
    WaiterCallable *callable =
        PyObject_GC_New(WaiterCallable, st->types.WaiterCallable);
    if (callable == NULL) {
        return NULL;
    }
    const char *qualname = waiter_kind_of(waiter)->qualname;
    callable->job = NULL;
    callable->qualname =
        PyUnicode_FromString(qualname != NULL ? qualname : "waiter");
    if (callable->qualname == NULL) {
        Py_DECREF(callable);
        return NULL;
    }
    waiter->kind->hold(waiter);
    callable->job = waiter;
    PyObject_GC_Track((PyObject *)callable);
    return (PyObject *)callable;
}

int
ouro_waiter_failed(ouro_state *st, PyObject *fut, ou_job *waiter)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *loop = ouro_anyfuture_loop(st, fut);
    if (loop != NULL && !ouro_loop_check(st, loop)) {
        /* Not ours; but fut may have moved there from ours. */
        Py_DECREF(loop);
        if (ouro_running_loop_or_null(st, &loop) < 0) {
            loop = NULL;
        }
    }
    if (loop == NULL || !ouro_loop_check(st, loop)) {
        Py_XDECREF(loop);
        PyErr_SetRaisedException(error);
        return -1;
    }
    PyObject *callable = waiter_callable(st, waiter);
    PyObject *args = PyTuple_Pack(1, fut);
    int result = -1;
    if (callable != NULL && args != NULL) {
        PyErr_SetRaisedException(error);
        error = NULL;
        result = ((LoopCore *)loop)
                     ->ops->callback_failed(loop, callable, args, NULL);
    }
    Py_XDECREF(error);
    Py_XDECREF(callable);
    Py_XDECREF(args);
    Py_DECREF(loop);
    return result;
}

int
ouro_waiter_callable_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &waiter_callable_spec, NULL, false,
                         &st->types.WaiterCallable);
}
