/* node: the map. Ports on gRPC, a thread per role, main's own lanes; the lanes between the roles stand in line.c. */
#include "pipeline/node.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process_stats.h"
#include "base/rng.h"
#include "pipeline/door_actor.h"
#include "pipeline/door_listen.h"
#include "pipeline/line.h"
#include "rpc/rpc_peer.h"
#include "rpc/rpc_server.h"

#define UNWATCHED_NS (200 * NS_PER_MS) /* for streams to get their last word; clients that do not read do not hold a stop up */

struct node {
    struct line line;
    struct fs *fs, *wal_fs, *snap_fs, *work_fs;
    struct data_dir dir;
    bool has_dir;
    struct rpc_tls *tls; /* NULL = clients talk in plain text */
    struct rpc_server *server;
    struct rpc_peer *peers;

    struct actor main; /* the app's thread: never started, stepped by node_main_step */
    int main_event;
    struct door_actor *door;
    struct door_http *http;
    uint64_t ping;      /* the last that was sent */
    uint32_t pong_bits; /* who has answered it: bit i is main.in[i]'s and main.out[i]'s role */
    bool is_ready, is_transferred, is_drained, is_unwatched;
};

/* --- main --- */

static void main_ring(struct actor *actor)
{
    struct node *node = (struct node *)(void *)((char *)actor - offsetof(struct node, main));
    uint64_t one = 1;
    ssize_t written = write(node->main_event, &one, sizeof(one));
    ASSERT(written == sizeof(one));
}

static void main_wait(struct actor *actor, uint64_t deadline_ns)
{
    (void)actor;
    (void)deadline_ns;
    ASSERT(false); /* the app waits, in its own epoll */
}

static void take_main_mail(struct node *node, uint32_t place, struct mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_LOG: {
        struct slice line = blob_slice(mail->log.line);
        ssize_t written = write(STDERR_FILENO, line.data, line.size);
        (void)written; /* nobody to tell */
        break;
    }
    case MAIL_READY: node->is_ready = true; break;
    case MAIL_PONG: /* a late answer to an earlier one says nothing about now */
        if (mail->ping.cookie == node->ping) node->pong_bits |= 1u << place;
        break;
    case MAIL_TRANSFERRED: node->is_transferred = true; break;
    case MAIL_DRAINED: node->is_drained = true; break;
    case MAIL_UNWATCHED: node->is_unwatched = true; break;
    default: ASSERT(false);
    }
    mail_deinit(mail);
}

static bool main_step(struct actor *actor, uint64_t now_ns)
{
    struct node *node = (struct node *)(void *)((char *)actor - offsetof(struct node, main));
    (void)now_ns;
    struct mail mail;
    for (uint32_t i = 0; i < actor->in_count; i++) {
        while (lane_take(actor->in[i], &mail)) take_main_mail(node, i, &mail);
    }
    return false;
}

static const struct actor_table main_table = {.name = "kvd-main", .step = main_step, .wait = main_wait, .ring = main_ring};

/* Main sleeps in the app's epoll all the time: its bell rings at every post until the step answers. */
static void main_sleep(struct node *node) { atomic_exchange_explicit(&node->main.bell.state, DOORBELL_ASLEEP, memory_order_seq_cst); }

int node_main_descriptor(const struct node *node) { return node->main_event; }

void node_main_step(struct node *node)
{
    uint64_t count;
    ssize_t got = read(node->main_event, &count, sizeof(count));
    ASSERT(got == sizeof(count) || errno == EAGAIN);
    main_sleep(node);
    (void)actor_step(&node->main, clock_mono_ns());
}

/* --- open and close --- */

static void make_ports(struct node *node)
{
    const struct config *config = &node->line.config;
    node->server = rpc_server_new(&(struct rpc_server_options){
        .max_request_bytes = config->max_request_bytes,
        .max_concurrent_streams = (uint32_t)config->max_concurrent_streams,
        .calls_max = config->calls_max,
        .streams_max = {[WATCH_METHOD_WATCH] = config->watch_streams_max, [WATCH_METHOD_KEEP_ALIVE] = config->keep_alive_streams_max},
        .keepalive_min_time_ns = config->keepalive_min_time_ns,
        .keepalive_interval_ns = config->keepalive_interval_ns,
        .keepalive_timeout_ns = config->keepalive_timeout_ns,
        .memory_bytes_max = 512u << 20,
        .tls = node->tls,
    });
    struct rpc_peer_options options = {
        .reconnect_min_ns = 50 * NS_PER_MS,
        .reconnect_max_ns = config->election_timeout_ms * NS_PER_MS,
        .keepalive_ns = config->election_timeout_ms * NS_PER_MS,
        .seed = rng_seed_from_system(),
        .queue = rpc_server_queue(node->server),
        .pump = rpc_server_pump,
        .pump_context = node->server,
    };
    line_hello(&node->line, &options.self);
    node->peers = rpc_peer_new(&options);
}

