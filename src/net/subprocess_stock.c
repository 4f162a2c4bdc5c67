/* subprocess_stock.c - what the running asyncio's subprocesses do, and what
 * of asyncio is asked on each start.
 */
#include "base/ouro.h"
#include "base/probe.h"
#include "base/rooms.h"

static bool
base(const char *method, const char *word)
{
    return ouro_probe("asyncio.base_subprocess", method, word);
}

static bool
unix_loop(const char *method, const char *word)
{
    return ouro_probe("asyncio.unix_events", method, word);
}

static void
find_features(ouro_process_features *has)
{
    has->kills_by_os = base("BaseSubprocessTransport.send_signal", "kill");
    has->spares_the_ended =
        base("BaseSubprocessTransport.send_signal", "_returncode");
    has->exit_wakes =
        base("BaseSubprocessTransport._process_exited", "_exit_waiters");
    has->close_asks_loop = base("BaseSubprocessTransport.close", "is_closed");
    has->connect_cleans =
        base("BaseSubprocessTransport._connect_pipes", "close");
    has->wait_shielded = unix_loop(
        "_UnixSelectorEventLoop._make_subprocess_transport", "shield");
    has->enters_watcher = !unix_loop(
        "_UnixSelectorEventLoop._make_subprocess_transport", "catch_warnings");
    has->exit_turns =
        unix_loop("_UnixSelectorEventLoop._child_watcher_callback",
                  "call_soon_threadsafe")
        + unix_loop("_UnixSelectorEventLoop._child_watcher_callback",
                    "call_soon");
}

/* asyncio.events.get_child_watcher and the default policy's, if there are
 * any. */
static int
find_watchers(ouro_state *st)
{
    if (st->has.minor >= 14) {
        return 0;
    }
    PyObject *policy = PyObject_GetAttrString(st->stock.unix_events,
                                              "DefaultEventLoopPolicy");
    st->stock.get_child_watcher =
        PyObject_GetAttrString(st->stock.events, "get_child_watcher");
    if (policy != NULL) {
        st->stock.policy_get_child_watcher =
            PyObject_GetAttrString(policy, "get_child_watcher");
        Py_DECREF(policy);
    }
    return st->stock.get_child_watcher == NULL
                   || st->stock.policy_get_child_watcher == NULL
               ? -1
               : 0;
}

/* A tuple of interned strings. */
static PyObject *
names_tuple(const char *const *names, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *name = PyUnicode_InternFromString(names[i]);
        if (name == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, name);
    }
    return tuple;
}

static int
make_names(ouro_state *st)
{
    static const char *const names[] = {
        "shell", "stdin", "stdout", "stderr", "universal_newlines", "bufsize"};
    st->stock.popen_names = names_tuple(names, Py_ARRAY_LENGTH(names));
    st->stock.stdio_names = names_tuple(names + 1, 3);
    return st->stock.popen_names == NULL || st->stock.stdio_names == NULL ? -1
                                                                          : 0;
}

int
ouro_subprocess_stock_setup(PyObject *module, ouro_state *st)
{
    (void)module;
    st->has.process.threads = st->has.minor < 12;
    st->has.process.drains_always = st->has.minor >= 12;
    st->stock.subprocess = PyImport_ImportModule("subprocess");
    if (st->stock.subprocess == NULL) {
        return -1;
    }
    find_features(&st->has.process);
    return make_names(st) < 0 ? -1 : find_watchers(st);
}
