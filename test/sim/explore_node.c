/* explore_node: see explore_node.h. */
#include "sim/explore_node.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "raft/raft_image.h"
#include "sim/explore_disk.h"

/* ---- Making --------------------------------------------------------------------------------------------------------- */

static struct raft_options make_options(const struct explore_scope *scope)
{
    return (struct raft_options){
        .election_timeout_ns = EXPLORE_ELECTION_NS,
        .heartbeat_ns = EXPLORE_ELECTION_NS / 10,
        .pre_vote = scope->pre_vote,
        .check_quorum = scope->check_quorum,
        .inflight_messages_max = 2,
        .inflight_bytes_max = 1 << 16,
        .message_bytes_max = scope->batch == 1 ? 1 : 1 << 12, /* a single bigger entry goes alone */
        .tail_bytes_max = 1 << 20,
        .uncommitted_bytes_max = 1 << 20,
        .apply_bytes_max = 1 << 20,
        .own_wait_entries_min = scope->own_wait,
        .seed = 1,
    };
}

static struct raft_conf first_conf(const struct explore_scope *scope)
{
    struct raft_conf conf = {.voter_count = scope->voters, .learner_count = scope->nodes - scope->voters};
    for (uint32_t i = 0; i < scope->nodes; i++) {
        if (i < scope->voters) {
            conf.voters[i] = i + 1;
        } else {
            conf.learners[i - scope->voters] = i + 1;
        }
    }
    return conf;
}

struct explore_nodes *explore_nodes_new(const struct explore_scope *scope, struct explore_pool *pool)
{
    ASSERT(scope->nodes <= EXPLORE_NODES_MAX && scope->voters >= 1 && scope->voters <= scope->nodes);
    ASSERT(scope->appends <= EXPLORE_APPENDS_MAX && scope->proposals < EXPLORE_VALUES);
    struct explore_nodes *nodes = ALLOC(struct explore_nodes);
    nodes->scope = scope;
    nodes->pool = pool;
    nodes->options = make_options(scope);
    nodes->conf = first_conf(scope);
    for (uint8_t i = 0; i < EXPLORE_VALUES; i++) {
        const uint8_t letter = (uint8_t)('a' + i);
        nodes->values[i] = blob_copy(slice_make(&letter, 1));
    }
    map_init(&nodes->node_ids);
    map_init(&nodes->move_ids);
    buf_init(&nodes->bytes);
    buf_init(&nodes->scratch);
    explore_nodes_renew(nodes);
    return nodes;
}

void explore_nodes_renew(struct explore_nodes *nodes)
{
    nodes->raft = explore_disk_start(nodes, 1, &(struct explore_disk){.log = 0});
}

void explore_nodes_free(struct explore_nodes *nodes)
{
    if (nodes == NULL) return;
    raft_free(nodes->raft);
    for (int i = 0; i < EXPLORE_VALUES; i++) blob_unref(nodes->values[i]);
    map_deinit(&nodes->node_ids);
    map_deinit(&nodes->move_ids);
    buf_deinit(&nodes->bytes);
    buf_deinit(&nodes->scratch);
    alloc_free(nodes->items);
    alloc_free(nodes->moves);
    alloc_free(nodes->messages);
    alloc_free(nodes);
}

size_t explore_nodes_count(const struct explore_nodes *nodes) { return nodes->count; }
size_t explore_nodes_moves(const struct explore_nodes *nodes) { return nodes->move_count; }

const struct explore_node *explore_node(const struct explore_nodes *nodes, uint32_t node)
{
    ASSERT(node < nodes->count);
    return &nodes->items[node];
}

/* ---- Nodes as bytes ------------------------------------------------------------------------------------------------- */

static void load(struct explore_nodes *nodes, uint32_t node)
{
    const struct explore_node *item = &nodes->items[node];
    struct reader in = reader_make(slice_make(buf_slice(&nodes->bytes).data + item->bytes_at, item->bytes_size));
    raft_image_load(nodes->raft, &in, EXPLORE_NOW_NS);
    nodes->now_ns = EXPLORE_NOW_NS;
    nodes->persisted = 0;
    explore_disk_read(nodes, &in);
    ASSERT(!in.bad && reader_left(&in) == 0);
}

