/* load: see the header. */
#include "load.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client/client_program.h"
#include "load_inner.h"
#include "streams.h"

#define PACE_MIN_NS (50 * NS_PER_US) /* what is due within it is started together */
#define DIAL_TIMEOUT_NS (5 * NS_PER_S) /* the library's own */
#define BUSY_WAIT_NS (200 * NS_PER_US) /* all clients are busy: when to look again whether one is free */

/* --- what is next ---------------------------------------------------------------------------------------------------------- */

static uint64_t due_ns(const struct load *load, uint64_t number)
{
    uint64_t rate = load->settings->rate;
    return load->start_ns + number / rate * NS_PER_S + number % rate * NS_PER_S / rate;
}

/* Whether an operation is due, and since when; it is the caller's then. */
static bool take_due(struct load *load, uint64_t now_ns, uint64_t *out_due_ns)
{
    uint64_t end_ns = atomic_load(&load->end_ns), number = atomic_load(&load->taken);
    do {
        *out_due_ns = due_ns(load, number);
        if (number >= load->total || *out_due_ns > now_ns || *out_due_ns >= end_ns) return false;
    } while (!atomic_compare_exchange_weak(&load->taken, &number, number + 1));
    return true;
}

/* Up to `most` of what is left of the total; the number of the first one. */
static uint64_t take(struct load *load, uint64_t most, uint64_t *out_first)
{
    *out_first = atomic_fetch_add_explicit(&load->taken, most, memory_order_relaxed);
    if (*out_first >= load->total) return 0;
    return load->total - *out_first < most ? load->total - *out_first : most;
}

/* The client takes its next operation, with the worker's lock held; false: there is none for it. */
static bool take_next(struct client *client, uint64_t now_ns)
{
    struct worker *worker = client->worker;
    struct load *load = worker->load;
    uint64_t first = 0, count = 0;
    client->start_ns = now_ns;
    if (load->is_open) {
        if (!take_due(load, now_ns, &client->start_ns)) return false;
    } else {
        if (atomic_load_explicit(&load->is_stopping, memory_order_relaxed)) return false;
        count = take(load, load->phase == LOAD_FILL ? load->settings->fill_batch : 1, &first);
        if (count == 0) return false;
    }
    client->call = (struct workload_call){.ops = 1};
    if (load->phase == LOAD_CONNECT) client->request = kvd_status();
    else if (load->phase == LOAD_FILL) client->request = workload_fill(&load->workload, &worker->rng, first, count, &client->call);
    else if (load->streams != NULL) client->request = streams_request(load->streams, load->phase, client);
    else client->request = workload_next(&load->workload, &worker->rng, &client->call);
    return true;
}

/* --- a call ---------------------------------------------------------------------------------------------------------------- */

void load_leave(struct load *load)
{
    if (atomic_fetch_sub(&load->in_flight, 1) != 1) return;
    if (!load->is_open || atomic_load(&load->is_stopping)) load->on_idle();
}

static void rest(struct client *client)
{
    client->next = client->worker->free;
    client->worker->free = client;
}

static void on_done(void *context, const struct kvd_result *result);

/* Begins what the client has taken. */
static void send(struct client *client)
{
    struct worker *worker = client->worker;
    const struct kvd_call_options options = {.timeout_ms = worker->load->settings->timeout_ns / NS_PER_MS,
                                             .connection = worker->load->phase == LOAD_CONNECT ? 0 : client->connection};
    enum kvd_code code = client->request == NULL ? streams_send(worker->load->streams, client)
                                                 : kvd_start(worker->kvd, client->request, &options, on_done, client, NULL);
    if (code == KVD_OK) return;
    pthread_mutex_lock(&worker->tally.mutex);
    tally_failed(&worker->tally, 0, 0, code, kvd_code_text(code), false);
    rest(client);
    pthread_mutex_unlock(&worker->tally.mutex);
    load_leave(worker->load);
}

void load_client_next(struct client *client, uint64_t now_ns)
{
    struct worker *worker = client->worker;
    pthread_mutex_lock(&worker->tally.mutex);
    bool has_next = take_next(client, now_ns);
    if (!has_next) rest(client);
    pthread_mutex_unlock(&worker->tally.mutex);
    if (has_next) send(client);
    else load_leave(worker->load);
}

