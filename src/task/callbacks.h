/* callbacks.h - the ordered list of who waits for a future. Private to the
 * task room. */
#ifndef OURO_CALLBACKS_H
#define OURO_CALLBACKS_H

#include "task/future.h"

/* add_done_callback(): also of a future that is done. 0 or -1. */
int ouro_future_add_callback(ouro_state *st, FutureObject *fut,
                             PyObject *function, PyObject *context);

/* The same for any job (with the queue's reference, which is dropped on
 * failure). */
int ouro_future_add_job(ouro_state *st, FutureObject *fut, ou_job *job);

/* remove_done_callback(): how many were removed, or -1. */
Py_ssize_t ouro_future_remove_callback(ouro_state *st, FutureObject *fut,
                                       PyObject *function);

/* The future is done: the result (consumed; NULL: cancelled) takes the place
 * of the list, all of which is scheduled. 0 or -1. */
int ouro_future_finish(FutureObject *fut, uint8_t state, PyObject *result);

/* What _callbacks shows: a list of (callable, context), or None. */
PyObject *ouro_future_callbacks(FutureObject *fut);

/* The tasks for which somebody waits: a new list. */
PyObject *ouro_future_awaiters(ouro_state *st, FutureObject *fut);

int ouro_waiter_callable_setup(PyObject *module, ouro_state *st);

#endif
