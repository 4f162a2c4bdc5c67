/* atonce.c - awaitables that are ready when they are made (see atonce.h).
 *
 * The interpreter calls with arguments that lie on the frame's own stack,
 * behind the callable.  So a caller between the frame and us, an extension
 * module that would do something else with our coroutine than hand it on, is
 * told by its arguments lying elsewhere, or being fewer.
 */
#include "base/atonce.h"

#include "base/await.h"

#include <opcode.h>

enum { FREE_READIES_MAX = 8 };

#if OURO_FRAMES_KNOWN

static bool
is_call(uint8_t opcode)
{
    switch (opcode) {
    case CALL:
#    ifdef CALL_ADAPTIVE
    case CALL_ADAPTIVE:
#    endif
#    ifdef CALL_NON_PY_GENERAL
    case CALL_NON_PY_GENERAL:
#    endif
        return true;
    default:
        return false;
    }
}

/* The arguments lie on the frame's stack. */
static bool
are_on_stack(const ouro_frame *frame, PyObject *const *args)
{
    const PyCodeObject *code = OURO_FRAME_CODE(frame);
    PyObject *const *stack = frame->slots + code->co_nlocalsplus;
    return args > stack && args < stack + code->co_stacksize;
}

bool
ouro_awaited_at_once(PyObject *callable, PyObject *const *args,
                     Py_ssize_t nargs)
{
    const ouro_frame *frame = ouro_untraced_frame();
    if (frame == NULL) {
        return false;
    }
    const uint8_t *instruction = frame->instruction;
    return is_call(instruction[0]) && instruction[1] + 1 == nargs
           && instruction[2 * (1 + OURO_CALL_CACHES)] == GET_AWAITABLE
           && are_on_stack(frame, args) && args[-1] == callable;
}

bool
ouro_entered_at_once(PyObject *const *args)
{
    if (args != NULL) {
        return false;
    }
    const ouro_frame *frame = ouro_untraced_frame();
    return frame != NULL && frame->instruction[0] == BEFORE_ASYNC_WITH
           && frame->instruction[2] == GET_AWAITABLE;
}

#else

bool
ouro_awaited_at_once(PyObject *callable, PyObject *const *args,
                     Py_ssize_t nargs)
{
    return false;
}

bool
ouro_entered_at_once(PyObject *const *args)
{
    return false;
}

#endif

/* ---- the object ---------------------------------------------------------- */

typedef struct ReadyObject {
    PyObject_HEAD
    PyObject *result; /* first the freelist's link */
    ouro_state *st;
} ReadyObject;

static ReadyObject *
as_ready(PyObject *object)
{
    return (ReadyObject *)object;
}

PyObject *
ouro_ready_new(ouro_state *st, PyObject *result)
{
    if (result == NULL) {
        return NULL;
    }
    PyTypeObject *type = st->types.Ready;
    PyObject *self = ouro_freelist_take(&st->free_readies, type);
    if (self == NULL) {
        self = type->tp_alloc(type, 0);
        if (self == NULL) {
            Py_DECREF(result);
            return NULL;
        }
        PyObject_GC_UnTrack(self); /* it lives for two instructions */
        as_ready(self)->st = st;
    }
    as_ready(self)->result = result;
    return self;
}

static int
ready_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_ready(self)->result);
    return 0;
}

static void
ready_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(as_ready(self)->result);
    if (!ouro_type_alive(type)
        || !ouro_freelist_push(&as_ready(self)->st->free_readies, self,
                               FREE_READIES_MAX)) {
        type->tp_free(self);
    }
    Py_DECREF(type);
}

static PySendResult
ready_send(PyObject *self, PyObject *Py_UNUSED(value), PyObject **ret)
{
    *ret = as_ready(self)->result;
    as_ready(self)->result = NULL;
    if (*ret == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    return PYGEN_RETURN;
}

static PyObject *
ready_next(PyObject *self)
{
    PyObject *result;
    return ready_send(self, Py_None, &result) == PYGEN_ERROR
               ? NULL
               : ouro_await_end(as_ready(self)->st, result);
}

static PyType_Slot ready_slots[] = {
    {Py_tp_doc, "The end of an await that need not wait."},
    {Py_tp_traverse, ready_traverse},
    {Py_tp_dealloc, ready_dealloc},
    {Py_tp_iternext, ready_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, ready_send},
    {0, NULL},
};

static PyType_Spec ready_spec = {
    .name = "ouro._ouro.Ready",
    .basicsize = sizeof(ReadyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ready_slots,
};

int
ouro_ready_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_type(module, &ready_spec, NULL, false, &st->types.Ready);
}
