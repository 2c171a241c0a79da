/* raft_cluster: see raft_cluster.h. */
#include "lib/raft_cluster.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { STABILIZE_ROUNDS_MAX = 10000 };

/* ---- Copies: outputs are lent, the world keeps its own -------------------------------------------------------------- */

static struct raft_entry *copy_entries(const struct raft_entry *entries, size_t count)
{
    if (count == 0) return NULL;
    struct raft_entry *copy = alloc_zero(count, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = entries[i];
        if (copy[i].data != NULL) blob_ref(copy[i].data);
    }
    return copy;
}

static void free_entries(struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) blob_unref(entries[i].data);
    alloc_free(entries);
}

static struct raft_cluster_mail copy_mail(const struct raft_msg *msg)
{
    struct raft_cluster_mail mail = {.msg = *msg};
    mail.msg.entries = copy_entries(msg->entries, msg->entry_count);
    return mail;
}

static void free_mail(struct raft_cluster_mail *mail)
{
    free_entries((struct raft_entry *)(uintptr_t)mail->msg.entries, mail->msg.entry_count);
}

static void free_append(struct raft_cluster_append *append)
{
    free_entries(append->entries, append->entry_count);
    for (size_t i = 0; i < append->after_count; i++) free_mail(&append->after[i]);
    alloc_free(append->after);
}

/* ---- Making --------------------------------------------------------------------------------------------------------- */

struct raft_options raft_cluster_options(void)
{
    return (struct raft_options){
        .election_timeout_ns = RAFT_CLUSTER_ELECTION_NS,
        .heartbeat_ns = RAFT_CLUSTER_HEARTBEAT_NS,
        .pre_vote = true,
        .check_quorum = true,
        .inflight_messages_max = 64,
        .inflight_bytes_max = 1 << 20,
        .message_bytes_max = 1 << 16,
        .tail_bytes_max = 1 << 20,
        .uncommitted_bytes_max = 1 << 20,
        .apply_bytes_max = 1 << 20,
    };
}

struct raft_cluster *raft_cluster_new(void)
{
    return ALLOC(struct raft_cluster);
}

static void free_disk(struct raft_cluster_node *node)
{
    free_entries(node->entries, node->entry_count);
    node->entries = NULL;
    node->entry_count = 0;
}

void raft_cluster_free(struct raft_cluster *cluster)
{
    if (cluster == NULL) return;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct raft_cluster_node *node = &cluster->nodes[i];
        raft_free(node->raft);
        for (size_t k = 0; k < node->append_count; k++) free_append(&node->appends[k]);
        free_disk(node);
        raft_conf_deinit(&node->boot_conf);
    }
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    raft_cluster_snapshot_deinit(cluster);
    alloc_free(cluster->network);
    raft_cluster_watch_deinit(cluster);
    alloc_free(cluster);
}

struct raft_conf raft_cluster_conf(const uint64_t *voters, uint32_t count)
{
    struct raft_conf conf = {.voter_count = count};
    for (uint32_t i = 0; i < count; i++) conf.voters[i] = voters[i];
    return conf;
}

struct raft_cluster_node *raft_cluster_add(struct raft_cluster *cluster, const struct raft_options *options,
                                           const struct raft_conf *conf)
{
    ASSERT(cluster->node_count < RAFT_CLUSTER_NODES_MAX);
    struct raft_cluster_node *node = &cluster->nodes[cluster->node_count++];
    node->id = cluster->node_count;
    node->options = *options;
    node->options.self = node->id;
    node->options.seed = options->seed * 100 + node->id;
    raft_conf_copy(&node->boot_conf, conf);
    raft_cluster_restart(cluster, node->id);
    return node;
}

struct raft_cluster *raft_cluster_of(uint32_t count, const struct raft_options *options)
{
    struct raft_cluster *cluster = raft_cluster_new();
    uint64_t voters[RAFT_CLUSTER_NODES_MAX];
    for (uint32_t i = 0; i < count; i++) voters[i] = i + 1;
    struct raft_conf conf = raft_cluster_conf(voters, count);
    for (uint32_t i = 0; i < count; i++) raft_cluster_add(cluster, options, &conf);
    return cluster;
}

