/* restore: see restore.h. */
#include "storage/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/data_dir.h"
#include "storage/snapshot_load.h"
#include "storage/snapshot_rewrite.h"
#include "storage/wal.h"
#include "storage/wal_spare.h"

#define STAGES 3 /* the file is verified, rewritten, and what was written is read back */
#define ASIDE ".part"
#define NAMES_MAX 64
#define POSITION_MAX (UINT64_C(1) << 62) /* far above every index and term */

struct restore {
    const struct restore_options *options;
    char *data_path;  /* without slashes at the end */
    char *wal_path;   /* NULL = below the data directory, and named with it */
    char *data_aside;
    char *wal_aside;  /* NULL = data_dir's own place for it */
    struct data_dir dir; /* aside */
    struct restore_file file;
    struct snapshot_format_head head;
    uint64_t stage;
    char *message;
    size_t message_size;
};

static enum err refuse(struct restore *restore, enum err err, const char *format, ...) __attribute__((format(printf, 3, 4)));
static enum err refuse(struct restore *restore, enum err err, const char *format, ...)
{
    ASSERT(err != ERR_OK);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(restore->message, restore->message_size, format, arguments);
    va_end(arguments);
    return err;
}

static char *join(const char *head, const char *between, const char *tail)
{
    size_t size = strlen(head) + strlen(between) + strlen(tail) + 1;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s%s%s", head, between, tail);
    return path;
}

/* --- what a file is ------------------------------------------------------------------------------------------------------------ */

static void describe(const struct snapshot_load *load, uint64_t file_bytes, struct restore_file *out_file)
{
    const struct cluster *cluster = snapshot_load_cluster(load);
    *out_file = (struct restore_file){.head = *snapshot_load_head(load),
                                      .file_bytes = file_bytes,
                                      .versions = snapshot_load_end(load)->versions,
                                      .hash = snapshot_load_hash(load)};
    (void)snprintf(out_file->version, sizeof out_file->version, "%s", cluster->version);
}

/* `options` but for its path is set here. */
static enum err read_file(struct snapshot_load_options options, restore_progress_fn *progress_fn, void *context, struct restore_file *out_file,
                          char *out_message, size_t message_size)
{
    uint64_t done = 0;
    uint64_t total = 0;
    uint64_t shown = 0;
    options.is_blocking = true;
    struct snapshot_load *load = snapshot_load_new(&options);
    while (snapshot_load_step(load)) {
        snapshot_load_get_place(load, &done, &total);
        if (progress_fn != NULL && done != shown) progress_fn(context, done, total);
        shown = done;
    }
    enum err err = snapshot_load_err(load);
    snapshot_load_get_place(load, &done, &total);
    ASSERT((err == ERR_OK) == (snapshot_load_state(load) == SNAPSHOT_LOAD_DONE));
    if (err == ERR_OK) describe(load, total, out_file);
    else (void)snprintf(out_message, message_size, "%s", snapshot_load_message(load));
    snapshot_load_free(load);
    return err;
}

enum err restore_inspect(struct fs *fs, const char *path, enum snapshot_reader_trailer trailer, restore_progress_fn *progress_fn,
                         void *context, struct restore_file *out_file, char *out_message, size_t message_size)
{
    const struct snapshot_load_options options = {.fs = fs, .path = path, .trailer = trailer, .is_verify_only = true};
    ASSERT(fs != NULL && path != NULL && message_size > 0);
    return read_file(options, progress_fn, context, out_file, out_message, message_size);
}

/* --- directories --------------------------------------------------------------------------------------------------------------- */

struct names {
    char *names[NAMES_MAX];
    size_t count;
    bool is_more;
};

static void take_name(void *owner, const char *name)
{
    struct names *names = owner;
    names->is_more = names->count == NAMES_MAX;
    if (!names->is_more) names->names[names->count++] = alloc_string(name);
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) alloc_free(names->names[i]);
    names->count = 0;
}

static int list(struct fs *fs, const char *path, struct names *out_names)
{
    *out_names = (struct names){.count = 0};
    struct fs_op op = {.kind = FS_LIST, .path = path, .list_fn = take_name, .owner = out_names};
    return fs_run(fs, &op);
}

static int unlink_path(struct fs *fs, const char *path)
{
    struct fs_op op = {.kind = FS_UNLINK, .path = path};
    return fs_run(fs, &op);
}

static void unlink_below(struct fs *fs, const char *directory, const char *name)
{
    char *path = join(directory, "/", name);
    (void)unlink_path(fs, path);
    alloc_free(path);
}

