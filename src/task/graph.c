/* graph.c - call graphs, from Python 3.14 on: who awaits whom, with frames.
 *
 * capture_call_graph() walks from a future down its coroutines and up to
 * those who await it; format_call_graph() writes that down.  The two classes
 * of which a graph is made are asyncio's own.
 */
#include "base/args.h"
#include "base/rooms.h"
#include "task/future.h"
#include "task/registry.h"
#include "task/task.h"

/* ---- small things ------------------------------------------------------ */

static int
optional(PyObject *object, const char *name, PyObject **ret)
{
    *ret = PyObject_GetAttrString(object, name);
    if (*ret != NULL) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

/* asyncio.graph.<name>(*args); takes args over. */
static PyObject *
make(const char *name, PyObject *args)
{
    PyObject *module =
        args == NULL ? NULL : PyImport_ImportModule("asyncio.graph");
    PyObject *type =
        module == NULL ? NULL : PyObject_GetAttrString(module, name);
    PyObject *object = type == NULL ? NULL : PyObject_CallObject(type, args);
    Py_XDECREF(type);
    Py_XDECREF(module);
    Py_XDECREF(args);
    return object;
}

static int
append_steal(PyObject *list, PyObject *item)
{
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return result;
}

static int
append_frame(PyObject *list, PyObject *frame)
{
    return append_steal(list,
                        make("FrameCallGraphEntry", PyTuple_Pack(1, frame)));
}

static int
check_future(ouro_state *st, PyObject *future)
{
    int valid = ouro_future_check(st, future);
    if (!valid) {
        valid = PyObject_IsInstance(future, st->stock.stock_Future);
    }
    if (valid == 0) {
        PyErr_Format(PyExc_TypeError,
                     "%R object does not appear to be compatible with "
                     "asyncio.Future",
                     future);
    }
    return valid > 0 ? 0 : -1;
}

/* list[:limit] or list[limit:], as the sign says; in place. */
static int
cut(PyObject *list, Py_ssize_t limit)
{
    Py_ssize_t size = PyList_GET_SIZE(list);
    if (limit > 0 && limit < size) {
        return PyList_SetSlice(list, limit, size, NULL);
    }
    if (limit < 0 && -limit < size) {
        return PyList_SetSlice(list, 0, size + limit, NULL);
    }
    return 0;
}

/* ---- a future that is not the current task ----------------------------- */

typedef struct graph_limit {
    bool given;
    Py_ssize_t value;
} graph_limit;

static PyObject *build(ouro_state *st, PyObject *future, graph_limit limit);

/* The graphs of those who await it: a tuple. */
static PyObject *
build_awaited_by(ouro_state *st, PyObject *future, graph_limit limit)
{
    PyObject *graphs = NULL, *iterator = NULL, *tuple = NULL;
    PyObject *parents = PyObject_GetAttrString(future, "_asyncio_awaited_by");
    if (parents == NULL) {
        return NULL;
    }
    int some = PyObject_IsTrue(parents);
    if (some <= 0) {
        tuple = some < 0 ? NULL : PyTuple_New(0);
        goto done;
    }
    graphs = PyList_New(0);
    iterator = graphs == NULL ? NULL : PyObject_GetIter(parents);
    if (iterator == NULL) {
        goto done;
    }
    for (;;) {
        PyObject *parent = PyIter_Next(iterator);
        if (parent == NULL) {
            break;
        }
        int result = append_steal(graphs, build(st, parent, limit));
        Py_DECREF(parent);
        if (result < 0) {
            goto done;
        }
    }
    if (!PyErr_Occurred()) {
        tuple = PyList_AsTuple(graphs);
    }
done:
    Py_XDECREF(iterator);
    Py_XDECREF(graphs);
    Py_DECREF(parents);
    return tuple;
}

/* What the coroutine awaits (owned); NULL without an exception: it is none,
 * or the chain ends. Its frame is appended. */
static PyObject *
step_down(PyObject *coroutine, PyObject *stack)
{
    PyObject *awaited, *frame;
    const char *name = "cr_frame";
    int found = optional(coroutine, "cr_await", &awaited);
    if (found == 0) {
        name = "ag_frame";
        found = optional(coroutine, "ag_await", &awaited);
    }
    if (found <= 0) {
        return NULL;
    }
    frame = PyObject_GetAttrString(coroutine, name);
    if (frame == NULL
        || (frame != Py_None && append_frame(stack, frame) < 0)) {
        Py_XDECREF(frame);
        Py_DECREF(awaited);
        return NULL;
    }
    Py_DECREF(frame);
    if (awaited == Py_None) {
        Py_CLEAR(awaited);
    }
    return awaited;
}

/* The frames of its coroutines, the innermost last: a list. */
static PyObject *
coroutine_stack(PyObject *future, graph_limit limit)
{
    PyObject *stack = PyList_New(0);
    PyObject *get_coro, *coroutine = NULL;
    int found = stack == NULL ? -1 : optional(future, "get_coro", &get_coro);
    if (found > 0) {
        if (!limit.given || limit.value != 0) {
            coroutine = PyObject_CallNoArgs(get_coro);
        }
        Py_DECREF(get_coro);
    }
    while (coroutine != NULL && coroutine != Py_None) {
        PyObject *next = step_down(coroutine, stack);
        Py_SETREF(coroutine, next);
    }
    Py_XDECREF(coroutine);
    if (found < 0 || PyErr_Occurred()
        || (limit.given && cut(stack, limit.value) < 0)
        || PyList_Reverse(stack) < 0) {
        Py_CLEAR(stack);
    }
    return stack;
}

/* FutureCallGraph(future, tuple(stack), awaited_by); takes stack over. */
static PyObject *
make_graph(ouro_state *st, PyObject *future, PyObject *stack,
           graph_limit limit)
{
    PyObject *graph = NULL, *awaited_by = NULL;
    PyObject *frames = stack == NULL ? NULL : PyList_AsTuple(stack);
    if (frames != NULL) {
        awaited_by = build_awaited_by(st, future, limit);
    }
    if (awaited_by != NULL) {
        graph = make("FutureCallGraph",
                     PyTuple_Pack(3, future, frames, awaited_by));
    }
    Py_XDECREF(awaited_by);
    Py_XDECREF(frames);
    Py_XDECREF(stack);
    return graph;
}

static PyObject *
build(ouro_state *st, PyObject *future, graph_limit limit)
{
    if (check_future(st, future) < 0
        || Py_EnterRecursiveCall(" while following who awaits a future")) {
        return NULL;
    }
    PyObject *graph =
        make_graph(st, future, coroutine_stack(future, limit), limit);
    Py_LeaveRecursiveCall();
    return graph;
}

/* ---- the current task -------------------------------------------------- */

/* sys._getframe(depth), seen from a function that its caller called: a
 * function in C has no frame of its own. */
static PyObject *
frame_at(Py_ssize_t depth)
{
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    while (frame != NULL && --depth > 0) {
        Py_SETREF(frame, PyFrame_GetBack(frame));
    }
    if (frame == NULL) {
        PyErr_SetString(PyExc_ValueError, "call stack is not deep enough");
    }
    return (PyObject *)frame;
}

/* frame.f_generator is a coroutine, and nothing but its task runs it: 1. */
static int
is_bottom(PyObject *frame, PyObject *back)
{
    PyObject *generator = PyObject_GetAttrString(frame, "f_generator");
    if (generator == NULL) {
        return -1;
    }
    bool is_async =
        PyCoro_CheckExact(generator) || PyAsyncGen_CheckExact(generator);
    Py_DECREF(generator);
    if (!is_async || back == NULL) {
        return 0;
    }
    PyObject *outer = PyObject_GetAttrString(back, "f_generator");
    int result = outer == NULL ? -1 : outer == Py_None;
    Py_XDECREF(outer);
    return result;
}

/* The frames of what runs now, the innermost first: a list. */
static PyObject *
running_stack(Py_ssize_t depth, graph_limit limit)
{
    PyObject *stack = PyList_New(0);
    if (stack == NULL || (limit.given && limit.value == 0)) {
        return stack;
    }
    PyObject *frame = frame_at(depth);
    int bottom = frame == NULL ? -1 : 0;
    while (frame != NULL && bottom == 0) {
        PyObject *back = (PyObject *)PyFrame_GetBack((PyFrameObject *)frame);
        bottom = append_frame(stack, frame) < 0 ? -1 : is_bottom(frame, back);
        Py_SETREF(frame, back);
    }
    Py_XDECREF(frame);
    if (bottom < 0 || (limit.given && cut(stack, -limit.value) < 0)) {
        Py_CLEAR(stack);
    }
    return stack;
}

/* future: None, or which one.  None: there is no current task. */
static PyObject *
capture(ouro_state *st, PyObject *future, Py_ssize_t depth, graph_limit limit)
{
    PyObject *loop = PyObject_CallNoArgs(st->stock._get_running_loop);
    PyObject *graph = NULL, *current = NULL;
    if (loop == NULL) {
        return NULL;
    }
    if (loop == Py_None && future == Py_None) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "capture_call_graph() is called outside of a running event loop "
            "and no *future* to introspect was provided");
        goto done;
    }
    current =
        loop == Py_None ? Py_NewRef(Py_None) : ouro_current_task(st, loop);
    if (current == NULL) {
        goto done;
    }
    if (future != Py_None && future != current) {
        graph = build(st, future, limit);
    }
    else if (current == Py_None) {
        graph = Py_NewRef(Py_None);
    }
    else if (check_future(st, current) == 0) {
        graph = make_graph(st, current, running_stack(depth, limit), limit);
    }
