/* Do alarms keep out what they must and nothing else, on every member alike, through a snapshot; and who is convicted when states differ? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "lib/kv_rig.h"
#include "lib/kv_text.h"
#include "lib/snapshot_rig.h"
#include "storage/alarm_check.h"
#include "storage/snapshot_format.h"

static struct kv_rig rig;
static void setup(void) { kv_rig_init(&rig); }
static void teardown(void) { kv_rig_deinit(&rig); }

static enum err apply_alarm(struct kv_rig *at, int32_t action, int32_t type, uint64_t member)
{
    struct alarm_request request = {.action = action, .alarm = {.type = type, .member = member}};
    struct buf body;
    buf_init(&body);
    alarm_put_request(&request, &body);
    enum err err = kv_rig_apply(at, COMMAND_ALARM, buf_slice(&body));
    buf_deinit(&body);
    return err;
}

/* The alarm that the answer names, as Status shows it; "" = none. */
static const char *answered(int32_t action, int32_t type, uint64_t member)
{
    static char text[ALARM_TEXT_BYTES];
    struct alarm alarm = {.type = ALARM_NONE};
    ck_assert_int_eq(apply_alarm(&rig, action, type, member), ERR_OK);
    struct reader reader = reader_make(blob_slice(rig.result.body));
    struct pb_field field;
    text[0] = '\0';
    if (!reader_pb_field(&reader, &field)) return text;
    struct alarm_list *list = alarm_list_decode(blob_slice(rig.result.body));
    ck_assert_ptr_nonnull(list);
    ck_assert_uint_eq(list->count, 1);
    alarm = list->alarms[0];
    alarm_list_unref(list);
    alarm_format(&alarm, text);
    return text;
}

START_TEST(test_alarm_answers_name_what_changed_or_was_there)
{
    ck_assert_str_eq(answered(ALARM_ACTIVATE, ALARM_NONE, 7), "");
    ck_assert_str_eq(answered(ALARM_DEACTIVATE, ALARM_NOSPACE, 7), "");
    ck_assert_str_eq(answered(ALARM_ACTIVATE, ALARM_NOSPACE, 7), "memberID:7 alarm:NOSPACE ");
    ck_assert_str_eq(answered(ALARM_ACTIVATE, ALARM_NOSPACE, 7), "memberID:7 alarm:NOSPACE ");
    ck_assert_str_eq(answered(ALARM_ACTIVATE, ALARM_CORRUPT, 0), "alarm:CORRUPT ");
    ck_assert_str_eq(answered(ALARM_DEACTIVATE, ALARM_NOSPACE, 0), ""); /* 0 names a member like any other */
    ck_assert_str_eq(answered(ALARM_DEACTIVATE, ALARM_NONE, 7), "");
    ck_assert_str_eq(answered(9, ALARM_NOSPACE, 7), "");
    ck_assert_uint_eq(state_machine_alarms(rig.machine)->count, 2);
    ck_assert_str_eq(answered(ALARM_DEACTIVATE, ALARM_NOSPACE, 7), "memberID:7 alarm:NOSPACE ");
    ck_assert_uint_eq(state_machine_alarms(rig.machine)->count, 1);
    ck_assert_int_eq(rig.result.revision, 1);
}
END_TEST

START_TEST(test_alarm_nospace_keeps_out_what_needs_room_and_lets_the_rest_pass)
{
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "b=1");
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 99);
    ck_assert_str_eq(kv_rig_put(&rig, "a=2"), "NO_SPACE");
    ck_assert_str_eq(kv_rig_put(&rig, "a=2,lease=5"), "NO_SPACE"); /* before all else */
    ck_assert_str_eq(kv_rig_txn(&rig, "then put(a=2)"), "NO_SPACE");
    ck_assert_str_eq(kv_rig_txn(&rig, "then get(a) else txn{else put(a=2)}"), "NO_SPACE"); /* in whichever branch */
    ck_assert_str_eq(kv_rig_txn(&rig, "then del(a) get(a)"), "@4 yes[del@4 n=1{} get@4{} count=0]");
    ck_assert_str_eq(kv_rig_delete(&rig, "b"), "@5 del n=1{}");
    ck_assert_int_eq(kv_rig_compact(&rig, 5, false), ERR_OK);
    apply_alarm(&rig, ALARM_DEACTIVATE, ALARM_NOSPACE, 99);
    ck_assert_str_eq(kv_rig_put(&rig, "a=2"), "@6 put{}");
}
END_TEST

