/* kvd_lock: a place in a queue by etcd's recipe, as a state machine on the client's thread:
 *
 *     GRANT ──► JOIN ──► LOOK ──nobody before us──► HELD
 *                         ▲ └──somebody──► WAIT ─┐        from all: LOST, when the lease or the key is gone, or somebody refuses
 *                         └──────the key goes────┘
 *
 * All that it asks may be asked again: the transaction that joins does nothing the second time, and a lease that was granted for nobody
 * expires. So each step goes on over changes of leader, as long as the lease lives. While it is held, its own key is watched.
 * Source: etcd's package concurrency; API §14. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client/client_stream.h"

#define TTL_DEFAULT 60
#define REASON_BYTES 256

enum step { STEP_GRANT, STEP_JOIN, STEP_LOOK, STEP_WAIT, STEP_HELD, STEP_LOST, STEP_LEAVE };
struct kvd_lock {
    struct kvd_client *client;
    kvd_lock_fn *fn;
    void *context;
    int64_t ttl;
    struct buf prefix, value;
    struct buf key;                /* written before it is held, and never again */
    int64_t lease, revision;       /* likewise; 0 = none */

    enum step step;                /* from here on the client's thread's */
    uint64_t call, asked_ns;       /* of the step; 0 = none */
    uint32_t failures;
    struct kvd_header header;      /* written before it is held */
    bool is_unreachable;           /* of what went wrong */
    struct client_timer again;
    struct client_keeper *keeper;
    struct client_watch *watch;
    bool is_closing;
    struct client_wait *closed;    /* of who waits for the end; NULL = nobody */

    struct client_wait wait;       /* is_done: held, or lost; its mutex guards what follows */
    enum kvd_lock_state state;
    enum kvd_code code;
    char reason[REASON_BYTES];
};

static void take_step(void *context, uint64_t now_ns);
static void leave(struct kvd_lock *lock);

static void lock_free(struct kvd_lock *lock)
{
    client_wait_deinit(&lock->wait);
    buf_deinit(&lock->prefix);
    buf_deinit(&lock->value);
    buf_deinit(&lock->key);
    alloc_free(lock);
}

/* --- what the program is told ------------------------------------------------------------------------------------------------- */

/* The last that a caller does: the call-back may close the lock. */
static void tell(struct kvd_lock *lock, enum kvd_lock_state state, enum kvd_code code, const char *text)
{
    pthread_mutex_lock(&lock->wait.mutex);
    size_t length = strnlen(text, REASON_BYTES - 1);
    lock->state = state;
    lock->code = code;
    memcpy(lock->reason, text, length);
    lock->reason[length] = '\0';
    lock->wait.is_done = true;
    pthread_cond_broadcast(&lock->wait.cond);
    pthread_mutex_unlock(&lock->wait.mutex);
    const struct kvd_lock_news news = {.state = state, .code = code, .text = lock->reason, .is_unreachable = lock->is_unreachable};
    if (lock->fn != NULL && !lock->is_closing) lock->fn(lock->context, &news);
}

static void let_go(struct kvd_lock *lock)
{
    client_timer_unset(lock->client, &lock->again);
    client_keeper_free(lock->keeper);
    client_watch_free(lock->watch);
    lock->keeper = NULL;
    lock->watch = NULL;
    if (lock->call != 0) rpc_client_cancel(lock->client->rpc, lock->call);
}

static void lose(struct kvd_lock *lock, enum kvd_code code, const char *text)
{
    if (lock->step == STEP_LOST || lock->step == STEP_LEAVE) return;
    lock->step = STEP_LOST;
    let_go(lock);
    tell(lock, KVD_LOCK_LOST, code, text);
}

static void on_keeper(void *context, const struct kvd_keeper_news *news)
{
    struct kvd_lock *lock = context;
    lock->is_unreachable = news->is_unreachable;
    if (news->state != KVD_KEEPER_RUNS) lose(lock, news->code, news->text);
}

/* --- watching: the key before ours, or, when it is held, ours ------------------------------------------------------------------ */

static bool has_deletion(const struct kvd_news *news)
{
    for (size_t i = 0; i < news->event_count; i++)
        if (news->events[i].type == KVD_EVENT_DELETE) return true;
    return false;
}

