/* range_sort: a heap whose top is the row that would come last, so that a bounded selection throws that one out first, and a heap
 * sort, which puts the top behind the heap again and again, ends with the rows in order. */
#include "storage/range_sort.h"

#include "base/alloc.h"
#include "base/assert.h"

#define ROWS_MIN 16

void range_sort_init(struct range_sort *sort, int32_t target, bool is_descending, size_t row_count_max)
{
    ASSERT(target >= RANGE_SORT_KEY && target < RANGE_SORT_TARGETS);
    ASSERT(row_count_max > 0);
    *sort = (struct range_sort){.target = target, .is_descending = is_descending, .row_count_max = row_count_max};
}

static size_t row_bytes(const struct range_sort_row *row) { return (size_t)row->key_size + row->value_size; }

void range_sort_deinit(struct range_sort *sort)
{
    if (sort == NULL) return;
    for (size_t i = sort->taken; i < sort->row_count; i++) alloc_free(sort->rows[i].bytes);
    if (sort->taken > 0) alloc_free(sort->rows[sort->taken - 1].bytes);
    alloc_free(sort->rows);
    sort->rows = NULL;
    sort->row_count = sort->row_capacity = sort->taken = 0;
}

static struct slice row_value(const struct range_sort_row *row)
{
    return slice_make(row->bytes + row->key_size, row->value_size);
}

/* <0: a comes before b in ascending order of the target alone. */
static int compare_targets(const struct range_sort *sort, const struct range_sort_row *a, const struct range_sort_row *b)
{
    if (sort->target == RANGE_SORT_KEY) return (a->ordinal > b->ordinal) - (a->ordinal < b->ordinal);
    if (a->number != b->number) return a->number > b->number ? 1 : -1;
    return sort->target == RANGE_SORT_VALUE ? slice_compare(row_value(a), row_value(b)) : 0;
}

/* True if a stands before b in the answer. Never true both ways: ordinals differ. */
static bool is_before(const struct range_sort *sort, const struct range_sort_row *a, const struct range_sort_row *b)
{
    int order = compare_targets(sort, a, b);
    if (order != 0) return (order < 0) != sort->is_descending;
    return a->ordinal < b->ordinal;
}

static void swap_rows(struct range_sort_row *a, struct range_sort_row *b)
{
    struct range_sort_row row = *a;
    *a = *b;
    *b = row;
}

static void sift_up(struct range_sort *sort, size_t place)
{
    ASSERT(place < sort->row_count);
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (!is_before(sort, &sort->rows[parent], &sort->rows[place])) return;
        swap_rows(&sort->rows[parent], &sort->rows[place]);
        place = parent;
    }
}

static void sift_down(struct range_sort *sort, size_t place, size_t count)
{
    ASSERT(count <= sort->row_count);
    for (;;) {
        size_t last = place, left = 2 * place + 1, right = left + 1;
        if (left < count && is_before(sort, &sort->rows[last], &sort->rows[left])) last = left;
        if (right < count && is_before(sort, &sort->rows[last], &sort->rows[right])) last = right;
        if (last == place) return;
        swap_rows(&sort->rows[place], &sort->rows[last]);
        place = last;
    }
}

/* The first eight bytes, so that their order as a number is the order of the bytes; shorter values are told apart later. */
static int64_t value_number(struct slice value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof number; i++) number = number << 8 | (i < value.size ? value.data[i] : 0);
    return (int64_t)(number ^ UINT64_C(1) << 63);
}

static int64_t target_number(const struct range_sort *sort, const struct mvcc_kv *kv)
{
    switch (sort->target) {
    case RANGE_SORT_VERSION: return kv->version;
    case RANGE_SORT_CREATE: return kv->create_revision;
    case RANGE_SORT_MOD: return kv->mod_revision;
    case RANGE_SORT_VALUE: return value_number(kv->value);
    default: return 0;
    }
}

static void keep_bytes(struct range_sort *sort, struct range_sort_row *row, const struct mvcc_kv *kv)
{
    ASSERT(kv->key.size > 0 && kv->key.size <= UINT32_MAX && kv->value.size <= UINT32_MAX);
    row->key_size = (uint32_t)kv->key.size;
    row->value_size = sort->target == RANGE_SORT_VALUE ? (uint32_t)kv->value.size : 0;
    row->bytes = alloc_new(row_bytes(row));
    memcpy(row->bytes, kv->key.data, row->key_size);
    if (row->value_size > 0) memcpy(row->bytes + row->key_size, kv->value.data, row->value_size);
    sort->bytes += row_bytes(row);
}

/* A full selection: the new row goes in only if it stands before the last one. Compared before anything is copied. */
static bool displaces_last(const struct range_sort *sort, const struct range_sort_row *row, const struct mvcc_kv *kv)
{
    ASSERT(sort->row_count > 0);
    const struct range_sort_row *last = &sort->rows[0];
    if (sort->target == RANGE_SORT_KEY) return sort->is_descending; /* keys come ascending */
    if (row->number != last->number) return (row->number < last->number) != sort->is_descending;
    if (sort->target != RANGE_SORT_VALUE) return false; /* equal, and later in key order */
    int order = slice_compare(kv->value, row_value(last));
    return order != 0 && (order < 0) != sort->is_descending;
}

void range_sort_add(struct range_sort *sort, const struct mvcc_kv *kv)
{
    ASSERT(!sort->is_sorting && sort->row_count <= sort->row_count_max);
    struct range_sort_row row = {.number = target_number(sort, kv), .ordinal = sort->seen++};
    if (sort->row_count == sort->row_count_max) {
        if (!displaces_last(sort, &row, kv)) return;
        sort->bytes -= row_bytes(&sort->rows[0]);
        alloc_free(sort->rows[0].bytes);
        keep_bytes(sort, &row, kv);
        sort->rows[0] = row;
        sift_down(sort, 0, sort->row_count);
        return;
    }
    if (sort->row_count == sort->row_capacity) {
        sort->bytes -= sort->row_capacity * sizeof row;
        sort->row_capacity = sort->row_capacity == 0 ? ROWS_MIN : sort->row_capacity * 2;
        sort->rows = alloc_resize(sort->rows, sort->row_capacity * sizeof row);
        sort->bytes += sort->row_capacity * sizeof row;
    }
    keep_bytes(sort, &row, kv);
    sort->rows[sort->row_count++] = row;
    sift_up(sort, sort->row_count - 1);
}

bool range_sort_step(struct range_sort *sort, size_t budget)
{
    if (!sort->is_sorting) sort->heap_count = sort->row_count;
    sort->is_sorting = true;
    ASSERT(sort->heap_count <= sort->row_count);
    for (; sort->heap_count > 1 && budget > 0; budget--) {
        sort->heap_count--;
        swap_rows(&sort->rows[0], &sort->rows[sort->heap_count]);
        sift_down(sort, 0, sort->heap_count);
    }
    return sort->heap_count <= 1;
}

bool range_sort_next(struct range_sort *sort, struct slice *out_key)
{
    ASSERT(sort->is_sorting && sort->heap_count <= 1);
    if (sort->taken > 0) {
        alloc_free(sort->rows[sort->taken - 1].bytes);
        sort->rows[sort->taken - 1].bytes = NULL;
    }
    if (sort->taken == sort->row_count) return false;
    const struct range_sort_row *row = &sort->rows[sort->taken++];
    ASSERT(row->bytes != NULL && row->key_size > 0);
    *out_key = slice_make(row->bytes, row->key_size);
    return true;
}
