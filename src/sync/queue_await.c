/* queue_await.c - get(), put() and join(): the operations that may wait.
 *
 * Who cannot go on parks a future at the end of its line and looks again when
 * it is woken.  Who is cancelled takes itself out of the line, and if it had
 * been woken already, wakes the next in its place.
 */
#include "sync/queue.h"
#include "task/future.h"

/* ---- giving up ---------------------------------------------------------- */

/* waiters.remove(fut), if it is still there. */
static int
line_leave(ouro_state *st, ouro_ring *waiters, PyObject *fut)
{
    if (ouro_ring_remove(st, waiters, fut) == 0) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

/* An exception, whatever it is, came in the place of the wake-up. */
static int
line_give_up(QueueObject *self, PyObject *fut, ouro_ring *waiters,
             int (*blocked)(QueueObject *))
{
    ouro_state *st = self->base.st;
    if (ouro_anyfuture_cancel(st, fut, NULL) < 0
        || line_leave(st, waiters, fut) < 0) {
        return -1;
    }
    int result = blocked(self);
    if (result != 0) {
        return result < 0 ? -1 : 0;
    }
    result = ouro_waiter_cancelled(st, fut);
    if (result != 0) {
        return result < 0 ? -1 : 0;
    }
    return ouro_queue_call_wakeup_next(self, waiters);
}

/* ---- get() -------------------------------------------------------------- */

/* From 3.13: if self._is_shutdown and self.empty() */
static int
get_is_shutdown(QueueObject *self)
{
    return self->is_shutdown ? ouro_queue_call_empty(self) : 0;
}

static await_status
queue_private_get_poll(AwaitObject *body, QueueObject *self, PyObject **ret)
{
    if (self->items.count == 0) {
        return ouro_park_await(body, true, &self->getters, ret);
    }
    *ret = ouro_queue_private_get(self);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
queue_get_poll(AwaitObject *body, PyObject **ret)
{
    QueueObject *self = ouro_as_queue(body->owner);
    if (ouro_queue_private(self) && !self->is_shutdown) {
        return queue_private_get_poll(body, self, ret);
    }
    bool plain = ouro_queue_plain(self);
    int empty = ouro_queue_call_empty(self);
    if (empty > 0) {
        int down = get_is_shutdown(self);
        if (down != 0) {
            return down < 0 ? AWAIT_ERROR
                            : (await_status)ouro_queue_raise_shutdown(self);
        }
        return ouro_park_await(body, plain, &self->getters, ret);
    }
    if (empty < 0) {
        return AWAIT_ERROR;
    }
    *ret = plain ? ouro_queue_get_nowait(self)
                 : PyObject_CallMethodNoArgs(body->owner,
                                             self->base.st->str.get_nowait);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
queue_get_abort(AwaitObject *body, PyObject **Py_UNUSED(ret))
{
    QueueObject *self = ouro_as_queue(body->owner);
    PyObject *exception = PyErr_GetRaisedException();
    return ouro_handled(exception,
                        line_give_up(self, ouro_await_parked(body),
                                     &self->getters, ouro_queue_call_empty));
}

static const await_kind get_kind = {"get", "Queue.get", queue_get_poll,
                                    queue_get_abort, .small = true};

/* ---- put() -------------------------------------------------------------- */

static await_status
queue_private_put_poll(AwaitObject *body, QueueObject *self, PyObject **ret)
{
    if (ouro_queue_private_full(self)) {
        return ouro_park_await(body, true, &self->putters, ret);
    }
    if (ouro_queue_private_put(self, body->b) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

/* The item is in body->b. */
static await_status
queue_put_poll(AwaitObject *body, PyObject **ret)
{
    QueueObject *self = ouro_as_queue(body->owner);
    if (ouro_queue_private(self) && !self->is_shutdown) {
        return queue_private_put_poll(body, self, ret);
    }
    bool plain = ouro_queue_plain(self);
    int full = ouro_queue_call_full(self);
    if (full > 0) {
        return self->is_shutdown
                   ? (await_status)ouro_queue_raise_shutdown(self)
                   : ouro_park_await(body, plain, &self->putters, ret);
    }
    if (full < 0) {
        return AWAIT_ERROR;
    }
    if (!plain) {
        *ret = PyObject_CallMethodOneArg(
            body->owner, self->base.st->str.put_nowait, body->b);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
    if (ouro_queue_put_nowait(self, body->b) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static await_status
queue_put_abort(AwaitObject *body, PyObject **Py_UNUSED(ret))
{
    QueueObject *self = ouro_as_queue(body->owner);
    PyObject *exception = PyErr_GetRaisedException();
    return ouro_handled(exception, line_give_up(self, body->a, &self->putters,
                                                ouro_queue_call_full));
}

static const await_kind put_kind = {"put", "Queue.put", queue_put_poll,
                                    queue_put_abort};

/* ---- join() ------------------------------------------------------------- */

static await_status
queue_join_start(AwaitObject *body, PyObject **ret)
{
    QueueObject *self = ouro_as_queue(body->owner);
    ouro_state *st = self->base.st;
    body->step = STEP_DELEGATED;
    if (self->finished == NULL) {
        ouro_no_attribute(self, "_finished");
        return AWAIT_ERROR;
    }
    PyObject *event = Py_NewRef(self->finished);
    *ret = ouro_event_plain(st, event)
               ? ouro_event_wait((EventObject *)event)
               : PyObject_CallMethodNoArgs(event, st->str.wait);
    Py_DECREF(event);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
queue_join_poll(AwaitObject *body, PyObject **ret)
{
    QueueObject *self = ouro_as_queue(body->owner);
    if (body->step == STEP_START) {
        int left = ouro_number_compare(&self->unfinished, 0, Py_GT);
        if (left != 0) {
            return left < 0 ? AWAIT_ERROR : queue_join_start(body, ret);
        }
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind join_kind = {"join", "Queue.join", queue_join_poll,
                                     NULL};

/* ---- methods ------------------------------------------------------------ */

static const ouro_signature put_signature =
    OURO_ONE_PARAMETER("Queue.put", "item");

static PyObject *
queue_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    return ouro_await_call(ouro_as_queue(self)->base.st, &get_kind, self, args,
                           nargs, kwnames);
}

static PyObject *
queue_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    PyObject *item;
    if (ouro_parse_one(&put_signature, args, nargs, kwnames, &item) < 0) {
        return NULL;
    }
    AwaitObject *body =
        ouro_await_new(ouro_as_queue(self)->base.st, &put_kind, self);
    if (body != NULL) {
        body->b = Py_NewRef(item);
    }
    return (PyObject *)body;
}

static PyObject *
queue_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    return ouro_await_call(ouro_as_queue(self)->base.st, &join_kind, self,
                           args, nargs, kwnames);
}

const ouro_async_def ouro_queue_async_methods[] = {
    {"get", queue_get,
     "get($self)\n--\n\n"
     "Wait for an item, take it out and return it.\n\n"
     "From 3.13, raises QueueShutDown if the queue is shut down and empty."},
    {"put", queue_put,
     "put($self, item)\n--\n\n"
     "Wait for a place and put an item there.\n\n"
     "From 3.13, raises QueueShutDown if the queue is shut down."},
    {"join", queue_join,
     "join($self)\n--\n\n"
     "Wait until task_done() has been called for every item."},
    {NULL},
};
