/* connectsock.c - one connected socket out of several addresses.
 *
 * One after the other, or by happy eyeballs: the next address is tried when
 * the last one has failed or has not answered for a while.  What each has
 * failed of is collected, and told if all have failed.
 */
#include "loop/connectsock.h"

#include "base/rooms.h"
#include "loop/connect.h"
#include "loop/loop.h"

/* ---- _connect_sock(): one address -------------------------------------- */

enum {
    SOCK_EXCEPTIONS, /* list of lists, the caller's */
    SOCK_INFO,
    SOCK_LOCAL_INFOS,
    SOCK_ARGS,
    SOCK_MINE = SOCK_ARGS, /* the list of this attempt */
    SOCK_SOCK,
    SOCK_TOTAL,
};

/* The current exception is an OSError: note it.  Close the socket. */
static await_status
sock_failed(ouro_state *st, AwaitObject *self)
{
    PyObject *sock = ouro_frame_get(self, SOCK_SOCK);
    PyObject *mine = ouro_frame_get(self, SOCK_MINE);
    if (mine != Py_None && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyObject *exception = PyErr_GetRaisedException();
        if (PyList_Append(mine, exception) < 0) {
            PyErr_Clear();
        }
        PyErr_SetRaisedException(exception);
    }
    if (sock != Py_None) {
        ouro_close_socket(st, sock);
    }
    return AWAIT_ERROR;
}

/* str(text).lower() of what a bind failed of. */
static PyObject *
bind_reason(ouro_state *st, PyObject *exception)
{
    PyObject *text = st->has.minor >= 13
                         ? PyObject_Str(exception)
                         : PyObject_GetAttrString(exception, "strerror");
    PyObject *lower =
        text == NULL ? NULL : PyObject_CallMethod(text, "lower", NULL);
    Py_XDECREF(text);
    return lower;
}

/* OSError(errno, "error while attempting to bind on address ...") of the
 * current exception. */
static PyObject *
bind_error(ouro_state *st, PyObject *address)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *number = PyObject_GetAttrString(exception, "errno");
    PyObject *reason = bind_reason(st, exception);
    PyObject *error = NULL;
    if (number != NULL && reason != NULL) {
        PyObject *message = PyUnicode_FromFormat(
            "error while attempting to bind on address %R: %U", address,
            reason);
        if (message != NULL) {
            error = PyObject_CallFunctionObjArgs(PyExc_OSError, number,
                                                 message, NULL);
            Py_DECREF(message);
        }
    }
    Py_XDECREF(number);
    Py_XDECREF(reason);
    Py_DECREF(exception);
    return error;
}

/* Bind to one local address: 1; 0: it is of another family, or cannot be
 * bound (noted); -1: exception. */
static int
bind_one(ouro_state *st, AwaitObject *self, PyObject *info, PyObject *family)
{
    PyObject *tuple = PySequence_Tuple(info);
    PyObject *local_family, *type, *proto, *name, *address;
    int result = -1;
    if (tuple == NULL
        || !PyArg_ParseTuple(tuple, "OOOOO", &local_family, &type, &proto,
                             &name, &address)) {
        goto done;
    }
    int other = PyObject_RichCompareBool(local_family, family, Py_NE);
    if (other != 0) {
        result = other < 0 ? -1 : 0;
        goto done;
    }
    PyObject *bound = PyObject_CallMethodOneArg(
        ouro_frame_get(self, SOCK_SOCK), st->str.bind, address);
    if (bound != NULL) {
        Py_DECREF(bound);
        result = 1;
    }
    else if (PyErr_ExceptionMatches(PyExc_OSError)) {
        PyObject *error = bind_error(st, address);
        if (error != NULL) {
            result = PyList_Append(ouro_frame_get(self, SOCK_MINE), error);
            Py_DECREF(error);
        }
    }
done:
    Py_XDECREF(tuple);
    return result;
}

/* Bind to the first local address that can be had. 0 or -1. */
static int
bind_any(ouro_state *st, AwaitObject *self, PyObject *family)
{
    PyObject *infos = PySequence_List(ouro_frame_get(self, SOCK_LOCAL_INFOS));
    if (infos == NULL) {
        return -1;
    }
    int bound = 0;
    for (Py_ssize_t i = 0; bound == 0 && i < PyList_GET_SIZE(infos); i++) {
        bound = bind_one(st, self, PyList_GET_ITEM(infos, i), family);
    }
    Py_DECREF(infos);
    if (bound != 0) {
        return bound < 0 ? -1 : 0;
    }
    PyObject *mine = ouro_frame_get(self, SOCK_MINE);
    if (PyList_GET_SIZE(mine) > 0) {
        PyObject *last = PyObject_CallMethod(mine, "pop", NULL);
        if (last != NULL) {
            ouro_raise(last);
            Py_DECREF(last);
        }
    }
    else {
        PyErr_Format(PyExc_OSError,
                     "no matching local address with family=%R found", family);
    }
    return -1;
}

