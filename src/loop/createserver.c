/* createserver.c - create_server(): sockets bound to every address that the
 * hosts resolve to, and a Server over them.
 */
#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/createserver.h"
#include "loop/dns.h"
#include "loop/server.h"
#include "loop/steps.h"
#include "task/future.h"

#include <errno.h>

/* ---- the server, once there are sockets -------------------------------- */

enum {
    SERVE_SOCKETS, /* a list */
    SERVE_FACTORY,
    SERVE_SSL,
    SERVE_BACKLOG,
    SERVE_HANDSHAKE_TIMEOUT,
    SERVE_SHUTDOWN_TIMEOUT,
    SERVE_START,
    SERVE_ARGS,
};

static await_status
serve_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step++ > 0) {
        *ret = Py_NewRef(self->b);
        return AWAIT_RETURN;
    }
    self->b = ouro_server_new(
        st, self->owner, ouro_frame_get(self, SERVE_SOCKETS),
        ouro_frame_get(self, SERVE_FACTORY), ouro_frame_get(self, SERVE_SSL),
        ouro_frame_get(self, SERVE_BACKLOG),
        ouro_frame_get(self, SERVE_HANDSHAKE_TIMEOUT),
        ouro_frame_get(self, SERVE_SHUTDOWN_TIMEOUT));
    int start = self->b == NULL
                    ? -1
                    : PyObject_IsTrue(ouro_frame_get(self, SERVE_START));
    if (start > 0) {
        /* Give way once: the watches are then in force. */
        return ouro_server_start(st, (ServerObject *)self->b) < 0
                   ? AWAIT_ERROR
                   : AWAIT_YIELD;
    }
    *ret = Py_XNewRef(self->b);
    return start < 0 ? AWAIT_ERROR : AWAIT_RETURN;
}

static const await_kind serve_kind = {
    .name = "create_server",
    .qualname = "BaseEventLoop.create_server",
    .poll = serve_poll,
};

PyObject *
ouro_serve(ouro_state *st, PyObject *loop, PyObject *const *args)
{
    return ouro_frame_new(st, &serve_kind, loop, args, SERVE_ARGS, SERVE_ARGS);
}

/* ---- sockets ----------------------------------------------------------- */

enum {
    SERVER_FACTORY,
    SERVER_HOST,
    SERVER_PORT,
    SERVER_FAMILY,
    SERVER_FLAGS,
    SERVER_SOCK,
    SERVER_BACKLOG,
    SERVER_SSL,
    SERVER_REUSE_ADDRESS,
    SERVER_REUSE_PORT,
    SERVER_KEEP_ALIVE,
    SERVER_HANDSHAKE_TIMEOUT,
    SERVER_SHUTDOWN_TIMEOUT,
    SERVER_START_SERVING,
    SERVER_ARGS,
};

static int
call_setsockopt(PyObject *sock, PyObject *level, PyObject *option,
                PyObject *value)
{
    return ouro_drop_result(
        PyObject_CallMethod(sock, "setsockopt", "OOO", level, option, value));
}

/* sock.setsockopt(socket.<level>, socket.<option>, True) */
static int
set_option(ouro_state *st, PyObject *sock, const char *level,
           const char *option)
{
    PyObject *l = ouro_socket_attr(st, level);
    PyObject *o = ouro_socket_attr(st, option);
    int result =
        l == NULL || o == NULL ? -1 : call_setsockopt(sock, l, o, Py_True);
    Py_XDECREF(l);
    Py_XDECREF(o);
    return result;
}

int
ouro_set_reuseport(ouro_state *st, PyObject *sock)
{
    PyObject *option;
    if (PyObject_GetOptionalAttr(st->stock.socket_module, st->str.SO_REUSEPORT,
                                 &option)
        < 0) {
        return -1;
    }
    if (option == NULL) {
        PyErr_SetString(PyExc_ValueError,
                        "reuse_port not supported by socket module");
        return -1;
    }
    Py_DECREF(option);
    PyObject *level = ouro_socket_attr(st, "SOL_SOCKET");
    option = ouro_socket_attr(st, "SO_REUSEPORT");
    PyObject *one = PyLong_FromLong(1);
    int result = level == NULL || option == NULL || one == NULL
                     ? -1
                     : call_setsockopt(sock, level, option, one);
    Py_XDECREF(level);
    Py_XDECREF(option);
    Py_XDECREF(one);
    if (result < 0 && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyObject *context = PyErr_GetRaisedException();
        PyErr_SetString(PyExc_ValueError,
                        "reuse_port not supported by socket module, "
                        "SO_REUSEPORT defined but not implemented.");
        PyObject *error = PyErr_GetRaisedException();
        PyException_SetContext(error, context);
        PyErr_SetRaisedException(error);
    }
    return result;
}

