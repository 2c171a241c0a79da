/* servers: see the header. */
#include "servers.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define PATH_BYTES 320

/* Adds the numbers that stand behind these words of a file of lines "Word: number". */
static bool add_fields(const char *path, size_t count, const char *const *words, uint64_t *const *totals)
{
    char line[256];
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    while (fgets(line, sizeof line, file) != NULL) {
        size_t size = strcspn(line, ":");
        for (size_t i = 0; i < count && line[size] == ':'; i++)
            if (strlen(words[i]) == size && strncmp(line, words[i], size) == 0) *totals[i] += strtoull(line + size + 1, NULL, 10);
    }
    fclose(file);
    return true;
}

static void add_thread(long pid, const char *thread, struct servers_usage *usage)
{
    static const char *const words[] = {"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"};
    uint64_t *const totals[] = {&usage->switches, &usage->switches};
    char path[PATH_BYTES];
    uint64_t run_ns = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%.64s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (file == NULL) return; /* it has just ended */
    if (fscanf(file, "%" SCNu64, &run_ns) == 1) usage->cpu_ns += run_ns;
    fclose(file);
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%.64s/status", pid, thread);
    (void)add_fields(path, 2, words, totals);
}

static bool add_process(long pid, struct servers_usage *usage)
{
    static const char *const memory[] = {"VmRSS", "VmHWM"}, *const disk[] = {"write_bytes", "read_bytes"};
    uint64_t rss_kib = 0, peak_kib = 0;
    uint64_t *const memory_totals[] = {&rss_kib, &peak_kib}, *const disk_totals[] = {&usage->write_bytes, &usage->read_bytes};
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *threads = opendir(path);
    if (threads == NULL) return false;
    for (const struct dirent *thread; (thread = readdir(threads)) != NULL;)
        if (isdigit((unsigned char)thread->d_name[0])) add_thread(pid, thread->d_name, usage);
    closedir(threads);
    (void)snprintf(path, sizeof path, "/proc/%ld/status", pid);
    bool is_there = add_fields(path, 2, memory, memory_totals);
    (void)snprintf(path, sizeof path, "/proc/%ld/io", pid);
    (void)add_fields(path, 2, disk, disk_totals); /* another user's: not for us */
    usage->rss_bytes += rss_kib * 1024;
    usage->peak_rss_bytes += peak_kib * 1024;
    return is_there && rss_kib > 0; /* a process that ended and was not waited for has none */
}

bool servers_parse(const char *text, struct servers *out_servers, char *out_text, size_t text_size)
{
    struct servers_usage usage = {.cpu_ns = 0};
    out_servers->count = 0;
    for (const char *at = text; *at != '\0';) {
        char *end = NULL;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || (*end != '\0' && *end != ',') || (*end == ',' && end[1] == '\0') || out_servers->count == SERVERS_MAX) {
            (void)snprintf(out_text, text_size, "\"%.80s\" is not a list of process ids: 11,12,13", text);
            return false;
        }
        if (!add_process(pid, &usage)) {
            (void)snprintf(out_text, text_size, "there is no process %ld", pid);
            return false;
        }
        out_servers->pids[out_servers->count++] = pid;
        at = *end == ',' ? end + 1 : end;
    }
    return true;
}

void servers_reset_peaks(const struct servers *servers)
{
    char path[PATH_BYTES];
    for (size_t i = 0; i < servers->count; i++) {
        (void)snprintf(path, sizeof path, "/proc/%ld/clear_refs", servers->pids[i]);
        FILE *file = fopen(path, "w");
        if (file == NULL) continue;
        (void)fputs("5", file); /* sets VmHWM to VmRSS */
        (void)fclose(file);
    }
}

bool servers_read(const struct servers *servers, struct servers_usage *out_usage)
{
    bool are_there = true;
    *out_usage = (struct servers_usage){.cpu_ns = 0};
    for (size_t i = 0; i < servers->count; i++)
        if (!add_process(servers->pids[i], out_usage)) are_there = false;
    return are_there;
}

static uint64_t more(uint64_t before, uint64_t after) { return after > before ? after - before : 0; }

struct servers_usage servers_difference(const struct servers_usage *before, const struct servers_usage *after)
{
    return (struct servers_usage){.cpu_ns = more(before->cpu_ns, after->cpu_ns),
                                  .rss_bytes = after->rss_bytes,
                                  .peak_rss_bytes = after->peak_rss_bytes,
                                  .write_bytes = more(before->write_bytes, after->write_bytes),
                                  .read_bytes = more(before->read_bytes, after->read_bytes),
                                  .switches = more(before->switches, after->switches)};
}
