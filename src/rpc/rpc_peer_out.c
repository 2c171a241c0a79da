/* rpc_peer_out: see rpc_peer_out.h. */
#include "rpc/rpc_peer_out.h"

#include <grpc/grpc_security.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "rpc/peer_hello.h"
#include "rpc/rpc_arg.h"
#include "rpc/rpc_bytes.h"
#include "rpc/rpc_client_conn.h"

#define PATH "/kvd.Peer/Stream"
#define GREETING_NS (2 * NS_PER_S)  /* connecting and both hellos */
#define GOOD_NS (100 * NS_PER_MS)   /* a stream that stood so long was a good one */
#define REFUSED_NS (5 * NS_PER_S)   /* until a refused handshake is tried again: somebody has to change a setting first */

void rpc_peer_out_init(struct rpc_peer_out *out, uint64_t peer, const struct rpc_peer_options *options, const struct peer_port *port,
                       struct rng *rng, grpc_completion_queue *queue, struct rpc_signal_inbox *inbox)
{
    ASSERT(peer != 0 && options->reconnect_min_ns > 0 && options->reconnect_min_ns <= options->reconnect_max_ns);
    *out = (struct rpc_peer_out){.peer = peer, .options = options, .port = port, .rng = rng, .queue = queue, .due_ns = CLOCK_NEVER};
    rpc_signal_init(&out->greeted, RPC_TAG_OUT_GREETED, inbox);
    rpc_signal_init(&out->sent, RPC_TAG_OUT_SENT, inbox);
    rpc_signal_init(&out->closed, RPC_TAG_OUT_CLOSED, inbox);
}

void rpc_peer_out_set_urls(struct rpc_peer_out *out, const char *const *urls, size_t url_count)
{
    ASSERT(urls != NULL && url_count > 0);
    out->target_count = out->next_target = 0;
    for (size_t i = 0; i < url_count && out->target_count < RPC_PEER_OUT_URLS_MAX; i++) {
        bool is_tls;
        char *target = out->targets[out->target_count];
        if (rpc_client_conn_parse(urls[i], false, target, RPC_PEER_OUT_TARGET_MAX, &is_tls) && !is_tls) out->target_count++;
    }
    ASSERT(out->target_count > 0); /* the cluster's URLs were checked when they came in */
    if (out->state == RPC_PEER_OUT_WAITING) out->due_ns = 0;
}

static grpc_channel *make_channel(const struct rpc_peer_out *out, const char *target)
{
    uint64_t keepalive_ms = out->options->keepalive_ns / NS_PER_MS;
    grpc_arg args[] = {
        rpc_arg_integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1), /* a connection of its own */
        rpc_arg_integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_RETRIES, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        rpc_arg_integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, PEER_FRAME_BYTES_MAX),
        rpc_arg_integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, PEER_HELLO_BYTES_MAX),
        rpc_arg_integer(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_ms),
        rpc_arg_integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_ms),
        rpc_arg_integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        rpc_arg_integer(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, GREETING_NS / NS_PER_MS), /* the time that connecting may take */
    };
    grpc_channel_args channel_args = {.num_args = sizeof args / sizeof args[0], .args = args};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(target, credentials, &channel_args);
    grpc_channel_credentials_release(credentials);
    ASSERT(channel != NULL);
    return channel;
}

static void start(struct rpc_peer_out *out, const grpc_op *ops, size_t op_count, struct rpc_signal *signal)
{
    rpc_signal_release(signal);
    grpc_call_error error = grpc_call_start_batch(out->call, ops, op_count, &signal->functor, NULL);
    ASSERT(error == GRPC_CALL_OK);
    out->batches++;
}

static void start_greeting(struct rpc_peer_out *out)
{
    struct peer_hello hello = out->options->self;
    struct buf bytes;
    hello.target_id = out->peer;
    buf_init(&bytes);
    peer_hello_encode(&hello, &bytes);
    grpc_byte_buffer *message = rpc_bytes_make(buf_slice(&bytes), NULL, 0);
    buf_deinit(&bytes);
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE},
                      {.op = GRPC_OP_RECV_INITIAL_METADATA}, {.op = GRPC_OP_RECV_MESSAGE}};
    ops[1].data.send_message.send_message = message;
    ops[2].data.recv_initial_metadata.recv_initial_metadata = &out->initial;
    ops[3].data.recv_message.recv_message = &out->answer;
    start(out, ops, 4, &out->greeted);
    grpc_byte_buffer_destroy(message);
}

