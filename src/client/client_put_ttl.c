/* client_put_ttl: puts that make their lease. An etcd would pass over the TTL and keep the key for ever, so an endpoint is asked first
 * whether it can; its answer is remembered, and the put goes to that endpoint only:
 *
 *     ASK ──can──► SEND ──not sent, for there is no connection──► ASK …
 *      └─cannot──► GRANT ──► ATTACH                    (a transaction is refused instead: its branches may not need the leases)
 *
 * A lease that was granted for a put that then failed expires; the result names it. Source: proto/kvd/extra.proto. */
#include "base/assert.h"
#include "client/client_inner.h"
#include "rpc/rpc_features.h"

#define ASK_MAX 100

static void ask(struct client_call *call);

static void on_attached(void *context, const struct rpc_client_result *result)
{
    struct client_call *call = context;
    call->rpc = 0;
    client_call_end(call, result);
}

static void on_granted(void *context, const struct rpc_client_result *result)
{
    struct client_call *call = context;
    struct client_result granted;
    struct buf body;
    call->rpc = 0;
    client_result_init(&granted);
    client_result_take(&granted, result, false);
    client_result_decode(&granted, CLIENT_GRANT);
    call->lease = granted.face.lease;
    call->granted_ttl = granted.face.granted_ttl;
    bool is_granted = granted.face.code == KVD_OK && call->lease != 0;
    client_result_deinit(&granted);
    if (!is_granted) {
        /* Whatever became of the lease, the put was not sent. */
        struct rpc_client_result failed = *result;
        failed.is_unknown = false;
        if (failed.code == ERR_CODE_OK) client_call_end_here(call, KVD_MALFORMED, "the server granted no lease");
        else client_call_end(call, &failed);
        return;
    }
    call->step = CLIENT_STEP_ATTACH;
    buf_init(&body);
    buf_put_slice(&body, buf_slice(&call->request->body));
    buf_put_pb_varint(&body, 3, (uint64_t)call->lease);
    client_call_send(call, call->request->path, buf_slice(&body), RPC_CLIENT_WRITE, call->endpoint, on_attached);
    buf_deinit(&body);
}

static void grant(struct client_call *call)
{
    struct buf body;
    if (call->request->kind == CLIENT_TXN) {
        client_call_end_here(call, KVD_UNIMPLEMENTED, "the server makes no leases with puts, and this transaction has a put with a TTL");
        return;
    }
    call->step = CLIENT_STEP_GRANT;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)call->request->ttl);
    client_call_send(call, "/etcdserverpb.Lease/LeaseGrant", buf_slice(&body), RPC_CLIENT_WRITE, call->endpoint, on_granted);
    buf_deinit(&body);
}

static void on_sent(void *context, const struct rpc_client_result *result)
{
    struct client_call *call = context;
    call->rpc = 0;
    if (result->is_unreachable && result->code == ERR_CODE_UNAVAILABLE && call->asked < ASK_MAX) {
        call->client->put_ttl[call->step_endpoint] = CLIENT_FEATURE_UNKNOWN;
        ask(call);
        return;
    }
    client_call_end(call, result);
}

static void send(struct client_call *call, size_t endpoint)
{
    struct buf body;
    call->step = CLIENT_STEP_SEND;
    call->step_endpoint = endpoint;
    buf_init(&body);
    buf_put_slice(&body, buf_slice(&call->request->body));
    if (call->request->kind == CLIENT_PUT) buf_put_pb_varint(&body, 1000, (uint64_t)call->request->ttl);
    client_call_send(call, call->request->path, buf_slice(&body), RPC_CLIENT_WRITE, endpoint, on_sent);
    buf_deinit(&body);
}

static void on_asked(void *context, const struct rpc_client_result *result)
{
    struct client_call *call = context;
    struct rpc_features features = {.bits = 0};
    call->rpc = 0;
    bool is_answered = result->code == ERR_CODE_UNIMPLEMENTED ||
                       (result->code == ERR_CODE_OK && rpc_features_decode(result->body, &features));
    if (!is_answered && result->code == ERR_CODE_OK) {
        client_call_end_here(call, KVD_MALFORMED, "the server's answer is no list of features");
        return;
    }
    if (!is_answered) {
        struct rpc_client_result failed = *result; /* of a question, and the put was not sent */
        failed.is_unknown = false;
        client_call_end(call, &failed);
        return;
    }
    bool can = rpc_features_have(&features, RPC_FEATURE_PUT_TTL);
    call->client->put_ttl[result->endpoint] = can ? CLIENT_FEATURE_YES : CLIENT_FEATURE_NO;
    if (can)
        send(call, result->endpoint);
    else
        grant(call);
}

static void ask(struct client_call *call)
{
    call->step = CLIENT_STEP_ASK;
    call->asked++;
    client_call_send(call, "/kvd.v1.Extra/Features", slice_empty(), RPC_CLIENT_READ, call->endpoint, on_asked);
}

/* An endpoint that is known to do it, in turn, is not asked again. */
void client_put_ttl_start(struct client_call *call)
{
    struct kvd_client *client = call->client;
    for (size_t i = 0; i < client->endpoint_count; i++) {
        size_t endpoint = (client->next_endpoint + i) % client->endpoint_count;
        if (call->endpoint != RPC_CLIENT_ANY && call->endpoint != endpoint) continue;
        if (client->put_ttl[endpoint] != CLIENT_FEATURE_YES) continue;
        client->next_endpoint = endpoint + 1;
        send(call, endpoint);
        return;
    }
    ask(call);
}
