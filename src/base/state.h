/* state.h - everything that one import of the extension owns.
 *
 * One table of all types, of what is taken from asyncio and the standard
 * library, of interned strings, the freelists and the settings.  There is no
 * other mutable state: an interpreter that imports the module again gets a
 * state of its own.
 *
 * The three tables hold object references and nothing else: state.c
 * traverses and clears them as arrays.
 */
#ifndef OURO_STATE_H
#define OURO_STATE_H

#include "base/compat.h"
#include "base/intact.h"

#include <stdbool.h>

typedef struct ouro_state ouro_state;

/* The extension's own types, in the order of the rooms. */
typedef struct ouro_types {
    /* base */
    PyTypeObject *Await;
    PyTypeObject *SmallAwait;
    PyTypeObject *AwaitWrapper;
    PyTypeObject *AsyncMethod;
    PyTypeObject *AsyncBound;
    /* task */
    PyTypeObject *Future;
    PyTypeObject *FutureIter;
    PyTypeObject *WaiterCallable;
    PyTypeObject *Task;
    PyTypeObject *TaskStep;
    PyTypeObject *TaskWakeup;
    PyTypeObject *Deadline;
    PyTypeObject *Wait;
    PyTypeObject *Release;
    PyTypeObject *Shield;
    PyTypeObject *Chain;
    PyTypeObject *Submit;
    PyTypeObject *Completed;
    PyTypeObject *GatheringFuture;
    PyTypeObject *Timeout;
    PyTypeObject *TaskGroup;
    /* task: gather, wait, shield, timeout, group */
    /* loop */
    PyTypeObject *LoopCore;
    PyTypeObject *Loop;
    PyTypeObject *Handle;
    PyTypeObject *TimerHandle;
    PyTypeObject *ThreadSafeHandle; /* 3.14+, else NULL */
    PyTypeObject *ReadyJob;
    PyTypeObject *FdWatch;
    PyTypeObject *Runner;
    PyTypeObject *LoopRunner;
    PyTypeObject *Workers;
    PyTypeObject *Call;
    /* sync */
    PyTypeObject *LoopBoundMixin;
    PyTypeObject *ContextManagerMixin;
    PyTypeObject *Lock;
    PyTypeObject *Event;
    PyTypeObject *Condition;
    PyTypeObject *Semaphore;
    PyTypeObject *BoundedSemaphore;
    PyTypeObject *Barrier;
    PyTypeObject *Queue;
    PyTypeObject *PriorityQueue;
    PyTypeObject *LifoQueue;
    /* net */
    PyTypeObject *ServerCore;
    PyTypeObject *Server;
    PyTypeObject *Listener;
    PyTypeObject *SockWatch;
    PyTypeObject *TransportSocket;
    PyTypeObject *SocketTransport;
    PyTypeObject *DatagramTransport;
    PyTypeObject *SendfileProtocol;
    PyTypeObject *ReadPipe;
    PyTypeObject *WritePipe;
    PyTypeObject *SubprocessTransport;
    PyTypeObject *SubprocessReader;
    PyTypeObject *SubprocessWriter;
    PyTypeObject *SSLProtocol;
    PyTypeObject *SSLProtocolTransport;
    PyTypeObject *TlsSpan;
    /* streams */
    PyTypeObject *StreamReader;
    PyTypeObject *StreamWriter;
    PyTypeObject *FlowControlMixin;
    PyTypeObject *StreamReaderProtocol;
    PyTypeObject *HandlerCallback;
    PyTypeObject *SubprocessProtocol;
    PyTypeObject *Process;
} ouro_types;

