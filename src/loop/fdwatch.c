/* fdwatch.c - add_reader(), add_writer() and their like.
 *
 * One FdWatch for each file descriptor, level triggered: the engine's table
 * owns it while it has a handle.  An event queues the direction's job, which
 * runs the handle that was there when the event came.
 */
#include "loop/fdwatch.h"

#include <errno.h>

#include "loop/handle.h"
#include "loop/netops.h"
#include "loop/sockwatch.h"
#include "loop/selector.h"
#include "loop/steps.h"

/* ---- jobs -------------------------------------------------------------- */

static int
run_direction(FdWatch *self, unsigned direction)
{
    PyObject *handle = direction == OU_IN ? self->reader : self->writer;
    int result = 0;
    if (ou_io_take(&self->io, direction) && handle != NULL) {
        if (((HandleObject *)handle)->cancelled) {
            /* by itself, and not by remove_reader() */
            result = ouro_fdwatch_remove(self->loop, self->fileobj, direction);
        }
        else {
            Py_INCREF(handle);
            result = ouro_handle_run_in_turn((HandleObject *)handle);
            Py_DECREF(handle);
        }
    }
    Py_DECREF(self);
    return result < 0 ? -1 : 0;
}

static FdWatch *
watch_of_in(ou_job *job)
{
    return OURO_CONTAINER_OF(job, FdWatch, io.in);
}

static FdWatch *
watch_of_out(ou_job *job)
{
    return OURO_CONTAINER_OF(job, FdWatch, io.out);
}

static int
in_run(ou_job *job)
{
    return run_direction(watch_of_in(job), OU_IN);
}

static int
out_run(ou_job *job)
{
    return run_direction(watch_of_out(job), OU_OUT);
}

static const ou_job_kind in_kind = {
    OURO_OBJECT_JOB(FdWatch, io.in),
    .run = in_run,
};
static const ou_job_kind out_kind = {
    OURO_OBJECT_JOB(FdWatch, io.out),
    .run = out_run,
};

FdWatch *
ouro_fdwatch_of(ou_io *io)
{
    if (io == NULL || io->in.kind != &in_kind) {
        return NULL;
    }
    return OURO_CONTAINER_OF(io, FdWatch, io);
}

/* ---- file descriptors -------------------------------------------------- */

static int
invalid_fileobj(PyObject *fileobj)
{
    PyErr_Format(PyExc_ValueError, "Invalid file object: %R", fileobj);
    return -1;
}

/* int(fileobj.fileno()), or the number that fileobj is; what cannot be one is
 * a ValueError. */
static PyObject *
number_of(PyObject *fileobj)
{
    if (PyLong_Check(fileobj)) {
        return Py_NewRef(fileobj);
    }
    PyObject *result = PyObject_CallMethod(fileobj, "fileno", NULL);
    PyObject *number = result == NULL ? NULL : PyNumber_Long(result);
    Py_XDECREF(result);
    if (number == NULL
        && (PyErr_ExceptionMatches(PyExc_AttributeError)
            || PyErr_ExceptionMatches(PyExc_TypeError)
            || PyErr_ExceptionMatches(PyExc_ValueError))) {
        PyErr_Clear();
        (void)invalid_fileobj(fileobj);
    }
    return number;
}

/* The number in C; one that no descriptor can have may come out smaller. */
static long long
descriptor_of(PyObject *number)
{
    int overflow;
    long long fd = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0) {
        return overflow > 0 ? LLONG_MAX : LLONG_MIN;
    }
    return fd;
}

/* The file descriptor of a number or an object with fileno(), as selectors
 * tell it: -1 and ValueError. It may be too large for an int. */
static long long
fileno_of(PyObject *fileobj)
{
    PyObject *number = number_of(fileobj);
    if (number == NULL) {
        return -1;
    }
    long long fd = descriptor_of(number);
    if (fd < 0) {
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %S", number);
    }
    Py_DECREF(number);
    return fd < 0 ? -1 : fd;
}

