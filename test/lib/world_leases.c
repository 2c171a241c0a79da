/* world_leases: see world_leases.h. */
#include "lib/sim_bytes.h"
#include "lib/world_inner.h"
#include "storage/command.h"
#include "storage/lease_request.h"

#define ROUNDING_NS (10 * NS_PER_US)
#define ROUND_NS (80 * NS_PER_US) /* less than a message there and back takes, by any clock */

static void require(const struct world_member *member, bool holds, const char *invariant, uint64_t a, uint64_t b)
{
    if (!holds) world_watch_broken(member->world, invariant, member->number, a, b);
}

void world_leases_init(struct world *world)
{
    map_init(&world->leases.newest);
    map_init(&world->leases.lives);
}

void world_leases_deinit(struct world *world)
{
    map_deinit(&world->leases.newest);
    map_deinit(&world->leases.lives);
    alloc_free(world->leases.entries);
    alloc_free(world->leases.alive);
}

const struct world_lease_entry *world_lease_entries(const struct world *world, size_t *out_count)
{
    *out_count = world->leases.count;
    return world->leases.entries;
}

/* Of a branch that was not taken there is none. */
static bool is_there(const struct world *world, const struct world_lease_entry *grant)
{
    if (!grant->is_made) return true;
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct world_member *member = &world->members[i];
        if (member->is_up && lease_set_find(state_machine_leases(member->line.apply.machine), grant->id) != NULL) return true;
    }
    return false;
}

uint32_t world_leases_left(const struct world *world, int64_t ttl_max)
{
    uint32_t left = 0;
    for (size_t i = 0; i < world->leases.alive_count; i++) {
        const struct world_lease_entry *grant = &world->leases.entries[world->leases.alive[i]];
        left += grant->ttl <= ttl_max && is_there(world, grant);
    }
    return left;
}

static const struct world_lease_entry *grant_of(const struct world *world, size_t number)
{
    return number == 0 ? NULL : &world->leases.entries[number - 1];
}

const struct world_lease_entry *world_lease_newest(const struct world *world, int64_t id)
{
    return grant_of(world, (size_t)(uintptr_t)map_get(&world->leases.lives, (uint64_t)id));
}

const struct world_lease_entry *world_lease_earlier(const struct world *world, const struct world_lease_entry *grant)
{
    return grant_of(world, grant->earlier);
}

uint64_t world_lease_least_ns(const struct world *world, int64_t seconds)
{
    return (uint64_t)seconds * NS_PER_S / (1000 + world->options.drift_permille) * 1000 - ROUNDING_NS;
}

bool world_lease_keeps(const struct world *world, int64_t id, const uint64_t between_ns[2], uint64_t since_ns, int64_t lives_s)
{
    const struct world_lease_entry *life = world_lease_newest(world, id);
    for (; life != NULL && (life->ended_ns == 0 || life->ended_ns >= between_ns[0]); life = world_lease_earlier(world, life)) {
        if (life->committed_ns > between_ns[1]) continue;
        bool is_over = life->ended_ns > 0 && life->end == WORLD_LEASE_EXPIRE;
        if (!is_over || life->end_issued_ns >= since_ns + world_lease_least_ns(world, lives_s)) return true;
    }
    return false;
}

/* --- what is said --- */

const struct world_lease_entry *world_lease_at(const struct world *world, uint64_t index, const struct world_lease_entry *last)
{
    size_t number = last != NULL ? last->before : (size_t)(uintptr_t)map_get(&world->leases.newest, index);
    for (; number > 0; number = world->leases.entries[number - 1].before) {
        if (world->leases.entries[number - 1].committed_ns > 0) return &world->leases.entries[number - 1];
    }
    return NULL;
}

/* A follower may have it in hand before the leader's own log has. */
static const struct world_member *who_said(const struct world_member *member, const struct command *command)
{
    const struct world *world = member->world;
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (world->members[i].id == command->id.member) return &world->members[i];
    }
    return member;
}

static void check_speaker(const struct world_member *member, const struct world_lease_entry *said, const struct command *command)
{
    bool was_leader = world_watch_led(member->world, said->term) == member->id; /* it may be gone since */
    require(member, command->id.member == member->id && was_leader, "L3 only who leads says what becomes of a lease", (uint64_t)said->id, said->term);
}