done:
    Py_XDECREF(current);
    Py_DECREF(loop);
    return graph;
}

/* ---- as text ----------------------------------------------------------- */

static int
add_line(PyObject *lines, int level, PyObject *text)
{
    PyObject *line = NULL;
    if (text != NULL) {
        line = PyUnicode_FromFormat("%*s%U", 4 * level, "", text);
        Py_DECREF(text);
    }
    return append_steal(lines, line);
}

static PyObject *
describe_future(ouro_state *st, PyObject *future)
{
    int task = ouro_task_check(st, future);
    if (!task) {
        task = PyObject_IsInstance(future, st->stock.stock_Task);
    }
    if (task <= 0) {
        return task < 0 ? NULL
                        : PyUnicode_FromFormat("* Future(id=%p)", future);
    }
    PyObject *name = PyObject_CallMethod(future, "get_name", NULL);
    PyObject *text =
        name == NULL
            ? NULL
            : PyUnicode_FromFormat("* Task(name=%R, id=%p)", name, future);
    Py_XDECREF(name);
    return text;
}

/* "async ", "async generator " or "generator " before the function's name. */
static const char *
kind_of_frame(PyObject *frame)
{
    PyObject *generator = PyObject_GetAttrString(frame, "f_generator");
    if (generator == NULL) {
        return NULL;
    }
    const char *kind = generator == Py_None               ? ""
                       : PyAsyncGen_CheckExact(generator) ? "async generator "
                       : PyGen_CheckExact(generator)      ? "generator "
                                                          : "async ";
    Py_DECREF(generator);
    return kind;
}

