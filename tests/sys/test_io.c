/* Watches: interest, ready bits, references, and numbers that are reused. */
#include <errno.h>
#include <fcntl.h>

#include "check.h"
#include "loop_fixture.h"

static int ours;   /* a connected pair: we watch this end */
static int theirs; /* and this is the peer's */

static void
begin_pair(void)
{
    int pair[2];
    begin();
    make_pair(pair);
    ours = pair[0];
    theirs = pair[1];
}

static void
end_pair(void)
{
    close(ours);
    close(theirs);
    end();
}

/* One turn with a poll. */
static void
turn(void)
{
    ou_loop_note_io(&loop);
    CHECK_EQUAL(probe_turn(&loop), 0);
}

TEST(level_comes_again)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    CHECK(!ou_io_started(&a.io));
    CHECK(ou_io_find(&loop, ours) == NULL);
    CHECK_EQUAL(ou_io_start(&loop, &a.io, ours, OU_IN, OU_LEVEL), 0);
    CHECK(ou_io_started(&a.io));
    CHECK(ou_io_find(&loop, ours) == &a.io);
    CHECK_EQUAL(a.refs, 1);
    CHECK_EQUAL(loop.io_count, 1);
    turn();
    CHECK(probe_said(""));
    put(theirs);
    turn();
    turn();
    CHECK(probe_said("aa"));
    a.act = get;
    turn();
    turn();
    CHECK(probe_said("a"));
    CHECK_EQUAL(a.io.ready, 0);
    ou_io_want(&loop, &a.io, OU_IN | OU_OUT);
    put(theirs);
    turn();
    CHECK(probe_said("aA")); /* the reader, then the writer */
    ou_io_stop(&loop, &a.io);
    CHECK_EQUAL(a.refs, 0);
    CHECK_EQUAL(loop.io_count, 0);
    CHECK(ou_io_find(&loop, ours) == NULL);
    put(theirs);
    turn();
    CHECK(probe_said(""));
    ou_io_stop(&loop, &a.io); /* twice does no harm */
    CHECK_EQUAL(a.refs, 0);
    end_pair();
}

TEST(level_without_interest_is_not_armed)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    CHECK_EQUAL(ou_io_start(&loop, &a.io, ours, 0, OU_LEVEL), 0);
    CHECK_EQUAL(loop.io_count, 0);
    CHECK_EQUAL(a.refs, 1);
    close(theirs); /* a hang-up would be reported for ever */
    CHECK(ou_loop_prepare(&loop) == -1.0);
    CHECK_EQUAL(ou_loop_wait(&loop, 0), 0);
    CHECK_EQUAL(ou_io_want(&loop, &a.io, OU_IN), 0);
    CHECK_EQUAL(loop.io_count, 1);
    turn();
    CHECK(probe_said("a"));
    CHECK(a.io.ready & OU_HUP);
    CHECK_EQUAL(ou_io_want(&loop, &a.io, 0), 0);
    CHECK_EQUAL(loop.io_count, 0);
    CHECK_EQUAL(ou_loop_wait(&loop, 0), 0);
    ou_io_stop(&loop, &a.io);
    end_pair();
}

TEST(edge_bits_stay_until_drained)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    CHECK_EQUAL(ou_io_start(&loop, &a.io, ours, OU_IN, OU_EDGE), 0);
    CHECK_EQUAL(a.io.ready, 0);
    turn(); /* what it is at the start: writable, which nobody wants */
    CHECK(probe_said(""));
    CHECK_EQUAL(a.io.ready, OU_OUT);
    put(theirs);
    turn();
    CHECK(probe_said("a"));
    turn();
    CHECK(probe_said(""));                   /* an edge comes once, */
    CHECK_EQUAL(a.io.ready, OU_IN | OU_OUT); /* but the bit is kept */
    /* Not wanted, then wanted anew: there is still something to be read. */
    ou_io_want(&loop, &a.io, 0);
    turn();
    CHECK(probe_said(""));
    ou_io_want(&loop, &a.io, OU_IN);
    CHECK(ou_loop_idle(&loop));
    CHECK(ou_loop_prepare(&loop) == 0.0);
    turn();
    CHECK(probe_said("a"));
    ou_io_drained(&a.io, OU_IN);
    ou_io_want(&loop, &a.io, 0);
    ou_io_want(&loop, &a.io, OU_IN | OU_OUT);
    turn();
    CHECK(probe_said("A"));
    /* Unchanged interest: nothing new. */
    ou_io_want(&loop, &a.io, OU_IN | OU_OUT);
    turn();
    CHECK(probe_said(""));
    ou_io_stop(&loop, &a.io);
    CHECK_EQUAL(a.refs, 0);
    end_pair();
}

