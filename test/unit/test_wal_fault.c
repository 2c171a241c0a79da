/* test_wal_fault: what does the log do when an operation fails, or when the disk is full?
 *
 * Every call of every kind fails once while the script runs in a process of its own: either it ends with path and reason, or the
 * failure was one that costs nothing. Acknowledgements are heard of through a pipe.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "lib/wal_rig_script.h"

#define EXIT_OPEN_REFUSED 10

struct outcome {
    int code;
    uint64_t acked;  /* the newest append that was acknowledged */
    char text[2048]; /* what stood on stderr */
};

static void run_in_child(wal_rig_script_fn *script, enum fs_kind kind, uint64_t nth, int error, int report)
{
    struct wal_rig rig;
    struct wal_rig_promise promise = {.report = report};
    wal_rig_init(&rig);
    fs_sim_fail(rig.disk, kind, nth, error);
    if (script(&rig, &promise) != ERR_OK) {
        dprintf(2, "refused: %s\n", rig.found.message);
        _exit(EXIT_OPEN_REFUSED);
    }
    wal_rig_script_idle(&rig, &promise);
    wal_rig_script_idle(&rig, &promise);
    _exit(wal_rig_durable(&rig) == rig.appended ? EXIT_SUCCESS : EXIT_FAILURE);
}

static struct outcome script_with_fault(wal_rig_script_fn *script, enum fs_kind kind, uint64_t nth, int error)
{
    struct outcome outcome = {.code = -1};
    int acks[2], words[2];
    ck_assert_int_eq(pipe(acks), 0);
    ck_assert_int_eq(pipe(words), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)close(acks[0]);
        (void)dup2(words[1], 2);
        run_in_child(script, kind, nth, error, acks[1]);
    }
    (void)close(acks[1]);
    (void)close(words[1]);
    uint64_t acked = 0;
    while (read(acks[0], &acked, sizeof acked) == (ssize_t)sizeof acked) outcome.acked = acked;
    for (ssize_t used = 0, got = 1; got > 0; used += got) {
        got = read(words[0], outcome.text + used, sizeof outcome.text - 1 - (size_t)used);
    }
    (void)close(acks[0]);
    (void)close(words[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status), "kind %d, call %lu: %s", (int)kind, (unsigned long)nth, outcome.text);
    outcome.code = WEXITSTATUS(status);
    return outcome;
}

/* It ended as it should: the path and the reason were said. */
static void check_end(const struct outcome *outcome, enum fs_kind kind, uint64_t nth, int error)
{
    ck_assert_msg(outcome->code == FATAL_EXIT_CODE || outcome->code == EXIT_OPEN_REFUSED, "kind %d, call %lu: exit %d: %s", (int)kind,
                  (unsigned long)nth, outcome->code, outcome->text);
    const char *start = outcome->code == FATAL_EXIT_CODE ? "fatal: " WAL_RIG_DIRECTORY : "refused: " WAL_RIG_DIRECTORY;
    ck_assert_msg(strncmp(outcome->text, start, strlen(start)) == 0, "no path: %s", outcome->text);
    ck_assert_msg(strstr(outcome->text, strerror(error)) != NULL, "no reason: %s", outcome->text);
}

/* Fails call 1, 2, … until there is no such call any more; returns how many ended the process while it ran. */
static size_t fail_each_call(wal_rig_script_fn *script, enum fs_kind kind, int error, bool is_ignored)
{
    size_t fatals = 0;
    uint64_t acked_before = 0;
    for (uint64_t nth = 1;; nth++) {
        struct outcome outcome = script_with_fault(script, kind, nth, error);
        ck_assert_uint_ge(outcome.acked, acked_before); /* a later fault: no less was acknowledged before it */
        acked_before = outcome.acked;
        if (outcome.code == EXIT_SUCCESS) {
            bool is_over = fatals > 0 || nth > 40 || !is_ignored;
            if (is_over) return fatals;
            continue;
        }
        ck_assert_msg(!is_ignored, "kind %d, call %lu: %s", (int)kind, (unsigned long)nth, outcome.text);
        check_end(&outcome, kind, nth, error);
        if (outcome.code == FATAL_EXIT_CODE) fatals++;
        ck_assert_uint_lt(nth, 100);
    }
}

