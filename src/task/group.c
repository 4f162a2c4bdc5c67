/* group.c - TaskGroup: its children.
 *
 * Each child has one waiter, a node of the group's list; there is no set of
 * tasks and no bound method a child, unless somebody wants to see the one or
 * to replace the other (group_attrs.c).  `async with` is in group_with.c.
 */
#include "task/group.h"

#include "base/args.h"
#include "base/rooms.h"

/* ---- the list of children ---------------------------------------------- */

static void
child_unlink(group_child *child)
{
    GroupObject *group = child->group;
    if (child->link == NULL) {
        return;
    }
    *child->link = child->next;
    if (child->next != NULL) {
        child->next->link = child->link;
    }
    else {
        group->last = child->link;
    }
    child->link = NULL;
    group->count--;
}

static group_child *
child_of(ou_job *job)
{
    return OURO_CONTAINER_OF(job, group_child, job);
}

static void
child_hold(ou_job *job)
{
    child_of(job)->references++;
}

static void
child_drop(ou_job *job)
{
    group_child *child = child_of(job);
    if (--child->references > 0) {
        return;
    }
    GroupObject *group = child->group;
    child_unlink(child);
    Py_DECREF(child->task);
    PyMem_Free(child);
    Py_DECREF(group);
}

/* ---- a child is done --------------------------------------------------- */

/* The tasks of the children, a new list: what is done with them may run
 * Python, which may change who the children are. */
PyObject *
ouro_group_list_tasks(GroupObject *group)
{
    if (group->tasks != NULL) {
        PyObject *seen = Py_NewRef(group->tasks);
        PyObject *list = PySequence_List(seen);
        Py_DECREF(seen);
        return list;
    }
    PyObject *tasks = PyList_New(0);
    for (group_child *child = group->children; tasks != NULL && child != NULL;
         child = child->next) {
        if (PyList_Append(tasks, child->task) < 0) {
            Py_CLEAR(tasks);
        }
    }
    return tasks;
}

int
ouro_group_cancel_children(ouro_state *st, GroupObject *group)
{
    group->aborting = true;
    PyObject *tasks = ouro_group_list_tasks(group);
    if (tasks == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(tasks); i++) {
        PyObject *task = PyList_GET_ITEM(tasks, i);
        int done = ouro_anyfuture_done(st, task);
        if (done < 0 || (!done && ouro_anyfuture_cancel(st, task, NULL) < 0)) {
            result = -1;
        }
    }
    Py_DECREF(tasks);
    return result;
}

/* A child has failed after the parent task has ended. */
static int
report_orphan(ouro_state *st, GroupObject *group, PyObject *task,
              PyObject *exception)
{
    PyObject *message = PyUnicode_FromFormat(
        "Task %R has errored out but its parent task %S is already "
        "completed",
        task, group->parent);
    PyObject *context =
        message == NULL
            ? NULL
            : Py_BuildValue("{OOOOOO}", st->str.message, message,
                            st->str.exception, exception, st->str.task, task);
    Py_XDECREF(message);
    return ouro_loop_call_exception_handler(st, ouro_or_none(group->loop),
                                            context);
}

static int
child_failed(ouro_state *st, GroupObject *group, PyObject *task,
             PyObject *exception)
{
    if (group->errors == NULL && (group->errors = PyList_New(0)) == NULL) {
        return -1;
    }
    if (PyList_Append(group->errors, exception) < 0) {
        return -1;
    }
    int leaves = ouro_group_is_base_error(st, group, exception);
    if (leaves < 0) {
        return -1;
    }
    if (leaves && group->base_error == NULL) {
        group->base_error = Py_NewRef(exception);
    }
    if (group->parent == NULL) {
        return 0; /* the collector has cleared the group */
    }
    int parent_done = ouro_anyfuture_done(st, group->parent);
    if (parent_done != 0) {
        return parent_done < 0 ? -1
                               : report_orphan(st, group, task, exception);
    }
    if (group->aborting || group->parent_cancel_requested) {
        return 0;
    }
    /* Whatever the parent awaits inside of the block must end; __aexit__
     * takes the cancellation back. */
    if (ouro_group_abort(st, group) < 0) {
        return -1;
    }
    group->parent_cancel_requested = true;
    return ouro_anyfuture_cancel(st, group->parent, NULL) < 0 ? -1 : 0;
}

