/* The limit: a bare epoll echo server of datagrams, one at a time, no Python.
   usage: bare_udp PORT */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int
main(int argc, char **argv)
{
    static char buf[1 << 18];
    (void)argc;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int ep = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (void *)&a, sizeof a)) {
        perror("bind");
        return 1;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (epoll_wait(ep, &e, 1, -1) != 1)
            continue;
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t r =
            recvfrom(fd, buf, sizeof buf, 0, (void *)&from, &length);
        if (r >= 0)
            sendto(fd, buf, r, 0, (void *)&from, length);
    }
}
