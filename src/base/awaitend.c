/* awaitend.c - how the value of an `await` gets from C into the frame.
 *
 * From 3.12 the interpreter takes it from the StopIteration that tp_iternext
 * raises, and drops that at once.  Making and freeing one by its class costs
 * more than most of what is awaited.  So where it is certain that the
 * instruction SEND has called and that nobody watches, what is raised is an
 * AwaitEnd: a StopIteration that is quickly made, and whose memory comes back
 * to the module when the interpreter drops it.  No Python code ever sees one.
 * (3.15 specializes SEND to an instruction that takes the value by am_send.)
 */
#include "base/await.h"

#include <opcode.h>

enum { FREE_ENDS_MAX = 1 }; /* it never lives longer than one instruction */

typedef PyStopIterationObject AwaitEndObject;

static bool
sent_by_frame(void)
{
    int offset;
    PyCodeObject *code = ouro_unwatched_code(&offset);
    if (code == NULL) {
        return false;
    }
    uint8_t opcode = (uint8_t)code->co_code_adaptive[offset];
#ifdef SEND_GEN
    return opcode == SEND || opcode == SEND_GEN;
#else
    return opcode == SEND;
#endif
}

static PyObject *
end_new(ouro_state *st)
{
    PyTypeObject *type = st->types.AwaitEnd;
    PyObject *end = ouro_freelist_take(&st->free_await_ends, type);
    if (end != NULL) {
        ((AwaitEndObject *)end)->dict = NULL; /* had the list's link */
        return end;
    }
    end = type->tp_alloc(type, 0);
    if (end == NULL) {
        return NULL;
    }
    PyObject_GC_UnTrack(end); /* it goes before the collector could run */
    ((AwaitEndObject *)end)->args = PyTuple_New(0);
    return end;
}

PyObject *
ouro_await_end(ouro_state *st, PyObject *value)
{
    if (value == Py_None) {
        Py_DECREF(value);
    }
    else if (sent_by_frame()) {
        PyObject *end = end_new(st);
        if (end == NULL) {
            Py_DECREF(value);
            return NULL;
        }
        ((AwaitEndObject *)end)->value = value;
        PyErr_SetRaisedException(end);
    }
    else {
        ouro_raise_stop_iteration(value);
        Py_DECREF(value);
    }
    return NULL;
}

/* As end_new() has made it: no C code has shown it around. */
static bool
is_untouched(const AwaitEndObject *end)
{
    return end->dict == NULL && end->notes == NULL && end->traceback == NULL
           && end->context == NULL && end->cause == NULL
           && !end->suppress_context && PyTuple_CheckExact(end->args)
           && PyTuple_GET_SIZE(end->args) == 0;
}

static void
end_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(((AwaitEndObject *)self)->value);
    if (is_untouched((AwaitEndObject *)self)
        && ouro_freelist_push(&ouro_state_of_type(type)->free_await_ends, self,
                              FREE_ENDS_MAX)) {
        Py_DECREF(type);
        return;
    }
    ((PyTypeObject *)PyExc_StopIteration)->tp_dealloc(self);
    Py_DECREF(type);
}

static PyType_Slot end_slots[] = {
    {Py_tp_doc, "The end of an await, on its way to the frame."},
    {Py_tp_dealloc, end_dealloc},
    {0, NULL},
};

static PyType_Spec end_spec = {
    .name = "ouro._ouro.AwaitEnd",
    .basicsize = sizeof(AwaitEndObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = end_slots,
};

int
ouro_await_end_setup(PyObject *module, ouro_state *st)
{
    if (st->has.minor < 12) {
        return 0;
    }
    return ouro_add_type(module, &end_spec, PyExc_StopIteration, false,
                         &st->types.AwaitEnd);
}
