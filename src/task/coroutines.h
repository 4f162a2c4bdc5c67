/* coroutines.h - what is a coroutine. Also for the rooms above. */
#ifndef OURO_COROUTINES_H
#define OURO_COROUTINES_H

#include "base/ouro.h"

/* asyncio.iscoroutine(object): 1, 0, -1. */
int ouro_iscoroutine(ouro_state *st, PyObject *object);

#endif
