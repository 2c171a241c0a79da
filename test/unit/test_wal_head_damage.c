/* test_wal_head_damage: damage in a log for whose beginning a snapshot stands: wherever the snapshot ends and whatever is damaged, what
 * opens holds exactly the entries behind the snapshot, in the versions that count, and term and vote; what may have taken one of them
 * along is refused; and what can only have held older ones is not.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/wal_rig_script.h"
#include "storage/wal_format.h"

#define SCRIPT_COMMIT 20 /* of wal_rig_script */
#define SEGMENTS_MAX 16
#define BATCHES_MAX 64

/* A batch of the undamaged log. */
struct batch_place {
    size_t segment;
    uint64_t offset;
    uint32_t blocks;
    uint64_t entry_max;  /* the highest index it holds */
    uint64_t last_index; /* of the log behind it */
    bool is_last_inside; /* of its segment */
};

struct log_map {
    struct wal_rig rig;
    struct fs_sim_disk *whole;
    char paths[SEGMENTS_MAX][256];
    uint64_t first_index[SEGMENTS_MAX];
    size_t segments;
    struct batch_place batches[BATCHES_MAX];
    size_t count;
    size_t home[SCRIPT_COMMIT + 2]; /* in which batch the version of an entry stands that counts */
};

static void map_batch(struct log_map *map, size_t segment, uint64_t offset, const struct wal_format_stamp *stamp)
{
    uint8_t *bytes = alloc_new((size_t)stamp->blocks * WAL_FORMAT_BLOCK);
    struct wal_format_batch batch;
    ck_assert_uint_lt(map->count, BATCHES_MAX);
    fs_sim_peek(map->whole, map->paths[segment], offset, bytes, (size_t)stamp->blocks * WAL_FORMAT_BLOCK);
    ck_assert(wal_format_batch_decode(bytes, stamp->blocks, offset == 0, &batch));
    struct batch_place *place = &map->batches[map->count];
    *place = (struct batch_place){.segment = segment, .offset = offset, .blocks = stamp->blocks, .last_index = batch.last_index};
    struct wal_format_records records = wal_format_records(&batch);
    struct wal_format_record record;
    while (wal_format_record_next(&records, &record)) {
        if (record.kind != WAL_FORMAT_ENTRY) continue;
        if (record.index > place->entry_max) place->entry_max = record.index;
        if (record.index <= SCRIPT_COMMIT) map->home[record.index] = map->count;
    }
    map->count++;
    alloc_free(bytes);
}

static void map_init(struct log_map *map)
{
    struct wal_rig_promise promise = {.report = -1};
    memset(map, 0, sizeof *map);
    wal_rig_init(&map->rig);
    ck_assert_int_eq(wal_rig_script(&map->rig, &promise), ERR_OK);
    wal_rig_close(&map->rig);
    map->whole = fs_sim_copy(map->rig.disk);
    for (size_t i = 0; wal_rig_segment(&map->rig, i, map->paths[i], sizeof map->paths[i]); i++) {
        uint64_t sequence = 0;
        uint8_t block[WAL_FORMAT_BLOCK];
        struct wal_format_stamp stamp;
        ck_assert(wal_format_parse_name(map->paths[i] + strlen(WAL_RIG_DIRECTORY "/"), &sequence, &map->first_index[i]));
        for (uint64_t offset = 0; offset < fs_sim_size(map->whole, map->paths[i]); offset += (uint64_t)stamp.blocks * WAL_FORMAT_BLOCK) {
            fs_sim_peek(map->whole, map->paths[i], offset, block, sizeof block);
            if (wal_format_classify(block, &stamp) != WAL_FORMAT_GOOD) break;
            map_batch(map, i, offset, &stamp);
        }
        map->batches[map->count - 1].is_last_inside = true;
        map->segments = i + 1;
    }
    ck_assert_uint_gt(map->segments, 4);
    ck_assert_uint_gt(map->count, 12);
}

static void map_deinit(struct log_map *map)
{
    fs_sim_disk_free(map->whole);
    wal_rig_deinit(&map->rig);
}

static void tell_snapshot(struct log_map *map, uint64_t index)
{
    wal_rig_snapshot(&map->rig, index, map->rig.states[map->rig.appended]->log[index].term);
}

