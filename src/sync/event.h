/* event.h - asyncio.Event, as queues use it (_finished). */
#ifndef OURO_EVENT_H
#define OURO_EVENT_H

#include "sync/mixin.h"

typedef struct EventObject {
    LoopBoundObject base;
    ouro_ring waiters;
    PyObject *value; /* _value: a bool, if nobody changed that */
} EventObject;

static inline bool
ouro_event_plain(ouro_state *st, PyObject *event)
{
    return Py_TYPE(event) == st->types.Event
           && ouro_plain((LoopBoundObject *)event, &st->sync.Event);
}

/* Event() */
PyObject *ouro_event_new(ouro_state *st);

/* set(): 0 or -1. */
int ouro_event_set(EventObject *event);

static inline void
ouro_event_clear(EventObject *event)
{
    if (event->value != Py_False) {
        Py_XSETREF(event->value, Py_NewRef(Py_False));
    }
}

/* wait(): the coroutine. */
PyObject *ouro_event_wait(EventObject *event);

#endif