static uint8_t mask_of(const uint64_t *ids, uint32_t count)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < count; i++) mask |= 1u << (ids[i] - 1);
    return (uint8_t)mask;
}

/* What the checks ask of the node that stands in `raft` and `disk`. */
static void describe_item(struct explore_nodes *nodes, struct explore_node *item)
{
    struct raft_status status;
    raft_get_status(nodes->raft, &status);
    const struct raft_conf *conf = raft_conf(nodes->raft);
    const struct explore_disk *disk = &nodes->disk;
    item->role = (uint8_t)status.role;
    item->term = (uint8_t)status.term;
    item->vote = (uint8_t)status.vote;
    item->commit = (uint8_t)status.commit_index;
    item->last = (uint8_t)status.last_index;
    item->disk_term = (uint8_t)disk->hard.term;
    item->disk_vote = (uint8_t)disk->hard.vote;
    item->disk_last = (uint8_t)explore_pool_index(nodes->pool, disk->log);
    item->append_count = (uint8_t)disk->append_count;
    item->voters = mask_of(conf->voters, conf->voter_count);
    item->outgoing = mask_of(conf->outgoing, conf->outgoing_count);
    for (uint32_t i = 0; i < nodes->scope->nodes; i++) {
        uint64_t match = 0;
        if (i + 1 != item->id && raft_peer_match(nodes->raft, i + 1, &match)) item->match[i] = (uint8_t)match;
    }
    size_t count;
    const struct raft_entry *entries = raft_image_entries(nodes->raft, &count);
    item->base = (uint8_t)(status.first_index - 1);
    item->snapshot = disk->snapshot;
    for (uint32_t at = disk->core_base; at != 0; at = nodes->pool->entries[at].previous) item->log[explore_pool_index(nodes->pool, at)] = at;
    for (size_t i = item->base; i < item->base + count; i++) {
        item->log[i + 1] = explore_pool_chain(nodes->pool, item->log[i], &entries[i - item->base]);
    }
    for (uint32_t at = disk->log; at != 0; at = nodes->pool->entries[at].previous) {
        item->disk[explore_pool_index(nodes->pool, at)] = at;
    }
}

static uint64_t hash_under(struct explore_nodes *nodes, uint32_t order)
{
    buf_clear(&nodes->scratch);
    raft_image_save(nodes->raft, order == 0 ? NULL : nodes->pool->names[order], &nodes->scratch);
    explore_disk_put(nodes, &nodes->scratch, order, true);
    return explore_hash(buf_slice(&nodes->scratch));
}

/* The number of the node that stands in `raft` and `disk`. */
static uint32_t keep(struct explore_nodes *nodes, uint64_t id)
{
    uint64_t key = hash_under(nodes, 0);
    void *known = map_get(&nodes->node_ids, key);
    if (known != NULL) return (uint32_t)((uintptr_t)known - 1);
    nodes->items = explore_room(nodes->items, nodes->count, &nodes->capacity, sizeof(*nodes->items));
    struct explore_node *item = &nodes->items[nodes->count];
    *item = (struct explore_node){.hash = {key}, .id = (uint8_t)id, .bytes_at = buf_slice(&nodes->bytes).size};
    describe_item(nodes, item);
    for (uint32_t order = 1; order < nodes->pool->order_count; order++) item->hash[order] = hash_under(nodes, order);
    raft_image_save(nodes->raft, NULL, &nodes->bytes);
    explore_disk_put(nodes, &nodes->bytes, 0, false);
    item->bytes_size = (uint32_t)(buf_slice(&nodes->bytes).size - item->bytes_at);
    bool is_new = map_put(&nodes->node_ids, key, (void *)(uintptr_t)(nodes->count + 1));
    ASSERT(is_new);
    return (uint32_t)nodes->count++;
}

/* ---- One step ------------------------------------------------------------------------------------------------------- */

static void broken(struct explore_nodes *nodes, enum explore_rule rule)
{
    if (nodes->move.rule == EXPLORE_HOLDS) nodes->move.rule = (uint8_t)rule;
}