/* A watch that is over (compaction) has us look again. */
static enum kvd_more on_watch(void *context, const struct kvd_news *news)
{
    struct kvd_lock *lock = context;
    if (news->code == KVD_OK && !has_deletion(news)) return KVD_MORE;
    client_watch_free(lock->watch);
    lock->watch = NULL;
    lock->is_unreachable = news->is_unreachable;
    if (news->code != KVD_OK && news->code != KVD_OUT_OF_RANGE && news->code != KVD_CANCELLED) {
        lose(lock, news->code, news->text);
    } else if (lock->step == STEP_HELD && news->code == KVD_OK) {
        lose(lock, KVD_NOT_FOUND, "the lock's key was deleted");
    } else {
        if (lock->step == STEP_WAIT) lock->step = STEP_LOOK;
        client_timer_set(lock->client, &lock->again, 0);
    }
    return KVD_ENOUGH;
}

static void watch_key(struct kvd_lock *lock, struct slice key, int64_t revision)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, key);
    lock->watch = client_watch_new(lock->client, buf_slice(&request), revision + 1, on_watch, lock);
    buf_deinit(&request);
}

/* --- the steps' answers --------------------------------------------------------------------------------------------------------- */

static void next_step(struct kvd_lock *lock, enum step step)
{
    lock->step = step;
    lock->failures = 0;
    take_step(lock, clock_mono_ns());
}

static void on_granted(struct kvd_lock *lock, const struct kvd_result *result)
{
    if (result->lease == 0 || result->ttl <= 0) {
        lose(lock, KVD_MALFORMED, "the server granted no lease");
        return;
    }
    lock->lease = result->lease;
    buf_put_slice(&lock->key, buf_slice(&lock->prefix));
    buf_printf(&lock->key, "%" PRIx64, (uint64_t)lock->lease);
    lock->keeper = client_keeper_new(lock->client, lock->lease, lock->asked_ns + (uint64_t)result->ttl * NS_PER_S, on_keeper, lock);
    next_step(lock, STEP_JOIN);
}

static void on_joined(struct kvd_lock *lock, const struct kvd_result *result)
{
    const struct kvd_result *got = result->result_count == 1 ? &result->results[0] : NULL;
    if (result->succeeded)
        lock->revision = result->header.revision;
    else if (got != NULL && got->pair_count == 1)
        lock->revision = got->pairs[0].create_revision;
    if (lock->revision > 0)
        next_step(lock, STEP_LOOK);
    else
        lose(lock, KVD_MALFORMED, "the transaction's response is not one of this transaction");
}

/* Two ranges: the youngest key before ours, and ours. */
static void on_looked(struct kvd_lock *lock, const struct kvd_result *result)
{
    if (result->result_count != 2) {
        lose(lock, KVD_MALFORMED, "the transaction's response is not one of this transaction");
        return;
    }
    const struct kvd_result *before = &result->results[0], *own = &result->results[1];
    bool was_held = lock->step == STEP_HELD;
    if (own->pair_count != 1 || own->pairs[0].create_revision != lock->revision) {
        lose(lock, KVD_NOT_FOUND, "the lock's key is gone");
    } else if (before->pair_count > 0 && !was_held) {
        lock->step = STEP_WAIT;
        watch_key(lock, client_slice(before->pairs[0].key), result->header.revision);
    } else {
        lock->step = STEP_HELD;
        watch_key(lock, buf_slice(&lock->key), result->header.revision);
        if (!was_held) lock->header = result->header;
        if (!was_held) tell(lock, KVD_LOCK_HELD, KVD_OK, "");
    }
}

static bool is_passing(const struct kvd_lock *lock, const struct rpc_client_result *result)
{
    return lock->step != STEP_GRANT && !lock->client->is_ending &&
           (result->code == ERR_CODE_UNAVAILABLE || result->code == ERR_CODE_DEADLINE_EXCEEDED);
}

static void on_answer(void *context, const struct rpc_client_result *from)
{
    struct kvd_lock *lock = context;
    struct client_result result;
    lock->call = 0;
    if (lock->step == STEP_LEAVE) {
        leave(lock);
        return;
    }
    if (lock->step == STEP_LOST) return;
    if (is_passing(lock, from)) {
        client_timer_set(lock->client, &lock->again, clock_mono_ns() + client_backoff_ns(++lock->failures));
        return;
    }
    lock->is_unreachable = from->is_unreachable;
    client_result_init(&result);
    client_result_take(&result, from, false);
    client_result_decode(&result, lock->step == STEP_GRANT ? CLIENT_GRANT : CLIENT_TXN);
    if (result.face.code != KVD_OK)
        lose(lock, result.face.code, result.face.text);
    else if (lock->step == STEP_GRANT)
        on_granted(lock, &result.face);
    else if (lock->step == STEP_JOIN)
        on_joined(lock, &result.face);
    else
        on_looked(lock, &result.face);
    client_result_deinit(&result);
}

