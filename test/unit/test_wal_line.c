/* test_wal_line: what does a member make of its log at start, from the directory to a raft core that may vote? */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/fs_sim.h"
#include "lib/rcu_double.h"
#include "pipeline/line_recover.h"
#include "storage/wal_format.h"

#define SOLO "a=http://127.0.0.1:1"
#define THREE SOLO ",b=http://127.0.0.1:2,c=http://127.0.0.1:3"

struct start {
    struct config config;
    struct rcu_double rcu;
    struct fs_sim_disk *disk;
    struct fs *fs;
    struct fs *wal_fs;
    struct data_dir dir;
    struct line_recovered line;
    char message[1024];
};

static void start_init(struct start *start, const char *initial_cluster)
{
    memset(start, 0, sizeof *start);
    config_init(&start->config);
    start->config.name = "a";
    start->config.initial_advertise_peer_urls = "http://127.0.0.1:1";
    start->config.initial_cluster = initial_cluster;
    ck_assert_msg(config_check(&start->config, start->message, sizeof start->message), "%s", start->message);
    start->disk = fs_sim_disk_new();
    rcu_double_init(&start->rcu);
}

static bool start_up(struct start *start)
{
    start->fs = fs_sim_new(start->disk, true);
    start->wal_fs = fs_sim_new(start->disk, true);
    ck_assert_int_eq(data_dir_open(start->fs, "d", "", NULL, &start->dir, start->message, sizeof start->message), ERR_OK);
    struct line_recover_options options = {.config = &start->config, .dir = &start->dir, .wal_fs = start->wal_fs,
                                           .rcu = &start->rcu.rcu,
                                           .now_ns = NS_PER_S, .seed = 1};
    return line_recover_state(&options, &start->line, start->message, sizeof start->message);
}

static struct raft_status status_of(const struct start *start)
{
    struct raft_status status;
    raft_get_status(start->line.raft, &status);
    return status;
}

static void start_down(struct start *start)
{
    raft_free(start->line.raft);
    wal_close(start->line.wal);
    rcu_wait(&start->rcu.rcu);
    state_machine_free(start->line.machine);
    cluster_unref(start->line.cluster);
    snapshot_dir_close(&start->line.snapshots);
    memset(&start->line, 0, sizeof start->line);
    data_dir_close(&start->dir);
    fs_free(start->fs);
    fs_free(start->wal_fs);
    start->fs = start->wal_fs = NULL;
}

static void start_deinit(struct start *start)
{
    start_down(start);
    fs_sim_disk_free(start->disk);
}

/* A start, then a batch of an entry of so many bytes on top; the batch is the log's last one. */
static void append_last(struct start *start, size_t size)
{
    ck_assert_msg(start_up(start), "%s", start->message);
    struct blob *data = blob_new(size);
    memset(data->data, 7, data->size);
    struct raft_entry entry = {.index = 2, .term = 1, .kind = RAFT_ENTRY_COMMAND, .data = data};
    struct wal_append append = {.sequence = 1, .hard = {.term = 4, .vote = 77, .commit = 1}, .entries = &entry, .entry_count = 1};
    wal_append(start->line.wal, &append);
    while (wal_durable_sequence(start->line.wal) < 1) (void)wal_step(start->line.wal, NS_PER_S);
    blob_unref(data);
    start_down(start);
}

static void segment_path(const struct start *start, char *out_path, size_t size)
{
    char name[200];
    uint64_t sequence, first_index;
    for (size_t i = 0; fs_sim_name(start->disk, "d/wal", i, name, sizeof name); i++) {
        if (wal_format_parse_name(name, &sequence, &first_index)) snprintf(out_path, size, "d/wal/%s", name);
    }
}

/* Flips a bit in the place'th block of the last batch. */
static void damage_last(struct start *start, uint32_t place)
{
    char path[256] = "";
    uint8_t block[WAL_FORMAT_BLOCK];
    struct wal_format_stamp stamp;
    uint64_t last = 0;
    uint64_t at = 0;
    segment_path(start, path, sizeof path);
    for (uint64_t offset = 0; offset < fs_sim_size(start->disk, path); offset += WAL_FORMAT_BLOCK) {
        fs_sim_peek(start->disk, path, offset, block, sizeof block);
        if (wal_format_classify(block, &stamp) != WAL_FORMAT_GOOD || stamp.batch < last || stamp.block != place) continue;
        last = stamp.batch;
        at = offset;
    }
    ck_assert_uint_gt(at, 0);
    fs_sim_flip(start->disk, path, at + 100, 1);
}

