/* request_txn: what a transaction must be before it may be proposed.
 *
 * Three walks over the bytes, none of them recursive (operation_cursor), so that the shape of the input costs no stack:
 *
 * 1. Shape: every field of every message is well formed, nesting is at most REQUEST_DEPTH_MAX; counts what the third walk will need.
 * 2. Checks, in the order in which the API makes them: the number of operations against the allowance that shrinks from level to
 *    level; the keys of the compares; each operation like its stand-alone form; success before failure, nested ones in their place.
 * 3. Overlap: no two operations that may run in the same execution may both put a key, or put a key and delete it.
 *
 * The overlap rule without comparing each with each. Two operations exclude each other iff they stand in the two branches of one
 * (nested or outer) transaction. All put keys and all ends of deleted intervals become points, sorted by key. A sweep over the points
 * keeps, for each branch, how many writes are active inside it (nested ones included): deletes whose interval contains the current
 * key, and puts of exactly this key. A put meets a partner iff its own branch has an active write, or, on the way out, an enclosing
 * branch has one outside of the transaction that we come from. That is O(n log n) for the sort and O(depth) per point.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "storage/range.h"
#include "storage/request.h"
#include "storage/request_parsed.h"

#define BRANCH_NONE UINT32_MAX

/* What happens at a key, in this order: an interval that ends before it, one that begins at it, a put, an interval of just this key. */
enum point_kind { POINT_CLOSE_BEFORE, POINT_OPEN, POINT_PUT, POINT_CLOSE_AFTER };
struct point {
    const uint8_t *key;
    uint32_t key_size;
    uint32_t branch_and_kind; /* branch << 2 | kind */
};
STATIC_ASSERT(sizeof(struct point) == 16, "a message of nothing but puts must fit the arena");

struct counts {
    uint32_t puts, deletes, txns;
};

/* --- shape --------------------------------------------------------------------------------------------------------------- */

static enum err shape_compares(struct slice txn)
{
    struct operation_list list = operation_list_make(txn, OPERATION_COMPARES);
    struct slice bytes;
    while (operation_list_next(&list, &bytes)) {
        struct operation_compare compare;
        enum err err = operation_parse_compare(bytes, &compare);
        if (err != ERR_OK) return err;
    }
    return list.reader.bad ? ERR_MALFORMED : ERR_OK;
}

/* Members that the last one of the union supersedes mean nothing, but they stand in the message: they must be well formed, like all of
 * it, for those who walk it later. No encoder writes them; a superseded transaction, which would have to be walked into, is refused. */
static enum err shape_superseded(const struct operation *operation)
{
    struct range_request range;
    struct operation_put put;
    struct operation_delete_range delete_range;
    struct reader reader = reader_make(operation->whole);
    struct pb_field field;
    enum err err = ERR_OK;
    uint32_t left = operation->member_count;
    while (err == ERR_OK && left > 1 && reader_pb_field(&reader, &field)) {
        if (field.number < OPERATION_RANGE || field.number > OPERATION_TXN) continue;
        left--;
        if (field.number == OPERATION_RANGE) err = range_parse(field.bytes, &range);
        else if (field.number == OPERATION_PUT) err = operation_parse_put(field.bytes, &put);
        else if (field.number == OPERATION_DELETE_RANGE) err = operation_parse_delete_range(field.bytes, &delete_range);
        else err = ERR_MALFORMED;
    }
    ASSERT(!reader.bad);
    return err;
}

static enum err shape_operation(const struct operation *operation, struct counts *counts)
{
    if (operation->member_count > 1) {
        enum err err = shape_superseded(operation);
        if (err != ERR_OK) return err;
    }
    struct range_request range;
    struct operation_put put;
    struct operation_delete_range delete_range;
    switch (operation->kind) {
    case OPERATION_RANGE: return range_parse(operation->body, &range);
    case OPERATION_PUT: counts->puts++; return operation_parse_put(operation->body, &put);
    case OPERATION_DELETE_RANGE: counts->deletes++; return operation_parse_delete_range(operation->body, &delete_range);
    case OPERATION_TXN: counts->txns++; return shape_compares(operation->body);
    case OPERATION_NONE: break;
    }
    return ERR_OK;
}

