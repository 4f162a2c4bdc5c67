/* writeops.c - the coroutines of a StreamWriter: drain, wait_closed,
 * start_tls.
 */
#include "net/protocol_ops.h"
#include "streams/protocol.h"
#include "streams/writer.h"

static StreamWriterObject *
writer_of(AwaitObject *op)
{
    return (StreamWriterObject *)op->owner;
}

static await_status
return_none(PyObject **ret)
{
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

static await_status
delegate(PyObject *awaitable, PyObject **ret)
{
    *ret = awaitable;
    return awaitable == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* ---- drain() ------------------------------------------------------------ */

enum drain_step {
    DRAIN_START,
    DRAIN_CLOSING, /* the transport is: has given way for one turn */
    DRAIN_DELEGATED,
};

/* Send what write() has gathered; but while more requests are there to be
 * read, only what has waited too long already. */
static int
flush(ouro_state *st, StreamWriterObject *writer, const transport_ops *ops)
{
    PyObject *reader = writer->reader;
    bool more = ouro_reader_check(st, reader)
                && ouro_reader_size((StreamReaderObject *)reader) > 0;
    PyObject *transport = Py_NewRef(writer->transport);
    int result = more ? ops->flush_old(transport) : ops->flush(transport);
    Py_DECREF(transport);
    return result;
}

/* reader.exception(): a new reference or NULL; *ret_error: -1. */
static PyObject *
reader_exception(ouro_state *st, PyObject *reader, int *ret_error)
{
    *ret_error = 0;
    if (reader == Py_None) {
        return NULL;
    }
    StreamReaderObject *ours = (StreamReaderObject *)reader;
    if (ouro_reader_check(st, reader) && ouro_reader_plain(st, ours)) {
        return Py_XNewRef(ours->exception);
    }
    PyObject *exception = PyObject_CallMethodNoArgs(reader, st->str.exception);
    if (exception == NULL) {
        *ret_error = -1;
    }
    if (exception == Py_None) {
        Py_CLEAR(exception);
    }
    return exception;
}

static int
check_reader(ouro_state *st, StreamWriterObject *writer)
{
    int error;
    PyObject *exception = reader_exception(st, writer->reader, &error);
    if (exception != NULL) {
        ouro_raise(exception);
        Py_DECREF(exception);
        return -1;
    }
    return error;
}

static await_status
drain_help(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    PyObject *protocol = writer_of(op)->protocol;
    op->step = DRAIN_DELEGATED;
    if (Py_TYPE(protocol) == st->types.StreamReaderProtocol
        && ouro_stream_protocol_plain(st, protocol)) {
        int may_write = ouro_flow_may_write(ouro_flow(protocol));
        if (may_write != 0) {
            return may_write < 0 ? AWAIT_ERROR : return_none(ret);
        }
    }
    return delegate(PyObject_CallMethodNoArgs(protocol, st->str._drain_helper),
                    ret);
}

static await_status
drain_start(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    StreamWriterObject *writer = writer_of(op);
    if (!ouro_writer_complete(writer)) {
        return AWAIT_ERROR;
    }
    const transport_ops *ops = ouro_transport_ops(st, writer->transport);
    if (ops != NULL && ops->gathered(writer->transport)
        && flush(st, writer, ops) < 0) {
        return AWAIT_ERROR;
    }
    if (check_reader(st, writer) < 0) {
        return AWAIT_ERROR;
    }
    int closing = ouro_transport_is_closing(st, writer->transport);
    if (closing > 0) {
        /* connection_lost() may be about to be called: let it be, so that a
         * loop of write() and drain() sees that the connection is lost. */
        op->step = DRAIN_CLOSING;
        return AWAIT_YIELD;
    }
    return closing < 0 ? AWAIT_ERROR : drain_help(st, op, ret);
}

static await_status
drain_poll(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    switch (op->step) {
    case DRAIN_START:
        return drain_start(st, op, ret);
    case DRAIN_CLOSING:
        return drain_help(st, op, ret);
    default:
        return return_none(ret);
    }
}

static const await_kind drain_kind = {
    .name = "drain",
    .qualname = "StreamWriter.drain",
    .poll = drain_poll,
};

PyDoc_STRVAR(drain_doc, "drain($self, /)\n--\n\n\
Wait until the transport is ready for more.\n\n\
The intended use is to write:\n\n\
  w.write(data)\n\
  await w.drain()\n\n\
Raises the reader's exception, if it has one, and ConnectionResetError if\n\
the connection is lost.");

static PyObject *
writer_drain(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(self), &drain_kind, self, args, nargs,
                           kwnames);
}

/* ---- wait_closed() ------------------------------------------------------ */

static await_status
wait_closed_poll(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    if (op->step++ > 0) {
        return return_none(ret);
    }
    if (!ouro_writer_complete(writer_of(op))) {
        return AWAIT_ERROR;
    }
    PyObject *protocol = writer_of(op)->protocol;
    return delegate(PyObject_CallMethodOneArg(
                        protocol, st->str._get_close_waiter, op->owner),
                    ret);
}

static const await_kind wait_closed_kind = {
    .name = "wait_closed",
    .qualname = "StreamWriter.wait_closed",
    .poll = wait_closed_poll,
};

PyDoc_STRVAR(wait_closed_doc, "wait_closed($self, /)\n--\n\n\
Wait until the stream is closed.\n\n\
Raises the exception that the connection was lost with, if any.");

static PyObject *
writer_wait_closed(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(self), &wait_closed_kind, self, args,
                           nargs, kwnames);
}

