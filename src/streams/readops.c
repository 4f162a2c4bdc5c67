/* readops.c - the coroutines of a StreamReader: how they wait and end.
 *
 * Each looks at the buffer and either takes what it wants or parks itself in
 * the reader until more has come.  Received bytes are then first offered to
 * the parked coroutine, which copies what it wants straight from where they
 * were received.  What each of them wants is in readcount.c and readline.c.
 *
 * On a reader that is not plain (a subclass, or something is patched) they
 * call the methods that asyncio's call.
 */
#include "base/bytes.h"
#include "streams/readops_impl.h"
#include "task/future.h"

/* ---- making ------------------------------------------------------------- */

AwaitObject *
ouro_readop_new(PyObject *self, const readop_kind *kind)
{
    return ouro_await_new(ouro_state_of(self), &kind->await, self);
}

/* ---- waiting ------------------------------------------------------------ */

const await_kind ouro_readop_wait_kind = {
    .name = "_wait_for_data",
    .qualname = "StreamReader._wait_for_data",
};

static int
check_may_wait(ouro_state *st, StreamReaderObject *reader,
               const char *function)
{
    if (reader->loop == NULL) {
        ouro_no_attribute((PyObject *)reader, "_loop");
        return -1;
    }
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

await_status
ouro_readop_delegate(AwaitObject *op, PyObject *awaitable, PyObject **ret)
{
    *ret = awaitable;
    op->step = READ_DELEGATED;
    return awaitable == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

await_status
ouro_readop_wait(AwaitObject *op, const char *function, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    if (ouro_reader_plain(st, reader_of(op))) {
        return park(st, op, function, ret);
    }
    return ouro_readop_delegate(
        op, PyObject_CallMethod(op->owner, "_wait_for_data", "s", function),
        ret);
}

void
ouro_readop_unpark(AwaitObject *op)
{
    if (op->step == READ_PARKED) {
        ouro_reader_set_waiter(reader_of(op), NULL, NULL);
    }
}

await_status
ouro_readop_abort(AwaitObject *op, PyObject **Py_UNUSED(ret))
{
    PyObject *error = PyErr_GetRaisedException();
    ouro_readop_recall(op);
    ouro_readop_unpark(op);
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

/* ---- ending ------------------------------------------------------------- */

int
ouro_readop_maybe_resume(AwaitObject *op)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    return ouro_reader_plain(st, reader_of(op))
               ? ouro_reader_maybe_resume(st, reader_of(op))
               : ouro_streams_call(op->owner, st->str._maybe_resume_transport,
                                   NULL);
}

await_status
ouro_readop_return(AwaitObject *op, size_t size, PyObject **ret)
{
    *ret = ouro_reader_take(reader_of(op), size);
    if (*ret == NULL) {
        return AWAIT_ERROR;
    }
    if (ouro_readop_maybe_resume(op) < 0) {
        Py_CLEAR(*ret);
        return AWAIT_ERROR;
    }
    return AWAIT_RETURN;
}

await_status
ouro_readop_return_nothing(PyObject **ret)
{
    *ret = PyBytes_FromStringAndSize(NULL, 0);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

await_status
ouro_readop_return_copy(AwaitObject *op, PyObject **ret)
{
    *ret = op->c;
    op->c = NULL;
    op->step = READ_DONE;
    return AWAIT_RETURN;
}

PyObject *
ouro_readop_partial(AwaitObject *op)
{
    StreamReaderObject *reader = reader_of(op);
    return ouro_reader_take(reader, ouro_reader_size(reader));
}

await_status
ouro_readop_incomplete(AwaitObject *op, PyObject *expected)
{
    ouro_state *st = ouro_state_of((PyObject *)op);
    PyObject *partial = ouro_readop_partial(op);
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

bool
ouro_readop_raises(AwaitObject *op)
{
    PyObject *exception = reader_of(op)->exception;
    if (exception == NULL) {
        return false;
    }
    ouro_raise(exception);
    return true;
}

await_status
ouro_readop_return_value(AwaitObject *op, PyObject **ret)
{
    *ret = Py_NewRef(op->value);
    return AWAIT_RETURN;
}

/* ---- received bytes ----------------------------------------------------- */

readop_answer
ouro_readop_copy(AwaitObject *op, const char *data, size_t size,
                 size_t *ret_used)
{
    op->c =
        ouro_bytes_new(ouro_state_of((PyObject *)op), data, (Py_ssize_t)size);
    if (op->c == NULL) {
        return READOP_FAIL;
    }
    op->step = READ_SATISFIED;
    *ret_used = size;
    return READOP_SATISFIED;
}

readop_answer
ouro_readop_offer(AwaitObject *op, const char *data, size_t size,
                  size_t *ret_used)
{
    const readop_kind *kind = (const readop_kind *)ouro_await_kind(op);
    return op->step != READ_PARKED || kind->offer == NULL
               ? READOP_WAKE
               : kind->offer(op, data, size, ret_used);
}

/* ---- _wait_for_data() --------------------------------------------------- */

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
    ouro_readop_unpark(op);
    *ret = Py_NewRef(Py_None);
    return AWAIT_RETURN;
}

READOP_KIND(wait_for_data_kind, "_wait_for_data", wait_for_data_poll,
            ouro_readop_abort, NULL, NULL);

static const ouro_signature wait_for_data_signature =
    OURO_ONE_PARAMETER("StreamReader._wait_for_data", "func_name");

static PyObject *
reader_wait_for_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    PyObject *name;
    if (ouro_parse_one(&wait_for_data_signature, args, nargs, kwnames, &name)
        < 0) {
        return NULL;
    }
    AwaitObject *op = ouro_readop_new(self, &wait_for_data_kind);
    if (op != NULL) {
        op->a = Py_NewRef(name);
    }
    return (PyObject *)op;
}

static const ouro_async_def wait_for_data_methods[] = {
    {"_wait_for_data", reader_wait_for_data,
     "_wait_for_data($self, /, func_name)\n--\n\n"
     "Wait until feed_data() or feed_eof() is called.\n\n"
     "If stream was paused, automatically resume it."},
    {NULL},
};

int
ouro_readops_setup(ouro_state *st, PyTypeObject *type)
{
    return ouro_add_async_methods(st, type, ouro_read_methods) < 0
                   || ouro_add_async_methods(st, type, ouro_readline_methods)
                          < 0
               ? -1
               : ouro_add_async_methods(st, type, wait_for_data_methods);
}
