/* raft_cluster_watch: the invariants that hold after every step of every node (names as in the test plan: R1 … R16).
 *
 * Log matching (R3) is checked by induction: every (index, term) that ever reached a disk has one predecessor term and one
 * content.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "lib/raft_cluster.h"

struct raft_cluster_seen {
    uint64_t term;
    uint64_t previous_term;
    uint64_t hash;
};

static void require(bool holds, const char *invariant, uint64_t id, uint64_t value)
{
    if (holds) return;
    fprintf(stderr, "broken: %s (node %" PRIu64 ", %" PRIu64 ")\n", invariant, id, value);
    ASSERT(holds);
}

static uint64_t hash_entry(const struct raft_entry *entry)
{
    uint64_t hash = UINT64_C(1469598103934665603) ^ (uint64_t)entry->kind;
    struct slice bytes = blob_slice(entry->data);
    for (size_t i = 0; i < bytes.size; i++) hash = (hash ^ bytes.data[i]) * UINT64_C(1099511628211);
    return hash;
}

static struct raft_cluster_fact *fact_of(struct raft_cluster *cluster, uint64_t index)
{
    if (index >= cluster->fact_capacity) {
        size_t capacity = (size_t)index * 2 + 64;
        cluster->facts = alloc_resize(cluster->facts, capacity * sizeof(*cluster->facts));
        memset(cluster->facts + cluster->fact_capacity, 0, (capacity - cluster->fact_capacity) * sizeof(*cluster->facts));
        cluster->fact_capacity = capacity;
    }
    return &cluster->facts[index];
}

static struct raft_cluster_term *term_of(struct raft_cluster *cluster, uint64_t term)
{
    if (term >= cluster->term_capacity) {
        size_t capacity = (size_t)term * 2 + 64;
        cluster->terms = alloc_resize(cluster->terms, capacity * sizeof(*cluster->terms));
        memset(cluster->terms + cluster->term_capacity, 0, (capacity - cluster->term_capacity) * sizeof(*cluster->terms));
        cluster->term_capacity = capacity;
    }
    return &cluster->terms[term];
}

void raft_cluster_watch_deinit(struct raft_cluster *cluster)
{
    for (size_t i = 0; i < cluster->fact_capacity; i++) alloc_free(cluster->facts[i].seen);
    alloc_free(cluster->facts);
    alloc_free(cluster->terms);
}

static uint32_t holders(struct raft_cluster *cluster, const uint64_t *ids, uint32_t count, uint64_t index, uint64_t term)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] > cluster->node_count) continue;
        const struct raft_cluster_node *node = raft_cluster_node(cluster, ids[i]);
        bool is_held = index <= node->base_index || (node->entry_count >= index && node->entries[index - 1].term == term);
        /* Acknowledged, then damaged: its restraint stands for it. */
        bool is_restrained = node->raft == NULL || raft_cluster_status(cluster, node->id).is_suspect;
        bool is_lost = index <= node->suspect_index && is_restrained;
        if (is_held || is_lost) found++;
    }
    return found;
}

/* What is committed is on disks; a configuration among it is in force from there on. */
static void note_conf(struct raft_cluster *cluster, uint64_t index, uint64_t term)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct raft_cluster_node *node = &cluster->nodes[i];
        if (index <= node->base_index || index > node->entry_count || node->entries[index - 1].term != term) continue;
        const struct raft_entry *entry = &node->entries[index - 1];
        if (entry->kind == RAFT_ENTRY_CONF) fact_of(cluster, index)->conf_hash = hash_entry(entry);
    }
}

static void watch_commit(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_status *now)
{
    const struct raft_conf *conf = raft_conf(node->raft);
    while (cluster->commit_index < now->commit_index) {
        uint64_t index = ++cluster->commit_index;
        uint64_t term = raft_term_at(node->raft, index);
        uint32_t incoming = holders(cluster, conf->voters, conf->voter_count, index, term);
        uint32_t outgoing = holders(cluster, conf->outgoing, conf->outgoing_count, index, term);
        require(incoming > conf->voter_count / 2, "R6 committed entries are on a majority of disks", node->id, index);
        bool has_outgoing = conf->outgoing_count == 0 || outgoing > conf->outgoing_count / 2;
        require(has_outgoing, "R6 committed entries are on both majorities of disks", node->id, index);
        fact_of(cluster, index)->committed_term = term;
        note_conf(cluster, index, term);
    }
}

