/* address.c - socket addresses as Python shows them (see address.h). */
#include "net/address.h"

PyObject *
ouro_address_object(const ou_address *address)
{
    if (address->length == 0) {
        Py_RETURN_NONE;
    }
    char host[OU_ADDRESS_TEXT];
    unsigned port, flow, scope;
    int result = ou_address_text(address, host, &port, &flow, &scope);
    if (result < 0) {
        return ouro_raise_errno(result);
    }
    if (ou_address_family(address) == AF_INET) {
        return Py_BuildValue("sI", host, port);
    }
    return Py_BuildValue("sIII", host, port, flow, scope);
}
