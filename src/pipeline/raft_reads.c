/* raft_reads: linearizable reads, confirmed by the leader's read-index round (thesis 6.4), released to apply in one FIFO by index.
 * Followers ask the leader for the index only, with a fresh context at each asking.
 *
 * What waits is asked for together, under one context. A follower has RAFT_READ_ROUNDS_MAX such questions under way; what comes meanwhile
 * goes with the next, as the leader's rounds gather it, too (raft/read.h): a question of its own for each batch would cost both members a
 * message, there and back.
 * Questions about leases have answers of their own, and so contexts of their own. */
#include "base/clock.h"
#include "base/mutant.h"
#include "pipeline/raft_actor.h"

#define ASK_AGAIN_NS (500 * NS_PER_MS) /* API §16: a read index is asked again every 500 ms */

static struct raft_read_wait *wait_new(struct raft_actor *role, struct read_batch *batch)
{
    struct raft_read_wait *wait = ALLOC(struct raft_read_wait);
    wait->state = RAFT_READ_WAITING;
    wait->batch = batch;
    wait->deadline_ns = role->now_ns + role->config->request_timeout_ns;
    list_init(&wait->turn);
    list_push_back(&role->read_fifo, &wait->fifo);
    role->read_count++;
    role->flush_held = true;
    return wait;
}

static struct raft_read_asking *asking_new(struct raft_actor *role)
{
    struct raft_read_asking *asking = ALLOC(struct raft_read_asking);
    asking->context = role->next_id++;
    asking->asked_ns = role->now_ns;
    list_init(&asking->waits);
    bool is_new = map_put(&role->reads, asking->context, asking);
    ASSERT(is_new);
    return asking;
}

/* What it asked for has left it. A follower may ask the next one. */
static void asking_free(struct raft_actor *role, struct raft_read_asking *asking)
{
    ASSERT(list_is_empty(&asking->waits));
    map_take(&role->reads, asking->context);
    for (uint32_t i = 0; i < RAFT_READ_ROUNDS_MAX; i++) {
        if (role->gathered[i] != asking) continue;
        role->gathered[i] = NULL;
        role->flush_held = true;
    }
    alloc_free(asking);
}

static void join(struct raft_read_asking *asking, struct raft_read_wait *wait)
{
    ASSERT(wait->state == RAFT_READ_WAITING);
    wait->state = RAFT_READ_ASKED;
    wait->asking = asking;
    list_push_back(&asking->waits, &wait->turn);
}

/* No answer to that question is of use to it any more. The last one takes the question along. */
static void leave(struct raft_actor *role, struct raft_read_wait *wait, enum raft_read_state state)
{
    struct raft_read_asking *asking = wait->asking;
    ASSERT(wait->state == RAFT_READ_ASKED && asking != NULL);
    list_remove(&wait->turn);
    wait->asking = NULL;
    wait->state = state;
    if (list_is_empty(&asking->waits)) asking_free(role, asking);
}

static struct raft_read_wait *first_of(const struct raft_read_asking *asking)
{
    ASSERT(!list_is_empty(&asking->waits));
    return LIST_ENTRY(asking->waits.next, struct raft_read_wait, turn);
}

/* The next of those that a question was asked for leaves it; NULL: there is none, or no question. The last one takes it along. */
static struct raft_read_wait *take_next(struct raft_actor *role, struct raft_read_asking **asking, enum raft_read_state state)
{
    if (*asking == NULL) return NULL;
    struct raft_read_wait *wait = first_of(*asking);
    bool is_last = (*asking)->waits.next == (*asking)->waits.prev;
    leave(role, wait, state);
    if (is_last) *asking = NULL;
    return wait;
}

static void wait_free(struct raft_actor *role, struct raft_read_wait *wait)
{
    if (wait->state == RAFT_READ_ASKED) leave(role, wait, RAFT_READ_WAITING);
    list_remove(&wait->fifo);
    list_remove(&wait->turn);
    ASSERT(role->read_count > 0);
    role->read_count--;
    alloc_free(wait);
}

static bool is_probe(const struct raft_read_wait *wait) { return wait->batch == NULL && wait->remote_peer == RAFT_NONE; }

/* Of what only the leader knows: the index alone is no answer. */
static bool has_questions(const struct raft_read_wait *wait)
{
    return wait->batch != NULL && wait->batch->questions != NULL && !wait->batch->questions[0].is_list;
}

