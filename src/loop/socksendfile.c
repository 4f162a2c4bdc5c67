/* socksendfile.c - sock_sendfile(): by os.sendfile(), which copies within the
 * kernel, or else block by block by sock_sendall().
 */
#include <errno.h>

#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/fileblocks.h"
#include "loop/sockwatch.h"
#include "loop/steps.h"

/* ---- arguments --------------------------------------------------------- */

/* `format` of a number that is no int (TypeError) or out of range. */
static int
check_number(PyObject *number, long least, const char *format)
{
    if (!PyLong_Check(number)) {
        PyErr_Format(PyExc_TypeError, format, number);
        return -1;
    }
    PyObject *limit = PyLong_FromLong(least);
    int less =
        limit == NULL ? -1 : PyObject_RichCompareBool(number, limit, Py_LT);
    Py_XDECREF(limit);
    if (less > 0) {
        PyErr_Format(PyExc_ValueError, format, number);
    }
    return less == 0 ? 0 : -1;
}

/* "b" in file.mode, if it has one. 0, or -1 with ValueError. */
static int
check_binary(PyObject *file)
{
    PyObject *mode = PyObject_GetAttrString(file, "mode");
    if (mode == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    PyObject *letter = PyUnicode_FromString("b");
    int binary = letter == NULL ? -1 : PySequence_Contains(mode, letter);
    Py_XDECREF(letter);
    Py_DECREF(mode);
    if (binary == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "file should be opened in binary mode");
    }
    return binary > 0 ? 0 : -1;
}

static int
refuse_params(ouro_state *st, PyObject *const *a)
{
    if (check_binary(a[SEND_FILE]) < 0) {
        return -1;
    }
    if (ouro_check_stream_socket(st, a[SEND_TARGET]) < 0) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_SetString(PyExc_ValueError,
                            "only SOCK_STREAM type sockets are supported");
        }
        return -1;
    }
    if (a[SEND_COUNT] != Py_None
        && check_number(a[SEND_COUNT], 1,
                        "count must be a positive integer (got %R)")
               < 0) {
        return -1;
    }
    return check_number(a[SEND_OFFSET], 0,
                        "offset must be a non-negative integer (got %R)");
}

/* self._check_sendfile_params(sock, file, offset, count) */
static int
check_params(ouro_state *st, PyObject *loop, PyObject *const *a)
{
    int done = ouro_loop_by_method(
        (LoopObject *)loop, st->str._check_sendfile_params, a[SEND_TARGET],
        a[SEND_FILE], a[SEND_OFFSET], a[SEND_COUNT], NULL);
    return done < 0 ? -1 : done > 0 ? 0 : refuse_params(st, a);
}

