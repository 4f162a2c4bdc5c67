/* await.c - drives the bodies of coroutines written in C.
 *
 * Values go down from the driver (a task, an awaiting coroutine) through
 * send/throw/close to what the body waits for, an iterator in self->waiting,
 * and what that yields comes back up unchanged.  When it ends, the body goes
 * on: poll() with the result in self->value, abort() with the exception set.
 *
 * The rules are those of coroutine objects: one driver at a time, nothing
 * after the end, GeneratorExit closes what is waited for, StopIteration does
 * not leave a body.
 */
#include "base/awaitdrive.h"

/* --- what a body waits for ------------------------------------------- */

/* A coroutine that somebody else awaits has a cr_await. */
static int
check_not_awaited(ouro_state *st, PyObject *coroutine)
{
    PyObject *awaited = PyObject_GetAttr(coroutine, st->str.cr_await);
    if (awaited == NULL) {
        return -1;
    }
    Py_DECREF(awaited);
    if (awaited != Py_None) {
        PyErr_SetString(PyExc_RuntimeError,
                        "coroutine is being awaited already");
        return -1;
    }
    return 0;
}

/* A generator decorated with types.coroutine may be awaited itself. */
static bool
is_generator_coroutine(PyObject *object)
{
    if (!PyGen_CheckExact(object)) {
        return false;
    }
    PyCodeObject *code = PyGen_GetCode((PyGenObject *)object);
    bool iterable = (code->co_flags & CO_ITERABLE_COROUTINE) != 0;
    Py_DECREF(code);
    return iterable;
}

static OURO_COLD PyObject *
refuse_object(ouro_state *st, PyObject *object)
{
    return PyErr_Format(
        PyExc_TypeError,
        st->has.await_says_cant_be
            ? "'%.100s' object can't be awaited"
            : "object %.100s can't be used in 'await' expression",
        Py_TYPE(object)->tp_name);
}

/* object.__await__() has returned what is not an iterator. */
static OURO_COLD PyObject *
refuse_returned(ouro_state *st, PyObject *object, PyObject *returned,
                bool coroutine)
{
    if (st->has.await_says_must_return) {
        return PyErr_Format(PyExc_TypeError,
                            "%T.__await__() must return an iterator, not %T",
                            object, returned);
    }
    if (coroutine) {
        PyErr_SetString(PyExc_TypeError, "__await__() returned a coroutine");
        return NULL;
    }
    return PyErr_Format(PyExc_TypeError,
                        "__await__() returned non-iterator of type '%.100s'",
                        Py_TYPE(returned)->tp_name);
}

static bool
is_coroutine(PyObject *object)
{
    return PyCoro_CheckExact(object) || is_generator_coroutine(object);
}

/* The iterator that `await object` would drive, or NULL with the TypeError
 * of await. */
static PyObject *
awaitable_iterator(ouro_state *st, PyObject *object)
{
    if (PyCoro_CheckExact(object) && !ouro_coroutine_is_new(object)
        && check_not_awaited(st, object) < 0) {
        return NULL;
    }
    if (is_coroutine(object)) {
        return Py_NewRef(object);
    }
    PyAsyncMethods *async = Py_TYPE(object)->tp_as_async;
    if (async == NULL || async->am_await == NULL) {
        return refuse_object(st, object);
    }
    PyObject *iterator = async->am_await(object);
    if (iterator == NULL) {
        return NULL;
    }
    bool coroutine = is_coroutine(iterator);
    if (coroutine || !PyIter_Check(iterator)) {
        refuse_returned(st, object, iterator, coroutine);
        Py_CLEAR(iterator);
    }
    return iterator;
}

/* Raise what is thrown in.  Unlike a raise in the body it is not chained to
 * what the driver happens to handle. */
static PySendResult
raise_thrown(PyObject *exception)
{
    PyErr_SetRaisedException(Py_NewRef(exception));
    return PYGEN_ERROR;
}

const await_kind ouro_await_origin_kind = {.name = "origin"};

/* The same for a small body: a tuple (iterator, object), since the body has
 * to find the object again.  If there is no iterator, -1. */
static int
iterator_and_object(ouro_state *st, PyObject *object, PyObject **ret)
{
    *ret = PyTuple_Pack(2, object, object);
    if (*ret == NULL) {
        return -1;
    }
    PyObject *iterator = awaitable_iterator(st, object);
    if (iterator == NULL) {
        return -1;
    }
    PyTuple_SET_ITEM(*ret, 0, iterator);
    Py_DECREF(object); /* what was in that place */
    return 0;
}

