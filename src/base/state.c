/* state.c - fills, traverses and clears the module's state. */
#include "base/ouro.h"
#include "base/watch.h"

#include <string.h>

/* Each of the three tables is an array of references, whatever its members
 * are called. */
#define TABLE_LENGTH(table) (sizeof(table) / sizeof(PyObject *))

typedef struct import_entry {
    const char *module;
    const char *name; /* NULL: the module itself */
    size_t offset;    /* in ouro_imports */
    bool optional;
} import_entry;

#define IMPORT(module, name, member)                                          \
    {                                                                         \
        module, name, offsetof(ouro_imports, member), false                   \
    }
#define IMPORT_OPTIONAL(module, name, member)                                 \
    {                                                                         \
        module, name, offsetof(ouro_imports, member), true                    \
    }

static const import_entry imports[] = {
    IMPORT("asyncio.exceptions", "CancelledError", CancelledError),
    IMPORT("asyncio.exceptions", "InvalidStateError", InvalidStateError),
    IMPORT("asyncio.exceptions", "TimeoutError", TimeoutError),
    IMPORT("_asyncio", "Future", stock_Future),
    IMPORT("_asyncio", "Task", stock_Task),
    IMPORT("_asyncio", "get_running_loop", get_running_loop),
    IMPORT("_asyncio", "_get_running_loop", _get_running_loop),
    IMPORT("_asyncio", "_set_running_loop", _set_running_loop),
    IMPORT("_asyncio", "get_event_loop", get_event_loop),
    IMPORT("_asyncio", "_register_task", _register_task),
    IMPORT("_asyncio", "_unregister_task", _unregister_task),
    IMPORT("_asyncio", "_enter_task", _enter_task),
    IMPORT("_asyncio", "_leave_task", _leave_task),
    IMPORT_OPTIONAL("_asyncio", "_swap_current_task", _swap_current_task),
    IMPORT_OPTIONAL("_asyncio", "_current_tasks", _current_tasks),
    IMPORT_OPTIONAL("_asyncio", "current_task", current_task),
    IMPORT_OPTIONAL("_asyncio", "all_tasks", all_tasks),
    IMPORT_OPTIONAL("_asyncio", "_register_eager_task", _register_eager_task),
    IMPORT_OPTIONAL("_asyncio", "_unregister_eager_task",
                    _unregister_eager_task),
    IMPORT("asyncio", NULL, asyncio),
    IMPORT("asyncio.coroutines", NULL, coroutines),
    IMPORT("asyncio.events", NULL, events),
    IMPORT("asyncio.tasks", NULL, tasks),
    IMPORT("asyncio.base_futures", NULL, base_futures),
    IMPORT("asyncio.base_tasks", NULL, base_tasks),
    IMPORT("asyncio.format_helpers", NULL, format_helpers),
    IMPORT("asyncio.log", "logger", logger),
    IMPORT("asyncio.locks", NULL, locks),
    IMPORT("asyncio.trsock", NULL, trsock),
    IMPORT("asyncio.transports", NULL, transports),
    IMPORT("asyncio.unix_events", NULL, unix_events),
    IMPORT("asyncio.staggered", NULL, staggered),
    IMPORT("asyncio.constants", NULL, constants),
    IMPORT("asyncio.protocols", "BufferedProtocol", BufferedProtocol),
    IMPORT("asyncio.transports", "Transport", Transport),
    IMPORT("asyncio.selector_events", "_SelectorDatagramTransport",
           stock_DatagramTransport),
    IMPORT("socket", NULL, socket_module),
    IMPORT("socket", "socket", socket_type),
    IMPORT("_socket", "socket", builtin_socket),
    IMPORT("asyncio.selector_events", "BaseSelectorEventLoop",
           BaseSelectorEventLoop),
    IMPORT("asyncio.unix_events", "_UnixSelectorEventLoop",
           UnixSelectorEventLoop),
    IMPORT("asyncio.events", "Handle", Handle),
    IMPORT("asyncio.events", "TimerHandle", TimerHandle),
    IMPORT_OPTIONAL("asyncio.events", "_ThreadSafeHandle", ThreadSafeHandle),
    IMPORT("asyncio.futures", NULL, futures),
    IMPORT("asyncio.runners", NULL, runners),
    IMPORT("asyncio.runners", "Runner", Runner),
    IMPORT("asyncio.runners", "_cancel_all_tasks", cancel_all_tasks),
    IMPORT("asyncio.tasks", "all_tasks", tasks_all_tasks),
    IMPORT("asyncio.tasks", "gather", tasks_gather),
    IMPORT_OPTIONAL("asyncio.tasks", "eager_task_factory", eager_task_factory),
    IMPORT("asyncio.events", "new_event_loop", new_event_loop),
    IMPORT("asyncio.events", "set_event_loop", set_event_loop),
    IMPORT("os", NULL, os),
    IMPORT("threading", NULL, threading),
    IMPORT("weakref", "WeakSet", WeakSet),
    IMPORT("weakref", "WeakValueDictionary", WeakValueDictionary),
    IMPORT("heapq", "heappush", heappush),
    IMPORT("heapq", "heappop", heappop),
    IMPORT("traceback", NULL, traceback),
    IMPORT("signal", NULL, signal),
    IMPORT("selectors", "SelectorKey", SelectorKey),
    IMPORT("sys", "get_asyncgen_hooks", get_asyncgen_hooks),
    IMPORT("sys", "set_asyncgen_hooks", set_asyncgen_hooks),
    IMPORT("sys", "get_coroutine_origin_tracking_depth", get_origin_depth),
    IMPORT("sys", "set_coroutine_origin_tracking_depth", set_origin_depth),
    IMPORT("sys", "is_finalizing", is_finalizing),
    IMPORT("collections.abc", "Coroutine", CoroutineABC),
    IMPORT("collections", "deque", deque),
    IMPORT("traceback", "extract_stack", extract_stack),
    IMPORT("asyncio.base_futures", "isfuture", isfuture),
    IMPORT("builtins", "ExceptionGroup", ExceptionGroup),
    IMPORT("asyncio.timeouts", "_State", timeout_State),
    IMPORT("asyncio.coroutines", "iscoroutine", iscoroutine),
    IMPORT("inspect", "isawaitable", isawaitable),
    IMPORT("inspect", "iscoroutinefunction", inspect_iscoroutinefunction),
    IMPORT("functools", "partial", partial),
    IMPORT_OPTIONAL("_asyncio", "future_add_to_awaited_by", add_to_awaited_by),
    IMPORT_OPTIONAL("_asyncio", "future_discard_from_awaited_by",
                    discard_from_awaited_by),
    IMPORT("concurrent.futures", NULL, concurrent_futures),
    IMPORT("concurrent.futures", "Future", concurrent_Future),
    IMPORT("concurrent.futures", "CancelledError", concurrent_CancelledError),
    IMPORT("concurrent.futures", "InvalidStateError",
           concurrent_InvalidStateError),
    IMPORT("asyncio.exceptions", "BrokenBarrierError", BrokenBarrierError),
    IMPORT("asyncio.queues", "QueueEmpty", QueueEmpty),
    IMPORT("asyncio.queues", "QueueFull", QueueFull),
    IMPORT_OPTIONAL("asyncio.queues", "QueueShutDown", QueueShutDown),
    IMPORT("asyncio.sslproto", NULL, sslproto),
    IMPORT("asyncio.sslproto", "SSLProtocol", stock_SSLProtocol),
    IMPORT("asyncio.streams", NULL, streams),
    IMPORT("asyncio.streams", "StreamReader", stock_StreamReader),
    IMPORT("asyncio.protocols", "Protocol", Protocol),
    IMPORT("asyncio.exceptions", "IncompleteReadError", IncompleteReadError),
    IMPORT("asyncio.exceptions", "LimitOverrunError", LimitOverrunError),
};

