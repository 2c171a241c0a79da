/* sim_options: see sim_options.h. */
#include "lib/sim_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/rng.h"
#include "lib/sim_bytes.h"
#include "lib/tape.h"

/* --- by name --- */

struct field {
    const char *name;
    size_t offset, size;
};
#define FIELD(name, member) {name, offsetof(struct sim_options, member), sizeof(((struct sim_options *)0)->member)}
#define FAULT(name, kind) {name, offsetof(struct sim_options, per_minute) + (kind) * sizeof(uint32_t), sizeof(uint32_t)}

static const struct field fault_fields[SIM_FAULTS] = {
    FAULT("kill", SIM_KILL), FAULT("power-loss", SIM_POWER_LOSS), FAULT("power-loss-of-all", SIM_POWER_LOSS_OF_ALL),
    FAULT("stop", SIM_STOP), FAULT("pause", SIM_PAUSE), FAULT("cut", SIM_CUT), FAULT("partition", SIM_PARTITION), FAULT("shape", SIM_SHAPE),
    FAULT("slow-disk", SIM_SLOW_DISK), FAULT("stuck-disk", SIM_STUCK_DISK), FAULT("full-disk", SIM_FULL_DISK), FAULT("failed-disk", SIM_FAILED_DISK),
    FAULT("flip", SIM_FLIP), FAULT("transfer", SIM_TRANSFER),
    FAULT("stuck-chores", SIM_STUCK_CHORES), FAULT("lose-snapshots", SIM_LOSE_SNAPSHOTS), FAULT("lose-log", SIM_LOSE_LOG),
};
static const struct field fields[] = {
    FIELD("members", world.members), FIELD("switch-percent", world.switch_percent), FIELD("break-permille", world.break_permille),
    FIELD("delay-ns", world.delay_ns), FIELD("window", world.window), FIELD("late-disks", world.late_disks), FIELD("drift-permille", world.drift_permille),
    FIELD("probe-percent", world.probe_percent), FIELD("calls-max", world.calls_max), FIELD("lane-calls", world.lane_calls),
    FIELD("lane-peer", world.lane_peer), FIELD("inflight-messages", world.inflight_messages), FIELD("tail-bytes", world.tail_bytes),
    FIELD("message-bytes", world.message_bytes), FIELD("inflight-bytes", world.inflight_bytes),
    FIELD("apply-bytes", world.apply_bytes), FIELD("uncommitted-bytes", world.uncommitted_bytes), FIELD("own-wait-entries", world.own_wait_entries),
    FIELD("snapshot-count", world.snapshot_count), FIELD("snapshot-catchup", world.snapshot_catchup),
    FIELD("segment-bytes", world.segment_bytes), FIELD("segment-entries", world.segment_entries),
    FIELD("election-ms", world.election_ms), FIELD("heartbeat-ms", world.heartbeat_ms),
    FIELD("request-timeout-ms", world.request_timeout_ms), FIELD("clients-seed", clients.seed), FIELD("clients", clients.clients),
    FIELD("keys", clients.keys), FIELD("padding-max", clients.padding_max), FIELD("think-ns", clients.think_ns),
    FIELD("patience-ns", clients.patience_ns), FIELD("ops-max", clients.ops_max), FIELD("compact-permille", clients.compact_permille),
    FIELD("chunk-bytes", world.chunk_bytes), FIELD("look-permille", world.look_permille), FIELD("history-percent", clients.history_percent),
    FIELD("slow-percent", clients.slow_percent), FIELD("slow-ns", clients.slow_ns),
    FIELD("sticks", clients.sticks), FIELD("run-ns", run_ns), FIELD("buggify", buggify), FIELD("lag-ns", lag_ns), FIELD("heals-per-minute", heals_per_minute),
    FIELD("starts-per-minute", starts_per_minute), FIELD("saves-per-minute", saves_per_minute), FIELD("core-first", core_first), FIELD("repeat-permille", world.repeat_permille),
    FIELD("even-delays", world.even_delays), FIELD("late-chores", world.late_chores),
    FIELD("start-fault-permille", world.start_fault_permille), FIELD("start-cut-permille", world.start_cut_permille), FIELD("flip-end-percent", world.flip_end_percent),
    FIELD("watch-streams", world.watch_streams), FIELD("watch-hold-bytes", world.watch_hold_bytes), FIELD("watch-progress-ms", world.watch_progress_ms),
    FIELD("watch-slow-percent", watch_slow_percent), FIELD("watch-slow-ns", watch_slow_ns), FIELD("watch-think-ns", watch_think_ns),
    FIELD("quota-bytes", world.quota_bytes), FIELD("auto-disarm", world.auto_disarm), FIELD("alarms-per-minute", alarms_per_minute), FIELD("deletes", clients.deletes),
    FIELD("histories-per-minute", histories_per_minute), FIELD("lists-per-minute", lists_per_minute), FIELD("hashes-per-minute", hashes_per_minute),
    FIELD("snap-fault-permille", world.snap_fault_permille), FIELD("unlink-fault-permille", world.unlink_fault_permille), FIELD("name-doom-permille", world.name_doom_permille),
    FIELD("lease-percent", clients.lease_percent), FIELD("lease-ids", clients.lease_ids),
    FIELD("nap-permille", world.nap_permille), FIELD("lock-clients", clients.lock_clients), FIELD("lock-think-ns", clients.lock_think_ns), FIELD("ttl-percent", clients.ttl_percent), FIELD("hunt-percent", clients.hunt_percent), FIELD("lease-checkpoint-ms", world.lease_checkpoint_ms),
    FIELD("renew-streams", world.renew_streams), FIELD("renew-think-ns", renew_think_ns),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

const char *sim_fault_name(enum sim_fault fault) { return fault_fields[fault].name; }

static uint64_t get(const struct sim_options *options, const struct field *field)
{
    const char *at = (const char *)options + field->offset;
    if (field->size == sizeof(bool)) return *(const bool *)at;
    if (field->size == sizeof(uint32_t)) return *(const uint32_t *)(const void *)at;
    return *(const uint64_t *)(const void *)at;
}

static void put(struct sim_options *options, const struct field *field, uint64_t value)
{
    char *at = (char *)options + field->offset;
    if (field->size == sizeof(bool)) {
        *(bool *)at = value != 0;
    } else if (field->size == sizeof(uint32_t)) {
        *(uint32_t *)(void *)at = (uint32_t)value;
    } else {
        *(uint64_t *)(void *)at = value;
    }
}

bool sim_options_set(struct sim_options *options, const char *name, uint64_t value)
{
    if (strcmp(name, "seed") == 0) {
        sim_options_draw(value, options);
        return true;
    }
    for (size_t i = 0; i < FIELDS + SIM_FAULTS; i++) {
        const struct field *field = i < FIELDS ? &fields[i] : &fault_fields[i - FIELDS];
        if (strcmp(field->name, name) != 0) continue;
        put(options, field, value);
        if (strcmp(name, "members") == 0) options->clients.members = options->world.members;
        if (strcmp(name, "lock-clients") == 0) options->world.lock_clients = options->clients.lock_clients;
        return true;
    }
    return false;
}

uint64_t sim_options_get(const struct sim_options *options, const char *name)
{
    const struct field *found = NULL;
    for (size_t i = 0; i < FIELDS + SIM_FAULTS && found == NULL; i++) {
        const struct field *field = i < FIELDS ? &fields[i] : &fault_fields[i - FIELDS];
        if (strcmp(field->name, name) == 0) found = field;
    }
    ASSERT(found != NULL);
    return get(options, found);
}

void sim_options_text(const struct sim_options *options, char *out_text, size_t size)
{
    int n = snprintf(out_text, size, "seed=%" PRIu64, options->world.seed);
    for (size_t i = 0; i < FIELDS + SIM_FAULTS && n > 0 && (size_t)n < size; i++) {
        const struct field *field = i < FIELDS ? &fields[i] : &fault_fields[i - FIELDS];
        uint64_t value = get(options, field);
        n += snprintf(out_text + n, size - (size_t)n, " %s=%" PRIu64, field->name, value);
    }
}

void sim_options_print(const struct sim_options *options, FILE *out)
{
    fprintf(out, "seed %" PRIu64 "\n", options->world.seed);
    for (size_t i = 0; i < FIELDS + SIM_FAULTS; i++) {
        const struct field *field = i < FIELDS ? &fields[i] : &fault_fields[i - FIELDS];
        fprintf(out, "%s %" PRIu64 "\n", field->name, get(options, field));
    }
    if (options->world.reel != NULL) tape_reel_print(options->world.reel, out);
}

/* One line of a regression file. */
static bool read_line(const char *line, bool *has_seed, struct sim_options *options)
{
    char name[64];
    uint64_t value;
    if (line[0] == '#' || line[0] == '\n') return true;
    if (*has_seed && strncmp(line, "tape ", 5) == 0) {
        if (options->world.reel == NULL) options->world.reel = tape_reel_new();
        return tape_reel_read_line(options->world.reel, line + 5);
    }
    if (sscanf(line, "%63s %" SCNu64, name, &value) != 2) return false;
    *has_seed = *has_seed || strcmp(name, "seed") == 0;
    return *has_seed && sim_options_set(options, name, value);
}

bool sim_options_read(const char *path, struct sim_options *out_options)
{
    char line[TAPE_LINE_MAX];
    bool is_good = true, has_seed = false;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return false;
    }
    while (is_good && fgets(line, sizeof(line), file) != NULL) {
        is_good = read_line(line, &has_seed, out_options);
        if (!is_good) fprintf(stderr, "%s: not an option, or no seed before it: %s", path, line);
    }
    (void)fclose(file);
    return is_good && has_seed;
}

