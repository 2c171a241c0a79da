/* test_raft_random: clusters under loss, duplication, reordering, partitions, clocks that drift, slow disks and crashes
 * that lose what was not durable. The watcher of raft_cluster checks safety at every step. Then comes liveness: first a
 * random majority is healed among itself while all other faults stay for ever, and somebody must lead and commit; then
 * everything is healed, and the cluster must elect, commit, answer reads and converge.
 *
 * In the environment: RAFT_RANDOM_SEEDS runs more seeds, RAFT_RANDOM_SEED begins at that one, RAFT_RANDOM_STATS=1 tells
 * what happened; KVD_TEST_LONG=1 runs twenty times the seeds.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lib/raft_cluster.h"

enum { STEPS = 10000, SEEDS = 60, LONG_FACTOR = 20 };

struct world {
    struct raft_cluster *cluster;
    struct rng rng;
    uint64_t seed;
    bool has_conf_changes;
    bool has_snapshots; /* logs are compacted as far as snapshots reach, whoever still needs them */
    bool has_damage; /* one node at a time may find the end of its log unreadable */
    uint64_t hanging; /* the node whose disk completes nothing; RAFT_NONE */
    uint64_t proposed;
    uint64_t asked; /* reads */
    uint64_t crashes;
    uint64_t cuts;
    uint64_t compactions;
};

static bool chance(struct world *world, uint64_t percent) { return rng_below(&world->rng, 100) < percent; }

static uint64_t any_node(struct world *world) { return 1 + rng_below(&world->rng, world->cluster->node_count); }

static void move_network(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    if (cluster->network_count == 0) return;
    size_t place = chance(world, 70) ? 0 : (size_t)rng_below(&world->rng, cluster->network_count); /* reorder */
    const struct raft_msg *msg = &cluster->network[place].msg;
    if (cluster->is_cut[msg->from][msg->to] || chance(world, 5)) {
        raft_cluster_drop(cluster, msg->from, msg->to);
    } else {
        raft_cluster_deliver_at(cluster, place, chance(world, 5));
    }
}

static uint64_t any_leader(struct world *world) /* that believes to be one */
{
    uint64_t start = any_node(world);
    for (uint64_t i = 0; i < world->cluster->node_count; i++) {
        uint64_t id = 1 + (start + i) % world->cluster->node_count;
        if (raft_cluster_status(world->cluster, id).role == RAFT_LEADER) return id;
    }
    return RAFT_NONE;
}

static void cut_or_heal(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    world->cuts++;
    if (chance(world, 30)) world->hanging = chance(world, 50) ? any_node(world) : RAFT_NONE;
    if (chance(world, 45)) {
        raft_cluster_heal(cluster);
    } else if (chance(world, 50)) {
        uint64_t leader = chance(world, 50) ? any_leader(world) : RAFT_NONE;
        raft_cluster_isolate(cluster, leader != RAFT_NONE ? leader : any_node(world));
    } else {
        cluster->is_cut[any_node(world)][any_node(world)] = true; /* one way */
    }
}

static bool someone_is_suspect(struct world *world)
{
    for (uint64_t id = 1; id <= world->cluster->node_count; id++) {
        if (raft_cluster_node(world->cluster, id)->suspect_index > 0) return true;
    }
    return false;
}

static void crash_or_restart(struct world *world)
{
    uint64_t id = any_node(world);
    struct raft_cluster_node *node = raft_cluster_node(world->cluster, id);
    if (node->raft != NULL) {
        if (!chance(world, 30)) return; /* nodes come back sooner than they go */
        world->crashes++;
        raft_cluster_crash(world->cluster, id, (size_t)rng_below(&world->rng, 4));
        bool may_damage = world->has_damage && node->entry_count > 0 && !someone_is_suspect(world);
        if (may_damage && chance(world, 30)) {
            size_t held = node->entry_count - (size_t)node->base_index;
            if (held == 0) return;
            size_t lost = 1 + (size_t)rng_below(&world->rng, held < 4 ? held : 4);
            raft_cluster_damage(world->cluster, id, node->entry_count - lost);
        }
    } else {
        uint64_t applied = chance(world, 50) ? 0 : rng_below(&world->rng, node->hard.commit + 1);
        raft_cluster_restart_from(world->cluster, id, applied);
    }
}

