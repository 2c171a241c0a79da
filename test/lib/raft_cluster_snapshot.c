/* raft_cluster_snapshot: what a node finds on its disk when it starts, and snapshots: taking, compacting, receiving, installing. See
 * raft_cluster.h.
 *
 * A snapshot says the same wherever it was taken, so the cluster keeps one list; a node's file is a place in it. A file is durable before
 * the core hears of it, and it counts only once the log begins behind it, or at the next start: a log that does not hold its position is
 * reset to it then, as the real log does.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "lib/raft_cluster.h"

static const struct raft_cluster_snapshot *file_of(const struct raft_cluster *cluster, size_t place_and_one)
{
    ASSERT(place_and_one <= cluster->snapshot_count);
    return place_and_one == 0 ? NULL : &cluster->snapshots[place_and_one - 1];
}

static uint64_t term_on_disk(const struct raft_cluster_node *node, uint64_t index)
{
    ASSERT(index >= node->base_index);
    if (index == node->base_index) return node->base_term;
    return index <= node->entry_count ? node->entries[index - 1].term : 0;
}

static void blank(struct raft_cluster_node *node, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        blob_unref(node->entries[i].data);
        node->entries[i] = (struct raft_entry){.index = 0};
    }
}

void raft_cluster_reset_disk(struct raft_cluster_node *node, uint64_t index, uint64_t term)
{
    ASSERT(index > node->base_index);
    blank(node, 0, node->entry_count);
    node->entries = alloc_resize(node->entries, (size_t)index * sizeof(*node->entries));
    memset(node->entries, 0, (size_t)index * sizeof(*node->entries));
    node->entry_count = (size_t)index;
    node->base_index = index;
    node->base_term = term;
}

void raft_cluster_snapshot_deinit(struct raft_cluster *cluster)
{
    for (size_t i = 0; i < cluster->snapshot_count; i++) raft_conf_deinit(&cluster->snapshots[i].conf);
    alloc_free(cluster->snapshots);
}

/* ---- Starting ------------------------------------------------------------------------------------------------------- */

void raft_cluster_restart(struct raft_cluster *cluster, uint64_t id)
{
    raft_cluster_restart_from(cluster, id, 0);
}

static size_t make_runs(const struct raft_cluster_node *node, struct raft_term_run *runs)
{
    size_t count = 0;
    for (size_t i = (size_t)node->base_index; i < node->entry_count; i++) {
        const struct raft_entry *entry = &node->entries[i];
        if (count == 0 || runs[count - 1].term != entry->term) {
            runs[count++] = (struct raft_term_run){.first_index = entry->index, .term = entry->term};
        }
    }
    return count;
}

void raft_cluster_damage(struct raft_cluster *cluster, uint64_t id, size_t entries_kept)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    ASSERT(node->raft == NULL && entries_kept < node->entry_count && entries_kept >= node->base_index);
    if (node->suspect_index < node->entry_count) {
        node->suspect_index = node->entry_count;
        node->suspect_term = node->entries[node->entry_count - 1].term;
    }
    while (node->entry_count > entries_kept) blob_unref(node->entries[--node->entry_count].data);
    if (node->hard.commit > entries_kept) node->hard.commit = entries_kept;
}

void raft_cluster_restart_from(struct raft_cluster *cluster, uint64_t id, uint64_t applied_index)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    const struct raft_cluster_snapshot *file = file_of(cluster, node->snapshot);
    if (file != NULL && term_on_disk(node, file->index) != file->term) raft_cluster_reset_disk(node, file->index, file->term);
    if (file != NULL && applied_index < file->index) applied_index = file->index;
    ASSERT(node->raft == NULL && applied_index <= node->entry_count);
    struct raft_term_run *runs = alloc_zero(node->entry_count + 1, sizeof(*runs));
    struct raft_restore restore = {
        .hard = node->hard,
        .snapshot_index = node->base_index,
        .snapshot_term = node->base_term,
        .applied_index = applied_index,
        .runs = runs,
        .run_count = make_runs(node, runs),
        .entries = node->entries + applied_index, /* older ones come by fetch */
        .entry_count = node->entry_count - applied_index,
        .suspect_index = node->suspect_index,
        .suspect_term = node->suspect_term,
    };
    raft_conf_copy(&restore.conf, file != NULL ? &file->conf : &node->boot_conf);
    for (size_t i = file != NULL ? (size_t)file->index : 0; i < applied_index; i++) {
        if (node->entries[i].kind != RAFT_ENTRY_CONF) continue;
        raft_conf_deinit(&restore.conf);
        bool is_sound = raft_conf_decode(blob_slice(node->entries[i].data), &restore.conf);
        ASSERT(is_sound);
    }
    if (node->entry_count > 0 && restore.entry_count == 0) restore.entries = NULL;
    node->raft = raft_new(&node->options, &restore, node->now_ns);
    node->handed_index = node->applied_index = applied_index;
    node->options.seed += 1000;
    if (file != NULL) raft_offer(node->raft, file->index, file->term);
    raft_conf_deinit(&restore.conf);
    alloc_free(runs);
}

/* ---- Taking --------------------------------------------------------------------------------------------------------- */

/* The configuration in force at an index that the node has applied, not before its newest file. */
static void conf_at(const struct raft_cluster *cluster, const struct raft_cluster_node *node, uint64_t index, struct raft_conf *out_conf)
{
    const struct raft_cluster_snapshot *file = file_of(cluster, node->snapshot);
    raft_conf_copy(out_conf, file != NULL ? &file->conf : &node->boot_conf);
    for (size_t i = file != NULL ? (size_t)file->index : 0; i < index; i++) {
        if (node->entries[i].kind != RAFT_ENTRY_CONF) continue;
        raft_conf_deinit(out_conf);
        bool is_sound = raft_conf_decode(blob_slice(node->entries[i].data), out_conf);
        ASSERT(is_sound);
    }
}

