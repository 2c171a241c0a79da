/* apply_asks: see apply_actor.h. Questions about leases come in position behind the commits that they need, confirmed by a read-index round; what
 * only the leader knows, its own calls and other members' are answered here alike. */
#include "base/mutant.h"
#include "pipeline/apply_actor.h"

#define EXPIRIES_PER_STEP 64
#define ANSWERS_BYTES_MAX (UINT32_C(16) << 20) /* of one message to another member */

static int64_t revision_of(struct apply_actor *role) { return mvcc_view_revision(mvcc_writer_view(state_machine_mvcc(role->machine))); }

/* --- renewals --- */

/* Their answers in the questions; ERR_LEADER_CHANGED: only who leads knows. */
static enum err renew(struct apply_actor *role, struct read_batch *batch, uint64_t started_ns)
{
    if (role->leases.first_index == 0) return ERR_LEADER_CHANGED;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct lease_question *question = &batch->questions[i];
        question->ttl = apply_leases_renew(&role->leases, state_machine_leases(role->machine), question->lease, started_ns, role->now_ns);
    }
    return ERR_OK;
}

/* --- answers to another member --- */

static void put_answer(struct apply_actor *role, const struct lease_question *question, enum err err, struct buf *body, struct buf *answers)
{
    struct lease_answer told = {.err = err, .revision = revision_of(role)};
    buf_clear(body);
    if (question->is_renewal) lease_request_put_kept_alive(question->lease, question->ttl, body);
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
    struct mail mail = {.kind = MAIL_ANSWERED, .answered = {.peer = batch->remote_peer, .context = batch->remote_context}};
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

static void answer_renewals(struct apply_actor *role, struct mail *mail, enum err err)
{
    if (err != ERR_OK) mail->kind = MAIL_READ_FAIL;
    mail->read.err = err;
    apply_actor_after_publish(role, mail);
}

void apply_asks_take(struct apply_actor *role, struct mail *mail)
{
    struct read_batch *batch = mail->read.batch;
    bool is_renewal = read_batch_is_renewal(batch), is_remote = batch->remote_peer != RAFT_NONE;
    enum err err = is_renewal ? renew(role, batch, mail->read.started_ns) : ERR_OK;
    if (is_renewal && !is_remote) {
        answer_renewals(role, mail, err);
        return;
    }
    if (is_remote) answer_remote(role, batch, err);
    for (uint32_t i = 0; !is_remote && i < batch->count; i++) answer_question(role, batch->calls[i], &batch->questions[i]);
    mail_deinit(mail);
}

/* --- what is over --- */

/* True: there may be more. */
static bool ask_for_expiries(struct apply_actor *role)
{
    struct lease_set *set = state_machine_leases(role->machine);
    struct lease_request_expiry expiry;
    uint32_t n = 0;
    struct buf body;
    buf_init(&body);
    for (; n < EXPIRIES_PER_STEP && apply_leases_next_expiry(&role->leases, set, role->now_ns, &expiry); n++) {
        buf_clear(&body);
        lease_request_put_expiry(&expiry, &body);
        struct mail mail = {.kind = MAIL_EXPIRE,
                            .expire = {.command = apply_actor_command(role, COMMAND_LEASE_EXPIRE, buf_slice(&body)), .term = role->leases.term}};
        if (!lane_post(role->lanes.to_raft, &mail)) mail_deinit(&mail); /* asked for again */
    }
    buf_deinit(&body);
    return n == EXPIRIES_PER_STEP;
}

static void list_leases(struct apply_actor *role)
{
    struct mail reply;
    if (apply_leases_list_step(&role->leases, &reply)) lane_must_post(role->lanes.to_net, &reply);
}

bool apply_asks_step(struct apply_actor *role)
{
    bool more = ask_for_expiries(role);
    if (apply_leases_is_listing(&role->leases)) list_leases(role);
    return more || apply_leases_is_listing(&role->leases) || apply_leases_is_arming(&role->leases, state_machine_leases(role->machine));
}