/* One voter more or less. */
static struct raft_conf conf_beside(struct world *world, const struct raft_conf *now)
{
    struct raft_conf next = {.voter_count = 0};
    uint64_t changed = any_node(world);
    for (uint64_t id = 1; id <= world->cluster->node_count; id++) {
        if (raft_is_voter(now, id) != (id == changed)) next.voters[next.voter_count++] = id;
    }
    return next;
}

/* Any other, jointly. */
static struct raft_conf conf_beyond(struct world *world, const struct raft_conf *now)
{
    struct raft_conf next = {.outgoing_count = now->voter_count};
    for (uint32_t i = 0; i < now->voter_count; i++) next.outgoing[i] = now->voters[i];
    for (uint64_t id = 1; id <= world->cluster->node_count; id++) {
        bool is_voter = chance(world, 75);
        if (is_voter) next.voters[next.voter_count++] = id;
        if (!is_voter && chance(world, 60)) next.learners[next.learner_count++] = id;
    }
    return next;
}

static void change_conf(struct world *world)
{
    uint64_t leader = any_leader(world);
    if (leader == RAFT_NONE) return;
    const struct raft_conf *now = raft_conf(raft_cluster_node(world->cluster, leader)->raft);
    struct raft_conf next = chance(world, 50) ? conf_beside(world, now) : conf_beyond(world, now);
    /* A single voter whose log is damaged has nobody to ask: it is not a suspect (raft_new). */
    if (next.voter_count < (world->has_damage ? 2 : 1)) return;
    (void)raft_cluster_propose_conf(world->cluster, leader, &next);
}

static void ask(struct world *world)
{
    char text[32];
    uint64_t id = chance(world, 60) ? raft_cluster_leader(world->cluster) : any_leader(world);
    if (chance(world, 10)) id = any_node(world);
    if (id == RAFT_NONE) return;
    if (chance(world, 30)) {
        (void)raft_cluster_read(world->cluster, id, ++world->asked);
        return;
    }
    snprintf(text, sizeof text, "%lu", (unsigned long)++world->proposed);
    (void)raft_cluster_propose(world->cluster, id, text);
}

static void hint(struct world *world)
{
    static const enum raft_input_kind KINDS[] = {RAFT_IN_TRANSFER, RAFT_IN_UNREACHABLE, RAFT_IN_PEER_DIED};
    (void)raft_cluster_input(world->cluster, any_node(world), KINDS[rng_below(&world->rng, 3)], any_node(world));
    if (chance(world, 20)) (void)raft_cluster_input(world->cluster, any_node(world), RAFT_IN_NO_SPACE, chance(world, 30));
}

/* Up to where every disk knows that it is committed: nobody will ever need a snapshot. Disks that may be damaged know
 * nothing. */
static void compact(struct world *world)
{
    struct raft_cluster_node *node = raft_cluster_node(world->cluster, any_node(world));
    if (node->raft == NULL || world->has_damage) return;
    uint64_t index = node->applied_index;
    for (uint64_t id = 1; id <= world->cluster->node_count; id++) {
        uint64_t commit = raft_cluster_node(world->cluster, id)->hard.commit;
        if (commit < index) index = commit;
    }
    raft_compact(node->raft, index);
    world->compactions++;
}

/* Any snapshot that the node could have fetched once: older than its state, for the second time, after a newer one. */
static void install_any(struct world *world, struct raft_cluster_node *node)
{
    struct raft_cluster *cluster = world->cluster;
    if (cluster->snapshot_count == 0) return;
    size_t place = (size_t)rng_below(&world->rng, cluster->snapshot_count);
    if (cluster->snapshots[place].term <= node->hard.term) (void)raft_cluster_install_at(cluster, node->id, place);
}

