/* lock_call: a call of the Lock or Election service as a state machine over the member's own KV, Lease and Watch services. Pure: the net
 * role carries its steps out and tells it what came of them.
 *
 *   Lock, Campaign   [grant] → enter → [change the value] → owner: answer
 *                                                         → look → a key before mine: watch it and mine → look …
 *                    given up, refused or stopped once the key is there: leave, then the error
 *   Proclaim         [grant] → change        Resign: leave        Unlock: delete        Leader: read
 *   Observe          read → send → watch that key → send … → it is deleted: read; nobody leads: watch the prefix
 *
 * One step is under way at a time. All state that must last is in the store: a place is a key with a lease, and whoever asks again with
 * the same lease finds its place again, on any member.
 * Owner: made in a plan by lock_call_plan, freed by lock_call_free. Thread: net.
 * Limits: holds name and key (lock_call_held_bytes), and of an Observe the frame that it sends from.
 * Source: API §14; what differs from etcd stands at its line. */
#ifndef RPC_LOCK_CALL_H
#define RPC_LOCK_CALL_H
#include "rpc/service.h"

enum lock_step_kind {
    LOCK_STEP_PLAN,  /* plan: propose, or read, or it is refused */
    LOCK_STEP_WATCH, /* watch: wait for the first frame of a stream that asks for this (lock_bytes_watch); the caller's to free */
    LOCK_STEP_SEND,  /* message: of the stream */
    LOCK_STEP_REPLY, /* message: the answer. It is over */
    LOCK_STEP_FAIL,  /* err. It is over */
};
struct lock_step {
    enum lock_step_kind kind;
    struct service_plan plan; /* body borrowed from the call or the scratch arena */
    struct blob *watch;
    struct slice message;     /* borrowed until the next event */
    enum err err;
};

struct lock_call;
/* The request as a plan: SERVICE_LOCK, or refused. */
void lock_call_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *out_plan);
void lock_call_free(struct lock_call *call); /* accepts NULL */
size_t lock_call_held_bytes(const struct lock_call *call); /* for its whole life */

/* Each event gives the next step. */
void lock_call_begin(struct lock_call *call, struct service_env *env, struct lock_step *out_step);
/* The proposal was applied; the response's fields behind its header. */
void lock_call_replied(struct lock_call *call, struct service_env *env, int64_t revision, struct slice body, struct lock_step *out_step);
void lock_call_was_read(struct lock_call *call, struct service_env *env, struct slice response, struct lock_step *out_step);
/* A frame came: its head, and the events behind it (NULL = none; the reference is taken over). */
void lock_call_watched(struct lock_call *call, struct service_env *env, struct slice head, struct blob *events, struct lock_step *out_step);
void lock_call_sent(struct lock_call *call, struct service_env *env, struct lock_step *out_step);
/* What was under way was refused, or is over without an answer. */
void lock_call_failed(struct lock_call *call, struct service_env *env, enum err err, struct lock_step *out_step);
/* Nobody wants it any more: whatever is under way comes to its end, then the key goes. */
void lock_call_give_up(struct lock_call *call, enum err err);

#endif
