/* sockops.c - sock_*(): operations on sockets of the user's own. */
#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/dns.h"
#include "loop/fdwatch.h"
#include "loop/server.h"
#include "sys/sock.h"
#include "task/future.h"

/* ---- sock_connect() ---------------------------------------------------- */

enum {
    CONNECT_SOCK,
    CONNECT_ADDRESS,
    CONNECT_ARGS,
    CONNECT_HANDLE = CONNECT_ARGS, /* of the writer, or None */
    CONNECT_TOTAL,
};

enum { STEP_START, STEP_RESOLVED, STEP_WAITED };

/* What all sock_*() check first. */
static int
sock_check(ouro_state *st, PyObject *loop, PyObject *sock)
{
    if (ouro_check_ssl_socket(st, sock) < 0) {
        return -1;
    }
    if (!((LoopCore *)loop)->debug) {
        return 0;
    }
    PyObject *timeout = PyObject_CallMethod(sock, "gettimeout", NULL);
    PyObject *zero = PyLong_FromLong(0);
    int equal = timeout == NULL || zero == NULL
                    ? -1
                    : PyObject_RichCompareBool(timeout, zero, Py_EQ);
    Py_XDECREF(timeout);
    Py_XDECREF(zero);
    if (equal == 0) {
        PyErr_SetString(PyExc_ValueError, "the socket must be non-blocking");
    }
    return equal > 0 ? 0 : -1;
}

/* Would it block? Then the exception is cleared. */
static bool
would_block(void)
{
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
        || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
        return true;
    }
    return false;
}

/* The connection is under way: wait until the socket is writable. */
static await_status
connect_wait(ouro_state *st, AwaitObject *self, PyObject *sock,
             PyObject *address, PyObject **ret)
{
    LoopObject *loop = (LoopObject *)self->owner;
    PyObject *fd = PyObject_CallMethodNoArgs(sock, st->str.fileno);
    PyObject *future = fd == NULL ? NULL
                                  : ouro_create_future(st, self->owner);
    PyObject *callback =
        PyObject_GetAttrString(self->owner, "_sock_connect_cb");
    PyObject *handle = NULL;
    if (future != NULL && callback != NULL
        && ouro_fd_ensure_free(loop, fd) == 0) {
        handle = PyObject_CallMethodObjArgs(
            self->owner, st->str._add_writer, fd, callback, future, sock,
            address, NULL);
    }
    Py_XDECREF(fd);
    Py_XDECREF(callback);
    if (handle == NULL) {
        Py_XDECREF(future);
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, CONNECT_HANDLE, handle);
    *ret = future;
    return AWAIT_DELEGATE;
}

static await_status
connect_try(ouro_state *st, AwaitObject *self, PyObject *address,
            PyObject **ret)
{
    PyObject *sock = ouro_frame_get(self, CONNECT_SOCK);
    PyObject *connected =
        PyObject_CallMethod(sock, "connect", "(O)", address);
    self->step = STEP_WAITED;
    if (connected == NULL) {
        return would_block() ? connect_wait(st, self, sock, address, ret)
                             : AWAIT_ERROR;
    }
    *ret = connected;
    return AWAIT_RETURN;
}

/* The wait is over: the writer goes, unless somebody has replaced it. */
static int
connect_waited(ouro_state *st, AwaitObject *self)
{
    PyObject *handle = ouro_frame_get(self, CONNECT_HANDLE);
    if (handle == Py_None) {
        return 0;
    }
    PyObject *cancelled = PyObject_CallMethod(handle, "cancelled", NULL);
    int gone = cancelled == NULL ? -1 : PyObject_IsTrue(cancelled);
    Py_XDECREF(cancelled);
    ouro_frame_set(self, CONNECT_HANDLE, Py_NewRef(Py_None));
    if (gone != 0) {
        return gone < 0 ? -1 : 0;
    }
    PyObject *fd = PyObject_CallMethodNoArgs(
        ouro_frame_get(self, CONNECT_SOCK), st->str.fileno);
    PyObject *removed =
        fd == NULL ? NULL
                   : PyObject_CallMethodOneArg(self->owner,
                                               st->str.remove_writer, fd);
    Py_XDECREF(fd);
    Py_XDECREF(removed);
    return removed == NULL ? -1 : 0;
}

/* Is the socket of an internet family?  1, 0, -1. */
static int
is_internet(ouro_state *st, PyObject *sock)
{
    PyObject *family = PyObject_GetAttr(sock, st->str.family);
    if (family == NULL) {
        return -1;
    }
    long number = PyLong_Check(family) ? PyLong_AsLong(family) : -1;
    Py_DECREF(family);
    return number == AF_INET || number == AF_INET6;
}

