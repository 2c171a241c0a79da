/* state_machine_inner: what the files of the state machine share behind state_machine.h: the whole, one function per command kind, and what these
 * have in common. Owner, thread: state_machine.h. Source: state_machine.h. */
#ifndef STORAGE_STATE_MACHINE_INNER_H
#define STORAGE_STATE_MACHINE_INNER_H
#include <stdatomic.h>

#include "base/assert.h"
#include "base/buf.h"
#include "storage/alarm_state.h"
#include "storage/lease.h"
#include "storage/state_machine.h"
#include "storage/txn.h"

struct state_machine {
    struct rcu *rcu;
    struct mvcc *mvcc;
    struct cluster *cluster;   /* the writer's; one reference */
    struct cluster *published; /* the readers'; one reference */
    struct blob *conf;         /* raft_conf_encode's bytes; NULL = none known */
    struct alarm_state *alarms;             /* the writer's */
    struct alarm_list *published_alarms;    /* the readers'; one reference */
    struct lease_set *leases;
    struct lease_set *old_leases;           /* of a state that an install replaced; being freed */
    uint64_t applied_index;
    uint64_t applied_term;
    struct txn txn;            /* room that is used again and again */
    _Atomic(struct retired *) returned;
    uint64_t retired_count;    /* not yet dropped */
};

/* A command's body that no door lets through stops the node: the log is damaged. */
void state_machine_demand(const struct raft_entry *entry, enum err err);
void state_machine_take_body(struct buf *body, struct state_machine_result *result); /* takes the bytes, and the buffer's life */
int64_t state_machine_revision(struct state_machine *machine);                       /* the writer's */

/* state_machine_lease.c */
/* What was written belongs to the leases that it names now. `before`: the revision in front of it. */
void state_machine_lease_follow(struct state_machine *machine, int64_t before);
void state_machine_lease_grant(struct state_machine *machine, const struct raft_entry *entry, const struct command *command, bool wants_reply,
                               struct state_machine_result *result);
void state_machine_lease_revoke(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes,
                                struct state_machine_result *result);
void state_machine_lease_expire(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes);
void state_machine_lease_checkpoint(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes);

/* state_machine_cluster.c */
void state_machine_cluster_version_set(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes);
void state_machine_cluster_attributes_set(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes,
                                          struct state_machine_result *result);
void state_machine_cluster_conf(struct state_machine *machine, const struct raft_entry *entry, struct slice conf_members);

#endif
