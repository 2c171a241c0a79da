/* sim_report: see sim_report.h. */
#include "lib/sim_report.h"

#include <inttypes.h>

#include "base/clock.h"

static double per_s(uint64_t amount, uint64_t ns) { return ns == 0 ? 0 : (double)amount * 1e9 / (double)ns; }
static double hours(const struct sim_result *total) { return (double)total->simulated_ns / 3600e9; }

static double hours_per_minute(const struct sim_fleet_result *result)
{
    return result->wall_ns == 0 ? 0 : hours(&result->total) * 60e9 / (double)result->wall_ns;
}

struct number {
    const char *name;
    uint64_t value;
};
#define NUMBERS_MAX 96

static uint64_t median_span(const struct sim_result *total)
{
    uint64_t span = 0, sum = total->led_after[0];
    while (sum * 2 < total->cores && span < SIM_CORE_SPANS - 1) sum += total->led_after[++span];
    return span;
}

#ifdef KVD_SIM
static const char *const site_names[] = {
#define SITE_NAME(site, text) #site,
    BUGGIFY_SITES(SITE_NAME)
#undef SITE_NAME
};

static void print_sites(const struct sim_result *total, FILE *out)
{
    fprintf(out, "rare behaviour:");
    for (int i = 0; i < BUGGIFY_SITE_COUNT; i++) fprintf(out, " %s %" PRIu64, site_names[i], total->fired[i]);
    fprintf(out, "\n");
}
#endif

static size_t list_counts(const struct sim_result *total, struct number *out_numbers)
{
    const struct world_counts *counts = &total->counts;
    const struct number numbers[] = {
        {"crashes", counts->kills}, {"power losses", counts->power_losses}, {"stops", counts->stops}, {"pauses", counts->pauses},
        {"partitions", total->faults[SIM_PARTITION] + total->faults[SIM_CUT] + total->faults[SIM_SHAPE]}, {"streams broken", counts->streams_broken},
        {"elections", counts->elections}, {"transfers", counts->transfers}, {"frames", counts->frames},
        {"looks at all disks", counts->probes}, {"without their newest snapshots", counts->probes_older}, {"starts refused for space", counts->refused_space}, {"stopped by a failed disk", counts->failed_disks},
        {"disks damaged", counts->flips}, {"starts refused for damage", counts->refused_damage}, {"starts with a suspect tail", counts->suspects},
        {"all snapshots damaged", counts->lost_snapshots}, {"begun anew without them", counts->lost_states}, {"logs lost", counts->lost_logs},
        {"looks at a state", counts->looks}, {"states compared", counts->looks_compared}, {"of these freed apart", counts->looks_freed_apart},
        {"views held", counts->holds}, {"reads of the past", total->clients.old_reads}, {"answered as compacted", total->clients.compacted_reads},
        {"reads in orders and filters", total->clients.shaped_reads}, {"pages", total->clients.pages}, {"slow streams", total->clients.slow_streams},
        {"votes after damage", counts->suspect_votes}, {"frames repeated", counts->repeats}, {"chores that took their time", counts->late_chores}, {"files of old segments used again", counts->reused_files},
        {"snapshots taken", counts->snapshots}, {"installed", counts->installs}, {"saved by a client", total->saves}, {"restored", total->restores}, {"operations on snapshots that failed", counts->snap_faults}, {"removals that failed", counts->unlink_faults}, {"deaths beside a new name", counts->name_dooms},
        {"operations of a start that failed", counts->start_faults}, {"starts refused for them", counts->refused_reads}, {"starts cut short by a power loss", counts->cut_starts},
        {"leases granted", counts->leases_granted}, {"expired", counts->leases_expired}, {"revokes", total->leases.revokes},
        {"questions about leases", total->leases.questions}, {"puts with a lease", total->leases.puts},
        {"puts with a TTL", total->leases.makers}, {"granted again when over", total->leases.hunts}, {"checkpoints", counts->checkpoints}, {"keep-alive streams", total->renew.streams},
        {"renewals asked for", total->renew.asked}, {"answered", total->renew.renewed}, {"answered as gone", total->renew.gone},
        {"timers seen to be renewed", counts->timers_renewed}, {"naps", counts->naps},
        {"alarms", counts->alarms}, {"disarmed", counts->disarms}, {"lists of alarms", total->quota.lists},
        {"pages of histories", total->history.pages}, {"their events", total->history.events}, {"histories compacted", total->history.compacted},
        {"hashes told", total->hashes.hashes}, {"by members behind others", total->hashes.lagging}, {"hashes compacted", total->hashes.compacted},
        {"of the future", total->hashes.future},
        {"pages of watchers", total->who.pages}, {"watchers canceled by an operator", total->who.cancels},
        {"calls that lock or campaign", total->locks.calls}, {"owners", total->locks.owners}, {"calls given up", total->locks.left},
        {"writes of such calls", total->locks.writes},
        {"watch streams", total->watch.streams}, {"watchers", total->watch.watchers}, {"resumed", total->watch.resumed},
        {"watch events", total->watch.events}, {"with what was before", total->watch.with_previous}, {"fragments", total->watch.fragments},
        {"answers of progress", total->watch.progress}, {"notifications of progress", total->watch.notifications},
        {"watchers compacted", total->watch.compacted}, {"streams left by their clients", total->watch.left},
        {"majorities healed first", total->cores}, {"election timeouts until half of them were led", median_span(total)},
    };
    size_t count = sizeof(numbers) / sizeof(numbers[0]);
    for (size_t i = 0; i < count; i++) out_numbers[i] = numbers[i];
    return count;
}

