/* range_sort: the rows of a range in an order other than by key, with bounded work per step and bounded memory: a heap of the best
 * `limit` rows so far (all rows without a limit), then a heap sort that can stop anywhere, then the rows one after another.
 *
 * Stable: rows that compare equal stay in key order, ascending or descending. A row keeps its key and, for VALUE, its value; all else
 * is looked up again when it is its turn. Private to range.c.
 * Owner: embedded. Thread: the range's. Limits: memory is reported; the caller compares it with its limit.
 * Source: API, Range, Sort.
 */
#ifndef STORAGE_RANGE_SORT_H
#define STORAGE_RANGE_SORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/mvcc.h"

/* Numbers of the API's enums. */
enum { RANGE_SORT_NONE = 0, RANGE_SORT_ASCEND = 1, RANGE_SORT_DESCEND = 2, RANGE_SORT_ORDERS = 3 };
enum {
    RANGE_SORT_KEY = 0,
    RANGE_SORT_VERSION = 1,
    RANGE_SORT_CREATE = 2,
    RANGE_SORT_MOD = 3,
    RANGE_SORT_VALUE = 4,
    RANGE_SORT_TARGETS = 5,
};

struct range_sort_row {
    int64_t number;     /* numeric targets, and the first bytes of a value */
    uint64_t ordinal;   /* position in key order */
    uint8_t *bytes;     /* key, then value if it is the target; NULL once it was taken */
    uint32_t key_size;
    uint32_t value_size;
};
struct range_sort {
    int32_t target;
    bool is_descending;
    size_t row_count_max;  /* SIZE_MAX = all */
    struct range_sort_row *rows;
    size_t row_count, row_capacity;
    uint64_t seen;         /* rows offered */
    size_t bytes;          /* memory held */
    size_t heap_count;     /* rows before it are a heap with the last one on top, rows from it on are sorted */
    size_t taken;
    bool is_sorting;
};

void range_sort_init(struct range_sort *sort, int32_t target, bool is_descending, size_t row_count_max);
void range_sort_deinit(struct range_sort *sort);
/* Offers the rows in ascending order of their keys. */
void range_sort_add(struct range_sort *sort, const struct mvcc_kv *kv);
/* About `budget` rows of sorting; true when all are sorted. No more rows may come. */
bool range_sort_step(struct range_sort *sort, size_t budget);
/* The key of the next row, borrowed until the next call; false at the end. */
bool range_sort_next(struct range_sort *sort, struct slice *out_key);

#endif
