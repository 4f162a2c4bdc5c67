/* pipe.c - the system calls on pipes (see pipe.h). */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE /* O_DIRECT */
#endif
#include "sys/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sock.h"

int
ou_pipe_classify(int fd, ou_pipe_kind *ret)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    *ret = S_ISFIFO(status.st_mode)   ? OU_PIPE_FIFO
           : S_ISSOCK(status.st_mode) ? OU_PIPE_SOCKET
           : S_ISCHR(status.st_mode)  ? OU_PIPE_CHARACTER
                                      : OU_PIPE_UNFIT;
    return 0;
}

bool
ou_pipe_is_stream(int fd, ou_pipe_kind kind)
{
    if (kind == OU_PIPE_SOCKET) {
        return ou_sock_type(fd) == SOCK_STREAM;
    }
    if (kind != OU_PIPE_FIFO) {
        return false; /* a device may take each write for a message */
    }
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) == 0;
}

ssize_t
ou_pipe_read(int fd, void *buffer, size_t size)
{
    ssize_t n;
    do {
        n = read(fd, buffer, size);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t
ou_pipe_write(int fd, const void *data, size_t size)
{
    ssize_t n;
    do {
        n = write(fd, data, size);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t
ou_pipe_writev(int fd, const struct iovec *pieces, int count)
{
    ssize_t n;
    do {
        n = writev(fd, pieces, count);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
