/* world: see world.h. */
#include "lib/world_inner.h"

#include <stdio.h>

#include "base/log.h"

#define NAP_NS (60 * NS_PER_MS)
#define MAIN_BIT (1u << 31)
#define CALLS_MAX 512 /* more than all clients of a world together; room for a process's would be cleared at each start */

/* --- roles --- */

static void run_role(struct world_member *member, uint32_t role)
{
    struct world *world = member->world;
    struct world_member *before = world->current;
    uint32_t bit = 1u << role;
    member->running |= bit;
    member->more &= ~bit;
    world_wake(member);
    world->current = member;
    world->depth++;
    world->steps++;
    if (member->doom_steps > 1) member->doom_steps--;
    world_note(world, member->line.roles[role]->table->name, member->number, world->depth, 0);
    bool is_apply = member->line.roles[role] == &member->line.apply.actor;
    struct world_state_hold hold = {.view = NULL};
    if (is_apply) world_state_hold(member, &hold);
    if (member->line.roles[role] == &member->line.watch.actor) world_watchers_step(member);
    struct actor *raft = &member->line.raft.actor;
    bool is_raft = member->line.roles[role] == raft;
    bool more = actor_step(member->line.roles[role], world_local_ns(member));
    if (more || (is_raft && raft->table->has_more(raft))) member->more |= bit;
    if (is_raft) atomic_store(&raft->bell.state, (member->more & bit) == 0 ? DOORBELL_ASLEEP : DOORBELL_AWAKE);
    world_state_release(member, &hold);
    if (is_apply) world_leases_look(member);
    world_state_step(member);
    if (is_apply) world_alarms_look(member);
    if (is_raft) world_watch_raft(member);
    bool goes_on = member->failed_steps > 0 && member->line.roles[role] == &member->line.wal.actor;
    if (goes_on && member->failed_steps++ > 3) world_watch_broken(world, "D5 a failed write or sync stops the member", member->number, 0, 0);
    world->depth--;
    world->current = before;
    member->running &= ~bit;
}

static void hear(struct world_member *member, const struct doorbell *bell)
{
    for (uint32_t i = 0; i < member->line.role_count; i++) {
        if (bell == &member->line.roles[i]->bell) member->quiet &= ~(1u << i);
    }
    if (bell == &member->main.bell) member->quiet &= ~MAIN_BIT;
}

/* A mail that comes from no role may be anybody's. */
static void hear_from_outside(struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) world->members[i].quiet = 0;
}

/* A post or a publish: any other role of the member that is not in the middle of a step may run right here. */
static void switch_point(void *context, const char *point, const struct doorbell *to)
{
    struct world *world = context;
    struct world_member *member = world->current;
    if (member == NULL) {
        hear_from_outside(world);
        return;
    }
    if (to != NULL) {
        hear(member, to);
        world_watch_point(member, point);
    } else {
        world_watch_published(member);
        world_watchers_note(member);
    }
    if (world->depth > 3 || !tape_chance(&world->tape, world->options.switch_percent, 100)) return;
    uint32_t role = (uint32_t)tape_below(&world->tape, member->line.role_count);
    if (member->failed_steps > 0 && member->line.roles[role] == &member->line.wal.actor) return; /* it dies alone, in nobody's step */
    if (member->nap_until_ns > world->now_ns && member->line.roles[role] == &member->line.apply.actor) return;
    if ((member->running & 1u << role) == 0) run_role(member, role);
}

/* fatal() is one member's end. It comes in a step of the wal role that nothing encloses (world_disk.c sees to it). */
static struct world *the_world;

static void die(const char *text)
{
    struct world *world = the_world;
    if (world == NULL || !world->may_escape) return;
    snprintf(world->current->message, sizeof(world->current->message), "%s", text);
    world_note(world, "fatal", world->current->number, 0, 0);
    if (world->depth != 1 || world->current->failed_steps == 0) {
        fprintf(stderr, "%s\n", text);
        world_watch_broken(world, "nobody stops without a reason", world->current->number, world->depth, 0);
    }
    longjmp(world->escape, 1);
}

/* False: the member died of it. */
bool world_run_role(struct world_member *member, uint32_t role)
{
    struct world *world = member->world;
    if (member->line.roles[role] != &member->line.wal.actor) {
        run_role(member, role);
        return true;
    }
    bool died = setjmp(world->escape) != 0;
    world->may_escape = !died;
    if (!died) run_role(member, role);
    world->may_escape = false;
    if (!died) return true;
    world->depth = 0;
    world->current = NULL;
    member->running = 0;
    member->failed_steps = 0;
    world->counts.failed_disks++;
    world->net_is_stirred = true;
    world_kill(world, member->number, false);
    return false;
}

