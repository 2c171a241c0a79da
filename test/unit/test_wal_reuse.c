/* test_wal_reuse: files of the log that have been segments before. Which are used again, how many wait, what a start keeps of them; and that
 * what they held before is for recovery what zeros are: no trace of a batch, no durable mark, no damage. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/wal_rig.h"
#include "storage/wal_format.h"
#include "storage/wal_spare.h"

#define BLOCK WAL_FORMAT_BLOCK
#define CATCH_UP 5 /* entries behind a snapshot that stay in the log */

static struct wal_stats stats_of(const struct wal_rig *rig)
{
    struct wal_stats stats;
    wal_get_stats(rig->wal, &stats);
    return stats;
}

/* Entries up to `last`, each a batch of its own; with a snapshot as often as one covers a segment. */
static void append_up_to(struct wal_rig *rig, uint64_t last, size_t size)
{
    for (uint64_t index = rig->states[rig->appended]->last_index + 1; index <= last; index++) {
        wal_rig_append(rig, index, 1, 1, index - 1, size);
        wal_rig_run(rig);
        if (index <= CATCH_UP + 1) continue;
        wal_rig_snapshot(rig, index - CATCH_UP, 1);
        wal_drop_head(rig->wal, index - CATCH_UP);
        wal_rig_run(rig);
    }
}

static void open_ok(struct wal_rig *rig, const char *what)
{
    enum err err = wal_rig_open(rig);
    ck_assert_msg(err == ERR_OK, "%s: %s: %s", what, err_name(err), rig->found.message);
}

static size_t spare_count(const struct wal_rig *rig)
{
    char name[256];
    size_t count = 0;
    for (size_t i = 0; fs_sim_name(rig->disk, WAL_RIG_DIRECTORY, i, name, sizeof name); i++) count += wal_spare_is_name(name) ? 1 : 0;
    return count;
}

static void newest_path(const struct wal_rig *rig, char *out_path, size_t size)
{
    for (size_t i = 0; wal_rig_segment(rig, i, out_path, size); i++) continue;
}

/* ---- which files are used again ---- */

START_TEST(test_reuse_in_the_long_run_no_file_is_made_anew)
{
    for (int no_sync = 0; no_sync < 2; no_sync++) {
        struct wal_rig rig;
        wal_rig_init(&rig);
        rig.options.unsafe_no_fsync = no_sync != 0;
        open_ok(&rig, "new");
        append_up_to(&rig, 60, 900);
        struct wal_stats before = stats_of(&rig);
        append_up_to(&rig, 200, 900);
        struct wal_stats after = stats_of(&rig);
        ck_assert_uint_gt(after.segments - before.segments, 10);
        ck_assert_uint_eq(after.reused - before.reused, after.segments - before.segments);
        ck_assert_uint_eq(after.disk_bytes, fs_sim_used(rig.disk));
        wal_rig_close(&rig);
        open_ok(&rig, "again");
        ck_assert_int_eq(rig.found.tail, WAL_TAIL_CLEAN);
        ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
        wal_rig_deinit(&rig);
    }
}
END_TEST

START_TEST(test_reuse_few_wait_and_a_start_keeps_none)
{
    struct wal_rig rig;
    char path[64];
    wal_rig_init(&rig);
    open_ok(&rig, "new");
    for (uint64_t index = 1; index <= 150; index++) {
        wal_rig_append(&rig, index, 1, 1, index - 1, 900);
        wal_rig_run(&rig);
    }
    ck_assert_uint_eq(spare_count(&rig), 1);
    wal_drop_head(rig.wal, 140);
    wal_rig_run(&rig);
    ck_assert_uint_eq(spare_count(&rig), 1 + WAL_SPARE_KEPT_MAX);
    wal_rig_close(&rig);
    for (size_t i = 0; i < 3; i++) {
        static const char *const others[] = {"spare-", "spare-000000000000001g", "spares"};
        (void)snprintf(path, sizeof path, WAL_RIG_DIRECTORY "/%s", others[i]);
        struct fs *fs = fs_sim_new(rig.disk, true);
        struct fs_file *file = NULL;
        ck_assert_int_eq(fs_open(fs, path, FS_WRITE | FS_CREATE, &file), 0);
        fs_close(fs, file);
        fs_free(fs);
    }
    wal_rig_snapshot(&rig, 140, 1);
    open_ok(&rig, "again");
    ck_assert_uint_eq(spare_count(&rig), 0);
    for (size_t i = 0; i < 3; i++) ck_assert(fs_sim_exists(rig.disk, path)); /* what is not the log's is left alone */
    wal_rig_deinit(&rig);
}
END_TEST

