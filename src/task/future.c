/* future.c - the Future type: its life and its methods.
 *
 * What Python sees of its insides (_state, _callbacks, ...) is in
 * future_attrs.c, how it is completed in outcome.c, who waits for it in
 * callbacks.c, `await` in future_iter.c.
 */
#include "task/future_impl.h"

#include "base/rooms.h"
#include "task/callbacks.h"
#include "task/task.h"

enum { FREE_FUTURES_MAX = 4096 };

/* ---- the rare fields --------------------------------------------------- */

future_extras *
ouro_future_extras(FutureObject *fut)
{
    if (fut->extras == NULL) {
        fut->extras = PyMem_Calloc(1, sizeof(future_extras));
        if (fut->extras == NULL) {
            PyErr_NoMemory();
        }
    }
    return fut->extras;
}

static void
extras_free(FutureObject *fut)
{
    future_extras *extras = fut->extras;
    if (extras == NULL) {
        return;
    }
    fut->extras = NULL;
    Py_XDECREF(extras->exception_traceback);
    Py_XDECREF(extras->source_traceback);
    Py_XDECREF(extras->cancel_message);
    Py_XDECREF(extras->cancelled_exc);
    Py_XDECREF(extras->awaited_by);
    PyMem_Free(extras);
}

static int
extras_traverse(future_extras *extras, visitproc visit, void *arg)
{
    if (extras != NULL) {
        Py_VISIT(extras->exception_traceback);
        Py_VISIT(extras->source_traceback);
        Py_VISIT(extras->cancel_message);
        Py_VISIT(extras->cancelled_exc);
        Py_VISIT(extras->awaited_by);
    }
    return 0;
}

int
ouro_future_set_cancel_message(FutureObject *fut, PyObject *message)
{
    if (fut->extras == NULL && (message == NULL || message == Py_None)) {
        return 0;
    }
    future_extras *extras = ouro_future_extras(fut);
    if (extras == NULL) {
        return -1;
    }
    Py_XSETREF(extras->cancel_message, Py_XNewRef(message));
    return 0;
}

/* ---- life -------------------------------------------------------------- */

/* Forget who waits, or what has come of it. */
static void
outcome_clear(FutureObject *fut)
{
    if (fut->state == FUTURE_FINISHED) {
        Py_CLEAR(fut->result);
    }
    else {
        ou_line_drop_all(&fut->callbacks);
    }
}

int
ouro_future_init(ouro_state *st, FutureObject *fut, PyObject *loop)
{
    if (fut->loop != NULL && st->has.task.refuses_second_init) {
        PyErr_Format(PyExc_RuntimeError, "%T object is already initialized",
                     fut);
        return -1;
    }
    /* __init__ may be called again on a future that was used.  It is pending
     * before anything is dropped: that runs Python. */
    PyObject *result = fut->state == FUTURE_FINISHED ? fut->result : NULL;
    ou_queue waiters = {NULL, NULL};
    if (fut->state == FUTURE_PENDING) {
        waiters = ou_line_take(&fut->callbacks);
    }
    fut->callbacks = (ou_line){NULL};
    fut->state = FUTURE_PENDING;
    fut->failed = fut->blocking = false;
    fut->log_traceback = false;
    ou_queue_drop_all(&waiters);
    extras_free(fut);
    Py_XDECREF(result);
    loop = loop == NULL || loop == Py_None ? ouro_event_loop(st)
                                           : Py_NewRef(loop);
    if (loop == NULL) {
        return -1;
    }
    fut->moved |= fut->loop != NULL && fut->loop != loop;
    PyObject *before = fut->loop;
    fut->loop = Py_NewRef(loop);
    Py_XDECREF(before);
    int debug = ouro_loop_debug(st, loop);
    Py_DECREF(loop);
    if (debug < 0) {
        return -1;
    }
    /* No traceback where no Python frame is left to show (at exit). */
    if (debug && !Py_IsFinalizing()) {
        if (ouro_future_extras(fut) == NULL) {
            return -1;
        }
        PyObject *stack = PyObject_CallNoArgs(st->stock.extract_stack);
        if (stack == NULL) {
            return -1;
        }
        Py_XSETREF(fut->extras->source_traceback, stack);
    }
    return 0;
}

LoopCore *
ouro_future_host(ouro_state *st, FutureObject *fut)
{
    if (!fut->moved) {
        return (LoopCore *)fut->loop;
    }
    PyObject *loop;
    if (ouro_running_loop_or_null(st, &loop) < 0) {
        PyErr_Clear();
        return NULL;
    }
    Py_XDECREF(loop); /* who runs it holds it */
    return loop != NULL && ouro_loop_check(st, loop) ? (LoopCore *)loop : NULL;
}

