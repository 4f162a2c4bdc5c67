/* datagram.c - create_datagram_endpoint().
 *
 * local and remote address -> resolved, paired by family and protocol -> the
 * first pair for which a socket can be made, bound and connected -> protocol
 * and transport.
 */
#include "base/probe.h"
#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/createserver.h"
#include "loop/dns.h"
#include "loop/fdwatch.h"
#include "loop/netops.h"
#include "loop/unix.h"
#include "task/future.h"

enum {
    ENDPOINT_FACTORY,
    ENDPOINT_LOCAL_ADDR,
    ENDPOINT_REMOTE_ADDR,
    ENDPOINT_FAMILY,
    ENDPOINT_PROTO,
    ENDPOINT_FLAGS,
    ENDPOINT_REUSE_PORT,
    ENDPOINT_BROADCAST,
    ENDPOINT_SOCK,
    ENDPOINT_ARGS,
    ENDPOINT_PAIRS = ENDPOINT_ARGS, /* a dict: (family, proto) -> [local,
                                       remote]; then the list of its items */
    ENDPOINT_EXCEPTIONS,            /* of the pairs that have failed */
    ENDPOINT_PEER,                  /* the remote address that is used */
    ENDPOINT_TRANSPORT,
    ENDPOINT_PROTOCOL,
    ENDPOINT_TOTAL,
};

enum {
    STEP_START,
    STEP_LOCAL_RESOLVED,
    STEP_REMOTE_RESOLVED,
    STEP_CONNECTED,
    STEP_MADE,
};

/* Whether an argument is given and true: 1, 0 or -1. */
static int
given(AwaitObject *self, int place)
{
    return PyObject_IsTrue(ouro_frame_get(self, place));
}

/* ---- a socket that is given -------------------------------------------- */

static int
check_type(ouro_state *st, PyObject *sock)
{
    bool not_stream = st->has.loop.datagram_socks;
    PyObject *type = PyObject_GetAttr(sock, st->str.type);
    if (type == NULL) {
        return -1;
    }
    int wrong = -1;
    PyObject *number =
        ouro_socket_attr(st, not_stream ? "SOCK_STREAM" : "SOCK_DGRAM");
    if (number != NULL) {
        wrong =
            PyObject_RichCompareBool(type, number, not_stream ? Py_EQ : Py_NE);
        Py_DECREF(number);
    }
    Py_DECREF(type);
    if (wrong > 0) {
        PyErr_Format(PyExc_ValueError,
                     not_stream ? "A datagram socket was expected, got %R"
                                : "A UDP Socket was expected, got %R",
                     sock);
    }
    return wrong == 0 ? 0 : -1;
}

/* Arguments that a given socket makes useless: "name=value, ...", or "" for
 * none. */
static PyObject *
useless_arguments(AwaitObject *self)
{
    static const char *const names[] = {
        [ENDPOINT_LOCAL_ADDR] = "local_addr",
        [ENDPOINT_REMOTE_ADDR] = "remote_addr",
        [ENDPOINT_FAMILY] = "family",
        [ENDPOINT_PROTO] = "proto",
        [ENDPOINT_FLAGS] = "flags",
        [ENDPOINT_REUSE_PORT] = "reuse_port",
        [ENDPOINT_BROADCAST] = "allow_broadcast",
    };
    PyObject *text = PyUnicode_FromString("");
    for (int i = ENDPOINT_LOCAL_ADDR; text != NULL && i <= ENDPOINT_BROADCAST;
         i++) {
        int some = given(self, i);
        if (some < 0) {
            Py_CLEAR(text);
        }
        else if (some) {
            const char *comma = PyUnicode_GetLength(text) > 0 ? ", " : "";
            Py_SETREF(text,
                      PyUnicode_FromFormat("%U%s%s=%S", text, comma, names[i],
                                           ouro_frame_get(self, i)));
        }
    }
    return text;
}

