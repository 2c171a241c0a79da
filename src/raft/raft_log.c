/* raft_log: see raft_log.h. */
#include "raft/raft_log.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"

enum { RUNS_MIN = 16, TAIL_MIN = 64 };

static void log_push_run(struct raft_log *log, uint64_t index, uint64_t term)
{
    ASSERT(term >= raft_log_last_term(log)); /* terms never go back along a log (thesis 3.5) */
    if (log->run_count > 0 && log->runs[log->run_count - 1].term == term) return;
    if (log->run_count == log->run_capacity) {
        log->run_capacity = log->run_capacity == 0 ? RUNS_MIN : log->run_capacity * 2;
        log->runs = alloc_resize(log->runs, log->run_capacity * sizeof(*log->runs));
    }
    log->runs[log->run_count++] = (struct raft_term_run){.first_index = index, .term = term};
}

/* The last run that begins at or before the index; run_count if there is none. */
static size_t log_find_run(const struct raft_log *log, uint64_t index)
{
    size_t low = 0;
    size_t high = log->run_count; /* runs[low..high) may hold it */
    if (high == 0 || log->runs[0].first_index > index) return log->run_count;
    if (log->runs[high - 1].first_index <= index) return high - 1; /* nearly always the youngest term */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->runs[middle].first_index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    ASSERT(log->runs[low].first_index <= index);
    return low;
}

static void log_make_room(struct raft_log *log)
{
    ASSERT(log->head + log->count <= log->capacity);
    if (log->head + log->count < log->capacity) return;
    if (log->capacity > 0 && log->head >= log->capacity / 2) { /* half of it is free in front: slide */
        memmove(log->entries, log->entries + log->head, log->count * sizeof(*log->entries));
        memmove(log->ends, log->ends + log->head, log->count * sizeof(*log->ends));
        log->head = 0;
        return;
    }
    log->capacity = log->capacity == 0 ? TAIL_MIN : log->capacity * 2;
    log->entries = alloc_resize(log->entries, log->capacity * sizeof(*log->entries));
    log->ends = alloc_resize(log->ends, log->capacity * sizeof(*log->ends));
}

/* The running sum up to and with the index, which is in the tail or just before it. */
static uint64_t log_end_of(const struct raft_log *log, uint64_t index)
{
    ASSERT(index + 1 >= log->tail_first && index <= raft_log_last(log));
    return index + 1 == log->tail_first ? log->head_end : log->ends[log->head + (index - log->tail_first)];
}

static void log_drop_first(struct raft_log *log)
{
    ASSERT(log->count > 0 && log->tail_first <= log->applied);
    blob_unref(log->entries[log->head].data);
    log->head_end = log->ends[log->head];
    log->head++;
    log->count--;
    log->tail_first++;
}

static size_t log_tail_bytes(const struct raft_log *log)
{
    return raft_log_bytes(log, log->tail_first, raft_log_last(log));
}

static void log_drop_surplus(struct raft_log *log)
{
    while (log->tail_first <= log->applied && log_tail_bytes(log) > log->tail_bytes_max) log_drop_first(log);
}

void raft_log_init(struct raft_log *log, const struct raft_restore *restore, size_t tail_bytes_max)
{
    ASSERT(restore->applied_index >= restore->snapshot_index);
    ASSERT(restore->entry_count == 0 || restore->entries != NULL);
    bool has_entries = restore->entry_count > 0;
    *log = (struct raft_log){
        .snapshot_index = restore->snapshot_index,
        .snapshot_term = restore->snapshot_term,
        .tail_first = has_entries ? restore->entries[0].index : restore->applied_index + 1,
        .tail_bytes_max = tail_bytes_max,
    };
    ASSERT(log->tail_first > log->snapshot_index && log->tail_first <= restore->applied_index + 1);
    for (size_t i = 0; i < restore->run_count && restore->runs[i].first_index < log->tail_first; i++) {
        log_push_run(log, restore->runs[i].first_index, restore->runs[i].term);
    }
    ASSERT(log->run_count > 0 ? log->runs[0].first_index == log->snapshot_index + 1
                              : log->tail_first == log->snapshot_index + 1);
    log->applied = log->handed = restore->applied_index;
    for (size_t i = 0; i < restore->entry_count; i++) {
        const struct raft_entry *entry = &restore->entries[i];
        ASSERT(entry->index == raft_log_last(log) + 1);
        raft_log_push(log, entry->term, entry->kind, entry->data);
    }
    uint64_t last = raft_log_last(log);
    ASSERT(restore->applied_index <= last && restore->hard.commit <= last);
    log->durable = last;
    log->unsent = last + 1;
    log->commit = restore->hard.commit > log->applied ? restore->hard.commit : log->applied;
    ASSERT(raft_log_is_valid(log));
}