/* frame[place], or for None what asyncio takes: a truth value. */
static int
wanted(AwaitObject *self, int place, bool default_value)
{
    PyObject *value = ouro_frame_get(self, place);
    return value == Py_None ? default_value : PyObject_IsTrue(value);
}

/* From Linux 6.12.9 on other families refuse the option. */
static int
may_reuse_port(ouro_state *st, PyObject *family)
{
    if (!st->has.loop.reuses_inet_ports_alone) {
        return 1;
    }
    PyObject *v4 = ouro_socket_attr(st, "AF_INET");
    PyObject *v6 = ouro_socket_attr(st, "AF_INET6");
    int result = v4 == NULL || v6 == NULL
                     ? -1
                     : PyObject_RichCompareBool(family, v4, Py_EQ);
    if (result == 0) {
        result = PyObject_RichCompareBool(family, v6, Py_EQ);
    }
    Py_XDECREF(v4);
    Py_XDECREF(v6);
    return result;
}

static int
set_options(ouro_state *st, AwaitObject *self, PyObject *sock,
            PyObject *family)
{
    int reuse_address = wanted(self, SERVER_REUSE_ADDRESS, true);
    int reuse_port = wanted(self, SERVER_REUSE_PORT, false);
    int keep_alive = wanted(self, SERVER_KEEP_ALIVE, false);
    if (reuse_port > 0) {
        reuse_port = may_reuse_port(st, family);
    }
    if (reuse_address < 0 || reuse_port < 0 || keep_alive < 0
        || (reuse_address
            && set_option(st, sock, "SOL_SOCKET", "SO_REUSEADDR") < 0)
        || (reuse_port && ouro_set_reuseport(st, sock) < 0)
        || (keep_alive
            && set_option(st, sock, "SOL_SOCKET", "SO_KEEPALIVE") < 0)) {
        return -1;
    }
    /* One socket shall not listen on both families. */
    PyObject *v6 = ouro_socket_attr(st, "AF_INET6");
    int is_v6 = v6 == NULL ? -1 : PyObject_RichCompareBool(family, v6, Py_EQ);
    Py_XDECREF(v6);
    return is_v6 <= 0 ? is_v6
                      : set_option(st, sock, "IPPROTO_IPV6", "IPV6_V6ONLY");
}

/* What is said of a bind() that failed with this exception. */
static PyObject *
bind_message(ouro_state *st, PyObject *exception, PyObject *address)
{
    PyObject *text = st->has.minor >= 13
                         ? PyObject_Str(exception)
                         : PyObject_GetAttrString(exception, "strerror");
    if (text == NULL) {
        return NULL;
    }
    PyObject *reason = PyObject_CallMethod(text, "lower", NULL);
    Py_DECREF(text);
    if (reason == NULL) {
        return NULL;
    }
    PyObject *message = PyUnicode_FromFormat(
        "error while attempting to bind on address %R: %S", address, reason);
    Py_DECREF(reason);
    return message;
}

/* The current exception is what sock.bind(address) raised: 0 if the address
 * is to be passed over, -1 with the exception to raise. */
static int
bind_failed(ouro_state *st, PyObject *loop, PyObject *address)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *message = NULL;
    int result = -1;
    PyObject *number = PyObject_GetAttrString(exception, "errno");
    if (number == NULL) {
        goto done;
    }
    message = bind_message(st, exception, address);
    if (message == NULL) {
        goto done;
    }
    if (st->has.minor >= 13 && PyLong_Check(number)
        && PyLong_AsLong(number) == EADDRNOTAVAIL) {
        /* The family is not enabled, we assume. */
        result = ((LoopCore *)loop)->debug
                     ? ouro_loop_log(st, "warning", "(O)", message)
                     : 0;
        goto done;
    }
    PyObject *error =
        PyObject_CallFunctionObjArgs(PyExc_OSError, number, message, NULL);
    if (error != NULL) {
        PyException_SetContext(error, Py_NewRef(exception));
        PyException_SetCause(error, NULL); /* raise ... from None */
        ouro_raise(error);
        Py_DECREF(error);
    }
