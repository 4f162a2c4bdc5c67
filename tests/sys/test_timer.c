/* The heap of timers: order, true removal, and who owns the reference. */
#include <errno.h>
#include <math.h>

#include "check.h"
#include "probe.h"

/* Only its timers are used. */
static ou_loop loop;

static void
expire_and_run(double until)
{
    ou_queue ready = {NULL, NULL};
    ou_timers_expire(&loop.timers, until, &ready);
    ou_job *job;
    while ((job = ou_queue_pop(&ready)) != NULL) {
        job->kind->run(job);
    }
}

TEST(by_deadline_then_by_start)
{
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    probe c = probe_make('c', &loop);
    probe d = probe_make('d', &loop);
    probe_start(&c, 2.0);
    probe_start(&d, 2.0);
    probe_start(&a, 1.0);
    probe_start(&b, 1.0);
    CHECK(ou_timers_first(&loop.timers) == 1.0);
    expire_and_run(1.0); /* due only if before */
    CHECK(probe_said(""));
    expire_and_run(1.5);
    CHECK(probe_said("ab"));
    CHECK(!ou_timer_started(&a.timer));
    CHECK(ou_timer_started(&c.timer));
    expire_and_run(INFINITY);
    CHECK(probe_said("cd"));
    CHECK_EQUAL(a.refs + b.refs + c.refs + d.refs, 0);
    ou_timers_free(&loop.timers);
}

TEST(equal_deadlines_keep_their_order)
{
    enum { COUNT = 200 };
    static probe probes[COUNT];
    static probe others[COUNT];
    for (int i = 0; i < COUNT; i++) {
        probes[i] = probe_make((char)('0' + i % 64), &loop);
        others[i] = probe_make('!', &loop);
        probe_start(&probes[i], 5.0);
        probe_start(&others[i], 5.0 + i % 3);
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK(ou_timer_stop(&loop.timers, &others[i].timer));
    }
    expire_and_run(6.0);
    char wanted[COUNT + 1] = {0};
    for (int i = 0; i < COUNT; i++) {
        wanted[i] = (char)('0' + i % 64);
    }
    CHECK(probe_said(wanted));
    ou_timers_free(&loop.timers);
}

TEST(stop_gives_the_reference_back)
{
    probe a = probe_make('a', &loop);
    ou_timer_init(&a.timer, &a.job);
    CHECK(!ou_timer_stop(&loop.timers, &a.timer));
    probe_start(&a, 1.0);
    CHECK(ou_timer_stop(&loop.timers, &a.timer));
    CHECK_EQUAL(a.refs, 1); /* ours again: the engine did not drop it */
    CHECK(!ou_timer_stop(&loop.timers, &a.timer));
    CHECK_EQUAL(loop.timers.count, 0);
    expire_and_run(INFINITY);
    CHECK(probe_said(""));
    ou_timers_free(&loop.timers);
}

/* Every slot's timer knows it, and no child comes before its parent. */
static bool
heap_is_sound(void)
{
    const ou_timers *timers = &loop.timers;
    for (size_t i = 0; i < timers->count; i++) {
        const ou_timer_slot *slot = &timers->slots[i];
        if (slot->timer->index != i + 1) {
            return false;
        }
        const ou_timer_slot *parent = &timers->slots[i > 0 ? (i - 1) / 4 : 0];
        if (slot->deadline < parent->deadline
            || (slot->deadline == parent->deadline
                && slot->order < parent->order)) {
            return false;
        }
    }
    return true;
}

TEST(random_starts_and_stops)
{
    enum { COUNT = 500, STEPS = 20000 };
    static probe probes[COUNT];
    static double deadlines[COUNT];
    srand(12345);
    for (int i = 0; i < COUNT; i++) {
        probes[i] = probe_make('x', &loop);
        ou_timer_init(&probes[i].timer, &probes[i].job);
    }
    size_t started = 0;
    for (int step = 0; step < STEPS; step++) {
        int i = rand() % COUNT;
        if (ou_timer_started(&probes[i].timer)) {
            CHECK(ou_timer_stop(&loop.timers, &probes[i].timer));
            probes[i].refs--;
            started--;
        }
        else {
            deadlines[i] = rand() % 100;
            REQUIRE(probe_start(&probes[i], deadlines[i]) == 0);
            started++;
        }
        CHECK_EQUAL(loop.timers.count, started);
        if (step % 100 == 0) {
            REQUIRE(heap_is_sound());
        }
    }
    while (loop.timers.count > 0) {
        double first = INFINITY;
        for (int i = 0; i < COUNT; i++) {
            if (ou_timer_started(&probes[i].timer)) {
                first = fmin(first, deadlines[i]);
            }
        }
        CHECK(ou_timers_first(&loop.timers) == first);
        expire_and_run(first + 0.5);
        REQUIRE(heap_is_sound());
        for (int i = 0; i < COUNT; i++) {
            if (ou_timer_started(&probes[i].timer)) {
                CHECK(deadlines[i] > first);
            }
        }
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQUAL(probes[i].refs, 0);
    }
    probe_forget();
    ou_timers_free(&loop.timers);
}

