/* transport.h - what all transports share: the protocol and how it is
 * called, flow control of writing, the end of a connection, extra
 * information.
 *
 * A transport is started in one of two ways.  Native, on a loop that runs as
 * it was written: its ou_io is watched by the engine, its steps are jobs.  By
 * methods, on a loop in debug mode or with anything overridden: then it does
 * what asyncio's does, with loop.call_soon(), loop._add_reader() and so on.
 * The way of watching is chosen once, when the transport is made; each
 * scheduled step goes the way that the loop allows at that moment.
 */
#ifndef OURO_TRANSPORT_H
#define OURO_TRANSPORT_H

#include "base/objectjob.h"
#include "loop/loop.h"
#include "loop/server.h"
#include "net/protocol_ops.h"
#include "sys/loop.h"
#include "sys/sock.h"

typedef struct TransportObject TransportObject;

/* What differs between the kinds of transports. */
typedef struct transport_kind {
    /* Watch the descriptor for bytes to read. 0 or -1. */
    int (*begin_reading)(TransportObject *self);
    /* Stop all watching: nothing is sent or received any more, but the
     * descriptor stays open.  No exception may be set. */
    void (*stop)(TransportObject *self);
    /* Send what has been gathered. 0, or -1: an exception leaves the loop. */
    int (*flush)(PyObject *self);
    /* Forget what has not been sent. */
    void (*drop_output)(TransportObject *self);
    /* Bytes that wait to be sent. */
    size_t (*output_size)(TransportObject *self);
    /* The dictionary of extra information (borrowed), or NULL with an
     * exception.  NULL: it was made when the transport was. */
    PyObject *(*extra)(TransportObject *self);
    bool datagrams; /* _sendto_ready() is its _write_ready() */
    /* connection_lost() has been called and the descriptor is closed. 0 or
     * -1. */
    int (*lost)(TransportObject *self);
    /* add_reader() and so on may watch its descriptor, too. */
    bool shared;
} transport_kind;

/* What each read and write touches stands together, at the end, where the
 * kinds' own fields go on with the like: among thousands of connections each
 * finds its memory cold. */
struct TransportObject {
    PyObject_HEAD
    PyObject *extra; /* BaseTransport's slot _extra; NULL: made when asked */
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *sock;   /* the file object, or NULL: the fd is all there is */
    PyObject *server; /* or NULL */
    server_client client;   /* our place in the server's list */
    PyObject *step_context; /* what it is called in by made or lost */
    PyObject *waiter;       /* to be woken after connection_made(), or NULL */
    PyObject *lost_with;    /* connection_lost()'s argument, or NULL */
    ou_job made;        /* connection_made(), begin to read, wake the waiter */
    ou_job lost;        /* connection_lost() */
    size_t low;         /* bytes */
    bool keeps_context; /* `context` is for all calls, and stays */
    bool connected;     /* _protocol_connected */
    bool protocol_paused;
    uint8_t watched; /* OU_IN | OU_OUT, by loop._add_reader() or _writer() */
    const transport_kind *kind;
    PyObject *loop;          /* NULL: the connection is lost */
    PyObject *protocol;      /* NULL likewise */
    const protocol_ops *ops; /* the protocol's, or NULL */
    PyObject *context;       /* what the protocol is called in by I/O jobs */
    ou_io io;
    size_t high; /* bytes */
    int fd;
    unsigned conn_lost; /* as asyncio's _conn_lost */
    bool native;        /* watched by the engine, not by loop._add_reader() */
    bool open;          /* the descriptor has not been closed by us */
    bool closing;
    bool paused;   /* reading is */
    bool buffered; /* the protocol is a BufferedProtocol */
};

static inline TransportObject *
ouro_transport(PyObject *object)
{
    return (TransportObject *)object;
}

/* Python may be called by the protocol: it wants a context. */
static inline bool
ouro_transport_wants_context(TransportObject *self)
{
    return !self->keeps_context
           && (self->ops == NULL || self->ops->calls_python);
}

static inline ou_loop *
ouro_transport_engine(TransportObject *self)
{
    return ouro_loop_engine(self->loop);
}

/* Whether the loop's methods may be gone past, now. */
static inline bool
ouro_transport_fast(ouro_state *st, TransportObject *self)
{
    return self->loop != NULL && ouro_loop_fast(st, self->loop);
}

/* ---- making ------------------------------------------------------------ */

/* What __init__() asks first: a loop of ours, and for the first time. 0/-1. */
int ouro_transport_check_init(ouro_state *st, PyObject *loop,
                              bool initialized);

/* The part of the constructor that is the same for all: everything but the
 * descriptor. sock may be NULL. 0 or -1. */
int ouro_transport_begin(ouro_state *st, TransportObject *self,
                         const transport_kind *kind, PyObject *loop,
                         PyObject *sock, int fd);

/* _extra as asyncio fills it from a socket object.  extra: a dict or NULL. */
int ouro_transport_socket_extra(ouro_state *st, TransportObject *self,
                                PyObject *extra);

/* Making one has failed: drop the transport, but not its socket, which is
 * still the caller's.  The exception stays. NULL. */
PyObject *ouro_transport_give_up(PyObject *self);

int ouro_transport_attach(ouro_state *st, TransportObject *self,
                          PyObject *server);

