"""Which names of asyncio are ouro's, and which stay asyncio's own.

NATIVE is the table of replacements: room of the sources -> module of asyncio
-> names.  The extension exports each under the same name, or under the one
after "="; a name that it does not have (yet) is left alone.  ASYNCIO lists
the public names that ouro takes from asyncio on purpose.  The surface table
(docs/surface.md) is made from both; a test fails on a name in neither.
"""

NATIVE = {
    "task": {
        "base_futures": "isfuture",
        "futures": """
            Future wrap_future future_add_to_awaited_by
            future_discard_from_awaited_by _chain_future
            _copy_future_state _set_concurrent_future_state
            _convert_future_exc _set_result_unless_cancelled""",
        "coroutines": "iscoroutine iscoroutinefunction",
        "tasks": """
            Task create_task current_task all_tasks ensure_future sleep
            gather shield wait wait_for as_completed
            _AsCompletedIterator run_coroutine_threadsafe
            eager_task_factory create_eager_task_factory
            _register_task _unregister_task _register_eager_task
            _unregister_eager_task _enter_task _leave_task
            _swap_current_task""",
        "timeouts": "Timeout timeout timeout_at",
        "taskgroups": "TaskGroup",
        "graph": "capture_call_graph format_call_graph print_call_graph",
    },
    "loop": {
        "events": """
            Handle TimerHandle _ThreadSafeHandle get_running_loop
            _get_running_loop
            _set_running_loop get_event_loop _get_event_loop
            new_event_loop set_event_loop""",
        "unix_events": "_UnixSelectorEventLoop=Loop",
        "base_events": "Server",
        "runners": "Runner run _cancel_all_tasks",
        "threads": "to_thread",
    },
    "sync": {
        "mixins": "_LoopBoundMixin",
        "locks": """
            _ContextManagerMixin Lock Event Condition Semaphore
            BoundedSemaphore Barrier""",
        "queues": "Queue PriorityQueue LifoQueue",
    },
    "net": {
        "trsock": "TransportSocket",
        "sslproto": "SSLProtocol _SSLProtocolTransport",
        "staggered": "staggered_race",
    },
    "streams": {
        "streams": """
            StreamReader StreamWriter StreamReaderProtocol FlowControlMixin
            open_connection start_server open_unix_connection
            start_unix_server""",
        "subprocess": """
            Process SubprocessStreamProtocol create_subprocess_exec
            create_subprocess_shell""",
    },
}

# What stays asyncio's: classes that everybody derives from and compares
# with, exceptions, constants, settings, and what serves other loops alone.
ASYNCIO = {
    "base_events": "BaseEventLoop MAXIMUM_SELECT_TIMEOUT logger",
    "base_futures": "",
    "base_subprocess": """
        BaseSubprocessTransport ReadSubprocessPipeProto
        WriteSubprocessPipeProto logger""",
    "base_tasks": "",
    "constants": "*",
    "events": """
        AbstractEventLoop AbstractServer AbstractEventLoopPolicy
        BaseDefaultEventLoopPolicy get_event_loop_policy
        set_event_loop_policy get_child_watcher
        set_child_watcher on_fork""",
    "exceptions": "*",
    "format_helpers": "extract_stack",
    "graph": "FrameCallGraphEntry FutureCallGraph",
    "futures": "STACK_DEBUG",
    "log": "*",
    "mixins": "",
    "proactor_events": "*",
    "protocols": "*",
    "queues": "QueueEmpty QueueFull QueueShutDown",
    "selector_events": "*",
    "sslproto": """
        AppProtocolState SSLAgainErrors SSLProtocolState
        add_flowcontrol_defaults logger""",
    "streams": "logger",
    "subprocess": "DEVNULL PIPE STDOUT logger",
    "tasks": "ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION",
    "tools": "*",
    "transports": "*",
    "unix_events": """
        DefaultEventLoopPolicy AbstractChildWatcher BaseChildWatcher
        FastChildWatcher MultiLoopChildWatcher PidfdChildWatcher
        SafeChildWatcher ThreadedChildWatcher can_use_pidfd
        waitstatus_to_exitcode logger""",
}
