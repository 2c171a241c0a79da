/* peer_past: see peer_past.h. */
#include "pipeline/peer_past.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"

/* Is the message's term one that its sender has entered, durably? */
static bool has_own_term(enum raft_msg_kind kind)
{
    return kind < RAFT_MSG_FORWARD && kind != RAFT_MSG_PRE_VOTE && kind != RAFT_MSG_PRE_VOTE_ANSWER;
}

void peer_past_hear(struct peer_past *past, const struct raft_msg *msg)
{
    ASSERT(msg->kind != 0);
    if (!has_own_term(msg->kind)) return;
    if (msg->term > past->term) past->term = msg->term;
    if (msg->reject) return;
    if (msg->kind == RAFT_MSG_VOTE_ANSWER && msg->term > past->vote_term) past->vote_term = msg->term;
    if (msg->kind != RAFT_MSG_APPEND_ANSWER || msg->term < past->ack_term) return;
    if (msg->term > past->ack_term) past->ack_index = 0;
    past->ack_term = msg->term;
    if (msg->index > past->ack_index) past->ack_index = msg->index;
    ASSERT(past->term >= past->ack_term);
}

static bool conflict(const struct peer_hello *hello, char out_text[160], const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool conflict(const struct peer_hello *hello, char out_text[160], const char *format, ...)
{
    va_list arguments;
    int used = snprintf(out_text, 160, "member %" PRIx64 " comes with ", hello->member_id);
    ASSERT(used > 0 && used < 160);
    va_start(arguments, format);
    (void)vsnprintf(out_text + used, 160 - (size_t)used, format, arguments);
    va_end(arguments);
    return true;
}

/* What its log said when the run began, against what an earlier run promised. */
static bool has_forgotten(const struct peer_past *past, uint64_t self, const struct peer_hello *hello, char out_text[160])
{
    if (hello->start_term == 0) return false; /* an older program does not say */
    if (hello->start_term < past->term) {
        return conflict(hello, out_text, "an old copy of its data directory: it ends in term %" PRIu64 ", but its member spoke in term %" PRIu64,
                        hello->start_term, past->term);
    }
    if (hello->start_term == past->ack_term && hello->start_index < past->ack_index) {
        return conflict(hello, out_text, "an old copy of its data directory: the log ends at %" PRIu64 ", but %" PRIu64 " was acknowledged",
                        hello->start_index, past->ack_index);
    }
    if (hello->start_term == past->vote_term && hello->start_vote != self) {
        return conflict(hello, out_text, "an old copy of its data directory: the vote in term %" PRIu64 " is missing", past->vote_term);
    }
    return false;
}

bool peer_past_conflict(const struct peer_past *past, uint64_t self, const struct peer_hello *hello, char out_text[160])
{
    ASSERT(self != hello->member_id);
    if (!past->is_met || MUTANT(P37)) return false;
    if (memcmp(past->uuid, hello->directory_uuid, sizeof past->uuid) != 0) {
        return conflict(hello, out_text, "another data directory, without its votes: put its own one back (no call can add it anew yet)");
    }
    if (hello->boot_id < past->boot_id) {
        return conflict(hello, out_text, "an old copy of its data directory: start %" PRIu64 ", but start %" PRIu64 " was seen", hello->boot_id,
                        past->boot_id);
    }
    if (hello->run_id == past->run_id) return false;
    if (hello->boot_id == past->boot_id && past->run_id != 0 && hello->run_id != 0) {
        return conflict(hello, out_text, "a copy of its data directory: another process was start %" PRIu64 " of it", hello->boot_id);
    }
    return has_forgotten(past, self, hello, out_text);
}

void peer_past_meet(struct peer_past *past, const struct peer_hello *hello)
{
    ASSERT(!past->is_met || hello->boot_id >= past->boot_id);
    past->is_met = true;
    past->boot_id = hello->boot_id;
    past->run_id = hello->run_id;
    memcpy(past->uuid, hello->directory_uuid, sizeof past->uuid);
    if (hello->start_term > past->term) past->term = hello->start_term;
}
