/* queue: see the header. All that it asks may be asked again: the transaction does nothing the second time, a lease that was granted for
 * nobody expires. So calls go on over changes of leader until the lease is over. */
#include "queue.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "kv_request.h"
#include "print.h"
#include "watcher.h"

#define RANGE "/etcdserverpb.KV/Range"
#define TXN "/etcdserverpb.KV/Txn"
#define SORT_DESCEND 2
#define SORT_BY_CREATE 2
#define COMPARE_CREATE 1

bool queue_is_held(const struct queue *queue)
{
    return queue->keepalive != NULL && keepalive_state(queue->keepalive) == KEEPALIVE_RUNS;
}

static bool goes_on(void *context)
{
    struct queue *queue = context;
    return queue_is_held(queue) && ear_signal(queue->live->ear) == 0;
}

static enum ctl_exit fail_lost(const struct queue *queue)
{
    const struct calls_answer *why = queue->keepalive == NULL ? NULL : keepalive_refusal(queue->keepalive);
    bool has_reason = why != NULL && why->text != NULL && why->text[0] != '\0' && keepalive_state(queue->keepalive) != KEEPALIVE_GONE;
    return ctl_fail(CTL_ERROR, "session expired%s%s%s", has_reason ? " (" : "", has_reason ? why->text : "", has_reason ? ")" : "");
}

/* The answer to a call that may be repeated; *out_message is NULL, and CTL_OK, if a signal came first. */
static enum ctl_exit ask(struct queue *queue, const char *path, struct slice body, const ProtobufCMessageDescriptor *type,
                         ProtobufCMessage **out_message)
{
    struct calls_answer answer;
    enum ctl_exit code = CTL_OK;
    struct calls_request call = {.path = path, .body = body, .policy = KVD_POLICY_READ, .endpoint = CALLS_ANY};
    *out_message = NULL;
    live_call(queue->live, &call, goes_on, queue, &answer);
    while (answer.code == ERR_CODE_UNAVAILABLE && goes_on(queue)) {
        calls_answer_deinit(&answer);
        live_call(queue->live, &call, goes_on, queue, &answer);
    }
    if (answer.code == ERR_CODE_OK) *out_message = ctl_unpack(type, buf_slice(&answer.body));
    if (answer.code == ERR_CODE_OK && *out_message == NULL)
        code = ctl_fail(CTL_ERROR, "%s answered with bytes that are not a %s", queue->live->ctl->endpoints[answer.endpoint], type->short_name);
    else if (answer.code != ERR_CODE_OK && !queue_is_held(queue))
        code = fail_lost(queue);
    else if (answer.code != ERR_CODE_OK && ear_signal(queue->live->ear) == 0)
        code = ctl_fail_answer(queue->live->ctl, &answer);
    calls_answer_deinit(&answer);
    return code;
}

/* --- join -------------------------------------------------------------------------------------------------------------------- */

static enum ctl_exit grant(struct queue *queue, int64_t ttl)
{
    struct buf request;
    struct calls_answer answer;
    buf_init(&request);
    if (ttl != 0) buf_put_pb_varint(&request, 1, (uint64_t)ttl);
    struct calls_request call = {.path = "/etcdserverpb.Lease/LeaseGrant",
                                      .body = buf_slice(&request),
                                      .policy = KVD_POLICY_READ,
                                      .timeout_ns = queue->live->ctl->globals.command_timeout_ns,
                                      .endpoint = CALLS_ANY};
    live_call(queue->live, &call, NULL, NULL, &answer);
    buf_deinit(&request);
    enum ctl_exit code = answer.code == ERR_CODE_OK ? CTL_OK : ctl_fail_answer(queue->live->ctl, &answer);
    Etcdserverpb__LeaseGrantResponse *response = NULL;
    if (code == CTL_OK)
        response = (Etcdserverpb__LeaseGrantResponse *)ctl_unpack(&etcdserverpb__lease_grant_response__descriptor, buf_slice(&answer.body));
    if (code == CTL_OK && (response == NULL || response->id == 0 || response->ttl <= 0))
        code = ctl_fail(CTL_ERROR, "the server granted no lease");
    if (code == CTL_OK) {
        queue->lease = response->id;
        queue->keepalive = keepalive_new(queue->live, response->id, answer.start_ns + (uint64_t)response->ttl * NS_PER_S, NULL, NULL);
    }
    if (response != NULL) protobuf_c_message_free_unpacked(&response->base, NULL);
    calls_answer_deinit(&answer);
    return code;
}

static void put_operation(struct buf *txn, uint32_t branch, uint32_t kind, const struct buf *request)
{
    struct buf operation;
    buf_init(&operation);
    buf_put_pb_bytes(&operation, kind, buf_slice(request));
    buf_put_pb_bytes(txn, branch, buf_slice(&operation));
    buf_deinit(&operation);
}

