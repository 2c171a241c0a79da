/* raft_image: the whole state of a node's consensus as bytes: to copy it, to compare it, to know it again.
 *
 * An image says what can still matter, and says it in one way, so that two nodes that will behave alike have the same image:
 *   - times are ages and distances from now, ages of an election timeout or more being one;
 *   - sequence numbers of appends count from the last persisted one (a loaded node has persisted 0);
 *   - what only a leader or only a candidate uses is left out for the others, who set it anew before they use it;
 *   - chance is left out: a loaded node draws what its options' seed gives first.
 * Ids are written through `names` (names[id] = the id to write, 0 for 0; NULL = as they are), with all lists in the order of the
 * new ids: images of two nodes that differ in the naming of members only can be made equal. That is for comparing, not for loading.
 *
 * Owner: none. Thread: that of its raft. Limits: taken directly after raft_take_output, of a node whose whole log is in memory, with
 * no fetch under way and no damaged tail (asserted); names only while no CONF entry is in the log.
 */
#ifndef RAFT_RAFT_IMAGE_H
#define RAFT_RAFT_IMAGE_H
#include "raft/raft.h"

/* Appends the image to out_bytes. */
void raft_image_save(const struct raft *raft, const uint64_t *names, struct buf *out_bytes);
/* Turns `raft` into what the image says, at the time now_ns ≥ two election timeouts, with the options it was made with except for
 * `self`. The reader stands behind the image afterwards. */
void raft_image_load(struct raft *raft, struct reader *bytes, uint64_t now_ns);

/* The whole log, which is in memory; borrowed until the next step. */
const struct raft_entry *raft_image_entries(const struct raft *raft, size_t *out_count);

/* The election timer, or a leader's heartbeat timer, has run out: the next RAFT_IN_TICK finds it so. Timeouts are random, so who
 * looks at all that can happen chooses when. */
void raft_image_make_due(struct raft *raft);

#endif
