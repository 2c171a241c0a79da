/* simulate_mutants: see simulate_mutants.h. */
#include "sim/simulate_mutants.h"

#include <stdio.h>

#ifdef KVD_SIM

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mutant.h"
#include "lib/sim_fleet.h"

#define ROWS_MAX 256
#define CONTROL_SEEDS 60
#define PROGRAM_NS (60 * NS_PER_S)
#define OUTPUT_MAX (1 << 20)
#define UNKNOWN_EXIT 64 /* of a program that knows no such bug (mutant_env.c) */
#define SAW_MAX 160

/* Those that watch invariants come before those that compare with what was written down. */
static const char *const programs[] = {
    "test_raft_random", "test_raft_quorum", "test_raft_paper", "test_raft_paper_log", "test_raft_thesis", "test_raft_members", "test_raft_snapshot",
    "test_keep_alive", "test_lease", "test_txn", "test_peer_past",
    "test_state_machine", "test_alarm", "test_wal_damage", "test_range", "test_mvcc_tree", "test_mvcc_paging", "test_wal_line", "test_wal_fault", "test_wal",
    "test_wal_head", "test_wal_head_damage", "test_wal_reuse", "test_mvcc_stress", "test_mvcc_model", "test_line", "test_wal_crash", "test_raft_edges", "test_raft_trace", "test_rpc_client",
    "test_restore", "test_lock_call", "test_lock_stop", "test_snap_pull", "test_snapshot_file", "test_snapshot_dir",
};
#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

/* What they break does not come up in a world. */
static const char *const unseen[] = {
    "P2", "P3", "P4", "P5", "D8", "D9", "D11", /* a world does not change its configuration */
    "D17",
    "D16",                                     /* costs time, not truth */
    "P22",                                     /* what a file held before has lower numbers than what comes next in it */
    "P37",                                     /* nor does anybody put an old disk back */
    "P34A",                                    /* nor a client of the library */
    "D117",                                    /* one member at a time loses something */
};

struct row {
    const struct mutant_line *line; /* NULL = nothing is planted */
    pid_t pid;
    bool is_alive, is_unseen;
    const char *program;            /* that saw it; NULL = none */
    uint64_t seeds;                 /* the number of the first that broke, counted from 1; else how many held */
    bool is_broken;                 /* by that seed */
    uint64_t breaks_without;        /* this seed did, with nothing planted: an error of kvd's, or the simulator's; 0 = none */
    uint64_t seed;
    char saw[SAW_MAX];
};

static const char *id_of(const struct row *row) { return row->line == NULL ? "none" : row->line->name; }
static const char *text_of(const struct row *row) { return row->line == NULL ? "nothing: all must hold" : row->line->text; }

/* --- in the process of one bug --- */

static struct sim_fleet_result result;

/* A seed that breaks with nothing planted shows nothing of what was planted. */
static bool holds_without(struct row *row, uint64_t seed)
{
    struct sim_fleet_plan plan = {.first = seed, .last = seed, .jobs = 1, .failures_max = 1};
    ASSERT(mutant_choose(NULL));
    bool holds = sim_fleet_run(&plan, &result);
    ASSERT(mutant_choose(row->line == NULL ? NULL : row->line->name));
    if (!holds) row->breaks_without = seed;
    return holds;
}

static void by_seeds(const struct simulate_mutants *asked, struct row *row)
{
    uint64_t seeds = row->line == NULL && asked->seeds_max > CONTROL_SEEDS ? CONTROL_SEEDS : asked->seeds_max;
    struct sim_fleet_plan plan = {.first = asked->first_seed, .last = asked->first_seed + seeds - 1, .jobs = 1, .failures_max = 1};
    if (row->is_unseen) return;
    for (; plan.first <= plan.last && seeds > 0 && !row->is_broken; plan.first = row->seed + 1) {
        if (sim_fleet_run(&plan, &result)) break;
        row->seed = result.failures[0].seed;
        snprintf(row->saw, sizeof(row->saw), "%.*s", SAW_MAX - 1, result.failures[0].broken);
        row->is_broken = row->line == NULL || holds_without(row, row->seed);
    }
    row->seeds = row->is_broken ? row->seed - asked->first_seed + 1 : seeds;
}

/* From behind `mark` to the end of its line, or to `end`; false: it is not there. */
static bool take_text(const char *output, const char *mark, char end, char *out_text)
{
    const char *at = strstr(output, mark);
    if (at == NULL) return false;
    at += strlen(mark);
    size_t size = strcspn(at, (const char[]){'\n', end, '\0'});
    snprintf(out_text, SAW_MAX, "%.*s", (int)(size < SAW_MAX ? size : SAW_MAX - 1), at);
    return true;
}

/* The name of libcheck's first test that failed: "file.c:12:F:case:test_name:0: text". */
static bool take_test(const char *output, char *out_text)
{
    const char *at = strstr(output, ":F:");
    if (at == NULL) at = strstr(output, ":E:");
    if (at == NULL || (at = strchr(at + 3, ':')) == NULL) return false;
    snprintf(out_text, SAW_MAX, "%.*s", (int)strcspn(at + 1, ":\n"), at + 1);
    return true;
}

