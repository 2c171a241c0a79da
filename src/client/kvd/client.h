/* kvd/client.h: libkvd-client, a client of kvd, and of every server of etcd's v3 API, for C11 and C++.
 *
 *     #include <kvd/client.h>                      cc program.c $(pkg-config --cflags --libs kvd-client)
 *
 *     const char *endpoints[] = {"127.0.0.1:2379", "127.0.0.1:22379", "127.0.0.1:32379"};
 *     struct kvd_client_options options = {.endpoints = endpoints, .endpoint_count = 3};
 *     char text[256];
 *     struct kvd_client *client = kvd_client_new(&options, text, sizeof text);           // NULL: text says why
 *
 *     struct kvd_result *put = kvd_call(client, kvd_put(kvd_text("greeting"), kvd_text("hello"), NULL), NULL);
 *     if (put->code != KVD_OK) fprintf(stderr, "%s%s\n", put->text, put->is_unknown ? " (it may have happened)" : "");
 *     kvd_result_free(put);
 *
 *     struct kvd_result *got = kvd_call(client, kvd_get(kvd_text("greeting")), NULL);
 *     if (got->pair_count == 1) fwrite(got->pairs[0].value.data, 1, got->pairs[0].value.size, stdout);
 *     kvd_result_free(got);
 *     kvd_client_free(client);
 *
 * A call is a request, made by a function that is named like the operation (kvd_put, kvd_range, kvd_txn …), and handed to kvd_call, which
 * waits, or to kvd_start, which does not. There is always a result, and always one. All structs of options may be zero, which means the
 * defaults, and a NULL instead of one means that, too. Bytes that go in are copied.
 *
 * What is tried again (the rules of etcd's client). Reads change nothing: on Unavailable they go to another endpoint, until their deadline.
 * Writes never run twice: one goes to another endpoint only while it surely was not sent. What leaves its fate open is told by is_unknown:
 * it may have happened, or may still happen. What was refused for its token did nothing, and is sent again with a new one. Watches, kept
 * leases, locks and observers go on at another endpoint by themselves.
 *
 * Threads. Every function may be called on any thread, if not said otherwise. A client has one thread of its own, on which all call-backs
 * run, one after the other; a call-back must not wait for long, for everything of this client waits meanwhile. It may start and cancel,
 * send, open and close; a function that waits is answered there with KVD_ON_LIBRARY_THREAD, and kvd_client_free must not be called there.
 * Fork. In a child that was forked off, every function answers KVD_FORKED (or NULL, or nothing), and closing and freeing leave everything
 * as it is; a child that wants to call must exec first.
 * Signals are blocked on the client's thread. Memory that runs out ends the process.
 *
 * Limits. What is beyond one is refused at once with KVD_BUSY or KVD_INVALID, and nothing of it was sent: calls in flight, their bytes,
 * what is open (watches, keepers, locks, observers), all in kvd_client_options; KVD_STREAM_MESSAGES_MAX messages that wait on a stream;
 * KVD_PATHS_MAX different paths of raw requests; KVD_ENDPOINTS_MAX endpoints.
 */
