/* methods.h - methods that transports have in common: functions for their
 * method tables, and the entries themselves.
 */
#ifndef OURO_METHODS_H
#define OURO_METHODS_H

#include "base/args.h"
#include "net/transport.h"

/* logger.debug(format, self) in debug mode. 0 or -1. */
int ouro_transport_debug(ouro_state *st, TransportObject *self,
                         const char *format);

int ouro_reading_pause(PyObject *self);
int ouro_reading_resume(PyObject *self);

/* What tp_repr does for sockets. */
PyObject *ouro_transport_repr(PyObject *self);

PyObject *ouro_method_is_closing(PyObject *self, PyObject *ignored);
PyObject *ouro_method_is_reading(PyObject *self, PyObject *ignored);
PyObject *ouro_method_pause_reading(PyObject *self, PyObject *ignored);
PyObject *ouro_method_resume_reading(PyObject *self, PyObject *ignored);
PyObject *ouro_method_get_protocol(PyObject *self, PyObject *ignored);
PyObject *ouro_method_set_protocol(PyObject *self, PyObject *const *args,
                                   Py_ssize_t nargs, PyObject *kwnames);
PyObject *ouro_method_get_extra_info(PyObject *self, PyObject *const *args,
                                     Py_ssize_t nargs, PyObject *kwnames);
PyObject *ouro_method_get_write_buffer_size(PyObject *self, PyObject *ignored);
PyObject *ouro_method_get_write_buffer_limits(PyObject *self,
                                              PyObject *ignored);
PyObject *ouro_method_set_write_buffer_limits(PyObject *self,
                                              PyObject *const *args,
                                              Py_ssize_t nargs,
                                              PyObject *kwnames);
PyObject *ouro_method_add_reader(PyObject *self, PyObject *const *args,
                                 Py_ssize_t nargs);
PyObject *ouro_method_call_connection_lost(PyObject *self, PyObject *exc);
PyObject *ouro_method_force_close(PyObject *self, PyObject *exc);
PyObject *ouro_method_abort(PyObject *self, PyObject *ignored);

/* Entries of a PyMethodDef table: of all transports, of those that send, and
 * of those of sockets. */
#define OURO_TRANSPORT_METHODS                                                \
    OURO_METHOD("get_extra_info", ouro_method_get_extra_info,                 \
                PyDoc_STR("get_extra_info($self, name, default=None)\n--\n\n" \
                          "Get optional transport information: of a socket "  \
                          "'socket', 'sockname'\n"                            \
                          "and 'peername', of a pipe 'pipe'.")),              \
        {"is_closing", ouro_method_is_closing, METH_NOARGS,                   \
         PyDoc_STR("is_closing($self)\n--\n\n"                                \
                   "Return True if the transport is closing or closed.")},    \
        {"get_protocol", ouro_method_get_protocol, METH_NOARGS,               \
         PyDoc_STR("get_protocol($self)\n--\n\nReturn the protocol.")},       \
        OURO_METHOD("set_protocol", ouro_method_set_protocol,                 \
                    PyDoc_STR("set_protocol($self, protocol)\n--\n\n"         \
                              "From now on, report to another protocol.")),   \
        {"_add_reader", _PyCFunction_CAST(ouro_method_add_reader),            \
         METH_FASTCALL, NULL},                                                \
    {                                                                         \
        "_call_connection_lost", ouro_method_call_connection_lost, METH_O,    \
            NULL                                                              \
    }

#define OURO_SENDING_METHODS                                                  \
    {"get_write_buffer_size", ouro_method_get_write_buffer_size, METH_NOARGS, \
     PyDoc_STR("get_write_buffer_size($self)\n--\n\n"                         \
               "Return how many bytes wait to be sent.")},                    \
        {"get_write_buffer_limits", ouro_method_get_write_buffer_limits,      \
         METH_NOARGS,                                                         \
         PyDoc_STR("get_write_buffer_limits($self)\n--\n\n"                   \
                   "Return the low and high marks, in bytes.")},              \
        OURO_METHOD("set_write_buffer_limits",                                \
                    ouro_method_set_write_buffer_limits,                      \
                    PyDoc_STR("set_write_buffer_limits($self, high=None, "    \
                              "low=None)\n--\n\n"                             \
                              "Set how many bytes may wait to be sent "       \
                              "before the protocol is paused,\n"              \
                              "and how few there must be before it goes "     \
                              "on."))

#define OURO_SOCKET_METHODS                                                   \
    OURO_TRANSPORT_METHODS, OURO_SENDING_METHODS,                             \
        {"is_reading", ouro_method_is_reading, METH_NOARGS,                   \
         PyDoc_STR("is_reading($self)\n--\n\n"                                \
                   "Return True if the transport is receiving.")},            \
        {"pause_reading", ouro_method_pause_reading, METH_NOARGS,             \
         PyDoc_STR("pause_reading($self)\n--\n\n"                             \
                   "Receive nothing until resume_reading() is called.")},     \
        {"resume_reading", ouro_method_resume_reading, METH_NOARGS,           \
         PyDoc_STR("resume_reading($self)\n--\n\nReceive again.")},           \
        {"abort", ouro_method_abort, METH_NOARGS,                             \
         PyDoc_STR("abort($self)\n--\n\n"                                     \
                   "Close at once; what has not been sent is lost.")},        \
    {                                                                         \
        "_force_close", ouro_method_force_close, METH_O, NULL                 \
    }

/* Entries of a PyMemberDef table. */
#define OURO_TRANSPORT_MEMBER(name, type, field)                              \
    {                                                                         \
        name, type, offsetof(TransportObject, field), READONLY, NULL          \
    }

#define OURO_SOCKET_MEMBERS                                                   \
    OURO_TRANSPORT_MEMBER("_loop", T_OBJECT, loop),                           \
        OURO_TRANSPORT_MEMBER("_protocol", T_OBJECT, protocol),               \
        OURO_TRANSPORT_MEMBER("_server", T_OBJECT, server),                   \
        OURO_TRANSPORT_MEMBER("_sock_fd", T_INT, fd),                         \
        OURO_TRANSPORT_MEMBER("_conn_lost", T_UINT, conn_lost),               \
        OURO_TRANSPORT_MEMBER("_closing", T_BOOL, closing),                   \
        OURO_TRANSPORT_MEMBER("_paused", T_BOOL, paused),                     \
        OURO_TRANSPORT_MEMBER("_protocol_connected", T_BOOL, connected),      \
        OURO_TRANSPORT_MEMBER("_protocol_paused", T_BOOL, protocol_paused),   \
        OURO_TRANSPORT_MEMBER("_high_water", T_PYSSIZET, high),               \
        OURO_TRANSPORT_MEMBER("_low_water", T_PYSSIZET, low),                 \
        OURO_TRANSPORT_MEMBER("__dictoffset__", T_PYSSIZET, dict),            \
        OURO_TRANSPORT_MEMBER("__weaklistoffset__", T_PYSSIZET, weakrefs)

#endif