static void move_snapshot(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    struct raft_cluster_node *node = raft_cluster_node(cluster, any_node(world));
    uint64_t dice = rng_below(&world->rng, 100);
    if (node->raft == NULL) return;
    if (dice < 15) {
        (void)raft_cluster_take_snapshot(cluster, node->id);
    } else if (dice < 35 && node->snapshot > 0) {
        uint64_t index = cluster->snapshots[node->snapshot - 1].index;
        if (index > node->applied_index) index = node->applied_index; /* received, not installed yet */
        raft_cluster_compact(cluster, node->id, chance(world, 60) ? index : rng_below(&world->rng, index + 1));
        world->compactions++;
    } else if (dice < 60) {
        (void)raft_cluster_receive(cluster, node->id, chance(world, 75));
    } else if (dice < 85) {
        (void)raft_cluster_install(cluster, node->id);
    } else if (dice < 92) {
        install_any(world, node);
    } else if (node->applied_index > 0) {
        struct raft_input late = {.kind = RAFT_IN_APPLIED, .index = 1 + rng_below(&world->rng, node->applied_index)};
        (void)raft_cluster_step(cluster, node->id, &late);
    }
}

/* Most of the time all clocks move alike, sometimes one runs ahead. */
static void pass_time(struct world *world)
{
    uint64_t ns = rng_below(&world->rng, RAFT_CLUSTER_HEARTBEAT_NS);
    uint64_t id = any_node(world);
    if (chance(world, 95)) {
        raft_cluster_advance(world->cluster, ns);
    } else if (raft_cluster_node(world->cluster, id)->raft != NULL) {
        raft_cluster_tick(world->cluster, id, ns * 3);
    }
}

static void step(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    if (world->has_snapshots && chance(world, 8)) {
        move_snapshot(world);
        return;
    }
    uint64_t id = any_node(world);
    uint64_t dice = rng_below(&world->rng, 1000);
    if (dice < 430) {
        move_network(world);
    } else if (dice < 680) {
        (void)raft_cluster_take(cluster, id);
    } else if (dice < 780) {
        if (id != world->hanging) (void)raft_cluster_persist(cluster, id, 1 + (size_t)rng_below(&world->rng, 3));
    } else if (dice < 820) {
        (void)raft_cluster_apply(cluster, id);
    } else if (dice < 845) {
        (void)raft_cluster_fetch(cluster, id, chance(world, 80));
    } else if (dice < 905) {
        pass_time(world);
    } else if (dice < 978) {
        ask(world);
    } else if (dice < 985) {
        compact(world);
    } else if (dice < 987) {
        cut_or_heal(world);
    } else if (dice < 990) {
        hint(world);
    } else if (dice < 995) {
        if (world->has_conf_changes) change_conf(world);
    } else {
        crash_or_restart(world);
    }
}

/* The rest keeps its faults for ever: crashed, cut off in either or both directions, but for the links of the majority.
 * Full disks are not among them: who hears the leader and cannot write lets it live, so that reads go on, though it may
 * never commit. */
static void heal_majority(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    bool is_core[RAFT_CLUSTER_NODES_MAX + 1] = {false};
    uint32_t wanted = cluster->node_count / 2 + 1;
    while (wanted > 0) {
        uint64_t id = any_node(world);
        if (is_core[id]) continue;
        is_core[id] = true;
        wanted--;
        if (raft_cluster_node(cluster, id)->raft == NULL) raft_cluster_restart(cluster, id);
    }
    for (uint64_t id = 1; id <= cluster->node_count; id++) (void)raft_cluster_input(cluster, id, RAFT_IN_NO_SPACE, 0);
    for (uint64_t from = 1; from <= cluster->node_count; from++) {
        for (uint64_t to = 1; to <= cluster->node_count; to++) {
            cluster->is_cut[from][to] = !(is_core[from] && is_core[to]) && chance(world, 50);
        }
    }
}

/* V1, V2: within 30 election timeouts somebody leads who commits what is proposed now, whatever the members outside do. */
static bool majority_commits(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    uint64_t before = cluster->commit_index;
    for (uint32_t round = 0; round < 300; round++) {
        raft_cluster_advance(cluster, RAFT_CLUSTER_ELECTION_NS / 10);
        raft_cluster_stabilize(cluster);
        for (uint64_t id = 1; id <= cluster->node_count; id++) {
            if (raft_cluster_status(cluster, id).role == RAFT_LEADER) (void)raft_cluster_propose(cluster, id, "core");
        }
        raft_cluster_stabilize(cluster);
        if (cluster->commit_index > before + 2) return true; /* more than what was on its way */
    }
    return false;
}

static void heal_all(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    raft_cluster_heal(cluster);
    for (uint64_t id = 1; id <= cluster->node_count; id++) {
        if (raft_cluster_node(cluster, id)->raft == NULL) raft_cluster_restart(cluster, id);
        (void)raft_cluster_input(cluster, id, RAFT_IN_NO_SPACE, 0);
    }
}

