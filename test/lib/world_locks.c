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

int64_t world_shown(const struct world *world)
{
    const struct world_watch *watch = &world->watch;
    int64_t newest = 0;
    for (uint64_t index = watch->commit_index; index > 0 && newest == 0; index--)
        if (index < watch->fact_capacity) newest = watch->facts[index].revision;
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct mvcc_view *view = world->members[i].is_up ? view_of(&world->members[i]) : NULL;
        if (view != NULL && mvcc_view_revision(view) > newest) newest = mvcc_view_revision(view);
    }
    return newest;
}