static int
use_given_socket(ouro_state *st, AwaitObject *self)
{
    PyObject *sock = ouro_frame_get(self, ENDPOINT_SOCK);
    if (check_type(st, sock) < 0) {
        return -1;
    }
    PyObject *useless = useless_arguments(self);
    if (useless == NULL) {
        return -1;
    }
    int result = -1;
    if (PyUnicode_GetLength(useless) > 0) {
        PyErr_Format(PyExc_ValueError,
                     "socket modifier keyword arguments can not be used when "
                     "sock is specified. (%U)",
                     useless);
    }
    else {
        result = ouro_set_nonblocking(st, sock);
    }
    Py_DECREF(useless);
    return result;
}

/* ---- which addresses --------------------------------------------------- */

/* The one pair that need not be resolved. */
static int
use_pair(AwaitObject *self, PyObject *local, PyObject *remote)
{
    PyObject *pairs =
        Py_BuildValue("[((OO)(OO))]", ouro_frame_get(self, ENDPOINT_FAMILY),
                      ouro_frame_get(self, ENDPOINT_PROTO), local, remote);
    if (pairs == NULL) {
        return -1;
    }
    ouro_frame_set(self, ENDPOINT_PAIRS, pairs);
    return 0;
}

static int
use_no_address(AwaitObject *self)
{
    PyObject *zero = PyLong_FromLong(0);
    int none = zero == NULL
                   ? -1
                   : PyObject_RichCompareBool(
                       ouro_frame_get(self, ENDPOINT_FAMILY), zero, Py_EQ);
    Py_XDECREF(zero);
    if (none > 0) {
        PyErr_SetString(PyExc_ValueError, "unexpected address family");
    }
    return none == 0 ? use_pair(self, Py_None, Py_None) : -1;
}

static int
use_paths(ouro_state *st, AwaitObject *self)
{
    PyObject *local = ouro_frame_get(self, ENDPOINT_LOCAL_ADDR);
    PyObject *remote = ouro_frame_get(self, ENDPOINT_REMOTE_ADDR);
    if ((local != Py_None && !PyUnicode_Check(local))
        || (remote != Py_None && !PyUnicode_Check(remote))) {
        PyErr_SetString(PyExc_TypeError, "string is expected");
        return -1;
    }
    int bind = PyObject_IsTrue(local);
    if (bind < 0 || (bind && ouro_remove_stale_socket(st, local) < 0)) {
        return -1;
    }
    return use_pair(self, local, remote);
}

/* family == socket.AF_UNIX: 1, 0 or -1. */
static int
is_unix(ouro_state *st, AwaitObject *self)
{
    PyObject *family = ouro_socket_attr(st, "AF_UNIX");
    if (family == NULL) {
        return -1;
    }
    int same = PyObject_RichCompareBool(ouro_frame_get(self, ENDPOINT_FAMILY),
                                        family, Py_EQ);
    Py_DECREF(family);
    return same;
}

/* pairs[family, proto][place] = the address of one of what getaddrinfo() has
 * returned. */
static int
add_address(PyObject *pairs, PyObject *info, Py_ssize_t place)
{
    PyObject *tuple = PySequence_Tuple(info);
    PyObject *family, *type, *proto, *name, *address;
    PyObject *key = NULL, *empty = NULL;
    int result = -1;
    if (tuple == NULL
        || !PyArg_ParseTuple(tuple, "OOOOO", &family, &type, &proto, &name,
                             &address)) {
        goto done;
    }
    key = PyTuple_Pack(2, family, proto);
    empty = key == NULL ? NULL : Py_BuildValue("[OO]", Py_None, Py_None);
    if (empty != NULL) {
        PyObject *pair = PyDict_SetDefault(pairs, key, empty);
        if (pair != NULL) {
            result = PyList_SetItem(pair, place, Py_NewRef(address));
        }
    }
done:
    Py_XDECREF(tuple);
    Py_XDECREF(key);
    Py_XDECREF(empty);
    return result;
}

