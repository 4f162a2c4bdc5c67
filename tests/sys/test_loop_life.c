/* Opening and closing a loop, what it owns, and the child of a fork. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"
#include "loop_fixture.h"

static int
open_fails(ou_poller *poller)
{
    (void)poller;
    return -EMFILE;
}

static int
count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

TEST(a_failed_open_leaves_nothing)
{
    static const ou_poller_backend bad = {.open = open_fails};
    ou_loop other;
    int before = count_fds();
    CHECK_EQUAL(ou_loop_open(&other, &bad, NULL), -EMFILE);
    CHECK_EQUAL(count_fds(), before);
    check_alloc_left = 0;
    int result = ou_loop_open(&other, NULL, NULL);
    check_alloc_left = -1;
    CHECK_EQUAL(result, -ENOMEM);
    CHECK_EQUAL(count_fds(), before);
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int lowest = dup(0);
    close(lowest);
    for (int room = 0; room < 2; room++) { /* no eventfd; no epoll */
        struct rlimit less = {(rlim_t)(lowest + room), limit.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &less) == 0);
        CHECK_EQUAL(ou_loop_open(&other, NULL, NULL), -EMFILE);
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHECK_EQUAL(count_fds(), before);
    }
}

TEST(close_drops_all)
{
    int before = count_fds();
    begin();
    int pair[2];
    make_pair(pair);
    probe ready = probe_make('r', &loop);
    probe posted = probe_make('p', &loop);
    probe timed = probe_make('t', &loop);
    probe again = probe_make('g', &loop);
    probe late = probe_make('l', &loop);
    probe_io io;
    probe_io_init(&io, 'i', &loop);
    ou_io_start(&loop, &io.io, pair[0], OU_IN, OU_EDGE);
    probe_push(&ready);
    posted.refs = 1;
    ou_inbox_post(&loop.inbox, &posted.job);
    probe_start(&timed, 1.0);
    late.refs = 1;
    ou_loop_defer(&loop, &late.job);
    again.result = -1;
    probe_push(&again);
    ou_io_again(&loop, &io.io, OU_IN);
    long seen = 0;
    CHECK_EQUAL(ou_loop_visit(&loop, &seen), 0);
    CHECK_EQUAL(seen, 7); /* five jobs, the watch, and its queued job */
    ou_loop_drop_jobs(&loop);
    CHECK_EQUAL(ready.refs + posted.refs + timed.refs + again.refs, 0);
    CHECK_EQUAL(late.refs, 0);
    CHECK_EQUAL(io.refs, 1); /* the watch remains */
    seen = 0;
    CHECK_EQUAL(ou_loop_visit(&loop, &seen), 0);
    CHECK_EQUAL(seen, 1);
    probe_push(&ready);
    probe_start(&timed, 1.0);
    CHECK(ou_loop_scratch(&loop) != NULL);
    CHECK(ou_loop_scratch(&loop) == loop.scratch);
    end();
    CHECK_EQUAL(ready.refs + timed.refs, 0);
    CHECK_EQUAL(io.refs, 0);
    CHECK(!ou_io_started(&io.io));
    CHECK(probe_said(""));
    close_pair(pair);
    CHECK_EQUAL(count_fds(), before);
}

static int visits_left;

static int
visit_some(ou_job *job, void *visitor)
{
    (void)job;
    (void)visitor;
    return --visits_left == 0 ? 5 : 0;
}

TEST(visit_stops_where_it_is_told)
{
    static ou_job_kind kind = {.run = probe_run, .drop = probe_drop};
    kind.visit = visit_some;
    begin();
    probe probes[3];
    for (int i = 0; i < 3; i++) {
        probes[i] = probe_make('a', &loop);
        probes[i].job.kind = &kind;
    }
    probe_push(&probes[0]);
    ou_inbox_post(&loop.inbox, &probes[1].job);
    probe_start(&probes[2], 1.0);
    for (int at = 1; at <= 3; at++) {
        visits_left = at;
        CHECK_EQUAL(ou_loop_visit(&loop, NULL), 5);
    }
    visits_left = 4;
    CHECK_EQUAL(ou_loop_visit(&loop, NULL), 0);
    end();
}

static void
drop_that_queues(ou_job *job)
{
    static probe other;
    probe *self = PROBE_OF(job, probe, job);
    self->refs--;
    other = probe_make('z', self->loop);
    probe_push(&other);
}

