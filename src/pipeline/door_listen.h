/* door_listen: from listen URLs to listening sockets.
 *
 * "localhost" is what a client's dial of localhost may try: 127.0.0.1, and ::1 where there is one, on the same port.
 * "[::]" takes IPv4 as well. Port 0 lets the kernel choose; `address` says what it chose. Other host names are refused:
 * the set of addresses behind a name is not the operator's word. unix://PATH: a socket file that nobody listens on any
 * more is replaced; door_listen_close removes it. https and unixs are told, not spoken here.
 * Sockets are non-blocking, closed on exec, with SO_REUSEADDR and TCP_NODELAY (which accepted sockets inherit: gRPC
 * does not set it on sockets that it is given). Owner: the caller owns what door_listen_open filled in, closed by
 * door_listen_close. Thread: start-up. Limits: DOOR_LISTEN_URLS_MAX URLs a list, two sockets a URL.
 */
#ifndef PIPELINE_DOOR_LISTEN_H
#define PIPELINE_DOOR_LISTEN_H
#include <stdbool.h>
#include <stddef.h>

#define DOOR_LISTEN_URLS_MAX 16
#define DOOR_LISTEN_MAX (2 * DOOR_LISTEN_URLS_MAX)

struct door_listen {
    int descriptor;
    bool is_tls; /* https://, unixs:// */
    char address[280]; /* "127.0.0.1:2379", "[::1]:2379", "unix:///run/kvd" */
    char path[256];    /* of a unix socket; "" = none */
};

/* out_listeners has room for DOOR_LISTEN_MAX. The number of sockets, or -1 with a message and nothing open. */
int door_listen_open(const char *urls, struct door_listen *out_listeners, char *out_message, size_t message_size);
void door_listen_close(struct door_listen *listener); /* accepts a closed one */

#endif
