/* test_wal: does the log give back what was appended: over batches, segments, overwrites, restarts, and beside a reader? */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/wal_rig.h"
#include "storage/wal_format.h"

static void open_ok(struct wal_rig *rig)
{
    enum err err = wal_rig_open(rig);
    ck_assert_msg(err == ERR_OK, "open: %s: %s", err_name(err), rig->found.message);
}

static void reopen_ok(struct wal_rig *rig)
{
    wal_rig_close(rig);
    open_ok(rig);
    ck_assert_int_eq(wal_rig_match(rig, rig->appended, rig->appended), (int)rig->appended);
}

static void ignore_entry(void *context, const struct raft_entry *entry)
{
    (void)context;
    (void)entry;
}

START_TEST(test_wal_new_log_is_empty_and_has_the_bootstrap_configuration)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    ck_assert(rig.found.is_new);
    ck_assert_uint_eq(rig.found.first_index, 1);
    ck_assert_uint_eq(rig.found.last_index, 0);
    ck_assert_uint_eq(rig.found.conf->size, 40);
    ck_assert(wal_is_idle(rig.wal));
    reopen_ok(&rig);
    ck_assert(!rig.found.is_new);
    ck_assert_uint_eq(rig.found.conf->size, 40);
    ck_assert_uint_eq(rig.found.conf_index, 0);
    ck_assert_int_eq(rig.found.tail, WAL_TAIL_CLEAN);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_appends_become_durable_and_come_back)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 3, 1, 0, 30);
    wal_rig_append(&rig, 4, 2, 1, 2, 700);
    wal_rig_hard(&rig, 2, 9, 3);
    ck_assert(!wal_is_idle(rig.wal));
    ck_assert_uint_eq(wal_durable_sequence(rig.wal), 0);
    wal_rig_run(&rig);
    ck_assert(wal_is_idle(rig.wal));
    ck_assert_uint_eq(wal_durable_sequence(rig.wal), 3);
    struct wal_stats stats;
    wal_get_stats(rig.wal, &stats);
    ck_assert_uint_eq(stats.batches, 1); /* all that waited is one batch */
    ck_assert_uint_eq(stats.syncs, 1);
    ck_assert_uint_eq(stats.entries, 5);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.handed_final, 3);
    ck_assert_uint_eq(rig.found.pending_count, 2);
    ck_assert_uint_eq(rig.found.hard.vote, 9);
    ck_assert_uint_eq(rig.found.run_count, 1);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_batch_is_bounded)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    for (uint64_t i = 0; i < 8; i++) wal_rig_append(&rig, 1 + i, 1, 1, i, 1500);
    wal_rig_run(&rig);
    struct wal_stats stats;
    wal_get_stats(rig.wal, &stats);
    ck_assert_uint_eq(stats.batches, 4); /* two of 1,524 bytes fit 4,096 */
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_later_records_replace_a_conflicting_suffix)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 9, 1, 2, 50);
    wal_rig_run(&rig);
    wal_rig_append(&rig, 5, 2, 3, 4, 60);
    wal_rig_append(&rig, 6, 3, 4, 4, 70);
    wal_rig_run(&rig);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.last_index, 8);
    ck_assert_uint_eq(rig.found.run_count, 3);
    ck_assert_uint_eq(rig.found.runs[1].first_index, 5);
    ck_assert_uint_eq(rig.found.runs[2].first_index, 6);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_rotates_through_many_segments)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    for (uint64_t i = 0; i < 60; i++) {
        wal_rig_append(&rig, 1 + 2 * i, 2, 1 + i / 20, 2 * i, 300);
        wal_rig_run(&rig);
        ck_assert_uint_eq(wal_durable_sequence(rig.wal), i + 1);
    }
    char path[256];
    ck_assert(wal_rig_segment(&rig, 4, path, sizeof path));
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.run_count, 3);
    for (uint64_t i = 60; i < 80; i++) wal_rig_append(&rig, 1 + 2 * i, 2, 9, 2 * i, 300);
    wal_rig_run(&rig);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_full_segment_gives_back_what_it_did_not_use)
{
    struct wal_rig rig;
    char path[256];
    wal_rig_init(&rig);
    rig.options.segment_bytes = 65536;
    rig.options.segment_entries_max = 10;
    open_ok(&rig);
    for (uint64_t i = 0; i < 30; i++) {
        wal_rig_append(&rig, 1 + i, 1, 1, i, 20);
        wal_rig_run(&rig);
    }
    ck_assert(wal_rig_segment(&rig, 2, path, sizeof path)); /* the bound on entries made them */
    ck_assert(!wal_rig_segment(&rig, 3, path, sizeof path));
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    ck_assert_uint_lt(fs_sim_size(rig.disk, path), 16384);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_batch_larger_than_a_segment_gets_its_own)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 1, 1, 0, 100);
    wal_rig_append(&rig, 2, 1, 1, 1, 50000);
    wal_rig_append(&rig, 3, 1, 1, 2, 100);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_durable_sequence(rig.wal), 3);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

