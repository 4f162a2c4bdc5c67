/* What jobs defer: to their end, or to that of several in succession. */
#include "check.h"
#include "loop_fixture.h"

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

/* Batched kinds */

static const ou_job_kind batched_kind = {
    .run = probe_in_run,
    .drop = probe_in_drop,
    .hold = probe_in_hold,
    .visit = probe_visit,
    .batched = true,
};

enum { WATCHES = 3 };
static probe_io watches[WATCHES];
static probe answers[WATCHES];
static int pairs[WATCHES][2];

/* Receive, and answer at the end. */
static void
answer(probe_io *self, unsigned direction)
{
    probe *job = &answers[self - watches];
    get(self, direction);
    *job = probe_make((char)(self->letter - 'a' + 'x'), self->loop);
    job->refs = 1;
    ou_loop_defer(self->loop, &job->job);
}

static void
answer_late(probe_io *self, unsigned direction)
{
    answer(self, direction);
    self->loop->ticker.frequency = 1e-9; /* whatever has been is long ago */
}

static void
begin_watches(void)
{
    begin();
    for (int i = 0; i < WATCHES; i++) {
        make_pair(pairs[i]);
        probe_io *self = &watches[i];
        probe_io_init(self, (char)('a' + i), &loop);
        ou_io_init(&self->io, &batched_kind, &probe_out_kind);
        self->act = answer;
        ou_io_start(&loop, &self->io, pairs[i][0], OU_IN, OU_LEVEL);
        put(pairs[i][1]);
    }
    loop.ticker.frequency = 1e18; /* no time passes */
}

static void
end_watches(void)
{
    for (int i = 0; i < WATCHES; i++) {
        ou_io_stop(&loop, &watches[i].io);
        close_pair(pairs[i]);
        CHECK_EQUAL(answers[i].refs, 0);
    }
    end();
}

TEST(batched_jobs_answer_together)
{
    begin_watches();
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(probe_said("abcxyz"));
    end_watches();
}

TEST(no_answer_waits_for_long)
{
    begin_watches();
    watches[1].act = answer_late;
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(probe_said("abxycz"));
    end_watches();
}

TEST(no_answer_waits_for_a_job_of_another_kind)
{
    begin_watches();
    watches[1].io.in.kind = &probe_in_kind;
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(probe_said("axbycz"));
    end_watches();
}

static void
answer_and_queue(probe_io *self, unsigned direction)
{
    answer(self, direction);
    probe_push(self->other);
}

TEST(no_answer_waits_for_the_next_turn)
{
    begin_watches();
    probe next = probe_make('n', &loop);
    watches[0].act = answer_and_queue;
    watches[0].other = &next;
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(probe_said("abcxyz"));
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("n"));
    end_watches();
}

TEST(answers_are_given_although_a_job_fails)
{
    begin_watches();
    watches[1].result = -5;
    CHECK_EQUAL(probe_wait_turn(&loop), -5);
    CHECK(probe_said("abxy"));
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("cz"));
    end_watches();
}

static void
fail_to_answer(probe_io *self, unsigned direction)
{
    answer(self, direction);
    answers[self - watches].result = -7;
}

TEST(no_event_is_lost_to_an_answer_that_fails)
{
    begin_watches();
    watches[0].act = fail_to_answer;
    watches[1].io.in.kind = &probe_in_kind;
    CHECK_EQUAL(probe_wait_turn(&loop), -7);
    CHECK(probe_said("ax"));
    CHECK_EQUAL(probe_turn(&loop), 0);
    CHECK(probe_said("bycz"));
    end_watches();
}

static void
stop_next(probe_io *self, unsigned direction)
{
    (void)direction;
    ou_io_stop(self->loop, &watches[1].io);
}

static void
stop_next_at_the_end(probe *self)
{
    ou_io_stop(self->loop, &watches[1].io);
}

static void
answer_by_stopping_next(probe_io *self, unsigned direction)
{
    answer(self, direction);
    answers[self - watches].act = stop_next_at_the_end;
}

TEST(an_answer_may_stop_the_next_watch)
{
    begin_watches();
    watches[0].act = answer_by_stopping_next;
    watches[1].io.in.kind = &probe_in_kind;
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(probe_said("axcz"));
    end_watches();
    begin_watches();
    watches[0].act = stop_next;
    CHECK_EQUAL(probe_wait_turn(&loop), 0);
    CHECK(probe_said("acz"));
    end_watches();
}

int
main(void)
{
    RUN(deferred_jobs_run_at_the_end_of_their_job);
    RUN(batched_jobs_answer_together);
    RUN(no_answer_waits_for_long);
    RUN(no_answer_waits_for_a_job_of_another_kind);
    RUN(no_answer_waits_for_the_next_turn);
    RUN(answers_are_given_although_a_job_fails);
    RUN(no_event_is_lost_to_an_answer_that_fails);
    RUN(an_answer_may_stop_the_next_watch);
    return check_report();
}
