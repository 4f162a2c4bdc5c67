/* server.h - listening sockets and the connections made through them. */
#ifndef OURO_SERVER_H
#define OURO_SERVER_H

#include "loop/loop.h"

/* A transport of ours in the list of its server. */
typedef struct server_client {
    PyObject *transport; /* borrowed; NULL: in no list */
    struct server_client *next;
    struct server_client **link;
} server_client;

typedef struct ServerObject {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *loop;
    PyObject *sockets; /* a list; NULL: closed */
    PyObject *waiters; /* a list; NULL: closed and all connections gone */
    PyObject *protocol_factory;
    PyObject *backlog;
    PyObject *ssl_context;
    PyObject *ssl_handshake_timeout;
    PyObject *ssl_shutdown_timeout;
    PyObject *context;         /* 3.15+: connections get copies of it */
    PyObject *serving_forever; /* the future, or NULL */
    server_client *clients;
    Py_ssize_t active; /* attached transports */
    PyObject *foreign; /* 3.13+: weak references to those not ours, a set */
    bool serving;
} ServerObject;

static inline ServerObject *
ouro_server(PyObject *object)
{
    return (ServerObject *)object;
}

static inline bool
ouro_server_exact(ouro_state *st, PyObject *object)
{
    return Py_TYPE(object) == st->types.Server;
}

/* Server(loop, [sockets], ...) of our exact type; sockets is a list. */
PyObject *ouro_server_new(ouro_state *st, PyObject *loop, PyObject *sockets,
                          PyObject *protocol_factory, PyObject *ssl_context,
                          PyObject *backlog, PyObject *ssl_handshake_timeout,
                          PyObject *ssl_shutdown_timeout);

/* server._attach() and _detach(), whoever's server it is, for a transport of
 * ours.  0 or -1. */
int ouro_server_attach(ouro_state *st, PyObject *server, PyObject *transport,
                       server_client *client);
int ouro_server_detach(ouro_state *st, PyObject *server, PyObject *transport,
                       server_client *client);

/* start_serving(), serve_forever(), wait_closed(), async with. */
extern const ouro_async_def ouro_server_async_methods[];

/* Take a transport that is freed out of its server's list. */
void ouro_server_forget(PyObject *server, server_client *client);

/* Its loop, a new reference; NULL: __init__ has not been called. */
PyObject *ouro_server_loop(ServerObject *server);

/* _start_serving() of a server of ours. 0 or -1. */
int ouro_server_start(ouro_state *st, ServerObject *server);

#endif
