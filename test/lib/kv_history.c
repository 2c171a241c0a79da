/* kv_history: see kv_history.h. */
#include "lib/kv_history.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "lib/kv_model.h"

void kv_history_init(struct kv_history *history) { memset(history, 0, sizeof(*history)); }

void kv_history_deinit(struct kv_history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        for (uint32_t s = 0; s < KV_HISTORY_STEPS; s++) {
            alloc_free(history->ops[i].success[s].pairs);
            alloc_free(history->ops[i].failure[s].pairs);
        }
    }
    alloc_free(history->ops);
}

struct kv_op *kv_history_add(struct kv_history *history, const struct kv_op *op)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity == 0 ? 256 : history->capacity * 2;
        history->ops = alloc_resize(history->ops, history->capacity * sizeof(*history->ops));
    }
    history->ops[history->count] = *op;
    return &history->ops[history->count++];
}

static bool has_write(const struct kv_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].kind != KV_STEP_RANGE) return true;
    }
    return false;
}

bool kv_op_is_write(const struct kv_op *op)
{
    if (op->kind == KV_OP_COMPACT || op->kind == KV_OP_GRANT || op->kind == KV_OP_REVOKE || op->kind == KV_OP_EXPIRE) return true;
    return has_write(op->success, op->success_count) || has_write(op->failure, op->failure_count);
}

static bool has_put(const struct kv_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].kind == KV_STEP_PUT) return true;
    }
    return false;
}

bool kv_op_needs_room(const struct kv_op *op)
{
    return op->kind == KV_OP_GRANT || has_put(op->success, op->success_count) || has_put(op->failure, op->failure_count);
}

/* --- the check ------------------------------------------------------------------------------------------------------------- */

struct check {
    const struct kv_history *history;
    struct kv_model model;
    struct kv_verdict verdict;
    size_t *order;            /* writes that took effect, by place */
    size_t order_count;
    size_t *moments;          /* operations by end */
    int64_t *marks;           /* by operation: the highest revision that a compaction up to it asked for, if it may have taken effect */
    uint64_t *begun;          /* by revision: when the last of all writes up to it began */
    int64_t begun_count;
    int64_t compacted;        /* the mark while writes are replayed */
    uint32_t made;            /* leases, by puts of the operation that is replayed */
    int64_t no_space[KV_HISTORY_ALARMS]; /* the members that have the alarm, meanwhile */
    uint32_t no_space_count;
};

static bool fail(struct check *check, size_t op, const char *rule, int64_t expected, int64_t got)
{
    if (check->verdict.is_good) {
        check->verdict = (struct kv_verdict){.rule = rule, .op = op, .expected = expected, .got = got};
    }
    return false;
}

static const struct kv_history *sorted; /* qsort has no context */
static int by_place(const void *a, const void *b)
{
    uint64_t x = sorted->ops[*(const size_t *)a].place, y = sorted->ops[*(const size_t *)b].place;
    return (x > y) - (x < y);
}
static int by_end(const void *a, const void *b)
{
    uint64_t x = sorted->ops[*(const size_t *)a].end, y = sorted->ops[*(const size_t *)b].end;
    return (x > y) - (x < y);
}

/* --- writes, one after the other --- */

static bool check_previous(struct check *check, size_t at, const struct kv_step *step)
{
    uint32_t given = 0;
    for (uint32_t key = step->first; key < step->end; key++) {
        const struct kv_model_version *version = kv_model_get(&check->model, key, 0);
        if (version == NULL || !step->wants_previous) continue;
        if (given == step->pair_count) return fail(check, at, "prev_kv lacks a key", key, -1);
        const struct kv_pair *pair = &step->pairs[given++];
        if (pair->key != key || pair->token != version->token || pair->mod_revision != version->mod_revision || pair->lease != version->lease) {
            return fail(check, at, "prev_kv is not what was before", (int64_t)version->token, (int64_t)pair->token);
        }
    }
    return given == step->pair_count || fail(check, at, "prev_kv has a key too many", given, step->pair_count);
}

