/* snapshot_dir: see snapshot_dir.h. */
#include "storage/snapshot_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/snapshot_load.h"

static char *join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + 1 + strlen(name) + 1;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s/%s", directory, name);
    return path;
}

/* --- start ------------------------------------------------------------------------------------------------------------------- */

struct listing {
    struct snapshot_dir *dir;
    char *stray; /* a tmp file; one at a time */
};

static void take_name(void *owner, const char *name)
{
    struct listing *listing = owner;
    uint64_t index = 0;
    uint64_t term = 0;
    size_t size = strlen(name);
    size_t suffix = strlen(SNAPSHOT_FORMAT_TMP_SUFFIX);
    bool is_tmp = size > suffix && strcmp(name + size - suffix, SNAPSHOT_FORMAT_TMP_SUFFIX) == 0;
    if (is_tmp && listing->stray == NULL) listing->stray = alloc_string(name);
    if (snapshot_format_parse_name(name, &index, &term)) snapshot_dir_add(listing->dir, index, term);
}

static int list(struct snapshot_dir *dir, struct listing *listing)
{
    *listing = (struct listing){.dir = dir};
    struct fs_op op = {.kind = FS_LIST, .path = dir->path, .list_fn = take_name, .owner = listing};
    dir->count = 0;
    return fs_run(dir->io.fs, &op);
}

enum err snapshot_dir_open(struct fs *fs, const char *path, struct snapshot_dir *out_dir, char *out_message, size_t message_size)
{
    ASSERT(fs != NULL && path != NULL && out_message != NULL && message_size > 0);
    struct snapshot_dir dir = {.path = alloc_string(path), .keep = SIZE_MAX};
    struct listing listing;
    dir.io.fs = fs;
    int error = list(&dir, &listing);
    while (error == 0 && listing.stray != NULL) {
        char *file = join(path, listing.stray);
        struct fs_op op = {.kind = FS_UNLINK, .path = file};
        error = fs_run(fs, &op);
        if (error == ENOENT) error = 0; /* somebody else did it */
        alloc_free(file);
        alloc_free(listing.stray);
        listing.stray = NULL;
        if (error == 0) error = list(&dir, &listing);
    }
    alloc_free(listing.stray);
    if (error == 0) {
        *out_dir = dir;
        return ERR_OK;
    }
    (void)snprintf(out_message, message_size, "%s: cannot be used: %s", path, strerror(error));
    snapshot_dir_close(&dir);
    return ERR_STOPPED;
}

void snapshot_dir_set_fs(struct snapshot_dir *dir, struct fs *fs)
{
    ASSERT(fs != NULL && !dir->io.in_flight);
    dir->io.fs = fs;
}

void snapshot_dir_close(struct snapshot_dir *dir)
{
    if (dir == NULL || dir->path == NULL) return;
    ASSERT(!dir->io.in_flight);
    alloc_free(dir->path);
    for (size_t at = 0; at < dir->left_count; at++) alloc_free(dir->left[at]);
    *dir = (struct snapshot_dir){.path = NULL};
}

/* One file; ERR_OK: *out_loaded. */
static enum err load_one(struct snapshot_dir *dir, const struct snapshot_dir_entry *entry, uint64_t cluster_id,
                         struct state_machine_loaded **out_loaded, bool *out_is_unsupported, char *out_message, size_t message_size)
{
    char *path = snapshot_dir_file(dir, entry->index, entry->term, false);
    struct snapshot_load_options options = {.fs = dir->io.fs, .path = path, .cluster_id = cluster_id, .is_blocking = true};
    struct snapshot_load *load = snapshot_load_new(&options);
    while (snapshot_load_step(load)) ASSERT(snapshot_load_state(load) == SNAPSHOT_LOAD_RUNNING);
    enum err err = snapshot_load_err(load);
    *out_is_unsupported = snapshot_load_is_unsupported(load);
    if (err == ERR_OK) {
        const struct snapshot_format_head *head = snapshot_load_head(load);
        bool is_named = head->index == entry->index && head->term == entry->term;
        if (!is_named) (void)snprintf(out_message, message_size, "%s: corrupt: its head says another position than its name", path);
        if (!is_named) err = ERR_CORRUPT;
        else *out_loaded = snapshot_load_take(load);
    } else {
        (void)snprintf(out_message, message_size, "%s", snapshot_load_message(load));
    }
    snapshot_load_free(load);
    alloc_free(path);
    return err;
}

