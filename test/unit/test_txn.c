/* Does a transaction decide on the state before it, run in order, answer as the API says, and do all or nothing? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/kv_rig.h"
#include "lib/kv_text.h"
#include "storage/range.h"
#include "storage/request.h"
#include "storage/txn_reader.h"

static struct kv_rig rig;
static void setup(void) { kv_rig_init(&rig); }
static void teardown(void) { kv_rig_deinit(&rig); }

static void assert_txn(const char *request, const char *expected) { ck_assert_str_eq(kv_rig_txn(&rig, request), expected); }

START_TEST(test_txn_empty_one_succeeds_and_changes_nothing)
{
    assert_txn("", "@1 yes[]");
    assert_txn("if mod(a)=0", "@1 yes[]");
    assert_txn("if mod(a)=1", "@1 no[]");
}
END_TEST

START_TEST(test_txn_takes_the_branch_that_the_compares_choose)
{
    kv_rig_put(&rig, "a=1");
    assert_txn("if mod(a)=2 then put(a=2) else put(x=1)", "@3 yes[put@3{}]");
    assert_txn("if mod(a)=2 then put(a=3) else get(a)", "@3 no[get@3{a=2/2.3.2} count=1]");
    assert_txn("if mod(a)=3 ver(a)=1 then put(a=3)", "@3 no[]"); /* all must hold */
}
END_TEST

START_TEST(test_txn_compare_operators_are_stored_operator_given)
{
    kv_rig_put(&rig, "a=m");
    kv_rig_put(&rig, "a=n");
    static const struct {
        const char *compare;
        bool holds;
    } cases[] = {
        {"ver(a)=2", true},     {"ver(a)!=2", false}, {"ver(a)>1", true},     {"ver(a)<2", false}, {"ver(a)<3", true},
        {"create(a)=2", true},  {"mod(a)=3", true},   {"mod(a)>3", false},    {"mod(a)>-1", true}, {"lease(a)=0", true},
        {"lease(a)!=7", true},  {"val(a)=n", true},   {"val(a)>m", true},     {"val(a)<na", true}, {"val(a)!=n", false},
        {"ver(x)=0", true},     {"mod(x)=0", true},   {"create(x)>0", false}, {"lease(x)=0", true},
        {"create(x)<1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "if %s", cases[i].compare);
        ck_assert_msg(strcmp(kv_rig_txn(&rig, text), cases[i].holds ? "@3 yes[]" : "@3 no[]") == 0, "%s", text);
    }
}
END_TEST

START_TEST(test_txn_compare_of_a_missing_value_is_false_whatever_the_operator)
{
    assert_txn("if val(x)=y", "@1 no[]");
    assert_txn("if val(x)!=y", "@1 no[]");
    assert_txn("if val(x)<y", "@1 no[]");
    assert_txn("if val(x)=", "@1 no[]"); /* not even the empty value */
    assert_txn("if val(a..*)!=y", "@1 no[]");
    kv_rig_put(&rig, "x");
    assert_txn("if val(x)=", "@2 yes[]"); /* an empty value is not an absent key */
}
END_TEST

START_TEST(test_txn_compare_of_an_interval_holds_for_every_key)
{
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "b=1");
    assert_txn("if val(a..c)=1", "@3 yes[]");
    assert_txn("if val(a..*)=1 mod(a..*)>1", "@3 yes[]");
    assert_txn("if mod(a..c)<3", "@3 no[]");
    assert_txn("if mod(x..z)=0", "@3 yes[]"); /* nothing there: as for the missing key */
    assert_txn("if mod(x..z)>0", "@3 no[]");
}
END_TEST

