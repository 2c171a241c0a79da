/* report: see the header. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define US 1e3
#define PERCENTILES 5

static const struct {
    const char *name, *title;
    double share;
} LATENCIES[PERCENTILES] = {{"p50_us", "p50", 0.5}, {"p90_us", "p90", 0.9}, {"p99_us", "p99", 0.99}, {"p999_us", "p99.9", 0.999}, {"max_us", "max", 1}};

size_t report_figures(const struct settings *settings, const struct run_result *result, struct report_figure out_figures[REPORT_FIGURES_MAX])
{
    const struct tally_counts *counts = &result->total.counts;
    const struct servers_usage *used = &result->used;
    const struct histogram *latencies = &result->total.latencies;
    double ops = counts->ops == 0 ? 1 : (double)counts->ops;
    size_t count = 0;
    struct report_figure *f = out_figures;
    f[count++] = (struct report_figure){"clients", (double)settings->clients, 0, false};
    f[count++] = (struct report_figure){"conns", (double)settings->conns, 0, false};
    f[count++] = (struct report_figure){"rate", (double)settings->rate, 0, false};
    f[count++] = (struct report_figure){"seconds", result->seconds, 3, false};
    f[count++] = (struct report_figure){"ops", (double)counts->ops, 0, false};
    f[count++] = (struct report_figure){"errors", (double)counts->errors, 0, true};
    f[count++] = (struct report_figure){"unknown", (double)counts->unknown, 0, false};
    f[count++] = (struct report_figure){"retries", (double)counts->retries, 0, false};
    f[count++] = (struct report_figure){"ops_per_s", result->seconds > 0 ? (double)counts->ops / result->seconds : 0, 1, true};
    f[count++] = (struct report_figure){"mean_us", histogram_mean_ns(latencies) / US, 1, true};
    for (size_t i = 0; i < PERCENTILES; i++)
        f[count++] = (struct report_figure){LATENCIES[i].name, (double)histogram_percentile_ns(latencies, LATENCIES[i].share) / US, 1, true};
    f[count++] = (struct report_figure){"client_cpu_us", (double)result->client_cpu_ns / US / ops, 2, true};
    f[count++] = (struct report_figure){"found", (double)counts->found, 0, false};
    f[count++] = (struct report_figure){"bytes_read", (double)counts->bytes_read, 0, false};
    f[count++] = (struct report_figure){"bytes_written", (double)counts->bytes_written, 0, false};
    if (result->has_servers) {
        f[count++] = (struct report_figure){"server_cpu_us", (double)used->cpu_ns / US / ops, 2, true};
        f[count++] = (struct report_figure){"server_cpu_s", (double)used->cpu_ns / 1e9, 3, false};
        f[count++] = (struct report_figure){"server_rss_bytes", (double)used->rss_bytes, 0, true};
        f[count++] = (struct report_figure){"server_peak_rss_bytes", (double)used->peak_rss_bytes, 0, true};
        f[count++] = (struct report_figure){"server_write_bytes", (double)used->write_bytes, 0, false};
        f[count++] = (struct report_figure){"server_write_bytes_per_op", (double)used->write_bytes / ops, 1, true};
        f[count++] = (struct report_figure){"server_read_bytes", (double)used->read_bytes, 0, false};
        f[count++] = (struct report_figure){"server_switches_per_op", (double)used->switches / ops, 3, true};
    }
    ASSERT(count <= REPORT_FIGURES_MAX);
    return count;
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------ */

void report_json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') printf("\\%c", byte);
        else if (byte < 0x20) printf("\\u%04x", byte);
        else putchar(byte);
    }
    putchar('"');
}

void report_json(const struct settings *settings, const struct run_result *result)
{
    struct report_figure figures[REPORT_FIGURES_MAX];
    const struct tally *total = &result->total;
    size_t count = report_figures(settings, result, figures);
    printf("{\"workload\":");
    report_json_text(settings_command(settings->command)->name);
    for (size_t i = 0; i < count; i++) printf(",\"%s\":%.*f", figures[i].name, figures[i].decimals, figures[i].value);
    printf(",\"errors_by_kind\":[");
    for (size_t i = 0; i < total->kind_count; i++) {
        printf("%s{\"code\":%d,\"text\":", i > 0 ? "," : "", (int)total->kinds[i].code);
        report_json_text(total->kinds[i].text);
        printf(",\"count\":%" PRIu64 "}", total->kinds[i].count);
    }
    printf("],\"interrupted\":%s,\"broken\":%s,\"server_lost\":%s}\n", result->was_interrupted ? "true" : "false", result->was_broken ? "true" : "false",
           result->lost_server ? "true" : "false");
    (void)fflush(stdout);
}

