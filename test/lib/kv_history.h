/* kv_history: what clients saw of a store, and whether a strictly serializable one could have said so. Pure: it knows nothing of how the
 * history came about, simulated members or real processes.
 *
 * Every write gets the next revision, so revisions are the order of writes, and the check needs no search:
 *   the writes that took effect, in their order, are replayed on a naive model: each answer must be the model's, revisions contiguous;
 *   each read must be what the model held at the revision that the answer names;
 *   what began after something else had ended must not have an older revision; nobody sees a write that had not begun.
 * Keys are numbers below KV_HISTORY_KEYS, values are tokens that are written once; how they look as bytes is the caller's matter.
 * An operation whose outcome is not known either has a place among the writes (`place`, from a committed log or from a value that was read)
 * or none: then nobody may have seen its tokens.
 * Owner: kv_history_init/deinit; operations belong to the history. Thread: one.
 */
#ifndef TEST_LIB_KV_HISTORY_H
#define TEST_LIB_KV_HISTORY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_HISTORY_KEYS 64
#define KV_HISTORY_STEPS 4    /* of one branch of a transaction */
#define KV_HISTORY_COMPARES 2
#define KV_HISTORY_ALARMS 64 /* members with one at a time */
#define KV_HISTORY_SERVERS 65536 /* numbers of servers are below */

enum kv_step_kind { KV_STEP_RANGE, KV_STEP_PUT, KV_STEP_DELETE };
struct kv_pair {
    uint32_t key;
    uint64_t token;
    int64_t create_revision, mod_revision, version;
    int64_t lease;            /* 0 = none */
};
enum kv_sort { KV_SORT_NONE, KV_SORT_ASCEND, KV_SORT_DESCEND }; /* as the API counts them, and the targets */
enum kv_sort_target { KV_SORT_KEY, KV_SORT_VERSION, KV_SORT_CREATE, KV_SORT_MOD, KV_SORT_VALUE };
struct kv_step {
    enum kv_step_kind kind;
    uint32_t first, end;      /* keys [first, end) */
    uint64_t token;           /* PUT */
    int64_t lease;            /* PUT; 0 = none */
    int64_t ttl;              /* PUT: of a lease that it makes, in seconds; 0 = none */
    int64_t limit;            /* RANGE; 0 = none */
    int64_t at_revision;      /* RANGE; 0 = now */
    bool is_page;             /* RANGE: goes on behind `first` - 1, a key that the page before ended with */
    bool keys_only, count_only;
    enum kv_sort sort;
    enum kv_sort_target sort_target;
    int64_t min_mod, max_mod, min_create, max_create; /* 0 = none */
    bool wants_previous;      /* PUT, DELETE */
    /* The answer. */
    int64_t count;            /* RANGE: keys there are; DELETE: keys that went */
    bool more;
    struct kv_pair *pairs;    /* RANGE: keys; PUT, DELETE: what was before */
    uint32_t pair_count;
    int64_t made_lease, made_ttl; /* PUT with a TTL */
};
enum kv_target { KV_TARGET_VERSION, KV_TARGET_CREATE, KV_TARGET_MOD, KV_TARGET_VALUE };
enum kv_relation { KV_EQUAL, KV_GREATER, KV_LESS, KV_NOT_EQUAL };
struct kv_compare {
    uint32_t key;
    enum kv_target target;
    enum kv_relation relation; /* of what is there to the number */
    int64_t number;
    uint64_t token;            /* VALUE: equal or not equal only */
};
enum kv_op_kind {
    KV_OP_RANGE,
    KV_OP_PUT,
    KV_OP_DELETE,
    KV_OP_TXN,
    KV_OP_COMPACT,
    KV_OP_GRANT,
    KV_OP_REVOKE,
    KV_OP_EXPIRE, /* by the store: no client asked, nobody is answered */
    KV_OP_LIVES,  /* how long a lease lives, and its keys */
    KV_OP_ALARM,  /* NOSPACE is raised by a member: what needs room is refused until no member has it any more */
    KV_OP_DISARM,
};
enum kv_outcome { KV_DONE, KV_NOT_DONE, KV_UNKNOWN, KV_COMPACTED, KV_FUTURE, KV_NO_LEASE, KV_LEASE_EXISTS, KV_NO_SPACE };
struct kv_op {
    enum kv_op_kind kind;
    uint32_t client;
    uint32_t server;
    bool serializable;         /* a RANGE that any state may answer */
    bool streams;              /* a RANGE whose answer comes in pieces */
    uint32_t nested_from;      /* TXN: steps from this one on stand in a transaction inside it, without compares; 0 = there is none */
    uint64_t start, end;       /* moments in one order for all clients */
    enum kv_outcome outcome;   /* COMPACTED, FUTURE: the store's definite answers to RANGE and COMPACT; NO_LEASE, LEASE_EXISTS: to what names a lease; NO_SPACE */
    int64_t revision;          /* DONE: of the answer; COMPACT: asked for */
    int64_t answer_revision;   /* COMPACT: of the answer */
    uint64_t place;            /* of what went through the log: ascending in the order of effect; 0 = it has none */
    struct kv_compare compares[KV_HISTORY_COMPARES];
    uint32_t compare_count;
    struct kv_step success[KV_HISTORY_STEPS], failure[KV_HISTORY_STEPS]; /* other kinds: success[0] */
    uint32_t success_count, failure_count;
    bool succeeded;
    int64_t lease;             /* GRANT, REVOKE, EXPIRE, LIVES; GRANT: 0 = its outcome is not known, and the store chose; ALARM, DISARM: the member */
    int64_t ttl;               /* GRANT: asked for, in seconds */
    int64_t granted_ttl;       /* GRANT, LIVES: of the answer */
    int64_t made_leases[KV_HISTORY_STEPS * 2]; /* PUT, TXN: ids for the leases that its puts make, taken in order by those that run */
    uint64_t granted_place;    /* EXPIRE: of the grant that is over */
    int64_t lives_s;           /* LIVES: of the answer; -1 = there is no such lease */
    uint64_t lease_keys;       /* LIVES: bit per key */
};
struct kv_history {
    struct kv_op *ops;
    size_t count, capacity;
};
void kv_history_init(struct kv_history *history);
void kv_history_deinit(struct kv_history *history);
struct kv_op *kv_history_add(struct kv_history *history, const struct kv_op *op); /* copied with its pairs' pointers */
bool kv_op_is_write(const struct kv_op *op); /* goes through the log */
bool kv_op_needs_room(const struct kv_op *op); /* a quota or its alarm may refuse it */

struct kv_verdict {
    bool is_good;
    const char *rule;          /* what is broken */
    size_t op;                 /* by which operation; SIZE_MAX: the caller's own question */
    int64_t expected, got;
};
struct kv_verdict kv_history_check(const struct kv_history *history);
/* The same; a history that is good is asked once more, with the model that holds all of it: NULL, or what is broken, with the two numbers. */
struct kv_model;
typedef const char *kv_history_then_fn(void *context, struct kv_model *model, int64_t *out_expected, int64_t *out_got);
struct kv_verdict kv_history_check_then(const struct kv_history *history, kv_history_then_fn *then, void *context);
/* For histories without a log: places for the writes, from the answers' revisions and from tokens that were read. */
void kv_history_place_by_revision(struct kv_history *history);

#endif
