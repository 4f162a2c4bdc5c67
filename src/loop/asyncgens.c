/* asyncgens.c - asynchronous generators: the loop that iterates one closes
 * it, when nobody else does.
 *
 * While the loop runs, the interpreter's hooks are its own: the first
 * iteration adds a generator to a weak set, its finalization schedules
 * aclose(); shutdown_asyncgens() closes what is left.
 */
#include "loop/loop.h"

/* ---- hooks ------------------------------------------------------------- */

/* self._asyncgens, which is made when the first generator comes. */
static PyObject *
get_asyncgens(LoopObject *self)
{
    return PyObject_GetAttr((PyObject *)self, self->core.st->str._asyncgens);
}

static int
call_asyncgens(LoopObject *self, PyObject *method, PyObject *agen)
{
    PyObject *asyncgens = get_asyncgens(self);
    if (asyncgens == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodOneArg(asyncgens, method, agen);
    Py_DECREF(asyncgens);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *
loop_firstiter_hook(PyObject *op, PyObject *agen)
{
    LoopObject *self = (LoopObject *)op;
    if (self->asyncgens_shutdown
        && PyErr_ResourceWarning(op, 1,
                                 "asynchronous generator %R was scheduled "
                                 "after loop.shutdown_asyncgens() call",
                                 agen)
               < 0) {
        return NULL;
    }
    if (call_asyncgens(self, self->core.st->str.add, agen) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* self.call_soon_threadsafe(self.create_task, agen.aclose()) */
static PyObject *
close_soon(LoopObject *self, PyObject *agen)
{
    ouro_state *st = self->core.st;
    PyObject *create_task =
        PyObject_GetAttr((PyObject *)self, st->str.create_task);
    PyObject *closing = create_task == NULL
                            ? NULL
                            : PyObject_CallMethodNoArgs(agen, st->str.aclose);
    PyObject *handle = NULL;
    if (closing != NULL) {
        PyObject *args[] = {(PyObject *)self, create_task, closing};
        handle = PyObject_VectorcallMethod(st->str.call_soon_threadsafe, args,
                                           3, NULL);
    }
    Py_XDECREF(closing);
    Py_XDECREF(create_task);
    if (handle == NULL) {
        return NULL;
    }
    Py_DECREF(handle);
    Py_RETURN_NONE;
}

static PyObject *
loop_finalizer_hook(PyObject *op, PyObject *agen)
{
    LoopObject *self = (LoopObject *)op;
    if (call_asyncgens(self, self->core.st->str.discard, agen) < 0) {
        return NULL;
    }
    int closed = ouro_loop_is_closed(self);
    if (closed != 0) {
        return closed < 0 ? NULL : Py_NewRef(Py_None);
    }
    return close_soon(self, agen);
}

static int
set_hooks(ouro_state *st, PyObject *firstiter, PyObject *finalizer)
{
    PyObject *args[] = {firstiter, finalizer};
    return ouro_drop_result(
        PyObject_Vectorcall(st->stock.set_asyncgen_hooks, args, 2, NULL));
}

int
ouro_asyncgens_enter(LoopObject *self)
{
    ouro_state *st = self->core.st;
    PyObject *old = PyObject_CallNoArgs(st->stock.get_asyncgen_hooks);
    if (old == NULL) {
        return -1;
    }
    Py_XSETREF(self->old_agen_hooks, old);
    PyObject *op = (PyObject *)self;
    PyObject *firstiter =
        PyObject_GetAttr(op, st->str._asyncgen_firstiter_hook);
    PyObject *finalizer =
        firstiter == NULL
            ? NULL
            : PyObject_GetAttr(op, st->str._asyncgen_finalizer_hook);
    int result = finalizer != NULL ? set_hooks(st, firstiter, finalizer) : -1;
    Py_XDECREF(finalizer);
    Py_XDECREF(firstiter);
    return result;
}

int
ouro_asyncgens_leave(LoopObject *self)
{
    PyObject *old = self->old_agen_hooks;
    if (old != NULL && PyTuple_Check(old) && PyTuple_GET_SIZE(old) == 2
        && set_hooks(self->core.st, PyTuple_GET_ITEM(old, 0),
                     PyTuple_GET_ITEM(old, 1))
               < 0) {
        return -1;
    }
    Py_CLEAR(self->old_agen_hooks);
    return 0;
}

/* ---- shutdown ---------------------------------------------------------- */

/* What is left, as a list; the set is empty then. */
static PyObject *
take_asyncgens(LoopObject *self)
{
    PyObject *asyncgens = get_asyncgens(self);
    if (asyncgens == NULL) {
        return NULL;
    }
    PyObject *list = PySequence_List(asyncgens);
    if (list != NULL && PyList_GET_SIZE(list) > 0) {
        PyObject *result =
            PyObject_CallMethodNoArgs(asyncgens, self->core.st->str.clear);
        if (result == NULL) {
            Py_CLEAR(list);
        }
        Py_XDECREF(result);
    }
    Py_DECREF(asyncgens);
    return list;
}

/* gather(*[agen.aclose() for agen in list], return_exceptions=True) */
static PyObject *
gather_closing(ouro_state *st, PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    PyObject *args = PyTuple_New(count);
    PyObject *kwargs = Py_BuildValue("{sO}", "return_exceptions", Py_True);
    PyObject *gather = PyObject_GetAttr(st->stock.tasks, st->str.gather);
    PyObject *result = NULL;
    if (args == NULL || kwargs == NULL || gather == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *closing = PyObject_CallMethodNoArgs(PyList_GET_ITEM(list, i),
                                                      st->str.aclose);
        if (closing == NULL) {
            goto done;
        }
        PyTuple_SET_ITEM(args, i, closing);
    }
    result = PyObject_Call(gather, args, kwargs);
done:
    Py_XDECREF(gather);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    return result;
}

static int
report_agen(LoopObject *self, PyObject *agen, PyObject *error)
{
    PyObject *message = PyUnicode_FromFormat(
        "an error occurred during closing of asynchronous generator %R", agen);
    if (message == NULL) {
        return -1;
    }
    PyObject *context = Py_BuildValue("{sNsOsO}", "message", message,
                                      "exception", error, "asyncgen", agen);
    return ouro_loop_call_exception_handler(self->core.st, (PyObject *)self,
                                            context);
}

static int
report_agens(LoopObject *self, PyObject *agens, PyObject *results)
{
    PyObject *errors = PySequence_Fast(results, "gather() returned no list");
    if (errors == NULL) {
        return -1;
    }
    int result = 0;
    Py_ssize_t count =
        Py_MIN(PyList_GET_SIZE(agens), PySequence_Fast_GET_SIZE(errors));
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
        PyObject *error = PySequence_Fast_GET_ITEM(errors, i);
        if (PyObject_TypeCheck(error, (PyTypeObject *)PyExc_Exception)) {
            result = report_agen(self, PyList_GET_ITEM(agens, i), error);
        }
    }
    Py_DECREF(errors);
    return result;
}

enum { SHUTDOWN_START, SHUTDOWN_CLOSING };

/* self->a: the generators that are being closed. */
static await_status
shutdown_poll(AwaitObject *self, PyObject **ret)
{
    LoopObject *loop = (LoopObject *)self->owner;
    if (self->step == SHUTDOWN_START) {
        loop->asyncgens_shutdown = true;
        self->a = take_asyncgens(loop);
        if (self->a == NULL) {
            return AWAIT_ERROR;
        }
        if (PyList_GET_SIZE(self->a) == 0) {
            *ret = Py_NewRef(Py_None);
            return AWAIT_RETURN;
        }
        self->step = SHUTDOWN_CLOSING;
        *ret = gather_closing(loop->core.st, self->a);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
    }
    if (report_agens(loop, self->a, self->value) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind shutdown_kind = {
    .name = "shutdown_asyncgens",
    .qualname = "BaseEventLoop.shutdown_asyncgens",
    .poll = shutdown_poll,
};

static PyObject *
loop_shutdown_asyncgens(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    return ouro_await_call(((LoopObject *)op)->core.st, &shutdown_kind, op,
                           args, nargs, kwnames);
}

PyDoc_STRVAR(shutdown_doc, "shutdown_asyncgens($self, /)\n--\n\n\
Close all asynchronous generators that are still being iterated.");
PyDoc_STRVAR(firstiter_doc,
             "_asyncgen_firstiter_hook($self, agen)\n--\n\n");
PyDoc_STRVAR(finalizer_doc,
             "_asyncgen_finalizer_hook($self, agen)\n--\n\n");

static PyMethodDef methods[] = {
    {"_asyncgen_firstiter_hook", loop_firstiter_hook, METH_O, firstiter_doc},
    {"_asyncgen_finalizer_hook", loop_finalizer_hook, METH_O, finalizer_doc},
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"shutdown_asyncgens", loop_shutdown_asyncgens, shutdown_doc},
    {NULL},
};

int
ouro_asyncgens_setup(PyObject *module, ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
