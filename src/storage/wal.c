/* wal: the running log: what waits becomes one batch, one write, one fdatasync; segments follow each other; an idle log writes a
 * mark. Bytes, durable marks and the order of syncs: the essay in wal_format.c. Opening: wal_open.c. Recovery: wal_recover.c.
 *
 *   IDLE ── a batch for the current segment ──► WRITE ──► SYNC ──────────────────────────────► IDLE   (durable)
 *     └──── where small ones meet no written byte: FILL ──► WRITE …
 *     └──── a batch that begins a segment ────► WRITE ──► SYNC ──► RENAME ──► SYNC_DIR ──────► IDLE   (durable)
 *
 * Only RENAME may fail and be tried again (a directory without room); WRITE goes to bytes that exist, so any error there, and any
 * failed sync, means that durability cannot be promised: fatal.
 */
#include "storage/wal.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "base/clock.h"
#include "base/mutant.h"
#include "storage/wal_core.h"

/* ---- what is asked of it ---- */

static void wal_queue_reset(struct wal *wal, struct wal_queued *queued, const struct wal_append *append)
{
    const struct wal_reset *reset = &append->reset;
    ASSERT(reset->index > 0 && reset->index >= wal->queue_hard.commit && reset->index <= append->hard.commit);
    ASSERT(reset->term > 0 && reset->term <= append->hard.term && reset->conf.size > 0);
    ASSERT(append->entry_count == 0 || append->entries[0].index == reset->index + 1);
    queued->reset = (struct wal_core_reset){.index = reset->index, .term = reset->term, .conf = blob_copy(reset->conf)};
    wal->queue_last_index = reset->index;
    wal->queue_last_term = reset->term;
}

void wal_append(struct wal *wal, const struct wal_append *append)
{
    ASSERT(append->sequence > wal->queue_sequence);
    struct wal_queued *queued = alloc_new(sizeof *queued + append->entry_count * sizeof *append->entries);
    *queued = (struct wal_queued){.sequence = append->sequence, .hard = append->hard, .entry_count = append->entry_count};
    if (append->reset.is_reset) wal_queue_reset(wal, queued, append);
    for (size_t i = 0; i < append->entry_count; i++) {
        struct raft_entry *entry = &queued->entries[i];
        *entry = append->entries[i];
        ASSERT(entry->index > 0 && entry->index <= wal->queue_last_index + 1);
        ASSERT(i == 0 || entry->index == wal->queue_last_index + 1);
        ASSERT(entry->index > wal->hard.commit); /* what is committed is never overwritten */
        ASSERT(i == 0 || entry->term >= wal->queue_last_term);
        if (entry->data != NULL) (void)blob_ref(entry->data);
        queued->data_bytes += entry->data == NULL ? 0 : entry->data->size;
        wal->queue_last_index = entry->index;
        wal->queue_last_term = entry->term;
    }
    ASSERT(append->hard.commit <= wal->queue_last_index);
    ASSERT(append->hard.term >= wal->queue_last_term);
    ASSERT(append->hard.term >= wal->queue_hard.term && append->hard.commit >= wal->queue_hard.commit);
    wal->queue_sequence = append->sequence;
    wal->queue_hard = append->hard;
    wal->queue_bytes += queued->data_bytes + queued->entry_count * WAL_FORMAT_RECORD;
    list_push_back(&wal->queue, &queued->node);
}

void wal_drop_head(struct wal *wal, uint64_t index)
{
    ASSERT(index <= wal->queue_last_index);
    if (index > wal->old.drop_index) wal->old.drop_index = index;
}

uint64_t wal_durable_sequence(const struct wal *wal)
{
    return wal->durable_sequence;
}

bool wal_is_idle(const struct wal *wal)
{
    return list_is_empty(&wal->queue) && wal->phase == WAL_PHASE_IDLE && !wal->mark_wanted && !wal->spare.in_flight &&
           wal->retired.sequence == 0 && !wal->old.in_flight;
}

void wal_flush_mark(struct wal *wal)
{
    wal->mark_wanted = !wal->last_is_mark || wal->phase != WAL_PHASE_IDLE || !list_is_empty(&wal->queue);
}

