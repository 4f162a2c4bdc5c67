/* pipe.h - the transports of pipes, ttys and the like: one to read from, one
 * to write to.
 *
 * pipe_read.c receives, pipe_write.c sends, pipe_type.c has the two Python
 * types, pipe_connect.c the loop's methods that make them.  All watching is
 * level triggered: nothing says that a pipe is drained but asking it.
 */
#ifndef OURO_PIPE_H
#define OURO_PIPE_H

#include "net/protocol_ops.h"
#include "net/transport.h"
#include "sys/outbuf.h"
#include "sys/pipe.h"

typedef struct PipeObject {
    TransportObject base; /* whose `sock` is the pipe's file object */
    ou_pipe_kind file;
    /* Of the end that writes: */
    bool gathers; /* writes may leave together */
    bool blocked; /* the pipe takes no more: wait until it does */
    ou_outbuf out;
    ou_job flush; /* queued to the end of the job that writes */
} PipeObject;

static inline PipeObject *
ouro_pipe(PyObject *object)
{
    return (PipeObject *)object;
}

/* __init__(): 0, or -1. waiter and extra may be NULL. */
int ouro_pipe_start(ouro_state *st, PipeObject *self,
                    const transport_kind *kind, PyObject *loop, PyObject *pipe,
                    PyObject *protocol, PyObject *waiter, PyObject *extra);

/* Begin to wait for bytes, or for the peer's end. 0 or -1. */
int ouro_pipe_begin_reading(TransportObject *base);

/* logger.info("%r was closed by peer", self) in debug mode. 0 or -1. */
int ouro_pipe_log_closed(ouro_state *st, PipeObject *self);

/* _close(exc); exc may be NULL for None. What has been gathered is written as
 * far as that is possible at once; the rest is lost. 0 or -1. */
int ouro_pipe_close(ouro_state *st, PipeObject *self, PyObject *exc);

/* _fatal_error() with the current exception. 0, or -1 if it leaves the loop.
 */
int ouro_pipe_fatal(ouro_state *st, PipeObject *self, const char *message,
                    bool quiet);

/* Somebody else wants to watch the descriptor of this watch, too: if it is a
 * pipe's, from now on that is watched by the loop's methods, which can share
 * it.  io may be NULL. 0 or -1. */
int ouro_pipe_share(ouro_state *st, ou_io *io);

/* ---- pipe_read.c ------------------------------------------------------- */

extern const transport_kind ouro_pipe_read_kind;
extern const ou_job_kind ouro_pipe_in_kind;

/* _read_ready() of the end that reads: 0, or -1 with what it raises. */
int ouro_pipe_receive(ouro_state *st, PipeObject *self);

/* ---- pipe_write.c ------------------------------------------------------ */

extern const transport_kind ouro_pipe_write_kind;
extern const ou_job_kind ouro_pipe_hangup_kind;
extern const ou_job_kind ouro_pipe_out_kind;
extern const ou_job_kind ouro_pipe_flush_kind;

/* The methods of these names. 0 or -1. */
int ouro_pipe_write(PyObject *self, PyObject *data);
int ouro_pipe_writelines(PyObject *self, PyObject *list);
int ouro_pipe_write_eof(PyObject *self);

/* Write what has been gathered. 0, or -1: an exception leaves the loop. */
int ouro_pipe_flush(PyObject *self);
bool ouro_pipe_gathered(PyObject *self);

/* _write_ready(), and _read_ready() of the end that writes. 0 or -1. */
int ouro_pipe_send_more(ouro_state *st, PipeObject *self);
int ouro_pipe_hung_up(ouro_state *st, PipeObject *self);

/* ---- pipe_type.c ------------------------------------------------------- */

/* The table of an end to write of exactly our type that nobody has patched,
 * or NULL. */
const transport_ops *ouro_pipe_ops(ouro_state *st, PyObject *transport);

#endif
