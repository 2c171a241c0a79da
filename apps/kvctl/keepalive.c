/* keepalive: see the header. What came on the library's thread and main has not taken: the last renewal, and the end. */
#include "keepalive.h"

#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

struct keepalive {
    struct live *live;
    keepalive_fn *fn;
    void *context;
    struct kvd_keeper *keeper;
    struct calls_item item;
    bool has_enough;
    enum keepalive_state state;
    pthread_mutex_t mutex;      /* of what follows */
    struct buf renewal;         /* a LeaseKeepAliveResponse; empty = none is new */
    enum keepalive_state end;   /* RUNS = it has not ended */
    struct calls_answer refusal; /* once it has ended */
};

static void keep_refusal(struct keepalive *keepalive, const struct kvd_keeper_news *news)
{
    /* Without a word of anybody's there is no refusal. */
    if (news->state == KVD_KEEPER_GONE || news->code == KVD_DEADLINE_EXCEEDED) return;
    keepalive->refusal.code = (unsigned)news->code <= ERR_CODE_UNAUTHENTICATED ? (enum err_code)news->code : ERR_CODE_UNKNOWN;
    keepalive->refusal.text = alloc_string(news->text);
    keepalive->refusal.is_unreachable = news->is_unreachable;
    keepalive->refusal.took_ns = clock_mono_ns() - keepalive->refusal.start_ns;
}

static void on_news(void *context, const struct kvd_keeper_news *news)
{
    static const enum keepalive_state states[] = {[KVD_KEEPER_RUNS] = KEEPALIVE_RUNS,
                                                  [KVD_KEEPER_GONE] = KEEPALIVE_GONE,
                                                  [KVD_KEEPER_EXPIRED] = KEEPALIVE_EXPIRED,
                                                  [KVD_KEEPER_REFUSED] = KEEPALIVE_REFUSED};
    struct keepalive *keepalive = context;
    pthread_mutex_lock(&keepalive->mutex);
    if (news->state == KVD_KEEPER_RUNS) {
        buf_clear(&keepalive->renewal);
        buf_put(&keepalive->renewal, news->body.data, news->body.size);
    } else {
        keepalive->end = states[news->state];
        keep_refusal(keepalive, news);
    }
    pthread_mutex_unlock(&keepalive->mutex);
    calls_post(keepalive->live->ctl->client, &keepalive->item);
}

static void take(struct calls_item *item)
{
    struct keepalive *keepalive = LIST_ENTRY(item, struct keepalive, item);
    ProtobufCMessage *renewal = NULL;
    pthread_mutex_lock(&keepalive->mutex);
    if (keepalive->renewal.size > 0) renewal = ctl_unpack(&etcdserverpb__lease_keep_alive_response__descriptor, buf_slice(&keepalive->renewal));
    buf_clear(&keepalive->renewal);
    enum keepalive_state end = keepalive->end;
    pthread_mutex_unlock(&keepalive->mutex);
    if (renewal != NULL && keepalive->fn != NULL && !keepalive->has_enough)
        keepalive->has_enough = !keepalive->fn(keepalive->context, (const Etcdserverpb__LeaseKeepAliveResponse *)renewal);
    if (renewal != NULL) protobuf_c_message_free_unpacked(renewal, NULL);
    if (!keepalive->has_enough) keepalive->state = end;
}

struct keepalive *keepalive_new(struct live *live, int64_t id, uint64_t until_ns, keepalive_fn *fn, void *context)
{
    struct keepalive *keepalive = ALLOC(struct keepalive);
    uint64_t now_ns = clock_mono_ns();
    int64_t ttl = until_ns <= now_ns ? 1 : (int64_t)((until_ns - now_ns + NS_PER_S - 1) / NS_PER_S);
    keepalive->live = live;
    keepalive->fn = fn;
    keepalive->context = context;
    keepalive->refusal.start_ns = now_ns;
    pthread_mutex_init(&keepalive->mutex, NULL);
    buf_init(&keepalive->renewal);
    buf_init(&keepalive->refusal.body);
    calls_item_init(&keepalive->item, take);
    enum kvd_code code = kvd_keeper_open(calls_client(live->ctl->client), id, ttl, on_news, keepalive, &keepalive->keeper);
    ASSERT(code == KVD_OK);
    return keepalive;
}

void keepalive_free(struct keepalive *keepalive)
{
    if (keepalive == NULL) return;
    kvd_keeper_close(keepalive->keeper);
    calls_drop(keepalive->live->ctl->client, &keepalive->item);
    buf_deinit(&keepalive->renewal);
    calls_answer_deinit(&keepalive->refusal);
    pthread_mutex_destroy(&keepalive->mutex);
    alloc_free(keepalive);
}

enum keepalive_state keepalive_state(const struct keepalive *keepalive) { return keepalive->state; }

const struct calls_answer *keepalive_refusal(const struct keepalive *keepalive) { return &keepalive->refusal; }