TEST(edge_writer_hears_of_room)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    ou_io_start(&loop, &a.io, ours, 0, OU_EDGE);
    turn();
    static char block[65536];
    while (ou_sock_send(ours, block, sizeof(block)) > 0) {
    }
    ou_io_drained(&a.io, OU_OUT);
    ou_io_want(&loop, &a.io, OU_OUT);
    turn();
    CHECK(probe_said(""));
    while (ou_sock_recv(theirs, block, sizeof(block)) > 0) {
    }
    turn();
    CHECK(probe_said("A"));
    ou_io_stop(&loop, &a.io);
    end_pair();
}

static void
read_one_of_many(probe_io *self, unsigned direction)
{
    get(self, direction);
    ou_io_again(self->loop, &self->io, OU_IN);
    ou_io_again(self->loop, &self->io, OU_IN); /* no more than once */
}

TEST(edge_reader_that_stops_early)
{
    begin_pair();
    probe_io a;
    probe other = probe_make('o', &loop);
    probe_io_init(&a, 'a', &loop);
    a.act = read_one_of_many;
    ou_io_start(&loop, &a.io, ours, OU_IN, OU_EDGE);
    CHECK_EQUAL(write(theirs, "xyz", 3), 3);
    turn();
    CHECK(probe_said("a"));
    probe_push(&other); /* what was ready comes before the turn's I/O */
    turn();
    CHECK(probe_said("oa"));
    CHECK_EQUAL(a.refs, 2); /* the watch's and the queued job's */
    a.act = NULL;
    turn();
    CHECK(probe_said("a"));
    ou_io_stop(&loop, &a.io);
    CHECK_EQUAL(a.refs, 0);
    end_pair();
}

TEST(end_of_file_is_an_edge_with_hup)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    ou_io_start(&loop, &a.io, ours, OU_IN, OU_EDGE);
    turn();
    shutdown(theirs, SHUT_WR);
    turn();
    CHECK(probe_said("a"));
    CHECK(a.io.ready & OU_HUP);
    ou_io_drained(&a.io, OU_IN);
    CHECK(a.io.ready & OU_HUP); /* for good */
    ou_io_stop(&loop, &a.io);
    CHECK_EQUAL(a.io.ready, 0);
    end_pair();
}

TEST(refusals_change_nothing)
{
    begin_pair();
    probe_io a;
    probe_io b;
    probe_io_init(&a, 'a', &loop);
    probe_io_init(&b, 'b', &loop);
    CHECK_EQUAL(ou_io_start(&loop, &a.io, -1, OU_IN, OU_LEVEL), -EBADF);
    CHECK_EQUAL(ou_io_start(&loop, &a.io, 3000, OU_IN, OU_LEVEL), -EBADF);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK_EQUAL(ou_io_start(&loop, &a.io, file, OU_IN, OU_LEVEL), -EPERM);
    CHECK(!ou_io_started(&a.io));
    CHECK(ou_io_find(&loop, file) == NULL);
    CHECK_EQUAL(a.refs, 0);
    CHECK_EQUAL(ou_io_start(&loop, &a.io, ours, OU_IN, OU_LEVEL), 0);
    CHECK_EQUAL(ou_io_start(&loop, &b.io, ours, OU_IN, OU_EDGE), -EEXIST);
    CHECK_EQUAL(b.refs, 0);
    CHECK(ou_io_find(&loop, ours) == &a.io);
    CHECK_EQUAL(loop.io_count, 1);
    ou_io_stop(&loop, &a.io);
    /* No interest, so nothing is asked of the kernel, until there is one. */
    CHECK_EQUAL(ou_io_start(&loop, &a.io, file, 0, OU_LEVEL), 0);
    CHECK_EQUAL(ou_io_want(&loop, &a.io, OU_IN), -EPERM);
    CHECK_EQUAL(a.io.interest, 0);
    CHECK_EQUAL(loop.io_count, 0);
    ou_io_stop(&loop, &a.io);
    close(file);
    CHECK(ou_io_find(&loop, -1) == NULL);
    CHECK(ou_io_find(&loop, 1 << 30) == NULL);
    end_pair();
}

