/* test_wal_head: where does the log begin: behind what a snapshot allows to drop, behind a reset, behind the snapshot itself? And what
 * does a reader beside the writer see of it? */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/wal_rig.h"
#include "storage/wal_format.h"
#include "storage/wal_spare.h"

static void open_ok(struct wal_rig *rig)
{
    enum err err = wal_rig_open(rig);
    ck_assert_msg(err == ERR_OK, "open: %s: %s", err_name(err), rig->found.message);
}

static void reopen_ok(struct wal_rig *rig)
{
    wal_rig_close(rig);
    open_ok(rig);
    int match = wal_rig_match(rig, rig->appended, rig->appended);
    ck_assert_msg(match == (int)rig->appended, "first %lu, last %lu: %s", (unsigned long)rig->found.first_index,
                  (unsigned long)rig->found.last_index, rig->found.message);
}

static size_t segment_count(const struct wal_rig *rig)
{
    char path[256];
    size_t count = 0;
    while (wal_rig_segment(rig, count, path, sizeof path)) count++;
    return count;
}

static struct wal_stats stats_of(const struct wal_rig *rig)
{
    struct wal_stats stats;
    wal_get_stats(rig->wal, &stats);
    return stats;
}

/* Entries 1 to `last`, each a batch of its own, in a term that is one more every ten. */
static void append_up_to(struct wal_rig *rig, uint64_t last)
{
    for (uint64_t index = rig->states[rig->appended]->last_index + 1; index <= last; index++) {
        wal_rig_append(rig, index, 1, 1 + index / 10, index - 1, 900);
        wal_rig_run(rig);
    }
}

static uint64_t term_of(uint64_t index)
{
    return 1 + index / 10;
}

/* A log of 60 entries, some segments long. */
static void rig_of_sixty(struct wal_rig *rig)
{
    wal_rig_init(rig);
    open_ok(rig);
    append_up_to(rig, 60);
    ck_assert_uint_gt(segment_count(rig), 6);
}

START_TEST(test_wal_head_drops_the_segments_that_a_snapshot_stands_for_and_no_other)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    for (uint64_t index = 1; index <= 60; index++) {
        wal_rig_snapshot(&rig, index, term_of(index));
        wal_drop_head(rig.wal, index);
        wal_rig_run(&rig);
        struct wal_stats stats = stats_of(&rig);
        ck_assert_uint_le(stats.first_index, index + 1);
        ck_assert_uint_eq(stats.segments_held, segment_count(&rig));
        char path[256];
        uint64_t sequence = 0, first_index = 0;
        ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
        ck_assert(wal_format_parse_name(path + strlen(WAL_RIG_DIRECTORY "/"), &sequence, &first_index));
        ck_assert_uint_eq(first_index, stats.first_index);
        if (wal_rig_segment(&rig, 1, path, sizeof path)) {
            ck_assert(wal_format_parse_name(path + strlen(WAL_RIG_DIRECTORY "/"), &sequence, &first_index));
            ck_assert_uint_gt(first_index, index + 1); /* or the one before it could go, too */
        }
        struct wal_rig_state *now = rig.states[rig.appended];
        reopen_ok(&rig);
        ck_assert_uint_eq(rig.found.hard.commit, now->hard.commit > index ? now->hard.commit : index);
        ck_assert_str_eq(rig.found.message, "");
    }
    ck_assert_uint_eq(segment_count(&rig), 1);
    append_up_to(&rig, 100);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_head_bytes_on_disk_shrink_by_what_is_dropped_and_not_kept_for_use_again)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    append_up_to(&rig, 150);
    struct wal_stats before = stats_of(&rig);
    wal_drop_head(rig.wal, 140);
    wal_drop_head(rig.wal, 20); /* changes nothing */
    wal_rig_run(&rig);
    struct wal_stats after = stats_of(&rig);
    ck_assert_uint_lt(after.disk_bytes, before.disk_bytes);
    ck_assert_uint_eq(after.disk_bytes, fs_sim_used(rig.disk));
    ck_assert_uint_gt(before.segments_held, after.segments_held + WAL_SPARE_KEPT_MAX);
    ck_assert_uint_gt(after.first_index, 130);
    wal_rig_snapshot(&rig, 140, term_of(140));
    reopen_ok(&rig);
    ck_assert_uint_eq(stats_of(&rig).first_index, after.first_index);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_head_keeps_some_segments_more_where_told)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    wal_rig_close(&rig);
    rig.options.segments_kept_max = 3;
    open_ok(&rig);
    size_t before = segment_count(&rig);
    wal_rig_snapshot(&rig, 60, term_of(60));
    wal_drop_head(rig.wal, 60);
    wal_rig_run(&rig);
    ck_assert_uint_eq(segment_count(&rig), 4);
    ck_assert_uint_gt(before, 4);
    reopen_ok(&rig);
    wal_rig_run(&rig);
    ck_assert_uint_eq(segment_count(&rig), 4);
    wal_rig_deinit(&rig);
}
END_TEST

