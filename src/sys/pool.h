/* pool.h - a queue of jobs for a pool of threads.
 *
 * Any thread puts jobs; the pool's threads take them, each job once, in the
 * order in which they were put.  The threads themselves belong to the binding:
 * this is the queue that they wait at.
 *
 * A pool that has ended still gives out what was put before.
 *
 * While jobs are short and follow each other closely, nobody sleeps: an idle
 * thread spins for some microseconds for the next job, and whoever puts one is
 * told to spin for its result (spin.h).
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
    int idle;         /* threads for which no job has been put yet */
    atomic_int woken; /* tickets (pool.c): idle threads for which one has, and
                         that have not noticed; also read without the lock */
    bool ended;
    int unfinished; /* jobs put and not finished */
    bool looking;   /* an idle thread spins instead of sleeping */
    ou_spin spin;
    double put;        /* the time when the last job was put */
    double delivered;  /* when its result arrived, or < 0 */
    bool expected;     /* who put it was told to look for its result */
    ou_fork_mark mark; /* the process that has the threads */
} ou_pool;

/* What a thread of the pool keeps between its calls; all 0 at first. */
typedef struct ou_pool_thread {
    bool busy;      /* has a job */
    double started; /* when it was taken */
    bool looks;     /* it is the thread that pool->looking means */
} ou_pool_thread;

/* 0 or -errno. */
int ou_pool_open(ou_pool *pool);

/* No thread may use it any more.  Drops the jobs that are left; in the child
 * of a fork too, where there are no threads to run them. */
void ou_pool_close(ou_pool *pool);

/* Put a job, with the queue's reference, and wake an idle thread for it.
 * Returns for how many seconds the caller should look for the result before
 * it sleeps: 0 if that does not pay. */
double ou_pool_put(ou_pool *pool, ou_job *job);

/* The result of a job has arrived where the jobs come from. */
void ou_pool_delivered(ou_pool *pool);

/* Whether a thread waits that the next job would wake. */
bool ou_pool_idle(ou_pool *pool);

/* This thread has finished its job, if it had one: returns the next.  NULL:
 * there is none at the moment; the thread now counts as idle, and must call
 * ou_pool_take() soon. */
ou_job *ou_pool_try(ou_pool *pool, ou_pool_thread *thread);

/* An idle thread waits for the next job.  NULL: the pool has ended. */
ou_job *ou_pool_take(ou_pool *pool, ou_pool_thread *thread);

/* No more jobs will be put: threads that find none return. */
void ou_pool_end(ou_pool *pool);

/* Whether this process is a fork's child, without the pool's threads: then
 * ou_pool_close() alone may be called. */
bool ou_pool_forked(const ou_pool *pool);

#endif
