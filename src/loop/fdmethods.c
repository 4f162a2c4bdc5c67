/* fdmethods.c - the loop's methods for file descriptors: add_reader() and its
 * like, with what of them others may override.
 */
#include "base/args.h"
#include "loop/fdwatch.h"

/* ---- _process_events --------------------------------------------------- */

/* One direction of an event: the handle is cancelled, or gets its turn. */
static int
process_handle(LoopObject *self, PyObject *fileobj, PyObject *handle,
               PyObject *remove)
{
    ouro_state *st = self->core.st;
    PyObject *cancelled = PyObject_GetAttr(handle, st->str._cancelled);
    if (cancelled == NULL) {
        return -1;
    }
    int truth = PyObject_IsTrue(cancelled);
    Py_DECREF(cancelled);
    PyObject *result = NULL;
    if (truth >= 0) {
        result = PyObject_CallMethodOneArg(
            (PyObject *)self, truth ? remove : st->str._add_callback,
            truth ? fileobj : handle);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
process_event(LoopObject *self, PyObject *key, long mask)
{
    ouro_state *st = self->core.st;
    PyObject *data = PyObject_GetAttrString(key, "data");
    PyObject *fileobj =
        data == NULL ? NULL : PyObject_GetAttrString(key, "fileobj");
    PyObject *reader, *writer;
    int result = -1;
    if (data != NULL && !PyTuple_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "a pair of handles is expected");
        Py_CLEAR(data);
    }
    if (data != NULL && fileobj != NULL
        && PyArg_ParseTuple(data, "OO", &reader, &writer)) {
        result = 0;
        if ((mask & OU_IN) && reader != Py_None) {
            result =
                process_handle(self, fileobj, reader, st->str._remove_reader);
        }
        if (result == 0 && (mask & OU_OUT) && writer != Py_None) {
            result =
                process_handle(self, fileobj, writer, st->str._remove_writer);
        }
    }
    Py_XDECREF(fileobj);
    Py_XDECREF(data);
    return result;
}

static PyObject *
loop_process_events(PyObject *op, PyObject *events)
{
    PyObject *iterator = PyObject_GetIter(events);
    PyObject *event;
    int result = iterator == NULL ? -1 : 0;
    while (result == 0 && (event = PyIter_Next(iterator)) != NULL) {
        PyObject *key;
        long mask;
        if (!PyTuple_Check(event)) {
            PyErr_Format(PyExc_TypeError,
                         "cannot unpack non-iterable %.200s object",
                         Py_TYPE(event)->tp_name);
            result = -1;
        }
        else {
            result = PyArg_ParseTuple(event, "Ol", &key, &mask)
                         ? process_event((LoopObject *)op, key, mask)
                         : -1;
        }
        Py_DECREF(event);
    }
    Py_XDECREF(iterator);
    return result < 0 || PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* ---- methods ----------------------------------------------------------- */

/* One method each for two directions, with and without the check. */
typedef struct direction_def {
    ouro_signature add;
    ouro_signature remove;
    unsigned direction;
} direction_def;

#define ADD_PARAMETERS(name)                                                  \
    .qualname = "BaseSelectorEventLoop." name, .skip_self = 1,                \
    .positional = 2, .required = 2, .varargs = true
#define ADD_SIGNATURE(name)                                                   \
    {                                                                         \
        ADD_PARAMETERS(name), .names = { "fd", "callback", NULL }             \
    }
#define REMOVE_SIGNATURE(name)                                                \
    {                                                                         \
        .qualname = "BaseSelectorEventLoop." name, .skip_self = 1,            \
        .positional = 1, .required = 1, .names = {                            \
            "fd",                                                             \
            NULL                                                              \
        }                                                                     \
    }

static const direction_def reader_def = {
    ADD_SIGNATURE("add_reader"), REMOVE_SIGNATURE("remove_reader"), OU_IN};
static const direction_def writer_def = {
    ADD_SIGNATURE("add_writer"), REMOVE_SIGNATURE("remove_writer"), OU_OUT};
static const direction_def private_reader_def = {
    ADD_SIGNATURE("_add_reader"), REMOVE_SIGNATURE("_remove_reader"), OU_IN};
static const direction_def private_writer_def = {
    ADD_SIGNATURE("_add_writer"), REMOVE_SIGNATURE("_remove_writer"), OU_OUT};

/* From 3.15 on. */
static const ouro_signature add_reader_in_context = {
    ADD_PARAMETERS("_add_reader"), .names = {"fd", "callback", "context"}};
static const ouro_signature add_writer_in_context = {
    ADD_PARAMETERS("_add_writer"), .names = {"fd", "callback", "context"}};

static PyObject *
add_private(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames, const direction_def *def)
{
    PyObject *values[3] = {NULL};
    const ouro_signature *signature = &def->add;
    if (((LoopObject *)op)->core.st->has.loop.watch_context) {
        signature = def->direction == OU_IN ? &add_reader_in_context
                                            : &add_writer_in_context;
    }
    if (ouro_parse(signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return ouro_fdwatch_add((LoopObject *)op, values[0], def->direction,
                            values[1], args + 2, nargs > 2 ? nargs - 2 : 0,
                            values[2]);
}

static PyObject *
remove_private(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames, const direction_def *def)
{
    PyObject *fd;
    if (ouro_parse(&def->remove, args, nargs, kwnames, &fd) < 0) {
        return NULL;
    }
    int found = ouro_fdwatch_remove((LoopObject *)op, fd, def->direction);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

/* The private method `name` where it is somebody's, else NULL. -1: error. */
static int
overridden_method(LoopObject *self, PyObject *name, PyObject **ret)
{
    *ret = NULL;
    int intact = ouro_loop_method_intact(self, name);
    if (intact == 0) {
        *ret = PyObject_GetAttr((PyObject *)self, name);
    }
    return intact < 0 || (intact == 0 && *ret == NULL) ? -1 : 0;
}

static PyObject *
add_public(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames, const direction_def *def, PyObject *private_name)
{
    LoopObject *self = (LoopObject *)op;
    PyObject *values[2], *method;
    if (ouro_parse(&def->add, args, nargs, kwnames, values) < 0
        || ouro_fd_ensure_free(self, values[0]) < 0
        || overridden_method(self, private_name, &method) < 0) {
        return NULL;
    }
    PyObject *handle;
    if (method != NULL) {
        handle = PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
        Py_DECREF(method);
    }
    else {
        handle = ouro_fdwatch_add(self, values[0], def->direction, values[1],
                                  args + 2, nargs > 2 ? nargs - 2 : 0, NULL);
    }
    if (handle == NULL) {
        return NULL;
    }
    Py_DECREF(handle);
    Py_RETURN_NONE;
}

static PyObject *
remove_public(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames, const direction_def *def,
              PyObject *private_name)
{
    LoopObject *self = (LoopObject *)op;
    PyObject *fd, *method;
    if (ouro_parse(&def->remove, args, nargs, kwnames, &fd) < 0
        || ouro_fd_ensure_free(self, fd) < 0
        || overridden_method(self, private_name, &method) < 0) {
        return NULL;
    }
    if (method != NULL) {
        PyObject *result = PyObject_CallOneArg(method, fd);
        Py_DECREF(method);
        return result;
    }
    int found = ouro_fdwatch_remove(self, fd, def->direction);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

#define ARGUMENTS                                                             \
    PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames

static PyObject *
loop_add_reader(ARGUMENTS)
{
    return add_public(op, args, nargs, kwnames, &reader_def,
                      ((LoopObject *)op)->core.st->str._add_reader);
}

static PyObject *
loop_add_writer(ARGUMENTS)
{
    return add_public(op, args, nargs, kwnames, &writer_def,
                      ((LoopObject *)op)->core.st->str._add_writer);
}

static PyObject *
loop_remove_reader(ARGUMENTS)
{
    return remove_public(op, args, nargs, kwnames, &reader_def,
                         ((LoopObject *)op)->core.st->str._remove_reader);
}

static PyObject *
loop_remove_writer(ARGUMENTS)
{
    return remove_public(op, args, nargs, kwnames, &writer_def,
                         ((LoopObject *)op)->core.st->str._remove_writer);
}

static PyObject *
loop__add_reader(ARGUMENTS)
{
    return add_private(op, args, nargs, kwnames, &private_reader_def);
}

static PyObject *
loop__add_writer(ARGUMENTS)
{
    return add_private(op, args, nargs, kwnames, &private_writer_def);
}

static PyObject *
loop__remove_reader(ARGUMENTS)
{
    return remove_private(op, args, nargs, kwnames, &private_reader_def);
}

static PyObject *
loop__remove_writer(ARGUMENTS)
{
    return remove_private(op, args, nargs, kwnames, &private_writer_def);
}

static PyObject *
loop_ensure_fd_no_transport(PyObject *op, PyObject *fd)
{
    if (ouro_fd_refuse_used((LoopObject *)op, fd) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(add_reader_doc,
             "add_reader($self, fd, callback, *args)\n--\n\n\
Call callback(*args) whenever the file descriptor (or object with a\n\
fileno() method) can be read; replaces the reader that it has.");
PyDoc_STRVAR(add_writer_doc,
             "add_writer($self, fd, callback, *args)\n--\n\n\
Call callback(*args) whenever the file descriptor (or object with a\n\
fileno() method) can be written; replaces the writer that it has.");
PyDoc_STRVAR(remove_reader_doc, "remove_reader($self, fd)\n--\n\n\
Remove the reader of a file descriptor; return False if it had none.");
PyDoc_STRVAR(remove_writer_doc, "remove_writer($self, fd)\n--\n\n\
Remove the writer of a file descriptor; return False if it had none.");
PyDoc_STRVAR(_add_reader_doc,
             "_add_reader($self, fd, callback, *args)\n--\n\n");
PyDoc_STRVAR(_add_writer_doc,
             "_add_writer($self, fd, callback, *args)\n--\n\n");
PyDoc_STRVAR(_remove_reader_doc, "_remove_reader($self, fd)\n--\n\n");
PyDoc_STRVAR(_remove_writer_doc, "_remove_writer($self, fd)\n--\n\n");
PyDoc_STRVAR(ensure_doc, "_ensure_fd_no_transport($self, fd)\n--\n\n");
PyDoc_STRVAR(process_events_doc,
             "_process_events($self, event_list)\n--\n\n");

static PyMethodDef methods[] = {
    OURO_METHOD("add_reader", loop_add_reader, add_reader_doc),
    OURO_METHOD("add_writer", loop_add_writer, add_writer_doc),
    OURO_METHOD("remove_reader", loop_remove_reader, remove_reader_doc),
    OURO_METHOD("remove_writer", loop_remove_writer, remove_writer_doc),
    OURO_METHOD("_add_reader", loop__add_reader, _add_reader_doc),
    OURO_METHOD("_add_writer", loop__add_writer, _add_writer_doc),
    OURO_METHOD("_remove_reader", loop__remove_reader, _remove_reader_doc),
    OURO_METHOD("_remove_writer", loop__remove_writer, _remove_writer_doc),
    {"_ensure_fd_no_transport", loop_ensure_fd_no_transport, METH_O,
     ensure_doc},
    {"_process_events", loop_process_events, METH_O, process_events_doc},
    {NULL},
};

PyDoc_STRVAR(
    _add_reader_doc_3_15,
    "_add_reader($self, fd, callback, *args, context=None)\n--\n\n");
PyDoc_STRVAR(
    _add_writer_doc_3_15,
    "_add_writer($self, fd, callback, *args, context=None)\n--\n\n");

static PyMethodDef methods_3_15[] = {
    OURO_METHOD("_add_reader", loop__add_reader, _add_reader_doc_3_15),
    OURO_METHOD("_add_writer", loop__add_writer, _add_writer_doc_3_15),
    {NULL},
};

int
ouro_fdmethods_setup(PyObject *module, ouro_state *st)
{
    if (ouro_loop_add_methods(st, methods) < 0) {
        return -1;
    }
    return st->has.loop.watch_context ? ouro_loop_add_methods(st, methods_3_15)
                                      : 0;
}
