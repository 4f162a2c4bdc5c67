/* steps.h - steps of asyncio's loop that are methods, and may be somebody's
 * (steps.c).
 */
#ifndef OURO_STEPS_H
#define OURO_STEPS_H

#include "loop/loop.h"

/* Call self.name(...), but only if that is not our own: 1 when it has been
 * called; 0: the caller does what ours does; -1.  Up to four arguments,
 * ended by NULL. */
int ouro_loop_by_method(LoopObject *self, PyObject *name, ...);

/* Whether asyncio's method is to run in the place of ours, because one of the
 * steps that only asyncio's takes is somebody's: it has been called, and *ret
 * is its coroutine, or NULL with an exception. */
bool ouro_loop_detour(PyObject *loop, const char *method,
                      PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, PyObject **ret);

#endif
