/* jobs.c - jobs as handles, and handles as jobs.
 *
 * The engine's ready queue holds jobs; Python's `_ready` holds handles.  From
 * Python to the engine: a guest is a job that is made for a handle that has
 * none of its own, or whose own is queued already.  From the engine to
 * Python: a ReadyJob is the callback of a handle that is made for a job (a
 * task's step, an I/O job) which has no handle.
 */
#include "loop/handle.h"
#include "loop/loop.h"

/* ---- guests: handles that are not ours, or queued twice ----------------- */

typedef struct guest {
    ou_job job;
    LoopObject *loop;
    PyObject *handle;
} guest;

static guest *
guest_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, guest, job);
}

static void
guest_drop(ou_job *job)
{
    guest *self = guest_of(job);
    Py_DECREF(self->handle);
    Py_DECREF(self->loop);
    PyMem_Free(self);
}

static int
guest_run(ou_job *job)
{
    guest *self = guest_of(job);
    int result = ouro_loop_run_handle(self->loop, self->handle);
    if (result < 0) {
        PyObject *error = PyErr_GetRaisedException();
        guest_drop(job);
        PyErr_SetRaisedException(error);
    }
    else {
        guest_drop(job);
    }
    return result;
}

static int
guest_visit(ou_job *job, void *visitor)
{
    visitproc visit = ((ouro_visitor *)visitor)->visit;
    void *arg = ((ouro_visitor *)visitor)->arg;
    Py_VISIT(guest_of(job)->handle);
    Py_VISIT(guest_of(job)->loop);
    return 0;
}

static const ou_job_kind guest_job = {
    .run = guest_run,
    .drop = guest_drop,
    .visit = guest_visit,
};

int
ouro_append_guest(LoopObject *self, PyObject *handle)
{
    guest *node = PyMem_Malloc(sizeof(guest));
    if (node == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ou_job_init(&node->job, &guest_job);
    node->loop = (LoopObject *)Py_NewRef((PyObject *)self);
    node->handle = Py_NewRef(handle);
    ou_loop_push(&self->core.engine, &node->job);
    return 0;
}

/* ---- jobs as handles --------------------------------------------------- */

/* A job of the engine that Python's queue holds: calling it runs it. */
typedef struct ReadyJob {
    PyObject_HEAD
    ou_job *job; /* with the queue's reference; NULL: has been run */
} ReadyJob;

/* The job is alone in a queue of its own, so that its owner still finds it
 * queued. */
static void
ready_job_set(ReadyJob *self, ou_job *job)
{
    job->next = job;
    self->job = job;
}

static ou_job *
ready_job_take(ReadyJob *self)
{
    ou_job *job = self->job;
    self->job = NULL;
    if (job != NULL) {
        job->next = NULL;
    }
    return job;
}

static PyObject *
ready_job_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    ou_job *job = ready_job_take((ReadyJob *)self);
    if (job != NULL && job->kind->run(job) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
ready_job_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    ou_job *job = ((ReadyJob *)self)->job;
    if (job != NULL && job->kind->visit != NULL) {
        ouro_visitor visitor = {visit, arg};
        return job->kind->visit(job, &visitor);
    }
    return 0;
}

static int
ready_job_clear(PyObject *self)
{
    ou_job *job = ready_job_take((ReadyJob *)self);
    if (job != NULL) {
        job->kind->drop(job);
    }
    return 0;
}

static void
ready_job_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    ready_job_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot ready_job_slots[] = {
    {Py_tp_doc, "A job of the loop's, in a queue that belongs to Python."},
    {Py_tp_call, ready_job_call},
    {Py_tp_traverse, ready_job_traverse},
    {Py_tp_clear, ready_job_clear},
    {Py_tp_dealloc, ready_job_dealloc},
    {0, NULL},
};

static PyType_Spec ready_job_spec = {
    .name = "ouro._ouro.ReadyJob",
    .basicsize = sizeof(ReadyJob),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ready_job_slots,
};

/* Consumes the job's reference, also on failure. */
static PyObject *
wrap_job(LoopObject *self, ou_job *job)
{
    PyTypeObject *type = self->core.st->types.ReadyJob;
    PyObject *callable = type->tp_alloc(type, 0);
    if (callable == NULL) {
        job->kind->drop(job);
        return NULL;
    }
    ready_job_set((ReadyJob *)callable, job);
    PyObject *handle = ouro_handle_new(self->core.st, (PyObject *)self,
                                       callable, NULL, 0, NULL);
    Py_DECREF(callable);
    return handle;
}

PyObject *
ouro_job_handle(LoopObject *self, ou_job *job)
{
    if (job->kind == &ouro_handle_job) {
        return (PyObject *)OURO_CONTAINER_OF(job, HandleObject, job);
    }
    if (job->kind == &guest_job) {
        PyObject *handle = Py_NewRef(guest_of(job)->handle);
        guest_drop(job);
        return handle;
    }
    return wrap_job(self, job);
}

int
ouro_jobs_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &ready_job_spec, NULL, false,
                         &st->types.ReadyJob);
}
