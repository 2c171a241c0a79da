/* wal_format: the bytes of the log on disk. The essay on layout, durable marks and damage stands at the head of wal_format.c.
 *
 * Owner: a writer is embedded by its user (init/deinit); everything decoded borrows from the bytes it was decoded from.
 * Thread: one at a time. Limits: a batch is smaller than WAL_FORMAT_BATCH_MAX bytes.
 */
#ifndef STORAGE_WAL_FORMAT_H
#define STORAGE_WAL_FORMAT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/raft_entry.h"
#include "base/slice.h"

#define WAL_FORMAT_MAJOR 1
#define WAL_FORMAT_MINOR 1
#define WAL_FORMAT_FEATURE_RESET UINT64_C(1) /* the head voids all older segments */
#define WAL_FORMAT_FEATURE_EMPTY UINT64_C(2) /* with RESET: the log begins anew at index 1, behind nothing */
#define WAL_FORMAT_FEATURE_REUSED UINT64_C(4) /* the file was another segment before: behind the end may stand what that one left */
#define WAL_FORMAT_FEATURE_NEXT UINT64_C(8) /* batches may hold records of the short kind */
/* Incompatible-feature bits that this program understands. */
#define WAL_FORMAT_FEATURES_KNOWN                                                                                                      \
    (WAL_FORMAT_FEATURE_RESET | WAL_FORMAT_FEATURE_EMPTY | WAL_FORMAT_FEATURE_REUSED | WAL_FORMAT_FEATURE_NEXT)
#define WAL_FORMAT_CHECKSUM_CRC32C 1

#define WAL_FORMAT_BLOCK 512u
#define WAL_FORMAT_STAMP 32u
#define WAL_FORMAT_SEAL 4u
#define WAL_FORMAT_PAYLOAD (WAL_FORMAT_BLOCK - WAL_FORMAT_STAMP - WAL_FORMAT_SEAL)
#define WAL_FORMAT_HEAD 128u
#define WAL_FORMAT_BATCH 56u
#define WAL_FORMAT_RECORD 24u
#define WAL_FORMAT_NEXT 4u      /* the head of a short record */
#define WAL_FORMAT_LEAD_MAX 255u
#define WAL_FORMAT_TRAILER 40u
#define WAL_FORMAT_BLOCKS_MIN 2u /* of a batch: header and trailer never share one */
#define WAL_FORMAT_BATCH_MAX (UINT64_C(1) << 31)
#define WAL_FORMAT_NAME_SIZE 40u /* a segment's file name with its NUL */
#define WAL_FORMAT_SUFFIX ".wal"
#define WAL_FORMAT_BROKEN_SUFFIX ".broken"

/* What stands at the head of every block. */
struct wal_format_stamp {
    uint64_t segment_id;
    uint64_t batch;   /* sequence over the whole log, from 1 */
    uint64_t durable; /* the highest batch known durable when this one was written */
    uint32_t block;   /* place in the batch */
    uint32_t blocks;  /* of the batch */
};

enum wal_format_class {
    WAL_FORMAT_ZERO, /* never written */
    WAL_FORMAT_GOOD, /* intact; the stamp says whose it is */
    WAL_FORMAT_BAD,  /* none of these */
};

/* What stands at the head of every segment. */
struct wal_format_head {
    uint16_t major;
    uint16_t minor;
    uint32_t checksum_kind;
    uint64_t features;
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t sequence;      /* of the segment, from 1 */
    uint64_t first_index;   /* no entry with this index or a higher one in older segments counts any more */
    uint64_t capacity;      /* bytes of the file when it was made */
    uint64_t suspect_index; /* what was lost may have reached this position; 0 = nothing was */
    uint64_t suspect_term;
    uint64_t reset_index;   /* of wal_format_is_reset: behind this position */
    uint64_t reset_term;
    uint64_t former;        /* sequence of the segment that the file was before; 0 = it was new. Says whether FEATURE_REUSED is set */
};
/* The log begins anew with this segment, and older ones are void. */
static inline bool wal_format_is_reset(const struct wal_format_head *head) { return (head->features & WAL_FORMAT_FEATURE_RESET) != 0; }

struct wal_format_batch {
    struct raft_hard_state hard;
    uint64_t last_index; /* of the log, once this batch counts */
    uint64_t last_term;
    bool is_mark;        /* says only that what came before is durable */
    /* Filled by decoding only: */
    uint64_t sequence;
    bool has_head;
    struct wal_format_head head;
    uint32_t record_count;
    struct slice records;
};

