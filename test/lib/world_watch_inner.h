/* world_watch_inner: what the parts of world_watch share. For test/lib/world_watch*.c only. */
#ifndef TEST_LIB_WORLD_WATCH_INNER_H
#define TEST_LIB_WORLD_WATCH_INNER_H
#include "lib/world_inner.h"

static inline void require(struct world_member *member, bool holds, const char *invariant, uint64_t a, uint64_t b)
{
    if (!holds) world_watch_broken(member->world, invariant, member->number, a, b);
}
/* 0: behind the end of it. */
static inline uint64_t term_of(const struct world_watch_log *log, uint64_t index)
{
    return index == 0 || index > log->last_index ? 0 : log->terms[index];
}

struct world_watch_fact *world_watch_fact(struct world *world, uint64_t index); /* borrowed, until the next one */
void world_watch_log_put(struct world_watch_log *log, uint64_t index, uint64_t term);
void world_watch_renew(struct world_member *member);     /* what the wal role reports durable moves from `issued` to `durable` */

#endif
