/* What may one stream cost the member and the others? A progress request costs no walk over the stream's watchers, however long it waits; one
 * revision's events cost no more memory than a message may have. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/kv_rig.h"
#include "watch/watch_inner.h"

#define MESSAGE_BYTES_MAX 20000
#define FRAGMENT_BYTES 4000
#define HEAD_BYTES_MAX 128 /* more than a response's head takes */
#define STREAMS 4
#define FAR INT64_C(1000000000)

static struct kv_rig rig;
static struct watch *watch;
static struct heard {
    struct watch_stream *stream;
    enum err err;
    size_t puts, deletes, previous; /* events; of them with the value before */
    uint32_t progress;
    int64_t progress_revision;
    size_t frames, frame_bytes_max;
} heard[STREAMS];
static size_t walked; /* watchers that somebody looked at in a walk over a stream */

/* The linker puts it before the real one (cmake/tests.cmake). */
struct watcher *__real_watch_ids_next(const struct watch *watch, const struct watch_ids *ids, struct watch_ids_cursor *cursor);
struct watcher *__wrap_watch_ids_next(const struct watch *of, const struct watch_ids *ids, struct watch_ids_cursor *cursor);
struct watcher *__wrap_watch_ids_next(const struct watch *of, const struct watch_ids *ids, struct watch_ids_cursor *cursor)
{
    walked++;
    return __real_watch_ids_next(of, ids, cursor);
}

static const struct mvcc_view *view(void) { return mvcc_view(rig.mvcc); }
static int64_t now(void) { return mvcc_view_revision(view()); }

static void set_up(void)
{
    kv_rig_init(&rig);
    watch = watch_new(&(struct watch_options){.cluster_id = 7, .member_id = 8, .watchers_max = 100000, .key_bytes_max = SIZE_MAX,
                                              .fragment_bytes = FRAGMENT_BYTES, .message_bytes_max = MESSAGE_BYTES_MAX, .progress_ns = NS_PER_S,
                                              .hold_bytes_max = 1 << 20, .seed = 1},
                      view());
    memset(heard, 0, sizeof heard);
    for (uint64_t i = 0; i < STREAMS; i++) heard[i].stream = watch_open(watch, i, slice_from_string("10.0.0.7:4242"));
    walked = 0;
}

static void tear_down(void)
{
    watch_free(watch);
    kv_rig_deinit(&rig);
}

static void put(const char *key, size_t value_bytes)
{
    static const uint8_t value[8192];
    mvcc_begin(rig.mvcc);
    mvcc_put(rig.mvcc, slice_from_string(key), slice_make(value, value_bytes), 0);
    (void)mvcc_commit(rig.mvcc);
    mvcc_publish(rig.mvcc);
}

static void delete_all(void)
{
    struct mvcc_range all = mvcc_range_make(slice_make("", 1), slice_make("", 1));
    mvcc_begin(rig.mvcc);
    (void)mvcc_delete(rig.mvcc, &all, NULL, NULL);
    (void)mvcc_commit(rig.mvcc);
    mvcc_publish(rig.mvcc);
}

static void request(uint32_t stream, uint32_t field, const struct buf *body)
{
    struct buf message;
    buf_init(&message);
    buf_put_pb_bytes(&message, field, buf_slice(body));
    ck_assert_int_eq(watch_request(watch, heard[stream].stream, buf_slice(&message), view(), 0), ERR_OK);
    buf_deinit(&message);
}

enum { PREV_KV = 1, FRAGMENT = 2 };
static void create(uint32_t stream, int64_t start, int flags)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_bytes(&body, 1, slice_make("", 1));
    buf_put_pb_bytes(&body, 2, slice_make("", 1));
    if (start > 0) buf_put_pb_varint(&body, 3, (uint64_t)start);
    if (flags & PREV_KV) buf_put_pb_varint(&body, 6, 1);
    if (flags & FRAGMENT) buf_put_pb_varint(&body, 8, 1);
    request(stream, 1, &body);
    buf_deinit(&body);
}

