/* open.c - open_connection, start_server, and the two for Unix sockets: a
 * reader, a protocol and a writer around what the loop's methods make.
 */
#include "base/rooms.h"
#include "streams/protocol.h"
#include "streams/writer.h"
#include "task/host.h"

/* op->owner: the module; op->a: the call's arguments, see below. */
enum open_step {
    OPEN_START,
    OPEN_WAITING, /* for the loop's method */
};

/* What the four functions have in common. */
typedef struct open_kind {
    await_kind await; /* first: ouro_await_kind(op) points at it */
    ouro_signature signature;
    bool serves;        /* takes a client_connected_cb */
    const char *method; /* the loop's */
} open_kind;

static const open_kind *
kind_of(AwaitObject *op)
{
    return (const open_kind *)ouro_await_kind(op);
}

/* The arguments are kept as the tuple of those for the loop's method (with
 * None in the place of the factory), the keywords, the limit, and the
 * callback. */
enum { ARGS_POSITIONAL, ARGS_KEYWORDS, ARGS_LIMIT, ARGS_CALLBACK };

static PyObject *
argument(AwaitObject *op, int which)
{
    return PyTuple_GET_ITEM(op->a, which);
}

/* loop.method(factory, ..., **kwds) */
static PyObject *
call_loop(AwaitObject *op, PyObject *loop, PyObject *factory)
{
    PyObject *method = PyObject_GetAttrString(loop, kind_of(op)->method);
    PyObject *args = PySequence_List(argument(op, ARGS_POSITIONAL));
    PyObject *result = NULL;
    if (method != NULL && args != NULL
        && PyList_SetItem(args, 0, Py_NewRef(factory)) == 0) {
        Py_SETREF(args, PyList_AsTuple(args));
        if (args != NULL) {
            result = PyObject_Call(method, args, argument(op, ARGS_KEYWORDS));
        }
    }
    Py_XDECREF(method);
    Py_XDECREF(args);
    return result;
}