void wal_get_stats(const struct wal *wal, struct wal_stats *out_stats)
{
    *out_stats = wal->stats;
    out_stats->first_index = wal_old_first_index(&wal->old, wal->current.first_index);
    out_stats->segments_held = wal->old.count + 1;
    out_stats->disk_bytes = wal->old.bytes + wal->current.capacity + wal_spare_disk_bytes(&wal->spare);
}

static uint64_t wal_reserve(const struct wal *wal)
{
    uint64_t part = wal->current.capacity / 8 / WAL_FORMAT_BLOCK * WAL_FORMAT_BLOCK;
    return part < WAL_CORE_RESERVE_BYTES ? part : WAL_CORE_RESERVE_BYTES;
}

/* Stamps and the ends of blocks cost less than an eighth; a batch's own frame is a block or two. */
static uint64_t wal_on_disk(uint64_t bytes)
{
    return bytes + bytes / 8 + 2 * (uint64_t)WAL_FORMAT_BLOCK;
}

/* Of the append that is next; NULL = none. */
static const struct wal_core_reset *wal_first_reset(const struct wal *wal)
{
    if (list_is_empty(&wal->queue)) return NULL;
    const struct wal_queued *queued = LIST_ENTRY(wal->queue.next, const struct wal_queued, node);
    return queued->reset.index == 0 ? NULL : &queued->reset;
}

bool wal_no_space(const struct wal *wal)
{
    if (wal->phase == WAL_PHASE_RENAME && wal->rename_retry_ns != 0) return true;
    if (!wal->spare.no_space) return false;
    if (wal_first_reset(wal) != NULL) return true; /* it cannot do without a new segment */
    /* One for the next, one for what is already on its way when raft hears of it. */
    uint64_t needed = wal_on_disk(wal->queue_bytes) + 2 * wal_on_disk(wal->options.batch_bytes_max);
    return wal->current.offset + needed + wal_reserve(wal) >= wal->current.capacity;
}

static uint64_t wal_mark_due_ns(const struct wal *wal)
{
    bool is_quiet = wal->phase == WAL_PHASE_IDLE && list_is_empty(&wal->queue) && !wal->last_is_mark;
    if (!is_quiet || wal->options.idle_mark_ns == 0) return CLOCK_NEVER;
    return wal->mark_ns + wal->options.idle_mark_ns;
}

uint64_t wal_deadline_ns(const struct wal *wal)
{
    uint64_t deadline_ns = wal_mark_due_ns(wal);
    if (wal->spare.phase == WAL_SPARE_NO_SPACE && wal->spare.retry_ns < deadline_ns) deadline_ns = wal->spare.retry_ns;
    if (wal->rename_retry_ns != 0 && wal->rename_retry_ns < deadline_ns) deadline_ns = wal->rename_retry_ns;
    if (wal->old.retry_ns != 0 && wal->old.retry_ns < deadline_ns) deadline_ns = wal->old.retry_ns;
    return deadline_ns;
}

/* ---- the batch in flight ---- */

static const uint8_t wal_zeros[WAL_CORE_FILL_BYTES] __attribute__((aligned(FS_DIRECT_ALIGN)));

static struct wal_segment *wal_batch_segment(struct wal *wal) { return wal->next.sequence != 0 ? &wal->next : &wal->current; }

/* A first write to allocated bytes changes metadata, and its sync takes three to four times as long. So zeros are written ahead of small batches, many
 * of which then go over them; a large one is spared being written twice. */
static uint64_t wal_fill_offset(const struct wal_segment *segment)
{
    return segment->filled > segment->offset ? segment->filled : segment->offset;
}

static uint64_t wal_fill_bytes(const struct wal_segment *segment)
{
    uint64_t left = segment->capacity - wal_fill_offset(segment);
    return left < WAL_CORE_FILL_BYTES ? left : WAL_CORE_FILL_BYTES;
}

