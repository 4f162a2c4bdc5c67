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
#include "base/features.h"
#include "base/intact.h"
#include "base/strings.h"

#include <stdbool.h>
#include <string.h>

typedef struct ouro_state ouro_state;

/* The extension's own types, in the order of the rooms. */
typedef struct ouro_types {
    /* base */
    PyTypeObject *Await;
    PyTypeObject *SmallAwait;
    PyTypeObject *AwaitWrapper;
    PyTypeObject *AwaitEnd; /* 3.12+, else NULL */
    PyTypeObject *Function;
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
    PyTypeObject *EagerFactory; /* 3.12+, else NULL */
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
    PyTypeObject *ServerCore;
    PyTypeObject *Server;
    PyTypeObject *Listener;
    PyTypeObject *SockWatch;
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
    PyObject *locks;
    PyObject *trsock;
    PyObject *transports;
    PyObject *unix_events;
    PyObject *staggered;
    PyObject *constants;
    PyObject *BufferedProtocol;        /* asyncio.protocols.BufferedProtocol */
    PyObject *Transport;               /* asyncio.transports.Transport */
    PyObject *stock_DatagramTransport; /* what create_datagram_endpoint() of
                                          asyncio makes */
    PyObject *socket_module;
    PyObject *socket_type;       /* socket.socket */
    PyObject *builtin_socket;    /* _socket.socket */
    PyObject *socket_accept;     /* socket.socket.accept */
    PyObject *subprocess;        /* the module */
    PyObject *popen_names;       /* tuple: shell, stdin, stdout, stderr, ... */
    PyObject *stdio_names;       /* tuple: stdin, stdout, stderr */
    PyObject *get_child_watcher; /* asyncio.events', and the */
    PyObject *policy_get_child_watcher; /* policy's; <= 3.13, else NULL */
    PyObject *BaseSelectorEventLoop;
    PyObject *UnixSelectorEventLoop;
    PyObject *get_extra_info;   /* of transports.Transport */
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
    PyObject *eager_task_factory; /* 3.12+, else NULL */
    PyObject *new_event_loop;
    PyObject *set_event_loop;
    PyObject *get_event_loop_policy;
    PyObject *policy_new_event_loop;
    PyObject *policy_set_event_loop;
    /* the standard library: modules, and what is taken from some */
    PyObject *os;
    PyObject *threading;
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

/* Freed objects of one exact type, linked through their first own word. */
typedef struct ouro_freelist {
    PyObject *head;
    Py_ssize_t count;
} ouro_freelist;

/* A dict as it was when it was looked into: base/watch.h. */
typedef struct ouro_dict_seen {
    PyObject *dict; /* borrowed, to compare with; or NULL */
    uint64_t changes;
} ouro_dict_seen;

/* Bytes objects that were given out, of which some may be ours alone by now:
 * a ring of the last ones. */
enum { OURO_SPARES = 64 };

typedef struct ouro_spares {
    PyObject *objects[OURO_SPARES];
    unsigned last; /* the place of the one given out last */
} ouro_spares;

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

    ouro_spares spares; /* base/bytes.c */
    bool watches_dicts; /* base/watch.c */
    int dict_watcher;
    /* base: what send() does to the iterator of `await` on an exact future of
     * ours, pending or done; from the task room. */
    PySendResult (*future_send)(PyObject *future, PyObject **ret);
    /* task */
    struct TaskObject *tasks; /* registry: all live tasks of ours */
    PyObject *running_holder; /* task/running.c */
    PyObject *running_loop;
    ouro_dict_seen running_seen;   /* the dict where that was found */
    ouro_intact group_intact;      /* nobody has patched TaskGroup */
    size_t running_offset;         /* in a thread's state, or 0 */
    size_t task_offset;            /* the same */
    ouro_dict_seen events_seen;    /* asyncio.events' dict, unpatched */
    unsigned long long task_names; /* the last N of "Task-N" given out */
    unsigned long long fast_steps; /* task steps run on the fast path */
    ouro_freelist free_futures;
    ouro_freelist free_future_iters;
    ouro_freelist free_tasks;
    ouro_freelist free_timeouts;
    ouro_freelist free_awaits;
    ouro_freelist free_small_awaits;
    ouro_freelist free_await_ends;
    PyObject *await_extras; /* dict, or NULL: see coroutine_attrs.c */
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

/* ouro_state_of_type() for a class that was derived in Python from one of
 * ours. */
OURO_COLD ouro_state *ouro_state_of_subclass(PyTypeObject *type);

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

/* Whether the type still has its module, and so the state: the collector takes
 * types apart too, sometimes before their last objects. */
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

/* Make a heap type of this module, add it to the module under its own name if
 * public_name, and store it in *slot.  bases: NULL, a class, or a tuple
 * (borrowed). */
int ouro_add_type(PyObject *module, PyType_Spec *spec, PyObject *bases,
                  bool public_name, PyTypeObject **slot);

int ouro_state_init(PyObject *module, ouro_state *st);
int ouro_state_traverse(ouro_state *st, visitproc visit, void *arg);
/* Breaks reference cycles; objects of ours may outlive it, so the strings
 * that their finalizers use stay until ouro_state_free(). */
void ouro_state_clear(ouro_state *st);
void ouro_state_free(ouro_state *st);

/* Freelists hold memory of objects that are no longer tracked and own
 * nothing. */

/* The link of a freed object: its first word behind the head. */
static inline PyObject **
ouro_freelist_link(PyObject *object)
{
    return (PyObject **)((char *)object + sizeof(PyObject));
}

/* An object with one reference, not tracked yet, or NULL.  Its fields are as
 * dealloc has left them, but for the first word, which is garbage. */
static inline PyObject *
ouro_freelist_take(ouro_freelist *list, PyTypeObject *type)
{
    PyObject *object = list->head;
    if (object == NULL) {
        return NULL;
    }
    list->head = *ouro_freelist_link(object);
    list->count--;
    ouro_gc_forget_finalized(object);
    ouro_revive(object, type);
    return object;
}

/* The same with nothing but zeros in it; size: of its struct. */
static inline PyObject *
ouro_freelist_pop(ouro_freelist *list, PyTypeObject *type, size_t size)
{
    PyObject *object = ouro_freelist_take(list, type);
    if (object != NULL) {
        memset(ouro_freelist_link(object), 0, size - sizeof(PyObject));
    }
    return object;
}

static inline bool
ouro_freelist_push(ouro_freelist *list, PyObject *object, Py_ssize_t limit)
{
    if (list->count >= limit) {
        return false;
    }
    *ouro_freelist_link(object) = list->head;
    list->head = object;
    list->count++;
    return true;
}

#endif