/* Stock objects, imported once. */
typedef struct ouro_imports {
    /* asyncio.exceptions */
    PyObject *CancelledError;
    PyObject *InvalidStateError;
    PyObject *TimeoutError;
    /* _asyncio: the registry that stock code and ours share */
    PyObject *stock_Future;
    PyObject *stock_Task;
    PyObject *get_running_loop;
    PyObject *_get_running_loop;
    PyObject *_set_running_loop;
    PyObject *get_event_loop;
    PyObject *_register_task;
    PyObject *_unregister_task;
    PyObject *_enter_task;
    PyObject *_leave_task;
    PyObject *_swap_current_task;     /* 3.12+, else NULL */
    PyObject *_register_eager_task;   /* 3.12+, else NULL */
    PyObject *_unregister_eager_task; /* 3.12+, else NULL */
    PyObject *_current_tasks;         /* <= 3.13, else NULL */
    PyObject *current_task;           /* 3.12+, else NULL */
    PyObject *all_tasks;              /* 3.14+: of asyncio itself, else NULL */
    PyObject *scheduled_tasks;        /* the WeakSet of all tasks */
    PyObject *eager_tasks;            /* 3.12+: the set, else NULL */
    /* asyncio's modules whose globals are looked up on each use */
    PyObject *asyncio;
    PyObject *coroutines;
    PyObject *events;
    PyObject *tasks;
    PyObject *futures;
    PyObject *base_futures;
    PyObject *base_tasks;
    PyObject *format_helpers;
    PyObject *logger; /* asyncio.log.logger */
    PyObject *trsock;
    PyObject *constants;               /* asyncio.constants */
    PyObject *BufferedProtocol;        /* asyncio.protocols.BufferedProtocol */
    PyObject *Transport;               /* asyncio.transports.Transport */
    PyObject *stock_DatagramTransport; /* what create_datagram_endpoint() of
                                          asyncio makes */
    PyObject *socket_module;
    PyObject *socket_type;       /* socket.socket */
    PyObject *subprocess;        /* the module */
    PyObject *popen_names;       /* tuple: shell, stdin, stdout, stderr, ... */
    PyObject *stdio_names;       /* tuple: stdin, stdout, stderr */
    PyObject *get_child_watcher; /* asyncio.events', and the */
    PyObject *policy_get_child_watcher; /* policy's; <= 3.13, else NULL */
    PyObject *AbstractEventLoop;
    PyObject *Handle;           /* asyncio.events' */
    PyObject *ThreadSafeHandle; /* 3.14+: asyncio.events', else NULL */
    PyObject *TimerHandle;      /* asyncio.events' */
    PyObject *loop_attributes;  /* dict: what our Loop was made with */
    PyObject *run_until_complete_cb;
    PyObject *signal_noop;
    PyObject *SelectorKey;        /* selectors.SelectorKey */
    PyObject *get_asyncgen_hooks; /* these five: sys' */
    PyObject *set_asyncgen_hooks;
    PyObject *get_origin_depth;
    PyObject *set_origin_depth;
    PyObject *is_finalizing;
    PyObject *concurrent_futures; /* the module */
    PyObject *ThreadPoolExecutor; /* NULL: not yet looked at, or patched */
    PyObject *runners;            /* asyncio.runners */
    PyObject *runner_created;
    PyObject *runner_initialized;
    PyObject *runner_closed;
    /* asyncio's own functions that ours replace, to know patches by */
    PyObject *Runner;
    PyObject *cancel_all_tasks;
    PyObject *tasks_all_tasks;
    PyObject *tasks_gather;
    PyObject *new_event_loop;
    PyObject *set_event_loop;
    PyObject *get_event_loop_policy;
    PyObject *policy_new_event_loop;
    PyObject *policy_set_event_loop;
    /* the standard library */
    PyObject *WeakSet;
    PyObject *WeakValueDictionary;
    PyObject *heappush;
    PyObject *heappop;
    PyObject *traceback;
    PyObject *signal;
    PyObject *CoroutineABC; /* collections.abc.Coroutine */
    PyObject *deque;
    PyObject *extract_stack; /* traceback.extract_stack */
    PyObject *isfuture;
    PyObject *ExceptionGroup;
    PyObject *timeout_State; /* asyncio.timeouts._State */
    PyObject *iscoroutine;
    PyObject *isawaitable; /* inspect.isawaitable */
    PyObject *inspect_iscoroutinefunction;
    PyObject *partial;                 /* functools.partial */
    PyObject *add_to_awaited_by;       /* 3.14+, else NULL: */
    PyObject *discard_from_awaited_by; /* of futures that are not ours */
    PyObject *concurrent_Future;       /* concurrent.futures.Future, */
    PyObject *concurrent_CancelledError;
    PyObject *concurrent_InvalidStateError;
    /* sync */
    PyObject *BrokenBarrierError;
    PyObject *QueueEmpty;
    PyObject *QueueFull;
    PyObject *QueueShutDown;   /* 3.13+, else NULL */
    PyObject *barrier_filling; /* the members of _BarrierState */
    PyObject *barrier_draining;
    PyObject *barrier_resetting;
    PyObject *barrier_broken;
    PyObject *barrier_too_few; /* what Barrier(0) says: a str */
    /* net: TLS; all but the first two are NULL without the ssl module */
    PyObject *sslproto; /* asyncio.sslproto */
    PyObject *stock_SSLProtocol;
    PyObject *ssl;
    PyObject *SSLObject;
    PyObject *SSLError;
    PyObject *CertificateError;
    PyObject *SSLAgainErrors; /* a tuple: the peer must say more first */
    /* streams */
    PyObject *streams;            /* asyncio.streams */
    PyObject *stock_StreamReader; /* its own */
    PyObject *Protocol;           /* asyncio.protocols.Protocol */
    PyObject *IncompleteReadError;
    PyObject *LimitOverrunError;
} ouro_imports;

