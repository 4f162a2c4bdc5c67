/* selfpipe.c - asyncio's self-pipe, for those who look.
 *
 * Our loops are woken by the engine's inbox and read signals from a pair of
 * their own (sigwatch.c).  A subclass that overrides one of the methods below,
 * or whoever reads `_ssock` or `_csock`, has a loop that wakes as asyncio's
 * does: by a byte in `_csock`, which _read_from_self() reads from `_ssock` and
 * gives to _process_self_data().
 */
#include "loop/selfpipe.h"

static int
make(LoopObject *self)
{
    self->self_pipe = true;
    return ouro_drop_result(PyObject_CallMethodNoArgs(
        (PyObject *)self, self->core.st->str._make_self_pipe));
}

int
ouro_selfpipe_open(LoopObject *self)
{
    ouro_state *st = self->core.st;
    PyObject *names[] = {st->str._make_self_pipe, st->str._close_self_pipe,
                         st->str._read_from_self, st->str._process_self_data};
    int intact = 1;
    for (size_t i = 0; intact > 0 && i < Py_ARRAY_LENGTH(names); i++) {
        intact = ouro_loop_method_intact(self, names[i]);
    }
    return intact != 0 ? (intact < 0 ? -1 : 0) : make(self);
}

int
ouro_selfpipe_close(LoopObject *self)
{
    if (!self->self_pipe) {
        return 0;
    }
    self->self_pipe = false;
    return ouro_drop_result(PyObject_CallMethodNoArgs(
        (PyObject *)self, self->core.st->str._close_self_pipe));
}

int
ouro_selfpipe_wake(LoopObject *self)
{
    ouro_state *st = self->core.st;
    if (self->core.opened && !ouro_loop_elsewhere(self)) {
        ou_loop_note_io(&self->core.engine);
    }
    return ouro_drop_result(
        PyObject_CallMethodOneArg(st->stock.UnixSelectorEventLoop,
                                  st->str._write_to_self, (PyObject *)self));
}

PyObject *
ouro_selfpipe_get(PyObject *op, void *closure)
{
    LoopObject *self = (LoopObject *)op;
    PyObject **end = (PyObject **)((char *)op + (size_t)closure);
    if (*end == NULL && self->core.opened && !self->closed && !self->self_pipe
        && make(self) < 0) {
        return NULL;
    }
    return Py_NewRef(*end != NULL ? *end : Py_None);
}

int
ouro_selfpipe_set(PyObject *op, PyObject *value, void *closure)
{
    PyObject **end = (PyObject **)((char *)op + (size_t)closure);
    Py_XSETREF(*end, Py_XNewRef(value));
    return 0;
}

int
ouro_selfpipe_fileno(LoopObject *self)
{
    PyObject *sock = PyObject_GetAttrString((PyObject *)self, "_csock");
    PyObject *number =
        sock == NULL
            ? NULL
            : PyObject_CallMethodNoArgs(sock, self->core.st->str.fileno);
    Py_XDECREF(sock);
    int fd = number == NULL ? -1 : PyLong_AsInt(number);
    Py_XDECREF(number);
    return fd;
}

/* Bytes from the self-pipe: numbers of signals, and 0 for a wake-up. */
static PyObject *
loop_process_self_data(PyObject *op, PyObject *data)
{
    PyObject *iterator = PyObject_GetIter(data);
    PyObject *number = NULL;
    int result = iterator == NULL ? -1 : 0;
    while (result == 0 && (number = PyIter_Next(iterator)) != NULL) {
        int signal = PyObject_IsTrue(number);
        result = signal;
        if (signal > 0) {
            result = ouro_drop_result(PyObject_CallMethodOneArg(
                op, ((LoopObject *)op)->core.st->str._handle_signal, number));
        }
        Py_DECREF(number);
    }
    Py_XDECREF(iterator);
    return result < 0 || PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(process_self_data_doc,
             "_process_self_data($self, data)\n--\n\n");

static PyMethodDef methods[] = {
    {"_process_self_data", loop_process_self_data, METH_O,
     process_self_data_doc},
    {NULL},
};

int
ouro_selfpipe_setup(PyObject *module, ouro_state *st)
{
    return ouro_loop_add_methods(st, methods);
}