struct raft_cluster_node *raft_cluster_node(struct raft_cluster *cluster, uint64_t id)
{
    ASSERT(id >= 1 && id <= cluster->node_count);
    return &cluster->nodes[id - 1];
}

struct raft_status raft_cluster_status(struct raft_cluster *cluster, uint64_t id)
{
    struct raft_status status = {.role = RAFT_FOLLOWER};
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (node->raft != NULL) raft_get_status(node->raft, &status);
    return status;
}

/* ---- Inputs --------------------------------------------------------------------------------------------------------- */

enum raft_answer raft_cluster_step(struct raft_cluster *cluster, uint64_t id, struct raft_input *input)
{
    static const char *const ANSWERS[] = {"ok", "not leader", "full", "ignored"};
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (node->raft == NULL) return RAFT_IGNORED;
    struct raft_status before;
    raft_get_status(node->raft, &before);
    input->now_ns = node->now_ns;
    cluster->step++;
    enum raft_answer answer = raft_step(node->raft, input);
    bool is_told = input->kind != RAFT_IN_MESSAGE && input->kind != RAFT_IN_PERSISTED && answer != RAFT_OK;
    if (is_told && cluster->trace != NULL) buf_printf(cluster->trace, "%" PRIu64 ": %s\n", id, ANSWERS[answer]);
    raft_cluster_watch_step(cluster, node, &before, input);
    return answer;
}

enum raft_answer raft_cluster_input(struct raft_cluster *cluster, uint64_t id, enum raft_input_kind kind, uint64_t peer)
{
    struct raft_input input = {.kind = kind, .peer = peer, .flag = peer != 0};
    return raft_cluster_step(cluster, id, &input);
}

enum raft_answer raft_cluster_propose(struct raft_cluster *cluster, uint64_t id, const char *text)
{
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = blob_copy(slice_from_string(text))};
    struct raft_input input = {.kind = RAFT_IN_PROPOSE, .proposals = &entry, .proposal_count = 1};
    enum raft_answer answer = raft_cluster_step(cluster, id, &input);
    blob_unref(entry.data);
    return answer;
}

enum raft_answer raft_cluster_propose_conf(struct raft_cluster *cluster, uint64_t id, const struct raft_conf *conf)
{
    struct raft_entry entry = {.kind = RAFT_ENTRY_CONF, .data = raft_conf_encode(conf)};
    struct raft_input input = {.kind = RAFT_IN_PROPOSE, .proposals = &entry, .proposal_count = 1};
    enum raft_answer answer = raft_cluster_step(cluster, id, &input);
    blob_unref(entry.data);
    return answer;
}

enum raft_answer raft_cluster_read(struct raft_cluster *cluster, uint64_t id, uint64_t context)
{
    ASSERT(context < RAFT_CLUSTER_READS_MAX);
    cluster->read_floor[context] = cluster->commit_index;
    cluster->read_step[context] = ++cluster->step;
    struct raft_input input = {.kind = RAFT_IN_READ, .context = context};
    return raft_cluster_step(cluster, id, &input);
}

enum raft_answer raft_cluster_message(struct raft_cluster *cluster, const struct raft_msg *msg)
{
    struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = *msg};
    return raft_cluster_step(cluster, msg->to, &input);
}

void raft_cluster_tick(struct raft_cluster *cluster, uint64_t id, uint64_t ns)
{
    raft_cluster_node(cluster, id)->now_ns += ns;
    (void)raft_cluster_input(cluster, id, RAFT_IN_TICK, 0);
}

void raft_cluster_campaign(struct raft_cluster *cluster, uint64_t id)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    uint64_t deadline_ns = raft_deadline_ns(node->raft);
    raft_cluster_tick(cluster, id, deadline_ns > node->now_ns ? deadline_ns - node->now_ns : 0);
}

