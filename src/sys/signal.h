/* signal.h - signal numbers on their way from a signal handler to the loop.
 *
 * A non-blocking socket pair: Python's C-level handler writes each signal's
 * number to write_fd (signal.set_wakeup_fd), the loop watches read_fd.  An
 * eventfd would refuse the single byte.
 */
#ifndef OU_SIGNAL_H
#define OU_SIGNAL_H

#include <stddef.h>
#include <sys/types.h>

typedef struct ou_signal {
    int read_fd; /* -1: not open */
    int write_fd;
} ou_signal;

/* 0 or -errno. */
int ou_signal_open(ou_signal *pair);

/* Safe to call when it is not open (both fds -1). */
void ou_signal_close(ou_signal *pair);

/* Take numbers out, in the order of their arrival; bytes of 0 are mere
 * wake-ups.  How many; 0 if there are no more; or -errno. Call until 0. */
ssize_t ou_signal_read(ou_signal *pair, unsigned char *ret_numbers,
                       size_t size);

#endif