static void wal_submit(struct wal *wal, enum wal_phase phase, uint64_t now_ns)
{
    ASSERT(!wal->in_flight);
    const struct wal_segment *segment = wal_batch_segment(wal);
    wal->op = (struct fs_op){.file = segment->file, .owner = wal};
    wal->phase = phase;
    switch (phase) {
    case WAL_PHASE_FILL:
        wal->op.kind = FS_PWRITE;
        wal->op.offset = wal_fill_offset(segment);
        wal->op.size = wal_fill_bytes(segment);
        wal->op.data = wal_zeros;
        break;
    case WAL_PHASE_WRITE:
        wal->op.kind = FS_PWRITE;
        wal->op.offset = segment->offset;
        wal->op.size = wal->batch.size;
        wal->op.data = wal->batch.data;
        break;
    case WAL_PHASE_SYNC:
        wal->op.kind = FS_FDATASYNC;
        wal->submitted_ns = now_ns;
        break;
    case WAL_PHASE_RENAME:
        wal->op.kind = FS_RENAME;
        wal->op.path = wal->spare.path;
        wal->op.path2 = segment->path;
        break;
    case WAL_PHASE_SYNC_DIR:
        wal->op.kind = FS_FSYNC_DIR;
        wal->op.path = wal->directory;
        break;
    case WAL_PHASE_IDLE: ASSERT(phase != WAL_PHASE_IDLE); break;
    }
    wal->in_flight = true;
    fs_submit(wal->options.fs, &wal->op);
}

static void wal_submit_batch(struct wal *wal, uint64_t now_ns)
{
    const struct wal_segment *segment = wal_batch_segment(wal);
    wal->usual_batch_bytes = (wal->usual_batch_bytes * (WAL_CORE_FILL_BATCHES - 1) + wal->batch.size) / WAL_CORE_FILL_BATCHES;
    bool is_filled = segment->offset + wal->batch.size <= segment->filled || wal->options.unsafe_no_fsync;
    wal_submit(wal, is_filled || wal->usual_batch_bytes > WAL_CORE_FILL_BATCH_MAX ? WAL_PHASE_WRITE : WAL_PHASE_FILL, now_ns);
}

/* The batch is durable, and with it everything that was appended up to its sequence. */
static void wal_batch_durable(struct wal *wal, uint64_t now_ns)
{
    ASSERT(wal->batch_sequence >= wal->durable_sequence);
    if (wal->next.sequence != 0) {
        ASSERT(wal->retired.sequence == 0);
        wal->last_used_bytes = wal->current.offset;
        const struct wal_segment *full = &wal->current;
        wal_old_add(&wal->old, &(struct wal_old_segment){
                                   .sequence = full->sequence, .first_index = full->first_index, .bytes = full->offset});
        if (wal->next.is_reset) wal->old.void_sequence = wal->next.sequence;
        wal->retired = wal->current;
        wal->retired_truncated = false;
        wal->current = wal->next;
        wal->next = (struct wal_segment){0};
        wal->stats.segments++;
    }
    wal->last_is_mark = wal->batch_is_mark || wal->current.offset == 0;
    wal->current.offset += wal->batch.size;
    if (wal->current.filled < wal->current.offset) wal->current.filled = wal->current.offset;
    wal->durable_batch = wal->next_batch++;
    wal->durable_sequence = wal->batch_sequence;
    wal->mark_ns = now_ns;
    wal->stats.batches++;
    wal->stats.bytes += wal->batch.size;
    wal->stats.entries += wal->batch_entries;
    wal->batch = slice_empty();
    wal->phase = WAL_PHASE_IDLE;
}

static void wal_rename_done(struct wal *wal, uint64_t now_ns)
{
    int error = wal->op.error;
    if (error == 0 || MUTANT(P23)) {
        wal->rename_retry_ns = 0;
        if (wal->options.unsafe_no_fsync || MUTANT(P21)) {
            wal_batch_durable(wal, now_ns);
        } else {
            wal_submit(wal, WAL_PHASE_SYNC_DIR, now_ns);
        }
        return;
    }
    if (error != ENOSPC && error != EDQUOT) fatal("%s: naming a log segment: %s", wal->next.path, strerror(error));
    wal->rename_retry_ns = now_ns + WAL_SPARE_RETRY_NS;
}

static void wal_synced(struct wal *wal, uint64_t now_ns)
{
    if (wal->next.sequence != 0) {
        wal_submit(wal, WAL_PHASE_RENAME, now_ns);
    } else {
        wal_batch_durable(wal, now_ns);
    }
}

