/* world_locks: what calls of the Lock and Election services write, as their member proposed it: a call is many commands, which no client asked
 * for by itself. Owner: embedded in the world. Thread: one. */
#ifndef TEST_LIB_WORLD_LOCKS_H
#define TEST_LIB_WORLD_LOCKS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "storage/command.h"

struct world;
struct world_member;

struct world_lock_write {
    uint32_t member;
    uint64_t boot, counter; /* of its command */
    struct blob *command;
};
struct world_locks {
    struct world_lock_write *writes; /* in the order in which they were proposed */
    size_t count, capacity;
};
void world_locks_deinit(struct world *world);
void world_locks_note(struct world_member *member, const struct command_id *id, struct blob *command);

/* --- for whoever has the world --- */
const struct world_lock_write *world_lock_writes(const struct world *world, size_t *out_count);
uint64_t world_lock_write_index(const struct world *world, size_t number); /* in the committed log; 0 = nowhere (so far) */
/* The create revision of a key in the published view of a member that is up; 0 = it is not there. */
int64_t world_created(const struct world *world, uint32_t member, uint32_t key);
int64_t world_shown(const struct world *world); /* the newest revision that any member has ever shown */

#endif
