/* The turn of the loop: order, what is left behind, when it waits. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "check.h"
#include "probe.h"
#include "sys/clock.h"
#include "sys/sock.h"

static ou_loop loop;

/* A clock that the test sets, and counts the readings of. */
static double fake_time;
static int clock_readings;

static double
fake_clock(void *arg)
{
    CHECK(arg == &loop);
    clock_readings++;
    return fake_time;
}

static void
begin(void)
{
    REQUIRE(ou_loop_open(&loop, NULL, NULL) == 0);
    probe_forget();
}

static void
begin_with_fake_clock(void)
{
    begin();
    loop.clock = fake_clock;
    loop.clock_arg = &loop;
    loop.resolution = 0.25;
    fake_time = 100.0;
    clock_readings = 0;
}

static void
end(void)
{
    ou_loop_close(&loop);
}

static void
make_pair(int *ret_pair)
{
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                       ret_pair)
            == 0);
}

static void
close_pair(const int *pair)
{
    close(pair[0]);
    close(pair[1]);
}

static void
put(int fd)
{
    CHECK_EQUAL(write(fd, "x", 1), 1);
}

static void
get(probe_io *self, unsigned direction)
{
    char byte;
    CHECK_EQUAL(direction, OU_IN);
    CHECK_EQUAL(ou_sock_recv(self->io.fd, &byte, 1), 1);
}

/* Order */

static void
push_itself(probe *self)
{
    self->act = NULL;
    probe_push(self);
}

TEST(what_a_job_queues_is_for_the_next_turn)
{
    begin();
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    a.act = push_itself;
    probe_push(&a);
    probe_push(&b);
    CHECK(!ou_loop_idle(&loop));
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("ab"));
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("a"));
    CHECK(ou_loop_idle(&loop));
    CHECK_EQUAL(a.refs + b.refs, 0);
    end();
}

TEST(ready_then_inbox_then_io_then_timers)
{
    begin_with_fake_clock();
    int pair[2];
    make_pair(pair);
    probe early = probe_make('1', &loop);
    probe posted = probe_make('2', &loop);
    probe late = probe_make('3', &loop);
    probe first = probe_make('t', &loop);
    probe second = probe_make('u', &loop);
    probe not_yet = probe_make('v', &loop);
    probe_io io;
    probe_io_init(&io, 'i', &loop);
    ou_io_start(&loop, &io.io, pair[0], OU_IN | OU_OUT, OU_LEVEL);
    put(pair[1]);
    probe_start(&second, 100.0);
    probe_start(&not_yet, 100.25); /* due before now + resolution */
    probe_start(&first, 99.0);
    probe_push(&early);
    ou_inbox_post(&loop.inbox, &posted.job);
    probe_push(&late);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("123iItu"));
    fake_time = 100.1;
    io.act = get;
    ou_io_want(&loop, &io.io, OU_IN);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("iv"));
    ou_io_stop(&loop, &io.io);
    close_pair(pair);
    end();
}

static void
post_another(probe *self)
{
    static probe other;
    other = probe_make('p', self->loop);
    ou_inbox_post(&self->loop->inbox, &other.job);
    probe_push(self);
    self->act = NULL;
}

TEST(posts_and_pushes_keep_their_order)
{
    begin();
    probe a = probe_make('a', &loop);
    a.act = post_another; /* posts p, then pushes a */
    probe_push(&a);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("apa"));
    probe b = probe_make('b', &loop);
    probe c = probe_make('c', &loop);
    ou_queue jobs = {NULL, NULL};
    ou_queue_push(&jobs, &c.job);
    ou_inbox_post(&loop.inbox, &b.job);
    ou_loop_push_all(&loop, &jobs);
    CHECK(ou_queue_empty(&jobs));
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("bc"));
    end();
}

/* Straight from the array, or through the queue */

static bool was_idle;

static void
note_idle(probe_io *self, unsigned direction)
{
    was_idle = ou_loop_idle(self->loop);
    get(self, direction);
}

