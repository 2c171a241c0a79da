/* test_wal_crash: does the log keep its promise when power is lost at any moment?
 *
 * A fixed script is cut at every operation that changes the disk; at each cut the sectors not yet synced are kept, lost, torn,
 * garbled and mixed, and so are the names. What recovery finds must be the state after one append, none older than the newest
 * acknowledged one. The same for a script of snapshots, on which the log's head is dropped and reset: recovery is then told of the newest
 * snapshot that was on disk at the cut, or of the one before it; and for a script in which each segment's file is used again. Then a second crash, in the recovery and after it, and page caches that lie. KVD_TEST_LONG=1 runs every point,
 * without it every operation and a part of the ways to lose power there.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/wal_rig_script.h"

static void ignore_entry(void *context, const struct raft_entry *entry)
{
    (void)context;
    (void)entry;
}

static uint64_t script_ops(wal_rig_script_fn *script)
{
    struct wal_rig rig;
    struct wal_rig_promise promise = {.report = -1};
    wal_rig_init(&rig);
    uint64_t before = fs_sim_op_count(rig.disk);
    ck_assert_int_eq(script(&rig, &promise), ERR_OK);
    ck_assert_uint_eq(promise.acked, rig.appended);
    uint64_t ops = fs_sim_op_count(rig.disk) - before;
    wal_rig_deinit(&rig);
    return ops;
}

/* Runs the script up to its op'th operation; the rig's disk is then as it was when that one was under way. */
static void script_cut(wal_rig_script_fn *script, struct wal_rig *rig, uint64_t op, struct wal_rig_promise *promise)
{
    *promise = (struct wal_rig_promise){.report = -1};
    wal_rig_init(rig);
    fs_sim_freeze_at(rig->disk, fs_sim_op_count(rig->disk) + op);
    ck_assert_int_eq(script(rig, promise), ERR_OK);
    ck_assert_ptr_nonnull(fs_sim_frozen(rig->disk));
    wal_rig_move(rig, fs_sim_copy(fs_sim_frozen(rig->disk)));
}

static const char *describe(uint64_t op, const struct fs_sim_crash *crash)
{
    static char text[128];
    (void)snprintf(text, sizeof text, "cut at op %lu, loss %d, sector %zu, names %d, seed %lu", (unsigned long)op, (int)crash->loss,
                   crash->sector, (int)crash->names, (unsigned long)crash->seed);
    return text;
}

/* Opens on the rig's disk; what is found must be between acknowledged and issued. Returns the number of the append. */
static uint64_t recover_and_check(struct wal_rig *rig, const struct wal_rig_promise *promise, const char *what)
{
    enum err err = wal_rig_open(rig);
    ck_assert_msg(err == ERR_OK, "%s: %s: %s", what, err_name(err), rig->found.message);
    int match = wal_rig_match(rig, promise->acked, promise->issued);
    ck_assert_msg(match >= 0, "%s: found term %lu, commit %lu, last %lu, which is no state between append %lu and %lu; %s", what,
                  (unsigned long)rig->found.hard.term, (unsigned long)rig->found.hard.commit, (unsigned long)rig->found.last_index,
                  (unsigned long)promise->acked, (unsigned long)promise->issued, rig->found.message);
    return (uint64_t)match;
}

/* What was recovered stays: after a second start, with power lost in between, and after it went on writing. */
static void check_stable(struct wal_rig *rig, uint64_t number, bool goes_on, const char *what)
{
    static const struct fs_sim_crash worst = {.loss = FS_SIM_LOSE_ALL, .names = FS_SIM_NAMES_NONE};
    struct wal_rig_promise exactly = {.acked = number, .issued = number};
    bool stays_suspect = rig->found.suspect_index != 0;
    uint64_t appended = rig->appended;
    struct wal_rig_state saved[2] = {*rig->states[number]};
    if (rig->states[number + 1] != NULL) saved[1] = *rig->states[number + 1];
    wal_rig_continue_from(rig, number);
    if (goes_on) {
        const struct wal_rig_state *state = rig->states[number];
        wal_rig_append(rig, state->last_index + 1, 7, state->hard.term + 1, state->hard.commit, 400);
        wal_rig_run(rig);
        ck_assert_uint_eq(wal_rig_durable(rig), number + 1);
        exactly.acked = exactly.issued = number + 1;
    }
    wal_rig_move(rig, fs_sim_crash(rig->disk, &worst));
    (void)recover_and_check(rig, &exactly, what);
    ck_assert_msg(rig->found.tail == (stays_suspect ? WAL_TAIL_SUSPECT : WAL_TAIL_CLEAN), "%s: %s", what, rig->found.message);
    *rig->states[number] = saved[0];
    if (rig->states[number + 1] != NULL) *rig->states[number + 1] = saved[1];
    rig->appended = appended;
}