/* A transaction of one compare by its numbers; field 0 = nothing given. */
static const char *compare_raw(int64_t result, int64_t target, uint32_t field, const char *key)
{
    struct buf compare, txn;
    buf_init(&compare);
    buf_init(&txn);
    buf_put_pb_varint(&compare, 1, (uint64_t)result);
    buf_put_pb_varint(&compare, 2, (uint64_t)target);
    buf_put_pb_bytes(&compare, 3, slice_from_string(key));
    if (field == 7) buf_put_pb_bytes(&compare, 7, slice_from_string("9"));
    else if (field != 0) buf_put_pb_varint(&compare, field, 9);
    buf_put_pb_bytes(&txn, 1, buf_slice(&compare));
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_TXN, buf_slice(&txn)), ERR_OK);
    buf_deinit(&compare);
    buf_deinit(&txn);
    return rig.result.body != NULL ? "yes" : "no";
}

START_TEST(test_txn_compare_enums_out_of_range_and_mismatched_unions_are_as_the_api_says)
{
    kv_rig_put(&rig, "a=1");
    ck_assert_str_eq(compare_raw(0, 5, 4, "a"), "yes");  /* an unknown target is equal … */
    ck_assert_str_eq(compare_raw(3, 5, 4, "a"), "no");
    ck_assert_str_eq(compare_raw(0, -1, 4, "x"), "yes"); /* … for a missing key too */
    ck_assert_str_eq(compare_raw(4, 0, 4, "a"), "yes");  /* an unknown result is true */
    ck_assert_str_eq(compare_raw(4, 3, 7, "x"), "no");   /* but not for the value of a missing key */
    ck_assert_str_eq(compare_raw(1, 0, 0, "a"), "yes");  /* nothing given: version 1 > 0 */
    ck_assert_str_eq(compare_raw(1, 0, 6, "a"), "yes");  /* mod_revision 9 given for VERSION reads as 0 */
    ck_assert_str_eq(compare_raw(1, 3, 4, "a"), "yes");  /* a number given for VALUE reads as empty */
    ck_assert_str_eq(compare_raw(2, 3, 7, "a"), "yes");  /* "1" < "9" */
    ck_assert_str_eq(compare_raw(1, 2, 7, "a"), "yes");  /* a value given for MOD reads as 0 */
}
END_TEST

START_TEST(test_txn_nested_compares_see_the_state_before)
{
    assert_txn("then put(a=1) txn{if ver(a)=0 then put(b=1) else put(c=1)} txn{if ver(a)=1 then put(d=1)}",
               "@2 yes[put@2{} yes@0[put@2{}] no@0[]]");
    ck_assert_str_eq(kv_rig_range(&rig, "*..*"), "@2 get{a=1/2.2.1 b=1/2.2.1} count=2");
    assert_txn("then del(a) txn{if create(a)>0 then txn{if val(a)=1 then get(a)}}",
               "@3 yes[del@3 n=1{} yes@0[yes@0[get@3{} count=0]]]");
}
END_TEST

START_TEST(test_txn_ranges_see_the_writes_before_them)
{
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "c=1");
    assert_txn("then get(a) put(a=2) get(a) put(b=3) get(a..c) del(c) get(a..*,count) get(a,rev=2) get(c,rev=3)",
               "@4 yes[get@3{a=1/2.2.1} count=1 put@4{} get@4{a=2/2.4.2} count=1 put@4{} get@4{a=2/2.4.2 b=3/4.4.1} count=2 "
               "del@4 n=1{} get@4{} count=2 get@4{a=1/2.2.1} count=1 get@4{c=1/3.3.1} count=1]");
}
END_TEST

START_TEST(test_txn_nested_operations_carry_the_revision_so_far_and_nested_txns_none)
{
    kv_rig_put(&rig, "a=1");
    assert_txn("then del(x) get(x) txn{then del(x)} put(b=1) del(x) txn{then get(x)}",
               "@3 yes[del@2 n=0{} get@2{} count=0 yes@0[del@2 n=0{}] put@3{} del@3 n=0{} yes@0[get@3{} count=0]]");
    assert_txn("then txn{then txn{then put(z=1)}}", "@4 yes[yes@0[yes@0[put@4{}]]]");
}
END_TEST