/* All listeners at once, and closed again. */
static bool can_listen(const struct config *config, char *out_message, size_t size)
{
    const char *lists[] = {config->listen_client_urls, config->listen_peer_urls, config->listen_metrics_urls};
    const size_t list_count = sizeof(lists) / sizeof(*lists);
    struct door_listen *listeners = alloc_zero(list_count * DOOR_LISTEN_MAX, sizeof(*listeners));
    int count = 0, opened = 0;
    for (size_t i = 0; i < list_count && opened >= 0; i++) {
        opened = lists[i][0] == '\0' ? 0 : door_listen_open(lists[i], &listeners[count], out_message, size);
        if (opened > 0) count += opened;
    }
    for (int i = 0; i < count; i++) door_listen_close(&listeners[i]);
    alloc_free(listeners);
    return opened >= 0;
}

/* A first start founds a member whose ids come from its URLs, for good: one that cannot serve under them is to leave nothing. */
static bool may_found(struct node *node, const struct config *config, char *out_message, size_t size)
{
    struct data_dir_identity identity;
    bool is_first = data_dir_load_identity(&node->dir, &identity, out_message, size) == ERR_KEY_NOT_FOUND;
    return !is_first || can_listen(config, out_message, size);
}

static bool recover(struct node *node, const struct config *config, char *out_message, size_t size)
{
    node->fs = fs_real_new();
    node->wal_fs = fs_real_new();
    node->snap_fs = fs_real_new();
    node->work_fs = fs_real_new();
    const struct data_names names = data_names_make(config->wal_subdir, config->snapshot_subdir, config->raft_state_file);
    if (data_dir_open(node->fs, config->data_dir_path, config->wal_dir, &names, &node->dir, out_message, size) != ERR_OK) return false;
    node->has_dir = true;
    if (!may_found(node, config, out_message, size)) return false;
    struct line_recover_options options = {.config = config, .dir = &node->dir, .wal_fs = node->wal_fs,
                                           .rcu = rcu_system(), .now_ns = clock_mono_ns(),
                                           .seed = rng_seed_from_system(), .secret = rng_seed_from_system()};
    return line_recover(&node->line, &options, out_message, size);
}

static void log_certificate(struct rpc_tls *tls)
{
    struct rpc_tls_identity identity;
    rpc_tls_identify(tls, &identity);
    LOG(INFO, "certificate for clients", LOG_F_TEXT("subject", identity.subject), LOG_F_TEXT("serial", identity.serial),
        LOG_F_TEXT("not-after", identity.not_after), LOG_F_TEXT("client-certificates", rpc_tls_needs_client(tls) ? "required" : "not asked for"));
    if (identity.is_expired) LOG(WARN, "the certificate for clients has expired", LOG_F_TEXT("not-after", identity.not_after));
}

/* False: message. */
static bool read_certificate(struct node *node, const struct config *config, char *out_message, size_t size)
{
    const struct rpc_tls_files files = {.certificate = config->cert_file, .key = config->key_file, .trusted_ca = config->trusted_ca_file};
    if (config->cert_file[0] == '\0') return true;
    node->tls = rpc_tls_new(&files, out_message, size);
    if (node->tls != NULL) log_certificate(node->tls);
    return node->tls != NULL;
}

bool node_reload_tls(struct node *node, char *out_message, size_t message_size)
{
    if (node->tls == NULL) return true;
    if (!rpc_tls_reload(node->tls, out_message, message_size)) return false;
    log_certificate(node->tls);
    return true;
}

struct node *node_open(const struct config *config, char *out_message, size_t message_size)
{
    struct node *node = ALLOC(struct node);
    node->main_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    actor_init(&node->main, &main_table);
    if (node->main_event < 0) {
        snprintf(out_message, message_size, "eventfd: %s", strerror(errno));
    } else if (read_certificate(node, config, out_message, message_size) && recover(node, config, out_message, message_size)) {
        make_ports(node);
        line_connect(&node->line, &(struct line_ports){.calls = rpc_server_port(node->server),
                                                       .peers = rpc_peer_port(node->peers),
                                                       .watches = rpc_server_watch_port(node->server), .snap_fs = node->snap_fs,
                                                       .wal_fs = node->wal_fs, .work_fs = node->work_fs,
                                                       .wal_path = node->dir.wal_path, .main = &node->main, .process = process_stats_read});
        return node;
    }
    node_close(node);
    return NULL;
}

void node_close(struct node *node)
{
    if (node == NULL) return;
    door_http_free(node->http);
    door_actor_free(node->door);
    rpc_peer_free(node->peers);
    rpc_server_free(node->server);
    rpc_tls_free(node->tls);
    rcu_wait(rcu_system());
    line_deinit(&node->line);
    if (node->has_dir) data_dir_close(&node->dir);
    fs_free(node->fs);
    fs_free(node->wal_fs);
    fs_free(node->snap_fs);
    fs_free(node->work_fs);
    if (node->main_event >= 0) close(node->main_event);
    alloc_free(node);
}

/* --- start and stop --- */

static void adopt_client(void *context, int descriptor) { rpc_server_adopt(((struct node *)context)->server, descriptor); }
static void adopt_client_tls(void *context, int descriptor) { rpc_server_adopt_tls(((struct node *)context)->server, descriptor); }
static void adopt_peer(void *context, int descriptor) { rpc_peer_adopt(((struct node *)context)->peers, descriptor); }

