/* wal_spare: the next segment's file, made ahead of its need. See wal_spare.h. */
#include "storage/wal_spare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define ALIGN 4096u /* of a file's length */

void wal_spare_kept_name(uint64_t sequence, char out_name[WAL_SPARE_NAME_SIZE])
{
    ASSERT(sequence > 0);
    (void)snprintf(out_name, WAL_SPARE_NAME_SIZE, WAL_SPARE_NAME "-%016" PRIx64, sequence);
}

bool wal_spare_is_name(const char *name)
{
    const size_t stem = strlen(WAL_SPARE_NAME);
    if (strncmp(name, WAL_SPARE_NAME, stem) != 0) return false;
    if (name[stem] == '\0') return true;
    return name[stem] == '-' && strlen(name + stem + 1) == 16 && strspn(name + stem + 1, "0123456789abcdef") == 16;
}

static void spare_name(struct wal_spare *spare, const char *name)
{
    (void)snprintf(spare->path, strlen(spare->directory) + 1 + WAL_SPARE_NAME_SIZE, "%s/%s", spare->directory, name);
}

void wal_spare_init(struct wal_spare *spare, struct fs *fs, const char *directory, bool no_sync)
{
    ASSERT(fs != NULL);
    ASSERT(directory != NULL);
    *spare = (struct wal_spare){.fs = fs, .directory = directory, .no_sync = no_sync};
    spare->path = alloc_new(strlen(directory) + 1 + WAL_SPARE_NAME_SIZE);
    spare_name(spare, WAL_SPARE_NAME);
}

void wal_spare_deinit(struct wal_spare *spare)
{
    if (spare == NULL || spare->fs == NULL) return;
    ASSERT(!spare->in_flight);
    fs_close(spare->fs, spare->file);
    alloc_free(spare->path);
    *spare = (struct wal_spare){0};
}

bool wal_spare_has_room(const struct wal_spare *spare) { return spare->kept_count < WAL_SPARE_KEPT_MAX; }

void wal_spare_keep(struct wal_spare *spare, const struct wal_spare_kept *kept)
{
    ASSERT(wal_spare_has_room(spare));
    ASSERT(kept->sequence > 0 && kept->bytes > 0);
    spare->kept[spare->kept_count++] = *kept;
    spare->retry_ns = 0; /* there is room now */
}

uint64_t wal_spare_disk_bytes(const struct wal_spare *spare)
{
    uint64_t bytes = spare->allocated_bytes;
    for (size_t i = 0; i < spare->kept_count; i++) bytes += spare->kept[i].bytes;
    return bytes;
}