/* ---- start_tls() -------------------------------------------------------- */

/* op->a: the ssl context; op->b: the keyword arguments; op->c: the protocol.
 */
enum start_tls_step {
    START_TLS_START,
    START_TLS_DRAINED,
    START_TLS_DONE,
};

static await_status
start_tls_drain(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    StreamWriterObject *writer = writer_of(op);
    if (!ouro_writer_complete(writer)) {
        return AWAIT_ERROR;
    }
    op->c = Py_NewRef(writer->protocol);
    PyObject *callback = PyObject_GetAttr(op->c, st->str._client_connected_cb);
    if (callback == NULL
        || PyDict_SetItemString(op->b, "server_side",
                                callback != Py_None ? Py_True : Py_False)
               < 0) {
        Py_XDECREF(callback);
        return AWAIT_ERROR;
    }
    Py_DECREF(callback);
    op->step = START_TLS_DRAINED;
    return delegate(PyObject_CallMethodNoArgs(op->owner, st->str.drain), ret);
}

static await_status
start_tls_call(AwaitObject *op, PyObject **ret)
{
    StreamWriterObject *writer = writer_of(op);
    PyObject *method = PyObject_GetAttrString(writer->loop, "start_tls");
    PyObject *args = PyTuple_Pack(3, writer->transport, op->c, op->a);
    PyObject *awaitable = method == NULL || args == NULL
                              ? NULL
                              : PyObject_Call(method, args, op->b);
    Py_XDECREF(method);
    Py_XDECREF(args);
    op->step = START_TLS_DONE;
    return delegate(awaitable, ret);
}

static await_status
start_tls_finish(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    PyObject *transport = Py_NewRef(op->value);
    Py_XSETREF(writer_of(op)->transport, Py_NewRef(transport));
    int result =
        st->has.streams.replaces_transport
            ? ouro_streams_call(op->c, st->str._replace_transport, transport)
            : ouro_streams_call(op->c, st->str._replace_writer, op->owner);
    Py_DECREF(transport);
    return result < 0 ? AWAIT_ERROR : return_none(ret);
}

static await_status
start_tls_poll(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    switch (op->step) {
    case START_TLS_START:
        return start_tls_drain(st, op, ret);
    case START_TLS_DRAINED:
        return start_tls_call(op, ret);
    default:
        return start_tls_finish(st, op, ret);
    }
}

static const await_kind start_tls_kind = {
    .name = "start_tls",
    .qualname = "StreamWriter.start_tls",
    .poll = start_tls_poll,
};

/* The keyword arguments for loop.start_tls(): all but server_side, which
 * comes first there. */
static PyObject *
start_tls_keywords(const ouro_signature *signature, PyObject **given)
{
    PyObject *keywords = PyDict_New();
    for (int i = 1; keywords != NULL && signature->names[i] != NULL; i++) {
        if (PyDict_SetItemString(keywords, signature->names[i],
                                 given[i] != NULL ? given[i] : Py_None)
            < 0) {
            Py_CLEAR(keywords);
        }
    }
    return keywords;
}

static PyObject *
start_tls(const ouro_signature *signature, PyObject *self,
          PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *given[4];
    if (ouro_parse(signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    PyObject *keywords = start_tls_keywords(signature, given);
    if (keywords == NULL) {
        return NULL;
    }
    AwaitObject *op =
        ouro_await_new(ouro_state_of(self), &start_tls_kind, self);
    if (op == NULL) {
        Py_DECREF(keywords);
        return NULL;
    }
    op->a = Py_NewRef(given[0]);
    op->b = keywords;
    return (PyObject *)op;
}

#define START_TLS_TEXT                                                        \
    "Upgrade the connection to TLS.\n\n"                                      \
    "Waits until all that was written has been sent, and for the handshake."

/* 3.11 */
static const ouro_signature start_tls_signature_311 = {
    .qualname = "StreamWriter.start_tls",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"sslcontext", "server_hostname", "ssl_handshake_timeout", NULL},
};

static PyObject *
writer_start_tls_311(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return start_tls(&start_tls_signature_311, self, args, nargs, kwnames);
}

static const ouro_async_def start_tls_311[] = {
    {"start_tls", writer_start_tls_311,
     "start_tls($self, /, sslcontext, *, server_hostname=None,\n"
     "          ssl_handshake_timeout=None)\n--\n\n" START_TLS_TEXT},
    {NULL},
};

static const ouro_signature start_tls_signature = {
    .qualname = "StreamWriter.start_tls",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"sslcontext", "server_hostname", "ssl_handshake_timeout",
              "ssl_shutdown_timeout", NULL},
};

static PyObject *
writer_start_tls(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    return start_tls(&start_tls_signature, self, args, nargs, kwnames);
}

static const ouro_async_def start_tls_312[] = {
    {"start_tls", writer_start_tls,
     "start_tls($self, /, sslcontext, *, server_hostname=None,\n"
     "          ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n"
     "--\n\n" START_TLS_TEXT},
    {NULL},
};

int
ouro_writer_add_start_tls(ouro_state *st, PyTypeObject *type)
{
    return ouro_add_async_methods(
        st, type,
        st->has.streams.tls_shutdown_timeout ? start_tls_312 : start_tls_311);
}

const ouro_async_def ouro_writer_async_methods[] = {
    {"drain", writer_drain, drain_doc},
    {"wait_closed", writer_wait_closed, wait_closed_doc},
    {NULL},
};
