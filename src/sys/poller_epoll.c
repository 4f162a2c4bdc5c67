/* poller_epoll.c - waiting by epoll (see poller.h).
 *
 * epoll's data word holds the fd below and the generation above; no pointer
 * ever goes through the kernel.
 */
#include "sys/poller.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#    define SYS_epoll_pwait2 441 /* the same on all architectures we know of */
#endif

/* What epoll_pwait2() takes: 64 bits wide whatever the C library's is. */
typedef struct kernel_timespec {
    int64_t seconds;
    int64_t nanoseconds;
} kernel_timespec;

static int
epoll_backend_open(ou_poller *poller)
{
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    return poller->fd < 0 ? -errno : 0;
}

static void
epoll_backend_close(ou_poller *poller)
{
    if (poller->fd >= 0) {
        close(poller->fd);
        poller->fd = -1;
    }
}

static int
epoll_control(ou_poller *poller, int operation, int fd, uint32_t generation,
              unsigned interest, ou_trigger trigger)
{
    struct epoll_event event = {0};
    if (interest & OU_IN) {
        event.events |= EPOLLIN;
    }
    if (interest & OU_OUT) {
        event.events |= EPOLLOUT;
    }
    if (trigger == OU_EDGE) {
        event.events |= EPOLLET | EPOLLRDHUP | EPOLLPRI;
    }
    event.data.u64 = (uint64_t)generation << 32 | (uint32_t)fd;
    return epoll_ctl(poller->fd, operation, fd, &event) < 0 ? -errno : 0;
}

static int
epoll_backend_add(ou_poller *poller, int fd, uint32_t generation,
                  unsigned interest, ou_trigger trigger)
{
    int result = epoll_control(poller, EPOLL_CTL_ADD, fd, generation, interest,
                               trigger);
    if (result == -EEXIST) {
        /* A former watch of the same file: its DEL came when the number was
         * another file's. */
        result = epoll_control(poller, EPOLL_CTL_MOD, fd, generation, interest,
                               trigger);
    }
    return result;
}

static int
epoll_backend_modify(ou_poller *poller, int fd, uint32_t generation,
                     unsigned interest, ou_trigger trigger)
{
    int result = epoll_control(poller, EPOLL_CTL_MOD, fd, generation, interest,
                               trigger);
    if (result == -ENOENT) {
        result = epoll_control(poller, EPOLL_CTL_ADD, fd, generation, interest,
                               trigger);
    }
    return result;
}

static int
epoll_backend_remove(ou_poller *poller, int fd)
{
    return epoll_control(poller, EPOLL_CTL_DEL, fd, 0, 0, OU_LEVEL);
}

static bool
epoll_backend_knows(ou_poller *poller, int fd)
{
    bool known = epoll_control(poller, EPOLL_CTL_ADD, fd, 0, 0, OU_LEVEL) < 0;
    if (!known) {
        (void)epoll_backend_remove(poller, fd);
    }
    return known;
}

/* As Python's selectors map them: whatever is not plain writability makes a
 * reader ready, whatever is not plain readability a writer. */
static unsigned
epoll_ready(uint32_t events)
{
    unsigned ready = 0;
    if (events & ~(uint32_t)EPOLLOUT) {
        ready |= OU_IN;
    }
    if (events & ~(uint32_t)(EPOLLIN | EPOLLRDHUP)) {
        ready |= OU_OUT;
    }
    /* (A read stops at the mark of urgent data.) */
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) {
        ready |= OU_HUP;
    }
    return ready;
}

static int64_t
round_up(double value)
{
    int64_t whole = (int64_t)value;
    return (double)whole < value ? whole + 1 : whole;
}

/* epoll_wait() with a timeout in seconds, rounded up to what the kernel can
 * count: waking early would find no timer due, and spin. */
static int
epoll_wait_seconds(ou_poller *poller, struct epoll_event *events,
                   double timeout)
{
    if (timeout <= 0) {
        return epoll_wait(poller->fd, events, OU_POLLER_EVENTS,
                          timeout < 0 ? -1 : 0);
    }
    if (!poller->coarse_wait) {
        int64_t nanoseconds = round_up(timeout * 1e9);
        kernel_timespec wait = {
            .seconds = nanoseconds / 1000000000,
            .nanoseconds = nanoseconds % 1000000000,
        };
        int count = (int)syscall(SYS_epoll_pwait2, poller->fd, events,
                                 OU_POLLER_EVENTS, &wait, NULL, (size_t)0);
        /* EPERM: what some sandboxes say to calls that they do not know. */
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return count;
        }
        poller->coarse_wait = true;
    }
    return epoll_wait(poller->fd, events, OU_POLLER_EVENTS,
                      (int)round_up(timeout * 1e3));
}

static int
epoll_backend_wait(ou_poller *poller, double timeout)
{
    struct epoll_event events[OU_POLLER_EVENTS];
    int count = epoll_wait_seconds(poller, events, timeout);
    if (count < 0) {
        return -errno;
    }
    for (int i = 0; i < count; i++) {
        uint64_t data = events[i].data.u64;
        poller->events[i] = (ou_event){
            .fd = (int)(uint32_t)data,
            .generation = (uint32_t)(data >> 32),
            .ready = epoll_ready(events[i].events),
        };
    }
    return count;
}

const ou_poller_backend ou_poller_epoll = {
    .name = "epoll",
    .open = epoll_backend_open,
    .close = epoll_backend_close,
    .add = epoll_backend_add,
    .modify = epoll_backend_modify,
    .remove = epoll_backend_remove,
    .knows = epoll_backend_knows,
    .wait = epoll_backend_wait,
};
