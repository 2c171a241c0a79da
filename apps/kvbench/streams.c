/* streams: see the header. */
#include "streams.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"

#define PATH_WATCH "/etcdserverpb.Watch/Watch"
#define PATH_KEEP_ALIVE "/etcdserverpb.Lease/LeaseKeepAlive"

struct stream {
    struct streams *streams;
    uint64_t call;             /* 0 = not begun */
    uint64_t first, wanted;    /* watchers */
    uint64_t asked, created;
    bool is_open;
    struct client *sent_first, **sent_last; /* renewals under way, in order; under the lock */
};
struct streams {
    struct load *load;
    struct worker *worker;
    bool is_watch;
    struct stream *list;
    size_t count, next;
    int64_t *leases;           /* as they were granted */
    uint64_t lease_count, next_lease;
};

static struct kvd_bytes bytes_of(const struct buf *buf) { return kvd_bytes_of(buf_slice(buf).data, buf->size); }

static uint64_t watchers_of(const struct settings *settings, uint64_t key)
{
    return settings->watchers / settings->watched_keys + (key < settings->watchers % settings->watched_keys);
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

struct streams *streams_new(struct load *load)
{
    const struct settings *settings = load->settings;
    struct streams *streams = ALLOC(struct streams);
    ASSERT(load->worker_count == 1);
    streams->load = load;
    streams->worker = &load->workers[0];
    streams->is_watch = settings->command != COMMAND_LEASE_KEEPALIVE;
    streams->count = settings->streams;
    streams->list = alloc_zero(streams->count, sizeof *streams->list);
    uint64_t first = 0;
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->list[i];
        stream->streams = streams;
        stream->sent_last = &stream->sent_first;
        stream->first = first;
        stream->wanted = settings->watchers / streams->count + (i < settings->watchers % streams->count);
        first += stream->wanted;
    }
    if (!streams->is_watch) streams->leases = alloc_zero(settings->leases, sizeof *streams->leases);
    return streams;
}

void streams_free(struct streams *streams)
{
    if (streams == NULL) return;
    alloc_free(streams->leases);
    alloc_free(streams->list);
    alloc_free(streams);
}

/* Nothing can go on without it: the run ends. */
static void on_over(void *context, const struct kvd_result *result)
{
    struct stream *stream = context;
    struct streams *streams = stream->streams;
    struct load *load = streams->load;
    if (atomic_load(&load->is_freeing)) return;
    pthread_mutex_lock(&streams->worker->tally.mutex);
    tally_failed(&streams->worker->tally, 0, 0, result->code, result->code == KVD_OK ? "the server ended a stream" : result->text, false);
    pthread_mutex_unlock(&streams->worker->tally.mutex);
    atomic_store(&load->is_stopping, true);
    atomic_store(&load->end_ns, 0);
    atomic_store(&load->is_broken, true);
    load->on_idle();
}

static void opened(struct stream *stream)
{
    if (stream->is_open) return;
    stream->is_open = true;
    load_leave(stream->streams->load);
}

/* --- watchers -------------------------------------------------------------------------------------------------------------- */

static void put_create(const struct stream *stream, uint64_t watcher, struct buf *out)
{
    const struct settings *settings = stream->streams->load->settings;
    char key[SETTINGS_KEY_BYTES_MAX];
    struct buf create;
    buf_init(&create);
    workload_key(&stream->streams->load->workload, watcher % settings->watched_keys, key);
    buf_put_pb_bytes(&create, 1, slice_make(key, settings->key_size));
    buf_put_pb_bytes(out, 1, buf_slice(&create));
    buf_deinit(&create);
}

static void create_more(struct stream *stream)
{
    struct buf request;
    buf_init(&request);
    while (stream->asked < stream->wanted && stream->asked < stream->created + STREAMS_AHEAD) {
        buf_clear(&request);
        put_create(stream, stream->first + stream->asked++, &request);
        (void)kvd_send(stream->streams->worker->kvd, stream->call, bytes_of(&request)); /* what fails ends the stream */
    }
    buf_deinit(&request);
}

/* The client whose put an event tells of; NULL: it waits for it no more. */
static struct client *putter(const struct streams *streams, struct slice event)
{
    struct reader reader = reader_make(event), pair, value;
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number != 2 || field.wire != PB_BYTES) continue;
        pair = reader_make(field.bytes);
        while (reader_pb_field(&pair, &field)) {
            if (field.number != 5 || field.wire != PB_BYTES) continue;
            value = reader_make(field.bytes);
            uint32_t number = reader_u32(&value), sequence = reader_u32(&value);
            if (value.bad || number >= streams->worker->client_count) return NULL;
            struct client *client = &streams->worker->clients[number];
            return client->sequence == sequence && client->left > 0 ? client : NULL;
        }
    }
    return NULL;
}

static void take_event(struct streams *streams, struct slice event, uint64_t now_ns)
{
    struct worker *worker = streams->worker;
    pthread_mutex_lock(&worker->tally.mutex);
    struct client *client = putter(streams, event);
    worker->tally.counts.bytes_read += event.size;
    if (client != NULL) {
        tally_done(&worker->tally, now_ns, client->start_ns, 1);
        client->left--;
    }
    bool is_over = client != NULL && client->left == 0 && client->is_acked;
    pthread_mutex_unlock(&worker->tally.mutex);
    if (is_over) load_client_next(client, now_ns);
}