static void retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    struct world *world = (struct world *)rcu;
    if (world->retired_count == world->retired_capacity) {
        world->retired_capacity = world->retired_capacity == 0 ? 256 : world->retired_capacity * 2;
        world->retired = alloc_resize(world->retired, world->retired_capacity * sizeof(*world->retired));
    }
    world->retired[world->retired_count].node = node;
    world->retired[world->retired_count++].fn = fn;
}
/* No role is in the middle of a step: every reader has passed a quiescent state. */
void world_grace_period(struct world *world)
{
    ASSERT(world->depth == 0);
    for (size_t i = 0; i < world->retired_count; i++) world->retired[i].fn(world->retired[i].node);
    world->retired_count = 0;
}

static void wait(struct rcu *rcu) { world_grace_period((struct world *)rcu); }
static const struct rcu_table rcu_table = {.retire = retire, .wait = wait};

/* --- make and free --- */

#define LIMIT(field, value) \
    if ((value) != 0) config->field = (value)

static void set_limits(const struct world_options *options, struct config *config)
{
    config->calls_max = CALLS_MAX;
    LIMIT(calls_max, options->calls_max);
    LIMIT(lane_calls, options->lane_calls);
    LIMIT(lane_peer, options->lane_peer);
    LIMIT(inflight_messages_max, options->inflight_messages);
    LIMIT(tail_bytes_max, options->tail_bytes);
    LIMIT(message_bytes_max, options->message_bytes);
    LIMIT(inflight_bytes_max, options->inflight_bytes);
    LIMIT(apply_bytes_max, options->apply_bytes);
    LIMIT(chunk_bytes, options->chunk_bytes);
    LIMIT(uncommitted_bytes_max, options->uncommitted_bytes);
    LIMIT(own_wait_entries_min, (uint32_t)options->own_wait_entries);
    LIMIT(request_timeout_ns, options->request_timeout_ms * NS_PER_MS);
    LIMIT(watch_hold_bytes_max, options->watch_hold_bytes);
    config->quota_bytes = options->quota_bytes;
    config->auto_disarm = options->auto_disarm;
}

static void make_member(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    struct config *config = &member->config;
    char message[256];
    member->world = world;
    member->number = number;
    uint32_t drift = world->options.drift_permille;
    member->rate_permille = 1000 + (uint32_t)tape_choose(&world->tape, 2 * (uint64_t)drift + 1, drift) - drift;
    member->disk = fs_sim_disk_new();
    snprintf(member->name, sizeof(member->name), "m%u", number);
    snprintf(member->peer_url, sizeof(member->peer_url), "http://127.0.0.1:%u", 1000 + number);
    config_init(config);
    config->name = member->name;
    config->data_dir = "/data";
    config->initial_cluster = world->initial;
    config->initial_advertise_peer_urls = member->peer_url;
    config->wal_segment_bytes = 64 << 10;
    LIMIT(wal_segment_bytes, world->options.segment_bytes);
    LIMIT(wal_segment_entries_max, world->options.segment_entries);
    LIMIT(watch_progress_ns, world->options.watch_progress_ms * NS_PER_MS);
    LIMIT(election_timeout_ms, world->options.election_ms);
    LIMIT(lease_checkpoint_ns, world->options.lease_checkpoint_ms * NS_PER_MS);
    LIMIT(heartbeat_ms, world->options.heartbeat_ms);
    LIMIT(snapshot_count, world->options.snapshot_count);
    if (world->options.snapshot_count != 0) config->snapshot_catchup_entries = world->options.snapshot_catchup;
    bool is_good = config_check(config, message, sizeof(message));
    if (!is_good) fatal("world: %s", message);
    set_limits(&world->options, config);
}