/* Whoever asked from afar asks again. */
void raft_reads_fail_batch(struct raft_actor *role, struct read_batch *batch, enum err err)
{
    METRIC_ADD(&role->shared->metrics, read_indexes_failed, 1);
    if (batch->remote_peer != RAFT_NONE) {
        mail_read_free(batch);
        return;
    }
    blob_unref(batch->answers);
    batch->answers = NULL;
    struct mail mail = {.kind = MAIL_READ_FAIL, .read = {.batch = batch, .err = err}};
    lane_must_post(read_batch_is_renewal(batch) ? role->lanes.to_watch : role->lanes.to_net, &mail);
}

void raft_reads_add(struct raft_actor *role, struct read_batch *batch)
{
    if (role->read_count >= RAFT_READS_MAX) {
        raft_reads_fail_batch(role, batch, ERR_TOO_MANY_REQUESTS);
        return;
    }
    (void)wait_new(role, batch);
}

/* NULL: they make no sense. */
static struct read_batch *questions_of(const struct raft_actor *role, const struct raft_msg *msg)
{
    struct reader reader = reader_make(blob_slice(msg->entries[0].data));
    struct lease_question question;
    uint32_t count = 0;
    while (lease_request_next_question(&reader, &question)) count++;
    if (reader.bad || count == 0) return NULL;
    struct lease_question *questions = alloc_zero(count, sizeof *questions);
    uint64_t *calls = alloc_zero(count, sizeof *calls);
    reader = reader_make(blob_slice(msg->entries[0].data));
    for (uint32_t i = 0; i < count; i++) (void)lease_request_next_question(&reader, &questions[i]);
    struct read_batch *batch = mail_questions_new(calls, questions, count, role->now_ns);
    batch->remote_peer = msg->from;
    batch->remote_context = msg->round;
    alloc_free(questions);
    alloc_free(calls);
    return batch;
}

void raft_reads_add_remote(struct raft_actor *role, const struct raft_msg *msg)
{
    if (role->read_count >= RAFT_READS_MAX) return; /* asked again by the follower */
    struct read_batch *batch = msg->entry_count > 0 ? questions_of(role, msg) : NULL;
    if (msg->entry_count > 0 && batch == NULL) return;
    struct raft_read_wait *wait = wait_new(role, batch);
    wait->remote_peer = msg->from;
    wait->remote_context = msg->round;
}

/* One answer per question, in their order. */
static bool answers_fit(const struct read_batch *batch, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct lease_answer told;
    uint32_t count = 0;
    while (lease_request_next_answer(&reader, &told)) count++;
    return !reader.bad && count == batch->count;
}

/* They go on when this member shows all that the leader did when it answered. */
void raft_reads_answered(struct raft_actor *role, const struct raft_msg *msg)
{
    struct raft_read_asking *asking = map_get(&role->reads, msg->round);
    if (asking == NULL) return;
    struct raft_read_wait *wait = first_of(asking);
    if (!has_questions(wait) || !answers_fit(wait->batch, blob_slice(msg->entries[0].data))) return;
    wait->batch->answers = blob_ref(msg->entries[0].data);
    raft_reads_confirmed(role, msg->round, &(struct raft_read){.index = MUTANT(D98) ? 0 : msg->index});
}

void raft_reads_answer(struct raft_actor *role, const struct mail *mail)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = mail->answered.bytes};
    struct raft_msg msg = {.kind = RAFT_MSG_READ_ANSWER, .from = role->self, .to = mail->answered.peer, .term = status.term,
                           .index = mail->answered.index, .round = mail->answered.context, .entries = &entry, .entry_count = 1};
    raft_actor_send_call(role, &msg);
    blob_unref(mail->answered.bytes);
}

void raft_reads_probe(struct raft_actor *role)
{
    struct raft_read_wait *wait = wait_new(role, NULL);
    ASSERT(is_probe(wait));
}

static void answer_remote(struct raft_actor *role, struct raft_read_wait *wait, uint64_t index, bool reject)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    struct raft_msg msg = {.kind = RAFT_MSG_READ_ANSWER, .from = role->self, .to = wait->remote_peer, .term = status.term,
                           .index = index, .round = wait->remote_context, .reject = reject};
    raft_actor_send_call(role, &msg);
    mail_read_free(wait->batch);
    wait_free(role, wait);
}

/* The leader: one context for all that wait. */
static void ask_self(struct raft_actor *role)
{
    struct raft_input input = {.kind = RAFT_IN_READ, .now_ns = role->now_ns, .context = role->next_id};
    if (raft_step(role->raft, &input) != RAFT_OK) return;
    struct raft_read_asking *asking = asking_new(role);
    ASSERT(asking->context == input.context);
    for (struct list *at = role->read_fifo.next; at != &role->read_fifo; at = at->next) {
        struct raft_read_wait *wait = LIST_ENTRY(at, struct raft_read_wait, fifo);
        if (wait->state == RAFT_READ_WAITING) join(asking, wait);
    }
    struct raft_status status;
    raft_get_status(role->raft, &status);
    bool is_hasty = MUTANT(D101) && read_batch_is_renewal(first_of(asking)->batch);
    if (is_hasty) raft_reads_confirmed(role, input.context, &(struct raft_read){.index = status.commit_index, .started_ns = role->now_ns});
}