static void tell(struct world *world, const char *what)
{
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "no progress after healing %s, seed %lu\n", what, (unsigned long)world->seed);
    for (uint64_t id = 1; id <= world->cluster->node_count; id++) {
        if (raft_cluster_node(world->cluster, id)->raft == NULL) continue;
        raft_describe_status(raft_cluster_node(world->cluster, id)->raft, &text);
        buf_printf(&text, "\n");
    }
    fprintf(stderr, "%.*s", (int)text.size, (const char *)buf_slice(&text).data);
    buf_deinit(&text);
}

/* A tenth of an election timeout at a time, until there is a leader that takes a proposal and a read, and all have it all. */
static void expect_liveness(struct world *world)
{
    struct raft_cluster *cluster = world->cluster;
    raft_cluster_stabilize(cluster);
    bool has_committed = false;
    uint64_t wanted = 0;
    for (uint32_t round = 0; round < 300 && !has_committed; round++) { /* 30 election timeouts at most */
        raft_cluster_advance(cluster, RAFT_CLUSTER_ELECTION_NS / 10);
        raft_cluster_stabilize(cluster);
        uint64_t leader = raft_cluster_leader(cluster);
        if (leader == RAFT_NONE) continue;
        struct raft_status status = raft_cluster_status(cluster, leader);
        if (wanted == 0) {
            uint64_t before = raft_cluster_node(cluster, leader)->reads_done;
            if (raft_cluster_propose(cluster, leader, "last") != RAFT_OK) continue;
            if (raft_cluster_read(cluster, leader, ++world->asked) != RAFT_OK) continue;
            raft_cluster_stabilize(cluster);
            if (raft_cluster_node(cluster, leader)->reads_done <= before) continue;
            wanted = raft_cluster_status(cluster, leader).last_index;
            continue;
        }
        has_committed = status.commit_index >= wanted;
        const struct raft_conf *conf = raft_conf(raft_cluster_node(cluster, leader)->raft);
        for (uint32_t i = 0; i < conf->voter_count; i++) {
            has_committed = has_committed && raft_cluster_node(cluster, conf->voters[i])->applied_index >= wanted;
        }
    }
    if (!has_committed) tell(world, "all");
    ck_assert(has_committed);
}

static struct raft_options random_options(struct world *world)
{
    struct raft_options options = raft_cluster_options();
    options.seed = world->seed;
    options.pre_vote = !chance(world, 25);
    options.check_quorum = !chance(world, 25);
    options.inflight_messages_max = 1 + (uint32_t)rng_below(&world->rng, 8);
    options.inflight_partial_max = (uint32_t)rng_below(&world->rng, 3);
    options.own_wait_entries_min = (uint32_t)rng_below(&world->rng, 4);
    options.message_bytes_max = 40 + (size_t)rng_below(&world->rng, 400);
    options.inflight_bytes_max = options.message_bytes_max + (size_t)rng_below(&world->rng, 1000);
    options.tail_bytes_max = 300 + (size_t)rng_below(&world->rng, 3000);
    options.uncommitted_bytes_max = options.tail_bytes_max / (1 + rng_below(&world->rng, 2));
    options.apply_bytes_max = 50 + (size_t)rng_below(&world->rng, 500);
    return options;
}

static void say_stats(const struct world *world)
{
    uint64_t reads = 0, installs = 0;
    for (uint32_t i = 0; i < world->cluster->node_count; i++) reads += world->cluster->nodes[i].reads_done;
    for (uint32_t i = 0; i < world->cluster->node_count; i++) installs += world->cluster->nodes[i].installs;
    fprintf(stderr, "seed %lu nodes %u: committed %lu proposed %lu reads %lu of %lu crashes %lu cuts %lu compactions %lu snapshots %lu "
            "installs %lu\n",
            (unsigned long)world->seed, world->cluster->node_count, (unsigned long)world->cluster->commit_index,
            (unsigned long)world->proposed, (unsigned long)reads, (unsigned long)world->asked, (unsigned long)world->crashes,
            (unsigned long)world->cuts, (unsigned long)world->compactions,
            (unsigned long)world->cluster->snapshot_count, (unsigned long)installs);
}