static void cancel(uint32_t stream, int64_t id)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)id);
    request(stream, 2, &body);
    buf_deinit(&body);
}

static void ask_progress(uint32_t stream)
{
    struct buf body;
    buf_init(&body);
    request(stream, 3, &body);
}

static void hear(struct heard *who, const struct watch_frame *frame)
{
    struct buf bytes;
    buf_init(&bytes);
    buf_put_slice(&bytes, frame->head);
    buf_put_slice(&bytes, blob_slice(frame->events));
    Etcdserverpb__WatchResponse *response = etcdserverpb__watch_response__unpack(NULL, bytes.size, bytes.blob->data);
    ck_assert_ptr_nonnull(response);
    for (size_t i = 0; i < response->n_events; i++) {
        bool is_delete = response->events[i]->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
        who->puts += !is_delete;
        who->deletes += is_delete;
        who->previous += response->events[i]->prev_kv != NULL;
    }
    if (response->watch_id == -1) who->progress++;
    if (response->watch_id == -1) who->progress_revision = response->header->revision;
    who->frames++;
    if (bytes.size > who->frame_bytes_max) who->frame_bytes_max = bytes.size;
    etcdserverpb__watch_response__free_unpacked(response, NULL);
    buf_deinit(&bytes);
    blob_unref(frame->events);
    watch_sent(watch, frame->stream);
}

/* All that is owed is told; who cannot be told is closed. */
static void settle(void)
{
    struct watch_frame frame;
    size_t budget = 1 << 24;
    while (watch_step(watch, view(), 1, 100000, 0)) continue;
    while (watch_next(watch, view(), 3, &budget, &frame)) {
        struct heard *who = &heard[frame.name];
        if (frame.err == ERR_OK) {
            hear(who, &frame);
            continue;
        }
        ck_assert(frame.head.size == 0 && frame.events == NULL && frame.event_count == 0);
        who->err = frame.err;
        watch_close(watch, who->stream);
        who->stream = NULL;
    }
    ck_assert_uint_gt(budget, 0);
}

START_TEST(test_watch_cost_of_a_progress_request_that_waits)
{
    for (int i = 0; i < 2000; i++) create(0, FAR, 0);
    create(1, 0, 0);
    settle();
    ask_progress(0);
    for (int i = 0; i < 200; i++) {
        put("z", 10);
        settle();
    }
    for (int64_t id = 0; id < 100; id++) {
        cancel(0, id);
        create(0, FAR - id, 0);
        settle();
    }
    ck_assert_uint_eq(heard[1].puts, 200);
    ck_assert_uint_eq(heard[0].progress, 0);
    ck_assert_msg(walked == 0, "%zu watchers were looked at", walked);
}
END_TEST

START_TEST(test_watch_cost_progress_is_told_when_the_last_one_has_begun)
{
    put("a", 1);
    const int64_t first = now();
    create(0, first + 3, 0);
    create(0, first + 6, 0);
    create(0, 0, 0);
    settle();
    ask_progress(0);
    ask_progress(0);
    while (now() < first + 5) {
        ck_assert_uint_eq(heard[0].progress, 0);
        put("a", 1);
        settle();
    }
    ck_assert_uint_eq(heard[0].progress, 2);
    ck_assert_int_eq(heard[0].progress_revision, first + 5);
    ck_assert_uint_eq(heard[0].puts, 5 + 3); /* of the third watcher, and of the first */
    /* One that comes behind the request is waited for, too; it goes, and others that stay do not matter. */
    create(0, FAR, 0);
    settle();
    ask_progress(0);
    create(0, FAR - 1, 0);
    settle();
    cancel(0, 3);
    put("a", 1);
    settle();
    ck_assert_uint_eq(heard[0].progress, 2);
    cancel(0, 4);
    settle();
    ck_assert_uint_eq(heard[0].progress, 3);
    ck_assert_int_eq(heard[0].progress_revision, first + 6);
    /* The stream of those who wait for what never comes ends. */
    create(0, FAR, 0);
    ask_progress(0);
    settle();
    watch_close(watch, heard[0].stream);
    settle();
    ck_assert_uint_eq(heard[0].progress, 3);
}
END_TEST

