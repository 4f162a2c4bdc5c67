/* pool.h - a queue of jobs for a pool of threads.
 *
 * Any thread puts jobs; the pool's threads take them, each job once, in the
 * order in which they were put.  The threads themselves are the binding's:
 * here is the queue, and the waiting for it.
 *
 * A pool that has ended still gives out what was put before.
 *
 * Where one job after the other is short, and so is the time between them,
 * nobody sleeps: an idle thread looks for the next job for some microseconds,
 * and whoever has put it is told to look for its result (spin.h).
 */
#ifndef OU_POOL_H
#define OU_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "sys/fork.h"
#include "sys/job.h"
#include "sys/spin.h"

typedef struct ou_pool {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wanted;
    ou_queue jobs;
    int idle;         /* threads that want a job which nobody has put yet */
    atomic_int woken; /* threads that have been woken and do not know it yet;
                         looked at without the lock */
    bool ended;
    int unfinished; /* jobs put and not finished */
    bool looking;   /* an idle thread does not sleep, but looks */
    ou_spin spin;
    double put;        /* the time when the last job was put */
    double delivered;  /* when its putter had the last result, or < 0 */
    bool expected;     /* he was told to look for it */
    ou_fork_mark mark; /* the process that has the threads */
} ou_pool;

/* What a thread of the pool keeps between its calls; all 0 at first. */
typedef struct ou_pool_thread {
    bool busy;      /* has a job */
    double started; /* when it was taken */
    bool looks;     /* is the one who looks */
} ou_pool_thread;

/* 0 or -errno. */
int ou_pool_open(ou_pool *pool);

/* No thread may use it any more.  Drops the jobs that are left; in the child
 * of a fork too, where there are no threads to run them. */
void ou_pool_close(ou_pool *pool);

/* Put a job, with the queue's reference, and wake an idle thread for it.  For
 * so many seconds it pays to look for its result before sleeping, or 0. */
double ou_pool_put(ou_pool *pool, ou_job *job);

/* The result of a job is in the hands of whoever puts them. */
void ou_pool_delivered(ou_pool *pool);

/* Whether a thread waits that the next job would wake. */
bool ou_pool_idle(ou_pool *pool);

/* The last job is finished.  The next one; NULL: there is none at the moment.
 * From then on the thread counts as idle, and has to call ou_pool_take()
 * soon. */
ou_job *ou_pool_try(ou_pool *pool, ou_pool_thread *thread);

/* Of an idle thread: the next job, waited for; NULL: the pool has ended. */
ou_job *ou_pool_take(ou_pool *pool, ou_pool_thread *thread);

/* No more jobs will be put: threads that find none return. */
void ou_pool_end(ou_pool *pool);

/* Whether this process is a fork's child, without the pool's threads: then
 * ou_pool_close() alone may be called. */
bool ou_pool_forked(const ou_pool *pool);

#endif