static enum err check_shape(struct slice bytes, struct counts *out_counts)
{
    struct counts counts = {.puts = 0, .deletes = 0, .txns = 1};
    struct operation_cursor cursor;
    struct operation operation;
    operation_cursor_init(&cursor);
    bool fits = operation_cursor_enter(&cursor, bytes, OPERATION_SUCCESS, OPERATION_FAILURE);
    ASSERT(fits);
    enum err err = shape_compares(bytes);
    enum operation_step step = OPERATION_STEP_LEAVE;
    while (err == ERR_OK && (step = operation_cursor_next(&cursor, &operation)) != OPERATION_STEP_END) {
        if (step == OPERATION_STEP_BAD) return ERR_MALFORMED;
        if (step == OPERATION_STEP_LEAVE) continue;
        err = shape_operation(&operation, &counts);
        if (err == ERR_OK && operation.kind == OPERATION_TXN &&
            !operation_cursor_enter(&cursor, operation.body, OPERATION_SUCCESS, OPERATION_FAILURE))
            err = ERR_TOO_MANY_OPS;
    }
    if (err == ERR_OK) *out_counts = counts;
    return err;
}

/* --- checks --------------------------------------------------------------------------------------------------------------- */

/* What the second walk knows of each transaction that it is inside of. */
struct check_level {
    uint32_t allowance;   /* for transactions nested in this one */
    uint32_t txn;         /* its number; branches are 2 × txn (success) and 2 × txn + 1 (failure) */
    uint64_t cost[2];
};
struct check {
    struct operation_cursor cursor;
    struct check_level levels[REQUEST_DEPTH_MAX + 1];
    struct request_txn_info info;
    uint32_t leases_max;
    struct point *points; /* NULL: no two writes, nothing can overlap */
    size_t point_count, point_capacity;
    uint32_t *parents;    /* of each transaction: the branch that it stands in */
    uint32_t txn_count;
};

static uint32_t branch_of(const struct check *check, const struct operation *operation)
{
    ASSERT(operation->branch == OPERATION_SUCCESS || operation->branch == OPERATION_FAILURE);
    return check->levels[check->cursor.depth].txn * 2 + (operation->branch == OPERATION_FAILURE);
}

static uint64_t list_count(struct slice txn, enum operation_field field)
{
    struct operation_list list = operation_list_make(txn, field);
    struct slice bytes;
    uint64_t count = 0;
    while (operation_list_next(&list, &bytes)) count++;
    ASSERT(!list.reader.bad);
    return count;
}

/* The longest of the three lists counts against the allowance, and what is left is the allowance of the nested ones. */
static enum err enter_txn(struct check *check, struct slice txn, uint32_t allowance, uint32_t parent_branch)
{
    uint64_t longest = list_count(txn, OPERATION_COMPARES);
    uint64_t success = list_count(txn, OPERATION_SUCCESS);
    uint64_t failure = list_count(txn, OPERATION_FAILURE);
    if (success > longest) longest = success;
    if (failure > longest) longest = failure;
    if (longest > allowance) return ERR_TOO_MANY_OPS;
    struct operation_list list = operation_list_make(txn, OPERATION_COMPARES);
    struct slice bytes;
    while (operation_list_next(&list, &bytes)) {
        struct operation_compare compare;
        enum err err = operation_parse_compare(bytes, &compare);
        ASSERT(err == ERR_OK);
        if (compare.key.size == 0) return ERR_EMPTY_KEY;
    }
    bool fits = operation_cursor_enter(&check->cursor, txn, OPERATION_SUCCESS, OPERATION_FAILURE);
    ASSERT(fits);
    uint32_t number = check->txn_count++;
    check->levels[check->cursor.depth] =
        (struct check_level){.allowance = allowance - (uint32_t)longest, .txn = number, .cost = {0, 0}};
    if (check->parents != NULL) check->parents[number] = parent_branch;
    return ERR_OK;
}

/* A transaction costs as much as its dearer branch; a nested one adds that to the branch that it stands in. */
static uint64_t level_cost(const struct check_level *level)
{
    return level->cost[0] > level->cost[1] ? level->cost[0] : level->cost[1];
}