/* Where some are of no account: an old segment's file that cannot be renamed is removed. */
static size_t fail_renames(wal_rig_script_fn *script, int error, size_t *out_survived)
{
    size_t fatals = 0;
    *out_survived = 0;
    for (uint64_t nth = 1; nth <= 30; nth++) {
        struct outcome outcome = script_with_fault(script, FS_RENAME, nth, error);
        if (outcome.code == EXIT_SUCCESS) {
            ++*out_survived;
            continue;
        }
        check_end(&outcome, FS_RENAME, nth, error);
        fatals++;
    }
    return fatals;
}

START_TEST(test_wal_failing_write_or_sync_ends_the_process_with_path_and_reason)
{
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_PWRITE, EIO, false), 15); /* as many as there are batches */
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_FDATASYNC, EIO, false), 20);
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_FSYNC_DIR, EIO, false), 3);
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_RENAME, EIO, false), 3);
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_PWRITE, ENOSPC, false), 15); /* they go to bytes that exist: not a full disk but a lie */
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_FSYNC_DIR, ENOSPC, false), 3);
}
END_TEST

START_TEST(test_wal_failing_reset_ends_the_process_with_path_and_reason)
{
    ck_assert_uint_gt(fail_each_call(wal_rig_script_heads, FS_PWRITE, EIO, false), 30);
    ck_assert_uint_gt(fail_each_call(wal_rig_script_heads, FS_FDATASYNC, EIO, false), 40);
    ck_assert_uint_gt(fail_each_call(wal_rig_script_heads, FS_FSYNC_DIR, EIO, false), 15); /* also of those after a removal */
    size_t survived = 0;
    ck_assert_uint_gt(fail_renames(wal_rig_script_heads, EIO, &survived), 8);
    ck_assert_uint_gt(survived, 0);
}
END_TEST

/* What cannot be removed stays a while longer. */
START_TEST(test_wal_failing_removal_of_an_old_segment_is_tried_again)
{
    static const int errors[] = {EIO, EACCES, ENOSPC};
    for (size_t i = 0; i < 3; i++) {
        struct wal_rig rig;
        char path[256];
        size_t count = 0;
        wal_rig_init(&rig);
        ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
        for (uint64_t index = 1; index <= 40; index++) {
            wal_rig_append(&rig, index, 1, 1, index - 1, 900);
            wal_rig_run(&rig);
        }
        fs_sim_fail(rig.disk, FS_RENAME, 2, errors[i]); /* the second one is not kept for use again, but removed */
        fs_sim_fail(rig.disk, FS_UNLINK, 1, errors[i]);
        wal_drop_head(rig.wal, 40);
        wal_rig_run(&rig);
        while (wal_rig_segment(&rig, count, path, sizeof path)) count++;
        ck_assert_uint_gt(count, 2);
        ck_assert_uint_eq(wal_deadline_ns(rig.wal), rig.now_ns + NS_PER_S);
        rig.now_ns += NS_PER_S;
        wal_rig_run(&rig);
        ck_assert(!wal_rig_segment(&rig, 1, path, sizeof path));
        ck_assert_uint_eq(wal_deadline_ns(rig.wal), CLOCK_NEVER);
        struct wal_stats stats;
        wal_get_stats(rig.wal, &stats);
        ck_assert_uint_eq(stats.disk_bytes, fs_sim_used(rig.disk));
        wal_rig_deinit(&rig);
    }
    (void)fail_each_call(wal_rig_script_heads, FS_UNLINK, EIO, false); /* that of what a spare left behind, at start, is a refusal */
}
END_TEST

START_TEST(test_wal_disk_full_while_a_reset_waits_for_its_segment_is_survived)
{
    for (uint64_t nth = 2; nth < 12; nth++) {
        struct outcome outcome = script_with_fault(wal_rig_script_heads, FS_ALLOCATE, nth, ENOSPC);
        ck_assert_msg(outcome.code == EXIT_SUCCESS, "call %lu: %s", (unsigned long)nth, outcome.text);
    }
    struct wal_rig rig;
    wal_rig_init(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_append(&rig, 1, 1, 1, 0, 100);
    fs_sim_set_room(rig.disk, fs_sim_used(rig.disk));
    wal_rig_run(&rig);
    wal_rig_reset(&rig, 50, 2, 2);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended - 1);
    ck_assert(wal_no_space(rig.wal));
    fs_sim_set_room(rig.disk, UINT64_MAX);
    rig.now_ns = wal_deadline_ns(rig.wal);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    ck_assert(!wal_no_space(rig.wal));
    wal_rig_snapshot(&rig, 50, 2);
    wal_rig_close(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_failing_spare_ends_the_process_with_path_and_reason)
{
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_ALLOCATE, EIO, false), 3);
    ck_assert_uint_gt(fail_each_call(wal_rig_script, FS_OPEN, EIO, false), 3);
    (void)fail_each_call(wal_rig_script, FS_UNLINK, EIO, false); /* of what a spare left behind, at start only */
    (void)fail_each_call(wal_rig_script, FS_LIST, EIO, false);
}
END_TEST

