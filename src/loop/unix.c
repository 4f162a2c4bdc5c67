/* unix.c - Unix sockets: create_unix_connection(), create_unix_server().
 *
 * What comes of them are stream transports and servers as of any other
 * stream socket; here are paths, and what is left of them in the file system.
 */
#include "loop/unix.h"

#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/createserver.h"
#include "loop/dns.h"
#include "loop/steps.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- what both share --------------------------------------------------- */

/* socket.socket(AF_UNIX, SOCK_STREAM, 0) */
static PyObject *
unix_socket(ouro_state *st)
{
    PyObject *family = ouro_socket_attr(st, "AF_UNIX");
    PyObject *type = ouro_socket_attr(st, "SOCK_STREAM");
    PyObject *sock = NULL;
    if (family != NULL && type != NULL) {
        sock = PyObject_CallMethod(st->stock.socket_module, "socket", "OOi",
                                   family, type, 0);
    }
    Py_XDECREF(family);
    Py_XDECREF(type);
    return sock;
}

/* sock.<name> == socket.<constant>: 1, 0, -1. */
static int
socket_is(ouro_state *st, PyObject *sock, PyObject *name, const char *constant)
{
    PyObject *value = PyObject_GetAttr(sock, name);
    PyObject *wanted = ouro_socket_attr(st, constant);
    int equal = value == NULL || wanted == NULL
                    ? -1
                    : PyObject_RichCompareBool(value, wanted, Py_EQ);
    Py_XDECREF(value);
    Py_XDECREF(wanted);
    return equal;
}

/* ValueError for what is no Unix stream socket (-1), or 0. */
static int
check_unix_socket(ouro_state *st, PyObject *sock)
{
    int valid = socket_is(st, sock, st->str.family, "AF_UNIX");
    if (valid > 0) {
        valid = socket_is(st, sock, st->str.type, "SOCK_STREAM");
    }
    if (valid == 0) {
        PyErr_Format(PyExc_ValueError,
                     "A UNIX Domain Stream Socket was expected, got %R", sock);
    }
    return valid > 0 ? 0 : -1;
}

/* Abstract names begin with a zero byte: 1, 0, -1. */
static int
is_abstract(PyObject *path)
{
    if (PyUnicode_Check(path)) {
        if (PyUnicode_GetLength(path) == 0) {
            PyErr_SetString(PyExc_IndexError, "string index out of range");
            return -1;
        }
        return PyUnicode_ReadChar(path, 0) == 0;
    }
    if (PyBytes_Check(path)) {
        if (PyBytes_GET_SIZE(path) == 0) {
            PyErr_SetString(PyExc_IndexError, "index out of range");
            return -1;
        }
        return PyBytes_AS_STRING(path)[0] == 0;
    }
    return 0;
}

/* os.<function>(path) */
static PyObject *
call_os(ouro_state *st, const char *function, PyObject *path)
{
    return PyObject_CallMethod(st->stock.os, function, "O", path);
}

/* A field of os.stat(path). 0, or -1 with an exception. */
static int
stat_field(ouro_state *st, PyObject *path, const char *field, PyObject **ret)
{
    PyObject *result = call_os(st, "stat", path);
    *ret = result == NULL ? NULL : PyObject_GetAttrString(result, field);
    Py_XDECREF(result);
    return *ret == NULL ? -1 : 0;
}

/* The current exception: FileNotFoundError is none, another OSError is
 * logged.  0, or -1 for what goes on. */
