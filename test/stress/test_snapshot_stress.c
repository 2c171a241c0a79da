/* Are snapshots whole that are taken while a writer goes on, and may states be installed under the eyes of readers?
 *
 * The leader's writer changes keys in pairs, compacts and frees. A thread of its own writes each image to a file, loads it and hands the
 * state back; it is installed in a follower's store, in which readers with pinned revisions look whether pairs are still pairs. Meant for
 * ThreadSanitizer; KVD_TEST_LONG=1 goes on much longer. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lib/snapshot_rig.h"
#include "storage/mvcc_content.h"

#define PAIRS 400
#define READERS 2

struct stage {
    struct mvcc *leader;
    struct mvcc *follower;
    _Atomic(struct state_machine_image *) image;   /* apply → snap */
    _Atomic(struct state_machine_loaded *) loaded; /* snap → apply */
    atomic_bool is_over;
    uint64_t installs_max;
    atomic_uint_fast64_t refused; /* pinned reads that an install overtook */
};

static struct mvcc_range part(char name)
{
    static const char *const bounds[] = {"a/", "a0", "b/", "b0"};
    size_t at = name == 'a' ? 0 : 2;
    return mvcc_range_make(slice_from_string(bounds[at]), slice_from_string(bounds[at + 1]));
}

/* --- apply ------------------------------------------------------------------------------------------------------------------- */

static void change_pair(struct mvcc *mvcc, struct rng *rng)
{
    char keys[2][16];
    uint64_t number = rng_below(rng, PAIRS);
    uint64_t value = rng_next(rng);
    bool deletes = rng_below(rng, 3) == 0;
    for (int i = 0; i < 2; i++) (void)snprintf(keys[i], sizeof keys[i], "%c/%04u", "ab"[i], (unsigned)number);
    mvcc_begin(mvcc);
    for (int i = 0; i < 2; i++) {
        struct mvcc_range one = mvcc_range_make(slice_from_string(keys[i]), slice_empty());
        if (deletes) (void)mvcc_delete(mvcc, &one, NULL, NULL);
        else mvcc_put(mvcc, slice_from_string(keys[i]), slice_make(&value, sizeof value), 0);
    }
    (void)mvcc_commit(mvcc);
}

static void install(struct stage *stage, uint64_t *installs)
{
    struct state_machine_loaded *loaded = atomic_exchange(&stage->loaded, NULL);
    if (loaded == NULL) return;
    mvcc_adopt(stage->follower, loaded->content);
    loaded->content = NULL;
    state_machine_loaded_free(loaded);
    (*installs)++;
}

static void run_apply(struct stage *stage)
{
    struct rng rng = snapshot_rig_rng(7);
    uint64_t installs = 0;
    for (uint64_t round = 0; installs < stage->installs_max; round++) {
        for (int i = 0; i < 20; i++) change_pair(stage->leader, &rng);
        int64_t revision = mvcc_view_revision(mvcc_writer_view(stage->leader));
        if (round % 8 == 0 && revision > 300) snapshot_rig_compact(stage->leader, revision - (int64_t)rng_below(&rng, 300));
        (void)mvcc_compact_step(stage->leader, 200);
        mvcc_publish(stage->leader);
        (void)mvcc_reclaim_step(stage->leader, 200);
        (void)mvcc_reclaim_step(stage->follower, 200);
        if (atomic_load(&stage->image) == NULL) atomic_store(&stage->image, snapshot_rig_image(stage->leader, round + 1));
        install(stage, &installs);
        sched_yield();
    }
    atomic_store(&stage->is_over, true);
}

/* --- snap -------------------------------------------------------------------------------------------------------------------- */

static void pass_quiescent(void *context)
{
    (void)context;
    rcu_reader_quiescent();
}