/* The watch of a file object whose fd cannot be asked any more. */
static FdWatch *
find_by_object(LoopObject *self, PyObject *fileobj)
{
    ou_loop *engine = &self->core.engine;
    for (size_t fd = 0; fd < engine->io_capacity; fd++) {
        FdWatch *watch = ouro_fdwatch_of(engine->ios[fd].io);
        if (watch != NULL && watch->fileobj == fileobj) {
            return watch;
        }
    }
    return NULL;
}

/* What selectors look up: the fd, or of a closed file the one that it had
 * when it was registered. */
static long long
lookup_fileno(LoopObject *self, PyObject *fileobj)
{
    long long fd = fileno_of(fileobj);
    if (fd >= 0 || !PyErr_ExceptionMatches(PyExc_ValueError)) {
        return fd;
    }
    FdWatch *watch = find_by_object(self, fileobj);
    if (watch == NULL) {
        return -1;
    }
    PyErr_Clear();
    return watch->io.fd;
}

/* ---- transports -------------------------------------------------------- */

static int
used_by_transport(PyObject *fileobj, PyObject *transport)
{
    PyErr_Format(PyExc_RuntimeError,
                 "File descriptor %R is used by transport %R", fileobj,
                 transport);
    return -1;
}

/* Transports that are written in Python are in _transports. */
static int
check_stock_transport(LoopObject *self, PyObject *fileobj, int fd)
{
    if (self->transports == NULL) {
        return 0;
    }
    PyObject *transport =
        PyObject_CallMethod(self->transports, "get", "i", fd);
    if (transport == NULL) {
        return -1;
    }
    int result = 0;
    if (transport != Py_None) {
        int closing =
            ouro_truth_of(PyObject_CallMethod(transport, "is_closing", NULL));
        if (closing < 0) {
            result = -1;
        }
        else if (!closing) {
            result = used_by_transport(fileobj, transport);
        }
    }
    Py_DECREF(transport);
    return result;
}

int
ouro_fd_refuse_used(LoopObject *self, PyObject *fileobj)
{
    PyObject *number = number_of(fileobj);
    if (number == NULL) {
        return -1;
    }
    long long wide = descriptor_of(number);
    Py_DECREF(number);
    if (wide < 0 || wide > INT_MAX) {
        return 0;
    }
    int fd = (int)wide;
    const net_ops *net = self->core.st->net;
    ou_io *io = self->core.opened ? ou_io_find(&self->core.engine, fd) : NULL;
    PyObject *transport =
        io != NULL && net != NULL ? net->transport_of(io) : NULL;
    if (transport != NULL) {
        return used_by_transport(fileobj, transport);
    }
    return check_stock_transport(self, fileobj, fd);
}

int
ouro_fd_ensure_free(LoopObject *self, PyObject *fileobj)
{
    PyObject *name = self->core.st->str._ensure_fd_no_transport;
    int done = ouro_loop_by_method(self, name, fileobj, NULL);
    return done < 0 ? -1 : done > 0 ? 0 : ouro_fd_refuse_used(self, fileobj);
}

/* ---- adding ------------------------------------------------------------ */

static FdWatch *
watch_new(LoopObject *self, PyObject *fileobj)
{
    PyTypeObject *type = self->core.st->types.FdWatch;
    FdWatch *watch = (FdWatch *)type->tp_alloc(type, 0);
    if (watch != NULL) {
        ou_io_init(&watch->io, &in_kind, &out_kind);
        watch->loop = (LoopObject *)Py_NewRef((PyObject *)self);
        watch->fileobj = Py_NewRef(fileobj);
    }
    return watch;
}

static unsigned
watch_interest(FdWatch *watch)
{
    return (watch->reader != NULL ? OU_IN : 0U)
           | (watch->writer != NULL ? OU_OUT : 0U);
}

