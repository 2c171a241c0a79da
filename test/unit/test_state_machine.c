/* Does each kind of entry do what the API says, once, on every member alike, and does a refused one leave nothing behind? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "lib/kv_rig.h"
#include "lib/kv_text.h"
#include "storage/lease_request.h"
#include "storage/request.h"

static struct kv_rig rig;
static void setup(void) { kv_rig_init(&rig); }
static void teardown(void) { kv_rig_deinit(&rig); }

START_TEST(test_state_machine_fresh_store_is_at_revision_1)
{
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@1 get{} count=0");
    ck_assert_str_eq(kv_rig_put(&rig, "a=1"), "@2 put{}");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@2 get{a=1/2.2.1} count=1");
}
END_TEST

START_TEST(test_state_machine_put_counts_versions_and_a_delete_ends_them)
{
    kv_rig_put(&rig, "a=1");
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,prev"), "@3 put{a=1/2.2.1}"); /* the same value still is a write */
    ck_assert_str_eq(kv_rig_delete(&rig, "a,prev"), "@4 del n=1{a=1/2.3.2}");
    ck_assert_str_eq(kv_rig_put(&rig, "a=2,prev"), "@5 put{}");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@5 get{a=2/5.5.1} count=1");
}
END_TEST

START_TEST(test_state_machine_delete_of_nothing_keeps_the_revision)
{
    kv_rig_put(&rig, "a=1");
    ck_assert_str_eq(kv_rig_delete(&rig, "x,prev"), "@2 del n=0{}");
    ck_assert_str_eq(kv_rig_delete(&rig, "b..a"), "@2 del n=0{}");
    ck_assert_ptr_null(rig.result.body);
}
END_TEST

START_TEST(test_state_machine_delete_takes_the_interval_in_key_order)
{
    kv_rig_put(&rig, "b=2");
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "c=3");
    ck_assert_str_eq(kv_rig_delete(&rig, "a..c,prev"), "@5 del n=2{a=1/3.3.1 b=2/2.2.1}");
    ck_assert_str_eq(kv_rig_delete(&rig, "*..*"), "@6 del n=1{}");
    ck_assert_str_eq(kv_rig_range(&rig, "*..*"), "@6 get{} count=0");
}
END_TEST

START_TEST(test_state_machine_put_may_keep_value_or_lease)
{
    kv_rig_put(&rig, "a=1");
    ck_assert_str_eq(kv_rig_put(&rig, "a,keepvalue,prev"), "@3 put{a=1/2.2.1}");
    ck_assert_str_eq(kv_rig_put(&rig, "a=2,keeplease"), "@4 put{}");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@4 get{a=2/2.4.3} count=1");
    ck_assert_str_eq(kv_rig_put(&rig, "x,keepvalue"), "KEY_NOT_FOUND");
    ck_assert_str_eq(kv_rig_put(&rig, "x=1,keeplease"), "KEY_NOT_FOUND");
    ck_assert_int_eq(rig.result.revision, 4);
}
END_TEST

START_TEST(test_state_machine_put_keeps_the_lease_that_the_pair_has)
{
    mvcc_begin(rig.mvcc);
    mvcc_put(rig.mvcc, slice_from_string("a"), slice_from_string("1"), 99);
    mvcc_commit(rig.mvcc);
    mvcc_publish(rig.mvcc);
    kv_rig_put(&rig, "a=2,keeplease");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@3 get{a=2/2.3.2/l99} count=1");
    kv_rig_put(&rig, "a,keepvalue");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@4 get{a=2/2.4.3} count=1"); /* no lease given: detached */
}
END_TEST

START_TEST(test_state_machine_put_under_an_unknown_lease_is_refused_before_all_else)
{
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,lease=5"), "LEASE_NOT_FOUND");
    ck_assert_str_eq(kv_rig_put(&rig, "a,keepvalue,lease=5"), "LEASE_NOT_FOUND");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@1 get{} count=0");
}
END_TEST

/* --- leases --- */

static struct lease_set *leases(void) { return state_machine_leases(rig.machine); }

static enum err lease_command(enum command_kind kind, uint64_t first, uint64_t second)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, first);
    if (second != 0) buf_put_pb_varint(&body, 2, second);
    enum err err = kv_rig_apply(&rig, kind, buf_slice(&body));
    buf_deinit(&body);
    return err;
}
static enum err grant(uint64_t id) { return lease_command(COMMAND_LEASE_GRANT, 60, id); }

