/* registry.h - which tasks there are, and which one runs.
 *
 * asyncio's own registry stays the truth for the running loop and the current
 * task, because stock tasks, other loops and libraries ask it; we write into
 * it.  Our own live tasks are in an intrusive list, which asyncio's WeakSet
 * of all tasks is made to show as well.
 */
#ifndef OURO_REGISTRY_H
#define OURO_REGISTRY_H

#include "task/task.h"

/* Link a new task; unlink it when it is done or freed (idempotent). */
void ouro_registry_add(ouro_state *st, TaskObject *task);
void ouro_registry_remove(TaskObject *task);

/* tp_hash of our Loop: shows the current task to who looks it up (current.c).
 */
Py_hash_t ouro_loop_hash(PyObject *loop);

/* Make task the current one of its loop for the length of a step.  On a
 * fast loop the entry is left standing afterwards: between two steps it is
 * overwritten.  -1: RuntimeError, another task is being executed. */
int ouro_enter_task_fast(LoopCore *loop, TaskObject *task);
/* Take a standing entry back: before any callback that is not a step of
 * ours, before a wait, and when run_forever() returns. */
int ouro_leave_entered(LoopCore *loop);

static inline int
ouro_leave_task_fast(LoopCore *loop)
{
    return loop->entered == NULL ? 0 : ouro_leave_entered(loop);
}

/* A step is over: the entry stays unless the task is done (a finished task
 * must not be kept alive by it). */
int ouro_after_step_fast(LoopCore *loop, TaskObject *task);

/* Where asyncio keeps the current task of this thread (owned, or NULL) from
 * 3.14 on, if `loop` is the one that runs in it; else NULL. */
PyObject **ouro_current_task_field(ouro_state *st, PyObject *loop);

/* The documented pair, for every other loop. */
int ouro_enter_task(ouro_state *st, PyObject *loop, PyObject *task);
int ouro_leave_task(ouro_state *st, PyObject *loop, PyObject *task);

/* _swap_current_task(loop, task), 3.12+: the task that was current, or None;
 * task may be None. */
PyObject *ouro_swap_task(ouro_state *st, PyObject *loop, PyObject *task);

/* current_task(loop): new reference to the task or None. loop may be NULL:
 * the running one. */
PyObject *ouro_current_task(ouro_state *st, PyObject *loop);

/* For the call graph (3.14+): *ret is the running loop's current task, a new
 * reference, or NULL if there is none. 0/-1; before 3.14 always NULL. */
int ouro_awaiting_task(ouro_state *st, PyObject **ret);

extern PyMethodDef ouro_current_functions[];

#endif