/* What has been resolved of the local (0) or the remote address (1). */
static int
take_infos(AwaitObject *self, Py_ssize_t place)
{
    int some = PyObject_IsTrue(self->value);
    if (some == 0) {
        PyErr_SetString(PyExc_OSError, "getaddrinfo() returned empty list");
    }
    PyObject *infos = some > 0 ? PySequence_List(self->value) : NULL;
    if (infos == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(infos); i++) {
        result = add_address(ouro_frame_get(self, ENDPOINT_PAIRS),
                             PyList_GET_ITEM(infos, i), place);
    }
    Py_DECREF(infos);
    return result;
}

/* Whether a pair has each address that is wanted: 1, 0 or -1. */
static int
is_complete(AwaitObject *self, PyObject *pair)
{
    for (Py_ssize_t i = 0; i < 2; i++) {
        int wanted = given(self, ENDPOINT_LOCAL_ADDR + (int)i);
        if (wanted < 0) {
            return -1;
        }
        if (wanted && PyList_GET_ITEM(pair, i) == Py_None) {
            return 0;
        }
    }
    return 1;
}

/* All is resolved: the pairs in a list. 0 or -1. */
static int
choose_pairs(AwaitObject *self)
{
    PyObject *pairs = PyDict_Items(ouro_frame_get(self, ENDPOINT_PAIRS));
    Py_ssize_t i = 0;
    while (pairs != NULL && i < PyList_GET_SIZE(pairs)) {
        PyObject *pair = PyTuple_GET_ITEM(PyList_GET_ITEM(pairs, i), 1);
        int complete = is_complete(self, pair);
        if (complete < 0
            || (complete == 0 && PyList_SetSlice(pairs, i, i + 1, NULL) < 0)) {
            Py_CLEAR(pairs);
        }
        i += complete;
    }
    if (pairs == NULL) {
        return -1;
    }
    ouro_frame_set(self, ENDPOINT_PAIRS, pairs);
    if (PyList_GET_SIZE(pairs) == 0) {
        PyErr_SetString(PyExc_ValueError, "can not get address information");
        return -1;
    }
    return 0;
}

/* ---- sockets ----------------------------------------------------------- */

/* Options and the local address of a new socket. 0 or -1. */
static int
prepare_socket(ouro_state *st, AwaitObject *self, PyObject *sock,
               PyObject *local)
{
    int reuse = given(self, ENDPOINT_REUSE_PORT);
    int broadcast = given(self, ENDPOINT_BROADCAST);
    int bind = given(self, ENDPOINT_LOCAL_ADDR);
    if (reuse < 0 || broadcast < 0 || bind < 0
        || (reuse && ouro_set_reuseport(st, sock) < 0)) {
        return -1;
    }
    if (broadcast) {
        PyObject *level = ouro_socket_attr(st, "SOL_SOCKET");
        PyObject *option =
            level == NULL ? NULL : ouro_socket_attr(st, "SO_BROADCAST");
        PyObject *done = option == NULL
                             ? NULL
                             : PyObject_CallMethod(sock, "setsockopt", "OOi",
                                                   level, option, 1);
        Py_XDECREF(level);
        Py_XDECREF(option);
        Py_XDECREF(done);
        if (done == NULL) {
            return -1;
        }
    }
    if (ouro_set_nonblocking(st, sock) < 0) {
        return -1;
    }
    if (bind) {
        PyObject *bound = PyObject_CallMethodOneArg(sock, st->str.bind, local);
        Py_XDECREF(bound);
        return bound == NULL ? -1 : 0;
    }
    return 0;
}

