/* The socket pair for signal.set_wakeup_fd(). */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "check.h"
#include "sys/signal.h"

TEST(numbers_come_in_order)
{
    ou_signal pair;
    unsigned char numbers[4];
    REQUIRE(ou_signal_open(&pair) == 0);
    CHECK_EQUAL(ou_signal_read(&pair, numbers, sizeof(numbers)), 0);
    CHECK_EQUAL(write(pair.write_fd, "\2", 1), 1);
    CHECK_EQUAL(write(pair.write_fd, "\17", 1), 1);
    CHECK_EQUAL(write(pair.write_fd, "\0\1\3", 3), 3);
    CHECK_EQUAL(ou_signal_read(&pair, numbers, sizeof(numbers)), 4);
    CHECK(numbers[0] == 2 && numbers[1] == 15 && numbers[2] == 0);
    CHECK_EQUAL(ou_signal_read(&pair, numbers, sizeof(numbers)), 1);
    CHECK_EQUAL(numbers[0], 3);
    CHECK_EQUAL(ou_signal_read(&pair, numbers, sizeof(numbers)), 0);
    ou_signal_close(&pair);
    CHECK_EQUAL(pair.read_fd, -1);
    CHECK_EQUAL(pair.write_fd, -1);
    ou_signal_close(&pair);
}

TEST(never_blocks_and_is_not_inherited)
{
    ou_signal pair;
    REQUIRE(ou_signal_open(&pair) == 0);
    int fds[2] = {pair.read_fd, pair.write_fd};
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    while (write(pair.write_fd, "\1", 1) == 1) {
    }
    CHECK_EQUAL(errno, EAGAIN);
    ou_signal_close(&pair);
}

TEST(no_descriptors_left)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int lowest = dup(0);
    close(lowest);
    struct rlimit less = {(rlim_t)lowest + 1, limit.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &less) == 0);
    ou_signal pair;
    CHECK_EQUAL(ou_signal_open(&pair), -EMFILE);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_EQUAL(pair.read_fd, -1);
    ou_signal_close(&pair);
    CHECK(dup(0) == lowest);
    close(lowest);
}

int
main(void)
{
    RUN(numbers_come_in_order);
    RUN(never_blocks_and_is_not_inherited);
    RUN(no_descriptors_left);
    return check_report();
}