struct world *world_new(const struct world_options *options)
{
    struct world *world = ALLOC(struct world);
    ASSERT(options->members >= 1 && options->members <= WORLD_MEMBERS_MAX);
    log_set_level(LOG_FATAL);
    the_world = world;
    fatal_set_handler(die);
    world->rcu.table = &rcu_table;
    world->options = *options;
    if (world->options.delay_ns == 0) world->options.delay_ns = 5 * NS_PER_MS;
    if (world->options.window == 0) world->options.window = 64;
    world->board = (struct switchboard){.fn = switch_point, .context = world};
    world->now_ns = NS_PER_S;
    tape_init(&world->tape, options->seed, options->reel, TAPE_WORLD);
    tape_init(&world->unlink_tape, options->seed ^ UINT64_C(0x6a09e667f3bcc909), options->reel, TAPE_UNLINKS);
    tape_init(&world->name_tape, options->seed ^ UINT64_C(0x510e527fade682d1), options->reel, TAPE_NAMES);
    world_watch_init(world);
    world_state_init(world);
    world_watchers_init(world);
    world_leases_init(world);
    for (uint32_t i = 0; i < WORLD_MEMBERS_MAX; i++) {
        for (uint32_t j = 0; j < WORLD_MEMBERS_MAX; j++) {
            list_init(&world->links[i][j].frames);
            list_init(&world->links[i][j].repeats);
        }
    }
    world->members = alloc_zero(options->members, sizeof(struct world_member));
    size_t size = 0;
    for (uint32_t i = 0; i < options->members; i++) {
        size += (size_t)snprintf(world->initial + size, sizeof(world->initial) - size, "%sm%u=http://127.0.0.1:%u",
                                 i == 0 ? "" : ",", i, 1000 + i);
    }
    for (uint32_t i = 0; i < options->members; i++) make_member(world, i);
    for (uint32_t i = 0; i < options->members; i++) (void)world_start(world, i);
    for (uint32_t i = 0; i < options->members; i++) world_connect(&world->members[i]);
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct world_member *member = &world->members[i];
        if (member->is_up) world_close(member);
        fs_sim_disk_free(member->damage.whole);
        fs_sim_disk_free(member->disk);
        alloc_free(member->watch.issued.terms);
        alloc_free(member->watch.durable.terms);
    }
    the_world = NULL;
    world_net_free(world);
    world_watch_deinit(world);
    world_state_deinit(world);
    world_watchers_deinit(world);
    world_leases_deinit(world);
    world_alarms_deinit(world);
    world_locks_deinit(world);
    for (uint64_t i = 0; i < world->call_count; i++) blob_unref(world->calls[i].bytes);
    alloc_free(world->calls);
    alloc_free(world->members);
    alloc_free(world->retired);
    alloc_free(world);
}

/* --- time --- */

static bool is_napping(const struct world_member *member, uint32_t role)
{
    return member->nap_until_ns > member->world->now_ns && member->line.roles[role] == &member->line.apply.actor;
}

/* The system runs other threads in its place. */
static bool falls_asleep(struct world_member *member, uint32_t role)
{
    struct world *world = member->world;
    if (world->options.nap_permille == 0 || member->line.roles[role] != &member->line.apply.actor) return false;
    if (!tape_chance(&world->tape, world->options.nap_permille, 1000)) return false;
    member->nap_until_ns = world->now_ns + tape_below(&world->tape, NAP_NS);
    world->counts.naps++;
    world_note(world, "nap", member->number, role, 0);
    return true;
}

/* The one lane on which mail may be posted without ringing; whoever sleeps then does not know. */
static bool is_unheard(const struct world_member *member)
{
    const struct raft_actor *raft = &member->line.raft;
    uint32_t heard = 0;
    for (uint32_t i = 0; i < raft->actor.in_count; i++) heard += raft->actor.in[i] == raft->lanes.from_apply ? 0 : ring_size(&raft->actor.in[i]->ring);
    return heard == 0 && atomic_load(&raft->actor.bell.state) == DOORBELL_ASLEEP;
}

static bool has_mail(struct world_member *member, uint32_t role)
{
    const struct actor *actor = member->line.roles[role];
    if ((member->quiet & 1u << role) != 0) return false;
    if (!actor_has_mail(actor)) {
        member->quiet |= 1u << role;
        return false;
    }
    return !(actor == &member->line.raft.actor && is_unheard(member));
}

/* What raft holds back until apply has gone on, or made room, is not to wait for anything else. */
static void check_wakes(const struct world_member *member)
{
    struct raft_status status;
    const struct raft_actor *raft = &member->line.raft;
    raft_get_status(raft->raft, &status);
    uint64_t end = status.commit_index < status.durable_index ? status.commit_index : status.durable_index;
    bool has_news = ring_size(&raft->lanes.from_apply->ring) > 0, has_room = !lane_is_full(raft->lanes.to_apply);
    bool is_kept = (has_news && (raft->backlog_count > 0 || raft->posted_index < end)) || (has_room && raft->backlog_count > 0);
    if (!is_kept) return;
    world_watch_broken(member->world, "who waits until something is applied is woken then", member->number, raft->posted_index, end);
}