void raft_log_deinit(struct raft_log *log)
{
    if (log == NULL) return;
    for (size_t i = 0; i < log->count; i++) blob_unref(log->entries[log->head + i].data);
    alloc_free(log->entries);
    alloc_free(log->ends);
    alloc_free(log->runs);
    *log = (struct raft_log){.tail_first = 1};
}

bool raft_log_is_valid(const struct raft_log *log)
{
    uint64_t last = raft_log_last(log);
    if (log->tail_first <= log->snapshot_index || log->tail_first > log->applied + 1) return false;
    if (log->applied < log->snapshot_index || log->applied > log->handed) return false;
    bool is_applied_early = log->handed > log->durable && !MUTANT(P13) && !MUTANT(D2);
    if (log->handed > log->commit || is_applied_early || log->commit > last) return false;
    return log->durable < log->unsent && log->unsent <= last + 1 && log->append_count <= RAFT_APPENDS_MAX;
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    if (index == log->snapshot_index) return log->snapshot_term;
    if (index < log->snapshot_index || index > raft_log_last(log)) return 0;
    size_t run = log_find_run(log, index);
    ASSERT(run < log->run_count);
    return log->runs[run].term;
}

const struct raft_entry *raft_log_entry(const struct raft_log *log, uint64_t index)
{
    ASSERT(index >= log->tail_first && index <= raft_log_last(log));
    return &log->entries[log->head + (index - log->tail_first)];
}

size_t raft_log_bytes(const struct raft_log *log, uint64_t first, uint64_t last)
{
    if (last < first) return 0;
    ASSERT(first >= log->tail_first);
    return (size_t)(log_end_of(log, last) - log_end_of(log, first - 1));
}

size_t raft_log_fit(const struct raft_log *log, uint64_t first, uint64_t last, size_t bytes_max)
{
    if (last < first) return 0;
    ASSERT(first >= log->tail_first && last <= raft_log_last(log));
    uint64_t end_max = log_end_of(log, first - 1) + bytes_max;
    const uint64_t *ends = log->ends + log->head + (first - log->tail_first);
    size_t low = 0;
    size_t high = (size_t)(last - first) + 1; /* the answer is in [low, high] */
    if (ends[high - 1] <= end_max) return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ends[middle] <= end_max) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool raft_log_has_room(const struct raft_log *log, uint64_t last, size_t bytes)
{
    size_t waiting = raft_log_bytes(log, log->applied + 1, last);
    return waiting == 0 || waiting + bytes <= log->tail_bytes_max;
}

uint64_t raft_log_last_within(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t last = raft_log_last(log);
    if (index > last) index = last;
    if (index <= log->snapshot_index || log->run_count == 0) return index;
    size_t run = log_find_run(log, index);
    ASSERT(run < log->run_count);
    while (log->runs[run].term > term) {
        index = log->runs[run].first_index - 1;
        if (run == 0) break;
        run--;
    }
    return index;
}

void raft_log_push(struct raft_log *log, uint64_t term, enum raft_entry_kind kind, struct blob *data)
{
    uint64_t index = raft_log_last(log) + 1;
    uint64_t end = log_end_of(log, index - 1);
    log_push_run(log, index, term);
    log_make_room(log);
    size_t place = log->head + log->count;
    log->entries[place] = (struct raft_entry){
        .index = index, .term = term, .kind = kind, .data = data == NULL ? NULL : blob_ref(data)};
    log->ends[place] = end + raft_log_entry_bytes(data);
    log->count++;
    log_drop_surplus(log);
}

