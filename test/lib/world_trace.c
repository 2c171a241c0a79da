/* world_trace: the last events of a world in a ring. See world_watch.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/world_inner.h"

static struct world_trace own, *in_use = &own;

struct world_trace *world_trace(void) { return in_use; }
void world_trace_use(struct world_trace *trace) { in_use = trace; }

/* Tells one event from another: the first bytes of its name and the last ones. */
static uint64_t ends_of(const char *what)
{
    uint32_t first = 0, last = 0;
    size_t length = strlen(what), size = length < sizeof(first) ? length : sizeof(first);
    memcpy(&first, what, size);
    memcpy(&last, what + length - size, size);
    return (uint64_t)first << 32 ^ last ^ length;
}

void world_note(struct world *world, const char *what, uint64_t member, uint64_t a, uint64_t b)
{
    struct world_trace *trace = world_trace();
    trace->events[trace->count++ % WORLD_TRACE_EVENTS] =
        (struct world_trace_event){.what = what, .now_ns = world->now_ns, .member = member, .a = a, .b = b};
    world_mix(world, ends_of(what));
    world_mix(world, world->now_ns);
    world_mix(world, member << 56 ^ a << 20 ^ b);
}

void world_trace_print(const struct world_trace *trace, uint32_t events_max)
{
    uint64_t count = trace->count < WORLD_TRACE_EVENTS ? trace->count : WORLD_TRACE_EVENTS;
    if (count > events_max) count = events_max;
    fprintf(stderr, "seed %" PRIu64 ": %s\noptions: %s\n", trace->seed, trace->broken[0] == '\0' ? "it died" : trace->broken,
            trace->options);
    for (uint64_t i = trace->count - count; i < trace->count; i++) {
        const struct world_trace_event *event = &trace->events[i % WORLD_TRACE_EVENTS];
        fprintf(stderr, "  %12.6f m%" PRIu64 " %-16s %" PRIu64 " %" PRIu64 "\n", (double)event->now_ns / 1e9, event->member, event->what,
                event->a, event->b);
    }
}

static void print_member(const struct world_member *member)
{
    const struct world *world = member->world;
    fprintf(stderr, "  m%u: up %d ready %d paused %d speed %d running %x more %x peer events %u", member->number, member->is_up,
            member->is_ready, member->pause_until_ns > world->now_ns, (int)member->speed, member->running, member->more,
            member->peers.count);
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct world_link *link = &world->links[member->number][i];
        if (i != member->number) fprintf(stderr, " %s%s>m%u:%u", link->is_up ? "" : "!", link->owes_sent ? "~" : "", i, link->count);
    }
    fprintf(stderr, "\n");
    if (!member->is_up || member->line.net.calls == NULL) return;
    struct buf text;
    buf_init(&text);
    raft_describe_status(member->line.raft.raft, &text);
    buf_put_u8(&text, 0);
    const struct raft_actor *raft = &member->line.raft;
    fprintf(stderr, "      %s\n      calls %zu reads %u backlog %u posted %" PRIu64 " applied %" PRIu64 " wal idle %d no space %d\n",
            (const char *)buf_slice(&text).data, raft->pending.by_counter.count, raft->read_count, raft->backlog_count,
            raft->posted_index, state_machine_applied_index(member->line.apply.machine), wal_is_idle(member->line.wal.wal),
            wal_no_space(member->line.wal.wal));
    for (uint32_t i = 0; i < member->line.lane_count; i++) {
        const struct lane *lane = &member->line.lanes[i];
        if (ring_size(&lane->ring) > 0) fprintf(stderr, "      %s: %u\n", lane->name, ring_size(&lane->ring));
    }
    buf_deinit(&text);
}

_Noreturn void world_watch_broken(struct world *world, const char *invariant, uint64_t member, uint64_t a, uint64_t b)
{
    struct world_trace *trace = world_trace();
    snprintf(trace->broken, sizeof(trace->broken), "%s (m%" PRIu64 ", %" PRIu64 ", %" PRIu64 ")", invariant, member, a, b);
    fprintf(stderr, "broken: %s\n", trace->broken);
    for (uint32_t i = 0; i < world->options.members; i++) print_member(&world->members[i]);
    abort();
}