START_TEST(test_txn_without_effect_keeps_the_revision)
{
    kv_rig_put(&rig, "a=1");
    assert_txn("then del(x) del(y..z) get(a)", "@2 yes[del@2 n=0{} del@2 n=0{} get@2{a=1/2.2.1} count=1]");
    assert_txn("if ver(a)=9 then put(a=2)", "@2 no[]");
    assert_txn("then put(a=1)", "@3 yes[put@3{}]"); /* the same value is an effect */
}
END_TEST

START_TEST(test_txn_all_changes_share_one_revision)
{
    assert_txn("then put(a=1) put(b=2) txn{then put(c=3)}", "@2 yes[put@2{} put@2{} yes@0[put@2{}]]");
    ck_assert_str_eq(kv_rig_range(&rig, "*..*"), "@2 get{a=1/2.2.1 b=2/2.2.1 c=3/2.2.1} count=3");
}
END_TEST

START_TEST(test_txn_previous_pairs_are_those_before_the_operation)
{
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "b=2");
    assert_txn("then put(a=9,prev) put(c=3,prev) del(b,prev)", "@4 yes[put@4{a=1/2.2.1} put@4{} del@4 n=1{b=2/3.3.1}]");
    assert_txn("then del(a..z,prev) del(a..z,prev)", "@5 yes[del@5 n=2{a=9/2.4.2 c=3/4.4.1} del@5 n=0{}]");
}
END_TEST

static void assert_refused(const char *request, const char *error)
{
    uint64_t before = kv_rig_hash(&rig);
    int64_t revision = mvcc_view_revision(mvcc_view(rig.mvcc));
    ck_assert_str_eq(kv_rig_txn(&rig, request), error);
    ck_assert_ptr_null(rig.result.body);
    ck_assert_int_eq(rig.result.revision, revision);
    ck_assert_uint_eq(kv_rig_hash(&rig), before);
}

START_TEST(test_txn_a_bad_lease_on_the_path_fails_all_of_it)
{
    kv_rig_put(&rig, "a=1");
    assert_refused("then put(b=1) put(c=1,lease=7)", "LEASE_NOT_FOUND");
    assert_refused("then put(b=1) txn{then put(c=1,lease=7)}", "LEASE_NOT_FOUND");
    assert_txn("then put(b=1) else put(c=1,lease=7)", "@3 yes[put@3{}]"); /* not on the path */
    assert_txn("then txn{if ver(q)=1 then put(c=1,lease=7)}", "@3 yes[no@0[]]");
}
END_TEST

static struct lease_set *leases_of(const struct kv_rig *of) { return state_machine_leases(of->machine); }

START_TEST(test_txn_puts_make_leases_on_the_path_that_is_taken_only)
{
    assert_txn("then put(a=1,ttl=60) get(a) txn{if ver(a)=0 then put(b=1,ttl=1) else put(c=1,ttl=9)} put(d=1) else put(e=1,ttl=5)",
               "@2 yes[put@2{}/l100/t60 get@2{a=1/2.2.1/l100} count=1 yes@0[put@2{}/l101/t2] put@2{}]");
    ck_assert_uint_eq(lease_set_count(leases_of(&rig)), 2);
    ck_assert_uint_eq(lease_set_key_count(leases_of(&rig)), 2);
    ck_assert_str_eq(kv_rig_range(&rig, "*..*"), "@2 get{a=1/2.2.1/l100 b=1/2.2.1/l101 d=1/2.2.1} count=3");
    assert_txn("if lease(a)=100 then txn{if lease(a)=100 then txn{then put(a,keepvalue,ttl=7)}}", "@3 yes[yes@0[yes@0[put@3{}/l200/t7]]]");
    ck_assert_uint_eq(lease_set_find(leases_of(&rig), 100)->key_count, 0); /* the key moved */
    assert_txn("then txn{if ver(q)=1 then put(c=1,ttl=7)}", "@3 yes[no@0[]]");
    ck_assert_uint_eq(lease_set_count(leases_of(&rig)), 3);
}
END_TEST

