/* deadline.h - complete a future when a time has come: what sleep(), wait()
 * and wait_for() do with loop.call_later(). */
#ifndef OURO_DEADLINE_H
#define OURO_DEADLINE_H

#include "task/future.h"

/* In `delay` seconds (a number object), set fut's result to value unless it
 * is done.  On a fast loop this is a timer of the engine; elsewhere it is
 * loop.call_later(delay, callback, fut[, value]) with the function of that
 * name in asyncio's module (value NULL: None, and not passed).  A new
 * reference to a timer, or to the handle; NULL with an exception. */
PyObject *ouro_deadline_start(ouro_state *st, PyObject *loop, PyObject *delay,
                              PyObject *fut, PyObject *value, PyObject *module,
                              PyObject *callback);

/* It is not needed any more; NULL does nothing. 0/-1.  The caller's
 * reference stays his. */
int ouro_deadline_cancel(ouro_state *st, PyObject *deadline);

#endif
