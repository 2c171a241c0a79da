/* mvcc_model: what the store should say, in the simplest way that is surely right: all versions ever written, in one array sorted by
 * (key, revision, sub). It never frees; compaction is only a mark and a rule of what still counts.
 * Owner: mvcc_model_new/mvcc_model_free. Thread: one. */
#ifndef TEST_LIB_MVCC_MODEL_H
#define TEST_LIB_MVCC_MODEL_H
#include <stdbool.h>
#include <stdint.h>

#include "storage/mvcc.h"
#include "storage/range.h"

struct mvcc_model_version {
    struct blob *key;
    struct blob *value;
    int64_t revision;
    int64_t sub;
    int64_t create_revision;
    int64_t version;
    int64_t lease;
    bool is_delete;
};
struct mvcc_model {
    struct mvcc_model_version *versions;
    size_t count;
    size_t capacity;
    int64_t revision;
    int64_t compact_revision;
    int64_t sub; /* of the next change */
};

struct mvcc_model *mvcc_model_new(void);
void mvcc_model_free(struct mvcc_model *model);
void mvcc_model_begin(struct mvcc_model *model);
void mvcc_model_put(struct mvcc_model *model, struct slice key, struct slice value, int64_t lease);
int64_t mvcc_model_delete(struct mvcc_model *model, const struct mvcc_range *range);
int64_t mvcc_model_commit(struct mvcc_model *model);

/* The live version of a key at a revision; NULL = none. */
const struct mvcc_model_version *mvcc_model_get(const struct mvcc_model *model, struct slice key, int64_t revision);
/* The first live version at a revision of a key of the range from *cursor on (0 to begin); NULL at the end. */
const struct mvcc_model_version *mvcc_model_scan(const struct mvcc_model *model, const struct mvcc_range *range, int64_t revision,
                                                 size_t *cursor);
/* The change (revision, sub), or the next after it that exists. */
const struct mvcc_model_version *mvcc_model_change(const struct mvcc_model *model, int64_t revision, int64_t sub);
/* The hash of one version; and the sum over the versions up to `revision` that compaction at `compact_revision` leaves. */
uint64_t mvcc_model_hash_one(const struct mvcc_model_version *version);
uint64_t mvcc_model_hash(const struct mvcc_model *model, int64_t revision, int64_t compact_revision);

/* What a RangeRequest answers: filter, sort, cut, one after the other over the whole interval. `rows` is the caller's, to be freed. */
struct mvcc_model_answer {
    const struct mvcc_model_version **rows;
    size_t row_count;
    int64_t count;
    bool more;
};
struct mvcc_model_answer mvcc_model_range(const struct mvcc_model *model, const struct range_request *request, int64_t revision);

#endif