static void wal_op_done(struct wal *wal, uint64_t now_ns)
{
    ASSERT(wal->in_flight);
    wal->in_flight = false;
    bool is_synced_again = MUTANT(P18) && wal->op.error != 0 && wal->phase == WAL_PHASE_SYNC;
    if (wal->op.error != 0 && wal->phase != WAL_PHASE_RENAME && !is_synced_again) {
        const char *path = wal->next.sequence != 0 ? wal->next.path : wal->current.path;
        const char *what = wal->phase <= WAL_PHASE_WRITE ? "write" : wal->phase == WAL_PHASE_SYNC ? "sync" : "sync of its name";
        fatal("%s: %s: %s: what was not acknowledged may be lost", path, what, strerror(wal->op.error));
    }
    switch (wal->phase) {
    case WAL_PHASE_FILL: {
        struct wal_segment *segment = wal_batch_segment(wal);
        segment->filled = wal->op.offset + wal->op.size;
        wal->stats.filled += wal->op.size;
        wal_submit(wal, WAL_PHASE_WRITE, now_ns);
        return;
    }
    case WAL_PHASE_WRITE:
        wal->stats.write_ns_last = wal->op.took_ns;
        if (wal->options.unsafe_no_fsync || MUTANT(D21) || (MUTANT(D22) && wal->batch_entries == 0)) {
            wal_synced(wal, now_ns);
        } else {
            wal_submit(wal, WAL_PHASE_SYNC, now_ns);
        }
        return;
    case WAL_PHASE_SYNC:
        if (is_synced_again) {
            wal_submit(wal, WAL_PHASE_SYNC, now_ns);
            return;
        }
        wal->stats.syncs++;
        wal->stats.sync_ns_last = now_ns - wal->submitted_ns; /* between two steps; the whole of it may lie within one */
        if (wal->op.took_ns > wal->stats.sync_ns_last) wal->stats.sync_ns_last = wal->op.took_ns;
        if (wal->stats.sync_ns_last > wal->stats.sync_ns_max) wal->stats.sync_ns_max = wal->stats.sync_ns_last;
        wal_synced(wal, now_ns);
        return;
    case WAL_PHASE_RENAME: wal_rename_done(wal, now_ns); return;
    case WAL_PHASE_SYNC_DIR: wal_batch_durable(wal, now_ns); return;
    case WAL_PHASE_IDLE: ASSERT(wal->phase != WAL_PHASE_IDLE); return;
    }
}

/* ---- planning the next one ---- */

/* Whole appends from the head of the queue; an append is never split, so that a batch's hard state fits its entries. */
static struct wal_plan wal_plan(const struct wal *wal, bool hard_only)
{
    struct wal_plan plan = {.reset = wal_first_reset(wal)};
    if (plan.reset != NULL && hard_only) return (struct wal_plan){0};
    uint64_t entries_max = wal->options.segment_entries_max == 0 ? UINT64_MAX : wal->options.segment_entries_max;
    for (const struct list *node = wal->queue.next; node != &wal->queue; node = node->next) {
        const struct wal_queued *queued = LIST_ENTRY(node, const struct wal_queued, node);
        uint64_t bytes = plan.data_bytes + queued->data_bytes + (plan.records + queued->entry_count) * WAL_FORMAT_RECORD;
        if (hard_only && queued->entry_count > 0) break;
        if (plan.appends > 0 && (plan.reset != NULL || queued->reset.index != 0)) break;
        if (plan.appends > 0 && (bytes > wal->options.batch_bytes_max || BUGGIFY(WAL_ONE_APPEND))) break;
        if (plan.appends > 0 && plan.records + queued->entry_count > entries_max) break;
        if (plan.records == 0 && queued->entry_count > 0) plan.first_index = queued->entries[0].index;
        plan.appends++;
        plan.records += queued->entry_count;
        plan.data_bytes += queued->data_bytes;
    }
    return plan;
}

static bool wal_fits(const struct wal *wal, const struct wal_plan *plan)
{
    if (plan->reset != NULL) return false;
    uint64_t bytes = wal_format_batch_bytes(false, plan->records, plan->data_bytes);
    bool is_hard_only = plan->records == 0 && !plan->is_mark;
    uint64_t reserve = is_hard_only || wal_spare_is_ready(&wal->spare, 1) ? 0 : wal_reserve(wal);
    if (wal->current.offset + bytes + reserve >= wal->current.capacity) return false; /* never quite full: wal_retire shortens it */
    if (wal->options.segment_entries_max == 0 || wal->current.entries == 0 || wal->spare.no_space) return true;
    return wal->current.entries + plan->records <= wal->options.segment_entries_max;
}

