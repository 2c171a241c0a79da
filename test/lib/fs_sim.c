/* fs_sim: a disk in memory that may lose what was not synced. See fs_sim.h. */
#include "lib/fs_sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct sim_bytes {
    uint8_t *data;
    uint64_t size;
    uint64_t capacity;
};

/* A sector write, or a change of size, that a power loss may take. */
struct sim_change {
    uint64_t number;
    uint64_t place; /* of the sector; for a size: the size */
    bool is_size;
    uint8_t data[FS_SIM_SECTOR];
};

struct sim_inode {
    struct sim_bytes now;     /* what reads see */
    struct sim_bytes durable;
    struct sim_change *changes;
    size_t change_count;
    size_t change_capacity;
    bool is_directory;
    struct fs_file *lock;
};

struct sim_name {
    char *path;
    size_t inode;
};
struct sim_names {
    struct sim_name *list;
    size_t count;
};

/* A change of names that is durable only with its directory's sync. inode == SIM_GONE: the name goes away. A rename is one. */
struct sim_name_change {
    char *path;
    char *old_path; /* a rename's; NULL = none */
    size_t inode;
};
#define SIM_GONE ((size_t)-1)
#define SIM_KINDS (FS_LOCK + 1)

struct sim_fault {
    uint64_t countdown; /* 0 = none */
    int error;
};

struct fs_sim_disk {
    struct sim_inode **inodes;
    size_t inode_count;
    struct sim_names now;
    struct sim_names durable;
    struct sim_name_change *name_changes;
    size_t name_change_count;
    uint64_t change_number;
    uint64_t op_count;
    uint64_t freeze_at;
    struct fs_sim_disk *frozen;
    uint64_t room;
    struct sim_fault faults[SIM_KINDS];
    uint64_t failed;
};

struct fs_file {
    struct sim_inode *inode;
};

struct fs_sim {
    struct fs fs;
    struct fs_sim_disk *disk;
    bool immediate;
    struct list pending;
    size_t pending_count;
    struct list done;
};

/* ---- bytes ---- */

static void bytes_resize(struct sim_bytes *bytes, uint64_t size)
{
    if (size > bytes->capacity) {
        bytes->capacity = size * 2;
        bytes->data = alloc_resize(bytes->data, bytes->capacity);
    }
    if (size > bytes->size) memset(bytes->data + bytes->size, 0, size - bytes->size);
    bytes->size = size;
}

static void bytes_write(struct sim_bytes *bytes, uint64_t offset, const void *data, uint64_t size)
{
    if (offset + size > bytes->size) bytes_resize(bytes, offset + size);
    if (size > 0) memcpy(bytes->data + offset, data, size);
}

static void bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
    if (from->size > to->capacity) {
        alloc_free(to->data); /* not resized: what it held is of no use */
        to->data = alloc_new(from->size);
        to->capacity = from->size;
    }
    to->size = from->size;
    if (from->size > 0) memcpy(to->data, from->data, from->size);
}

/* ---- names ---- */

static size_t names_find(const struct sim_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].path, path) == 0) return i;
    }
    return SIM_GONE;
}

static void names_set(struct sim_names *names, const char *path, size_t inode)
{
    size_t at = names_find(names, path);
    if (inode == SIM_GONE) {
        if (at == SIM_GONE) return;
        alloc_free(names->list[at].path);
        names->list[at] = names->list[--names->count];
        return;
    }
    if (at == SIM_GONE) {
        names->list = alloc_resize(names->list, (names->count + 1) * sizeof *names->list);
        at = names->count++;
        names->list[at].path = alloc_string(path);
    }
    names->list[at].inode = inode;
}

static void names_clear(struct sim_names *names)
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

static bool is_in_directory(const char *path, const char *directory)
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

static void name_apply(struct sim_names *names, const struct sim_name_change *change)
{
    names_set(names, change->path, change->inode);
    if (change->old_path != NULL) names_move(names, change->old_path, change->path);
    if (change->old_path != NULL) names_set(names, change->old_path, SIM_GONE);
}

static void disk_name(struct fs_sim_disk *disk, const char *path, const char *old_path, size_t inode)
{
    struct sim_name_change change = {.path = alloc_string(path), .inode = inode};
    if (old_path != NULL) change.old_path = alloc_string(old_path);
    name_apply(&disk->now, &change);
    disk->name_changes = alloc_resize(disk->name_changes, (disk->name_change_count + 1) * sizeof *disk->name_changes);
    disk->name_changes[disk->name_change_count++] = change;
}

