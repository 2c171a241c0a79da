/* command: the envelope that stands in the log: {level, request id, user, auth revision, chosen values, kind, body}.
 *
 * Bytes: protobuf, the shape of etcd's InternalRaftRequest with our own fields numbered ≥ 10000 (proto/kvd/command.proto). The body is
 * the client's own request bytes, unchanged. Our fields stand first, so that the request id is read without looking at the body.
 * Owner: plain values; `body` is borrowed from the entry's blob. Thread: any.
 */
#ifndef STORAGE_COMMAND_H
#define STORAGE_COMMAND_H
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/slice.h"

/* An entry's level is the lowest state-machine version that gives every field of it a meaning. A member stops at a level above its own, and
 * obeys no field that came after an entry's level. */
#define COMMAND_LEVEL_FIRST 1
#define COMMAND_LEVEL_PUT_TTL 2 /* puts that make their own lease */
#define COMMAND_LEVEL COMMAND_LEVEL_PUT_TTL

/* Field numbers of InternalRaftRequest; they stand in the log. */
enum command_kind {
    COMMAND_PUT = 4,
    COMMAND_DELETE_RANGE = 5,
    COMMAND_TXN = 6,
    COMMAND_COMPACTION = 7,
    COMMAND_LEASE_GRANT = 8,
    COMMAND_LEASE_REVOKE = 9,
    COMMAND_ALARM = 10,
    COMMAND_LEASE_CHECKPOINT = 11, /* the leader's */
    COMMAND_CLUSTER_VERSION_SET = 1300,
    COMMAND_CLUSTER_MEMBER_ATTR_SET = 1301,
    COMMAND_STATE_HASH = 10010, /* our own */
    COMMAND_LEASE_EXPIRE = 10011, /* our own: the leader's */
};

/* Who asked: unique for ever (member, a number drawn by its process, a counter of that process). */
struct command_id {
    uint64_t member;
    uint64_t boot;
    uint64_t counter;
};

struct command {
    uint32_t level;
    enum command_kind kind;
    struct command_id id;
    struct slice user;          /* empty = none */
    uint64_t auth_revision;
    int64_t chosen_lease_id;    /* of a grant without an id; 0 = none was chosen */
    struct slice chosen_lease_ids; /* for puts with a TTL: varints, taken in order by those that run; empty = none */
    int64_t chosen_ttl;         /* of leases that are made, in seconds: who asks for less gets as much; 0 = nobody does */
    struct slice body;
};

struct blob *command_encode(const struct command *command);
/* False: not an envelope, a kind or level that is not known (the caller stops the node: such bytes passed a member's door). */
bool command_decode(struct slice bytes, struct command *out_command);
/* Only the id, in a few nanoseconds; false if the bytes do not begin with one. */
bool command_peek_id(struct slice bytes, struct command_id *out_id);
const char *command_kind_name(enum command_kind kind);

#endif
