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

/* The coroutine of asyncio's method in the place of ours, if one of the steps
 * that only asyncio's takes is somebody's: 1 with *ret; 0; -1. */
int ouro_loop_detour(PyObject *loop, const char *method, PyObject *const *args,
                     Py_ssize_t nargs, PyObject *kwnames, PyObject **ret);

#endif