START_TEST(test_wal_line_only_voter_cuts_a_suspect_tail_keeps_it_aside_and_says_so)
{
    struct start start;
    char path[256] = "";
    char broken[300];
    start_init(&start, SOLO);
    append_last(&start, 2000);
    damage_last(&start, 1);
    segment_path(&start, path, sizeof path);
    snprintf(broken, sizeof broken, "%s" WAL_FORMAT_BROKEN_SUFFIX, path);
    ck_assert_msg(start_up(&start), "%s", start.message);
    struct raft_status status = status_of(&start);
    ck_assert(!status.is_suspect);
    ck_assert_uint_eq(status.last_index, 1);
    ck_assert_uint_eq(status.term, 4); /* what it voted stays */
    ck_assert(fs_sim_exists(start.disk, broken));
    start_down(&start);
    ck_assert_msg(start_up(&start), "%s", start.message); /* and the next start has nothing to say */
    ck_assert(!status_of(&start).is_suspect);
    start_deinit(&start);
}
END_TEST

START_TEST(test_wal_line_one_of_three_voters_stays_suspect)
{
    for (uint32_t place = 0; place < 2; place++) {
        struct start start;
        start_init(&start, THREE);
        append_last(&start, 2000);
        damage_last(&start, place);
        for (int round = 0; round < 2; round++) {
            ck_assert_msg(start_up(&start), "%s", start.message);
            struct raft_status status = status_of(&start);
            ck_assert(status.is_suspect);
            ck_assert_uint_eq(status.last_index, 1);
            ck_assert_uint_eq(status.term, 4); /* both ends of the batch tell the vote */
            start_down(&start);
        }
        start_deinit(&start);
    }
}
END_TEST

START_TEST(test_wal_line_torn_tail_makes_nobody_suspect)
{
    struct start start;
    char path[256] = "";
    uint8_t zeros[WAL_FORMAT_BLOCK] = {0};
    start_init(&start, THREE);
    append_last(&start, 2000);
    segment_path(&start, path, sizeof path);
    damage_last(&start, 1);
    for (uint64_t offset = 0, found = 0; found == 0; offset += WAL_FORMAT_BLOCK) {
        struct wal_format_stamp stamp;
        uint8_t block[WAL_FORMAT_BLOCK];
        fs_sim_peek(start.disk, path, offset, block, sizeof block);
        if (wal_format_classify(block, &stamp) != WAL_FORMAT_BAD) continue;
        fs_sim_poke(start.disk, path, offset, zeros, sizeof zeros);
        found = 1;
    }
    ck_assert_msg(start_up(&start), "%s", start.message);
    ck_assert(!status_of(&start).is_suspect);
    ck_assert_uint_eq(status_of(&start).last_index, 1);
    start_deinit(&start);
}
END_TEST

/* The replay is far into the log when it meets the damage, and has published what it may not keep. */
START_TEST(test_wal_line_damage_in_the_middle_is_refused_with_file_and_offset)
{
    struct start start;
    char path[256] = "";
    char place[300];
    start_init(&start, THREE);
    ck_assert_msg(start_up(&start), "%s", start.message);
    for (uint64_t batch = 0; batch < 8; batch++) {
        struct raft_entry entries[1000] = {0};
        for (uint64_t i = 0; i < 1000; i++) {
            entries[i] = (struct raft_entry){.index = 2 + batch * 1000 + i, .term = 1, .kind = RAFT_ENTRY_EMPTY};
        }
        struct wal_append append = {.sequence = batch + 1, .entries = entries, .entry_count = 1000};
        append.hard = (struct raft_hard_state){.term = 1, .commit = 1001 + batch * 1000};
        wal_append(start.line.wal, &append);
        while (wal_durable_sequence(start.line.wal) <= batch) (void)wal_step(start.line.wal, NS_PER_S);
    }
    start_down(&start);
    segment_path(&start, path, sizeof path);
    uint64_t offset = 7 * 51 * (uint64_t)WAL_FORMAT_BLOCK; /* in the seventh of eight batches of 51 blocks */
    fs_sim_flip(start.disk, path, offset + 77, 0x10);
    snprintf(place, sizeof place, "%s: corrupt at offset %lu:", path, (unsigned long)offset);
    ck_assert(!start_up(&start));
    ck_assert_msg(strstr(start.message, place) != NULL, "%s is not in: %s", place, start.message);
    start_deinit(&start);
}
END_TEST