static uint64_t wal_spare_bytes(const struct wal *wal)
{
    uint64_t bytes = wal->last_used_bytes * WAL_CORE_GROWTH;
    if (bytes < WAL_CORE_FIRST_BYTES) bytes = WAL_CORE_FIRST_BYTES;
    if (bytes > wal->options.segment_bytes) bytes = wal->options.segment_bytes;
    return (bytes + WAL_CORE_ALIGN - 1) / WAL_CORE_ALIGN * WAL_CORE_ALIGN;
}

static void wal_rotate(struct wal *wal, const struct wal_plan *plan, uint64_t now_ns)
{
    ASSERT(wal->next.sequence == 0 && wal->retired.sequence == 0);
    const struct wal_spare_file spare = wal_spare_take(&wal->spare);
    wal->next.sequence = wal->current.sequence + 1;
    wal->next.is_own = true;
    wal->next.filled = spare.filled;
    wal->next.former = spare.former;
    if (wal->next.former != 0) wal->stats.reused++;
    wal_core_segment_begin(wal, &wal->next, wal_core_first_index(wal, plan), spare.bytes, spare.file);
    wal_core_encode(wal, plan, &wal->next, true);
    wal_submit_batch(wal, now_ns);
}

/* Into the current segment if there is room, else into a new one if that is ready. */
static bool wal_start(struct wal *wal, const struct wal_plan *plan, uint64_t now_ns)
{
    if (wal_fits(wal, plan)) {
        wal_core_encode(wal, plan, &wal->current, false);
        wal_submit_batch(wal, now_ns);
        return true;
    }
    uint64_t needed = wal_core_head_bytes(wal, plan) + WAL_FORMAT_BLOCK;
    if (wal_spare_is_ready(&wal->spare, needed) && !wal->spare.in_flight && wal->retired.sequence == 0) {
        wal_rotate(wal, plan, now_ns);
        return true;
    }
    uint64_t usual = wal_spare_bytes(wal);
    wal_spare_want(&wal->spare, usual > needed ? usual : (needed + WAL_CORE_ALIGN - 1) / WAL_CORE_ALIGN * WAL_CORE_ALIGN);
    return false;
}

/* The mark that covers the last batch. Where there is no room for it now, it comes an idle time later, or not at all at stop. */
static bool wal_start_mark(struct wal *wal, uint64_t now_ns)
{
    if (wal->mark_wanted && wal->last_is_mark) wal->mark_wanted = false;
    if (!wal->mark_wanted && now_ns < wal_mark_due_ns(wal)) return false;
    wal->mark_wanted = false;
    struct wal_plan plan = {.is_mark = true};
    if (wal_start(wal, &plan, now_ns)) return true;
    wal->mark_ns = now_ns;
    return false;
}

static bool wal_start_batch(struct wal *wal, uint64_t now_ns)
{
    ASSERT(wal->phase == WAL_PHASE_IDLE);
    if (wal->mark_ns == 0) wal->mark_ns = now_ns;
    if (list_is_empty(&wal->queue)) return wal_start_mark(wal, now_ns);
    struct wal_plan plan = wal_plan(wal, false);
    if (wal_start(wal, &plan, now_ns)) return true;
    plan = wal_plan(wal, true); /* the reserve is for these */
    if (plan.appends == 0 || !wal_fits(wal, &plan)) return false;
    return wal_start(wal, &plan, now_ns);
}

/* ---- chores beside the batches ---- */

/* What a full segment did not use goes back to the file system; a segment shorter than its head says tells a later start that there was a
 * next one; and of a shortened one it is known what it holds. Nothing depends on it: errors are ignored. */
static bool wal_retire(struct wal *wal)
{
    struct wal_segment *retired = &wal->retired;
    if (retired->sequence == 0 || wal->retired_in_flight) return false;
    wal->retired_op = (struct fs_op){.kind = FS_CLOSE, .file = retired->file, .owner = wal};
    if (!wal->retired_truncated && retired->capacity > retired->offset) {
        wal->retired_op.kind = FS_TRUNCATE;
        wal->retired_op.size = retired->offset;
    }
    wal->retired_in_flight = true;
    fs_submit(wal->chores, &wal->retired_op);
    return true;
}

