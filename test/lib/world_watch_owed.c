/* world_watch_owed: what a member said, and what its disk must therefore have. See world_watch.h. */
#include <stdio.h>

#include "lib/world_watch_inner.h"
#include "rpc/raft_codec.h"

/* --- what is said --- */

static void owe_term(struct world_member *member, uint64_t term)
{
    if (term > member->watch.owed.term) member->watch.owed.term = term;
}

static void owe_vote(struct world_member *member, uint64_t term, uint64_t vote)
{
    struct world_watch_member *watch = &member->watch;
    bool is_first = term > watch->owed.vote_term;
    require(member, is_first || term < watch->owed.vote_term || watch->owed.vote == vote, "R10 one vote per term", term, vote);
    if (!is_first) return;
    watch->owed.vote_term = term;
    watch->owed.vote = vote;
}

/* D8: it may have acknowledged what is committed and lost it; its vote must not help a log that lacks it too. */
static void check_lossy_vote(struct world_member *member, const struct raft_msg *msg)
{
    const struct world_watch_member *watch = &member->watch;
    struct world *world = member->world;
    if (watch->excused_index == 0) return;
    world->counts.suspect_votes++;
    uint64_t index = watch->excused_index < world->watch.commit_index ? watch->excused_index : world->watch.commit_index;
    const struct world_member *candidate = NULL;
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (world->members[i].id == msg->to) candidate = &world->members[i];
    }
    ASSERT(candidate != NULL);
    bool is_known = candidate->watch.asks.term == msg->term && index > 0;
    if (!is_known) return;
    uint64_t term = world_watch_fact(world, index)->term;
    bool has_it = candidate->watch.asks.log_term > term || (candidate->watch.asks.log_term == term && candidate->watch.asks.index >= index);
    require(member, has_it, "D8 who lost its tail votes for no log that lacks it", msg->term, index);
}

/* A repeated id would let an answer to an earlier boot pass for one to this: a write twice, a read too early. */
static void note_round(struct world_member *member, const struct raft_msg *msg)
{
    for (uint32_t i = 0; i < member->world->options.members; i++) {
        if (member->world->members[i].id != msg->to) continue;
        uint64_t *last = &member->watch.last_rounds[i];
        require(member, msg->round > *last, "an id is asked under once in the life of a member", msg->round, *last);
        *last = msg->round;
    }
}

static void note_message(struct world_member *member, const struct raft_msg *msg)
{
    struct world_watch_member *watch = &member->watch;
    switch (msg->kind) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_ANSWER: return; /* they name terms that nobody entered */
    case RAFT_MSG_VOTE:
        watch->asks.term = msg->term;
        watch->asks.index = msg->index;
        watch->asks.log_term = msg->log_term;
        owe_vote(member, msg->term, member->id);
        break;
    case RAFT_MSG_VOTE_ANSWER:
        if (msg->reject) break;
        check_lossy_vote(member, msg);
        owe_vote(member, msg->term, msg->to);
        break;
    case RAFT_MSG_APPEND_ANSWER:
        /* An answer made before a truncation may leave after it: its own term is over then. */
        if (!msg->reject && msg->term == watch->hard.term && msg->index > watch->owed.index) {
            watch->owed.index = msg->index;
            watch->owed.index_term = msg->term;
        }
        break;
    case RAFT_MSG_FORWARD:
    case RAFT_MSG_READ_INDEX:
        note_round(member, msg);
        return;
    case RAFT_MSG_REFUSED:
    case RAFT_MSG_READ_ANSWER:
    case RAFT_MSG_CHUNK_GET:
    case RAFT_MSG_CHUNK: return;
    default: break;
    }
    owe_term(member, msg->term);
}

void world_watch_frame(struct world_member *member, struct slice frame)
{
    struct reader reader = reader_make(frame);
    struct raft_msg msg;
    while (raft_codec_next(&reader, &msg)) {
        world_note(member->world, raft_msg_name(msg.kind), member->number, msg.term, msg.index + msg.round);
        note_message(member, &msg);
        raft_codec_entries_free(&msg);
    }
    ASSERT(!reader.bad);
}

/* --- what is kept --- */

/* The term at an index of a member's log, or of the snapshot in its place. */
static uint64_t term_at(struct world_member *member, const struct raft_status *status, uint64_t index)
{
    return index < status->first_index ? world_watch_fact(member->world, index)->term : raft_term_at(member->line.raft.raft, index);
}