TEST(a_drop_may_queue_again)
{
    static const ou_job_kind kind = {.drop = drop_that_queues};
    begin();
    probe a = probe_make('a', &loop);
    a.job.kind = &kind;
    probe_push(&a);
    end();
    CHECK_EQUAL(a.refs, 0);
    CHECK(probe_said(""));
}

TEST(no_memory_for_the_scratch)
{
    begin();
    check_alloc_left = 0;
    char *scratch = ou_loop_scratch(&loop);
    check_alloc_left = -1;
    CHECK(scratch == NULL);
    CHECK(ou_loop_scratch(&loop) != NULL);
    end();
}

/* Fork */

TEST(a_child_disturbs_nothing)
{
    begin();
    int pairs[3][2];
    probe_io ios[3];
    for (int i = 0; i < 3; i++) {
        make_pair(pairs[i]);
        probe_io_init(&ios[i], (char)('a' + i), &loop);
        ou_io_start(&loop, &ios[i].io, pairs[i][0], OU_IN,
                    i == 1 ? OU_EDGE : OU_LEVEL);
    }
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(!ou_loop_forked(&loop));
    pid_t pid = fork(); /* with no hook, as a C library would */
    REQUIRE(pid >= 0);
    if (pid == 0) {
        check_broken = 0;
        CHECK(ou_loop_forked(&loop));
        CHECK_EQUAL(ou_io_want(&loop, &ios[0].io, 0), 0);
        ou_io_stop(&loop, &ios[1].io);
        probe_io late;
        probe_io_init(&late, 'l', &loop);
        CHECK_EQUAL(ou_io_start(&loop, &late.io, pairs[0][1], OU_IN, OU_LEVEL),
                    -EBADF);
        ou_loop_close(&loop);
        for (int i = 0; i < 3; i++) {
            CHECK_EQUAL(ios[i].refs, 0);
        }
        /* A new loop works. */
        REQUIRE(ou_loop_open(&loop, NULL, NULL) == 0);
        int fresh[2];
        make_pair(fresh);
        probe_io_init(&late, 'l', &loop);
        CHECK_EQUAL(ou_io_start(&loop, &late.io, fresh[0], OU_IN, OU_LEVEL),
                    0);
        put(fresh[1]);
        CHECK_EQUAL(probe_wait_turn(&loop), 0);
        CHECK(probe_said("l"));
        ou_loop_close(&loop);
        _exit(check_broken);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQUAL(status, 0);
    for (int i = 0; i < 3; i++) {
        put(pairs[i][1]);
        ios[i].act = get;
    }
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK_EQUAL(probe_log_size, 3);
    probe_forget();
    for (int i = 0; i < 3; i++) {
        ou_io_stop(&loop, &ios[i].io);
        close_pair(pairs[i]);
    }
    end();
}

TEST(a_child_goes_on_apart)
{
    begin();
    int pairs[2][2];
    probe_io ios[2];
    for (int i = 0; i < 2; i++) {
        make_pair(pairs[i]);
        probe_io_init(&ios[i], (char)('a' + i), &loop);
        ios[i].act = get;
        ou_io_start(&loop, &ios[i].io, pairs[i][0], OU_IN,
                    i == 1 ? OU_EDGE : OU_LEVEL);
    }
    CHECK_EQUAL(probe_turn(&loop), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        check_broken = 0;
        CHECK_EQUAL(ou_loop_adopt(&loop), 0);
        CHECK(!ou_loop_forked(&loop));
        put(pairs[0][1]);
        put(pairs[1][1]);
        CHECK_EQUAL(probe_wait_turn(&loop), 0);
        CHECK_EQUAL(probe_log_size, 2);
        ou_io_stop(&loop, &ios[0].io);
        /* Its wake-up is its own. */
        ou_inbox_wake(&loop.inbox);
        CHECK_EQUAL(probe_wait_turn(&loop), 0);
        ou_loop_close(&loop);
        _exit(check_broken);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_EQUAL(status, 0);
    put(pairs[0][1]);
    put(pairs[1][1]);
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK_EQUAL(probe_log_size, 2);
    probe_forget();
    for (int i = 0; i < 2; i++) {
        ou_io_stop(&loop, &ios[i].io);
        close_pair(pairs[i]);
    }
    end();
}

int
main(void)
{
    RUN(a_failed_open_leaves_nothing);
    RUN(close_drops_all);
    RUN(visit_stops_where_it_is_told);
    RUN(a_drop_may_queue_again);
    RUN(no_memory_for_the_scratch);
    RUN(a_child_disturbs_nothing);
    RUN(a_child_goes_on_apart);
    return check_report();
}
