/* condition.c - asyncio.Condition: the class, and notify().
 *
 * Who waits is in a line of its own, apart from those who wait for the lock.
 * notify() wakes the first of that line, which then get in line for the lock.
 * The waiting itself is in condition_wait.c.
 */
#include "sync/condition.h"

#include "base/rooms.h"

/* ---- the lock ----------------------------------------------------------- */

int
ouro_condition_locked(ConditionObject *self)
{
    LockObject *lock = ouro_condition_direct(self);
    return lock != NULL ? ouro_lock_locked(lock)
                        : ouro_call_truth(self, self->base.st->str.locked);
}

int
ouro_condition_release(ConditionObject *self)
{
    LockObject *lock = ouro_condition_direct(self);
    return lock != NULL ? ouro_lock_release(lock)
                        : ouro_call_method(self, self->base.st->str.release);
}

/* ---- notify() ----------------------------------------------------------- */

static int
condition_wake(ConditionObject *self, const ouro_number *n)
{
    ouro_ring_pass pass = ouro_ring_begin(&self->waiters);
    PyObject *fut;
    long long woken = 0;
    int result;
    while ((result = ouro_ring_next(&pass, &fut)) > 0) {
        int enough = ouro_number_reached(n, woken);
        result = enough != 0 ? enough
                             : ouro_waiter_wake(self->base.st, fut, Py_False);
        Py_DECREF(fut);
        if (enough != 0 || result < 0) {
            break;
        }
        woken += result;
    }
    ouro_ring_end(&pass);
    return result < 0 ? -1 : 0;
}

static int
condition_check_locked(ConditionObject *self)
{
    int locked = ouro_condition_locked(self);
    if (locked == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot notify on un-acquired lock");
    }
    return locked > 0 ? 0 : -1;
}

/* notify(n); from 3.13 by way of _notify(n). */
static int
condition_notify(ConditionObject *self, PyObject *n)
{
    ouro_state *st = self->base.st;
    if (condition_check_locked(self) < 0) {
        return -1;
    }
    if (st->has.condition_passes_on && !ouro_condition_plain(self)) {
        PyObject *result =
            PyObject_CallMethodOneArg((PyObject *)self, st->str._notify, n);
        Py_XDECREF(result);
        return result == NULL ? -1 : 0;
    }
    ouro_number number = {0};
    ouro_number_set(&number, n);
    int result = condition_wake(self, &number);
    Py_CLEAR(number.object);
    return result;
}

