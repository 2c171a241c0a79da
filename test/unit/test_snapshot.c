/* test_snapshot: is a state that went through a file the same state, whatever it was like, and while others went on writing?
 *
 * The original store is compared with the loaded one at every revision, before and after both went on alike. KVD_TEST_LONG=1: more seeds. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/snapshot_rig.h"
#include "storage/range.h"

struct disk {
    struct fs_sim_disk *disk;
    struct fs *fs;
};
static void disk_init(struct disk *disk)
{
    disk->disk = fs_sim_disk_new();
    disk->fs = fs_sim_new(disk->disk, true);
    snapshot_rig_make_dir(disk->fs);
}
static void disk_deinit(struct disk *disk)
{
    fs_free(disk->fs);
    fs_sim_disk_free(disk->disk);
}

static struct mvcc_content *through_file(struct disk *disk, struct mvcc *mvcc, uint64_t index, snapshot_rig_between_fn *between_fn, void *context)
{
    struct state_machine_loaded *loaded = NULL;
    char *path = snapshot_rig_path(index);
    ck_assert_int_eq(snapshot_rig_write(disk->fs, snapshot_rig_image(mvcc, index), between_fn, context), ERR_OK);
    ck_assert_int_eq(snapshot_rig_load(disk->fs, path, &loaded), ERR_OK);
    ck_assert_uint_eq(loaded->index, index);
    ck_assert_uint_eq(loaded->term, 3);
    ck_assert_str_eq(loaded->cluster->version, "3.6.0");
    ck_assert_uint_eq(loaded->cluster->member_count, 2);
    ck_assert(slice_equal(blob_slice(loaded->conf), slice_from_string("a configuration")));
    struct mvcc_content *content = loaded->content;
    loaded->content = NULL;
    state_machine_loaded_free(loaded);
    alloc_free(path);
    return content;
}

/* Both do the same, compaction included, and must stay alike. */
static void go_on_alike(struct snapshot_rig_store *a, struct snapshot_rig_store *b, uint64_t seed, uint32_t keys)
{
    struct rng rng_a = snapshot_rig_rng(seed), rng_b = snapshot_rig_rng(seed);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) snapshot_rig_change(a->mvcc, &rng_a, keys, false);
        for (int i = 0; i < 20; i++) snapshot_rig_change(b->mvcc, &rng_b, keys, false);
        mvcc_publish(a->mvcc);
        mvcc_publish(b->mvcc);
        int64_t revision = mvcc_view_revision(mvcc_view(a->mvcc));
        int64_t mark = mvcc_view_compact_revision(mvcc_view(a->mvcc));
        ck_assert_int_gt(revision, mark);
        int64_t to = round == 2 ? revision : mark + 1 + (int64_t)rng_below(&rng_a, (uint64_t)(revision - mark));
        snapshot_rig_compact(a->mvcc, to);
        snapshot_rig_compact(b->mvcc, to);
        (void)mvcc_compact_step(a->mvcc, 7);
        (void)mvcc_compact_step(b->mvcc, 5);
        mvcc_publish(a->mvcc);
        mvcc_publish(b->mvcc);
        snapshot_rig_compare(mvcc_view(a->mvcc), mvcc_view(b->mvcc));
        rng_b = rng_a;
    }
    snapshot_rig_settle(a);
    snapshot_rig_settle(b);
    struct mvcc_stats stats_a, stats_b;
    mvcc_get_stats(a->mvcc, &stats_a);
    mvcc_get_stats(b->mvcc, &stats_b);
    ck_assert_uint_eq(stats_a.keys, stats_b.keys);
    ck_assert_uint_eq(stats_a.live_keys, stats_b.live_keys);
    ck_assert_uint_eq(stats_a.versions, stats_b.versions);
    ck_assert_uint_eq(stats_a.live_bytes, stats_b.live_bytes);
    snapshot_rig_compare(mvcc_view(a->mvcc), mvcc_view(b->mvcc));
}