/* All ways to lose power at one cut: calls `check` for each. */
typedef void crash_check_fn(struct wal_rig *rig, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                            const struct fs_sim_crash *crash, const char *what);

static uint64_t points; /* crash points looked at by the running test */

static void each_crash_of_sector(struct wal_rig *rig, uint64_t op, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                                 struct fs_sim_crash crash, crash_check_fn *check)
{
    static const enum fs_sim_loss by_sector[] = {FS_SIM_KEEP_FIRST, FS_SIM_LOSE_ONE, FS_SIM_KEEP_ONE, FS_SIM_TEAR_ONE,
                                                 FS_SIM_GARBLE_ONE};
    size_t unsynced = fs_sim_unsynced(cut);
    size_t stride = wal_rig_script_is_long() || unsynced <= 8 ? 1 : unsynced / 8;
    for (size_t kind = 0; kind < sizeof by_sector / sizeof by_sector[0]; kind++) {
        crash.loss = by_sector[kind];
        for (crash.sector = 0; crash.sector < unsynced; crash.sector += stride) {
            check(rig, cut, promise, &crash, describe(op, &crash));
        }
    }
}

static void each_crash(struct wal_rig *rig, uint64_t op, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                       crash_check_fn *check)
{
    for (enum fs_sim_names names = FS_SIM_NAMES_ALL; names < FS_SIM_NAMES_KINDS; names++) {
        struct fs_sim_crash crash = {.loss = FS_SIM_KEEP_ALL, .names = names, .seed = op};
        check(rig, cut, promise, &crash, describe(op, &crash));
        crash.loss = FS_SIM_LOSE_ALL;
        check(rig, cut, promise, &crash, describe(op, &crash));
        each_crash_of_sector(rig, op, cut, promise, crash, check);
        crash.loss = FS_SIM_RANDOM;
        for (crash.seed = 0; crash.seed < (wal_rig_script_is_long() ? 64 : 4); crash.seed++) {
            check(rig, cut, promise, &crash, describe(op, &crash));
        }
    }
}

/* The script cut at every operation. In the gate at every sector boundary of small writes and eight of large ones. */
static void enumerate(wal_rig_script_fn *script, crash_check_fn *check, uint64_t points_min)
{
    uint64_t ops = script_ops(script);
    ck_assert_uint_gt(ops, 75);
    points = 0;
    for (uint64_t op = 1; op <= ops; op++) {
        struct wal_rig rig;
        struct wal_rig_promise promise;
        script_cut(script, &rig, op, &promise);
        struct fs_sim_disk *cut = fs_sim_copy(rig.disk);
        rig.is_alone = op % 2 == 0;
        each_crash(&rig, op, cut, &promise, check);
        fs_sim_disk_free(cut);
        wal_rig_deinit(&rig);
    }
    printf("%lu crash points at %lu operations\n", (unsigned long)points, (unsigned long)ops);
    ck_assert_uint_ge(points, points_min);
}

/* The snapshot that recovery is told of: the newest, or the one before it. */
static void tell_snapshot(struct wal_rig *rig, const struct wal_rig_promise *promise, uint64_t choice)
{
    wal_rig_snapshot(rig, promise->snapshots[choice][0], promise->snapshots[choice][1]);
}

