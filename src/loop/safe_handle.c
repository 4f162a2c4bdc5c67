/* safe_handle.c - _ThreadSafeHandle: what call_soon_threadsafe() returns from
 * Python 3.14 on.
 *
 * Another thread that cancels it, or asks whether it is cancelled, while its
 * callback runs waits until that has returned.  The interpreter's lock guards
 * the fields; a lock to wait on, the gate, exists only while somebody waits.
 */
#include "loop/handle.h"

#include "base/args.h"
#include "loop/loop.h"

/* The first that has to wait closes it; the owner opens it for good. */
typedef struct gate {
    PyThread_type_lock lock;
    int users; /* who waits, and the handle */
} gate;

typedef struct SafeHandleObject {
    HandleObject handle;
    gate *gate;          /* NULL: nobody waits */
    unsigned long owner; /* the thread that is in it; 0: none */
    int depth;
} SafeHandleObject;

/* ---- the gate ---------------------------------------------------------- */

static gate *
gate_new(void)
{
    gate *new_gate = PyMem_New(gate, 1);
    PyThread_type_lock lock =
        new_gate == NULL ? NULL : PyThread_allocate_lock();
    if (lock == NULL) {
        PyMem_Free(new_gate);
        PyErr_NoMemory();
        return NULL;
    }
    PyThread_acquire_lock(lock, NOWAIT_LOCK);
    new_gate->lock = lock;
    new_gate->users = 1;
    return new_gate;
}

static void
gate_release(gate *gate)
{
    if (--gate->users == 0) {
        PyThread_free_lock(gate->lock);
        PyMem_Free(gate);
    }
}

/* 0, or -1 with an exception: of a signal handler. */
static int
gate_wait(gate *gate)
{
    PyLockStatus status;
    gate->users++;
    Py_BEGIN_ALLOW_THREADS
    status = PyThread_acquire_lock_timed(gate->lock, -1, 1);
    if (status == PY_LOCK_ACQUIRED) {
        PyThread_release_lock(gate->lock); /* the next may pass */
    }
    Py_END_ALLOW_THREADS
    gate_release(gate);
    return status == PY_LOCK_INTR ? PyErr_CheckSignals() : 0;
}

/* ---- one thread at a time ---------------------------------------------- */

static int
enter(SafeHandleObject *self)
{
    unsigned long me = PyThread_get_thread_ident();
    while (self->owner != 0 && self->owner != me) {
        if (self->gate == NULL) {
            self->gate = gate_new();
        }
        if (self->gate == NULL || gate_wait(self->gate) < 0) {
            return -1;
        }
    }
    self->owner = me;
    self->depth++;
    return 0;
}

static void
leave(SafeHandleObject *self)
{
    if (--self->depth > 0) {
        return;
    }
    self->owner = 0;
    gate *gate = self->gate;
    if (gate != NULL) {
        self->gate = NULL;
        PyThread_release_lock(gate->lock);
        gate_release(gate);
    }
}

int
ouro_safe_handle_run(HandleObject *handle)
{
    SafeHandleObject *self = (SafeHandleObject *)Py_NewRef((PyObject *)handle);
    int result = enter(self);
    if (result == 0) {
        if (!handle->cancelled) {
            result = ouro_handle_run_callback(handle);
        }
        leave(self);
    }
    Py_DECREF((PyObject *)self);
    return result;
}

/* ---- the type ---------------------------------------------------------- */

static int
safe_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyTypeObject *base = ouro_state_of(self)->types.Handle;
    if (base->tp_init(self, args, kwargs) < 0) {
        return -1;
    }
    ((HandleObject *)self)->safe = true;
    return 0;
}

static PyObject *
safe_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    if (ouro_parse_none("_ThreadSafeHandle.cancel", args, nargs, kwnames) < 0
        || ouro_handle_check_init((HandleObject *)self) < 0
        || enter((SafeHandleObject *)self) < 0) {
        return NULL;
    }
    int result = ouro_handle_cancel((HandleObject *)self);
    leave((SafeHandleObject *)self);
    return ouro_none_or_error(result);
}

static PyObject *
safe_cancelled(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    if (ouro_parse_none("_ThreadSafeHandle.cancelled", args, nargs, kwnames)
            < 0
        || ouro_handle_check_init((HandleObject *)self) < 0
        || enter((SafeHandleObject *)self) < 0) {
        return NULL;
    }
    bool cancelled = ((HandleObject *)self)->cancelled;
    leave((SafeHandleObject *)self);
    return PyBool_FromLong(cancelled);
}

static int
safe_traverse(PyObject *self, visitproc visit, void *arg)
{
    return ouro_handle_traverse((HandleObject *)self, visit, arg);
}

static int
safe_clear(PyObject *self)
{
    ouro_handle_clear((HandleObject *)self);
    return 0;
}

static void
safe_dealloc(PyObject *self)
{
    ouro_state *st = ouro_state_of(self);
    ouro_handle_dealloc(self, safe_clear, st->types.ThreadSafeHandle,
                        &st->free_safe_handles);
}

PyDoc_STRVAR(safe_doc,
             "_ThreadSafeHandle(callback, args, loop, context=None)\n--\n\n\
A callback that a loop will call: what call_soon_threadsafe() returns.\n\
\n\
While the callback runs, cancel() and cancelled() of other threads wait.");
PyDoc_STRVAR(cancel_doc, "cancel($self, /)\n--\n\n\
Cancel the callback: it will not be called, if it has not been yet.");
PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\n\
Return True if the callback was cancelled.");

static PyMethodDef safe_methods[] = {
    OURO_METHOD("cancel", safe_cancel, cancel_doc),
    OURO_METHOD("cancelled", safe_cancelled, cancelled_doc),
    {NULL},
};

static PyType_Slot safe_slots[] = {
    {Py_tp_doc, (void *)safe_doc},
    {Py_tp_init, safe_init},
    {Py_tp_traverse, safe_traverse},
    {Py_tp_clear, safe_clear},
    {Py_tp_dealloc, safe_dealloc},
    {Py_tp_methods, safe_methods},
    {0, NULL},
};

static PyType_Spec safe_spec = {
    .name = "ouro._ThreadSafeHandle",
    .basicsize = sizeof(SafeHandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = safe_slots,
};

int
ouro_safe_handle_setup(PyObject *module, ouro_state *st)
{
    if (st->stock.ThreadSafeHandle == NULL) {
        return 0;
    }
    PyObject *bases = PyTuple_Pack(1, st->types.Handle);
    if (bases == NULL) {
        return -1;
    }
    int result = ouro_add_type(module, &safe_spec, bases, true,
                               &st->types.ThreadSafeHandle);
    Py_DECREF(bases);
    return result;
}
