/* client_call: a call from its start, on any thread, to its one end, on the client's.
 *
 * A call counts among calls_max from kvd_start until just before its call-back. On the client's thread it stands in the map `calls` from
 * its beginning there to its end; orders (cancel, send, resume) find it by its name, or are late. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client/client_inner.h"

/* --- the end --------------------------------------------------------------------------------------------------------------- */

static void leave(struct client_call *call)
{
    struct kvd_client *client = call->client;
    void *taken = map_take(&client->calls, call->name);
    ASSERT(taken == call);
    pthread_mutex_lock(&client->mutex);
    ASSERT(client->in_flight > 0 && client->bytes >= call->bytes);
    client->in_flight--;
    client->bytes -= call->bytes;
    pthread_mutex_unlock(&client->mutex);
}

static void call_free(struct client_call *call)
{
    kvd_request_free(call->request);
    alloc_free(call);
}

/* What a put with a TTL went through is told in any case: the lease may be there although the put failed. */
static void add_steps(const struct client_call *call, struct kvd_result *face)
{
    if (call->step != CLIENT_STEP_GRANT && call->step != CLIENT_STEP_ATTACH) return;
    face->has_two_steps = true;
    face->lease = call->lease;
    face->ttl = face->granted_ttl = call->granted_ttl;
}

static void deliver(struct client_call *call, struct client_result *result)
{
    add_steps(call, &result->face);
    leave(call);
    if (call->wait != NULL) {
        *call->answer = *result;
        client_wait_end(call->wait);
    } else {
        call->done_fn(call->context, &result->face);
        client_result_deinit(result);
    }
    call_free(call);
}

void client_call_end(struct client_call *call, const struct rpc_client_result *from)
{
    struct client_result result;
    client_result_init(&result);
    client_result_take(&result, from, call->wait != NULL);
    if (call->has_overflowed) client_result_refuse(&result, KVD_RESOURCE_EXHAUSTED, "more messages waited on the stream than it takes");
    /* Messages were held back: an OK that had been on its way would say that all have come. */
    if (call->request->kind == CLIENT_STREAM && call->is_canceled && result.face.code == KVD_OK)
        client_result_refuse(&result, KVD_CANCELLED, "call was canceled");
    client_result_decode(&result, call->request->kind);
    bool owes_lease = call->step == CLIENT_STEP_SEND && call->request->kind == CLIENT_PUT && result.face.code == KVD_OK;
    if (owes_lease && result.face.lease == 0) {
        call->client->put_ttl[from->endpoint] = CLIENT_FEATURE_UNKNOWN;
        client_result_refuse(&result, KVD_MALFORMED, "the server made no lease for this put: the key is there, and has no TTL");
    }
    deliver(call, &result);
}

void client_call_end_here(struct client_call *call, enum kvd_code code, const char *text)
{
    struct client_result result;
    client_result_init(&result);
    client_result_refuse(&result, code, text);
    deliver(call, &result);
}

/* --- the beginning, on the client's thread ------------------------------------------------------------------------------------ */

static bool on_message(void *context, struct slice body)
{
    struct client_call *call = context;
    if (call->is_canceled) return false; /* it came before the cancellation */
    switch (call->request->message_fn(call->request->message_context, client_bytes(body))) {
    case KVD_MORE: return true;
    case KVD_PAUSE: rpc_client_pause(call->client->rpc, call->rpc); return true;
    case KVD_ENOUGH: break;
    }
    call->is_canceled = true;
    return false;
}

static void on_done(void *context, const struct rpc_client_result *result)
{
    struct client_call *call = context;
    call->rpc = 0;
    client_call_end(call, result);
}

void client_call_send(struct client_call *call, const char *path, struct slice body, enum rpc_client_policy policy, size_t endpoint,
                      rpc_client_done_fn *done_fn)
{
    uint64_t now_ns = clock_mono_ns();
    bool is_stream = call->request->kind == CLIENT_STREAM;
    if (call->is_canceled || call->client->is_ending) {
        client_call_end_here(call, KVD_CANCELLED, "call was canceled");
        return;
    }
    if (now_ns >= call->deadline_ns) {
        client_call_end_here(call, KVD_DEADLINE_EXCEEDED, "context deadline exceeded");
        return;
    }
    const struct rpc_client_request request = {.path = path,
                                               .body = body,
                                               .policy = policy,
                                               .timeout_ns = call->deadline_ns == CLOCK_NEVER ? 0 : call->deadline_ns - now_ns,
                                               .endpoint = endpoint,
                                               .connection = call->connection,
                                               .require_leader = call->require_leader,
                                               .message_fn = is_stream ? on_message : NULL,
                                               .message_context = call,
                                               .is_open = call->request->is_open};
    call->rpc = rpc_client_start(call->client->rpc, &request, done_fn, call);
}

