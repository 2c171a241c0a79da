/* mailbox: set-up and tear-down of lanes and doorbells. */
#include "pipeline/mailbox.h"

void doorbell_init(struct doorbell *bell, void (*ring)(void *context), void *context)
{
    ASSERT(ring != NULL);
    atomic_init(&bell->state, DOORBELL_AWAKE);
    bell->ring = ring;
    bell->context = context;
}

void lane_init(struct lane *lane, const char *name, uint32_t capacity, const struct switchboard *board)
{
    ASSERT(name != NULL);
    lane->name = name;
    lane->bell = NULL;
    lane->board = board;
    lane->posted = false;
    ring_init(&lane->ring, capacity);
}

void lane_deinit(struct lane *lane)
{
    struct mail mail;
    while (lane->ring.first_slots != NULL && lane_take(lane, &mail)) mail_deinit(&mail);
    ring_deinit(&lane->ring);
}
