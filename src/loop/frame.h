/* frame.h - arguments and local variables of a coroutine in C.
 *
 * A body with more of them than an AwaitObject has fields keeps them in a
 * list in self->a: first the arguments in the order of the signature, then
 * the locals.  What is not given or not set is None.
 */
#ifndef OURO_FRAME_H
#define OURO_FRAME_H

#include "base/args.h"
#include "base/await.h"

/* A new coroutine with its frame: the given arguments (NULL: None), then
 * locals up to `total`. */
static inline PyObject *
ouro_frame_new(ouro_state *st, const await_kind *kind, PyObject *owner,
               PyObject *const *arguments, int given, int total)
{
    PyObject *frame = PyList_New(total);
    if (frame == NULL) {
        return NULL;
    }
    for (int i = 0; i < total; i++) {
        PyObject *value = i < given ? arguments[i] : NULL;
        PyList_SET_ITEM(frame, i, Py_NewRef(value == NULL ? Py_None : value));
    }
    AwaitObject *self = ouro_await_new(st, kind, owner);
    if (self == NULL) {
        Py_DECREF(frame);
        return NULL;
    }
    self->a = frame;
    return (PyObject *)self;
}

/* Borrowed: safe as long as nobody sets the place again. */
static inline PyObject *
ouro_frame_get(AwaitObject *self, int place)
{
    return PyList_GET_ITEM(self->a, place);
}

/* Takes the reference over. */
static inline void
ouro_frame_set(AwaitObject *self, int place, PyObject *value)
{
    PyObject *old = PyList_GET_ITEM(self->a, place);
    PyList_SET_ITEM(self->a, place, value);
    Py_DECREF(old);
}

/* object.name(*args, **{keywords}): keywords are pairs of const char * and
 * PyObject * (borrowed), ended by NULL.  args: a tuple, consumed; NULL is an
 * error that is passed on. */
PyObject *ouro_call_keywords(PyObject *object, PyObject *name, PyObject *args,
                             ...);

#endif
