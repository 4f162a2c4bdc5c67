/* buffer.h - bytes that have come in and have not been read yet.
 *
 * One piece of memory, filled at its tail and read at its head.  It is made
 * when the first bytes have to be kept and freed when the last have been read
 * and a reader waits for more: an idle connection owns none.
 */
#ifndef OURO_STREAMS_BUFFER_H
#define OURO_STREAMS_BUFFER_H

#include <stddef.h>

typedef struct stream_buffer {
    size_t tail; /* behind the last byte; 0: there is none */
    size_t head; /* the first that has not been read */
    char *memory;
    size_t capacity;
} stream_buffer;

static inline size_t
stream_buffer_size(const stream_buffer *buffer)
{
    return buffer->tail - buffer->head;
}

static inline const char *
stream_buffer_start(const stream_buffer *buffer)
{
    return buffer->memory + buffer->head;
}

/* Forget the first `size` bytes. */
static inline void
stream_buffer_skip(stream_buffer *buffer, size_t size)
{
    buffer->head += size;
    if (buffer->head == buffer->tail) {
        buffer->head = buffer->tail = 0;
    }
}

/* 0, or -1 if there is no memory (then nothing has changed). */
int stream_buffer_append(stream_buffer *buffer, const char *data, size_t size);

/* Put bytes back before the first one. 0 or -1. */
int stream_buffer_put_back(stream_buffer *buffer, const char *data,
                           size_t size);

/* Free the memory; what is in it is lost. */
void stream_buffer_free(stream_buffer *buffer);

#endif
