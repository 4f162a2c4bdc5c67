/* outbuf.c - what a stream socket or pipe has still to send (see outbuf.h).
 *
 * A chunk is a piece with its bytes behind it, in one allocation; a block is
 * a piece alone, whose bytes are its owner's.
 */
#include "sys/outbuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys/pipe.h"
#include "sys/sock.h"

enum {
    CHUNK_ROOM = OU_OUT_CHUNK_SIZE - sizeof(ou_outpiece),
    SMALL_ROOM = 4096 - sizeof(ou_outpiece),
    MAX_VECTOR = 64, /* pieces a system call */
};

static ou_outpiece *
chunk_new(ou_outpool *pool, size_t room)
{
    ou_outpiece *chunk = room == CHUNK_ROOM ? pool->chunks : NULL;
    if (chunk != NULL) {
        pool->chunks = chunk->next;
        pool->count--;
    }
    else {
        chunk = malloc(sizeof(ou_outpiece) + room);
        if (chunk == NULL) {
            return NULL;
        }
    }
    *chunk = (ou_outpiece){
        .data = (char *)(chunk + 1),
        .room = room,
        .pooled = room == CHUNK_ROOM,
    };
    return chunk;
}

static void
chunk_free(ou_outpool *pool, ou_outpiece *chunk)
{
    if (chunk->pooled && !pool->closed && pool->count < OU_OUT_POOL_CHUNKS) {
        chunk->next = pool->chunks;
        pool->chunks = chunk;
        pool->count++;
    }
    else {
        free(chunk);
    }
}

static ou_outpiece *
block_new(ou_outpool *pool)
{
    ou_outpiece *block = pool->blocks;
    if (block == NULL) {
        return malloc(sizeof(ou_outpiece));
    }
    pool->blocks = block->next;
    pool->block_count--;
    return block;
}

/* Gives the reference to the owner back, too. */
static void
block_free(ou_outpool *pool, ou_outpiece *block)
{
    void (*release)(void *) = block->release;
    void *owner = block->owner;
    if (!pool->closed && pool->block_count < OU_OUT_POOL_BLOCKS) {
        block->next = pool->blocks;
        pool->blocks = block;
        pool->block_count++;
    }
    else {
        free(block);
    }
    release(owner);
}

static void
free_list(ou_outpiece *pieces)
{
    while (pieces != NULL) {
        ou_outpiece *next = pieces->next;
        free(pieces);
        pieces = next;
    }
}

void
ou_outpool_close(ou_outpool *pool)
{
    free_list(pool->chunks);
    free_list(pool->blocks);
    *pool = (ou_outpool){.closed = true};
}

static void
outbuf_append(ou_outbuf *buffer, ou_outpiece *piece)
{
    if (buffer->head == NULL) {
        buffer->head = piece;
    }
    else {
        buffer->tail->next = piece;
    }
    buffer->tail = piece;
}

/* Take the first piece out and free it. */
static void
outbuf_pop(ou_outbuf *buffer)
{
    ou_outpiece *piece = buffer->head;
    buffer->head = piece->next;
    buffer->size -= piece->size;
    if (piece->release == NULL) {
        chunk_free(buffer->pool, piece);
    }
    else {
        block_free(buffer->pool, piece);
    }
}

/* The only piece is a small block: copy it into a chunk, where others can
 * stand behind it.  0 or -ENOMEM. */
static int
outbuf_own(ou_outbuf *buffer)
{
    ou_outpiece *block = buffer->head;
    ou_outpiece *chunk = chunk_new(buffer->pool, CHUNK_ROOM);
    if (chunk == NULL) {
        return -ENOMEM;
    }
    memcpy(chunk->data, block->data, block->size);
    chunk->size = block->size;
    chunk->room -= block->size;
    buffer->head = buffer->tail = chunk;
    block_free(buffer->pool, block);
    return 0;
}

/* `size` bytes, which may be more than a chunk holds, behind the last piece,
 * whose room they exceed. */
