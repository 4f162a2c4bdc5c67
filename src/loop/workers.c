/* workers.c - the threads of the default executor.
 *
 * They are threading.Threads with the names that asyncio gives them, and
 * their target is a loop in C: take a job, call, post the result.  A thread
 * is started when a job is submitted and none is idle, up to the number that
 * ThreadPoolExecutor would start.
 *
 * While short calls follow each other, neither a thread nor the loop sleeps in
 * between (sys/pool.h, sys/spin.h): on processors that are idle two wake-ups
 * cost twenty times what the call does.
 *
 * The threads hold the pool; the loop that owns it ends it when it is closed
 * or collected, and the interpreter when it exits: all that is queued is done
 * first, as concurrent.futures does it.
 */
#include "loop/workers.h"

#include "loop/loop.h"
#include "sys/pool.h"
#include "task/future.h"

typedef struct WorkersObject {
    PyObject_HEAD
    ou_pool pool;
    bool opened;
    PyObject *threads;          /* list: all that were started */
    Py_ssize_t most;            /* threads that may be started */
    struct WorkersObject *next; /* the state's list of live pools */
    struct WorkersObject **link;
} WorkersObject;

/* Seconds that a thread which found its job by spinning waits for the loop to
 * give up the interpreter's lock, as it is about to do.  If that takes longer,
 * the thread asks for the lock as any other. */
#define HANDOVER_TIME 10e-6

/* ---- a thread ---------------------------------------------------------- */

/* Post the result, if there is one, and take the next job.  The interpreter's
 * lock is given up before the loop is woken, which needs it at once. */
static ou_job *
post_and_take(WorkersObject *self, ou_pool_thread *thread, PyObject *loop,
              ou_job *done)
{
    ou_inbox *inbox = loop == NULL ? NULL : &ouro_loop_engine(loop)->inbox;
    ou_job *next = ou_pool_try(&self->pool, thread);
    if (next != NULL && inbox != NULL) {
        ou_inbox_post(inbox, done);
        ou_inbox_leave(inbox);
        inbox = NULL;
    }
    /* Safe although `inbox` is still needed: until it is posted, the job owns
     * its loop; and who closes that waits until we have left the inbox. */
    Py_XDECREF(loop);
    if (next != NULL) {
        return next;
    }
    Py_BEGIN_ALLOW_THREADS
    if (inbox != NULL) {
        ou_inbox_post(inbox, done);
        ou_inbox_leave(inbox);
    }
    bool looked = thread->looks;
    next = ou_pool_take(&self->pool, thread);
    if (looked && next != NULL) {
        ou_inbox_await_wait(ouro_call_inbox(next), HANDOVER_TIME);
    }
    Py_END_ALLOW_THREADS
    return next;
}

static PyObject *
workers_work(PyObject *op, PyObject *ignored)
{
    WorkersObject *self = (WorkersObject *)op;
    ouro_state *st = ouro_state_of(op);
    ou_pool_thread thread = {.busy = false};
    ou_job *job = post_and_take(self, &thread, NULL, NULL);
    while (job != NULL) {
        PyObject *loop = ouro_call_run(st, job);
        if (ou_pool_forked(&self->pool)) {
            /* The function has forked, and this is the child. */
            Py_XDECREF(loop);
            break;
        }
        job = post_and_take(self, &thread, loop, job);
    }
    Py_RETURN_NONE;
}

PyObject *
ouro_thread_start(ouro_state *st, PyObject *keywords)
{
    PyObject *type =
        keywords == NULL
            ? NULL
            : PyObject_GetAttrString(st->stock.threading, "Thread");
    PyObject *empty = type == NULL ? NULL : PyTuple_New(0);
    PyObject *thread =
        empty == NULL ? NULL : PyObject_Call(type, empty, keywords);
    if (thread != NULL
        && ouro_drop_result(PyObject_CallMethodNoArgs(thread, st->str.start))
               < 0) {
        Py_CLEAR(thread);
    }
    Py_XDECREF(empty);
    Py_XDECREF(type);
    Py_XDECREF(keywords);
    return thread;
}

