/* fs_sim: a disk in memory that may lose what was not synced. See fs_sim.h. */
#include "lib/fs_sim_inner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct fs_sim {
    struct fs fs;
    struct fs_sim_disk *disk;
    bool immediate;
    struct list pending;
    size_t pending_count;
    struct list done;
};

/* ---- bytes ---- */

/* Nobody else sees what is written to them from now on. */
static void bytes_own(struct sim_bytes *bytes, uint64_t capacity)
{
    struct sim_buffer *buffer = bytes->buffer;
    bool is_shared = buffer != NULL && buffer->users > 1, fits = buffer != NULL && capacity <= buffer->capacity;
    if (fits && !is_shared) return;
    if (!fits && buffer != NULL) capacity *= 2;
    bytes->buffer = alloc_resize(is_shared ? NULL : buffer, sizeof *buffer + capacity);
    if (is_shared) memcpy(bytes->buffer->data, buffer->data, bytes->size);
    if (is_shared) buffer->users--;
    bytes->buffer->users = 1;
    bytes->buffer->capacity = capacity;
}

void fs_sim_bytes_resize(struct sim_bytes *bytes, uint64_t size)
{
    if (size > bytes->size) {
        bytes_own(bytes, size);
        memset(bytes->buffer->data + bytes->size, 0, size - bytes->size);
    }
    bytes->size = size;
}

void fs_sim_bytes_write(struct sim_bytes *bytes, uint64_t offset, const void *data, uint64_t size)
{
    if (offset + size > bytes->size) fs_sim_bytes_resize(bytes, offset + size);
    if (size == 0) return;
    bytes_own(bytes, bytes->size);
    if (data == NULL) memset(bytes->buffer->data + offset, 0, size);
    else memcpy(bytes->buffer->data + offset, data, size);
}

static void buffer_unref(struct sim_buffer *buffer)
{
    if (buffer != NULL && --buffer->users == 0) alloc_free(buffer);
}

void fs_sim_bytes_free(struct sim_bytes *bytes)
{
    buffer_unref(bytes->buffer);
    *bytes = (struct sim_bytes){.size = 0};
}

void fs_sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
    fs_sim_bytes_free(to);
    *to = *from;
    if (to->buffer != NULL) to->buffer->users++;
}

/* ---- names ---- */

static size_t names_find(const struct sim_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].path, path) == 0) return i;
    }
    return SIM_GONE;
}

void fs_sim_names_add(struct sim_names *names, const char *path, size_t inode)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 16 : names->capacity * 2;
        names->list = alloc_resize(names->list, names->capacity * sizeof *names->list);
    }
    names->list[names->count++] = (struct sim_name){.path = alloc_string(path), .inode = inode};
}

void fs_sim_names_set(struct sim_names *names, const char *path, size_t inode)
{
    size_t at = names_find(names, path);
    if (inode == SIM_GONE) {
        if (at == SIM_GONE) return;
        alloc_free(names->list[at].path);
        names->list[at] = names->list[--names->count];
        return;
    }
    if (at == SIM_GONE) fs_sim_names_add(names, path, inode);
    else names->list[at].inode = inode;
}

void fs_sim_names_clear(struct sim_names *names)
{
    for (size_t i = 0; i < names->count; i++) alloc_free(names->list[i].path);
    alloc_free(names->list);
    *names = (struct sim_names){0};
}

/* The directory of a path, as its length; "" (0) for a name without a slash. */
static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path);
}