done:
    Py_XDECREF(message);
    Py_XDECREF(number);
    Py_DECREF(exception);
    return result;
}

/* socket.socket(family, type, proto); NULL without an exception: there is no
 * such combination. */
static PyObject *
make_socket(ouro_state *st, PyObject *loop, PyObject *family, PyObject *type,
            PyObject *proto)
{
    PyObject *sock = PyObject_CallMethod(st->stock.socket_module, "socket",
                                         "OOO", family, type, proto);
    if (sock != NULL || !PyErr_ExceptionMatches(PyExc_OSError)) {
        return sock;
    }
    PyObject *exception = PyErr_GetRaisedException();
    if (((LoopCore *)loop)->debug) {
        PyObject *result = ouro_call_keywords(
            st->stock.logger, st->str.warning,
            Py_BuildValue("(sOOO)",
                          "create_server() failed to create "
                          "socket.socket(%r, %r, %r)",
                          family, type, proto),
            "exc_info", exception, NULL);
        Py_XDECREF(result);
    }
    Py_DECREF(exception);
    return NULL;
}

/* One bound socket into the list; info is a tuple. 0 or -1. */
static int
bind_tuple(ouro_state *st, AwaitObject *self, PyObject *info,
           PyObject *sockets)
{
    PyObject *family, *type, *proto, *name, *address;
    if (!PyArg_ParseTuple(info, "OOOOO", &family, &type, &proto, &name,
                          &address)) {
        return -1;
    }
    PyObject *sock = make_socket(st, self->owner, family, type, proto);
    if (sock == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int result = PyList_Append(sockets, sock);
    if (result == 0) {
        result = set_options(st, self, sock, family);
    }
    if (result == 0) {
        PyObject *bound =
            PyObject_CallMethodOneArg(sock, st->str.bind, address);
        if (bound == NULL) {
            result = bind_failed(st, self->owner, address);
            if (result == 0) {
                Py_ssize_t last = PyList_GET_SIZE(sockets) - 1;
                (void)PyList_SetSlice(sockets, last, last + 1, NULL);
                bound = PyObject_CallMethodNoArgs(sock, st->str.close);
                result = bound == NULL ? -1 : 0;
            }
        }
        Py_XDECREF(bound);
    }
    Py_DECREF(sock);
    return result;
}

/* The same for whatever getaddrinfo() has returned. */
static int
bind_info(ouro_state *st, AwaitObject *self, PyObject *info, PyObject *sockets)
{
    PyObject *tuple = PySequence_Tuple(info);
    int result = tuple == NULL ? -1 : bind_tuple(st, self, tuple, sockets);
    Py_XDECREF(tuple);
    return result;
}

static void
close_all(ouro_state *st, PyObject *sockets)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(sockets); i++) {
        ouro_close_socket(st, PyList_GET_ITEM(sockets, i));
    }
}

/* OSError('could not bind on any address out of [...]') */
static void
raise_no_sockets(PyObject *infos)
{
    PyObject *addresses = PyList_New(0);
    for (Py_ssize_t i = 0; addresses != NULL && i < PyList_GET_SIZE(infos);
         i++) {
        PyObject *address = PySequence_GetItem(PyList_GET_ITEM(infos, i), 4);
        if (address == NULL || PyList_Append(addresses, address) < 0) {
            Py_CLEAR(addresses);
        }
        Py_XDECREF(address);
    }
    if (addresses != NULL) {
        PyErr_Format(PyExc_OSError, "could not bind on any address out of %R",
                     addresses);
        Py_DECREF(addresses);
    }
}

