/* line: the map of roles and lanes. See line.h. */
#include "pipeline/line.h"

#include "base/rng.h"
#include "pipeline/line_recover.h"

#define LOG_LANE 256
#define MAIN_LANE 16
#define DOOR_LANE 4 /* one question of each kind */

/* --- the map of lanes --- */

static struct lane *connect(struct line *line, const char *name, uint32_t capacity, struct actor *from, struct actor *to)
{
    ASSERT(line->lane_count < LINE_LANES_MAX);
    struct lane *lane = &line->lanes[line->lane_count++];
    lane_init(lane, name, capacity, line->board);
    METRIC_ADD(&line->shared.metrics, lane_bytes, ring_bytes(&lane->ring));
    actor_connect(from, to, lane);
    return lane;
}

/* Sizes: `calls` = bounded by the calls in flight (config); `drop` = may be dropped when full; the rest by what is said behind. */
static void connect_line(struct line *line)
{
    uint32_t calls = line->config.lane_calls;
    uint32_t drop = line->config.lane_peer;
    struct actor *net = &line->net.actor, *raft = &line->raft.actor, *wal = &line->wal.actor, *apply = &line->apply.actor,
                 *peer = &line->peer.actor, *snap = &line->snap.actor, *work = &line->work.actor;
    line->net.lanes.to_raft = line->raft.lanes.from_net = connect(line, "net→raft", calls, net, raft);          /* full: refuse the call */
    line->raft.lanes.to_net = line->net.lanes.from_raft = connect(line, "raft→net", calls, raft, net);          /* calls in flight */
    line->raft.lanes.to_wal = line->wal.from_raft = connect(line, "raft→wal", calls, raft, wal);                /* calls and windows in flight */
    line->raft.lanes.to_wal->waits_turn = true; /* entries are on their way to the others before the own disk is begun with */
    line->wal.to_raft = line->raft.lanes.from_wal = connect(line, "wal→raft", calls, wal, raft);                /* one per append */
    line->raft.lanes.to_apply = line->apply.lanes.from_raft = connect(line, "raft→apply", drop, raft, apply);   /* full: raft holds back */
    line->apply.lanes.to_raft = line->raft.lanes.from_apply = connect(line, "apply→raft", calls, apply, raft);  /* one per COMMIT */
    if (line->watch.port != NULL) { /* before net: lanes are rung in this order, and who watches hears first */
        line->apply.lanes.to_watch = line->watch.lanes.from_apply = /* full: a wake is under way */
            connect(line, "apply→watch", 2, apply, &line->watch.actor);
    }
    line->apply.lanes.to_net = line->net.lanes.from_apply = connect(line, "apply→net", calls, apply, net);      /* calls in flight */
    line->apply.lanes.to_net->is_pressing = true; /* a client hears before the others are told what is committed */
    line->raft.lanes.to_peer = line->peer.lanes.from_raft = connect(line, "raft→peer", drop, raft, peer);       /* full: drop */
    line->raft.lanes.to_peer_calls = line->peer.lanes.from_raft_calls = connect(line, "raft→peer calls", calls, raft, peer); /* full: not proposed */
    line->wal.to_peer = line->peer.lanes.from_wal = connect(line, "wal→peer", drop, wal, peer);                 /* full: drop */
    wal->first_out = line->wal.to_peer; /* the acknowledgement: more members wait for it than for what raft makes of it */
    line->peer.lanes.to_raft = line->raft.lanes.from_peer = connect(line, "peer→raft", drop, peer, raft);       /* full: drop */
    line->peer.lanes.to_raft_calls = line->raft.lanes.from_peer_calls = connect(line, "peer→raft calls", calls, peer, raft);
    line->raft.lanes.to_snap = line->snap.lanes.from_raft = connect(line, "raft→snap", 64, raft, snap);         /* one per peer */
    line->raft.lanes.to_snap_offers = line->snap.lanes.from_raft_offers = connect(line, "raft→snap offers", 2, raft, snap); /* full: it comes again */
    line->work.from_wal = connect(line, "wal→work", WORK_LANE, wal, work);                                      /* operations under way */
    line->work.to_wal = connect(line, "work→wal", WORK_LANE, work, wal);                                        /* operations under way */
    line->snap.lanes.to_raft = line->raft.lanes.from_snap = connect(line, "snap→raft", 64, snap, raft);         /* one per peer */
    line->apply.lanes.to_snap = line->snap.lanes.from_apply = connect(line, "apply→snap", 4, apply, snap);      /* one snapshot at a time */
    line->snap.lanes.to_apply = line->apply.lanes.from_snap = connect(line, "snap→apply", 4, snap, apply);      /* the same */
    line->net.lanes.to_snap = line->snap.lanes.from_net = connect(line, "net→snap", 256, net, snap);            /* full: refuse the call */
    line->snap.lanes.to_net = line->net.lanes.from_snap = connect(line, "snap→net", 256, snap, net);            /* one piece per stream */
    if (line->watch.port != NULL) {
        struct actor *watch = &line->watch.actor;
        line->apply.lanes.to_watch_answers = line->watch.keep_alive.from_apply = connect(line, "apply→watch answers", KEEP_ALIVE_LANE, apply, watch);
        line->watch.keep_alive.to_raft = line->raft.lanes.from_watch = connect(line, "watch→raft", KEEP_ALIVE_LANE, watch, raft); /* batches under way */
        line->raft.lanes.to_watch = line->watch.keep_alive.from_raft = connect(line, "raft→watch", KEEP_ALIVE_LANE, raft, watch);
        line->net.lanes.to_watch = line->watch.lanes.from_net = connect(line, "net→watch", calls, net, watch); /* calls that wait, and asks under way */
        line->watch.lanes.to_net = line->net.lanes.from_watch = connect(line, "watch→net", calls, watch, net); /* one per WAIT, and one per ask */
    }
    line->peer.lanes.to_snap = line->snap.lanes.from_peer = connect(line, "peer→snap", 256, peer, snap);        /* full: drop */
    line->snap.lanes.to_peer = line->peer.lanes.from_snap = connect(line, "snap→peer", 256, snap, peer);        /* full: drop */
}

