/* spin.h - looking for an answer for some microseconds before sleeping.
 *
 * To wake a thread that sleeps on another processor costs both processors ten
 * microseconds and more, most of all on virtual ones.  Where two threads hand
 * short pieces of work to each other all the time, it is cheaper if each of
 * them spins until the other has answered.
 *
 * That pays only if the answers come soon.  So an ou_spin keeps how long the
 * two parts of a round (there: the work; back: the next request) take without
 * their wake-ups.  A side that has looked in vain reports that, and then
 * nobody looks for some rounds: the more, the more often it happens.
 *
 * Not locked: the user calls all of this under a lock of its own.
 */
#ifndef OU_SPIN_H
#define OU_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>

/* How long a side looks at most, in seconds.  In the first of such rounds the
 * other side still sleeps, so a look must last longer than its wake-up. */
#define OU_SPIN_TIME 50e-6

typedef struct ou_spin {
    bool possible; /* there is more than one processor to run on */
    double there;  /* average seconds of the work in a round, */
    double back;   /* ... and from its result to the next request */
    int rounds;    /* that must pass before anyone looks again */
    int failures;  /* looks in vain of late, less those that succeeded */
} ou_spin;

void ou_spin_init(ou_spin *spin);

/* Whether it pays to look for an answer. */
bool ou_spin_pays(const ou_spin *spin);

/* Note how many seconds a side took for its part of a round, counted from when
 * it learned of it.  average: &spin->there or &spin->back. */
void ou_spin_took(double *average, double seconds);

/* A round begins. */
void ou_spin_round(ou_spin *spin);

/* A side has looked, with this outcome. */
void ou_spin_looked(ou_spin *spin, bool found);

/* Spin while *word has this value, for at most so many seconds.  The load is
 * relaxed: take what was announced under the lock that guards it. */
void ou_spin_while(atomic_int *word, int value, double seconds);

#endif
