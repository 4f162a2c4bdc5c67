/* sendfile.c - loop.sendfile(): a file over a transport.
 *
 * Natively the transport is emptied and put aside, and the file goes to its
 * socket by sock_sendfile().  Otherwise, and for TLS, a protocol of our own
 * stands in for the application's while blocks are read and written.
 */
#include "loop/sendfile.h"

#include "base/rooms.h"
#include "net/standin.h"
#include "net/tcp.h"

enum {
    SEND_TRANSPORT,
    SEND_FILE,
    SEND_OFFSET,
    SEND_COUNT,
    SEND_ARGS, /* of the helpers; sendfile() has one more: */
    SEND_FALLBACK = SEND_ARGS,
    SEND_ALL_ARGS,
};

/* ---- natively ---------------------------------------------------------- */

enum { NATIVE_RESUME = SEND_ARGS, NATIVE_TOTAL };

enum { NATIVE_START, NATIVE_EMPTY, NATIVE_SENT };

static TransportObject *
native_transport(ouro_state *st, PyObject *transport)
{
    return PyObject_TypeCheck(transport, st->types.SocketTransport)
               ? ouro_transport(transport)
               : NULL;
}

/* loop._transports[fd] = transport, or del (transport NULL). 0 or -1. */
static int
register_transport(ouro_state *st, PyObject *loop, PyObject *fd,
                   PyObject *transport)
{
    PyObject *transports = PyObject_GetAttr(loop, st->str._transports);
    if (transports == NULL) {
        return -1;
    }
    int result = transport != NULL
                     ? PyObject_SetItem(transports, fd, transport)
                     : PyObject_DelItem(transports, fd);
    Py_DECREF(transports);
    return result;
}

/* Let others watch the transport's descriptor, or no longer.  A native one
 * has only its watch to give up. 0 or -1. */
static int
native_lend(AwaitObject *self, bool lend)
{
    ouro_state *st = ouro_state_of(self->owner);
    PyObject *transport = ouro_frame_get(self, SEND_TRANSPORT);
    TransportObject *ours = native_transport(st, transport);
    if (ours != NULL && ours->native) {
        if (lend) {
            ouro_transport_unwatch(ours);
        }
        return 0;
    }
    PyObject *fd = PyObject_GetAttrString(transport, "_sock_fd");
    if (fd == NULL) {
        return -1;
    }
    int result =
        register_transport(st, self->owner, fd, lend ? NULL : transport);
    Py_DECREF(fd);
    return result;
}

static await_status
native_start(AwaitObject *self, PyObject **ret)
{
    PyObject *transport = ouro_frame_get(self, SEND_TRANSPORT);
    int reading = ouro_ask_method(transport, "is_reading");
    if (reading < 0) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, NATIVE_RESUME, PyBool_FromLong(reading));
    if (ouro_call_method(transport, "pause_reading") < 0) {
        return AWAIT_ERROR;
    }
    self->step = NATIVE_EMPTY;
    *ret = PyObject_CallMethod(transport, "_make_empty_waiter", NULL);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* The transport is as it was. 0 or -1. */
static int
native_restore(AwaitObject *self)
{
    PyObject *transport = ouro_frame_get(self, SEND_TRANSPORT);
    if (ouro_call_method(transport, "_reset_empty_waiter") < 0
        || (ouro_frame_get(self, NATIVE_RESUME) == Py_True
            && ouro_call_method(transport, "resume_reading") < 0)) {
        return -1;
    }
    return self->step == NATIVE_SENT ? native_lend(self, false) : 0;
}

static await_status
native_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    PyObject *exception = PyErr_GetRaisedException();
    if (self->step != NATIVE_START && native_restore(self) < 0) {
        Py_DECREF(exception);
        return AWAIT_ERROR;
    }
    PyErr_SetRaisedException(exception);
    return AWAIT_ERROR;
}

/* All that was written before has been sent: on with the file. */
static await_status
native_send(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    PyObject *sock =
        PyObject_GetAttrString(ouro_frame_get(self, SEND_TRANSPORT), "_sock");
    *ret = NULL;
    if (sock != NULL && native_lend(self, true) == 0) {
        self->step = NATIVE_SENT;
        *ret = ouro_call_keywords(
            self->owner, st->str.sock_sendfile,
            PyTuple_Pack(4, sock, ouro_frame_get(self, SEND_FILE),
                         ouro_frame_get(self, SEND_OFFSET),
                         ouro_frame_get(self, SEND_COUNT)),
            "fallback", Py_False, NULL);
    }
    Py_XDECREF(sock);
    return *ret == NULL ? native_abort(self, ret) : AWAIT_DELEGATE;
}

