/* address.h - internet addresses, as the kernel and as text have them. */
#ifndef OU_ADDRESS_H
#define OU_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
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

/* AF_INET, AF_INET6 or AF_UNSPEC. */
int ou_address_family(const ou_address *address);

/* The host as text (host has OU_ADDRESS_TEXT bytes) and the numbers in host
 * order; flow and scope are IPv6's.  0 or -errno. */
int ou_address_text(const ou_address *address, char *host, unsigned *port,
                    unsigned *flow, unsigned *scope);

/* An address of text as above, and of numbers in host order: 0, or -EINVAL
 * if it is no literal address of the family. */
int ou_address_parse(ou_address *address, int family, const char *host,
                     unsigned port, unsigned flow, unsigned scope);

/* The port of an internet address, in host order; 0 of another. */
unsigned ou_address_port(const struct sockaddr *address, socklen_t length);

/* The name of an AF_UNIX address, in the file system or abstract (then with
 * the leading zero byte): whether it is one, and so many bytes at *ret_path.
 */
bool ou_address_path(const struct sockaddr *address, socklen_t length,
                     const char **ret_path, size_t *ret_size);

/* Whether text is a literal address of the family: what inet_pton takes. */
bool ou_address_literal(int family, const char *text);

/* Whether getnameinfo() with these flags has nobody to ask: for the host's and
 * the service's numbers. */
bool ou_address_numbers_only(long flags);

#endif