static void wal_retire_done(struct wal *wal)
{
    ASSERT(wal->retired_in_flight);
    wal->retired_in_flight = false;
    if (wal->retired_op.kind == FS_TRUNCATE) {
        wal->retired_truncated = true;
        if (wal->retired_op.error == 0 && wal->retired.is_own) wal_old_set_whole(&wal->old, wal->retired.sequence);
        return;
    }
    wal->retired.file = NULL;
    wal_core_segment_close(wal, &wal->retired);
}

/* Old segments go, and what was one of them may wait for its next use: not a file larger than it will ever be wanted. */
static bool wal_drop_old(struct wal *wal, uint64_t now_ns)
{
    struct wal_old *old = &wal->old;
    if (wal->suspect_index != 0) return false; /* until then they may be the only place where entries stand that this member has lost */
    bool may_keep = wal_spare_has_room(&wal->spare) && old->count > 0 && old->segments[0].bytes <= wal->options.segment_bytes;
    return wal_old_step(old, wal->current.first_index, wal->retired.sequence, may_keep, now_ns);
}

static void wal_old_gone(struct wal *wal, uint64_t now_ns)
{
    struct wal_old_segment segment;
    wal_old_done(&wal->old, now_ns);
    if (!wal_old_take_kept(&wal->old, &segment)) return;
    wal_spare_keep(&wal->spare, &(struct wal_spare_kept){.sequence = segment.sequence, .bytes = segment.bytes});
}

/* A spare is made when nobody waits, or when the current segment is half full; not while an old segment is just becoming one. */
static bool wal_make_spare(struct wal *wal, uint64_t now_ns)
{
    if (wal->next.sequence != 0) return false; /* it still holds the spare's name */
    bool is_urgent = wal->current.offset >= wal->current.capacity / 2 || wal->spare.phase != WAL_SPARE_NONE;
    if (!is_urgent && !list_is_empty(&wal->queue)) return false;
    if (wal->spare.phase == WAL_SPARE_NONE && wal->old.in_flight) return false;
    if (wal->spare.phase == WAL_SPARE_NONE) wal_spare_want(&wal->spare, wal_spare_bytes(wal));
    return wal_spare_step(&wal->spare, now_ns);
}

static bool wal_take_done_of(struct wal *wal, struct fs *fs, uint64_t now_ns)
{
    bool moved = false;
    for (struct fs_op *op = fs_take_done(fs); op != NULL; op = fs_take_done(fs)) {
        moved = true;
        if (op == &wal->op) {
            wal_op_done(wal, now_ns);
        } else if (op == &wal->spare.op) {
            wal_spare_done(&wal->spare, now_ns);
        } else if (op == &wal->old.op) {
            wal_old_gone(wal, now_ns);
        } else {
            ASSERT(op == &wal->retired_op);
            wal_retire_done(wal);
        }
    }
    return moved;
}

static bool wal_take_done(struct wal *wal, uint64_t now_ns)
{
    bool moved = wal_take_done_of(wal, wal->options.fs, now_ns);
    return (wal->chores != wal->options.fs && wal_take_done_of(wal, wal->chores, now_ns)) || moved;
}

void wal_set_chores(struct wal *wal, struct fs *chores)
{
    ASSERT(chores != NULL && !wal->spare.in_flight && !wal->retired_in_flight && !wal->old.in_flight);
    wal->chores = wal->spare.fs = wal->old.fs = chores;
}

void wal_settle(struct wal *wal)
{
    wal->spare.is_ending = wal->old.is_ending = true;
    (void)wal_take_done(wal, 0);
}

bool wal_step(struct wal *wal, uint64_t now_ns)
{
    bool moved = wal_take_done(wal, now_ns);
    if (wal->phase == WAL_PHASE_IDLE && wal_start_batch(wal, now_ns)) moved = true;
    bool retry_rename = wal->phase == WAL_PHASE_RENAME && !wal->in_flight && now_ns >= wal->rename_retry_ns;
    if (retry_rename) wal_submit(wal, WAL_PHASE_RENAME, now_ns);
    if (wal_take_done(wal, now_ns) || retry_rename) moved = true;
    if (wal_retire(wal)) moved = true;
    if (wal_drop_old(wal, now_ns)) moved = true;
    if (wal_make_spare(wal, now_ns)) moved = true;
    if (wal_take_done(wal, now_ns)) moved = true;
    return moved;
}
