/* The epoll backend, by itself. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "check.h"
#include "sys/clock.h"
#include "sys/poller.h"

static ou_poller poller;
static const ou_poller_backend *epoll = &ou_poller_epoll;

static void
begin(int *ret_pair)
{
    poller = (ou_poller){.backend = epoll, .fd = -1};
    REQUIRE(epoll->open(&poller) == 0);
    REQUIRE(fcntl(poller.fd, F_GETFD) & FD_CLOEXEC);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ret_pair)
            == 0);
}

static void
end(const int *pair)
{
    close(pair[0]);
    close(pair[1]);
    epoll->close(&poller);
    CHECK_EQUAL(poller.fd, -1);
    epoll->close(&poller); /* twice does no harm */
}

static void
put(int fd)
{
    CHECK_EQUAL(write(fd, "x", 1), 1);
}

TEST(reports_fd_generation_and_bits)
{
    int pair[2];
    begin(pair);
    CHECK_EQUAL(epoll->add(&poller, pair[0], 0xdeadbeef, OU_IN, OU_LEVEL), 0);
    CHECK_EQUAL(epoll->wait(&poller, 0), 0);
    put(pair[1]);
    for (int i = 0; i < 2; i++) { /* level: again and again */
        REQUIRE(epoll->wait(&poller, -1) == 1);
        CHECK_EQUAL(poller.events[0].fd, pair[0]);
        CHECK_EQUAL(poller.events[0].generation, 0xdeadbeef);
        CHECK_EQUAL(poller.events[0].ready, OU_IN);
    }
    CHECK_EQUAL(epoll->modify(&poller, pair[0], 7, OU_IN | OU_OUT, OU_LEVEL),
                0);
    REQUIRE(epoll->wait(&poller, 0) == 1);
    CHECK_EQUAL(poller.events[0].generation, 7);
    CHECK_EQUAL(poller.events[0].ready, OU_IN | OU_OUT);
    CHECK_EQUAL(epoll->modify(&poller, pair[0], 7, OU_OUT, OU_LEVEL), 0);
    REQUIRE(epoll->wait(&poller, 0) == 1);
    CHECK_EQUAL(poller.events[0].ready, OU_OUT);
    CHECK_EQUAL(epoll->remove(&poller, pair[0]), 0);
    CHECK_EQUAL(epoll->wait(&poller, 0), 0);
    end(pair);
}

TEST(edges_come_once)
{
    int pair[2];
    begin(pair);
    CHECK_EQUAL(epoll->add(&poller, pair[0], 1, OU_IN | OU_OUT, OU_EDGE), 0);
    /* The state at the start is an edge of its own. */
    REQUIRE(epoll->wait(&poller, 0) == 1);
    CHECK_EQUAL(poller.events[0].ready, OU_OUT);
    CHECK_EQUAL(epoll->wait(&poller, 0), 0);
    put(pair[1]);
    REQUIRE(epoll->wait(&poller, 0) == 1);
    CHECK_EQUAL(poller.events[0].ready, OU_IN | OU_OUT);
    CHECK_EQUAL(epoll->wait(&poller, 0), 0);
    put(pair[1]); /* another edge, although nothing was read */
    CHECK_EQUAL(epoll->wait(&poller, 0), 1);
    end(pair);
}

TEST(ends_and_errors)
{
    int pair[2];
    begin(pair);
    epoll->add(&poller, pair[0], 1, OU_IN | OU_OUT, OU_EDGE);
    static char block[65536];
    while (write(pair[0], block, sizeof(block)) > 0) {
    }
    epoll->wait(&poller, 0);
    /* The peer sends no more: to be read, but no news for a writer. */
    shutdown(pair[1], SHUT_WR);
    REQUIRE(epoll->wait(&poller, 0) == 1);
    CHECK_EQUAL(poller.events[0].ready, OU_IN | OU_HUP);
    epoll->remove(&poller, pair[0]);
    /* A reader and a writer each learn of a hang-up, whatever was asked. */
    for (unsigned interest = OU_IN; interest <= OU_OUT; interest++) {
        int pipe_ends[2];
        REQUIRE(pipe(pipe_ends) == 0);
        int watched = interest == OU_IN ? 0 : 1;
        epoll->add(&poller, pipe_ends[watched], 1, interest, OU_LEVEL);
        epoll->wait(&poller, 0);
        close(pipe_ends[1 - watched]);
        REQUIRE(epoll->wait(&poller, 0) == 1);
        CHECK_EQUAL(poller.events[0].ready, OU_IN | OU_OUT | OU_HUP);
        epoll->remove(&poller, pipe_ends[watched]);
        close(pipe_ends[watched]);
    }
    end(pair);
}

