/* steps.c - the steps that asyncio's loop takes by calling methods of its
 * own.
 *
 * Ours goes past them, unless somebody has put another method there: on a
 * subclass, the class or an instance.  Then that one is called at its place in
 * our method; or, where ours is made of other steps, asyncio's method runs
 * instead of ours (a detour), which works on our loop by its methods.
 */
#include "loop/steps.h"

#include <stdarg.h>
#include <string.h>

int
ouro_loop_by_method(LoopObject *self, PyObject *name, ...)
{
    int intact = ouro_loop_method_intact(self, name);
    if (intact != 0) {
        return intact < 0 ? -1 : 0;
    }
    PyObject *args[5] = {(PyObject *)self};
    size_t count = 1;
    va_list given;
    va_start(given, name);
    while (count < 5 && (args[count] = va_arg(given, PyObject *)) != NULL) {
        count++;
    }
    va_end(given);
    int result =
        ouro_drop_result(PyObject_VectorcallMethod(name, args, count, NULL));
    return result < 0 ? -1 : 1;
}

/* ---- detours ----------------------------------------------------------- */

#define STEP(name) offsetof(ouro_strings, name)

/* A method of ours, and the steps of asyncio's that it does not take. */
typedef struct detour {
    const char *method;
    size_t steps[6]; /* places in the state's strings; 0: no more */
} detour;

static const detour detours[] = {
    {"sock_recv", {STEP(_sock_recv), STEP(_sock_read_done)}},
    {"sock_recv_into", {STEP(_sock_recv_into), STEP(_sock_read_done)}},
    {"sock_recvfrom", {STEP(_sock_recvfrom), STEP(_sock_read_done)}},
    {"sock_recvfrom_into", {STEP(_sock_recvfrom_into), STEP(_sock_read_done)}},
    {"sock_sendall", {STEP(_sock_sendall), STEP(_sock_write_done)}},
    {"sock_sendto", {STEP(_sock_sendto), STEP(_sock_write_done)}},
    {"sock_accept", {STEP(_sock_accept), STEP(_sock_read_done)}},
    {"sock_connect",
     {STEP(_sock_connect), STEP(_sock_connect_cb), STEP(_sock_write_done)}},
    {"_sock_sendfile_native",
     {STEP(_sock_sendfile_native_impl), STEP(_sock_add_cancellation_callback),
      STEP(_sock_sendfile_update_filepos), STEP(add_writer),
      STEP(remove_writer)}},
    {"create_connection", {STEP(_create_connection_transport)}},
    {"create_unix_connection", {STEP(_create_connection_transport)}},
    {"create_server", {STEP(_create_server_getaddrinfo)}},
    {"_make_subprocess_transport", {STEP(_child_watcher_callback)}},
};

static const detour *
find_detour(const char *method)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(detours); i++) {
        if (strcmp(detours[i].method, method) == 0) {
            return &detours[i];
        }
    }
    return NULL;
}

/* 1: one of the steps is somebody's; 0; -1. */
static int
overrides(LoopObject *self, const detour *way)
{
    const char *strings = (const char *)&self->core.st->str;
    for (size_t i = 0; i < 6 && way->steps[i] != 0; i++) {
        PyObject *name = *(PyObject *const *)(strings + way->steps[i]);
        int intact = ouro_loop_method_intact(self, name);
        if (intact <= 0) {
            return intact < 0 ? -1 : 1;
        }
    }
    return 0;
}

/* The method of asyncio's loop, called on ours. */
static PyObject *
call_stock(LoopObject *self, const char *name, PyObject *const *args,
           Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    PyObject **all = PyMem_New(PyObject *, nargs + named + 1);
    if (all == NULL) {
        return PyErr_NoMemory();
    }
    all[0] = (PyObject *)self;
    for (Py_ssize_t i = 0; i < nargs + named; i++) {
        all[i + 1] = args[i];
    }
    PyObject *method = PyObject_GetAttrString(
        self->core.st->stock.UnixSelectorEventLoop, name);
    PyObject *result =
        method == NULL
            ? NULL
            : PyObject_Vectorcall(method, all, (size_t)nargs + 1, kwnames);
    Py_XDECREF(method);
    PyMem_Free(all);
    return result;
}

bool
ouro_loop_detour(PyObject *op, const char *method, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *kwnames, PyObject **ret)
{
    LoopObject *self = (LoopObject *)op;
    *ret = NULL;
    if (ouro_loop_plain(self)) {
        return false;
    }
    const detour *way = find_detour(method);
    int overridden = way == NULL ? 0 : overrides(self, way);
    if (overridden > 0) {
        *ret = call_stock(self, method, args, nargs, kwnames);
    }
    return overridden != 0;
}