/* --- the table ------------------------------------------------------------------------------------------------------------- */

static void put_time(const char *title, double us)
{
    if (us < 1e3) printf("  %s %.0f us", title, us);
    else if (us < 1e6) printf("  %s %.2f ms", title, us / 1e3);
    else printf("  %s %.2f s", title, us / 1e6);
}

static void put_servers(const struct run_result *result, double ops)
{
    const struct servers_usage *used = &result->used;
    printf("  servers    %.2f s CPU, %.2f us per operation; memory %.1f MiB, at most %.1f MiB; written %.0f B, %.2f context switches per operation\n",
           (double)used->cpu_ns / 1e9, (double)used->cpu_ns / US / ops, (double)used->rss_bytes / 1048576, (double)used->peak_rss_bytes / 1048576,
           (double)used->write_bytes / ops, (double)used->switches / ops);
    if (result->lost_server) printf("             a process is gone: these figures are too small\n");
}

static void put_errors(const struct tally *total)
{
    printf("  errors     %" PRIu64, total->counts.errors);
    if (total->counts.unknown > 0) printf(", of which %" PRIu64 " may have been carried out", total->counts.unknown);
    if (total->counts.retries > 0) printf("; %" PRIu64 " attempts more", total->counts.retries);
    putchar('\n');
    for (size_t i = 0; i < total->kind_count; i++)
        printf("             %" PRIu64 " x %s (%s)\n", total->kinds[i].count, total->kinds[i].text, kvd_code_text(total->kinds[i].code));
    if (total->other_errors > 0) printf("             %" PRIu64 " x others\n", total->other_errors);
}

static bool is_reader(const struct settings *settings) { return settings->command == COMMAND_GET || settings->command == COMMAND_RANGE; }

void report_table(const struct settings *settings, const struct run_result *result)
{
    const struct tally *total = &result->total;
    const struct tally_counts *counts = &total->counts;
    double ops = counts->ops == 0 ? 1 : (double)counts->ops;
    printf("%s, %" PRIu64 " clients, %" PRIu64 " connections", settings_command(settings->command)->name, settings->clients, settings->conns);
    if (settings->rate > 0) printf(", %" PRIu64 " due each second", settings->rate);
    printf(": %" PRIu64 " operations in %.2f s%s\n", counts->ops, result->seconds, result->was_interrupted ? " (interrupted)" : result->was_broken ? " (cut: a stream ended)" : "");
    printf("  rate       %.1f/s\n  latency  ", result->seconds > 0 ? (double)counts->ops / result->seconds : 0);
    put_time("mean", histogram_mean_ns(&total->latencies) / US);
    for (size_t i = 0; i < PERCENTILES; i++)
        put_time(LATENCIES[i].title, (double)histogram_percentile_ns(&total->latencies, LATENCIES[i].share) / US);
    printf("\n  kvbench    %.2f us CPU per operation", (double)result->client_cpu_ns / US / ops);
    if (counts->bytes_read > 0) printf(", read %.1f MB/s", (double)counts->bytes_read / 1e6 / result->seconds);
    if (counts->bytes_written > 0) printf(", written %.1f MB/s", (double)counts->bytes_written / 1e6 / result->seconds);
    putchar('\n');
    if (result->has_servers) put_servers(result, ops);
    put_errors(total);
    if (is_reader(settings) && counts->ops > 0 && counts->found == 0) printf("  note       no key was found: put them by `kvbench fill` or --fill\n");
    (void)fflush(stdout);
}

/* --- HDR ------------------------------------------------------------------------------------------------------------------- */

bool report_hdr(const struct settings *settings, const struct run_result *result)
{
    if (settings->hdr[0] == '\0') return true;
    FILE *file = fopen(settings->hdr, "w");
    if (file != NULL) histogram_write_hdr(&result->total.latencies, file);
    bool is_good = file != NULL && ferror(file) == 0;
    if (file != NULL && fclose(file) != 0) is_good = false;
    if (!is_good) fprintf(stderr, "kvbench: cannot write %s: %s\n", settings->hdr, strerror(errno));
    return is_good;
}
