/* http_front: see http_front.h.
 *
 * libmicrohttpd calls handle() for the head of a request, then for each piece of its body, then once more: that is when it is served.
 * Whoever is not answered inside of that call is suspended; the answer resumes it, and handle() is called again.
 *
 * libmicrohttpd's own timeout begins anew with every byte, so it is off: a connection stands among `turns`, with a deadline, while its client is
 * to send a request whole or to take an answer. Whoever is overdue, or in a newcomer's way, is shut down as if he had gone, which
 * libmicrohttpd then sees for itself. A daemon must not be stopped while anybody is suspended: in the end nobody is any more. */
#include "rpc/http_front.h"

#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "rpc/http_tls.h"

#define STOPPING "the member is stopping\n"
#define ROOM_STEPS_MAX 8     /* until it is seen that a client has been shut down: behind what he has sent */
#define CLOSING_STEPS_MAX 16 /* for answers to leave in; whoever does not take his is not waited for */

struct http_front {
    struct http_front_owner owner;
    struct http_tls *tls; /* NULL = plain */
    struct MHD_Daemon *daemon;
    int descriptor;
    uint64_t now_ns;     /* of the last call */
    struct list waiting; /* exchanges: suspended */
    struct list turns;   /* of clients, in the order of their deadlines */
    uint32_t client_count;
    uint32_t answered_count; /* exchanges whose answer has not left */
    bool is_closing;         /* nobody is asked any more, and nobody suspended */
};
struct client { /* a connection */
    struct list turn; /* in front->turns while the client is to do something; else alone */
    struct http_front *front;
    int descriptor;
    uint64_t due_ns;
    struct http_credentials *credentials; /* NULL = plain */
};
struct http_exchange {
    struct list node;
    struct http_front *front;
    struct client *client;
    struct MHD_Connection *connection;
    const char *method, *path; /* the daemon's */
    bool is_serving;           /* inside of the owner's serve */
    bool is_waiting;
    bool is_answered;
    struct MHD_Response *response; /* until it is queued */
    unsigned status;
};

static void log_nothing(void *context, const char *format, va_list arguments)
{
    (void)context, (void)format, (void)arguments; /* what a client does wrong is answered to the client */
}

/* From now on the client has HTTP_FRONT_TIMEOUT_S. */
static void begin_turn(struct client *client)
{
    list_remove(&client->turn);
    client->due_ns = client->front->now_ns + HTTP_FRONT_TIMEOUT_S * NS_PER_S;
    list_push_back(&client->front->turns, &client->turn);
}

static struct client *first_of(const struct http_front *front)
{
    return list_is_empty(&front->turns) ? NULL : LIST_ENTRY(front->turns.next, struct client, turn);
}

static void shut_down(struct client *client)
{
    list_remove(&client->turn);
    (void)shutdown(client->descriptor, SHUT_RDWR); /* fails if the client has gone already */
}

static enum MHD_Result send_answer(struct http_exchange *exchange)
{
    begin_turn(exchange->client);
    enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, exchange->response);
    MHD_destroy_response(exchange->response);
    exchange->response = NULL;
    return result;
}

static enum MHD_Result answer_here(struct http_exchange *exchange, unsigned status, const char *text)
{
    exchange->is_serving = true;
    http_exchange_answer(exchange, status, "text/plain; charset=utf-8", slice_from_string(text));
    exchange->is_serving = false;
    return send_answer(exchange);
}

static enum MHD_Result serve(struct http_exchange *exchange, const char *method, const char *path)
{
    struct http_front *front = exchange->front;
    if (front->is_closing) return answer_here(exchange, MHD_HTTP_SERVICE_UNAVAILABLE, STOPPING);
    exchange->method = method;
    exchange->path = path;
    exchange->is_serving = true;
    front->owner.serve(front->owner.context, exchange);
    exchange->is_serving = false;
    if (exchange->response != NULL) return send_answer(exchange);
    exchange->is_waiting = true;
    list_remove(&exchange->client->turn);
    list_push_back(&front->waiting, &exchange->node);
    MHD_suspend_connection(exchange->connection);
    return MHD_YES;
}