static int
forgive(ouro_state *st, const char *format, PyObject *path)
{
    if (PyErr_ExceptionMatches(PyExc_FileNotFoundError)) {
        PyErr_Clear();
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result = ouro_loop_log(st, "error", "(sOO)", format, path, exception);
    Py_DECREF(exception);
    return result;
}

/* ---- create_unix_connection() ------------------------------------------ */

enum {
    CONNECT_FACTORY,
    CONNECT_PATH,
    CONNECT_SSL,
    CONNECT_SOCK,
    CONNECT_HOSTNAME,
    CONNECT_HANDSHAKE_TIMEOUT,
    CONNECT_SHUTDOWN_TIMEOUT,
    CONNECT_ARGS,
};

enum { STEP_START, STEP_CONNECTED, STEP_MADE };

static int
connect_check(AwaitObject *self)
{
    PyObject *hostname = ouro_frame_get(self, CONNECT_HOSTNAME);
    int ssl = PyObject_IsTrue(ouro_frame_get(self, CONNECT_SSL));
    if (ssl < 0) {
        return -1;
    }
    if (hostname != Py_None && !PyUnicode_Check(hostname)) {
        PyErr_SetNone(PyExc_AssertionError);
        return -1;
    }
    if (ssl && hostname == Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "you have to pass server_hostname when using ssl");
        return -1;
    }
    if (!ssl && hostname != Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "server_hostname is only meaningful with ssl");
        return -1;
    }
    return ouro_check_ssl_timeouts(
        ssl, ouro_frame_get(self, CONNECT_HANDSHAKE_TIMEOUT),
        ouro_frame_get(self, CONNECT_SHUTDOWN_TIMEOUT));
}

/* There is a connected socket: protocol and transport. */
static await_status
connect_made(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *args[TRANSPORT_ARGS] = {
        [TRANSPORT_SOCK] = ouro_frame_get(self, CONNECT_SOCK),
        [TRANSPORT_FACTORY] = ouro_frame_get(self, CONNECT_FACTORY),
        [TRANSPORT_SSL] = ouro_frame_get(self, CONNECT_SSL),
        [TRANSPORT_HOSTNAME] = ouro_frame_get(self, CONNECT_HOSTNAME),
        [TRANSPORT_HANDSHAKE_TIMEOUT] =
            ouro_frame_get(self, CONNECT_HANDSHAKE_TIMEOUT),
        [TRANSPORT_SHUTDOWN_TIMEOUT] =
            ouro_frame_get(self, CONNECT_SHUTDOWN_TIMEOUT),
    };
    self->step = STEP_MADE;
    *ret = ouro_connection_transport(st, self->owner, args);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
connect_path(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *path = PyOS_FSPath(ouro_frame_get(self, CONNECT_PATH));
    PyObject *sock = path == NULL ? NULL : unix_socket(st);
    if (sock == NULL) {
        Py_XDECREF(path);
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, CONNECT_SOCK, sock);
    self->step = STEP_CONNECTED;
    *ret = ouro_set_nonblocking(st, sock) < 0
               ? NULL
               : ouro_sock_connect(st, self->owner, sock, path);
    Py_DECREF(path);
    if (*ret == NULL) {
        ouro_close_socket(st, sock);
        return AWAIT_ERROR;
    }
    return AWAIT_DELEGATE;
}

static await_status
connect_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    if (connect_check(self) < 0) {
        return AWAIT_ERROR;
    }
    PyObject *sock = ouro_frame_get(self, CONNECT_SOCK);
    if (ouro_frame_get(self, CONNECT_PATH) != Py_None) {
        if (sock != Py_None) {
            PyErr_SetString(
                PyExc_ValueError,
                "path and sock can not be specified at the same time");
            return AWAIT_ERROR;
        }
        return connect_path(st, self, ret);
    }
    if (sock == Py_None) {
        PyErr_SetString(PyExc_ValueError, "no path and sock were specified");
        return AWAIT_ERROR;
    }
    if (check_unix_socket(st, sock) < 0
        || ouro_set_nonblocking(st, sock) < 0) {
        return AWAIT_ERROR;
    }
    return connect_made(st, self, ret);
}

static await_status
connect_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    switch (self->step) {
    case STEP_START:
        return connect_start(st, self, ret);
    case STEP_CONNECTED:
        return connect_made(st, self, ret);
    default:
        *ret = Py_NewRef(self->value);
        return AWAIT_RETURN;
    }
}

static await_status
connect_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    if (self->step == STEP_CONNECTED) {
        ouro_close_socket(ouro_state_of(self->owner),
                          ouro_frame_get(self, CONNECT_SOCK));
    }
    return AWAIT_ERROR;
}

