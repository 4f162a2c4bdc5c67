/* queue_ops.c - what a queue does at once: items in and out, and waking.
 *
 * Whoever puts an item wakes the first getter, whoever takes one wakes the
 * first putter.  The woken one looks again when its turn comes: what it was
 * woken for may be gone by then, and it waits once more.
 */
#include "sync/queue.h"

/* ---- empty(), full() ---------------------------------------------------- */

int
ouro_queue_empty(QueueObject *self)
{
    if (!self->has_items) {
        ouro_no_attribute(self, "_queue");
        return -1;
    }
    int truth = ouro_ring_truth(&self->items);
    return truth < 0 ? -1 : !truth;
}

int
ouro_queue_call_empty(QueueObject *self)
{
    return ouro_queue_plain(self)
               ? ouro_queue_empty(self)
               : ouro_call_truth(self, self->base.st->str.empty);
}

/* self.qsize() >= self._maxsize */
static int
method_qsize_reached(QueueObject *self)
{
    PyObject *size =
        PyObject_CallMethodNoArgs((PyObject *)self, self->base.st->str.qsize);
    PyObject *maxsize =
        size == NULL
            ? NULL
            : ouro_number_get(&self->maxsize, (PyObject *)self, "_maxsize");
    int result =
        maxsize == NULL ? -1 : PyObject_RichCompareBool(size, maxsize, Py_GE);
    Py_XDECREF(size);
    Py_XDECREF(maxsize);
    return result;
}

int
ouro_queue_full(QueueObject *self)
{
    if (!self->maxsize.set) {
        ouro_no_attribute(self, "_maxsize");
        return -1;
    }
    int endless = ouro_number_compare(&self->maxsize, 0, Py_LE);
    if (endless != 0) {
        return endless < 0 ? -1 : 0;
    }
    if (!ouro_queue_plain(self)) {
        return method_qsize_reached(self);
    }
    Py_ssize_t size = ouro_ring_length(&self->items);
    return size < 0 ? -1 : ouro_number_reached(&self->maxsize, size);
}

int
ouro_queue_call_full(QueueObject *self)
{
    return ouro_queue_plain(self)
               ? ouro_queue_full(self)
               : ouro_call_truth(self, self->base.st->str.full);
}

/* ---- waking ------------------------------------------------------------- */

/* Empty the line until one has been woken (all: to its end). 0 or -1. */
static inline int
wake(ouro_state *st, ouro_ring *waiters, bool all)
{
    int waiting;
    while ((waiting = ouro_ring_truth(waiters)) > 0) {
        PyObject *fut = ouro_ring_popleft(st, waiters);
        if (fut == NULL) {
            return -1;
        }
        int woken = ouro_waiter_wake(st, fut, Py_None);
        Py_DECREF(fut);
        if (woken < 0 || (woken > 0 && !all)) {
            return woken < 0 ? -1 : 0;
        }
    }
    return waiting;
}

int
ouro_queue_wakeup_next(ouro_state *st, ouro_ring *waiters)
{
    return wake(st, waiters, false);
}

/* Whether self._wakeup_next is still ours: if so, _getters and _putters need
 * not be shown to it. */
static bool
has_own_wakeup(QueueObject *self)
{
    ouro_state *st = self->base.st;
    PyObject *name = st->str._wakeup_next;
    return !ouro_no_attributes(self->base.dict)
           || _PyType_Lookup(Py_TYPE(self), name)
                  != PyDict_GetItemWithError(st->sync.Queue.made, name);
}

