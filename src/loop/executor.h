/* executor.h - the default executor, between the files that make it up. */
#ifndef OURO_EXECUTOR_H
#define OURO_EXECUTOR_H

#include "loop/loop.h"

/* Whether somebody has set or seen one. */
static inline bool
ouro_has_executor(LoopObject *self)
{
    return self->default_executor != NULL && self->default_executor != Py_None;
}

/* executor.shutdown(wait=wait). 0/-1. */
int ouro_executor_shut_down(ouro_state *st, PyObject *executor,
                            PyObject *wait);

int ouro_executor_shutdown_setup(PyObject *module, ouro_state *st);

#endif
