/* apply_asks: see apply_actor.h. Questions about leases come in position behind the commits that they need, confirmed by a read-index round; what
 * only the leader knows, its own calls and other members' are answered here alike. */
#include "base/clock.h"
#include "pipeline/apply_actor.h"

#define EXPIRIES_PER_ENTRY 64
#define CHECKPOINTS_PER_ENTRY 128
#define VOID_AGAIN_NS NS_PER_S /* what is not in the log by then is asked for again */
#define ANSWERS_BYTES_MAX (UINT32_C(16) << 20) /* of one message to another member */

static int64_t revision_of(struct apply_actor *role) { return mvcc_view_revision(mvcc_writer_view(state_machine_mvcc(role->machine))); }

/* --- answers to another member --- */

static void put_answer(struct apply_actor *role, const struct lease_question *question, enum err err, struct buf *body, struct buf *answers)
{
    struct lease_answer told = {.err = err};
    buf_clear(body);
    if (question->is_renewal && err == ERR_OK) lease_request_put_kept_alive(question->lease, question->ttl, body);
    else if (question->is_renewal) ASSERT(body->size == 0);
    else told.err = apply_leases_time_to_live(&role->leases, state_machine_leases(role->machine), question, role->now_ns, body);
    if (answers->size + body->size > ANSWERS_BYTES_MAX) told.err = ERR_TOO_MANY_REQUESTS;
    if (told.err == ERR_OK) told.body = buf_slice(body);
    lease_request_put_answer(&told, answers);
}

/* `err`: of renewals. */
static void answer_remote(struct apply_actor *role, const struct read_batch *batch, enum err err)
{
    struct buf answers, body;
    buf_init(&answers);
    buf_init(&body);
    for (uint32_t i = 0; i < batch->count; i++) put_answer(role, &batch->questions[i], err, &body, &answers);
    struct mail mail = {.kind = MAIL_ANSWERED, .answered = {.peer = batch->remote_peer, .context = batch->remote_context,
                                                              .index = state_machine_applied_index(role->machine)}};
    mail.answered.bytes = buf_take_blob(&answers);
    if (!lane_post(role->lanes.to_raft, &mail)) mail_deinit(&mail); /* asked again */
    buf_deinit(&answers);
    buf_deinit(&body);
}

/* --- answers to calls of this member --- */

static void answer_question(struct apply_actor *role, uint64_t call, const struct lease_question *question)
{
    struct lease_set *set = state_machine_leases(role->machine);
    struct state_machine_result result = {.revision = revision_of(role)};
    if (question->is_list) {
        apply_leases_list(&role->leases, set, call, result.revision);
        return;
    }
    struct buf body;
    buf_init(&body);
    result.err = apply_leases_time_to_live(&role->leases, set, question, role->now_ns, &body);
    if (body.size > 0) result.body = buf_take_blob(&body);
    buf_deinit(&body);
    apply_actor_answer(role, call, &result);
}

/* --- renewals --- */

struct renewal {
    struct list node;
    struct mail mail;  /* READ_BATCH */
    uint32_t next;     /* questions before are answered */
    uint64_t asked_ns; /* when what voids their checkpoints was asked for */
};

/* What this member says as the leader of the term; lost, it is said again. */
static void say(struct apply_actor *role, enum command_kind kind, const struct buf *body)
{
    struct mail mail = {.kind = MAIL_LEASES, .leases = {.command = apply_actor_command(role, kind, buf_slice(body)), .term = role->leases.term}};
    if (!lane_post(role->lanes.to_raft, &mail)) mail_deinit(&mail);
}

static void finish(struct apply_actor *role, struct mail *mail, enum err err)
{
    struct read_batch *batch = mail->read.batch;
    if (batch->remote_peer != RAFT_NONE) {
        answer_remote(role, batch, err);
        mail_deinit(mail);
        return;
    }
    if (err != ERR_OK) mail->kind = MAIL_READ_FAIL;
    mail->read.err = err;
    apply_actor_after_publish(role, mail);
}

