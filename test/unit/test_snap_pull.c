/* test_snap_pull: does a snapshot get whole from one member to another, whatever is lost, repeated, wrong or damaged on the way? And does a
 * client's stream say the same bytes? Sender and receiver have a disk each; the lanes between them are the test's. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/snapshot_rig.h"
#include "pipeline/snap_pull.h"
#include "pipeline/snap_serve.h"
#include "pipeline/snap_stream.h"

#define INDEX 9
#define SENDER 1
#define RECEIVER 2
#define LANE 64

struct scene {
    struct snapshot_rig_store store;
    struct fs_sim_disk *from_disk, *to_disk;
    struct fs *from_fs, *to_fs;
    struct snapshot_dir from_dir, to_dir;
    struct lane to_receiver, to_sender, to_net;
    struct doorbell bell;
    struct snap_serve serve;
    struct snap_pull pull;
    struct snap_streams streams;
    uint64_t now_ns;
    uint64_t term;
    uint64_t asked;   /* questions that came to the sender */
    uint64_t dropped;
    uint64_t drop_at; /* every so many'th chunk is lost; 0 = none */
};

static void open_dir(struct fs *fs, struct snapshot_dir *dir)
{
    char message[256];
    ck_assert_msg(snapshot_dir_open(fs, SNAPSHOT_RIG_DIR, dir, message, sizeof(message)) == ERR_OK, "%s", message);
}

static void scene_init(struct scene *scene, int changes)
{
    struct rng rng = snapshot_rig_rng(1);
    memset(scene, 0, sizeof(*scene));
    scene->now_ns = NS_PER_S;
    scene->from_disk = fs_sim_disk_new();
    scene->to_disk = fs_sim_disk_new();
    scene->from_fs = fs_sim_new(scene->from_disk, true);
    scene->to_fs = fs_sim_new(scene->to_disk, true);
    snapshot_rig_make_dir(scene->from_fs);
    snapshot_rig_make_dir(scene->to_fs);
    snapshot_rig_store_init(&scene->store, NULL);
    for (int i = 0; i < changes; i++) snapshot_rig_change(scene->store.mvcc, &rng, 400, true);
    struct state_machine_image *image = snapshot_rig_image(scene->store.mvcc, INDEX);
    scene->term = image->term;
    ck_assert_int_eq(snapshot_rig_write(scene->from_fs, image, NULL, NULL), ERR_OK);
    open_dir(scene->from_fs, &scene->from_dir);
    open_dir(scene->to_fs, &scene->to_dir);
    struct lane *lanes[] = {&scene->to_receiver, &scene->to_sender, &scene->to_net};
    for (size_t i = 0; i < 3; i++) lane_init(lanes[i], "test", LANE, NULL);
    snap_serve_init(&scene->serve, scene->from_fs, &scene->from_dir, SENDER);
    scene->serve.to_peer = &scene->to_receiver;
    snap_streams_init(&scene->streams, scene->from_fs, &scene->from_dir);
    scene->streams.to_net = &scene->to_net;
    snap_pull_init(&scene->pull, scene->to_fs, &scene->to_dir, RECEIVER, 0, false);
    scene->pull.to_peer = &scene->to_sender;
}

static void scene_deinit(struct scene *scene)
{
    snap_serve_deinit(&scene->serve);
    snap_streams_deinit(&scene->streams);
    snap_pull_deinit(&scene->pull);
    lane_deinit(&scene->to_receiver);
    lane_deinit(&scene->to_sender);
    lane_deinit(&scene->to_net);
    snapshot_dir_close(&scene->from_dir);
    snapshot_dir_close(&scene->to_dir);
    snapshot_rig_store_deinit(&scene->store);
    fs_free(scene->from_fs);
    fs_free(scene->to_fs);
    fs_sim_disk_free(scene->from_disk);
    fs_sim_disk_free(scene->to_disk);
}

static void offer(struct scene *scene) { snap_pull_offer(&scene->pull, SENDER, INDEX, scene->term, scene->now_ns); }

