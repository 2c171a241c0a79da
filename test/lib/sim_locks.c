/* sim_locks: see sim_locks.h. */
#include "lib/sim_locks.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/sim_bytes.h"
#include "lib/sim_clients.h"
#include "lib/world_leases.h"
#include "lib/world_locks.h"
#include "lib/world_watch.h"
#include "v3electionpb/v3election.pb-c.h"
#include "v3lockpb/v3lock.pb-c.h"

static uint32_t below(struct sim_clients *clients, uint64_t limit) { return (uint32_t)tape_below(&clients->locks.tape, limit); }

void sim_locks_init(struct sim_clients *clients)
{
    ASSERT(clients->options.lock_clients <= SIM_LOCKS_CLIENTS_MAX);
    bool is_possible = clients->options.keys <= SIM_BYTES_PLACES && clients->options.lease_percent > 0;
    if (!is_possible) clients->options.lock_clients = 0;
    tape_init(&clients->locks.tape, clients->options.seed ^ UINT64_C(0x6a09e667f3bcc909), world_reel(clients->world), TAPE_LOCKS);
}

void sim_locks_deinit(struct sim_clients *clients) { alloc_free(clients->locks.owners); }

/* --- what is asked --- */

static uint32_t name_of(uint32_t place) { return (place - SIM_BYTES_PLACES) / SIM_BYTES_PLACES_OF_NAME; }

static void put_leader_key(const struct sim_lock_client *client, struct buf *out)
{
    struct buf leader, text;
    buf_init(&leader);
    buf_init(&text);
    buf_printf(&text, "l%u", name_of(client->place));
    buf_put_pb_bytes(&leader, 1, buf_slice(&text));
    buf_clear(&text);
    sim_bytes_key(client->place, &text);
    buf_put_pb_bytes(&leader, 2, buf_slice(&text));
    buf_put_pb_varint(&leader, 3, (uint64_t)client->revision);
    buf_put_pb_varint(&leader, 4, (uint64_t)client->lease);
    buf_put_pb_bytes(out, 1, buf_slice(&leader));
    buf_deinit(&leader);
    buf_deinit(&text);
}

static void put_request(struct sim_clients *clients, const struct sim_lock_client *client, struct buf *out)
{
    struct buf text;
    buf_init(&text);
    bool is_candidate = client->what == SIM_LOCK_LOCK || client->what == SIM_LOCK_CAMPAIGN;
    bool has_value = client->what == SIM_LOCK_CAMPAIGN || client->what == SIM_LOCK_PROCLAIM;
    if (is_candidate) buf_printf(&text, "l%u", name_of(client->place));
    else if (client->what == SIM_LOCK_UNLOCK) sim_bytes_key(client->place, &text);
    if (text.size > 0) buf_put_pb_bytes(out, 1, buf_slice(&text));
    else put_leader_key(client, out);
    if (is_candidate) buf_put_pb_varint(out, 2, (uint64_t)client->lease);
    buf_clear(&text);
    if (has_value) sim_bytes_value(sim_bytes_token(++clients->tokens, 0), &text);
    if (has_value) buf_put_pb_bytes(out, is_candidate ? 3 : 2, buf_slice(&text));
    buf_deinit(&text);
}

static bool choose_member(struct sim_clients *clients, uint32_t *out_member)
{
    uint32_t members = clients->options.members, first = below(clients, members);
    for (uint32_t i = 0; i < members; i++) {
        *out_member = (first + i) % members;
        if (world_is_ready(clients->world, *out_member)) return true;
    }
    return false;
}

static void ask(struct sim_clients *clients, struct sim_lock_client *client)
{
    static const char *const paths[] = {"/v3lockpb.Lock/Lock", "/v3electionpb.Election/Campaign", "/v3lockpb.Lock/Unlock",
                                        "/v3electionpb.Election/Resign", "/v3electionpb.Election/Proclaim"};
    struct buf request;
    if (!choose_member(clients, &client->member)) return;
    buf_init(&request);
    put_request(clients, client, &request);
    client->call = world_call(clients->world, client->member, paths[client->what], buf_slice(&request));
    client->is_waiting = true;
    client->has_left = client->was_canceled = false;
    client->leave_ns = UINT64_MAX;
    clients->lock_counts.calls++;
    buf_deinit(&request);
}

/* Locks have a name, elections the other. */
static void enter(struct sim_clients *clients, struct sim_lock_client *client, uint32_t name, int64_t lease)
{
    client->what = name == 0 ? SIM_LOCK_LOCK : SIM_LOCK_CAMPAIGN;
    client->lease = lease;
    client->place = SIM_BYTES_PLACES + name * SIM_BYTES_PLACES_OF_NAME + (uint32_t)lease - 1;
    ask(clients, client);
}

