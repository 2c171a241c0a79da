/* sim_core: see sim_core.h. */
#include "lib/sim_core.h"

#include "base/assert.h"
#include "base/clock.h"
#include "lib/world_watch.h"

#define SLEEP_NS (1000 * NS_PER_S)
#define PATIENCE_NS (11 * NS_PER_S) /* of clients, and more */

static void demand(const struct sim_core *core, bool holds, const char *invariant, uint64_t a, uint64_t b)
{
    if (!holds) world_watch_broken(core->world, invariant, 0, a, b);
}

static uint32_t draw_majority(const struct sim_core *core)
{
    uint32_t members = core->options->world.members, set = 0, count = 0;
    while (count <= members / 2) {
        uint32_t member = (uint32_t)tape_below(core->tape, members);
        while ((set >> member & 1) != 0) member = (member + 1) % members;
        count++;
        set |= 1u << member;
    }
    return set;
}

/* A leader outside stays in office as long as a majority answers it, be it members whose disks take nothing (reads go on, ARCHITECTURE 4),
 * and whoever hears it elects nobody else: where the majority is in touch with the rest, the rest's disks work again, too.
 */
static void heal_disks_outside(const struct sim_core *core, uint32_t set)
{
    bool is_in_touch = false;
    for (uint32_t i = 0; i < core->options->world.members; i++) {
        for (uint32_t j = 0; j < core->options->world.members; j++) {
            bool is_across = (set >> i & 1) == 0 && (set >> j & 1) != 0;
            is_in_touch = is_in_touch || (is_across && (!world_is_cut(core->world, i, j) || !world_is_cut(core->world, j, i)));
        }
    }
    for (uint32_t i = 0; is_in_touch && i < core->options->world.members; i++) {
        world_disk_speed(core->world, i, WORLD_DISK_FAST);
        world_disk_room(core->world, i, true);
    }
}

/* False: one of them does not start. */
static bool heal(const struct sim_core *core, uint32_t set)
{
    struct world *world = core->world;
    uint32_t members = core->options->world.members;
    bool is_up = true;
    world_quiet(world);
    for (uint32_t i = 0; i < members; i++) {
        world_kill_soon(world, i, false, false, UINT32_MAX - 1); /* takes back what was planned */
        world_disk_fail(world, i, false);
        if ((set >> i & 1) == 0) {
            if (world_is_paused(world, i)) world_pause(world, i, SLEEP_NS);
            continue;
        }
        world_disk_speed(world, i, WORLD_DISK_FAST);
        world_hang_chores(world, i, false);
        world_disk_room(world, i, true);
        world_pause(world, i, 0);
        for (uint32_t times = 0; times < 2 && !world_is_up(world, i); times++) (void)world_start(world, i);
        is_up = is_up && world_is_up(world, i);
        for (uint32_t j = 0; j < members; j++) {
            if ((set >> j & 1) != 0) world_cut(world, i, j, false);
        }
    }
    heal_disks_outside(core, set);
    return is_up;
}

static bool are_up(const struct sim_core *core, uint32_t set)
{
    for (uint32_t i = 0; i < core->options->world.members; i++)
        if ((set >> i & 1) != 0 && !world_is_up(core->world, i)) return false;
    return true;
}

/* They are healed, and can be asked for a leader. */
static bool is_fit(const struct sim_core *core, uint32_t set)
{
    return heal(core, set) && world_is_whole(core->world) && !world_is_suspect(core->world);
}

static void run(const struct sim_core *core, uint64_t ns)
{
    uint64_t until_ns = world_now_ns(core->world) + ns;
    while (world_now_ns(core->world) < until_ns) {
        world_run(core->world, 2 * NS_PER_MS);
        sim_clients_step(core->clients, true);
    }
}

static bool is_led(const struct sim_core *core, uint64_t ns)
{
    uint64_t until_ns = world_now_ns(core->world) + ns;
    while (world_followed_leader(core->world) < 0) {
        if (world_now_ns(core->world) > until_ns) return false;
        run(core, NS_PER_MS);
    }
    return true;
}

