/* fileblocks.h - a file read block by block, each block sent before the next
 * is read.
 *
 * The blocks are read by run_in_executor() into one buffer.  How they are
 * sent is for the kind to say.  At the end, good or bad, the file's position
 * is moved behind what was sent.
 */
#ifndef OURO_FILEBLOCKS_H
#define OURO_FILEBLOCKS_H

#include "loop/sendfile.h"

/* Places of the frame behind the arguments. */
enum { BLOCKS_BUFFER = SEND_ARGS, BLOCKS_BLOCK, BLOCKS_TOTAL };

typedef struct fileblocks_kind {
    await_kind await;
    /* The size of a block in bytes, or -1 with an exception. */
    Py_ssize_t (*block_size)(ouro_state *st);
    /* Before the first block; may be NULL. 0 or -1. */
    int (*begin)(ouro_state *st, AwaitObject *self);
    /* Send the block, or wait until it can be sent: AWAIT_DELEGATE.
     * AWAIT_RETURN: no need to wait. */
    await_status (*send)(AwaitObject *self, PyObject *block, PyObject **ret);
    /* After that; may be NULL. 0 or -1. */
    int (*sent)(AwaitObject *self, PyObject *block);
    /* The end; may be NULL.  No exception is set. 0 or -1. */
    int (*end)(AwaitObject *self);
} fileblocks_kind;

/* poll and abort of a fileblocks_kind. */
await_status ouro_fileblocks_poll(AwaitObject *self, PyObject **ret);
await_status ouro_fileblocks_abort(AwaitObject *self, PyObject **ret);

#endif