/* Damaged, or as it was when the making stopped, or with the first batch of a segment that never got its name. */
START_TEST(test_reuse_a_start_takes_nothing_out_of_what_waits)
{
    struct wal_rig rig;
    char name[256], path[300], newest[256];
    uint8_t bytes[4 * BLOCK];
    wal_rig_init(&rig);
    open_ok(&rig, "new");
    append_up_to(&rig, 60, 900);
    wal_rig_close(&rig);
    newest_path(&rig, newest, sizeof newest);
    fs_sim_peek(rig.disk, newest, 0, bytes, sizeof bytes);
    for (size_t i = 0; fs_sim_name(rig.disk, WAL_RIG_DIRECTORY, i, name, sizeof name); i++) {
        (void)snprintf(path, sizeof path, WAL_RIG_DIRECTORY "/%s", name);
        if (wal_spare_is_name(name)) fs_sim_poke(rig.disk, path, 0, bytes, sizeof bytes);
    }
    open_ok(&rig, "again");
    ck_assert_int_eq(rig.found.tail, WAL_TAIL_CLEAN);
    append_up_to(&rig, 100, 900);
    wal_rig_close(&rig);
    open_ok(&rig, "a third time");
    ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_reuse_is_not_of_a_file_larger_than_a_segment)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig, "new");
    append_up_to(&rig, 20, 900);
    wal_rig_append(&rig, 21, 1, 1, 20, 30000);
    wal_rig_run(&rig);
    append_up_to(&rig, 60, 900);
    ck_assert_uint_lt(stats_of(&rig).disk_bytes, 8192 * (3 + WAL_SPARE_KEPT_MAX));
    wal_rig_deinit(&rig);
}
END_TEST

/* What waits does not keep a full disk full: what a file lacks in length finds room once another has gone. */
START_TEST(test_reuse_goes_on_where_there_is_no_room_to_make_a_file_longer)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig, "new");
    for (uint64_t index = 1; index <= 60; index++) {
        wal_rig_append(&rig, index, 1, 1, index - 1, 900);
        wal_rig_run(&rig);
    }
    wal_drop_head(rig.wal, 55);
    wal_rig_run(&rig);
    ck_assert_uint_gt(spare_count(&rig), 4);
    fs_sim_set_room(rig.disk, fs_sim_used(rig.disk));
    for (uint64_t index = 61; index <= 90; index++) {
        wal_rig_append(&rig, index, 1, 1, index - 1, 900);
        wal_rig_run(&rig);
        rig.now_ns += 2 * WAL_SPARE_RETRY_NS;
        wal_rig_run(&rig);
        ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
        ck_assert(!wal_no_space(rig.wal));
        if (index > 65) wal_drop_head(rig.wal, index - 5);
    }
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- what they held before ---- */

/* The newest segment's file has had another life, and its last batch is one of several blocks that no mark covers. */
struct reused {
    struct wal_rig rig;
    char path[256];
    struct fs_sim_disk *before; /* that batch */
    struct fs_sim_disk *whole;
    uint64_t offset; /* of that batch */
    uint32_t blocks;
    struct wal_format_head head;
};

static uint64_t end_of(const struct fs_sim_disk *disk, const char *path, uint64_t segment_id)
{
    uint64_t end = 0;
    for (uint64_t offset = 0; offset < fs_sim_size(disk, path); offset += BLOCK) {
        uint8_t block[BLOCK];
        struct wal_format_stamp stamp;
        fs_sim_peek(disk, path, offset, block, sizeof block);
        if (wal_format_classify(block, &stamp) == WAL_FORMAT_GOOD && stamp.segment_id == segment_id) end = offset + BLOCK;
    }
    return end;
}