/* The invariant, else the test, else what the product itself said. */
static void what_it_saw(const char *output, int status, char *out_text)
{
    if (take_text(output, "broken: ", '(', out_text) || take_test(output, out_text)) return;
    if (take_text(output, "assertion failed: ", '\n', out_text) || take_text(output, "fatal: ", '\n', out_text)) return;
    snprintf(out_text, SAW_MAX, "status %d", status);
}

static bool build_path(const char *program, char *out_path, size_t size)
{
    char self[256];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0) return false;
    self[length] = '\0';
    for (int i = 0; i < 2; i++) *strrchr(self, '/') = '\0'; /* DIR/bin/simulate */
    return (size_t)snprintf(out_path, size, "%s/test/%s", self, program) < size && access(out_path, X_OK) == 0;
}

/* Waits for the child, PROGRAM_NS at most; all of its group is gone behind that. */
static int wait_for(pid_t pid, bool *out_hangs)
{
    uint64_t until_ns = clock_mono_ns() + PROGRAM_NS;
    int status = 0;
    *out_hangs = false;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        if (*out_hangs || clock_mono_ns() < until_ns) continue;
        *out_hangs = true;
        kill(-pid, SIGKILL);
    }
    return status;
}

static bool by_program(struct row *row, const char *program)
{
    char path[512];
    bool hangs;
    if (!build_path(program, path, sizeof(path))) {
        snprintf(row->saw, sizeof(row->saw), "%s is not built", program);
        return false;
    }
    int output = memfd_create("output", MFD_CLOEXEC);
    pid_t pid = fork();
    ASSERT(pid >= 0 && output >= 0);
    if (pid == 0) {
        setpgid(0, 0);
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
        setenv("KVD_MUTANT", row->line == NULL ? "" : row->line->name, 1);
        execl(path, path, (char *)NULL);
        _exit(127);
    }
    int status = wait_for(pid, &hangs);
    char *text = calloc(1, OUTPUT_MAX + 1);
    ASSERT(text != NULL);
    ssize_t got = pread(output, text, OUTPUT_MAX, 0);
    for (ssize_t i = 0; i < got; i++) text[i] = text[i] == '\0' ? ' ' : text[i];
    bool is_of_another_build = WIFEXITED(status) && WEXITSTATUS(status) == UNKNOWN_EXIT, fails = status != 0 && !is_of_another_build;
    if (is_of_another_build) snprintf(row->saw, sizeof(row->saw), "%s is of another build", program);
    if (fails) {
        row->program = program;
        what_it_saw(text, status, row->saw);
        if (hangs) snprintf(row->saw, sizeof(row->saw), "it hangs");
    }
    free(text);
    close(output);
    return fails;
}

_Noreturn static void judge(const struct simulate_mutants *asked, struct row *row)
{
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, STDIN_FILENO);
    dup2(nowhere, STDERR_FILENO);
    ASSERT(mutant_choose(row->line == NULL ? NULL : row->line->name));
    by_seeds(asked, row);
    for (size_t i = 0; i < PROGRAMS && !row->is_broken && row->program == NULL; i++) (void)by_program(row, programs[i]);
    _exit(0);
}

/* --- in the parent --- */

static void tell(const struct row *row)
{
    if (row->is_broken) {
        fprintf(stderr, "%-5s seed %" PRIu64 " (number %" PRIu64 "): %s\n", id_of(row), row->seed, row->seeds, row->saw);
    } else {
        fprintf(stderr, "%-5s %s: %s\n", id_of(row), row->program == NULL ? "nobody" : row->program, row->saw);
    }
}

static void judge_all(const struct simulate_mutants *asked, struct row *rows, size_t count)
{
    size_t begun = 0, alive = 0;
    while (begun < count || alive > 0) {
        for (; begun < count && alive < asked->jobs; begun++, alive++) {
            fflush(NULL);
            pid_t pid = fork();
            ASSERT(pid >= 0);
            if (pid == 0) judge(asked, &rows[begun]);
            rows[begun].pid = pid;
            rows[begun].is_alive = true;
        }
        int status = 0;
        pid_t pid = wait(&status);
        for (size_t i = 0; i < count; i++) {
            if (!rows[i].is_alive || rows[i].pid != pid) continue;
            ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            rows[i].is_alive = false;
            alive--;
            if (!asked->quiet) tell(&rows[i]);
        }
    }
}

static bool is_wanted(const struct simulate_mutants *asked, const char *id)
{
    if (asked->ids == NULL || asked->ids[0] == NULL) return true;
    for (size_t i = 0; asked->ids[i] != NULL; i++) {
        if (strcmp(asked->ids[i], id) == 0) return true;
    }
    return false;
}

/* The first row plants nothing. */
static size_t make_rows(const struct simulate_mutants *asked, struct row *rows)
{
    size_t known, count = 1;
    const struct mutant_line *lines = mutant_list(&known);
    ASSERT(known < ROWS_MAX);
    for (size_t i = 0; i < known; i++) {
        if (!is_wanted(asked, lines[i].name)) continue;
        rows[count] = (struct row){.line = &lines[i]};
        for (size_t u = 0; u < sizeof(unseen) / sizeof(unseen[0]); u++) {
            rows[count].is_unseen = rows[count].is_unseen || strcmp(unseen[u], lines[i].name) == 0;
        }
        count++;
    }
    return count;
}

