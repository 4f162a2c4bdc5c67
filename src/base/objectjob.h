/* objectjob.h - jobs of the engine that are embedded in Python objects.
 *
 * The reference that a queue owns to a job's owner is one to the object, so
 * all such kinds are dropped, held and shown to the collector alike.
 */
#ifndef OURO_OBJECTJOB_H
#define OURO_OBJECTJOB_H

#include "base/ouro.h"
#include "sys/job.h"

/* Of an ou_job_kind for the job `member` of objects of this struct: all but
 * run(), and what few have besides. */
#define OURO_OBJECT_JOB(type, member)                                         \
    .owner_offset = offsetof(type, member), .drop = ouro_job_drop,            \
    .hold = ouro_job_hold, .visit = ouro_job_visit

void ouro_job_drop(ou_job *job);
void ouro_job_hold(ou_job *job);
int ouro_job_visit(ou_job *job, void *visitor);

#endif