static void remove_log(struct start *start)
{
    char path[256] = "";
    segment_path(start, path, sizeof path);
    fs_sim_remove(start->disk, path);
}

START_TEST(test_wal_line_member_whose_log_is_gone_does_not_start_as_if_it_were_new)
{
    struct start start;
    start_init(&start, THREE);
    append_last(&start, 100);
    remove_log(&start);
    for (int round = 0; round < 2; round++) {
        ck_assert(!start_up(&start));
        ck_assert_ptr_nonnull(strstr(start.message, "d/wal: holds no log entry"));
        start_down(&start);
    }
    start_deinit(&start);
}
END_TEST

START_TEST(test_wal_line_log_without_an_identity_is_refused)
{
    struct start start;
    start_init(&start, THREE);
    append_last(&start, 100);
    fs_sim_remove(start.disk, "d/identity");
    ck_assert(!start_up(&start));
    ck_assert_ptr_nonnull(strstr(start.message, "identity of its member is missing"));
    start_deinit(&start);
}
END_TEST

/* The power goes at that operation of a start, in a dozen ways, and the next start is as expected. False: the start has fewer operations. */
static bool cut_start_short(struct start *start, uint64_t op, void (*expect)(const struct start *start))
{
    fs_sim_freeze_at(start->disk, op);
    ck_assert_msg(start_up(start), "%s", start->message);
    start_down(start);
    const struct fs_sim_disk *frozen = fs_sim_frozen(start->disk);
    bool is_cut = frozen != NULL;
    for (uint64_t seed = 0; is_cut && seed < 12; seed++) {
        struct fs_sim_crash crash = {.loss = seed == 0 ? FS_SIM_LOSE_ALL : FS_SIM_RANDOM, .seed = seed};
        crash.names = seed == 0 ? FS_SIM_NAMES_NONE : FS_SIM_NAMES_SOME;
        struct fs_sim_disk *live = start->disk;
        start->disk = fs_sim_crash(frozen, &crash);
        ck_assert_msg(start_up(start), "cut at op %lu, seed %lu: %s", (unsigned long)op, (unsigned long)seed, start->message);
        expect(start);
        start_down(start);
        fs_sim_disk_free(start->disk);
        start->disk = live;
    }
    start_deinit(start);
    return is_cut;
}

static void expect_first(const struct start *start) { ck_assert_uint_eq(status_of(start).last_index, 1); }

START_TEST(test_wal_line_bootstrap_cut_short_is_done_again)
{
    bool is_cut = true;
    for (uint64_t op = 1; is_cut; op++) {
        struct start start;
        start_init(&start, op % 2 == 0 ? SOLO : THREE);
        is_cut = cut_start_short(&start, op, expect_first);
        ck_assert_uint_lt(op, 100);
    }
}
END_TEST

/* --- a log whose snapshots are lost --- */

enum { LOST_FROM = 100, LOST_LAST = 120, LOST_TERM = 7, LOST_VOTE = 77 };