TEST(io_alone_runs_while_the_loop_is_idle)
{
    begin_with_fake_clock();
    int pair[2];
    make_pair(pair);
    probe other = probe_make('o', &loop);
    probe_io io;
    probe_io_init(&io, 'i', &loop);
    io.act = note_idle;
    ou_io_start(&loop, &io.io, pair[0], OU_IN, OU_LEVEL);
    put(pair[1]);
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(was_idle);
    CHECK(probe_said("i"));
    /* Work was ready before the wait: */
    put(pair[1]);
    probe_push(&other);
    ou_loop_note_io(&loop);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("oi"));
    /* a timer is due: the job is queued before it, so not idle. */
    put(pair[1]);
    probe_start(&other, fake_time);
    ou_loop_note_io(&loop);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(!was_idle);
    CHECK(probe_said("io"));
    /* A timer that is not due does not matter. */
    put(pair[1]);
    probe_start(&other, fake_time + 10);
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(was_idle);
    CHECK(probe_said("i"));
    ou_io_stop(&loop, &io.io);
    close_pair(pair);
    end();
}

static void
push_other(probe_io *self, unsigned direction)
{
    note_idle(self, direction);
    if (self->other != NULL) {
        probe_push(self->other);
        self->other = NULL;
    }
}

TEST(idle_ends_with_the_first_push)
{
    begin();
    int pairs[2][2];
    probe_io ios[2];
    probe other = probe_make('o', &loop);
    for (int i = 0; i < 2; i++) {
        make_pair(pairs[i]);
        probe_io_init(&ios[i], 'i', &loop);
        ios[i].act = push_other;
        ou_io_start(&loop, &ios[i].io, pairs[i][0], OU_IN, OU_LEVEL);
        put(pairs[i][1]);
    }
    ios[0].other = ios[1].other = &other;
    ios[1].other = NULL;
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(probe_said("ii")); /* what was pushed is for the next turn */
    CHECK(!was_idle || ios[0].other == NULL);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("o"));
    for (int i = 0; i < 2; i++) {
        ou_io_stop(&loop, &ios[i].io);
        close_pair(pairs[i]);
    }
    end();
}

/* Jobs that fail */

TEST(what_a_failed_job_leaves_behind_runs_first)
{
    begin();
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    probe c = probe_make('c', &loop);
    probe d = probe_make('d', &loop);
    a.act = push_itself;
    b.result = -1;
    probe_push(&a);
    probe_push(&b);
    probe_push(&c);
    CHECK_EQUAL(probe_turn(&loop), -1);
    CHECK(probe_said("ab"));
    CHECK(!ou_loop_idle(&loop));
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT);
    b.result = 0;
    probe_push(&d);
    /* c is the last turn's, a was queued in it, d after it. */
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("cad"));
    end();
}

static void
check_failing_io(ou_trigger trigger, bool next_run_first)
{
    enum { COUNT = 4 };
    begin();
    int pairs[COUNT][2];
    probe_io ios[COUNT];
    for (int i = 0; i < COUNT; i++) {
        make_pair(pairs[i]);
        probe_io_init(&ios[i], (char)('a' + i), &loop);
        ios[i].act = get;
        ios[i].result = -7;
        ou_io_start(&loop, &ios[i].io, pairs[i][0], OU_IN, trigger);
    }
    if (trigger == OU_EDGE) {
        CHECK_EQUAL(probe_wait_turn(&loop), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        put(pairs[i][1]);
    }
    char wanted[] = "abcd";
    char got[COUNT + 2] = {0};
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQUAL(probe_wait_turn(&loop), -7);
        got[i] = probe_log[0];
        CHECK_EQUAL(probe_log_size, 1);
        probe_forget();
        if (next_run_first) {
            /* The next run begins with a job of its own. */
            static probe extra;
            extra = probe_make('x', &loop);
            probe_push(&extra);
        }
        if (trigger == OU_EDGE) {
            int done = got[i] - 'a';
            ou_io_drained(&ios[done].io, OU_IN);
        }
        for (int j = 0; j < COUNT; j++) {
            ios[j].result = next_run_first ? 0 : -7;
        }
        if (next_run_first) {
            CHECK_EQUAL(probe_turn(&loop), 0);
            CHECK(probe_said("bcdx"));
            break;
        }
    }
    CHECK(next_run_first || strcmp(got, wanted) == 0);
    probe_forget();
    for (int i = 0; i < COUNT; i++) {
        ou_io_stop(&loop, &ios[i].io);
        close_pair(pairs[i]);
        CHECK_EQUAL(ios[i].refs, 0);
    }
    end();
}