static void put_compare(const struct queue *queue, int64_t revision, struct buf *compare)
{
    buf_put_pb_varint(compare, 2, COMPARE_CREATE);
    buf_put_pb_bytes(compare, 3, buf_slice(&queue->key));
    buf_put_pb_varint(compare, 5, (uint64_t)revision);
}

/* If the key is not there: put it; else: get it. */
static void put_txn(const struct queue *queue, const char *value, struct buf *txn)
{
    struct buf compare, put, get;
    buf_init(&compare);
    buf_init(&put);
    buf_init(&get);
    put_compare(queue, 0, &compare);
    buf_put_pb_bytes(&put, 1, buf_slice(&queue->key));
    buf_put_pb_bytes(&put, 2, slice_from_string(value));
    buf_put_pb_varint(&put, 3, (uint64_t)queue->lease);
    buf_put_pb_bytes(&get, 1, buf_slice(&queue->key));
    buf_put_pb_bytes(txn, 1, buf_slice(&compare));
    put_operation(txn, 2, 2, &put);
    put_operation(txn, 3, 1, &get);
    buf_deinit(&get);
    buf_deinit(&put);
    buf_deinit(&compare);
}

/* Our key's create_revision; 0 = the response does not have it. */
static int64_t revision_of(const Etcdserverpb__TxnResponse *response)
{
    if (response->header == NULL || response->n_responses != 1) return 0;
    if (response->succeeded) return response->header->revision;
    const Etcdserverpb__ResponseOp *op = response->responses[0];
    bool has_key = op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE && op->response_range->n_kvs == 1;
    return has_key ? op->response_range->kvs[0]->create_revision : 0;
}

enum ctl_exit queue_join(struct queue *queue, struct live *live, const char *name, int64_t ttl, const char *value)
{
    *queue = (struct queue){.live = live};
    buf_init(&queue->prefix);
    buf_init(&queue->key);
    enum ctl_exit code = grant(queue, ttl);
    if (code != CTL_OK) return code;
    buf_printf(&queue->prefix, "%s/", name);
    buf_printf(&queue->key, "%s/%" PRIx64, name, (uint64_t)queue->lease);
    struct buf txn;
    ProtobufCMessage *response = NULL;
    buf_init(&txn);
    put_txn(queue, value, &txn);
    code = ask(queue, TXN, buf_slice(&txn), &etcdserverpb__txn_response__descriptor, &response);
    buf_deinit(&txn);
    if (response == NULL) return code;
    queue->revision = revision_of((const Etcdserverpb__TxnResponse *)response);
    protobuf_c_message_free_unpacked(response, NULL);
    return queue->revision > 0 ? CTL_OK : ctl_fail(CTL_ERROR, "the transaction's response is not one of this transaction");
}

/* --- wait -------------------------------------------------------------------------------------------------------------------- */

/* The youngest key before ours: an answer without a key if there is none. */
static enum ctl_exit get_before(struct queue *queue, ProtobufCMessage **out_range)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, buf_slice(&queue->prefix));
    kv_request_prefix_end(&request, buf_slice(&queue->prefix));
    buf_put_pb_varint(&request, 3, 1);
    buf_put_pb_varint(&request, 5, SORT_DESCEND);
    buf_put_pb_varint(&request, 6, SORT_BY_CREATE);
    buf_put_pb_varint(&request, 8, 1);
    buf_put_pb_varint(&request, 13, (uint64_t)(queue->revision - 1));
    enum ctl_exit code = ask(queue, RANGE, buf_slice(&request), &etcdserverpb__range_response__descriptor, out_range);
    buf_deinit(&request);
    return code;
}

static bool is_no_deletion(void *context, const Etcdserverpb__WatchResponse *response)
{
    bool *is_canceled = context;
    *is_canceled = response->canceled;
    for (size_t i = 0; i < response->n_events; i++)
        if (response->events[i]->type == MVCCPB__EVENT__EVENT_TYPE__DELETE) return false;
    return true;
}

/* Until the key is deleted behind `revision`, or we do not go on. A watch that is canceled (compaction) ends it, too: one looks again. */
static enum ctl_exit wait_deletion(struct queue *queue, ProtobufCBinaryData key, int64_t revision)
{
    struct buf request;
    bool is_canceled = false;
    enum ctl_exit code = CTL_OK;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_make(key.data, key.len));
    struct watcher *watcher = watcher_new(queue->live, buf_slice(&request), revision + 1, is_no_deletion, &is_canceled);
    buf_deinit(&request);
    while (goes_on(queue) && !watcher_is_over(watcher)) live_step(queue->live);
    if (!queue_is_held(queue))
        code = fail_lost(queue);
    else if (watcher_is_over(watcher) && watcher_refusal(watcher)->code != ERR_CODE_OK)
        code = ctl_fail_answer(queue->live->ctl, watcher_refusal(watcher));
    watcher_free(watcher);
    return code;
}

