/* barrier_wait.c - what tasks do at a Barrier: wait, reset it, abort it.
 *
 * A state and a count, changed under a Condition that everybody is notified
 * by: FILLING until the last party has come, then DRAINING until the last has
 * left; RESETTING and BROKEN throw the waiting ones out.
 *
 * A barrier is not on anyone's fast path: it calls the methods of itself and
 * of its Condition by name.
 */
#include "sync/barrier.h"

/* ---- states ------------------------------------------------------------- */

static bool
barrier_is_leaving(BarrierObject *self)
{
    const ouro_imports *stock = &self->base.st->stock;
    return ouro_barrier_is(self, stock->barrier_draining)
           || ouro_barrier_is(self, stock->barrier_resetting);
}

static void
barrier_become(BarrierObject *self, PyObject *member)
{
    Py_XSETREF(self->state, Py_NewRef(member));
}

static await_status
barrier_broken(BarrierObject *self, const char *message)
{
    PyErr_SetString(self->base.st->stock.BrokenBarrierError, message);
    return AWAIT_ERROR;
}

/* self._cond: a new reference. */
static PyObject *
barrier_cond(BarrierObject *self)
{
    return self->cond != NULL ? Py_NewRef(self->cond)
                              : ouro_no_attribute(self, "_cond");
}

static int
barrier_notify_all(BarrierObject *self)
{
    PyObject *cond = barrier_cond(self);
    if (cond == NULL) {
        return -1;
    }
    int result = ouro_call_method(cond, self->base.st->str.notify_all);
    Py_DECREF(cond);
    return result;
}

/* Whoever leaves last opens the barrier again. */
int
ouro_barrier_exit(BarrierObject *self)
{
    int last = ouro_number_compare(&self->count, 0, Py_EQ);
    if (last <= 0) {
        return last;
    }
    if (barrier_is_leaving(self)) {
        barrier_become(self, self->base.st->stock.barrier_filling);
    }
    return barrier_notify_all(self);
}

/* ---- delegating --------------------------------------------------------- */

