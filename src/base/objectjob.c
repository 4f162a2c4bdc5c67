/* objectjob.c - the references of jobs in Python objects (see objectjob.h). */
#include "base/objectjob.h"

static PyObject *
owner_of(ou_job *job)
{
    return (PyObject *)((char *)job - job->kind->owner_offset);
}

void
ouro_job_drop(ou_job *job)
{
    Py_DECREF(owner_of(job));
}

void
ouro_job_hold(ou_job *job)
{
    Py_INCREF(owner_of(job));
}

int
ouro_job_visit(ou_job *job, void *visitor)
{
    return ouro_visit_owner(visitor, owner_of(job));
}
