/* kvd: one member of a cluster as a process. Options, then a node, then waiting: for a signal, for the roles' mail to
 * main, for the time of the next ping. The contract with supervisors: README. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/standard_streams.h"
#include "config_print.h"
#include "options.h"
#include "pipeline/node.h"
#include "process.h"
#include "rpc/coalescer.h"
#include "rpc/service.h"

#define STOP_TIMEOUT_NS (1200 * NS_PER_MS) /* a supervisor's patience is 1.5 s */
#define PING_INTERVAL_NS (5 * NS_PER_S)    /* when no watchdog asks for less */
#define PINGS_PER_WATCHDOG 3               /* a round that is answered late costs nobody his life */
#define EXIT_USAGE 2

enum { EVENT_SIGNAL, EVENT_NODE, EVENT_PING, EVENT_COUNT };

struct program {
    const struct options *options;
    int argc;
    char **argv;
};

struct supervisor {
    struct node *node;
    const struct program *program;
    int epoll;
    int descriptors[EVENT_COUNT];
    bool is_ready;
    bool is_stopping;
};

static void watch(struct supervisor *supervisor, int event_number, int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)event_number};
    supervisor->descriptors[event_number] = descriptor;
    int error = descriptor < 0 ? -1 : epoll_ctl(supervisor->epoll, EPOLL_CTL_ADD, descriptor, &event);
    if (error != 0) fatal("cannot wait for events: %s", strerror(errno));
}

static int open_timer(void)
{
    uint64_t watchdog_ns = process_watchdog_ns();
    uint64_t interval_ns = watchdog_ns / PINGS_PER_WATCHDOG;
    if (watchdog_ns == 0 || interval_ns > PING_INTERVAL_NS) interval_ns = PING_INTERVAL_NS;
    if (interval_ns == 0) interval_ns = 1;
    struct timespec interval = {.tv_sec = (time_t)(interval_ns / NS_PER_S), .tv_nsec = (long)(interval_ns % NS_PER_S)};
    struct itimerspec times = {.it_interval = interval, .it_value = interval};
    int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (descriptor >= 0 && timerfd_settime(descriptor, 0, &times, NULL) != 0) fatal("timerfd: %s", strerror(errno));
    return descriptor;
}

static void on_node(struct supervisor *supervisor)
{
    node_main_step(supervisor->node);
    if (supervisor->is_ready || !node_is_ready(supervisor->node)) return;
    supervisor->is_ready = true;
    LOG(INFO, "ready to serve client requests", LOG_F_TEXT("address", node_client_addresses(supervisor->node)));
    process_notify_ready();
}

/* The watchdog is fed only if every role has answered the ping before this one. */
static void on_ping(struct supervisor *supervisor)
{
    uint64_t count;
    if (read(supervisor->descriptors[EVENT_PING], &count, sizeof(count)) != sizeof(count)) return;
    char names[256];
    uint32_t missing = node_ping(supervisor->node, names, sizeof(names));
    if (missing == 0) {
        process_notify_alive();
    } else {
        LOG(WARN, "roles did not answer in time", LOG_F_U64("roles", missing), LOG_F_TEXT("names", names));
    }
}

/* The files that were named at the start: others need a restart. */
static void reload_certificate(struct node *node)
{
    char why[2048];
    if (node_reload_tls(node, why, sizeof(why))) return;
    LOG(ERROR, "the certificate cannot be read again; the one before stays in force", LOG_F_TEXT("error", why));
}

/* SIGHUP: the command line, the environment as it was, and the files as they are now. What can change while a member runs does: the log
 * level, and what the files of the certificate hold. */
static void reload(struct node *node, const struct program *program)
{
    struct options *options = ALLOC(struct options);
    struct buf others;
    buf_init(&others);
    if (options_init(options, program->argc, program->argv) == OPTIONS_RUN) {
        reload_certificate(node);
        log_set_level(options->log_level);
        options_difference(program->options, options, "log-level", &others);
        LOG(INFO, "configuration is read again", LOG_F_TEXT("log-level", options->log_level_text));
        buf_put_u8(&others, 0);
        const char *names = (const char *)buf_slice(&others).data;
        if (names[0] != '\0') LOG(WARN, "these settings have changed and need a restart", LOG_F_TEXT("settings", names));
    } else {
        LOG(ERROR, "the configuration cannot be read again; nothing is changed", LOG_F_TEXT("error", options->message));
    }
    buf_deinit(&others);
    options_deinit(options);
    alloc_free(options);
}

static void on_signal(struct supervisor *supervisor)
{
    int number = process_signals_take(supervisor->descriptors[EVENT_SIGNAL]);
    if (number == 0) return;
    if (number == SIGUSR1) {
        process_log_memory(&node_shared(supervisor->node)->metrics);
        return;
    }
    if (number == SIGHUP) {
        if (supervisor->is_ready) process_notify_reloading();
        reload(supervisor->node, supervisor->program);
        if (supervisor->is_ready) process_notify_ready();
        return;
    }
    LOG(INFO, "received signal; shutting down", LOG_F_TEXT("signal", number == SIGTERM ? "terminated" : "interrupt"));
    supervisor->is_stopping = true;
}

