/* fs_sim_crash: copies of a disk, power loss, damage at rest, and looking at it. See fs_sim.h. */
#include "lib/fs_sim_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* ---- power loss ---- */

static void names_copy(struct sim_names *to, const struct sim_names *from)
{
    for (size_t i = 0; i < from->count; i++) fs_sim_names_add(to, from->list[i].path, from->list[i].inode);
}

/* Which inodes a name leads to, or will; the others can be reached through open files only, and a copy has none. */
static bool *disk_named(const struct fs_sim_disk *disk)
{
    bool *is_named = alloc_zero(disk->inode_count + 1, sizeof(bool));
    for (size_t i = 0; i < disk->now.count; i++) is_named[disk->now.list[i].inode] = true;
    for (size_t i = 0; i < disk->durable.count; i++) is_named[disk->durable.list[i].inode] = true;
    for (size_t i = 0; i < disk->name_change_count; i++) {
        if (disk->name_changes[i].inode != SIM_GONE) is_named[disk->name_changes[i].inode] = true;
    }
    return is_named;
}

/* Without `has_now` what reads see is left empty: a crash makes it anew. */
static struct fs_sim_disk *disk_copy_parts(const struct fs_sim_disk *disk, bool has_now)
{
    struct fs_sim_disk *copy = fs_sim_disk_new();
    bool *is_named = disk_named(disk);
    for (size_t i = 0; i < disk->inode_count; i++) {
        const struct sim_inode *from = disk->inodes[i];
        size_t place = fs_sim_disk_inode(copy, from->is_directory);
        struct sim_inode *to = copy->inodes[place];
        if (!is_named[i]) continue;
        if (has_now) fs_sim_bytes_copy(&to->now, &from->now);
        fs_sim_bytes_copy(&to->durable, &from->durable);
        to->change_count = to->change_capacity = from->change_count;
        to->changes = alloc_new((from->change_count + 1) * sizeof *to->changes);
        if (from->change_count > 0) memcpy(to->changes, from->changes, from->change_count * sizeof *to->changes);
        for (size_t j = 0; j < from->change_count; j++) {
            if (to->changes[j].buffer != NULL) to->changes[j].buffer->users++;
        }
    }
    alloc_free(is_named);
    names_copy(&copy->now, &disk->now);
    names_copy(&copy->durable, &disk->durable);
    copy->name_changes = alloc_new((disk->name_change_count + 1) * sizeof *copy->name_changes);
    copy->name_change_count = disk->name_change_count;
    for (size_t i = 0; i < disk->name_change_count; i++) {
        const struct sim_name_change *from = &disk->name_changes[i];
        copy->name_changes[i] = (struct sim_name_change){.path = alloc_string(from->path), .inode = from->inode};
        if (from->old_path != NULL) copy->name_changes[i].old_path = alloc_string(from->old_path);
    }
    copy->change_number = disk->change_number;
    return copy;
}

struct fs_sim_disk *fs_sim_copy(const struct fs_sim_disk *disk) { return disk_copy_parts(disk, true); }

void fs_sim_forget(struct fs_sim_disk *disk)
{
    for (size_t i = 0; i < disk->inode_count; i++) fs_sim_lie_about(disk->inodes[i]);
    fs_sim_lie_about_names(disk, NULL);
}

void fs_sim_freeze_at(struct fs_sim_disk *disk, uint64_t op_number)
{
    ASSERT(disk->frozen == NULL);
    disk->freeze_at = op_number;
}

const struct fs_sim_disk *fs_sim_frozen(const struct fs_sim_disk *disk)
{
    return disk->frozen;
}

size_t fs_sim_unsynced(const struct fs_sim_disk *disk)
{
    size_t count = 0;
    for (size_t i = 0; i < disk->inode_count; i++) {
        for (size_t j = 0; j < disk->inodes[i]->change_count; j++) count += disk->inodes[i]->changes[j].is_size ? 0 : 1;
    }
    return count;
}