/* False: the next one has a checkpoint. */
static bool renew(struct apply_actor *role, struct renewal *renewal)
{
    struct read_batch *batch = renewal->mail.read.batch;
    for (; renewal->next < batch->count; renewal->next++) {
        struct lease_question *question = &batch->questions[renewal->next];
        if (!apply_leases_renew(&role->leases, state_machine_leases(role->machine), question->lease, renewal->mail.read.started_ns, role->now_ns,
                                &question->ttl))
            return false;
    }
    return true;
}

static void ask_for_voids(struct apply_actor *role, struct renewal *renewal)
{
    const struct read_batch *batch = renewal->mail.read.batch;
    struct lease_request_checkpoint checkpoint;
    struct buf body;
    uint32_t count = 0;
    buf_init(&body);
    renewal->asked_ns = role->now_ns;
    for (uint32_t i = renewal->next; i < batch->count; i++) {
        if (!apply_leases_void(&role->leases, state_machine_leases(role->machine), batch->questions[i].lease, role->now_ns, &checkpoint)) continue;
        lease_request_put_checkpoint(&checkpoint, &body);
        if (++count % CHECKPOINTS_PER_ENTRY != 0) continue;
        say(role, COMMAND_LEASE_CHECKPOINT, &body);
        buf_clear(&body);
    }
    if (body.size > 0) say(role, COMMAND_LEASE_CHECKPOINT, &body);
    buf_deinit(&body);
}

/* They keep their order. */
static void take_renewals(struct apply_actor *role, struct mail *mail)
{
    struct renewal renewal = {.mail = *mail};
    if (role->leases.first_index == 0) { /* only who leads knows */
        finish(role, mail, ERR_LEADER_CHANGED);
        return;
    }
    if (list_is_empty(&role->renewals) && renew(role, &renewal)) {
        finish(role, mail, ERR_OK);
        return;
    }
    struct renewal *waiting = ALLOC(struct renewal);
    *waiting = renewal;
    list_push_back(&role->renewals, &waiting->node);
    ask_for_voids(role, waiting);
}

/* How it ends; ERR_COUNT: it does not yet. */
static enum err end_of(struct apply_actor *role, struct renewal *renewal)
{
    if (role->leases.first_index == 0) return ERR_LEADER_CHANGED;
    if (renew(role, renewal)) return ERR_OK;
    return renewal->mail.read.batch->made_ns + role->config->request_timeout_ns <= role->now_ns ? ERR_TIMEOUT : ERR_COUNT;
}

void apply_asks_resume(struct apply_actor *role)
{
    while (!list_is_empty(&role->renewals)) {
        struct renewal *renewal = LIST_ENTRY(role->renewals.next, struct renewal, node);
        enum err err = end_of(role, renewal);
        if (err == ERR_COUNT) {
            if (renewal->asked_ns + VOID_AGAIN_NS <= role->now_ns) ask_for_voids(role, renewal);
            return;
        }
        list_remove(&renewal->node);
        finish(role, &renewal->mail, err);
        alloc_free(renewal);
    }
}

uint64_t apply_asks_deadline_ns(const struct apply_actor *role)
{
    if (list_is_empty(&role->renewals)) return CLOCK_NEVER;
    return LIST_ENTRY(role->renewals.next, struct renewal, node)->asked_ns + VOID_AGAIN_NS;
}

void apply_asks_deinit(struct apply_actor *role)
{
    struct list *node;
    while ((node = list_pop_front(&role->renewals)) != NULL) {
        struct renewal *renewal = LIST_ENTRY(node, struct renewal, node);
        mail_deinit(&renewal->mail);
        alloc_free(renewal);
    }
}

/* --- the leader's answers --- */

