/* sendfile.c - loop.sendfile(): a file over a transport.
 *
 * Natively the transport is emptied and put aside, and the file goes to its
 * socket by sock_sendfile().  Otherwise, and for TLS, a protocol of our own
 * stands in for the application's while blocks are read and written.
 */
#include "loop/fileblocks.h"

#include "base/rooms.h"
#include "net/standin.h"
#include "net/tcp.h"

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
    PyObject *transport = ouro_frame_get(self, SEND_TARGET);
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
    PyObject *transport = ouro_frame_get(self, SEND_TARGET);
    int reading =
        ouro_truth_of(PyObject_CallMethod(transport, "is_reading", NULL));
    if (reading < 0) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, NATIVE_RESUME, PyBool_FromLong(reading));
    if (ouro_drop_result(PyObject_CallMethod(transport, "pause_reading", NULL))
        < 0) {
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
    PyObject *transport = ouro_frame_get(self, SEND_TARGET);
    if (ouro_drop_result(
            PyObject_CallMethod(transport, "_reset_empty_waiter", NULL))
            < 0
        || (ouro_frame_get(self, NATIVE_RESUME) == Py_True
            && ouro_drop_result(
                   PyObject_CallMethod(transport, "resume_reading", NULL))
                   < 0)) {
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
        PyObject_GetAttrString(ouro_frame_get(self, SEND_TARGET), "_sock");
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
    return ouro_sendfile_helper(&signature, &native_kind, NATIVE_TOTAL, loop,
                                args, nargs, kwnames);
}

/* ---- block by block ---------------------------------------------------- */

enum { BLOCK_SIZE = 16384 };

enum { STANDIN = BLOCKS_TOTAL, STANDIN_TOTAL };

/* TypeError for what has no flow control (-1), or 0. */
static int
check_flow_control(ouro_state *st, PyObject *transport)
{
    if (native_transport(st, transport) != NULL
        || PyObject_TypeCheck(transport, st->types.SSLProtocolTransport)) {
        return 0;
    }
    PyObject *mixin =
        PyObject_GetAttrString(st->stock.transports, "_FlowControlMixin");
    int valid = mixin == NULL ? -1 : PyObject_IsInstance(transport, mixin);
    Py_XDECREF(mixin);
    if (valid == 0) {
        PyErr_SetString(PyExc_TypeError,
                        "transport should be _FlowControlMixin instance");
    }
    return valid > 0 ? 0 : -1;
}

static Py_ssize_t
blocks_size(ouro_state *Py_UNUSED(st))
{
    return BLOCK_SIZE;
}

static int
blocks_begin(ouro_state *st, AwaitObject *self)
{
    PyObject *transport = ouro_frame_get(self, SEND_TARGET);
    SendfileProtocol *standin =
        check_flow_control(st, transport) < 0
            ? NULL
            : ouro_standin_new(st, self->owner, transport);
    if (standin == NULL) {
        return -1;
    }
    ouro_frame_set(self, STANDIN, (PyObject *)standin);
    return 0;
}

/* Wait until the transport can take the block. */
static await_status
blocks_send(AwaitObject *self, PyObject *Py_UNUSED(block), PyObject **ret)
{
    int closing = ouro_truth_of(PyObject_CallMethod(
        ouro_frame_get(self, SEND_TARGET), "is_closing", NULL));
    if (closing != 0) {
        if (closing > 0) {
            PyErr_SetString(PyExc_ConnectionError,
                            "Connection closed by peer");
        }
        return AWAIT_ERROR;
    }
    SendfileProtocol *standin =
        (SendfileProtocol *)ouro_frame_get(self, STANDIN);
    if (standin->ready == NULL) {
        return AWAIT_RETURN;
    }
    *ret = Py_NewRef(standin->ready);
    return AWAIT_DELEGATE;
}

static int
blocks_sent(AwaitObject *self, PyObject *block)
{
    return ouro_drop_result(PyObject_CallMethod(
        ouro_frame_get(self, SEND_TARGET), "write", "O", block));
}

static int
blocks_end(AwaitObject *self)
{
    PyObject *standin = ouro_frame_get(self, STANDIN);
    return standin == Py_None
               ? 0
               : ouro_standin_restore(ouro_state_of(self->owner),
                                      (SendfileProtocol *)standin);
}

static const fileblocks_kind blocks_kind = {
    .await = {.name = "_sendfile_fallback",
              .qualname = "BaseEventLoop._sendfile_fallback",
              .poll = ouro_fileblocks_poll,
              .abort = ouro_fileblocks_abort},
    .block_size = blocks_size,
    .begin = blocks_begin,
    .send = blocks_send,
    .sent = blocks_sent,
    .end = blocks_end,
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
    return ouro_sendfile_helper(&signature, &blocks_kind.await, STANDIN_TOTAL,
                                loop, args, nargs, kwnames);
}

/* ---- sendfile() -------------------------------------------------------- */

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
choose(AwaitObject *self, PyObject *modes, PyObject **ret)
{
    PyObject *transport = ouro_frame_get(self, SEND_TARGET);
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
        return ouro_sendfile_natively(self, ret);
    }
    int fallback = PyObject_IsTrue(ouro_frame_get(self, SEND_FALLBACK));
    if (fallback == 0) {
        PyErr_Format(PyExc_RuntimeError,
                     "fallback is disabled and native sendfile is not "
                     "supported for transport %R",
                     transport);
    }
    return fallback <= 0 ? AWAIT_ERROR : ouro_sendfile_by_blocks(self, ret);
}

static await_status
sendfile_begin(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    int closing = ouro_truth_of(PyObject_CallMethod(
        ouro_frame_get(self, SEND_TARGET), "is_closing", NULL));
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
    await_status status = choose(self, modes, ret);
    Py_DECREF(modes);
    return status;
}

static const sendfile_kind transport_sendfile_kind = {
    .await = {.name = "sendfile",
              .qualname = "BaseEventLoop.sendfile",
              .poll = ouro_sendfile_poll,
              .abort = ouro_sendfile_abort},
    .native = "_sendfile_native",
    .fallback = "_sendfile_fallback",
    .begin = sendfile_begin,
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
    return ouro_sendfile_new(&signature, &transport_sendfile_kind, loop, args,
                             nargs, kwnames);
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