START_TEST(test_state_machine_keys_of_a_lease_go_with_it_in_one_revision)
{
    ck_assert_int_eq(grant(7), ERR_OK);
    ck_assert_int_eq(rig.result.revision, 1);
    ck_assert(slice_equal(blob_slice(rig.result.body), slice_make("\x10\x07\x18\x3c", 4)));
    ck_assert_int_eq(grant(7), ERR_LEASE_EXISTS);
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,lease=7"), "@2 put{}");
    ck_assert_str_eq(kv_rig_txn(&rig, "then put(c=1,lease=7) put(b=1,lease=7) put(d=1)"), "@3 yes[put@3{} put@3{} put@3{}]");
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 8, 0), ERR_LEASE_NOT_FOUND);
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 7, 0), ERR_OK);
    ck_assert_int_eq(rig.result.revision, 4);
    ck_assert_str_eq(kv_rig_range(&rig, "*..*"), "@4 get{d=1/3.3.1} count=1");
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 7, 0), ERR_LEASE_NOT_FOUND);
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,lease=7"), "LEASE_NOT_FOUND");
}
END_TEST

START_TEST(test_state_machine_a_key_belongs_to_the_lease_of_its_newest_version)
{
    ck_assert(grant(7) == ERR_OK && grant(8) == ERR_OK);
    kv_rig_put(&rig, "moved=1,lease=7");
    kv_rig_put(&rig, "moved=2,lease=8");
    kv_rig_put(&rig, "loose=1,lease=7");
    kv_rig_put(&rig, "loose=2");
    kv_rig_put(&rig, "kept=1,lease=7");
    kv_rig_put(&rig, "kept=2,keeplease");
    kv_rig_put(&rig, "again=1,lease=7");
    kv_rig_delete(&rig, "again");
    kv_rig_put(&rig, "again=2");
    ck_assert_uint_eq(lease_set_key_count(state_machine_leases(rig.machine)), 2);
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 7, 0), ERR_OK);
    ck_assert_str_eq(kv_rig_range(&rig, "*..*,keys"), "@11 get{again=/10.10.1 loose=/4.5.2 moved=/2.3.2/l8} count=3");
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 8, 0), ERR_OK);
    ck_assert_int_eq(rig.result.revision, 12);
    ck_assert_uint_eq(lease_set_hash(state_machine_leases(rig.machine)), 0);
}
END_TEST

static enum err expire(int64_t id, uint64_t granted_index)
{
    struct buf body;
    buf_init(&body);
    lease_request_put_expiry(&(struct lease_request_expiry){.id = id, .granted_index = granted_index}, &body);
    lease_request_put_expiry(&(struct lease_request_expiry){.id = id + 1000, .granted_index = granted_index}, &body); /* none of these */
    enum err err = kv_rig_apply(&rig, COMMAND_LEASE_EXPIRE, buf_slice(&body));
    buf_deinit(&body);
    return err;
}

static enum err checkpoint(int64_t id, int64_t remaining, uint64_t granted_index)
{
    struct buf body;
    buf_init(&body);
    lease_request_put_checkpoint(
        &(struct lease_request_checkpoint){.id = id, .remaining = remaining, .granted_index = granted_index, .number = rig.index}, &body);
    enum err err = kv_rig_apply(&rig, COMMAND_LEASE_CHECKPOINT, buf_slice(&body));
    buf_deinit(&body);
    return err;
}

START_TEST(test_state_machine_an_expiry_ends_the_lease_that_it_means_and_no_later_one_of_its_id)
{
    ck_assert_int_eq(grant(7), ERR_OK);
    uint64_t first = rig.index;
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 7, 0), ERR_OK);
    ck_assert_int_eq(grant(7), ERR_OK);
    uint64_t second = rig.index;
    kv_rig_put(&rig, "a=1,lease=7");
    ck_assert_int_eq(expire(7, first), ERR_OK);
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@2 get{a=1/2.2.1/l7} count=1");
    ck_assert_int_eq(expire(7, second), ERR_OK);
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@3 get{} count=0");
    ck_assert_int_eq(expire(7, second), ERR_OK);
    ck_assert_int_eq(rig.result.revision, 3);
}
END_TEST

