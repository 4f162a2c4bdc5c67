/* spin.c - looking for an answer before sleeping (see spin.h). */
#ifndef _GNU_SOURCE
#    define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "sys/spin.h"

#include <sched.h>

#include "sys/clock.h"

/* The longest round, in seconds, for which looking pays.  If they look, both
 * sides use their processors for the whole round; if they sleep, each only
 * for its own part, but then a round has two wake-ups. */
#define ROUND_MOST 15e-6

/* A longer part of a round counts as this much, so that one long pause does
 * not spoil the average for long. */
#define PART_MOST (4 * ROUND_MOST)

enum { FAILURES_MOST = 7, ROUNDS_FIRST = 8 };

static bool
several_processors(void)
{
    cpu_set_t set;
    /* It fails where there are more than the set has room for. */
    return sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1;
}

void
ou_spin_init(ou_spin *spin)
{
    *spin = (ou_spin){
        .possible = several_processors(),
        .there = PART_MOST,
        .back = PART_MOST,
    };
}

bool
ou_spin_pays(const ou_spin *spin)
{
    return spin->possible && spin->rounds == 0
           && spin->there + spin->back < ROUND_MOST;
}

void
ou_spin_took(double *average, double seconds)
{
    double counted = seconds < PART_MOST ? seconds : PART_MOST;
    *average += (counted - *average) / 4;
}

void
ou_spin_round(ou_spin *spin)
{
    if (spin->rounds > 0) {
        spin->rounds--;
    }
}

void
ou_spin_looked(ou_spin *spin, bool found)
{
    if (found) {
        spin->failures -= spin->failures > 0;
        return;
    }
    spin->failures += spin->failures < FAILURES_MOST;
    spin->rounds = ROUNDS_FIRST << spin->failures;
}

static inline void
pause_processor(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void
ou_spin_while(atomic_int *word, int value, double seconds)
{
    double until = ou_clock_now() + seconds;
    do {
        for (int i = 0; i < 8; i++) {
            if (atomic_load_explicit(word, memory_order_relaxed) != value) {
                return;
            }
            pause_processor();
        }
    } while (ou_clock_now() < until);
}
