/* test_snapshot_machine: a state machine that began with a snapshot, or had one installed, is the one that applied every entry. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/kv_rig.h"
#include "lib/kv_text.h"
#include "lib/snapshot_rig.h"
#include "storage/alarm.h"
#include "storage/txn_reader.h"

struct disk {
    struct fs_sim_disk *disk;
    struct fs *fs;
};
static struct disk disk;
static struct kv_rig leader, follower;

static void setup(void)
{
    disk.disk = fs_sim_disk_new();
    disk.fs = fs_sim_new(disk.disk, true);
    snapshot_rig_make_dir(disk.fs);
    kv_rig_init(&leader);
    kv_rig_init(&follower);
}
static void teardown(void)
{
    kv_rig_deinit(&leader);
    kv_rig_deinit(&follower);
    fs_free(disk.fs);
    fs_sim_disk_free(disk.disk);
}

static void raise_alarm(struct kv_rig *rig)
{
    struct alarm_request request = {.action = ALARM_ACTIVATE, .alarm = {.type = ALARM_NOSPACE, .member = 77}};
    struct buf body;
    buf_init(&body);
    alarm_put_request(&request, &body);
    ck_assert_int_eq(kv_rig_apply(rig, COMMAND_ALARM, buf_slice(&body)), ERR_OK);
    buf_deinit(&body);
}

static enum err grant(struct kv_rig *rig, int64_t id, int64_t ttl)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)ttl);
    buf_put_pb_varint(&body, 2, (uint64_t)id);
    enum err err = kv_rig_apply(rig, COMMAND_LEASE_GRANT, buf_slice(&body));
    buf_deinit(&body);
    return err;
}

static enum err revoke(struct kv_rig *rig, int64_t id)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)id);
    enum err err = kv_rig_apply(rig, COMMAND_LEASE_REVOKE, buf_slice(&body));
    buf_deinit(&body);
    return err;
}

/* Entries of all kinds that change what a snapshot holds. */
static void work(struct kv_rig *rig, int rounds)
{
    char text[64];
    struct buf body;
    buf_init(&body);
    buf_put_pb_bytes(&body, 1, slice_from_string("3.6.0"));
    (void)kv_rig_apply(rig, COMMAND_CLUSTER_VERSION_SET, buf_slice(&body));
    buf_deinit(&body);
    for (int i = 0; i < rounds; i++) {
        (void)grant(rig, 1 + i % 50, 10 + i);
        if (i % 11 == 0) (void)revoke(rig, 1 + i * 3 % 50);
        (void)snprintf(text, sizeof text, i % 2 == 0 ? "k%02d=%d" : "k%02d=%d,lease=%d", i % 40, i, 1 + i % 7);
        (void)kv_rig_put(rig, text);
        (void)snprintf(text, sizeof text, "k%02d", i * 7 % 50);
        if (i % 3 == 0) (void)kv_rig_delete(rig, text);
        if (i == rounds / 2) (void)kv_rig_compact(rig, mvcc_view_revision(mvcc_view(rig->mvcc)) - 10, false);
        (void)mvcc_compact_step(rig->mvcc, 3);
    }
}

/* The CONF entry carries its own bytes as the configuration in force. */
static void change_conf(struct kv_rig *rig, const char *conf)
{
    struct raft_entry entry = {.index = ++rig->index, .term = 2, .kind = RAFT_ENTRY_CONF, .data = blob_copy(slice_from_string(conf))};
    struct blob *members = cluster_encode_members(state_machine_cluster(rig->machine));
    struct state_machine_result result;
    state_machine_apply(rig->machine, &entry, blob_slice(members), false, &result);
    state_machine_publish(rig->machine);
    blob_unref(members);
    blob_unref(entry.data);
}

static struct state_machine_loaded *snapshot_of(struct kv_rig *rig)
{
    struct state_machine_image *image = state_machine_take_image(rig->machine);
    struct state_machine_loaded *loaded = NULL;
    struct snapshot_dir dir = {.path = (char *)(uintptr_t)SNAPSHOT_RIG_DIR};
    ck_assert_ptr_nonnull(image);
    char *path = snapshot_dir_file(&dir, image->index, image->term, false);
    ck_assert_int_eq(snapshot_rig_write(disk.fs, image, NULL, NULL), ERR_OK);
    ck_assert_int_eq(snapshot_rig_load(disk.fs, path, &loaded), ERR_OK);
    alloc_free(path);
    return loaded;
}

