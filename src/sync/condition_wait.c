/* condition_wait.c - Condition.wait(), wait_for() and `async with`.
 *
 * wait() lets the lock go, waits until notify() has set its future's result,
 * and takes the lock again, whatever happens meanwhile.  Its body goes
 *
 *     release -> WAITING (on the notification) -> RELOCK (for the lock)
 *
 * where every cancellation in RELOCK is remembered and the lock waited for
 * all the same.
 */
#include "sync/condition.h"

enum {
    STEP_RELOCK = STEP_OWN,
    STEP_RELOCK_DELEGATED,
};

/* ---- wait() ------------------------------------------------------------- */

/* In the body of wait(): a is the future it waits for, b the exception that
 * it will end with, c the lock that it waits for directly, n whether it was
 * cancelled while it waited for the lock (from 3.13, b is then that
 * CancelledError). */

/* The exception that is set ends the wait.  From 3.13 somebody else gets the
 * notification that may have been ours. */
static await_status
condition_wait_fail(AwaitObject *body)
{
    ConditionObject *self = ouro_as_condition(body->owner);
    if (!self->base.st->has.condition_passes_on) {
        return AWAIT_ERROR;
    }
    PyObject *exception = PyErr_GetRaisedException();
    return ouro_handled(exception, ouro_condition_notify_one(self));
}

/* The lock is ours again. */
static await_status
condition_wait_end(AwaitObject *body, PyObject **ret)
{
    ConditionObject *self = ouro_as_condition(body->owner);
    PyObject *pending = body->b;
    body->b = NULL;
    if (body->n && !self->base.st->has.condition_passes_on) {
        PyObject *cancelled =
            PyObject_CallNoArgs(self->base.st->stock.CancelledError);
        if (cancelled != NULL) {
            ouro_set_context(cancelled, pending);
            PyErr_SetRaisedException(cancelled);
        }
        Py_XDECREF(pending);
        return AWAIT_ERROR;
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
        return condition_wait_fail(body);
    }
    *ret = Py_NewRef(Py_True);
    return AWAIT_RETURN;
}

static await_status condition_relock(AwaitObject *body, PyObject **ret);

/* An exception, which is set, came while the lock was waited for.  Until 3.12
 * a new CancelledError will stand for all cancellations, from 3.13 the last
 * of them; both in the context of what ended the wait. */
static await_status
condition_relock_abort(AwaitObject *body, PyObject **ret)
{
    ouro_state *st = ouro_as_condition(body->owner)->base.st;
    bool keep = st->has.condition_passes_on;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *pending = body->n && keep ? PyException_GetContext(body->b)
                                        : Py_XNewRef(body->b);
    if (pending != NULL) {
        ouro_set_context(exception, pending);
        Py_DECREF(pending);
    }
    if (!PyErr_GivenExceptionMatches(exception, st->stock.CancelledError)) {
        PyErr_SetRaisedException(exception);
        return condition_wait_fail(body);
    }
    body->n = true;
    if (keep) {
        Py_XSETREF(body->b, exception);
    }
    else {
        Py_DECREF(exception);
    }
    return condition_relock(body, ret);
}

static await_status
condition_relock_delegate(AwaitObject *body, PyObject **ret)
{
    await_status status = ouro_delegate(
        body, ouro_as_condition(body->owner)->base.st->str.acquire, ret);
    body->step = STEP_RELOCK_DELEGATED;
    return status == AWAIT_ERROR ? condition_relock_abort(body, ret) : status;
}

static await_status
condition_relock(AwaitObject *body, PyObject **ret)
{
    LockObject *lock = ouro_condition_direct(ouro_as_condition(body->owner));
    if (lock == NULL) {
        return condition_relock_delegate(body, ret);
    }
    int taken = ouro_lock_try(lock);
    if (taken > 0) {
        return condition_wait_end(body, ret);
    }
    PyObject *fut = taken < 0 ? NULL : ouro_lock_park(lock);
    if (fut == NULL) {
        return condition_relock_abort(body, ret);
    }
    body->step = STEP_RELOCK;
    Py_XSETREF(body->a, fut);
    Py_XSETREF(body->c, Py_NewRef((PyObject *)lock));
    *ret = Py_NewRef(fut);
    return AWAIT_FUTURE;
}

