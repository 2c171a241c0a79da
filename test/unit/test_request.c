/* Is every request that may not be proposed refused, with the API's error, in the API's order, whatever the bytes are? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "lib/kv_text.h"
#include "storage/range.h"
#include "storage/request.h"

#define ARENA_BYTES (4u << 20)

static enum err check_bytes(struct slice bytes, uint32_t ops_max, struct request_txn_info *out_info)
{
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    struct request_limits limits = {.txn_ops_max = ops_max};
    enum err err = request_check_txn(bytes, &limits, &arena, out_info);
    ck_assert_uint_le(arena.bytes, ARENA_BYTES);
    arena_deinit(&arena);
    return err;
}

static enum err check_txn(const char *text, struct request_txn_info *out_info)
{
    struct buf bytes = kv_text_txn(text);
    enum err err = check_bytes(buf_slice(&bytes), 128, out_info);
    buf_deinit(&bytes);
    return err;
}

static void assert_txn(const char *text, enum err expected)
{
    struct request_txn_info info;
    enum err err = check_txn(text, &info);
    ck_assert_msg(err == expected, "%s: %s, not %s", text, err_name(err), err_name(expected));
}

static enum err check_one(const char *text, struct buf (*build)(const char *), enum err (*check)(struct slice))
{
    struct buf bytes = build(text);
    enum err err = check(buf_slice(&bytes));
    buf_deinit(&bytes);
    return err;
}

START_TEST(test_request_put_is_checked_key_value_lease)
{
    ck_assert_int_eq(check_one("a=1", kv_text_put, request_check_put), ERR_OK);
    ck_assert_int_eq(check_one("a", kv_text_put, request_check_put), ERR_OK);
    ck_assert_int_eq(check_one("=1,keepvalue,keeplease,lease=1", kv_text_put, request_check_put), ERR_EMPTY_KEY);
    ck_assert_int_eq(check_one("a=1,keepvalue,keeplease,lease=1", kv_text_put, request_check_put), ERR_VALUE_PROVIDED);
    ck_assert_int_eq(check_one("a,keepvalue,keeplease,lease=1", kv_text_put, request_check_put), ERR_LEASE_PROVIDED);
    ck_assert_int_eq(check_one("a,keepvalue,keeplease", kv_text_put, request_check_put), ERR_OK);
    ck_assert_int_eq(request_check_put(slice_from_string("\x0a\x05k")), ERR_MALFORMED);
    ck_assert_int_eq(request_check_put(slice_from_string("\x08\x05")), ERR_MALFORMED); /* key as a number */
    ck_assert_int_eq(request_check_put(slice_from_string("\x0b")), ERR_MALFORMED);     /* a group */
    ck_assert_int_eq(request_check_put(slice_from_string("\x0a\x01k\x78\x05\x7a\x01x")), ERR_OK); /* unknown fields */
}
END_TEST

