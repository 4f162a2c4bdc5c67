/* running.c - which loop runs in this thread.
 *
 * asyncio's own registry is the truth, and is asked each time; what is
 * remembered here only makes the question cheaper.
 *
 * From 3.13 on the running loop is a field of the thread's state, from 3.14 on
 * the current task is another.  A trial at import finds both (see below).
 *
 * Up to 3.12 it is in the dict of the thread's state.  On 3.12 that has the
 * loop itself, or None.  On 3.11, where asyncio's function costs a system call
 * (getpid), it has an opaque holder object, a new one for each change.  So
 * what was found there is remembered together with its loop: as long as the
 * same object is found, the same loop runs.
 */
#include "base/rooms.h"
#include "base/watch.h"
#include "task/registry.h"

/* ---- what is remembered ------------------------------------------------- */

static PyObject *
current_holder(ouro_state *st)
{
    PyObject *dict = ouro_thread_dict();
    return dict == NULL ? NULL
                        : PyDict_GetItemWithError(
                            dict, st->str.__asyncio_running_event_loop__);
}

/* current_holder() is running_holder.  It certainly is in a dict that has not
 * changed since it was found there. */
static bool
holder_is_current(ouro_state *st)
{
    PyObject *dict = ouro_thread_dict();
    if (ouro_dict_unchanged(&st->running_seen, dict)) {
        return true;
    }
    if (dict == NULL || current_holder(st) != st->running_holder) {
        return false;
    }
    ouro_dict_see(st, &st->running_seen, dict);
    return true;
}

/* The remembered loop, borrowed, if it is running in this thread. */
static PyObject *
remembered(ouro_state *st)
{
    if (st->running_holder == NULL || !holder_is_current(st)
        || ou_loop_forked(ouro_loop_engine(st->running_loop))) {
        return NULL;
    }
    return st->running_loop;
}

void
ouro_forget_running_loop(ouro_state *st)
{
    ouro_dict_forget(&st->running_seen);
    Py_CLEAR(st->running_holder);
    Py_CLEAR(st->running_loop);
}

/* Loops of ours alone: they forget it when they stop running. */
static void
remember(ouro_state *st, PyObject *loop)
{
    PyObject *holder = st->has.running_loop_holder && ouro_loop_check(st, loop)
                               && ((LoopCore *)loop)->running
                           ? current_holder(st)
                           : NULL;
    if (holder != NULL) {
        ouro_dict_forget(&st->running_seen);
        Py_XSETREF(st->running_holder, Py_NewRef(holder));
        Py_XSETREF(st->running_loop, Py_NewRef(loop));
    }
}

/* ---- the field of the thread's state ------------------------------------ */

enum { FIELDS_MAX = 16 }; /* behind those that Python.h shows */

static PyObject *
field_value(size_t offset)
{
    return *(PyObject **)((char *)PyThreadState_Get() + offset);
}

/* Where `loop`, which is the running one, is kept: an offset, or 0. */
static size_t
find_field(PyObject *loop)
{
    size_t offset = sizeof(PyThreadState);
    for (int i = 0; i < FIELDS_MAX; i++) {
        if (field_value(offset) == loop) {
            return offset;
        }
        offset += sizeof(PyObject *);
    }
    return 0;
}

/* Make it the running loop, and find it. 0, or -1 with an exception. */
static int
try_field(ouro_state *st, PyObject *loop, size_t *ret_offset)
{
    if (ouro_drop_result(
            PyObject_CallOneArg(st->stock._set_running_loop, loop))
        < 0) {
        return -1;
    }
    *ret_offset = find_field(loop);
    return 0;
}

/* Make `task` the current one of the running loop for a moment, and find
 * it. */
static int
try_task_field(ouro_state *st, PyObject *loop, PyObject *task,
               size_t *ret_offset)
{
    PyObject *args[] = {loop, task};
    PyObject *swap = st->stock._swap_current_task;
    args[1] = PyObject_Vectorcall(swap, args, 2, NULL);
    if (args[1] == NULL) {
        return -1;
    }
    *ret_offset = find_field(task);
    PyObject *swapped = PyObject_Vectorcall(swap, args, 2, NULL);
    Py_DECREF(args[1]);
    return ouro_drop_result(swapped);
}

static int
locate_task_field(ouro_state *st, PyObject *loop)
{
    size_t first, second;
    if (st->stock._current_tasks != NULL) {
        return 0;
    }
    if (try_task_field(st, loop, (PyObject *)st->types.Future, &first) < 0
        || try_task_field(st, loop, (PyObject *)st->types.Await, &second)
               < 0) {
        return -1;
    }
    st->task_offset = first == second ? first : 0;
    return 0;
}

/* Any object will do for a loop or a task; two are tried, since one might be
 * found by chance.  Afterwards the running loop is what it was, also after a
 * failure. */
