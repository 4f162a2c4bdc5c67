/* process.h - learn of the end of a child process.
 *
 * The kernel tells by a pidfd, which the poller watches.  Where there is none
 * to be had (an old kernel, a sandbox, no descriptor left), a thread waits for
 * the child and posts into the loop's inbox.  Either way the owner's job runs
 * in the loop's thread, and it is there that the child is reaped: no signal
 * handler is needed, and no other child is touched.
 *
 * References: a started watch owns one to its owner, and ou_process_stop()
 * gives it back; see io.h.  (That of a child which a thread waits for is not
 * shown to a garbage collector.)
 */
#ifndef OU_PROCESS_H
#define OU_PROCESS_H

#include <sys/types.h>

#include "sys/io.h"

typedef struct ou_process {
    ou_io io; /* of the pidfd; io.in is the owner's job */
    pid_t pid;
    int pidfd;                /* -1: none */
    bool noted;               /* it has ended, */
    int code;                 /* ... so: see ou_process_note() */
    struct ou_waiter *waiter; /* the thread's, or NULL */
    struct ou_process *next;  /* of those with a thread */
    struct ou_process **link;
} ou_process;

/* kind needs hold(). */
void ou_process_init(ou_process *process, const ou_job_kind *kind);

static inline bool
ou_process_started(const ou_process *process)
{
    return process->pid > 0;
}

/* Watch a child of ours: the job is queued when it has ended, also if it has
 * already.  Takes a reference to the owner.  0, or -errno and nothing has
 * changed. */
int ou_process_start(ou_loop *loop, ou_process *process, pid_t pid);

/* The same by a thread; for tests, too. */
int ou_process_start_thread(ou_loop *loop, ou_process *process, pid_t pid);

/* The first thing that the job does: false if the watch was stopped since. */
bool ou_process_take(ou_process *process);

/* Somebody else is about to reap the child, perhaps (subprocess.Popen does, to
 * be sure of whom it signals): note how it has ended, if it has. */
void ou_process_note(ou_process *process);

/* Reap the child.  0 and how it ended: its exit status, or -N if signal N has
 * killed it; -ECHILD: somebody else has reaped it, and nothing was noted
 * before, or SIGCHLD is ignored; -EAGAIN: it has not ended. */
int ou_process_reap(ou_process *process, int *ret_code);

/* Stop watching, and give the watch's reference back, which may free the
 * owner.  The child lives on. */
void ou_process_stop(ou_loop *loop, ou_process *process);

/* For the owner's destructor: close what a watch that the loop has stopped
 * (by its own end) has left open. */
void ou_process_free(ou_process *process);

#endif
