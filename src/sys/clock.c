/* clock.c - the monotonic clock (see clock.h). */
#include "sys/clock.h"

#include <time.h>

double
ou_clock_now(void)
{
    /* Cannot fail; the vdso answers it without a system call. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double
ou_clock_resolution(void)
{
    struct timespec resolution;
    clock_getres(CLOCK_MONOTONIC, &resolution);
    return (double)resolution.tv_sec + (double)resolution.tv_nsec * 1e-9;
}

void
ou_ticker_start(ou_ticker *ticker)
{
    ticker->ticks = ou_clock_ticks();
    ticker->time = ou_clock_now();
}

double
ou_ticker_age(const ou_ticker *ticker, uint64_t ticks)
{
    double seconds = ou_clock_now() - ticker->time;
    uint64_t now = ou_clock_ticks();
    /* (Another processor's count may be a little behind.) */
    if (now <= ticks || ticks < ticker->ticks) {
        return 0.0;
    }
    return seconds * (double)(now - ticks) / (double)(now - ticker->ticks);
}
