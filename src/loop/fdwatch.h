/* fdwatch.h - what add_reader() and add_writer() watch. */
#ifndef OURO_FDWATCH_H
#define OURO_FDWATCH_H

#include "loop/loop.h"

/* The two handles of one file descriptor. */
typedef struct FdWatch {
    PyObject_HEAD
    ou_io io;
    LoopObject *loop;
    PyObject *fileobj; /* what the user passed: a number, or has fileno() */
    PyObject *reader;  /* a Handle, or NULL */
    PyObject *writer;
} FdWatch;

/* The watch that an ou_io of the loop's table belongs to, or NULL: it is
 * somebody else's. */
FdWatch *ouro_fdwatch_of(ou_io *io);

/* _add_reader(), _add_writer() (direction OU_OUT) for callback(*args): the
 * handle.  context NULL or None: a copy of the current one. */
PyObject *ouro_fdwatch_add(LoopObject *self, PyObject *fileobj,
                           unsigned direction, PyObject *callback,
                           PyObject *const *args, Py_ssize_t nargs,
                           PyObject *context);

/* _remove_reader(), _remove_writer(): 1 if there was one, 0, or -1. */
int ouro_fdwatch_remove(LoopObject *self, PyObject *fileobj,
                        unsigned direction);

/* self._ensure_fd_no_transport(), and what ours does: 0, or -1 with
 * ValueError or RuntimeError. */
int ouro_fd_ensure_free(LoopObject *self, PyObject *fileobj);
int ouro_fd_refuse_used(LoopObject *self, PyObject *fileobj);

/* For a loop whose _process_events() or _add_callback() is somebody's: pass
 * the events of add_reader's and add_writer's watches to it; what is left of
 * the *n events, the first of the array, is for the engine. 0 or -1. */
int ouro_fdwatch_process(LoopObject *self, int *n);

int ouro_fdmethods_setup(PyObject *module, ouro_state *st);

#endif