/* All children are done: so is what __aexit__ waits for, if it does. */
static int
wake_parent(ouro_state *st, GroupObject *group)
{
    PyObject *completed = Py_XNewRef(group->completed);
    if (completed == NULL) {
        return 0;
    }
    int done = ouro_anyfuture_done(st, completed);
    int result = done < 0 ? -1 : 0;
    if (done == 0) {
        result = ouro_anyfuture_set_result(st, completed, Py_True);
    }
    Py_DECREF(completed);
    return result;
}

int
ouro_group_child_done(ouro_state *st, GroupObject *group, PyObject *task)
{
    Py_ssize_t left = ouro_group_count(group);
    if (left < 0 || (left == 0 && wake_parent(st, group) < 0)) {
        return -1;
    }
    int cancelled = ouro_anyfuture_cancelled(st, task);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    PyObject *exception = ouro_anyfuture_exception(st, task);
    if (exception == NULL) {
        return -1;
    }
    int result =
        exception == Py_None ? 0 : child_failed(st, group, task, exception);
    Py_DECREF(exception);
    return result;
}

static int
child_run(ou_job *job)
{
    group_child *child = child_of(job);
    GroupObject *group = child->group;
    ouro_state *st = ouro_state_of((PyObject *)group);
    child_unlink(child);
    int result = ouro_group_discard_seen(group, child->task);
    if (result == 0) {
        result = ouro_group_child_done(st, group, child->task);
    }
    if (result < 0) {
        result = ouro_waiter_failed(st, child->task, job);
    }
    child_drop(job);
    return result;
}

/* The node owns one reference to the group, whoever refers to the node: shown
 * only where one holder is left, which at worst keeps a cycle alive longer. */
static int
child_visit(ou_job *job, void *visitor)
{
    visitproc visit = ((ouro_visitor *)visitor)->visit;
    void *arg = ((ouro_visitor *)visitor)->arg;
    group_child *child = child_of(job);
    if (child->references == 1) {
        Py_VISIT(child->group);
    }
    return 0;
}

static PyObject *
child_awaiter(ou_job *job)
{
    return child_of(job)->group->parent;
}

static const waiter_kind group_waiter = {
    .job =
        {
            .run = child_run,
            .drop = child_drop,
            .hold = child_hold,
            .visit = child_visit,
        },
    .qualname = "TaskGroup._on_task_done",
    .awaiter = child_awaiter,
};

