/* client_inner: what the files of the client library share: the client, its thread's queue, times and calls.
 *
 * The client's thread owns the rpc_client and waits in its pump, nowhere else. Other threads hand it posts: intrusive nodes in a list
 * behind a mutex, and a ring when the list was empty. What takes a post from outside is bounded: a call by calls_max, what is open by
 * open_max, a thread that waits by itself, and small orders (cancel, send, resume) by POSTS_MAX and bytes_max.
 *
 * Owner: kvd_client_new/kvd_client_free. Thread: as said at each part. Limits: above. Source: kvd/client.h. */
#ifndef CLIENT_CLIENT_INNER_H
#define CLIENT_CLIENT_INNER_H
#include <pthread.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "client/kvd/client.h"
#include "rpc/rpc_client.h"

#define CLIENT_POSTS_MAX 65536
#define CLIENT_CALLS_PER_OPEN 6 /* of a lock: keeper, watch, its own step, and what is being given up */

/* Something to do on the client's thread. `fn` may free it. */
struct client_post {
    struct list node;
    void (*fn)(struct client_post *post);
};

/* A time on the client's thread. */
struct client_timer {
    struct heap_node node;
    void (*fn)(void *context, uint64_t now_ns); /* may set it again */
    void *context;
};

/* Where a thread waits for another one. */
struct client_wait {
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* in monotonic time */
    bool is_done;
};
void client_wait_init(struct client_wait *wait);
void client_wait_deinit(struct client_wait *wait);
void client_wait_end(struct client_wait *wait);   /* wakes; the waiter may be gone when it returns */
void client_wait_again(struct client_wait *wait); /* is_done is over */
bool client_wait_until(struct client_wait *wait, uint64_t deadline_ns); /* false: not done by then */

/* What an endpoint was found to be. */
enum client_feature { CLIENT_FEATURE_UNKNOWN, CLIENT_FEATURE_YES, CLIENT_FEATURE_NO };

struct kvd_client {
    struct rpc_client *rpc;
    pthread_t thread;
    uint64_t timeout_ns;
    bool has_user;
    size_t endpoint_count, calls_max, bytes_max, open_max;

    pthread_mutex_t mutex; /* of what follows */
    struct list posts;
    size_t order_count;    /* posts that nobody waits for */
    size_t in_flight, bytes, open_count;
    uint64_t next_name;
    bool is_stopping;
    char *paths[KVD_PATHS_MAX];
    size_t path_count;

    struct map calls;      /* the thread's only: name → struct client_call */
    struct heap timers;
    enum client_feature put_ttl[KVD_ENDPOINTS_MAX];
    size_t next_endpoint;
    bool is_ending;        /* nothing begins any more */
};

/* --- the thread (client.c) --- */

bool client_is_here(const struct kvd_client *client);                /* are we on its thread? Any thread */
enum kvd_code client_check(const struct kvd_client *client);         /* KVD_OK or KVD_FORKED; before anything else. Any thread */
void client_post_locked(struct kvd_client *client, struct client_post *post); /* under the mutex; ring behind it if true is due */
void client_post(struct kvd_client *client, struct client_post *post); /* any thread */
/* Runs fn on the thread and waits for it; on the thread itself, at once. */
void client_run(struct kvd_client *client, void (*fn)(void *context), void *context);
/* Takes a place among open_max; KVD_BUSY, KVD_OVER, KVD_FORKED. Any thread. */
enum kvd_code client_open_place(struct kvd_client *client);
void client_close_place(struct kvd_client *client);

void client_timer_init(struct client_timer *timer, void (*fn)(void *context, uint64_t now_ns), void *context);
void client_timer_set(struct kvd_client *client, struct client_timer *timer, uint64_t at_ns); /* again, if it is set */
void client_timer_unset(struct kvd_client *client, struct client_timer *timer);
uint64_t client_backoff_ns(uint32_t failures); /* before the n-th attempt in a row, the first being 0 */
static inline uint64_t client_ms(uint64_t ms) { return ms > UINT64_MAX / 1000000 ? UINT64_MAX : ms * 1000000; }
uint64_t client_deadline_ns(uint64_t timeout_ms); /* KVD_FOREVER: never */

/* kvd_client_new, with what rpc_client_options.drain and .sockets are. */
struct kvd_client *client_new(const struct kvd_client_options *options, const struct rpc_client_drain *drain, const int *sockets, char *out_text,
                              size_t text_size);