bool fs_sim_is_in_directory(const char *path, const char *directory)
{
    size_t length = strcmp(directory, ".") == 0 ? 0 : strlen(directory);
    return directory_length(path) == length && strncmp(path, directory, length) == 0;
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

/* What is in a directory goes with it. */
static void names_move(struct sim_names *names, const char *from, const char *to)
{
    for (size_t i = 0; i < names->count; i++) {
        char *old_path = names->list[i].path;
        if (!is_below(old_path, from)) continue;
        size_t size = strlen(to) + strlen(old_path + strlen(from)) + 1;
        char *path = alloc_new(size);
        (void)snprintf(path, size, "%s%s", to, old_path + strlen(from));
        names->list[i].path = path;
        alloc_free(old_path);
    }
}

static bool names_have_below(const struct sim_names *names, const char *directory)
{
    for (size_t i = 0; i < names->count; i++)
        if (is_below(names->list[i].path, directory)) return true;
    return false;
}

void fs_sim_name_apply(struct sim_names *names, const struct sim_name_change *change)
{
    fs_sim_names_set(names, change->path, change->inode);
    if (change->old_path != NULL) names_move(names, change->old_path, change->path);
    if (change->old_path != NULL) fs_sim_names_set(names, change->old_path, SIM_GONE);
}

static void disk_name(struct fs_sim_disk *disk, const char *path, const char *old_path, size_t inode)
{
    struct sim_name_change change = {.path = alloc_string(path), .inode = inode};
    if (old_path != NULL) change.old_path = alloc_string(old_path);
    fs_sim_name_apply(&disk->now, &change);
    disk->name_changes = alloc_resize(disk->name_changes, (disk->name_change_count + 1) * sizeof *disk->name_changes);
    disk->name_changes[disk->name_change_count++] = change;
}

void fs_sim_name_change_free(struct sim_name_change *change)
{
    alloc_free(change->path);
    alloc_free(change->old_path);
}

static void disk_sync_names(struct fs_sim_disk *disk, const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->name_change_count; i++) {
        struct sim_name_change *change = &disk->name_changes[i];
        if (fs_sim_is_in_directory(change->path, directory)) {
            fs_sim_name_apply(&disk->durable, change);
            fs_sim_name_change_free(change);
        } else {
            disk->name_changes[kept++] = *change;
        }
    }
    disk->name_change_count = kept;
}

/* ---- the disk ---- */

struct fs_sim_disk *fs_sim_disk_new(void)
{
    struct fs_sim_disk *disk = ALLOC(struct fs_sim_disk);
    disk->room = UINT64_MAX;
    return disk;
}

void fs_sim_disk_free(struct fs_sim_disk *disk)
{
    if (disk == NULL) return;
    for (size_t i = 0; i < disk->inode_count; i++) {
        fs_sim_bytes_free(&disk->inodes[i]->now);
        fs_sim_bytes_free(&disk->inodes[i]->durable);
        fs_sim_changes_drop(disk->inodes[i], disk->inodes[i]->change_count);
        alloc_free(disk->inodes[i]->changes);
        alloc_free(disk->inodes[i]);
    }
    alloc_free(disk->inodes);
    fs_sim_names_clear(&disk->now);
    fs_sim_names_clear(&disk->durable);
    for (size_t i = 0; i < disk->name_change_count; i++) fs_sim_name_change_free(&disk->name_changes[i]);
    alloc_free(disk->name_changes);
    fs_sim_disk_free(disk->frozen);
    alloc_free(disk);
}

size_t fs_sim_disk_inode(struct fs_sim_disk *disk, bool is_directory)
{
    disk->inodes = alloc_resize(disk->inodes, (disk->inode_count + 1) * sizeof *disk->inodes);
    disk->inodes[disk->inode_count] = ALLOC(struct sim_inode);
    disk->inodes[disk->inode_count]->is_directory = is_directory;
    return disk->inode_count++;
}

struct sim_inode *fs_sim_disk_find(const struct fs_sim_disk *disk, const char *path)
{
    size_t at = names_find(&disk->now, path);
    return at == SIM_GONE ? NULL : disk->inodes[disk->now.list[at].inode];
}

static void inode_reserve(struct sim_inode *inode, size_t more)
{
    size_t wanted = inode->change_count + more;
    if (wanted <= inode->change_capacity) return;
    inode->change_capacity = wanted > inode->change_capacity * 2 ? wanted : inode->change_capacity * 2;
    inode->changes = alloc_resize(inode->changes, inode->change_capacity * sizeof *inode->changes);
}

static struct sim_change *inode_change(struct fs_sim_disk *disk, struct sim_inode *inode)
{
    inode_reserve(inode, 1);
    struct sim_change *change = &inode->changes[inode->change_count++];
    *change = (struct sim_change){.number = ++disk->change_number};
    return change;
}

static void inode_change_size(struct fs_sim_disk *disk, struct sim_inode *inode, uint64_t size)
{
    struct sim_change *change = inode_change(disk, inode);
    change->is_size = true;
    change->place = size;
}

/* What the sectors of a write hold afterwards. */
static struct sim_buffer *sectors_keep(const struct sim_bytes *bytes, uint64_t start, size_t count)
{
    uint64_t size = count * FS_SIM_SECTOR, has = bytes->size - start < size ? bytes->size - start : size;
    struct sim_buffer *buffer = alloc_new(sizeof *buffer + size);
    buffer->users = count;
    buffer->capacity = size;
    memcpy(buffer->data, bytes->buffer->data + start, has);
    memset(buffer->data + has, 0, size - has);
    return buffer;
}

