/* queues.c - what is to be run, as Python sees it.
 *
 * The engine's ready queue and heap hold jobs and timers.  When somebody
 * reads _ready or _scheduled, their content moves into a deque or a list,
 * which from then on is that queue, for good: what is taken out of it does
 * not run, what is put in does.  The engine's own jobs (I/O, what comes from
 * other threads) still arrive on its ring, and are spilled into the deque.
 */
#include "loop/loop.h"

#include <math.h>
#include <stdlib.h>

#include "loop/handle.h"
#include "task/registry.h"

/* ---- _ready ------------------------------------------------------------ */

static int
deque_append(PyObject *deque, PyObject *handle)
{
    return ouro_drop_result(PyObject_CallMethod(deque, "append", "O", handle));
}

static int
spill_queue(LoopObject *self, ou_queue *queue, PyObject *deque,
            Py_ssize_t *count)
{
    ou_job *job;
    while ((job = ou_queue_pop(queue)) != NULL) {
        PyObject *handle = ouro_job_handle(self, job);
        if (handle == NULL) {
            return -1;
        }
        int result = deque_append(deque, handle);
        Py_DECREF(handle);
        if (result < 0) {
            return -1;
        }
        *count += 1;
    }
    return 0;
}

/* Move what is on the engine's ring to the end of _ready. */
static int
spill(LoopObject *self)
{
    if (!self->core.opened) {
        return 0;
    }
    ou_loop *engine = &self->core.engine;
    if (ou_inbox_pending(&engine->inbox)) {
        ou_inbox_collect(&engine->inbox, &engine->ready);
    }
    /* (It may be a list of somebody's, who replaces it in the middle.) */
    PyObject *deque = Py_NewRef(self->ready);
    Py_ssize_t later = 0;
    int result = spill_queue(self, &engine->turn, deque, &self->turn_left);
    if (result == 0) {
        result = spill_queue(self, &engine->ready, deque, &later);
    }
    Py_DECREF(deque);
    return result;
}

PyObject *
ouro_queues_get_ready(PyObject *op, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    if (self->ready == NULL) {
        PyObject *deque = PyObject_CallNoArgs(self->core.st->stock.deque);
        if (deque == NULL) {
            return NULL;
        }
        self->ready = deque;
        ouro_loop_refresh(self);
    }
    if (spill(self) < 0) {
        return NULL;
    }
    return Py_NewRef(self->ready);
}

int
ouro_queues_set_ready(PyObject *op, PyObject *value, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_ready");
        return -1;
    }
    Py_XSETREF(self->ready, Py_NewRef(value));
    self->turn_left = 0;
    ouro_loop_refresh(self);
    if (self->core.opened) {
        ou_queue_drop_all(&self->core.engine.turn);
        ou_queue_drop_all(&self->core.engine.ready);
    }
    return 0;
}

int
ouro_loop_append(LoopObject *self, PyObject *handle)
{
    if (self->ready != NULL) {
        return spill(self) < 0 ? -1 : deque_append(self->ready, handle);
    }
    if (self->closed || !self->core.opened) {
        /* Somebody's _check_closed() has let it pass: it never runs. */
        return 0;
    }
    HandleObject *ours = (HandleObject *)handle;
    if (!ouro_handle_exact(self->core.st, handle)
        || ours->loop != (PyObject *)self || ou_job_queued(&ours->job)) {
        return ouro_append_guest(self, handle);
    }
    Py_INCREF(handle);
    ou_loop_push(&self->core.engine, &ours->job);
    return 0;
}

/* ---- _scheduled -------------------------------------------------------- */

/* A function of heapq, called with _scheduled and an item, or NULL.  Comparing
 * items may run Python, which may replace the list. */
static int
call_heapq(LoopObject *self, PyObject *function, PyObject *item)
{
    PyObject *args[] = {Py_NewRef(self->scheduled), item};
    int result = ouro_drop_result(
        PyObject_Vectorcall(function, args, item == NULL ? 1 : 2, NULL));
    Py_DECREF(args[0]);
    return result;
}

static int
slot_compare(const void *a, const void *b)
{
    const ou_timer_slot *x = a, *y = b;
    if (x->deadline != y->deadline) {
        return x->deadline < y->deadline ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Our timer handles, out of the engine's heap and into a list, in order.
 * Timers that are nobody's handle stay. */
static int
move_timers(LoopObject *self, PyObject *list)
{
    ou_timers *timers = &self->core.engine.timers;
    size_t count = timers->count;
    ou_timer_slot *slots = PyMem_New(ou_timer_slot, count + 1);
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        slots[i] = timers->slots[i];
    }
    qsort(slots, count, sizeof(ou_timer_slot), slot_compare);
    int result = 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        ou_job *job = slots[i].timer->job;
        if (job->kind != &ouro_handle_job) {
            continue;
        }
        PyObject *handle =
            (PyObject *)OURO_CONTAINER_OF(job, HandleObject, job);
        result = PyList_Append(list, handle);
        if (result == 0) {
            ou_timer_stop(timers, slots[i].timer);
            ((TimerHandleObject *)handle)->scheduled = true;
            Py_DECREF(handle);
        }
    }
    PyMem_Free(slots);
    return result;
}