/* What a call's end says, with the worker's lock held. True: the operation is over. */
static bool count_end(struct client *client, const struct kvd_result *result, uint64_t now_ns)
{
    struct worker *worker = client->worker;
    struct load *load = worker->load;
    if (result->attempts > 1) worker->tally.counts.retries += result->attempts - 1;
    if (load->phase == LOAD_CONNECT && result->code != KVD_UNAVAILABLE && result->code != KVD_DEADLINE_EXCEEDED) {
        tally_done(&worker->tally, now_ns, client->start_ns, 1); /* somebody has answered */
        return true;
    }
    if (result->code != KVD_OK) {
        tally_failed(&worker->tally, now_ns, client->start_ns, result->code, result->text, result->is_unknown);
        client->sequence++; /* events of it count no more */
        return true;
    }
    workload_answered(&load->workload, &client->call, result, &worker->tally.counts);
    if (client->call.owes_put) {
        client->request = workload_then(&load->workload, &worker->rng, &client->call);
        return false;
    }
    if (load->streams != NULL && load->phase >= LOAD_GRANT) return streams_answered(load->streams, client, result);
    tally_done(&worker->tally, now_ns, client->start_ns, client->call.ops);
    return true;
}

static void on_done(void *context, const struct kvd_result *result)
{
    struct client *client = context;
    struct worker *worker = client->worker;
    uint64_t now_ns = clock_mono_ns();
    client->request = NULL;
    pthread_mutex_lock(&worker->tally.mutex);
    bool is_over = count_end(client, result, now_ns), goes_on = is_over ? take_next(client, now_ns) : client->request != NULL;
    if (is_over && !goes_on) rest(client); /* from here on it may be another thread's */
    pthread_mutex_unlock(&worker->tally.mutex);
    if (goes_on) send(client);
    else if (is_over) load_leave(worker->load);
}

/* A free client of the worker takes the next operation; false: there is none, of either. */
static bool begin(struct worker *worker, uint64_t now_ns)
{
    pthread_mutex_lock(&worker->tally.mutex);
    struct client *client = worker->free;
    bool has_next = client != NULL && take_next(client, now_ns);
    if (has_next) worker->free = client->next;
    pthread_mutex_unlock(&worker->tally.mutex);
    if (!has_next) return false;
    atomic_fetch_add(&worker->load->in_flight, 1);
    send(client);
    return true;
}

/* --- the face -------------------------------------------------------------------------------------------------------------- */

void load_start(struct load *load, enum load_phase phase, uint64_t total, uint64_t now_ns, uint64_t end_ns)
{
    uint64_t all = 0;
    ASSERT(atomic_load(&load->in_flight) == 0);
    for (size_t i = 0; i < load->worker_count; i++) all += load->workers[i].conn_count;
    load->phase = phase;
    load->is_open = phase == LOAD_WORK && load->settings->rate > 0;
    load->total = phase == LOAD_CONNECT ? all : phase == LOAD_FILL ? load->settings->keys : total == 0 ? UINT64_MAX : total;
    if (phase == LOAD_GRANT) load->total = load->settings->leases;
    load->start_ns = now_ns;
    atomic_store(&load->taken, 0);
    atomic_store(&load->end_ns, end_ns);
    atomic_store(&load->is_stopping, false);
    if (load->is_open) return;
    atomic_store(&load->in_flight, 1); /* ours: it is not idle before all have begun */
    if (phase == LOAD_OPEN) {
        streams_open(load->streams);
        load_leave(load);
        return;
    }
    for (size_t i = 0; i < load->worker_count; i++) {
        struct worker *worker = &load->workers[i];
        for (uint64_t k = 0; k < worker->client_count && begin(worker, now_ns); k++) {}
    }
    load_leave(load);
}

uint64_t load_pace(struct load *load, uint64_t now_ns)
{
    size_t refused = 0;
    if (!load->is_open) return CLOCK_NEVER;
    while (refused < load->worker_count) {
        struct worker *worker = &load->workers[load->next_worker];
        load->next_worker = (load->next_worker + 1) % load->worker_count;
        refused = begin(worker, now_ns) ? 0 : refused + 1;
    }
    uint64_t number = atomic_load(&load->taken), next_ns = due_ns(load, number);
    if (number >= load->total || next_ns >= atomic_load(&load->end_ns)) {
        load_stop(load, now_ns);
        return CLOCK_NEVER;
    }
    if (next_ns <= now_ns) return now_ns + BUSY_WAIT_NS;
    return next_ns < now_ns + PACE_MIN_NS ? now_ns + PACE_MIN_NS : next_ns;
}