/* As the runner decides it, so that a wake-up that is missing in the product is missing here. */
static bool has_work(struct world_member *member, uint32_t role)
{
    struct actor *actor = member->line.roles[role];
    if (is_napping(member, role)) return false;
    if ((member->more & 1u << role) != 0) return true;
    if (actor == &member->line.raft.actor && atomic_load(&actor->bell.state) == DOORBELL_AWAKE) return true; /* it was rung */
    if (has_mail(member, role) || actor_deadline_ns(actor) <= world_local_ns(member)) return true;
    if (actor == &member->line.net.actor) return world_net_has_calls(member);
    if (actor == &member->line.peer.actor) return world_net_has_peers(member);
    if (actor == &member->line.watch.actor) return world_watchers_has_events(member);
    return false;
}

static bool is_running(const struct world_member *member)
{
    return member->is_up && member->pause_until_ns <= member->world->now_ns && member->line.net.calls != NULL;
}

static uint64_t next_deadline_ns(struct world_member *member)
{
    uint64_t next_ns = CLOCK_NEVER;
    for (uint32_t role = 0; role < member->line.role_count; role++) {
        uint64_t deadline_ns = world_global_ns(member, actor_deadline_ns(member->line.roles[role]));
        if (is_napping(member, role)) deadline_ns = member->nap_until_ns;
        if (deadline_ns < next_ns) next_ns = deadline_ns;
    }
    return next_ns;
}

static bool run_member(struct world_member *member)
{
    bool has_run = false;
    if (member->idle_until_ns > member->world->now_ns) return false;
    uint32_t first = (uint32_t)tape_below(&member->world->tape, member->line.role_count);
    for (uint32_t r = 0; r < member->line.role_count; r++) {
        uint32_t role = (first + r) % member->line.role_count;
        if (!has_work(member, role) || falls_asleep(member, role)) continue;
        has_run = true;
        if (!world_run_role(member, role) || world_meet_doom(member)) return true;
    }
    if (has_run) {
        if ((member->quiet & MAIN_BIT) == 0) (void)actor_step(&member->main, world_local_ns(member));
        member->quiet |= MAIN_BIT;
    } else {
        member->idle_until_ns = next_deadline_ns(member);
        check_wakes(member);
    }
    return has_run;
}

static bool run_members(struct world *world)
{
    bool has_run = false;
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct world_member *member = &world->members[i];
        if (!is_running(member)) continue;
        world_disk_tend(member);
        if (run_member(member)) has_run = true;
    }
    world_grace_period(world);
    return has_run;
}

/* To the next moment at which anything happens anywhere; a little further than now in any case. */
static void advance(struct world *world, uint64_t until_ns)
{
    uint64_t next_ns = world->net_next_ns < until_ns ? world->net_next_ns : until_ns;
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct world_member *member = &world->members[i];
        if (!is_running(member)) continue;
        uint64_t disk_ns = world_disk_next_ns(member);
        if (disk_ns < next_ns) next_ns = disk_ns;
        if (member->idle_until_ns < next_ns) next_ns = member->idle_until_ns;
    }
    uint64_t first_ns = world->now_ns + 20 * NS_PER_US + tape_below(&world->tape, 200 * NS_PER_US);
    world->now_ns = next_ns > first_ns ? next_ns : first_ns;
}

static void run_until(struct world *world, uint64_t until_ns, bool to_answer)
{
    world->net_is_stirred = true; /* by whatever was done since */
    world->is_answered = false;
    while (world->now_ns < until_ns && !(to_answer && world->is_answered)) {
        for (uint32_t i = 0; i < world->options.members; i++) {
            struct world_member *member = &world->members[i];
            if (member->is_up && member->line.net.calls == NULL) world_connect(member);
        }
        world_net_tend(world);
        for (int turn = 0; turn < 8 && run_members(world); turn++) continue;
        advance(world, until_ns);
    }
    world_watch_calls(world);
}

struct tape_reel *world_reel(const struct world *world) { return world->options.reel; }
void world_run(struct world *world, uint64_t ns) { run_until(world, world->now_ns + ns, false); }
void world_run_to_answer(struct world *world, uint64_t ns) { run_until(world, world->now_ns + ns, true); }
