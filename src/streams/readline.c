/* readline.c - the coroutines of a StreamReader that look for separators:
 * readuntil, readline, and __anext__, which is readline for `async for`.
 *
 * op->n: up to where there is no separator in the buffer; op->a: the
 * separators, NULL for a newline.
 */
#include "streams/readops_impl.h"
#include "streams/search.h"

static const readop_kind readuntil_kind, readline_method_kind,
    anext_method_kind;

/* ---- readuntil() and readline() ----------------------------------------- */

static await_status
raise_overrun(AwaitObject *op, const char *message, Py_ssize_t consumed)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    PyObject *error = PyObject_CallFunction(st->stock.LimitOverrunError, "sn",
                                            message, consumed);
    if (error != NULL) {
        ouro_raise(error);
        Py_DECREF(error);
    }
    return AWAIT_ERROR;
}

/* readline(): LimitOverrunError(message, consumed) is current.  Throw the
 * line away, or what there is of it, and raise ValueError(message). */
static await_status
line_overrun(AwaitObject *op)
{
    StreamReaderObject *reader = reader_of(op);
    PyObject *error = PyErr_GetRaisedException();
    PyObject *args = NULL, *message = NULL;
    PyObject *consumed = PyObject_GetAttrString(error, "consumed");
    Py_ssize_t at = consumed == NULL ? -1 : PyLong_AsSsize_t(consumed);
    Py_ssize_t size = (Py_ssize_t)ouro_reader_size(reader);
    if (PyErr_Occurred()) {
        goto done;
    }
    bool ends = at >= 0 && at < size && ouro_reader_start(reader)[at] == '\n';
    if (ouro_reader_skip(reader, (size_t)(ends ? at + 1 : size)) < 0
        || ouro_readop_maybe_resume(op) < 0) {
        goto done;
    }
    args = PyObject_GetAttrString(error, "args");
    message = args == NULL ? NULL : PySequence_GetItem(args, 0);
    if (message != NULL) {
        PyErr_SetObject(PyExc_ValueError, message);
        PyObject *raised = PyErr_GetRaisedException();
        PyException_SetContext(raised, Py_NewRef(error));
        PyErr_SetRaisedException(raised);
    }
done:
    Py_XDECREF(message);
    Py_XDECREF(args);
    Py_XDECREF(consumed);
    Py_DECREF(error);
    return AWAIT_ERROR;
}

static await_status
until_overrun(AwaitObject *op, const char *message, Py_ssize_t consumed)
{
    raise_overrun(op, message, consumed);
    bool line = ouro_await_kind(op) != &readuntil_kind.await;
    ouro_state *st = ouro_state_of((PyObject *)op);
    if (line && PyErr_ExceptionMatches(st->stock.LimitOverrunError)) {
        line_overrun(op);
    }
    return AWAIT_ERROR;
}

static await_status
until_ended(AwaitObject *op, PyObject **ret)
{
    if (ouro_await_kind(op) == &readuntil_kind.await) {
        return ouro_readop_incomplete(op, Py_None);
    }
    *ret = ouro_readop_partial(op);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static search_result
search(AwaitObject *op, const char *data, size_t size, search_match *match)
{
    match->offset = op->n;
    return ouro_search(op->a, data, (Py_ssize_t)size, reader_of(op)->limit,
                       match);
}

static await_status
until_look(AwaitObject *op, PyObject **ret)
{
    StreamReaderObject *reader = reader_of(op);
    search_match match;
    switch (search(op, ouro_reader_start(reader), ouro_reader_size(reader),
                   &match)) {
    case SEARCH_FOUND:
        if (match.start > reader->limit) {
            return until_overrun(
                op, "Separator is found, but chunk is longer than limit",
                match.start);
        }
        return ouro_readop_return(op, (size_t)match.end, ret);
    case SEARCH_OVERRUN:
        return until_overrun(
            op, "Separator is not found, and chunk exceed the limit",
            match.offset);
    case SEARCH_MORE:
        break;
    }
    op->n = match.offset;
    return reader->eof ? until_ended(op, ret)
                       : ouro_readop_wait(op, "readuntil", ret);
}

/* Make of the argument what ouro_search() takes. */
static int
readuntil_start(AwaitObject *op)
{
    if (op->a == NULL
        || (PyBytes_CheckExact(op->a) && PyBytes_GET_SIZE(op->a) > 0)) {
        return ouro_readop_raises(op) ? -1 : 0;
    }
    PyObject *sorted =
        ouro_separators_sorted(ouro_state_of((PyObject *)op), op->a);
    if (sorted == NULL) {
        return -1;
    }
    PyObject *separators =
        ouro_readop_raises(op) ? NULL : ouro_separators_bytes(sorted);
    Py_DECREF(sorted);
    Py_SETREF(op->a, separators);
    return separators == NULL ? -1 : 0;
}

static await_status
readuntil_poll(AwaitObject *op, PyObject **ret)
{
    switch (op->step) {
    case READ_START:
        if (readuntil_start(op) < 0) {
            return AWAIT_ERROR;
        }
        if (ouro_readop_is_claimed(op)) {
            return ouro_readop_wait(op, "readuntil", ret);
        }
        break;
    case READ_SATISFIED:
        return ouro_readop_return_copy(op, ret);
    default:
        ouro_readop_unpark(op);
    }
    return until_look(op, ret);
}

/* readline() is readuntil(b'\n') with other errors. */
static await_status
readline_by_method(AwaitObject *op, PyObject **ret)
{
    PyObject *line = PyObject_CallMethod(op->owner, "readuntil", "y", "\n");
    ouro_await_set_kind(op, &readline_method_kind.await);
    return ouro_readop_delegate(op, line, ret);
}

static await_status
readline_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == READ_START && !readop_is_plain(op)) {
        return readline_by_method(op, ret);
    }
    return readuntil_poll(op, ret);
}

