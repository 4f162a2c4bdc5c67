/* queue.c - the class Queue: its methods, attributes and life.
 *
 * What it does is in queue_ops.c and queue_await.c, how it keeps its items in
 * queue_items.c.
 */
#include "sync/queue.h"

#include "base/rooms.h"

/* ---- methods that programs call ----------------------------------------- */

static const ouro_signature put_nowait_signature =
    OURO_ONE_PARAMETER("Queue.put_nowait", "item");
static const ouro_signature shutdown_signature = {
    .qualname = "Queue.shutdown",
    .skip_self = 1,
    .positional = 1,
    .names = {"immediate", NULL},
};

static PyObject *
bool_or_null(int truth)
{
    return truth < 0 ? NULL : PyBool_FromLong(truth);
}

static PyObject *
queue_qsize(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    QueueObject *queue = ouro_as_queue(self);
    if (ouro_parse_none("Queue.qsize", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (!queue->has_items) {
        return ouro_no_attribute(self, "_queue");
    }
    Py_ssize_t size = ouro_ring_length(&queue->items);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *
queue_empty(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    if (ouro_parse_none("Queue.empty", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return bool_or_null(ouro_queue_empty(ouro_as_queue(self)));
}

static PyObject *
queue_full(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    if (ouro_parse_none("Queue.full", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return bool_or_null(ouro_queue_full(ouro_as_queue(self)));
}

static PyObject *
queue_get_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    if (ouro_parse_none("Queue.get_nowait", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return ouro_queue_get_nowait(ouro_as_queue(self));
}

static PyObject *
queue_put_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *item;
    if (ouro_parse_one(&put_nowait_signature, args, nargs, kwnames, &item)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_queue_put_nowait(ouro_as_queue(self), item));
}

static PyObject *
queue_task_done(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse_none("Queue.task_done", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_queue_task_done(ouro_as_queue(self)));
}

static PyObject *
queue_shutdown(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    PyObject *immediate;
    if (ouro_parse_one(&shutdown_signature, args, nargs, kwnames, &immediate)
        < 0) {
        return NULL;
    }
    int now = immediate == NULL ? 0 : PyObject_IsTrue(immediate);
    if (now < 0) {
        ouro_as_queue(self)->is_shutdown = true;
        return NULL;
    }
    return ouro_none_or_error(ouro_queue_shutdown(ouro_as_queue(self), now));
}

/* ---- methods that subclasses replace ------------------------------------ */

static const ouro_signature init_items_signature =
    OURO_ONE_PARAMETER("Queue._init", "maxsize");
static const ouro_signature put_item_signature =
    OURO_ONE_PARAMETER("Queue._put", "item");
static const ouro_signature wakeup_next_signature =
    OURO_ONE_PARAMETER("Queue._wakeup_next", "waiters");

static PyObject *
queue__init(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    PyObject *maxsize;
    if (ouro_parse_one(&init_items_signature, args, nargs, kwnames, &maxsize)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_queue_items_init(ouro_as_queue(self)));
}

static PyObject *
queue__get(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    if (ouro_parse_none("Queue._get", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return ouro_fifo_get(ouro_as_queue(self));
}

static PyObject *
queue__put(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *item;
    if (ouro_parse_one(&put_item_signature, args, nargs, kwnames, &item) < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_fifo_put(ouro_as_queue(self), item));
}

static PyObject *
queue__wakeup_next(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *waiters;
    if (ouro_parse_one(&wakeup_next_signature, args, nargs, kwnames, &waiters)
        < 0) {
        return NULL;
    }
    ouro_ring ring = {.shared = waiters};
    return ouro_none_or_error(
        ouro_queue_wakeup_next(ouro_as_queue(self)->base.st, &ring));
}

/* ---- reprs -------------------------------------------------------------- */

/* text += f' {format}'; a step of _format(): 0 or -1. */
static int
append_text(PyObject **text, PyObject *more)
{
    if (more == NULL) {
        return -1;
    }
    PyUnicode_AppendAndDel(text, more);
    return *text == NULL ? -1 : 0;
}

/* if getattr(self, '_queue', None): f' _queue={list(self._queue)!r}' */
static int
append_items(QueueObject *self, PyObject **text)
{
    int truth = self->has_items ? ouro_ring_truth(&self->items) : 0;
    if (truth <= 0) {
        return truth;
    }
    PyObject *list = PyList_New(0);
    ouro_ring_pass pass = ouro_ring_begin(&self->items);
    PyObject *item;
    int result = list == NULL ? -1 : 0;
    while (result >= 0 && (result = ouro_ring_next(&pass, &item)) > 0) {
        result = PyList_Append(list, item);
        Py_DECREF(item);
    }
    ouro_ring_end(&pass);
    if (result == 0) {
        result = append_text(text, PyUnicode_FromFormat(" _queue=%R", list));
    }
    Py_XDECREF(list);
    return result;
}

static int
append_line(ouro_ring *waiters, const char *name, PyObject **text)
{
    int truth = ouro_ring_truth(waiters);
    if (truth <= 0) {
        return truth;
    }
    Py_ssize_t length = ouro_ring_length(waiters);
    if (length < 0) {
        return -1;
    }
    return append_text(text, PyUnicode_FromFormat(" %s[%zd]", name, length));
}

static int
append_unfinished(QueueObject *self, PyObject **text)
{
    PyObject *unfinished = ouro_number_get(&self->unfinished, (PyObject *)self,
                                           "_unfinished_tasks");
    int truth = unfinished == NULL ? -1 : PyObject_IsTrue(unfinished);
    if (truth > 0) {
        truth =
            append_text(text, PyUnicode_FromFormat(" tasks=%S", unfinished));
    }
    Py_XDECREF(unfinished);
    return truth;
}

static PyObject *
queue_describe(QueueObject *self)
{
    PyObject *maxsize =
        ouro_number_get(&self->maxsize, (PyObject *)self, "_maxsize");
    if (maxsize == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("maxsize=%R", maxsize);
    Py_DECREF(maxsize);
    if (text == NULL || append_items(self, &text) < 0
        || append_line(&self->getters, "_getters", &text) < 0
        || append_line(&self->putters, "_putters", &text) < 0
        || append_unfinished(self, &text) < 0
        || (self->is_shutdown
            && append_text(&text, PyUnicode_FromString(" shutdown")) < 0)) {
        Py_CLEAR(text);
    }
    return text;
}

static PyObject *
queue__format(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    if (ouro_parse_none("Queue._format", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return queue_describe(ouro_as_queue(self));
}

/* f'<{type(self).__name__}{address} {self._format()}>' */
static PyObject *
queue_text(PyObject *self, bool address)
{
    ouro_state *st = ouro_as_queue(self)->base.st;
    PyObject *format = PyObject_CallMethodNoArgs(self, st->str._format);
    PyObject *name = format == NULL ? NULL : PyType_GetName(Py_TYPE(self));
    PyObject *text = NULL;
    if (name != NULL) {
        text = address
                   ? PyUnicode_FromFormat("<%U at %p %S>", name, self, format)
                   : PyUnicode_FromFormat("<%U %S>", name, format);
    }
    Py_XDECREF(format);
    Py_XDECREF(name);
    return text;
}

static PyObject *
queue_repr(PyObject *self)
{
    return queue_text(self, true);
}

static PyObject *
queue_str(PyObject *self)
{
    return queue_text(self, false);
}

/* ---- tables ------------------------------------------------------------- */

static PyMethodDef queue_methods[] = {
    OURO_METHOD("qsize", queue_qsize,
                "qsize($self)\n--\n\nHow many items are in the queue."),
    OURO_METHOD("empty", queue_empty,
                "empty($self)\n--\n\nReturn True if the queue has no items."),
    OURO_METHOD("full", queue_full,
                "full($self)\n--\n\n"
                "Return True if the queue has maxsize items.\n\n"
                "Never if maxsize is 0 (the default) or less."),
    OURO_METHOD(
        "get_nowait", queue_get_nowait,
        "get_nowait($self)\n--\n\n"
        "Take an item out and return it.\n\n"
        "Raises QueueEmpty if there is none; from 3.13 QueueShutDown if the\n"
        "queue is shut down as well."),
    OURO_METHOD(
        "put_nowait", queue_put_nowait,
        "put_nowait($self, item)\n--\n\n"
        "Put an item in.\n\n"
        "Raises QueueFull if there is no place; from 3.13 QueueShutDown if the\n"
        "queue is shut down."),
    OURO_METHOD(
        "task_done", queue_task_done,
        "task_done($self)\n--\n\n"
        "Say that the work on an item is done; see join().\n\n"
        "Raises ValueError if called more often than items were put in."),
    OURO_METHOD(
        "shutdown", queue_shutdown,
        "shutdown($self, immediate=False)\n--\n\n"
        "Make put(), and get() once the queue is empty, raise QueueShutDown.\n\n"
        "All who wait in them are woken.  immediate: the items are thrown\n"
        "away, and count as done."),
    OURO_METHOD("_init", queue__init, NULL),
    OURO_METHOD("_get", queue__get, NULL),
    OURO_METHOD("_put", queue__put, NULL),
    OURO_METHOD("_wakeup_next", queue__wakeup_next, NULL),
    OURO_METHOD("_format", queue__format, NULL),
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL},
};

static PyObject *
queue_get__queue(PyObject *self, void *Py_UNUSED(closure))
{
    QueueObject *queue = ouro_as_queue(self);
    return queue->has_items ? ouro_ring_share(queue->base.st, &queue->items)
                            : ouro_no_attribute(self, "_queue");
}

static int
queue_set__queue(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    QueueObject *queue = ouro_as_queue(self);
    ouro_ring_assign(&queue->items, value);
    queue->has_items = value != NULL;
    return 0;
}

static PyObject *
queue_get__getters(PyObject *self, void *Py_UNUSED(closure))
{
    QueueObject *queue = ouro_as_queue(self);
    return ouro_ring_share(queue->base.st, &queue->getters);
}

static int
queue_set__getters(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    ouro_ring_assign(&ouro_as_queue(self)->getters, value);
    return 0;
}

static PyObject *
queue_get__putters(PyObject *self, void *Py_UNUSED(closure))
{
    QueueObject *queue = ouro_as_queue(self);
    return ouro_ring_share(queue->base.st, &queue->putters);
}

static int
queue_set__putters(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    ouro_ring_assign(&ouro_as_queue(self)->putters, value);
    return 0;
}

static PyObject *
queue_get__maxsize(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_number_get(&ouro_as_queue(self)->maxsize, self, "_maxsize");
}

static int
queue_set__maxsize(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return ouro_number_assign(&ouro_as_queue(self)->maxsize, value,
                              "_maxsize");
}

static PyObject *
queue_get__unfinished(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_number_get(&ouro_as_queue(self)->unfinished, self,
                           "_unfinished_tasks");
}

static int
queue_set__unfinished(PyObject *self, PyObject *value,
                      void *Py_UNUSED(closure))
{
    return ouro_number_assign(&ouro_as_queue(self)->unfinished, value,
                              "_unfinished_tasks");
}

static PyGetSetDef queue_getset[] = {
    {"maxsize", queue_get__maxsize, NULL,
     "How many items may be in the queue; 0 or less: any number.", NULL},
    {"_queue", queue_get__queue, queue_set__queue, NULL, NULL},
    {"_getters", queue_get__getters, queue_set__getters, NULL, NULL},
    {"_putters", queue_get__putters, queue_set__putters, NULL, NULL},
    {"_maxsize", queue_get__maxsize, queue_set__maxsize, NULL, NULL},
    {"_unfinished_tasks", queue_get__unfinished, queue_set__unfinished, NULL,
     NULL},
    {NULL},
};

static PyMemberDef queue_members[] = {
    {"_finished", T_OBJECT_EX, offsetof(QueueObject, finished), 0, NULL},
    {"_is_shutdown", T_BOOL, offsetof(QueueObject, is_shutdown), 0, NULL},
    {NULL},
};

/* ---- life --------------------------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "Queue.__init__",
    .skip_self = 1,
    .positional = 1,
    .names = {"maxsize", NULL},
};

/* self._init(maxsize) */
static int
queue_init_items(QueueObject *self)
{
    ouro_types *types = &self->base.st->types;
    if (ouro_queue_plain(self)) {
        return Py_TYPE(self) == types->Queue ? ouro_queue_items_init(self)
                                             : ouro_list_items_init(self);
    }
    PyObject *maxsize =
        ouro_number_get(&self->maxsize, (PyObject *)self, "_maxsize");
    if (maxsize == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        (PyObject *)self, self->base.st->str._init, maxsize);
    Py_DECREF(maxsize);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
queue_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    QueueObject *queue = ouro_as_queue(self);
    PyObject *maxsize;
    if (ouro_parse_init(&init_signature, args, kwargs, &maxsize) < 0) {
        return -1;
    }
    PyObject *finished = ouro_event_new(queue->base.st);
    if (finished == NULL) {
        return -1;
    }
    Py_XSETREF(queue->finished, finished);
    if (maxsize == NULL) {
        ouro_number_set_int(&queue->maxsize, 0);
    }
    else {
        ouro_number_set(&queue->maxsize, maxsize);
    }
    ouro_ring_clear(&queue->getters);
    ouro_ring_clear(&queue->putters);
    ouro_number_set_int(&queue->unfinished, 0);
    if (ouro_event_set((EventObject *)finished) < 0
        || queue_init_items(queue) < 0) {
        return -1;
    }
    queue->is_shutdown = false;
    return 0;
}

int
ouro_queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    QueueObject *queue = ouro_as_queue(self);
    Py_VISIT(queue->maxsize.object);
    Py_VISIT(queue->unfinished.object);
    Py_VISIT(queue->finished);
    int stop = ouro_ring_traverse(&queue->items, visit, arg);
    if (stop == 0) {
        stop = ouro_ring_traverse(&queue->getters, visit, arg);
    }
    if (stop == 0) {
        stop = ouro_ring_traverse(&queue->putters, visit, arg);
    }
    return stop != 0 ? stop
                     : ouro_loop_bound_traverse(&queue->base, visit, arg);
}

int
ouro_queue_clear(PyObject *self)
{
    QueueObject *queue = ouro_as_queue(self);
    ouro_ring_clear(&queue->items);
    ouro_ring_clear(&queue->getters);
    ouro_ring_clear(&queue->putters);
    Py_CLEAR(queue->maxsize.object);
    Py_CLEAR(queue->unfinished.object);
    Py_CLEAR(queue->finished);
    ouro_loop_bound_clear(&queue->base);
    return 0;
}

PyDoc_STRVAR(queue_doc, "Queue(maxsize=0)\n--\n\n\
A queue between tasks: first in, first out.\n\n\
put() waits while maxsize items are in it (0 or less: it never waits),\n\
get() while none is.  Its size is exact: nothing happens between two\n\
operations without an await.");

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, (void *)queue_doc},  {Py_tp_new, ouro_loop_bound_new},
    {Py_tp_init, queue_init},        {Py_tp_traverse, ouro_queue_traverse},
    {Py_tp_clear, ouro_queue_clear}, {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_repr, queue_repr},        {Py_tp_str, queue_str},
    {Py_tp_methods, queue_methods},  {Py_tp_getset, queue_getset},
    {Py_tp_members, queue_members},  {0, NULL},
};

static PyType_Spec queue_spec = {
    .name = "asyncio.queues.Queue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = queue_slots,
};

/* Before 3.13 queues could not be shut down. */
static int
remove_shutdown(PyTypeObject *queue)
{
    return ouro_remove_attribute(queue, "shutdown") < 0
                   || ouro_remove_attribute(queue, "_is_shutdown") < 0
               ? -1
               : 0;
}

int
ouro_queue_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_primitive(module, &queue_spec, false, NULL,
                           ouro_queue_async_methods, &st->types.Queue)
            < 0
        || (!st->has.queue_shutdown && remove_shutdown(st->types.Queue) < 0)
        || ouro_intact_init(&st->sync.Queue, st->types.Queue) < 0) {
        return -1;
    }
    return ouro_queue_items_setup(module, st);
}
