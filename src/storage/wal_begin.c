/* wal_begin: where the log begins. See wal_begin.h. */
#include "storage/wal_begin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"

void wal_begin_at(struct wal_recover *recover, uint64_t index, uint64_t prev_term)
{
    struct wal_recovered *found = &recover->found;
    ASSERT(index > 0 && index <= recover->options->snapshot_index + 1);
    ASSERT(recover->final_index == recover->options->snapshot_index);
    while (found->pending_count > recover->pending_start) blob_unref(found->pending[--found->pending_count].data);
    wal_conf_cut(&recover->conf, recover->options->snapshot_index + 1);
    found->run_count = 0;
    found->first_index = index;
    found->prev_term = prev_term;
    found->last_index = index - 1;
    recover->last_term = prev_term;
    recover->begins_anew = false;
}

/* ---- before reading ---- */

/* Names are listed in order, so the first step that is not one of 1 tells which file it is about. */
static enum err refuse_gap(struct wal_recover *recover, size_t at)
{
    const struct wal_reader *reader = &recover->reader;
    ASSERT(at > 0 && at < reader->segment_count);
    char *path = wal_reader_path(reader, at);
    uint64_t expected = reader->segments[at - 1].sequence + 1;
    bool is_twice = reader->segments[at].sequence < expected;
    recover->damage_sequence = reader->segments[at].sequence;
    enum err err = wal_recover_refuse(recover, ERR_CORRUPT,
                                      is_twice ? "%s: corrupt at offset 0: another segment has the same number; %" PRIx64 " is next"
                                               : "%s: corrupt at offset 0: segments before it are missing, from number %" PRIx64 " on",
                                      path, expected);
    alloc_free(path);
    return err;
}

/* The newest segment that voids those before it. */
static enum err find_reset(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    for (size_t at = 0; at < reader->segment_count; at++) {
        reader->error = wal_reader_head(reader, at);
        if (reader->error != 0) {
            char *path = wal_reader_path(reader, at);
            enum err err = wal_recover_refuse(recover, ERR_STOPPED, "%s: cannot be read: %s", path, strerror(reader->error));
            alloc_free(path);
            return err;
        }
        if (!reader->segments[at].is_reset || MUTANT(D24)) continue;
        recover->start = at;
        recover->void_sequence = reader->segments[at].sequence;
    }
    return ERR_OK;
}

/* It is read as if a snapshot reached to its beginning: for its term and vote, its configuration, and how far it went. */
static void read_headless(struct wal_recover *recover)
{
    const struct wal_conf_item *conf = wal_conf_newest(&recover->conf);
    recover->is_headless = true;
    recover->given = recover->options;
    recover->given_conf = conf == NULL ? NULL : blob_ref(conf->data);
    recover->headless = *recover->options;
    recover->headless.snapshot_index = recover->final_index = recover->reader.segments[recover->start].first_index - 1;
    recover->options = &recover->headless;
    wal_conf_deinit(&recover->conf);
    wal_conf_init(&recover->conf);
}

/* A directory whose sync failed may bring back a segment that was removed, in front of a hole: where the state is lost as well, what stands
 * before the hole is of no use, and the log behind it is read as any other without its head. */
static bool is_lost_before(const struct wal_recover *recover, size_t gap)
{
    const struct wal_options *options = recover->options;
    const struct wal_reader_segment *segments = recover->reader.segments;
    if (!options->may_ask_others || segments[gap].first_index <= options->snapshot_index + 1) return false;
    return options->snapshot_index == 0 || segments[recover->start].first_index > options->snapshot_index + 1;
}

/* Behind the last hole for which something stands; without a way over one it is refused. */
static enum err pass_gaps(struct wal_recover *recover)
{
    const struct wal_reader *reader = &recover->reader;
    uint64_t snapshot_index = recover->options->snapshot_index;
    for (size_t gap = wal_reader_gap(reader, recover->start + 1); gap < reader->segment_count;
         gap = wal_reader_gap(reader, recover->start + 1)) {
        const struct wal_reader_segment *segment = &reader->segments[gap];
        bool is_twice = segment->sequence == reader->segments[gap - 1].sequence;
        bool is_covered = snapshot_index > 0 && segment->first_index <= snapshot_index + 1;
        if (is_twice || (!is_covered && !is_lost_before(recover, gap))) return refuse_gap(recover, gap);
        recover->start = gap;
        if (!is_covered) continue;
        (void)snprintf(recover->begin_message, sizeof recover->begin_message,
                       "log segments before number %" PRIx64 " are missing: the snapshot at index %" PRIu64 " stands for them",
                       segment->sequence, snapshot_index);
    }
    return ERR_OK;
}