/* Interned strings: X(text). */
#define OURO_STRINGS(X)                                                       \
    /* base */                                                                \
    X(close)                                                                  \
    X(send)                                                                   \
    X(value)                                                                  \
    /* task */                                                                \
    X(_asyncio_future_blocking)                                               \
    X(_loop)                                                                  \
    X(_check_future_blocking)                                                 \
    X(add_done_callback)                                                      \
    X(remove_done_callback)                                                   \
    X(call_at)                                                                \
    X(call_exception_handler)                                                 \
    X(call_later)                                                             \
    X(call_soon)                                                              \
    X(call_soon_threadsafe)                                                   \
    X(cancel)                                                                 \
    X(cancelled)                                                              \
    X(context)                                                                \
    X(create_future)                                                          \
    X(create_task)                                                            \
    X(done)                                                                   \
    X(eager_start)                                                            \
    X(exception)                                                              \
    X(get_debug)                                                              \
    X(get_loop)                                                               \
    X(is_running)                                                             \
    X(loop)                                                                   \
    X(message)                                                                \
    X(msg)                                                                    \
    X(name)                                                                   \
    X(result)                                                                 \
    X(set_exception)                                                          \
    X(set_name)                                                               \
    X(set_result)                                                             \
    X(source_traceback)                                                       \
    X(task)                                                                   \
    X(future)                                                                 \
    X(time)                                                                   \
    X(throw)                                                                  \
    X(_is_debug_mode)                                                         \
    X(_source_traceback)                                                      \
    X(_future_repr)                                                           \
    X(cancelling)                                                             \
    X(uncancel)                                                               \
    X(_cancel_message)                                                        \
    X(_log_destroy_pending)                                                   \
    X(_make_cancelled_error)                                                  \
    X(ALL_COMPLETED)                                                          \
    X(FIRST_COMPLETED)                                                        \
    X(FIRST_EXCEPTION)                                                        \
    X(_release_waiter)                                                        \
    X(__asyncio_running_event_loop__)                                         \
    X(__class__)                                                              \
    X(_on_timeout)                                                            \
    X(exceptions)                                                             \
    X(_set_result_unless_cancelled)                                           \
    X(_task_repr)                                                             \
    X(_task_get_stack)                                                        \
    X(_task_print_stack)                                                      \
    X(add)                                                                    \
    X(discard)                                                                \
    X(_is_coroutine)                                                          \
    X(_handle_timeout)                                                        \
    X(get)                                                                    \
    X(_get_snapshot)                                                          \
    X(set_running_or_notify_cancel)                                           \
    /* loop */                                                                \
    X(Task)                                                                   \
    X(__name__)                                                               \
    X(__self__)                                                               \
    X(_add_callback)                                                          \
    X(_asyncgen_finalizer_hook)                                               \
    X(_asyncgen_firstiter_hook)                                               \
    X(_asyncgens)                                                             \
    X(_call_soon)                                                             \
    X(_callback)                                                              \
    X(_cancelled)                                                             \
    X(_debug)                                                                 \
    X(_format_callback_source)                                                \
    X(_repr_info)                                                             \
    X(_run)                                                                   \
    X(_run_forever_cleanup)                                                   \
    X(_run_forever_setup)                                                     \
    X(_run_once)                                                              \
    X(_scheduled)                                                             \
    X(_set_coroutine_origin_tracking)                                         \
    X(_set_task_name)                                                         \
    X(_timer_handle_cancelled)                                                \
    X(_when)                                                                  \
    X(_write_to_self)                                                         \
    X(aclose)                                                                 \
    X(clear)                                                                  \
    X(debug)                                                                  \
    X(default_exception_handler)                                              \
    X(error)                                                                  \
    X(exc_info)                                                               \
    X(extract_stack)                                                          \
    X(gather)                                                                 \
    X(get_context)                                                            \
    X(handle)                                                                 \
    X(is_closed)                                                              \
    X(popleft)                                                                \
    X(run)                                                                    \
    X(run_forever)                                                            \
    X(set_debug)                                                              \
    X(shutdown)                                                               \
    X(stop)                                                                   \
    X(wait)                                                                   \
    X(_add_callback_signalsafe)                                               \
    X(_do_shutdown)                                                           \
    X(_ensure_fd_no_transport)                                                \
    X(_handle_signal)                                                         \
    X(_process_events)                                                        \
    X(_signal_handlers)                                                       \
    X(_stop_serving)                                                          \
    X(is_alive)                                                               \
    X(listen)                                                                 \
    X(remove_signal_handler)                                                  \
    X(start)                                                                  \
    X(submit)                                                                 \
    X(wrap_future)                                                            \
    X(select)                                                                 \
    X(ThreadPoolExecutor)                                                     \
    X(_lazy_init)                                                             \
    X(run_until_complete)                                                     \
    X(shutdown_asyncgens)                                                     \
    X(shutdown_default_executor)                                              \
    /* sync */                                                                \
    X(append)                                                                 \
    X(remove)                                                                 \
    X(pop)                                                                    \
    X(acquire)                                                                \
    X(release)                                                                \
    X(locked)                                                                 \
    X(notify)                                                                 \
    X(_notify)                                                                \
    X(notify_all)                                                             \
    X(wait_for)                                                               \
    X(set)                                                                    \
    X(empty)                                                                  \
    X(full)                                                                   \
    X(qsize)                                                                  \
    X(get_nowait)                                                             \
    X(put_nowait)                                                             \
    X(_get)                                                                   \
    X(_put)                                                                   \
    X(_init)                                                                  \
    X(_format)                                                                \
    X(_get_loop)                                                              \
    X(_wakeup_next)                                                           \
    X(_wake_up_first)                                                         \
    X(_wake_up_next)                                                          \
    X(__aenter__)                                                             \
    X(__aexit__)                                                              \
    X(_block)                                                                 \
    X(_wait)                                                                  \
    X(_release)                                                               \
    X(_exit)                                                                  \
    /* net */                                                                 \
    X(BufferedProtocol)                                                       \
    X(buffer_updated)                                                         \
    X(connection_lost)                                                        \
    X(connection_made)                                                        \
    X(data_received)                                                          \
    X(eof_received)                                                           \
    X(fileno)                                                                 \
    X(get_buffer)                                                             \
    X(getpeername)                                                            \
    X(getsockname)                                                            \
    X(join)                                                                   \
    X(pause_writing)                                                          \
    X(peername)                                                               \
    X(proto)                                                                  \
    X(family)                                                                 \
    X(resume_writing)                                                         \
    X(socket)                                                                 \
    X(sockname)                                                               \
    X(type)                                                                   \
    X(TransportSocket)                                                        \
    X(_add_reader)                                                            \
    X(_add_writer)                                                            \
    X(_attach)                                                                \
    X(_call_connection_lost)                                                  \
    X(_detach)                                                                \
    X(_read_ready)                                                            \
    X(_remove_reader)                                                         \
    X(_remove_writer)                                                         \
    X(_transports)                                                            \
    X(_write_ready)                                                           \
    X(_sendto_ready)                                                          \
    X(_make_datagram_transport)                                               \
    X(datagram_received)                                                      \
    X(error_received)                                                         \
    X(recvfrom)                                                               \
    X(sendto)                                                                 \
    X(sock_sendfile)                                                          \
    X(connect)                                                                \
    X(remove_reader)                                                          \
    X(PIPE)                                                                   \
    X(Popen)                                                                  \
    X(_make_subprocess_transport)                                             \
    X(_process_exited)                                                        \
    X(_watcher)                                                               \
    X(connect_read_pipe)                                                      \
    X(connect_write_pipe)                                                     \
    X(disconnected)                                                           \
    X(get_child_watcher)                                                      \
    X(get_event_loop_policy)                                                  \
    X(get_pid)                                                                \
    X(get_pipe_transport)                                                     \
    X(get_returncode)                                                         \
    X(pid)                                                                    \
    X(pipe)                                                                   \
    X(pipe_connection_lost)                                                   \
    X(pipe_data_received)                                                     \
    X(process_exited)                                                         \
    X(returncode)                                                             \
    X(subprocess)                                                             \
    X(subprocess_exec)                                                        \
    X(subprocess_shell)                                                       \
    X(_unix_server_sockets)                                                   \
    X(SO_REUSEPORT)                                                           \
    X(SSLProtocol)                                                            \
    X(SSLSocket)                                                              \
    X(bind)                                                                   \
    X(warning)                                                                \
    X(sock_connect)                                                           \
    X(remove_writer)                                                          \
    X(staggered_race)                                                         \
    X(getaddrinfo)                                                            \
    X(run_in_executor)                                                        \
    X(_connect_sock)                                                          \
    X(_ensure_resolved)                                                       \
    X(_make_socket_transport)                                                 \
    X(_make_ssl_transport)                                                    \
    X(_start_serving)                                                         \
    X(setblocking)                                                            \
    /* net */                                                                 \
    X(_force_close)                                                           \
    X(_sslobj)                                                                \
    X(cipher)                                                                 \
    X(compression)                                                            \
    X(do_handshake)                                                           \
    X(getpeercert)                                                            \
    X(peercert)                                                               \
    X(pending)                                                                \
    X(ssl_object)                                                             \
    X(unwrap)                                                                 \
    /* streams */                                                             \
    X(_client_connected_cb)                                                   \
    X(_drain_helper)                                                          \
    X(_get_close_waiter)                                                      \
    X(_maybe_resume_transport)                                                \
    X(_replace_transport)                                                     \
    X(_replace_writer)                                                        \
    X(_wakeup_waiter)                                                         \
    X(abort)                                                                  \
    X(can_write_eof)                                                          \
    X(drain)                                                                  \
    X(feed_data)                                                              \
    X(feed_eof)                                                               \
    X(get_extra_info)                                                         \
    X(is_closing)                                                             \
    X(pause_reading)                                                          \
    X(read)                                                                   \
    X(resume_reading)                                                         \
    X(set_transport)                                                          \
    X(sslcontext)                                                             \
    X(transport)                                                              \
    X(write)                                                                  \
    X(write_eof)                                                              \
    X(writelines)