/* --- drawn --- */

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
    static const uint32_t sizes[] = {1, 3, 3, 3, 3, 4, 5, 5};
    world->members = sizes[rng_below(rng, 8)];
    world->switch_percent = (uint32_t)DRAW(rng, 0, 2, 10, 30);
    world->break_permille = (uint32_t)DRAW(rng, 0, 0, 1, 10, 50);
    world->delay_ns = DRAW(rng, 200 * NS_PER_US, 2 * NS_PER_MS, 10 * NS_PER_MS, 40 * NS_PER_MS);
    world->window = (uint32_t)DRAW(rng, 0, 2, 8);
    world->late_disks = rng_below(rng, 4) != 0;
    world->drift_permille = (uint32_t)DRAW(rng, 0, 10, 100);
    world->probe_percent = (uint32_t)DRAW(rng, 1, 1, 3);
    world->heartbeat_ms = DRAW(rng, 20, 50, 100);
    world->election_ms = world->heartbeat_ms * DRAW(rng, 5, 10);
    world->request_timeout_ms = DRAW(rng, 0, 1000, 3000);
    draw_limits(rng, world);
}

/* What looks at the state; from a stream of its own. */
static void draw_state(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xd1342543de82ef95) + 5);
    options->world.look_permille = (uint32_t)DRAW(&rng, 2, 10, 50);
    if (rng_below(&rng, 2) == 0) return;
    options->clients.history_percent = (uint32_t)DRAW(&rng, 10, 40, 80);
    options->clients.slow_percent = (uint32_t)DRAW(&rng, 0, 20, 70);
    options->clients.slow_ns = DRAW(&rng, 5 * NS_PER_MS, 50 * NS_PER_MS, 500 * NS_PER_MS);
    options->world.chunk_bytes = DRAW(&rng, 0, 1, 100, 1000);
}

