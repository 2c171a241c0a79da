/* http_front: see http_front.h.
 *
 * libmicrohttpd calls handle() for the head of a request, then for each piece of its body, then once more: that is when it is served.
 * Whoever is not answered inside of that call is suspended; the answer resumes it, and handle() is called again. */
#include "rpc/http_front.h"

#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "rpc/http_tls.h"

struct http_front {
    struct http_front_owner owner;
    struct http_tls *tls; /* NULL = plain */
    struct MHD_Daemon *daemon;
    int descriptor;
    struct list waiting; /* suspended */
};
struct http_exchange {
    struct list node;
    struct http_front *front;
    struct MHD_Connection *connection;
    const char *method, *path; /* the daemon's */
    bool is_serving;           /* inside of the owner's serve */
    bool is_waiting;
    struct MHD_Response *response;
    unsigned status;
};

static void log_nothing(void *context, const char *format, va_list arguments)
{
    (void)context, (void)format, (void)arguments; /* what a client does wrong is answered to the client */
}

static enum MHD_Result send_answer(struct http_exchange *exchange)
{
    enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, exchange->response);
    MHD_destroy_response(exchange->response);
    exchange->response = NULL;
    return result;
}

static enum MHD_Result serve(struct http_exchange *exchange, const char *method, const char *path)
{
    struct http_front *front = exchange->front;
    exchange->method = method;
    exchange->path = path;
    exchange->is_serving = true;
    front->owner.serve(front->owner.context, exchange);
    exchange->is_serving = false;
    if (exchange->response != NULL) return send_answer(exchange);
    exchange->is_waiting = true;
    list_push_back(&front->waiting, &exchange->node);
    MHD_suspend_connection(exchange->connection);
    return MHD_YES;
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
        *exchange_of = exchange;
        return MHD_YES;
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
    alloc_free(exchange);
    *exchange_of = NULL;
}

/* Before its handshake, and when it is gone. */
static void note_connection(void *context, struct MHD_Connection *connection, void **credentials, enum MHD_ConnectionNotificationCode code)
{
    struct http_front *front = context;
    if (front->tls == NULL) return;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        http_tls_end(front->tls, *credentials);
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    ASSERT(info != NULL);
    *credentials = http_tls_begin(front->tls, info->tls_session);
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
                                     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_FRONT_TIMEOUT_S,
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

void http_front_free(struct http_front *front)
{
    if (front == NULL) return;
    while (!list_is_empty(&front->waiting)) {
        struct http_exchange *exchange = LIST_ENTRY(front->waiting.next, struct http_exchange, node);
        front->owner.forget(front->owner.context, exchange);
        http_exchange_answer(exchange, 503, "text/plain", slice_empty());
    }
    if (front->daemon != NULL) {
        http_front_step(front); /* nothing may be suspended when it stops */
        MHD_stop_daemon(front->daemon);
    }
    http_tls_free(front->tls);
    alloc_free(front);
}

int http_front_descriptor(const struct http_front *front) { return front->descriptor; }

void http_front_adopt(struct http_front *front, int descriptor)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    ASSERT(descriptor >= 0);
    if (getpeername(descriptor, (struct sockaddr *)&address, &size) != 0) size = sizeof(address); /* gone already: reading will say so */
    (void)MHD_add_connection(front->daemon, descriptor, (struct sockaddr *)&address, size); /* what it cannot take it closes */
}

void http_front_step(struct http_front *front) { (void)MHD_run(front->daemon); }

uint64_t http_front_wait_ns(const struct http_front *front)
{
    MHD_UNSIGNED_LONG_LONG left_ms;
    return MHD_get_timeout(front->daemon, &left_ms) == MHD_YES ? left_ms * NS_PER_MS : UINT64_MAX;
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
    ASSERT(exchange->response == NULL && exchange->is_serving != exchange->is_waiting);
    exchange->status = status;
    exchange->response = MHD_create_response_from_buffer(body.size, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    ASSERT(exchange->response != NULL);
    (void)MHD_add_response_header(exchange->response, "Content-Type", content_type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) (void)MHD_add_response_header(exchange->response, "Allow", "GET");
    if (!exchange->is_waiting) return;
    exchange->is_waiting = false;
    list_remove(&exchange->node);
    MHD_resume_connection(exchange->connection);
}