/* As LeaseKeepAliveResponse says it; 0 = it is gone. */
static int64_t renewed_ttl(struct slice body)
{
    struct reader reader = reader_make(body);
    struct pb_field field;
    int64_t ttl = 0;
    while (reader_pb_field(&reader, &field))
        if (field.number == 3 && field.wire == PB_VARINT) ttl = (int64_t)field.value;
    return reader.bad || ttl < 0 ? 0 : ttl;
}

/* The header has this member's own revision. All renewals have one error, or none has: whoever answers leads or does not. */
static void hand_on(struct apply_actor *role, struct mail *mail)
{
    struct read_batch *batch = mail->read.batch;
    struct reader reader = reader_make(blob_slice(batch->answers));
    struct lease_answer told;
    enum err err = ERR_OK;
    bool are_renewals = read_batch_is_renewal(batch);
    for (uint32_t i = 0; lease_request_next_answer(&reader, &told); i++) {
        ASSERT(i < batch->count);
        if (are_renewals) {
            batch->questions[i].ttl = renewed_ttl(told.body);
            if (told.err != ERR_OK) err = told.err;
            continue;
        }
        struct state_machine_result result = {.err = told.err, .revision = revision_of(role)};
        if (told.body.size > 0) result.body = blob_copy(told.body);
        apply_actor_answer(role, batch->calls[i], &result);
    }
    blob_unref(batch->answers);
    batch->answers = NULL;
    if (are_renewals) finish(role, mail, err);
    else mail_deinit(mail);
}

/* --- what is asked --- */

void apply_asks_take(struct apply_actor *role, struct mail *mail)
{
    const struct read_batch *batch = mail->read.batch;
    if (batch->answers != NULL) {
        hand_on(role, mail);
        return;
    }
    if (read_batch_is_renewal(batch)) {
        take_renewals(role, mail);
        return;
    }
    bool is_remote = batch->remote_peer != RAFT_NONE;
    if (is_remote) answer_remote(role, batch, ERR_OK);
    for (uint32_t i = 0; !is_remote && i < batch->count; i++) answer_question(role, batch->calls[i], &batch->questions[i]);
    mail_deinit(mail);
}

/* --- what the leader says by itself --- */

/* True: there may be more. */
static bool say_what_is_over(struct apply_actor *role)
{
    struct lease_request_expiry expiry;
    struct buf body;
    uint32_t count = 0;
    buf_init(&body);
    while (count < EXPIRIES_PER_ENTRY && apply_leases_next_expiry(&role->leases, state_machine_leases(role->machine), role->now_ns, &expiry)) {
        lease_request_put_expiry(&expiry, &body);
        count++;
    }
    if (count > 0) say(role, COMMAND_LEASE_EXPIRE, &body);
    buf_deinit(&body);
    return count == EXPIRIES_PER_ENTRY;
}

static void say_what_is_left(struct apply_actor *role)
{
    struct lease_request_checkpoint checkpoints[CHECKPOINTS_PER_ENTRY];
    struct buf body;
    uint32_t count = apply_leases_checkpoints(&role->leases, state_machine_leases(role->machine), role->now_ns, CHECKPOINTS_PER_ENTRY, checkpoints);
    if (count == 0) return;
    buf_init(&body);
    for (uint32_t i = 0; i < count; i++) lease_request_put_checkpoint(&checkpoints[i], &body);
    say(role, COMMAND_LEASE_CHECKPOINT, &body);
    buf_deinit(&body);
}

static void list_leases(struct apply_actor *role)
{
    struct mail reply;
    if (apply_leases_list_step(&role->leases, &reply)) lane_must_post(role->lanes.to_net, &reply);
}

bool apply_asks_step(struct apply_actor *role)
{
    bool more = say_what_is_over(role);
    say_what_is_left(role);
    if (apply_leases_is_listing(&role->leases)) list_leases(role);
    return more || apply_leases_is_listing(&role->leases) || apply_leases_is_arming(&role->leases, state_machine_leases(role->machine));
}