/* Both ends and what is between them, until nothing moves. */
static void run(struct scene *scene)
{
    struct mail mail;
    bool moved = true;
    for (int rounds = 0; moved; rounds++) {
        ck_assert_int_lt(rounds, 100000);
        moved = snap_pull_step(&scene->pull, scene->now_ns);
        while (lane_take(&scene->to_sender, &mail)) {
            scene->asked++;
            snap_serve_ask(&scene->serve, &mail.peer.message->msg, scene->now_ns);
            mail_deinit(&mail);
            moved = true;
        }
        moved = snap_serve_step(&scene->serve, scene->now_ns) || moved;
        for (uint64_t n = 1; lane_take(&scene->to_receiver, &mail); n++) {
            bool is_lost = scene->drop_at != 0 && (scene->asked + n) % scene->drop_at == 0;
            scene->dropped += is_lost;
            if (!is_lost) snap_pull_chunk(&scene->pull, &mail.peer.message->msg, scene->now_ns);
            mail_deinit(&mail);
            moved = true;
        }
    }
}

static struct state_machine_loaded *take(struct scene *scene)
{
    struct state_machine_loaded *loaded = snap_pull_take(&scene->pull);
    char *path = snapshot_dir_file(&scene->from_dir, INDEX, scene->term, false);
    if (loaded != NULL) ck_assert_uint_eq(loaded->file_bytes, fs_sim_size(scene->from_disk, path));
    alloc_free(path);
    return loaded;
}

static void expect_whole(struct scene *scene)
{
    struct state_machine_loaded *loaded = take(scene);
    ck_assert_ptr_nonnull(loaded);
    ck_assert_uint_eq(loaded->index, INDEX);
    struct snapshot_rig_store copy;
    snapshot_rig_store_init(&copy, loaded->content);
    loaded->content = NULL;
    snapshot_rig_compare(mvcc_view(scene->store.mvcc), mvcc_view(copy.mvcc));
    snapshot_rig_store_deinit(&copy);
    state_machine_loaded_free(loaded);
    char *path = snapshot_dir_file(&scene->to_dir, INDEX, scene->term, false);
    ck_assert(fs_sim_exists(scene->to_disk, path));
    struct fs_sim_crash worst = {.loss = FS_SIM_LOSE_ALL, .names = FS_SIM_NAMES_NONE};
    struct fs_sim_disk *after = fs_sim_crash(scene->to_disk, &worst); /* what raft is told of is durable */
    ck_assert(fs_sim_exists(after, path));
    ck_assert_uint_eq(fs_sim_size(after, path), fs_sim_size(scene->to_disk, path));
    fs_sim_disk_free(after);
    alloc_free(path);
}

START_TEST(test_snap_pull_gets_the_whole_file)
{
    struct scene scene;
    scene_init(&scene, 3000);
    offer(&scene);
    offer(&scene); /* it comes again with every heartbeat */
    run(&scene);
    ck_assert_uint_gt(scene.asked, 3);
    expect_whole(&scene);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_snap_pull_goes_on_from_where_it_was_when_chunks_are_lost)
{
    struct scene scene;
    scene_init(&scene, 3000);
    char *path = snapshot_dir_file(&scene.from_dir, INDEX, scene.term, false);
    uint64_t chunks = fs_sim_size(scene.from_disk, path) / SNAP_SERVE_CHUNK + 1;
    alloc_free(path);
    scene.drop_at = 3;
    offer(&scene);
    for (int i = 0; i < 200 && scene.pull.phase != SNAP_PULL_READY; i++) {
        run(&scene);
        uint64_t received = scene.pull.received;
        ck_assert_uint_eq(scene.pull.written, received); /* nothing that came is thrown away */
        uint64_t due_ns = snap_pull_deadline_ns(&scene.pull);
        ck_assert_uint_le(due_ns, scene.pull.phase == SNAP_PULL_GET ? scene.now_ns + 30 * NS_PER_S : CLOCK_NEVER);
        if (due_ns != CLOCK_NEVER) scene.now_ns = due_ns;
    }
    ck_assert_uint_gt(scene.dropped, 0);
    ck_assert_uint_lt(scene.asked, chunks + (scene.dropped + 1) * SNAP_PULL_WINDOW);
    expect_whole(&scene);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_snap_pull_gives_up_what_its_sender_has_no_more_and_takes_the_next_offer)
{
    struct scene scene;
    scene_init(&scene, 50);
    snap_pull_offer(&scene.pull, SENDER, INDEX + 1, scene.term, scene.now_ns);
    run(&scene);
    ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
    char name[128];
    ck_assert(!fs_sim_name(scene.to_disk, SNAPSHOT_RIG_DIR, 0, name, sizeof(name))); /* no half file stays */
    offer(&scene); /* not at once: that would be a storm */
    ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
    scene.now_ns += 3 * NS_PER_S;
    offer(&scene);
    run(&scene);
    expect_whole(&scene);
    scene_deinit(&scene);
}
END_TEST

