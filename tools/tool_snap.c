/* tool_snap: see tool_snap.h. */
#include "tool_snap.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/snapshot_load.h"
#include "tool_entry.h"

void tool_snap_init(struct tool_snap *snap, struct tool *tool, const char *path)
{
    ASSERT(tool->fs != NULL && path != NULL);
    *snap = (struct tool_snap){.tool = tool, .path = alloc_string(path)};
    buf_init(&snap->key);
}

void tool_snap_deinit(struct tool_snap *snap)
{
    if (snap == NULL) return;
    alloc_free(snap->path);
    blob_unref(snap->conf);
    cluster_unref(snap->cluster);
    alarm_state_free(snap->alarms);
    buf_deinit(&snap->key);
    snap->path = NULL;
    snap->conf = NULL;
    snap->cluster = NULL;
    snap->alarms = NULL;
}

/* ---- reading ---- */

static void count_block(struct tool_snap *snap, const struct snapshot_format_block *block)
{
    struct tool_snap_section *last = snap->section_count > 0 ? &snap->sections[snap->section_count - 1] : NULL;
    bool is_new = last == NULL || last->section != block->section || last->flags != block->flags;
    if (is_new && snap->section_count < TOOL_SNAP_SECTIONS_MAX) {
        last = &snap->sections[snap->section_count++];
        *last = (struct tool_snap_section){.section = block->section, .flags = block->flags};
    }
    ASSERT(last != NULL);
    last->blocks++;
    last->bytes += block->payload_bytes;
}

static void take_keys(struct tool_snap *snap, struct slice payload, tool_snap_version_fn *version_fn, void *context)
{
    struct reader reader = reader_make(payload);
    struct mvcc_export_version version;
    while (snapshot_format_get_version(&reader, &version)) {
        snap->versions++;
        if (version.is_first) buf_clear(&snap->key);
        if (version.is_first) buf_put_slice(&snap->key, version.kv.key);
        version.kv.key = buf_slice(&snap->key);
        if (version_fn != NULL) version_fn(context, &version);
    }
}

static void take_block(struct tool_snap *snap, const struct snapshot_format_block *block, struct slice payload)
{
    count_block(snap, block);
    if (block->section == SNAPSHOT_FORMAT_CONF && snap->conf == NULL) snap->conf = blob_copy(payload);
    if (block->section == SNAPSHOT_FORMAT_CLUSTER && snap->cluster == NULL) {
        snap->cluster = snapshot_format_get_cluster(payload, snap->head.cluster_id);
    }
    if (block->section == SNAPSHOT_FORMAT_ALARMS && snap->alarms == NULL) snap->alarms = alarm_state_decode(payload);
}

static void judge(struct tool_snap *snap, enum err err, const char *message)
{
    snap->err = err;
    snap->verdict = err == ERR_OK ? "good" : err == ERR_CORRUPT ? "corrupt" : "refused";
    snap->code = err == ERR_OK ? TOOL_CLEAN : err == ERR_CORRUPT ? TOOL_CORRUPT : TOOL_ERROR;
    ASSERT(err == ERR_OK || message[0] != '\0');
    (void)snprintf(snap->message, sizeof snap->message, "%s", message);
}

/* Block after block, so that much is shown of a file whose end is damaged. */
static void read_blocks(struct tool_snap *snap, tool_snap_version_fn *version_fn, void *context)
{
    struct snapshot_reader reader;
    struct snapshot_format_block block;
    struct slice payload;
    enum snapshot_reader_progress progress;
    snapshot_reader_init(&reader, snap->tool->fs, snap->path, true);
    snapshot_reader_set_trailer(&reader, snap->trailer);
    do {
        progress = snapshot_reader_step(&reader, &block, &payload);
        if (progress != SNAPSHOT_READER_BLOCK) continue;
        snap->has_head = true;
        snap->head = reader.head;
        snap->file_bytes = reader.file_bytes;
        take_block(snap, &block, payload);
        if (block.section == SNAPSHOT_FORMAT_KEYS) take_keys(snap, payload, version_fn, context);
        tool_progress(snap->tool, reader.offset + reader.used, reader.file_bytes);
    } while (progress != SNAPSHOT_READER_END && progress != SNAPSHOT_READER_FAILED);
    judge(snap, progress == SNAPSHOT_READER_END ? ERR_OK : reader.err, reader.message);
    snap->file_bytes = reader.file_bytes;
    snapshot_reader_deinit(&reader);
}

