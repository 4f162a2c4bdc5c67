/* err.h - errno to OSError, and what to do with exceptions in C jobs. */
#ifndef OURO_ERR_H
#define OURO_ERR_H

#include "base/compat.h"

#include <stdbool.h>

/* Raise the OSError subclass for -error (a negative result of the engine),
 * with strerror's text, and NULL / -1 for the caller to return. */
PyObject *ouro_raise_errno(int error) OURO_COLD;
int ouro_raise_errno_int(int error) OURO_COLD;

/* The same as an exception object, not raised. */
PyObject *ouro_errno_exception(int error);

/* Whether an exception, or the current one, must leave the loop: SystemExit or
 * KeyboardInterrupt. */
bool ouro_leaves_loop(PyObject *exception);
bool ouro_error_leaves_loop(void);

/* AttributeError: 'Lock' object has no attribute 'name': __init__() has not
 * been called. NULL. */
PyObject *ouro_no_attribute(void *object, const char *name);

/* Make `exception` current (steals nothing); as the raise statement does, a
 * class is raised as its instance, and what is none is a TypeError. */
void ouro_raise(PyObject *exception);

/* The current exception has come up while `exception` (stolen; NULL: none)
 * was handled: that is its context. */
void ouro_raised_handling(PyObject *exception);

/* Raise StopIteration(value), whatever the value is. */
void ouro_raise_stop_iteration(PyObject *value);

/* If the current exception is StopIteration: clear it, store its value (a
 * new reference), true. */
bool ouro_catch_stop_iteration(PyObject **ret);

#endif
