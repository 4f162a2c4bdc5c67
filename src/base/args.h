/* args.h - arguments of functions that stand in for Python functions.
 *
 * asyncio's functions are written in Python, so a wrong call says what Python
 * says: "f() missing 1 required positional argument: 'x'".  A signature is a
 * constant table; parsing fills an array of borrowed references, NULL where
 * an optional argument was not given.
 */
#ifndef OURO_ARGS_H
#define OURO_ARGS_H

#include "base/compat.h"

#include <stdbool.h>

enum { OURO_ARGS_MAX = 24 };

typedef struct ouro_signature {
    const char *qualname; /* as Python's messages show it, without () */
    int skip_self;  /* 1 for methods: self counts in "takes N ... given" */
    int positional; /* how many of `names` may be given by position */
    int required;   /* the first `required` of those must be given */
    /* Keyword-only names follow the positional ones; `required_keywords`
     * of them, the first, must be given. */
    int required_keywords;
    const char *names[OURO_ARGS_MAX + 1]; /* NULL terminated */
    bool varargs;        /* *args: the surplus starts at args[positional] */
    bool varkeywords;    /* **kwds: see ouro_keywords() */
    int positional_only; /* the first names that are before a "/" */
} ouro_signature;

/* That of a method with one parameter, which must be given. */
#define OURO_ONE_PARAMETER(method, parameter)                                 \
    {                                                                         \
        .qualname = method, .skip_self = 1, .positional = 1, .required = 1,   \
        .names = {                                                            \
            parameter                                                         \
        }                                                                     \
    }

/* 0, or -1 with Python's TypeError.  ret has one place for each name. */
int ouro_parse(const ouro_signature *signature, PyObject *const *args,
               Py_ssize_t nargs, PyObject *kwnames, PyObject **ret);

/* The same for a function whose last parameter came with a later Python: if
 * the running one does not have it, its place in ret is NULL. */
int ouro_parse_versions(const ouro_signature *signature, bool has_last,
                        PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames, PyObject **ret);

/* For a method without parameters; qualname as in the signature. */
int ouro_refuse_arguments(const char *qualname, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames);

static inline int
ouro_parse_none(const char *qualname, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (nargs == 0 && kwnames == NULL) {
        return 0;
    }
    return ouro_refuse_arguments(qualname, args, nargs, kwnames);
}

/* For a method with one parameter. */
static inline int
ouro_parse_one(const ouro_signature *signature, PyObject *const *args,
               Py_ssize_t nargs, PyObject *kwnames, PyObject **ret)
{
    if (nargs == 1 && kwnames == NULL) {
        *ret = args[0];
        return 0;
    }
    return ouro_parse(signature, args, nargs, kwnames, ret);
}

/* The same from a tuple and a dict (tp_init). */
int ouro_parse_init(const ouro_signature *signature, PyObject *args,
                    PyObject *kwargs, PyObject **ret);

/* The keywords of a call that no name of the signature takes, for **kwds: a
 * new dict, or NULL with an exception.  values are those of kwnames, that is
 * args + nargs.  signature NULL: all of them. */
PyObject *ouro_keywords(const ouro_signature *signature,
                        PyObject *const *values, PyObject *kwnames);

/* An entry of a PyMethodDef table for a function that parses so. */
#define OURO_METHOD(name, function, doc)                                      \
    {                                                                         \
        name, _PyCFunction_CAST(function), METH_FASTCALL | METH_KEYWORDS, doc \
    }

#endif
