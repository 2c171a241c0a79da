/* read: see read.h. */
#include "raft/read.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"

static uint64_t pop(struct read_queue *reads)
{
    ASSERT(reads->count > 0);
    uint64_t context = reads->contexts[reads->head];
    reads->head = (reads->head + 1) % RAFT_READS_MAX;
    reads->count--;
    return context;
}

void read_init(struct read_queue *reads)
{
    *reads = (struct read_queue){
        .contexts = alloc_new(RAFT_READS_MAX * sizeof(uint64_t)),
        .confirmed = alloc_new(RAFT_READS_MAX * sizeof(struct raft_read)),
        .lost = alloc_new(RAFT_READS_MAX * sizeof(uint64_t)),
    };
}

void read_deinit(struct read_queue *reads)
{
    if (reads == NULL) return;
    alloc_free(reads->contexts);
    alloc_free(reads->confirmed);
    alloc_free(reads->lost);
    *reads = (struct read_queue){.contexts = NULL};
}

enum raft_answer read_add(struct read_queue *reads, uint64_t context)
{
    /* Contexts only move from one array to another, so this bounds all three. */
    if (reads->count + reads->confirmed_count + reads->lost_count >= RAFT_READS_MAX) return RAFT_FULL;
    reads->contexts[(reads->head + reads->count) % RAFT_READS_MAX] = context;
    reads->count++;
    return RAFT_OK;
}

/* Contexts whose round is in flight; what is behind them in the queue waits. */
static uint32_t in_flight(const struct read_queue *reads)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < reads->round_count; i++) count += reads->rounds[i].count;
    ASSERT(reads->round_count <= RAFT_READ_ROUNDS_MAX && count <= reads->count);
    return count;
}

bool read_start(struct read_queue *reads, uint64_t commit_index, uint64_t now_ns)
{
    uint32_t waiting = reads->count - in_flight(reads);
    if (reads->round_count == RAFT_READ_ROUNDS_MAX || waiting == 0 || BUGGIFY(READ_LATE)) return false;
    ASSERT(reads->round_count == 0 || commit_index >= reads->rounds[reads->round_count - 1].index);
    reads->rounds[reads->round_count++] = (struct read_round){
        .number = ++reads->round, .index = commit_index, .started_ns = now_ns, .count = waiting};
    return true;
}

static bool is_confirmed(const struct read_round *first, uint64_t round)
{
    return first->number <= round || (MUTANT(P9) && round > 0 && first->number == round + 1);
}

void read_confirm(struct read_queue *reads, uint64_t round)
{
    ASSERT(round <= reads->round);
    while (reads->round_count > 0 && is_confirmed(&reads->rounds[0], round)) {
        struct read_round first = reads->rounds[0];
        reads->round_count--;
        memmove(reads->rounds, reads->rounds + 1, reads->round_count * sizeof(first));
        ASSERT(first.count > 0 && first.count <= reads->count);
        for (uint32_t i = 0; i < first.count; i++) {
            reads->confirmed[reads->confirmed_count++] =
                (struct raft_read){.context = pop(reads), .index = first.index, .started_ns = first.started_ns};
        }
    }
    ASSERT(reads->confirmed_count <= RAFT_READS_MAX);
}

void read_lose_all(struct read_queue *reads)
{
    reads->round_count = 0;
    while (reads->count > 0) reads->lost[reads->lost_count++] = pop(reads);
    ASSERT(reads->lost_count <= RAFT_READS_MAX);
}

void read_forget_output(struct read_queue *reads)
{
    reads->confirmed_count = 0;
    reads->lost_count = 0;
}
