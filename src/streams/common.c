/* common.c - what the types of this room share. */
#include "streams/common.h"

#include "net/protocol_ops.h"

int
ouro_streams_assert(ouro_state *st, bool condition, const char *message)
{
    if (condition || !st->has.streams.asserts) {
        return 0;
    }
    if (message == NULL) {
        PyErr_SetNone(PyExc_AssertionError);
    }
    else {
        PyErr_SetString(PyExc_AssertionError, message);
    }
    return -1;
}

int
ouro_streams_call(PyObject *object, PyObject *name, PyObject *arg)
{
    return ouro_drop_result(
        arg == NULL ? PyObject_CallMethodNoArgs(object, name)
                    : PyObject_CallMethodOneArg(object, name, arg));
}

int
ouro_streams_add_part(PyObject *parts, PyObject *text)
{
    int result = text == NULL ? -1 : PyList_Append(parts, text);
    Py_XDECREF(text);
    return result;
}

PyObject *
ouro_streams_repr(PyObject *parts)
{
    PyObject *space = PyUnicode_FromString(" ");
    PyObject *text = space == NULL ? NULL : PyUnicode_Join(space, parts);
    PyObject *repr = text == NULL ? NULL : PyUnicode_FromFormat("<%U>", text);
    Py_XDECREF(text);
    Py_XDECREF(space);
    return repr;
}

int
ouro_streams_add_method(PyTypeObject *type, PyMethodDef *method)
{
    PyObject *descriptor = PyDescr_NewMethod(type, method);
    if (descriptor == NULL) {
        return -1;
    }
    int result =
        PyDict_SetItemString(type->tp_dict, method->ml_name, descriptor);
    Py_DECREF(descriptor);
    PyType_Modified(type);
    return result;
}

static PyObject **
member_at(PyObject *self, void *offset)
{
    return (PyObject **)((char *)self + (size_t)offset);
}

PyObject *
ouro_streams_get_optional(PyObject *self, void *offset)
{
    PyObject *value = *member_at(self, offset);
    return Py_NewRef(value != NULL ? value : Py_None);
}

int
ouro_streams_set_optional(PyObject *self, PyObject *value, void *offset)
{
    Py_XSETREF(*member_at(self, offset),
               value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

int
ouro_transport_pause_reading(ouro_state *st, PyObject *transport)
{
    const transport_ops *ops = ouro_transport_ops(st, transport);
    return ops != NULL
               ? ops->pause_reading(transport)
               : ouro_streams_call(transport, st->str.pause_reading, NULL);
}

int
ouro_transport_resume_reading(ouro_state *st, PyObject *transport)
{
    const transport_ops *ops = ouro_transport_ops(st, transport);
    return ops != NULL
               ? ops->resume_reading(transport)
               : ouro_streams_call(transport, st->str.resume_reading, NULL);
}

int
ouro_transport_close(ouro_state *st, PyObject *transport)
{
    const transport_ops *ops = ouro_transport_ops(st, transport);
    return ops != NULL ? ops->close(transport)
                       : ouro_streams_call(transport, st->str.close, NULL);
}

int
ouro_transport_is_closing(ouro_state *st, PyObject *transport)
{
    const transport_ops *ops = ouro_transport_ops(st, transport);
    if (ops != NULL) {
        return ops->is_closing(transport);
    }
    return ouro_truth_of(
        PyObject_CallMethodNoArgs(transport, st->str.is_closing));
}
