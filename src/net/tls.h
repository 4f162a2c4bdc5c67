/* tls.h - TLS over a stream transport: asyncio's SSLProtocol in C, over
 * Python's own `ssl` objects.
 *
 * An SSLProtocol stands between a transport below, which it is the protocol
 * of, and the application's protocol above, whose transport is its
 * _SSLProtocolTransport.  Two memory BIOs hold ciphertext; plaintext is
 * never kept:
 *
 *   recv -> feed -> [incoming] -> SSLObject.read -> application
 *   application -> SSLObject.write -> [outgoing] -> transport.write
 *
 * tls_object.c     the calls of BIOs and SSLObject
 * tls_handshake.c  from connection_made() to the application's
 * tls_read.c       deciphering; when the transport below is paused
 * tls_write.c      enciphering; when the application is paused
 * tls_shutdown.c   close(), the peer's end, timeouts, errors
 * tls_protocol.c   making one; the Python type; the table for our transports
 * tls_transport.c  the Python type that applications see
 */
#ifndef OURO_TLS_H
#define OURO_TLS_H

#include "base/ouro.h"
#include "net/protocol_ops.h"

/* asyncio's SSLProtocolState and AppProtocolState. */
typedef enum tls_state {
    TLS_UNWRAPPED,
    TLS_DO_HANDSHAKE,
    TLS_WRAPPED,
    TLS_FLUSHING,
    TLS_SHUTDOWN,
} tls_state;

typedef enum tls_app_state {
    TLS_APP_INIT,
    TLS_APP_CON_MADE,
    TLS_APP_EOF,
    TLS_APP_CON_LOST,
} tls_app_state;

enum { TLS_MAX_SIZE = 256 * 1024 }; /* bytes, what one read asks for */

typedef struct TlsTransportObject {
    PyObject_HEAD
    PyObject *extra; /* BaseTransport's slot _extra, not used */
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *loop;
    PyObject *protocol; /* the SSLProtocol; NULL: None, closed twice */
    bool closed;
    bool started; /* __init__() has been called */
} TlsTransportObject;

typedef struct TlsObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *loop;          /* any loop; NULL: not initialized */
    PyObject *transport;     /* below; NULL: None */
    PyObject *app_protocol;  /* above; NULL: None */
    const protocol_ops *ops; /* the application protocol's, or NULL */
    PyObject *app_transport; /* ours, for it; NULL: None */
    PyObject *waiter;        /* of the handshake; NULL: None */
    PyObject *sslcontext;
    PyObject *server_hostname; /* or None */
    PyObject *extra;           /* dict */
    PyObject *incoming;        /* the BIOs */
    PyObject *outgoing;
    PyObject *sslobj;
    PyObject *direct;  /* the _ssl object inside an ssl.SSLObject, or NULL:
                          use ouro_tls_direct() */
    PyObject *span;    /* lends memory to calls of Python's */
    PyObject *backlog; /* deque of what waits to be enciphered, or NULL */
    Py_ssize_t backlog_size; /* bytes */
    PyObject *buffer;        /* a bytearray, once get_buffer() was called */
    PyObject *view;          /* a memoryview of it */
    PyObject *handshake_timeout; /* seconds */
    PyObject *shutdown_timeout;
    PyObject *handshake_timer; /* a TimerHandle, or NULL: None */
    PyObject *shutdown_timer;
    PyObject *handshake_start; /* loop.time(), in debug mode; NULL: None */
    unsigned conn_lost;
    size_t out_high; /* bytes: marks of what waits to be sent, */
    size_t out_low;
    size_t in_high; /* and of what waits to be deciphered */
    size_t in_low;
    uint8_t state;     /* tls_state */
    uint8_t app_state; /* tls_app_state */
    bool server_side;
    bool our_loop;     /* has a scratch buffer */
    bool app_buffered; /* app_protocol is a BufferedProtocol */
    bool eof_received;
    bool ssl_reading_paused; /* we have paused the transport below */
    bool ssl_writing_paused; /* it has paused us */
    bool app_reading_paused; /* the application has paused us */
    bool app_writing_paused; /* we have paused the application */
} TlsObject;