static const char *describe(const struct log_map *map, const char *what, uint64_t place)
{
    static char text[700];
    (void)snprintf(text, sizeof text, "%s at %lu, snapshot at %lu: %s", what, (unsigned long)place,
                   (unsigned long)map->rig.options.snapshot_index, map->rig.found.message);
    return text;
}

/* All that raft may ask for comes back, or is said to be gone where it is below the log's start. */
static void check_fetch(struct log_map *map, const char *what)
{
    struct wal_rig *rig = &map->rig;
    struct fs *fs = fs_sim_new(rig->disk, true);
    struct wal_fetch *fetch = wal_fetch_new(fs, WAL_RIG_DIRECTORY);
    for (uint64_t index = 1; index <= rig->found.hard.commit && index <= rig->found.last_index; index++) {
        struct raft_entry *entries = NULL;
        size_t count = 0;
        enum err err = wal_fetch_read(fetch, index, index, 1, &entries, &count);
        if (index >= rig->found.first_index) {
            ck_assert_msg(err == ERR_OK, "%s: fetch of %lu: %s", what, (unsigned long)index, err_name(err));
            ck_assert_uint_eq(entries[0].term, rig->states[rig->appended]->log[index].term);
        }
        wal_entries_free(entries, count);
    }
    wal_fetch_free(fetch);
    fs_free(fs);
}

/* Opens the damaged disk. True: it opened, holds what it must, and goes on. */
static bool open_and_check(struct log_map *map, uint64_t oldest, const char *name, uint64_t place)
{
    struct wal_rig *rig = &map->rig;
    uint64_t appended = rig->appended;
    enum err err = wal_rig_open(rig);
    const char *what = describe(map, name, place);
    if (err != ERR_OK) {
        ck_assert_msg(err == ERR_CORRUPT && rig->found.message[0] != '\0', "%s: %s", err_name(err), what);
        return false;
    }
    int match = wal_rig_match(rig, oldest, appended);
    ck_assert_msg(match >= 0, "found first %lu, last %lu, term %lu, vote %lu: %s", (unsigned long)rig->found.first_index,
                  (unsigned long)rig->found.last_index, (unsigned long)rig->found.hard.term, (unsigned long)rig->found.hard.vote, what);
    if (match != (int)appended) return true;
    check_fetch(map, what);
    wal_rig_append(rig, 22, 1, 9, SCRIPT_COMMIT, 700);
    wal_rig_run(rig);
    wal_rig_close(rig);
    err = wal_rig_open(rig);
    match = err == ERR_OK ? wal_rig_match(rig, appended + 1, appended + 1) : -1;
    ck_assert_msg(match == (int)appended + 1, "the second time: %s", describe(map, name, place));
    rig->appended = appended;
    return true;
}

static void damage(struct log_map *map, const char *path, uint64_t offset, int kind)
{
    uint8_t block[WAL_FORMAT_BLOCK] = {0};
    if (kind == 0) {
        fs_sim_flip(map->rig.disk, path, offset + (offset * 7 + 77) % WAL_FORMAT_BLOCK, 4);
        return;
    }
    for (size_t i = 0; kind == 1 && i < sizeof block; i++) block[i] = (uint8_t)(i * 37 + offset);
    fs_sim_poke(map->rig.disk, path, offset, block, sizeof block);
}

/* An entry above the snapshot stood in this batch and nowhere else. */
static bool holds_needed(const struct log_map *map, size_t place, uint64_t snapshot_index)
{
    for (uint64_t index = snapshot_index + 1; index <= SCRIPT_COMMIT; index++) {
        if (map->home[index] == place) return true;
    }
    return false;
}

/* Nothing above the snapshot stood in this batch or before it, and another intact one follows in its segment; or the next segment
 * begins where the snapshot ends or before. */
static bool holds_only_covered(const struct log_map *map, size_t place, uint64_t snapshot_index)
{
    const struct batch_place *batch = &map->batches[place];
    if (batch->segment + 1 < map->segments && map->first_index[batch->segment + 1] <= snapshot_index + 1) return true;
    if (batch->is_last_inside || batch->offset == 0) return false;
    return batch->last_index <= snapshot_index && map->batches[place + 1].entry_max <= snapshot_index + 1;
}

