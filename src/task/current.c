/* current.c - which task runs: kept in asyncio's own registry.
 *
 * Up to 3.13 that is a dict {loop: task}.  To write into it costs more than
 * the rest of entering a step, and hardly anybody looks; but who does looks up
 * our loop, and so asks for its hash.  So the task is noted in the loop alone,
 * until somebody hashes that: then it is shown, the dict is written, and is
 * the truth until the entry is taken back.
 *
 * From 3.14 on it is a field of the thread's state.
 */
#include "task/registry.h"

#include "base/args.h"

static int
check_nothing_entered(ouro_state *st, PyObject *loop, PyObject *task)
{
    PyObject *other;
    if (PyDict_GetItemRef(st->stock._current_tasks, loop, &other) < 0) {
        return -1;
    }
    if (other == NULL) {
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "Cannot enter into task %R while another task %R is being "
                 "executed.",
                 task, other);
    Py_DECREF(other);
    return -1;
}

/* Up to 3.13 without the help of asyncio's: where its dict cannot grow, the
 * PyDict_SetDefaultRef() of 3.13 counts an entry that is not there, and what
 * reads the dict afterwards crashes. */
int
ouro_enter_task(ouro_state *st, PyObject *loop, PyObject *task)
{
    if (st->stock._current_tasks == NULL) {
        PyObject *args[] = {loop, task};
        return ouro_drop_result(
            PyObject_Vectorcall(st->stock._enter_task, args, 2, NULL));
    }
    return check_nothing_entered(st, loop, task) < 0
               ? -1
               : PyDict_SetItem(st->stock._current_tasks, loop, task);
}

int
ouro_leave_task(ouro_state *st, PyObject *loop, PyObject *task)
{
    PyObject *args[] = {loop, task};
    return ouro_drop_result(
        PyObject_Vectorcall(st->stock._leave_task, args, 2, NULL));
}

/* ---- from 3.14 on ------------------------------------------------------- */

/* Whatever is not as it should be is asyncio's to refuse. */
static int
enter_thread(ouro_state *st, PyObject *loop, PyObject *task)
{
    PyObject **field = ouro_current_task_field(st, loop);
    if (field == NULL || *field != NULL) {
        return ouro_enter_task(st, loop, task);
    }
    *field = Py_NewRef(task);
    return 0;
}

static PyObject *
current_of_thread(ouro_state *st, PyObject *loop)
{
    PyObject **field = ouro_current_task_field(st, loop);
    return field == NULL ? PyObject_CallOneArg(st->stock.current_task, loop)
                         : Py_NewRef(ouro_or_none(*field));
}

static int
leave_thread(ouro_state *st, PyObject *loop, PyObject *task)
{
    PyObject **field = ouro_current_task_field(st, loop);
    if (field == NULL || *field != task) {
        return ouro_leave_task(st, loop, task);
    }
    *field = NULL;
    Py_DECREF(task);
    return 0;
}

/* ---- up to 3.13: shown when somebody looks ------------------------------ */

/* Write it into the dict.  (That hashes the loop: it counts as shown.) */
static int
show(LoopCore *loop, TaskObject *task)
{
    bool before = loop->shown;
    loop->shown = true;
    if (PyDict_SetItem(loop->st->stock._current_tasks, (PyObject *)loop,
                       (PyObject *)task)
        < 0) {
        loop->shown = before;
        return -1;
    }
    return 0;
}

Py_hash_t
ouro_loop_hash(PyObject *self)
{
    LoopCore *loop = (LoopCore *)self;
    if (loop->entered != NULL && !loop->shown
        && show(loop, (TaskObject *)loop->entered) < 0) {
        return -1;
    }
    return Py_HashPointer(self);
}

/* Nobody can look without our knowing. */
static bool
is_discreet(LoopCore *loop)
{
    return !loop->shown && Py_TYPE(loop)->tp_hash == ouro_loop_hash;
}

int
ouro_enter_task_fast(LoopCore *loop, TaskObject *task)
{
    ouro_state *st = loop->st;
    if (st->stock._current_tasks == NULL) {
        return enter_thread(st, (PyObject *)loop, (PyObject *)task);
    }
    if (loop->entered == NULL && PyDict_GET_SIZE(st->stock._current_tasks) != 0
        && check_nothing_entered(st, (PyObject *)loop, (PyObject *)task) < 0) {
        return -1;
    }
    if (!is_discreet(loop) && show(loop, task) < 0) {
        return -1;
    }
    Py_XSETREF(loop->entered, Py_NewRef((PyObject *)task));
    return 0;
}

