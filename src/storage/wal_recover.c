/* wal_recover: one pass over the log at start. What is CLEAN, TORN, SUSPECT, CORRUPT: the essay in wal_format.c. */
#include "storage/wal_recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/wal_begin.h"

void wal_recover_init(struct wal_recover *recover, const struct wal_options *options, wal_entry_fn *entry_fn, void *context)
{
    ASSERT(options != NULL);
    ASSERT(entry_fn != NULL);
    *recover = (struct wal_recover){
        .options = options, .entry_fn = entry_fn, .context = context, .final_index = options->snapshot_index};
    wal_reader_init(&recover->reader, options->fs, options->directory);
    wal_conf_init(&recover->conf);
}

void wal_recover_deinit(struct wal_recover *recover)
{
    if (recover == NULL) return;
    wal_reader_deinit(&recover->reader);
    wal_conf_deinit(&recover->conf);
    blob_unref(recover->given_conf);
    recover->given_conf = NULL;
    if (recover->found.pending != NULL) {
        for (size_t i = recover->pending_start; i < recover->found.pending_count; i++) {
            blob_unref(recover->found.pending[i].data);
        }
        alloc_free(recover->found.pending);
        recover->found.pending = NULL;
        recover->found.pending_count = 0;
    }
    wal_recovered_deinit(&recover->found);
}

void wal_recovered_deinit(struct wal_recovered *recovered)
{
    if (recovered == NULL) return;
    wal_entries_free(recovered->pending, recovered->pending_count);
    alloc_free(recovered->runs);
    blob_unref(recovered->conf);
    *recovered = (struct wal_recovered){0};
}

enum err wal_recover_refuse(struct wal_recover *recover, enum err err, const char *format, ...)
{
    ASSERT(err != ERR_OK);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(recover->found.message, sizeof recover->found.message, format, arguments);
    va_end(arguments);
    return err;
}

static enum err refuse_io(struct wal_recover *recover)
{
    const char *path = recover->reader.path != NULL ? recover->reader.path : recover->options->directory;
    return wal_recover_refuse(recover, ERR_STOPPED, "%s: cannot be read: %s", path, strerror(recover->reader.error));
}

static enum err refuse_corrupt(struct wal_recover *recover, uint64_t offset, const char *reason)
{
    recover->damage_sequence = recover->reader.segments[recover->reader.at].sequence;
    recover->damage_offset = offset;
    return wal_recover_refuse(recover, ERR_CORRUPT, "%s: corrupt at offset %" PRIu64 ": %s", recover->reader.path, offset, reason);
}

static enum err refuse_format(struct wal_recover *recover)
{
    const struct wal_format_head *head = &recover->reader.head;
    return wal_recover_refuse(recover, ERR_STOPPED,
                              "%s: written in format %u.%u with incompatible features %" PRIx64 " and checksum kind %u; this "
                              "program knows format %u, features %" PRIx64 " and checksum kind %u: a newer program must open it",
                              recover->reader.path, head->major, head->minor, head->features, head->checksum_kind, WAL_FORMAT_MAJOR,
                              WAL_FORMAT_FEATURES_KNOWN, WAL_FORMAT_CHECKSUM_CRC32C);
}

/* ---- taking in batches ---- */

/* The oldest segment claims to begin where the next one does, as if it held no batch: each holds one. */
static enum err refuse_skipped(struct wal_recover *recover)
{
    char *path = wal_reader_path(&recover->reader, recover->start);
    recover->damage_sequence = recover->reader.segments[recover->start].sequence;
    enum err err = wal_recover_refuse(recover, ERR_CORRUPT,
                                      "%s: corrupt at offset 0: the segment's head does not belong to this file name", path);
    alloc_free(path);
    return err;
}

