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

/* Show the reference that a queue of the engine owns to Python's collector:
 * what ou_job_kind.visit gets as its visitor. */
typedef struct ouro_visitor {
    visitproc visit;
    void *arg;
} ouro_visitor;

#endif
