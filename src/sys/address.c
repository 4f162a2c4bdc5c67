/* address.c - internet addresses (see address.h). */
#include "sys/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

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

int
ou_address_parse(ou_address *address, int family, const char *host,
                 unsigned port, unsigned flow, unsigned scope)
{
    address->length = 0;
    if (family == AF_INET) {
        struct sockaddr_in v4 = {
            .sin_family = AF_INET,
            .sin_port = htons((uint16_t)port),
        };
        if (inet_pton(AF_INET, host, &v4.sin_addr) != 1) {
            return -EINVAL;
        }
        memcpy(address->words, &v4, sizeof(v4));
        address->length = sizeof(v4);
        return 0;
    }
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons((uint16_t)port),
        .sin6_flowinfo = htonl(flow),
        .sin6_scope_id = scope,
    };
    if (family != AF_INET6 || inet_pton(AF_INET6, host, &v6.sin6_addr) != 1) {
        return -EINVAL;
    }
    memcpy(address->words, &v6, sizeof(v6));
    address->length = sizeof(v6);
    return 0;
}

unsigned
ou_address_port(const struct sockaddr *address, socklen_t length)
{
    /* (The port is at the same place in both.) */
    if (length < sizeof(struct sockaddr_in)
        || (address->sa_family != AF_INET && address->sa_family != AF_INET6)) {
        return 0;
    }
    return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

bool
ou_address_path(const struct sockaddr *address, socklen_t length,
                const char **ret_path, size_t *ret_size)
{
    const size_t header = offsetof(struct sockaddr_un, sun_path);
    if (length <= header || address->sa_family != AF_UNIX) {
        return false;
    }
    const char *path = ((const struct sockaddr_un *)address)->sun_path;
    size_t size = length - header;
    *ret_path = path;
    *ret_size = path[0] == '\0' ? size : strnlen(path, size);
    return true;
}

bool
ou_address_literal(int family, const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    return (family == AF_INET || family == AF_INET6)
           && inet_pton(family, text, address) == 1;
}

bool
ou_address_numbers_only(long flags)
{
    const long numbers = NI_NUMERICHOST | NI_NUMERICSERV;
    return flags >= 0 && (flags & numbers) == numbers;
}
