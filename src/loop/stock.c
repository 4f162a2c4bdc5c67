/* stock.c - what the running asyncio's event loop does (see base/probe.h). */
#include "base/probe.h"
#include "loop/loop.h"

static bool
base_loop(const char *method, const char *word)
{
    char path[64];
    PyOS_snprintf(path, sizeof(path), "BaseEventLoop.%s", method);
    return ouro_probe("asyncio.base_events", path, word);
}

static void
find_run_features(ouro_loop_features *has)
{
    has->run_setup = base_loop("_run_forever_setup", "self");
    has->shutdown_timeout = base_loop("shutdown_default_executor", "timeout");
    has->shutdown_waits_briefly =
        base_loop("shutdown_default_executor", "timeouts");
    has->run_loop_factory =
        ouro_probe("asyncio.runners", "run", "loop_factory");
    has->runner_takes_awaitables =
        ouro_probe("asyncio.runners", "Runner.run", "isawaitable");
    has->runner_bounds_shutdown =
        ouro_probe("asyncio.runners", "Runner.close", "THREAD_JOIN_TIMEOUT");
}

static void
find_callback_features(ouro_loop_features *has)
{
    has->task_kwargs = base_loop("create_task", "kwargs");
    has->task_name = base_loop("create_task", "name");
    has->handler_context = base_loop("call_exception_handler", "get_context");
    has->private_coroutine_check =
        base_loop("_check_callback", "_iscoroutinefunction");
    has->debug_formats = ouro_probe("asyncio.format_helpers",
                                    "_format_callback_source", "debug");
    has->watch_context =
        ouro_probe("asyncio.selector_events",
                   "BaseSelectorEventLoop._add_reader", "context");
    has->watcher =
        ouro_probe_exists("asyncio.unix_events", "_PidfdChildWatcher");
}

static void
find_connection_features(ouro_loop_features *has, int minor)
{
    has->forever_closes_clients = ouro_probe(
        "asyncio.base_events", "Server.serve_forever", "close_clients");
    has->tls_takes_unread = base_loop("start_tls", "StreamReaderProtocol");
    has->closes_refused_sock = minor >= 14;
    has->connect_times_out = base_loop("create_connection", "TimeoutError");
    has->write_names_types = minor >= 14;
    has->last_sent_is_lost =
        ouro_probe_sets("asyncio.selector_events",
                        "_SelectorSocketTransport._write_send", "_conn_lost");
    has->reuses_inet_ports_alone = base_loop("create_server", "AF_INET");
    has->transport_context = ouro_probe(
        "asyncio.selector_events", "_SelectorTransport.__init__", "context");
    has->sendfile_always_seeks = !ouro_probe(
        "asyncio.unix_events",
        "_UnixSelectorEventLoop._sock_sendfile_update_filepos", "total_sent");
}

void
ouro_loop_find_features(ouro_state *st)
{
    find_run_features(&st->has.loop);
    find_callback_features(&st->has.loop);
    find_connection_features(&st->has.loop, st->has.minor);
}
