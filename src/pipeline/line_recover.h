/* line_recover: from a data directory to a state machine and a raft core that continue where the member stopped.
 *
 * A new member writes its bootstrap configuration as entry (1, 1) of the log, the same bytes on every member, and is then recovered like
 * any other: the log alone explains the state.
 * Owner: what is recovered belongs to the caller. Thread: start-up. */
#ifndef PIPELINE_LINE_RECOVER_H
#define PIPELINE_LINE_RECOVER_H
#include "pipeline/line.h"
#include "raft/raft.h"
#include "storage/data_dir.h"
#include "storage/snapshot_dir.h"
#include "storage/state_machine.h"
#include "storage/wal.h"

struct line_recovered {
    struct snapshot_dir snapshots;
    struct apply_snapshots taken; /* since the newest snapshot */
    struct data_dir_identity identity;
    struct line_start start;
    struct state_machine *machine;
    struct wal *wal;
    struct raft *raft;
    struct cluster *cluster; /* effective members, a reference */
};
/* False: out_message says what and why; nothing is left behind in `out`. */
bool line_recover_state(const struct line_recover_options *options, struct line_recovered *out, char *out_message,
                  size_t message_size);

#endif