static await_status
native_poll(AwaitObject *self, PyObject **ret)
{
    switch (self->step) {
    case NATIVE_START:
        return native_start(self, ret);
    case NATIVE_EMPTY:
        return native_send(self, ret);
    default:
        if (native_restore(self) < 0) {
            return AWAIT_ERROR;
        }
        *ret = Py_NewRef(self->value);
        return AWAIT_RETURN;
    }
}

static const await_kind native_kind = {
    .name = "_sendfile_native",
    .qualname = "BaseSelectorEventLoop._sendfile_native",
    .poll = native_poll,
    .abort = native_abort,
};

static PyObject *
loop_sendfile_native(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop._sendfile_native",
        .skip_self = 1,
        .positional = SEND_ARGS,
        .required = SEND_ARGS,
        .names = {"transp", "file", "offset", "count"},
    };
    PyObject *a[SEND_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &native_kind, loop, a,
                          SEND_ARGS, NATIVE_TOTAL);
}

/* ---- block by block ---------------------------------------------------- */

enum { BLOCK_SIZE = 16384 };

enum {
    FALLBACK_STANDIN = SEND_ARGS,
    FALLBACK_BUFFER,
    FALLBACK_BLOCK,
    FALLBACK_TOTAL,
};

enum { FALLBACK_START, FALLBACK_READ, FALLBACK_DRAINED };

/* TypeError for what has no flow control (-1), or 0. */
static int
check_flow_control(ouro_state *st, PyObject *transport)
{
    if (native_transport(st, transport) != NULL) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("asyncio.transports");
    PyObject *mixin =
        module == NULL ? NULL
                       : PyObject_GetAttrString(module, "_FlowControlMixin");
    int valid = mixin == NULL ? -1 : PyObject_IsInstance(transport, mixin);
    Py_XDECREF(module);
    Py_XDECREF(mixin);
    if (valid == 0) {
        PyErr_SetString(PyExc_TypeError,
                        "transport should be _FlowControlMixin instance");
    }
    return valid > 0 ? 0 : -1;
}

static int
fallback_begin(ouro_state *st, AwaitObject *self)
{
    PyObject *transport = ouro_frame_get(self, SEND_TRANSPORT);
    int seek = PyObject_IsTrue(ouro_frame_get(self, SEND_OFFSET));
    PyObject *moved =
        seek <= 0
            ? NULL
            : PyObject_CallMethod(ouro_frame_get(self, SEND_FILE), "seek", "O",
                                  ouro_frame_get(self, SEND_OFFSET));
    Py_XDECREF(moved);
    if (seek < 0 || (seek && moved == NULL)) {
        return -1;
    }
    Py_ssize_t count = ouro_sendfile_number(ouro_frame_get(self, SEND_COUNT));
    PyObject *buffer =
        PyErr_Occurred() ? NULL : ouro_sendfile_buffer(count, BLOCK_SIZE);
    if (buffer == NULL) {
        return -1;
    }
    ouro_frame_set(self, FALLBACK_BUFFER, buffer);
    if (check_flow_control(st, transport) < 0) {
        return -1;
    }
    SendfileProtocol *standin = ouro_standin_new(st, self->owner, transport);
    if (standin == NULL) {
        return -1;
    }
    ouro_frame_set(self, FALLBACK_STANDIN, (PyObject *)standin);
    return 0;
}

