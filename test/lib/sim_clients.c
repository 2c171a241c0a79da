/* sim_clients: see sim_clients.h. */
#include "lib/sim_clients.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "lib/kv_history_json.h"
#include "lib/sim_bytes.h"
#include "lib/sim_looks.h"
#include "lib/world_alarms.h"
#include "lib/world_leases.h"
#include "lib/world_watch.h"

void sim_clients_init(struct sim_clients *clients, struct world *world, const struct sim_clients_options *options)
{
    memset(clients, 0, sizeof(*clients));
    ASSERT(options->clients <= SIM_CLIENTS_MAX && options->keys <= KV_HISTORY_KEYS && options->keys > 1);
    clients->options = *options;
    clients->world = world;
    clients->revision = 1;
    tape_init(&clients->tape, options->seed, world_reel(world), TAPE_CLIENTS);
    tape_init(&clients->past_tape, options->seed ^ UINT64_C(0x5851f42d4c957f2d), world_reel(world), TAPE_PAST);
    kv_history_init(&clients->history);
    sim_leases_init(clients);
    sim_locks_init(clients);
    for (uint32_t i = 0; i < options->clients; i++) clients->clients[i].member = i % options->members;
}

void sim_clients_deinit(struct sim_clients *clients)
{
    kv_history_deinit(&clients->history);
    sim_locks_deinit(clients);
    alloc_free(clients->calls);
}

/* --- what is asked --- */

static uint32_t below(struct sim_clients *clients, uint64_t limit) { return (uint32_t)tape_below(&clients->tape, limit); }

static void draw_interval(struct sim_clients *clients, struct kv_step *step)
{
    uint32_t keys = clients->options.keys;
    step->first = below(clients, keys);
    step->end = step->first + 1;
    if (below(clients, 3) == 0) step->end = step->first + 1 + below(clients, keys - step->first);
    if (below(clients, 12) == 0) *step = (struct kv_step){.kind = step->kind, .first = 0, .end = keys};
}

static uint64_t draw_token(struct sim_clients *clients)
{
    uint32_t padding = clients->options.padding_max == 0 ? 0 : below(clients, clients->options.padding_max);
    if (below(clients, 8) != 0) padding = padding < 64 ? padding : 64; /* big ones are rare */
    return sim_bytes_token(++clients->tokens, padding);
}

static void draw_step(struct sim_clients *clients, struct kv_step *step, enum kv_step_kind kind)
{
    step->kind = kind;
    if (kind == KV_STEP_PUT) {
        step->first = below(clients, clients->options.keys);
        step->end = step->first + 1;
        step->token = draw_token(clients);
        step->wants_previous = below(clients, 4) == 0;
        return;
    }
    draw_interval(clients, step);
    if (kind == KV_STEP_DELETE) {
        step->wants_previous = below(clients, 4) == 0;
    } else {
        step->limit = below(clients, 4) == 0 ? 1 + below(clients, clients->options.keys) : 0;
    }
}

/* A key may be put once in a transaction, and not be both put and deleted. */
static bool clashes(const struct kv_step *steps, uint32_t count)
{
    const struct kv_step *last = &steps[count];
    if (last->kind == KV_STEP_RANGE) return false;
    for (uint32_t i = 0; i < count; i++) {
        bool both_delete = last->kind == KV_STEP_DELETE && steps[i].kind == KV_STEP_DELETE;
        bool is_apart = last->end <= steps[i].first || steps[i].end <= last->first;
        if (steps[i].kind != KV_STEP_RANGE && !both_delete && !is_apart) return true;
    }
    return false;
}

static uint32_t draw_branch(struct sim_clients *clients, struct kv_step *steps, bool reads_only)
{
    uint32_t wanted = below(clients, KV_HISTORY_STEPS), count = 0;
    for (uint32_t i = 0; i < wanted; i++) {
        enum kv_step_kind kind = KV_STEP_RANGE;
        uint32_t dice = reads_only ? 9 : below(clients, 10);
        if (dice < 5) kind = KV_STEP_PUT;
        if (dice == 5 || dice == 6) kind = KV_STEP_DELETE;
        memset(&steps[count], 0, sizeof(steps[count]));
        draw_step(clients, &steps[count], kind);
        if (!clashes(steps, count)) count++;
    }
    if (count < KV_HISTORY_STEPS) memset(&steps[count], 0, sizeof(steps[count]));
    return count;
}