START_TEST(test_txn_that_is_refused_makes_no_lease)
{
    kv_rig_put(&rig, "a=1,ttl=5");
    uint64_t before = lease_set_hash(leases_of(&rig));
    assert_refused("then put(b=1,ttl=5) put(c=1,lease=7)", "LEASE_NOT_FOUND");
    assert_refused("then put(b=1,ttl=5) put(c,keepvalue,ttl=5)", "KEY_NOT_FOUND");
    assert_refused("then put(b=1,ttl=5) txn{then get(a,rev=9)}", "FUTURE_REV");
    ck_assert_uint_eq(lease_set_hash(leases_of(&rig)), before);
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, 60);
    buf_put_pb_varint(&body, 2, (rig.index + 2) * 100 + 1);
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_LEASE_GRANT, buf_slice(&body)), ERR_OK); /* of the id that the second one would get */
    before = lease_set_hash(leases_of(&rig));
    assert_refused("then put(b=1,ttl=5) put(c=1,ttl=5)", "LEASE_EXISTS");
    ck_assert_uint_eq(lease_set_hash(leases_of(&rig)), before);
    ck_assert_uint_eq(lease_set_count(leases_of(&rig)), 2);
    buf_deinit(&body);
}
END_TEST

START_TEST(test_txn_keeping_what_is_not_there_fails_all_of_it)
{
    kv_rig_put(&rig, "a=1");
    assert_refused("then put(b=1) put(c,keepvalue)", "KEY_NOT_FOUND");
    assert_refused("then del(a) put(c=1,keeplease)", "KEY_NOT_FOUND");
    assert_refused("then put(c,keepvalue,lease=7)", "KEY_NOT_FOUND"); /* in a transaction the key is asked for first */
    assert_txn("then put(a,keepvalue,prev)", "@3 yes[put@3{a=1/2.2.1}]");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@3 get{a=1/2.3.2} count=1");
}
END_TEST

START_TEST(test_txn_a_range_in_the_future_or_compacted_fails_all_of_it)
{
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "a=2");
    kv_rig_put(&rig, "a=3");
    ck_assert_int_eq(kv_rig_compact(&rig, 3, false), ERR_OK);
    assert_refused("then put(b=1) get(a,rev=2)", "COMPACTED");
    assert_refused("then put(b=1) get(a,rev=5)", "FUTURE_REV"); /* the transaction's own revision is in the future, too */
    assert_refused("then txn{then get(a,rev=2)} put(b=1)", "COMPACTED");
    assert_refused("then get(a,rev=9) put(b=1,lease=7)", "LEASE_NOT_FOUND"); /* puts are checked before ranges */
    assert_refused("then get(a,rev=9) get(a,rev=1)", "FUTURE_REV");          /* the first one counts */
    assert_refused("then get(a,rev=-1)", "COMPACTED"); /* "now" to a Range of its own, but not here */
    assert_txn("then put(b=1) get(a,rev=3)", "@5 yes[put@5{} get@5{a=2/2.3.2} count=1]");
    assert_txn("if ver(a)=0 then get(a,rev=1)", "@5 no[]");
}
END_TEST

START_TEST(test_txn_same_entries_give_the_same_state_with_and_without_replies)
{
    static const char *const requests[] = {
        "then put(a=1) put(b=2,prev) put(c=3)",
        "if ver(a)=1 then del(a..c,prev) get(a..*) txn{if val(c)=3 then put(d=9)} else put(x=1)",
        "then put(q=1,lease=3)",
        "then put(q=1,ttl=3) txn{if ver(c)=9 then put(w=1,ttl=3) else put(v=1,ttl=77) put(u,keepvalue,ttl=3)}",
        "then put(q=1,ttl=3) txn{if ver(c)=9 then put(w=1,ttl=3) else put(v=1,ttl=77) del(b)}",
        "then put(c,keepvalue) get(c,rev=99)",
        "then put(c,keepvalue) get(c,rev=1)",
        "else put(no=1)",
        "if mod(c)>0 then txn{then txn{then put(deep=1) get(*..*,order=2)} del(c)}",
        "then del(*..*)",
        "then del(*..*) get(a,rev=2)",
    };
    struct kv_rig silent;
    kv_rig_init(&silent);
    silent.wants_reply = false;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct buf request = kv_text_txn(requests[i]);
        enum err err = kv_rig_apply(&rig, COMMAND_TXN, buf_slice(&request));
        ck_assert_int_eq(kv_rig_apply(&silent, COMMAND_TXN, buf_slice(&request)), err);
        ck_assert_int_eq(silent.result.revision, rig.result.revision);
        ck_assert_ptr_null(silent.result.body);
        ck_assert_uint_eq(kv_rig_hash(&silent), kv_rig_hash(&rig));
        ck_assert_uint_eq(lease_set_hash(leases_of(&silent)), lease_set_hash(leases_of(&rig)));
        buf_deinit(&request);
    }
    kv_rig_deinit(&silent);
}
END_TEST

