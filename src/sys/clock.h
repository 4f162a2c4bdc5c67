/* clock.h - the monotonic clock, in seconds, as asyncio's loop.time(). */
#ifndef OU_CLOCK_H
#define OU_CLOCK_H

#include <stdint.h>

/* Seconds since an arbitrary start; never goes back (CLOCK_MONOTONIC, the
 * clock of Python's time.monotonic()). */
double ou_clock_now(void);

/* The clock's resolution in seconds (clock_getres). */
double ou_clock_resolution(void);

/* A stamp, for what is done with each message: it costs a third of what the
 * time does.  Its unit is the processor's business. */
static inline uint64_t
ou_clock_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return (uint64_t)(ou_clock_now() * 1e9);
#endif
}

/* When the ticks were looked at first: how long they are follows from that
 * and a later time. */
typedef struct ou_ticker {
    uint64_t ticks;
    double time;
} ou_ticker;

void ou_ticker_start(ou_ticker *ticker);

/* About how many seconds ago it was that ou_clock_ticks() said `ticks`; after
 * the ticker's start. */
double ou_ticker_age(const ou_ticker *ticker, uint64_t ticks);

#endif
