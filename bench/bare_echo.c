/* The limit: a bare epoll echo server, no Python. usage: bare_echo PORT */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
int
main(int argc, char **argv)
{
    static char buf[1 << 18];
    int ls = socket(AF_INET, SOCK_STREAM, 0), one = 1, ep = epoll_create1(0);
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, 1024)) {
        perror("bind");
        return 1;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = ls}, ev[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int m = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < m; i++) {
            int fd = ev[i].data.fd;
            if (fd == ls) {
                int c = accept4(ls, 0, 0, SOCK_NONBLOCK);
                if (c < 0)
                    continue;
                setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                e.events = EPOLLIN;
                e.data.fd = c;
                epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
            }
            else {
                ssize_t r = recv(fd, buf, sizeof buf, 0);
                if (r <= 0) {
                    close(fd);
                    continue;
                }
                for (ssize_t o = 0; o < r;) {
                    ssize_t w = send(fd, buf + o, r - o, MSG_NOSIGNAL);
                    if (w > 0)
                        o += w;
                }
            }
        }
    }
}