/* L9: a put with a TTL is put to a lease of its own, whose id it answers. */
static bool replay_put(struct check *check, size_t at, const struct kv_step *step, bool is_known)
{
    const struct kv_op *op = &check->history->ops[at];
    int64_t lease = step->lease;
    if (is_known && !check_previous(check, at, step)) return false;
    if (step->ttl > 0) {
        ASSERT(check->made < KV_HISTORY_STEPS * 2);
        lease = op->made_leases[check->made++];
        bool is_good = lease > 0 && kv_model_lease(&check->model, lease) == NULL;
        if (!is_good) return fail(check, at, "L9 a put with a TTL makes a lease", 1, lease);
        if (is_known && step->made_lease != lease) return fail(check, at, "L9 a put with a TTL answers its lease", lease, step->made_lease);
        if (is_known && step->made_ttl < step->ttl) return fail(check, at, "L9 a TTL is not less than was asked for", step->ttl, step->made_ttl);
        kv_model_grant(&check->model, lease, op->place, at);
    }
    kv_model_put(&check->model, step->first, step->token, lease);
    bool answers_none = !is_known || step->ttl > 0 || step->made_lease == 0;
    return answers_none || fail(check, at, "L9 a put without a TTL makes no lease", 0, step->made_lease);
}

/* T2: a step sees what the steps before it did. `is_known`: there is an answer to compare with. */
static bool replay_step(struct check *check, size_t at, const struct kv_step *step, bool is_known)
{
    int64_t expected = 0, got = 0;
    const char *broken;
    switch (step->kind) {
    case KV_STEP_RANGE:
        broken = is_known ? kv_model_check_range(&check->model, step, step->at_revision, &expected, &got) : NULL;
        return broken == NULL || fail(check, at, broken, expected, got);
    case KV_STEP_PUT:
        return replay_put(check, at, step, is_known);
    case KV_STEP_DELETE:
        if (is_known && !check_previous(check, at, step)) return false;
        expected = kv_model_delete(&check->model, step->first, step->end);
        return !is_known || step->count == expected || fail(check, at, "a delete counts other keys", expected, step->count);
    }
    return false;
}

static bool replay_compact(struct check *check, size_t at, const struct kv_op *op)
{
    bool is_compacted = op->revision <= check->compacted, is_future = op->revision > check->model.revision;
    enum kv_outcome expected = is_compacted ? KV_COMPACTED : is_future ? KV_FUTURE : KV_DONE;
    if (expected == KV_DONE) check->compacted = op->revision;
    if (op->outcome == KV_UNKNOWN) return true;
    if (op->outcome != expected) return fail(check, at, "K6 a compaction's answer", (int64_t)expected, (int64_t)op->outcome);
    bool is_same = op->outcome != KV_DONE || op->answer_revision == check->model.revision;
    return is_same || fail(check, at, "K4 a compaction's revision", check->model.revision, op->answer_revision);
}

static bool all_hold(const struct check *check, const struct kv_op *op, int64_t revision)
{
    for (uint32_t i = 0; i < op->compare_count; i++) {
        if (!kv_model_holds(&check->model, &op->compares[i], revision)) return false;
    }
    return true;
}

