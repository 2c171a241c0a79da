/* sim_clients: clients of a world: each has one call outstanding, chosen by a seeded generator; what they asked and got is a kv_history.
 *
 * Values are tokens in 16 hexadecimal digits and a padding whose size stands in the token; keys are "k00" … "k63".
 * Owner: sim_clients_init/deinit. Thread: one. */
#ifndef TEST_LIB_SIM_CLIENTS_H
#define TEST_LIB_SIM_CLIENTS_H
#include "lib/kv_history.h"
#include "lib/sim_hashes.h"
#include "lib/sim_leases.h"
#include "lib/sim_locks.h"
#include "lib/tape.h"
#include "lib/world.h"

#define SIM_CLIENTS_MAX 16
#define SIM_CLIENTS_NO_CALL (UINT64_C(1) << 63) /* beside a number of its own: an operation that nobody asked for */

struct sim_clients_options {
    uint64_t seed;
    uint32_t clients;
    uint32_t members;
    uint32_t keys;             /* ≤ KV_HISTORY_KEYS */
    uint32_t padding_max;      /* bytes of a value beyond its token */
    uint64_t think_ns;         /* between two calls, at most */
    uint64_t patience_ns;      /* a client gives up: outcome unknown */
    uint64_t ops_max;          /* of the whole run */
    uint32_t compact_permille; /* of all operations */
    const char *history_path;  /* what clients asked and got is written there as JSON lines, before it is checked; NULL = nowhere */
    bool sticks;               /* a client stays with its member while that is ready */
    uint32_t history_percent;  /* of the operations: asked about the past, and in every shape (sim_clients_state.c) */
    uint32_t slow_percent;     /* of the streams: their client reads slowly */
    uint64_t slow_ns;          /* between two messages of such a stream, at most */
    uint32_t lease_percent;    /* of the operations (sim_leases.h) */
    uint32_t lease_ids;        /* that clients choose from */
    uint32_t ttl_percent;      /* of their writes with leases: they make leases of their own */
    uint32_t lock_clients;     /* (sim_locks.h) */
    uint64_t lock_think_ns;    /* between two things that one of them does, at most */
    uint32_t hunt_percent;     /* of the grants (sim_leases.h) */
    bool deletes;              /* where a write is asked for that must go through: a quota refuses puts */
};
struct sim_client {
    bool is_waiting;
    uint64_t call;
    size_t op;
    uint32_t member;
    uint64_t next_ns, asked_ns;
    bool is_slow;              /* it takes the next message of its stream at `piece_ns` */
    uint64_t piece_ns;
    bool has_page;             /* what it asks next */
    struct kv_op page;
};
struct sim_clients_counts {
    uint64_t old_reads, compacted_reads, shaped_reads, pages, slow_streams;
};
struct sim_clients {
    struct sim_clients_options options;
    struct world *world;
    struct tape tape;
    struct kv_history history;
    uint64_t *calls;           /* of each operation */
    size_t call_capacity;
    struct sim_client clients[SIM_CLIENTS_MAX];
    uint64_t tokens;
    int64_t revision;          /* the newest that anybody saw */
    int64_t compacted;
    uint64_t done, unknown;    /* operations */
    const struct sim_hashes *hashes; /* to be checked with the history; borrowed; NULL = none */
    struct tape past_tape;     /* of sim_clients_state.c */
    struct sim_clients_counts counts;
    struct sim_leases leases;
    struct sim_leases_counts lease_counts;
    struct sim_locks locks;
    struct sim_locks_counts lock_counts;
};
void sim_clients_init(struct sim_clients *clients, struct world *world, const struct sim_clients_options *options);
void sim_clients_deinit(struct sim_clients *clients);
/* Takes answers; asks again where a client is free, unless `is_over`. */
void sim_clients_step(struct sim_clients *clients, bool is_over);
/* When the next of those who are free will ask; UINT64_MAX = nobody is. */
uint64_t sim_clients_next_ns(const struct sim_clients *clients);
/* Into the history; `call`: of the world, or SIM_CLIENTS_NO_CALL and a number. */
struct kv_op *sim_clients_add(struct sim_clients *clients, const struct kv_op *op, uint64_t call);
/* Everything at a member, now; when the world is quiet. */
void sim_clients_read_all(struct sim_clients *clients, uint32_t member, bool serializable);
/* An operation at a member, now, and its answer; false: it was not answered in time. */
bool sim_clients_do(struct sim_clients *clients, uint32_t member, const struct kv_op *op);
/* A write at each member of `set`, as long as clients are free: at how many; and whether one from operation `first` on is acknowledged. */
uint32_t sim_clients_write(struct sim_clients *clients, uint32_t set);
bool sim_clients_has_written(const struct sim_clients *clients, size_t first);
bool sim_clients_wait(const struct sim_clients *clients); /* somebody waits for an answer */
/* Gives the writes their places in the committed log and checks; prints what is wrong and aborts. */
void sim_clients_check(struct sim_clients *clients);

/* sim_clients_state.c */
void sim_clients_vary(struct sim_clients *clients, struct kv_op *op); /* one that was drawn */
void sim_clients_plan_page(struct sim_clients *clients, struct sim_client *client, const struct kv_op *op); /* behind one that is done */
void sim_clients_begin_slowly(struct sim_clients *clients, struct sim_client *client, const struct kv_op *op); /* one that was asked */
void sim_clients_read_on(struct sim_clients *clients, struct sim_client *client, bool is_last);

#endif