/* Make `object` what self waits for. A future of ours is driven as it is,
 * anything else through its iterator. */
static int
wait_for(AwaitObject *self, PyObject *object)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    PyTypeObject *type = Py_TYPE(object);
    bool on_future = type == st->types.Future || type == st->types.Task;
    PyObject *waiting;
    int result = 0;
    if (on_future) {
        waiting = Py_NewRef(object);
    }
    else if (self->small) {
        result = iterator_and_object(st, object, &waiting);
    }
    else {
        waiting = awaitable_iterator(st, object);
        result = waiting == NULL ? -1 : 0;
    }
    Py_XSETREF(self->waiting, waiting);
    self->on_future = on_future;
    return result;
}

PyObject *
ouro_await_parked(AwaitObject *self)
{
    if (self->on_future || self->waiting == NULL) {
        return self->waiting != NULL ? self->waiting : Py_None;
    }
    return PyTuple_GET_ITEM(self->waiting, 1);
}

PyObject *
ouro_await_iterator(AwaitObject *self)
{
    return self->small && !self->on_future ? PyTuple_GET_ITEM(self->waiting, 0)
                                           : self->waiting;
}

static PySendResult
waiting_send(AwaitObject *self, PyObject *arg, PyObject **ret)
{
    if (self->on_future) {
        ouro_state *st = ouro_state_of((PyObject *)self);
        return st->future_send(self->waiting, ret);
    }
    /* Coroutines in C that await each other use up the C stack. */
    *ret = NULL;
    if (Py_EnterRecursiveCall(" while awaiting a coroutine")) {
        return PYGEN_ERROR;
    }
    PySendResult sent = PyIter_Send(ouro_await_iterator(self), arg, ret);
    Py_LeaveRecursiveCall();
    return sent;
}

/* Without a throw() of the iterator, the exception is raised where it is
 * waited for. */
static PySendResult
waiting_throw(AwaitObject *self, PyObject *exception, PyObject **ret)
{
    PyObject *throw, *iterator = ouro_await_iterator(self);
    if (self->on_future) {
        return raise_thrown(exception);
    }
    ouro_state *st = ouro_state_of((PyObject *)self);
    if (ouro_await_check(st, iterator)) {
        *ret = NULL;
        if (Py_EnterRecursiveCall(" while awaiting a coroutine")) {
            return PYGEN_ERROR;
        }
        PySendResult sent =
            ouro_await_throw((AwaitObject *)iterator, exception, ret);
        Py_LeaveRecursiveCall();
        return sent;
    }
    if (PyObject_GetOptionalAttr(iterator, st->str.throw, &throw) < 0) {
        return PYGEN_ERROR;
    }
    if (throw == NULL) {
        return raise_thrown(exception);
    }
    *ret = PyObject_CallOneArg(throw, exception);
    Py_DECREF(throw);
    if (*ret != NULL) {
        return PYGEN_NEXT;
    }
    return ouro_catch_stop_iteration(ret) ? PYGEN_RETURN : PYGEN_ERROR;
}

static int
waiting_close(AwaitObject *self)
{
    PyObject *close, *result;
    if (self->on_future) {
        return 0;
    }
    ouro_state *st = ouro_state_of((PyObject *)self);
    PyObject *iterator = ouro_await_iterator(self);
    if (PyObject_GetOptionalAttr(iterator, st->str.close, &close) < 0) {
        PyErr_WriteUnraisable(iterator);
        return 0;
    }
    if (close == NULL) {
        return 0;
    }
    result = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

/* --- the body ------------------------------------------------------------ */

void
ouro_await_clear_body(AwaitObject *self)
{
    Py_CLEAR(self->owner);
    Py_CLEAR(self->waiting);
    if (!self->small) {
        Py_CLEAR(self->a);
        Py_CLEAR(self->b);
        Py_CLEAR(self->c);
        Py_CLEAR(self->value);
    }
}

/* PEP 479: a StopIteration would be taken for a return. */
static OURO_COLD void
replace_stop_iteration(const char *message)
{
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return;
    }
    PyObject *cause = PyErr_GetRaisedException();
    PyErr_SetString(PyExc_RuntimeError, message);
    PyObject *error = PyErr_GetRaisedException();
    PyException_SetCause(error, Py_NewRef(cause));
    PyException_SetContext(error, cause);
    PyErr_SetRaisedException(error);
}

