/* kvd_observer: who leads in an election: a look at the oldest key of its queue, then a watch: of that key, or, where there is none, of the
 * queue. When the leader's key goes, or a watch cannot go on (compaction), one looks again. Source: etcd's package concurrency; API §14. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client/client_stream.h"

struct kvd_observer {
    struct kvd_client *client;
    kvd_observer_fn *fn;
    void *context;
    struct buf prefix;

    bool has_leader;            /* from here on the client's thread's: the watch is of the leader's key */
    uint64_t call;              /* of a look; 0 = none */
    uint32_t failures;
    bool was_answered;
    struct client_timer again;
    struct client_watch *watch;
    bool is_telling, is_free;   /* the call-back runs; the observer was closed, and goes when nobody needs it any more */
};

static void look(void *context, uint64_t now_ns);

struct kvd_request *kvd_leader(struct kvd_bytes name)
{
    struct buf prefix;
    buf_init(&prefix);
    buf_put_slice(&prefix, client_slice(name));
    buf_put_u8(&prefix, '/');
    const struct kvd_range_options oldest = {.is_prefix = true, .limit = 1, .order = KVD_SORT_ASCEND, .target = KVD_SORT_CREATE};
    struct kvd_request *request = kvd_range(client_bytes(buf_slice(&prefix)), &oldest);
    buf_deinit(&prefix);
    return request;
}

static void observer_free(struct kvd_observer *observer)
{
    buf_deinit(&observer->prefix);
    alloc_free(observer);
}

/* The call-back may close the observer: false then. */
static bool tell(struct kvd_observer *observer, const struct kvd_leader_news *news)
{
    observer->is_telling = true;
    observer->fn(observer->context, news);
    observer->is_telling = false;
    return !observer->is_free;
}

static void let_go(struct kvd_observer *observer)
{
    client_timer_unset(observer->client, &observer->again);
    client_watch_free(observer->watch);
    observer->watch = NULL;
}

/* --- the watch ------------------------------------------------------------------------------------------------------------------ */

static enum kvd_more on_watch(void *context, const struct kvd_news *news);

/* What becomes of the leader, or, without one, of the queue, behind `revision`. */
static void watch(struct kvd_observer *observer, const struct kvd_pair *leader, int64_t revision)
{
    struct buf request, scratch;
    struct slice first = leader == NULL ? buf_slice(&observer->prefix) : client_slice(leader->key), end;
    buf_init(&request);
    buf_init(&scratch);
    bool has_end = client_interval(&first, kvd_bytes_of(NULL, 0), leader == NULL, false, &scratch, &end);
    buf_put_pb_bytes(&request, 1, first);
    if (has_end) buf_put_pb_bytes(&request, 2, end);
    client_watch_free(observer->watch);
    observer->has_leader = leader != NULL;
    observer->watch = client_watch_new(observer->client, buf_slice(&request), revision + 1, on_watch, observer);
    buf_deinit(&scratch);
    buf_deinit(&request);
}

/* One event; false: the rest does not matter, for another watch has begun, or all is over. */
static bool take(struct kvd_observer *observer, const struct kvd_news *news, const struct kvd_event *event)
{
    bool is_put = event->type == KVD_EVENT_PUT;
    struct kvd_leader_news told = {.text = "", .header = news->header, .leader = &event->pair};
    if (!observer->has_leader && !is_put) return true;
    if (!is_put) {
        client_timer_set(observer->client, &observer->again, 0);
        return false;
    }
    if (observer->has_leader) return tell(observer, &told);
    told.header.revision = event->pair.mod_revision; /* more may have come since */
    if (tell(observer, &told)) watch(observer, &event->pair, event->pair.mod_revision);
    return false;
}

static void take_news(struct kvd_observer *observer, const struct kvd_news *news)
{
    if (news->code == KVD_OUT_OF_RANGE || news->code == KVD_CANCELLED) {
        client_timer_set(observer->client, &observer->again, 0);
    } else if (news->code != KVD_OK) {
        const struct kvd_leader_news last = {.code = news->code, .text = news->text, .is_unreachable = news->is_unreachable};
        tell(observer, &last);
        return;
    }
    for (size_t i = 0; i < news->event_count; i++)
        if (!take(observer, news, &news->events[i])) return;
}

