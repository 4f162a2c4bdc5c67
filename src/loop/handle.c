/* handle.c - Handle: what call_soon() returns and the ready queue holds.
 *
 * A loop of ours queues the embedded job; its reference is the queue's.
 * Other loops keep the object and call _run().
 */
#include "loop/handle.h"

#include "task/host.h"
#include "task/registry.h"

#include "loop/loop.h"

/* ---- the job ----------------------------------------------------------- */

int
ouro_handle_run_in_turn(HandleObject *self)
{
    LoopObject *loop = (LoopObject *)self->loop;
    if (!loop->core.fast) {
        return ouro_loop_run_handle(loop, (PyObject *)self);
    }
    return ouro_leave_task_fast(&loop->core) < 0 ? -1 : ouro_handle_run(self);
}

static int
handle_job_run(ou_job *job)
{
    HandleObject *self = OURO_CONTAINER_OF(job, HandleObject, job);
    int result = self->cancelled ? 0 : ouro_handle_run_in_turn(self);
    Py_DECREF(self);
    return result;
}

const ou_job_kind ouro_handle_job = {
    OURO_OBJECT_JOB(HandleObject, job),
    .run = handle_job_run,
};

/* ---- making ------------------------------------------------------------ */

static void
handle_fill(HandleObject *self, PyObject *loop, PyObject *callback,
            PyObject *const *args, Py_ssize_t nargs, PyObject *context)
{
    ou_job_init(&self->job, &ouro_handle_job);
    self->loop = Py_NewRef(loop);
    self->callback = Py_NewRef(callback);
    self->context = context; /* owned */
    if (nargs == 1) {
        self->args = Py_NewRef(args[0]);
        self->single = true;
    }
}

static PyObject *
tuple_of(PyObject *const *items, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(items[i]));
    }
    return tuple;
}

/* In debug mode: note where the handle is being made. */
static int
handle_note_source(ouro_state *st, HandleObject *self)
{
    int debug = ouro_loop_debug(st, self->loop);
    if (debug <= 0) {
        return debug;
    }
    PyObject *stack = PyObject_CallMethodNoArgs(st->stock.format_helpers,
                                                st->str.extract_stack);
    Py_XSETREF(self->source_traceback, stack);
    return stack == NULL ? -1 : 0;
}

/* The parts that may fail or need the object: more than one argument, debug
 * mode. */
static int
handle_finish(ouro_state *st, HandleObject *self, PyObject *const *args,
              Py_ssize_t nargs)
{
    if (nargs > 1) {
        self->args = tuple_of(args, nargs);
        if (self->args == NULL) {
            return -1;
        }
    }
    if (ouro_loop_fast(st, self->loop)) {
        return 0;
    }
    return handle_note_source(st, self);
}

static PyObject *
context_or_copy(PyObject *context)
{
    return context == NULL || context == Py_None ? PyContext_CopyCurrent()
                                                 : Py_NewRef(context);
}

static PyObject *
object_new(PyTypeObject *type, ouro_freelist *freelist, size_t size)
{
    PyObject *object = ouro_freelist_pop(freelist, type, size);
    return object != NULL ? object : type->tp_alloc(type, 0);
}

