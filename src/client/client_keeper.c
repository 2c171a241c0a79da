/* client_keeper: see client_stream.h. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client/client_stream.h"

#define TTL_S_MAX 9000000000 /* the API's */
#define PATIENCE_NS (2 * NS_PER_S) /* with a renewal, before it is tried elsewhere; a quarter of the TTL, once that is known */
#define PATIENCE_MIN_NS (500 * NS_PER_MS)
#define REASON_BYTES 256
#define TOKENS_MAX 3 /* that are refused in a row */

struct client_keeper {
    struct kvd_client *client;
    client_keeper_fn *fn;
    void *context;
    int64_t lease;
    uint64_t call;            /* 0 = no stream */
    uint32_t failures;
    uint64_t patience_ns;
    bool is_waiting;          /* a renewal is not answered yet */
    bool is_over, is_free;
    struct client_timer next; /* the next renewal, or the next stream; or patience is over */
    struct client_timer end;  /* of the lease */
    enum kvd_code code;       /* why nobody answered last */
    char reason[REASON_BYTES];
    bool is_unreachable;
};

static void end(struct client_keeper *keeper, const struct kvd_keeper_news *news)
{
    ASSERT(!keeper->is_over && news->state != KVD_KEEPER_RUNS);
    keeper->is_over = true;
    client_timer_unset(keeper->client, &keeper->next);
    client_timer_unset(keeper->client, &keeper->end);
    if (keeper->call != 0) rpc_client_cancel(keeper->client->rpc, keeper->call);
    keeper->fn(keeper->context, news);
}

static void on_deadline(void *context, uint64_t now_ns)
{
    struct client_keeper *keeper = context;
    ASSERT(now_ns > 0);
    end(keeper, &(struct kvd_keeper_news){.state = KVD_KEEPER_EXPIRED,
                                          .lease = keeper->lease,
                                          .code = keeper->code == KVD_OK ? KVD_DEADLINE_EXCEEDED : keeper->code,
                                          .text = keeper->reason[0] == '\0' ? "nobody renewed the lease in its time" : keeper->reason,
                                          .is_unreachable = keeper->is_unreachable});
}

/* --- the stream ------------------------------------------------------------------------------------------------------------ */

static void on_renewed(struct client_keeper *keeper, struct kvd_keeper_news *news)
{
    if (news->ttl <= 0) {
        news->state = KVD_KEEPER_GONE;
        news->code = KVD_NOT_FOUND;
        news->text = err_text(ERR_LEASE_NOT_FOUND);
        end(keeper, news);
        return;
    }
    uint64_t ttl_ns = (uint64_t)(news->ttl > TTL_S_MAX ? TTL_S_MAX : news->ttl) * NS_PER_S, now_ns = clock_mono_ns();
    keeper->failures = 0;
    keeper->is_waiting = false;
    keeper->patience_ns = ttl_ns / 4 < PATIENCE_MIN_NS ? PATIENCE_MIN_NS : ttl_ns / 4;
    client_timer_set(keeper->client, &keeper->next, now_ns + ttl_ns / 3);
    client_timer_set(keeper->client, &keeper->end, now_ns + ttl_ns);
    keeper->fn(keeper->context, news);
}

static bool on_message(void *context, struct slice body)
{
    struct client_keeper *keeper = context;
    struct kvd_keeper_news news = {.text = "", .body = client_bytes(body)};
    int64_t id = 0;
    if (keeper->is_over || keeper->is_free) return false; /* it came before the cancellation */
    if (!client_decode_keep_alive(body, &news.header, &id, &news.ttl)) return false;
    news.lease = id;
    if (id == keeper->lease) on_renewed(keeper, &news);
    return !keeper->is_over && !keeper->is_free;
}

static bool may_come_back(const struct client_keeper *keeper, const struct rpc_client_result *result)
{
    if (result->is_stale_token) return keeper->failures < TOKENS_MAX;
    return !keeper->client->is_ending && (result->code == ERR_CODE_OK || result->code == ERR_CODE_CANCELLED ||
                                          result->code == ERR_CODE_UNAVAILABLE || result->code == ERR_CODE_INTERNAL);
}

static void on_end(void *context, const struct rpc_client_result *result)
{
    struct client_keeper *keeper = context;
    keeper->call = 0;
    keeper->is_waiting = false;
    if (keeper->is_free) {
        alloc_free(keeper);
        return;
    }
    if (keeper->is_over) return;
    keeper->code = (enum kvd_code)result->code;
    keeper->is_unreachable = result->is_unreachable;
    size_t length = strnlen(result->text, REASON_BYTES - 1);
    memcpy(keeper->reason, result->text, length);
    keeper->reason[length] = '\0';
    if (may_come_back(keeper, result)) {
        client_timer_set(keeper->client, &keeper->next, clock_mono_ns() + client_backoff_ns(keeper->failures++));
        return;
    }
    end(keeper, &(struct kvd_keeper_news){.state = KVD_KEEPER_REFUSED,
                                          .lease = keeper->lease,
                                          .code = keeper->code == KVD_OK ? KVD_CANCELLED : keeper->code,
                                          .text = keeper->reason,
                                          .is_unreachable = keeper->is_unreachable});
}

/* A renewal on the stream, or with it a new stream. A member that does not answer is left: it may hang, and the lease runs out. */
static void renew(void *context, uint64_t now_ns)
{
    struct client_keeper *keeper = context;
    struct rpc_client *rpc = keeper->client->rpc;
    struct buf request;
    ASSERT(!keeper->is_over && !keeper->is_free);
    if (keeper->is_waiting) {
        rpc_client_cancel(rpc, keeper->call);
        return;
    }
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)keeper->lease);
    const struct rpc_client_request call = {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
                                            .body = buf_slice(&request),
                                            .policy = RPC_CLIENT_ONCE,
                                            .endpoint = RPC_CLIENT_ANY,
                                            .require_leader = true,
                                            .message_fn = on_message,
                                            .message_context = keeper,
                                            .is_open = true};
    keeper->is_waiting = true;
    client_timer_set(keeper->client, &keeper->next, now_ns + keeper->patience_ns);
    if (keeper->call == 0)
        keeper->call = rpc_client_start(rpc, &call, on_end, keeper);
    else
        rpc_client_send(rpc, keeper->call, call.body);
    buf_deinit(&request);
}

/* --- the face -------------------------------------------------------------------------------------------------------------- */

struct client_keeper *client_keeper_new(struct kvd_client *client, int64_t lease, uint64_t until_ns, client_keeper_fn *fn, void *context)
{
    ASSERT(fn != NULL && !client->is_ending);
    struct client_keeper *keeper = ALLOC(struct client_keeper);
    keeper->client = client;
    keeper->lease = lease;
    keeper->fn = fn;
    keeper->context = context;
    keeper->patience_ns = PATIENCE_NS;
    client_timer_init(&keeper->next, renew, keeper);
    client_timer_init(&keeper->end, on_deadline, keeper);
    client_timer_set(client, &keeper->end, until_ns);
    renew(keeper, clock_mono_ns());
    return keeper;
}

void client_keeper_free(struct client_keeper *keeper)
{
    if (keeper == NULL) return;
    ASSERT(!keeper->is_free);
    client_timer_unset(keeper->client, &keeper->next);
    client_timer_unset(keeper->client, &keeper->end);
    keeper->is_free = true;
    if (keeper->call == 0)
        alloc_free(keeper);
    else
        rpc_client_cancel(keeper->client->rpc, keeper->call);
}
