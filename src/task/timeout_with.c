/* timeout_with.c - Timeout as a context manager: `async with`. */
#include "base/args.h"
#include "base/await.h"
#include "task/registry.h"
#include "task/timeout.h"

/* ---- async with -------------------------------------------------------- */

static int
timeout_enter(ouro_state *st, TimeoutObject *self)
{
    if (self->state != TIMEOUT_CREATED) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Timeout has already been entered");
        return -1;
    }
    PyObject *task = ouro_current_task(st, NULL);
    if (task == NULL) {
        return -1;
    }
    if (task == Py_None) {
        Py_DECREF(task);
        PyErr_SetString(PyExc_RuntimeError,
                        "Timeout should be used inside a task");
        return -1;
    }
    self->state = TIMEOUT_ENTERED;
    Py_XSETREF(self->task, task);
    self->cancelling = ouro_anytask_cancelling(st, task);
    if (self->cancelling < 0) {
        return -1;
    }
    PyObject *when = Py_NewRef(self->when);
    int result = ouro_timeout_reschedule(st, self, when);
    Py_DECREF(when);
    return result;
}

static await_status
enter_poll(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    if (timeout_enter(st, (TimeoutObject *)coro->owner) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(coro->owner);
    return AWAIT_RETURN;
}

/* Put a TimeoutError between exc_val and the cancellation in its chain. */
static int
insert_timeout_error(ouro_state *st, PyObject *exception)
{
    PyObject *current = Py_NewRef(exception);
    PyObject *context;
    while ((context = PyException_GetContext(current)) != NULL) {
        if (!PyErr_GivenExceptionMatches(context, st->stock.CancelledError)) {
            Py_SETREF(current, context);
            continue;
        }
        PyObject *error = PyObject_CallNoArgs(PyExc_TimeoutError);
        if (error == NULL) {
            Py_DECREF(context);
            Py_DECREF(current);
            return -1;
        }
        PyException_SetContext(error, Py_NewRef(context));
        PyException_SetCause(error, context);
        PyException_SetContext(current, error);
        break;
    }
    Py_DECREF(current);
    return 0;
}

/* Of a group, into its direct members too. */
static int
insert_timeout_errors(ouro_state *st, PyObject *exception)
{
    if (insert_timeout_error(st, exception) < 0) {
        return -1;
    }
    int group = PyObject_IsInstance(exception, st->stock.ExceptionGroup);
    if (group <= 0) {
        return group;
    }
    PyObject *members = PyObject_GetAttr(exception, st->str.exceptions);
    if (members == NULL) {
        return -1;
    }
    PyObject *list = PySequence_List(members);
    Py_DECREF(members);
    int result = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(list); i++) {
        result = insert_timeout_error(st, PyList_GET_ITEM(list, i));
    }
    Py_XDECREF(list);
    return result;
}

static void
raise_timeout_error(PyObject *cause)
{
    PyObject *error = PyObject_CallNoArgs(PyExc_TimeoutError);
    if (error != NULL) {
        PyException_SetCause(error,
                             cause == Py_None ? NULL : Py_NewRef(cause));
        ouro_raise(error);
        Py_DECREF(error);
    }
}

/* The timeout has cancelled the task: is this exception ours to replace? */
static int
timeout_expired_exit(ouro_state *st, TimeoutObject *self, PyObject *type,
                     PyObject *value)
{
    self->state = TIMEOUT_EXPIRED;
    int left = ouro_anytask_uncancel(st, self->task);
    if (left < 0) {
        return -1;
    }
    if (left > self->cancelling || type == Py_None) {
        return 0;
    }
    if (!st->has.timeout_matches_subclasses) {
        if (type == st->stock.CancelledError) {
            raise_timeout_error(value);
            return -1;
        }
        return 0;
    }
    int cancelled = PyObject_IsSubclass(type, st->stock.CancelledError);
    if (cancelled != 0) {
        if (cancelled > 0) {
            raise_timeout_error(value);
        }
        return -1;
    }
    return value == Py_None ? 0 : insert_timeout_errors(st, value);
}

