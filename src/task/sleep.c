/* sleep.c - asyncio.sleep(). */
#include "base/args.h"
#include "base/await.h"
#include "base/rooms.h"
#include "task/deadline.h"

#include <math.h>

/* The body's fields: owner the delay, a the result to return, b the deadline,
 * c the future that it completes. */
enum { SLEEP_START, SLEEP_YIELDED, SLEEP_WAITING };

/* delay <= 0, as Python compares. */
static int
not_positive(PyObject *delay)
{
    if (PyFloat_CheckExact(delay)) {
        return PyFloat_AS_DOUBLE(delay) <= 0.0;
    }
    if (PyLong_CheckExact(delay)) {
        int overflow;
        long seconds = PyLong_AsLongAndOverflow(delay, &overflow);
        return overflow != 0 ? overflow < 0 : seconds <= 0;
    }
    PyObject *zero = PyLong_FromLong(0);
    int truth =
        zero == NULL ? -1 : PyObject_RichCompareBool(delay, zero, Py_LE);
    Py_XDECREF(zero);
    return truth;
}

static int
check_nan(ouro_state *st, PyObject *delay)
{
    if (!st->has.sleep_refuses_nan) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(delay);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "Invalid delay: NaN (not a number)");
        return -1;
    }
    return 0;
}

static await_status
sleep_wait(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return AWAIT_ERROR;
    }
    self->step = SLEEP_WAITING;
    self->c = ouro_create_future(st, loop);
    if (self->c != NULL) {
        self->b = ouro_deadline_start(st, loop, self->owner, self->c, self->a,
                                      st->stock.futures,
                                      st->str._set_result_unless_cancelled);
    }
    Py_DECREF(loop);
    if (self->b == NULL) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(self->c);
    return AWAIT_FUTURE;
}

static await_status
sleep_begin(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    int at_once = not_positive(self->owner);
    if (at_once < 0 || (!at_once && check_nan(st, self->owner) < 0)) {
        return AWAIT_ERROR;
    }
    if (!at_once) {
        return sleep_wait(st, self, ret);
    }
    self->step = SLEEP_YIELDED;
    return AWAIT_YIELD;
}

static await_status
sleep_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    switch (self->step) {
    case SLEEP_START:
        return sleep_begin(st, self, ret);
    case SLEEP_YIELDED:
        *ret = Py_NewRef(self->a);
        return AWAIT_RETURN;
    default:
        if (ouro_deadline_cancel(st, self->b) < 0) {
            return AWAIT_ERROR;
        }
        *ret = ouro_anyfuture_result(st, self->c);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
}

static await_status
sleep_abort(AwaitObject *self, PyObject **ret)
{
    PyObject *error = PyErr_GetRaisedException();
    if (ouro_deadline_cancel(ouro_state_of((PyObject *)self), self->b) < 0) {
        Py_XDECREF(error);
        return AWAIT_ERROR;
    }
    PyErr_SetRaisedException(error);
    return AWAIT_ERROR;
}

static const await_kind sleep_kind = {
    .name = "sleep",
    .qualname = "sleep",
    .poll = sleep_poll,
    .abort = sleep_abort,
};

PyDoc_STRVAR(sleep_doc, "sleep(delay, result=None)\n--\n\n\
Coroutine that completes after a given time (in seconds).\n\n\
With a delay of 0 or less it gives way for one turn of the loop.  Returns\n\
result.  Raises ValueError for NaN (Python 3.13 and later).");

static const ouro_signature sleep_signature = {
    .qualname = "sleep",
    .positional = 2,
    .required = 1,
    .names = {"delay", "result", NULL},
};

static PyObject *
task_sleep(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *given[2];
    if (ouro_parse(&sleep_signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    AwaitObject *self =
        ouro_await_new(ouro_module_state(module), &sleep_kind, given[0]);
    if (self != NULL) {
        self->a = Py_NewRef(given[1] != NULL ? given[1] : Py_None);
    }
    return (PyObject *)self;
}

static const ouro_async_def sleep_functions[] = {
    {"sleep", task_sleep, sleep_doc},
    {NULL},
};

int
ouro_sleep_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_async_functions(st, module, sleep_functions);
}
