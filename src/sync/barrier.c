/* barrier.c - asyncio.Barrier: the class, its attributes and life.
 *
 * What happens at a barrier is in barrier_wait.c.  The states are members of
 * asyncio's own enumeration.
 */
#include "sync/barrier.h"

#include "base/rooms.h"

/* ---- methods and attributes --------------------------------------------- */

static PyObject *
barrier_method__exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    if (ouro_parse_none("Barrier._exit", args, nargs, kwnames) < 0
        || ouro_barrier_exit(ouro_as_barrier(self)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef barrier_methods[] = {
    OURO_METHOD("_exit", barrier_method__exit, NULL),
    {NULL},
};

static PyObject *
barrier_get_parties(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_number_get(&ouro_as_barrier(self)->parties, self, "_parties");
}

static int
barrier_set_parties(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return ouro_number_assign(&ouro_as_barrier(self)->parties, value,
                              "_parties");
}

static PyObject *
barrier_get_count(PyObject *self, void *Py_UNUSED(closure))
{
    return ouro_number_get(&ouro_as_barrier(self)->count, self, "_count");
}

static int
barrier_set_count(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return ouro_number_assign(&ouro_as_barrier(self)->count, value, "_count");
}

static PyObject *
barrier_get_n_waiting(PyObject *self, void *Py_UNUSED(closure))
{
    BarrierObject *barrier = ouro_as_barrier(self);
    if (ouro_barrier_is(barrier, barrier->base.st->stock.barrier_filling)) {
        return barrier_get_count(self, NULL);
    }
    return PyLong_FromLong(0);
}

static PyObject *
barrier_get_broken(PyObject *self, void *Py_UNUSED(closure))
{
    BarrierObject *barrier = ouro_as_barrier(self);
    return PyBool_FromLong(
        ouro_barrier_is(barrier, barrier->base.st->stock.barrier_broken));
}

static PyGetSetDef barrier_getset[] = {
    {"parties", barrier_get_parties, NULL,
     "How many tasks the barrier waits for.", NULL},
    {"n_waiting", barrier_get_n_waiting, NULL,
     "How many tasks wait at the barrier.", NULL},
    {"broken", barrier_get_broken, NULL,
     "True if the barrier has been aborted.", NULL},
    {"_parties", barrier_get_parties, barrier_set_parties, NULL, NULL},
    {"_count", barrier_get_count, barrier_set_count, NULL, NULL},
    {NULL},
};

static PyMemberDef barrier_members[] = {
    {"_cond", T_OBJECT_EX, offsetof(BarrierObject, cond), 0, NULL},
    {"_state", T_OBJECT_EX, offsetof(BarrierObject, state), 0, NULL},
    {NULL},
};

/* f'{self._state.value}' */
static PyObject *
state_text(BarrierObject *self)
{
    if (self->state == NULL) {
        return ouro_no_attribute(self, "_state");
    }
    PyObject *value = PyObject_GetAttr(self->state, self->base.st->str.value);
    if (value == NULL) {
        return NULL;
    }
    PyObject *text = PyObject_Str(value);
    Py_DECREF(value);
    return text;
}

/* text + f', waiters:{self.n_waiting}/{self.parties}'; consumes text. */
static PyObject *
add_waiters(PyObject *self, PyObject *text)
{
    PyObject *result = NULL;
    PyObject *waiting = PyObject_GetAttrString(self, "n_waiting");
    PyObject *parties =
        waiting == NULL ? NULL : PyObject_GetAttrString(self, "parties");
    if (parties != NULL) {
        result =
            PyUnicode_FromFormat("%U, waiters:%S/%S", text, waiting, parties);
    }
    Py_XDECREF(waiting);
    Py_XDECREF(parties);
    Py_DECREF(text);
    return result;
}

static PyObject *
barrier_repr(PyObject *self)
{
    BarrierObject *barrier = ouro_as_barrier(self);
    PyObject *text = state_text(barrier);
    int truth = ouro_truth_of(
        text == NULL ? NULL : PyObject_GetAttrString(self, "broken"));
    if (truth == 0) {
        text = add_waiters(self, text);
    }
    else if (truth < 0) {
        Py_CLEAR(text);
    }
    ouro_ring none = {0};
    return ouro_waiters_repr(barrier, barrier->base.st->types.Barrier, text,
                             &none);
}

/* ---- life --------------------------------------------------------------- */

static const ouro_signature init_signature =
    OURO_ONE_PARAMETER("Barrier.__init__", "parties");

/* The message differs by version, also within one minor version. */
static int
refuse_parties(ouro_state *st)
{
    PyErr_SetObject(PyExc_ValueError, st->stock.barrier_too_few);
    return -1;
}

static int
barrier_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    BarrierObject *barrier = ouro_as_barrier(self);
    ouro_state *st = barrier->base.st;
    ouro_number number = {0};
    PyObject *parties;
    if (ouro_parse_init(&init_signature, args, kwargs, &parties) < 0) {
        return -1;
    }
    ouro_number_set(&number, parties);
    int few = ouro_number_compare(&number, 1, Py_LT);
    Py_CLEAR(number.object);
    if (few != 0) {
        return few < 0 ? -1 : refuse_parties(st);
    }
    PyObject *cond = PyObject_CallNoArgs((PyObject *)st->types.Condition);
    if (cond == NULL) {
        return -1;
    }
    Py_XSETREF(barrier->cond, cond);
    ouro_number_set(&barrier->parties, parties);
    Py_XSETREF(barrier->state, Py_NewRef(st->stock.barrier_filling));
    ouro_number_set_int(&barrier->count, 0);
    return 0;
}

static int
barrier_traverse(PyObject *self, visitproc visit, void *arg)
{
    BarrierObject *barrier = ouro_as_barrier(self);
    Py_VISIT(barrier->cond);
    Py_VISIT(barrier->state);
    Py_VISIT(barrier->parties.object);
    Py_VISIT(barrier->count.object);
    return ouro_loop_bound_traverse(&barrier->base, visit, arg);
}

static int
barrier_clear(PyObject *self)
{
    BarrierObject *barrier = ouro_as_barrier(self);
    Py_CLEAR(barrier->cond);
    Py_CLEAR(barrier->state);
    Py_CLEAR(barrier->parties.object);
    Py_CLEAR(barrier->count.object);
    ouro_loop_bound_clear(&barrier->base);
    return 0;
}

PyDoc_STRVAR(barrier_doc, "Barrier(parties)\n--\n\n\
A point where tasks wait for each other.\n\n\
wait() returns in all of them once `parties` tasks have called it; then the\n\
barrier can be used again.  Raises ValueError if parties is less than 1.");

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)barrier_doc},
    {Py_tp_new, ouro_loop_bound_new},
    {Py_tp_init, barrier_init},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_dealloc, ouro_loop_bound_dealloc},
    {Py_tp_repr, barrier_repr},
    {Py_tp_methods, barrier_methods},
    {Py_tp_getset, barrier_getset},
    {Py_tp_members, barrier_members},
    {0, NULL},
};