static void supervise(struct node *node, const struct program *program)
{
    char names[256];
    struct supervisor supervisor = {.node = node, .program = program, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    watch(&supervisor, EVENT_SIGNAL, process_signals_open());
    watch(&supervisor, EVENT_NODE, node_main_descriptor(node));
    watch(&supervisor, EVENT_PING, open_timer());
    (void)node_ping(node, names, sizeof(names)); /* the first tick of the timer asks for its answers */
    while (!supervisor.is_stopping) {
        struct epoll_event events[EVENT_COUNT];
        int count = epoll_wait(supervisor.epoll, events, EVENT_COUNT, -1);
        ASSERT(count >= 0 || errno == EINTR);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u32 == EVENT_SIGNAL) on_signal(&supervisor);
            if (events[i].data.u32 == EVENT_NODE) on_node(&supervisor);
            if (events[i].data.u32 == EVENT_PING) on_ping(&supervisor);
        }
    }
    close(supervisor.descriptors[EVENT_SIGNAL]);
    close(supervisor.descriptors[EVENT_PING]);
    close(supervisor.epoll);
}

static void log_start(const struct config *config)
{
    LOG(INFO, "starting kvd", LOG_F_TEXT("kvd-version", KVD_VERSION), LOG_F_TEXT("etcd-version", SERVICE_API_VERSION),
        LOG_F_TEXT("name", config->name), LOG_F_TEXT("data-dir", config->data_dir_path),
        LOG_F_TEXT("listen-client-urls", config->listen_client_urls),
        LOG_F_TEXT("advertise-client-urls", config->advertise_client_urls),
        LOG_F_TEXT("listen-peer-urls", config->listen_peer_urls),
        LOG_F_TEXT("initial-advertise-peer-urls", config->initial_advertise_peer_urls),
        LOG_F_TEXT("initial-cluster", config->initial_cluster),
        LOG_F_TEXT("initial-cluster-state", config->initial_cluster_state));
    if (config->unsafe_no_fsync) LOG0(WARN, "--unsafe-no-fsync: acknowledged writes do not survive a power loss");
}

/* The reason of a failed start is the last line on the log. */
static int refuse(const char *reason)
{
    ASSERT(reason[0] != '\0');
    LOG(FATAL, "failed to start", LOG_F_TEXT("error", reason));
    return EXIT_FAILURE;
}

static int run(const struct program *program)
{
    const struct options *options = program->options;
    char message[2048] = "unknown";
    process_init(options->log_level, options->log_format);
    options_log_warnings(options);
    log_start(&options->config);
    struct node *node = node_open(&options->config, message, sizeof(message));
    if (node != NULL) coalescer_set_stuck_fn(node_finish_write, node);
    bool is_started = node != NULL && node_start(node, message, sizeof(message));
    if (is_started) {
        LOG(INFO, "started member", LOG_F_HEX("local-member-id", node_member_id(node)),
            LOG_F_HEX("cluster-id", node_cluster_id(node)), LOG_F_TEXT("client-addresses", node_client_addresses(node)),
            LOG_F_TEXT("peer-addresses", node_peer_addresses(node)), LOG_F_TEXT("metrics-addresses", node_metrics_addresses(node)));
        supervise(node, program);
        process_notify_stopping();
        node_stop(node, STOP_TIMEOUT_NS);
    }
    coalescer_set_stuck_fn(NULL, NULL); /* no role runs any more, and what is left is sent without door */
    node_close(node);
    process_deinit();
    if (!is_started) return refuse(message);
    LOG0(INFO, "stopped");
    return EXIT_SUCCESS;
}

/* The reason stands last, where people and supervisors look for it. */
static int explain_usage(const struct options *options)
{
    ASSERT(options->message[0] != '\0');
    fprintf(stderr, "Usage: kvd [flags]\n`kvd --help` lists the flags with their defaults, and examples.\n%s\n", options->message);
    return EXIT_USAGE;
}

STANDARD_STREAMS_RESERVE_FIRST;

int main(int argc, char **argv)
{
    struct options *options = ALLOC(struct options);
    int code = EXIT_SUCCESS;
    switch (options_init(options, argc, argv)) {
    case OPTIONS_RUN:
        code = run(&(struct program){.options = options, .argc = argc, .argv = argv});
        break;
    case OPTIONS_HELP:
        options_print_help(options);
        break;
    case OPTIONS_VERSION:
        printf("kvd Version: " KVD_VERSION "\netcd Version: " SERVICE_API_VERSION "\n");
        break;
    case OPTIONS_CHECK:
        code = config_print_check(options);
        break;
    case OPTIONS_PRINT:
        if (strcmp(options->print, "man") == 0) config_print_man();
        else config_print_example();
        break;
    case OPTIONS_USAGE:
        code = explain_usage(options);
        break;
    case OPTIONS_INVALID:
        code = refuse(options->message);
        break;
    }
    options_deinit(options);
    alloc_free(options);
    return code;
}