enum err wal_begin_find(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    ASSERT(reader->segment_count > 0);
    enum err err = find_reset(recover);
    if (err == ERR_OK) err = pass_gaps(recover);
    if (err != ERR_OK) return err;
    bool is_headless = reader->segments[recover->start].first_index > recover->options->snapshot_index + 1;
    if (is_headless && recover->options->may_ask_others) read_headless(recover);
    wal_reader_rewind(reader, recover->start);
    return ERR_OK;
}

/* ---- damage ---- */

struct wal_begin_damage wal_begin_damage(const struct wal_recover *recover)
{
    const struct wal_reader *reader = &recover->reader;
    struct wal_begin_damage damage = {.at = reader->at, .is_inside = reader->offset > 0 && reader->head_ok};
    if (reader->at == reader->segment_count || !damage.is_inside) return damage;
    damage.position = (struct wal_reader_position){
        .sequence = reader->segments[reader->at].sequence, .offset = reader->offset, .batch = reader->next_batch};
    return damage;
}

/* Nothing above the snapshot can have stood before this batch and still count. */
static bool is_covered(const struct wal_format_batch *batch, uint64_t snapshot_index)
{
    struct wal_format_records records = wal_format_records(batch);
    struct wal_format_record record;
    while (wal_format_record_next(&records, &record)) {
        if (record.kind == WAL_FORMAT_ENTRY) return record.index <= snapshot_index + 1;
    }
    return batch->last_index <= snapshot_index;
}

/* The next intact batch of the segment that is damaged. */
static bool seek_inside(struct wal_recover *recover, const struct wal_begin_damage *damage)
{
    struct wal_reader *reader = &recover->reader;
    if (!damage->is_inside || !wal_reader_seek(reader, &damage->position)) return false;
    struct wal_format_batch batch;
    enum wal_reader_verdict verdict = wal_reader_next(reader, &batch);
    while (verdict == WAL_READER_END && reader->at == damage->at && wal_reader_skip(reader)) verdict = wal_reader_next(reader, &batch);
    if (verdict != WAL_READER_BATCH || reader->at != damage->at) return false;
    return is_covered(&batch, recover->options->snapshot_index) && wal_reader_seek(reader, &reader->last);
}

/* The next segment whose first batch is intact. Where a segment's first block lies over that of the one before it, the reader finds nothing
 * to read in that one and goes on to the next: the batch is not of the segment that was asked about. */
static bool seek_segment(struct wal_recover *recover, size_t at)
{
    struct wal_reader *reader = &recover->reader;
    for (; at < reader->segment_count; at++) {
        struct wal_format_batch batch;
        if (reader->segments[at].first_index > recover->options->snapshot_index + 1) continue; /* a later one may begin earlier */
        wal_reader_rewind(reader, at);
        if (wal_reader_next(reader, &batch) != WAL_READER_BATCH || reader->at != at || reader->last.offset != 0) continue;
        wal_reader_rewind(reader, at);
        if (recover->sequence == 0) recover->start = at;
        return true;
    }
    return false;
}

bool wal_begin_behind(struct wal_recover *recover, const struct wal_begin_damage *damage)
{
    uint64_t snapshot_index = recover->options->snapshot_index;
    if (snapshot_index == 0 || recover->final_index > snapshot_index || recover->is_headless) return false;
    if (!seek_inside(recover, damage) && !seek_segment(recover, damage->at + 1)) return false;
    recover->begins_anew = true;
    (void)snprintf(recover->begin_message, sizeof recover->begin_message,
                   "%.240s: the log begins behind it, for the snapshot at index %" PRIu64 " stands for what is lost",
                   recover->found.message, snapshot_index);
    recover->found.message[0] = '\0';
    return true;
}

/* ---- the snapshot ---- */

/* 0 = not known. */
static uint64_t term_at(const struct wal_recovered *found, uint64_t index)
{
    ASSERT(index + 1 >= found->first_index && index <= found->last_index);
    size_t run = found->run_count;
    while (run > 0 && found->runs[run - 1].first_index > index) run--;
    return run == 0 ? found->prev_term : found->runs[run - 1].term;
}

static void begin_behind_snapshot(struct wal_recover *recover, const char *reason)
{
    struct wal_recovered *found = &recover->found;
    const struct wal_options *options = recover->options;
    size_t used = strlen(recover->begin_message);
    (void)snprintf(recover->begin_message + used, sizeof recover->begin_message - used, "%s%s: it begins anew behind the snapshot at index %" PRIu64,
                   used > 0 ? "; " : "", reason, options->snapshot_index);
    wal_begin_at(recover, options->snapshot_index + 1, options->snapshot_term);
    found->last_index = options->snapshot_index;
    found->is_reset = true;
    recover->needs_segment = true;
    if (MUTANT(D26)) found->hard.vote = RAFT_NONE;
}

