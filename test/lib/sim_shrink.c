/* sim_shrink: see sim_shrink.h. */
#include "lib/sim_shrink.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "lib/sim_fleet.h"

#define TRY_SECONDS 20 /* of processor time; more is a hang */
#define SEEDS 3        /* with which other options are tried anew */

struct shrink {
    const struct sim_shrink_plan *plan;
    struct sim_shrink_result *result;
    struct sim_options now;  /* the smallest run so far, with its reel */
    struct tape_reel *trial; /* of the next try */
};

/* --- one run --- */

/* Behind the parenthesis at its end stand figures of this run alone. */
static void without_figures(char *text)
{
    size_t size = strlen(text);
    char *at = strrchr(text, '(');
    if (size > 0 && text[size - 1] == ')' && at != NULL && at > text) at[-1] = '\0';
}

static void run_child(const struct sim_options *options, struct world_trace *trace, int words)
{
    struct sim_result result;
    dup2(words, STDERR_FILENO);
    world_trace_use(trace);
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = TRY_SECONDS}, NULL);
    sim_run(options, &result);
    _exit(0);
}

void sim_shrink_try(const struct sim_options *options, char *out_broken, size_t size, uint64_t *out_events)
{
    static struct world_trace *trace;
    char death[200];
    int status = 0, words = memfd_create("words", MFD_CLOEXEC);
    if (trace == NULL) trace = mmap(NULL, sizeof(*trace), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(trace != MAP_FAILED && words >= 0 && size > 0);
    trace->count = 0;
    trace->broken[0] = '\0';
    fflush(NULL);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) run_child(options, trace, words);
    while (waitpid(pid, &status, 0) != pid) continue;
    sim_fleet_words(words, false, death, sizeof(death));
    close(words);
    bool is_hang = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
    const char *broken = is_hang ? "it hangs" : trace->broken[0] != '\0' ? trace->broken : death;
    snprintf(out_broken, size, "%s", WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : broken);
    without_figures(out_broken);
    *out_events = trace->count;
}

static void measure(const struct sim_options *options, uint64_t events, struct sim_size *out_size)
{
    *out_size = (struct sim_size){.events = events, .choices = tape_reel_count(options->world.reel), .lively = tape_reel_lively(options->world.reel),
                                  .members = options->world.members, .clients = options->clients.clients, .ops_max = options->clients.ops_max,
                                  .run_ns = options->run_ns};
    for (int i = 0; i < SIM_FAULTS; i++) out_size->faults += options->per_minute[i] > 0;
}

static bool is_over(const struct shrink *shrink) { return clock_mono_ns() >= shrink->plan->until_ns; }

/* Runs `options` on the trial reel; if that breaks the same, it is the run from now on. A tape drawn anew may not be a livelier one. */
static bool attempt(struct shrink *shrink, const struct sim_options *options, bool is_recording, const char *what)
{
    char broken[sizeof(shrink->result->invariant)];
    uint64_t events;
    struct sim_options trial = *options;
    if (is_over(shrink)) return false;
    shrink->result->tries++;
    trial.world.reel = shrink->trial;
    tape_reel_rewind(shrink->trial, is_recording);
    sim_shrink_try(&trial, broken, sizeof(broken), &events);
    if (strcmp(broken, shrink->result->invariant) != 0) return false;
    tape_reel_trim(shrink->trial);
    if (is_recording && tape_reel_lively(shrink->trial) > tape_reel_lively(shrink->now.world.reel)) return false;
    shrink->trial->is_recording = false;
    shrink->trial = shrink->now.world.reel;
    shrink->now = trial;
    measure(&shrink->now, events, &shrink->result->after);
    if (shrink->plan->progress != NULL) shrink->plan->progress(shrink->result->tries, &shrink->result->after, what, shrink->plan->context);
    return true;
}

/* --- options --- */

/* By its tape as it is, else by a tape that the seed draws anew, else by those of other seeds. */
static bool try_options(struct shrink *shrink, struct sim_options *options, const char *what, bool may_draw)
{
    tape_reel_copy(shrink->trial, shrink->now.world.reel);
    if (attempt(shrink, options, false, what)) return true;
    for (uint64_t i = 0; may_draw && i < SEEDS; i++) {
        options->world.seed += i * UINT64_C(1000003);
        options->clients.seed += i * UINT64_C(1000003);
        if (attempt(shrink, options, true, what)) return true;
    }
    return false;
}

static bool lower(struct shrink *shrink, const char *name, uint64_t value, bool may_draw)
{
    struct sim_options options = shrink->now;
    if (sim_options_get(&options, name) <= value || !sim_options_set(&options, name, value)) return false;
    return try_options(shrink, &options, name, may_draw);
}

static void halve(struct shrink *shrink, const char *name, uint64_t least, bool may_draw)
{
    uint64_t value = sim_options_get(&shrink->now, name) / 2;
    while (value >= least && lower(shrink, name, value, may_draw)) value /= 2;
}