static bool has_votes(const struct raft_cluster_node *node, const struct raft_cluster_term *term, const uint64_t *ids,
                      uint32_t count)
{
    uint32_t yes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] <= RAFT_CLUSTER_NODES_MAX && term->votes[ids[i]] == node->id) yes++;
    }
    return count == 0 || yes > count / 2;
}

static void watch_election(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_status *now)
{
    const struct raft_conf *conf = raft_conf(node->raft);
    struct raft_cluster_term *term = term_of(cluster, now->term);
    if (node->hard.term == now->term && node->hard.vote == node->id) term->votes[node->id] = (uint8_t)node->id;
    bool is_elected = has_votes(node, term, conf->voters, conf->voter_count) &&
                      has_votes(node, term, conf->outgoing, conf->outgoing_count);
    require(is_elected, "R1 a leader has the durable votes of majorities", node->id, now->term);
    for (uint64_t index = now->first_index; index <= cluster->commit_index; index++) {
        uint64_t committed_term = fact_of(cluster, index)->committed_term;
        bool is_there = raft_term_at(node->raft, index) == committed_term;
        require(is_there, "R4 a new leader has all that is committed", node->id, index);
    }
}

static void watch_leader(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_status *before,
                         const struct raft_status *now)
{
    uint64_t *leader = &term_of(cluster, now->term)->leader;
    require(*leader == RAFT_NONE || *leader == node->id, "R1 one leader per term", node->id, now->term);
    *leader = node->id;
    bool is_new = before->role != RAFT_LEADER || before->term != now->term;
    if (is_new) watch_election(cluster, node, now);
    if (!is_new) require(now->last_index >= before->last_index, "R2 a leader only appends", node->id, now->last_index);
    if (!is_new && now->commit_index > before->commit_index) {
        bool is_own = raft_term_at(node->raft, now->commit_index) == now->term;
        require(is_own, "R7 counting commits only the own term", node->id, now->commit_index);
    }
}

/* Does it follow a leader from which it heard within an election timeout, by its own clock? */
static bool hears_leader(const struct raft_cluster_node *node, const struct raft_status *status)
{
    bool is_known = status->role == RAFT_FOLLOWER && status->leader != RAFT_NONE && status->leader <= RAFT_CLUSTER_NODES_MAX;
    return is_known && node->led_term == status->term && node->now_ns < node->led_ns + node->options.election_timeout_ns;
}

/* What a message may change: one of an older term nothing, a question neither term nor vote; a campaign that no leader asked for nothing
 * at who hears one (thesis 4.2.3). */
static void watch_message(const struct raft_cluster_node *node, const struct raft_status *before, const struct raft_status *now,
                          const struct raft_msg *msg)
{
    bool is_disturbed = msg->kind == RAFT_MSG_VOTE && !msg->transfer && now->term != before->term && hears_leader(node, before);
    require(!is_disturbed || !node->options.check_quorum, "V2 a campaign does not disturb who hears a leader", node->id, msg->term);
    bool is_same_vote = now->term == before->term && now->vote == before->vote;
    bool is_question = msg->kind == RAFT_MSG_PRE_VOTE;
    require(!is_question || is_same_vote, "R12 a question changes neither term nor vote", node->id, msg->term);
    if (msg->term >= before->term) return;
    bool is_same = is_same_vote && now->role == before->role && now->leader == before->leader &&
                   now->commit_index == before->commit_index && now->last_index == before->last_index;
    require(is_same, "R11 messages of an older term change nothing", node->id, msg->term);
}

static uint64_t heard_ns(const struct raft_cluster_node *node, uint64_t id)
{
    if (id == node->id) return node->now_ns;
    uint64_t ns = id <= RAFT_CLUSTER_NODES_MAX ? node->heard_ns[id] : 0;
    if (ns < node->lead_ns) ns = node->lead_ns;
    return ns < node->conf_ns ? node->conf_ns : ns; /* a new member is not silent at once */
}

/* Has a majority of these answered within an election timeout, by the leader's own clock? */
static bool hears_majority(const struct raft_cluster_node *node, const uint64_t *ids, uint32_t count)
{
    uint32_t heard = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (heard_ns(node, ids[i]) + node->options.election_timeout_ns > node->now_ns) heard++;
    }
    return count == 0 || heard > count / 2;
}

static bool is_stuck(const struct raft_cluster_node *node)
{
    if (node->append_count == 0) return false;
    uint64_t since_ns = node->appends[0].since_ns;
    if (node->persisted_ns > since_ns) since_ns = node->persisted_ns;
    return node->now_ns >= since_ns + node->options.election_timeout_ns;
}

