/* explore: the program; see explore.h for what it does and which rules it checks.
 *
 *   explore [--seconds 30]                 the plan: scopes that ask different questions, each its share of the time
 *   explore --nodes 3 --terms 2 ...        one scope
 *
 * Exit code: 0 all rules hold, 1 a rule is broken (the shortest way to it is printed), 2 the command line is wrong.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/flags.h"
#include "sim/explore_plan.h"

static void print_result(const char *name, const struct explore_result *result)
{
    printf("%s: %" PRIu64 " states, depth %u, %s, %.1f s, %.0f states/s; %" PRIu64 " steps, %" PRIu64 " node states, %" PRIu64
           " runs of the core",
           name, result->states, result->depth, result->is_exhausted ? "exhausted" : "not exhausted", result->seconds,
           (double)result->states / (result->seconds > 0 ? result->seconds : 1), result->steps, result->node_states,
           result->core_runs);
    if (result->left_out > 0) printf(", %" PRIu64 " not gone on from", result->left_out);
    printf("\n   ");
    for (uint32_t i = 0; i < EXPLORE_CHOICES && explore_choice_text(i) != NULL; i++) {
        printf(" %s %" PRIu64, explore_choice_text(i), result->by_choice[i]);
    }
    printf("\n");
    (void)fflush(stdout);
}

static int run_plan(const struct explore_limits *limits)
{
    uint64_t states = 0;
    double seconds = 0;
    double shares = 0;
    for (uint32_t i = 0; i < explore_plan_count; i++) shares += explore_plan[i].share;
    for (uint32_t i = 0; i < explore_plan_count; i++) {
        const struct explore_plan *plan = &explore_plan[i];
        struct explore_limits own = *limits;
        own.seconds = (limits->seconds - seconds) * plan->share / shares; /* what one leaves, the next ones have */
        if (own.width == 0) own.width = plan->width;
        shares -= plan->share;
        struct explore_result result = explore_run(&plan->scope, &own);
        print_result(plan->name, &result);
        if (result.rule != EXPLORE_HOLDS) return 1;
        states += result.states;
        seconds += result.seconds;
    }
    printf("%" PRIu64 " states in %.1f s, %.0f states/s, %u scopes, 0 violations\n", states, seconds, (double)states / seconds,
           explore_plan_count);
    return 0;
}

static int run_one(const struct explore_scope *scope, const struct explore_limits *limits)
{
    struct explore_result result = explore_run(scope, limits);
    print_result("scope", &result);
    if (result.rule == EXPLORE_HOLDS) printf("%" PRIu64 " states, 0 violations\n", result.states);
    return result.rule == EXPLORE_HOLDS ? 0 : 1;
}

struct options { /* as the flags' table wants them */
    uint64_t seconds, nodes, voters, terms, proposals, confs, crashes, duplicates, beats, ages, reads, snapshots, installs, flight, appends, batch;
    uint64_t states, memory_mib, width, seed;
    bool pre_vote, check_quorum, asymmetric, disk_lies, help;
};

static struct explore_scope scope_of(const struct options *o)
{
    return (struct explore_scope){
        .nodes = (uint32_t)o->nodes, .voters = (uint32_t)(o->voters == 0 ? o->nodes : o->voters), .terms = (uint32_t)o->terms,
        .proposals = (uint32_t)o->proposals, .confs = (uint32_t)o->confs, .crashes = (uint32_t)o->crashes,
        .duplicates = (uint32_t)o->duplicates, .beats = (uint32_t)o->beats, .ages = (uint32_t)o->ages,
        .reads = (uint32_t)o->reads,
        .snapshots = (uint32_t)o->snapshots, .installs = (uint32_t)o->installs, .flight = (uint32_t)o->flight, .appends = (uint32_t)o->appends,
        .batch = (uint32_t)o->batch, .pre_vote = o->pre_vote, .check_quorum = o->check_quorum,
        .is_asymmetric = o->asymmetric, .disk_lies = o->disk_lies,
    };
}