TEST(no_event_is_lost_to_a_failed_job)
{
    check_failing_io(OU_LEVEL, false);
    check_failing_io(OU_EDGE, false);
    check_failing_io(OU_LEVEL, true);
    check_failing_io(OU_EDGE, true);
}

TEST(a_writer_is_not_lost_to_its_failed_reader)
{
    begin();
    int pair[2];
    make_pair(pair);
    probe_io io;
    probe_io_init(&io, 'i', &loop);
    ou_io_start(&loop, &io.io, pair[0], OU_IN | OU_OUT, OU_EDGE);
    put(pair[1]);
    io.result = -1;
    CHECK_EQUAL(probe_wait_turn(&loop), -1);
    CHECK(probe_said("i"));
    io.result = 0;
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("I"));
    ou_io_stop(&loop, &io.io);
    close_pair(pair);
    end();
}

TEST(a_turn_given_up_before_dispatch_is_made_up_for)
{
    begin();
    int pair[2];
    make_pair(pair);
    probe_io io;
    probe_io_init(&io, 'i', &loop);
    ou_io_start(&loop, &io.io, pair[0], OU_IN, OU_EDGE);
    put(pair[1]);
    ou_loop_collect(&loop, ou_loop_wait(&loop, ou_loop_prepare(&loop)));
    /* A signal handler raised here; another run begins. */
    CHECK(ou_loop_prepare(&loop) == 0.0);
    ou_loop_collect(&loop, ou_loop_wait(&loop, 0.0));
    CHECK_EQUAL(ou_loop_dispatch(&loop), 0);
    CHECK(probe_said("i"));
    ou_io_stop(&loop, &io.io);
    close_pair(pair);
    end();
}

static void
run_a_turn(probe *self)
{
    CHECK_EQUAL(probe_turn(self->loop), 0);
    probe_note('/');
}

TEST(a_turn_within_a_job)
{
    begin();
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    a.act = run_a_turn; /* as nested loops do */
    probe_push(&a);
    probe_push(&b);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("ab/"));
    end();
}

/* Deferred jobs */

static probe deferred[2];

static void
defer_two(probe *self)
{
    for (int i = 0; i < 2; i++) {
        deferred[i] = probe_make((char)('x' + i), self->loop);
        deferred[i].refs = 1;
        ou_loop_defer(self->loop, &deferred[i].job);
    }
    deferred[0].result = self->result < 0 ? -9 : 0;
}

TEST(deferred_jobs_run_at_the_end_of_their_job)
{
    begin();
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    a.act = defer_two;
    probe_push(&a);
    probe_push(&b);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("axyb"));
    CHECK_EQUAL(deferred[0].refs + deferred[1].refs, 0);
    /* Also of one that fails; the first failure is told. */
    a.result = -3;
    probe_push(&a);
    probe_push(&b);
    CHECK_EQUAL(probe_turn(&loop), -3);
    CHECK(probe_said("axy"));
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("b"));
    /* Outside of any job: in the next turn, or at once. */
    defer_two(&b);
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("xy"));
    defer_two(&a);
    CHECK_EQUAL(ou_loop_run_deferred(&loop), -9);
    CHECK(probe_said("xy"));
    end();
}

/* How long to wait */

TEST(waits_for_the_first_timer)
{
    begin_with_fake_clock();
    CHECK(ou_loop_prepare(&loop) == -1.0);
    CHECK_EQUAL(clock_readings, 0); /* no timer, no clock */
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    probe_start(&a, 107.0);
    probe_start(&b, 103.0);
    CHECK(ou_loop_prepare(&loop) == 3.0);
    ou_timer_stop(&loop.timers, &b.timer);
    CHECK(ou_loop_prepare(&loop) == 7.0);
    fake_time = 106.875; /* within the resolution: due */
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT);
    fake_time = 108;
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("a"));
    end();
}