START_TEST(test_request_ttl_of_a_put_excludes_another_lease_and_has_a_range)
{
    static const struct {
        const char *text;
        enum err err;
    } cases[] = {
        {"a=1,ttl=1", ERR_OK},
        {"a=1,ttl=9000000000", ERR_OK},
        {"a,keepvalue,prev,ttl=60", ERR_OK},
        {"a=1,ttl=0,lease=7", ERR_OK}, /* none */
        {"a=1,ttl=60,lease=7", ERR_TTL_PROVIDED},
        {"a=1,ttl=60,keeplease", ERR_TTL_PROVIDED},
        {"a=1,ttl=-1,lease=7", ERR_TTL_PROVIDED},
        {"a=1,ttl=60,keeplease,lease=7", ERR_LEASE_PROVIDED}, /* the API's own checks come first */
        {"=1,ttl=-1", ERR_EMPTY_KEY},
        {"a=1,ttl=-1", ERR_LEASE_TTL_NEGATIVE},
        {"a=1,ttl=-9223372036854775807", ERR_LEASE_TTL_NEGATIVE},
        {"a=1,ttl=9000000001", ERR_LEASE_TTL_TOO_LARGE},
        {"a=1,ttl=9223372036854775807", ERR_LEASE_TTL_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        ck_assert_msg(check_one(cases[i].text, kv_text_put, request_check_put) == cases[i].err, "%s", cases[i].text);
        snprintf(text, sizeof text, "if mod(x)=1 then get(b) else txn{else put(%s)}", cases[i].text);
        assert_txn(text, cases[i].err);
    }
    ck_assert_int_eq(request_check_put(slice_from_string("\x0a\x01k\xc2\x3e\x01x")), ERR_MALFORMED); /* as bytes */
    ck_assert_int_eq(err_grpc_code(ERR_TTL_PROVIDED), ERR_CODE_INVALID_ARGUMENT);
    ck_assert_int_eq(err_grpc_code(ERR_LEASE_TTL_NEGATIVE), ERR_CODE_INVALID_ARGUMENT);
}
END_TEST

/* However it is nested: the entry carries an id for each. */
START_TEST(test_request_leases_of_one_transaction_are_as_many_as_its_operations_may_be)
{
    struct request_txn_info info;
    struct buf bytes = kv_text_txn("then put(a=1,ttl=5) txn{then put(b=1,ttl=5) else put(b=1,ttl=5)} else put(a=1,ttl=5) put(c=1)");
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 4, &info), ERR_OK);
    ck_assert_uint_eq(info.lease_count, 4);
    ck_assert_uint_eq(info.cost_bytes, 2 * (256 + 64 + 2));
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 3, &info), ERR_TOO_MANY_OPS);
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_request_cost_is_the_pair_and_256)
{
    struct buf put = kv_text_put("abc=12345"), leased = kv_text_put("abc=12345,ttl=1");
    ck_assert_uint_eq(request_put_cost(buf_slice(&put)), 256 + 3 + 5);
    ck_assert_uint_eq(request_put_cost(buf_slice(&leased)), 256 + 3 + 5 + 64);
    ck_assert(!request_put_makes_lease(buf_slice(&put)) && request_put_makes_lease(buf_slice(&leased)));
    buf_deinit(&leased);
    buf_deinit(&put);
}
END_TEST

START_TEST(test_request_delete_and_compaction_are_checked)
{
    int64_t revision = -7;
    bool physical = false;
    ck_assert_int_eq(check_one("a..b", kv_text_delete, request_check_delete_range), ERR_OK);
    ck_assert_int_eq(check_one("..b", kv_text_delete, request_check_delete_range), ERR_EMPTY_KEY);
    ck_assert_int_eq(request_check_delete_range(slice_from_string("\x0a")), ERR_MALFORMED);
    ck_assert_int_eq(request_check_compaction(slice_from_string("\x12"), &revision, &physical), ERR_MALFORMED);
    ck_assert_int_eq(revision, -7); /* untouched on failure */
    ck_assert_int_eq(request_check_compaction(slice_from_string("\x08\x09\x10\x01"), &revision, &physical), ERR_OK);
    ck_assert(revision == 9 && physical);
    ck_assert_int_eq(request_check_compaction(slice_empty(), &revision, &physical), ERR_OK);
    ck_assert(revision == 0 && !physical);
}
END_TEST

static enum err check_range(const char *text, bool is_stream)
{
    struct buf bytes = kv_text_range(text);
    struct range_request request;
    enum err err = range_parse(buf_slice(&bytes), &request);
    if (err == ERR_OK) err = is_stream ? range_check_stream(&request) : range_check(&request);
    buf_deinit(&bytes);
    return err;
}

START_TEST(test_request_range_is_checked_key_then_sort_options)
{
    ck_assert_int_eq(check_range("a", false), ERR_OK);
    ck_assert_int_eq(check_range("..b,order=9", false), ERR_EMPTY_KEY);
    ck_assert_int_eq(check_range("a,order=3", false), ERR_INVALID_SORT_OPTION);
    ck_assert_int_eq(check_range("a,order=-1", false), ERR_INVALID_SORT_OPTION);
    ck_assert_int_eq(check_range("a,target=5", false), ERR_INVALID_SORT_OPTION);
    ck_assert_int_eq(check_range("a,order=2,target=4,limit=-3", false), ERR_OK);
    ck_assert_int_eq(check_range("a..b,order=1", true), ERR_OK);
    ck_assert_int_eq(check_range("a..b,order=2", true), ERR_RANGE_STREAM_SORT);
    ck_assert_int_eq(check_range("a..b,target=1,minmod=3", true), ERR_RANGE_STREAM_SORT);
    ck_assert_int_eq(check_range("a..b,maxcreate=1", true), ERR_RANGE_STREAM_FILTER);
    ck_assert_int_eq(check_range("a..b,order=7,minmod=3", true), ERR_INVALID_SORT_OPTION);
}
END_TEST