static PyObject *
loop_check_sendfile_params(PyObject *loop, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._check_sendfile_params",
        .skip_self = 1,
        .positional = SEND_ARGS,
        .required = SEND_ARGS,
        .names = {"sock", "file", "offset", "count"},
    };
    PyObject *a[SEND_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0
        || refuse_params(ouro_state_of(loop), a) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- by os.sendfile() -------------------------------------------------- */

/* The operation's c: what does not change.  n: bytes sent so far. */
enum { COPY_FILENO, COPY_OFFSET, COPY_COUNT, COPY_SIZE };

/* How much is still to be copied: of what was asked for, or of the file as big
 * as it was.  -1 and an exception: the number is too big, which from 3.13 on
 * it cannot be. */
static Py_ssize_t
copy_left(AwaitObject *op)
{
    bool capped = ouro_state_of(op->owner)->has.minor >= 13;
    PyObject *number = PyTuple_GET_ITEM(op->c, COPY_COUNT);
    Py_ssize_t count =
        capped ? PyNumber_AsSsize_t(number, NULL) : PyLong_AsSsize_t(number);
    if (count == -1) {
        return -1;
    }
    Py_ssize_t left =
        count > 0 ? count - op->n
                  : PyLong_AsSsize_t(PyTuple_GET_ITEM(op->c, COPY_SIZE));
    return capped ? Py_MIN(left, PY_SSIZE_T_MAX / 2 + 1) : left;
}

/* os.sendfile(fd, fileno, offset, size) */
static PyObject *
call_sendfile(ouro_state *st, AwaitObject *op, int fd, Py_ssize_t size)
{
    PyObject *offset =
        ouro_sendfile_position(PyTuple_GET_ITEM(op->c, COPY_OFFSET), op->n);
    PyObject *sent =
        offset == NULL
            ? NULL
            : PyObject_CallMethod(st->stock.os, "sendfile", "iOOn", fd,
                                  PyTuple_GET_ITEM(op->c, COPY_FILENO), offset,
                                  size);
    Py_XDECREF(offset);
    ou_loop_note_io(ouro_loop_engine(op->owner));
    return sent;
}

/* os.sendfile() has failed with the current OSError. */
static void
explain_copy_error(ouro_state *st, AwaitObject *op, bool waited)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return;
    }
    if (op->n == 0) {
        /* Most likely no file that can be mapped. */
        PyErr_Clear();
        ouro_sendfile_raise_unavailable(st, "os.sendfile call failed");
        return;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *number = PyObject_GetAttrString(exception, "errno");
    bool unconnected = waited && number != NULL && PyLong_Check(number)
                       && PyLong_AsLong(number) == ENOTCONN;
    Py_XDECREF(number);
    PyErr_Clear();
    if (!unconnected) {
        PyErr_SetRaisedException(exception);
        return;
    }
    PyObject *error = PyObject_CallFunction(
        PyExc_ConnectionError, "si", "socket is not connected", ENOTCONN);
    if (error == NULL) {
        Py_DECREF(exception);
        return;
    }
    PyException_SetCause(error, exception);
    PyErr_SetRaisedException(error);
}

/* os.sendfile() until the socket takes no more: 1 at the end of the file or
 * of what was asked for. */
static int
copy_some(ouro_state *st, AwaitObject *op, int fd, bool waited, PyObject **ret)
{
    int outcome = 0;
    while (outcome == 0) {
        Py_ssize_t size = copy_left(op);
        if (size <= 0) {
            outcome = size == -1 && PyErr_Occurred() ? -1 : 1;
            break;
        }
        PyObject *sent = call_sendfile(st, op, fd, size);
        if (sent == NULL) {
            if (!ouro_would_block()) {
                explain_copy_error(st, op, waited);
                outcome = -1;
            }
            break;
        }
        Py_ssize_t bytes = PyLong_AsSsize_t(sent);
        Py_DECREF(sent);
        if (bytes <= 0) {
            outcome = bytes == 0 ? 1 : -1;
            break;
        }
        op->n += bytes;
    }
    if (outcome > 0) {
        *ret = PyLong_FromSsize_t(op->n);
        outcome = *ret == NULL ? -1 : 1;
    }
    return outcome;
}