static void name_change_free(struct sim_name_change *change)
{
    alloc_free(change->path);
    alloc_free(change->old_path);
}

static void disk_sync_names(struct fs_sim_disk *disk, const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->name_change_count; i++) {
        struct sim_name_change *change = &disk->name_changes[i];
        if (is_in_directory(change->path, directory)) {
            name_apply(&disk->durable, change);
            name_change_free(change);
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
        alloc_free(disk->inodes[i]->now.data);
        alloc_free(disk->inodes[i]->durable.data);
        alloc_free(disk->inodes[i]->changes);
        alloc_free(disk->inodes[i]);
    }
    alloc_free(disk->inodes);
    names_clear(&disk->now);
    names_clear(&disk->durable);
    for (size_t i = 0; i < disk->name_change_count; i++) name_change_free(&disk->name_changes[i]);
    alloc_free(disk->name_changes);
    fs_sim_disk_free(disk->frozen);
    alloc_free(disk);
}

static size_t disk_inode(struct fs_sim_disk *disk, bool is_directory)
{
    disk->inodes = alloc_resize(disk->inodes, (disk->inode_count + 1) * sizeof *disk->inodes);
    disk->inodes[disk->inode_count] = ALLOC(struct sim_inode);
    disk->inodes[disk->inode_count]->is_directory = is_directory;
    return disk->inode_count++;
}

static struct sim_inode *disk_find(const struct fs_sim_disk *disk, const char *path)
{
    size_t at = names_find(&disk->now, path);
    return at == SIM_GONE ? NULL : disk->inodes[disk->now.list[at].inode];
}

static struct sim_change *inode_change(struct fs_sim_disk *disk, struct sim_inode *inode)
{
    if (inode->change_count == inode->change_capacity) {
        inode->change_capacity = inode->change_capacity == 0 ? 16 : inode->change_capacity * 2;
        inode->changes = alloc_resize(inode->changes, inode->change_capacity * sizeof *inode->changes);
    }
    struct sim_change *change = &inode->changes[inode->change_count++];
    change->number = ++disk->change_number;
    change->is_size = false;
    return change;
}

static void inode_write(struct fs_sim_disk *disk, struct sim_inode *inode, uint64_t offset, const void *data, uint64_t size)
{
    if (size == 0) return;
    bytes_write(&inode->now, offset, data, size);
    for (uint64_t place = offset / FS_SIM_SECTOR; place * FS_SIM_SECTOR < offset + size; place++) {
        struct sim_change *change = inode_change(disk, inode);
        uint64_t start = place * FS_SIM_SECTOR;
        uint64_t length = inode->now.size - start < FS_SIM_SECTOR ? inode->now.size - start : FS_SIM_SECTOR;
        change->place = place;
        memset(change->data, 0, sizeof change->data);
        memcpy(change->data, inode->now.data + start, length);
    }
    struct sim_change *change = inode_change(disk, inode);
    change->is_size = true;
    change->place = inode->now.size;
}

static void change_apply(struct sim_bytes *bytes, const struct sim_change *change, size_t length)
{
    if (change->is_size) {
        bytes_resize(bytes, change->place);
        return;
    }
    bytes_write(bytes, change->place * FS_SIM_SECTOR, change->data, length);
}

