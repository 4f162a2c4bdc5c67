/* buffer.c - bytes that have come in and have not been read yet. */
#include "base/compat.h"
#include "streams/buffer.h"

#include <stdint.h>
#include <string.h>

enum { SMALLEST = 512 };

static int
grow(stream_buffer *buffer, size_t size)
{
    size_t capacity =
        buffer->capacity < SMALLEST ? SMALLEST : buffer->capacity;
    while (capacity < size) {
        if (capacity > SIZE_MAX / 2) {
            return -1;
        }
        capacity *= 2;
    }
    char *memory = PyMem_RawRealloc(buffer->memory, capacity);
    if (memory == NULL) {
        return -1;
    }
    buffer->memory = memory;
    buffer->capacity = capacity;
    return 0;
}

/* Make room for `size` bytes at the tail.  What is held is moved to the start
 * only when it is less than what has been read since: so a byte is moved
 * once, on average. */
static int
make_room(stream_buffer *buffer, size_t size)
{
    if (size <= buffer->capacity - buffer->tail) {
        return 0;
    }
    size_t held = stream_buffer_size(buffer);
    if (held < buffer->head) {
        memmove(buffer->memory, stream_buffer_start(buffer), held);
        buffer->head = 0;
        buffer->tail = held;
        if (size <= buffer->capacity - held) {
            return 0;
        }
    }
    return size > SIZE_MAX - buffer->tail ? -1
                                          : grow(buffer, buffer->tail + size);
}

int
stream_buffer_append(stream_buffer *buffer, const char *data, size_t size)
{
    if (make_room(buffer, size) < 0) {
        return -1;
    }
    if (size > 0) { /* (There may be no memory at all yet.) */
        memcpy(buffer->memory + buffer->tail, data, size);
        buffer->tail += size;
    }
    return 0;
}

int
stream_buffer_put_back(stream_buffer *buffer, const char *data, size_t size)
{
    if (size > buffer->head) {
        if (make_room(buffer, size) < 0) {
            return -1;
        }
        size_t held = stream_buffer_size(buffer);
        memmove(buffer->memory + size, stream_buffer_start(buffer), held);
        buffer->head = size;
        buffer->tail = size + held;
    }
    buffer->head -= size;
    memcpy(buffer->memory + buffer->head, data, size);
    return 0;
}

void
stream_buffer_free(stream_buffer *buffer)
{
    PyMem_RawFree(buffer->memory);
    *buffer = (stream_buffer){0};
}
