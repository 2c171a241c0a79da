/* explore_pool: everything that many states share is kept once and called by a number: messages, and logs as chains of entries.
 *
 * A log is named by its last entry: entry → the one before it. So two logs agree up to an index exactly if the numbers at that
 * index are equal, and log matching is a comparison of integers.
 *
 * Everything has a hash per order: an order is a renaming of the nodes, and the hash is that of the thing renamed.
 *
 * Owner: embedded. Thread: one. Limits: EXPLORE_BATCH_MAX entries in a message, EXPLORE_LOG_MAX in a log.
 */
#ifndef SIM_EXPLORE_POOL_H
#define SIM_EXPLORE_POOL_H
#include "base/map.h"
#include "raft/raft.h"

enum {
    EXPLORE_NODES_MAX = 3,
    EXPLORE_ORDERS_MAX = 6, /* 3! */
    EXPLORE_LOG_MAX = 14,
    EXPLORE_BATCH_MAX = EXPLORE_LOG_MAX,
};
#define EXPLORE_NOTHING UINT32_MAX

struct explore_msg {
    uint64_t hash[EXPLORE_ORDERS_MAX];
    struct raft_msg msg; /* entries point into `entries` only while lent: explore_pool_msg */
    uint32_t last_entry; /* names the chain of its entries; 0 = none. The chain begins behind nothing */
};

struct explore_entry {
    uint32_t previous; /* 0 = the first of its log */
    struct raft_entry entry;
};

struct explore_pool {
    uint32_t order_count;
    uint64_t names[EXPLORE_ORDERS_MAX][EXPLORE_NODES_MAX + 1]; /* the first order leaves all as it is */
    struct map msg_ids;
    struct explore_msg *msgs;
    size_t msg_count;
    size_t msg_capacity;
    struct map entry_ids;
    struct explore_entry *entries; /* [0] is the place before a log */
    size_t entry_count;
    size_t entry_capacity;
    struct raft_entry lent[EXPLORE_BATCH_MAX];
};

static inline uint64_t explore_mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    return value ^ value >> 32;
}
uint64_t explore_hash(struct slice bytes);
/* items with room for one more of the size; *capacity is theirs. */
void *explore_room(void *items, size_t count, size_t *capacity, size_t item_size);

void explore_pool_init(struct explore_pool *pool, uint32_t node_count, bool is_symmetric);
void explore_pool_deinit(struct explore_pool *pool);

uint32_t explore_pool_msg_id(struct explore_pool *pool, const struct raft_msg *msg);
/* The message, whole; borrowed until the next call. */
struct raft_msg explore_pool_msg(struct explore_pool *pool, uint32_t id);

/* The log that has `entry` behind `previous`. */
uint32_t explore_pool_chain(struct explore_pool *pool, uint32_t previous, const struct raft_entry *entry);
/* Where the log is at the index, which is not behind its end. */
uint32_t explore_pool_at(const struct explore_pool *pool, uint32_t log, uint64_t index);
static inline uint64_t explore_pool_index(const struct explore_pool *pool, uint32_t log) { return pool->entries[log].entry.index; }
static inline uint64_t explore_pool_term(const struct explore_pool *pool, uint32_t log) { return pool->entries[log].entry.term; }
/* The entries of a log in order (borrowed blobs); returns how many. */
size_t explore_pool_entries(const struct explore_pool *pool, uint32_t log, struct raft_entry *out_entries);

#endif
