/* probe.h - owners of jobs and watches that note what the engine does.
 *
 * A probe has a name, one letter; its job's run appends the letter to the
 * log.  It counts the references that the engine should hold, so a test can
 * ask at its end that all have been given back.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>
#include <string.h>

#include "sys/loop.h"

static char probe_log[4096];
static size_t probe_log_size;

static inline void
probe_note(char letter)
{
    if (probe_log_size < sizeof(probe_log) - 1) {
        probe_log[probe_log_size++] = letter;
        probe_log[probe_log_size] = '\0';
    }
}

static inline void
probe_forget(void)
{
    probe_log_size = 0;
    probe_log[0] = '\0';
}

/* Whether the log says `wanted`; starts a new one. */
static inline bool
probe_said(const char *wanted)
{
    bool same = strcmp(probe_log, wanted) == 0;
    if (!same) {
        fprintf(stderr, "the log is \"%s\", not \"%s\"\n", probe_log, wanted);
    }
    probe_forget();
    return same;
}

#define PROBE_OF(pointer, type, member)                                       \
    ((type *)((char *)(pointer)-offsetof(type, member)))

/* A job */

typedef struct probe {
    ou_job job;
    ou_timer timer;
    char letter;
    int refs;
    int result;                  /* what run returns */
    void (*act)(struct probe *); /* what run does besides, or NULL */
    ou_loop *loop;
} probe;

static inline int
probe_run(ou_job *job)
{
    probe *self = PROBE_OF(job, probe, job);
    probe_note(self->letter);
    self->refs--;
    if (self->act != NULL) {
        self->act(self);
    }
    return self->result;
}

static inline void
probe_drop(ou_job *job)
{
    PROBE_OF(job, probe, job)->refs--;
}

static inline void
probe_hold(ou_job *job)
{
    PROBE_OF(job, probe, job)->refs++;
}

/* The visitor is a long that counts. */
static inline int
probe_visit(ou_job *job, void *visitor)
{
    (void)job;
    (*(long *)visitor)++;
    return 0;
}

static const ou_job_kind probe_kind = {
    .run = probe_run,
    .drop = probe_drop,
    .hold = probe_hold,
    .visit = probe_visit,
};

static inline probe
probe_make(char letter, ou_loop *loop)
{
    probe self = {.letter = letter, .loop = loop};
    ou_job_init(&self.job, &probe_kind);
    return self;
}

static inline void
probe_push(probe *self)
{
    self->refs++;
    ou_loop_push(self->loop, &self->job);
}

static inline int
probe_start(probe *self, double deadline)
{
    ou_timer_init(&self->timer, &self->job);
    int result = ou_timer_start(&self->loop->timers, &self->timer, deadline);
    self->refs += result == 0;
    return result;
}

/* A watch: logs its letter when readable, in upper case when writable, if
 * ou_io_take() says so, and a dot or a colon if not. */

typedef struct probe_io {
    ou_io io;
    char letter;
    int refs;
    int result;
    void (*act)(struct probe_io *, unsigned direction);
    ou_loop *loop;
    void *other;
} probe_io;

static inline int
probe_io_event(probe_io *self, unsigned direction)
{
    self->refs--;
    if (!ou_io_take(&self->io, direction)) {
        probe_note(direction == OU_IN ? '.' : ':');
        return 0;
    }
    probe_note(direction == OU_IN ? self->letter
                                  : (char)(self->letter - 'a' + 'A'));
    if (self->act != NULL) {
        self->act(self, direction);
    }
    return self->result;
}

static inline int
probe_in_run(ou_job *job)
{
    return probe_io_event(PROBE_OF(job, probe_io, io.in), OU_IN);
}

static inline void
probe_in_drop(ou_job *job)
{
    PROBE_OF(job, probe_io, io.in)->refs--;
}

static inline void
probe_in_hold(ou_job *job)
{
    PROBE_OF(job, probe_io, io.in)->refs++;
}

static inline int
probe_out_run(ou_job *job)
{
    return probe_io_event(PROBE_OF(job, probe_io, io.out), OU_OUT);
}

static inline void
probe_out_drop(ou_job *job)
{
    PROBE_OF(job, probe_io, io.out)->refs--;
}

static inline void
probe_out_hold(ou_job *job)
{
    PROBE_OF(job, probe_io, io.out)->refs++;
}

static const ou_job_kind probe_in_kind = {
    .run = probe_in_run,
    .drop = probe_in_drop,
    .hold = probe_in_hold,
    .visit = probe_visit,
};

static const ou_job_kind probe_out_kind = {
    .run = probe_out_run,
    .drop = probe_out_drop,
    .hold = probe_out_hold,
    .visit = probe_visit,
};

static inline void
probe_io_init(probe_io *self, char letter, ou_loop *loop)
{
    *self = (probe_io){.letter = letter, .loop = loop};
    ou_io_init(&self->io, &probe_in_kind, &probe_out_kind);
}

/* One turn that does not block: what dispatch returned. */
static inline int
probe_turn(ou_loop *loop)
{
    double timeout = ou_loop_prepare(loop);
    int n = timeout == OU_NO_WAIT ? 0 : ou_loop_wait(loop, 0.0);
    ou_loop_collect(loop, n);
    return ou_loop_dispatch(loop);
}

/* One turn that polls in any case and blocks as long as it is told to. */
static inline int
probe_wait_turn(ou_loop *loop)
{
    double timeout = ou_loop_prepare(loop);
    if (timeout == OU_NO_WAIT) {
        timeout = 0;
    }
    ou_loop_collect(loop, ou_loop_wait(loop, timeout));
    return ou_loop_dispatch(loop);
}

#endif