static void compare(struct kv_rig *a, struct kv_rig *b)
{
    const struct cluster *cluster_a = state_machine_cluster(a->machine), *cluster_b = state_machine_cluster(b->machine);
    ck_assert_uint_eq(state_machine_applied_index(a->machine), state_machine_applied_index(b->machine));
    ck_assert_uint_eq(state_machine_applied_term(a->machine), state_machine_applied_term(b->machine));
    ck_assert(slice_equal(state_machine_conf(a->machine), state_machine_conf(b->machine)));
    ck_assert_uint_eq(cluster_a->id, cluster_b->id);
    ck_assert_str_eq(cluster_a->version, cluster_b->version);
    struct blob *members_a = cluster_encode_members(cluster_a), *members_b = cluster_encode_members(cluster_b);
    ck_assert(slice_equal(blob_slice(members_a), blob_slice(members_b)));
    blob_unref(members_a);
    blob_unref(members_b);
    ck_assert(alarm_list_has(state_machine_alarms(b->machine), ALARM_NOSPACE, 77) == alarm_list_has(state_machine_alarms(a->machine), ALARM_NOSPACE, 77));
    struct lease_set *leases_a = state_machine_leases(a->machine), *leases_b = state_machine_leases(b->machine);
    ck_assert_uint_eq(lease_set_count(leases_a), lease_set_count(leases_b));
    ck_assert_uint_eq(lease_set_key_count(leases_a), lease_set_key_count(leases_b));
    ck_assert_uint_eq(lease_set_hash(leases_a), lease_set_hash(leases_b));
    ck_assert_uint_eq(state_machine_hash(a->machine), state_machine_hash(b->machine));
    snapshot_rig_compare(mvcc_view(a->mvcc), mvcc_view(b->mvcc));
}

START_TEST(test_a_machine_that_begins_with_a_snapshot_is_the_one_that_applied_the_log)
{
    work(&leader, 100);
    raise_alarm(&leader);
    change_conf(&leader, "the second configuration");
    state_machine_free(follower.machine);
    follower.machine = state_machine_new(&(struct state_machine_options){.rcu = &follower.rcu, .loaded = snapshot_of(&leader)});
    follower.mvcc = state_machine_mvcc(follower.machine);
    follower.index = leader.index;
    ck_assert(slice_equal(state_machine_conf(follower.machine), slice_from_string("the second configuration")));
    ck_assert(alarm_list_has(state_machine_alarms(follower.machine), ALARM_NOSPACE, 77));
    compare(&leader, &follower);
    change_conf(&leader, "the third"); /* terms do not go back */
    change_conf(&follower, "the third");
    compare(&leader, &follower);
}
END_TEST

START_TEST(test_an_install_brings_everything_at_once)
{
    work(&leader, 60);
    work(&follower, 60);
    compare(&leader, &follower);
    for (int i = 0; i < 100; i++) (void)kv_rig_delete(&leader, "x");
    (void)kv_rig_put(&leader, "new=1");
    raise_alarm(&leader);
    change_conf(&leader, "the second configuration");
    follower.holds_retired = true; /* readers are on their way */
    const struct mvcc_view *held = mvcc_view(follower.mvcc);
    const struct cluster *cluster = state_machine_cluster(follower.machine);
    uint64_t hash = mvcc_hash(held, 0);
    state_machine_install(follower.machine, snapshot_of(&leader));
    ck_assert_uint_eq(mvcc_hash(held, 0), hash);
    ck_assert_str_eq(cluster->version, "3.6.0");
    follower.index = leader.index;
    follower.mvcc = state_machine_mvcc(follower.machine);
    compare(&leader, &follower);
    ck_assert_str_eq(kv_rig_range(&follower, "new"), kv_rig_range(&leader, "new"));
    ck_assert_uint_eq(mvcc_hash(held, 0), hash);
}
END_TEST