static void ask_leader(struct raft_actor *role, const struct raft_read_asking *asking, const struct raft_status *status)
{
    struct raft_msg msg = {.kind = RAFT_MSG_READ_INDEX, .from = role->self, .to = status->leader, .term = status->term,
                           .round = asking->context};
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = NULL};
    const struct raft_read_wait *wait = first_of(asking);
    if (has_questions(wait)) {
        struct buf questions;
        buf_init(&questions);
        for (uint32_t i = 0; i < wait->batch->count; i++) lease_request_put_question(&wait->batch->questions[i], &questions);
        entry.data = buf_take_blob(&questions);
        msg.entries = &entry;
        msg.entry_count = 1;
    }
    raft_actor_send_call(role, &msg); /* may free it */
    blob_unref(entry.data);
    if (MUTANT(D37)) raft_reads_confirmed(role, msg.round, &(struct raft_read){.index = status->commit_index});
}

static struct raft_read_asking *gather(struct raft_actor *role)
{
    struct raft_read_asking *asking = NULL;
    for (struct list *at = role->read_fifo.next; at != &role->read_fifo; at = at->next) {
        struct raft_read_wait *wait = LIST_ENTRY(at, struct raft_read_wait, fifo);
        if (wait->state != RAFT_READ_WAITING || wait->remote_peer != RAFT_NONE || has_questions(wait)) continue;
        if (asking == NULL) asking = asking_new(role);
        join(asking, wait);
    }
    return asking;
}

static uint32_t free_place(const struct raft_actor *role)
{
    uint32_t place = 0;
    while (place < RAFT_READ_ROUNDS_MAX && role->gathered[place] != NULL) place++;
    return place;
}

/* A follower: what others asked of it they ask of whoever leads now. */
static void ask_afar(struct raft_actor *role, const struct raft_status *status)
{
    uint32_t place = free_place(role);
    struct raft_read_asking *gathered = place < RAFT_READ_ROUNDS_MAX ? gather(role) : NULL;
    if (gathered != NULL) {
        role->gathered[place] = gathered;
        ask_leader(role, gathered, status);
    }
    struct list *next;
    for (struct list *at = role->read_fifo.next; at != &role->read_fifo; at = next) {
        next = at->next;
        struct raft_read_wait *wait = LIST_ENTRY(at, struct raft_read_wait, fifo);
        if (wait->state != RAFT_READ_WAITING) continue;
        if (wait->remote_peer != RAFT_NONE) {
            answer_remote(role, wait, 0, true);
        } else if (has_questions(wait)) {
            struct raft_read_asking *asking = asking_new(role);
            join(asking, wait);
            ask_leader(role, asking, status);
        }
    }
}

static bool any_waits(const struct raft_actor *role)
{
    for (const struct list *at = role->read_fifo.prev; at != &role->read_fifo; at = at->prev) {
        if (LIST_ENTRY(at, struct raft_read_wait, fifo)->state == RAFT_READ_WAITING) return true;
    }
    return false;
}

void raft_reads_flush(struct raft_actor *role)
{
    if (role->read_count == 0 || !any_waits(role)) return;
    struct raft_status status;
    raft_get_status(role->raft, &status);
    if (status.leader == RAFT_NONE) return;
    if (status.role == RAFT_LEADER) ask_self(role);
    else ask_afar(role, &status);
}

/* Ascending by index; nearly always at the end. */
static void insert_confirmed(struct raft_actor *role, struct raft_read_wait *wait)
{
    struct list *at = role->read_confirmed.prev;
    while (at != &role->read_confirmed && LIST_ENTRY(at, struct raft_read_wait, turn)->index > wait->index) {
        at = at->prev;
    }
    list_push_front(at, &wait->turn);
}

void raft_reads_confirmed(struct raft_actor *role, uint64_t context, const struct raft_read *read)
{
    struct raft_read_asking *asking = map_get(&role->reads, context); /* NULL: expired, or asked again under another context */
    struct raft_read_wait *wait;
    while ((wait = take_next(role, &asking, RAFT_READ_CONFIRMED)) != NULL) {
        wait->index = read->index;
        wait->started_ns = read->started_ns;
        if (wait->remote_peer != RAFT_NONE && wait->batch == NULL) {
            answer_remote(role, wait, read->index, false);
        } else {
            insert_confirmed(role, wait);
        }
    }
}