TEST(add_and_modify_help_themselves)
{
    int pair[2];
    begin(pair);
    CHECK_EQUAL(epoll->modify(&poller, pair[0], 1, OU_IN, OU_LEVEL), 0);
    CHECK_EQUAL(epoll->add(&poller, pair[0], 2, OU_OUT, OU_LEVEL), 0);
    REQUIRE(epoll->wait(&poller, 0) == 1);
    CHECK_EQUAL(poller.events[0].generation, 2);
    CHECK_EQUAL(poller.events[0].ready, OU_OUT);
    end(pair);
}

TEST(refusals)
{
    int pair[2];
    begin(pair);
    int file = open("/proc/self/exe", O_RDONLY);
    REQUIRE(file >= 0);
    CHECK_EQUAL(epoll->add(&poller, file, 1, OU_IN, OU_LEVEL), -EPERM);
    CHECK(epoll->remove(&poller, file) < 0);
    close(file);
    CHECK_EQUAL(epoll->add(&poller, file, 1, OU_IN, OU_LEVEL), -EBADF);
    CHECK_EQUAL(epoll->modify(&poller, file, 1, OU_IN, OU_LEVEL), -EBADF);
    CHECK_EQUAL(epoll->remove(&poller, file), -EBADF);
    end(pair);
}

/* Waits of all lengths are at least as long as asked for. */
static void
check_waits(void)
{
    for (int i = 0; i < 300; i++) {
        double timeout = (i % 3 == 0   ? 1e-9
                          : i % 3 == 1 ? 1e-6
                                       : 1e-5)
                         * (1 + i);
        double before = ou_clock_now();
        CHECK_EQUAL(epoll->wait(&poller, timeout), 0);
        CHECK(ou_clock_now() - before >= timeout);
    }
}

TEST(never_wakes_early)
{
    int pair[2];
    begin(pair);
    check_waits();
    double before = ou_clock_now();
    CHECK_EQUAL(epoll->wait(&poller, 1.01), 0); /* seconds and a rest */
    double waited = ou_clock_now() - before;
    CHECK(waited >= 1.01);
    CHECK(waited < 5);
    end(pair);
}

TEST(never_wakes_early_in_milliseconds)
{
    int pair[2];
    begin(pair);
    poller.coarse_wait = true;
    check_waits();
    end(pair);
}

TEST(long_timeouts_do_not_overflow)
{
    int pair[2];
    begin(pair);
    epoll->add(&poller, pair[0], 1, OU_OUT, OU_LEVEL);
    CHECK_EQUAL(epoll->wait(&poller, 24 * 3600.0), 1);
    poller.coarse_wait = true;
    CHECK_EQUAL(epoll->wait(&poller, 24 * 3600.0), 1);
    end(pair);
}

TEST(many_events_come_in_turns)
{
    enum { COUNT = OU_POLLER_EVENTS + 10 };
    static int fds[COUNT];
    static bool seen[4096];
    int pair[2];
    begin(pair);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dup(pair[0]);
        REQUIRE(fds[i] >= 0 && fds[i] < 4096);
        CHECK_EQUAL(epoll->add(&poller, fds[i], 1, OU_OUT, OU_LEVEL), 0);
    }
    int different = 0;
    for (int wait = 0; wait < 2; wait++) {
        int n = epoll->wait(&poller, 0);
        CHECK_EQUAL(n, OU_POLLER_EVENTS);
        for (int i = 0; i < n; i++) {
            different += !seen[poller.events[i].fd];
            seen[poller.events[i].fd] = true;
        }
    }
    CHECK_EQUAL(different, COUNT);
    for (int i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    end(pair);
}

int
main(void)
{
    RUN(reports_fd_generation_and_bits);
    RUN(edges_come_once);
    RUN(ends_and_errors);
    RUN(add_and_modify_help_themselves);
    RUN(refusals);
    RUN(never_wakes_early);
    RUN(never_wakes_early_in_milliseconds);
    RUN(long_timeouts_do_not_overflow);
    RUN(many_events_come_in_turns);
    return check_report();
}
