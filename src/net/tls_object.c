/* tls_object.c - the calls of Python's `ssl` objects (see tls.h).
 *
 * An ssl.SSLObject is Python around a C object of _ssl.  While it is what it
 * was made as, the C object is called directly, with memory that is lent to
 * it by a Span; any other (a subclass, a mock) is called by its methods.
 */
#include "net/tls.h"

/* ---- lending memory ---------------------------------------------------- */

/* An object with a buffer: memory of ours, for the length of one call. */
typedef struct SpanObject {
    PyObject_HEAD
    char *start; /* NULL: nothing is lent */
    Py_ssize_t size;
    bool readonly;
} SpanObject;

static int
span_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    SpanObject *self = (SpanObject *)object;
    return PyBuffer_FillInfo(view, object, self->start, self->size,
                             self->readonly, flags);
}

static void
span_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyType_Slot span_slots[] = {
    {Py_tp_dealloc, span_dealloc},
    {Py_bf_getbuffer, span_getbuffer},
    {0, NULL},
};

static PyType_Spec span_spec = {
    .name = "ouro._ouro._Span",
    .basicsize = sizeof(SpanObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = span_slots,
};

static PyObject *
span_lend(TlsObject *self, const char *memory, Py_ssize_t size, bool readonly)
{
    SpanObject *span = (SpanObject *)self->span;
    span->start = (char *)memory;
    span->size = size;
    span->readonly = readonly;
    return Py_NewRef(self->span);
}

/* The call is over. */
static void
span_return(PyObject *object)
{
    SpanObject *span = (SpanObject *)object;
    span->start = NULL;
    span->size = 0;
    Py_DECREF(object);
}

/* ---- which object ------------------------------------------------------ */

/* The _ssl object inside an ssl.SSLObject that is as it was made: *ret is a
 * new reference or NULL. */
static int
find_direct(ouro_state *st, PyObject *sslobj, PyObject **ret)
{
    *ret = NULL;
    PyObject *type = st->stock.SSLObject;
    if (type == NULL || (PyObject *)Py_TYPE(sslobj) != type
        || !ouro_intact_check(&st->transports.SSLObject)) {
        return 0;
    }
    PyObject *inner = PyObject_GetAttr(sslobj, st->str._sslobj);
    if (inner == NULL) {
        return -1;
    }
    *ret = inner;
    return 0;
}

int
ouro_tls_use_object(ouro_state *st, TlsObject *self, PyObject *sslobj)
{
    PyObject *direct;
    if (find_direct(st, sslobj, &direct) < 0) {
        return -1;
    }
    if (self->span == NULL) {
        PyTypeObject *type = st->types.TlsSpan;
        self->span = type->tp_alloc(type, 0);
        if (self->span == NULL) {
            Py_XDECREF(direct);
            return -1;
        }
    }
    Py_XSETREF(self->direct, direct);
    Py_XSETREF(self->sslobj, Py_NewRef(sslobj));
    return 0;
}

/* What a call has returned, or raised. */
static tls_result
tls_outcome(ouro_state *st, PyObject *value)
{
    if (value != NULL) {
        return TLS_DONE;
    }
    if (st->stock.SSLAgainErrors == NULL
        || !PyErr_ExceptionMatches(st->stock.SSLAgainErrors)) {
        return TLS_ERROR;
    }
    PyErr_Clear();
    return TLS_AGAIN;
}

static tls_result
call_plainly(ouro_state *st, TlsObject *self, PyObject *direct_name,
             PyObject *name)
{
    PyObject *direct = ouro_tls_direct(st, self);
    PyObject *target = Py_NewRef(direct != NULL ? direct : self->sslobj);
    PyObject *value =
        PyObject_CallMethodNoArgs(target, direct != NULL ? direct_name : name);
    tls_result result = tls_outcome(st, value);
    Py_XDECREF(value);
    Py_DECREF(target);
    return result;
}

tls_result
ouro_tls_call_handshake(ouro_state *st, TlsObject *self)
{
    return call_plainly(st, self, st->str.do_handshake, st->str.do_handshake);
}

tls_result
ouro_tls_call_unwrap(ouro_state *st, TlsObject *self)
{
    return call_plainly(st, self, st->str.shutdown, st->str.unwrap);
}

/* ---- reading ----------------------------------------------------------- */

tls_result
ouro_tls_read_object(ouro_state *st, TlsObject *self, Py_ssize_t size,
                     PyObject *buffer, PyObject **ret)
{
    PyObject *direct = ouro_tls_direct(st, self);
    PyObject *target = Py_NewRef(direct != NULL ? direct : self->sslobj);
    PyObject *number = PyLong_FromSsize_t(size);
    *ret = NULL;
    if (number != NULL) {
        PyObject *args[] = {target, number, buffer};
        *ret = PyObject_VectorcallMethod(st->str.read, args,
                                         buffer == NULL ? 2 : 3, NULL);
        Py_DECREF(number);
    }
    Py_DECREF(target);
    return tls_outcome(st, *ret);
}

/* One record, or what fits of it. */
static tls_result
read_record(ouro_state *st, TlsObject *self, char *memory, Py_ssize_t size,
            Py_ssize_t *ret_count)
{
    PyObject *span = span_lend(self, memory, size, false);
    PyObject *count;
    tls_result result = ouro_tls_read_object(st, self, size, span, &count);
    span_return(span);
    if (count != NULL) {
        *ret_count = PyLong_AsSsize_t(count);
        Py_DECREF(count);
        if (*ret_count == -1 && PyErr_Occurred()) {
            return TLS_ERROR;
        }
    }
    return result;
}

/* Whether the SSL object can have anything to say: to ask it in vain costs an
 * exception. 1, 0, -1. */
static int
may_read(ouro_state *st, TlsObject *self)
{
    Py_ssize_t pending = ouro_tls_pending(st, self->incoming);
    if (pending != 0) {
        return pending < 0 ? -1 : 1;
    }
    return ouro_truth_of(
        PyObject_CallMethodNoArgs(self->direct, st->str.pending));
}

tls_result
ouro_tls_read_into(ouro_state *st, TlsObject *self, char *memory,
                   Py_ssize_t size, Py_ssize_t *ret_got, bool *ret_eof)
{
    *ret_got = 0;
    *ret_eof = false;
    int more = may_read(st, self);
    while (more > 0) {
        Py_ssize_t count = 0, wanted = size - *ret_got;
        tls_result result =
            read_record(st, self, memory + *ret_got, wanted, &count);
        if (result != TLS_DONE) {
            return result;
        }
        *ret_got += count;
        *ret_eof = count == 0;
        if (count == 0 || count == wanted
            || ouro_tls_direct(st, self) == NULL) {
            return TLS_DONE;
        }
        /* A record that did not fill the memory is used up. */
        Py_ssize_t pending = ouro_tls_pending(st, self->incoming);
        more = pending < 0 ? -1 : pending > 0;
    }
    return more < 0 ? TLS_ERROR : TLS_AGAIN;
}

/* ---- writing ----------------------------------------------------------- */

tls_result
ouro_tls_write_object(ouro_state *st, TlsObject *self, PyObject *data,
                      Py_ssize_t *ret_count)
{
    PyObject *direct = ouro_tls_direct(st, self);
    PyObject *target = Py_NewRef(direct != NULL ? direct : self->sslobj);
    PyObject *args[] = {target, data};
    PyObject *count = PyObject_VectorcallMethod(st->str.write, args, 2, NULL);
    Py_DECREF(target);
    tls_result result = tls_outcome(st, count);
    if (result == TLS_DONE) {
        *ret_count = PyNumber_AsSsize_t(count, PyExc_OverflowError);
        Py_DECREF(count);
        if (*ret_count == -1 && PyErr_Occurred()) {
            return TLS_ERROR;
        }
    }
    return result;
}

/* ---- the BIOs ---------------------------------------------------------- */

int
ouro_tls_feed(ouro_state *st, TlsObject *self, const char *data,
              Py_ssize_t size)
{
    PyObject *span = span_lend(self, data, size, true);
    int result = ouro_drop_result(
        PyObject_CallMethodOneArg(self->incoming, st->str.write, span));
    span_return(span);
    return result;
}

Py_ssize_t
ouro_tls_pending(ouro_state *st, PyObject *bio)
{
    PyObject *number = PyObject_GetAttr(bio, st->str.pending);
    if (number == NULL) {
        return -1;
    }
    Py_ssize_t pending = PyNumber_AsSsize_t(number, PyExc_OverflowError);
    Py_DECREF(number);
    if (pending < 0 && !PyErr_Occurred()) {
        /* (Of an object that is put in the place of a BIO.) */
        PyErr_SetString(PyExc_ValueError, "pending must not be negative");
    }
    return pending;
}

/* ---- set-up ------------------------------------------------------------ */

/* What is needed of the ssl module; without it there is no TLS. */
static int
import_ssl(ouro_state *st)
{
    PyObject *module = PyImport_ImportModule("ssl");
    if (module == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    st->stock.ssl = module;
    const struct {
        const char *name;
        PyObject **slot;
    } wanted[] = {
        {"SSLObject", &st->stock.SSLObject},
        {"SSLError", &st->stock.SSLError},
        {"CertificateError", &st->stock.CertificateError},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(wanted); i++) {
        *wanted[i].slot = PyObject_GetAttrString(module, wanted[i].name);
        if (*wanted[i].slot == NULL) {
            return -1;
        }
    }
    st->stock.SSLAgainErrors =
        PyObject_GetAttrString(st->stock.sslproto, "SSLAgainErrors");
    return st->stock.SSLAgainErrors == NULL
               ? -1
               : ouro_intact_init(&st->transports.SSLObject,
                                  (PyTypeObject *)st->stock.SSLObject);
}

int
ouro_tls_object_setup(PyObject *module, ouro_state *st)
{
    if (import_ssl(st) < 0) {
        return -1;
    }
    return ouro_add_type(module, &span_spec, NULL, false, &st->types.TlsSpan);
}