START_TEST(test_alarm_corrupt_keeps_out_every_change)
{
    kv_rig_put(&rig, "a=1");
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 99);
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_CORRUPT, 99);
    ck_assert_str_eq(kv_rig_put(&rig, "a=2"), "CORRUPT");
    ck_assert_str_eq(kv_rig_delete(&rig, "a"), "CORRUPT");
    ck_assert_str_eq(kv_rig_txn(&rig, "then del(a)"), "CORRUPT");
    ck_assert_int_eq(kv_rig_compact(&rig, 2, false), ERR_CORRUPT);
    ck_assert_int_eq(rig.result.revision, 2);
    const struct alarm_list *alarms = state_machine_alarms(rig.machine);
    ck_assert_int_eq(alarm_admit_read(alarms, 99), ERR_CORRUPT);
    ck_assert_int_eq(alarm_admit_read(alarms, 98), ERR_OK);
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_CORRUPT, ALARM_ANY_MEMBER);
    ck_assert_int_eq(alarm_admit_read(state_machine_alarms(rig.machine), 98), ERR_CORRUPT);
}
END_TEST

START_TEST(test_alarm_is_set_on_members_without_a_caller_as_well)
{
    rig.wants_reply = false;
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 99);
    ck_assert_ptr_null(rig.result.body);
    ck_assert_str_eq(kv_rig_put(&rig, "a=2"), "NO_SPACE");
}
END_TEST

START_TEST(test_alarm_list_has_a_limit)
{
    for (uint64_t i = 0; i < ALARM_MAX; i++) ck_assert_int_eq(apply_alarm(&rig, ALARM_ACTIVATE, 7, i), ERR_OK);
    ck_assert_int_eq(apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 1), ERR_TOO_MANY_REQUESTS);
    ck_assert_int_eq(apply_alarm(&rig, ALARM_ACTIVATE, 7, 3), ERR_OK); /* there already */
    ck_assert_int_eq(apply_alarm(&rig, ALARM_DEACTIVATE, 7, 3), ERR_OK);
    ck_assert_int_eq(apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 1), ERR_OK);
    ck_assert_uint_eq(state_machine_alarms(rig.machine)->count, ALARM_MAX);
}
END_TEST

START_TEST(test_alarm_room_is_not_asked_of_what_a_member_has_allocated)
{
    struct kv_rig other;
    kv_rig_init(&other);
    for (int i = 0; i < 4000; i++) {
        kv_rig_put(&rig, "a=some value that is written again and again");
        kv_rig_put(&other, "a=some value that is written again and again");
        if (i % 100 != 99) continue;
        int64_t revision = mvcc_view_revision(mvcc_view(rig.mvcc));
        ck_assert_int_eq(kv_rig_compact(&rig, revision, false), kv_rig_compact(&other, revision, false));
        while (mvcc_compact_step(rig.mvcc, 1000)) {} /* one member cleans up, the other does not */
        while (mvcc_reclaim_step(rig.mvcc, 1000)) {}
    }
    ck_assert_int_eq(rig.result.revision, other.result.revision);
    ck_assert_uint_eq(state_machine_hash(rig.machine), state_machine_hash(other.machine));
    kv_rig_deinit(&other);
}
END_TEST

