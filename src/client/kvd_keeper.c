/* kvd_keeper: a program's kept lease, round a client_keeper. */
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "client/client_stream.h"

struct kvd_keeper {
    struct kvd_client *client;
    struct client_keeper *keeper; /* the client's thread's */
    kvd_keeper_fn *fn;
    void *context;
    int64_t lease;
    uint64_t until_ns;
    atomic_int state;
};

static void on_news(void *context, const struct kvd_keeper_news *news)
{
    struct kvd_keeper *keeper = context;
    atomic_store(&keeper->state, (int)news->state);
    if (keeper->fn != NULL) keeper->fn(keeper->context, news); /* may close it */
}

static void begin(void *context)
{
    struct kvd_keeper *keeper = context;
    keeper->keeper = client_keeper_new(keeper->client, keeper->lease, keeper->until_ns, on_news, keeper);
}

enum kvd_code kvd_keeper_open(struct kvd_client *client, int64_t lease, int64_t ttl, kvd_keeper_fn *fn, void *context,
                              struct kvd_keeper **out_keeper)
{
    if (ttl <= 0 || out_keeper == NULL) return KVD_INVALID;
    enum kvd_code code = client_open_place(client);
    if (code != KVD_OK) return code;
    struct kvd_keeper *keeper = ALLOC(struct kvd_keeper);
    keeper->client = client;
    keeper->fn = fn;
    keeper->context = context;
    keeper->lease = lease;
    keeper->until_ns = client_deadline_ns((uint64_t)ttl > UINT64_MAX / 1000 ? KVD_FOREVER : (uint64_t)ttl * 1000);
    *out_keeper = keeper;
    client_run(client, begin, keeper);
    return KVD_OK;
}

enum kvd_keeper_state kvd_keeper_state_of(struct kvd_keeper *keeper) { return (enum kvd_keeper_state)atomic_load(&keeper->state); }

static void end(void *context) { client_keeper_free(((struct kvd_keeper *)context)->keeper); }

void kvd_keeper_close(struct kvd_keeper *keeper)
{
    if (keeper == NULL || client_check(keeper->client) != KVD_OK) return;
    client_run(keeper->client, end, keeper);
    client_close_place(keeper->client);
    alloc_free(keeper);
}