/* A file is closed that is watched still; its number is given out again. */
TEST(a_forgotten_watch_makes_way)
{
    begin_pair();
    int pair[2];
    make_pair(pair);
    probe_io forgotten;
    probe_io next;
    probe_io_init(&forgotten, 'f', &loop);
    probe_io_init(&next, 'n', &loop);
    CHECK_EQUAL(ou_io_start(&loop, &forgotten.io, ours, OU_IN, OU_LEVEL), 0);
    CHECK_EQUAL(ou_io_start(&loop, &next.io, ours, OU_IN, OU_LEVEL), -EEXIST);
    CHECK_EQUAL(forgotten.refs, 1);
    REQUIRE(dup2(pair[0], ours) == ours);
    CHECK_EQUAL(ou_io_start(&loop, &next.io, ours, OU_IN, OU_LEVEL), 0);
    CHECK(!ou_io_started(&forgotten.io));
    CHECK_EQUAL(forgotten.refs, 0);
    CHECK_EQUAL(loop.io_count, 1);
    ou_io_stop(&loop, &forgotten.io);
    put(pair[1]);
    turn();
    CHECK(probe_said("n"));
    ou_io_stop(&loop, &next.io);
    CHECK_EQUAL(next.refs, 0);
    close(pair[0]);
    close(pair[1]);
    end_pair();
}

TEST(no_memory_for_the_table)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    int high = fcntl(ours, F_DUPFD_CLOEXEC, (int)loop.io_capacity + 5);
    REQUIRE(high >= 0);
    check_alloc_left = 0;
    int result = ou_io_start(&loop, &a.io, high, OU_IN, OU_LEVEL);
    check_alloc_left = -1;
    CHECK_EQUAL(result, -ENOMEM);
    CHECK(!ou_io_started(&a.io));
    CHECK_EQUAL(ou_io_start(&loop, &a.io, high, OU_IN, OU_LEVEL), 0);
    put(theirs);
    turn();
    CHECK(probe_said("a"));
    ou_io_stop(&loop, &a.io);
    close(high);
    end_pair();
}

/* Jobs and watches that change between an event and its slot */

static void
stop_other(probe_io *self, unsigned direction)
{
    probe_io *other = self->other;
    get(self, direction);
    ou_io_stop(self->loop, &other->io);
}

static void
check_stopped_before_its_slot(ou_trigger trigger, bool queued)
{
    begin_pair();
    int second[2];
    make_pair(second);
    probe_io a;
    probe_io b;
    probe other = probe_make('o', &loop);
    probe_io_init(&a, 'a', &loop);
    probe_io_init(&b, 'b', &loop);
    a.act = b.act = stop_other;
    a.other = &b;
    b.other = &a;
    ou_io_start(&loop, &a.io, ours, OU_IN, trigger);
    ou_io_start(&loop, &b.io, second[0], OU_IN, trigger);
    put(theirs);
    put(second[1]);
    if (queued) {
        probe_push(&other); /* then the events' jobs go through the queue */
    }
    turn();
    CHECK(a.refs + b.refs == 1); /* one watch is left */
    if (queued) {
        CHECK(probe_said(ou_io_started(&a.io) ? "oa." : "ob."));
    }
    else {
        CHECK(probe_said(ou_io_started(&a.io) ? "a" : "b"));
    }
    ou_io_stop(&loop, &a.io);
    ou_io_stop(&loop, &b.io);
    close_pair(second);
    end_pair();
}

TEST(stopped_before_its_slot)
{
    check_stopped_before_its_slot(OU_LEVEL, false);
    check_stopped_before_its_slot(OU_LEVEL, true);
    check_stopped_before_its_slot(OU_EDGE, false);
    check_stopped_before_its_slot(OU_EDGE, true);
}

static void
stop_self(probe_io *self, unsigned direction)
{
    (void)direction;
    ou_io_stop(self->loop, &self->io);
}

TEST(a_reader_that_stops_the_writer)
{
    for (int queued = 0; queued < 2; queued++) {
        begin_pair();
        probe_io a;
        probe other = probe_make('o', &loop);
        probe_io_init(&a, 'a', &loop);
        a.act = stop_self;
        ou_io_start(&loop, &a.io, ours, OU_IN | OU_OUT, OU_LEVEL);
        put(theirs);
        if (queued) {
            probe_push(&other);
        }
        turn();
        CHECK(probe_said(queued ? "oa:" : "a"));
        CHECK_EQUAL(a.refs, 0);
        end_pair();
    }
}

static void
want_nothing_then_again(probe_io *self, unsigned direction)
{
    (void)direction;
    ou_io_want(self->loop, &self->io, OU_IN);
    ou_io_want(self->loop, &self->io, OU_IN | OU_OUT);
}

