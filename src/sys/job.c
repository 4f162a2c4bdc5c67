/* job.c - what queues and lines do besides pushing and popping (see job.h). */
#include "sys/job.h"

bool
ou_queue_remove(ou_queue *queue, ou_job *job)
{
    ou_job *previous = NULL;
    ou_job *at = queue->head;
    while (at != NULL && at != job) {
        previous = at;
        at = ou_queue_next(at);
    }
    if (at == NULL) {
        return false;
    }
    ou_job *next = ou_queue_next(job);
    if (previous == NULL) {
        queue->head = next;
    }
    else {
        /* The last job of a queue points to itself. */
        previous->next = next != NULL ? next : previous;
    }
    if (next == NULL) {
        queue->tail = previous;
    }
    job->next = NULL;
    return true;
}

void
ou_queue_drop_all(ou_queue *queue)
{
    /* drop() may run code of the binding's users, which may queue jobs
     * again: those are not for us. */
    ou_queue dropped = *queue;
    *queue = (ou_queue){NULL, NULL};
    ou_job *job;
    while ((job = ou_queue_pop(&dropped)) != NULL) {
        job->kind->drop(job);
    }
}

static int
job_visit(ou_job *job, void *visitor)
{
    return job->kind->visit == NULL ? 0 : job->kind->visit(job, visitor);
}

int
ou_queue_visit(const ou_queue *queue, void *visitor)
{
    int result = 0;
    for (ou_job *job = queue->head; result == 0 && job != NULL;
         job = ou_queue_next(job)) {
        result = job_visit(job, visitor);
    }
    return result;
}

/* ---- lines ------------------------------------------------------------- */

bool
ou_line_remove(ou_line *line, ou_job *job)
{
    ou_queue queue = ou_line_take(line);
    bool found = ou_queue_remove(&queue, job);
    *line = ou_line_of(&queue);
    return found;
}

void
ou_line_drop_all(ou_line *line)
{
    ou_queue dropped = ou_line_take(line);
    ou_queue_drop_all(&dropped);
}

int
ou_line_visit(const ou_line *line, void *visitor)
{
    int result = 0;
    for (ou_job *job = ou_line_first(line); result == 0 && job != NULL;
         job = ou_line_next(line, job)) {
        result = job_visit(job, visitor);
    }
    return result;
}