static enum err check_head(struct wal_recover *recover)
{
    const struct wal_reader *reader = &recover->reader;
    const struct wal_format_head *head = &reader->head;
    const struct wal_reader_segment *segment = &reader->segments[reader->at];
    const struct wal_options *options = recover->options;
    ASSERT(reader->head_ok);
    if (recover->sequence == 0 && reader->at > recover->start) return refuse_skipped(recover);
    if (head->cluster_id != options->cluster_id || head->member_id != options->member_id) {
        return wal_recover_refuse(recover, ERR_STOPPED,
                                  "%s: belongs to member %016" PRIx64 " of cluster %016" PRIx64 ", not to member %016" PRIx64
                                  " of cluster %016" PRIx64,
                                  reader->path, head->member_id, head->cluster_id, options->member_id, options->cluster_id);
    }
    uint64_t id = wal_format_segment_id(head->cluster_id, head->member_id, segment->sequence);
    if (head->sequence != segment->sequence || head->first_index != segment->first_index || reader->head_stamp.segment_id != id) {
        return refuse_corrupt(recover, 0, "the segment's head does not belong to this file name");
    }
    bool is_last = reader->at + 1 == reader->segment_count;
    if (is_last && reader->file_bytes < head->capacity) {
        return refuse_corrupt(recover, reader->file_bytes, "the file is shorter than its head says");
    }
    if (segment->sequence == 1 && reader->head_stamp.batch != 1) return refuse_corrupt(recover, 0, "the first batch is missing");
    if (wal_format_is_reset(head) && head->reset_index + 1 != head->first_index) {
        return refuse_corrupt(recover, 0, "the segment does not begin behind its reset");
    }
    if (reader->at > recover->start || head->first_index <= options->snapshot_index + 1) return ERR_OK;
    recover->damage_sequence = segment->sequence;
    return wal_recover_refuse(recover, ERR_CORRUPT,
                              "%s: corrupt at offset 0: the log begins at index %" PRIu64 ", but the state without it ends at "
                              "%" PRIu64 ": older segments are missing",
                              reader->path, head->first_index, options->snapshot_index);
}

static void pending_push(struct wal_recover *recover, const struct wal_format_record *record)
{
    struct wal_recovered *found = &recover->found;
    if (found->pending_count == recover->pending_capacity && recover->pending_start > found->pending_count / 2) {
        found->pending_count -= recover->pending_start;
        memmove(found->pending, found->pending + recover->pending_start, found->pending_count * sizeof *found->pending);
        recover->pending_start = 0;
    }
    if (found->pending_count == recover->pending_capacity) {
        recover->pending_capacity = recover->pending_capacity == 0 ? 64 : recover->pending_capacity * 2;
        found->pending = alloc_resize(found->pending, recover->pending_capacity * sizeof *found->pending);
    }
    found->pending[found->pending_count++] = (struct raft_entry){
        .index = record->index,
        .term = record->term,
        .kind = record->entry_kind,
        .data = wal_format_record_blob(record),
    };
}

static void runs_push(struct wal_recover *recover, uint64_t index, uint64_t term)
{
    struct wal_recovered *found = &recover->found;
    if (found->run_count > 0 && found->runs[found->run_count - 1].term == term) return;
    if (found->run_count == recover->run_capacity) {
        recover->run_capacity = recover->run_capacity == 0 ? 16 : recover->run_capacity * 2;
        found->runs = alloc_resize(found->runs, recover->run_capacity * sizeof *found->runs);
    }
    found->runs[found->run_count++] = (struct raft_term_run){.first_index = index, .term = term};
}

/* Later records win: the log is cut at `index` before it is extended. */
static void cut_from(struct wal_recover *recover, uint64_t index)
{
    struct wal_recovered *found = &recover->found;
    ASSERT(index > found->hard.commit);
    while (found->pending_count > recover->pending_start && found->pending[found->pending_count - 1].index >= index) {
        blob_unref(found->pending[--found->pending_count].data);
    }
    while (found->run_count > 0 && found->runs[found->run_count - 1].first_index >= index) found->run_count--;
    wal_conf_cut(&recover->conf, index > recover->options->snapshot_index ? index : recover->options->snapshot_index + 1);
    found->last_index = index - 1;
    recover->last_term = found->run_count == 0 ? found->prev_term : found->runs[found->run_count - 1].term;
}