static await_status
readline_method_abort(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    if (PyErr_ExceptionMatches(st->stock.LimitOverrunError)) {
        return line_overrun(op);
    }
    if (!PyErr_ExceptionMatches(st->stock.IncompleteReadError)) {
        return AWAIT_ERROR;
    }
    PyObject *error = PyErr_GetRaisedException();
    *ret = PyObject_GetAttrString(error, "partial");
    Py_DECREF(error);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

/* ---- async for ---------------------------------------------------------- */

/* An empty line is the end. */
static await_status
stop_if_empty(await_status status, PyObject **ret)
{
    if (status == AWAIT_RETURN && PyBytes_Check(*ret)
        && PyBytes_GET_SIZE(*ret) == 0) {
        Py_CLEAR(*ret);
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return AWAIT_ERROR;
    }
    return status;
}

static await_status
anext_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == READ_START && !readop_is_plain(op)) {
        ouro_await_set_kind(op, &anext_method_kind.await);
        return ouro_readop_delegate(
            op, PyObject_CallMethod(op->owner, "readline", NULL), ret);
    }
    return stop_if_empty(readuntil_poll(op, ret), ret);
}

static await_status
anext_method_poll(AwaitObject *op, PyObject **ret)
{
    return stop_if_empty(ouro_readop_return_value(op, ret), ret);
}

/* ---- the methods -------------------------------------------------------- */

static readop_answer
offer_line(AwaitObject *op, const char *data, size_t size, size_t *ret_used)
{
    search_match match;
    switch (search(op, data, size, &match)) {
    case SEARCH_FOUND:
        return match.start > reader_of(op)->limit
                   ? READOP_WAKE
                   : ouro_readop_copy(op, data, (size_t)match.end, ret_used);
    case SEARCH_OVERRUN:
        return READOP_WAKE;
    case SEARCH_MORE:
        break;
    }
    op->n = match.offset;
    return READOP_WAIT;
}

READOP_KIND(readuntil_kind, "readuntil", readuntil_poll, ouro_readop_abort,
            offer_line, &ouro_readop_wait_kind);
READOP_KIND(readline_kind, "readline", readline_poll, ouro_readop_abort,
            offer_line, &readuntil_kind.await);
READOP_KIND(readline_method_kind, "readline", ouro_readop_return_value,
            readline_method_abort, NULL, NULL);
READOP_KIND(anext_kind, "__anext__", anext_poll, ouro_readop_abort, offer_line,
            &readline_kind.await);
READOP_KIND(anext_method_kind, "__anext__", anext_method_poll, NULL, NULL,
            NULL);

PyDoc_STRVAR(readuntil_doc, "readuntil($self, /, separator=b'\\n')\n--\n\n\
Read until separator is found, and return the data with it.\n\n\
From Python 3.13 separator may be a tuple: what ends first wins.  Raises\n\
IncompleteReadError if the stream ends before, LimitOverrunError if there\n\
are more bytes than the stream's limit before the separator: they are left\n\
in the buffer.  Raises ValueError if the separator is empty.");

static const ouro_signature readuntil_signature = {
    .qualname = "StreamReader.readuntil",
    .skip_self = 1,
    .positional = 1,
    .names = {"separator", NULL},
};

static PyObject *
reader_readuntil(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *separator;
    if (ouro_parse_one(&readuntil_signature, args, nargs, kwnames, &separator)
        < 0) {
        return NULL;
    }
    AwaitObject *op = ouro_readop_new(self, &readuntil_kind);
    if (op != NULL) {
        op->a = Py_XNewRef(separator);
    }
    return (PyObject *)op;
}

PyDoc_STRVAR(readline_doc, "readline($self, /)\n--\n\n\
Read a line, with the newline that ends it.\n\n\
At the end of the stream, return what there is: an incomplete line or an\n\
empty bytes object.  Raises ValueError for a line that is longer than the\n\
stream's limit, which is thrown away.");

static PyObject *
reader_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse_none("StreamReader.readline", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return (PyObject *)ouro_readop_new(self, &readline_kind);
}

PyObject *
ouro_reader_anext(PyObject *self)
{
    return (PyObject *)ouro_readop_new(self, &anext_kind);
}

static PyObject *
reader_anext(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    if (ouro_parse_none("StreamReader.__anext__", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return ouro_reader_anext(self);
}

const ouro_async_def ouro_readline_methods[] = {
    {"readuntil", reader_readuntil, readuntil_doc},
    {"readline", reader_readline, readline_doc},
    {"__anext__", reader_anext, "__anext__($self, /)\n--\n\n"},
    {NULL},
};
