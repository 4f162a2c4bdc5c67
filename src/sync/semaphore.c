/* semaphore.c - asyncio.Semaphore and BoundedSemaphore.
 *
 * A permit that is released goes to the first waiter at once (_value counts
 * it as taken again), so nobody can get in between.  If that waiter is
 * cancelled before its turn comes, it passes the permit on.
 */
#include "base/rooms.h"
#include "sync/mixin.h"
#include "sync/number.h"

typedef struct SemaphoreObject {
    LoopBoundObject base;
    ouro_ring waiters;
    bool has_waiters;  /* _waiters is not None */
    ouro_number value; /* _value */
} SemaphoreObject;

typedef struct BoundedSemaphoreObject {
    SemaphoreObject semaphore;
    ouro_number bound; /* _bound_value */
} BoundedSemaphoreObject;

static SemaphoreObject *
as_semaphore(PyObject *self)
{
    return (SemaphoreObject *)self;
}

static BoundedSemaphoreObject *
as_bounded(void *self)
{
    return (BoundedSemaphoreObject *)self;
}

static bool
bounded_plain(SemaphoreObject *self)
{
    return ouro_plain(&self->base, &self->base.st->sync.BoundedSemaphore);
}

static bool
semaphore_plain(SemaphoreObject *self)
{
    return ouro_plain(&self->base, &self->base.st->sync.Semaphore)
           || bounded_plain(self);
}

/* ---- what it does ------------------------------------------------------- */

/* No permit is left, or others have been waiting for those that are. */
static int
semaphore_locked(SemaphoreObject *self)
{
    if (!self->value.set) {
        ouro_no_attribute(self, "_value");
        return -1;
    }
    int none = ouro_number_compare(&self->value, 0, Py_EQ);
    if (none != 0) {
        return none;
    }
    int cancelled = ouro_all_cancelled(self->base.st, &self->waiters);
    return cancelled < 0 ? -1 : !cancelled;
}

static int
semaphore_call_locked(SemaphoreObject *self)
{
    return semaphore_plain(self)
               ? semaphore_locked(self)
               : ouro_call_truth(self, self->base.st->str.locked);
}

/* Give a permit to the first who waits: whether there was one, or -1. */
static int
semaphore_wake_up_next(SemaphoreObject *self)
{
    PyObject *fut;
    int found = ouro_ring_truth(&self->waiters);
    if (found > 0) {
        found = ouro_first_pending(self->base.st, &self->waiters, &fut);
    }
    if (found <= 0) {
        return found;
    }
    if (ouro_number_decrement(&self->value) < 0
        || ouro_waiter_wake(self->base.st, fut, Py_True) < 0) {
        found = -1;
    }
    Py_DECREF(fut);
    return found;
}

static int
semaphore_call_wake_up_next(SemaphoreObject *self)
{
    return semaphore_plain(self)
               ? semaphore_wake_up_next(self)
               : ouro_call_truth(self, self->base.st->str._wake_up_next);
}

static int
semaphore_release(SemaphoreObject *self)
{
    if (!self->value.set) {
        ouro_no_attribute(self, "_value");
        return -1;
    }
    if (ouro_number_increment(&self->value) < 0) {
        return -1;
    }
    return semaphore_call_wake_up_next(self) < 0 ? -1 : 0;
}

/* _value >= _bound_value */
static int
bounded_full(BoundedSemaphoreObject *self)
{
    ouro_number *value = &self->semaphore.value;
    if (ouro_number_plain(value)) {
        return ouro_number_reached(&self->bound, value->n);
    }
    PyObject *left = ouro_number_get(value, (PyObject *)self, "_value");
    PyObject *right =
        ouro_number_get(&self->bound, (PyObject *)self, "_bound_value");
    int result = -1;
    if (left != NULL && right != NULL) {
        result = PyObject_RichCompareBool(left, right, Py_GE);
    }
    Py_XDECREF(left);
    Py_XDECREF(right);
    return result;
}

static int
bounded_release(SemaphoreObject *self)
{
    int full = bounded_full(as_bounded(self));
    if (full > 0) {
        PyErr_SetString(PyExc_ValueError,
                        "BoundedSemaphore released too many times");
    }
    return full != 0 ? -1 : semaphore_release(self);
}

/* Permits that came back while others were in line before us: to them. */
static int
semaphore_pass_on(SemaphoreObject *self)
{
    bool all = self->base.st->has.semaphore_passes_on;
    int left, woken = 1;
    do {
        left = ouro_number_compare(&self->value, 0, Py_GT);
        if (left > 0) {
            woken = semaphore_call_wake_up_next(self);
        }
    } while (all && left > 0 && woken > 0);
    return left < 0 || woken < 0 ? -1 : 0;
}

