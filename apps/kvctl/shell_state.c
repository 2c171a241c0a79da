/* shell_state: see the header. */
#include "shell_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kv_request.h"

#define PATIENCE_NS (2 * NS_PER_S)       /* with a cluster that was there the last time */
#define IMPATIENCE_NS (500 * NS_PER_MS) /* with one that was not */
#define KEYS_MAX 64

struct shell_state {
    struct ctl ctl;
    bool is_connected;
    uint64_t leader;
    char name[80];     /* the leader's */
    char prompt[128];
};

struct shell_state *shell_state_new(const struct ctl_globals *globals)
{
    struct shell_state *state = ALLOC(struct shell_state);
    state->ctl.globals = *globals;
    state->ctl.globals.command_timeout_ns = PATIENCE_NS;
    state->is_connected = ctl_connect(&state->ctl, &globals->endpoints) == CTL_OK;
    return state;
}

void shell_state_free(struct shell_state *state)
{
    if (state == NULL) return;
    ctl_disconnect(&state->ctl);
    alloc_free(state);
}

/* The response, owned; NULL, and no word about it, if there is none. */
static ProtobufCMessage *ask(struct shell_state *state, const char *path, struct slice request, const ProtobufCMessageDescriptor *type)
{
    struct calls_answer answer;
    if (!state->is_connected) return NULL;
    ctl_call(&state->ctl, path, request, KVD_POLICY_READ, CALLS_ANY, &answer);
    ProtobufCMessage *message = answer.code == ERR_CODE_OK ? ctl_unpack(type, buf_slice(&answer.body)) : NULL;
    calls_answer_deinit(&answer);
    return message;
}

static void name_leader(struct shell_state *state, uint64_t leader)
{
    if (state->leader == leader && state->name[0] != '\0') return;
    Etcdserverpb__MemberListResponse *list = (Etcdserverpb__MemberListResponse *)ask(state, "/etcdserverpb.Cluster/MemberList", slice_empty(),
                                                                                    &etcdserverpb__member_list_response__descriptor);
    state->leader = leader;
    (void)snprintf(state->name, sizeof state->name, "%" PRIx64, leader);
    for (size_t i = 0; list != NULL && i < list->n_members; i++)
        if (list->members[i]->id == leader && list->members[i]->name[0] != '\0')
            (void)snprintf(state->name, sizeof state->name, "%.70s", list->members[i]->name);
    if (list != NULL) protobuf_c_message_free_unpacked(&list->base, NULL);
}

static void put_range(struct buf *request, struct slice prefix, int64_t limit, bool is_descending)
{
    buf_put_pb_bytes(request, 1, prefix.size == 0 ? slice_make("", 1) : prefix);
    kv_request_prefix_end(request, prefix);
    buf_put_pb_varint(request, 3, (uint64_t)limit);
    if (is_descending) buf_put_pb_varint(request, 5, ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND);
    buf_put_pb_varint(request, 8, 1); /* keys only */
}

static Etcdserverpb__RangeResponse *range(struct shell_state *state, struct slice prefix, int64_t limit, bool is_descending)
{
    struct buf request;
    buf_init(&request);
    put_range(&request, prefix, limit, is_descending);
    ProtobufCMessage *message = ask(state, "/etcdserverpb.KV/Range", buf_slice(&request), &etcdserverpb__range_response__descriptor);
    buf_deinit(&request);
    return (Etcdserverpb__RangeResponse *)message;
}

void shell_state_refresh(struct shell_state *state)
{
    Etcdserverpb__StatusResponse *status = (Etcdserverpb__StatusResponse *)ask(state, "/etcdserverpb.Maintenance/Status", slice_empty(),
                                                                               &etcdserverpb__status_response__descriptor);
    Etcdserverpb__RangeResponse *now = status == NULL || status->leader == 0 ? NULL : range(state, slice_make("", 1), 1, false);
    state->ctl.globals.command_timeout_ns = status == NULL ? IMPATIENCE_NS : PATIENCE_NS;
    if (status == NULL) {
        (void)snprintf(state->prompt, sizeof state->prompt, "unreachable> ");
    } else if (now == NULL || now->header == NULL) { /* a linearizable read needs a leader */
        (void)snprintf(state->prompt, sizeof state->prompt, "no leader> ");
    } else {
        name_leader(state, status->leader);
        (void)snprintf(state->prompt, sizeof state->prompt, "%s@%" PRId64 "> ", state->name, now->header->revision);
    }
    if (now != NULL) protobuf_c_message_free_unpacked(&now->base, NULL);
    if (status != NULL) protobuf_c_message_free_unpacked(&status->base, NULL);
}

const char *shell_state_prompt(const struct shell_state *state) { return state->prompt; }

void shell_state_keys(void *context, struct slice prefix, struct shell_complete *out)
{
    struct shell_state *state = context;
    Etcdserverpb__RangeResponse *first = range(state, prefix, KEYS_MAX, false);
    if (first == NULL) return;
    for (size_t i = 0; i < first->n_kvs; i++) shell_complete_add(out, slice_make(first->kvs[i]->key.data, first->kvs[i]->key.len));
    if (first->more) {
        Etcdserverpb__RangeResponse *last = range(state, prefix, 1, true);
        out->has_more = true;
        if (last != NULL && last->n_kvs == 1) shell_complete_add(out, slice_make(last->kvs[0]->key.data, last->kvs[0]->key.len));
        if (last != NULL) protobuf_c_message_free_unpacked(&last->base, NULL);
    }
    protobuf_c_message_free_unpacked(&first->base, NULL);
}
