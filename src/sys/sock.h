/* sock.h - the system calls on sockets, with EINTR handled.
 *
 * Results are counts or descriptors >= 0, or -errno.  All new descriptors are
 * non-blocking and close-on-exec.
 */
#ifndef OU_SOCK_H
#define OU_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { OU_PROTO_TCP = 6 }; /* IPPROTO_TCP */

ssize_t ou_sock_recv(int fd, void *buffer, size_t size);
ssize_t ou_sock_send(int fd, const void *data, size_t size);
/* Gathers up to `count` pieces into one send (MSG_NOSIGNAL). */
ssize_t ou_sock_sendv(int fd, const struct iovec *pieces, int count);
int ou_sock_accept(int fd, struct sockaddr *ret_address, socklen_t *length);
/* The pending SO_ERROR as -errno, or 0. */
int ou_sock_error(int fd);
int ou_sock_shutdown_write(int fd);
int ou_sock_set_nodelay(int fd);
int ou_sock_set_nonblocking(int fd);
/* SO_TYPE, or -errno. */
int ou_sock_type(int fd);
/* The address family (SO_DOMAIN), or -errno. */
int ou_sock_family(int fd);
int ou_close(int fd);

#endif
