/* sim_backups: what a saved snapshot is good for: a member that is restored from it by the production's own code, on a disk of its own, finds
 * the keys as they were; with a bump at revisions that no client of the old cluster has seen, and with nothing below them.
 *
 *   B1  a saved file is restored        B2  without a bump every version is there
 *   B3  with one the revision goes up by it, all below is compacted, and each key is as it was
 *
 * Owner: nothing is kept. Thread: one. */
#ifndef TEST_LIB_SIM_BACKUPS_H
#define TEST_LIB_SIM_BACKUPS_H
#include "lib/world.h"

struct fs;
struct state_machine_loaded;
/* The file on that fs, and what it holds as loaded (its content is taken). bump 0: none. */
void sim_backups_check(struct world *world, struct fs *fs, const char *file, struct state_machine_loaded *loaded, int64_t bump);

#endif
