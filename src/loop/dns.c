/* dns.c - names to addresses: getaddrinfo(), getnameinfo(), and literal
 * addresses without either.
 *
 * The functions of the socket module are looked up on each use: a program
 * may have replaced them.
 */
#include "loop/dns.h"

#include <string.h>

#include "base/rooms.h"
#include "loop/executor.h"
#include "loop/frame.h"
#include "loop/loop.h"
#include "sys/address.h"
#include "sys/sock.h"

PyObject *
ouro_socket_attr(ouro_state *st, const char *name)
{
    if (PyErr_Occurred()) {
        return NULL; /* so that several can be asked for, and then checked */
    }
    return PyObject_GetAttrString(st->stock.socket_module, name);
}

/* ---- literal addresses: _ipaddr_info() --------------------------------- */

enum { PROTO_UDP = 17 };

/* A number, or -1 for what is none or too large. */
static int
number_or_minus(PyObject *object)
{
    if (!PyLong_Check(object)) {
        return -1;
    }
    int number = PyLong_AsInt(object);
    if (number == -1) {
        PyErr_Clear();
    }
    return number;
}

/* The port as asyncio takes it: a new int; None if it is a service's name. */
static PyObject *
literal_port(PyObject *port)
{
    if (port == Py_None || (PyBytes_Check(port) && PyBytes_Size(port) == 0)
        || (PyUnicode_Check(port) && PyUnicode_GetLength(port) == 0)) {
        return PyLong_FromLong(0);
    }
    /* int(port) */
    PyObject *number = PyObject_CallOneArg((PyObject *)&PyLong_Type, port);
    if (number == NULL
        && (PyErr_ExceptionMatches(PyExc_TypeError)
            || PyErr_ExceptionMatches(PyExc_ValueError))) {
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return number;
}

/* The host as str (owned); None if it is no literal for certain. */
static PyObject *
literal_host(PyObject *host)
{
    host = PyBytes_Check(host)
               ? PyObject_CallMethod(host, "decode", "s", "idna")
               : Py_NewRef(host);
    PyObject *zone = host == NULL ? NULL : PyUnicode_FromString("%");
    /* inet_pton() takes no zone, as in "::1%lo0". */
    int zoned = zone == NULL ? -1 : PySequence_Contains(host, zone);
    Py_XDECREF(zone);
    if (zoned < 0 || zoned > 0 || !PyUnicode_Check(host)) {
        Py_XDECREF(host);
        return ouro_none_or_error(zoned);
    }
    return host;
}

/* The family (owned: as given, or the socket module's constant) in which host
 * is a literal; None: in none. */
static PyObject *
literal_family(ouro_state *st, const char *host, PyObject *family)
{
    int number = number_or_minus(family);
    if (number == AF_UNSPEC) {
        if (ou_address_literal(AF_INET, host)) {
            return ouro_socket_attr(st, "AF_INET");
        }
        if (ou_address_literal(AF_INET6, host)) {
            return ouro_socket_attr(st, "AF_INET6");
        }
    }
    else if (number > 0 && ou_address_literal(number, host)) {
        return Py_NewRef(family);
    }
    return Py_NewRef(Py_None);
}

static PyObject *
literal_info(ouro_state *st, PyObject *host, PyObject *port, PyObject *family,
             PyObject *type, PyObject *proto, PyObject *flow, PyObject *scope)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(host, &size);
    if (text == NULL) {
        PyErr_Clear(); /* lone surrogates: no address */
        return Py_NewRef(Py_None);
    }
    if (strlen(text) != (size_t)size) {
        PyErr_SetString(PyExc_ValueError, "embedded null character");
        return NULL;
    }
    PyObject *found = literal_family(st, text, family);
    PyObject *number = NULL, *result = NULL;
    if (found == NULL || found == Py_None) {
        return found;
    }
    number = literal_port(port);
    if (number == NULL || number == Py_None) {
        Py_DECREF(found);
        return number;
    }
    if (number_or_minus(found) == AF_INET6) {
        result = Py_BuildValue("OOOs(OOOO)", found, type, proto, "", host,
                               number, flow, scope);
    }
    else {
        result =
            Py_BuildValue("OOOs(OO)", found, type, proto, "", host, number);
    }
    Py_DECREF(found);
    Py_DECREF(number);
    return result;
}