START_TEST(test_txn_long_and_deep_replies_are_whole)
{
    struct buf value, request, inner;
    buf_init(&value);
    memset(buf_extend(&value, 100000), 'v', 100000);
    mvcc_begin(rig.mvcc);
    mvcc_put(rig.mvcc, slice_from_string("a"), buf_slice(&value), 0);
    mvcc_commit(rig.mvcc);
    inner = kv_text_txn("then get(a) get(b) txn{then get(a,keys)}");
    for (int depth = 0; depth < REQUEST_DEPTH_MAX - 2; depth++) {
        struct buf op;
        buf_init(&op);
        buf_init(&request);
        buf_put_pb_bytes(&op, 4, buf_slice(&inner));
        buf_put_pb_bytes(&request, 2, buf_slice(&op));
        buf_deinit(&op);
        buf_deinit(&inner);
        inner = request;
    }
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_TXN, buf_slice(&inner)), ERR_OK);
    struct buf text = kv_text_of_txn(blob_slice(rig.result.body));
    const char *at = kv_text_string(&text);
    ck_assert_ptr_nonnull(strstr(at, "yes@0[yes@0[yes@0[get@2{a=vvv"));
    ck_assert_ptr_nonnull(strstr(at, "vvv/2.2.1} count=1 get@2{} count=0 yes@0[get@2{a=/2.2.1} count=1]]"));
    buf_deinit(&text);
    buf_deinit(&inner);
    buf_deinit(&value);
}
END_TEST

START_TEST(test_txn_revision_of_another_varint_length_is_written_right)
{
    for (int i = 2; i <= 127; i++) kv_rig_put(&rig, "a=1");
    assert_txn("then txn{then get(x)}", "@127 yes[yes@0[get@127{} count=0]]");
    assert_txn("then del(x) txn{then del(x)} put(b=1) txn{then del(x)}",
               "@128 yes[del@127 n=0{} yes@0[del@127 n=0{}] put@128{} yes@0[del@128 n=0{}]]");
}
END_TEST

/* A read-only transaction in steps of so many bytes. */
static enum err read_txn(const struct buf *request, size_t bytes_max, struct buf *out_body)
{
    struct txn_reader *reader = txn_reader_new(buf_slice(request), rig.mvcc);
    enum err err = ERR_OK;
    buf_init(out_body);
    enum range_progress progress = RANGE_MORE;
    for (int steps = 0; progress == RANGE_MORE; steps++) {
        ck_assert_int_lt(steps, 100000);
        progress = txn_reader_step(reader, mvcc_view(rig.mvcc), bytes_max, 3, out_body, &err);
    }
    if (progress == RANGE_DONE) ck_assert_int_eq(txn_reader_revision(reader), mvcc_view_revision(mvcc_view(rig.mvcc)));
    if (progress == RANGE_DONE) ck_assert_uint_eq(txn_reader_held_bytes(reader), 0);
    txn_reader_free(reader);
    return err;
}

