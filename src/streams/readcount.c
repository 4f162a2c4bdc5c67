/* readcount.c - the coroutines of a StreamReader that count bytes: read and
 * readexactly.
 *
 * op->n: how many are wanted; op->a: the argument, if it is no small int.
 */
#include "streams/readops_impl.h"

/* ---- read(-1) ----------------------------------------------------------- */

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
    memcpy(PyBytes_AS_STRING(op->c) + op->n, ouro_reader_start(reader_of(op)),
           size);
    op->n = (Py_ssize_t)need;
    return ouro_reader_skip(reader_of(op), size);
}

static await_status
return_collected(AwaitObject *op, PyObject **ret)
{
    if (op->c == NULL) {
        return ouro_readop_return_nothing(ret);
    }
    if (op->n < PyBytes_GET_SIZE(op->c)
        && _PyBytes_Resize(&op->c, op->n) < 0) {
        return AWAIT_ERROR;
    }
    return ouro_readop_return_copy(op, ret);
}

/* asyncio's reads blocks of at most `limit` bytes until one is empty, which
 * is at the end or if somebody else has taken what this one was woken for. */
static await_status
read_all_poll(AwaitObject *op, PyObject **ret)
{
    StreamReaderObject *reader = reader_of(op);
    bool looks_first = op->step == READ_START;
    ouro_readop_unpark(op);
    for (;;) {
        if (looks_first && ouro_readop_raises(op)) {
            return AWAIT_ERROR;
        }
        size_t size = ouro_reader_size(reader);
        if (looks_first
            && ((size == 0 && !reader->eof) || ouro_readop_is_claimed(op))) {
            return ouro_readop_wait(op, "read", ret);
        }
        if (reader->limit > 0) {
            size = Py_MIN(size, (size_t)reader->limit);
        }
        if ((size > 0 && collect(op, size) < 0)
            || ouro_readop_maybe_resume(op) < 0) {
            return AWAIT_ERROR;
        }
        if (size == 0) {
            return return_collected(op, ret);
        }
        looks_first = true;
    }
}

/* All is kept until the end: then it is copied once. */
static readop_answer
read_all_offer(AwaitObject *op, const char *data, size_t size,
               size_t *ret_used)
{
    return READOP_WAIT;
}

/* read(-1) calls read(limit). */
static const await_kind read_block_kind = {
    .name = "read",
    .qualname = "StreamReader.read",
    .inside = &ouro_readop_wait_kind,
};
READOP_KIND(read_all_kind, "read", read_all_poll, ouro_readop_abort,
            read_all_offer, &read_block_kind);

bool
ouro_readop_is_claimed(AwaitObject *op)
{
    AwaitObject *parked = reader_of(op)->parked;
    return parked != NULL && ouro_await_kind(parked) == &read_all_kind.await;
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
    return ouro_readop_delegate(op, block, ret);
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

READOP_KIND(read_blocks_kind, "read", read_blocks_poll, NULL, NULL, NULL);

static await_status
read_all_start(AwaitObject *op, PyObject **ret)
{
    ouro_await_set_kind(op, readop_is_plain(op) ? &read_all_kind.await
                                                : &read_blocks_kind.await);
    op->n = 0;
    return ouro_await_kind(op)->poll(op, ret);
}

/* ---- read(n) and readexactly(n) ----------------------------------------- */

/* Compare a count that may be any object with zero: 1, 0, -1. */
static int
count_is(PyObject *count, int op)
{
    PyObject *zero = PyLong_FromLong(0);
    int result = zero == NULL ? -1 : PyObject_RichCompareBool(count, zero, op);
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
        ouro_state *st = ouro_state_of((PyObject *)op);
        PyErr_SetString(PyExc_TypeError,
                        st->has.streams.takes_bytes
                            ? "n must be an integer or None"
                            : "slice indices must be integers or None or "
                              "have an __index__ method");
        return -1;
    }
    op->n = PyNumber_AsSsize_t(count, NULL);
    return op->n == -1 && PyErr_Occurred() ? -1 : 0;
}

