/* door_listen: see door_listen.h. Inside this file errors are negative errno values. */
#include "pipeline/door_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "pipeline/config.h"

#define SOCKET_FLAGS (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
#define PAIR_TRIES_MAX 16 /* ports that the kernel chooses until one is free on both families */

/* The socket's address as text, with the port that it has. */
static void name_socket(struct door_listen *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    char host[INET6_ADDRSTRLEN + 32], port[16];
    int error = getsockname(listener->descriptor, (struct sockaddr *)&address, &size);
    ASSERT(error == 0);
    error = getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV);
    ASSERT(error == 0);
    bool is_v6 = address.ss_family == AF_INET6;
    snprintf(listener->address, sizeof(listener->address), is_v6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Socket, options, bind, listen. The descriptor or a negative errno. */
static int open_socket(const struct sockaddr *address, socklen_t size, bool is_v6_only)
{
    const int yes = 1, v6_only = is_v6_only;
    ASSERT(address != NULL && size > 0);
    int descriptor = socket(address->sa_family, SOCKET_FLAGS, 0);
    if (descriptor < 0) return -errno;
    bool failed = false;
    if (address->sa_family != AF_UNIX) {
        failed = setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
                 setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0;
    }
    if (address->sa_family == AF_INET6) {
        failed = failed || setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) != 0;
    }
    if (failed || bind(descriptor, address, size) != 0 || listen(descriptor, SOMAXCONN) != 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

/* A numeric host; is_v6_only tells [::1] beside 127.0.0.1 from [::]. Fills the listener; 0 or a negative errno. */
static int open_numeric(const char *host, uint16_t port, bool is_v6_only, struct door_listen *out_listener)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) return -EDESTADDRREQ;
    ASSERT(found != NULL);
    int descriptor = open_socket(found->ai_addr, found->ai_addrlen, is_v6_only);
    freeaddrinfo(found);
    if (descriptor < 0) return descriptor;
    *out_listener = (struct door_listen){.descriptor = descriptor};
    name_socket(out_listener);
    return 0;
}

static bool is_missing_family(int error) { return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL; }

static uint16_t port_of(const struct door_listen *listener)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof(address);
    int error = getsockname(listener->descriptor, (struct sockaddr *)&address, &size);
    ASSERT(error == 0 && address.sin_family == AF_INET);
    return ntohs(address.sin_port);
}

/* Both loopbacks on one port; the number of sockets or a negative errno. */
static int open_localhost(uint16_t port, struct door_listen out_pair[2])
{
    for (int tries = 0;; tries++) {
        int v4_error = open_numeric("127.0.0.1", port, true, &out_pair[0]);
        if (v4_error != 0 && !is_missing_family(v4_error)) return v4_error;
        int count = v4_error == 0 ? 1 : 0;
        uint16_t v6_port = count == 1 ? port_of(&out_pair[0]) : port;
        int v6_error = open_numeric("::1", v6_port, true, &out_pair[count]);
        if (v6_error == 0) return count + 1;
        if (is_missing_family(v6_error)) return count == 1 ? 1 : v4_error;
        if (count == 1) door_listen_close(&out_pair[0]);
        bool may_try_again = port == 0 && v6_error == -EADDRINUSE && tries < PAIR_TRIES_MAX;
        if (!may_try_again) return v6_error;
    }
}

/* A socket file whose listener is gone stands in the way of bind; one that answers does so rightly. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
    int probe = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (probe < 0) return;
    bool is_stale = connect(probe, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED;
    close(probe);
    if (is_stale) unlink(address->sun_path);
}

static int open_unix(const char *path, struct door_listen *out_listener)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ASSERT(path[0] != '\0');
    if (strlen(path) >= sizeof(address.sun_path)) return -ENAMETOOLONG;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    remove_stale(&address);
    int descriptor = open_socket((const struct sockaddr *)&address, sizeof(address), false);
    if (descriptor < 0) return descriptor;
    *out_listener = (struct door_listen){.descriptor = descriptor};
    snprintf(out_listener->path, sizeof(out_listener->path), "%s", path);
    snprintf(out_listener->address, sizeof(out_listener->address), "unix://%s", path);
    return 0;
}

/* The sockets of one URL: their number, or a negative errno and none open. */
static int open_url(const struct config_url *url, struct door_listen out_pair[2])
{
    int error;
    if (url->is_unix) {
        error = open_unix(url->host, &out_pair[0]);
    } else if (strcmp(url->host, "localhost") == 0) {
        return open_localhost(url->port, out_pair);
    } else {
        error = open_numeric(url->host, url->port, false, &out_pair[0]);
        bool is_wildcard = strcmp(url->host, "::") == 0;
        if (is_wildcard && is_missing_family(error)) error = open_numeric("0.0.0.0", url->port, false, &out_pair[0]);
    }
    ASSERT(error <= 0);
    return error == 0 ? 1 : error;
}

static void describe(const struct config_url *url, int error, char *out_message, size_t message_size)
{
    const char *reason =
        error == -EDESTADDRREQ ? "an IP address or localhost is needed to listen on" : strerror(-error);
    bool is_v6 = strchr(url->host, ':') != NULL;
    if (url->is_unix) {
        snprintf(out_message, message_size, "cannot listen on unix://%s: %s", url->host, reason);
    } else {
        snprintf(out_message, message_size, is_v6 ? "cannot listen on [%s]:%u: %s" : "cannot listen on %s:%u: %s",
                 url->host, url->port, reason);
    }
}

int door_listen_open(const char *urls, struct door_listen *out_listeners, char *out_message, size_t message_size)
{
    struct config_url parsed[DOOR_LISTEN_URLS_MAX];
    int url_count = config_parse_urls(urls, parsed, DOOR_LISTEN_URLS_MAX, out_message, message_size);
    if (url_count < 1) return -1;
    struct door_listen opened[DOOR_LISTEN_MAX];
    int count = 0;
    for (int i = 0; i < url_count; i++) {
        int added = open_url(&parsed[i], &opened[count]);
        if (added < 0) {
            describe(&parsed[i], added, out_message, message_size);
            while (count > 0)
                door_listen_close(&opened[--count]);
            return -1;
        }
        for (int k = 0; k < added; k++) opened[count + k].is_tls = parsed[i].is_tls;
        count += added;
    }
    ASSERT(count > 0 && count <= DOOR_LISTEN_MAX);
    memcpy(out_listeners, opened, (size_t)count * sizeof(opened[0]));
    return count;
}

void door_listen_close(struct door_listen *listener)
{
    if (listener->descriptor < 0) return;
    close(listener->descriptor);
    if (listener->path[0] != '\0') unlink(listener->path);
    listener->descriptor = -1;
}