/* A socket for a pair.  RETURN: it is ready; DELEGATE: to connecting it. */
static await_status
try_pair(ouro_state *st, AwaitObject *self, PyObject *item, PyObject **ret)
{
    PyObject *key = PyTuple_GET_ITEM(item, 0);
    PyObject *addresses = PySequence_Tuple(PyTuple_GET_ITEM(item, 1));
    PyObject *dgram =
        addresses == NULL ? NULL : ouro_socket_attr(st, "SOCK_DGRAM");
    PyObject *sock = NULL;
    await_status status = AWAIT_ERROR;
    if (dgram == NULL) {
        goto done;
    }
    sock = ouro_call_keywords(st->stock.socket_module, st->str.socket,
                              PyTuple_New(0), "family",
                              PyTuple_GET_ITEM(key, 0), "type", dgram, "proto",
                              PyTuple_GET_ITEM(key, 1), NULL);
    if (sock == NULL) {
        goto done;
    }
    ouro_frame_set(self, ENDPOINT_SOCK, sock); /* (takes it over) */
    if (prepare_socket(st, self, sock, PyTuple_GET_ITEM(addresses, 0)) < 0) {
        goto done;
    }
    PyObject *remote = PyTuple_GET_ITEM(addresses, 1);
    int connect = given(self, ENDPOINT_REMOTE_ADDR);
    int broadcast = given(self, ENDPOINT_BROADCAST);
    if (connect < 0 || broadcast < 0) {
        goto done;
    }
    status = AWAIT_RETURN;
    if (connect) {
        ouro_frame_set(self, ENDPOINT_PEER, Py_NewRef(remote));
        if (!broadcast) {
            *ret = ouro_sock_connect(st, self->owner, sock, remote);
            status = *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
        }
    }
done:
    Py_XDECREF(addresses);
    Py_XDECREF(dgram);
    return status;
}

/* The current exception is of the last socket: close that.  0: an OSError,
 * noted, the next pair may do; -1: raise. */
static int
pair_failed(ouro_state *st, AwaitObject *self)
{
    if (ouro_frame_get(self, ENDPOINT_SOCK) != Py_None) {
        ouro_close_socket(st, ouro_frame_get(self, ENDPOINT_SOCK));
        ouro_frame_set(self, ENDPOINT_SOCK, Py_NewRef(Py_None));
    }
    ouro_frame_set(self, ENDPOINT_PEER, Py_NewRef(Py_None));
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return -1;
    }
    PyObject *exception = PyErr_GetRaisedException();
    int result =
        PyList_Append(ouro_frame_get(self, ENDPOINT_EXCEPTIONS), exception);
    Py_DECREF(exception);
    return result;
}

/* ---- protocol and transport -------------------------------------------- */