static const char *take_record(struct wal_recover *recover, const struct wal_format_record *record, bool is_oldest)
{
    struct wal_recovered *found = &recover->found;
    bool is_behind = record->index > recover->options->snapshot_index;
    if (record->kind == WAL_FORMAT_CONF) {
        bool is_told = recover->options->snapshot_index > 0 && !recover->is_headless;
        if (!is_oldest || is_told) return NULL; /* the entries before it, or the snapshot, say the same */
        if (recover->conf.count > 0 || record->data.size == 0) return "a second configuration in a segment's head";
        struct blob *data = blob_copy(record->data);
        wal_conf_push(&recover->conf, record->index, data);
        blob_unref(data);
        return NULL;
    }
    bool is_before = record->index < found->first_index && record->index > found->hard.commit; /* older segments are gone */
    if (record->index == 0) return "entries are missing";
    if (recover->begins_anew || is_before) wal_begin_at(recover, record->index, 0);
    if (record->index > found->last_index + 1) return "entries are missing";
    if (record->index < found->first_index || record->index <= found->hard.commit) return "a committed entry is overwritten";
    if (record->index <= found->last_index && !MUTANT(D23)) cut_from(recover, record->index);
    if (record->term < recover->last_term) return "terms go back";
    if (record->entry_kind > RAFT_ENTRY_CONF) return "an entry of unknown kind";
    if (is_behind) pending_push(recover, record);
    runs_push(recover, record->index, record->term);
    if (is_behind && record->entry_kind == RAFT_ENTRY_CONF && wal_format_record_bytes(record) > 0) {
        wal_conf_push(&recover->conf, record->index, found->pending[found->pending_count - 1].data);
    }
    found->last_index = record->index;
    recover->last_term = record->term;
    recover->segment_entries++;
    return NULL;
}

/* Entries at or below the commit index are final: they leave, in order, once. */
static void hand_out_final(struct wal_recover *recover)
{
    struct wal_recovered *found = &recover->found;
    while (recover->pending_start < found->pending_count) {
        struct raft_entry *entry = &found->pending[recover->pending_start];
        if (entry->index > found->hard.commit) break;
        ASSERT(entry->index == recover->final_index + 1);
        if (!recover->is_headless) recover->entry_fn(recover->context, entry); /* nobody could apply it */
        recover->final_index = entry->index;
        blob_unref(entry->data);
        recover->pending_start++;
    }
    if (recover->pending_start == found->pending_count) recover->pending_start = found->pending_count = 0;
    wal_conf_settle(&recover->conf, found->hard.commit);
}

static enum err take_batch(struct wal_recover *recover, const struct wal_format_batch *batch)
{
    struct wal_recovered *found = &recover->found;
    uint64_t offset = recover->reader.last.offset;
    bool is_oldest = batch->has_head && (recover->sequence == 0 || recover->begins_anew);
    if (batch->has_head) {
        enum err err = check_head(recover);
        if (err != ERR_OK) return err;
        bool is_empty = batch->last_index + 1 == batch->head.first_index;
        uint64_t prev_term = wal_format_is_reset(&batch->head) ? batch->head.reset_term : is_empty ? batch->last_term : 0;
        if (is_oldest) wal_begin_at(recover, batch->head.first_index, prev_term);
        recover->sequence = batch->head.sequence;
        recover->segment_entries = 0;
        recover->suspect_index = batch->head.suspect_index;
        recover->suspect_term = batch->head.suspect_term;
    }
    if (recover->batch_fn != NULL) recover->batch_fn(recover->context, recover, batch);
    struct wal_format_records records = wal_format_records(batch);
    struct wal_format_record record;
    uint32_t count = 0;
    while (wal_format_record_next(&records, &record)) {
        const char *reason = take_record(recover, &record, is_oldest);
        if (reason != NULL) return refuse_corrupt(recover, offset, reason);
        count++;
    }
    if (recover->begins_anew) wal_begin_at(recover, batch->last_index + 1, batch->last_term); /* it holds no entry */
    if (records.reader.bad || count != batch->record_count) return refuse_corrupt(recover, offset, "records do not fill their batch");
    if (batch->last_index != found->last_index || batch->last_term != recover->last_term) {
        return refuse_corrupt(recover, offset, "the batch does not lead to the position that it names");
    }
    if (batch->hard.term < found->hard.term || batch->hard.commit < found->hard.commit) {
        return refuse_corrupt(recover, offset, "the hard state goes back");
    }
    found->hard = batch->hard;
    recover->last_is_mark = batch->is_mark;
    hand_out_final(recover);
    return ERR_OK;
}