static int
add_child(ouro_state *st, GroupObject *group, PyObject *task)
{
    if (ouro_group_add_seen(group, task) < 0) {
        return -1;
    }
    group_child *child = PyMem_Malloc(sizeof(group_child));
    if (child == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ou_job_init(&child->job, &group_waiter.job);
    child->references = 1;
    child->group = (GroupObject *)Py_NewRef((PyObject *)group);
    child->task = Py_NewRef(task);
    child->next = NULL;
    child->link = group->last;
    *group->last = child;
    group->last = &child->next;
    group->count++;
    return ouro_watch(st, task, &child->job);
}

/* ---- create_task() ----------------------------------------------------- */

/* RuntimeError "TaskGroup ... what"; from 3.13 the coroutine is closed. */
static int
refuse_task(ouro_state *st, GroupObject *group, PyObject *coro,
            const char *what)
{
    if (st->has.group_closes_refused) {
        if (ouro_drop_result(PyObject_CallMethodNoArgs(coro, st->str.close))
            < 0) {
            return -1;
        }
    }
    PyErr_Format(PyExc_RuntimeError, "TaskGroup %R %s", group, what);
    return -1;
}

static int
check_open(ouro_state *st, GroupObject *group, PyObject *coro)
{
    if (!group->entered) {
        return refuse_task(st, group, coro, "has not been entered");
    }
    Py_ssize_t count = group->exiting ? ouro_group_count(group) : 1;
    if (count < 0) {
        return -1;
    }
    if (count == 0) {
        return refuse_task(st, group, coro, "is finished");
    }
    if (group->aborting) {
        return refuse_task(st, group, coro, "is shutting down");
    }
    return 0;
}

/* 3.15: it has cancelled the group before it was in it. */
static int
cancel_latecomer(ouro_state *st, GroupObject *group, PyObject *task)
{
    if (!st->has.task.group_cancels_late || !group->aborting) {
        return 0;
    }
    int done = ouro_anyfuture_done(st, task);
    if (done != 0) {
        return done < 0 ? -1 : 0;
    }
    return ouro_anyfuture_cancel(st, task, NULL) < 0 ? -1 : 0;
}

/* It has run to its end at once. */
static int
adopt_done(ouro_state *st, GroupObject *group, PyObject *task, int by_method)
{
    return by_method ? ouro_drop_result(PyObject_CallMethodOneArg(
               (PyObject *)group, st->str._on_task_done, task))
                     : ouro_group_child_done(st, group, task);
}

/* The task is the group's from now on. */
static int
adopt(ouro_state *st, GroupObject *group, PyObject *task)
{
    int by_method = ouro_group_overrides(st, group, st->str._on_task_done);
    if (by_method < 0) {
        return -1;
    }
    if (st->has.eager_tasks && !st->has.task.group_always_watches) {
        int done = ouro_anyfuture_done(st, task);
        if (done != 0) {
            return done < 0 ? -1 : adopt_done(st, group, task, by_method);
        }
    }
    int result = by_method ? ouro_group_watch_by_method(st, group, task)
                           : add_child(st, group, task);
    if (result < 0) {
        ouro_group_forget_seen(group, task);
        return -1;
    }
    return cancel_latecomer(st, group, task);
}

PyDoc_STRVAR(create_task_doc,
"create_task($self, /, coro, *, name=None, context=None)\n--\n\n\
Create a new task in this group and return it.\n\n\
Similar to `asyncio.create_task`.");

static const ouro_signature create_task_signature = {
    .qualname = "TaskGroup.create_task",
    .skip_self = 1,
    .positional = 1,
    .required = 1,
    .names = {"coro", "name", "context", NULL},
};

static PyObject *
group_create_task(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    GroupObject *group = (GroupObject *)self;
    ouro_state *st = ouro_state_of(self);
    PyObject *given[3];
    if (ouro_parse(&create_task_signature, args, nargs, kwnames, given) < 0
        || check_open(st, group, given[0]) < 0) {
        return NULL;
    }
    PyObject *name = given[1] != NULL ? given[1] : Py_None;
    PyObject *context = given[2] == Py_None ? NULL : given[2];
    PyObject *task = ouro_create_task(st, ouro_or_none(group->loop), given[0],
                                      name, context);
    if (task != NULL && adopt(st, group, task) < 0) {
        Py_CLEAR(task);
    }
    return task;
}

/* 3.14: the keywords go on to loop.create_task() as they came. */
static PyObject *
group_create_task_kwargs(PyObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "TaskGroup.create_task",
        .skip_self = 1,
        .positional = 1,
        .required = 1,
        .names = {"coro", NULL},
        .varkeywords = true,
    };
    GroupObject *group = (GroupObject *)self;
    ouro_state *st = ouro_state_of(self);
    PyObject *coro;
    if (ouro_parse(&signature, args, nargs, kwnames, &coro) < 0
        || check_open(st, group, coro) < 0) {
        return NULL;
    }
    PyObject *kwargs = ouro_keywords(&signature, args + nargs, kwnames);
    if (kwargs == NULL) {
        return NULL;
    }
    PyObject *task =
        ouro_create_task_kwargs(st, ouro_or_none(group->loop), coro, kwargs);
    Py_DECREF(kwargs);
    if (task != NULL && adopt(st, group, task) < 0) {
        Py_CLEAR(task);
    }
    return task;
}

