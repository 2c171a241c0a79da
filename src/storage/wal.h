/* wal: the replicated log on disk: append, group commit, rotate, recover.
 *
 * A state machine over fs operations: wal_append queues, wal_step turns what waits into one write and one fdatasync and takes in
 * completions, wal_durable_sequence says what is safe. In production an operation runs inside wal_step on the calling thread; in
 * the simulator it completes later, fails, tears or hangs. Formats and the rule for damage: wal_format.h.
 *
 * Owner: wal_open/wal_close. Thread: the wal role; wal_fetch_* any one other (the snap role) with an fs of its own.
 * Limits: struct wal_options. A failed sync or EIO is fatal (path and reason); ENOSPC only ever strikes when a segment is made.
 */
#ifndef STORAGE_WAL_H
#define STORAGE_WAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/raft_entry.h"

/* Is this member the only voter of that configuration (as given to wal_open or in a CONF entry; empty = none known)? */
typedef bool wal_alone_fn(void *context, struct slice conf);

struct wal_options {
    struct fs *fs;                /* borrowed; must outlive the wal */
    const char *directory;        /* copied; exists */
    uint64_t cluster_id;          /* stand in every segment head, checked at recovery */
    uint64_t member_id;
    uint64_t segment_bytes;       /* multiple of 4096; a batch larger than a segment gets a segment of its own size */
    uint64_t segment_entries_max; /* 0 = no bound */
    uint64_t batch_bytes_max;     /* one write; more waits for the next */
    uint64_t idle_mark_ns;        /* an idle log writes one empty mark after this */
    bool unsafe_no_fsync;         /* tests and benchmarks only */
    wal_alone_fn *alone_fn;       /* asked, with wal_open's context, at a suspect tail: who is alone cuts it openly; NULL = no */
    uint64_t snapshot_index;      /* of the newest good snapshot: nothing up to here is handed out again, and a log that begins later */
    uint64_t snapshot_term;       /* is refused (or see may_ask_others); 0 = no snapshot */
    uint64_t segments_kept_max;   /* so many of the newest segments that wal_drop_head could remove stay all the same */
    bool must_exist;              /* no segment, or no entry: refused, because this member has had a log before */
    bool may_ask_others;          /* a log that begins later than the snapshot reaches: begins anew behind the snapshot, unless alone_fn says yes */
};

/* Recovery: every intact entry behind the snapshot that is known final is handed to `entry_fn` in order (commit marks in the batches
 * say how far), the rest stays in `pending`. The blobs are borrowed in the call-back; take a reference to keep one. */
typedef void wal_entry_fn(void *context, const struct raft_entry *entry);

enum wal_tail { WAL_TAIL_CLEAN, WAL_TAIL_TORN, WAL_TAIL_SUSPECT };
struct wal_recovered {
    bool is_new;                   /* no segment was there */
    struct raft_hard_state hard;
    uint64_t first_index;          /* of the retained log: at most snapshot_index + 1; 1 without snapshots */
    uint64_t prev_term;            /* of the entry before it */
    uint64_t last_index;           /* first_index - 1 = empty */
    struct raft_entry *pending;    /* entries above hard.commit (never below the snapshot); each holds a reference */
    size_t pending_count;
    struct raft_term_run *runs;    /* terms of the whole retained log */
    size_t run_count;
    struct blob *conf;             /* newest CONF entry's, else the snapshot's or segment head's configuration; NULL = none */
    uint64_t conf_index;           /* the snapshot's stands at snapshot_index */
    bool is_reset;                 /* the log ended before the snapshot, or disagreed with it, or lost it: it begins anew behind it */
    bool is_without_state;         /* the last of these: what the log stood on is gone, and comes from the others; the whole log is suspect.
                                    * Of a refusal: the same, but nobody can be asked, or more is damaged */
    enum wal_tail tail;
    uint64_t suspect_index;        /* WAL_TAIL_SUSPECT: position of the last entry that was lost; 0 = none was, or it was cut openly */
    uint64_t suspect_term;
    uint64_t cut_bytes;            /* moved aside to NAME.broken */
    char message[512];             /* for the log: what was found; for a refusal: file, offset, reason */
};
void wal_recovered_deinit(struct wal_recovered *recovered);

