/* progress: see progress.h. */
#include "raft/progress.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"

/* Where the logs agree is known anew, or not yet: and so is the road. */
static void clear_window(struct progress *progress)
{
    progress->window = progress->flight_bytes_max < RAFT_PROBE_BYTES_MAX ? progress->flight_bytes_max : RAFT_PROBE_BYTES_MAX;
    progress->flight_head = 0;
    progress->flight_count = 0;
    progress->flight_bytes = 0;
}

void progress_init(struct progress *progress, uint64_t id, const struct raft_options *options)
{
    ASSERT(id != RAFT_NONE);
    ASSERT(options->inflight_messages_max >= 1 && options->inflight_bytes_max >= options->message_bytes_max);
    *progress = (struct progress){
        .id = id,
        .next_index = 1,
        .flights = alloc_zero(options->inflight_messages_max, sizeof(struct progress_flight)),
        .flights_max = options->inflight_messages_max,
        .flight_bytes_max = options->inflight_bytes_max,
        .patience_ns = options->election_timeout_ns,
    };
    clear_window(progress);
}

void progress_deinit(struct progress *progress)
{
    if (progress == NULL) return;
    progress_release_fetched(progress);
    alloc_free(progress->flights);
    progress->flights = NULL;
}

bool progress_is_valid(const struct progress *progress)
{
    if (progress->match_index >= progress->next_index) return false;
    if (progress->flight_count > progress->flights_max) return false;
    if (progress->flight_count == 0 && progress->flight_bytes != 0) return false;
    return progress->flight_count <= 1 || progress->flight_bytes <= progress->flight_bytes_max;
}

void progress_lead(struct progress *progress, uint64_t last_index, uint64_t now_ns)
{
    progress->state = PROGRESS_PROBE;
    progress->match_index = 0;
    progress->next_index = last_index + 1;
    progress->commit_sent = 0;
    progress->is_paused = false;
    progress->is_nudged = false;
    progress->heard_ns = now_ns;
    progress->round_acked = 0;
    clear_window(progress);
    progress_release_fetched(progress);
    ASSERT(progress_is_valid(progress));
}

void progress_become_probe(struct progress *progress)
{
    progress->state = PROGRESS_PROBE;
    progress->next_index = progress->match_index + 1;
    progress->commit_sent = 0;
    progress->is_paused = false;
    progress->is_nudged = false;
    clear_window(progress);
    progress_release_fetched(progress);
    ASSERT(progress_is_valid(progress));
}

void progress_become_snapshot(struct progress *progress, uint64_t needed_index)
{
    ASSERT(needed_index > progress->match_index);
    progress_become_probe(progress);
    progress->state = PROGRESS_SNAPSHOT;
    progress->needed_index = needed_index;
}

/* The youngest flight that was acknowledged took so long; what was in flight before, and how much of it was acknowledged. Of a window that
 * was never filled nothing is known about a fuller one. */
static void adapt_window(struct progress *progress, uint64_t took_ns, size_t before, size_t acknowledged)
{
    size_t least = progress->flight_bytes_max < RAFT_PROBE_BYTES_MAX ? progress->flight_bytes_max : RAFT_PROBE_BYTES_MAX;
    if (took_ns > progress->patience_ns / 2) {
        progress->window = progress->window / 2 > least ? progress->window / 2 : least;
    } else if (took_ns <= progress->patience_ns / 4 && before >= progress->window / 2) {
        size_t room = progress->flight_bytes_max - progress->window;
        progress->window += acknowledged < room ? acknowledged : room;
    }
    ASSERT(progress->window >= least && progress->window <= progress->flight_bytes_max);
}

bool progress_acknowledge(struct progress *progress, uint64_t index, uint64_t now_ns)
{
    if (index < progress->match_index) return false;
    bool is_news = index > progress->match_index;
    size_t before = progress->flight_bytes;
    uint64_t sent_ns = 0;
    progress->match_index = index;
    if (progress->next_index <= index) progress->next_index = index + 1;
    if (progress->state == PROGRESS_PROBE) {
        progress->state = PROGRESS_REPLICATE;
        progress->next_index = index + 1;
        progress->is_paused = false;
        clear_window(progress);
    }
    while (progress->flight_count > 0 && progress->flights[progress->flight_head].last_index <= index) {
        sent_ns = progress->flights[progress->flight_head].sent_ns;
        progress->flight_bytes -= progress->flights[progress->flight_head].bytes;
        progress->flight_head = (progress->flight_head + 1) % progress->flights_max;
        progress->flight_count--;
    }
    if (progress->flight_bytes < before) adapt_window(progress, now_ns - sent_ns, before, before - progress->flight_bytes);
    ASSERT(progress_is_valid(progress));
    return is_news;
}

bool progress_refuse(struct progress *progress, uint64_t refused, uint64_t hint_index)
{
    if (progress->state == PROGRESS_SNAPSHOT) return false; /* what it refused was sent before */
    /* A probe is refused only at its own previous index; else the answer belongs to an older message. Ahead of acknowledgements
     * everything below match is older. Refusing match itself is not: the peer has lost its tail (its disk was damaged). */
    if (progress->state == PROGRESS_PROBE && refused != progress->next_index - 1) return false;
    if (progress->state != PROGRESS_PROBE && refused < progress->match_index) return false;
    uint64_t agree = hint_index < refused ? hint_index : (refused == 0 ? 0 : refused - 1);
    bool was_probe = progress->state == PROGRESS_PROBE;
    if (refused <= progress->match_index && agree < progress->match_index) progress->match_index = agree;
    progress_become_probe(progress);
    if (was_probe && agree > progress->match_index) progress->next_index = agree + 1;
    ASSERT(progress_is_valid(progress));
    return true;
}

size_t progress_room(const struct progress *progress)
{
    ASSERT(progress->flight_count <= progress->flights_max);
    if (progress->flight_count == progress->flights_max) return 0;
    if (progress->flight_bytes >= progress->window) return 0;
    if (progress->flight_count > 0 && BUGGIFY(WINDOW_ONE)) return 0;
    return progress->window - progress->flight_bytes;
}

void progress_sent(struct progress *progress, uint64_t last_index, size_t bytes, uint64_t now_ns)
{
    ASSERT(progress->flight_count < progress->flights_max);
    ASSERT(progress->state != PROGRESS_PROBE && progress->state != PROGRESS_SNAPSHOT && last_index >= progress->next_index);
    uint32_t place = (progress->flight_head + progress->flight_count) % progress->flights_max;
    progress->flights[place] = (struct progress_flight){.last_index = last_index, .bytes = bytes, .sent_ns = now_ns};
    progress->flight_count++;
    progress->flight_bytes += bytes;
    progress->next_index = last_index + 1;
    ASSERT(progress_is_valid(progress));
}

void progress_keep_fetched(struct progress *progress, const struct raft_entry *entries, size_t count)
{
    ASSERT(progress->fetched == NULL && count > 0);
    progress->fetched = alloc_zero(count, sizeof(*entries));
    memcpy(progress->fetched, entries, count * sizeof(*entries));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].data != NULL) blob_ref(entries[i].data);
    }
    progress->fetched_count = count;
    progress->is_fetched_sent = false;
}

void progress_release_fetched(struct progress *progress)
{
    for (size_t i = 0; i < progress->fetched_count; i++) blob_unref(progress->fetched[i].data);
    alloc_free(progress->fetched);
    progress->fetched = NULL;
    progress->fetched_count = 0;
    progress->is_fetched_sent = false;
}