static void draw_txn(struct sim_clients *clients, struct kv_op *op)
{
    bool reads_only = below(clients, 6) == 0;
    op->compare_count = below(clients, KV_HISTORY_COMPARES + 1);
    for (uint32_t i = 0; i < op->compare_count; i++) {
        struct kv_compare *compare = &op->compares[i];
        compare->key = below(clients, clients->options.keys);
        compare->target = (enum kv_target)below(clients, 4);
        compare->relation = (enum kv_relation)below(clients, 4);
        compare->number = compare->target == KV_TARGET_VERSION ? below(clients, 4) : clients->revision - below(clients, 20);
        if (compare->number < 0) compare->number = 0;
        if (compare->target != KV_TARGET_VALUE) continue;
        compare->relation = below(clients, 2) == 0 ? KV_EQUAL : KV_NOT_EQUAL;
        compare->token = sim_bytes_token(clients->tokens > 4 ? clients->tokens - below(clients, 4) : 1, 0);
    }
    op->success_count = draw_branch(clients, op->success, reads_only);
    op->failure_count = draw_branch(clients, op->failure, reads_only);
    op->nested_from = below(clients, 3);
    op->serializable = op->success_count + op->failure_count == 0; /* no range that asks for more, as the API reads it */
}

static void draw_op(struct sim_clients *clients, struct kv_op *op)
{
    op->success_count = 1;
    if (tape_chance(&clients->tape, clients->options.compact_permille, 1000)) {
        op->kind = KV_OP_COMPACT;
        op->success_count = 0;
        op->revision = clients->revision - below(clients, 30) + (below(clients, 10) == 0 ? 5 : 0);
        if (op->revision < 1) op->revision = 1;
        return;
    }
    uint32_t dice = below(clients, 100);
    if (dice < 45) {
        op->kind = KV_OP_PUT;
        draw_step(clients, &op->success[0], KV_STEP_PUT);
    } else if (dice < 53) {
        op->kind = KV_OP_DELETE;
        draw_step(clients, &op->success[0], KV_STEP_DELETE);
    } else if (dice < 68) {
        op->kind = KV_OP_TXN;
        draw_txn(clients, op);
    } else {
        op->kind = KV_OP_RANGE;
        draw_step(clients, &op->success[0], KV_STEP_RANGE);
        op->serializable = below(clients, 3) == 0;
        op->streams = below(clients, 5) == 0;
        uint32_t when = below(clients, 8);
        if (when == 0) op->success[0].at_revision = clients->revision - below(clients, 40);
        if (when == 1 && below(clients, 4) == 0) op->success[0].at_revision = clients->revision + 1 + below(clients, 3);
        if (op->success[0].at_revision < 0) op->success[0].at_revision = 0;
    }
}

/* --- asking and answering --- */

struct kv_op *sim_clients_add(struct sim_clients *clients, const struct kv_op *op, uint64_t call)
{
    struct kv_op *added = kv_history_add(&clients->history, op);
    if (clients->history.count > clients->call_capacity) {
        clients->call_capacity = clients->history.count * 2;
        clients->calls = alloc_resize(clients->calls, clients->call_capacity * sizeof(uint64_t));
    }
    clients->calls[clients->history.count - 1] = call;
    return added;
}

static void ask(struct sim_clients *clients, uint32_t number, uint32_t member, const struct kv_op *drawn)
{
    struct sim_client *client = &clients->clients[number];
    sim_leases_take(clients);
    sim_locks_take(clients);
    struct kv_op *op = sim_clients_add(clients, drawn, SIM_CLIENTS_NO_CALL);
    struct buf request;
    uint64_t end;
    buf_init(&request);
    op->client = number;
    op->server = member;
    op->outcome = KV_UNKNOWN;
    op->end = UINT64_MAX;
    sim_bytes_request(op, &request);
    client->call = world_call(clients->world, member, sim_bytes_path(op), buf_slice(&request));
    world_call_moments(clients->world, client->call, &op->start, &end);
    client->is_waiting = true;
    client->asked_ns = world_now_ns(clients->world);
    client->op = clients->history.count - 1;
    client->member = member;
    clients->calls[client->op] = client->call;
    sim_clients_begin_slowly(clients, client, op);
    buf_deinit(&request);
}

