/* describe: consensus as text, one line per thing, for golden traces, logs and tools. Ids in decimal, positions as index/term.
 *
 *   1->2 APPEND term 3 prev 5/2 commit 4 entries [6/3 "put", 7/3 conf (1 2 3)]
 *   2->1 APPEND_ANSWER term 3 reject 5 hint 4/1
 */
#include <inttypes.h>

#include "base/assert.h"
#include "raft/raft_core.h"
#include "raft/replication.h"

enum { DESCRIBE_DATA_MAX = 32 }; /* bytes of an entry that are shown */

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER: return "follower";
    case RAFT_PRE_CANDIDATE: return "pre-candidate";
    case RAFT_CANDIDATE: return "candidate";
    case RAFT_LEADER: return "leader";
    }
    return "?";
}

const char *raft_msg_name(enum raft_msg_kind kind)
{
    switch (kind) {
    case RAFT_MSG_PRE_VOTE: return "PRE_VOTE";
    case RAFT_MSG_PRE_VOTE_ANSWER: return "PRE_VOTE_ANSWER";
    case RAFT_MSG_VOTE: return "VOTE";
    case RAFT_MSG_VOTE_ANSWER: return "VOTE_ANSWER";
    case RAFT_MSG_APPEND: return "APPEND";
    case RAFT_MSG_APPEND_ANSWER: return "APPEND_ANSWER";
    case RAFT_MSG_HEARTBEAT: return "HEARTBEAT";
    case RAFT_MSG_HEARTBEAT_ANSWER: return "HEARTBEAT_ANSWER";
    case RAFT_MSG_COMMIT: return "COMMIT";
    case RAFT_MSG_TIMEOUT_NOW: return "TIMEOUT_NOW";
    case RAFT_MSG_SNAPSHOT: return "SNAPSHOT";
    case RAFT_MSG_FORWARD: return "FORWARD";
    case RAFT_MSG_REFUSED: return "REFUSED";
    case RAFT_MSG_READ_INDEX: return "READ_INDEX";
    case RAFT_MSG_READ_ANSWER: return "READ_ANSWER";
    case RAFT_MSG_CHUNK_GET: return "CHUNK_GET";
    case RAFT_MSG_CHUNK: return "CHUNK";
    }
    return "?";
}

static void describe_data(const struct blob *data, struct buf *out_text)
{
    struct slice bytes = blob_slice(data);
    size_t shown = bytes.size < DESCRIBE_DATA_MAX ? bytes.size : DESCRIBE_DATA_MAX;
    buf_put_u8(out_text, '"');
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = bytes.data[i];
        bool is_plain = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
        if (is_plain) {
            buf_put_u8(out_text, byte);
        } else {
            buf_printf(out_text, "\\x%02x", byte);
        }
    }
    if (shown < bytes.size) buf_printf(out_text, "...%zu bytes", bytes.size);
    buf_put_u8(out_text, '"');
}

void raft_describe_entry(const struct raft_entry *entry, struct buf *out_text)
{
    ASSERT(entry != NULL && out_text != NULL);
    buf_printf(out_text, "%" PRIu64 "/%" PRIu64, entry->index, entry->term);
    if (entry->kind == RAFT_ENTRY_COMMAND) {
        buf_put_u8(out_text, ' ');
        describe_data(entry->data, out_text);
    } else if (entry->kind == RAFT_ENTRY_CONF) {
        struct raft_conf conf;
        bool is_sound = raft_conf_decode(blob_slice(entry->data), &conf);
        buf_printf(out_text, " conf ");
        if (is_sound) raft_describe_conf(&conf, out_text);
        if (!is_sound) buf_printf(out_text, "(damaged)");
        if (is_sound) raft_conf_deinit(&conf);
    }
}

static void describe_ids(const uint64_t *ids, uint32_t count, struct buf *out_text)
{
    ASSERT(count <= RAFT_MEMBERS_MAX);
    buf_put_u8(out_text, '(');
    for (uint32_t i = 0; i < count; i++) buf_printf(out_text, "%s%" PRIu64, i == 0 ? "" : " ", ids[i]);
    buf_put_u8(out_text, ')');
}

/* "(1 2 3)", joint "(1 2 4)&&(1 2 3)", with learners " learners (5)". */
void raft_describe_conf(const struct raft_conf *conf, struct buf *out_text)
{
    ASSERT(conf != NULL && out_text != NULL);
    describe_ids(conf->voters, conf->voter_count, out_text);
    if (conf->outgoing_count > 0) {
        buf_printf(out_text, "&&");
        describe_ids(conf->outgoing, conf->outgoing_count, out_text);
    }
    if (conf->learner_count > 0) {
        buf_printf(out_text, " learners ");
        describe_ids(conf->learners, conf->learner_count, out_text);
    }
}

static void describe_append(const struct raft_msg *msg, struct buf *out_text)
{
    buf_printf(out_text, " prev %" PRIu64 "/%" PRIu64 " commit %" PRIu64, msg->index, msg->log_term, msg->commit);
    if (msg->entry_count == 0) return;
    buf_printf(out_text, " entries [");
    for (size_t i = 0; i < msg->entry_count; i++) {
        if (i > 0) buf_printf(out_text, ", ");
        raft_describe_entry(&msg->entries[i], out_text);
    }
    buf_put_u8(out_text, ']');
}