static uint64_t filled_by(struct wal_rig *rig, uint64_t *index, size_t batches, size_t size)
{
    struct wal_stats before, after;
    wal_get_stats(rig->wal, &before);
    for (size_t i = 0; i < batches; i++) {
        ++*index;
        wal_rig_append(rig, *index, 1, 1, *index - 1, size);
        wal_rig_run(rig);
    }
    wal_get_stats(rig->wal, &after);
    return after.filled - before.filled;
}

/* Each batch is a block or two where it is small: one write of zeros is enough for hundreds. */
START_TEST(test_wal_writes_zeros_ahead_of_small_batches_only)
{
    struct wal_rig rig;
    uint64_t index = 0;
    wal_rig_init(&rig);
    rig.options.segment_bytes = 16 << 20;
    rig.options.batch_bytes_max = 1 << 20;
    open_ok(&rig);
    ck_assert_uint_eq(filled_by(&rig, &index, 1, 100), (256 << 10) - 1024); /* the first segment but for its first batch */
    ck_assert_uint_eq(filled_by(&rig, &index, 200, 100), 0);
    (void)filled_by(&rig, &index, 30, 100 << 10); /* it takes some until they are usual */
    ck_assert_uint_eq(filled_by(&rig, &index, 50, 100 << 10), 0);
    (void)filled_by(&rig, &index, 100, 100);
    ck_assert_uint_eq(filled_by(&rig, &index, 60, 100), 0);
    reopen_ok(&rig);
    ck_assert_uint_eq(filled_by(&rig, &index, 1, 100), 256 << 10); /* what is there already is not known */
    ck_assert_uint_eq(filled_by(&rig, &index, 20, 100), 0);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

/* What was one before is full of bytes. */
START_TEST(test_wal_writes_no_zeros_over_a_former_segment)
{
    struct wal_rig rig;
    struct wal_stats stats;
    uint64_t index = 0;
    wal_rig_init(&rig);
    open_ok(&rig);
    for (int i = 0; i < 20; i++) {
        (void)filled_by(&rig, &index, 10, 300);
        wal_rig_snapshot(&rig, index - 5, 1);
        wal_drop_head(rig.wal, index - 5);
        wal_rig_run(&rig);
    }
    wal_get_stats(rig.wal, &stats);
    ck_assert_uint_gt(stats.reused, 5);
    ck_assert_uint_lt(stats.filled, 6 * 8192);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_idle_log_writes_one_mark)
{
    struct wal_rig rig;
    struct wal_stats stats;
    wal_rig_init(&rig);
    rig.options.idle_mark_ns = 100 * NS_PER_MS;
    open_ok(&rig);
    wal_rig_append(&rig, 1, 1, 1, 0, 100);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_deadline_ns(rig.wal), rig.now_ns + 100 * NS_PER_MS);
    rig.now_ns += 99 * NS_PER_MS;
    wal_rig_run(&rig);
    wal_get_stats(rig.wal, &stats);
    ck_assert_uint_eq(stats.batches, 1);
    rig.now_ns += NS_PER_MS;
    wal_rig_run(&rig);
    wal_get_stats(rig.wal, &stats);
    ck_assert_uint_eq(stats.batches, 2);
    ck_assert_uint_eq(wal_deadline_ns(rig.wal), CLOCK_NEVER);
    rig.now_ns += NS_PER_S;
    wal_rig_run(&rig);
    wal_flush_mark(rig.wal);
    wal_rig_run(&rig);
    wal_get_stats(rig.wal, &stats);
    ck_assert_uint_eq(stats.batches, 2);
    ck_assert(wal_is_idle(rig.wal));
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_mark_at_stop_follows_what_waits)
{
    struct wal_rig rig;
    struct wal_stats stats;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 1, 1, 0, 100);
    wal_flush_mark(rig.wal);
    ck_assert(!wal_is_idle(rig.wal));
    wal_rig_run(&rig);
    ck_assert(wal_is_idle(rig.wal));
    wal_get_stats(rig.wal, &stats);
    ck_assert_uint_eq(stats.batches, 2);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_configuration_follows_the_log_and_its_overwrites)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append_conf(&rig, 1, 1, 0);
    wal_rig_append_conf(&rig, 2, 1, 1);
    wal_rig_run(&rig);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.conf_index, 2);
    wal_rig_append(&rig, 2, 3, 2, 1, 40); /* takes the second configuration away */
    wal_rig_run(&rig);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.conf_index, 1);
    ck_assert_uint_eq(rig.found.conf->size, 60);
    for (uint64_t i = 0; i < 20; i++) wal_rig_append(&rig, 5 + i, 1, 2, 1 + i, 1000); /* through heads of segments */
    wal_rig_run(&rig);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.conf_index, 1);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- records ---- */

