/* queue_items.c - in which order items leave: first, last, smallest.
 *
 * The three ways to keep items, and the classes PriorityQueue and LifoQueue,
 * which differ from Queue in nothing else.  Their lists are what Python sees
 * as _queue; heaps are kept by heapq's functions.
 */
#include "sync/queue.h"

/* ---- rings -------------------------------------------------------------- */

int
ouro_queue_items_init(QueueObject *self)
{
    ouro_ring_clear(&self->items);
    self->has_items = true;
    return 0;
}

static int
check_items(QueueObject *self)
{
    if (!self->has_items) {
        ouro_no_attribute(self, "_queue");
        return -1;
    }
    return 0;
}

PyObject *
ouro_fifo_get(QueueObject *self)
{
    return check_items(self) < 0
               ? NULL
               : ouro_ring_popleft(self->base.st, &self->items);
}

int
ouro_fifo_put(QueueObject *self, PyObject *item)
{
    return check_items(self) < 0
               ? -1
               : ouro_ring_append(self->base.st, &self->items, item);
}

/* ---- lists -------------------------------------------------------------- */

int
ouro_list_items_init(QueueObject *self)
{
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return -1;
    }
    ouro_ring_assign(&self->items, list);
    Py_DECREF(list);
    self->has_items = true;
    return 0;
}

/* self._queue: a new reference. */
static PyObject *
container(QueueObject *self)
{
    return check_items(self) < 0
               ? NULL
               : ouro_ring_share(self->base.st, &self->items);
}

static PyObject *
list_pop(ouro_state *st, PyObject *list)
{
    Py_ssize_t last = PyList_CheckExact(list) ? PyList_GET_SIZE(list) - 1 : -1;
    if (last < 0) {
        return PyObject_CallMethodNoArgs(list, st->str.pop);
    }
    PyObject *item = Py_NewRef(PyList_GET_ITEM(list, last));
    if (PyList_SetSlice(list, last, last + 1, NULL) < 0) {
        Py_CLEAR(item);
    }
    return item;
}

static PyObject *
lifo_get(QueueObject *self)
{
    PyObject *list = container(self);
    if (list == NULL) {
        return NULL;
    }
    PyObject *item = list_pop(self->base.st, list);
    Py_DECREF(list);
    return item;
}

static int
lifo_put(QueueObject *self, PyObject *item)
{
    return check_items(self) < 0
               ? -1
               : ouro_ring_append(self->base.st, &self->items, item);
}

/* heappop(self._queue) */
static PyObject *
heap_get(QueueObject *self, PyObject *heappop)
{
    PyObject *heap = container(self);
    if (heap == NULL) {
        return NULL;
    }
    PyObject *item = PyObject_CallOneArg(heappop, heap);
    Py_DECREF(heap);
    return item;
}

