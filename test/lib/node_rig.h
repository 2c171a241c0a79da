/* node_rig: whole nodes in the test's process, on data directories of their own below one temporary directory, with real files, sockets
 * and threads; the test's thread is main for all of them. A header, because it stands on rpc_rig. Thread: the test's. */
#ifndef TEST_LIB_NODE_RIG_H
#define TEST_LIB_NODE_RIG_H
#include <check.h>
#include <ftw.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rng.h"
#include "lib/rpc_rig.h"
#include "pipeline/node.h"
#include "rpc/rpc_server.h"

#define NODE_RIG_MAX 3

struct node_rig {
    char root[64], cluster[512];
    uint32_t count;
    struct node_rig_member {
        char name[16], data_dir[96], peer_url[64];
        struct config config;
        struct node *node; /* NULL = not open */
        struct rig_client client;
    } members[NODE_RIG_MAX];
};

static inline void node_rig_init(struct node_rig *rig, uint32_t count)
{
    *rig = (struct node_rig){.count = count};
    snprintf(rig->root, sizeof rig->root, "/tmp/kvd-node-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(rig->root));
    int listeners[NODE_RIG_MAX];
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct node_rig_member *member = &rig->members[i];
        uint16_t port;
        listeners[i] = rig_listen(0, &port); /* all are open at once, so that the ports differ */
        snprintf(member->name, sizeof member->name, "m%u", i);
        snprintf(member->data_dir, sizeof member->data_dir, "%s/%s", rig->root, member->name);
        snprintf(member->peer_url, sizeof member->peer_url, "http://127.0.0.1:%u", port);
        used += (size_t)snprintf(rig->cluster + used, sizeof rig->cluster - used, "%s%s=%s", i == 0 ? "" : ",", member->name, member->peer_url);
    }
    for (uint32_t i = 0; i < count; i++) close(listeners[i]);
    for (uint32_t i = 0; i < count; i++) {
        struct node_rig_member *member = &rig->members[i];
        config_init(&member->config);
        member->config.name = member->name;
        member->config.data_dir = member->data_dir;
        member->config.listen_client_urls = member->config.advertise_client_urls = "http://127.0.0.1:0";
        member->config.listen_peer_urls = member->config.initial_advertise_peer_urls = member->peer_url;
        member->config.initial_cluster = rig->cluster;
        member->config.unsafe_no_fsync = true;
        member->config.wal_segment_bytes = 1 << 20;
        member->config.max_request_bytes = 100000;
    }
}

static inline int node_rig_remove(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static inline bool node_rig_open(struct node_rig *rig, uint32_t i, char *out_message, size_t size)
{
    struct node_rig_member *member = &rig->members[i];
    ck_assert_msg(config_check(&member->config, out_message, size), "%s", out_message);
    member->node = node_open(&member->config, out_message, size);
    return member->node != NULL;
}

static inline uint16_t node_rig_port(const struct node_rig *rig, uint32_t i)
{
    const char *addresses = node_client_addresses(rig->members[i].node);
    return (uint16_t)atoi(strchr(addresses, ':') + 1);
}

static inline void node_rig_start(struct node_rig *rig, uint32_t i)
{
    struct node_rig_member *member = &rig->members[i];
    char message[512] = "";
    ck_assert_msg(node_rig_open(rig, i, message, sizeof message), "%s", message);
    ck_assert_msg(node_start(member->node, message, sizeof message), "%s", message);
    rig_client_open(&member->client, node_rig_port(rig, i), 2);
}

/* What the app does at SIGTERM. The client's calls must be over. */
static inline void node_rig_close(struct node_rig *rig, uint32_t i)
{
    node_close(rig->members[i].node);
    rig->members[i].node = NULL;
}

/* main's turn for every node that is open. */
static inline void node_rig_turn(struct node_rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++) {
        if (rig->members[i].node != NULL) node_main_step(rig->members[i].node);
    }
}

static inline void node_rig_wait_ready(struct node_rig *rig)
{
    uint64_t give_up_ns = clock_mono_ns() + 30 * NS_PER_S;
    for (uint32_t i = 0; i < rig->count; i++) {
        while (rig->members[i].node != NULL && !node_is_ready(rig->members[i].node)) {
            ck_assert_msg(clock_mono_ns() < give_up_ns, "member %u is not ready", i);
            usleep(2000);
            node_rig_turn(rig);
        }
    }
}

static inline void node_rig_deinit(struct node_rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++) ck_assert_ptr_null(rig->members[i].node);
    nftw(rig->root, node_rig_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- calls ---- */

static inline struct rig_call *node_rig_put(struct node_rig *rig, uint32_t i, const char *key, struct slice value)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string(key));
    buf_put_pb_bytes(&request, 2, value);
    struct rig_call *call = rig_call_start(&rig->members[i].client, 0, "/etcdserverpb.KV/Put", buf_slice(&request), 0, NULL, 0);
    buf_deinit(&request);
    return call;
}