static int
import_one(ouro_imports *stock, const import_entry *entry)
{
    PyObject **slot = (PyObject **)((char *)stock + entry->offset);
    PyObject *module = PyImport_ImportModule(entry->module);
    if (module == NULL) {
        return -1;
    }
    if (entry->name == NULL) {
        *slot = module;
        return 0;
    }
    *slot = PyObject_GetAttrString(module, entry->name);
    Py_DECREF(module);
    if (*slot == NULL && entry->optional
        && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    return *slot == NULL ? -1 : 0;
}

/* From 3.14 the WeakSet of tasks that are not asyncio's own has no name: it
 * is the one that _asyncio refers to.  A new reference, or NULL. */
static PyObject *
nameless_task_set(ouro_state *st)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *module = gc == NULL ? NULL : PyImport_ImportModule("_asyncio");
    PyObject *all =
        module == NULL ? NULL
                       : PyObject_CallMethod(gc, "get_referents", "O", module);
    PyObject *set = NULL;
    for (Py_ssize_t i = 0;
         all != NULL && set == NULL && i < PyList_GET_SIZE(all); i++) {
        PyObject *object = PyList_GET_ITEM(all, i);
        int found = PyObject_IsInstance(object, st->stock.WeakSet);
        if (found < 0) {
            break;
        }
        set = found ? Py_NewRef(object) : NULL;
    }
    if (set == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "asyncio has no set of tasks");
    }
    Py_XDECREF(all);
    Py_XDECREF(module);
    Py_XDECREF(gc);
    return set;
}

