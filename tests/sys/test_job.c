/* Queues and lines of jobs: order, membership, and who owns the reference. */
#include "check.h"
#include "probe.h"

enum { COUNT = 5 };

static void
fill(ou_queue *queue, probe *probes, int count)
{
    *queue = (ou_queue){NULL, NULL};
    for (int i = 0; i < count; i++) {
        probes[i] = probe_make((char)('a' + i), NULL);
        probes[i].refs = 1;
        ou_queue_push(queue, &probes[i].job);
    }
}

static void
run_all(ou_queue *queue)
{
    ou_job *job;
    while ((job = ou_queue_pop(queue)) != NULL) {
        CHECK(!ou_job_queued(job));
        job->kind->run(job);
    }
    CHECK(ou_queue_empty(queue));
}

TEST(first_in_first_out)
{
    ou_queue queue;
    probe probes[COUNT];
    fill(&queue, probes, COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK(ou_job_queued(&probes[i].job));
    }
    run_all(&queue);
    CHECK(probe_said("abcde"));
    CHECK(ou_queue_pop(&queue) == NULL);
}

TEST(append_empties_the_other)
{
    ou_queue one;
    ou_queue two;
    ou_queue empty = {NULL, NULL};
    probe first[2];
    probe second[2];
    fill(&one, first, 2);
    fill(&two, second, 2);
    ou_queue_append(&one, &two);
    CHECK(ou_queue_empty(&two));
    ou_queue_append(&one, &empty);
    ou_queue_append(&empty, &one);
    CHECK(ou_queue_empty(&one));
    run_all(&empty);
    CHECK(probe_said("abab"));
    /* Both are usable afterwards. */
    fill(&two, second, 2);
    ou_queue_append(&one, &two);
    ou_queue_push(&two, ou_queue_pop(&one));
    run_all(&one);
    run_all(&two);
    CHECK(probe_said("ba"));
}

TEST(remove_anywhere)
{
    for (int at = 0; at < COUNT; at++) {
        ou_queue queue;
        probe probes[COUNT];
        fill(&queue, probes, COUNT);
        CHECK(ou_queue_remove(&queue, &probes[at].job));
        CHECK(!ou_job_queued(&probes[at].job));
        CHECK(!ou_queue_remove(&queue, &probes[at].job));
        CHECK_EQUAL(probes[at].refs, 1);
        /* The tail is right: what is pushed now comes last. */
        ou_queue_push(&queue, &probes[at].job);
        run_all(&queue);
        char wanted[COUNT + 1] = {0};
        int size = 0;
        for (int i = 0; i < COUNT; i++) {
            if (i != at) {
                wanted[size++] = (char)('a' + i);
            }
        }
        wanted[size] = (char)('a' + at);
        CHECK(probe_said(wanted));
    }
}

TEST(remove_the_only_one)
{
    ou_queue queue;
    probe one;
    fill(&queue, &one, 1);
    CHECK(ou_queue_remove(&queue, &one.job));
    CHECK(ou_queue_empty(&queue));
    CHECK(!ou_queue_remove(&queue, &one.job));
    ou_queue_push(&queue, &one.job);
    run_all(&queue);
    CHECK(probe_said("a"));
}

static ou_queue *dropping;

static void
drop_and_push_another(ou_job *job)
{
    static probe late;
    probe_drop(job);
    CHECK(ou_queue_empty(dropping));
    late = probe_make('z', NULL);
    ou_queue_push(dropping, &late.job);
}

TEST(drop_all_leaves_what_drop_queues)
{
    static const ou_job_kind kind = {.drop = drop_and_push_another};
    ou_queue queue;
    probe probes[3];
    fill(&queue, probes, 3);
    probes[2].job.kind = &kind;
    dropping = &queue;
    ou_queue_drop_all(&queue);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(probes[i].refs, 0);
        CHECK(!ou_job_queued(&probes[i].job));
    }
    run_all(&queue);
    CHECK(probe_said("z"));
}

static int
visit_until_two(ou_job *job, void *visitor)
{
    (void)job;
    long *seen = visitor;
    return ++*seen == 2 ? 42 : 0;
}

TEST(visit_sees_all_or_stops)
{
    static const ou_job_kind stops = {.visit = visit_until_two};
    static const ou_job_kind unseen = {.visit = NULL};
    ou_queue queue;
    probe probes[COUNT];
    long seen = 0;
    fill(&queue, probes, COUNT);
    CHECK_EQUAL(ou_queue_visit(&queue, &seen), 0);
    CHECK_EQUAL(seen, COUNT);
    probes[0].job.kind = &unseen;
    seen = 0;
    CHECK_EQUAL(ou_queue_visit(&queue, &seen), 0);
    CHECK_EQUAL(seen, COUNT - 1);
    for (int i = 0; i < COUNT; i++) {
        probes[i].job.kind = &stops;
    }
    seen = 0;
    CHECK_EQUAL(ou_queue_visit(&queue, &seen), 42);
    CHECK_EQUAL(seen, 2);
}

static void
fill_line(ou_line *line, probe *probes, int count)
{
    *line = (ou_line){NULL};
    for (int i = 0; i < count; i++) {
        probes[i] = probe_make((char)('a' + i), NULL);
        probes[i].refs = 1;
        ou_line_push(line, &probes[i].job);
    }
}

TEST(line_and_queue_turn_into_each_other)
{
    for (int count = 0; count <= COUNT; count++) {
        ou_line line;
        probe probes[COUNT];
        fill_line(&line, probes, count);
        CHECK_EQUAL(ou_line_empty(&line), count == 0);
        int seen = 0;
        for (ou_job *job = ou_line_first(&line); job != NULL;
             job = ou_line_next(&line, job)) {
            CHECK(job == &probes[seen++].job);
        }
        CHECK_EQUAL(seen, count);
        ou_queue queue = ou_line_take(&line);
        CHECK(ou_line_empty(&line));
        line = ou_line_of(&queue);
        queue = ou_line_take(&line);
        run_all(&queue);
        char wanted[COUNT + 1] = "abcde";
        wanted[count] = '\0';
        CHECK(probe_said(wanted));
    }
}

TEST(line_remove_anywhere)
{
    for (int at = 0; at < COUNT; at++) {
        ou_line line;
        probe probes[COUNT];
        fill_line(&line, probes, COUNT);
        CHECK(ou_line_remove(&line, &probes[at].job));
        CHECK(!ou_job_queued(&probes[at].job));
        CHECK(!ou_line_remove(&line, &probes[at].job));
        ou_line_push(&line, &probes[at].job);
        CHECK(line.last == &probes[at].job);
        long seen = 0;
        CHECK_EQUAL(ou_line_visit(&line, &seen), 0);
        CHECK_EQUAL(seen, COUNT);
        ou_line_drop_all(&line);
        CHECK(ou_line_empty(&line));
        for (int i = 0; i < COUNT; i++) {
            CHECK_EQUAL(probes[i].refs, 0);
            CHECK(!ou_job_queued(&probes[i].job));
        }
    }
}

int
main(void)
{
    RUN(line_and_queue_turn_into_each_other);
    RUN(line_remove_anywhere);
    RUN(first_in_first_out);
    RUN(append_empties_the_other);
    RUN(remove_anywhere);
    RUN(remove_the_only_one);
    RUN(drop_all_leaves_what_drop_queues);
    RUN(visit_sees_all_or_stops);
    return check_report();
}