TEST(crowded)
{
    probe probes[3];
    double deadlines[3] = {5.0, 7.0, 6.0};
    for (int i = 0; i < 3; i++) {
        probes[i] = probe_make('x', &loop);
        probe_start(&probes[i], deadlines[i]);
        CHECK_EQUAL(ou_timers_crowded(&loop.timers, 1.0), i == 2);
    }
    CHECK(!ou_timers_crowded(&loop.timers, 0.5));
    ou_timer_stop(&loop.timers, &probes[2].timer);
    CHECK(!ou_timers_crowded(&loop.timers, 1.0));
    ou_timers_drop_all(&loop.timers);
    ou_timers_free(&loop.timers);
}

TEST(odd_deadlines)
{
    probe nan = probe_make('n', &loop);
    probe never = probe_make('i', &loop);
    probe ever = probe_make('m', &loop);
    probe one = probe_make('1', &loop);
    probe_start(&never, INFINITY);
    probe_start(&one, 1.0);
    probe_start(&ever, -INFINITY);
    probe_start(&nan, NAN);
    CHECK(heap_is_sound());
    expire_and_run(2.0);
    CHECK(probe_said("mn1"));
    expire_and_run(1e300);
    CHECK(probe_said(""));
    CHECK(ou_timers_first(&loop.timers) == INFINITY);
    ou_timer_stop(&loop.timers, &never.timer);
    ou_timers_free(&loop.timers);
}

TEST(memory_is_given_back)
{
    enum { COUNT = 10000 };
    probe *probes = calloc(COUNT, sizeof(probe));
    REQUIRE(probes != NULL);
    for (int i = 0; i < COUNT; i++) {
        probes[i] = probe_make('x', &loop);
        probe_start(&probes[i], i * 7919 % COUNT);
    }
    size_t most = loop.timers.capacity;
    CHECK(most >= COUNT);
    for (int i = 0; i < COUNT; i++) {
        ou_timer_stop(&loop.timers, &probes[i].timer);
    }
    CHECK(loop.timers.capacity < most / 16);
    free(probes);
    ou_timers_free(&loop.timers);
}

TEST(no_memory_changes_nothing)
{
    enum { COUNT = 1000 };
    static probe probes[COUNT];
    int failures = 0;
    for (int i = 0; i < COUNT; i++) {
        probes[i] = probe_make('x', &loop);
        check_alloc_left = 0;
        int result = probe_start(&probes[i], COUNT - i);
        check_alloc_left = -1;
        if (result < 0) {
            failures++;
            CHECK_EQUAL(result, -ENOMEM);
            CHECK(!ou_timer_started(&probes[i].timer));
            CHECK_EQUAL(loop.timers.count, i);
            CHECK(heap_is_sound());
            CHECK_EQUAL(probe_start(&probes[i], COUNT - i), 0);
        }
    }
    CHECK(failures > 0);
    /* A heap that cannot shrink goes on as it is. */
    check_alloc_left = 0;
    for (int i = 0; i < COUNT; i++) {
        CHECK(ou_timer_stop(&loop.timers, &probes[i].timer));
    }
    check_alloc_left = -1;
    CHECK_EQUAL(loop.timers.count, 0);
    ou_timers_free(&loop.timers);
}

static probe victims[3];

static void
drop_and_stop_others(ou_job *job)
{
    probe_drop(job);
    for (int i = 0; i < 3; i++) {
        CHECK(!ou_timer_stop(&loop.timers, &victims[i].timer));
    }
}

TEST(drop_all)
{
    static const ou_job_kind kind = {.drop = drop_and_stop_others};
    for (int i = 0; i < 3; i++) {
        victims[i] = probe_make('v', &loop);
        victims[i].job.kind = &kind;
        probe_start(&victims[i], 1.0);
    }
    ou_timers_drop_all(&loop.timers);
    CHECK_EQUAL(loop.timers.count, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(victims[i].refs, 0);
        CHECK(!ou_job_queued(&victims[i].job));
    }
    ou_timers_free(&loop.timers);
}

TEST(visit)
{
    probe a = probe_make('a', &loop);
    probe b = probe_make('b', &loop);
    probe_start(&a, 1.0);
    probe_start(&b, 2.0);
    long seen = 0;
    CHECK_EQUAL(ou_timers_visit(&loop.timers, &seen), 0);
    CHECK_EQUAL(seen, 2);
    ou_timers_drop_all(&loop.timers);
    ou_timers_free(&loop.timers);
}

int
main(void)
{
    RUN(by_deadline_then_by_start);
    RUN(equal_deadlines_keep_their_order);
    RUN(stop_gives_the_reference_back);
    RUN(random_starts_and_stops);
    RUN(crowded);
    RUN(odd_deadlines);
    RUN(memory_is_given_back);
    RUN(no_memory_changes_nothing);
    RUN(drop_all);
    RUN(visit);
    return check_report();
}