/* What stood here was not committed, and a snapshot that was got stands for what was: neither this entry nor those behind it are owed. */
static bool is_overtaken(struct world_member *member, uint64_t index, uint64_t snapshot_index)
{
    bool is_covered = index <= snapshot_index && index <= member->world->watch.commit_index;
    return is_covered && term_of(&member->watch.issued, index) != world_watch_fact(member->world, index)->term;
}

static void check_owed(struct world_member *member, const struct raft_hard_state *hard, const uint64_t *terms, uint64_t last_index,
                       uint64_t snapshot_index)
{
    struct world_watch_member *watch = &member->watch;
    bool is_voter = watch->owed.vote_term > 0 && hard->term == watch->owed.vote_term;
    bool has_terms = hard->term >= watch->owed.term && hard->term >= watch->owed.vote_term;
    if (!has_terms && watch->excused_index > 0) return;
    require(member, hard->term >= watch->owed.term, "R9 a term that was spoken is durable", hard->term, watch->owed.term);
    require(member, hard->term >= watch->owed.vote_term, "R9 the term of a vote is durable", hard->term, watch->owed.vote_term);
    require(member, !is_voter || hard->vote == watch->owed.vote, "R9 a vote that was given is durable", hard->term, hard->vote);
    for (uint64_t index = 1; index <= watch->owed.index && !is_overtaken(member, index, snapshot_index); index++) {
        bool is_there = index <= last_index && terms[index] == term_of(&watch->issued, index);
        require(member, is_there, "D4 what was acknowledged is on the disk", index, last_index);
    }
}

/* What it believes to have lost to damage it has lost to damage: a write that a power loss has cut short was never acknowledged. */
static void check_suspicion(struct world_member *member, bool is_suspect)
{
    bool was_damaged = member->flips > 0 || member->damage.is_there || member->watch.excused_index > 0 || member->is_foreign;
    require(member, was_damaged || !is_suspect, "D14 a power loss is not taken for damage", member->watch.owed.index, 0);
}

static void cover_probe(struct world *world, struct world_disk_log *log)
{
    if (log->snapshot_index == 0) return;
    if (log->last_index < log->snapshot_index) {
        log->last_index = log->snapshot_index;
        log->terms = alloc_resize(log->terms, (log->last_index + 1) * sizeof(uint64_t));
    }
    for (uint64_t i = 1; i <= log->snapshot_index; i++) log->terms[i] = world_watch_fact(world, i)->term;
}

void world_watch_disks(struct world *world)
{
    world->counts.probes++;
    struct world_disk_log logs[WORLD_MEMBERS_MAX];
    uint64_t commit = world->watch.commit_index;
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct world_member *member = &world->members[i];
        uint64_t dice = tape_below(&world->tape, 4);
        bool loses_all = dice < 2;
        enum fs_sim_names names = loses_all ? FS_SIM_NAMES_NONE : dice == 2 ? FS_SIM_NAMES_SOME : FS_SIM_NAMES_RANDOM;
        struct fs_sim_crash crash = {.loss = loses_all ? FS_SIM_LOSE_ALL : FS_SIM_RANDOM, .seed = tape_seed(&world->tape), .names = names};
        world_disk_probe(member, &crash, &logs[i]);
        cover_probe(world, &logs[i]);
        if (member->damage.is_there) continue;
        if (!logs[i].is_good) fprintf(stderr, "m%u: %s\n", i, logs[i].message);
        require(member, logs[i].is_good, "D a power loss leaves a log that can be read", 0, 0);
        if (logs[i].is_suspect) fprintf(stderr, "m%u: %s\n", i, logs[i].message);
        check_suspicion(member, logs[i].is_suspect);
        check_owed(member, &logs[i].hard, logs[i].terms, logs[i].last_index, logs[i].snapshot_index);
    }
    for (uint64_t index = 1; index <= commit; index++) {
        uint32_t holders = 0;
        for (uint32_t i = 0; i < world->options.members; i++) {
            const struct world_member *member = &world->members[i];
            uint64_t excused = member->damage.is_there ? member->watch.owed.index : member->watch.excused_index;
            holders += index <= excused || (index <= logs[i].last_index && logs[i].terms[index] == world_watch_fact(world, index)->term);
        }
        require(&world->members[0], holders > world->options.members / 2, "R6 a power loss of all loses a committed entry", index, holders);
    }
    for (uint32_t i = 0; i < world->options.members; i++) world_disk_log_deinit(&logs[i]);
}

