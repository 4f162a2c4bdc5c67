/* ouro.h - what every file of the binding starts from. */
#ifndef OURO_H
#define OURO_H

#include "base/compat.h"
#include "base/err.h"
#include "base/state.h"

#define OURO_CONTAINER_OF(pointer, type, member)                              \
    ((type *)((char *)(pointer)-offsetof(type, member)))

/* What Python sees for NULL. (Borrowed.) */
static inline PyObject *
ouro_or_none(PyObject *object)
{
    return object == NULL ? Py_None : object;
}

/* What a function returns to Python that has nothing to say: None, or NULL for
 * a negative result. */
static inline PyObject *
ouro_none_or_error(int result)
{
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* The result (stolen, may be NULL) of a call that was made for its effect: 0
 * or -1. */
static inline int
ouro_drop_result(PyObject *result)
{
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* The result (stolen, may be NULL) of a call that asks: 1, 0 or -1. */
static inline int
ouro_truth_of(PyObject *result)
{
    int truth = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return truth;
}

/* Show the reference that a queue of the engine owns to Python's collector:
 * what ou_job_kind.visit gets as its visitor. */
typedef struct ouro_visitor {
    visitproc visit;
    void *arg;
} ouro_visitor;

/* What visit does for a job whose queue owns a reference to this object. */
static inline int
ouro_visit_owner(void *visitor, void *object)
{
    ouro_visitor *v = visitor;
    return v->visit((PyObject *)object, v->arg);
}

#endif