static void verify(struct tool_snap *snap, uint64_t cluster_id)
{
    const struct snapshot_load_options options = {
        .fs = snap->tool->fs, .path = snap->path, .cluster_id = cluster_id, .trailer = snap->trailer, .is_verify_only = true,
        .is_blocking = true};
    struct snapshot_load *load = snapshot_load_new(&options);
    while (snapshot_load_step(load)) continue;
    ASSERT(snapshot_load_state(load) != SNAPSHOT_LOAD_RUNNING);
    bool is_good = snapshot_load_state(load) == SNAPSHOT_LOAD_DONE;
    judge(snap, is_good ? ERR_OK : snapshot_load_err(load), is_good ? "" : snapshot_load_message(load));
    snapshot_load_free(load);
}

enum tool_exit tool_snap_read(struct tool_snap *snap, uint64_t cluster_id, tool_snap_version_fn *version_fn, void *context)
{
    ASSERT(snap->verdict == NULL);
    read_blocks(snap, version_fn, context);
    if (snap->err == ERR_OK) verify(snap, cluster_id);
    tool_progress_end(snap->tool);
    return snap->code;
}

/* ---- showing ---- */

static const char *section_name(uint16_t section)
{
    switch ((enum snapshot_format_section)section) {
    case SNAPSHOT_FORMAT_CONF: return "conf";
    case SNAPSHOT_FORMAT_CLUSTER: return "cluster";
    case SNAPSHOT_FORMAT_SUMS: return "sums";
    case SNAPSHOT_FORMAT_KEYS: return "keys";
    case SNAPSHOT_FORMAT_END: return "end";
    case SNAPSHOT_FORMAT_ALARMS: return "alarms";
    case SNAPSHOT_FORMAT_LEASES: return "leases";
    case SNAPSHOT_FORMAT_AUTH: return "auth";
    }
    return "unknown";
}

static void put_head(const struct snapshot_format_head *head, struct tool_tree *tree)
{
    char format[16];
    (void)snprintf(format, sizeof format, "%u.%u", head->major, head->minor);
    tool_tree_word(tree, "format", format);
    tool_tree_id(tree, "cluster_id", head->cluster_id);
    tool_tree_id(tree, "member_id", head->member_id);
    tool_tree_u64(tree, "index", head->index);
    tool_tree_u64(tree, "term", head->term);
    tool_tree_i64(tree, "revision", head->revision);
    tool_tree_i64(tree, "compact_revision", head->compact_revision);
    tool_tree_u64(tree, "history_count", head->history_count);
    tool_tree_u64(tree, "live_keys", head->live_keys);
    tool_tree_u64(tree, "live_bytes", head->live_bytes);
}

static void put_sections(const struct tool_snap *snap, struct tool_tree *tree)
{
    tool_tree_open(tree, "sections", '[');
    for (size_t i = 0; i < snap->section_count; i++) {
        const struct tool_snap_section *section = &snap->sections[i];
        tool_tree_open(tree, NULL, '{');
        tool_tree_word(tree, "section", section_name(section->section));
        tool_tree_u64(tree, "number", section->section);
        if ((section->flags & SNAPSHOT_FORMAT_INCOMPATIBLE) != 0) tool_tree_bool(tree, "incompatible", true);
        tool_tree_u64(tree, "blocks", section->blocks);
        tool_tree_u64(tree, "bytes", section->bytes);
        tool_tree_close(tree);
    }
    tool_tree_close(tree);
}

static void put_alarms(const struct alarm_list *list, struct tool_tree *tree)
{
    ASSERT(list->count <= ALARM_MAX);
    if (list->count == 0) return;
    tool_tree_open(tree, "alarms", '[');
    for (size_t i = 0; i < list->count; i++) {
        tool_tree_open(tree, NULL, '{');
        tool_tree_i64(tree, "type", list->alarms[i].type);
        tool_tree_id(tree, "member", list->alarms[i].member);
        tool_tree_close(tree);
    }
    tool_tree_close(tree);
}

static void put_verdict(const struct tool_snap *snap, struct tool_tree *tree)
{
    ASSERT(snap->verdict != NULL);
    tool_tree_word(tree, "verdict", snap->verdict);
    if (snap->message[0] != '\0') tool_tree_string(tree, "message", slice_from_string(snap->message));
}

void tool_snap_put(const struct tool_snap *snap, struct tool_tree *tree)
{
    ASSERT(tree->depth > 0);
    tool_tree_u64(tree, "file_bytes", snap->file_bytes);
    if (snap->has_head) put_head(&snap->head, tree);
    if (snap->conf != NULL) tool_entry_put_conf(tree, "conf", blob_slice(snap->conf));
    if (snap->cluster != NULL) {
        tool_tree_string(tree, "cluster_version", slice_from_string(snap->cluster->version));
        tool_entry_put_members(tree, "members", snap->cluster);
    }
    if (snap->alarms != NULL) put_alarms(snap->alarms->list, tree);
    tool_tree_u64(tree, "versions", snap->versions);
    put_sections(snap, tree);
    put_verdict(snap, tree);
}

