/* sendfile.c - sock_sendfile(): by os.sendfile(), which copies within the
 * kernel, or else block by block through a buffer (see sendfile.h).
 */
#include "loop/sendfile.h"

#include <errno.h>

#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/sockwatch.h"

/* ---- what is shared with transports ------------------------------------ */

PyObject *
ouro_sendfile_buffer(Py_ssize_t count, Py_ssize_t limit)
{
    Py_ssize_t size = count > 0 && count < limit ? count : limit;
    PyObject *bytes = PyByteArray_FromStringAndSize(NULL, size);
    PyObject *view = bytes == NULL ? NULL : PyMemoryView_FromObject(bytes);
    Py_XDECREF(bytes);
    return view;
}

PyObject *
ouro_sendfile_block(PyObject *buffer, Py_ssize_t count, Py_ssize_t total)
{
    Py_ssize_t size = PyObject_Size(buffer);
    if (size < 0) {
        return NULL;
    }
    if (count > 0 && count - total < size) {
        size = count - total;
    }
    return size <= 0 ? Py_NewRef(Py_None)
                     : PySequence_GetSlice(buffer, 0, size);
}

PyObject *
ouro_sendfile_read(ouro_state *st, PyObject *loop, PyObject *file,
                   PyObject *block)
{
    PyObject *readinto = PyObject_GetAttrString(file, "readinto");
    if (readinto == NULL) {
        return NULL;
    }
    PyObject *future = PyObject_CallMethodObjArgs(
        loop, st->str.run_in_executor, Py_None, readinto, block, NULL);
    Py_DECREF(readinto);
    return future;
}

int
ouro_sendfile_seek(PyObject *file, Py_ssize_t position)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *seek = PyObject_GetAttrString(file, "seek");
    int result = 0;
    if (seek != NULL) {
        PyObject *moved = PyObject_CallFunction(seek, "n", position);
        result = moved == NULL ? -1 : 0;
        Py_XDECREF(moved);
        Py_DECREF(seek);
    }
    else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    else {
        result = -1;
    }
    if (result == 0) {
        PyErr_SetRaisedException(exception);
    }
    else {
        Py_XDECREF(exception);
    }
    return result;
}

Py_ssize_t
ouro_sendfile_number(PyObject *number)
{
    return number == Py_None ? 0
                             : PyNumber_AsSsize_t(number, PyExc_OverflowError);
}

static PyObject *
unavailable_error(ouro_state *st)
{
    return PyObject_GetAttrString(st->stock.asyncio,
                                  "SendfileNotAvailableError");
}

bool
ouro_sendfile_unavailable(ouro_state *st)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *type = unavailable_error(st);
    PyErr_SetRaisedException(exception);
    bool matches = type != NULL && PyErr_ExceptionMatches(type);
    Py_XDECREF(type);
    return matches;
}

void
ouro_sendfile_raise_unavailable(ouro_state *st, const char *message)
{
    PyObject *type = unavailable_error(st);
    if (type != NULL) {
        PyErr_SetString(type, message);
        Py_DECREF(type);
    }
}

/* ---- arguments --------------------------------------------------------- */

enum {
    FILE_SOCK,
    FILE_FILE,
    FILE_OFFSET,
    FILE_COUNT,
    FILE_ARGS, /* of the helpers; sock_sendfile() has one more: */
    FILE_FALLBACK = FILE_ARGS,
    FILE_ALL_ARGS,
};

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

/* _check_sendfile_params() */
static int
check_params(ouro_state *st, PyObject *const *a)
{
    if (check_binary(a[FILE_FILE]) < 0) {
        return -1;
    }
    if (ouro_check_stream_socket(st, a[FILE_SOCK]) < 0) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_SetString(PyExc_ValueError,
                            "only SOCK_STREAM type sockets are supported");
        }
        return -1;
    }
    if (a[FILE_COUNT] != Py_None
        && check_number(a[FILE_COUNT], 1,
                        "count must be a positive integer (got %R)")
               < 0) {
        return -1;
    }
    return check_number(a[FILE_OFFSET], 0,
                        "offset must be a non-negative integer (got %R)");
}