bool raft_cluster_take_snapshot(struct raft_cluster *cluster, uint64_t id)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    const struct raft_cluster_snapshot *file = file_of(cluster, node->snapshot);
    uint64_t index = node->applied_index;
    if (node->raft == NULL || index == 0 || (file != NULL && file->index >= index)) return false;
    struct raft_cluster_snapshot made = {.index = index, .term = term_on_disk(node, index)};
    conf_at(cluster, node, index, &made.conf);
    raft_cluster_watch_snapshot(cluster, node, &made.conf, made.index, made.term);
    cluster->snapshots = alloc_resize(cluster->snapshots, (cluster->snapshot_count + 1) * sizeof(made));
    cluster->snapshots[cluster->snapshot_count++] = made;
    node->snapshot = cluster->snapshot_count;
    raft_offer(node->raft, made.index, made.term);
    if (cluster->trace != NULL) buf_printf(cluster->trace, "%" PRIu64 ": snapshot %" PRIu64 "/%" PRIu64 "\n", id, made.index, made.term);
    return true;
}

void raft_cluster_compact(struct raft_cluster *cluster, uint64_t id, uint64_t index)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    ASSERT(node->raft != NULL);
    const struct raft_cluster_snapshot *file = file_of(cluster, node->snapshot);
    bool is_new = index >= raft_cluster_status(cluster, id).first_index;
    raft_compact(node->raft, index);
    if (!is_new || file == NULL || file->index < index || index <= node->base_index) return;
    node->base_term = term_on_disk(node, index);
    node->base_index = index;
    blank(node, 0, (size_t)index);
}

/* ---- Getting one ---------------------------------------------------------------------------------------------------- */

void raft_cluster_snapshot_take_output(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_output *output)
{
    ASSERT(!output->install || output->persist);
    if (output->offer != NULL) {
        node->offer = *output->offer;
        if (cluster->trace != NULL) {
            buf_printf(cluster->trace, "%" PRIu64 ": offer %" PRIu64 "/%" PRIu64 " from %" PRIu64 "\n", node->id, node->offer.index,
                       node->offer.term, node->offer.from);
        }
    }
    if (!output->install) return;
    raft_cluster_watch_snapshot(cluster, node, output->install_conf, output->install_index, output->install_term);
    ASSERT(output->install_index > node->applied_index || cluster->is_unwatched);
    node->handed_index = node->applied_index = output->install_index; /* the state machine takes it in order with what was handed out */
    node->installs++;
    if (cluster->trace == NULL) return;
    buf_printf(cluster->trace, "%" PRIu64 ": install %" PRIu64 "/%" PRIu64 " conf ", node->id, output->install_index, output->install_term);
    raft_describe_conf(output->install_conf, cluster->trace);
    buf_printf(cluster->trace, "\n");
}

static size_t find_snapshot(const struct raft_cluster *cluster, uint64_t index, uint64_t term)
{
    size_t place = 0;
    while (place < cluster->snapshot_count && (cluster->snapshots[place].index != index || cluster->snapshots[place].term != term)) place++;
    ASSERT(place < cluster->snapshot_count); /* what is offered was taken */
    return place;
}

static void keep_file(struct raft_cluster *cluster, struct raft_cluster_node *node, size_t place)
{
    const struct raft_cluster_snapshot *file = file_of(cluster, node->snapshot);
    bool is_newer = file == NULL || file->index < cluster->snapshots[place].index;
    if (is_newer) node->snapshot = place + 1;
}

size_t raft_cluster_receive(struct raft_cluster *cluster, uint64_t id, bool succeeds)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (node->raft == NULL || node->offer.index == 0) return 0;
    struct raft_offer offer = node->offer;
    node->offer.index = 0;
    bool is_reached = !cluster->is_cut[offer.from][id] && !cluster->is_cut[id][offer.from];
    if (!succeeds || !is_reached || raft_cluster_node(cluster, offer.from)->raft == NULL) return 1;
    size_t place = find_snapshot(cluster, offer.index, offer.term);
    keep_file(cluster, node, place);
    node->received = place + 1;
    if (cluster->trace != NULL) buf_printf(cluster->trace, "%" PRIu64 ": received %" PRIu64 "/%" PRIu64 "\n", id, offer.index, offer.term);
    return 1;
}

enum raft_answer raft_cluster_install_at(struct raft_cluster *cluster, uint64_t id, size_t place)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    ASSERT(node->raft != NULL && place < cluster->snapshot_count);
    struct raft_cluster_snapshot *file = &cluster->snapshots[place];
    keep_file(cluster, node, place);
    struct raft_input input = {.kind = RAFT_IN_INSTALL, .index = file->index, .term = file->term, .conf = &file->conf};
    enum raft_answer answer = raft_cluster_step(cluster, id, &input);
    bool is_kept = answer != RAFT_OK && file->index <= raft_cluster_status(cluster, id).commit_index;
    if (is_kept) raft_offer(node->raft, file->index, file->term);
    return answer;
}

size_t raft_cluster_install(struct raft_cluster *cluster, uint64_t id)
{
    struct raft_cluster_node *node = raft_cluster_node(cluster, id);
    if (node->raft == NULL || node->received == 0) return 0;
    size_t place = node->received - 1;
    node->received = 0;
    (void)raft_cluster_install_at(cluster, id, place);
    return 1;
}
