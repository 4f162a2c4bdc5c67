/* function.h - objects of C that Python takes for functions of its own. */
#ifndef OURO_FUNCTION_H
#define OURO_FUNCTION_H

#include "base/ouro.h"

/* The head of each.  A type derived from types.Function calls by vectorcall,
 * and binds, prints, pickles and is attributed as a Python function. */
typedef struct FunctionObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *name;
    PyObject *qualname;
    PyObject *module;
    PyObject *doc; /* or NULL */
    /* The Python function that lends __code__, defaults, and what else only
     * the compiler makes; or NULL, and then it is made by make_model (or NULL,
     * there is none) when first asked for. */
    PyObject *model;
    PyObject *(*make_model)(struct FunctionObject *self);
    PyObject *dict;
    PyObject *weakrefs;
    ouro_state *st;
} FunctionObject;

/* A getter: the attribute of the model whose name is the closure. */
PyObject *ouro_function_get_lent(PyObject *function, void *name);
#define OURO_FUNCTION_LENT(name)                                              \
    {                                                                         \
        name, ouro_function_get_lent, NULL, NULL, name                        \
    }

/* tp_descr_get: bound methods as of functions. */
PyObject *ouro_function_bind(PyObject *function, PyObject *instance,
                             PyObject *type);

/* tp_members of derived types too, whose own __doc__ and __module__ would hide
 * the base's. */
extern PyMemberDef ouro_function_members[];

/* For the slots of derived types.  Clearing leaves the names, which calls may
 * have to report; dealloc is the last thing that a derived one's does. */
int ouro_function_traverse(PyObject *function, visitproc visit, void *arg);
int ouro_function_clear(PyObject *function);
void ouro_function_dealloc(PyObject *function);

/* Check what __name__ or __qualname__ is set to: 0 or -1. */
int ouro_check_name(const char *attribute, PyObject *value);

int ouro_function_setup(PyObject *module, ouro_state *st);

#endif
