/* future_impl.h - what the files about futures and tasks share. Private to
 * the task room. */
#ifndef OURO_FUTURE_IMPL_H
#define OURO_FUTURE_IMPL_H

#include "base/args.h"
#include "base/await.h"
#include "task/future.h"

/* The rare fields, allocated when first needed; NULL: MemoryError. */
future_extras *ouro_future_extras(FutureObject *fut);
int ouro_future_set_cancel_message(FutureObject *fut, PyObject *message);

/* -1 with an exception where __init__ has not been called: RuntimeError, or
 * for those who read the outcome InvalidStateError, as in asyncio. */
int ouro_future_check_alive(FutureObject *fut);
int ouro_future_check_readable(FutureObject *fut);

/* set_exception() of a pending future without the extras: allocates nothing.
 * 0, or -1 where its loop's call_soon() fails. */
int ouro_future_fail(FutureObject *fut, PyObject *exception);

/* There was no memory (the current exception) to tell that fut, which somebody
 * waits for, is done: it ends with the MemoryError.  True if it did. */
bool ouro_future_end_for_want(ouro_state *st, PyObject *fut);

/* Raise the CancelledError of a cancelled future. */
void ouro_future_raise_cancelled(ouro_state *st, FutureObject *fut);
PyObject *ouro_future_cancelled_error(ouro_state *st, FutureObject *fut);

/* The arguments of cancel(msg=None); *ret_message NULL: not given. */
int ouro_parse_cancel(PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, PyObject **ret_message);

/* __init__: loop may be NULL or None. */
int ouro_future_init(ouro_state *st, FutureObject *fut, PyObject *loop);

/* The loop whose engine runs a job of this future now, borrowed: its own, or,
 * if it has moved since the job was queued, the one that runs in this thread.
 * NULL without an exception: somebody hides the running loop. */
LoopCore *ouro_future_host(ouro_state *st, FutureObject *fut);

/* The context for call_exception_handler(): {message, exception (may be NULL),
 * key: fut, source_traceback}; message is consumed. */
PyObject *ouro_future_error_context(ouro_state *st, FutureObject *fut,
                                    PyObject *message, PyObject *exception,
                                    PyObject *key);

int ouro_future_traverse(PyObject *self, visitproc visit, void *arg);
int ouro_future_clear(PyObject *self);
void ouro_future_finalize(PyObject *self);

PyObject *ouro_future_repr(PyObject *self);
extern PyGetSetDef ouro_future_getset[];

extern PyMethodDef ouro_anyfuture_functions[];

PyObject *ouro_future_await(PyObject *self);
int ouro_future_iter_setup(PyObject *module, ouro_state *st);

#endif
