/* plot: see the header. */
#include "plot.h"

#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

#define US 1e3
#define TICKS_PER_HALF 8

extern char **environ;

static const char *ending(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot == NULL ? "" : dot;
}

bool plot_can_write(const char *path) { return strcmp(ending(path), ".svg") == 0 || strcmp(ending(path), ".png") == 0; }

/* Text in gnuplot's single quotes. */
static void put_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'') fputc('\'', out);
        if ((unsigned char)*text >= 0x20) fputc(*text, out);
    }
    fputc('\'', out);
}

/* gnuplot, with what `out_file` is told on its standard input; 0 = there is none. */
static pid_t start(FILE **out_file)
{
    char *const arguments[] = {"gnuplot", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid = 0;
    if (pipe(ends) != 0) return 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int error = posix_spawnp(&pid, "gnuplot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    *out_file = error == 0 ? fdopen(ends[1], "w") : NULL;
    if (*out_file != NULL) return pid;
    close(ends[1]);
    errno = error;
    return 0;
}

static bool end(pid_t pid, FILE *file, const char *path)
{
    int status = 0;
    bool is_good = fclose(file) == 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    is_good = is_good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!is_good) fprintf(stderr, "kvbench: gnuplot could not draw %s\n", path);
    return is_good;
}

static pid_t begin(const struct settings *settings, FILE **out_file, const char *size)
{
    pid_t pid = start(out_file);
    if (pid == 0) {
        fprintf(stderr, "kvbench: --plot needs gnuplot (Debian: gnuplot-nox): %s\n", strerror(errno));
        return 0;
    }
    fprintf(*out_file, "set terminal %s size %s\nset output ", strcmp(ending(settings->plot), ".svg") == 0 ? "svg dynamic" : "png", size);
    put_quoted(*out_file, settings->plot);
    fputc('\n', *out_file);
    return pid;
}

static void put_rates(FILE *out, const struct run_result *result)
{
    fprintf(out, "$rates << END\n");
    for (size_t i = 0; i < result->series_count; i++)
        fprintf(out, "%.3f %.1f %.4f\n", result->series[i].at_s, result->series[i].ops_per_s, result->series[i].p99_us / US);
    fprintf(out, "END\nset xrange [0:*]\nset xlabel 'seconds'\nset ylabel 'operations per second'\nset yrange [0:*]\nset y2label 'p99, ms'\nset y2range [0:*]\n"
                 "set y2tics\nset ytics nomirror\nset key below\n"
                 "plot $rates using 1:2 with linespoints title 'rate', $rates using 1:3 axes x1y2 with lines title 'p99'\n");
}

static void put_latencies(FILE *out, const struct histogram *latencies)
{
    fprintf(out, "$latencies << END\n");
    for (double left = 1; left >= 1 / (double)(latencies->count + 1); left /= 1 + 1.0 / TICKS_PER_HALF)
        fprintf(out, "%.3f %.4f\n", 1 / left, (double)histogram_percentile_ns(latencies, 1 - left) / 1e6);
    fprintf(out, "END\nunset y2label\nunset y2tics\nset ytics mirror\nset logscale x\nset xrange [1:*]\nset yrange [0:*]\nset xlabel 'percentile'\n"
                 "set ylabel 'latency, ms'\nset xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000, '99.999' 100000)\nunset key\n"
                 "plot $latencies using 1:2 with lines\n");
}

bool plot_run(const struct settings *settings, const struct run_result *result)
{
    FILE *out;
    char title[256];
    if (settings->plot[0] == '\0') return true;
    pid_t pid = begin(settings, &out, "900,900");
    if (pid == 0) return false;
    (void)snprintf(title, sizeof title, "%s, %" PRIu64 " clients, %" PRIu64 " connections", settings_command(settings->command)->name, settings->clients,
                   settings->conns);
    fprintf(out, "set multiplot layout 2,1 title ");
    put_quoted(out, title);
    fprintf(out, " noenhanced\n");
    put_rates(out, result);
    put_latencies(out, &result->total.latencies);
    fprintf(out, "unset multiplot\n");
    return end(pid, out, settings->plot);
}

bool plot_bars(const struct settings *settings, const char *a, const char *b, const struct plot_bar *bars, size_t count)
{
    FILE *out;
    char title[256];
    if (settings->plot[0] == '\0') return true;
    pid_t pid = begin(settings, &out, "900,500");
    if (pid == 0) return false;
    fprintf(out, "$bars << END\n");
    for (size_t i = 0; i < count; i++) fprintf(out, "%s %.5f\n", bars[i].name, bars[i].ratio > 0 ? bars[i].ratio : 1e-4);
    (void)snprintf(title, sizeof title, "%s: %.80s to %.80s, medians", settings_command(settings->command)->name, a, b);
    fprintf(out, "END\nset title ");
    put_quoted(out, title);
    fprintf(out, " noenhanced\nset logscale y\nset ylabel 'ratio'\nset style fill solid 0.6\nset boxwidth 0.7\nset grid y\nunset key\n"
                 "set xtics rotate by -35 noenhanced\nplot $bars using 0:2:xtic(1) with boxes, 1 with lines\n");
    return end(pid, out, settings->plot);
}