/* Removes the files in it. */
static void sweep(struct fs *fs, const char *path)
{
    struct names names;
    bool is_moving = true;
    for (bool is_more = true; is_more && is_moving;) {
        is_moving = false;
        if (list(fs, path, &names) != 0) return;
        is_more = names.is_more;
        for (size_t i = 0; i < names.count; i++) {
            char *file = join(path, "/", names.names[i]);
            if (unlink_path(fs, file) == 0) is_moving = true;
            alloc_free(file);
        }
        names_free(&names);
    }
}

/* Is it missing or empty? */
static enum err check_free(struct restore *restore, const char *path)
{
    struct names names;
    int error = list(restore->options->fs, path, &names);
    bool is_empty = names.count == 0;
    names_free(&names);
    if (error == ENOENT || (error == 0 && is_empty)) return ERR_OK;
    if (error != 0) return refuse(restore, ERR_STOPPED, "%s: cannot be used: %s", path, strerror(error));
    return refuse(restore, ERR_STOPPED, "%s: not empty: a snapshot is restored into a directory that is new", path);
}

static bool is_ours(const struct restore *restore, const char *name)
{
    const struct data_names usual = data_names_usual(), *own = restore->options->names == NULL ? &usual : restore->options->names;
    const char *const ours[] = {"LOCK", "names", "names.tmp", own->identity, own->wal, own->snap};
    size_t size = strlen(name);
    const char *below = restore->wal_aside != NULL && restore->wal_path == NULL ? restore->wal_aside + strlen(restore->data_aside) + 1 : "";
    if (strncmp(below, name, size) == 0 && (below[size] == '/' || below[size] == '\0')) return true;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0) return true;
    return strncmp(name, own->identity, strlen(own->identity)) == 0 && strcmp(name + strlen(own->identity), ".tmp") == 0;
}

/* What stands at the place that we want to work in is what a restore leaves, if anything. */
static enum err check_aside(struct restore *restore)
{
    struct names names;
    enum err err = ERR_OK;
    int error = list(restore->options->fs, restore->data_aside, &names);
    if (error != 0 && error != ENOENT) err = refuse(restore, ERR_STOPPED, "%s: cannot be used: %s", restore->data_aside, strerror(error));
    for (size_t i = 0; i < names.count && err == ERR_OK; i++) {
        if (is_ours(restore, names.names[i])) continue;
        err = refuse(restore, ERR_STOPPED, "%s/%s: in the way: a restore works there, and did not make this", restore->data_aside,
                     names.names[i]);
    }
    names_free(&names);
    if (err == ERR_OK && restore->wal_aside != NULL) {
        error = list(restore->options->fs, restore->wal_aside, &names);
        bool is_log = true;
        for (size_t i = 0; i < names.count; i++)
            is_log = is_log && (strstr(names.names[i], ".wal") != NULL || wal_spare_is_name(names.names[i]));
        if (error == 0 && !is_log) err = refuse(restore, ERR_STOPPED, "%s: in the way: a restore works there", restore->wal_aside);
        names_free(&names);
    }
    return err;
}

static void empty_aside(struct restore *restore)
{
    struct fs *fs = restore->options->fs;
    ASSERT(restore->dir.fs != NULL); /* its lock is ours */
    sweep(fs, restore->dir.snap_path);
    sweep(fs, restore->dir.wal_path);
    char aside[DATA_NAMES_BYTES_MAX + 8];
    snprintf(aside, sizeof aside, "%s.tmp", restore->dir.names.identity);
    unlink_below(fs, restore->dir.path, restore->dir.names.identity);
    unlink_below(fs, restore->dir.path, aside);
}

static void drop_aside(struct restore *restore)
{
    struct fs *fs = restore->options->fs;
    empty_aside(restore);
    (void)unlink_path(fs, restore->dir.wal_path);
    (void)unlink_path(fs, restore->dir.snap_path);
    unlink_below(fs, restore->data_aside, "LOCK");
    if (restore->options->names != NULL) unlink_below(fs, restore->data_aside, "names");
    (void)unlink_path(fs, restore->data_aside);
}

static int sync_parent(struct fs *fs, const char *path)
{
    char *parent = alloc_string(path);
    char *slash = strrchr(parent, '/');
    struct fs_op op = {.kind = FS_FSYNC_DIR, .path = slash == NULL ? "." : slash == parent ? "/" : parent};
    if (slash != NULL && slash != parent) *slash = '\0';
    int error = fs_run(fs, &op);
    alloc_free(parent);
    return error;
}

