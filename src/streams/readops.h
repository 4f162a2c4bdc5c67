/* readops.h - the coroutines of a StreamReader. */
#ifndef OURO_STREAMS_READOPS_H
#define OURO_STREAMS_READOPS_H

#include "streams/reader.h"

/* What a parked coroutine says to bytes that have come in. */
typedef enum readop_answer {
    READOP_FAIL = -1, /* an exception is set: out of memory */
    READOP_WAIT,      /* they do not suffice: keep them, do not wake it */
    READOP_WAKE,      /* keep them and wake it */
    READOP_SATISFIED, /* it has copied what it wants, *ret_used bytes: take
                         those away and wake it */
} readop_answer;

/* Offer a parked coroutine all the bytes that there are. */
readop_answer ouro_readop_offer(AwaitObject *op, const char *data, size_t size,
                                size_t *ret_used);

/* If a satisfied coroutine has not run yet, put what it has copied back into
 * its reader's buffer: it will look again when it runs. */
void ouro_readop_recall(AwaitObject *op);

/* Put the methods onto the type. 0 or -1. */
int ouro_readops_setup(ouro_state *st, PyTypeObject *type);

/* __anext__(), as the type's slot. */
PyObject *ouro_reader_anext(PyObject *reader);

#endif
