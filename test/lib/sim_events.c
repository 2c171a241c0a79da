/* sim_events: see sim_events.h. */
#include "lib/sim_events.h"

#include "lib/sim_bytes.h"

static bool is_key(const Mvccpb__KeyValue *kv, uint32_t expected)
{
    uint32_t key;
    return sim_bytes_read_key(slice_make(kv->key.data, kv->key.len), &key) && key == expected;
}

bool sim_event_is_pair(const Mvccpb__KeyValue *kv, const struct kv_pair *pair, bool keys_only)
{
    uint64_t token = 0;
    bool is_value = keys_only ? kv->value.len == 0 : sim_bytes_read_value(slice_make(kv->value.data, kv->value.len), &token) && token == pair->token;
    return is_key(kv, pair->key) && is_value && kv->create_revision == pair->create_revision && kv->mod_revision == pair->mod_revision &&
           kv->version == pair->version && kv->lease == pair->lease;
}

static bool is_deletion(const Mvccpb__KeyValue *kv, const struct kv_pair *pair)
{
    return is_key(kv, pair->key) && kv->value.len == 0 && kv->create_revision == 0 && kv->version == 0 && kv->lease == 0 &&
           kv->mod_revision == pair->mod_revision;
}

bool sim_event_is(const Mvccpb__Event *event, const struct world_change *change, bool keys_only)
{
    bool is_delete = event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
    if (event->kv == NULL || is_delete != change->is_delete) return false;
    return is_delete ? is_deletion(event->kv, &change->pair) : sim_event_is_pair(event->kv, &change->pair, keys_only);
}