START_TEST(test_request_txn_operations_are_checked_like_their_own_requests)
{
    assert_txn("", ERR_OK);
    assert_txn("if mod(a)=1 then put(a=1) else get(a)", ERR_OK);
    assert_txn("if mod()=1 then put(a=1)", ERR_EMPTY_KEY);
    assert_txn("then put(=1)", ERR_EMPTY_KEY);
    assert_txn("then put(a=1,keepvalue)", ERR_VALUE_PROVIDED);
    assert_txn("then put(a,keeplease,lease=1)", ERR_LEASE_PROVIDED);
    assert_txn("then del(..b)", ERR_EMPTY_KEY);
    assert_txn("then get(..b)", ERR_EMPTY_KEY);
    assert_txn("then get(a,order=3)", ERR_INVALID_SORT_OPTION);
    assert_txn("then none", ERR_KEY_NOT_FOUND);
    assert_txn("else txn{then txn{else get(a,target=5)}}", ERR_INVALID_SORT_OPTION);
    assert_txn("then txn{if val()=x}", ERR_EMPTY_KEY);
}
END_TEST

static enum err check_union(const char *members, size_t size)
{
    struct request_txn_info info;
    struct buf txn;
    buf_init(&txn);
    buf_put_pb_bytes(&txn, 2, slice_make(members, size));
    enum err err = check_bytes(buf_slice(&txn), 128, &info);
    buf_deinit(&txn);
    return err;
}

/* The last member counts, but all of them stand in the log and are walked when unknown fields are dropped. */
START_TEST(test_request_txn_superseded_members_of_a_union_must_be_well_formed)
{
    ck_assert_int_eq(check_union("\x12\x03\x0a\x01" "a\x12\x03\x0a\x01" "b", 10), ERR_OK);
    ck_assert_int_eq(check_union("\x12\x00\x12\x03\x0a\x01" "b", 7), ERR_OK);        /* an empty key that nobody puts */
    ck_assert_int_eq(check_union("\x12\x03\x0a\x01" "a\x12\x00", 7), ERR_EMPTY_KEY);
    ck_assert_int_eq(check_union("\x12\x03\x0a\x09" "a\x12\x03\x0a\x01" "b", 10), ERR_MALFORMED);
    ck_assert_int_eq(check_union("\x0a\x02\x08\x01\x12\x03\x0a\x01" "b", 9), ERR_MALFORMED); /* its key is a number */
    ck_assert_int_eq(check_union("\x1a\x01\xff\x12\x03\x0a\x01" "b", 8), ERR_MALFORMED);
    ck_assert_int_eq(check_union("\x22\x00\x12\x03\x0a\x01" "b", 7), ERR_MALFORMED);    /* a transaction */
    ck_assert_int_eq(check_union("\x12\x03\x0a\x01" "b\x22\x00", 7), ERR_OK);
}
END_TEST

START_TEST(test_request_txn_errors_come_in_the_order_of_the_checks)
{
    assert_txn("if mod()=1 then none", ERR_EMPTY_KEY);                       /* compares before operations */
    assert_txn("then get(a,order=3) put(=1)", ERR_INVALID_SORT_OPTION);      /* operations in order */
    assert_txn("else put(=1) then none", ERR_KEY_NOT_FOUND);                 /* success before failure, as the list stands or not */
    assert_txn("then put(a=1) put(a=2) else none", ERR_KEY_NOT_FOUND);       /* overlaps last */
    assert_txn("then txn{then none} put(=1)", ERR_KEY_NOT_FOUND);            /* nested ones in their place */
}
END_TEST

