/* sim_events: events as the API tells them, of watches and of histories, against what was published. Thread: any. */
#ifndef TEST_LIB_SIM_EVENTS_H
#define TEST_LIB_SIM_EVENTS_H
#include <stdbool.h>

#include "lib/world_watchers.h"
#include "mvccpb/kv.pb-c.h"

/* Key, value (none with `keys_only`) and all numbers. */
bool sim_event_is_pair(const Mvccpb__KeyValue *kv, const struct kv_pair *pair, bool keys_only);
/* The event is that change, whole. */
bool sim_event_is(const Mvccpb__Event *event, const struct world_change *change, bool keys_only);

#endif
