/* raft_log: the replicated log as consensus sees it.
 *
 *   index:   snapshot_index │ ........ on disk only ........ │ tail_first ......... in memory ......... last
 *            terms of all of it, as runs (first index, term)        entries and blobs
 *
 *            applied ≤ handed ≤ min(commit, durable);  commit ≤ last;  durable < unsent ≤ last + 1
 *
 * Terms of the whole retained log stay in memory, so that a term check never touches a disk. Entries stay in memory up to
 * `tail_bytes_max`; what is not applied is never dropped, whatever the size.
 * The tail is one flat array that slides: any range of it is contiguous and is lent to outputs without a copy. Beside it stand
 * running sums of bytes, so that the bytes of any range are one subtraction.
 *
 * Durability is told by append sequence, not by index: an append that is still on its way when a conflict overwrites its entries
 * must not make the new entries at the same indexes durable. Truncation therefore cuts the records of appends on their way.
 *
 * Owner: embedded in struct raft. Thread: raft's. Limits: tail_bytes_max (what is refused beyond it is the caller's decision),
 * RAFT_APPENDS_MAX appends on their way.
 */
#ifndef RAFT_RAFT_LOG_H
#define RAFT_RAFT_LOG_H
#include "raft/raft.h"

struct raft_log_append { /* an append on its way to the disk */
    uint64_t sequence;
    uint64_t last_index; /* durable up to here when it is; lowered when overwritten */
    uint64_t since_ns;
};

struct raft_log {
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    struct raft_term_run *runs;
    size_t run_count;
    size_t run_capacity;

    uint64_t tail_first; /* last index + 1 when the tail is empty */
    struct raft_entry *entries;
    uint64_t *ends;      /* running sum of bytes up to and with the entry */
    size_t head;
    size_t count;
    size_t capacity;
    uint64_t head_end; /* running sum before the first entry of the tail */
    size_t tail_bytes_max;

    uint64_t commit;
    uint64_t applied;
    uint64_t handed;  /* given to the state machine */
    uint64_t durable;
    uint64_t unsent;  /* first index that was not given to the WAL */

    struct raft_log_append appends[RAFT_APPENDS_MAX];
    uint32_t append_head;
    uint32_t append_count;
};

void raft_log_init(struct raft_log *log, const struct raft_restore *restore, size_t tail_bytes_max);
void raft_log_deinit(struct raft_log *log);
bool raft_log_is_valid(const struct raft_log *log);

static inline uint64_t raft_log_last(const struct raft_log *log) { return log->tail_first + log->count - 1; }
uint64_t raft_log_term(const struct raft_log *log, uint64_t index); /* 0 = not in the retained log */
static inline uint64_t raft_log_last_term(const struct raft_log *log)
{
    return log->run_count == 0 ? log->snapshot_term : log->runs[log->run_count - 1].term;
}
/* The entry and those behind it, contiguous. In the tail only. */
const struct raft_entry *raft_log_entry(const struct raft_log *log, uint64_t index);
/* Bytes of first..last, which must be in the tail; 0 when last < first. */
size_t raft_log_bytes(const struct raft_log *log, uint64_t first, uint64_t last);
/* How many entries from `first` on, none behind `last`, fit into bytes_max. */
size_t raft_log_fit(const struct raft_log *log, uint64_t first, uint64_t last, size_t bytes_max);
static inline size_t raft_log_entry_bytes(const struct blob *data)
{
    return RAFT_ENTRY_BYTES + (data == NULL ? 0 : data->size);
}
/* May `bytes` more be taken behind `last` without holding more unapplied bytes than the limit? Any one may when nothing waits. */
bool raft_log_has_room(const struct raft_log *log, uint64_t last, size_t bytes);
/* The highest index ≤ `index` whose term is ≤ `term`: where two logs may agree at best. */
uint64_t raft_log_last_within(const struct raft_log *log, uint64_t index, uint64_t term);

void raft_log_push(struct raft_log *log, uint64_t term, enum raft_entry_kind kind, struct blob *data); /* takes a reference */
void raft_log_truncate(struct raft_log *log, uint64_t from); /* drops from.. to the end */
void raft_log_apply(struct raft_log *log, uint64_t index);   /* applied up to here; drops what is over the limit */
void raft_log_compact(struct raft_log *log, uint64_t index);
/* An empty log behind a snapshot, all of which counts as applied and durable. The snapshot is newer than the commit index. */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);

/* All that was not yet sent is now on its way under `sequence`. */
void raft_log_sent(struct raft_log *log, uint64_t sequence, uint64_t now_ns);
/* Durable up to `sequence`. True if a record was waiting. */
bool raft_log_persisted(struct raft_log *log, uint64_t sequence);
/* The append on its way that makes `index` durable; 0 = durable already, UINT64_MAX = not yet sent. */
uint64_t raft_log_sequence_of(const struct raft_log *log, uint64_t index);

#endif