/* A log that a snapshot at LOST_FROM stands before, and no snapshot. */
static void lose_snapshots(struct start *start)
{
    ck_assert_msg(start_up(start), "%s", start->message);
    struct blob *conf = raft_conf_encode(raft_conf(start->line.raft));
    struct wal_append reset = {.sequence = 1, .hard = {.term = 5, .commit = LOST_FROM},
                               .reset = {.is_reset = true, .index = LOST_FROM, .term = 4, .conf = blob_slice(conf)}};
    wal_append(start->line.wal, &reset);
    struct raft_entry entries[LOST_LAST - LOST_FROM] = {0};
    for (uint64_t i = 0; i < LOST_LAST - LOST_FROM; i++) {
        entries[i] = (struct raft_entry){.index = LOST_FROM + 1 + i, .term = 5, .kind = RAFT_ENTRY_EMPTY};
    }
    struct wal_append append = {.sequence = 2, .hard = {.term = LOST_TERM, .vote = LOST_VOTE, .commit = LOST_FROM + 9},
                                .entries = entries, .entry_count = LOST_LAST - LOST_FROM};
    wal_append(start->line.wal, &append);
    while (wal_durable_sequence(start->line.wal) < 2) (void)wal_step(start->line.wal, NS_PER_S);
    blob_unref(conf);
    start_down(start);
}

/* What it promised stands, what it held counts as lost, and it knows whom to ask. */
static void expect_lost(const struct start *start)
{
    struct raft_status status = status_of(start);
    ck_assert(status.is_suspect);
    ck_assert_uint_eq(status.first_index, 1);
    ck_assert_uint_eq(status.last_index, 0);
    ck_assert_uint_eq(status.commit_index, 0);
    ck_assert_uint_eq(status.term, LOST_TERM);
    ck_assert_uint_eq(status.vote, LOST_VOTE);
    ck_assert_uint_eq(start->line.start.index, LOST_LAST); /* what the others are told */
    ck_assert_uint_eq(raft_conf(start->line.raft)->voter_count, 3);
}

static size_t count_segments(const struct start *start)
{
    char name[200];
    uint64_t sequence, first_index;
    size_t count = 0;
    for (size_t i = 0; fs_sim_name(start->disk, "d/wal", i, name, sizeof name); i++) count += wal_format_parse_name(name, &sequence, &first_index);
    return count;
}

START_TEST(test_wal_line_log_without_its_snapshots_begins_anew_and_remembers_what_it_held)
{
    struct start start;
    start_init(&start, THREE);
    lose_snapshots(&start);
    for (int round = 0; round < 3; round++) {
        ck_assert_msg(start_up(&start), "%s", start.message);
        expect_lost(&start);
        for (int i = 0; i < 50; i++) (void)wal_step(start.line.wal, NS_PER_S); /* what is void stays until the cluster has passed it */
        ck_assert_uint_ge(count_segments(&start), 2);
        start_down(&start);
    }
    start_deinit(&start);
}
END_TEST

START_TEST(test_wal_line_what_the_disk_does_not_give_is_not_lost)
{
    struct start start;
    start_init(&start, THREE);
    lose_snapshots(&start);
    size_t segments = count_segments(&start);
    struct fs *fs = fs_sim_new(start.disk, true);
    struct fs_file *file = NULL;
    ck_assert_int_eq(fs_open(fs, "d/snap/0000000000000005-0000000000000064.snap", FS_WRITE | FS_CREATE, &file), 0);
    struct fs_op op = {.kind = FS_PWRITE, .file = file, .size = 4096, .data = alloc_zero(1, 4096)};
    ck_assert_int_eq(fs_run(fs, &op), 0);
    fs_close(fs, file);
    fs_free(fs);
    alloc_free((void *)op.data);
    fs_sim_fail(start.disk, FS_PREAD, 2, EIO); /* behind the identity's */
    ck_assert(!start_up(&start));
    ck_assert_msg(strstr(start.message, ".snap: at byte 0: cannot be read") != NULL, "%s", start.message);
    ck_assert_uint_eq(count_segments(&start), segments);
    start_down(&start);
    ck_assert_msg(start_up(&start), "%s", start.message); /* it gives it: it is damaged */
    expect_lost(&start);
    start_deinit(&start);
}
END_TEST

/* The answer to a question for its vote by somebody whose log ends there. */
static struct raft_msg ask_vote(struct start *start, enum raft_msg_kind kind, uint64_t term, uint64_t index, uint64_t log_term)
{
    const struct raft_conf *conf = raft_conf(start->line.raft);
    struct raft_input input = {.kind = RAFT_IN_MESSAGE, .now_ns = NS_PER_S};
    input.message = (struct raft_msg){.kind = kind, .to = start->line.identity.member_id, .term = term, .index = index, .log_term = log_term};
    input.message.from = conf->voters[0] == input.message.to ? conf->voters[1] : conf->voters[0];
    (void)raft_step(start->line.raft, &input);
    const struct raft_output *output = raft_take_output(start->line.raft, NS_PER_S);
    const struct raft_msg *messages = output->message_count > 0 ? output->messages : output->messages_after;
    ck_assert_uint_eq(output->message_count + output->message_after_count, 1);
    return messages[0];
}

