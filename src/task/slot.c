/* slot.c - futures that one object watches (see slot.h). */
#include "task/slot.h"

int
ouro_slots_allocate(ouro_slots *slots, Py_ssize_t count)
{
    slots->array = PyMem_Calloc((size_t)count, sizeof(ouro_slot));
    if (slots->array == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

ouro_slot *
ouro_slots_add(ouro_slots *slots, const waiter_kind *kind, PyObject *owner,
               PyObject *fut)
{
    ouro_slot *slot = &slots->array[slots->count++];
    ou_job_init(&slot->job, &kind->job);
    slot->owner = owner;
    slot->fut = Py_NewRef(fut);
    return slot;
}

int
ouro_slot_watch(ouro_state *st, ouro_slot *slot)
{
    slot->pending = true;
    Py_INCREF(slot->owner); /* the queue's reference */
    return ouro_watch(st, slot->fut, &slot->job);
}

int
ouro_slots_watch_all(ouro_state *st, ouro_slots *slots,
                     const waiter_kind *kind, PyObject *owner, PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        ouro_slots_add(slots, kind, owner, PyList_GET_ITEM(list, i))->pending =
            true;
    }
    for (Py_ssize_t i = 0; i < slots->count; i++) {
        if (ouro_slot_watch(st, &slots->array[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

int
ouro_slots_traverse(ouro_slots *slots, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < slots->count; i++) {
        Py_VISIT(slots->array[i].fut);
    }
    return 0;
}

void
ouro_slots_free(ouro_slots *slots)
{
    for (Py_ssize_t i = 0; i < slots->count; i++) {
        Py_DECREF(slots->array[i].fut);
    }
    PyMem_Free(slots->array);
}

/* ---- the job ----------------------------------------------------------- */

int
ouro_slot_run(ou_job *job, int (*done)(ouro_state *st, ouro_slot *slot))
{
    ouro_slot *slot = ouro_slot_of(job);
    PyObject *owner = slot->owner; /* the queue's reference */
    ouro_state *st = ouro_state_of(owner);
    int result = done(st, slot);
    if (result < 0) {
        result = ouro_waiter_failed(st, slot->fut, job);
    }
    Py_DECREF(owner);
    return result;
}

void
ouro_slot_drop(ou_job *job)
{
    Py_DECREF(ouro_slot_of(job)->owner);
}

void
ouro_slot_hold(ou_job *job)
{
    Py_INCREF(ouro_slot_of(job)->owner);
}

int
ouro_slot_visit(ou_job *job, void *visitor)
{
    return ouro_visit_owner(visitor, ouro_slot_of(job)->owner);
}