int
ouro_condition_notify_one(ConditionObject *self)
{
    if (ouro_condition_plain(self)) {
        return condition_wake(self, &(ouro_number){.n = 1, .set = true});
    }
    PyObject *one = PyLong_FromLong(1);
    PyObject *result =
        one == NULL ? NULL
                    : PyObject_CallMethodOneArg(
                        (PyObject *)self, self->base.st->str._notify, one);
    Py_XDECREF(one);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- methods ------------------------------------------------------------ */

static const ouro_signature notify_signature = {
    .qualname = "Condition.notify",
    .skip_self = 1,
    .positional = 1,
    .names = {"n", NULL},
};
static const ouro_signature notify_waiters_signature =
    OURO_ONE_PARAMETER("Condition._notify", "n");

static PyObject *
condition_method_notify(PyObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *n;
    if (ouro_parse_one(&notify_signature, args, nargs, kwnames, &n) < 0) {
        return NULL;
    }
    n = n != NULL ? Py_NewRef(n) : PyLong_FromLong(1);
    int result = n == NULL ? -1 : condition_notify(ouro_as_condition(self), n);
    Py_XDECREF(n);
    return ouro_none_or_error(result);
}

static PyObject *
condition_method__notify(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *n;
    if (ouro_parse_one(&notify_waiters_signature, args, nargs, kwnames, &n)
        < 0) {
        return NULL;
    }
    ouro_number number = {0};
    ouro_number_set(&number, n);
    int result = condition_wake(ouro_as_condition(self), &number);
    Py_CLEAR(number.object);
    return ouro_none_or_error(result);
}

/* self.notify(len(self._waiters)) */
static PyObject *
condition_method_notify_all(PyObject *self, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    ConditionObject *condition = ouro_as_condition(self);
    if (ouro_parse_none("Condition.notify_all", args, nargs, kwnames) < 0) {
        return NULL;
    }
    Py_ssize_t length = ouro_ring_length(&condition->waiters);
    PyObject *n = length < 0 ? NULL : PyLong_FromSsize_t(length);
    if (n == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (!ouro_condition_plain(condition)) {
        result =
            PyObject_CallMethodOneArg(self, condition->base.st->str.notify, n);
    }
    else if (condition_notify(condition, n) == 0) {
        result = Py_NewRef(Py_None);
    }
    Py_DECREF(n);
    Py_XDECREF(result);
    if (result == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef condition_methods[] = {
    OURO_METHOD("notify", condition_method_notify,
                "notify($self, n=1)\n--\n\n"
                "Wake n of those who wait, or all if they are fewer.\n\n"
                "Raises RuntimeError if the lock is not taken."),
    OURO_METHOD("notify_all", condition_method_notify_all,
                "notify_all($self)\n--\n\nWake all who wait; see notify()."),
    OURO_METHOD("_notify", condition_method__notify, NULL),
    {NULL},
};

/* ---- attributes --------------------------------------------------------- */

static PyObject *
condition_get_waiters(PyObject *self, void *Py_UNUSED(closure))
{
    ConditionObject *condition = ouro_as_condition(self);
    return ouro_ring_share(condition->base.st, &condition->waiters);
}

static int
condition_set_waiters(PyObject *self, PyObject *value,
                      void *Py_UNUSED(closure))
{
    ouro_ring_assign(&ouro_as_condition(self)->waiters, value);
    return 0;
}

/* What was set, or the method of the lock. */
static PyObject *
condition_method(PyObject *self, PyObject *value, const char *name)
{
    if (value != NULL) {
        return Py_NewRef(value);
    }
    PyObject *lock = ouro_as_condition(self)->lock;
    return lock != NULL ? PyObject_GetAttrString(lock, name)
                        : ouro_no_attribute(self, name);
}

static PyObject *
condition_get_locked(PyObject *self, void *Py_UNUSED(closure))
{
    return condition_method(self, ouro_as_condition(self)->locked, "locked");
}

static PyObject *
condition_get_acquire(PyObject *self, void *Py_UNUSED(closure))
{
    return condition_method(self, ouro_as_condition(self)->acquire, "acquire");
}

static PyObject *
condition_get_release(PyObject *self, void *Py_UNUSED(closure))
{
    return condition_method(self, ouro_as_condition(self)->release, "release");
}

static int
condition_set_locked(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(ouro_as_condition(self)->locked, Py_XNewRef(value));
    return 0;
}

static int
condition_set_acquire(PyObject *self, PyObject *value,
                      void *Py_UNUSED(closure))
{
    Py_XSETREF(ouro_as_condition(self)->acquire, Py_XNewRef(value));
    return 0;
}

static int
condition_set_release(PyObject *self, PyObject *value,
                      void *Py_UNUSED(closure))
{
    Py_XSETREF(ouro_as_condition(self)->release, Py_XNewRef(value));
    return 0;
}

static PyGetSetDef condition_getset[] = {
    {"_waiters", condition_get_waiters, condition_set_waiters, NULL, NULL},
    {"locked", condition_get_locked, condition_set_locked, NULL, NULL},
    {"acquire", condition_get_acquire, condition_set_acquire, NULL, NULL},
    {"release", condition_get_release, condition_set_release, NULL, NULL},
    {NULL},
};

static PyMemberDef condition_members[] = {
    {"_lock", T_OBJECT_EX, offsetof(ConditionObject, shown), 0, NULL},
    {NULL},
};

static PyObject *
condition_repr(PyObject *self)
{
    ConditionObject *condition = ouro_as_condition(self);
    int locked = ouro_condition_locked(condition);
    PyObject *extra =
        locked < 0 ? NULL
                   : PyUnicode_FromString(locked ? "locked" : "unlocked");
    return ouro_waiters_repr(condition, condition->base.st->types.Condition,
                             extra, &condition->waiters);
}

/* ---- life --------------------------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "Condition.__init__",
    .skip_self = 1,
    .positional = 1,
    .names = {"lock", NULL},
};

/* self.name = lock.name */
static int
copy_attribute(PyObject *self, PyObject *lock, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(lock, name);
    int result = value == NULL ? -1 : PyObject_SetAttr(self, name, value);
    Py_XDECREF(value);
    return result;
}

static int
condition_use(ConditionObject *self, PyObject *lock)
{
    ouro_state *st = self->base.st;
    Py_XSETREF(self->lock, Py_NewRef(lock));
    Py_XSETREF(self->shown, Py_NewRef(lock));
    Py_CLEAR(self->locked);
    Py_CLEAR(self->acquire);
    Py_CLEAR(self->release);
    if (Py_TYPE(self) == st->types.Condition && ouro_lock_plain(st, lock)) {
        return 0;
    }
    PyObject *object = (PyObject *)self;
    return copy_attribute(object, lock, st->str.locked) < 0
                   || copy_attribute(object, lock, st->str.acquire) < 0
                   || copy_attribute(object, lock, st->str.release) < 0
               ? -1
               : 0;
}

static int
condition_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    ConditionObject *condition = ouro_as_condition(self);
    PyObject *lock;
    if (ouro_parse_init(&init_signature, args, kwargs, &lock) < 0) {
        return -1;
    }
    lock = lock == NULL || lock == Py_None ? ouro_lock_new(condition->base.st)
                                           : Py_NewRef(lock);
    if (lock == NULL) {
        return -1;
    }
    int result = condition_use(condition, lock);
    Py_DECREF(lock);
    if (result == 0) {
        ouro_ring_clear(&condition->waiters);
    }
    return result;
}

static int
condition_traverse(PyObject *self, visitproc visit, void *arg)
{
    ConditionObject *condition = ouro_as_condition(self);
    Py_VISIT(condition->lock);
    Py_VISIT(condition->shown);
    Py_VISIT(condition->locked);
    Py_VISIT(condition->acquire);
    Py_VISIT(condition->release);
    int stop = ouro_ring_traverse(&condition->waiters, visit, arg);
    return stop != 0 ? stop
                     : ouro_loop_bound_traverse(&condition->base, visit, arg);
}

static int
condition_clear(PyObject *self)
{
    ConditionObject *condition = ouro_as_condition(self);
    ouro_ring_clear(&condition->waiters);
    Py_CLEAR(condition->lock);
    Py_CLEAR(condition->shown);
    Py_CLEAR(condition->locked);
    Py_CLEAR(condition->acquire);
    Py_CLEAR(condition->release);
    ouro_loop_bound_clear(&condition->base);
    return 0;
}

PyDoc_STRVAR(condition_doc, "Condition(lock=None)\n--\n\n\
To wait, holding a lock, until something has been changed by others.\n\n\
wait() releases the lock and waits for notify(); then it takes the lock\n\
again.  acquire(), release() and locked() are those of the lock, which is\n\
a new Lock if none is given.");

static PyType_Slot condition_slots[] = {
    {Py_tp_doc, (void *)condition_doc},
    {Py_tp_new, ouro_loop_bound_new},
    {Py_tp_init, condition_init},
    {Py_tp_traverse, condition_traverse},
    {Py_tp_clear, condition_clear},
    {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_repr, condition_repr},
    {Py_tp_methods, condition_methods},
    {Py_tp_getset, condition_getset},
    {Py_tp_members, condition_members},
    {0, NULL},
};

static PyType_Spec condition_spec = {
    .name = "asyncio.locks.Condition",
    .basicsize = sizeof(ConditionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = condition_slots,
};

int
ouro_condition_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_primitive(module, &condition_spec, true, NULL,
                           ouro_condition_async_methods, &st->types.Condition)
            < 0
        || (!st->has.condition_passes_on
            && ouro_remove_attribute(st->types.Condition, "_notify") < 0)) {
        return -1;
    }
    return ouro_intact_init(&st->sync.Condition, st->types.Condition);
}
