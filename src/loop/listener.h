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
    SERVING_CONTEXT, /* 3.15+: what connections get copies of, or None */
    SERVING_ARGS,
};

/* How many of them there are in the Python that runs. */
int ouro_serving_count(ouro_state *st);

/* The arguments of a call with their defaults, as a tuple (owned). */
PyObject *ouro_serving_args(ouro_state *st, PyObject *const *given,
                            Py_ssize_t nargs, PyObject *kwnames);

/* Whether accept() failed for want of descriptors or memory. */
bool ouro_out_of_resources(int error);

/* Then: report the current exception and serve again after a while; the
 * kernel would go on reporting the socket as ready.  args: of
 * _start_serving(), a tuple. 0 or -1. */
int ouro_accept_later(ouro_state *st, PyObject *loop, PyObject *args);

/* loop._start_serving(*args, context=), directly where nothing is overridden.
 * args: SERVING_ARGS of them. 0 or -1. */
int ouro_start_serving(ouro_state *st, PyObject *loop, PyObject *const *args);

#endif