static void run_seed(uint64_t seed)
{
    struct rng rng = snapshot_rig_rng(seed);
    struct snapshot_rig_store a, b;
    struct disk disk;
    uint32_t keys = (uint32_t)(1 + rng_below(&rng, seed % 3 == 0 ? 2000 : 60));
    disk_init(&disk);
    snapshot_rig_store_init(&a, NULL);
    uint64_t changes = rng_below(&rng, seed % 3 == 0 ? 2000 : 200);
    for (uint64_t i = 0; i < changes; i++) {
        snapshot_rig_change(a.mvcc, &rng, keys, seed % 2 == 0);
        if (rng_below(&rng, 5) == 0) mvcc_publish(a.mvcc);
        if (rng_below(&rng, 40) == 0) {
            int64_t revision = mvcc_view_revision(mvcc_writer_view(a.mvcc));
            snapshot_rig_compact(a.mvcc, 1 + (int64_t)rng_below(&rng, (uint64_t)revision));
        }
        if (rng_below(&rng, 10) == 0) (void)mvcc_compact_step(a.mvcc, 1 + rng_below(&rng, 30));
    }
    snapshot_rig_store_init(&b, through_file(&disk, a.mvcc, 10 + seed, NULL, NULL));
    snapshot_rig_compare(mvcc_view(a.mvcc), mvcc_view(b.mvcc));
    go_on_alike(&a, &b, seed, keys);
    snapshot_rig_store_deinit(&a);
    snapshot_rig_store_deinit(&b);
    disk_deinit(&disk);
}

START_TEST(test_a_loaded_store_is_the_store_that_was_written)
{
    uint64_t last = getenv("KVD_TEST_LONG") != NULL ? 1000 : 40;
    for (uint64_t seed = 1; seed <= last; seed++) run_seed(seed);
}
END_TEST

START_TEST(test_a_snapshot_can_be_taken_at_every_mark_of_compaction)
{
    for (int64_t mark = 0; mark < 60; mark++) {
        struct rng rng = snapshot_rig_rng(5);
        struct snapshot_rig_store a, b;
        struct disk disk;
        disk_init(&disk);
        snapshot_rig_store_init(&a, NULL);
        for (int i = 0; i < 80; i++) snapshot_rig_change(a.mvcc, &rng, 12, false);
        int64_t revision = mvcc_view_revision(mvcc_writer_view(a.mvcc));
        if (mark > 0) snapshot_rig_compact(a.mvcc, mark < revision ? mark : revision);
        (void)mvcc_compact_step(a.mvcc, (size_t)(mark % 3 * 20));
        if (mark % 5 == 0) snapshot_rig_settle(&a);
        snapshot_rig_store_init(&b, through_file(&disk, a.mvcc, 10, NULL, NULL));
        snapshot_rig_compare(mvcc_view(a.mvcc), mvcc_view(b.mvcc));
        go_on_alike(&a, &b, (uint64_t)mark, 12);
        snapshot_rig_store_deinit(&a);
        snapshot_rig_store_deinit(&b);
        disk_deinit(&disk);
    }
}
END_TEST

START_TEST(test_an_empty_store_goes_through_a_file)
{
    for (int mark = 0; mark < 2; mark++) {
        struct snapshot_rig_store a, b;
        struct disk disk;
        disk_init(&disk);
        snapshot_rig_store_init(&a, NULL);
        if (mark > 0) snapshot_rig_compact(a.mvcc, 1);
        snapshot_rig_store_init(&b, through_file(&disk, a.mvcc, 10, NULL, NULL));
        snapshot_rig_compare(mvcc_view(a.mvcc), mvcc_view(b.mvcc));
        go_on_alike(&a, &b, 3, 12);
        snapshot_rig_store_deinit(&a);
        snapshot_rig_store_deinit(&b);
        disk_deinit(&disk);
    }
}
END_TEST

/* --- large revisions --- */