static await_status
make_endpoint(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    self->step = STEP_MADE;
    PyObject *protocol =
        PyObject_CallNoArgs(ouro_frame_get(self, ENDPOINT_FACTORY));
    if (protocol == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, ENDPOINT_PROTOCOL, protocol);
    PyObject *waiter = ouro_create_future(st, self->owner);
    if (waiter == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *transport = PyObject_CallMethodObjArgs(
        self->owner, st->str._make_datagram_transport,
        ouro_frame_get(self, ENDPOINT_SOCK), protocol,
        ouro_frame_get(self, ENDPOINT_PEER), waiter, NULL);
    if (transport == NULL) {
        Py_DECREF(waiter);
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, ENDPOINT_TRANSPORT, transport);
    if (((LoopCore *)self->owner)->debug) {
        PyObject *remote = ouro_frame_get(self, ENDPOINT_REMOTE_ADDR);
        int bound = given(self, ENDPOINT_LOCAL_ADDR);
        int logged =
            bound < 0 ? -1
            : bound   ? ouro_loop_log(st, "info", "(sOOOO)",
                                      "Datagram endpoint local_addr=%r "
                                        "remote_addr=%r created: (%r, %r)",
                                      ouro_frame_get(self, ENDPOINT_LOCAL_ADDR),
                                      remote, transport, protocol)
                      : ouro_loop_log(st, "debug", "(sOOO)",
                                      "Datagram endpoint remote_addr=%r "
                                        "created: (%r, %r)",
                                      remote, transport, protocol);
        if (logged < 0) {
            Py_DECREF(waiter);
            return AWAIT_ERROR;
        }
    }
    *ret = waiter;
    return AWAIT_DELEGATE;
}

/* The next pair, until one will do. */
static await_status
next_pair(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *pairs = ouro_frame_get(self, ENDPOINT_PAIRS);
    self->step = STEP_CONNECTED;
    while (self->n < PyList_GET_SIZE(pairs)) {
        await_status status =
            try_pair(st, self, PyList_GET_ITEM(pairs, self->n++), ret);
        if (status == AWAIT_RETURN) {
            return make_endpoint(st, self, ret);
        }
        if (status != AWAIT_ERROR) {
            return status;
        }
        if (pair_failed(st, self) < 0) {
            return AWAIT_ERROR;
        }
    }
    PyObject *first =
        PyList_GetItem(ouro_frame_get(self, ENDPOINT_EXCEPTIONS), 0);
    if (first != NULL) {
        ouro_raise(first);
        /* (Its traceback must not hold what holds it.) */
        ouro_frame_set(self, ENDPOINT_EXCEPTIONS, Py_NewRef(Py_None));
    }
    return AWAIT_ERROR;
}

/* ---- the coroutine ----------------------------------------------------- */

/* Delegate to the resolution of the local (0) or the remote address (1). */
static await_status
resolve(ouro_state *st, AwaitObject *self, int which, PyObject **ret)
{
    PyObject *address = ouro_frame_get(self, ENDPOINT_LOCAL_ADDR + which);
    if (!PyTuple_Check(address) || PyTuple_GET_SIZE(address) != 2) {
        PyErr_SetString(PyExc_TypeError, "2-tuple is expected");
        return AWAIT_ERROR;
    }
    PyObject *dgram = ouro_socket_attr(st, "SOCK_DGRAM");
    if (dgram == NULL) {
        return AWAIT_ERROR;
    }
    *ret = ouro_ensure_resolved(st, self->owner, address,
                                ouro_frame_get(self, ENDPOINT_FAMILY), dgram,
                                ouro_frame_get(self, ENDPOINT_PROTO),
                                ouro_frame_get(self, ENDPOINT_FLAGS));
    Py_DECREF(dgram);
    self->step = STEP_LOCAL_RESOLVED + which;
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* Resolve what is given from address `which` on. */
static await_status
resolve_from(ouro_state *st, AwaitObject *self, int which, PyObject **ret)
{
    for (; which < 2; which++) {
        if (ouro_frame_get(self, ENDPOINT_LOCAL_ADDR + which) != Py_None) {
            return resolve(st, self, which, ret);
        }
    }
    return choose_pairs(self) < 0 ? AWAIT_ERROR : next_pair(st, self, ret);
}

static await_status
endpoint_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    if (ouro_frame_get(self, ENDPOINT_SOCK) != Py_None) {
        return use_given_socket(st, self) < 0 ? AWAIT_ERROR
                                              : make_endpoint(st, self, ret);
    }
    PyObject *exceptions = PyList_New(0);
    if (exceptions == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, ENDPOINT_EXCEPTIONS, exceptions);
    int local = given(self, ENDPOINT_LOCAL_ADDR);
    int remote = local != 0 ? local : given(self, ENDPOINT_REMOTE_ADDR);
    int paths = remote <= 0 ? remote : is_unix(st, self);
    if (local < 0 || remote < 0 || paths < 0) {
        return AWAIT_ERROR;
    }
    if (!local && !remote) {
        return use_no_address(self) < 0 ? AWAIT_ERROR
                                        : next_pair(st, self, ret);
    }
    if (paths) {
        return use_paths(st, self) < 0 ? AWAIT_ERROR
                                       : next_pair(st, self, ret);
    }
    PyObject *pairs = PyDict_New();
    if (pairs == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, ENDPOINT_PAIRS, pairs);
    return resolve_from(st, self, 0, ret);
}

static await_status
endpoint_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    int resolved = self->step - STEP_LOCAL_RESOLVED;
    switch (self->step) {
    case STEP_START:
        return endpoint_start(st, self, ret);
    case STEP_LOCAL_RESOLVED:
    case STEP_REMOTE_RESOLVED:
        return take_infos(self, resolved) < 0
                   ? AWAIT_ERROR
                   : resolve_from(st, self, resolved + 1, ret);
    case STEP_CONNECTED:
        return make_endpoint(st, self, ret);
    default:
        *ret = PyTuple_Pack(2, ouro_frame_get(self, ENDPOINT_TRANSPORT),
                            ouro_frame_get(self, ENDPOINT_PROTOCOL));
        return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
}

static await_status
endpoint_abort(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step == STEP_CONNECTED) {
        return pair_failed(st, self) < 0 ? AWAIT_ERROR
                                         : next_pair(st, self, ret);
    }
    if (self->step == STEP_MADE) {
        ouro_close_socket(st, ouro_frame_get(self, ENDPOINT_TRANSPORT));
    }
    return AWAIT_ERROR;
}