static PySendResult
finish(AwaitObject *self, PySendResult result)
{
    self->state = AWAIT_CLOSED;
    ouro_await_clear_body(self);
    return result;
}

static OURO_COLD PySendResult
finish_with_error(AwaitObject *self)
{
    replace_stop_iteration("coroutine raised StopIteration");
    return finish(self, PYGEN_ERROR);
}

static PySendResult
suspend(AwaitObject *self)
{
    self->state = AWAIT_SUSPENDED;
    return PYGEN_NEXT;
}

/* The exception that is set arrives in the body where it waits. */
static OURO_COLD await_status
body_abort(AwaitObject *self, PyObject **ret)
{
    if (!self->small) {
        Py_CLEAR(self->waiting);
        Py_CLEAR(self->value);
    }
    const await_kind *kind = ouro_await_kind(self);
    return kind->abort == NULL ? AWAIT_ERROR : kind->abort(self, ret);
}

/* What is waited for ended with the value (stolen). */
static await_status
body_go_on(AwaitObject *self, PyObject *value, PyObject **ret)
{
    if (self->small) {
        Py_DECREF(value);
    }
    else {
        Py_CLEAR(self->waiting);
        Py_XSETREF(self->value, value);
    }
    return ouro_await_kind(self)->poll(self, ret);
}

/* Go on from what poll() or abort() returned to the next yield or the end.
 * *ret is in and out. */
static PySendResult
body_drive_on(AwaitObject *self, await_status status, PyObject **ret)
{
    for (;;) {
        PyObject *awaitable, *value;
        switch (status) {
        case AWAIT_ERROR:
            *ret = NULL; /* maybe what was delegated to before, and freed */
            return finish_with_error(self);
        case AWAIT_RETURN:
            return finish(self, PYGEN_RETURN);
        case AWAIT_YIELD:
            *ret = Py_NewRef(Py_None);
            return suspend(self);
        case AWAIT_FUTURE:
        case AWAIT_DELEGATE:
            break;
        }
        awaitable = *ret;
        int error = wait_for(self, awaitable);
        Py_DECREF(awaitable);
        if (error < 0) {
            status = body_abort(self, ret);
            continue;
        }
        switch (waiting_send(self, Py_None, &value)) {
        case PYGEN_NEXT:
            *ret = value;
            return suspend(self);
        case PYGEN_RETURN:
            status = body_go_on(self, value, ret);
            break;
        case PYGEN_ERROR:
            status = body_abort(self, ret);
            break;
        }
    }
}

/* --- what a driver does ------------------------------------------------- */

static OURO_COLD PySendResult
refuse(PyObject *exception, const char *message)
{
    PyErr_SetString(exception, message);
    return PYGEN_ERROR;
}

/* To one that is not there for it: it runs, or is at its end. */
static OURO_COLD PySendResult
refuse_drive(AwaitObject *self)
{
    return self->state == AWAIT_RUNNING
               ? refuse(PyExc_ValueError, "coroutine already executing")
               : refuse(PyExc_RuntimeError,
                        "cannot reuse already awaited coroutine");
}

/* What poll() or abort() has returned, mostly the end. */
static inline PySendResult
body_drive(AwaitObject *self, await_status status, PyObject **ret)
{
    return status == AWAIT_RETURN ? finish(self, PYGEN_RETURN)
                                  : body_drive_on(self, status, ret);
}

static PySendResult
send_first(AwaitObject *self, PyObject *arg, PyObject **ret)
{
    if (arg != Py_None) {
        return refuse(PyExc_TypeError,
                      "can't send non-None value to a just-started coroutine");
    }
    self->state = AWAIT_RUNNING;
    return body_drive(self, ouro_await_kind(self)->poll(self, ret), ret);
}

static PySendResult
send_again(AwaitObject *self, PyObject *arg, PyObject **ret)
{
    PyObject *value;
    self->state = AWAIT_RUNNING;
    if (self->waiting == NULL) {
        return body_drive(self, body_go_on(self, Py_NewRef(arg), ret), ret);
    }
    switch (waiting_send(self, arg, &value)) {
    case PYGEN_NEXT:
        *ret = value;
        return suspend(self);
    case PYGEN_RETURN:
        return body_drive(self, body_go_on(self, value, ret), ret);
    case PYGEN_ERROR:
        break;
    }
    return body_drive(self, body_abort(self, ret), ret);
}

