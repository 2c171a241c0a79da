/* rpc_client_call: one call from start to end, over rpc_client's own face. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "rpc/rpc_client.h"

static void keep_answer(void *context, const struct rpc_client_result *result)
{
    struct rpc_client_answer *answer = context;
    ASSERT(answer->text == NULL);
    answer->code = result->code;
    answer->text = alloc_string(result->text);
    answer->is_unknown = result->is_unknown;
    answer->is_unreachable = result->is_unreachable;
    answer->endpoint = result->endpoint;
    answer->took_ns = clock_mono_ns() - answer->start_ns;
    buf_put_slice(&answer->body, result->body);
}

uint64_t rpc_client_begin(struct rpc_client *client, const struct rpc_client_request *request, struct rpc_client_answer *out_answer)
{
    ASSERT(out_answer != NULL);
    *out_answer = (struct rpc_client_answer){.code = ERR_CODE_UNKNOWN, .start_ns = clock_mono_ns()};
    buf_init(&out_answer->body);
    return rpc_client_start(client, request, keep_answer, out_answer);
}

enum err_code rpc_client_call(struct rpc_client *client, const struct rpc_client_request *request,
                              struct rpc_client_answer *out_answer)
{
    rpc_client_begin(client, request, out_answer);
    while (out_answer->text == NULL) rpc_client_pump(client, CLOCK_NEVER);
    return out_answer->code;
}

void rpc_client_answer_deinit(struct rpc_client_answer *answer)
{
    if (answer == NULL) return;
    alloc_free(answer->text);
    buf_deinit(&answer->body);
    answer->text = NULL;
}