static int move(struct fs *fs, const char *from, const char *to)
{
    struct fs_op op = {.kind = FS_RENAME, .path = from, .path2 = to};
    struct fs_op back = {.kind = FS_RENAME, .path = to, .path2 = from};
    int error = fs_run(fs, &op);
    if (error != 0) return error;
    error = sync_parent(fs, to);
    if (error != 0) (void)fs_run(fs, &back);
    return error;
}

/* The names that make it a member's. */
static enum err name_it(struct restore *restore)
{
    struct fs *fs = restore->options->fs;
    int error = restore->wal_path == NULL ? 0 : move(fs, restore->wal_aside, restore->wal_path);
    if (error != 0) return refuse(restore, ERR_STOPPED, "%s: cannot be named %s: %s", restore->wal_aside, restore->wal_path, strerror(error));
    error = move(fs, restore->data_aside, restore->data_path);
    if (error == 0) return ERR_OK;
    if (restore->wal_path != NULL) (void)move(fs, restore->wal_path, restore->wal_aside);
    return refuse(restore, ERR_STOPPED, "%s: cannot be named %s: %s", restore->data_aside, restore->data_path, strerror(error));
}

/* --- what is in them ------------------------------------------------------------------------------------------------------------- */

static void show(void *context, uint64_t done, uint64_t total)
{
    const struct restore *restore = context;
    if (restore->options->progress_fn == NULL) return;
    restore->options->progress_fn(restore->options->context, (restore->stage * total + done) / STAGES, total);
}

/* A bump makes new sums: the old ones are compared with the keys before. Without one they are, when the result is read back. */
static enum err verify_file(struct restore *restore)
{
    const struct restore_options *options = restore->options;
    const struct snapshot_load_options load = {
        .fs = options->fs,
        .path = options->file,
        .trailer = options->skip_hash_check ? SNAPSHOT_READER_TRAILER_UNSEEN : SNAPSHOT_READER_TRAILER_MUST,
        .is_verify_only = options->bump_revision == 0,
    };
    ASSERT(restore->stage == 0);
    return read_file(load, show, restore, &restore->file, restore->message, restore->message_size);
}

static char *snapshot_path(const struct restore *restore)
{
    char name[SNAPSHOT_FORMAT_NAME_SIZE];
    snapshot_format_name(restore->file.head.index, restore->file.head.term + 1, name);
    return join(restore->dir.snap_path, "/", name);
}

static enum err make_snapshot(struct restore *restore)
{
    const struct restore_options *options = restore->options;
    char *path = snapshot_path(restore);
    const struct snapshot_rewrite_options rewrite = {
        .fs = options->fs,
        .from = options->file,
        .to = path,
        .trailer = SNAPSHOT_READER_TRAILER_UNSEEN, /* it was looked at, if it is to be */
        .cluster = options->cluster,
        .member_id = options->member_id,
        .conf = options->conf,
        .term = restore->file.head.term + 1,
        .bump_revision = options->bump_revision,
        .progress_fn = show,
        .context = restore,
    };
    restore->stage = 1;
    enum err err = snapshot_rewrite(&rewrite, &restore->head, restore->message, restore->message_size);
    struct fs_op sync = {.kind = FS_FSYNC_DIR, .path = restore->dir.snap_path};
    int error = err == ERR_OK ? fs_run(options->fs, &sync) : 0;
    if (error != 0) err = refuse(restore, ERR_STOPPED, "%s: cannot be synced: %s", restore->dir.snap_path, strerror(error));
    alloc_free(path);
    return err;
}

static enum err read_back(struct restore *restore)
{
    char *path = snapshot_path(restore);
    struct restore_file file;
    const struct snapshot_load_options load = {.fs = restore->options->fs, .path = path, .cluster_id = restore->options->cluster->id};
    restore->stage = 2;
    enum err err = read_file(load, show, restore, &file, restore->message, restore->message_size);
    ASSERT(err != ERR_OK || file.head.revision == restore->head.revision);
    alloc_free(path);
    return err;
}

static void no_entry(void *context, const struct raft_entry *entry)
{
    ASSERT(context == NULL && entry == NULL); /* the log is new */
}

/* A log that begins behind the snapshot, and says so. */
static enum err make_log(struct restore *restore)
{
    const struct wal_options options = {
        .fs = restore->options->fs,
        .directory = restore->dir.wal_path,
        .cluster_id = restore->options->cluster->id,
        .member_id = restore->options->member_id,
        .segment_bytes = restore->options->segment_bytes,
        .batch_bytes_max = 1u << 20,
        .snapshot_index = restore->head.index,
        .snapshot_term = restore->head.term,
    };
    struct wal *wal = NULL;
    struct wal_recovered found = {0};
    enum err err = wal_open(&options, restore->options->conf, no_entry, NULL, &wal, &found);
    if (err != ERR_OK) return refuse(restore, err, "%s", found.message);
    ASSERT(found.is_reset && found.last_index == restore->head.index);
    wal_close(wal);
    wal_recovered_deinit(&found);
    return ERR_OK;
}