typedef struct ouro_strings {
#define X(text) PyObject *text;
    OURO_STRINGS(X)
#undef X
} ouro_strings;

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
    bool reports_handler;   /* the handler's task failing is reported, */
    bool handles_cancelled; /* its being cancelled is not, */
    bool reports_call;      /* and client_connected_cb raising is */
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
    bool names_by_function;        /* create_task() calls _set_task_name() */
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
    bool factory_name;         /* eager task factories: factory(loop, coro, *,
                                name=None, context=None) */
    bool factory_kwargs;       /* and **kwargs */
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
    bool datagram_socks;    /* all but stream sockets are datagram sockets */
    bool empty_datagrams;   /* are sent */
    int datagram_header;    /* bytes that count for a datagram that waits */
    bool task_kwargs;       /* create_task(coro, **kwargs) */
    bool task_name;         /* create_task() has a parameter `name` */
    bool names_by_function; /* tasks._set_task_name() after a factory */
    bool run_setup;         /* _run_forever_setup(), _run_forever_cleanup() */
    bool handler_context;   /* exception handlers run in who failed's */
    bool shutdown_timeout;  /* shutdown_default_executor(timeout) */
    bool shutdown_waits_briefly;  /* no longer than that, in all */
    bool debug_formats;           /* _format_callback_source(..., debug=) */
    bool private_coroutine_check; /* coroutines._iscoroutinefunction() */
    bool watcher;                 /* loop._watcher, of child processes */
    bool watch_context;           /* _add_reader(..., context=) */
    bool forever_closes_clients;  /* serve_forever(), when it is cancelled */
    bool tls_takes_unread;        /* start_tls(): what a reader has buffered */
    bool closes_refused_sock;     /* of which no transport could be made */
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
    bool stopiteration_ends_await; /* 3.12+: even if it was thrown in */
    bool throw_of_three_warns;     /* 3.12+: throw(type, value, traceback) */
    bool close_returns_value;      /* 3.13+: of a coroutine's return */
    bool await_says_cant_be;       /* 3.14+: the new words of TypeErrors */
    bool await_says_must_return;   /* 3.15+ */
    bool coroutine_state;          /* 3.15+: cr_state */
    bool eager_tasks;              /* 3.12+ */
    bool lazy_task_names;         /* 3.12+: "Task-%d" is formatted on demand */
    bool wraps_stopiteration;     /* 3.13+: set_exception(StopIteration) */
    bool gather_finishes_at_once; /* 3.12+: no turns for done children */
    bool create_task_takes_name;  /* 3.13+: loop.create_task(name=) */
    bool timeout_matches_subclasses; /* 3.13+: of CancelledError */
    bool group_matches_subclasses;   /* 3.13+ */
    bool group_uncancels_late;       /* 3.13+: nested cancellation */
    bool group_closes_refused;       /* 3.13+: coroutines */
    bool waitfor_is_timeout;         /* 3.12+: wait_for() makes no task */
    bool running_loop_holder;        /* 3.11: see task/running.c */
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