static enum kv_outcome outcome_of(struct sim_clients *clients, const struct kv_op *op, enum err err)
{
    switch (err) {
    case ERR_OK: return KV_DONE;
    case ERR_COMPACTED: return KV_COMPACTED;
    case ERR_FUTURE_REV: return KV_FUTURE;
    case ERR_LEASE_NOT_FOUND: return KV_NO_LEASE;
    case ERR_LEASE_EXISTS: return KV_LEASE_EXISTS;
    case ERR_NO_SPACE: return KV_NO_SPACE;
    case ERR_TOO_MANY_REQUESTS:
    case ERR_NOT_CAPABLE: /* of a TTL, while the cluster has not agreed on its version */
    case ERR_NO_LEADER: return KV_NOT_DONE;
    case ERR_STOPPED:
    case ERR_CANCELED: /* of a stream that was not read */
    case ERR_TIMEOUT:
    case ERR_TIMEOUT_LEADER_FAIL:
    case ERR_TIMEOUT_CONN_LOST:
    case ERR_LEADER_CHANGED: return KV_UNKNOWN;
    default: world_watch_broken(clients->world, err_name(err), op->server, (uint64_t)op->kind, 0);
    }
}

static void take_answer(struct sim_clients *clients, struct sim_client *client)
{
    struct kv_op *op = &clients->history.ops[client->op];
    enum err err = ERR_OK;
    struct slice bytes;
    bool died = false;
    uint64_t start;
    if (!world_answer(clients->world, client->call, &err, &bytes, &died)) {
        bool gives_up = world_now_ns(clients->world) > client->asked_ns + clients->options.patience_ns;
        if (!gives_up) return;
        client->is_waiting = false;
        sim_clients_read_on(clients, client, true);
        return;
    }
    client->is_waiting = false;
    op->outcome = died ? KV_UNKNOWN : outcome_of(clients, op, err);
    clients->done += op->outcome == KV_DONE;
    clients->unknown += op->outcome == KV_UNKNOWN;
    clients->counts.compacted_reads += op->outcome == KV_COMPACTED;
    if (op->outcome == KV_UNKNOWN) return;
    bool is_excused = op->outcome != KV_NO_SPACE || world_alarms_excuses(clients->world, client->call, kv_op_needs_room(op));
    if (!is_excused) world_watch_broken(clients->world, "Q1 who is refused for space is told by an alarm in the log", op->server, client->call, (uint64_t)op->kind);
    world_call_moments(clients->world, client->call, &start, &op->end);
    if (op->outcome == KV_NO_LEASE) sim_leases_note(clients, op);
    if (op->outcome != KV_DONE) return;
    if (!sim_bytes_response(bytes, op)) world_watch_broken(clients->world, "an answer is no answer", op->server, (uint64_t)op->kind, bytes.size);
    int64_t revision = op->kind == KV_OP_COMPACT ? op->answer_revision : op->revision;
    if (revision > clients->revision) clients->revision = revision;
    if (op->kind == KV_OP_COMPACT && op->revision > clients->compacted) clients->compacted = op->revision;
    sim_leases_note(clients, op);
    sim_clients_plan_page(clients, client, op);
}

static bool choose_member(struct sim_clients *clients, uint32_t number, uint32_t *out_member)
{
    uint32_t member = clients->clients[number].member;
    bool stays = clients->options.sticks && below(clients, 20) != 0, is_eager = below(clients, 10) == 0;
    if (!stays) member = below(clients, clients->options.members);
    *out_member = member;
    if (is_eager && world_listens(clients->world, member)) return true; /* though it has only just begun */
    for (uint32_t i = 0; i < clients->options.members; i++) {
        *out_member = (member + i) % clients->options.members;
        if (world_is_ready(clients->world, *out_member)) return true;
    }
    return false;
}