TEST(waits_for_a_crowd_at_once)
{
    begin_with_fake_clock();
    loop.resolution = 1e-9;
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    double alone = 100.0 + 1.0 / 1024;
    probe_start(&a, alone);
    probe_start(&b, 200);
    CHECK(ou_loop_prepare(&loop) == alone - 100.0); /* exactly */
    ou_timer_stop(&loop.timers, &b.timer);
    probe_start(&b, alone + 0.0005);
    CHECK(ou_loop_prepare(&loop) == 1e-3);
    ou_timer_stop(&loop.timers, &a.timer);
    probe_start(&a, alone + 0.001);
    CHECK(ou_loop_prepare(&loop) == 2e-3);
    fake_time = 100.125;
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("ba"));
    end();
}

TEST(waits_a_day_at_most)
{
    begin_with_fake_clock();
    probe a = probe_make('a', &loop);
    probe_start(&a, INFINITY);
    CHECK(ou_loop_prepare(&loop) == 24 * 3600.0);
    ou_timer_stop(&loop.timers, &a.timer);
    probe_start(&a, 1e300);
    CHECK(ou_loop_prepare(&loop) == 24 * 3600.0);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said(""));
    ou_timer_stop(&loop.timers, &a.timer);
    probe_start(&a, NAN);
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("a"));
    end();
}

TEST(reads_the_clock_once_a_turn_at_most)
{
    begin_with_fake_clock();
    probe a = probe_make('a', &loop);
    probe timed = probe_make('t', &loop);
    /* No timers: never. */
    probe_push(&a);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK_EQUAL(clock_readings, 0);
    probe_start(&timed, 200);
    probe_push(&a);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK_EQUAL(clock_readings, 1);
    /* Due without a wait between prepare and collect. */
    fake_time = 300;
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK_EQUAL(clock_readings, 2);
    CHECK(probe_said("aat"));
    end();
}

TEST(a_timer_wakes_the_loop_in_time)
{
    begin();
    probe a = probe_make('a', &loop);
    for (int i = 1; i <= 20; i++) {
        double deadline = ou_loop_now(&loop) + i * 1e-4;
        probe_start(&a, deadline);
        CHECK_EQUAL(probe_wait_turn(&loop), 0); /* one turn: no spinning */
        CHECK(probe_said("a"));
        CHECK(ou_loop_now(&loop) >= deadline - loop.resolution);
    }
    end();
}

TEST(polls_may_be_left_out)
{
    begin();
    int pair[2];
    make_pair(pair);
    probe a = probe_make('a', &loop);
    probe_io io;
    probe_io_init(&io, 'i', &loop);
    probe_push(&a);
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT); /* nothing is watched */
    CHECK_EQUAL(ou_loop_wait(&loop, OU_NO_WAIT), 0);
    ou_io_start(&loop, &io.io, pair[0], 0, OU_LEVEL);
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT); /* still nothing */
    ou_io_want(&loop, &io.io, OU_IN);
    /* A poll found nothing: not again within 50 microseconds. */
    bool left_out = false;
    for (int i = 0; i < 1000 && !left_out; i++) {
        CHECK(ou_loop_prepare(&loop) == 0.0);
        double polled = ou_clock_now();
        ou_loop_collect(&loop, ou_loop_wait(&loop, 0.0));
        double next = ou_loop_prepare(&loop);
        double elapsed = ou_clock_now() - polled;
        left_out = next == OU_NO_WAIT;
        CHECK(left_out || elapsed > 45e-6); /* the machine was busy */
        ou_loop_note_io(&loop);
    }
    CHECK(left_out);
    /* We have sent something, so an answer may be there. */
    CHECK(ou_loop_prepare(&loop) == 0.0);
    ou_loop_collect(&loop, ou_loop_wait(&loop, 0.0));
    ou_loop_note_io(&loop);
    CHECK(ou_loop_prepare(&loop) == 0.0);
    /* Turns without a poll do not count as polls. */
    ou_loop_collect(&loop, ou_loop_wait(&loop, 0.0));
    int polls = 0;
    double start = ou_clock_now();
    while (polls < 5) {
        double timeout = ou_loop_prepare(&loop);
        polls += timeout == 0.0;
        ou_loop_collect(&loop, ou_loop_wait(&loop, timeout));
    }
    CHECK(ou_clock_now() - start >= 4 * 50e-6);
    /* Neither does an interrupted one. */
    ou_loop_note_io(&loop);
    CHECK(ou_loop_prepare(&loop) == 0.0);
    ou_loop_collect(&loop, -EINTR);
    CHECK(ou_loop_prepare(&loop) == 0.0);
    /* Nor one that has found something: more may come. */
    put(pair[1]);
    ou_loop_collect(&loop, ou_loop_wait(&loop, 0.0));
    CHECK(ou_loop_prepare(&loop) == 0.0);
    /* What is watched anew may be ready. */
    io.act = get;
    CHECK_EQUAL(ou_loop_dispatch(&loop), 0);
    CHECK(probe_said("ai"));
    probe_push(&a);
    CHECK(ou_loop_prepare(&loop) == 0.0);
    ou_loop_collect(&loop, ou_loop_wait(&loop, 0.0));
    ou_io_want(&loop, &io.io, OU_IN | OU_OUT);
    CHECK(ou_loop_prepare(&loop) == 0.0);
    ou_io_stop(&loop, &io.io);
    close_pair(pair);
    end();
}