static int
timeout_exit(ouro_state *st, TimeoutObject *self, PyObject *type,
             PyObject *value)
{
    if (self->state != TIMEOUT_ENTERED && self->state != TIMEOUT_EXPIRING) {
        PyErr_SetNone(PyExc_AssertionError);
        return -1;
    }
    if (ouro_timeout_disarm(st, self) < 0) {
        return -1;
    }
    if (self->state == TIMEOUT_EXPIRING) {
        return timeout_expired_exit(st, self, type, value);
    }
    self->state = TIMEOUT_EXITED;
    return 0;
}

static await_status
exit_poll(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    if (timeout_exit(st, (TimeoutObject *)coro->owner, coro->a, coro->b) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind enter_kind = {
    .name = "__aenter__",
    .qualname = "Timeout.__aenter__",
    .poll = enter_poll,
};

static const await_kind exit_kind = {
    .name = "__aexit__",
    .qualname = "Timeout.__aexit__",
    .poll = exit_poll,
};

PyDoc_STRVAR(aenter_doc, "__aenter__($self, /) -> 'Timeout'\n--\n\n\
Start the clock for the current task.\n\n\
Raises RuntimeError outside of a task, or if it was entered before.");

static PyObject *
timeout_aenter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(self), &enter_kind, self, args, nargs,
                           kwnames);
}

/* (From 3.14 it is type[BaseException] that the annotation says.) */
#define AEXIT_DOC(type)                                                       \
    "__aexit__($self, /,"                                                     \
    " exc_type: typing.Optional[" type "[BaseException]],"                    \
    " exc_val: typing.Optional[BaseException],"                               \
    " exc_tb: typing.Optional[types.TracebackType])"                          \
    " -> typing.Optional[bool]\n--\n\n"                                       \
    "Stop the clock; turns the cancellation of an expired timeout into\n"     \
    "TimeoutError."

static const ouro_signature aexit_signature = {
    .qualname = "Timeout.__aexit__",
    .skip_self = 1,
    .positional = 3,
    .required = 3,
    .names = {"exc_type", "exc_val", "exc_tb", NULL},
};

static PyObject *
timeout_aexit(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    return ouro_await_exit(&exit_kind, self, &aexit_signature, args, nargs,
                           kwnames);
}

const ouro_async_def ouro_timeout_async_methods[] = {
    {"__aenter__", timeout_aenter, aenter_doc},
    {"__aexit__", timeout_aexit, AEXIT_DOC("type")},
    {NULL},
};

const ouro_async_def ouro_timeout_async_methods_3_13[] = {
    {"__aenter__", timeout_aenter, aenter_doc},
    {"__aexit__", timeout_aexit, AEXIT_DOC("typing.Type")},
    {NULL},
};

/* ---- for C callers ----------------------------------------------------- */

PyObject *
ouro_timeout_begin(ouro_state *st, PyObject *delay)
{
    PyObject *self = ouro_timeout_after(st, delay);
    if (self != NULL && timeout_enter(st, (TimeoutObject *)self) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

int
ouro_timeout_end(ouro_state *st, PyObject *timeout)
{
    TimeoutObject *self = (TimeoutObject *)timeout;
    PyObject *error = PyErr_GetRaisedException();
    if (error == NULL) {
        return timeout_exit(st, self, Py_None, Py_None);
    }
    if (timeout_exit(st, self, (PyObject *)Py_TYPE(error), error) == 0) {
        PyErr_SetRaisedException(error);
        return -1;
    }
    /* It was replaced, as in an except clause. */
    PyObject *replacement = PyErr_GetRaisedException();
    PyException_SetContext(replacement, error);
    PyErr_SetRaisedException(replacement);
    return -1;
}