struct sums {
    uint64_t seen, of;           /* by the simulator, of those that it can see */
    uint64_t elsewhere, of_else; /* by a program, of the others */
    bool is_clean;               /* nothing fails where nothing is planted */
};

static struct sums add_up(const struct simulate_mutants *asked, const struct row *rows, size_t count)
{
    struct sums sums = {.is_clean = !rows[0].is_broken && rows[0].program == NULL && rows[0].saw[0] == '\0'};
    for (size_t i = 1; i < count; i++) {
        sums.is_clean = sums.is_clean && rows[i].breaks_without == 0;
        bool is_for_programs = rows[i].is_unseen || asked->seeds_max == 0;
        sums.of += !is_for_programs;
        sums.seen += !is_for_programs && rows[i].is_broken;
        sums.of_else += is_for_programs;
        sums.elsewhere += is_for_programs && rows[i].program != NULL;
    }
    return sums;
}

static void print_number(uint64_t number)
{
    if (number >= 1000) printf("%" PRIu64 ",%03" PRIu64, number / 1000, number % 1000);
    if (number < 1000) printf("%" PRIu64, number);
}

static void print_table(const struct simulate_mutants *asked, const struct row *rows, size_t count, const struct sums *sums)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        char where[64] = "-";
        if (row->is_broken) snprintf(where, sizeof(where), "seed number %" PRIu64, row->seeds);
        if (row->program != NULL) snprintf(where, sizeof(where), "%s", row->program);
        printf("%-5s %-75s | %-20s | %s\n", id_of(row), text_of(row), where, row->saw[0] == '\0' ? "-" : row->saw);
    }
    for (size_t i = 0; i < count; i++) {
        if (rows[i].breaks_without > 0) printf("seed %" PRIu64 " breaks with nothing planted\n", rows[i].breaks_without);
    }
    if (!sums->is_clean) printf("something fails without any planted bug\n");
    uint64_t passed = sums->seen + sums->elsewhere + sums->is_clean;
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, sums->of + sums->of_else + 1 - passed);
    if (sums->of_else > 0) printf("%" PRIu64 " of %" PRIu64 " planted bugs killed by a program\n", sums->elsewhere, sums->of_else);
    if (sums->of == 0) return;
    printf("%" PRIu64 " of %" PRIu64 " planted bugs killed within ", sums->seen, sums->of);
    print_number(asked->seeds_max);
    printf(" seeds\n");
}

static void print_json(const struct simulate_mutants *asked, const struct row *rows, size_t count, const struct sums *sums)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        json_t *seed = row->is_broken ? json_integer((json_int_t)row->seed) : json_null();
        json_t *program = row->program != NULL ? json_string(row->program) : json_null();
        json_array_append_new(list, json_pack("{ss ss ss so sI so ss}", "id", id_of(row), "what", text_of(row), "source",
                                              row->line == NULL ? "" : row->line->source, "seed", seed, "seeds", (json_int_t)row->seeds,
                                              "program", program, "saw", row->saw));
    }
    json_t *all = json_pack("{sI so sI sI sI sI sb}", "seeds_max", (json_int_t)asked->seeds_max, "planted", list, "killed", (json_int_t)sums->seen,
                            "of", (json_int_t)sums->of, "killed_by_programs", (json_int_t)sums->elsewhere, "of_programs",
                            (json_int_t)sums->of_else, "holds_without", sums->is_clean);
    ASSERT(all != NULL);
    json_dumpf(all, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(all);
}

int simulate_mutants(const struct simulate_mutants *asked)
{
    void *memory = mmap(NULL, ROWS_MAX * sizeof(struct row), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(memory != MAP_FAILED && asked->jobs > 0);
    struct row *rows = memory;
    for (size_t i = 0; asked->ids != NULL && asked->ids[i] != NULL; i++) {
        bool is_known = mutant_choose(asked->ids[i]) && asked->ids[i][0] != '\0';
        (void)mutant_choose(NULL);
        if (is_known) continue;
        fprintf(stderr, "no such planted bug: %s\n", asked->ids[i]);
        return 2;
    }
    size_t count = make_rows(asked, rows);
    judge_all(asked, rows, count);
    struct sums sums = add_up(asked, rows, count);
    if (asked->json) print_json(asked, rows, count, &sums);
    if (!asked->json) print_table(asked, rows, count, &sums);
    munmap(memory, ROWS_MAX * sizeof(struct row));
    return sums.is_clean && sums.seen * 100 >= sums.of * 95 && sums.elsewhere == sums.of_else ? 0 : 1;
}

#else

int simulate_mutants(const struct simulate_mutants *asked)
{
    (void)asked;
    fprintf(stderr, "this build has no planted bugs: cmake --preset sim && cmake --build --preset sim -j 2, then build/sim/bin/simulate\n");
    return 2;
}

#endif