static int
watch_first(LoopObject *self, PyObject *fileobj, int fd, unsigned direction,
            PyObject *handle)
{
    FdWatch *watch = watch_new(self, fileobj);
    if (watch == NULL) {
        return -1;
    }
    PyObject **slot = direction == OU_IN ? &watch->reader : &watch->writer;
    *slot = Py_NewRef(handle);
    int error =
        ou_io_start(&self->core.engine, &watch->io, fd, direction, OU_LEVEL);
    if (error == -EEXIST && ouro_sockwatch_release((PyObject *)self, fd)) {
        error = ou_io_start(&self->core.engine, &watch->io, fd, direction,
                            OU_LEVEL);
    }
    int result = error < 0 ? ouro_raise_errno_int(error)
                           : ouro_selector_note(self, watch);
    Py_DECREF(watch);
    return result;
}

/* A new handle takes the place of the old one, whose event is forgotten. */
static int
watch_also(LoopObject *self, FdWatch *watch, unsigned direction,
           PyObject *handle)
{
    int error = ou_io_want(&self->core.engine, &watch->io,
                           watch_interest(watch) | direction);
    if (error < 0) {
        return ouro_raise_errno_int(error);
    }
    ou_io_drained(&watch->io, direction);
    PyObject **slot = direction == OU_IN ? &watch->reader : &watch->writer;
    PyObject *old = *slot;
    *slot = Py_NewRef(handle);
    int result = ouro_selector_note(self, watch);
    if (old != NULL && ouro_handle_cancel((HandleObject *)old) < 0) {
        result = -1;
    }
    Py_XDECREF(old);
    return result;
}

/* lookup_fileno() of what is to be watched: it must be an int. */
static int
lookup_for_watch(LoopObject *self, PyObject *fileobj)
{
    long long fd = lookup_fileno(self, fileobj);
    if (fd > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError,
                        "Python int too large to convert to C int");
        return -1;
    }
    return (int)fd;
}

PyObject *
ouro_fdwatch_add(LoopObject *self, PyObject *fileobj, unsigned direction,
                 PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *context)
{
    if (ouro_loop_check_closed(self) < 0 || ouro_loop_refuse_closed(self) < 0
        || ouro_loop_adopt(self) < 0) {
        return NULL;
    }
    PyObject *handle = ouro_handle_new(self->core.st, (PyObject *)self,
                                       callback, args, nargs, context);
    if (handle == NULL) {
        return NULL;
    }
    int result = -1;
    int fd = lookup_for_watch(self, fileobj);
    ouro_state *st = self->core.st;
    ou_io *io = fd >= 0 ? ou_io_find(&self->core.engine, fd) : NULL;
    if (fd >= 0 && (io == NULL || st->net->share(st, io) == 0)) {
        FdWatch *watch = ouro_fdwatch_of(ou_io_find(&self->core.engine, fd));
        result = watch == NULL
                     ? watch_first(self, fileobj, fd, direction, handle)
                     : watch_also(self, watch, direction, handle);
    }
    if (result < 0) {
        Py_CLEAR(handle);
    }
    return handle;
}

/* ---- removing ---------------------------------------------------------- */

int
ouro_fdwatch_remove(LoopObject *self, PyObject *fileobj, unsigned direction)
{
    int closed = ouro_loop_is_closed(self);
    if (closed != 0 || !self->core.opened) {
        return closed < 0 ? -1 : 0;
    }
    long long fd = lookup_fileno(self, fileobj);
    if (fd < 0 || fd > INT_MAX) {
        return fd < 0 ? -1 : 0;
    }
    FdWatch *watch = ouro_fdwatch_of(ou_io_find(&self->core.engine, (int)fd));
    if (watch == NULL) {
        return 0;
    }
    Py_INCREF(watch);
    PyObject **slot = direction == OU_IN ? &watch->reader : &watch->writer;
    PyObject *handle = *slot;
    *slot = NULL;
    unsigned left = watch_interest(watch);
    int result = 0;
    if (left == 0) {
        ou_io_stop(&self->core.engine, &watch->io);
    }
    else {
        int error = ou_io_want(&self->core.engine, &watch->io, left);
        result = error < 0 ? ouro_raise_errno_int(error) : 0;
    }
    Py_DECREF(watch);
    if (result == 0 && handle != NULL) {
        result = ouro_handle_cancel((HandleObject *)handle) < 0 ? -1 : 1;
    }
    Py_XDECREF(handle);
    return result;
}