/* Await cond.name(). */
static await_status
await_cond(AwaitObject *body, PyObject *name, PyObject **ret)
{
    PyObject *cond = barrier_cond(ouro_as_barrier(body->owner));
    if (cond == NULL) {
        return AWAIT_ERROR;
    }
    *ret = PyObject_CallMethodNoArgs(cond, name);
    Py_DECREF(cond);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* Await cond.__aexit__() for body->b, the exception that leaves the block,
 * or NULL. */
static await_status
await_cond_exit(AwaitObject *body, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    PyObject *exception = body->b;
    PyObject *type = Py_None, *traceback = NULL;
    PyObject *cond = barrier_cond(self);
    if (cond == NULL) {
        return AWAIT_ERROR;
    }
    if (exception != NULL) {
        type = (PyObject *)Py_TYPE(exception);
        traceback = PyException_GetTraceback(exception);
    }
    *ret = PyObject_CallMethodObjArgs(cond, self->base.st->str.__aexit__, type,
                                      exception != NULL ? exception : Py_None,
                                      traceback != NULL ? traceback : Py_None,
                                      NULL);
    Py_XDECREF(traceback);
    Py_DECREF(cond);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* The block is left with the exception that is set. */
static await_status
leave_with_error(AwaitObject *body, PyObject **ret)
{
    Py_XSETREF(body->b, PyErr_GetRaisedException());
    return await_cond_exit(body, ret);
}

/* __aexit__() has returned: 1, the block's exception goes on; 0; -1. */
static int
check_exit(AwaitObject *body)
{
    if (body->b == NULL) {
        return 0;
    }
    int swallow = PyObject_IsTrue(body->value);
    if (swallow == 0) {
        PyErr_SetRaisedException(body->b);
        body->b = NULL;
        return 1;
    }
    return swallow < 0 ? -1 : 0;
}

/* __aexit__() has failed with the exception that is set. */
static await_status
exit_failed(AwaitObject *body)
{
    if (body->b != NULL) {
        return ouro_handled(Py_NewRef(body->b), -1);
    }
    return AWAIT_ERROR;
}

/* ---- wait() ------------------------------------------------------------- */

enum {
    WAIT_ENTER = STEP_OWN, /* cond.__aenter__() */
    WAIT_BLOCK,            /* self._block(): until it fills */
    WAIT_FILL,             /* self._release() or self._wait() */
    WAIT_EXIT,             /* cond.__aexit__() */
};

/* One more is here: release all, or wait for the rest. a: its index. */
static await_status
barrier_wait_come(AwaitObject *body, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    ouro_state *st = self->base.st;
    PyObject *index = ouro_number_get(&self->count, body->owner, "_count");
    if (index == NULL) {
        return AWAIT_ERROR;
    }
    body->a = index;
    if (ouro_number_increment(&self->count) < 0) {
        return AWAIT_ERROR;
    }
    body->step = WAIT_FILL;
    int last = ouro_number_compare(&self->parties, self->count.n, Py_EQ);
    *ret = last < 0 ? NULL
                    : PyObject_CallMethodNoArgs(
                        body->owner, last ? st->str._release : st->str._wait);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static int
barrier_wait_go(BarrierObject *self)
{
    return ouro_number_decrement(&self->count) < 0
                   || ouro_call_method(self, self->base.st->str._exit) < 0
               ? -1
               : 0;
}

static await_status
barrier_wait_end(AwaitObject *body, PyObject **ret)
{
    if (check_exit(body) != 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(body->b == NULL && body->a != NULL ? body->a : Py_None);
    return AWAIT_RETURN;
}

static await_status
barrier_wait_poll(AwaitObject *body, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    ouro_state *st = self->base.st;
    await_status status;
    switch (body->step) {
    case STEP_START:
        body->step = WAIT_ENTER;
        return await_cond(body, st->str.__aenter__, ret);
    case WAIT_ENTER:
        body->step = WAIT_BLOCK;
        *ret = PyObject_CallMethodNoArgs(body->owner, st->str._block);
        status = *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
        break;
    case WAIT_BLOCK:
        status = barrier_wait_come(body, ret);
        if (status == AWAIT_ERROR && body->step == WAIT_FILL) {
            PyObject *error = PyErr_GetRaisedException();
            ouro_handled(error, barrier_wait_go(self));
        }
        break;
    case WAIT_FILL:
        status = barrier_wait_go(self) < 0 ? AWAIT_ERROR
                                           : await_cond_exit(body, ret);
        if (status != AWAIT_ERROR) {
            body->step = WAIT_EXIT;
        }
        break;
    default:
        return barrier_wait_end(body, ret);
    }
    if (status == AWAIT_ERROR) {
        body->step = WAIT_EXIT;
        return leave_with_error(body, ret);
    }
    return status;
}

static await_status
barrier_wait_abort(AwaitObject *body, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    switch (body->step) {
    case WAIT_ENTER:
        return AWAIT_ERROR;
    case WAIT_EXIT:
        return exit_failed(body);
    case WAIT_FILL: {
        PyObject *error = PyErr_GetRaisedException();
        ouro_handled(error, barrier_wait_go(self));
        break;
    }
    default:
        break;
    }
    body->step = WAIT_EXIT;
    return leave_with_error(body, ret);
}

static const await_kind wait_kind = {"wait", "Barrier.wait", barrier_wait_poll,
                                     barrier_wait_abort};

/* ---- _block(), _wait(), _release() -------------------------------------- */

/* Await cond.wait_for(predicate bound to self). */
static await_status
await_state(AwaitObject *body, PyMethodDef *predicate, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    PyObject *cond = barrier_cond(self);
    PyObject *function =
        cond == NULL ? NULL : PyCFunction_New(predicate, body->owner);
    *ret = NULL;
    if (function != NULL) {
        *ret = PyObject_CallMethodOneArg(cond, self->base.st->str.wait_for,
                                         function);
        Py_DECREF(function);
    }
    Py_XDECREF(cond);
    body->step = STEP_DELEGATED;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static PyObject *
state_is_open(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(!barrier_is_leaving(ouro_as_barrier(self)));
}

static PyObject *
state_is_filled(PyObject *self, PyObject *Py_UNUSED(none))
{
    BarrierObject *barrier = ouro_as_barrier(self);
    return PyBool_FromLong(
        !ouro_barrier_is(barrier, barrier->base.st->stock.barrier_filling));
}

static PyMethodDef open_predicate = {"<lambda>", state_is_open, METH_NOARGS,
                                     NULL};
static PyMethodDef filled_predicate = {"<lambda>", state_is_filled,
                                       METH_NOARGS, NULL};

static await_status
barrier_block_poll(AwaitObject *body, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    if (body->step == STEP_START) {
        return await_state(body, &open_predicate, ret);
    }
    if (ouro_barrier_is(self, self->base.st->stock.barrier_broken)) {
        return barrier_broken(self, "Barrier aborted");
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static await_status
barrier_fill_poll(AwaitObject *body, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    const ouro_imports *stock = &self->base.st->stock;
    if (body->step == STEP_START) {
        return await_state(body, &filled_predicate, ret);
    }
    if (ouro_barrier_is(self, stock->barrier_broken)
        || ouro_barrier_is(self, stock->barrier_resetting)) {
        return barrier_broken(self, "Abort or reset of barrier");
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static await_status
barrier_release_poll(AwaitObject *body, PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    barrier_become(self, self->base.st->stock.barrier_draining);
    if (barrier_notify_all(self) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind block_kind = {"_block", "Barrier._block",
                                      barrier_block_poll, NULL};
static const await_kind fill_kind = {"_wait", "Barrier._wait",
                                     barrier_fill_poll, NULL};
static const await_kind release_kind = {"_release", "Barrier._release",
                                        barrier_release_poll, NULL};

/* ---- reset(), abort() --------------------------------------------------- */

static int
barrier_reset(BarrierObject *self)
{
    const ouro_imports *stock = &self->base.st->stock;
    int occupied = ouro_number_compare(&self->count, 0, Py_GT);
    if (occupied < 0) {
        return -1;
    }
    barrier_become(self, occupied ? stock->barrier_resetting
                                  : stock->barrier_filling);
    return barrier_notify_all(self);
}

static int
barrier_abort(BarrierObject *self)
{
    barrier_become(self, self->base.st->stock.barrier_broken);
    return barrier_notify_all(self);
}

/* async with cond: change(self) */
static await_status
change_poll(AwaitObject *body, int (*change)(BarrierObject *), PyObject **ret)
{
    BarrierObject *self = ouro_as_barrier(body->owner);
    switch (body->step) {
    case STEP_START:
        body->step = WAIT_ENTER;
        return await_cond(body, self->base.st->str.__aenter__, ret);
    case WAIT_ENTER:
        body->step = WAIT_EXIT;
        return change(self) < 0 ? leave_with_error(body, ret)
                                : await_cond_exit(body, ret);
    default:
        if (check_exit(body) != 0) {
            return AWAIT_ERROR;
        }
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
}

static await_status
change_cancelled(AwaitObject *body, PyObject **Py_UNUSED(ret))
{
    return exit_failed(body);
}

static await_status
reset_poll(AwaitObject *body, PyObject **ret)
{
    return change_poll(body, barrier_reset, ret);
}

static await_status
abort_poll(AwaitObject *body, PyObject **ret)
{
    return change_poll(body, barrier_abort, ret);
}

static const await_kind reset_kind = {"reset", "Barrier.reset", reset_poll,
                                      change_cancelled};
static const await_kind abort_kind = {"abort", "Barrier.abort", abort_poll,
                                      change_cancelled};

/* ---- async with --------------------------------------------------------- */

static await_status
barrier_enter_poll(AwaitObject *body, PyObject **ret)
{
    if (body->step == STEP_START) {
        return ouro_delegate(
            body, ouro_as_barrier(body->owner)->base.st->str.wait, ret);
    }
    *ret = Py_NewRef(body->value);
    return AWAIT_RETURN;
}

static await_status
barrier_leave_poll(AwaitObject *Py_UNUSED(body), PyObject **ret)
{
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind enter_kind = {"__aenter__", "Barrier.__aenter__",
                                      barrier_enter_poll, NULL};
static const await_kind leave_kind = {"__aexit__", "Barrier.__aexit__",
                                      barrier_leave_poll, NULL};

/* ---- async methods ------------------------------------------------------ */

static PyObject *
barrier_method_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    return ouro_await_call(ouro_as_barrier(self)->base.st, &wait_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
barrier_method_reset(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return ouro_await_call(ouro_as_barrier(self)->base.st, &reset_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
barrier_method_abort(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return ouro_await_call(ouro_as_barrier(self)->base.st, &abort_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
barrier_method__block(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    return ouro_await_call(ouro_as_barrier(self)->base.st, &block_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
barrier_method__wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return ouro_await_call(ouro_as_barrier(self)->base.st, &fill_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
barrier_method__release(PyObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    return ouro_await_call(ouro_as_barrier(self)->base.st, &release_kind, self,
                           args, nargs, kwnames);
}

static PyObject *
barrier_method_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return ouro_await_call(ouro_as_barrier(self)->base.st, &enter_kind, self,
                           args, nargs, kwnames);
}

static const ouro_signature leave_signature = {
    .qualname = "Barrier.__aexit__",
    .skip_self = 1,
    .names = {NULL},
    .varargs = true,
};

static PyObject *
barrier_method_leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    if (kwnames != NULL
        && ouro_parse(&leave_signature, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    return (PyObject *)ouro_await_new(ouro_as_barrier(self)->base.st,
                                      &leave_kind, self);
}

const ouro_async_def ouro_barrier_async_methods[] = {
    {"wait", barrier_method_wait,
     "wait($self)\n--\n\n"
     "Wait until all parties have come.\n\n"
     "Returns an index from 0 to parties-1, another for each.  Raises\n"
     "BrokenBarrierError if the barrier is reset or aborted."},
    {"reset", barrier_method_reset,
     "reset($self)\n--\n\n"
     "Start anew: who waits gets a BrokenBarrierError."},
    {"abort", barrier_method_abort,
     "abort($self)\n--\n\n"
     "Break the barrier: who waits, or will, gets a BrokenBarrierError."},
    {"__aenter__", barrier_method_enter, "__aenter__($self)\n--\n\n"},
    {"__aexit__", barrier_method_leave, "__aexit__($self, *args)\n--\n\n"},
    {"_block", barrier_method__block, "_block($self)\n--\n\n"},
    {"_wait", barrier_method__wait, "_wait($self)\n--\n\n"},
    {"_release", barrier_method__release, "_release($self)\n--\n\n"},
    {NULL},
};