/* An entry that replaces others may stand in a later segment than entries with higher numbers. */
START_TEST(test_wal_head_may_be_overwritten_below_the_first_entry_of_the_oldest_segment)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 8, 1, 0, 100);
    wal_rig_run(&rig);
    wal_rig_append_conf(&rig, 9, 1, 0);
    wal_rig_run(&rig);
    for (uint64_t index = 10; segment_count(&rig) < 2; index++) {
        wal_rig_append(&rig, index, 1, 1, 0, 900);
        wal_rig_run(&rig);
    }
    uint64_t first_index = rig.states[rig.appended]->last_index; /* of the second segment */
    ck_assert_uint_gt(first_index, 10);
    wal_rig_append(&rig, 7, 3, 2, 0, 100); /* over the configuration, too */
    wal_rig_run(&rig);
    append_up_to(&rig, 19);
    ck_assert_uint_ge(segment_count(&rig), 2);
    for (uint64_t index = first_index; index < 19; index++) {
        wal_rig_snapshot(&rig, index, 2);
        wal_drop_head(rig.wal, first_index - 1);
        reopen_ok(&rig);
        ck_assert_uint_le(rig.found.first_index, index + 1);
        ck_assert_uint_eq(rig.found.conf->size, 40); /* the snapshot's */
        ck_assert_uint_eq(rig.found.conf_index, index);
        wal_rig_run(&rig);
    }
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_head_configuration_behind_the_snapshot_counts)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    wal_rig_append_conf(&rig, 61, 7, 60);
    wal_rig_run(&rig);
    wal_rig_snapshot(&rig, 60, 7);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.conf->size, 60);
    ck_assert_uint_eq(rig.found.conf_index, 61);
    wal_rig_snapshot(&rig, 61, 7);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.conf->size, 40);
    ck_assert_uint_eq(rig.found.conf_index, 61);
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- a snapshot from another member ---- */

START_TEST(test_wal_reset_lets_the_log_begin_anew_and_removes_what_was_before)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    wal_rig_hard(&rig, 9, 3, 59);
    wal_rig_snapshot(&rig, 500, 8);
    wal_rig_reset(&rig, 500, 8, 9);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    ck_assert_uint_eq(segment_count(&rig), 1);
    ck_assert_uint_eq(stats_of(&rig).first_index, 501);
    reopen_ok(&rig);
    ck_assert(!rig.found.is_reset); /* it was before */
    ck_assert_uint_eq(rig.found.first_index, 501);
    ck_assert_uint_eq(rig.found.prev_term, 8);
    ck_assert_uint_eq(rig.found.last_index, 500);
    ck_assert_uint_eq(rig.found.hard.vote, 3);
    ck_assert_uint_eq(rig.found.run_count, 0);
    wal_rig_append(&rig, 501, 4, 9, 500, 900);
    wal_rig_append(&rig, 503, 4, 10, 501, 900);
    wal_rig_run(&rig);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.first_index, 501);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_reset_waits_for_what_was_appended_before_and_what_follows_waits_for_it)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    wal_rig_append(&rig, 61, 1, 7, 60, 100);
    wal_rig_snapshot(&rig, 100, 7);
    wal_rig_reset(&rig, 100, 7, 7);
    wal_rig_append(&rig, 101, 2, 7, 100, 100);
    wal_rig_snapshot(&rig, 120, 8);
    wal_rig_reset(&rig, 120, 8, 8);
    wal_rig_hard(&rig, 9, 2, 120);
    wal_rig_append(&rig, 121, 3, 9, 121, 100);
    wal_rig_run(&rig);
    ck_assert_uint_eq(wal_rig_durable(&rig), rig.appended);
    ck_assert_uint_eq(segment_count(&rig), 1);
    reopen_ok(&rig);
    ck_assert_uint_eq(rig.found.first_index, 121);
    ck_assert_uint_eq(rig.found.last_index, 123);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_reset_without_its_snapshot_is_refused)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    wal_rig_reset(&rig, 500, 8, 9);
    wal_rig_run(&rig);
    for (uint64_t index = 0; index < 500; index += 100) {
        wal_rig_close(&rig);
        wal_rig_snapshot(&rig, index, 1);
        ck_assert_int_eq(wal_rig_open(&rig), ERR_CORRUPT);
        ck_assert_ptr_nonnull(strstr(rig.found.message, "the log begins at index 501"));
    }
    wal_rig_deinit(&rig);
}
END_TEST