/* ---- cancel(), 3.15 ---------------------------------------------------- */

int
ouro_group_cancel(ouro_state *st, GroupObject *group)
{
    if (!group->entered) {
        group->cancel_on_enter = true;
        return 0;
    }
    Py_ssize_t count = group->exiting ? ouro_group_count(group) : 1;
    if (count <= 0 || group->aborting) {
        return count < 0 ? -1 : 0;
    }
    if (ouro_group_abort(st, group) < 0) {
        return -1;
    }
    if (group->parent == NULL || group->parent_cancel_requested) {
        return 0;
    }
    group->parent_cancel_requested = true;
    return ouro_anyfuture_cancel(st, group->parent, NULL) < 0 ? -1 : 0;
}

PyDoc_STRVAR(group_cancel_doc, "cancel($self, /)\n--\n\n\
Cancel the task group\n\n\
`cancel()` will be called on any tasks in the group that aren't yet\n\
done, as well as the parent (body) of the group.  This will cause\n\
the task group context manager to exit *without*\n\
`asyncio.CancelledError` being raised.\n\n\
If `cancel()` is called before entering the task group, the group\n\
will be cancelled upon entry.\n\n\
`cancel()` is idempotent and may be called after the task group has\n\
already exited.");

static PyObject *
group_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    if (ouro_parse_none("TaskGroup.cancel", args, nargs, kwnames) < 0
        || ouro_group_cancel(ouro_state_of(self), (GroupObject *)self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the object -------------------------------------------------------- */

static const ouro_signature init_signature = {
    .qualname = "TaskGroup.__init__",
    .skip_self = 1,
    .names = {NULL},
};

static int
group_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return ouro_parse_init(&init_signature, args, kwargs, NULL);
}

static PyObject *
group_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        GroupObject *group = (GroupObject *)self;
        group->last = &group->children;
        group->errors = PyList_New(0);
        if (group->errors == NULL || ouro_dict_at_birth(&group->dict) < 0) {
            Py_CLEAR(self);
        }
    }
    return self;
}

