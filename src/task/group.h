/* group.h - the state of a TaskGroup. Private to group*.c. */
#ifndef OURO_GROUP_H
#define OURO_GROUP_H

#include "base/await.h"
#include "task/task.h"

typedef struct GroupObject GroupObject;

/* One running child: a waiter queued in it. */
typedef struct group_child {
    ou_job job;
    int references; /* of the queue and of callables that stand for the job */
    GroupObject *group;
    PyObject *task;
    struct group_child *next;
    struct group_child **link;
} group_child;

struct GroupObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    group_child *children; /* oldest first */
    group_child **last;
    Py_ssize_t count;
    PyObject *tasks; /* _tasks, once it has been seen: it counts from then on;
                        or NULL */
    PyObject *loop;
    PyObject *parent;
    PyObject *errors; /* list; NULL once they have been raised */
    PyObject *base_error;
    PyObject *pending_cancellation; /* 3.15: the last that came in
                                       __aexit__, or NULL */
    PyObject *completed; /* the future that __aexit__ waits for, or NULL */
    bool entered;
    bool exiting;
    bool aborting;
    bool parent_cancel_requested;
    bool cancel_on_enter; /* 3.15: cancel() came before the block */
};

/* Cancel all children: what _abort() does. 0/-1. */
int ouro_group_cancel_children(ouro_state *st, GroupObject *group);

/* The tasks of the group, a new list. */
PyObject *ouro_group_list_tasks(GroupObject *group);

/* What _on_task_done() does with a task that is none of the group's any more.
 * 0/-1. */
int ouro_group_child_done(ouro_state *st, GroupObject *group, PyObject *task);

/* cancel() of 3.15: cancel the children and the block. 0/-1. */
int ouro_group_cancel(ouro_state *st, GroupObject *group);

extern const ouro_async_def ouro_group_async_methods[];

/* ---- what programs see and override (group_attrs.c) -------------------- */

/* Whether a private method is somebody's: 1, 0, -1. */
int ouro_group_overrides(ouro_state *st, GroupObject *group, PyObject *name);

/* self._abort(): 0/-1.  self._is_base_error(error): 1, 0, -1. */
int ouro_group_abort(ouro_state *st, GroupObject *group);
int ouro_group_is_base_error(ouro_state *st, GroupObject *group,
                             PyObject *error);

/* Add a task whose end self._on_task_done() is told of. 0/-1. */
int ouro_group_watch_by_method(ouro_state *st, GroupObject *group,
                               PyObject *task);

/* len(_tasks), or -1; and its add() and discard(), if it has been seen: 0/-1.
 */
Py_ssize_t ouro_group_count(GroupObject *group);
int ouro_group_add_seen(GroupObject *group, PyObject *task);
int ouro_group_discard_seen(GroupObject *group, PyObject *task);

/* The same with an exception set, which stays: nobody will tell of the task's
 * end, so it must not be waited for. */
void ouro_group_forget_seen(GroupObject *group, PyObject *task);

extern PyMethodDef ouro_group_private_methods[];
extern PyGetSetDef ouro_group_getset[];
extern PyMemberDef ouro_group_members[];
extern PyMemberDef ouro_group_cancel_on_enter; /* 3.15+ */

#endif