void sim_clients_step(struct sim_clients *clients, bool is_over)
{
    for (uint32_t i = 0; i < clients->options.clients; i++) {
        struct sim_client *client = &clients->clients[i];
        if (client->is_waiting) {
            sim_clients_read_on(clients, client, is_over);
            take_answer(clients, client);
            if (!client->is_waiting) client->next_ns = world_now_ns(clients->world) + tape_below(&clients->tape, clients->options.think_ns + 1);
        }
        uint32_t member;
        is_over = is_over || clients->history.count >= clients->options.ops_max;
        if (is_over || client->is_waiting || client->next_ns > world_now_ns(clients->world)) continue;
        if (!choose_member(clients, i, &member)) continue;
        struct kv_op op = {.kind = KV_OP_PUT};
        if (client->has_page) {
            op = client->page;
        } else {
            draw_op(clients, &op);
            sim_clients_vary(clients, &op);
            sim_leases_vary(clients, &op);
        }
        client->has_page = false;
        ask(clients, i, member, &op);
    }
}

uint64_t sim_clients_next_ns(const struct sim_clients *clients)
{
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < clients->options.clients; i++) {
        const struct sim_client *client = &clients->clients[i];
        uint64_t own_ns = !client->is_waiting ? client->next_ns : client->is_slow ? client->piece_ns : 0;
        if (own_ns > world_now_ns(clients->world) && own_ns < next_ns) next_ns = own_ns;
    }
    return next_ns;
}

bool sim_clients_wait(const struct sim_clients *clients)
{
    for (uint32_t i = 0; i < clients->options.clients; i++) {
        if (clients->clients[i].is_waiting) return true;
    }
    return false;
}

bool sim_clients_do(struct sim_clients *clients, uint32_t member, const struct kv_op *op)
{
    ASSERT(!clients->clients[0].is_waiting);
    clients->options.patience_ns = UINT64_MAX / 2;
    ask(clients, 0, member, op);
    for (uint32_t i = 0; i < 10000 && clients->clients[0].is_waiting; i++) {
        world_run(clients->world, 1000000);
        take_answer(clients, &clients->clients[0]);
    }
    return !clients->clients[0].is_waiting;
}

void sim_clients_read_all(struct sim_clients *clients, uint32_t member, bool serializable)
{
    struct kv_op op = {.kind = KV_OP_RANGE, .serializable = serializable, .success_count = 1};
    op.success[0] = (struct kv_step){.kind = KV_STEP_RANGE, .first = 0, .end = clients->options.lock_clients > 0 ? KV_HISTORY_KEYS : clients->options.keys};
    bool is_answered = sim_clients_do(clients, member, &op);
    bool is_done = is_answered && clients->history.ops[clients->clients[0].op].outcome == KV_DONE;
    if (!is_done) world_watch_broken(clients->world, "V1 a quiet cluster answers reads", member, serializable, 0);
}

uint32_t sim_clients_write(struct sim_clients *clients, uint32_t set)
{
    uint32_t number = 0, asked = 0;
    for (uint32_t member = 0; member < clients->options.members; member++) {
        if ((set >> member & 1) == 0 || !world_listens(clients->world, member)) continue;
        while (number < clients->options.clients && clients->clients[number].is_waiting) number++;
        if (number == clients->options.clients) break;
        bool deletes = clients->options.deletes;
        struct kv_op op = {.kind = deletes ? KV_OP_DELETE : KV_OP_PUT, .success_count = 1};
        draw_step(clients, &op.success[0], deletes ? KV_STEP_DELETE : KV_STEP_PUT);
        ask(clients, number, member, &op);
        asked++;
    }
    return asked;
}

bool sim_clients_has_written(const struct sim_clients *clients, size_t first)
{
    for (size_t i = first; i < clients->history.count; i++) {
        enum kv_op_kind kind = clients->options.deletes ? KV_OP_DELETE : KV_OP_PUT;
        if (clients->history.ops[i].kind == kind && clients->history.ops[i].outcome == KV_DONE) return true;
    }
    return false;
}

static _Noreturn void report_look(struct sim_clients *clients, const struct kv_verdict *verdict, const struct world_look *look)
{
    fprintf(stderr, "m%u at revision %" PRId64 ", mark %" PRId64 ", newest %" PRId64 ", keys %u to %u, changes from %" PRId64 ": expected %" PRId64
            ", got %" PRId64 "\n",
            look->member, look->revision, look->compact_revision, look->newest, look->first, look->end, look->from, verdict->expected, verdict->got);
    world_watch_broken(clients->world, verdict->rule, look->member, (uint64_t)verdict->expected, (uint64_t)verdict->got);
}

