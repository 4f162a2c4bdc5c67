/* anyfuture.c - anybody's futures: ours directly, others by their methods.
 *
 * A direct way is taken for our exact types alone: a subclass may have
 * overridden what is called.
 */
#include "base/await.h"
#include "task/callbacks.h"
#include "task/future_impl.h"
#include "task/task.h"

PyObject *
ouro_create_future(ouro_state *st, PyObject *loop)
{
    if (ouro_loop_fast(st, loop)) {
        return ouro_future_new(st, loop);
    }
    if (ouro_loop_check_there(loop) < 0) {
        return NULL;
    }
    return PyObject_CallMethodNoArgs(loop, st->str.create_future);
}

int
ouro_isfuture(ouro_state *st, PyObject *object)
{
    if (ouro_future_exact(st, object)) {
        return 1;
    }
    if (ouro_await_check(st, object)) {
        return 0;
    }
    /* hasattr(object.__class__, '_asyncio_future_blocking') and
     * object._asyncio_future_blocking is not None */
    PyObject *class, *mark;
    class = PyObject_GetAttr(object, st->str.__class__);
    if (class == NULL) {
        return -1;
    }
    int found = PyObject_GetOptionalAttr(
        class, st->str._asyncio_future_blocking, &mark);
    Py_DECREF(class);
    if (found <= 0) {
        return found;
    }
    Py_DECREF(mark);
    mark = PyObject_GetAttr(object, st->str._asyncio_future_blocking);
    if (mark == NULL) {
        return -1;
    }
    Py_DECREF(mark);
    return mark != Py_None;
}

PyDoc_STRVAR(isfuture_doc, "isfuture(obj)\n--\n\n\
Check for a Future.\n\n\
This returns True when obj is a Future instance or is advertising\n\
itself as duck-type compatible by setting _asyncio_future_blocking.");

static const ouro_signature isfuture_signature = {
    .qualname = "isfuture",
    .positional = 1,
    .required = 1,
    .names = {"obj", NULL},
};

static PyObject *
isfuture(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
         PyObject *kwnames)
{
    PyObject *object;
    if (ouro_parse(&isfuture_signature, args, nargs, kwnames, &object) < 0) {
        return NULL;
    }
    int truth = ouro_isfuture(ouro_module_state(module), object);
    return truth < 0 ? NULL : PyBool_FromLong(truth);
}

PyMethodDef ouro_anyfuture_functions[] = {
    OURO_METHOD("isfuture", isfuture, isfuture_doc),
    {NULL},
};

int
ouro_anyfuture_done(ouro_state *st, PyObject *fut)
{
    if (ouro_future_exact(st, fut)) {
        return ((FutureObject *)fut)->state != FUTURE_PENDING;
    }
    return ouro_truth_of(PyObject_CallMethodNoArgs(fut, st->str.done));
}

int
ouro_anyfuture_cancelled(ouro_state *st, PyObject *fut)
{
    if (ouro_future_exact(st, fut)) {
        return ((FutureObject *)fut)->state == FUTURE_CANCELLED;
    }
    return ouro_truth_of(PyObject_CallMethodNoArgs(fut, st->str.cancelled));
}

PyObject *
ouro_anyfuture_result(ouro_state *st, PyObject *fut)
{
    if (ouro_future_exact(st, fut)) {
        return ouro_future_result((FutureObject *)fut);
    }
    return PyObject_CallMethodNoArgs(fut, st->str.result);
}

PyObject *
ouro_anyfuture_exception(ouro_state *st, PyObject *fut)
{
    FutureObject *ours = (FutureObject *)fut;
    if (ouro_future_exact(st, fut) && ours->state == FUTURE_FINISHED) {
        ours->log_traceback = false;
        return Py_NewRef(ours->failed ? ours->result : Py_None);
    }
    return PyObject_CallMethodNoArgs(fut, st->str.exception);
}

int
ouro_anyfuture_set_result(ouro_state *st, PyObject *fut, PyObject *value)
{
    if (Py_TYPE(fut) == st->types.Future) {
        return ouro_future_set_result((FutureObject *)fut, value);
    }
    return ouro_drop_result(
        PyObject_CallMethodOneArg(fut, st->str.set_result, value));
}

int
ouro_anyfuture_set_exception(ouro_state *st, PyObject *fut,
                             PyObject *exception)
{
    if (Py_TYPE(fut) == st->types.Future) {
        return ouro_future_set_exception((FutureObject *)fut, exception);
    }
    return ouro_drop_result(
        PyObject_CallMethodOneArg(fut, st->str.set_exception, exception));
}

static PyObject *
cancel_with_message(ouro_state *st, PyObject *fut, PyObject *message)
{
    PyObject *keywords = PyTuple_Pack(1, st->str.msg);
    if (keywords == NULL) {
        return NULL;
    }
    PyObject *args[] = {fut, message};
    PyObject *result =
        PyObject_VectorcallMethod(st->str.cancel, args, 1, keywords);
    Py_DECREF(keywords);
    return result;
}

int
ouro_anyfuture_cancel(ouro_state *st, PyObject *fut, PyObject *message)
{
    if (Py_TYPE(fut) == st->types.Future) {
        return ouro_future_cancel((FutureObject *)fut, message);
    }
    if (Py_TYPE(fut) == st->types.Task) {
        return ouro_task_cancel((TaskObject *)fut, message);
    }
    if (message == NULL) {
        return ouro_truth_of(PyObject_CallMethodNoArgs(fut, st->str.cancel));
    }
    return ouro_truth_of(cancel_with_message(st, fut, message));
}

/* futures._get_loop(): get_loop() where there is one, else _loop. */
PyObject *
ouro_anyfuture_loop(ouro_state *st, PyObject *fut)
{
    if (ouro_future_exact(st, fut)) {
        FutureObject *ours = (FutureObject *)fut;
        return ouro_future_check_alive(ours) < 0 ? NULL
                                                 : Py_NewRef(ours->loop);
    }
    PyObject *get_loop;
    if (PyObject_GetOptionalAttr(fut, st->str.get_loop, &get_loop) < 0) {
        return NULL;
    }
    if (get_loop == NULL) {
        return PyObject_GetAttr(fut, st->str._loop);
    }
    PyObject *loop = PyObject_CallNoArgs(get_loop);
    Py_DECREF(get_loop);
    return loop;
}

int
ouro_watch(ouro_state *st, PyObject *fut, ou_job *waiter)
{
    if (ouro_future_exact(st, fut)) {
        return ouro_future_add_job(st, (FutureObject *)fut, waiter);
    }
    PyObject *callable = ouro_waiter_callable(st, waiter);
    int result = -1;
    if (callable != NULL) {
        result = ouro_drop_result(PyObject_CallMethodOneArg(
            fut, st->str.add_done_callback, callable));
        Py_DECREF(callable);
    }
    waiter->kind->drop(waiter);
    return result;
}

int
ouro_unwatch(ouro_state *st, PyObject *fut, ou_job *waiter)
{
    if (ouro_future_exact(st, fut)) {
        if (ouro_future_remove_waiter((FutureObject *)fut, waiter)) {
            waiter->kind->drop(waiter);
        }
        return 0;
    }
    PyObject *callable = ouro_waiter_callable(st, waiter);
    if (callable == NULL) {
        return -1;
    }
    int result = ouro_drop_result(PyObject_CallMethodOneArg(
        fut, st->str.remove_done_callback, callable));
    Py_DECREF(callable);
    return result;
}
