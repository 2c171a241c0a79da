/* load: see the header. */
#include "load.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client/client_program.h"
#include "workload.h"

#define PACE_MIN_NS (50 * NS_PER_US) /* what is due within it is started together */
#define BUSY_WAIT_NS (200 * NS_PER_US) /* all clients are busy: when to look again whether one is free */

struct worker;
struct client {
    struct worker *worker;
    struct client *next; /* of those that are free */
    struct workload_call call;
    uint64_t start_ns;   /* in an open loop: when it was due */
    size_t connection;
};
struct worker {
    struct load *load;
    struct kvd_client *kvd;
    struct tally tally; /* its mutex is of all that follows */
    struct rng rng;
    struct client *clients, *free;
    uint64_t client_count, conn_count;
};
struct load {
    const struct settings *settings;
    void (*on_idle)(void);
    struct workload workload;
    struct worker *workers;
    size_t worker_count, next_worker;
    enum load_phase phase;
    bool is_open;                /* an open loop */
    atomic_bool is_stopping;
    atomic_uint_fast64_t taken;  /* operations that were begun (of LOAD_FILL: keys) */
    atomic_uint_fast64_t end_ns; /* open loop: what is due later is not begun */
    uint64_t total;              /* UINT64_MAX = no end */
    uint64_t start_ns;
    atomic_uint_fast64_t in_flight;
};

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

/* The client's next request, with the worker's lock held; NULL: it has nothing to do. */
static struct kvd_request *next_request(struct client *client, uint64_t now_ns)
{
    struct worker *worker = client->worker;
    struct load *load = worker->load;
    uint64_t first, count;
    client->start_ns = now_ns;
    if (load->is_open) {
        if (!take_due(load, now_ns, &client->start_ns)) return NULL;
        return workload_next(&load->workload, &worker->rng, &client->call);
    }
    if (atomic_load_explicit(&load->is_stopping, memory_order_relaxed)) return NULL;
    count = take(load, load->phase == LOAD_FILL ? load->settings->batch : 1, &first);
    if (count == 0) return NULL;
    switch (load->phase) {
    case LOAD_CONNECT: client->call = (struct workload_call){.ops = 1}; return kvd_status();
    case LOAD_FILL: return workload_fill(&load->workload, &worker->rng, first, count, &client->call);
    case LOAD_WORK: break;
    }
    return workload_next(&load->workload, &worker->rng, &client->call);
}

/* --- a call ---------------------------------------------------------------------------------------------------------------- */

static void leave(struct load *load)
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

static void send(struct client *client, struct kvd_request *request)
{
    struct worker *worker = client->worker;
    const struct kvd_call_options options = {
        .timeout_ms = worker->load->settings->timeout_ns / NS_PER_MS,
        .connection = worker->load->phase == LOAD_CONNECT ? 0 : client->connection};
    enum kvd_code code = kvd_start(worker->kvd, request, &options, on_done, client, NULL);
    if (code == KVD_OK) return;
    pthread_mutex_lock(&worker->tally.mutex);
    tally_failed(&worker->tally, 0, code, kvd_code_text(code), false);
    rest(client);
    pthread_mutex_unlock(&worker->tally.mutex);
    leave(worker->load);
}

static void on_done(void *context, const struct kvd_result *result)
{
    struct client *client = context;
    struct worker *worker = client->worker;
    struct load *load = worker->load;
    struct kvd_request *request;
    uint64_t now_ns = clock_mono_ns(), took_ns = now_ns - client->start_ns;
    pthread_mutex_lock(&worker->tally.mutex);
    if (result->attempts > 1) worker->tally.counts.retries += result->attempts - 1;
    if (result->code == KVD_OK) workload_answered(&load->workload, &client->call, result, &worker->tally.counts);
    if (result->code == KVD_OK && client->call.owes_put) {
        request = workload_then(&load->workload, &worker->rng, &client->call);
    } else {
        if (result->code == KVD_OK) tally_done(&worker->tally, took_ns, client->call.ops);
        else tally_failed(&worker->tally, took_ns, result->code, result->text, result->is_unknown);
        request = next_request(client, now_ns);
    }
    if (request == NULL) rest(client);
    pthread_mutex_unlock(&worker->tally.mutex);
    if (request == NULL) leave(load);
    else send(client, request);
}

/* A free client of the worker takes the next operation; false: there is none, of either. */
static bool begin(struct worker *worker, uint64_t now_ns)
{
    struct kvd_request *request = NULL;
    pthread_mutex_lock(&worker->tally.mutex);
    struct client *client = worker->free;
    if (client != NULL) request = next_request(client, now_ns);
    if (request != NULL) worker->free = client->next;
    pthread_mutex_unlock(&worker->tally.mutex);
    if (request == NULL) return false;
    atomic_fetch_add(&worker->load->in_flight, 1);
    send(client, request);
    return true;
}

/* --- the face -------------------------------------------------------------------------------------------------------------- */

void load_start(struct load *load, enum load_phase phase, uint64_t total, uint64_t now_ns)
{
    uint64_t all = 0;
    ASSERT(atomic_load(&load->in_flight) == 0);
    for (size_t i = 0; i < load->worker_count; i++) all += load->workers[i].conn_count;
    load->phase = phase;
    load->is_open = phase == LOAD_WORK && load->settings->rate > 0;
    load->total = phase == LOAD_CONNECT ? all : phase == LOAD_FILL ? load->settings->keys : total == 0 ? UINT64_MAX : total;
    load->start_ns = now_ns;
    atomic_store(&load->taken, 0);
    atomic_store(&load->end_ns, CLOCK_NEVER);
    atomic_store(&load->is_stopping, false);
    if (load->is_open) return;
    atomic_store(&load->in_flight, 1); /* ours: it is not idle before all have begun */
    for (size_t i = 0; i < load->worker_count; i++) {
        struct worker *worker = &load->workers[i];
        for (uint64_t k = 0; k < worker->client_count && begin(worker, now_ns); k++) {}
    }
    leave(load);
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
    uint_fast64_t never = CLOCK_NEVER;
    atomic_compare_exchange_strong(&load->end_ns, &never, now_ns);
    atomic_store(&load->is_stopping, true);
}

bool load_is_idle(struct load *load)
{
    uint64_t number = atomic_load(&load->taken);
    if (atomic_load(&load->in_flight) > 0) return false;
    return !load->is_open || number >= load->total || due_ns(load, number) >= atomic_load(&load->end_ns);
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
                                               .calls_max = worker->client_count,
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
    return load;
}

void load_free(struct load *load)
{
    if (load == NULL) return;
    atomic_store(&load->is_stopping, true);
    atomic_store(&load->end_ns, 0);
    for (size_t i = 0; i < load->worker_count; i++) {
        struct worker *worker = &load->workers[i];
        kvd_client_free(worker->kvd);
        if (worker->load != NULL) tally_deinit(&worker->tally);
        alloc_free(worker->clients);
    }
    workload_deinit(&load->workload);
    alloc_free(load->workers);
    alloc_free(load);
}
