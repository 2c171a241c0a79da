/* simulate: whole clusters under faults, seed by seed: does any history break a promise?
 *
 *   simulate --minutes 10 [--jobs 2]     fresh seeds; the first one is printed
 *   simulate --seeds 1..2000             these
 *   simulate --seed 17                   one: all its options, its trace hash; if it breaks: the invariant and the last 200 events
 *   simulate --seed 17 --set kill=0      the same with other options than the seed draws (names as printed)
 *   simulate --file test/sim/regressions/NAME   what a regression file names
 *   simulate --seed 17 --shrink [--minutes 1] [--output PATH]   if it breaks: the smallest run found that breaks the same, as a regression file
 *   simulate --seed 17 --history PATH    what its clients asked and got, as check_history reads it
 *   simulate --mutants [ID ...]          plants the bugs of base/mutant.h, one after the other: which seed, else which test program sees it?
 *                                        (simulator's build only: cmake --preset sim)
 * Exit: 0 nothing was broken, 1 something was, 2 it was not understood. Each event and each choice of a seed comes from the seed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/flags.h"
#include "base/mutant.h"
#include "lib/sim_fleet.h"
#include "lib/sim_report.h"
#include "lib/sim_shrink.h"
#include "sim/simulate_mutants.h"

#define EVENTS_SHOWN 200

/* jemalloc, where it is linked: worlds come and go, their memory stays for a while. With thp:always it zeroes memory by writing, not by giving it back
 * to the kernel and faulting it in again; the huge pages themselves are of no use here (main). */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:1,dirty_decay_ms:10000,muzzy_decay_ms:10000,thp:always";

static struct {
    uint64_t minutes, seconds, seed, jobs, failures, twice, seeds_max;
    const char *seeds, *set, *file, *mutant, *format, *output, *history;
    bool json, help, quiet, mutants, shrink;
} asked = {.seed = UINT64_MAX, .jobs = 2, .failures = 8, .twice = 1, .seeds_max = 2000, .format = "text"};

static struct flag flags[] = {
    {.name = "minutes", .kind = FLAG_U64, .target = &asked.minutes, .value_name = "<n>", .help = "fresh seeds for so long"},
    {.name = "seconds", .kind = FLAG_U64, .target = &asked.seconds, .value_name = "<n>", .help = "the same in seconds"},
    {.name = "seeds", .kind = FLAG_STRING, .target = &asked.seeds, .value_name = "<a..b>", .help = "these seeds, both included; for --seconds at most"},
    {.name = "seed", .kind = FLAG_U64, .target = &asked.seed, .value_name = "<n>", .help = "this seed, with all that is known of it"},
    {.name = "file", .kind = FLAG_STRING, .target = &asked.file, .value_name = "<path>", .help = "the seed and options of a regression file"},
    {.name = "set", .kind = FLAG_STRING, .target = &asked.set, .value_name = "<name=value,...>", .help = "in place of what a seed draws"},
    {.name = "jobs", .kind = FLAG_U64, .target = &asked.jobs, .value_name = "<n>", .help = "workers"},
    {.name = "failures", .kind = FLAG_U64, .target = &asked.failures, .value_name = "<n>", .help = "violations until it ends"},
    {.name = "twice", .kind = FLAG_U64, .target = &asked.twice, .value_name = "<percent>", .help = "seeds that run twice: same trace"},
    {.name = "mutant", .kind = FLAG_STRING, .target = &asked.mutant, .value_name = "<id>", .help = "plants this bug (simulator's build only)"},
    {.name = "history", .kind = FLAG_STRING, .target = &asked.history, .value_name = "<path>", .help = "of --seed or --file: writes the clients' history"},
    {.name = "shrink", .kind = FLAG_BOOL, .target = &asked.shrink, .help = "makes the run that breaks smaller, for --minutes or --seconds (60 s)"},
    {.name = "output", .kind = FLAG_STRING, .target = &asked.output, .value_name = "<path>", .help = "of the smaller run; seed_N by itself"},
    {.name = "mutants", .kind = FLAG_BOOL, .target = &asked.mutants, .help = "plants each bug, or those named: who sees it?"},
    {.name = "seeds-max", .kind = FLAG_U64, .target = &asked.seeds_max, .value_name = "<n>", .help = "of each planted bug; 0 = test programs alone"},
    {.name = "write-out", .letter = 'w', .kind = FLAG_STRING, .target = &asked.format, .value_name = "<text|json>", .help = "what stands on stdout"},
    {.name = "quiet", .kind = FLAG_BOOL, .target = &asked.quiet, .help = "no progress on stderr"},
    {.name = "help", .letter = 'h', .kind = FLAG_BOOL, .target = &asked.help, .help = "this"},
};
#define FLAGS ((int)(sizeof(flags) / sizeof(flags[0])))