struct wal;
/* Opens or creates. ERR_CORRUPT: refused, out_recovered->message says file and offset; nothing was changed. Other trouble with
 * files at start is reported the same way as ERR_INTERNAL-like ERR_STOPPED with the message. `conf` is the snapshot's configuration
 * (then not empty) or, without one, the bootstrap's for the first segment's head (opaque, borrowed; may be empty). */
MUST_USE enum err wal_open(const struct wal_options *options, struct slice conf, wal_entry_fn *entry_fn, void *context,
                           struct wal **out_wal, struct wal_recovered *out_recovered);
void wal_close(struct wal *wal); /* accepts NULL; no operation may be in flight */
/* Where the slow work beside the batches is submitted from now on (making the next segment, shrinking a full one): at first it is
 * options.fs. Before the first step; borrowed, must outlive the wal. */
void wal_set_chores(struct wal *wal, struct fs *chores);
void wal_settle(struct wal *wal); /* at stop: takes completions in and starts nothing */

/* From here on the log begins behind (index, term), whatever it held; the snapshot that reaches so far is durable. */
struct wal_reset {
    bool is_reset;
    uint64_t index;
    uint64_t term;
    struct slice conf; /* as of the snapshot; copied; not empty */
};
struct wal_append {
    uint64_t sequence;
    struct raft_hard_state hard;
    const struct raft_entry *entries; /* references are taken */
    size_t entry_count;               /* an index ≤ the last one overwrites from there on; behind a reset they begin at its index + 1 */
    struct wal_reset reset;           /* hard.commit ≥ reset.index */
};
void wal_append(struct wal *wal, const struct wal_append *append);
/* A durable snapshot covers the log up to `index`: segments that hold nothing above it are removed in the steps to come, oldest first,
 * but for options.segments_kept_max of them. An index below an earlier one changes nothing. */
void wal_drop_head(struct wal *wal, uint64_t index);
/* Takes completions, starts what can start. Bounded: at most one batch. True if something moved. */
bool wal_step(struct wal *wal, uint64_t now_ns);
uint64_t wal_durable_sequence(const struct wal *wal); /* highest appended sequence that is on disk */
bool wal_is_idle(const struct wal *wal);              /* nothing queued, nothing in flight */
/* True while no room could be had for a spare segment and the current one cannot take another full batch. Tried again each
 * second (deadline); appends of hard state alone still fit the reserve. */
bool wal_no_space(const struct wal *wal);
uint64_t wal_deadline_ns(const struct wal *wal);      /* CLOCK_NEVER = none */
void wal_flush_mark(struct wal *wal);                 /* at stop: write the empty mark now (next wal_step) */

/* Old entries back from disk: (first ≤ i ≤ last), at most bytes_max (at least one). Appends to *out_entries (a growing array that
 * the caller frees with wal_entries_free). ERR_COMPACTED: first_index is not in the log any more (dropped, or the log was reset): a
 * snapshot stands for it. ERR_CORRUPT: it cannot be read. */
struct wal_fetch;
struct wal_fetch *wal_fetch_new(struct fs *fs, const char *directory);
void wal_fetch_free(struct wal_fetch *fetch);
MUST_USE enum err wal_fetch_read(struct wal_fetch *fetch, uint64_t first_index, uint64_t last_index, size_t bytes_max,
                                 struct raft_entry **out_entries, size_t *out_count);
void wal_entries_free(struct raft_entry *entries, size_t count);

struct wal_stats {
    uint64_t batches, syncs, bytes, entries, reused, sync_ns_max, sync_ns_last, write_ns_last;
    uint64_t filled;        /* bytes of zeros ahead of batches */
    uint64_t segments;      /* found and made so far */
    uint64_t first_index;   /* of the oldest segment that counts */
    uint64_t segments_held; /* files in the directory, spares not counted */
    uint64_t disk_bytes;    /* theirs, spares counted */
};
void wal_get_stats(const struct wal *wal, struct wal_stats *out_stats);

#endif
