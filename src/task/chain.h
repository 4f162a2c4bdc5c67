/* chain.h - two futures, asyncio's or concurrent.futures', of which one
 * follows the other. */
#ifndef OURO_CHAIN_H
#define OURO_CHAIN_H

#include "task/future.h"

/* futures._chain_future(source, destination): the outcome of source becomes
 * that of destination; cancelling destination cancels source. 0/-1. */
int ouro_chain_future(ouro_state *st, PyObject *source, PyObject *destination);

#endif