static void check_crash(struct wal_rig *rig, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                        const struct fs_sim_crash *crash, const char *what)
{
    wal_rig_move(rig, fs_sim_crash(cut, crash));
    tell_snapshot(rig, promise, points % 2);
    uint64_t number = recover_and_check(rig, promise, what);
    bool may_suspect = crash->loss == FS_SIM_GARBLE_ONE;
    if (strstr(rig->found.message, "missing") != NULL) ck_abort_msg("%s: %s", what, rig->found.message);
    if (rig->found.tail == WAL_TAIL_SUSPECT && !may_suspect) ck_abort_msg("%s: suspect", what);
    check_stable(rig, number, points++ % 5 == 0, what);
}

/* Gate: 8,264 points; KVD_TEST_LONG=1: 32,024. */
START_TEST(test_wal_crash_at_every_operation_loses_nothing_acknowledged)
{
    enumerate(wal_rig_script, check_crash, 6000);
}
END_TEST

/* Power is lost again, at every operation of the recovery. Gate: 3,643 points; KVD_TEST_LONG=1: 446,484. */
static void check_crash_in_recovery(struct wal_rig *rig, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                                    const struct fs_sim_crash *crash, const char *what)
{
    static uint64_t turn;
    if (turn++ % (wal_rig_script_is_long() ? 1 : 32) != 0) return;
    tell_snapshot(rig, promise, turn / 32 % 2);
    rig->is_alone = false; /* who is alone goes on without a suspect tail, and a model of that would have to know which */
    struct fs_sim_disk *first = fs_sim_crash(cut, crash);
    for (uint64_t second_op = 1;; second_op++) {
        wal_rig_move(rig, fs_sim_copy(first));
        fs_sim_freeze_at(rig->disk, second_op);
        (void)recover_and_check(rig, promise, what);
        if (fs_sim_frozen(rig->disk) == NULL) break;
        points++;
        struct fs_sim_crash second = {.loss = second_op % 2 == 0 ? FS_SIM_LOSE_ALL : FS_SIM_RANDOM, .seed = turn};
        second.names = (enum fs_sim_names)(second_op % FS_SIM_NAMES_KINDS);
        wal_rig_move(rig, fs_sim_crash(fs_sim_frozen(rig->disk), &second));
        uint64_t number = recover_and_check(rig, promise, what);
        check_stable(rig, number, false, what);
    }
    fs_sim_disk_free(first);
}

START_TEST(test_wal_crash_in_recovery_loses_nothing_either)
{
    enumerate(wal_rig_script, check_crash_in_recovery, 1000);
}
END_TEST

/* Gate: 4,848 points, every third; KVD_TEST_LONG=1: all. */
static void check_head_crash(struct wal_rig *rig, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                             const struct fs_sim_crash *crash, const char *what)
{
    static uint64_t turn;
    if (turn++ % (wal_rig_script_is_long() ? 1 : 3) == 0) check_crash(rig, cut, promise, crash, what);
}

START_TEST(test_wal_crash_while_the_head_of_the_log_is_dropped_or_reset_leaves_the_old_log_or_the_new)
{
    enumerate(wal_rig_script_heads, check_head_crash, 4000);
}
END_TEST

static void check_head_crash_in_recovery(struct wal_rig *rig, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                                         const struct fs_sim_crash *crash, const char *what)
{
    static uint64_t turn;
    if (turn++ % (wal_rig_script_is_long() ? 1 : 3) == 0) check_crash_in_recovery(rig, cut, promise, crash, what);
}

START_TEST(test_wal_crash_in_a_recovery_with_snapshots_loses_nothing_either)
{
    enumerate(wal_rig_script_heads, check_head_crash_in_recovery, 1000);
}
END_TEST

/* The log goes on after a recovery, over a rotation, and power is lost a second time, at any operation. Gate: 517 points;
 * KVD_TEST_LONG=1: 32,024. */
