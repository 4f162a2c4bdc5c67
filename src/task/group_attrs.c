/* group_attrs.c - TaskGroup: what Python sees of its private state, and the
 * private methods, which subclasses override.
 *
 * A program that overrides _abort() wants the other tasks to go on; one that
 * overrides _on_task_done() wants to hear of each task's end.  Where a group
 * has a method of its own, on the instance, a subclass or patched, that is
 * called in its place; else nothing is looked up.
 */
#include "base/args.h"
#include "task/group.h"

/* ---- steps that may be somebody's -------------------------------------- */

int
ouro_group_overrides(ouro_state *st, GroupObject *group, PyObject *name)
{
    bool plain = ouro_no_attributes(group->dict);
    if (plain && Py_TYPE(group) == st->types.TaskGroup
        && ouro_intact_check(&st->group_intact)) {
        return 0;
    }
    if (!plain) {
        int hidden = PyDict_Contains(group->dict, name);
        if (hidden != 0) {
            return hidden;
        }
    }
    PyObject *made = st->group_intact.made;
    PyObject *ours = made == NULL ? NULL : PyDict_GetItemWithError(made, name);
    if (ours == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return _PyType_Lookup(Py_TYPE(group), name) != ours;
}

int
ouro_group_abort(ouro_state *st, GroupObject *group)
{
    int overrides = ouro_group_overrides(st, group, st->str._abort);
    if (overrides < 0) {
        return -1;
    }
    return overrides ? ouro_drop_result(
               PyObject_CallMethodNoArgs((PyObject *)group, st->str._abort))
                     : ouro_group_cancel_children(st, group);
}

int
ouro_group_is_base_error(ouro_state *st, GroupObject *group, PyObject *error)
{
    int overrides = ouro_group_overrides(st, group, st->str._is_base_error);
    if (overrides <= 0) {
        return overrides < 0 ? -1 : ouro_leaves_loop(error);
    }
    PyObject *answer = PyObject_CallMethodOneArg(
        (PyObject *)group, st->str._is_base_error, error);
    int result = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return result;
}

/* ---- _tasks ------------------------------------------------------------ */

/* The set of the running children.  Once it has been seen, it is what counts,
 * for a program may change it. */
static PyObject *
group_tasks(GroupObject *group)
{
    if (group->tasks == NULL) {
        PyObject *list = ouro_group_list_tasks(group);
        PyObject *tasks = list == NULL ? NULL : PySet_New(list);
        Py_XDECREF(list);
        if (tasks == NULL) {
            return NULL;
        }
        Py_XSETREF(group->tasks, tasks);
    }
    return Py_NewRef(group->tasks);
}

/* group._tasks.add(task) */
static int
add_task(GroupObject *group, PyObject *task)
{
    PyObject *tasks = group_tasks(group);
    if (tasks == NULL) {
        return -1;
    }
    int result =
        PySet_CheckExact(tasks)
            ? PySet_Add(tasks, task)
            : ouro_drop_result(PyObject_CallMethod(tasks, "add", "O", task));
    Py_DECREF(tasks);
    return result;
}

/* group._tasks.discard(task) */
static int
discard_task(GroupObject *group, PyObject *task)
{
    PyObject *tasks = group_tasks(group);
    if (tasks == NULL) {
        return -1;
    }
    int result = PySet_CheckExact(tasks)
                     ? PySet_Discard(tasks, task)
                     : ouro_drop_result(
                         PyObject_CallMethod(tasks, "discard", "O", task));
    Py_DECREF(tasks);
    return result < 0 ? -1 : 0;
}

int
ouro_group_add_seen(GroupObject *group, PyObject *task)
{
    return group->tasks == NULL ? 0 : add_task(group, task);
}

int
ouro_group_discard_seen(GroupObject *group, PyObject *task)
{
    return group->tasks == NULL ? 0 : discard_task(group, task);
}

void
ouro_group_forget_seen(GroupObject *group, PyObject *task)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (ouro_group_discard_seen(group, task) < 0) {
        PyErr_Clear();
    }
    PyErr_SetRaisedException(exception);
}

Py_ssize_t
ouro_group_count(GroupObject *group)
{
    if (group->tasks == NULL) {
        return group->count;
    }
    PyObject *tasks = Py_NewRef(group->tasks);
    Py_ssize_t count = PyObject_Size(tasks);
    Py_DECREF(tasks);
    return count;
}

/* ---- a child that a method is told of ---------------------------------- */

/* futures.future_add_to_awaited_by(task, parent) and the like (3.14+). */
static int
change_edge(ouro_state *st, GroupObject *group, const char *function,
            PyObject *task)
{
    if (!st->has.call_graph) {
        return 0;
    }
    return ouro_drop_result(PyObject_CallMethod(
        st->module, function, "OO", task, ouro_or_none(group->parent)));
}

