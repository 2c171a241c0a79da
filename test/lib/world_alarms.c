/* world_alarms: see world_alarms.h. */
#include "lib/world_alarms.h"

#include "lib/world_inner.h"
#include "storage/command.h"

#define ACTIVE_MAX 64

void world_alarms_deinit(struct world *world)
{
    alloc_free(world->alarms.issued.entries);
    alloc_free(world->alarms.committed.entries);
}

const struct world_alarm_entry *world_alarm_entries(const struct world *world, size_t *out_count)
{
    *out_count = world->alarms.committed.count;
    return world->alarms.committed.entries;
}

uint32_t world_alarms_no_space(const struct world *world) { return world->alarms.no_space; }

static void add(struct world_alarms_list *list, const struct world_alarm_entry *entry)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->entries = alloc_resize(list->entries, list->capacity * sizeof(*list->entries));
    }
    list->entries[list->count++] = *entry;
}

void world_alarms_issued(struct world *world, const struct raft_entry *entry)
{
    struct command command;
    struct alarm_request request;
    bool is_command = entry->kind == RAFT_ENTRY_COMMAND && command_decode(blob_slice(entry->data), &command);
    if (!is_command || command.kind != COMMAND_ALARM) return;
    enum err err = alarm_parse_request(command.body, &request);
    ASSERT(err == ERR_OK && request.action != ALARM_GET && request.alarm.type == ALARM_NOSPACE); /* nobody in a world asks for others */
    add(&world->alarms.issued, &(struct world_alarm_entry){.index = entry->index, .term = entry->term, .member = request.alarm.member,
                                                           .is_raised = request.action == ALARM_ACTIVATE});
}

/* --- who has one --- */

struct active {
    uint64_t members[ACTIVE_MAX];
    size_t count;
};

static void change(struct active *active, const struct world_alarm_entry *entry)
{
    size_t at = 0;
    while (at < active->count && active->members[at] != entry->member) at++;
    bool is_there = at < active->count;
    ASSERT(active->count < ACTIVE_MAX);
    if (entry->is_raised && !is_there) active->members[active->count++] = entry->member;
    if (!entry->is_raised && is_there) active->members[at] = active->members[--active->count];
}

/* As of an index; the first entry behind it. */
static size_t active_at(const struct world_alarms_list *committed, uint64_t index, struct active *out_active)
{
    size_t next = 0;
    out_active->count = 0;
    for (; next < committed->count && committed->entries[next].index <= index; next++) change(out_active, &committed->entries[next]);
    return next;
}

void world_alarms_committed(struct world *world, uint64_t index, uint64_t term)
{
    struct world_alarms *alarms = &world->alarms;
    struct active active;
    for (size_t i = alarms->issued.count; i > 0; i--) {
        const struct world_alarm_entry *entry = &alarms->issued.entries[i - 1];
        if (entry->index != index || entry->term != term) continue;
        add(&alarms->committed, entry);
        world->counts.alarms += entry->is_raised;
        world->counts.disarms += !entry->is_raised;
        (void)active_at(&alarms->committed, index, &active);
        alarms->no_space = (uint32_t)active.count;
        return;
    }
}

bool world_alarms_has(const struct world *world, uint64_t index)
{
    const struct world_alarms_list *committed = &world->alarms.committed;
    for (size_t i = 0; i < committed->count; i++) {
        if (committed->entries[i].index == index) return true;
    }
    return false;
}

/* --- what is told --- */

/* Its member went by what it had published when the call came, or by anything since. */
bool world_alarms_excuses(const struct world *world, uint64_t call, bool needs_room)
{
    const struct world_alarms_list *committed = &world->alarms.committed;
    struct active active;
    if (world->alarms.was_full) return true;
    if (!needs_room) return false;
    if (world->calls[call].raises_alarm) return true; /* over the quota; whether or not the alarm has come through, nothing is written */
    size_t next = active_at(committed, world->calls[call].published_index, &active);
    for (; active.count == 0 && next < committed->count; next++) change(&active, &committed->entries[next]);
    return active.count > 0;
}

static bool is_same(const struct active *active, const uint64_t *members, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < active->count; j++) found += active->members[j] == members[i];
    }
    return active->count == count && found == count;
}

bool world_alarms_was_list(const struct world *world, uint64_t call, const uint64_t *members, size_t count)
{
    const struct world_alarms_list *committed = &world->alarms.committed;
    struct active active;
    size_t next = active_at(committed, world->calls[call].commit_index, &active); /* of anybody, when it was asked */
    for (; !is_same(&active, members, count); next++) {
        if (next == committed->count) return false;
        change(&active, &committed->entries[next]);
    }
    return true;
}

bool world_alarms_is_settled(const struct world *world)
{
    uint64_t bytes = 0, live_bytes = 0, quota = world->options.quota_bytes;
    int leader = world_leader(world);
    if (world->alarms.no_space == 0) return true;
    if (leader < 0) return false;
    mvcc_view_sizes(mvcc_view(state_machine_mvcc(world->members[leader].line.apply.machine)), &bytes, &live_bytes);
    return bytes >= quota - quota / 10;
}

void world_alarms_look(struct world_member *member)
{
    bool is_good = !state_machine_alarms(member->line.apply.machine)->has_corrupt;
    if (!is_good) world_watch_broken(member->world, "Q6 nobody is called corrupt who is not", member->number, member->watch.published_index, 0);
}
