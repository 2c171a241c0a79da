/* wal_rig_script: what the log is made to do before it is cut, damaged or failed. See wal_rig_script.h. */
#include "lib/wal_rig_script.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

bool wal_rig_script_is_long(void)
{
    const char *text = getenv("KVD_TEST_LONG");
    return text != NULL && strcmp(text, "1") == 0;
}

void wal_rig_script_run(struct wal_rig *rig, struct wal_rig_promise *promise)
{
    bool is_cut = fs_sim_frozen(rig->disk) != NULL;
    if (!is_cut) promise->issued = rig->appended;
    for (size_t steps = 0; steps < 1000; steps++) {
        bool moved = wal_step(rig->wal, rig->now_ns);
        if (fs_sim_frozen(rig->disk) == NULL) promise->acked = wal_rig_durable(rig);
        uint64_t durable = wal_rig_durable(rig);
        if (promise->report >= 0 && write(promise->report, &durable, sizeof durable) != sizeof durable) ck_abort_msg("pipe");
        if (!moved) break;
    }
}

void wal_rig_script_idle(struct wal_rig *rig, struct wal_rig_promise *promise)
{
    rig->now_ns += NS_PER_S;
    wal_rig_script_run(rig, promise);
}

/* Batches of one block and of many, overwrites, hard state alone, configurations, marks, rotations with and without an overwrite. */
enum err wal_rig_script(struct wal_rig *rig, struct wal_rig_promise *promise)
{
    rig->options.idle_mark_ns = NS_PER_S;
    enum err err = wal_rig_open(rig);
    if (err != ERR_OK) return err;
    wal_rig_hard(rig, 1, 3, 0);
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 1, 3, 1, 0, 40);
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 4, 4, 1, 3, 500);
    wal_rig_append(rig, 8, 1, 1, 3, 100);
    wal_rig_script_run(rig, promise);
    wal_rig_hard(rig, 2, 7, 3);
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 6, 3, 2, 5, 300); /* overwrites 6, 7, 8 */
    wal_rig_script_run(rig, promise);
    wal_rig_script_idle(rig, promise);
    wal_rig_append_conf(rig, 9, 2, 6);
    wal_rig_append(rig, 10, 2, 2, 6, 1500);
    wal_rig_script_run(rig, promise); /* rotates */
    wal_rig_append(rig, 12, 2, 2, 10, 900);
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 11, 1, 4, 10, 600); /* overwrites 11, 12, 13 */
    wal_rig_append(rig, 12, 3, 4, 10, 20);
    wal_rig_script_run(rig, promise);
    for (uint64_t i = 0; i < 4; i++) {
        wal_rig_append(rig, 15 + i, 1, 4, 11 + i, 1700);
        wal_rig_script_run(rig, promise);
    }
    wal_rig_hard(rig, 5, 2, 15);
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 17, 2, 5, 16, 3000); /* overwrites 17, 18, and rotates */
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 19, 1, 5, 18, 9000); /* a segment of its own */
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 20, 1, 5, 19, 2500); /* rotates again */
    wal_rig_script_run(rig, promise);
    wal_rig_append(rig, 21, 1, 5, 20, 60);
    wal_rig_script_run(rig, promise);
    wal_rig_script_idle(rig, promise);
    return ERR_OK;
}

/* A snapshot is durable before the log hears of it. */
static void snapshot_taken(struct wal_rig *rig, struct wal_rig_promise *promise, uint64_t index, uint64_t term)
{
    if (fs_sim_frozen(rig->disk) != NULL) return;
    promise->snapshots[1][0] = promise->snapshots[0][0];
    promise->snapshots[1][1] = promise->snapshots[0][1];
    promise->snapshots[0][0] = index;
    promise->snapshots[0][1] = term;
}

/* The log is about to begin anew: an older snapshot does not fit it any more. */
static void snapshot_received(struct wal_rig *rig, struct wal_rig_promise *promise, uint64_t index, uint64_t term)
{
    for (int i = 0; i < 2; i++) snapshot_taken(rig, promise, index, term);
}

