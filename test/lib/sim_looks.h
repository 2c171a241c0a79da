/* sim_looks: what the members' stores said in world_looks against the naive model of the clients' history: the hash of the past as a sum over
 * versions, counts, rows, changes, and how many versions a store may keep (K5–K8, A1–A4); and what clients were told by HashKV. The hash of one version is written a second time
 * (mvcc_model.h). Owner: nothing is kept. Thread: one. */
#ifndef TEST_LIB_SIM_LOOKS_H
#define TEST_LIB_SIM_LOOKS_H
#include "lib/kv_model.h"
#include "lib/sim_hashes.h"
#include "lib/world_state.h"
#include "lib/world_watchers.h"

struct sim_clients;
struct sim_looks {
    const struct world_look *looks; /* borrowed */
    uint32_t count;
    uint32_t failed; /* out: which of them; `count`: none, but the changes */
    const struct world_change *changes; /* that watchers were compared with; borrowed */
    size_t change_count;
    const struct sim_hash *hashes; /* that clients were told; borrowed */
    uint32_t hash_count;
    const struct sim_clients *clients; /* for whoever asks more of the model */
};
/* NULL, or what is broken. A kv_history_then_fn. */
const char *sim_looks_check(void *looks, struct kv_model *model, int64_t *out_expected, int64_t *out_got);

#endif
