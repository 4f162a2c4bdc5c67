/* completed.c - asyncio.as_completed(): futures in the order in which they
 * are done.
 *
 * A slot in each future puts it into a Queue, from which the coroutines that
 * are handed out take.  From 3.13 the object is an iterator, asynchronous
 * and plain; before, as_completed() is a generator, whose errors come with
 * the first next().
 */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/coroutines.h"
#include "task/registry.h"
#include "task/slot.h"
#include "task/task.h"

typedef enum completed_state {
    COMPLETED_CREATED, /* a generator that has not been started */
    COMPLETED_STARTING,
    COMPLETED_STARTED,
    COMPLETED_ENDED,
} completed_state;

typedef struct CompletedObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *fs; /* the arguments, until started */
    PyObject *timeout;
    PyObject *queue;  /* _done: a Queue; NULL until started */
    PyObject *handle; /* _timeout_handle, or NULL */
    PyObject *task;   /* whose call it was (3.14+), or NULL */
    ouro_slots slots;
    Py_ssize_t pending; /* how many slots are */
    Py_ssize_t left;    /* _todo_left: how many are to be handed out */
    completed_state state;
} CompletedObject;

static CompletedObject *
as_completed_object(PyObject *object)
{
    return (CompletedObject *)object;
}

/* ---- a future is done, or the time is over ----------------------------- */

