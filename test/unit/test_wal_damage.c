/* test_wal_damage: does the log tell a write that never completed from damage, and refuse what is not its own?
 *
 * Every block of a log is damaged in turn; files are missing, too short, empty, foreign, stale, unreadable, or of a newer format.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/wal_rig_script.h"
#include "storage/wal_format.h"

/* What covers the last batch of the log: an idle mark, the name of the segment that it begins, or nothing. */
enum cover { COVER_MARK, COVER_NAME, COVER_NONE };

/* The log after the script, as a disk. The last batch holds entries 22 and 23 unless it is a mark. */
static struct fs_sim_disk *script_disk(struct wal_rig *rig, enum cover cover)
{
    struct wal_rig_promise promise = {.report = -1};
    struct wal_stats before;
    struct wal_stats after;
    wal_rig_init(rig);
    ck_assert_int_eq(wal_rig_script(rig, &promise), ERR_OK);
    wal_get_stats(rig->wal, &before);
    if (cover != COVER_MARK) wal_rig_append(rig, 22, 2, 5, 20, cover == COVER_NAME ? 4000 : 500);
    wal_rig_run(rig);
    wal_get_stats(rig->wal, &after);
    ck_assert_uint_eq(after.segments - before.segments, cover == COVER_NAME ? 1 : 0);
    ck_assert_uint_eq(after.batches - before.batches, cover == COVER_MARK ? 0 : 1);
    wal_rig_close(rig);
    return fs_sim_copy(rig->disk);
}

enum damage { DAMAGE_FLIP, DAMAGE_ZERO, DAMAGE_NOISE, DAMAGE_KINDS };

static void damage_block(struct wal_rig *rig, const char *path, uint64_t offset, enum damage damage, struct rng *rng)
{
    uint8_t block[WAL_FORMAT_BLOCK] = {0};
    if (damage == DAMAGE_FLIP) {
        fs_sim_flip(rig->disk, path, offset + rng_below(rng, WAL_FORMAT_BLOCK), (uint8_t)(1u << rng_below(rng, 8)));
        return;
    }
    for (size_t i = 0; damage == DAMAGE_NOISE && i < sizeof block; i++) block[i] = (uint8_t)rng_next(rng);
    fs_sim_poke(rig->disk, path, offset, block, sizeof block);
}

/* Whether the block was written, and by the last batch of the log (the only one that nothing covers). */
static bool block_is_used(const struct wal_rig *rig, const char *path, uint64_t offset, uint64_t *out_batch)
{
    uint8_t block[WAL_FORMAT_BLOCK];
    struct wal_format_stamp stamp;
    fs_sim_peek(rig->disk, path, offset, block, sizeof block);
    if (wal_format_classify(block, &stamp) != WAL_FORMAT_GOOD) return false;
    *out_batch = stamp.batch;
    return true;
}

static uint64_t last_batch(const struct wal_rig *rig)
{
    char path[256];
    uint64_t last = 0;
    uint64_t batch = 0;
    for (size_t i = 0; wal_rig_segment(rig, i, path, sizeof path); i++) {
        for (uint64_t offset = 0; offset < fs_sim_size(rig->disk, path); offset += WAL_FORMAT_BLOCK) {
            if (block_is_used(rig, path, offset, &batch) && batch > last) last = batch;
        }
    }
    return last;
}

static void check_damage(struct wal_rig *rig, const char *path, uint64_t offset, bool is_last, enum damage damage)
{
    char place[64];
    enum err err = wal_rig_open(rig);
    if (!is_last) {
        ck_assert_msg(err == ERR_CORRUPT, "%s %lu damage %d: %s", path, (unsigned long)offset, (int)damage, err_name(err));
        ck_assert_ptr_nonnull(strstr(rig->found.message, path));
        (void)snprintf(place, sizeof place, "offset %lu:", (unsigned long)offset);
        ck_assert_msg(strstr(rig->found.message, place) != NULL, "%s is not in: %s", place, rig->found.message);
        return;
    }
    ck_assert_msg(err == ERR_OK, "%s %lu damage %d: %s", path, (unsigned long)offset, (int)damage, rig->found.message);
    ck_assert_int_eq(rig->found.tail, damage == DAMAGE_ZERO ? WAL_TAIL_TORN : WAL_TAIL_SUSPECT);
    ck_assert_uint_gt(rig->found.cut_bytes, 0);
    ck_assert_ptr_nonnull(strstr(rig->found.message, path));
}

