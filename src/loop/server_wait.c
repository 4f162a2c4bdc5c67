/* server_wait.c - the coroutines of a Server: starting, serving for ever,
 * waiting for the end.
 */
#include "loop/server.h"

#include "base/args.h"
#include "task/future.h"

/* start_serving(): skip a turn, so that the watches are in force. */
static await_status
start_serving_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ > 0) {
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    if (ouro_drop_result(
            PyObject_CallMethod(self->owner, "_start_serving", NULL))
        < 0) {
        return AWAIT_ERROR;
    }
    return AWAIT_YIELD;
}

static const await_kind start_serving_kind = {
    .name = "start_serving",
    .qualname = "Server.start_serving",
    .poll = start_serving_poll,
};

static PyObject *
server_start_serving(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(op), &start_serving_kind, op, args,
                           nargs, kwnames);
}

/* A new future on the server's loop. */
static PyObject *
server_future(ouro_state *st, ServerObject *self)
{
    PyObject *loop = ouro_server_loop(self);
    PyObject *future = loop == NULL ? NULL : ouro_create_future(st, loop);
    Py_XDECREF(loop);
    return future;
}

/* server._waiters.append(waiter); what is there need not be a list of ours. */
static int
server_add_waiter(ServerObject *self, PyObject *waiter)
{
    PyObject *waiters =
        Py_NewRef(self->waiters != NULL ? self->waiters : Py_None);
    int result = -1;
    if (PyList_Check(waiters)) {
        result = PyList_Append(waiters, waiter);
    }
    else {
        PyObject *none = PyObject_CallMethod(waiters, "append", "O", waiter);
        result = none == NULL ? -1 : 0;
        Py_XDECREF(none);
    }
    Py_DECREF(waiters);
    return result;
}

/* wait_closed() */
static bool
server_need_not_wait(ouro_state *st, ServerObject *self)
{
    if (self->waiters == NULL) {
        return true;
    }
    /* 3.11 does not wait for the connections of a closed server; 3.12.0 does
     * not wait at all without any. */
    return (st->has.minor < 12 && self->sockets == NULL)
           || (st->has.minor == 12 && st->has.micro == 0 && self->active == 0);
}

static await_status
wait_closed_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    ServerObject *server = ouro_server(self->owner);
    if (self->step++ > 0 || server_need_not_wait(st, server)) {
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    PyObject *waiter = server_future(st, server);
    if (waiter == NULL || server_add_waiter(server, waiter) < 0) {
        Py_XDECREF(waiter);
        return AWAIT_ERROR;
    }
    *ret = waiter;
    return AWAIT_FUTURE;
}

static const await_kind wait_closed_kind = {
    .name = "wait_closed",
    .qualname = "Server.wait_closed",
    .poll = wait_closed_poll,
};

static PyObject *
server_wait_closed(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(op), &wait_closed_kind, op, args,
                           nargs, kwnames);
}

/* serve_forever() */
enum { FOREVER_START, FOREVER_WAIT, FOREVER_CLOSE };

static await_status
serve_forever_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    ServerObject *server = ouro_server(self->owner);
    if (self->step == FOREVER_CLOSE) {
        /* The server is closed: on with the cancellation. */
        Py_CLEAR(server->serving_forever);
        ouro_raise(self->b);
        return AWAIT_ERROR;
    }
    if (self->step == FOREVER_WAIT) {
        Py_CLEAR(server->serving_forever);
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    if (server->serving_forever != NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "server %R is already being awaited on serve_forever()",
                     server);
        return AWAIT_ERROR;
    }
    if (server->sockets == NULL) {
        PyErr_Format(PyExc_RuntimeError, "server %R is closed", server);
        return AWAIT_ERROR;
    }
    if (ouro_drop_result(
            PyObject_CallMethod(self->owner, "_start_serving", NULL))
        < 0) {
        return AWAIT_ERROR;
    }
    PyObject *future = server_future(st, server);
    if (future == NULL) {
        return AWAIT_ERROR;
    }
    Py_XSETREF(server->serving_forever, Py_NewRef(future));
    self->step = FOREVER_WAIT;
    *ret = future;
    return AWAIT_FUTURE;
}

static int
serve_forever_close(ouro_state *st, PyObject *server)
{
    PyObject *closed = PyObject_CallMethod(server, "close", NULL);
    if (closed != NULL && st->has.loop.forever_closes_clients) {
        Py_SETREF(closed, PyObject_CallMethod(server, "close_clients", NULL));
    }
    Py_XDECREF(closed);
    return closed == NULL ? -1 : 0;
}

static await_status
serve_forever_abort(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    ServerObject *server = ouro_server(self->owner);
    if (self->step == FOREVER_WAIT
        && PyErr_ExceptionMatches(st->stock.CancelledError)) {
        self->step = FOREVER_CLOSE;
        Py_XSETREF(self->b, PyErr_GetRaisedException());
        if (serve_forever_close(st, self->owner) == 0) {
            *ret = PyObject_CallMethod(self->owner, "wait_closed", NULL);
            if (*ret != NULL) {
                return AWAIT_DELEGATE;
            }
        }
    }
    Py_CLEAR(server->serving_forever);
    return AWAIT_ERROR;
}

static const await_kind serve_forever_kind = {
    .name = "serve_forever",
    .qualname = "Server.serve_forever",
    .poll = serve_forever_poll,
    .abort = serve_forever_abort,
};

static PyObject *
server_serve_forever(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(op), &serve_forever_kind, op, args,
                           nargs, kwnames);
}

/* async with server */
static await_status
enter_poll(AwaitObject *self, PyObject **ret)
{
    *ret = Py_NewRef(self->owner);
    return AWAIT_RETURN;
}

static const await_kind enter_kind = {
    .name = "__aenter__",
    .qualname = "AbstractServer.__aenter__",
    .poll = enter_poll,
};

static PyObject *
server_enter(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(op), &enter_kind, op, args, nargs,
                           kwnames);
}

static await_status
exit_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ > 0) {
        *ret = Py_NewRef(Py_None);
        return AWAIT_RETURN;
    }
    if (ouro_drop_result(PyObject_CallMethod(self->owner, "close", NULL))
        < 0) {
        return AWAIT_ERROR;
    }
    *ret = PyObject_CallMethod(self->owner, "wait_closed", NULL);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static const await_kind exit_kind = {
    .name = "__aexit__",
    .qualname = "AbstractServer.__aexit__",
    .poll = exit_poll,
};

static PyObject *
server_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "AbstractServer.__aexit__",
        .skip_self = 1,
        .varargs = true,
    };
    PyObject *none[1];
    return ouro_parse(&signature, args, nargs, kwnames, none) < 0
               ? NULL
               : (PyObject *)ouro_await_new(ouro_state_of(op), &exit_kind, op);
}

const ouro_async_def ouro_server_async_methods[] = {
    {"start_serving", server_start_serving,
     "start_serving($self)\n--\n\nStart accepting connections."},
    {"serve_forever", server_serve_forever,
     "serve_forever($self)\n--\n\n"
     "Accept connections until the coroutine is cancelled, which closes the\n"
     "server."},
    {"wait_closed", server_wait_closed,
     "wait_closed($self)\n--\n\n"
     "Wait until the server is closed and all its connections have gone."},
    {"__aenter__", server_enter, "__aenter__($self)\n--\n\n"},
    {"__aexit__", server_exit, "__aexit__($self, *exc)\n--\n\n"},
    {NULL, NULL, NULL},
};