static void inode_sync(struct sim_inode *inode, uint64_t up_to)
{
    size_t count = 0;
    while (count < inode->change_count && inode->changes[count].number <= up_to) {
        change_apply(&inode->durable, &inode->changes[count++], FS_SIM_SECTOR);
    }
    if (count == inode->change_count) bytes_resize(&inode->durable, inode->now.size);
    inode->change_count -= count;
    if (count > 0) memmove(inode->changes, inode->changes + count, inode->change_count * sizeof *inode->changes);
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
    if (at == SIM_GONE) disk_name(disk, op->path, NULL, disk_inode(disk, false));
    struct sim_inode *inode = disk_find(disk, op->path);
    if (inode->is_directory) return EISDIR;
    if ((op->flags & FS_TRUNC) != 0 && inode->now.size > 0) {
        bytes_resize(&inode->now, 0);
        struct sim_change *change = inode_change(disk, inode);
        change->is_size = true;
        change->place = 0;
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
    if (grown > 0 && fs_sim_used(disk) + grown > disk->room) return ENOSPC;
    if (op->kind == FS_PWRITE) {
        inode_write(disk, inode, op->offset, op->data, size);
        return 0;
    }
    uint8_t *zeros = alloc_zero(1, size + 1);
    inode_write(disk, inode, op->offset, zeros, size);
    alloc_free(zeros);
    return 0;
}

static int run_truncate(struct fs_sim_disk *disk, struct fs_op *op)
{
    bytes_resize(&op->file->inode->now, op->size);
    struct sim_change *change = inode_change(disk, op->file->inode);
    change->is_size = true;
    change->place = op->size;
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
    char name[256];
    if (disk_find(disk, op->path) == NULL) return ENOENT;
    for (size_t place = 0; fs_sim_name(disk, op->path, place, name, sizeof name); place++) op->list_fn(op->owner, name);
    return 0;
}

static int run_mkdir(struct fs_sim_disk *disk, struct fs_op *op)
{
    char parent[256];
    size_t length = directory_length(op->path);
    if (disk_find(disk, op->path) != NULL) return EEXIST;
    ASSERT(length < sizeof parent);
    memcpy(parent, op->path, length);
    parent[length] = '\0';
    if (length > 0 && disk_find(disk, parent) == NULL) return ENOENT;
    disk_name(disk, op->path, NULL, disk_inode(disk, true));
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
    if (op->result > 0) memcpy(op->memory, bytes->data + op->offset, op->result);
    return 0;
}

/* The page cache after a failed sync: reads still show what will never reach the disk. */
static void lie_about(struct sim_inode *inode)
{
    inode->change_count = 0;
}

static void lie_about_names(struct fs_sim_disk *disk)
{
    for (size_t i = 0; i < disk->name_change_count; i++) name_change_free(&disk->name_changes[i]);
    disk->name_change_count = 0;
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
            lie_about(op->file->inode);
            return fault;
        }
        inode_sync(op->file->inode, synced_up_to);
        return 0;
    case FS_TRUNCATE: return fault != 0 ? fault : run_truncate(disk, op);
    case FS_SIZE: op->result = op->file->inode->now.size; return fault;
    case FS_RENAME: return fault != 0 ? fault : run_rename(disk, op);
    case FS_UNLINK:
        if (fault != 0) return fault;
        if (disk_find(disk, op->path) == NULL) return ENOENT;
        if (names_have_below(&disk->now, op->path)) return ENOTEMPTY;
        disk_name(disk, op->path, NULL, SIM_GONE);
        return 0;
    case FS_MKDIR: return fault != 0 ? fault : run_mkdir(disk, op);
    case FS_FSYNC_DIR:
        if (fault == 0) {
            disk_sync_names(disk, op->path);
        } else {
            lie_about_names(disk);
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

static struct fs_sim_disk *disk_copy(const struct fs_sim_disk *disk);

static int disk_fault(struct fs_sim_disk *disk, enum fs_kind kind)
{
    struct sim_fault *fault = &disk->faults[kind];
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
    if (freezes && is_sync) disk->frozen = disk_copy(disk);
    op->error = run_op(disk, op, synced_up_to, disk_fault(disk, op->kind));
    if (freezes && !is_sync) disk->frozen = disk_copy(disk);
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

/* ---- power loss ---- */

static void names_copy(struct sim_names *to, const struct sim_names *from)
{
    for (size_t i = 0; i < from->count; i++) names_set(to, from->list[i].path, from->list[i].inode);
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
        size_t place = disk_inode(copy, from->is_directory);
        struct sim_inode *to = copy->inodes[place];
        if (!is_named[i]) continue;
        if (has_now) bytes_copy(&to->now, &from->now);
        bytes_copy(&to->durable, &from->durable);
        to->change_count = to->change_capacity = from->change_count;
        to->changes = alloc_new((from->change_count + 1) * sizeof *to->changes);
        if (from->change_count > 0) memcpy(to->changes, from->changes, from->change_count * sizeof *to->changes);
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

static struct fs_sim_disk *disk_copy(const struct fs_sim_disk *disk) { return disk_copy_parts(disk, true); }

struct fs_sim_disk *fs_sim_copy(const struct fs_sim_disk *disk)
{
    return disk_copy(disk);
}

void fs_sim_forget(struct fs_sim_disk *disk)
{
    for (size_t i = 0; i < disk->inode_count; i++) lie_about(disk->inodes[i]);
    lie_about_names(disk);
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
    size_t part = 1 + (size_t)(dice >> 8) % (FS_SIM_SECTOR - 1);
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

static void crash_inode(struct sim_inode *inode, const struct fs_sim_crash *crash, struct rng *rng, size_t *number)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        struct sim_change *change = &inode->changes[i];
        bool is_noise = false;
        size_t keeps = change->is_size ? FS_SIM_SECTOR : crash_keeps(crash, (*number)++, rng, &is_noise);
        bool lost_size = crash->loss == FS_SIM_LOSE_ALL || (crash->loss == FS_SIM_RANDOM && rng_next(rng) % 2 == 0);
        if (keeps == 0 || (change->is_size && lost_size)) continue;
        for (size_t j = 0; is_noise && j < FS_SIM_SECTOR; j++) change->data[j] = (uint8_t)rng_next(rng);
        change_apply(&inode->durable, change, keeps);
    }
    inode->change_count = 0;
    bytes_copy(&inode->now, &inode->durable);
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
        if (is_kept) name_apply(&after->durable, change);
        name_change_free(change);
    }
    after->name_change_count = 0;
    names_clear(&after->now);
    names_copy(&after->now, &after->durable);
    return after;
}

/* ---- faults and damage ---- */

void fs_sim_fail(struct fs_sim_disk *disk, enum fs_kind kind, uint64_t nth, int error)
{
    ASSERT(kind < SIM_KINDS && (error != FS_SIM_SHORT || kind == FS_PREAD));
    disk->faults[kind] = (struct sim_fault){.countdown = nth, .error = error};
}

void fs_sim_set_room(struct fs_sim_disk *disk, uint64_t bytes_max)
{
    disk->room = bytes_max;
}

bool fs_sim_exists(const struct fs_sim_disk *disk, const char *path)
{
    return disk_find(disk, path) != NULL;
}

uint64_t fs_sim_size(const struct fs_sim_disk *disk, const char *path)
{
    const struct sim_inode *inode = disk_find(disk, path);
    ASSERT(inode != NULL);
    return inode->now.size;
}

void fs_sim_poke(struct fs_sim_disk *disk, const char *path, uint64_t offset, const void *bytes, size_t size)
{
    struct sim_inode *inode = disk_find(disk, path);
    ASSERT(inode != NULL);
    bytes_write(&inode->now, offset, bytes, size);
    bytes_write(&inode->durable, offset, bytes, size);
}

void fs_sim_peek(const struct fs_sim_disk *disk, const char *path, uint64_t offset, void *out_bytes, size_t size)
{
    const struct sim_inode *inode = disk_find(disk, path);
    ASSERT(inode != NULL && offset + size <= inode->now.size);
    memcpy(out_bytes, inode->now.data + offset, size);
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
    struct sim_inode *inode = disk_find(disk, path);
    ASSERT(inode != NULL);
    bytes_resize(&inode->now, size);
    bytes_resize(&inode->durable, size);
}

void fs_sim_remove(struct fs_sim_disk *disk, const char *path)
{
    names_set(&disk->now, path, SIM_GONE);
    names_set(&disk->durable, path, SIM_GONE);
}

bool fs_sim_name(const struct fs_sim_disk *disk, const char *directory, size_t place, char *out_name, size_t name_size)
{
    const char *previous = NULL; /* the smallest path above the previous one, `place` times */
    for (size_t round = 0; round <= place; round++) {
        const char *next = NULL;
        for (size_t i = 0; i < disk->now.count; i++) {
            const char *path = disk->now.list[i].path;
            if (!is_in_directory(path, directory) || (previous != NULL && strcmp(path, previous) <= 0)) continue;
            if (next == NULL || strcmp(path, next) < 0) next = path;
        }
        if (next == NULL) return false;
        previous = next;
    }
    const char *slash = strrchr(previous, '/');
    (void)snprintf(out_name, name_size, "%s", slash == NULL ? previous : slash + 1);
    return true;
}