/* `count`: so many batches stand in the newest segment before the last one. */
static void reused_init(struct reused *reused, uint64_t count)
{
    struct wal_rig *rig = &reused->rig;
    uint8_t block[BLOCK];
    wal_rig_init(rig);
    open_ok(rig, "new");
    uint64_t segments = 0, index = 60;
    append_up_to(rig, index, 700);
    for (segments = stats_of(rig).segments; stats_of(rig).segments == segments;) append_up_to(rig, ++index, 700);
    append_up_to(rig, index + count, 700);
    ck_assert_uint_eq(stats_of(rig).segments, segments + 1);
    newest_path(rig, reused->path, sizeof reused->path);
    reused->before = fs_sim_copy(rig->disk);
    fs_sim_peek(rig->disk, reused->path, 0, block, sizeof block);
    ck_assert(wal_format_head_decode(block, &reused->head));
    ck_assert_uint_ne(reused->head.former, 0);
    ck_assert_uint_ne(reused->head.features & WAL_FORMAT_FEATURE_REUSED, 0);
    uint64_t id = wal_format_segment_id(reused->head.cluster_id, reused->head.member_id, reused->head.sequence);
    reused->offset = end_of(rig->disk, reused->path, id);
    wal_rig_append(rig, index + count + 1, 1, 2, index + count, 1500);
    wal_rig_run(rig);
    ck_assert_uint_eq(stats_of(rig).segments, segments + 1);
    reused->blocks = (uint32_t)((end_of(rig->disk, reused->path, id) - reused->offset) / BLOCK);
    ck_assert_uint_eq(reused->blocks, 4);
    wal_rig_close(rig);
    reused->whole = fs_sim_copy(rig->disk);
}

static void reused_deinit(struct reused *reused)
{
    fs_sim_disk_free(reused->before);
    fs_sim_disk_free(reused->whole);
    wal_rig_deinit(&reused->rig);
}

/* Opens: the log must be as after its append `number`, with that tail. */
static void expect(struct reused *reused, uint64_t number, enum wal_tail tail, const char *what, uint64_t place)
{
    struct wal_rig *rig = &reused->rig;
    enum err err = wal_rig_open(rig);
    ck_assert_msg(err == ERR_OK, "%s %lu: %s: %s", what, (unsigned long)place, err_name(err), rig->found.message);
    ck_assert_msg(rig->found.tail == tail, "%s %lu: tail %d: %s", what, (unsigned long)place, (int)rig->found.tail, rig->found.message);
    if (wal_rig_match(rig, number, tail == WAL_TAIL_SUSPECT ? rig->appended : number) != (int)number) {
        ck_abort_msg("%s %lu: another log: %s", what, (unsigned long)place, rig->found.message);
    }
    wal_rig_move(rig, fs_sim_copy(reused->whole));
}

START_TEST(test_reuse_stale_batches_behind_the_end_are_no_trace_of_one)
{
    for (uint64_t count = 0; count < 4; count++) {
        struct reused reused;
        reused_init(&reused, count);
        expect(&reused, reused.rig.appended, WAL_TAIL_CLEAN, "whole", count);
        wal_rig_move(&reused.rig, fs_sim_copy(reused.before));
        expect(&reused, reused.rig.appended - 1, WAL_TAIL_CLEAN, "before the last batch", count);
        reused_deinit(&reused);
    }
}
END_TEST

/* Of each block the disk has the first bytes only, and behind them what the file held before; or of all of them. */
START_TEST(test_reuse_write_torn_over_stale_bytes_is_torn)
{
    for (uint64_t count = 0; count < 4; count++) {
        struct reused reused;
        reused_init(&reused, count);
        struct wal_rig *rig = &reused.rig;
        for (uint32_t place = 0; place <= reused.blocks; place++) {
            for (uint32_t kept = 0; kept < BLOCK; kept += 64) {
                for (uint32_t i = 0; i < reused.blocks; i++) {
                    uint8_t stale[BLOCK];
                    uint64_t at = reused.offset + (uint64_t)i * BLOCK + kept;
                    if (place < reused.blocks && i != place) continue;
                    fs_sim_peek(reused.before, reused.path, at, stale, BLOCK - kept);
                    fs_sim_poke(rig->disk, reused.path, at, stale, BLOCK - kept);
                }
                bool is_gone = kept == 0 && place == reused.blocks;
                expect(&reused, rig->appended - 1, is_gone ? WAL_TAIL_CLEAN : WAL_TAIL_TORN, "torn at", (uint64_t)place * BLOCK + kept);
            }
        }
        reused_deinit(&reused);
    }
}
END_TEST

