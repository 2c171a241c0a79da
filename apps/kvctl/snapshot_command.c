/* snapshot_command: see the header. */
#include "snapshot_command.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/rng.h"
#include "json.h"
#include "pipeline/first_start.h"
#include "print.h"
#include "print_message.h"
#include "progress.h"
#include "snapshot_save.h"
#include "storage/restore.h"
#include "table.h"

#define BUMP_REVISION_DEFAULT 1000000000 /* more than a cluster writes between a backup and its end */

enum ctl_exit snapshot_command_save(struct ctl *ctl, int count, const char **words)
{
    ASSERT(count >= 0 && words != NULL);
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "snapshot save expects one argument");
    if (ctl->endpoint_count != 1)
        return ctl_fail(CTL_BAD_ARGS, "snapshot must be requested to one selected node, not multiple [%s]", ctl->endpoint_list);
    return snapshot_save(ctl, words[0]);
}

static void show(void *context, uint64_t done, uint64_t total) { progress_show(context, done, total); }

/* --- status -------------------------------------------------------------------------------------------------------------- */

/* The wire's 32 bits, as HashKV answers them. */
static uint32_t fold(uint64_t hash) { return (uint32_t)(hash ^ hash >> 32); }

static void print_status_json(const struct restore_file *file)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_number(&json, "hash", fold(file->hash));
    json_number(&json, "revision", (uint64_t)file->head.revision);
    json_number(&json, "totalKey", file->head.live_keys);
    json_number(&json, "totalSize", file->file_bytes);
    json_string(&json, "version", file->version);
    json_number(&json, "compactRevision", (uint64_t)file->head.compact_revision);
    json_number(&json, "raftIndex", file->head.index);
    json_number(&json, "raftTerm", file->head.term);
    json_close(&json, '}');
    json_print(&json);
    json_deinit(&json);
}

static void print_status_fields(const struct restore_file *file)
{
    ASSERT(file->file_bytes > 0);
    printf("\"Hash\" : %" PRIu32 "\n", fold(file->hash));
    printf("\"Revision\" : %" PRId64 "\n", file->head.revision);
    printf("\"Keys\" : %" PRIu64 "\n", file->head.live_keys);
    printf("\"Size\" : %" PRIu64 "\n", file->file_bytes);
    printf("\"Version\" : \"%s\"\n", file->version);
    printf("\"CompactRevision\" : %" PRId64 "\n", file->head.compact_revision);
    printf("\"RaftIndex\" : %" PRIu64 "\n", file->head.index);
    printf("\"RaftTerm\" : %" PRIu64 "\n", file->head.term);
}

/* The four cells of etcdctl; a table has ours behind them. */
static void print_status_cells(const struct restore_file *file, bool is_table)
{
    static const char *const headers[] = {"HASH",    "REVISION",         "TOTAL KEYS", "TOTAL SIZE",
                                          "VERSION", "COMPACT REVISION", "RAFT INDEX", "RAFT TERM"};
    char size[PRINT_TIME_BYTES];
    struct table table;
    print_format_size(file->file_bytes, size);
    table_init(&table, headers, is_table ? 8 : 4);
    table_add(&table, "%" PRIx32, fold(file->hash));
    table_add(&table, "%" PRId64, file->head.revision);
    table_add(&table, "%" PRIu64, file->head.live_keys);
    table_add(&table, "%s", size);
    if (is_table) {
        table_add(&table, "%s", file->version);
        table_add(&table, "%" PRId64, file->head.compact_revision);
        table_add(&table, "%" PRIu64, file->head.index);
        table_add(&table, "%" PRIu64, file->head.term);
        table_print(&table);
    } else {
        table_print_lines(&table);
    }
    table_deinit(&table);
}

enum ctl_exit snapshot_command_status(struct ctl *ctl, int count, const char **words)
{
    struct restore_file file;
    struct progress progress;
    char message[512];
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "snapshot status requires exactly one argument");
    ASSERT(words[0] != NULL);
    struct fs *fs = fs_real_new();
    progress_init(&progress);
    enum err err = restore_inspect(fs, words[0], SNAPSHOT_READER_TRAILER, show, &progress, &file, message, sizeof message);
    progress_end(&progress);
    fs_free(fs);
    if (err != ERR_OK) return ctl_fail(CTL_ERROR, "%s", message);
    switch (ctl->format) {
    case CTL_PROTOBUF: return print_message_no_format(ctl);
    case CTL_JSON: print_status_json(&file); break;
    case CTL_FIELDS: print_status_fields(&file); break;
    case CTL_SIMPLE:
    case CTL_TABLE: print_status_cells(&file, ctl->format == CTL_TABLE); break;
    }
    return CTL_OK;
}