/* Not a mixture but one thing: leaders that sleep and wake among answers to what they asked before, and many who read from them. */
static void draw_sleepers(struct rng *rng, struct sim_options *options)
{
    options->world.members = (uint32_t)DRAW(rng, 3, 5);
    options->world.delay_ns = DRAW(rng, 10 * NS_PER_MS, 40 * NS_PER_MS);
    options->world.break_permille = 0;
    options->world.window = 0;
    options->world.calls_max = 0;
    options->clients.members = options->world.members;
    options->clients.clients = 12;
    options->clients.think_ns = 5 * NS_PER_MS;
    options->clients.sticks = true;
    options->run_ns = 15 * NS_PER_S;
    memset(options->per_minute, 0, sizeof(options->per_minute));
    options->per_minute[SIM_PAUSE] = (uint32_t)DRAW(rng, 60, 200);
    options->per_minute[SIM_CUT] = (uint32_t)DRAW(rng, 0, 20);
}

/* One thing again: members as alike as can be, whose leader goes away together with all chance in the network. */
static void draw_alike(struct rng *rng, struct sim_options *options)
{
    options->world.drift_permille = options->world.switch_percent = options->world.break_permille = 0;
    options->world.repeat_permille = 0;
    options->world.late_disks = false;
    options->world.even_delays = true;
    options->world.election_ms = options->world.heartbeat_ms * 10;
    options->world.delay_ns = options->world.election_ms * NS_PER_MS / DRAW(rng, 50, 100);
    options->run_ns = 5 * NS_PER_S;
    memset(options->per_minute, 0, sizeof(options->per_minute));
    options->per_minute[SIM_POWER_LOSS_OF_ALL] = 60;
    options->per_minute[SIM_KILL] = (uint32_t)DRAW(rng, 0, 60);
    options->starts_per_minute = 30;
}

