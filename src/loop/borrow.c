/* borrow.c - what of the loop is still asyncio's.
 *
 * Methods that have no native counterpart are taken over from asyncio's loop
 * as they are: they work on ours by its methods.  Most of them are steps that
 * ours takes only when somebody has overridden one (steps.c).  What another
 * file has put onto the type is left alone, so an entry here ends by itself.
 */
#include "loop/loop.h"

#include "base/rooms.h"

static const char *const names[] = {
    /* what wakes it */
    "_close_self_pipe",
    "_make_self_pipe",
    "_read_from_self",
    /* what create_server() asks for its addresses */
    "_create_server_getaddrinfo",
    /* what create_unix_connection() and others end in */
    "_create_connection_transport",
    /* sockets of the file system */
    "create_unix_connection",
    "create_unix_server",
    /* processes */
    "_child_watcher_callback",
    "_log_subprocess",
    /* files into transports */
    "sendfile",
    "_sendfile_native",
    "_sendfile_fallback",
    "_check_sendfile_params",
    /* sockets of the user's */
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_sendfile",
    "_sock_accept",
    "_sock_add_cancellation_callback",
    "_sock_connect",
    "_sock_connect_cb",
    "_sock_read_done",
    "_sock_recv",
    "_sock_recv_into",
    "_sock_recvfrom",
    "_sock_recvfrom_into",
    "_sock_sendall",
    "_sock_sendfile_fallback",
    "_sock_sendfile_native",
    "_sock_sendfile_native_impl",
    "_sock_sendfile_update_filepos",
    "_sock_sendto",
    "_sock_write_done",
};

static int
borrow(ouro_state *st, PyObject *stock, const char *name)
{
    PyObject *core = (PyObject *)st->types.LoopCore;
    PyObject *key = PyUnicode_InternFromString(name);
    if (key == NULL) {
        return -1;
    }
    int result = PyDict_Contains(st->types.LoopCore->tp_dict, key);
    if (result == 0) {
        PyObject *method;
        result = PyObject_GetOptionalAttr(stock, key, &method);
        if (result > 0) {
            result = PyObject_SetAttr(core, key, method);
            Py_DECREF(method);
            if (result == 0) {
                result = ouro_loop_note_attribute(st, key);
            }
        }
    }
    Py_DECREF(key);
    return result < 0 ? -1 : 0;
}

int
ouro_borrow_setup(PyObject *module, ouro_state *st)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < Py_ARRAY_LENGTH(names); i++) {
        result = borrow(st, st->stock.UnixSelectorEventLoop, names[i]);
    }
    return result;
}