/* "name=value,name=value"; false: not understood. */
static bool set_all(struct sim_options *options, const char *text)
{
    char name[64];
    uint64_t value;
    int used = 0;
    for (const char *at = text; at != NULL && *at != '\0'; at += used) {
        used = 0;
        if (sscanf(at, "%63[^=]=%" SCNu64 "%n", name, &value, &used) != 2 || used == 0) return false;
        if (!sim_options_set(options, name, value)) return false;
        if (at[used] == ',') used++;
    }
    return true;
}

static bool plant(const char *mutant)
{
#ifdef KVD_SIM
    return mutant == NULL || mutant_choose(mutant);
#else
    return mutant == NULL;
#endif
}

static void adjust(struct sim_options *options, void *context)
{
    (void)context;
    (void)set_all(options, asked.set);
}

static void progress(const struct sim_result *total, void *context)
{
    static uint64_t last_ns;
    uint64_t now_ns = clock_mono_ns(), start_ns = *(uint64_t *)context;
    bool is_terminal = isatty(STDERR_FILENO) == 1;
    if (now_ns - last_ns < (is_terminal ? NS_PER_S / 4 : 30 * NS_PER_S)) return;
    last_ns = now_ns;
    fprintf(stderr, "%s%.0f s: %.2f cluster-hours, %" PRIu64 " events, %" PRIu64 " operations, %" PRIu64 " crashes%s",
            is_terminal ? "\r\033[K" : "", (double)(now_ns - start_ns) / 1e9, (double)total->simulated_ns / 3600e9, total->events,
            total->done, total->counts.kills + total->counts.power_losses, is_terminal ? "" : "\n");
}

/* Of one seed: everything. */
static void print_one(const struct sim_options *options, const struct sim_fleet_result *result)
{
    char text[SIM_OPTIONS_TEXT_MAX];
    sim_options_text(options, text, sizeof(text));
    printf("options: %s\n", text);
    if (result->failure_count == 0) {
        printf("trace hash %016" PRIx64 "\n", result->total.trace_hash);
        return;
    }
    world_trace_print(&result->last, EVENTS_SHOWN);
    printf("seed %" PRIu64 " breaks: %s\n", result->failures[0].seed, result->failures[0].broken);
}

static bool make_plan(struct sim_fleet_plan *plan, struct sim_options *one)
{
    *plan = (struct sim_fleet_plan){.jobs = (uint32_t)asked.jobs, .failures_max = (uint32_t)asked.failures, .adjust = adjust,
                                    .twice_percent = (uint32_t)asked.twice};
    if (asked.file != NULL && !sim_options_read(asked.file, one)) return false;
    if (asked.seed != UINT64_MAX) sim_options_draw(asked.seed, one);
    if (!set_all(one, asked.set)) return false;
    if (asked.file != NULL || asked.seed != UINT64_MAX) {
        one->clients.history_path = asked.history;
        plan->list = one;
        plan->jobs = plan->failures_max = 1;
        plan->adjust = NULL;
        plan->twice_percent = 0;
        return true;
    }
    bool has_time = asked.minutes + asked.seconds > 0;
    if (has_time) plan->until_ns = clock_mono_ns() + (asked.minutes * 60 + asked.seconds) * NS_PER_S;
    if (asked.seeds != NULL) {
        int used = 0;
        return sscanf(asked.seeds, "%" SCNu64 "..%" SCNu64 "%n", &plan->first, &plan->last, &used) == 2 && plan->first <= plan->last;
    }
    plan->first = (uint64_t)time(NULL) * 1000;
    plan->last = UINT64_MAX - 1;
    return has_time;
}

/* --- shrinking --- */

static void print_size(FILE *out, const char *what, const struct sim_size *size)
{
    fprintf(out, "%s: %" PRIu64 " events, %" PRIu64 " choices, %" PRIu64 " of them lively, %u members, %u kinds of faults, %" PRIu64 " clients, %" PRIu64
            " operations at most, %.1f s\n", what, size->events, size->choices, size->lively, size->members, size->faults, size->clients,
            size->ops_max, (double)size->run_ns / 1e9);
}

