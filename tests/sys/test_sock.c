/* The system calls on sockets: results, flags, errors. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "check.h"
#include "sys/sock.h"

static int
listen_on_loopback(struct sockaddr_in *ret_address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(fd >= 0);
    *ret_address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof(*ret_address);
    REQUIRE(bind(fd, (struct sockaddr *)ret_address, length) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)ret_address, &length) == 0);
    REQUIRE(listen(fd, 10) == 0);
    return fd;
}

/* Whether connect() goes on by itself; if not, errno tells why. */
static bool
begin_to_connect(int fd, const struct sockaddr_in *address)
{
    return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0
           || errno == EINPROGRESS;
}

static void
wait_for(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    REQUIRE(poll(&poll_fd, 1, 5000) == 1);
}

TEST(connect_accept_and_talk)
{
    struct sockaddr_in address;
    int listener = listen_on_loopback(&address);
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    CHECK_EQUAL(ou_sock_accept(listener, (struct sockaddr *)&peer, &length),
                -EAGAIN);

    int client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(ou_sock_set_nonblocking(client), 0);
    CHECK_EQUAL(ou_sock_set_nonblocking(client), 0);
    CHECK(fcntl(client, F_GETFL) & O_NONBLOCK);
    CHECK(begin_to_connect(client, &address));
    wait_for(client, POLLOUT);
    CHECK_EQUAL(ou_sock_error(client), 0);

    wait_for(listener, POLLIN);
    length = sizeof(peer);
    int server = ou_sock_accept(listener, (struct sockaddr *)&peer, &length);
    REQUIRE(server >= 0);
    CHECK_EQUAL(length, sizeof(struct sockaddr_in));
    CHECK(fcntl(server, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(server, F_GETFD) & FD_CLOEXEC);

    CHECK_EQUAL(ou_sock_type(server), SOCK_STREAM);
    CHECK_EQUAL(ou_sock_family(server), AF_INET);
    CHECK_EQUAL(ou_sock_set_nodelay(server), 0);
    int value = 0;
    length = sizeof(value);
    getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &value, &length);
    CHECK(value != 0);

    char buffer[16];
    CHECK_EQUAL(ou_sock_recv(server, buffer, sizeof(buffer)), -EAGAIN);
    CHECK_EQUAL(ou_sock_send(client, "hello", 5), 5);
    struct iovec pieces[2] = {{", ", 2}, {"world", 5}};
    CHECK_EQUAL(ou_sock_sendv(client, pieces, 2), 7);
    CHECK_EQUAL(ou_sock_shutdown_write(client), 0);
    wait_for(server, POLLIN);
    CHECK_EQUAL(ou_sock_recv(server, buffer, sizeof(buffer)), 12);
    CHECK(memcmp(buffer, "hello, world", 12) == 0);
    wait_for(server, POLLIN);
    CHECK_EQUAL(ou_sock_recv(server, buffer, sizeof(buffer)), 0);

    CHECK_EQUAL(ou_close(server), 0);
    CHECK_EQUAL(ou_close(server), -EBADF);
    CHECK_EQUAL(ou_close(client), 0);
    CHECK_EQUAL(ou_close(listener), 0);
}

TEST(a_refused_connection)
{
    struct sockaddr_in address;
    ou_close(listen_on_loopback(&address)); /* nobody listens there now */
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (begin_to_connect(client, &address)) {
        wait_for(client, POLLOUT);
        CHECK_EQUAL(ou_sock_error(client), -ECONNREFUSED);
    }
    else {
        CHECK_EQUAL(errno, ECONNREFUSED);
    }
    CHECK_EQUAL(ou_sock_error(client), 0); /* told once */
    ou_close(client);
}

TEST(sending_to_nobody_raises_no_signal)
{
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    ou_close(pair[1]);
    struct iovec piece = {"x", 1};
    CHECK_EQUAL(ou_sock_send(pair[0], "x", 1), -EPIPE);
    CHECK_EQUAL(ou_sock_sendv(pair[0], &piece, 1), -EPIPE);
    ou_close(pair[0]);
}

TEST(what_is_no_socket)
{
    int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct iovec piece = {"x", 1};
    char byte;
    CHECK_EQUAL(ou_sock_recv(file, &byte, 1), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_send(file, "x", 1), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_sendv(file, &piece, 1), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_accept(file, NULL, NULL), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_error(file), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_type(file), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_family(file), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_shutdown_write(file), -ENOTSOCK);
    CHECK_EQUAL(ou_sock_set_nodelay(file), -ENOTSOCK);
    ou_close(file);
    CHECK_EQUAL(ou_sock_set_nonblocking(file), -EBADF);
}

/* Signals */

static void
ignore(int number)
{
    (void)number;
}

static pthread_t reader;
static int reader_fd;

static void *
interrupt_and_send(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        usleep(1000);
        pthread_kill(reader, SIGUSR1);
    }
    CHECK_EQUAL(write(reader_fd, "x", 1), 1);
    return NULL;
}

TEST(interrupted_calls_go_on)
{
    struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0); /* blocking */
    reader = pthread_self();
    reader_fd = pair[1];
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, interrupt_and_send, NULL) == 0);
    char byte;
    CHECK_EQUAL(ou_sock_recv(pair[0], &byte, 1), 1);
    pthread_join(thread, NULL);
    ou_close(pair[0]);
    ou_close(pair[1]);
}

int
main(void)
{
    RUN(connect_accept_and_talk);
    RUN(a_refused_connection);
    RUN(sending_to_nobody_raises_no_signal);
    RUN(what_is_no_socket);
    RUN(interrupted_calls_go_on);
    return check_report();
}