/* At those who follow the leader, from when a client is free: all may wait for the answer of somebody who sleeps. */
static bool takes_write(const struct sim_core *core, uint64_t ns)
{
    uint64_t start_ns = world_now_ns(core->world), asked_ns = 0;
    size_t first = core->clients->history.count;
    uint64_t last_index = world_last_index(core->world);
    while (asked_ns == 0 || world_now_ns(core->world) < asked_ns + ns) {
        bool has_asked = sim_clients_write(core->clients, world_followers(core->world)) > 0;
        if (has_asked && asked_ns == 0) asked_ns = world_now_ns(core->world);
        run(core, 10 * NS_PER_MS);
        if (sim_clients_has_written(core->clients, first)) return true;
        if (world_commit_index(core->world) > last_index) return true; /* what came since is committed, though its client may have lost patience */
        if (asked_ns == 0 && world_now_ns(core->world) > start_ns + PATIENCE_NS) return true; /* nobody there who could ask */
    }
    return false;
}

/* One who is outside catches up, and then neither hears the leader nor is heard by it, but stays in touch with all others. */
static bool part_leader(const struct sim_core *core, uint32_t set, uint64_t ns)
{
    struct world *world = core->world;
    uint32_t members = core->options->world.members, outside = 0;
    while (outside < members && ((set >> outside & 1) != 0 || !world_is_up(world, outside) || world_is_paused(world, outside))) outside++;
    if (outside == members || tape_below(core->tape, 2) == 0) return false;
    for (uint32_t i = 0; i < members; i++) {
        world_cut(world, i, outside, false);
        world_cut(world, outside, i, false);
    }
    run(core, ns);
    int leader = world_followed_leader(world);
    if (leader < 0 || (set >> leader & 1) == 0) return false;
    world_cut(world, (uint32_t)leader, outside, true);
    world_cut(world, outside, (uint32_t)leader, true);
    return true;
}

static uint64_t elections(const struct sim_core *core)
{
    struct world_counts counts;
    world_get_counts(core->world, &counts);
    return counts.elections;
}

bool sim_core_run(const struct sim_core *core, uint64_t *out_spans)
{
    /* A timeout that is not long beside the network lets ballots split again and again: an election takes four ways. */
    uint64_t election_ns = core->options->world.election_ms * NS_PER_MS + 4 * core->options->world.delay_ns, start_ns = world_now_ns(core->world);
    uint32_t set = draw_majority(core);
    if (!is_fit(core, set)) return false;
    bool has_leader = is_led(core, 10 * election_ns);
    if (!has_leader && !are_up(core, set)) { /* what a disk had failed to do came out only now: who died of it is started again */
        if (!is_fit(core, set)) return false;
        has_leader = is_led(core, 10 * election_ns);
    }
    demand(core, has_leader, "V1 a majority has a leader within ten election timeouts", set, 0);
    *out_spans = (world_now_ns(core->world) - start_ns) / election_ns;
    run(core, 5 * election_ns); /* streams across the cuts are found broken */
    demand(core, is_led(core, 10 * election_ns), "V2 a majority keeps a leader while the rest is cut off", set, 0);
    bool is_parted = part_leader(core, set, 5 * election_ns);
    uint64_t before = elections(core);
    run(core, 10 * election_ns);
    demand(core, !is_parted || elections(core) == before, "V2 who is cut off from the leader alone does not disturb it", set, elections(core) - before);
    demand(core, elections(core) <= before + 1, "V2 a leader stays while the network stays as it is", set, elections(core) - before);
    /* With the smallest windows what waits already goes one entry a round trip; who was behind gets all that it lacks first. */
    uint64_t commit_index = world_commit_index(core->world), least_index = world_least_index(core->world, set);
    uint64_t waiting = world_last_index(core->world) - (least_index < commit_index ? least_index : commit_index);
    uint64_t backlog_ns = waiting * (2 * core->options->world.delay_ns + 2 * NS_PER_MS);
    demand(core, takes_write(core, 10 * election_ns + NS_PER_S + backlog_ns), "V1 a majority takes writes", set, waiting);
    return true;
}