void sim_report_print(const struct sim_fleet_result *result, FILE *out)
{
    const struct sim_result *total = &result->total;
    struct number numbers[NUMBERS_MAX];
    size_t count = list_counts(total, numbers);
    fprintf(out, "operations: %" PRIu64 " acknowledged, %.1f per simulated second; %" PRIu64 " of unknown outcome; %" PRIu64 " log entries\n",
            total->done, per_s(total->done, total->simulated_ns), total->unknown, total->entries);
    fprintf(out, "wall time %.1f s: %.0f events per second, %.2f cluster-hours per minute; processor time %.1f s: %.0f events and %.0f steps "
            "of roles per second\n",
            (double)result->wall_ns / 1e9, per_s(total->events, result->wall_ns), hours_per_minute(result),
            (double)result->cpu_ns / 1e9, per_s(total->events, result->cpu_ns), per_s(total->steps, result->cpu_ns));
    for (size_t i = 0; i < count; i++) fprintf(out, "%s%s %" PRIu64, i == 0 ? "" : ", ", numbers[i].name, numbers[i].value);
    fprintf(out, "\nfaults asked for:");
    for (int i = 0; i < SIM_FAULTS; i++) fprintf(out, " %s %" PRIu64, sim_fault_name((enum sim_fault)i), total->faults[i]);
    fprintf(out, "\n");
#ifdef KVD_SIM
    print_sites(total, out);
#endif
    for (uint32_t i = 0; i < result->failure_count; i++) {
        fprintf(out, "seed %" PRIu64 ": %s\n", result->failures[i].seed, result->failures[i].broken);
    }
    fprintf(out, "%" PRIu64 " seeds, %.2f cluster-hours, %" PRIu64 " events, %u violations\n", result->seeds, hours(total), total->events,
            result->failure_count);
}

static void json_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (const char *at = text; *at != '\0'; at++) fputc(*at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '\'' : *at, out);
    fputc('"', out);
}

void sim_report_json(const struct sim_fleet_result *result, FILE *out)
{
    const struct sim_result *total = &result->total;
    struct number numbers[NUMBERS_MAX];
    size_t count = list_counts(total, numbers);
    fprintf(out, "{\"seeds\":%" PRIu64 ",\"cluster_hours\":%.4f,\"events\":%" PRIu64 ",\"steps\":%" PRIu64 ",\"acknowledged\":%" PRIu64
            ",\"acknowledged_per_simulated_second\":%.2f,\"unknown\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"wall_seconds\":%.2f,\"cpu_seconds\":%.2f",
            result->seeds, hours(total), total->events, total->steps, total->done, per_s(total->done, total->simulated_ns), total->unknown,
            total->entries, (double)result->wall_ns / 1e9, (double)result->cpu_ns / 1e9);
    for (size_t i = 0; i < count; i++) {
        fputc(',', out);
        json_text(numbers[i].name, out);
        fprintf(out, ":%" PRIu64, numbers[i].value);
    }
    fprintf(out, ",\"faults\":{");
    for (int i = 0; i < SIM_FAULTS; i++) {
        fprintf(out, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",", sim_fault_name((enum sim_fault)i), total->faults[i]);
    }
    fprintf(out, "},\"violations\":[");
    for (uint32_t i = 0; i < result->failure_count; i++) {
        const struct sim_fleet_failure *failure = &result->failures[i];
        fprintf(out, "%s{\"seed\":%" PRIu64 ",\"invariant\":", i == 0 ? "" : ",", failure->seed);
        json_text(failure->broken, out);
        fprintf(out, ",\"options\":");
        json_text(failure->options, out);
        fputc('}', out);
    }
    fprintf(out, "]}\n");
}
