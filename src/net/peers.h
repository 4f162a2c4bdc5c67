/* peers.h - the addresses that datagrams come from and go to.
 *
 * A datagram's address is shown as a tuple, and is a tuple when an answer is
 * sent to it.  The last ones are remembered in both shapes, so that a server
 * that talks to the same peers again and again neither makes nor reads them.
 */
#ifndef OURO_PEERS_H
#define OURO_PEERS_H

#include "base/ouro.h"
#include "sys/address.h"

typedef struct peer {
    ou_address address;
    PyObject *tuple; /* or NULL */
} peer;

/* All zero bytes: it knows nobody yet. */
typedef struct peer_cache {
    peer *peers; /* by port; NULL until there is one */
} peer_cache;

/* The address of a received datagram as recvfrom() shows it (owned).  length
 * 0: None. */
PyObject *ouro_peers_show(peer_cache *cache, const struct sockaddr *from,
                          socklen_t length);

/* Read an address of the family (AF_INET or AF_INET6) that needs not be
 * resolved: 1; 0: it is left to sendto(), which may know better; -1. */
int ouro_peers_read(const peer_cache *cache, int family, PyObject *tuple,
                    ou_address *ret);

int ouro_peers_visit(const peer_cache *cache, visitproc visit, void *arg);
void ouro_peers_clear(peer_cache *cache);

#endif