static const await_kind connect_kind = {
    .name = "create_unix_connection",
    .qualname = "_UnixSelectorEventLoop.create_unix_connection",
    .poll = connect_poll,
    .abort = connect_abort,
};

static PyObject *
loop_create_unix_connection(PyObject *loop, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "_UnixSelectorEventLoop.create_unix_connection",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"protocol_factory", "path", "ssl", "sock", "server_hostname",
                  "ssl_handshake_timeout", "ssl_shutdown_timeout"},
    };
    PyObject *stock;
    if (ouro_loop_detour(loop, "create_unix_connection", args, nargs, kwnames,
                         &stock)) {
        return stock;
    }
    PyObject *a[CONNECT_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &connect_kind, loop, a,
                          CONNECT_ARGS, CONNECT_ARGS);
}

/* ---- create_unix_server() ---------------------------------------------- */

enum {
    SERVER_FACTORY,
    SERVER_PATH,
    SERVER_SOCK,
    SERVER_BACKLOG,
    SERVER_SSL,
    SERVER_HANDSHAKE_TIMEOUT,
    SERVER_SHUTDOWN_TIMEOUT,
    SERVER_START_SERVING,
    SERVER_CLEANUP, /* 3.13+ */
    SERVER_ARGS,
};

/* The socket of a server that is no more is removed. 0 or -1. */
int
ouro_remove_stale_socket(ouro_state *st, PyObject *path)
{
    int abstract = is_abstract(path);
    if (abstract != 0) {
        return abstract < 0 ? -1 : 0;
    }
    PyObject *mode;
    if (stat_field(st, path, "st_mode", &mode) == 0) {
        long bits = PyLong_AsLong(mode);
        Py_DECREF(mode);
        if (!S_ISSOCK((mode_t)bits)) {
            return 0;
        }
        PyObject *removed = call_os(st, "remove", path);
        if (removed != NULL) {
            Py_DECREF(removed);
            return 0;
        }
    }
    /* (A directory may let us make sockets alone.) */
    return forgive(st, "Unable to check or remove stale UNIX socket %r: %r",
                   path);
}

/* The current exception is what bind() raised. */
static void
explain_bind_error(PyObject *path)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return;
    }
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *number = PyObject_GetAttrString(exception, "errno");
    if (number == NULL || !PyLong_Check(number)
        || PyLong_AsLong(number) != EADDRINUSE) {
        Py_XDECREF(number);
        PyErr_Clear();
        PyErr_SetRaisedException(exception);
        return;
    }
    PyObject *message =
        PyUnicode_FromFormat("Address %R is already in use", path);
    PyObject *error = message == NULL
                          ? NULL
                          : PyObject_CallFunctionObjArgs(PyExc_OSError, number,
                                                         message, NULL);
    if (error != NULL) {
        PyException_SetContext(error, exception);
        PyException_SetCause(error, NULL);
        PyErr_SetRaisedException(error);
    }
    else {
        Py_DECREF(exception);
    }
    Py_DECREF(number);
    Py_XDECREF(message);
}

/* A socket bound to the path (NULL: error). */
static PyObject *
bind_path(ouro_state *st, PyObject *given)
{
    PyObject *path = PyOS_FSPath(given);
    PyObject *sock = path == NULL ? NULL : unix_socket(st);
    if (sock == NULL || ouro_remove_stale_socket(st, path) < 0) {
        Py_XDECREF(path);
        Py_XDECREF(sock);
        return NULL;
    }
    PyObject *bound = PyObject_CallMethodOneArg(sock, st->str.bind, path);
    if (bound == NULL) {
        ouro_close_socket(st, sock);
        explain_bind_error(path);
        Py_CLEAR(sock);
    }
    Py_XDECREF(bound);
    Py_DECREF(path);
    return sock;
}