START_TEST(test_what_one_delete_took_comes_back_in_its_order)
{
    struct snapshot_rig_store a, b;
    struct disk disk;
    char key[32];
    disk_init(&disk);
    snapshot_rig_store_init(&a, NULL);
    for (int round = 0; round < 4; round++) {
        mvcc_begin(a.mvcc);
        for (int i = 0; i < 1000; i++) { /* in an order that is not that of the keys */
            (void)snprintf(key, sizeof key, "/key/%05d", i * 7919 % 1000);
            mvcc_put(a.mvcc, slice_from_string(key), slice_from_string("v"), 0);
        }
        (void)mvcc_commit(a.mvcc);
        mvcc_begin(a.mvcc);
        struct mvcc_range late = mvcc_range_make(slice_from_string("/key/00500"), slice_from_string("/key/00900"));
        struct mvcc_range all = mvcc_range_make(slice_from_string("/key/"), slice_from_string("/key0"));
        (void)mvcc_delete(a.mvcc, &late, NULL, NULL);
        if (round % 2 == 0) (void)mvcc_delete(a.mvcc, &all, NULL, NULL);
        (void)mvcc_commit(a.mvcc);
    }
    snapshot_rig_store_init(&b, through_file(&disk, a.mvcc, 10, NULL, NULL));
    snapshot_rig_compare(mvcc_view(a.mvcc), mvcc_view(b.mvcc));
    snapshot_rig_store_deinit(&a);
    snapshot_rig_store_deinit(&b);
    disk_deinit(&disk);
}
END_TEST

/* --- beside a writer --- */

struct busy {
    struct snapshot_rig_store *store;
    struct rng rng;
    bool compacts;
};
static void keep_busy(void *context)
{
    struct busy *busy = context;
    for (int i = 0; i < 5; i++) snapshot_rig_change(busy->store->mvcc, &busy->rng, 300, false);
    if (busy->compacts) snapshot_rig_compact(busy->store->mvcc, mvcc_view_revision(mvcc_writer_view(busy->store->mvcc)));
    snapshot_rig_settle(busy->store); /* the pin alone holds what the image needs: no reader is inside a section */
}

START_TEST(test_a_snapshot_shows_its_own_moment_while_writes_and_compaction_go_on)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct snapshot_rig_store a, b, c;
        struct busy busy = {.store = &a, .rng = snapshot_rig_rng(seed + 100), .compacts = seed % 2 == 0};
        struct rng rng = snapshot_rig_rng(seed);
        struct disk disk, still;
        disk_init(&disk);
        disk_init(&still);
        snapshot_rig_store_init(&a, NULL);
        for (int i = 0; i < 4000; i++) snapshot_rig_change(a.mvcc, &rng, 300, i % 100 == 0);
        if (seed > 2) snapshot_rig_compact(a.mvcc, 500);
        snapshot_rig_store_init(&c, through_file(&still, a.mvcc, 10, NULL, NULL));
        snapshot_rig_store_init(&b, through_file(&disk, a.mvcc, 10, keep_busy, &busy));
        snapshot_rig_compare(mvcc_view(c.mvcc), mvcc_view(b.mvcc));
        snapshot_rig_store_deinit(&a);
        snapshot_rig_store_deinit(&b);
        snapshot_rig_store_deinit(&c);
        disk_deinit(&disk);
        disk_deinit(&still);
    }
}
END_TEST

struct walked {
    uint64_t versions;
    uint64_t sum;
    uint64_t sections;
};
/* `step` records per read section; after the busy_at-th all compaction and freeing that can be. */
static struct walked walk_slowly(struct snapshot_rig_store *store, size_t step, struct busy *busy, uint64_t busy_at)
{
    struct mvcc_export_image image;
    struct mvcc_export_version version;
    struct walked walked = {.versions = 0};
    enum mvcc_export_progress progress = MVCC_EXPORT_PAUSE;
    mvcc_publish(store->mvcc);
    ck_assert(mvcc_export_freeze(store->mvcc, &image));
    struct mvcc_export *export = mvcc_export_new(&image);
    while (progress != MVCC_EXPORT_END) {
        size_t budget = step;
        ck_assert(mvcc_export_enter(export, mvcc_view(store->mvcc)));
        do {
            progress = mvcc_export_next(export, &budget, &version);
            if (progress != MVCC_EXPORT_VERSION) continue;
            walked.versions++;
            walked.sum += (uint64_t)version.kv.mod_revision * 31 + version.ordinal * 7 + version.kv.value.size + version.is_delete;
        } while (progress == MVCC_EXPORT_VERSION);
        if (walked.sections++ == busy_at) keep_busy(busy);
    }
    mvcc_export_free(export);
    mvcc_export_thaw(store->mvcc, &image);
    return walked;
}

