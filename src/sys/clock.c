/* clock.c - the monotonic clock (see clock.h). */
#include "sys/clock.h"

#include <time.h>

/* From so many seconds after its start on a ticker's frequency is kept. */
#define SETTLED 10e-3

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
    ticker->frequency = 0;
}

double
ou_ticker_measure(ou_ticker *ticker)
{
    double seconds = ou_clock_now() - ticker->time;
    int64_t ticks = (int64_t)(ou_clock_ticks() - ticker->ticks);
    if (seconds <= 0 || ticks <= 0) {
        return 1e9; /* any: nothing can be old yet */
    }
    double frequency = (double)ticks / seconds;
    if (seconds >= SETTLED) {
        ticker->frequency = frequency;
    }
    return frequency;
}