/* asyncio keeps its set of all tasks under a name that differs by version. */
static int
import_task_sets(ouro_state *st)
{
    if (st->stock.all_tasks != NULL) {
        st->stock.scheduled_tasks = nameless_task_set(st);
        return st->stock.scheduled_tasks == NULL ? -1 : 0;
    }
    const char *name = st->has.eager_tasks ? "_scheduled_tasks" : "_all_tasks";
    st->stock.scheduled_tasks = PyObject_GetAttrString(st->stock.tasks, name);
    if (st->stock.scheduled_tasks == NULL) {
        return -1;
    }
    if (st->has.eager_tasks) {
        st->stock.eager_tasks =
            PyObject_GetAttrString(st->stock.tasks, "_eager_tasks");
        if (st->stock.eager_tasks == NULL) {
            return -1;
        }
    }
    return 0;
}

static int
find_features(ouro_features *has)
{
    PyObject *info = PySys_GetObject("version_info"); /* borrowed */
    if (info == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "lost sys.version_info");
        return -1;
    }
    has->minor = (int)PyLong_AsLong(PyTuple_GET_ITEM(info, 1));
    has->micro = (int)PyLong_AsLong(PyTuple_GET_ITEM(info, 2));
    has->stopiteration_ends_await = has->minor >= 12;
    has->throw_of_three_warns = has->minor >= 12;
    has->close_returns_value = has->minor >= 13;
    has->await_says_cant_be = has->minor >= 14;
    has->await_says_must_return = has->minor >= 15;
    has->coroutine_state = has->minor >= 15;
    has->eager_tasks = has->minor >= 12;
    has->gather_finishes_at_once = has->minor >= 12;
    has->running_loop_holder = has->minor <= 12;
    has->semaphore_passes_on = has->minor >= 13;
    has->condition_passes_on = has->minor >= 13;
    has->queue_shutdown = has->minor >= 13;
    has->call_graph = has->minor >= 14;
    return PyErr_Occurred() ? -1 : 0;
}

static int
intern_strings(ouro_strings *str)
{
#define X(text)                                                               \
    str->text = PyUnicode_InternFromString(#text);                            \
    if (str->text == NULL) {                                                  \
        return -1;                                                            \
    }
    OURO_STRINGS(X)
#undef X
    return 0;
}

int
ouro_state_init(PyObject *module, ouro_state *st)
{
    st->module = module;
    if (find_features(&st->has) < 0 || intern_strings(&st->str) < 0) {
        return -1;
    }
    ouro_watch_setup(st);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(imports); i++) {
        if (import_one(&st->stock, &imports[i]) < 0) {
            return -1;
        }
    }
    return import_task_sets(st);
}

static int
table_traverse(PyObject **table, size_t length, visitproc visit, void *arg)
{
    for (size_t i = 0; i < length; i++) {
        Py_VISIT(table[i]);
    }
    return 0;
}

static void
table_clear(PyObject **table, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        Py_CLEAR(table[i]);
    }
}

/* The snapshots of the classes of a room: a table, too. */
#define SNAPSHOTS(classes)                                                    \
    (ouro_intact *)&(classes), sizeof(classes) / sizeof(ouro_intact)

static int
snapshots_traverse(ouro_intact *intact, size_t count, visitproc visit,
                   void *arg)
{
    for (size_t i = 0; i < count; i++) {
        Py_VISIT(intact[i].made);
    }
    return 0;
}

