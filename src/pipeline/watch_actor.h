/* watch_actor: the role of the clients' bidirectional streams: of Watch, and in keep_alive.h of LeaseKeepAlive. It is woken when a view is
 * published, walks what is new (src/watch), and gives each stream its next frame when the one before has left.
 *
 * Compaction: a pin of its own keeps the history behind its oldest cursor, as far as watch_hold_bytes_max goes; who is overtaken beyond
 * that is cancelled as compacted. An installed snapshot voids the pin: what the new state does not hold is cancelled, the rest goes on.
 * Leader: streams that asked for one are ended when there has been none for three election timeouts, and refused while there is none.
 * Owner: line. Thread: its own; a registered RCU reader. Waits in its port's queue. Limits: config (watch_*); a step does a bounded number
 * of events, changes and frames. Source: the API's rules for watch streams. */
#ifndef PIPELINE_WATCH_ACTOR_H
#define PIPELINE_WATCH_ACTOR_H
#include "base/list.h"
#include "base/map.h"
#include "pipeline/actor.h"
#include "pipeline/config.h"
#include "pipeline/keep_alive.h"
#include "pipeline/shared.h"
#include "pipeline/watch_waits.h"
#include "rpc/watch_port.h"
#include "storage/state_machine.h"
#include "watch/watch.h"

struct watch_lanes {
    struct lane *from_apply, *from_main, *from_net, *to_main, *to_net;
};
struct watch_actor_stream;
struct watch_actor {
    struct actor actor; /* first */
    const struct config *config;
    struct shared *shared;
    struct watch_port *port; /* borrowed; NULL: this line has no such role */
    const struct rpc_method *methods[WATCH_METHODS];
    struct mvcc *mvcc;       /* borrowed from apply */
    struct watch_lanes lanes;
    struct watch *watch;
    uint64_t now_ns;
    struct keep_alive keep_alive;
    struct list streams;     /* of Watch */
    struct map names;        /* name → stream */
    struct watch_waits waits; /* streams of the member's own calls */
    uint64_t self;
    uint64_t epoch;          /* of the view that the pin belongs to */
    int pin;                 /* -1 = none */
    int64_t pin_revision;
    uint32_t leader_count;   /* streams and waits that want a leader */
    uint64_t look_ns;        /* for the leader; CLOCK_NEVER = nobody wants one */
    uint64_t leaderless_ns;  /* since; 0 = there is one */
    bool is_watched;         /* as apply was told */
    bool is_stopping;
    bool has_reported;       /* that no stream is left */
};
struct watch_actor_options {
    const struct config *config;
    struct shared *shared;
    struct watch_port *port;
    struct state_machine *machine; /* borrowed: outlives the role */
    uint64_t cluster_id, self;
    uint64_t seed, secret; /* struct watch_options */
};
void watch_actor_init(struct watch_actor *role, const struct watch_actor_options *options);
void watch_actor_deinit(struct watch_actor *role); /* accepts a zeroed one */

#endif
