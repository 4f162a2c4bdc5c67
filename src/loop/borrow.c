/* borrow.c - methods of the loop that are asyncio's own.
 *
 * Private methods that have no native counterpart are copied from asyncio's
 * loop class onto ours; they reach our loop through its methods.  Our own code
 * calls them only where somebody has overridden one of them.
 */
#include "loop/loop.h"

#include "base/rooms.h"

static const char *const names[] = {
    /* what wakes it (selfpipe.c) */
    "_close_self_pipe",
    "_make_self_pipe",
    "_read_from_self",
    /* what create_server() asks for its addresses (steps.c) */
    "_create_server_getaddrinfo",
    /* what create_connection() ends in */
    "_create_connection_transport",
    /* processes */
    "_child_watcher_callback",
    "_log_subprocess",
    /* the steps of sock_recv() and its like */
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
    "_sock_sendfile_native_impl",
    "_sock_sendfile_update_filepos",
    "_sock_sendto",
    "_sock_write_done",
};

static int
borrow(ouro_state *st, PyObject *stock, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
    if (key == NULL) {
        return -1;
    }
    PyObject *method;
    int result = PyObject_GetOptionalAttr(stock, key, &method);
    if (result > 0) {
        result = PyObject_SetAttr((PyObject *)st->types.LoopCore, key, method);
        Py_DECREF(method);
        if (result == 0) {
            result = ouro_loop_note_attribute(st, key);
        }
    }
    Py_DECREF(key);
    return result;
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