static int
outbuf_copy_slowly(ou_outbuf *buffer, const char *data, size_t size)
{
    ou_outpiece *tail = buffer->head != NULL ? buffer->tail : NULL;
    size_t room = tail != NULL ? tail->room : 0;
    /* Behind a block, little: small data between blocks (a header before
     * each) must not take a chunk every time. */
    bool small = tail != NULL && tail->release != NULL && size <= SMALL_ROOM;
    /* Allocate first: all or nothing. */
    ou_outbuf added = {.pool = buffer->pool};
    for (size_t got = room; got < size; got += CHUNK_ROOM) {
        ou_outpiece *chunk =
            chunk_new(buffer->pool, small ? SMALL_ROOM : CHUNK_ROOM);
        if (chunk == NULL) {
            ou_outbuf_clear(&added);
            return -ENOMEM;
        }
        outbuf_append(&added, chunk);
    }
    ou_outpiece *piece = room > 0 ? tail : added.head;
    if (tail == NULL) {
        buffer->head = added.head;
    }
    else {
        tail->next = added.head;
    }
    buffer->tail = added.tail;
    buffer->size += size;
    while (size > 0) {
        size_t part = size < piece->room ? size : piece->room;
        memcpy(piece->data + piece->size, data, part);
        piece->size += part;
        piece->room -= part;
        data += part;
        size -= part;
        piece = piece->next;
    }
    return 0;
}

int
ou_outbuf_copy(ou_outbuf *buffer, const void *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    ou_outpiece *head = buffer->head;
    if (head != NULL && head->release != NULL && head->next == NULL
        && head->size < OU_OUT_REFER_SIZE && outbuf_own(buffer) < 0) {
        return -ENOMEM;
    }
    ou_outpiece *tail = buffer->tail;
    if (head == NULL || tail->room < size) {
        return outbuf_copy_slowly(buffer, data, size);
    }
    memcpy(tail->data + tail->size, data, size);
    tail->size += size;
    tail->room -= size;
    buffer->size += size;
    return 0;
}

int
ou_outbuf_refer(ou_outbuf *buffer, const void *data, size_t size, void *owner,
                void (*release)(void *owner))
{
    ou_outpiece *block = block_new(buffer->pool);
    if (block == NULL) {
        return -ENOMEM;
    }
    *block = (ou_outpiece){
        .data = (char *)data,
        .size = size,
        .release = release,
        .owner = owner,
    };
    outbuf_append(buffer, block);
    buffer->size += size;
    return 0;
}

/* Send the first of several pieces by one system call.  Returns as sendmsg()
 * and, in ret_wanted, how much there was to be sent. */
static ssize_t
outbuf_send_several(const ou_outbuf *buffer, int fd, size_t *ret_wanted)
{
    struct iovec vector[MAX_VECTOR];
    size_t wanted = 0;
    int count = 0;
    for (const ou_outpiece *piece = buffer->head;
         piece != NULL && count < MAX_VECTOR; piece = piece->next) {
        vector[count++] = (struct iovec){piece->data, piece->size};
        wanted += piece->size;
    }
    *ret_wanted = wanted;
    return buffer->pipe ? ou_pipe_writev(fd, vector, count)
                        : ou_sock_sendv(fd, vector, count);
}

/* The first `sent` bytes are gone. */
static void
outbuf_consume(ou_outbuf *buffer, size_t sent)
{
    while (buffer->head != NULL && sent >= buffer->head->size) {
        sent -= buffer->head->size;
        outbuf_pop(buffer);
    }
    if (buffer->head != NULL) {
        buffer->head->data += sent;
        buffer->head->size -= sent;
        buffer->size -= sent;
    }
}

int
ou_outbuf_flush(ou_outbuf *buffer, int fd)
{
    while (buffer->head != NULL) {
        const ou_outpiece *piece = buffer->head;
        size_t wanted = piece->size;
        /* Most often there is one piece only. */
        ssize_t sent =
            piece->next != NULL ? outbuf_send_several(buffer, fd, &wanted)
            : buffer->pipe      ? ou_pipe_write(fd, piece->data, piece->size)
                                : ou_sock_send(fd, piece->data, piece->size);
        if (sent < 0) {
            return (int)sent;
        }
        if ((size_t)sent == buffer->head->size) {
            outbuf_pop(buffer); /* most often, that was all */
        }
        else {
            outbuf_consume(buffer, (size_t)sent);
        }
        if ((size_t)sent < wanted) {
            /* The socket's buffer is full; asking again would only cost. */
            return -EAGAIN;
        }
    }
    return 0;
}

void
ou_outbuf_clear(ou_outbuf *buffer)
{
    while (buffer->head != NULL) {
        outbuf_pop(buffer);
    }
}