static void begin(struct sim_clients *clients, struct sim_lock_client *client)
{
    uint32_t ids = clients->options.lease_ids < SIM_BYTES_PLACES_OF_NAME ? clients->options.lease_ids : SIM_BYTES_PLACES_OF_NAME;
    uint32_t dice = below(clients, 8);
    int64_t lease = 1;
    if (client->owns) {
        bool is_leader = client->what == SIM_LOCK_CAMPAIGN || client->what == SIM_LOCK_PROCLAIM;
        client->what = !is_leader ? SIM_LOCK_UNLOCK : dice % 4 == 3 ? SIM_LOCK_PROCLAIM : SIM_LOCK_RESIGN;
        client->owns = client->what == SIM_LOCK_PROCLAIM;
        if (dice < 7) ask(clients, client); /* else it forgets */
        else client->owns = false;
        return;
    }
    for (int i = 0; i < 3; i++) {
        lease = 1 + (int64_t)below(clients, ids);
        if (clients->leases.lives[lease]) break;
    }
    enter(clients, client, below(clients, 2), lease);
    if (dice == 7) client->leave_ns = world_now_ns(clients->world) + tape_below(&clients->locks.tape, 2 * clients->options.lock_think_ns + 1);
}

/* --- answers --- */

static void remember(struct sim_clients *clients, const struct sim_lock_owner *owner)
{
    struct sim_locks *locks = &clients->locks;
    if (locks->owner_count == locks->owner_capacity) {
        locks->owner_capacity = locks->owner_capacity == 0 ? 64 : locks->owner_capacity * 2;
        locks->owners = alloc_resize(locks->owners, locks->owner_capacity * sizeof(*locks->owners));
    }
    locks->owners[locks->owner_count++] = *owner;
    clients->lock_counts.owners++;
}

static bool read_owner(const struct sim_lock_client *client, struct slice bytes, struct sim_lock_owner *owner)
{
    uint32_t key = 0;
    bool is_good = false;
    if (client->what == SIM_LOCK_LOCK) {
        V3lockpb__LockResponse *answer = v3lockpb__lock_response__unpack(NULL, bytes.size, bytes.data);
        is_good = answer != NULL && answer->header != NULL && sim_bytes_read_key(slice_make(answer->key.data, answer->key.len), &key);
        if (is_good) owner->revision = answer->header->revision;
        if (answer != NULL) v3lockpb__lock_response__free_unpacked(answer, NULL);
    } else {
        V3electionpb__CampaignResponse *answer = v3electionpb__campaign_response__unpack(NULL, bytes.size, bytes.data);
        is_good = answer != NULL && answer->header != NULL && answer->leader != NULL &&
                  sim_bytes_read_key(slice_make(answer->leader->key.data, answer->leader->key.len), &key) && answer->leader->lease == client->lease;
        if (is_good) owner->revision = answer->header->revision;
        if (is_good) owner->created = answer->leader->rev;
        if (answer != NULL) v3electionpb__campaign_response__free_unpacked(answer, NULL);
    }
    return is_good && key == client->place && owner->revision > 0;
}

static bool is_excused(const struct sim_lock_client *client, enum err err)
{
    switch ((enum err)((unsigned)err & ~(unsigned)ERR_INNER_BIT)) {
    case ERR_STOPPED:
    case ERR_NO_LEADER:
    case ERR_NO_SPACE: /* of the log, or of the quota */
    case ERR_TOO_MANY_REQUESTS:
    case ERR_TIMEOUT:
    case ERR_TIMEOUT_LEADER_FAIL:
    case ERR_TIMEOUT_CONN_LOST:
    case ERR_LEADER_CHANGED: return true;
    case ERR_LEASE_NOT_FOUND: return client->what != SIM_LOCK_UNLOCK && client->what != SIM_LOCK_RESIGN;
    case ERR_CANCELED: return client->has_left;
    case ERR_SESSION_EXPIRED: return client->what == SIM_LOCK_LOCK;
    case ERR_NOT_ELECTION_LEADER: return client->what == SIM_LOCK_CAMPAIGN || client->what == SIM_LOCK_PROCLAIM;
    default: return false;
    }
}