/* A leader that nobody answers must not be one any more; whose disk hangs neither, nor may it try to become one. */
static void watch_tick(const struct raft_cluster_node *node, const struct raft_status *before, const struct raft_status *now)
{
    const struct raft_conf *conf = raft_conf(node->raft);
    bool is_heard = hears_majority(node, conf->voters, conf->voter_count) &&
                    hears_majority(node, conf->outgoing, conf->outgoing_count);
    bool is_leader = now->role == RAFT_LEADER;
    require(!is_leader || is_heard || !node->options.check_quorum, "R13 a leader hears majorities", node->id, node->now_ns);
    require(!is_leader || !is_stuck(node), "V5 a leader's disk does not hang", node->id, node->now_ns);
    bool has_begun = before->role == RAFT_FOLLOWER && now->role != RAFT_FOLLOWER;
    require(!has_begun || !is_stuck(node), "V5 nobody campaigns whose disk hangs", node->id, node->now_ns);
}

/* M1: one configuration at a time, and none before a leader committed something of its own. */
static void watch_propose(struct raft_cluster_node *node, const struct raft_status *before, const struct raft_status *now,
                          const struct raft_input *input)
{
    bool is_conf = now->last_index > before->last_index && input->proposals[0].kind == RAFT_ENTRY_CONF;
    if (!is_conf) return;
    require(before->has_own_commit, "M1 no configuration before an own commit", node->id, now->last_index);
    require(node->conf_index <= before->commit_index, "M1 one configuration at a time", node->id, now->last_index);
    node->conf_index = before->last_index + 1;
}

static void note_hearing(struct raft_cluster_node *node, const struct raft_status *before, const struct raft_status *now,
                         const struct raft_input *input)
{
    const struct raft_conf *conf = raft_conf(node->raft);
    uint64_t hash = conf->voter_count * 64 + conf->outgoing_count * 8 + conf->learner_count;
    for (uint32_t i = 0; i < conf->voter_count; i++) hash = hash * 31 + conf->voters[i];
    for (uint32_t i = 0; i < conf->outgoing_count; i++) hash = hash * 31 + conf->outgoing[i];
    if (hash != node->conf_hash) node->conf_ns = node->now_ns;
    node->conf_hash = hash;
    if (now->role == RAFT_LEADER && (before->role != RAFT_LEADER || before->term != now->term)) {
        node->lead_ns = node->now_ns;
        node->conf_index = 0;
        memset(node->confirmed_step, 0, sizeof(node->confirmed_step));
    }
    const struct raft_msg *msg = &input->message;
    if (input->kind != RAFT_IN_MESSAGE || msg->term != now->term || msg->from > RAFT_CLUSTER_NODES_MAX) return;
    bool is_led = msg->kind == RAFT_MSG_HEARTBEAT || msg->kind == RAFT_MSG_COMMIT;
    if (is_led) node->led_term = msg->term;
    if (is_led) node->led_ns = node->now_ns;
    bool is_answer = msg->kind == RAFT_MSG_APPEND_ANSWER || msg->kind == RAFT_MSG_HEARTBEAT_ANSWER;
    if (is_answer) node->heard_ns[msg->from] = node->now_ns;
    const struct raft_cluster_round *round = &node->rounds[msg->round % RAFT_CLUSTER_ROUNDS_MAX];
    bool is_newer = msg->kind == RAFT_MSG_HEARTBEAT_ANSWER && round->round == msg->round &&
                    round->step > node->confirmed_step[msg->from];
    if (is_newer) node->confirmed_step[msg->from] = round->step;
}

static uint64_t hash_conf(const struct raft_conf *conf)
{
    struct raft_entry entry = {.kind = RAFT_ENTRY_CONF, .data = raft_conf_encode(conf)};
    uint64_t hash = hash_entry(&entry);
    blob_unref(entry.data);
    return hash;
}

uint64_t raft_cluster_watch_conf_hash(struct raft_cluster *cluster, uint64_t index)
{
    while (index > 0 && fact_of(cluster, index)->conf_hash == 0) index--;
    return index > 0 ? fact_of(cluster, index)->conf_hash : hash_conf(&cluster->nodes[0].boot_conf);
}

void raft_cluster_watch_snapshot(struct raft_cluster *cluster, const struct raft_cluster_node *node, const struct raft_conf *conf,
                                 uint64_t index, uint64_t term)
{
    if (cluster->is_unwatched) return;
    require(index <= cluster->commit_index, "R15 a snapshot holds only what is committed", node->id, index);
    require(term == fact_of(cluster, index)->committed_term, "R15 a snapshot's term is that of its last entry", node->id, term);
    bool is_same_conf = hash_conf(conf) == raft_cluster_watch_conf_hash(cluster, index);
    require(is_same_conf, "R15 a snapshot's configuration is the one at its position", node->id, index);
}