TEST(a_level_event_is_given_up_with_its_direction)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    a.act = want_nothing_then_again;
    ou_io_start(&loop, &a.io, ours, OU_IN | OU_OUT, OU_LEVEL);
    put(theirs);
    turn(); /* the writer's event belonged to the watch that was given up */
    CHECK(probe_said("a"));
    a.act = NULL;
    turn();
    CHECK(probe_said("aA"));
    ou_io_stop(&loop, &a.io);
    end_pair();
}

static void
restart_other_elsewhere(probe_io *self, unsigned direction)
{
    probe_io *other = self->other;
    get(self, direction);
    int fd = other->io.fd;
    ou_io_stop(self->loop, &other->io);
    /* The number is closed and reused at once, for a file with nothing to
     * read. */
    int fresh[2];
    make_pair(fresh);
    REQUIRE(dup2(fresh[0], fd) == fd);
    close(fresh[0]);
    close(fresh[1]);
    CHECK_EQUAL(ou_io_start(self->loop, &other->io, fd, OU_IN, OU_LEVEL), 0);
    self->act = NULL;
    other->act = NULL;
}

TEST(a_reused_number_does_not_get_the_old_ones_event)
{
    for (int queued = 0; queued < 2; queued++) {
        begin_pair();
        int second[2];
        make_pair(second);
        probe_io a;
        probe_io b;
        probe other = probe_make('o', &loop);
        probe_io_init(&a, 'a', &loop);
        probe_io_init(&b, 'b', &loop);
        a.act = b.act = restart_other_elsewhere;
        a.other = &b;
        b.other = &a;
        ou_io_start(&loop, &a.io, ours, OU_IN, OU_LEVEL);
        ou_io_start(&loop, &b.io, second[0], OU_IN, OU_LEVEL);
        put(theirs);
        put(second[1]);
        if (queued) {
            probe_push(&other);
        }
        turn();
        CHECK_EQUAL(probe_log_size, queued ? 3 : 1);
        CHECK(!queued || probe_log[2] == '.');
        ou_io_stop(&loop, &a.io);
        ou_io_stop(&loop, &b.io);
        CHECK_EQUAL(a.refs + b.refs, 0);
        close_pair(second);
        probe_forget();
        end_pair();
    }
}

static void
freeing_drop(ou_job *job)
{
    probe_io *self = PROBE_OF(job, probe_io, io.in);
    if (--self->refs == 0) {
        free(self);
    }
}

static int
freeing_run(ou_job *job)
{
    probe_io *self = PROBE_OF(job, probe_io, io.in);
    if (ou_io_take(&self->io, OU_IN)) {
        probe_note(self->letter);
        ou_io_stop(self->loop, &self->io);
    }
    freeing_drop(job);
    return 0;
}

TEST(an_owner_may_go_with_its_watch)
{
    static const ou_job_kind kind = {
        .run = freeing_run,
        .drop = freeing_drop,
        .hold = probe_in_hold,
    };
    for (int queued = 0; queued < 2; queued++) {
        begin_pair();
        probe_io *a = malloc(sizeof(probe_io));
        REQUIRE(a != NULL);
        probe other = probe_make('o', &loop);
        probe_io_init(a, 'a', &loop);
        a->io.in.kind = &kind;
        ou_io_start(&loop, &a->io, ours, OU_IN | OU_OUT, OU_EDGE);
        ou_io_want(&loop, &a->io, OU_IN);
        put(theirs);
        if (queued) {
            probe_push(&other);
        }
        turn(); /* ASan looks on */
        CHECK(probe_said(queued ? "oa" : "a"));
        end_pair();
    }
}

/* Files that are closed behind our back */

