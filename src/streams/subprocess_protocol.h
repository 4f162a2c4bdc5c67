/* subprocess_protocol.h - SubprocessStreamProtocol: from a child's pipes to
 * its three streams.
 */
#ifndef OURO_STREAMS_SUBPROCESS_PROTOCOL_H
#define OURO_STREAMS_SUBPROCESS_PROTOCOL_H

#include "streams/flow.h"

typedef struct SubprocessProtocolObject {
    FlowObject flow;
    PyObject *limit;
    PyObject *streams[3];   /* stdin, stdout, stderr; NULL: None */
    PyObject *transport;    /* the child's; NULL: None */
    PyObject *pipe_fds;     /* a list: the outputs that are open */
    PyObject *stdin_closed; /* a future */
    char process_exited;
    char half_made; /* connection_made() has failed */
} SubprocessProtocolObject;

/* SubprocessStreamProtocol(limit, loop) */
PyObject *ouro_subprocess_protocol_new(ouro_state *st, PyObject *limit,
                                       PyObject *loop);

#endif
