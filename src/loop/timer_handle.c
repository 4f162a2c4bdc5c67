/* timer_handle.c - TimerHandle: what call_later() and call_at() return.
 *
 * On a loop of ours it is a timer of the engine, and cancelling takes it out;
 * on others the loop keeps it in a heap, orders it by `<` and is told of
 * cancel() by _timer_handle_cancelled().
 */
#include "loop/handle.h"

#include "base/args.h"
#include "loop/loop.h"

static const ouro_signature init_signature = {
    .qualname = "TimerHandle.__init__",
    .skip_self = 1,
    .positional = 5,
    .required = 4,
    .names = {"when", "callback", "args", "loop", "context", NULL},
};

static int
timer_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    TimerHandleObject *timer = (TimerHandleObject *)self;
    PyObject *given[5];
    if (ouro_parse_init(&init_signature, args, kwargs, given) < 0) {
        return -1;
    }
    if (ou_timer_started(&timer->timer)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "TimerHandle.__init__() of a scheduled handle");
        return -1;
    }
    if (ouro_handle_init(&timer->handle, given[1], given[2], given[3],
                         given[4])
        < 0) {
        return -1;
    }
    ou_timer_init(&timer->timer, &timer->handle.job);
    Py_XSETREF(timer->when, Py_NewRef(given[0]));
    timer->scheduled = false;
    return 0;
}

/* The time as an object: what was passed, or a float. New reference. */
static PyObject *
timer_when(TimerHandleObject *self)
{
    if (self->when == NULL) {
        self->when = PyFloat_FromDouble(self->deadline);
    }
    return Py_XNewRef(self->when);
}