#ifndef KVD_CLIENT_H
#define KVD_CLIENT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KVD_API __attribute__((visibility("default")))
#ifdef __cplusplus
extern "C" {
#endif

#define KVD_ENDPOINTS_MAX 64
#define KVD_PATHS_MAX 32
#define KVD_STREAM_MESSAGES_MAX 1024
#define KVD_FOREVER UINT64_MAX

/* --- bytes ----------------------------------------------------------------------------------------------------------------- */

struct kvd_bytes {
    const void *data; /* may be NULL when size is 0 */
    size_t size;
};
static inline struct kvd_bytes kvd_bytes_of(const void *data, size_t size)
{
    struct kvd_bytes bytes;
    bytes.data = data;
    bytes.size = size;
    return bytes;
}
static inline struct kvd_bytes kvd_text(const char *text) { return kvd_bytes_of(text, strlen(text)); }

/* --- the client ------------------------------------------------------------------------------------------------------------ */

struct kvd_client_options {
    const char *const *endpoints; /* "host:port", "http://host:port", "https://host:port", "unix:///path" */
    size_t endpoint_count;
    size_t connection_count;      /* in all, spread over the endpoints; 0 = one for each endpoint */
    const char *ca_file, *certificate_file, *key_file; /* PEM, for https:// and unixs://; NULL = the system's roots, no certificate of ours */
    bool tls_by_default;          /* endpoints without a scheme use TLS */
    bool skip_verify;             /* for tests: trust whoever answers */
    uint64_t dial_timeout_ms;     /* how long no endpoint at all may be reached; 0 = 5 s; KVD_FOREVER */
    uint64_t timeout_ms;          /* of a call that names none; 0 = 10 s */
    uint64_t keepalive_time_ms, keepalive_timeout_ms; /* pings, by which hung connections are found; 0 = 10 s and 5 s; the least is 10 s */
    size_t calls_max;             /* in flight at a time, blocking ones and raw streams included; 0 = 1,024; at most 65,536 */
    size_t bytes_max;             /* of their requests; 0 = 64 MiB. One alone may be larger */
    size_t open_max;              /* watches, keepers, locks and observers at a time; 0 = 256; at most 16,384 */
    const char *user, *password;  /* both, or neither. Calls carry a token, which is got before the first of them, and again when a server
                                   * does not take it; where authentication is not enabled they go without. A user who is refused ends every
                                   * call that wants a token, with the server's words */
    const char *token;            /* instead of them: one that was got elsewhere, a JWT say; all calls carry it, and none is asked for. Printable
                                   * ASCII */
};

struct kvd_client;
/* Nothing is connected yet. NULL: out_text says what is wrong. */
KVD_API struct kvd_client *kvd_client_new(const struct kvd_client_options *options, char *out_text, size_t text_size);
/* What is in flight ends with KVD_CANCELLED, each with its call-back, before this returns. Whatever was opened has been closed before, and
 * no other thread is inside a function of this client. Accepts NULL. */
KVD_API void kvd_client_free(struct kvd_client *client);

/* --- results --------------------------------------------------------------------------------------------------------------- */

/* 0 to 16 are the server's, by gRPC's numbers; what begins at 100 was decided here, and nothing was sent (but see KVD_MALFORMED). */
enum kvd_code {
    KVD_OK = 0,
    KVD_CANCELLED = 1,
    KVD_UNKNOWN = 2,
    KVD_INVALID_ARGUMENT = 3,
    KVD_DEADLINE_EXCEEDED = 4,
    KVD_NOT_FOUND = 5,
    KVD_ALREADY_EXISTS = 6,
    KVD_PERMISSION_DENIED = 7,
    KVD_RESOURCE_EXHAUSTED = 8,
    KVD_FAILED_PRECONDITION = 9,
    KVD_ABORTED = 10,
    KVD_OUT_OF_RANGE = 11, /* a revision that was compacted, or is not there yet */
    KVD_UNIMPLEMENTED = 12,
    KVD_INTERNAL = 13,
    KVD_UNAVAILABLE = 14,
    KVD_DATA_LOSS = 15,
    KVD_UNAUTHENTICATED = 16,
    KVD_BUSY = 100,              /* a limit of this client is reached: wait until something has ended */
    KVD_FORKED = 101,            /* this is a child of the process that made the client */
    KVD_ON_LIBRARY_THREAD = 102, /* a function that waits was called in a call-back */
    KVD_INVALID = 103,           /* the arguments make no sense; the text says which */
    KVD_MALFORMED = 104,         /* the server's answer is not a response of this method; a write was carried out */
    KVD_OVER = 105               /* the call, stream, watch, keeper or lock is over */
};
/* A word or two on a code. Never NULL. */
KVD_API const char *kvd_code_text(enum kvd_code code);

struct kvd_header {
    uint64_t cluster_id, member_id;
    int64_t revision; /* of the store when it answered */
    uint64_t raft_term;
};
struct kvd_pair {
    struct kvd_bytes key, value;
    int64_t create_revision, mod_revision, version;
    int64_t lease; /* 0 = none */
};
enum kvd_event_type { KVD_EVENT_PUT = 0, KVD_EVENT_DELETE = 1 };
struct kvd_event {
    enum kvd_event_type type;
    struct kvd_pair pair;     /* of a deletion: key and mod_revision only */
    bool has_previous;
    struct kvd_pair previous;
};
struct kvd_member {
    uint64_t id;
    struct kvd_bytes name;    /* empty: it has not started yet */
    const struct kvd_bytes *peer_urls, *client_urls;
    size_t peer_url_count, client_url_count;
    bool is_learner;
};
struct kvd_member_status {
    struct kvd_bytes version;
    uint64_t leader;          /* 0 = it knows of none */
    uint64_t raft_index, raft_term, raft_applied_index;
    int64_t db_size, db_size_in_use;
    bool is_learner;
    const struct kvd_bytes *errors;
    size_t error_count;
};

/* What came of one call. What a request does not answer is 0. Everything that is pointed to lives as long as the result. */
struct kvd_result {
    enum kvd_code code;
    const char *text;         /* "" when OK */
    bool is_unknown;          /* a write that may have happened, or may still happen */
    bool is_unreachable;      /* no endpoint could be reached; nothing was sent */
    size_t endpoint;          /* of the last attempt, as index into the options' */
    uint32_t attempts;        /* times that it was sent */
    struct kvd_bytes body;    /* the response as it came: all that a raw request answers */
    struct kvd_header header;
    const struct kvd_pair *pairs; /* range; with `previous`: what a put or a deletion replaced */
    size_t pair_count;
    int64_t count;            /* range: keys there are, whatever the limit; deletion: keys deleted */
    bool has_more;            /* range: the limit cut it */
    bool succeeded;           /* transaction: which branch ran … */
    const struct kvd_result *results; /* … and what its operations answered, in their order */
    size_t result_count;
    int64_t lease, ttl, granted_ttl; /* grant, put with a TTL, time to live (ttl −1: there is no such lease) */
    bool has_two_steps;       /* put with a TTL on a server that makes no leases with puts: the lease was granted first, then the key put */
    const struct kvd_bytes *keys; /* time to live: that are attached */
    size_t key_count;
    const int64_t *leases;
    size_t lease_count;
    const struct kvd_member *members;
    size_t member_count;
    const struct kvd_member_status *status; /* NULL = it is no status's */
    const struct kvd_event *events; /* history */
    size_t event_count;
    struct kvd_bytes next;    /* history: the next page's token; empty = this was the last */
};
KVD_API void kvd_result_free(struct kvd_result *result); /* of kvd_call and kvd_pages_next only; accepts NULL */

/* --- requests -------------------------------------------------------------------------------------------------------------- */

/* Made by one of the functions below, never NULL, and used once: kvd_call, kvd_start, kvd_txn_then and kvd_txn_else take it over, whatever
 * they answer. Thread: one at a time. */
struct kvd_request;
KVD_API void kvd_request_free(struct kvd_request *request); /* of one that was not used; accepts NULL */

struct kvd_put_options {
    int64_t lease;      /* 0 = none */
    int64_t ttl;        /* seconds; the key gets a lease of its own, which result->lease names. 0 = none. Where the server cannot do that
                         * in one step (an etcd), it is done in two: result->has_two_steps */
    bool previous, ignore_value, ignore_lease;
};
KVD_API struct kvd_request *kvd_put(struct kvd_bytes key, struct kvd_bytes value, const struct kvd_put_options *options);

enum kvd_sort_order { KVD_SORT_NONE = 0, KVD_SORT_ASCEND = 1, KVD_SORT_DESCEND = 2 };
enum kvd_sort_target { KVD_SORT_KEY = 0, KVD_SORT_VERSION = 1, KVD_SORT_CREATE = 2, KVD_SORT_MOD = 3, KVD_SORT_VALUE = 4 };
struct kvd_range_options {
    struct kvd_bytes range_end; /* exclusive; empty = the key alone */
    bool is_prefix;             /* all keys that begin with `key`; an empty key: all there are */
    bool is_from_key;           /* all keys ≥ key */
    int64_t limit, revision;    /* 0 = none, the newest */
    enum kvd_sort_order order;
    enum kvd_sort_target target;
    bool serializable;          /* from the member's own state, which may be old */
    bool keys_only, count_only;
    int64_t min_mod_revision, max_mod_revision, min_create_revision, max_create_revision;
};
KVD_API struct kvd_request *kvd_get(struct kvd_bytes key);
KVD_API struct kvd_request *kvd_range(struct kvd_bytes key, const struct kvd_range_options *options);

struct kvd_delete_options {
    struct kvd_bytes range_end;
    bool is_prefix, is_from_key, previous;
};
KVD_API struct kvd_request *kvd_delete(struct kvd_bytes key, const struct kvd_delete_options *options);

/* A transaction:  struct kvd_request *txn = kvd_txn();
 *                 kvd_txn_if(txn, kvd_if_mod(key, KVD_EQUAL, 5));
 *                 kvd_txn_then(txn, kvd_put(key, value, NULL));
 *                 kvd_txn_else(txn, kvd_get(key));
 *                 result = kvd_call(client, txn, NULL);
 * Its operations are kvd_put, kvd_get, kvd_range, kvd_delete and kvd_txn; any other makes the call answer KVD_INVALID. A put with a TTL in
 * it is refused by KVD_UNIMPLEMENTED where the server makes no leases with puts. */
enum kvd_compare_result { KVD_EQUAL = 0, KVD_GREATER = 1, KVD_LESS = 2, KVD_NOT_EQUAL = 3 };
enum kvd_compare_target { KVD_COMPARE_VERSION = 0, KVD_COMPARE_CREATE = 1, KVD_COMPARE_MOD = 2, KVD_COMPARE_VALUE = 3, KVD_COMPARE_LEASE = 4 };
struct kvd_compare {
    struct kvd_bytes key, range_end; /* range_end: every key of the interval; empty = the key alone */
    enum kvd_compare_target target;
    enum kvd_compare_result result;
    int64_t number;          /* for all targets but the value */
    struct kvd_bytes value;
};
static inline struct kvd_compare kvd_if(struct kvd_bytes key, enum kvd_compare_target target, enum kvd_compare_result result, int64_t number)
{
    struct kvd_compare compare;
    memset(&compare, 0, sizeof compare);
    compare.key = key;
    compare.target = target;
    compare.result = result;
    compare.number = number;
    return compare;
}
static inline struct kvd_compare kvd_if_mod(struct kvd_bytes key, enum kvd_compare_result result, int64_t revision)
{
    return kvd_if(key, KVD_COMPARE_MOD, result, revision);
}
static inline struct kvd_compare kvd_if_create(struct kvd_bytes key, enum kvd_compare_result result, int64_t revision)
{
    return kvd_if(key, KVD_COMPARE_CREATE, result, revision); /* revision 0: there is no such key */
}
static inline struct kvd_compare kvd_if_value(struct kvd_bytes key, enum kvd_compare_result result, struct kvd_bytes value)
{
    struct kvd_compare compare = kvd_if(key, KVD_COMPARE_VALUE, result, 0);
    compare.value = value;
    return compare;
}
KVD_API struct kvd_request *kvd_txn(void);
KVD_API void kvd_txn_if(struct kvd_request *txn, struct kvd_compare compare);
KVD_API void kvd_txn_then(struct kvd_request *txn, struct kvd_request *operation);
KVD_API void kvd_txn_else(struct kvd_request *txn, struct kvd_request *operation);

KVD_API struct kvd_request *kvd_compact(int64_t revision, bool is_physical);
KVD_API struct kvd_request *kvd_grant(int64_t ttl, int64_t id); /* seconds; id 0 = the server chooses */
KVD_API struct kvd_request *kvd_revoke(int64_t lease);
KVD_API struct kvd_request *kvd_time_to_live(int64_t lease, bool with_keys);
KVD_API struct kvd_request *kvd_leases(void);
KVD_API struct kvd_request *kvd_members(bool is_linearizable);
KVD_API struct kvd_request *kvd_status(void); /* of the member at an endpoint: kvd_call_options.endpoint */

/* What happened to a key or range, deletions included, a page at a time. kvd only: UNIMPLEMENTED elsewhere. */
struct kvd_history_options {
    struct kvd_bytes range_end;
    bool is_prefix, is_from_key;
    int64_t from_revision, to_revision; /* 0 = the oldest there is, now */
    bool oldest_first, keys_only, serializable;
    int64_t limit;                      /* events in a page; 0 = 10,000 */
    struct kvd_bytes token;             /* result->next of the page before */
};
KVD_API struct kvd_request *kvd_history(struct kvd_bytes key, const struct kvd_history_options *options);

/* For programs that speak protobuf themselves: the path ("/etcdserverpb.KV/Put"), and the request's bytes as they go on the wire. The
 * answer is result->body. What may be done twice is for the caller to say. */
enum kvd_policy {
    KVD_POLICY_READ = 0,  /* changes nothing: goes to another endpoint on Unavailable, until its deadline */
    KVD_POLICY_WRITE = 1, /* never runs twice: goes elsewhere only while it surely was not sent */
    KVD_POLICY_ONCE = 2   /* one attempt at one endpoint */
};
KVD_API struct kvd_request *kvd_raw(const char *path, struct kvd_bytes body, enum kvd_policy policy);

/* One message of a stream, on the library's thread; `body` is borrowed. */
enum kvd_more {
    KVD_MORE = 0,
    KVD_ENOUGH = 1, /* no message more; the call ends with KVD_CANCELLED */
    KVD_PAUSE = 2   /* nothing is taken from the server until kvd_resume: it is held up, and no memory grows. The call's end comes as ever:
                     * by its deadline, by a broken connection, or by the server once all its messages were taken */
};
typedef enum kvd_more kvd_message_fn(void *context, struct kvd_bytes body);
/* A call that the server answers with a stream; one attempt at one endpoint, since what came cannot be taken back. `is_open`: our side
 * stays open for kvd_send, `body` being the first message; it ends by kvd_cancel. Its done call-back has no body. */
KVD_API struct kvd_request *kvd_raw_stream(const char *path, struct kvd_bytes body, bool is_open, kvd_message_fn *message_fn,
                                           void *message_context);

/* --- calls ----------------------------------------------------------------------------------------------------------------- */

struct kvd_call_options {
    uint64_t timeout_ms;   /* for all attempts together, waiting included; 0 = the client's, of streams: none; KVD_FOREVER = none */
    size_t endpoint;       /* 1 + index of the only endpoint that is asked; 0 = any */
    size_t connection;     /* 1 + a number: of calls to any endpoint those with one number try the same connection first, so that many of them
                            * share its writes; 0 = the connections in turn */
    bool require_leader;   /* a member that knows of no leader refuses at once */
};

/* Waits for the end. Never NULL; the caller frees it. Not for streams (KVD_INVALID). */
KVD_API struct kvd_result *kvd_call(struct kvd_client *client, struct kvd_request *request, const struct kvd_call_options *options);

/* The asynchronous call. KVD_OK: it is on its way, and done_fn runs exactly once, on the library's thread, perhaps before this returns; also
 * when it is cancelled, its time is over, or the client is freed. The result is borrowed: it lives until done_fn returns.
 * Anything else: it was refused (KVD_BUSY, KVD_FORKED, KVD_INVALID, KVD_OVER: the client is being freed), done_fn does not run.
 * Calls are sent in the order in which one thread started them, but they may be carried out, and end, in any order: who wants an order of
 * two writes starts the second when the first is done. A call leaves its place among calls_max before its done_fn runs, so that done_fn
 * can start the next one. *out_call names the call for kvd_cancel, kvd_send, kvd_resume; never 0; may be NULL. */
typedef void kvd_done_fn(void *context, const struct kvd_result *result);
KVD_API enum kvd_code kvd_start(struct kvd_client *client, struct kvd_request *request, const struct kvd_call_options *options,
                                kvd_done_fn *done_fn, void *context, uint64_t *out_call);
/* The call ends soon with KVD_CANCELLED, or as it just did. A name that is over is passed over. A write that was sent before is_unknown. */
KVD_API enum kvd_code kvd_cancel(struct kvd_client *client, uint64_t call);
/* One more message of a stream that is open; they leave in their order. A stream on which more than KVD_STREAM_MESSAGES_MAX wait ends with
 * KVD_RESOURCE_EXHAUSTED. What is sent to a stream that is over goes nowhere. */
KVD_API enum kvd_code kvd_send(struct kvd_client *client, uint64_t call, struct kvd_bytes body);
KVD_API enum kvd_code kvd_resume(struct kvd_client *client, uint64_t call); /* after KVD_PAUSE */

/* A range page by page, all at the revision of the first; order, target and the filters of revisions are not for pages.
 *     struct kvd_pages *pages = kvd_pages_new(kvd_text("jobs/"), &(struct kvd_range_options){.is_prefix = true, .limit = 500});
 *     for (struct kvd_result *page; (page = kvd_pages_next(client, pages, NULL)) != NULL; kvd_result_free(page)) …
 * The result after the last page is NULL; a page that failed is followed by NULL, too. Thread: one at a time. */
struct kvd_pages;
KVD_API struct kvd_pages *kvd_pages_new(struct kvd_bytes key, const struct kvd_range_options *options); /* limit 0 = 1,000 */
KVD_API struct kvd_result *kvd_pages_next(struct kvd_client *client, struct kvd_pages *pages, const struct kvd_call_options *options);
KVD_API void kvd_pages_free(struct kvd_pages *pages); /* accepts NULL */

/* --- watches --------------------------------------------------------------------------------------------------------------- */

/* Changes of a key or range, in the order of their revisions. When its member dies or loses the leader, the watch goes on at another
 * endpoint behind the last event that was delivered: nothing is missed, nothing comes twice.
 *
 * Either with a call-back, or, with fn NULL, by kvd_watch_next, which takes one message from the server at a time. */
struct kvd_watch_options {
    struct kvd_bytes range_end;
    bool is_prefix, is_from_key;
    int64_t start_revision;      /* 0 = from now on */
    bool previous, progress_notify, no_puts, no_deletes;
};
struct kvd_news {
    enum kvd_code code;          /* not OK: the watch is over, and nothing comes behind it. KVD_OUT_OF_RANGE: what it needs is compacted */
    const char *text;
    int64_t compact_revision;
    struct kvd_header header;
    const struct kvd_event *events;
    size_t event_count;          /* 0, and OK: progress: everything up to header.revision has been delivered */
    size_t endpoint;
    bool is_unreachable;
    struct kvd_bytes body;       /* the WatchResponse as it came; empty: it is no server's word */
};
/* Borrowed. KVD_ENOUGH: no news any more. KVD_PAUSE: none until kvd_watch_resume; the server is held up. */
typedef enum kvd_more kvd_watch_fn(void *context, const struct kvd_news *news);
struct kvd_watch;
KVD_API enum kvd_code kvd_watch_open(struct kvd_client *client, struct kvd_bytes key, const struct kvd_watch_options *options,
                                     kvd_watch_fn *fn, void *context, struct kvd_watch **out_watch);
/* For programs that speak protobuf themselves: the bytes of a WatchCreateRequest, without start_revision and without fragment. */
KVD_API enum kvd_code kvd_watch_open_raw(struct kvd_client *client, struct kvd_bytes create_request, int64_t start_revision, kvd_watch_fn *fn,
                                         void *context, struct kvd_watch **out_watch);
KVD_API enum kvd_code kvd_watch_resume(struct kvd_watch *watch); /* after KVD_PAUSE, when the call-back has returned, or will soon */
/* The next news, borrowed until the next call for this watch: the answer is their code. KVD_DEADLINE_EXCEEDED: none within timeout_ms, and
 * *out_news is NULL. Thread: one at a time for a watch. */
KVD_API enum kvd_code kvd_watch_next(struct kvd_watch *watch, uint64_t timeout_ms, const struct kvd_news **out_news);
KVD_API enum kvd_code kvd_watch_ask_progress(struct kvd_watch *watch);
/* When it returns, no call-back runs any more (called in one of the client's: none begins any more). Accepts NULL. */
KVD_API void kvd_watch_close(struct kvd_watch *watch);

/* --- leases that are kept alive -------------------------------------------------------------------------------------------- */

enum kvd_keeper_state {
    KVD_KEEPER_RUNS = 0,
    KVD_KEEPER_GONE = 1,    /* the server says that there is no such lease */
    KVD_KEEPER_EXPIRED = 2, /* nobody answered while it lived, as far as one can tell here */
    KVD_KEEPER_REFUSED = 3
};
struct kvd_keeper_news {
    enum kvd_keeper_state state;
    int64_t lease, ttl;     /* seconds, as just granted again */
    struct kvd_header header;
    enum kvd_code code;     /* with text: why it ended, or why nobody answered */
    const char *text;
    bool is_unreachable;
    struct kvd_bytes body;  /* the LeaseKeepAliveResponse as it came */
};
typedef void kvd_keeper_fn(void *context, const struct kvd_keeper_news *news); /* each renewal, and once the end; borrowed */
struct kvd_keeper;
/* Renews the lease three times per TTL, at another endpoint when a member does not answer. `ttl`: seconds that it has to live from now on
 * if nobody answers (what kvd_grant was answered). fn may be NULL. */
KVD_API enum kvd_code kvd_keeper_open(struct kvd_client *client, int64_t lease, int64_t ttl, kvd_keeper_fn *fn, void *context,
                                      struct kvd_keeper **out_keeper);
KVD_API enum kvd_keeper_state kvd_keeper_state_of(struct kvd_keeper *keeper);
KVD_API void kvd_keeper_close(struct kvd_keeper *keeper); /* the lease is left to itself; else as kvd_watch_close */

/* --- locks ----------------------------------------------------------------------------------------------------------------- */

/* A lock with etcd's keys, NAME/<lease in hex>, so that it excludes etcdctl's, kvctl's and the Lock service's: a lease, kept alive, with a
 * key in a queue; whose key is the oldest holds it. It outlives members and changes of leader.
 *
 * No lock of a distributed system tells its holder in time that it is lost: who slept writes late. So write by transactions that compare
 * kvd_lock_fence(lock), which is refused once the place is gone:
 *     kvd_txn_if(txn, kvd_lock_fence(lock)); */
struct kvd_lock_options {
    int64_t ttl;               /* seconds without a holder's sign of life after which the lock is free; 0 = 60 */
    struct kvd_bytes value;    /* of its key */
};
enum kvd_lock_state {
    KVD_LOCK_WAITS = 0,
    KVD_LOCK_HELD = 1,
    KVD_LOCK_LOST = 2          /* or it was never got; code and text say why */
};
struct kvd_lock_news {
    enum kvd_lock_state state;
    enum kvd_code code;
    const char *text;
    bool is_unreachable;       /* of one that is lost: no endpoint could be reached */
};
typedef void kvd_lock_fn(void *context, const struct kvd_lock_news *news); /* when it is held, and when it is lost; borrowed */
struct kvd_lock;
/* Takes a place in the queue. fn may be NULL. */
KVD_API enum kvd_code kvd_lock_open(struct kvd_client *client, struct kvd_bytes name, const struct kvd_lock_options *options, kvd_lock_fn *fn,
                                    void *context, struct kvd_lock **out_lock);
/* Until it is held (KVD_OK), lost (why), or timeout_ms are over (KVD_DEADLINE_EXCEEDED: it goes on waiting for its turn). */
KVD_API enum kvd_code kvd_lock_wait(struct kvd_lock *lock, uint64_t timeout_ms);
KVD_API enum kvd_lock_state kvd_lock_state_of(struct kvd_lock *lock);
/* Once it is held; all of them live as long as the lock. */
KVD_API struct kvd_bytes kvd_lock_key(struct kvd_lock *lock);
KVD_API int64_t kvd_lock_revision(struct kvd_lock *lock); /* the key's create_revision */
KVD_API int64_t kvd_lock_lease(struct kvd_lock *lock);
KVD_API struct kvd_compare kvd_lock_fence(struct kvd_lock *lock);
KVD_API struct kvd_header kvd_lock_header(struct kvd_lock *lock); /* of the answer that told that it is held */
/* Gives the place back, held or not: key and lease are deleted, for which it waits, at most as long as two calls may last; on the library's
 * thread it does not wait. Not KVD_OK: they are gone with the lease's time at the latest. The lock is freed in any case. Accepts NULL. */
KVD_API enum kvd_code kvd_lock_close(struct kvd_lock *lock);

/* --- elections ------------------------------------------------------------------------------------------------------------- */

/* An election is a lock whose key has a value, by etcd's recipe and keys, with etcdctl's, kvctl's and the Election service's candidates:
 *     to campaign     kvd_lock_open(client, name, &(struct kvd_lock_options){.value = ours}, …): who holds the lock leads
 *     to proclaim     kvd_call(client, kvd_proclaim(lock, another_value), NULL); `succeeded` is false: we do not lead any more
 *     to ask          kvd_call(client, kvd_leader(name), NULL): pairs[0] is the leader's key and value; no pair: nobody leads
 *     to observe      kvd_observer_open
 *     to resign       kvd_lock_close
 * A proclamation does not run twice, and what a leader writes elsewhere needs the fence like a holder's. */
KVD_API struct kvd_request *kvd_proclaim(struct kvd_lock *lock, struct kvd_bytes value); /* of a lock that is, or was, held */
KVD_API struct kvd_request *kvd_leader(struct kvd_bytes name);

struct kvd_leader_news {
    enum kvd_code code;             /* not OK: the observer is over, and nothing comes behind it */
    const char *text;
    bool is_unreachable;
    struct kvd_header header;       /* of the state in which it leads */
    const struct kvd_pair *leader;  /* NULL = nobody leads */
};
/* Who leads when the observer looks first, each proclamation, and each change; who led between two looks only is left out. Borrowed. */
typedef void kvd_observer_fn(void *context, const struct kvd_leader_news *news);
struct kvd_observer;
KVD_API enum kvd_code kvd_observer_open(struct kvd_client *client, struct kvd_bytes name, kvd_observer_fn *fn, void *context,
                                        struct kvd_observer **out_observer);
KVD_API void kvd_observer_close(struct kvd_observer *observer); /* as kvd_watch_close */

#ifdef __cplusplus
}
#endif
#endif
