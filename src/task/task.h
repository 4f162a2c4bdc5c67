/* task.h - tasks: a coroutine, stepped by the loop.
 *
 * A task's one job serves for its first step and for every wake-up: it is
 * either on the ready queue or in the list of the future that the task waits
 * for, never in both.
 */
#ifndef OURO_TASK_H
#define OURO_TASK_H

#include "task/future.h"

typedef struct TaskObject {
    FutureObject fut;
    ou_job job;
    PyObject *coro; /* NULL when done */
    /* A str, or 1 + 2 * the number of "Task-<number>", which is made when it
     * is asked for; 0: none. */
    uintptr_t name;
    PyObject *context;
    PyObject *waiter; /* _fut_waiter: the future it waits for, or NULL */
    /* The registry's list of live tasks; linked until done. */
    struct TaskObject *next;
    struct TaskObject **link; /* what points at this task, or NULL */
} TaskObject;

static inline bool
ouro_task_exact(ouro_state *st, PyObject *object)
{
    return Py_TYPE(object) == st->types.Task;
}

/* Ours, or a subclass of ours. */
static inline bool
ouro_task_check(ouro_state *st, PyObject *object)
{
    return ouro_task_exact(st, object)
           || PyObject_TypeCheck(object, st->types.Task);
}

/* A task of our exact type for coro on loop, scheduled.  name and context may
 * be NULL.  eager: start it at once (3.12+). */
PyObject *ouro_task_new(ouro_state *st, PyObject *coro, PyObject *loop,
                        PyObject *name, PyObject *context, bool eager);

/* task.cancel(msg=message): truth, or -1. */
int ouro_task_cancel(TaskObject *task, PyObject *message);

/* task.uncancel() and cancelling(), of anybody's task (NULL is None). -1:
 * error. */
int ouro_anytask_uncancel(ouro_state *st, PyObject *task);
int ouro_anytask_cancelling(ouro_state *st, PyObject *task);

/* Whether this task factory makes tasks of our exact type that start at once.
 */
bool ouro_is_eager_factory(ouro_state *st, PyObject *factory);

/* loop.create_task(coro, ...) as a C caller does it: directly on a fast loop
 * without a task factory, else by the method.  name/context may be NULL. */
PyObject *ouro_create_task(ouro_state *st, PyObject *loop, PyObject *coro,
                           PyObject *name, PyObject *context);

/* The same with the keywords in a dict, as 3.14 passes them on. */
PyObject *ouro_create_task_kwargs(ouro_state *st, PyObject *loop,
                                  PyObject *coro, PyObject *kwargs);

/* Name a task that a factory has made, or that a loop has made which knows
 * no names: tasks._set_task_name(task, name), from 3.13 task.set_name(name).
 * 0 or -1. */
int ouro_name_task(ouro_state *st, PyObject *task, PyObject *name);

/* What stands as Task in asyncio.tasks, borrowed: NULL where it is asyncio's
 * or ours, so that ours is made. 0/-1. */
int ouro_patched_task_type(ouro_state *st, PyObject **ret);

/* asyncio.ensure_future(object, loop=loop): a new reference to the future. */
PyObject *ouro_ensure_future(ouro_state *st, PyObject *object, PyObject *loop);

#endif