/* ---- the snapshot at start ---- */

START_TEST(test_wal_log_that_ends_before_the_snapshot_begins_anew_behind_it)
{
    struct wal_rig rig;
    rig_of_sixty(&rig);
    wal_rig_hard(&rig, 9, 3, 59);
    wal_rig_run(&rig);
    wal_rig_snapshot(&rig, 61, 8);
    reopen_ok(&rig);
    ck_assert(rig.found.is_reset);
    ck_assert_ptr_nonnull(strstr(rig.found.message, "the log ends before the snapshot"));
    ck_assert_uint_eq(rig.found.hard.term, 9);
    ck_assert_uint_eq(rig.found.hard.vote, 3);
    ck_assert_uint_eq(rig.found.hard.commit, 61);
    wal_rig_continue_from(&rig, rig.appended);
    wal_rig_run(&rig);
    ck_assert_uint_eq(segment_count(&rig), 1);
    reopen_ok(&rig);
    ck_assert(!rig.found.is_reset);
    ck_assert_str_eq(rig.found.message, "");
    ck_assert_uint_eq(rig.found.hard.vote, 3);
    wal_rig_append(&rig, 62, 2, 9, 61, 100);
    wal_rig_run(&rig);
    reopen_ok(&rig);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_log_that_leads_elsewhere_begins_anew_behind_the_snapshot)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 20, 3, 10, 100);
    wal_rig_run(&rig);
    wal_rig_snapshot(&rig, 15, 4); /* entries 11 to 20 were never committed */
    reopen_ok(&rig);
    ck_assert(rig.found.is_reset);
    ck_assert_uint_eq(rig.found.last_index, 15);
    ck_assert_uint_eq(rig.found.hard.term, 4);
    ck_assert_uint_eq(rig.found.hard.vote, RAFT_NONE);
    wal_rig_deinit(&rig);
}
END_TEST

/* The entry at the snapshot itself is lost, but those behind it are of an older term: they cannot follow from it. */
START_TEST(test_wal_log_whose_terms_would_go_back_behind_the_snapshot_begins_anew)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    for (uint64_t index = 1; segment_count(&rig) < 2; index++) {
        wal_rig_append(&rig, index, 1, 3, 0, 900);
        wal_rig_run(&rig);
    }
    char path[256];
    uint64_t last_index = rig.states[rig.appended]->last_index; /* the first one of the second segment */
    ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
    wal_rig_close(&rig);
    fs_sim_remove(rig.disk, path);
    wal_rig_snapshot(&rig, last_index - 1, 3);
    open_ok(&rig);
    ck_assert_uint_eq(rig.found.last_index, last_index);
    wal_rig_close(&rig);
    wal_rig_snapshot(&rig, last_index - 1, 4);
    open_ok(&rig);
    ck_assert(rig.found.is_reset);
    ck_assert_uint_eq(rig.found.last_index, last_index - 1);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_committed_entry_of_another_term_than_the_snapshots_is_refused)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    open_ok(&rig);
    wal_rig_append(&rig, 1, 20, 3, 15, 100);
    wal_rig_run(&rig);
    wal_rig_close(&rig);
    wal_rig_snapshot(&rig, 15, 4);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(rig.found.message, "not in term 4 as the snapshot says"));
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_new_log_with_a_snapshot_begins_behind_it)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    wal_rig_snapshot(&rig, 30, 4);
    open_ok(&rig);
    ck_assert(rig.found.is_new);
    ck_assert_uint_eq(rig.found.first_index, 31);
    ck_assert_uint_eq(rig.found.last_index, 30);
    ck_assert_uint_eq(rig.found.conf->size, 40);
    ck_assert_uint_eq(rig.found.hard.term, 4);
    wal_rig_close(&rig);
    open_ok(&rig);
    ck_assert(!rig.found.is_new);
    ck_assert_uint_eq(rig.found.first_index, 31);
    wal_rig_deinit(&rig);
}
END_TEST