START_TEST(test_state_machine_several_leases_end_by_one_entry_each_in_a_revision_of_its_own)
{
    struct buf body;
    buf_init(&body);
    for (int64_t id = 7; id < 10; id++) {
        ck_assert_int_eq(grant((uint64_t)id), ERR_OK);
        lease_request_put_expiry(&(struct lease_request_expiry){.id = id, .granted_index = rig.index}, &body);
    }
    ck_assert_str_eq(kv_rig_txn(&rig, "then put(a=1,lease=7) put(b=1,lease=7) put(c=1,lease=9)"), "@2 yes[put@2{} put@2{} put@2{}]");
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_LEASE_EXPIRE, buf_slice(&body)), ERR_OK);
    ck_assert_int_eq(rig.result.revision, 4); /* two of them had keys */
    ck_assert_uint_eq(lease_set_count(leases()), 0);
    buf_deinit(&body);
}
END_TEST

START_TEST(test_state_machine_a_checkpoint_is_of_the_lease_that_it_means_and_can_be_taken_back)
{
    ck_assert_int_eq(grant(7), ERR_OK);
    uint64_t first = rig.index, hash = state_machine_hash(rig.machine);
    ck_assert_int_eq(checkpoint(7, 20, first), ERR_OK);
    ck_assert_int_eq(lease_set_row(leases(), lease_set_find(leases(), 7))->remaining, 20);
    ck_assert_uint_ne(state_machine_hash(rig.machine), hash); /* members that differ in it are told apart */
    ck_assert_int_eq(checkpoint(7, 0, first), ERR_OK);
    ck_assert_uint_eq(state_machine_hash(rig.machine), hash);
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 7, 0), ERR_OK);
    ck_assert_int_eq(grant(7), ERR_OK);
    ck_assert_int_eq(checkpoint(7, 20, first), ERR_OK);
    ck_assert_int_eq(checkpoint(8, 20, first), ERR_OK);
    ck_assert_int_eq(lease_set_row(leases(), lease_set_find(leases(), 7))->remaining, 0);
    ck_assert_int_eq(rig.result.revision, 1);
}
END_TEST

START_TEST(test_state_machine_put_with_a_ttl_makes_attaches_and_answers_its_lease)
{
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,ttl=60"), "@2 put{}/l100/t60");
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@2 get{a=1/2.2.1/l100} count=1");
    struct lease *lease = lease_set_find(leases(), 100);
    ck_assert(lease != NULL && lease->key_count == 1 && lease_set_row(leases(), lease)->ttl == 60);
    ck_assert_uint_eq(lease_set_row(leases(), lease)->granted_index, rig.index);
    ck_assert_ptr_eq(lease_set_first_unarmed(leases()), lease);
    ck_assert_str_eq(kv_rig_put(&rig, "a=2,prev,ttl=1"), "@3 put{a=1/2.2.1/l100}/l200/t2"); /* no shorter than a grant's */
    ck_assert_str_eq(kv_rig_put(&rig, "b=1,lease=200"), "@4 put{}");                    /* anybody may attach to it */
    ck_assert_int_eq(lease_command(COMMAND_LEASE_REVOKE, 200, 0), ERR_OK);
    ck_assert_int_eq(rig.result.revision, 5);
    ck_assert_str_eq(kv_rig_range(&rig, "*..*"), "@5 get{} count=0");
    ck_assert_uint_eq(lease_set_count(leases()), 1); /* the first one lives on, without keys */
    ck_assert_int_eq(expire(100, 1), ERR_OK);
    ck_assert_uint_eq(lease_set_count(leases()), 0);
    ck_assert_int_eq(rig.result.revision, 5);
}
END_TEST

START_TEST(test_state_machine_put_with_a_ttl_that_is_refused_makes_no_lease)
{
    ck_assert_int_eq(grant((rig.index + 2) * 100), ERR_OK); /* as the next put's would be */
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,ttl=60"), "LEASE_EXISTS");
    ck_assert_str_eq(kv_rig_put(&rig, "a,keepvalue,ttl=60"), "KEY_NOT_FOUND");
    ck_assert_ptr_null(rig.result.body);
    ck_assert_uint_eq(lease_set_count(leases()), 1);
    ck_assert_str_eq(kv_rig_range(&rig, "a"), "@1 get{} count=0");
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,ttl=60"), "@2 put{}/l400/t60");
}
END_TEST

