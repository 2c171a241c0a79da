/* rpc_client_conn: endpoint texts, channel settings, credentials, the state of a connection. */
#include "rpc/rpc_client_conn.h"

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 1000
#define KEEPALIVE_MIN_MS 10000 /* servers of the API end connections that are pinged more often than each 5 s; Go's clients keep to 10 */
#define TAG_MARK 1 /* the lowest bit of an address is free: it marks the tag of a watch */
#define CONNECT_MS 2000 /* after which one attempt to connect is given up, unless the dial timeout says more */

bool rpc_client_conn_parse(const char *endpoint, bool tls_default, char *out_target, size_t target_size, bool *out_is_tls)
{
    const struct {
        const char *scheme;
        const char *target; /* what stands before the rest of the text */
        bool is_tls;
    } forms[] = {{"http://", "", false},      {"https://", "", true},   {"unix://", "unix:", false},
                 {"unixs://", "unix:", true}, {"unix:", "unix:", false}, {"", "", tls_default}};
    ASSERT(endpoint != NULL && target_size > 0);
    size_t i = 0;
    while (strncmp(endpoint, forms[i].scheme, strlen(forms[i].scheme)) != 0) i++;
    const char *rest = endpoint + strlen(forms[i].scheme);
    size_t length = strlen(rest);
    bool is_unix = forms[i].target[0] != '\0';
    while (!is_unix && length > 0 && rest[length - 1] == '/') length--;
    if (length == 0 || strstr(rest, "://") != NULL || (!is_unix && memchr(rest, ':', length) == NULL)) return false;
    int size = snprintf(out_target, target_size, "%s%.*s", forms[i].target, (int)length, rest);
    ASSERT(size > 0);
    if ((size_t)size >= target_size) return false;
    *out_is_tls = forms[i].is_tls;
    return true;
}

/* A PEM text as C string; NULL if empty. */
static char *pem_text(struct slice pem)
{
    if (pem.size == 0) return NULL;
    ASSERT(pem.data != NULL);
    char *text = alloc_new(pem.size + 1);
    memcpy(text, pem.data, pem.size);
    text[pem.size] = '\0';
    return text;
}

/* Encrypts, but trusts whoever answers. */
static grpc_channel_credentials *unverified_credentials(const char *certificate, const char *key)
{
    ASSERT((certificate == NULL) == (key == NULL));
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    if (certificate != NULL) {
        grpc_tls_identity_pairs *pairs = grpc_tls_identity_pairs_create();
        grpc_tls_identity_pairs_add_pair(pairs, key, certificate);
        grpc_tls_certificate_provider *provider = grpc_tls_certificate_provider_static_data_create(NULL, pairs);
        grpc_tls_credentials_options_set_certificate_provider(options, provider);
        grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
        grpc_tls_certificate_provider_release(provider);
    }
    grpc_tls_credentials_options_set_verify_server_cert(options, 0);
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    return grpc_tls_credentials_create(options);
}

grpc_channel_credentials *rpc_client_conn_credentials(const struct rpc_client_tls *tls, bool is_tls)
{
    if (!is_tls) return grpc_insecure_credentials_create();
    ASSERT(tls != NULL);
    char *ca = pem_text(tls->ca), *certificate = pem_text(tls->certificate), *key = pem_text(tls->key);
    grpc_channel_credentials *credentials = NULL;
    if ((certificate == NULL) != (key == NULL)) goto out;
    if (tls->skip_verify) {
        credentials = unverified_credentials(certificate, key);
    } else {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = key, .cert_chain = certificate};
        credentials = grpc_ssl_credentials_create(ca, key == NULL ? NULL : &pair, NULL, NULL);
    }
out:
    alloc_free(key);
    alloc_free(certificate);
    alloc_free(ca);
    return credentials;
}

static grpc_arg integer_arg(const char *name, int64_t value)
{
    ASSERT(value <= INT32_MAX);
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)name, .value.integer = (int)value};
}