/* data == NULL: zeros. */
static void inode_write(struct fs_sim_disk *disk, struct sim_inode *inode, uint64_t offset, const void *data, uint64_t size)
{
    if (size == 0) return;
    fs_sim_bytes_write(&inode->now, offset, data, size);
    uint64_t first = offset / FS_SIM_SECTOR, end = (offset + size + FS_SIM_SECTOR - 1) / FS_SIM_SECTOR;
    inode_reserve(inode, end - first + 1);
    bool is_zeros = data == NULL && offset % FS_SIM_SECTOR == 0 && (size % FS_SIM_SECTOR == 0 || offset + size == inode->now.size);
    struct sim_buffer *buffer = is_zeros ? NULL : sectors_keep(&inode->now, first * FS_SIM_SECTOR, end - first);
    for (uint64_t place = first; place < end; place++) {
        struct sim_change *change = inode_change(disk, inode);
        change->place = place;
        change->buffer = buffer;
        change->at = (uint32_t)((place - first) * FS_SIM_SECTOR);
    }
    inode_change_size(disk, inode, inode->now.size);
}

void fs_sim_change_apply(struct sim_bytes *bytes, const struct sim_change *change, size_t length)
{
    if (change->is_size) {
        fs_sim_bytes_resize(bytes, change->place);
        return;
    }
    const uint8_t *data = change->buffer == NULL ? NULL : change->buffer->data + change->at;
    fs_sim_bytes_write(bytes, change->place * FS_SIM_SECTOR, data, length);
}

void fs_sim_changes_drop(struct sim_inode *inode, size_t count)
{
    for (size_t i = 0; i < count; i++) buffer_unref(inode->changes[i].buffer);
    inode->change_count -= count;
    if (inode->change_count > 0) memmove(inode->changes, inode->changes + count, inode->change_count * sizeof *inode->changes);
}

static void inode_sync(struct sim_inode *inode, uint64_t up_to)
{
    size_t count = 0;
    if (inode->change_count > 0 && inode->now.size > inode->durable.size) bytes_own(&inode->durable, inode->now.size);
    while (count < inode->change_count && inode->changes[count].number <= up_to) {
        fs_sim_change_apply(&inode->durable, &inode->changes[count++], FS_SIM_SECTOR);
    }
    if (count == inode->change_count) fs_sim_bytes_resize(&inode->durable, inode->now.size);
    fs_sim_changes_drop(inode, count);
}

uint64_t fs_sim_used(const struct fs_sim_disk *disk)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->now.count; i++) used += disk->inodes[disk->now.list[i].inode]->now.size;
    return used;
}

/* ---- operations ---- */

static int run_open(struct fs_sim_disk *disk, struct fs_op *op)
{
    size_t at = names_find(&disk->now, op->path);
    if (at == SIM_GONE && (op->flags & FS_CREATE) == 0) return ENOENT;
    if (at != SIM_GONE && (op->flags & FS_EXCLUSIVE) != 0) return EEXIST;
    if (at == SIM_GONE) disk_name(disk, op->path, NULL, fs_sim_disk_inode(disk, false));
    struct sim_inode *inode = fs_sim_disk_find(disk, op->path);
    if (inode->is_directory) return EISDIR;
    if ((op->flags & FS_TRUNC) != 0 && inode->now.size > 0) {
        fs_sim_bytes_resize(&inode->now, 0);
        inode_change_size(disk, inode, 0);
    }
    op->file = ALLOC(struct fs_file);
    op->file->inode = inode;
    return 0;
}

static int run_write(struct fs_sim_disk *disk, struct fs_op *op, bool fails)
{
    struct sim_inode *inode = op->file->inode;
    uint64_t size = fails ? op->size / 2 / FS_SIM_SECTOR * FS_SIM_SECTOR : op->size;
    uint64_t grown = op->offset + size > inode->now.size ? op->offset + size - inode->now.size : 0;
    if (grown > 0 && disk->room != UINT64_MAX && fs_sim_used(disk) + grown > disk->room) return ENOSPC;
    inode_write(disk, inode, op->offset, op->kind == FS_PWRITE ? op->data : NULL, size);
    return 0;
}

