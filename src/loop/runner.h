/* runner.h - asyncio.Runner, between the files that make it up. */
#ifndef OURO_RUNNER_H
#define OURO_RUNNER_H

#include "base/ouro.h"

typedef struct RunnerObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *state; /* a member of asyncio.runners._State */
    PyObject *debug; /* None: as the loop does by default */
    PyObject *loop_factory;
    PyObject *loop;
    PyObject *context;
    Py_ssize_t interrupt_count;
    char set_event_loop; /* bool: close() has to take it back */
} RunnerObject;

/* asyncio.<module>.<name>, as asyncio.runners sees it now; new reference. */
PyObject *ouro_runners_global(ouro_state *st, const char *module,
                              const char *name);

/* What stands under a name of asyncio, or the function of ours that does the
 * same if that is asyncio's own still.  Consumes value; NULL is passed on. */
PyObject *ouro_prefer_ours(ouro_state *st, PyObject *value, PyObject *stock,
                           const char *name);

/* RuntimeError with this text if a loop runs in the thread (-1), or 0. */
int ouro_runner_check_running(ouro_state *st, const char *text);

extern PyMethodDef ouro_runner_run_methods[];
extern PyMethodDef ouro_runner_close_methods[];

int ouro_runner_close_setup(PyObject *module, ouro_state *st);

#endif