/* The first chunk comes from `sender`, the next one is lost. */
static void get_one_chunk(struct scene *scene, uint64_t sender)
{
    struct mail mail;
    ck_assert(lane_take(&scene->to_sender, &mail));
    snap_serve_ask(&scene->serve, &mail.peer.message->msg, scene->now_ns);
    mail_deinit(&mail);
    while (snap_serve_step(&scene->serve, scene->now_ns)) continue;
    ck_assert(lane_take(&scene->to_receiver, &mail));
    mail.peer.message->msg.from = sender;
    snap_pull_chunk(&scene->pull, &mail.peer.message->msg, scene->now_ns);
    mail_deinit(&mail);
    while (snap_pull_step(&scene->pull, scene->now_ns)) continue;
    while (lane_take(&scene->to_sender, &mail)) mail_deinit(&mail);
}

/* Raft passes on the offers of the newest leader only, so the one before may be dead: who got nothing of it, or lost a chunk, waits no more. */
START_TEST(test_snap_pull_leaves_a_former_leader_that_is_silent)
{
    enum { FORMER = 3 };
    for (int has_chunk = 0; has_chunk < 2; has_chunk++) {
        struct scene scene;
        scene_init(&scene, 3000);
        snap_pull_offer(&scene.pull, FORMER, INDEX, scene.term, scene.now_ns);
        while (snap_pull_step(&scene.pull, scene.now_ns)) continue;
        if (has_chunk) get_one_chunk(&scene, FORMER);
        ck_assert_int_eq(scene.pull.phase, SNAP_PULL_GET);
        ck_assert_int_eq(scene.pull.received > 0, has_chunk);
        offer(&scene);
        ck_assert_int_eq(scene.pull.phase == SNAP_PULL_GET, has_chunk);
        if (has_chunk) {
            struct mail mail;
            scene.now_ns += scene.pull.wait_ns; /* and not a moment longer */
            while (snap_pull_step(&scene.pull, scene.now_ns)) continue;
            while (lane_take(&scene.to_sender, &mail)) mail_deinit(&mail);
            offer(&scene);
            ck_assert_int_ne(scene.pull.phase, SNAP_PULL_GET);
        }
        run(&scene);
        offer(&scene); /* at once: it is another's */
        run(&scene);
        expect_whole(&scene);
        scene_deinit(&scene);
    }
}
END_TEST

START_TEST(test_snap_pull_leaves_a_silent_sender_for_another_one)
{
    struct scene scene;
    scene_init(&scene, 50);
    uint64_t first_ns = scene.now_ns;
    snap_pull_offer(&scene.pull, SENDER, INDEX + 1, scene.term, scene.now_ns);
    (void)snap_pull_step(&scene.pull, scene.now_ns);
    (void)snap_pull_step(&scene.pull, scene.now_ns);
    offer(&scene); /* a newer one of the same: while the first may still come it is not left */
    ck_assert_uint_eq(scene.pull.index, INDEX + 1);
    struct mail mail;
    for (int i = 0; i < 6 && scene.pull.phase == SNAP_PULL_GET; i++) { /* it is asked again all the while */
        scene.now_ns += NS_PER_S;
        while (snap_pull_step(&scene.pull, scene.now_ns)) continue;
        while (lane_take(&scene.to_sender, &mail)) mail_deinit(&mail);
        offer(&scene);
    }
    ck_assert_uint_ge(scene.now_ns - first_ns, 3 * NS_PER_S);
    ck_assert_int_ne(scene.pull.phase, SNAP_PULL_GET);
    run(&scene);
    scene.now_ns += 3 * NS_PER_S;
    offer(&scene);
    run(&scene);
    expect_whole(&scene);
    scene_deinit(&scene);
}
END_TEST