static void leave_txn(struct check *check)
{
    ASSERT(check->cursor.depth >= 1 && check->cursor.depth < REQUEST_DEPTH_MAX);
    const struct check_level *left = &check->levels[check->cursor.depth + 1];
    struct check_level *outer = &check->levels[check->cursor.depth];
    bool is_failure = check->cursor.levels[check->cursor.depth].list.field == OPERATION_FAILURE;
    outer->cost[is_failure] += level_cost(left);
}

static void add_point(struct check *check, struct slice key, enum point_kind kind, uint32_t branch)
{
    if (check->points == NULL) return;
    ASSERT(check->point_count < check->point_capacity && branch < UINT32_C(1) << 30);
    check->points[check->point_count++] = (struct point){
        .key = key.data, .key_size = (uint32_t)key.size, .branch_and_kind = branch << 2 | (uint32_t)kind};
}

static void add_interval(struct check *check, const struct operation_delete_range *request, uint32_t branch)
{
    struct mvcc_range range = mvcc_range_make(request->key, request->range_end);
    ASSERT(request->key.size > 0);
    if (!range.is_single && !range.is_open && slice_compare(range.end, range.key) <= 0) return; /* empty: deletes nothing */
    add_point(check, range.key, POINT_OPEN, branch);
    if (range.is_single) add_point(check, range.key, POINT_CLOSE_AFTER, branch);
    else if (!range.is_open) add_point(check, range.end, POINT_CLOSE_BEFORE, branch);
}

static enum err check_range(struct check *check, struct slice body)
{
    struct range_request request;
    enum err err = range_parse(body, &request);
    ASSERT(err == ERR_OK);
    check->info.is_serializable = check->info.is_serializable && request.serializable;
    return range_check(&request);
}

static enum err check_put(struct check *check, struct slice body, uint32_t branch)
{
    struct operation_put put;
    enum err err = operation_parse_put(body, &put);
    ASSERT(err == ERR_OK);
    check->info.has_put = true;
    check->levels[check->cursor.depth].cost[branch & 1] += request_parsed_put_cost(&put);
    add_point(check, put.key, POINT_PUT, branch);
    if (put.ttl != 0) check->info.lease_count++;
    if (check->info.lease_count > check->leases_max) return ERR_TOO_MANY_OPS;
    return request_check_parsed_put(&put);
}

static enum err check_delete_range(struct check *check, struct slice body, uint32_t branch)
{
    struct operation_delete_range request;
    enum err err = operation_parse_delete_range(body, &request);
    ASSERT(err == ERR_OK);
    if (request.key.size == 0) return ERR_EMPTY_KEY;
    add_interval(check, &request, branch);
    return ERR_OK;
}

static enum err check_operation(struct check *check, const struct operation *operation)
{
    uint32_t branch = branch_of(check, operation);
    if (operation->kind != OPERATION_RANGE) check->info.is_read_only = false;
    switch (operation->kind) {
    case OPERATION_RANGE: return check_range(check, operation->body);
    case OPERATION_PUT: return check_put(check, operation->body, branch);
    case OPERATION_DELETE_RANGE: return check_delete_range(check, operation->body, branch);
    case OPERATION_TXN:
        return enter_txn(check, operation->body, check->levels[check->cursor.depth].allowance, branch);
    case OPERATION_NONE: break;
    }
    return ERR_KEY_NOT_FOUND; /* a RequestOp with no member set */
}

/* --- overlap --------------------------------------------------------------------------------------------------------------- */

static int compare_points(const void *a_place, const void *b_place)
{
    const struct point *a = a_place, *b = b_place;
    int order = slice_compare(slice_make(a->key, a->key_size), slice_make(b->key, b->key_size));
    if (order != 0) return order;
    return (int)(a->branch_and_kind & 3) - (int)(b->branch_and_kind & 3);
}

static void count_active(const struct check *check, uint32_t *active, uint32_t branch, uint32_t change)
{
    for (; branch != BRANCH_NONE; branch = check->parents[branch / 2]) {
        ASSERT(branch / 2 < check->txn_count);
        active[branch] += change; /* change is 1 or its two's complement */
    }
}

static bool meets_active(const struct check *check, const uint32_t *active, uint32_t branch)
{
    if (active[branch] > 0) return true;
    for (;;) {
        uint32_t txn = branch / 2;
        uint32_t outer = check->parents[txn];
        if (outer == BRANCH_NONE) return false;
        uint32_t inside = active[txn * 2] + active[txn * 2 + 1];
        ASSERT(active[outer] >= inside);
        if (active[outer] > inside) return true;
        branch = outer;
    }
}