START_TEST(test_alarm_list_stays_in_order_and_comes_back_from_its_bytes)
{
    struct rng rng;
    struct alarm_list *list = alarm_list_new();
    rng_init(&rng, 3);
    for (int i = 0; i < 2000; i++) {
        int32_t type = (int32_t)rng_below(&rng, 4) - 1;
        uint64_t member = rng_below(&rng, 12);
        bool is_in = rng_below(&rng, 2) == 0 && type != ALARM_NONE;
        struct alarm_list *next = is_in ? alarm_list_with(list, type, member) : alarm_list_without(list, type, member);
        alarm_list_unref(list);
        list = next;
        struct buf bytes;
        buf_init(&bytes);
        alarm_list_encode(list, &bytes);
        struct alarm_list *back = alarm_list_decode(buf_slice(&bytes));
        ck_assert_ptr_nonnull(back);
        ck_assert_uint_eq(back->count, list->count);
        ck_assert(back->has_corrupt == list->has_corrupt && back->has_no_space == list->has_no_space);
        for (size_t k = 0; k < list->count; k++)
            ck_assert(back->alarms[k].type == list->alarms[k].type && back->alarms[k].member == list->alarms[k].member);
        if (bytes.size > 0) ck_assert_ptr_null(alarm_list_decode(slice_make(bytes.blob->data, bytes.size - 1)));
        alarm_list_unref(back);
        buf_deinit(&bytes);
    }
    alarm_list_unref(list);
}
END_TEST

/* --- hashes of members ------------------------------------------------------------------------------------------------------ */

static struct alarm_check check;

static const char *verdict_of(uint64_t member, uint64_t index, uint64_t hash, uint32_t members)
{
    static char text[64];
    struct alarm_check_verdict verdict;
    alarm_check_add(&check, &(struct alarm_check_report){.member = member, .index = index, .hash = hash}, members, &verdict);
    int length = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < verdict.count; i++) length += snprintf(text + length, sizeof text - (size_t)length, "%d ", (int)verdict.members[i]);
    return text;
}

START_TEST(test_alarm_check_convicts_whom_a_majority_contradicts_whoever_speaks_first)
{
    alarm_check_clear(&check);
    ck_assert_str_eq(verdict_of(1, 1024, 5, 3), ""); /* wrong, and the first to say so */
    ck_assert_str_eq(verdict_of(2, 1024, 6, 3), "");
    ck_assert_str_eq(verdict_of(2, 1024, 6, 3), ""); /* twice counts once */
    ck_assert_str_eq(verdict_of(3, 1024, 6, 3), "1 ");
    ck_assert_str_eq(verdict_of(3, 2048, 6, 3), "");
    ck_assert_str_eq(verdict_of(2, 2048, 6, 3), "");
    ck_assert_str_eq(verdict_of(1, 2048, 5, 3), "1 "); /* and the last */
    ck_assert_str_eq(verdict_of(1, 4096, 7, 3), "");
    ck_assert_str_eq(verdict_of(2, 4096, 7, 3), "");
    ck_assert_str_eq(verdict_of(3, 4096, 7, 3), "");
}
END_TEST

START_TEST(test_alarm_check_names_nobody_when_no_majority_agrees)
{
    alarm_check_clear(&check);
    ck_assert_str_eq(verdict_of(1, 1024, 5, 3), "");
    ck_assert_str_eq(verdict_of(2, 1024, 6, 3), "");
    ck_assert_str_eq(verdict_of(3, 1024, 7, 3), "0 ");
    ck_assert_str_eq(verdict_of(1, 2048, 5, 2), "");
    ck_assert_str_eq(verdict_of(2, 2048, 6, 2), "0 ");
}
END_TEST

START_TEST(test_alarm_check_keeps_the_newest_rounds_and_ignores_what_is_older)
{
    alarm_check_clear(&check);
    for (uint64_t i = 1; i <= ALARM_CHECK_ROUNDS + 2; i++) ck_assert_str_eq(verdict_of(1, i * 1024, 5, 3), "");
    ck_assert_str_eq(verdict_of(2, 2 * 1024, 6, 3), "");
    ck_assert_str_eq(verdict_of(3, 2 * 1024, 6, 3), "");
    ck_assert_str_eq(verdict_of(2, 3 * 1024, 6, 3), "");
    ck_assert_str_eq(verdict_of(3, 3 * 1024, 6, 3), "1 ");
    ck_assert_str_eq(verdict_of(1, 3 * 1024 + 512, 5, 3), ""); /* between two: displaces the oldest */
    ck_assert_str_eq(verdict_of(2, 3 * 1024, 6, 3), "");
    for (uint32_t i = 1; i < ALARM_CHECK_ROUNDS; i++) ck_assert_uint_lt(check.rounds[i - 1].index, check.rounds[i].index);
}
END_TEST

