/* test_wal_crash: does the log keep its promise on a disk that does its worst?
 *
 * A fixed script is cut at every operation that changes the disk; at each cut the sectors not yet synced are kept, lost, torn,
 * garbled and mixed. What recovery finds must be the state after one append, none older than the newest acknowledged one.
 * Then damage at rest, every operation failing once, and page caches that lie. KVD_TEST_LONG=1 runs all of it, without it a part.
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
#include "lib/wal_rig.h"
#include "storage/wal_format.h"

#define EXIT_OPEN_REFUSED 10

static bool is_long(void)
{
    const char *text = getenv("KVD_TEST_LONG");
    return text != NULL && strcmp(text, "1") == 0;
}

/* What was promised at the moment of the cut. */
struct promise {
    uint64_t acked;
    uint64_t issued;
    int report; /* a pipe that hears of every acknowledgement; -1 = none */
};

static void script_run(struct wal_rig *rig, struct promise *promise)
{
    bool is_cut = fs_sim_frozen(rig->disk) != NULL;
    if (!is_cut) promise->issued = rig->appended;
    for (size_t steps = 0; steps < 1000; steps++) {
        bool moved = wal_step(rig->wal, rig->now_ns);
        if (fs_sim_frozen(rig->disk) == NULL) promise->acked = wal_rig_durable(rig);
        uint64_t durable = wal_rig_durable(rig);
        if (promise->report >= 0) ck_assert_int_eq((int)write(promise->report, &durable, sizeof durable), sizeof durable);
        if (!moved) break;
    }
}

static void script_idle(struct wal_rig *rig, struct promise *promise)
{
    rig->now_ns += NS_PER_S;
    script_run(rig, promise);
}

/* Batches of one block and of many, overwrites, hard state alone, configurations, marks, rotations with and without an overwrite. */
static enum err script(struct wal_rig *rig, struct promise *promise)
{
    rig->options.idle_mark_ns = NS_PER_S;
    enum err err = wal_rig_open(rig);
    if (err != ERR_OK) return err;
    wal_rig_hard(rig, 1, 3, 0);
    script_run(rig, promise);
    wal_rig_append(rig, 1, 3, 1, 0, 40);
    script_run(rig, promise);
    wal_rig_append(rig, 4, 4, 1, 3, 500);
    wal_rig_append(rig, 8, 1, 1, 3, 100);
    script_run(rig, promise);
    wal_rig_hard(rig, 2, 7, 3);
    script_run(rig, promise);
    wal_rig_append(rig, 6, 3, 2, 5, 300); /* overwrites 6, 7, 8 */
    script_run(rig, promise);
    script_idle(rig, promise);
    wal_rig_append_conf(rig, 9, 2, 6);
    wal_rig_append(rig, 10, 2, 2, 6, 1500);
    script_run(rig, promise); /* rotates */
    wal_rig_append(rig, 12, 2, 2, 10, 900);
    script_run(rig, promise);
    wal_rig_append(rig, 11, 1, 4, 10, 600); /* overwrites 11, 12, 13 */
    wal_rig_append(rig, 12, 3, 4, 10, 20);
    script_run(rig, promise);
    for (uint64_t i = 0; i < 4; i++) {
        wal_rig_append(rig, 15 + i, 1, 4, 11 + i, 1700);
        script_run(rig, promise);
    }
    wal_rig_hard(rig, 5, 2, 15);
    script_run(rig, promise);
    wal_rig_append(rig, 17, 2, 5, 16, 3000); /* overwrites 17, 18, and rotates */
    script_run(rig, promise);
    wal_rig_append(rig, 19, 1, 5, 18, 9000); /* a segment of its own */
    script_run(rig, promise);
    wal_rig_append(rig, 20, 1, 5, 19, 2500); /* rotates again */
    script_run(rig, promise);
    wal_rig_append(rig, 21, 1, 5, 20, 60);
    script_run(rig, promise);
    script_idle(rig, promise);
    return ERR_OK;
}

static uint64_t script_ops(void)
{
    struct wal_rig rig;
    struct promise promise = {.report = -1};
    wal_rig_init(&rig);
    uint64_t before = fs_sim_op_count(rig.disk);
    ck_assert_int_eq(script(&rig, &promise), ERR_OK);
    ck_assert_uint_eq(promise.acked, rig.appended);
    uint64_t ops = fs_sim_op_count(rig.disk) - before;
    wal_rig_deinit(&rig);
    return ops;
}

