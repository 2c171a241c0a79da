/* alarm_check: do the members hold the same state? Replicated: what each of them reported of its hash at the same applied index, and what
 * follows from it.
 *
 * Every ALARM_CHECK_INTERVAL entries each member hashes its state, in O(1), and says so by an entry of the log. So every member sees the same
 * reports in the same order and comes to the same verdict, the member that is wrong as well, whoever leads: what a majority of the members
 * reports is right, and who reports another hash is corrupt. When all have reported and no majority agrees, nobody knows who is right, and the
 * alarm names no member (ALARM_ANY_MEMBER).
 * A hash in the heartbeats would need no entries, but then each member would judge by what it happened to hear, and a leader that is wrong
 * itself would accuse the others.
 *
 * Limits: the ALARM_CHECK_ROUNDS newest indices, one report per member in each; a report for an older one comes too late and is ignored.
 * Owner: embedded in the state machine. Thread: apply.
 */
#ifndef STORAGE_ALARM_CHECK_H
#define STORAGE_ALARM_CHECK_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define ALARM_CHECK_INTERVAL 1024
#define ALARM_CHECK_ROUNDS 16
#define ALARM_CHECK_MEMBERS_MAX 64 /* more than a cluster has */

struct alarm_check_report {
    uint64_t member;
    uint64_t index;
    uint64_t hash;
};
struct alarm_check_round {
    uint64_t index; /* 0 = unused */
    uint32_t count;
    struct { uint64_t member, hash; } reports[ALARM_CHECK_MEMBERS_MAX];
};
struct alarm_check {
    struct alarm_check_round rounds[ALARM_CHECK_ROUNDS]; /* ascending by index, the unused ones first */
};
/* Whom a report convicts. */
struct alarm_check_verdict {
    uint32_t count;
    uint64_t members[ALARM_CHECK_MEMBERS_MAX];
};

/* `member_count` of the cluster; the reporter belongs to it. A second report of a member for an index is ignored. */
void alarm_check_add(struct alarm_check *check, const struct alarm_check_report *report, uint32_t member_count,
                     struct alarm_check_verdict *out_verdict);
/* After a CORRUPT alarm was taken back: what was reported before does not raise it again. */
void alarm_check_clear(struct alarm_check *check);

/* StateHashReport of proto/kvd/command.proto. */
MUST_USE enum err alarm_check_parse(struct slice bytes, struct alarm_check_report *out_report);
void alarm_check_put(const struct alarm_check_report *report, struct buf *out);

/* All rounds as bytes, and back; false on damage. */
void alarm_check_encode(const struct alarm_check *check, struct buf *out);
bool alarm_check_decode(struct alarm_check *check, struct slice bytes);

#endif
