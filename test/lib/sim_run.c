/* sim_run: see sim_run.h. */
#include "lib/sim_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "lib/tape.h"
#include "lib/world_alarms.h"
#include "lib/world_leases.h"
#include "lib/world_watch.h"

#define SLOW_STOP_NS (100 * NS_PER_MS)

/* --- faults --- */

struct run {
    const struct sim_options *options;
    struct world *world;
    struct tape tape;
    struct sim_clients clients;
    struct sim_saves saves;
    struct sim_watch watch;
    struct sim_renew renew;
    struct sim_quota quota;
    struct sim_history history;
    struct sim_hashes hashes;
    struct sim_who who;
    uint64_t stop_ns[WORLD_MEMBERS_MAX]; /* planned; 0 = not */
    uint64_t faults[SIM_FAULTS];
    uint64_t cores, led_after[SIM_CORE_SPANS];
};

static uint32_t below(struct run *run, uint64_t limit) { return (uint32_t)tape_below(&run->tape, limit); }

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

/* Connected, but not whole. A bridge: only `middle` hears all. A ring: each hears its neighbours. One-way: nobody hears `middle`, or it nobody. */
static void set_shape(struct run *run, uint32_t middle, uint32_t shape)
{
    uint32_t members = run->options->world.members;
    for (uint32_t i = 0; i < members; i++) {
        for (uint32_t j = 0; j < members; j++) {
            uint32_t apart = (i + members - j) % members;
            bool is_cut = i != middle && j != middle;
            if (shape == 1) is_cut = apart > 1 && apart < members - 1;
            if (shape == 2) is_cut = i == middle;
            if (shape == 3) is_cut = j == middle;
            world_cut(run->world, i, j, is_cut && i != j);
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

/* Of who is down; else somebody is killed for it. */
static void damage_one(struct run *run, uint32_t member, void (*damage)(struct world *world, uint32_t member))
{
    uint32_t members = run->options->world.members;
    for (uint32_t i = 0; i < members; i++) {
        if (!world_is_up(run->world, (member + i) % members)) member = (member + i) % members;
    }
    if (world_is_up(run->world, member)) world_kill(run->world, member, below(run, 2) == 0);
    damage(run->world, member);
}

/* At once; or a little later, while its apply role is slow, so that much is on its way to it. */
static void stop_one(struct run *run, uint32_t member)
{
    if (!world_is_up(run->world, member)) return;
    if (below(run, 2) == 0) {
        world_stop(run->world, member);
        return;
    }
    uint64_t ns = below(run, SLOW_STOP_NS);
    world_nap(run->world, member, 2 * ns);
    run->stop_ns[member] = world_now_ns(run->world) + ns;
}

static void stop_planned(struct run *run)
{
    for (uint32_t i = 0; i < run->options->world.members; i++) {
        if (run->stop_ns[i] == 0 || run->stop_ns[i] > world_now_ns(run->world)) continue;
        run->stop_ns[i] = 0;
        if (world_is_up(run->world, i)) world_stop(run->world, i);
    }
}

static void inject(struct run *run, enum sim_fault fault)
{
    struct world *world = run->world;
    uint32_t members = run->options->world.members;
    int leader = world_leader(world);
    uint32_t member = leader >= 0 && below(run, 3) == 0 ? (uint32_t)leader : below(run, members);
    uint64_t election_ns = run->options->world.election_ms * NS_PER_MS;
    run->faults[fault]++;
    switch (fault) {
    case SIM_KILL: kill_one(run, member, false, false); break;
    case SIM_POWER_LOSS: kill_one(run, member, true, false); break;
    case SIM_POWER_LOSS_OF_ALL: kill_one(run, member, true, true); break;
    case SIM_STOP: stop_one(run, member); break;
    case SIM_PAUSE: world_pause(world, member, tape_below(&run->tape, 5 * election_ns)); break;
    case SIM_CUT: world_cut(world, member, (member + 1 + below(run, members)) % members, true); break;
    case SIM_PARTITION: set_cuts(run, below(run, 2) == 0 ? 1u << member : below(run, 1u << members), true); break;
    case SIM_SHAPE: set_shape(run, member, below(run, 4)); break;
    case SIM_SLOW_DISK: world_disk_speed(world, member, WORLD_DISK_SLOW); break;
    case SIM_STUCK_DISK: world_disk_speed(world, member, WORLD_DISK_STUCK); break;
    case SIM_FULL_DISK: world_disk_room(world, member, false); break;
    case SIM_FAILED_DISK: world_disk_fail(world, member, true); break;
    case SIM_FLIP: damage_one(run, member, world_flip); break;
    case SIM_LOSE_SNAPSHOTS: damage_one(run, member, world_lose_snapshots); break;
    case SIM_LOSE_LOG: damage_one(run, member, world_lose_log); break;
    case SIM_TRANSFER: world_transfer(world, member); break;
    case SIM_STUCK_CHORES: world_hang_chores(world, member, true); break;
    case SIM_FAULTS: break;
    }
}

static void heal_member(struct run *run, uint32_t member)
{
    world_disk_speed(run->world, member, WORLD_DISK_FAST);
    world_hang_chores(run->world, member, false);
    world_disk_room(run->world, member, true);
    world_disk_fail(run->world, member, false);
}

/* Each kind of thing that may happen has its own lane on the tape: what happens less often moves nothing of the others. */
enum lane { LANE_HEAL = 32, LANE_HEAL_MEMBER, LANE_START = LANE_HEAL_MEMBER + WORLD_MEMBERS_MAX, LANES = LANE_START + WORLD_MEMBERS_MAX };
STATIC_ASSERT((int)SIM_FAULTS <= (int)LANE_HEAL, "lanes of faults");
STATIC_ASSERT((int)TAPE_FAULT_LANES + LANES <= (int)TAPE_RARE_LANES, "lanes on the tape");

static bool happens(struct run *run, uint32_t lane, uint32_t per_minute, uint64_t ns)
{
    return tape_chance_on(&run->tape, TAPE_FAULT_LANES + lane, per_minute * ns, 60 * NS_PER_S);
}

static void some_faults(struct run *run, uint64_t ns)
{
    uint32_t members = run->options->world.members;
    stop_planned(run);
    for (int fault = 0; fault < SIM_FAULTS; fault++) {
        if (fault > SIM_TRANSFER && run->options->per_minute[fault] == 0) continue; /* nothing is drawn for them */
        if (happens(run, (uint32_t)fault, run->options->per_minute[fault], ns)) inject(run, (enum sim_fault)fault);
    }
    if (happens(run, LANE_HEAL, run->options->heals_per_minute, ns)) set_cuts(run, 0, false);
    for (uint32_t i = 0; i < members; i++) {
        if (happens(run, LANE_HEAL_MEMBER + i, run->options->heals_per_minute, ns)) heal_member(run, i);
        if (!world_is_up(run->world, i) && happens(run, LANE_START + i, run->options->starts_per_minute, ns)) (void)world_start(run->world, i);
    }
}

/* --- the end: all is healed --- */

static void heal_all(struct run *run)
{
    set_cuts(run, 0, false);
    world_quiet(run->world);
    for (uint32_t i = 0; i < run->options->world.members; i++) {
        world_kill_soon(run->world, i, false, false, UINT32_MAX - 1); /* takes back what was planned */
        heal_member(run, i);
        world_pause(run->world, i, 0);
        /* The first time may find damage, which is put right then. */
        for (uint32_t times = 0; times < 2 && !world_is_up(run->world, i); times++) (void)world_start(run->world, i);
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
    if (!world_is_settled(run->world)) return false;
    uint64_t first = 0;
    uint32_t members = run->options->world.members;
    for (uint32_t i = 0; i < members; i++) {
        uint64_t applied;
        int64_t revision;
        if (!world_is_up(run->world, i)) { /* a disk that failed before it was healed was noticed only now: the supervisor's turn */
            (void)world_start(run->world, i);
            return false;
        }
        (void)world_hash(run->world, i, &applied, &revision);
        if (i == 0) first = applied;
        if (applied != first || applied < world_commit_index(run->world)) return false;
    }
    return true;
}

/* All who ask something; `is_over`: they take what comes, and ask no more. */
static void step_clients(struct run *run, uint64_t ns, bool is_over)
{
    sim_clients_step(&run->clients, is_over);
    sim_saves_step(&run->saves, ns, is_over);
    sim_quota_step(&run->quota, ns, is_over);
    sim_history_step(&run->history, ns, is_over);
    sim_hashes_step(&run->hashes, ns, is_over);
    sim_watch_step(&run->watch, is_over);
    sim_who_step(&run->who, ns, is_over);
    sim_renew_step(&run->renew, is_over);
    sim_locks_step(&run->clients, is_over);
}

/* Runs until it holds; false when the time is over. */
static bool run_until(struct run *run, uint64_t ns, bool (*holds)(struct run *run))
{
    uint64_t until_ns = world_now_ns(run->world) + ns;
    while (!holds(run)) {
        if (world_now_ns(run->world) > until_ns) return false;
        world_run(run->world, 2 * NS_PER_MS);
        step_clients(run, 2 * NS_PER_MS, true);
    }
    return true;
}

static bool has_leader(struct run *run) { return world_leader(run->world) >= 0; }
static bool all_are_ready(struct run *run) { return ready_count(run) == run->options->world.members; }
static bool nobody_waits(struct run *run)
{
    return !sim_clients_wait(&run->clients) && run->saves.call == 0 && !run->quota.is_waiting && !run->history.is_waiting && !run->who.is_waiting &&
           !run->hashes.is_waiting;
}
static bool disks_are_tidy(struct run *run) { return world_is_tidy(run->world); }
static bool alarms_are_settled(struct run *run) { return world_alarms_is_settled(run->world) && agree(run); }

static bool no_lease_is_left(struct run *run) { return world_leases_left(run->world, SIM_LEASES_SHORT_TTL) == 0; }
static bool all_know_all(struct run *run) { return sim_watch_settle(&run->watch); }
static bool all_are_notified(struct run *run) { return sim_watch_all_notified(&run->watch); }
static bool nobody_renews(struct run *run) { return sim_renew_end(&run->renew); }
static bool all_are_told(struct run *run) { return sim_who_all_told(&run->who); }
static bool nobody_locks(struct run *run) { return sim_locks_end(&run->clients); }
static bool all_stand(struct run *run) { return sim_locks_stand(&run->clients); }
static bool nobody_watches(struct run *run) { return sim_watch_end(&run->watch); }

static void demand(struct run *run, bool holds, const char *invariant)
{
    if (!holds) world_watch_broken(run->world, invariant, 0, ready_count(run), world_now_ns(run->world));
}

static void heal_core(struct run *run)
{
    struct sim_core core = {.world = run->world, .clients = &run->clients, .options = run->options, .tape = &run->tape};
    uint64_t spans = 0;
    if (!sim_core_run(&core, &spans)) return;
    run->cores++;
    run->led_after[spans < SIM_CORE_SPANS ? spans : SIM_CORE_SPANS - 1]++;
}

/* A healthy leader ends what is over; what its word was lost of is said again after some seconds. */
static void finish_leases(struct run *run, uint64_t patience_ns)
{
    const struct sim_options *options = run->options;
    uint64_t ttl_ns = SIM_LEASES_SHORT_TTL * NS_PER_S + 2 * options->world.election_ms * NS_PER_MS;
    if (options->clients.lease_percent > 0) {
        demand(run, run_until(run, ttl_ns * 12 / 10 + patience_ns, no_lease_is_left), "L6 no lease lives on behind its TTL");
        demand(run, run_until(run, patience_ns, agree), "V3 all members apply the same");
    }
    uint64_t hash = world_whole_hash(run->world, 0);
    for (uint32_t i = 1; i < options->world.members; i++) demand(run, world_whole_hash(run->world, i) == hash, "A2 all members hold the same, leases and all");
}

/* Some stand in a queue, and give up. */
static void finish_locks(struct run *run, uint64_t timeout_ns, uint64_t patience_ns)
{
    struct sim_clients *clients = &run->clients;
    if (clients->options.lock_clients == 0) return;
    for (uint32_t i = 0; i < SIM_LOCKS_LAST; i++) {
        struct kv_op grant = {.kind = KV_OP_GRANT, .lease = 1 + (int64_t)i, .ttl = SIM_LEASES_FOREVER};
        demand(run, sim_clients_do(clients, i % run->options->world.members, &grant), "V6 every call is answered by its deadline");
    }
    sim_locks_queue(clients);
    (void)run_until(run, 2 * NS_PER_S, all_stand);
    world_run(run->world, 100 * NS_PER_MS); /* they wait */
    demand(run, run_until(run, 2 * timeout_ns + NS_PER_S, nobody_locks), "N3 a call that is given up ends");
    demand(run, run_until(run, patience_ns, agree), "V3 all members apply the same");
    demand(run, sim_locks_left(clients) == KV_HISTORY_KEYS, "N3 a call that is given up gives its place up");
}

/* All that was written is written. */
static void finish_watches(struct run *run)
{
    const struct world_options *world = &run->options->world;
    if (world->watch_streams == 0) return;
    bool is_settled = run_until(run, 5 * NS_PER_S, all_know_all);
    if (!is_settled) sim_watch_print(&run->watch);
    demand(run, is_settled, "W14 every watcher knows all in the end, and every stream says so");
    sim_watch_count_notifications(&run->watch);
    demand(run, run_until(run, 3 * world->watch_progress_ms * NS_PER_MS, all_are_notified), "W7 who wants notifications of progress gets them");
    sim_who_check(&run->who);
    sim_who_cancel_some(&run->who);
    demand(run, run_until(run, NS_PER_S, all_are_told), "H6 who is canceled by an operator is told");
    sim_who_check(&run->who);
    demand(run, run_until(run, NS_PER_S, nobody_watches), "W12 a stream ends when its client has said its last word");
}

static void finish(struct run *run)
{
    const struct sim_options *options = run->options;
    uint64_t election_ns = options->world.election_ms * NS_PER_MS;
    uint64_t timeout_ns = options->world.request_timeout_ms * NS_PER_MS;
    if (timeout_ns == 0) timeout_ns = 5 * NS_PER_S + 2 * election_ns;
    buggify_stop();
    if (options->core_first && options->world.members >= 3) heal_core(run);
    heal_all(run);
    /* With the smallest windows a member that lags gets an entry per round trip. */
    uint64_t catch_up_ns = world_last_index(run->world) * (2 * options->world.delay_ns + 2 * NS_PER_MS);
    demand(run, run_until(run, 10 * election_ns, has_leader), "V1 a leader within ten election timeouts");
    /* Behind that: a full disk is looked at each second, and who lags must catch up. */
    demand(run, run_until(run, 10 * election_ns + 3 * NS_PER_S + timeout_ns + catch_up_ns, all_are_ready), "V1 all members serve again");
    demand(run, run_until(run, 2 * timeout_ns + NS_PER_S, nobody_renews), "L4 every renewal is answered, and its stream ends");
    demand(run, run_until(run, 2 * timeout_ns + NS_PER_S, nobody_locks), "N3 a call that is given up ends");
    demand(run, run_until(run, timeout_ns + NS_PER_S, nobody_waits), "V6 every call is answered by its deadline");
    world_run(run->world, timeout_ns + NS_PER_S); /* those whose client went away, too */
    demand(run, run_until(run, 5 * NS_PER_S + 10 * election_ns + catch_up_ns, agree), "V3 all members apply the same");
    bool disarms = options->world.quota_bytes > 0 && options->world.auto_disarm;
    demand(run, !disarms || run_until(run, 10 * NS_PER_S, alarms_are_settled), "Q4 with room again NOSPACE is taken back");
    demand(run, run_until(run, 15 * NS_PER_S, disks_are_tidy), "D13 what is to go of snapshots goes, once the disk lets it");
    finish_locks(run, timeout_ns, 5 * NS_PER_S + 10 * election_ns + catch_up_ns);
    finish_leases(run, 5 * NS_PER_S + 10 * election_ns + catch_up_ns);
    for (uint32_t i = 0; i < options->world.members; i++) {
        sim_clients_read_all(&run->clients, i, false);
        sim_clients_read_all(&run->clients, i, true);
    }
    finish_watches(run);
    world_run(run->world, NS_PER_S); /* freeing looks again for who has read to the end */
    world_look_idle(run->world);
    world_watch_disks(run->world);
    sim_clients_check(&run->clients);
    sim_renew_check(&run->renew);
}

/* The counters belong to the process: what they were is kept until the end, then their difference. */
static void count_fired(struct sim_result *result, bool is_end)
{
#ifdef KVD_SIM
    for (int site = 0; site < BUGGIFY_SITE_COUNT; site++) {
        uint64_t fired = buggify_fired((enum buggify_site)site);
        result->fired[site] = is_end ? fired - result->fired[site] : fired;
    }
#else
    (void)is_end;
    memset(result->fired, 0, sizeof(result->fired));
#endif
}

static bool judge_rare(void *context, enum buggify_site site, bool fires)
{
    return tape_reel_chance(context, TAPE_RARE_LANES + (uint32_t)site, fires);
}
STATIC_ASSERT((int)TAPE_RARE_LANES + (int)BUGGIFY_SITE_COUNT <= (int)TAPE_PAST, "lanes on the tape");

void sim_run(const struct sim_options *options, struct sim_result *out_result)
{
    struct run run = {.options = options};
    struct world_trace *trace = world_trace();
    trace->seed = options->world.seed;
    trace->count = 0;
    trace->broken[0] = '\0';
    sim_options_text(options, trace->options, sizeof(trace->options));
    struct sim_result fired = {0};
    count_fired(&fired, false);
    if (options->world.reel != NULL) tape_reel_rewind(options->world.reel, options->world.reel->is_recording);
    buggify_judge(options->world.reel == NULL ? NULL : judge_rare, options->world.reel);
    if (options->buggify) buggify_start(options->world.seed + 3);
    run.world = world_new(&options->world);
    tape_init(&run.tape, options->world.seed + 2, options->world.reel, TAPE_FAULTS);
    sim_clients_init(&run.clients, run.world, &options->clients);
    sim_watch_init(&run.watch, run.world, &(struct sim_watch_options){
        .seed = options->world.seed, .streams = options->world.watch_streams, .members = options->world.members, .keys = options->clients.keys,
        .slow_percent = options->watch_slow_percent, .slow_ns = options->watch_slow_ns, .think_ns = options->watch_think_ns});
    sim_renew_init(&run.renew, &run.clients, &(struct sim_renew_options){
        .seed = options->world.seed, .streams = options->world.renew_streams, .members = options->world.members,
        .slow_percent = options->watch_slow_percent, .slow_ns = options->watch_slow_ns, .think_ns = options->renew_think_ns});
    sim_who_init(&run.who, &run.watch, options->lists_per_minute);
    sim_history_init(&run.history, run.world, options->world.seed, options->world.members, options->clients.keys, options->histories_per_minute);
    sim_hashes_init(&run.hashes, run.world, &run.clients.history, options->world.seed, options->world.members, options->hashes_per_minute);
    run.clients.hashes = &run.hashes;
    sim_quota_init(&run.quota, run.world, options->world.seed, options->world.members, options->alarms_per_minute);
    sim_saves_init(&run.saves, run.world, options->world.seed, options->world.members, options->saves_per_minute);
    uint64_t start_ns = world_now_ns(run.world);
    while (world_now_ns(run.world) < start_ns + options->run_ns) {
        uint64_t before_ns = world_now_ns(run.world);
        uint64_t ns = 1 + tape_late(&run.tape, options->lag_ns), ask_ns = sim_clients_next_ns(&run.clients);
        if (ask_ns < before_ns + ns) ns = ask_ns > before_ns ? ask_ns - before_ns : 1;
        world_run_to_answer(run.world, ns);
        step_clients(&run, world_now_ns(run.world) - before_ns, false);
        some_faults(&run, world_now_ns(run.world) - before_ns);
    }
    finish(&run);
    *out_result = (struct sim_result){.trace_hash = world_trace_hash(run.world), .steps = world_steps(run.world), .events = trace->count,
                                      .simulated_ns = world_now_ns(run.world) - start_ns, .done = run.clients.done,
                                      .unknown = run.clients.unknown, .entries = world_commit_index(run.world)};
    memcpy(out_result->faults, run.faults, sizeof(run.faults));
    memcpy(out_result->led_after, run.led_after, sizeof(run.led_after));
    out_result->saves = run.saves.saved;
    out_result->restores = run.saves.restored;
    out_result->cores = run.cores;
    count_fired(&fired, true);
    memcpy(out_result->fired, fired.fired, sizeof(fired.fired));
    world_get_counts(run.world, &out_result->counts);
    out_result->clients = run.clients.counts;
    out_result->watch = run.watch.counts;
    out_result->leases = run.clients.lease_counts;
    out_result->renew = run.renew.counts;
    out_result->quota = run.quota.counts;
    out_result->history = run.history.counts;
    out_result->who = run.who.counts;
    out_result->hashes = run.hashes.counts;
    out_result->locks = run.clients.lock_counts;
    buggify_judge(NULL, NULL);
    sim_clients_deinit(&run.clients);
    sim_watch_deinit(&run.watch);
    sim_renew_deinit(&run.renew);
    world_free(run.world);
}