static int
copy_first(ouro_state *st, AwaitObject *op, int fd, PyObject **ret)
{
    if (fd < 0) {
        fd = ouro_sock_fileno(st, op->a);
        if (fd == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    return copy_some(st, op, fd, false, ret);
}

static int
copy_attempt(ouro_state *st, AwaitObject *op, int fd, PyObject **ret)
{
    return copy_some(st, op, fd, true, ret);
}

static const sock_kind copy_kind = {
    .await = {.name = "_sock_sendfile_native",
              .qualname = "_UnixSelectorEventLoop._sock_sendfile_native",
              .poll = ouro_sockop_poll,
              .abort = ouro_sockop_abort},
    .direction = OU_OUT,
    .attempt = copy_attempt,
    .first = copy_first,
};

/* The file is no regular one: the current exception says why. */
static void
refuse_file(ouro_state *st)
{
    PyObject *reason = PyErr_GetRaisedException();
    ouro_sendfile_raise_unavailable(st, "not a regular file");
    ouro_raised_handling(reason);
}

/* file.fileno() and its size: 0; -1: exception. */
static int
file_number(ouro_state *st, PyObject *file, PyObject **ret_fileno,
            PyObject **ret_size)
{
    *ret_fileno = PyObject_CallMethod(file, "fileno", NULL);
    if (*ret_fileno == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        PyObject *io = PyImport_ImportModule("io");
        PyObject *unsupported =
            io == NULL ? NULL
                       : PyObject_GetAttrString(io, "UnsupportedOperation");
        Py_XDECREF(io);
        int missing =
            unsupported != NULL
            && (PyErr_GivenExceptionMatches(exception, PyExc_AttributeError)
                || PyErr_GivenExceptionMatches(exception, unsupported));
        Py_XDECREF(unsupported);
        PyErr_Clear();
        PyErr_SetRaisedException(exception);
        if (missing) {
            refuse_file(st);
        }
        return -1;
    }
    PyObject *status =
        PyObject_CallMethod(st->stock.os, "fstat", "O", *ret_fileno);
    *ret_size =
        status == NULL ? NULL : PyObject_GetAttrString(status, "st_size");
    Py_XDECREF(status);
    if (*ret_size != NULL) {
        return 0;
    }
    Py_CLEAR(*ret_fileno);
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        refuse_file(st);
    }
    return -1;
}

enum { NATIVE_OP = SEND_ARGS, NATIVE_FILENO, NATIVE_TOTAL };

static await_status
native_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *fileno, *size;
    PyObject *count = ouro_frame_get(self, SEND_COUNT);
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL
        || file_number(st, ouro_frame_get(self, SEND_FILE), &fileno, &size)
               < 0) {
        Py_XDECREF(zero);
        return AWAIT_ERROR;
    }
    await_status status = AWAIT_ERROR;
    int empty = count == Py_None ? PyObject_Not(size) : PyObject_Not(count);
    if (empty > 0) {
        *ret = Py_NewRef(zero);
        status = AWAIT_RETURN;
    }
    else if (empty == 0) {
        PyObject *c =
            PyTuple_Pack(4, fileno, ouro_frame_get(self, SEND_OFFSET),
                         count == Py_None ? zero : count, size);
        AwaitObject *op =
            c == NULL ? NULL
                      : ouro_sockop_new(self->owner, &copy_kind,
                                        ouro_frame_get(self, SEND_TARGET), c);
        Py_XDECREF(c);
        if (op != NULL) {
            ouro_frame_set(self, NATIVE_OP, Py_NewRef((PyObject *)op));
            ouro_frame_set(self, NATIVE_FILENO, Py_NewRef(fileno));
            *ret = (PyObject *)op;
            status = AWAIT_DELEGATE;
        }
    }
    Py_DECREF(zero);
    Py_DECREF(fileno);
    Py_DECREF(size);
    return status;
}

/* The file's position goes behind what has been sent. 0 or -1. */
static int
native_seek(AwaitObject *self)
{
    PyObject *op = ouro_frame_get(self, NATIVE_OP);
    ouro_state *st = ouro_state_of(self->owner);
    bool always = st->has.loop.sendfile_always_seeks;
    if (op == Py_None || (((AwaitObject *)op)->n == 0 && !always)) {
        return 0;
    }
    PyObject *position = ouro_sendfile_position(
        ouro_frame_get(self, SEND_OFFSET), ((AwaitObject *)op)->n);
    int result = -1;
    if (position != NULL) {
        result = ouro_drop_result(PyObject_CallMethod(
            st->stock.os, "lseek", "OOi", ouro_frame_get(self, NATIVE_FILENO),
            position, SEEK_SET));
    }
    Py_XDECREF(position);
    return result;
}

static await_status
native_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ == 0) {
        return native_start(ouro_state_of(self->owner), self, ret);
    }
    if (native_seek(self) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static await_status
native_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    PyObject *exception = PyErr_GetRaisedException();
    if (native_seek(self) < 0) {
        ouro_raised_handling(exception);
        return AWAIT_ERROR;
    }
    PyErr_SetRaisedException(exception);
    return AWAIT_ERROR;
}

