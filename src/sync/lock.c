/* lock.c - asyncio.Lock: one owner, waiters in the order of their coming.
 *
 * release() leaves the lock free and wakes the first waiter; whoever comes
 * between the two finds others waiting and gets in line.  A waiter that is
 * cancelled when the lock has been left to it wakes the next.
 */
#include "sync/lock.h"

#include "base/rooms.h"

static LockObject *
as_lock(PyObject *self)
{
    return (LockObject *)self;
}

static bool
lock_plain(LockObject *lock)
{
    return ouro_plain(&lock->base, &lock->base.st->sync.Lock);
}

/* ---- what it does ------------------------------------------------------- */

/* The first in line is woken, or has been and takes its turn anyway. */
static int
lock_wake_up_first(LockObject *lock)
{
    ouro_state *st = lock->base.st;
    int waiting = ouro_ring_truth(&lock->waiters);
    if (waiting <= 0) {
        return waiting;
    }
    ouro_ring_pass pass = ouro_ring_begin(&lock->waiters);
    PyObject *fut;
    int result = ouro_ring_next(&pass, &fut);
    ouro_ring_end(&pass);
    if (result > 0) {
        result = ouro_waiter_wake(st, fut, Py_True);
        Py_DECREF(fut);
    }
    return result < 0 ? -1 : 0;
}

static int
lock_call_wake_up_first(LockObject *lock)
{
    return lock_plain(lock)
               ? lock_wake_up_first(lock)
               : ouro_call_method(lock, lock->base.st->str._wake_up_first);
}

int
ouro_lock_locked(LockObject *lock)
{
    return ouro_attribute_truth(lock, lock->locked, "_locked");
}

int
ouro_lock_try(LockObject *lock)
{
    int locked = ouro_lock_locked(lock);
    if (locked != 0) {
        return locked < 0 ? -1 : 0;
    }
    int free = ouro_all_cancelled(lock->base.st, &lock->waiters);
    if (free > 0) {
        Py_SETREF(lock->locked, Py_NewRef(Py_True));
    }
    return free;
}

PyObject *
ouro_lock_park(LockObject *lock)
{
    lock->has_waiters = true;
    return ouro_park(&lock->base, lock_plain(lock), &lock->waiters);
}

int
ouro_lock_take(LockObject *lock, PyObject *fut)
{
    if (ouro_ring_remove(lock->base.st, &lock->waiters, fut) < 0) {
        return -1;
    }
    Py_XSETREF(lock->locked, Py_NewRef(Py_True));
    return 0;
}

void
ouro_lock_abandon(LockObject *lock, PyObject *fut)
{
    ouro_state *st = lock->base.st;
    PyObject *exception = PyErr_GetRaisedException();
    int result = ouro_ring_remove(st, &lock->waiters, fut);
    if (result == 0
        && PyErr_GivenExceptionMatches(exception, st->stock.CancelledError)) {
        int locked = ouro_lock_locked(lock);
        result = locked == 0 ? lock_call_wake_up_first(lock) : locked;
    }
    ouro_handled(exception, result);
}

int
ouro_lock_release(LockObject *lock)
{
    int locked = ouro_lock_locked(lock);
    if (locked > 0) {
        Py_SETREF(lock->locked, Py_NewRef(Py_False));
        return lock_call_wake_up_first(lock);
    }
    if (locked == 0) {
        PyErr_SetString(PyExc_RuntimeError, "Lock is not acquired.");
    }
    return -1;
}

/* ---- acquire(), async with ---------------------------------------------- */

static await_status lock_acquire_poll(AwaitObject *self, PyObject **ret);
static await_status lock_acquire_abort(AwaitObject *self, PyObject **ret);
static await_status lock_enter_poll(AwaitObject *self, PyObject **ret);
static await_status lock_enter_abort(AwaitObject *self, PyObject **ret);
static await_status lock_exit_poll(AwaitObject *self, PyObject **ret);

static const await_kind lock_acquire_kind = {
    "acquire", "Lock.acquire", lock_acquire_poll, lock_acquire_abort,
    .small = true};
static const await_kind lock_enter_kind = {OURO_ENTER_NAME, lock_enter_poll,
                                           lock_enter_abort, .small = true,
                                           .inside = &lock_acquire_kind};
