/* atonce.h - what is awaited on the spot and ready needs no coroutine.
 *
 * `await q.get()` makes a coroutine, drives it, and drops it.  Where the frame
 * that calls awaits the result by its next instruction, and the body would end
 * without waiting, it runs within the call, and the frame gets an object that
 * does nothing but end with its result.  No Python code ever sees one.
 */
#ifndef OURO_ATONCE_H
#define OURO_ATONCE_H

#include "base/state.h"

/* Whether the instruction that has called `callable`, with these arguments
 * (nargs of them, self included) and no keywords, is followed by an await, and
 * nobody traces or monitors.  Always false where that cannot be told. */
bool ouro_awaited_at_once(PyObject *callable, PyObject *const *args,
                          Py_ssize_t nargs);

/* The same of what `async with` calls to enter, without arguments. */
bool ouro_entered_at_once(PyObject *const *args);

/* The awaitable of a result (stolen; NULL: an exception is set). */
PyObject *ouro_ready_new(ouro_state *st, PyObject *result);

int ouro_ready_setup(PyObject *module, ouro_state *st);

#endif