/* A list of sockets bound to all addresses (infos: a list). */
static PyObject *
bind_all(ouro_state *st, AwaitObject *self, PyObject *infos)
{
    PyObject *sockets = PyList_New(0);
    if (sockets == NULL) {
        return NULL;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(infos); i++) {
        result = bind_info(st, self, PyList_GET_ITEM(infos, i), sockets);
    }
    if (result == 0 && PyList_GET_SIZE(sockets) == 0 && st->has.minor >= 13) {
        raise_no_sockets(infos);
        result = -1;
    }
    if (result < 0) {
        close_all(st, sockets);
        Py_CLEAR(sockets);
    }
    return sockets;
}

/* ---- addresses --------------------------------------------------------- */

/* _create_server_getaddrinfo(host, port, family, flags) */
enum {
    LOOKUP_HOST,
    LOOKUP_PORT,
    LOOKUP_FAMILY,
    LOOKUP_FLAGS,
    LOOKUP_ARGS,
};

static await_status
lookup_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *address = PyTuple_Pack(2, ouro_frame_get(self, LOOKUP_HOST),
                                     ouro_frame_get(self, LOOKUP_PORT));
    PyObject *stream = ouro_socket_attr(st, "SOCK_STREAM");
    PyObject *zero = PyLong_FromLong(0);
    *ret =
        address == NULL || stream == NULL || zero == NULL
            ? NULL
            : ouro_ensure_resolved(st, self->owner, address,
                                   ouro_frame_get(self, LOOKUP_FAMILY), stream,
                                   zero, ouro_frame_get(self, LOOKUP_FLAGS));
    Py_XDECREF(address);
    Py_XDECREF(stream);
    Py_XDECREF(zero);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