static const await_kind lock_exit_kind = {OURO_EXIT_NAME, lock_exit_poll, NULL,
                                          .small = true};

/* acquire() returns True, __aenter__() None. */
static await_status
lock_acquired(AwaitObject *self, PyObject **ret)
{
    *ret = Py_NewRef(ouro_await_kind(self) == &lock_acquire_kind ? Py_True
                                                                 : Py_None);
    return AWAIT_RETURN;
}

static await_status
lock_acquire_poll(AwaitObject *self, PyObject **ret)
{
    LockObject *lock = as_lock(self->owner);
    if (self->step == STEP_WAITING) {
        return ouro_lock_take(lock, ouro_await_parked(self)) < 0
                   ? AWAIT_ERROR
                   : lock_acquired(self, ret);
    }
    int taken = ouro_lock_try(lock);
    if (taken != 0) {
        return taken < 0 ? AWAIT_ERROR : lock_acquired(self, ret);
    }
    lock->has_waiters = true;
    return ouro_park_await(self, lock_plain(lock), &lock->waiters, ret);
}

static await_status
lock_acquire_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    ouro_lock_abandon(as_lock(self->owner), ouro_await_parked(self));
    return AWAIT_ERROR;
}

/* Nobody has replaced anything of it, and nobody waits. */
static inline bool
lock_plain_and_alone(LockObject *lock)
{
    return lock->waiters.count == 0 && lock->waiters.shared == NULL
           && lock_plain(lock);
}