/* The end, good or bad: keeps the exception that is set, or replaces it. */
static int
fallback_end(AwaitObject *self)
{
    PyObject *standin = ouro_frame_get(self, FALLBACK_STANDIN);
    if (self->n > 0
        && ouro_sendfile_seek(
               ouro_frame_get(self, SEND_FILE),
               ouro_sendfile_number(ouro_frame_get(self, SEND_OFFSET))
                   + self->n)
               < 0) {
        return -1;
    }
    if (standin == Py_None) {
        return 0;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result = ouro_standin_restore(ouro_state_of(self->owner),
                                      (SendfileProtocol *)standin);
    if (result == 0) {
        PyErr_SetRaisedException(exception);
    }
    else {
        Py_XDECREF(exception);
    }
    return result;
}

static await_status
fallback_finish(AwaitObject *self, PyObject **ret)
{
    if (fallback_end(self) < 0) {
        ouro_frame_set(self, FALLBACK_STANDIN, Py_NewRef(Py_None));
        self->n = 0;
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
        ouro_sendfile_number(ouro_frame_get(self, SEND_COUNT)), self->n);
    if (block == NULL) {
        return AWAIT_ERROR;
    }
    if (block == Py_None) {
        Py_DECREF(block);
        return fallback_finish(self, ret);
    }
    ouro_frame_set(self, FALLBACK_BLOCK, block);
    self->step = FALLBACK_READ;
    *ret = ouro_sendfile_read(st, self->owner, ouro_frame_get(self, SEND_FILE),
                              block);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* The transport can take the block. */
static await_status
fallback_write(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *data = ouro_frame_get(self, FALLBACK_BLOCK);
    PyObject *written = PyObject_CallMethod(
        ouro_frame_get(self, SEND_TRANSPORT), "write", "O", data);
    if (written == NULL) {
        return AWAIT_ERROR;
    }
    Py_DECREF(written);
    self->n += PyObject_Size(data);
    return fallback_read(st, self, ret);
}

/* So many bytes have been read: wait until they can be written. */
static await_status
fallback_drain(ouro_state *st, AwaitObject *self, PyObject **ret)
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
    int closing =
        ouro_ask_method(ouro_frame_get(self, SEND_TRANSPORT), "is_closing");
    if (closing != 0) {
        if (closing > 0) {
            PyErr_SetString(PyExc_ConnectionError,
                            "Connection closed by peer");
        }
        return AWAIT_ERROR;
    }
    SendfileProtocol *standin =
        (SendfileProtocol *)ouro_frame_get(self, FALLBACK_STANDIN);
    if (standin->ready == NULL) {
        return fallback_write(st, self, ret);
    }
    self->step = FALLBACK_DRAINED;
    *ret = Py_NewRef(standin->ready);
    return AWAIT_DELEGATE;
}

static await_status
fallback_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    (void)fallback_end(self);
    return AWAIT_ERROR;
}

static await_status
fallback_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    await_status status;
    switch (self->step) {
    case FALLBACK_START:
        status = fallback_begin(st, self) < 0 ? AWAIT_ERROR
                                              : fallback_read(st, self, ret);
        break;
    case FALLBACK_READ:
        status = fallback_drain(st, self, ret);
        break;
    default:
        status = fallback_write(st, self, ret);
    }
    return status == AWAIT_ERROR ? fallback_abort(self, ret) : status;
}

static const await_kind fallback_kind = {
    .name = "_sendfile_fallback",
    .qualname = "BaseEventLoop._sendfile_fallback",
    .poll = fallback_poll,
    .abort = fallback_abort,
};

static PyObject *
loop_sendfile_fallback(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._sendfile_fallback",
        .skip_self = 1,
        .positional = SEND_ARGS,
        .required = SEND_ARGS,
        .names = {"transp", "file", "offset", "count"},
    };
    PyObject *a[SEND_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &fallback_kind, loop, a,
                          SEND_ARGS, FALLBACK_TOTAL);
}

/* ---- sendfile() -------------------------------------------------------- */

enum { SENDFILE_START, SENDFILE_NATIVE, SENDFILE_FALLBACK };