START_TEST(test_what_a_walk_has_in_hand_is_not_freed_between_its_steps)
{
    struct walked still = {.sections = 1};
    for (uint64_t busy_at = 0; busy_at <= still.sections; busy_at++) {
        struct rng rng = snapshot_rig_rng(3);
        struct snapshot_rig_store a;
        snapshot_rig_store_init(&a, NULL);
        for (int i = 0; i < 120; i++) snapshot_rig_change(a.mvcc, &rng, 60, false);
        snapshot_rig_compact(a.mvcc, 70); /* and nothing of it was freed yet */
        struct busy busy = {.store = &a, .rng = snapshot_rig_rng(7), .compacts = true};
        still = walk_slowly(&a, 1, NULL, UINT64_MAX);
        struct walked slow = walk_slowly(&a, 1, &busy, busy_at);
        ck_assert_uint_gt(still.versions, 0);
        ck_assert_uint_eq(still.versions, slow.versions);
        ck_assert_uint_eq(still.sum, slow.sum);
        snapshot_rig_store_deinit(&a);
    }
}
END_TEST

/* How long a file takes whose writer is always woken so much too late. */
static uint64_t took_ms(uint64_t late_ns, uint64_t log_bytes, uint64_t *out_bytes)
{
    struct snapshot_rig_store a;
    struct disk disk;
    struct rng rng = snapshot_rig_rng(1);
    disk_init(&disk);
    snapshot_rig_store_init(&a, NULL);
    for (int i = 0; i < 600; i++) snapshot_rig_change(a.mvcc, &rng, 100, true);
    struct snapshot_writer_options options = {.fs = disk.fs, .directory = SNAPSHOT_RIG_DIR, .member_id = 1, .rate_bytes = 100000};
    struct snapshot_writer *writer = snapshot_writer_new(&options, snapshot_rig_image(a.mvcc, 4));
    uint64_t now_ns = NS_PER_S;
    snapshot_writer_keep_up(writer, log_bytes);
    while (snapshot_writer_state(writer) == SNAPSHOT_WRITER_RUNNING) {
        if (snapshot_writer_step(writer, now_ns)) continue;
        uint64_t deadline_ns = snapshot_writer_deadline_ns(writer);
        if (deadline_ns != CLOCK_NEVER && deadline_ns + late_ns > now_ns) now_ns = deadline_ns + late_ns;
    }
    struct snapshot_writer_stats stats;
    snapshot_writer_get_stats(writer, &stats);
    *out_bytes = stats.bytes;
    snapshot_writer_free(writer);
    snapshot_rig_store_deinit(&a);
    disk_deinit(&disk);
    return (now_ns - NS_PER_S) / NS_PER_MS;
}

START_TEST(test_the_rate_is_kept)
{
    uint64_t bytes;
    uint64_t ms = took_ms(0, 0, &bytes);
    ck_assert_uint_gt(bytes, 300000);
    ck_assert_uint_ge(ms, (bytes - 2 * 64 * 1024) / 100 - 700); /* all but the last write */
    ck_assert_uint_le(ms, bytes / 100 + 1);
}
END_TEST

/* Others at the processor do not make a snapshot slow, or what is written meanwhile fills disk and memory. */
START_TEST(test_a_writer_that_is_woken_late_makes_up_for_it)
{
    uint64_t bytes;
    uint64_t ms = took_ms(90 * NS_PER_MS, 0, &bytes);
    ck_assert_uint_le(ms, bytes / 100 + 100);
    ms = took_ms(600 * NS_PER_MS, 0, &bytes);
    ck_assert_uint_gt(ms, bytes / 100 + 1000); /* only so much, or a pause would end in a flood */
    ms = took_ms(0, bytes / 4, &bytes);
    ck_assert_uint_le(ms, 1); /* the log grows so fast that the rate does not count */
    ms = took_ms(0, bytes / 16, &bytes);
    ck_assert_uint_ge(ms, (bytes - 2 * 64 * 1024) / 100 - 700); /* only for that part */
}
END_TEST

/* --- install --- */