void raft_log_truncate(struct raft_log *log, uint64_t from)
{
    ASSERT(from > log->commit); /* what is committed never changes (thesis 3.6.3) */
    ASSERT(from <= raft_log_last(log));
    while (raft_log_last(log) >= from) {
        blob_unref(log->entries[log->head + log->count - 1].data);
        log->count--;
    }
    while (log->run_count > 0 && log->runs[log->run_count - 1].first_index >= from) log->run_count--;
    if (log->durable >= from) log->durable = from - 1;
    if (log->unsent > from) log->unsent = from;
    for (uint32_t i = 0; i < log->append_count; i++) {
        struct raft_log_append *append = &log->appends[(log->append_head + i) % RAFT_APPENDS_MAX];
        if (append->last_index >= from && !MUTANT(P12)) append->last_index = from - 1;
    }
}

void raft_log_apply(struct raft_log *log, uint64_t index)
{
    ASSERT(index >= log->applied && index <= log->handed);
    log->applied = index;
    log_drop_surplus(log);
}

void raft_log_compact(struct raft_log *log, uint64_t index)
{
    ASSERT(index <= log->applied);
    if (index <= log->snapshot_index) return;
    uint64_t term = raft_log_term(log, MUTANT(D18) && index < raft_log_last(log) ? index + 1 : index);
    size_t keep = log_find_run(log, index); /* the run that holds the index may go on behind it */
    while (log->tail_first <= index) log_drop_first(log);
    log->snapshot_index = index;
    log->snapshot_term = term;
    uint64_t run_end = keep + 1 < log->run_count ? log->runs[keep + 1].first_index : raft_log_last(log) + 1;
    if (run_end == index + 1) {
        keep++;
    } else {
        log->runs[keep].first_index = index + 1;
    }
    log->run_count -= keep;
    memmove(log->runs, log->runs + keep, log->run_count * sizeof(*log->runs));
    ASSERT(log->run_count == 0 || log->runs[0].first_index == index + 1);
}

void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term)
{
    ASSERT(term > 0 && (index > log->commit || MUTANT(D13)));
    if (raft_log_last(log) > log->commit && !MUTANT(D14)) raft_log_truncate(log, log->commit + 1); /* appends on their way, too */
    log->commit = log->applied = log->handed = index;
    while (log->count > 0 && log->tail_first <= index) log_drop_first(log);
    if (log->count == 0) log->run_count = 0;
    log->snapshot_index = log->durable = index;
    log->snapshot_term = term;
    if (log->count == 0) log->tail_first = index + 1;
    log->unsent = index + 1;
    ASSERT(raft_log_is_valid(log));
}

void raft_log_sent(struct raft_log *log, uint64_t sequence, uint64_t now_ns)
{
    ASSERT(log->append_count < RAFT_APPENDS_MAX);
    uint32_t place = (log->append_head + log->append_count) % RAFT_APPENDS_MAX;
    log->appends[place] =
        (struct raft_log_append){.sequence = sequence, .last_index = raft_log_last(log), .since_ns = now_ns};
    log->append_count++;
    log->unsent = raft_log_last(log) + 1;
}

bool raft_log_persisted(struct raft_log *log, uint64_t sequence)
{
    bool found = false;
    while (log->append_count > 0 && log->appends[log->append_head].sequence <= sequence) {
        const struct raft_log_append *append = &log->appends[log->append_head];
        if (append->last_index > log->durable) log->durable = append->last_index;
        log->append_head = (log->append_head + 1) % RAFT_APPENDS_MAX;
        log->append_count--;
        found = true;
    }
    ASSERT(log->durable < log->unsent);
    return found;
}

uint64_t raft_log_sequence_of(const struct raft_log *log, uint64_t index)
{
    ASSERT(index <= raft_log_last(log));
    if (index <= log->durable) return 0;
    for (uint32_t i = 0; i < log->append_count; i++) {
        const struct raft_log_append *append = &log->appends[(log->append_head + i) % RAFT_APPENDS_MAX];
        if (append->last_index >= index) return append->sequence;
    }
    return UINT64_MAX;
}