/* Its disk was damaged and it knows: it does not campaign, and votes for nobody who may lack what it lost. */
static void excuse(struct world_member *member, const uint64_t *terms, uint64_t last_index)
{
    struct world_watch_member *watch = &member->watch;
    member->world->counts.suspects++;
    member->world->counts.lost_states += member->damage.lost_count > 0 && last_index == 0;
    if (watch->owed.index > watch->excused_index) watch->excused_index = watch->owed.index;
    if (watch->excused_index == 0) watch->excused_index = 1;
    /* What the lost batch had overwritten stands there again. */
    uint64_t *owed = &watch->owed.index;
    while (*owed > 0 && (*owed > last_index || terms[*owed] != term_of(&watch->issued, *owed))) (*owed)--;
}

bool world_watch_is_whole(struct world_member *member)
{
    struct world_watch_member *watch = &member->watch;
    if (member->damage.is_there) return false;
    if (watch->excused_index == 0) return true;
    if (!member->is_up) return false;
    struct raft_status status;
    raft_get_status(member->line.raft.raft, &status);
    world_watch_renew(member);
    bool is_whole = !status.is_suspect && watch->durable.last_index >= watch->excused_index && status.commit_index >= watch->excused_index;
    if (is_whole && status.term >= watch->owed.term && status.term >= watch->owed.vote_term) watch->excused_index = 0;
    return watch->excused_index == 0;
}

void world_watch_start(struct world_member *member)
{
    struct world_watch_member *watch = &member->watch;
    struct raft_status status;
    const struct raft *raft = member->line.raft.raft;
    raft_get_status(raft, &status);
    watch->cluster_id = member->line.identity.cluster_id;
    uint64_t *terms = alloc_new((status.last_index + 1) * sizeof(uint64_t));
    for (uint64_t index = 1; index <= status.last_index; index++) terms[index] = term_at(member, &status, index);
    struct raft_hard_state hard = {.term = status.term, .vote = status.vote};
    check_suspicion(member, status.is_suspect);
    if (member->damage.is_there && status.is_suspect) excuse(member, terms, status.last_index);
    uint64_t applied = state_machine_applied_index(member->line.apply.machine);
    bool begins_anew = status.first_index > applied; /* behind a snapshot that it had got, but not taken over */
    check_owed(member, &hard, terms, status.last_index, begins_anew ? applied : 0);
    require(member, member->damage.whole == NULL, "D15 who lost its log does not start as if it were new", status.term, status.last_index);
    watch->hard = hard;
    watch->issued.last_index = watch->durable.last_index = 0;
    for (uint64_t index = 1; index <= status.last_index; index++) {
        world_watch_log_put(&watch->issued, index, terms[index]);
        world_watch_log_put(&watch->durable, index, terms[index]);
    }
    alloc_free(terms);
    if (member->world->watch.commit_index == 0) member->world->watch.commit_index = 1; /* the bootstrap entry is there from the start */
    if (applied >= 1) world_watch_fact(member->world, 1)->term = 1;
    for (uint64_t index = 1; index <= applied; index++) {
        bool is_known = index <= member->world->watch.commit_index && term_of(&watch->issued, index) == world_watch_fact(member->world, index)->term;
        require(member, is_known, "R5 what is recovered as final was committed", index, applied);
    }
    watch->posted_index = applied;
    if (begins_anew) watch->installed_index = applied;
    watch->commit_index = 0;
    watch->leads_term = 0;
    watch->waits_since_ns = 0;
    map_init(&watch->floors);
    member->damage.is_there = false; /* it read all that it relies on */
    member->damage.lost_count = 0;
    world_watch_published(member); /* A3 */
}

void world_watch_end(struct world_member *member)
{
    struct world_watch_member *watch = &member->watch;
    world_watch_renew(member);
    while (watch->appends_first != NULL) {
        struct world_watch_append *append = watch->appends_first;
        watch->appends_first = append->next;
        alloc_free(append);
    }
    watch->appends_last = NULL;
    map_deinit(&watch->floors);
}