START_TEST(test_wal_damage_of_any_block_is_survived_where_the_snapshot_stands_for_it)
{
    struct log_map map;
    size_t survived = 0, refused = 0;
    map_init(&map);
    for (uint64_t snapshot_index = 1; snapshot_index <= SCRIPT_COMMIT; snapshot_index++) {
        for (size_t place = 0; place + 1 < map.count; place++) { /* the last batch is the tail */
            const struct batch_place *batch = &map.batches[place];
            for (uint32_t block = 0; block < batch->blocks; block++) {
                tell_snapshot(&map, snapshot_index);
                damage(&map, map.paths[batch->segment], batch->offset + (uint64_t)block * WAL_FORMAT_BLOCK, (int)(block + place) % 3);
                bool is_open = open_and_check(&map, map.rig.appended, map.paths[batch->segment], batch->offset);
                const char *what = describe(&map, map.paths[batch->segment], batch->offset);
                if (holds_needed(&map, place, snapshot_index)) ck_assert_msg(!is_open, "an entry was lost: %s", what);
                if (holds_only_covered(&map, place, snapshot_index)) ck_assert_msg(is_open, "refused: %s", what);
                if (is_open) survived++;
                else refused++;
                wal_rig_move(&map.rig, fs_sim_copy(map.whole));
            }
        }
    }
    ck_assert_uint_gt(survived, 300);
    ck_assert_uint_gt(refused, 300);
    map_deinit(&map);
}
END_TEST

START_TEST(test_wal_damage_in_many_places_never_gives_a_wrong_log)
{
    struct log_map map;
    struct rng rng;
    size_t survived = 0, refused = 0;
    rng_init(&rng, 11);
    map_init(&map);
    for (size_t round = 0; round < 1500; round++) {
        tell_snapshot(&map, 1 + rng_below(&rng, SCRIPT_COMMIT));
        for (uint64_t i = 1 + rng_below(&rng, 4); i > 0; i--) {
            const struct batch_place *batch = &map.batches[rng_below(&rng, map.count - 1)];
            uint64_t offset = batch->offset + rng_below(&rng, batch->blocks) * WAL_FORMAT_BLOCK;
            damage(&map, map.paths[batch->segment], offset, (int)rng_below(&rng, 3));
        }
        bool is_open = open_and_check(&map, map.rig.appended, "round", round);
        if (is_open) survived++;
        else refused++;
        wal_rig_move(&map.rig, fs_sim_copy(map.whole));
    }
    ck_assert_uint_gt(survived, 100);
    ck_assert_uint_gt(refused, 100);
    map_deinit(&map);
}
END_TEST

enum loss { LOSS_REMOVED, LOSS_EMPTY, LOSS_CUT, LOSS_ZEROED, LOSS_KINDS };

static void lose_segment(struct log_map *map, size_t segment, enum loss loss)
{
    const char *path = map->paths[segment];
    uint64_t size = fs_sim_size(map->rig.disk, path);
    if (loss == LOSS_REMOVED) fs_sim_remove(map->rig.disk, path);
    if (loss == LOSS_EMPTY) fs_sim_cut(map->rig.disk, path, 0);
    if (loss == LOSS_CUT) fs_sim_cut(map->rig.disk, path, size / 2);
    uint8_t zeros[WAL_FORMAT_BLOCK] = {0};
    for (uint64_t offset = 0; loss == LOSS_ZEROED && offset < size; offset += sizeof zeros) {
        fs_sim_poke(map->rig.disk, path, offset, zeros, sizeof zeros);
    }
}

/* Entries above the snapshot of which the segments first … last held the versions that count. */
static bool segments_hold_needed(const struct log_map *map, size_t first, size_t last, uint64_t snapshot_index)
{
    for (size_t place = 0; place < map->count; place++) {
        size_t segment = map->batches[place].segment;
        if (segment >= first && segment <= last && holds_needed(map, place, snapshot_index)) return true;
    }
    return false;
}