/* base_events._ipaddr_info(): the information about an address that need not
 * be resolved, or None. */
static PyObject *
ipaddr_info(ouro_state *st, PyObject *host, PyObject *port, PyObject *family,
            PyObject *type, PyObject *proto, PyObject *flow, PyObject *scope)
{
    int proto_number = number_or_minus(proto);
    int type_number = number_or_minus(type);
    if ((proto_number != 0 && proto_number != OU_PROTO_TCP
         && proto_number != PROTO_UDP)
        || host == Py_None
        || (type_number != SOCK_STREAM && type_number != SOCK_DGRAM)) {
        return Py_NewRef(Py_None);
    }
    PyObject *literal = literal_host(host);
    if (literal == NULL || literal == Py_None) {
        return literal;
    }
    PyObject *used = ouro_socket_attr(
        st, type_number == SOCK_STREAM ? "IPPROTO_TCP" : "IPPROTO_UDP");
    PyObject *result = NULL;
    if (used != NULL) {
        result =
            literal_info(st, literal, port, family, type, used, flow, scope);
        Py_DECREF(used);
    }
    Py_DECREF(literal);
    return result;
}

/* ---- _ensure_resolved() ------------------------------------------------ */

enum {
    RESOLVE_ADDRESS,
    RESOLVE_FAMILY,
    RESOLVE_TYPE,
    RESOLVE_PROTO,
    RESOLVE_FLAGS,
    RESOLVE_LOOP,
    RESOLVE_ARGS,
};

/* address[i], or a new 0 behind the end. */
static PyObject *
address_item(PyObject *address, Py_ssize_t i)
{
    return i < PyTuple_GET_SIZE(address)
               ? Py_NewRef(PyTuple_GET_ITEM(address, i))
               : PyLong_FromLong(0);
}

/* [info] of a literal address; None: it must be resolved. */
static PyObject *
resolve_literal(ouro_state *st, AwaitObject *self, PyObject *address)
{
    PyObject *flow = address_item(address, 2);
    PyObject *scope = address_item(address, 3);
    PyObject *info = NULL, *list = NULL;
    if (flow != NULL && scope != NULL) {
        info = ipaddr_info(st, PyTuple_GET_ITEM(address, 0),
                           PyTuple_GET_ITEM(address, 1),
                           ouro_frame_get(self, RESOLVE_FAMILY),
                           ouro_frame_get(self, RESOLVE_TYPE),
                           ouro_frame_get(self, RESOLVE_PROTO), flow, scope);
    }
    Py_XDECREF(flow);
    Py_XDECREF(scope);
    if (info == NULL || info == Py_None) {
        return info;
    }
    list = PyList_New(1);
    if (list == NULL) {
        Py_DECREF(info);
        return NULL;
    }
    PyList_SET_ITEM(list, 0, info);
    return list;
}

/* The address as a tuple of two to four. */
static PyObject *
resolve_address(PyObject *address)
{
    /* (address[:2] is what asyncio takes, and what may fail.) */
    PyObject *all = PySlice_New(NULL, NULL, NULL);
    PyObject *slice = all == NULL ? NULL : PyObject_GetItem(address, all);
    PyObject *tuple = slice == NULL ? NULL : PySequence_Tuple(slice);
    Py_XDECREF(all);
    Py_XDECREF(slice);
    if (tuple == NULL) {
        return NULL;
    }
    Py_ssize_t size = PyTuple_GET_SIZE(tuple);
    if (size < 2) {
        PyErr_Format(PyExc_ValueError,
                     "not enough values to unpack (expected 2, got %zd)",
                     size);
    }
    else if (size > 4) {
        PyErr_Format(PyExc_TypeError,
                     "_ipaddr_info() takes from 5 to 7 positional arguments "
                     "but %zd were given",
                     size + 3);
    }
    else {
        return tuple;
    }
    Py_DECREF(tuple);
    return NULL;
}