void raft_cluster_advance(struct raft_cluster *cluster, uint64_t ns)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct raft_cluster_node *node = &cluster->nodes[i];
        node->now_ns += ns;
        if (node->raft != NULL && raft_deadline_ns(node->raft) <= node->now_ns) raft_cluster_tick(cluster, node->id, 0);
    }
}

/* ---- Movement ------------------------------------------------------------------------------------------------------- */

static void trace_msg(struct raft_cluster *cluster, const char *what, const struct raft_msg *msg)
{
    if (cluster->trace == NULL) return;
    buf_printf(cluster->trace, "%s ", what);
    raft_describe_msg(msg, cluster->trace);
    buf_printf(cluster->trace, "\n");
}

static void trace_entries(struct raft_cluster *cluster, const struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count && cluster->trace != NULL; i++) {
        buf_printf(cluster->trace, i == 0 ? " [" : ", ");
        raft_describe_entry(&entries[i], cluster->trace);
        if (i + 1 == count) buf_printf(cluster->trace, "]");
    }
}

static void send(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_msg *msg)
{
    raft_cluster_watch_send(cluster, node, msg);
    node->messages_sent++;
    bool is_lost = msg->to > cluster->node_count || cluster->is_cut[msg->from][msg->to];
    trace_msg(cluster, is_lost ? "lost" : "send", msg);
    if (is_lost) return;
    if (cluster->network_count == cluster->network_capacity) {
        cluster->network_capacity = cluster->network_capacity == 0 ? 64 : cluster->network_capacity * 2;
        cluster->network = alloc_resize(cluster->network, cluster->network_capacity * sizeof(*cluster->network));
    }
    cluster->network[cluster->network_count++] = copy_mail(msg);
}

static void take_append(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_output *output)
{
    ASSERT(output->persist || (output->entry_count == 0 && output->message_after_count == 0));
    if (!output->persist) return;
    ASSERT(node->append_count < RAFT_APPENDS_MAX);
    struct raft_cluster_append *append = &node->appends[node->append_count++];
    *append = (struct raft_cluster_append){
        .sequence = output->sequence, .hard = output->hard, .since_ns = node->now_ns, .is_reset = output->install,
        .reset_index = output->install_index, .reset_term = output->install_term};
    append->entries = copy_entries(output->entries, output->entry_count);
    append->entry_count = output->entry_count;
    append->after_count = output->message_after_count;
    append->after = alloc_zero(append->after_count + 1, sizeof(*append->after));
    for (size_t i = 0; i < append->after_count; i++) append->after[i] = copy_mail(&output->messages_after[i]);
    if (cluster->trace == NULL) return;
    buf_printf(cluster->trace, "%" PRIu64 ": append #%" PRIu64, node->id, output->sequence);
    if (output->install) buf_printf(cluster->trace, " reset %" PRIu64 "/%" PRIu64, output->install_index, output->install_term);
    buf_printf(cluster->trace, " term %" PRIu64 " vote %" PRIu64 " commit %" PRIu64, output->hard.term, output->hard.vote,
               output->hard.commit);
    trace_entries(cluster, output->entries, output->entry_count);
    buf_printf(cluster->trace, "\n");
    for (size_t i = 0; i < append->after_count; i++) trace_msg(cluster, "  then", &append->after[i].msg);
}

static void take_committed(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_output *output)
{
    for (size_t i = 0; i < output->committed_count; i++) {
        ASSERT(output->committed[i].index == node->handed_index + 1); /* once, in order */
        node->handed_index++;
        raft_cluster_watch_apply(cluster, node, &output->committed[i]);
    }
    raft_cluster_watch_credit(cluster, node);
    if (output->committed_count == 0 || cluster->trace == NULL) return;
    buf_printf(cluster->trace, "%" PRIu64 ": committed", node->id);
    trace_entries(cluster, output->committed, output->committed_count);
    buf_printf(cluster->trace, "\n");
}