/* The wait for the notification has failed with the exception that is set. */
static await_status
condition_wait_failed(AwaitObject *body, PyObject **ret)
{
    Py_XSETREF(body->b, PyErr_GetRaisedException());
    return condition_relock(body, ret);
}

/* Get in line and let the lock go.  Until 3.12 the future is made when the
 * lock has been released. */
static await_status
condition_wait_line_up(AwaitObject *body, PyObject **ret)
{
    ConditionObject *self = ouro_as_condition(body->owner);
    ouro_state *st = self->base.st;
    bool plain = ouro_condition_plain(self),
         early = st->has.condition_passes_on;
    body->step = STEP_WAITING;
    if (early) {
        body->a = ouro_new_waiter(&self->base, plain);
        if (body->a == NULL) {
            return AWAIT_ERROR;
        }
    }
    if (ouro_condition_release(self) < 0) {
        return AWAIT_ERROR;
    }
    if (!early) {
        body->a = ouro_new_waiter(&self->base, plain);
    }
    if (body->a == NULL || ouro_ring_append(st, &self->waiters, body->a) < 0) {
        return condition_wait_failed(body, ret);
    }
    *ret = Py_NewRef(body->a);
    return AWAIT_FUTURE;
}

static await_status
condition_wait_start(AwaitObject *body, PyObject **ret)
{
    int locked = ouro_condition_locked(ouro_as_condition(body->owner));
    if (locked > 0) {
        return condition_wait_line_up(body, ret);
    }
    if (locked == 0) {
        PyErr_SetString(PyExc_RuntimeError, "cannot wait on un-acquired lock");
    }
    return AWAIT_ERROR;
}

static await_status
condition_wait_poll(AwaitObject *body, PyObject **ret)
{
    ConditionObject *self = ouro_as_condition(body->owner);
    switch (body->step) {
    case STEP_START:
        return condition_wait_start(body, ret);
    case STEP_WAITING:
        if (ouro_ring_remove(self->base.st, &self->waiters, body->a) < 0) {
            return condition_wait_failed(body, ret);
        }
        return condition_relock(body, ret);
    case STEP_RELOCK:
        if (ouro_lock_take((LockObject *)body->c, body->a) < 0) {
            return condition_relock_abort(body, ret);
        }
        return condition_wait_end(body, ret);
    default:
        return condition_wait_end(body, ret);
    }
}

static await_status
condition_wait_abort(AwaitObject *body, PyObject **ret)
{
    ConditionObject *self = ouro_as_condition(body->owner);
    if (body->step == STEP_WAITING) {
        PyObject *exception = PyErr_GetRaisedException();
        ouro_handled(exception,
                     ouro_ring_remove(self->base.st, &self->waiters, body->a));
        return condition_wait_failed(body, ret);
    }
    if (body->step == STEP_RELOCK) {
        ouro_lock_abandon((LockObject *)body->c, body->a);
    }
    return condition_relock_abort(body, ret);
}

static const await_kind wait_kind = {
    "wait", "Condition.wait", condition_wait_poll, condition_wait_abort};

/* ---- wait_for() --------------------------------------------------------- */