/* The stores, and whoever was told that it owns a lock. */
static const char *check_state(void *context, struct kv_model *model, int64_t *out_expected, int64_t *out_got)
{
    const struct sim_looks *looks = context;
    const char *broken = sim_looks_check(context, model, out_expected, out_got);
    return broken != NULL ? broken : sim_locks_check(looks->clients, model, out_expected, out_got);
}

static void write_history(const struct sim_clients *clients)
{
    if (clients->options.history_path == NULL) return;
    FILE *file = fopen(clients->options.history_path, "w");
    if (file == NULL) {
        perror(clients->options.history_path);
        return;
    }
    kv_history_json_write(&clients->history, file);
    (void)fclose(file);
}

static void take_alarms(struct sim_clients *clients)
{
    size_t count;
    const struct world_alarm_entry *entries = world_alarm_entries(clients->world, &count);
    const struct kv_history *history = &clients->history;
    for (size_t i = 0; i < count; i++) {
        struct kv_op op = {.kind = entries[i].is_raised ? KV_OP_ALARM : KV_OP_DISARM, .outcome = KV_UNKNOWN, .end = UINT64_MAX,
                           .lease = (int64_t)entries[i].member, .place = entries[i].index * WORLD_LEASE_PLACES};
        if (history->count > 0) op.start = history->ops[history->count - 1].start;
        (void)sim_clients_add(clients, &op, SIM_CLIENTS_NO_CALL | i);
    }
}

void sim_clients_check(struct sim_clients *clients)
{
    struct kv_history *history = &clients->history;
    for (size_t i = 0; i < history->count; i++) {
        enum err err = ERR_OK;
        struct slice bytes;
        bool died = false;
        if ((clients->calls[i] & SIM_CLIENTS_NO_CALL) != 0) continue;
        uint64_t place = world_call_index(clients->world, clients->calls[i]);
        if (world_alarms_has(clients->world, place)) place = 0; /* a put that found the quota reached has become the alarm */
        history->ops[i].place = place * WORLD_LEASE_PLACES; /* an entry may be the end of several leases */
        if (!world_answer(clients->world, clients->calls[i], &err, &bytes, &died)) {
            world_watch_broken(clients->world, "V6 a call is never answered", history->ops[i].server, clients->calls[i], 0);
        }
        bool was_denied = !died && err == ERR_TIMEOUT_LEADER_FAIL;
        if (was_denied && place > 0) world_watch_broken(clients->world, "C5 said to be lost, and committed", history->ops[i].server, place, 0);
    }
    sim_leases_check(clients);
    sim_locks_place(clients);
    take_alarms(clients);
    write_history(clients);
    struct sim_looks looks = {.looks = NULL};
    looks.looks = world_looks(clients->world, &looks.count);
    looks.changes = world_changes(clients->world, &looks.change_count);
    looks.clients = clients;
    if (clients->hashes != NULL) looks.hashes = clients->hashes->answers;
    if (clients->hashes != NULL) looks.hash_count = clients->hashes->count;
    struct kv_verdict verdict = kv_history_check_then(history, check_state, &looks);
    if (verdict.is_good) return;
    if (verdict.op == SIZE_MAX && looks.failed == looks.count) world_watch_broken(clients->world, verdict.rule, 0, (uint64_t)verdict.expected, (uint64_t)verdict.got);
    if (verdict.op == SIZE_MAX) report_look(clients, &verdict, &looks.looks[looks.failed]);
    const struct kv_op *op = &history->ops[verdict.op];
    fprintf(stderr, "operation %zu: kind %d client %u at m%u, call %" PRIu64 ", moments %" PRIu64 " to %" PRIu64 ", place %" PRIu64
            ", revision %" PRId64 ": expected %" PRId64 ", got %" PRId64 "\n",
            verdict.op, (int)op->kind, op->client, op->server, clients->calls[verdict.op], op->start, op->end, op->place, op->revision,
            verdict.expected, verdict.got);
    world_watch_broken(clients->world, verdict.rule, op->server, (uint64_t)verdict.expected, (uint64_t)verdict.got);
}