static PyObject *
describe_frame(PyObject *entry)
{
    PyObject *frame = PyObject_GetAttrString(entry, "frame");
    const char *kind = frame == NULL ? NULL : kind_of_frame(frame);
    PyObject *text = NULL;
    if (kind != NULL) {
        PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
        text = PyUnicode_FromFormat(
            "  |   File %R, line %i, in %s%U()", code->co_filename,
            PyFrame_GetLineNumber((PyFrameObject *)frame), kind,
            code->co_qualname);
        Py_DECREF(code);
    }
    Py_XDECREF(frame);
    return text;
}

static int
add_graph(ouro_state *st, PyObject *lines, PyObject *graph, int level)
{
    PyObject *future = PyObject_GetAttrString(graph, "future");
    PyObject *stack =
        future == NULL ? NULL : PyObject_GetAttrString(graph, "call_stack");
    PyObject *parents =
        stack == NULL ? NULL : PyObject_GetAttrString(graph, "awaited_by");
    int result = -1;
    if (parents == NULL
        || add_line(lines, level, describe_future(st, future)) < 0) {
        goto done;
    }
    result = 0;
    if (PyTuple_GET_SIZE(stack) > 0) {
        result =
            add_line(lines, level, PyUnicode_FromString("  + Call stack:"));
    }
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(stack); i++) {
        result =
            add_line(lines, level, describe_frame(PyTuple_GET_ITEM(stack, i)));
    }
    if (result == 0 && PyTuple_GET_SIZE(parents) > 0) {
        result =
            add_line(lines, level, PyUnicode_FromString("  + Awaited by:"));
    }
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(parents); i++) {
        result = add_graph(st, lines, PyTuple_GET_ITEM(parents, i), level + 1);
    }
done:
    Py_XDECREF(parents);
    Py_XDECREF(stack);
    Py_XDECREF(future);
    return result;
}

static PyObject *
format(ouro_state *st, PyObject *future, Py_ssize_t depth, graph_limit limit)
{
    PyObject *graph = capture(st, future, depth, limit);
    if (graph == NULL || graph == Py_None) {
        Py_XDECREF(graph);
        return graph == NULL ? NULL : PyUnicode_FromString("");
    }
    PyObject *lines = PyList_New(0), *text = NULL;
    PyObject *newline = PyUnicode_FromString("\n");
    if (lines != NULL && newline != NULL
        && add_graph(st, lines, graph, 0) == 0) {
        text = PyUnicode_Join(newline, lines);
    }
    Py_XDECREF(newline);
    Py_XDECREF(lines);
    Py_DECREF(graph);
    return text;
}

/* ---- functions --------------------------------------------------------- */

enum { ARG_FUTURE, ARG_DEPTH, ARG_LIMIT, ARG_FILE, ARGS };

