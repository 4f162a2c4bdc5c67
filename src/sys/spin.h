/* spin.h - looking for an answer for some microseconds before sleeping.
 *
 * To wake a thread that sleeps on another processor costs ten microseconds
 * and more, of both processors, and most of it under virtualization.  Where
 * two threads hand short pieces of work to each other all the time, it is
 * cheaper if each goes on looking until the other has answered.
 *
 * It only is if the answers come soon, and that is what this watches: how
 * long a round takes without its wake-ups.  Whoever has looked in vain says
 * so, and nobody looks any more for some rounds, longer from time to time.
 *
 * Whoever uses it guards it by a lock of his own.
 */
#ifndef OU_SPIN_H
#define OU_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>

/* So long one looks at most, in seconds.  A first look may have to outlast
 * the wake-up of him who will look, too, from then on. */
#define OU_SPIN_TIME 50e-6

typedef struct ou_spin {
    bool possible; /* there is more than one processor to run on */
    double there;  /* seconds, averages: of what the one side does in a */
    double back;   /* round, and the other */
    int rounds;    /* so many are to pass before anyone looks again */
    int failures;  /* of late */
} ou_spin;

void ou_spin_init(ou_spin *spin);

/* Whether it pays to look for an answer. */
bool ou_spin_pays(const ou_spin *spin);

/* What a side has taken for its part of a round, in seconds, from when it
 * knew of it: &spin->there or &spin->back. */
void ou_spin_took(double *average, double seconds);

/* A round begins. */
void ou_spin_round(ou_spin *spin);

/* Someone has looked, and found the answer, or has not. */
void ou_spin_looked(ou_spin *spin, bool found);

/* Look at a word while it has this value, for so many seconds at most.  No
 * order of memory comes with it: what has been found is to be taken under its
 * own lock. */
void ou_spin_while(atomic_int *word, int value, double seconds);

#endif