static void *run_snap(void *context)
{
    struct stage *stage = context;
    struct fs_sim_disk *disk = fs_sim_disk_new();
    struct fs *fs = fs_sim_new(disk, true);
    snapshot_rig_make_dir(fs);
    rcu_reader_register();
    while (!atomic_load(&stage->is_over)) {
        struct state_machine_image *image = atomic_load(&stage->image);
        rcu_reader_quiescent();
        if (image == NULL || atomic_load(&stage->loaded) != NULL) {
            rcu_reader_offline();
            sched_yield();
            rcu_reader_online();
            continue;
        }
        struct state_machine_loaded *loaded = NULL;
        char *path = snapshot_rig_path(image->index);
        enum err err = snapshot_rig_write(fs, image, pass_quiescent, NULL);
        ASSERT(err == ERR_OK);
        rcu_reader_offline();
        err = snapshot_rig_load(fs, path, &loaded);
        ASSERT(err == ERR_OK);
        fs_sim_remove(disk, path);
        alloc_free(path);
        rcu_reader_online();
        atomic_store(&stage->image, NULL);
        atomic_store(&stage->loaded, loaded);
    }
    rcu_reader_unregister();
    fs_free(fs);
    fs_sim_disk_free(disk);
    return NULL;
}

/* --- readers ------------------------------------------------------------------------------------------------------------------ */

static void look(const struct mvcc_view *view, int64_t revision)
{
    struct mvcc_scan scans[2];
    struct mvcc_kv kvs[2];
    struct mvcc_range ranges[2] = {part('a'), part('b')};
    for (int i = 0; i < 2; i++) mvcc_scan_init(&scans[i], view, &ranges[i], revision);
    int64_t count = 0;
    while (mvcc_scan_next(&scans[0], &kvs[0])) {
        bool has_pair = mvcc_scan_next(&scans[1], &kvs[1]);
        ASSERT(has_pair && slice_equal(kvs[0].value, kvs[1].value) && kvs[0].mod_revision == kvs[1].mod_revision);
        count++;
    }
    bool has_more = mvcc_scan_next(&scans[1], &kvs[1]);
    ASSERT(!has_more && mvcc_count(view, &ranges[0], revision) == count);
}

static void *run_reader(void *context)
{
    struct stage *stage = context;
    rcu_reader_register();
    while (!atomic_load(&stage->is_over)) {
        bool is_compacted = false;
        int64_t revision = mvcc_view_revision(mvcc_view(stage->follower));
        int slot = mvcc_pin(stage->follower, revision, &is_compacted);
        rcu_reader_quiescent();
        for (int step = 0; slot >= 0 && step < 40; step++) {
            const struct mvcc_view *view = mvcc_view(stage->follower);
            if (mvcc_view_check_pinned(view, revision) != ERR_OK) {
                atomic_fetch_add(&stage->refused, 1);
                break;
            }
            look(view, revision);
            rcu_reader_offline();
            sched_yield();
            rcu_reader_online();
        }
        if (slot >= 0) mvcc_unpin(stage->follower, slot);
        rcu_reader_quiescent();
    }
    rcu_reader_unregister();
    return NULL;
}

START_TEST(test_snapshots_are_taken_and_installed_beside_writers_and_readers)
{
    struct stage stage = {.leader = mvcc_new(&(struct mvcc_options){.rcu = rcu_system()}),
                          .follower = mvcc_new(&(struct mvcc_options){.rcu = rcu_system()}),
                          .installs_max = getenv("KVD_TEST_LONG") != NULL ? 1000 : 40};
    pthread_t threads[1 + READERS];
    struct mvcc_stats stats;
    ck_assert_int_eq(pthread_create(&threads[0], NULL, run_snap, &stage), 0);
    for (int i = 1; i <= READERS; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, run_reader, &stage), 0);
    run_apply(&stage);
    for (int i = 0; i <= READERS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    state_machine_image_free(atomic_load(&stage.image));
    state_machine_loaded_free(atomic_load(&stage.loaded));
    rcu_wait(rcu_system());
    while (mvcc_reclaim_step(stage.follower, 1000)) ck_assert_ptr_nonnull(stage.follower);
    mvcc_get_stats(stage.follower, &stats);
    ck_assert_uint_eq(stats.bags_outstanding, 0);
    printf("%llu installs, %llu pinned reads overtaken\n", (unsigned long long)stage.installs_max, (unsigned long long)stage.refused);
    mvcc_free(stage.leader);
    mvcc_free(stage.follower);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_stress");
    TCase *tcase = tcase_create("threads");
    tcase_set_timeout(tcase, 3600);
    tcase_add_test(tcase, test_snapshots_are_taken_and_installed_beside_writers_and_readers);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
