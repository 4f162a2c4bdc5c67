/* clock.h - the monotonic clock, in seconds, as asyncio's loop.time(). */
#ifndef OU_CLOCK_H
#define OU_CLOCK_H

#include <stdbool.h>
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
    double frequency; /* ticks a second, or 0: not known yet */
} ou_ticker;

void ou_ticker_start(ou_ticker *ticker);

/* The frequency as far as can be told now; some time after the start it is
 * exact enough to be kept. */
double ou_ticker_measure(ou_ticker *ticker);

/* Whether it is more than about `seconds` ago that ou_clock_ticks() said
 * `ticks`, after the ticker's start. */
static inline bool
ou_ticker_older(ou_ticker *ticker, uint64_t ticks, double seconds)
{
    double frequency =
        ticker->frequency > 0 ? ticker->frequency : ou_ticker_measure(ticker);
    /* (Another processor's count may be a little behind.) */
    return (double)(int64_t)(ou_clock_ticks() - ticks) > seconds * frequency;
}

#endif
