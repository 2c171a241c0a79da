/* state_machine: applies one log entry after another: same bytes in, same state out, on every member. MVCC, leases, cluster, alarms,
 * (later) auth. Depends on (state, entry) only: no clock, no chance, no flag.
 *
 * Owner: state_machine_new/_free. Thread: apply; readers use state_machine_mvcc()'s view, state_machine_cluster() and
 * state_machine_alarms() under RCU.
 */
#ifndef STORAGE_STATE_MACHINE_H
#define STORAGE_STATE_MACHINE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/raft_entry.h"
#include "storage/alarm_state.h"
#include "storage/cluster.h"
#include "storage/command.h"
#include "storage/lease.h"
#include "storage/mvcc.h"
#include "storage/mvcc_export.h"

/* What the entry's call gets: response = header {…, revision} + body bytes. */
struct state_machine_result {
    enum err err;
    int64_t revision;          /* for the header */
    struct blob *body;         /* the response's fields after the header; NULL = none; one reference */
    bool has_id;               /* the entry was a command with a request id */
    struct command_id id;
    enum command_kind kind;    /* has_id: its */
    int64_t wait_compacted;    /* physical compaction: answer when mvcc_compact_done_revision reaches it; 0 = now */
};

/* What a snapshot is made of: the state between two entries, frozen by apply in no time, walked and freed by another thread. */
struct state_machine_image {
    uint64_t index;
    uint64_t term;
    struct blob *conf;       /* raft_conf_encode's bytes in force at index; one reference */
    struct cluster *cluster; /* one reference */
    struct blob *alarms;     /* alarm_state_encode's bytes; one reference; NULL = none */
    struct lease_image *leases; /* owned; NULL = none */
    struct mvcc *mvcc;       /* borrowed: the image goes before the state machine does */
    struct mvcc_export_image keys;
};
/* A whole state, loaded aside. */
struct state_machine_loaded {
    uint64_t index;
    uint64_t term;
    uint64_t file_bytes;          /* of the snapshot that it came from */
    struct blob *conf;            /* one reference */
    struct cluster *cluster;      /* one reference */
    struct alarm_state *alarms;   /* alarm_state_decode's; NULL = none */
    struct lease_set *leases;     /* with their keys; NULL = none */
    struct mvcc_content *content; /* NULL once a state machine has taken it */
};
void state_machine_loaded_free(struct state_machine_loaded *loaded); /* accepts NULL; what nobody has taken is freed at once */

struct state_machine_options {
    struct rcu *rcu;
    const struct cluster *cluster; /* bootstrap; a reference is taken. Ignored with `loaded` */
    struct slice conf;             /* bootstrap: raft_conf_encode's bytes, copied; CONF entries replace it. Ignored with `loaded` */
    struct state_machine_loaded *loaded; /* NULL = begin empty; taken over and freed */
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
/* NULL: no pin is free. Otherwise state_machine_publish comes before the image is handed to another thread. The owner frees it, on any
 * thread. */
struct state_machine_image *state_machine_take_image(struct state_machine *machine);
void state_machine_image_unpin(struct state_machine_image *image); /* the keys have been walked; twice is harmless */
void state_machine_image_free(struct state_machine_image *image);  /* accepts NULL */
/* Everything becomes what `loaded` (taken over and freed) says, and is published. Its index is above the applied one. Readers of views from
 * before stay valid for their grace period; pins hold on in the new store, but those below its compact revision are void: their owners see
 * ERR_COMPACTED by mvcc_view_check_pinned. What was there is freed by mvcc_reclaim_step and
 * state_machine_discard_step. */
void state_machine_install(struct state_machine *machine, struct state_machine_loaded *loaded);
bool state_machine_discard_step(struct state_machine *machine, size_t budget); /* true while something is left */
uint64_t state_machine_applied_index(const struct state_machine *machine);
uint64_t state_machine_applied_term(const struct state_machine *machine); /* of that entry; 0 = none */
/* Of the newest CONF entry applied, the snapshot, or the bootstrap; borrowed until the next apply or install. */
struct slice state_machine_conf(const struct state_machine *machine);
struct mvcc *state_machine_mvcc(struct state_machine *machine);
/* The writer's: their timers are the caller's business, their state is not. Another set after an install. */
struct lease_set *state_machine_leases(struct state_machine *machine);
/* The published cluster; any registered reader, until its next quiescent state (take a reference to keep it). */
const struct cluster *state_machine_cluster(const struct state_machine *machine);
/* The published alarms, likewise. */
const struct alarm_list *state_machine_alarms(const struct state_machine *machine);
/* O(1): of the keys with their history, the marks, the alarms and the leases, behind the last applied entry. Equal on all members at one index. */
uint64_t state_machine_hash(struct state_machine *machine);

#endif
