/* address.c - internet addresses (see address.h). */
#include "sys/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

_Static_assert(sizeof(struct sockaddr_in6) <= sizeof(((ou_address *)0)->words),
               "an IPv6 address fits in");

void
ou_address_set(ou_address *address, const struct sockaddr *from,
               socklen_t length)
{
    address->length = 0;
    if (length <= sizeof(address->words)
        && ((length >= sizeof(struct sockaddr_in)
             && from->sa_family == AF_INET)
            || (length >= sizeof(struct sockaddr_in6)
                && from->sa_family == AF_INET6))) {
        memcpy(address->words, from, length);
        address->length = length;
    }
}

static int
address_ask(ou_address *address, int fd,
            int (*ask)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    address->length = 0;
    if (ask(fd, (struct sockaddr *)&storage, &length) < 0) {
        return -errno;
    }
    ou_address_set(address, (struct sockaddr *)&storage, length);
    return 0;
}

int
ou_address_of_socket(ou_address *address, int fd)
{
    return address_ask(address, fd, getsockname);
}

int
ou_address_of_peer(ou_address *address, int fd)
{
    return address_ask(address, fd, getpeername);
}

int
ou_address_family(const ou_address *address)
{
    struct sockaddr header;
    if (address->length == 0) {
        return AF_UNSPEC;
    }
    memcpy(&header, address->words, sizeof(header));
    return header.sa_family;
}

int
ou_address_text(const ou_address *address, char *host, unsigned *port,
                unsigned *flow, unsigned *scope)
{
    *flow = 0;
    *scope = 0;
    const char *text = NULL;
    if (ou_address_family(address) == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address->words, sizeof(v4));
        *port = ntohs(v4.sin_port);
        text = inet_ntop(AF_INET, &v4.sin_addr, host, OU_ADDRESS_TEXT);
    }
    else if (ou_address_family(address) == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address->words, sizeof(v6));
        *port = ntohs(v6.sin6_port);
        *flow = ntohl(v6.sin6_flowinfo);
        *scope = v6.sin6_scope_id;
        text = inet_ntop(AF_INET6, &v6.sin6_addr, host, OU_ADDRESS_TEXT);
    }
    else {
        return -EAFNOSUPPORT;
    }
    return text == NULL ? -errno : 0;
}

bool
ou_address_literal(int family, const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    return (family == AF_INET || family == AF_INET6)
           && inet_pton(family, text, address) == 1;
}