static bool is_within(const struct options *o)
{
    if (o->nodes < 1 || o->nodes > 3 || o->voters > o->nodes || o->terms < 1 || o->terms > 6) return false;
    if (o->flight < 4 || o->flight > 8 || o->appends > 4 || o->proposals > 6 || o->confs > 2 || o->reads > 1) return false;
    if (o->confs > 0 && o->appends == 0) return false;
    if (o->snapshots > 9 || o->installs > 9 || (o->disk_lies && o->snapshots + o->installs > 0)) return false;
    return o->crashes <= 9 && o->duplicates <= 9 && o->beats <= 9 && o->ages <= 9 && o->batch >= 1;
}

int main(int argc, char **argv)
{
    struct options o = {.seconds = 30, .terms = 3, .proposals = 1, .crashes = 1, .duplicates = 1, .beats = 1, .ages = 1,
                        .flight = 5, .appends = 2, .batch = 8, .memory_mib = 4096};
#define NUMBER(flag_name, field, text) {.name = flag_name, .kind = FLAG_U64, .target = &o.field, .value_name = "N", .help = text, .group = "flags"}
#define SWITCH(flag_name, field, text) {.name = flag_name, .kind = FLAG_BOOL, .target = &o.field, .help = text, .group = "flags"}
    struct flag flags[] = {
        NUMBER("seconds", seconds, "at most so long"),
        NUMBER("states", states, "at most so many; 0 = what fits into the memory"),
        NUMBER("memory", memory_mib, "MiB for states"),
        NUMBER("width", width, "go on from so many states of a depth, drawn by the seed; 0 = from all"),
        NUMBER("seed", seed, "the order in which states of a depth are gone on from; 0 = as found"),
        NUMBER("nodes", nodes, "1 to 3: this scope and not the plan"),
        NUMBER("voters", voters, "the others begin as learners; 0 = all"),
        NUMBER("terms", terms, "the highest term"),
        NUMBER("proposals", proposals, "commands"),
        NUMBER("confs", confs, "changes of the configuration"),
        NUMBER("crashes", crashes, "each with a restart"),
        NUMBER("duplicates", duplicates, "messages that arrive twice"),
        NUMBER("heartbeats", beats, "that a leader's timer starts"),
        NUMBER("ages", ages, "election timeouts without news (with --check-quorum)"),
        NUMBER("reads", reads, "0 or 1"),
        NUMBER("snapshots", snapshots, "taken, the log behind let go"),
        NUMBER("installs", installs, "of another one's snapshot, newer or older (not with --disk-lies)"),
        NUMBER("flight", flight, "messages in flight at once, 4 to 8"),
        NUMBER("appends", appends, "on their way to a disk at once; 0 = the disk is done at once (not with --confs)"),
        NUMBER("batch", batch, "1 = one entry in a message"),
        SWITCH("pre-vote", pre_vote, "ask before a campaign"),
        SWITCH("check-quorum", check_quorum, "a leader that hears nobody gives up; who hears one refuses others"),
        SWITCH("asymmetric", asymmetric, "keep states that differ in names only"),
        SWITCH("disk-lies", disk_lies, "plant a fault: the last append that was reported done is lost in a crash"),
        SWITCH("help", help, "this"),
    };
    const char *arguments[64];
    struct flags_result parsed = {.arguments = arguments};
    const struct flags_options how = {.environment_prefix = NULL};
    int flag_count = (int)(sizeof flags / sizeof flags[0]);
    if (argc > 64 || !flags_parse(flags, flag_count, argc, argv, &how, &parsed) || parsed.arguments_count > 0) {
        fprintf(stderr, "explore: %s\n", parsed.error[0] == 0 ? "no words are expected" : parsed.error);
        return 2;
    }
    if (o.help) {
        flags_print_help(flags, flag_count);
        return 0;
    }
    struct explore_limits limits = {.seconds = (double)o.seconds, .states = o.states, .memory = o.memory_mib << 20, .width = o.width, .seed = o.seed};
    if (o.nodes == 0) return run_plan(&limits);
    if (!is_within(&o)) {
        fprintf(stderr, "explore: out of range (--help)\n");
        return 2;
    }
    struct explore_scope scope = scope_of(&o);
    return run_one(&scope, &limits);
}
