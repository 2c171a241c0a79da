/* fuzz_kv_request: requests of clients against a small store: {method, length, bytes}… Each is planned as at the door, and applied or read as
 * the plan says; of a method above 127 the bytes are a program that writes the request. What must hold: the revision moves by 0 or 1, a failed request changes nothing, a member that answers nobody applies
 * the same, `count` is the number of keys in the interval, and every answer is a message of the API. Thread: one. */
#include "etcdserverpb/rpc.pb-c.h"
#include "fuzz/fuzz.h"
#include "fuzz/pb_program.h"
#include "kvd/extra.pb-c.h"
#include "lib/kv_rig.h"
#include "rpc/lock_call.h"
#include "rpc/service.h"
#include "storage/range.h"
#include "v3electionpb/v3election.pb-c.h"
#include "v3lockpb/v3lock.pb-c.h"

#define REQUESTS_MAX 24
#define STEPS_MAX 10000
#define LOCK_STEPS_MAX 8
#define WRITTEN 128 /* methods from here on: the bytes are a program */

struct store {
    struct kv_rig rig;   /* of the member that was asked */
    struct kv_rig other; /* of one that was not */
    struct arena scratch;
    struct service_env env;
};

static void store_init(struct store *store)
{
    static const char *const puts[] = {"a=1", "b=22,lease=7", "c=333", "a=4", "ab=5", "b\xff=6"};
    kv_rig_init(&store->rig);
    kv_rig_init(&store->other);
    store->other.wants_reply = false;
    for (size_t i = 0; i < sizeof puts / sizeof puts[0]; i++) {
        (void)kv_rig_put(&store->rig, puts[i]);
        (void)kv_rig_put(&store->other, puts[i]);
    }
    (void)kv_rig_delete(&store->rig, "c");
    (void)kv_rig_delete(&store->other, "c");
    struct slice version = slice_from_string("\x0a\x05" "3.6.0");
    enum err err = kv_rig_apply(&store->rig, COMMAND_CLUSTER_VERSION_SET, version);
    ASSERT(err == ERR_OK && kv_rig_apply(&store->other, COMMAND_CLUSTER_VERSION_SET, version) == ERR_OK);
    arena_init(&store->scratch, 8 << 20);
    store->env = (struct service_env){.machine = store->rig.machine, .limits = {.txn_ops_max = 16}, .max_request_bytes = 32768,
                                      .gather_bytes_max = SIZE_MAX, .quota_bytes = 64 << 20, .cluster_id = 7, .member_id = 8,
                                      .lease_ttl_min = 2, .term = 3, .leader = 8, .scratch = &store->scratch};
}

static void store_deinit(struct store *store)
{
    arena_deinit(&store->scratch);
    kv_rig_deinit(&store->other);
    kv_rig_deinit(&store->rig);
}

static uint64_t lease_hash(const struct kv_rig *rig) { return lease_set_hash(state_machine_leases(rig->machine)); }
static int64_t revision_of(const struct kv_rig *rig) { return mvcc_view_revision(mvcc_view(rig->mvcc)); }

/* The answer as the generated code reads it; protobuf-c is not our own encoder's judge but the clients'. */
static void check_message(enum rpc_method_id method, struct slice bytes)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [RPC_KV_RANGE] = &etcdserverpb__range_response__descriptor,
        [RPC_KV_RANGE_STREAM] = &etcdserverpb__range_stream_response__descriptor,
        [RPC_KV_PUT] = &etcdserverpb__put_response__descriptor,
        [RPC_KV_DELETE_RANGE] = &etcdserverpb__delete_range_response__descriptor,
        [RPC_KV_TXN] = &etcdserverpb__txn_response__descriptor,
        [RPC_KV_COMPACT] = &etcdserverpb__compaction_response__descriptor,
        [RPC_EXTRA_HISTORY] = &kvd__v1__history_response__descriptor,
        [RPC_LOCK_LOCK] = &v3lockpb__lock_response__descriptor,
        [RPC_LOCK_UNLOCK] = &v3lockpb__unlock_response__descriptor,
        [RPC_ELECTION_CAMPAIGN] = &v3electionpb__campaign_response__descriptor,
        [RPC_ELECTION_PROCLAIM] = &v3electionpb__proclaim_response__descriptor,
        [RPC_ELECTION_LEADER] = &v3electionpb__leader_response__descriptor,
        [RPC_ELECTION_OBSERVE] = &v3electionpb__leader_response__descriptor,
        [RPC_ELECTION_RESIGN] = &v3electionpb__resign_response__descriptor,
    };
    if (method >= sizeof types / sizeof types[0] || types[method] == NULL) return;
    ProtobufCMessage *message = protobuf_c_message_unpack(types[method], NULL, bytes.size, bytes.data);
    ASSERT(message != NULL);
    protobuf_c_message_free_unpacked(message, NULL);
}