/* Thread(name='asyncio_N', target=self._work), started. 0/-1. */
static int
add_thread(WorkersObject *self)
{
    PyObject *work = PyObject_GetAttrString((PyObject *)self, "_work");
    PyObject *name =
        work == NULL ? NULL
                     : PyUnicode_FromFormat("asyncio_%zd",
                                            PyList_GET_SIZE(self->threads));
    PyObject *thread =
        name == NULL ? NULL
                     : ouro_thread_start(ouro_state_of((PyObject *)self),
                                         Py_BuildValue("{sOsO}", "name", name,
                                                       "target", work));
    int result = thread == NULL ? -1 : PyList_Append(self->threads, thread);
    Py_XDECREF(thread);
    Py_XDECREF(name);
    Py_XDECREF(work);
    return result;
}

/* ---- jobs -------------------------------------------------------------- */

bool
ouro_workers_usable(PyObject *workers)
{
    return !ou_pool_forked(&((WorkersObject *)workers)->pool);
}

/* A thread for the next job, before it is queued: if there is none, nothing
 * has happened. */
static int
provide_thread(WorkersObject *self)
{
    if (ou_pool_idle(&self->pool)
        || PyList_GET_SIZE(self->threads) >= self->most) {
        return 0;
    }
    return add_thread(self);
}

PyObject *
ouro_workers_submit(PyObject *workers, PyObject *loop, PyObject *func,
                    PyObject *args, PyObject *kwargs, PyObject *context)
{
    WorkersObject *self = (WorkersObject *)workers;
    ouro_state *st = ouro_state_of(workers);
    if (st->workers_exit) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "cannot schedule new futures after interpreter shutdown");
        return NULL;
    }
    PyObject *future = ouro_future_new(st, loop);
    if (future == NULL) {
        return NULL;
    }
    ou_job *job = ouro_call_new(st, loop, future, func, args, kwargs, context);
    if (job == NULL || provide_thread(self) < 0) {
        if (job != NULL) {
            job->kind->drop(job);
        }
        Py_DECREF(future);
        return NULL;
    }
    ou_loop_expect(ouro_loop_engine(loop), ou_pool_put(&self->pool, job));
    return future;
}

void
ouro_workers_delivered(PyObject *workers)
{
    WorkersObject *self = (WorkersObject *)workers;
    if (!ou_pool_forked(&self->pool)) {
        ou_pool_delivered(&self->pool);
    }
}

/* ---- the end ----------------------------------------------------------- */

void
ouro_workers_end(PyObject *workers)
{
    WorkersObject *self = (WorkersObject *)workers;
    if (!ou_pool_forked(&self->pool)) {
        ou_pool_end(&self->pool);
    }
}

static int
join_all(PyObject *threads)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(threads); i++) {
        PyObject *thread = Py_NewRef(PyList_GET_ITEM(threads, i));
        PyObject *joined = PyObject_CallMethod(thread, "join", NULL);
        Py_DECREF(thread);
        if (joined == NULL) {
            return -1;
        }
        Py_DECREF(joined);
    }
    return 0;
}

int
ouro_workers_join(PyObject *workers)
{
    WorkersObject *self = (WorkersObject *)workers;
    if (ou_pool_forked(&self->pool)) {
        return 0;
    }
    ou_pool_end(&self->pool);
    Py_INCREF(workers);
    int result = join_all(self->threads);
    Py_DECREF(workers);
    return result;
}

