/* process.c - learn of the end of a child process (see process.h).
 *
 * child ends -> pidfd readable -> poller -> job, or
 * child ends -> waitid() returns in a thread -> inbox -> job.
 */
#include "sys/process.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/loop.h"

#ifndef SYS_pidfd_open
#    define SYS_pidfd_open 434 /* the same on all architectures we know of */
#endif
#ifndef P_PIDFD
#    define P_PIDFD 3
#endif

enum { STACK_SIZE = 64 * 1024 };

/* What the thread shares with the loop; who is last frees it. */
typedef struct ou_waiter {
    pthread_mutex_t lock;
    ou_loop *loop; /* NULL: the watch is stopped */
    ou_job *job;   /* NULL: it has been posted */
    pid_t pid;
    int users;
} ou_waiter;

void
ou_process_init(ou_process *process, const ou_job_kind *kind)
{
    *process = (ou_process){.pidfd = -1};
    ou_io_init(&process->io, kind, kind);
}

/* ---- by a thread ------------------------------------------------------- */

static void
waiter_free(ou_waiter *waiter)
{
    pthread_mutex_destroy(&waiter->lock);
    free(waiter);
}

/* Unlocks it. */
static void
waiter_leave(ou_waiter *waiter)
{
    bool last = --waiter->users == 0;
    pthread_mutex_unlock(&waiter->lock);
    if (last) {
        waiter_free(waiter);
    }
}

static void *
waiter_main(void *argument)
{
    ou_waiter *waiter = argument;
    siginfo_t info;
    int result;
    /* Wait without reaping (WNOWAIT): that is for the loop's thread, so that
     * the pid cannot be given to another child before it has looked. */
    do {
        result = waitid(P_PID, (id_t)waiter->pid, &info, WEXITED | WNOWAIT);
    } while (result < 0 && errno == EINTR);
    pthread_mutex_lock(&waiter->lock);
    if (waiter->loop != NULL) {
        ou_inbox_post(&waiter->loop->inbox, waiter->job);
        waiter->job = NULL;
    }
    waiter_leave(waiter);
    return NULL;
}

/* Start the thread, detached and with all signals blocked: they are for the
 * program's own threads. */
static int
waiter_launch(ou_waiter *waiter)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) {
        return -error;
    }
    sigset_t all, before;
    sigfillset(&all);
    size_t stack = STACK_SIZE;
    long least = sysconf(_SC_THREAD_STACK_MIN);
    if (least > 0 && (size_t)least > stack) {
        stack = (size_t)least;
    }
    (void)pthread_attr_setstacksize(&attributes, stack);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    error = pthread_create(&thread, &attributes, waiter_main, waiter);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

static void
processes_link(ou_loop *loop, ou_process *process)
{
    process->next = loop->processes;
    process->link = &loop->processes;
    if (process->next != NULL) {
        process->next->link = &process->next;
    }
    loop->processes = process;
}

static void
processes_unlink(ou_process *process)
{
    *process->link = process->next;
    if (process->next != NULL) {
        process->next->link = process->link;
    }
    process->link = NULL;
}

int
ou_process_start_thread(ou_loop *loop, ou_process *process, pid_t pid)
{
    assert(!ou_process_started(process));
    if (pid <= 0 || ou_loop_forked(loop)) {
        return pid <= 0 ? -ESRCH : -EBADF;
    }
    ou_waiter *waiter = malloc(sizeof(*waiter));
    if (waiter == NULL) {
        return -ENOMEM;
    }
    *waiter = (ou_waiter){
        .loop = loop,
        .job = &process->io.in,
        .pid = pid,
        .users = 2,
    };
    pthread_mutex_init(&waiter->lock, NULL);
    /* The watch's and the job's: the thread cannot take one. */
    const ou_job_kind *kind = process->io.in.kind;
    kind->hold(&process->io.in);
    kind->hold(&process->io.in);
    process->pid = pid;
    process->waiter = waiter;
    processes_link(loop, process);
    int result = waiter_launch(waiter);
    if (result < 0) {
        processes_unlink(process);
        process->pid = 0;
        process->waiter = NULL;
        waiter_free(waiter);
        kind->drop(&process->io.in);
        kind->drop(&process->io.in);
    }
    return result;
}

