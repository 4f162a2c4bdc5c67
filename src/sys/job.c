/* job.c - what ou_queue does besides pushing and popping (see job.h). */
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

int
ou_queue_visit(const ou_queue *queue, void *visitor)
{
    for (ou_job *job = queue->head; job != NULL; job = ou_queue_next(job)) {
        if (job->kind->visit != NULL) {
            int result = job->kind->visit(job, visitor);
            if (result != 0) {
                return result;
            }
        }
    }
    return 0;
}