START_TEST(test_wal_failing_tidying_up_costs_nothing)
{
    (void)fail_each_call(wal_rig_script, FS_TRUNCATE, EIO, true);
    (void)fail_each_call(wal_rig_script, FS_CLOSE, EIO, true);
}
END_TEST

/* The batch whose sync failed is not acknowledged, and nothing after it: call by call, that is one batch more each time. */
START_TEST(test_wal_failed_sync_is_not_tried_again_and_acknowledges_nothing)
{
    struct outcome whole = script_with_fault(wal_rig_script, FS_LOCK, 1, EIO);
    ck_assert_int_eq(whole.code, EXIT_SUCCESS);
    for (uint64_t nth = 2; nth < 20; nth++) {
        struct outcome outcome = script_with_fault(wal_rig_script, FS_FDATASYNC, nth, EIO);
        ck_assert_int_eq(outcome.code, FATAL_EXIT_CODE);
        ck_assert_uint_lt(outcome.acked, whole.acked);
    }
}
END_TEST

START_TEST(test_wal_failing_recovery_is_a_refusal_with_path_and_reason)
{
    static const enum fs_kind kinds[] = {FS_LIST, FS_OPEN, FS_SIZE, FS_PREAD, FS_PWRITE, FS_FDATASYNC, FS_FSYNC_DIR, FS_RENAME,
                                         FS_ALLOCATE};
    struct wal_rig rig;
    struct wal_rig_promise promise = {.report = -1};
    char path[256];
    wal_rig_init(&rig);
    ck_assert_int_eq(wal_rig_script(&rig, &promise), ERR_OK);
    wal_rig_append(&rig, 22, 2, 5, 20, 500);
    wal_rig_run(&rig);
    wal_rig_close(&rig);
    for (size_t i = 0; wal_rig_segment(&rig, i, path, sizeof path); i++) continue;
    uint8_t zeros[512] = {0};
    uint64_t torn = fs_sim_size(rig.disk, path); /* the last block that was written */
    for (uint8_t byte = 0; byte == 0;) {
        torn -= 512;
        fs_sim_peek(rig.disk, path, torn, &byte, 1);
    }
    fs_sim_poke(rig.disk, path, torn, zeros, sizeof zeros); /* so that there is something to repair */
    struct fs_sim_disk *whole = fs_sim_copy(rig.disk);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t refusals = 0;
        for (uint64_t nth = 1;; nth++) {
            wal_rig_move(&rig, fs_sim_copy(whole));
            fs_sim_fail(rig.disk, kinds[i], nth, EACCES);
            if (wal_rig_open(&rig) == ERR_OK) break;
            refusals++;
            ck_assert_msg(strncmp(rig.found.message, WAL_RIG_DIRECTORY, 1) == 0, "kind %d: %s", (int)kinds[i], rig.found.message);
            ck_assert_msg(strstr(rig.found.message, strerror(EACCES)) != NULL, "kind %d: %s", (int)kinds[i], rig.found.message);
            wal_rig_close(&rig); /* and the next start, with a disk that works, finds everything */
            fs_sim_fail(rig.disk, kinds[i], 0, 0);
            ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "kind %d: %s", (int)kinds[i], rig.found.message);
            ck_assert_int_ge(wal_rig_match(&rig, rig.appended - 1, rig.appended - 1), 0);
            ck_assert_uint_lt(nth, 100);
        }
        ck_assert_uint_gt(refusals, 0);
    }
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

