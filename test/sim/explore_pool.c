/* explore_pool: see explore_pool.h. */
#include "sim/explore_pool.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

uint64_t explore_hash(struct slice bytes)
{
    uint64_t hash = bytes.size * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = 0;
    for (; at + 8 <= bytes.size; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + at, sizeof word);
        hash = explore_mix(hash ^ word);
    }
    uint64_t rest = 0;
    if (at < bytes.size) memcpy(&rest, bytes.data + at, bytes.size - at);
    return explore_mix(hash ^ rest ^ UINT64_C(0xa0761d6478bd642f));
}

void *explore_room(void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity) return items;
    *capacity = *capacity == 0 ? 256 : *capacity * 2;
    return alloc_resize(items, *capacity * item_size);
}

void explore_pool_init(struct explore_pool *pool, uint32_t node_count, bool is_symmetric)
{
    static const uint8_t ORDERS[EXPLORE_ORDERS_MAX][EXPLORE_NODES_MAX] = {{1, 2, 3}, {2, 1, 3}, {1, 3, 2},
                                                                         {3, 2, 1}, {2, 3, 1}, {3, 1, 2}};
    static const uint8_t COUNTS[EXPLORE_NODES_MAX + 1] = {1, 1, 2, 6};
    ASSERT(node_count >= 1 && node_count <= EXPLORE_NODES_MAX);
    *pool = (struct explore_pool){.order_count = is_symmetric ? COUNTS[node_count] : 1};
    for (uint32_t order = 0; order < pool->order_count; order++) {
        for (uint32_t i = 0; i < EXPLORE_NODES_MAX; i++) pool->names[order][i + 1] = ORDERS[order][i];
    }
    map_init(&pool->msg_ids);
    map_init(&pool->entry_ids);
    pool->entries = explore_room(NULL, 0, &pool->entry_capacity, sizeof(*pool->entries));
    pool->entries[0] = (struct explore_entry){.previous = 0};
    pool->entry_count = 1;
}

void explore_pool_deinit(struct explore_pool *pool)
{
    for (size_t i = 0; i < pool->entry_count; i++) blob_unref(pool->entries[i].entry.data);
    alloc_free(pool->entries);
    alloc_free(pool->msgs);
    map_deinit(&pool->msg_ids);
    map_deinit(&pool->entry_ids);
    *pool = (struct explore_pool){.order_count = 0};
}

static uint64_t msg_hash(const struct raft_msg *msg, uint32_t last_entry, const uint64_t *names)
{
    const uint64_t fields[] = {
        msg->kind,       (uint64_t)msg->reject | (uint64_t)msg->transfer << 1, names[msg->from], names[msg->to], msg->term, msg->index,
        msg->log_term,   msg->commit,     msg->hint_index, msg->hint_term, msg->round, last_entry,
    };
    return explore_hash(slice_make((const uint8_t *)fields, sizeof fields));
}

uint32_t explore_pool_msg_id(struct explore_pool *pool, const struct raft_msg *msg)
{
    ASSERT(msg->entry_count <= EXPLORE_BATCH_MAX);
    uint32_t last_entry = 0;
    for (size_t i = 0; i < msg->entry_count; i++) last_entry = explore_pool_chain(pool, last_entry, &msg->entries[i]);
    uint64_t key = msg_hash(msg, last_entry, pool->names[0]);
    void *known = map_get(&pool->msg_ids, key);
    if (known != NULL) return (uint32_t)((uintptr_t)known - 1);
    pool->msgs = explore_room(pool->msgs, pool->msg_count, &pool->msg_capacity, sizeof(*pool->msgs));
    struct explore_msg *made = &pool->msgs[pool->msg_count];
    *made = (struct explore_msg){.msg = *msg, .last_entry = last_entry};
    for (uint32_t i = 0; i < pool->order_count; i++) made->hash[i] = msg_hash(msg, last_entry, pool->names[i]);
    bool is_new = map_put(&pool->msg_ids, key, (void *)(uintptr_t)(pool->msg_count + 1));
    ASSERT(is_new);
    return (uint32_t)pool->msg_count++;
}

struct raft_msg explore_pool_msg(struct explore_pool *pool, uint32_t id)
{
    ASSERT(id < pool->msg_count);
    struct raft_msg msg = pool->msgs[id].msg;
    uint32_t at = pool->msgs[id].last_entry;
    for (size_t i = msg.entry_count; i > 0; i--) {
        pool->lent[i - 1] = pool->entries[at].entry;
        at = pool->entries[at].previous;
    }
    ASSERT(at == 0);
    msg.entries = msg.entry_count == 0 ? NULL : pool->lent;
    return msg;
}

uint32_t explore_pool_chain(struct explore_pool *pool, uint32_t previous, const struct raft_entry *entry)
{
    const uint64_t fields[] = {previous, entry->index, entry->term, entry->kind, explore_hash(blob_slice(entry->data))};
    uint64_t key = explore_hash(slice_make((const uint8_t *)fields, sizeof fields));
    void *known = map_get(&pool->entry_ids, key);
    if (known != NULL) return (uint32_t)(uintptr_t)known;
    pool->entries = explore_room(pool->entries, pool->entry_count, &pool->entry_capacity, sizeof(*pool->entries));
    struct explore_entry *made = &pool->entries[pool->entry_count];
    *made = (struct explore_entry){.previous = previous, .entry = *entry};
    if (entry->data != NULL) blob_ref(entry->data);
    bool is_new = map_put(&pool->entry_ids, key, (void *)(uintptr_t)pool->entry_count);
    ASSERT(is_new);
    return (uint32_t)pool->entry_count++;
}

uint32_t explore_pool_at(const struct explore_pool *pool, uint32_t log, uint64_t index)
{
    while (explore_pool_index(pool, log) > index) log = pool->entries[log].previous;
    ASSERT(explore_pool_index(pool, log) == index);
    return log;
}

size_t explore_pool_entries(const struct explore_pool *pool, uint32_t log, struct raft_entry *out_entries)
{
    size_t count = (size_t)explore_pool_index(pool, log);
    for (size_t i = count; i > 0; i--) {
        out_entries[i - 1] = pool->entries[log].entry;
        log = pool->entries[log].previous;
    }
    ASSERT(log == 0);
    return count;
}