static void check_count(const struct store *store, struct slice request, struct slice response)
{
    struct range_request range;
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    enum err err = range_parse(request, &range);
    ASSERT(err == ERR_OK);
    struct mvcc_range interval = mvcc_range_make(range.key, range.range_end);
    int64_t count = 0;
    mvcc_scan_init(&scan, mvcc_view(store->rig.mvcc), &interval, range.revision);
    while (mvcc_scan_next(&scan, &kv)) count++;
    Etcdserverpb__RangeResponse *seen = etcdserverpb__range_response__unpack(NULL, response.size, response.data);
    ASSERT(seen != NULL && seen->count == count && (int64_t)seen->n_kvs <= count);
    ASSERT(range.limit <= 0 || (int64_t)seen->n_kvs <= range.limit);
    ASSERT(!range.count_only || seen->n_kvs == 0);
    etcdserverpb__range_response__free_unpacked(seen, NULL);
}

/* *out: the last message, or all of it. */
static void read(struct store *store, enum rpc_method_id method, struct service_job *job, struct slice request, struct buf *out)
{
    enum service_progress progress = SERVICE_MORE;
    enum err err = ERR_OK;
    for (size_t steps = 0; progress == SERVICE_MORE; steps++) {
        ASSERT(steps < STEPS_MAX);
        if (method == RPC_KV_RANGE_STREAM) buf_clear(out);
        progress = service_job_step(job, &store->env, 64, out, &err);
        if (method == RPC_KV_RANGE_STREAM) check_message(method, buf_slice(out));
    }
    ASSERT((progress == SERVICE_FAILED) == (err != ERR_OK));
    if (progress == SERVICE_DONE) check_message(method, buf_slice(out));
    if (progress == SERVICE_DONE && method == RPC_KV_RANGE) check_count(store, request, buf_slice(out));
}

static enum err write(struct store *store, enum rpc_method_id method, const struct service_plan *plan)
{
    int64_t before = revision_of(&store->rig);
    uint64_t hash = kv_rig_hash(&store->rig), leases = lease_hash(&store->rig);
    store->rig.level = store->other.level = plan->level;
    store->rig.lease_ids = store->other.lease_ids = plan->chosen_lease_ids;
    enum err err = kv_rig_apply(&store->rig, plan->kind, plan->body);
    int64_t after = revision_of(&store->rig);
    ASSERT(after == before || after == before + 1);
    ASSERT(err == ERR_OK || (after == before && kv_rig_hash(&store->rig) == hash && lease_hash(&store->rig) == leases));
    ASSERT(plan->kind != COMMAND_COMPACTION || after == before);
    enum err other = kv_rig_apply(&store->other, plan->kind, plan->body);
    ASSERT(other == err && revision_of(&store->other) == after && kv_rig_hash(&store->other) == kv_rig_hash(&store->rig));
    ASSERT(lease_hash(&store->other) == lease_hash(&store->rig));
    if (err == ERR_OK) {
        struct buf out;
        buf_init(&out);
        ASSERT(store->rig.result.revision > 0);
        service_encode_reply(&store->env, store->rig.result.revision, blob_slice(store->rig.result.body), &out);
        check_message(method, buf_slice(&out));
        buf_deinit(&out);
    }
    hash = kv_rig_hash(&store->rig); /* what is garbage by the mark may go at any time */
    (void)mvcc_compact_step(store->rig.mvcc, 4);
    state_machine_publish(store->rig.machine);
    ASSERT(kv_rig_hash(&store->rig) == hash);
    return err;
}