/* Freed objects of one exact type, linked through their first own word. */
typedef struct ouro_freelist {
    PyObject *head;
    Py_ssize_t count;
} ouro_freelist;

/* A protocol type of ours and its table (net/protocol_ops.h). */
enum { OURO_PROTOCOLS_MAX = 4 };

typedef struct ouro_protocol_entry {
    PyTypeObject *type; /* borrowed: `types` owns it */
    const struct protocol_ops *ops;
} ouro_protocol_entry;

/* Classes of src/sync whose methods C goes past while they are intact. */
typedef struct ouro_sync_classes {
    ouro_intact Lock;
    ouro_intact Event;
    ouro_intact Condition;
    ouro_intact Semaphore;
    ouro_intact BoundedSemaphore;
    ouro_intact Queue;
    ouro_intact PriorityQueue;
    ouro_intact LifoQueue;
} ouro_sync_classes;

/* The same of src/net. */
typedef struct ouro_net_classes {
    ouro_intact SocketTransport;
    ouro_intact WritePipe;
    ouro_intact SSLProtocol;
    ouro_intact SSLProtocolTransport;
    ouro_intact SSLObject; /* the ssl module's; empty without that */
} ouro_net_classes;

/* The same of src/streams. */
typedef struct ouro_stream_classes {
    ouro_intact StreamReader;
    ouro_intact StreamReaderProtocol;
} ouro_stream_classes;