TEST(the_inbox_is_looked_at_without_a_poll)
{
    begin();
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    a.act = push_itself;
    probe_push(&a);
    ou_inbox_post(&loop.inbox, &b.job);
    b.refs = 1;
    CHECK(ou_loop_prepare(&loop) == OU_NO_WAIT);
    ou_loop_collect(&loop, 0);
    CHECK_EQUAL(ou_loop_dispatch(&loop), 0);
    CHECK(probe_said("ab"));
    end();
}

TEST(a_wakeup_ends_the_wait)
{
    begin();
    ou_inbox_wake(&loop.inbox);
    CHECK(ou_loop_prepare(&loop) == -1.0);
    CHECK_EQUAL(ou_loop_wait(&loop, -1.0), 0); /* did not block */
    CHECK(ou_inbox_prepare_wait(&loop.inbox));
    ou_inbox_wake(&loop.inbox);
    ou_inbox_finish_wait(&loop.inbox);
    CHECK_EQUAL(ou_loop_wait(&loop, -1.0), 1);
    ou_loop_collect(&loop, 1);
    CHECK_EQUAL(ou_loop_dispatch(&loop), 0);
    CHECK_EQUAL(ou_loop_wait(&loop, 0.0), 0); /* it came once */
    /* A post to a loop that has woken up writes nothing. */
    uint64_t count;
    CHECK_EQUAL(read(loop.inbox.event_fd, &count, sizeof(count)), 8);
    probe a = probe_make('a', &loop);
    CHECK_EQUAL(ou_loop_wait(&loop, 1e-4), 0);
    ou_inbox_post(&loop.inbox, &a.job);
    CHECK_EQUAL(read(loop.inbox.event_fd, &count, sizeof(count)), -1);
    end();
}

/* Opening and closing */

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

/* A backend of the binding's */

enum { FOREIGN_FDS = 64 };

typedef struct foreign {
    unsigned interest[FOREIGN_FDS];
    uint32_t generation[FOREIGN_FDS];
    unsigned ready[FOREIGN_FDS]; /* what the test has made ready */
    int waits;
    double timeout; /* of the last wait */
} foreign;

static int
foreign_add(ou_poller *poller, int fd, uint32_t generation, unsigned interest,
            ou_trigger trigger)
{
    foreign *self = poller->extension;
    CHECK_EQUAL(trigger, OU_LEVEL);
    REQUIRE(fd < FOREIGN_FDS);
    self->interest[fd] = interest;
    self->generation[fd] = generation;
    return 0;
}

static int
foreign_remove(ou_poller *poller, int fd)
{
    foreign *self = poller->extension;
    self->interest[fd] = 0;
    return 0;
}

static int
foreign_wait(ou_poller *poller, double timeout)
{
    foreign *self = poller->extension;
    int count = 0;
    self->waits++;
    self->timeout = timeout;
    for (int fd = 0; fd < FOREIGN_FDS; fd++) {
        unsigned ready = self->ready[fd] & self->interest[fd];
        if (ready != 0) {
            poller->events[count++] =
                (ou_event){fd, self->generation[fd], ready};
        }
    }
    return count;
}