static await_status
sendfile_delegate(AwaitObject *self, const char *method, int step,
                  PyObject **ret)
{
    self->step = step;
    *ret = PyObject_CallMethod(
        self->owner, method, "OOOO", ouro_frame_get(self, SEND_TRANSPORT),
        ouro_frame_get(self, SEND_FILE), ouro_frame_get(self, SEND_OFFSET),
        ouro_frame_get(self, SEND_COUNT));
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* transport._sendfile_compatible is the mode of that name: 1, 0, -1. */
static int
mode_is(PyObject *mode, PyObject *modes, const char *name)
{
    PyObject *wanted = PyObject_GetAttrString(modes, name);
    Py_XDECREF(wanted);
    return wanted == NULL ? -1 : mode == wanted;
}

/* How the transport sends files (owned); NULL: exception, not at all. */
static await_status
sendfile_choose(AwaitObject *self, PyObject *modes, PyObject **ret)
{
    PyObject *transport = ouro_frame_get(self, SEND_TRANSPORT);
    PyObject *mode = PyObject_GetAttrString(transport, "_sendfile_compatible");
    if (mode == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return AWAIT_ERROR;
        }
        PyErr_Clear();
        mode = PyObject_GetAttrString(modes, "UNSUPPORTED");
        if (mode == NULL) {
            return AWAIT_ERROR;
        }
    }
    int unsupported = mode_is(mode, modes, "UNSUPPORTED");
    int native = mode_is(mode, modes, "TRY_NATIVE");
    Py_DECREF(mode);
    if (unsupported < 0 || native < 0) {
        return AWAIT_ERROR;
    }
    if (unsupported) {
        PyErr_Format(PyExc_RuntimeError,
                     "sendfile is not supported for transport %R", transport);
        return AWAIT_ERROR;
    }
    if (native) {
        return sendfile_delegate(self, "_sendfile_native", SENDFILE_NATIVE,
                                 ret);
    }
    int fallback = PyObject_IsTrue(ouro_frame_get(self, SEND_FALLBACK));
    if (fallback == 0) {
        PyErr_Format(PyExc_RuntimeError,
                     "fallback is disabled and native sendfile is not "
                     "supported for transport %R",
                     transport);
    }
    return fallback <= 0 ? AWAIT_ERROR
                         : sendfile_delegate(self, "_sendfile_fallback",
                                             SENDFILE_FALLBACK, ret);
}

static await_status
sendfile_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step != SENDFILE_START) {
        *ret = Py_NewRef(self->value);
        return AWAIT_RETURN;
    }
    int closing =
        ouro_ask_method(ouro_frame_get(self, SEND_TRANSPORT), "is_closing");
    if (closing != 0) {
        if (closing > 0) {
            PyErr_SetString(PyExc_RuntimeError, "Transport is closing");
        }
        return AWAIT_ERROR;
    }
    PyObject *modes =
        PyObject_GetAttrString(st->stock.constants, "_SendfileMode");
    if (modes == NULL) {
        return AWAIT_ERROR;
    }
    await_status status = sendfile_choose(self, modes, ret);
    Py_DECREF(modes);
    return status;
}

static await_status
sendfile_abort(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step != SENDFILE_NATIVE || !ouro_sendfile_unavailable(st)) {
        return AWAIT_ERROR;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int fallback = PyObject_IsTrue(ouro_frame_get(self, SEND_FALLBACK));
    if (fallback == 0) {
        PyErr_SetRaisedException(exception);
        return AWAIT_ERROR;
    }
    Py_DECREF(exception);
    return fallback < 0 ? AWAIT_ERROR
                        : sendfile_delegate(self, "_sendfile_fallback",
                                            SENDFILE_FALLBACK, ret);
}

static const await_kind sendfile_kind = {
    .name = "sendfile",
    .qualname = "BaseEventLoop.sendfile",
    .poll = sendfile_poll,
    .abort = sendfile_abort,
};

static PyObject *
loop_sendfile(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.sendfile",
        .skip_self = 1,
        .positional = SEND_ARGS,
        .required = 2,
        .names = {"transport", "file", "offset", "count", "fallback"},
    };
    PyObject *a[SEND_ALL_ARGS];
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL || ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        Py_XDECREF(zero);
        return NULL;
    }
    a[SEND_OFFSET] = a[SEND_OFFSET] == NULL ? zero : a[SEND_OFFSET];
    a[SEND_FALLBACK] = a[SEND_FALLBACK] == NULL ? Py_True : a[SEND_FALLBACK];
    PyObject *coroutine =
        ouro_frame_new(ouro_state_of(loop), &sendfile_kind, loop, a,
                       SEND_ALL_ARGS, SEND_ALL_ARGS);
    Py_DECREF(zero);
    return coroutine;
}

/* ---- set-up ------------------------------------------------------------ */

static const ouro_async_def async_methods[] = {
    {"sendfile", loop_sendfile,
     "sendfile($self, transport, file, offset=0, count=None, *, "
     "fallback=True)\n--\n\n"
     "Send a file over a transport; return the number of bytes."},
    {"_sendfile_native", loop_sendfile_native, NULL},
    {"_sendfile_fallback", loop_sendfile_fallback, NULL},
    {NULL, NULL, NULL},
};

int
ouro_sendfile_setup(PyObject *module, ouro_state *st)
{
    if (ouro_standin_setup(module, st) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