static PyType_Spec barrier_spec = {
    .name = "asyncio.locks.Barrier",
    .basicsize = sizeof(BarrierObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = barrier_slots,
};

/* The states are asyncio's own. */
static int
import_states(ouro_state *st)
{
    const struct {
        const char *name;
        PyObject **member;
    } members[] = {
        {"FILLING", &st->stock.barrier_filling},
        {"DRAINING", &st->stock.barrier_draining},
        {"RESETTING", &st->stock.barrier_resetting},
        {"BROKEN", &st->stock.barrier_broken},
    };
    PyObject *states =
        PyObject_GetAttrString(st->stock.locks, "_BarrierState");
    int error = states == NULL ? -1 : 0;
    for (size_t i = 0; error == 0 && i < Py_ARRAY_LENGTH(members); i++) {
        *members[i].member = PyObject_GetAttrString(states, members[i].name);
        error = *members[i].member == NULL ? -1 : 0;
    }
    Py_XDECREF(states);
    return error;
}

/* What asyncio says to Barrier(0). */
static int
probe_message(ouro_state *st)
{
    PyObject *barrier =
        PyObject_CallMethod(st->stock.locks, "Barrier", "i", 0);
    if (barrier != NULL) {
        Py_DECREF(barrier);
        PyErr_SetString(PyExc_SystemError, "asyncio takes Barrier(0)");
        return -1;
    }
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    st->stock.barrier_too_few = PyObject_Str(error);
    Py_DECREF(error);
    return st->stock.barrier_too_few == NULL ? -1 : 0;
}

int
ouro_barrier_setup(PyObject *module, ouro_state *st)
{
    if (import_states(st) < 0 || probe_message(st) < 0) {
        return -1;
    }
    return ouro_add_primitive(module, &barrier_spec, false, NULL,
                              ouro_barrier_async_methods, &st->types.Barrier);
}