static int run_truncate(struct fs_sim_disk *disk, struct fs_op *op)
{
    fs_sim_bytes_resize(&op->file->inode->now, op->size);
    inode_change_size(disk, op->file->inode, op->size);
    return 0;
}

static int run_rename(struct fs_sim_disk *disk, struct fs_op *op)
{
    size_t at = names_find(&disk->now, op->path);
    if (at == SIM_GONE) return ENOENT;
    if (names_have_below(&disk->now, op->path2)) return ENOTEMPTY;
    disk_name(disk, op->path2, op->path, disk->now.list[at].inode);
    return 0;
}

static int run_list(struct fs_sim_disk *disk, struct fs_op *op)
{
    size_t count;
    if (fs_sim_disk_find(disk, op->path) == NULL) return ENOENT;
    const char **paths = fs_sim_disk_list(disk, op->path, &count);
    for (size_t place = 0; place < count; place++) op->list_fn(op->owner, fs_sim_last(paths[place]));
    alloc_free(paths);
    return 0;
}

static int run_mkdir(struct fs_sim_disk *disk, struct fs_op *op)
{
    char parent[256];
    size_t length = directory_length(op->path);
    if (fs_sim_disk_find(disk, op->path) != NULL) return EEXIST;
    ASSERT(length < sizeof parent);
    memcpy(parent, op->path, length);
    parent[length] = '\0';
    if (length > 0 && fs_sim_disk_find(disk, parent) == NULL) return ENOENT;
    disk_name(disk, op->path, NULL, fs_sim_disk_inode(disk, true));
    return 0;
}

static int run_lock(struct fs_op *op)
{
    if (op->file->inode->lock != NULL && op->file->inode->lock != op->file) return EWOULDBLOCK;
    op->file->inode->lock = op->file;
    return 0;
}

static int run_read(struct fs_op *op)
{
    const struct sim_bytes *bytes = &op->file->inode->now;
    uint64_t left = op->offset < bytes->size ? bytes->size - op->offset : 0;
    op->result = op->size < left ? op->size : left;
    if (op->result > 0) memcpy(op->memory, bytes->buffer->data + op->offset, op->result);
    return 0;
}

/* The page cache after a failed sync: reads still show what will never reach the disk. */
void fs_sim_lie_about(struct sim_inode *inode)
{
    fs_sim_changes_drop(inode, inode->change_count);
}

void fs_sim_lie_about_names(struct fs_sim_disk *disk, const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->name_change_count; i++) {
        struct sim_name_change *change = &disk->name_changes[i];
        if (directory == NULL || fs_sim_is_in_directory(change->path, directory)) fs_sim_name_change_free(change);
        else disk->name_changes[kept++] = *change;
    }
    disk->name_change_count = kept;
}

static int run_op(struct fs_sim_disk *disk, struct fs_op *op, uint64_t synced_up_to, int fault)
{
    switch (op->kind) {
    case FS_OPEN: return fault != 0 ? fault : run_open(disk, op);
    case FS_CLOSE:
        if (op->file->inode->lock == op->file) op->file->inode->lock = NULL;
        alloc_free(op->file);
        return fault;
    case FS_PREAD:
        if (fault != 0 && fault != FS_SIM_SHORT) return fault;
        (void)run_read(op);
        if (fault == FS_SIM_SHORT && op->result > FS_SIM_SECTOR) op->result = FS_SIM_SECTOR;
        return 0;
    case FS_PWRITE:
    case FS_ALLOCATE: {
        int error = run_write(disk, op, fault != 0);
        return fault != 0 ? fault : error;
    }
    case FS_FDATASYNC:
        if (fault != 0) {
            fs_sim_lie_about(op->file->inode);
            return fault;
        }
        inode_sync(op->file->inode, synced_up_to);
        return 0;
    case FS_TRUNCATE: return fault != 0 ? fault : run_truncate(disk, op);
    case FS_SIZE: op->result = op->file->inode->now.size; return fault;
    case FS_RENAME: return fault != 0 ? fault : run_rename(disk, op);
    case FS_UNLINK:
        if (fault != 0) return fault;
        if (fs_sim_disk_find(disk, op->path) == NULL) return ENOENT;
        if (names_have_below(&disk->now, op->path)) return ENOTEMPTY;
        disk_name(disk, op->path, NULL, SIM_GONE);
        return 0;
    case FS_MKDIR: return fault != 0 ? fault : run_mkdir(disk, op);
    case FS_FSYNC_DIR:
        if (fault == 0) {
            disk_sync_names(disk, op->path);
        } else {
            fs_sim_lie_about_names(disk, op->path);
        }
        return fault;
    case FS_LIST: return fault != 0 ? fault : run_list(disk, op);
    case FS_LOCK: return fault != 0 ? fault : run_lock(op);
    }
    return EINVAL;
}

