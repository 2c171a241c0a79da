/* mailbox: lanes into a role, and the doorbell that wakes it.
 *
 * A lane is a ring from one role to another. Posting only marks it; the runner rings the consumers once at the end of the producer's
 * step, and rings nobody who is awake.
 * The doorbell's contract, for every kind of waiting:
 *   sleeper:  state := ASLEEP (sequentially consistent exchange), look at all lanes again, wait, take the role back (AWAKE)
 *   producer: publish in the ring, look at the state (a full fence), and who turns ASLEEP into AWAKE rings
 * The fence on both sides is what orders "ring filled" against "went to sleep": one of the two sees the other.
 * Whoever turns ASLEEP into LENT may step the role himself instead of waking its thread, and gives it back (actor.h). So a role's state has one
 * user at any time: its thread while AWAKE, the borrower while LENT or WANTED (its thread waits to have it back), nobody while ASLEEP.
 * Owner: the node owns lanes; Thread: producer and consumer as named by the lane.
 * In the simulator every post is a switch point: the hook may run other roles at once.
 */
#ifndef PIPELINE_MAILBOX_H
#define PIPELINE_MAILBOX_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pipeline/mail.h"
#include "pipeline/ring.h"

enum doorbell_state { DOORBELL_AWAKE, DOORBELL_ASLEEP, DOORBELL_LENT, DOORBELL_WANTED };
struct doorbell {
    atomic_uint state;
    void (*ring)(void *context); /* any thread */
    void *context;
};
void doorbell_init(struct doorbell *bell, void (*ring)(void *context), void *context);
/* Producer side, behind what was published. True: the bell was the sleeper's, and its state is now the given one. */
static inline bool doorbell_claim(struct doorbell *bell, enum doorbell_state state)
{
    /* A read-modify-write is the fence: an exchange that fails would only be a load (C11 7.17.7.4). */
    unsigned asleep = atomic_fetch_add_explicit(&bell->state, 0, memory_order_seq_cst);
    return asleep == DOORBELL_ASLEEP && atomic_compare_exchange_strong_explicit(&bell->state, &asleep, state, memory_order_seq_cst,
                                                                                memory_order_seq_cst);
}
static inline void doorbell_ring(struct doorbell *bell)
{
    if (doorbell_claim(bell, DOORBELL_AWAKE)) bell->ring(bell->context);
}

/* What may happen between two roles at a post (`to`: the consumer's bell) or a publish (NULL); no board in production. */
struct switchboard {
    void (*fn)(void *context, const char *point, const struct doorbell *to);
    void *context;
};
static inline void switchboard_point(const struct switchboard *board, const char *point, const struct doorbell *to)
{
    if (__builtin_expect(board != NULL, 0)) board->fn(board->context, point, to);
}

struct lane {
    const char *name; /* "net→raft" */
    struct ring ring;
    struct doorbell *bell; /* the consumer's */
    const struct switchboard *board;
    bool posted;           /* producer: something since the last ring */
    bool waits_turn;       /* its consumer, asleep, is woken behind those whom the producer's thread steps first (actor.h) */
    bool is_pressing;      /* its consumer's thread comes to it before it steps others (actor.h) */
};
void lane_init(struct lane *lane, const char *name, uint32_t capacity, const struct switchboard *board);
void lane_deinit(struct lane *lane); /* frees what is left inside */

/* Producer. False = full: the mail stays the caller's. */
static inline bool lane_post(struct lane *lane, const struct mail *mail)
{
    if (!ring_push(&lane->ring, mail)) return false;
    lane->posted = true;
    switchboard_point(lane->board, lane->name, lane->bell);
    return true;
}
/* Producer: whether the next mail would be refused. The consumer may make room at any time. */
static inline bool lane_is_full(const struct lane *lane) { return ring_is_full(&lane->ring); }
/* Producer: for lanes that cannot be full by construction. */
static inline void lane_must_post(struct lane *lane, const struct mail *mail)
{
    bool posted = lane_post(lane, mail);
    ASSERT(posted);
}
/* Producer: what the consumer need not be woken for, since it looks before it does anything that depends on it. */
static inline bool lane_post_quietly(struct lane *lane, const struct mail *mail)
{
    bool was_posted = lane->posted;
    bool is_posted = lane_post(lane, mail);
    lane->posted = was_posted;
    return is_posted;
}
static inline void lane_must_post_quietly(struct lane *lane, const struct mail *mail)
{
    bool posted = lane_post_quietly(lane, mail);
    ASSERT(posted);
}
/* Producer, end of step. */
static inline void lane_ring(struct lane *lane)
{
    if (!lane->posted) return;
    lane->posted = false;
    doorbell_ring(lane->bell);
}
/* Consumer. */
static inline bool lane_take(struct lane *lane, struct mail *out_mail) { return ring_pop(&lane->ring, out_mail); }

#endif
