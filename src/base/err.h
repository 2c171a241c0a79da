/* err: every answer that the product can give to a caller, in one list.
 *
 * Source: the v3 API's error table (gRPC code and text are part of the wire contract: clients compare texts).
 * Thread: any; immutable.
 * An `enum err` is an *answer*. Bugs use ASSERT, environments that cannot promise durability use fatal().
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* gRPC status codes, by number of the gRPC specification; base knows them so that one table serves all. */
enum err_code {
    ERR_CODE_OK = 0,
    ERR_CODE_CANCELLED = 1,
    ERR_CODE_UNKNOWN = 2,
    ERR_CODE_INVALID_ARGUMENT = 3,
    ERR_CODE_DEADLINE_EXCEEDED = 4,
    ERR_CODE_NOT_FOUND = 5,
    ERR_CODE_ALREADY_EXISTS = 6,
    ERR_CODE_PERMISSION_DENIED = 7,
    ERR_CODE_RESOURCE_EXHAUSTED = 8,
    ERR_CODE_FAILED_PRECONDITION = 9,
    ERR_CODE_ABORTED = 10,
    ERR_CODE_OUT_OF_RANGE = 11,
    ERR_CODE_UNIMPLEMENTED = 12,
    ERR_CODE_INTERNAL = 13,
    ERR_CODE_UNAVAILABLE = 14,
    ERR_CODE_DATA_LOSS = 15,
    ERR_CODE_UNAUTHENTICATED = 16,
};

