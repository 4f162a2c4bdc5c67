/* wait.c - asyncio.wait(): a counter and one slot in each future. */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/future_impl.h"
#include "task/coroutines.h"
#include "task/deadline.h"
#include "task/registry.h"
#include "task/slot.h"

typedef enum wait_until {
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    ALL_COMPLETED,
} wait_until;

typedef struct WaitObject {
    PyObject_HEAD
    PyObject *waiter;   /* the future that the coroutine waits for */
    PyObject *deadline; /* or NULL */
    PyObject *task;     /* that waits (3.14+), or NULL */
    ouro_slots slots;
    Py_ssize_t left;
    wait_until until;
} WaitObject;

/* ---- a future is done -------------------------------------------------- */

static int
is_enough(ouro_state *st, WaitObject *self, PyObject *fut)
{
    if (self->left <= 0 || self->until == FIRST_COMPLETED) {
        return 1;
    }
    if (self->until == ALL_COMPLETED) {
        return 0;
    }
    int cancelled = ouro_anyfuture_cancelled(st, fut);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    PyObject *exception = ouro_anyfuture_exception(st, fut);
    if (exception == NULL) {
        return -1;
    }
    Py_DECREF(exception);
    return exception != Py_None;
}

static int
future_done(ouro_state *st, ouro_slot *slot)
{
    WaitObject *self = (WaitObject *)slot->owner;
    self->left--;
    int enough = is_enough(st, self, slot->fut);
    if (enough <= 0) {
        return enough;
    }
    if (ouro_deadline_cancel(st, self->deadline) < 0) {
        return -1;
    }
    int done = ouro_anyfuture_done(st, self->waiter);
    if (done != 0) {
        return done < 0 ? -1 : 0;
    }
    return ouro_anyfuture_set_result(st, self->waiter, Py_None);
}

/* For want of memory the whole of it ends. */
static int
slot_done(ouro_state *st, ouro_slot *slot)
{
    int result = future_done(st, slot);
    return result < 0
                   && ouro_future_end_for_want(
                       st, ((WaitObject *)slot->owner)->waiter)
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
    return ((WaitObject *)ouro_slot_of(job)->owner)->task;
}

static const waiter_kind wait_waiter = {
    .job = {OURO_SLOT_JOB, .run = slot_run},
    .qualname = "_wait.<locals>._on_completion",
    .awaiter = slot_awaiter,
};

/* ---- the object -------------------------------------------------------- */

