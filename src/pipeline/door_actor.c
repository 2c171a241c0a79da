/* door_actor: see door_actor.h.
 *
 * What an event means stands in its epoll data: a kind and an index. An event of a connection that was closed earlier
 * in the same round may meet the slot's next tenant: that is one look too many at its first bytes, nothing else.
 *
 * A connection: accepted → LOOKING (its bytes are peeked at, edge-triggered, until they tell) → handed on, or answered
 * and LEAVING (until the client has read the answer and closes: closing with unread bytes would reset the connection
 * and lose the answer) → closed.
 *
 * Stuck sockets live in an epoll of their own inside door's: a number may at the same time be one that door has just
 * accepted, so the two must not share a set. Each is armed for one EPOLLOUT and never deleted, since a thread may just
 * be arming it again; the kernel forgets it when it is closed. An event of a reused number flushes what is held there,
 * which is always allowed. */
#include "pipeline/door_actor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "pipeline/door_hello.h"
#include "pipeline/door_listen.h"
#include "pipeline/door_preface.h"
#include "rpc/coalescer.h"

#define EVENTS_MAX 64              /* a round */
#define ACCEPTS_MAX 64             /* a listener and round */
#define PAUSE_NS (100 * NS_PER_MS) /* of accepting, when not even the reserve helps */
#define RESERVE_STORAGE_MAX 64u    /* descriptors kept for WAL, snapshots, gRPC's own; at most an eighth of the limit */
#define RESERVE_PEERS_MAX 64u      /* kept for peers, in both directions; at most an eighth */
#define LEAVING_BYTES_MAX 65536    /* of a request that is not read, at a time */
#define PORT_PENDING_MAX (DOOR_PENDING_MAX / PORT_COUNT)
#define ADDRESSES_BYTES 4096

STATIC_ASSERT(CONFIG_PEERS_MAX * 2 <= RESERVE_PEERS_MAX, "each peer may have a connection in each direction");

enum { PORT_CLIENT, PORT_PEER, PORT_METRICS, PORT_COUNT };
enum event_kind { EVENT_RING, EVENT_STUCK, EVENT_LISTENER, EVENT_CONNECTION, EVENT_HTTP };
enum connection_state { CONNECTION_FREE, CONNECTION_LOOKING, CONNECTION_LEAVING };

struct connection {
    struct list node; /* of the port's pending, or of free */
    uint64_t deadline_ns;
    int descriptor;
    int port;
    bool is_tls;
    enum connection_state state;
};

struct port {
    struct door_target target, tls_target; /* of HTTP/2; none on the metrics port */
    int descriptor_limit; /* the first number that is refused */
    struct list pending;  /* in order of arrival = of deadlines */
    uint32_t pending_count;
    char addresses[ADDRESSES_BYTES];
};

struct door_actor {
    struct actor actor;
    struct shared *shared;
    struct door_http *http; /* borrowed; NULL = nobody speaks HTTP/1.1 */
    struct lane *from_main, *to_main;
    int epoll, stuck_epoll, ring_descriptor;
    int reserve;              /* -1 = given up */
    uint64_t paused_until_ns; /* 0 = accepting */
    uint64_t now_ns;          /* of the last step */
    int event_count;          /* that wait has taken for the next step */
    struct epoll_event events[EVENTS_MAX];
    uint8_t first[DOOR_HELLO_BYTES_MAX]; /* bytes of the connection that is looked at */
    struct port ports[PORT_COUNT];
    struct door_listen listeners[PORT_COUNT * DOOR_LISTEN_MAX];
    int listener_ports[PORT_COUNT * DOOR_LISTEN_MAX];
    int listener_count;
    struct list free;
    struct connection connections[DOOR_PENDING_MAX];
};

static uint64_t event_data(enum event_kind kind, int index) { return (uint64_t)kind << 32 | (uint32_t)index; }

/* False: the kernel has no room for another (adding only). */
static bool watch(const struct door_actor *door, int operation, int descriptor, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (epoll_ctl(door->epoll, operation, descriptor, &event) == 0) return true;
    ASSERT(operation == EPOLL_CTL_ADD && (errno == ENOMEM || errno == ENOSPC));
    return false;
}

/* ---- connections ---- */