/* A stream that carries one chunk in so many milliseconds, all of them in order. Answers how many were asked for. */
static uint64_t carry(struct scene *scene, uint64_t chunk_ms, uint64_t *out_longest)
{
    struct mail mail;
    uint64_t next_ns = 0;
    *out_longest = 0;
    offer(scene);
    for (int tick = 0; tick < 20000 && scene->pull.phase != SNAP_PULL_READY; tick++) {
        while (snap_pull_step(&scene->pull, scene->now_ns)) continue;
        for (; lane_take(&scene->to_sender, &mail); scene->asked++) {
            snap_serve_ask(&scene->serve, &mail.peer.message->msg, scene->now_ns);
            mail_deinit(&mail);
        }
        bool was_empty = ring_size(&scene->to_receiver.ring) == 0;
        while (snap_serve_step(&scene->serve, scene->now_ns)) continue;
        uint64_t length = ring_size(&scene->to_receiver.ring);
        if (length > *out_longest) *out_longest = length;
        if (was_empty && length > 0) next_ns = scene->now_ns + chunk_ms * NS_PER_MS;
        if (length > 0 && scene->now_ns >= next_ns && lane_take(&scene->to_receiver, &mail)) {
            snap_pull_chunk(&scene->pull, &mail.peer.message->msg, scene->now_ns);
            mail_deinit(&mail);
            next_ns += chunk_ms * NS_PER_MS;
        }
        scene->now_ns += 10 * NS_PER_MS;
    }
    return scene->asked;
}

START_TEST(test_snap_pull_asks_a_slow_stream_for_little_at_once_and_for_each_chunk_once)
{
    static const struct {
        uint64_t chunk_ms, queue_max, again_max;
    } streams[] = {{10, SNAP_PULL_WINDOW, 0}, {200, 3, 0}, {600, 2, 0}, {4000, 8, 6}};
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct scene scene;
        uint64_t longest = 0;
        scene_init(&scene, 3000);
        char *path = snapshot_dir_file(&scene.from_dir, INDEX, scene.term, false);
        uint64_t chunks = (fs_sim_size(scene.from_disk, path) + SNAP_SERVE_CHUNK - 1) / SNAP_SERVE_CHUNK;
        alloc_free(path);
        uint64_t asked = carry(&scene, streams[i].chunk_ms, &longest);
        ck_assert_uint_gt(chunks, 8);
        ck_assert_uint_ge(asked, chunks);
        ck_assert_uint_le(asked, chunks + streams[i].again_max);
        ck_assert_uint_le(longest, streams[i].queue_max);
        expect_whole(&scene);
        struct mail mail;
        while (lane_take(&scene.to_receiver, &mail)) mail_deinit(&mail);
        scene_deinit(&scene);
    }
}
END_TEST

START_TEST(test_snap_pull_file_does_not_stay_open_when_nobody_asks_any_more)
{
    struct scene scene;
    scene_init(&scene, 300);
    offer(&scene);
    run(&scene);
    ck_assert_uint_eq(snap_serve_held_index(&scene.serve, scene.now_ns), INDEX);
    uint64_t due_ns = snap_serve_deadline_ns(&scene.serve);
    ck_assert_uint_eq(due_ns, scene.now_ns + SNAP_SERVE_HOLD_NS);
    ck_assert(!snap_serve_step(&scene.serve, due_ns - 1));
    ck_assert_uint_eq(snap_serve_held_index(&scene.serve, due_ns), 0);
    while (snap_serve_step(&scene.serve, due_ns)) continue;
    ck_assert_uint_eq(snap_serve_deadline_ns(&scene.serve), CLOCK_NEVER);
    ck_assert_ptr_null(scene.serve.files[0].file);
    expect_whole(&scene);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_snap_pull_by_several_members_holds_the_oldest_of_their_files)
{
    struct scene scene;
    struct mail mail;
    scene_init(&scene, 20);
    for (uint64_t index = INDEX + 1; index <= INDEX + SNAP_SERVE_FILES + 1; index++) {
        char *other = snapshot_dir_file(&scene.from_dir, index, scene.term, false);
        snapshot_rig_put(scene.from_fs, other, slice_from_string("x"));
        snapshot_dir_add(&scene.from_dir, index, scene.term);
        alloc_free(other);
    }
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t index = INDEX; index <= INDEX + SNAP_SERVE_FILES + 1; index++) {
            struct raft_msg msg = {.kind = RAFT_MSG_CHUNK_GET, .from = index, .to = SENDER, .index = index, .log_term = scene.term};
            snap_serve_ask(&scene.serve, &msg, ++scene.now_ns);
            while (snap_serve_step(&scene.serve, scene.now_ns)) continue;
            ck_assert(lane_take(&scene.to_receiver, &mail));
            ck_assert(!mail.peer.message->msg.reject && mail.peer.message->msg.index == index && mail.peer.to == index);
            mail_deinit(&mail);
        }
    }
    ck_assert_uint_eq(snap_serve_held_index(&scene.serve, scene.now_ns), INDEX + 2); /* of the last SNAP_SERVE_FILES */
    snapshot_dir_mark_broken(&scene.from_dir, INDEX, scene.term);
    struct raft_msg msg = {.kind = RAFT_MSG_CHUNK_GET, .from = 7, .to = SENDER, .index = INDEX, .log_term = scene.term};
    snap_serve_ask(&scene.serve, &msg, scene.now_ns);
    while (snap_serve_step(&scene.serve, scene.now_ns)) continue;
    ck_assert(lane_take(&scene.to_receiver, &mail) && mail.peer.message->msg.reject);
    mail_deinit(&mail);
    scene_deinit(&scene);
}
END_TEST

