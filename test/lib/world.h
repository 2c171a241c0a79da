/* world: whole members in one thread: every role of the pipeline stepped by hand over simulated disks, clock and network, from encoded
 * request bytes to encoded answers. Seeded: one seed, one history.
 *
 * At every post and publish another role of the member may run at once (a switch point), which shows what threads would do. Files complete
 * later, frames take time; a member can be killed (the disk keeps what was written) or lose power (unsynced sectors are lost or torn).
 * Owner: world_new/world_free. Thread: one. Limits: WORLD_MEMBERS_MAX members.
 */
#ifndef TEST_LIB_WORLD_H
#define TEST_LIB_WORLD_H
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"

#define WORLD_MEMBERS_MAX 5

struct world_options {
    uint64_t seed;
    uint32_t members;
    uint32_t switch_percent; /* chance that a post runs another role at once */
    uint32_t loss_percent;   /* of frames */
};
struct world;
struct world *world_new(const struct world_options *options);
void world_free(struct world *world);

/* Runs until `ns` of virtual time have passed. */
void world_run(struct world *world, uint64_t ns);
uint64_t world_now_ns(const struct world *world);

void world_kill(struct world *world, uint32_t member, bool power_loss);
void world_start(struct world *world, uint32_t member);
bool world_is_up(const struct world *world, uint32_t member);
bool world_is_ready(const struct world *world, uint32_t member);
void world_cut(struct world *world, uint32_t from, uint32_t to, bool is_cut); /* one direction */
int world_leader(const struct world *world); /* the member that leads in the highest term; -1 */

/* A call at a member: its name; the answer belongs to the world. */
uint64_t world_call(struct world *world, uint32_t member, const char *path, struct slice request);
/* True once it is over: answered, or the member died (err = ERR_STOPPED, `died`). */
bool world_answer(struct world *world, uint64_t call, enum err *out_err, struct slice *out_bytes, bool *out_died);

/* The state hash and applied index of a member that is up. */
uint64_t world_hash(const struct world *world, uint32_t member, uint64_t *out_applied_index, int64_t *out_revision);
uint64_t world_steps(const struct world *world);

#endif
