/* wal_rig_script: the fixed script that the log's tests cut, damage and fail: batches of one block and of many, overwrites, hard state
 * alone, configurations, marks, rotations with and without an overwrite, a batch larger than a segment. It leaves entries 1 to 21,
 * committed up to 20, in term 5, the last batch covered by a mark.
 *
 * Owner, Thread: as wal_rig.h says. Limits: about 80 operations that change the disk.
 */
#ifndef TEST_LIB_WAL_RIG_SCRIPT_H
#define TEST_LIB_WAL_RIG_SCRIPT_H
#include "lib/wal_rig.h"

/* What was promised at the moment of the cut (fs_sim_freeze_at), or until now. */
struct wal_rig_promise {
    uint64_t acked;
    uint64_t issued;
    int report; /* a pipe that hears of every acknowledgement; -1 = none */
    uint64_t snapshots[2][2]; /* the two newest snapshots on disk, the newest first: index and term; 0 = none */
};

/* One of the scripts below: opens the log and runs; not ERR_OK: the log could not be opened. */
typedef enum err wal_rig_script_fn(struct wal_rig *rig, struct wal_rig_promise *promise);

bool wal_rig_script_is_long(void); /* KVD_TEST_LONG=1 */
enum err wal_rig_script(struct wal_rig *rig, struct wal_rig_promise *promise);
/* A script of its own for the head of the log: snapshots of the member's own with segments dropped behind them, three from others with
 * resets, votes in between, and what waits while they are under way. */
enum err wal_rig_script_heads(struct wal_rig *rig, struct wal_rig_promise *promise);
/* A third one for files that are used again: the oldest segment goes just when a new one was begun, so that it becomes the next one, and so on
 * until most files have had several lives. */
enum err wal_rig_script_reuse(struct wal_rig *rig, struct wal_rig_promise *promise);
void wal_rig_script_run(struct wal_rig *rig, struct wal_rig_promise *promise);  /* steps until nothing moves */
void wal_rig_script_idle(struct wal_rig *rig, struct wal_rig_promise *promise); /* the same, a second later */

#endif