/* L4, L5, L9: a lease is granted once until it ends; it ends once, with all its keys in one revision; a late word of its end is none. */
static bool replay_lease(struct check *check, size_t at, const struct kv_op *op)
{
    struct kv_model_lease *lease = kv_model_lease(&check->model, op->lease);
    enum kv_outcome expected = KV_DONE;
    if (op->kind == KV_OP_EXPIRE) {
        if (lease == NULL || lease->place != op->granted_place) return true;
    } else if (op->kind == KV_OP_GRANT) {
        if (op->lease <= 0) return fail(check, at, "L9 a lease has an id", 1, op->lease);
        expected = lease == NULL ? KV_DONE : KV_LEASE_EXISTS;
    } else {
        expected = lease == NULL ? KV_NO_LEASE : KV_DONE;
    }
    if (op->outcome != expected && op->outcome != KV_UNKNOWN) return fail(check, at, "L5 what became of a lease", (int64_t)expected, (int64_t)op->outcome);
    if (expected != KV_DONE) return true;
    if (op->kind == KV_OP_GRANT) kv_model_grant(&check->model, op->lease, op->place, at);
    else kv_model_end_lease(&check->model, lease, at);
    kv_model_commit(&check->model);
    bool is_known = op->outcome == KV_DONE;
    if (is_known && op->kind == KV_OP_GRANT && op->granted_ttl < op->ttl) return fail(check, at, "L9 a TTL is not less than was asked for", op->ttl, op->granted_ttl);
    return !is_known || op->revision == check->model.revision || fail(check, at, "K2 a lease that ends with keys is one revision", check->model.revision, op->revision);
}

/* K12: a range of the past inside a transaction decides for all of it, from the state before, the same on every member. Leases that its puts
 * name decide before. */
static enum kv_outcome expected_of(const struct check *check, const struct kv_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].kind == KV_STEP_PUT && steps[i].lease != 0 && kv_model_lease(&check->model, steps[i].lease) == NULL) return KV_NO_LEASE;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].kind != KV_STEP_RANGE || steps[i].at_revision == 0) continue;
        if (steps[i].at_revision > check->model.revision) return KV_FUTURE;
        if (steps[i].at_revision < check->compacted) return KV_COMPACTED;
    }
    return KV_DONE;
}

static bool replay_alarm(struct check *check, const struct kv_op *op)
{
    uint32_t place = 0;
    while (place < check->no_space_count && check->no_space[place] != op->lease) place++;
    bool has = place < check->no_space_count;
    ASSERT(check->no_space_count < KV_HISTORY_ALARMS);
    if (op->kind == KV_OP_ALARM && !has) check->no_space[check->no_space_count++] = op->lease;
    if (op->kind == KV_OP_DISARM && has) check->no_space[place] = check->no_space[--check->no_space_count];
    return true;
}

static bool replay(struct check *check, size_t at)
{
    const struct kv_op *op = &check->history->ops[at];
    bool is_known = op->outcome == KV_DONE;
    if (op->kind == KV_OP_ALARM || op->kind == KV_OP_DISARM) return replay_alarm(check, op);
    if (check->no_space_count > 0 && kv_op_needs_room(op)) {
        bool is_refused = op->outcome == KV_NO_SPACE || op->outcome == KV_UNKNOWN;
        return is_refused || fail(check, at, "Q3 what needs room passed behind the alarm", KV_NO_SPACE, (int64_t)op->outcome);
    }
    if (op->kind == KV_OP_COMPACT) return replay_compact(check, at, op);
    if (op->kind == KV_OP_GRANT || op->kind == KV_OP_REVOKE || op->kind == KV_OP_EXPIRE) return replay_lease(check, at, op);
    bool holds = all_hold(check, op, 0);
    const struct kv_step *steps = holds ? op->success : op->failure;
    uint32_t count = holds ? op->success_count : op->failure_count;
    enum kv_outcome expected = op->kind == KV_OP_TXN || op->kind == KV_OP_PUT ? expected_of(check, steps, count) : KV_DONE;
    if (op->outcome != expected && op->outcome != KV_UNKNOWN) {
        return fail(check, at, is_known ? "K12 what must be refused took effect" : "C5 what was refused took effect", (int64_t)expected, (int64_t)op->outcome);
    }
    if (expected != KV_DONE) return true;
    if (is_known && op->kind == KV_OP_TXN && op->succeeded != holds) {
        return fail(check, at, "T2 compares see the state before", holds, op->succeeded);
    }
    check->made = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!replay_step(check, at, &steps[i], is_known)) return false;
    }
    kv_model_commit(&check->model);
    if (is_known && op->revision != check->model.revision) {
        return fail(check, at, "K2 each write raises the revision by one", check->model.revision, op->revision);
    }
    return true;
}