/* Large enough that a segment holds five. */
static void append_each(struct wal_rig *rig, struct wal_rig_promise *promise, uint64_t first, uint64_t last, uint64_t term)
{
    for (uint64_t index = first; index <= last; index++) {
        wal_rig_append(rig, index, 1, term, first - 1, 1300);
        wal_rig_script_run(rig, promise);
    }
}

enum err wal_rig_script_heads(struct wal_rig *rig, struct wal_rig_promise *promise)
{
    rig->options.idle_mark_ns = NS_PER_S;
    enum err err = wal_rig_open(rig);
    if (err != ERR_OK) return err;
    append_each(rig, promise, 1, 8, 1);
    append_each(rig, promise, 9, 12, 1);
    snapshot_taken(rig, promise, 6, 1);
    snapshot_taken(rig, promise, 8, 1);
    wal_rig_hard(rig, 2, 3, 9);
    append_each(rig, promise, 10, 17, 2); /* overwrites 10, 11, 12 */
    append_each(rig, promise, 18, 18, 2);
    snapshot_taken(rig, promise, 15, 2);
    snapshot_taken(rig, promise, 17, 2);
    wal_rig_append(rig, 19, 2, 2, 18, 700); /* waits while segments go */
    wal_drop_head(rig->wal, 15);
    wal_rig_script_run(rig, promise);
    wal_rig_hard(rig, 5, 2, 19);
    wal_rig_script_run(rig, promise);
    snapshot_received(rig, promise, 100, 4);
    wal_rig_reset(rig, 100, 4, 5);
    wal_rig_script_run(rig, promise);
    append_each(rig, promise, 101, 109, 5);
    append_each(rig, promise, 110, 110, 5);
    snapshot_taken(rig, promise, 104, 5);
    snapshot_taken(rig, promise, 108, 5);
    wal_drop_head(rig->wal, 104);
    wal_rig_hard(rig, 6, 1, 109);
    wal_rig_script_run(rig, promise);
    snapshot_received(rig, promise, 112, 6); /* just behind the log's end */
    wal_rig_append(rig, 111, 1, 6, 109, 500);
    wal_rig_reset(rig, 112, 6, 6);
    wal_rig_append(rig, 113, 2, 6, 112, 500);
    wal_rig_script_run(rig, promise);
    snapshot_received(rig, promise, 200, 7);
    wal_rig_reset(rig, 200, 7, 7); /* the next one comes before this one's old segments are gone */
    (void)wal_step(rig->wal, rig->now_ns);
    snapshot_received(rig, promise, 300, 8);
    wal_rig_reset(rig, 300, 8, 9);
    wal_rig_hard(rig, 9, 2, 300);
    wal_rig_script_run(rig, promise);
    append_each(rig, promise, 301, 302, 9);
    wal_rig_script_idle(rig, promise);
    return ERR_OK;
}

enum err wal_rig_script_reuse(struct wal_rig *rig, struct wal_rig_promise *promise)
{
    enum err err = wal_rig_open(rig);
    if (err != ERR_OK) return err;
    append_each(rig, promise, 1, 8, 1);
    for (uint64_t first = 9; first < 33; first += 6) {
        append_each(rig, promise, first, first + 4, 1);
        snapshot_taken(rig, promise, first - 3, 1);
        snapshot_taken(rig, promise, first - 1, 1);
        wal_rig_append(rig, first + 5, 1, 1, first, 1300);
        wal_drop_head(rig->wal, first - 3); /* in the step in which the append may begin a segment */
        wal_rig_script_run(rig, promise);
    }
    struct wal_stats stats;
    wal_get_stats(rig->wal, &stats);
    if (stats.reused < 3) ck_abort_msg("too few files are used again"); /* ck_assert works in tests alone, not in fuzz targets */
    return ERR_OK;
}
