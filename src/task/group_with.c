/* group_with.c - TaskGroup as a context manager: waiting for the children,
 * and what comes out of the block. */
#include "base/args.h"
#include "task/group.h"
#include "task/registry.h"

/* ---- __aenter__ -------------------------------------------------------- */

static int
group_enter(ouro_state *st, GroupObject *group)
{
    if (group->entered) {
        PyErr_Format(PyExc_RuntimeError,
                     "TaskGroup %R has already been entered", group);
        return -1;
    }
    if (group->loop == NULL && (group->loop = ouro_running_loop(st)) == NULL) {
        return -1;
    }
    PyObject *parent = ouro_current_task(st, group->loop);
    if (parent == NULL) {
        return -1;
    }
    if (parent == Py_None) {
        Py_DECREF(parent);
        PyErr_Format(PyExc_RuntimeError,
                     "TaskGroup %R cannot determine the parent task", group);
        return -1;
    }
    Py_XSETREF(group->parent, parent);
    group->entered = true;
    return group->cancel_on_enter ? ouro_group_cancel(st, group) : 0;
}

static await_status
enter_poll(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    if (group_enter(st, (GroupObject *)coro->owner) < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(coro->owner);
    return AWAIT_RETURN;
}

static const await_kind enter_kind = {
    .name = "__aenter__",
    .qualname = "TaskGroup.__aenter__",
    .poll = enter_poll,
};

/* ---- __aexit__ --------------------------------------------------------- */

/* The body's fields: owner the group, a the type and b the value of the
 * exception that left the block (or None), c the cancellation to pass on. */
enum { EXIT_START, EXIT_WAITING };

static int
is_cancellation(ouro_state *st, PyObject *type)
{
    if (type == Py_None) {
        return 0;
    }
    if (!st->has.group_matches_subclasses) {
        return type == st->stock.CancelledError;
    }
    return PyObject_IsSubclass(type, st->stock.CancelledError);
}

/* The group itself has cancelled its parent: take that back. If nobody else
 * wants to cancel, no cancellation is passed on. */
static int
uncancel_parent(ouro_state *st, GroupObject *group, AwaitObject *coro)
{
    if (!group->parent_cancel_requested) {
        return 0;
    }
    if (group->parent == NULL) {
        PyErr_SetString(PyExc_AttributeError,
                        "'NoneType' object has no attribute 'uncancel'");
        return -1;
    }
    int left = ouro_anytask_uncancel(st, group->parent);
    if (left == 0) {
        Py_CLEAR(coro->c);
    }
    else if (left > 0 && coro->c == NULL) {
        /* 3.15: what remains is not the group's own. */
        coro->c = Py_XNewRef(group->pending_cancellation);
    }
    return left < 0 ? -1 : 0;
}

static int
exit_begin(ouro_state *st, GroupObject *group, AwaitObject *coro)
{
    group->exiting = true;
    int leaves =
        coro->b == Py_None ? 0 : ouro_group_is_base_error(st, group, coro->b);
    if (leaves < 0) {
        return -1;
    }
    if (leaves && group->base_error == NULL) {
        group->base_error = Py_NewRef(coro->b);
    }
    int cancellation = is_cancellation(st, coro->a);
    if (cancellation < 0) {
        return -1;
    }
    if (cancellation && coro->b != Py_None) {
        coro->c = Py_NewRef(coro->b);
    }
    if (!st->has.group_uncancels_late
        && uncancel_parent(st, group, coro) < 0) {
        return -1;
    }
    if (coro->a != Py_None && !group->aborting) {
        return ouro_group_abort(st, group);
    }
    return 0;
}

/* Keep the count of requests to cancel the parent, but make a request that
 * came from outside take effect again. */
static int
recancel_parent(ouro_state *st, GroupObject *group)
{
    if (!st->has.group_uncancels_late) {
        return 0;
    }
    if (group->parent == NULL) {
        /* Without __aenter__(), or a second time. */
        PyErr_SetString(PyExc_AttributeError,
                        "'NoneType' object has no attribute 'cancelling'");
        return -1;
    }
    int requests = ouro_anytask_cancelling(st, group->parent);
    if (requests <= 0) {
        return requests;
    }
    if (ouro_anytask_uncancel(st, group->parent) < 0) {
        return -1;
    }
    return ouro_anyfuture_cancel(st, group->parent, NULL) < 0 ? -1 : 0;
}

/* raise BaseExceptionGroup(...) from None */
static void
raise_errors(GroupObject *group)
{
    PyObject *errors = group->errors;
    group->errors = NULL;
    PyObject *error =
        PyObject_CallFunction(PyExc_BaseExceptionGroup, "sO",
                              "unhandled errors in a TaskGroup", errors);
    Py_DECREF(errors);
    if (error != NULL) {
        PyException_SetCause(error, NULL);
        ouro_raise(error);
        Py_DECREF(error);
    }
}

static bool
has_errors(GroupObject *group)
{
    return group->errors != NULL && PyList_GET_SIZE(group->errors) != 0;
}

static int
add_block_error(GroupObject *group, PyObject *exception)
{
    if (group->errors == NULL && (group->errors = PyList_New(0)) == NULL) {
        return -1;
    }
    return PyList_Append(group->errors, exception);
}

/* 3.15: the only error is the GeneratorExit of the block: an asynchronous
 * generator that is closed wants that, and no group. 1, 0, -1. */
static int
is_lone_exit(ouro_state *st, GroupObject *group, AwaitObject *coro)
{
    if (!st->has.task.group_passes_exit || coro->a == Py_None
        || PyList_GET_SIZE(group->errors) != 1) {
        return 0;
    }
    return PyObject_IsSubclass(coro->a, PyExc_GeneratorExit);
}

/* All children are done: what leaves the block? 0: nothing. */
static int
exit_end(ouro_state *st, GroupObject *group, AwaitObject *coro)
{
    if (group->base_error != NULL) {
        ouro_raise(group->base_error);
        return -1;
    }
    if (st->has.group_uncancels_late && uncancel_parent(st, group, coro) < 0) {
        return -1;
    }
    if (coro->c != NULL && !has_errors(group)) {
        ouro_raise(coro->c);
        return -1;
    }
    int cancellation = is_cancellation(st, coro->a);
    if (cancellation < 0
        || (coro->a != Py_None && !cancellation
            && add_block_error(group, coro->b) < 0)) {
        return -1;
    }
    if (!has_errors(group)) {
        return 0;
    }
    if (recancel_parent(st, group) < 0) {
        return -1;
    }
    int lone = is_lone_exit(st, group, coro);
    if (lone > 0) {
        ouro_raise(coro->b);
    }
    else if (lone == 0) {
        raise_errors(group);
    }
    return -1;
}

/* From 3.14 the group lets go of what may be part of a cycle. */
static void
forget(ouro_state *st, GroupObject *group)
{
    if (!st->has.task.group_forgets) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    Py_CLEAR(group->parent);
    Py_CLEAR(group->errors);
    Py_CLEAR(group->base_error);
    Py_CLEAR(group->pending_cancellation);
    PyErr_SetRaisedException(error);
}

static await_status
exit_failed(ouro_state *st, GroupObject *group)
{
    forget(st, group);
    return AWAIT_ERROR;
}

static await_status
exit_poll(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    GroupObject *group = (GroupObject *)coro->owner;
    if (coro->step == EXIT_START) {
        coro->step = EXIT_WAITING;
        if (exit_begin(st, group, coro) < 0) {
            return exit_failed(st, group);
        }
    }
    Py_CLEAR(group->completed);
    Py_ssize_t count = ouro_group_count(group);
    if (count < 0) {
        return exit_failed(st, group);
    }
    if (count != 0) {
        PyObject *loop = Py_NewRef(ouro_or_none(group->loop));
        Py_XSETREF(group->completed, ouro_create_future(st, loop));
        Py_DECREF(loop);
        *ret = Py_XNewRef(group->completed);
        return *ret == NULL ? exit_failed(st, group) : AWAIT_FUTURE;
    }
    if (exit_end(st, group, coro) < 0) {
        return exit_failed(st, group);
    }
    forget(st, group);
    /* 3.15 swallows what has not been raised again. */
    *ret = Py_NewRef(st->has.task.group_cancel ? Py_True : Py_None);
    return AWAIT_RETURN;
}

/* Cancelled while waiting: the children are cancelled, and waited for again
 * as often as it takes. */
static await_status
exit_abort(AwaitObject *coro, PyObject **ret)
{
    ouro_state *st = ouro_state_of((PyObject *)coro);
    GroupObject *group = (GroupObject *)coro->owner;
    if (!PyErr_ExceptionMatches(st->stock.CancelledError)) {
        return exit_failed(st, group);
    }
    PyObject *cancellation = PyErr_GetRaisedException();
    if (st->has.task.group_keeps_cancellation) {
        Py_XSETREF(group->pending_cancellation, Py_NewRef(cancellation));
    }
    if (group->aborting) {
        Py_DECREF(cancellation);
    }
    else {
        Py_XSETREF(coro->c, cancellation);
        if (ouro_group_abort(st, group) < 0) {
            return exit_failed(st, group);
        }
    }
    return exit_poll(coro, ret);
}

static const await_kind inner_exit_kind = {
    .name = "_aexit",
    .qualname = "TaskGroup._aexit",
};
static const await_kind exit_kind = {
    .name = "__aexit__",
    .qualname = "TaskGroup.__aexit__",
    .poll = exit_poll,
    .abort = exit_abort,
    .inside = &inner_exit_kind,
};

/* ---- methods ----------------------------------------------------------- */

PyDoc_STRVAR(aenter_doc, "__aenter__($self, /)\n--\n\n\
Make the current task the parent of the group.\n\n\
Raises RuntimeError outside of a task, or if it was entered before.");

static PyObject *
group_aenter(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    return ouro_await_call(ouro_state_of(self), &enter_kind, self, args, nargs,
                           kwnames);
}

PyDoc_STRVAR(aexit_doc, "__aexit__($self, /, et, exc, tb)\n--\n\n\
Wait for all tasks; raises an ExceptionGroup of their exceptions.");

static const ouro_signature aexit_signature = {
    .qualname = "TaskGroup.__aexit__",
    .skip_self = 1,
    .positional = 3,
    .required = 3,
    .names = {"et", "exc", "tb", NULL},
};

static PyObject *
group_aexit(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    return ouro_await_exit(&exit_kind, self, &aexit_signature, args, nargs,
                           kwnames);
}

const ouro_async_def ouro_group_async_methods[] = {
    {"__aenter__", group_aenter, aenter_doc},
    {"__aexit__", group_aexit, aexit_doc},
    {NULL},
};