void raft_describe_msg(const struct raft_msg *msg, struct buf *out_text)
{
    ASSERT(msg != NULL && out_text != NULL);
    buf_printf(out_text, "%" PRIu64 "->%" PRIu64 " %s term %" PRIu64, msg->from, msg->to, raft_msg_name(msg->kind), msg->term);
    switch (msg->kind) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        buf_printf(out_text, " last %" PRIu64 "/%" PRIu64 "%s", msg->index, msg->log_term, msg->transfer ? " transfer" : "");
        break;
    case RAFT_MSG_PRE_VOTE_ANSWER:
    case RAFT_MSG_VOTE_ANSWER:
        buf_printf(out_text, " %s last %" PRIu64 "/%" PRIu64, msg->reject ? "refused" : "granted", msg->index, msg->log_term);
        break;
    case RAFT_MSG_APPEND: describe_append(msg, out_text); break;
    case RAFT_MSG_APPEND_ANSWER:
        buf_printf(out_text, " %s %" PRIu64, msg->reject ? "reject" : "match", msg->index);
        if (msg->reject) buf_printf(out_text, " hint %" PRIu64 "/%" PRIu64, msg->hint_index, msg->hint_term);
        break;
    case RAFT_MSG_HEARTBEAT:
        buf_printf(out_text, " commit %" PRIu64 " round %" PRIu64, msg->commit, msg->round);
        break;
    case RAFT_MSG_HEARTBEAT_ANSWER: buf_printf(out_text, " round %" PRIu64, msg->round); break;
    case RAFT_MSG_COMMIT: buf_printf(out_text, " commit %" PRIu64, msg->commit); break;
    case RAFT_MSG_TIMEOUT_NOW: break;
    case RAFT_MSG_SNAPSHOT: buf_printf(out_text, " at %" PRIu64 "/%" PRIu64, msg->index, msg->log_term); break;
    case RAFT_MSG_CHUNK_GET:
    case RAFT_MSG_CHUNK:
        buf_printf(out_text, " of %" PRIu64 "/%" PRIu64 " offset %" PRIu64 "%s", msg->index, msg->log_term, msg->hint_index,
                   msg->reject ? " gone" : "");
        break;
    case RAFT_MSG_FORWARD:
    case RAFT_MSG_REFUSED: buf_printf(out_text, " id %" PRIu64 " count %zu", msg->round, msg->entry_count); break;
    case RAFT_MSG_READ_INDEX:
    case RAFT_MSG_READ_ANSWER:
        buf_printf(out_text, " context %" PRIu64 " index %" PRIu64 "%s", msg->round, msg->index, msg->reject ? " refused" : "");
        break;
    }
}

static void describe_peers(const struct raft *raft, struct buf *out_text)
{
    static const char *const STATES[] = {"probe", "replicate", "fetch", "snapshot"};
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct progress *peer = &raft->peers[i];
        if (peer->id == raft->options.self) continue;
        buf_printf(out_text, "\n  %" PRIu64 ": %s match %" PRIu64 " next %" PRIu64 "%s", peer->id, STATES[peer->state],
                   peer->match_index, peer->next_index, peer->is_paused ? " paused" : "");
        if (peer->flight_count > 0) buf_printf(out_text, " inflight %u", peer->flight_count);
        if (!raft_is_voter(raft_core_conf(raft), peer->id)) buf_printf(out_text, " learner");
    }
}

void raft_describe_status(const struct raft *raft, struct buf *out_text)
{
    ASSERT(raft != NULL && out_text != NULL);
    const struct raft_log *log = &raft->log;
    buf_printf(out_text, "%" PRIu64 " %s term %" PRIu64 " vote %" PRIu64 " leader %" PRIu64, raft->options.self,
               raft_role_name(raft->role), raft->term, raft->vote, raft->leader);
    buf_printf(out_text, " commit %" PRIu64 " applied %" PRIu64 " durable %" PRIu64 " last %" PRIu64 "/%" PRIu64 " conf ",
               log->commit, log->applied, log->durable, raft_log_last(log), raft_log_last_term(log));
    raft_describe_conf(raft_core_conf(raft), out_text);
    if (raft->is_suspect) buf_printf(out_text, " suspect %" PRIu64 "/%" PRIu64, raft->suspect_index, raft->suspect_term);
    if (raft->transferee != RAFT_NONE) buf_printf(out_text, " transfer to %" PRIu64, raft->transferee);
    if (raft->role == RAFT_LEADER) describe_peers(raft, out_text);
}

void raft_describe_log(const struct raft *raft, struct buf *out_text)
{
    ASSERT(raft != NULL && out_text != NULL);
    const struct raft_log *log = &raft->log;
    uint64_t last = raft_log_last(log);
    buf_printf(out_text, "log behind %" PRIu64 "/%" PRIu64, log->snapshot_index, log->snapshot_term);
    for (uint64_t index = log->snapshot_index + 1; index < log->tail_first; index++) {
        buf_printf(out_text, "\n  %" PRIu64 "/%" PRIu64 " on disk", index, raft_log_term(log, index));
    }
    for (uint64_t index = log->tail_first; index <= last; index++) {
        buf_printf(out_text, "\n  ");
        raft_describe_entry(raft_log_entry(log, index), out_text);
        if (index > log->commit) buf_printf(out_text, " uncommitted");
        if (index > log->durable) buf_printf(out_text, " undurable");
    }
}
