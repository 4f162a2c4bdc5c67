/* outbuf.h - what a stream socket or a pipe has still to send.
 *
 * Data goes in by ou_outbuf_copy() or ou_outbuf_refer() and out, in order, by
 * ou_outbuf_flush(), usually in one system call for all of it.  Small data is
 * copied into chunks of 64 KiB, which come from a pool that all sockets of a
 * loop share: an idle connection owns none, and holding many small blocks by
 * reference would make malloc trim and fault in every turn.  Large blocks are
 * held by reference, and so may be a small one that stands alone: it is most
 * often all that is sent.
 *
 * Belongs to the loop's thread.
 */
#ifndef OU_OUTBUF_H
#define OU_OUTBUF_H

#include <stdbool.h>
#include <stddef.h>

enum {
    OU_OUT_CHUNK_SIZE = 64 * 1024, /* with its header */
    OU_OUT_POOL_CHUNKS = 32,       /* kept for reuse */
    OU_OUT_POOL_BLOCKS = 64,       /* heads of blocks, likewise */
    OU_OUT_REFER_SIZE = 16 * 1024, /* from here on, callers should refer */
};

/* Bytes to be sent, in a chunk of ours or in somebody's block. */
typedef struct ou_outpiece {
    struct ou_outpiece *next;
    char *data;                   /* the first byte that has not been sent */
    size_t size;                  /* bytes that have not been sent */
    size_t room;                  /* free bytes behind them; 0 in a block */
    bool pooled;                  /* a chunk of OU_OUT_CHUNK_SIZE */
    void (*release)(void *owner); /* NULL: a chunk */
    void *owner;
} ou_outpiece;

/* Empty chunks and heads of blocks; all zero bytes is an empty pool. */
typedef struct ou_outpool {
    ou_outpiece *chunks;
    ou_outpiece *blocks;
    int count;
    int block_count;
    bool closed; /* keeps none any more */
} ou_outpool;

typedef struct ou_outbuf {
    ou_outpiece *head; /* NULL: nothing to send */
    ou_outpiece *tail;
    size_t size; /* bytes in all pieces */
    ou_outpool *pool;
    bool pipe; /* goes out by write(), and not by send() */
} ou_outbuf;

/* pool must outlive the buffer. */
static inline void
ou_outbuf_init(ou_outbuf *buffer, ou_outpool *pool)
{
    *buffer = (ou_outbuf){.pool = pool};
}

static inline bool
ou_outbuf_empty(const ou_outbuf *buffer)
{
    return buffer->head == NULL;
}

/* Append a copy of data.  0, or -ENOMEM (then nothing has changed). */
int ou_outbuf_copy(ou_outbuf *buffer, const void *data, size_t size);

/* Append data without copying it; size > 0.  The reference to the owner,
 * which keeps data alive and unchanged, passes to the buffer and is given
 * back by release(owner), within a later flush or clear.  0, or -ENOMEM (then
 * nothing has changed, and the reference stays with the caller). */
int ou_outbuf_refer(ou_outbuf *buffer, const void *data, size_t size,
                    void *owner, void (*release)(void *owner));

/* Send all.  0: nothing is left; -EAGAIN: the socket takes no more now (an
 * edge-triggered watch will tell when it does), the rest stays; or another
 * -errno, and all that has not been sent stays.  release() must not touch
 * the buffer. */
int ou_outbuf_flush(ou_outbuf *buffer, int fd);

/* Forget everything. */
void ou_outbuf_clear(ou_outbuf *buffer);

/* Free the chunks that are kept for reuse, for good: a buffer that is cleared
 * later frees its own. */
void ou_outpool_close(ou_outpool *pool);

#endif
