/* wal_edit: a log whose content is known, and edits of its bytes: what a disk may do to them, and what a forger may.
 *
 * Owner: made once by wal_edit_learn, kept for the life of the program. Thread: one. Limits: those of wal_rig_script.
 */
#ifndef TEST_FUZZ_WAL_EDIT_H
#define TEST_FUZZ_WAL_EDIT_H
#include "base/buf.h"
#include "lib/wal_rig.h"

/* The log after the script, closed; its model; the same one each time. */
struct wal_rig *wal_edit_learn(void);
struct fs_sim_disk *wal_edit_fresh_disk(void); /* a copy without edits */
/* Reads one edit, {kind, block, other block, argument}, and makes it; true if it forges checksums. Where the file is gone or too short
 * nothing happens. */
bool wal_edit_apply(struct fs_sim_disk *disk, struct reader *input);
/* The model's append that must be found: what the durable marks say that lie untouched where they were written. */
uint64_t wal_edit_promised(const struct fs_sim_disk *disk);

#endif