/* ---- directories ---- */

struct names {
    struct snapshot_dir_entry entries[SNAPSHOT_DIR_MAX]; /* newest first */
    size_t count;
};

static void take_name(void *owner, const char *name)
{
    struct names *names = owner;
    struct snapshot_dir_entry entry = {.is_broken = false};
    if (!snapshot_format_parse_name(name, &entry.index, &entry.term)) return;
    size_t place = 0;
    while (place < names->count && names->entries[place].index >= entry.index) place++;
    if (place == SNAPSHOT_DIR_MAX) return;
    if (names->count == SNAPSHOT_DIR_MAX) names->count--;
    memmove(&names->entries[place + 1], &names->entries[place], (names->count - place) * sizeof entry);
    names->entries[place] = entry;
    names->count++;
}

void tool_snap_list_init(struct tool_snap_list *list, struct tool *tool, const char *directory, uint64_t cluster_id, bool is_newest_only)
{
    ASSERT(directory != NULL);
    list->tool = tool;
    list->directory = alloc_string(directory);
    list->cluster_id = cluster_id;
    list->is_newest_only = is_newest_only;
    list->count = 0;
}

static void drop_snaps(struct tool_snap_list *list)
{
    for (size_t i = 0; i < list->count; i++) tool_snap_deinit(&list->snaps[i]);
    list->count = 0;
}

void tool_snap_list_deinit(struct tool_snap_list *list)
{
    if (list == NULL) return;
    drop_snaps(list);
    alloc_free(list->directory);
    list->directory = NULL;
}

void tool_snap_list_read(struct tool_snap_list *list)
{
    struct names names = {.count = 0};
    struct fs_op op = {.kind = FS_LIST, .path = list->directory, .list_fn = take_name, .owner = &names};
    drop_snaps(list);
    (void)fs_run(list->tool->fs, &op); /* without a directory there are none */
    for (size_t i = 0; i < names.count; i++) {
        char name[SNAPSHOT_FORMAT_NAME_SIZE];
        snapshot_format_name(names.entries[i].index, names.entries[i].term, name);
        char *path = tool_join(list->directory, name);
        struct tool_snap *snap = &list->snaps[list->count++];
        tool_snap_init(snap, list->tool, path);
        enum tool_exit code = tool_snap_read(snap, list->cluster_id, NULL, NULL);
        alloc_free(path);
        if (code == TOOL_CLEAN && list->is_newest_only) break;
    }
}

const struct tool_snap *tool_snap_list_newest(const struct tool_snap_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->snaps[i].err == ERR_OK) return &list->snaps[i];
    return NULL;
}

bool tool_snap_list_is_refused(const struct tool_snap_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->snaps[i].err == ERR_OK) return false;
        if (list->snaps[i].err != ERR_CORRUPT) return true;
    }
    return false;
}

struct tool_log_snapshot tool_snap_position(const struct tool_snap *snap_or_null)
{
    if (snap_or_null == NULL) return (struct tool_log_snapshot){.index = 0};
    ASSERT(snap_or_null->err == ERR_OK && snap_or_null->conf != NULL);
    return (struct tool_log_snapshot){.index = snap_or_null->head.index, .term = snap_or_null->head.term, .conf = snap_or_null->conf};
}

struct tool_log_snapshot tool_snap_list_ask(void *list)
{
    tool_snap_list_read(list);
    return tool_snap_position(tool_snap_list_newest(list));
}

void tool_snap_list_put(const struct tool_snap_list *list, struct tool_tree *tree, const char *name)
{
    tool_tree_open(tree, name, '[');
    for (size_t i = 0; i < list->count; i++) {
        const struct tool_snap *snap = &list->snaps[i];
        const char *slash = strrchr(snap->path, '/');
        tool_tree_open(tree, NULL, '{');
        tool_tree_word(tree, "file", slash == NULL ? snap->path : slash + 1);
        tool_tree_u64(tree, "file_bytes", snap->file_bytes);
        if (snap->has_head) tool_tree_u64(tree, "index", snap->head.index);
        if (snap->has_head) tool_tree_u64(tree, "term", snap->head.term);
        if (snap->has_head) tool_tree_i64(tree, "revision", snap->head.revision);
        put_verdict(snap, tree);
        tool_tree_close(tree);
    }
    tool_tree_close(tree);
}
