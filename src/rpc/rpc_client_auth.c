/* rpc_client_auth: see the header. */
#include "rpc/rpc_client_auth.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/buf.h"
#include "rpc/rpc_client_inner.h"

static const char PATH[] = "/etcdserverpb.Auth/Authenticate";

static void drop_token(struct rpc_client_auth *auth)
{
    if (auth->has_token) grpc_slice_unref(auth->token);
    auth->has_token = false;
}

/* What gRPC would not send is no token. */
static bool set_token(struct rpc_client_auth *auth, struct slice token)
{
    ASSERT(!auth->has_token);
    auth->token = grpc_slice_from_copied_buffer((const char *)token.data, token.size);
    auth->has_token = true;
    if (token.size > 0 && grpc_header_nonbin_value_is_legal(auth->token)) return true;
    drop_token(auth);
    return false;
}

bool rpc_client_auth_init(struct rpc_client_auth *auth, const char *user, const char *password, const char *token)
{
    *auth = (struct rpc_client_auth){.state = RPC_CLIENT_AUTH_UNASKED};
    list_init(&auth->waiting);
    if (token != NULL && token[0] != '\0') {
        ASSERT(user == NULL || user[0] == '\0');
        auth->state = RPC_CLIENT_AUTH_KNOWN;
        return set_token(auth, slice_from_string(token));
    }
    if (user == NULL || user[0] == '\0') return true;
    auth->user = alloc_string(user);
    auth->password = alloc_string(password == NULL ? "" : password);
    return true;
}

void rpc_client_auth_deinit(struct rpc_client_auth *auth)
{
    ASSERT(list_is_empty(&auth->waiting));
    drop_token(auth);
    if (auth->password != NULL) explicit_bzero(auth->password, strlen(auth->password));
    alloc_free(auth->password);
    alloc_free(auth->user);
}

/* AuthenticateResponse.token */
static bool take_token(struct rpc_client_auth *auth, struct slice response)
{
    struct reader reader = reader_make(response);
    struct pb_field field;
    struct slice token = slice_empty();
    while (reader_pb_field(&reader, &field))
        if (field.number == 2 && field.wire == PB_BYTES) token = field.bytes;
    return !reader.bad && set_token(auth, token);
}

static bool is_off(const struct rpc_client_result *result)
{
    if (result->code == ERR_CODE_UNIMPLEMENTED) return true; /* a server without such a service */
    return result->code == ERR_CODE_FAILED_PRECONDITION && strcmp(result->text, err_text(ERR_AUTH_NOT_ENABLED)) == 0;
}

static void on_answer(void *context, const struct rpc_client_result *result)
{
    struct rpc_client *client = context;
    struct rpc_client_auth *auth = &client->auth;
    struct rpc_client_result failed = *result;
    struct list waiting;
    auth->state = RPC_CLIENT_AUTH_UNASKED;
    if (client->is_stopping) return; /* who waits has been cancelled */
    if ((result->code == ERR_CODE_OK && take_token(auth, result->body)) || is_off(result)) auth->state = RPC_CLIENT_AUTH_KNOWN;
    auth->number++;
    if (auth->state == RPC_CLIENT_AUTH_UNASKED && result->code == ERR_CODE_OK) {
        failed.code = ERR_CODE_INTERNAL;
        failed.text = "the server answered Authenticate without a token that calls can carry";
    }
    list_init(&waiting); /* apart, because a call-back may start calls, which ask anew */
    for (struct list *node; (node = list_pop_front(&auth->waiting)) != NULL;) list_push_back(&waiting, node);
    for (struct list *node; (node = list_pop_front(&waiting)) != NULL;) {
        struct rpc_client_call *call = LIST_ENTRY(node, struct rpc_client_call, node);
        rpc_client_release(client, call, auth->state == RPC_CLIENT_AUTH_KNOWN ? NULL : &failed);
    }
}

static void ask(struct rpc_client *client)
{
    struct rpc_client_auth *auth = &client->auth;
    struct buf body;
    buf_init(&body);
    buf_put_pb_bytes(&body, 1, slice_from_string(auth->user));
    buf_put_pb_bytes(&body, 2, slice_from_string(auth->password));
    const struct rpc_client_request request = {.path = PATH, .body = buf_slice(&body), .policy = RPC_CLIENT_READ, .endpoint = RPC_CLIENT_ANY};
    auth->state = RPC_CLIENT_AUTH_ASKING;
    rpc_client_start(client, &request, on_answer, client);
    buf_deinit(&body);
}

bool rpc_client_auth_holds(struct rpc_client *client, struct rpc_client_call *call)
{
    struct rpc_client_auth *auth = &client->auth;
    if (auth->user == NULL || auth->state == RPC_CLIENT_AUTH_KNOWN || call->request.path == PATH) return false;
    list_push_back(&auth->waiting, &call->node);
    if (auth->state == RPC_CLIENT_AUTH_UNASKED) ask(client);
    return true;
}

void rpc_client_drop_token(struct rpc_client *client)
{
    struct rpc_client_auth *auth = &client->auth;
    if (auth->user == NULL || auth->state != RPC_CLIENT_AUTH_KNOWN) return;
    drop_token(auth);
    auth->state = RPC_CLIENT_AUTH_UNASKED;
}

bool rpc_client_auth_refused(struct rpc_client *client, const struct rpc_client_call *call)
{
    const enum err refusals[] = {ERR_INVALID_AUTH_TOKEN, ERR_AUTH_OLD_REVISION, ERR_USER_EMPTY};
    struct slice text = slice_make(GRPC_SLICE_START_PTR(call->details), GRPC_SLICE_LENGTH(call->details));
    bool is_refused = false;
    if (client->auth.user == NULL || call->request.path == PATH) return false;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0] && !is_refused; i++)
        is_refused = (int)call->status == (int)err_grpc_code(refusals[i]) && slice_equal(text, slice_from_string(err_text(refusals[i])));
    if (is_refused && call->token_number == client->auth.number) rpc_client_drop_token(client); /* else there is a newer one already */
    return is_refused;
}
