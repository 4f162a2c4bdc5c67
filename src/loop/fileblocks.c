/* fileblocks.c - read a block, send it, read the next (see fileblocks.h).
 *
 * self->n counts the bytes that have been sent.
 */
#include "loop/fileblocks.h"

enum { STEP_START, STEP_READ, STEP_SENT, STEP_ENDED };

static const fileblocks_kind *
kind_of(AwaitObject *self)
{
    return (const fileblocks_kind *)ouro_await_kind(self);
}

/* ---- beginning and end ------------------------------------------------- */

/* A memoryview of a buffer for blocks of at most `size` bytes. */
static PyObject *
new_buffer(Py_ssize_t count, Py_ssize_t size)
{
    if (count > 0 && count < size) {
        size = count;
    }
    PyObject *bytes = PyByteArray_FromStringAndSize(NULL, size);
    PyObject *view = bytes == NULL ? NULL : PyMemoryView_FromObject(bytes);
    Py_XDECREF(bytes);
    return view;
}

/* file.seek(position), if it can. 0 or -1. */
static int
seek_if_able(AwaitObject *self, PyObject *position)
{
    PyObject *seek =
        PyObject_GetAttrString(ouro_frame_get(self, SEND_FILE), "seek");
    if (seek == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    int result = ouro_drop_result(PyObject_CallOneArg(seek, position));
    Py_DECREF(seek);
    return result;
}

static int
seek_to_offset(ouro_state *st, AwaitObject *self)
{
    PyObject *offset = ouro_frame_get(self, SEND_OFFSET);
    if (st->has.loop.sendfile_always_seeks) {
        return seek_if_able(self, offset);
    }
    int wanted = PyObject_IsTrue(offset);
    if (wanted <= 0) {
        return wanted;
    }
    return ouro_drop_result(PyObject_CallMethod(
        ouro_frame_get(self, SEND_FILE), "seek", "O", offset));
}

static int
blocks_begin(ouro_state *st, AwaitObject *self)
{
    const fileblocks_kind *kind = kind_of(self);
    if (seek_to_offset(st, self) < 0) {
        return -1;
    }
    Py_ssize_t size = kind->block_size(st);
    Py_ssize_t count = ouro_sendfile_count(self);
    PyObject *buffer = PyErr_Occurred() ? NULL : new_buffer(count, size);
    if (buffer == NULL) {
        return -1;
    }
    ouro_frame_set(self, BLOCKS_BUFFER, buffer);
    return kind->begin == NULL ? 0 : kind->begin(st, self);
}

/* To offset + sent. 0 or -1. */
static int
seek_behind(AwaitObject *self)
{
    if (self->n == 0) {
        return 0;
    }
    PyObject *position =
        ouro_sendfile_position(ouro_frame_get(self, SEND_OFFSET), self->n);
    int result = position == NULL ? -1 : seek_if_able(self, position);
    Py_XDECREF(position);
    return result;
}

/* Once, whether or not an exception is set; it is kept, or replaced. 0/-1. */
static int
blocks_end(AwaitObject *self)
{
    if (self->step == STEP_ENDED) {
        return 0;
    }
    self->step = STEP_ENDED;
    PyObject *exception = PyErr_GetRaisedException();
    int result = seek_behind(self);
    if (result == 0 && kind_of(self)->end != NULL) {
        result = kind_of(self)->end(self);
    }
    if (result == 0) {
        PyErr_SetRaisedException(exception);
    }
    else {
        ouro_raised_handling(exception);
    }
    return result;
}

static await_status
blocks_finish(AwaitObject *self, PyObject **ret)
{
    if (blocks_end(self) < 0) {
        return AWAIT_ERROR;
    }
    *ret = PyLong_FromSsize_t(self->n);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
}

/* ---- a block ----------------------------------------------------------- */

/* The part of the buffer that the next block goes into (owned); None: all
 * that was asked for has been sent. */
static PyObject *
next_block(AwaitObject *self)
{
    PyObject *buffer = ouro_frame_get(self, BLOCKS_BUFFER);
    Py_ssize_t count = ouro_sendfile_count(self);
    Py_ssize_t size = PyObject_Size(buffer);
    if (size < 0) {
        return NULL;
    }
    if (count > 0 && count - self->n < size) {
        size = count - self->n;
    }
    return size <= 0 ? Py_NewRef(Py_None)
                     : PySequence_GetSlice(buffer, 0, size);
}

/* run_in_executor(None, file.readinto, block) */
static await_status
read_block(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *block = next_block(self);
    if (block == NULL) {
        return AWAIT_ERROR;
    }
    if (block == Py_None) {
        Py_DECREF(block);
        return blocks_finish(self, ret);
    }
    ouro_frame_set(self, BLOCKS_BLOCK, block);
    PyObject *readinto =
        PyObject_GetAttrString(ouro_frame_get(self, SEND_FILE), "readinto");
    if (readinto == NULL) {
        return AWAIT_ERROR;
    }
    self->step = STEP_READ;
    *ret = PyObject_CallMethodObjArgs(self->owner, st->str.run_in_executor,
                                      Py_None, readinto, block, NULL);
    Py_DECREF(readinto);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
block_sent(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *block = ouro_frame_get(self, BLOCKS_BLOCK);
    if (kind_of(self)->sent != NULL && kind_of(self)->sent(self, block) < 0) {
        return AWAIT_ERROR;
    }
    Py_ssize_t size = PyObject_Size(block);
    if (size < 0) {
        return AWAIT_ERROR;
    }
    self->n += size;
    return read_block(st, self, ret);
}

/* So many bytes have been read: self->value. */
static await_status
send_block(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    int some = PyObject_IsTrue(self->value);
    if (some <= 0) {
        return some < 0 ? AWAIT_ERROR : blocks_finish(self, ret);
    }
    Py_ssize_t size = PyNumber_AsSsize_t(self->value, PyExc_OverflowError);
    PyObject *block =
        size == -1 && PyErr_Occurred()
            ? NULL
            : PySequence_GetSlice(ouro_frame_get(self, BLOCKS_BLOCK), 0, size);
    if (block == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, BLOCKS_BLOCK, block);
    self->step = STEP_SENT;
    await_status status = kind_of(self)->send(self, block, ret);
    return status == AWAIT_RETURN ? block_sent(st, self, ret) : status;
}

static await_status
blocks_step(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    switch (self->step) {
    case STEP_START:
        return blocks_begin(st, self) < 0 ? AWAIT_ERROR
                                          : read_block(st, self, ret);
    case STEP_READ:
        return send_block(st, self, ret);
    default:
        return block_sent(st, self, ret);
    }
}

await_status
ouro_fileblocks_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    (void)blocks_end(self);
    return AWAIT_ERROR;
}

await_status
ouro_fileblocks_poll(AwaitObject *self, PyObject **ret)
{
    await_status status = blocks_step(self, ret);
    return status == AWAIT_ERROR ? ouro_fileblocks_abort(self, ret) : status;
}