static const struct {
    uint64_t index, term;
    enum raft_entry_kind kind;
    size_t same, size; /* bytes that are those of the others, and all of them */
    size_t lead;       /* that are left out */
} alike[] = {
    {5, 2, RAFT_ENTRY_COMMAND, 300, 300, 0},     {6, 2, RAFT_ENTRY_COMMAND, 40, 300, 40},  {7, 2, RAFT_ENTRY_COMMAND, 300, 300, 255},
    {8, 2, RAFT_ENTRY_COMMAND, 300, 300, 255},   {9, 2, RAFT_ENTRY_COMMAND, 300, 30, 30},  {10, 2, RAFT_ENTRY_COMMAND, 23, 300, 0},
    {11, 3, RAFT_ENTRY_COMMAND, 40, 300, 0},     {13, 3, RAFT_ENTRY_COMMAND, 40, 300, 0},  {14, 3, RAFT_ENTRY_CONF, 40, 300, 0},
    {15, 3, RAFT_ENTRY_COMMAND, 40, 80000, 0},   {16, 3, RAFT_ENTRY_COMMAND, 90, 90, 40},  {17, 3, RAFT_ENTRY_COMMAND, 40, 65575, 40},
    {18, 3, RAFT_ENTRY_COMMAND, 40, 65576, 0},   {19, 3, RAFT_ENTRY_COMMAND, 0, 0, 0},     {20, 3, RAFT_ENTRY_COMMAND, 40, 100, 0},
};
#define ALIKE (sizeof alike / sizeof alike[0])

static struct blob *alike_bytes(size_t place)
{
    struct blob *blob = blob_new(alike[place].size);
    for (size_t i = 0; i < blob->size; i++) blob->data[i] = (uint8_t)(i < alike[place].same ? i : place * 17 + 1 + i * 3);
    return blob;
}

/* A batch of them; its bytes are the writer's. */
static struct slice alike_batch(struct wal_format_writer *writer, bool may_shorten)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < ALIKE; i++) bytes += alike[i].size;
    wal_format_writer_init(writer);
    wal_format_writer_begin(writer, NULL, wal_format_batch_bytes(false, ALIKE, bytes));
    writer->may_shorten = may_shorten;
    for (size_t i = 0; i < ALIKE; i++) {
        struct blob *data = alike_bytes(i);
        wal_format_writer_put(writer, &(struct wal_format_record){.kind = WAL_FORMAT_ENTRY, .entry_kind = alike[i].kind, .index = alike[i].index,
                                                                  .term = alike[i].term, .data = blob_slice(data)});
        blob_unref(data);
    }
    return wal_format_writer_finish(writer, &(struct wal_format_stamp){.segment_id = 7, .batch = 2, .durable = 1},
                                    &(struct wal_format_batch){.last_index = 20, .last_term = 3});
}