START_TEST(test_txn_read_only_is_read_from_a_view)
{
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "a=2");
    struct buf request = kv_text_txn("if ver(a)=2 then get(a) get(a,rev=2) get(a..*,count) else get(x)");
    struct buf body;
    ck_assert_int_eq(read_txn(&request, 1u << 20, &body), ERR_OK);
    struct buf text = kv_text_of_txn(buf_slice(&body));
    ck_assert_str_eq(kv_text_string(&text), "yes[get@3{a=2/2.3.2} count=1 get@3{a=1/2.2.1} count=1 get@3{} count=1]");
    buf_deinit(&text);
    buf_deinit(&body);
    buf_deinit(&request);
    request = kv_text_txn("then get(a,rev=4)");
    ck_assert_int_eq(read_txn(&request, 1u << 20, &body), ERR_FUTURE_REV);
    buf_deinit(&body);
    buf_deinit(&request);
    request = kv_text_txn("if ver(a)=1"); /* nothing to say: no body */
    ck_assert_int_eq(read_txn(&request, 1u << 20, &body), ERR_OK);
    ck_assert_uint_eq(body.size, 0);
    buf_deinit(&body);
    buf_deinit(&request);
}
END_TEST

START_TEST(test_txn_read_only_in_steps_of_any_size_says_the_same)
{
    char pair[32];
    for (int i = 0; i < 60; i++) {
        snprintf(pair, sizeof pair, "k%02d=%d", i, i);
        kv_rig_put(&rig, pair);
    }
    struct buf request = kv_text_txn("if ver(k01)=1 then get(k..*) get(k05) get(k..*,rev=30) get(x) get(k..*,limit=7) get(k..*,count)");
    struct buf whole, body;
    ck_assert_int_eq(read_txn(&request, 1u << 20, &whole), ERR_OK);
    for (size_t bytes_max = 1; bytes_max < 3000; bytes_max += 97) {
        ck_assert_int_eq(read_txn(&request, bytes_max, &body), ERR_OK);
        ck_assert(slice_equal(buf_slice(&body), buf_slice(&whole)));
        buf_deinit(&body);
    }
    struct buf text = kv_text_of_txn(buf_slice(&whole));
    ck_assert_ptr_nonnull(strstr(kv_text_string(&text), "get@61{k05=5/7.7.1} count=1"));
    buf_deinit(&text);
    buf_deinit(&whole);
    buf_deinit(&request);
}
END_TEST

static enum range_progress step_txn(struct txn_reader *reader, struct buf *body, enum err *out_err)
{
    return txn_reader_step(reader, mvcc_view(rig.mvcc), 16, 3, body, out_err);
}

static void change_and_compact(int64_t revision)
{
    kv_rig_put(&rig, "k1=changed");
    kv_rig_put(&rig, "k4=new");
    if (revision == 0) return;
    ck_assert_int_eq(mvcc_compact(rig.mvcc, revision), ERR_OK);
    while (mvcc_compact_step(rig.mvcc, 1000)) mvcc_publish(rig.mvcc);
    mvcc_publish(rig.mvcc);
}

/* What is pinned stays, whatever is written and compacted between two steps. */
START_TEST(test_txn_read_only_sees_one_state_over_all_its_steps)
{
    kv_rig_put(&rig, "k1=a");
    kv_rig_put(&rig, "k2=b");
    kv_rig_put(&rig, "k3=c");
    kv_rig_put(&rig, "k1=d");
    struct buf request = kv_text_txn("then get(k..*) get(k1,rev=3) get(k..*,count)");
    struct txn_reader *reader = txn_reader_new(buf_slice(&request), rig.mvcc);
    struct buf body;
    enum err err = ERR_OK;
    buf_init(&body);
    ck_assert_int_eq(step_txn(reader, &body, &err), RANGE_MORE);
    change_and_compact(7);
    enum range_progress progress = RANGE_MORE;
    while (progress == RANGE_MORE) progress = step_txn(reader, &body, &err);
    ck_assert_int_eq(progress, RANGE_DONE);
    struct buf text = kv_text_of_txn(buf_slice(&body));
    ck_assert_str_eq(kv_text_string(&text), "yes[get@5{k1=d/2.5.2 k2=b/3.3.1 k3=c/4.4.1} count=3 get@5{k1=a/2.2.1} count=1 get@5{} count=3]");
    buf_deinit(&text);
    buf_deinit(&body);
    txn_reader_free(reader);
    buf_deinit(&request);
}
END_TEST