START_TEST(test_wal_damage_that_the_snapshot_covers_is_said_each_time_until_its_segment_goes)
{
    struct wal_rig rig;
    char path[256];
    rig_of_sixty(&rig);
    wal_rig_snapshot(&rig, 50, term_of(50));
    ck_assert(wal_rig_segment(&rig, 2, path, sizeof path));
    fs_sim_flip(rig.disk, path, 5000, 1);
    for (int i = 0; i < 2; i++) {
        reopen_ok(&rig);
        ck_assert_ptr_nonnull(strstr(rig.found.message, path));
        ck_assert_ptr_nonnull(strstr(rig.found.message, "the log begins behind it, for the snapshot at index 50 stands for what is lost"));
        ck_assert_uint_gt(rig.found.first_index, 10);
    }
    wal_drop_head(rig.wal, 40);
    wal_rig_run(&rig);
    reopen_ok(&rig);
    ck_assert_str_eq(rig.found.message, "");
    ck_assert(wal_rig_segment(&rig, 1, path, sizeof path));
    fs_sim_remove(rig.disk, path);
    reopen_ok(&rig);
    ck_assert_ptr_nonnull(strstr(rig.found.message, "are missing: the snapshot at index 50 stands for them"));
    wal_rig_deinit(&rig);
}
END_TEST

/* A removed segment comes back with power, for the sync of the directory had failed: it stands before a hole. Where the snapshots are lost too,
 * the log behind the hole tells what this member has promised, and the void segments go once the cluster has passed that. */