void node_finish_write(void *context, int descriptor) { door_actor_finish(((struct node *)context)->door, descriptor); }

bool node_start(struct node *node, char *out_message, size_t message_size)
{
    node->http = door_http_new(&(struct door_http_options){.config = &node->line.config, .shared = &node->line.shared, .self = node_member_id(node),
                                                             .tls = node->tls});
    if (node->http == NULL) {
        snprintf(out_message, message_size, "cannot open the HTTP front: %s", strerror(errno));
        return false;
    }
    struct door_options options = {.config = &node->line.config, .shared = &node->line.shared, .http = node->http,
                                   .client = {.adopt = adopt_client, .context = node},
                                   .client_tls = {.adopt = adopt_client_tls, .context = node},
                                   .peer = {.adopt = adopt_peer, .context = node}};
    node->door = door_actor_new(&options, out_message, message_size);
    if (node->door == NULL) return false;
    struct lane *from_main = NULL;
    struct lane *to_main = line_connect_main(&node->line, door_actor_base(node->door), &node->main, &from_main);
    door_actor_set_lanes(node->door, from_main, to_main);
    struct lane *to_net = NULL, *from_net = NULL;
    line_connect_door(&node->line, door_actor_base(node->door), &to_net, &from_net);
    door_http_set_lanes(node->http, to_net, from_net);
    main_sleep(node);
    for (uint32_t i = 0; i < node->line.role_count; i++) actor_start(node->line.roles[i]);
    actor_start(door_actor_base(node->door));
    return true;
}

const char *node_client_addresses(const struct node *node) { return door_actor_client_addresses(node->door); }
const char *node_metrics_addresses(const struct node *node) { return door_actor_metrics_addresses(node->door); }
const char *node_peer_addresses(const struct node *node) { return door_actor_peer_addresses(node->door); }
bool node_is_ready(const struct node *node) { return node->is_ready; }
const struct shared *node_shared(const struct node *node) { return &node->line.shared; }
uint64_t node_member_id(const struct node *node) { return node->line.identity.member_id; }
uint64_t node_cluster_id(const struct node *node) { return node->line.identity.cluster_id; }

static const char *role_name(const struct lane *from_main)
{
    const struct actor *role = (const struct actor *)(const void *)((const char *)from_main->bell - offsetof(struct actor, bell));
    return role->table->name;
}

uint32_t node_ping(struct node *node, char *out_names, size_t size)
{
    uint32_t missing = 0;
    struct mail ping = {.kind = MAIL_PING, .ping.cookie = ++node->ping};
    ASSERT(size > 0 && node->main.out_count == node->main.in_count && node->main.out_count < 32);
    out_names[0] = '\0';
    for (uint32_t i = 0; i < node->main.out_count; i++) {
        size_t used = strlen(out_names);
        bool has_answered = (node->pong_bits & 1u << i) != 0;
        if (!has_answered) snprintf(out_names + used, size - used, "%s%s", used == 0 ? "" : ",", role_name(node->main.out[i]));
        missing += !has_answered;
        (void)lane_post(node->main.out[i], &ping); /* full: that role has not answered for long, and will be missed */
        lane_ring(node->main.out[i]);
    }
    node->pong_bits = 0;
    return missing;
}

static void wait_main(struct node *node, const bool *flag, uint64_t deadline_ns)
{
    while (!*flag) {
        uint64_t now_ns = clock_mono_ns();
        if (now_ns >= deadline_ns) return;
        struct pollfd poll_fd = {.fd = node->main_event, .events = POLLIN};
        uint64_t left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
        (void)poll(&poll_fd, 1, (int)left_ms);
        node_main_step(node);
    }
}

static void post_from_main(struct lane *lane, enum mail_kind kind)
{
    struct mail mail = {.kind = kind};
    (void)lane_post(lane, &mail);
    lane_ring(lane);
}

void node_stop(struct node *node, uint64_t timeout_ns)
{
    if (node->door == NULL || !node->line.net.actor.is_running) return;
    uint64_t deadline_ns = clock_mono_ns() + timeout_ns;
    actor_stop(door_actor_base(node->door));
    post_from_main(node->line.raft.lanes.from_main, MAIL_TRANSFER);
    post_from_main(node->line.net.lanes.from_main, MAIL_DRAIN);
    post_from_main(node->line.watch.lanes.from_main, MAIL_DRAIN);
    wait_main(node, &node->is_transferred, deadline_ns);
    wait_main(node, &node->is_drained, deadline_ns);
    wait_main(node, &node->is_unwatched, clock_mono_ns() + UNWATCHED_NS);
    actor_stop(&node->line.raft.actor);
    /* What is left gets its one answer. */
    raft_actor_fail_all(&node->line.raft, ERR_STOPPED);
    post_from_main(node->line.apply.lanes.from_main, MAIL_DRAIN);
    wait_main(node, &node->is_drained, clock_mono_ns() + 50 * NS_PER_MS);
    for (uint32_t i = 0; i < node->line.role_count; i++) actor_stop(node->line.roles[i]); /* net is the last */
    node_main_step(node);
}