/* An answer to the head alone ends the connection, so that the body needs no reading. */
static enum MHD_Result look_at_head(struct http_exchange *exchange)
{
    const char *length = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *coding = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    if (coding != NULL) return answer_here(exchange, MHD_HTTP_LENGTH_REQUIRED, "a body needs its length\n");
    bool is_large = length != NULL && strtoull(length, NULL, 10) > HTTP_FRONT_BODY_BYTES;
    return is_large ? answer_here(exchange, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large\n") : MHD_YES;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path, const char *method, const char *version,
                              const char *body, size_t *body_size, void **exchange_of)
{
    (void)version, (void)body;
    struct http_exchange *exchange = *exchange_of;
    if (exchange == NULL) {
        exchange = ALLOC(struct http_exchange);
        exchange->front = context;
        exchange->connection = connection;
        exchange->client = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
        *exchange_of = exchange;
        return look_at_head(exchange);
    }
    if (*body_size > 0) {
        *body_size = 0;
        return MHD_YES;
    }
    return exchange->response != NULL ? send_answer(exchange) : serve(exchange, method, path);
}

static void complete(void *context, struct MHD_Connection *connection, void **exchange_of, enum MHD_RequestTerminationCode code)
{
    struct http_front *front = context;
    struct http_exchange *exchange = *exchange_of;
    (void)connection, (void)code;
    if (exchange == NULL) return;
    if (exchange->is_waiting) {
        list_remove(&exchange->node);
        front->owner.forget(front->owner.context, exchange);
    }
    if (exchange->response != NULL) MHD_destroy_response(exchange->response);
    if (exchange->is_answered) front->answered_count--;
    begin_turn(exchange->client);
    alloc_free(exchange);
    *exchange_of = NULL;
}

static void begin_client(struct http_front *front, struct MHD_Connection *connection, void **client_of)
{
    struct client *client = ALLOC(struct client);
    client->front = front;
    client->descriptor = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    list_init(&client->turn);
    begin_turn(client);
    front->client_count++;
    *client_of = client;
    if (front->tls == NULL) return;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    ASSERT(info != NULL);
    client->credentials = http_tls_begin(front->tls, info->tls_session);
}

/* Before its handshake, and when it is gone. */
static void note_connection(void *context, struct MHD_Connection *connection, void **client_of, enum MHD_ConnectionNotificationCode code)
{
    struct http_front *front = context;
    if (code != MHD_CONNECTION_NOTIFY_CLOSED) {
        begin_client(front, connection, client_of);
        return;
    }
    struct client *client = *client_of;
    ASSERT(front->client_count > 0);
    front->client_count--;
    list_remove(&client->turn);
    if (front->tls != NULL) http_tls_end(front->tls, client->credentials);
    alloc_free(client);
}

/* The daemon's own certificate, which it insists on, is none: each connection has its credentials from http_tls. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count, const gnutls_pk_algorithm_t *algorithms,
                          int algorithm_count, gnutls_pcert_st **out_certificates, unsigned *out_count, gnutls_privkey_t *out_key)
{
    (void)session, (void)authorities, (void)authority_count, (void)algorithms, (void)algorithm_count;
    (void)out_certificates, (void)out_count, (void)out_key;
    return -1;
}

struct http_front *http_front_new(const struct http_front_owner *owner, struct rpc_tls *tls)
{
    ASSERT(owner->serve != NULL && owner->forget != NULL);
    struct http_front *front = ALLOC(struct http_front);
    front->owner = *owner;
    list_init(&front->waiting);
    list_init(&front->turns);
    if (tls != NULL) front->tls = http_tls_new(tls);
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HTTP_TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)no_certificate},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (tls != NULL ? MHD_USE_TLS : 0);
    front->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, front,
                                     MHD_OPTION_EXTERNAL_LOGGER, log_nothing, NULL, MHD_OPTION_NOTIFY_COMPLETED, complete, front,
                                     MHD_OPTION_NOTIFY_CONNECTION, note_connection, front,
                                     MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_FRONT_CONNECTIONS_MAX,
                                     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_FRONT_HEAD_BYTES,
                                     MHD_OPTION_ARRAY, tls != NULL ? tls_options : &tls_options[2], MHD_OPTION_END);
    const union MHD_DaemonInfo *info = front->daemon == NULL ? NULL : MHD_get_daemon_info(front->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        http_front_free(front);
        return NULL;
    }
    front->descriptor = info->epoll_fd;
    return front;
}

/* Whoever waits is answered, and so is who asks meanwhile; then what can leave has left. */
static void finish_answers(struct http_front *front)
{
    front->is_closing = true;
    while (!list_is_empty(&front->waiting)) {
        struct http_exchange *exchange = LIST_ENTRY(front->waiting.next, struct http_exchange, node);
        front->owner.forget(front->owner.context, exchange);
        http_exchange_answer(exchange, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", slice_from_string(STOPPING));
    }
    for (int i = 0; i == 0 || (i < CLOSING_STEPS_MAX && front->answered_count > 0); i++) (void)MHD_run(front->daemon);
}

void http_front_free(struct http_front *front)
{
    if (front == NULL) return;
    if (front->daemon != NULL) {
        finish_answers(front);
        MHD_stop_daemon(front->daemon);
    }
    ASSERT(front->client_count == 0 && front->answered_count == 0);
    http_tls_free(front->tls);
    alloc_free(front);
}

int http_front_descriptor(const struct http_front *front) { return front->descriptor; }

/* What has come whole is served first: it keeps its place. */
static void make_room(struct http_front *front)
{
    (void)MHD_run(front->daemon);
    struct client *oldest = first_of(front);
    if (front->client_count < HTTP_FRONT_CONNECTIONS_MAX || oldest == NULL) return;
    shut_down(oldest);
    for (int i = 0; i < ROOM_STEPS_MAX && front->client_count >= HTTP_FRONT_CONNECTIONS_MAX; i++) (void)MHD_run(front->daemon);
}

void http_front_adopt(struct http_front *front, int descriptor, uint64_t now_ns)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    ASSERT(descriptor >= 0);
    front->now_ns = now_ns;
    if (front->client_count >= HTTP_FRONT_CONNECTIONS_MAX) make_room(front);
    if (getpeername(descriptor, (struct sockaddr *)&address, &size) != 0) size = sizeof(address); /* gone already: reading will say so */
    (void)MHD_add_connection(front->daemon, descriptor, (struct sockaddr *)&address, size); /* what it cannot take it closes */
}

void http_front_step(struct http_front *front, uint64_t now_ns)
{
    front->now_ns = now_ns;
    for (struct client *oldest; (oldest = first_of(front)) != NULL && oldest->due_ns <= now_ns;) shut_down(oldest);
    (void)MHD_run(front->daemon);
}

uint64_t http_front_deadline_ns(const struct http_front *front)
{
    MHD_UNSIGNED_LONG_LONG left_ms;
    if (MHD_get_timeout(front->daemon, &left_ms) == MHD_YES) return front->now_ns + left_ms * NS_PER_MS;
    const struct client *oldest = first_of(front);
    return oldest == NULL ? CLOCK_NEVER : oldest->due_ns;
}

const char *http_exchange_method(const struct http_exchange *exchange) { return exchange->method; }
const char *http_exchange_path(const struct http_exchange *exchange) { return exchange->path; }

struct wanted {
    const char *name, *value;
    bool is_found;
};
static enum MHD_Result look(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct wanted *wanted = context;
    (void)kind;
    if (strcmp(name, wanted->name) == 0 && (wanted->value == NULL || (value != NULL && strcmp(value, wanted->value) == 0))) wanted->is_found = true;
    return wanted->is_found ? MHD_NO : MHD_YES;
}

bool http_exchange_has(const struct http_exchange *exchange, const char *name, const char *value)
{
    struct wanted wanted = {.name = name, .value = value};
    (void)MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, look, &wanted);
    return wanted.is_found;
}

void http_exchange_answer(struct http_exchange *exchange, unsigned status, const char *content_type, struct slice body)
{
    ASSERT(!exchange->is_answered && exchange->is_serving != exchange->is_waiting);
    exchange->is_answered = true;
    exchange->front->answered_count++;
    exchange->status = status;
    exchange->response = MHD_create_response_from_buffer(body.size, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    ASSERT(exchange->response != NULL);
    (void)MHD_add_response_header(exchange->response, "Content-Type", content_type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) (void)MHD_add_response_header(exchange->response, "Allow", "GET");
    if (exchange->front->is_closing) (void)MHD_add_response_header(exchange->response, "Connection", "close");
    if (!exchange->is_waiting) return;
    exchange->is_waiting = false;
    list_remove(&exchange->node);
    MHD_resume_connection(exchange->connection);
}