/* What a member of level 1 wrote has no TTL for anybody, as it had none for that member. */
START_TEST(test_state_machine_a_ttl_below_its_level_means_nothing)
{
    rig.level = COMMAND_LEVEL_FIRST;
    ck_assert_str_eq(kv_rig_put(&rig, "a=1,ttl=60"), "@2 put{}");
    ck_assert_str_eq(kv_rig_txn(&rig, "then put(b=1,ttl=60)"), "@3 yes[put@3{}]");
    ck_assert_uint_eq(lease_set_count(leases()), 0);
    ck_assert_str_eq(kv_rig_range(&rig, "*..*"), "@3 get{a=1/2.2.1 b=1/3.3.1} count=2");
}
END_TEST

START_TEST(test_state_machine_put_without_an_id_for_its_lease_stops_the_node)
{
    rig.lease_ids = 0;
    (void)kv_rig_put(&rig, "a=1,ttl=60");
}
END_TEST

START_TEST(test_state_machine_compaction_is_between_mark_and_current)
{
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "a=2");
    kv_rig_put(&rig, "a=3");
    ck_assert_int_eq(kv_rig_compact(&rig, 5, false), ERR_FUTURE_REV);
    ck_assert_int_eq(kv_rig_compact(&rig, 0, false), ERR_COMPACTED);
    ck_assert_int_eq(kv_rig_compact(&rig, -3, true), ERR_COMPACTED);
    ck_assert_int_eq(rig.result.wait_compacted, 0);
    ck_assert_int_eq(kv_rig_compact(&rig, 3, false), ERR_OK);
    ck_assert_int_eq(rig.result.revision, 4); /* current, not the compacted one, and not raised */
    ck_assert_int_eq(rig.result.wait_compacted, 0);
    ck_assert_int_eq(kv_rig_compact(&rig, 3, false), ERR_COMPACTED);
    ck_assert_int_eq(kv_rig_compact(&rig, 4, true), ERR_OK);
    ck_assert_int_eq(rig.result.wait_compacted, 4);
    ck_assert_int_eq(mvcc_view_compact_revision(mvcc_view(rig.mvcc)), 4);
}
END_TEST

static void apply_entry(enum raft_entry_kind kind, struct slice members)
{
    struct raft_entry entry = {.index = ++rig.index, .term = 1, .kind = kind};
    struct state_machine_result result;
    state_machine_apply(rig.machine, &entry, members, true, &result);
    state_machine_publish(rig.machine);
    ck_assert(result.err == ERR_OK && !result.has_id && result.body == NULL && result.revision == 1);
}

START_TEST(test_state_machine_empty_entries_only_move_the_index)
{
    apply_entry(RAFT_ENTRY_EMPTY, slice_empty());
    apply_entry(RAFT_ENTRY_CONF, slice_empty());
    ck_assert_uint_eq(state_machine_applied_index(rig.machine), 2);
    ck_assert_uint_eq(state_machine_cluster(rig.machine)->member_count, 2);
}
END_TEST

START_TEST(test_state_machine_publishes_versions_and_attributes_to_readers)
{
    uint64_t id = state_machine_cluster(rig.machine)->members[1].id;
    struct buf request, attributes;
    buf_init(&request);
    buf_init(&attributes);
    buf_put_pb_bytes(&request, 1, slice_from_string("3.6.0"));
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_CLUSTER_VERSION_SET, buf_slice(&request)), ERR_OK);
    ck_assert_str_eq(state_machine_cluster(rig.machine)->version, "3.6.0");
    buf_put_pb_bytes(&attributes, 1, slice_from_string("node-a"));
    buf_put_pb_bytes(&attributes, 2, slice_from_string("http://a:2379"));
    buf_put_pb_bytes(&attributes, 2, slice_from_string("http://b:2379"));
    buf_clear(&request);
    buf_put_pb_varint(&request, 1, id);
    buf_put_pb_bytes(&request, 2, buf_slice(&attributes));
    rig.holds_retired = true;
    const struct cluster *before = state_machine_cluster(rig.machine);
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_CLUSTER_MEMBER_ATTR_SET, buf_slice(&request)), ERR_OK);
    const struct cluster_member *member = cluster_find(state_machine_cluster(rig.machine), id);
    ck_assert_str_eq(member->name, "node-a");
    ck_assert_uint_eq(member->client_url_count, 2);
    ck_assert_str_eq(member->client_urls[1], "http://b:2379");
    ck_assert_str_eq(state_machine_cluster(rig.machine)->version, "3.6.0");
    ck_assert_str_eq(cluster_find(before, id)->name, ""); /* a reader's old one is still whole */
    buf_clear(&request);
    buf_put_pb_varint(&request, 1, 12345);
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_CLUSTER_MEMBER_ATTR_SET, buf_slice(&request)), ERR_MEMBER_NOT_FOUND);
    buf_deinit(&request);
    buf_deinit(&attributes);
}
END_TEST