/* Every block, three kinds of damage. */
static void damage_everywhere(enum cover cover)
{
    struct wal_rig rig;
    struct rng rng;
    char path[256];
    rng_init(&rng, 5);
    struct fs_sim_disk *whole = script_disk(&rig, cover);
    uint64_t last = cover == COVER_NAME ? UINT64_MAX : last_batch(&rig); /* the mark itself is not covered, and says nothing */
    uint64_t batch = 0;
    size_t corrupt = 0;
    for (size_t i = 0; wal_rig_segment(&rig, i, path, sizeof path); i++) {
        uint64_t size = fs_sim_size(rig.disk, path);
        for (uint64_t offset = 0; offset < size; offset += WAL_FORMAT_BLOCK) {
            if (!block_is_used(&rig, path, offset, &batch)) continue;
            for (enum damage damage = 0; damage < DAMAGE_KINDS; damage++) {
                damage_block(&rig, path, offset, damage, &rng);
                check_damage(&rig, path, offset, batch == last, damage);
                corrupt += batch == last ? 0 : 1;
                wal_rig_move(&rig, fs_sim_copy(whole));
            }
        }
    }
    ck_assert_uint_gt(corrupt, 100);
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}

START_TEST(test_wal_damage_below_a_durable_mark_is_corruption_and_changes_nothing)
{
    damage_everywhere(COVER_NONE);
}
END_TEST

START_TEST(test_wal_idle_mark_covers_the_last_batch)
{
    damage_everywhere(COVER_MARK);
}
END_TEST

START_TEST(test_wal_name_of_a_segment_covers_its_first_batch)
{
    damage_everywhere(COVER_NAME);
}
END_TEST

