/* address.h - socket addresses as Python shows them. */
#ifndef OURO_ADDRESS_H
#define OURO_ADDRESS_H

#include "base/ouro.h"
#include "sys/address.h"

/* The tuple that socket.getpeername() returns: (host, port), and for IPv6
 * flow information and scope id.  None for no address. */
PyObject *ouro_address_object(const ou_address *address);

#endif
