/* policy.c - new_event_loop() and set_event_loop().
 *
 * Both ask the policy, which stays asyncio's, or is somebody's.  What
 * asyncio's own default policy does in these two methods is done here.
 */
#include "base/args.h"
#include "base/rooms.h"
#include "task/host.h"

/* asyncio's current policy, which is made when it is first needed. */
static PyObject *
get_policy(ouro_state *st)
{
    const char *name = st->has.minor >= 14 ? "_get_event_loop_policy"
                                           : "get_event_loop_policy";
    PyObject *getter = PyObject_GetAttrString(st->stock.events, name);
    if (getter == NULL) {
        return NULL;
    }
    PyObject *policy = NULL;
    if (getter == st->stock.get_event_loop_policy) {
        policy =
            PyObject_GetAttrString(st->stock.events, "_event_loop_policy");
    }
    if (policy == NULL || policy == Py_None) {
        PyErr_Clear();
        Py_XSETREF(policy, PyObject_CallNoArgs(getter));
    }
    Py_DECREF(getter);
    return policy;
}

static bool
is_method_of(PyObject *method, PyObject *function)
{
    return function != NULL && PyMethod_Check(method)
           && PyMethod_GET_FUNCTION(method) == function;
}

static PyObject *
new_event_loop(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "new_event_loop",
        .names = {NULL},
    };
    ouro_state *st = ouro_module_state(module);
    if (ouro_parse(&signature, args, nargs, kwnames, NULL) < 0) {
        return NULL;
    }
    PyObject *policy = get_policy(st);
    PyObject *method = policy == NULL
                           ? NULL
                           : PyObject_GetAttrString(policy, "new_event_loop");
    if (method != NULL
        && is_method_of(method, st->stock.policy_new_event_loop)) {
        Py_SETREF(method, PyObject_GetAttrString(policy, "_loop_factory"));
    }
    PyObject *loop = method == NULL ? NULL : PyObject_CallNoArgs(method);
    Py_XDECREF(method);
    Py_XDECREF(policy);
    return loop;
}

/* Up to 3.13 a child watcher may have to hear of the new loop. */
static int
has_watcher(ouro_state *st, PyObject *policy)
{
    if (st->has.minor >= 14) {
        return 0;
    }
    PyObject *watcher = PyObject_GetAttrString(policy, "_watcher");
    Py_XDECREF(watcher);
    return watcher == NULL ? -1 : watcher != Py_None;
}

/* What the default policy does: 1 if done, 0 if it has to be asked, -1. */
static int
set_directly(ouro_state *st, PyObject *policy, PyObject *method,
             PyObject *loop)
{
    if (!is_method_of(method, st->stock.policy_set_event_loop)
        || (loop != Py_None && !ouro_loop_check(st, loop))) {
        return 0;
    }
    int watched = has_watcher(st, policy);
    if (watched != 0) {
        return watched < 0 ? -1 : 0;
    }
    PyObject *local = PyObject_GetAttrString(policy, "_local");
    if (local == NULL) {
        return -1;
    }
    int result = st->has.minor >= 14
                     ? 0
                     : PyObject_SetAttrString(local, "_set_called", Py_True);
    if (result == 0) {
        result = PyObject_SetAttr(local, st->str._loop, loop);
    }
    Py_DECREF(local);
    return result < 0 ? -1 : 1;
}

static int
set_loop_of_policy(ouro_state *st, PyObject *policy, PyObject *loop)
{
    PyObject *method = PyObject_GetAttrString(policy, "set_event_loop");
    if (method == NULL) {
        return -1;
    }
    int done = set_directly(st, policy, method, loop);
    if (done == 0) {
        PyObject *result = PyObject_CallOneArg(method, loop);
        Py_XDECREF(result);
        done = result == NULL ? -1 : 1;
    }
    Py_DECREF(method);
    return done < 0 ? -1 : 0;
}

static PyObject *
set_event_loop(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "set_event_loop",
        .positional = 1,
        .required = 1,
        .names = {"loop", NULL},
    };
    ouro_state *st = ouro_module_state(module);
    PyObject *loop;
    if (ouro_parse(&signature, args, nargs, kwnames, &loop) < 0) {
        return NULL;
    }
    PyObject *policy = get_policy(st);
    int result = policy == NULL ? -1 : set_loop_of_policy(st, policy, loop);
    Py_XDECREF(policy);
    return ouro_none_or_error(result);
}

PyDoc_STRVAR(new_event_loop_doc, "new_event_loop()\n--\n\n\
Equivalent to calling get_event_loop_policy().new_event_loop().");
PyDoc_STRVAR(set_event_loop_doc, "set_event_loop(loop)\n--\n\n\
Equivalent to calling get_event_loop_policy().set_event_loop(loop).");

static PyMethodDef functions[] = {
    OURO_METHOD("new_event_loop", new_event_loop, new_event_loop_doc),
    OURO_METHOD("set_event_loop", set_event_loop, set_event_loop_doc),
    {NULL},
};

/* asyncio.<module>.<class>.<method>, the function. */
static PyObject *
stock_method(const char *module, const char *class_name, const char *method)
{
    PyObject *owner = PyImport_ImportModule(module);
    PyObject *type =
        owner == NULL ? NULL : PyObject_GetAttrString(owner, class_name);
    PyObject *function =
        type == NULL ? NULL : PyObject_GetAttrString(type, method);
    Py_XDECREF(type);
    Py_XDECREF(owner);
    return function;
}

/* Policies are to go: where there are none, everything is asked. */
int
ouro_policy_setup(PyObject *module, ouro_state *st)
{
    static const char unix_events[] = "asyncio.unix_events";
    static const char policy[] = "_UnixDefaultEventLoopPolicy";
    st->stock.get_event_loop_policy = PyObject_GetAttrString(
        st->stock.events, st->has.minor >= 14 ? "_get_event_loop_policy"
                                              : "get_event_loop_policy");
    if (st->stock.get_event_loop_policy != NULL) {
        st->stock.policy_new_event_loop =
            stock_method(unix_events, policy, "new_event_loop");
    }
    if (st->stock.policy_new_event_loop != NULL) {
        st->stock.policy_set_event_loop =
            stock_method(unix_events, policy, "set_event_loop");
    }
    if (st->stock.policy_set_event_loop == NULL) {
        PyErr_Clear();
        return 0;
    }
    return PyModule_AddFunctions(module, functions);
}