struct ouro_state {
    PyObject *module; /* borrowed: the state dies with it */
    ouro_types types;
    ouro_imports stock;
    ouro_strings str;
    ouro_features has;
    bool installed; /* ouro.install() is in force */

    /* base: what send() does to the iterator of `await` on an exact future of
     * ours, pending or done; from the task room. */
    PySendResult (*future_send)(PyObject *future, PyObject **ret);
    /* task */
    struct TaskObject *tasks; /* registry: all live tasks of ours */
    PyObject *running_holder; /* task/running.c */
    uint64_t running_version; /* of the dict where it was seen, or 0 */
    PyObject *running_loop;
    unsigned long long task_names; /* the last N of "Task-N" given out */
    unsigned long long fast_steps; /* task steps run on the fast path */
    ouro_freelist free_futures;
    ouro_freelist free_future_iters;
    ouro_freelist free_tasks;
    ouro_freelist free_awaits;
    ouro_freelist free_small_awaits;
    PyObject *await_extras; /* dict, or NULL: see base/coroutine.c */
    ouro_freelist free_asyncbounds;
    /* loop */
    ouro_freelist free_handles;
    ouro_freelist free_timer_handles;
    ouro_freelist free_safe_handles;
    ouro_intact loop_intact;       /* nobody has patched our Loop class */
    struct WorkersObject *workers; /* all pools of threads (workers.c) */
    bool workers_registered;       /* for the interpreter's exit */
    bool workers_exit;             /* that has begun */
    ouro_intact thread_pool;       /* nobody has patched ThreadPoolExecutor */
    const struct net_ops *net;     /* loop/netops.h */
    bool reads_socket_fd;          /* sockets keep it where we look */
    /* net */
    ouro_protocol_entry protocols[OURO_PROTOCOLS_MAX];
    int protocol_count;
    ouro_net_classes transports;
    /* sync */
    ouro_sync_classes sync;
    /* streams */
    ouro_stream_classes streams;
};

