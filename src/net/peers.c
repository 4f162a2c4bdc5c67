/* peers.c - the addresses of datagrams (see peers.h). */
#include "net/peers.h"

#include <string.h>

#include "net/address.h"

enum { PEERS = 64 };

static peer *
peer_at(const peer_cache *cache, unsigned port)
{
    return &cache->peers[port % PEERS];
}

/* ---- showing ----------------------------------------------------------- */

static PyObject *
path_object(const struct sockaddr *from, socklen_t length)
{
    const char *path;
    size_t size;
    if (!ou_address_path(from, length, &path, &size)) {
        Py_RETURN_NONE;
    }
    return path[0] == '\0'
               ? PyBytes_FromStringAndSize(path, (Py_ssize_t)size)
               : PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)size);
}

PyObject *
ouro_peers_show(peer_cache *cache, const struct sockaddr *from,
                socklen_t length)
{
    ou_address address;
    ou_address_set(&address, from, length);
    if (address.length == 0) {
        return path_object(from, length);
    }
    if (cache->peers == NULL) {
        cache->peers = PyMem_Calloc(PEERS, sizeof(peer));
        if (cache->peers == NULL) {
            return PyErr_NoMemory();
        }
    }
    peer *known = peer_at(cache, ou_address_port(from, length));
    if (known->tuple != NULL && known->address.length == length
        && memcmp(known->address.words, from, length) == 0) {
        return Py_NewRef(known->tuple);
    }
    PyObject *tuple = ouro_address_object(&address);
    if (tuple != NULL) {
        known->address = address;
        Py_XSETREF(known->tuple, Py_NewRef(tuple));
    }
    return tuple;
}

/* ---- reading ----------------------------------------------------------- */

/* tuple[i] as a number up to `most`; 0 behind the end.  False: it is none. */
static bool
number_at(PyObject *tuple, Py_ssize_t i, unsigned most, unsigned *ret)
{
    *ret = 0;
    if (i >= PyTuple_GET_SIZE(tuple)) {
        return true;
    }
    PyObject *object = PyTuple_GET_ITEM(tuple, i);
    if (!PyLong_CheckExact(object)) {
        return false;
    }
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0 || number < 0 || number > most) {
        return false;
    }
    *ret = (unsigned)number;
    return true;
}

int
ouro_peers_read(const peer_cache *cache, int family, PyObject *tuple,
                ou_address *ret)
{
    unsigned port, flow, scope;
    if (!PyTuple_CheckExact(tuple) || PyTuple_GET_SIZE(tuple) < 2
        || PyTuple_GET_SIZE(tuple) > (family == AF_INET6 ? 4 : 2)
        || !PyUnicode_CheckExact(PyTuple_GET_ITEM(tuple, 0))
        || !number_at(tuple, 1, 0xffff, &port)) {
        return 0;
    }
    if (cache->peers != NULL) {
        const peer *known = peer_at(cache, port);
        if (known->tuple == tuple) {
            *ret = known->address;
            return 1;
        }
    }
    if (!number_at(tuple, 2, 0xfffff, &flow)
        || !number_at(tuple, 3, 0xffffffff, &scope)) {
        return 0;
    }
    Py_ssize_t size;
    const char *host =
        PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(tuple, 0), &size);
    if (host == NULL) {
        /* (Lone surrogates: sendto() will say so.) */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    return strlen(host) == (size_t)size
           && ou_address_parse(ret, family, host, port, flow, scope) == 0;
}

/* ---- life -------------------------------------------------------------- */

int
ouro_peers_visit(const peer_cache *cache, visitproc visit, void *arg)
{
    for (size_t i = 0; cache->peers != NULL && i < PEERS; i++) {
        Py_VISIT(cache->peers[i].tuple);
    }
    return 0;
}

void
ouro_peers_clear(peer_cache *cache)
{
    peer *peers = cache->peers;
    cache->peers = NULL;
    for (size_t i = 0; peers != NULL && i < PEERS; i++) {
        Py_XDECREF(peers[i].tuple);
    }
    PyMem_Free(peers);
}
