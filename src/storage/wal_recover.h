/* wal_recover: reads the log at start, in one pass and in bounded memory, and judges its tail. The rule for damage is the essay
 * in wal_format.c. Reading changes nothing on disk; wal_repair does, once the log was accepted.
 *
 * Owner: embedded by wal_open. Thread: the wal role at start. Limits: memory = one window or batch, and the uncommitted entries.
 */
#ifndef STORAGE_WAL_RECOVER_H
#define STORAGE_WAL_RECOVER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/wal.h"
#include "storage/wal_conf.h"
#include "storage/wal_reader.h"

#define WAL_RECOVER_BROKEN_MAX 8 /* files kept aside; the oldest goes first */

/* For who looks on (tools): every intact batch, before its entries are judged; recover->reader.last says where it stands, and
 * reader.head which segment it is. */
struct wal_recover;
typedef void wal_recover_batch_fn(void *context, const struct wal_recover *recover, const struct wal_format_batch *batch);

struct wal_recover {
    const struct wal_options *options;
    wal_entry_fn *entry_fn;
    void *context;
    wal_recover_batch_fn *batch_fn; /* NULL = nobody looks on; with the same context */
    struct wal_reader reader;
    struct wal_recovered found; /* handed over by wal_open on success */
    struct wal_conf conf;     /* with a snapshot its configuration is the first */
    uint64_t last_term;
    uint64_t final_index; /* handed to entry_fn up to here; the snapshot's index at first */
    size_t pending_start; /* entries of found.pending before it were handed over */
    size_t pending_capacity;
    size_t run_capacity;
    size_t start;           /* place of the oldest segment that counts */
    uint64_t void_sequence; /* segments before this one were voided by a reset; 0 = none */
    bool begins_anew;       /* what stood before was damaged or missing: the log begins with the next batch */
    bool is_headless;       /* the snapshot does not reach to the log's beginning, and others may have what is missing */
    struct wal_options headless;      /* is_headless: what `options` is while the log is read: with a snapshot that would reach there */
    const struct wal_options *given;  /* the real ones */
    struct blob *given_conf;          /* the real snapshot's; NULL = there is none */
    char begin_message[400]; /* about that; empty = nothing to say */

    /* Where the log goes on: */
    uint64_t sequence;        /* of the last segment; 0 = none */
    uint64_t segment_entries; /* records of entries in it */
    uint64_t next_batch;
    bool last_is_mark;
    bool needs_segment;       /* a new one must be begun: the log is new, or its tail was cut */
    uint64_t cut_offset;      /* in the last segment: damage from here on, found.cut_bytes long */
    uint64_t damage_sequence; /* of ERR_CORRUPT: the segment, and where in it; 0 = the directory as a whole */
    uint64_t damage_offset;
    uint64_t suspect_index;   /* what the head of the next segment must remember; 0 = nothing */
    uint64_t suspect_term;
};

void wal_recover_init(struct wal_recover *recover, const struct wal_options *options, wal_entry_fn *entry_fn, void *context);
void wal_recover_deinit(struct wal_recover *recover);
MUST_USE enum err wal_recover_read(struct wal_recover *recover);
/* Keeps the cut bytes aside and makes sure that the last batch is on the disk and not only in the page cache. */
MUST_USE enum err wal_repair(struct wal_recover *recover);
/* Is this member the only voter, as far as the log was read? */
bool wal_recover_is_alone(const struct wal_recover *recover);
/* The log may have held entries up to this position that are lost; the furthest counts. */
void wal_recover_suspect(struct wal_recover *recover, uint64_t term, uint64_t index);
/* Writes found.message and returns `err`. */
MUST_USE enum err wal_recover_refuse(struct wal_recover *recover, enum err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