static bool op_changes(enum fs_kind kind)
{
    return kind != FS_CLOSE && kind != FS_PREAD && kind != FS_SIZE && kind != FS_LIST && kind != FS_LOCK;
}

static int disk_fault(struct fs_sim_disk *disk, enum fs_kind kind)
{
    struct sim_fault *fault = &disk->faults[kind];
    int now = disk->fails_now;
    disk->fails_now = 0;
    if (now != 0) return now;
    if (fault->countdown == 0 || --fault->countdown > 0) return 0;
    disk->failed++;
    if (fault->error == FS_SIM_SHORT) fault->countdown = 1;
    return fault->error;
}

/* `synced_up_to`: a sync counts for what was written before it was submitted. */
static void op_issue(struct fs_sim_disk *disk, struct fs_op *op, uint64_t synced_up_to)
{
    bool counts = op_changes(op->kind);
    bool is_sync = op->kind == FS_FDATASYNC || op->kind == FS_FSYNC_DIR;
    if (counts) disk->op_count++;
    bool freezes = counts && disk->op_count == disk->freeze_at;
    if (freezes && is_sync) disk->frozen = fs_sim_copy(disk);
    op->error = run_op(disk, op, synced_up_to, disk_fault(disk, op->kind));
    if (freezes && !is_sync) disk->frozen = fs_sim_copy(disk);
}

static void sim_run(struct fs *fs, struct fs_op *op)
{
    struct fs_sim_disk *disk = ((struct fs_sim *)fs)->disk;
    op_issue(disk, op, disk->change_number);
}

/* Syncs take effect when they complete; everything else when it is submitted, as in a page cache. */
static bool op_is_late(enum fs_kind kind)
{
    return kind == FS_FDATASYNC || kind == FS_FSYNC_DIR || kind == FS_CLOSE;
}

static void sim_submit(struct fs *fs, struct fs_op *op)
{
    struct fs_sim *sim = (struct fs_sim *)fs;
    ASSERT(sim->pending_count < FS_OPS_MAX);
    if (sim->immediate) {
        op_issue(sim->disk, op, sim->disk->change_number);
        list_push_back(&sim->done, &op->node);
        return;
    }
    if (op_is_late(op->kind)) {
        op->result = sim->disk->change_number;
    } else {
        op_issue(sim->disk, op, 0);
    }
    list_push_back(&sim->pending, &op->node);
    sim->pending_count++;
}

static struct fs_op *sim_take_done(struct fs *fs)
{
    struct fs_sim *sim = (struct fs_sim *)fs;
    struct list *node = list_pop_front(&sim->done);
    return node == NULL ? NULL : LIST_ENTRY(node, struct fs_op, node);
}

static void sim_free(struct fs *fs)
{
    alloc_free(fs);
}

struct fs *fs_sim_new(struct fs_sim_disk *disk, bool immediate)
{
    static const struct fs_table table = {.run = sim_run, .submit = sim_submit, .take_done = sim_take_done, .free = sim_free};
    struct fs_sim *sim = ALLOC(struct fs_sim);
    sim->fs.table = &table;
    sim->disk = disk;
    sim->immediate = immediate;
    list_init(&sim->pending);
    list_init(&sim->done);
    return &sim->fs;
}

size_t fs_sim_pending(const struct fs *fs)
{
    return ((const struct fs_sim *)fs)->pending_count;
}

bool fs_sim_complete(struct fs *fs, size_t place)
{
    struct fs_sim *sim = (struct fs_sim *)fs;
    if (place >= sim->pending_count) return false;
    struct list *node = sim->pending.next;
    while (place-- > 0) node = node->next;
    list_remove(node);
    sim->pending_count--;
    struct fs_op *op = LIST_ENTRY(node, struct fs_op, node);
    if (op_is_late(op->kind)) op_issue(sim->disk, op, op->result);
    list_push_back(&sim->done, &op->node);
    return true;
}

uint64_t fs_sim_failed(const struct fs_sim_disk *disk) { return disk->failed; }

uint64_t fs_sim_op_count(const struct fs_sim_disk *disk)
{
    return disk->op_count;
}