START_TEST(test_an_installed_state_takes_the_place_of_what_was_there)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rng rng = snapshot_rig_rng(seed), same = snapshot_rig_rng(seed);
        struct snapshot_rig_store leader, follower;
        struct disk disk;
        disk_init(&disk);
        snapshot_rig_store_init(&leader, NULL);
        snapshot_rig_store_init(&follower, NULL);
        for (int i = 0; i < 100; i++) snapshot_rig_change(leader.mvcc, &rng, 50, seed % 2 == 0);
        for (int i = 0; i < 100; i++) snapshot_rig_change(follower.mvcc, &same, 50, seed % 2 == 0);
        for (int i = 0; i < 300; i++) snapshot_rig_change(leader.mvcc, &rng, 500, false);
        int64_t old_revision = mvcc_view_revision(mvcc_writer_view(follower.mvcc));
        if (seed % 3 > 0) snapshot_rig_compact(leader.mvcc, old_revision - 5);
        if (seed % 3 == 1) snapshot_rig_compact(follower.mvcc, old_revision - 20);
        (void)mvcc_compact_step(follower.mvcc, seed * 10);
        mvcc_publish(follower.mvcc);

        const struct mvcc_view *held = mvcc_view(follower.mvcc); /* a reader in the middle of a step */
        uint64_t hash = mvcc_hash(held, 0);
        bool is_compacted = false;
        int low = mvcc_pin(follower.mvcc, old_revision - 10, &is_compacted);
        int high = mvcc_pin(follower.mvcc, old_revision, &is_compacted);
        mvcc_adopt(follower.mvcc, through_file(&disk, leader.mvcc, 7, NULL, NULL));
        const struct mvcc_view *view = mvcc_view(follower.mvcc);
        ck_assert_int_eq(mvcc_view_check_pinned(view, old_revision), ERR_OK);
        ck_assert_int_eq(mvcc_view_check_pinned(view, old_revision - 10), seed % 3 > 0 ? ERR_COMPACTED : ERR_OK);
        snapshot_rig_compare(mvcc_view(leader.mvcc), view);
        snapshot_rig_compare(held, held);
        ck_assert_uint_eq(mvcc_hash(held, 0), hash);
        while (mvcc_reclaim_step(follower.mvcc, 10)) ck_assert_uint_eq(mvcc_hash(held, 0), hash);
        rcu_double_pass(&follower.rcu, UINT64_MAX);
        for (int i = 0; i < 10; i++) (void)mvcc_reclaim_step(follower.mvcc, 10); /* still half there when writing goes on */
        mvcc_unpin(follower.mvcc, high);
        if (seed % 3 == 0) mvcc_unpin(follower.mvcc, low);
        go_on_alike(&leader, &follower, seed, 60); /* a void pin holds nothing */
        if (seed % 3 > 0) mvcc_unpin(follower.mvcc, low);
        snapshot_rig_store_deinit(&leader);
        snapshot_rig_store_deinit(&follower);
        disk_deinit(&disk);
    }
}
END_TEST

START_TEST(test_a_writer_gives_up_when_another_state_is_installed)
{
    struct snapshot_rig_store a, b;
    struct rng rng = snapshot_rig_rng(1), same = snapshot_rig_rng(1);
    struct disk disk;
    disk_init(&disk);
    snapshot_rig_store_init(&a, NULL);
    snapshot_rig_store_init(&b, NULL);
    for (int i = 0; i < 5000; i++) snapshot_rig_change(a.mvcc, &rng, 2000, false);
    for (int i = 0; i < 4000; i++) snapshot_rig_change(b.mvcc, &same, 2000, false);
    for (int steps = 0; steps < 40; steps++) {
        struct snapshot_writer_options options = {.fs = disk.fs, .directory = SNAPSHOT_RIG_DIR, .member_id = 1};
        struct snapshot_writer *writer = snapshot_writer_new(&options, snapshot_rig_image(b.mvcc, 4));
        bool goes_on = true;
        for (int i = 0; i < steps && goes_on; i++) goes_on = snapshot_writer_step(writer, 1);
        if (!goes_on) {
            snapshot_writer_free(writer);
            break;
        }
        mvcc_adopt(b.mvcc, through_file(&disk, a.mvcc, 7, NULL, NULL));
        rcu_double_pass(&b.rcu, UINT64_MAX);
        while (mvcc_reclaim_step(b.mvcc, 1000)) ck_assert_ptr_nonnull(b.mvcc);
        while (snapshot_writer_step(writer, 1)) ck_assert_ptr_nonnull(b.mvcc);
        bool is_over = snapshot_writer_state(writer) == SNAPSHOT_WRITER_DONE; /* it had walked all keys */
        if (!is_over) ck_assert_int_eq(snapshot_writer_err(writer), ERR_COMPACTED);
        if (!is_over) ck_assert(!fs_sim_exists(disk.disk, SNAPSHOT_RIG_DIR "/0000000000000003-0000000000000004.snap.tmp"));
        snapshot_writer_free(writer);
    }
    snapshot_rig_store_deinit(&a);
    snapshot_rig_store_deinit(&b);
    disk_deinit(&disk);
}
END_TEST

