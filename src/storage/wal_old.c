/* wal_old: old segments, and their end. See wal_old.h. */
#include "storage/wal_old.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/wal_format.h"
#include "storage/wal_spare.h"

void wal_old_init(struct wal_old *old, struct fs *fs, const char *directory, uint64_t kept_max, bool no_sync)
{
    ASSERT(fs != NULL);
    ASSERT(directory != NULL);
    size_t size = strlen(directory) + 1 + WAL_FORMAT_NAME_SIZE;
    *old = (struct wal_old){.fs = fs, .directory = directory, .kept_max = kept_max, .no_sync = no_sync, .path = alloc_new(size)};
    old->kept_path = alloc_new(strlen(directory) + 1 + WAL_SPARE_NAME_SIZE);
}

void wal_old_deinit(struct wal_old *old)
{
    if (old == NULL || old->fs == NULL) return;
    ASSERT(!old->in_flight);
    alloc_free(old->segments);
    alloc_free(old->path);
    alloc_free(old->kept_path);
    *old = (struct wal_old){0};
}

void wal_old_add(struct wal_old *old, const struct wal_old_segment *segment)
{
    ASSERT(segment->sequence > 0 && segment->first_index > 0);
    ASSERT(old->count == 0 || old->segments[old->count - 1].sequence < segment->sequence);
    if (old->count == old->capacity) {
        old->capacity = old->capacity == 0 ? 16 : old->capacity * 2;
        old->segments = alloc_resize(old->segments, old->capacity * sizeof *old->segments);
    }
    old->segments[old->count++] = *segment;
    old->bytes += segment->bytes;
}

void wal_old_set_whole(struct wal_old *old, uint64_t sequence)
{
    for (size_t i = old->count; i > 0; i--) {
        if (old->segments[i - 1].sequence == sequence) old->segments[i - 1].is_whole = true;
    }
}

static size_t old_voids(const struct wal_old *old)
{
    size_t voids = 0;
    while (voids < old->count && old->segments[voids].sequence < old->void_sequence) voids++;
    return voids;
}

uint64_t wal_old_first_index(const struct wal_old *old, uint64_t current_first_index)
{
    size_t voids = old_voids(old);
    return voids < old->count ? old->segments[voids].first_index : current_first_index;
}

/* How many of the oldest may go: the void ones, and those behind which a segment begins at or below what the snapshot leaves. */
static size_t old_spent(const struct wal_old *old, uint64_t current_first_index)
{
    size_t voids = old_voids(old);
    size_t spent = voids;
    for (; spent < old->count; spent++) {
        uint64_t next_index = spent + 1 < old->count ? old->segments[spent + 1].first_index : current_first_index;
        if (next_index > old->drop_index + 1) break;
    }
    if (MUTANT(D25) && old->drop_index > 0 && spent < old->count) return spent + 1;
    size_t covered = spent - voids;
    return spent - (covered < old->kept_max ? covered : (size_t)old->kept_max);
}

/* The oldest one goes: its file is kept, or removed. */
static void old_leave(struct wal_old *old, bool may_keep)
{
    const struct wal_old_segment *oldest = &old->segments[0];
    char name[WAL_FORMAT_NAME_SIZE];
    char kept_name[WAL_SPARE_NAME_SIZE];
    wal_format_name(oldest->sequence, oldest->first_index, name);
    wal_spare_kept_name(oldest->sequence, kept_name);
    (void)snprintf(old->path, strlen(old->directory) + 1 + sizeof name, "%s/%s", old->directory, name);
    (void)snprintf(old->kept_path, strlen(old->directory) + 1 + sizeof kept_name, "%s/%s", old->directory, kept_name);
    old->op.kind = may_keep && oldest->is_whole && !old->rename_failed ? FS_RENAME : FS_UNLINK;
    old->op.path = old->path;
    old->op.path2 = old->kept_path;
}

bool wal_old_step(struct wal_old *old, uint64_t current_first_index, uint64_t busy_sequence, bool may_keep, uint64_t now_ns)
{
    if (old->in_flight || now_ns < old->retry_ns) return false;
    old->op = (struct fs_op){.kind = FS_FSYNC_DIR, .path = old->directory, .owner = old};
    if (!old->is_unsynced) {
        if (old_spent(old, current_first_index) == 0 || old->segments[0].sequence == busy_sequence) return false;
        old_leave(old, may_keep);
    }
    old->in_flight = true;
    fs_submit(old->fs, &old->op);
    return true;
}

void wal_old_done(struct wal_old *old, uint64_t now_ns)
{
    ASSERT(old->in_flight);
    int error = old->op.error;
    old->in_flight = false;
    old->retry_ns = 0;
    if (old->op.kind == FS_FSYNC_DIR) {
        if (error != 0 && !old->is_ending) fatal("%s: sync after a log segment was removed: %s", old->directory, strerror(error));
        old->is_unsynced = false;
        return;
    }
    if (error != 0 && error != ENOENT && old->op.kind == FS_RENAME) {
        old->rename_failed = true;
        return;
    }
    if (error != 0 && error != ENOENT) {
        old->retry_ns = now_ns + WAL_OLD_RETRY_NS;
        return;
    }
    ASSERT(old->count > 0 && old->kept.sequence == 0);
    if (error == 0 && old->op.kind == FS_RENAME) old->kept = old->segments[0];
    old->rename_failed = false;
    old->bytes -= old->segments[0].bytes;
    old->count--;
    memmove(old->segments, old->segments + 1, old->count * sizeof *old->segments);
    old->is_unsynced = !old->no_sync && !MUTANT(D27) && !(MUTANT(D130) && old->kept.sequence != 0);
}

bool wal_old_take_kept(struct wal_old *old, struct wal_old_segment *out_segment)
{
    if (old->kept.sequence == 0 || old->is_unsynced) return false;
    *out_segment = old->kept;
    old->kept = (struct wal_old_segment){0};
    return true;
}