static void take_reads(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_output *output)
{
    for (size_t i = 0; i < output->read_count; i++) {
        const struct raft_read *read = &output->reads[i];
        raft_cluster_watch_read(cluster, node, read, !output->conf_changed);
        node->reads_done++;
        node->last_read_index = read->index;
        node->last_read_started_ns = read->started_ns;
        if (cluster->trace == NULL) continue;
        buf_printf(cluster->trace, "%" PRIu64 ": read %" PRIu64 " at %" PRIu64 "\n", node->id, read->context, read->index);
    }
    for (size_t i = 0; i < output->read_lost_count; i++) {
        node->reads_lost++;
        if (cluster->trace == NULL) continue;
        buf_printf(cluster->trace, "%" PRIu64 ": read %" PRIu64 " lost\n", node->id, output->reads_lost[i]);
    }
}

static void take_changes(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_output *output)
{
    if (output->conf_changed) node->conf_changes++;
    if (cluster->trace == NULL) return;
    struct raft_status status = raft_cluster_status(cluster, node->id);
    if (output->leader_changed) {
        buf_printf(cluster->trace, "%" PRIu64 ": %s term %" PRIu64 " leader %" PRIu64 "\n", node->id,
                   raft_role_name(status.role), status.term, status.leader);
    }
    if (output->conf_changed) {
        buf_printf(cluster->trace, "%" PRIu64 ": conf ", node->id);
        raft_describe_conf(raft_conf(node->raft), cluster->trace);
        buf_printf(cluster->trace, "\n");
    }
}

size_t raft_cluster_take(struct raft_cluster *cluster, uint64_t id)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (node->raft == NULL) return 0;
    const struct raft_output *output = raft_take_output(node->raft, node->now_ns);
    take_changes(cluster, node, output);
    raft_cluster_snapshot_take_output(cluster, node, output);
    take_append(cluster, node, output);
    for (size_t i = 0; i < output->message_count; i++) send(cluster, node, &output->messages[i]);
    take_committed(cluster, node, output);
    take_reads(cluster, node, output);
    for (size_t i = 0; i < output->fetch_count; i++) {
        ASSERT(node->fetch_count < RAFT_CLUSTER_NODES_MAX);
        node->fetches[node->fetch_count++] = output->fetches[i];
        if (cluster->trace == NULL) continue;
        const struct raft_fetch *fetch = &output->fetches[i];
        buf_printf(cluster->trace, "%" PRIu64 ": fetch %" PRIu64 "..%" PRIu64 " for %" PRIu64 "\n", id, fetch->first_index,
                   fetch->last_index, fetch->peer);
    }
    return output->message_count + output->committed_count + output->read_count + output->fetch_count +
           (output->persist ? 1 : 0) + (output->offer != NULL ? 1 : 0);
}

static void write_disk(struct raft_cluster *cluster, struct raft_cluster_node *node, struct raft_cluster_append *append)
{
    if (append->is_reset) raft_cluster_reset_disk(node, append->reset_index, append->reset_term);
    raft_cluster_watch_disk(cluster, node, &append->hard, append->entries, append->entry_count);
    node->hard = append->hard;
    if (node->hard.commit >= node->suspect_index) node->suspect_index = node->suspect_term = 0;
    if (append->entry_count == 0) return;
    size_t keep = (size_t)append->entries[0].index - 1;
    ASSERT(keep <= node->entry_count && keep >= node->base_index);
    for (size_t i = keep; i < node->entry_count; i++) blob_unref(node->entries[i].data);
    node->entry_count = keep + append->entry_count;
    node->entries = alloc_resize(node->entries, node->entry_count * sizeof(*node->entries));
    memcpy(node->entries + keep, append->entries, append->entry_count * sizeof(*node->entries));
    alloc_free(append->entries); /* the references moved */
    append->entries = NULL;
    append->entry_count = 0;
}

static void forget_appends(struct raft_cluster_node *node, size_t count)
{
    for (size_t i = 0; i < count; i++) free_append(&node->appends[i]);
    node->append_count -= count;
    memmove(node->appends, node->appends + count, node->append_count * sizeof(*node->appends));
}