/* Does the log hold the snapshot's last entry? Where that was lost, at least the terms behind it must not go back. */
static bool leads_through(const struct wal_recovered *found, uint64_t index, uint64_t term)
{
    uint64_t found_term = term_at(found, index);
    if (found_term != 0) return found_term == term;
    return found->run_count == 0 || found->runs[0].term >= term;
}

/* Where the entry before the oldest one was removed, its term is not known: the log is said to begin one entry later. */
static void know_prev_term(struct wal_recover *recover)
{
    struct wal_recovered *found = &recover->found;
    if (found->first_index == 1 || found->prev_term != 0) return;
    if (found->first_index == recover->options->snapshot_index + 1) {
        found->prev_term = recover->options->snapshot_term;
        return;
    }
    ASSERT(found->run_count > 0 && found->runs[0].first_index == found->first_index);
    found->prev_term = found->runs[0].term;
    found->runs[0].first_index = ++found->first_index;
    bool is_over = found->run_count > 1 ? found->runs[1].first_index == found->first_index : found->last_index < found->first_index;
    if (is_over) memmove(found->runs, found->runs + 1, --found->run_count * sizeof *found->runs);
}

static enum err refuse_headless(struct wal_recover *recover, uint64_t first_index)
{
    char *path = wal_reader_path(&recover->reader, recover->start);
    recover->damage_sequence = recover->reader.segments[recover->start].sequence;
    recover->damage_offset = 0;
    enum err err = wal_recover_refuse(recover, ERR_CORRUPT,
                                      "%s: corrupt at offset 0: the log begins at index %" PRIu64 ", but the state without it ends at %" PRIu64
                                      ": older segments are missing",
                                      path, first_index, recover->given->snapshot_index);
    alloc_free(path);
    return err;
}

/* What the log stood on is gone, and only the others can give it back. Its entries are of no use without it, but may have been acknowledged:
 * all of them count as lost. Who is alone has nobody to ask; and who the voters are must be known. */
static enum err begin_without_state(struct wal_recover *recover)
{
    struct wal_recovered *found = &recover->found;
    const struct wal_options *given = recover->given;
    uint64_t read_index = recover->headless.snapshot_index + 1;
    const struct wal_conf_item *newest = wal_conf_newest(&recover->conf);
    struct blob *conf = newest == NULL ? NULL : blob_ref(newest->data);
    bool is_other = recover->given_conf != NULL && (conf == NULL || !slice_equal(blob_slice(recover->given_conf), blob_slice(conf)));
    if (conf == NULL || is_other || wal_recover_is_alone(recover)) {
        blob_unref(conf);
        return refuse_headless(recover, read_index);
    }
    if (!MUTANT(D116)) wal_recover_suspect(recover, recover->last_term, found->last_index);
    (void)snprintf(recover->begin_message, sizeof recover->begin_message,
                   "%.200s: the log begins at index %" PRIu64 ", but the state without it ends at %" PRIu64
                   ": the others have to give it; not campaigning until the cluster has passed index %" PRIu64 " of term %" PRIu64,
                   given->directory, read_index, given->snapshot_index, recover->suspect_index, recover->suspect_term);
    recover->options = given;
    recover->final_index = given->snapshot_index;
    wal_begin_at(recover, given->snapshot_index + 1, given->snapshot_index == 0 ? 0 : given->snapshot_term);
    wal_conf_deinit(&recover->conf);
    wal_conf_init(&recover->conf);
    wal_conf_push(&recover->conf, given->snapshot_index, conf);
    blob_unref(conf);
    found->hard.commit = given->snapshot_index;
    found->is_reset = found->is_without_state = true;
    recover->needs_segment = true;
    return ERR_OK;
}

enum err wal_begin_with_snapshot(struct wal_recover *recover)
{
    enum err err = recover->is_headless ? begin_without_state(recover) : ERR_OK;
    if (err != ERR_OK) return err;
    struct wal_recovered *found = &recover->found;
    const struct wal_options *options = recover->options;
    uint64_t index = options->snapshot_index;
    if (index == 0) return ERR_OK;
    ASSERT(options->snapshot_term > 0);
    if (found->last_index < index) {
        begin_behind_snapshot(recover, "the log ends before the snapshot");
    } else if (!leads_through(found, index, options->snapshot_term)) {
        if (found->hard.commit >= index) {
            return wal_recover_refuse(recover, ERR_CORRUPT,
                                      "%s: entry %" PRIu64 " is committed here, but not in term %" PRIu64 " as the snapshot says",
                                      options->directory, index, options->snapshot_term);
        }
        begin_behind_snapshot(recover, "the log leads elsewhere");
    }
    know_prev_term(recover);
    if (found->hard.commit < index) found->hard.commit = index;
    if (found->hard.term >= options->snapshot_term) return ERR_OK;
    found->hard.term = options->snapshot_term; /* the member that sent the snapshot was at least in this term */
    found->hard.vote = RAFT_NONE;
    return ERR_OK;
}