static void take_answer(struct sim_clients *clients, struct sim_lock_client *client)
{
    enum err err = ERR_OK;
    struct slice bytes;
    bool died = false, is_candidate = client->what == SIM_LOCK_LOCK || client->what == SIM_LOCK_CAMPAIGN;
    if (!world_answer(clients->world, client->call, &err, &bytes, &died)) return;
    client->is_waiting = false;
    client->was_canceled = !died && err == ERR_CANCELED;
    clients->lock_counts.canceled += client->was_canceled;
    if (!died && err != ERR_OK && !is_excused(client, err)) world_watch_broken(clients->world, err_name(err), client->member, client->call, client->what);
    if (died || err != ERR_OK) client->owns = false;
    if (died || err != ERR_OK || !is_candidate) return;
    struct sim_lock_owner owner = {.place = client->place, .member = client->member, .is_leader = client->what == SIM_LOCK_CAMPAIGN};
    if (!read_owner(client, bytes, &owner)) world_watch_broken(clients->world, "an answer is no answer", client->member, client->call, bytes.size);
    owner.newest = world_shown(clients->world);
    remember(clients, &owner);
    client->owns = true;
    client->revision = owner.created;
}

void sim_locks_step(struct sim_clients *clients, bool is_over)
{
    uint64_t now_ns = world_now_ns(clients->world);
    for (uint32_t i = 0; i < clients->options.lock_clients; i++) {
        struct sim_lock_client *client = &clients->locks.clients[i];
        if (client->is_waiting) {
            take_answer(clients, client);
            if (!client->is_waiting) client->next_ns = now_ns + tape_below(&clients->locks.tape, clients->options.lock_think_ns + 1);
        }
        if (client->is_waiting && client->leave_ns <= now_ns && !client->has_left) {
            world_call_leave(clients->world, client->call);
            client->has_left = true;
            clients->lock_counts.left++;
        }
        if (is_over || client->is_waiting || client->next_ns > now_ns) continue;
        begin(clients, client);
        if (!client->is_waiting) client->next_ns = now_ns + 1 + tape_below(&clients->locks.tape, clients->options.lock_think_ns + 1);
    }
}

/* --- the end --- */

bool sim_locks_end(struct sim_clients *clients)
{
    bool is_over = true;
    for (uint32_t i = 0; i < clients->options.lock_clients; i++) {
        struct sim_lock_client *client = &clients->locks.clients[i];
        if (client->is_waiting) client->leave_ns = 0;
        is_over = is_over && !client->is_waiting;
    }
    return is_over;
}

void sim_locks_queue(struct sim_clients *clients)
{
    for (uint32_t i = 0; i < clients->options.lock_clients; i++) clients->locks.clients[i].was_canceled = false;
    for (uint32_t i = 0; i < clients->options.lock_clients && i < SIM_LOCKS_LAST; i++) {
        struct sim_lock_client *client = &clients->locks.clients[i];
        ASSERT(!client->is_waiting);
        client->owns = false;
        enter(clients, client, 0, 1 + (int64_t)i);
    }
}

/* Whoever waits stands in the queue, and not in front. */
bool sim_locks_stand(struct sim_clients *clients)
{
    for (uint32_t i = 0; i < clients->options.lock_clients; i++) {
        const struct sim_lock_client *client = &clients->locks.clients[i];
        int64_t own = client->is_waiting ? world_created(clients->world, client->member, client->place) : 0;
        bool is_behind = false;
        for (uint32_t lease = 0; lease < SIM_BYTES_PLACES_OF_NAME; lease++) {
            int64_t other = world_created(clients->world, client->member, SIM_BYTES_PLACES + lease);
            is_behind = is_behind || (other > 0 && other < own);
        }
        if (client->is_waiting && !is_behind) return false;
    }
    return true;
}

uint32_t sim_locks_left(const struct sim_clients *clients)
{
    for (uint32_t i = 0; i < clients->options.lock_clients; i++) {
        const struct sim_lock_client *client = &clients->locks.clients[i];
        if (client->was_canceled && world_created(clients->world, 0, client->place) > 0) return client->place;
    }
    return KV_HISTORY_KEYS;
}

/* --- the history --- */

static uint32_t key_of(ProtobufCBinaryData bytes)
{
    uint32_t key = 0;
    bool is_key = sim_bytes_read_key(slice_make(bytes.data, bytes.len), &key);
    ASSERT(is_key && key >= SIM_BYTES_PLACES && key < KV_HISTORY_KEYS);
    return key;
}

static void read_step(const Etcdserverpb__RequestOp *from, struct kv_op *op)
{
    struct kv_step *step = &op->success[op->success_count];
    if (from->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT) {
        const Etcdserverpb__PutRequest *put = from->request_put;
        *step = (struct kv_step){.kind = KV_STEP_PUT, .first = key_of(put->key), .lease = put->lease};
        bool is_value = sim_bytes_read_value(slice_make(put->value.data, put->value.len), &step->token);
        ASSERT(is_value);
    } else if (from->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE) {
        *step = (struct kv_step){.kind = KV_STEP_DELETE, .first = key_of(from->request_delete_range->key)};
    } else {
        return; /* what it reads is not the history's */
    }
    step->end = step->first + 1;
    op->success_count++;
}