enum wal_format_record_kind { WAL_FORMAT_ENTRY = 1, WAL_FORMAT_CONF = 2 };
struct wal_format_record {
    enum wal_format_record_kind kind;
    enum raft_entry_kind entry_kind; /* as read: whoever decodes checks that it is known */
    uint64_t index;
    uint64_t term;
    struct slice lead; /* its first bytes, borrowed from another record; those of a configuration, or of a record to write, are in data */
    struct slice data; /* the others; borrowed */
};
static inline size_t wal_format_record_bytes(const struct wal_format_record *record) { return record->lead.size + record->data.size; }
struct blob *wal_format_record_blob(const struct wal_format_record *record); /* one reference; NULL where there are no bytes */

uint64_t wal_format_segment_id(uint64_t cluster_id, uint64_t member_id, uint64_t sequence);
void wal_format_name(uint64_t sequence, uint64_t first_index, char out_name[WAL_FORMAT_NAME_SIZE]);
bool wal_format_parse_name(const char *name, uint64_t *out_sequence, uint64_t *out_first_index);

/* Bytes on disk, whole blocks, of a batch with so many records that hold so many bytes of data; at most, where records may be short. */
uint64_t wal_format_batch_bytes(bool with_head, uint64_t record_count, uint64_t data_bytes);

struct wal_format_writer {
    uint8_t *memory;
    size_t capacity; /* whole blocks */
    size_t payload;  /* bytes put so far, stamps not counted */
    uint32_t record_count;
    bool with_head;
    bool may_shorten; /* set by the user before it puts a record: the segment's head has FEATURE_NEXT */
    uint64_t index;   /* of the newest ENTRY; 0 = this batch has none yet */
    uint64_t term;    /* of the newest whole one, with its kind and first bytes */
    enum raft_entry_kind entry_kind;
    uint8_t lead[WAL_FORMAT_LEAD_MAX];
    size_t lead_size;
};
void wal_format_writer_init(struct wal_format_writer *writer);
void wal_format_writer_deinit(struct wal_format_writer *writer);
/* Starts a batch; `head_or_null` makes it the first of a segment. `bytes` from wal_format_batch_bytes for all that will be put. */
void wal_format_writer_begin(struct wal_format_writer *writer, const struct wal_format_head *head_or_null, uint64_t bytes);
void wal_format_writer_put(struct wal_format_writer *writer, const struct wal_format_record *record);
/* Completes the batch; the bytes to write are borrowed until the next begin. stamp->block and ->blocks are filled in here. */
struct slice wal_format_writer_finish(struct wal_format_writer *writer, const struct wal_format_stamp *stamp,
                                      const struct wal_format_batch *batch);

enum wal_format_class wal_format_classify(const uint8_t *block, struct wal_format_stamp *out_stamp);
/* Of a WAL_FORMAT_BAD block: its write stopped inside, for its end is as it was before: zeros, or the seal of the segment that the file was
 * before (0 = none). */
bool wal_format_is_unfinished(const uint8_t *block, uint64_t former_id);
/* The segment id that wal_format_is_unfinished asks for, of a segment with this head. */
uint64_t wal_format_former_id(const struct wal_format_head *head);
/* The head out of an intact first block. False if the magic is not there. */
bool wal_format_head_decode(const uint8_t *block, struct wal_format_head *out_head);
bool wal_format_head_is_supported(const struct wal_format_head *head);
/* A batch's header (hard state, position), from its intact first block alone: the rest may be damaged. Nothing else is filled. */
void wal_format_batch_header(const uint8_t *block, bool with_head, struct wal_format_batch *out_batch);
/* Term, vote and position from its intact last block alone. Nothing else is filled. */
void wal_format_batch_trailer(const uint8_t *block, struct wal_format_batch *out_batch);
/* Decodes a batch whose blocks were all found intact and in place. Works in place: the blocks are gone afterwards. */
bool wal_format_batch_decode(uint8_t *blocks, uint32_t block_count, bool with_head, struct wal_format_batch *out_batch);
/* The records of a batch, one after the other. */
struct wal_format_records {
    struct reader reader;
    struct wal_format_record whole; /* the newest whole ENTRY; index 0 = none yet */
    uint64_t index;                 /* of the newest ENTRY */
};
static inline struct wal_format_records wal_format_records(const struct wal_format_batch *batch)
{
    return (struct wal_format_records){.reader = reader_make(batch->records)};
}
/* False at the end or when bad (look at records->reader.bad). */
bool wal_format_record_next(struct wal_format_records *records, struct wal_format_record *out_record);

#endif
