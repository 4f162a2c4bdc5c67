/* poller.h - the contract between the loop and what waits for the kernel.
 *
 * A backend is one table of functions (poller_epoll.c).  All of them return
 * 0, a count, or -errno, and none calls back.  The binding may bring its own
 * (a selector of the user's): then `foreign` is set.
 */
#ifndef OU_POLLER_H
#define OU_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/io.h"

enum { OU_POLLER_EVENTS = 64 }; /* events a wait, see docs/architecture.md */

typedef struct ou_event {
    int fd;
    uint32_t generation;
    unsigned ready; /* OU_IN | OU_OUT | OU_HUP */
} ou_event;

typedef struct ou_poller ou_poller;

typedef struct ou_poller_backend {
    const char *name;
    /* Level triggered alone, asked in every turn, never rebuilt. */
    bool foreign;
    /* NULL: nothing to open; likewise for close. */
    int (*open)(ou_poller *poller);
    void (*close)(ou_poller *poller);
    /* An fd that the kernel knows already is modified. */
    int (*add)(ou_poller *poller, int fd, uint32_t generation,
               unsigned interest, ou_trigger trigger);
    /* An fd that the kernel does not know (closed and opened again behind our
     * back) is added. */
    int (*modify)(ou_poller *poller, int fd, uint32_t generation,
                  unsigned interest, ou_trigger trigger);
    int (*remove)(ou_poller *poller, int fd);
    /* Whether fd is still the file that was added by this number; NULL: no
     * telling. */
    bool (*knows)(ou_poller *poller, int fd);
    /* Wait up to `timeout` seconds (< 0: for ever) and fill poller->events;
     * what does not fit in must come again in the next wait.
     * Touches nothing else, so it may run without the binding's lock.
     * Returns the number of events, or -errno (-EINTR included). */
    int (*wait)(ou_poller *poller, double timeout);
} ou_poller_backend;

struct ou_poller {
    const ou_poller_backend *backend;
    int fd;           /* the backend's descriptor, or -1 */
    bool coarse_wait; /* epoll: the kernel has no epoll_pwait2() */
    void *extension;  /* a backend of the binding keeps its object here */
    ou_event events[OU_POLLER_EVENTS];
};

extern const ou_poller_backend ou_poller_epoll;

#endif