static void shrink_progress(uint64_t tries, const struct sim_size *size, const char *what, void *context)
{
    char text[128];
    (void)context;
    snprintf(text, sizeof(text), "try %" PRIu64 ", %s", tries, what);
    print_size(stderr, text, size);
}

static int write_shrunk(const struct sim_shrink_result *result, uint64_t seed)
{
    char path[256];
    snprintf(path, sizeof(path), "seed_%" PRIu64, seed);
    const char *name = asked.output == NULL ? path : asked.output;
    FILE *file = fopen(name, "w");
    if (file == NULL) {
        perror(name);
        return 2;
    }
    fprintf(file, "# Shrunk from seed %" PRIu64 "%s%s: %s.\n", seed, asked.mutant == NULL ? "" : ", with planted bug ",
            asked.mutant == NULL ? "" : asked.mutant, result->invariant);
    sim_options_print(&result->options, file);
    (void)fclose(file);
    printf("%s\n", name);
    return 1;
}

static int run_shrink(const struct sim_options *options)
{
    static struct sim_shrink_result result;
    uint64_t ns = (asked.minutes * 60 + asked.seconds) * NS_PER_S;
    struct sim_shrink_plan plan = {.options = options, .until_ns = clock_mono_ns() + (ns == 0 ? 60 * NS_PER_S : ns),
                                   .progress = asked.quiet ? NULL : shrink_progress};
    bool breaks = sim_shrink(&plan, &result);
    if (breaks) {
        printf("breaks: %s\n", result.invariant);
        print_size(stdout, "before", &result.before);
        print_size(stdout, "after", &result.after);
        printf("%" PRIu64 " tries\n", result.tries);
    } else {
        printf("nothing breaks\n");
    }
    int code = breaks ? write_shrunk(&result, options->world.seed) : 0;
    tape_reel_free(result.options.world.reel);
    return code;
}

static int run_mutants(const char **ids)
{
    struct simulate_mutants what = {.ids = ids, .first_seed = 1, .seeds_max = asked.seeds_max, .jobs = (uint32_t)asked.jobs,
                                    .json = asked.json, .quiet = asked.quiet};
    return simulate_mutants(&what);
}

int main(int argc, char **argv)
{
    static struct sim_fleet_result result;
    struct flags_result parsed = {.arguments = calloc((size_t)argc + 1, sizeof(char *))};
    struct flags_options how = {.environment_prefix = NULL};
    struct sim_fleet_plan plan;
    struct sim_options one;
    uint64_t start_ns = clock_mono_ns();
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    bool is_good = flags_parse(flags, FLAGS, argc, argv, &how, &parsed);
    asked.json = strcmp(asked.format, "json") == 0;
    is_good = is_good && plant(asked.mutant) && asked.jobs >= 1 && asked.jobs <= SIM_FLEET_JOBS_MAX;
    is_good = is_good && (asked.json || strcmp(asked.format, "text") == 0);
    if (is_good && asked.mutants && !asked.help) return run_mutants(parsed.arguments);
    sim_options_draw(0, &one);
    is_good = is_good && parsed.arguments_count == 0;
    free(parsed.arguments);
    if (asked.shrink && asked.file == NULL && asked.seed == UINT64_MAX) is_good = false;
    if (asked.help || !is_good || !make_plan(&plan, &one)) {
        printf("%s\nUsage: simulate --minutes N | --seeds A..B | --seed N | --file PATH | --mutants\n", parsed.error);
        flags_print_help(flags, FLAGS);
        return asked.help ? 0 : 2;
    }
    if (asked.shrink) {
        int code = run_shrink(&one);
        tape_reel_free(one.world.reel);
        return code;
    }
    if (!asked.quiet && plan.list == NULL) plan.progress = progress;
    plan.context = &start_ns;
    if (plan.list == NULL && !asked.json) printf("seeds from %" PRIu64 "\n", plan.first);
    bool holds = sim_fleet_run(&plan, &result);
    if (!asked.quiet && isatty(STDERR_FILENO) == 1) fprintf(stderr, "\r\033[K");
    if (plan.list != NULL && !asked.json) print_one(&one, &result);
    if (asked.json) sim_report_json(&result, stdout);
    if (!asked.json) sim_report_print(&result, stdout);
    tape_reel_free(one.world.reel);
    return holds ? 0 : 1;
}
