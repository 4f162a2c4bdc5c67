/* subprocess.h - the transport of a child process.
 *
 * subprocess.c tells the protocol of the child's pipes and its end, in
 * asyncio's order; subprocess_type.c is the Python type;
 * subprocess_pipes.c connects the pipes; subprocess_start.c has the loop's
 * methods, and who watches for the end.
 *
 *     pipe transport -> SubprocessPipe -> pipe_data_received()
 *     pidfd -> ou_process -> process_exited()
 */
#ifndef OURO_SUBPROCESS_H
#define OURO_SUBPROCESS_H

#include "base/await.h"
#include "loop/loop.h"
#include "sys/process.h"

typedef struct SubprocessObject {
    PyObject_HEAD
    PyObject *extra; /* BaseTransport's slot _extra */
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *loop;         /* NULL: connection_lost() has been called */
    PyObject *protocol;     /* NULL likewise */
    PyObject *proc;         /* the Popen object; NULL likewise */
    PyObject *pid;          /* NULL: not started */
    PyObject *returncode;   /* NULL: not known yet */
    PyObject *exit_waiters; /* a list of futures; NULL: it is over */
    PyObject *pending;      /* a list of (callback, arguments), until the pipes
                               are connected; then NULL */
    PyObject *pipes;        /* {number: SubprocessPipe or None} */
    PyObject *context;      /* what the child's end is told in */
    bool closed;
    bool finished;
    bool unconnected; /* connecting the pipes has failed: nothing will be told
                       * of what is pending */
    ou_process process; /* who watches, if no child watcher does */
} SubprocessObject;

/* The protocol of one of the pipes. */
typedef struct SubprocessPipe {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    SubprocessObject *proc; /* NULL: the pipe is closed */
    PyObject *pipe;         /* its transport, or NULL */
    int fd;                 /* 0, 1 or 2 */
    char disconnected;
} SubprocessPipe;

static inline SubprocessObject *
ouro_subprocess(PyObject *object)
{
    return (SubprocessObject *)object;
}

/* ---- subprocess.c ------------------------------------------------------ */

extern const ou_job_kind ouro_subprocess_ended_kind;

/* __init__(): 0 or -1. kwargs: for Popen(), a dict or NULL. */
typedef struct subprocess_options {
    PyObject *args;
    PyObject *shell;
    PyObject *stdio[3]; /* stdin, stdout, stderr */
    PyObject *bufsize;
    PyObject *kwargs;
} subprocess_options;

int ouro_subprocess_init(ouro_state *st, SubprocessObject *self,
                         PyObject *loop, PyObject *protocol,
                         const subprocess_options *options, PyObject *waiter,
                         PyObject *extra);

/* Watch for the child's end ourselves. 0 or -1. */
int ouro_subprocess_watch(SubprocessObject *self);

/* The methods of these names. 0 or -1; exc may be NULL for None. */
int ouro_subprocess_close(ouro_state *st, SubprocessObject *self);
/* close() by the destructor: the pipes of a closed loop, which cannot close
 * them any more, are left to their own; the child is killed. */
int ouro_subprocess_discard(ouro_state *st, SubprocessObject *self);
int ouro_subprocess_exited(ouro_state *st, SubprocessObject *self,
                           PyObject *returncode);
int ouro_subprocess_pipe_lost(ouro_state *st, SubprocessObject *self, int fd,
                              PyObject *exc);
int ouro_subprocess_pipe_data(ouro_state *st, SubprocessObject *self, int fd,
                              PyObject *data);
int ouro_subprocess_lost(ouro_state *st, SubprocessObject *self,
                         PyObject *exc);

/* The transport of what stands in `pipes` (anybody's connect_read_pipe() may
 * have put it there): owned; None if there is none. */
PyObject *ouro_subprocess_pipe(ouro_state *st, PyObject *entry);

/* Close the transports of all pipes, with ask_loop unless the loop is closed.
 * 0 or -1. */
int ouro_subprocess_close_pipes(ouro_state *st, SubprocessObject *self,
                                bool ask_loop);

/* ---- subprocess_type.c ------------------------------------------------- */

/* _wait(): a coroutine (owned). */
PyObject *ouro_subprocess_wait(SubprocessObject *self);

/* ---- subprocess_pipes.c ------------------------------------------------ */

/* _connect_pipes(waiter): a coroutine (owned). */
PyObject *ouro_subprocess_connect(ouro_state *st, SubprocessObject *self,
                                  PyObject *waiter);

#endif
