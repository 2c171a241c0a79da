/* member: configurations: which are legal, which is effective.
 *
 * A CONF entry carries the whole resulting configuration and takes effect when it is appended (thesis 4.1). So a node keeps the
 * newest one that is certain (committed) and those behind it, and falls back when a conflict cuts them off.
 * Changes go one voter at a time, or jointly (4.3): simple → joint whose outgoing half is the old configuration → simple.
 * An id that stands among outgoing and learners votes in the old half and becomes a learner when the joint configuration ends.
 *
 * Owner: embedded in struct raft. Thread: raft's. Limits: RAFT_MEMBERS_MAX distinct ids in a configuration.
 */
#ifndef RAFT_MEMBER_H
#define RAFT_MEMBER_H
#include "raft/raft.h"

struct member_conf {
    uint64_t index; /* of its entry; the first: where it was certain */
    struct raft_conf conf;
};
struct member_stack { /* ascending by index; never empty; items[0] is certain */
    struct member_conf *items;
    uint32_t count;
    uint32_t capacity;
};

void member_init(struct member_stack *stack, const struct raft_conf *base, uint64_t index);
void member_deinit(struct member_stack *stack);
const struct member_conf *member_top(const struct member_stack *stack);
void member_push(struct member_stack *stack, uint64_t index, const struct raft_conf *conf);
/* Forgets what entries from `from` on had brought. True if the effective configuration changed. */
bool member_rollback(struct member_stack *stack, uint64_t from);
void member_prune(struct member_stack *stack, uint64_t commit_index);

/* A voter in the newest certain configuration or in any behind it. */
bool member_has_voter(const struct member_stack *stack, uint64_t id);

bool member_is_legal_change(const struct raft_conf *from, const struct raft_conf *to);
/* The configuration that ends a joint one: the outgoing half goes. */
void member_leave_joint(const struct raft_conf *joint, struct raft_conf *out_conf);
/* All distinct ids, ascending; returns how many. */
uint32_t member_ids(const struct raft_conf *conf, uint64_t out_ids[RAFT_MEMBERS_MAX]);
bool member_is_only_voter(const struct raft_conf *conf, uint64_t id);

#endif