static int
locate_fields(ouro_state *st)
{
    PyObject *before = PyObject_CallNoArgs(st->stock._get_running_loop);
    if (before == NULL) {
        return -1;
    }
    PyObject *one = (PyObject *)st->types.Future;
    PyObject *other = (PyObject *)st->types.Task;
    size_t first = 0, second = 0;
    int result = try_field(st, one, &first);
    if (result == 0) {
        result = try_field(st, other, &second);
    }
    if (result == 0) {
        result = locate_task_field(st, other);
    }
    PyObject *error = PyErr_GetRaisedException();
    if (ouro_drop_result(
            PyObject_CallOneArg(st->stock._set_running_loop, before))
        < 0) {
        result = -1;
        Py_XDECREF(error);
    }
    else {
        PyErr_SetRaisedException(error);
    }
    Py_DECREF(before);
    st->running_offset = first == second ? first : 0;
    return result;
}

PyObject **
ouro_current_task_field(ouro_state *st, PyObject *loop)
{
    char *thread = (char *)PyThreadState_Get();
    return st->task_offset != 0 && st->running_offset != 0
                   && *(PyObject **)(thread + st->running_offset) == loop
               ? (PyObject **)(thread + st->task_offset)
               : NULL;
}

/* ---- asking ------------------------------------------------------------- */

int
ouro_running_loop_or_null(ouro_state *st, PyObject **ret_loop)
{
    PyObject *loop;
    if (st->running_offset != 0) {
        loop = field_value(st->running_offset);
        *ret_loop = loop != Py_None ? Py_XNewRef(loop) : NULL;
        return 0;
    }
    loop = remembered(st);
    if (loop != NULL) {
        *ret_loop = Py_NewRef(loop);
        return 0;
    }
    loop = PyObject_CallNoArgs(st->stock._get_running_loop);
    *ret_loop = NULL;
    if (loop == NULL) {
        return -1;
    }
    if (loop == Py_None) {
        Py_DECREF(loop);
        return 0;
    }
    remember(st, loop);
    *ret_loop = loop;
    return 0;
}

static PyObject *get_running_loop_or_none(PyObject *, PyObject *);

int
ouro_events_running_loop(ouro_state *st, PyObject **ret_loop)
{
    PyObject *dict = PyModule_GetDict(st->stock.events);
    if (ouro_dict_unchanged(&st->events_seen, dict)) {
        return ouro_running_loop_or_null(st, ret_loop);
    }
    *ret_loop = NULL;
    PyObject *function =
        PyDict_GetItemWithError(dict, st->str._get_running_loop);
    if (function == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_AttributeError, "_get_running_loop");
        }
        return -1;
    }
    if (function == st->stock._get_running_loop
        || (PyCFunction_Check(function)
            && PyCFunction_GET_FUNCTION(function)
                   == get_running_loop_or_none)) {
        ouro_dict_see(st, &st->events_seen, dict);
        return ouro_running_loop_or_null(st, ret_loop);
    }
    Py_INCREF(function);
    PyObject *loop = PyObject_CallNoArgs(function);
    Py_DECREF(function);
    if (loop != Py_None) {
        *ret_loop = loop;
        return loop == NULL ? -1 : 0;
    }
    Py_DECREF(loop);
    return 0;
}

PyObject *
ouro_running_loop(ouro_state *st)
{
    PyObject *loop;
    if (ouro_running_loop_or_null(st, &loop) == 0 && loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no running event loop");
    }
    return loop;
}

PyObject *
ouro_event_loop(ouro_state *st)
{
    PyObject *loop;
    if (ouro_running_loop_or_null(st, &loop) < 0 || loop != NULL) {
        return loop;
    }
    return PyObject_CallNoArgs(st->stock.get_event_loop);
}

PyDoc_STRVAR(get_running_loop_doc, "get_running_loop()\n--\n\n\
Return the running event loop.  Raise a RuntimeError if there is none.\n\n\
This function is thread-specific.");

static PyObject *
get_running_loop(PyObject *module, PyObject *unused)
{
    return ouro_running_loop(ouro_module_state(module));
}

PyDoc_STRVAR(get_running_loop_or_none_doc, "_get_running_loop()\n--\n\n\
Return the running event loop or None.\n\n\
This is a low-level function intended to be used by event loops.\n\
This function is thread-specific.");

static PyObject *
get_running_loop_or_none(PyObject *module, PyObject *unused)
{
    PyObject *loop;
    if (ouro_running_loop_or_null(ouro_module_state(module), &loop) < 0) {
        return NULL;
    }
    return loop != NULL ? loop : Py_NewRef(Py_None);
}

PyDoc_STRVAR(get_event_loop_doc, "get_event_loop()\n--\n\n\
Return an asyncio event loop.\n\n\
When called from a coroutine or a callback (e.g. scheduled with call_soon\n\
or similar API), this function will always return the running event loop.\n\n\
If there is no running event loop set, the function will return\n\
the result of `get_event_loop_policy().get_event_loop()` call.");

static PyObject *
get_event_loop(PyObject *module, PyObject *unused)
{
    return ouro_event_loop(ouro_module_state(module));
}

static PyMethodDef running_functions[] = {
    {"get_running_loop", get_running_loop, METH_NOARGS, get_running_loop_doc},
    {"_get_running_loop", get_running_loop_or_none, METH_NOARGS,
     get_running_loop_or_none_doc},
    {"get_event_loop", get_event_loop, METH_NOARGS, get_event_loop_doc},
    {NULL},
};

int
ouro_running_setup(PyObject *module, ouro_state *st)
{
    if (!st->has.running_loop_holder && locate_fields(st) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, running_functions);
}