/* ---- judging the tail ---- */

struct survey {
    uint64_t durable_max; /* of all intact blocks of this segment from here on */
    uint32_t blocks;      /* of the batch that should stand here; 0 = no intact block of it */
    uint64_t end;         /* behind the last block that is of this segment, or of nobody */
    bool first_is_bad;    /* the block here is neither intact nor zeros */
    bool any_bad;
};

/* Looks at every block from the damage to the end of the segment. */
static enum err survey_rest(struct wal_recover *recover, struct survey *out_survey)
{
    struct wal_reader *reader = &recover->reader;
    struct survey survey = {.end = reader->offset};
    uint64_t start = reader->offset;
    for (uint64_t offset = start; offset + WAL_FORMAT_BLOCK <= reader->file_bytes; offset += WAL_FORMAT_BLOCK) {
        const uint8_t *block = wal_reader_block(reader, offset);
        if (block == NULL && reader->error != 0) return refuse_io(recover);
        if (block == NULL) return refuse_corrupt(recover, offset, "the file became shorter while it was read");
        struct wal_format_stamp stamp;
        enum wal_format_class class = wal_format_classify(block, &stamp);
        if (class == WAL_FORMAT_ZERO) continue;
        if (class == WAL_FORMAT_GOOD && stamp.segment_id != reader->head_stamp.segment_id) continue; /* what the file held before */
        survey.end = offset + WAL_FORMAT_BLOCK;
        if (class != WAL_FORMAT_GOOD) {
            survey.any_bad = true;
            if (offset == start) survey.first_is_bad = true;
            continue;
        }
        if (stamp.batch < reader->next_batch) continue;
        if (stamp.durable > survey.durable_max) survey.durable_max = stamp.durable;
        bool in_place = offset == start + (uint64_t)stamp.block * WAL_FORMAT_BLOCK;
        if (stamp.batch == reader->next_batch && in_place) survey.blocks = stamp.blocks;
    }
    *out_survey = survey;
    return ERR_OK;
}

/* The first block of the expected batch that is not intact and in place; the batch's own offset if all of them are. Torn: of one of them
 * the disk has nothing (zeros, what the file held before) or only the beginning. */
static uint64_t first_damage(struct wal_recover *recover, uint32_t blocks, bool *out_is_torn)
{
    struct wal_reader *reader = &recover->reader;
    uint64_t former_id = reader->head_ok ? wal_format_former_id(&reader->head) : 0;
    uint64_t damage = UINT64_MAX;
    bool is_torn = false;
    for (uint32_t i = 0; i < blocks; i++) {
        uint64_t offset = reader->offset + (uint64_t)i * WAL_FORMAT_BLOCK;
        const uint8_t *block = wal_reader_block(reader, offset);
        struct wal_format_stamp stamp = {0};
        enum wal_format_class class = block == NULL ? WAL_FORMAT_ZERO : wal_format_classify(block, &stamp);
        bool is_ours = class == WAL_FORMAT_GOOD && stamp.segment_id == reader->head_stamp.segment_id &&
                       stamp.batch == reader->next_batch && stamp.block == i;
        if (is_ours) continue;
        if (damage == UINT64_MAX) damage = offset;
        if (block == NULL || class != WAL_FORMAT_BAD || wal_format_is_unfinished(block, former_id)) is_torn = true;
        if (block == NULL) break; /* beyond the end of the file */
    }
    *out_is_torn = is_torn;
    return damage == UINT64_MAX ? reader->offset : damage;
}

