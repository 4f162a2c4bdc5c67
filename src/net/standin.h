/* standin.h - the protocol that stands in for the application's while a file
 * is sent over a transport block by block.
 */
#ifndef OURO_STANDIN_H
#define OURO_STANDIN_H

#include "base/ouro.h"

typedef struct SendfileProtocol {
    PyObject_HEAD
    PyObject *loop;
    PyObject *transport;
    PyObject *protocol; /* the application's */
    PyObject *ready;    /* a future while writing is paused, or NULL */
    bool resume_reading;
    bool resume_writing;
} SendfileProtocol;

/* Take the place of the transport's protocol, with reading paused. */
SendfileProtocol *ouro_standin_new(ouro_state *st, PyObject *loop,
                                   PyObject *transport);

/* Give the application's protocol its place back. 0 or -1. */
int ouro_standin_restore(ouro_state *st, SendfileProtocol *self);

int ouro_standin_setup(PyObject *module, ouro_state *st);

#endif