START_TEST(test_wal_refusal_changes_nothing_on_disk)
{
    struct wal_rig rig;
    char path[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    fs_sim_flip(rig.disk, path, 3000, 1);
    uint64_t before = fs_sim_op_count(rig.disk);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_CORRUPT);
    wal_rig_close(&rig);
    ck_assert_uint_eq(fs_sim_used(rig.disk), fs_sim_used(whole));
    uint64_t opens = 0; /* opening to read counts as an operation, nothing else happened */
    while (wal_rig_segment(&rig, opens, path, sizeof path)) opens++;
    ck_assert_uint_le(fs_sim_op_count(rig.disk) - before, 2 * opens);
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

/* A log of so many batches, the last of which is damaged and may have been acknowledged. */
static void make_suspect(struct wal_rig *rig, uint64_t batches)
{
    char path[256];
    uint64_t batch = 0, offset = 0;
    size_t count = 0;
    wal_rig_init(rig);
    ck_assert_int_eq(wal_rig_open(rig), ERR_OK);
    for (uint64_t i = 0; i < batches; i++) {
        wal_rig_append(rig, 1 + 2 * i, 2, 1, 0, 600);
        wal_rig_run(rig);
    }
    wal_rig_close(rig);
    while (wal_rig_segment(rig, count, path, sizeof path)) count++;
    uint64_t last = last_batch(rig);
    while (!block_is_used(rig, path, offset, &batch) || batch != last) offset += WAL_FORMAT_BLOCK;
    fs_sim_flip(rig->disk, path, offset + WAL_FORMAT_BLOCK + 100, 4);
}

START_TEST(test_wal_suspect_tail_is_remembered_by_a_start_that_follows_one_that_failed)
{
    static const enum fs_kind kinds[] = {FS_RENAME, FS_OPEN, FS_PWRITE, FS_FDATASYNC, FS_FSYNC_DIR, FS_ALLOCATE, FS_UNLINK};
    uint64_t failed = 0;
    for (size_t at = 0; at < 3 * 6 * sizeof kinds / sizeof kinds[0]; at++) {
        struct wal_rig rig;
        uint64_t batches = 1 + at % 3; /* with one the last good batch is the first of its segment */
        make_suspect(&rig, batches);
        fs_sim_fail(rig.disk, kinds[at / 18], 1 + at / 3 % 6, EIO);
        enum err err = wal_rig_open(&rig);
        wal_rig_close(&rig);
        fs_sim_fail(rig.disk, kinds[at / 18], 0, 0);
        failed += err != ERR_OK;
        ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
        ck_assert_int_eq(rig.found.tail, WAL_TAIL_SUSPECT);
        ck_assert_uint_eq(rig.found.suspect_index, 2 * batches);
        wal_rig_close(&rig);
        wal_rig_deinit(&rig);
    }
    ck_assert_uint_gt(failed, 20);
}
END_TEST

START_TEST(test_wal_suspect_tail_is_remembered_until_the_commit_index_passes_it)
{
    struct wal_rig rig;
    char path[256];
    char broken[300];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_NONE);
    fs_sim_disk_free(whole);
    size_t count = 0;
    while (wal_rig_segment(&rig, count, path, sizeof path)) count++;
    uint64_t last = last_batch(&rig);
    uint64_t batch = 0;
    uint64_t offset = 0;
    while (!block_is_used(&rig, path, offset, &batch) || batch != last) offset += WAL_FORMAT_BLOCK;
    (void)snprintf(broken, sizeof broken, "%s" WAL_FORMAT_BROKEN_SUFFIX, path);
    fs_sim_flip(rig.disk, path, offset + WAL_FORMAT_BLOCK + 100, 4); /* its second block: the first says how far it led */
    enum err err = wal_rig_open(&rig);
    ck_assert_msg(err == ERR_OK, "%s", rig.found.message);
    ck_assert_int_eq(rig.found.tail, WAL_TAIL_SUSPECT);
    ck_assert_uint_eq(rig.found.suspect_index, 23);
    ck_assert_uint_eq(rig.found.suspect_term, 5);
    ck_assert_uint_eq(rig.found.last_index, 21);
    ck_assert(fs_sim_exists(rig.disk, broken));
    ck_assert_uint_eq(fs_sim_size(rig.disk, broken), rig.found.cut_bytes);
    struct fs_sim_disk *later = fs_sim_crash(rig.disk, &(struct fs_sim_crash){.loss = FS_SIM_LOSE_ALL, .names = FS_SIM_NAMES_NONE});
    uint8_t cut[2 * WAL_FORMAT_BLOCK], kept[2 * WAL_FORMAT_BLOCK];
    fs_sim_peek(rig.disk, path, offset, cut, sizeof cut);
    fs_sim_peek(later, broken, 0, kept, sizeof kept);
    ck_assert_mem_eq(kept, cut, sizeof cut);
    fs_sim_disk_free(later);
    wal_rig_continue_from(&rig, rig.appended - 1);
    for (uint64_t i = 0; i < 8; i++) { /* through another segment, and up to just below that position */
        wal_rig_append(&rig, 22, 2, 6 + i, 20 + i / 4, 2000);
        wal_rig_run(&rig);
    }
    wal_rig_close(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    ck_assert_int_eq(rig.found.tail, WAL_TAIL_SUSPECT);
    ck_assert_uint_eq(rig.found.suspect_index, 23);
    wal_rig_append(&rig, 24, 1, 14, 23, 20);
    wal_rig_run(&rig);
    wal_rig_close(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    ck_assert_int_eq(rig.found.tail, WAL_TAIL_CLEAN);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_segment_that_was_begun_behind_a_damaged_tail_is_missed)
{
    struct wal_rig rig;
    char path[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_NONE);
    fs_sim_disk_free(whole);
    size_t count = 0;
    while (wal_rig_segment(&rig, count, path, sizeof path)) count++;
    uint64_t last = last_batch(&rig), batch = 0, offset = 0;
    while (!block_is_used(&rig, path, offset, &batch) || batch != last) offset += WAL_FORMAT_BLOCK;
    fs_sim_flip(rig.disk, path, offset + WAL_FORMAT_BLOCK + 100, 4);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_continue_from(&rig, rig.appended - 1);
    wal_rig_append(&rig, 22, 2, 6, 20, 200);
    wal_rig_run(&rig);
    wal_rig_close(&rig);
    ck_assert_uint_eq(fs_sim_size(rig.disk, path), offset);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_close(&rig);
    ck_assert(wal_rig_segment(&rig, count, path, sizeof path));
    fs_sim_remove(rig.disk, path);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(rig.found.message, "shorter than its head says"));
    wal_rig_deinit(&rig);
}
END_TEST

/* The last batch of a log that promised term 9 and a vote; so many blocks of it. */
static uint32_t vote_and_close(struct wal_rig *rig, uint64_t entries, char *out_path, size_t path_size, uint64_t *out_offset)
{
    uint64_t batch = 0;
    uint64_t offset = 0;
    uint32_t blocks = 0;
    wal_rig_init(rig);
    ck_assert_int_eq(wal_rig_open(rig), ERR_OK);
    wal_rig_append(rig, 1, 3, 1, 2, 200);
    wal_rig_run(rig);
    if (entries > 0) wal_rig_append(rig, 4, entries, 9, 2, 400);
    wal_rig_hard(rig, 9, 3, 2);
    wal_rig_run(rig);
    wal_rig_close(rig);
    uint64_t last = last_batch(rig);
    ck_assert(wal_rig_segment(rig, 0, out_path, path_size));
    while (!block_is_used(rig, out_path, offset, &batch) || batch != last) offset += WAL_FORMAT_BLOCK;
    *out_offset = offset;
    while (block_is_used(rig, out_path, offset, &batch)) offset += WAL_FORMAT_BLOCK, blocks++;
    return blocks;
}

START_TEST(test_wal_vote_survives_any_one_damaged_block_of_its_batch)
{
    for (uint64_t entries = 0; entries <= 4; entries += 2) {
        uint32_t blocks = WAL_FORMAT_BLOCKS_MIN;
        for (uint32_t place = 0; place < blocks; place++) {
            struct wal_rig rig;
            char path[256];
            uint64_t offset = 0;
            blocks = vote_and_close(&rig, entries, path, sizeof path, &offset);
            fs_sim_flip(rig.disk, path, offset + place * WAL_FORMAT_BLOCK + 77, 1);
            ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
            ck_assert_int_eq(rig.found.tail, WAL_TAIL_SUSPECT);
            ck_assert_uint_eq(rig.found.hard.term, 9);
            ck_assert_uint_eq(rig.found.hard.vote, 3);
            ck_assert_uint_eq(rig.found.last_index, 3);
            ck_assert_uint_eq(rig.found.suspect_index, entries == 0 ? 0 : 3 + entries);
            ck_assert_uint_eq(rig.found.suspect_term, entries == 0 ? 0 : 9);
            wal_rig_deinit(&rig);
        }
    }
}
END_TEST

START_TEST(test_wal_whose_last_batch_is_damaged_at_both_ends_is_refused)
{
    struct wal_rig rig;
    char path[256];
    uint64_t offset = 0;
    uint32_t blocks = vote_and_close(&rig, 4, path, sizeof path, &offset);
    ck_assert_uint_gt(blocks, 2);
    fs_sim_flip(rig.disk, path, offset + 77, 1);
    fs_sim_flip(rig.disk, path, offset + (blocks - 1) * WAL_FORMAT_BLOCK + 77, 1);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(rig.found.message, "both ends of the last batch are damaged"));
    wal_rig_close(&rig);
    rig.is_alone = true; /* with nobody to promise to, nothing was promised */
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_deinit(&rig);
}
END_TEST