/* The size of a file says where it ends, a read that brings less does not. */
START_TEST(test_wal_short_read_at_start_is_not_taken_for_the_end_of_the_log)
{
    struct wal_rig rig;
    struct wal_rig_promise promise = {.report = -1};
    size_t refusals = 0, read = 1;
    wal_rig_init(&rig);
    ck_assert_int_eq(wal_rig_script(&rig, &promise), ERR_OK);
    wal_rig_append(&rig, 22, 2, 5, 20, 500);
    wal_rig_run(&rig);
    wal_rig_close(&rig);
    struct fs_sim_disk *whole = fs_sim_copy(rig.disk);
    for (uint64_t nth = 1; read > 0; nth++) {
        wal_rig_move(&rig, fs_sim_copy(whole));
        fs_sim_fail(rig.disk, FS_PREAD, nth, FS_SIM_SHORT);
        bool is_refused = wal_rig_open(&rig) != ERR_OK;
        read = fs_sim_failed(rig.disk);
        refusals += is_refused;
        if (is_refused) {
            ck_assert_msg(strstr(rig.found.message, WAL_RIG_DIRECTORY) != NULL, "read %u: %s", (unsigned)nth, rig.found.message);
            ck_assert_msg(strstr(rig.found.message, strerror(EIO)) != NULL, "read %u: %s", (unsigned)nth, rig.found.message); /* no damage */
            wal_rig_close(&rig);
            fs_sim_fail(rig.disk, FS_PREAD, 0, 0);
            ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "read %u: %s", (unsigned)nth, rig.found.message);
        }
        ck_assert_msg(wal_rig_match(&rig, rig.appended, rig.appended) >= 0, "read %u", (unsigned)nth);
    }
    ck_assert_uint_gt(refusals, 0);
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- the disk is full ---- */

START_TEST(test_wal_disk_full_while_a_segment_is_made_is_survived)
{
    static const int errors[] = {ENOSPC, EDQUOT};
    for (uint64_t nth = 2; nth < 8; nth++) {
        for (size_t i = 0; i < 2; i++) {
            struct outcome outcome = script_with_fault(wal_rig_script, FS_ALLOCATE, nth, errors[i]);
            ck_assert_msg(outcome.code == EXIT_SUCCESS, "call %lu: %s", (unsigned long)nth, outcome.text);
            outcome = script_with_fault(wal_rig_script, FS_OPEN, nth + 2, errors[i]);
            bool is_good = outcome.code == EXIT_SUCCESS || outcome.code == EXIT_OPEN_REFUSED;
            ck_assert_msg(is_good, "call %lu: %s", (unsigned long)nth, outcome.text);
        }
    }
}
END_TEST

/* Also when the room is only missed at the sync of the zeros, as with delayed allocation: the spare's syncs, unlike those of
 * batches, cover nothing yet. */
START_TEST(test_wal_disk_full_at_the_sync_of_a_spare_is_survived)
{
    size_t survived = 0;
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct outcome outcome = script_with_fault(wal_rig_script, FS_FDATASYNC, nth, ENOSPC);
        if (outcome.code == EXIT_SUCCESS) survived++;
        if (outcome.code != EXIT_SUCCESS) ck_assert_ptr_nonnull(strstr(outcome.text, strerror(ENOSPC)));
    }
    ck_assert_uint_gt(survived, 3);
}
END_TEST

static void fill_up(struct wal_rig *rig, uint64_t *index)
{
    fs_sim_set_room(rig->disk, fs_sim_used(rig->disk));
    while (!wal_no_space(rig->wal)) {
        wal_rig_append(rig, *index, 1, 1, *index - 1, 400);
        (*index)++;
        wal_rig_run(rig);
        ck_assert_uint_eq(wal_rig_durable(rig), rig->appended); /* what was taken before the refusal fits */
        ck_assert_uint_lt(*index, 100);
    }
}

START_TEST(test_wal_without_room_refuses_and_resumes)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    rig.options.batch_bytes_max = 1024;
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_run(&rig); /* one spare is there */
    uint64_t index = 1;
    fill_up(&rig, &index);
    ck_assert_uint_gt(index, 5);
    wal_rig_append(&rig, index, 1, 1, index - 1, 400); /* one full batch more still fits */
    wal_rig_run(&rig);
    wal_rig_hard(&rig, 5, 3, index);                   /* and the reserve takes hard state */
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    ck_assert_uint_eq(wal_deadline_ns(rig.wal), rig.now_ns + NS_PER_S);
    rig.now_ns += NS_PER_S;
    wal_rig_run(&rig);
    ck_assert(wal_no_space(rig.wal));
    fs_sim_set_room(rig.disk, UINT64_MAX);
    rig.now_ns += NS_PER_S;
    wal_rig_run(&rig);
    ck_assert(!wal_no_space(rig.wal));
    for (uint64_t i = 1; i <= 20; i++) wal_rig_append(&rig, index + i, 1, 5, index, 400);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    wal_rig_close(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
    wal_rig_deinit(&rig);
}
END_TEST

