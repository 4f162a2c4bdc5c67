/* awaitdrive.h - what the files about coroutines share: how one is driven
 * (await.c), its Python type (coroutine.c, coroutine_attrs.c), the iterator
 * over it (awaitwrapper.c), what debuggers see of it (awaitframe.c).  Other
 * rooms need await.h alone.
 */
#ifndef OURO_AWAITDRIVE_H
#define OURO_AWAITDRIVE_H

#include "base/await.h"

enum await_state {
    AWAIT_CREATED,
    AWAIT_RUNNING,
    AWAIT_SUSPENDED,
    AWAIT_CLOSED,
    AWAIT_SHOWN, /* no coroutine that runs: it only stands, for debuggers and
                    call graphs, for a function inside of another one */
};

static inline AwaitObject *
ouro_as_await(PyObject *object)
{
    return (AwaitObject *)object;
}

/* The three things a driver can do; PYGEN_ERROR has an exception set. */
PySendResult ouro_await_send(AwaitObject *self, PyObject *arg, PyObject **ret);
/* exception: an instance (borrowed). */
PySendResult ouro_await_throw(AwaitObject *self, PyObject *exception,
                              PyObject **ret);
/* What close() returns, or NULL with an exception. */
PyObject *ouro_await_close(AwaitObject *self);

/* What it sends into while it waits: a future, or an iterator; borrowed.  Only
 * while it waits for something. */
PyObject *ouro_await_iterator(AwaitObject *self);

/* Drop all references of the body. */
void ouro_await_clear_body(AwaitObject *self);

/* The same as Python's slots and methods. */
extern const char ouro_coroutine_send_doc[];
extern const char ouro_coroutine_throw_doc[];
extern const char ouro_coroutine_close_doc[];
PyObject *ouro_coroutine_iternext(PyObject *self);
PyObject *ouro_coroutine_send(PyObject *self, PyObject *arg);
PyObject *ouro_coroutine_throw(PyObject *self, PyObject *const *args,
                               Py_ssize_t nargs);

/* The attributes, and what is kept for them outside of the coroutine: to be
 * dropped at the end of its life. */
extern PyGetSetDef ouro_coroutine_getset[];
PyObject *ouro_coroutine_repr(PyObject *self);
void ouro_coroutine_drop_extras(AwaitObject *self);
/* cr_origin, where sys.set_coroutine_origin_tracking_depth() is in force. 0
 * or -1. */
int ouro_coroutine_record_origin(AwaitObject *self, int depth);

/* A new iterator that drives a coroutine of ours. */
PyObject *ouro_await_wrapper(ouro_state *st, PyObject *coroutine);
int ouro_await_wrapper_setup(PyObject *module, ouro_state *st);

/* A new code object that stands for a body, and a frame of it. */
PyObject *ouro_await_code(const await_kind *kind);
PyObject *ouro_await_frame(ouro_state *st, PyObject *code);

/* From 3.14 on call graphs ask a frame for its coroutine: a new suspended one
 * of Python's with the names of the body. */
PyObject *ouro_await_standin(const await_kind *kind);

/* The cr_origin of a coroutine that is made now. */
PyObject *ouro_await_origin(int depth);

#endif