/* R9: what a message says must be on the disk when it leaves. */
static void check_message(struct explore_nodes *nodes, const struct raft_msg *msg)
{
    const struct explore_disk *disk = &nodes->disk;
    uint64_t needed_term = msg->term;
    if (msg->kind == RAFT_MSG_PRE_VOTE) needed_term--;                              /* nobody is in that term yet */
    if (msg->kind == RAFT_MSG_PRE_VOTE_ANSWER && !msg->reject) needed_term = 0; /* repeats the question's */
    if (disk->hard.term < needed_term) broken(nodes, EXPLORE_R9);
    if (disk->hard.term != msg->term) return;
    bool is_vote = msg->kind == RAFT_MSG_VOTE_ANSWER && !msg->reject;
    if (is_vote && disk->hard.vote != msg->to) broken(nodes, EXPLORE_R9);
    bool is_leaders = msg->kind == RAFT_MSG_VOTE || msg->kind == RAFT_MSG_APPEND || msg->kind == RAFT_MSG_HEARTBEAT;
    if (is_leaders && disk->hard.vote != msg->from) broken(nodes, EXPLORE_R9);
    bool is_acknowledgement = msg->kind == RAFT_MSG_APPEND_ANSWER && !msg->reject;
    if (is_acknowledgement && explore_pool_index(nodes->pool, disk->log) < msg->index) broken(nodes, EXPLORE_R9);
}

static void send(struct explore_nodes *nodes, uint32_t msg)
{
    check_message(nodes, &nodes->pool->msgs[msg].msg);
    for (uint32_t i = 0; i < nodes->move.message_count; i++) {
        if (nodes->out[i] == msg) return; /* the network is a set */
    }
    ASSERT(nodes->move.message_count < EXPLORE_OUT_MAX);
    nodes->out[nodes->move.message_count++] = msg;
}

static void take_persist(struct explore_nodes *nodes, const struct raft_output *output)
{
    struct explore_disk *disk = &nodes->disk;
    uint32_t limit = nodes->scope->appends == 0 ? EXPLORE_APPENDS_MAX : nodes->scope->appends;
    bool fits = disk->append_count < limit && output->message_after_count <= EXPLORE_AFTER_MAX;
    if (!fits) {
        nodes->is_out_of_scope = true;
        return;
    }
    uint32_t log = disk->append_count == 0 ? disk->log : disk->appends[disk->append_count - 1].log;
    if (output->install) log = nodes->installing;
    if (output->entry_count > 0) log = explore_pool_at(nodes->pool, log, output->entries[0].index - 1);
    for (size_t i = 0; i < output->entry_count; i++) log = explore_pool_chain(nodes->pool, log, &output->entries[i]);
    struct explore_append *append = &disk->appends[disk->append_count++];
    *append = (struct explore_append){.hard = output->hard, .log = log, .reset = output->install ? nodes->installing : 0};
    for (size_t i = 0; i < output->message_after_count; i++) {
        append->after[append->after_count++] = explore_pool_msg_id(nodes->pool, &output->messages_after[i]);
    }
}

static void take_output(struct explore_nodes *nodes)
{
    uint64_t now_ns = nodes->now_ns;
    struct raft_status before;
    raft_get_status(nodes->raft, &before);
    const struct raft_output *output = raft_take_output(nodes->raft, now_ns);
    for (size_t i = 0; i < output->message_count; i++) send(nodes, explore_pool_msg_id(nodes->pool, &output->messages[i]));
    if (output->persist) take_persist(nodes, output);
    if (output->read_count > 0) {
        nodes->move.read_index = (uint8_t)output->reads[0].index;
        bool is_certain = raft_term_at(nodes->raft, before.commit_index) == before.term;
        if (!is_certain) broken(nodes, EXPLORE_R14); /* nothing of its own term is committed yet */
    }
    if (output->committed_count == 0) return;
    uint64_t last = output->committed[output->committed_count - 1].index;
    bool is_next = output->committed[0].index == before.applied_index + 1;
    bool is_durable = last <= explore_pool_index(nodes->pool, nodes->disk.log) && last <= before.commit_index;
    if (!is_next || !is_durable) broken(nodes, EXPLORE_R8);
    struct raft_input applied = {.kind = RAFT_IN_APPLIED, .now_ns = now_ns, .index = last};
    (void)raft_step(nodes->raft, &applied);
    take_output(nodes);
}