static PyObject *
loop_check_sendfile_params(PyObject *loop, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._check_sendfile_params",
        .skip_self = 1,
        .positional = FILE_ARGS,
        .required = FILE_ARGS,
        .names = {"sock", "file", "offset", "count"},
    };
    PyObject *a[FILE_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0
        || check_params(ouro_state_of(loop), a) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- by os.sendfile() -------------------------------------------------- */

/* The operation's c: what does not change.  n: bytes sent so far. */
enum { COPY_FILENO, COPY_OFFSET, COPY_COUNT, COPY_SIZE };

static Py_ssize_t
copy_number(AwaitObject *op, int place)
{
    return PyLong_AsSsize_t(PyTuple_GET_ITEM(op->c, place));
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
    Py_ssize_t count = copy_number(op, COPY_COUNT);
    PyObject *os = PyImport_ImportModule("os");
    if (os == NULL) {
        return -1;
    }
    int outcome = 0;
    while (outcome == 0) {
        Py_ssize_t size =
            count > 0 ? count - op->n : copy_number(op, COPY_SIZE);
        if (size <= 0) {
            outcome = 1;
            break;
        }
        PyObject *sent = PyObject_CallMethod(
            os, "sendfile", "iOnn", fd, PyTuple_GET_ITEM(op->c, COPY_FILENO),
            copy_number(op, COPY_OFFSET) + op->n, size);
        ou_loop_note_io(ouro_loop_engine(op->owner));
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
    Py_DECREF(os);
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

/* file.fileno() and its size: 1; 0: it is no regular file; -1: exception. */
static int
file_number(PyObject *file, PyObject **ret_fileno, PyObject **ret_size)
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
        if (missing) {
            Py_DECREF(exception);
            return 0;
        }
        PyErr_Clear();
        PyErr_SetRaisedException(exception);
        return -1;
    }
    PyObject *os = PyImport_ImportModule("os");
    PyObject *status =
        os == NULL ? NULL : PyObject_CallMethod(os, "fstat", "O", *ret_fileno);
    *ret_size =
        status == NULL ? NULL : PyObject_GetAttrString(status, "st_size");
    Py_XDECREF(os);
    Py_XDECREF(status);
    if (*ret_size != NULL) {
        return 1;
    }
    Py_CLEAR(*ret_fileno);
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        return 0;
    }
    return -1;
}

enum { NATIVE_OP = FILE_ARGS, NATIVE_FILENO, NATIVE_TOTAL };

static await_status
native_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *fileno, *size;
    PyObject *count = ouro_frame_get(self, FILE_COUNT);
    PyObject *zero = PyLong_FromLong(0);
    int found = zero == NULL ? -1
                             : file_number(ouro_frame_get(self, FILE_FILE),
                                           &fileno, &size);
    if (found <= 0) {
        Py_XDECREF(zero);
        if (found == 0) {
            ouro_sendfile_raise_unavailable(st, "not a regular file");
        }
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
            PyTuple_Pack(4, fileno, ouro_frame_get(self, FILE_OFFSET),
                         count == Py_None ? zero : count, size);
        AwaitObject *op =
            c == NULL ? NULL
                      : ouro_sockop_new(self->owner, &copy_kind,
                                        ouro_frame_get(self, FILE_SOCK), c);
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
    if (op == Py_None || ((AwaitObject *)op)->n == 0) {
        return 0;
    }
    Py_ssize_t offset =
        ouro_sendfile_number(ouro_frame_get(self, FILE_OFFSET));
    PyObject *os = PyImport_ImportModule("os");
    PyObject *moved =
        os == NULL ? NULL
                   : PyObject_CallMethod(os, "lseek", "Oni",
                                         ouro_frame_get(self, NATIVE_FILENO),
                                         offset + ((AwaitObject *)op)->n, 0);
    Py_XDECREF(os);
    Py_XDECREF(moved);
    return moved == NULL ? -1 : 0;
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
        Py_DECREF(exception);
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
        .positional = FILE_ARGS,
        .required = FILE_ARGS,
        .names = {"sock", "file", "offset", "count"},
    };
    PyObject *a[FILE_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &native_kind, loop, a,
                          FILE_ARGS, NATIVE_TOTAL);
}