/* Back to those that wait. */
static void lose(struct raft_actor *role, struct raft_read_asking *asking)
{
    struct raft_read_wait *wait;
    while ((wait = take_next(role, &asking, RAFT_READ_WAITING)) != NULL) {
        if (wait->remote_peer != RAFT_NONE) answer_remote(role, wait, 0, true);
    }
    role->flush_held = true;
}

void raft_reads_lost(struct raft_actor *role, uint64_t context)
{
    struct raft_read_asking *asking = map_get(&role->reads, context);
    if (asking != NULL) lose(role, asking);
}

void raft_reads_reset(struct raft_actor *role)
{
    for (struct list *at = role->read_fifo.next; at != &role->read_fifo; at = at->next) {
        struct raft_read_wait *wait = LIST_ENTRY(at, struct raft_read_wait, fifo);
        if (wait->state == RAFT_READ_ASKED && wait->remote_peer == RAFT_NONE) leave(role, wait, RAFT_READ_WAITING);
    }
}

/* The view that is published has it all: the way through apply would be a hop for nothing. */
static bool is_shown(const struct raft_actor *role, const struct raft_read_wait *wait)
{
    return wait->index <= role->applied_index && wait->batch != NULL && wait->batch->questions == NULL;
}

void raft_reads_release(struct raft_actor *role)
{
    while (!list_is_empty(&role->read_confirmed)) {
        struct raft_read_wait *wait = LIST_ENTRY(role->read_confirmed.next, struct raft_read_wait, turn);
        if (wait->index > role->posted_index && !MUTANT(D30)) return;
        struct mail mail = {.kind = MAIL_READ_BATCH, .read = {.batch = wait->batch, .index = wait->index, .started_ns = wait->started_ns}};
        if (is_shown(role, wait)) lane_must_post(role->lanes.to_net, &mail);
        else raft_actor_post_apply(role, &mail);
        wait_free(role, wait);
    }
}

static void ask_again(struct raft_actor *role, struct raft_read_wait *wait)
{
    if (wait->state != RAFT_READ_ASKED || wait->asking->asked_ns + ASK_AGAIN_NS > role->now_ns) return;
    leave(role, wait, RAFT_READ_WAITING);
    role->flush_held = true;
    METRIC_ADD(&role->shared->metrics, slow_read_indexes, 1);
}

void raft_reads_expire(struct raft_actor *role)
{
    struct list *next;
    for (struct list *at = role->read_fifo.next; at != &role->read_fifo; at = next) {
        next = at->next;
        struct raft_read_wait *wait = LIST_ENTRY(at, struct raft_read_wait, fifo);
        if (wait->deadline_ns <= role->now_ns) {
            bool probe_again = is_probe(wait);
            if (wait->batch != NULL) raft_reads_fail_batch(role, wait->batch, ERR_TIMEOUT);
            wait_free(role, wait);
            if (probe_again) raft_reads_probe(role);
        } else {
            ask_again(role, wait);
        }
    }
}

void raft_reads_fail_all(struct raft_actor *role, enum err err)
{
    while (!list_is_empty(&role->read_fifo)) {
        struct raft_read_wait *wait = LIST_ENTRY(role->read_fifo.next, struct raft_read_wait, fifo);
        if (wait->batch != NULL) raft_reads_fail_batch(role, wait->batch, err);
        wait_free(role, wait);
    }
}

/* A leader's round may be over before its disk or a peer wakes this role; where it leads alone, it is so at once. */
bool raft_reads_gather(const struct raft_actor *role)
{
    bool is_leader = SHARED_GET(role->shared, is_leader);
    return is_leader ? role->reads.count >= RAFT_READ_ROUNDS_MAX : free_place(role) == RAFT_READ_ROUNDS_MAX;
}

uint64_t raft_reads_deadline_ns(const struct raft_actor *role)
{
    if (role->read_count == 0) return CLOCK_NEVER;
    const struct raft_read_wait *oldest = LIST_ENTRY(role->read_fifo.next, struct raft_read_wait, fifo);
    const struct raft_read_asking *asking = oldest->asking;
    for (uint32_t i = 0; i < RAFT_READ_ROUNDS_MAX; i++) {
        const struct raft_read_asking *gathered = role->gathered[i];
        if (gathered != NULL && (asking == NULL || gathered->asked_ns < asking->asked_ns)) asking = gathered;
    }
    if (asking == NULL || asking->asked_ns + ASK_AGAIN_NS >= oldest->deadline_ns) return oldest->deadline_ns;
    return asking->asked_ns + ASK_AGAIN_NS;
}