/* 30 values of 1000 bytes in one revision: with them it is larger than a message may be. */
START_TEST(test_watch_cost_of_one_revision_has_a_limit)
{
    char key[16];
    create(0, 0, PREV_KV);
    create(1, 0, PREV_KV | FRAGMENT);
    create(2, 0, 0);
    settle();
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k%02d", i);
        put(key, 1000);
    }
    settle();
    for (uint32_t i = 0; i < 3; i++) ck_assert_uint_eq(heard[i].puts, 30);
    delete_all();
    create(3, 2, PREV_KV);
    const uint64_t encoded = watch->stats.encoded_events;
    settle();
    ck_assert_int_eq(heard[0].err, ERR_WATCH_TOO_LARGE);
    ck_assert(heard[1].err == ERR_OK && heard[1].deletes == 30 && heard[1].previous == 30);
    ck_assert(heard[2].err == ERR_OK && heard[2].deletes == 30 && heard[2].previous == 0);
    ck_assert(heard[3].err == ERR_WATCH_TOO_LARGE && heard[3].deletes == 0);
    ck_assert_uint_eq(heard[3].puts, 30); /* what fits was told before */
    ck_assert_uint_eq(heard[0].deletes, 0);
    for (uint32_t i = 0; i < STREAMS; i++) ck_assert_uint_le(heard[i].frame_bytes_max, MESSAGE_BYTES_MAX);
    ck_assert_uint_le(watch->stats.encoded_events - encoded, 30 + 30 + 30 + 3 * MESSAGE_BYTES_MAX / 1000);
    ck_assert_uint_eq(watch->events.capacity, 0); /* nothing is kept of what was given up */
    put("k00", 1000);
    settle();
    ck_assert(heard[1].puts == 31 && heard[2].puts == 31);
    ck_assert_uint_eq(watch->stats.pending_events, 0);
}
END_TEST

START_TEST(test_watch_cost_the_limit_is_what_a_message_may_have)
{
    char key[16];
    size_t value_bytes = 0, told = 0;
    for (uint32_t i = 0; i < 2; i++) create(i, 0, PREV_KV);
    settle();
    /* Ever larger values until a stream ends; the last one before filled a message to within an event. */
    for (value_bytes = 1000; heard[0].err == ERR_OK; value_bytes += 5) {
        for (int i = 0; i < 16; i++) {
            snprintf(key, sizeof key, "k%02d", i);
            put(key, value_bytes);
        }
        settle();
        told = heard[0].deletes;
        delete_all();
        settle();
        ck_assert_uint_lt(value_bytes, MESSAGE_BYTES_MAX);
    }
    ck_assert_uint_eq(heard[0].deletes, told);
    ck_assert_int_eq(heard[1].err, ERR_WATCH_TOO_LARGE);
    ck_assert_uint_le(heard[0].frame_bytes_max, MESSAGE_BYTES_MAX);
    ck_assert_uint_gt(heard[0].frame_bytes_max, MESSAGE_BYTES_MAX - HEAD_BYTES_MAX - 16 * 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch_cost");
    TCase *tcase = tcase_create("watch_cost");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_watch_cost_of_a_progress_request_that_waits);
    tcase_add_test(tcase, test_watch_cost_progress_is_told_when_the_last_one_has_begun);
    tcase_add_test(tcase, test_watch_cost_of_one_revision_has_a_limit);
    tcase_add_test(tcase, test_watch_cost_the_limit_is_what_a_message_may_have);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