static void
snapshots_clear(ouro_intact *intact, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        intact[i].type = NULL;
        Py_CLEAR(intact[i].made);
    }
}

int
ouro_state_traverse(ouro_state *st, visitproc visit, void *arg)
{
    Py_VISIT(st->running_holder);
    Py_VISIT(st->running_loop);
    Py_VISIT(st->await_extras);
    int stop = table_traverse((PyObject **)&st->types, TABLE_LENGTH(st->types),
                              visit, arg);
    if (stop == 0) {
        stop = table_traverse((PyObject **)&st->stock, TABLE_LENGTH(st->stock),
                              visit, arg);
    }
    if (stop == 0) {
        stop = snapshots_traverse(SNAPSHOTS(st->sync), visit, arg);
    }
    if (stop == 0) {
        stop = snapshots_traverse(SNAPSHOTS(st->transports), visit, arg);
    }
    if (stop == 0) {
        stop = snapshots_traverse(SNAPSHOTS(st->streams), visit, arg);
    }
    if (stop == 0) {
        stop = snapshots_traverse(&st->thread_pool, 1, visit, arg);
    }
    if (stop == 0) {
        stop = snapshots_traverse(&st->group_intact, 1, visit, arg);
    }
    return stop;
}

static void
freelist_clear(ouro_freelist *list)
{
    while (list->head != NULL) {
        PyObject *object = list->head;
        list->head = *ouro_freelist_link(object);
        PyObject_GC_Del(object);
    }
    list->count = PY_SSIZE_T_MAX; /* whatever is freed from now on is freed */
}

static void
spares_clear(ouro_spares *spares)
{
    for (int i = 0; i < OURO_SPARES; i++) {
        Py_CLEAR(spares->objects[i]);
    }
}

void
ouro_state_clear(ouro_state *st)
{
    ouro_freelist *lists[] = {
        &st->free_futures,       &st->free_future_iters,
        &st->free_tasks,         &st->free_awaits,
        &st->free_asyncbounds,   &st->free_handles,
        &st->free_timer_handles, &st->free_safe_handles,
        &st->free_small_awaits,  &st->free_await_ends,
        &st->free_timeouts,
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(lists); i++) {
        freelist_clear(lists[i]);
    }
    Py_CLEAR(st->running_holder);
    Py_CLEAR(st->running_loop);
    Py_CLEAR(st->await_extras);
    ouro_watch_clear(st);
    spares_clear(&st->spares);
    table_clear((PyObject **)&st->types, TABLE_LENGTH(st->types));
    table_clear((PyObject **)&st->stock, TABLE_LENGTH(st->stock));
    snapshots_clear(SNAPSHOTS(st->sync));
    snapshots_clear(SNAPSHOTS(st->transports));
    snapshots_clear(SNAPSHOTS(st->streams));
    snapshots_clear(&st->thread_pool, 1);
    snapshots_clear(&st->group_intact, 1);
}

void
ouro_state_free(ouro_state *st)
{
    ouro_state_clear(st);
    table_clear((PyObject **)&st->str, TABLE_LENGTH(st->str));
}

/* The collector clears types and their module before objects of theirs that
 * are garbage with them.  What such an object finds when it is freed: a state
 * that is empty, with freelists that are closed. */
static ouro_state *
state_of_the_dead(void)
{
    static ouro_state state;
    ouro_state_clear(&state);
    return &state;
}

ouro_state *
ouro_state_of_subclass(PyTypeObject *type)
{
    for (; type != NULL; type = type->tp_base) {
        PyObject *module = NULL;
        if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
            module = ((PyHeapTypeObject *)type)->ht_module;
        }
        if (module != NULL && PyModule_GetDef(module) == &ouro_module_def) {
            return ouro_module_state(module);
        }
    }
    return state_of_the_dead();
}

int
ouro_add_type(PyObject *module, PyType_Spec *spec, PyObject *bases,
              bool public_name, PyTypeObject **slot)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, bases);
    if (type == NULL) {
        return -1;
    }
    *slot = (PyTypeObject *)type;
    /* Messages name a class of Python's without its module. */
    const char *dot = strrchr(spec->name, '.');
    (*slot)->tp_name = dot == NULL ? spec->name : dot + 1;
    return public_name ? PyModule_AddType(module, *slot) : 0;
}