/* Schedule connection_made(), the start of reading and the waiter's wake-up
 * (waiter NULL: none), in this order. 0 or -1. */
int ouro_transport_schedule_made(ouro_state *st, TransportObject *self,
                                 PyObject *waiter);
extern const ou_job_kind ouro_transport_made_kind;

/* Watch or cease to watch in one direction (OU_IN or OU_OUT), by the engine
 * (and then with this trigger) or by the loop's methods.  0 or -1. */
int ouro_transport_watch(ouro_state *st, TransportObject *self,
                         unsigned direction, bool on, ou_trigger trigger);
/* Of a socket that is closed with nothing left to send: asyncio's removes its
 * writer, whether or not it has one.  0 or -1. */
int ouro_transport_remove_writer(ouro_state *st, TransportObject *self);
/* Both directions; no exception may be set. */
void ouro_transport_unwatch(TransportObject *self);

/* ---- the protocol ------------------------------------------------------ */

int ouro_transport_set_protocol(ouro_state *st, TransportObject *self,
                                PyObject *protocol);

/* Before the protocol or any other Python is called from a job: leaves the
 * task that stands as the current one, enters the context.  Every call that
 * returned 0 is followed by ouro_transport_leave() with what it gave. */
int ouro_transport_enter(TransportObject *self, PyObject *context,
                         PyObject **ret_entered);
void ouro_transport_leave(PyObject *entered);

/* self._fatal_error(exc, message) with the current exception: reports it
 * (OSErrors in debug mode only) and aborts.  0; -1 if the exception leaves
 * the loop (it is then still set). */
int ouro_transport_fatal(ouro_state *st, TransportObject *self,
                         const char *message) OURO_COLD;
/* Its first half: report the current exception (quiet: in debug mode only).
 * 0 and the exception (owned); -1 as above. */
int ouro_transport_tell_fatal(ouro_state *st, TransportObject *self,
                              const char *message, bool quiet,
                              PyObject **ret_exception) OURO_COLD;

/* In debug mode: logger.debug("%r: %s", object, message, exc_info=exception).
 * 0 or -1. */
int ouro_log_fatal(ouro_state *st, PyObject *loop, PyObject *object,
                   const char *message, PyObject *exception) OURO_COLD;

/* The current exception has left a step of the transport: self.method(arg)
 * as asyncio's handle calls it ("Exception in callback"). arg may be NULL.
 * 0, or -1 if it leaves the loop. */
int ouro_transport_step_failed(TransportObject *self, PyObject *loop,
                               const char *method, PyObject *arg) OURO_COLD;

/* A flush at the end of a job has failed with -errno: tell() says so, in the
 * transport's context.  An exception of the job itself is kept. 0/-1. */
int ouro_transport_flush_failed(TransportObject *self, int error,
                                int (*tell)(ouro_state *st,
                                            TransportObject *self,
                                            int error)) OURO_COLD;

/* What a write or drain() that does not flush does: whatever transports have
 * gathered in this loop is sent if any of it has waited for too long.  0, or
 * -1: an exception leaves the loop. */
int ouro_transport_flush_old(PyObject *object);

/* ---- flow control of writing ------------------------------------------- */

/* -1: an exception that leaves the loop, or that call_exception_handler()
 * let through. */
int ouro_transport_maybe_pause(ouro_state *st, TransportObject *self);
int ouro_transport_maybe_resume(ouro_state *st, TransportObject *self);
int ouro_transport_set_limits(TransportObject *self, PyObject *high,
                              PyObject *low);

/* Two marks in bytes from what Python gave, NULL or None for what follows
 * from the other; both: kib KiB and a quarter of that. 0, or -1 with
 * asyncio's ValueError. */
int ouro_water_marks(PyObject *high, PyObject *low, long kib, size_t *ret_high,
                     size_t *ret_low);

/* write() on a connection that is lost: counted, and from the fifth time on
 * logged. 0 or -1. */
int ouro_transport_write_lost(ouro_state *st, TransportObject *self,
                              const char *message) OURO_COLD;
/* How buffers of the engine let Python objects go. */
void ouro_release_object(void *owner);

/* ---- the end ----------------------------------------------------------- */

/* _force_close(exc); exc may be NULL for None. What has been gathered is sent
 * as far as that is possible at once; the rest is lost. 0 or -1. */
int ouro_transport_force_close(ouro_state *st, TransportObject *self,
                               PyObject *exc);
/* Schedule _call_connection_lost(exc): what all ends come to. 0 or -1. */
int ouro_transport_schedule_lost(ouro_state *st, TransportObject *self,
                                 PyObject *exc);
/* _call_connection_lost(exc): closes in any case. 0, or -1 with what
 * connection_lost() raised. */
int ouro_transport_call_lost(ouro_state *st, TransportObject *self,
                             PyObject *exc);
/* Close the descriptor, through the file object where there is one. */
int ouro_transport_close_file(ouro_state *st, TransportObject *self);

/* ---- for the types ----------------------------------------------------- */

int ouro_transport_traverse(PyObject *self, visitproc visit, void *arg);
int ouro_transport_clear(PyObject *self);
/* What tp_finalize does: the ResourceWarning. */
void ouro_transport_finalize(PyObject *self);
/* What tp_dealloc does; clear: the type's tp_clear. */
void ouro_transport_dealloc(PyObject *self, inquiry clear);

#endif
