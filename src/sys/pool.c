/* pool.c - a queue of jobs for a pool of threads (see pool.h).
 *
 * Whoever puts a job takes an idle thread's mark off and leaves it a ticket:
 * so the next one who looks knows whether a thread is left for his job, and a
 * thread that the system woke for nothing knows that, too.
 */
#include "sys/pool.h"

int
ou_pool_open(ou_pool *pool)
{
    *pool = (ou_pool){.idle = 0};
    int error = pthread_mutex_init(&pool->lock, NULL);
    if (error != 0) {
        return -error;
    }
    error = pthread_cond_init(&pool->wanted, NULL);
    if (error != 0) {
        pthread_mutex_destroy(&pool->lock);
        return -error;
    }
    ou_fork_mark_set(&pool->mark);
    return 0;
}

void
ou_pool_close(ou_pool *pool)
{
    /* In a child they may be locked, and waited for, by nobody. */
    if (!ou_pool_forked(pool)) {
        pthread_cond_destroy(&pool->wanted);
        pthread_mutex_destroy(&pool->lock);
    }
    ou_queue_drop_all(&pool->jobs);
    ou_fork_mark_free(&pool->mark);
}

void
ou_pool_put(ou_pool *pool, ou_job *job)
{
    pthread_mutex_lock(&pool->lock);
    ou_queue_push(&pool->jobs, job);
    bool wakes = pool->idle > 0;
    if (wakes) {
        pool->idle--;
        pool->woken++;
    }
    pthread_mutex_unlock(&pool->lock);
    /* Not under the lock, which is what the thread wants first. */
    if (wakes) {
        pthread_cond_signal(&pool->wanted);
    }
}

bool
ou_pool_idle(ou_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool idle = pool->idle > 0;
    pthread_mutex_unlock(&pool->lock);
    return idle;
}

/* The lock is held. */
static ou_job *
pop_or_idle(ou_pool *pool)
{
    ou_job *job = ou_queue_pop(&pool->jobs);
    if (job == NULL) {
        pool->idle++;
    }
    return job;
}

ou_job *
ou_pool_try(ou_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    ou_job *job = pop_or_idle(pool);
    pthread_mutex_unlock(&pool->lock);
    return job;
}

ou_job *
ou_pool_take(ou_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    ou_job *job;
    do {
        while (pool->woken == 0 && !pool->ended) {
            pthread_cond_wait(&pool->wanted, &pool->lock);
        }
        if (pool->woken > 0) {
            pool->woken--;
        }
        /* Somebody who was busy may have been faster. */
        job = pop_or_idle(pool);
    } while (job == NULL && !pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return job;
}

void
ou_pool_end(ou_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->ended = true;
    pthread_cond_broadcast(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
}

bool
ou_pool_forked(const ou_pool *pool)
{
    return ou_forked(&pool->mark);
}