START_TEST(test_wal_records_come_back_whole_however_short_they_are)
{
    bool may_shorten = _i != 0;
    struct wal_format_writer writer;
    struct wal_format_batch batch;
    struct wal_format_record record;
    struct slice bytes = alike_batch(&writer, may_shorten);
    ck_assert(wal_format_batch_decode(writer.memory, (uint32_t)(bytes.size / WAL_FORMAT_BLOCK), false, &batch));
    ck_assert_uint_eq(batch.record_count, ALIKE);
    struct wal_format_records records = wal_format_records(&batch);
    for (size_t i = 0; i < ALIKE; i++) {
        ck_assert(wal_format_record_next(&records, &record));
        struct blob *data = wal_format_record_blob(&record), *expected = alike_bytes(i);
        ck_assert_int_eq(record.kind, WAL_FORMAT_ENTRY);
        ck_assert_int_eq(record.entry_kind, alike[i].kind);
        ck_assert_uint_eq(record.index, alike[i].index);
        ck_assert_uint_eq(record.term, alike[i].term);
        ck_assert_msg(record.lead.size == (may_shorten ? alike[i].lead : 0), "record %zu: %zu", i, record.lead.size);
        ck_assert(slice_equal(blob_slice(data), blob_slice(expected)));
        blob_unref(data);
        blob_unref(expected);
    }
    ck_assert(!wal_format_record_next(&records, &record) && !records.reader.bad);
    wal_format_writer_deinit(&writer);
}
END_TEST

START_TEST(test_wal_short_record_of_nothing_is_bad)
{
    uint8_t bytes[64] = {3, 0, 4, 0, 'd', 'a', 't', 'a'}; /* behind no whole one */
    struct wal_format_record record;
    struct wal_format_batch batch = {.records = slice_make(bytes, 8)};
    struct wal_format_records records = wal_format_records(&batch);
    ck_assert(!wal_format_record_next(&records, &record) && records.reader.bad);
    static const uint8_t whole[] = {1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'a', 'b'};
    static const uint8_t leads[] = {2, 3, 2}, sizes[] = {1, 1, 2}; /* good; longer than the whole one; longer than what is there */
    for (size_t i = 0; i < 3; i++) {
        const uint8_t next[] = {3, leads[i], sizes[i], 0, 'c'};
        memcpy(bytes, whole, sizeof whole);
        memcpy(bytes + sizeof whole, next, sizeof next);
        batch.records = slice_make(bytes, sizeof whole + sizeof next);
        records = wal_format_records(&batch);
        ck_assert(wal_format_record_next(&records, &record));
        ck_assert_int_eq(wal_format_record_next(&records, &record), i == 0);
        ck_assert_int_eq(records.reader.bad, i != 0);
    }
}
END_TEST

/* Its head with other features, as a program before these has written it. */
static void set_features(const struct wal_rig *rig, const char *path, uint64_t features)
{
    uint8_t bytes[4 * WAL_FORMAT_BLOCK];
    struct wal_format_stamp stamp;
    struct wal_format_batch batch;
    struct wal_format_writer writer;
    struct wal_format_record record;
    fs_sim_peek(rig->disk, path, 0, bytes, sizeof bytes);
    ck_assert_int_eq(wal_format_classify(bytes, &stamp), WAL_FORMAT_GOOD);
    ck_assert(wal_format_batch_decode(bytes, stamp.blocks, true, &batch));
    batch.head.features = features;
    wal_format_writer_init(&writer);
    wal_format_writer_begin(&writer, &batch.head, stamp.blocks * WAL_FORMAT_BLOCK);
    struct wal_format_records records = wal_format_records(&batch);
    while (wal_format_record_next(&records, &record)) wal_format_writer_put(&writer, &record);
    struct slice out = wal_format_writer_finish(&writer, &stamp, &batch);
    fs_sim_poke(rig->disk, path, 0, out.data, out.size);
    wal_format_writer_deinit(&writer);
}

/* The bytes on disk of a batch of ten large entries that are all alike. */
static uint64_t bytes_of_ten(struct wal_rig *rig)
{
    struct wal_stats before, after;
    wal_get_stats(rig->wal, &before);
    wal_rig_append(rig, rig->states[rig->appended]->last_index + 1, 10, 1, 0, 100);
    wal_rig_run(rig);
    wal_get_stats(rig->wal, &after);
    return after.bytes - before.bytes;
}