static bool replay_writes(struct check *check)
{
    const struct kv_history *history = check->history;
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_op *op = &history->ops[i];
        if (op->place > 0) check->order[check->order_count++] = i;
        bool took_effect = op->outcome == KV_DONE && kv_op_is_write(op);
        if (op->place == 0 && took_effect) return fail(check, i, "D1 an acknowledged write is lost", op->revision, 0);
    }
    sorted = history;
    qsort(check->order, check->order_count, sizeof(size_t), by_place);
    check->begun = alloc_zero(check->order_count + 3, sizeof(uint64_t));
    check->begun_count = 2;
    for (size_t i = 0; i < check->order_count; i++) {
        size_t at = check->order[i];
        bool is_twice = i > 0 && history->ops[check->order[i - 1]].place == history->ops[at].place;
        if (is_twice) return fail(check, at, "two writes at one place", 0, (int64_t)history->ops[at].place);
        if (!replay(check, at)) return false;
        uint64_t before = check->begun[check->begun_count - 1], start = history->ops[at].start;
        if (check->model.revision >= check->begun_count) check->begun[check->begun_count++] = start > before ? start : before;
    }
    return true;
}

/* --- reads, and real time --- */

/* The highest mark that compactions which began before a moment may have set. */
static int64_t mark_before(const struct check *check, uint64_t moment)
{
    size_t low = 0, high = check->history->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (check->history->ops[middle].start < moment) low = middle + 1;
        else high = middle;
    }
    return low == 0 ? 0 : check->marks[low - 1];
}

/* What a read was refused for: one of its ranges asks for what was not there yet, or for what may have been gone when it ended. */
static bool check_refused_read(struct check *check, size_t at, int64_t floor)
{
    const struct kv_op *op = &check->history->ops[at];
    int64_t mark = mark_before(check, op->end), asked = 0;
    for (uint32_t b = 0; b < 2; b++) {
        const struct kv_step *steps = b == 0 ? op->success : op->failure;
        uint32_t count = b == 0 ? op->success_count : op->failure_count;
        for (uint32_t i = 0; i < count; i++) {
            int64_t revision = steps[i].at_revision;
            if (revision == 0) continue;
            asked = revision;
            if (op->outcome == KV_FUTURE && (revision > floor || op->serializable)) return true;
            if (op->outcome == KV_COMPACTED && revision < mark) return true;
        }
    }
    if (op->outcome == KV_FUTURE) return fail(check, at, "K6 a revision is there and called future", floor, asked);
    return fail(check, at, "K6 a revision is there and called compacted", mark, asked);
}

/* L5: who lives all the while is found, who is over is not; L7: with the keys that it had. */
static bool check_lives(struct check *check, size_t at, int64_t floor)
{
    const struct kv_op *op = &check->history->ops[at], *ops = check->history->ops;
    bool may_live = false, must_live = false;
    for (size_t i = 0; i < check->model.lease_count; i++) {
        const struct kv_model_lease *lease = &check->model.leases[i];
        if (lease->id != op->lease) continue;
        const struct kv_op *grant = &ops[lease->granted_by], *end = lease->ended_by == SIZE_MAX ? NULL : &ops[lease->ended_by];
        bool was_over = end != NULL && end->outcome == KV_DONE && end->end < op->start;
        may_live = may_live || (grant->start < op->end && !was_over);
        must_live = must_live || (grant->outcome == KV_DONE && grant->end < op->start && (end == NULL || end->start > op->end));
    }
    if (op->lives_s < 0) return !must_live || fail(check, at, "L5 a lease that lives is found", 1, op->lives_s);
    if (!may_live) return fail(check, at, "L5 a lease that is over is not found", -1, op->lives_s);
    /* The header is of the member that was asked, the keys are the leader's: of some revision that was there meanwhile. */
    uint64_t keys = 0;
    for (int64_t revision = floor; revision < check->begun_count && check->begun[revision] <= op->end; revision++) {
        keys = kv_model_lease_keys(&check->model, op->lease, revision);
        if (keys == op->lease_keys) return true;
    }
    return fail(check, at, "L7 the keys of a lease", (int64_t)keys, (int64_t)op->lease_keys);
}