/* The socket that is given or made (owned). */
static PyObject *
server_socket(ouro_state *st, AwaitObject *self)
{
    PyObject *path = ouro_frame_get(self, SERVER_PATH);
    PyObject *sock = ouro_frame_get(self, SERVER_SOCK);
    if (path != Py_None && sock != Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "path and sock can not be specified at the same "
                        "time");
        return NULL;
    }
    if (path != Py_None) {
        return bind_path(st, path);
    }
    if (sock == Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "path was not specified, and no sock specified");
        return NULL;
    }
    return check_unix_socket(st, sock) < 0 ? NULL : Py_NewRef(sock);
}

static int
server_check(AwaitObject *self)
{
    PyObject *ssl = ouro_frame_get(self, SERVER_SSL);
    if (PyBool_Check(ssl)) {
        PyErr_SetString(PyExc_TypeError,
                        "ssl argument must be an SSLContext or None");
        return -1;
    }
    int some = PyObject_IsTrue(ssl);
    return some < 0 ? -1
                    : ouro_check_ssl_timeouts(
                        some, ouro_frame_get(self, SERVER_HANDSHAKE_TIMEOUT),
                        ouro_frame_get(self, SERVER_SHUTDOWN_TIMEOUT));
}

/* loop._unix_server_sockets: {socket: inode}, made when needed (owned). */
static PyObject *
server_sockets(PyObject *loop)
{
    PyObject *sockets = PyObject_GetAttrString(loop, "_unix_server_sockets");
    if (sockets != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return sockets;
    }
    PyErr_Clear();
    sockets = PyDict_New();
    if (sockets != NULL
        && PyObject_SetAttrString(loop, "_unix_server_sockets", sockets) < 0) {
        Py_CLEAR(sockets);
    }
    return sockets;
}

