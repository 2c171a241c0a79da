/* first_start: what the --initial-… flags say at the first start of a member, and whether they may be believed. A data directory that has
 * a member knows its cluster: nobody asks here then.
 *
 * Refused is what would make members disagree about who they are, or let one vote without the log that it promised to keep:
 * an --initial-cluster that does not name this member, or names it by other URLs than --initial-advertise-peer-urls does; a URL that no
 * member can dial; --initial-cluster-state=existing.
 * Owner: the cluster is a reference of the caller's. Thread: start-up. */
#ifndef PIPELINE_FIRST_START_H
#define PIPELINE_FIRST_START_H
#include "pipeline/config.h"
#include "raft/raft.h"
#include "storage/cluster.h"

/* The cluster that this member is to found with the others, and its own id. NULL: out_message says why not. */
struct cluster *first_start_cluster(const struct config *config, uint64_t *out_self, char *out_message, size_t message_size);
/* The configuration that these members begin with: all of them vote. Owned: raft_conf_deinit. */
void first_start_conf(const struct cluster *cluster, struct raft_conf *out_conf);

#endif
