/* signal.c - the socket pair of set_wakeup_fd (see signal.h). */
#include "sys/signal.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/sock.h"

int
ou_signal_open(ou_signal *pair)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds)
        < 0) {
        pair->read_fd = pair->write_fd = -1;
        return -errno;
    }
    pair->read_fd = fds[0];
    pair->write_fd = fds[1];
    return 0;
}

void
ou_signal_close(ou_signal *pair)
{
    if (pair->read_fd >= 0) {
        close(pair->read_fd);
        close(pair->write_fd);
    }
    pair->read_fd = pair->write_fd = -1;
}

ssize_t
ou_signal_read(ou_signal *pair, unsigned char *ret_numbers, size_t size)
{
    ssize_t n = ou_sock_recv(pair->read_fd, ret_numbers, size);
    return n == -EAGAIN ? 0 : n;
}
