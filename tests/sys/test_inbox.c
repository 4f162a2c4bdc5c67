/* The inbox: nothing posted is lost, one wake-up for many posts. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include "check.h"
#include "probe.h"

/* How many wake-ups have been written since the last call. */
static long long
wakeups(ou_inbox *inbox)
{
    uint64_t count = 0;
    if (read(inbox->event_fd, &count, sizeof(count)) < 0) {
        CHECK_EQUAL(errno, EAGAIN);
        return 0;
    }
    return (long long)count;
}

TEST(posted_in_order)
{
    ou_inbox inbox;
    REQUIRE(ou_inbox_open(&inbox) == 0);
    probe probes[3];
    CHECK(!ou_inbox_pending(&inbox));
    for (int i = 0; i < 3; i++) {
        probes[i] = probe_make((char)('a' + i), NULL);
        ou_inbox_post(&inbox, &probes[i].job);
        CHECK(ou_inbox_pending(&inbox));
    }
    long seen = 0;
    CHECK_EQUAL(ou_inbox_visit(&inbox, &seen), 0);
    CHECK_EQUAL(seen, 3);
    ou_queue ready = {NULL, NULL};
    probe first = probe_make('0', NULL);
    ou_queue_push(&ready, &first.job);
    ou_inbox_collect(&inbox, &ready);
    CHECK(!ou_inbox_pending(&inbox));
    ou_job *job;
    while ((job = ou_queue_pop(&ready)) != NULL) {
        job->kind->run(job);
    }
    CHECK(probe_said("0abc"));
    CHECK_EQUAL(wakeups(&inbox), 0); /* nobody was waiting */
    ou_inbox_close(&inbox);
}

TEST(many_posts_one_wakeup)
{
    ou_inbox inbox;
    REQUIRE(ou_inbox_open(&inbox) == 0);
    probe probes[5];
    CHECK(ou_inbox_prepare_wait(&inbox));
    for (int i = 0; i < 5; i++) {
        probes[i] = probe_make('a', NULL);
        ou_inbox_post(&inbox, &probes[i].job);
    }
    ou_inbox_wake(&inbox);
    CHECK_EQUAL(wakeups(&inbox), 1);
    ou_inbox_finish_wait(&inbox);
    CHECK(!ou_inbox_prepare_wait(&inbox)); /* jobs are there */
    ou_queue ready = {NULL, NULL};
    ou_inbox_collect(&inbox, &ready);
    CHECK(ou_inbox_prepare_wait(&inbox));
    ou_inbox_finish_wait(&inbox);
    probe late = probe_make('l', NULL);
    ou_inbox_post(&inbox, &late.job);
    CHECK_EQUAL(wakeups(&inbox), 0); /* not waiting any more */
    ou_inbox_collect(&inbox, &ready);
    ou_inbox_close(&inbox);
}

TEST(a_wakeup_is_not_lost_before_the_wait)
{
    ou_inbox inbox;
    REQUIRE(ou_inbox_open(&inbox) == 0);
    ou_inbox_wake(&inbox);
    ou_inbox_wake(&inbox);
    CHECK_EQUAL(wakeups(&inbox), 0);
    CHECK(!ou_inbox_prepare_wait(&inbox));
    CHECK(ou_inbox_prepare_wait(&inbox)); /* it counts once */
    ou_inbox_wake(&inbox);
    CHECK_EQUAL(wakeups(&inbox), 1);
    ou_inbox_finish_wait(&inbox);
    CHECK(ou_inbox_prepare_wait(&inbox));
    ou_inbox_finish_wait(&inbox);
    ou_inbox_close(&inbox);
}

TEST(looking_needs_no_wakeup)
{
    ou_inbox inbox;
    REQUIRE(ou_inbox_open(&inbox) == 0);
    CHECK(!ou_inbox_look(&inbox, 1e-6));
    CHECK_EQUAL(inbox.waiting, OU_INBOX_AWAKE);
    inbox.waiting = OU_INBOX_LOOKING;
    probe one = probe_make('a', NULL);
    ou_inbox_post(&inbox, &one.job);
    CHECK_EQUAL(inbox.waiting, OU_INBOX_AWAKE);
    CHECK_EQUAL(wakeups(&inbox), 0);
    CHECK(ou_inbox_look(&inbox, 60.0)); /* at once: a job is there */
    ou_queue ready = {NULL, NULL};
    ou_inbox_collect(&inbox, &ready);
    ou_inbox_wake(&inbox);
    CHECK(ou_inbox_look(&inbox, 60.0));
    CHECK(!ou_inbox_look(&inbox, 0)); /* it counts once */
    ou_inbox_close(&inbox);
}

TEST(drain)
{
    ou_inbox inbox;
    REQUIRE(ou_inbox_open(&inbox) == 0);
    ou_inbox_drain(&inbox); /* does not block */
    CHECK(ou_inbox_prepare_wait(&inbox));
    ou_inbox_wake(&inbox);
    ou_inbox_drain(&inbox);
    CHECK_EQUAL(wakeups(&inbox), 0);
    ou_inbox_close(&inbox);
}

/* Threads */

enum { THREADS = 4, POSTS = 20000 };

typedef struct numbered {
    ou_job job;
    int thread;
    int number;
} numbered;

static int next_number[THREADS];
static long run_count;

static int
numbered_run(ou_job *job)
{
    numbered *self = PROBE_OF(job, numbered, job);
    CHECK_EQUAL(self->number, next_number[self->thread]);
    next_number[self->thread]++;
    run_count++;
    free(self);
    return 0;
}

