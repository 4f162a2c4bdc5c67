/* protocol_impl.h - what the files of StreamReaderProtocol share. */
#ifndef OURO_STREAMS_PROTOCOL_IMPL_H
#define OURO_STREAMS_PROTOCOL_IMPL_H

#include "net/protocol_ops.h"
#include "streams/protocol.h"

extern const protocol_ops ouro_stream_protocol_ops;

int ouro_stream_handler_setup(PyObject *module, ouro_state *st);

#endif