static void begin(struct client_post *post)
{
    struct client_call *call = LIST_ENTRY(post, struct client_call, post);
    bool is_new = map_put(&call->client->calls, call->name, call);
    ASSERT(is_new);
    if (call->request->ttl != 0 || call->request->has_ttl) {
        client_put_ttl_start(call);
        return;
    }
    struct buf body = call->request->body; /* the engine copies it; at the call's end it would be in no cache any more */
    buf_init(&call->request->body);
    client_call_send(call, call->request->path, buf_slice(&body), call->request->policy, call->endpoint, on_done);
    buf_deinit(&body);
}

/* --- the beginning, on any thread --------------------------------------------------------------------------------------------- */

static enum kvd_code check_request(const struct kvd_client *client, const struct kvd_request *request, const struct kvd_call_options *options,
                                   const char **out_text)
{
    enum kvd_code code = client_check(client);
    *out_text = kvd_code_text(code);
    if (code != KVD_OK) return code;
    *out_text = request->mistake;
    if (request->mistake == NULL && options->endpoint > client->endpoint_count) *out_text = "there is no such endpoint";
    return *out_text == NULL ? KVD_OK : KVD_INVALID;
}

/* A raw path's one copy that lives as long as the client; NULL: there are too many. */
static const char *keep_path(struct kvd_client *client, const char *path)
{
    for (size_t i = 0; i < client->path_count; i++)
        if (strcmp(client->paths[i], path) == 0) return client->paths[i];
    if (client->path_count == KVD_PATHS_MAX) return NULL;
    return client->paths[client->path_count++] = alloc_string(path);
}

/* A place among those in flight, and the call's name. */
static enum kvd_code enter(struct client_call *call, const char **out_text)
{
    struct kvd_client *client = call->client;
    struct kvd_request *request = call->request;
    enum kvd_code code = KVD_OK;
    pthread_mutex_lock(&client->mutex);
    if (client->is_stopping) {
        code = KVD_OVER;
    } else if (client->in_flight >= client->calls_max || (client->bytes > 0 && client->bytes + call->bytes > client->bytes_max)) {
        code = KVD_BUSY;
    } else if (request->own_path != NULL && (request->path = keep_path(client, request->own_path)) == NULL) {
        code = KVD_INVALID;
    } else {
        client->in_flight++;
        client->bytes += call->bytes;
        call->name = client->next_name++;
    }
    pthread_mutex_unlock(&client->mutex);
    *out_text = code == KVD_INVALID ? "too many different paths" : kvd_code_text(code);
    return code;
}

static enum kvd_code start(struct client_call *call, const struct kvd_call_options *options, uint64_t *out_call, const char **out_text)
{
    static const struct kvd_call_options none = {.endpoint = 0};
    struct kvd_client *client = call->client;
    bool is_here;
    if (options == NULL) options = &none;
    enum kvd_code code = check_request(client, call->request, options, out_text);
    if (code != KVD_OK) return code;
    bool is_stream = call->request->kind == CLIENT_STREAM;
    uint64_t timeout_ms = options->timeout_ms;
    if (timeout_ms == 0) timeout_ms = is_stream ? KVD_FOREVER : client->timeout_ns / NS_PER_MS;
    call->deadline_ns = client_deadline_ns(timeout_ms);
    call->endpoint = options->endpoint == 0 ? RPC_CLIENT_ANY : options->endpoint - 1;
    call->connection = options->connection;
    call->require_leader = options->require_leader;
    call->bytes = call->request->body.size;
    call->post.fn = begin;
    is_here = client_is_here(client);
    code = enter(call, out_text);
    if (code != KVD_OK) return code;
    if (out_call != NULL) *out_call = call->name;
    if (is_here)
        begin(&call->post);
    else
        client_post(client, &call->post);
    return KVD_OK;
}

static struct client_call *call_new(struct kvd_client *client, struct kvd_request *request)
{
    struct client_call *call = ALLOC(struct client_call);
    call->client = client;
    call->request = request;
    list_init(&call->post.node);
    return call;
}

enum kvd_code kvd_start(struct kvd_client *client, struct kvd_request *request, const struct kvd_call_options *options, kvd_done_fn *done_fn,
                        void *context, uint64_t *out_call)
{
    const char *text;
    struct client_call *call = call_new(client, request);
    call->done_fn = done_fn;
    call->context = context;
    enum kvd_code code = done_fn == NULL ? KVD_INVALID : start(call, options, out_call, &text);
    if (code != KVD_OK) call_free(call);
    return code;
}