START_TEST(test_state_machine_configuration_keeps_what_members_said_of_themselves)
{
    char *urls[] = {(char[]){"http://a:1"}};
    const struct cluster *old = state_machine_cluster(rig.machine);
    uint64_t id = old->members[0].id;
    struct buf request, attributes;
    buf_init(&request);
    buf_init(&attributes);
    buf_put_pb_bytes(&attributes, 1, slice_from_string("first"));
    buf_put_pb_varint(&request, 1, id);
    buf_put_pb_bytes(&request, 2, buf_slice(&attributes));
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_CLUSTER_MEMBER_ATTR_SET, buf_slice(&request)), ERR_OK);
    char message[200];
    struct cluster *other = cluster_from_initial("a=http://127.0.0.1:2380,b=http://127.0.0.1:2381,c=http://127.0.0.1:2382", "rig",
                                                 message, sizeof message);
    struct cluster *claimed = cluster_with_attributes(other, id, "somebody else", urls, 1);
    struct blob *members = cluster_encode_members(claimed);
    apply_entry(RAFT_ENTRY_CONF, blob_slice(members));
    const struct cluster *now = state_machine_cluster(rig.machine);
    ck_assert_uint_eq(now->member_count, 3);
    ck_assert_str_eq(cluster_find(now, id)->name, "first");
    ck_assert_uint_eq(cluster_find(now, id)->client_url_count, 0);
    blob_unref(members);
    cluster_unref(claimed);
    cluster_unref(other);
    buf_deinit(&request);
    buf_deinit(&attributes);
}
END_TEST

START_TEST(test_state_machine_unknown_command_stops_the_node)
{
    struct command command = {.level = 1, .kind = COMMAND_PUT, .id = {1, 2, 3}};
    struct blob *data = command_encode(&command);
    data->data[3] = 9; /* its level */
    struct raft_entry entry = {.index = 1, .term = 1, .kind = RAFT_ENTRY_COMMAND, .data = data};
    struct state_machine_result result;
    state_machine_apply(rig.machine, &entry, slice_empty(), true, &result);
}
END_TEST

START_TEST(test_state_machine_damaged_body_stops_the_node)
{
    (void)!kv_rig_apply(&rig, COMMAND_PUT, slice_from_string("\x0a\x05x"));
}
END_TEST

START_TEST(test_state_machine_unknown_entry_kind_stops_the_node)
{
    struct raft_entry entry = {.index = 1, .term = 1, .kind = (enum raft_entry_kind)9};
    struct state_machine_result result;
    state_machine_apply(rig.machine, &entry, slice_empty(), true, &result);
}
END_TEST

/* --- determinism --------------------------------------------------------------------------------------------------------------- */

static void random_put(struct rng *rng, struct buf *out)
{
    char text[64];
    static const char *const options[] = {"", "", "", ",prev", ",lease=4", ",prev", ",ttl=9"};
    snprintf(text, sizeof text, "k%d=%d%s", (int)rng_below(rng, 20), (int)rng_below(rng, 1000), options[rng_below(rng, 7)]);
    if (rng_below(rng, 8) == 0) snprintf(text, sizeof text, "k%d,keepvalue,prev", (int)rng_below(rng, 20));
    *out = kv_text_put(text);
}

static void random_delete(struct rng *rng, struct buf *out)
{
    char text[64];
    snprintf(text, sizeof text, "k%d..k%d%s", (int)rng_below(rng, 20), (int)rng_below(rng, 20), rng_below(rng, 2) ? ",prev" : "");
    *out = kv_text_delete(text);
}

static void random_txn(struct rng *rng, struct buf *out)
{
    char text[400];
    snprintf(text, sizeof text,
             "if ver(k%d)%c%d mod(k%d)>%d then put(k%d=%d,prev) get(k..l,rev=%d) txn{if val(k%d)!=5 then put(t%d=1) else "
             "del(u..v,prev)} else del(k%d..k%d) get(*..*,limit=3,order=2) put(w,keepvalue)",
             (int)rng_below(rng, 20), "=<>"[rng_below(rng, 3)], (int)rng_below(rng, 3), (int)rng_below(rng, 20),
             (int)rng_below(rng, 50), (int)rng_below(rng, 20), (int)rng_below(rng, 9), (int)rng_below(rng, 60),
             (int)rng_below(rng, 20), (int)rng_below(rng, 5), (int)rng_below(rng, 20), (int)rng_below(rng, 20));
    *out = kv_text_txn(text);
}

