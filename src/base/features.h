/* features.h - what the running version of asyncio does differently.
 *
 * Found by version or by probing it (the file that each comment names), once
 * an import.
 */
#ifndef OURO_FEATURES_H
#define OURO_FEATURES_H

#include "base/compat.h"

#include <stdbool.h>

/* What the running asyncio's streams do (streams/stock.c). */
typedef struct ouro_stream_features {
    bool asserts;              /* Python runs without -O */
    bool separators;           /* readuntil() takes a tuple */
    bool takes_bytes;          /* bytearray.take_bytes() is what reads */
    bool tls_shutdown_timeout; /* start_tls(ssl_shutdown_timeout=) */
    bool replaces_transport;   /* protocol._replace_transport(), before that
                                  _replace_writer() */
    bool reader_replaces_transport; /* reader._replace_transport() */
    bool keeps_writer;              /* protocol._stream_writer is the writer */
    bool forgets_writer;            /* connection_lost() sets it to None */
    bool reports_handler; /* ... that the task of client_connected_cb failed */
    bool handles_cancelled; /* one that was cancelled is not reported */
    bool reports_call;      /* ... that calling client_connected_cb raised */
    enum {
        STREAMS_DEL_NONE,
        STREAMS_DEL_CLOSES,
        STREAMS_DEL_ASKS_LOOP, /* closes, but on an open loop alone */
    } writer_del;
} ouro_stream_features;

/* What the running asyncio's tasks do (task/stock.c). */
typedef struct ouro_task_features {
    bool checks_context;      /* Task(context=) must be a Context */
    bool refuses_second_init; /* Future.__init__() of an initialized one */
    bool quiet_after_failed_start; /* an eager start that raises: the task
                                      is no pending one */
    bool create_kwargs;            /* create_task(coro, **kwargs) */
    bool names_by_function;        /* _set_task_name() after a factory */
    bool gather_on_running_loop;   /* the arguments belong to that */
    bool shield_forgets;           /* the inner exception after a cancellation
                                of the outer future */
    bool completed_object;   /* as_completed() returns an object, and is no
                                generator */
    bool completed_restores; /* a failed wait gives its turn back */
    bool chain_asks_running_loop; /* whether it may set a result at once */
    bool chain_snapshots;         /* concurrent futures have _get_snapshot() */
    bool convert_keeps_traceback; /* futures._convert_future_exc() */
    bool convert_timeout;         /* TimeoutError too */
    bool factory_kwargs;       /* eager task factories: factory(loop, coro, *,
                                ..., **kwargs) */
    bool factory_eager_start;  /* and eager_start=True */
    bool group_kwargs;         /* TaskGroup.create_task(coro, **kwargs) */
    bool group_name;           /* it has a parameter `name` */
    bool group_always_watches; /* a task that is done, too */
    bool group_cancels_late;   /* a task that started while it aborted */
    bool group_forgets;        /* its parent and errors, in __aexit__ */
    bool group_cancel;         /* TaskGroup.cancel() */
    bool group_keeps_cancellation; /* one that is not its own */
    bool group_passes_exit;        /* a lone GeneratorExit, ungrouped */
    bool race_by_callbacks;        /* staggered_race() without wait() */
    bool wrapper_is_generator;     /* _wrap_awaitable(): it does not warn if it
                                  is never awaited */
    bool iscoroutine_generators;   /* iscoroutine() of generators */
    bool deprecates_iscoroutinefunction;
} ouro_task_features;