size_t raft_cluster_persist(struct raft_cluster *cluster, uint64_t id, size_t count)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (count > node->append_count) count = node->append_count;
    if (node->raft == NULL || count == 0) return 0;
    for (size_t i = 0; i < count; i++) {
        struct raft_cluster_append *append = &node->appends[i];
        write_disk(cluster, node, append);
        for (size_t k = 0; k < append->after_count; k++) send(cluster, node, &append->after[k].msg);
    }
    struct raft_input input = {.kind = RAFT_IN_PERSISTED, .sequence = node->appends[count - 1].sequence};
    if (cluster->trace != NULL) buf_printf(cluster->trace, "%" PRIu64 ": durable #%" PRIu64 "\n", id, input.sequence);
    forget_appends(node, count);
    node->persisted_ns = node->now_ns;
    (void)raft_cluster_step(cluster, id, &input);
    return count;
}

size_t raft_cluster_apply(struct raft_cluster *cluster, uint64_t id)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (node->raft == NULL || node->applied_index == node->handed_index) return 0;
    size_t moved = (size_t)(node->handed_index - node->applied_index);
    node->applied_index = node->handed_index;
    struct raft_input input = {.kind = RAFT_IN_APPLIED, .index = node->applied_index};
    (void)raft_cluster_step(cluster, id, &input);
    return moved;
}

size_t raft_cluster_fetch(struct raft_cluster *cluster, uint64_t id, bool succeeds)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (node->raft == NULL || node->fetch_count == 0) return 0;
    struct raft_fetch fetch = node->fetches[0];
    node->fetch_count--;
    memmove(node->fetches, node->fetches + 1, node->fetch_count * sizeof(fetch));
    struct raft_input input = {.kind = RAFT_IN_FETCHED, .peer = fetch.peer};
    size_t bytes = 0;
    if (succeeds && fetch.first_index > node->base_index) { /* else compacted meanwhile */
        ASSERT(fetch.last_index <= node->entry_count);
        input.entries = &node->entries[fetch.first_index - 1];
        for (uint64_t index = fetch.first_index; index <= fetch.last_index; index++) {
            const struct blob *data = node->entries[index - 1].data;
            bytes += RAFT_ENTRY_BYTES + (data == NULL ? 0 : data->size);
            if (bytes > fetch.bytes_max && input.entry_count > 0) break;
            input.entry_count++;
        }
    }
    (void)raft_cluster_step(cluster, id, &input);
    return 1;
}

const struct raft_msg *raft_cluster_sent(const struct raft_cluster *cluster, uint64_t from, uint64_t to,
                                         enum raft_msg_kind kind)
{
    for (size_t i = cluster->network_count; i > 0; i--) {
        const struct raft_msg *msg = &cluster->network[i - 1].msg;
        if (msg->from == from && msg->to == to && msg->kind == kind) return msg;
    }
    return NULL;
}

static struct raft_cluster_mail remove_mail(struct raft_cluster *cluster, size_t place)
{
    ASSERT(place < cluster->network_count);
    struct raft_cluster_mail mail = cluster->network[place];
    cluster->network_count--;
    memmove(cluster->network + place, cluster->network + place + 1, (cluster->network_count - place) * sizeof(mail));
    return mail;
}

void raft_cluster_deliver_at(struct raft_cluster *cluster, size_t place, bool keep)
{
    struct raft_cluster_mail mail = keep ? copy_mail(&cluster->network[place].msg) : remove_mail(cluster, place);
    (void)raft_cluster_message(cluster, &mail.msg);
    free_mail(&mail);
}

size_t raft_cluster_deliver(struct raft_cluster *cluster, uint64_t to)
{
    size_t moved = 0;
    for (size_t i = 0; i < cluster->network_count;) {
        if (cluster->network[i].msg.to == to) {
            raft_cluster_deliver_at(cluster, i, false);
            moved++;
        } else {
            i++;
        }
    }
    return moved;
}

void raft_cluster_drop_at(struct raft_cluster *cluster, size_t place)
{
    trace_msg(cluster, "drop", &cluster->network[place].msg);
    struct raft_cluster_mail mail = remove_mail(cluster, place);
    free_mail(&mail);
}