/* ---- block by block ---------------------------------------------------- */

enum { FALLBACK_BUFFER = FILE_ARGS, FALLBACK_BLOCK, FALLBACK_TOTAL };

enum { STEP_START, STEP_READ, STEP_SENT };

static int
fallback_begin(ouro_state *st, AwaitObject *self)
{
    PyObject *file = ouro_frame_get(self, FILE_FILE);
    Py_ssize_t offset =
        ouro_sendfile_number(ouro_frame_get(self, FILE_OFFSET));
    Py_ssize_t count = ouro_sendfile_number(ouro_frame_get(self, FILE_COUNT));
    if (PyErr_Occurred()) {
        return -1;
    }
    if (offset != 0) {
        PyObject *moved = PyObject_CallMethod(file, "seek", "n", offset);
        if (moved == NULL) {
            return -1;
        }
        Py_DECREF(moved);
    }
    PyObject *limit = PyObject_GetAttrString(
        st->stock.constants, "SENDFILE_FALLBACK_READBUFFER_SIZE");
    PyObject *buffer =
        limit == NULL ? NULL
                      : ouro_sendfile_buffer(count, PyLong_AsSsize_t(limit));
    Py_XDECREF(limit);
    if (buffer == NULL) {
        return -1;
    }
    ouro_frame_set(self, FALLBACK_BUFFER, buffer);
    return 0;
}

/* The end, good or bad: the file's position. */
static int
fallback_end(AwaitObject *self)
{
    return self->n == 0
               ? 0
               : ouro_sendfile_seek(
                   ouro_frame_get(self, FILE_FILE),
                   ouro_sendfile_number(ouro_frame_get(self, FILE_OFFSET))
                       + self->n);
}