START_TEST(test_wal_hole_behind_what_came_back_is_a_lost_head_once_the_snapshots_are_lost)
{
    static const struct {
        size_t kept;             /* how many segments stand before the hole */
        size_t first;            /* the first of them */
        uint64_t snapshot_index; /* an old snapshot that is still there; 0 = none */
        bool is_refused;         /* it leads up to the hole: a part of a log that counted is missing */
    } cases[] = {{1, 0, 0, false}, {2, 0, 0, false}, {1, 2, 0, false}, {1, 2, 5, false}, {3, 0, 5, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wal_rig rig;
        char path[256];
        rig_of_sixty(&rig);
        wal_rig_close(&rig);
        if (cases[i].snapshot_index > 0) wal_rig_snapshot(&rig, cases[i].snapshot_index, term_of(cases[i].snapshot_index));
        for (size_t at = 0; at < cases[i].first; at++) {
            ck_assert(wal_rig_segment(&rig, 0, path, sizeof path));
            fs_sim_remove(rig.disk, path);
        }
        ck_assert(wal_rig_segment(&rig, cases[i].kept, path, sizeof path));
        fs_sim_remove(rig.disk, path);
        ck_assert_int_eq(wal_rig_open(&rig), ERR_CORRUPT);
        wal_rig_close(&rig);
        rig.options.may_ask_others = true;
        enum err err = wal_rig_open(&rig);
        ck_assert_msg((err == ERR_OK) == !cases[i].is_refused, "case %lu: %s", (unsigned long)i, rig.found.message);
        if (err == ERR_OK) {
            ck_assert(rig.found.is_without_state);
            ck_assert_uint_eq(rig.found.first_index, cases[i].snapshot_index + 1);
            ck_assert_uint_eq(rig.found.suspect_index, 60);
            ck_assert_uint_eq(rig.found.suspect_term, term_of(60));
        }
        wal_rig_deinit(&rig);
    }
}
END_TEST

/* ---- beside a reader ---- */

static enum err fetch(struct wal_fetch *fetch, uint64_t first_index, uint64_t last_index, uint64_t *out_term)
{
    struct raft_entry *entries = NULL;
    size_t count = 0;
    enum err err = wal_fetch_read(fetch, first_index, last_index, 1 << 20, &entries, &count);
    if (err == ERR_OK) {
        ck_assert_uint_ge(count, 1);
        for (size_t i = 0; i < count; i++) ck_assert_uint_eq(entries[i].index, first_index + i);
        *out_term = entries[0].term;
    }
    wal_entries_free(entries, count);
    return err;
}

START_TEST(test_wal_fetch_tells_what_was_dropped_from_what_cannot_be_read)
{
    struct wal_rig rig;
    uint64_t term = 0;
    rig_of_sixty(&rig);
    struct fs *fs = fs_sim_new(rig.disk, true);
    struct wal_fetch *reader = wal_fetch_new(fs, WAL_RIG_DIRECTORY);
    for (uint64_t index = 1; index <= 60; index++) {
        wal_drop_head(rig.wal, index);
        wal_rig_run(&rig);
        uint64_t first_index = stats_of(&rig).first_index;
        for (uint64_t wanted = 1; wanted <= 60; wanted++) {
            enum err err = fetch(reader, wanted, 60, &term);
            ck_assert_int_eq(err, wanted < first_index ? ERR_COMPACTED : ERR_OK);
            if (err == ERR_OK) ck_assert_uint_eq(term, term_of(wanted));
        }
    }
    ck_assert_int_eq(fetch(reader, 61, 61, &term), ERR_CORRUPT);
    wal_rig_reset(&rig, 100, 8, 8);
    wal_rig_append(&rig, 101, 2, 8, 100, 100);
    wal_rig_run(&rig);
    for (uint64_t wanted = 1; wanted <= 100; wanted++) ck_assert_int_eq(fetch(reader, wanted, 102, &term), ERR_COMPACTED);
    ck_assert_int_eq(fetch(reader, 101, 102, &term), ERR_OK);
    wal_fetch_free(reader);
    fs_free(fs);
    wal_rig_deinit(&rig);
}
END_TEST

/* A file system of the reader's, on which the writer takes a turn at one of the reader's operations. */
struct turn_fs {
    struct fs fs;
    struct fs *inner;
    struct wal_rig *rig;
    uint64_t countdown; /* 1 = at the next operation */
    bool resets;
    uint64_t drop_index;
    void (*go_on)(struct wal_rig *rig);
};

static void turn_run(struct fs *fs, struct fs_op *op)
{
    struct turn_fs *turn = (struct turn_fs *)fs;
    if (turn->countdown > 0 && --turn->countdown == 0) {
        if (turn->resets) {
            wal_rig_reset(turn->rig, 100, 8, 8);
            wal_rig_append(turn->rig, 101, 2, 8, 100, 100);
        } else {
            wal_drop_head(turn->rig->wal, turn->drop_index);
        }
        wal_rig_run(turn->rig);
        if (turn->go_on != NULL) turn->go_on(turn->rig);
    }
    (void)fs_run(turn->inner, op);
}

static void append_many(struct wal_rig *rig) { append_up_to(rig, 130); }

/* Whatever the moment: the entries that count, or the news that they are gone, also when others stand in their files. */
START_TEST(test_wal_fetch_copes_with_segments_that_go_while_it_reads)
{
    static const struct fs_table table = {.run = turn_run};
    size_t oks = 0, gone = 0;
    for (int kind = 0; kind < 3; kind++) {
        for (uint64_t countdown = 1; countdown < 60; countdown++) {
            struct wal_rig rig;
            uint64_t term = 0;
            rig_of_sixty(&rig);
            struct turn_fs turn = {.fs = {.table = &table}, .rig = &rig, .countdown = countdown, .resets = kind == 1,
                                   .drop_index = 45, .go_on = kind == 2 ? append_many : NULL};
            turn.inner = fs_sim_new(rig.disk, true);
            struct wal_fetch *reader = wal_fetch_new(&turn.fs, WAL_RIG_DIRECTORY);
            enum err err = fetch(reader, 12, 40, &term);
            ck_assert(err == ERR_OK || err == ERR_COMPACTED);
            oks += err == ERR_OK;
            gone += err == ERR_COMPACTED;
            if (err == ERR_OK) ck_assert_uint_eq(term, term_of(12));
            if (turn.countdown == 0) ck_assert_int_eq(fetch(reader, 12, 40, &term), ERR_COMPACTED);
            wal_fetch_free(reader);
            fs_free(turn.inner);
            wal_rig_deinit(&rig);
        }
    }
    ck_assert_uint_gt(oks, 10);
    ck_assert_uint_gt(gone, 10);
}
END_TEST

#define LARGE 60000u

static void append_large(struct wal_rig *rig)
{
    for (uint64_t index = 125; index <= 320; index++) {
        wal_rig_append(rig, index, 1, 2, index - 1, LARGE);
        wal_rig_run(rig);
    }
}

/* A segment of several of the reader's windows, whose entries are overwritten in a later one: where others stand in its file in the middle of
 * the reading, what was read of it so far is not the version that counts. */
START_TEST(test_wal_fetch_believes_no_end_in_a_file_that_is_used_again)
{
    static const struct fs_table table = {.run = turn_run};
    size_t gone = 0;
    for (uint64_t countdown = 1; countdown < 30; countdown += 2) {
        struct wal_rig rig;
        uint64_t term = 0;
        wal_rig_init(&rig);
        rig.options.segment_bytes = 3 << 20;
        rig.options.batch_bytes_max = 1 << 20;
        open_ok(&rig);
        for (uint64_t index = 1; index <= 90; index++) {
            wal_rig_append(&rig, index, 1, 1, index <= 40 ? index - 1 : 40, LARGE);
            if (index == 50) wal_drop_head(rig.wal, 20); /* so that what waits is used up before the turn */
            wal_rig_run(&rig);
        }
        for (uint64_t index = 45; index <= 124; index++) {
            wal_rig_append(&rig, index, 1, 2, index == 45 ? 40 : index - 1, LARGE);
            wal_rig_run(&rig);
        }
        struct turn_fs turn = {.fs = {.table = &table}, .rig = &rig, .countdown = countdown, .drop_index = 120, .go_on = append_large};
        turn.inner = fs_sim_new(rig.disk, true);
        struct wal_fetch *reader = wal_fetch_new(&turn.fs, WAL_RIG_DIRECTORY);
        enum err err = fetch(reader, 46, 60, &term);
        ck_assert(err == ERR_OK || err == ERR_COMPACTED);
        if (err == ERR_OK) ck_assert_uint_eq(term, 2);
        gone += err == ERR_COMPACTED ? 1 : 0;
        wal_fetch_free(reader);
        fs_free(turn.inner);
        wal_rig_deinit(&rig);
    }
    ck_assert_uint_gt(gone, 5);
}
END_TEST

int main(void)
{
    TCase *head = tcase_create("head");
    tcase_set_timeout(head, 60);
    tcase_add_test(head, test_wal_head_drops_the_segments_that_a_snapshot_stands_for_and_no_other);
    tcase_add_test(head, test_wal_head_bytes_on_disk_shrink_by_what_is_dropped_and_not_kept_for_use_again);
    tcase_add_test(head, test_wal_head_keeps_some_segments_more_where_told);
    tcase_add_test(head, test_wal_head_may_be_overwritten_below_the_first_entry_of_the_oldest_segment);
    tcase_add_test(head, test_wal_head_configuration_behind_the_snapshot_counts);
    tcase_add_test(head, test_wal_reset_lets_the_log_begin_anew_and_removes_what_was_before);
    tcase_add_test(head, test_wal_reset_waits_for_what_was_appended_before_and_what_follows_waits_for_it);
    tcase_add_test(head, test_wal_reset_without_its_snapshot_is_refused);
    tcase_add_test(head, test_wal_log_that_ends_before_the_snapshot_begins_anew_behind_it);
    tcase_add_test(head, test_wal_log_that_leads_elsewhere_begins_anew_behind_the_snapshot);
    tcase_add_test(head, test_wal_log_whose_terms_would_go_back_behind_the_snapshot_begins_anew);
    tcase_add_test(head, test_wal_committed_entry_of_another_term_than_the_snapshots_is_refused);
    tcase_add_test(head, test_wal_new_log_with_a_snapshot_begins_behind_it);
    tcase_add_test(head, test_wal_damage_that_the_snapshot_covers_is_said_each_time_until_its_segment_goes);
    tcase_add_test(head, test_wal_hole_behind_what_came_back_is_a_lost_head_once_the_snapshots_are_lost);
    tcase_add_test(head, test_wal_fetch_tells_what_was_dropped_from_what_cannot_be_read);
    tcase_add_test(head, test_wal_fetch_believes_no_end_in_a_file_that_is_used_again);
    tcase_add_test(head, test_wal_fetch_copes_with_segments_that_go_while_it_reads);
    Suite *suite = suite_create("wal_head");
    suite_add_tcase(suite, head);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