static int
put(ouro_state *st, CompletedObject *self, PyObject *item)
{
    PyObject *result =
        PyObject_CallMethodOneArg(self->queue, st->str.put_nowait, item);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        /* Once more: somebody waits for it. */
        PyErr_Clear();
        result =
            PyObject_CallMethodOneArg(self->queue, st->str.put_nowait, item);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
future_done(ouro_state *st, ouro_slot *slot)
{
    CompletedObject *self = as_completed_object(slot->owner);
    if (!slot->pending) {
        return 0; /* the time was over before */
    }
    slot->pending = false;
    self->pending--;
    if (put(st, self, slot->fut) < 0) {
        return -1;
    }
    if (self->pending > 0 || self->handle == NULL) {
        return 0;
    }
    return ouro_drop_result(
        PyObject_CallMethodNoArgs(self->handle, st->str.cancel));
}

PyDoc_STRVAR(handle_timeout_doc, "_handle_timeout($self, /)\n--\n\n\
The time is over: whoever still waits gets a TimeoutError.");

static PyObject *
completed_handle_timeout(PyObject *object, PyObject *unused)
{
    CompletedObject *self = as_completed_object(object);
    ouro_state *st = ouro_state_of(object);
    for (Py_ssize_t i = 0; i < self->slots.count; i++) {
        ouro_slot *slot = &self->slots.array[i];
        if (!slot->pending) {
            continue;
        }
        if (ouro_unwatch(st, slot->fut, &slot->job) < 0
            || put(st, self, Py_None) < 0) {
            return NULL;
        }
    }
    for (Py_ssize_t i = 0; i < self->slots.count; i++) {
        self->slots.array[i].pending = false;
    }
    self->pending = 0;
    Py_RETURN_NONE;
}

static int
slot_run(ou_job *job)
{
    return ouro_slot_run(job, future_done);
}

static PyObject *
slot_awaiter(ou_job *job)
{
    ouro_slot *slot = ouro_slot_of(job);
    return slot->pending ? as_completed_object(slot->owner)->task : NULL;
}

static const waiter_kind completed_waiter = {
    .job = {OURO_SLOT_JOB, .run = slot_run},
    .qualname = "_AsCompletedIterator._handle_completion",
    .awaiter = slot_awaiter,
};

/* The same, where as_completed() is a generator. */
static const waiter_kind generator_waiter = {
    .job = {OURO_SLOT_JOB, .run = slot_run},
    .qualname = "as_completed.<locals>._on_completion",
    .awaiter = slot_awaiter,
};

/* ---- starting ---------------------------------------------------------- */

/* {ensure_future(f, loop=loop) for f in set(fs)}: two real sets, because the
 * order in which tasks start is theirs. */
static PyObject *
futures_of(ouro_state *st, PyObject *fs, PyObject *loop)
{
    PyObject *distinct = PySet_New(fs);
    PyObject *items = distinct == NULL ? NULL : PySequence_List(distinct);
    Py_XDECREF(distinct);
    PyObject *todo = items == NULL ? NULL : PySet_New(NULL);
    for (Py_ssize_t i = 0; todo != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *fut =
            ouro_ensure_future(st, PyList_GET_ITEM(items, i), loop);
        if (fut == NULL || PySet_Add(todo, fut) < 0) {
            Py_CLEAR(todo);
        }
        Py_XDECREF(fut);
    }
    Py_XDECREF(items);
    PyObject *list = todo == NULL ? NULL : PySequence_List(todo);
    Py_XDECREF(todo);
    return list;
}

static int
watch_all(ouro_state *st, CompletedObject *self, PyObject *futures)
{
    Py_ssize_t count = PyList_GET_SIZE(futures);
    const waiter_kind *kind =
        st->has.task.completed_object ? &completed_waiter : &generator_waiter;
    self->pending = self->left = count;
    return ouro_slots_allocate(&self->slots, count) < 0
                   || ouro_slots_watch_all(st, &self->slots, kind,
                                           (PyObject *)self, futures)
                          < 0
               ? -1
               : 0;
}

/* loop.call_later(timeout, self._handle_timeout) */
static int
start_timer(ouro_state *st, CompletedObject *self, PyObject *loop)
{
    if (self->slots.count == 0 || self->timeout == Py_None) {
        return 0;
    }
    PyObject *callback =
        PyObject_GetAttr((PyObject *)self, st->str._handle_timeout);
    if (callback == NULL) {
        return -1;
    }
    PyObject *args[] = {loop, self->timeout, callback};
    self->handle =
        PyObject_VectorcallMethod(st->str.call_later, args, 3, NULL);
    Py_DECREF(callback);
    return self->handle == NULL ? -1 : 0;
}

/* From 3.14 the caller must be a task's, or a callback's, for the sake of the
 * call graph. */
static int
check_running(ouro_state *st, CompletedObject *self)
{
    if (!st->has.call_graph) {
        return 0;
    }
    PyObject *task = ouro_current_task(st, NULL);
    Py_XDECREF(task);
    return task == NULL ? -1 : ouro_awaiting_task(st, &self->task);
}

static int
completed_start(ouro_state *st, CompletedObject *self)
{
    self->queue = PyObject_CallNoArgs((PyObject *)st->types.Queue);
    PyObject *loop = self->queue == NULL ? NULL : ouro_event_loop(st);
    if (loop == NULL) {
        return -1;
    }
    PyObject *futures =
        check_running(st, self) < 0 ? NULL : futures_of(st, self->fs, loop);
    int result = futures == NULL ? -1 : watch_all(st, self, futures);
    Py_XDECREF(futures);
    if (result == 0) {
        result = start_timer(st, self, loop);
    }
    Py_DECREF(loop);
    Py_CLEAR(self->fs);
    return result;
}

/* ---- the coroutines that are handed out -------------------------------- */

/* The body's fields: owner the CompletedObject, n whether the result of the
 * future is wanted and not the future. */
enum { WAIT_START, WAIT_GETTING };

static await_status
wait_poll(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    CompletedObject *self = as_completed_object(coro->owner);
    if (coro->step == WAIT_START) {
        coro->step = WAIT_GETTING;
        *ret = PyObject_CallMethodNoArgs(self->queue, st->str.get);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
    }
    if (coro->value == Py_None) {
        PyErr_SetNone(PyExc_TimeoutError);
        return AWAIT_ERROR;
    }
    *ret = coro->n ? ouro_anyfuture_result(st, coro->value)
                   : Py_NewRef(coro->value);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
wait_abort(AwaitObject *coro, PyObject **ret)
{
    if (ouro_state_of((PyObject *)coro)->has.task.completed_restores) {
        as_completed_object(coro->owner)->left++;
    }
    return AWAIT_ERROR;
}

static const await_kind wait_kind = {
    .name = "_wait_for_one",
    .qualname = "_AsCompletedIterator._wait_for_one",
    .poll = wait_poll,
    .abort = wait_abort,
};

static const await_kind generator_wait_kind = {
    .name = "_wait_for_one",
    .qualname = "as_completed.<locals>._wait_for_one",
    .poll = wait_poll,
    .abort = wait_abort,
};

static PyObject *
hand_out(ouro_state *st, CompletedObject *self, const await_kind *kind)
{
    self->left--;
    AwaitObject *coro = ouro_await_new(st, kind, (PyObject *)self);
    if (coro != NULL) {
        coro->n = true;
    }
    return (PyObject *)coro;
}

static await_status
anext_poll(AwaitObject *coro, PyObject **ret)
{
    if (coro->step == WAIT_START) {
        CompletedObject *self = as_completed_object(coro->owner);
        if (self->left == 0) {
            PyErr_SetNone(PyExc_StopAsyncIteration);
            return AWAIT_ERROR;
        }
        self->left--;
    }
    return wait_poll(coro, ret);
}

static const await_kind anext_kind = {
    .name = "__anext__",
    .qualname = "_AsCompletedIterator.__anext__",
    .poll = anext_poll,
    .abort = wait_abort,
};

/* ---- the iterator, 3.13+ ----------------------------------------------- */

static PyObject *
iterator_next(PyObject *object)
{
    CompletedObject *self = as_completed_object(object);
    return self->left == 0 ? NULL
                           : hand_out(ouro_state_of(object), self, &wait_kind);
}

static PyObject *
iterator_anext_slot(PyObject *object)
{
    return (PyObject *)ouro_await_new(ouro_state_of(object), &anext_kind,
                                      object);
}

static PyObject *
iterator_anext(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    if (ouro_parse_none("_AsCompletedIterator.__anext__", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return iterator_anext_slot(object);
}

static const ouro_async_def iterator_async_methods[] = {
    {"__anext__", iterator_anext, "__anext__($self, /)\n--\n\n"},
    {NULL},
};

/* ---- the generator, up to 3.12 ----------------------------------------- */

static int
generator_start(ouro_state *st, CompletedObject *self)
{
    self->state = COMPLETED_STARTING;
    int single = ouro_isfuture(st, self->fs);
    if (single == 0) {
        single = ouro_iscoroutine(st, self->fs);
    }
    if (single > 0) {
        PyErr_Format(PyExc_TypeError, "expect an iterable of futures, not %s",
                     _PyType_Name(Py_TYPE(self->fs)));
    }
    return single != 0 ? -1 : completed_start(st, self);
}

static PyObject *
generator_next(PyObject *object)
{
    CompletedObject *self = as_completed_object(object);
    ouro_state *st = ouro_state_of(object);
    if (self->state == COMPLETED_STARTING) {
        PyErr_SetString(PyExc_ValueError, "generator already executing");
        return NULL;
    }
    if (self->state == COMPLETED_CREATED) {
        int result = generator_start(st, self);
        self->state = result < 0 ? COMPLETED_ENDED : COMPLETED_STARTED;
        if (result < 0) {
            return NULL;
        }
    }
    if (self->state == COMPLETED_STARTED && self->left > 0) {
        return hand_out(st, self, &generator_wait_kind);
    }
    self->state = COMPLETED_ENDED;
    return NULL;
}

static PyObject *
generator_send(PyObject *object, PyObject *value)
{
    if (as_completed_object(object)->state == COMPLETED_CREATED
        && value != Py_None) {
        PyErr_SetString(
            PyExc_TypeError,
            "can't send non-None value to a just-started generator");
        return NULL;
    }
    PyObject *result = generator_next(object);
    if (result == NULL && !PyErr_Occurred()) {
        PyErr_SetNone(PyExc_StopIteration);
    }
    return result;
}

static PyObject *
generator_throw(PyObject *object, PyObject *exception)
{
    as_completed_object(object)->state = COMPLETED_ENDED;
    ouro_raise(exception);
    return NULL;
}

static PyObject *
generator_close(PyObject *object, PyObject *unused)
{
    as_completed_object(object)->state = COMPLETED_ENDED;
    Py_RETURN_NONE;
}

static PyObject *
generator_repr(PyObject *object)
{
    return PyUnicode_FromFormat("<generator object as_completed at %p>",
                                object);
}

/* ---- the object -------------------------------------------------------- */

static int
completed_traverse(PyObject *object, visitproc visit, void *arg)
{
    CompletedObject *self = as_completed_object(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->fs);
    Py_VISIT(self->timeout);
    Py_VISIT(self->queue);
    Py_VISIT(self->handle);
    Py_VISIT(self->task);
    return ouro_slots_traverse(&self->slots, visit, arg);
}

/* Slots that are queued must stay, and what they need; a cycle is broken at
 * the futures. */
static int
completed_clear(PyObject *object)
{
    CompletedObject *self = as_completed_object(object);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->fs);
    Py_CLEAR(self->handle);
    Py_CLEAR(self->task);
    return 0;
}

static void
completed_dealloc(PyObject *object)
{
    CompletedObject *self = as_completed_object(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    completed_clear(object);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->queue);
    ouro_slots_free(&self->slots);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef iterator_methods[] = {
    {"_handle_timeout", completed_handle_timeout, METH_NOARGS,
     handle_timeout_doc},
    {NULL},
};

static PyMethodDef generator_methods[] = {
    {"_handle_timeout", completed_handle_timeout, METH_NOARGS,
     handle_timeout_doc},
    {"send", generator_send, METH_O, NULL},
    {"throw", generator_throw, METH_O, NULL},
    {"close", generator_close, METH_NOARGS, NULL},
    {NULL},
};

#define COMPLETED_MEMBERS                                                     \
    {"__dictoffset__", T_PYSSIZET, offsetof(CompletedObject, dict), READONLY, \
     NULL},                                                                   \
    {                                                                         \
        "__weaklistoffset__", T_PYSSIZET,                                     \
            offsetof(CompletedObject, weakrefs), READONLY, NULL               \
    }

static PyMemberDef iterator_members[] = {
    {"_done", T_OBJECT, offsetof(CompletedObject, queue), READONLY, NULL},
    {"_timeout_handle", T_OBJECT, offsetof(CompletedObject, handle), READONLY,
     NULL},
    {"_todo_left", T_PYSSIZET, offsetof(CompletedObject, left), READONLY,
     NULL},
    COMPLETED_MEMBERS,
    {NULL},
};

static PyMemberDef generator_members[] = {
    COMPLETED_MEMBERS,
    {NULL},
};

PyDoc_STRVAR(iterator_doc,
"Iterator of awaitables representing tasks of asyncio.as_completed.\n\n\
As an asynchronous iterator, iteration yields futures as they finish. As a\n\
plain iterator, new coroutines are yielded that will return or raise the\n\
result of the next underlying future to complete.");

static PyType_Slot iterator_slots[] = {
    {Py_tp_doc, (void *)iterator_doc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, iterator_anext_slot},
    {Py_tp_methods, iterator_methods},
    {Py_tp_members, iterator_members},
    {Py_tp_traverse, completed_traverse},
    {Py_tp_clear, completed_clear},
    {Py_tp_dealloc, completed_dealloc},
    {0, NULL},
};

static PyType_Slot generator_slots[] = {
    {Py_tp_doc, "What as_completed() returns up to Python 3.12."},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, generator_next},
    {Py_tp_repr, generator_repr},
    {Py_tp_methods, generator_methods},
    {Py_tp_members, generator_members},
    {Py_tp_traverse, completed_traverse},
    {Py_tp_clear, completed_clear},
    {Py_tp_dealloc, completed_dealloc},
    {0, NULL},
};

static PyType_Spec iterator_spec = {
    .name = "ouro._AsCompletedIterator",
    .basicsize = sizeof(CompletedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};

static PyType_Spec generator_spec = {
    .name = "ouro._ouro.as_completed",
    .basicsize = sizeof(CompletedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = generator_slots,
};

/* ---- as_completed() ---------------------------------------------------- */

static CompletedObject *
completed_new(ouro_state *st, PyObject *fs, PyObject *timeout)
{
    PyTypeObject *type = st->types.Completed;
    CompletedObject *self = (CompletedObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->fs = Py_NewRef(fs);
        self->timeout = Py_NewRef(timeout != NULL ? timeout : Py_None);
    }
    return self;
}

/* 3.13: not an awaitable in the place of an iterable of them. */
static int
check_iterable(ouro_state *st, PyObject *fs)
{
    int truth = ouro_truth_of(PyObject_CallOneArg(st->stock.isawaitable, fs));
    if (truth > 0) {
        PyErr_Format(PyExc_TypeError,
                     "expects an iterable of awaitables, not %s",
                     _PyType_Name(Py_TYPE(fs)));
    }
    return truth != 0 ? -1 : 0;
}

PyDoc_STRVAR(as_completed_doc, "as_completed(fs, *, timeout=None)\n--\n\n\
Create an iterator of awaitables or their results in completion order.\n\n\
Run the supplied awaitables concurrently. Each coroutine that iteration\n\
yields returns the result or raises the exception of the next one to\n\
complete:\n\n\
    for next_connect in as_completed(tasks):\n\
        reader, writer = await next_connect\n\n\
From Python 3.13 the object can also be iterated asynchronously; then the\n\
tasks or futures themselves are yielded, as they finish:\n\n\
    async for earliest_connect in as_completed(tasks):\n\
        reader, writer = await earliest_connect\n\n\
A TimeoutError is raised if the timeout (in seconds) occurs before all\n\
awaitables are done: by the async for loop, or by the coroutines.");

static PyObject *
as_completed(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "as_completed",
        .positional = 1,
        .required = 1,
        .names = {"fs", "timeout", NULL},
    };
    ouro_state *st = ouro_module_state(module);
    PyObject *given[2];
    if (ouro_parse(&signature, args, nargs, kwnames, given) < 0
        || (st->has.task.completed_object
            && check_iterable(st, given[0]) < 0)) {
        return NULL;
    }
    CompletedObject *self = completed_new(st, given[0], given[1]);
    if (self != NULL && st->has.task.completed_object
        && completed_start(st, self) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyMethodDef completed_functions[] = {
    OURO_METHOD("as_completed", as_completed, as_completed_doc),
    {NULL},
};

int
ouro_completed_setup(PyObject *module, ouro_state *st)
{
    bool object = st->has.task.completed_object;
    if (ouro_add_type(module, object ? &iterator_spec : &generator_spec, NULL,
                      object, &st->types.Completed)
            < 0
        || (object
            && ouro_add_async_methods(st, st->types.Completed,
                                      iterator_async_methods)
                   < 0)) {
        return -1;
    }
    return PyModule_AddFunctions(module, completed_functions);
}
