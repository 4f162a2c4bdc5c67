/* readops.c - the coroutines of a StreamReader: read, readexactly, readuntil,
 * readline.
 *
 * Each looks at the buffer and either takes what it wants or parks itself in
 * the reader until more has come.  Received bytes are then first offered to
 * the parked coroutine, which copies what it wants straight from where they
 * were received.
 *
 * On a reader that is not plain (a subclass, or something is patched) they
 * call the methods that asyncio's call.
 */
#include "streams/readops.h"

#include "base/args.h"
#include "streams/common.h"
#include "streams/search.h"
#include "task/future.h"

enum read_step {
    READ_START,
    READ_PARKED,    /* waits for the reader's waiter, which is ours */
    READ_SATISFIED, /* parked, and the result is in op->c */
    READ_DELEGATED, /* waits for what a method has returned */
    READ_DONE,
};

/* op->n of read and readexactly: how much is wanted; op->a: the argument, if
 * it is no small int.  op->n of readuntil: up to where there is no separator
 * in the buffer; op->a: the separators, NULL for a newline. */

static const await_kind read_kind, read_all_kind, read_blocks_kind,
    readexactly_kind, readuntil_kind, readline_kind, readline_method_kind,
    anext_kind, anext_method_kind, wait_for_data_kind;

static StreamReaderObject *
reader_of(AwaitObject *op)
{
    return (StreamReaderObject *)op->owner;
}

/* ---- waiting -------------------------------------------------------------- */

static int
check_may_wait(ouro_state *st, StreamReaderObject *reader,
               const char *function)
{
    if (reader->waiter != NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "%s() called while another coroutine is already waiting "
                     "for incoming data",
                     function);
        return -1;
    }
    return ouro_streams_assert(st, !reader->eof, "_wait_for_data after EOF");
}

/* The body of _wait_for_data(). */
static await_status
park(ouro_state *st, AwaitObject *op, const char *function, PyObject **ret)
{
    StreamReaderObject *reader = reader_of(op);
    if (check_may_wait(st, reader, function) < 0
        /* Waiting while the transport is paused would be for ever. */
        || (reader->paused && ouro_reader_resume(st, reader) < 0)) {
        return AWAIT_ERROR;
    }
    *ret = ouro_create_future(st, reader->loop);
    if (*ret == NULL) {
        return AWAIT_ERROR;
    }
    if (stream_buffer_size(&reader->buffer) == 0) {
        stream_buffer_free(&reader->buffer);
    }
    ouro_reader_set_waiter(reader, *ret, op);
    op->step = READ_PARKED;
    return AWAIT_FUTURE;
}

/* Go on with what a method of the reader returns. */
static await_status
delegate(AwaitObject *op, PyObject *awaitable, PyObject **ret)
{
    *ret = awaitable;
    op->step = READ_DELEGATED;
    return awaitable == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
wait_for_data(AwaitObject *op, const char *function, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    if (ouro_reader_plain(st, reader_of(op))) {
        return park(st, op, function, ret);
    }
    return delegate(op,
                    PyObject_CallMethod(op->owner, "_wait_for_data", "s",
                                        function),
                    ret);
}

/* It has been woken, or an exception has arrived: nobody waits any more. */
static void
unpark(AwaitObject *op)
{
    if (op->step == READ_PARKED) {
        ouro_reader_set_waiter(reader_of(op), NULL, NULL);
    }
}

static await_status
read_abort(AwaitObject *op, PyObject **Py_UNUSED(ret))
{
    PyObject *error = PyErr_GetRaisedException();
    ouro_readop_recall(op);
    unpark(op);
    PyErr_SetRaisedException(error);
    return AWAIT_ERROR;
}

void
ouro_readop_recall(AwaitObject *op)
{
    if (op->step != READ_SATISFIED) {
        return;
    }
    if (ouro_reader_put_back(reader_of(op), op->c) < 0) {
        PyErr_Clear(); /* no memory: then it keeps what it has */
        return;
    }
    Py_CLEAR(op->c);
    op->step = READ_PARKED;
}

/* ---- ending --------------------------------------------------------------- */

static int
maybe_resume(AwaitObject *op)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    return ouro_reader_plain(st, reader_of(op))
               ? ouro_reader_maybe_resume(st, reader_of(op))
               : ouro_streams_call(op->owner, st->str._maybe_resume_transport,
                                   NULL);
}

/* Return the first `size` bytes of the buffer. */
static await_status
return_bytes(AwaitObject *op, size_t size, PyObject **ret)
{
    *ret = ouro_reader_take(reader_of(op), size);
    if (*ret == NULL) {
        return AWAIT_ERROR;
    }
    if (maybe_resume(op) < 0) {
        Py_CLEAR(*ret);
        return AWAIT_ERROR;
    }
    return AWAIT_RETURN;
}

