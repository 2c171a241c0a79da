/* world_locks: see world_locks.h. */
#include "lib/sim_bytes.h"
#include "lib/world_inner.h"

void world_locks_deinit(struct world *world)
{
    for (size_t i = 0; i < world->locks.count; i++) blob_unref(world->locks.writes[i].command);
    alloc_free(world->locks.writes);
}

void world_locks_note(struct world_member *member, const struct command_id *id, struct blob *command)
{
    struct world_locks *locks = &member->world->locks;
    ASSERT(id->member == member->id);
    if (locks->count == locks->capacity) {
        locks->capacity = locks->capacity == 0 ? 64 : locks->capacity * 2;
        locks->writes = alloc_resize(locks->writes, locks->capacity * sizeof(*locks->writes));
    }
    locks->writes[locks->count++] = (struct world_lock_write){.member = member->number, .boot = id->boot, .counter = id->counter,
                                                              .command = blob_ref(command)};
}

const struct world_lock_write *world_lock_writes(const struct world *world, size_t *out_count)
{
    *out_count = world->locks.count;
    return world->locks.writes;
}

uint64_t world_lock_write_index(const struct world *world, size_t number)
{
    const struct world_lock_write *write = &world->locks.writes[number];
    ASSERT(number < world->locks.count);
    return world_watch_index_of(world, world->members[write->member].id, write->boot, write->counter);
}

static const struct mvcc_view *view_of(const struct world_member *member)
{
    ASSERT(member->is_up);
    return mvcc_view(state_machine_mvcc(member->line.apply.machine));
}

int64_t world_created(const struct world *world, uint32_t member, uint32_t key)
{
    struct mvcc_kv kv;
    struct buf text;
    buf_init(&text);
    sim_bytes_key(key, &text);
    bool is_there = mvcc_get(view_of(&world->members[member]), buf_slice(&text), 0, &kv);
    buf_deinit(&text);
    return is_there ? kv.create_revision : 0;
}

int64_t world_shown(const struct world *world, uint32_t member)
{
    const struct world_watch *watch = &world->watch;
    uint64_t published = world->members[member].watch.published_index;
    if (!world->members[member].is_up) return published < watch->fact_capacity ? watch->facts[published].revision : 0;
    const struct mvcc_view *view = view_of(&world->members[member]);
    ASSERT(view != NULL);
    return mvcc_view_revision(view);
}