static void carry_out(struct store *store, struct lock_call *call, struct lock_step *step)
{
    struct service_plan plan = step->plan;
    struct buf out;
    buf_init(&out);
    if (plan.action == SERVICE_READ) {
        read(store, RPC_OTHER, plan.job, slice_empty(), &out);
        service_job_free(plan.job);
        arena_reset(&store->scratch);
        lock_call_was_read(call, &store->env, buf_slice(&out), step);
    } else {
        enum err err = plan.action == SERVICE_REFUSE ? plan.err : write(store, RPC_OTHER, &plan);
        arena_reset(&store->scratch);
        const struct state_machine_result *result = &store->rig.result;
        if (err != ERR_OK) lock_call_failed(call, &store->env, err, step);
        else lock_call_replied(call, &store->env, result->revision, blob_slice(result->body), step);
    }
    buf_deinit(&out);
}

/* Nobody waits here: a call that would is given up, and leaves no key. */
static void lock(struct store *store, enum rpc_method_id method, struct lock_call *call)
{
    struct lock_step step;
    lock_call_begin(call, &store->env, &step);
    for (size_t steps = 0; step.kind == LOCK_STEP_PLAN; steps++) {
        ASSERT(steps < LOCK_STEPS_MAX);
        carry_out(store, call, &step);
        if (step.kind != LOCK_STEP_WATCH) continue;
        blob_unref(step.watch);
        lock_call_failed(call, &store->env, ERR_CANCELED, &step);
    }
    if (step.kind != LOCK_STEP_FAIL) check_message(method, step.message);
    lock_call_free(call);
}

/* Mostly one of KV, whose methods come first; every fourth number is another one that is built. */
static const struct rpc_method *method_of(uint8_t number)
{
    size_t count, built = 0;
    const struct rpc_method *methods = rpc_method_table(&count);
    if (number % 4 != 0) return &methods[number / 4 % 6];
    for (size_t i = 0; i < count; i++) built += methods[i].id != RPC_OTHER;
    size_t left = number / 4 % built;
    while (methods->id == RPC_OTHER || left-- > 0) methods++;
    return methods;
}

static void ask(struct store *store, uint8_t number, struct slice request)
{
    struct service_plan plan;
    struct buf out;
    const struct rpc_method *method = method_of(number);
    buf_init(&out);
    arena_reset(&store->scratch);
    service_plan(&store->env, method, request, &plan);
    ASSERT((plan.err == ERR_OK) == (plan.action != SERVICE_REFUSE));
    if (plan.action == SERVICE_READ) read(store, method->id, plan.job, request, &out);
    if (plan.action == SERVICE_PROPOSE) (void)write(store, method->id, &plan);
    if (plan.action == SERVICE_LOCK) lock(store, method->id, plan.lock);
    service_job_free(plan.job);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store store;
    store_init(&store);
    struct reader reader = reader_make(slice_make(data, size));
    for (size_t i = 0; i < REQUESTS_MAX && reader_left(&reader) >= 3; i++) {
        uint8_t number = reader_u8(&reader);
        size_t length = reader_u16(&reader), left = reader_left(&reader);
        struct slice bytes = reader_bytes(&reader, length < left ? length : left);
        struct buf request;
        buf_init(&request);
        if (number < WRITTEN) buf_put_slice(&request, bytes);
        else pb_program_run(bytes, &request);
        ask(&store, number % WRITTEN, buf_slice(&request));
        buf_deinit(&request);
    }
    store_deinit(&store);
    return 0;
}
