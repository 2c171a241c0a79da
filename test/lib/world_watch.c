/* world_watch: see world_watch.h. */
#include <stdio.h>

#include "lib/world_watch_inner.h"

#define R13_SLACK_NS (3 * NS_PER_MS)  /* what its roles take to look */
#define V6_GRACE_NS (100 * NS_PER_MS)

static uint64_t hash_entry(const struct raft_entry *entry)
{
    uint64_t hash = UINT64_C(1469598103934665603) ^ (uint64_t)entry->kind;
    struct slice bytes = blob_slice(entry->data);
    for (size_t at = 0; at < bytes.size; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, bytes.data + at, bytes.size - at < sizeof(word) ? bytes.size - at : sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return (hash ^ bytes.size) | 1;
}

static uint64_t hash_id(uint64_t member, uint64_t boot, uint64_t counter)
{
    uint64_t hash = (member ^ boot * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (hash ^ hash >> 31 ^ counter) * UINT64_C(0x94d049bb133111eb) | 1;
}

static uint64_t id_of(const struct raft_entry *entry)
{
    struct command_id id;
    bool has_id = entry->kind == RAFT_ENTRY_COMMAND && command_peek_id(blob_slice(entry->data), &id);
    return has_id ? hash_id(id.member, id.boot, id.counter) : 0;
}

struct world_watch_fact *world_watch_fact(struct world *world, uint64_t index)
{
    struct world_watch *watch = &world->watch;
    if (index >= watch->fact_capacity) {
        uint64_t capacity = index * 2 + 256;
        watch->facts = alloc_resize(watch->facts, capacity * sizeof(*watch->facts));
        memset(watch->facts + watch->fact_capacity, 0, (capacity - watch->fact_capacity) * sizeof(*watch->facts));
        watch->fact_capacity = capacity;
    }
    return &watch->facts[index];
}

static uint64_t *leader_of(struct world *world, uint64_t term)
{
    struct world_watch *watch = &world->watch;
    if (term >= watch->term_capacity) {
        uint64_t capacity = term * 2 + 64;
        watch->leader_of_term = alloc_resize(watch->leader_of_term, capacity * sizeof(uint64_t));
        memset(watch->leader_of_term + watch->term_capacity, 0, (capacity - watch->term_capacity) * sizeof(uint64_t));
        watch->term_capacity = capacity;
    }
    return &watch->leader_of_term[term];
}

uint64_t world_watch_led(const struct world *world, uint64_t term)
{
    return term < world->watch.term_capacity ? world->watch.leader_of_term[term] : RAFT_NONE;
}

void world_watch_init(struct world *world) { map_init(&world->watch.index_of_id); }

void world_watch_deinit(struct world *world)
{
    struct world_watch *watch = &world->watch;
    for (uint64_t i = 0; i < watch->fact_capacity; i++) alloc_free(watch->facts[i].seen);
    alloc_free(watch->facts);
    alloc_free(watch->leader_of_term);
    map_deinit(&watch->index_of_id);
}

uint64_t world_watch_state_hash(const struct world *world, uint64_t index)
{
    return index < world->watch.fact_capacity ? world->watch.facts[index].state_hash : 0;
}

uint64_t world_watch_index_of(const struct world *world, uint64_t member_id, uint64_t boot, uint64_t counter)
{
    void *found = map_get(&world->watch.index_of_id, hash_id(member_id, boot, counter));
    return found == NULL ? 0 : (uint64_t)(uintptr_t)found - 1;
}

/* --- a member's log, as it was told to keep it --- */

void world_watch_log_put(struct world_watch_log *log, uint64_t index, uint64_t term)
{
    if (index >= log->capacity) {
        log->capacity = index * 2 + 256;
        log->terms = alloc_resize(log->terms, log->capacity * sizeof(uint64_t));
    }
    log->terms[index] = term;
    log->last_index = index;
}

/* A snapshot stands for the log up to there: what was committed. */
static void log_cover(struct world *world, struct world_watch_log *log, uint64_t index)
{
    log->last_index = 0;
    for (uint64_t i = 1; i <= index; i++) world_watch_log_put(log, i, world_watch_fact(world, i)->term);
}

/* What the wal role reports durable moves from `issued` to `durable`. */
void world_watch_renew(struct world_member *member)
{
    struct world_watch_member *watch = &member->watch;
    if (!member->is_up) return;
    uint64_t durable = wal_durable_sequence(member->line.wal.wal);
    while (watch->appends_first != NULL && watch->appends_first->sequence <= durable) {
        struct world_watch_append *append = watch->appends_first;
        if (append->reset_index > 0) log_cover(member->world, &watch->durable, append->reset_index);
        for (uint64_t i = 0; i < append->count; i++) world_watch_log_put(&watch->durable, append->first_index + i, append->terms[i]);
        watch->appends_first = append->next;
        if (watch->appends_first == NULL) watch->appends_last = NULL;
        alloc_free(append);
    }
}

/* R3 by induction: every (index, term) has one content and one predecessor. */
static void check_match(struct world_member *member, const struct raft_entry *entry, uint64_t previous)
{
    struct world_watch_fact *fact = world_watch_fact(member->world, entry->index);
    uint64_t hash = hash_entry(entry);
    for (uint32_t i = 0; i < fact->seen_count; i++) {
        if (fact->seen[i].term != entry->term) continue;
        bool is_same = fact->seen[i].previous_term == previous && fact->seen[i].hash == hash;
        require(member, is_same, "R3 same index and term, same entry and same past", entry->index, entry->term);
        return;
    }
    fact->seen = alloc_resize(fact->seen, (fact->seen_count + 1) * sizeof(*fact->seen));
    fact->seen[fact->seen_count++] = (struct world_watch_seen){.term = entry->term, .previous_term = previous, .hash = hash, .id = id_of(entry)};
    world_leases_issued(member, entry);
    world_alarms_issued(member->world, entry);
}

/* An installed snapshot: committed, and further than what apply got. */
static void take_reset(struct world_member *member, const struct append_batch *batch)
{
    struct world_watch_member *watch = &member->watch;
    uint64_t index = batch->reset_index;
    bool is_committed = index <= member->world->watch.commit_index && world_watch_fact(member->world, index)->term == batch->reset_term;
    require(member, is_committed, "R5 a snapshot holds only what is committed", index, batch->reset_term);
    require(member, index > watch->posted_index, "R8 a snapshot does not take the state back", index, watch->posted_index);
    /* It is owed once that was told, not before. What stood here and was not committed is owed no more. */
    uint64_t *owed = &watch->owed.index;
    while (*owed > 0 && (*owed > index || term_of(&watch->issued, *owed) != world_watch_fact(member->world, *owed)->term)) (*owed)--;
    log_cover(member->world, &watch->issued, index);
    watch->installed_index = index;
    member->world->counts.installs++;
}

static void take_append(struct world_member *member, const struct append_batch *batch)
{
    struct world_watch_member *watch = &member->watch;
    struct world_watch_append *append = alloc_new(sizeof(*append) + batch->entry_count * sizeof(uint64_t));
    require(member, batch->hard.term >= watch->hard.term, "R11 the term never goes back", batch->hard.term, watch->hard.term);
    bool keeps = batch->hard.term > watch->hard.term || watch->hard.vote == RAFT_NONE || batch->hard.vote == watch->hard.vote;
    require(member, keeps, "R10 a vote stays", batch->hard.term, batch->hard.vote);
    watch->hard = batch->hard;
    *append = (struct world_watch_append){.sequence = batch->sequence, .count = batch->entry_count,
                                          .reset_index = batch->is_reset ? batch->reset_index : 0};
    if (batch->is_reset) take_reset(member, batch);
    for (uint32_t i = 0; i < batch->entry_count; i++) {
        const struct raft_entry *entry = &batch->entries[i];
        if (i == 0) append->first_index = entry->index;
        require(member, entry->index <= watch->issued.last_index + 1, "R3 a log has no holes", entry->index, watch->issued.last_index);
        bool is_final = entry->index <= watch->posted_index && term_of(&watch->issued, entry->index) != entry->term;
        require(member, !is_final, "R5 what was given to apply is not overwritten", entry->index, entry->term);
        check_match(member, entry, term_of(&watch->issued, entry->index - 1));
        world_watch_log_put(&watch->issued, entry->index, entry->term);
        append->terms[i] = entry->term;
    }
    bool cuts = batch->entry_count > 0 && append->first_index <= watch->owed.index && watch->owed.index_term == batch->hard.term;
    require(member, !cuts, "R3 what a leader was told to be there is not cut in its term", append->first_index, watch->owed.index);
    /* Whatever stood there was not committed: it is owed no more. */
    if (batch->entry_count > 0 && append->first_index <= watch->owed.index) watch->owed.index = append->first_index - 1;
    if (watch->appends_last == NULL) {
        watch->appends_first = append;
    } else {
        watch->appends_last->next = append;
    }
    watch->appends_last = append;
}

/* --- commits --- */

static void check_majority(struct world_member *member, uint64_t index, uint64_t term)
{
    struct world *world = member->world;
    uint32_t holders = 0;
    for (uint32_t i = 0; i < world->options.members; i++) {
        world_watch_renew(&world->members[i]);
        const struct world_watch_member *other = &world->members[i].watch;
        holders += term_of(&other->durable, index) == term || index <= other->excused_index;
    }
    require(member, holders > world->options.members / 2, "R6 what is committed is on a majority of disks", index, term);
}

/* Where a command is, before anybody applies it: a member that starts again may apply what no other did, from its log. */
static void note_committed_id(struct world *world, uint64_t index)
{
    const struct world_watch_fact *fact = world_watch_fact(world, index);
    for (uint32_t i = 0; i < fact->seen_count; i++) {
        bool is_it = fact->seen[i].term == fact->term && fact->seen[i].id != 0;
        if (!is_it || map_get(&world->watch.index_of_id, fact->seen[i].id) != NULL) continue;
        (void)map_put(&world->watch.index_of_id, fact->seen[i].id, (void *)(uintptr_t)(index + 1)); /* a number that the map keeps as a pointer */
    }
}

static void note_commits(struct world_member *member, const struct raft_status *status)
{
    struct world *world = member->world;
    struct world_watch *watch = &world->watch;
    require(member, status->commit_index >= member->watch.commit_index, "R8 commit never goes back", status->commit_index,
            member->watch.commit_index);
    require(member, status->commit_index <= status->last_index, "R8 commit is in the log", status->commit_index, status->last_index);
    member->watch.commit_index = status->commit_index;
    if (status->commit_index <= watch->commit_index) return;
    if (status->role == RAFT_LEADER) {
        bool is_own = raft_term_at(member->line.raft.raft, status->commit_index) == status->term;
        require(member, is_own, "R7 counting commits only the own term", status->commit_index, status->term);
    }
    while (watch->commit_index < status->commit_index) {
        uint64_t index = watch->commit_index + 1;
        uint64_t term = raft_term_at(member->line.raft.raft, index);
        require(member, term != 0, "R8 a committed entry has a term", index, 0);
        world_watch_fact(world, index)->term = term;
        world_watch_fact(world, index)->commit_term = status->term;
        watch->commit_index = index;
        check_majority(member, index, term);
        note_committed_id(world, index);
        world_alarms_committed(world, index, term);
        world_leases_committed(world, index, term);
    }
    if (tape_chance(&world->tape, world->options.probe_percent, 100)) world_watch_disks(world);
}

static void note_status(struct world_member *member)
{
    struct raft_status status;
    raft_get_status(member->line.raft.raft, &status);
    note_commits(member, &status);
}

static void note_id(struct world_member *member, const struct raft_entry *entry)
{
    struct world *world = member->world;
    struct command_id id;
    if (entry->kind != RAFT_ENTRY_COMMAND) return;
    bool has_id = command_peek_id(blob_slice(entry->data), &id);
    require(member, has_id, "every command has an id", entry->index, 0);
    uint64_t hash = hash_id(id.member, id.boot, id.counter);
    void *known = map_get(&world->watch.index_of_id, hash);
    void *here = (void *)(uintptr_t)(entry->index + 1); /* a number that the map keeps as a pointer */
    if (known == NULL) (void)map_put(&world->watch.index_of_id, hash, here);
    require(member, known == NULL || known == here, "P33 a command is committed twice", entry->index, (uint64_t)(uintptr_t)known - 1);
}

static void take_commit(struct world_member *member, const struct commit_batch *batch)
{
    struct world_watch_member *watch = &member->watch;
    note_status(member);
    world_watch_renew(member);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct raft_entry *entry = &batch->entries[i];
        struct world_watch_fact *fact = world_watch_fact(member->world, entry->index);
        require(member, entry->index == watch->posted_index + 1, "R8 apply gets every entry once and in order", entry->index,
                watch->posted_index);
        watch->posted_index = entry->index;
        require(member, fact->term == entry->term, "R5 only what is committed is applied", entry->index, entry->term);
        uint64_t hash = hash_entry(entry);
        require(member, fact->hash == 0 || fact->hash == hash, "R5 one content per index", entry->index, entry->term);
        fact->hash = hash;
        bool is_own = term_of(&watch->durable, entry->index) == entry->term;
        require(member, is_own, "D only what the own disk has is applied", entry->index, watch->durable.last_index);
        note_id(member, entry);
    }
    if (watch->posted_index > watch->owed.index) watch->owed.index = watch->posted_index;
}

/* --- reads and answers --- */

static void note_floor(struct world_member *member, const struct read_batch *batch)
{
    void *floor = (void *)(uintptr_t)(member->world->watch.commit_index + 1);
    (void)map_take(&member->watch.floors, (uint64_t)(uintptr_t)batch); /* of one that was freed: the memory is used again */
    bool is_new = map_put(&member->watch.floors, (uint64_t)(uintptr_t)batch, floor);
    ASSERT(is_new);
}

static void check_floor(struct world_member *member, const struct read_batch *batch, uint64_t index, const char *invariant)
{
    bool is_ours = batch != NULL && batch->remote_peer == RAFT_NONE; /* whoever asked from afar has its own */
    if (!is_ours || read_batch_is_renewal(batch)) return; /* a renewal reads nothing */
    void *floor = map_get(&member->watch.floors, (uint64_t)(uintptr_t)batch);
    ASSERT(floor != NULL);
    require(member, index + 1 >= (uint64_t)(uintptr_t)floor, invariant, index, (uint64_t)(uintptr_t)floor - 1);
}

static struct world_call *call_of(struct world_member *member, uint64_t name)
{
    struct world *world = member->world;
    uint64_t number = member->calls.call_of_slot[(uint32_t)name];
    ASSERT(number > 0 && number <= world->call_count);
    return &world->calls[number - 1];
}

static void note_answer(struct world_member *member, uint64_t name)
{
    struct world_call *call = call_of(member, name);
    bool is_open = !call->is_over || call->is_lock; /* at stop a call of many steps does not wait for the answer to the last of them */
    require(member, call->mails == 0 && is_open, "a call is answered once", name, call->mails);
    call->mails++;
}

static void take_reply(struct world_member *member, const struct mail *mail)
{
    struct world_call *call = call_of(member, mail->reply.call);
    note_answer(member, mail->reply.call);
    bool is_question = call->boot == 0; /* never proposed: about leases */
    uint64_t index = is_question ? 1 : world_watch_index_of(member->world, member->id, call->boot, call->counter);
    require(member, index > 0, "D1 only what is committed is acknowledged", mail->reply.call, call->counter);
    require(member, index <= member->watch.published_index, "the view is published before its replies", index,
            member->watch.published_index);
    int64_t seen = mvcc_view_revision(mvcc_view(state_machine_mvcc(member->line.apply.machine)));
    require(member, seen >= mail->reply.revision, "K4 the published view has the revision that is told", (uint64_t)seen,
            (uint64_t)mail->reply.revision);
}

static void note_propose(struct world_member *member, const struct mail *mail)
{
    struct command_id id;
    struct world_call *call = call_of(member, mail->propose.call);
    bool has_id = command_peek_id(blob_slice(mail->propose.command), &id);
    ASSERT(has_id && id.boot != 0 && (call->boot == 0 || call->is_lock));
    if (call->is_lock) call->mails = 0; /* to the one before */
    if (call->is_lock) world_locks_note(member, &id, mail->propose.command);
    call->boot = id.boot;
    call->counter = id.counter;
    struct command command;
    bool is_command = member->world->options.quota_bytes > 0 && command_decode(blob_slice(mail->propose.command), &command);
    call->raises_alarm = is_command && command.kind == COMMAND_ALARM;
}

void world_watch_published(struct world_member *member)
{
    const struct state_machine *machine = member->line.apply.machine;
    struct world_watch_member *watch = &member->watch;
    uint64_t index = state_machine_applied_index(machine);
    require(member, index <= watch->posted_index, "R8 applied is what raft gave out", index, watch->posted_index);
    watch->published_index = index;
    struct world_watch_fact *fact = world_watch_fact(member->world, index);
    const struct mvcc_view *view = mvcc_view(state_machine_mvcc(member->line.apply.machine));
    uint64_t hash = mvcc_hash(view, 0) | 1;
    require(member, fact->state_hash == 0 || fact->state_hash == hash, "A2 one state per index", index, hash);
    require(member, fact->state_hash == 0 || fact->revision == mvcc_view_revision(view), "A2 one revision per index", index, 0);
    fact->state_hash = hash;
    fact->revision = mvcc_view_revision(view);
}

/* The mail that the producer put last. */
static const struct mail *newest(const struct lane *lane) { return ring_newest(&lane->ring); }

void world_watch_point(struct world_member *member, const char *point)
{
    const struct line *line = &member->line;
    if (point == line->raft.lanes.to_wal->name) {
        const struct mail *mail = newest(line->raft.lanes.to_wal);
        if (mail->kind == MAIL_APPEND) take_append(member, mail->append.batch);
    } else if (point == line->raft.lanes.to_apply->name) {
        const struct mail *mail = newest(line->raft.lanes.to_apply);
        if (mail->kind == MAIL_COMMIT) take_commit(member, mail->commit.batch);
        if (mail->kind == MAIL_INSTALL) member->watch.posted_index = mail->loaded.state->index;
        if (mail->kind == MAIL_READ_BATCH) {
            check_floor(member, mail->read.batch, mail->read.index, "R14 a read index covers all that was committed before");
            require(member, mail->read.index <= member->watch.posted_index, "R14 a read stands behind its entries", mail->read.index,
                    member->watch.posted_index);
        }
    } else if (point == line->snap.lanes.to_raft->name) {
        member->world->counts.snapshots += newest(line->snap.lanes.to_raft)->kind == MAIL_SNAPSHOT;
    } else if (point == line->net.lanes.to_raft->name) {
        const struct mail *mail = newest(line->net.lanes.to_raft);
        if (mail->kind == MAIL_READ) note_floor(member, mail->read.batch);
        if (mail->kind == MAIL_PROPOSE) note_propose(member, mail);
    } else if (point == line->apply.lanes.to_net->name) {
        const struct mail *mail = newest(line->apply.lanes.to_net);
        if (mail->kind == MAIL_REPLY) take_reply(member, mail);
        if (mail->kind == MAIL_READ_BATCH) {
            check_floor(member, mail->read.batch, member->watch.published_index, "R14 a read sees a view that covers it");
        }
    } else if (point == line->raft.lanes.to_net->name) {
        const struct mail *mail = newest(line->raft.lanes.to_net);
        if (mail->kind == MAIL_FAIL) note_answer(member, mail->fail.call);
        if (mail->kind == MAIL_MOVED) note_answer(member, mail->move.call);
    }
}

/* --- raft's step --- */

static void check_leader(struct world_member *member, const struct raft_status *status)
{
    struct world *world = member->world;
    struct world_watch_member *watch = &member->watch;
    uint64_t *leader = leader_of(world, status->term);
    require(member, *leader == RAFT_NONE || *leader == member->id, "R1 one leader per term", status->term, *leader);
    *leader = member->id;
    bool is_new = watch->leads_term != status->term;
    if (!is_new) require(member, status->last_index >= watch->leads_last, "R2 a leader only appends", status->last_index, watch->leads_last);
    if (is_new) world->counts.elections++;
    if (is_new) watch->leads_since_ns = world->now_ns;
    watch->leads_term = status->term;
    watch->leads_last = status->last_index;
    for (uint64_t index = 1; is_new && index <= world->watch.commit_index; index++) {
        uint64_t term = world_watch_fact(world, index)->term;
        if (index < status->first_index) continue; /* in its snapshot, and so in its state: A2 */
        if (world_watch_fact(world, index)->commit_term >= status->term) continue; /* late votes make a leader of a term that is over */
        require(member, raft_term_at(member->line.raft.raft, index) == term, "R4 a new leader has all that is committed", index, term);
    }
}

/* An idle disk may hang unseen: only what raft waits for counts. */
static void check_patience(struct world_member *member, const struct raft_status *status)
{
    struct world_watch_member *watch = &member->watch;
    uint64_t now_ns = member->world->now_ns, stuck_ns = world_disk_stuck_ns(member);
    bool waits = status->durable_index < status->last_index;
    bool is_same = waits && watch->waits_since_ns > 0 && watch->waits_index == status->durable_index;
    if (!is_same) watch->waits_since_ns = waits ? now_ns : 0;
    watch->waits_index = status->durable_index;
    if (!waits) return;
    if (now_ns - watch->waits_since_ns < stuck_ns) stuck_ns = now_ns - watch->waits_since_ns;
    bool gives_up = stuck_ns < 4 * member->config.election_timeout_ms * NS_PER_MS;
    require(member, gives_up, "V5 a leader whose disk hangs gives up", status->term, stuck_ns);
}

/* R13: by its own clock, from the last frame of anybody who makes a majority with it. It looks at a heartbeat, and a round of reads that began
 * behind that frame puts one of them off. What it slept does not count. */
static void check_quorum(struct world_member *member, const struct raft_status *status)
{
    const struct world_watch_member *watch = &member->watch;
    uint32_t members = member->world->options.members, missing = members / 2;
    uint64_t since_ns = watch->leads_since_ns > member->pause_until_ns ? watch->leads_since_ns : member->pause_until_ns;
    uint64_t span_ns = (member->config.election_timeout_ms + 2 * member->config.heartbeat_ms) * NS_PER_MS / member->rate_permille * 1000 + R13_SLACK_NS;
    if (since_ns + span_ns >= member->world->now_ns) return;
    for (uint32_t i = 0; i < members; i++) {
        bool is_heard = i != member->number && watch->heard_ns[i] + span_ns >= member->world->now_ns;
        if (is_heard && missing > 0) missing--;
    }
    require(member, missing == 0, "R13 a leader that hears no quorum for an election timeout is none", status->term, missing);
}

/* What stands in the log's place before its beginning is what was committed there: the next entry is asked for by its term. */
static void check_beginning(struct world_member *member, const struct raft_status *status)
{
    uint64_t index = status->first_index - 1;
    if (index == 0 || index > member->world->watch.commit_index) return;
    uint64_t term = world_watch_fact(member->world, index)->term;
    require(member, raft_term_at(member->line.raft.raft, index) == term, "R3 a log begins behind what was committed there", index, term);
}

void world_watch_raft(struct world_member *member)
{
    struct raft_status status;
    raft_get_status(member->line.raft.raft, &status);
    if (status.role == RAFT_LEADER) check_leader(member, &status);
    if (status.role == RAFT_LEADER && member->world->options.members > 1) check_patience(member, &status);
    if (status.role == RAFT_LEADER && member->world->options.members > 1) check_quorum(member, &status);
    check_beginning(member, &status);
    note_commits(member, &status);
}

/* --- what is asked --- */

/* By the clock of the member, from when it could first take the call; one that sleeps has its excuse. */
static void check_deadline(struct world *world, const struct world_call *call, uint64_t number)
{
    struct world_member *member = &world->members[call->member];
    if (!member->is_up || member->pause_until_ns > world->now_ns || call->has_no_deadline) return;
    uint64_t span_ns = member->config.request_timeout_ns / member->rate_permille * 1000 + V6_GRACE_NS;
    uint64_t since_ns = call->start_ns > member->pause_until_ns ? call->start_ns : member->pause_until_ns;
    bool naps = world->now_ns < member->nap_until_ns + V6_GRACE_NS; /* the role that would answer */
    require(member, naps || world->now_ns <= since_ns + span_ns, "V6 a call is answered by its deadline", number, (world->now_ns - call->start_ns) / NS_PER_MS);
}

void world_watch_calls(struct world *world)
{
    uint64_t *first = &world->first_open_call;
    while (*first < world->call_count && world->calls[*first].is_over) (*first)++;
    for (uint64_t i = *first; i < world->call_count; i++) {
        if (!world->calls[i].is_over) check_deadline(world, &world->calls[i], i);
    }
}
