/* process_create.c - create_subprocess_exec() and create_subprocess_shell().
 */
#include "base/rooms.h"
#include "loop/frame.h"
#include "streams/process.h"
#include "streams/reader.h"
#include "streams/subprocess_protocol.h"
#include "task/host.h"

enum {
    CREATE_PROGRAM, /* or the command; then all positional arguments */
    CREATE_STDIN,
    CREATE_STDOUT,
    CREATE_STDERR,
    CREATE_LIMIT,
    CREATE_GIVEN,
    CREATE_KEYWORDS = CREATE_GIVEN,
    CREATE_LOOP,
    CREATE_COUNT,
};

/* `lambda: SubprocessStreamProtocol(limit=limit, loop=loop)`; its self:
 * (limit, loop). */
static PyObject *
make_protocol(PyObject *closure, PyObject *Py_UNUSED(ignored))
{
    PyObject *loop = PyTuple_GET_ITEM(closure, 1);
    ouro_state *st = ouro_module_state(PyTuple_GET_ITEM(closure, 2));
    return ouro_subprocess_protocol_new(st, PyTuple_GET_ITEM(closure, 0),
                                        loop);
}

static PyMethodDef factory_def = {"<lambda>", make_protocol, METH_NOARGS,
                                  NULL};

static PyObject *
new_factory(AwaitObject *op)
{
    PyObject *closure =
        PyTuple_Pack(3, ouro_frame_get(op, CREATE_LIMIT),
                     ouro_frame_get(op, CREATE_LOOP), op->owner);
    PyObject *factory =
        closure == NULL ? NULL : PyCFunction_New(&factory_def, closure);
    Py_XDECREF(closure);
    return factory;
}

/* loop.subprocess_...(factory, *program, stdin=..., **keywords) */
static PyObject *
create_call(ouro_state *st, AwaitObject *op, PyObject *method)
{
    PyObject *program = ouro_frame_get(op, CREATE_PROGRAM);
    Py_ssize_t count = PyTuple_GET_SIZE(program);
    PyObject *keywords = ouro_frame_get(op, CREATE_KEYWORDS);
    PyObject *factory = new_factory(op);
    PyObject *args = factory == NULL ? NULL : PyTuple_New(1 + count);
    PyObject *function =
        args == NULL
            ? NULL
            : PyObject_GetAttr(ouro_frame_get(op, CREATE_LOOP), method);
    int result = function == NULL ? -1 : 0;
    PyObject *coro = NULL;
    for (int fd = 0; result == 0 && fd < 3; fd++) {
        result = PyDict_SetItem(keywords,
                                PyTuple_GET_ITEM(st->stock.stdio_names, fd),
                                ouro_frame_get(op, CREATE_STDIN + fd));
    }
    if (result == 0) {
        PyTuple_SET_ITEM(args, 0, Py_NewRef(factory));
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SET_ITEM(args, 1 + i,
                             Py_NewRef(PyTuple_GET_ITEM(program, i)));
        }
        coro = PyObject_Call(function, args, keywords);
    }
    Py_XDECREF(factory);
    Py_XDECREF(args);
    Py_XDECREF(function);
    return coro;
}

/* `transport, protocol = result`: Process(transport, protocol, loop) */
static PyObject *
create_process(ouro_state *st, AwaitObject *op)
{
    PyObject *both = PySequence_Tuple(op->value);
    if (both == NULL) {
        return NULL;
    }
    PyObject *process = NULL;
    if (PyTuple_GET_SIZE(both) != 2) {
        PyErr_SetString(PyExc_ValueError, "(transport, protocol) expected");
    }
    else {
        process = ouro_process_new(st, PyTuple_GET_ITEM(both, 0),
                                   PyTuple_GET_ITEM(both, 1),
                                   ouro_frame_get(op, CREATE_LOOP));
    }
    Py_DECREF(both);
    return process;
}