static void shrink_options(struct shrink *shrink, bool may_draw)
{
    static const char *const zeros[] = {
        "buggify", "break-permille", "switch-percent", "drift-permille", "compact-permille", "padding-max", "late-disks", "calls-max", "lane-calls",
        "lane-peer", "inflight-messages", "tail-bytes", "message-bytes", "inflight-bytes", "apply-bytes", "uncommitted-bytes", "segment-entries",
        "probe-percent", "sticks",
    };
    halve(shrink, "run-ns", 100 * NS_PER_MS, may_draw);
    for (int i = 0; i < SIM_FAULTS; i++) (void)lower(shrink, sim_fault_name((enum sim_fault)i), 0, may_draw);
    if (!lower(shrink, "members", 1, may_draw)) (void)lower(shrink, "members", 3, may_draw);
    halve(shrink, "clients", 1, may_draw);
    halve(shrink, "ops-max", 1, may_draw);
    (void)lower(shrink, "keys", 2, may_draw);
    for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) (void)lower(shrink, zeros[i], 0, may_draw);
    halve(shrink, "run-ns", 100 * NS_PER_MS, may_draw);
}

/* --- the tape --- */

/* Of the lively choices of a track the ones from `first` on, `count` of them, become dull. False: there are none. */
static bool zero_lively(struct tape_track_state *track, uint64_t first, uint64_t count)
{
    uint64_t lively = 0, done = 0;
    for (uint64_t at = 0; at < track->count && done < count; at++) {
        if (track->values[at] == 0 || lively++ < first) continue;
        track->values[at] = 0;
        done++;
    }
    return done > 0;
}

static uint64_t lively_of(const struct tape_track_state *track)
{
    uint64_t lively = 0;
    for (uint64_t at = 0; at < track->count; at++) lively += track->values[at] != 0;
    return lively;
}

/* Blocks of lively choices become dull, smaller and smaller ones; from the end, where what is left out changes least. */
static void zero_track(struct shrink *shrink, uint32_t number, uint64_t block_min)
{
    uint64_t lively = lively_of(&shrink->now.world.reel->tracks[number]);
    for (uint64_t block = lively; block >= block_min && block > 0; block /= 2) {
        uint64_t end = lively_of(&shrink->now.world.reel->tracks[number]);
        while (end > 0 && !is_over(shrink)) {
            uint64_t first = end > block ? end - block : 0;
            tape_reel_copy(shrink->trial, shrink->now.world.reel);
            if (zero_lively(&shrink->trial->tracks[number], first, end - first)) (void)attempt(shrink, &shrink->now, false, "dull choices");
            end = first;
            uint64_t left = lively_of(&shrink->now.world.reel->tracks[number]);
            if (end > left) end = left;
        }
    }
}

static void cut_track(struct shrink *shrink, uint32_t number, uint64_t block_min)
{
    for (uint64_t block = shrink->now.world.reel->tracks[number].count / 2; block >= block_min && block > 0; block /= 2) {
        for (uint64_t at = 0; at + block <= shrink->now.world.reel->tracks[number].count && !is_over(shrink);) {
            tape_reel_copy(shrink->trial, shrink->now.world.reel);
            struct tape_track_state *track = &shrink->trial->tracks[number];
            memmove(track->values + at, track->values + at + block, (track->count - at - block) * sizeof(uint64_t));
            track->count -= block;
            if (!attempt(shrink, &shrink->now, false, "choices left out")) at += block;
        }
    }
}

/* Coarse first on all tracks, then finer; chances (what happens at all) before choices. */
static void shrink_tape(struct shrink *shrink)
{
    for (uint64_t fraction = 4; fraction <= 4096 && !is_over(shrink); fraction *= 8) {
        for (uint32_t i = 0; i < TAPE_TRACKS; i++) {
            uint32_t number = TAPE_TRACKS - 1 - i;
            zero_track(shrink, number, 1 + lively_of(&shrink->now.world.reel->tracks[number]) / fraction);
        }
        for (uint32_t number = 0; number < TAPE_FAULT_LANES; number++) {
            cut_track(shrink, number, 1 + shrink->now.world.reel->tracks[number].count / (fraction / 2));
        }
    }
}

bool sim_shrink(const struct sim_shrink_plan *plan, struct sim_shrink_result *out_result)
{
    struct shrink shrink = {.plan = plan, .result = out_result, .now = *plan->options, .trial = tape_reel_new()};
    uint64_t events;
    bool is_recording = plan->options->world.reel == NULL;
    memset(out_result, 0, sizeof(*out_result));
    shrink.now.world.reel = tape_reel_new();
    if (!is_recording) tape_reel_copy(shrink.now.world.reel, plan->options->world.reel);
    tape_reel_rewind(shrink.now.world.reel, is_recording);
    sim_shrink_try(&shrink.now, out_result->invariant, sizeof(out_result->invariant), &events);
    shrink.now.world.reel->is_recording = false;
    measure(&shrink.now, events, &out_result->before);
    out_result->after = out_result->before;
    if (out_result->invariant[0] != '\0') {
        shrink_options(&shrink, true);
        for (uint64_t lively = UINT64_MAX; tape_reel_lively(shrink.now.world.reel) < lively && !is_over(&shrink);) {
            lively = tape_reel_lively(shrink.now.world.reel);
            shrink_tape(&shrink);
            shrink_options(&shrink, false);
        }
    }
    tape_reel_free(shrink.trial);
    out_result->options = shrink.now;
    return out_result->invariant[0] != '\0';
}
