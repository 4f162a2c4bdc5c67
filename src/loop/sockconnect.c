/* sockconnect.c - sock_connect(): resolve the address, connect, wait. */
#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/dns.h"
#include "loop/sockwatch.h"
#include "loop/steps.h"
#include "sys/sock.h"

#include <errno.h>

/* ---- connecting to an address that needs no resolution ----------------- */

/* sock.connect(op->c) */
static int
connect_first(ouro_state *st, AwaitObject *op, int Py_UNUSED(fd),
              PyObject **ret)
{
    *ret = PyObject_CallMethodOneArg(op->a, st->str.connect, op->c);
    ou_loop_note_io(ouro_loop_engine(op->owner));
    if (*ret != NULL) {
        return 1;
    }
    return ouro_would_block() ? 0 : -1;
}

/* It goes on by itself; the socket's error tells how it ended. */
static int
connect_attempt(ouro_state *Py_UNUSED(st), AwaitObject *op, int fd,
                PyObject **ret)
{
    if (fd < 0) {
        return ouro_raise_errno_int(-EBADF);
    }
    int error = ou_sock_error(fd);
    if (error == 0) {
        *ret = Py_NewRef(Py_None);
        return 1;
    }
    PyObject *message = PyUnicode_FromFormat("Connect call failed %S", op->c);
    PyObject *exception =
        message == NULL
            ? NULL
            : PyObject_CallFunction(PyExc_OSError, "iO", -error, message);
    Py_XDECREF(message);
    if (exception != NULL) {
        ouro_raise(exception);
        Py_DECREF(exception);
    }
    return -1;
}

static const sock_kind attempt_kind = {
    .await = {.name = "sock_connect",
              .qualname = "BaseSelectorEventLoop.sock_connect",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_OUT,
    .attempt = connect_attempt,
    .first = connect_first,
};

/* ---- sock_connect() ---------------------------------------------------- */

enum { CONNECT_SOCK, CONNECT_ADDRESS, CONNECT_ARGS };

enum { STEP_START, STEP_RESOLVED, STEP_CONNECTED };

/* Is the socket of an internet family?  1, 0, -1: exception. */
static int
is_internet(ouro_state *st, PyObject *sock)
{
    PyObject *family = PyObject_GetAttr(sock, st->str.family);
    if (family == NULL) {
        return -1;
    }
    int overflow = 0;
    long number = PyLong_Check(family)
                      ? PyLong_AsLongAndOverflow(family, &overflow)
                      : -1;
    Py_DECREF(family);
    return number == AF_INET || number == AF_INET6;
}

/* Connect to the address (consumed; NULL: error). */
static await_status
connect_to(AwaitObject *self, PyObject *address, PyObject **ret)
{
    if (address == NULL) {
        return AWAIT_ERROR;
    }
    self->step = STEP_CONNECTED;
    AwaitObject *op =
        ouro_sockop_new(self->owner, &attempt_kind,
                        ouro_frame_get(self, CONNECT_SOCK), address);
    Py_DECREF(address);
    *ret = (PyObject *)op;
    return op == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
connect_resolve(ouro_state *st, AwaitObject *self, PyObject *sock,
                PyObject *address, PyObject **ret)
{
    PyObject *type = NULL, *proto = NULL, *flags = NULL;
    *ret = NULL;
    PyObject *family = PyObject_GetAttr(sock, st->str.family);
    if (family == NULL) {
        goto done;
    }
    type = PyObject_GetAttr(sock, st->str.type);
    if (type == NULL) {
        goto done;
    }
    proto = PyObject_GetAttr(sock, st->str.proto);
    if (proto == NULL) {
        goto done;
    }
    flags = PyLong_FromLong(0);
    if (flags != NULL) {
        *ret = ouro_ensure_resolved(st, self->owner, address, family, type,
                                    proto, flags);
    }
done:
    Py_XDECREF(flags);
    Py_XDECREF(proto);
    Py_XDECREF(type);
    Py_XDECREF(family);
    self->step = STEP_RESOLVED;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
connect_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *sock = ouro_frame_get(self, CONNECT_SOCK);
    PyObject *address = ouro_frame_get(self, CONNECT_ADDRESS);
    if (ouro_sock_check(st, self->owner, sock) < 0) {
        return AWAIT_ERROR;
    }
    int internet = is_internet(st, sock);
    if (internet < 0) {
        return AWAIT_ERROR;
    }
    return internet ? connect_resolve(st, self, sock, address, ret)
                    : connect_to(self, Py_NewRef(address), ret);
}

static await_status
connect_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step == STEP_START) {
        return connect_start(ouro_state_of(self->owner), self, ret);
    }
    if (self->step == STEP_RESOLVED) {
        /* The address of the first of getaddrinfo's answers. */
        PyObject *info = PySequence_GetItem(self->value, 0);
        PyObject *address = info == NULL ? NULL : PySequence_GetItem(info, 4);
        Py_XDECREF(info);
        return connect_to(self, address, ret);
    }
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static const await_kind connect_kind = {
    .name = "sock_connect",
    .qualname = "BaseSelectorEventLoop.sock_connect",
    .poll = connect_poll,
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
    PyObject *stock;
    if (ouro_loop_detour(loop, "sock_connect", args, nargs, kwnames, &stock)) {
        return stock;
    }
    PyObject *a[CONNECT_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &connect_kind, loop, a,
                          CONNECT_ARGS, CONNECT_ARGS);
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

/* ---- set-up ------------------------------------------------------------ */

static const ouro_async_def async_methods[] = {
    {"sock_connect", loop_sock_connect,
     "sock_connect($self, sock, address)\n--\n\n"
     "Connect a non-blocking socket to an address."},
    {NULL, NULL, NULL},
};

int
ouro_sockconnect_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    return ouro_loop_add_async_methods(st, async_methods);
}