/* Cancelled in the wait: a permit that we had been given already goes back.
 */
static int
semaphore_give_back(SemaphoreObject *self, PyObject *fut)
{
    ouro_state *st = self->base.st;
    bool late = st->has.semaphore_passes_on;
    int given = ouro_waiter_cancelled(st, fut);
    if (given >= 0) {
        given = !given;
    }
    if (given > 0 && late) {
        given = ouro_waiter_done(st, fut);
    }
    if (given <= 0) {
        return given;
    }
    if (ouro_number_increment(&self->value) < 0) {
        return -1;
    }
    /* From 3.13, what goes back is passed on with the rest. */
    return late ? 0 : semaphore_call_wake_up_next(self);
}

/* ---- acquire(), async with ---------------------------------------------- */

static await_status semaphore_acquire_poll(AwaitObject *self, PyObject **ret);
static await_status semaphore_acquire_abort(AwaitObject *self, PyObject **ret);
static await_status semaphore_enter_poll(AwaitObject *self, PyObject **ret);
static await_status semaphore_enter_abort(AwaitObject *self, PyObject **ret);
static await_status semaphore_exit_poll(AwaitObject *self, PyObject **ret);

static const await_kind acquire_kind = {
    "acquire", "Semaphore.acquire", semaphore_acquire_poll,
    semaphore_acquire_abort, .small = true};
static const await_kind enter_kind = {OURO_ENTER_NAME, semaphore_enter_poll,
                                      semaphore_enter_abort, .small = true,
                                      .inside = &acquire_kind};
static const await_kind exit_kind = {OURO_EXIT_NAME, semaphore_exit_poll, NULL,
                                     .small = true};

static await_status
semaphore_acquired(AwaitObject *self, PyObject **ret)
{
    *ret =
        Py_NewRef(ouro_await_kind(self) == &acquire_kind ? Py_True : Py_None);
    return AWAIT_RETURN;
}

static await_status
semaphore_acquire_poll(AwaitObject *body, PyObject **ret)
{
    SemaphoreObject *self = as_semaphore(body->owner);
    if (body->step == STEP_WAITING) {
        if (ouro_ring_remove(self->base.st, &self->waiters,
                             ouro_await_parked(body))
                < 0
            || semaphore_pass_on(self) < 0) {
            return AWAIT_ERROR;
        }
        return semaphore_acquired(body, ret);
    }
    int locked = semaphore_call_locked(self);
    if (locked > 0) {
        self->has_waiters = true;
        return ouro_park_await(body, semaphore_plain(self), &self->waiters,
                               ret);
    }
    if (locked < 0 || ouro_number_decrement(&self->value) < 0) {
        return AWAIT_ERROR;
    }
    return semaphore_acquired(body, ret);
}

static await_status
semaphore_acquire_abort(AwaitObject *body, PyObject **Py_UNUSED(ret))
{
    SemaphoreObject *self = as_semaphore(body->owner);
    ouro_state *st = self->base.st;
    PyObject *exception = PyErr_GetRaisedException();
    int result = ouro_ring_remove(st, &self->waiters, ouro_await_parked(body));
    if (result == 0
        && PyErr_GivenExceptionMatches(exception, st->stock.CancelledError)) {
        result = semaphore_give_back(self, ouro_await_parked(body));
    }
    if (result >= 0 && st->has.semaphore_passes_on) {
        result = semaphore_pass_on(self);
    }
    return ouro_handled(exception, result);
}

static await_status
semaphore_enter_poll(AwaitObject *body, PyObject **ret)
{
    if (body->step == STEP_DELEGATED
        || (body->step == STEP_START
            && !semaphore_plain(as_semaphore(body->owner)))) {
        return ouro_enter_poll(body, ret);
    }
    return semaphore_acquire_poll(body, ret);
}

static await_status
semaphore_enter_abort(AwaitObject *body, PyObject **ret)
{
    return body->step == STEP_WAITING ? semaphore_acquire_abort(body, ret)
                                      : AWAIT_ERROR;
}

