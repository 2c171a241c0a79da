/* readstate_print: see readstate_print.h. */
#include "readstate_print.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "membershippb/membership.pb-c.h"
#include "raft/raft.h"
#include "storage/command.h"
#include "tool_entry.h"
#include "tool_log.h"
#include "tool_snap.h"

#define REQUEST_BYTES_MAX (UINT32_C(1) << 20) /* of a request that says something of the cluster */

/* What snapshot and log say of the cluster, as apply keeps it. */
struct state {
    uint64_t applied;
    struct cluster *cluster;
    struct tool_snap_list snaps;
};

static void set_cluster(struct state *state, struct cluster *next)
{
    ASSERT(next != NULL);
    cluster_unref(state->cluster);
    state->cluster = next;
}

/* The configuration says who belongs; what members said of themselves, and the version, stay. */
static void take_conf(struct state *state, struct slice bytes)
{
    struct raft_conf conf;
    if (!raft_conf_decode(bytes, &conf)) return;
    struct cluster *next = cluster_decode_members(state->cluster->id, blob_slice(conf.members));
    raft_conf_deinit(&conf);
    for (size_t i = 0; next != NULL && i < state->cluster->member_count; i++) {
        const struct cluster_member *member = &state->cluster->members[i];
        if (cluster_find(next, member->id) == NULL) continue;
        struct cluster *with_attributes =
            cluster_with_attributes(next, member->id, member->name, member->client_urls, member->client_url_count);
        cluster_unref(next);
        next = with_attributes;
    }
    if (next == NULL) return;
    struct cluster *with_version = cluster_with_version(next, state->cluster->version);
    cluster_unref(next);
    set_cluster(state, with_version);
}

static void take_attributes(struct state *state, struct slice body)
{
    Membershippb__ClusterMemberAttrSetRequest *request =
        membershippb__cluster_member_attr_set_request__unpack(NULL, body.size, body.data);
    if (request == NULL) return;
    const Membershippb__Attributes *attributes = request->member_attributes;
    if (attributes != NULL && cluster_find(state->cluster, request->member_id) != NULL) {
        set_cluster(state, cluster_with_attributes(state->cluster, request->member_id, attributes->name, attributes->client_urls,
                                                   attributes->n_client_urls));
    }
    membershippb__cluster_member_attr_set_request__free_unpacked(request, NULL);
}

static void take_version(struct state *state, struct slice body)
{
    Membershippb__ClusterVersionSetRequest *request = membershippb__cluster_version_set_request__unpack(NULL, body.size, body.data);
    if (request == NULL) return;
    set_cluster(state, cluster_with_version(state->cluster, request->ver));
    membershippb__cluster_version_set_request__free_unpacked(request, NULL);
}

static void take_entry(void *context, const struct raft_entry *entry)
{
    struct state *state = context;
    struct command command;
    if (entry->index <= state->applied) return; /* the log is judged once more */
    state->applied = entry->index;
    if (entry->kind == RAFT_ENTRY_CONF) take_conf(state, blob_slice(entry->data));
    if (entry->kind != RAFT_ENTRY_COMMAND || !command_decode(blob_slice(entry->data), &command)) return;
    if (command.body.size > REQUEST_BYTES_MAX) return;
    if (command.kind == COMMAND_CLUSTER_MEMBER_ATTR_SET) take_attributes(state, command.body);
    if (command.kind == COMMAND_CLUSTER_VERSION_SET) take_version(state, command.body);
}

/* A start begins with the newest good snapshot. */
static struct tool_log_snapshot take_snapshot(void *context)
{
    struct state *state = context;
    tool_snap_list_read(&state->snaps);
    const struct tool_snap *snap = tool_snap_list_newest(&state->snaps);
    if (snap != NULL && snap->head.index > state->applied) {
        state->applied = snap->head.index;
        set_cluster(state, cluster_ref(snap->cluster));
    }
    return tool_snap_position(snap);
}