static bool check_read(struct check *check, size_t at, int64_t floor, int64_t compact_floor)
{
    const struct kv_op *op = &check->history->ops[at];
    int64_t expected = 0, got = 0;
    if (op->kind == KV_OP_LIVES) return check_lives(check, at, floor < 1 ? 1 : floor);
    if (op->outcome == KV_FUTURE || op->outcome == KV_COMPACTED) return check_refused_read(check, at, floor);
    if (op->revision > check->model.revision) return fail(check, at, "a read names a revision that never was", check->model.revision, op->revision);
    bool holds = all_hold(check, op, op->revision);
    if (op->kind == KV_OP_TXN && holds != op->succeeded) return fail(check, at, "T2 compares of a read see its revision", holds, op->succeeded);
    const struct kv_step *steps = holds ? op->success : op->failure;
    uint32_t count = holds ? op->success_count : op->failure_count;
    for (uint32_t i = 0; i < count; i++) {
        int64_t asked = steps[i].at_revision;
        bool is_gone = asked > 0 && asked < compact_floor && !op->serializable;
        if (is_gone) return fail(check, at, "K6 a compacted revision is read", compact_floor, asked);
        if (asked > op->revision) return fail(check, at, "K6 a future revision is read", op->revision, asked);
        const char *broken = kv_model_check_range(&check->model, &steps[i], asked > 0 ? asked : op->revision, &expected, &got);
        if (broken != NULL) return fail(check, at, broken, expected, got);
    }
    return true;
}

static int64_t seen_revision(const struct kv_op *op)
{
    if (op->outcome != KV_DONE) return 0;
    return op->kind == KV_OP_COMPACT ? op->answer_revision : op->revision;
}

/* The floors: what had ended before an operation began, from a walk over starts and ends; operations stand in the order of starts. */
static bool check_real_time(struct check *check)
{
    const struct kv_history *history = check->history;
    int64_t floor = 0, compact_floor = 0, *server_floor = alloc_zero(KV_HISTORY_SERVERS, sizeof(int64_t));
    size_t ended = 0;
    bool is_good = true;
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_op *op = &history->ops[i];
        bool sets = op->kind == KV_OP_COMPACT && op->place > 0 && (op->outcome == KV_DONE || op->outcome == KV_UNKNOWN);
        int64_t mark = i == 0 ? 0 : check->marks[i - 1];
        check->marks[i] = sets && op->revision > mark && op->revision <= check->model.revision ? op->revision : mark;
    }
    for (size_t i = 0; i < history->count; i++) check->moments[i] = i;
    sorted = history;
    qsort(check->moments, history->count, sizeof(size_t), by_end);
    for (size_t i = 0; i < history->count && is_good; i++) {
        const struct kv_op *op = &history->ops[i];
        ASSERT((i == 0 || history->ops[i - 1].start <= op->start) && op->server < KV_HISTORY_SERVERS);
        for (; ended < history->count && history->ops[check->moments[ended]].end < op->start; ended++) {
            const struct kv_op *before = &history->ops[check->moments[ended]];
            int64_t revision = seen_revision(before);
            if (revision > floor) floor = revision;
            if (revision > server_floor[before->server]) server_floor[before->server] = revision;
            if (before->kind == KV_OP_COMPACT && before->outcome == KV_DONE && before->revision > compact_floor) compact_floor = before->revision;
        }
        if (!kv_op_is_write(op)) is_good = op->outcome == KV_UNKNOWN || op->outcome == KV_NOT_DONE || op->outcome == KV_NO_SPACE || check_read(check, i, floor, compact_floor);
        int64_t revision = seen_revision(op);
        if (!is_good || revision == 0) continue;
        if (!op->serializable && op->kind != KV_OP_LIVES && revision < floor) is_good = fail(check, i, "C1 older than what had ended before it began", floor, revision);
        int64_t own = server_floor[op->server];
        if (is_good && revision < own) is_good = fail(check, i, "K4 a server's revision went back", own, revision);
        bool is_early = is_good && revision < check->begun_count && check->begun[revision] > op->end;
        if (is_early) is_good = fail(check, i, "C1 it saw a write that had not begun", 0, revision);
    }
    alloc_free(server_floor);
    return is_good;
}

