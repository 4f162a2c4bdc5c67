/* flow.h - FlowControlMixin: writers wait while the transport's buffer is
 * full.
 */
#ifndef OURO_STREAMS_FLOW_H
#define OURO_STREAMS_FLOW_H

#include "base/await.h"
#include "streams/common.h"

typedef struct FlowObject {
    PyObject_HEAD
    PyObject *dict;
    char paused;
    char connection_lost;
    PyObject *loop;
    PyObject *drain_waiters; /* a deque; NULL: nobody has waited yet */
    PyObject *weakrefs;
} FlowObject;

static inline FlowObject *
ouro_flow(PyObject *self)
{
    return (FlowObject *)self;
}

/* __init__(loop); loop may be NULL. 0 or -1. */
int ouro_flow_init(ouro_state *st, FlowObject *flow, PyObject *loop);

/* The methods of these names. 0 or -1. */
int ouro_flow_pause_writing(ouro_state *st, FlowObject *flow);
int ouro_flow_resume_writing(ouro_state *st, FlowObject *flow);
/* exc: an exception, or None. */
int ouro_flow_connection_lost(ouro_state *st, FlowObject *flow, PyObject *exc);

/* _drain_helper() would return at once: 1; it would wait: 0; it raises: -1.
 */
int ouro_flow_may_write(FlowObject *flow);

/* For types derived from it. */
int ouro_flow_traverse(PyObject *self, visitproc visit, void *arg);
int ouro_flow_clear(PyObject *self);

#endif