/* How many bytes of a sector write come through: none, some, all; `*out_noise`: they are not what was written. */
static size_t crash_keeps(const struct fs_sim_crash *crash, size_t number, struct rng *rng, bool *out_noise)
{
    uint64_t dice = rng_next(rng);
    size_t part = (1 + (size_t)(dice >> 8) % (FS_SIM_SECTOR - 1)) / FS_SIM_WORD * FS_SIM_WORD;
    if (part == 0) part = FS_SIM_WORD;
    *out_noise = crash->loss == FS_SIM_GARBLE_ONE && number == crash->sector;
    switch (crash->loss) {
    case FS_SIM_KEEP_ALL:
    case FS_SIM_GARBLE_ONE: return FS_SIM_SECTOR;
    case FS_SIM_LOSE_ALL: return 0;
    case FS_SIM_KEEP_FIRST: return number < crash->sector ? FS_SIM_SECTOR : 0;
    case FS_SIM_LOSE_ONE: return number == crash->sector ? 0 : FS_SIM_SECTOR;
    case FS_SIM_KEEP_ONE: return number == crash->sector ? FS_SIM_SECTOR : 0;
    case FS_SIM_TEAR_ONE: return number == crash->sector ? part : FS_SIM_SECTOR;
    case FS_SIM_RANDOM: return dice % 16 == 0 ? part : (dice % 2 == 0 ? 0 : FS_SIM_SECTOR);
    }
    return 0;
}

static void write_noise(struct sim_bytes *bytes, uint64_t place, struct rng *rng)
{
    uint8_t noise[FS_SIM_SECTOR];
    for (size_t i = 0; i < FS_SIM_SECTOR; i++) noise[i] = (uint8_t)rng_next(rng);
    fs_sim_bytes_write(bytes, place * FS_SIM_SECTOR, noise, FS_SIM_SECTOR);
}

static void crash_inode(struct sim_inode *inode, const struct fs_sim_crash *crash, struct rng *rng, size_t *number)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        const struct sim_change *change = &inode->changes[i];
        bool is_noise = false;
        size_t keeps = change->is_size ? FS_SIM_SECTOR : crash_keeps(crash, (*number)++, rng, &is_noise);
        bool lost_size = crash->loss == FS_SIM_LOSE_ALL || (crash->loss == FS_SIM_RANDOM && rng_next(rng) % 2 == 0);
        if (keeps == 0 || (change->is_size && lost_size)) continue;
        if (is_noise) write_noise(&inode->durable, change->place, rng);
        else fs_sim_change_apply(&inode->durable, change, keeps);
    }
    fs_sim_changes_drop(inode, inode->change_count);
    fs_sim_bytes_copy(&inode->now, &inode->durable);
}

struct fs_sim_disk *fs_sim_crash(const struct fs_sim_disk *disk, const struct fs_sim_crash *crash)
{
    struct fs_sim_disk *after = disk_copy_parts(disk, false);
    struct rng rng;
    rng_init(&rng, crash->seed + 1);
    size_t number = 0;
    for (size_t i = 0; i < after->inode_count; i++) crash_inode(after->inodes[i], crash, &rng, &number);
    size_t kept = crash->names == FS_SIM_NAMES_NONE ? 0 : after->name_change_count;
    if (crash->names == FS_SIM_NAMES_SOME) kept = (size_t)rng_below(&rng, after->name_change_count + 1);
    for (size_t i = 0; i < after->name_change_count; i++) {
        struct sim_name_change *change = &after->name_changes[i];
        bool is_kept = crash->names == FS_SIM_NAMES_RANDOM ? rng_below(&rng, 2) == 0 : i < kept;
        if (is_kept) fs_sim_name_apply(&after->durable, change);
        fs_sim_name_change_free(change);
    }
    after->name_change_count = 0;
    fs_sim_names_clear(&after->now);
    names_copy(&after->now, &after->durable);
    return after;
}

