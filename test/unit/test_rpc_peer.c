/* Do the streams between members come up, carry frames, and tell their role exactly what became of them, whatever the other side does?
 * Two or three rpc_peers over loopback, each with a thread that plays the peer role; a thread polls, as net's does in production.
 * Foreign members are played by calls of gRPC's C core, by a server that answers what it likes, and by bare sockets. */
#include <check.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/rng.h"
#include "lib/rpc_rig.h"
#include "rpc/peer_hello.h"
#include "rpc/rpc_bytes.h"
#include "rpc/rpc_peer.h"
#include "rpc/rpc_server.h"

#define CLUSTER 0xc1
#define LOG_MAX 20000
#define WAIT_NS (20 * NS_PER_S)
#define STREAM "/kvd.Peer/Stream"

/* ---- a member: rpc_peer with a role on a thread ---- */
struct side;
typedef bool side_act_fn(struct side *side, void *argument);
struct side {
    struct rpc_peer *peer;
    struct peer_port *port;
    struct rig_door door;
    pthread_t thread;
    atomic_bool stop;
    size_t take_max;
    pthread_mutex_t rouse_lock; /* within `lock`: an act may rouse */
    pthread_cond_t roused;
    bool is_roused;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t changed;
    struct peer_event *log; /* LOG_MAX */
    uint64_t *times_ns;
    size_t log_count;
    side_act_fn *act; /* to be done on the role's thread */
    void *argument;
    bool result;
};

static void side_record(struct side *side, const struct peer_event *events, size_t count)
{
    pthread_mutex_lock(&side->lock);
    for (size_t i = 0; i < count; i++) {
        ASSERT(side->log_count < LOG_MAX);
        side->times_ns[side->log_count] = clock_mono_ns();
        side->log[side->log_count++] = events[i];
    }
    if (side->act != NULL) {
        side->result = side->act(side, side->argument);
        side->act = NULL;
    }
    pthread_cond_broadcast(&side->changed);
    pthread_mutex_unlock(&side->lock);
}

static void side_rouse(void *context)
{
    struct side *side = context;
    pthread_mutex_lock(&side->rouse_lock);
    side->is_roused = true;
    pthread_cond_signal(&side->roused);
    pthread_mutex_unlock(&side->rouse_lock);
}

