/* state_machine: applies one log entry after another: same bytes in, same state out, on every member. MVCC, cluster, (later) leases,
 * auth, alarms. Depends on (state, entry) only: no clock, no chance, no flag.
 *
 * Owner: state_machine_new/_free. Thread: apply; readers use state_machine_mvcc()'s view and state_machine_cluster() under RCU.
 */
#ifndef STORAGE_STATE_MACHINE_H
#define STORAGE_STATE_MACHINE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/raft_entry.h"
#include "storage/cluster.h"
#include "storage/command.h"
#include "storage/mvcc.h"

/* What the entry's call gets: response = header {…, revision} + body bytes. */
struct state_machine_result {
    enum err err;
    int64_t revision;          /* for the header */
    struct blob *body;         /* the response's fields after the header; NULL = none; one reference */
    bool has_id;               /* the entry was a command with a request id */
    struct command_id id;
    int64_t wait_compacted;    /* physical compaction: answer when mvcc_compact_done_revision reaches it; 0 = now */
};

struct state_machine_options {
    struct rcu *rcu;
    const struct cluster *cluster; /* bootstrap; a reference is taken */
};
struct state_machine;
struct state_machine *state_machine_new(const struct state_machine_options *options);
void state_machine_free(struct state_machine *machine);
/* `wants_reply`: encode bodies (only the member that holds the call does); errors and writes are the same either way. An entry that
 * cannot be understood (unknown kind or level) is fatal. `conf_members`: for RAFT_ENTRY_CONF the opaque member data, else empty.
 * Index must follow the last applied one. */
void state_machine_apply(struct state_machine *machine, const struct raft_entry *entry, struct slice conf_members,
                         bool wants_reply, struct state_machine_result *out_result);
void state_machine_publish(struct state_machine *machine); /* once per batch, before replies are posted */
uint64_t state_machine_applied_index(const struct state_machine *machine);
struct mvcc *state_machine_mvcc(struct state_machine *machine);
/* The published cluster; any registered reader, until its next quiescent state (take a reference to keep it). */
const struct cluster *state_machine_cluster(const struct state_machine *machine);

#endif
