/* pipe.h - the system calls on pipes, ttys and the like, with EINTR handled.
 *
 * Results are counts >= 0, or -errno.
 */
#ifndef OU_PIPE_H
#define OU_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    /* What is written by one call of at most so many bytes is not mixed with
     * what others write into the same pipe. */
    OU_PIPE_ATOMIC = 4096,
};

/* What kind of file a descriptor is, as far as a loop can watch it. */
typedef enum ou_pipe_kind {
    OU_PIPE_UNFIT, /* a regular file, a directory, a disk */
    OU_PIPE_FIFO,
    OU_PIPE_SOCKET,
    OU_PIPE_CHARACTER, /* a tty, /dev/null */
} ou_pipe_kind;

/* 0 or -errno. */
int ou_pipe_classify(int fd, ou_pipe_kind *ret);

/* Whether several writes may become one: no reader sees where one ended. */
bool ou_pipe_is_stream(int fd, ou_pipe_kind kind);

ssize_t ou_pipe_read(int fd, void *buffer, size_t size);
ssize_t ou_pipe_write(int fd, const void *data, size_t size);
ssize_t ou_pipe_writev(int fd, const struct iovec *pieces, int count);

#endif