static void side_wait(struct side *side)
{
    uint64_t now_ns = clock_mono_ns(), deadline_ns = side->port->table->deadline_ns(side->port);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t until_ns = (uint64_t)until.tv_sec * NS_PER_S + (uint64_t)until.tv_nsec + (deadline_ns > now_ns ? deadline_ns - now_ns : 0);
    until = (struct timespec){.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    pthread_mutex_lock(&side->rouse_lock);
    int error = 0;
    while (!side->is_roused && error == 0) {
        error = deadline_ns == CLOCK_NEVER ? pthread_cond_wait(&side->roused, &side->rouse_lock)
                                           : pthread_cond_timedwait(&side->roused, &side->rouse_lock, &until);
    }
    side->is_roused = false;
    pthread_mutex_unlock(&side->rouse_lock);
}

static void *side_run(void *context)
{
    struct side *side = context;
    const struct peer_port_table *port = side->port->table;
    struct peer_event events[64];
    while (!atomic_load(&side->stop)) {
        size_t count = port->take(side->port, events, side->take_max);
        side_record(side, events, count);
        port->flush(side->port);
        if (count < side->take_max) side_wait(side);
    }
    return NULL;
}

static void adopt(void *context, int descriptor) { rpc_peer_adopt(context, descriptor); }

static struct rig_poller poller;

static struct rpc_peer_options options_of(uint64_t id)
{
    struct rpc_peer_options options = {
        .self = {.protocol_min = 1, .protocol_max = 1, .features = 0x80 + id, .cluster_id = CLUSTER, .member_id = id, .boot_id = 100 + id,
                 .level = 7},
        .reconnect_min_ns = 20 * NS_PER_MS, .reconnect_max_ns = 160 * NS_PER_MS, .keepalive_ns = 2 * NS_PER_S, .seed = id, .queue = poller.queue,
        .pump = rig_poller_pump, .pump_context = &poller};
    memset(options.self.directory_uuid, (int)id, sizeof options.self.directory_uuid);
    return options;
}

static struct side *side_start(const struct rpc_peer_options *options, uint16_t port, size_t take_max)
{
    struct side *side = ALLOC(struct side);
    side->log = alloc_zero(LOG_MAX, sizeof *side->log);
    side->times_ns = alloc_zero(LOG_MAX, sizeof *side->times_ns);
    side->take_max = take_max;
    pthread_mutex_init(&side->rouse_lock, NULL);
    pthread_mutex_init(&side->lock, NULL);
    pthread_cond_init(&side->changed, NULL);
    pthread_cond_init(&side->roused, NULL);
    side->peer = rpc_peer_new(options);
    side->port = rpc_peer_port(side->peer);
    side->port->rouse = side_rouse;
    side->port->rouse_context = side;
    rig_door_open(&side->door, port, adopt, side->peer);
    ck_assert_int_eq(pthread_create(&side->thread, NULL, side_run, side), 0);
    return side;
}

static struct side *side_of(uint64_t id)
{
    struct rpc_peer_options options = options_of(id);
    return side_start(&options, 0, 64);
}

static void side_end(struct side *side)
{
    rig_door_close(&side->door);
    atomic_store(&side->stop, true);
    side_rouse(side);
    pthread_join(side->thread, NULL);
    rpc_peer_free(side->peer);
    for (size_t i = 0; i < side->log_count; i++) blob_unref(side->log[i].body);
    pthread_mutex_destroy(&side->lock);
    pthread_mutex_destroy(&side->rouse_lock);
    pthread_cond_destroy(&side->changed);
    pthread_cond_destroy(&side->roused);
    alloc_free(side->times_ns);
    alloc_free(side->log);
    alloc_free(side);
}

/* Under the lock; false = the time is up. */
static bool side_wait_changed(struct side *side, uint64_t give_up_ns)
{
    uint64_t now_ns = clock_mono_ns();
    if (now_ns >= give_up_ns) return false;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t until_ns = (uint64_t)until.tv_sec * NS_PER_S + (uint64_t)until.tv_nsec + (give_up_ns - now_ns);
    until = (struct timespec){.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    pthread_cond_timedwait(&side->changed, &side->lock, &until);
    return true;
}

static bool side_do(struct side *side, side_act_fn *act, void *argument)
{
    uint64_t give_up_ns = clock_mono_ns() + WAIT_NS;
    pthread_mutex_lock(&side->lock);
    side->act = act;
    side->argument = argument;
    side_rouse(side);
    while (side->act != NULL) ck_assert_msg(side_wait_changed(side, give_up_ns), "the role does not wake");
    bool result = side->result;
    pthread_mutex_unlock(&side->lock);
    return result;
}

static size_t find_event(const struct side *side, size_t from, enum peer_event_kind kind, uint64_t peer)
{
    size_t i = from;
    while (i < side->log_count && (side->log[i].kind != kind || side->log[i].peer != peer)) i++;
    return i;
}

/* The position of the first such event at or behind `from`: waits for it. */
static size_t expect_event(struct side *side, size_t from, enum peer_event_kind kind, uint64_t peer)
{
    uint64_t give_up_ns = clock_mono_ns() + WAIT_NS;
    size_t i;
    pthread_mutex_lock(&side->lock);
    while ((i = find_event(side, from, kind, peer)) == side->log_count) {
        if (side_wait_changed(side, give_up_ns)) continue;
        for (size_t k = from; k < side->log_count; k++)
            fprintf(stderr, "  event %zu: kind %d peer %lx refused %d %s\n", k, (int)side->log[k].kind, (unsigned long)side->log[k].peer,
                    side->log[k].refused, side->log[k].text);
        ck_abort_msg("no event of kind %d from %lx behind %zu", (int)kind, (unsigned long)peer, from);
    }
    pthread_mutex_unlock(&side->lock);
    return i;
}

static size_t log_position(struct side *side)
{
    pthread_mutex_lock(&side->lock);
    size_t count = side->log_count;
    pthread_mutex_unlock(&side->lock);
    return count;
}

static size_t count_events(struct side *side, size_t from, enum peer_event_kind kind)
{
    size_t count = 0;
    pthread_mutex_lock(&side->lock);
    for (size_t i = from; i < side->log_count; i++) count += side->log[i].kind == kind;
    pthread_mutex_unlock(&side->lock);
    return count;
}

struct target {
    uint64_t id;
    char url[160];
    const char *second_url;
};

static bool do_connect(struct side *side, void *argument)
{
    const struct target *target = argument;
    const char *urls[2] = {target->url, target->second_url};
    side->port->table->connect(side->port, target->id, urls, target->second_url == NULL ? 1 : 2);
    return true;
}

static void connect_port(struct side *side, uint64_t id, uint16_t port)
{
    struct target target = {.id = id};
    snprintf(target.url, sizeof target.url, "http://127.0.0.1:%u", port);
    side_do(side, do_connect, &target);
}

static bool do_cut(struct side *side, void *argument)
{
    side->port->table->cut(side->port, *(uint64_t *)argument);
    return true;
}

struct frame {
    uint64_t to;
    struct blob *blob;
};
static bool do_send(struct side *side, void *argument)
{
    const struct frame *frame = argument;
    return side->port->table->send(side->port, frame->to, frame->blob);
}

static struct blob *pattern(size_t size, uint64_t seed)
{
    struct blob *blob = blob_new(size);
    for (size_t i = 0; i < size; i++) blob->data[i] = (uint8_t)(seed + i * 31 + (i >> 8) + (i >> 16));
    return blob;
}

static bool send_pattern(struct side *side, uint64_t to, size_t size, uint64_t seed)
{
    struct frame frame = {.to = to, .blob = pattern(size, seed)};
    return side_do(side, do_send, &frame);
}

static size_t expect_frame(struct side *side, size_t from, uint64_t peer, size_t size, uint64_t seed)
{
    size_t at = expect_event(side, from, PEER_BYTES, peer);
    struct blob *expected = pattern(size, seed);
    ck_assert_uint_eq(side->log[at].body->size, size);
    ck_assert(slice_equal(blob_slice(side->log[at].body), blob_slice(expected)));
    blob_unref(expected);
    return at + 1;
}

/* 1 and 2 connected both ways. */
static void connect_pair(struct side *one, struct side *two)
{
    connect_port(one, 2, two->door.port);
    connect_port(two, 1, one->door.port);
    expect_event(one, 0, PEER_UP, 2);
    expect_event(two, 0, PEER_UP, 1);
    expect_event(one, 0, PEER_HELLO, 2);
    expect_event(two, 0, PEER_HELLO, 1);
}

static void set_up(void)
{
    rpc_process_init();
    rig_poller_start(&poller);
}

static void tear_down(void)
{
    rig_poller_stop(&poller);
    rpc_process_deinit();
}

static int64_t scale(void) { return getenv("KVD_TEST_LONG") != NULL ? 50 : 1; }

/* ---- streams and frames ---- */

static void check_hello(const struct peer_hello *hello, uint64_t id, uint64_t target)
{
    const struct rpc_peer_options options = options_of(id);
    ck_assert_uint_eq(hello->member_id, id);
    ck_assert_uint_eq(hello->target_id, target);
    ck_assert_uint_eq(hello->cluster_id, CLUSTER);
    ck_assert_uint_eq(hello->boot_id, 100 + id);
    ck_assert_uint_eq(hello->features, 0x80 + id);
    ck_assert_uint_eq(hello->level, 7);
    ck_assert_int_eq(memcmp(hello->directory_uuid, options.self.directory_uuid, 16), 0);
}

START_TEST(test_rpc_peer_says_hello_both_ways)
{
    struct side *one = side_of(1), *two = side_of(2);
    connect_pair(one, two);
    check_hello(&one->log[expect_event(one, 0, PEER_UP, 2)].hello, 2, 1);
    check_hello(&one->log[expect_event(one, 0, PEER_HELLO, 2)].hello, 2, 1);
    check_hello(&two->log[expect_event(two, 0, PEER_UP, 1)].hello, 1, 2);
    check_hello(&two->log[expect_event(two, 0, PEER_HELLO, 1)].hello, 1, 2);
    ck_assert_uint_eq(count_events(one, 0, PEER_REFUSED) + count_events(two, 0, PEER_REFUSED), 0);
    side_end(two);
    side_end(one);
}
END_TEST

START_TEST(test_rpc_peer_carries_frames_of_every_size_both_ways_in_order)
{
    static const size_t SIZES[] = {0, 1, 100, 65535, 65536, 2 << 20, 30 << 20, PEER_FRAME_BYTES_MAX - 1, 3};
    struct side *one = side_of(1), *two = side_of(2);
    size_t at_one = 0, at_two = 0, sent_one = 0, sent_two = 0;
    connect_pair(one, two);
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        ck_assert(send_pattern(one, 2, SIZES[i], i));
        ck_assert(send_pattern(two, 1, SIZES[i], i + 77));
        sent_one = expect_event(one, sent_one, PEER_SENT, 2) + 1;
        sent_two = expect_event(two, sent_two, PEER_SENT, 1) + 1;
    }
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        at_one = expect_frame(one, at_one, 2, SIZES[i], i + 77);
        at_two = expect_frame(two, at_two, 1, SIZES[i], i);
    }
    for (size_t i = 0; i < 2000; i++) {
        ck_assert(send_pattern(one, 2, i % 50, i));
        sent_one = expect_event(one, sent_one, PEER_SENT, 2) + 1;
    }
    for (size_t i = 0; i < 2000; i++) at_two = expect_frame(two, at_two, 1, i % 50, i);
    side_end(one);
    side_end(two);
}
END_TEST

