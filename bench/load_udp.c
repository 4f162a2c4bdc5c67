/* Closed-loop echo load of datagrams: CONNS sockets, each sends SIZE bytes,
   waits for them, repeats.  One that is lost is sent again after 50 ms.
   usage: load_udp PORT CONNS SIZE SECONDS
   prints, as load does: requests/s  0  0  requests */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int
main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    int n = atoi(argv[2]);
    long size = atol(argv[3]);
    double seconds = atof(argv[4]);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char *out = malloc(size), *in = malloc(1 << 18);
    memset(out, 'x', size);
    int *fds = calloc(n, sizeof *fds), ep = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (connect(fds[i], (void *)&a, sizeof a)) {
            perror("connect");
            return 1;
        }
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e);
    }
    double start = now();
    long requests = 0;
    for (int i = 0; i < n; i++)
        send(fds[i], out, size, 0);
    struct epoll_event events[256];
    while (now() < start + seconds) {
        int m = epoll_wait(ep, events, 256, 50);
        if (m == 0) {
            for (int i = 0; i < n; i++)
                send(fds[i], out, size, 0);
        }
        for (int i = 0; i < m; i++) {
            int fd = events[i].data.fd;
            if (recv(fd, in, 1 << 18, 0) != size)
                continue;
            requests++;
            send(fd, out, size, 0);
        }
    }
    printf("%.0f 0 0 %ld\n", requests / (now() - start), requests);
    return 0;
}
