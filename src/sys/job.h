/* job.h - what the loop runs, and the queues it waits in.
 *
 * A job is embedded in the object that it belongs to (a task, a handle, a
 * waiter of a future), so that scheduling it allocates nothing and cannot
 * fail.  A job is in at most one queue at a time.
 *
 * Whoever pushes a job gives the queue one reference to the job's owner; that
 * reference travels with the job from queue to queue and is consumed by
 * run() or drop().
 */
#ifndef OU_JOB_H
#define OU_JOB_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ou_job ou_job;

typedef struct ou_job_kind {
    /* Do the job; consumes the queue's reference.  Returns 0, or -1 to stop
     * the dispatch at once (the binding has noted why); what is still queued
     * stays queued. */
    int (*run)(ou_job *job);
    /* Give the queue's reference back without running the job. */
    void (*drop)(ou_job *job);
    /* Take one more reference to the owner.  NULL for jobs that the engine
     * never pushes by itself. */
    void (*hold)(ou_job *job);
    /* Show the queue's reference to a garbage collector (visitor is the
     * binding's business).  NULL: the owner is no collectable object. */
    int (*visit)(ou_job *job, void *visitor);
    /* It will run after the next one: ask for the memory that run() will
     * touch (prefetch; no other effect).  NULL: nothing far away. */
    void (*approach)(const ou_job *job);
    /* What it defers may wait for the next job, if that is of such a kind,
     * too (see ou_loop_defer()). */
    bool batched;
    /* Bytes from the start of the owner to the job, where functions above
     * serve several kinds; the engine does not use it. */
    unsigned owner_offset;
} ou_job_kind;

struct ou_job {
    ou_job *next; /* NULL: in no queue; the last job of a queue: itself */
    const ou_job_kind *kind;
};

/* First in, first out, singly linked; all zero bytes is an empty queue. */
typedef struct ou_queue {
    ou_job *head;
    ou_job *tail;
} ou_queue;

static inline void
ou_job_init(ou_job *job, const ou_job_kind *kind)
{
    job->next = NULL;
    job->kind = kind;
}

static inline bool
ou_job_queued(const ou_job *job)
{
    return job->next != NULL;
}

static inline bool
ou_queue_empty(const ou_queue *queue)
{
    return queue->head == NULL;
}

static inline ou_job *
ou_queue_next(const ou_job *job)
{
    return job->next == job ? NULL : job->next;
}

/* job must be in no queue. */
static inline void
ou_queue_push(ou_queue *queue, ou_job *job)
{
    job->next = job;
    if (queue->head == NULL) {
        queue->head = job;
    }
    else {
        queue->tail->next = job;
    }
    queue->tail = job;
}

/* The first job, taken out, or NULL. */
static inline ou_job *
ou_queue_pop(ou_queue *queue)
{
    ou_job *job = queue->head;
    if (job != NULL) {
        queue->head = ou_queue_next(job);
        job->next = NULL;
    }
    return job;
}

/* Move all jobs of `from` behind those of `to`; takes constant time. */
static inline void
ou_queue_append(ou_queue *to, ou_queue *from)
{
    if (from->head == NULL) {
        return;
    }
    if (to->head == NULL) {
        to->head = from->head;
    }
    else {
        to->tail->next = from->head;
    }
    to->tail = from->tail;
    from->head = NULL;
}

/* A queue in one word, for objects of which there are many: its jobs are a
 * ring, each pointing to the next and the last to the first.  All zero bytes
 * is an empty line.  To do more with it than below, take it as a queue. */
typedef struct ou_line {
    ou_job *last;
} ou_line;

static inline bool
ou_line_empty(const ou_line *line)
{
    return line->last == NULL;
}

static inline ou_job *
ou_line_first(const ou_line *line)
{
    return line->last == NULL ? NULL : line->last->next;
}

static inline ou_job *
ou_line_next(const ou_line *line, const ou_job *job)
{
    return job == line->last ? NULL : job->next;
}

/* job must be in no queue. */
static inline void
ou_line_push(ou_line *line, ou_job *job)
{
    if (line->last == NULL) {
        job->next = job;
    }
    else {
        job->next = line->last->next;
        line->last->next = job;
    }
    line->last = job;
}

/* All jobs, taken out, as a queue. */
static inline ou_queue
ou_line_take(ou_line *line)
{
    ou_queue queue = {NULL, NULL};
    if (line->last != NULL) {
        queue.head = line->last->next;
        queue.tail = line->last;
        queue.tail->next = queue.tail;
        line->last = NULL;
    }
    return queue;
}

/* The jobs of a queue, which is used up, as a line. */
static inline ou_line
ou_line_of(const ou_queue *queue)
{
    if (queue->head == NULL) {
        return (ou_line){NULL};
    }
    queue->tail->next = queue->head;
    return (ou_line){queue->tail};
}

/* Take one job out of the middle, in linear time.  Returns whether it was
 * there.  The queue's reference passes to the caller. */
bool ou_queue_remove(ou_queue *queue, ou_job *job);

/* kind->drop() for every job, first to last; the queue is empty before the
 * first drop() runs. */
void ou_queue_drop_all(ou_queue *queue);

/* kind->visit() for every job; stops at and returns the first non-zero. */
int ou_queue_visit(const ou_queue *queue, void *visitor);

/* The same three for a line. */
bool ou_line_remove(ou_line *line, ou_job *job);
void ou_line_drop_all(ou_line *line);
int ou_line_visit(const ou_line *line, void *visitor);

#endif