START_TEST(test_alarm_check_comes_back_from_its_bytes)
{
    struct rng rng;
    struct alarm_check back;
    alarm_check_clear(&check);
    rng_init(&rng, 5);
    for (int i = 0; i < 500; i++) {
        struct buf bytes;
        verdict_of(1 + rng_below(&rng, 5), 1 + rng_below(&rng, 40), rng_below(&rng, 2), 5);
        buf_init(&bytes);
        alarm_check_encode(&check, &bytes);
        ck_assert(alarm_check_decode(&back, buf_slice(&bytes)));
        ck_assert_mem_eq(&back, &check, sizeof back);
        ck_assert(!alarm_check_decode(&back, slice_make(bytes.blob->data, bytes.size - 1)));
        buf_deinit(&bytes);
    }
}
END_TEST

/* Reports a hash for index 1024 in the name of the rig's n-th member. */
static void report(struct kv_rig *at, uint32_t n, uint64_t hash)
{
    struct buf body;
    buf_init(&body);
    const struct cluster *cluster = state_machine_cluster(at->machine);
    uint64_t member = n < cluster->member_count ? cluster->members[n].id : 12345;
    alarm_check_put(&(struct alarm_check_report){.member = member, .index = 1024, .hash = hash}, &body);
    ck_assert_int_eq(kv_rig_apply(at, COMMAND_STATE_HASH, buf_slice(&body)), ERR_OK);
    buf_deinit(&body);
}

START_TEST(test_alarm_of_members_that_differ_stands_in_the_log_of_all)
{
    report(&rig, 7, 3); /* of somebody who does not belong here */
    report(&rig, 0, 1);
    ck_assert_uint_eq(state_machine_alarms(rig.machine)->count, 0);
    report(&rig, 1, 2);
    ck_assert_uint_eq(state_machine_alarms(rig.machine)->count, 1);
    ck_assert(alarm_list_has(state_machine_alarms(rig.machine), ALARM_CORRUPT, ALARM_ANY_MEMBER));
    ck_assert_str_eq(kv_rig_put(&rig, "a=1"), "CORRUPT");
    apply_alarm(&rig, ALARM_DEACTIVATE, ALARM_CORRUPT, ALARM_ANY_MEMBER);
    ck_assert_str_eq(kv_rig_put(&rig, "a=1"), "@2 put{}");
    report(&rig, 0, 1); /* what was reported before is forgotten */
    ck_assert_uint_eq(state_machine_alarms(rig.machine)->count, 0);
}
END_TEST

START_TEST(test_alarm_section_of_a_snapshot_restores_alarms_and_reports)
{
    struct buf again;
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 99);
    report(&rig, 0, 1);
    struct state_machine_image *image = state_machine_take_image(rig.machine);
    struct slice section = blob_slice(image->alarms);
    for (size_t size = 0; size < section.size; size++) ck_assert_ptr_null(alarm_state_decode(slice_make(section.data, size)));
    struct alarm_state *state = alarm_state_decode(section);
    ck_assert_ptr_nonnull(state);
    ck_assert(alarm_list_has(state->list, ALARM_NOSPACE, 99));
    const struct cluster *cluster = state_machine_cluster(rig.machine);
    struct alarm_check_report last = {.member = cluster->members[1].id, .index = 1024, .hash = 2};
    alarm_state_report(state, &last, 2); /* the other half of the round stands in the log behind the snapshot */
    report(&rig, 1, 2);
    ck_assert(alarm_list_has(state->list, ALARM_CORRUPT, ALARM_ANY_MEMBER));
    state_machine_image_free(image);
    image = state_machine_take_image(rig.machine);
    buf_init(&again);
    alarm_state_encode(state, &again);
    ck_assert(slice_equal(blob_slice(image->alarms), buf_slice(&again)));
    state_machine_image_free(image);
    alarm_state_free(state);
    buf_deinit(&again);
}
END_TEST