static int64_t milliseconds(uint64_t ns)
{
    uint64_t ms = ns / NS_PER_MS;
    return ms > INT32_MAX ? INT32_MAX : (int64_t)ms;
}

#define ARGS_MAX 20
struct args {
    grpc_arg list[ARGS_MAX];
    grpc_channel_args all;
};

static void fill_args(const struct rpc_client_options *options, struct args *out)
{
    int64_t connect_ms = milliseconds(options->dial_timeout_ns);
    if (connect_ms < CONNECT_MS) connect_ms = CONNECT_MS;
    int64_t ping_ms = options->keepalive_time_ns == 0 ? INT32_MAX : milliseconds(options->keepalive_time_ns);
    if (ping_ms < KEEPALIVE_MIN_MS) ping_ms = KEEPALIVE_MIN_MS;
    const grpc_arg list[] = {
        integer_arg("grpc.minimal_stack", 1),
        integer_arg("grpc.disable_client_authority_filter", 1), /* each path is registered with it */
        integer_arg("grpc.per_message_decompression", 0), /* no encoding is offered, so none comes */
        integer_arg("grpc.enable_channelz", 0),
        integer_arg("grpc.enable_retries", 0),           /* what is repeated is decided here, not there */
        integer_arg("grpc.enable_http_proxy", 0),
        integer_arg("grpc.http2.bdp_probe", 0),
        integer_arg("grpc.use_local_subchannel_pool", 1), /* else channels to one target share a connection */
        integer_arg("grpc.max_receive_message_length", -1),
        integer_arg("grpc.max_send_message_length", -1),
        integer_arg("grpc.initial_reconnect_backoff_ms", RECONNECT_MIN_MS),
        integer_arg("grpc.min_reconnect_backoff_ms", connect_ms), /* also the time that one attempt may take */
        integer_arg("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
        integer_arg("grpc.keepalive_time_ms", ping_ms),
        integer_arg("grpc.keepalive_timeout_ms", milliseconds(options->keepalive_timeout_ns)),
        integer_arg("grpc.http2.max_pings_without_data", 0),
        integer_arg("grpc.max_metadata_size", 65536),
    };
    _Static_assert(sizeof list <= sizeof out->list, "ARGS_MAX");
    memcpy(out->list, list, sizeof list);
    out->all = (grpc_channel_args){.num_args = sizeof list / sizeof list[0], .args = out->list};
}

struct rpc_client_conn *rpc_client_conn_new(const char *target, grpc_channel_credentials *credentials, size_t endpoint,
                                            const struct rpc_client_options *options)
{
    ASSERT(target != NULL && credentials != NULL);
    struct args args;
    fill_args(options, &args);
    struct rpc_client_conn *conn = ALLOC(struct rpc_client_conn);
    conn->endpoint = endpoint;
    conn->channel = grpc_channel_create(target, credentials, &args.all);
    conn->authority = alloc_string(strncmp(target, "unix:", 5) == 0 ? "localhost" : target);
    list_init(&conn->waiting);
    ASSERT(conn->channel != NULL);
    return conn;
}

void rpc_client_conn_give(struct rpc_client_conn *conn, int descriptor, const struct rpc_client_options *options)
{
    ASSERT(conn->given == NULL && conn->left == NULL && conn->path_count == 0);
    struct args args;
    fill_args(options, &args);
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    conn->given = grpc_channel_create_from_fd(conn->authority, descriptor, credentials, &args.all);
    grpc_channel_credentials_release(credentials);
    ASSERT(conn->given != NULL);
}

void rpc_client_conn_leave(struct rpc_client_conn *conn)
{
    if (conn->given == NULL) return;
    conn->left = conn->given; /* to destroy it now would end its calls */
    conn->given = NULL;
    conn->path_count = 0; /* these were registered there */
}

void rpc_client_conn_free(struct rpc_client_conn *conn)
{
    if (conn == NULL) return;
    ASSERT(list_is_empty(&conn->waiting) && !conn->is_watched);
    rpc_client_conn_close(conn);
    alloc_free(conn->authority);
    alloc_free(conn);
}

void rpc_client_conn_close(struct rpc_client_conn *conn)
{
    ASSERT(conn != NULL);
    rpc_client_conn_leave(conn);
    if (conn->left != NULL) grpc_channel_destroy(conn->left);
    if (conn->channel != NULL) grpc_channel_destroy(conn->channel);
    conn->left = conn->channel = NULL;
}

enum rpc_client_conn_state rpc_client_conn_check(struct rpc_client_conn *conn)
{
    ASSERT(conn->channel != NULL);
    if (conn->given != NULL) return RPC_CLIENT_CONN_READY;
    grpc_connectivity_state state = grpc_channel_check_connectivity_state(conn->channel, 1);
    conn->state = (int)state;
    switch (state) {
    case GRPC_CHANNEL_READY: return RPC_CLIENT_CONN_READY;
    case GRPC_CHANNEL_TRANSIENT_FAILURE:
    case GRPC_CHANNEL_SHUTDOWN: return RPC_CLIENT_CONN_FAILED;
    case GRPC_CHANNEL_IDLE:
    case GRPC_CHANNEL_CONNECTING: break;
    }
    return RPC_CLIENT_CONN_CONNECTING;
}

void rpc_client_conn_watch(struct rpc_client_conn *conn, grpc_completion_queue *queue, uint64_t deadline_ns)
{
    ASSERT(!conn->is_watched);
    conn->is_watched = true;
    void *tag = (char *)conn + TAG_MARK;
    /* Relative to what the caller acted on: gRPC's threads may have moved on since, and then the event comes at once. */
    grpc_channel_watch_connectivity_state(conn->channel, (grpc_connectivity_state)conn->state, rpc_client_conn_time(deadline_ns),
                                          queue, tag);
}

struct rpc_client_conn *rpc_client_conn_of_tag(void *tag)
{
    ASSERT(tag != NULL);
    return ((uintptr_t)tag & TAG_MARK) == 0 ? NULL : (struct rpc_client_conn *)(void *)((char *)tag - TAG_MARK);
}

static grpc_channel *channel_of(const struct rpc_client_conn *conn) { return conn->given != NULL ? conn->given : conn->channel; }

/* A registered path costs less per call than one that is interned again each time. */
static void *path_handle(struct rpc_client_conn *conn, const char *path)
{
    for (size_t i = 0; i < conn->path_count; i++)
        if (conn->paths[i].path == path || strcmp(conn->paths[i].path, path) == 0) return conn->paths[i].handle;
    ASSERT(conn->path_count < RPC_CLIENT_PATHS_MAX);
    void *handle = grpc_channel_register_call(channel_of(conn), path, conn->authority, NULL);
    ASSERT(handle != NULL);
    conn->paths[conn->path_count].path = path;
    conn->paths[conn->path_count++].handle = handle;
    return handle;
}

grpc_call *rpc_client_conn_call(struct rpc_client_conn *conn, grpc_completion_queue *queue, const char *path,
                                uint64_t deadline_ns)
{
    ASSERT(path != NULL && path[0] == '/');
    grpc_call *call = grpc_channel_create_registered_call(channel_of(conn), NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                                          path_handle(conn, path), rpc_client_conn_time(deadline_ns), NULL);
    ASSERT(call != NULL);
    return call;
}

/* gRPC's monotonic clock is CLOCK_MONOTONIC, as ours. */
gpr_timespec rpc_client_conn_time(uint64_t mono_ns)
{
    if (mono_ns == CLOCK_NEVER || mono_ns > (uint64_t)INT64_MAX) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    gpr_timespec time = {.tv_sec = (int64_t)(mono_ns / NS_PER_S),
                         .tv_nsec = (int32_t)(mono_ns % NS_PER_S),
                         .clock_type = GPR_CLOCK_MONOTONIC};
    ASSERT(time.tv_sec >= 0);
    return time;
}