struct lane *line_connect_main(struct line *line, struct actor *role, struct actor *main, struct lane **out_from_main)
{
    struct lane *to_main = connect(line, "→main", LOG_LANE, role, main); /* full: log lines are dropped */
    role->log_lane = to_main;
    *out_from_main = connect(line, "main→", MAIN_LANE, main, role);
    return to_main;
}

void line_connect_door(struct line *line, struct actor *door, struct lane **out_to_net, struct lane **out_from_net)
{
    *out_to_net = line->net.lanes.from_door = connect(line, "door→net", DOOR_LANE, door, &line->net.actor);
    *out_from_net = line->net.lanes.to_door = connect(line, "net→door", DOOR_LANE, &line->net.actor, door);
}

static void connect_mains(struct line *line, struct actor *main)
{
    line->net.lanes.to_main = line_connect_main(line, &line->net.actor, main, &line->net.lanes.from_main);
    line->peer.lanes.to_main = line_connect_main(line, &line->peer.actor, main, &line->peer.lanes.from_main);
    line->raft.lanes.to_main = line_connect_main(line, &line->raft.actor, main, &line->raft.lanes.from_main);
    line->wal.to_main = line_connect_main(line, &line->wal.actor, main, &line->wal.from_main);
    line->apply.lanes.to_main = line_connect_main(line, &line->apply.actor, main, &line->apply.lanes.from_main);
    line->work.to_main = line_connect_main(line, &line->work.actor, main, &line->work.from_main);
    line->snap.lanes.to_main = line_connect_main(line, &line->snap.actor, main, &line->snap.lanes.from_main);
    if (line->watch.port == NULL) return;
    line->watch.lanes.to_main = line_connect_main(line, &line->watch.actor, main, &line->watch.lanes.from_main);
}

/* --- make and free --- */

static uint64_t make_run_id(uint64_t seed, uint64_t boot_count)
{
    const uint64_t boot_mask = (UINT64_C(1) << 24) - 1;
    struct rng rng;
    ASSERT(boot_count > 0);
    rng_init(&rng, seed);
    return (rng_next(&rng) & ~boot_mask) | (boot_count & boot_mask);
}

void line_hello(const struct line *line, struct peer_hello *out_hello)
{
    const struct data_dir_identity *identity = &line->identity;
    ASSERT(identity->member_id != 0);
    *out_hello = (struct peer_hello){.protocol_min = PEER_PROTOCOL_MIN, .protocol_max = PEER_PROTOCOL_MAX,
                                     .cluster_id = identity->cluster_id, .member_id = identity->member_id,
                                     .boot_id = identity->boot_count, .run_id = line->run_id, .level = COMMAND_LEVEL,
                                     .start_term = line->start.term, .start_vote = line->start.vote, .start_index = line->start.index};
    memcpy(out_hello->directory_uuid, identity->uuid, sizeof(identity->uuid));
}

