/* awaitdrive.h - how a coroutine of ours is driven (await.c), for its Python
 * type (coroutine.c).  Other rooms need await.h alone.
 */
#ifndef OURO_AWAITDRIVE_H
#define OURO_AWAITDRIVE_H

#include "base/await.h"

enum await_state {
    AWAIT_CREATED,
    AWAIT_RUNNING,
    AWAIT_SUSPENDED,
    AWAIT_CLOSED,
};

/* The three things a driver can do; PYGEN_ERROR has an exception set. */
PySendResult ouro_await_send(AwaitObject *self, PyObject *arg,
                             PyObject **ret);
/* exception: an instance (borrowed). */
PySendResult ouro_await_throw(AwaitObject *self, PyObject *exception,
                              PyObject **ret);
/* What close() returns, or NULL with an exception. */
PyObject *ouro_await_close(AwaitObject *self);

/* Drop all references of the body. */
void ouro_await_clear_body(AwaitObject *self);

#endif