static await_status
semaphore_exit_poll(AwaitObject *body, PyObject **ret)
{
    SemaphoreObject *self = as_semaphore(body->owner);
    if (!semaphore_plain(self)) {
        return ouro_exit_poll(body, ret);
    }
    bool bounded = Py_TYPE(self) == self->base.st->types.BoundedSemaphore;
    if ((bounded ? bounded_release(self) : semaphore_release(self)) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static PyObject *
semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    return ouro_await_call(as_semaphore(self)->base.st, &acquire_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
semaphore_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    return ouro_enter_new(as_semaphore(self)->base.st, self, &enter_kind, args,
                          nargs, kwnames);
}

static PyObject *
semaphore_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    return ouro_exit_new(as_semaphore(self)->base.st, self, &exit_kind, args,
                         nargs, kwnames);
}

static const ouro_async_def semaphore_async_methods[] = {
    {"acquire", semaphore_acquire,
     "acquire($self)\n--\n\n"
     "Wait until a permit is free, take it and return True."},
    {"__aenter__", semaphore_enter, "__aenter__($self)\n--\n\n"},
    {"__aexit__", semaphore_exit,
     "__aexit__($self, exc_type, exc, tb)\n--\n\n"},
    {NULL},
};

/* ---- methods and attributes --------------------------------------------- */

static PyObject *
semaphore_method_locked(PyObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    if (ouro_parse_none("Semaphore.locked", args, nargs, kwnames) < 0) {
        return NULL;
    }
    int locked = semaphore_locked(as_semaphore(self));
    return locked < 0 ? NULL : PyBool_FromLong(locked);
}

static PyObject *
semaphore_method_release(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    if (ouro_parse_none("Semaphore.release", args, nargs, kwnames) < 0
        || semaphore_release(as_semaphore(self)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
bounded_method_release(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    if (ouro_parse_none("BoundedSemaphore.release", args, nargs, kwnames) < 0
        || bounded_release(as_semaphore(self)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
semaphore_method_wake_up_next(PyObject *self, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames)
{
    if (ouro_parse_none("Semaphore._wake_up_next", args, nargs, kwnames) < 0) {
        return NULL;
    }
    int woken = semaphore_wake_up_next(as_semaphore(self));
    if (woken < 0) {
        return NULL;
    }
    if (!as_semaphore(self)->base.st->has.semaphore_passes_on) {
        Py_RETURN_NONE;
    }
    return PyBool_FromLong(woken);
}

static PyMethodDef semaphore_methods[] = {
    OURO_METHOD(
        "locked", semaphore_method_locked,
        "locked($self)\n--\n\nReturn True if acquire() would have to wait."),
    OURO_METHOD("release", semaphore_method_release,
                "release($self)\n--\n\n"
                "Give a permit back and wake the first who waits for one."),
    OURO_METHOD("_wake_up_next", semaphore_method_wake_up_next, NULL),
    {NULL},
};

static PyMethodDef bounded_methods[] = {
    OURO_METHOD("release", bounded_method_release,
                "release($self)\n--\n\n"
                "Give a permit back and wake the first who waits for one.\n\n"
                "Raises ValueError if more come back than there were."),
    {NULL},
};

static PyObject *
semaphore_get_waiters(PyObject *self, void *Py_UNUSED(closure))
{
    SemaphoreObject *semaphore = as_semaphore(self);
    if (!semaphore->has_waiters) {
        Py_RETURN_NONE;
    }
    return ouro_ring_share(semaphore->base.st, &semaphore->waiters);
}

static int
semaphore_set_waiters(PyObject *self, PyObject *value,
                      void *Py_UNUSED(closure))
{
    SemaphoreObject *semaphore = as_semaphore(self);
    semaphore->has_waiters = value != NULL && value != Py_None;
    ouro_ring_assign(&semaphore->waiters,
                     semaphore->has_waiters ? value : NULL);
    return 0;
}

static PyObject *
semaphore_get_value(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_number_get(&as_semaphore(self)->value, self, "_value");
}

static int
semaphore_set_value(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return ouro_number_assign(&as_semaphore(self)->value, value, "_value");
}

static PyObject *
bounded_get_bound(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_number_get(&as_bounded(self)->bound, self, "_bound_value");
}

static int
bounded_set_bound(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return ouro_number_assign(&as_bounded(self)->bound, value, "_bound_value");
}

static PyGetSetDef semaphore_getset[] = {
    {"_waiters", semaphore_get_waiters, semaphore_set_waiters, NULL, NULL},
    {"_value", semaphore_get_value, semaphore_set_value, NULL, NULL},
    {NULL},
};

static PyGetSetDef bounded_getset[] = {
    {"_bound_value", bounded_get_bound, bounded_set_bound, NULL, NULL},
    {NULL},
};

static PyObject *
semaphore_repr(PyObject *self)
{
    SemaphoreObject *semaphore = as_semaphore(self);
    PyObject *extra = NULL;
    int locked = semaphore_call_locked(semaphore);
    if (locked > 0) {
        extra = PyUnicode_FromString("locked");
    }
    else if (locked == 0) {
        PyObject *value = semaphore_get_value(self, NULL);
        if (value != NULL) {
            extra = PyUnicode_FromFormat("unlocked, value:%S", value);
            Py_DECREF(value);
        }
    }
    return ouro_waiters_repr(semaphore, semaphore->base.st->types.Semaphore,
                             extra, &semaphore->waiters);
}

/* ---- life --------------------------------------------------------------- */

static int
semaphore_start(SemaphoreObject *self, PyObject *value)
{
    ouro_number number = {0};
    if (value == NULL) {
        ouro_number_set_int(&number, 1);
    }
    else {
        ouro_number_set(&number, value);
    }
    int negative = ouro_number_compare(&number, 0, Py_LT);
    if (negative != 0) {
        Py_CLEAR(number.object);
        if (negative > 0) {
            PyErr_SetString(PyExc_ValueError,
                            "Semaphore initial value must be >= 0");
        }
        return -1;
    }
    self->has_waiters = false;
    ouro_ring_clear(&self->waiters);
    PyObject *old = self->value.object;
    self->value = number;
    Py_XDECREF(old);
    return 0;
}

static const ouro_signature init_signature = {
    .qualname = "Semaphore.__init__",
    .skip_self = 1,
    .positional = 1,
    .names = {"value", NULL},
};

static const ouro_signature bounded_init_signature = {
    .qualname = "BoundedSemaphore.__init__",
    .skip_self = 1,
    .positional = 1,
    .names = {"value", NULL},
};

static int
semaphore_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *value;
    if (ouro_parse_init(&init_signature, args, kwargs, &value) < 0) {
        return -1;
    }
    return semaphore_start(as_semaphore(self), value);
}

static int
bounded_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *value;
    if (ouro_parse_init(&bounded_init_signature, args, kwargs, &value) < 0
        || semaphore_start(as_semaphore(self), value) < 0) {
        return -1;
    }
    if (value == NULL) {
        ouro_number_set_int(&as_bounded(self)->bound, 1);
    }
    else {
        ouro_number_set(&as_bounded(self)->bound, value);
    }
    return 0;
}

static int
semaphore_traverse(PyObject *self, visitproc visit, void *arg)
{
    SemaphoreObject *semaphore = as_semaphore(self);
    Py_VISIT(semaphore->value.object);
    int stop = ouro_ring_traverse(&semaphore->waiters, visit, arg);
    return stop != 0 ? stop
                     : ouro_loop_bound_traverse(&semaphore->base, visit, arg);
}

static int
semaphore_clear(PyObject *self)
{
    SemaphoreObject *semaphore = as_semaphore(self);
    ouro_ring_clear(&semaphore->waiters);
    Py_CLEAR(semaphore->value.object);
    ouro_loop_bound_clear(&semaphore->base);
    return 0;
}

static int
bounded_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(as_bounded(self)->bound.object);
    return semaphore_traverse(self, visit, arg);
}

static int
bounded_clear(PyObject *self)
{
    Py_CLEAR(as_bounded(self)->bound.object);
    return semaphore_clear(self);
}

PyDoc_STRVAR(semaphore_doc, "Semaphore(value=1)\n--\n\n\
A number of permits that tasks take and give back.\n\n\
acquire() waits until one is free; release() gives one back; `async with`\n\
does both.  Tasks get permits in the order in which they asked.  Raises\n\
ValueError if value is less than 0.");

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)semaphore_doc},
    {Py_tp_new, ouro_loop_bound_new},
    {Py_tp_init, semaphore_init},
    {Py_tp_traverse, semaphore_traverse},
    {Py_tp_clear, semaphore_clear},
    {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_repr, semaphore_repr},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_getset, semaphore_getset},
    {0, NULL},
};

