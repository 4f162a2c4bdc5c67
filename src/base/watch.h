/* watch.h - has a dict changed since somebody looked into it?
 *
 * For what asyncio keeps in dicts and we have to ask on each use: the answer
 * of last time is still true while the dict is the same and unchanged.
 */
#ifndef OURO_WATCH_H
#define OURO_WATCH_H

#include "base/state.h"

#include <stdatomic.h>

#if OURO_DICT_VERSIONS
/* It changes whenever the dict does, and no other has ever had it. */
#    define OURO_DICT_CHANGES(dict) (((PyDictObject *)(dict))->ma_version_tag)
#else
/* How often any of the watched dicts has changed, or gone, in any
 * interpreter of the process. */
extern _Atomic uint64_t ouro_dict_changes;
#    define OURO_DICT_CHANGES(dict)                                           \
        atomic_load_explicit(&ouro_dict_changes, memory_order_relaxed)
#endif

/* dict: NULL, or compared only: it need not live any more. */
static inline bool
ouro_dict_unchanged(const ouro_dict_seen *seen, PyObject *dict)
{
    return seen->dict == dict && dict != NULL
           && seen->changes == OURO_DICT_CHANGES(dict);
}

/* Note how the dict is now; where it cannot be watched, nothing is noted. */
void ouro_dict_see(ouro_state *st, ouro_dict_seen *seen, PyObject *dict);

/* What was noted holds no more. */
static inline void
ouro_dict_forget(ouro_dict_seen *seen)
{
    seen->dict = NULL;
}

void ouro_watch_setup(ouro_state *st);
void ouro_watch_clear(ouro_state *st);

#endif
