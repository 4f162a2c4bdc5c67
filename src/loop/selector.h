/* selector.h - loops whose poller is an object of Python's `selectors`. */
#ifndef OURO_SELECTOR_H
#define OURO_SELECTOR_H

#include "loop/fdwatch.h"

extern const ou_poller_backend ouro_selector_backend;

/* The attribute _selector: from the first look at it on, the loop waits by
 * that selector. */
PyObject *ouro_selector_get(PyObject *self, void *closure);
int ouro_selector_set(PyObject *self, PyObject *value, void *closure);

static inline bool
ouro_has_selector(LoopObject *self)
{
    return self->core.opened && self->core.engine.poller.backend->foreign;
}

/* The handles of a watch have changed: tell the selector. 0 or -1. */
int ouro_selector_note(LoopObject *self, FdWatch *watch);

/* close(): selector.close(). 0 or -1. */
int ouro_selector_close(LoopObject *self);

#endif
