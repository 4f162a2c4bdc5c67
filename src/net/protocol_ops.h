/* protocol_ops.h - the two tables by which protocols and transports that are
 * both ours talk without a Python call.
 *
 * Data flows up through protocol_ops (recv -> transport -> protocol) and down
 * through transport_ops (writer -> transport -> send).  A protocol type of
 * ours registers its table once, at set-up; a transport looks it up when it
 * is given a protocol.  Every function does what the Python method of that
 * name does, for the exact type; a protocol whose methods somebody has
 * patched (on the class or the instance) says so in usable() and is then
 * called by its methods like anybody's.
 */
#ifndef OURO_PROTOCOL_OPS_H
#define OURO_PROTOCOL_OPS_H

#include "base/ouro.h"

/* All functions: 0, or -1 with an exception set, which the transport reports
 * as asyncio does ("Fatal error: protocol.data_received() call failed.");
 * SystemExit and KeyboardInterrupt leave the loop.  The protocol is kept
 * alive by the caller, and may be taken from its transport meanwhile. */
typedef struct protocol_ops {
    /* Whether the functions below may be called for this protocol now.
     * Asked before every use; may be NULL: always. */
    bool (*usable)(PyObject *protocol);

    /* The functions may call other people's Python: data_received() and
     * eof_received() enter the transport's context for that, the others are
     * called in the one that asyncio would call them in. */
    bool calls_python;
    /* What a failing data_received() is reported as; NULL: as its name. */
    const char *receive_failed;

    /* In the context of the transport's maker, as the method. */
    int (*connection_made)(PyObject *protocol, PyObject *transport);

    /* `size` > 0 bytes have been received.  data is the loop's scratch
     * buffer: valid until the function returns *or runs any Python*, since
     * another read may use it then (a task that is stepped in place is
     * Python: keep what is left first).  Called from a job of the loop with
     * no context entered. */
    int (*data_received)(PyObject *protocol, const char *data,
                         Py_ssize_t size);

    /* Where the next bytes shall go, for large transfers: memory of at least
     * 1 byte that stays valid until receive_done(), or NULL: use
     * data_received().  May be NULL. Asked only on connections that have
     * shown large reads. */
    char *(*receive_into)(PyObject *protocol, Py_ssize_t *ret_size);
    /* size bytes have been stored there; 0 or less: none, the memory is
     * given back (end of file, error or nothing to read). */
    int (*receive_done)(PyObject *protocol, Py_ssize_t size);

    /* 1: keep the transport open for writing; 0: close it; -1: error. */
    int (*eof_received)(PyObject *protocol);

    /* exc: an exception, or NULL for None.  In the context of close(). */
    int (*connection_lost)(PyObject *protocol, PyObject *exc);

    /* For start_tls(): *ret is what has been received and not been read yet
     * (bytes, owned), or NULL: nothing.  1; 0: it is not known here; or -1.
     * May be NULL. */
    int (*take_unread)(PyObject *protocol, PyObject **ret);

    int (*pause_writing)(PyObject *protocol);
    int (*resume_writing)(PyObject *protocol);
} protocol_ops;

/* Register the table (of static storage) of an exact type of ours. */
void ouro_register_protocol(ouro_state *st, PyTypeObject *type,
                            const protocol_ops *ops);

/* The table for a protocol of exactly a registered type, or NULL. */
const protocol_ops *ouro_protocol_ops(ouro_state *st, PyObject *protocol);

static inline bool
ouro_protocol_usable(const protocol_ops *ops, PyObject *protocol)
{
    return ops->usable == NULL || ops->usable(protocol);
}

/* What a StreamWriter or StreamReader does with a transport of ours; each
 * function is the method of that name.  0 (or a truth value), or -1 with an
 * exception set. */
typedef struct transport_ops {
    int (*write)(PyObject *transport, PyObject *data);
    int (*writelines)(PyObject *transport, PyObject *list);
    int (*write_eof)(PyObject *transport);
    int (*close)(PyObject *transport);
    int (*is_closing)(PyObject *transport); /* cannot fail */
    int (*pause_reading)(PyObject *transport);
    int (*resume_reading)(PyObject *transport);
    /* Hand what write() has gathered to the kernel now (drain() does). A
     * failure is reported as asyncio reports a failing send(): never here
     * but for what must leave the loop. */
    int (*flush)(PyObject *transport);
    /* Whether write() has gathered anything that flush() would send. */
    bool (*gathered)(PyObject *transport);
    /* Flush if something has been gathered for longer than OU_DEFER_LIMIT:
     * what a drain() that does not flush does. */
    int (*flush_old)(PyObject *transport);
} transport_ops;

/* The table of a transport of exactly our types whose methods nobody has
 * replaced on the instance or the class, or NULL.  Ask on each use: it costs
 * two compares. */
const transport_ops *ouro_transport_ops(ouro_state *st, PyObject *transport);

#endif
