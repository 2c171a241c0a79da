/* live: see the header. */
#include "live.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

void live_show(const struct settings *settings, const struct run_second *second, uint64_t all_errors)
{
    if (settings->is_live_json) {
        printf("{\"second\":%.3f,\"ops\":%" PRIu64 ",\"ops_per_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"errors\":%" PRIu64 "}\n",
               second->at_s, second->ops, second->ops_per_s, second->p50_us, second->p99_us, second->max_us, second->errors);
        (void)fflush(stdout);
    }
    if (!settings->is_live) return;
    fprintf(stderr, "\r\033[K%6.0f s  %10.0f/s  p50 %.2f ms  p99 %.2f ms  errors %" PRIu64, second->at_s, second->ops_per_s, second->p50_us / 1e3,
            second->p99_us / 1e3, all_errors);
    (void)fflush(stderr);
}

void live_end(const struct settings *settings)
{
    if (settings->is_live) fputs("\r\033[K", stderr);
}