/* Both blocks of a batch, each written up to its middle: never acknowledged, and told from damage by the missing ends. */
START_TEST(test_wal_write_that_stopped_inside_its_blocks_is_torn)
{
    struct wal_rig rig;
    char path[256];
    uint64_t offset = 0;
    static const uint8_t zeros[WAL_FORMAT_BLOCK / 2];
    uint32_t blocks = vote_and_close(&rig, 0, path, sizeof path, &offset);
    ck_assert_uint_eq(blocks, 2);
    for (uint32_t i = 0; i < blocks; i++) {
        fs_sim_poke(rig.disk, path, offset + i * WAL_FORMAT_BLOCK + sizeof zeros, zeros, sizeof zeros);
    }
    ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
    ck_assert_int_eq(rig.found.tail, WAL_TAIL_TORN);
    ck_assert_uint_eq(rig.found.hard.term, 1);
    wal_rig_deinit(&rig);
}
END_TEST

/* A position is a term and an index: one of a later term reaches further, however short the log. */
START_TEST(test_wal_second_damage_in_a_later_term_is_remembered)
{
    struct wal_rig rig;
    char path[256];
    uint64_t batch = 0;
    wal_rig_init(&rig);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_append(&rig, 1, 3, 1, 2, 200);
    for (int round = 0; round < 2; round++) {
        wal_rig_run(&rig);
        wal_rig_append(&rig, 4, round == 0 ? 9 : 2, round == 0 ? 2 : 5, 2, 100);
        wal_rig_run(&rig);
        wal_rig_close(&rig);
        uint64_t last = last_batch(&rig);
        uint64_t offset = 0;
        ck_assert(wal_rig_segment(&rig, (size_t)round, path, sizeof path));
        while (!block_is_used(&rig, path, offset, &batch) || batch != last) offset += WAL_FORMAT_BLOCK;
        fs_sim_flip(rig.disk, path, offset + WAL_FORMAT_BLOCK + 77, 1);
        ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
        ck_assert_uint_eq(rig.found.suspect_index, round == 0 ? 12 : 5);
        ck_assert_uint_eq(rig.found.suspect_term, round == 0 ? 2 : 5);
        wal_rig_continue_from(&rig, rig.appended - 1);
    }
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_files_kept_aside_are_few)
{
    struct wal_rig rig;
    char name[256];
    wal_rig_init(&rig);
    for (uint64_t round = 0; round < 12; round++) {
        char path[256];
        ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
        wal_rig_hard(&rig, round + 1, 0, 0);
        wal_rig_run(&rig);
        wal_rig_close(&rig);
        for (size_t i = 0; wal_rig_segment(&rig, i, path, sizeof path);) i++;
        fs_sim_flip(rig.disk, path, WAL_FORMAT_BLOCKS_MIN * WAL_FORMAT_BLOCK + 50, 1);
    }
    size_t broken = 0;
    for (size_t i = 0; fs_sim_name(rig.disk, WAL_RIG_DIRECTORY, i, name, sizeof name); i++) {
        broken += strstr(name, WAL_FORMAT_BROKEN_SUFFIX) != NULL ? 1 : 0;
    }
    ck_assert_uint_eq(broken, 8);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- files that are not what they should be ---- */

static void move_to(struct wal_rig *rig, const struct fs_sim_disk *whole)
{
    wal_rig_move(rig, fs_sim_copy(whole));
}

static void expect_refusal(struct wal_rig *rig, enum err expected, const char *path, const char *text)
{
    uint64_t used = fs_sim_used(rig->disk);
    enum err err = wal_rig_open(rig);
    ck_assert_msg(err == expected, "%s instead of %s: %s", err_name(err), err_name(expected), rig->found.message);
    ck_assert_msg(strstr(rig->found.message, path) != NULL, "%s is not in: %s", path, rig->found.message);
    ck_assert_msg(strstr(rig->found.message, text) != NULL, "%s is not in: %s", text, rig->found.message);
    ck_assert_uint_eq(fs_sim_used(rig->disk), used);
}

static size_t segment_count(const struct wal_rig *rig)
{
    char path[256];
    size_t count = 0;
    while (wal_rig_segment(rig, count, path, sizeof path)) count++;
    return count;
}

START_TEST(test_wal_missing_segment_is_named)
{
    struct wal_rig rig;
    char path[256];
    char next[256];
    char previous[256] = "";
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    size_t count = segment_count(&rig);
    ck_assert_uint_gt(count, 4);
    for (size_t i = 0; i < count; i++) {
        ck_assert(wal_rig_segment(&rig, i, path, sizeof path));
        bool has_next = wal_rig_segment(&rig, i + 1, next, sizeof next);
        fs_sim_remove(rig.disk, path);
        if (i == 0) {
            expect_refusal(&rig, ERR_CORRUPT, next, "older segments are missing");
        } else if (has_next) {
            expect_refusal(&rig, ERR_CORRUPT, next, "segments before it are missing");
        } else {
            expect_refusal(&rig, ERR_CORRUPT, previous, "shorter than its head says");
        }
        memcpy(previous, path, sizeof previous);
        move_to(&rig, whole);
    }
    rig.options.snapshot_term = 2;
    rig.options.snapshot_index = 9; /* a state that reaches so far needs no older entries */
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    fs_sim_remove(rig.disk, path);
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    fs_sim_remove(rig.disk, path);
    expect_refusal(&rig, ERR_CORRUPT, WAL_RIG_DIRECTORY, "but the state without it ends at 9");
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_missing_newest_segment_is_noticed_by_its_predecessor)
{
    struct wal_rig rig;
    char path[256];
    wal_rig_init(&rig);
    rig.options.segment_bytes = 65536;
    rig.options.segment_entries_max = 10;
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    for (uint64_t i = 0; i < 15; i++) wal_rig_append(&rig, 1 + i, 1, 1, i, 20), wal_rig_run(&rig);
    wal_rig_close(&rig);
    ck_assert_uint_eq(segment_count(&rig), 2);
    ck_assert(wal_rig_segment(&rig, 1, path, sizeof path));
    fs_sim_remove(rig.disk, path);
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    expect_refusal(&rig, ERR_CORRUPT, path, "shorter than its head says");
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_segment_cut_short_or_empty_is_refused)
{
    struct wal_rig rig;
    char path[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    size_t count = segment_count(&rig);
    for (size_t i = 0; i < count; i++) {
        ck_assert(wal_rig_segment(&rig, i, path, sizeof path));
        uint8_t byte = 0;
        uint64_t used = fs_sim_size(rig.disk, path);
        while (byte == 0) fs_sim_peek(rig.disk, path, used -= WAL_FORMAT_BLOCK, &byte, 1);
        for (uint64_t size = 0; size <= used; size += WAL_FORMAT_BLOCK / 2) {
            fs_sim_cut(rig.disk, path, size);
            expect_refusal(&rig, ERR_CORRUPT, path, "corrupt at offset");
            move_to(&rig, whole);
        }
    }
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_other_files_in_the_directory_are_left_alone)
{
    static const char *const names[] = {WAL_RIG_DIRECTORY "/notes.txt", WAL_RIG_DIRECTORY "/0000000000000001.wal",
                                        WAL_RIG_DIRECTORY "/0000000000000001-0000000000000001.wal.old",
                                        WAL_RIG_DIRECTORY "/0000000000000000-0000000000000000.wal"};
    struct wal_rig rig;
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    struct fs *fs = fs_sim_new(rig.disk, true);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct fs_file *file = NULL;
        ck_assert_int_eq(fs_open(fs, names[i], FS_WRITE | FS_CREATE, &file), 0);
        fs_close(fs, file);
    }
    fs_free(fs);
    ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
    ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
    wal_rig_run(&rig);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) ck_assert(fs_sim_exists(rig.disk, names[i]));
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

static void copy_file(const struct fs_sim_disk *from, const char *from_path, struct fs_sim_disk *to, const char *path)
{
    uint64_t size = fs_sim_size(from, from_path);
    uint8_t *bytes = alloc_new(size);
    fs_sim_peek(from, from_path, 0, bytes, size);
    struct fs *fs = fs_sim_new(to, true);
    struct fs_file *file = NULL;
    ck_assert_int_eq(fs_open(fs, path, FS_WRITE | FS_CREATE, &file), 0);
    fs_close(fs, file);
    fs_free(fs);
    fs_sim_cut(to, path, size);
    fs_sim_poke(to, path, 0, bytes, size);
    alloc_free(bytes);
}

/* The same script by another member, or by the same one in another cluster: every block is intact, in place, and not ours. */
START_TEST(test_wal_segment_of_another_member_or_cluster_is_refused)
{
    struct wal_rig rig;
    char path[256];
    char added[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    for (int other_cluster = 0; other_cluster < 2; other_cluster++) {
        struct wal_rig other;
        struct wal_rig_promise promise = {.report = -1};
        wal_rig_init(&other);
        if (other_cluster != 0) other.options.cluster_id++;
        if (other_cluster == 0) other.options.member_id++;
        ck_assert_int_eq(wal_rig_script(&other, &promise), ERR_OK);
        wal_rig_close(&other);
        size_t count = segment_count(&rig);
        for (size_t i = 0; i < count; i++) {
            ck_assert(wal_rig_segment(&rig, i, path, sizeof path));
            copy_file(other.disk, path, rig.disk, path);
            expect_refusal(&rig, ERR_STOPPED, path, "belongs to member");
            move_to(&rig, whole);
        }
        for (size_t i = 0; i < count; i++) { /* and as one too many, behind the newest */
            ck_assert(wal_rig_segment(&rig, i, path, sizeof path));
            snprintf(added, sizeof added, "%s/%016zx-0000000000000016" WAL_FORMAT_SUFFIX, WAL_RIG_DIRECTORY, count + 1);
            copy_file(other.disk, path, rig.disk, added);
            expect_refusal(&rig, ERR_STOPPED, added, "belongs to member");
            move_to(&rig, whole);
        }
        wal_rig_deinit(&other);
    }
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_own_segment_under_another_name_is_refused)
{
    struct wal_rig rig;
    char path[256];
    char added[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    size_t count = segment_count(&rig);
    for (size_t i = 0; i < count; i++) {
        ck_assert(wal_rig_segment(&rig, i, path, sizeof path));
        snprintf(added, sizeof added, "%s/%016zx-0000000000000016" WAL_FORMAT_SUFFIX, WAL_RIG_DIRECTORY, count + 1);
        copy_file(rig.disk, path, rig.disk, added);
        expect_refusal(&rig, ERR_CORRUPT, added, "does not belong to this file name");
        move_to(&rig, whole);
        snprintf(added, sizeof added, "%s/%016zx-0000000000000077" WAL_FORMAT_SUFFIX, WAL_RIG_DIRECTORY, i + 1);
        copy_file(rig.disk, path, rig.disk, added);
        expect_refusal(&rig, ERR_CORRUPT, added, "another segment has the same number");
        move_to(&rig, whole);
    }
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

/* A misdirected write: the oldest file then claims to begin where the second one does, and must not be passed over. */
START_TEST(test_wal_head_of_the_second_segment_in_the_oldest_is_refused)
{
    struct wal_rig rig;
    char path[256];
    uint8_t block[WAL_FORMAT_BLOCK];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    ck_assert(wal_rig_segment(&rig, 1, path, sizeof path));
    fs_sim_peek(rig.disk, path, 0, block, sizeof block);
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    fs_sim_poke(rig.disk, path, 0, block, sizeof block);
    expect_refusal(&rig, ERR_CORRUPT, path, "does not belong to this file name");
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

/* What a reused file may still hold behind the log's end: batches of an older segment of the same member, of another member, of
 * the same segment. None is taken for a batch, none for the trace of one. */
START_TEST(test_wal_stale_content_behind_the_end_is_never_taken_for_records)
{
    struct wal_rig rig;
    char path[256];
    char newest[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_NONE);
    size_t count = segment_count(&rig);
    ck_assert(wal_rig_segment(&rig, count - 1, newest, sizeof newest));
    uint64_t end = 0;
    uint64_t batch = 0;
    while (block_is_used(&rig, newest, end, &batch)) end += WAL_FORMAT_BLOCK;
    uint64_t room = fs_sim_size(rig.disk, newest) - end;
    ck_assert_uint_gt(room, 2 * WAL_FORMAT_BLOCK);
    for (size_t i = 0; i < count; i++) {
        ck_assert(wal_rig_segment(&rig, i, path, sizeof path));
        uint64_t size = fs_sim_size(rig.disk, path);
        for (uint64_t offset = 0; offset + 2 * WAL_FORMAT_BLOCK <= size; offset += WAL_FORMAT_BLOCK) {
            uint8_t blocks[2 * WAL_FORMAT_BLOCK];
            fs_sim_peek(rig.disk, path, offset, blocks, sizeof blocks);
            fs_sim_poke(rig.disk, newest, end, blocks, sizeof blocks);
            ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
            ck_assert_int_eq(rig.found.tail, WAL_TAIL_CLEAN);
            ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
            move_to(&rig, whole);
        }
    }
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

/* Even with the number that is expected next, and in the place where it is expected: the segment id decides. */
START_TEST(test_wal_stale_batch_with_the_next_number_is_told_by_its_segment_id)
{
    struct wal_rig rig;
    char path[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_NONE);
    size_t count = segment_count(&rig);
    ck_assert(wal_rig_segment(&rig, count - 1, path, sizeof path));
    uint64_t end = 0;
    uint64_t batch = 0;
    while (block_is_used(&rig, path, end, &batch)) end += WAL_FORMAT_BLOCK;
    uint64_t cluster = rig.options.cluster_id;
    uint64_t member = rig.options.member_id;
    const uint64_t ids[] = {wal_format_segment_id(cluster, member, count),     wal_format_segment_id(cluster + 1, member, count),
                            wal_format_segment_id(cluster, member + 1, count), wal_format_segment_id(cluster, member, count - 1),
                            wal_format_segment_id(cluster, member, count + 1), 0};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct wal_format_writer writer;
        struct wal_format_stamp stamp = {.segment_id = ids[i], .batch = batch + 1, .durable = batch};
        struct wal_format_batch mark = {.hard = {.term = 9, .vote = 9, .commit = 20}, .last_index = 23, .last_term = 5, .is_mark = true};
        wal_format_writer_init(&writer);
        wal_format_writer_begin(&writer, NULL, WAL_FORMAT_BLOCKS_MIN * WAL_FORMAT_BLOCK);
        struct slice bytes = wal_format_writer_finish(&writer, &stamp, &mark);
        fs_sim_poke(rig.disk, path, end, bytes.data, bytes.size);
        wal_format_writer_deinit(&writer);
        ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
        ck_assert_int_eq(rig.found.tail, WAL_TAIL_CLEAN);
        ck_assert_uint_eq(rig.found.hard.term, i == 0 ? 9 : 5); /* the first one is the segment's own: that one counts */
        move_to(&rig, whole);
    }
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- formats ---- */

/* Writes the first batch of a segment again, with another head. */
static void set_head(struct wal_rig *rig, const char *path, uint16_t major, uint32_t checksum_kind, uint64_t features)
{
    uint8_t bytes[8 * WAL_FORMAT_BLOCK];
    struct wal_format_writer writer;
    struct wal_format_stamp stamp;
    struct wal_format_batch batch;
    struct wal_format_record record;
    fs_sim_peek(rig->disk, path, 0, bytes, WAL_FORMAT_BLOCK);
    ck_assert_int_eq(wal_format_classify(bytes, &stamp), WAL_FORMAT_GOOD);
    ck_assert_uint_le(stamp.blocks, 8);
    fs_sim_peek(rig->disk, path, 0, bytes, stamp.blocks * WAL_FORMAT_BLOCK);
    ck_assert(wal_format_batch_decode(bytes, stamp.blocks, true, &batch));
    struct wal_format_head head = batch.head;
    head.major = major;
    head.checksum_kind = checksum_kind;
    head.features = features;
    wal_format_writer_init(&writer);
    wal_format_writer_begin(&writer, &head, stamp.blocks * WAL_FORMAT_BLOCK);
    struct wal_format_records records = wal_format_records(&batch);
    writer.may_shorten = true; /* as it was */
    while (wal_format_record_next(&records, &record)) {
        struct blob *data = wal_format_record_blob(&record);
        record.lead = slice_empty();
        record.data = blob_slice(data);
        wal_format_writer_put(&writer, &record);
        blob_unref(data);
    }
    struct slice out = wal_format_writer_finish(&writer, &stamp, &batch);
    fs_sim_poke(rig->disk, path, 0, out.data, out.size);
    wal_format_writer_deinit(&writer);
}

START_TEST(test_wal_of_a_newer_format_is_refused_as_such)
{
    struct wal_rig rig;
    char path[256];
    struct fs_sim_disk *whole = script_disk(&rig, COVER_MARK);
    size_t count = segment_count(&rig);
    for (size_t i = 0; i < count; i++) {
        ck_assert(wal_rig_segment(&rig, i, path, sizeof path));
        uint8_t block[WAL_FORMAT_BLOCK];
        struct wal_format_stamp stamp;
        fs_sim_peek(rig.disk, path, 0, block, sizeof block);
        if (wal_format_classify(block, &stamp) != WAL_FORMAT_GOOD || stamp.blocks > 8) continue;
        set_head(&rig, path, 2, 1, 0);
        expect_refusal(&rig, ERR_STOPPED, path, "written in format 2.1");
        move_to(&rig, whole);
        set_head(&rig, path, 1, 9, 0);
        expect_refusal(&rig, ERR_STOPPED, path, "checksum kind 9");
        move_to(&rig, whole);
        set_head(&rig, path, 1, 1, 16);
        expect_refusal(&rig, ERR_STOPPED, path, "incompatible features 10");
        move_to(&rig, whole);
        fs_sim_poke(rig.disk, path, 40, "\x02", 1); /* a format whose checksums we cannot know: say what it may be */
        expect_refusal(&rig, ERR_CORRUPT, path, "a newer program has written it");
        move_to(&rig, whole);
        set_head(&rig, path, 1, 1, 0);
        ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message); /* the hand that wrote it was not the reason */
        move_to(&rig, whole);
    }
    fs_sim_disk_free(whole);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_log_that_must_exist_and_does_not_is_refused)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    rig.options.must_exist = true;
    expect_refusal(&rig, ERR_CORRUPT, WAL_RIG_DIRECTORY, "holds no log entry");
    wal_rig_close(&rig);
    rig.options.must_exist = false;
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    wal_rig_close(&rig);
    rig.options.must_exist = true; /* a segment without an entry is not a log that somebody voted with */
    expect_refusal(&rig, ERR_CORRUPT, WAL_RIG_DIRECTORY, "holds no log entry");
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_recovery_twice_finds_the_same)
{
    for (enum cover cover = COVER_MARK; cover <= COVER_NONE; cover++) {
        struct wal_rig rig;
        struct fs_sim_disk *whole = script_disk(&rig, cover);
        for (int round = 0; round < 4; round++) {
            ck_assert_msg(wal_rig_open(&rig) == ERR_OK, "%s", rig.found.message);
            ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
            ck_assert_int_eq(rig.found.tail, WAL_TAIL_CLEAN);
            if (round == 2) wal_rig_run(&rig);
            wal_rig_close(&rig);
        }
        fs_sim_disk_free(whole);
        wal_rig_deinit(&rig);
    }
}
END_TEST

int main(void)
{
    TCase *damage = tcase_create("damage");
    tcase_set_timeout(damage, 120);
    tcase_add_test(damage, test_wal_damage_below_a_durable_mark_is_corruption_and_changes_nothing);
    tcase_add_test(damage, test_wal_idle_mark_covers_the_last_batch);
    tcase_add_test(damage, test_wal_name_of_a_segment_covers_its_first_batch);
    tcase_add_test(damage, test_wal_refusal_changes_nothing_on_disk);
    tcase_add_test(damage, test_wal_suspect_tail_is_remembered_until_the_commit_index_passes_it);
    tcase_add_test(damage, test_wal_suspect_tail_is_remembered_by_a_start_that_follows_one_that_failed);
    tcase_add_test(damage, test_wal_segment_that_was_begun_behind_a_damaged_tail_is_missed);
    tcase_add_test(damage, test_wal_vote_survives_any_one_damaged_block_of_its_batch);
    tcase_add_test(damage, test_wal_whose_last_batch_is_damaged_at_both_ends_is_refused);
    tcase_add_test(damage, test_wal_write_that_stopped_inside_its_blocks_is_torn);
    tcase_add_test(damage, test_wal_second_damage_in_a_later_term_is_remembered);
    tcase_add_test(damage, test_wal_files_kept_aside_are_few);
    tcase_add_test(damage, test_wal_missing_segment_is_named);
    tcase_add_test(damage, test_wal_missing_newest_segment_is_noticed_by_its_predecessor);
    tcase_add_test(damage, test_wal_segment_cut_short_or_empty_is_refused);
    tcase_add_test(damage, test_wal_other_files_in_the_directory_are_left_alone);
    tcase_add_test(damage, test_wal_segment_of_another_member_or_cluster_is_refused);
    tcase_add_test(damage, test_wal_own_segment_under_another_name_is_refused);
    tcase_add_test(damage, test_wal_head_of_the_second_segment_in_the_oldest_is_refused);
    tcase_add_test(damage, test_wal_stale_content_behind_the_end_is_never_taken_for_records);
    tcase_add_test(damage, test_wal_stale_batch_with_the_next_number_is_told_by_its_segment_id);
    tcase_add_test(damage, test_wal_of_a_newer_format_is_refused_as_such);
    tcase_add_test(damage, test_wal_log_that_must_exist_and_does_not_is_refused);
    tcase_add_test(damage, test_wal_recovery_twice_finds_the_same);
    Suite *suite = suite_create("wal_damage");
    suite_add_tcase(suite, damage);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
