/* selfpipe.h - asyncio's self-pipe (selfpipe.c). */
#ifndef OURO_SELFPIPE_H
#define OURO_SELFPIPE_H

#include "loop/loop.h"

/* Make one, if the class has a method of its own for it. 0/-1. */
int ouro_selfpipe_open(LoopObject *self);
int ouro_selfpipe_close(LoopObject *self);

/* The attributes _ssock and _csock; closure: their place in LoopObject. */
PyObject *ouro_selfpipe_get(PyObject *self, void *closure);
int ouro_selfpipe_set(PyObject *self, PyObject *value, void *closure);

/* For loops that have one: what _write_to_self() does, and where signals
 * are to be written (-1 with an exception). */
int ouro_selfpipe_wake(LoopObject *self);
int ouro_selfpipe_fileno(LoopObject *self);

#endif