/* From a stream of its own. */
static void draw_more(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xbf58476d1ce4e5b9) + 2);
    options->core_first = rng_below(&rng, 4) != 0;
    options->world.repeat_permille = (uint32_t)DRAW(&rng, 0, 0, 10, 100);
    options->world.late_chores = rng_below(&rng, 2) == 0;
    options->world.start_fault_permille = (uint32_t)DRAW(&rng, 0, 0, 100, 400);
    options->per_minute[SIM_STUCK_CHORES] = (uint32_t)DRAW(&rng, 0, 0, 0, 5, 20);
    uint64_t even_ns = options->world.election_ms * NS_PER_MS / 20;
    options->world.even_delays = options->world.delay_ns <= even_ns && rng_below(&rng, 4) == 0;
    if (rng_below(&rng, 20) == 0) draw_alike(&rng, options);
}

/* One thing once more: members that come back so late that the log they need is gone, and who lose power while they catch up. */
static void draw_laggards(struct rng *rng, struct sim_options *options)
{
    options->world.members = (uint32_t)DRAW(rng, 3, 3, 5);
    options->clients.members = options->world.members;
    options->world.snapshot_count = DRAW(rng, 5, 20);
    options->world.snapshot_catchup = 0;
    options->world.segment_entries = 10;
    options->world.calls_max = 0;
    options->run_ns = 15 * NS_PER_S;
    memset(options->per_minute, 0, sizeof(options->per_minute));
    options->per_minute[SIM_KILL] = (uint32_t)DRAW(rng, 20, 60);
    options->per_minute[SIM_POWER_LOSS] = (uint32_t)DRAW(rng, 20, 60);
    options->per_minute[SIM_PARTITION] = (uint32_t)DRAW(rng, 0, 20);
    options->per_minute[SIM_FLIP] = (uint32_t)DRAW(rng, 0, 20);
    options->starts_per_minute = (uint32_t)DRAW(rng, 20, 60);
}

/* From a stream of its own. */
static void draw_snapshots(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0x94d049bb133111eb) + 3);
    options->world.snapshot_count = DRAW(&rng, 0, 5, 20, 100, 300);
    options->world.snapshot_catchup = DRAW(&rng, 0, 0, 5, 50);
    if (options->world.snapshot_count != 0) options->world.segment_entries = DRAW(&rng, 0, 10, 40, 40, 150);
    if (rng_below(&rng, 8) == 0) draw_laggards(&rng, options);
    options->saves_per_minute = (uint32_t)DRAW(&rng, 0, 0, 20, 200);
    options->world.snap_fault_permille = (uint32_t)DRAW(&rng, 0, 0, 0, 5, 50, 200);
    if (options->world.snapshot_count != 0) options->per_minute[SIM_LOSE_SNAPSHOTS] = (uint32_t)DRAW(&rng, 0, 0, 2, 10);
}