/* The last batch may have been acknowledged: whatever bit of it is wrong, it is not taken for one that was never completed. */
START_TEST(test_reuse_damage_of_a_batch_over_stale_bytes_is_suspect)
{
    struct reused reused;
    reused_init(&reused, 1);
    struct wal_rig *rig = &reused.rig;
    for (uint64_t at = 0; at < (uint64_t)reused.blocks * BLOCK; at += at % BLOCK >= BLOCK - WAL_FORMAT_SEAL ? 1 : at % BLOCK == 490 ? 18 : 7) {
        for (unsigned bit = 0; bit < 8; bit++) {
            fs_sim_flip(rig->disk, reused.path, reused.offset + at, (uint8_t)(1u << bit));
            expect(&reused, rig->appended - 1, WAL_TAIL_SUSPECT, "flipped at", at);
        }
    }
    struct rng rng;
    rng_init(&rng, 3);
    for (uint32_t i = 0; i < reused.blocks; i++) {
        uint8_t noise[BLOCK];
        for (size_t j = 0; j < sizeof noise; j++) noise[j] = (uint8_t)rng_next(&rng);
        fs_sim_poke(rig->disk, reused.path, reused.offset + (uint64_t)i * BLOCK, noise, sizeof noise);
        expect(&reused, rig->appended - 1, WAL_TAIL_SUSPECT, "noise in block", i);
    }
    reused_deinit(&reused);
}
END_TEST

/* No worse than in zeros: the log is whole, and goes on in a new segment. */
START_TEST(test_reuse_flipped_bit_in_stale_bytes_costs_nothing)
{
    struct reused reused;
    reused_init(&reused, 1);
    struct wal_rig *rig = &reused.rig;
    uint64_t end = reused.offset + (uint64_t)reused.blocks * BLOCK, size = fs_sim_size(rig->disk, reused.path);
    size_t stale_blocks = 0;
    for (uint64_t block = end; block < size; block += BLOCK) {
        uint8_t bytes[BLOCK];
        struct wal_format_stamp stamp;
        fs_sim_peek(rig->disk, reused.path, block, bytes, sizeof bytes);
        if (wal_format_classify(bytes, &stamp) == WAL_FORMAT_GOOD) stale_blocks++;
        for (uint64_t at = 0; at < BLOCK; at += at < 448 ? 31 : 1) {
            fs_sim_flip(rig->disk, reused.path, block + at, (uint8_t)(1u << at % 8));
            expect(&reused, rig->appended, WAL_TAIL_TORN, "flipped at", block + at);
        }
    }
    ck_assert_uint_gt(stale_blocks, 4);
    reused_deinit(&reused);
}
END_TEST

/* A program that does not know what such a file holds behind the end must not judge it. */
START_TEST(test_reuse_is_told_in_the_head)
{
    struct reused reused;
    reused_init(&reused, 1);
    ck_assert_uint_lt(reused.head.former, reused.head.sequence);
    ck_assert_uint_eq(wal_format_former_id(&reused.head),
                      wal_format_segment_id(reused.head.cluster_id, reused.head.member_id, reused.head.former));
    uint8_t block[BLOCK];
    struct wal_format_stamp stamp;
    fs_sim_peek(reused.before, reused.path, reused.offset, block, sizeof block);
    ck_assert_int_eq(wal_format_classify(block, &stamp), WAL_FORMAT_GOOD);
    ck_assert_uint_eq(stamp.segment_id, wal_format_former_id(&reused.head));
    ck_assert(wal_format_is_unfinished(block, stamp.segment_id));
    ck_assert(!wal_format_is_unfinished(block, stamp.segment_id + 1));
    ck_assert(!wal_format_is_unfinished(block, 0));
    reused_deinit(&reused);
}
END_TEST

int main(void)
{
    TCase *reuse = tcase_create("reuse");
    tcase_set_timeout(reuse, 120);
    tcase_add_test(reuse, test_reuse_in_the_long_run_no_file_is_made_anew);
    tcase_add_test(reuse, test_reuse_few_wait_and_a_start_keeps_none);
    tcase_add_test(reuse, test_reuse_a_start_takes_nothing_out_of_what_waits);
    tcase_add_test(reuse, test_reuse_is_not_of_a_file_larger_than_a_segment);
    tcase_add_test(reuse, test_reuse_goes_on_where_there_is_no_room_to_make_a_file_longer);
    tcase_add_test(reuse, test_reuse_stale_batches_behind_the_end_are_no_trace_of_one);
    tcase_add_test(reuse, test_reuse_write_torn_over_stale_bytes_is_torn);
    tcase_add_test(reuse, test_reuse_damage_of_a_batch_over_stale_bytes_is_suspect);
    tcase_add_test(reuse, test_reuse_flipped_bit_in_stale_bytes_costs_nothing);
    tcase_add_test(reuse, test_reuse_is_told_in_the_head);
    Suite *suite = suite_create("wal_reuse");
    suite_add_tcase(suite, reuse);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
