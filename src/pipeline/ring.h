/* ring: a bounded queue of mails from exactly one producer thread to exactly one consumer thread. The one place of Concurrency Kit.
 *
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

struct ring {
    struct ck_ring ring;
    struct mail *slots;
    char pushed; /* names for the sanitizer: what the producer, what the consumer hands over */
    char popped;
};

static inline void ring_init(struct ring *ring, uint32_t capacity)
{
    ASSERT(capacity >= 2 && (capacity & (capacity - 1)) == 0);
    ck_ring_init(&ring->ring, capacity);
    ring->slots = (struct mail *)alloc_zero(capacity, sizeof(struct mail));
}

static inline void ring_deinit(struct ring *ring)
{
    alloc_free(ring->slots);
    ring->slots = NULL;
}

/* Producer. False = full, nothing changed. */
static inline bool ring_push(struct ring *ring, const struct mail *mail)
{
    RING_ACQUIRE(&ring->popped);
    struct mail *slot = ck_ring_enqueue_reserve_spsc_mail(&ring->ring, ring->slots);
    if (slot == NULL) return false;
    *slot = *mail;
    RING_RELEASE(&ring->pushed);
    ck_ring_enqueue_commit_spsc(&ring->ring);
    return true;
}

/* Consumer. False = empty. */
static inline bool ring_pop(struct ring *ring, struct mail *out_mail)
{
    if (ck_ring_size(&ring->ring) == 0) return false;
    RING_ACQUIRE(&ring->pushed);
    bool popped = ck_ring_dequeue_spsc_mail(&ring->ring, ring->slots, out_mail);
    ASSERT(popped);
    RING_RELEASE(&ring->popped);
    return true;
}

/* Either end; a snapshot. */
static inline uint32_t ring_size(const struct ring *ring) { return ck_ring_size(&ring->ring); }

#endif