/* Make and bind the socket, begin to connect. */
static await_status
sock_start(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *info = PySequence_Tuple(ouro_frame_get(self, SOCK_INFO));
    PyObject *family, *type, *proto, *name, *address;
    await_status status = AWAIT_ERROR;
    if (info == NULL) {
        return AWAIT_ERROR;
    }
    if (PyTuple_GET_SIZE(info) != 5) {
        Py_ssize_t size = PyTuple_GET_SIZE(info);
        PyErr_Format(PyExc_ValueError,
                     size < 5
                         ? "not enough values to unpack (expected 5, got %zd)"
                         : "too many values to unpack (expected 5)",
                     size);
        goto done;
    }
    if (!PyArg_ParseTuple(info, "OOOOO", &family, &type, &proto, &name,
                          &address)) {
        goto done;
    }
    PyObject *sock = ouro_call_keywords(
        st->stock.socket_module, st->str.socket, PyTuple_New(0), "family",
        family, "type", type, "proto", proto, NULL);
    if (sock == NULL) {
        goto done;
    }
    ouro_frame_set(self, SOCK_SOCK, sock);
    if (ouro_set_nonblocking(st, sock) < 0
        || (ouro_frame_get(self, SOCK_LOCAL_INFOS) != Py_None
            && bind_any(st, self, family) < 0)) {
        goto done;
    }
    *ret = ouro_sock_connect(st, self->owner, sock, address);
    status = *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
done:
    Py_DECREF(info);
    return status;
}

static await_status
sock_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    if (self->step++ > 0) {
        *ret = Py_NewRef(ouro_frame_get(self, SOCK_SOCK));
        return AWAIT_RETURN;
    }
    PyObject *mine = PyList_New(0);
    if (mine == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(self, SOCK_MINE, mine);
    if (ouro_drop_result(PyObject_CallMethod(
            ouro_frame_get(self, SOCK_EXCEPTIONS), "append", "O", mine))
        < 0) {
        return AWAIT_ERROR;
    }
    await_status status = sock_start(st, self, ret);
    return status == AWAIT_ERROR ? sock_failed(st, self) : status;
}

static await_status
sock_abort(AwaitObject *self, PyObject **Py_UNUSED(ret))
{
    return sock_failed(ouro_state_of(self->owner), self);
}

static const await_kind sock_kind = {
    .name = "_connect_sock",
    .qualname = "BaseEventLoop._connect_sock",
    .poll = sock_poll,
    .abort = sock_abort,
};

static PyObject *
loop_connect_sock(PyObject *loop, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "BaseEventLoop._connect_sock",
        .skip_self = 1,
        .positional = 3,
        .required = 2,
        .names = {"exceptions", "addr_info", "local_addr_infos"},
    };
    PyObject *a[SOCK_ARGS];
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return ouro_frame_new(ouro_state_of(loop), &sock_kind, loop, a, SOCK_ARGS,
                          SOCK_TOTAL);
}

/* self._connect_sock(...) */
static PyObject *
connect_sock(ouro_state *st, PyObject *loop, PyObject *exceptions,
             PyObject *info, PyObject *local_infos)
{
    PyObject *args[] = {loop, exceptions, info, local_infos};
    if (ouro_loop_plain((LoopObject *)loop)) {
        return loop_connect_sock(loop, args + 1, 3, NULL);
    }
    return PyObject_VectorcallMethod(st->str._connect_sock, args, 4, NULL);
}

/* ---- the order of addresses: _interleave_addrinfos() ------------------- */

/* The addresses by family, in the order in which families first come: a list
 * of lists. */
static PyObject *
group_by_family(PyObject *infos)
{
    PyObject *groups = PyDict_New();
    PyObject *list = groups == NULL ? NULL : PySequence_List(infos);
    PyObject *values = NULL;
    if (list == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *info = PyList_GET_ITEM(list, i);
        PyObject *family = PySequence_GetItem(info, 0);
        PyObject *empty = family == NULL ? NULL : PyList_New(0);
        PyObject *group =
            empty == NULL ? NULL : PyDict_SetDefault(groups, family, empty);
        int failed = group == NULL || PyList_Append(group, info) < 0;
        Py_XDECREF(family);
        Py_XDECREF(empty);
        if (failed) {
            goto done;
        }
    }
    values = PyDict_Values(groups);
done:
    Py_XDECREF(groups);
    Py_XDECREF(list);
    return values;
}