START_TEST(test_state_machine_members_with_and_without_a_caller_stay_equal)
{
    struct kv_rig silent;
    struct rng rng;
    int refused = 0;
    kv_rig_init(&silent);
    silent.wants_reply = false;
    rng_init(&rng, 21);
    kv_rig_put(&rig, "w=1");
    kv_rig_put(&silent, "w=1");
    for (int i = 0; i < 3000; i++) {
        struct buf request;
        enum command_kind kind = COMMAND_PUT;
        uint64_t chance = rng_below(&rng, 10);
        if (chance < 5) {
            random_put(&rng, &request);
        } else if (chance < 6) {
            kind = COMMAND_DELETE_RANGE;
            random_delete(&rng, &request);
        } else if (chance < 9) {
            kind = COMMAND_TXN;
            random_txn(&rng, &request);
        } else {
            kind = COMMAND_COMPACTION;
            buf_init(&request);
            buf_put_pb_varint(&request, 1, rng_below(&rng, (uint64_t)rig.result.revision + 3));
        }
        enum err err = kv_rig_apply(&rig, kind, buf_slice(&request));
        ck_assert_int_eq(kv_rig_apply(&silent, kind, buf_slice(&request)), err);
        ck_assert_int_eq(silent.result.revision, rig.result.revision);
        ck_assert_uint_eq(kv_rig_hash(&silent), kv_rig_hash(&rig));
        refused += err != ERR_OK;
        if (i % 3 == 0) (void)mvcc_compact_step(rig.mvcc, 5); /* one member cleans up, the other does not */
        buf_deinit(&request);
    }
    ck_assert_int_gt(refused, 100);
    kv_rig_deinit(&silent);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state_machine");
    TCase *tcase = tcase_create("entries");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_state_machine_put_with_a_ttl_makes_attaches_and_answers_its_lease);
    tcase_add_test(tcase, test_state_machine_put_with_a_ttl_that_is_refused_makes_no_lease);
    tcase_add_test(tcase, test_state_machine_a_ttl_below_its_level_means_nothing);
    tcase_add_test(tcase, test_state_machine_keys_of_a_lease_go_with_it_in_one_revision);
    tcase_add_test(tcase, test_state_machine_a_key_belongs_to_the_lease_of_its_newest_version);
    tcase_add_test(tcase, test_state_machine_an_expiry_ends_the_lease_that_it_means_and_no_later_one_of_its_id);
    tcase_add_test(tcase, test_state_machine_several_leases_end_by_one_entry_each_in_a_revision_of_its_own);
    tcase_add_test(tcase, test_state_machine_a_checkpoint_is_of_the_lease_that_it_means_and_can_be_taken_back);
    tcase_add_test(tcase, test_state_machine_fresh_store_is_at_revision_1);
    tcase_add_test(tcase, test_state_machine_put_counts_versions_and_a_delete_ends_them);
    tcase_add_test(tcase, test_state_machine_delete_of_nothing_keeps_the_revision);
    tcase_add_test(tcase, test_state_machine_delete_takes_the_interval_in_key_order);
    tcase_add_test(tcase, test_state_machine_put_may_keep_value_or_lease);
    tcase_add_test(tcase, test_state_machine_put_keeps_the_lease_that_the_pair_has);
    tcase_add_test(tcase, test_state_machine_put_under_an_unknown_lease_is_refused_before_all_else);
    tcase_add_test(tcase, test_state_machine_compaction_is_between_mark_and_current);
    tcase_add_test(tcase, test_state_machine_empty_entries_only_move_the_index);
    tcase_add_test(tcase, test_state_machine_publishes_versions_and_attributes_to_readers);
    tcase_add_test(tcase, test_state_machine_configuration_keeps_what_members_said_of_themselves);
    tcase_add_exit_test(tcase, test_state_machine_unknown_command_stops_the_node, 3);
    tcase_add_exit_test(tcase, test_state_machine_damaged_body_stops_the_node, 3);
    tcase_add_exit_test(tcase, test_state_machine_put_without_an_id_for_its_lease_stops_the_node, 3);
    tcase_add_exit_test(tcase, test_state_machine_unknown_entry_kind_stops_the_node, 3);
    tcase_add_test(tcase, test_state_machine_members_with_and_without_a_caller_stay_equal);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
