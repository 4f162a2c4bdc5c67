/* stock.c - what the running asyncio's streams do (see base/probe.h). */
#include "base/probe.h"
#include "base/rooms.h"
#include "streams/common.h"

static bool
streams(const char *path, const char *word)
{
    return ouro_probe("asyncio.streams", path, word);
}

static bool
streams_have(const char *path)
{
    return ouro_probe_exists("asyncio.streams", path);
}

static int
find_asserts(ouro_state *st)
{
    PyObject *flags = PySys_GetObject("flags"); /* borrowed */
    PyObject *optimize =
        flags == NULL ? NULL : PyObject_GetAttrString(flags, "optimize");
    if (optimize == NULL) {
        return -1;
    }
    st->has.streams.asserts = PyLong_AsLong(optimize) == 0;
    Py_DECREF(optimize);
    return PyErr_Occurred() ? -1 : 0;
}

int
ouro_streams_setup(PyObject *module, ouro_state *st)
{
    ouro_stream_features *has = &st->has.streams;
    has->separators = streams("StreamReader.readuntil", "sorted");
    has->takes_bytes = streams("StreamReader.read", "take_bytes");
    has->reader_replaces_transport =
        streams_have("StreamReader._replace_transport");
    has->replaces_transport =
        streams_have("StreamReaderProtocol._replace_transport");
    has->keeps_writer =
        streams("StreamReaderProtocol.__init__", "_stream_writer");
    has->forgets_writer =
        streams("StreamReaderProtocol.connection_lost", "_stream_writer");
    /* The callback of the handler's task, what that asks, and whether the
     * call that makes the task is within a `try`. */
    has->reports_handler =
        streams("StreamReaderProtocol.connection_made", "callback");
    has->handles_cancelled =
        streams("StreamReaderProtocol.connection_made", "cancelled");
    has->reports_call =
        streams("StreamReaderProtocol.connection_made", "Exception");
    has->tls_shutdown_timeout =
        streams("StreamWriter.start_tls", "ssl_shutdown_timeout");
    has->writer_del = !streams_have("StreamWriter.__del__") ? STREAMS_DEL_NONE
                      : streams("StreamWriter.__del__", "is_closed")
                          ? STREAMS_DEL_ASKS_LOOP
                          : STREAMS_DEL_CLOSES;
    return find_asserts(st);
}
