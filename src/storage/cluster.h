/* cluster: who belongs to the cluster, as replicated state: members with their URLs and attributes, cluster version. Immutable once
 * made; every change makes a new one, which the state machine publishes under RCU.
 * Owner: reference counted. Thread: any. Limits: RAFT's 32 members; names and URLs as the door admits them.
 */
#ifndef STORAGE_CLUSTER_H
#define STORAGE_CLUSTER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/slice.h"

struct cluster_member {
    uint64_t id;
    char *name;               /* "" until the member has published its attributes */
    char **peer_urls;
    size_t peer_url_count;
    char **client_urls;
    size_t client_url_count;
    bool is_learner;
};
struct cluster {
    uint64_t id;
    char *version;            /* "" until decided, then "3.6.0" */
    struct cluster_member *members; /* ascending by id */
    size_t member_count;
};

/* The bootstrap configuration from "name=url,name=url,…": member ids and the cluster id by the API's SHA-1 rule (etcd-compatible:
 * id = first 8 bytes BE of SHA-1 over sorted peer URLs joined + token). Names are kept only to find the own member
 * (cluster_find_name); as attributes they stay "" until published. ERR text goes to out_message. NULL on error. */
struct cluster *cluster_from_initial(const char *initial_cluster, const char *token, char *out_message, size_t message_size);
const struct cluster_member *cluster_find(const struct cluster *cluster, uint64_t id);
/* By the name given in --initial-cluster; NULL if absent or ambiguous. */
const struct cluster_member *cluster_find_initial_name(const struct cluster *cluster, const char *name);
/* The members as opaque bytes for raft_conf.members (membershippb.Member list) and back. decode: NULL on damage. */
struct blob *cluster_encode_members(const struct cluster *cluster);
struct cluster *cluster_decode_members(uint64_t cluster_id, struct slice bytes);
/* A changed copy. */
struct cluster *cluster_with_attributes(const struct cluster *cluster, uint64_t id, const char *name, char **client_urls,
                                        size_t client_url_count);
struct cluster *cluster_with_version(const struct cluster *cluster, const char *version);
struct cluster *cluster_ref(const struct cluster *cluster);
void cluster_unref(struct cluster *cluster); /* accepts NULL */

#endif
