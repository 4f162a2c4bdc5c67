/* sockops.c - sock_recv() and its like: operations on sockets of the user's
 * own, each a single attempt and what it is tried with (see sockwatch.h for
 * the waiting).
 *
 * What programs do all the time goes straight to the system call; the rest by
 * the socket's methods.
 */
#include "base/args.h"
#include "base/bytes.h"
#include "base/rooms.h"
#include "loop/sockwatch.h"
#include "loop/steps.h"
#include "sys/sock.h"

#include <errno.h>

/* ---- attempts by the socket's methods ---------------------------------- */

/* The outcome of an attempt that has called a method. */
static int
method_outcome(PyObject *result, PyObject **ret)
{
    if (result != NULL) {
        *ret = result;
        return 1;
    }
    return ouro_would_block() ? 0 : -1;
}

/* sock.<name>(*op->c) */
static int
attempt_method(AwaitObject *op, const char *name, PyObject **ret)
{
    PyObject *method = PyObject_GetAttrString(op->a, name);
    if (method == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallObject(method, op->c);
    Py_DECREF(method);
    return method_outcome(result, ret);
}

/* The outcome of a system call that said EAGAIN or failed. */
static int
errno_outcome(ssize_t result)
{
    if (result == -EAGAIN || result == -EWOULDBLOCK) {
        return 0;
    }
    ouro_raise_errno((int)result);
    return -1;
}

/* What all sock_*() take first, and what else: a tuple of the rest. */
static PyObject *
new_operation(PyObject *loop, const sock_kind *kind,
              const ouro_signature *signature, PyObject *const *args,
              Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *stock;
    if (ouro_loop_detour(loop, kind->await.name, args, nargs, kwnames,
                         &stock)) {
        return stock;
    }
    PyObject *a[4] = {NULL};
    if (ouro_parse(signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    int count = 0;
    while (count < 4 && a[count] != NULL) {
        count++;
    }
    PyObject *rest = PyTuple_New(count - 1);
    if (rest == NULL) {
        return NULL;
    }
    for (int i = 1; i < count; i++) {
        PyTuple_SET_ITEM(rest, i - 1, Py_NewRef(a[i]));
    }
    AwaitObject *op = ouro_sockop_new(loop, kind, a[0], rest);
    Py_DECREF(rest);
    return (PyObject *)op;
}

/* ---- sock_recv() ------------------------------------------------------- */

/* Whether up to `size` bytes can be read by way of the scratch memory.  What
 * does not fit there is left for the next time, but of a message lost. */
static bool
fits_scratch(int fd, Py_ssize_t size)
{
    return size > 0
           && (size <= OU_SCRATCH_SIZE || ou_sock_type(fd) == SOCK_STREAM);
}

static int
recv_attempt(ouro_state *st, AwaitObject *op, int fd, PyObject **ret)
{
    Py_ssize_t size = PyNumber_AsSsize_t(op->c, PyExc_OverflowError);
    char *scratch = ou_loop_scratch(ouro_loop_engine(op->owner));
    if (scratch == NULL || fd < 0 || !ouro_sock_exact(st, op->a)
        || !fits_scratch(fd, size)) {
        PyErr_Clear();
        return method_outcome(PyObject_CallMethod(op->a, "recv", "O", op->c),
                              ret);
    }
    size_t wanted =
        size < OU_SCRATCH_SIZE ? (size_t)size : (size_t)OU_SCRATCH_SIZE;
    ssize_t got = ou_sock_recv(fd, scratch, wanted);
    if (got < 0) {
        return errno_outcome(got);
    }
    if (got > 0) {
        ouro_sock_read(op->owner, fd, (size_t)got, wanted);
    }
    *ret = ouro_bytes_new(st, scratch, got);
    return *ret == NULL ? -1 : 1;
}

static bool
recv_blocks(AwaitObject *op)
{
    if (!PyLong_Check(op->c)) {
        return false;
    }
    int overflow;
    return PyLong_AsLongAndOverflow(op->c, &overflow) > 0 && overflow == 0;
}

static const sock_kind recv_kind = {
    .await = {.name = "sock_recv",
              .qualname = "BaseSelectorEventLoop.sock_recv",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_IN,
    .attempt = recv_attempt,
    .blocks = recv_blocks,
};

static PyObject *
loop_sock_recv(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop.sock_recv",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"sock", "n"},
    };
    PyObject *stock;
    if (ouro_loop_detour(loop, "sock_recv", args, nargs, kwnames, &stock)) {
        return stock;
    }
    PyObject *a[2];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return (PyObject *)ouro_sockop_new(loop, &recv_kind, a[0], a[1]);
}

/* ---- sock_recv_into() -------------------------------------------------- */

static int
recv_into_attempt(ouro_state *st, AwaitObject *op, int fd, PyObject **ret)
{
    Py_buffer view;
    PyObject *buffer = PyTuple_GET_ITEM(op->c, 0);
    if (fd < 0 || !ouro_sock_exact(st, op->a)
        || PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return attempt_method(op, "recv_into", ret);
    }
    size_t wanted = (size_t)view.len;
    if (wanted == 0) {
        PyBuffer_Release(&view);
        return attempt_method(op, "recv_into", ret);
    }
    ssize_t got = ou_sock_recv(fd, view.buf, wanted);
    PyBuffer_Release(&view);
    if (got < 0) {
        return errno_outcome(got);
    }
    if (got > 0) {
        ouro_sock_read(op->owner, fd, (size_t)got, wanted);
    }
    *ret = PyLong_FromSsize_t(got);
    return *ret == NULL ? -1 : 1;
}

static bool
recv_into_blocks(AwaitObject *op)
{
    Py_buffer view;
    if (PyObject_GetBuffer(PyTuple_GET_ITEM(op->c, 0), &view, PyBUF_WRITABLE)
        < 0) {
        PyErr_Clear();
        return false;
    }
    bool room = view.len > 0;
    PyBuffer_Release(&view);
    return room;
}

static const sock_kind recv_into_kind = {
    .await = {.name = "sock_recv_into",
              .qualname = "BaseSelectorEventLoop.sock_recv_into",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_IN,
    .attempt = recv_into_attempt,
    .blocks = recv_into_blocks,
};

static PyObject *
loop_sock_recv_into(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop.sock_recv_into",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"sock", "buf"},
    };
    return new_operation(loop, &recv_into_kind, &signature, args, nargs,
                         kwnames);
}

/* ---- datagrams --------------------------------------------------------- */

static int
recvfrom_attempt(ouro_state *Py_UNUSED(st), AwaitObject *op, int Py_UNUSED(fd),
                 PyObject **ret)
{
    return attempt_method(op, "recvfrom", ret);
}

static const sock_kind recvfrom_kind = {
    .await = {.name = "sock_recvfrom",
              .qualname = "BaseSelectorEventLoop.sock_recvfrom",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_IN,
    .attempt = recvfrom_attempt,
};

static PyObject *
loop_sock_recvfrom(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop.sock_recvfrom",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"sock", "bufsize"},
    };
    return new_operation(loop, &recvfrom_kind, &signature, args, nargs,
                         kwnames);
}

/* nbytes is by default, and for 0, len(buf). */
static int
recvfrom_into_attempt(ouro_state *Py_UNUSED(st), AwaitObject *op,
                      int Py_UNUSED(fd), PyObject **ret)
{
    PyObject *buffer = PyTuple_GET_ITEM(op->c, 0);
    int given = PyTuple_GET_SIZE(op->c) > 1
                    ? PyObject_IsTrue(PyTuple_GET_ITEM(op->c, 1))
                    : 0;
    if (given > 0) {
        return attempt_method(op, "recvfrom_into", ret);
    }
    Py_ssize_t length = given < 0 ? -1 : PyObject_Size(buffer);
    if (length < 0) {
        return -1;
    }
    return method_outcome(
        PyObject_CallMethod(op->a, "recvfrom_into", "On", buffer, length),
        ret);
}

static const sock_kind recvfrom_into_kind = {
    .await = {.name = "sock_recvfrom_into",
              .qualname = "BaseSelectorEventLoop.sock_recvfrom_into",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_IN,
    .attempt = recvfrom_into_attempt,
};

static PyObject *
loop_sock_recvfrom_into(PyObject *loop, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop.sock_recvfrom_into",
        .skip_self = 1,
        .positional = 3,
        .required = 2,
        .names = {"sock", "buf", "nbytes"},
    };
    return new_operation(loop, &recvfrom_into_kind, &signature, args, nargs,
                         kwnames);
}

static int
sendto_attempt(ouro_state *Py_UNUSED(st), AwaitObject *op, int Py_UNUSED(fd),
               PyObject **ret)
{
    return attempt_method(op, "sendto", ret);
}

static const sock_kind sendto_kind = {
    .await = {.name = "sock_sendto",
              .qualname = "BaseSelectorEventLoop.sock_sendto",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_OUT,
    .attempt = sendto_attempt,
};

static PyObject *
loop_sock_sendto(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop.sock_sendto",
        .skip_self = 1,
        .positional = 3,
        .required = 3,
        .names = {"sock", "data", "address"},
    };
    return new_operation(loop, &sendto_kind, &signature, args, nargs, kwnames);
}

/* ---- sock_sendall() ---------------------------------------------------- */

/* Send from op->n on by sock.send(). */
static int
send_by_method(AwaitObject *op, PyObject *data, ssize_t *ret_sent)
{
    PyObject *rest = Py_NewRef(data);
    if (op->n > 0) {
        Py_SETREF(rest, PySequence_GetSlice(data, op->n, PY_SSIZE_T_MAX));
    }
    PyObject *sent =
        rest == NULL ? NULL : PyObject_CallMethod(op->a, "send", "O", rest);
    Py_XDECREF(rest);
    if (sent == NULL) {
        return ouro_would_block() ? 0 : -1;
    }
    *ret_sent = PyLong_AsSsize_t(sent);
    Py_DECREF(sent);
    return *ret_sent == -1 && PyErr_Occurred() ? -1 : 1;
}

/* Send what is left of the data: 1 when all is sent. */
static int
send_rest(ouro_state *st, AwaitObject *op, int fd, PyObject *data,
          const Py_buffer *view, PyObject **ret)
{
    ssize_t sent = 0;
    ou_loop_note_io(ouro_loop_engine(op->owner));
    if (fd >= 0 && ouro_sock_exact(st, op->a)) {
        sent = ou_sock_send(fd, (char *)view->buf + op->n,
                            (size_t)(view->len - op->n));
        if (sent < 0) {
            return errno_outcome(sent);
        }
    }
    else {
        int outcome = send_by_method(op, data, &sent);
        if (outcome <= 0) {
            return outcome;
        }
    }
    op->n += sent;
    if (op->n < view->len) {
        return 0;
    }
    *ret = Py_NewRef(Py_None);
    return 1;
}

/* What is left is kept as a view of the data. */
static int
sendall_first(ouro_state *st, AwaitObject *op, int fd, PyObject **ret)
{
    Py_buffer view;
    if (PyObject_GetBuffer(op->c, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    int outcome = send_rest(st, op, fd, op->c, &view, ret);
    PyBuffer_Release(&view);
    if (outcome == 0) {
        PyObject *kept = PyMemoryView_FromObject(op->c);
        if (kept == NULL) {
            return -1;
        }
        Py_SETREF(op->c, kept);
    }
    return outcome;
}

static int
sendall_attempt(ouro_state *st, AwaitObject *op, int fd, PyObject **ret)
{
    return send_rest(st, op, fd, op->c, PyMemoryView_GET_BUFFER(op->c), ret);
}

static const sock_kind sendall_kind = {
    .await = {.name = "sock_sendall",
              .qualname = "BaseSelectorEventLoop.sock_sendall",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_OUT,
    .attempt = sendall_attempt,
    .first = sendall_first,
};

static PyObject *
loop_sock_sendall(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop.sock_sendall",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"sock", "data"},
    };
    PyObject *stock;
    if (ouro_loop_detour(loop, "sock_sendall", args, nargs, kwnames, &stock)) {
        return stock;
    }
    PyObject *a[2];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return (PyObject *)ouro_sockop_new(loop, &sendall_kind, a[0], a[1]);
}

/* ---- sock_accept() ----------------------------------------------------- */

static int
accept_attempt(ouro_state *st, AwaitObject *op, int Py_UNUSED(fd),
               PyObject **ret)
{
    PyObject *pair;
    int outcome =
        method_outcome(PyObject_CallMethod(op->a, "accept", NULL), &pair);
    if (outcome <= 0) {
        return outcome;
    }
    PyObject *conn = PySequence_GetItem(pair, 0);
    PyObject *result =
        conn == NULL
            ? NULL
            : PyObject_CallMethodOneArg(conn, st->str.setblocking, Py_False);
    Py_XDECREF(conn);
    if (result == NULL) {
        Py_DECREF(pair);
        return -1;
    }
    Py_DECREF(result);
    *ret = pair;
    return 1;
}

static const sock_kind accept_kind = {
    .await = {.name = "sock_accept",
              .qualname = "BaseSelectorEventLoop.sock_accept",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_IN,
    .attempt = accept_attempt,
};

static PyObject *
loop_sock_accept(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("BaseSelectorEventLoop.sock_accept", "sock");
    return new_operation(loop, &accept_kind, &signature, args, nargs, kwnames);
}

/* ---- set-up ------------------------------------------------------------ */

static const ouro_async_def async_methods[] = {
    {"sock_recv", loop_sock_recv,
     "sock_recv($self, sock, n)\n--\n\n"
     "Receive up to n bytes; b\"\" at the end."},
    {"sock_recv_into", loop_sock_recv_into,
     "sock_recv_into($self, sock, buf)\n--\n\n"
     "Receive into a buffer; return the number of bytes."},
    {"sock_recvfrom", loop_sock_recvfrom,
     "sock_recvfrom($self, sock, bufsize)\n--\n\n"
     "Receive a datagram; return (data, address)."},
    {"sock_recvfrom_into", loop_sock_recvfrom_into,
     "sock_recvfrom_into($self, sock, buf, nbytes=0)\n--\n\n"
     "Receive a datagram into a buffer; return (size, address)."},
    {"sock_sendall", loop_sock_sendall,
     "sock_sendall($self, sock, data)\n--\n\nSend all of data."},
    {"sock_sendto", loop_sock_sendto,
     "sock_sendto($self, sock, data, address)\n--\n\n"
     "Send a datagram; return the number of bytes."},
    {"sock_accept", loop_sock_accept,
     "sock_accept($self, sock)\n--\n\n"
     "Accept a connection; return (socket, address)."},
    {NULL, NULL, NULL},
};

int
ouro_sockops_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    return ouro_loop_add_async_methods(st, async_methods);
}