TEST(a_duplicate_that_goes_on_reporting)
{
    begin_pair();
    probe_io a;
    probe_io b;
    int other[2];
    make_pair(other);
    probe_io_init(&a, 'a', &loop);
    probe_io_init(&b, 'b', &loop);
    ou_io_start(&loop, &a.io, ours, OU_IN, OU_LEVEL);
    ou_io_start(&loop, &b.io, other[0], OU_IN, OU_EDGE);
    turn();
    int copy = dup(ours);
    close(ours);
    ou_io_stop(&loop, &a.io); /* too late: the number names nothing now */
    put(theirs);
    int before = loop.poller.fd;
    CHECK_EQUAL(ou_loop_wait(&loop, 0), 1); /* it is still reported */
    turn();
    CHECK_EQUAL(loop.poller.fd, before); /* could have been an edge */
    turn();
    CHECK(loop.poller.fd != before);
    /* Gone; and what else was watched still is. */
    CHECK_EQUAL(ou_loop_wait(&loop, 0), 1); /* b as it is at its start */
    CHECK_EQUAL(ou_loop_wait(&loop, 0), 0);
    put(other[1]);
    turn();
    CHECK(probe_said("b"));
    probe_io_init(&a, 'a', &loop);
    ou_io_start(&loop, &a.io, copy, OU_IN, OU_LEVEL);
    turn();
    CHECK(probe_said("a"));
    ou_io_stop(&loop, &a.io);
    ou_io_stop(&loop, &b.io);
    ours = copy;
    close(other[0]);
    close(other[1]);
    /* The wake-up came along. */
    CHECK(ou_inbox_prepare_wait(&loop.inbox));
    ou_inbox_wake(&loop.inbox);
    CHECK_EQUAL(loop.poller.backend->wait(&loop.poller, 0), 1);
    ou_inbox_finish_wait(&loop.inbox);
    end_pair();
}

TEST(a_duplicate_of_one_that_is_not_wanted)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    ou_io_start(&loop, &a.io, ours, OU_IN, OU_LEVEL);
    int copy = dup(ours);
    close(ours);
    put(theirs);
    CHECK_EQUAL(ou_io_want(&loop, &a.io, 0), 0); /* DEL: EBADF */
    int before = loop.poller.fd;
    turn();
    turn();
    CHECK(loop.poller.fd != before);
    CHECK_EQUAL(ou_loop_wait(&loop, 0), 0);
    CHECK(probe_said(""));
    ou_io_stop(&loop, &a.io);
    ours = copy;
    end_pair();
}

TEST(a_duplicate_of_a_number_that_is_reused)
{
    begin_pair();
    probe_io a;
    probe_io b;
    probe_io_init(&a, 'a', &loop);
    probe_io_init(&b, 'b', &loop);
    ou_io_start(&loop, &a.io, ours, OU_IN, OU_LEVEL);
    int copy = dup(ours);
    int fresh[2];
    make_pair(fresh);
    REQUIRE(dup2(fresh[0], ours) == ours);
    close(fresh[0]);
    ou_io_stop(&loop, &a.io);
    ou_io_start(&loop, &b.io, ours, OU_IN, OU_LEVEL);
    put(theirs); /* to the duplicate, which is reported by the old number */
    turn();
    CHECK(probe_said(""));
    CHECK_EQUAL(b.io.ready, 0);
    put(fresh[1]);
    turn();
    turn();
    CHECK(probe_said("bb"));
    ou_io_stop(&loop, &b.io);
    close(copy);
    close(fresh[1]);
    end_pair();
}

TEST(closed_and_opened_again)
{
    begin_pair();
    probe_io a;
    probe_io_init(&a, 'a', &loop);
    ou_io_start(&loop, &a.io, ours, OU_IN, OU_LEVEL);
    int fresh[2];
    make_pair(fresh);
    REQUIRE(dup2(fresh[0], ours) == ours);
    close(fresh[0]);
    put(fresh[1]);
    /* The kernel does not know this file: MOD says ENOENT. */
    CHECK_EQUAL(ou_io_want(&loop, &a.io, OU_IN | OU_OUT), 0);
    turn();
    CHECK(probe_said("aA"));
    ou_io_stop(&loop, &a.io);
    close(fresh[1]);
    end_pair();
}

int
main(void)
{
    RUN(level_comes_again);
    RUN(level_without_interest_is_not_armed);
    RUN(edge_bits_stay_until_drained);
    RUN(edge_writer_hears_of_room);
    RUN(edge_reader_that_stops_early);
    RUN(end_of_file_is_an_edge_with_hup);
    RUN(refusals_change_nothing);
    RUN(no_memory_for_the_table);
    RUN(stopped_before_its_slot);
    RUN(a_reader_that_stops_the_writer);
    RUN(a_level_event_is_given_up_with_its_direction);
    RUN(a_reused_number_does_not_get_the_old_ones_event);
    RUN(an_owner_may_go_with_its_watch);
    RUN(a_duplicate_that_goes_on_reporting);
    RUN(a_duplicate_of_one_that_is_not_wanted);
    RUN(a_duplicate_of_a_number_that_is_reused);
    RUN(a_forgotten_watch_makes_way);
    RUN(closed_and_opened_again);
    return check_report();
}
