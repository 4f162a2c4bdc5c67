/* The pool's queue: each job is taken once, and no thread sleeps over one. */
#include <sched.h>
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
    ou_pool_thread thread = {.busy = false};
    while ((job = ou_pool_try(pool, &thread)) != NULL
           || (job = ou_pool_take(pool, &thread)) != NULL) {
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
    ou_pool_thread thread = {.busy = false};
    ou_job *job = ou_pool_try(&pool, &thread);
    job->kind->run(job);
    ou_pool_end(&pool);
    while ((job = ou_pool_try(&pool, &thread)) != NULL) {
        job->kind->run(job);
    }
    CHECK(probe_said("abc"));
    CHECK(ou_pool_take(&pool, &thread) == NULL);
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

/* As if all had been short so far, with a second processor. */
static void
make_hasty(ou_pool *pool)
{
    pool->spin = (ou_spin){.possible = true};
}

TEST(an_idle_thread_looks_before_it_sleeps)
{
    ou_pool pool;
    ou_pool_thread first = {.busy = false}, second = {.busy = false};
    REQUIRE(ou_pool_open(&pool) == 0);
    make_hasty(&pool);
    CHECK(ou_pool_try(&pool, &first) == NULL);
    CHECK(ou_pool_try(&pool, &second) == NULL);
    CHECK(first.looks && !second.looks);
    probe probes[2];
    for (int i = 0; i < 2; i++) {
        probes[i] = probe_make((char)('a' + i), NULL);
        /* Of two results none is looked for. */
        CHECK((ou_pool_put(&pool, &probes[i].job) > 0) == (i == 0));
    }
    CHECK_EQUAL(pool.woken, 2);
    CHECK(ou_pool_take(&pool, &first) == &probes[0].job);
    CHECK(!pool.looking);
    CHECK(ou_pool_take(&pool, &second) == &probes[1].job);
    CHECK_EQUAL(pool.unfinished, 2);
    ou_pool_end(&pool);
    CHECK(ou_pool_try(&pool, &second) == NULL);
    CHECK(!second.looks); /* the first is busy */
    CHECK(ou_pool_try(&pool, &first) == NULL);
    CHECK_EQUAL(pool.unfinished, 0);
    CHECK(ou_pool_take(&pool, &first) == NULL);
    CHECK(ou_pool_take(&pool, &second) == NULL);
    CHECK(probe_said(""));
    ou_pool_close(&pool);
}

TEST(a_result_that_does_not_come_ends_looking)
{
    ou_pool pool;
    ou_pool_thread thread = {.busy = false};
    REQUIRE(ou_pool_open(&pool) == 0);
    make_hasty(&pool);
    probe one = probe_make('a', NULL);
    CHECK(ou_pool_put(&pool, &one.job) > 0);
    CHECK(ou_pool_try(&pool, &thread) == &one.job);
    CHECK(ou_pool_try(&pool, &thread) == NULL);
    make_hasty(&pool);
    CHECK(ou_pool_put(&pool, &one.job) == 0); /* none was delivered */
    CHECK(ou_pool_take(&pool, &thread) == &one.job);
    CHECK(ou_pool_try(&pool, &thread) == NULL);
    make_hasty(&pool);
    CHECK(ou_pool_put(&pool, &one.job) > 0);
    pool.put -= 1.0; /* a second ago */
    ou_pool_delivered(&pool);
    CHECK(!ou_spin_pays(&pool.spin));
    CHECK(ou_pool_take(&pool, &thread) == &one.job);
    ou_pool_close(&pool);
}

enum { ROUNDS = 20000 };

static atomic_int answered;

static int
answer(ou_job *job)
{
    (void)job;
    atomic_fetch_add(&answered, 1);
    return 0;
}

/* Rounds in which a thread looks, in vain, or not: none is lost. */
TEST(rounds_with_and_without_looking)
{
    static const ou_job_kind kind = {.run = answer};
    ou_pool pool;
    pthread_t threads[2];
    REQUIRE(ou_pool_open(&pool) == 0);
    pool.spin.possible = true;
    for (int i = 0; i < 2; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, work, &pool) == 0);
    }
    atomic_store(&answered, 0);
    for (int i = 0; i < ROUNDS; i++) {
        ou_job job;
        ou_job_init(&job, &kind);
        ou_pool_put(&pool, &job);
        while (atomic_load(&answered) == i) {
            sched_yield();
        }
        ou_pool_delivered(&pool);
        if (i % 500 == 0) {
            usleep(100); /* let them look in vain */
        }
    }
    ou_pool_end(&pool);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQUAL(pool.unfinished, 0);
    CHECK_EQUAL(pool.woken, 0);
    CHECK(!pool.looking);
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
    RUN(an_idle_thread_looks_before_it_sleeps);
    RUN(a_result_that_does_not_come_ends_looking);
    RUN(rounds_with_and_without_looking);
    RUN(closed_in_a_child);
    return check_report();
}