static void put_identity(struct tool_tree *tree, const struct tool_place *place)
{
    char uuid[2 * sizeof place->identity.uuid + 1];
    if (!place->has_identity) {
        tool_tree_word(tree, "identity", "missing");
        return;
    }
    for (size_t i = 0; i < sizeof place->identity.uuid; i++) (void)snprintf(uuid + 2 * i, 3, "%02x", place->identity.uuid[i]);
    tool_tree_open(tree, "identity", '{');
    tool_tree_id(tree, "cluster_id", place->identity.cluster_id);
    tool_tree_id(tree, "member_id", place->identity.member_id);
    tool_tree_word(tree, "directory_uuid", uuid);
    tool_tree_u64(tree, "boot_count", place->identity.boot_count);
    tool_tree_close(tree);
}

static void put_raft(struct tool_tree *tree, const struct tool_log *log, const struct state *state)
{
    const struct wal_recovered *found = &log->recover.found;
    tool_tree_open(tree, "raft", '{');
    tool_tree_u64(tree, "term", found->hard.term);
    tool_tree_id(tree, "vote", found->hard.vote);
    tool_tree_u64(tree, "commit", found->hard.commit);
    tool_tree_u64(tree, "applied", state->applied);
    tool_tree_u64(tree, "first_index", found->first_index);
    tool_tree_u64(tree, "last_index", found->last_index);
    tool_tree_u64(tree, "last_term", log->recover.last_term);
    if (found->conf != NULL) tool_tree_u64(tree, "conf_index", found->conf_index);
    if (found->conf != NULL) tool_entry_put_conf(tree, "conf", blob_slice(found->conf));
    tool_tree_close(tree);
}

static void put_log(struct tool_tree *tree, const struct tool_log *log)
{
    char format[16];
    (void)snprintf(format, sizeof format, "%u.%u", log->major, log->minor);
    tool_tree_open(tree, "log", '{');
    tool_log_put_verdict(log, tree);
    if (log->major > 0) tool_tree_word(tree, "format", format);
    tool_tree_u64(tree, "bytes", log->total_bytes);
    tool_log_put_segments(log, tree, "segments");
    tool_tree_close(tree);
}

static void print_state(struct tool *tool, const struct tool_place *place, const struct tool_log *log, const struct state *state)
{
    struct tool_tree tree;
    tool_tree_init(&tree, tool->is_json ? TOOL_TREE_JSON : TOOL_TREE_BLOCK);
    tool_tree_open(&tree, NULL, '{');
    put_identity(&tree, place);
    if (log->err == ERR_OK) put_raft(&tree, log, state);
    tool_tree_string(&tree, "cluster_version", slice_from_string(state->cluster->version));
    tool_entry_put_members(&tree, "members", state->cluster);
    tool_snap_list_put(&state->snaps, &tree, "snapshots");
    put_log(&tree, log);
    tool_tree_close(&tree);
    tool_tree_print(&tree, tool->out);
    tool_tree_deinit(&tree);
}

enum tool_exit readstate_print(struct tool *tool, const struct tool_place *place, uint32_t settle_ms)
{
    struct state *state = ALLOC(struct state);
    struct tool_log_options options = {.directory = place->wal_path, .settle_ms = settle_ms, .entry_fn = take_entry, .context = state};
    struct tool_log log;
    bool has_snaps = place->snap_path != NULL;
    state->cluster = cluster_decode_members(place->identity.cluster_id, slice_empty());
    tool_snap_list_init(&state->snaps, tool, has_snaps ? place->snap_path : "", place->identity.cluster_id, false);
    options.identity = place->has_identity ? &place->identity : NULL;
    options.is_part = place->data_path == NULL;
    options.snapshot_fn = has_snaps ? take_snapshot : NULL;
    options.snapshot_context = state;
    tool_log_init(&log, tool, &options);
    enum tool_exit code = tool_log_read(&log);
    if (code != TOOL_CORRUPT && tool_snap_list_is_refused(&state->snaps)) code = TOOL_ERROR;
    print_state(tool, place, &log, state);
    tool_log_deinit(&log);
    tool_snap_list_deinit(&state->snaps);
    cluster_unref(state->cluster);
    alloc_free(state);
    return code;
}