static void run_world(struct world world, uint32_t count)
{
    bool has_conf_changes = world.has_conf_changes, has_damage = world.has_damage;
    uint64_t seed = world.seed;
    rng_init(&world.rng, seed);
    struct raft_options options = random_options(&world);
    world.cluster = raft_cluster_of(count, &options);
    for (uint32_t i = 0; i < STEPS; i++) step(&world);
    /* Only both together promise it, and a majority of all says nothing of other configurations or of lost entries. */
    bool is_promised = options.pre_vote && options.check_quorum && !has_conf_changes && !has_damage;
    if (is_promised) {
        heal_majority(&world);
        bool is_live = majority_commits(&world);
        if (!is_live) tell(&world, "a majority");
        ck_assert(is_live);
    }
    heal_all(&world);
    expect_liveness(&world);
    if (getenv("RAFT_RANDOM_STATS") != NULL) say_stats(&world);
    raft_cluster_free(world.cluster);
}

static void run(uint64_t seed, uint32_t count, bool has_conf_changes, bool has_damage)
{
    run_world((struct world){.seed = seed, .has_conf_changes = has_conf_changes, .has_damage = has_damage}, count);
}

static void run_with_snapshots(uint64_t seed, uint32_t count, bool has_conf_changes, bool has_damage)
{
    run_world((struct world){.seed = seed, .has_conf_changes = has_conf_changes, .has_damage = has_damage, .has_snapshots = true}, count);
}

static uint64_t seed_count(void)
{
    const char *text = getenv("RAFT_RANDOM_SEEDS");
    if (text != NULL) return strtoull(text, NULL, 10);
    return getenv("KVD_TEST_LONG") != NULL ? SEEDS * LONG_FACTOR : SEEDS;
}

static uint64_t first_seed(void)
{
    const char *text = getenv("RAFT_RANDOM_SEED");
    return text == NULL ? 1 : strtoull(text, NULL, 10);
}

START_TEST(test_raft_three_nodes_stay_safe_and_recover_under_random_faults)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run(seed, 3, false, false);
}
END_TEST

START_TEST(test_raft_five_nodes_stay_safe_and_recover_under_random_faults)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run(seed, 5, false, false);
}
END_TEST

START_TEST(test_raft_two_nodes_stay_safe_and_recover_under_random_faults)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count() / 4; seed++) run(seed, 2, false, false);
}
END_TEST

START_TEST(test_raft_changing_configurations_stay_safe_and_recover_under_random_faults)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run(seed, 5, true, false);
}
END_TEST

START_TEST(test_raft_damaged_logs_and_changing_configurations_together)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run(seed, 5, true, true);
}
END_TEST

START_TEST(test_raft_damaged_logs_lose_nothing_under_random_faults)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run(seed, 3, false, true);
}
END_TEST

START_TEST(test_raft_snapshots_in_place_of_logs_stay_safe_and_recover_under_random_faults)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run_with_snapshots(seed, 3, false, false);
}
END_TEST

START_TEST(test_raft_snapshots_and_changing_configurations_together)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run_with_snapshots(seed, 5, true, false);
}
END_TEST

START_TEST(test_raft_snapshots_and_damaged_logs_together)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + seed_count(); seed++) run_with_snapshots(seed, 3, false, true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft_random");
    TCase *tcase = tcase_create("random");
    tcase_set_timeout(tcase, 120 * LONG_FACTOR);
    tcase_add_test(tcase, test_raft_three_nodes_stay_safe_and_recover_under_random_faults);
    tcase_add_test(tcase, test_raft_five_nodes_stay_safe_and_recover_under_random_faults);
    tcase_add_test(tcase, test_raft_two_nodes_stay_safe_and_recover_under_random_faults);
    tcase_add_test(tcase, test_raft_changing_configurations_stay_safe_and_recover_under_random_faults);
    tcase_add_test(tcase, test_raft_damaged_logs_lose_nothing_under_random_faults);
    tcase_add_test(tcase, test_raft_damaged_logs_and_changing_configurations_together);
    tcase_add_test(tcase, test_raft_snapshots_in_place_of_logs_stay_safe_and_recover_under_random_faults);
    tcase_add_test(tcase, test_raft_snapshots_and_changing_configurations_together);
    tcase_add_test(tcase, test_raft_snapshots_and_damaged_logs_together);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