static PyType_Spec semaphore_spec = {
    .name = "asyncio.locks.Semaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = semaphore_slots,
};

PyDoc_STRVAR(bounded_doc, "BoundedSemaphore(value=1)\n--\n\n\
A Semaphore whose release() raises ValueError if more permits come back\n\
than there were at the start.");

static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, (void *)bounded_doc},         {Py_tp_init, bounded_init},
    {Py_tp_traverse, bounded_traverse},       {Py_tp_clear, bounded_clear},
    {Py_tp_dealloc, ouro_loop_bound_dealloc}, {Py_tp_methods, bounded_methods},
    {Py_tp_getset, bounded_getset},           {0, NULL},
};

static PyType_Spec bounded_spec = {
    .name = "asyncio.locks.BoundedSemaphore",
    .basicsize = sizeof(BoundedSemaphoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = bounded_slots,
};

int
ouro_semaphore_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_primitive(module, &semaphore_spec, true, NULL,
                           semaphore_async_methods, &st->types.Semaphore)
            < 0
        || ouro_add_primitive(module, &bounded_spec, false,
                              st->types.Semaphore, NULL,
                              &st->types.BoundedSemaphore)
               < 0
        || ouro_intact_init(&st->sync.Semaphore, st->types.Semaphore) < 0) {
        return -1;
    }
    return ouro_intact_init(&st->sync.BoundedSemaphore,
                            st->types.BoundedSemaphore);
}
