/* rpc_client_dial: see the header. */
#include "rpc/rpc_client_dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

#define HOST_BYTES_MAX 256

/* The address of an endpoint that is numbers; NULL: it is not. */
static struct addrinfo *address_of(const char *endpoint)
{
    static const char scheme[] = "http://";
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address = NULL;
    char host[HOST_BYTES_MAX];
    if (strncmp(endpoint, scheme, sizeof scheme - 1) == 0) endpoint += sizeof scheme - 1;
    const char *colon = strrchr(endpoint, ':');
    if (colon == NULL || (size_t)(colon - endpoint) >= sizeof host) return NULL;
    size_t length = (size_t)(colon - endpoint);
    bool is_bracketed = length > 2 && endpoint[0] == '[' && colon[-1] == ']';
    int size = is_bracketed ? snprintf(host, sizeof host, "%.*s", (int)length - 2, endpoint + 1) : snprintf(host, sizeof host, "%.*s", (int)length, endpoint);
    ASSERT(size >= 0);
    return getaddrinfo(host, colon + 1, &hints, &address) == 0 ? address : NULL;
}

/* A socket that connects; -1: it cannot. */
static int begin(const struct addrinfo *address)
{
    const int on = 1;
    int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* as gRPC's own; without it calls are only slower */
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS) return descriptor;
    close(descriptor);
    return -1;
}

/* Who has been decided about is polled no more. */
static size_t look(struct pollfd *polled, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        int error = 0;
        socklen_t size = sizeof error;
        if (polled[i].fd < 0) continue;
        if (polled[i].revents == 0) left++;
        else if (getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) polled[i].events = 0;
        else polled[i].events = POLLERR;
        if (polled[i].revents != 0) polled[i].fd = -1;
    }
    return left;
}

void rpc_client_dial(const char *const *endpoints, size_t endpoint_count, int *out_sockets, size_t count, uint64_t wait_ns)
{
    uint64_t now_ns = clock_mono_ns(), until_ns = now_ns + wait_ns;
    struct pollfd *polled = alloc_zero(count, sizeof *polled);
    ASSERT(endpoint_count > 0);
    for (size_t i = 0; i < count; i++) {
        struct addrinfo *address = address_of(endpoints[i % endpoint_count]);
        out_sockets[i] = address == NULL ? -1 : begin(address);
        polled[i] = (struct pollfd){.fd = out_sockets[i], .events = POLLOUT};
        if (address != NULL) freeaddrinfo(address);
    }
    while (look(polled, count) > 0 && now_ns < until_ns) {
        (void)poll(polled, count, (int)((until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
        now_ns = clock_mono_ns();
    }
    for (size_t i = 0; i < count; i++) {
        if (out_sockets[i] < 0 || polled[i].events == 0) continue;
        close(out_sockets[i]);
        out_sockets[i] = -1;
    }
    alloc_free(polled);
}