static const await_kind native_kind = {
    .name = "_sock_sendfile_native",
    .qualname = "_UnixSelectorEventLoop._sock_sendfile_native",
    .poll = native_poll,
    .abort = native_abort,
};

static PyObject *
loop_sock_sendfile_native(PyObject *loop, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_UnixSelectorEventLoop._sock_sendfile_native",
        .skip_self = 1,
        .positional = SEND_ARGS,
        .required = SEND_ARGS,
        .names = {"sock", "file", "offset", "count"},
    };
    PyObject *stock;
    if (ouro_loop_detour(loop, "_sock_sendfile_native", args, nargs, kwnames,
                         &stock)) {
        return stock;
    }
    return ouro_sendfile_helper(&signature, &native_kind, NATIVE_TOTAL, loop,
                                args, nargs, kwnames);
}

/* ---- block by block ---------------------------------------------------- */

static Py_ssize_t
blocks_size(ouro_state *st)
{
    PyObject *size = PyObject_GetAttrString(
        st->stock.constants, "SENDFILE_FALLBACK_READBUFFER_SIZE");
    Py_ssize_t bytes = size == NULL ? -1 : PyLong_AsSsize_t(size);
    Py_XDECREF(size);
    return bytes;
}

static await_status
blocks_send(AwaitObject *self, PyObject *block, PyObject **ret)
{
    *ret = PyObject_CallMethod(self->owner, "sock_sendall", "OO",
                               ouro_frame_get(self, SEND_TARGET), block);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static const fileblocks_kind blocks_kind = {
    .await = {.name = "_sock_sendfile_fallback",
              .qualname = "BaseEventLoop._sock_sendfile_fallback",
              .poll = ouro_fileblocks_poll,
              .abort = ouro_fileblocks_abort},
    .block_size = blocks_size,
    .send = blocks_send,
};

static PyObject *
loop_sock_sendfile_fallback(PyObject *loop, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._sock_sendfile_fallback",
        .skip_self = 1,
        .positional = SEND_ARGS,
        .required = SEND_ARGS,
        .names = {"sock", "file", "offset", "count"},
    };
    return ouro_sendfile_helper(&signature, &blocks_kind.await, BLOCKS_TOTAL,
                                loop, args, nargs, kwnames);
}

/* ---- sock_sendfile() --------------------------------------------------- */

static await_status
sendfile_begin(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *a[SEND_ARGS];
    for (int i = 0; i < SEND_ARGS; i++) {
        a[i] = ouro_frame_get(self, i);
    }
    if (ouro_sock_check(st, self->owner, a[SEND_TARGET]) < 0
        || check_params(st, self->owner, a) < 0) {
        return AWAIT_ERROR;
    }
    return ouro_sendfile_natively(self, ret);
}

static const sendfile_kind sock_sendfile_kind = {
    .await = {.name = "sock_sendfile",
              .qualname = "BaseEventLoop.sock_sendfile",
              .poll = ouro_sendfile_poll,
              .abort = ouro_sendfile_abort},
    .native = "_sock_sendfile_native",
    .fallback = "_sock_sendfile_fallback",
    .begin = sendfile_begin,
};

static PyObject *
loop_sock_sendfile(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.sock_sendfile",
        .skip_self = 1,
        .positional = SEND_ARGS,
        .required = 2,
        .names = {"sock", "file", "offset", "count", "fallback"},
    };
    return ouro_sendfile_new(&signature, &sock_sendfile_kind, loop, args,
                             nargs, kwnames);
}

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    OURO_METHOD("_check_sendfile_params", loop_check_sendfile_params, NULL),
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"sock_sendfile", loop_sock_sendfile,
     "sock_sendfile($self, sock, file, offset=0, count=None, *, "
     "fallback=True)\n--\n\n"
     "Send a file over a socket; return the number of bytes."},
    {"_sock_sendfile_native", loop_sock_sendfile_native, NULL},
    {"_sock_sendfile_fallback", loop_sock_sendfile_fallback, NULL},
    {NULL, NULL, NULL},
};

int
ouro_sock_sendfile_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