static await_status
resolve_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ > 0) {
        *ret = Py_NewRef(self->value);
        return AWAIT_RETURN;
    }
    ouro_state *st = ouro_state_of(self->owner);
    PyObject *address = resolve_address(ouro_frame_get(self, RESOLVE_ADDRESS));
    if (address == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *infos = resolve_literal(st, self, address);
    if (infos == NULL || infos != Py_None) {
        Py_DECREF(address);
        *ret = infos;
        return infos == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
    Py_DECREF(infos);
    *ret = ouro_call_keywords(ouro_frame_get(self, RESOLVE_LOOP),
                              st->str.getaddrinfo,
                              PyTuple_GetSlice(address, 0, 2), "family",
                              ouro_frame_get(self, RESOLVE_FAMILY), "type",
                              ouro_frame_get(self, RESOLVE_TYPE), "proto",
                              ouro_frame_get(self, RESOLVE_PROTO), "flags",
                              ouro_frame_get(self, RESOLVE_FLAGS), NULL);
    Py_DECREF(address);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static const await_kind resolve_kind = {
    .name = "_ensure_resolved",
    .qualname = "BaseEventLoop._ensure_resolved",
    .poll = resolve_poll,
};

static PyObject *
loop_ensure_resolved(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._ensure_resolved",
        .skip_self = 1,
        .positional = 1,
        .required = 1,
        .names = {"address", "family", "type", "proto", "flags", "loop"},
    };
    PyObject *a[RESOLVE_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(loop);
    PyObject *zero = PyLong_FromLong(0);
    PyObject *stream = ouro_socket_attr(st, "SOCK_STREAM");
    PyObject *coroutine = NULL;
    if (zero != NULL && stream != NULL) {
        for (int i = RESOLVE_FAMILY; i < RESOLVE_LOOP; i++) {
            if (a[i] == NULL) {
                a[i] = i == RESOLVE_TYPE ? stream : zero;
            }
        }
        if (a[RESOLVE_LOOP] == NULL) {
            a[RESOLVE_LOOP] = loop;
        }
        coroutine = ouro_frame_new(st, &resolve_kind, loop, a, RESOLVE_ARGS,
                                   RESOLVE_ARGS);
    }
    Py_XDECREF(zero);
    Py_XDECREF(stream);
    return coroutine;
}

PyObject *
ouro_ensure_resolved(ouro_state *st, PyObject *loop, PyObject *address,
                     PyObject *family, PyObject *type, PyObject *proto,
                     PyObject *flags)
{
    PyObject *a[RESOLVE_ARGS] = {address, family, type, proto, flags, loop};
    if (ouro_loop_plain((LoopObject *)loop)) {
        return ouro_frame_new(st, &resolve_kind, loop, a, RESOLVE_ARGS,
                              RESOLVE_ARGS);
    }
    return ouro_call_keywords(loop, st->str._ensure_resolved,
                              PyTuple_Pack(1, address), "family", family,
                              "type", type, "proto", proto, "flags", flags,
                              "loop", loop, NULL);
}

/* ---- answers without a thread ------------------------------------------ */

/* A thread is for what may block.  Where a program would notice that there is
 * none, there is one. */
static bool
may_answer_at_once(LoopObject *loop)
{
    return ouro_loop_plain(loop) && !loop->core.debug
           && !loop->executor_shutdown && !ouro_has_executor(loop);
}

/* Whether the function is the socket module's own, in Python. */
static bool
is_of_socket(ouro_state *st, PyObject *function)
{
    return PyFunction_Check(function)
           && PyFunction_GET_GLOBALS(function)
                  == PyModule_GetDict(st->stock.socket_module);
}

/* A port that needs no look at the names of services. */
static bool
is_port_number(PyObject *port)
{
    return port == Py_None || PyLong_CheckExact(port);
}

static bool
is_literal_host(PyObject *host)
{
    if (!PyUnicode_CheckExact(host) || !PyUnicode_IS_ASCII(host)) {
        return false;
    }
    const char *text = PyUnicode_DATA(host);
    return ou_address_literal(AF_INET, text)
           || ou_address_literal(AF_INET6, text);
}

/* ---- getaddrinfo() ----------------------------------------------------- */

enum {
    INFO_HOST,
    INFO_PORT,
    INFO_FAMILY,
    INFO_TYPE,
    INFO_PROTO,
    INFO_FLAGS,
    INFO_ARGS,
};

/* Return what the delegate returned. */
static await_status
return_value(AwaitObject *self, PyObject **ret)
{
    *ret = Py_NewRef(self->value);
    return AWAIT_RETURN;
}

static await_status
getaddrinfo_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ > 0) {
        return return_value(self, ret);
    }
    ouro_state *st = ouro_state_of(self->owner);
    PyObject *function =
        ((LoopCore *)self->owner)->debug
            ? PyObject_GetAttrString(self->owner, "_getaddrinfo_debug")
            : ouro_socket_attr(st, "getaddrinfo");
    if (function == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *args[3 + INFO_ARGS] = {self->owner, Py_None, function};
    for (int i = 0; i < INFO_ARGS; i++) {
        args[3 + i] = ouro_frame_get(self, i);
    }
    bool at_once = may_answer_at_once((LoopObject *)self->owner)
                   && is_of_socket(st, function)
                   && is_literal_host(args[3 + INFO_HOST])
                   && is_port_number(args[3 + INFO_PORT]);
    *ret = at_once ? PyObject_Vectorcall(function, args + 3, INFO_ARGS, NULL)
                   : PyObject_VectorcallMethod(st->str.run_in_executor, args,
                                               3 + INFO_ARGS, NULL);
    Py_DECREF(function);
    if (*ret == NULL) {
        return AWAIT_ERROR;
    }
    return at_once ? AWAIT_RETURN : AWAIT_DELEGATE;
}

static const await_kind getaddrinfo_kind = {
    .name = "getaddrinfo",
    .qualname = "BaseEventLoop.getaddrinfo",
    .poll = getaddrinfo_poll,
};

static PyObject *
loop_getaddrinfo(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.getaddrinfo",
        .skip_self = 1,
        .positional = 2,
        .required = 2,
        .names = {"host", "port", "family", "type", "proto", "flags"},
    };
    PyObject *a[INFO_ARGS];
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL || ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        Py_XDECREF(zero);
        return NULL;
    }
    for (int i = INFO_FAMILY; i < INFO_ARGS; i++) {
        a[i] = a[i] == NULL ? zero : a[i];
    }
    PyObject *coroutine = ouro_frame_new(
        ouro_state_of(loop), &getaddrinfo_kind, loop, a, INFO_ARGS, INFO_ARGS);
    Py_DECREF(zero);
    return coroutine;
}