static int
group_traverse(PyObject *self, visitproc visit, void *arg)
{
    GroupObject *group = (GroupObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(group->dict);
    Py_VISIT(group->tasks);
    Py_VISIT(group->loop);
    Py_VISIT(group->parent);
    Py_VISIT(group->errors);
    Py_VISIT(group->base_error);
    Py_VISIT(group->completed);
    Py_VISIT(group->pending_cancellation);
    for (group_child *child = group->children; child != NULL;
         child = child->next) {
        Py_VISIT(child->task);
    }
    return 0;
}

/* The children's jobs hold the group: a cycle through them is broken at the
 * tasks. */
static int
group_clear(PyObject *self)
{
    GroupObject *group = (GroupObject *)self;
    Py_CLEAR(group->dict);
    Py_CLEAR(group->tasks);
    Py_CLEAR(group->loop);
    Py_CLEAR(group->parent);
    Py_CLEAR(group->errors);
    Py_CLEAR(group->base_error);
    Py_CLEAR(group->completed);
    Py_CLEAR(group->pending_cancellation);
    return 0;
}

static void
group_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((GroupObject *)self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    group_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
group_repr(PyObject *self)
{
    GroupObject *group = (GroupObject *)self;
    char tasks[40] = "", errors[40] = "";
    Py_ssize_t count = ouro_group_count(group);
    if (count < 0) {
        return NULL;
    }
    if (count != 0) {
        PyOS_snprintf(tasks, sizeof(tasks), " tasks=%zd", count);
    }
    if (group->errors != NULL && PyList_GET_SIZE(group->errors) != 0) {
        PyOS_snprintf(errors, sizeof(errors), " errors=%zd",
                      PyList_GET_SIZE(group->errors));
    }
    const char *phase = group->aborting  ? " cancelling"
                        : group->entered ? " entered"
                                         : "";
    return PyUnicode_FromFormat("<TaskGroup%s%s%s>", tasks, errors, phase);
}

static PyMethodDef create_task_method =
    OURO_METHOD("create_task", group_create_task, create_task_doc);

static PyMethodDef create_task_kwargs_method =
    OURO_METHOD("create_task", group_create_task_kwargs,
                "create_task($self, /, coro, **kwargs)\n--\n\n\
Create a new task in this group and return it.\n\n\
Similar to `asyncio.create_task`.");

static PyMethodDef cancel_method =
    OURO_METHOD("cancel", group_cancel, group_cancel_doc);

PyDoc_STRVAR(group_doc, "TaskGroup()\n--\n\n\
Asynchronous context manager for managing groups of tasks.\n\n\
Example use:\n\n\
    async with asyncio.TaskGroup() as group:\n\
        task1 = group.create_task(some_coroutine(...))\n\
        task2 = group.create_task(other_coroutine(...))\n\
    print(\"Both tasks have completed now.\")\n\n\
All tasks are awaited when the context manager exits.\n\n\
Any exceptions other than `asyncio.CancelledError` raised within\n\
a task will cancel all remaining tasks and wait for them to exit.\n\
The exceptions are then combined and raised as an `ExceptionGroup`.");

static PyType_Slot group_slots[] = {
    {Py_tp_doc, (void *)group_doc},
    {Py_tp_new, group_new},
    {Py_tp_init, group_init},
    {Py_tp_dealloc, group_dealloc},
    {Py_tp_traverse, group_traverse},
    {Py_tp_clear, group_clear},
    {Py_tp_repr, group_repr},
    {Py_tp_getset, ouro_group_getset},
    {Py_tp_members, ouro_group_members},
    {Py_tp_methods, ouro_group_private_methods},
    {0, NULL},
};

static PyType_Spec group_spec = {
    .name = "ouro.TaskGroup",
    .basicsize = sizeof(GroupObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = group_slots,
};

/* type.<name> = descriptor; takes the descriptor over. */
static int
add_descriptor(PyTypeObject *type, const char *name, PyObject *descriptor)
{
    int result = descriptor == NULL ? -1
                                    : PyObject_SetAttrString((PyObject *)type,
                                                             name, descriptor);
    Py_XDECREF(descriptor);
    return result;
}

static int
add_method(PyTypeObject *type, PyMethodDef *def)
{
    return add_descriptor(type, def->ml_name, PyDescr_NewMethod(type, def));
}

/* 3.15 */
static int
add_cancel(PyTypeObject *type)
{
    PyMemberDef *flag = &ouro_group_cancel_on_enter;
    return add_method(type, &cancel_method) < 0
                   || add_descriptor(type, flag->name,
                                     PyDescr_NewMember(type, flag))
                          < 0
               ? -1
               : 0;
}

int
ouro_group_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &group_spec, NULL, true, &st->types.TaskGroup)
        < 0) {
        return -1;
    }
    PyTypeObject *type = st->types.TaskGroup;
    bool kwargs = st->has.task.group_kwargs && !st->has.task.group_name;
    if (add_method(type,
                   kwargs ? &create_task_kwargs_method : &create_task_method)
            < 0
        || (st->has.task.group_cancel && add_cancel(type) < 0)
        || ouro_add_async_methods(st, type, ouro_group_async_methods) < 0) {
        return -1;
    }
    return ouro_intact_init(&st->group_intact, type);
}
