/* keepalive: see the header. */
#include "keepalive.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

#define TTL_S_MAX 9000000000 /* the API's */
#define PATIENCE_NS (2 * NS_PER_S) /* with a renewal, before it is tried elsewhere; a quarter of the TTL, once that is known */
#define PATIENCE_MIN_NS (500 * NS_PER_MS)

struct keepalive {
    struct live *live;
    keepalive_fn *fn;
    void *context;
    int64_t id;
    uint64_t call;            /* 0 = no stream */
    uint32_t failures;
    uint64_t patience_ns;
    bool is_waiting;          /* a renewal is not answered yet */
    struct live_timer next;   /* the next renewal, or the next stream; or patience is over */
    struct live_timer end;    /* of the lease */
    enum keepalive_state state;
    bool has_enough, is_free;
    struct calls_answer refusal;
};

static bool is_over(const struct keepalive *keepalive) { return keepalive->has_enough || keepalive->state != KEEPALIVE_RUNS; }

static void end(struct keepalive *keepalive, enum keepalive_state state)
{
    keepalive->state = state;
    live_unset(keepalive->live, &keepalive->next);
    live_unset(keepalive->live, &keepalive->end);
}

static void on_deadline(void *context, uint64_t now_ns)
{
    struct keepalive *keepalive = context;
    ASSERT(now_ns > 0);
    end(keepalive, KEEPALIVE_EXPIRED);
    if (keepalive->call != 0) calls_cancel(keepalive->live->ctl->client, keepalive->call);
}

/* --- the stream ------------------------------------------------------------------------------------------------------------ */

static void on_renewed(struct keepalive *keepalive, const Etcdserverpb__LeaseKeepAliveResponse *response)
{
    if (response->ttl <= 0) {
        end(keepalive, KEEPALIVE_GONE);
        return;
    }
    uint64_t ttl_ns = (uint64_t)(response->ttl > TTL_S_MAX ? TTL_S_MAX : response->ttl) * NS_PER_S, now_ns = clock_mono_ns();
    keepalive->failures = 0;
    keepalive->is_waiting = false;
    keepalive->patience_ns = ttl_ns / 4 < PATIENCE_MIN_NS ? PATIENCE_MIN_NS : ttl_ns / 4;
    live_set(keepalive->live, &keepalive->next, now_ns + ttl_ns / 3);
    live_set(keepalive->live, &keepalive->end, now_ns + ttl_ns);
    if (keepalive->fn == NULL || keepalive->fn(keepalive->context, response)) return;
    keepalive->has_enough = true;
    end(keepalive, KEEPALIVE_RUNS);
}

static bool on_message(void *context, struct slice body)
{
    struct keepalive *keepalive = context;
    if (is_over(keepalive)) return false; /* it came before the cancellation */
    Etcdserverpb__LeaseKeepAliveResponse *response =
        (Etcdserverpb__LeaseKeepAliveResponse *)ctl_unpack(&etcdserverpb__lease_keep_alive_response__descriptor, body);
    if (response == NULL) return false;
    if (response->id == keepalive->id && response->header != NULL) on_renewed(keepalive, response);
    protobuf_c_message_free_unpacked(&response->base, NULL);
    return !is_over(keepalive);
}

static void keep_refusal(struct keepalive *keepalive, const struct calls_result *result)
{
    alloc_free(keepalive->refusal.text);
    keepalive->refusal.code = result->code;
    keepalive->refusal.text = alloc_string(result->text);
    keepalive->refusal.is_unreachable = result->is_unreachable;
    keepalive->refusal.took_ns = clock_mono_ns() - keepalive->refusal.start_ns;
}

static void on_end(void *context, const struct calls_result *result)
{
    struct keepalive *keepalive = context;
    keepalive->call = 0;
    keepalive->is_waiting = false;
    if (keepalive->is_free) {
        calls_answer_deinit(&keepalive->refusal);
        alloc_free(keepalive);
        return;
    }
    if (is_over(keepalive)) return;
    keep_refusal(keepalive, result);
    bool may_come_back = result->code == ERR_CODE_OK || result->code == ERR_CODE_CANCELLED || result->code == ERR_CODE_UNAVAILABLE ||
                         result->code == ERR_CODE_INTERNAL;
    if (may_come_back)
        live_set(keepalive->live, &keepalive->next, clock_mono_ns() + live_backoff_ns(keepalive->failures++));
    else
        end(keepalive, KEEPALIVE_REFUSED);
}

/* A renewal on the stream, or with it a new stream. A member that does not answer is left: it may hang, and the lease runs out. */
static void renew(void *context, uint64_t now_ns)
{
    struct keepalive *keepalive = context;
    struct calls *client = keepalive->live->ctl->client;
    struct buf request;
    if (keepalive->is_waiting) {
        calls_cancel(client, keepalive->call);
        return;
    }
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)keepalive->id);
    struct calls_request call = {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
                                      .body = buf_slice(&request),
                                      .policy = KVD_POLICY_ONCE,
                                      .endpoint = CALLS_ANY,
                                      .require_leader = true,
                                      .message_fn = on_message,
                                      .message_context = keepalive,
                                      .is_open = true};
    ASSERT(!is_over(keepalive));
    keepalive->is_waiting = true;
    live_set(keepalive->live, &keepalive->next, now_ns + keepalive->patience_ns);
    if (keepalive->call != 0) {
        calls_send(client, keepalive->call, call.body);
    } else {
        keepalive->refusal.start_ns = now_ns;
        keepalive->call = calls_start(client, &call, on_end, keepalive);
    }
    buf_deinit(&request);
}

/* --- the face -------------------------------------------------------------------------------------------------------------- */

struct keepalive *keepalive_new(struct live *live, int64_t id, uint64_t until_ns, keepalive_fn *fn, void *context)
{
    struct keepalive *keepalive = ALLOC(struct keepalive);
    keepalive->live = live;
    keepalive->id = id;
    keepalive->fn = fn;
    keepalive->context = context;
    keepalive->patience_ns = PATIENCE_NS;
    buf_init(&keepalive->refusal.body);
    live_timer_init(&keepalive->next, renew, keepalive);
    live_timer_init(&keepalive->end, on_deadline, keepalive);
    live_set(live, &keepalive->end, until_ns);
    renew(keepalive, clock_mono_ns());
    return keepalive;
}

void keepalive_free(struct keepalive *keepalive)
{
    if (keepalive == NULL) return;
    struct calls *client = keepalive->live->ctl->client;
    end(keepalive, keepalive->state);
    keepalive->has_enough = keepalive->is_free = true;
    if (keepalive->call == 0)
        on_end(keepalive, &(struct calls_result){.code = ERR_CODE_CANCELLED});
    else
        calls_cancel(client, keepalive->call);
}

enum keepalive_state keepalive_state(const struct keepalive *keepalive) { return keepalive->state; }

const struct calls_answer *keepalive_refusal(const struct keepalive *keepalive) { return &keepalive->refusal; }