PySendResult
ouro_await_send(AwaitObject *self, PyObject *arg, PyObject **ret)
{
    *ret = NULL;
    switch (self->state) {
    case AWAIT_CREATED:
        return send_first(self, arg, ret);
    case AWAIT_SUSPENDED:
        return send_again(self, arg, ret);
    default:
        return refuse_drive(self);
    }
}

/* Throw into what is waited for.  NEXT: it goes on waiting. */
static PySendResult
throw_down(AwaitObject *self, PyObject *exception, PyObject **ret)
{
    if (self->waiting == NULL) {
        /* A bare yield is a generator's, as asyncio writes it. */
        raise_thrown(exception);
        replace_stop_iteration("generator raised StopIteration");
        return PYGEN_ERROR;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_GeneratorExit)) {
        return waiting_close(self) < 0 ? PYGEN_ERROR : raise_thrown(exception);
    }
    return waiting_throw(self, exception, ret);
}

/* A StopIteration that arrives where something is awaited is the end of that,
 * even if it was thrown in: always for a future, whose iterator raises it,
 * from 3.12 for everything. */
static bool
is_end_of_await(AwaitObject *self, PyObject **ret)
{
    if (self->waiting == NULL) {
        return false;
    }
    ouro_state *st = ouro_state_of((PyObject *)self);
    return (self->on_future || st->has.stopiteration_ends_await)
           && ouro_catch_stop_iteration(ret);
}

static PySendResult
throw_suspended(AwaitObject *self, PyObject *exception, PyObject **ret)
{
    PyObject *value;
    self->state = AWAIT_RUNNING;
    PySendResult sent = throw_down(self, exception, &value);
    if (sent == PYGEN_NEXT) {
        *ret = value;
        return suspend(self);
    }
    if (sent == PYGEN_RETURN || is_end_of_await(self, &value)) {
        return body_drive(self, body_go_on(self, value, ret), ret);
    }
    return body_drive(self, body_abort(self, ret), ret);
}

/* The body has not begun: it sees nothing.  From 3.12 not even StopIteration
 * is replaced here. */
static PySendResult
throw_first(AwaitObject *self, PyObject *exception)
{
    ouro_state *st = ouro_state_of((PyObject *)self);
    raise_thrown(exception);
    return st->has.stopiteration_ends_await ? finish(self, PYGEN_ERROR)
                                            : finish_with_error(self);
}

PySendResult
ouro_await_throw(AwaitObject *self, PyObject *exception, PyObject **ret)
{
    *ret = NULL;
    switch (self->state) {
    case AWAIT_CREATED:
        return throw_first(self, exception);
    case AWAIT_SUSPENDED:
        return throw_suspended(self, exception, ret);
    default:
        return refuse_drive(self);
    }
}

/* From 3.13, close() returns what a body that catches GeneratorExit does. */
static PyObject *
close_suspended(AwaitObject *self)
{
    PyObject *result, *exit = PyObject_CallNoArgs(PyExc_GeneratorExit);
    if (exit == NULL) {
        return NULL;
    }
    PySendResult sent = throw_suspended(self, exit, &result);
    Py_DECREF(exit);
    if (sent == PYGEN_NEXT) {
        Py_DECREF(result);
        PyErr_SetString(PyExc_RuntimeError, "coroutine ignored GeneratorExit");
        return NULL;
    }
    if (sent == PYGEN_RETURN) {
        if (ouro_state_of((PyObject *)self)->has.close_returns_value) {
            return result;
        }
        Py_DECREF(result);
        Py_RETURN_NONE;
    }
    if (!PyErr_ExceptionMatches(PyExc_GeneratorExit)) {
        return NULL;
    }
    PyErr_Clear();
    Py_RETURN_NONE;
}

PyObject *
ouro_await_close(AwaitObject *self)
{
    switch (self->state) {
    case AWAIT_CREATED:
        finish(self, PYGEN_RETURN);
        Py_RETURN_NONE;
    case AWAIT_SUSPENDED:
        return close_suspended(self);
    case AWAIT_RUNNING:
        refuse(PyExc_ValueError, "coroutine already executing");
        return NULL;
    default:
        Py_RETURN_NONE;
    }
}