static await_status
wait_for_loop(AwaitObject *op, PyObject *loop, PyObject *factory,
              PyObject **ret)
{
    if (factory == NULL) {
        return AWAIT_ERROR;
    }
    *ret = call_loop(op, loop, factory);
    Py_DECREF(factory);
    op->step = OPEN_WAITING;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* ---- connections -------------------------------------------------------- */

/* op->b: the reader; op->c: the protocol */

/* The factory of a connection has one protocol to give: itself bound. */
static PyObject *
give_protocol(PyObject *protocol, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(protocol);
}

static PyMethodDef connection_factory = {"<lambda>", give_protocol,
                                         METH_NOARGS, NULL};

static await_status
connect_on(ouro_state *st, AwaitObject *op, PyObject *loop, PyObject **ret)
{
    op->b = ouro_reader_new(st, argument(op, ARGS_LIMIT), loop);
    op->c =
        op->b == NULL ? NULL : ouro_stream_protocol_new(st, op->b, NULL, loop);
    return op->c == NULL
               ? AWAIT_ERROR
               : wait_for_loop(
                   op, loop, PyCFunction_New(&connection_factory, op->c), ret);
}

/* transport, _ = op->value: a new reference. */
static PyObject *
made_transport(AwaitObject *op)
{
    PyObject *pair = PySequence_Tuple(op->value);
    PyObject *transport = NULL;
    if (pair != NULL && PyTuple_GET_SIZE(pair) == 2) {
        transport = Py_NewRef(PyTuple_GET_ITEM(pair, 0));
    }
    else if (pair != NULL) {
        PyErr_Format(PyExc_ValueError,
                     "%s() must return (transport, protocol)",
                     kind_of(op)->method);
    }
    Py_XDECREF(pair);
    return transport;
}

static await_status
connected(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    PyObject *transport = made_transport(op);
    if (transport == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *writer =
        ouro_writer_new(st, transport, op->c, op->b, ouro_flow(op->c)->loop);
    Py_DECREF(transport);
    if (writer == NULL) {
        return AWAIT_ERROR;
    }
    *ret = PyTuple_Pack(2, op->b, writer);
    Py_DECREF(writer);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

/* ---- servers ------------------------------------------------------------ */

/* The factory of a server makes a reader and a protocol for each connection;
 * it is bound to (module, callback, limit, loop). */
static PyObject *
make_protocol(PyObject *bound, PyObject *Py_UNUSED(none))
{
    ouro_state *st = ouro_module_state(PyTuple_GET_ITEM(bound, 0));
    PyObject *callback = PyTuple_GET_ITEM(bound, 1);
    PyObject *loop = PyTuple_GET_ITEM(bound, 3);
    PyObject *reader = ouro_reader_new(st, PyTuple_GET_ITEM(bound, 2), loop);
    if (reader == NULL) {
        return NULL;
    }
    PyObject *protocol = ouro_stream_protocol_new(
        st, reader, callback == Py_None ? NULL : callback, loop);
    Py_DECREF(reader);
    return protocol;
}

static PyMethodDef server_factory = {"factory", make_protocol, METH_NOARGS,
                                     NULL};

static await_status
serve_on(AwaitObject *op, PyObject *loop, PyObject **ret)
{
    PyObject *bound = PyTuple_Pack(4, op->owner, argument(op, ARGS_CALLBACK),
                                   argument(op, ARGS_LIMIT), loop);
    PyObject *factory =
        bound == NULL ? NULL : PyCFunction_New(&server_factory, bound);
    Py_XDECREF(bound);
    return wait_for_loop(op, loop, factory, ret);
}

/* ---- the four functions ------------------------------------------------- */

static await_status
open_start(ouro_state *st, AwaitObject *op, PyObject **ret)
{
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return AWAIT_ERROR;
    }
    await_status status = kind_of(op)->serves ? serve_on(op, loop, ret)
                                              : connect_on(st, op, loop, ret);
    Py_DECREF(loop);
    return status;
}

static await_status
open_poll(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    if (op->step == OPEN_START) {
        return open_start(st, op, ret);
    }
    if (!kind_of(op)->serves) {
        return connected(st, op, ret);
    }
    *ret = Py_NewRef(op->value);
    return AWAIT_RETURN;
}

static const open_kind open_connection_kind = {
    .await =
        {
            .name = "open_connection",
            .qualname = "open_connection",
            .poll = open_poll,
        },
    .signature =
        {
            .qualname = "open_connection",
            .positional = 2,
            .names = {"host", "port", "limit", NULL},
            .varkeywords = true,
        },
    .method = "create_connection",
};

static const open_kind open_unix_connection_kind = {
    .await =
        {
            .name = "open_unix_connection",
            .qualname = "open_unix_connection",
            .poll = open_poll,
        },
    .signature =
        {
            .qualname = "open_unix_connection",
            .positional = 1,
            .names = {"path", "limit", NULL},
            .varkeywords = true,
        },
    .method = "create_unix_connection",
};

static const open_kind start_server_kind = {
    .await =
        {
            .name = "start_server",
            .qualname = "start_server",
            .poll = open_poll,
        },
    .signature =
        {
            .qualname = "start_server",
            .positional = 3,
            .required = 1,
            .names = {"client_connected_cb", "host", "port", "limit", NULL},
            .varkeywords = true,
        },
    .serves = true,
    .method = "create_server",
};

static const open_kind start_unix_server_kind = {
    .await =
        {
            .name = "start_unix_server",
            .qualname = "start_unix_server",
            .poll = open_poll,
        },
    .signature =
        {
            .qualname = "start_unix_server",
            .positional = 2,
            .required = 1,
            .names = {"client_connected_cb", "path", "limit", NULL},
            .varkeywords = true,
        },
    .serves = true,
    .method = "create_unix_server",
};

/* (None, host, port) or (None, path): given are the signature's, of which the
 * last is the limit. */
static PyObject *
positional_arguments(const open_kind *kind, PyObject **given)
{
    int first = kind->serves ? 1 : 0;
    int count = kind->signature.positional - first;
    PyObject *tuple = PyTuple_New(1 + count);
    if (tuple == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(tuple, 0, Py_NewRef(Py_None));
    for (int i = 0; i < count; i++) {
        PyTuple_SET_ITEM(tuple, 1 + i,
                         Py_NewRef(ouro_or_none(given[first + i])));
    }
    return tuple;
}

static PyObject *
pack_arguments(const open_kind *kind, PyObject **given,
               PyObject *const *keyword_values, PyObject *kwnames)
{
    PyObject *limit = given[kind->signature.positional];
    PyObject *packed = NULL;
    PyObject *positional = positional_arguments(kind, given);
    PyObject *keywords =
        ouro_keywords(&kind->signature, keyword_values, kwnames);
    limit = limit != NULL ? Py_NewRef(limit)
                          : PyLong_FromLong(STREAM_DEFAULT_LIMIT);
    if (positional != NULL && keywords != NULL && limit != NULL) {
        packed = PyTuple_Pack(4, positional, keywords, limit,
                              kind->serves ? given[0] : Py_None);
    }
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    Py_XDECREF(limit);
    return packed;
}

static PyObject *
open_call(const open_kind *kind, PyObject *module, PyObject *const *args,
          Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *given[4];
    if (ouro_parse(&kind->signature, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    PyObject *packed = pack_arguments(kind, given, args + nargs, kwnames);
    if (packed == NULL) {
        return NULL;
    }
    AwaitObject *op =
        ouro_await_new(ouro_module_state(module), &kind->await, module);
    if (op == NULL) {
        Py_DECREF(packed);
        return NULL;
    }
    op->a = packed;
    return (PyObject *)op;
}

PyDoc_STRVAR(open_connection_doc, "\
open_connection(host=None, port=None, *, limit=65536, **kwds)\n--\n\n\
Connect to a TCP server; return a (StreamReader, StreamWriter) pair.\n\n\
limit, in bytes, is the reader's.  The other arguments are those of\n\
loop.create_connection(), all but the protocol's factory.  Raises OSError\n\
if the connection cannot be made.");

static PyObject *
open_connection(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    return open_call(&open_connection_kind, module, args, nargs, kwnames);
}

PyDoc_STRVAR(open_unix_connection_doc, "\
open_unix_connection(path=None, *, limit=65536, **kwds)\n--\n\n\
As open_connection(), to a Unix socket.");

static PyObject *
open_unix_connection(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    return open_call(&open_unix_connection_kind, module, args, nargs, kwnames);
}

PyDoc_STRVAR(start_server_doc, "\
start_server(client_connected_cb, host=None, port=None, *, limit=65536,\n\
             **kwds)\n--\n\n\
Start a TCP server; return it, as loop.create_server() does.\n\n\
client_connected_cb(reader, writer) is called for each connection.  If it\n\
returns a coroutine, that becomes a task.  limit, in bytes, is that of the\n\
readers.  The other arguments are those of loop.create_server().");

static PyObject *
start_server(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return open_call(&start_server_kind, module, args, nargs, kwnames);
}

PyDoc_STRVAR(start_unix_server_doc, "\
start_unix_server(client_connected_cb, path=None, *, limit=65536, **kwds)\n\
--\n\n\
As start_server(), on a Unix socket.");

static PyObject *
start_unix_server(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    return open_call(&start_unix_server_kind, module, args, nargs, kwnames);
}

static const ouro_async_def open_functions[] = {
    {"open_connection", open_connection, open_connection_doc},
    {"open_unix_connection", open_unix_connection, open_unix_connection_doc},
    {"start_server", start_server, start_server_doc},
    {"start_unix_server", start_unix_server, start_unix_server_doc},
    {NULL},
};

int
ouro_open_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_async_functions(st, module, open_functions);
}
