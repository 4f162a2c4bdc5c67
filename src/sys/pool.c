/* pool.c - a queue of jobs for a pool of threads (see pool.h).
 *
 * Idle threads and wake-ups are counted apart.  Whoever puts a job makes an
 * idle thread a woken one (idle - 1, woken + 1: a ticket), and the thread
 * takes the ticket when it wakes up.  So the next one to put a job knows
 * whether a thread is left for it, though the first may not have run yet; and
 * a thread that the system has woken without a ticket goes back to sleep.
 *
 * The thread that spins for a job instead of sleeping reads `woken` without
 * the lock, but acts only on what it then finds under the lock.  It sets and
 * clears `looking` under the lock: for a ticket left in between no wake-up is
 * sent, and it finds that by itself.
 */
#include "sys/pool.h"

#include "sys/clock.h"

/* The time, or 0 where it is not needed, because nobody will ever spin. */
static double
pool_now(const ou_pool *pool)
{
    return pool->spin.possible ? ou_clock_now() : 0;
}

int
ou_pool_open(ou_pool *pool)
{
    *pool = (ou_pool){.delivered = -1.0};
    ou_spin_init(&pool->spin);
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
    /* In the child of a fork they may have been left locked, or waited for, by
     * threads that do not exist there. */
    if (!ou_pool_forked(pool)) {
        pthread_cond_destroy(&pool->wanted);
        pthread_mutex_destroy(&pool->lock);
    }
    ou_queue_drop_all(&pool->jobs);
    ou_fork_mark_free(&pool->mark);
}

/* The lock is held: whether the next job is likely to come soon, and to be
 * finished soon. */
static bool
looking_pays(const ou_pool *pool)
{
    return pool->unfinished == 0 && ou_spin_pays(&pool->spin);
}

double
ou_pool_put(ou_pool *pool, ou_job *job)
{
    double now = pool_now(pool);
    pthread_mutex_lock(&pool->lock);
    if (pool->delivered >= 0 && pool->unfinished == 0) {
        ou_spin_took(&pool->spin.back, now - pool->delivered);
    }
    ou_spin_round(&pool->spin);
    if (pool->expected) {
        ou_spin_looked(&pool->spin, false); /* nothing was delivered */
    }
    pool->expected = looking_pays(pool);
    pool->delivered = -1.0;
    pool->put = now;
    pool->unfinished++;
    ou_queue_push(&pool->jobs, job);
    bool wakes = pool->idle > 0;
    if (wakes) {
        pool->idle--;
        /* The thread that looks finds the first ticket by itself. */
        wakes = atomic_fetch_add(&pool->woken, 1) > 0 || !pool->looking;
    }
    double expected = pool->expected ? OU_SPIN_TIME : 0;
    pthread_mutex_unlock(&pool->lock);
    /* Not under the lock, which is what the thread wants first. */
    if (wakes) {
        pthread_cond_signal(&pool->wanted);
    }
    return expected;
}

void
ou_pool_delivered(ou_pool *pool)
{
    if (!pool->spin.possible) {
        return;
    }
    double now = pool_now(pool);
    pthread_mutex_lock(&pool->lock);
    pool->delivered = now;
    if (pool->expected) {
        pool->expected = false;
        ou_spin_looked(&pool->spin, now - pool->put < OU_SPIN_TIME);
    }
    pthread_mutex_unlock(&pool->lock);
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
pop_job(ou_pool *pool, ou_pool_thread *thread)
{
    ou_job *job = ou_queue_pop(&pool->jobs);
    thread->busy = job != NULL;
    if (job == NULL) {
        pool->idle++;
    }
    return job;
}

/* The lock is held. */
static void
finish_job(ou_pool *pool, ou_pool_thread *thread)
{
    if (thread->busy) {
        pool->unfinished--;
        if (pool->unfinished == 0) {
            ou_spin_took(&pool->spin.there, pool_now(pool) - thread->started);
        }
    }
}

ou_job *
ou_pool_try(ou_pool *pool, ou_pool_thread *thread)
{
    pthread_mutex_lock(&pool->lock);
    finish_job(pool, thread);
    ou_job *job = pop_job(pool, thread);
    if (job == NULL && !pool->looking && looking_pays(pool)) {
        thread->looks = pool->looking = true;
    }
    pthread_mutex_unlock(&pool->lock);
    thread->started = pool_now(pool);
    return job;
}

/* Spin for a ticket before sleeping.  Returns with the lock held: up to then
 * `looking` is set, and no wake-up is sent for the first ticket. */
static void
look_for_ticket(ou_pool *pool, ou_pool_thread *thread)
{
    ou_spin_while(&pool->woken, 0, OU_SPIN_TIME);
    pthread_mutex_lock(&pool->lock);
    thread->looks = pool->looking = false;
    ou_spin_looked(&pool->spin, pool->woken > 0);
}

ou_job *
ou_pool_take(ou_pool *pool, ou_pool_thread *thread)
{
    if (thread->looks) {
        look_for_ticket(pool, thread);
    }
    else {
        pthread_mutex_lock(&pool->lock);
    }
    ou_job *job;
    do {
        while (pool->woken == 0 && !pool->ended) {
            pthread_cond_wait(&pool->wanted, &pool->lock);
        }
        if (pool->woken > 0) {
            pool->woken--;
        }
        /* Somebody who was busy may have been faster. */
        job = pop_job(pool, thread);
    } while (job == NULL && !pool->ended);
    pthread_mutex_unlock(&pool->lock);
    thread->started = pool_now(pool);
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
