/* address.h - internet addresses, as the kernel and as text have them. */
#ifndef OU_ADDRESS_H
#define OU_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { OU_ADDRESS_TEXT = 64 }; /* bytes for the longest host, with its end */

/* A sockaddr_in or sockaddr_in6; all zero bytes is no address. */
typedef struct ou_address {
    uint32_t words[7];
    socklen_t length; /* bytes, 0: none */
} ou_address;

/* Take an address over if it is an internet address, else leave *address
 * without one. */
void ou_address_set(ou_address *address, const struct sockaddr *from,
                    socklen_t length);

/* The socket's own or its peer's address: 0 (with none, if it is no internet
 * address), or -errno. */
int ou_address_of_socket(ou_address *address, int fd);
int ou_address_of_peer(ou_address *address, int fd);

/* AF_INET, AF_INET6 or AF_UNSPEC. */
int ou_address_family(const ou_address *address);

/* The host as text (host has OU_ADDRESS_TEXT bytes) and the numbers in host
 * order; flow and scope are IPv6's.  0 or -errno. */
int ou_address_text(const ou_address *address, char *host, unsigned *port,
                    unsigned *flow, unsigned *scope);

/* Whether text is a literal address of the family: what inet_pton takes. */
bool ou_address_literal(int family, const char *text);

#endif
