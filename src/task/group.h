/* group.h - the state of a TaskGroup. Private to group.c and group_with.c. */
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

/* Cancel all children. 0/-1. */
int ouro_group_abort(ouro_state *st, GroupObject *group);

/* cancel() of 3.15: cancel the children and the block. 0/-1. */
int ouro_group_cancel(ouro_state *st, GroupObject *group);

extern const ouro_async_def ouro_group_async_methods[];

#endif