static await_status
return_nothing(PyObject **ret)
{
    *ret = PyBytes_FromStringAndSize(NULL, 0);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

/* Return what has been copied from received bytes. */
static await_status
return_copied(AwaitObject *op, PyObject **ret)
{
    *ret = op->c;
    op->c = NULL;
    op->step = READ_DONE;
    return AWAIT_RETURN;
}

/* The stream has ended in the middle: all that there is, taken away. */
static PyObject *
take_partial(AwaitObject *op)
{
    StreamReaderObject *reader = reader_of(op);
    return ouro_reader_take(reader, ouro_reader_size(reader));
}

static await_status
raise_incomplete(AwaitObject *op, PyObject *expected)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    PyObject *partial = take_partial(op);
    if (partial != NULL) {
        PyObject *error = PyObject_CallFunctionObjArgs(
            st->stock.IncompleteReadError, partial, expected, NULL);
        if (error != NULL) {
            ouro_raise(error);
            Py_DECREF(error);
        }
        Py_DECREF(partial);
    }
    return AWAIT_ERROR;
}

/* The reader has failed: who reads is told. */
static bool
raises(AwaitObject *op)
{
    PyObject *exception = reader_of(op)->exception;
    if (exception == NULL) {
        return false;
    }
    ouro_streams_raise(exception);
    return true;
}

/* ---- read(n) and readexactly(n) -------------------------------------------- */

/* Compare a count that may be any object with zero: 1, 0, -1. */
static int
count_is(PyObject *count, int op)
{
    PyObject *zero = PyLong_FromLong(0);
    int result =
        zero == NULL ? -1 : PyObject_RichCompareBool(count, zero, op);
    Py_XDECREF(zero);
    return result;
}

/* Make an int of a count that is something else: only the sign counts if it
 * is out of range. */
static int
convert_count(AwaitObject *op)
{
    PyObject *count = op->a;
    int negative;
    if (count == NULL) {
        return 0;
    }
    negative = count_is(count, Py_LT);
    if (negative != 0) {
        op->n = -1;
        return negative < 0 ? -1 : 0;
    }
    if (!PyIndex_Check(count)) {
        PyErr_SetString(PyExc_TypeError,
                        "slice indices must be integers or None or have an "
                        "__index__ method");
        return -1;
    }
    op->n = PyNumber_AsSsize_t(count, NULL);
    return op->n == -1 && PyErr_Occurred() ? -1 : 0;
}

static await_status read_all_start(AwaitObject *op, PyObject **ret);

static await_status
read_poll(AwaitObject *op, PyObject **ret)
{
    StreamReaderObject *reader = reader_of(op);
    size_t size;
    switch (op->step) {
    case READ_START:
        if (raises(op) || convert_count(op) < 0) {
            return AWAIT_ERROR;
        }
        if (op->n == 0) {
            return return_nothing(ret);
        }
        if (op->n < 0) {
            return read_all_start(op, ret);
        }
        if (ouro_reader_size(reader) == 0 && !reader->eof) {
            return wait_for_data(op, "read", ret);
        }
        break;
    case READ_SATISFIED:
        return return_copied(op, ret);
    default:
        unpark(op);
    }
    size = ouro_reader_size(reader);
    return return_bytes(op, Py_MIN(size, (size_t)op->n), ret);
}

static readop_answer
copy_offered(AwaitObject *op, const char *data, size_t size,
             size_t *ret_used)
{
    op->c = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    if (op->c == NULL) {
        return READOP_FAIL;
    }
    op->step = READ_SATISFIED;
    *ret_used = size;
    return READOP_SATISFIED;
}

/* readexactly(): `expected` in its error. */
static PyObject *
wanted_count(AwaitObject *op)
{
    return op->a != NULL ? Py_NewRef(op->a) : PyLong_FromSsize_t(op->n);
}

static await_status
readexactly_ended(AwaitObject *op)
{
    PyObject *expected = wanted_count(op);
    if (expected != NULL) {
        raise_incomplete(op, expected);
        Py_DECREF(expected);
    }
    return AWAIT_ERROR;
}

static int
readexactly_start(AwaitObject *op)
{
    if (convert_count(op) < 0) {
        return -1;
    }
    if (op->n < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "readexactly size can not be less than zero");
        return -1;
    }
    return raises(op) ? -1 : 0;
}