bool wal_recover_is_alone(const struct wal_recover *recover)
{
    const struct wal_conf_item *conf = wal_conf_newest(&recover->conf);
    if (recover->options->alone_fn == NULL || conf == NULL) return false;
    return recover->options->alone_fn(recover->context, blob_slice(conf->data));
}

/* Term, vote and position of the damaged batch, from whichever of its ends is intact. False: neither is. */
static bool read_ends(struct wal_recover *recover, const struct survey *survey, struct wal_format_batch *out_batch)
{
    struct wal_reader *reader = &recover->reader;
    struct wal_format_stamp stamp;
    if (survey->blocks < WAL_FORMAT_BLOCKS_MIN) return false;
    const uint8_t *first = wal_reader_block(reader, reader->offset);
    if (first != NULL && wal_format_classify(first, &stamp) == WAL_FORMAT_GOOD) {
        wal_format_batch_header(first, false, out_batch);
        return true;
    }
    const uint8_t *last = wal_reader_block(reader, reader->offset + (uint64_t)(survey->blocks - 1) * WAL_FORMAT_BLOCK);
    if (last == NULL || wal_format_classify(last, &stamp) != WAL_FORMAT_GOOD) return false;
    wal_format_batch_trailer(last, out_batch);
    return true;
}

/* By position, not by index alone: a shorter log of a later term reaches further. */
static bool is_beyond(uint64_t term, uint64_t index, uint64_t other_term, uint64_t other_index)
{
    return term > other_term || (term == other_term && index > other_index);
}

void wal_recover_suspect(struct wal_recover *recover, uint64_t term, uint64_t index)
{
    if (!is_beyond(term, index, recover->suspect_term, recover->suspect_index)) return;
    recover->suspect_index = index;
    recover->suspect_term = term;
}

static enum err note_suspect(struct wal_recover *recover, const struct survey *survey)
{
    struct wal_recovered *found = &recover->found;
    struct wal_format_batch batch = {.last_index = found->last_index, .last_term = recover->last_term, .hard = found->hard};
    bool goes_on = wal_recover_is_alone(recover);
    if (!read_ends(recover, survey, &batch) && !goes_on) {
        return refuse_corrupt(recover, recover->reader.offset,
                              "both ends of the last batch are damaged: which term and vote this member promised is not known");
    }
    bool has_entries = is_beyond(batch.last_term, batch.last_index, recover->last_term, found->last_index);
    found->tail = WAL_TAIL_SUSPECT;
    if (batch.hard.term >= found->hard.term) {
        found->hard.term = batch.hard.term;
        found->hard.vote = batch.hard.vote;
    }
    (void)snprintf(found->message, sizeof found->message,
                   "%s: the last batch, at offset %" PRIu64 ", is damaged and may have been acknowledged, up to index %" PRIu64
                   " of term %" PRIu64 "; %s (%" PRIu64 " bytes cut and kept in %s" WAL_FORMAT_BROKEN_SUFFIX ")",
                   recover->reader.path, recover->reader.offset, batch.last_index, batch.last_term,
                   goes_on       ? "the only voter goes on without it"
                   : has_entries ? "not campaigning until the cluster has passed that position"
                                 : "it held no entry, and its term and vote are known",
                   found->cut_bytes, recover->reader.path);
    if (!goes_on && has_entries) wal_recover_suspect(recover, batch.last_term, batch.last_index);
    return ERR_OK;
}