size_t raft_cluster_drop(struct raft_cluster *cluster, uint64_t from, uint64_t to)
{
    size_t moved = 0;
    for (size_t i = 0; i < cluster->network_count;) {
        const struct raft_msg *msg = &cluster->network[i].msg;
        if ((from == RAFT_NONE || msg->from == from) && (to == RAFT_NONE || msg->to == to)) {
            raft_cluster_drop_at(cluster, i);
            moved++;
        } else {
            i++;
        }
    }
    return moved;
}

bool raft_cluster_settle(struct raft_cluster *cluster, uint64_t id)
{
    bool has_moved = false;
    for (uint32_t round = 0; round < STABILIZE_ROUNDS_MAX; round++) {
        size_t moved = raft_cluster_take(cluster, id);
        moved += raft_cluster_persist(cluster, id, SIZE_MAX);
        moved += raft_cluster_apply(cluster, id);
        moved += raft_cluster_fetch(cluster, id, true);
        moved += raft_cluster_receive(cluster, id, true);
        moved += raft_cluster_install(cluster, id);
        if (moved == 0) return has_moved;
        has_moved = true;
    }
    ASSERT(false); /* it never comes to rest */
    return true;
}

void raft_cluster_stabilize(struct raft_cluster *cluster)
{
    for (uint32_t round = 0; round < STABILIZE_ROUNDS_MAX; round++) {
        bool has_moved = false;
        for (uint32_t i = 0; i < cluster->node_count; i++) {
            if (raft_cluster_deliver(cluster, cluster->nodes[i].id) > 0) has_moved = true;
            if (raft_cluster_settle(cluster, cluster->nodes[i].id)) has_moved = true;
        }
        if (!has_moved) return;
    }
    ASSERT(false);
}

/* ---- Faults --------------------------------------------------------------------------------------------------------- */

void raft_cluster_crash(struct raft_cluster *cluster, uint64_t id, size_t appends_kept)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    ASSERT(node->raft != NULL);
    for (size_t i = 0; i < appends_kept && i < node->append_count; i++) write_disk(cluster, node, &node->appends[i]);
    forget_appends(node, node->append_count);
    raft_free(node->raft);
    node->raft = NULL;
    node->conf_index = 0;
    memset(node->rounds, 0, sizeof(node->rounds));
    node->fetch_count = 0;
    node->handed_index = node->applied_index = 0;
    node->received = 0;
    node->offer.index = 0;
}

void raft_cluster_isolate(struct raft_cluster *cluster, uint64_t id)
{
    for (uint32_t other = 1; other <= RAFT_CLUSTER_NODES_MAX; other++) {
        cluster->is_cut[id][other] = cluster->is_cut[other][id] = true;
    }
}

void raft_cluster_heal(struct raft_cluster *cluster)
{
    memset(cluster->is_cut, 0, sizeof(cluster->is_cut));
}

void raft_cluster_set_disk(struct raft_cluster *cluster, uint64_t id, struct raft_hard_state hard, const uint64_t *terms,
                           size_t count)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    ASSERT(node->raft == NULL);
    free_disk(node);
    node->base_index = node->base_term = 0;
    node->hard = hard;
    node->entries = alloc_zero(count + 1, sizeof(*node->entries));
    for (size_t i = 0; i < count; i++) {
        node->entries[i] = (struct raft_entry){.index = i + 1, .term = terms[i], .kind = RAFT_ENTRY_EMPTY};
    }
    node->entry_count = count;
}

uint64_t raft_cluster_leader(struct raft_cluster *cluster)
{
    uint64_t leader = RAFT_NONE;
    uint64_t term = 0;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct raft_status status = raft_cluster_status(cluster, cluster->nodes[i].id);
        if (status.role != RAFT_LEADER || status.term <= term) continue;
        term = status.term;
        leader = cluster->nodes[i].id;
    }
    return leader;
}

void raft_cluster_elect(struct raft_cluster *cluster, uint64_t id)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) cluster->nodes[i].now_ns += RAFT_CLUSTER_ELECTION_NS;
    raft_cluster_campaign(cluster, id);
    raft_cluster_stabilize(cluster);
    ASSERT(raft_cluster_status(cluster, id).role == RAFT_LEADER);
}
