/* rpc_fake: a scripted server on loopback: an rpc_server, with a thread that plays the net role. A door in front lets the test cut
 * connections as a crash would. A header, because it stands on rpc_rig. Thread: the test's. */
#ifndef TEST_LIB_RPC_FAKE_H
#define TEST_LIB_RPC_FAKE_H
#include <check.h>

#include "lib/rpc_rig.h"
#include "rpc/rpc_server.h"

#define FAKE_CALLS_MAX 4096
#define FAKE_STREAM "/etcdserverpb.Maintenance/Snapshot"
#define HOLD -1 /* in a script: no answer until released */
#define FAKE_SCRIPT_MAX 8
#define FAKE_SOCKETS_MAX 64

struct fake {
    struct rpc_server *server;
    struct call_port *port;
    struct rig_door door;
    pthread_t thread;
    atomic_bool stop, release;
    atomic_uint started, with_leader;
    atomic_int script[FAKE_SCRIPT_MAX];  /* an err or HOLD for each call in turn; the last one for all that follow */
    atomic_uint script_size, answer_bytes; /* 0: an echo */
    uint64_t held[FAKE_CALLS_MAX];
    unsigned held_count;
    atomic_uint stream_messages; /* of answer_bytes each, before a stream's answer */
    unsigned stream_sent;
    atomic_uint stream_lost;
    int sockets[FAKE_SOCKETS_MAX]; /* duplicates of what was accepted, to cut */
    atomic_uint socket_count;
};

static inline struct blob *fake_piece(uint32_t size, unsigned number)
{
    struct blob *piece = blob_new(size);
    for (uint32_t i = 0; i < size; i++) piece->data[i] = (uint8_t)(i * 31 + i / 4096 + number);
    return piece;
}

/* The next message of the stream, one at a time, or its end. */
static inline void fake_stream(struct fake *fake, uint64_t call)
{
    int answer = atomic_load(&fake->script[0]);
    if (fake->stream_sent < atomic_load(&fake->stream_messages)) {
        struct blob *piece = fake_piece(atomic_load(&fake->answer_bytes), fake->stream_sent++);
        fake->port->table->send(fake->port, call, slice_empty(), &piece, 1);
    } else if (answer != HOLD) {
        fake->port->table->finish(fake->port, call, (enum err)answer);
    }
}

static inline void fake_sent(struct fake *fake, const struct call_event *event)
{
    if (event->ok) {
        fake_stream(fake, event->call);
        return;
    }
    atomic_fetch_add(&fake->stream_lost, 1);
    fake->port->table->finish(fake->port, event->call, ERR_CANCELED);
}

static inline void fake_answer(struct fake *fake, const struct call_event *event)
{
    unsigned number = atomic_fetch_add(&fake->started, 1), last = atomic_load(&fake->script_size) - 1;
    int answer = atomic_load(&fake->script[number < last ? number : last]);
    if (event->require_leader) atomic_fetch_add(&fake->with_leader, 1);
    if (answer == HOLD) {
        fake->held[fake->held_count++] = event->call;
        return;
    }
    uint32_t size = atomic_load(&fake->answer_bytes);
    struct blob *piece = size == 0 ? NULL : fake_piece(size, 0);
    bool is_ok = answer == ERR_OK;
    struct slice head = is_ok && size == 0 ? event->body : slice_empty();
    fake->port->table->reply(fake->port, event->call, (enum err)answer, head, &piece, is_ok && size > 0 ? 1 : 0);
    if (!is_ok) blob_unref(piece); /* an OK gave it away */
}

static inline void *fake_run(void *context)
{
    struct fake *fake = context;
    const struct call_port_table *port = fake->port->table;
    struct call_event events[64];
    while (!atomic_load(&fake->stop)) {
        size_t count = port->take(fake->port, events, 64);
        for (size_t i = 0; i < count; i++) {
            if (events[i].kind == CALL_SENT) fake_sent(fake, &events[i]);
            if (events[i].kind != CALL_NEW) continue;
            if (strcmp(events[i].method->path, FAKE_STREAM) != 0) {
                fake_answer(fake, &events[i]);
                continue;
            }
            atomic_fetch_add(&fake->started, 1);
            fake->stream_sent = 0;
            fake_stream(fake, events[i].call);
        }
        for (unsigned i = 0; atomic_load(&fake->release) && i < fake->held_count; i++)
            port->reply(fake->port, fake->held[i], ERR_OK, slice_from_string("released"), NULL, 0);
        if (atomic_load(&fake->release)) fake->held_count = 0;
        port->flush(fake->port);
        if (count < 64) port->wait(fake->port, CLOCK_NEVER);
    }
    return NULL;
}

static inline void fake_adopt(void *context, int descriptor)
{
    struct fake *fake = context;
    unsigned place = atomic_load(&fake->socket_count);
    ASSERT(place < FAKE_SOCKETS_MAX);
    fake->sockets[place] = dup(descriptor);
    atomic_store(&fake->socket_count, place + 1);
    rpc_server_adopt(fake->server, descriptor);
}

/* Answers every call as `script` says; `port` 0 = one that is free. */
static inline struct fake *fake_start(uint16_t port, unsigned script_size, const int *script)
{
    struct fake *fake = ALLOC(struct fake);
    struct rpc_server_options options = {.max_request_bytes = 2u << 20, .max_concurrent_streams = UINT32_MAX, .calls_max = FAKE_CALLS_MAX,
                                         .keepalive_min_time_ns = 5 * NS_PER_S, .keepalive_interval_ns = 7200 * NS_PER_S,
                                         .keepalive_timeout_ns = 20 * NS_PER_S, .memory_bytes_max = 512u << 20};
    for (unsigned i = 0; i < script_size; i++) atomic_store(&fake->script[i], script[i]);
    atomic_store(&fake->script_size, script_size);
    fake->server = rpc_server_new(&options);
    fake->port = rpc_server_port(fake->server);
    rig_door_open(&fake->door, port, fake_adopt, fake);
    ck_assert_int_eq(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
    return fake;
}

static inline struct fake *fake_always(int answer) { return fake_start(0, 1, &answer); }

static inline void fake_ring(struct fake *fake) { fake->port->table->ring(fake->port); }

/* All connections end at once, as when the process dies. With `for_good` no new one is accepted. */
static inline void fake_cut(struct fake *fake, bool for_good)
{
    atomic_store(&fake->door.refuse, for_good);
    for (unsigned i = 0; i < atomic_load(&fake->socket_count); i++) shutdown(fake->sockets[i], SHUT_RDWR);
}

static inline void fake_stop(struct fake *fake)
{
    rig_door_close(&fake->door);
    atomic_store(&fake->stop, true);
    fake_ring(fake);
    pthread_join(fake->thread, NULL);
    rpc_server_free(fake->server);
    for (unsigned i = 0; i < atomic_load(&fake->socket_count); i++) close(fake->sockets[i]);
    alloc_free(fake);
}

/* A port on which nobody listens. */
static inline uint16_t fake_free_port(void)
{
    uint16_t port = 0;
    close(rig_listen(0, &port));
    return port;
}

#endif
