/* intact.h - is a class still as it was made?
 *
 * C code that goes past a method of its own class, because it knows what the
 * method does, must stop doing so when somebody replaces that method on the
 * class.  A snapshot of the attributes is compared whenever the version tag
 * of the type has changed; between two changes it costs one comparison.
 */
#ifndef OURO_INTACT_H
#define OURO_INTACT_H

#include "base/compat.h"

#include <stdbool.h>

typedef struct ouro_intact {
    PyTypeObject *type;   /* borrowed; NULL: of no class any more */
    PyObject *made;       /* dict: name -> what the finished class had */
    unsigned int version; /* of the type when it was last compared, or 0 */
    bool same;            /* the verdict */
} ouro_intact;

/* Take the snapshot of a class that is complete. 0 or -1. */
int ouro_intact_init(ouro_intact *intact, PyTypeObject *type);

/* Compare again; never fails. */
bool ouro_intact_compare(ouro_intact *intact) OURO_COLD;

static inline bool
ouro_intact_check(ouro_intact *intact)
{
    unsigned int version = intact->type->tp_version_tag;
    return version != 0 && version == intact->version
               ? intact->same
               : ouro_intact_compare(intact);
}

/* Whether an object whose __dict__ this is (NULL: it has none yet) has no
 * attributes of its own, which could hide its class's methods. */
static inline bool
ouro_no_attributes(PyObject *dict)
{
    return dict == NULL || PyDict_GET_SIZE(dict) == 0;
}

#endif
