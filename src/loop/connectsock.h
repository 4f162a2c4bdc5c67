/* connectsock.h - one connected socket out of several addresses. */
#ifndef OURO_CONNECTSOCK_H
#define OURO_CONNECTSOCK_H

#include "loop/frame.h"

/* A coroutine (owned) that returns a socket object connected to one of the
 * addresses (a list of getaddrinfo's tuples); local_infos, delay, interleave
 * may be None. */
PyObject *ouro_connect_any(ouro_state *st, PyObject *loop, PyObject *infos,
                           PyObject *local_infos, PyObject *delay,
                           PyObject *interleave, PyObject *all_errors);

#endif