/* Runs the script up to its op'th operation; the rig's disk is then as it was when that one was under way. */
static void script_cut(struct wal_rig *rig, uint64_t op, struct promise *promise)
{
    *promise = (struct promise){.report = -1};
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
static uint64_t recover_and_check(struct wal_rig *rig, const struct promise *promise, const char *what)
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
    struct promise exactly = {.acked = number, .issued = number};
    bool stays_suspect = rig->found.tail == WAL_TAIL_SUSPECT && !rig->is_alone;
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
typedef void crash_check_fn(struct wal_rig *rig, uint64_t op, const struct promise *promise, const struct fs_sim_crash *crash,
                            uint64_t turn);

static void each_crash(struct wal_rig *rig, uint64_t op, const struct promise *promise, crash_check_fn *check)
{
    static const enum fs_sim_loss by_sector[] = {FS_SIM_KEEP_FIRST, FS_SIM_LOSE_ONE, FS_SIM_KEEP_ONE, FS_SIM_TEAR_ONE,
                                                 FS_SIM_GARBLE_ONE};
    struct fs_sim_disk *cut = fs_sim_copy(rig->disk);
    size_t unsynced = fs_sim_unsynced(cut);
    size_t stride = is_long() || unsynced <= 8 ? 1 : unsynced / 8;
    uint64_t turn = op;
    for (int names = FS_SIM_NAMES_ALL; names <= FS_SIM_NAMES_SOME; names++) {
        struct fs_sim_crash crash = {.loss = FS_SIM_KEEP_ALL, .seed = op};
        crash.names = names == FS_SIM_NAMES_ALL ? FS_SIM_NAMES_ALL : names == FS_SIM_NAMES_NONE ? FS_SIM_NAMES_NONE : FS_SIM_NAMES_SOME;
        check(rig, op, promise, &crash, turn++);
        wal_rig_move(rig, fs_sim_copy(cut));
        crash.loss = FS_SIM_LOSE_ALL;
        check(rig, op, promise, &crash, turn++);
        wal_rig_move(rig, fs_sim_copy(cut));
        for (size_t kind = 0; kind < sizeof by_sector / sizeof by_sector[0]; kind++) {
            for (crash.sector = 0; crash.sector < unsynced; crash.sector += stride) {
                crash.loss = by_sector[kind];
                check(rig, op, promise, &crash, turn++);
                wal_rig_move(rig, fs_sim_copy(cut));
            }
        }
        crash.loss = FS_SIM_RANDOM;
        for (crash.seed = 0; crash.seed < (is_long() ? 64 : 4); crash.seed++) {
            check(rig, op, promise, &crash, turn++);
            wal_rig_move(rig, fs_sim_copy(cut));
        }
    }
    fs_sim_disk_free(cut);
}

static void check_crash(struct wal_rig *rig, uint64_t op, const struct promise *promise, const struct fs_sim_crash *crash,
                        uint64_t turn)
{
    const char *what = describe(op, crash);
    wal_rig_move(rig, fs_sim_crash(rig->disk, crash));
    uint64_t number = recover_and_check(rig, promise, what);
    bool may_suspect = crash->loss == FS_SIM_GARBLE_ONE || crash->loss == FS_SIM_TEAR_ONE || crash->loss == FS_SIM_RANDOM;
    if (rig->found.tail == WAL_TAIL_SUSPECT) ck_assert_msg(may_suspect, "%s: suspect", what);
    check_stable(rig, number, turn % 5 == 0, what);
}

START_TEST(test_wal_crash_at_every_operation_loses_nothing_acknowledged)
{
    uint64_t ops = script_ops();
    ck_assert_uint_gt(ops, 60);
    for (uint64_t op = 1; op <= ops; op++) {
        struct wal_rig rig;
        struct promise promise;
        script_cut(&rig, op, &promise);
        rig.is_alone = op % 2 == 0;
        each_crash(&rig, op, &promise, check_crash);
        wal_rig_deinit(&rig);
    }
}
END_TEST

/* Power is lost again, at every operation of the recovery. */
static void check_crash_in_recovery(struct wal_rig *rig, uint64_t op, const struct promise *promise, const struct fs_sim_crash *crash,
                                    uint64_t turn)
{
    if (crash->loss == FS_SIM_GARBLE_ONE || (!is_long() && turn % 16 != 0)) return;
    struct fs_sim_disk *first = fs_sim_crash(rig->disk, crash);
    for (uint64_t second_op = 1;; second_op++) {
        wal_rig_move(rig, fs_sim_copy(first));
        fs_sim_freeze_at(rig->disk, second_op);
        (void)recover_and_check(rig, promise, describe(op, crash));
        if (fs_sim_frozen(rig->disk) == NULL) break;
        struct fs_sim_crash second = {.loss = second_op % 2 == 0 ? FS_SIM_LOSE_ALL : FS_SIM_RANDOM, .seed = turn};
        second.names = second_op % 3 == 0 ? FS_SIM_NAMES_NONE : FS_SIM_NAMES_SOME;
        wal_rig_move(rig, fs_sim_crash(fs_sim_frozen(rig->disk), &second));
        uint64_t number = recover_and_check(rig, promise, describe(op, crash));
        check_stable(rig, number, false, describe(op, crash));
    }
    fs_sim_disk_free(first);
}

START_TEST(test_wal_crash_in_recovery_loses_nothing_either)
{
    uint64_t ops = script_ops();
    for (uint64_t op = 1; op <= ops; op++) {
        struct wal_rig rig;
        struct promise promise;
        script_cut(&rig, op, &promise);
        each_crash(&rig, op, &promise, check_crash_in_recovery);
        wal_rig_deinit(&rig);
    }
}
END_TEST

/* After a failed sync, or when only the process died, recovery sees bytes that the disk does not have. What it then answers with
 * must survive the power loss that follows. */
START_TEST(test_wal_recovery_does_not_trust_the_page_cache)
{
    uint64_t ops = script_ops();
    for (uint64_t op = 1; op <= ops; op++) {
        for (int forgets = 0; forgets < 2; forgets++) {
            struct wal_rig rig;
            struct promise promise;
            script_cut(&rig, op, &promise);
            if (forgets != 0) fs_sim_forget(rig.disk);
            uint64_t number = recover_and_check(&rig, &promise, "lying page cache");
            check_stable(&rig, number, op % 2 == 0, "lying page cache");
            wal_rig_deinit(&rig);
        }
    }
}
END_TEST

/* ---- damage at rest ---- */

/* What covers the last batch of the log: an idle mark, the name of the segment that it begins, or nothing. */
enum cover { COVER_MARK, COVER_NAME, COVER_NONE };

/* The log after the script, as a disk. The last batch holds entries 22 and 23 unless it is a mark. */
static struct fs_sim_disk *script_disk(struct wal_rig *rig, enum cover cover)
{
    struct promise promise = {.report = -1};
    struct wal_stats before;
    struct wal_stats after;
    wal_rig_init(rig);
    ck_assert_int_eq(script(rig, &promise), ERR_OK);
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

static void check_damage(struct wal_rig *rig, const char *path, uint64_t offset, bool is_last, enum damage damage,
                         enum cover cover)
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
    if (rig->found.tail == WAL_TAIL_CLEAN) { /* a mark is one block: as if it had never been written */
        ck_assert_int_eq(damage, DAMAGE_ZERO);
        ck_assert(cover == COVER_MARK);
        return;
    }
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
                check_damage(&rig, path, offset, batch == last, damage, cover);
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
        fs_sim_flip(rig.disk, path, WAL_FORMAT_BLOCK + 50, 1);
    }
    size_t broken = 0;
    for (size_t i = 0; fs_sim_name(rig.disk, WAL_RIG_DIRECTORY, i, name, sizeof name); i++) {
        broken += strstr(name, WAL_FORMAT_BROKEN_SUFFIX) != NULL ? 1 : 0;
    }
    ck_assert_uint_eq(broken, 8);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- every operation fails once ---- */

/* The script in a process of its own. Returns its exit code; *out_acked: what it had acknowledged. */
static int script_with_fault(enum fs_kind kind, uint64_t nth, int error, uint64_t *out_acked)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct wal_rig rig;
        struct promise promise = {.report = ends[1]};
        (void)close(ends[0]);
        (void)close(2);
        wal_rig_init(&rig);
        fs_sim_fail(rig.disk, kind, nth, error);
        if (script(&rig, &promise) != ERR_OK) _exit(EXIT_OPEN_REFUSED);
        script_idle(&rig, &promise);
        script_idle(&rig, &promise);
        _exit(wal_rig_durable(&rig) == rig.appended ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    (void)close(ends[1]);
    uint64_t acked = 0;
    while (read(ends[0], &acked, sizeof acked) == (ssize_t)sizeof acked) *out_acked = acked;
    (void)close(ends[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(test_wal_failing_operation_is_fatal_or_harmless)
{
    static const enum fs_kind kinds[] = {FS_OPEN,      FS_PWRITE, FS_FDATASYNC, FS_ALLOCATE, FS_RENAME,
                                         FS_FSYNC_DIR, FS_TRUNCATE, FS_CLOSE,     FS_UNLINK,   FS_LIST};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        bool is_ignored = kinds[i] == FS_TRUNCATE || kinds[i] == FS_CLOSE;
        uint64_t fatals = 0;
        uint64_t acked_before = 0;
        for (uint64_t nth = 1; nth < 60; nth++) {
            uint64_t acked = 0;
            int code = script_with_fault(kinds[i], nth, EIO, &acked);
            ck_assert_msg(code == EXIT_SUCCESS || code == FATAL_EXIT_CODE || code == EXIT_OPEN_REFUSED, "kind %d, call %lu: exit %d",
                          (int)kinds[i], (unsigned long)nth, code);
            if (is_ignored) ck_assert_int_eq(code, EXIT_SUCCESS);
            ck_assert_uint_ge(acked, acked_before); /* a later fault: no less was acknowledged before it */
            acked_before = acked;
            if (code == FATAL_EXIT_CODE) fatals++;
            if (code == EXIT_SUCCESS) break;
        }
        bool is_for_durability = kinds[i] == FS_PWRITE || kinds[i] == FS_FDATASYNC || kinds[i] == FS_FSYNC_DIR;
        if (is_for_durability) ck_assert_uint_gt(fatals, 2);
    }
}
END_TEST

/* A write that fails acknowledges nothing of its batch: what was acknowledged before the fault is in the log at the cut. */
START_TEST(test_wal_failed_sync_acknowledges_nothing_after_it)
{
    uint64_t all = 0;
    ck_assert_int_eq(script_with_fault(FS_LOCK, 1, EIO, &all), EXIT_SUCCESS);
    for (uint64_t nth = 4; nth < 12; nth++) {
        uint64_t acked = 0;
        ck_assert_int_eq(script_with_fault(FS_FDATASYNC, nth, EIO, &acked), FATAL_EXIT_CODE);
        ck_assert_uint_lt(acked, all);
    }
}
END_TEST

START_TEST(test_wal_disk_full_while_a_segment_is_made_is_survived)
{
    for (uint64_t nth = 2; nth < 8; nth++) {
        uint64_t acked = 0;
        int code = script_with_fault(FS_ALLOCATE, nth, ENOSPC, &acked);
        ck_assert_msg(code == EXIT_SUCCESS, "call %lu: exit %d", (unsigned long)nth, code);
        code = script_with_fault(FS_OPEN, nth + 2, ENOSPC, &acked);
        ck_assert_msg(code == EXIT_SUCCESS || code == EXIT_OPEN_REFUSED, "call %lu: exit %d", (unsigned long)nth, code);
    }
}
END_TEST

int main(void)
{
    TCase *crash = tcase_create("crash");
    tcase_set_timeout(crash, is_long() ? 3600 : 120);
    tcase_add_test(crash, test_wal_crash_at_every_operation_loses_nothing_acknowledged);
    tcase_add_test(crash, test_wal_crash_in_recovery_loses_nothing_either);
    tcase_add_test(crash, test_wal_recovery_does_not_trust_the_page_cache);
    tcase_add_test(crash, test_wal_damage_below_a_durable_mark_is_corruption_and_changes_nothing);
    tcase_add_test(crash, test_wal_idle_mark_covers_the_last_batch);
    tcase_add_test(crash, test_wal_name_of_a_segment_covers_its_first_batch);
    tcase_add_test(crash, test_wal_refusal_changes_nothing_on_disk);
    tcase_add_test(crash, test_wal_suspect_tail_is_remembered_until_the_commit_index_passes_it);
    tcase_add_test(crash, test_wal_files_kept_aside_are_few);
    tcase_add_test(crash, test_wal_failing_operation_is_fatal_or_harmless);
    tcase_add_test(crash, test_wal_failed_sync_acknowledges_nothing_after_it);
    tcase_add_test(crash, test_wal_disk_full_while_a_segment_is_made_is_survived);
    Suite *suite = suite_create("wal_crash");
    suite_add_tcase(suite, crash);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