static await_status
connect_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *sock = ouro_frame_get(self, CONNECT_SOCK);
    PyObject *address = ouro_frame_get(self, CONNECT_ADDRESS);
    if (sock_check(st, self->owner, sock) < 0) {
        return AWAIT_ERROR;
    }
    int internet = is_internet(st, sock);
    if (internet <= 0) {
        return internet < 0 ? AWAIT_ERROR
                            : connect_try(st, self, address, ret);
    }
    PyObject *family = PyObject_GetAttr(sock, st->str.family);
    PyObject *type = PyObject_GetAttr(sock, st->str.type);
    PyObject *proto = PyObject_GetAttr(sock, st->str.proto);
    PyObject *zero = PyLong_FromLong(0);
    *ret = family == NULL || type == NULL || proto == NULL || zero == NULL
               ? NULL
               : ouro_ensure_resolved(st, self->owner, address, family, type,
                                      proto, zero);
    Py_XDECREF(family);
    Py_XDECREF(type);
    Py_XDECREF(proto);
    Py_XDECREF(zero);
    self->step = STEP_RESOLVED;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* The address of the first of getaddrinfo's answers. */
static await_status
connect_resolved(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *info = PySequence_GetItem(self->value, 0);
    PyObject *address = info == NULL ? NULL : PySequence_GetItem(info, 4);
    Py_XDECREF(info);
    if (address == NULL) {
        return AWAIT_ERROR;
    }
    await_status status = connect_try(st, self, address, ret);
    Py_DECREF(address);
    return status;
}

static await_status
connect_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    switch (self->step) {
    case STEP_START:
        return connect_start(st, self, ret);
    case STEP_RESOLVED:
        return connect_resolved(st, self, ret);
    default:
        *ret = Py_NewRef(Py_None);
        return connect_waited(st, self) < 0 ? AWAIT_ERROR : AWAIT_RETURN;
    }
}

static await_status
connect_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    PyObject *exception = PyErr_GetRaisedException();
    if (connect_waited(ouro_state_of(self->owner), self) < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(exception);
    return AWAIT_ERROR;
}

static const await_kind connect_kind = {
    .name = "sock_connect",
    .qualname = "BaseSelectorEventLoop.sock_connect",
    .poll = connect_poll,
    .abort = connect_abort,
};

static PyObject *
loop_sock_connect(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop.sock_connect",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"sock", "address"},
    };
    PyObject *a[CONNECT_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &connect_kind, loop, a,
                          CONNECT_ARGS, CONNECT_TOTAL);
}

PyObject *
ouro_sock_connect(ouro_state *st, PyObject *loop, PyObject *sock,
                  PyObject *address)
{
    PyObject *args[] = {loop, sock, address};
    if (ouro_loop_plain((LoopObject *)loop)) {
        return loop_sock_connect(loop, args + 1, 2, NULL);
    }
    return PyObject_VectorcallMethod(st->str.sock_connect, args, 3, NULL);
}

/* _sock_connect_cb(fut, sock, address): the socket is writable. */
static PyObject *
loop_sock_connect_cb(PyObject *loop, PyObject *const *args, Py_ssize_t nargs)
{
    ouro_state *st = ouro_state_of(loop);
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError,
                        "_sock_connect_cb() takes fut, sock and address");
        return NULL;
    }
    int done = ouro_anyfuture_done(st, args[0]);
    if (done != 0) {
        return done < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *fd = PyObject_CallMethodNoArgs(args[1], st->str.fileno);
    if (fd == NULL) {
        return NULL;
    }
    int error = ou_sock_error((int)PyLong_AsLong(fd));
    Py_DECREF(fd);
    int result;
    if (error == 0) {
        result = ouro_anyfuture_set_result(st, args[0], Py_None);
    }
    else {
        PyObject *message =
            PyUnicode_FromFormat("Connect call failed %S", args[2]);
        PyObject *exception =
            message == NULL ? NULL
                            : PyObject_CallFunction(PyExc_OSError, "iO",
                                                    -error, message);
        Py_XDECREF(message);
        if (exception == NULL) {
            return NULL;
        }
        result = ouro_anyfuture_set_exception(st, args[0], exception);
        Py_DECREF(exception);
    }
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    {"_sock_connect_cb", (PyCFunction)(void (*)(void))loop_sock_connect_cb,
     METH_FASTCALL, NULL},
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"sock_connect", loop_sock_connect,
     "sock_connect($self, sock, address)\n--\n\n"
     "Connect a non-blocking socket to an address."},
    {NULL, NULL, NULL},
};

int
ouro_sockops_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
