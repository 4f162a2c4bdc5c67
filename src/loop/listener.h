/* listener.h - accepting connections. */
#ifndef OURO_LISTENER_H
#define OURO_LISTENER_H

#include "loop/loop.h"

/* The arguments of loop._start_serving(). */
enum {
    SERVING_FACTORY,
    SERVING_SOCK,
    SERVING_SSL,
    SERVING_SERVER,
    SERVING_BACKLOG,
    SERVING_HANDSHAKE_TIMEOUT,
    SERVING_SHUTDOWN_TIMEOUT,
    SERVING_ARGS,
};

/* loop._start_serving(*args), directly where nothing is overridden. 0/-1. */
int ouro_start_serving(ouro_state *st, PyObject *loop, PyObject *const *args);

#endif
