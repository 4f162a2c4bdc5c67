/* clock.h - the monotonic clock, in seconds, as asyncio's loop.time(). */
#ifndef OU_CLOCK_H
#define OU_CLOCK_H

/* Seconds since an arbitrary start; never goes back (CLOCK_MONOTONIC, the
 * clock of Python's time.monotonic()). */
double ou_clock_now(void);

/* The clock's resolution in seconds (clock_getres). */
double ou_clock_resolution(void);

#endif
