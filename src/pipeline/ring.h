/* ring: a bounded queue of mails from exactly one producer thread to exactly one consumer thread. The one place of Concurrency Kit.
 *
 * Most rings must have room for every call in flight and hardly ever hold more than a few mails; but a ring walks through all of its slots, and
 * so takes their memory. Therefore it has two parts: a small one that is always there, and the rest, which is made when the first is full. A mail
 * goes into the first part only while the rest is empty, so that what is in the first is always older than what is in the rest.
 * Capacity is a power of two; one slot stays free. Producer and consumer words live on cache lines of their own (ck_ring does that).
 * Fences: ck_ring 0.7.1 orders slot and counters by store and load fences that are enough on x86-64, the only architecture we claim.
 * ThreadSanitizer does not see inline assembly, so the hand-over is told to it at the two places where it happens.
 * Owner: embedded; ring_deinit frees the slots. Thread: as named per function.
 */
#ifndef PIPELINE_RING_H
#define PIPELINE_RING_H
#include <ck_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "pipeline/mail.h"

#if defined(__SANITIZE_THREAD__)
#define RING_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RING_TSAN 1
#endif
#endif
#ifdef RING_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define RING_ACQUIRE(address) __tsan_acquire(address)
#define RING_RELEASE(address) __tsan_release(address)
#else
#define RING_ACQUIRE(address) (void)(address)
#define RING_RELEASE(address) (void)(address)
#endif

CK_RING_PROTOTYPE(mail, mail)

#define RING_FIRST_SLOTS 512 /* 32 KiB */

struct ring {
    struct ck_ring first, rest;
    struct mail *first_slots;
    struct mail *rest_slots; /* NULL until the first part was full for the first time */
    uint32_t capacity;
    char pushed; /* names for the sanitizer: what the producer, what the consumer hands over */
    char popped;
};

static inline void ring_init(struct ring *ring, uint32_t capacity)
{
    ASSERT(capacity >= 2 && (capacity & (capacity - 1)) == 0);
    uint32_t first = capacity < RING_FIRST_SLOTS ? capacity : RING_FIRST_SLOTS;
    ck_ring_init(&ring->first, first);
    ck_ring_init(&ring->rest, capacity);
    ring->first_slots = (struct mail *)alloc_new(first * sizeof(struct mail));
    ring->rest_slots = NULL;
    ring->capacity = capacity;
}

static inline void ring_deinit(struct ring *ring)
{
    alloc_free(ring->first_slots);
    alloc_free(ring->rest_slots);
    ring->first_slots = ring->rest_slots = NULL;
}

/* Either end; a snapshot. */
static inline uint32_t ring_size(const struct ring *ring) { return ck_ring_size(&ring->first) + ck_ring_size(&ring->rest); }

/* Producer; the consumer may make room at any time. */
static inline bool ring_is_full(const struct ring *ring) { return ring_size(ring) >= ring->capacity - 1; }

/* Producer: the part that takes the next mail, and its slot. NULL = full. */
static inline struct ck_ring *ring_reserve(struct ring *ring, struct mail **out_slot)
{
    *out_slot = ck_ring_size(&ring->rest) > 0 ? NULL : ck_ring_enqueue_reserve_spsc_mail(&ring->first, ring->first_slots);
    if (*out_slot != NULL) return &ring->first;
    if (ring->capacity <= RING_FIRST_SLOTS || ring_is_full(ring)) return NULL;
    if (ring->rest_slots == NULL) ring->rest_slots = (struct mail *)alloc_new(ring->capacity * sizeof(struct mail));
    *out_slot = ck_ring_enqueue_reserve_spsc_mail(&ring->rest, ring->rest_slots);
    ASSERT(*out_slot != NULL);
    return &ring->rest;
}

/* Producer. False = full, nothing changed. */
static inline bool ring_push(struct ring *ring, const struct mail *mail)
{
    struct mail *slot = NULL;
    RING_ACQUIRE(&ring->popped);
    struct ck_ring *part = ring_reserve(ring, &slot);
    if (part == NULL) return false;
    *slot = *mail;
    RING_RELEASE(&ring->pushed);
    ck_ring_enqueue_commit_spsc(part);
    return true;
}

/* Consumer. False = empty. */
static inline bool ring_pop(struct ring *ring, struct mail *out_mail)
{
    bool has_rest = ck_ring_size(&ring->rest) > 0;
    ck_pr_fence_load(); /* while that was so, nothing came into the first part: all that is there now is older */
    bool is_first = ck_ring_size(&ring->first) > 0;
    if (!is_first && !has_rest) return false;
    RING_ACQUIRE(&ring->pushed);
    bool popped = is_first ? ck_ring_dequeue_spsc_mail(&ring->first, ring->first_slots, out_mail)
                           : ck_ring_dequeue_spsc_mail(&ring->rest, ring->rest_slots, out_mail);
    ASSERT(popped);
    RING_RELEASE(&ring->popped);
    return true;
}

/* What it takes as long as the first part suffices. */
static inline uint64_t ring_bytes(const struct ring *ring) { return (uint64_t)(ring->first.mask + 1) * sizeof(struct mail); }

/* Producer, right after a push: what it pushed. */
static inline const struct mail *ring_newest(const struct ring *ring)
{
    bool is_rest = ck_ring_size(&ring->rest) > 0;
    const struct ck_ring *part = is_rest ? &ring->rest : &ring->first;
    return &(is_rest ? ring->rest_slots : ring->first_slots)[(part->p_tail - 1) & part->mask];
}

#endif
