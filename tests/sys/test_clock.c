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
    CHECK(!ou_ticker_older(&ticker, stamp, 3600));
    CHECK(ticker.frequency == 0); /* too early to tell */
    double begin = ou_clock_now();
    while (ou_clock_now() - begin < 20e-3) {
    }
    CHECK(ou_ticker_older(&ticker, stamp, 15e-3));
    CHECK(ticker.frequency > 0);
    CHECK(ou_ticker_older(&ticker, stamp, 15e-3));
    CHECK(!ou_ticker_older(&ticker, stamp, 3600));
    uint64_t ahead = ou_clock_ticks() + (uint64_t)ticker.frequency;
    CHECK(!ou_ticker_older(&ticker, ahead, 0));
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