/* The first `count` of the first family, then one of each in turn. */
static PyObject *
interleave(PyObject *infos, PyObject *first_count)
{
    Py_ssize_t count = PyNumber_AsSsize_t(first_count, PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *groups = group_by_family(infos);
    PyObject *result = groups == NULL ? NULL : PyList_New(0);
    if (result == NULL || PyList_GET_SIZE(groups) == 0) {
        goto done;
    }
    PyObject *first = PyList_GET_ITEM(groups, 0);
    if (count > 1) {
        PyObject *head = PyList_GetSlice(first, 0, count - 1);
        int failed =
            head == NULL || PyList_SetSlice(result, 0, 0, head) < 0
            || PyList_SetSlice(first, 0, PyList_GET_SIZE(head), NULL) < 0;
        Py_XDECREF(head);
        if (failed) {
            Py_CLEAR(result);
            goto done;
        }
    }
    bool more = true;
    for (Py_ssize_t row = 0; more; row++) {
        more = false;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(groups); i++) {
            PyObject *group = PyList_GET_ITEM(groups, i);
            if (row >= PyList_GET_SIZE(group)) {
                continue;
            }
            more = true;
            if (PyList_Append(result, PyList_GET_ITEM(group, row)) < 0) {
                Py_CLEAR(result);
                goto done;
            }
        }
    }
done:
    Py_XDECREF(groups);
    return result;
}

/* ---- all addresses ----------------------------------------------------- */

enum {
    ANY_INFOS,
    ANY_LOCAL_INFOS,
    ANY_DELAY,
    ANY_INTERLEAVE,
    ANY_ALL_ERRORS,
    ANY_ARGS,
    ANY_EXCEPTIONS = ANY_ARGS,
    ANY_TOTAL,
};

/* The lists of all attempts as one. */
static PyObject *
flatten(PyObject *lists)
{
    PyObject *flat = PyList_New(0);
    for (Py_ssize_t i = 0; flat != NULL && i < PyList_GET_SIZE(lists); i++) {
        Py_ssize_t end = PyList_GET_SIZE(flat);
        if (PyList_SetSlice(flat, end, end, PyList_GET_ITEM(lists, i)) < 0) {
            Py_CLEAR(flat);
        }
    }
    return flat;
}

static void
raise_group(ouro_state *st, PyObject *exceptions)
{
    PyObject *group =
        PyObject_CallFunction(st->stock.ExceptionGroup, "sO",
                              "create_connection failed", exceptions);
    if (group != NULL) {
        ouro_raise(group);
        Py_DECREF(group);
    }
}

/* "Multiple exceptions: ..., ...", or the one that all are alike. */
static void
raise_combined(PyObject *exceptions)
{
    Py_ssize_t count = PyList_GET_SIZE(exceptions);
    PyObject *texts = PyList_New(count);
    bool alike = true;
    for (Py_ssize_t i = 0; texts != NULL && i < count; i++) {
        PyObject *text = PyObject_Str(PyList_GET_ITEM(exceptions, i));
        if (text == NULL) {
            Py_CLEAR(texts);
            break;
        }
        PyList_SET_ITEM(texts, i, text);
        alike =
            alike && PyUnicode_Compare(text, PyList_GET_ITEM(texts, 0)) == 0;
    }
    if (texts == NULL) {
        return;
    }
    if (alike) {
        ouro_raise(PyList_GET_ITEM(exceptions, 0));
    }
    else {
        PyObject *comma = PyUnicode_FromString(", ");
        PyObject *all = comma == NULL ? NULL : PyUnicode_Join(comma, texts);
        if (all != NULL) {
            PyErr_Format(PyExc_OSError, "Multiple exceptions: %U", all);
        }
        Py_XDECREF(comma);
        Py_XDECREF(all);
    }
    Py_DECREF(texts);
}

/* None of the addresses could be connected to. */
static await_status
any_failed(ouro_state *st, AwaitObject *self)
{
    int grouped = PyObject_IsTrue(ouro_frame_get(self, ANY_ALL_ERRORS));
    PyObject *exceptions = flatten(ouro_frame_get(self, ANY_EXCEPTIONS));
    if (grouped < 0 || exceptions == NULL) {
        Py_XDECREF(exceptions);
        return AWAIT_ERROR;
    }
    if (grouped) {
        raise_group(st, exceptions);
    }
    else if (PyList_GET_SIZE(exceptions) > 0) {
        raise_combined(exceptions);
    }
    else if (st->has.loop.connect_times_out) {
        PyErr_SetString(PyExc_TimeoutError, "create_connection failed");
    }
    else {
        PyErr_SetString(PyExc_IndexError, "list index out of range");
    }
    Py_DECREF(exceptions);
    /* The exceptions' tracebacks must not hold what holds them. */
    ouro_frame_set(self, ANY_EXCEPTIONS, Py_NewRef(Py_None));
    return AWAIT_ERROR;
}

