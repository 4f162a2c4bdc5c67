/* watch.c - has a dict changed since somebody looked into it?
 *
 * On 3.11 each dict has a number that says so.  From 3.12 on the interpreter
 * calls us before a dict that we watch changes, or is freed; we count.
 */
#include "base/watch.h"

#if OURO_DICT_VERSIONS

void
ouro_dict_see(ouro_state *st, ouro_dict_seen *seen, PyObject *dict)
{
    seen->dict = dict;
    seen->changes = OURO_DICT_CHANGES(dict);
}

void
ouro_watch_setup(ouro_state *st)
{
}

void
ouro_watch_clear(ouro_state *st)
{
}

#else

/* One for all, since a watcher is not told for whom it watches: at worst
 * somebody looks once more than he needs to. */
_Atomic uint64_t ouro_dict_changes;

static int
count_change(PyDict_WatchEvent event, PyObject *dict, PyObject *key,
             PyObject *value)
{
    atomic_fetch_add_explicit(&ouro_dict_changes, 1, memory_order_relaxed);
    return 0;
}

void
ouro_dict_see(ouro_state *st, ouro_dict_seen *seen, PyObject *dict)
{
    seen->dict = NULL;
    if (!st->watches_dicts) {
        return;
    }
    if (PyDict_Watch(st->dict_watcher, dict) < 0) {
        PyErr_Clear();
        return;
    }
    seen->dict = dict;
    seen->changes = OURO_DICT_CHANGES(dict);
}

/* An interpreter has a few watchers only: without one, nothing is noted. */
void
ouro_watch_setup(ouro_state *st)
{
    st->dict_watcher = PyDict_AddWatcher(count_change);
    st->watches_dicts = st->dict_watcher >= 0;
    if (!st->watches_dicts) {
        PyErr_Clear();
    }
}

void
ouro_watch_clear(ouro_state *st)
{
    if (st->watches_dicts && PyDict_ClearWatcher(st->dict_watcher) < 0) {
        PyErr_Clear();
    }
    st->watches_dicts = false;
}

#endif
