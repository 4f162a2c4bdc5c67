/* The pool's queue: each job is taken once, and no thread sleeps over one. */
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "probe.h"
#include "sys/pool.h"

enum { THREADS = 4, JOBS = 20000 };

typedef struct counted {
    ou_job job;
    int runs;
} counted;

static int
counted_run(ou_job *job)
{
    counted *self = (counted *)job;
    self->runs++;
    return 0;
}

static void
counted_drop(ou_job *job)
{
    counted *self = (counted *)job;
    self->runs += 1000000;
}

static const ou_job_kind counted_kind = {
    .run = counted_run,
    .drop = counted_drop,
};

static counted all[JOBS];

static void *
work(void *arg)
{
    ou_pool *pool = arg;
    ou_job *job;
    while ((job = ou_pool_try(pool)) != NULL
           || (job = ou_pool_take(pool)) != NULL) {
        job->kind->run(job);
    }
    return NULL;
}

TEST(in_order_and_to_the_end)
{
    ou_pool pool;
    REQUIRE(ou_pool_open(&pool) == 0);
    probe probes[3];
    CHECK(!ou_pool_idle(&pool));
    for (int i = 0; i < 3; i++) {
        probes[i] = probe_make((char)('a' + i), NULL);
        ou_pool_put(&pool, &probes[i].job);
    }
    ou_job *job = ou_pool_try(&pool);
    job->kind->run(job);
    ou_pool_end(&pool);
    while ((job = ou_pool_try(&pool)) != NULL) {
        job->kind->run(job);
    }
    CHECK(probe_said("abc"));
    CHECK(ou_pool_take(&pool) == NULL);
    ou_pool_close(&pool);
}

TEST(close_drops)
{
    ou_pool pool;
    REQUIRE(ou_pool_open(&pool) == 0);
    counted one = {.runs = 0};
    ou_job_init(&one.job, &counted_kind);
    ou_pool_put(&pool, &one.job);
    ou_pool_close(&pool);
    CHECK_EQUAL(one.runs, 1000000);
}

TEST(threads_share_the_jobs)
{
    ou_pool pool;
    pthread_t threads[THREADS];
    REQUIRE(ou_pool_open(&pool) == 0);
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, work, &pool) == 0);
    }
    for (int i = 0; i < JOBS; i++) {
        all[i].runs = 0;
        ou_job_init(&all[i].job, &counted_kind);
        ou_pool_put(&pool, &all[i].job);
        if (i % 1000 == 0) {
            usleep(100); /* let them go to sleep */
        }
    }
    ou_pool_end(&pool);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    int wrong = 0;
    for (int i = 0; i < JOBS; i++) {
        wrong += all[i].runs != 1;
    }
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(pool.woken, 0);
    ou_pool_close(&pool);
}

TEST(an_idle_thread_is_counted_once)
{
    ou_pool pool;
    pthread_t thread;
    REQUIRE(ou_pool_open(&pool) == 0);
    REQUIRE(pthread_create(&thread, NULL, work, &pool) == 0);
    while (!ou_pool_idle(&pool)) {
        usleep(100);
    }
    pthread_cond_broadcast(&pool.wanted); /* for nothing */
    usleep(1000);
    counted one = {.runs = 0};
    ou_job_init(&one.job, &counted_kind);
    ou_pool_put(&pool, &one.job);
    while (!ou_pool_idle(&pool)) {
        usleep(100);
    }
    ou_pool_end(&pool);
    pthread_join(thread, NULL);
    CHECK_EQUAL(one.runs, 1);
    ou_pool_close(&pool);
}

TEST(closed_in_a_child)
{
    ou_pool pool;
    pthread_t thread;
    REQUIRE(ou_pool_open(&pool) == 0);
    REQUIRE(pthread_create(&thread, NULL, work, &pool) == 0);
    CHECK(!ou_pool_forked(&pool));
    pthread_mutex_lock(&pool.lock);
    pid_t child = fork();
    if (child == 0) {
        bool forked = ou_pool_forked(&pool);
        ou_pool_close(&pool);
        _exit(forked ? 0 : 1);
    }
    pthread_mutex_unlock(&pool.lock);
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
    ou_pool_end(&pool);
    pthread_join(thread, NULL);
    ou_pool_close(&pool);
}

int
main(void)
{
    RUN(in_order_and_to_the_end);
    RUN(close_drops);
    RUN(threads_share_the_jobs);
    RUN(an_idle_thread_is_counted_once);
    RUN(closed_in_a_child);
    return check_report();
}
