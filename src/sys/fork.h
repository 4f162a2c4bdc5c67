/* fork.h - is this process the one that it was?
 *
 * What a loop has open is shared with the child of a fork: the child's
 * EPOLL_CTL_DEL would silence the parent's socket.  So the loop asks before
 * each such call, and a getpid() each time would cost about as much as the
 * call itself.  Instead the mark lies in memory that the kernel hands to a
 * child wiped.
 */
#ifndef OU_FORK_H
#define OU_FORK_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct ou_fork_mark {
    const volatile bool *here; /* false in a child; NULL: compare the pid */
    pid_t pid;                 /* the process that set the mark */
} ou_fork_mark;

/* Cannot fail: where the kernel does not wipe memory, it takes the pid. */
void ou_fork_mark_set(ou_fork_mark *mark);
void ou_fork_mark_free(ou_fork_mark *mark);

/* Whether this process is a child of the one that set the mark. */
bool ou_forked(const ou_fork_mark *mark);

#endif