/* It may have been seen in the page cache only, because its writer died before the last sync: nothing may be built upon it before it is on
 * the disk. */
static enum err make_durable(struct snapshot_dir *dir, const struct snapshot_dir_entry *entry, char *out_message, size_t message_size)
{
    char *path = snapshot_dir_file(dir, entry->index, entry->term, false);
    struct fs *fs = dir->io.fs;
    struct fs_file *file = NULL;
    int error = fs_open(fs, path, FS_READ | FS_WRITE, &file);
    struct fs_op sync = {.kind = FS_FDATASYNC, .file = file};
    if (error == 0) error = fs_run(fs, &sync);
    fs_close(fs, file);
    struct fs_op sync_dir = {.kind = FS_FSYNC_DIR, .path = dir->path};
    if (error == 0 && !MUTANT(D75)) error = fs_run(fs, &sync_dir);
    if (error != 0) (void)snprintf(out_message, message_size, "%s: cannot be made durable: %s", path, strerror(error));
    alloc_free(path);
    return error == 0 ? ERR_OK : ERR_STOPPED;
}

enum err snapshot_dir_load(struct snapshot_dir *dir, uint64_t cluster_id, snapshot_dir_report_fn *report_fn, void *context,
                           struct state_machine_loaded **out_loaded, char *out_message, size_t message_size)
{
    ASSERT(out_loaded != NULL && message_size > 0);
    for (size_t at = 0; at < dir->count; at++) {
        bool is_unsupported = false;
        struct state_machine_loaded *loaded = NULL;
        enum err err = load_one(dir, &dir->entries[at], cluster_id, &loaded, &is_unsupported, out_message, message_size);
        if (err == ERR_OK) {
            err = make_durable(dir, &dir->entries[at], out_message, message_size);
            if (err == ERR_OK) *out_loaded = loaded;
            else state_machine_loaded_free(loaded);
            return err;
        }
        if (is_unsupported || err == ERR_CLUSTER_ID_MISMATCH) return err;
        dir->entries[at].is_broken = true;
        dir->entries[at].is_unread = err != ERR_CORRUPT;
        if (report_fn != NULL) report_fn(context, out_message, dir->entries[at].is_unread);
    }
    *out_loaded = NULL;
    return ERR_OK;
}

/* --- what there is ----------------------------------------------------------------------------------------------------------- */

static bool is_before(const struct snapshot_dir_entry *entry, uint64_t index, uint64_t term)
{
    return entry->index > index || (entry->index == index && entry->term > term);
}

bool snapshot_dir_has(const struct snapshot_dir *dir, uint64_t index, uint64_t term)
{
    ASSERT(dir->count <= SNAPSHOT_DIR_MAX);
    for (size_t at = 0; at < dir->count; at++)
        if (dir->entries[at].index == index && dir->entries[at].term == term) return !dir->entries[at].is_broken;
    return false;
}

/* What was to go as `path` stays. False: its removal is under way, and nobody knows whether it hits what is written there now. */
static bool keep_path(struct snapshot_dir *dir, const char *path)
{
    for (size_t at = dir->left_count; at > 0; at--) {
        if (strcmp(dir->left[at - 1], path) != 0) continue;
        if (at == 1 && dir->is_removing) return false;
        alloc_free(dir->left[at - 1]);
        memmove(&dir->left[at - 1], &dir->left[at], (dir->left_count - at) * sizeof dir->left[0]);
        dir->left_count--;
    }
    return true;
}

