/* awaitwrapper.c - what coroutine.__await__() returns in Python: an iterator
 * over the coroutine.
 *
 * A coroutine itself is not iterable, `yield from coroutine.__await__()` has
 * to work all the same.  `await` needs no wrapper, it drives the coroutine.
 */
#include "base/awaitdrive.h"

typedef struct AwaitWrapperObject {
    PyObject_HEAD
    PyObject *coroutine;
} AwaitWrapperObject;

static PyObject *
wrapped(PyObject *self)
{
    return ((AwaitWrapperObject *)self)->coroutine;
}

PyObject *
ouro_await_wrapper(ouro_state *st, PyObject *coroutine)
{
    PyTypeObject *type = st->types.AwaitWrapper;
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        ((AwaitWrapperObject *)self)->coroutine = Py_NewRef(coroutine);
    }
    return self;
}

static int
wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((AwaitWrapperObject *)self)->coroutine);
    return 0;
}

/* No tp_clear: the coroutine's breaks every cycle. */
static void
wrapper_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((AwaitWrapperObject *)self)->coroutine);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
wrapper_iternext(PyObject *self)
{
    return ouro_coroutine_iternext(wrapped(self));
}

static PyObject *
wrapper_send(PyObject *self, PyObject *arg)
{
    return ouro_coroutine_send(wrapped(self), arg);
}

static PyObject *
wrapper_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return ouro_coroutine_throw(wrapped(self), args, nargs);
}

static PyObject *
wrapper_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    return ouro_await_close((AwaitObject *)wrapped(self));
}

static PyMethodDef wrapper_methods[] = {
    {"send", wrapper_send, METH_O, ouro_coroutine_send_doc},
    {"throw", _PyCFunction_CAST(wrapper_throw), METH_FASTCALL,
     ouro_coroutine_throw_doc},
    {"close", wrapper_close, METH_NOARGS, ouro_coroutine_close_doc},
    {NULL},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_doc, "A wrapper object implementing __await__ for coroutines."},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_iternext},
    {Py_tp_methods, wrapper_methods},
    {0, NULL},
};

static PyType_Spec wrapper_spec = {
    .name = "ouro.coroutine_wrapper",
    .basicsize = sizeof(AwaitWrapperObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wrapper_slots,
};

int
ouro_await_wrapper_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &wrapper_spec, NULL, false,
                         &st->types.AwaitWrapper);
}