static int
future_tp_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"loop", NULL};
    PyObject *loop = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:Future", keywords,
                                     &loop)) {
        return -1;
    }
    return ouro_future_init(ouro_state_of(self), (FutureObject *)self, loop);
}

PyObject *
ouro_future_new(ouro_state *st, PyObject *loop)
{
    PyObject *self = ouro_freelist_pop(&st->free_futures, st->types.Future,
                                       sizeof(FutureObject));
    if (self != NULL) {
        PyObject_GC_Track(self);
    }
    else {
        self = st->types.Future->tp_alloc(st->types.Future, 0);
        if (self == NULL) {
            return NULL;
        }
    }
    FutureObject *fut = (FutureObject *)self;
    if (ouro_loop_fast(st, loop)) {
        fut->loop = Py_NewRef(loop);
        return self;
    }
    if (ouro_future_init(st, fut, loop) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

int
ouro_future_traverse(PyObject *self, visitproc visit, void *arg)
{
    FutureObject *fut = (FutureObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(fut->dict);
    Py_VISIT(fut->loop);
    int stop = extras_traverse(fut->extras, visit, arg);
    if (stop != 0) {
        return stop;
    }
    if (fut->state == FUTURE_FINISHED) {
        Py_VISIT(fut->result);
        return 0;
    }
    ouro_visitor visitor = {visit, arg};
    return ou_line_visit(&fut->callbacks, &visitor);
}

int
ouro_future_clear(PyObject *self)
{
    FutureObject *fut = (FutureObject *)self;
    outcome_clear(fut);
    extras_free(fut);
    Py_CLEAR(fut->loop);
    Py_CLEAR(fut->dict);
    return 0;
}

static int
add_item(PyObject *dict, PyObject *key, PyObject *value)
{
    return value == NULL ? 0 : PyDict_SetItem(dict, key, value);
}

/* The keys in asyncio's order. */
PyObject *
ouro_future_error_context(ouro_state *st, FutureObject *fut, PyObject *message,
                          PyObject *exception, PyObject *key)
{
    PyObject *context = PyDict_New();
    PyObject *source =
        fut->extras != NULL ? fut->extras->source_traceback : NULL;
    if (context == NULL || message == NULL
        || PyDict_SetItem(context, st->str.message, message) < 0
        || add_item(context, st->str.exception, exception) < 0
        || PyDict_SetItem(context, key, (PyObject *)fut) < 0
        || add_item(context, st->str.source_traceback, source) < 0) {
        Py_CLEAR(context);
    }
    Py_XDECREF(message);
    return context;
}

/* "exception was never retrieved" */
void
ouro_future_finalize(PyObject *self)
{
    FutureObject *fut = (FutureObject *)self;
    if (!fut->log_traceback) {
        return;
    }
    fut->log_traceback = false;
    ouro_state *st = ouro_state_of(self);
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *name = PyType_GetName(Py_TYPE(self));
    PyObject *message =
        name == NULL
            ? NULL
            : PyUnicode_FromFormat("%U exception was never retrieved", name);
    Py_XDECREF(name);
    PyObject *context = ouro_future_error_context(st, fut, message,
                                                  fut->result, st->str.future);
    if (ouro_loop_call_exception_handler(st, fut->loop, context) < 0) {
        PyErr_WriteUnraisable(self);
    }
    PyErr_SetRaisedException(pending);
}

static void
future_free(ouro_state *st, PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ouro_future_clear(self);
    if (type != st->types.Future
        || !ouro_freelist_push(&st->free_futures, self, FREE_FUTURES_MAX)) {
        type->tp_free(self);
    }
    Py_DECREF(type);
}

static void future_dealloc(PyObject *self);

/* The result may be a future with a result, and so on. */
static void
future_dealloc_deep(ouro_state *st, PyObject *self)
{
    Py_TRASHCAN_BEGIN(self, future_dealloc);
    future_free(st, self);
    Py_TRASHCAN_END;
}

static void
future_dealloc(PyObject *self)
{
    FutureObject *fut = (FutureObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    ouro_state *st = ouro_state_of_type(type);
    bool exact = type == st->types.Future;
    if ((fut->log_traceback || !exact)
        && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    if (fut->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    if (fut->state == FUTURE_FINISHED && fut->result != NULL
        && PyObject_IS_GC(fut->result)) {
        future_dealloc_deep(st, self);
    }
    else {
        future_free(st, self);
    }
}

/* ---- methods ----------------------------------------------------------- */

/* Arguments in any other form than the usual: Python's own parser, for its
 * messages.  The references stay the caller's. */
static int
parse_slowly(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
             const char *format, char **keywords, PyObject *ret[2])
{
    PyObject *tuple = PyTuple_New(nargs), *dict = PyDict_New();
    int result = tuple == NULL || dict == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
        result = PyDict_SetItem(dict, PyTuple_GET_ITEM(kwnames, i),
                                args[nargs + i]);
    }
    if (result == 0
        && !PyArg_ParseTupleAndKeywords(tuple, dict, format, keywords, &ret[0],
                                        &ret[1])) {
        result = -1;
    }
    Py_XDECREF(tuple);
    Py_XDECREF(dict);
    return result;
}

PyDoc_STRVAR(result_doc, "result($self, /)\n--\n\n\
Return the result this future represents.\n\n\
If the future has been cancelled, raises CancelledError.  If the future's\n\
result isn't yet available, raises InvalidStateError.  If the future is\n\
done and has an exception set, this exception is raised.");

static PyObject *
future_result(PyObject *self, PyObject *unused)
{
    return ouro_future_result((FutureObject *)self);
}

PyDoc_STRVAR(exception_doc, "exception($self, /)\n--\n\n\
Return the exception that was set on this future.\n\n\
The exception (or None if no exception was set) is returned only if the\n\
future is done.  If the future has been cancelled, raises\n\
CancelledError.  If the future isn't done yet, raises\n\
InvalidStateError.");

static PyObject *
future_exception(PyObject *self, PyObject *unused)
{
    FutureObject *fut = (FutureObject *)self;
    if (ouro_future_check_readable(fut) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(self);
    if (fut->state == FUTURE_CANCELLED) {
        ouro_future_raise_cancelled(st, fut);
        return NULL;
    }
    if (fut->state == FUTURE_PENDING) {
        PyErr_SetString(st->stock.InvalidStateError, "Exception is not set.");
        return NULL;
    }
    fut->log_traceback = false;
    return Py_NewRef(fut->failed ? fut->result : Py_None);
}

PyDoc_STRVAR(set_result_doc, "set_result($self, result, /)\n--\n\n\
Mark the future done and set its result.\n\n\
If the future is already done when this method is called, raises\n\
InvalidStateError.");

static PyObject *
future_set_result(PyObject *self, PyObject *result)
{
    if (ouro_future_set_result((FutureObject *)self, result) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_exception_doc, "set_exception($self, exception, /)\n--\n\n\
Mark the future done and set an exception.\n\n\
If the future is already done when this method is called, raises\n\
InvalidStateError.");

static PyObject *
future_set_exception(PyObject *self, PyObject *exception)
{
    if (ouro_future_set_exception((FutureObject *)self, exception) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(add_done_callback_doc,
"add_done_callback($self, fn, /, *, context=<unrepresentable>)\n--\n\n\
Add a callback to be run when the future becomes done.\n\n\
The callback is called with a single argument - the future object. If\n\
the future is already done when this is called, the callback is\n\
scheduled with call_soon.");

static PyObject *
future_add_done_callback(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static char *keywords[] = {"", "context", NULL};
    PyObject *given[2] = {NULL, NULL};
    if (nargs == 1 && kwnames == NULL) {
        given[0] = args[0];
    }
    else if (nargs > 1) {
        PyErr_Format(PyExc_TypeError,
                     "add_done_callback() takes exactly 1 positional argument "
                     "(%zd given)",
                     nargs);
        return NULL;
    }
    else if (parse_slowly(args, nargs, kwnames, "O|$O:add_done_callback",
                          keywords, given)
             < 0) {
        return NULL;
    }
    FutureObject *fut = (FutureObject *)self;
    if (fut->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "uninitialized Future object");
        return NULL;
    }
    PyObject *context =
        given[1] != NULL ? Py_NewRef(given[1]) : PyContext_CopyCurrent();
    if (context == NULL) {
        return NULL;
    }
    int result =
        ouro_future_add_callback(ouro_state_of(self), fut, given[0], context);
    Py_DECREF(context);
    return ouro_none_or_error(result);
}

PyDoc_STRVAR(remove_done_callback_doc,
"remove_done_callback($self, fn, /)\n--\n\n\
Remove all instances of a callback from the \"call when done\" list.\n\n\
Returns the number of callbacks removed.");

static PyObject *
future_remove_done_callback(PyObject *self, PyObject *function)
{
    FutureObject *fut = (FutureObject *)self;
    if (ouro_future_check_alive(fut) < 0) {
        return NULL;
    }
    Py_ssize_t removed =
        ouro_future_remove_callback(ouro_state_of(self), fut, function);
    return removed < 0 ? NULL : PyLong_FromSsize_t(removed);
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /, msg=None)\n--\n\n\
Cancel the future and schedule callbacks.\n\n\
If the future is already done or cancelled, return False.  Otherwise,\n\
change the future's state to cancelled, schedule the callbacks and\n\
return True.");

int
ouro_parse_cancel(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                  PyObject **ret_message)
{
    static char *keywords[] = {"msg", NULL};
    PyObject *given[2] = {NULL, NULL};
    if (nargs == 0 && kwnames == NULL) {
        *ret_message = NULL;
        return 0;
    }
    if (parse_slowly(args, nargs, kwnames, "|O:cancel", keywords, given) < 0) {
        return -1;
    }
    *ret_message = given[0];
    return 0;
}

static PyObject *
future_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    PyObject *message;
    if (ouro_parse_cancel(args, nargs, kwnames, &message) < 0) {
        return NULL;
    }
    int result = ouro_future_cancel((FutureObject *)self, message);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\n\
Return True if the future was cancelled.");

static PyObject *
future_cancelled(PyObject *self, PyObject *unused)
{
    FutureObject *fut = (FutureObject *)self;
    return PyBool_FromLong(fut->loop != NULL
                           && fut->state == FUTURE_CANCELLED);
}

PyDoc_STRVAR(done_doc, "done($self, /)\n--\n\n\
Return True if the future is done.\n\n\
Done means either that a result / exception are available, or that the\n\
future was cancelled.");

static PyObject *
future_done(PyObject *self, PyObject *unused)
{
    FutureObject *fut = (FutureObject *)self;
    return PyBool_FromLong(fut->loop != NULL && fut->state != FUTURE_PENDING);
}

PyDoc_STRVAR(get_loop_doc, "get_loop($self, /)\n--\n\n\
Return the event loop the Future is bound to.");

static PyObject *
future_get_loop(PyObject *self, PyObject *unused)
{
    FutureObject *fut = (FutureObject *)self;
    return ouro_future_check_alive(fut) < 0 ? NULL : Py_NewRef(fut->loop);
}

PyDoc_STRVAR(make_cancelled_error_doc, "_make_cancelled_error($self, /)\n--\n\n\
Create the CancelledError to raise if the Future is cancelled.\n\n\
This should only be called once when handling a cancellation since\n\
it erases the context exception value.");

static PyObject *
future_make_cancelled_error(PyObject *self, PyObject *unused)
{
    return ouro_future_cancelled_error(ouro_state_of(self),
                                       (FutureObject *)self);
}

static PyMethodDef future_methods[] = {
    {"result", future_result, METH_NOARGS, result_doc},
    {"exception", future_exception, METH_NOARGS, exception_doc},
    {"set_result", future_set_result, METH_O, set_result_doc},
    {"set_exception", future_set_exception, METH_O, set_exception_doc},
    OURO_METHOD("add_done_callback", future_add_done_callback,
                add_done_callback_doc),
    {"remove_done_callback", future_remove_done_callback, METH_O,
     remove_done_callback_doc},
    OURO_METHOD("cancel", future_cancel, cancel_doc),
    {"cancelled", future_cancelled, METH_NOARGS, cancelled_doc},
    {"done", future_done, METH_NOARGS, done_doc},
    {"get_loop", future_get_loop, METH_NOARGS, get_loop_doc},
    {"_make_cancelled_error", future_make_cancelled_error, METH_NOARGS,
     make_cancelled_error_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL},
};

static PyMemberDef future_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(FutureObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(FutureObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(future_doc,
"This class is *almost* compatible with concurrent.futures.Future.\n\n\
    Differences:\n\n\
    - result() and exception() do not take a timeout argument and\n\
      raise an exception when the future isn't done yet.\n\n\
    - Callbacks registered with add_done_callback() are always called\n\
      via the event loop's call_soon_threadsafe().\n\n\
    - This class is not compatible with the wait() and as_completed()\n\
      methods in the concurrent.futures package.");

static PyType_Slot future_slots[] = {
    {Py_tp_doc, (void *)future_doc},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, future_tp_init},
    {Py_tp_dealloc, future_dealloc},
    {Py_tp_finalize, ouro_future_finalize},
    {Py_tp_traverse, ouro_future_traverse},
    {Py_tp_clear, ouro_future_clear},
    {Py_tp_repr, ouro_future_repr},
    {Py_tp_iter, ouro_future_await},
    {Py_am_await, ouro_future_await},
    {Py_tp_methods, future_methods},
    {Py_tp_getset, ouro_future_getset},
    {Py_tp_members, future_members},
    {0, NULL},
};

static PyType_Spec future_spec = {
    .name = "ouro.Future",
    .basicsize = sizeof(FutureObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = future_slots,
};

int
ouro_future_setup(PyObject *module, ouro_state *st)
{
    if (ouro_waiter_callable_setup(module, st) < 0
        || ouro_future_iter_setup(module, st) < 0) {
        return -1;
    }
    if (PyModule_AddFunctions(module, ouro_anyfuture_functions) < 0) {
        return -1;
    }
    return ouro_add_type(module, &future_spec, NULL, true, &st->types.Future);
}
