/* snapshot_load: a snapshot file into a state that a state machine can begin with or take over, or only its verification.
 *
 * Every block is verified before it is used, and what was built must have the hash, the counts and the gapless history that the file
 * promises. Blocking (start-up) or in bounded steps over submitted operations (snap role): one code.
 * Owner: snapshot_load_new/_free. Thread: one, with an fs of its own. Limits: memory as the state; what a damaged file can ask for is
 * bounded by its size.
 */
#ifndef STORAGE_SNAPSHOT_LOAD_H
#define STORAGE_SNAPSHOT_LOAD_H
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fs.h"
#include "storage/snapshot_reader.h"
#include "storage/state_machine.h"

struct snapshot_load_options {
    struct fs *fs;         /* borrowed; see snapshot_io.h */
    const char *path;      /* of the file, whatever its name; copied */
    uint64_t cluster_id;   /* whose it must be; 0 = anybody's */
    enum snapshot_reader_trailer trailer;
    bool is_verify_only;   /* all checksums and totals; builds nothing */
    bool is_blocking;
};
enum snapshot_load_state { SNAPSHOT_LOAD_RUNNING, SNAPSHOT_LOAD_DONE, SNAPSHOT_LOAD_FAILED };

struct snapshot_load;
struct snapshot_load *snapshot_load_new(const struct snapshot_load_options *options);
void snapshot_load_free(struct snapshot_load *load); /* accepts NULL; no operation may be in flight (snapshot_load_is_waiting) */
/* True: can go on at once. False: waits for a completion, or has ended. */
bool snapshot_load_step(struct snapshot_load *load);
bool snapshot_load_is_waiting(const struct snapshot_load *load);
enum snapshot_load_state snapshot_load_state(const struct snapshot_load *load);
/* How far it has read. */
void snapshot_load_get_place(const struct snapshot_load *load, uint64_t *out_bytes, uint64_t *out_total);
/* After DONE. */
const struct snapshot_format_head *snapshot_load_head(const struct snapshot_load *load);
const struct snapshot_format_end *snapshot_load_end(const struct snapshot_load *load);
uint64_t snapshot_load_hash(const struct snapshot_load *load);                  /* mvcc_hash at its revision */
const struct cluster *snapshot_load_cluster(const struct snapshot_load *load);  /* borrowed; not after snapshot_load_take */
struct state_machine_loaded *snapshot_load_take(struct snapshot_load *load); /* once; not with is_verify_only */
/* After FAILED: ERR_CORRUPT (damaged), ERR_STOPPED (cannot be read, or a newer program wrote it), ERR_CLUSTER_ID_MISMATCH; file, offset
 * and reason. */
enum err snapshot_load_err(const struct snapshot_load *load);
const char *snapshot_load_message(const struct snapshot_load *load);
bool snapshot_load_is_unsupported(const struct snapshot_load *load); /* intact, but of a newer program */

#endif
