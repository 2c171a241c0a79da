/* raft_entry: the values that consensus, log on disk and wire share. Plain data; who owns `data` is said where it is used.
 * Thread: any. */
#ifndef BASE_RAFT_ENTRY_H
#define BASE_RAFT_ENTRY_H
#include <stdint.h>

#include "base/blob.h"

#define RAFT_NONE UINT64_C(0) /* no member */

/* The kinds stand in the log on disk; never renumber. A kind that is not known stops the node. */
enum raft_entry_kind {
    RAFT_ENTRY_EMPTY = 0,   /* the first entry of a leader's term */
    RAFT_ENTRY_COMMAND = 1, /* an envelope of the state machine */
    RAFT_ENTRY_CONF = 2,    /* raft_conf_encode */
};

struct raft_entry {
    uint64_t index;
    uint64_t term;
    enum raft_entry_kind kind;
    struct blob *data; /* NULL = empty */
};

struct raft_hard_state {
    uint64_t term;
    uint64_t vote;   /* RAFT_NONE = none in this term */
    uint64_t commit; /* a hint: what was known committed; never ahead of the durable log */
};

/* Terms of a stretch of the log: every entry from first_index up to the next run has this term. */
struct raft_term_run {
    uint64_t first_index;
    uint64_t term;
};

#endif