static enum kvd_more on_watch(void *context, const struct kvd_news *news)
{
    struct kvd_observer *observer = context;
    const struct client_watch *watch = observer->watch;
    take_news(observer, news);
    enum kvd_more more = !observer->is_free && observer->watch == watch ? KVD_MORE : KVD_ENOUGH;
    if (observer->is_free) observer_free(observer);
    return more;
}

/* --- the look ------------------------------------------------------------------------------------------------------------------- */

static void on_looked(void *context, const struct rpc_client_result *from)
{
    struct kvd_observer *observer = context;
    struct client_result result;
    observer->call = 0;
    if (observer->is_free) {
        observer_free(observer);
        return;
    }
    bool is_passing = from->code == ERR_CODE_UNAVAILABLE || from->code == ERR_CODE_DEADLINE_EXCEEDED;
    if (is_passing && observer->was_answered && !observer->client->is_ending) {
        client_timer_set(observer->client, &observer->again, clock_mono_ns() + client_backoff_ns(++observer->failures));
        return;
    }
    client_result_init(&result);
    client_result_take(&result, from, false);
    client_result_decode(&result, CLIENT_RANGE);
    const struct kvd_pair *leader = result.face.pair_count > 0 ? &result.face.pairs[0] : NULL;
    const struct kvd_leader_news news = {.code = result.face.code,
                                         .text = result.face.text,
                                         .is_unreachable = result.face.is_unreachable,
                                         .header = result.face.header,
                                         .leader = leader};
    observer->was_answered = observer->was_answered || news.code == KVD_OK;
    observer->failures = 0;
    if (tell(observer, &news) && news.code == KVD_OK) watch(observer, leader, news.header.revision);
    bool is_free = observer->is_free;
    client_result_deinit(&result);
    if (is_free) observer_free(observer);
}

static void look(void *context, uint64_t now_ns)
{
    struct kvd_observer *observer = context;
    ASSERT(observer->call == 0 && now_ns > 0);
    let_go(observer);
    struct kvd_request *request = kvd_leader(kvd_bytes_of(buf_slice(&observer->prefix).data, observer->prefix.size - 1));
    const struct rpc_client_request call = {.path = request->path,
                                            .body = buf_slice(&request->body),
                                            .policy = RPC_CLIENT_READ,
                                            .timeout_ns = observer->client->timeout_ns,
                                            .endpoint = RPC_CLIENT_ANY};
    observer->call = rpc_client_start(observer->client->rpc, &call, on_looked, observer);
    kvd_request_free(request);
}

/* --- the face ------------------------------------------------------------------------------------------------------------------- */

static void close_here(void *context)
{
    struct kvd_observer *observer = context;
    observer->is_free = true;
    let_go(observer);
    if (observer->call != 0) rpc_client_cancel(observer->client->rpc, observer->call);
    else if (!observer->is_telling) observer_free(observer);
}

static void begin(void *context) { look(context, clock_mono_ns()); }

enum kvd_code kvd_observer_open(struct kvd_client *client, struct kvd_bytes name, kvd_observer_fn *fn, void *context,
                                struct kvd_observer **out_observer)
{
    if (fn == NULL || out_observer == NULL) return KVD_INVALID;
    enum kvd_code code = client_open_place(client);
    if (code != KVD_OK) return code;
    struct kvd_observer *observer = ALLOC(struct kvd_observer);
    observer->client = client;
    observer->fn = fn;
    observer->context = context;
    buf_init(&observer->prefix);
    buf_put_slice(&observer->prefix, client_slice(name));
    buf_put_u8(&observer->prefix, '/');
    client_timer_init(&observer->again, look, observer);
    *out_observer = observer; /* a call-back may want it before this returns */
    client_run(client, begin, observer);
    return KVD_OK;
}

void kvd_observer_close(struct kvd_observer *observer)
{
    if (observer == NULL || client_check(observer->client) != KVD_OK) return;
    struct kvd_client *client = observer->client;
    client_run(client, close_here, observer);
    client_close_place(client);
}