static await_status
fallback_finish(AwaitObject *self, PyObject **ret)
{
    if (fallback_end(self) < 0) {
        return AWAIT_ERROR;
    }
    *ret = PyLong_FromSsize_t(self->n);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
fallback_read(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *block = ouro_sendfile_block(
        ouro_frame_get(self, FALLBACK_BUFFER),
        ouro_sendfile_number(ouro_frame_get(self, FILE_COUNT)), self->n);
    if (block == NULL) {
        return AWAIT_ERROR;
    }
    if (block == Py_None) {
        Py_DECREF(block);
        return fallback_finish(self, ret);
    }
    ouro_frame_set(self, FALLBACK_BLOCK, block);
    self->step = STEP_READ;
    *ret = ouro_sendfile_read(st, self->owner, ouro_frame_get(self, FILE_FILE),
                              block);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* So many bytes have been read: send them. */
static await_status
fallback_send(AwaitObject *self, PyObject **ret)
{
    int some = PyObject_IsTrue(self->value);
    if (some <= 0) {
        return some < 0 ? AWAIT_ERROR : fallback_finish(self, ret);
    }
    Py_ssize_t size = PyNumber_AsSsize_t(self->value, PyExc_OverflowError);
    PyObject *data = size == -1 && PyErr_Occurred()
                         ? NULL
                         : PySequence_GetSlice(
                             ouro_frame_get(self, FALLBACK_BLOCK), 0, size);
    if (data == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, FALLBACK_BLOCK, data);
    self->step = STEP_SENT;
    *ret = PyObject_CallMethod(self->owner, "sock_sendall", "OO",
                               ouro_frame_get(self, FILE_SOCK), data);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
fallback_step(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    switch (self->step) {
    case STEP_START:
        return fallback_begin(st, self) < 0 ? AWAIT_ERROR
                                            : fallback_read(st, self, ret);
    case STEP_READ:
        return fallback_send(self, ret);
    default:
        self->n += PyObject_Size(ouro_frame_get(self, FALLBACK_BLOCK));
        return fallback_read(st, self, ret);
    }
}

static await_status
fallback_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    (void)fallback_end(self); /* keeps or replaces the exception */
    return AWAIT_ERROR;
}

static await_status
fallback_poll(AwaitObject *self, PyObject **ret)
{
    await_status status = fallback_step(self, ret);
    return status == AWAIT_ERROR ? fallback_abort(self, ret) : status;
}

static const await_kind fallback_kind = {
    .name = "_sock_sendfile_fallback",
    .qualname = "BaseEventLoop._sock_sendfile_fallback",
    .poll = fallback_poll,
    .abort = fallback_abort,
};

static PyObject *
loop_sock_sendfile_fallback(PyObject *loop, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._sock_sendfile_fallback",
        .skip_self = 1,
        .positional = FILE_ARGS,
        .required = FILE_ARGS,
        .names = {"sock", "file", "offset", "count"},
    };
    PyObject *a[FILE_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &fallback_kind, loop, a,
                          FILE_ARGS, FALLBACK_TOTAL);
}

/* ---- sock_sendfile() --------------------------------------------------- */

enum { SENDFILE_START, SENDFILE_NATIVE, SENDFILE_FALLBACK };

/* self.<method>(sock, file, offset, count) */
static await_status
sendfile_delegate(AwaitObject *self, const char *method, int step,
                  PyObject **ret)
{
    self->step = step;
    *ret = PyObject_CallMethod(
        self->owner, method, "OOOO", ouro_frame_get(self, FILE_SOCK),
        ouro_frame_get(self, FILE_FILE), ouro_frame_get(self, FILE_OFFSET),
        ouro_frame_get(self, FILE_COUNT));
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
sendfile_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step != SENDFILE_START) {
        *ret = Py_NewRef(self->value);
        return AWAIT_RETURN;
    }
    PyObject *a[FILE_ARGS];
    for (int i = 0; i < FILE_ARGS; i++) {
        a[i] = ouro_frame_get(self, i);
    }
    if (ouro_sock_check(st, self->owner, a[FILE_SOCK]) < 0
        || check_params(st, a) < 0) {
        return AWAIT_ERROR;
    }
    return sendfile_delegate(self, "_sock_sendfile_native", SENDFILE_NATIVE,
                             ret);
}

static await_status
sendfile_abort(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step != SENDFILE_NATIVE || !ouro_sendfile_unavailable(st)) {
        return AWAIT_ERROR;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int fallback = PyObject_IsTrue(ouro_frame_get(self, FILE_FALLBACK));
    if (fallback <= 0) {
        if (fallback == 0) {
            PyErr_SetRaisedException(exception);
        }
        else {
            Py_DECREF(exception);
        }
        return AWAIT_ERROR;
    }
    Py_DECREF(exception);
    return sendfile_delegate(self, "_sock_sendfile_fallback",
                             SENDFILE_FALLBACK, ret);
}

static const await_kind sendfile_kind = {
    .name = "sock_sendfile",
    .qualname = "BaseEventLoop.sock_sendfile",
    .poll = sendfile_poll,
    .abort = sendfile_abort,
};

static PyObject *
loop_sock_sendfile(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.sock_sendfile",
        .skip_self = 1,
        .positional = FILE_ARGS,
        .required = 2,
        .names = {"sock", "file", "offset", "count", "fallback"},
    };
    PyObject *a[FILE_ALL_ARGS];
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL || ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        Py_XDECREF(zero);
        return NULL;
    }
    a[FILE_OFFSET] = a[FILE_OFFSET] == NULL ? zero : a[FILE_OFFSET];
    a[FILE_FALLBACK] = a[FILE_FALLBACK] == NULL ? Py_True : a[FILE_FALLBACK];
    PyObject *coroutine =
        ouro_frame_new(ouro_state_of(loop), &sendfile_kind, loop, a,
                       FILE_ALL_ARGS, FILE_ALL_ARGS);
    Py_DECREF(zero);
    return coroutine;
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