static await_status
read_poll(AwaitObject *op, PyObject **ret)
{
    StreamReaderObject *reader = reader_of(op);
    size_t size;
    switch (op->step) {
    case READ_START:
        if (ouro_readop_raises(op) || convert_count(op) < 0) {
            return AWAIT_ERROR;
        }
        if (op->n == 0) {
            return ouro_readop_return_nothing(ret);
        }
        if (op->n < 0) {
            return read_all_start(op, ret);
        }
        if ((ouro_reader_size(reader) == 0 && !reader->eof)
            || ouro_readop_is_claimed(op)) {
            return ouro_readop_wait(op, "read", ret);
        }
        break;
    case READ_SATISFIED:
        return ouro_readop_return_copy(op, ret);
    default:
        ouro_readop_unpark(op);
    }
    size = ouro_reader_size(reader);
    return ouro_readop_return(op, Py_MIN(size, (size_t)op->n), ret);
}

static readop_answer
read_offer(AwaitObject *op, const char *data, size_t size, size_t *ret_used)
{
    return ouro_readop_copy(op, data, Py_MIN(size, (size_t)op->n), ret_used);
}

READOP_KIND(read_kind, "read", read_poll, ouro_readop_abort, read_offer,
            &ouro_readop_wait_kind);

/* ---- readexactly -------------------------------------------------------- */

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
        ouro_readop_incomplete(op, expected);
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
    return ouro_readop_raises(op) ? -1 : 0;
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
            return ouro_readop_return_nothing(ret);
        }
        if (ouro_readop_is_claimed(op)) {
            return ouro_readop_wait(op, "readexactly", ret);
        }
        break;
    case READ_SATISFIED:
        return ouro_readop_return_copy(op, ret);
    default:
        ouro_readop_unpark(op);
    }
    if (ouro_reader_size(reader) >= (size_t)op->n) {
        return ouro_readop_return(op, (size_t)op->n, ret);
    }
    return reader->eof ? readexactly_ended(op)
                       : ouro_readop_wait(op, "readexactly", ret);
}

static readop_answer
readexactly_offer(AwaitObject *op, const char *data, size_t size,
                  size_t *ret_used)
{
    return size < (size_t)op->n
               ? READOP_WAIT
               : ouro_readop_copy(op, data, (size_t)op->n, ret_used);
}

READOP_KIND(readexactly_kind, "readexactly", readexactly_poll,
            ouro_readop_abort, readexactly_offer, &ouro_readop_wait_kind);

/* ---- the methods -------------------------------------------------------- */

/* read(n) and readexactly(n): n may be any object, looked at later. */
static PyObject *
new_count_op(PyObject *self, const readop_kind *kind, PyObject *count)
{
    AwaitObject *op = ouro_readop_new(self, kind);
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
    if (ouro_parse_one(&read_signature, args, nargs, kwnames, &count) < 0) {
        return NULL;
    }
    return new_count_op(self, &read_kind, count);
}

PyDoc_STRVAR(readexactly_doc, "readexactly($self, /, n)\n--\n\n\
Read exactly n bytes.\n\n\
Raises IncompleteReadError if the stream ends before; its partial\n\
attribute has the bytes that were there.  Raises ValueError if n is\n\
negative.  The stream's limit does not apply.");

static const ouro_signature readexactly_signature =
    OURO_ONE_PARAMETER("StreamReader.readexactly", "n");

static PyObject *
reader_readexactly(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *count;
    if (ouro_parse_one(&readexactly_signature, args, nargs, kwnames, &count)
        < 0) {
        return NULL;
    }
    return new_count_op(self, &readexactly_kind, count);
}

const ouro_async_def ouro_read_methods[] = {
    {"read", reader_read, read_doc},
    {"readexactly", reader_readexactly, readexactly_doc},
    {NULL},
};