static int
wait_traverse(PyObject *self, visitproc visit, void *arg)
{
    WaitObject *wait = (WaitObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(wait->waiter);
    Py_VISIT(wait->deadline);
    Py_VISIT(wait->task);
    return ouro_slots_traverse(&wait->slots, visit, arg);
}

static int
wait_clear(PyObject *self)
{
    Py_CLEAR(((WaitObject *)self)->deadline);
    Py_CLEAR(((WaitObject *)self)->task);
    return 0;
}

static void
wait_dealloc(PyObject *self)
{
    WaitObject *wait = (WaitObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    wait_clear(self);
    Py_CLEAR(wait->waiter);
    ouro_slots_free(&wait->slots);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot wait_slots[] = {
    {Py_tp_doc, "The state of one wait()."},
    {Py_tp_traverse, wait_traverse},
    {Py_tp_clear, wait_clear},
    {Py_tp_dealloc, wait_dealloc},
    {0, NULL},
};

static PyType_Spec wait_spec = {
    .name = "ouro._ouro.Wait",
    .basicsize = sizeof(WaitObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wait_slots,
};

/* ---- the coroutine ----------------------------------------------------- */

/* The body's fields: owner fs, then the set of them; a timeout, b
 * return_when, c the WaitObject. */
enum { WAIT_START, WAIT_WAITING };

static int
parse_until(ouro_state *st, PyObject *value, wait_until *ret)
{
    PyObject *const known[] = {st->str.FIRST_COMPLETED,
                               st->str.FIRST_EXCEPTION, st->str.ALL_COMPLETED};
    for (int i = 0; i < 3; i++) {
        int same = PyObject_RichCompareBool(value, known[i], Py_EQ);
        if (same != 0) {
            *ret = (wait_until)i;
            return same < 0 ? -1 : 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "Invalid return_when value: %S", value);
    return -1;
}

/* fs itself, a future or coroutine passed in the place of a set of them. */
static int
check_collection(ouro_state *st, PyObject *fs)
{
    int single = ouro_isfuture(st, fs);
    if (single == 0) {
        single = ouro_iscoroutine(st, fs);
    }
    if (single > 0) {
        PyErr_Format(PyExc_TypeError, "expect a list of futures, not %s",
                     _PyType_Name(Py_TYPE(fs)));
    }
    if (single != 0) {
        return -1;
    }
    int any = PyObject_IsTrue(fs);
    if (any == 0) {
        PyErr_SetString(PyExc_ValueError, "Set of Tasks/Futures is empty.");
    }
    return any <= 0 ? -1 : 0;
}

static int
check_members(ouro_state *st, PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        int coroutine = ouro_iscoroutine(st, PyList_GET_ITEM(list, i));
        if (coroutine > 0) {
            PyErr_SetString(PyExc_TypeError,
                            "Passing coroutines is forbidden, use tasks "
                            "explicitly.");
        }
        if (coroutine != 0) {
            return -1;
        }
    }
    return 0;
}

static WaitObject *
wait_new(ouro_state *st, Py_ssize_t count)
{
    PyTypeObject *type = st->types.Wait;
    WaitObject *self = (WaitObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    if (ouro_slots_allocate(&self->slots, count) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->left = count;
    return self;
}

static int
wait_begin_on(ouro_state *st, AwaitObject *coro, PyObject *loop,
              PyObject *list, wait_until until)
{
    WaitObject *self = wait_new(st, PyList_GET_SIZE(list));
    if (self == NULL) {
        return -1;
    }
    coro->c = (PyObject *)self;
    self->until = until;
    self->waiter = ouro_create_future(st, loop);
    if (self->waiter == NULL) {
        return -1;
    }
    if (coro->a != Py_None) {
        self->deadline =
            ouro_deadline_start(st, loop, coro->a, self->waiter, NULL,
                                st->stock.tasks, st->str._release_waiter);
        if (self->deadline == NULL) {
            return -1;
        }
    }
    return ouro_awaiting_task(st, &self->task) < 0
                   || ouro_slots_watch_all(st, &self->slots, &wait_waiter,
                                           (PyObject *)self, list)
                          < 0
               ? -1
               : 0;
}

static int
wait_begin(ouro_state *st, AwaitObject *coro)
{
    wait_until until;
    if (check_collection(st, coro->owner) < 0
        || parse_until(st, coro->b, &until) < 0) {
        return -1;
    }
    Py_SETREF(coro->owner, PySet_New(coro->owner));
    PyObject *list = coro->owner == NULL ? NULL : PySequence_List(coro->owner);
    if (list == NULL) {
        return -1;
    }
    int result = check_members(st, list);
    if (result == 0) {
        PyObject *loop = ouro_running_loop(st);
        result =
            loop == NULL ? -1 : wait_begin_on(st, coro, loop, list, until);
        Py_XDECREF(loop);
    }
    Py_DECREF(list);
    return result;
}

/* The `finally:` of the wait. */
static int
wait_end(ouro_state *st, WaitObject *self)
{
    if (ouro_deadline_cancel(st, self->deadline) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < self->slots.count; i++) {
        ouro_slot *slot = &self->slots.array[i];
        if (ouro_unwatch(st, slot->fut, &slot->job) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
done_and_pending(ouro_state *st, WaitObject *self)
{
    PyObject *sets = PyTuple_New(2);
    for (int i = 0; sets != NULL && i < 2; i++) {
        PyObject *set = PySet_New(NULL);
        if (set == NULL) {
            Py_CLEAR(sets);
            break;
        }
        PyTuple_SET_ITEM(sets, i, set);
    }
    for (Py_ssize_t i = 0; sets != NULL && i < self->slots.count; i++) {
        PyObject *fut = self->slots.array[i].fut;
        int done = ouro_anyfuture_done(st, fut);
        if (done < 0
            || PySet_Add(PyTuple_GET_ITEM(sets, done ? 0 : 1), fut) < 0) {
            Py_CLEAR(sets);
        }
    }
    return sets;
}

static await_status
wait_poll(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    if (coro->step == WAIT_START) {
        coro->step = WAIT_WAITING;
        if (wait_begin(st, coro) < 0) {
            return AWAIT_ERROR;
        }
        *ret = Py_NewRef(((WaitObject *)coro->c)->waiter);
        return AWAIT_FUTURE;
    }
    WaitObject *self = (WaitObject *)coro->c;
    if (wait_end(st, self) < 0) {
        return AWAIT_ERROR;
    }
    *ret = done_and_pending(st, self);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
wait_abort(AwaitObject *coro, PyObject **ret)
{
    PyObject *error = PyErr_GetRaisedException();
    ouro_state *st = ouro_state_of((PyObject *)coro);
    if (wait_end(st, (WaitObject *)coro->c) < 0) {
        Py_XDECREF(error);
        return AWAIT_ERROR;
    }
    PyErr_SetRaisedException(error);
    return AWAIT_ERROR;
}

static const await_kind inner_kind = {.name = "_wait", .qualname = "_wait"};
static const await_kind wait_kind = {
    .name = "wait",
    .qualname = "wait",
    .poll = wait_poll,
    .abort = wait_abort,
    .inside = &inner_kind,
};

PyDoc_STRVAR(wait_doc,
"wait(fs, *, timeout=None, return_when='ALL_COMPLETED')\n--\n\n\
Wait for the Futures or Tasks given by fs to complete.\n\n\
The fs iterable must not be empty.\n\n\
Returns two sets of Future: (done, pending).\n\n\
Usage:\n\n\
    done, pending = await asyncio.wait(fs)\n\n\
Note: This does not raise TimeoutError! Futures that aren't done\n\
when the timeout occurs are returned in the second set.");

static const ouro_signature wait_signature = {
    .qualname = "wait",
    .positional = 1,
    .required = 1,
    .names = {"fs", "timeout", "return_when", NULL},
};

static PyObject *
task_wait(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    ouro_state *st = ouro_module_state(module);
    PyObject *given[3];
    if (ouro_parse(&wait_signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    AwaitObject *coro = ouro_await_new(st, &wait_kind, given[0]);
    if (coro != NULL) {
        coro->a = Py_NewRef(given[1] != NULL ? given[1] : Py_None);
        coro->b =
            Py_NewRef(given[2] != NULL ? given[2] : st->str.ALL_COMPLETED);
    }
    return (PyObject *)coro;
}

static const ouro_async_def wait_functions[] = {
    {"wait", task_wait, wait_doc},
    {NULL},
};

int
ouro_wait_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &wait_spec, NULL, false, &st->types.Wait) < 0) {
        return -1;
    }
    return ouro_add_async_functions(st, module, wait_functions);
}