static enum err fill(struct restore *restore)
{
    struct data_dir_identity identity = {.cluster_id = restore->options->cluster->id, .member_id = restore->options->member_id, .boot_count = 1};
    memcpy(identity.uuid, restore->options->uuid, sizeof identity.uuid);
    empty_aside(restore);
    enum err err = make_snapshot(restore);
    if (err == ERR_OK) err = read_back(restore);
    if (err == ERR_OK) err = make_log(restore);
    if (err == ERR_OK) err = data_dir_store_identity(&restore->dir, &identity, restore->message, restore->message_size);
    return err;
}

/* --- all of it ------------------------------------------------------------------------------------------------------------------- */

static char *clean_path(const char *path)
{
    ASSERT(path[0] != '\0');
    char *copy = alloc_string(path);
    for (size_t length = strlen(copy); length > 1 && copy[length - 1] == '/'; length--) copy[length - 1] = '\0';
    return copy;
}

static void set_paths(struct restore *restore)
{
    restore->data_path = clean_path(restore->options->data_path);
    restore->data_aside = join(restore->data_path, ASIDE, "");
    if (restore->options->wal_path[0] == '\0') return;
    size_t length = strlen(restore->data_path);
    restore->wal_path = clean_path(restore->options->wal_path);
    bool is_below = strncmp(restore->wal_path, restore->data_path, length) == 0 && restore->wal_path[length] == '/';
    restore->wal_aside = is_below ? join(restore->data_aside, restore->wal_path + length, "") : join(restore->wal_path, ASIDE, "");
    if (!is_below) return;
    alloc_free(restore->wal_path);
    restore->wal_path = NULL;
}

/* What a file may say that is intact and yet not what a cluster comes to. */
static enum err check_reach(struct restore *restore)
{
    const struct snapshot_format_head *head = &restore->file.head;
    const char *file = restore->options->file;
    if (head->index >= POSITION_MAX || head->term >= POSITION_MAX)
        return refuse(restore, ERR_STOPPED, "%s: nothing can follow index %" PRIu64 " in term %" PRIu64, file, head->index, head->term);
    if (restore->options->bump_revision < SNAPSHOT_REWRITE_REVISION_MAX - head->revision) return ERR_OK;
    return refuse(restore, ERR_STOPPED, "%s: its revision is %" PRId64 ", which cannot be raised so far", file, head->revision);
}

static enum err run(struct restore *restore)
{
    if (restore->wal_path != NULL && strcmp(restore->wal_path, restore->data_path) == 0)
        return refuse(restore, ERR_STOPPED, "%s: is the data directory itself: the log needs another one", restore->wal_path);
    enum err err = check_free(restore, restore->data_path);
    if (err == ERR_OK && restore->wal_path != NULL) err = check_free(restore, restore->wal_path);
    if (err == ERR_OK) err = check_aside(restore);
    if (err == ERR_OK) err = verify_file(restore);
    if (err == ERR_OK) err = check_reach(restore);
    if (err != ERR_OK) return err;
    err = data_dir_open(restore->options->fs, restore->data_aside, restore->wal_aside, restore->options->names, &restore->dir,
                        restore->message, restore->message_size);
    if (err != ERR_OK) return err;
    err = fill(restore);
    if (err == ERR_OK) err = name_it(restore);
    if (err != ERR_OK) drop_aside(restore);
    data_dir_close(&restore->dir);
    return err;
}

enum err restore_run(const struct restore_options *options, struct restore_result *out_result, char *out_message, size_t message_size)
{
    ASSERT(options->fs != NULL && options->wal_path != NULL && options->bump_revision >= 0);
    ASSERT(cluster_find(options->cluster, options->member_id) != NULL && options->conf.size > 0);
    struct restore restore = {.options = options, .message = out_message, .message_size = message_size};
    set_paths(&restore);
    enum err err = run(&restore);
    if (err == ERR_OK) {
        *out_result = (struct restore_result){.head = restore.head,
                                              .file_cluster_id = restore.file.head.cluster_id,
                                              .file_revision = restore.file.head.revision};
    }
    alloc_free(restore.data_path);
    alloc_free(restore.data_aside);
    alloc_free(restore.wal_path);
    alloc_free(restore.wal_aside);
    return err;
}