static enum err judge_tail(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    struct wal_recovered *found = &recover->found;
    struct survey survey = {0};
    enum err err = survey_rest(recover, &survey);
    if (err != ERR_OK) return err;

    bool is_torn = false;
    uint32_t blocks = survey.blocks != 0 ? survey.blocks : WAL_FORMAT_BLOCKS_MIN;
    uint64_t damage = first_damage(recover, blocks, &is_torn);
    if (survey.durable_max >= reader->next_batch && !MUTANT(P19B)) {
        return refuse_corrupt(recover, damage, "damaged, although a later batch says that this was durable");
    }
    if (survey.blocks == 0 && !survey.first_is_bad && !survey.any_bad) return ERR_OK; /* clean */
    if (MUTANT(P19A) && is_torn) return refuse_corrupt(recover, damage, "an incomplete write");
    recover->cut_offset = reader->offset;
    found->cut_bytes = survey.end - reader->offset;
    recover->needs_segment = true;
    if (!is_torn && !MUTANT(P19B)) return note_suspect(recover, &survey);
    found->tail = WAL_TAIL_TORN;
    (void)snprintf(found->message, sizeof found->message,
                   "%s: the write at offset %" PRIu64 " never completed: %" PRIu64 " bytes cut and kept aside", reader->path,
                   reader->offset, found->cut_bytes);
    return ERR_OK;
}

/* A file with a segment's name holds a durable first batch. */
static enum err judge_first_batch(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    bool is_torn = false;
    if (reader->head_ok) {
        return refuse_corrupt(recover, first_damage(recover, reader->head_stamp.blocks, &is_torn),
                              "the first batch of the segment is damaged");
    }
    const uint8_t *block = wal_reader_block(reader, 0);
    struct wal_format_head head;
    if (block != NULL && wal_format_head_decode(block, &head) && head.major > WAL_FORMAT_MAJOR) {
        return refuse_corrupt(recover, 0, "the first batch of the segment is damaged, or a newer program has written it");
    }
    return refuse_corrupt(recover, 0, "the first batch of the segment is damaged");
}

/* The log ends inside a segment that is not the last one. */
static enum err judge_middle(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    const struct wal_reader_position here = {
        .sequence = reader->segments[reader->at].sequence, .offset = reader->offset, .batch = reader->next_batch};
    struct wal_format_batch batch;
    wal_reader_rewind(reader, reader->at + 1); /* is what follows the continuation at all? */
    enum wal_reader_verdict verdict = wal_reader_next(reader, &batch);
    if (verdict == WAL_READER_FAILED) return refuse_io(recover);
    if (reader->head_ok && !wal_format_head_is_supported(&reader->head)) return refuse_format(recover);
    if (verdict == WAL_READER_END) return judge_first_batch(recover);
    enum err err = check_head(recover);
    if (err != ERR_OK) return err;

    bool is_there = wal_reader_seek(reader, &here);
    ASSERT(is_there);
    verdict = wal_reader_next(reader, &batch);
    if (verdict == WAL_READER_FAILED) return refuse_io(recover);
    if (verdict == WAL_READER_BATCH) return refuse_corrupt(recover, here.offset, "the file changed while it was read");
    bool is_torn = false;
    const uint8_t *block = wal_reader_block(reader, reader->offset);
    struct wal_format_stamp stamp;
    bool first_ok = block != NULL && wal_format_classify(block, &stamp) == WAL_FORMAT_GOOD && stamp.batch == reader->next_batch &&
                    stamp.segment_id == reader->head_stamp.segment_id;
    return refuse_corrupt(recover, first_damage(recover, first_ok ? stamp.blocks : 1, &is_torn),
                          "damaged, although the next segment says that this was durable");
}

static enum err judge(struct wal_recover *recover)
{
    const struct wal_reader *reader = &recover->reader;
    ASSERT(reader->at < reader->segment_count);
    if (reader->head_ok && !wal_format_head_is_supported(&reader->head)) return refuse_format(recover);
    if (reader->offset == 0 || !reader->head_ok) return judge_first_batch(recover);
    return reader->at + 1 == reader->segment_count ? judge_tail(recover) : judge_middle(recover);
}