static void
numbered_drop(ou_job *job)
{
    free(PROBE_OF(job, numbered, job));
}

static const ou_job_kind numbered_kind = {
    .run = numbered_run,
    .drop = numbered_drop,
};

typedef struct poster {
    pthread_t thread;
    ou_loop *loop;
    int index;
} poster;

static void *
poster_main(void *arg)
{
    poster *self = arg;
    for (int i = 0; i < POSTS; i++) {
        numbered *job = malloc(sizeof(numbered));
        REQUIRE(job != NULL);
        ou_job_init(&job->job, &numbered_kind);
        job->thread = self->index;
        job->number = i;
        ou_inbox_post(&self->loop->inbox, &job->job);
        if (i % 64 == 0) {
            usleep(50); /* let the loop fall asleep now and then */
        }
    }
    return NULL;
}

/* Every second wait looks for so many seconds first. */
static void
threads_post(double look)
{
    ou_loop loop;
    REQUIRE(ou_loop_open(&loop, NULL, NULL) == 0);
    poster posters[THREADS];
    run_count = 0;
    memset(next_number, 0, sizeof(next_number));
    for (int i = 0; i < THREADS; i++) {
        posters[i].loop = &loop;
        posters[i].index = i;
        REQUIRE(
            pthread_create(&posters[i].thread, NULL, poster_main, &posters[i])
            == 0);
    }
    /* A lost wake-up would block for ever. */
    for (int i = 0; run_count < (long)THREADS * POSTS; i++) {
        ou_loop_expect(&loop, i % 2 ? look : 0);
        CHECK_EQUAL(probe_wait_turn(&loop), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
    }
    ou_loop_close(&loop);
}

TEST(threads_post_while_the_loop_waits)
{
    threads_post(0);
}

TEST(threads_post_while_the_loop_looks)
{
    threads_post(20e-6);
}

static void *
waker_main(void *arg)
{
    ou_loop *loop = arg;
    for (int i = 0; i < 2000; i++) {
        ou_inbox_wake(&loop->inbox);
        if (i % 16 == 0) {
            usleep(20);
        }
    }
    numbered *job = malloc(sizeof(numbered));
    REQUIRE(job != NULL);
    *job = (numbered){.thread = 0, .number = 0};
    ou_job_init(&job->job, &numbered_kind);
    ou_inbox_post(&loop->inbox, &job->job);
    return NULL;
}

TEST(threads_wake_without_a_job)
{
    ou_loop loop;
    REQUIRE(ou_loop_open(&loop, NULL, NULL) == 0);
    next_number[0] = 0;
    run_count = 0;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, waker_main, &loop) == 0);
    for (int i = 0; run_count < 1; i++) {
        ou_loop_expect(&loop, i % 2 ? 10e-6 : 0);
        CHECK_EQUAL(probe_wait_turn(&loop), 0);
    }
    pthread_join(thread, NULL);
    ou_loop_close(&loop);
}

/* Fork */

TEST(a_child_wakes_nobody)
{
#ifdef __SANITIZE_THREAD__
    return; /* TSan takes the lock that the child begins anew for forgotten */
#endif
    ou_inbox inbox;
    REQUIRE(ou_inbox_open(&inbox) == 0);
    CHECK(ou_inbox_prepare_wait(&inbox));
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ou_inbox_after_fork(&inbox);
        ou_inbox_wake(&inbox);
        probe a = probe_make('a', NULL);
        ou_inbox_post(&inbox, &a.job);
        ou_queue ready = {NULL, NULL};
        ou_inbox_collect(&inbox, &ready);
        bool right = ou_queue_pop(&ready) == &a.job;
        ou_inbox_close(&inbox);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(wakeups(&inbox), 0);
    ou_inbox_wake(&inbox); /* the parent goes on as before */
    CHECK_EQUAL(wakeups(&inbox), 1);
    ou_inbox_close(&inbox);
}

/* As the child finds it if the fork came in the middle of another thread's
 * post: the job is at the head, and nothing else says so. */
TEST(a_post_cut_short_by_a_fork)
{
    ou_inbox inbox;
    REQUIRE(ou_inbox_open(&inbox) == 0);
    probe a = probe_make('a', NULL), b = probe_make('b', NULL);
    a.job.next = &a.job;
    inbox.jobs.head = &a.job;
    atomic_store(&inbox.posters, 1);
    CHECK_EQUAL(ou_inbox_renew(&inbox), 0);
    CHECK(ou_inbox_pending(&inbox));
    ou_inbox_post(&inbox, &b.job);
    ou_queue ready = {NULL, NULL};
    ou_inbox_collect(&inbox, &ready);
    CHECK(ou_queue_pop(&ready) == &a.job);
    CHECK(ou_queue_pop(&ready) == &b.job);
    CHECK(ou_queue_pop(&ready) == NULL);
    ou_inbox_close(&inbox);
}

int
main(void)
{
    RUN(posted_in_order);
    RUN(many_posts_one_wakeup);
    RUN(a_wakeup_is_not_lost_before_the_wait);
    RUN(looking_needs_no_wakeup);
    RUN(drain);
    RUN(threads_post_while_the_loop_waits);
    RUN(threads_post_while_the_loop_looks);
    RUN(threads_wake_without_a_job);
    RUN(a_child_wakes_nobody);
    RUN(a_post_cut_short_by_a_fork);
    return check_report();
}
