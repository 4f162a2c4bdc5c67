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
