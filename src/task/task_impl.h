/* task_impl.h - what the files about tasks share. Private to the room. */
#ifndef OURO_TASK_IMPL_H
#define OURO_TASK_IMPL_H

#include "task/future_impl.h"
#include "task/task.h"

/* The one job of a task: its next step. */
extern const waiter_kind ouro_task_waiter;

/* Run one step, throwing `exception` (may be NULL) into the coroutine; the
 * task is the current one already. 0, or -1: an exception leaves the step. */
int ouro_task_step(ouro_state *st, TaskObject *task, PyObject *exception);

/* Schedule the next step, throwing `exception` (may be NULL). 0 or -1. */
int ouro_task_schedule(ouro_state *st, TaskObject *task, PyObject *exception);

/* The callables that stand for step and wake-up on other loops. */
PyObject *ouro_task_step_callable(ouro_state *st, TaskObject *task,
                                  PyObject *exception);
PyObject *ouro_task_wakeup_callable(ouro_state *st, TaskObject *task);

/* enter, step, leave: the documented way. */
int ouro_task_step_entered(ouro_state *st, TaskObject *task,
                           PyObject *exception);
/* The future that the task waited for is done: step with its outcome. */
int ouro_task_wakeup(ouro_state *st, TaskObject *task, PyObject *fut);

/* Start it at once, inside of the caller (3.12+). */
int ouro_task_start_eagerly(ouro_state *st, TaskObject *task);

PyObject *ouro_task_repr(PyObject *self);
extern PyGetSetDef ouro_task_getset[];
int ouro_task_callables_setup(PyObject *module, ouro_state *st);

#endif
