/* register.c - the functions by which other implementations of tasks take
 * part in asyncio's registry: _enter_task(), _register_task() and their like.
 *
 * The registry is _asyncio's own, which knows best what it takes and refuses:
 * a call is passed on as it is.  What of the registry we remember between two
 * steps is taken back first.
 */
#include "base/args.h"
#include "base/rooms.h"
#include "task/host.h"

#define PASS_ON(name)                                                         \
    static PyObject *name(PyObject *module, PyObject *const *args,            \
                          Py_ssize_t nargs, PyObject *kwnames)                \
    {                                                                         \
        ouro_state *st = ouro_module_state(module);                           \
        return PyObject_Vectorcall(st->stock.name, args, (size_t)nargs,       \
                                   kwnames);                                  \
    }

PASS_ON(_register_task)
PASS_ON(_unregister_task)
PASS_ON(_register_eager_task)
PASS_ON(_unregister_eager_task)
PASS_ON(_enter_task)
PASS_ON(_leave_task)
PASS_ON(_swap_current_task)

static PyObject *
set_running_loop(PyObject *module, PyObject *loop)
{
    ouro_state *st = ouro_module_state(module);
    ouro_forget_running_loop(st);
    return PyObject_CallOneArg(st->stock._set_running_loop, loop);
}

PyDoc_STRVAR(_register_task_doc, "_register_task(task)\n--\n\n\
Register a new task in asyncio as executed by loop.\n\n\
Returns None.");
PyDoc_STRVAR(_unregister_task_doc, "_unregister_task(task)\n--\n\n\
Unregister a task.\n\n\
Returns None.");
PyDoc_STRVAR(_register_eager_task_doc, "_register_eager_task(task)\n--\n\n\
Register a new task in asyncio as executed by loop.\n\n\
Returns None.");
PyDoc_STRVAR(_unregister_eager_task_doc,
             "_unregister_eager_task(task)\n--\n\n\
Unregister a task.\n\n\
Returns None.");
PyDoc_STRVAR(_enter_task_doc, "_enter_task(loop, task)\n--\n\n\
Enter into task execution or resume suspended task.\n\n\
Task belongs to loop.\n\n\
Returns None.");
PyDoc_STRVAR(_leave_task_doc, "_leave_task(loop, task)\n--\n\n\
Leave task execution or suspend a task.\n\n\
Task belongs to loop.\n\n\
Returns None.");
PyDoc_STRVAR(_swap_current_task_doc, "_swap_current_task(loop, task)\n--\n\n\
Temporarily swap in the supplied task and return the original one (or None).\n\n\
This is intended for use during eager coroutine execution.");
PyDoc_STRVAR(set_running_loop_doc, "_set_running_loop(loop, /)\n--\n\n\
Set the running event loop.\n\n\
This is a low-level function intended to be used by event loops.\n\
This function is thread-specific.");

#define FUNCTION(name) OURO_METHOD(#name, name, name##_doc)

static PyMethodDef functions[] = {
    FUNCTION(_register_task),
    FUNCTION(_unregister_task),
    FUNCTION(_enter_task),
    FUNCTION(_leave_task),
    {"_set_running_loop", set_running_loop, METH_O, set_running_loop_doc},
    {NULL},
};

static PyMethodDef eager_functions[] = {
    FUNCTION(_register_eager_task),
    FUNCTION(_unregister_eager_task),
    FUNCTION(_swap_current_task),
    {NULL},
};

int
ouro_register_setup(PyObject *module, ouro_state *st)
{
    if (PyModule_AddFunctions(module, functions) < 0) {
        return -1;
    }
    return st->has.eager_tasks ? PyModule_AddFunctions(module, eager_functions)
                               : 0;
}
