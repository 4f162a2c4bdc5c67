/* The clock: that of time.monotonic(). */
#include <time.h>

#include "check.h"
#include "sys/clock.h"

TEST(is_the_monotonic_clock)
{
    struct timespec now;
    double before = ou_clock_now();
    clock_gettime(CLOCK_MONOTONIC, &now);
    double after = ou_clock_now();
    double seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    CHECK(before <= seconds);
    CHECK(seconds <= after);
}

TEST(never_goes_back)
{
    double last = ou_clock_now();
    for (int i = 0; i < 100000; i++) {
        double now = ou_clock_now();
        CHECK(now >= last);
        last = now;
    }
}

TEST(resolution_is_fine)
{
    CHECK(ou_clock_resolution() > 0);
    CHECK(ou_clock_resolution() <= 0.01);
}

TEST(ticks_have_an_age)
{
    ou_ticker ticker;
    ou_ticker_start(&ticker);
    uint64_t stamp = ou_clock_ticks();
    double begin = ou_clock_now();
    while (ou_clock_now() - begin < 20e-3) {
    }
    uint64_t later = ou_clock_ticks();
    double age = ou_ticker_age(&ticker, stamp);
    CHECK(age > 15e-3);
    CHECK(age <= ou_clock_now() - ticker.time);
    CHECK(ou_ticker_age(&ticker, later) < age);
    CHECK(ou_ticker_age(&ticker, ticker.ticks - 1) == 0);
}

int
main(void)
{
    RUN(is_the_monotonic_clock);
    RUN(never_goes_back);
    RUN(resolution_is_fine);
    RUN(ticks_have_an_age);
    return check_report();
}
