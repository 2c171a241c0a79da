/* wal_core: what the files of the running log share: struct wal and its parts. Not for others (they have wal.h).
 *
 * One batch is in flight at a time: at times FILL, then WRITE, SYNC; and if it begins a segment, RENAME, SYNC_DIR. Beside it at most one operation of
 * the spare, one of the retired segment and one of the old ones. Owner, Thread, Limits: as wal.h says.
 */
#ifndef STORAGE_WAL_CORE_H
#define STORAGE_WAL_CORE_H
#include "base/list.h"
#include "storage/wal.h"
#include "storage/wal_conf.h"
#include "storage/wal_format.h"
#include "storage/wal_old.h"
#include "storage/wal_spare.h"

#define WAL_CORE_FIRST_BYTES (UINT64_C(256) << 10)  /* a first segment is this small, so that a start is fast */
#define WAL_CORE_GROWTH 4                           /* the next one is this times what the last one took, up to segment_bytes */
#define WAL_CORE_RESERVE_BYTES (UINT64_C(64) << 10) /* kept for hard state while there is no spare, at most 1/8 of a segment */
#define WAL_CORE_ALIGN 4096u
#define WAL_CORE_FILL_BYTES (UINT64_C(256) << 10)      /* of zeros at once, ahead of small batches */
#define WAL_CORE_FILL_BATCH_MAX (UINT64_C(16) << 10)   /* so small: a sync that changes metadata writes about as much to a journal */
#define WAL_CORE_FILL_BATCHES 16                       /* over so many the size of a batch is averaged */

enum wal_phase { WAL_PHASE_IDLE, WAL_PHASE_FILL, WAL_PHASE_WRITE, WAL_PHASE_SYNC, WAL_PHASE_RENAME, WAL_PHASE_SYNC_DIR };

struct wal_segment {
    uint64_t sequence; /* 0 = none */
    uint64_t first_index;
    uint64_t id;
    uint64_t capacity;
    uint64_t offset;   /* the next batch goes here */
    uint64_t filled;   /* to here at least all bytes were written once: writes change no metadata */
    uint64_t entries;
    uint64_t former;   /* the segment whose file it was; 0 = none */
    bool is_reset;     /* older segments are void once this one has its name */
    bool may_shorten;  /* its head says that there may be short records */
    bool is_own;       /* this process made it: it holds nothing but batches up to offset */
    struct fs_file *file;
    char *path;
};

/* The log begins anew behind this position. */
struct wal_core_reset {
    uint64_t index; /* of one that waits: 0 = it goes on; at a start: 0 = behind nothing */
    uint64_t term;
    struct blob *conf;
};

/* An append that waits; its entries stand behind it. */
struct wal_queued {
    struct list node;
    uint64_t sequence;
    struct raft_hard_state hard;
    struct wal_core_reset reset;
    uint64_t data_bytes;
    size_t entry_count;
    struct raft_entry entries[];
};

/* What the next batch will hold. */
struct wal_plan {
    size_t appends;
    uint64_t records;
    uint64_t data_bytes;
    uint64_t first_index; /* of its first entry; 0 = none */
    bool is_mark;
    const struct wal_core_reset *reset; /* NULL = none; it is alone in its batch, which begins a segment */
};

struct wal {
    struct wal_options options;
    char *directory;

    struct list queue; /* struct wal_queued, in order of sequence */
    uint64_t queue_bytes;
    uint64_t queue_sequence;   /* newest appended */
    struct raft_hard_state queue_hard;
    uint64_t queue_last_index; /* the log's end once the queue is written */
    uint64_t queue_last_term;

    struct raft_hard_state hard; /* as of the newest batch written */
    uint64_t last_index;
    uint64_t last_term;
    uint64_t next_batch;
    uint64_t durable_batch;
    uint64_t durable_sequence;
    struct wal_conf conf;
    uint64_t suspect_index;
    uint64_t suspect_term;

    enum wal_phase phase;
    bool in_flight;
    struct fs_op op;
    struct wal_format_writer writer;
    struct slice batch; /* the bytes in flight, in the writer */
    uint64_t batch_sequence;
    uint64_t batch_entries;
    bool batch_is_mark;
    uint64_t submitted_ns;
    uint64_t rename_retry_ns; /* 0 = the rename did not fail */

    struct wal_segment current;
    struct wal_segment next;    /* begun by the batch in flight; sequence 0 = none */
    struct wal_segment retired; /* to be truncated to its used length, and closed */
    bool retired_truncated;
    bool retired_in_flight;
    struct fs_op retired_op;
    uint64_t last_used_bytes; /* what the newest full segment took */
    uint64_t usual_batch_bytes; /* of the last ones, on average */
    struct wal_spare spare;
    struct wal_old old; /* the segments before the current one, the retired one included */
    struct fs *chores;  /* of spare, retired and old */

    bool last_is_mark; /* the newest batch is a mark or a segment's first: the name of the file covers that */
    bool mark_wanted;
    uint64_t mark_ns;  /* the idle time counts from here; 0 = not known yet */
    struct wal_stats stats;
};

/* Builds the batch out of the head of the queue (or a mark), for `segment`; entries' references are dropped. With `with_head` it
 * begins the segment. Afterwards wal->batch is what to write at segment->offset. */
void wal_core_encode(struct wal *wal, const struct wal_plan *plan, struct wal_segment *segment, bool with_head);
/* The first index of a segment that `plan` begins, and the bytes of that batch as its first one. */
uint64_t wal_core_first_index(const struct wal *wal, const struct wal_plan *plan);
uint64_t wal_core_head_bytes(const struct wal *wal, const struct wal_plan *plan);
/* What segment->former, ->filled and ->is_own say stays. */
void wal_core_segment_begin(struct wal *wal, struct wal_segment *segment, uint64_t first_index, uint64_t capacity,
                            struct fs_file *file);
void wal_core_segment_close(struct wal *wal, struct wal_segment *segment);

#endif