static void check_second_crash(struct wal_rig *rig, const struct fs_sim_disk *cut, const struct wal_rig_promise *promise,
                               const struct fs_sim_crash *crash, const char *what)
{
    static uint64_t turn;
    if (turn++ % (wal_rig_script_is_long() ? 1 : 16) != 0) return;
    struct rng rng;
    rng_init(&rng, turn);
    wal_rig_move(rig, fs_sim_crash(cut, crash));
    tell_snapshot(rig, promise, turn / 16 % 2);
    uint64_t number = recover_and_check(rig, promise, what);
    uint64_t appended = rig->appended;
    struct wal_rig_state *saved[4];
    for (uint64_t i = 0; i < 4; i++) { /* the model's later states come back afterwards */
        saved[i] = rig->states[number + i];
        rig->states[number + i] = ALLOC(struct wal_rig_state);
        if (saved[i] != NULL) *rig->states[number + i] = *saved[i];
    }
    wal_rig_continue_from(rig, number);
    struct wal_rig_promise again = {.report = -1, .acked = number, .issued = number};
    fs_sim_freeze_at(rig->disk, fs_sim_op_count(rig->disk) + 1 + rng_below(&rng, 24));
    struct raft_hard_state hard = rig->states[number]->hard;
    wal_rig_append(rig, rig->states[number]->last_index + 1, 4, hard.term + 1, hard.commit, 700);
    wal_rig_script_run(rig, &again);
    wal_rig_append(rig, rig->states[number]->last_index + 3, 4, hard.term + 2, hard.commit, 1100); /* over the last two */
    wal_rig_script_run(rig, &again);
    wal_rig_hard(rig, hard.term + 3, 5, rig->states[number + 1]->last_index);
    wal_rig_script_run(rig, &again);
    const struct fs_sim_disk *second = fs_sim_frozen(rig->disk) != NULL ? fs_sim_frozen(rig->disk) : rig->disk;
    struct fs_sim_crash random = {.loss = FS_SIM_RANDOM, .names = FS_SIM_NAMES_RANDOM, .seed = turn};
    wal_rig_move(rig, fs_sim_crash(second, &random));
    rig->appended = number + 3;
    (void)recover_and_check(rig, &again, what);
    points++;
    for (uint64_t i = 0; i < 4; i++) {
        alloc_free(rig->states[number + i]);
        rig->states[number + i] = saved[i];
    }
    rig->appended = appended;
}

START_TEST(test_wal_second_crash_loses_nothing_either)
{
    enumerate(wal_rig_script, check_second_crash, 400);
}
END_TEST

/* Whose bytes are in a file, and which name has it, when it is a segment for the second and third time? */
START_TEST(test_wal_crash_while_files_are_used_again_loses_nothing_and_brings_nothing_back)
{
    enumerate(wal_rig_script_reuse, check_head_crash, 2000);
}
END_TEST

START_TEST(test_wal_crash_in_and_after_a_recovery_of_files_that_were_used_again_loses_nothing_either)
{
    enumerate(wal_rig_script_reuse, check_head_crash_in_recovery, 1000);
    enumerate(wal_rig_script_reuse, check_second_crash, 200);
}
END_TEST

/* ---- operations that take their time ---- */

/* Power is lost now: on a disk of its own, what was acknowledged until this moment comes back. */
static void check_now(const struct wal_rig *rig, uint64_t seed)
{
    struct wal_rig probe = *rig; /* shares the model's states, nothing else */
    struct wal_rig_promise promise = {.report = -1, .acked = wal_rig_durable(rig), .issued = rig->appended};
    struct fs_sim_crash crash = {.loss = FS_SIM_LOSE_ALL, .names = FS_SIM_NAMES_NONE};
    if (seed % 2 == 0) crash = (struct fs_sim_crash){.loss = FS_SIM_RANDOM, .names = FS_SIM_NAMES_RANDOM, .seed = seed};
    probe.wal = NULL;
    probe.fs = NULL;
    probe.found = (struct wal_recovered){0};
    probe.handed = ALLOC(struct wal_rig_state);
    probe.disk = fs_sim_crash(rig->disk, &crash);
    (void)recover_and_check(&probe, &promise, "power lost while operations are under way");
    wal_rig_close(&probe);
    fs_sim_disk_free(probe.disk);
    alloc_free(probe.handed);
    points++;
}