/* --- the steps' questions ------------------------------------------------------------------------------------------------------- */

static struct kvd_request *join_request(const struct kvd_lock *lock)
{
    struct kvd_request *txn = kvd_txn();
    struct kvd_bytes key = client_bytes(buf_slice(&lock->key));
    kvd_txn_if(txn, kvd_if_create(key, KVD_EQUAL, 0));
    kvd_txn_then(txn, kvd_put(key, client_bytes(buf_slice(&lock->value)), &(struct kvd_put_options){.lease = lock->lease}));
    kvd_txn_else(txn, kvd_get(key));
    return txn;
}

static struct kvd_request *look_request(const struct kvd_lock *lock)
{
    struct kvd_request *txn = kvd_txn();
    const struct kvd_range_options before = {.is_prefix = true,
                                             .limit = 1,
                                             .order = KVD_SORT_DESCEND,
                                             .target = KVD_SORT_CREATE,
                                             .keys_only = true,
                                             .max_create_revision = lock->revision - 1};
    kvd_txn_then(txn, kvd_range(client_bytes(buf_slice(&lock->prefix)), &before));
    kvd_txn_then(txn, kvd_range(client_bytes(buf_slice(&lock->key)), &(struct kvd_range_options){.keys_only = true}));
    return txn;
}

static void send(struct kvd_lock *lock, struct kvd_request *request)
{
    const struct rpc_client_request call = {.path = request->path,
                                            .body = buf_slice(&request->body),
                                            .policy = RPC_CLIENT_READ, /* it may be asked again: see above */
                                            .timeout_ns = lock->client->timeout_ns,
                                            .endpoint = RPC_CLIENT_ANY};
    ASSERT(request->mistake == NULL && lock->call == 0);
    lock->call = rpc_client_start(lock->client->rpc, &call, on_answer, lock);
    kvd_request_free(request);
}

static void take_step(void *context, uint64_t now_ns)
{
    struct kvd_lock *lock = context;
    lock->asked_ns = now_ns;
    ASSERT(lock->step <= STEP_LOOK || lock->step == STEP_HELD);
    switch (lock->step) {
    case STEP_GRANT: send(lock, kvd_grant(lock->ttl, 0)); break;
    case STEP_JOIN: send(lock, join_request(lock)); break;
    case STEP_LOOK:
    case STEP_HELD: send(lock, look_request(lock)); break;
    case STEP_WAIT:
    case STEP_LOST:
    case STEP_LEAVE: break;
    }
}

/* --- the end -------------------------------------------------------------------------------------------------------------------- */

static void finish(struct kvd_lock *lock, enum kvd_code code)
{
    lock->code = code;
    if (lock->closed != NULL)
        client_wait_end(lock->closed);
    else
        lock_free(lock);
}

static void send_last(struct kvd_lock *lock, struct kvd_request *request, rpc_client_done_fn *done_fn)
{
    const struct rpc_client_request call = {.path = request->path,
                                            .body = buf_slice(&request->body),
                                            .policy = RPC_CLIENT_READ, /* the second time there is nothing to delete */
                                            .timeout_ns = lock->client->timeout_ns,
                                            .endpoint = RPC_CLIENT_ANY};
    lock->call = rpc_client_start(lock->client->rpc, &call, done_fn, lock);
    kvd_request_free(request);
}

static void on_left(void *context, const struct rpc_client_result *result)
{
    struct kvd_lock *lock = context;
    lock->call = 0;
    finish(lock, result->code == ERR_CODE_NOT_FOUND ? KVD_OK : (enum kvd_code)result->code);
}

static void on_key_deleted(void *context, const struct rpc_client_result *result)
{
    struct kvd_lock *lock = context;
    lock->call = 0;
    if (result->is_unreachable || lock->client->is_ending) finish(lock, (enum kvd_code)result->code);
    else send_last(lock, kvd_revoke(lock->lease), on_left);
}

/* The key by itself: it goes with its lease, unless somebody has put it without one. */
static void leave(struct kvd_lock *lock)
{
    if (lock->lease == 0 || lock->client->is_ending) {
        finish(lock, lock->lease == 0 ? KVD_OK : KVD_CANCELLED);
        return;
    }
    if (lock->revision == 0) {
        send_last(lock, kvd_revoke(lock->lease), on_left);
        return;
    }
    struct kvd_request *txn = kvd_txn();
    kvd_txn_if(txn, kvd_lock_fence(lock));
    kvd_txn_then(txn, kvd_delete(client_bytes(buf_slice(&lock->key)), NULL));
    send_last(lock, txn, on_key_deleted);
}