static await_status
readexactly_poll(AwaitObject *op, PyObject **ret)
{
    StreamReaderObject *reader = reader_of(op);
    switch (op->step) {
    case READ_START:
        if (readexactly_start(op) < 0) {
            return AWAIT_ERROR;
        }
        if (op->n == 0) {
            return return_nothing(ret);
        }
        break;
    case READ_SATISFIED:
        return return_copied(op, ret);
    default:
        unpark(op);
    }
    if (ouro_reader_size(reader) >= (size_t)op->n) {
        return return_bytes(op, (size_t)op->n, ret);
    }
    return reader->eof ? readexactly_ended(op)
                       : wait_for_data(op, "readexactly", ret);
}

/* ---- read(-1) ------------------------------------------------------------- */

/* What has been read so far is in op->c, a bytes object that is cut to its
 * length (op->n) at the end. */
static int
collect(AwaitObject *op, size_t size)
{
    size_t need = (size_t)op->n + size;
    size_t room = op->c == NULL ? 0 : (size_t)PyBytes_GET_SIZE(op->c);
    if (op->c == NULL) {
        op->c = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)need);
    }
    else if (need > room) {
        _PyBytes_Resize(&op->c, (Py_ssize_t)Py_MAX(need, 2 * room));
    }
    if (op->c == NULL) {
        return -1;
    }
    memcpy(PyBytes_AS_STRING(op->c) + op->n,
           ouro_reader_start(reader_of(op)), size);
    op->n = (Py_ssize_t)need;
    return ouro_reader_skip(reader_of(op), size);
}

static await_status
return_collected(AwaitObject *op, PyObject **ret)
{
    if (op->c == NULL) {
        return return_nothing(ret);
    }
    if (op->n < PyBytes_GET_SIZE(op->c)
        && _PyBytes_Resize(&op->c, op->n) < 0) {
        return AWAIT_ERROR;
    }
    return return_copied(op, ret);
}

/* asyncio's reads until a read brings nothing, which is at the end or if
 * somebody else has taken what this one was woken for. */
static await_status
read_all_poll(AwaitObject *op, PyObject **ret)
{
    StreamReaderObject *reader = reader_of(op);
    bool looks_first = op->step == READ_START;
    unpark(op);
    for (;;) {
        if (looks_first && raises(op)) {
            return AWAIT_ERROR;
        }
        size_t size = ouro_reader_size(reader);
        if (looks_first && size == 0 && !reader->eof) {
            return wait_for_data(op, "read", ret);
        }
        if (size == 0) {
            return return_collected(op, ret);
        }
        if (collect(op, size) < 0 || maybe_resume(op) < 0) {
            return AWAIT_ERROR;
        }
        looks_first = true;
    }
}

static await_status
read_next_block(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    PyObject *limit = ouro_reader_limit(reader_of(op));
    if (limit == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *block =
        PyObject_CallMethodOneArg(op->owner, st->str.read, limit);
    Py_DECREF(limit);
    return delegate(op, block, ret);
}

/* Where read() may be overridden. op->b: the blocks so far. */
static await_status
read_blocks_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == READ_START) {
        op->b = PyList_New(0);
        return op->b == NULL ? AWAIT_ERROR : read_next_block(op, ret);
    }
    int truth = PyObject_IsTrue(op->value);
    if (truth < 0 || (truth && PyList_Append(op->b, op->value) < 0)) {
        return AWAIT_ERROR;
    }
    if (truth) {
        return read_next_block(op, ret);
    }
    PyObject *nothing = PyBytes_FromStringAndSize(NULL, 0);
    *ret = nothing == NULL ? NULL
                           : PyObject_CallMethod(nothing, "join", "O", op->b);
    Py_XDECREF(nothing);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

static await_status
read_all_start(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    op->kind = ouro_reader_plain(st, reader_of(op)) ? &read_all_kind
                                                    : &read_blocks_kind;
    op->n = 0;
    return op->kind->poll(op, ret);
}

/* ---- readuntil() and readline() --------------------------------------------- */

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
        || maybe_resume(op) < 0) {
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
    bool line = op->kind != &readuntil_kind;
    ouro_state *st = ouro_state_of((PyObject *)op);
    if (line && PyErr_ExceptionMatches(st->stock.LimitOverrunError)) {
        line_overrun(op);
    }
    return AWAIT_ERROR;
}

static await_status
until_ended(AwaitObject *op, PyObject **ret)
{
    if (op->kind == &readuntil_kind) {
        return raise_incomplete(op, Py_None);
    }
    *ret = take_partial(op);
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
        return return_bytes(op, (size_t)match.end, ret);
    case SEARCH_OVERRUN:
        return until_overrun(
            op, "Separator is not found, and chunk exceed the limit",
            match.offset);
    case SEARCH_MORE:
        break;
    }
    op->n = match.offset;
    return reader->eof ? until_ended(op, ret)
                       : wait_for_data(op, "readuntil", ret);
}