/* Waits for one, or sees that there is none: *out_is_first. */
static enum ctl_exit wait_for_one(struct queue *queue, bool *out_is_first)
{
    ProtobufCMessage *message = NULL;
    enum ctl_exit code = get_before(queue, &message);
    if (message == NULL) return code;
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)message;
    int64_t revision = range->header == NULL ? 0 : range->header->revision;
    *out_is_first = range->n_kvs == 0;
    queue->first_revision = revision;
    if (!*out_is_first) code = wait_deletion(queue, range->kvs[0]->key, revision);
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

enum ctl_exit queue_wait(struct queue *queue)
{
    enum ctl_exit code = CTL_OK;
    bool is_first = false;
    while (code == CTL_OK && !is_first && ear_signal(queue->live->ear) == 0) code = wait_for_one(queue, &is_first);
    return code;
}

/* --- hold -------------------------------------------------------------------------------------------------------------------- */

/* The key as it is. */
static enum ctl_exit get(struct queue *queue, ProtobufCMessage **out_range)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, buf_slice(&queue->key));
    enum ctl_exit code = ask(queue, RANGE, buf_slice(&request), &etcdserverpb__range_response__descriptor, out_range);
    buf_deinit(&request);
    if (*out_range == NULL) return code;
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)*out_range;
    if (range->n_kvs == 1 && range->kvs[0]->create_revision == queue->revision) return CTL_OK;
    protobuf_c_message_free_unpacked(*out_range, NULL);
    *out_range = NULL;
    return ctl_fail(CTL_ERROR, "the key is gone: the lease expired, or somebody deleted it");
}

static enum ctl_exit print_key(struct queue *queue)
{
    ProtobufCMessage *range = NULL;
    enum ctl_exit code = get(queue, &range);
    if (range == NULL) return code;
    code = print_range(queue->live->ctl, (const Etcdserverpb__RangeResponse *)range);
    protobuf_c_message_free_unpacked(range, NULL);
    if (fflush(stdout) != 0 && code == CTL_OK) code = ctl_fail(CTL_ERROR, "standard output cannot be written");
    return code;
}

enum ctl_exit queue_hold(struct queue *queue)
{
    enum ctl_exit code = print_key(queue);
    while (code == CTL_OK && ear_signal(queue->live->ear) == 0) {
        live_step(queue->live);
        if (!queue_is_held(queue)) code = fail_lost(queue);
    }
    return code;
}

/* --- leave ------------------------------------------------------------------------------------------------------------------- */

/* A last call; what it asks may be gone already. */
static enum ctl_exit tell(struct queue *queue, const char *path, const struct buf *request)
{
    struct calls_answer answer;
    struct calls_request call = {.path = path,
                                      .body = buf_slice(request),
                                      .policy = KVD_POLICY_READ,
                                      .timeout_ns = queue->live->ctl->globals.command_timeout_ns,
                                      .endpoint = CALLS_ANY};
    live_call(queue->live, &call, NULL, NULL, &answer);
    bool is_gone = answer.code == ERR_CODE_OK || answer.code == ERR_CODE_NOT_FOUND;
    enum ctl_exit code = is_gone ? CTL_OK : ctl_fail_answer(queue->live->ctl, &answer);
    calls_answer_deinit(&answer);
    return code;
}

/* The key by itself: it goes with the lease, unless somebody has put it without one. */
static enum ctl_exit delete_key(struct queue *queue)
{
    struct buf compare, delete, txn;
    buf_init(&compare);
    buf_init(&delete);
    buf_init(&txn);
    put_compare(queue, queue->revision, &compare);
    buf_put_pb_bytes(&delete, 1, buf_slice(&queue->key));
    buf_put_pb_bytes(&txn, 1, buf_slice(&compare));
    put_operation(&txn, 2, 3, &delete);
    enum ctl_exit code = tell(queue, TXN, &txn);
    buf_deinit(&txn);
    buf_deinit(&delete);
    buf_deinit(&compare);
    return code;
}

static enum ctl_exit revoke(struct queue *queue)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)queue->lease);
    enum ctl_exit code = tell(queue, "/etcdserverpb.Lease/LeaseRevoke", &request);
    buf_deinit(&request);
    return code;
}

enum ctl_exit queue_leave(struct queue *queue)
{
    enum ctl_exit code = CTL_OK;
    keepalive_free(queue->keepalive);
    if (queue->revision != 0) code = delete_key(queue);
    if (queue->keepalive != NULL && code == CTL_OK) code = revoke(queue);
    buf_deinit(&queue->key);
    buf_deinit(&queue->prefix);
    queue->keepalive = NULL;
    return code;
}