PyObject *
ouro_queues_get_scheduled(PyObject *op, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    if (self->scheduled == NULL) {
        PyObject *list = PyList_New(0);
        if (list == NULL
            || (self->core.opened && move_timers(self, list) < 0)) {
            Py_XDECREF(list);
            return NULL;
        }
        self->scheduled = list;
        ouro_loop_refresh(self);
    }
    return Py_NewRef(self->scheduled);
}

int
ouro_queues_set_scheduled(PyObject *op, PyObject *value, void *closure)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_scheduled");
        return -1;
    }
    if (ouro_drop_result(ouro_queues_get_scheduled(op, closure)) < 0) {
        return -1;
    }
    Py_XSETREF(((LoopObject *)op)->scheduled, Py_NewRef(value));
    return 0;
}

int
ouro_loop_schedule(LoopObject *self, PyObject *timer)
{
    TimerHandleObject *handle = (TimerHandleObject *)timer;
    if (self->scheduled != NULL) {
        if (call_heapq(self, self->core.st->stock.heappush, timer) < 0) {
            return -1;
        }
        handle->scheduled = true;
        return 0;
    }
    if (self->closed || !self->core.opened) {
        return 0; /* as above */
    }
    int error = ou_timer_start(&self->core.engine.timers, &handle->timer,
                               handle->deadline);
    if (error < 0) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(timer);
    return 0;
}

/* ---- running ----------------------------------------------------------- */

static int
run_by_method(ouro_state *st, PyObject *handle)
{
    if (ouro_handle_exact(st, handle)) {
        return ouro_handle_run((HandleObject *)handle);
    }
    return ouro_drop_result(PyObject_CallMethodNoArgs(handle, st->str._run));
}

static int
is_true_attribute(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) {
        return -1;
    }
    int truth = PyObject_IsTrue(value);
    Py_DECREF(value);
    return truth;
}

int
ouro_loop_run_handle(LoopObject *self, PyObject *handle)
{
    ouro_state *st = self->core.st;
    int cancelled = is_true_attribute(handle, st->str._cancelled);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    if (ouro_leave_task_fast(&self->core) < 0) {
        return -1;
    }
    if (!self->core.debug) {
        return run_by_method(st, handle);
    }
    Py_XSETREF(self->current_handle, Py_NewRef(handle));
    double start = ouro_loop_seconds(self);
    int result = PyErr_Occurred() ? -1 : run_by_method(st, handle);
    if (result == 0) {
        result = ouro_debug_log_slow(self, handle, start);
    }
    Py_CLEAR(self->current_handle);
    return result;
}

/* ---- the turn ---------------------------------------------------------- */

/* The first handle of _scheduled, owned; NULL and no exception: none. */
static PyObject *
first_scheduled(LoopObject *self)
{
    Py_ssize_t count = PyObject_Size(self->scheduled);
    return count <= 0 ? NULL : PySequence_GetItem(self->scheduled, 0);
}

/* heappop(_scheduled) */
static int
pop_scheduled(LoopObject *self, PyObject *handle)
{
    ouro_state *st = self->core.st;
    if (call_heapq(self, st->stock.heappop, NULL) < 0) {
        return -1;
    }
    return PyObject_SetAttr(handle, st->str._scheduled, Py_False);
}

static int
drop_cancelled(LoopObject *self)
{
    PyObject *handle;
    int result = 0;
    while (result == 0 && (handle = first_scheduled(self)) != NULL) {
        int cancelled =
            is_true_attribute(handle, self->core.st->str._cancelled);
        if (cancelled > 0) {
            self->timers_cancelled--;
            result = pop_scheduled(self, handle);
        }
        else {
            result = cancelled == 0 ? 1 : -1;
        }
        Py_DECREF(handle);
    }
    return result < 0 || PyErr_Occurred() ? -1 : 0;
}

static double
handle_deadline(LoopObject *self, PyObject *handle)
{
    PyObject *when = PyObject_GetAttr(handle, self->core.st->str._when);
    if (when == NULL) {
        return -1.0;
    }
    double deadline = PyFloat_AsDouble(when);
    Py_DECREF(when);
    return deadline;
}

