/* future_attrs.c - what Python sees of a future's insides.
 *
 * The names are asyncio's: libraries and debuggers read them, and some are
 * settable there too.
 */
#include "task/callbacks.h"
#include "task/future_impl.h"

static int
refuse_deletion(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    return 0;
}

static PyObject *
get_state(PyObject *self, void *unused)
{
    static const char *const names[] = {"PENDING", "CANCELLED", "FINISHED"};
    FutureObject *fut = (FutureObject *)self;
    return ouro_future_check_alive(fut) < 0
               ? NULL
               : PyUnicode_InternFromString(names[fut->state]);
}

static PyObject *
get_blocking(PyObject *self, void *unused)
{
    FutureObject *fut = (FutureObject *)self;
    return PyBool_FromLong(fut->loop != NULL && fut->blocking);
}

static int
set_blocking(PyObject *self, PyObject *value, void *unused)
{
    FutureObject *fut = (FutureObject *)self;
    int truth = ouro_future_check_alive(fut) < 0 || refuse_deletion(value) < 0
                    ? -1
                    : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    fut->blocking = (uint8_t)truth;
    return 0;
}

static PyObject *
get_loop(PyObject *self, void *unused)
{
    return Py_NewRef(ouro_or_none(((FutureObject *)self)->loop));
}

static PyObject *
get_callbacks(PyObject *self, void *unused)
{
    FutureObject *fut = (FutureObject *)self;
    return ouro_future_check_alive(fut) < 0 ? NULL
                                            : ouro_future_callbacks(fut);
}

static PyObject *
get_result(PyObject *self, void *unused)
{
    FutureObject *fut = (FutureObject *)self;
    if (ouro_future_check_alive(fut) < 0) {
        return NULL;
    }
    bool has = fut->state == FUTURE_FINISHED && !fut->failed;
    return Py_NewRef(ouro_or_none(has ? fut->result : NULL));
}

static PyObject *
get_exception(PyObject *self, void *unused)
{
    FutureObject *fut = (FutureObject *)self;
    if (ouro_future_check_alive(fut) < 0) {
        return NULL;
    }
    return Py_NewRef(ouro_or_none(fut->failed ? fut->result : NULL));
}

static PyObject *
get_log_traceback(PyObject *self, void *unused)
{
    FutureObject *fut = (FutureObject *)self;
    return ouro_future_check_alive(fut) < 0
               ? NULL
               : PyBool_FromLong(fut->log_traceback);
}

static int
set_log_traceback(PyObject *self, PyObject *value, void *unused)
{
    int truth = refuse_deletion(value) < 0 ? -1 : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    if (truth) {
        PyErr_SetString(PyExc_ValueError,
                        "_log_traceback can only be set to False");
        return -1;
    }
    ((FutureObject *)self)->log_traceback = false;
    return 0;
}

static PyObject *
get_source_traceback(PyObject *self, void *unused)
{
    future_extras *extras = ((FutureObject *)self)->extras;
    return Py_NewRef(
        ouro_or_none(extras != NULL ? extras->source_traceback : NULL));
}

static PyObject *
get_cancel_message(PyObject *self, void *unused)
{
    future_extras *extras = ((FutureObject *)self)->extras;
    return Py_NewRef(
        ouro_or_none(extras != NULL ? extras->cancel_message : NULL));
}

static int
set_cancel_message(PyObject *self, PyObject *value, void *unused)
{
    if (refuse_deletion(value) < 0) {
        return -1;
    }
    return ouro_future_set_cancel_message((FutureObject *)self, value);
}

/* Without install(), code that asks isinstance(x, asyncio.Task) must hear
 * yes; the registry of singledispatch wants the real type once installed. */
static PyObject *
get_class(PyObject *self, void *unused)
{
    ouro_state *st = ouro_state_of(self);
    if (!st->installed) {
        if (Py_TYPE(self) == st->types.Task) {
            return Py_NewRef(st->stock.stock_Task);
        }
        if (Py_TYPE(self) == st->types.Future) {
            return Py_NewRef(st->stock.stock_Future);
        }
    }
    return Py_NewRef((PyObject *)Py_TYPE(self));
}

/* `fut.__class__ = X` is refused as for any immutable layout. */
static int
set_class(PyObject *self, PyObject *value, void *unused)
{
    PyObject *descriptor = /* borrowed */
        _PyType_Lookup(&PyBaseObject_Type, ouro_state_of(self)->str.__class__);
    if (descriptor == NULL) {
        PyErr_SetString(PyExc_AttributeError, "__class__");
        return -1;
    }
    return Py_TYPE(descriptor)->tp_descr_set(descriptor, self, value);
}

PyGetSetDef ouro_future_getset[] = {
    {"_state", get_state, NULL, NULL, NULL},
    {"_asyncio_future_blocking", get_blocking, set_blocking, NULL, NULL},
    {"_loop", get_loop, NULL, NULL, NULL},
    {"_callbacks", get_callbacks, NULL, NULL, NULL},
    {"_result", get_result, NULL, NULL, NULL},
    {"_exception", get_exception, NULL, NULL, NULL},
    {"_log_traceback", get_log_traceback, set_log_traceback, NULL, NULL},
    {"_source_traceback", get_source_traceback, NULL, NULL, NULL},
    {"_cancel_message", get_cancel_message, set_cancel_message, NULL, NULL},
    {"__class__", get_class, set_class, NULL, NULL},
    {NULL},
};

/* The text is asyncio's own, made by its function; a task's by another. */
PyObject *
ouro_future_repr(PyObject *self)
{
    ouro_state *st = ouro_state_of(self);
    return PyObject_CallMethodOneArg(st->stock.base_futures,
                                     st->str._future_repr, self);
}