static void persist(struct explore_nodes *nodes)
{
    struct explore_disk *disk = &nodes->disk;
    struct explore_append done = disk->appends[0];
    const struct raft_hard_state *old = &disk->hard;
    if (done.hard.term < old->term) broken(nodes, EXPLORE_R11);
    bool is_second_vote = done.hard.term == old->term && old->vote != RAFT_NONE && done.hard.vote != old->vote;
    if (is_second_vote) broken(nodes, EXPLORE_R10);
    disk->old_hard = disk->hard;
    disk->old_log = disk->log;
    disk->hard = done.hard;
    disk->log = done.log;
    if (done.reset != 0) disk->base = done.reset;
    disk->append_count--;
    memmove(disk->appends, disk->appends + 1, disk->append_count * sizeof(*disk->appends));
    for (uint32_t i = 0; i < done.after_count; i++) send(nodes, done.after[i]);
    struct raft_input input = {.kind = RAFT_IN_PERSISTED, .now_ns = nodes->now_ns, .sequence = ++nodes->persisted};
    (void)raft_step(nodes->raft, &input);
}

static void crash(struct explore_nodes *nodes, uint64_t id)
{
    struct explore_disk *disk = &nodes->disk;
    disk->append_count = 0;
    if (nodes->scope->disk_lies) {
        disk->hard = disk->old_hard;
        disk->log = disk->old_log;
    }
    raft_free(nodes->raft);
    nodes->raft = explore_disk_start(nodes, id, disk);
    nodes->persisted = 0;
}

static enum raft_answer propose(struct explore_nodes *nodes, enum raft_entry_kind kind, struct blob *data)
{
    struct raft_entry entry = {.kind = kind, .data = data};
    struct raft_input input = {.kind = RAFT_IN_PROPOSE, .now_ns = nodes->now_ns, .proposals = &entry, .proposal_count = 1};
    return raft_step(nodes->raft, &input);
}

static uint32_t without(const uint64_t *ids, uint32_t count, uint64_t id, uint64_t *out_ids)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] != id) out_ids[kept++] = ids[i];
    }
    return kept;
}

static uint32_t with(const uint64_t *ids, uint32_t count, uint64_t id, uint64_t *out_ids)
{
    uint32_t made = 0;
    for (uint32_t i = 0; i < count && ids[i] < id; i++) out_ids[made++] = ids[i];
    uint32_t smaller = made;
    out_ids[made++] = id;
    for (uint32_t i = smaller; i < count; i++) out_ids[made++] = ids[i];
    return made;
}

static enum raft_answer propose_conf(struct explore_nodes *nodes, uint32_t change)
{
    const struct raft_conf *now = raft_conf(nodes->raft);
    uint64_t member = change >> 1;
    bool is_voter = raft_is_voter(now, member);
    struct raft_conf next = {.members = NULL};
    next.voter_count = (is_voter ? without : with)(now->voters, now->voter_count, member, next.voters);
    next.learner_count = without(now->learners, now->learner_count, member, next.learners);
    if ((change & 1) != 0) {
        next.outgoing_count = now->voter_count;
        memcpy(next.outgoing, now->voters, sizeof next.outgoing);
    }
    if (now->outgoing_count > 0 || !raft_conf_is_valid(&next)) return RAFT_IGNORED;
    struct blob *bytes = raft_conf_encode(&next);
    enum raft_answer answer = propose(nodes, RAFT_ENTRY_CONF, bytes);
    blob_unref(bytes);
    return answer;
}