void load_stop(struct load *load, uint64_t now_ns)
{
    uint_fast64_t end_ns = atomic_load(&load->end_ns);
    while (now_ns < end_ns && !atomic_compare_exchange_weak(&load->end_ns, &end_ns, now_ns)) {}
    atomic_store(&load->is_stopping, true);
}

bool load_is_idle(struct load *load)
{
    uint64_t number = atomic_load(&load->taken);
    if (atomic_load(&load->is_broken)) return true;
    if (atomic_load(&load->in_flight) > 0) return false;
    return !load->is_open || number >= load->total || due_ns(load, number) >= atomic_load(&load->end_ns);
}

bool load_is_broken(struct load *load) { return atomic_load(&load->is_broken); }
bool load_can_start(struct load *load) { return atomic_load(&load->in_flight) == 0 && !atomic_load(&load->is_broken); }

void load_record(struct load *load, FILE *raw)
{
    for (size_t i = 0; i < load->worker_count; i++) {
        struct tally *tally = &load->workers[i].tally;
        pthread_mutex_lock(&tally->mutex);
        tally->raw = raw;
        pthread_mutex_unlock(&tally->mutex);
    }
}

void load_collect(struct load *load, struct tally *sum)
{
    for (size_t i = 0; i < load->worker_count; i++) {
        struct tally *tally = &load->workers[i].tally;
        pthread_mutex_lock(&tally->mutex);
        tally_merge(sum, tally);
        tally_clear(tally);
        pthread_mutex_unlock(&tally->mutex);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

/* The worker's part of so many, without a rest over all workers. */
static uint64_t part(uint64_t all, size_t workers, size_t worker) { return all / workers + (worker < all % workers); }

static bool worker_init(struct worker *worker, struct load *load, size_t number, char out_text[SETTINGS_TEXT_BYTES])
{
    const struct settings *settings = load->settings;
    worker->load = load;
    worker->client_count = part(settings->clients, load->worker_count, number);
    worker->conn_count = part(settings->conns, load->worker_count, number);
    if (worker->conn_count < settings->endpoint_count) worker->conn_count = settings->endpoint_count;
    tally_init(&worker->tally);
    rng_init(&worker->rng, settings->seed + number);
    worker->clients = alloc_zero(worker->client_count, sizeof *worker->clients);
    for (uint64_t i = worker->client_count; i > 0; i--) {
        worker->clients[i - 1].worker = worker;
        worker->clients[i - 1].number = (uint32_t)(i - 1);
        worker->clients[i - 1].connection = i; /* as many on each: one whose answers come together sends together */
        rest(&worker->clients[i - 1]);
    }
    const struct kvd_client_options options = {.endpoints = settings->endpoint_list,
                                               .endpoint_count = settings->endpoint_count,
                                               .connection_count = worker->conn_count,
                                               .ca_file = settings->ca_file,
                                               .certificate_file = settings->certificate_file,
                                               .key_file = settings->key_file,
                                               .skip_verify = settings->skip_verify,
                                               .dial_timeout_ms = settings->timeout_ns < DIAL_TIMEOUT_NS ? settings->timeout_ns / NS_PER_MS : 0,
                                               .calls_max = worker->client_count + settings->streams,
                                               .bytes_max = SIZE_MAX / 2};
    worker->kvd = client_program_new(&options, out_text, SETTINGS_TEXT_BYTES);
    return worker->kvd != NULL;
}

struct load *load_new(const struct settings *settings, void (*on_idle)(void), char out_text[SETTINGS_TEXT_BYTES])
{
    struct load *load = ALLOC(struct load);
    load->settings = settings;
    load->on_idle = on_idle;
    load->worker_count = settings->threads;
    load->workers = alloc_zero(load->worker_count, sizeof *load->workers);
    workload_init(&load->workload, settings);
    for (size_t i = 0; i < load->worker_count; i++) {
        if (worker_init(&load->workers[i], load, i, out_text)) continue;
        load_free(load);
        return NULL;
    }
    if (settings->streams > 0) load->streams = streams_new(load);
    return load;
}

void load_free(struct load *load)
{
    if (load == NULL) return;
    atomic_store(&load->is_freeing, true);
    atomic_store(&load->is_stopping, true);
    atomic_store(&load->end_ns, 0);
    for (size_t i = 0; i < load->worker_count; i++) {
        struct worker *worker = &load->workers[i];
        kvd_client_free(worker->kvd);
        if (worker->load != NULL) tally_deinit(&worker->tally);
        alloc_free(worker->clients);
    }
    streams_free(load->streams);
    workload_deinit(&load->workload);
    alloc_free(load->workers);
    alloc_free(load);
}
