/* run: see the header. */
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "live.h"
#include "load.h"

#define SIGNAL_IDLE SIGUSR1
#define US 1e3

struct run {
    const struct settings *settings;
    struct run_result *result;
    struct load *load;
    struct tally second;        /* what was counted since the last tick */
    size_t series_room;
    uint64_t begin_ns, last_ns; /* of measuring, of the last tick */
    bool is_interrupted;
    FILE *raw;
};

/* --- waiting --------------------------------------------------------------------------------------------------------------- */

static void signals(sigset_t *out_set)
{
    sigemptyset(out_set);
    sigaddset(out_set, SIGINT);
    sigaddset(out_set, SIGTERM);
    sigaddset(out_set, SIGNAL_IDLE);
}

void run_block_signals(void)
{
    sigset_t set;
    signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* what is due is begun when it is due */
}

void run_unblock_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void ring_main(void) { (void)kill(getpid(), SIGNAL_IDLE); }

/* Until a time, a signal, or what the load wants. */
static void wait_until(struct run *run, uint64_t until_ns)
{
    sigset_t set;
    uint64_t now_ns = clock_mono_ns(), wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec time = {.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
    signals(&set);
    int number = sigtimedwait(&set, NULL, &time);
    if (number != SIGINT && number != SIGTERM) return;
    run->is_interrupted = run->result->was_interrupted = true;
    run_unblock_signals(); /* a second one ends us at once */
}

static uint64_t own_cpu_ns(void)
{
    struct timespec time;
    int error = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    ASSERT(error == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* --- seconds --------------------------------------------------------------------------------------------------------------- */

/* What was counted since the last tick becomes a second of the series, and a part of the total. */
static void tick(struct run *run, uint64_t now_ns)
{
    struct run_result *result = run->result;
    tally_clear(&run->second);
    load_collect(run->load, &run->second);
    tally_merge(&result->total, &run->second);
    double took_s = (double)(now_ns - run->last_ns) / (double)NS_PER_S;
    const struct histogram *latencies = &run->second.latencies;
    const struct run_second second = {.at_s = (double)(now_ns - run->begin_ns) / (double)NS_PER_S,
                                      .ops = run->second.counts.ops,
                                      .errors = run->second.counts.errors,
                                      .ops_per_s = took_s > 0 ? (double)run->second.counts.ops / took_s : 0,
                                      .p50_us = (double)histogram_percentile_ns(latencies, 0.5) / US,
                                      .p99_us = (double)histogram_percentile_ns(latencies, 0.99) / US,
                                      .max_us = (double)latencies->max_ns / US};
    run->last_ns = now_ns;
    bool is_rest = took_s < 0.5 && result->series_count > 0; /* behind the last whole second: no rate can be told from it */
    if (is_rest || result->series_count == RUN_SECONDS_MAX) return;
    if (result->series_count == run->series_room) {
        run->series_room = run->series_room == 0 ? 64 : 2 * run->series_room;
        result->series = alloc_resize(result->series, run->series_room * sizeof *result->series);
    }
    result->series[result->series_count++] = second;
    live_show(run->settings, &second, result->total.counts.errors);
}

/* Lets the load run: until `until_ns`, it is idle, or we are told to stop. With `ticks` the seconds are told. */
static void let_run(struct run *run, uint64_t until_ns, bool ticks)
{
    for (;;) {
        uint64_t now_ns = clock_mono_ns(), next_ns = load_pace(run->load, now_ns);
        if (ticks && now_ns >= run->last_ns + NS_PER_S) tick(run, now_ns);
        if (now_ns >= until_ns || run->is_interrupted || load_is_idle(run->load)) return;
        if (ticks && run->last_ns + NS_PER_S < next_ns) next_ns = run->last_ns + NS_PER_S;
        if (until_ns < next_ns) next_ns = until_ns;
        wait_until(run, next_ns == CLOCK_NEVER ? now_ns + 60 * NS_PER_S : next_ns);
    }
}

/* Of an open loop what was due by now is waited for. */
static void stop_and_wait(struct run *run)
{
    bool was_interrupted = run->is_interrupted;
    load_stop(run->load, clock_mono_ns());
    run->is_interrupted = false;
    let_run(run, clock_mono_ns() + run->settings->timeout_ns + NS_PER_S, false);
    run->is_interrupted = run->is_interrupted || was_interrupted;
}

/* --- the parts ------------------------------------------------------------------------------------------------------------- */

static void forget_counts(struct run *run)
{
    tally_clear(&run->second);
    load_collect(run->load, &run->second);
    tally_clear(&run->second);
}

static bool nothing(struct run *run, const char *what)
{
    const struct tally *tally = &run->second;
    char *text = run->result->text;
    if (run->is_interrupted) (void)snprintf(text, SETTINGS_TEXT_BYTES, "interrupted before anything was measured");
    else (void)snprintf(text, SETTINGS_TEXT_BYTES, "%s: %s", what, tally->kind_count > 0 ? tally->kinds[0].text : "nothing was answered");
    return false;
}

/* A phase that ends by itself, without an error. */
static bool pass(struct run *run, enum load_phase phase, const char *what)
{
    load_start(run->load, phase, 0, clock_mono_ns(), CLOCK_NEVER);
    let_run(run, CLOCK_NEVER, false);
    load_collect(run->load, &run->second);
    if (run->second.counts.errors > 0 || run->is_interrupted) return nothing(run, what);
    forget_counts(run);
    return true;
}

static bool prepare(struct run *run)
{
    load_start(run->load, LOAD_CONNECT, 0, clock_mono_ns(), CLOCK_NEVER);
    let_run(run, CLOCK_NEVER, false);
    load_collect(run->load, &run->second);
    if (run->second.counts.ops == 0 || run->is_interrupted) return nothing(run, "no endpoint answers");
    forget_counts(run);
    if (run->settings->fills && !pass(run, LOAD_FILL, "filling failed")) return false;
    if (run->settings->command == COMMAND_LEASE_KEEPALIVE && !pass(run, LOAD_GRANT, "leases could not be granted")) return false;
    return run->settings->streams == 0 || pass(run, LOAD_OPEN, "streams could not be opened");
}

/* A closed loop by time begins here and goes on; all others begin anew when they are measured. */
static bool goes_on(const struct settings *settings) { return settings->total == 0 && settings->rate == 0 && settings->command != COMMAND_FILL; }

static bool warm_up(struct run *run)
{
    const struct settings *settings = run->settings;
    uint64_t now_ns = clock_mono_ns();
    if (settings->command != COMMAND_FILL && settings->warm_up_ns > 0) {
        load_start(run->load, LOAD_WORK, 0, now_ns, CLOCK_NEVER);
        let_run(run, now_ns + settings->warm_up_ns, false);
        if (!goes_on(settings)) stop_and_wait(run);
        load_collect(run->load, &run->second);
        if (run->is_interrupted || load_is_broken(run->load) || (!goes_on(settings) && !load_can_start(run->load))) return nothing(run, "the load did not end after the warm-up");
        forget_counts(run);
    } else if (goes_on(settings)) {
        load_start(run->load, LOAD_WORK, 0, now_ns, CLOCK_NEVER);
    }
    return true;
}

/* Where --raw goes; NULL: nowhere. False: it cannot be made. */
static bool open_raw(struct run *run)
{
    const char *path = run->settings->raw;
    if (path[0] == '\0' || (run->raw = fopen(path, "wb")) != NULL) return true;
    (void)snprintf(run->result->text, SETTINGS_TEXT_BYTES, "cannot write %.200s: %s", path, strerror(errno));
    return false;
}

static bool close_raw(struct run *run)
{
    if (run->raw == NULL) return true;
    load_record(run->load, NULL);
    bool is_good = ferror(run->raw) == 0;
    if (fclose(run->raw) != 0) is_good = false;
    if (!is_good) (void)snprintf(run->result->text, SETTINGS_TEXT_BYTES, "cannot write all of %.200s", run->settings->raw);
    return is_good;
}

static void measure(struct run *run)
{
    const struct settings *settings = run->settings;
    struct run_result *result = run->result;
    struct servers_usage before = {.cpu_ns = 0}, after;
    result->has_servers = settings->servers.count > 0;
    servers_reset_peaks(&settings->servers);
    result->lost_server = !servers_read(&settings->servers, &before);
    uint64_t own_ns = own_cpu_ns(), end_ns;
    run->begin_ns = run->last_ns = clock_mono_ns();
    load_record(run->load, run->raw);
    end_ns = settings->duration_ns == 0 ? CLOCK_NEVER : run->begin_ns + settings->duration_ns;
    if (!goes_on(settings)) load_start(run->load, settings->command == COMMAND_FILL ? LOAD_FILL : LOAD_WORK, settings->total, run->begin_ns, end_ns);
    let_run(run, end_ns, true);
    /* What was due is owed an answer; what a closed loop has begun is not. */
    if (settings->rate > 0) stop_and_wait(run);
    tick(run, clock_mono_ns());
    load_record(run->load, NULL);
    result->seconds = (double)(run->last_ns - run->begin_ns) / (double)NS_PER_S;
    result->client_cpu_ns = own_cpu_ns() - own_ns;
    result->lost_server = !servers_read(&settings->servers, &after) || result->lost_server;
    result->used = servers_difference(&before, &after);
    result->was_broken = load_is_broken(run->load);
    if (settings->rate == 0) stop_and_wait(run);
}

bool run_load(const struct settings *settings, struct run_result *out_result)
{
    struct run run = {.settings = settings, .result = out_result};
    memset(out_result, 0, sizeof *out_result);
    tally_init(&out_result->total);
    tally_init(&run.second);
    run.load = load_new(settings, ring_main, out_result->text);
    bool is_good = run.load != NULL && open_raw(&run) && prepare(&run) && warm_up(&run);
    if (is_good) {
        measure(&run);
        live_end(settings);
    }
    if (!close_raw(&run)) is_good = false;
    load_free(run.load);
    tally_deinit(&run.second);
    return is_good;
}

void run_result_deinit(struct run_result *result)
{
    tally_deinit(&result->total);
    alloc_free(result->series);
    result->series = NULL;
}
