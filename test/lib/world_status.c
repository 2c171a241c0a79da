/* world_status: what is seen of a world from outside. See world.h. */
#include <stdio.h>

#include "lib/world_inner.h"

uint64_t world_member_id(const struct world *world, uint32_t number) { return world->members[number].id; }
bool world_is_up(const struct world *world, uint32_t number) { return world->members[number].is_up; }
bool world_is_paused(const struct world *world, uint32_t number) { return world->members[number].pause_until_ns > world->now_ns; }
bool world_listens(const struct world *world, uint32_t number)
{
    return world->members[number].is_up && world->members[number].line.net.calls != NULL;
}
bool world_is_ready(const struct world *world, uint32_t number) { return world->members[number].is_up && world->members[number].is_ready; }
bool world_is_cut(const struct world *world, uint32_t from, uint32_t to) { return world->cut[from][to]; }

void world_cut(struct world *world, uint32_t from, uint32_t to, bool is_cut) { world->cut[from][to] = is_cut && from != to; }
uint64_t world_now_ns(const struct world *world) { return world->now_ns; }
uint64_t world_steps(const struct world *world) { return world->steps; }
uint64_t world_trace_hash(const struct world *world) { return world->trace_hash; }
uint64_t world_commit_index(const struct world *world) { return world->watch.commit_index; }
uint64_t world_last_index(const struct world *world)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < world->options.members; i++) {
        uint64_t own = world->members[i].watch.issued.last_index;
        if (own > last) last = own;
    }
    return last;
}
uint64_t world_least_index(const struct world *world, uint32_t set)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < world->options.members; i++) {
        uint64_t own = world->members[i].watch.issued.last_index;
        if ((set >> i & 1) != 0 && own < least) least = own;
    }
    return least;
}
void world_get_counts(const struct world *world, struct world_counts *out_counts) { *out_counts = world->counts; }

int world_leader(const struct world *world)
{
    int leader = -1;
    uint64_t term = 0;
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct world_member *member = &world->members[i];
        if (!member->is_up || !SHARED_GET(&member->line.shared, is_leader)) continue;
        if (SHARED_GET(&member->line.shared, term) <= term) continue;
        term = SHARED_GET(&member->line.shared, term);
        leader = (int)i;
    }
    return leader;
}

uint32_t world_followers(const struct world *world)
{
    int leader = world_leader(world);
    uint32_t followers = 0;
    if (leader < 0) return 0;
    const struct world_member *leads = &world->members[leader];
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct world_member *member = &world->members[i];
        bool follows = member->is_up && member->pause_until_ns <= world->now_ns && SHARED_GET(&member->line.shared, leader) == leads->id &&
                       SHARED_GET(&member->line.shared, term) == SHARED_GET(&leads->line.shared, term);
        followers |= (uint32_t)follows << i;
    }
    return followers;
}

int world_followed_leader(const struct world *world)
{
    uint32_t followers = world_followers(world), count = 0;
    for (uint32_t i = 0; i < world->options.members; i++) count += followers >> i & 1;
    return count > world->options.members / 2 ? world_leader(world) : -1;
}

static bool keeps(const struct snapshot_dir *dir, const char *name)
{
    uint64_t index = 0, term = 0;
    if (!snapshot_format_parse_name(name, &index, &term)) return false;
    for (size_t i = 0; i < dir->count; i++) {
        if (dir->entries[i].index == index && dir->entries[i].term == term) return true;
    }
    return false;
}

bool world_is_tidy(const struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct world_member *member = &world->members[i];
        const struct snap_actor *snap = &member->line.snap;
        char directory[64], name[64];
        if (!member->is_up || !snapshot_dir_is_idle(snap->dir) || snap->writer != NULL || snap->pull.phase != SNAP_PULL_IDLE) return false;
        snprintf(directory, sizeof(directory), "%.40s/snap", member->config.data_dir_path);
        for (size_t at = 0; fs_sim_name(member->disk, directory, at, name, sizeof(name)); at++) {
            if (!keeps(snap->dir, name)) return false;
        }
    }
    return true;
}

bool world_is_suspect(const struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct raft_status status;
        if (!world->members[i].is_up) continue;
        raft_get_status(world->members[i].line.raft.raft, &status);
        if (status.is_suspect) return true;
    }
    return false;
}

bool world_is_settled(const struct world *world)
{
    struct raft_status status;
    int leader = world_leader(world);
    if (leader < 0) return false;
    raft_get_status(world->members[leader].line.raft.raft, &status);
    return status.commit_index == status.last_index;
}

uint64_t world_hash(const struct world *world, uint32_t number, uint64_t *out_applied_index, int64_t *out_revision)
{
    const struct world_member *member = &world->members[number];
    ASSERT(member->is_up);
    const struct mvcc_view *view = mvcc_view(state_machine_mvcc(member->line.apply.machine));
    *out_applied_index = state_machine_applied_index(member->line.apply.machine);
    *out_revision = mvcc_view_revision(view);
    return mvcc_hash(view, 0);
}

void world_revisions(const struct world *world, uint32_t number, int64_t *out_newest, int64_t *out_mark)
{
    const struct world_member *member = &world->members[number];
    ASSERT(member->is_up);
    const struct mvcc_view *view = mvcc_view(state_machine_mvcc(member->line.apply.machine));
    *out_newest = mvcc_view_revision(view);
    *out_mark = mvcc_view_compact_revision(view);
}

uint64_t world_whole_hash(const struct world *world, uint32_t number)
{
    ASSERT(world->members[number].is_up);
    return state_machine_hash(world->members[number].line.apply.machine);
}
