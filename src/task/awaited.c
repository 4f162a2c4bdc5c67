/* awaited.c - who awaits a future: the edges of 3.14's call graph.
 *
 * An edge need not be stored: whoever waits has a job in the future's list,
 * and its kind tells for which task it does.  Only the edges that somebody
 * adds by hand are kept, in a set.
 */
#include "base/rooms.h"
#include "task/callbacks.h"
#include "task/future_impl.h"

static bool
has_added(FutureObject *fut)
{
    return fut->extras != NULL && fut->extras->awaited_by != NULL;
}

/* Hashing the futures may run Python, which may change the list: so they are
 * collected first. */
static PyObject *
get_awaited_by(PyObject *self, void *unused)
{
    FutureObject *fut = (FutureObject *)self;
    PyObject *all = ouro_future_awaiters(ouro_state_of(self), fut);
    if (all == NULL) {
        return NULL;
    }
    if (PyList_GET_SIZE(all) == 0 && !has_added(fut)) {
        Py_DECREF(all);
        Py_RETURN_NONE;
    }
    PyObject *set = PySet_New(has_added(fut) ? fut->extras->awaited_by : NULL);
    for (Py_ssize_t i = 0; set != NULL && i < PyList_GET_SIZE(all); i++) {
        if (PySet_Add(set, PyList_GET_ITEM(all, i)) < 0) {
            Py_CLEAR(set);
        }
    }
    Py_DECREF(all);
    PyObject *frozen = set == NULL ? NULL : PyFrozenSet_New(set);
    Py_XDECREF(set);
    return frozen;
}

/* asyncio keeps edges between futures of its own alone. */
static bool
are_ours(ouro_state *st, PyObject *const *args)
{
    return ouro_future_check(st, args[0]) && ouro_future_check(st, args[1]);
}

static int
add(FutureObject *fut, PyObject *waiter)
{
    future_extras *extras = ouro_future_extras(fut);
    if (extras == NULL) {
        return -1;
    }
    if (extras->awaited_by == NULL) {
        extras->awaited_by = PySet_New(NULL);
    }
    PyObject *set = Py_XNewRef(extras->awaited_by);
    int result = set == NULL ? -1 : PySet_Add(set, waiter);
    Py_XDECREF(set);
    return result;
}

static int
discard(FutureObject *fut, PyObject *waiter)
{
    if (!has_added(fut)) {
        return 0;
    }
    PyObject *set = Py_NewRef(fut->extras->awaited_by);
    int result = PySet_Discard(set, waiter);
    if (set == fut->extras->awaited_by && PySet_GET_SIZE(set) == 0) {
        Py_CLEAR(fut->extras->awaited_by);
    }
    Py_DECREF(set);
    return result < 0 ? -1 : 0;
}

/* Stock futures have edges of their own: the stock function knows. */
static PyObject *
pass_on(PyObject *function, PyObject *const *args)
{
    return PyObject_Vectorcall(function, args, 2, NULL);
}

static int
check_two(const char *name, Py_ssize_t nargs)
{
    if (nargs == 2) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s expected 2 arguments, got %zd", name,
                 nargs);
    return -1;
}

PyDoc_STRVAR(add_doc, "future_add_to_awaited_by(fut, waiter, /)\n--\n\n\
Record that `fut` is awaited on by `waiter`.");

static PyObject *
future_add_to_awaited_by(PyObject *module, PyObject *const *args,
                         Py_ssize_t nargs)
{
    ouro_state *st = ouro_module_state(module);
    if (check_two("future_add_to_awaited_by", nargs) < 0) {
        return NULL;
    }
    if (!are_ours(st, args)) {
        return pass_on(st->stock.add_to_awaited_by, args);
    }
    return ouro_none_or_error(add((FutureObject *)args[0], args[1]));
}

PyDoc_STRVAR(discard_doc,
"future_discard_from_awaited_by(fut, waiter, /)\n--\n\n\
Record that `fut` is no longer awaited on by `waiter`.");

static PyObject *
future_discard_from_awaited_by(PyObject *module, PyObject *const *args,
                               Py_ssize_t nargs)
{
    ouro_state *st = ouro_module_state(module);
    if (check_two("future_discard_from_awaited_by", nargs) < 0) {
        return NULL;
    }
    if (!are_ours(st, args)) {
        return pass_on(st->stock.discard_from_awaited_by, args);
    }
    return ouro_none_or_error(discard((FutureObject *)args[0], args[1]));
}

static PyMethodDef awaited_functions[] = {
    {"future_add_to_awaited_by", _PyCFunction_CAST(future_add_to_awaited_by),
     METH_FASTCALL, add_doc},
    {"future_discard_from_awaited_by",
     _PyCFunction_CAST(future_discard_from_awaited_by), METH_FASTCALL,
     discard_doc},
    {NULL},
};

static PyGetSetDef awaited_by = {"_asyncio_awaited_by", get_awaited_by, NULL,
                                 NULL, NULL};

/* The type is immutable: its dict is filled by hand. */
static int
add_attribute(PyTypeObject *type)
{
    PyObject *descriptor = PyDescr_NewGetSet(type, &awaited_by);
    if (descriptor == NULL) {
        return -1;
    }
    int result =
        PyDict_SetItemString(type->tp_dict, awaited_by.name, descriptor);
    Py_DECREF(descriptor);
    PyType_Modified(type);
    return result;
}

int
ouro_awaited_setup(PyObject *module, ouro_state *st)
{
    if (!st->has.call_graph) {
        return 0;
    }
    return add_attribute(st->types.Future) < 0
                   || PyModule_AddFunctions(module, awaited_functions) < 0
               ? -1
               : 0;
}