/* Take it out of the dict.  Somebody may have called _leave_task() for us. */
static int
hide(LoopCore *loop)
{
    loop->shown = false;
    if (PyDict_DelItem(loop->st->stock._current_tasks, (PyObject *)loop) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return -1;
        }
        PyErr_Clear();
    }
    return 0;
}

int
ouro_leave_entered(LoopCore *loop)
{
    PyObject *entered = loop->entered;
    loop->entered = NULL;
    int result = loop->shown ? hide(loop) : 0;
    Py_DECREF(entered);
    return result;
}

int
ouro_after_step_fast(LoopCore *loop, TaskObject *task)
{
    if (loop->st->stock._current_tasks == NULL) {
        return leave_thread(loop->st, (PyObject *)loop, (PyObject *)task);
    }
    if (task->fut.state == FUTURE_PENDING || loop->entered == NULL) {
        return 0;
    }
    return ouro_leave_entered(loop);
}

static bool
nothing_entered_yet(ouro_state *st, PyObject *loop)
{
    return ouro_loop_fast(st, loop)
           && PyDict_GET_SIZE(st->stock._current_tasks) == 0;
}

/* The task of ours that is the current one of this loop and is not shown, a
 * borrowed reference, or NULL: then the dict knows. */
static PyObject *
hidden_task(ouro_state *st, PyObject *loop)
{
    return Py_TYPE(loop) == st->types.Loop && !((LoopCore *)loop)->shown
               ? ((LoopCore *)loop)->entered
               : NULL;
}

PyObject *
ouro_swap_task(ouro_state *st, PyObject *loop, PyObject *task)
{
    if (Py_TYPE(loop) != st->types.Loop || st->stock._current_tasks == NULL
        || !is_discreet((LoopCore *)loop)
        || (((LoopCore *)loop)->entered == NULL
            && !nothing_entered_yet(st, loop))) {
        PyObject *args[] = {loop, task};
        return PyObject_Vectorcall(st->stock._swap_current_task, args, 2,
                                   NULL);
    }
    PyObject *previous = ((LoopCore *)loop)->entered;
    ((LoopCore *)loop)->entered = task == Py_None ? NULL : Py_NewRef(task);
    return previous != NULL ? previous : Py_NewRef(Py_None);
}

static PyObject *
current_of_dict(ouro_state *st, PyObject *loop)
{
    PyObject *task = hidden_task(st, loop);
    if (task != NULL) {
        return Py_NewRef(task);
    }
    if (PyDict_GetItemRef(st->stock._current_tasks, loop, &task) < 0) {
        return NULL;
    }
    return task != NULL ? task : Py_NewRef(Py_None);
}

PyObject *
ouro_current_task(ouro_state *st, PyObject *loop)
{
    loop = loop == NULL ? ouro_running_loop(st) : Py_NewRef(loop);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *task = st->stock._current_tasks == NULL
                         ? current_of_thread(st, loop)
                         : current_of_dict(st, loop);
    Py_DECREF(loop);
    return task;
}

int
ouro_awaiting_task(ouro_state *st, PyObject **ret)
{
    *ret = NULL;
    if (!st->has.call_graph) {
        return 0;
    }
    PyObject *loop;
    if (ouro_running_loop_or_null(st, &loop) < 0) {
        return -1;
    }
    PyObject *task =
        loop == NULL ? Py_NewRef(Py_None) : ouro_current_task(st, loop);
    Py_XDECREF(loop);
    if (task == NULL) {
        return -1;
    }
    if (task == Py_None) {
        Py_DECREF(task);
        return 0;
    }
    *ret = task;
    return 0;
}

PyDoc_STRVAR(current_task_doc, "current_task(loop=None)\n--\n\n\
Return the currently running task of the loop (default: the running one),\n\
or None.");

static const ouro_signature current_task_signature = {
    .qualname = "current_task",
    .positional = 1,
    .names = {"loop", NULL},
};

static PyObject *
current_task(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    PyObject *loop;
    if (ouro_parse(&current_task_signature, args, nargs, kwnames, &loop) < 0) {
        return NULL;
    }
    return ouro_current_task(ouro_module_state(module),
                             loop == Py_None ? NULL : loop);
}

PyMethodDef ouro_current_functions[] = {
    OURO_METHOD("current_task", current_task, current_task_doc),
    {NULL},
};