struct kv_verdict kv_history_check_then(const struct kv_history *history, kv_history_then_fn *then, void *context)
{
    struct check check = {.history = history, .verdict = {.is_good = true}};
    int64_t expected = 0, got = 0;
    check.order = alloc_new((history->count + 1) * sizeof(size_t));
    check.moments = alloc_new((history->count + 1) * sizeof(size_t));
    check.marks = alloc_new((history->count + 1) * sizeof(int64_t));
    kv_model_init(&check.model);
    bool is_good = replay_writes(&check) && check_real_time(&check);
    const char *broken = is_good && then != NULL ? then(context, &check.model, &expected, &got) : NULL;
    if (broken != NULL) (void)fail(&check, SIZE_MAX, broken, expected, got);
    kv_model_deinit(&check.model);
    alloc_free(check.order);
    alloc_free(check.moments);
    alloc_free(check.marks);
    alloc_free(check.begun);
    return check.verdict;
}

struct kv_verdict kv_history_check(const struct kv_history *history) { return kv_history_check_then(history, NULL, NULL); }

/* --- places without a log --- */

static int64_t revision_of_token(const struct kv_history *history, uint64_t token)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_op *op = &history->ops[i];
        const struct kv_step *steps = op->kind == KV_OP_TXN && !op->succeeded ? op->failure : op->success;
        uint32_t count = op->kind == KV_OP_TXN && !op->succeeded ? op->failure_count : op->success_count;
        for (uint32_t s = 0; op->outcome == KV_DONE && s < count; s++) {
            for (uint32_t p = 0; p < steps[s].pair_count; p++) {
                if (steps[s].pairs[p].token == token) return steps[s].pairs[p].mod_revision;
            }
        }
    }
    return 0;
}

static int64_t revision_seen_of(const struct kv_history *history, const struct kv_op *op)
{
    for (uint32_t b = 0; b < 2; b++) {
        const struct kv_step *steps = b == 0 ? op->success : op->failure;
        uint32_t count = b == 0 ? op->success_count : op->failure_count;
        for (uint32_t s = 0; s < count; s++) {
            int64_t revision = steps[s].kind == KV_STEP_PUT ? revision_of_token(history, steps[s].token) : 0;
            if (revision > 0) return revision;
        }
    }
    return 0;
}

/* What changes nothing (a delete of nothing, a transaction without writes) stands behind the write of its revision. */
void kv_history_place_by_revision(struct kv_history *history)
{
    uint64_t stride = (uint64_t)history->count + 2;
    for (size_t i = 0; i < history->count; i++) {
        struct kv_op *op = &history->ops[i];
        if (!kv_op_is_write(op)) continue;
        const struct kv_step *steps = op->kind == KV_OP_TXN && !op->succeeded ? op->failure : op->success;
        uint32_t count = op->kind == KV_OP_TXN && !op->succeeded ? op->failure_count : op->success_count;
        bool changes = false;
        for (uint32_t s = 0; s < count; s++) changes = changes || steps[s].kind == KV_STEP_PUT || (steps[s].kind == KV_STEP_DELETE && steps[s].count > 0);
        int64_t revision = seen_revision(op);
        if (op->outcome == KV_UNKNOWN) revision = revision_seen_of(history, op);
        if (op->outcome == KV_UNKNOWN) changes = true;
        if (revision > 0) op->place = (uint64_t)revision * stride + (changes ? 0 : 1 + (uint64_t)i);
    }
}