START_TEST(test_alarm_goes_through_a_snapshot_file)
{
    struct fs_sim_disk *disk = fs_sim_disk_new();
    struct fs *fs = fs_sim_new(disk, true);
    struct state_machine_loaded *loaded = NULL;
    struct kv_rig other;
    char name[SNAPSHOT_FORMAT_NAME_SIZE], path[128];
    kv_rig_init(&other);
    snapshot_rig_make_dir(fs);
    kv_rig_put(&rig, "a=1");
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 99);
    report(&rig, 0, 1);
    snapshot_format_name(state_machine_applied_index(rig.machine), state_machine_applied_term(rig.machine), name);
    snprintf(path, sizeof path, SNAPSHOT_RIG_DIR "/%s", name);
    ck_assert_int_eq(snapshot_rig_write(fs, state_machine_take_image(rig.machine), NULL, NULL), ERR_OK);
    ck_assert_int_eq(snapshot_rig_load(fs, path, &loaded), ERR_OK);
    state_machine_install(other.machine, loaded);
    other.index = state_machine_applied_index(other.machine);
    ck_assert_uint_eq(other.index, rig.index);
    ck_assert(alarm_list_has(state_machine_alarms(other.machine), ALARM_NOSPACE, 99)); /* published at once */
    ck_assert_str_eq(kv_rig_put(&other, "a=1"), "NO_SPACE");
    report(&other, 1, 2);
    ck_assert(state_machine_alarms(other.machine)->has_corrupt);
    kv_rig_deinit(&other);
    fs_free(fs);
    fs_sim_disk_free(disk);
}
END_TEST

START_TEST(test_alarm_hash_of_the_state_sees_keys_marks_and_alarms)
{
    uint64_t seen[5] = {state_machine_hash(rig.machine)};
    kv_rig_put(&rig, "a=1");
    seen[1] = state_machine_hash(rig.machine);
    kv_rig_put(&rig, "a=1");
    seen[2] = state_machine_hash(rig.machine);
    ck_assert_int_eq(kv_rig_compact(&rig, 2, false), ERR_OK);
    seen[3] = state_machine_hash(rig.machine);
    apply_alarm(&rig, ALARM_ACTIVATE, ALARM_NOSPACE, 99);
    seen[4] = state_machine_hash(rig.machine);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++) ck_assert_uint_ne(seen[i], seen[k]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alarm");
    TCase *alarms = tcase_create("alarms"), *hashes = tcase_create("hashes");
    tcase_add_checked_fixture(alarms, setup, teardown);
    tcase_add_test(alarms, test_alarm_answers_name_what_changed_or_was_there);
    tcase_add_test(alarms, test_alarm_nospace_keeps_out_what_needs_room_and_lets_the_rest_pass);
    tcase_add_test(alarms, test_alarm_corrupt_keeps_out_every_change);
    tcase_add_test(alarms, test_alarm_is_set_on_members_without_a_caller_as_well);
    tcase_add_test(alarms, test_alarm_list_has_a_limit);
    tcase_add_test(alarms, test_alarm_room_is_not_asked_of_what_a_member_has_allocated);
    tcase_add_test(alarms, test_alarm_list_stays_in_order_and_comes_back_from_its_bytes);
    tcase_add_checked_fixture(hashes, setup, teardown);
    tcase_add_test(hashes, test_alarm_check_convicts_whom_a_majority_contradicts_whoever_speaks_first);
    tcase_add_test(hashes, test_alarm_check_names_nobody_when_no_majority_agrees);
    tcase_add_test(hashes, test_alarm_check_keeps_the_newest_rounds_and_ignores_what_is_older);
    tcase_add_test(hashes, test_alarm_check_comes_back_from_its_bytes);
    tcase_add_test(hashes, test_alarm_of_members_that_differ_stands_in_the_log_of_all);
    tcase_add_test(hashes, test_alarm_section_of_a_snapshot_restores_alarms_and_reports);
    tcase_add_test(hashes, test_alarm_goes_through_a_snapshot_file);
    tcase_add_test(hashes, test_alarm_hash_of_the_state_sees_keys_marks_and_alarms);
    suite_add_tcase(suite, alarms);
    suite_add_tcase(suite, hashes);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
