/* explore_disk: see explore_disk.h. */
#include "sim/explore_disk.h"

#include "base/assert.h"

/* ---- As bytes ------------------------------------------------------------------------------------------------------- */

static void put_hard(struct buf *out, const struct raft_hard_state *hard, const uint64_t *names)
{
    buf_put_varint(out, hard->term);
    buf_put_varint(out, hard->vote == RAFT_NONE ? 0 : names[hard->vote]);
    buf_put_varint(out, hard->commit);
}

void explore_disk_put(const struct explore_nodes *nodes, struct buf *out, uint32_t order, bool is_hash)
{
    const struct explore_disk *disk = &nodes->disk;
    const uint64_t *names = nodes->pool->names[order];
    put_hard(out, &disk->hard, names);
    buf_put_varint(out, disk->log);
    buf_put_varint(out, disk->base);
    buf_put_varint(out, disk->snapshot);
    buf_put_varint(out, disk->core_base);
    buf_put_varint(out, disk->append_count);
    for (uint32_t i = 0; i < disk->append_count; i++) {
        const struct explore_append *append = &disk->appends[i];
        put_hard(out, &append->hard, names);
        buf_put_varint(out, append->log);
        buf_put_varint(out, append->reset);
        buf_put_varint(out, append->after_count);
        for (uint32_t k = 0; k < append->after_count; k++) {
            uint32_t id = append->after[k];
            buf_put_u64(out, is_hash ? nodes->pool->msgs[id].hash[order] : id);
        }
    }
    if (!nodes->scope->disk_lies) return;
    put_hard(out, &disk->old_hard, names);
    buf_put_varint(out, disk->old_log);
}

static struct raft_hard_state read_hard(struct reader *in)
{
    struct raft_hard_state hard;
    hard.term = reader_varint(in);
    hard.vote = reader_varint(in);
    hard.commit = reader_varint(in);
    return hard;
}

void explore_disk_read(struct explore_nodes *nodes, struct reader *in)
{
    struct explore_disk *disk = &nodes->disk;
    disk->hard = read_hard(in);
    disk->log = (uint32_t)reader_varint(in);
    disk->base = (uint32_t)reader_varint(in);
    disk->snapshot = (uint32_t)reader_varint(in);
    disk->core_base = (uint32_t)reader_varint(in);
    disk->append_count = (uint32_t)reader_varint(in);
    for (uint32_t i = 0; i < disk->append_count; i++) {
        struct explore_append *append = &disk->appends[i];
        append->hard = read_hard(in);
        append->log = (uint32_t)reader_varint(in);
        append->reset = (uint32_t)reader_varint(in);
        append->after_count = (uint32_t)reader_varint(in);
        for (uint32_t k = 0; k < append->after_count; k++) append->after[k] = (uint32_t)reader_u64(in);
    }
    if (nodes->scope->disk_lies) {
        disk->old_hard = read_hard(in);
        disk->old_log = (uint32_t)reader_varint(in);
    }
}

/* ---- Starting ------------------------------------------------------------------------------------------------------- */

void explore_disk_conf(const struct explore_nodes *nodes, uint32_t log, struct raft_conf *out_conf)
{
    const struct explore_pool *pool = nodes->pool;
    while (log != 0 && pool->entries[log].entry.kind != RAFT_ENTRY_CONF) log = pool->entries[log].previous;
    if (log == 0) {
        raft_conf_copy(out_conf, &nodes->conf);
        return;
    }
    bool is_sound = raft_conf_decode(blob_slice(pool->entries[log].entry.data), out_conf);
    ASSERT(is_sound);
}

static bool holds(const struct explore_pool *pool, uint32_t log, uint32_t snapshot)
{
    uint64_t index = explore_pool_index(pool, snapshot);
    return explore_pool_index(pool, log) >= index && explore_pool_at(pool, log, index) == snapshot;
}

struct raft *explore_disk_start(struct explore_nodes *nodes, uint64_t id, struct explore_disk *disk)
{
    const struct explore_pool *pool = nodes->pool;
    if (!holds(pool, disk->log, disk->snapshot)) disk->log = disk->base = disk->snapshot;
    disk->core_base = disk->base;
    struct raft_entry entries[EXPLORE_LOG_MAX];
    size_t base = (size_t)explore_pool_index(pool, disk->base);
    struct raft_restore restore = {
        .hard = disk->hard,
        .snapshot_index = base,
        .snapshot_term = explore_pool_term(pool, disk->base),
        .applied_index = explore_pool_index(pool, disk->snapshot),
        .entries = entries + base,
        .entry_count = explore_pool_entries(pool, disk->log, entries) - base,
    };
    explore_disk_conf(nodes, disk->snapshot, &restore.conf);
    struct raft_options options = nodes->options;
    options.self = id;
    struct raft *raft = raft_new(&options, &restore, EXPLORE_NOW_NS);
    if (disk->snapshot != 0) raft_offer(raft, restore.applied_index, explore_pool_term(pool, disk->snapshot));
    raft_conf_deinit(&restore.conf);
    return raft;
}

/* ---- Snapshots ------------------------------------------------------------------------------------------------------ */

bool explore_disk_take(struct explore_nodes *nodes, uint32_t applied)
{
    struct raft_status status;
    raft_get_status(nodes->raft, &status);
    struct explore_disk *disk = &nodes->disk;
    uint64_t index = explore_pool_index(nodes->pool, applied);
    if (status.applied_index < index || index <= explore_pool_index(nodes->pool, disk->snapshot)) return false;
    raft_offer(nodes->raft, index, explore_pool_term(nodes->pool, applied));
    raft_compact(nodes->raft, index);
    disk->snapshot = disk->base = disk->core_base = applied;
    return true;
}

void explore_disk_install(struct explore_nodes *nodes, uint32_t snapshot)
{
    struct explore_disk *disk = &nodes->disk;
    uint64_t index = explore_pool_index(nodes->pool, snapshot), term = explore_pool_term(nodes->pool, snapshot);
    ASSERT(term <= disk->hard.term); /* what no member would be offered is not tried */
    if (index > explore_pool_index(nodes->pool, disk->snapshot)) disk->snapshot = snapshot;
    struct raft_conf conf;
    explore_disk_conf(nodes, snapshot, &conf);
    struct raft_input input = {.kind = RAFT_IN_INSTALL, .now_ns = nodes->now_ns, .index = index, .term = term, .conf = &conf};
    if (raft_step(nodes->raft, &input) == RAFT_OK) {
        nodes->installing = disk->core_base = snapshot;
    } else {
        struct raft_status status;
        raft_get_status(nodes->raft, &status);
        if (index <= status.commit_index) raft_offer(nodes->raft, index, term);
    }
    raft_conf_deinit(&conf);
}