int
ouro_queue_call_wakeup_next(QueueObject *self, ouro_ring *waiters)
{
    ouro_state *st = self->base.st;
    if (ouro_queue_plain(self) || !has_own_wakeup(self)) {
        return ouro_queue_wakeup_next(st, waiters);
    }
    PyObject *container = ouro_ring_share(st, waiters);
    if (container == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        (PyObject *)self, st->str._wakeup_next, container);
    Py_DECREF(container);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- _finished ---------------------------------------------------------- */

static int
finished_call(QueueObject *self, PyObject *name)
{
    if (self->finished == NULL) {
        ouro_no_attribute(self, "_finished");
        return -1;
    }
    PyObject *event = Py_NewRef(self->finished);
    int result = ouro_call_method(event, name);
    Py_DECREF(event);
    return result;
}

static int
finished_set(QueueObject *self)
{
    ouro_state *st = self->base.st;
    if (self->finished != NULL && ouro_event_plain(st, self->finished)) {
        return ouro_event_set((EventObject *)self->finished);
    }
    return finished_call(self, st->str.set);
}

static int
finished_clear(QueueObject *self)
{
    ouro_state *st = self->base.st;
    if (self->finished != NULL && ouro_event_plain(st, self->finished)) {
        ouro_event_clear((EventObject *)self->finished);
        return 0;
    }
    return finished_call(self, st->str.clear);
}

/* ---- items in and out --------------------------------------------------- */

int
ouro_queue_raise_shutdown(QueueObject *self)
{
    PyErr_SetNone(self->base.st->stock.QueueShutDown);
    return -1;
}

static int
queue_call_put(QueueObject *self, PyObject *item)
{
    if (ouro_queue_plain(self)) {
        return ouro_queue_store(self, item);
    }
    return ouro_drop_result(PyObject_CallMethodOneArg(
        (PyObject *)self, self->base.st->str._put, item));
}

static PyObject *
queue_call_get(QueueObject *self)
{
    return ouro_queue_plain(self)
               ? ouro_queue_take(self)
               : PyObject_CallMethodNoArgs((PyObject *)self,
                                           self->base.st->str._get);
}

/* Wake the first of a line, if there is one. */
static inline int
private_wakeup(QueueObject *self, ouro_ring *waiters)
{
    return waiters->count == 0
               ? 0
               : ouro_queue_wakeup_next(self->base.st, waiters);
}

PyObject *
ouro_queue_private_get(QueueObject *self)
{
    PyObject *item = ouro_ring_popleft(self->base.st, &self->items);
    if (private_wakeup(self, &self->putters) < 0) {
        Py_CLEAR(item);
    }
    return item;
}

int
ouro_queue_private_put(QueueObject *self, PyObject *item)
{
    if (ouro_ring_append(self->base.st, &self->items, item) < 0) {
        return -1;
    }
    self->unfinished.n++;
    return finished_clear(self) < 0 ? -1
                                    : private_wakeup(self, &self->getters);
}

int
ouro_queue_put_nowait(QueueObject *self, PyObject *item)
{
    if (self->is_shutdown) {
        return ouro_queue_raise_shutdown(self);
    }
    if (ouro_queue_private(self) && !ouro_queue_private_full(self)) {
        return ouro_queue_private_put(self, item);
    }
    int full = ouro_queue_call_full(self);
    if (full != 0) {
        if (full > 0) {
            PyErr_SetNone(self->base.st->stock.QueueFull);
        }
        return -1;
    }
    if (queue_call_put(self, item) < 0
        || ouro_number_increment(&self->unfinished) < 0
        || finished_clear(self) < 0) {
        return -1;
    }
    return ouro_queue_call_wakeup_next(self, &self->getters);
}

PyObject *
ouro_queue_get_nowait(QueueObject *self)
{
    if (ouro_queue_private(self) && self->items.count > 0) {
        return ouro_queue_private_get(self);
    }
    int empty = ouro_queue_call_empty(self);
    if (empty < 0) {
        return NULL;
    }
    if (empty) {
        const ouro_imports *stock = &self->base.st->stock;
        PyErr_SetNone(self->is_shutdown ? stock->QueueShutDown
                                        : stock->QueueEmpty);
        return NULL;
    }
    PyObject *item = queue_call_get(self);
    if (item != NULL
        && ouro_queue_call_wakeup_next(self, &self->putters) < 0) {
        Py_CLEAR(item);
    }
    return item;
}

/* ---- the count of unfinished tasks -------------------------------------- */

/* The event is set when nothing is left to do. */
static int
check_finished(QueueObject *self)
{
    int none = ouro_number_compare(&self->unfinished, 0, Py_EQ);
    return none > 0 ? finished_set(self) : none;
}

int
ouro_queue_task_done(QueueObject *self)
{
    if (!self->unfinished.set) {
        ouro_no_attribute(self, "_unfinished_tasks");
        return -1;
    }
    int none = ouro_number_compare(&self->unfinished, 0, Py_LE);
    if (none != 0) {
        if (none > 0) {
            PyErr_SetString(PyExc_ValueError,
                            "task_done() called too many times");
        }
        return -1;
    }
    return ouro_number_decrement(&self->unfinished) < 0 ? -1
                                                        : check_finished(self);
}

/* ---- shutdown() --------------------------------------------------------- */

/* Throw the items away: each counts as done. */
static int
queue_drain(QueueObject *self)
{
    int empty;
    while ((empty = ouro_queue_call_empty(self)) == 0) {
        PyObject *item = queue_call_get(self);
        if (item == NULL) {
            return -1;
        }
        Py_DECREF(item);
        int left = ouro_number_compare(&self->unfinished, 0, Py_GT);
        if (left < 0
            || (left > 0 && ouro_number_decrement(&self->unfinished) < 0)) {
            return -1;
        }
    }
    return empty < 0 ? -1 : check_finished(self);
}

int
ouro_queue_shutdown(QueueObject *self, bool immediate)
{
    ouro_state *st = self->base.st;
    self->is_shutdown = true;
    if (immediate && queue_drain(self) < 0) {
        return -1;
    }
    return wake(st, &self->getters, true) < 0 ? -1
                                              : wake(st, &self->putters, true);
}
