/* run: one measurement from its beginning to its result. The main thread waits here, for the next second, the next operation that is due
 * (open loop), a signal, or the end; the client library's threads do the work.
 *
 *   connect → fill (--fill) → warm-up → measured → no new operations, those in flight are waited for → result
 *
 * A closed loop starts an operation when one has ended. By time, what is in flight at the end does not count. In an open loop operation i
 * is due at start + i / rate, whatever has become of the others, and its latency counts from there; all that were due count.
 *
 * Owner: run_load's caller owns the result. Thread: main. Limits: RUN_SECONDS_MAX seconds are kept one by one. */
#ifndef KVBENCH_RUN_H
#define KVBENCH_RUN_H
#include <stdbool.h>
#include <stdint.h>

#include "servers.h"
#include "settings.h"
#include "tally.h"

#define RUN_SECONDS_MAX 86400

struct run_second {
    double at_s; /* its end, since measuring began */
    uint64_t ops, errors;
    double ops_per_s, p50_us, p99_us, max_us;
};
struct run_result {
    struct tally total;
    double seconds;
    uint64_t client_cpu_ns;
    struct servers_usage used;   /* what the servers used: differences, but for memory */
    bool has_servers, lost_server, was_interrupted;
    bool was_broken;             /* a stream had ended, and with it the run */
    struct run_second *series;
    size_t series_count;
    char text[SETTINGS_TEXT_BYTES]; /* why nothing could be measured; else "" */
};

/* False: result->text says why nothing was measured. In both cases run_result_deinit is owed. */
bool run_load(const struct settings *settings, struct run_result *out_result);
void run_result_deinit(struct run_result *result);

/* For main, before any thread is made: the signals that run_load waits for are blocked. */
void run_block_signals(void);
void run_unblock_signals(void);

#endif