static const await_kind endpoint_kind = {
    .name = "create_datagram_endpoint",
    .qualname = "BaseEventLoop.create_datagram_endpoint",
    .poll = endpoint_poll,
    .abort = endpoint_abort,
};

static PyObject *
loop_create_datagram_endpoint(PyObject *loop, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.create_datagram_endpoint",
        .skip_self = 1,
        .positional = 3,
        .required = 1,
        .names = {"protocol_factory", "local_addr", "remote_addr", "family",
                  "proto", "flags", "reuse_port", "allow_broadcast", "sock"},
    };
    PyObject *a[ENDPOINT_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL) {
        return NULL;
    }
    for (int i = ENDPOINT_FAMILY; i <= ENDPOINT_FLAGS; i++) {
        a[i] = a[i] == NULL ? zero : a[i];
    }
    PyObject *coroutine =
        ouro_frame_new(ouro_state_of(loop), &endpoint_kind, loop, a,
                       ENDPOINT_ARGS, ENDPOINT_TOTAL);
    Py_DECREF(zero);
    return coroutine;
}

/* ---- _make_datagram_transport() ---------------------------------------- */

static PyObject *
loop_make_datagram_transport(PyObject *loop, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseSelectorEventLoop._make_datagram_transport",
        .skip_self = 1,
        .positional = 5,
        .required = 2,
        .names = {"sock", "protocol", "address", "waiter", "extra"},
    };
    PyObject *a[5];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(loop);
    if (st->has.minor >= 12
        && ouro_fd_ensure_free((LoopObject *)loop, a[0]) < 0) {
        return NULL;
    }
    return st->net->make_datagram(st, loop, a[0], a[1],
                                  a[2] == Py_None ? NULL : a[2], a[3],
                                  a[4] == Py_None ? NULL : a[4]);
}

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    OURO_METHOD("_make_datagram_transport", loop_make_datagram_transport,
                NULL),
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"create_datagram_endpoint", loop_create_datagram_endpoint,
     "create_datagram_endpoint($self, protocol_factory, local_addr=None, "
     "remote_addr=None, *, family=0, proto=0, flags=0, reuse_port=None, "
     "allow_broadcast=None, sock=None)\n--\n\n"
     "Make a socket for datagrams; return (transport, protocol)."},
    {NULL, NULL, NULL},
};

static void
find_features(ouro_state *st)
{
    ouro_loop_features *has = &st->has.loop;
    has->datagram_socks =
        ouro_probe("asyncio.base_events",
                   "BaseEventLoop.create_datagram_endpoint", "SOCK_STREAM");
    has->empty_datagrams = st->has.minor >= 13;
    has->datagram_header = st->has.minor >= 13 ? 8 : 0;
}

int
ouro_datagram_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    find_features(st);
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