/* The pin comes at the end of the first step: a compaction published meanwhile refuses it. */
START_TEST(test_txn_read_only_overtaken_by_a_compaction_is_decided_anew)
{
    kv_rig_put(&rig, "k1=a");
    kv_rig_put(&rig, "k2=b");
    struct buf request = kv_text_txn("if ver(k1)=1 then get(k..*) get(k..*) else get(k1)");
    struct txn_reader *reader = txn_reader_new(buf_slice(&request), rig.mvcc);
    const struct mvcc_view *old = mvcc_view(rig.mvcc);
    struct buf body;
    enum err err = ERR_OK;
    buf_init(&body);
    rig.holds_retired = true; /* the old view is still read */
    kv_rig_put(&rig, "k1=changed");
    ck_assert_int_eq(mvcc_compact(rig.mvcc, 4), ERR_OK);
    mvcc_publish(rig.mvcc);
    ck_assert_int_eq(txn_reader_step(reader, old, 16, 3, &body, &err), RANGE_MORE);
    ck_assert_int_eq(txn_reader_revision(reader), 0);
    ck_assert_uint_eq(body.size + txn_reader_held_bytes(reader), 0);
    enum range_progress progress = RANGE_MORE;
    while (progress == RANGE_MORE) progress = step_txn(reader, &body, &err);
    ck_assert_int_eq(progress, RANGE_DONE);
    struct buf text = kv_text_of_txn(buf_slice(&body));
    ck_assert_str_eq(kv_text_string(&text), "no[get@4{k1=changed/2.4.2} count=1]");
    buf_deinit(&text);
    buf_deinit(&body);
    txn_reader_free(reader);
    buf_deinit(&request);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("txn");
    TCase *tcase = tcase_create("semantics");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_txn_empty_one_succeeds_and_changes_nothing);
    tcase_add_test(tcase, test_txn_takes_the_branch_that_the_compares_choose);
    tcase_add_test(tcase, test_txn_compare_operators_are_stored_operator_given);
    tcase_add_test(tcase, test_txn_compare_of_a_missing_value_is_false_whatever_the_operator);
    tcase_add_test(tcase, test_txn_compare_of_an_interval_holds_for_every_key);
    tcase_add_test(tcase, test_txn_compare_enums_out_of_range_and_mismatched_unions_are_as_the_api_says);
    tcase_add_test(tcase, test_txn_nested_compares_see_the_state_before);
    tcase_add_test(tcase, test_txn_ranges_see_the_writes_before_them);
    tcase_add_test(tcase, test_txn_nested_operations_carry_the_revision_so_far_and_nested_txns_none);
    tcase_add_test(tcase, test_txn_without_effect_keeps_the_revision);
    tcase_add_test(tcase, test_txn_all_changes_share_one_revision);
    tcase_add_test(tcase, test_txn_previous_pairs_are_those_before_the_operation);
    tcase_add_test(tcase, test_txn_puts_make_leases_on_the_path_that_is_taken_only);
    tcase_add_test(tcase, test_txn_that_is_refused_makes_no_lease);
    tcase_add_test(tcase, test_txn_a_bad_lease_on_the_path_fails_all_of_it);
    tcase_add_test(tcase, test_txn_keeping_what_is_not_there_fails_all_of_it);
    tcase_add_test(tcase, test_txn_a_range_in_the_future_or_compacted_fails_all_of_it);
    tcase_add_test(tcase, test_txn_same_entries_give_the_same_state_with_and_without_replies);
    tcase_add_test(tcase, test_txn_long_and_deep_replies_are_whole);
    tcase_add_test(tcase, test_txn_revision_of_another_varint_length_is_written_right);
    tcase_add_test(tcase, test_txn_read_only_is_read_from_a_view);
    tcase_add_test(tcase, test_txn_read_only_in_steps_of_any_size_says_the_same);
    tcase_add_test(tcase, test_txn_read_only_sees_one_state_over_all_its_steps);
    tcase_add_test(tcase, test_txn_read_only_overtaken_by_a_compaction_is_decided_anew);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