bool line_recover(struct line *line, const struct line_recover_options *options, char *out_message, size_t message_size)
{
    struct line_recovered recovered = {0};
    memset(line, 0, sizeof(*line));
    line->config = *options->config;
    line->board = options->board;
    if (!line_recover_state(options, &recovered, out_message, message_size)) return false;
    line->identity = recovered.identity;
    line->start = recovered.start;
    line->run_id = make_run_id(options->seed, line->identity.boot_count);
    line->secret = options->secret;
    line->cluster = recovered.cluster;
    line->snapshots = recovered.snapshots;
    uint64_t self = line->identity.member_id;
    uint64_t applied = state_machine_applied_index(recovered.machine);
    SHARED_SET(&line->shared, applied_index, applied);
    METRIC_SET(&line->shared.metrics, snapshot_bytes, recovered.taken.last_bytes);
    wal_actor_init(&line->wal, recovered.wal, &line->shared);
    apply_actor_init(&line->apply, &(struct apply_options){.config = &line->config, .shared = &line->shared,
                                                           .board = line->board, .machine = recovered.machine,
                                                           .self = self, .run_id = line->run_id, .now_ns = options->now_ns,
                                                           .snapshots = recovered.taken});
    raft_actor_init(&line->raft, &(struct raft_actor_options){.config = &line->config, .shared = &line->shared,
                                                              .raft = recovered.raft, .self = self, .run_id = line->run_id,
                                                              .boot_id = line->identity.boot_count, .applied_index = applied});
    return true;
}

void line_connect(struct line *line, const struct line_ports *ports)
{
    ASSERT(line->raft.raft != NULL && line->net.calls == NULL);
    net_actor_init(&line->net, &(struct net_options){.config = &line->config, .shared = &line->shared,
                                                     .port = ports->calls, .machine = line->apply.machine,
                                                     .cluster_id = line->identity.cluster_id,
                                                     .self = line->identity.member_id,
                                                     .run_id = line->run_id, .process = ports->process});
    peer_actor_init(&line->peer, ports->peers, &line->shared, line->cluster, line->identity.member_id);
    snap_actor_init(&line->snap, &(struct snap_options){.config = &line->config, .shared = &line->shared, .fs = ports->snap_fs,
                                                        .fetch = wal_fetch_new(ports->snap_fs, ports->wal_path),
                                                        .dir = &line->snapshots, .self = line->identity.member_id,
                                                        .cluster_id = line->identity.cluster_id});
    work_actor_init(&line->work, ports->work_fs);
    if (ports->watches != NULL) {
        watch_actor_init(&line->watch, &(struct watch_actor_options){.config = &line->config, .shared = &line->shared,
                                                                     .port = ports->watches, .machine = line->apply.machine,
                                                                     .cluster_id = line->identity.cluster_id,
                                                                     .self = line->identity.member_id, .seed = line->run_id,
                                                                     .secret = line->secret});
    }
    connect_line(line);
    wal_actor_connect_work(&line->wal, ports->wal_fs, line->work.from_wal, line->work.to_wal);
    snap_actor_connect(&line->snap);
    connect_mains(line, ports->main);
    struct actor *roles[] = {&line->apply.actor, &line->work.actor, &line->wal.actor, &line->snap.actor,
                             &line->raft.actor,  &line->peer.actor, &line->net.actor};
    if (line->watch.port != NULL) line->roles[line->role_count++] = &line->watch.actor;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) line->roles[line->role_count++] = roles[i];
    ASSERT(line->role_count <= LINE_ROLES_MAX);
}

void line_deinit(struct line *line)
{
    wal_actor_settle(&line->wal);
    work_actor_deinit(&line->work);
    net_actor_deinit(&line->net);
    peer_actor_deinit(&line->peer);
    raft_actor_deinit(&line->raft);
    snap_actor_deinit(&line->snap);
    watch_actor_deinit(&line->watch);
    for (uint32_t i = 0; i < line->lane_count; i++) lane_deinit(&line->lanes[i]);
    line->lane_count = 0;
    wal_actor_deinit(&line->wal);
    apply_actor_deinit(&line->apply);
    cluster_unref(line->cluster);
    line->cluster = NULL;
    snapshot_dir_close(&line->snapshots);
}
