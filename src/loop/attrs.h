/* attrs.h - the loop's attributes, for its type alone. */
#ifndef OURO_ATTRS_H
#define OURO_ATTRS_H

#include "loop/loop.h"

extern PyGetSetDef ouro_loop_getset[];
extern PyMemberDef ouro_loop_members[];
int ouro_loop_attrs_setup(ouro_state *st);
int ouro_loop_setattro(PyObject *self, PyObject *name, PyObject *value);

#endif