bool snapshot_dir_claim(struct snapshot_dir *dir, uint64_t index, uint64_t term, const char *tmp_path)
{
    bool is_free = true;
    char *path = snapshot_dir_file(dir, index, term, false);
    for (size_t at = 0; at < dir->left_count; at++) is_free = is_free && strcmp(dir->left[at], path) != 0;
    alloc_free(path);
    return is_free && keep_path(dir, tmp_path);
}

void snapshot_dir_add(struct snapshot_dir *dir, uint64_t index, uint64_t term)
{
    size_t at = 0;
    ASSERT(index > 0 && term > 0);
    char *path = snapshot_dir_file(dir, index, term, false);
    bool is_broken = !keep_path(dir, path);
    alloc_free(path);
    while (at < dir->count && is_before(&dir->entries[at], index, term)) at++;
    bool is_again = at < dir->count && dir->entries[at].index == index && dir->entries[at].term == term;
    if (is_again) dir->entries[at].is_broken = is_broken; /* written anew */
    if (!is_again && dir->count == SNAPSHOT_DIR_MAX) dir->has_more = true;
    if (is_again || at == SNAPSHOT_DIR_MAX) return;
    if (dir->count == SNAPSHOT_DIR_MAX) dir->count--;
    memmove(&dir->entries[at + 1], &dir->entries[at], (dir->count - at) * sizeof dir->entries[0]);
    dir->entries[at] = (struct snapshot_dir_entry){.index = index, .term = term, .is_broken = is_broken};
    dir->count++;
}

bool snapshot_dir_mark_broken(struct snapshot_dir *dir, uint64_t index, uint64_t term)
{
    ASSERT(dir->count <= SNAPSHOT_DIR_MAX);
    for (size_t at = 0; at < dir->count; at++) {
        if (dir->entries[at].index != index || dir->entries[at].term != term) continue;
        dir->entries[at].is_broken = true;
        return true;
    }
    return false;
}

bool snapshot_dir_has_unread(const struct snapshot_dir *dir)
{
    ASSERT(dir->count <= SNAPSHOT_DIR_MAX);
    for (size_t at = 0; at < dir->count; at++)
        if (dir->entries[at].is_unread) return true;
    return false;
}

const struct snapshot_dir_entry *snapshot_dir_good(const struct snapshot_dir *dir, size_t place)
{
    ASSERT(dir->count <= SNAPSHOT_DIR_MAX);
    for (size_t at = 0; at < dir->count; at++)
        if (!dir->entries[at].is_broken && place-- == 0) return &dir->entries[at];
    return NULL;
}

char *snapshot_dir_file(const struct snapshot_dir *dir, uint64_t index, uint64_t term, bool is_tmp)
{
    char name[SNAPSHOT_FORMAT_NAME_SIZE + sizeof SNAPSHOT_FORMAT_TMP_SUFFIX];
    ASSERT(dir->path != NULL);
    snapshot_format_name(index, term, name);
    if (is_tmp) memcpy(name + strlen(name), SNAPSHOT_FORMAT_TMP_SUFFIX, sizeof SNAPSHOT_FORMAT_TMP_SUFFIX);
    return join(dir->path, name);
}

/* --- removal ----------------------------------------------------------------------------------------------------------------- */

void snapshot_dir_purge(struct snapshot_dir *dir, size_t keep)
{
    ASSERT(keep > 0);
    dir->keep = keep;
}

/* The oldest one goes, if it is behind the last good one to be kept. */
static bool has_victim(const struct snapshot_dir *dir)
{
    const struct snapshot_dir_entry *last = dir->keep == SIZE_MAX ? NULL : snapshot_dir_good(dir, dir->keep - 1);
    return last != NULL && last != &dir->entries[dir->count - 1];
}

static bool lists_again(const struct snapshot_dir *dir) { return dir->has_more && dir->keep != SIZE_MAX; }

bool snapshot_dir_is_idle(const struct snapshot_dir *dir)
{
    ASSERT(dir->path != NULL);
    return dir->left_count == 0 && !has_victim(dir) && !lists_again(dir);
}