/* Where the retained log begins, and what an install made of the rest. */
static void watch_start(struct raft_cluster *cluster, const struct raft_cluster_node *node, const struct raft_status *before,
                        const struct raft_status *now, const struct raft_input *input)
{
    uint64_t start = now->first_index - 1;
    bool is_committed = start == 0 || raft_term_at(node->raft, start) == fact_of(cluster, start)->committed_term;
    require(is_committed, "R15 the log begins behind a committed position", node->id, start);
    require(now->applied_index >= before->applied_index, "R15 what is applied never goes back", node->id, now->applied_index);
    if (input->kind != RAFT_IN_INSTALL || now->first_index == before->first_index) return;
    require(start == input->index && input->index > before->commit_index, "R15 only a newer snapshot is installed", node->id, start);
    require(now->last_index == start, "R15 behind an installed snapshot the log is empty", node->id, now->last_index);
    bool is_same_conf = hash_conf(raft_conf(node->raft)) == raft_cluster_watch_conf_hash(cluster, start);
    require(is_same_conf, "R15 an installed snapshot brings its configuration", node->id, start);
}

void raft_cluster_watch_step(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_status *before,
                             const struct raft_input *input)
{
    if (cluster->is_unwatched) return;
    struct raft_status now;
    raft_get_status(node->raft, &now);
    require(now.term >= before->term, "R11 terms never go back", node->id, now.term);
    require(now.term > before->term || before->vote == RAFT_NONE || now.vote == before->vote, "R10 one vote per term",
            node->id, now.term);
    require(now.commit_index >= before->commit_index, "R8 commit never goes back", node->id, now.commit_index);
    require(now.commit_index <= now.last_index, "R8 commit is in the log", node->id, now.commit_index);
    note_hearing(node, before, &now, input);
    if (input->kind == RAFT_IN_MESSAGE) watch_message(node, before, &now, &input->message);
    if (now.role == RAFT_LEADER) watch_leader(cluster, node, before, &now);
    if (input->kind == RAFT_IN_TICK) watch_tick(node, before, &now);
    if (input->kind == RAFT_IN_PROPOSE) watch_propose(node, before, &now, input);
    watch_commit(cluster, node, &now);
    watch_start(cluster, node, before, &now, input);
}

void raft_cluster_watch_disk(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_hard_state *hard,
                             const struct raft_entry *entries, size_t count)
{
    if (cluster->is_unwatched) return;
    require(hard->term >= node->hard.term, "R11 the durable term never goes back", node->id, hard->term);
    bool keeps_vote = hard->term > node->hard.term || node->hard.vote == RAFT_NONE || hard->vote == node->hard.vote;
    require(keeps_vote, "R10 a durable vote stays", node->id, hard->vote);
    size_t last = count == 0 ? node->entry_count : (size_t)entries[count - 1].index;
    require(hard->commit <= last, "the durable commit hint is in the log", node->id, hard->commit);
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &entries[i];
        struct raft_cluster_fact *fact = fact_of(cluster, entry->index);
        bool is_start = entry->index == node->base_index + 1;
        uint64_t previous = i > 0 ? entries[i - 1].term : (is_start ? node->base_term : node->entries[entry->index - 2].term);
        bool is_known = false;
        for (size_t k = 0; k < fact->seen_count; k++) {
            if (fact->seen[k].term != entry->term) continue;
            is_known = true;
            bool is_same = fact->seen[k].previous_term == previous && fact->seen[k].hash == hash_entry(entry);
            require(is_same, "R3 same index and term, same entry and same past", node->id, entry->index);
        }
        if (is_known) continue;
        fact->seen = alloc_resize(fact->seen, (fact->seen_count + 1) * sizeof(*fact->seen));
        fact->seen[fact->seen_count++] =
            (struct raft_cluster_seen){.term = entry->term, .previous_term = previous, .hash = hash_entry(entry)};
    }
}