/* From a stream of its own. */
static void draw_watches(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xda942042e4dd58b5) + 7);
    if (rng_below(&rng, 2) == 0) return;
    options->world.watch_streams = (uint32_t)DRAW(&rng, 1, 2, 4, 8);
    options->lists_per_minute = (uint32_t)DRAW(&rng, 0, 60, 300);
    options->histories_per_minute = (uint32_t)DRAW(&rng, 0, 60, 600);
    options->world.watch_hold_bytes = DRAW(&rng, 0, 1, 500, 20000);
    options->world.watch_progress_ms = DRAW(&rng, 100, 500, 2000);
    options->watch_slow_percent = (uint32_t)DRAW(&rng, 0, 20, 70);
    options->watch_slow_ns = DRAW(&rng, 20 * NS_PER_MS, 200 * NS_PER_MS, 2 * NS_PER_S);
    options->watch_think_ns = DRAW(&rng, 20 * NS_PER_MS, 200 * NS_PER_MS, NS_PER_S);
}

/* From a stream of its own. */
static void draw_leases(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xf1357aea2e62a9c5) + 9);
    if (rng_below(&rng, 2) == 0) return;
    options->clients.lease_percent = (uint32_t)DRAW(&rng, 5, 20, 50);
    options->clients.lease_ids = (uint32_t)DRAW(&rng, 1, 3, 12);
}

/* One thing once more: leases that end all the time while their leaders sleep or hand over, and those that apply are slow to hear of it. */
static void draw_lease_sleepers(struct rng *rng, struct sim_options *options)
{
    options->world.members = options->clients.members = (uint32_t)DRAW(rng, 3, 3, 5);
    options->world.break_permille = 0;
    options->world.switch_percent = (uint32_t)DRAW(rng, 2, 10, 30);
    options->world.apply_bytes = DRAW(rng, 0, 1, 1);
    options->world.calls_max = 0;
    options->clients.clients = (uint32_t)DRAW(rng, 8, 12);
    options->clients.think_ns = DRAW(rng, NS_PER_MS, 20 * NS_PER_MS);
    options->clients.lease_percent = 50;
    options->clients.lease_ids = 12;
    options->clients.hunt_percent = 0;
    options->world.renew_streams = (uint32_t)DRAW(rng, 0, 1, 2);
    options->world.nap_permille = (uint32_t)DRAW(rng, 50, 100, 200);
    options->buggify = true;
    options->run_ns = 15 * NS_PER_S;
    memset(options->per_minute, 0, sizeof(options->per_minute));
    options->per_minute[SIM_PAUSE] = (uint32_t)DRAW(rng, 20, 60);
    options->per_minute[SIM_TRANSFER] = (uint32_t)DRAW(rng, 60, 200);
    options->per_minute[SIM_PARTITION] = (uint32_t)DRAW(rng, 0, 20);
}

/* From a stream of its own. */
static void draw_renewals(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xc2b2ae3d27d4eb4f) + 11);
    if (options->clients.lease_percent == 0) return;
    options->clients.hunt_percent = (uint32_t)DRAW(&rng, 0, 0, 30, 100);
    options->clients.ttl_percent = (uint32_t)DRAW(&rng, 0, 10, 50);
    options->world.lease_checkpoint_ms = DRAW(&rng, 0, 1000, 1000, 2000);
    options->world.nap_permille = (uint32_t)DRAW(&rng, 0, 0, 5, 30);
    options->world.renew_streams = (uint32_t)DRAW(&rng, 0, 1, 2, 4, 8);
    options->renew_think_ns = DRAW(&rng, 50 * NS_PER_MS, 300 * NS_PER_MS, 2 * NS_PER_S);
    if (rng_below(&rng, 5) == 0) draw_lease_sleepers(&rng, options);
}