START_TEST(test_a_transaction_of_reads_whose_revision_is_gone_by_an_install_says_so)
{
    for (int is_gone = 0; is_gone < 2; is_gone++) {
        if (is_gone > 0) {
            teardown();
            setup();
        }
        work(&leader, 60);
        work(&follower, 60);
        struct buf request, body;
        enum err err = ERR_OK;
        buf_init(&body);
        request = kv_text_txn("then get(*..*) get(*..*)");
        struct txn_reader *reader = txn_reader_new(buf_slice(&request), follower.mvcc);
        ck_assert_int_eq(txn_reader_step(reader, mvcc_view(follower.mvcc), 20, 2, &body, &err), RANGE_MORE);
        for (int i = 0; i < 20; i++) (void)kv_rig_put(&leader, "more=1");
        if (is_gone > 0) (void)kv_rig_compact(&leader, mvcc_view_revision(mvcc_view(leader.mvcc)), false);
        state_machine_install(follower.machine, snapshot_of(&leader));
        enum range_progress progress = RANGE_MORE;
        while (progress == RANGE_MORE) progress = txn_reader_step(reader, mvcc_view(follower.mvcc), 4000, 400, &body, &err);
        ck_assert_int_eq(progress, is_gone > 0 ? RANGE_FAILED : RANGE_DONE);
        ck_assert_int_eq(err, is_gone > 0 ? ERR_LEADER_CHANGED : ERR_OK); /* it may be asked again */
        txn_reader_free(reader);
        buf_deinit(&request);
        buf_deinit(&body);
    }
}
END_TEST

/* More of them than one block of the file holds; who belongs to whom follows from the newest version of each key. */
START_TEST(test_leases_and_what_belongs_to_them_come_back_from_a_snapshot)
{
    char text[64];
    for (int64_t id = 1; id <= 20000; id++) ck_assert_int_eq(grant(&leader, id * INT64_C(1000000007), 5 + id), ERR_OK);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(text, sizeof text, "a%d=v,lease=%lld", i % 1000, (long long)(1 + i % 17) * 1000000007);
        (void)kv_rig_put(&leader, text);
    }
    (void)kv_rig_put(&leader, "a7=v"); /* detached, deleted, moved */
    (void)kv_rig_delete(&leader, "a8");
    (void)kv_rig_put(&leader, "a9=v,lease=14000000098");
    (void)kv_rig_put(&leader, "a10=v,ttl=30");
    ck_assert_uint_eq(lease_set_key_count(state_machine_leases(leader.machine)), 998);
    state_machine_install(follower.machine, snapshot_of(&leader));
    follower.index = leader.index;
    follower.mvcc = state_machine_mvcc(follower.machine);
    compare(&leader, &follower);
    while (state_machine_discard_step(follower.machine, 10)) {}
    for (int64_t id = 1; id <= 17; id++) {
        ck_assert_int_eq(revoke(&leader, id * 1000000007), ERR_OK);
        ck_assert_int_eq(revoke(&follower, id * 1000000007), ERR_OK);
        compare(&leader, &follower);
    }
    ck_assert_str_eq(kv_rig_range(&follower, "a7"), kv_rig_range(&leader, "a7"));
    ck_assert_int_eq(mvcc_view_key_count(mvcc_view(follower.mvcc)), 2); /* a7, and a10 under the lease that its put made */
    ck_assert_uint_eq(lease_set_key_count(state_machine_leases(follower.machine)), 1);
}
END_TEST

START_TEST(test_no_image_without_a_pin)
{
    int slots[MVCC_PINS_MAX];
    bool is_compacted = false;
    work(&leader, 10);
    for (int i = 0; i < MVCC_PINS_MAX; i++) slots[i] = mvcc_pin(leader.mvcc, mvcc_view_revision(mvcc_view(leader.mvcc)), &is_compacted);
    ck_assert_ptr_null(state_machine_take_image(leader.machine));
    for (int i = 0; i < MVCC_PINS_MAX; i++) mvcc_unpin(leader.mvcc, slots[i]);
    struct state_machine_image *image = state_machine_take_image(leader.machine);
    ck_assert_ptr_nonnull(image);
    state_machine_image_unpin(image);
    state_machine_image_free(image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_machine");
    TCase *tcase = tcase_create("machines");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_a_machine_that_begins_with_a_snapshot_is_the_one_that_applied_the_log);
    tcase_add_test(tcase, test_an_install_brings_everything_at_once);
    tcase_add_test(tcase, test_a_transaction_of_reads_whose_revision_is_gone_by_an_install_says_so);
    tcase_add_test(tcase, test_leases_and_what_belongs_to_them_come_back_from_a_snapshot);
    tcase_add_test(tcase, test_no_image_without_a_pin);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
