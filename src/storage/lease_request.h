/* lease_request: the messages of the Lease service, and the leader's word that a lease is over, as plain values.
 * The door and the state machine read the bytes through these same functions. Rules as in operation.h.
 * Owner: plain values. Thread: any. Source: the API's messages; proto/kvd/command.proto.
 */
#ifndef STORAGE_LEASE_REQUEST_H
#define STORAGE_LEASE_REQUEST_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* What is asked of the leases, which only their writer can look at: how long one has to live, to let it live longer, or which there are. */
struct lease_question {
    bool is_list;
    bool is_renewal;
    bool wants_keys;
    int64_t lease;
    int64_t ttl; /* the answer to a renewal: as granted, in seconds; 0 = there is no such lease, or its time is over */
};
struct lease_request_grant {
    int64_t ttl;
    int64_t id; /* 0 = to be chosen */
};
struct lease_request_expiry {
    int64_t id;
    uint64_t granted_index;
};
struct lease_request_checkpoint {
    int64_t id;
    int64_t remaining;      /* seconds; 0 takes an earlier one back */
    uint64_t granted_index;
    uint64_t number;        /* the leader's, ascending in its term: tells it what it meets of what it asked for; the state has no use for it */
};

/* Each: ERR_OK or ERR_MALFORMED. */
MUST_USE enum err lease_request_parse_grant(struct slice bytes, struct lease_request_grant *out_request);
MUST_USE enum err lease_request_parse_revoke(struct slice bytes, int64_t *out_id);
MUST_USE enum err lease_request_parse_time_to_live(struct slice bytes, struct lease_question *out_question);
MUST_USE enum err lease_request_parse_keep_alive(struct slice bytes, int64_t *out_id);
/* A LeaseKeepAliveResponse's fields after the header: ttl 0 = it is gone. */
void lease_request_put_kept_alive(int64_t id, int64_t ttl, struct buf *out);
/* Between members: questions that only the leader answers, and the answers in the same order. */
struct lease_answer {
    enum err err;
    struct slice body; /* the response's fields after the header */
};
void lease_request_put_question(const struct lease_question *question, struct buf *out);
bool lease_request_next_question(struct reader *reader, struct lease_question *out_question); /* false at the end or when bad */
void lease_request_put_answer(const struct lease_answer *answer, struct buf *out);
bool lease_request_next_answer(struct reader *reader, struct lease_answer *out_answer);
/* What a leader says in one entry about several leases: appended to a body; the next of it, false at the end or when bad. */
void lease_request_put_expiry(const struct lease_request_expiry *expiry, struct buf *out);
bool lease_request_next_expiry(struct reader *reader, struct lease_request_expiry *out_expiry);
void lease_request_put_checkpoint(const struct lease_request_checkpoint *checkpoint, struct buf *out);
bool lease_request_next_checkpoint(struct reader *reader, struct lease_request_checkpoint *out_checkpoint);

#endif