/* From a stream of its own. A quota that some tens of puts reach, with the past that they leave. */
static void draw_quota(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xa0761d6478bd642f) + 13);
    if (rng_below(&rng, 5) != 0) return;
    uint64_t pair_bytes = 256 + 19 + options->clients.padding_max / 2;
    options->world.quota_bytes = pair_bytes * DRAW(&rng, 3, 30, 100) + pair_bytes * options->clients.keys;
    options->world.auto_disarm = rng_below(&rng, 2) == 0;
    options->alarms_per_minute = (uint32_t)DRAW(&rng, 30, 120, 600);
    options->clients.deletes = true;
    if (options->clients.compact_permille < 30) options->clients.compact_permille = 30;
}

/* From a stream of its own. */
static void draw_locks(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0x9e6c63d0876a9a47) + 13);
    if (options->clients.lease_percent == 0) return;
    options->clients.lock_clients = options->world.lock_clients = (uint32_t)DRAW(&rng, 0, 3, 4, 6);
    options->clients.lock_think_ns = DRAW(&rng, 30 * NS_PER_MS, 200 * NS_PER_MS, NS_PER_S);
}

/* From a stream of its own. */
static void draw_hashes(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xa54ff53a5f1d36f1) + 17);
    options->hashes_per_minute = (uint32_t)DRAW(&rng, 0, 60, 600);
}

/* From a stream of its own. */
static void draw_removals(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xbb67ae8584caa73b) + 15);
    if (options->world.snapshot_count != 0) options->world.unlink_fault_permille = (uint32_t)DRAW(&rng, 0, 0, 100, 500, 1000);
}

/* From a stream of its own. */
static void draw_dooms(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0x9b05688c2b3e6c1f) + 19);
    if (options->world.snapshot_count != 0) options->world.name_doom_permille = (uint32_t)DRAW(&rng, 0, 0, 0, 20, 200);
}

/* One thing once more: logs whose files are used again all the time, on disks that are slow and lose power, and that are damaged. */
static void draw_recyclers(struct rng *rng, struct sim_options *options)
{
    options->world.members = options->clients.members = (uint32_t)DRAW(rng, 3, 3, 5);
    options->world.snapshot_count = DRAW(rng, 2, 2, 5);
    options->world.snapshot_catchup = 0;
    options->world.segment_entries = DRAW(rng, 10, 10, 20);
    options->world.calls_max = 0;
    options->world.probe_percent = 5;
    options->world.late_disks = true;
    options->world.late_chores = rng_below(rng, 2) == 0;
    options->world.start_fault_permille = (uint32_t)DRAW(rng, 0, 0, 200);
    options->world.snap_fault_permille = options->world.unlink_fault_permille = 0;
    options->clients.clients = (uint32_t)DRAW(rng, 4, 8);
    options->clients.think_ns = DRAW(rng, 5 * NS_PER_MS, 20 * NS_PER_MS);
    options->world.start_cut_permille = (uint32_t)DRAW(rng, 0, 200);
    options->run_ns = 15 * NS_PER_S;
    memset(options->per_minute, 0, sizeof(options->per_minute));
    options->per_minute[SIM_POWER_LOSS] = (uint32_t)DRAW(rng, 20, 60);
    options->per_minute[SIM_SLOW_DISK] = (uint32_t)DRAW(rng, 20, 60);
    options->per_minute[SIM_PARTITION] = (uint32_t)DRAW(rng, 0, 0, 20);
    options->per_minute[SIM_FLIP] = (uint32_t)DRAW(rng, 0, 0, 20);
    options->per_minute[SIM_LOSE_SNAPSHOTS] = (uint32_t)DRAW(rng, 0, 0, 60);
    options->starts_per_minute = 300;
}

