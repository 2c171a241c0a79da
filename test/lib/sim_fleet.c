/* sim_fleet: see sim_fleet.h. */
#include "lib/sim_fleet.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

#define LOOK_NS (100 * 1000 * 1000)
#define WORDS_MAX (256 * 1024)
#define MEMORY_MAX (3ull << 30) /* of a worker; a world takes some hundred MiB */

/* What a worker and its parent share. A worker adds to its own place only. */
struct worker {
    pid_t pid;
    bool is_alive;
    int words;    /* a file: what it says on stderr */
    uint64_t seeds;
    struct sim_result total;
    struct world_trace trace;
};
struct fleet {
    atomic_uint_fast64_t next;
    struct worker workers[SIM_FLEET_JOBS_MAX];
};

/* --- in the worker --- */

static void add(struct sim_result *total, const struct sim_result *result)
{
    const uint64_t *from = (const uint64_t *)result;
    uint64_t *to = (uint64_t *)total;
    for (size_t i = 0; i < sizeof(*total) / sizeof(uint64_t); i++) to[i] += from[i];
}

static void options_of(const struct sim_fleet_plan *plan, uint64_t place, struct sim_options *out_options)
{
    if (plan->list != NULL) {
        *out_options = plan->list[place];
    } else {
        sim_options_draw(place, out_options);
    }
    if (plan->adjust != NULL) plan->adjust(out_options, plan->context);
}

static void run_once(const struct sim_fleet_plan *plan, const struct sim_options *options, struct sim_result *out_result)
{
    time_t seconds = plan->seed_seconds == 0 ? 20 : (time_t)plan->seed_seconds;
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = seconds}, NULL);
    sim_run(options, out_result);
}

static bool is_twice(const struct sim_fleet_plan *plan, uint64_t place)
{
    return place - plan->first < plan->twice_first || place * 37 % 100 < plan->twice_percent;
}

static bool begins(const struct sim_fleet_plan *plan, uint64_t place)
{
    if (place > plan->last) return false;
    return plan->until_ns == 0 || clock_mono_ns() < plan->until_ns || place - plan->first < plan->seeds_min;
}

/* A world that grows without end dies of it, and not the machine. */
static void limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    (void)setrlimit(RLIMIT_DATA, &(struct rlimit){.rlim_cur = MEMORY_MAX, .rlim_max = MEMORY_MAX});
#endif
}

_Noreturn static void work(const struct sim_fleet_plan *plan, struct fleet *fleet, struct worker *self)
{
    world_trace_use(&self->trace);
    limit_memory();
    for (;;) {
        uint64_t place = atomic_fetch_add(&fleet->next, 1);
        struct sim_options options;
        struct sim_result result, again;
        if (!begins(plan, place)) break;
        options_of(plan, place, &options);
        run_once(plan, &options, &result);
        if (is_twice(plan, place)) {
            run_once(plan, &options, &again);
            bool is_same = again.trace_hash == result.trace_hash && again.events == result.events;
            if (!is_same) snprintf(self->trace.broken, sizeof(self->trace.broken), "same seed, same trace");
            if (!is_same) abort();
        }
        add(&self->total, &result);
        self->seeds++;
    }
    fflush(NULL);
    _exit(0);
}

/* --- in the parent --- */

static void start(const struct sim_fleet_plan *plan, struct fleet *fleet, struct worker *worker)
{
    fflush(NULL);
    worker->words = memfd_create("words", MFD_CLOEXEC);
    pid_t pid = fork();
    ASSERT(pid >= 0 && worker->words >= 0);
    if (pid == 0) {
        dup2(worker->words, STDERR_FILENO);
        work(plan, fleet, worker);
    }
    worker->pid = pid;
    worker->is_alive = true;
}

void sim_fleet_words(int words, bool echo, char *out_death, size_t size)
{
    static const char *const marks[] = {"assertion failed: ", "fatal: ", "runtime error: ", "ERROR: "};
    static char text[WORDS_MAX + 1];
    ssize_t got = pread(words, text, WORDS_MAX, 0);
    text[got < 0 ? 0 : got] = '\0';
    if (echo) fputs(text, stderr);
    snprintf(out_death, size, "it died");
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        const char *at = strstr(text, marks[i]);
        if (at == NULL) continue;
        snprintf(out_death, size, "it died: %.*s", (int)strcspn(at, "\n"), at);
        return;
    }
}

static void keep_failure(const struct worker *worker, int status, const char *death, struct sim_fleet_result *out_result)
{
    const struct world_trace *trace = &worker->trace;
    out_result->last = *trace;
    if (out_result->failure_count == SIM_FLEET_FAILURES_MAX) return;
    struct sim_fleet_failure *failure = &out_result->failures[out_result->failure_count++];
    failure->seed = trace->seed;
    failure->is_hang = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
    snprintf(failure->broken, sizeof(failure->broken), "%s", failure->is_hang ? "it hangs" :
             trace->broken[0] == '\0' ? death : trace->broken);
    snprintf(failure->options, sizeof(failure->options), "%s", trace->options);
}

static void reap(const struct sim_fleet_plan *plan, struct fleet *fleet, uint32_t jobs, struct sim_fleet_result *out_result)
{
    for (uint32_t i = 0; i < jobs; i++) {
        struct worker *worker = &fleet->workers[i];
        int status = 0;
        if (!worker->is_alive || waitpid(worker->pid, &status, WNOHANG) != worker->pid) continue;
        char death[200];
        worker->is_alive = false;
        sim_fleet_words(worker->words, true, death, sizeof(death));
        close(worker->words);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        keep_failure(worker, status, death, out_result);
        out_result->stopped_early = out_result->failure_count >= (plan->failures_max == 0 ? 1 : plan->failures_max);
        if (out_result->stopped_early) {
            atomic_store(&fleet->next, plan->last + 1);
        } else {
            start(plan, fleet, worker);
        }
    }
}

static bool sum_up(const struct fleet *fleet, uint32_t jobs, struct sim_fleet_result *out_result)
{
    bool is_alive = false;
    out_result->seeds = 0;
    out_result->total = (struct sim_result){0};
    for (uint32_t i = 0; i < jobs; i++) {
        is_alive = is_alive || fleet->workers[i].is_alive;
        out_result->seeds += fleet->workers[i].seeds;
        add(&out_result->total, &fleet->workers[i].total);
    }
    return is_alive;
}

static uint64_t children_ns(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    uint64_t us = (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S + us * NS_PER_US;
}

bool sim_fleet_run(const struct sim_fleet_plan *plan, struct sim_fleet_result *out_result)
{
    uint32_t jobs = plan->jobs == 0 ? 1 : plan->jobs;
    uint64_t start_ns = clock_mono_ns(), before_ns = children_ns();
    ASSERT(jobs <= SIM_FLEET_JOBS_MAX);
    void *memory = mmap(NULL, sizeof(struct fleet), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(memory != MAP_FAILED);
    struct fleet *fleet = memory;
    atomic_init(&fleet->next, plan->first);
    memset(out_result, 0, sizeof(*out_result));
    for (uint32_t i = 0; i < jobs; i++) start(plan, fleet, &fleet->workers[i]);
    uint32_t looks = 0;
    while (sum_up(fleet, jobs, out_result)) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        reap(plan, fleet, jobs, out_result);
        if (plan->progress != NULL && ++looks % 3 == 0) plan->progress(&out_result->total, plan->context);
    }
    munmap(memory, sizeof(struct fleet));
    out_result->wall_ns = clock_mono_ns() - start_ns;
    out_result->cpu_ns = children_ns() - before_ns;
    return out_result->failure_count == 0;
}