struct kvd_result *kvd_call(struct kvd_client *client, struct kvd_request *request, const struct kvd_call_options *options)
{
    const char *text = NULL;
    struct client_wait wait;
    struct client_result *answer = ALLOC(struct client_result);
    struct client_call *call = call_new(client, request);
    enum kvd_code code = client_check(client);
    if (code == KVD_OK && client_is_here(client)) code = KVD_ON_LIBRARY_THREAD;
    if (code == KVD_OK && request->kind == CLIENT_STREAM) code = KVD_INVALID;
    client_wait_init(&wait);
    call->wait = &wait;
    call->answer = answer;
    if (code == KVD_OK) code = start(call, options, NULL, &text);
    if (code != KVD_OK) {
        call_free(call);
        client_result_init(answer);
        client_result_refuse(answer, code, text == NULL ? kvd_code_text(code) : text);
    } else {
        bool is_done = client_wait_until(&wait, CLOCK_NEVER);
        ASSERT(is_done);
    }
    client_wait_deinit(&wait);
    return &answer->face;
}

/* --- orders ------------------------------------------------------------------------------------------------------------------- */

enum order_kind { ORDER_CANCEL, ORDER_SEND, ORDER_RESUME };
struct order {
    struct client_post post;
    struct kvd_client *client;
    enum order_kind kind;
    uint64_t call;
    struct buf body;
};

static void carry_out(struct order *order)
{
    struct rpc_client *rpc = order->client->rpc;
    struct client_call *call = map_get(&order->client->calls, order->call);
    if (call == NULL) return; /* it is over */
    switch (order->kind) {
    case ORDER_CANCEL:
        call->is_canceled = true;
        if (call->rpc != 0) rpc_client_cancel(rpc, call->rpc);
        break;
    case ORDER_SEND:
        if (!call->request->is_open || call->rpc == 0 || call->is_canceled) break;
        if (rpc_client_send(rpc, call->rpc, buf_slice(&order->body)) || !rpc_client_is_full(rpc, call->rpc)) break;
        call->has_overflowed = call->is_canceled = true;
        rpc_client_cancel(rpc, call->rpc);
        break;
    case ORDER_RESUME:
        if (call->rpc != 0) rpc_client_resume(rpc, call->rpc);
        break;
    }
}

static void carry_out_posted(struct client_post *post)
{
    struct order *order = LIST_ENTRY(post, struct order, post);
    carry_out(order);
    pthread_mutex_lock(&order->client->mutex);
    ASSERT(order->client->order_count > 0 && order->client->bytes >= order->body.size);
    order->client->order_count--;
    order->client->bytes -= order->body.size;
    pthread_mutex_unlock(&order->client->mutex);
    buf_deinit(&order->body);
    alloc_free(order);
}

static enum kvd_code post_order(struct kvd_client *client, enum order_kind kind, uint64_t call, struct slice body)
{
    enum kvd_code code = client_check(client);
    if (code != KVD_OK) return code;
    struct order *order = ALLOC(struct order);
    *order = (struct order){.post = {.fn = carry_out_posted}, .client = client, .kind = kind, .call = call};
    buf_init(&order->body);
    buf_put_slice(&order->body, body);
    if (client_is_here(client)) {
        carry_out(order);
        buf_deinit(&order->body);
        alloc_free(order);
        return KVD_OK;
    }
    pthread_mutex_lock(&client->mutex);
    bool has_room = client->order_count < CLIENT_POSTS_MAX && (body.size == 0 || client->bytes == 0 || client->bytes + body.size <= client->bytes_max);
    if (client->is_stopping) {
        code = KVD_OVER;
    } else if (!has_room) {
        code = KVD_BUSY;
    } else {
        client->order_count++;
        client->bytes += body.size;
        client_post_locked(client, &order->post);
    }
    pthread_mutex_unlock(&client->mutex);
    if (code != KVD_OK) {
        buf_deinit(&order->body);
        alloc_free(order);
    }
    return code;
}

enum kvd_code kvd_cancel(struct kvd_client *client, uint64_t call) { return post_order(client, ORDER_CANCEL, call, slice_empty()); }
enum kvd_code kvd_send(struct kvd_client *client, uint64_t call, struct kvd_bytes body)
{
    return post_order(client, ORDER_SEND, call, client_slice(body));
}
enum kvd_code kvd_resume(struct kvd_client *client, uint64_t call) { return post_order(client, ORDER_RESUME, call, slice_empty()); }