/* One thing once more: members whose log was damaged where it was written last, and that lose power again while they start on it. */
static void draw_menders(struct rng *rng, struct sim_options *options)
{
    options->world.members = options->clients.members = (uint32_t)DRAW(rng, 3, 3, 5);
    options->world.segment_entries = DRAW(rng, 3, 4, 5);
    options->world.calls_max = 0;
    options->world.start_fault_permille = (uint32_t)DRAW(rng, 0, 0, 100);
    options->world.start_cut_permille = (uint32_t)DRAW(rng, 500, 700);
    options->world.flip_end_percent = (uint32_t)DRAW(rng, 90, 100);
    options->clients.clients = (uint32_t)DRAW(rng, 2, 4, 8);
    options->run_ns = 15 * NS_PER_S;
    memset(options->per_minute, 0, sizeof(options->per_minute));
    options->per_minute[SIM_FLIP] = 120;
    options->per_minute[SIM_POWER_LOSS] = (uint32_t)DRAW(rng, 0, 20);
    options->starts_per_minute = 600;
}

/* From a stream of its own. */
static void draw_damage(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0x3c6ef372fe94f82b) + 19);
    uint64_t kind = rng_below(&rng, 24);
    if (kind < 2) draw_recyclers(&rng, options);
    else if (kind < 4) draw_menders(&rng, options);
    if (rng_below(&rng, 6) == 0) options->per_minute[SIM_LOSE_LOG] = (uint32_t)DRAW(&rng, 2, 10);
}

/* From a stream of its own: worlds are too small for the product's bound. */
static void draw_own_disk(uint64_t seed, struct sim_options *options)
{
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0xa54ff53a5f1d36f1) + 21);
    options->world.own_wait_entries = DRAW(&rng, 0, 1, 2, 4);
}

void sim_options_draw(uint64_t seed, struct sim_options *out_options)
{
    struct sim_options options = {.world = {.seed = seed}};
    struct rng rng;
    rng_init(&rng, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
    draw_world(&rng, &options.world);
    options.clients = (struct sim_clients_options){
        .seed = seed + 1, .members = options.world.members, .clients = (uint32_t)DRAW(&rng, 2, 4, 8, 12),
        .keys = (uint32_t)DRAW(&rng, 2, 8, SIM_BYTES_PLACES), .padding_max = (uint32_t)DRAW(&rng, 0, 64, 3000, 40000),
        .ops_max = 1800,
        .think_ns = DRAW(&rng, NS_PER_MS, 20 * NS_PER_MS, 50 * NS_PER_MS, 200 * NS_PER_MS), .patience_ns = DRAW(&rng, 500 * NS_PER_MS, 10 * NS_PER_S),
        .compact_permille = (uint32_t)DRAW(&rng, 0, 5, 30), .sticks = rng_below(&rng, 2) == 0};
    /* A value may not be larger than what can ever be proposed. */
    if (options.world.uncommitted_bytes != 0 && options.clients.padding_max > 64) options.clients.padding_max = 64;
    if (options.world.tail_bytes != 0 && options.clients.padding_max > 3000) options.clients.padding_max = 3000;
    options.run_ns = DRAW(&rng, 5, 15, 40) * NS_PER_S;
    options.lag_ns = DRAW(&rng, 3 * NS_PER_MS, 20 * NS_PER_MS);
    for (int i = 0; i < SIM_STUCK_CHORES; i++) {
        if (rng_below(&rng, 2) == 0) options.per_minute[i] = (uint32_t)DRAW(&rng, 5, 20, 60);
    }
    options.heals_per_minute = (uint32_t)DRAW(&rng, 30, 120);
    options.starts_per_minute = (uint32_t)DRAW(&rng, 60, 300);
    options.buggify = rng_below(&rng, 2) == 0;
    if (rng_below(&rng, 10) == 0) draw_sleepers(&rng, &options);
    draw_state(seed, &options);
    draw_more(seed, &options);
    draw_snapshots(seed, &options);
    draw_watches(seed, &options);
    draw_leases(seed, &options);
    draw_renewals(seed, &options);
    draw_quota(seed, &options);
    draw_locks(seed, &options);
    draw_removals(seed, &options);
    draw_hashes(seed, &options);
    draw_dooms(seed, &options);
    draw_damage(seed, &options);
    draw_own_disk(seed, &options);
    *out_options = options;
}