static void close_here(void *context)
{
    struct kvd_lock *lock = context;
    lock->is_closing = true;
    let_go(lock);
    lock->step = STEP_LEAVE;
    if (lock->call == 0) leave(lock); /* else when the step that is under way has ended */
}

/* --- the face ------------------------------------------------------------------------------------------------------------------- */

static void begin(void *context)
{
    struct kvd_lock *lock = context;
    next_step(lock, STEP_GRANT);
}

enum kvd_code kvd_lock_open(struct kvd_client *client, struct kvd_bytes name, const struct kvd_lock_options *options, kvd_lock_fn *fn,
                            void *context, struct kvd_lock **out_lock)
{
    static const struct kvd_lock_options none = {.ttl = 0};
    if (options == NULL) options = &none;
    if (options->ttl < 0 || out_lock == NULL) return KVD_INVALID;
    enum kvd_code code = client_open_place(client);
    if (code != KVD_OK) return code;
    struct kvd_lock *lock = ALLOC(struct kvd_lock);
    lock->client = client;
    lock->fn = fn;
    lock->context = context;
    lock->ttl = options->ttl == 0 ? TTL_DEFAULT : options->ttl;
    buf_init(&lock->prefix);
    buf_init(&lock->value);
    buf_init(&lock->key);
    buf_put_slice(&lock->prefix, client_slice(name));
    buf_put_u8(&lock->prefix, '/');
    buf_put_slice(&lock->value, client_slice(options->value));
    client_wait_init(&lock->wait);
    client_timer_init(&lock->again, take_step, lock);
    *out_lock = lock;
    client_run(client, begin, lock);
    return KVD_OK;
}

enum kvd_lock_state kvd_lock_state_of(struct kvd_lock *lock)
{
    pthread_mutex_lock(&lock->wait.mutex);
    enum kvd_lock_state state = lock->state;
    pthread_mutex_unlock(&lock->wait.mutex);
    return state;
}

enum kvd_code kvd_lock_wait(struct kvd_lock *lock, uint64_t timeout_ms)
{
    enum kvd_code code = client_check(lock->client);
    if (code != KVD_OK) return code;
    if (client_is_here(lock->client)) return KVD_ON_LIBRARY_THREAD;
    if (!client_wait_until(&lock->wait, client_deadline_ns(timeout_ms))) return KVD_DEADLINE_EXCEEDED;
    pthread_mutex_lock(&lock->wait.mutex);
    code = lock->state == KVD_LOCK_HELD ? KVD_OK : lock->code == KVD_OK ? KVD_UNKNOWN : lock->code;
    pthread_mutex_unlock(&lock->wait.mutex);
    return code;
}

struct kvd_bytes kvd_lock_key(struct kvd_lock *lock) { return client_bytes(buf_slice(&lock->key)); }
int64_t kvd_lock_revision(struct kvd_lock *lock) { return lock->revision; }
int64_t kvd_lock_lease(struct kvd_lock *lock) { return lock->lease; }
struct kvd_compare kvd_lock_fence(struct kvd_lock *lock) { return kvd_if_create(kvd_lock_key(lock), KVD_EQUAL, lock->revision); }

struct kvd_header kvd_lock_header(struct kvd_lock *lock) { return lock->header; }

struct kvd_request *kvd_proclaim(struct kvd_lock *lock, struct kvd_bytes value)
{
    struct kvd_request *txn = kvd_txn();
    kvd_txn_if(txn, kvd_lock_fence(lock));
    kvd_txn_then(txn, kvd_put(kvd_lock_key(lock), value, &(struct kvd_put_options){.lease = lock->lease}));
    return txn;
}

enum kvd_code kvd_lock_close(struct kvd_lock *lock)
{
    if (lock == NULL) return KVD_OK;
    struct kvd_client *client = lock->client;
    enum kvd_code code = client_check(client);
    if (code != KVD_OK) return code;
    struct client_wait closed;
    if (client_is_here(client)) {
        client_close_place(client);
        close_here(lock);
        return KVD_OK;
    }
    client_wait_init(&closed);
    lock->closed = &closed;
    client_run(client, close_here, lock);
    bool is_done = client_wait_until(&closed, CLOCK_NEVER);
    ASSERT(is_done);
    client_wait_deinit(&closed);
    code = lock->code;
    client_close_place(client);
    lock_free(lock);
    return code;
}