static await_status
create_poll(AwaitObject *op, PyObject **ret)
{
    ouro_state *st = ouro_module_state(op->owner);
    if (op->step == 1) {
        *ret = create_process(st, op);
        return *ret == NULL ? AWAIT_ERROR : AWAIT_RETURN;
    }
    PyObject *loop = ouro_running_loop(st);
    if (loop == NULL) {
        return AWAIT_ERROR;
    }
    ouro_frame_set(op, CREATE_LOOP, loop);
    op->step = 1;
    bool is_shell =
        strcmp(ouro_await_kind(op)->name, "create_subprocess_shell") == 0;
    *ret = create_call(
        st, op, is_shell ? st->str.subprocess_shell : st->str.subprocess_exec);
    return *ret == NULL ? AWAIT_ERROR : AWAIT_DELEGATE;
}

static const await_kind exec_kind = {
    .name = "create_subprocess_exec",
    .qualname = "create_subprocess_exec",
    .poll = create_poll,
};

static const await_kind shell_kind = {
    .name = "create_subprocess_shell",
    .qualname = "create_subprocess_shell",
    .poll = create_poll,
};

/* A coroutine for arguments as parsed; program (a tuple) and keywords are
 * consumed, NULL is an error. */
static PyObject *
create_new(PyObject *module, const await_kind *kind, PyObject **a,
           PyObject *program, PyObject *keywords)
{
    PyObject *limit = a[CREATE_LIMIT] == NULL
                          ? PyLong_FromLong(STREAM_DEFAULT_LIMIT)
                          : Py_NewRef(a[CREATE_LIMIT]);
    PyObject *coro = NULL;
    if (program != NULL && keywords != NULL && limit != NULL) {
        a[CREATE_PROGRAM] = program;
        a[CREATE_LIMIT] = limit;
        a[CREATE_KEYWORDS] = keywords;
        coro = ouro_frame_new(ouro_module_state(module), kind, module, a,
                              CREATE_COUNT, CREATE_COUNT);
    }
    Py_XDECREF(limit);
    Py_XDECREF(program);
    Py_XDECREF(keywords);
    return coro;
}

static PyObject *
create_subprocess_shell(PyObject *module, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "create_subprocess_shell",
        .positional = 5,
        .required = 1,
        .names = {"cmd", "stdin", "stdout", "stderr", "limit"},
        .varkeywords = true,
    };
    PyObject *a[CREATE_COUNT] = {NULL};
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return create_new(module, &shell_kind, a,
                      PyTuple_Pack(1, a[CREATE_PROGRAM]),
                      ouro_keywords(&signature, args + nargs, kwnames));
}

/* (program, *args) */
static PyObject *
whole_command(PyObject *program, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t more = nargs > 1 ? nargs - 1 : 0;
    PyObject *command = PyTuple_New(1 + more);
    if (command != NULL) {
        PyTuple_SET_ITEM(command, 0, Py_NewRef(program));
        for (Py_ssize_t i = 0; i < more; i++) {
            PyTuple_SET_ITEM(command, 1 + i, Py_NewRef(args[1 + i]));
        }
    }
    return command;
}

static PyObject *
create_subprocess_exec(PyObject *module, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    static const ouro_signature signature = {
        .qualname = "create_subprocess_exec",
        .positional = 1,
        .required = 1,
        .names = {"program", "stdin", "stdout", "stderr", "limit"},
        .varargs = true,
        .varkeywords = true,
    };
    PyObject *a[CREATE_COUNT] = {NULL};
    if (ouro_parse(&signature, args, nargs, kwnames, a) < 0) {
        return NULL;
    }
    return create_new(module, &exec_kind, a,
                      whole_command(a[CREATE_PROGRAM], args, nargs),
                      ouro_keywords(&signature, args + nargs, kwnames));
}

static const ouro_async_def create_functions[] = {
    {"create_subprocess_exec", create_subprocess_exec,
     "create_subprocess_exec(program, *args, stdin=None, stdout=None,\n"
     "                       stderr=None, limit=65536, **kwds)\n--\n\n"
     "Start a program and return a Process. limit: how many bytes of output\n"
     "are buffered; what is not named here is for subprocess.Popen()."},
    {"create_subprocess_shell", create_subprocess_shell,
     "create_subprocess_shell(cmd, stdin=None, stdout=None, stderr=None,\n"
     "                        limit=65536, **kwds)\n--\n\n"
     "The same for a command of the shell."},
    {NULL},
};

int
ouro_process_create_setup(PyObject *module, ouro_state *st)
{
    return ouro_add_async_functions(st, module, create_functions);
}