START_TEST(test_request_txn_overlapping_writes_are_refused)
{
    assert_txn("then put(a=1) put(a=2)", ERR_DUPLICATE_KEY);
    assert_txn("else put(a=1) put(b=2) put(a=3)", ERR_DUPLICATE_KEY);
    assert_txn("then put(a=1) else put(a=2)", ERR_OK);
    assert_txn("then put(a=1) del(a)", ERR_DUPLICATE_KEY);
    assert_txn("then del(a) put(a=1)", ERR_DUPLICATE_KEY);
    assert_txn("then del(a..c) put(b=1)", ERR_DUPLICATE_KEY);
    assert_txn("then del(a..c) put(c=1)", ERR_OK); /* the end is not in the interval */
    assert_txn("then del(a..c) put(a=1)", ERR_DUPLICATE_KEY);
    assert_txn("then put(zz=1) del(a..*)", ERR_DUPLICATE_KEY);
    assert_txn("then put(A=1) del(a..*)", ERR_OK);
    assert_txn("then put(A=1) del(*..*)", ERR_DUPLICATE_KEY);
    assert_txn("then put(b=1) del(c..a)", ERR_OK); /* an empty interval */
    assert_txn("then del(a..c) del(b..d) del(b) get(b)", ERR_OK);
    assert_txn("then put(a=1) get(a..z)", ERR_OK);
    assert_txn("then del(a..c) else put(b=1)", ERR_OK);
    assert_txn("then put(ab=1) del(a) put(abc=1)", ERR_OK);
}
END_TEST

START_TEST(test_request_txn_overlaps_reach_into_nested_transactions)
{
    assert_txn("then put(a=1) txn{then put(a=2)}", ERR_DUPLICATE_KEY);
    assert_txn("then txn{else put(a=2)} put(a=1)", ERR_DUPLICATE_KEY);
    assert_txn("then txn{then put(a=1) else put(a=2)}", ERR_OK); /* only one of them runs */
    assert_txn("then txn{then put(a=1) else put(a=2)} put(b=1)", ERR_OK);
    assert_txn("then txn{then put(a=1)} txn{then put(a=2)}", ERR_DUPLICATE_KEY);
    assert_txn("then txn{then put(a=1)} txn{else put(a=2)}", ERR_DUPLICATE_KEY);
    assert_txn("then txn{then put(a=1)} else txn{then put(a=2)}", ERR_OK);
    assert_txn("then txn{then put(a=1)} del(a..b)", ERR_DUPLICATE_KEY);
    assert_txn("then put(a=1) txn{else del(a..b)}", ERR_DUPLICATE_KEY);
    assert_txn("then txn{then del(a) else put(a=1)}", ERR_OK);
    assert_txn("then txn{then del(a)} txn{then put(a=1)}", ERR_DUPLICATE_KEY);
    assert_txn("then txn{then put(a=1)} txn{then del(a)}", ERR_DUPLICATE_KEY);
    assert_txn("then txn{then txn{then txn{then put(x=1)}} else put(x=2)} del(y..*)", ERR_OK);
    assert_txn("then txn{then txn{then txn{then put(x=1)}} else put(x=2)} del(a..z)", ERR_DUPLICATE_KEY);
    assert_txn("then txn{then put(a=1) txn{then del(b..d) else put(c=1)} else del(a..z)} put(z=1)", ERR_OK);
}
END_TEST

/* n² reference of the overlap rule over random trees. */
struct leaf {
    bool is_put;
    char key, end; /* end 0 = single */
    int depth;
    uint8_t path[8]; /* per level: index of the operation << 1 | branch */
};
struct tree {
    struct leaf leaves[64];
    int count;
};

static void grow(struct rng *rng, struct tree *tree, struct leaf place, struct buf *out)
{
    for (uint32_t branch = 0; branch < 2; branch++) {
        uint64_t operations = rng_below(rng, place.depth == 0 ? 4 : 3);
        for (uint64_t i = 0; i < operations && tree->count < 60; i++) {
            struct leaf leaf = place;
            struct buf op, body;
            buf_init(&op);
            buf_init(&body);
            uint64_t kind = rng_below(rng, leaf.depth < 5 ? 3 : 2);
            leaf.path[leaf.depth] = (uint8_t)(i << 1 | branch);
            leaf.depth++;
            if (kind == 2) {
                grow(rng, tree, leaf, &body);
            } else {
                leaf.is_put = kind == 0;
                leaf.key = (char)('a' + rng_below(rng, 12));
                leaf.end = (char)(kind == 0 || rng_below(rng, 2) == 0 ? 0 : 'a' + rng_below(rng, 14));
                buf_put_pb_bytes(&body, 1, slice_make(&leaf.key, 1));
                if (leaf.end != 0) buf_put_pb_bytes(&body, 2, slice_make(&leaf.end, 1));
                tree->leaves[tree->count++] = leaf;
            }
            buf_put_pb_bytes(&op, kind == 2 ? 4 : kind == 0 ? 2 : 3, buf_slice(&body));
            buf_put_pb_bytes(out, 2 + branch, buf_slice(&op));
            buf_deinit(&body);
            buf_deinit(&op);
        }
    }
}

