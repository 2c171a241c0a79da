/* sim_run: see sim_run.h. */
#include "lib/sim_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "lib/world_watch.h"

static const char *const fault_names[SIM_FAULTS] = {"kill", "power", "power-all", "stop", "pause", "cut",
                                                    "partition", "slow", "stuck", "full", "transfer"};

/* --- drawing --- */

/* One of the values; 0 stands for the default. */
static uint64_t draw(struct rng *rng, const uint64_t *values, size_t count) { return values[rng_below(rng, count)]; }
#define DRAW(rng, ...) draw(rng, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_limits(struct rng *rng, struct world_options *world)
{
    world->segment_entries = DRAW(rng, 0, 0, 40, 150);
    world->segment_bytes = DRAW(rng, 65536, 65536, 131072);
    world->calls_max = (uint32_t)DRAW(rng, 0, 4, 16, 64);
    world->lane_peer = (uint32_t)DRAW(rng, 0, 0, 8, 16, 64); /* a heartbeat to each must fit */
    if (world->calls_max != 0) world->lane_calls = 256; /* appends in flight and commits under way need their room, too */
    if (rng_below(rng, 3) == 0) return;
    world->inflight_messages = (uint32_t)DRAW(rng, 0, 1, 2, 8);
    world->message_bytes = DRAW(rng, 0, 1, 200, 4096);
    world->inflight_bytes = world->message_bytes == 0 ? 0 : world->message_bytes * DRAW(rng, 1, 4, 64);
    world->tail_bytes = DRAW(rng, 0, 2048, 8192, 65536);
    world->apply_bytes = DRAW(rng, 0, 1, 1024, 16384);
    world->uncommitted_bytes = DRAW(rng, 0, 2048, 16384);
}

static void draw_world(struct rng *rng, struct world_options *world)
{
    static const uint32_t sizes[] = {1, 3, 3, 3, 3, 3, 5, 5};
    world->members = sizes[rng_below(rng, 8)];
    world->switch_percent = (uint32_t)DRAW(rng, 0, 2, 10, 30);
    world->break_permille = (uint32_t)DRAW(rng, 0, 0, 1, 10, 50);
    world->delay_ns = DRAW(rng, 200 * NS_PER_US, 2 * NS_PER_MS, 10 * NS_PER_MS, 40 * NS_PER_MS);
    world->window = (uint32_t)DRAW(rng, 0, 2, 8);
    world->late_disks = rng_below(rng, 4) != 0;
    world->probe_percent = (uint32_t)DRAW(rng, 1, 1, 3);
    world->heartbeat_ms = DRAW(rng, 20, 50, 100);
    world->election_ms = world->heartbeat_ms * DRAW(rng, 5, 10);
    world->request_timeout_ms = DRAW(rng, 0, 1000, 3000);
    draw_limits(rng, world);
}

void sim_options_draw(uint64_t seed, struct sim_options *out_options)
{
    struct sim_options options = {.world = {.seed = seed}};
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
    draw_world(&rng, &options.world);
    options.clients = (struct sim_clients_options){
        .seed = seed + 1, .members = options.world.members, .clients = (uint32_t)DRAW(&rng, 2, 4, 8, 12),
        .keys = (uint32_t)DRAW(&rng, 2, 8, 64), .padding_max = (uint32_t)DRAW(&rng, 0, 64, 3000, 40000),
        .ops_max = 1500,
        .think_ns = DRAW(&rng, NS_PER_MS, 10 * NS_PER_MS, 50 * NS_PER_MS), .patience_ns = DRAW(&rng, 500 * NS_PER_MS, 10 * NS_PER_S),
        .compact_permille = (uint32_t)DRAW(&rng, 0, 5, 30), .sticks = rng_below(&rng, 2) == 0};
    /* A value may not be larger than what can ever be proposed. */
    if (options.world.uncommitted_bytes != 0 && options.clients.padding_max > 64) options.clients.padding_max = 64;
    if (options.world.tail_bytes != 0 && options.clients.padding_max > 3000) options.clients.padding_max = 3000;
    options.run_ns = DRAW(&rng, 3, 6, 12) * NS_PER_S;
    options.lag_ns = DRAW(&rng, 500 * NS_PER_US, 3 * NS_PER_MS, 20 * NS_PER_MS);
    for (int i = 0; i < SIM_FAULTS; i++) {
        if (rng_below(&rng, 2) == 0) options.per_minute[i] = (uint32_t)DRAW(&rng, 5, 20, 60);
    }
    options.heals_per_minute = (uint32_t)DRAW(&rng, 30, 120);
    options.starts_per_minute = (uint32_t)DRAW(&rng, 60, 300);
    *out_options = options;
}