/* The sender knows that its file is no good, and keeps it open no longer. */
static void expect_suspect(struct scene *scene)
{
    uint64_t index, term, none;
    ck_assert(snap_serve_take_suspect(&scene->serve, &index, &term));
    ck_assert(index == INDEX && term == scene->term);
    ck_assert(!snap_serve_take_suspect(&scene->serve, &none, &none));
    ck_assert_ptr_null(scene->serve.files[0].file);
    ck_assert(snapshot_dir_mark_broken(&scene->from_dir, index, term) && !snapshot_dir_has(&scene->from_dir, index, term));
    ck_assert(!snapshot_dir_mark_broken(&scene->from_dir, index + 1, term));
    snapshot_dir_add(&scene->from_dir, index, term); /* written anew */
    ck_assert(snapshot_dir_has(&scene->from_dir, index, term));
}

START_TEST(test_snap_pull_of_a_damaged_file_is_never_taken)
{
    for (uint64_t part = 0; part < 8; part++) {
        struct scene scene;
        scene_init(&scene, 80);
        char *path = snapshot_dir_file(&scene.from_dir, INDEX, scene.term, false);
        uint64_t size = fs_sim_size(scene.from_disk, path);
        fs_sim_flip(scene.from_disk, path, size * part / 8 + 5, 1);
        offer(&scene);
        run(&scene);
        ck_assert_ptr_null(take(&scene));
        ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
        expect_suspect(&scene);
        alloc_free(path);
        scene_deinit(&scene);
    }
}
END_TEST

/* A piece at another place, of another file, of a wrong size, without bytes: nothing of it is believed. */
START_TEST(test_snap_pull_pieces_that_do_not_fit_do_no_harm)
{
    struct scene scene;
    scene_init(&scene, 300);
    struct blob *bytes = blob_new(100);
    memset(bytes->data, 7, 100);
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = bytes};
    for (int kind = 0; kind < 6; kind++) {
        struct raft_msg msg = {.kind = RAFT_MSG_CHUNK, .from = SENDER, .to = RECEIVER, .index = INDEX, .log_term = scene.term,
                               .commit = 1000000, .entries = &entry, .entry_count = 1};
        scene.now_ns += 3 * NS_PER_S;
        offer(&scene);
        for (int i = 0; i < 4; i++) (void)snap_pull_step(&scene.pull, scene.now_ns);
        ck_assert_int_eq(scene.pull.phase, SNAP_PULL_GET);
        if (kind == 0) msg.hint_index = SNAP_SERVE_CHUNK;
        if (kind == 1) msg.index = INDEX + 1;
        if (kind == 2) msg.from = 3;
        if (kind == 3) msg.commit = UINT64_MAX;
        if (kind == 4) msg.entry_count = 0;
        snap_pull_chunk(&scene.pull, &msg, scene.now_ns);
        ck_assert_uint_eq(scene.pull.received, 0);
        if (kind < 3) continue; /* passed over: the right one may come */
        struct mail mail;
        while (lane_take(&scene.to_sender, &mail)) mail_deinit(&mail);
        run(&scene);
        ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
    }
    blob_unref(bytes);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_snap_pull_survives_every_failure_of_its_disk)
{
    static const enum fs_kind kinds[] = {FS_OPEN, FS_PWRITE, FS_FDATASYNC, FS_RENAME, FS_FSYNC_DIR, FS_PREAD, FS_CLOSE};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (int error = 0; error < 2; error++) {
            struct scene scene;
            scene_init(&scene, 120);
            fs_sim_fail(scene.to_disk, kinds[i], 1, error == 0 ? EIO : ENOSPC);
            offer(&scene);
            run(&scene);
            if (scene.pull.phase != SNAP_PULL_READY) {
                ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
                char *path = snapshot_dir_file(&scene.to_dir, INDEX, scene.term, false);
                ck_assert(!fs_sim_exists(scene.to_disk, path)); /* a start would take it for good */
                alloc_free(path);
                scene.now_ns += 3 * NS_PER_S;
                offer(&scene);
                run(&scene);
            }
            expect_whole(&scene);
            scene_deinit(&scene);
        }
    }
}
END_TEST

