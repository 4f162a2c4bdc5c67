/* asyncbound.h - bound async methods that are made to be called once. */
#ifndef OURO_ASYNCBOUND_H
#define OURO_ASYNCBOUND_H

#include "base/ouro.h"

/* method (an async method), bound to self: calling it is call(self, ...). */
PyObject *ouro_asyncbound_new(ouro_state *st, PyObject *method,
                              PyCFunctionFastWithKeywords call,
                              PyObject *self);

int ouro_asyncbound_setup(PyObject *module, ouro_state *st);

#endif