/* True if all puts of the group [first, end) of one key are free of partners; they count as active for each other. */
static bool puts_are_free(const struct check *check, uint32_t *active, size_t first, size_t end)
{
    ASSERT(first < end && end <= check->point_count);
    for (size_t i = first; i < end; i++) {
        uint32_t branch = check->points[i].branch_and_kind >> 2;
        if (meets_active(check, active, branch)) return false;
        count_active(check, active, branch, 1);
    }
    for (size_t i = first; i < end; i++) count_active(check, active, check->points[i].branch_and_kind >> 2, UINT32_MAX);
    return true;
}

static bool is_free_of_overlaps(struct check *check, uint32_t *active)
{
    ASSERT(check->points != NULL && active != NULL);
    qsort(check->points, check->point_count, sizeof check->points[0], compare_points);
    for (size_t i = 0; i < check->point_count;) {
        uint32_t kind = check->points[i].branch_and_kind & 3;
        uint32_t branch = check->points[i].branch_and_kind >> 2;
        size_t end = i + 1;
        if (kind == POINT_PUT) {
            while (end < check->point_count && compare_points(&check->points[i], &check->points[end]) == 0) end++;
            if (!puts_are_free(check, active, i, end)) return false;
        } else {
            count_active(check, active, branch, kind == POINT_OPEN ? 1 : UINT32_MAX);
        }
        i = end;
    }
    return true;
}

/* Memory for the sweep; none if there are no two writes of which one is a put. */
static bool prepare_overlap(struct check *check, const struct counts *counts, struct arena *arena, uint32_t **out_active)
{
    if (counts->puts == 0 || counts->puts + counts->deletes < 2) return true;
    ASSERT(arena != NULL);
    check->point_capacity = (size_t)counts->puts + 2 * (size_t)counts->deletes;
    check->points = arena_alloc(arena, check->point_capacity * sizeof check->points[0]);
    check->parents = arena_alloc(arena, counts->txns * sizeof check->parents[0]);
    uint32_t *active = arena_alloc(arena, 2 * (size_t)counts->txns * sizeof *active);
    if (check->points == NULL || check->parents == NULL || active == NULL) return false;
    memset(active, 0, 2 * (size_t)counts->txns * sizeof *active);
    *out_active = active;
    return true;
}

enum err request_check_txn(struct slice bytes, const struct request_limits *limits, struct arena *arena,
                           struct request_txn_info *out_info)
{
    ASSERT(limits != NULL && out_info != NULL);
    struct counts counts;
    enum err err = check_shape(bytes, &counts);
    if (err != ERR_OK) return err;
    struct check check;
    check.info = (struct request_txn_info){.is_read_only = true, .is_serializable = true};
    check.leases_max = limits->txn_ops_max;
    check.points = NULL;
    check.parents = NULL;
    check.point_count = check.point_capacity = 0;
    check.txn_count = 0;
    operation_cursor_init(&check.cursor);
    uint32_t *active = NULL;
    if (!prepare_overlap(&check, &counts, arena, &active)) return ERR_TOO_MANY_OPS;
    err = enter_txn(&check, bytes, limits->txn_ops_max, BRANCH_NONE);
    struct operation operation;
    enum operation_step step = OPERATION_STEP_LEAVE;
    while (err == ERR_OK && (step = operation_cursor_next(&check.cursor, &operation)) != OPERATION_STEP_END) {
        ASSERT(step != OPERATION_STEP_BAD);
        if (step == OPERATION_STEP_OP) err = check_operation(&check, &operation);
        else leave_txn(&check);
    }
    if (err != ERR_OK) return err;
    if (check.points != NULL && !is_free_of_overlaps(&check, active)) return ERR_DUPLICATE_KEY;
    check.info.is_serializable = check.info.is_serializable && check.info.is_read_only;
    check.info.cost_bytes = level_cost(&check.levels[1]);
    ASSERT(check.txn_count == counts.txns && check.info.has_put == (counts.puts > 0));
    *out_info = check.info;
    return ERR_OK;
}