static void attempt(struct rpc_peer_out *out, uint64_t now_ns)
{
    ASSERT(out->state == RPC_PEER_OUT_WAITING && out->call == NULL && out->batches == 0);
    out->target = out->next_target;
    out->next_target = (out->target + 1) % out->target_count;
    out->channel = make_channel(out, out->targets[out->target]);
    out->call = grpc_channel_create_call(out->channel, NULL, GRPC_PROPAGATE_DEFAULTS, out->queue,
                                         grpc_slice_from_static_string(PATH), NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    ASSERT(out->call != NULL);
    grpc_metadata_array_init(&out->initial);
    grpc_metadata_array_init(&out->trailing);
    out->is_closed = out->is_refused = out->is_cut = false;
    out->why = NULL;
    out->state = RPC_PEER_OUT_GREETING;
    out->due_ns = now_ns + GREETING_NS;
    start_greeting(out);
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &out->trailing;
    status.data.recv_status_on_client.status = &out->status;
    status.data.recv_status_on_client.status_details = &out->details;
    start(out, &status, 1, &out->closed);
}

static void end_call(struct rpc_peer_out *out, const char *why)
{
    if (out->state == RPC_PEER_OUT_GREETING) out->state = RPC_PEER_OUT_ENDING; /* one that is up is told of by its status */
    if (out->state == RPC_PEER_OUT_ENDING) out->due_ns = CLOCK_NEVER;
    if (out->why == NULL) out->why = why;
    (void)grpc_call_cancel(out->call, NULL);
}

void rpc_peer_out_tick(struct rpc_peer_out *out, uint64_t now_ns)
{
    if (out->due_ns > now_ns) return;
    if (out->state == RPC_PEER_OUT_WAITING) {
        attempt(out, now_ns);
    } else {
        ASSERT(out->state == RPC_PEER_OUT_GREETING);
        end_call(out, "it did not answer our hello in time");
    }
}

uint64_t rpc_peer_out_deadline_ns(const struct rpc_peer_out *out) { return out->due_ns; }

void rpc_peer_out_cut(struct rpc_peer_out *out, const char *why)
{
    ASSERT(why != NULL);
    if (out->call == NULL) return;
    out->is_cut = true;
    end_call(out, why);
}

bool rpc_peer_out_send(struct rpc_peer_out *out, struct blob *frame)
{
    ASSERT(frame != NULL && frame->size <= PEER_FRAME_BYTES_MAX);
    if (out->state != RPC_PEER_OUT_UP || out->is_sending || out->is_closed) {
        blob_unref(frame);
        return false;
    }
    grpc_byte_buffer *message = rpc_bytes_make(slice_empty(), &frame, 1);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    out->is_sending = true;
    start(out, &op, 1, &out->sent);
    grpc_byte_buffer_destroy(message);
    return true;
}

/* --- completions --- */

static bool refuse(struct rpc_peer_out *out, struct peer_event *out_event)
{
    out->is_refused = true;
    out_event->kind = PEER_REFUSED;
    return true;
}

static bool take_hello(struct rpc_peer_out *out, uint64_t now_ns, struct peer_event *out_event)
{
    struct peer_hello *hello = &out_event->hello;
    struct slice bytes = rpc_bytes_flatten(&out->answer);
    if (!peer_hello_decode(bytes, hello)) {
        snprintf(out_event->text, sizeof out_event->text, "its answer to our hello is garbage");
        return refuse(out, out_event);
    }
    if (peer_hello_conflict(&out->options->self, hello, out_event->text)) return refuse(out, out_event);
    if (hello->member_id != out->peer) {
        snprintf(out_event->text, sizeof out_event->text, "at %.100s there is member %llx instead", out->targets[out->target],
                 (unsigned long long)hello->member_id);
        return refuse(out, out_event);
    }
    const struct peer_port *port = out->port;
    if (port->judge != NULL && !port->judge(port->judge_context, hello, out_event->text)) return refuse(out, out_event);
    out->state = RPC_PEER_OUT_UP;
    out->due_ns = CLOCK_NEVER;
    out->up_ns = now_ns;
    out_event->kind = PEER_UP;
    return true;
}

/* What the status means. gRPC reports that nobody listened in words only, behind an address that may be long. */
static void judge_status(struct rpc_peer_out *out, bool was_up, struct peer_event *out_event)
{
    static const char REFUSED[] = "Connection refused";
    const void *details = GRPC_SLICE_START_PTR(out->details);
    size_t size = GRPC_SLICE_LENGTH(out->details);
    *out_event = (struct peer_event){.kind = PEER_DOWN, .peer = out->peer};
    if (out->why != NULL) {
        snprintf(out_event->text, sizeof out_event->text, "%s", out->why);
    } else {
        snprintf(out_event->text, sizeof out_event->text, "%.*s", (int)size, (const char *)details);
        out_event->refused = !was_up && out->status == GRPC_STATUS_UNAVAILABLE && memmem(details, size, REFUSED, sizeof REFUSED - 1) != NULL;
    }
    if (was_up || out->is_refused || out->status != GRPC_STATUS_FAILED_PRECONDITION) return;
    out->is_refused = true; /* by them */
    out_event->kind = PEER_REFUSED;
}

static void set_due(struct rpc_peer_out *out, bool was_up, uint64_t now_ns)
{
    const struct rpc_peer_options *options = out->options;
    uint64_t stood_ns = was_up ? now_ns - out->up_ns : 0;
    if (stood_ns >= options->reconnect_max_ns || (stood_ns >= GOOD_NS && !out->is_cut)) out->back_off_ns = 0;
    if (out->is_cut && out->back_off_ns == 0) out->back_off_ns = options->reconnect_min_ns;
    uint64_t wait_ns = out->is_refused ? REFUSED_NS : out->back_off_ns;
    out->due_ns = now_ns + wait_ns / 2 + rng_below(out->rng, wait_ns / 2 + 1);
    uint64_t next_ns = out->back_off_ns == 0 ? options->reconnect_min_ns : out->back_off_ns * 2;
    out->back_off_ns = next_ns < options->reconnect_max_ns ? next_ns : options->reconnect_max_ns;
}

/* After the last batch: what the attempt came to, and when the next one is due. */
static bool end(struct rpc_peer_out *out, uint64_t now_ns, struct peer_event *out_event)
{
    if (!out->is_closed || out->batches > 0) return false;
    bool was_up = out->state == RPC_PEER_OUT_UP;
    bool is_told = out->is_refused; /* our own refusal was reported when it was made */
    judge_status(out, was_up, out_event);
    grpc_slice_unref(out->details);
    grpc_metadata_array_destroy(&out->initial);
    grpc_metadata_array_destroy(&out->trailing);
    grpc_call_unref(out->call);
    grpc_channel_destroy(out->channel);
    out->call = NULL;
    out->channel = NULL;
    out->is_sending = false;
    out->state = RPC_PEER_OUT_WAITING;
    set_due(out, was_up, now_ns);
    return !is_told;
}

bool rpc_peer_out_greeted(struct rpc_peer_out *out, bool ok, uint64_t now_ns, struct peer_event *out_event)
{
    ASSERT(out->batches > 0 && out->call != NULL);
    out->batches--;
    *out_event = (struct peer_event){.peer = out->peer};
    bool has_event = false;
    if (ok && out->answer != NULL && out->state == RPC_PEER_OUT_GREETING && !out->is_closed) {
        has_event = take_hello(out, now_ns, out_event);
        if (out->is_refused) end_call(out, "we refused its hello");
    }
    if (out->answer != NULL) grpc_byte_buffer_destroy(out->answer);
    out->answer = NULL;
    return has_event || end(out, now_ns, out_event);
}

bool rpc_peer_out_sent(struct rpc_peer_out *out, bool ok, uint64_t now_ns, struct peer_event *out_event)
{
    ASSERT(out->batches > 0 && out->is_sending);
    out->batches--;
    out->is_sending = false;
    if (end(out, now_ns, out_event)) return true;
    *out_event = (struct peer_event){.kind = PEER_SENT, .peer = out->peer};
    return ok && out->state == RPC_PEER_OUT_UP;
}

bool rpc_peer_out_closed(struct rpc_peer_out *out, uint64_t now_ns, struct peer_event *out_event)
{
    ASSERT(out->batches > 0 && !out->is_closed);
    out->batches--;
    out->is_closed = true;
    return end(out, now_ns, out_event);
}