/* --- requests (client_request.c) --- */

enum client_kind {
    CLIENT_RAW,
    CLIENT_STREAM,
    CLIENT_PUT,
    CLIENT_RANGE,
    CLIENT_DELETE,
    CLIENT_TXN,
    CLIENT_HEADER_ONLY,
    CLIENT_GRANT,
    CLIENT_TIME_TO_LIVE,
    CLIENT_LEASES,
    CLIENT_MEMBERS,
    CLIENT_STATUS,
    CLIENT_HISTORY,
};
struct kvd_request {
    enum client_kind kind;
    const char *path;        /* a constant, or own_path */
    char *own_path;
    struct buf body;         /* of a put: without its ttl */
    enum rpc_client_policy policy;
    int64_t ttl;             /* of a put */
    bool has_ttl;            /* of a transaction: a put in it has one */
    const char *mistake;     /* NULL = none */
    bool is_open;
    kvd_message_fn *message_fn;
    void *message_context;
};
struct slice client_slice(struct kvd_bytes bytes);
struct kvd_bytes client_bytes(struct slice slice);
/* `range_end` of an interval; false: it is the key alone. What a prefix's end is made of is written into `scratch`. An empty key with
 * is_prefix or is_from_key stands for all keys: *key becomes "\0". */
bool client_interval(struct slice *key, struct kvd_bytes range_end, bool is_prefix, bool is_from_key, struct buf *scratch, struct slice *out_end);

/* --- results (client_result.c) --- */

struct client_result {
    struct kvd_result face; /* first: what the caller sees */
    struct arena arena;
    struct buf body;        /* the response, if it is ours */
    char *text;
};
void client_result_init(struct client_result *result);
void client_result_deinit(struct client_result *result);
/* On the heap, of what was decided here. */
struct kvd_result *client_result_refused(enum kvd_code code, const char *text);
void client_result_refuse(struct client_result *result, enum kvd_code code, const char *text); /* text: a constant */
/* What the engine says; its body and text are borrowed, or copied. Not decoded. */
void client_result_take(struct client_result *result, const struct rpc_client_result *from, bool copies);
/* Unpacks face.body; KVD_MALFORMED if it is not what `kind` answers. */
void client_result_decode(struct client_result *result, enum client_kind kind);

/* A WatchResponse, and a LeaseKeepAliveResponse. */
struct client_watch_response {
    struct kvd_header header;
    bool is_created, is_canceled;
    int64_t compact_revision;
    struct slice reason;
    struct kvd_event *events;
    size_t event_count;
};
bool client_decode_watch(struct slice bytes, struct arena *arena, struct client_watch_response *out);
bool client_decode_keep_alive(struct slice bytes, struct kvd_header *out_header, int64_t *out_id, int64_t *out_ttl);
size_t client_arena_bytes(size_t body_bytes); /* what may be allocated to unpack so many */

/* --- calls (client_call.c, client_put_ttl.c) --- */

enum client_step { CLIENT_STEP_ONLY, CLIENT_STEP_ASK, CLIENT_STEP_SEND, CLIENT_STEP_GRANT, CLIENT_STEP_ATTACH };
struct client_call {
    struct client_post post;
    struct kvd_client *client;
    struct kvd_request *request;
    uint64_t name;
    uint64_t rpc;            /* the engine's name; 0 = it has none now */
    uint64_t deadline_ns;
    size_t endpoint;         /* or RPC_CLIENT_ANY */
    size_t connection;       /* as in the options */
    bool require_leader, is_canceled, has_overflowed;
    size_t bytes;
    kvd_done_fn *done_fn;
    void *context;
    struct client_wait *wait; /* of a thread that waits for `answer` */
    struct client_result *answer;
    enum client_step step;   /* of a put, or transaction, with a TTL */
    size_t step_endpoint;
    uint32_t asked;          /* times that features were asked for */
    int64_t lease, granted_ttl;
};
void client_call_send(struct client_call *call, const char *path, struct slice body, enum rpc_client_policy policy, size_t endpoint,
                      rpc_client_done_fn *done_fn);
/* The end, with what the engine says. */
void client_call_end(struct client_call *call, const struct rpc_client_result *result);
void client_call_end_here(struct client_call *call, enum kvd_code code, const char *text); /* decided here */
void client_put_ttl_start(struct client_call *call);

#endif