static void connection_release(struct door_actor *door, struct connection *connection)
{
    struct port *port = &door->ports[connection->port];
    ASSERT(connection->state != CONNECTION_FREE && port->pending_count > 0);
    port->pending_count--;
    list_remove(&connection->node);
    list_push_front(&door->free, &connection->node);
    connection->state = CONNECTION_FREE;
    connection->descriptor = -1;
}

static void connection_close(struct door_actor *door, struct connection *connection)
{
    ASSERT(connection->descriptor >= 0);
    close(connection->descriptor); /* leaves the epoll by itself */
    connection_release(door, connection);
}

static struct connection *oldest_of(const struct port *port)
{
    return list_is_empty(&port->pending) ? NULL : LIST_ENTRY(port->pending.next, struct connection, node);
}

/* The connection's descriptor, for another to look at. */
static int give_up(struct door_actor *door, struct connection *connection)
{
    int descriptor = connection->descriptor;
    (void)watch(door, EPOLL_CTL_DEL, descriptor, 0, 0);
    connection_release(door, connection);
    return descriptor;
}

static void hand_on(struct door_actor *door, struct connection *connection)
{
    const struct port *port = &door->ports[connection->port];
    const struct door_target *target = connection->is_tls ? &port->tls_target : &port->target;
    target->adopt(target->context, give_up(door, connection));
}

/* Where HTTP/1.1 of this connection is served; false = nowhere. */
static bool find_http1(const struct door_actor *door, const struct connection *connection, enum door_http_place *out_place)
{
    bool is_metrics = connection->port == PORT_METRICS;
    *out_place = connection->is_tls ? (is_metrics ? DOOR_HTTP_METRICS_TLS : DOOR_HTTP_CLIENT_TLS)
                                    : (is_metrics ? DOOR_HTTP_METRICS : DOOR_HTTP_CLIENT);
    return door->http != NULL && connection->port != PORT_PEER && door_http_has(door->http, *out_place);
}

