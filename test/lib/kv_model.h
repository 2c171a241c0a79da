/* kv_model: the naive store that kv_history replays: for each key all its versions, oldest first. It never forgets.
 * Owner: embedded; kv_model_init/deinit. Thread: one. */
#ifndef TEST_LIB_KV_MODEL_H
#define TEST_LIB_KV_MODEL_H
#include "lib/kv_history.h"

struct kv_model_version {
    uint64_t token;
    int64_t create_revision, mod_revision, version; /* version 0 = deleted */
    int64_t lease;
};
struct kv_model_key {
    struct kv_model_version *versions;
    size_t count, capacity;
};
/* One after the other, as they were written. */
struct kv_model_change {
    uint32_t key;
    size_t place; /* among its versions */
};
/* From one grant of an id to its end. */
struct kv_model_lease {
    int64_t id;
    uint64_t place;          /* of the grant */
    size_t granted_by, ended_by; /* operations; ended_by SIZE_MAX: it lives */
};
struct kv_model {
    struct kv_model_key keys[KV_HISTORY_KEYS];
    struct kv_model_change *changes;
    size_t change_count, change_capacity;
    struct kv_model_lease *leases; /* in the order of their grants */
    size_t lease_count, lease_capacity;
    int64_t revision;
    bool is_changed; /* in the transaction under way */
};
void kv_model_init(struct kv_model *model);
void kv_model_deinit(struct kv_model *model);
/* The version of a key at a revision (0 = now, changes under way included); NULL = it does not live. */
const struct kv_model_version *kv_model_get(const struct kv_model *model, uint32_t key, int64_t revision);
void kv_model_put(struct kv_model *model, uint32_t key, uint64_t token, int64_t lease); /* at revision + 1 */
struct kv_model_lease *kv_model_lease(const struct kv_model *model, int64_t id); /* that lives; NULL = none */
void kv_model_grant(struct kv_model *model, int64_t id, uint64_t place, size_t op);
void kv_model_end_lease(struct kv_model *model, struct kv_model_lease *lease, size_t op); /* its keys go */
uint64_t kv_model_lease_keys(const struct kv_model *model, int64_t id, int64_t revision); /* bit per key; 0 = now */
int64_t kv_model_delete(struct kv_model *model, uint32_t first, uint32_t end);
void kv_model_commit(struct kv_model *model);
/* NULL, or what of the answer of a RANGE step is not what the model holds at `revision`. */
const char *kv_model_check_range(const struct kv_model *model, const struct kv_step *step, int64_t revision, int64_t *out_expected,
                                 int64_t *out_got);
bool kv_model_holds(const struct kv_model *model, const struct kv_compare *compare, int64_t revision);

#endif