START_TEST(test_a_range_whose_revision_is_gone_by_an_install_says_so)
{
    for (int round = 0; round < 4; round++) {
        int is_gone = round % 2;
        bool asks_for_one = round >= 2; /* who asks for no revision may ask again */
        struct snapshot_rig_store a, b;
        struct rng rng = snapshot_rig_rng(1), same = snapshot_rig_rng(1);
        struct disk disk;
        struct buf body;
        disk_init(&disk);
        buf_init(&body);
        snapshot_rig_store_init(&a, NULL);
        snapshot_rig_store_init(&b, NULL);
        for (int i = 0; i < 300; i++) snapshot_rig_change(b.mvcc, &same, 100, false);
        for (int i = 0; i < 500; i++) snapshot_rig_change(a.mvcc, &rng, 100, false);
        mvcc_publish(b.mvcc);
        int64_t revision = mvcc_view_revision(mvcc_view(b.mvcc));
        snapshot_rig_compact(a.mvcc, revision + is_gone);
        struct range_request request = {.key = slice_make("", 1), .range_end = slice_make("", 1), .revision = asks_for_one ? revision : 0};
        struct range *range = range_new(&request, b.mvcc, SIZE_MAX);
        enum err err = ERR_OK;
        ck_assert_int_eq(range_step(range, mvcc_view(b.mvcc), 100, 3, &body, &err), RANGE_MORE);
        snapshot_rig_compact(b.mvcc, revision);
        mvcc_publish(b.mvcc);
        ck_assert_int_eq(range_step(range, mvcc_view(b.mvcc), 100, 3, &body, &err), RANGE_MORE);
        mvcc_adopt(b.mvcc, through_file(&disk, a.mvcc, 7, NULL, NULL));
        rcu_double_pass(&b.rcu, UINT64_MAX);
        while (mvcc_reclaim_step(b.mvcc, 1000)) ck_assert_ptr_nonnull(b.mvcc);
        enum range_progress progress = range_step(range, mvcc_view(b.mvcc), SIZE_MAX, SIZE_MAX, &body, &err);
        ck_assert_int_eq(progress, is_gone > 0 ? RANGE_FAILED : RANGE_DONE);
        ck_assert_int_eq(err, is_gone == 0 ? ERR_OK : asks_for_one ? ERR_COMPACTED : ERR_LEADER_CHANGED);
        range_free(range);
        buf_deinit(&body);
        snapshot_rig_store_deinit(&a);
        snapshot_rig_store_deinit(&b);
        disk_deinit(&disk);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot");
    TCase *tcase = tcase_create("states");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, test_an_empty_store_goes_through_a_file);
    tcase_add_test(tcase, test_a_loaded_store_is_the_store_that_was_written);
    tcase_add_test(tcase, test_a_snapshot_can_be_taken_at_every_mark_of_compaction);
    tcase_add_test(tcase, test_what_one_delete_took_comes_back_in_its_order);
    tcase_add_test(tcase, test_a_snapshot_shows_its_own_moment_while_writes_and_compaction_go_on);
    tcase_add_test(tcase, test_what_a_walk_has_in_hand_is_not_freed_between_its_steps);
    tcase_add_test(tcase, test_the_rate_is_kept);
    tcase_add_test(tcase, test_a_writer_that_is_woken_late_makes_up_for_it);
    tcase_add_test(tcase, test_an_installed_state_takes_the_place_of_what_was_there);
    tcase_add_test(tcase, test_a_writer_gives_up_when_another_state_is_installed);
    tcase_add_test(tcase, test_a_range_whose_revision_is_gone_by_an_install_says_so);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