/* Nothing of that name is begun while a whole one is still to go. */
START_TEST(test_snap_pull_that_could_not_remove_what_it_had_goes_on_behind_it)
{
    struct scene scene;
    scene_init(&scene, 120);
    fs_sim_fail(scene.to_disk, FS_FSYNC_DIR, 1, EIO);
    fs_sim_fail(scene.to_disk, FS_UNLINK, 1, EACCES);
    offer(&scene);
    run(&scene);
    ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
    char *path = snapshot_dir_file(&scene.to_dir, INDEX, scene.term, false);
    ck_assert(fs_sim_exists(scene.to_disk, path) && !snapshot_dir_claim(&scene.to_dir, INDEX, scene.term, ""));
    scene.now_ns += 3 * NS_PER_S;
    offer(&scene);
    ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
    scene.now_ns = snapshot_dir_deadline_ns(&scene.to_dir);
    while (snapshot_dir_step(&scene.to_dir, scene.now_ns)) continue;
    ck_assert(!fs_sim_exists(scene.to_disk, path) && snapshot_dir_is_idle(&scene.to_dir));
    alloc_free(path);
    offer(&scene);
    run(&scene);
    expect_whole(&scene);
    scene_deinit(&scene);
}
END_TEST

/* What was not finished, and could not be removed, keeps nobody waiting. */
START_TEST(test_snap_pull_writes_over_the_rest_that_could_not_be_removed)
{
    struct scene scene;
    scene_init(&scene, 120);
    fs_sim_fail(scene.to_disk, FS_PWRITE, 1, EIO);
    fs_sim_fail(scene.to_disk, FS_UNLINK, 1, EACCES);
    offer(&scene);
    run(&scene);
    ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
    ck_assert_uint_eq(scene.to_dir.left_count, 1);
    scene.now_ns += 3 * NS_PER_S;
    ck_assert_uint_lt(scene.now_ns, snapshot_dir_deadline_ns(&scene.to_dir));
    offer(&scene);
    run(&scene);
    expect_whole(&scene);
    ck_assert(snapshot_dir_is_idle(&scene.to_dir));
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_snap_pull_from_a_disk_that_fails_once_succeeds_later)
{
    static const enum fs_kind kinds[] = {FS_OPEN, FS_SIZE, FS_PREAD};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct scene scene;
        scene_init(&scene, 120);
        fs_sim_fail(scene.from_disk, kinds[i], 1, EIO);
        offer(&scene);
        run(&scene);
        ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
        ck_assert_uint_eq(scene.serve.suspect_index, 0);
        scene.now_ns += 3 * NS_PER_S; /* less than the sender keeps a file open */
        offer(&scene);
        run(&scene);
        expect_whole(&scene);
        scene_deinit(&scene);
    }
}
END_TEST

START_TEST(test_snap_pull_from_a_disk_that_fails_each_time_says_so)
{
    struct scene scene;
    scene_init(&scene, 120);
    for (int n = 1; n <= SNAP_SERVE_FAILURES; n++) {
        ck_assert_uint_eq(scene.serve.suspect_index, 0);
        fs_sim_fail(scene.from_disk, n % 2 == 0 ? FS_PREAD : FS_SIZE, 1, EIO);
        offer(&scene);
        run(&scene);
        ck_assert_int_eq(scene.pull.phase, SNAP_PULL_IDLE);
        scene.now_ns += 3 * NS_PER_S;
    }
    expect_suspect(&scene);
    offer(&scene);
    run(&scene);
    expect_whole(&scene);
    scene_deinit(&scene);
}
END_TEST

/* --- a client's stream --- */

