/* kvbench: measures a kvd, or any server of etcd's v3 API, through libkvd-client. What it can do stands in settings.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/standard_streams.h"
#include "compare.h"
#include "completion.h"
#include "manual.h"
#include "plot.h"
#include "report.h"
#include "run.h"
#include "settings.h"

enum exit_code { EXIT_MEASURED = 0, EXIT_FAILED = 1, EXIT_BAD_ARGUMENTS = 2, EXIT_UNWRITTEN = 3 };

/* Who fills wants every key. */
static bool is_filled(const struct settings *settings, const struct run_result *result)
{
    uint64_t done = result->total.counts.ops, all = settings->keys;
    if (settings->command != COMMAND_FILL || done >= all) return true;
    const char *why = result->total.kind_count > 0 ? result->total.kinds[0].text : result->was_interrupted ? "interrupted" : "nothing was answered";
    fprintf(stderr, "kvbench: %" PRIu64 " of %" PRIu64 " keys were not put: %s\n", all - done, all, why);
    return false;
}

static enum exit_code measure(const struct settings *settings)
{
    struct run_result result;
    bool is_good = run_load(settings, &result), is_written = true;
    if (is_good) {
        if (settings->is_json) report_json(settings, &result);
        else report_table(settings, &result);
        is_written = report_hdr(settings, &result);
        is_written = plot_run(settings, &result) && is_written;
    } else {
        fprintf(stderr, "kvbench: %s\n", result.text);
    }
    bool has_done = is_good && is_filled(settings, &result) && !result.was_broken && (result.total.counts.ops > 0 || result.total.counts.errors == 0);
    run_result_deinit(&result);
    if (!has_done) return EXIT_FAILED;
    return is_written ? EXIT_MEASURED : EXIT_UNWRITTEN;
}

static enum exit_code compare(const struct settings *settings)
{
    bool is_written;
    if (!compare_run(settings, &is_written)) return EXIT_FAILED;
    return is_written ? EXIT_MEASURED : EXIT_UNWRITTEN;
}

STANDARD_STREAMS_RESERVE_FIRST;

int main(int argc, char **argv)
{
    struct settings settings;
    char text[SETTINGS_TEXT_BYTES];
    bool has_command;
    enum exit_code code = EXIT_MEASURED;
    setenv("GRPC_VERBOSITY", "NONE", 0); /* errors are told by us, once */
    if (argc == 2 && strcmp(argv[1], "man") == 0) {
        manual_page();
        return EXIT_MEASURED;
    }
    if (argc > 1 && strcmp(argv[1], "completion") == 0) {
        if (argc == 3 && completion_print(argv[2])) return EXIT_MEASURED;
        fprintf(stderr, "kvbench: completion wants the name of a shell: bash or fish\n");
        return EXIT_BAD_ARGUMENTS;
    }
    bool is_good = settings_parse(&settings, argc, argv, &has_command, text);
    if (is_good && settings.help && settings.compares) {
        manual_help_of_compare();
    } else if (is_good && settings.help && has_command) {
        manual_help_of(settings.command);
    } else if (is_good && settings.help) {
        manual_help();
    } else if (is_good) {
        run_block_signals();
        code = settings.compares ? compare(&settings) : measure(&settings);
    } else {
        if (text[0] == '\0') manual_help();
        else fprintf(stderr, "kvbench: %s\n", text);
        code = EXIT_BAD_ARGUMENTS;
    }
    settings_deinit(&settings);
    return (int)code;
}