static void check_expiry(const struct world_member *taker, struct world_lease_entry *expiry, const struct command *command)
{
    const struct world *world = taker->world;
    const struct world_member *member = who_said(taker, command);
    const struct world_lease_entry *grant = world_lease_at(world, expiry->granted_index, NULL);
    while (grant != NULL && grant->id != expiry->id) grant = world_lease_at(world, expiry->granted_index, grant);
    check_speaker(member, expiry, command);
    bool is_known = grant != NULL && grant->kind == WORLD_LEASE_GRANT;
    require(member, is_known, "L3 a lease that is over was granted", (uint64_t)expiry->id, expiry->granted_index);
    expiry->granted_ns = grant->committed_ns;
    uint64_t ttl_ns[2] = {(uint64_t)grant->ttl * NS_PER_S, (uint64_t)(grant->remaining > 0 ? grant->remaining : grant->ttl) * NS_PER_S};
    if (grant->remaining > 0) ttl_ns[0] = ttl_ns[1]; /* another clock has counted the rest; taken back, it may have been counted from before */
    uint64_t since_ns[2] = {grant->committed_ns, member->watch.leads_since_ns};
    static const char *const rules[2] = {"L1 a lease lives for its TTL", "L2 with a new leader a lease lives for its TTL once more"};
    for (int i = 0; i < 2; i++) {
        uint64_t lived_ns = (world->now_ns - since_ns[i]) / 1000 * member->rate_permille;
        require(member, lived_ns + ROUNDING_NS >= ttl_ns[i], rules[i], (uint64_t)expiry->id, lived_ns);
    }
}

static void add(struct world *world, const struct world_lease_entry *entry)
{
    struct world_leases *leases = &world->leases;
    if (leases->count == leases->capacity) {
        leases->capacity = leases->capacity == 0 ? 64 : leases->capacity * 2;
        leases->entries = alloc_resize(leases->entries, leases->capacity * sizeof(*leases->entries));
    }
    leases->entries[leases->count] = *entry;
    leases->entries[leases->count++].before = (size_t)(uintptr_t)map_take(&leases->newest, entry->index);
    (void)map_put(&leases->newest, entry->index, (void *)(uintptr_t)leases->count); /* a number that the map keeps as a pointer */
}

/* Several leases in one entry. */
static void issue_expiries(struct world_member *member, struct world_lease_entry *issued, const struct command *command)
{
    struct reader reader = reader_make(command->body);
    struct lease_request_expiry expiry;
    issued->kind = WORLD_LEASE_EXPIRE;
    for (; lease_request_next_expiry(&reader, &expiry); issued->place++) {
        ASSERT(issued->place < WORLD_LEASE_PLACES);
        issued->id = expiry.id;
        issued->granted_index = expiry.granted_index;
        check_expiry(member, issued, command);
        add(member->world, issued);
    }
    ASSERT(!reader.bad);
}

static void issue_checkpoints(struct world_member *member, struct world_lease_entry *issued, const struct command *command)
{
    struct reader reader = reader_make(command->body);
    struct lease_request_checkpoint checkpoint;
    issued->kind = WORLD_LEASE_CHECKPOINT;
    while (lease_request_next_checkpoint(&reader, &checkpoint)) {
        issued->id = checkpoint.id;
        issued->granted_index = checkpoint.granted_index;
        issued->remaining = checkpoint.remaining;
        check_speaker(who_said(member, command), issued, command);
        add(member->world, issued);
    }
    ASSERT(!reader.bad);
}

/* All puts of one entry ask for one TTL. */
static void issue_made(struct world *world, struct world_lease_entry *issued, const struct command *command)
{
    struct reader ids = reader_make(command->chosen_lease_ids);
    if (command->chosen_lease_ids.size == 0) return;
    issued->ttl = sim_bytes_put_ttl(command->body, command->kind == COMMAND_TXN);
    if (issued->ttl < command->chosen_ttl) issued->ttl = command->chosen_ttl;
    issued->is_made = true;
    while (ids.at < ids.end) {
        issued->id = (int64_t)reader_varint(&ids);
        add(world, issued);
    }
    ASSERT(!ids.bad && issued->ttl > 0);
}

void world_leases_issued(struct world_member *member, const struct raft_entry *entry)
{
    struct command command;
    struct world_lease_entry issued = {.index = entry->index, .term = entry->term, .issued_ns = member->world->now_ns};
    bool is_command = entry->kind == RAFT_ENTRY_COMMAND && command_decode(blob_slice(entry->data), &command);
    if (!is_command) return;
    if (command.kind == COMMAND_PUT || command.kind == COMMAND_TXN) {
        issue_made(member->world, &issued, &command);
    } else if (command.kind == COMMAND_LEASE_EXPIRE) {
        issue_expiries(member, &issued, &command);
    } else if (command.kind == COMMAND_LEASE_CHECKPOINT) {
        issue_checkpoints(member, &issued, &command);
    } else if (command.kind == COMMAND_LEASE_GRANT) {
        struct lease_request_grant grant;
        enum err err = lease_request_parse_grant(command.body, &grant);
        ASSERT(err == ERR_OK);
        issued.id = grant.id != 0 ? grant.id : command.chosen_lease_id;
        issued.ttl = grant.ttl < command.chosen_ttl ? command.chosen_ttl : grant.ttl;
        add(member->world, &issued);
    } else if (command.kind == COMMAND_LEASE_REVOKE) {
        enum err err = lease_request_parse_revoke(command.body, &issued.id);
        ASSERT(err == ERR_OK);
        issued.kind = WORLD_LEASE_REVOKE;
        add(member->world, &issued);
    }
}

/* --- what holds --- */

