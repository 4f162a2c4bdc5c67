/* common.h - what the types of this room share. */
#ifndef OURO_STREAMS_COMMON_H
#define OURO_STREAMS_COMMON_H

#include "base/args.h"
#include "base/intact.h"
#include "base/ouro.h"

/* An object of exactly the class that `intact` watches: nobody has patched
 * the class, nor given the instance attributes (in dict) that could hide
 * methods. */
static inline bool
ouro_streams_untouched(PyObject *object, ouro_intact *intact, PyObject *dict)
{
    return Py_TYPE(object) == intact->type && ouro_intact_check(intact)
           && ouro_no_attributes(dict);
}

/* asyncio's asserts are there unless Python runs with -O. */
int ouro_streams_assert(ouro_state *st, bool condition, const char *message);

/* object.name() or object.name(arg), result dropped. 0 or -1. */
int ouro_streams_call(PyObject *object, PyObject *name, PyObject *arg);

/* "<first second ...>" from a list of strings. */
PyObject *ouro_streams_repr(PyObject *parts);
/* Add a string to such a list; consumes it, NULL is an error. 0 or -1. */
int ouro_streams_add_part(PyObject *parts, PyObject *text);

/* Add a method that only some versions of asyncio have. 0 or -1. */
int ouro_streams_add_method(PyTypeObject *type, PyMethodDef *method);

/* Attributes that are None while NULL; the closure is the member's offset. */
PyObject *ouro_streams_get_optional(PyObject *self, void *offset);
int ouro_streams_set_optional(PyObject *self, PyObject *value, void *offset);

#define STREAMS_OPTIONAL(name, type, member)                                  \
    {                                                                         \
        name, ouro_streams_get_optional, ouro_streams_set_optional, NULL,     \
            (void *)offsetof(type, member)                                    \
    }

/* Call transport.pause_reading() and so on; on a transport of ours without a
 * Python call. 0 or -1. */
int ouro_transport_pause_reading(ouro_state *st, PyObject *transport);
int ouro_transport_resume_reading(ouro_state *st, PyObject *transport);
int ouro_transport_close(ouro_state *st, PyObject *transport);
/* transport.is_closing(): 1, 0, -1. */
int ouro_transport_is_closing(ouro_state *st, PyObject *transport);

#endif