/* ---- events by method -------------------------------------------------- */

/* What select() returns for an event: (SelectorKey(...), mask). */
static PyObject *
event_pair(ouro_state *st, FdWatch *watch, unsigned ready)
{
    PyObject *none = Py_None;
    PyObject *key = PyObject_CallFunction(
        st->stock.SelectorKey, "OiI(OO)", watch->fileobj, watch->io.fd,
        watch_interest(watch), watch->reader != NULL ? watch->reader : none,
        watch->writer != NULL ? watch->writer : none);
    if (key == NULL) {
        return NULL;
    }
    return Py_BuildValue("NI", key, ready & (OU_IN | OU_OUT));
}

/* The list that _process_events() gets; the engine's own events move to the
 * front of its array. */
static PyObject *
split_events(LoopObject *self, int *n)
{
    ou_loop *engine = &self->core.engine;
    PyObject *list = PyList_New(0);
    int kept = 0;
    for (int i = 0; list != NULL && i < *n; i++) {
        ou_event *event = &engine->poller.events[i];
        FdWatch *watch = ouro_fdwatch_of(ou_io_find(engine, event->fd));
        if (watch == NULL
            || engine->ios[event->fd].generation != event->generation) {
            engine->poller.events[kept++] = *event;
            continue;
        }
        PyObject *pair = event_pair(self->core.st, watch,
                                    event->ready & watch->io.interest);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    *n = kept;
    return list;
}

int
ouro_fdwatch_process(LoopObject *self, int *n)
{
    ouro_state *st = self->core.st;
    int intact = ouro_loop_method_intact(self, st->str._process_events);
    if (intact > 0) {
        intact = ouro_loop_method_intact(self, st->str._add_callback);
    }
    if (intact != 0) {
        return intact < 0 ? -1 : 0;
    }
    PyObject *events = split_events(self, n);
    if (events == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        (PyObject *)self, st->str._process_events, events);
    Py_DECREF(events);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- the type ---------------------------------------------------------- */

static int
watch_traverse(PyObject *op, visitproc visit, void *arg)
{
    FdWatch *self = (FdWatch *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)self->loop);
    Py_VISIT(self->fileobj);
    Py_VISIT(self->reader);
    Py_VISIT(self->writer);
    return 0;
}

/* (The loop's table lets go of a watch when the loop is cleared.) */
static int
watch_clear(PyObject *op)
{
    FdWatch *self = (FdWatch *)op;
    Py_CLEAR(self->fileobj);
    Py_CLEAR(self->reader);
    Py_CLEAR(self->writer);
    return 0;
}

static void
watch_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    watch_clear(op);
    Py_CLEAR(((FdWatch *)op)->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot watch_slots[] = {
    {Py_tp_doc, "The reader and the writer of a file descriptor."},
    {Py_tp_traverse, watch_traverse},
    {Py_tp_clear, watch_clear},
    {Py_tp_dealloc, watch_dealloc},
    {0, NULL},
};

static PyType_Spec watch_spec = {
    .name = "ouro._ouro.FdWatch",
    .basicsize = sizeof(FdWatch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = watch_slots,
};

int
ouro_fdwatch_setup(PyObject *module, ouro_state *st)
{
    if (ouro_add_type(module, &watch_spec, NULL, false, &st->types.FdWatch)
        < 0) {
        return -1;
    }
    return ouro_fdmethods_setup(module, st);
}