void sim_options_text(const struct sim_options *options, char *out_text, size_t size)
{
    const struct world_options *world = &options->world;
    const struct sim_clients_options *clients = &options->clients;
    int n = snprintf(out_text, size,
                     "members %u switch %u%% break %u/1000 delay %" PRIu64 "us window %u late %d election %" PRIu64 "/%" PRIu64
                     "ms timeout %" PRIu64 "ms calls %u lanes %u/%u inflight %u/%" PRIu64 " message %" PRIu64 " tail %" PRIu64
                     " apply %" PRIu64 " uncommitted %" PRIu64 " segment %" PRIu64 "/%" PRIu64 " clients %u keys %u padding %u think %" PRIu64
                     "us patience %" PRIu64 "ms compact %u/1000 run %" PRIu64 "s faults/min",
                     world->members, world->switch_percent, world->break_permille, world->delay_ns / NS_PER_US, world->window,
                     world->late_disks, world->election_ms, world->heartbeat_ms, world->request_timeout_ms, world->calls_max,
                     world->lane_calls, world->lane_peer, world->inflight_messages, world->inflight_bytes, world->message_bytes,
                     world->tail_bytes, world->apply_bytes, world->uncommitted_bytes, world->segment_bytes, world->segment_entries,
                     clients->clients, clients->keys, clients->padding_max, clients->think_ns / NS_PER_US,
                     clients->patience_ns / NS_PER_MS, clients->compact_permille, options->run_ns / NS_PER_S);
    for (int i = 0; i < SIM_FAULTS && n > 0 && (size_t)n < size; i++) {
        if (options->per_minute[i] > 0) n += snprintf(out_text + n, size - (size_t)n, " %s %u", fault_names[i], options->per_minute[i]);
    }
}

/* --- faults --- */

struct run {
    const struct sim_options *options;
    struct world *world;
    struct rng rng;
    struct sim_clients clients;
};

static uint32_t below(struct run *run, uint64_t limit) { return (uint32_t)rng_below(&run->rng, limit); }

static void set_cuts(struct run *run, uint32_t side, bool is_cut)
{
    uint32_t members = run->options->world.members;
    for (uint32_t i = 0; i < members; i++) {
        for (uint32_t j = 0; j < members; j++) {
            bool is_across = (side >> i & 1) != (side >> j & 1);
            if (is_across || !is_cut) world_cut(run->world, i, j, is_cut);
        }
    }
}

static void power_loss_of_all(struct run *run)
{
    for (uint32_t i = 0; i < run->options->world.members; i++) {
        if (world_is_up(run->world, i)) world_kill(run->world, i, true);
    }
}

static void kill_one(struct run *run, uint32_t member, bool power_loss, bool all)
{
    if (!world_is_up(run->world, member)) return;
    if (below(run, 4) != 0) {
        world_kill_soon(run->world, member, power_loss, all, 1 + below(run, 60));
    } else if (all) {
        power_loss_of_all(run);
    } else {
        world_kill(run->world, member, power_loss);
    }
}

static void inject(struct run *run, enum sim_fault fault)
{
    struct world *world = run->world;
    uint32_t members = run->options->world.members;
    int leader = world_leader(world);
    uint32_t member = leader >= 0 && below(run, 3) == 0 ? (uint32_t)leader : below(run, members);
    uint64_t election_ns = run->options->world.election_ms * NS_PER_MS;
    switch (fault) {
    case SIM_KILL: kill_one(run, member, false, false); break;
    case SIM_POWER_LOSS: kill_one(run, member, true, false); break;
    case SIM_POWER_LOSS_OF_ALL: kill_one(run, member, true, true); break;
    case SIM_STOP:
        if (world_is_up(world, member)) world_stop(world, member);
        break;
    case SIM_PAUSE: world_pause(world, member, rng_below(&run->rng, 5 * election_ns)); break;
    case SIM_CUT: world_cut(world, member, (member + 1 + below(run, members)) % members, true); break;
    case SIM_PARTITION: set_cuts(run, below(run, 2) == 0 ? 1u << member : below(run, 1u << members), true); break;
    case SIM_SLOW_DISK: world_disk_speed(world, member, WORLD_DISK_SLOW); break;
    case SIM_STUCK_DISK: world_disk_speed(world, member, WORLD_DISK_STUCK); break;
    case SIM_FULL_DISK: world_disk_room(world, member, false); break;
    case SIM_TRANSFER: world_transfer(world, member); break;
    case SIM_FAULTS: break;
    }
}

static void heal_member(struct run *run, uint32_t member)
{
    world_disk_speed(run->world, member, WORLD_DISK_FAST);
    world_disk_room(run->world, member, true);
}

static bool happens(struct run *run, uint32_t per_minute, uint64_t ns) { return rng_below(&run->rng, 60 * NS_PER_S) < per_minute * ns; }

static void some_faults(struct run *run, uint64_t ns)
{
    uint32_t members = run->options->world.members;
    for (int fault = 0; fault < SIM_FAULTS; fault++) {
        if (happens(run, run->options->per_minute[fault], ns)) inject(run, (enum sim_fault)fault);
    }
    if (happens(run, run->options->heals_per_minute, ns)) set_cuts(run, 0, false);
    for (uint32_t i = 0; i < members; i++) {
        if (happens(run, run->options->heals_per_minute, ns)) heal_member(run, i);
        if (!world_is_up(run->world, i) && happens(run, run->options->starts_per_minute, ns)) (void)world_start(run->world, i);
    }
}

