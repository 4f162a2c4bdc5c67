/* sock.c - the system calls on sockets (see sock.h). */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE /* accept4 */
#endif
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

ssize_t
ou_sock_recv(int fd, void *buffer, size_t size)
{
    ssize_t n;
    do {
        n = recv(fd, buffer, size, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t
ou_sock_send(int fd, const void *data, size_t size)
{
    ssize_t n;
    do {
        n = send(fd, data, size, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t
ou_sock_sendv(int fd, const struct iovec *pieces, int count)
{
    struct msghdr message = {
        .msg_iov = (struct iovec *)pieces,
        .msg_iovlen = (size_t)count,
    };
    ssize_t n;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int
ou_sock_accept(int fd, struct sockaddr *ret_address, socklen_t *length)
{
    int connection;
    do {
        connection =
            accept4(fd, ret_address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (connection < 0 && errno == EINTR);
    return connection < 0 ? -errno : connection;
}

static int
sock_option(int fd, int option)
{
    int value = 0;
    socklen_t length = sizeof(value);
    if (getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0) {
        return -errno;
    }
    return value;
}

int
ou_sock_error(int fd)
{
    int error = sock_option(fd, SO_ERROR);
    return error > 0 ? -error : error;
}

int
ou_sock_type(int fd)
{
    return sock_option(fd, SO_TYPE);
}

int
ou_sock_family(int fd)
{
    return sock_option(fd, SO_DOMAIN);
}

int
ou_sock_shutdown_write(int fd)
{
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

int
ou_sock_set_nodelay(int fd)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        return -errno;
    }
    return 0;
}

int
ou_sock_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return -errno;
    }
    if ((flags & O_NONBLOCK) != 0) {
        return 0;
    }
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int
ou_close(int fd)
{
    /* Interrupted or not, Linux has closed it; again would hit another's. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}
