/* mvcc_model_range: see mvcc_model.h. */
#include "base/alloc.h"
#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/mvcc_model.h"

static bool is_wanted(const struct range_request *request, const struct mvcc_model_version *row)
{
    if (request->min_mod_revision != 0 && row->revision < request->min_mod_revision) return false;
    if (request->max_mod_revision != 0 && row->revision > request->max_mod_revision) return false;
    if (request->min_create_revision != 0 && row->create_revision < request->min_create_revision) return false;
    return request->max_create_revision == 0 || row->create_revision <= request->max_create_revision;
}

static bool has_filter(const struct range_request *request)
{
    return request->min_mod_revision != 0 || request->max_mod_revision != 0 || request->min_create_revision != 0 ||
           request->max_create_revision != 0;
}

static int compare_numbers(int64_t a, int64_t b) { return a < b ? -1 : a > b ? 1 : 0; }

static int compare(const struct range_request *request, const struct mvcc_model_version *a, const struct mvcc_model_version *b)
{
    switch (request->sort_target) {
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION: return compare_numbers(a->version, b->version);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE: return compare_numbers(a->create_revision, b->create_revision);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD: return compare_numbers(a->revision, b->revision);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE: return slice_compare(blob_slice(a->value), blob_slice(b->value));
    default: return slice_compare(blob_slice(a->key), blob_slice(b->key));
    }
}

/* An insertion sort is stable in both directions. */
static void sort(struct mvcc_model_answer *answer, const struct range_request *request)
{
    int sign = request->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND ? -1 : 1;
    for (size_t i = 1; i < answer->row_count; i++) {
        const struct mvcc_model_version *row = answer->rows[i];
        size_t place = i;
        for (; place > 0 && sign * compare(request, answer->rows[place - 1], row) > 0; place--) {
            answer->rows[place] = answer->rows[place - 1];
        }
        answer->rows[place] = row;
    }
}

/* A target without an order sorts only what the limit and one row more let through, unless a filter had to see everything. */
static void cut_before_sort(struct mvcc_model_answer *answer, const struct range_request *request)
{
    bool is_ordered = request->sort_order != ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE;
    if (is_ordered || has_filter(request) || request->limit <= 0) return;
    if (answer->row_count > (size_t)request->limit + 1) answer->row_count = (size_t)request->limit + 1;
}

struct mvcc_model_answer mvcc_model_range(const struct mvcc_model *model, const struct range_request *request, int64_t revision)
{
    struct mvcc_model_answer answer = {.rows = alloc_zero(model->count + 1, sizeof(void *))};
    struct mvcc_range range = mvcc_range_make(request->key, request->range_end);
    const struct mvcc_model_version *row;
    size_t cursor = 0;
    while ((row = mvcc_model_scan(model, &range, revision, &cursor)) != NULL) {
        answer.count++;
        if (is_wanted(request, row)) answer.rows[answer.row_count++] = row;
    }
    ASSERT((size_t)answer.count <= model->count);
    if (request->count_only) {
        answer.row_count = 0;
        return answer;
    }
    cut_before_sort(&answer, request);
    sort(&answer, request);
    if (request->limit > 0 && answer.row_count > (size_t)request->limit) {
        answer.row_count = (size_t)request->limit;
        answer.more = true;
    }
    return answer;
}
