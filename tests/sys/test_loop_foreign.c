/* A loop on a backend of the binding's: a selector that the user brings. */
#include "check.h"
#include "loop_fixture.h"

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
    RUN(a_foreign_backend);
    return check_report();
}