static inline TlsObject *
ouro_tls(PyObject *object)
{
    return (TlsObject *)object;
}

/* The _ssl object that may be called in sslobj's place, or NULL. */
static inline PyObject *
ouro_tls_direct(ouro_state *st, TlsObject *self)
{
    return self->direct != NULL && st->stock.SSLObject != NULL
                   && ouro_intact_check(&st->transports.SSLObject)
               ? self->direct
               : NULL;
}

/* All functions below: 0, or -1 with an exception set, unless they say
 * otherwise. Those that are called for I/O keep a reference to self. */

/* ---- tls_object.c ------------------------------------------------------ */

/* What a call of the SSL object came to. */
typedef enum tls_result {
    TLS_ERROR = -1,
    TLS_AGAIN, /* it wants more from the peer */
    TLS_DONE,
} tls_result;

/* sslobj, which may be anybody's, is to be used from now on. */
int ouro_tls_use_object(ouro_state *st, TlsObject *self, PyObject *sslobj);

tls_result ouro_tls_call_handshake(ouro_state *st, TlsObject *self);
tls_result ouro_tls_call_unwrap(ouro_state *st, TlsObject *self);

/* Into memory, until it is full (TLS_DONE), nothing is left (TLS_AGAIN) or
 * the peer has said that it was all (TLS_DONE, *ret_eof). Only where
 * ouro_tls_direct() is not NULL. *ret_got: bytes, also with TLS_AGAIN. */
tls_result ouro_tls_read_into(ouro_state *st, TlsObject *self, char *memory,
                              Py_ssize_t size, Py_ssize_t *ret_got,
                              bool *ret_eof);
/* sslobj.read(size[, buffer]): what it returned, or NULL; TLS_AGAIN then. */
tls_result ouro_tls_read_object(ouro_state *st, TlsObject *self,
                                Py_ssize_t size, PyObject *buffer,
                                PyObject **ret);
/* *ret_count: how much of data was taken. */
tls_result ouro_tls_write_object(ouro_state *st, TlsObject *self,
                                 PyObject *data, Py_ssize_t *ret_count);

/* Ciphertext from the peer. */
int ouro_tls_feed(ouro_state *st, TlsObject *self, const char *data,
                  Py_ssize_t size);
/* bio.pending, in bytes; -1: exception. */
Py_ssize_t ouro_tls_pending(ouro_state *st, PyObject *bio);

int ouro_tls_object_setup(PyObject *module, ouro_state *st);

/* ---- tls_handshake.c --------------------------------------------------- */

int ouro_tls_connection_made(ouro_state *st, TlsObject *self,
                             PyObject *transport);
int ouro_tls_do_handshake(ouro_state *st, TlsObject *self);
/* exc: an exception (class), or NULL: it went well. */
int ouro_tls_handshake_complete(ouro_state *st, TlsObject *self,
                                PyObject *exc);
int ouro_tls_check_handshake_timeout(ouro_state *st, TlsObject *self);
int ouro_tls_wakeup_waiter(ouro_state *st, TlsObject *self, PyObject *exc);

/* ---- tls_read.c -------------------------------------------------------- */

/* Bytes have been fed: go on from the present state. */
int ouro_tls_go_on(ouro_state *st, TlsObject *self);
int ouro_tls_do_read(ouro_state *st, TlsObject *self);
int ouro_tls_control_reading(ouro_state *st, TlsObject *self);
int ouro_tls_resume_reading(ouro_state *st, TlsObject *self);
/* What resume_reading() schedules. */
int ouro_tls_resume(ouro_state *st, TlsObject *self);

/* ---- tls_write.c ------------------------------------------------------- */