lookup_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ == 0) {
        return lookup_start(ouro_state_of(self->owner), self, ret);
    }
    int some = PyObject_IsTrue(self->value);
    if (some == 0) {
        PyErr_Format(PyExc_OSError, "getaddrinfo(%R) returned empty list",
                     ouro_frame_get(self, LOOKUP_HOST));
    }
    if (some <= 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static const await_kind lookup_kind = {
    .name = "_create_server_getaddrinfo",
    .qualname = "BaseEventLoop._create_server_getaddrinfo",
    .poll = lookup_poll,
};

/* The hosts as a list. */
static PyObject *
list_hosts(PyObject *host)
{
    bool is_string = PyUnicode_Check(host);
    bool iterable = Py_TYPE(host)->tp_iter != NULL;
    if (is_string && PyUnicode_GetLength(host) == 0) {
        host = Py_None;
    }
    else if (!is_string && iterable) {
        return PySequence_List(host);
    }
    PyObject *list = PyList_New(1);
    if (list != NULL) {
        PyList_SET_ITEM(list, 0, Py_NewRef(host));
    }
    return list;
}

/* asyncio.gather() over the look-ups of all hosts: an awaitable. */
static PyObject *
lookup_all(ouro_state *st, AwaitObject *self)
{
    PyObject *hosts = list_hosts(ouro_frame_get(self, SERVER_HOST));
    PyObject *gather = hosts == NULL
                           ? NULL
                           : PyObject_GetAttrString(st->stock.tasks, "gather");
    PyObject *coroutines =
        gather == NULL ? NULL : PyTuple_New(PyList_GET_SIZE(hosts));
    PyObject *result = NULL;
    bool complete = coroutines != NULL;
    for (Py_ssize_t i = 0; complete && i < PyList_GET_SIZE(hosts); i++) {
        PyObject *args[LOOKUP_ARGS] = {PyList_GET_ITEM(hosts, i),
                                       ouro_frame_get(self, SERVER_PORT),
                                       ouro_frame_get(self, SERVER_FAMILY),
                                       ouro_frame_get(self, SERVER_FLAGS)};
        PyObject *coroutine = ouro_frame_new(st, &lookup_kind, self->owner,
                                             args, LOOKUP_ARGS, LOOKUP_ARGS);
        complete = coroutine != NULL;
        PyTuple_SET_ITEM(coroutines, i, coroutine);
    }
    if (complete) {
        result = PyObject_CallObject(gather, coroutines);
    }
    Py_XDECREF(hosts);
    Py_XDECREF(gather);
    Py_XDECREF(coroutines);
    return result;
}

/* The addresses of all hosts, each once: a list. */
static PyObject *
merge_infos(PyObject *results)
{
    PyObject *set = PySet_New(NULL);
    PyObject *lists = set == NULL ? NULL : PySequence_List(results);
    bool complete = lists != NULL;
    for (Py_ssize_t i = 0; complete && i < PyList_GET_SIZE(lists); i++) {
        PyObject *infos = PySequence_List(PyList_GET_ITEM(lists, i));
        complete = infos != NULL;
        for (Py_ssize_t j = 0; complete && j < PyList_GET_SIZE(infos); j++) {
            complete = PySet_Add(set, PyList_GET_ITEM(infos, j)) == 0;
        }
        Py_XDECREF(infos);
    }
    PyObject *merged = complete ? PySequence_List(set) : NULL;
    Py_XDECREF(set);
    Py_XDECREF(lists);
    return merged;
}

/* ---- create_server() --------------------------------------------------- */

enum { STEP_START, STEP_RESOLVED, STEP_SERVING };

static int
server_check(ouro_state *st, AwaitObject *self)
{
    PyObject *ssl = ouro_frame_get(self, SERVER_SSL);
    PyObject *sock = ouro_frame_get(self, SERVER_SOCK);
    if (PyBool_Check(ssl)) {
        PyErr_SetString(PyExc_TypeError,
                        "ssl argument must be an SSLContext or None");
        return -1;
    }
    if (ouro_check_ssl_timeouts(ssl != Py_None,
                                ouro_frame_get(self, SERVER_HANDSHAKE_TIMEOUT),
                                ouro_frame_get(self, SERVER_SHUTDOWN_TIMEOUT))
        < 0) {
        return -1;
    }
    return sock == Py_None ? 0 : ouro_check_ssl_socket(st, sock);
}

/* Serve on the sockets (a list, consumed; NULL: error). */
static await_status
serve_on(ouro_state *st, AwaitObject *self, PyObject *sockets, PyObject **ret)
{
    if (sockets == NULL) {
        return AWAIT_ERROR;
    }
    *ret = NULL;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(sockets); i++) {
        result = ouro_set_nonblocking(st, PyList_GET_ITEM(sockets, i));
    }
    if (result == 0) {
        PyObject *args[SERVE_ARGS] = {
            sockets,
            ouro_frame_get(self, SERVER_FACTORY),
            ouro_frame_get(self, SERVER_SSL),
            ouro_frame_get(self, SERVER_BACKLOG),
            ouro_frame_get(self, SERVER_HANDSHAKE_TIMEOUT),
            ouro_frame_get(self, SERVER_SHUTDOWN_TIMEOUT),
            ouro_frame_get(self, SERVER_START_SERVING),
        };
        *ret = ouro_serve(st, self->owner, args);
    }
    Py_DECREF(sockets);
    self->step = STEP_SERVING;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
server_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    if (server_check(st, self) < 0) {
        return AWAIT_ERROR;
    }
    PyObject *sock = ouro_frame_get(self, SERVER_SOCK);
    if (ouro_frame_get(self, SERVER_HOST) != Py_None
        || ouro_frame_get(self, SERVER_PORT) != Py_None) {
        if (sock != Py_None) {
            PyErr_SetString(PyExc_ValueError,
                            "host/port and sock can not be specified at the "
                            "same time");
            return AWAIT_ERROR;
        }
        self->step = STEP_RESOLVED;
        *ret = lookup_all(st, self);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
    }
    if (sock == Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "Neither host/port nor sock were specified");
        return AWAIT_ERROR;
    }
    if (ouro_check_stream_socket(st, sock) < 0) {
        return AWAIT_ERROR;
    }
    return serve_on(st, self, Py_BuildValue("[O]", sock), ret);
}