/* --- the end: all is healed --- */

static void heal_all(struct run *run)
{
    set_cuts(run, 0, false);
    world_break_permille(run->world, 0);
    for (uint32_t i = 0; i < run->options->world.members; i++) {
        world_kill_soon(run->world, i, false, false, UINT32_MAX - 1); /* takes back what was planned */
        heal_member(run, i);
        world_pause(run->world, i, 0);
        if (!world_is_up(run->world, i)) (void)world_start(run->world, i);
    }
}

static uint64_t ready_count(struct run *run)
{
    uint64_t ready = 0;
    for (uint32_t i = 0; i < run->options->world.members; i++) ready += world_is_ready(run->world, i);
    return ready;
}

static bool agree(struct run *run)
{
    uint64_t first = 0;
    uint32_t members = run->options->world.members;
    for (uint32_t i = 0; i < members; i++) {
        uint64_t applied;
        int64_t revision;
        (void)world_hash(run->world, i, &applied, &revision);
        if (i == 0) first = applied;
        if (applied != first || applied < world_commit_index(run->world)) return false;
    }
    return true;
}

/* Runs until it holds; false when the time is over. */
static bool run_until(struct run *run, uint64_t ns, bool (*holds)(struct run *run))
{
    uint64_t until_ns = world_now_ns(run->world) + ns;
    while (!holds(run)) {
        if (world_now_ns(run->world) > until_ns) return false;
        world_run(run->world, 2 * NS_PER_MS);
        sim_clients_step(&run->clients, true);
    }
    return true;
}

static bool has_leader(struct run *run) { return world_leader(run->world) >= 0; }
static bool all_are_ready(struct run *run) { return ready_count(run) == run->options->world.members; }
static bool nobody_waits(struct run *run) { return !sim_clients_wait(&run->clients); }

static void demand(struct run *run, bool holds, const char *invariant)
{
    if (!holds) world_watch_broken(run->world, invariant, 0, ready_count(run), world_now_ns(run->world));
}

static void finish(struct run *run)
{
    const struct sim_options *options = run->options;
    uint64_t election_ns = options->world.election_ms * NS_PER_MS;
    uint64_t timeout_ns = options->world.request_timeout_ms * NS_PER_MS;
    if (timeout_ns == 0) timeout_ns = 5 * NS_PER_S + 2 * election_ns;
    heal_all(run);
    /* With the smallest windows a member that lags gets an entry per round trip. */
    uint64_t catch_up_ns = world_commit_index(run->world) * (2 * options->world.delay_ns + 2 * NS_PER_MS);
    demand(run, run_until(run, 10 * election_ns, has_leader), "V1 a leader within ten election timeouts");
    /* Behind that: a full disk is looked at each second, and who lags must catch up. */
    demand(run, run_until(run, 10 * election_ns + 3 * NS_PER_S + timeout_ns + catch_up_ns, all_are_ready), "V1 all members serve again");
    demand(run, run_until(run, timeout_ns + NS_PER_S, nobody_waits), "V6 every call is answered by its deadline");
    world_run(run->world, timeout_ns + NS_PER_S); /* those whose client went away, too */
    demand(run, run_until(run, 5 * NS_PER_S + 10 * election_ns + catch_up_ns, agree), "V3 all members apply the same");
    for (uint32_t i = 0; i < options->world.members; i++) {
        sim_clients_read_all(&run->clients, i, false);
        sim_clients_read_all(&run->clients, i, true);
    }
    world_watch_disks(run->world);
    sim_clients_check(&run->clients);
}

void sim_run(const struct sim_options *options, struct sim_result *out_result)
{
    struct run run = {.options = options};
    struct world_trace *trace = world_trace();
    trace->seed = options->world.seed;
    trace->count = 0;
    trace->broken[0] = '\0';
    sim_options_text(options, trace->options, sizeof(trace->options));
    run.world = world_new(&options->world);
    rng_init(&run.rng, options->world.seed + 2);
    sim_clients_init(&run.clients, run.world, &options->clients);
    uint64_t start_ns = world_now_ns(run.world);
    while (world_now_ns(run.world) < start_ns + options->run_ns) {
        uint64_t ns = 1 + rng_below(&run.rng, options->lag_ns);
        world_run(run.world, ns);
        sim_clients_step(&run.clients, false);
        some_faults(&run, ns);
    }
    finish(&run);
    *out_result = (struct sim_result){.trace_hash = world_trace_hash(run.world), .steps = world_steps(run.world),
                                      .simulated_ns = world_now_ns(run.world) - start_ns, .done = run.clients.done,
                                      .unknown = run.clients.unknown, .entries = world_commit_index(run.world)};
    world_get_counts(run.world, &out_result->counts);
    sim_clients_deinit(&run.clients);
    world_free(run.world);
}
