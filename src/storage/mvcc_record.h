/* mvcc_record: one version of one key, in one allocation that never changes: header, tail, key, value.
 *
 * The index points at the newest record of a key, each record at the next older one. A view owns the pointers that it was published
 * with, so a record needs no lock, no count and no filter by revision: what a view reaches is what was written before it.
 *
 * Older records may be dropped by compaction while newer ones still point at them. Nothing is cut: `older` of a record is followed only
 * while the record's own revision is above the one that is read, and compaction at e drops nothing that stands above e. So
 *      revision(record) > r ≥ e   ⇒   record->older is there (or NULL).
 *
 * Every MVCC_RECORD_GROUP-th record of a key is a milestone with a skip pointer to an older milestone, by the rule of E. Myers, "An
 * applicative random-access stack" (1983): O(log versions) steps to any age, written once, never repaired.
 * Owner: the store (mvcc.h). Thread: immutable once it is in the index; any reader inside its read section.
 * Limits: key and value < 4 GiB, revision < 2^54.
 */
#ifndef STORAGE_MVCC_RECORD_H
#define STORAGE_MVCC_RECORD_H
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "storage/mvcc.h"
#include "storage/mvcc_pool.h"

#define MVCC_RECORD_BLOB_MIN (64 * 1024) /* values from here on are blobs, so that a reader may keep one by a reference */
#define MVCC_RECORD_GROUP 8              /* versions per milestone */
#define MVCC_RECORD_REVISION_MAX (INT64_C(1) << 54)
#define MVCC_RECORD_STAMP_SHIFT 9        /* flags and place below the revision */

enum { /* of mvcc_record.stamp; the tail holds what they name, in this order */
    MVCC_RECORD_DELETE = 1, /* the key ends here */
    MVCC_RECORD_LIFE = 2,   /* create revision, version; without it: mod revision, 1 */
    MVCC_RECORD_LEASE = 4,  /* lease; without it 0 */
    MVCC_RECORD_BLOB = 8,   /* pointer of the blob that holds the value */
    MVCC_RECORD_SKIP = 16,  /* struct mvcc_record_skip */
    MVCC_RECORD_INSIDE = 32, /* no tail: `older` is of this very revision */
};

struct mvcc_record {
    uint64_t stamp;            /* mod revision, place in its group (3 bits), flags (6 bits) */
    struct mvcc_record *older; /* may be gone: see above */
    uint64_t hash;             /* of all that is replicated of this version */
    uint32_t key_size;
    uint32_t value_size;
    uint64_t tail[]; /* by the flags; then the key's bytes, then the value's */
};
STATIC_ASSERT(sizeof(struct mvcc_record) == 32, "the budget per key counts on it");

/* A milestone's: the older milestone, its revision (so that it is touched only if it is there), and depths counted in milestones. */
struct mvcc_record_skip {
    struct mvcc_record *target;
    int64_t target_revision; /* 0 = no target */
    uint32_t depth;
    uint32_t target_depth;
};

struct mvcc_record_options {
    struct slice key;
    struct slice value;
    int64_t revision;
    int64_t create_revision;
    int64_t version;
    int64_t lease;
    bool is_delete;
    struct mvcc_record *older; /* the newest so far, or NULL */
    int64_t floor_revision;    /* what stands at or below it may have lost its older records */
    struct mvcc_pool *pool;    /* of the content that it will belong to */
};
/* Of all that is replicated of such a version. */
uint64_t mvcc_record_hash(const struct mvcc_record_options *options);
/* Copies key and value. */
struct mvcc_record *mvcc_record_new(const struct mvcc_record_options *options);
void mvcc_record_free(struct mvcc_record *record);
uint64_t mvcc_record_bytes(const struct mvcc_record *record); /* allocated, the blob included */
void mvcc_record_kv(const struct mvcc_record *record, struct mvcc_kv *out_kv);
/* The newest record that is not above `revision`; NULL = none. */
const struct mvcc_record *mvcc_record_find(const struct mvcc_record *record, int64_t revision);

static inline int64_t mvcc_record_revision(const struct mvcc_record *record) { return (int64_t)(record->stamp >> MVCC_RECORD_STAMP_SHIFT); }
static inline bool mvcc_record_is_delete(const struct mvcc_record *record)
{
    return (record->stamp & MVCC_RECORD_DELETE) != 0;
}
/* Creates the key (the first version of its life). */
static inline bool mvcc_record_is_create(const struct mvcc_record *record)
{
    return (record->stamp & (MVCC_RECORD_DELETE | MVCC_RECORD_LIFE)) == 0;
}
/* Follows a version of its own revision. */
static inline bool mvcc_record_is_inside(const struct mvcc_record *record)
{
    return (record->stamp & MVCC_RECORD_INSIDE) != 0;
}
/* Words of tail in front of the key. */
static inline uint32_t mvcc_record_tail_words(uint64_t stamp)
{
    return ((stamp & MVCC_RECORD_LIFE) != 0 ? 2u : 0u) + ((stamp & MVCC_RECORD_LEASE) != 0 ? 1u : 0u) +
           ((stamp & MVCC_RECORD_BLOB) != 0 ? 1u : 0u) +
           ((stamp & MVCC_RECORD_SKIP) != 0 ? (uint32_t)(sizeof(struct mvcc_record_skip) / sizeof(uint64_t)) : 0u);
}
static inline struct slice mvcc_record_key(const struct mvcc_record *record)
{
    return slice_make(record->tail + mvcc_record_tail_words(record->stamp), record->key_size);
}

#endif