/* Make of the argument what ouro_search() takes. */
static int
readuntil_start(AwaitObject *op)
{
    if (op->a == NULL
        || (PyBytes_CheckExact(op->a) && PyBytes_GET_SIZE(op->a) > 0)) {
        return raises(op) ? -1 : 0;
    }
    PyObject *sorted =
        ouro_separators_sorted(ouro_state_of((PyObject *)op), op->a);
    if (sorted == NULL) {
        return -1;
    }
    PyObject *separators =
        raises(op) ? NULL : ouro_separators_bytes(sorted);
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
        break;
    case READ_SATISFIED:
        return return_copied(op, ret);
    default:
        unpark(op);
    }
    return until_look(op, ret);
}

/* readline() is readuntil(b'\n') with other errors. */
static await_status
readline_by_method(AwaitObject *op, PyObject **ret)
{
    PyObject *line =
        PyObject_CallMethod(op->owner, "readuntil", "y", "\n");
    op->kind = &readline_method_kind;
    return delegate(op, line, ret);
}

static await_status
readline_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == READ_START
        && !ouro_reader_plain(ouro_state_of((PyObject *)op), reader_of(op))) {
        return readline_by_method(op, ret);
    }
    return readuntil_poll(op, ret);
}

/* What a method has returned is what this one returns. */
static await_status
return_value(AwaitObject *op, PyObject **ret)
{
    *ret = Py_NewRef(op->value);
    return AWAIT_RETURN;
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
    if (op->step == READ_START
        && !ouro_reader_plain(ouro_state_of((PyObject *)op), reader_of(op))) {
        op->kind = &anext_method_kind;
        return delegate(op, PyObject_CallMethod(op->owner, "readline", NULL),
                        ret);
    }
    return stop_if_empty(readuntil_poll(op, ret), ret);
}

static await_status
anext_method_poll(AwaitObject *op, PyObject **ret)
{
    return stop_if_empty(return_value(op, ret), ret);
}

/* ---- _wait_for_data() ----------------------------------------------------- */

/* op->a: the name of the function to show. */
static await_status
wait_for_data_poll(AwaitObject *op, PyObject **ret)
{
    if (op->step == READ_START) {
        PyObject *name = PyObject_Str(op->a);
        const char *text = name == NULL ? NULL : PyUnicode_AsUTF8(name);
        await_status status =
            text == NULL ? AWAIT_ERROR
                         : park(ouro_state_of((PyObject *)op), op, text, ret);
        Py_XDECREF(name);
        return status;
    }
    unpark(op);
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

/* ---- received bytes --------------------------------------------------------- */

static readop_answer
offer_line(AwaitObject *op, const char *data, size_t size, size_t *ret_used)
{
    search_match match;
    switch (search(op, data, size, &match)) {
    case SEARCH_FOUND:
        return match.start > reader_of(op)->limit
                   ? READOP_WAKE
                   : copy_offered(op, data, (size_t)match.end, ret_used);
    case SEARCH_OVERRUN:
        return READOP_WAKE;
    case SEARCH_MORE:
        break;
    }
    op->n = match.offset;
    return READOP_WAIT;
}

readop_answer
ouro_readop_offer(AwaitObject *op, const char *data, size_t size,
                  size_t *ret_used)
{
    if (op->step != READ_PARKED || op->kind == &wait_for_data_kind) {
        return READOP_WAKE;
    }
    if (op->kind == &read_all_kind) {
        return READOP_WAIT;
    }
    if (op->kind == &read_kind) {
        return copy_offered(op, data, Py_MIN(size, (size_t)op->n), ret_used);
    }
    if (op->kind == &readexactly_kind) {
        return size < (size_t)op->n
                   ? READOP_WAIT
                   : copy_offered(op, data, (size_t)op->n, ret_used);
    }
    return offer_line(op, data, size, ret_used);
}

/* ---- the methods ------------------------------------------------------------ */

#define KIND(variable, method, poll_function, abort_function)                 \
    static const await_kind variable = {                                      \
        .name = method,                                                       \
        .qualname = "StreamReader." method,                                   \
        .poll = poll_function,                                                \
        .abort = abort_function,                                              \
    }

KIND(read_kind, "read", read_poll, read_abort);
KIND(read_all_kind, "read", read_all_poll, read_abort);
KIND(read_blocks_kind, "read", read_blocks_poll, NULL);
KIND(readexactly_kind, "readexactly", readexactly_poll, read_abort);
KIND(readuntil_kind, "readuntil", readuntil_poll, read_abort);
KIND(readline_kind, "readline", readline_poll, read_abort);
KIND(readline_method_kind, "readline", return_value, readline_method_abort);
KIND(anext_kind, "__anext__", anext_poll, read_abort);
KIND(anext_method_kind, "__anext__", anext_method_poll, NULL);
KIND(wait_for_data_kind, "_wait_for_data", wait_for_data_poll, read_abort);

static AwaitObject *
new_op(PyObject *self, const await_kind *kind)
{
    return ouro_await_new(ouro_state_of(self), kind, self);
}

/* read(n) and readexactly(n): n may be any object, looked at later. */
static PyObject *
new_count_op(PyObject *self, const await_kind *kind, PyObject *count)
{
    AwaitObject *op = new_op(self, kind);
    if (op == NULL) {
        return NULL;
    }
    op->n = -1;
    if (count != NULL && PyLong_CheckExact(count)) {
        op->n = PyLong_AsSsize_t(count);
        if (op->n != -1 || !PyErr_Occurred()) {
            return (PyObject *)op;
        }
        PyErr_Clear();
    }
    op->a = Py_XNewRef(count);
    return (PyObject *)op;
}

PyDoc_STRVAR(read_doc, "read($self, /, n=-1)\n--\n\n\
Read up to n bytes from the stream.\n\n\
If n is negative, read until the end of the stream.  If it is 0, return\n\
an empty bytes object at once.  Else return at most n bytes as soon as\n\
there is one; an empty bytes object is the end of the stream.");

static const ouro_signature read_signature = {
    .qualname = "StreamReader.read",
    .skip_self = 1,
    .positional = 1,
    .names = {"n", NULL},
};

static PyObject *
reader_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    PyObject *count;
    if (ouro_parse(&read_signature, args, nargs, kwnames, &count) < 0) {
        return NULL;
    }
    return new_count_op(self, &read_kind, count);
}