static enum kvd_more on_watch_message(void *context, struct kvd_bytes body)
{
    struct stream *stream = context;
    struct reader reader = reader_make(slice_make(body.data, body.size));
    struct pb_field field;
    uint64_t now_ns = clock_mono_ns();
    bool is_canceled = false;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 3 && field.value != 0) stream->created++;
        if (field.number == 4 && field.value != 0) is_canceled = true;
        if (field.number == 11 && field.wire == PB_BYTES) take_event(stream->streams, field.bytes, now_ns);
    }
    if (is_canceled || reader.bad) return KVD_ENOUGH;
    if (stream->created == stream->wanted) opened(stream);
    else create_more(stream);
    return KVD_MORE;
}

static struct kvd_request *put_request(struct streams *streams, struct client *client)
{
    struct load *load = streams->load;
    struct rng *rng = &streams->worker->rng;
    char key[SETTINGS_KEY_BYTES_MAX];
    uint64_t number = rng_below(rng, load->settings->watched_keys);
    struct kvd_bytes rest = workload_value(&load->workload, rng);
    struct buf value;
    buf_init(&value);
    client->sequence++;
    client->is_acked = false;
    client->left = watchers_of(load->settings, number);
    buf_put_u32(&value, client->number);
    buf_put_u32(&value, client->sequence);
    buf_put(&value, rest.data, rest.size - STREAMS_VALUE_BYTES_MIN);
    workload_key(&load->workload, number, key);
    client->call.bytes_written = load->settings->key_size + value.size;
    struct kvd_request *request = kvd_put(kvd_bytes_of(key, load->settings->key_size), bytes_of(&value), NULL);
    buf_deinit(&value);
    return request;
}

/* --- renewals -------------------------------------------------------------------------------------------------------------- */

static void put_renewal(struct streams *streams, struct buf *out)
{
    int64_t lease = streams->leases[streams->next_lease++ % streams->lease_count];
    buf_put_pb_varint(out, 1, (uint64_t)lease);
}

static bool is_alive(struct kvd_bytes body)
{
    struct reader reader = reader_make(slice_make(body.data, body.size));
    struct pb_field field;
    bool has_ttl = false;
    while (reader_pb_field(&reader, &field))
        if (field.number == 3 && (int64_t)field.value > 0) has_ttl = true;
    return has_ttl;
}

static enum kvd_more on_renewal(void *context, struct kvd_bytes body)
{
    struct stream *stream = context;
    struct worker *worker = stream->streams->worker;
    uint64_t now_ns = clock_mono_ns();
    if (!stream->is_open) {
        opened(stream);
        return KVD_MORE;
    }
    pthread_mutex_lock(&worker->tally.mutex);
    struct client *client = stream->sent_first;
    if (client != NULL) {
        stream->sent_first = client->next_sent;
        if (stream->sent_first == NULL) stream->sent_last = &stream->sent_first;
        if (is_alive(body)) tally_done(&worker->tally, now_ns, client->start_ns, 1);
        else tally_failed(&worker->tally, now_ns, client->start_ns, KVD_NOT_FOUND, "there is no such lease any more", false);
    }
    pthread_mutex_unlock(&worker->tally.mutex);
    if (client == NULL) return KVD_ENOUGH; /* nobody asked */
    load_client_next(client, now_ns);
    return KVD_MORE;
}

/* Who sends first is answered first; that main and the library's thread may leave in the other order than they stand here swaps two
 * latencies that began at the same time. */
enum kvd_code streams_send(struct streams *streams, struct client *client)
{
    struct worker *worker = streams->worker;
    struct stream *stream = &streams->list[client->number % streams->count];
    struct buf body;
    buf_init(&body);
    pthread_mutex_lock(&worker->tally.mutex);
    put_renewal(streams, &body);
    client->next_sent = NULL;
    *stream->sent_last = client;
    stream->sent_last = &client->next_sent;
    enum kvd_code code = kvd_send(worker->kvd, stream->call, bytes_of(&body));
    ASSERT(code == KVD_OK || code == KVD_OVER);
    pthread_mutex_unlock(&worker->tally.mutex);
    buf_deinit(&body);
    return KVD_OK;
}

/* --- the face -------------------------------------------------------------------------------------------------------------- */

void streams_open(struct streams *streams)
{
    struct buf body;
    buf_init(&body);
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->list[i];
        const struct kvd_call_options options = {.timeout_ms = KVD_FOREVER, .connection = i + 1};
        buf_clear(&body);
        if (streams->is_watch) put_create(stream, stream->first, &body);
        else put_renewal(streams, &body);
        stream->asked = 1;
        atomic_fetch_add(&streams->load->in_flight, 1);
        struct kvd_request *request = kvd_raw_stream(streams->is_watch ? PATH_WATCH : PATH_KEEP_ALIVE, bytes_of(&body), true,
                                                     streams->is_watch ? on_watch_message : on_renewal, stream);
        enum kvd_code code = kvd_start(streams->worker->kvd, request, &options, on_over, stream, &stream->call);
        ASSERT(code == KVD_OK);
    }
    buf_deinit(&body);
}

struct kvd_request *streams_request(struct streams *streams, enum load_phase phase, struct client *client)
{
    if (phase == LOAD_GRANT) return kvd_grant((int64_t)streams->load->settings->ttl, 0);
    return streams->is_watch ? put_request(streams, client) : NULL;
}

bool streams_answered(struct streams *streams, struct client *client, const struct kvd_result *result)
{
    client->is_acked = true;
    if (streams->is_watch) return client->left == 0;
    if (streams->lease_count < streams->load->settings->leases) streams->leases[streams->lease_count++] = result->lease;
    tally_done(&streams->worker->tally, 0, 0, 1);
    return true;
}