/* Remember the file, so that it is removed when the server is closed. */
static int
remember_path(ouro_state *st, PyObject *loop, PyObject *sock)
{
    PyObject *path = PyObject_CallMethod(sock, "getsockname", NULL);
    int abstract = path == NULL ? -1 : is_abstract(path);
    if (abstract != 0) {
        Py_XDECREF(path);
        return abstract < 0 ? -1 : 0;
    }
    PyObject *inode;
    int result = stat_field(st, path, "st_ino", &inode);
    Py_DECREF(path);
    if (result < 0) {
        if (!PyErr_ExceptionMatches(PyExc_FileNotFoundError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    PyObject *sockets = server_sockets(loop);
    result = sockets == NULL ? -1 : PyObject_SetItem(sockets, sock, inode);
    Py_XDECREF(sockets);
    Py_DECREF(inode);
    return result;
}

static await_status
server_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *sock = server_check(self) < 0 ? NULL : server_socket(st, self);
    if (sock == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *sockets = PyList_New(1);
    if (sockets == NULL) {
        Py_DECREF(sock);
        return AWAIT_ERROR;
    }
    PyList_SET_ITEM(sockets, 0, sock);
    int cleanup = PyObject_IsTrue(ouro_frame_get(self, SERVER_CLEANUP));
    *ret = NULL;
    if (cleanup >= 0 && (!cleanup || remember_path(st, self->owner, sock) == 0)
        && ouro_set_nonblocking(st, sock) == 0) {
        PyObject *args[] = {
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
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static await_status
server_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ == 0) {
        return server_start(ouro_state_of(self->owner), self, ret);
    }
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static const await_kind server_kind = {
    .name = "create_unix_server",
    .qualname = "_UnixSelectorEventLoop.create_unix_server",
    .poll = server_poll,
};

/* (cleanup_socket: from 3.13 on; before, the file stays.) */
static const ouro_signature server_signature = {
    .qualname = "_UnixSelectorEventLoop.create_unix_server",
    .skip_self = 1,
    .positional = 2,
    .required = 1,
    .names = {"protocol_factory", "path", "sock", "backlog", "ssl",
              "ssl_handshake_timeout", "ssl_shutdown_timeout", "start_serving",
              "cleanup_socket"},
};

static PyObject *
loop_create_unix_server(PyObject *loop, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    ouro_state *st = ouro_state_of(loop);
    bool cleanup = st->has.minor >= 13;
    PyObject *a[SERVER_ARGS] = {NULL};
    if (ouro_parse_versions(&server_signature, cleanup, args, nargs, kwnames,
                            a)
        < 0) {
        return NULL;
    }
    PyObject *backlog = PyLong_FromLong(100);
    if (backlog == NULL) {
        return NULL;
    }
    if (a[SERVER_BACKLOG] == NULL) {
        a[SERVER_BACKLOG] = backlog;
    }
    if (a[SERVER_START_SERVING] == NULL) {
        a[SERVER_START_SERVING] = Py_True;
    }
    if (cleanup && a[SERVER_CLEANUP] == NULL) {
        a[SERVER_CLEANUP] = Py_True;
    }
    PyObject *coroutine =
        ouro_frame_new(st, &server_kind, loop, a, SERVER_ARGS, SERVER_ARGS);
    Py_DECREF(backlog);
    return coroutine;
}

/* ---- a server's socket is closed --------------------------------------- */

/* If the file is still the one that the server made. */
static int
remove_path(ouro_state *st, PyObject *path, PyObject *inode)
{
    PyObject *now;
    if (stat_field(st, path, "st_ino", &now) == 0) {
        int same = PyObject_RichCompareBool(now, inode, Py_EQ);
        Py_DECREF(now);
        if (same <= 0) {
            return same;
        }
        PyObject *removed = call_os(st, "unlink", path);
        if (removed != NULL) {
            Py_DECREF(removed);
            return 0;
        }
    }
    return forgive(st, "Unable to clean up listening UNIX socket %r: %r",
                   path);
}

int
ouro_unix_forget(PyObject *loop, PyObject *sock, PyObject **ret_path,
                 PyObject **ret_inode)
{
    *ret_path = *ret_inode = NULL;
    PyObject *sockets;
    ouro_state *st = ouro_state_of(loop);
    if (PyObject_GetOptionalAttr(loop, st->str._unix_server_sockets, &sockets)
        < 0) {
        return -1;
    }
    if (sockets == NULL) {
        return 0;
    }
    int known = PySequence_Contains(sockets, sock);
    if (known > 0) {
        *ret_path = PyObject_CallMethod(sock, "getsockname", NULL);
        *ret_inode =
            *ret_path == NULL ? NULL : PyObject_GetItem(sockets, sock);
        if (*ret_inode == NULL || PyObject_DelItem(sockets, sock) < 0) {
            Py_CLEAR(*ret_path);
            Py_CLEAR(*ret_inode);
            known = -1;
        }
    }
    Py_DECREF(sockets);
    return known;
}

int
ouro_unix_remove(ouro_state *st, PyObject *path, PyObject *inode)
{
    int result = path == NULL ? 0 : remove_path(st, path, inode);
    Py_XDECREF(path);
    Py_XDECREF(inode);
    return result;
}

/* ---- set-up ------------------------------------------------------------ */

#define CONNECT_DOC                                                           \
    "create_unix_connection($self, protocol_factory, path=None, *, "          \
    "ssl=None, sock=None, server_hostname=None, "                             \
    "ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n--\n\n"          \
    "Connect to a Unix socket; return (transport, protocol)."

#define SERVER_DOC(more)                                                      \
    "create_unix_server($self, protocol_factory, path=None, *, sock=None, "   \
    "backlog=100, ssl=None, ssl_handshake_timeout=None, "                     \
    "ssl_shutdown_timeout=None, start_serving=True" more ")\n--\n\n"          \
    "Listen on a Unix socket; return a Server."

static const ouro_async_def async_methods[] = {
    {"create_unix_connection", loop_create_unix_connection, CONNECT_DOC},
    {"create_unix_server", loop_create_unix_server,
     SERVER_DOC(", cleanup_socket=True")},
    {NULL, NULL, NULL},
};

static const ouro_async_def async_methods_3_11[] = {
    {"create_unix_connection", loop_create_unix_connection, CONNECT_DOC},
    {"create_unix_server", loop_create_unix_server, SERVER_DOC("")},
    {NULL, NULL, NULL},
};

int
ouro_unix_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    return ouro_loop_add_async_methods(
        st, st->has.minor >= 13 ? async_methods : async_methods_3_11);
}
