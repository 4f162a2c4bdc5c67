/* mixin.h - what locks and queues have in common: the binding to a loop, the
 * waiting on futures of it, `async with`.
 *
 * A primitive belongs to no loop until it first has to wait; then to the one
 * that runs.  Waiting means to park a future of that loop in one of the
 * primitive's rings; waking means to set its result.
 *
 * What a program can replace (methods of a subclass, attributes of an
 * instance, patches of the class) is called by its name.  An object that is
 * "plain" has nothing of that: C calls C.
 */
#ifndef OURO_MIXIN_H
#define OURO_MIXIN_H

#include "base/args.h"
#include "base/await.h"
#include "base/ouro.h"
#include "sync/ring.h"

typedef struct LoopBoundObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    ouro_state *st; /* that of the type's module */
    PyObject *loop; /* _loop; NULL: None */
} LoopBoundObject;

/* Steps of a body; further ones start at STEP_OWN. */
enum {
    STEP_START,
    STEP_WAITING,   /* on a future of ouro_park_await() */
    STEP_DELEGATED, /* to a method that Python may have replaced */
    STEP_OWN,
};

/* Of exactly this class, with no attributes of its own, and the class is as
 * it was made. */
static inline bool
ouro_plain(LoopBoundObject *self, ouro_intact *class)
{
    return Py_TYPE(self) == class->type && ouro_no_attributes(self->dict)
           && ouro_intact_check(class);
}

/* ---- waiting and waking ------------------------------------------------ */

/* self._get_loop().create_future() */
PyObject *ouro_new_waiter(LoopBoundObject *self, bool plain);

/* The same, at the end of the ring; a new reference. */
PyObject *ouro_park(LoopBoundObject *self, bool plain, ouro_ring *ring);

/* The same as the end of a poll(): the future is then in self->a (of a small
 * body: ouro_await_parked()) and the step STEP_WAITING. */
await_status ouro_park_await(AwaitObject *self, bool plain, ouro_ring *ring,
                             PyObject **ret);

/* fut.done(), fut.cancelled(): 1, 0, -1. */
int ouro_waiter_done(ouro_state *st, PyObject *fut);
int ouro_waiter_cancelled(ouro_state *st, PyObject *fut);

/* `if not fut.done(): fut.set_result(result)`: whether it was woken, or -1.
 */
int ouro_waiter_wake(ouro_state *st, PyObject *fut, PyObject *result);

/* The first waiter that is not done: 1 and *ret (owned), 0 or -1. */
int ouro_first_pending(ouro_state *st, ouro_ring *ring, PyObject **ret);

/* Whether every waiter is cancelled (also if there is none), or -1. */
int ouro_all_cancelled(ouro_state *st, ouro_ring *ring);

/* ---- small parts of methods -------------------------------------------- */

/* The value of an attribute that is an object: its truth, or -1.  NULL:
 * AttributeError, as if __init__ had not been called. */
int ouro_attribute_truth(void *owner, PyObject *value, const char *name);

/* The end of an exception handler in a body: raise `handled` again (stolen),
 * or let what the handler itself raised (result < 0) go, in its context. */
await_status ouro_handled(PyObject *handled, int result);

/* Raised while `context` (borrowed, may be NULL) was being handled. */
void ouro_set_context(PyObject *exception, PyObject *context);

/* Run object.name() for its effect: 0 or -1. */
int ouro_call_method(void *object, PyObject *name);

/* bool(object.name()), or -1. */
int ouro_call_truth(void *object, PyObject *name);

/* `<... [extra]>` or `<... [extra, waiters:n]>` around what the next class
 * in line has for a repr.  extra is consumed, may be NULL (an exception). */
PyObject *ouro_waiters_repr(void *self, PyTypeObject *class, PyObject *extra,
                            ouro_ring *waiters);

/* ---- async with -------------------------------------------------------- */

/* Calls of __aenter__ and __aexit__: check the arguments, make the body. */
PyObject *ouro_enter_new(ouro_state *st, PyObject *self,
                         const await_kind *kind, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames);
PyObject *ouro_exit_new(ouro_state *st, PyObject *self, const await_kind *kind,
                        PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames);

/* Await self.name(); then poll() is called in STEP_DELEGATED. */
await_status ouro_delegate(AwaitObject *self, PyObject *name, PyObject **ret);

/* The bodies that call self.acquire() and self.release(). */
await_status ouro_enter_poll(AwaitObject *self, PyObject **ret);
await_status ouro_exit_poll(AwaitObject *self, PyObject **ret);

#define OURO_ENTER_NAME "__aenter__", "_ContextManagerMixin.__aenter__"
#define OURO_EXIT_NAME  "__aexit__", "_ContextManagerMixin.__aexit__"

/* ---- types -------------------------------------------------------------- */

PyObject *ouro_loop_bound_new(PyTypeObject *type, PyObject *args,
                              PyObject *kwargs);
int ouro_loop_bound_traverse(LoopBoundObject *self, visitproc visit,
                             void *arg);
void ouro_loop_bound_clear(LoopBoundObject *self);
/* tp_dealloc: uses the type's own tp_clear. */
void ouro_loop_bound_dealloc(PyObject *self);

/* __getstate__, __setstate__ (copying.c). */
PyObject *ouro_loop_bound_getstate(PyObject *self, PyObject *none);
PyObject *ouro_loop_bound_setstate(PyObject *self, PyObject *state);

/* Make a class of this room: its bases are LoopBoundMixin, behind
 * ContextManagerMixin if `with`; or `base` if that is not NULL. */
int ouro_add_primitive(PyObject *module, PyType_Spec *spec, bool with,
                       PyTypeObject *base, const ouro_async_def *methods,
                       PyTypeObject **slot);

/* Leave out what this version of asyncio does not have. */
int ouro_remove_attribute(PyTypeObject *type, const char *name);

#endif