static inline struct rig_call *node_rig_get(struct node_rig *rig, uint32_t i, const char *path, const char *key)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string(key));
    struct rig_call *call = rig_call_start(&rig->members[i].client, 1, path, buf_slice(&request), 0, NULL, 0);
    buf_deinit(&request);
    return call;
}

/* The next call of member i's client that is over, main's turns taken meanwhile; NULL = none within 30 s. */
static inline struct rig_call *node_rig_wait(struct node_rig *rig, uint32_t i)
{
    uint64_t give_up_ns = clock_mono_ns() + 30 * NS_PER_S;
    struct rig_call *call = NULL;
    while (call == NULL && clock_mono_ns() < give_up_ns) {
        call = rig_client_wait(&rig->members[i].client, 20);
        node_rig_turn(rig);
    }
    return call;
}

/* 1 = found, 0 = not there; aborts if the read fails. */
static inline int node_rig_has(struct node_rig *rig, uint32_t i, const char *key)
{
    node_rig_get(rig, i, "/etcdserverpb.KV/Range", key);
    struct rig_call *call = node_rig_wait(rig, i);
    ck_assert_ptr_nonnull(call);
    char *details = grpc_slice_to_c_string(call->details);
    ck_assert_msg(call->status == GRPC_STATUS_OK, "%s: %d %s", key, (int)call->status, details);
    gpr_free(details);
    struct blob *answer = rig_bytes(call->response);
    bool has_key = memmem(answer->data, answer->size, key, strlen(key)) != NULL;
    blob_unref(answer);
    rig_call_free(call);
    return has_key;
}

/* ---- a member that is stopped under load ---- */
#define NODE_RIG_LOAD_MAX 200

/* Starts `count` calls of every kind on member i (keys PREFIX.N for the puts); stops the node in the middle of them; every call must end,
 * once; every put that was answered with OK is marked in out_is_acknowledged. Closes node and client. */
static inline void node_rig_stop_loaded(struct node_rig *rig, uint32_t i, struct rng *rng, const char *prefix, uint32_t count,
                                        bool *out_is_acknowledged)
{
    static const char *const PATHS[] = {"/etcdserverpb.KV/Range", "/etcdserverpb.KV/RangeStream", "/etcdserverpb.Maintenance/Status",
                                        "/no.such/Method"};
    struct node_rig_member *member = &rig->members[i];
    struct rig_call *calls[NODE_RIG_LOAD_MAX];
    uint8_t value[3000];
    char key[64];
    uint32_t left = count;
    ASSERT(count <= NODE_RIG_LOAD_MAX);
    memset(value, 'v', sizeof value);
    for (uint32_t n = 0; n < count; n++) {
        snprintf(key, sizeof key, "%s.%u", prefix, n);
        out_is_acknowledged[n] = false;
        calls[n] = rng_below(rng, 3) != 0 ? node_rig_put(rig, i, key, slice_make(value, rng_below(rng, sizeof value)))
                                          : node_rig_get(rig, i, PATHS[rng_below(rng, 4)], key);
        calls[n]->number = n;
        calls[n]->is_put = calls[n]->channel == 0;
    }
    bool is_stopped = false;
    uint64_t stop_ns = clock_mono_ns() + rng_below(rng, 30) * NS_PER_MS, give_up_ns = clock_mono_ns() + 30 * NS_PER_S;
    while (left > 0) {
        struct rig_call *call = rig_client_wait(&member->client, 1);
        if (call != NULL) {
            ck_assert_ptr_eq(calls[call->number], call);
            calls[call->number] = NULL;
            out_is_acknowledged[call->number] = call->is_put && call->status == GRPC_STATUS_OK;
            rig_call_free(call);
            left--;
        }
        if (!is_stopped && clock_mono_ns() >= stop_ns) {
            uint64_t start_ns = clock_mono_ns();
            node_stop(member->node, 1500 * NS_PER_MS);
            ck_assert_uint_lt(clock_mono_ns() - start_ns, 10 * NS_PER_S);
            const struct metrics *metrics = &node_shared(member->node)->metrics;
            ck_assert_uint_eq(METRIC_GET(metrics, calls_started), METRIC_GET(metrics, calls_answered));
            node_rig_close(rig, i);
            is_stopped = true;
        }
        node_rig_turn(rig);
        ck_assert_msg(clock_mono_ns() < give_up_ns, "%u calls have no end", left);
    }
    if (!is_stopped) {
        node_stop(member->node, 1500 * NS_PER_MS);
        node_rig_close(rig, i);
    }
    rig_client_close(&member->client);
}

#endif
