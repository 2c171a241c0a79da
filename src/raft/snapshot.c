/* snapshot: see snapshot.h.
 *
 * An install is safe because a snapshot holds only what is committed: log and state of this member may be replaced by any that says
 * more of the same. What stands behind the snapshot's position in the own log goes, too: its past is another one (else the log held the
 * position, and nothing would be installed), so none of it is committed or acknowledged to a leader that counts.
 */
#include "raft/snapshot.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "raft/election.h"
#include "raft/replication.h"

#define INDEX_MAX (UINT64_MAX / 2) /* no log gets there; beyond, a garbled message could make indexes wrap */

/* ---- Follower ------------------------------------------------------------------------------------------------------- */

/* Log matching (thesis 3.5): who has this entry has all before it, and a snapshot's position is committed. */
static void commit_if_held(struct raft *raft, uint64_t index, uint64_t term)
{
    ASSERT(index > 0 && term > 0);
    if (index > raft->log.commit && raft_log_term(&raft->log, index) == term) raft_core_commit(raft, index);
}

enum raft_answer snapshot_hear(struct raft *raft, const struct raft_msg *msg)
{
    ASSERT(msg->term == raft->term);
    if (msg->index == 0 || msg->index > INDEX_MAX || msg->log_term == 0 || msg->log_term > msg->term) return RAFT_IGNORED;
    election_hear_leader(raft, msg->from);
    commit_if_held(raft, msg->index, msg->log_term);
    if (msg->index <= raft->log.commit) {
        replication_acknowledge(raft, msg->from, raft->log.commit);
    } else {
        raft->wanted = (struct raft_offer){.from = msg->from, .index = msg->index, .term = msg->log_term};
    }
    return RAFT_OK;
}

static void take_conf(struct raft *raft, const struct raft_input *input)
{
    raft_conf_deinit(&raft->install_conf);
    raft_conf_copy(&raft->install_conf, input->conf);
    if (MUTANT(D17)) return;
    member_deinit(&raft->confs); /* what entries had brought is either in it or gone with them */
    member_init(&raft->confs, input->conf, input->index);
    raft_core_conf_changed(raft);
}

static void answer_leader(struct raft *raft)
{
    bool is_follower = raft->role == RAFT_FOLLOWER && raft->leader != RAFT_NONE;
    if (is_follower) replication_acknowledge(raft, raft->leader, raft->log.commit);
}

enum raft_answer snapshot_install(struct raft *raft, const struct raft_input *input)
{
    ASSERT(input->index > 0 && input->index <= INDEX_MAX && input->term > 0);
    ASSERT(input->conf != NULL && raft_conf_is_valid(input->conf));
    /* A leader lacks nothing that is committed (thesis 3.6.3); of a term that was never heard of there is no snapshot. */
    if (raft->role == RAFT_LEADER || input->term > raft->term) return RAFT_IGNORED;
    commit_if_held(raft, input->index, input->term);
    if (input->index <= raft->log.commit && !MUTANT(D13)) {
        answer_leader(raft);
        return RAFT_IGNORED;
    }
    if (raft->role != RAFT_FOLLOWER) election_become_follower(raft, raft->term, RAFT_NONE); /* it asked with another log */
    raft->held_count = 0;                                                               /* answers made with another log */
    raft_log_reset(&raft->log, input->index, input->term);
    take_conf(raft, input);
    election_settle_suspect(raft);
    raft->has_install = true;
    raft->install_index = input->index;
    raft->install_term = input->term;
    if (!MUTANT(D15)) raft->hard_sequence = UINT64_MAX; /* nothing is said before the log's new beginning is durable */
    raft->offer_index = input->index;
    raft->offer_term = input->term;
    answer_leader(raft);
    return RAFT_OK;
}

/* ---- Leader --------------------------------------------------------------------------------------------------------- */

bool snapshot_serve(struct raft *raft, struct progress *peer, uint64_t needed_index)
{
    ASSERT(raft->role == RAFT_LEADER && needed_index > peer->match_index);
    if (raft->offer_index < needed_index || raft->offer_index < raft->log.snapshot_index) return false;
    progress_become_snapshot(peer, needed_index);
    return true;
}

void snapshot_send(struct raft *raft, struct progress *peer)
{
    ASSERT(peer->state == PROGRESS_SNAPSHOT && raft->offer_index >= peer->needed_index);
    if (peer->is_paused) return;
    struct raft_msg msg = raft_core_message(raft, RAFT_MSG_SNAPSHOT, peer->id);
    msg.index = raft->offer_index;
    msg.log_term = raft->offer_term;
    raft_core_send_now(raft, &msg);
    peer->is_paused = true;
}

void snapshot_acknowledged(struct raft *raft, struct progress *peer)
{
    ASSERT(raft->role == RAFT_LEADER && peer->state == PROGRESS_SNAPSHOT);
    uint64_t reached = peer->match_index;
    bool has_reached = reached >= peer->needed_index && reached >= raft->log.snapshot_index;
    if (has_reached || MUTANT(D16)) progress_become_probe(peer);
}

/* ---- Output --------------------------------------------------------------------------------------------------------- */

void snapshot_take_install(struct raft *raft)
{
    if (!raft->has_install) return;
    ASSERT(raft->output.persist && raft->offer_index >= raft->log.snapshot_index);
    raft->output.install = true;
    raft->output.install_index = raft->install_index;
    raft->output.install_term = raft->install_term;
    raft->output.install_conf = &raft->install_conf;
    raft->has_install = false;
}

void snapshot_take_offer(struct raft *raft)
{
    /* A file on disk must not tell of a term that the hard state has not seen: a crash could leave just these two. */
    if (!raft_core_hard_is_durable(raft)) return;
    raft->offered = raft->wanted;
    raft->wanted = (struct raft_offer){.index = 0};
    if (raft->offered.index <= raft->log.commit) return; /* none, or it came by itself */
    ASSERT(raft->offered.term <= raft->term && raft->offered.from != raft->options.self);
    raft->output.offer = &raft->offered;
}

void raft_offer(struct raft *raft, uint64_t index, uint64_t term)
{
    ASSERT(index > 0 && index <= raft->log.commit);
    if (index <= raft->offer_index || index < raft->log.snapshot_index) return;
    ASSERT(raft_log_term(&raft->log, index) == term);
    raft->offer_index = index;
    raft->offer_term = term;
}
