/* process: see process.h. */
#include "process.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/process_stats.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_server.h"

/* jemalloc looks this name up. Freed pages go back to the system within seconds, by a thread of jemalloc's own and
 * never on a role's time; huge pages, since reads jump about in memory; few arenas, since few threads allocate much, and each arena begins
 * several huge pages. */
extern const char *const malloc_conf;
const char *const malloc_conf = "background_thread:true,narenas:4,dirty_decay_ms:2000,muzzy_decay_ms:0,thp:always";

void process_log_memory(const struct metrics *metrics)
{
    struct process_stats stats;
    process_stats_read(&stats);
    LOG(INFO, "memory", LOG_F_U64("store-bytes", METRIC_GET(metrics, store_bytes)),
        LOG_F_U64("store-live-bytes", METRIC_GET(metrics, store_live_bytes)), LOG_F_U64("store-keys", METRIC_GET(metrics, store_keys)),
        LOG_F_U64("store-live-keys", METRIC_GET(metrics, store_live_keys)),
        LOG_F_U64("store-versions", METRIC_GET(metrics, store_versions)),
        LOG_F_U64("raft-tail-bytes", METRIC_GET(metrics, raft_tail_bytes)), LOG_F_U64("request-bytes", METRIC_GET(metrics, request_bytes)),
        LOG_F_U64("reply-bytes", METRIC_GET(metrics, reply_bytes)), LOG_F_U64("calls-in-flight", METRIC_GET(metrics, calls_in_flight)),
        LOG_F_U64("watch-streams", METRIC_GET(metrics, watch_streams)), LOG_F_U64("watchers", METRIC_GET(metrics, watchers)),
        LOG_F_U64("watch-key-bytes", METRIC_GET(metrics, watch_key_bytes)),
        LOG_F_U64("lane-bytes", METRIC_GET(metrics, lane_bytes)), LOG_F_U64("heap-allocated-bytes", stats.heap_allocated_bytes),
        LOG_F_U64("heap-active-bytes", stats.heap_active_bytes),
        LOG_F_U64("heap-resident-bytes", stats.heap_resident_bytes));
}

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

static sigset_t all_signals(void)
{
    sigset_t set = stop_signals();
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    return set;
}

/* Each connection is a descriptor; door keeps below whatever the limit then is. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    int error = getrlimit(RLIMIT_NOFILE, &limit);
    ASSERT(error == 0);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        LOG(WARN, "cannot raise RLIMIT_NOFILE", LOG_F_TEXT("error", strerror(errno)));
}

void process_init(enum log_level level, enum log_format format)
{
    log_set_level(level);
    log_set_format(format);
    sigset_t set = all_signals();
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    ASSERT(error == 0);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    rpc_process_init();
#ifdef KVD_COALESCE
    bool works = coalescer_self_test();
    if (works) LOG0(INFO, "writes of one drain are coalesced");
    if (!works) LOG0(WARN, "gRPC's writes do not come through the coalescer: each reply is a write of its own");
#endif
}

void process_deinit(void) { rpc_process_deinit(); }

int process_signals_open(void)
{
    sigset_t set = all_signals();
    int descriptor = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (descriptor < 0) fatal("signalfd: %s", strerror(errno));
    return descriptor;
}

int process_signals_take(int descriptor)
{
    struct signalfd_siginfo info;
    ASSERT(descriptor >= 0);
    if (read(descriptor, &info, sizeof(info)) != sizeof(info)) return 0;
    if (info.ssi_signo == SIGUSR1 || info.ssi_signo == SIGHUP) return (int)info.ssi_signo;
    sigset_t set = stop_signals();
    int error = pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* the default action is the end */
    ASSERT(error == 0);
    return (int)info.ssi_signo;
}

void process_notify_ready(void) { (void)sd_notify(0, "READY=1"); }

/* The time is what Type=notify-reload of newer systemd asks for; others pass it over. */
void process_notify_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / NS_PER_US);
}

void process_notify_stopping(void) { (void)sd_notify(0, "STOPPING=1"); }

void process_notify_alive(void) { (void)sd_notify(0, "WATCHDOG=1"); }

uint64_t process_watchdog_ns(void)
{
    uint64_t interval_us = 0;
    if (sd_watchdog_enabled(0, &interval_us) <= 0) return 0;
    ASSERT(interval_us > 0);
    return interval_us * NS_PER_US;
}