START_TEST(test_wal_segment_of_an_older_program_gets_no_short_records)
{
    struct wal_rig rig;
    char path[256];
    wal_rig_init(&rig);
    open_ok(&rig);
    uint64_t bytes = bytes_of_ten(&rig);
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    wal_rig_close(&rig);
    set_features(&rig, path, 0);
    open_ok(&rig);
    ck_assert_uint_gt(bytes_of_ten(&rig), bytes);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_operations_completing_late_keep_the_order)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    struct fs *late = fs_sim_new(rig.disk, false);
    rig.options.fs = late;
    struct wal_recovered recovered;
    ck_assert_int_eq(wal_open(&rig.options, slice_empty(), ignore_entry, NULL, &rig.wal, &recovered), ERR_OK);
    wal_recovered_deinit(&recovered);
    struct rng rng;
    rng_init(&rng, 7);
    uint64_t index = 1;
    for (int i = 0; i < 2000; i++) {
        if (index <= 120 && rng_below(&rng, 8) == 0) {
            wal_rig_append(&rig, index, 2, 1, index - 1, 200);
            index += 2;
        }
        uint64_t before = wal_durable_sequence(rig.wal);
        (void)wal_step(rig.wal, rig.now_ns);
        ck_assert_uint_ge(wal_durable_sequence(rig.wal), before);
        if (fs_sim_pending(late) > 0 && rng_below(&rng, 2) == 0) {
            ck_assert(fs_sim_complete(late, (size_t)rng_below(&rng, fs_sim_pending(late))));
        }
    }
    while (!wal_is_idle(rig.wal)) {
        (void)wal_step(rig.wal, rig.now_ns);
        (void)fs_sim_complete(late, 0);
    }
    ck_assert_uint_eq(wal_durable_sequence(rig.wal), rig.appended);
    wal_close(rig.wal);
    rig.wal = NULL;
    fs_free(late);
    wal_rig_close(&rig);
    open_ok(&rig);
    ck_assert_int_eq(wal_rig_match(&rig, rig.appended, rig.appended), (int)rig.appended);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- fetch ---- */

static void fetch_and_compare(struct wal_rig *rig, struct wal_fetch *fetch, uint64_t first, uint64_t last, size_t bytes_max)
{
    struct raft_entry *entries = NULL;
    size_t count = 0;
    enum err err = wal_fetch_read(fetch, first, last, bytes_max, &entries, &count);
    ck_assert_msg(err == ERR_OK, "fetch %lu..%lu: %s", (unsigned long)first, (unsigned long)last, err_name(err));
    ck_assert_uint_ge(count, 1);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = wal_rig_value(&entries[i]);
        ck_assert_uint_eq(entries[i].index, first + i);
        ck_assert_uint_le(entries[i].index, last);
        ck_assert_uint_eq(entries[i].term, rig->states[rig->appended]->log[first + i].term);
        ck_assert_uint_eq(value, rig->states[rig->appended]->log[first + i].value);
        bytes += entries[i].data->size;
    }
    ck_assert(count == 1 || bytes <= bytes_max);
    wal_entries_free(entries, count);
}

