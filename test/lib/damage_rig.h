/* damage_rig: a small cluster with its files, for the matrix of damage: writes whose acknowledgements are kept, faults to its files, what a
 * member says when it starts, and whether everything acknowledged is on every member at the end.
 *
 * Each write has a key of its own, so that one of unknown outcome disturbs nothing. Every expectation that fails prints a line and ends the
 * process: a case is meant to run in a child.
 * Owner: damage_rig_init/_deinit. Thread: one. Limits: DAMAGE_RIG_WRITES_MAX writes. */
#ifndef TEST_LIB_DAMAGE_RIG_H
#define TEST_LIB_DAMAGE_RIG_H
#include "base/fs.h"
#include "lib/fs_sim.h"
#include "lib/world.h"

#define DAMAGE_RIG_WRITES_MAX 2000
#define DAMAGE_RIG_WAL "/data/wal"
#define DAMAGE_RIG_SNAP "/data/snap"
#define DAMAGE_RIG_IDENTITY "/data/identity"

struct damage_rig {
    struct world *world;
    uint32_t members;
    uint32_t target;         /* whom the faults are done to */
    uint32_t away;           /* bit per member that calls do not go to */
    bool is_acked[DAMAGE_RIG_WRITES_MAX];
    uint32_t writes, acked;
    char said[1024];         /* warnings of the last start, the interesting part */
    struct fs_sim_disk *whole; /* the target's disk, before it was damaged */
};
enum damage_rig_start { DAMAGE_RIG_CLEAN, DAMAGE_RIG_REPAIRED, DAMAGE_RIG_FELL_BACK, DAMAGE_RIG_ASKED, DAMAGE_RIG_REFUSED };

_Noreturn void damage_rig_fail(const struct damage_rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A cluster that has a leader and has taken two snapshots at least. The target: the leader, or else another (alone: the only one). */
void damage_rig_init(struct damage_rig *rig, uint32_t members, bool at_leader, uint64_t seed);
void damage_rig_deinit(struct damage_rig *rig);
/* So many writes, each awaited at somebody who is up; true: all were acknowledged. */
bool damage_rig_write(struct damage_rig *rig, uint32_t count);
void damage_rig_run_ms(struct damage_rig *rig, uint64_t ms);
/* The target dies, and its disk as it is then is kept as `whole`. */
void damage_rig_kill(struct damage_rig *rig);
/* It starts; what it says is in rig->said. */
enum damage_rig_start damage_rig_start(struct damage_rig *rig);
/* Its disk is as it was when it was killed. */
void damage_rig_put_right(struct damage_rig *rig);
/* Everybody is up, serves everything that was acknowledged, and all hashes are equal. */
void damage_rig_check(struct damage_rig *rig);
/* How many acknowledged writes a member's own view lacks, however old it may be. */
uint32_t damage_rig_missing(struct damage_rig *rig, uint32_t member);

/* --- its files --- */
/* The place'th segment (from the end if negative), or snapshot (0 = the newest). */
void damage_rig_segment(const struct damage_rig *rig, int place, char out_path[128]);
void damage_rig_snapshot(const struct damage_rig *rig, uint32_t place, char out_path[128]);
uint64_t damage_rig_snapshot_index(const struct damage_rig *rig, uint32_t place);
/* The segment, not the last, that holds only what is behind the newest snapshot; and the block in its middle. */
uint64_t damage_rig_behind_snapshot(const struct damage_rig *rig, char out_path[128]);
/* Of the used blocks of a segment: the one at so many percent. */
uint64_t damage_rig_block(const struct damage_rig *rig, const char *path, uint32_t percent);
/* First and last block of the last batch of the log. */
void damage_rig_last_batch(const struct damage_rig *rig, char out_path[128], uint64_t *out_first, uint64_t *out_last);
/* Where the payload of a section of a snapshot begins. */
uint64_t damage_rig_section(const struct damage_rig *rig, const char *path, uint32_t section);
void damage_rig_make_file(struct damage_rig *rig, const char *path, const void *bytes, size_t size);
void damage_rig_copy_file(struct damage_rig *rig, const char *from, const char *to);

#endif
