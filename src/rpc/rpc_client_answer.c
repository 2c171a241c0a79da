/* rpc_client_answer: what comes back for a call: again, or the end, and what the caller is told. A call ends in rpc_client_finish, exactly once. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mutant.h"
#include "rpc/rpc_client_inner.h"

#define ATTEMPTS_MAX 100       /* of a read that is answered Unavailable again and again */
#define TOKENS_MAX 3           /* that one call is refused with */

/* --- the end of a call ------------------------------------------------------------------------------------------------- */

static void release(struct rpc_client *client, struct rpc_client_call *call)
{
    ASSERT(call->grpc == NULL && call->response == NULL && call->timer.place == HEAP_NONE);
    void *taken = map_take(&client->calls, call->name);
    ASSERT(taken == call);
    rpc_client_out_deinit(&call->out);
    grpc_slice_unref(call->body);
    list_remove(&call->node);
    list_push_back(&client->free_calls, &call->node);
    client->finished++;
}

void rpc_client_finish(struct rpc_client *client, struct rpc_client_call *call, struct rpc_client_result *result)
{
    result->endpoint = client->conns[call->conn]->endpoint;
    result->attempts = call->attempts;
    rpc_client_done_fn *done_fn = call->done_fn;
    void *context = call->context;
    ASSERT(done_fn != NULL && result->text != NULL);
    release(client, call);
    done_fn(context, result);
}

void rpc_client_finish_unsent(struct rpc_client *client, struct rpc_client_call *call, enum err_code code, const char *text)
{
    ASSERT(code != ERR_CODE_OK);
    /* Without an attempt, waiting was all for a connection. */
    bool is_waiting = client->auth.user != NULL && client->auth.state == RPC_CLIENT_AUTH_ASKING; /* for the token: somebody may be there */
    bool is_unreachable = code == ERR_CODE_UNAVAILABLE || (code == ERR_CODE_DEADLINE_EXCEEDED && call->attempts == 0 && !is_waiting);
    struct rpc_client_result result = {.code = code, .text = text, .is_unreachable = is_unreachable};
    rpc_client_finish(client, call, &result);
}

/* --- an answer --------------------------------------------------------------------------------------------------------- */

/* Texts of gRPC itself for a call that found no connection to leave on. */
static bool was_never_sent(const struct rpc_client_call *call)
{
    static const char *const starts[] = {"failed to connect to all addresses", "DNS resolution failed"};
    if (call->status != GRPC_STATUS_UNAVAILABLE) return false;
    struct slice text = slice_make(GRPC_SLICE_START_PTR(call->details), GRPC_SLICE_LENGTH(call->details));
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        size_t length = strlen(starts[i]);
        ASSERT(length > 0);
        if (text.size >= length && memcmp(text.data, starts[i], length) == 0) return true;
    }
    return false;
}

/* What a server may still do, or have done, after it answered so. "no leader" is said before anything is proposed. */
static bool leaves_fate_open(enum err_code code, const char *text)
{
    ASSERT(text != NULL);
    switch (code) {
    case ERR_CODE_UNAVAILABLE: return strcmp(text, err_text(ERR_NO_LEADER)) != 0;
    case ERR_CODE_CANCELLED:
    case ERR_CODE_UNKNOWN:
    case ERR_CODE_DEADLINE_EXCEEDED:
    case ERR_CODE_ABORTED:
    case ERR_CODE_INTERNAL: return true;
    default: return false;
    }
}

/* The response's bytes: in place if they are one piece, else copied into `copy`. */
static struct slice response_bytes(grpc_byte_buffer *response, struct buf *copy)
{
    ASSERT(response != NULL);
    const grpc_slice_buffer *pieces = &response->data.raw.slice_buffer;
    ASSERT(response->type == GRPC_BB_RAW);
    if (response->data.raw.compression == GRPC_COMPRESS_NONE && pieces->count == 1)
        return slice_make(GRPC_SLICE_START_PTR(pieces->slices[0]), GRPC_SLICE_LENGTH(pieces->slices[0]));
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, response)) return slice_empty();
    for (grpc_slice *piece; grpc_byte_buffer_reader_peek(&reader, &piece) != 0;)
        buf_put(copy, GRPC_SLICE_START_PTR(*piece), GRPC_SLICE_LENGTH(*piece));
    grpc_byte_buffer_reader_destroy(&reader);
    return buf_slice(copy);
}