/* The next address in a row. */
static await_status
any_next(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *infos = ouro_frame_get(self, ANY_INFOS);
    if (self->n >= PyList_GET_SIZE(infos)) {
        return any_failed(st, self);
    }
    *ret = connect_sock(st, self->owner, ouro_frame_get(self, ANY_EXCEPTIONS),
                        PyList_GET_ITEM(infos, self->n++),
                        ouro_frame_get(self, ANY_LOCAL_INFOS));
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

/* Happy eyeballs: staggered_race() over partial(self._connect_sock, ...). */
static await_status
any_race(ouro_state *st, AwaitObject *self, PyObject **ret)
{
    PyObject *infos = ouro_frame_get(self, ANY_INFOS);
    PyObject *method = PyObject_GetAttr(self->owner, st->str._connect_sock);
    PyObject *attempts = method == NULL ? NULL : PyList_New(0);
    bool failed = attempts == NULL;
    for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(infos); i++) {
        PyObject *attempt = PyObject_CallFunctionObjArgs(
            st->stock.partial, method, ouro_frame_get(self, ANY_EXCEPTIONS),
            PyList_GET_ITEM(infos, i), ouro_frame_get(self, ANY_LOCAL_INFOS),
            NULL);
        failed = attempt == NULL || PyList_Append(attempts, attempt) < 0;
        Py_XDECREF(attempt);
    }
    if (!failed) {
        *ret = ouro_call_keywords(
            st->stock.staggered, st->str.staggered_race,
            PyTuple_Pack(2, attempts, ouro_frame_get(self, ANY_DELAY)), "loop",
            self->owner, NULL);
        failed = *ret == NULL;
    }
    Py_XDECREF(method);
    Py_XDECREF(attempts);
    return failed ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static int
any_prepare(AwaitObject *self)
{
    PyObject *exceptions = PyList_New(0);
    if (exceptions == NULL) {
        return -1;
    }
    ouro_frame_set(self, ANY_EXCEPTIONS, exceptions);
    PyObject *count = ouro_frame_get(self, ANY_INTERLEAVE);
    int wanted = PyObject_IsTrue(count);
    if (wanted < 0) {
        return -1;
    }
    PyObject *given = ouro_frame_get(self, ANY_INFOS);
    PyObject *infos =
        wanted ? interleave(given, count) : PySequence_List(given);
    if (infos == NULL) {
        return -1;
    }
    ouro_frame_set(self, ANY_INFOS, infos);
    return 0;
}

static await_status
any_poll(AwaitObject *self, PyObject **ret)
{
    ouro_state *st = ouro_state_of(self->owner);
    bool racing = ouro_frame_get(self, ANY_DELAY) != Py_None;
    if (self->step++ == 0) {
        if (any_prepare(self) < 0) {
            return AWAIT_ERROR;
        }
        return racing ? any_race(st, self, ret) : any_next(st, self, ret);
    }
    if (!racing) {
        *ret = Py_NewRef(self->value);
        return AWAIT_RETURN;
    }
    PyObject *winner = PyTuple_GetItem(self->value, 0);
    if (winner == NULL) {
        return AWAIT_ERROR;
    }
    if (winner == Py_None) {
        return any_failed(st, self);
    }
    *ret = Py_NewRef(winner);
    return AWAIT_RETURN;
}

static await_status
any_abort(AwaitObject *self, PyObject **ret)
{
    if (ouro_frame_get(self, ANY_DELAY) != Py_None
        || !PyErr_ExceptionMatches(PyExc_OSError)) {
        ouro_frame_set(self, ANY_EXCEPTIONS, Py_NewRef(Py_None));
        return AWAIT_ERROR;
    }
    PyErr_Clear();
    return any_next(ouro_state_of(self->owner), self, ret);
}

static const await_kind any_kind = {
    .name = "create_connection",
    .qualname = "BaseEventLoop.create_connection",
    .poll = any_poll,
    .abort = any_abort,
};

PyObject *
ouro_connect_any(ouro_state *st, PyObject *loop, PyObject *infos,
                 PyObject *local_infos, PyObject *delay, PyObject *interleave,
                 PyObject *all_errors)
{
    PyObject *args[] = {infos, local_infos, delay, interleave, all_errors};
    return ouro_frame_new(st, &any_kind, loop, args, ANY_ARGS, ANY_TOTAL);
}

/* ---- set-up ------------------------------------------------------------ */

static const ouro_async_def async_methods[] = {
    {"_connect_sock", loop_connect_sock, NULL},
    {NULL, NULL, NULL},
};

int
ouro_connectsock_setup(PyObject *Py_UNUSED(module), ouro_state *st)
{
    return ouro_loop_add_async_methods(st, async_methods);
}