static PyObject *
timer_when_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    if (ouro_parse_none("TimerHandle.when", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return timer_when((TimerHandleObject *)self);
}

/* Our own loop's timer that nobody wants to hear about is simply stopped. */
static int
timer_tell_loop(ouro_state *st, TimerHandleObject *self)
{
    PyObject *loop = self->handle.loop;
    if (ouro_loop_fast(st, loop)) {
        if (ou_timer_stop(&ouro_loop_engine(loop)->timers, &self->timer)) {
            Py_DECREF(self);
        }
        return 0;
    }
    return ouro_drop_result(PyObject_CallMethodOneArg(
        loop, st->str._timer_handle_cancelled, (PyObject *)self));
}

static PyObject *
timer_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    TimerHandleObject *timer = (TimerHandleObject *)self;
    if (ouro_parse_none("TimerHandle.cancel", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (timer->handle.cancelled) {
        Py_RETURN_NONE;
    }
    if (timer->handle.loop == NULL) {
        PyErr_Format(PyExc_AttributeError,
                     "'%.100s' object has no attribute '_loop'",
                     Py_TYPE(self)->tp_name);
        return NULL;
    }
    if (timer_tell_loop(ouro_state_of(self), timer) < 0
        || ouro_handle_cancel(&timer->handle) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
timer_repr_info(PyObject *self, PyObject *ignored)
{
    TimerHandleObject *timer = (TimerHandleObject *)self;
    PyObject *info = ouro_handle_repr_info(&timer->handle);
    if (info == NULL) {
        return NULL;
    }
    PyObject *text = NULL;
    PyObject *when = timer_when(timer);
    if (when != NULL) {
        text = PyUnicode_FromFormat("when=%S", when);
        Py_DECREF(when);
    }
    Py_ssize_t place = timer->handle.cancelled ? 2 : 1;
    if (text == NULL || PyList_Insert(info, place, text) < 0) {
        Py_CLEAR(info);
    }
    Py_XDECREF(text);
    return info;
}

/* ---- ordering ---------------------------------------------------------- */

static Py_hash_t
timer_hash(PyObject *self)
{
    PyObject *when = timer_when((TimerHandleObject *)self);
    if (when == NULL) {
        return -1;
    }
    Py_hash_t hash = -1;
    /* (Somebody may make _when the handle itself.) */
    if (Py_EnterRecursiveCall(" while hashing a handle") == 0) {
        hash = PyObject_Hash(when);
        Py_LeaveRecursiveCall();
    }
    Py_DECREF(when);
    return hash;
}

static int
compare_attribute(PyObject *a, PyObject *b, const char *name)
{
    PyObject *left = PyObject_GetAttrString(a, name);
    PyObject *right = left != NULL ? PyObject_GetAttrString(b, name) : NULL;
    int equal = -1;
    if (right != NULL) {
        equal = PyObject_RichCompareBool(left, right, Py_EQ);
        Py_DECREF(right);
    }
    Py_XDECREF(left);
    return equal;
}

/* 1, 0, or -1 with an exception. */
static int
timer_equal(PyObject *a, PyObject *b)
{
    static const char *const names[] = {"_when", "_callback", "_args",
                                        "_cancelled"};
    int equal = 1;
    for (size_t i = 0; equal == 1 && i < Py_ARRAY_LENGTH(names); i++) {
        equal = compare_attribute(a, b, names[i]);
    }
    return equal;
}

static int
timer_compare_when(PyObject *a, PyObject *b, int op)
{
    TimerHandleObject *left = (TimerHandleObject *)a;
    TimerHandleObject *right = (TimerHandleObject *)b;
    if (left->when == NULL && right->when == NULL) {
        return op == Py_LT ? left->deadline < right->deadline
                           : left->deadline > right->deadline;
    }
    PyObject *x = timer_when(left);
    PyObject *y = x == NULL ? NULL : timer_when(right);
    int result = -1;
    if (y != NULL) {
        result = PyObject_RichCompareBool(x, y, op);
    }
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

static PyObject *
timer_richcompare(PyObject *self, PyObject *other, int op)
{
    ouro_state *st = ouro_state_of(self);
    if (!ouro_timer_handle_check(st, other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int result = 0;
    if (op == Py_LT || op == Py_LE) {
        result = timer_compare_when(self, other, Py_LT);
    }
    else if (op == Py_GT || op == Py_GE) {
        result = timer_compare_when(self, other, Py_GT);
    }
    if (result == 0 && op != Py_LT && op != Py_GT) {
        result = timer_equal(self, other);
        if (result >= 0 && op == Py_NE) {
            result = !result;
        }
    }
    return result < 0 ? NULL : PyBool_FromLong(result);
}

/* ---- attributes -------------------------------------------------------- */

static PyObject *
timer_get_when(PyObject *self, void *ignored)
{
    return timer_when((TimerHandleObject *)self);
}

/* A timer that waits in the engine keeps its deadline, as asyncio's keeps
 * its place in the heap. */
static int
timer_set_when(PyObject *self, PyObject *value, void *ignored)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_when");
        return -1;
    }
    Py_XSETREF(((TimerHandleObject *)self)->when, Py_NewRef(value));
    return 0;
}

static PyObject *
timer_get_scheduled(PyObject *self, void *ignored)
{
    TimerHandleObject *timer = (TimerHandleObject *)self;
    return PyBool_FromLong(timer->scheduled
                           || ou_timer_started(&timer->timer));
}

static int
timer_set_scheduled(PyObject *self, PyObject *value, void *ignored)
{
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth < 0) {
        return -1;
    }
    ((TimerHandleObject *)self)->scheduled = truth;
    return 0;
}

static PyGetSetDef timer_getset[] = {
    {"_when", timer_get_when, timer_set_when, NULL, NULL},
    {"_scheduled", timer_get_scheduled, timer_set_scheduled, NULL, NULL},
    {NULL},
};

PyDoc_STRVAR(cancel_doc, "cancel($self, /)\n--\n\n\
Cancel the callback and forget the timer.");
PyDoc_STRVAR(when_doc, "when($self, /)\n--\n\n\
Return the time at which the callback is due, in seconds of the loop's\n\
clock (see loop.time()).");
PyDoc_STRVAR(repr_info_doc, "_repr_info($self, /)\n--\n\n");

static PyMethodDef timer_methods[] = {
    OURO_METHOD("cancel", timer_cancel, cancel_doc),
    OURO_METHOD("when", timer_when_method, when_doc),
    {"_repr_info", timer_repr_info, METH_NOARGS, repr_info_doc},
    {NULL},
};

/* ---- the type ---------------------------------------------------------- */

static int
timer_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((TimerHandleObject *)self)->when);
    return ouro_handle_traverse((HandleObject *)self, visit, arg);
}

static int
timer_clear(PyObject *self)
{
    Py_CLEAR(((TimerHandleObject *)self)->when);
    ouro_handle_clear((HandleObject *)self);
    return 0;
}

static void
timer_dealloc(PyObject *self)
{
    ouro_state *st = ouro_state_of(self);
    ouro_handle_dealloc(self, timer_clear, st->types.TimerHandle,
                        &st->free_timer_handles);
}

PyDoc_STRVAR(timer_doc,
             "TimerHandle(when, callback, args, loop, context=None)\n--\n\n\
A callback that a loop will call at a given time: what call_later() and\n\
call_at() return.");

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, (void *)timer_doc},   {Py_tp_init, timer_init},
    {Py_tp_hash, timer_hash},         {Py_tp_richcompare, timer_richcompare},
    {Py_tp_traverse, timer_traverse}, {Py_tp_clear, timer_clear},
    {Py_tp_dealloc, timer_dealloc},   {Py_tp_methods, timer_methods},
    {Py_tp_getset, timer_getset},     {0, NULL},
};

static PyType_Spec timer_spec = {
    .name = "ouro.TimerHandle",
    .basicsize = sizeof(TimerHandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = timer_slots,
};

int
ouro_timer_handle_setup(PyObject *module, ouro_state *st)
{
    PyObject *bases = PyTuple_Pack(1, st->types.Handle);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &timer_spec, bases, true,
                               &st->types.TimerHandle);
    Py_DECREF(bases);
    return result;
}
