/* selector.c - a poller that is an object of Python's `selectors`.
 *
 * For Loop(selector) and for whoever looks at loop._selector, to patch its
 * select() or to see its map.  The engine's calls become register(),
 * modify(), unregister() and select(); what select() returns becomes events.
 */
#include "loop/selector.h"

#include <errno.h>

#include "loop/handle.h"

/* ---- the engine's side ------------------------------------------------- */

static LoopObject *
loop_of(ou_poller *poller)
{
    return poller->extension;
}

/* The current exception as a result of the engine. */
static int
error_result(void)
{
    int result = -EINVAL;
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        PyObject *error = PyErr_GetRaisedException();
        PyObject *number = PyObject_GetAttrString(error, "errno");
        if (number != NULL && PyLong_Check(number)
            && PyLong_AsLong(number) > 0) {
            result = -(int)PyLong_AsLong(number);
        }
        Py_XDECREF(number);
        Py_DECREF(error);
    }
    PyErr_Clear();
    return result;
}

/* selector.method(fd, interest): 0, or 1: KeyError, or -errno. */
static int
call_selector(LoopObject *self, const char *method, int fd, unsigned interest)
{
    if (self->selector == NULL) {
        return 0; /* the loop is being closed */
    }
    PyObject *outer = PyErr_GetRaisedException();
    PyObject *key = interest != 0
                        ? PyObject_CallMethod(self->selector, method, "iI(OO)",
                                              fd, interest, Py_None, Py_None)
                        : PyObject_CallMethod(self->selector, method, "i", fd);
    int result = 0;
    if (key == NULL) {
        result = PyErr_ExceptionMatches(PyExc_KeyError) ? 1 : error_result();
        PyErr_Clear();
    }
    Py_XDECREF(key);
    PyErr_SetRaisedException(outer);
    return result;
}

static int
selector_add(ou_poller *poller, int fd, uint32_t generation, unsigned interest,
             ou_trigger trigger)
{
    LoopObject *self = loop_of(poller);
    int result = call_selector(self, "register", fd, interest);
    if (result > 0) { /* registered already: closed and opened again */
        (void)call_selector(self, "unregister", fd, 0);
        result = call_selector(self, "register", fd, interest);
    }
    return result > 0 ? -EEXIST : result;
}

/* The handles of fd as the selector's data, which it has just forgotten: 0 or
 * -errno. */
static int
note_handles(LoopObject *self, int fd)
{
    FdWatch *watch = ouro_fdwatch_of(ou_io_find(&self->core.engine, fd));
    if (watch == NULL) {
        return 0;
    }
    PyObject *outer = PyErr_GetRaisedException();
    int result = ouro_selector_note(self, watch) < 0 ? error_result() : 0;
    PyErr_SetRaisedException(outer);
    return result;
}

static int
selector_modify(ou_poller *poller, int fd, uint32_t generation,
                unsigned interest, ou_trigger trigger)
{
    int result = call_selector(loop_of(poller), "modify", fd, interest);
    if (result == 0) {
        result = note_handles(loop_of(poller), fd);
    }
    return result > 0 ? selector_add(poller, fd, generation, interest, trigger)
                      : result;
}

static int
selector_remove(ou_poller *poller, int fd)
{
    int result = call_selector(loop_of(poller), "unregister", fd, 0);
    return result > 0 ? -ENOENT : result;
}

/* An entry of select()'s list as an event.  1, 0: of nobody's, or -1. */
static int
read_event(LoopObject *self, PyObject *entry, ou_event *ret_event)
{
    PyObject *key, *number = NULL;
    unsigned mask;
    PyObject *pair = PySequence_Tuple(entry);
    if (pair != NULL && PyArg_ParseTuple(pair, "OI", &key, &mask)) {
        number = PyObject_GetAttrString(key, "fd");
    }
    Py_XDECREF(pair);
    if (number == NULL) {
        return -1;
    }
    int fd = PyLong_AsInt(number);
    Py_DECREF(number);
    if (fd == -1 && PyErr_Occurred()) {
        return -1;
    }
    ou_loop *engine = &self->core.engine;
    if (ou_io_find(engine, fd) == NULL) {
        return 0;
    }
    ret_event->fd = fd;
    ret_event->generation = engine->ios[fd].generation;
    ret_event->ready = mask;
    return 1;
}

/* Fill the array from the list of what was selected; what does not fit stays
 * there. */
