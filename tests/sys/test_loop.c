/* The turn of the loop: order, and what a job that fails leaves behind. */
#include "check.h"
#include "loop_fixture.h"

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
    return check_report();
}