static const ou_poller_backend foreign_backend = {
    .name = "foreign",
    .foreign = true,
    .add = foreign_add,
    .modify = foreign_add,
    .remove = foreign_remove,
    .wait = foreign_wait,
};

TEST(a_foreign_backend)
{
    static foreign selector;
    REQUIRE(ou_loop_open(&loop, &foreign_backend, &selector) == 0);
    probe a = probe_make('a', &loop);
    probe_io io;
    int pair[2];
    make_pair(pair);
    probe_io_init(&io, 'i', &loop);
    int wake_fd = loop.inbox.event_fd;
    CHECK_EQUAL(selector.interest[wake_fd], OU_IN);
    /* It is asked in every turn, although nothing is watched. */
    probe_push(&a);
    CHECK(ou_loop_prepare(&loop) == 0.0);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK_EQUAL(selector.waits, 1);
    CHECK(probe_said("a"));
    /* An edge is made a level. */
    CHECK_EQUAL(ou_io_start(&loop, &io.io, pair[0], 0, OU_EDGE), 0);
    CHECK_EQUAL(selector.interest[pair[0]], 0);
    CHECK_EQUAL(ou_io_want(&loop, &io.io, OU_IN), 0);
    CHECK_EQUAL(selector.interest[pair[0]], OU_IN);
    selector.ready[pair[0]] = OU_IN | OU_OUT;
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("ii"));
    CHECK_EQUAL(ou_io_want(&loop, &io.io, OU_OUT), 0);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("I"));
    ou_io_stop(&loop, &io.io);
    CHECK_EQUAL(selector.interest[pair[0]], 0);
    /* The wake-up is read, or it would be reported for ever. */
    CHECK(ou_inbox_prepare_wait(&loop.inbox));
    ou_inbox_wake(&loop.inbox);
    ou_inbox_finish_wait(&loop.inbox);
    selector.ready[wake_fd] = OU_IN;
    CHECK_EQUAL(probe_turn(&loop), 0);
    uint64_t count;
    CHECK_EQUAL(read(wake_fd, &count, sizeof(count)), -1);
    selector.ready[wake_fd] = 0;
    CHECK(ou_loop_prepare(&loop) == -1.0);
    CHECK_EQUAL(ou_loop_wait(&loop, -1.0), 0);
    CHECK(selector.timeout == -1.0);
    /* Events of nobody's are ignored, and nothing is rebuilt. */
    selector.interest[pair[1]] = OU_IN;
    selector.ready[pair[1]] = OU_IN;
    for (int i = 0; i < 5; i++) {
        CHECK_EQUAL(probe_turn(&loop), 0);
    }
    CHECK(probe_said(""));
    close_pair(pair);
    end();
}

int
main(void)
{
    RUN(what_a_job_queues_is_for_the_next_turn);
    RUN(ready_then_inbox_then_io_then_timers);
    RUN(posts_and_pushes_keep_their_order);
    RUN(io_alone_runs_while_the_loop_is_idle);
    RUN(idle_ends_with_the_first_push);
    RUN(what_a_failed_job_leaves_behind_runs_first);
    RUN(no_event_is_lost_to_a_failed_job);
    RUN(a_writer_is_not_lost_to_its_failed_reader);
    RUN(a_turn_given_up_before_dispatch_is_made_up_for);
    RUN(a_turn_within_a_job);
    RUN(deferred_jobs_run_at_the_end_of_their_job);
    RUN(waits_for_the_first_timer);
    RUN(waits_for_a_crowd_at_once);
    RUN(waits_a_day_at_most);
    RUN(reads_the_clock_once_a_turn_at_most);
    RUN(a_timer_wakes_the_loop_in_time);
    RUN(polls_may_be_left_out);
    RUN(the_inbox_is_looked_at_without_a_poll);
    RUN(a_wakeup_ends_the_wait);
    RUN(a_failed_open_leaves_nothing);
    RUN(close_drops_all);
    RUN(visit_stops_where_it_is_told);
    RUN(a_drop_may_queue_again);
    RUN(no_memory_for_the_scratch);
    RUN(a_child_disturbs_nothing);
    RUN(a_foreign_backend);
    return check_report();
}
