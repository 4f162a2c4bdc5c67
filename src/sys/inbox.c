/* inbox.c - jobs from other threads (see inbox.h).
 *
 * Nothing gets lost between a post and a wait, because each side first says
 * what it does and then looks at the other: a poster sets `pending` (or
 * `woken`) and then looks at `waiting`; the loop sets `waiting` and then
 * looks at `pending`.  All of these are sequentially consistent, so at least
 * one of the two sees the other.  A loop that looks before it sleeps watches
 * `waiting`, which the poster takes back when the job is there; whether it
 * has seen that or not, it looks at `pending` before it sleeps.
 */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE /* dup3 */
#endif
#include "sys/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sys/spin.h"

int
ou_inbox_open(ou_inbox *inbox)
{
    *inbox = (ou_inbox){.event_fd = -1};
    int result = pthread_mutex_init(&inbox->lock, NULL);
    if (result != 0) {
        return -result;
    }
    inbox->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inbox->event_fd < 0) {
        result = -errno;
        pthread_mutex_destroy(&inbox->lock);
        return result;
    }
    return 0;
}

void
ou_inbox_close(ou_inbox *inbox)
{
    ou_inbox_settle(inbox);
    if (inbox->event_fd >= 0) {
        close(inbox->event_fd);
        inbox->event_fd = -1;
    }
    pthread_mutex_destroy(&inbox->lock);
}

/* Not under the lock, which is what the loop wants as soon as it has woken
 * up.  What keeps event_fd open is that the inbox has been entered. */
static void
inbox_signal(ou_inbox *inbox)
{
    if (atomic_exchange(&inbox->waiting, OU_INBOX_AWAKE) == OU_INBOX_ASLEEP
        && inbox->event_fd >= 0) {
        /* Fails only if the counter is about to overflow, and then the
         * eventfd is readable anyway. */
        ssize_t written =
            write(inbox->event_fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)written;
    }
}

void
ou_inbox_post(ou_inbox *inbox, ou_job *job)
{
    ou_inbox_enter(inbox);
    pthread_mutex_lock(&inbox->lock);
    ou_queue_push(&inbox->jobs, job);
    atomic_store(&inbox->pending, true);
    pthread_mutex_unlock(&inbox->lock);
    inbox_signal(inbox);
    ou_inbox_leave(inbox);
}

void
ou_inbox_enter(ou_inbox *inbox)
{
    atomic_fetch_add(&inbox->posters, 1);
}

void
ou_inbox_leave(ou_inbox *inbox)
{
    atomic_fetch_sub(&inbox->posters, 1);
}

void
ou_inbox_settle(ou_inbox *inbox)
{
    while (atomic_load(&inbox->posters) > 0) {
        sched_yield();
    }
}

void
ou_inbox_wake(ou_inbox *inbox)
{
    ou_inbox_enter(inbox);
    atomic_store(&inbox->woken, true);
    inbox_signal(inbox);
    ou_inbox_leave(inbox);
}

bool
ou_inbox_prepare_wait(ou_inbox *inbox)
{
    atomic_store(&inbox->waiting, OU_INBOX_ASLEEP);
    bool woken = atomic_exchange(&inbox->woken, false);
    if (woken || atomic_load(&inbox->pending)) {
        atomic_store(&inbox->waiting, OU_INBOX_AWAKE);
        return false;
    }
    return true;
}

bool
ou_inbox_look(ou_inbox *inbox, double seconds)
{
    atomic_store(&inbox->waiting, OU_INBOX_LOOKING);
    if (!atomic_load(&inbox->pending) && !atomic_load(&inbox->woken)) {
        ou_spin_while(&inbox->waiting, OU_INBOX_LOOKING, seconds);
    }
    atomic_store(&inbox->waiting, OU_INBOX_AWAKE);
    bool woken = atomic_exchange(&inbox->woken, false);
    return woken || atomic_load(&inbox->pending);
}

void
ou_inbox_await_wait(ou_inbox *inbox, double seconds)
{
    ou_spin_while(&inbox->waiting, OU_INBOX_AWAKE, seconds);
}

void
ou_inbox_finish_wait(ou_inbox *inbox)
{
    atomic_store(&inbox->waiting, OU_INBOX_AWAKE);
    atomic_store(&inbox->woken, false);
}

void
ou_inbox_drain(ou_inbox *inbox)
{
    uint64_t count;
    ssize_t got = read(inbox->event_fd, &count, sizeof(count));
    (void)got;
}

void
ou_inbox_collect(ou_inbox *inbox, ou_queue *ready)
{
    pthread_mutex_lock(&inbox->lock);
    ou_queue_append(ready, &inbox->jobs);
    atomic_store(&inbox->pending, false);
    pthread_mutex_unlock(&inbox->lock);
}

int
ou_inbox_visit(ou_inbox *inbox, void *visitor)
{
    pthread_mutex_lock(&inbox->lock);
    int result = ou_queue_visit(&inbox->jobs, visitor);
    pthread_mutex_unlock(&inbox->lock);
    return result;
}

/* A thread that was in the middle of a post does not exist here: it holds no
 * lock, and its job is in the queue or, if that does not lead to it, never
 * will be. */
static void
inbox_begin_anew(ou_inbox *inbox)
{
    pthread_mutex_init(&inbox->lock, NULL);
    for (ou_job *job = inbox->jobs.head; job != NULL;
         job = ou_queue_next(job)) {
        inbox->jobs.tail = job;
    }
    atomic_store(&inbox->pending, inbox->jobs.head != NULL);
    atomic_store(&inbox->waiting, OU_INBOX_AWAKE);
    atomic_store(&inbox->posters, 0);
}

int
ou_inbox_renew(ou_inbox *inbox)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int result = 0;
    if (dup3(fd, inbox->event_fd, O_CLOEXEC) < 0) {
        result = -errno;
    }
    else {
        inbox_begin_anew(inbox);
    }
    close(fd);
    return result;
}

void
ou_inbox_after_fork(ou_inbox *inbox)
{
    inbox_begin_anew(inbox);
    if (inbox->event_fd >= 0) {
        close(inbox->event_fd);
        inbox->event_fd = -1;
    }
}