static uint64_t read_stream(struct scene *scene, uint64_t call, struct sha256 *sha256, uint8_t out_sum[SHA256_BYTES])
{
    struct mail mail;
    uint64_t bytes = 0, remaining = 0;
    for (;;) {
        while (snap_streams_step(&scene->streams)) continue;
        ck_assert(lane_take(&scene->to_net, &mail));
        ck_assert_int_eq(mail.kind, MAIL_SNAP_PIECE);
        ck_assert_uint_eq(mail.piece.call, call);
        ck_assert_int_eq((int)mail.piece.err, ERR_OK);
        ck_assert(!lane_take(&scene->to_net, &mail) || mail.kind != MAIL_SNAP_PIECE); /* one at a time */
        remaining = mail.piece.remaining;
        if (mail.piece.is_last) break;
        bytes += mail.piece.bytes->size;
        sha256_add(sha256, blob_slice(mail.piece.bytes));
        mail_deinit(&mail);
        snap_streams_next(&scene->streams, call);
    }
    ck_assert_uint_eq(remaining, 0);
    ck_assert_uint_eq(mail.piece.bytes->size, SHA256_BYTES);
    memcpy(out_sum, mail.piece.bytes->data, SHA256_BYTES);
    mail_deinit(&mail);
    return bytes;
}

START_TEST(test_snap_stream_tells_the_file_padded_and_its_sum)
{
    struct scene scene;
    uint8_t told[SHA256_BYTES], counted[SHA256_BYTES];
    scene_init(&scene, 300);
    struct sha256 *sha256 = sha256_new();
    ck_assert(snap_streams_open(&scene.streams, 77));
    ck_assert(!snap_streams_step(&scene.streams)); /* it waits for a snapshot that was taken after it asked */
    snap_streams_taken(&scene.streams, scene.streams.want, INDEX, scene.term, ERR_OK);
    uint64_t bytes = read_stream(&scene, 77, sha256, told);
    sha256_finish(sha256, counted);
    ck_assert_mem_eq(told, counted, SHA256_BYTES);
    char *path = snapshot_dir_file(&scene.from_dir, INDEX, scene.term, false);
    ck_assert_uint_eq(bytes, (fs_sim_size(scene.from_disk, path) + 511) / 512 * 512);
    alloc_free(path);
    sha256_free(sha256);
    while (snap_streams_step(&scene.streams)) continue;
    ck_assert_int_eq(scene.streams.streams[0].phase, SNAP_STREAM_NONE);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_snap_stream_places_are_limited_and_given_back)
{
    struct scene scene;
    struct mail mail;
    scene_init(&scene, 20);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < SNAP_STREAM_MAX; i++) ck_assert(snap_streams_open(&scene.streams, 1 + i + 100 * round));
        ck_assert(!snap_streams_open(&scene.streams, 99));
        snap_streams_taken(&scene.streams, scene.streams.want, INDEX, scene.term, round == 1 ? ERR_NO_SPACE : ERR_OK);
        if (round == 0) (void)snap_streams_step(&scene.streams); /* one is being opened when its client goes */
        for (uint64_t i = 0; i < SNAP_STREAM_MAX && round != 1; i++) snap_streams_close(&scene.streams, 1 + i + 100 * round);
        while (snap_streams_step(&scene.streams)) continue;
        uint32_t failed = 0;
        while (lane_take(&scene.to_net, &mail)) failed += mail.piece.err == ERR_NO_SPACE, mail_deinit(&mail);
        ck_assert_uint_eq(failed, round == 1 ? SNAP_STREAM_MAX : 0);
    }
    ck_assert(snap_streams_open(&scene.streams, 5));
    scene_deinit(&scene);
}
END_TEST

/* A newer snapshot, of which two are kept. */
static void take_newer(struct scene *scene, uint64_t index)
{
    ck_assert_int_eq(snapshot_rig_write(scene->from_fs, snapshot_rig_image(scene->store.mvcc, index), NULL, NULL), ERR_OK);
    snapshot_dir_add(&scene->from_dir, index, scene->term);
    snapshot_dir_purge(&scene->from_dir, 2);
    while (!snapshot_dir_is_idle(&scene->from_dir)) (void)snapshot_dir_step(&scene->from_dir, 0);
}