static bool exclude_each_other(const struct leaf *a, const struct leaf *b)
{
    for (int level = 0; level < a->depth && level < b->depth; level++) {
        if ((a->path[level] & 1) != (b->path[level] & 1)) return true; /* two branches of one transaction */
        if (a->path[level] != b->path[level]) return false;
    }
    return false;
}

static bool touches(const struct leaf *a, const struct leaf *b)
{
    if (!a->is_put && !b->is_put) return false;
    const struct leaf *put = a->is_put ? a : b, *other = a->is_put ? b : a;
    if (other->is_put || other->end == 0) return put->key == other->key;
    return put->key >= other->key && put->key < other->end;
}

START_TEST(test_request_txn_overlap_agrees_with_comparing_each_with_each)
{
    struct rng rng;
    int refused = 0, admitted = 0;
    rng_init(&rng, 7);
    for (int round = 0; round < 20000; round++) {
        struct tree tree = {.count = 0};
        struct buf bytes;
        struct request_txn_info info;
        buf_init(&bytes);
        buf_reserve(&bytes, 1);
        grow(&rng, &tree, (struct leaf){.depth = 0}, &bytes);
        bool overlaps = false;
        for (int a = 0; a < tree.count; a++)
            for (int b = 0; b < a; b++)
                overlaps = overlaps || (touches(&tree.leaves[a], &tree.leaves[b]) &&
                                        !exclude_each_other(&tree.leaves[a], &tree.leaves[b]));
        enum err err = check_bytes(buf_slice(&bytes), 128, &info);
        ck_assert_msg(err == (overlaps ? ERR_DUPLICATE_KEY : ERR_OK), "round %d: %s", round, err_name(err));
        refused += overlaps;
        admitted += !overlaps;
        buf_deinit(&bytes);
    }
    ck_assert_int_gt(refused, 1000);
    ck_assert_int_gt(admitted, 1000);
}
END_TEST

START_TEST(test_request_txn_allowance_of_operations_shrinks_with_nesting)
{
    struct request_txn_info info;
    struct buf bytes = kv_text_txn("then get(a) get(b) get(c)");
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 3, &info), ERR_OK);
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 2, &info), ERR_TOO_MANY_OPS);
    buf_deinit(&bytes);
    bytes = kv_text_txn("if mod(a)=1 mod(b)=1 then get(a) txn{then get(b) get(c)}");
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 4, &info), ERR_OK); /* 2, and 4 − 2 are left for the nested one */
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 3, &info), ERR_TOO_MANY_OPS);
    buf_deinit(&bytes);
    bytes = kv_text_txn("if mod(a)=1 mod(b)=1 mod(c)=1");
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 2, &info), ERR_TOO_MANY_OPS);
    buf_deinit(&bytes);
    bytes = kv_text_txn("if mod()=1 mod(b)=1"); /* the number is looked at before the keys */
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 1, &info), ERR_TOO_MANY_OPS);
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_request_txn_info_says_how_it_must_travel)
{
    static const struct {
        const char *text;
        bool is_read_only, is_serializable, has_put;
        uint64_t cost;
    } cases[] = {
        {"", true, true, false, 0},
        {"if mod(a)=1", true, true, false, 0},
        {"then get(a,local) else get(b,local)", true, true, false, 0},
        {"then get(a,local) else get(b)", true, false, false, 0},
        {"then get(a,local) else del(b)", false, false, false, 0},
        {"then txn{then get(a,local)}", false, false, false, 0},
        {"then put(a=1) put(bb=22) else put(c=333)", false, false, true, 256 * 2 + 6},
        {"then put(a=1) else put(c=1) txn{then put(d=1) else put(e=1) put(f=1)}", false, false, true, 256 * 3 + 6},
        {"else txn{else txn{then put(a=1)}}", false, false, true, 258},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct request_txn_info info;
        ck_assert_int_eq(check_txn(cases[i].text, &info), ERR_OK);
        ck_assert_msg(info.is_read_only == cases[i].is_read_only && info.is_serializable == cases[i].is_serializable &&
                          info.has_put == cases[i].has_put && info.cost_bytes == cases[i].cost,
                      "%s: cost %llu", cases[i].text, (unsigned long long)info.cost_bytes);
    }
}
END_TEST