static await_status
lock_enter_poll(AwaitObject *self, PyObject **ret)
{
    LockObject *lock = as_lock(self->owner);
    if (self->step == STEP_START && lock->locked == Py_False
        && lock_plain_and_alone(lock)) {
        Py_SETREF(lock->locked, Py_NewRef(Py_True));
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    if (self->step == STEP_DELEGATED
        || (self->step == STEP_START && !lock_plain(lock))) {
        return ouro_enter_poll(self, ret);
    }
    return lock_acquire_poll(self, ret);
}

static await_status
lock_enter_abort(AwaitObject *self, PyObject **ret)
{
    return self->step == STEP_WAITING ? lock_acquire_abort(self, ret)
                                      : AWAIT_ERROR;
}

static await_status
lock_exit_poll(AwaitObject *self, PyObject **ret)
{
    LockObject *lock = as_lock(self->owner);
    if (lock->locked == Py_True && lock_plain_and_alone(lock)) {
        Py_SETREF(lock->locked, Py_NewRef(Py_False));
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    if (!lock_plain(lock)) {
        return ouro_exit_poll(self, ret);
    }
    if (ouro_lock_release(lock) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static PyObject *
lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return ouro_await_call(as_lock(self)->base.st, &lock_acquire_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
lock_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    return ouro_enter_new(as_lock(self)->base.st, self, &lock_enter_kind, args,
                          nargs, kwnames);
}

static PyObject *
lock_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    return ouro_exit_new(as_lock(self)->base.st, self, &lock_exit_kind, args,
                         nargs, kwnames);
}

static const ouro_async_def lock_async_methods[] = {
    {"acquire", lock_acquire,
     "acquire($self)\n--\n\n"
     "Wait until the lock is free, take it and return True."},
    {"__aenter__", lock_enter, "__aenter__($self)\n--\n\n"},
    {"__aexit__", lock_exit, "__aexit__($self, exc_type, exc, tb)\n--\n\n"},
    {NULL},
};

/* ---- methods and attributes --------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "Lock.__init__", .skip_self = 1, .names = {NULL}};

static PyObject *
lock_locked(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    if (ouro_parse_none("Lock.locked", args, nargs, kwnames) < 0) {
        return NULL;
    }
    PyObject *locked = as_lock(self)->locked;
    return locked != NULL ? Py_NewRef(locked)
                          : ouro_no_attribute(self, "_locked");
}

static PyObject *
lock_release(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    if (ouro_parse_none("Lock.release", args, nargs, kwnames) < 0
        || ouro_lock_release(as_lock(self)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
lock__wake_up_first(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    if (ouro_parse_none("Lock._wake_up_first", args, nargs, kwnames) < 0
        || lock_wake_up_first(as_lock(self)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef lock_methods[] = {
    OURO_METHOD("locked", lock_locked,
                "locked($self)\n--\n\nReturn True if the lock is taken."),
    OURO_METHOD("release", lock_release,
                "release($self)\n--\n\n"
                "Free the lock and wake the first who waits for it.\n\n"
                "Raises RuntimeError if it is not taken."),
    OURO_METHOD("_wake_up_first", lock__wake_up_first, NULL),
    {NULL},
};

static PyObject *
lock_get_waiters(PyObject *self, void *Py_UNUSED(closure))
{
    LockObject *lock = as_lock(self);
    if (!lock->has_waiters) {
        Py_RETURN_NONE;
    }
    return ouro_ring_share(lock->base.st, &lock->waiters);
}

static int
lock_set_waiters(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    LockObject *lock = as_lock(self);
    lock->has_waiters = value != NULL && value != Py_None;
    ouro_ring_assign(&lock->waiters, lock->has_waiters ? value : NULL);
    return 0;
}

static PyGetSetDef lock_getset[] = {
    {"_waiters", lock_get_waiters, lock_set_waiters, NULL, NULL},
    {NULL},
};

static PyMemberDef lock_members[] = {
    {"_locked", T_OBJECT_EX, offsetof(LockObject, locked), 0, NULL},
    {NULL},
};

static PyObject *
lock_repr(PyObject *self)
{
    LockObject *lock = as_lock(self);
    int locked = ouro_lock_locked(lock);
    PyObject *extra =
        locked < 0 ? NULL
                   : PyUnicode_FromString(locked ? "locked" : "unlocked");
    return ouro_waiters_repr(lock, lock->base.st->types.Lock, extra,
                             &lock->waiters);
}

/* ---- life --------------------------------------------------------------- */

static int
lock_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    LockObject *lock = as_lock(self);
    if (ouro_parse_init(&init_signature, args, kwargs, NULL) < 0) {
        return -1;
    }
    lock->has_waiters = false;
    ouro_ring_clear(&lock->waiters);
    Py_XSETREF(lock->locked, Py_NewRef(Py_False));
    return 0;
}

PyObject *
ouro_lock_new(ouro_state *st)
{
    PyObject *self = ouro_loop_bound_new(st->types.Lock, NULL, NULL);
    if (self != NULL) {
        as_lock(self)->locked = Py_NewRef(Py_False);
    }
    return self;
}

static int
lock_traverse(PyObject *self, visitproc visit, void *arg)
{
    LockObject *lock = as_lock(self);
    Py_VISIT(lock->locked);
    int stop = ouro_ring_traverse(&lock->waiters, visit, arg);
    return stop != 0 ? stop
                     : ouro_loop_bound_traverse(&lock->base, visit, arg);
}

static int
lock_clear(PyObject *self)
{
    LockObject *lock = as_lock(self);
    ouro_ring_clear(&lock->waiters);
    Py_CLEAR(lock->locked);
    ouro_loop_bound_clear(&lock->base);
    return 0;
}

PyDoc_STRVAR(lock_doc, "Lock()\n--\n\n\
A mutual exclusion lock for tasks.\n\n\
A task waits in acquire() until the lock is free and frees it with\n\
release(); `async with lock:` does both.  Tasks get the lock in the order\n\
in which they asked for it.  It is not owned by a task: any may release it.");

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, (void *)lock_doc},
    {Py_tp_new, ouro_loop_bound_new},
    {Py_tp_init, lock_init},
    {Py_tp_traverse, lock_traverse},
    {Py_tp_clear, lock_clear},
    {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_repr, lock_repr},
    {Py_tp_methods, lock_methods},
    {Py_tp_getset, lock_getset},
    {Py_tp_members, lock_members},
    {0, NULL},
};

static PyType_Spec lock_spec = {
    .name = "asyncio.locks.Lock",
    .basicsize = sizeof(LockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = lock_slots,
};

int
ouro_lock_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_primitive(module, &lock_spec, true, NULL, lock_async_methods,
                           &st->types.Lock)
        < 0) {
        return -1;
    }
    return ouro_intact_init(&st->sync.Lock, st->types.Lock);
}