int
ouro_group_watch_by_method(ouro_state *st, GroupObject *group, PyObject *task)
{
    PyObject *method =
        PyObject_GetAttr((PyObject *)group, st->str._on_task_done);
    int result = -1;
    if (method != NULL
        && change_edge(st, group, "future_add_to_awaited_by", task) == 0
        && add_task(group, task) == 0) {
        result = ouro_drop_result(PyObject_CallMethodOneArg(
            task, st->str.add_done_callback, method));
    }
    Py_XDECREF(method);
    return result;
}

/* ---- the methods ------------------------------------------------------- */

static PyObject *
group_abort(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    if (ouro_parse_none("TaskGroup._abort", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return ouro_none_or_error(
        ouro_group_cancel_children(ouro_state_of(self), (GroupObject *)self));
}

static PyObject *
group_is_base_error(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("TaskGroup._is_base_error", "exc");
    PyObject *error;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &error) < 0) {
        return NULL;
    }
    if (!PyExceptionInstance_Check(error)
        && ouro_state_of(self)->has.streams.asserts) {
        PyErr_SetNone(PyExc_AssertionError);
        return NULL;
    }
    return PyBool_FromLong(ouro_leaves_loop(error));
}

static PyObject *
group_on_task_done(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    static const ouro_signature signature =
        OURO_ONE_PARAMETER("TaskGroup._on_task_done", "task");
    GroupObject *group = (GroupObject *)self;
    ouro_state *st = ouro_state_of(self);
    PyObject *task;
    if (ouro_parse_one(&signature, args, nargs, kwnames, &task) < 0
        || discard_task(group, task) < 0
        || change_edge(st, group, "future_discard_from_awaited_by", task)
               < 0) {
        return NULL;
    }
    return ouro_none_or_error(ouro_group_child_done(st, group, task));
}

PyMethodDef ouro_group_private_methods[] = {
    OURO_METHOD("_abort", group_abort, "_abort($self, /)\n--\n\n\
Cancel the tasks of the group."),
    OURO_METHOD("_is_base_error", group_is_base_error,
                "_is_base_error($self, /, exc)\n--\n\n\
Whether an exception is raised as it is, and not in a group."),
    OURO_METHOD("_on_task_done", group_on_task_done,
                "_on_task_done($self, /, task)\n--\n\n\
A task of the group has ended: the callback of each of them."),
    {NULL},
};

/* ---- attributes -------------------------------------------------------- */

static PyObject *
get_tasks(PyObject *self, void *Py_UNUSED(closure))
{
    return group_tasks((GroupObject *)self);
}

static int
set_tasks(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((GroupObject *)self)->tasks, Py_XNewRef(value));
    return 0;
}

static PyObject **
field_of(PyObject *self, void *offset)
{
    return (PyObject **)((char *)self + (uintptr_t)offset);
}

/* For None there is nothing in the field. */
static PyObject *
get_field(PyObject *self, void *offset)
{
    return Py_NewRef(ouro_or_none(*field_of(self, offset)));
}

static int
set_field(PyObject *self, PyObject *value, void *offset)
{
    Py_XSETREF(*field_of(self, offset),
               value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

/* What C appends to, or raises, must be of a kind. */
static int
set_errors(PyObject *self, PyObject *value, void *offset)
{
    if (value != NULL && value != Py_None && !PyList_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "_errors must be a list");
        return -1;
    }
    return set_field(self, value, offset);
}

static int
set_base_error(PyObject *self, PyObject *value, void *offset)
{
    if (value != NULL && value != Py_None
        && !PyExceptionInstance_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "_base_error must be an exception");
        return -1;
    }
    return set_field(self, value, offset);
}

#define FIELD(name, set, member)                                              \
    {                                                                         \
        name, get_field, set, NULL, (void *)offsetof(GroupObject, member)     \
    }

PyGetSetDef ouro_group_getset[] = {
    {"_tasks", get_tasks, set_tasks, NULL, NULL},
    FIELD("_loop", set_field, loop),
    FIELD("_parent_task", set_field, parent),
    FIELD("_errors", set_errors, errors),
    FIELD("_base_error", set_base_error, base_error),
    FIELD("_on_completed_fut", set_field, completed),
    {NULL},
};

#define FLAG(name, member)                                                    \
    {                                                                         \
        name, T_BOOL, offsetof(GroupObject, member), 0, NULL                  \
    }

PyMemberDef ouro_group_members[] = {
    FLAG("_entered", entered),
    FLAG("_exiting", exiting),
    FLAG("_aborting", aborting),
    FLAG("_parent_cancel_requested", parent_cancel_requested),
    {"__dictoffset__", T_PYSSIZET, offsetof(GroupObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(GroupObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

PyMemberDef ouro_group_cancel_on_enter =
    FLAG("_cancel_on_enter", cancel_on_enter);
