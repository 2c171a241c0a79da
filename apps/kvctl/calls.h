/* calls: the client library's raw calls on main's own thread: what comes for them on the library's is kept until main pumps, and main's
 * call-backs run there. So a command is one thread, whatever it waits for: answers, streams, and whoever rings.
 *
 * Requests and responses are protobuf's bytes: kvctl prints what a server says, field by field.
 * Owner: calls_new/calls_free. Thread: one thread owns it and all its calls; call-backs run on it; calls_ring: any.
 * Limits: CALLS_MAX calls at a time (asserted); one message of a stream is kept, and the server held up until it was taken. Answers: the
 * server's own limit. Source: kvd/client.h. */
#ifndef KVCTL_CALLS_H
#define KVCTL_CALLS_H
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "client/kvd/client.h"

#define CALLS_MAX 2048 /* a call to each endpoint, or the streams of watch -i, old and new */
#define CALLS_ANY SIZE_MAX

/* One message of a stream; `body` is borrowed. False: enough, the call ends with CANCELLED. Must not pump. */
typedef bool calls_message_fn(void *context, struct slice body);

struct calls_request {
    const char *path;
    struct slice body;      /* copied */
    enum kvd_policy policy;
    uint64_t timeout_ns;    /* for all attempts together; 0 = none */
    size_t endpoint;        /* its index, and no other is tried; CALLS_ANY = the client chooses */
    bool require_leader;
    calls_message_fn *message_fn; /* NULL = one message is the answer. Else a stream, and the result has no body */
    void *message_context;
    bool is_open;           /* with message_fn: our side stays open for calls_send; `body` is the first message */
};

struct calls_result {
    enum err_code code;
    const char *text;       /* "" when OK; borrowed */
    struct slice body;      /* borrowed */
    bool is_unknown, is_unreachable;
    size_t endpoint;        /* of the last attempt */
};

struct calls;
/* NULL: out_text says what is wrong with the options; calls_max and bytes_max are ours. */
struct calls *calls_new(const struct kvd_client_options *options, char *out_text, size_t text_size);
/* Cancels what is in flight (its call-backs run with CANCELLED). Accepts NULL. */
void calls_free(struct calls *calls);

/* Runs once, inside calls_pump or _free; may start calls (not inside _free), must not pump. `result` is borrowed. */
typedef void calls_done_fn(void *context, const struct calls_result *result);
/* The call's name, never 0. */
uint64_t calls_start(struct calls *calls, const struct calls_request *request, calls_done_fn *done_fn, void *context);
void calls_cancel(struct calls *calls, uint64_t call); /* it ends soon; a name that is over is passed over */
void calls_send(struct calls *calls, uint64_t call, struct slice body);
void calls_ring(struct calls *calls); /* makes the running or the next pump return */
/* The client behind it, for what the library keeps open by itself: watches and leases. */
struct kvd_client *calls_client(struct calls *calls);
/* Something that came on the library's thread, for main's: fn runs inside a pump. Posted again before that, it stands there once. */
struct calls_item {
    struct list node;
    void (*fn)(struct calls_item *item);
};
void calls_item_init(struct calls_item *item, void (*fn)(struct calls_item *item));
void calls_post(struct calls *calls, struct calls_item *item); /* any thread */
void calls_drop(struct calls *calls, struct calls_item *item); /* it does not run any more; accepts one that is not posted */
size_t calls_in_flight(const struct calls *calls);
/* Waits until something happened or deadline_ns passed, and runs what is ready. */
void calls_pump(struct calls *calls, uint64_t deadline_ns);

/* One call from start to end. */
struct calls_answer {
    enum err_code code;
    char *text;             /* NULL until the call is over */
    struct buf body;
    bool is_unknown, is_unreachable;
    size_t endpoint;
    uint64_t start_ns, took_ns;
};
/* Fills *out_answer (owned: calls_answer_deinit) while the caller pumps; the call's name. */
uint64_t calls_begin(struct calls *calls, const struct calls_request *request, struct calls_answer *out_answer);
void calls_answer_deinit(struct calls_answer *answer);

#endif
