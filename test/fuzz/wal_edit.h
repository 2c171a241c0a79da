/* wal_edit: a log whose content is known, and edits of its bytes: what a disk may do to them, and what a forger may.
 *
 * Owner: made once per script by wal_edit_learn, kept for the life of the program. Thread: one. Limits: those of wal_rig_script; 12 edits
 * an input.
 */
#ifndef TEST_FUZZ_WAL_EDIT_H
#define TEST_FUZZ_WAL_EDIT_H
#include "base/buf.h"
#include "lib/wal_rig_script.h"

struct wal_edit;

/* The log after the script and one batch more that no durable mark covers, closed, and its model. */
struct wal_edit *wal_edit_learn(wal_rig_script_fn *script_fn);
/* The rig on a copy of the log without edits, with the script's newest snapshot. */
struct wal_rig *wal_edit_begin(struct wal_edit *edit);
/* Reads edits, {kind, block, other block, argument} each, and makes them; true if one forges checksums. Where the file is gone or too short
 * nothing happens. */
bool wal_edit_apply(struct wal_edit *edit, struct reader *input);
/* The model's append that must be found: what the durable marks say that lie untouched where they were written. */
uint64_t wal_edit_promised(const struct wal_edit *edit);

#endif
