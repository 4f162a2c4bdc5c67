/* stock.c - what the running asyncio's event loop does.
 *
 * Some of it changed within one minor version, so the code is looked at, not
 * the version.
 */
#include "base/probe.h"
#include "loop/loop.h"

/* function.__code__, or NULL (without an exception): not Python's. */
static PyObject *
code_of(PyObject *owner, const char *name)
{
    PyObject *function = PyObject_GetAttrString(owner, name);
    PyObject *code =
        function != NULL ? PyObject_GetAttrString(function, "__code__") : NULL;
    Py_XDECREF(function);
    PyErr_Clear();
    return code;
}

static PyObject *
method_code(const char *method)
{
    PyObject *module = PyImport_ImportModule("asyncio.base_events");
    PyObject *type = module != NULL
                         ? PyObject_GetAttrString(module, "BaseEventLoop")
                         : NULL;
    PyObject *code = type != NULL ? code_of(type, method) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(module);
    PyErr_Clear();
    return code;
}

/* Whether the code uses a name, as a variable or beyond. Consumes code. */
static bool
mentions(PyObject *code, const char *name)
{
    static const char *const tables[] = {"co_names", "co_varnames"};
    bool found = false;
    PyObject *text = PyUnicode_FromString(name);
    for (size_t i = 0; code != NULL && text != NULL && i < 2; i++) {
        PyObject *names = PyObject_GetAttrString(code, tables[i]);
        found =
            found || (names != NULL && PySequence_Contains(names, text) > 0);
        Py_XDECREF(names);
    }
    Py_XDECREF(text);
    Py_XDECREF(code);
    PyErr_Clear();
    return found;
}

void
ouro_loop_find_features(ouro_state *st)
{
    ouro_loop_features *has = &st->has.loop;
    has->task_kwargs = mentions(method_code("create_task"), "kwargs");
    has->task_name = mentions(method_code("create_task"), "name");
    has->run_setup = mentions(method_code("_run_forever_setup"), "self");
    has->handler_context =
        mentions(method_code("call_exception_handler"), "get_context");
    has->shutdown_timeout =
        mentions(method_code("shutdown_default_executor"), "timeout");
    has->shutdown_waits_briefly =
        mentions(method_code("shutdown_default_executor"), "timeouts");
    has->run_loop_factory =
        mentions(code_of(st->stock.runners, "run"), "loop_factory");
    has->runner_takes_awaitables =
        mentions(code_of(st->stock.Runner, "run"), "isawaitable");
    has->runner_bounds_shutdown =
        mentions(code_of(st->stock.Runner, "close"), "THREAD_JOIN_TIMEOUT");
    has->debug_formats = mentions(
        code_of(st->stock.format_helpers, "_format_callback_source"), "debug");
    has->private_coroutine_check =
        mentions(method_code("_check_callback"), "_iscoroutinefunction");
    has->watcher =
        ouro_probe_exists("asyncio.unix_events", "_PidfdChildWatcher");
    has->watch_context =
        ouro_probe("asyncio.selector_events",
                   "BaseSelectorEventLoop._add_reader", "context");
    has->forever_closes_clients = ouro_probe(
        "asyncio.base_events", "Server.serve_forever", "close_clients");
    has->tls_takes_unread =
        mentions(method_code("start_tls"), "StreamReaderProtocol");
    has->closes_refused_sock = st->has.minor >= 14;
    has->connect_times_out =
        ouro_probe("asyncio.base_events", "BaseEventLoop.create_connection",
                   "TimeoutError");
    has->write_names_types = st->has.minor >= 14;
    has->reuses_inet_ports_alone =
        mentions(method_code("create_server"), "AF_INET");
    has->transport_context = ouro_probe(
        "asyncio.selector_events", "_SelectorTransport.__init__", "context");
    has->sendfile_always_seeks = !ouro_probe(
        "asyncio.unix_events",
        "_UnixSelectorEventLoop._sock_sendfile_update_filepos", "total_sent");
}
