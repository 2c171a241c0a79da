/* manual: see the header. */
#include "manual.h"

#include <stdio.h>

#include "base/roff.h"

#define EXIT_STATUS_COUNT 4
static const char *const EXIT_STATUS[EXIT_STATUS_COUNT] = {"measured; single errors are in the result", "every operation failed, a stream ended, or nothing could be measured",
                                                           "the command line is wrong", "a file could not be written"};

void manual_help(void)
{
    printf("kvbench - measures a kvd, or any server of etcd's v3 API\n\nUsage:\n  kvbench WORKLOAD [flags]\n  kvbench WORKLOAD --help\n\nWorkloads:\n");
    for (int i = 0; i < COMMAND_COUNT; i++) printf("  %-12s %s\n", settings_command((enum command)i)->name, settings_command((enum command)i)->summary);
    printf("  %-12s %s\n", settings_compare()->name, settings_compare()->summary);
    printf("\nExamples:\n"
           "  kvbench fill --keys 100000                          load a hundred thousand keys\n"
           "  kvbench get --keys 100000 --clients 1000 --conns 100\n"
           "  kvbench put --rate 2000 --duration 1m               latency under a load that does not wait for the server\n"
           "  kvbench put --server-pids 11,12,13 -w json          with what the servers' processes used, as one JSON line\n"
           "  source <(kvbench completion bash)                   words are completed; fish: kvbench completion fish | source\n"
           "\nOf operations that fail, the kinds are counted; Ctrl-C ends a run early, and its result is printed.\n");
    printf("\nExit status:\n");
    for (int i = 0; i < EXIT_STATUS_COUNT; i++) printf("  %d  %s\n", i, EXIT_STATUS[i]);
}

static int flags_of(uint32_t of, struct settings *settings, struct flag *out_flags)
{
    struct settings_flag all[SETTINGS_FLAGS_MAX];
    int count = settings_flags(settings, all);
    return settings_flags_of(all, count, of, out_flags);
}

static void help_of(const struct command_row *row, const char *usage, uint32_t of)
{
    struct settings settings;
    struct flag flags[SETTINGS_FLAGS_MAX];
    int count = flags_of(of, &settings, flags);
    printf("kvbench %s - %s\n\nUsage:\n  kvbench %s%s\n\nExamples:\n%s\n", row->name, row->summary, row->name, usage, row->examples);
    flags_print_help(flags, count);
}

void manual_help_of(enum command command) { help_of(settings_command(command), " [flags]", OF(command)); }
void manual_help_of_compare(void)
{
    help_of(settings_compare(), " --a NAME=ENDPOINTS --b NAME=ENDPOINTS [flags] WORKLOAD [flags of the workload]", OF_COMPARE);
}

/* --- the manual page --------------------------------------------------------------------------------------------------------- */

/* Of nearly all workloads: it stands among the options, not with each of them. */
static bool is_common(const struct settings_flag *flag) { return __builtin_popcount(flag->of & OF_WORKLOADS) > COMMAND_COUNT / 2; }

void manual_page(void)
{
    struct settings settings;
    struct settings_flag all[SETTINGS_FLAGS_MAX];
    int count = settings_flags(&settings, all);
    printf(".\\\" Made by `kvbench man`.\n.TH KVBENCH 1 \"\" \"kvbench %s\" \"kvd\"\n.SH NAME\nkvbench \\- measures a kvd, or any server of etcd\\(aqs v3 API\n",
           KVD_VERSION);
    printf(".SH SYNOPSIS\n\\fBkvbench\\fR \\fIworkload\\fR [\\fIflags\\fR]\n.SH DESCRIPTION\n"
           "kvbench puts a load on a cluster and measures rate and latencies, its own processor time, and with \\fB\\-\\-server\\-pids\\fR what the servers "
           "used.\n.PP\nIn a closed loop, which is the default, each of \\fB\\-\\-clients\\fR starts a call when its last one has ended. With "
           "\\fB\\-\\-rate\\fR operations are due at fixed times whatever becomes of the others, and latency counts from there: a pause of the server is "
           "seen by all that were due in it.\n.PP\nOf operations that fail, the kinds are counted. Ctrl\\-C ends a run early, and its result is printed.\n");
    printf(".SH WORKLOADS\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_row *row = settings_command((enum command)i);
        printf(".SS \"");
        roff_put_text(row->name);
        printf("\"\n");
        roff_put_text(row->summary);
        printf(".\n");
        for (int k = 0; k < count; k++) /* what not all have */
            if ((all[k].of & OF(i)) != 0 && !is_common(&all[k])) roff_put_flag(&all[k].flag);
        roff_put_block(row->examples);
    }
    printf(".SH COMPARISON\n.SS \"compare\"\n");
    roff_put_text(settings_compare()->summary);
    printf(".\n");
    for (int k = 0; k < count; k++)
        if (all[k].of == OF_COMPARE) roff_put_flag(&all[k].flag);
    roff_put_block(settings_compare()->examples);
    printf(".SH OPTIONS\n");
    for (int k = 0; k < count; k++)
        if (is_common(&all[k])) roff_put_flag(&all[k].flag);
    printf(".SH \"EXIT STATUS\"\n");
    for (int i = 0; i < EXIT_STATUS_COUNT; i++) printf(".TP\n%d\n%s\n", i, EXIT_STATUS[i]);
    printf(".SH \"SEE ALSO\"\n.BR kvctl (1),\n.BR kvd (8)\n");
}