/* "host:port, family=..., ..." */
static PyObject *
debug_question(PyObject *const *a)
{
    static const char *const names[INFO_ARGS] = {NULL,   NULL,    "family",
                                                 "type", "proto", "flags"};
    PyObject *text = PyUnicode_FromFormat("%S:%R", a[INFO_HOST], a[INFO_PORT]);
    for (int i = INFO_FAMILY; text != NULL && i < INFO_ARGS; i++) {
        int given = PyObject_IsTrue(a[i]);
        if (given < 0) {
            Py_CLEAR(text);
        }
        else if (given) {
            Py_SETREF(text,
                      PyUnicode_FromFormat("%U, %s=%R", text, names[i], a[i]));
        }
    }
    return text;
}

/* "Getting address info ... took ...ms: ..." */
static PyObject *
debug_answer(PyObject *question, double seconds, PyObject *infos)
{
    char took[64];
    PyOS_snprintf(took, sizeof(took), "%.3f", seconds * 1e3);
    return PyUnicode_FromFormat("Getting address info %U took %sms: %R",
                                question, took, infos);
}

static PyObject *
loop_getaddrinfo_debug(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._getaddrinfo_debug",
        .skip_self = 1,
        .positional = INFO_ARGS,
        .required = INFO_ARGS,
        .names = {"host", "port", "family", "type", "proto", "flags"},
    };
    PyObject *a[INFO_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    ouro_state *st = ouro_state_of(loop);
    LoopObject *self = (LoopObject *)loop;
    PyObject *question = debug_question(a);
    PyObject *function = ouro_socket_attr(st, "getaddrinfo");
    PyObject *infos = NULL, *answer = NULL;
    if (question == NULL || function == NULL
        || ouro_loop_log(st, "debug", "(sO)", "Get address info %s", question)
               < 0) {
        goto done;
    }
    double start = ouro_loop_seconds(self);
    infos = start == -1.0 && PyErr_Occurred()
                ? NULL
                : PyObject_Vectorcall(function, a, INFO_ARGS, NULL);
    if (infos == NULL) {
        goto done;
    }
    double took = ouro_loop_seconds(self) - start;
    answer = debug_answer(question, took, infos);
    double limit = PyFloat_AsDouble(self->slow_callback_duration);
    if (answer == NULL || PyErr_Occurred()
        || ouro_loop_log(st, took >= limit ? "info" : "debug", "(O)", answer)
               < 0) {
        Py_CLEAR(infos);
    }
done:
    Py_XDECREF(question);
    Py_XDECREF(function);
    Py_XDECREF(answer);
    return infos;
}

