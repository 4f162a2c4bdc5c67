/* queue.h - asyncio.Queue and its two relatives: what their files share.
 *
 * A queue has items, and two lines of those who wait: getters for an item,
 * putters for a place.  Items are in a ring (Queue) or in a list (LifoQueue,
 * and PriorityQueue: a heap); what a subclass puts in the place of either is
 * used as asyncio uses it.
 */
#ifndef OURO_QUEUE_H
#define OURO_QUEUE_H

#include "sync/event.h"
#include "sync/mixin.h"
#include "sync/number.h"

typedef struct QueueObject {
    LoopBoundObject base;
    ouro_ring items;     /* _queue; items.shared is the list, if it is one */
    ouro_ring getters;   /* _getters */
    ouro_ring putters;   /* _putters */
    ouro_number maxsize; /* _maxsize */
    ouro_number unfinished; /* _unfinished_tasks */
    PyObject *finished;     /* _finished: an Event */
    bool has_items;         /* _queue exists */
    bool is_shutdown;       /* _is_shutdown, from 3.13 */
} QueueObject;

static inline QueueObject *
ouro_as_queue(PyObject *self)
{
    return (QueueObject *)self;
}

/* Nothing of it is replaced: C calls C. */
static inline bool
ouro_queue_plain(QueueObject *self)
{
    ouro_sync_classes *classes = &self->base.st->sync;
    PyTypeObject *type = Py_TYPE(self);
    ouro_intact *class = &classes->Queue;
    if (type == classes->LifoQueue.type) {
        class = &classes->LifoQueue;
    }
    else if (type == classes->PriorityQueue.type) {
        class = &classes->PriorityQueue;
    }
    return ouro_plain(&self->base, class);
}

/* A plain Queue whose containers Python does not know: what is done to them
 * runs no Python. */
static inline bool
ouro_queue_private(QueueObject *self)
{
    return ouro_plain(&self->base, &self->base.st->sync.Queue)
           && self->items.shared == NULL && self->getters.shared == NULL
           && self->putters.shared == NULL && self->has_items
           && ouro_number_plain(&self->maxsize)
           && ouro_number_plain(&self->unfinished);
}

/* Whether a private queue has no place for one more item. */
static inline bool
ouro_queue_private_full(const QueueObject *self)
{
    return self->maxsize.n > 0 && self->items.count >= self->maxsize.n;
}

/* ---- the items (queue_items.c) ------------------------------------------ */

/* _init(), _get(), _put() of the three classes. */
int ouro_queue_items_init(QueueObject *self);
int ouro_list_items_init(QueueObject *self);
PyObject *ouro_fifo_get(QueueObject *self);
int ouro_fifo_put(QueueObject *self, PyObject *item);

/* Those of a plain queue. */
PyObject *ouro_queue_take(QueueObject *self);
int ouro_queue_store(QueueObject *self, PyObject *item);

int ouro_queue_traverse(PyObject *self, visitproc visit, void *arg);
int ouro_queue_clear(PyObject *self);
int ouro_queue_items_setup(PyObject *module, ouro_state *st);

/* ---- what a queue does (queue_ops.c); self is not NULL, plain or not ---- */

/* empty(), full() as this class has them: truth or -1. */
int ouro_queue_empty(QueueObject *self);
int ouro_queue_full(QueueObject *self);
/* The same by way of what replaces them, if something does. */
int ouro_queue_call_empty(QueueObject *self);
int ouro_queue_call_full(QueueObject *self);

PyObject *ouro_queue_get_nowait(QueueObject *self);
int ouro_queue_put_nowait(QueueObject *self, PyObject *item);
/* The same where the queue is private and has an item, or a place. */
PyObject *ouro_queue_private_get(QueueObject *self);
int ouro_queue_private_put(QueueObject *self, PyObject *item);
int ouro_queue_task_done(QueueObject *self);
int ouro_queue_shutdown(QueueObject *self, bool immediate);

/* Wake the first of the line who still waits. */
int ouro_queue_wakeup_next(ouro_state *st, ouro_ring *waiters);
int ouro_queue_call_wakeup_next(QueueObject *self, ouro_ring *waiters);

/* The exceptions by the version's rules; return -1. */
int ouro_queue_raise_shutdown(QueueObject *self);

/* ---- get(), put(), join() (queue_await.c) ------------------------------- */

extern const ouro_async_def ouro_queue_async_methods[];

#endif