START_TEST(test_wal_fetch_returns_the_versions_that_count)
{
    struct wal_rig rig;
    struct rng rng;
    wal_rig_init(&rig);
    rng_init(&rng, 3);
    open_ok(&rig);
    uint64_t last = 0;
    uint64_t commit = 0;
    struct fs *fs = fs_sim_new(rig.disk, true);
    struct wal_fetch *fetch = wal_fetch_new(fs, WAL_RIG_DIRECTORY);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t back = rng_below(&rng, 4) == 0 ? rng_below(&rng, last - commit + 1) : 0;
        size_t count = 1 + (size_t)rng_below(&rng, 4);
        wal_rig_append(&rig, last + 1 - back, count, 1 + i, commit, 16 + (size_t)rng_below(&rng, 500));
        last = last - back + count;
        wal_rig_run(&rig);
        if (rng_below(&rng, 3) == 0) commit += rng_below(&rng, last - commit + 1);
        if (commit == 0) continue;
        uint64_t first = 1 + rng_below(&rng, commit);
        fetch_and_compare(&rig, fetch, first, first + rng_below(&rng, commit - first + 1), (size_t)rng_below(&rng, 3000));
    }
    for (uint64_t first = 1; first <= commit; first++) fetch_and_compare(&rig, fetch, first, first, 1);
    fetch_and_compare(&rig, fetch, 1, commit, 1 << 30);
    wal_fetch_free(fetch);
    fs_free(fs);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_fetch_of_what_is_not_there_is_an_error)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 5, 1, 5, 50);
    wal_rig_run(&rig);
    struct fs *fs = fs_sim_new(rig.disk, true);
    struct wal_fetch *fetch = wal_fetch_new(fs, WAL_RIG_DIRECTORY);
    struct raft_entry *entries = NULL;
    size_t count = 0;
    ck_assert_int_eq(wal_fetch_read(fetch, 6, 9, 1000, &entries, &count), ERR_CORRUPT);
    ck_assert_ptr_null(entries);
    fetch_and_compare(&rig, fetch, 2, 5, 100000);
    wal_fetch_free(fetch);
    fs_free(fs);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- on the real file system ---- */

START_TEST(test_wal_works_on_the_real_file_system)
{
    struct wal_rig rig;
    char directory[] = "/tmp/test_wal_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(directory));
    wal_rig_init(&rig);
    rig.fs = fs_real_new();
    rig.options.directory = directory;
    rig.options.fs = rig.fs;
    rig.options.unsafe_no_fsync = true;
    struct blob *conf = blob_copy(slice_from_string("conf"));
    for (uint64_t round = 0; round < 3; round++) {
        struct wal_recovered found;
        rig.sequence_base = rig.appended;
        enum err err = wal_open(&rig.options, blob_slice(conf), ignore_entry, NULL, &rig.wal, &found);
        ck_assert_msg(err == ERR_OK, "%s", found.message);
        ck_assert_uint_eq(found.last_index, 20 * round);
        wal_recovered_deinit(&found);
        for (uint64_t i = 1; i <= 20; i++) wal_rig_append(&rig, 20 * round + i, 1, 1, 0, 900);
        wal_rig_run(&rig);
        ck_assert_uint_eq(wal_durable_sequence(rig.wal), 20);
        wal_close(rig.wal);
        rig.wal = NULL;
    }
    blob_unref(conf);
    wal_rig_deinit(&rig);
    char command[256];
    (void)snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
    TCase *log = tcase_create("log");
    tcase_set_timeout(log, 60);
    tcase_add_test(log, test_wal_new_log_is_empty_and_has_the_bootstrap_configuration);
    tcase_add_test(log, test_wal_appends_become_durable_and_come_back);
    tcase_add_test(log, test_wal_batch_is_bounded);
    tcase_add_test(log, test_wal_later_records_replace_a_conflicting_suffix);
    tcase_add_test(log, test_wal_rotates_through_many_segments);
    tcase_add_test(log, test_wal_full_segment_gives_back_what_it_did_not_use);
    tcase_add_test(log, test_wal_batch_larger_than_a_segment_gets_its_own);
    tcase_add_test(log, test_wal_writes_zeros_ahead_of_small_batches_only);
    tcase_add_test(log, test_wal_writes_no_zeros_over_a_former_segment);
    tcase_add_test(log, test_wal_idle_log_writes_one_mark);
    tcase_add_test(log, test_wal_mark_at_stop_follows_what_waits);
    tcase_add_test(log, test_wal_configuration_follows_the_log_and_its_overwrites);
    tcase_add_loop_test(log, test_wal_records_come_back_whole_however_short_they_are, 0, 2);
    tcase_add_test(log, test_wal_short_record_of_nothing_is_bad);
    tcase_add_test(log, test_wal_segment_of_an_older_program_gets_no_short_records);
    tcase_add_test(log, test_wal_operations_completing_late_keep_the_order);
    tcase_add_test(log, test_wal_fetch_returns_the_versions_that_count);
    tcase_add_test(log, test_wal_fetch_of_what_is_not_there_is_an_error);
    tcase_add_test(log, test_wal_works_on_the_real_file_system);
    Suite *suite = suite_create("wal");
    suite_add_tcase(suite, log);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
