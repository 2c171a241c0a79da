/* tool_log: the log of a member, read and judged by recovery itself (wal_recover), with nothing changed.
 *
 * A running member writes while it is read: what looks damaged is judged again until two judgements agree, and goes on behind the newest
 * batch that was shown.
 *
 * Owner: tool_log_init/tool_log_deinit; fs and paths are borrowed. Thread: main. Blocking.
 * Limits: recovery's memory (uncommitted entries, one window), and a few numbers per segment.
 */
#ifndef TOOL_LOG_H
#define TOOL_LOG_H
#include "storage/data_dir.h"
#include "storage/wal_recover.h"
#include "tool.h"
#include "tool_tree.h"

struct tool_log_segment {
    uint64_t sequence;
    uint64_t first_index; /* by its name */
    uint64_t file_bytes;
    uint64_t used_bytes;  /* up to the end of its last intact batch that counts */
    uint64_t batches;
    uint64_t entries;
    uint64_t index_min;   /* of its entries; 0 = none */
    uint64_t index_max;
    uint64_t term_min;
    uint64_t term_max;
    bool is_void;         /* a reset behind it says so: it was not read */
};

/* Both are called in the order of the log: every batch once; entries that are known final, once for each judgement. */
typedef void tool_log_batch_fn(void *context, const struct wal_recover *recover, const struct wal_format_batch *batch);
typedef void tool_log_entry_fn(void *context, const struct raft_entry *entry);

struct tool_log_snapshot {
    uint64_t index; /* 0 = none */
    uint64_t term;
    struct blob *conf; /* NULL = not known */
};

typedef struct tool_log_snapshot tool_log_snapshot_fn(void *context); /* borrowed until the next call */

struct tool_log_options {
    const char *directory;                   /* of the segments */
    const struct data_dir_identity *identity; /* NULL = whatever the first segment says */
    tool_log_snapshot_fn *snapshot_fn;       /* what is there without the log: asked before each judgement; NULL = nothing */
    void *snapshot_context;
    bool is_part;                            /* the log may begin anywhere: something reaches up to where its first segment says */
    uint32_t settle_ms;                      /* between two judgements */
    tool_log_batch_fn *batch_fn;             /* NULL = not asked for */
    tool_log_entry_fn *entry_fn;
    void *context;
};

struct tool_log {
    struct tool *tool;
    struct tool_log_options options;
    struct tool_log_segment *segments;
    size_t segment_count;
    size_t segment_capacity;
    uint64_t total_bytes; /* of all files */
    uint64_t done_bytes;  /* of the files before the one that is read */
    uint64_t shown_batch; /* the newest that batch_fn was given */
    uint64_t self;        /* member */
    uint16_t major;       /* of the newest segment's format */
    uint16_t minor;
    struct wal_options wal_options;
    struct wal_recover recover; /* of the newest judgement */
    bool has_recover;

    enum err err; /* the verdict; with these: */
    enum tool_exit code;
    const char *verdict;  /* clean, new, torn, suspect, corrupt, refused */
    char *file;           /* that it is about; NULL = none */
    bool has_offset;
    uint64_t offset;
    const char *message;
};

void tool_log_init(struct tool_log *log, struct tool *tool, const struct tool_log_options *options);
void tool_log_deinit(struct tool_log *log);
enum tool_exit tool_log_read(struct tool_log *log);
/* The verdict's fields, into an open object. */
void tool_log_put_verdict(const struct tool_log *log, struct tool_tree *tree);
void tool_log_put_segments(const struct tool_log *log, struct tool_tree *tree, const char *name);
void tool_log_put_segment(const struct tool_log_segment *segment, struct tool_tree *tree);

#endif