/* A transaction nested `depth` deep: each one the only operation of the one around it. */
static struct buf nested(size_t depth)
{
    struct buf inner;
    buf_init(&inner);
    buf_reserve(&inner, 1);
    for (size_t i = 1; i < depth; i++) {
        struct buf op, outer;
        buf_init(&op);
        buf_init(&outer);
        buf_put_pb_bytes(&op, 4, buf_slice(&inner));
        buf_put_pb_bytes(&outer, 2, buf_slice(&op));
        buf_deinit(&op);
        buf_deinit(&inner);
        inner = outer;
    }
    return inner;
}

START_TEST(test_request_txn_nested_34_kb_deep_is_refused)
{
    struct request_txn_info info;
    struct buf bytes = nested(6000);
    ck_assert_uint_gt(bytes.size, 34 * 1024);
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), UINT32_MAX, &info), ERR_TOO_MANY_OPS);
    buf_deinit(&bytes);
    bytes = nested(REQUEST_DEPTH_MAX);
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 128, &info), ERR_OK);
    buf_deinit(&bytes);
    bytes = nested(REQUEST_DEPTH_MAX + 1);
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 128, &info), ERR_TOO_MANY_OPS);
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_request_txn_of_a_million_and_a_half_bytes_costs_little)
{
    struct request_txn_info info;
    struct buf bytes;
    buf_init(&bytes);
    for (int i = 0; i < 786432; i++) buf_put(&bytes, "\x12\x00", 2); /* empty operations */
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), 128, &info), ERR_TOO_MANY_OPS);
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), UINT32_MAX, &info), ERR_KEY_NOT_FOUND);
    buf_clear(&bytes);
    for (uint32_t i = 0; i < 140000; i++) { /* puts of different keys */
        uint8_t op[] = {0x12, 0x08, 0x12, 0x06, 0x0a, 0x04, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 1};
        buf_put(&bytes, op, sizeof op);
    }
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), UINT32_MAX, &info), ERR_OK);
    buf_put(&bytes, "\x12\x08\x12\x06\x0a\x04\x00\x00\x07\x01", 10); /* one of them again */
    ck_assert_int_eq(check_bytes(buf_slice(&bytes), UINT32_MAX, &info), ERR_DUPLICATE_KEY);
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_request_txn_beyond_the_arena_is_refused)
{
    struct arena arena;
    struct request_txn_info info;
    struct buf bytes = kv_text_txn("then put(a=1) put(b=1) put(c=1)");
    arena_init(&arena, 32);
    ck_assert_int_eq(request_check_txn(buf_slice(&bytes), &(struct request_limits){128}, &arena, &info), ERR_TOO_MANY_OPS);
    arena_deinit(&arena);
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_request_scan_finds_bad_text_and_bad_shape)
{
    static const uint32_t text_fields[] = {1, 3, 0};
    static const struct {
        const char *bytes;
        size_t size;
        enum err expected;
    } cases[] = {
        {"", 0, ERR_OK},
        {"\x0a\x04root", 6, ERR_OK},
        {"\x0a\x09root\0evil", 11, ERR_BAD_UTF8},
        {"\x12\x09root\0evil", 11, ERR_OK}, /* not a string field */
        {"\x1a\x02\xc3\xa4", 4, ERR_OK},
        {"\x1a\x01\xc3", 3, ERR_BAD_UTF8},             /* cut off */
        {"\x1a\x02\xc0\x80", 4, ERR_BAD_UTF8},         /* NUL in two bytes */
        {"\x1a\x03\xed\xa0\x80", 5, ERR_BAD_UTF8},     /* a surrogate */
        {"\x1a\x04\xf4\x90\x80\x80", 6, ERR_BAD_UTF8}, /* beyond the last code point */
        {"\x1a\x04\xf0\x9f\x98\x80", 6, ERR_OK},
        {"\x1a\x03\xe0\x80\xaf", 5, ERR_BAD_UTF8}, /* longer than needed */
        {"\x1a\x01\x80", 3, ERR_BAD_UTF8},
        {"\x0a\x09root", 6, ERR_MALFORMED},
        {"\x08\x01", 2, ERR_MALFORMED}, /* a string as a number */
        {"\x0b\x0c", 2, ERR_MALFORMED}, /* groups */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(request_scan(slice_make(cases[i].bytes, cases[i].size), text_fields) == cases[i].expected, "%zu", i);
    ck_assert_int_eq(request_scan(slice_make("\x0a\x01\x00", 3), NULL), ERR_OK);
}
END_TEST

static void mutate(struct rng *rng, struct buf *bytes)
{
    uint64_t changes = 1 + rng_below(rng, 4);
    for (uint64_t i = 0; i < changes && bytes->size > 0; i++) {
        uint8_t *at = bytes->blob->data + rng_below(rng, bytes->size);
        switch (rng_below(rng, 4)) {
        case 0: *at = (uint8_t)rng_next(rng); break;
        case 1: *at ^= (uint8_t)(1u << rng_below(rng, 8)); break;
        case 2: *at = (uint8_t)(*at + 1); break;
        default: bytes->size = 1 + rng_below(rng, bytes->size); break;
        }
    }
}

START_TEST(test_request_mutated_messages_never_crash)
{
    static const char *const texts[] = {
        "if mod(a)=3 val(b..c)>x lease(q)!=7 then put(a=1) del(b..d) get(c,rev=2,order=1) else txn{then get(a)} put(z,keepvalue)",
        "then txn{then txn{then txn{if ver(a)=0 then put(a=hello,ttl=99) else del(a..*)}}} put(b=1)",
        "then put(a=1) put(b=1) put(c=1) del(d) del(e..f) else put(a=1) txn{else put(k=1)}",
    };
    struct rng rng;
    int admitted = 0;
    rng_init(&rng, 11);
    for (int round = 0; round < 60000; round++) {
        struct buf bytes = kv_text_txn(texts[round % 3]);
        struct request_txn_info info;
        struct range_request range;
        int64_t revision;
        bool physical;
        mutate(&rng, &bytes);
        admitted += check_bytes(buf_slice(&bytes), 128, &info) == ERR_OK;
        (void)!request_check_put(buf_slice(&bytes));
        (void)!request_check_delete_range(buf_slice(&bytes));
        (void)!request_check_compaction(buf_slice(&bytes), &revision, &physical);
        (void)!range_parse(buf_slice(&bytes), &range);
        (void)!request_scan(buf_slice(&bytes), (const uint32_t[]){1, 2, 0});
        buf_deinit(&bytes);
    }
    ck_assert_int_gt(admitted, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request");
    TCase *tcase = tcase_create("checks");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_request_put_is_checked_key_value_lease);
    tcase_add_test(tcase, test_request_ttl_of_a_put_excludes_another_lease_and_has_a_range);
    tcase_add_test(tcase, test_request_leases_of_one_transaction_are_as_many_as_its_operations_may_be);
    tcase_add_test(tcase, test_request_cost_is_the_pair_and_256);
    tcase_add_test(tcase, test_request_delete_and_compaction_are_checked);
    tcase_add_test(tcase, test_request_range_is_checked_key_then_sort_options);
    tcase_add_test(tcase, test_request_txn_operations_are_checked_like_their_own_requests);
    tcase_add_test(tcase, test_request_txn_superseded_members_of_a_union_must_be_well_formed);
    tcase_add_test(tcase, test_request_txn_errors_come_in_the_order_of_the_checks);
    tcase_add_test(tcase, test_request_txn_overlapping_writes_are_refused);
    tcase_add_test(tcase, test_request_txn_overlaps_reach_into_nested_transactions);
    tcase_add_test(tcase, test_request_txn_overlap_agrees_with_comparing_each_with_each);
    tcase_add_test(tcase, test_request_txn_allowance_of_operations_shrinks_with_nesting);
    tcase_add_test(tcase, test_request_txn_info_says_how_it_must_travel);
    tcase_add_test(tcase, test_request_txn_nested_34_kb_deep_is_refused);
    tcase_add_test(tcase, test_request_txn_of_a_million_and_a_half_bytes_costs_little);
    tcase_add_test(tcase, test_request_txn_beyond_the_arena_is_refused);
    tcase_add_test(tcase, test_request_scan_finds_bad_text_and_bad_shape);
    tcase_add_test(tcase, test_request_mutated_messages_never_crash);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