/* heappush(self._queue, item) */
static int
heap_put(QueueObject *self, PyObject *item, PyObject *heappush)
{
    PyObject *heap = container(self);
    if (heap == NULL) {
        return -1;
    }
    PyObject *args[] = {heap, item};
    PyObject *result = PyObject_Vectorcall(heappush, args, 2, NULL);
    Py_DECREF(heap);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- by the class of a plain queue -------------------------------------- */

PyObject *
ouro_queue_take(QueueObject *self)
{
    ouro_types *types = &self->base.st->types;
    if (Py_TYPE(self) == types->Queue) {
        return ouro_fifo_get(self);
    }
    return Py_TYPE(self) == types->LifoQueue
               ? lifo_get(self)
               : heap_get(self, self->base.st->stock.heappop);
}

int
ouro_queue_store(QueueObject *self, PyObject *item)
{
    ouro_types *types = &self->base.st->types;
    if (Py_TYPE(self) == types->Queue) {
        return ouro_fifo_put(self, item);
    }
    return Py_TYPE(self) == types->LifoQueue
               ? lifo_put(self, item)
               : heap_put(self, item, self->base.st->stock.heappush);
}

/* ---- methods ------------------------------------------------------------ */

static const ouro_signature heap_init_signature =
    OURO_ONE_PARAMETER("PriorityQueue._init", "maxsize");
static const ouro_signature heap_put_signature = {
    .qualname = "PriorityQueue._put",
    .skip_self = 1,
    .positional = 2,
    .required = 1,
    .names = {"item", "heappush", NULL},
};
static const ouro_signature heap_get_signature = {
    .qualname = "PriorityQueue._get",
    .skip_self = 1,
    .positional = 1,
    .names = {"heappop", NULL},
};
static const ouro_signature lifo_init_signature =
    OURO_ONE_PARAMETER("LifoQueue._init", "maxsize");
static const ouro_signature lifo_put_signature =
    OURO_ONE_PARAMETER("LifoQueue._put", "item");

static PyObject *
heap_method_init(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *maxsize;
    if (ouro_parse_one(&heap_init_signature, args, nargs, kwnames, &maxsize)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_list_items_init(ouro_as_queue(self)));
}

static PyObject *
heap_method_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    PyObject *given[2];
    if (ouro_parse(&heap_put_signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    QueueObject *queue = ouro_as_queue(self);
    PyObject *heappush =
        given[1] != NULL ? given[1] : queue->base.st->stock.heappush;
    return ouro_none_or_error(heap_put(queue, given[0], heappush));
}

static PyObject *
heap_method_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    PyObject *heappop;
    if (ouro_parse_one(&heap_get_signature, args, nargs, kwnames, &heappop)
        < 0) {
        return NULL;
    }
    QueueObject *queue = ouro_as_queue(self);
    return heap_get(queue,
                    heappop != NULL ? heappop : queue->base.st->stock.heappop);
}

static PyObject *
lifo_method_init(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *maxsize;
    if (ouro_parse_one(&lifo_init_signature, args, nargs, kwnames, &maxsize)
        < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_list_items_init(ouro_as_queue(self)));
}

static PyObject *
lifo_method_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    PyObject *item;
    if (ouro_parse_one(&lifo_put_signature, args, nargs, kwnames, &item) < 0) {
        return NULL;
    }
    return ouro_none_or_error(lifo_put(ouro_as_queue(self), item));
}

static PyObject *
lifo_method_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse_none("LifoQueue._get", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return lifo_get(ouro_as_queue(self));
}

static PyMethodDef heap_methods[] = {
    OURO_METHOD("_init", heap_method_init, NULL),
    OURO_METHOD("_get", heap_method_get, NULL),
    OURO_METHOD("_put", heap_method_put, NULL),
    {NULL},
};

static PyMethodDef lifo_methods[] = {
    OURO_METHOD("_init", lifo_method_init, NULL),
    OURO_METHOD("_get", lifo_method_get, NULL),
    OURO_METHOD("_put", lifo_method_put, NULL),
    {NULL},
};

/* ---- the classes -------------------------------------------------------- */

PyDoc_STRVAR(heap_doc, "PriorityQueue(maxsize=0)\n--\n\n\
A Queue that gives out the smallest item first.\n\n\
Entries are typically tuples (priority number, data).");

static PyType_Slot heap_slots[] = {
    {Py_tp_doc, (void *)heap_doc},   {Py_tp_traverse, ouro_queue_traverse},
    {Py_tp_clear, ouro_queue_clear}, {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_methods, heap_methods},   {0, NULL},
};

PyDoc_STRVAR(lifo_doc, "LifoQueue(maxsize=0)\n--\n\n\
A Queue that gives out the latest item first.");

static PyType_Slot lifo_slots[] = {
    {Py_tp_doc, (void *)lifo_doc},   {Py_tp_traverse, ouro_queue_traverse},
    {Py_tp_clear, ouro_queue_clear}, {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_methods, lifo_methods},   {0, NULL},
};

static PyType_Spec heap_spec = {
    .name = "asyncio.queues.PriorityQueue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = heap_slots,
};

static PyType_Spec lifo_spec = {
    .name = "asyncio.queues.LifoQueue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = lifo_slots,
};

int
ouro_queue_items_setup(PyObject *module, ouro_state *st)
{
    PyTypeObject *queue = st->types.Queue;
    if (ouro_add_primitive(module, &heap_spec, false, queue, NULL,
                           &st->types.PriorityQueue)
            < 0
        || ouro_add_primitive(module, &lifo_spec, false, queue, NULL,
                              &st->types.LifoQueue)
               < 0
        || ouro_intact_init(&st->sync.PriorityQueue, st->types.PriorityQueue)
               < 0) {
        return -1;
    }
    return ouro_intact_init(&st->sync.LifoQueue, st->types.LifoQueue);
}