/* What earlier damage left behind stays until the commit index has passed it. */
static void settle_suspect(struct wal_recover *recover)
{
    struct wal_recovered *found = &recover->found;
    if (found->hard.commit >= recover->suspect_index || wal_recover_is_alone(recover) || MUTANT(D20)) {
        recover->suspect_index = 0;
        recover->suspect_term = 0;
        return;
    }
    if (found->tail != WAL_TAIL_SUSPECT && found->message[0] == '\0' && !recover->is_headless) {
        (void)snprintf(found->message, sizeof found->message,
                       "%s: what was lost earlier reached up to index %" PRIu64 ": not campaigning until the cluster has passed that position",
                       recover->reader.path, recover->suspect_index);
    }
    found->tail = WAL_TAIL_SUSPECT;
    found->suspect_index = recover->suspect_index;
    found->suspect_term = recover->suspect_term;
}

static void finish_found(struct wal_recover *recover)
{
    struct wal_recovered *found = &recover->found;
    found->pending_count -= recover->pending_start;
    if (recover->pending_start > 0) {
        memmove(found->pending, found->pending + recover->pending_start, found->pending_count * sizeof *found->pending);
        recover->pending_start = 0;
    }
    size_t used = strlen(found->message);
    const char *between = used > 0 && recover->begin_message[0] != '\0' ? "; " : "";
    (void)snprintf(found->message + used, sizeof found->message - used, "%s%s", between, recover->begin_message);
    const struct wal_conf_item *conf = wal_conf_newest(&recover->conf);
    if (conf != NULL) {
        found->conf = blob_ref(conf->data);
        found->conf_index = conf->index;
    }
    ASSERT(found->pending_count == 0 || found->pending[0].index == found->hard.commit + 1);
    ASSERT(found->last_index >= found->hard.commit);
}

static enum err refuse_empty(struct wal_recover *recover)
{
    return wal_recover_refuse(recover, ERR_CORRUPT,
                              "%s: holds no log entry, although this member has had a log before: it must not vote again as if it "
                              "were new",
                              recover->options->directory);
}

/* Batch after batch to the end of the log, over damage for which the snapshot stands. */
static enum err read_all(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    for (;;) {
        struct wal_format_batch batch;
        enum wal_reader_verdict verdict = wal_reader_next(reader, &batch);
        while (verdict == WAL_READER_BATCH) {
            enum err err = take_batch(recover, &batch);
            if (err != ERR_OK) return err;
            verdict = wal_reader_next(reader, &batch);
        }
        if (verdict == WAL_READER_FAILED) return refuse_io(recover);
        struct wal_begin_damage damage = wal_begin_damage(recover);
        enum err err = judge(recover);
        if (err != ERR_CORRUPT || !wal_begin_behind(recover, &damage)) return err;
    }
}

enum err wal_recover_read(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    reader->error = wal_reader_list(reader);
    if (reader->error != 0) return refuse_io(recover);
    if (reader->segment_count == 0 && recover->options->must_exist && !MUTANT(P36)) return refuse_empty(recover);
    if (reader->segment_count == 0) {
        recover->found.is_new = true;
        recover->found.first_index = 1;
        recover->next_batch = 1;
        recover->needs_segment = true;
        enum err err = wal_begin_with_snapshot(recover);
        ASSERT(err == ERR_OK); /* there is nothing that could disagree */
        finish_found(recover);
        return ERR_OK;
    }
    enum err err = wal_begin_find(recover);
    if (err == ERR_OK) err = read_all(recover);
    if (err != ERR_OK) return err;
    bool is_empty = recover->found.last_index == 0 && recover->suspect_index == 0; /* who lost its log has promised nothing less */
    if (recover->options->must_exist && is_empty && !MUTANT(P36)) return refuse_empty(recover);
    recover->next_batch = reader->next_batch;
    err = wal_begin_with_snapshot(recover);
    if (err != ERR_OK) return err;
    settle_suspect(recover);
    finish_found(recover);
    return ERR_OK;
}