/* ---- faults and damage ---- */

void fs_sim_fail(struct fs_sim_disk *disk, enum fs_kind kind, uint64_t nth, int error)
{
    ASSERT(kind < SIM_KINDS && (error != FS_SIM_SHORT || kind == FS_PREAD));
    disk->faults[kind] = (struct sim_fault){.countdown = nth, .error = error};
}

void fs_sim_fail_now(struct fs_sim_disk *disk, int error) { disk->fails_now = error; }

void fs_sim_set_room(struct fs_sim_disk *disk, uint64_t bytes_max)
{
    disk->room = bytes_max;
}

bool fs_sim_exists(const struct fs_sim_disk *disk, const char *path)
{
    return fs_sim_disk_find(disk, path) != NULL;
}

bool fs_sim_is_named(const struct fs_sim_disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->durable.count; i++) {
        if (strcmp(disk->durable.list[i].path, path) == 0) return fs_sim_exists(disk, path);
    }
    return false;
}

uint64_t fs_sim_size(const struct fs_sim_disk *disk, const char *path)
{
    const struct sim_inode *inode = fs_sim_disk_find(disk, path);
    ASSERT(inode != NULL);
    return inode->now.size;
}

void fs_sim_poke(struct fs_sim_disk *disk, const char *path, uint64_t offset, const void *bytes, size_t size)
{
    struct sim_inode *inode = fs_sim_disk_find(disk, path);
    ASSERT(inode != NULL);
    fs_sim_bytes_write(&inode->now, offset, bytes, size);
    fs_sim_bytes_write(&inode->durable, offset, bytes, size);
}

void fs_sim_peek(const struct fs_sim_disk *disk, const char *path, uint64_t offset, void *out_bytes, size_t size)
{
    const struct sim_inode *inode = fs_sim_disk_find(disk, path);
    ASSERT(inode != NULL && offset + size <= inode->now.size);
    if (size > 0) memcpy(out_bytes, inode->now.buffer->data + offset, size);
}

void fs_sim_flip(struct fs_sim_disk *disk, const char *path, uint64_t offset, uint8_t mask)
{
    uint8_t byte = 0;
    fs_sim_peek(disk, path, offset, &byte, 1);
    byte ^= mask;
    fs_sim_poke(disk, path, offset, &byte, 1);
}

void fs_sim_cut(struct fs_sim_disk *disk, const char *path, uint64_t size)
{
    struct sim_inode *inode = fs_sim_disk_find(disk, path);
    ASSERT(inode != NULL);
    fs_sim_bytes_resize(&inode->now, size);
    fs_sim_bytes_resize(&inode->durable, size);
}

void fs_sim_remove(struct fs_sim_disk *disk, const char *path)
{
    fs_sim_names_set(&disk->now, path, SIM_GONE);
    fs_sim_names_set(&disk->durable, path, SIM_GONE);
}

static int compare_paths(const void *one, const void *other) { return strcmp(*(const char *const *)one, *(const char *const *)other); }

const char **fs_sim_disk_list(const struct fs_sim_disk *disk, const char *directory, size_t *out_count)
{
    const char **paths = alloc_new((disk->now.count + 1) * sizeof paths[0]);
    *out_count = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        const char *path = disk->now.list[i].path;
        if (fs_sim_is_in_directory(path, directory)) paths[(*out_count)++] = path;
    }
    qsort(paths, *out_count, sizeof paths[0], compare_paths);
    return paths;
}

const char *fs_sim_last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

bool fs_sim_name(const struct fs_sim_disk *disk, const char *directory, size_t place, char *out_name, size_t name_size)
{
    size_t count;
    const char **paths = fs_sim_disk_list(disk, directory, &count);
    if (place < count) (void)snprintf(out_name, name_size, "%s", fs_sim_last(paths[place]));
    alloc_free(paths);
    return place < count;
}
