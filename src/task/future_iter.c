/* future_iter.c - `await fut`: yields the future once, then its result. */
#include "task/future_impl.h"

enum { FREE_ITERS_MAX = 1024 };

typedef struct FutureIterObject {
    PyObject_HEAD
    FutureObject *future; /* NULL: exhausted */
} FutureIterObject;

PyObject *
ouro_future_await(PyObject *self)
{
    if (ouro_future_check_alive((FutureObject *)self) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(self);
    PyObject *iter =
        ouro_freelist_take(&st->free_future_iters, st->types.FutureIter);
    if (iter == NULL) {
        iter = (PyObject *)PyObject_GC_New(FutureIterObject,
                                           st->types.FutureIter);
        if (iter == NULL) {
            return NULL;
        }
    }
    ((FutureIterObject *)iter)->future = (FutureObject *)Py_NewRef(self);
    PyObject_GC_Track(iter);
    return iter;
}

/* Without an iterator: coroutines in C wait this way (future_send). */
static PySendResult
future_send(PyObject *self, PyObject **ret)
{
    FutureObject *fut = (FutureObject *)self;
    *ret = NULL;
    if (fut->state != FUTURE_PENDING) {
        *ret = ouro_future_result(fut);
        return *ret != NULL ? PYGEN_RETURN : PYGEN_ERROR;
    }
    if (ouro_future_check_alive(fut) < 0) {
        return PYGEN_ERROR;
    }
    if (fut->blocking) {
        PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
        return PYGEN_ERROR;
    }
    fut->blocking = true;
    *ret = Py_NewRef(self);
    return PYGEN_NEXT;
}

static PySendResult
iter_am_send(PyObject *self, PyObject *unused, PyObject **ret)
{
    FutureIterObject *iter = (FutureIterObject *)self;
    FutureObject *fut = iter->future;
    *ret = NULL;
    if (fut == NULL) {
        return PYGEN_ERROR;
    }
    if (fut->state == FUTURE_PENDING) {
        return future_send((PyObject *)fut, ret);
    }
    iter->future = NULL;
    PySendResult sent = future_send((PyObject *)fut, ret);
    Py_DECREF(fut);
    return sent;
}

static PyObject *
iter_next(PyObject *self)
{
    PyObject *result;
    switch (iter_am_send(self, Py_None, &result)) {
    case PYGEN_NEXT:
        return result;
    case PYGEN_RETURN:
        return ouro_await_end(ouro_state_of(self), result);
    default:
        return NULL;
    }
}

PyDoc_STRVAR(send_doc, "send($self, value, /)\n--\n\n"
                       "Go on; the value is not used.");

static PyObject *
iter_send(PyObject *self, PyObject *unused)
{
    /* Like a generator's: an exhausted one raises StopIteration. */
    PyObject *result = iter_next(self);
    if (result == NULL && !PyErr_Occurred()) {
        PyErr_SetNone(PyExc_StopIteration);
    }
    return result;
}

/* throw(type[, value[, traceback]]) as generators take it. */
static int
raise_thrown(PyObject *type, PyObject *value, PyObject *traceback)
{
    if (value == Py_None) {
        value = NULL;
    }
    if (traceback == Py_None) {
        traceback = NULL;
    }
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError,
                        "throw() third argument must be a traceback");
        return -1;
    }
    Py_INCREF(type);
    Py_XINCREF(value);
    Py_XINCREF(traceback);
    if (PyExceptionClass_Check(type)) {
        PyErr_NormalizeException(&type, &value, &traceback);
        if (value != NULL && !PyExceptionInstance_Check(value)) {
            PyErr_SetString(PyExc_TypeError,
                            "instance exception may not have a separate "
                            "value");
            goto error;
        }
    }
    else if (PyExceptionInstance_Check(type)) {
        if (value != NULL) {
            PyErr_SetString(PyExc_TypeError,
                            "instance exception may not have a separate "
                            "value");
            goto error;
        }
        value = type;
        type = Py_NewRef((PyObject *)Py_TYPE(value));
        if (traceback == NULL) {
            traceback = PyException_GetTraceback(value);
        }
    }
    else {
        PyErr_SetString(PyExc_TypeError,
                        "exceptions must be classes deriving BaseException "
                        "or instances of such a class");
        goto error;
    }
    PyErr_Restore(type, value, traceback);
    return 0;
error:
    Py_DECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return -1;
}

PyDoc_STRVAR(throw_doc,
"throw(value)\nthrow(type[, value[, traceback]])\n\n\
Raise an exception at the place of the await.");

static PyObject *
iter_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 3) {
        PyErr_Format(
            PyExc_TypeError, "throw expected at %s argument%s, got %zd",
            nargs < 1 ? "least 1" : "most 3", nargs < 1 ? "" : "s", nargs);
        return NULL;
    }
    if (nargs > 1 && ouro_state_of(self)->has.throw_of_three_warns
        && PyErr_WarnEx(PyExc_DeprecationWarning,
                        "the (type, exc, tb) signature of throw() is "
                        "deprecated, use the single-arg signature instead.",
                        1)
               < 0) {
        return NULL;
    }
    FutureIterObject *iter = (FutureIterObject *)self;
    if (raise_thrown(args[0], nargs > 1 ? args[1] : NULL,
                     nargs > 2 ? args[2] : NULL)
        < 0) {
        return NULL;
    }
    PyObject *error = PyErr_GetRaisedException();
    Py_CLEAR(iter->future);
    PyErr_SetRaisedException(error);
    return NULL;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\nForget the future.");

static PyObject *
iter_close(PyObject *self, PyObject *unused)
{
    Py_CLEAR(((FutureIterObject *)self)->future);
    Py_RETURN_NONE;
}

static int
iter_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((FutureIterObject *)self)->future);
    return 0;
}

static int
iter_clear(PyObject *self)
{
    Py_CLEAR(((FutureIterObject *)self)->future);
    return 0;
}

static void
iter_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ouro_state *st = ouro_state_of_type(type);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((FutureIterObject *)self)->future);
    if (!ouro_freelist_push(&st->free_future_iters, self, FREE_ITERS_MAX)) {
        type->tp_free(self);
    }
    Py_DECREF(type);
}

static PyMethodDef iter_methods[] = {
    {"send", iter_send, METH_O, send_doc},
    {"throw", _PyCFunction_CAST(iter_throw), METH_FASTCALL, throw_doc},
    {"close", iter_close, METH_NOARGS, close_doc},
    {NULL},
};

static PyType_Slot iter_slots[] = {
    {Py_tp_doc, "What awaiting a Future iterates over."},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iter_next},
    {Py_am_send, iter_am_send},
    {Py_tp_methods, iter_methods},
    {Py_tp_traverse, iter_traverse},
    {Py_tp_clear, iter_clear},
    {Py_tp_dealloc, iter_dealloc},
    {0, NULL},
};

static PyType_Spec iter_spec = {
    .name = "ouro._ouro.FutureIter",
    .basicsize = sizeof(FutureIterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = iter_slots,
};

int
ouro_future_iter_setup(PyObject *module, ouro_state *st)
{
    st->future_send = future_send;
    return ouro_add_type(module, &iter_spec, NULL, false,
                         &st->types.FutureIter);
}
