/* Closed-loop echo load: CONNS connections, each sends SIZE bytes, waits for them, repeats.
   usage: load PORT CONNS SIZE SECONDS [PIPELINE]   prints: requests/s  p50_us  p99_us */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}
struct conn {
    int fd;
    long got;
    double sent_at;
};
static int
cmp(const void *a, const void *b)
{
    float x = *(float *)a, y = *(float *)b;
    return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
    int port = atoi(argv[1]), n = atoi(argv[2]);
    long size = atol(argv[3]);
    double secs = atof(argv[4]);
    int pipeline = argc > 5 ? atoi(argv[5]) : 1;
    long batch = size * pipeline;
    char *out = malloc(batch), *in = malloc(1 << 18);
    memset(out, 'x', batch);
    for (int i = 1; i <= pipeline; i++)
        out[i * size - 1] = '\n';
    struct conn *c = calloc(n, sizeof *c);
    int ep = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        c[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c[i].fd, (void *)&a, sizeof a)) {
            perror("connect");
            return 1;
        }
        int one = 1;
        setsockopt(c[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &c[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, c[i].fd, &e);
    }
    size_t cap = 1 << 22, k = 0;
    float *lat = malloc(cap * sizeof *lat);
    double start = now(), end = start + secs;
    long reqs = 0;
    for (int i = 0; i < n; i++) {
        c[i].sent_at = now();
        for (long o = 0; o < batch;) {
            ssize_t w = write(c[i].fd, out + o, batch - o);
            if (w < 0) {
                perror("write");
                return 1;
            }
            o += w;
        }
    }
    struct epoll_event ev[256];
    double pt = now(), gap = 0;
    while (now() < end) {
        int m = epoll_wait(ep, ev, 256, 1000);
        double nt = now();
        if (nt - pt > .004)
            gap += nt - pt;
        pt = nt;
        for (int i = 0; i < m; i++) {
            struct conn *x = ev[i].data.ptr;
            ssize_t r = read(x->fd, in, 1 << 18);
            if (r <= 0) {
                fprintf(stderr, "connection lost\n");
                return 1;
            }
            x->got += r;
            if (x->got >= batch) {
                double t = now();
                if (k < cap)
                    lat[k++] = (float)((t - x->sent_at) * 1e6);
                x->got -= batch;
                reqs += pipeline;
                x->sent_at = t;
                for (long o = 0; o < batch;) {
                    ssize_t w = write(x->fd, out + o, batch - o);
                    if (w < 0) {
                        perror("write");
                        return 1;
                    }
                    o += w;
                }
            }
        }
    }
    double el = now() - start;
    qsort(lat, k, sizeof *lat, cmp);
    printf("%.0f %.1f %.1f %ld %.4f %.4f\n", reqs / el, k ? lat[k / 2] : 0,
           k ? lat[(size_t)(k * .99)] : 0, reqs, gap, el);
    return 0;
}