/* How long the wait may block, as asyncio reckons it: 0 with anything in
 * _ready, until _scheduled's first; OU_NO_WAIT stays.  -1.0 with an exception
 * set. */
double
ouro_queues_timeout(LoopObject *self, double timeout)
{
    if (self->ready != NULL) {
        Py_ssize_t count = PyObject_Size(self->ready);
        if (count != 0) {
            return count < 0 ? -1.0 : 0.0;
        }
    }
    if (self->scheduled == NULL) {
        return timeout;
    }
    if (drop_cancelled(self) < 0) {
        return -1.0;
    }
    if (timeout == OU_NO_WAIT) {
        return OU_NO_WAIT;
    }
    PyObject *handle = first_scheduled(self);
    if (handle == NULL) {
        return PyErr_Occurred() ? -1.0 : timeout;
    }
    double deadline = handle_deadline(self, handle);
    Py_DECREF(handle);
    double now = PyErr_Occurred() ? -1.0 : ouro_loop_seconds(self);
    if (PyErr_Occurred()) {
        return -1.0;
    }
    double left = fmax(0.0, deadline - now);
    return timeout < 0 || left < timeout ? left : timeout;
}

/* Move the handles of _scheduled that are due behind what is ready. */
static int
expire_scheduled(LoopObject *self)
{
    double end = ouro_loop_seconds(self) + self->core.engine.resolution;
    PyObject *handle;
    int result = PyErr_Occurred() ? -1 : 0;
    while (result == 0 && (handle = first_scheduled(self)) != NULL) {
        double deadline = handle_deadline(self, handle);
        if (PyErr_Occurred()) {
            result = -1;
        }
        else if (deadline >= end) {
            result = 1;
        }
        else {
            result = pop_scheduled(self, handle);
            if (result == 0) {
                result = ouro_loop_append(self, handle);
            }
        }
        Py_DECREF(handle);
    }
    return result < 0 || PyErr_Occurred() ? -1 : 0;
}

int
ouro_queues_collect(LoopObject *self)
{
    if (self->scheduled != NULL && expire_scheduled(self) < 0) {
        return -1;
    }
    if (self->ready == NULL) {
        return 0;
    }
    if (spill(self) < 0) {
        return -1;
    }
    self->turn_left = PyObject_Size(self->ready);
    return self->turn_left < 0 ? -1 : 0;
}

/* Run what was in _ready when the turn began. */
int
ouro_queues_run(LoopObject *self)
{
    int result = 0;
    while (result == 0 && self->turn_left > 0) {
        self->turn_left--;
        PyObject *handle =
            PyObject_CallMethodNoArgs(self->ready, self->core.st->str.popleft);
        if (handle == NULL) {
            return -1;
        }
        result = ouro_loop_run_handle(self, handle);
        Py_DECREF(handle);
    }
    return result;
}

/* _ready.clear() and _scheduled.clear(), when the loop is closed. */
int
ouro_queues_drop(LoopObject *self)
{
    PyObject *queues[] = {self->ready, self->scheduled};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(queues); i++) {
        if (queues[i] != NULL) {
            if (ouro_drop_result(PyObject_CallMethodNoArgs(
                    queues[i], self->core.st->str.clear))
                < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* ---- methods ----------------------------------------------------------- */

static PyObject *
loop_add_callback(PyObject *op, PyObject *handle)
{
    LoopObject *self = (LoopObject *)op;
    int cancelled = is_true_attribute(handle, self->core.st->str._cancelled);
    if (cancelled < 0
        || (cancelled == 0 && ouro_loop_append(self, handle) < 0)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_add_callback_signalsafe(PyObject *op, PyObject *handle)
{
    ouro_state *st = ((LoopObject *)op)->core.st;
    if (ouro_drop_result(
            PyObject_CallMethodOneArg(op, st->str._add_callback, handle))
        < 0) {
        return NULL;
    }
    return PyObject_CallMethodNoArgs(op, st->str._write_to_self);
}

PyDoc_STRVAR(add_callback_doc, "_add_callback($self, handle)\n--\n\n\
Add a Handle to _ready.");
PyDoc_STRVAR(add_callback_signalsafe_doc,
             "_add_callback_signalsafe($self, handle)\n--\n\n\
Like _add_callback(), but called from a signal handler.");

static PyMethodDef methods[] = {
    {"_add_callback", loop_add_callback, METH_O, add_callback_doc},
    {"_add_callback_signalsafe", loop_add_callback_signalsafe, METH_O,
     add_callback_signalsafe_doc},
    {NULL},
};

int
ouro_queues_setup(PyObject *module, ouro_state *st)
{
    return ouro_loop_add_methods(st, methods);
}