/* All pools that there are, as a list. */
static PyObject *
live_pools(ouro_state *st)
{
    PyObject *list = PyList_New(0);
    for (WorkersObject *each = st->workers; list != NULL && each != NULL;
         each = each->next) {
        if (Py_REFCNT(each) > 0 && PyList_Append(list, (PyObject *)each) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* threading calls this when the main thread is done, before it waits for the
 * other threads. */
static PyObject *
workers_exit(PyObject *module, PyObject *ignored)
{
    ouro_state *st = ouro_module_state(module);
    st->workers_exit = true;
    for (WorkersObject *each = st->workers; each != NULL; each = each->next) {
        ouro_workers_end((PyObject *)each);
    }
    PyObject *pools = live_pools(st);
    int result = pools == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(pools); i++) {
        result = ouro_workers_join(PyList_GET_ITEM(pools, i));
    }
    Py_XDECREF(pools);
    return ouro_none_or_error(result);
}

/* threading._register_atexit(exit), once. */
static int
register_exit(ouro_state *st)
{
    if (st->workers_registered) {
        return 0;
    }
    PyObject *hook = PyObject_GetAttrString(st->module, "_workers_exit");
    PyObject *result =
        hook == NULL ? NULL
                     : PyObject_CallMethod(st->stock.threading,
                                           "_register_atexit", "O", hook);
    Py_XDECREF(hook);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    st->workers_registered = true;
    return 0;
}

/* ---- the type ---------------------------------------------------------- */

/* min(32, (os.process_cpu_count() or 1) + 4); os.cpu_count() up to 3.12. -1:
 * exception. */
static Py_ssize_t
most_threads(ouro_state *st)
{
    PyObject *count = PyObject_CallMethod(
        st->stock.os, st->has.minor >= 13 ? "process_cpu_count" : "cpu_count",
        NULL);
    if (count == NULL) {
        return -1;
    }
    Py_ssize_t cpus = count == Py_None ? 1 : PyLong_AsSsize_t(count);
    Py_DECREF(count);
    if (cpus < 0 && PyErr_Occurred()) {
        return -1;
    }
    cpus = cpus > 0 ? cpus : 1;
    return cpus + 4 < 32 ? cpus + 4 : 32;
}

static int
workers_open(ouro_state *st, WorkersObject *self)
{
    self->most = most_threads(st);
    self->threads = self->most < 0 ? NULL : PyList_New(0);
    if (self->threads == NULL || register_exit(st) < 0) {
        return -1;
    }
    int error = ou_pool_open(&self->pool);
    if (error < 0) {
        return ouro_raise_errno_int(error);
    }
    self->opened = true;
    self->next = st->workers;
    self->link = &st->workers;
    if (self->next != NULL) {
        self->next->link = &self->next;
    }
    st->workers = self;
    return 0;
}

PyObject *
ouro_workers_new(ouro_state *st)
{
    PyTypeObject *type = st->types.Workers;
    WorkersObject *self = (WorkersObject *)type->tp_alloc(type, 0);
    if (self != NULL && workers_open(st, self) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* What is queued is not shown: a thread may take it at any moment. */
static int
workers_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((WorkersObject *)op)->threads);
    return 0;
}

static int
workers_clear(PyObject *op)
{
    Py_CLEAR(((WorkersObject *)op)->threads);
    return 0;
}

static void
workers_dealloc(PyObject *op)
{
    WorkersObject *self = (WorkersObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->opened) {
        *self->link = self->next;
        if (self->next != NULL) {
            self->next->link = self->link;
        }
        ou_pool_close(&self->pool);
    }
    workers_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef workers_methods[] = {
    {"_work", workers_work, METH_NOARGS, "_work($self, /)\n--\n\n"},
    {NULL},
};

static PyType_Slot workers_slots[] = {
    {Py_tp_doc, "The threads of a loop's default executor."},
    {Py_tp_methods, workers_methods},
    {Py_tp_traverse, workers_traverse},
    {Py_tp_clear, workers_clear},
    {Py_tp_dealloc, workers_dealloc},
    {0, NULL},
};

static PyType_Spec workers_spec = {
    .name = "ouro._ouro.Workers",
    .basicsize = sizeof(WorkersObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = workers_slots,
};

static PyMethodDef functions[] = {
    {"_workers_exit", workers_exit, METH_NOARGS, NULL},
    {NULL},
};

int
ouro_workers_setup(PyObject *module, ouro_state *st)
{
    if (ouro_calls_setup(module, st) < 0
        || ouro_add_type(module, &workers_spec, NULL, false,
                         &st->types.Workers)
               < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