START_TEST(test_wal_lost_segments_are_survived_where_the_snapshot_stands_for_them)
{
    struct log_map map;
    size_t survived = 0, refused = 0;
    map_init(&map);
    for (uint64_t snapshot_index = 1; snapshot_index <= SCRIPT_COMMIT; snapshot_index++) {
        for (size_t first = 0; first < map.segments; first++) {
            for (size_t last = first; last < map.segments; last++) {
                for (enum loss loss = 0; loss < LOSS_KINDS; loss++) {
                    tell_snapshot(&map, snapshot_index);
                    for (size_t segment = first; segment <= last; segment++) lose_segment(&map, segment, loss);
                    bool takes_all = first == 0 && last + 1 == map.segments && loss == LOSS_REMOVED;
                    map.rig.options.must_exist = true;
                    bool is_open = open_and_check(&map, map.rig.appended, map.paths[first], last);
                    const char *what = describe(&map, map.paths[first], last);
                    bool is_covered = last + 1 < map.segments && map.first_index[last + 1] <= snapshot_index + 1;
                    if (takes_all || last + 1 == map.segments) ck_assert_msg(!is_open, "the newest one is lost: %s", what);
                    if (loss != LOSS_CUT && segments_hold_needed(&map, first, last, snapshot_index)) ck_assert_msg(!is_open, "%s", what);
                    if (is_covered) ck_assert_msg(is_open, "refused: %s", what);
                    if (is_open) survived++;
                    else refused++;
                    wal_rig_move(&map.rig, fs_sim_copy(map.whole));
                }
            }
        }
    }
    ck_assert_uint_gt(survived, 300);
    ck_assert_uint_gt(refused, 300);
    map_deinit(&map);
}
END_TEST

/* The rules for the tail are the same with a snapshot, also where the tail is all that is left behind it. */
START_TEST(test_wal_damaged_tail_behind_a_snapshot_is_torn_or_suspect_as_ever)
{
    struct log_map map;
    map_init(&map);
    const struct batch_place *tail = &map.batches[map.count - 1];
    for (uint64_t snapshot_index = 0; snapshot_index <= SCRIPT_COMMIT; snapshot_index++) {
        for (uint32_t block = 0; block < tail->blocks; block++) {
            for (int kind = 0; kind < 3; kind++) {
                if (snapshot_index > 0) tell_snapshot(&map, snapshot_index);
                damage(&map, map.paths[tail->segment], tail->offset + (uint64_t)block * WAL_FORMAT_BLOCK, kind);
                struct fs_sim_disk *damaged = fs_sim_copy(map.rig.disk);
                ck_assert_msg(wal_rig_open(&map.rig) == ERR_OK, "%s", map.rig.found.message);
                ck_assert_int_eq(map.rig.found.tail, kind == 2 ? WAL_TAIL_TORN : WAL_TAIL_SUSPECT);
                wal_rig_move(&map.rig, damaged);
                ck_assert(open_and_check(&map, map.rig.appended - 1, "tail", block));
                wal_rig_move(&map.rig, fs_sim_copy(map.whole));
            }
        }
    }
    map_deinit(&map);
}
END_TEST

/* Votes are never taken from an older batch: where the newest segment's head is damaged, the member does not start. */
START_TEST(test_wal_damaged_head_of_the_newest_segment_is_refused_whatever_the_snapshot)
{
    struct log_map map;
    map_init(&map);
    for (uint64_t snapshot_index = 1; snapshot_index <= SCRIPT_COMMIT; snapshot_index++) {
        tell_snapshot(&map, snapshot_index);
        damage(&map, map.paths[map.segments - 1], 0, 1);
        ck_assert(!open_and_check(&map, map.rig.appended, "head", 0));
        wal_rig_move(&map.rig, fs_sim_copy(map.whole));
    }
    map_deinit(&map);
}
END_TEST

int main(void)
{
    TCase *damage_case = tcase_create("head damage");
    tcase_set_timeout(damage_case, 60);
    tcase_add_test(damage_case, test_wal_damage_of_any_block_is_survived_where_the_snapshot_stands_for_it);
    tcase_add_test(damage_case, test_wal_damage_in_many_places_never_gives_a_wrong_log);
    tcase_add_test(damage_case, test_wal_lost_segments_are_survived_where_the_snapshot_stands_for_them);
    tcase_add_test(damage_case, test_wal_damaged_tail_behind_a_snapshot_is_torn_or_suspect_as_ever);
    tcase_add_test(damage_case, test_wal_damaged_head_of_the_newest_segment_is_refused_whatever_the_snapshot);
    Suite *suite = suite_create("wal_head_damage");
    suite_add_tcase(suite, damage_case);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