static void end_alive(struct world_leases *leases, struct world_lease_entry *end)
{
    for (size_t i = 0; i < leases->alive_count; i++) {
        struct world_lease_entry *grant = &leases->entries[leases->alive[i]];
        if (grant->id != end->id || (end->kind == WORLD_LEASE_EXPIRE && grant->index != end->granted_index)) continue;
        leases->alive[i] = leases->alive[--leases->alive_count];
        end->has_ended = true;
        grant->end = end->kind;
        grant->ended_ns = end->committed_ns;
        grant->end_issued_ns = end->issued_ns;
        return;
    }
}

static void note_checkpoint(struct world_leases *leases, const struct world_lease_entry *checkpoint)
{
    for (size_t i = 0; i < leases->alive_count; i++) {
        struct world_lease_entry *grant = &leases->entries[leases->alive[i]];
        bool is_less = checkpoint->remaining > 0 && (grant->remaining == 0 || checkpoint->remaining < grant->remaining);
        if (grant->id == checkpoint->id && grant->index == checkpoint->granted_index && is_less) grant->remaining = checkpoint->remaining;
    }
}

static void begin_alive(struct world_leases *leases, size_t number)
{
    for (size_t i = 0; i < leases->alive_count; i++) {
        if (leases->entries[leases->alive[i]].id == leases->entries[number].id) return; /* refused: it is there */
    }
    if (leases->alive_count == leases->alive_capacity) {
        leases->alive_capacity = leases->alive_capacity == 0 ? 16 : leases->alive_capacity * 2;
        leases->alive = alloc_resize(leases->alive, leases->alive_capacity * sizeof(*leases->alive));
    }
    leases->alive[leases->alive_count++] = number;
    uint64_t id = (uint64_t)leases->entries[number].id;
    leases->entries[number].earlier = (size_t)(uintptr_t)map_take(&leases->lives, id);
    (void)map_put(&leases->lives, id, (void *)(uintptr_t)(number + 1)); /* a number that the map keeps as a pointer */
}

static void take_effect(struct world *world, size_t number)
{
    struct world_leases *leases = &world->leases;
    struct world_lease_entry *entry = &leases->entries[number];
    entry->committed_ns = world->now_ns;
    world->counts.leases_granted += entry->kind == WORLD_LEASE_GRANT;
    world->counts.checkpoints += entry->kind == WORLD_LEASE_CHECKPOINT && entry->remaining > 0;
    world->counts.leases_expired += entry->kind == WORLD_LEASE_EXPIRE;
    if (entry->kind == WORLD_LEASE_GRANT && world_alarms_no_space(world) > 0) return; /* refused: there is no room */
    if (entry->kind == WORLD_LEASE_GRANT) begin_alive(leases, number);
    else if (entry->kind == WORLD_LEASE_CHECKPOINT) note_checkpoint(leases, entry);
    else end_alive(leases, entry);
}

void world_leases_committed(struct world *world, uint64_t index, uint64_t term)
{
    const struct world_leases *leases = &world->leases;
    size_t number = leases->count == 0 ? 0 : (size_t)(uintptr_t)map_get(&leases->newest, index);
    for (; number > 0; number = leases->entries[number - 1].before) {
        if (leases->entries[number - 1].term == term) take_effect(world, number - 1);
    }
}

/* --- what runs --- */

/* Where others must agree a round takes as long as a message there and back. Whose expiry was asked for runs for that to be asked again. */
static void check_timer(struct world_member *member, struct world_lease_entry *grant, const struct lease *lease, uint64_t deadline_ns)
{
    uint64_t term = member->line.apply.leases.term, longest_ns = world_local_ns(member) + (uint64_t)grant->ttl * NS_PER_S;
    bool is_renewed = grant->timer_term == term && grant->timer_ns > 0 && deadline_ns > grant->timer_ns && lease->expiring == 0;
    if (is_renewed && member->world->options.members > 1) longest_ns -= ROUND_NS;
    require(member, !is_renewed || deadline_ns <= longest_ns, "L8 a renewal counts from when its round began", (uint64_t)grant->id,
            deadline_ns - grant->timer_ns);
    member->world->counts.timers_renewed += is_renewed;
    grant->timer_term = term;
    grant->timer_ns = deadline_ns;
}

void world_leases_look(struct world_member *member)
{
    struct world_leases *leases = &member->world->leases;
    const struct apply_leases *timers = &member->line.apply.leases;
    if (member->world->options.renew_streams == 0 || timers->term == 0 || timers->first_index == 0 || timers->is_disarming) return;
    const struct lease_set *set = state_machine_leases(member->line.apply.machine);
    for (size_t i = 0; i < leases->alive_count; i++) {
        struct world_lease_entry *grant = &leases->entries[leases->alive[i]];
        const struct lease *lease = lease_set_find(set, grant->id);
        bool is_armed = lease != NULL && lease_set_row(set, lease)->granted_index == grant->index && lease->timer.place != HEAP_NONE;
        if (is_armed) check_timer(member, grant, lease, lease_set_deadline_ns(set, lease));
    }
}