static void read_write(const struct command *command, struct kv_op *op)
{
    if (command->kind == COMMAND_TXN) {
        Etcdserverpb__TxnRequest *txn = etcdserverpb__txn_request__unpack(NULL, command->body.size, command->body.data);
        ASSERT(txn != NULL && txn->n_compare == 1);
        op->kind = KV_OP_TXN;
        op->compare_count = 1;
        op->compares[0] = (struct kv_compare){.key = key_of(txn->compare[0]->key), .target = KV_TARGET_CREATE, .number = txn->compare[0]->create_revision};
        for (size_t i = 0; i < txn->n_success; i++) read_step(txn->success[i], op);
        etcdserverpb__txn_request__free_unpacked(txn, NULL);
    } else {
        Etcdserverpb__DeleteRangeRequest *request = etcdserverpb__delete_range_request__unpack(NULL, command->body.size, command->body.data);
        ASSERT(command->kind == COMMAND_DELETE_RANGE && request != NULL);
        op->kind = KV_OP_DELETE;
        op->success_count = 1;
        op->success[0] = (struct kv_step){.kind = KV_STEP_DELETE, .first = key_of(request->key)};
        op->success[0].end = op->success[0].first + 1;
        etcdserverpb__delete_range_request__free_unpacked(request, NULL);
    }
}

void sim_locks_take(struct sim_clients *clients)
{
    size_t count;
    const struct world_lock_write *writes = world_lock_writes(clients->world, &count);
    for (; clients->locks.seen < count; clients->locks.seen++) {
        struct command command;
        const struct kv_history *history = &clients->history;
        struct kv_op op = {.outcome = KV_UNKNOWN, .end = UINT64_MAX, .server = writes[clients->locks.seen].member};
        bool is_command = command_decode(blob_slice(writes[clients->locks.seen].command), &command);
        ASSERT(is_command);
        if (command.kind == COMMAND_ALARM) continue; /* it found the quota reached, and has become this */
        read_write(&command, &op);
        if (history->count > 0) op.start = history->ops[history->count - 1].start; /* it came behind whatever was asked before it */
        sim_clients_add(clients, &op, SIM_CLIENTS_NO_CALL | clients->locks.seen);
        clients->lock_counts.writes++;
    }
}

void sim_locks_place(struct sim_clients *clients)
{
    sim_locks_take(clients);
    for (size_t i = 0; i < clients->history.count; i++) {
        struct kv_op *op = &clients->history.ops[i];
        bool is_write = (clients->calls[i] & SIM_CLIENTS_NO_CALL) != 0 && (op->kind == KV_OP_TXN || op->kind == KV_OP_DELETE);
        if (is_write) op->place = world_lock_write_index(clients->world, clients->calls[i] & ~SIM_CLIENTS_NO_CALL) * WORLD_LEASE_PLACES;
    }
}

/* The create revision of the oldest place of a name at a revision; 0 = there is none. */
static int64_t oldest(const struct kv_model *model, uint32_t name, int64_t revision)
{
    int64_t oldest = 0;
    for (uint32_t i = 0; i < SIM_BYTES_PLACES_OF_NAME; i++) {
        const struct kv_model_version *version = kv_model_get(model, SIM_BYTES_PLACES + name * SIM_BYTES_PLACES_OF_NAME + i, revision);
        if (version != NULL && (oldest == 0 || version->create_revision < oldest)) oldest = version->create_revision;
    }
    return oldest;
}

static const char *check_owner(const struct kv_model *model, const struct sim_lock_owner *owner, int64_t *out_expected, int64_t *out_got)
{
    uint32_t name = name_of(owner->place);
    int64_t revision = owner->revision, last = owner->is_leader ? owner->newest : owner->revision;
    bool was_there = false;
    *out_expected = owner->place;
    for (; revision <= last; revision++) {
        const struct kv_model_version *version = kv_model_get(model, owner->place, revision);
        bool is_there = version != NULL && (owner->created == 0 || version->create_revision == owner->created);
        was_there = was_there || is_there;
        *out_got = version == NULL ? 0 : version->create_revision;
        if (is_there && version->create_revision == oldest(model, name, revision)) return NULL;
    }
    return was_there ? "N2 the oldest place owns, and no other" : "N1 who owns has a place";
}

const char *sim_locks_check(const struct sim_clients *clients, const struct kv_model *model, int64_t *out_expected, int64_t *out_got)
{
    const char *broken = NULL;
    ASSERT(clients->locks.owner_count == 0 || clients->locks.owners != NULL);
    for (size_t i = 0; i < clients->locks.owner_count && broken == NULL; i++) broken = check_owner(model, &clients->locks.owners[i], out_expected, out_got);
    return broken;
}
