/* snap_actor: FETCH. See snap_actor.h. */
#include "pipeline/snap_actor.h"

#include "base/log.h"

static void fetch(struct snap_actor *role, const struct mail *mail)
{
    struct fetched_batch *batch = ALLOC(struct fetched_batch);
    batch->peer = mail->fetch.peer;
    batch->err = wal_fetch_read(role->fetch, mail->fetch.first_index, mail->fetch.last_index, mail->fetch.bytes_max,
                                &batch->entries, &batch->count);
    if (batch->err != ERR_OK) {
        LOG(WARN, "could not read old log entries for a follower", LOG_F_HEX("peer", batch->peer),
            LOG_F_U64("first-index", mail->fetch.first_index), LOG_F_TEXT("error", err_name(batch->err)));
    }
    struct mail answer = {.kind = MAIL_FETCHED, .fetched.batch = batch};
    lane_must_post(role->to_raft, &answer);
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct snap_actor *role = (struct snap_actor *)actor;
    (void)now_ns;
    struct mail mail;
    actor_answer_pings(role->from_main, role->to_main);
    if (!lane_take(role->from_raft, &mail)) return false;
    ASSERT(mail.kind == MAIL_FETCH);
    fetch(role, &mail);
    return true;
}

static const struct actor_table table = {.name = "kvd-snap", .step = step};

void snap_actor_init(struct snap_actor *role, struct wal_fetch *wal_fetch)
{
    ASSERT(wal_fetch != NULL);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->fetch = wal_fetch;
}

void snap_actor_deinit(struct snap_actor *role)
{
    if (role->fetch == NULL) return;
    actor_deinit(&role->actor);
    wal_fetch_free(role->fetch);
    role->fetch = NULL;
}
