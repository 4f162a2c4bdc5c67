/* How long the loop waits, and when it does not. */
#include <errno.h>
#include <math.h>

#include "check.h"
#include "loop_fixture.h"
#include "sys/clock.h"

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

static bool
whole_milliseconds(double seconds)
{
    return fabs(seconds * 1e3 - round(seconds * 1e3)) < 1e-9;
}

TEST(waits_for_a_crowd_at_once)
{
    begin();
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    double deadline = ou_loop_now(&loop) + 10.0;
    probe_start(&a, deadline);
    probe_start(&b, deadline + 0.002);
    bool exact = false;
    for (int i = 0; i < 10 && !exact; i++) { /* it may be whole by chance */
        exact = !whole_milliseconds(ou_loop_prepare(&loop));
    }
    CHECK(exact);
    ou_timer_stop(&loop.timers, &b.timer);
    probe_start(&b, deadline + 0.0005);
    double timeout = ou_loop_prepare(&loop);
    CHECK(whole_milliseconds(timeout));
    CHECK(ou_loop_now(&loop) + timeout >= deadline);
    CHECK(timeout < 10.001);
    end();
    /* A clock of somebody else's is told the exact time. */
    begin_with_fake_clock();
    probe_start(&a, 101.0 + 1.0 / 4096);
    probe_start(&b, 101.0 + 1.0 / 4096);
    CHECK(ou_loop_prepare(&loop) == 1.0 + 1.0 / 4096);
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

TEST(looks_for_an_answer_before_it_sleeps)
{
    begin();
    ou_loop_expect(&loop, 1e-6);
    CHECK(ou_loop_prepare(&loop) == -1.0);
    CHECK_EQUAL(ou_loop_wait(&loop, -1.0), 0); /* in vain: an empty turn */
    ou_loop_collect(&loop, 0);
    CHECK(ou_loop_prepare(&loop) == -1.0);
    CHECK(loop.look == 0); /* the next one sleeps */
    ou_loop_expect(&loop, 60.0);
    CHECK(ou_loop_prepare(&loop) == -1.0);
    probe answer = probe_make('a', &loop);
    ou_inbox_post(&loop.inbox, &answer.job);
    int n = ou_loop_wait(&loop, -1.0);
    CHECK_EQUAL(n, 0);
    ou_loop_collect(&loop, n);
    CHECK_EQUAL(ou_loop_dispatch(&loop), 0);
    CHECK(probe_said("a"));
    end();
}

TEST(looks_no_longer_than_to_the_first_timer)
{
    begin();
    probe due = probe_make('t', &loop);
    probe_start(&due, ou_loop_now(&loop) + 1e-3);
    ou_loop_expect(&loop, 60.0);
    double timeout = ou_loop_prepare(&loop);
    CHECK(timeout > 0);
    CHECK(loop.look <= timeout);
    CHECK_EQUAL(ou_loop_wait(&loop, timeout), 0);
    ou_loop_collect(&loop, 0);
    CHECK_EQUAL(ou_loop_dispatch(&loop), 0);
    CHECK(probe_said("t"));
    end();
}

TEST(looks_for_nothing_with_work_to_do)
{
    begin();
    probe other = probe_make('o', &loop);
    ou_loop_push(&loop, &other.job);
    ou_loop_expect(&loop, 60.0);
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("o"));
    CHECK(ou_loop_prepare(&loop) == -1.0);
    CHECK(loop.look == 0); /* and it is over */
    end();
}

int
main(void)
{
    RUN(waits_for_the_first_timer);
    RUN(waits_for_a_crowd_at_once);
    RUN(waits_a_day_at_most);
    RUN(reads_the_clock_once_a_turn_at_most);
    RUN(a_timer_wakes_the_loop_in_time);
    RUN(polls_may_be_left_out);
    RUN(the_inbox_is_looked_at_without_a_poll);
    RUN(a_wakeup_ends_the_wait);
    RUN(looks_for_an_answer_before_it_sleeps);
    RUN(looks_no_longer_than_to_the_first_timer);
    RUN(looks_for_nothing_with_work_to_do);
    return check_report();
}
