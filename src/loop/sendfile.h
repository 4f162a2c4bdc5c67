/* sendfile.h - sending a file: what sock_sendfile() and sendfile() share.
 *
 * Both are called with a target (a socket, or a transport), a file, an offset
 * and a count; both try a native way first and go on block by block where
 * there is none (see fileblocks.h).
 */
#ifndef OURO_SENDFILE_H
#define OURO_SENDFILE_H

#include "loop/frame.h"

/* The arguments, which are the first places of each frame. */
enum {
    SEND_TARGET,
    SEND_FILE,
    SEND_OFFSET,
    SEND_COUNT,
    SEND_ARGS, /* of the helpers; the public functions have one more: */
    SEND_FALLBACK = SEND_ARGS,
    SEND_ALL_ARGS,
};

/* The two names by which one way falls back on the other. */
typedef struct sendfile_kind {
    await_kind await;
    const char *native, *fallback; /* methods of the loop */
    /* Refuse, or choose how to begin (an answer of ouro_sendfile_natively or
     * ouro_sendfile_by_blocks). */
    await_status (*begin)(ouro_state *st, AwaitObject *self, PyObject **ret);
} sendfile_kind;

await_status ouro_sendfile_natively(AwaitObject *self, PyObject **ret);
await_status ouro_sendfile_by_blocks(AwaitObject *self, PyObject **ret);

/* poll and abort of a sendfile_kind. */
await_status ouro_sendfile_poll(AwaitObject *self, PyObject **ret);
await_status ouro_sendfile_abort(AwaitObject *self, PyObject **ret);

/* The coroutine of a public function. */
PyObject *ouro_sendfile_new(const ouro_signature *signature,
                            const sendfile_kind *kind, PyObject *loop,
                            PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);

/* The coroutine of a helper, all of whose arguments are required; its frame
 * has `total` places. */
PyObject *ouro_sendfile_helper(const ouro_signature *signature,
                               const await_kind *kind, int total,
                               PyObject *loop, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *kwnames);

/* The count of the frame: None is 0. -1 and an exception on failure. */
Py_ssize_t ouro_sendfile_count(AwaitObject *self);

/* The offset and what has been sent from there, added: an int, or NULL. */
PyObject *ouro_sendfile_position(PyObject *offset, Py_ssize_t sent);

/* Raise SendfileNotAvailableError(message). */
void ouro_sendfile_raise_unavailable(ouro_state *st, const char *message);

#endif