/* False: refused, nothing came of it. */
static bool step(struct explore_nodes *nodes, const struct explore_node *item, uint32_t input)
{
    uint32_t argument = input & 0xffffff;
    struct raft_input in = {.kind = RAFT_IN_TICK, .now_ns = nodes->now_ns};
    switch ((enum explore_input_kind)(input >> 24)) {
    case EXPLORE_DELIVER:
        in.kind = RAFT_IN_MESSAGE;
        in.message = explore_pool_msg(nodes->pool, argument);
        (void)raft_step(nodes->raft, &in);
        return true;
    case EXPLORE_PERSIST: persist(nodes); return true;
    case EXPLORE_TIMEOUT:
    case EXPLORE_BEAT:
        raft_image_make_due(nodes->raft);
        (void)raft_step(nodes->raft, &in);
        return true;
    case EXPLORE_AGE:
        nodes->now_ns = in.now_ns = EXPLORE_NOW_NS + EXPLORE_ELECTION_NS;
        (void)raft_step(nodes->raft, &in);
        return true;
    case EXPLORE_PROPOSE: return propose(nodes, RAFT_ENTRY_COMMAND, nodes->values[argument]) == RAFT_OK;
    case EXPLORE_CONF: return propose_conf(nodes, argument) == RAFT_OK;
    case EXPLORE_READ:
        in.kind = RAFT_IN_READ;
        in.context = 1;
        return raft_step(nodes->raft, &in) == RAFT_OK;
    case EXPLORE_CRASH: crash(nodes, item->id); return true;
    case EXPLORE_TAKE: return explore_disk_take(nodes, item->log[item->commit]);
    case EXPLORE_INSTALL: explore_disk_install(nodes, argument); return true;
    }
    return false;
}

static uint32_t uncertain_confs(const struct explore_nodes *nodes, const struct explore_node *item)
{
    uint32_t count = 0;
    for (uint32_t index = item->commit + 1u; index <= item->last; index++) {
        if (nodes->pool->entries[item->log[index]].entry.kind == RAFT_ENTRY_CONF) count++;
    }
    return count;
}

/* Of the newest CONF entry in its log, or of the first start. */
static bool has_conf_of_log(const struct explore_nodes *nodes, const struct explore_node *item)
{
    struct raft_conf conf;
    explore_disk_conf(nodes, item->log[item->last], &conf);
    bool is_same = item->voters == mask_of(conf.voters, conf.voter_count) &&
                   item->outgoing == mask_of(conf.outgoing, conf.outgoing_count);
    raft_conf_deinit(&conf);
    return is_same;
}

/* The rules that one node keeps alone. */
static void check_step(struct explore_nodes *nodes, const struct explore_node *before, const struct explore_node *after,
                       uint32_t input)
{
    enum explore_input_kind kind = (enum explore_input_kind)(input >> 24);
    bool is_leader = before->role == RAFT_LEADER && after->role == RAFT_LEADER && before->term == after->term;
    bool is_shorter = after->last < before->last || after->log[before->last] != before->log[before->last];
    if (is_leader && is_shorter) broken(nodes, EXPLORE_R2);
    if (kind != EXPLORE_CRASH && after->commit < before->commit) broken(nodes, EXPLORE_R8);
    if (after->commit > after->last) broken(nodes, EXPLORE_R8);
    if (after->disk_term < before->disk_term && !nodes->scope->disk_lies) broken(nodes, EXPLORE_R11);
    bool has_same_hard = after->term == before->term && after->vote == before->vote;
    if (kind == EXPLORE_DELIVER) {
        const struct raft_msg *msg = &nodes->pool->msgs[input & 0xffffff].msg;
        bool is_changed = !has_same_hard || after->role != before->role || after->commit != before->commit ||
                          after->last != before->last || after->log[after->last] != before->log[before->last];
        if (msg->term < before->term && is_changed) broken(nodes, EXPLORE_R11);
        if (msg->kind == RAFT_MSG_PRE_VOTE && msg->term >= before->term && !has_same_hard) broken(nodes, EXPLORE_R12);
    }
    if (after->role == RAFT_LEADER && uncertain_confs(nodes, after) > 1) broken(nodes, EXPLORE_M1);
    if (kind != EXPLORE_CRASH && after->base < before->base) broken(nodes, EXPLORE_R15);
    bool has_rest = kind == EXPLORE_INSTALL && after->base != before->base && after->last != after->base;
    if (has_rest) broken(nodes, EXPLORE_R15);
    uint64_t start_term = explore_pool_term(nodes->pool, after->log[after->base]);
    if (after->base > after->commit || raft_term_at(nodes->raft, after->base) != start_term) broken(nodes, EXPLORE_R15);
    if (!has_conf_of_log(nodes, after)) broken(nodes, EXPLORE_M2_CONF);
    if (kind == EXPLORE_CONF) {
        bool has_own = explore_pool_term(nodes->pool, before->log[before->commit]) == before->term;
        if (!has_own || uncertain_confs(nodes, before) > 0) broken(nodes, EXPLORE_M1);
    }
}