PyDoc_STRVAR(readexactly_doc, "readexactly($self, /, n)\n--\n\n\
Read exactly n bytes.\n\n\
Raises IncompleteReadError if the stream ends before; its partial\n\
attribute has the bytes that were there.  Raises ValueError if n is\n\
negative.  The stream's limit does not apply.");

static const ouro_signature readexactly_signature = {
    .qualname = "StreamReader.readexactly",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"n", NULL},
};

static PyObject *
reader_readexactly(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *count;
    if (ouro_parse(&readexactly_signature, args, nargs, kwnames, &count) < 0) {
        return NULL;
    }
    return new_count_op(self, &readexactly_kind, count);
}

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
    if (ouro_parse(&readuntil_signature, args, nargs, kwnames, &separator)
        < 0) {
        return NULL;
    }
    AwaitObject *op = new_op(self, &readuntil_kind);
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

static const ouro_signature readline_signature = {
    .qualname = "StreamReader.readline",
    .skip_self = 1,
    .names = {NULL},
};

static PyObject *
reader_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (ouro_parse(&readline_signature, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    return (PyObject *)new_op(self, &readline_kind);
}

PyObject *
ouro_reader_anext(PyObject *self)
{
    return (PyObject *)new_op(self, &anext_kind);
}

static const ouro_signature anext_signature = {
    .qualname = "StreamReader.__anext__",
    .skip_self = 1,
    .names = {NULL},
};

static PyObject *
reader_anext(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    if (ouro_parse(&anext_signature, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    return ouro_reader_anext(self);
}

static const ouro_signature wait_for_data_signature = {
    .qualname = "StreamReader._wait_for_data",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"func_name", NULL},
};

static PyObject *
reader_wait_for_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    PyObject *name;
    if (ouro_parse(&wait_for_data_signature, args, nargs, kwnames, &name)
        < 0) {
        return NULL;
    }
    AwaitObject *op = new_op(self, &wait_for_data_kind);
    if (op != NULL) {
        op->a = Py_NewRef(name);
    }
    return (PyObject *)op;
}

const ouro_async_def ouro_reader_async_methods[] = {
    {"read", reader_read, read_doc},
    {"readexactly", reader_readexactly, readexactly_doc},
    {"readuntil", reader_readuntil, readuntil_doc},
    {"readline", reader_readline, readline_doc},
    {"__anext__", reader_anext, "__anext__($self, /)\n--\n\n"},
    {"_wait_for_data", reader_wait_for_data,
     "_wait_for_data($self, /, func_name)\n--\n\n"
     "Wait until feed_data() or feed_eof() is called.\n\n"
     "If stream was paused, automatically resume it."},
    {NULL},
};