/* Operations complete late and in any order; whenever one has, the acknowledgements of that moment are put to the test. Gate: 1,444
 * moments; KVD_TEST_LONG=1: 17,328. */
START_TEST(test_wal_acknowledges_nothing_before_it_is_on_disk)
{
    struct wal_rig rig;
    struct rng rng;
    uint64_t rounds = wal_rig_script_is_long() ? 100 : 8;
    for (uint64_t seed = 0; seed < rounds; seed++) {
        wal_rig_init(&rig);
        rng_init(&rng, seed);
        rig.fs = rig.options.fs = fs_sim_new(rig.disk, false);
        struct blob *conf = blob_new(40);
        ck_assert_int_eq(wal_open(&rig.options, blob_slice(conf), ignore_entry, &rig, &rig.wal, &rig.found), ERR_OK);
        blob_unref(conf);
        uint64_t index = 1;
        uint64_t term = 1;
        while (index < 100 || !wal_is_idle(rig.wal)) {
            if (index < 100 && rng_below(&rng, 3) == 0) {
                wal_rig_append(&rig, index, 1 + rng_below(&rng, 3), term, index - 1, 16 + rng_below(&rng, 1500));
                index = rig.states[rig.appended]->last_index + 1;
            }
            if (index < 100 && rng_below(&rng, 6) == 0) wal_rig_hard(&rig, ++term, 1 + rng_below(&rng, 3), index - 1);
            (void)wal_step(rig.wal, rig.now_ns);
            check_now(&rig, rng_next(&rng));
            size_t pending = fs_sim_pending(rig.fs);
            if (pending > 0) (void)fs_sim_complete(rig.fs, (size_t)rng_below(&rng, pending));
        }
        ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
        wal_rig_deinit(&rig);
    }
    printf("%lu moments of %lu rounds\n", (unsigned long)points, (unsigned long)rounds);
    ck_assert_uint_gt(points, 300);
}
END_TEST

/* After a failed sync, or when only the process died, recovery sees bytes that the disk does not have. What it then answers with
 * must survive the power loss that follows. */
START_TEST(test_wal_recovery_does_not_trust_the_page_cache)
{
    uint64_t ops = script_ops(wal_rig_script);
    for (uint64_t op = 1; op <= ops; op++) {
        for (int forgets = 0; forgets < 2; forgets++) {
            struct wal_rig rig;
            struct wal_rig_promise promise;
            script_cut(wal_rig_script, &rig, op, &promise);
            if (forgets != 0) fs_sim_forget(rig.disk);
            uint64_t number = recover_and_check(&rig, &promise, "lying page cache");
            check_stable(&rig, number, op % 2 == 0, "lying page cache");
            wal_rig_deinit(&rig);
        }
    }
}
END_TEST

int main(void)
{
    TCase *crash = tcase_create("crash");
    tcase_set_timeout(crash, wal_rig_script_is_long() ? 3600 : 120);
    tcase_add_test(crash, test_wal_crash_at_every_operation_loses_nothing_acknowledged);
    tcase_add_test(crash, test_wal_crash_in_recovery_loses_nothing_either);
    tcase_add_test(crash, test_wal_crash_while_the_head_of_the_log_is_dropped_or_reset_leaves_the_old_log_or_the_new);
    tcase_add_test(crash, test_wal_crash_in_a_recovery_with_snapshots_loses_nothing_either);
    tcase_add_test(crash, test_wal_second_crash_loses_nothing_either);
    tcase_add_test(crash, test_wal_crash_while_files_are_used_again_loses_nothing_and_brings_nothing_back);
    tcase_add_test(crash, test_wal_crash_in_and_after_a_recovery_of_files_that_were_used_again_loses_nothing_either);
    tcase_add_test(crash, test_wal_acknowledges_nothing_before_it_is_on_disk);
    tcase_add_test(crash, test_wal_recovery_does_not_trust_the_page_cache);
    Suite *suite = suite_create("wal_crash");
    suite_add_tcase(suite, crash);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
