/* loop_fixture.h - the loop of a test, with a clock if it wants one. */
#ifndef LOOP_FIXTURE_H
#define LOOP_FIXTURE_H

#include <sys/socket.h>

#include "probe.h"
#include "sys/sock.h"

static ou_loop loop;

/* A clock that the test sets, and counts the readings of. */
static double fake_time;
static int clock_readings;

static inline double
fake_clock(void *arg)
{
    CHECK(arg == &loop);
    clock_readings++;
    return fake_time;
}

static inline void
begin(void)
{
    REQUIRE(ou_loop_open(&loop, NULL, NULL) == 0);
    probe_forget();
}

static inline void
begin_with_fake_clock(void)
{
    begin();
    loop.clock = fake_clock;
    loop.clock_arg = &loop;
    loop.resolution = 0.25;
    fake_time = 100.0;
    clock_readings = 0;
}

static inline void
end(void)
{
    ou_loop_close(&loop);
}

static inline void
make_pair(int *ret_pair)
{
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                       ret_pair)
            == 0);
}

static inline void
close_pair(const int *pair)
{
    close(pair[0]);
    close(pair[1]);
}

static inline void
put(int fd)
{
    CHECK_EQUAL(write(fd, "x", 1), 1);
}

/* What a readable watch does: read one byte. */
static inline void
get(probe_io *self, unsigned direction)
{
    char byte;
    if (direction == OU_IN) {
        CHECK_EQUAL(ou_sock_recv(self->io.fd, &byte, 1), 1);
    }
}

#endif
