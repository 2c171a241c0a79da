/* wal_core: building batches and naming segments; shared by the running log and its opening. See wal_core.h. */
#include "storage/wal_core.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static void core_take_entries(struct wal *wal, struct wal_queued *queued, struct wal_segment *segment)
{
    if (queued->entry_count > 0 && queued->entries[0].index <= wal->last_index) wal_conf_cut(&wal->conf, queued->entries[0].index);
    for (size_t i = 0; i < queued->entry_count; i++) {
        struct raft_entry *entry = &queued->entries[i];
        wal_format_writer_put(&wal->writer, &(struct wal_format_record){.kind = WAL_FORMAT_ENTRY,
                                                                        .entry_kind = entry->kind,
                                                                        .index = entry->index,
                                                                        .term = entry->term,
                                                                        .data = blob_slice(entry->data)});
        if (entry->kind == RAFT_ENTRY_CONF && entry->data != NULL) wal_conf_push(&wal->conf, entry->index, entry->data);
        wal->last_index = entry->index;
        wal->last_term = entry->term;
        blob_unref(entry->data);
    }
    segment->entries += queued->entry_count;
    wal->batch_entries += queued->entry_count;
    wal->hard = queued->hard;
    wal->batch_sequence = queued->sequence;
    ASSERT(wal->hard.commit <= wal->last_index);
    wal_conf_settle(&wal->conf, wal->hard.commit);
}

static struct wal_format_head core_head(const struct wal *wal, const struct wal_segment *segment, const struct wal_core_reset *reset)
{
    uint64_t reset_features = WAL_FORMAT_FEATURE_RESET | (reset != NULL && reset->index == 0 ? WAL_FORMAT_FEATURE_EMPTY : 0);
    return (struct wal_format_head){.major = WAL_FORMAT_MAJOR,
                                    .minor = WAL_FORMAT_MINOR,
                                    .checksum_kind = WAL_FORMAT_CHECKSUM_CRC32C,
                                    .features = WAL_FORMAT_FEATURE_NEXT | (reset == NULL ? 0 : reset_features),
                                    .cluster_id = wal->options.cluster_id,
                                    .member_id = wal->options.member_id,
                                    .sequence = segment->sequence,
                                    .first_index = segment->first_index,
                                    .capacity = segment->capacity,
                                    .suspect_index = wal->suspect_index,
                                    .suspect_term = wal->suspect_term,
                                    .reset_index = reset == NULL ? 0 : reset->index,
                                    .reset_term = reset == NULL ? 0 : reset->term,
                                    .former = segment->former};
}

uint64_t wal_core_first_index(const struct wal *wal, const struct wal_plan *plan)
{
    if (plan->reset != NULL) return plan->reset->index + 1;
    return plan->first_index != 0 ? plan->first_index : wal->last_index + 1;
}

/* The configuration for a segment's head: not one that this very batch overwrites. */
static struct wal_conf_item core_head_conf(const struct wal *wal, const struct wal_plan *plan)
{
    if (plan->reset != NULL) return (struct wal_conf_item){.index = plan->reset->index, .data = plan->reset->conf};
    const struct wal_conf_item *item = wal_conf_before(&wal->conf, wal_core_first_index(wal, plan));
    return item == NULL ? (struct wal_conf_item){0} : *item;
}

uint64_t wal_core_head_bytes(const struct wal *wal, const struct wal_plan *plan)
{
    const struct wal_conf_item conf = core_head_conf(wal, plan);
    uint64_t conf_bytes = conf.data == NULL ? 0 : conf.data->size;
    return wal_format_batch_bytes(true, plan->records + (conf.data == NULL ? 0 : 1), plan->data_bytes + conf_bytes);
}

/* What the log held is forgotten; what waits behind the reset is not. */
static void core_reset(struct wal *wal, const struct wal_core_reset *reset)
{
    ASSERT(reset->index >= wal->hard.commit);
    wal_conf_deinit(&wal->conf);
    wal_conf_push(&wal->conf, reset->index, reset->conf);
    wal->last_index = reset->index;
    wal->last_term = reset->term;
}

void wal_core_encode(struct wal *wal, const struct wal_plan *plan, struct wal_segment *segment, bool with_head)
{
    ASSERT(wal->batch.size == 0);
    uint64_t bytes = with_head ? wal_core_head_bytes(wal, plan) : wal_format_batch_bytes(false, plan->records, plan->data_bytes);
    ASSERT(segment->offset + bytes <= segment->capacity);
    ASSERT(plan->reset == NULL || with_head);
    struct wal_format_head head = core_head(wal, segment, plan->reset);
    wal_format_writer_begin(&wal->writer, with_head ? &head : NULL, bytes);
    wal->writer.may_shorten = segment->may_shorten;
    const struct wal_conf_item conf = core_head_conf(wal, plan);
    if (with_head && conf.data != NULL) {
        wal_format_writer_put(&wal->writer, &(struct wal_format_record){.kind = WAL_FORMAT_CONF,
                                                                        .entry_kind = RAFT_ENTRY_CONF,
                                                                        .index = conf.index,
                                                                        .data = blob_slice(conf.data)});
    }
    segment->is_reset = plan->reset != NULL;
    if (plan->reset != NULL) core_reset(wal, plan->reset);
    wal->batch_entries = 0;
    wal->batch_sequence = wal->durable_sequence;
    wal->batch_is_mark = plan->is_mark;
    for (size_t i = 0; i < plan->appends; i++) {
        struct wal_queued *queued = LIST_ENTRY(list_pop_front(&wal->queue), struct wal_queued, node);
        core_take_entries(wal, queued, segment);
        wal->queue_bytes -= queued->data_bytes + queued->entry_count * WAL_FORMAT_RECORD;
        blob_unref(queued->reset.conf);
        alloc_free(queued);
    }
    if (wal->hard.commit >= wal->suspect_index) wal->suspect_index = wal->suspect_term = 0;
    struct wal_format_stamp stamp = {.segment_id = segment->id, .batch = wal->next_batch, .durable = wal->durable_batch};
    struct wal_format_batch batch = {
        .hard = wal->hard, .last_index = wal->last_index, .last_term = wal->last_term, .is_mark = plan->is_mark};
    wal->batch = wal_format_writer_finish(&wal->writer, &stamp, &batch);
    ASSERT(wal->batch.size <= bytes);
}

void wal_core_segment_begin(struct wal *wal, struct wal_segment *segment, uint64_t first_index, uint64_t capacity,
                            struct fs_file *file)
{
    ASSERT(file != NULL);
    ASSERT(segment->sequence > 0);
    char name[WAL_FORMAT_NAME_SIZE];
    wal_format_name(segment->sequence, first_index, name);
    size_t size = strlen(wal->directory) + 1 + sizeof name;
    segment->path = alloc_new(size);
    (void)snprintf(segment->path, size, "%s/%s", wal->directory, name);
    segment->first_index = first_index;
    segment->id = wal_format_segment_id(wal->options.cluster_id, wal->options.member_id, segment->sequence);
    segment->capacity = capacity;
    segment->offset = 0;
    segment->entries = 0;
    segment->is_reset = false;
    segment->may_shorten = true;
    segment->file = file;
}

void wal_core_segment_close(struct wal *wal, struct wal_segment *segment)
{
    fs_close(wal->options.fs, segment->file);
    alloc_free(segment->path);
    *segment = (struct wal_segment){0};
}
