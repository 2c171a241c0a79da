/* tool_fs: a file system that reads and never writes, so that no tool can change what it looks at. See tool.h. */
#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/wal_format.h"
#include "tool.h"

struct tool_fs {
    struct fs fs; /* first */
    struct fs *inner;
    uint64_t sequence_min;
};

struct listing {
    const struct fs_op *op;
    uint64_t sequence_min;
};

static void list_name(void *owner, const char *name)
{
    const struct listing *listing = owner;
    uint64_t sequence = 0, first_index = 0;
    bool is_segment = wal_format_parse_name(name, &sequence, &first_index);
    if (is_segment && sequence < listing->sequence_min) return;
    listing->op->list_fn(listing->op->owner, name);
}

static bool is_reading(const struct fs_op *op)
{
    switch (op->kind) {
    case FS_OPEN: return op->flags == FS_READ;
    case FS_CLOSE:
    case FS_PREAD:
    case FS_SIZE:
    case FS_LIST: return true;
    default: return false;
    }
}

static void run(struct fs *fs, struct fs_op *op)
{
    struct tool_fs *tool_fs = (struct tool_fs *)fs;
    ASSERT(tool_fs->inner != NULL);
    if (!is_reading(op)) {
        op->error = EROFS;
    } else if (op->kind == FS_LIST) {
        struct listing listing = {.op = op, .sequence_min = tool_fs->sequence_min};
        struct fs_op inner = {.kind = FS_LIST, .path = op->path, .list_fn = list_name, .owner = &listing};
        op->error = fs_run(tool_fs->inner, &inner);
    } else {
        (void)fs_run(tool_fs->inner, op);
    }
}

static void submit(struct fs *fs, struct fs_op *op)
{
    (void)fs;
    (void)op;
    ASSERT(false); /* tools wait for each operation */
}

static struct fs_op *take_done(struct fs *fs)
{
    (void)fs;
    return NULL;
}

static void free_fs(struct fs *fs)
{
    struct tool_fs *tool_fs = (struct tool_fs *)fs;
    fs_free(tool_fs->inner);
    alloc_free(tool_fs);
}

struct fs *tool_fs_new(struct fs *inner)
{
    static const struct fs_table table = {.run = run, .submit = submit, .take_done = take_done, .free = free_fs};
    ASSERT(inner != NULL);
    struct tool_fs *tool_fs = ALLOC(struct tool_fs);
    tool_fs->fs.table = &table;
    tool_fs->inner = inner;
    return &tool_fs->fs;
}

void tool_fs_hide_below(struct fs *fs, uint64_t sequence)
{
    ASSERT(fs->table->run == run);
    ((struct tool_fs *)fs)->sequence_min = sequence;
}