/* ---- getnameinfo() ----------------------------------------------------- */

static await_status
getnameinfo_poll(AwaitObject *self, PyObject **ret)
{
    if (self->step++ > 0) {
        return return_value(self, ret);
    }
    ouro_state *st = ouro_state_of(self->owner);
    PyObject *function = ouro_socket_attr(st, "getnameinfo");
    if (function == NULL) {
        return AWAIT_ERROR;
    }
    PyObject *sockaddr = ouro_frame_get(self, 0);
    PyObject *flags = ouro_frame_get(self, 1);
    bool at_once = may_answer_at_once((LoopObject *)self->owner)
                   && PyCFunction_Check(function)
                   && PyTuple_CheckExact(sockaddr)
                   && PyTuple_GET_SIZE(sockaddr) > 0
                   && is_literal_host(PyTuple_GET_ITEM(sockaddr, 0))
                   && ou_address_numbers_only(number_or_minus(flags));
    *ret = at_once
               ? PyObject_CallFunctionObjArgs(function, sockaddr, flags, NULL)
               : PyObject_CallMethodObjArgs(self->owner,
                                            st->str.run_in_executor, Py_None,
                                            function, sockaddr, flags, NULL);
    Py_DECREF(function);
    if (*ret == NULL) {
        return AWAIT_ERROR;
    }
    return at_once ? AWAIT_RETURN : AWAIT_DELEGATE;
}

static const await_kind getnameinfo_kind = {
    .name = "getnameinfo",
    .qualname = "BaseEventLoop.getnameinfo",
    .poll = getnameinfo_poll,
};

static PyObject *
loop_getnameinfo(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop.getnameinfo",
        .skip_self = 1,
        .positional = 2,
        .required = 1,
        .names = {"sockaddr", "flags"},
    };
    PyObject *a[2];
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL || ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        Py_XDECREF(zero);
        return NULL;
    }
    a[1] = a[1] == NULL ? zero : a[1];
    PyObject *coroutine =
        ouro_frame_new(ouro_state_of(loop), &getnameinfo_kind, loop, a, 2, 2);
    Py_DECREF(zero);
    return coroutine;
}

/* ---- set-up ------------------------------------------------------------ */

static PyMethodDef methods[] = {
    OURO_METHOD("_getaddrinfo_debug", loop_getaddrinfo_debug, NULL),
    {NULL},
};

static const ouro_async_def async_methods[] = {
    {"getaddrinfo", loop_getaddrinfo,
     "getaddrinfo($self, host, port, *, family=0, type=0, proto=0, flags=0)"
     "\n--\n\n"
     "socket.getaddrinfo() in the default executor."},
    {"getnameinfo", loop_getnameinfo,
     "getnameinfo($self, sockaddr, flags=0)\n--\n\n"
     "socket.getnameinfo() in the default executor."},
    {"_ensure_resolved", loop_ensure_resolved, NULL},
    {NULL, NULL, NULL},
};

int
ouro_dns_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return ouro_loop_add_async_methods(st, async_methods);
}