/* Votes and terms cost two blocks each. While nothing else is taken, the reserve has room for 64 KiB of them, or an eighth of a segment. */
START_TEST(test_wal_without_room_keeps_a_reserve_for_hard_state)
{
    struct wal_rig rig;
    uint64_t index = 1;
    uint64_t term = 1;
    wal_rig_init(&rig);
    rig.options.segment_bytes = 256 << 10;
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_run(&rig);
    fs_sim_set_room(rig.disk, fs_sim_used(rig.disk));
    for (; !wal_no_space(rig.wal); index++) {
        wal_rig_append(&rig, index, 1, 1, index - 1, 3000);
        wal_rig_run(&rig);
    }
    wal_rig_append(&rig, index, 1, 1, index, 3000); /* was under way */
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    while (wal_rig_durable(&rig) == rig.appended) {
        wal_rig_hard(&rig, ++term, 3, index);
        wal_rig_run(&rig);
    }
    ck_assert_uint_ge(term, (256 << 10) / 8 / 1024);
    rig.now_ns += NS_PER_S;
    fs_sim_set_room(rig.disk, UINT64_MAX);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_without_room_still_reads_and_starts)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    rig.options.batch_bytes_max = 1024;
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_run(&rig);
    uint64_t index = 1;
    fill_up(&rig, &index);
    wal_rig_hard(&rig, 2, 3, index - 1); /* elections go on, too */
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    struct fs *fs = fs_sim_new(rig.disk, true);
    struct wal_fetch *fetch = wal_fetch_new(fs, WAL_RIG_DIRECTORY);
    struct raft_entry *entries = NULL;
    size_t count = 0;
    ck_assert_int_eq(wal_fetch_read(fetch, 1, index - 1, 1 << 20, &entries, &count), ERR_OK);
    ck_assert_uint_eq(count, index - 1);
    wal_entries_free(entries, count);
    wal_fetch_free(fetch);
    fs_free(fs);
    wal_rig_close(&rig);
    ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
    ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
    wal_rig_run(&rig);
    ck_assert(wal_no_space(rig.wal)); /* it knows again */
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_rename_without_room_is_tried_again)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_run(&rig);
    fs_sim_fail(rig.disk, FS_RENAME, 1, ENOSPC);
    uint64_t index = 1;
    for (; index < 30 && !wal_no_space(rig.wal); index++) {
        wal_rig_append(&rig, index, 1, 1, index - 1, 400);
        wal_rig_run(&rig);
    }
    ck_assert(wal_no_space(rig.wal));
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended - 1);
    rig.now_ns = wal_deadline_ns(rig.wal);
    wal_rig_run(&rig);
    ck_assert(!wal_no_space(rig.wal));
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    wal_rig_close(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
    wal_rig_deinit(&rig);
}
END_TEST

int main(void)
{
    TCase *fault = tcase_create("fault");
    tcase_set_timeout(fault, 120);
    tcase_add_test(fault, test_wal_failing_write_or_sync_ends_the_process_with_path_and_reason);
    tcase_add_test(fault, test_wal_failing_reset_ends_the_process_with_path_and_reason);
    tcase_add_test(fault, test_wal_failing_removal_of_an_old_segment_is_tried_again);
    tcase_add_test(fault, test_wal_disk_full_while_a_reset_waits_for_its_segment_is_survived);
    tcase_add_test(fault, test_wal_failing_spare_ends_the_process_with_path_and_reason);
    tcase_add_test(fault, test_wal_failing_tidying_up_costs_nothing);
    tcase_add_test(fault, test_wal_failed_sync_is_not_tried_again_and_acknowledges_nothing);
    tcase_add_test(fault, test_wal_failing_recovery_is_a_refusal_with_path_and_reason);
    tcase_add_test(fault, test_wal_short_read_at_start_is_not_taken_for_the_end_of_the_log);
    tcase_add_test(fault, test_wal_disk_full_while_a_segment_is_made_is_survived);
    tcase_add_test(fault, test_wal_disk_full_at_the_sync_of_a_spare_is_survived);
    tcase_add_test(fault, test_wal_without_room_refuses_and_resumes);
    tcase_add_test(fault, test_wal_without_room_keeps_a_reserve_for_hard_state);
    tcase_add_test(fault, test_wal_without_room_still_reads_and_starts);
    tcase_add_test(fault, test_wal_rename_without_room_is_tried_again);
    Suite *suite = suite_create("wal_fault");
    suite_add_tcase(suite, fault);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