static bool do_send_both(struct side *side, void *argument)
{
    struct frame *both = argument;
    bool first = do_send(side, &both[0]);
    return first && !do_send(side, &both[1]);
}

START_TEST(test_rpc_peer_takes_one_frame_at_a_time_and_none_while_down)
{
    struct side *one = side_of(1), *two = side_of(2);
    connect_pair(one, two);
    for (int i = 0; i < 50; i++) {
        size_t size = i % 2 == 0 ? 4 << 20 : 10, from = log_position(one);
        struct frame both[2] = {{.to = 2, .blob = pattern(size, 1)}, {.to = 2, .blob = pattern(size, 2)}};
        ck_assert(side_do(one, do_send_both, both));
        expect_event(one, from, PEER_SENT, 2);
    }
    side_end(two);
    expect_event(one, 0, PEER_DOWN, 2);
    ck_assert(!send_pattern(one, 2, 100, 0));
    side_end(one);
}
END_TEST

START_TEST(test_rpc_peer_gives_every_event_to_a_role_that_takes_one_at_a_time)
{
    struct rpc_peer_options options = options_of(1);
    struct side *one = side_start(&options, 0, 1), *two = side_of(2), *three = side_of(3);
    connect_pair(one, two);
    connect_port(one, 3, three->door.port);
    connect_port(three, 1, one->door.port);
    expect_event(one, 0, PEER_UP, 3);
    expect_event(three, 0, PEER_UP, 1);
    size_t at_two = 0, at_three = 0, sent_two = 0, sent_three = 0;
    for (size_t i = 0; i < 300; i++) {
        ck_assert(send_pattern(two, 1, 1000, i));
        ck_assert(send_pattern(three, 1, 1000, i));
        sent_two = expect_event(two, sent_two, PEER_SENT, 1) + 1;
        sent_three = expect_event(three, sent_three, PEER_SENT, 1) + 1;
    }
    for (size_t i = 0; i < 300; i++) {
        at_two = expect_frame(one, at_two, 2, 1000, i);
        at_three = expect_frame(one, at_three, 3, 1000, i);
    }
    side_end(three);
    side_end(two);
    expect_event(one, 0, PEER_DOWN, 2);
    expect_event(one, 0, PEER_DOWN, 3);
    side_end(one);
}
END_TEST