static bool is_in_scope(const struct explore_nodes *nodes, const struct explore_node *item)
{
    return !nodes->is_out_of_scope && item->term <= nodes->scope->terms && item->last < EXPLORE_LOG_MAX;
}

static struct explore_move run(struct explore_nodes *nodes, uint32_t node, uint32_t input)
{
    load(nodes, node);
    uint64_t id = nodes->items[node].id;
    nodes->is_out_of_scope = false;
    nodes->move = (struct explore_move){.node = EXPLORE_NOTHING, .read_index = UINT8_MAX};
    const struct explore_node item = nodes->items[node];
    if (!step(nodes, &item, input)) return nodes->move;
    take_output(nodes);
    while (nodes->scope->appends == 0 && nodes->disk.append_count > 0) {
        persist(nodes);
        take_output(nodes);
    }
    struct raft_status status;
    raft_get_status(nodes->raft, &status);
    if (nodes->is_out_of_scope || status.last_index > EXPLORE_LOG_MAX) return nodes->move;
    uint32_t made = keep(nodes, id);
    const struct explore_node *after = &nodes->items[made];
    check_step(nodes, &nodes->items[node], after, input);
    if (is_in_scope(nodes, after)) nodes->move.node = made;
    return nodes->move;
}

struct explore_move explore_node_move(struct explore_nodes *nodes, uint32_t node, uint32_t input)
{
    uint64_t key = (uint64_t)node << 32 | input;
    void *known = map_get(&nodes->move_ids, key);
    if (known != NULL) return nodes->moves[(uintptr_t)known - 1];
    struct explore_move move = run(nodes, node, input);
    move.first_message = (uint32_t)nodes->message_count;
    for (uint32_t i = 0; i < move.message_count; i++) {
        nodes->messages =
            explore_room(nodes->messages, nodes->message_count, &nodes->message_capacity, sizeof(*nodes->messages));
        nodes->messages[nodes->message_count++] = nodes->out[i];
    }
    nodes->moves = explore_room(nodes->moves, nodes->move_count, &nodes->move_capacity, sizeof(*nodes->moves));
    nodes->moves[nodes->move_count++] = move;
    bool is_new = map_put(&nodes->move_ids, key, (void *)(uintptr_t)nodes->move_count);
    ASSERT(is_new);
    return move;
}

const uint32_t *explore_move_messages(const struct explore_nodes *nodes, const struct explore_move *move)
{
    return nodes->messages + move->first_message;
}

uint32_t explore_node_first(struct explore_nodes *nodes, uint64_t id)
{
    nodes->disk = (struct explore_disk){.log = 0};
    raft_free(nodes->raft);
    nodes->raft = explore_disk_start(nodes, id, &nodes->disk);
    nodes->now_ns = EXPLORE_NOW_NS;
    take_output(nodes);
    return keep(nodes, id);
}

void explore_node_describe(struct explore_nodes *nodes, uint32_t node, struct buf *out_text)
{
    load(nodes, node);
    raft_describe_status(nodes->raft, out_text);
    const struct explore_disk *disk = &nodes->disk;
    buf_printf(out_text, "\n      disk: term %u vote %u log", (unsigned)disk->hard.term, (unsigned)disk->hard.vote);
    const struct explore_node *item = &nodes->items[node];
    uint64_t base = explore_pool_index(nodes->pool, disk->base);
    if (base > 0) buf_printf(out_text, " behind %u", (unsigned)base);
    for (uint64_t index = base + 1; index <= item->disk_last; index++) {
        buf_printf(out_text, " ");
        raft_describe_entry(&nodes->pool->entries[item->disk[index]].entry, out_text);
    }
    if (disk->append_count > 0) buf_printf(out_text, ", %u on the way", disk->append_count);
}