void raft_cluster_watch_send(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_msg *msg)
{
    if (cluster->is_unwatched) return;
    bool is_question = msg->kind == RAFT_MSG_PRE_VOTE || (msg->kind == RAFT_MSG_PRE_VOTE_ANSWER && !msg->reject);
    uint64_t term = is_question ? msg->term - 1 : msg->term;
    if (msg->kind == RAFT_MSG_PRE_VOTE_ANSWER) term = 0; /* grants carry the term of the question */
    require(node->hard.term >= term, "R9 a term is durable before it is spoken", node->id, msg->term);
    struct raft_cluster_round *round = &node->rounds[msg->round % RAFT_CLUSTER_ROUNDS_MAX];
    if (msg->kind == RAFT_MSG_HEARTBEAT && round->round != msg->round) {
        *round = (struct raft_cluster_round){.round = msg->round, .step = cluster->step};
    }
    bool is_vote = msg->kind == RAFT_MSG_VOTE || (msg->kind == RAFT_MSG_VOTE_ANSWER && !msg->reject);
    if (is_vote) {
        uint64_t candidate = msg->kind == RAFT_MSG_VOTE ? msg->from : msg->to;
        uint8_t *vote = &term_of(cluster, msg->term)->votes[msg->from];
        require(*vote == 0 || *vote == candidate, "R10 one vote per term, also across crashes", node->id, msg->term);
        *vote = (uint8_t)candidate;
    }
    bool is_current = node->hard.term == msg->term;
    if (msg->kind == RAFT_MSG_VOTE && is_current) {
        require(node->hard.vote == node->id, "R9 a candidate's own vote is durable before it asks", node->id, msg->term);
    }
    if (msg->kind == RAFT_MSG_VOTE_ANSWER && !msg->reject && is_current) {
        require(node->hard.vote == msg->to, "R9 a vote is durable before it is given", node->id, msg->term);
    }
    if (msg->kind == RAFT_MSG_APPEND_ANSWER && !msg->reject && is_current) {
        require(node->entry_count >= msg->index, "R9 entries are durable before they are acknowledged", node->id, msg->index);
    }
}

void raft_cluster_watch_apply(struct raft_cluster *cluster, const struct raft_cluster_node *node,
                              const struct raft_entry *entry)
{
    if (cluster->is_unwatched) return;
    struct raft_cluster_fact *fact = fact_of(cluster, entry->index);
    require(entry->index <= cluster->commit_index, "R8 only what is committed is applied", node->id, entry->index);
    require(fact->committed_term == entry->term, "R5 one entry per index for all state machines", node->id, entry->index);
    bool is_first = fact->committed_hash == 0;
    require(is_first || fact->committed_hash == hash_entry(entry), "R5 one content per index", node->id, entry->index);
    fact->committed_hash = hash_entry(entry);
    bool is_durable = node->entry_count >= entry->index && node->entries[entry->index - 1].term == entry->term;
    require(is_durable, "only what the own disk has is applied", node->id, entry->index);
}

void raft_cluster_watch_credit(struct raft_cluster *cluster, const struct raft_cluster_node *node)
{
    if (cluster->is_unwatched) return;
    size_t bytes = 0;
    for (uint64_t index = node->applied_index + 1; index <= node->handed_index; index++) {
        bytes += RAFT_ENTRY_BYTES + blob_slice(node->entries[index - 1].data).size;
    }
    bool is_single = node->handed_index <= node->applied_index + 1;
    require(is_single || bytes <= node->options.apply_bytes_max, "R16 unapplied bytes stay within the credit", node->id, bytes);
}

/* Have a majority of these got a round that began at that step or later? */
static bool confirmed_since(const struct raft_cluster_node *node, const uint64_t *ids, uint32_t count, uint64_t step)
{
    uint32_t yes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_other = ids[i] != node->id && ids[i] <= RAFT_CLUSTER_NODES_MAX;
        if (ids[i] == node->id || (is_other && node->confirmed_step[ids[i]] >= step)) yes++;
    }
    return count == 0 || yes > count / 2;
}

void raft_cluster_watch_read(struct raft_cluster *cluster, const struct raft_cluster_node *node, const struct raft_read *read,
                             bool is_same_conf)
{
    if (cluster->is_unwatched) return;
    const struct raft_conf *conf = raft_conf(node->raft);
    uint64_t step = cluster->read_step[read->context % RAFT_CLUSTER_READS_MAX];
    bool is_confirmed = confirmed_since(node, conf->voters, conf->voter_count, step) &&
                        confirmed_since(node, conf->outgoing, conf->outgoing_count, step);
    require(is_confirmed || !is_same_conf, "R14 a read is confirmed by a round that began after it", node->id, read->context);
    bool is_fresh = read->index >= cluster->read_floor[read->context % RAFT_CLUSTER_READS_MAX];
    require(is_fresh, "R14 a read index covers all that was committed before it was asked", node->id, read->index);
}