/* A client's stream of that snapshot, up to its first piece. */
static void begin_stream(struct scene *scene, uint64_t call, uint64_t index)
{
    struct mail mail;
    ck_assert(snap_streams_open(&scene->streams, call));
    snap_streams_taken(&scene->streams, scene->streams.want, index, scene->term, ERR_OK);
    while (snap_streams_step(&scene->streams)) continue;
    ck_assert(lane_take(&scene->to_net, &mail));
    ck_assert(mail.piece.call == call && mail.piece.err == ERR_OK && !mail.piece.is_last);
    mail_deinit(&mail);
}

START_TEST(test_snap_stream_of_all_files_without_a_name_one_may_be_read)
{
    struct scene scene;
    struct mail mail;
    uint8_t sum[SHA256_BYTES];
    scene_init(&scene, 100);
    struct sha256 *sha256 = sha256_new();
    begin_stream(&scene, 1, INDEX);
    begin_stream(&scene, 2, INDEX);
    take_newer(&scene, INDEX + 1);
    begin_stream(&scene, 3, INDEX + 1);
    take_newer(&scene, INDEX + 2);
    while (snap_streams_step(&scene.streams)) continue;
    ck_assert(!snapshot_dir_has(&scene.from_dir, INDEX, scene.term));
    for (int i = 0; i < 3; i++) ck_assert(!scene.streams.streams[i].is_replaced && scene.streams.streams[i].file != NULL);
    take_newer(&scene, INDEX + 3);
    (void)snap_streams_step(&scene.streams); /* one file is being closed */
    snap_streams_next(&scene.streams, 1);    /* and both ask meanwhile, or are gone */
    snap_streams_close(&scene.streams, 2);
    while (snap_streams_step(&scene.streams)) continue;
    ck_assert(lane_take(&scene.to_net, &mail));
    ck_assert(mail.kind == MAIL_SNAP_PIECE && mail.piece.call == 1 && mail.piece.err == ERR_SNAPSHOT_REPLACED && mail.piece.bytes == NULL);
    ck_assert(!lane_take(&scene.to_net, &mail));
    for (int i = 0; i < 2; i++) ck_assert_int_eq(scene.streams.streams[i].phase, SNAP_STREAM_NONE);
    snap_streams_next(&scene.streams, 3);
    (void)read_stream(&scene, 3, sha256, sum);
    while (snap_streams_step(&scene.streams)) continue;
    sha256_free(sha256);
    scene_deinit(&scene);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snap_pull");
    TCase *pull = tcase_create("pull"), *stream = tcase_create("stream");
    tcase_set_timeout(pull, 60);
    tcase_add_test(pull, test_snap_pull_gets_the_whole_file);
    tcase_add_test(pull, test_snap_pull_goes_on_from_where_it_was_when_chunks_are_lost);
    tcase_add_test(pull, test_snap_pull_gives_up_what_its_sender_has_no_more_and_takes_the_next_offer);
    tcase_add_test(pull, test_snap_pull_leaves_a_former_leader_that_is_silent);
    tcase_add_test(pull, test_snap_pull_leaves_a_silent_sender_for_another_one);
    tcase_add_test(pull, test_snap_pull_asks_a_slow_stream_for_little_at_once_and_for_each_chunk_once);
    tcase_add_test(pull, test_snap_pull_file_does_not_stay_open_when_nobody_asks_any_more);
    tcase_add_test(pull, test_snap_pull_by_several_members_holds_the_oldest_of_their_files);
    tcase_add_test(pull, test_snap_pull_of_a_damaged_file_is_never_taken);
    tcase_add_test(pull, test_snap_pull_pieces_that_do_not_fit_do_no_harm);
    tcase_add_test(pull, test_snap_pull_survives_every_failure_of_its_disk);
    tcase_add_test(pull, test_snap_pull_that_could_not_remove_what_it_had_goes_on_behind_it);
    tcase_add_test(pull, test_snap_pull_writes_over_the_rest_that_could_not_be_removed);
    tcase_add_test(pull, test_snap_pull_from_a_disk_that_fails_once_succeeds_later);
    tcase_add_test(pull, test_snap_pull_from_a_disk_that_fails_each_time_says_so);
    tcase_add_test(stream, test_snap_stream_tells_the_file_padded_and_its_sum);
    tcase_add_test(stream, test_snap_stream_places_are_limited_and_given_back);
    tcase_add_test(stream, test_snap_stream_of_all_files_without_a_name_one_may_be_read);
    suite_add_tcase(suite, pull);
    suite_add_tcase(suite, stream);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