/* The definition of the extension module. */
extern PyModuleDef ouro_module_def;

/* The same for a class that Python derived from one of ours. */
ouro_state *ouro_state_of_subclass(PyTypeObject *type);

/* The state of the module that defined this type (or a base of it); never
 * fails for objects of this module's types. */
static inline ouro_state *
ouro_state_of_type(PyTypeObject *type)
{
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        PyObject *module = ((PyHeapTypeObject *)type)->ht_module;
        if (module != NULL && OURO_MODULE_DEF(module) == &ouro_module_def) {
            return (ouro_state *)OURO_MODULE_STATE(module);
        }
    }
    return ouro_state_of_subclass(type);
}

/* The collector has not taken the type apart: its module, and so the state,
 * is still there. */
static inline bool
ouro_type_alive(PyTypeObject *type)
{
    return ((PyHeapTypeObject *)type)->ht_module != NULL;
}

static inline ouro_state *
ouro_state_of(PyObject *object)
{
    return ouro_state_of_type(Py_TYPE(object));
}

static inline ouro_state *
ouro_module_state(PyObject *module)
{
    return (ouro_state *)OURO_MODULE_STATE(module);
}

/* Make a heap type of this module, add it to the module under its own name
 * when `public`, and store it in *slot.  bases: NULL, or a tuple (borrowed).
 */
int ouro_add_type(PyObject *module, PyType_Spec *spec, PyObject *bases,
                  bool public_name, PyTypeObject **slot);

int ouro_state_init(PyObject *module, ouro_state *st);
int ouro_state_traverse(ouro_state *st, visitproc visit, void *arg);
/* Breaks reference cycles; objects of ours may outlive it, so the strings
 * that their finalizers use stay until ouro_state_free(). */
void ouro_state_clear(ouro_state *st);
void ouro_state_free(ouro_state *st);

/* Freelists hold memory of objects that are no longer tracked and own
 * nothing.  pop: a tracked-to-be object with one reference, or NULL. */
PyObject *ouro_freelist_pop(ouro_freelist *list, PyTypeObject *type);
/* The same, with what dealloc left in it; only its first word is rubbish. */
PyObject *ouro_freelist_take(ouro_freelist *list, PyTypeObject *type);
bool ouro_freelist_push(ouro_freelist *list, PyObject *object,
                        Py_ssize_t limit);
void ouro_freelist_clear(ouro_freelist *list);

#endif