int ouro_tls_write(ouro_state *st, TlsObject *self, PyObject *data);
int ouro_tls_writelines(ouro_state *st, TlsObject *self, PyObject *list);
int ouro_tls_append(ouro_state *st, TlsObject *self, PyObject *data);
int ouro_tls_do_write(ouro_state *st, TlsObject *self);
/* The deque (borrowed), made when it is needed first; or NULL. */
PyObject *ouro_tls_backlog(ouro_state *st, TlsObject *self);
bool ouro_tls_has_backlog(TlsObject *self);
/* The methods of these names. */
int ouro_tls_pause_writing(ouro_state *st, TlsObject *self);
int ouro_tls_resume_writing(ouro_state *st, TlsObject *self);
int ouro_tls_process_outgoing(ouro_state *st, TlsObject *self);
int ouro_tls_control_writing(ouro_state *st, TlsObject *self);
/* _get_write_buffer_size(); -1: exception. */
Py_ssize_t ouro_tls_write_size(ouro_state *st, TlsObject *self);

/* ---- tls_shutdown.c ---------------------------------------------------- */

/* RuntimeError if that does not follow on the present state. */
int ouro_tls_set_state(ouro_state *st, TlsObject *self, tls_state state);
int ouro_tls_start_shutdown(ouro_state *st, TlsObject *self);
int ouro_tls_check_shutdown_timeout(ouro_state *st, TlsObject *self);
int ouro_tls_do_flush(ouro_state *st, TlsObject *self);
int ouro_tls_do_shutdown(ouro_state *st, TlsObject *self);
/* exc: NULL for None. */
int ouro_tls_abort(ouro_state *st, TlsObject *self, PyObject *exc);
/* The peer has closed the connection: 1 (keep it open), 0, -1. */
int ouro_tls_eof_received(ouro_state *st, TlsObject *self);
/* The application is told that the peer has said so in TLS. */
int ouro_tls_call_eof_received(ouro_state *st, TlsObject *self);
int ouro_tls_connection_lost(ouro_state *st, TlsObject *self, PyObject *exc);
/* transport._force_close(exc), if there is a transport. */
int ouro_tls_force_close(ouro_state *st, TlsObject *self, PyObject *exc);
/* _fatal_error(exc, message). */
int ouro_tls_fatal(ouro_state *st, TlsObject *self, PyObject *exc,
                   const char *message);
/* `except Exception as exc: self._fatal_error(exc, message)` for the current
 * exception. */
int ouro_tls_failed(ouro_state *st, TlsObject *self, const char *message);

/* loop.call_later(delay, self.<method>), the handle into *timer. */
int ouro_tls_start_timer(ouro_state *st, TlsObject *self, PyObject *delay,
                         const char *method, PyObject **timer);
int ouro_tls_stop_timer(ouro_state *st, PyObject **timer);

/* ---- tls_protocol.c ---------------------------------------------------- */

/* The member of an enumeration of asyncio.sslproto: a new reference. */
PyObject *ouro_tls_state_object(ouro_state *st, tls_state state);
int ouro_tls_set_app_protocol(ouro_state *st, TlsObject *self,
                              PyObject *protocol);
/* _get_extra_info(name, default): a new reference. */
PyObject *ouro_tls_extra_info(ouro_state *st, TlsObject *self, PyObject *name,
                              PyObject *fallback);
/* The application's protocol's table, if it may be used now; or NULL. */
static inline const protocol_ops *
ouro_tls_app_ops(TlsObject *self)
{
    const protocol_ops *ops = self->ops;
    return ops != NULL && ouro_protocol_usable(ops, self->app_protocol) ? ops
                                                                        : NULL;
}

/* ---- tls_transport.c --------------------------------------------------- */

PyObject *ouro_tls_transport_new(ouro_state *st, PyObject *loop,
                                 PyObject *protocol);
/* is_closing(), which cannot fail here. */
extern const transport_ops ouro_tls_transport_ops;
bool ouro_tls_transport_plain(ouro_state *st, PyObject *transport);
int ouro_tls_transport_setup(PyObject *module, ouro_state *st);

#endif