static await_status
server_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step == STEP_START) {
        return server_start(st, self, ret);
    }
    if (self->step == STEP_RESOLVED) {
        PyObject *infos = merge_infos(self->value);
        if (infos == NULL) {
            return AWAIT_ERROR;
        }
        PyObject *sockets = bind_all(st, self, infos);
        Py_DECREF(infos);
        return serve_on(st, self, sockets, ret);
    }
    if (((LoopCore *)self->owner)->debug
        && ouro_loop_log(st, "info", "(sO)", "%r is serving", self->value)
               < 0) {
        return AWAIT_ERROR;
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static const await_kind server_kind = {
    .name = "create_server",
    .qualname = "BaseEventLoop.create_server",
    .poll = server_poll,
};

/* The defaults that are not None. */
static int
server_defaults(ouro_state *st, PyObject **a, PyObject **owned)
{
    owned[0] = ouro_socket_attr(st, "AF_UNSPEC");
    owned[1] = ouro_socket_attr(st, "AI_PASSIVE");
    owned[2] = PyLong_FromLong(100);
    if (owned[0] == NULL || owned[1] == NULL || owned[2] == NULL) {
        return -1;
    }
    a[SERVER_FAMILY] = a[SERVER_FAMILY] ? a[SERVER_FAMILY] : owned[0];
    a[SERVER_FLAGS] = a[SERVER_FLAGS] ? a[SERVER_FLAGS] : owned[1];
    a[SERVER_BACKLOG] = a[SERVER_BACKLOG] ? a[SERVER_BACKLOG] : owned[2];
    if (a[SERVER_START_SERVING] == NULL) {
        a[SERVER_START_SERVING] = Py_True;
    }
    return 0;
}

static const ouro_signature server_signature = {
    .qualname = "BaseEventLoop.create_server",
    .skip_self = 1,
    .positional = 3,
    .required = 1,
    .names = {"protocol_factory", "host", "port", "family", "flags", "sock",
              "backlog", "ssl", "reuse_address", "reuse_port", "keep_alive",
              "ssl_handshake_timeout", "ssl_shutdown_timeout",
              "start_serving"},
};

/* Before 3.13 there is no keep_alive. */
static const ouro_signature server_signature_3_11 = {
    .qualname = "BaseEventLoop.create_server",
    .skip_self = 1,
    .positional = 3,
    .required = 1,
    .names = {"protocol_factory", "host", "port", "family", "flags", "sock",
              "backlog", "ssl", "reuse_address", "reuse_port",
              "ssl_handshake_timeout", "ssl_shutdown_timeout",
              "start_serving"},
};

static PyObject *
loop_create_server(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    ouro_state *st = ouro_state_of(loop);
    PyObject *stock;
    if (ouro_loop_detour(loop, "create_server", args, nargs, kwnames,
                         &stock)) {
        return stock;
    }
    PyObject *a[SERVER_ARGS], *owned[3] = {NULL};
    bool keep_alive = st->has.minor >= 13;
    if (ouro_parse(keep_alive ? &server_signature : &server_signature_3_11,
                   args, nargs, kwnames, a)
        < 0) {
        return NULL;
    }
    if (!keep_alive) {
        for (int i = SERVER_START_SERVING; i > SERVER_KEEP_ALIVE; i--) {
            a[i] = a[i - 1];
        }
        a[SERVER_KEEP_ALIVE] = NULL;
    }
    PyObject *coroutine = NULL;
    if (server_defaults(st, a, owned) == 0) {
        coroutine = ouro_frame_new(st, &server_kind, loop, a, SERVER_ARGS,
                                   SERVER_ARGS);
    }
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(owned[i]);
    }
    return coroutine;
}

#define SERVER_DOC(more)                                                      \
    "create_server($self, protocol_factory, host=None, port=None, *, "        \
    "family=socket.AF_UNSPEC, flags=socket.AI_PASSIVE,"                       \
    " sock=None, backlog=100, ssl=None, reuse_address=None, "                 \
    "reuse_port=None, " more "ssl_handshake_timeout=None, "                   \
    "ssl_shutdown_timeout=None, start_serving=True)\n--\n\n"                  \
    "Listen on every address of the host, or hosts; return a Server."

static const ouro_async_def async_methods[] = {
    {"create_server", loop_create_server, SERVER_DOC("keep_alive=None, ")},
    {NULL, NULL, NULL},
};

static const ouro_async_def async_methods_3_11[] = {
    {"create_server", loop_create_server, SERVER_DOC("")},
    {NULL, NULL, NULL},
};

int
ouro_create_server_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    return ouro_loop_add_async_methods(
        st, st->has.minor >= 13 ? async_methods : async_methods_3_11);
}