/* As a slice takes it: beyond is as good as the end. */
static int
take_numbers(PyObject *const *a, Py_ssize_t *ret_depth, graph_limit *ret_limit)
{
    *ret_depth =
        a[ARG_DEPTH] == NULL ? 1 : PyNumber_AsSsize_t(a[ARG_DEPTH], NULL);
    ret_limit->given = a[ARG_LIMIT] != NULL && a[ARG_LIMIT] != Py_None;
    ret_limit->value =
        ret_limit->given ? PyNumber_AsSsize_t(a[ARG_LIMIT], NULL) : 0;
    return PyErr_Occurred() ? -1 : 0;
}

static const ouro_signature capture_signature = {
    .qualname = "capture_call_graph",
    .positional = 1,
    .positional_only = 1,
    .names = {"future", "depth", "limit"},
};

static const ouro_signature format_signature = {
    .qualname = "format_call_graph",
    .positional = 1,
    .positional_only = 1,
    .names = {"future", "depth", "limit"},
};

static const ouro_signature print_signature = {
    .qualname = "print_call_graph",
    .positional = 1,
    .positional_only = 1,
    .names = {"future", "depth", "limit", "file"},
};

PyDoc_STRVAR(capture_doc,
"capture_call_graph(future=None, /, *, depth=1, limit=None)\n--\n\n\
Capture the async call graph for the current task or the provided Future.\n\
\n\
Returns a FutureCallGraph, or None if there is no current task.  `depth`:\n\
how many frames to skip at the top of the current task.  `limit`: how many\n\
entries each stack has at most, from its top (positive) or its bottom\n\
(negative); 0: no stacks.\n\
\n\
Raises RuntimeError without a running loop and a future, TypeError for what\n\
is no future.");

static PyObject *
capture_call_graph(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *a[ARGS] = {NULL};
    Py_ssize_t depth;
    graph_limit limit;
    if (ouro_parse(&capture_signature, args, nargs, kwnames, a) < 0
        || take_numbers(a, &depth, &limit) < 0) {
        return NULL;
    }
    return capture(ouro_module_state(module),
                   a[ARG_FUTURE] == NULL ? Py_None : a[ARG_FUTURE], depth,
                   limit);
}

PyDoc_STRVAR(format_doc,
"format_call_graph(future=None, /, *, depth=1, limit=None)\n--\n\n\
Return the async call graph as a string for `future`.\n\
\n\
If `future` is not provided, format the call graph for the current task.");

static PyObject *
format_call_graph(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    PyObject *a[ARGS] = {NULL};
    Py_ssize_t depth;
    graph_limit limit;
    if (ouro_parse(&format_signature, args, nargs, kwnames, a) < 0
        || take_numbers(a, &depth, &limit) < 0) {
        return NULL;
    }
    return format(ouro_module_state(module),
                  a[ARG_FUTURE] == NULL ? Py_None : a[ARG_FUTURE], depth,
                  limit);
}

PyDoc_STRVAR(print_doc,
"print_call_graph(future=None, /, *, file=None, depth=1, limit=None)\n--\n\n\
Print the async call graph for the current task or the provided Future.");

/* print(text, file=file) */
static PyObject *
print_text(PyObject *text, PyObject *file)
{
    PyObject *builtins = PyImport_ImportModule("builtins");
    if (builtins == NULL) {
        return NULL;
    }
    PyObject *none = NULL, *keywords = NULL;
    PyObject *print = PyObject_GetAttrString(builtins, "print");
    if (print == NULL) {
        goto done;
    }
    keywords = Py_BuildValue("(s)", "file");
    if (keywords == NULL) {
        goto done;
    }
    PyObject *args[] = {text, file};
    none = PyObject_Vectorcall(print, args, 1, keywords);
done:
    Py_XDECREF(keywords);
    Py_XDECREF(print);
    Py_DECREF(builtins);
    return none;
}

/* One level less: asyncio counts its own frame, too. */
static PyObject *
print_call_graph(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *a[ARGS] = {NULL};
    Py_ssize_t depth;
    graph_limit limit;
    if (ouro_parse(&print_signature, args, nargs, kwnames, a) < 0
        || take_numbers(a, &depth, &limit) < 0) {
        return NULL;
    }
    PyObject *text =
        format(ouro_module_state(module), ouro_or_none(a[ARG_FUTURE]),
               depth > 1 ? depth - 1 : 1, limit);
    if (text == NULL) {
        return NULL;
    }
    PyObject *none = print_text(text, ouro_or_none(a[ARG_FILE]));
    Py_DECREF(text);
    return none;
}

static PyMethodDef graph_functions[] = {
    OURO_METHOD("capture_call_graph", capture_call_graph, capture_doc),
    OURO_METHOD("format_call_graph", format_call_graph, format_doc),
    OURO_METHOD("print_call_graph", print_call_graph, print_doc),
    {NULL},
};

int
ouro_graph_setup(PyObject *module, ouro_state *st)
{
    return st->has.call_graph ? PyModule_AddFunctions(module, graph_functions)
                              : 0;
}
