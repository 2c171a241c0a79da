/* kv_rig: a state machine on its own, without raft, threads or readers: what is retired is given back at once, or
 * held while a test keeps an old view.
 * Owner: the test, on its stack. Thread: the test's. */
#ifndef TEST_KV_RIG_H
#define TEST_KV_RIG_H
#include "base/buf.h"
#include "storage/state_machine.h"

struct kv_rig {
    struct rcu rcu;                      /* first: the double finds the rig by it */
    bool holds_retired;
    struct rcu_node *held;
    struct state_machine *machine;
    struct mvcc *mvcc;
    uint64_t index;
    bool wants_reply;                    /* of the commands to come; true at first */
    uint32_t level;                      /* likewise; COMMAND_LEVEL at first */
    uint32_t lease_ids;                  /* likewise: how many are chosen for each, from index × 100 on; 4 at first */
    int64_t lease_ttl_min;               /* likewise; 2 at first */
    struct state_machine_result result;  /* of the last one; its body belongs to the rig */
    struct buf text;                     /* the last answer as text */
};
void kv_rig_init(struct kv_rig *rig);
void kv_rig_deinit(struct kv_rig *rig);
/* Applies one command and publishes. */
enum err kv_rig_apply(struct kv_rig *rig, enum command_kind kind, struct slice body);
/* The same from kv_text's notation: "ERR_NAME", or "@revision " and the response as text; borrowed until the next call. */
const char *kv_rig_put(struct kv_rig *rig, const char *text);
const char *kv_rig_delete(struct kv_rig *rig, const char *text);
const char *kv_rig_txn(struct kv_rig *rig, const char *text);
/* A range at once against the published view. */
const char *kv_rig_range(struct kv_rig *rig, const char *text);
enum err kv_rig_compact(struct kv_rig *rig, int64_t revision, bool physical);
uint64_t kv_rig_hash(struct kv_rig *rig);

#endif