static await_status
condition_wait_for_poll(AwaitObject *body, PyObject **ret)
{
    ConditionObject *self = ouro_as_condition(body->owner);
    PyObject *result = PyObject_CallNoArgs(body->b);
    int truth = result == NULL ? -1 : PyObject_IsTrue(result);
    if (truth > 0) {
        *ret = result;
        return AWAIT_RETURN;
    }
    Py_XDECREF(result);
    if (truth < 0) {
        return AWAIT_ERROR;
    }
    if (!ouro_condition_plain(self)) {
        return ouro_delegate(body, self->base.st->str.wait, ret);
    }
    *ret = (PyObject *)ouro_await_new(self->base.st, &wait_kind, body->owner);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static const await_kind wait_for_kind = {"wait_for", "Condition.wait_for",
                                         condition_wait_for_poll, NULL};

/* ---- async with --------------------------------------------------------- */

/* The lock that is waited for directly is in body->c. */
static await_status
condition_enter_poll(AwaitObject *body, PyObject **ret)
{
    if (body->step == STEP_WAITING) {
        if (ouro_lock_take((LockObject *)body->c, body->a) < 0) {
            return AWAIT_ERROR;
        }
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    LockObject *lock = ouro_condition_direct(ouro_as_condition(body->owner));
    if (body->step == STEP_DELEGATED || lock == NULL) {
        return ouro_enter_poll(body, ret);
    }
    int taken = ouro_lock_try(lock);
    if (taken != 0) {
        *ret = Py_NewRef(Py_None);
        return taken < 0 ? AWAIT_ERROR : AWAIT_RETURN;
    }
    body->a = ouro_lock_park(lock);
    body->c = Py_NewRef((PyObject *)lock);
    body->step = STEP_WAITING;
    *ret = Py_XNewRef(body->a);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_FUTURE;
}

static await_status
condition_enter_abort(AwaitObject *body, PyObject **Py_UNUSED(ret))
{
    if (body->step == STEP_WAITING) {
        ouro_lock_abandon((LockObject *)body->c, body->a);
    }
    return AWAIT_ERROR;
}

static await_status
condition_exit_poll(AwaitObject *body, PyObject **ret)
{
    if (ouro_condition_release(ouro_as_condition(body->owner)) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind acquire_kind = {"acquire", "Lock.acquire"};
static const await_kind enter_kind = {OURO_ENTER_NAME, condition_enter_poll,
                                      condition_enter_abort,
                                      .inside = &acquire_kind};
static const await_kind exit_kind = {OURO_EXIT_NAME, condition_exit_poll,
                                     NULL};

/* ---- async methods ------------------------------------------------------ */

static const ouro_signature wait_for_signature =
    OURO_ONE_PARAMETER("Condition.wait_for", "predicate");

static PyObject *
condition_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    return ouro_await_call(ouro_as_condition(self)->base.st, &wait_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
condition_wait_for(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *predicate;
    if (ouro_parse_one(&wait_for_signature, args, nargs, kwnames, &predicate)
        < 0) {
        return NULL;
    }
    AwaitObject *body =
        ouro_await_new(ouro_as_condition(self)->base.st, &wait_for_kind, self);
    if (body != NULL) {
        body->b = Py_NewRef(predicate);
    }
    return (PyObject *)body;
}

static PyObject *
condition_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    return ouro_enter_new(ouro_as_condition(self)->base.st, self, &enter_kind,
                          args, nargs, kwnames);
}

static PyObject *
condition_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    return ouro_exit_new(ouro_as_condition(self)->base.st, self, &exit_kind,
                         args, nargs, kwnames);
}

const ouro_async_def ouro_condition_async_methods[] = {
    {"wait", condition_wait,
     "wait($self)\n--\n\n"
     "Release the lock, wait to be notified, take the lock again.\n\n"
     "Returns True.  Raises RuntimeError if the lock is not taken.  From\n"
     "3.13 it may return without a notification: check and wait again."},
    {"wait_for", condition_wait_for,
     "wait_for($self, predicate)\n--\n\n"
     "wait() until predicate() is true, and return what it returned."},
    {"__aenter__", condition_enter, "__aenter__($self)\n--\n\n"},
    {"__aexit__", condition_exit,
     "__aexit__($self, exc_type, exc, tb)\n--\n\n"},
    {NULL},
};
