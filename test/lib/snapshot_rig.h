/* snapshot_rig: stores to take snapshots of, snapshots written and loaded on a simulated disk, and the question whether two stores are one.
 * Owner: embedded by the test, or as said. Thread: one.
 */
#ifndef TEST_LIB_SNAPSHOT_RIG_H
#define TEST_LIB_SNAPSHOT_RIG_H
#include "base/rng.h"
#include "lib/fs_sim.h"
#include "lib/rcu_double.h"
#include "storage/mvcc.h"
#include "storage/snapshot_dir.h"
#include "storage/snapshot_load.h"
#include "storage/snapshot_writer.h"

#define SNAPSHOT_RIG_DIR "data/snap"

struct snapshot_rig_store {
    struct rcu_double rcu;
    struct mvcc *mvcc;
};
void snapshot_rig_store_init(struct snapshot_rig_store *store, struct mvcc_content *content_or_null);
void snapshot_rig_store_deinit(struct snapshot_rig_store *store);
struct rng snapshot_rig_rng(uint64_t seed);
/* Moves the mark if it is below `revision`. */
void snapshot_rig_compact(struct mvcc *mvcc, int64_t revision);
/* A transaction by chance over so many keys: puts, deletes of ranges, several changes of one key; now and then a value that is a blob. The
 * same numbers make the same changes in any store. */
void snapshot_rig_change(struct mvcc *mvcc, struct rng *rng, uint32_t keys, bool with_blobs);
/* Publishes, compacts as far as may be, frees. */
void snapshot_rig_settle(struct snapshot_rig_store *store);

/* An image as state_machine_take_image makes it, of a store alone. Publishes first. */
struct state_machine_image *snapshot_rig_image(struct mvcc *mvcc, uint64_t index);
/* Runs a writer to its end, `between_fn` (may be NULL) after each step. The err of its end; ERR_OK = done. */
typedef void snapshot_rig_between_fn(void *context);
enum err snapshot_rig_write(struct fs *fs, struct state_machine_image *image, snapshot_rig_between_fn *between_fn, void *context);
/* Loads one file, blocking. */
enum err snapshot_rig_load(struct fs *fs, const char *path, struct state_machine_loaded **out_loaded);
char *snapshot_rig_path(uint64_t index); /* the caller frees it */
void snapshot_rig_make_dir(struct fs *fs);
/* The whole file; the caller frees it. */
struct blob *snapshot_rig_bytes(struct fs *fs, const char *path);
/* A file as clients save it: with padding and the sum behind it. The caller frees it. */
struct blob *snapshot_rig_saved(struct slice file);
void snapshot_rig_put(struct fs *fs, const char *path, struct slice bytes);

/* ASSERTs that both answer alike at every revision from the compact revision on, and tell the same history. */
void snapshot_rig_compare(const struct mvcc_view *a, const struct mvcc_view *b);

#endif
