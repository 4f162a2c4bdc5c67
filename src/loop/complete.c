/* complete.c - run_until_complete(). */
#include "base/args.h"
#include "loop/loop.h"
#include "task/future.h"
#include "task/task.h"

static int
call_no_result(LoopObject *self, PyObject *name)
{
    return ouro_drop_result(PyObject_CallMethodNoArgs((PyObject *)self, name));
}

/* SystemExit and KeyboardInterrupt have ended run_forever() already. */
static int
ends_the_run(ouro_state *st, PyObject *fut)
{
    int cancelled = ouro_anyfuture_cancelled(st, fut);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    PyObject *error = ouro_anyfuture_exception(st, fut);
    if (error == NULL) {
        return -1;
    }
    int leaves = ouro_leaves_loop(error);
    Py_DECREF(error);
    return leaves;
}

/* futures._get_loop(fut).stop(); a plain loop of ours needs no call, which
 * might fail. */
static int
stop_loop_of(ouro_state *st, PyObject *fut)
{
    PyObject *loop = ouro_anyfuture_loop(st, fut);
    if (loop == NULL) {
        return -1;
    }
    int result = 0;
    if (ouro_loop_check(st, loop) && ouro_loop_plain((LoopObject *)loop)) {
        ((LoopCore *)loop)->stopping = true;
    }
    else {
        result = call_no_result((LoopObject *)loop, st->str.stop);
    }
    Py_DECREF(loop);
    return result;
}

/* The done callback of the future that run_until_complete() waits for.  For
 * want of memory it is tried again: a loop that is not stopped waits for
 * ever. */
static PyObject *
run_until_complete_cb(PyObject *module, PyObject *fut)
{
    ouro_state *st = ouro_module_state(module);
    int ends = ends_the_run(st, fut);
    if (ends < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        ends = ends_the_run(st, fut);
    }
    if (ends != 0) {
        return ouro_none_or_error(ends);
    }
    int result = stop_loop_of(st, fut);
    if (result < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        result = stop_loop_of(st, fut);
    }
    return ouro_none_or_error(result);
}

static int
call_with_callback(ouro_state *st, PyObject *fut, PyObject *method)
{
    return ouro_drop_result(PyObject_CallMethodOneArg(
        fut, method, st->stock.run_until_complete_cb));
}

/* The caller never sees this task: what it raised is not lost but raised. */
static int
consume_exception(ouro_state *st, PyObject *task)
{
    int done = ouro_anyfuture_done(st, task);
    int cancelled = done > 0 ? ouro_anyfuture_cancelled(st, task) : 0;
    if (done < 0 || cancelled < 0) {
        return -1;
    }
    if (done && !cancelled) {
        PyObject *error = ouro_anyfuture_exception(st, task);
        Py_XDECREF(error);
        return error == NULL ? -1 : 0;
    }
    return 0;
}

/* Run with a callback on the future that stops the loop. */
static int
run_with_callback(LoopObject *self, PyObject *fut, bool new_task)
{
    ouro_state *st = self->core.st;
    if (call_with_callback(st, fut, st->str.add_done_callback) < 0) {
        return -1;
    }
    int result = ouro_loop_plain(self)
                     ? ouro_loop_run_forever(self)
                     : call_no_result(self, st->str.run_forever);
    PyObject *error = PyErr_GetRaisedException();
    if (result < 0 && new_task && consume_exception(st, fut) < 0) {
        PyErr_Clear();
    }
    if (call_with_callback(st, fut, st->str.remove_done_callback) < 0) {
        result = -1;
    }
    if (error != NULL) {
        PyErr_Clear();
        PyErr_SetRaisedException(error);
    }
    return result;
}

static PyObject *
run_until_done(LoopObject *self, PyObject *fut, bool new_task)
{
    ouro_state *st = self->core.st;
    if (new_task
        && PyObject_SetAttr(fut, st->str._log_destroy_pending, Py_False) < 0) {
        return NULL;
    }
    if (run_with_callback(self, fut, new_task) < 0) {
        return NULL;
    }
    int done = ouro_anyfuture_done(st, fut);
    if (done < 0) {
        return NULL;
    }
    if (!done) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Event loop stopped before Future completed.");
        return NULL;
    }
    return ouro_anyfuture_result(st, fut);
}

static PyObject *
loop_run_until_complete(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseEventLoop.run_until_complete", "future");
    LoopObject *self = (LoopObject *)op;
    ouro_state *st = self->core.st;
    PyObject *awaitable;
    if (ouro_parse(&signature, args, nargs, kwnames, &awaitable) < 0
        || ouro_loop_check_closed(self) < 0
        || ouro_loop_check_running(self) < 0) {
        return NULL;
    }
    int is_future = ouro_isfuture(st, awaitable);
    if (is_future < 0) {
        return NULL;
    }
    PyObject *fut = ouro_ensure_future(st, awaitable, op);
    if (fut == NULL) {
        return NULL;
    }
    PyObject *result = run_until_done(self, fut, !is_future);
    Py_DECREF(fut);
    return result;
}

PyDoc_STRVAR(run_until_complete_doc,
             "run_until_complete($self, future)\n--\n\n\
Run until the future is done; return its result or raise its exception.\n\
A coroutine is made a task first.\n\n\
Raises RuntimeError if the loop is closed, runs already, or is stopped\n\
before the future is done.");
static PyMethodDef methods[] = {
    OURO_METHOD("run_until_complete", loop_run_until_complete,
                run_until_complete_doc),
    {NULL},
};

static PyMethodDef callback = {"_run_until_complete_cb", run_until_complete_cb,
                               METH_O, NULL};

int
ouro_complete_setup(PyObject *module, ouro_state *st)
{
    st->stock.run_until_complete_cb =
        PyCFunction_NewEx(&callback, module, NULL);
    if (st->stock.run_until_complete_cb == NULL) {
        return -1;
    }
    return ouro_loop_add_methods(st, methods);
}
