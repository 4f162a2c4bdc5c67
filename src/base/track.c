/* track.c - finds the collector's list of young objects (see track.h). */
#include "base/track.h"

#if OURO_GC_LISTS

/* What one new object after the other is linked in before is the head. */
static ouro_gc_head *
list_of(PyObject *first, PyObject *second)
{
    ouro_gc_head *a = ouro_gc_head_of(first);
    ouro_gc_head *b = ouro_gc_head_of(second);
    ouro_gc_head *young = (ouro_gc_head *)b->next;
    bool found = (b->next & OURO_GC_FLAGS) == 0 && young != NULL
                 && young->prev == (uintptr_t)b && a->next == (uintptr_t)b
                 && (b->prev & ~OURO_GC_FLAGS) == (uintptr_t)a;
    return found ? young : NULL;
}

int
ouro_track_setup(ouro_state *st)
{
    PyObject *first = PyList_New(0);
    PyObject *second = PyList_New(0);
    if (first != NULL && second != NULL) {
        st->young = list_of(first, second);
    }
    Py_XDECREF(first);
    Py_XDECREF(second);
    return first == NULL || second == NULL ? -1 : 0;
}

#else

int
ouro_track_setup(ouro_state *st)
{
    return 0;
}

#endif