/* The oldest of those that wait, or a new one. */
static void spare_begin(struct wal_spare *spare)
{
    char name[WAL_SPARE_NAME_SIZE] = WAL_SPARE_NAME;
    spare->op.flags = FS_WRITE | (spare->no_sync ? 0 : FS_DIRECT);
    spare->former = spare->filled_bytes = 0;
    if (spare->kept_count == 0) {
        spare->op.flags |= FS_CREATE | FS_TRUNC;
    } else {
        const struct wal_spare_kept kept = spare->kept[0];
        spare->kept_count--;
        memmove(spare->kept, spare->kept + 1, spare->kept_count * sizeof spare->kept[0]);
        wal_spare_kept_name(kept.sequence, name);
        spare->former = kept.sequence;
        spare->allocated_bytes = spare->filled_bytes = kept.bytes;
        if (kept.bytes > spare->target_bytes) spare->target_bytes = (kept.bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    spare_name(spare, name);
}

void wal_spare_want(struct wal_spare *spare, uint64_t bytes)
{
    ASSERT(bytes > 0);
    if (bytes > spare->target_bytes) spare->target_bytes = bytes;
    if (spare->phase == WAL_SPARE_NONE) spare->phase = WAL_SPARE_OPEN;
    if (spare->phase == WAL_SPARE_READY && spare->synced_bytes < spare->target_bytes) spare->phase = WAL_SPARE_ALLOCATE;
}

bool wal_spare_is_ready(const struct wal_spare *spare, uint64_t bytes)
{
    return spare->phase == WAL_SPARE_READY && spare->synced_bytes >= bytes;
}

bool wal_spare_step(struct wal_spare *spare, uint64_t now_ns)
{
    if (spare->in_flight) return false;
    if (spare->phase == WAL_SPARE_NO_SPACE && now_ns >= spare->retry_ns) spare->phase = WAL_SPARE_OPEN;
    uint64_t left = spare->target_bytes - spare->allocated_bytes;
    spare->op = (struct fs_op){.file = spare->file, .path = spare->path, .owner = spare};
    switch (spare->phase) {
    case WAL_SPARE_OPEN:
        spare->op.kind = FS_OPEN;
        spare_begin(spare);
        break;
    case WAL_SPARE_ALLOCATE:
        spare->op.kind = FS_ALLOCATE;
        spare->op.offset = spare->allocated_bytes;
        spare->op.size = left < WAL_SPARE_CHUNK ? left : WAL_SPARE_CHUNK;
        break;
    case WAL_SPARE_SYNC: spare->op.kind = FS_FDATASYNC; break;
    case WAL_SPARE_CLOSE: spare->op.kind = FS_CLOSE; break;
    case WAL_SPARE_UNLINK: spare->op.kind = FS_UNLINK; break;
    case WAL_SPARE_NONE:
    case WAL_SPARE_READY:
    case WAL_SPARE_NO_SPACE: return false;
    }
    spare->in_flight = true;
    fs_submit(spare->fs, &spare->op);
    return true;
}

/* Only what is not relied upon yet may fail, and only for want of space. */
static void spare_failed(struct wal_spare *spare, uint64_t now_ns)
{
    int error = spare->op.error;
    ASSERT(error != 0);
    if (error != ENOSPC && error != EDQUOT && !spare->is_ending) fatal("%s: making a log segment: %s", spare->path, strerror(error));
    spare->no_space = true;
    spare->retry_ns = now_ns + WAL_SPARE_RETRY_NS;
    spare->allocated_bytes = 0;
    spare->synced_bytes = 0;
    spare->phase = spare->file == NULL ? WAL_SPARE_NO_SPACE : WAL_SPARE_CLOSE;
}

static void spare_synced(struct wal_spare *spare)
{
    spare->synced_bytes = spare->allocated_bytes;
    spare->phase = spare->synced_bytes < spare->target_bytes ? WAL_SPARE_ALLOCATE : WAL_SPARE_READY;
    if (spare->phase == WAL_SPARE_READY) spare->no_space = false;
}

void wal_spare_done(struct wal_spare *spare, uint64_t now_ns)
{
    ASSERT(spare->in_flight);
    spare->in_flight = false;
    switch (spare->phase) {
    case WAL_SPARE_OPEN:
        if (spare->op.error != 0) {
            spare_failed(spare, now_ns);
            return;
        }
        spare->file = spare->op.file;
        spare->phase = spare->allocated_bytes < spare->target_bytes ? WAL_SPARE_ALLOCATE : WAL_SPARE_SYNC;
        if (spare->phase == WAL_SPARE_SYNC && spare->no_sync) spare_synced(spare);
        return;
    case WAL_SPARE_ALLOCATE:
        if (spare->op.error != 0) {
            spare_failed(spare, now_ns);
            return;
        }
        spare->allocated_bytes += spare->op.size;
        if (spare->no_sync) {
            spare_synced(spare);
        } else if (spare->allocated_bytes - spare->synced_bytes >= WAL_SPARE_SYNC_BYTES ||
                   spare->allocated_bytes >= spare->target_bytes) {
            spare->phase = WAL_SPARE_SYNC;
        }
        return;
    case WAL_SPARE_SYNC:
        if (spare->op.error != 0) {
            spare_failed(spare, now_ns);
        } else {
            spare_synced(spare);
        }
        return;
    case WAL_SPARE_CLOSE: /* an error of close or unlink loses nothing: the next attempt truncates */
        spare->file = NULL;
        spare->phase = WAL_SPARE_UNLINK;
        return;
    case WAL_SPARE_UNLINK: spare->phase = WAL_SPARE_NO_SPACE; return;
    case WAL_SPARE_NONE:
    case WAL_SPARE_READY:
    case WAL_SPARE_NO_SPACE: ASSERT(spare->phase == WAL_SPARE_OPEN); return; /* no operation belongs to these */
    }
}

struct wal_spare_file wal_spare_take(struct wal_spare *spare)
{
    ASSERT(spare->phase == WAL_SPARE_READY);
    ASSERT(!spare->in_flight);
    const struct wal_spare_file taken = {
        .file = spare->file, .bytes = spare->synced_bytes, .filled = spare->filled_bytes, .former = spare->former};
    spare->file = NULL;
    spare->phase = WAL_SPARE_NONE;
    spare->target_bytes = spare->allocated_bytes = spare->synced_bytes = spare->filled_bytes = spare->former = 0;
    return taken;
}