/* Reads away what the client still says; closes at its end. */
static void drain_leaving(struct door_actor *door, struct connection *connection)
{
    char bytes[4096];
    ssize_t size;
    size_t taken = 0;
    ASSERT(connection->state == CONNECTION_LEAVING);
    do {
        size = recv(connection->descriptor, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (size > 0) taken += (size_t)size;
    } while (size > 0 && taken < LEAVING_BYTES_MAX);
    bool waits = size < 0 && (errno == EAGAIN || errno == EINTR);
    if (!waits) connection_close(door, connection);
}

static void answer_http1(struct door_actor *door, struct connection *connection)
{
    static const char no_http1[] =
        "HTTP/1.1 505 HTTP Version Not Supported\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 50\r\nConnection: close\r\n\r\n"
        "this port speaks gRPC: HTTP/2 with prior knowledge";
    static const char no_plain[] =
        "HTTP/1.1 400 Bad Request\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 31\r\nConnection: close\r\n\r\n"
        "this port speaks TLS: https://\n";
    const char *answer = connection->is_tls ? no_plain : no_http1;
    ASSERT(connection->state == CONNECTION_LOOKING);
    ssize_t sent = send(connection->descriptor, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 || shutdown(connection->descriptor, SHUT_WR) != 0) {
        connection_close(door, connection);
        return;
    }
    connection->state = CONNECTION_LEAVING;
    drain_leaving(door, connection);
}

static void serve_http1(struct door_actor *door, struct connection *connection)
{
    enum door_http_place place;
    if (find_http1(door, connection, &place)) door_http_adopt(door->http, place, give_up(door, connection), door->now_ns);
    else if (connection->is_tls) connection_close(door, connection); /* there is no answer before a handshake */
    else answer_http1(door, connection);
}

static void serve_http2(struct door_actor *door, struct connection *connection)
{
    if (connection->port == PORT_METRICS) connection_close(door, connection);
    else hand_on(door, connection);
}

static void look_at_plain(struct door_actor *door, struct connection *connection, struct slice bytes)
{
    switch (door_preface_of(bytes)) {
    case DOOR_PREFACE_MORE: break;
    case DOOR_PREFACE_HTTP2: serve_http2(door, connection); break;
    case DOOR_PREFACE_HTTP1: serve_http1(door, connection); break;
    case DOOR_PREFACE_OTHER: connection_close(door, connection); break;
    }
}

/* Who speaks plain HTTP/1.1 here is told; to others nothing can be said that they would understand. */
static void look_at_tls(struct door_actor *door, struct connection *connection, struct slice bytes)
{
    if (door_preface_of(bytes) == DOOR_PREFACE_HTTP1) {
        answer_http1(door, connection);
        return;
    }
    switch (door_hello_of(bytes)) {
    case DOOR_HELLO_MORE: break;
    case DOOR_HELLO_HTTP2: serve_http2(door, connection); break;
    case DOOR_HELLO_HTTP1: serve_http1(door, connection); break;
    case DOOR_HELLO_OTHER: /* the beginning of a method may still become one */
        if (door_preface_of(bytes) != DOOR_PREFACE_MORE) connection_close(door, connection);
        break;
    }
}

static void look(struct door_actor *door, struct connection *connection)
{
    ASSERT(connection->state == CONNECTION_LOOKING);
    size_t wanted = connection->is_tls ? sizeof(door->first) : DOOR_PREFACE_BYTES;
    ssize_t size = recv(connection->descriptor, door->first, wanted, MSG_PEEK | MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
        connection_close(door, connection);
        return;
    }
    struct slice bytes = slice_make(door->first, (size_t)size);
    if (connection->is_tls) look_at_tls(door, connection, bytes);
    else look_at_plain(door, connection, bytes);
}

static void on_connection(struct door_actor *door, int index, uint32_t events)
{
    ASSERT(index >= 0 && index < DOOR_PENDING_MAX);
    struct connection *connection = &door->connections[index];
    bool is_looking = connection->state == CONNECTION_LOOKING;
    if (is_looking) look(door, connection);
    if (!is_looking && connection->state == CONNECTION_LEAVING) drain_leaving(door, connection);
    /* A client that has sent half a preface and closed leaves bytes that no later event reports. */
    bool is_gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && is_looking;
    if (is_gone && connection->state == CONNECTION_LOOKING) connection_close(door, connection);
}

static void close_late(struct door_actor *door, struct port *port)
{
    for (struct connection *oldest; (oldest = oldest_of(port)) != NULL && oldest->deadline_ns <= door->now_ns;) {
        connection_close(door, oldest);
    }
    ASSERT(port->pending_count == 0 || !list_is_empty(&port->pending));
}

/* ---- accepting ---- */

static void set_accepting(struct door_actor *door, bool is_accepting)
{
    for (int i = 0; i < door->listener_count; i++) {
        uint32_t events = is_accepting ? EPOLLIN : 0;
        (void)watch(door, EPOLL_CTL_MOD, door->listeners[i].descriptor, events, event_data(EVENT_LISTENER, i));
    }
    door->paused_until_ns = is_accepting ? 0 : door->now_ns + PAUSE_NS;
}

static int open_reserve(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

static void refuse(struct door_actor *door, int port, int descriptor)
{
    ASSERT(descriptor >= 0 && port < PORT_COUNT);
    close(descriptor);
    if (port == PORT_CLIENT) METRIC_ADD(&door->shared->metrics, client_refused_connections, 1);
    if (port == PORT_PEER) METRIC_ADD(&door->shared->metrics, peer_refused_connections, 1);
}

/* No descriptor is left: the reserve one takes the first of the queue to its end. False: accepting must pause. */
static bool refuse_by_reserve(struct door_actor *door, int listener)
{
    if (door->reserve < 0) return false;
    close(door->reserve);
    int descriptor = accept4(door->listeners[listener].descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) refuse(door, door->listener_ports[listener], descriptor);
    door->reserve = open_reserve();
    return door->reserve >= 0;
}

static void admit(struct door_actor *door, int listener, int descriptor)
{
    int port_number = door->listener_ports[listener];
    struct port *port = &door->ports[port_number];
    if (descriptor >= port->descriptor_limit) {
        refuse(door, port_number, descriptor);
        return;
    }
    if (port->pending_count == PORT_PENDING_MAX) connection_close(door, oldest_of(port));
    ASSERT(!list_is_empty(&door->free));
    struct connection *connection = LIST_ENTRY(list_pop_front(&door->free), struct connection, node);
    connection->descriptor = descriptor;
    connection->port = port_number;
    connection->is_tls = door->listeners[listener].is_tls;
    connection->state = CONNECTION_LOOKING;
    connection->deadline_ns = door->now_ns + DOOR_PREFACE_TIMEOUT_NS;
    port->pending_count++;
    list_push_back(&port->pending, &connection->node);
    /* The first event comes at once if bytes are there already. */
    uint64_t data = event_data(EVENT_CONNECTION, (int)(connection - door->connections));
    if (!watch(door, EPOLL_CTL_ADD, descriptor, EPOLLIN | EPOLLRDHUP | EPOLLET, data))
        connection_close(door, connection);
}

static void on_listener(struct door_actor *door, int index)
{
    ASSERT(index >= 0);
    if (index >= door->listener_count) return; /* closed since the event was taken */
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int descriptor = accept4(door->listeners[index].descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int error = descriptor < 0 ? errno : 0;
        ASSERT(error != EBADF && error != EINVAL && error != ENOTSOCK);
        bool is_short = error == EMFILE || error == ENFILE;
        bool is_poor = error == ENOBUFS || error == ENOMEM;
        if (error == EAGAIN) return;
        if (descriptor >= 0) admit(door, index, descriptor);
        if (is_poor || (is_short && !refuse_by_reserve(door, index))) {
            set_accepting(door, false);
            return;
        }
    }
}

/* ---- the role ---- */

static void on_stuck(struct door_actor *door)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(door->stuck_epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        int descriptor = events[i].data.fd;
        ASSERT(descriptor >= 0);
        if (coalescer_flush_fd(descriptor)) continue;
        struct epoll_event again = {.events = EPOLLOUT | EPOLLONESHOT, .data.fd = descriptor};
        (void)epoll_ctl(door->stuck_epoll, EPOLL_CTL_MOD, descriptor,
                        &again); /* fails if it was closed: nothing to finish */
    }
}

static void clear_ring(struct door_actor *door)
{
    uint64_t rings;
    ssize_t size = read(door->ring_descriptor, &rings, sizeof(rings));
    ASSERT(size == sizeof(rings) || (size < 0 && (errno == EAGAIN || errno == EINTR)));
}

static void close_ports(struct door_actor *door)
{
    for (int i = 0; i < door->listener_count; i++)
        door_listen_close(&door->listeners[i]);
    door->listener_count = 0;
    for (int i = 0; i < PORT_COUNT; i++) {
        struct port *port = &door->ports[i];
        for (struct connection *oldest; (oldest = oldest_of(port)) != NULL;)
            connection_close(door, oldest);
        ASSERT(port->pending_count == 0);
    }
}

static void take_mail(struct door_actor *door)
{
    struct mail mail;
    while (door->from_main != NULL && lane_take(door->from_main, &mail)) {
        if (mail.kind == MAIL_DRAIN) close_ports(door);
        else actor_answer_ping(&mail, door->to_main);
    }
}

static void on_event(struct door_actor *door, const struct epoll_event *event)
{
    int index = (int)(uint32_t)event->data.u64;
    switch ((enum event_kind)(event->data.u64 >> 32)) {
    case EVENT_RING:
        clear_ring(door);
        break;
    case EVENT_STUCK:
        on_stuck(door);
        break;
    case EVENT_LISTENER:
        on_listener(door, index);
        break;
    case EVENT_CONNECTION:
        on_connection(door, index, event->events);
        break;
    case EVENT_HTTP:
        break; /* door_http is stepped after all events */
    }
}

static bool door_step(struct actor *actor, uint64_t now_ns)
{
    struct door_actor *door = LIST_ENTRY(actor, struct door_actor, actor);
    door->now_ns = now_ns;
    take_mail(door);
    if (door->paused_until_ns != 0 && door->paused_until_ns <= now_ns) {
        if (door->reserve < 0) door->reserve = open_reserve();
        set_accepting(door, true);
    }
    if (door->event_count == 0) door->event_count = epoll_wait(door->epoll, door->events, EVENTS_MAX, 0);
    ASSERT(door->event_count <= EVENTS_MAX);
    bool is_full_round = door->event_count == EVENTS_MAX;
    for (int i = 0; i < door->event_count; i++)
        on_event(door, &door->events[i]);
    door->event_count = 0;
    for (int i = 0; i < PORT_COUNT; i++)
        close_late(door, &door->ports[i]);
    if (door->http != NULL) door_http_step(door->http, now_ns);
    return is_full_round;
}

static uint64_t door_deadline_ns(struct actor *actor)
{
    const struct door_actor *door = LIST_ENTRY(actor, struct door_actor, actor);
    uint64_t deadline_ns = door->paused_until_ns == 0 ? CLOCK_NEVER : door->paused_until_ns;
    for (int i = 0; i < PORT_COUNT; i++) {
        const struct connection *oldest = oldest_of(&door->ports[i]);
        if (oldest != NULL && oldest->deadline_ns < deadline_ns) deadline_ns = oldest->deadline_ns;
    }
    uint64_t http_ns = door->http == NULL ? CLOCK_NEVER : door_http_deadline_ns(door->http);
    return http_ns < deadline_ns ? http_ns : deadline_ns;
}

static void door_wait(struct actor *actor, uint64_t deadline_ns)
{
    struct door_actor *door = LIST_ENTRY(actor, struct door_actor, actor);
    ASSERT(door->event_count == 0);
    int timeout_ms = -1;
    if (deadline_ns != CLOCK_NEVER) {
        uint64_t left_ns = deadline_ns > door->now_ns ? deadline_ns - door->now_ns : 0;
        timeout_ms = (int)(left_ns / NS_PER_MS) + 1;
    }
    int count = epoll_wait(door->epoll, door->events, EVENTS_MAX, timeout_ms);
    ASSERT(count >= 0 || errno == EINTR);
    door->event_count = count < 0 ? 0 : count;
}

static void door_ring(struct actor *actor)
{
    const struct door_actor *door = LIST_ENTRY(actor, struct door_actor, actor);
    const uint64_t one = 1;
    ssize_t size = write(door->ring_descriptor, &one, sizeof(one));
    ASSERT(size == sizeof(one));
}

static const struct actor_table door_table = {
    .name = "kvd-door", .step = door_step, .deadline_ns = door_deadline_ns, .wait = door_wait, .ring = door_ring};

/* ---- making ---- */

static void set_limits(struct door_actor *door)
{
    struct rlimit limit;
    int error = getrlimit(RLIMIT_NOFILE, &limit);
    ASSERT(error == 0);
    uint32_t total = limit.rlim_cur > INT32_MAX ? INT32_MAX : (uint32_t)limit.rlim_cur;
    uint32_t storage = total / 8 < RESERVE_STORAGE_MAX ? total / 8 : RESERVE_STORAGE_MAX;
    uint32_t peers = total / 8 < RESERVE_PEERS_MAX ? total / 8 : RESERVE_PEERS_MAX;
    ASSERT(storage + peers <= total);
    door->ports[PORT_PEER].descriptor_limit = (int)(total - storage);
    door->ports[PORT_METRICS].descriptor_limit = (int)(total - storage); /* few, and wanted most when there are too many others */
    door->ports[PORT_CLIENT].descriptor_limit = (int)(total - storage - peers);
}

static bool open_port(struct door_actor *door, int number, const char *urls, char *out_message, size_t message_size)
{
    struct port *port = &door->ports[number];
    struct door_listen *listeners = &door->listeners[door->listener_count];
    int count = door_listen_open(urls, listeners, out_message, message_size);
    if (count < 0) return false;
    size_t used = 0;
    bool is_watched = true;
    for (int i = 0; i < count; i++) {
        int index = door->listener_count++;
        door->listener_ports[index] = number;
        is_watched = watch(door, EPOLL_CTL_ADD, listeners[i].descriptor, EPOLLIN, event_data(EVENT_LISTENER, index)) &&
                     is_watched;
        used += (size_t)snprintf(port->addresses + used, ADDRESSES_BYTES - used, i == 0 ? "%s" : ",%s",
                                 listeners[i].address);
        if (used >= ADDRESSES_BYTES) used = ADDRESSES_BYTES - 1;
    }
    ASSERT(door->listener_count <= PORT_COUNT * DOOR_LISTEN_MAX);
    if (!is_watched) snprintf(out_message, message_size, "cannot watch the listeners: %s", strerror(errno));
    return is_watched;
}

static bool open_descriptors(struct door_actor *door, char *out_message, size_t message_size)
{
    door->epoll = epoll_create1(EPOLL_CLOEXEC);
    door->stuck_epoll = epoll_create1(EPOLL_CLOEXEC);
    door->ring_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    door->reserve = open_reserve();
    bool is_open = door->epoll >= 0 && door->stuck_epoll >= 0 && door->ring_descriptor >= 0 && door->reserve >= 0 &&
                   watch(door, EPOLL_CTL_ADD, door->ring_descriptor, EPOLLIN, event_data(EVENT_RING, 0)) &&
                   watch(door, EPOLL_CTL_ADD, door->stuck_epoll, EPOLLIN, event_data(EVENT_STUCK, 0));
    for (int i = 0; is_open && door->http != NULL && i < DOOR_HTTP_PLACES; i++) {
        if (!door_http_has(door->http, (enum door_http_place)i)) continue;
        is_open = watch(door, EPOLL_CTL_ADD, door_http_descriptor(door->http, (enum door_http_place)i), EPOLLIN, event_data(EVENT_HTTP, i));
    }
    if (!is_open) snprintf(out_message, message_size, "cannot open the descriptors of the door: %s", strerror(errno));
    return is_open;
}

struct door_actor *door_actor_new(const struct door_options *options, char *out_message, size_t message_size)
{
    ASSERT(options->client.adopt != NULL && options->peer.adopt != NULL && options->shared != NULL);
    struct door_actor *door = ALLOC(struct door_actor);
    actor_init(&door->actor, &door_table);
    door->shared = options->shared;
    door->http = options->http;
    door->ports[PORT_CLIENT].target = options->client;
    door->ports[PORT_CLIENT].tls_target = options->client_tls;
    door->ports[PORT_PEER].target = options->peer;
    for (int i = 0; i < PORT_COUNT; i++)
        list_init(&door->ports[i].pending);
    list_init(&door->free);
    for (int i = 0; i < DOOR_PENDING_MAX; i++)
        list_push_back(&door->free, &door->connections[i].node);
    set_limits(door);
    bool has_metrics = door->http != NULL && options->config->listen_metrics_urls[0] != '\0';
    bool is_open = open_descriptors(door, out_message, message_size) &&
                   open_port(door, PORT_CLIENT, options->config->listen_client_urls, out_message, message_size) &&
                   open_port(door, PORT_PEER, options->config->listen_peer_urls, out_message, message_size) &&
                   (!has_metrics || open_port(door, PORT_METRICS, options->config->listen_metrics_urls, out_message, message_size));
    if (is_open) return door;
    door_actor_free(door);
    return NULL;
}

static void close_if_open(int descriptor)
{
    if (descriptor >= 0) close(descriptor);
}

void door_actor_free(struct door_actor *door)
{
    if (door == NULL) return;
    close_ports(door);
    close_if_open(door->reserve);
    close_if_open(door->ring_descriptor);
    close_if_open(door->stuck_epoll);
    close_if_open(door->epoll);
    actor_deinit(&door->actor);
    alloc_free(door);
}

struct actor *door_actor_base(struct door_actor *door) { return &door->actor; }

void door_actor_set_lanes(struct door_actor *door, struct lane *from_main, struct lane *to_main)
{
    ASSERT(from_main != NULL && to_main != NULL);
    door->from_main = from_main;
    door->to_main = to_main;
}

const char *door_actor_client_addresses(const struct door_actor *door) { return door->ports[PORT_CLIENT].addresses; }

const char *door_actor_peer_addresses(const struct door_actor *door) { return door->ports[PORT_PEER].addresses; }

const char *door_actor_metrics_addresses(const struct door_actor *door) { return door->ports[PORT_METRICS].addresses; }

void door_actor_finish(void *context, int descriptor)
{
    const struct door_actor *door = context;
    struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.fd = descriptor};
    ASSERT(door != NULL && descriptor >= 0);
    if (epoll_ctl(door->stuck_epoll, EPOLL_CTL_ADD, descriptor, &event) == 0) return;
    /* Once stuck, always in the set. Anything else than EEXIST: it was closed meanwhile, and what it held went with it.
     */
    if (errno == EEXIST) (void)epoll_ctl(door->stuck_epoll, EPOLL_CTL_MOD, descriptor, &event);
}
