/* stock.c - what the running asyncio's streams do.
 *
 * Some of it came and went within one minor version, so the code is looked
 * at, not the version.
 */
#include "base/rooms.h"
#include "streams/common.h"

/* Whether code, or a function within it, uses a name: 1, 0, -1. */
static int
code_uses(PyObject *code, const char *attribute, PyObject *name)
{
    PyObject *names = PyObject_GetAttrString(code, attribute);
    if (names == NULL) {
        return -1;
    }
    int found = PySequence_Contains(names, name);
    Py_DECREF(names);
    return found;
}

/* asyncio.streams.<class>.<method>.__code__: NULL if there is none. */
static PyObject *
method_code(ouro_state *st, const char *class_name, const char *method)
{
    PyObject *type = PyObject_GetAttrString(st->stock.streams, class_name);
    PyObject *function =
        type == NULL ? NULL : PyObject_GetAttrString(type, method);
    PyObject *code =
        function == NULL ? NULL : PyObject_GetAttrString(function, "__code__");
    Py_XDECREF(type);
    Py_XDECREF(function);
    PyErr_Clear();
    return code;
}

/* Whether a method mentions a name, among co_names or co_varnames. */
static bool
mentions(PyObject *code, const char *name)
{
    PyObject *text = PyUnicode_FromString(name);
    bool found = text != NULL && code != NULL
                 && (code_uses(code, "co_names", text) > 0
                     || code_uses(code, "co_varnames", text) > 0);
    Py_XDECREF(text);
    PyErr_Clear();
    return found;
}

static bool
method_mentions(ouro_state *st, const char *class_name, const char *method,
                const char *name)
{
    PyObject *code = method_code(st, class_name, method);
    bool found = mentions(code, name);
    Py_XDECREF(code);
    return found;
}

static bool
method_exists(ouro_state *st, const char *class_name, const char *method)
{
    PyObject *code = method_code(st, class_name, method);
    Py_XDECREF(code);
    return code != NULL;
}

/* The callback that connection_made() defines, or NULL. */
static PyObject *
handler_callback(ouro_state *st)
{
    PyObject *code =
        method_code(st, "StreamReaderProtocol", "connection_made");
    PyObject *constants =
        code == NULL ? NULL : PyObject_GetAttrString(code, "co_consts");
    PyObject *callback = NULL;
    Py_ssize_t count = constants == NULL ? 0 : PyTuple_GET_SIZE(constants);
    for (Py_ssize_t i = 0; callback == NULL && i < count; i++) {
        PyObject *constant = PyTuple_GET_ITEM(constants, i);
        callback = PyCode_Check(constant) ? Py_NewRef(constant) : NULL;
    }
    Py_XDECREF(code);
    Py_XDECREF(constants);
    PyErr_Clear();
    return callback;
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
    PyObject *callback = handler_callback(st);
    has->separators =
        method_mentions(st, "StreamReader", "readuntil", "sorted");
    has->takes_bytes =
        method_mentions(st, "StreamReader", "read", "take_bytes");
    has->reader_replaces_transport =
        method_exists(st, "StreamReader", "_replace_transport");
    has->replaces_transport =
        method_exists(st, "StreamReaderProtocol", "_replace_transport");
    has->keeps_writer = method_mentions(st, "StreamReaderProtocol", "__init__",
                                        "_stream_writer");
    has->forgets_writer = method_mentions(st, "StreamReaderProtocol",
                                          "connection_lost", "_stream_writer");
    has->reports_handler = callback != NULL;
    has->handles_cancelled = mentions(callback, "cancelled");
    has->reports_call = method_mentions(st, "StreamReaderProtocol",
                                        "connection_made", "close");
    has->tls_shutdown_timeout = method_mentions(
        st, "StreamWriter", "start_tls", "ssl_shutdown_timeout");
    has->writer_del =
        !method_exists(st, "StreamWriter", "__del__") ? STREAMS_DEL_NONE
        : method_mentions(st, "StreamWriter", "__del__", "is_closed")
            ? STREAMS_DEL_ASKS_LOOP
            : STREAMS_DEL_CLOSES;
    Py_XDECREF(callback);
    return find_asserts(st);
}