START_TEST(test_wal_line_who_lost_its_snapshots_helps_nobody_to_lead_who_lacks_its_log)
{
    struct start start;
    start_init(&start, THREE);
    lose_snapshots(&start);
    ck_assert_msg(start_up(&start), "%s", start.message);
    struct raft_msg answer = ask_vote(&start, RAFT_MSG_PRE_VOTE, LOST_TERM + 1, LOST_LAST - 1, 5);
    ck_assert(answer.reject);
    ck_assert_uint_eq(answer.index, LOST_LAST); /* another one who lost the same must not hear that nobody has it */
    ck_assert_uint_eq(answer.log_term, 5);
    ck_assert(ask_vote(&start, RAFT_MSG_VOTE, LOST_TERM + 1, LOST_LAST - 1, 5).reject);
    ck_assert(ask_vote(&start, RAFT_MSG_VOTE, LOST_TERM + 2, LOST_LAST - 1, 4).reject);
    ck_assert(!ask_vote(&start, RAFT_MSG_VOTE, LOST_TERM + 3, LOST_LAST, 5).reject);
    start_deinit(&start);
}
END_TEST

START_TEST(test_wal_line_only_voter_without_its_snapshots_is_refused_and_told_what_to_do)
{
    struct start start;
    start_init(&start, SOLO);
    lose_snapshots(&start);
    size_t segments = count_segments(&start);
    for (int round = 0; round < 2; round++) {
        ck_assert(!start_up(&start));
        ck_assert_msg(strstr(start.message, "d/wal/") != NULL && strstr(start.message, "begins at index 101") != NULL, "%s", start.message);
        ck_assert_msg(strstr(start.message, "d/snap") != NULL && strstr(start.message, "kvctl snapshot restore") != NULL, "%s", start.message);
        ck_assert_uint_eq(count_segments(&start), segments);
        start_down(&start);
    }
    start_deinit(&start);
}
END_TEST

START_TEST(test_wal_line_beginning_without_snapshots_cut_short_is_done_again)
{
    bool is_cut = true;
    for (uint64_t op = 1; is_cut; op++) {
        struct start start;
        start_init(&start, THREE);
        lose_snapshots(&start);
        is_cut = cut_start_short(&start, op, expect_lost);
        ck_assert_uint_lt(op, 200);
    }
}
END_TEST

int main(void)
{
    TCase *line = tcase_create("line");
    tcase_set_timeout(line, 120);
    tcase_add_test(line, test_wal_line_only_voter_cuts_a_suspect_tail_keeps_it_aside_and_says_so);
    tcase_add_test(line, test_wal_line_one_of_three_voters_stays_suspect);
    tcase_add_test(line, test_wal_line_torn_tail_makes_nobody_suspect);
    tcase_add_test(line, test_wal_line_damage_in_the_middle_is_refused_with_file_and_offset);
    tcase_add_test(line, test_wal_line_member_whose_log_is_gone_does_not_start_as_if_it_were_new);
    tcase_add_test(line, test_wal_line_log_without_an_identity_is_refused);
    tcase_add_test(line, test_wal_line_bootstrap_cut_short_is_done_again);
    tcase_add_test(line, test_wal_line_log_without_its_snapshots_begins_anew_and_remembers_what_it_held);
    tcase_add_test(line, test_wal_line_what_the_disk_does_not_give_is_not_lost);
    tcase_add_test(line, test_wal_line_who_lost_its_snapshots_helps_nobody_to_lead_who_lacks_its_log);
    tcase_add_test(line, test_wal_line_only_voter_without_its_snapshots_is_refused_and_told_what_to_do);
    tcase_add_test(line, test_wal_line_beginning_without_snapshots_cut_short_is_done_again);
    Suite *suite = suite_create("wal_line");
    suite_add_tcase(suite, line);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