/* What the running asyncio's event loop does (loop/stock.c). */
typedef struct ouro_loop_features {
    bool datagram_socks;   /* all but stream sockets are datagram sockets */
    bool empty_datagrams;  /* are sent */
    int datagram_header;   /* bytes that count for a datagram that waits */
    bool task_kwargs;      /* create_task(coro, **kwargs) */
    bool task_name;        /* create_task() has a parameter `name` */
    bool run_setup;        /* _run_forever_setup(), _run_forever_cleanup() */
    bool handler_context;  /* exception handlers run in who failed's */
    bool shutdown_timeout; /* shutdown_default_executor(timeout) */
    bool shutdown_waits_briefly;  /* no longer than that, in all */
    bool debug_formats;           /* _format_callback_source(..., debug=) */
    bool private_coroutine_check; /* coroutines._iscoroutinefunction() */
    bool watcher;                 /* loop._watcher, of child processes */
    bool watch_context;           /* _add_reader(..., context=) */
    bool forever_closes_clients;  /* serve_forever(), when it is cancelled */
    bool tls_takes_unread;        /* start_tls(): what a reader has buffered */
    bool closes_refused_sock;     /* of which no transport could be made */
    bool connect_times_out;       /* create_connection(), with no exceptions */
    bool write_names_types;       /* the error of a stream transport's write()
                                     with something else */
    bool last_sent_is_lost;       /* a transport that has sent all and closes
                                     takes no more in connection_lost() */
    bool reuses_inet_ports_alone; /* create_server(reuse_port=True) */
    bool transport_context;       /* transports keep one for all calls */
    bool sendfile_always_seeks;   /* whatever the offset and the outcome */
    bool run_loop_factory;        /* asyncio.run(loop_factory=) */
    bool runner_takes_awaitables; /* Runner.run(): not coroutines alone */
    bool runner_bounds_shutdown;  /* of the executor, in time */
} ouro_loop_features;

/* What the running asyncio's TLS does (net/tls_protocol.c). */
typedef struct ouro_tls_features {
    bool abort_passes_on;      /* the exception, by transport._force_close() */
    bool asks_transport;       /* is_closing(): of the one below, too */
    bool keeps_shutdown_timer; /* until connection_lost() */
} ouro_tls_features;

/* What the running asyncio's subprocesses do (net/subprocess_stock.c). */
typedef struct ouro_process_features {
    bool kills_by_os;      /* send_signal() is os.kill() */
    bool spares_the_ended; /* ... but not once the exit is known */
    bool exit_wakes;       /* wait() ends with process_exited(), and not with
                              connection_lost() */
    bool close_asks_loop;  /* whether it is closed, before the pipes are */
    bool connect_cleans;   /* a failure closes the pipes */
    bool wait_shielded;    /* a cancelled start does not end its wait() */
    bool drains_always;    /* communicate() closes stdin without input, too */
    bool threads;          /* exits are waited for in threads by default */
    bool enters_watcher;   /* `with get_child_watcher() as watcher` */
    int exit_turns;        /* from a child's end to process_exited() */
} ouro_process_features;

/* What the running asyncio does, found by version or by probing it. */
typedef struct ouro_features {
    int minor; /* of the running Python: 11 for 3.11 */
    int micro;
    bool stopiteration_ends_await;   /* 3.12+: even if it was thrown in */
    bool throw_of_three_warns;       /* 3.12+: throw(type, value, traceback) */
    bool close_returns_value;        /* 3.13+: of a coroutine's return */
    bool await_says_cant_be;         /* 3.14+: the new words of TypeErrors */
    bool await_says_must_return;     /* 3.15+ */
    bool coroutine_state;            /* 3.15+: cr_state */
    bool eager_tasks;                /* 3.12+ */
    bool wraps_stopiteration;        /* 3.13+: set_exception(StopIteration) */
    bool gather_finishes_at_once;    /* 3.12+: no turns for done children */
    bool create_task_takes_name;     /* 3.13+: loop.create_task(name=) */
    bool timeout_matches_subclasses; /* 3.13+: of CancelledError */
    bool group_matches_subclasses;   /* 3.13+ */
    bool group_uncancels_late;       /* 3.13+: nested cancellation */
    bool group_closes_refused;       /* 3.13+: coroutines */
    bool waitfor_is_timeout;         /* 3.12+: wait_for() makes no task */
    bool running_loop_holder;        /* <= 3.12: in a dict, then in a field:
                                        task/running.c */
    bool sleep_refuses_nan;          /* 3.13+ */
    bool uncancel_clears; /* 3.13+: uncancel() to 0 undoes a request */
    /* 3.13+: a permit that comes back wakes all that it can, and what a
     * cancelled waiter was woken for is passed on. */
    bool semaphore_passes_on;
    bool condition_passes_on;
    bool queue_shutdown; /* 3.13+ */
    bool call_graph;     /* 3.14+: futures know who awaits them */
    ouro_task_features task;
    ouro_loop_features loop;
    ouro_tls_features tls;
    ouro_stream_features streams;
    ouro_process_features process;
} ouro_features;

#endif
