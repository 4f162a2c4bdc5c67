/* readops_impl.h - what the coroutines of a StreamReader share. */
#ifndef OURO_STREAMS_READOPS_IMPL_H
#define OURO_STREAMS_READOPS_IMPL_H

#include "base/args.h"
#include "streams/common.h"
#include "streams/readops.h"

enum read_step {
    READ_START,
    READ_PARKED,    /* waits for the reader's waiter, which is ours */
    READ_SATISFIED, /* parked, and the result is in op->c */
    READ_DELEGATED, /* waits for what a method has returned */
    READ_DONE,
};

typedef struct readop_kind {
    await_kind await; /* first: op->kind points at it */
    /* See ouro_readop_offer(); asked only while parked.  NULL: wake it. */
    readop_answer (*offer)(AwaitObject *op, const char *data, size_t size,
                           size_t *ret_used);
} readop_kind;

/* Those that park do so inside another function of asyncio's. */
#define READOP_KIND(variable, method, poll_function, abort_function,          \
                    offer_function, inside_kind)                              \
    static const readop_kind variable = {                                     \
        .await =                                                              \
            {                                                                 \
                .name = method,                                               \
                .qualname = "StreamReader." method,                           \
                .poll = poll_function,                                        \
                .abort = abort_function,                                      \
                .inside = inside_kind,                                        \
            },                                                                \
        .offer = offer_function,                                              \
    }

/* _wait_for_data() */
extern const await_kind ouro_readop_wait_kind;

static inline StreamReaderObject *
reader_of(AwaitObject *op)
{
    return (StreamReaderObject *)op->owner;
}

static inline bool
readop_is_plain(AwaitObject *op)
{
    return ouro_reader_plain(ouro_state_of((PyObject *)op), reader_of(op));
}

/* A new coroutine of the reader `self`. */
AwaitObject *ouro_readop_new(PyObject *self, const readop_kind *kind);

/* ---- waiting ------------------------------------------------------------ */

/* await self._wait_for_data(function): park, or delegate to the method. */
await_status ouro_readop_wait(AwaitObject *op, const char *function,
                              PyObject **ret);
/* Go on with what a method of the reader has returned; NULL: an error. */
await_status ouro_readop_delegate(AwaitObject *op, PyObject *awaitable,
                                  PyObject **ret);
/* It has been woken: nobody waits any more. */
void ouro_readop_unpark(AwaitObject *op);
/* The abort function of what parks. */
await_status ouro_readop_abort(AwaitObject *op, PyObject **ret);

/* An answer to an offer: copy the first `size` bytes as the result. */
readop_answer ouro_readop_copy(AwaitObject *op, const char *data, size_t size,
                               size_t *ret_used);

/* Whether another coroutine has claimed all that comes, by read(-1): what is
 * in the buffer then is not for this one, which may only try to wait. */
bool ouro_readop_is_claimed(AwaitObject *op);

/* ---- ending ------------------------------------------------------------- */

/* The reader has an exception, which is set now. */
bool ouro_readop_raises(AwaitObject *op);
/* self._maybe_resume_transport(). 0 or -1. */
int ouro_readop_maybe_resume(AwaitObject *op);
/* Return the first `size` bytes of the buffer. */
await_status ouro_readop_return(AwaitObject *op, size_t size, PyObject **ret);
/* Return op->c: what was copied by ouro_readop_copy(). */
await_status ouro_readop_return_copy(AwaitObject *op, PyObject **ret);
/* Return b"". */
await_status ouro_readop_return_nothing(PyObject **ret);
/* Return what a method has returned. */
await_status ouro_readop_return_value(AwaitObject *op, PyObject **ret);
/* The stream has ended in the middle: all that there is, taken away. */
PyObject *ouro_readop_partial(AwaitObject *op);
/* raise IncompleteReadError(partial, expected) */
await_status ouro_readop_incomplete(AwaitObject *op, PyObject *expected);

/* The methods of readcount.c and of readline.c. */
extern const ouro_async_def ouro_read_methods[];
extern const ouro_async_def ouro_readline_methods[];

#endif