static int
read_events(LoopObject *self, ou_poller *poller, PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    Py_ssize_t place = 0;
    int n = 0;
    while (place < count && n < OU_POLLER_EVENTS) {
        int found = read_event(self, PyList_GET_ITEM(list, place++),
                               &poller->events[n]);
        if (found < 0) {
            return -1;
        }
        n += found;
    }
    return PyList_SetSlice(list, 0, place, NULL) < 0 ? -1 : n;
}

/* self._selector.select(timeout), as a list; NULL: an exception. */
static PyObject *
call_select(LoopObject *self, double timeout)
{
    PyObject *seconds;
    if (timeout < 0) {
        seconds = Py_NewRef(Py_None);
    }
    else {
        seconds =
            timeout == 0 ? PyLong_FromLong(0) : PyFloat_FromDouble(timeout);
    }
    PyObject *result =
        seconds == NULL
            ? NULL
            : PyObject_CallMethodOneArg(ouro_or_none(self->selector),
                                        self->core.st->str.select, seconds);
    Py_XDECREF(seconds);
    PyObject *list = result != NULL ? PySequence_List(result) : NULL;
    Py_XDECREF(result);
    return list;
}

/* The events that the last call of select() has left over, or what the next
 * one brings; an exception of its is left set. */
static int
selector_wait(ou_poller *poller, double timeout)
{
    LoopObject *self = loop_of(poller);
    if (self->selected == NULL || PyList_GET_SIZE(self->selected) == 0) {
        PyObject *selected = call_select(self, timeout);
        Py_XSETREF(self->selected, selected);
    }
    PyObject *list = Py_XNewRef(self->selected);
    if (list == NULL) {
        return 0;
    }
    int n = read_events(self, poller, list);
    Py_DECREF(list);
    return n < 0 ? 0 : n;
}

const ou_poller_backend ouro_selector_backend = {
    .name = "selector",
    .foreign = true,
    .add = selector_add,
    .modify = selector_modify,
    .remove = selector_remove,
    .wait = selector_wait,
};

/* ---- the loop's side --------------------------------------------------- */

int
ouro_selector_note(LoopObject *self, FdWatch *watch)
{
    if (!ouro_has_selector(self) || self->selector == NULL) {
        return 0;
    }
    return ouro_drop_result(
        PyObject_CallMethod(self->selector, "modify", "iI(OO)", watch->io.fd,
                            (unsigned)watch->io.interest,
                            watch->reader != NULL ? watch->reader : Py_None,
                            watch->writer != NULL ? watch->writer : Py_None));
}

/* selectors.DefaultSelector() */
static PyObject *
default_selector(void)
{
    PyObject *module = PyImport_ImportModule("selectors");
    if (module == NULL) {
        return NULL;
    }
    PyObject *selector = PyObject_CallMethod(module, "DefaultSelector", NULL);
    Py_DECREF(module);
    return selector;
}

static int
note_all(LoopObject *self)
{
    ou_loop *engine = &self->core.engine;
    for (size_t fd = 0; fd < engine->io_capacity; fd++) {
        FdWatch *watch = ouro_fdwatch_of(engine->ios[fd].io);
        if (watch != NULL && ouro_selector_note(self, watch) < 0) {
            return -1;
        }
    }
    return 0;
}

int
ouro_selector_set(PyObject *op, PyObject *value, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_selector");
        return -1;
    }
    Py_XSETREF(self->selector, value == Py_None ? NULL : Py_NewRef(value));
    Py_CLEAR(self->selected);
    if (!self->core.opened || self->selector == NULL) {
        return 0;
    }
    ou_loop_go_foreign(&self->core.engine, &ouro_selector_backend, self);
    return note_all(self);
}

PyObject *
ouro_selector_get(PyObject *op, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    if (self->selector == NULL && self->core.opened) {
        PyObject *selector = default_selector();
        if (selector == NULL) {
            return NULL;
        }
        int result = ouro_selector_set(op, selector, closure);
        Py_DECREF(selector);
        if (result < 0) {
            return NULL;
        }
    }
    return Py_NewRef(self->selector != NULL ? self->selector : Py_None);
}

int
ouro_selector_close(LoopObject *self)
{
    PyObject *selector = self->selector;
    if (selector == NULL) {
        return 0;
    }
    self->selector = NULL;
    int result =
        ouro_drop_result(PyObject_CallMethod(selector, "close", NULL));
    Py_DECREF(selector);
    return result;
}
