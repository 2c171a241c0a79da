/* world_watchers: the streams of a world, of Watch and of LeaseKeepAlive: the port of a member's watch role without gRPC, the clients' ends of the streams, and the truth
 * that streams are compared with: every change that any member ever published, once, in order.
 *
 * A client's message waits until the role wants it; a message of the role is there at once, and the role hears that it was sent, or, with a
 * slow client, when the client takes it. A client that vanishes is met by whatever the role waits for next. When the member dies, messages that
 * nobody took may be lost from some one on.
 * Owner: embedded in world and member. Thread: one. Limits: WORLD_WATCH_EVENTS_MAX events that a role did not take yet. */
#ifndef TEST_LIB_WORLD_WATCHERS_H
#define TEST_LIB_WORLD_WATCHERS_H
#include "base/blob.h"
#include "base/list.h"
#include "lib/kv_history.h"
#include "lib/tape.h"
#include "rpc/watch_port.h"

#define WORLD_WATCH_EVENTS_MAX 1024

struct world;
struct world_member;

struct world_change {
    struct kv_pair pair;  /* of a delete: its key and mod_revision */
    bool is_delete;
    size_t before;        /* the change of the same key before it, + 1; 0 = there was none */
};
/* Where the published view of a member stood at some moment, and when that was. */
struct world_view_point {
    int64_t revision, mark;
    uint64_t ns;
};
struct world_stream;
struct world_watchers { /* of a member */
    struct watch_port port; /* first */
    struct world_member *member;
    struct watch_event events[WORLD_WATCH_EVENTS_MAX];
    struct blob *bodies[WORLD_WATCH_EVENTS_MAX];
    uint32_t first, count;
    struct blob *borrowed[WORLD_WATCH_EVENTS_MAX];
    uint32_t borrowed_count;
    struct world_view_point step; /* at the begin of the role's step: it looks at one view all the time */
};
struct world_streams { /* of the world */
    struct tape tape;
    struct world_stream **all;
    uint64_t count, capacity, first_open;
    struct world_change *changes;
    size_t change_count, change_capacity;
    size_t last_of_key[KV_HISTORY_KEYS]; /* + 1 */
};

/* --- for a client --- */

/* A stream at a member that is up: its number. */
uint64_t world_stream_open(struct world *world, uint32_t member, enum watch_method method, bool requires_leader, bool is_slow);
void world_stream_say(struct world *world, uint64_t stream, struct slice message);
void world_stream_end(struct world *world, uint64_t stream);   /* it has said its last word, and reads on */
void world_stream_leave(struct world *world, uint64_t stream); /* it is gone */
/* The next message that came: NULL = none. The caller's. `*out_sent`: of the view that the role looked at, and when it was sent. */
struct blob *world_stream_take(struct world *world, uint64_t stream, struct world_view_point *out_sent);
/* For each message that the client said, in order: how the member stood when it got it. False: it has not got it yet. */
bool world_stream_heard(struct world *world, uint64_t stream, struct world_view_point *out_point);
/* It ended, and all that came of it was taken. `died`: with its member. */
bool world_stream_is_over(const struct world *world, uint64_t stream, enum err *out_err, bool *out_died);
/* Every change so far; changes of one revision stand together. */
const struct world_change *world_changes(const struct world *world, size_t *out_count);

/* --- for the world --- */

void world_watchers_init(struct world *world);
void world_watchers_deinit(struct world *world);
void world_watchers_open(struct world_member *member);  /* the port of a member that starts */
void world_watchers_close(struct world_member *member); /* it died */
bool world_watchers_are_there(const struct world *world); /* the members have a watch role */
void world_watchers_step(struct world_member *member);  /* its role begins a step */
bool world_watchers_has_events(const struct world_member *member);
void world_watchers_note(struct world_member *member);  /* its published view may be new */
void world_watchers_idle(struct world_member *member);  /* nothing is left of streams that are over */
/* A stop in good order is over: every stream of the member has had its end. */
void world_watchers_stopped(struct world_member *member);

#endif