void snapshot_dir_leave(struct snapshot_dir *dir, const char *path, uint64_t now_ns)
{
    ASSERT(strncmp(path, dir->path, strlen(dir->path)) == 0);
    if (dir->left_count == SNAPSHOT_DIR_LEFT_MAX) return; /* one that is not finished is seen by the next start; another one by age */
    dir->left[dir->left_count++] = alloc_string(path);
    if (dir->left_count == 1) dir->again_ns = now_ns + SNAPSHOT_DIR_AGAIN_NS;
}

int snapshot_dir_take_error(struct snapshot_dir *dir, const char **out_path)
{
    int error = dir->error;
    dir->error = 0;
    if (error != 0) *out_path = dir->left[dir->left_count - 1];
    return error;
}

/* One that somebody else removed is gone as well. Who stays goes behind the others: they need not wait for ever for it. */
static void removed(struct snapshot_dir *dir, int error, uint64_t now_ns)
{
    char *path = dir->left[0];
    ASSERT(dir->is_removing && dir->left_count > 0);
    dir->is_removing = false;
    memmove(&dir->left[0], &dir->left[1], (dir->left_count - 1) * sizeof dir->left[0]);
    dir->left[dir->left_count - 1] = path;
    if (error == 0 || error == ENOENT || MUTANT(D121)) {
        alloc_free(path);
        dir->left_count--;
        return;
    }
    dir->error = error;
    dir->again_ns = now_ns + SNAPSHOT_DIR_AGAIN_NS;
}

/* What is older than all that are known, of which none is to go. */
static void take_older(void *owner, const char *name)
{
    struct snapshot_dir *dir = owner; /* of which io is the first */
    uint64_t index = 0, term = 0;
    ASSERT(dir->is_listing && dir->count > 0);
    if (!snapshot_format_parse_name(name, &index, &term) || !is_before(&dir->entries[dir->count - 1], index, term)) return;
    if (dir->left_count >= SNAPSHOT_DIR_MAX) dir->has_more = true;
    else dir->left[dir->left_count++] = snapshot_dir_file(dir, index, term, false);
}
STATIC_ASSERT(offsetof(struct snapshot_dir, io) == 0, "whose operation it is");

static void list_again(struct snapshot_dir *dir)
{
    struct fs_op op = {.kind = FS_LIST, .path = dir->path, .list_fn = take_older};
    dir->has_more = false;
    dir->is_listing = true;
    snapshot_io_start(&dir->io, &op);
}

static void listed(struct snapshot_dir *dir, int error, uint64_t now_ns)
{
    dir->is_listing = false;
    if (error == 0) return;
    dir->has_more = true;
    dir->again_ns = now_ns + SNAPSHOT_DIR_AGAIN_NS;
}

bool snapshot_dir_step(struct snapshot_dir *dir, uint64_t now_ns)
{
    if (dir->is_removing || dir->is_listing) {
        if (!snapshot_io_is_done(&dir->io)) return false;
        if (dir->is_listing) listed(dir, dir->io.op.error, now_ns);
        else removed(dir, dir->io.op.error, now_ns);
    }
    while (dir->left_count < SNAPSHOT_DIR_MAX && has_victim(dir)) {
        const struct snapshot_dir_entry *entry = &dir->entries[--dir->count];
        dir->left[dir->left_count++] = snapshot_dir_file(dir, entry->index, entry->term, false);
    }
    if ((dir->left_count == 0 && !lists_again(dir)) || now_ns < dir->again_ns) return false;
    if (dir->left_count == 0) {
        list_again(dir);
        return true;
    }
    struct fs_op op = {.kind = FS_UNLINK, .path = dir->left[0]};
    dir->is_removing = true;
    snapshot_io_start(&dir->io, &op);
    return true;
}

uint64_t snapshot_dir_deadline_ns(const struct snapshot_dir *dir)
{
    bool waits = !dir->is_removing && !dir->is_listing && !snapshot_dir_is_idle(dir);
    return waits ? dir->again_ns : UINT64_MAX;
}