static void
process_stop_thread(ou_loop *loop, ou_process *process)
{
    ou_waiter *waiter = process->waiter;
    ou_job *job;
    process->waiter = NULL;
    processes_unlink(process);
    if (ou_loop_forked(loop)) {
        /* The thread is not here, and may have held the lock. */
        job = waiter->job;
        free(waiter);
    }
    else {
        pthread_mutex_lock(&waiter->lock);
        waiter->loop = NULL;
        job = waiter->job;
        waiter_leave(waiter);
    }
    if (job != NULL) {
        job->kind->drop(job);
    }
}

/* ---- by a pidfd -------------------------------------------------------- */

int
ou_process_start(ou_loop *loop, ou_process *process, pid_t pid)
{
    assert(!ou_process_started(process));
    if (pid <= 0 || ou_loop_forked(loop)) {
        return pid <= 0 ? -ESRCH : -EBADF;
    }
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) {
        process->pid = pid;
        process->pidfd = fd;
        if (ou_io_start(loop, &process->io, fd, OU_IN, OU_LEVEL) == 0) {
            return 0;
        }
        process->pid = 0;
        ou_process_free(process);
    }
    return ou_process_start_thread(loop, process, pid);
}

bool
ou_process_take(ou_process *process)
{
    if (process->pid == 0) {
        return false;
    }
    return process->waiter != NULL || ou_io_take(&process->io, OU_IN);
}

/* waitid() by the pidfd if there is one, else (or on a kernel that cannot) by
 * the number.  0, or -1 and errno. */
static int
process_waitid(const ou_process *process, siginfo_t *info, int options)
{
    if (process->pidfd >= 0) {
        int result =
            waitid((idtype_t)P_PIDFD, (id_t)process->pidfd, info, options);
        if (result == 0 || errno != EINVAL) {
            return result;
        }
    }
    return waitid(P_PID, (id_t)process->pid, info, options);
}

/* How it has ended; see ou_process_reap(). */
static int
process_ask(const ou_process *process, int options, int *ret_code)
{
    siginfo_t info = {0};
    int result;
    do {
        result = process_waitid(process, &info, options | WEXITED | WNOHANG);
    } while (result < 0 && errno == EINTR);
    if (result < 0) {
        return -errno;
    }
    if (info.si_pid == 0) {
        return -EAGAIN;
    }
    *ret_code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return 0;
}

void
ou_process_note(ou_process *process)
{
    int code;
    if (ou_process_started(process)
        && process_ask(process, WNOWAIT, &code) == 0) {
        process->noted = true;
        process->code = code;
    }
}

int
ou_process_reap(ou_process *process, int *ret_code)
{
    int error = process_ask(process, 0, ret_code);
    if (error == -ECHILD && process->noted) {
        *ret_code = process->code;
        error = 0;
    }
    return error;
}

/* ---- both -------------------------------------------------------------- */

void
ou_process_free(ou_process *process)
{
    if (process->pidfd >= 0) {
        close(process->pidfd);
        process->pidfd = -1;
    }
}

void
ou_process_stop(ou_loop *loop, ou_process *process)
{
    if (!ou_process_started(process)) {
        return;
    }
    process->pid = 0;
    const ou_job_kind *kind = process->io.in.kind;
    if (process->waiter != NULL) {
        process_stop_thread(loop, process);
        kind->drop(&process->io.in); /* may free process */
        return;
    }
    int fd = process->pidfd;
    process->pidfd = -1;
    if (ou_io_started(&process->io)) {
        ou_io_stop(loop, &process->io); /* likewise */
    }
    close(fd);
}