/* ---- handshakes that fail ---- */

static void expect_refusal(struct side *side, uint64_t peer, const char *text)
{
    size_t at = expect_event(side, 0, PEER_REFUSED, peer);
    ck_assert_str_eq(side->log[at].text, text);
}

/* 1, with its options changed, meets 2; both say `text`, and neither is up. Once: a refused member is not tried again soon. */
static void check_refusal(const struct rpc_peer_options *options, uint64_t believed_id, bool is_known, const char *text)
{
    struct side *one = side_start(options, 0, 64), *two = side_of(2);
    if (is_known) connect_port(two, 1, 1); /* nobody listens there */
    connect_port(one, believed_id, two->door.port);
    expect_refusal(one, believed_id, text);
    expect_refusal(two, options->self.member_id, text);
    ck_assert_uint_eq(count_events(one, 0, PEER_UP) + count_events(two, 0, PEER_HELLO), 0);
    ck_assert_uint_eq(count_events(one, 0, PEER_DOWN), 0);
    ck_assert_uint_eq(count_events(two, 0, PEER_REFUSED), 1);
    side_end(one);
    side_end(two);
}

START_TEST(test_rpc_peer_refuses_strangers_and_both_sides_say_why)
{
    struct rpc_peer_options options = options_of(1);
    check_refusal(&options, 2, false, "member 1 is not a member of cluster c1");
    check_refusal(&options, 3, true, "member 1 looks for member 3, but this is member 2");
    options.self.cluster_id = 0xbad;
    check_refusal(&options, 2, true, "cluster ID mismatch: member 2 is of cluster c1, member 1 of cluster bad");
    options = options_of(1);
    options.self.protocol_min = 5;
    options.self.protocol_max = 6;
    check_refusal(&options, 2, true, "protocol mismatch: member 2 speaks 1 to 1, member 1 speaks 5 to 6");
}
END_TEST

static bool judge_nobody(void *context, const struct peer_hello *hello, char out_text[160])
{
    uint64_t unwanted = *(const uint64_t *)context;
    snprintf(out_text, 160, "member %llx is not wanted", (unsigned long long)hello->member_id);
    return hello->member_id != unwanted;
}

/* The role's own judge is asked, of a hello that comes in and of an answer; who comes in is told what it said. */
START_TEST(test_rpc_peer_asks_the_role_about_each_hello)
{
    for (uint64_t unwanted = 1; unwanted <= 2; unwanted++) {
        struct side *one = side_of(1), *two = side_of(2);
        struct side *judge = unwanted == 1 ? two : one, *other = unwanted == 1 ? one : two;
        judge->port->judge_context = &unwanted;
        judge->port->judge = judge_nobody;
        connect_port(two, 1, 1); /* nobody listens there */
        connect_port(one, 2, two->door.port);
        char text[64];
        snprintf(text, sizeof text, "member %llx is not wanted", (unsigned long long)unwanted);
        expect_refusal(judge, unwanted, text);
        if (unwanted == 1) expect_refusal(other, 2, text);
        ck_assert_uint_eq(count_events(judge, 0, PEER_UP) + count_events(judge, 0, PEER_HELLO), 0);
        side_end(one);
        side_end(two);
    }
}
END_TEST

/* A stream made by hand: says `hello` (NULL: nothing) and stays open. It comes out of rig_client_wait when it is over. */
static struct rig_call *open_stream(struct rig_client *client, size_t channel, const struct slice *hello)
{
    struct rig_call *call = ALLOC(struct rig_call);
    grpc_op ops[5] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_RECV_INITIAL_METADATA}, {.op = GRPC_OP_RECV_MESSAGE},
                      {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}, {.op = GRPC_OP_SEND_MESSAGE}};
    call->call = grpc_channel_create_call(client->channels[channel], NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                          grpc_slice_from_static_string(STREAM), NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[2].data.recv_message.recv_message = &call->response;
    ops[3].data.recv_status_on_client.trailing_metadata = &call->trailing;
    ops[3].data.recv_status_on_client.status = &call->status;
    ops[3].data.recv_status_on_client.status_details = &call->details;
    if (hello != NULL) call->request = rpc_bytes_make(*hello, NULL, 0);
    ops[4].data.send_message.send_message = call->request;
    ck_assert_int_eq(grpc_call_start_batch(call->call, ops, hello == NULL ? 4 : 5, call, NULL), GRPC_CALL_OK);
    return call;
}

static void expect_end(struct rig_client *client, const struct rig_call *which, int status, const char *text)
{
    struct rig_call *call = rig_client_wait(client, 20000);
    ck_assert_ptr_nonnull(call);
    if (which != NULL) ck_assert_ptr_eq(call, which);
    char *got = grpc_slice_to_c_string(call->details);
    ck_assert_int_eq((int)call->status, status);
    if (text != NULL) ck_assert_str_eq(got, text);
    gpr_free(got);
    rig_call_free(call);
}

static void encode_hello(uint64_t id, uint64_t boot_id, struct buf *out_bytes)
{
    struct rpc_peer_options options = options_of(id);
    options.self.boot_id = boot_id;
    options.self.target_id = 1;
    buf_init(out_bytes);
    peer_hello_encode(&options.self, out_bytes);
}

