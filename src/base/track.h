/* track.h - put objects into the collector's lists, and take them out.
 *
 * What comes from a freelist and goes back to it soon is tracked and untracked
 * as often, and CPython's calls cost several times what linking does.  New objects are linked in at the end of one list, the youngest
 * generation, whose head stays where it is; we find it when we are imported.
 * Where it is not found, CPython is called.
 */
#ifndef OURO_TRACK_H
#define OURO_TRACK_H

#include "base/state.h"

static inline void
ouro_track(ouro_state *st, PyObject *object)
{
#if OURO_GC_LISTS
    ouro_gc_head *young = st->young;
    if (young != NULL) {
        ouro_gc_link(young, ouro_gc_head_of(object));
        return;
    }
#endif
    PyObject_GC_Track(object);
}

static inline bool
ouro_is_tracked(PyObject *object)
{
#if OURO_GC_LISTS
    return ouro_gc_head_of(object)->next != 0;
#else
    return PyObject_GC_IsTracked(object);
#endif
}

/* (The trashcan gives objects to their destructors twice: the second time it
 * is untracked already.) */
static inline void
ouro_untrack(PyObject *object)
{
#if OURO_GC_LISTS
    if (ouro_is_tracked(object)) {
        ouro_gc_unlink(ouro_gc_head_of(object));
    }
#else
    PyObject_GC_UnTrack(object);
#endif
}

/* Find the list. 0 or -1. */
int ouro_track_setup(ouro_state *st);

#endif
