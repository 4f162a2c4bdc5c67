/* inbox.h - jobs from other threads, and the wake-up that brings them in.
 *
 * Any thread may post; the loop's thread collects.  One eventfd write wakes a
 * waiting loop, however many jobs are posted until it has woken up.  While the
 * inbox's lock is held nothing of the binding is called, so no lock of the
 * binding's (the GIL) can be waited for under it.
 */
#ifndef OU_INBOX_H
#define OU_INBOX_H

#include <pthread.h>
#include <stdatomic.h>

#include "sys/job.h"

enum {
    OU_INBOX_AWAKE,   /* the loop runs, and will look by itself */
    OU_INBOX_LOOKING, /* it waits by spinning: needs no wake-up */
    OU_INBOX_ASLEEP,  /* it waits, or is about to */
};

typedef struct ou_inbox {
    pthread_mutex_t lock; /* guards jobs */
    ou_queue jobs;
    atomic_bool pending; /* jobs is not empty */
    atomic_bool woken;   /* ou_inbox_wake() was called, no wait has seen it */
    atomic_int waiting;  /* OU_INBOX_...; who changes it from ASLEEP to AWAKE
                            sends the wake-up */
    atomic_int posters;  /* threads between enter and leave */
    int event_fd;        /* -1: closed, or in the child of a fork */
} ou_inbox;

/* 0 or -errno. */
int ou_inbox_open(ou_inbox *inbox);

/* The jobs must have been collected or dropped. */
void ou_inbox_close(ou_inbox *inbox);

/* Post a job (with the queue's reference) and wake the loop if it waits. */
void ou_inbox_post(ou_inbox *inbox, ou_job *job);

/* To post to a loop that may be closed at any moment: enter while it is known
 * to be open, post, leave.  Whoever closes the loop calls settle first, which
 * waits (briefly) until nobody is between enter and leave. */
void ou_inbox_enter(ou_inbox *inbox);
void ou_inbox_leave(ou_inbox *inbox);
void ou_inbox_settle(ou_inbox *inbox);

/* Wake the loop if it waits, without a job; if it does not, its next wait
 * will not block. */
void ou_inbox_wake(ou_inbox *inbox);

/* The loop is about to wait: true, and from now on a post wakes it; false if
 * jobs are there already, or a wake-up. */
bool ou_inbox_prepare_wait(ou_inbox *inbox);

/* Instead of a wait: spin for at most so many seconds, during which a post
 * sends no wake-up.  Returns whether there are jobs now, or ou_inbox_wake()
 * was called. */
bool ou_inbox_look(ou_inbox *inbox, double seconds);

/* Called by another thread: spin until the loop waits, for at most so many
 * seconds. */
void ou_inbox_await_wait(ou_inbox *inbox, double seconds);

/* The loop has waited: a post need not wake it any more. */
void ou_inbox_finish_wait(ou_inbox *inbox);

/* Make the eventfd unreadable.  Needed only where it is polled level
 * triggered: each write is an edge of its own, whatever was left unread. */
void ou_inbox_drain(ou_inbox *inbox);

static inline bool
ou_inbox_pending(ou_inbox *inbox)
{
    return atomic_load_explicit(&inbox->pending, memory_order_relaxed);
}

/* Move what was posted behind `ready`. */
void ou_inbox_collect(ou_inbox *inbox, ou_queue *ready);

/* Show the posted jobs' references; the visitor must not post. */
int ou_inbox_visit(ou_inbox *inbox, void *visitor);

/* In the child of a fork: make the inbox usable again, whatever the parent's
 * threads were doing with it.  It takes posts, but wakes nobody, since the
 * eventfd is shared with the parent. */
void ou_inbox_after_fork(ou_inbox *inbox);

/* Likewise, but with an eventfd of its own under the same number, so that
 * posts wake this loop again.  0, or -errno and nothing has changed. */
int ou_inbox_renew(ou_inbox *inbox);

#endif