START_TEST(test_rpc_peer_survives_garbage_and_a_copy_of_itself)
{
    static const char *const GARBAGE[] = {"", "\xff\xff\xff", "\x08\x01\x10\x01", "not a hello at all, but long enough to be one: 0123456789"};
    struct side *one = side_of(1);
    struct rig_client client;
    rig_client_open(&client, one->door.port, 1);
    for (size_t i = 0; i < sizeof GARBAGE / sizeof GARBAGE[0]; i++) {
        struct slice bytes = slice_from_string(GARBAGE[i]);
        size_t from = log_position(one);
        struct rig_call *call = open_stream(&client, 0, &bytes);
        expect_end(&client, call, GRPC_STATUS_FAILED_PRECONDITION, "its hello is garbage");
        ck_assert_str_eq(one->log[expect_event(one, from, PEER_REFUSED, 0)].text, "its hello is garbage");
    }
    struct blob *large = pattern(1 << 20, 0);
    struct slice bytes = blob_slice(large);
    expect_end(&client, open_stream(&client, 0, &bytes), GRPC_STATUS_FAILED_PRECONDITION, "its hello is garbage");
    blob_unref(large);
    struct buf copy; /* of the member itself */
    encode_hello(1, 7, &copy);
    bytes = buf_slice(&copy);
    expect_end(&client, open_stream(&client, 0, &bytes), GRPC_STATUS_FAILED_PRECONDITION, "member 1 is not a member of cluster c1");
    buf_deinit(&copy);
    rig_client_close(&client);
    for (int i = 0; i < 20; i++) { /* no HTTP/2 at all */
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(one->door.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        ck_assert_int_gt(send(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrubbish", (size_t)(10 + i), MSG_NOSIGNAL), 0);
        close(fd);
    }
    struct side *two = side_of(2);
    connect_pair(one, two);
    side_end(two);
    side_end(one);
}
END_TEST

START_TEST(test_rpc_peer_replaces_an_older_stream_by_a_newer)
{
    struct side *one = side_of(1);
    struct rig_client client;
    struct buf first, second;
    encode_hello(2, 7, &first);
    encode_hello(2, 8, &second);
    connect_port(one, 2, 1);
    rig_client_open(&client, one->door.port, 2);
    struct slice bytes = buf_slice(&first);
    struct rig_call *older = open_stream(&client, 0, &bytes);
    size_t at = expect_event(one, 0, PEER_HELLO, 2);
    ck_assert_uint_eq(one->log[at].hello.boot_id, 7);
    bytes = buf_slice(&second);
    struct rig_call *newer = open_stream(&client, 1, &bytes);
    at = expect_event(one, at + 1, PEER_HELLO, 2);
    ck_assert_uint_eq(one->log[at].hello.boot_id, 8);
    expect_end(&client, older, GRPC_STATUS_CANCELLED, NULL);
    ck_assert_ptr_null(rig_client_wait(&client, 100));
    side_do(one, do_cut, &(uint64_t){2});
    expect_end(&client, newer, GRPC_STATUS_CANCELLED, NULL);
    rig_client_close(&client);
    buf_deinit(&first);
    buf_deinit(&second);
    side_end(one);
}
END_TEST

START_TEST(test_rpc_peer_limits_streams_and_ends_those_that_say_nothing)
{
    struct side *one = side_of(1);
    struct rig_client client;
    rig_client_open(&client, one->door.port, 4);
    for (size_t i = 0; i < 160; i++) open_stream(&client, i % 4, NULL);
    for (size_t i = 0; i < 32; i++) expect_end(&client, NULL, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many streams between members");
    for (size_t i = 0; i < 128; i++) expect_end(&client, NULL, GRPC_STATUS_CANCELLED, NULL);
    ck_assert_uint_eq(log_position(one), 0);
    struct side *two = side_of(2); /* there is room again */
    connect_pair(one, two);
    rig_client_close(&client);
    side_end(two);
    side_end(one);
}
END_TEST

START_TEST(test_rpc_peer_answers_unknown_methods)
{
    struct side *one = side_of(1);
    struct rig_client client;
    rig_client_open(&client, one->door.port, 1);
    for (int i = 0; i < 3; i++) {
        rig_call_start(&client, 0, "/etcdserverpb.KV/Put", slice_from_string("x"), 0, NULL, 0);
        expect_end(&client, NULL, GRPC_STATUS_UNIMPLEMENTED, "unknown service etcdserverpb.KV");
    }
    rig_client_close(&client);
    side_end(one);
}
END_TEST

/* ---- a server that answers what it likes ---- */
struct fake {
    grpc_completion_queue *queue;
    grpc_server *server;
    int port;
    pthread_t thread;
    struct slice answer; /* of size 0: none */
    atomic_uint calls;
};

/* Takes calls one after another; leaves each open until the server is shut down. */
static void *fake_run(void *context)
{
    struct fake *fake = context;
    grpc_call *calls[64];
    size_t count = 0;
    for (;;) {
        grpc_call_details details;
        grpc_metadata_array metadata;
        grpc_call *call = NULL;
        grpc_call_details_init(&details);
        grpc_metadata_array_init(&metadata);
        ck_assert_int_eq(grpc_server_request_call(fake->server, &call, &details, &metadata, fake->queue, fake->queue, &details), GRPC_CALL_OK);
        grpc_event event = grpc_completion_queue_next(fake->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        while (event.tag != &details) event = grpc_completion_queue_next(fake->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        grpc_call_details_destroy(&details);
        grpc_metadata_array_destroy(&metadata);
        if (!event.success) break;
        atomic_fetch_add(&fake->calls, 1);
        ck_assert_uint_lt(count, sizeof calls / sizeof calls[0]);
        calls[count++] = call;
        if (fake->answer.size == 0) continue;
        grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}};
        grpc_byte_buffer *message = rpc_bytes_make(fake->answer, NULL, 0);
        ops[1].data.send_message.send_message = message;
        ck_assert_int_eq(grpc_call_start_batch(call, ops, 2, NULL, NULL), GRPC_CALL_OK);
        grpc_byte_buffer_destroy(message);
    }
    while (count > 0) grpc_call_unref(calls[--count]);
    return NULL;
}

static void fake_start(struct fake *fake, struct slice answer)
{
    *fake = (struct fake){.answer = answer};
    fake->queue = grpc_completion_queue_create_for_next(NULL);
    fake->server = grpc_server_create(NULL, NULL);
    grpc_server_register_completion_queue(fake->server, fake->queue, NULL);
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    fake->port = grpc_server_add_http2_port(fake->server, "127.0.0.1:0", credentials);
    grpc_server_credentials_release(credentials);
    grpc_server_start(fake->server);
    ck_assert_int_eq(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
}

static void fake_end(struct fake *fake)
{
    grpc_server_shutdown_and_notify(fake->server, fake->queue, fake);
    grpc_server_cancel_all_calls(fake->server);
    pthread_join(fake->thread, NULL);
    grpc_completion_queue_shutdown(fake->queue);
    while (grpc_completion_queue_next(fake->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN) continue;
    grpc_server_destroy(fake->server);
    grpc_completion_queue_destroy(fake->queue);
}

static void check_answer(struct slice answer, enum peer_event_kind kind, const char *text)
{
    struct fake fake;
    char expected[160];
    fake_start(&fake, answer);
    struct side *one = side_of(1);
    connect_port(one, 2, (uint16_t)fake.port);
    size_t at = expect_event(one, 0, kind, 2);
    snprintf(expected, sizeof expected, text, fake.port);
    ck_assert_str_eq(one->log[at].text, expected);
    ck_assert(!one->log[at].refused);
    ck_assert_uint_eq(at, 0);
    side_end(one);
    fake_end(&fake);
}

START_TEST(test_rpc_peer_judges_the_answer_to_its_hello)
{
    struct buf bytes;
    check_answer(slice_from_string("\xff garbage"), PEER_REFUSED, "its answer to our hello is garbage");
    encode_hello(3, 1, &bytes);
    check_answer(buf_slice(&bytes), PEER_REFUSED, "at 127.0.0.1:%d there is member 3 instead");
    buf_deinit(&bytes);
    struct rpc_peer_options options = options_of(2);
    options.self.cluster_id = 0xbad;
    buf_init(&bytes);
    peer_hello_encode(&options.self, &bytes);
    check_answer(buf_slice(&bytes), PEER_REFUSED, "cluster ID mismatch: member 1 is of cluster c1, member 2 of cluster bad");
    buf_deinit(&bytes);
    check_answer(slice_empty(), PEER_DOWN, "it did not answer our hello in time");
}
END_TEST

/* ---- connections that fail ---- */

START_TEST(test_rpc_peer_that_is_down_costs_little_and_is_told_as_refused)
{
    struct side *one = side_of(1);
    uint16_t dead_port;
    close(rig_listen(0, &dead_port));
    uint64_t start_ns = clock_mono_ns();
    connect_port(one, 2, dead_port);
    size_t at = expect_event(one, 0, PEER_DOWN, 2);
    ck_assert(one->log[at].refused);
    for (int i = 0; i < 10; i++) at = expect_event(one, at + 1, PEER_DOWN, 2);
    /* 0, 20, 40, 80, 160, 160, …: each at least half of it. */
    uint64_t took_ns = one->times_ns[at] - start_ns;
    ck_assert_uint_ge(took_ns, (20 + 40 + 80 + 7 * 160) / 2 * NS_PER_MS);
    uint64_t least_ns = UINT64_MAX, most_ns = 0; /* jitter: the gaps at the maximum differ */
    for (size_t i = at - 5; i < at; i++) {
        uint64_t gap_ns = one->times_ns[i + 1] - one->times_ns[i];
        if (gap_ns < least_ns) least_ns = gap_ns;
        if (gap_ns > most_ns) most_ns = gap_ns;
    }
    ck_assert_uint_gt(most_ns - least_ns, NS_PER_MS);
    side_end(one);
}
END_TEST

START_TEST(test_rpc_peer_tells_a_refused_connection_behind_a_long_address)
{
    struct side *one = side_of(1);
    struct target target = {.id = 2};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/kvd-peer-%d-%060d-%020d", getpid(), 0, 0);
    snprintf(target.url, sizeof target.url, "unix://%s", address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* the file stays and nobody listens */
    side_do(one, do_connect, &target);
    size_t at = expect_event(one, 0, PEER_DOWN, 2);
    unlink(address.sun_path);
    ck_assert_msg(one->log[at].refused, "%s", one->log[at].text);
    side_end(one);
}
END_TEST

START_TEST(test_rpc_peer_tries_its_urls_in_turn)
{
    struct side *one = side_of(1), *two = side_of(2);
    uint16_t dead_port;
    char live[64];
    close(rig_listen(0, &dead_port));
    snprintf(live, sizeof live, "http://127.0.0.1:%u", two->door.port);
    struct target target = {.id = 2, .second_url = live};
    snprintf(target.url, sizeof target.url, "http://127.0.0.1:%u", dead_port);
    connect_port(two, 1, one->door.port);
    side_do(one, do_connect, &target);
    ck_assert_uint_lt(expect_event(one, 0, PEER_DOWN, 2), expect_event(one, 0, PEER_UP, 2));
    side_end(one);
    side_end(two);
}
END_TEST

/* The back-off is long here: only an immediate retry can be up in time. */
START_TEST(test_rpc_peer_retries_at_once_after_a_good_stream_broke)
{
    struct rpc_peer_options options = options_of(1);
    options.reconnect_min_ns = options.reconnect_max_ns = 300 * NS_PER_S;
    struct rig_proxy proxy;
    struct side *one = side_start(&options, 0, 64), *two = side_of(2);
    rig_proxy_open(&proxy, two->door.port);
    connect_port(two, 1, one->door.port);
    connect_port(one, 2, proxy.port);
    size_t at = expect_event(one, 0, PEER_UP, 2);
    for (int i = 0; i < 3; i++) {
        usleep(150000);
        atomic_store(&proxy.cut, true);
        at = expect_event(one, at, PEER_DOWN, 2);
        ck_assert(!one->log[at].refused);
        at = expect_event(one, at, PEER_UP, 2);
    }
    side_end(one);
    side_end(two);
    rig_proxy_close(&proxy);
}
END_TEST

START_TEST(test_rpc_peer_that_ends_every_stream_at_once_is_not_stormed)
{
    struct rpc_peer_options options = options_of(1);
    options.reconnect_min_ns = options.reconnect_max_ns = 300 * NS_PER_MS;
    struct side *one = side_start(&options, 0, 64), *two = side_of(2);
    connect_port(two, 1, 1);
    uint64_t start_ns = clock_mono_ns();
    connect_port(one, 2, two->door.port);
    size_t at = 0;
    for (int i = 0; i < 6; i++) {
        at = expect_event(two, at, PEER_HELLO, 1) + 1;
        side_do(two, do_cut, &(uint64_t){1});
    }
    uint64_t took_ns = clock_mono_ns() - start_ns;
    size_t ups = count_events(one, 0, PEER_UP);
    ck_assert_uint_le(ups, 2 + took_ns / (150 * NS_PER_MS));
    side_end(one);
    side_end(two);
}
END_TEST

START_TEST(test_rpc_peer_cut_ends_both_streams_and_they_come_back_after_a_pause)
{
    struct rpc_peer_options options = options_of(1);
    options.reconnect_min_ns = options.reconnect_max_ns = 400 * NS_PER_MS;
    struct side *one = side_start(&options, 0, 64), *two = side_of(2);
    connect_pair(one, two);
    usleep(150000);
    size_t from_one = log_position(one), from_two = log_position(two);
    side_do(one, do_cut, &(uint64_t){2});
    size_t down = expect_event(one, from_one, PEER_DOWN, 2);
    ck_assert(!one->log[down].refused);
    ck_assert_str_eq(one->log[down].text, "we cut it");
    expect_event(two, from_two, PEER_DOWN, 1);
    size_t up = expect_event(one, down, PEER_UP, 2);
    ck_assert_uint_ge(one->times_ns[up] - one->times_ns[down], 190 * NS_PER_MS);
    expect_event(two, from_two, PEER_UP, 1);
    expect_event(two, from_two, PEER_HELLO, 1);
    ck_assert(send_pattern(one, 2, 100, 1));
    ck_assert(send_pattern(two, 1, 100, 1));
    expect_frame(two, from_two, 1, 100, 1);
    expect_frame(one, from_one, 2, 100, 1);
    side_end(one);
    side_end(two);
}
END_TEST

START_TEST(test_rpc_peer_meets_a_restarted_member_with_its_new_boot_id)
{
    struct side *one = side_of(1), *two = side_of(2);
    struct rpc_peer_options options = options_of(2);
    uint16_t port = two->door.port;
    connect_pair(one, two);
    for (uint64_t boot = 1; boot <= 3; boot++) {
        size_t from = log_position(one);
        side_end(two);
        size_t down = expect_event(one, from, PEER_DOWN, 2);
        ck_assert(!one->log[down].refused);
        down = expect_event(one, down + 1, PEER_DOWN, 2); /* the retry tells that nobody listens there any more */
        ck_assert(one->log[down].refused);
        options.self.boot_id = 1000 + boot;
        two = side_start(&options, port, 64);
        connect_port(two, 1, one->door.port);
        ck_assert_uint_eq(one->log[expect_event(one, from, PEER_UP, 2)].hello.boot_id, 1000 + boot);
        ck_assert_uint_eq(one->log[expect_event(one, from, PEER_HELLO, 2)].hello.boot_id, 1000 + boot);
    }
    side_end(one);
    side_end(two);
}
END_TEST

START_TEST(test_rpc_peer_finds_a_hung_connection)
{
    struct rpc_peer_options options = options_of(1);
    options.keepalive_ns = NS_PER_S;
    struct rig_proxy proxy;
    struct side *one = side_start(&options, 0, 64), *two = side_of(2);
    rig_proxy_open(&proxy, two->door.port);
    connect_port(two, 1, one->door.port);
    connect_port(one, 2, proxy.port);
    size_t up = expect_event(one, 0, PEER_UP, 2);
    ck_assert(send_pattern(one, 2, 1000, 1)); /* pings while idle, too */
    expect_event(one, up, PEER_SENT, 2);
    usleep(2000000); /* nothing is said: pings must not be taken for an attack */
    ck_assert_uint_eq(count_events(one, up, PEER_DOWN), 0);
    atomic_store(&proxy.hang, true);
    size_t down = expect_event(one, up, PEER_DOWN, 2);
    ck_assert(!one->log[down].refused);
    atomic_store(&proxy.hang, false);
    expect_event(one, down, PEER_UP, 2);
    side_end(one);
    side_end(two);
    rig_proxy_close(&proxy);
}
END_TEST

/* ---- the end ---- */

static void free_in_flight(struct rng *rng, int round)
{
    static const size_t SIZES[] = {0, 10, 100000, 8 << 20};
    struct side *sides[3];
    for (uint64_t i = 0; i < 3; i++) sides[i] = side_of(i + 1);
    for (uint64_t i = 0; i < 3; i++) {
        for (uint64_t k = 0; k < 3; k++) {
            if (i != k && rng_below(rng, 8) != 0) connect_port(sides[i], k + 1, rng_below(rng, 8) == 0 ? 1 : sides[k]->door.port);
        }
    }
    uint64_t until_ns = clock_mono_ns() + rng_below(rng, 60) * NS_PER_MS;
    while (clock_mono_ns() < until_ns) {
        struct side *side = sides[rng_below(rng, 3)];
        uint64_t peer = 1 + rng_below(rng, 3);
        size_t i = log_position(side);
        pthread_mutex_lock(&side->lock);
        bool is_known = find_event(side, 0, PEER_UP, peer) < i;
        pthread_mutex_unlock(&side->lock);
        if (!is_known) usleep(1000);
        else if (rng_below(rng, 20) == 0) side_do(side, do_cut, &peer);
        else (void)send_pattern(side, peer, SIZES[rng_below(rng, 4)], i);
    }
    bool polls = round % 3 != 0; /* nobody polls any more when a node closes its ports */
    if (!polls) rig_poller_pause(&poller);
    for (uint64_t i = 0; i < 3; i++) side_end(sides[(i + (uint64_t)round) % 3]);
    if (!polls) rig_poller_resume(&poller);
}

START_TEST(test_rpc_peer_is_freed_while_everything_is_in_flight)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (int round = 0; round < 20 * scale(); round++) free_in_flight(&rng, round);
}
END_TEST

/* On a connection like a member's. */
START_TEST(test_rpc_peer_is_freed_though_somebody_leaves_his_socket_full)
{
    int pair[2], size = 1;
    struct side *side = side_of(1);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0); /* the kernel's smallest */
    rpc_peer_adopt(side->peer, pair[1]);
    rig_ask_and_never_read(pair[0], "/no.such.Service/Method", 100);
    struct pollfd full = {.fd = pair[1], .events = POLLOUT};
    for (int i = 0; i < 1000 && poll(&full, 1, 0) == 1; i++) usleep(10000);
    ck_assert_int_eq(full.revents, 0);
    side_end(side);
    close(pair[0]);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("rpc_peer");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_rpc_peer_says_hello_both_ways);
    tcase_add_test(tests, test_rpc_peer_carries_frames_of_every_size_both_ways_in_order);
    tcase_add_test(tests, test_rpc_peer_takes_one_frame_at_a_time_and_none_while_down);
    tcase_add_test(tests, test_rpc_peer_gives_every_event_to_a_role_that_takes_one_at_a_time);
    tcase_add_test(tests, test_rpc_peer_refuses_strangers_and_both_sides_say_why);
    tcase_add_test(tests, test_rpc_peer_asks_the_role_about_each_hello);
    tcase_add_test(tests, test_rpc_peer_survives_garbage_and_a_copy_of_itself);
    tcase_add_test(tests, test_rpc_peer_replaces_an_older_stream_by_a_newer);
    tcase_add_test(tests, test_rpc_peer_limits_streams_and_ends_those_that_say_nothing);
    tcase_add_test(tests, test_rpc_peer_answers_unknown_methods);
    tcase_add_test(tests, test_rpc_peer_judges_the_answer_to_its_hello);
    tcase_add_test(tests, test_rpc_peer_that_is_down_costs_little_and_is_told_as_refused);
    tcase_add_test(tests, test_rpc_peer_tells_a_refused_connection_behind_a_long_address);
    tcase_add_test(tests, test_rpc_peer_tries_its_urls_in_turn);
    tcase_add_test(tests, test_rpc_peer_retries_at_once_after_a_good_stream_broke);
    tcase_add_test(tests, test_rpc_peer_that_ends_every_stream_at_once_is_not_stormed);
    tcase_add_test(tests, test_rpc_peer_cut_ends_both_streams_and_they_come_back_after_a_pause);
    tcase_add_test(tests, test_rpc_peer_meets_a_restarted_member_with_its_new_boot_id);
    tcase_add_test(tests, test_rpc_peer_finds_a_hung_connection);
    tcase_add_test(tests, test_rpc_peer_is_freed_while_everything_is_in_flight);
    tcase_add_test(tests, test_rpc_peer_is_freed_though_somebody_leaves_his_socket_full);
    Suite *suite = suite_create("rpc_peer");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