static void finish_answered(struct rpc_client *client, struct rpc_client_call *call, grpc_byte_buffer *response, bool is_stale_token)
{
    char *text = NULL;
    struct buf copy;
    buf_init(&copy);
    bool is_known = call->status >= GRPC_STATUS_OK && call->status <= GRPC_STATUS_UNAUTHENTICATED;
    struct rpc_client_result result = {.code = is_known ? (enum err_code)call->status : ERR_CODE_UNKNOWN, .text = ""};
    bool is_stream = call->request.message_fn != NULL;
    if (result.code == ERR_CODE_OK && response == NULL && !is_stream) {
        result.code = ERR_CODE_INTERNAL;
        result.text = "the server answered OK without a message";
        result.is_unknown = call->request.policy == RPC_CLIENT_WRITE;
    } else if (result.code == ERR_CODE_OK && !is_stream) {
        result.body = response_bytes(response, &copy);
    } else if (result.code != ERR_CODE_OK) {
        result.text = text = grpc_slice_to_c_string(call->details);
        ASSERT(text != NULL);
        result.is_unreachable = was_never_sent(call);
        result.is_stale_token = is_stale_token;
        result.is_unknown = call->request.policy == RPC_CLIENT_WRITE && !result.is_unreachable &&
                            leaves_fate_open(result.code, text);
    }
    rpc_client_finish(client, call, &result);
    buf_deinit(&copy);
    gpr_free(text);
}

/* A message of a stream, or that there is none more. */
void rpc_client_on_message(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns)
{
    ASSERT(call->grpc != NULL && call->is_receiving && !call->has_all);
    grpc_byte_buffer *message = call->response;
    call->response = NULL;
    call->has_all = message == NULL;
    if (message != NULL) {
        struct buf copy;
        buf_init(&copy);
        bool wants_more = call->request.message_fn(call->request.message_context, response_bytes(message, &copy));
        if (!wants_more) rpc_client_cancel(client, call->name);
        buf_deinit(&copy);
        grpc_byte_buffer_destroy(message);
    }
    call->is_receiving = false;
    if (call->has_status) rpc_client_on_answer(client, call, now_ns);
    else if (!call->has_all && !call->is_paused) rpc_client_receive(call);
}

void rpc_client_pause(struct rpc_client *client, uint64_t name)
{
    struct rpc_client_call *call = map_get(&client->calls, name);
    if (call != NULL) call->is_paused = true;
}

void rpc_client_resume(struct rpc_client *client, uint64_t name)
{
    struct rpc_client_call *call = map_get(&client->calls, name);
    if (call == NULL) return;
    bool is_stream = call->request.message_fn != NULL; /* any call may be resumed */
    call->is_paused = false;
    if (is_stream && call->grpc != NULL && !call->is_receiving && !call->has_all && !call->has_status) rpc_client_receive(call);
}

static bool may_try_again(const struct rpc_client *client, struct rpc_client_call *call, bool is_stale_token, uint64_t now_ns)
{
    ASSERT(call->attempts > 0);
    if (client->is_stopping || call->is_canceled || now_ns >= call->deadline_ns) return false;
    if (is_stale_token) return call->request.message_fn == NULL && ++call->tokens_refused < TOKENS_MAX;
    if (call->status != GRPC_STATUS_UNAVAILABLE || call->attempts >= ATTEMPTS_MAX) return false;
    switch (call->request.policy) {
    case RPC_CLIENT_READ: return true;
    case RPC_CLIENT_WRITE: return was_never_sent(call) || MUTANT(P34A);
    case RPC_CLIENT_ONCE: break;
    }
    return false;
}

void rpc_client_on_answer(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns)
{
    ASSERT(call->grpc != NULL);
    call->has_status = true;
    if (call->out.is_sending || call->is_receiving) return;
    if (call->timer.place != HEAP_NONE) heap_remove(&client->timers, &call->timer);
    bool is_stale_token = rpc_client_auth_refused(client, call);
    if (call->status == GRPC_STATUS_UNAVAILABLE) rpc_client_conn_leave(client->conns[call->conn]);
    grpc_byte_buffer *response = call->response;
    grpc_slice details = call->details;
    grpc_call_unref(call->grpc);
    call->grpc = NULL;
    call->response = NULL;
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    if (may_try_again(client, call, is_stale_token, now_ns)) {
        if (!was_never_sent(call) && client->dial_timeout_ns != 0) call->dial_until_ns = now_ns + client->dial_timeout_ns;
        call->has_status = false;
        rpc_client_attempt_again(client, call, now_ns);
    } else {
        finish_answered(client, call, response, is_stale_token);
    }
    if (response != NULL) grpc_byte_buffer_destroy(response);
    grpc_slice_unref(details);
}

/* A message of an open call has left, or never will. */
void rpc_client_on_sent(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns)
{
    ASSERT(call->grpc != NULL);
    rpc_client_out_sent(&call->out);
    if (call->has_status)
        rpc_client_on_answer(client, call, now_ns);
    else if (!call->has_all)
        rpc_client_out_start(&call->out, call->grpc);
}