/* X(name, gRPC code, text) */
#define ERR_LIST(X)                                                                                                    \
    X(OK, OK, "")                                                                                                      \
    X(EMPTY_KEY, INVALID_ARGUMENT, "etcdserver: key is not provided")                                                  \
    X(KEY_NOT_FOUND, INVALID_ARGUMENT, "etcdserver: key not found")                                                    \
    X(VALUE_PROVIDED, INVALID_ARGUMENT, "etcdserver: value is provided")                                               \
    X(LEASE_PROVIDED, INVALID_ARGUMENT, "etcdserver: lease is provided")                                               \
    X(TOO_MANY_OPS, INVALID_ARGUMENT, "etcdserver: too many operations in txn request")                                \
    X(DUPLICATE_KEY, INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")                               \
    X(INVALID_CLIENT_API_VERSION, INVALID_ARGUMENT, "etcdserver: invalid client api version")                          \
    X(INVALID_SORT_OPTION, INVALID_ARGUMENT, "etcdserver: invalid sort option")                                        \
    X(COMPACTED, OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")                               \
    X(FUTURE_REV, OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")                            \
    X(NO_SPACE, RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")                                       \
    X(LEASE_NOT_FOUND, NOT_FOUND, "etcdserver: requested lease not found")                                             \
    X(LEASE_EXISTS, FAILED_PRECONDITION, "etcdserver: lease already exists")                                           \
    X(LEASE_TTL_TOO_LARGE, OUT_OF_RANGE, "etcdserver: too large lease TTL")                                            \
    X(MEMBER_NOT_FOUND, NOT_FOUND, "etcdserver: member not found")                                                     \
    X(CLUSTER_ID_MISMATCH, FAILED_PRECONDITION, "etcdserver: cluster ID mismatch")                                     \
    X(REQUEST_TOO_LARGE, INVALID_ARGUMENT, "etcdserver: request is too large")                                         \
    X(TOO_MANY_REQUESTS, RESOURCE_EXHAUSTED, "etcdserver: too many requests")                                          \
    X(NO_LEADER, UNAVAILABLE, "etcdserver: no leader")                                                                 \
    X(NOT_LEADER, FAILED_PRECONDITION, "etcdserver: not leader")                                                       \
    X(LEADER_CHANGED, UNAVAILABLE, "etcdserver: leader changed")                                                       \
    X(NOT_CAPABLE, FAILED_PRECONDITION, "etcdserver: not capable")                                                     \
    X(STOPPED, UNAVAILABLE, "etcdserver: server stopped")                                                              \
    X(TIMEOUT, UNAVAILABLE, "etcdserver: request timed out")                                                           \
    X(TIMEOUT_LEADER_FAIL, UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure")      \
    X(TIMEOUT_CONN_LOST, UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost")                \
    X(CORRUPT, DATA_LOSS, "etcdserver: corrupt cluster")                                                               \
    X(NOT_SUPPORTED_FOR_LEARNER, FAILED_PRECONDITION, "etcdserver: rpc not supported for learner")                     \
    X(BAD_LEADER_TRANSFEREE, FAILED_PRECONDITION, "etcdserver: bad leader transferee")                                 \
    X(TIMEOUT_LEADER_TRANSFER, UNKNOWN, "etcdserver: request timed out, leader transfer took too long")                \
    X(DOWNGRADE_VERSION_FORMAT, INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format")                 \
    X(DOWNGRADE_TARGET, INVALID_ARGUMENT, "etcdserver: invalid downgrade target version")                              \
    X(NO_DOWNGRADE, FAILED_PRECONDITION, "etcdserver: no inflight downgrade job")                                      \
    X(CANCELED, CANCELLED, "etcdserver: request canceled")                                                             \
    X(RANGE_STREAM_SORT, UNIMPLEMENTED, "RangeStream does not support custom sort orders")                             \
    X(RANGE_STREAM_FILTER, UNIMPLEMENTED, "RangeStream does not support revision filters")                             \
    X(UNKNOWN_METHOD, UNKNOWN, "etcdserver: unknown method")                                                           \
    X(UNIMPLEMENTED, UNIMPLEMENTED, "kvd: this method is not built yet")                                               \
    X(MALFORMED, INTERNAL, "kvd: malformed request: the bytes are not a message of this method")                       \
    X(TOO_DEEP, INVALID_ARGUMENT, "etcdserver: too many operations in txn request")                                    \
    X(BAD_UTF8, INTERNAL, "kvd: malformed request: a string field is not valid UTF-8 or contains NUL")                 \
    X(SNAPSHOT_REPLACED, ABORTED, "kvd: this snapshot was read too slowly: newer ones have taken its place; ask for one again")             \
    X(UNKNOWN_SERVICE, NOT_FOUND, "unknown service")                                                                   \
    X(TTL_PROVIDED, INVALID_ARGUMENT, "etcdserver: ttl is provided beside lease or ignore_lease")                      \
    X(LEASE_TTL_NEGATIVE, INVALID_ARGUMENT, "etcdserver: negative lease TTL")                                          \
    X(HISTORY_WINDOW, INVALID_ARGUMENT, "kvd: the last revision is below the first")                                   \
    X(BAD_PAGE_TOKEN, INVALID_ARGUMENT, "kvd: the page token is not of this request")                                  \
    X(WATCHER_NOT_FOUND, NOT_FOUND, "kvd: watcher not found")                                                          \
    X(OTHER_MEMBER, FAILED_PRECONDITION, "kvd: the watcher is one of another member")                                  \
    X(AUTH_NOT_ENABLED, FAILED_PRECONDITION, "etcdserver: authentication is not enabled")                              \
    X(INVALID_AUTH_TOKEN, UNAUTHENTICATED, "etcdserver: invalid auth token")                                           \
    X(AUTH_OLD_REVISION, INVALID_ARGUMENT, "etcdserver: revision of auth store is old")                                \
    X(USER_EMPTY, INVALID_ARGUMENT, "etcdserver: user name is empty")                                                  \
    X(SESSION_EXPIRED, UNKNOWN, "mutex: session is expired")                                                           \
    X(NO_ELECTION_LEADER, UNKNOWN, "election: no leader")                                                              \
    X(NOT_ELECTION_LEADER, UNKNOWN, "election: not leader")                                                            \
    X(NO_LEADER_KEY, UNKNOWN, "\"leader\" field must be provided")                                                     \
    X(OBSERVE_CLOSED, UNKNOWN, "election: observe closed early")                                                       \
    X(MESSAGE_TOO_LARGE, RESOURCE_EXHAUSTED, "kvd: the message is larger than this server takes once it is decompressed")                \
    X(WATCH_TOO_LARGE, RESOURCE_EXHAUSTED,                                                                                \
      "kvd: the watched events of one revision are more than a message may hold: watch with fragment, or without prev_kv")

#define ERR_ENUM(name, code, text) ERR_##name,
enum err { ERR_LIST(ERR_ENUM) ERR_COUNT };
#undef ERR_ENUM

/* What a service that is built upon others says when one of them refuses: the text stays, the code is UNKNOWN. */
#define ERR_INNER_BIT 0x100
static inline enum err err_inner(enum err err) { return err == ERR_OK ? err : (enum err)((unsigned)err | ERR_INNER_BIT); }

#define MUST_USE __attribute__((warn_unused_result))

const char *err_text(enum err err);          /* the API's own text; "" for ERR_OK */
enum err_code err_grpc_code(enum err err);   /* the gRPC status code */
const char *err_name(enum err err);          /* "COMPACTED", for logs and traces */

#endif