/* --- restore ------------------------------------------------------------------------------------------------------------- */

int snapshot_command_restore_flags(struct ctl_options *o, struct flag *out_flags)
{
    struct config config;
    config_init(&config);
    o->name = config.name;
    o->data_dir = "";
    o->wal_dir = "";
    o->wal_subdir = config.wal_subdir;
    o->snapshot_subdir = config.snapshot_subdir;
    o->raft_state_file = config.raft_state_file;
    o->initial_cluster = "";
    o->initial_cluster_token = config.initial_cluster_token;
    o->initial_advertise_peer_urls = config.initial_advertise_peer_urls;
    o->bump_revision = BUMP_REVISION_DEFAULT;
    o->mark_compacted = true;
    const struct flag flags[] = {
        {"data-dir", 0, FLAG_STRING, &o->data_dir, "<path>", "the new directory; NAME.etcd unless said otherwise", "Options", false},
        {"wal-dir", 0, FLAG_STRING, &o->wal_dir, "<path>", "of the log; below the data directory unless said otherwise", "Options", false},
        {"wal-subdir", 0, FLAG_STRING, &o->wal_subdir, "<name>", "of the log's directory there; as kvd's own flag", "Options", false},
        {"snapshot-subdir", 0, FLAG_STRING, &o->snapshot_subdir, "<name>", "of the snapshots' directory; likewise", "Options", false},
        {"raft-state-file", 0, FLAG_STRING, &o->raft_state_file, "<name>", "of the identity's file; likewise", "Options", false},
        {"name", 0, FLAG_STRING, &o->name, "<name>", "of this member", "Options", false},
        {"initial-cluster", 0, FLAG_STRING, &o->initial_cluster, "<list>", "NAME=URL of all members, this one alone if empty", "Options", false},
        {"initial-cluster-token", 0, FLAG_STRING, &o->initial_cluster_token, "<text>", "tells clusters with the same URLs apart", "Options",
         false},
        {"initial-advertise-peer-urls", 0, FLAG_STRING, &o->initial_advertise_peer_urls, "<list>", "where others reach this member",
         "Options", false},
        {"skip-hash-check", 0, FLAG_BOOL, &o->skip_hash_check, NULL, "take a file without its hash at the end, as one out of DATA/snap",
         "Options", false},
        {"bump-revision", 0, FLAG_I64, &o->bump_revision, "<number>", "go on so much above the file's revision", "Options", false},
        {"mark-compacted", 0, FLAG_BOOL, &o->mark_compacted, NULL, "and compact all below; a bump needs it", "Options", false},
        {"initial-memory-map-size", 0, FLAG_IGNORED, NULL, NULL, NULL, "Options", false},
    };
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

static enum ctl_exit check_bump(const struct ctl_options *options)
{
    if (options->bump_revision < 0) return ctl_fail(CTL_BAD_ARGS, "--bump-revision is %" PRId64 ": it cannot be negative", options->bump_revision);
    bool is_bump = options->bump_revision > 0;
    if (is_bump == options->mark_compacted) return CTL_OK;
    return ctl_fail(CTL_BAD_ARGS, is_bump ? "--bump-revision needs --mark-compacted: else clients would wait for revisions that never were"
                                          : "--mark-compacted needs --bump-revision; --bump-revision 0 goes with --mark-compacted=false");
}

/* The members and who of them this is, as their first start would say. */
static enum ctl_exit found_cluster(const struct ctl_options *options, struct config *config, struct cluster **out_cluster, uint64_t *out_self)
{
    char message[1024];
    config_init(config);
    config->name = options->name;
    config->data_dir = options->data_dir;
    config->wal_dir = options->wal_dir;
    config->wal_subdir = options->wal_subdir;
    config->snapshot_subdir = options->snapshot_subdir;
    config->raft_state_file = options->raft_state_file;
    config->initial_cluster = options->initial_cluster;
    config->initial_cluster_token = options->initial_cluster_token;
    config->initial_advertise_peer_urls = options->initial_advertise_peer_urls;
    if (!config_check(config, message, sizeof message)) return ctl_fail(CTL_BAD_ARGS, "%s", message);
    *out_cluster = first_start_cluster(config, out_self, message, sizeof message);
    return *out_cluster != NULL ? CTL_OK : ctl_fail(CTL_BAD_ARGS, "%s", message);
}

static void print_restored(const struct restore_result *result, const struct cluster *cluster, const char *file, const char *data_path)
{
    const struct snapshot_format_head *head = &result->head;
    printf("Snapshot %s restored to %s\n", file, data_path);
    printf("cluster %" PRIx64 ", member %" PRIx64 " of %zu, revision %" PRId64 ", compacted up to %" PRId64 ", raft index %" PRIu64
           ", term %" PRIu64 "\n",
           cluster->id, head->member_id, cluster->member_count, head->revision, head->compact_revision, head->index, head->term);
    if (result->file_cluster_id != cluster->id) return;
    fflush(stdout);
    fprintf(stderr, "Warning: the new cluster has the id of the one that the snapshot is from: members of that one which still run would "
                    "take it for theirs. Another --initial-cluster-token tells them apart.\n");
}

/* A restored directory comes under its name whole, by a rename, in place of an empty one at most: where that cannot be it is said before
 * the work. */
static enum ctl_exit check_place(const char *flag, const char *path)
{
    char own[PATH_MAX];
    struct statx status;
    snprintf(own, sizeof own, "%s", path);
    size_t size = strlen(own);
    while (size > 1 && own[size - 1] == '/') own[--size] = '\0';
    const char *slash = strrchr(own, '/'), *name = slash == NULL ? own : slash + 1;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || *name == '\0')
        return ctl_fail(CTL_BAD_ARGS, "--%s %s: give the directory by its name", flag, path);
    if (statx(AT_FDCWD, own, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status) != 0) return CTL_OK; /* it is to be made */
    const char *what = S_ISLNK(status.stx_mode)                                    ? "a symbolic link"
                       : (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 ? "a mount point"
                                                                                   : NULL;
    if (what == NULL) return CTL_OK;
    return ctl_fail(CTL_ERROR, "%s: is %s, and cannot be replaced by what is restored: give a directory inside of it (--%s %s/NAME)", own, what,
                    flag, own);
}

static enum ctl_exit restore(const struct config *config, const struct ctl_options *options, const struct cluster *cluster, uint64_t self,
                             const char *file)
{
    struct progress progress;
    struct restore_result result;
    struct raft_conf conf;
    char message[512];
    first_start_conf(cluster, &conf);
    struct blob *bytes = raft_conf_encode(&conf);
    struct fs *fs = fs_real_new();
    const struct data_names names = data_names_make(config->wal_subdir, config->snapshot_subdir, config->raft_state_file);
    struct restore_options restore_options = {
        .names = &names,
        .fs = fs,
        .file = file,
        .data_path = config->data_dir_path,
        .wal_path = config->wal_dir,
        .cluster = cluster,
        .member_id = self,
        .conf = blob_slice(bytes),
        .bump_revision = options->bump_revision,
        .skip_hash_check = options->skip_hash_check,
        .segment_bytes = config->wal_segment_bytes,
        .progress_fn = show,
        .context = &progress,
    };
    const uint64_t random[] = {rng_seed_from_system(), rng_seed_from_system()};
    memcpy(restore_options.uuid, random, sizeof restore_options.uuid);
    progress_init(&progress);
    enum err err = restore_run(&restore_options, &result, message, sizeof message);
    progress_end(&progress);
    fs_free(fs);
    blob_unref(bytes);
    raft_conf_deinit(&conf);
    if (err != ERR_OK) return ctl_fail(CTL_ERROR, "%s", message);
    print_restored(&result, cluster, file, config->data_dir_path);
    return CTL_OK;
}

enum ctl_exit snapshot_command_restore(struct ctl *ctl, int count, const char **words)
{
    struct config config;
    struct cluster *cluster = NULL;
    uint64_t self = 0;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "snapshot restore requires exactly one argument");
    ASSERT(words[0] != NULL);
    enum ctl_exit code = check_bump(&ctl->options);
    if (code == CTL_OK) code = found_cluster(&ctl->options, &config, &cluster, &self);
    if (code != CTL_OK) return code;
    code = check_place("data-dir", config.data_dir_path);
    if (code == CTL_OK && config.wal_dir[0] != '\0') code = check_place("wal-dir", config.wal_dir);
    if (code == CTL_OK) code = restore(&config, &ctl->options, cluster, self, words[0]);
    cluster_unref(cluster);
    return code;
}