static PyObject *
plain_handle(ouro_state *st, PyTypeObject *type, ouro_freelist *freelist,
             PyObject *loop, PyObject *callback, PyObject *const *args,
             Py_ssize_t nargs, PyObject *context)
{
    context = context_or_copy(context);
    if (context == NULL) {
        return NULL;
    }
    PyObject *self = object_new(type, freelist, (size_t)type->tp_basicsize);
    if (self == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    HandleObject *handle = (HandleObject *)self;
    handle_fill(handle, loop, callback, args, nargs, context);
    if (!PyObject_GC_IsTracked(self)) {
        PyObject_GC_Track(self);
    }
    if (handle_finish(st, handle, args, nargs) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

PyObject *
ouro_handle_new(ouro_state *st, PyObject *loop, PyObject *callback,
                PyObject *const *args, Py_ssize_t nargs, PyObject *context)
{
    return plain_handle(st, st->types.Handle, &st->free_handles, loop,
                        callback, args, nargs, context);
}

PyObject *
ouro_safe_handle_new(ouro_state *st, PyObject *loop, PyObject *callback,
                     PyObject *const *args, Py_ssize_t nargs,
                     PyObject *context)
{
    if (st->types.ThreadSafeHandle == NULL) {
        return ouro_handle_new(st, loop, callback, args, nargs, context);
    }
    PyObject *self =
        plain_handle(st, st->types.ThreadSafeHandle, &st->free_safe_handles,
                     loop, callback, args, nargs, context);
    if (self != NULL) {
        ((HandleObject *)self)->safe = true;
    }
    return self;
}

PyObject *
ouro_timer_handle_new(ouro_state *st, PyObject *loop, double deadline,
                      PyObject *when, PyObject *callback,
                      PyObject *const *args, Py_ssize_t nargs,
                      PyObject *context)
{
    context = context_or_copy(context);
    if (context == NULL) {
        return NULL;
    }
    PyObject *self = object_new(st->types.TimerHandle, &st->free_timer_handles,
                                sizeof(TimerHandleObject));
    if (self == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    TimerHandleObject *timer = (TimerHandleObject *)self;
    handle_fill(&timer->handle, loop, callback, args, nargs, context);
    ou_timer_init(&timer->timer, &timer->handle.job);
    timer->deadline = deadline;
    timer->when = Py_XNewRef(when);
    if (!PyObject_GC_IsTracked(self)) {
        PyObject_GC_Track(self);
    }
    if (handle_finish(st, &timer->handle, args, nargs) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

int
ouro_handle_init(HandleObject *self, PyObject *callback, PyObject *args,
                 PyObject *loop, PyObject *context)
{
    context = context_or_copy(context);
    if (context == NULL) {
        return -1;
    }
    if (!ou_job_queued(&self->job)) {
        ou_job_init(&self->job, &ouro_handle_job);
        Py_XSETREF(self->loop, Py_NewRef(loop));
    }
    /* (Where it is queued, it stays that loop's.) */
    Py_XSETREF(self->context, context);
    Py_XSETREF(self->callback, Py_NewRef(callback));
    Py_XSETREF(self->args, Py_NewRef(args));
    self->single = false;
    self->cancelled = false;
    Py_CLEAR(self->repr);
    Py_CLEAR(self->source_traceback);
    return handle_note_source(ouro_state_of((PyObject *)self), self);
}

/* ---- running ----------------------------------------------------------- */

/* callback(*args); the handle may be cancelled meanwhile. */
static PyObject *
call_with(PyObject *callback, PyObject *args, bool single)
{
    if (args == NULL) {
        return PyObject_CallNoArgs(callback);
    }
    if (single) {
        return PyObject_CallOneArg(callback, args);
    }
    if (PyTuple_CheckExact(args)) {
        return PyObject_Vectorcall(callback, ((PyTupleObject *)args)->ob_item,
                                   (size_t)PyTuple_GET_SIZE(args), NULL);
    }
    PyObject *tuple = PySequence_Tuple(args);
    if (tuple == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Call(callback, tuple, NULL);
    Py_DECREF(tuple);
    return result;
}

/* A context that is none of the interpreter's has a run() at least. */
static PyObject *
call_by_run(ouro_state *st, PyObject *context, PyObject *callback,
            PyObject *args, bool single)
{
    PyObject *run = PyObject_GetAttr(context, st->str.run);
    if (run == NULL) {
        return NULL;
    }
    PyObject *all = NULL;
    if (args == NULL || single) {
        PyObject *items[2] = {callback, args};
        all = tuple_of(items, args == NULL ? 1 : 2);
    }
    else {
        PyObject *list = PySequence_List(args);
        if (list != NULL && PyList_Insert(list, 0, callback) == 0) {
            all = PyList_AsTuple(list);
        }
        Py_XDECREF(list);
    }
    PyObject *result = NULL;
    if (all != NULL) {
        result = PyObject_Call(run, all, NULL);
        Py_DECREF(all);
    }
    Py_DECREF(run);
    return result;
}

static PyObject *
handle_call(HandleObject *self)
{
    if (self->context == NULL) {
        PyErr_Format(PyExc_AttributeError,
                     "'%.200s' object has no attribute '_context'",
                     Py_TYPE(self)->tp_name);
        return NULL;
    }
    bool single = self->single;
    PyObject *callback =
        Py_NewRef(self->callback != NULL ? self->callback : Py_None);
    PyObject *args = Py_XNewRef(self->args);
    PyObject *context = Py_NewRef(self->context);
    PyObject *result = NULL;
    if (!PyContext_CheckExact(context)) {
        result = call_by_run(ouro_state_of((PyObject *)self), context,
                             callback, args, single);
    }
    else if (PyContext_Enter(context) == 0) {
        result = call_with(callback, args, single);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
        }
    }
    Py_DECREF(context);
    Py_XDECREF(args);
    Py_DECREF(callback);
    return result;
}

int
ouro_handle_run(HandleObject *self)
{
    return self->safe ? ouro_safe_handle_run(self)
                      : ouro_handle_run_callback(self);
}

/* ---- cancelling -------------------------------------------------------- */

int
ouro_handle_cancel(HandleObject *self)
{
    if (self->cancelled) {
        return 0;
    }
    self->cancelled = true;
    ouro_state *st = ouro_state_of((PyObject *)self);
    int debug = ouro_loop_debug(st, self->loop);
    if (debug < 0) {
        return -1;
    }
    if (debug) {
        /* "Executing <Handle ...> took 2.5 seconds" wants it later. */
        PyObject *repr = PyObject_Repr((PyObject *)self);
        if (repr == NULL) {
            return -1;
        }
        Py_XSETREF(self->repr, repr);
    }
    PyObject *callback = self->callback, *args = self->args;
    self->callback = NULL;
    self->args = NULL;
    self->single = false;
    Py_XDECREF(args);
    Py_XDECREF(callback);
    return 0;
}

/* ---- what went wrong --------------------------------------------------- */

PyObject *
ouro_handle_args(HandleObject *self)
{
    if (self->args == NULL) {
        return self->callback == NULL ? Py_NewRef(Py_None) : PyTuple_New(0);
    }
    if (self->single) {
        PyObject *tuple = PyTuple_Pack(1, self->args);
        if (tuple == NULL) {
            return NULL;
        }
        Py_SETREF(self->args, tuple);
        self->single = false;
    }
    return Py_NewRef(self->args);
}

PyObject *
ouro_handle_source(ouro_state *st, HandleObject *self)
{
    PyObject *callback =
        Py_NewRef(self->callback != NULL ? self->callback : Py_None);
    PyObject *args = ouro_handle_args(self);
    PyObject *debug = NULL, *kwnames = NULL, *source = NULL;
    if (args == NULL) {
        goto done;
    }
    if (st->has.loop.debug_formats) {
        if (ouro_handle_check_init(self) < 0) {
            goto done;
        }
        debug = PyObject_CallMethodNoArgs(self->loop, st->str.get_debug);
        kwnames = PyTuple_Pack(1, st->str.debug);
        if (debug == NULL || kwnames == NULL) {
            goto done;
        }
    }
    PyObject *all[4] = {st->stock.format_helpers, callback, args, debug};
    source = PyObject_VectorcallMethod(st->str._format_callback_source, all, 3,
                                       kwnames);
done:
    Py_XDECREF(kwnames);
    Py_XDECREF(debug);
    Py_XDECREF(args);
    Py_DECREF(callback);
    return source;
}

static PyObject *
report_context(ouro_state *st, HandleObject *self, PyObject *error)
{
    PyObject *source = ouro_handle_source(st, self);
    if (source == NULL) {
        return NULL;
    }
    PyObject *message =
        PyUnicode_FromFormat("Exception in callback %S", source);
    Py_DECREF(source);
    PyObject *context = PyDict_New();
    if (message == NULL || context == NULL
        || PyDict_SetItem(context, st->str.message, message) < 0
        || PyDict_SetItem(context, st->str.exception, error) < 0
        || PyDict_SetItem(context, st->str.handle, (PyObject *)self) < 0
        || (self->source_traceback != NULL && self->source_traceback != Py_None
            && PyDict_SetItem(context, st->str.source_traceback,
                              self->source_traceback)
                   < 0)) {
        Py_CLEAR(context);
    }
    Py_XDECREF(message);
    return context;
}

/* The current exception has left the callback: the loop's exception handler
 * gets it. 0, or -1 if it leaves the loop. */
static int
handle_report(HandleObject *self)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    ouro_state *st = ouro_state_of((PyObject *)self);
    PyObject *error = PyErr_GetRaisedException();
    /* Handlers are called in an except block: sys.exc_info() tells. */
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    PyObject *context = report_context(st, self, error);
    int result = ouro_loop_call_exception_handler(st, self->loop, context);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    Py_DECREF(error);
    return result;
}

int
ouro_handle_run_callback(HandleObject *self)
{
    Py_INCREF(self);
    PyObject *value = handle_call(self);
    int result = value != NULL ? 0 : handle_report(self);
    Py_XDECREF(value);
    Py_DECREF(self);
    return result;
}

int
ouro_loop_callback_failed(PyObject *loop, PyObject *callback, PyObject *args,
                          PyObject *context)
{
    if (ouro_error_leaves_loop()) {
        return -1;
    }
    ouro_state *st = ouro_state_of(loop);
    PyObject *error = PyErr_GetRaisedException();
    PyObject *const *items = NULL;
    Py_ssize_t count = 0;
    if (args != NULL) {
        items = ((PyTupleObject *)args)->ob_item;
        count = PyTuple_GET_SIZE(args);
    }
    PyObject *handle =
        ouro_handle_new(st, loop, callback, items, count, context);
    if (handle == NULL) {
        Py_DECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    int result = handle_report((HandleObject *)handle);
    Py_DECREF(handle);
    return result;
}
