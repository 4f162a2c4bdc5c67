/* copystate.h - from one done future to another. Also for the rooms above. */
#ifndef OURO_COPYSTATE_H
#define OURO_COPYSTATE_H

#include "task/future.h"

/* futures._copy_future_state(source, dest): dest is a future of asyncio's
 * kind. 0/-1. */
int ouro_copy_future_state(ouro_state *st, PyObject *source, PyObject *dest);

/* futures._set_concurrent_future_state(concurrent, source). 0/-1. */
int ouro_set_concurrent_state(ouro_state *st, PyObject *concurrent,
                              PyObject *source);

/* asyncio's exception for one of concurrent.futures', else the same: a new
 * reference. */
PyObject *ouro_convert_exception(ouro_state *st, PyObject *exception);

/* future.set_running_or_notify_cancel() of a concurrent future: 1, 0, -1. */
int ouro_concurrent_starts(ouro_state *st, PyObject *concurrent);

#endif
